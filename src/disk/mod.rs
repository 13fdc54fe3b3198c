//! The seam between Fastness and the file system: names, bytes and fsync, nothing higher.
//!
//! The writer, reader, manifest swap, rewrite and recovery all go through these two traits, so the
//! very code that runs in production runs under simulated power loss (`sim`) in the tests.
//! Calls block; they are made by the log thread, snapshot workers and recovery, and by a reactor only
//! for the append that ends its turn.
//!
//! Paths are relative to the disk's root (the data directory) with `/` between components, such as
//! `appendonlydir/appendonly.aof.1.incr.aof`; absolute paths address files elsewhere (CLI tools).

pub mod below;
pub mod crash_point;
pub mod durable;
pub mod os;
pub mod sim;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::clock::UnixMillis;

/// Names: what a directory knows. One instance per data directory.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file; see [`OpenMode`].
    fn open(&self, path: &str, mode: OpenMode) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Atomically gives `from` the name `to`, replacing what had it. Durable after `sync_dir` of the parents.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Gives the file `from` a second name, which must be free. Durable after `sync_dir` of its parent.
    fn link(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Removes a file's name. Durable after `sync_dir`.
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// The entries of a directory (names only, sorted), subdirectories with a trailing `/`.
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError>;
    /// Creates a directory; fine when it is there. Durable after `sync_dir` of its parent.
    fn create_dir(&self, dir: &str) -> Result<(), DiskError>;
    /// Removes an empty directory. Durable after `sync_dir` of its parent.
    fn remove_dir(&self, dir: &str) -> Result<(), DiskError>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError>;
    /// Takes the exclusive lock on a file (created if need be, `content` written into it) until dropped.
    /// Another holder is `Err` with kind `WouldBlock` and the content that the holder wrote in the text.
    fn lock(&self, path: &str, content: &str) -> Result<DiskLock, DiskError>;
    /// Bytes that an unprivileged process may still write to this file system.
    fn free_bytes(&self) -> Result<u64, DiskError>;
    /// Whether what has this name can be read again and again, as a pipe cannot; nothing can.
    fn is_lasting(&self, _path: &str) -> bool {
        true
    }
    /// Whether two paths are one place, whatever they are written like.
    fn is_same_place(&self, one: &str, other: &str) -> bool {
        one == other
    }
    /// When a file was last written to, if that can be told.
    fn modified(&self, _path: &str) -> Option<UnixMillis> {
        None
    }
    /// The length of a file, `None` when there is none of that name.
    fn file_len(&self, path: &str) -> Result<Option<u64>, DiskError>;
}

/// The bytes of one open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at or behind the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;
    /// Writes at `offset`, returns how much was taken (it may be short, as write(2) may).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError>;
    /// Cuts or extends (with zeros) the file.
    fn truncate(&self, len: u64) -> Result<(), DiskError>;
    /// fdatasync: the bytes and what is needed to read them back.
    fn sync_data(&self) -> Result<(), DiskError>;
    /// fsync: the bytes and all metadata.
    fn sync_all(&self) -> Result<(), DiskError>;
    /// The file's length in bytes.
    fn len(&self) -> Result<u64, DiskError>;
    /// The whole content as it is now, mapped where the platform can. Never for a file that may be truncated meanwhile. What is
    /// no regular file has no length, and could be read once only: `InvalidInput`.
    fn map(&self) -> Result<FileView, DiskError>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }
    /// Writes all of `bytes` at `offset`, going on after short writes.
    fn write_all_at(&self, mut offset: u64, mut bytes: &[u8]) -> Result<(), DiskError> {
        while !bytes.is_empty() {
            let taken = self.write_at(offset, bytes)?;
            if taken == 0 {
                return Err(DiskError::new("write", "", io::ErrorKind::WriteZero.into()));
            }
            offset += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Read only; the file must be there.
    Read,
    /// Read and write; the file must be there.
    Write,
    /// Read and write; created empty when not there.
    CreateOrOpen,
    /// Read and write; created, or emptied when there.
    CreateOrTruncate,
    /// Read and write; created for its owner alone, and must not be there.
    CreatePrivate,
}

/// Holds a lock file; dropping it lets go.
#[derive(Debug)]
pub struct DiskLock(pub Box<dyn fmt::Debug + Send + Sync>);

/// A read-only view of a file's bytes.
pub enum FileView {
    /// Owned bytes (simulated disk, empty files).
    Owned(Vec<u8>),
    /// Pages of the file itself.
    Mapped(memmap2::Mmap),
}

impl fmt::Debug for FileView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileView({} bytes)", self.len())
    }
}

impl std::ops::Deref for FileView {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// A failed disk operation: which, on what, why.
#[derive(Debug)]
pub struct DiskError {
    /// The operation: `open`, `write`, `fdatasync`, `rename`, ...
    pub op: &'static str,
    /// The path it was about, as given; empty where the file itself does not know its name.
    pub path: String,
    /// The operating system's reason.
    pub source: io::Error,
}

impl DiskError {
    /// An error of `op` on `path`.
    pub fn new(op: &'static str, path: &str, source: io::Error) -> Self {
        Self { op, path: path.to_owned(), source }
    }

    /// Whether the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the disk or the quota is full: the one failure that ends by itself.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.op, self.path, self.source)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The disk that everything shares.
pub type SharedDisk = Arc<dyn Disk>;
