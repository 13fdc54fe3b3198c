//! The operating system's file system, rooted at the data directory.
//!
//! This is the only module of the crate that touches real files. It adds nothing to what the kernel
//! promises: a `sync_*` that returns `Ok` is one fdatasync or fsync that returned 0, and every error is
//! handed up with the operation and the path. It never retries a failed sync: the kernel may have
//! dropped the dirty pages, and a second call would then report success without the data.
//! Interrupted calls (EINTR) are repeated, short writes are passed on.
//!
//! What is assumed about the medium below: `format-spec/README.md`, "Assumptions about the medium".
#![allow(clippy::disallowed_methods, reason = "this is the Disk seam")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{Disk, DiskError, DiskFile, DiskLock, FileView, OpenMode, crash_point};
use crate::clock::UnixMillis;

/// The longest content of a lock file that is repeated in an error.
const LOCK_TEXT_MAX: u64 = 256;

/// A directory of the machine's file system.
#[derive(Debug)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// The disk whose relative paths start at `root`, which must exist by the time it is used.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory that relative paths start at.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether somebody holds the lock on a file, which stays as it is.
    pub fn is_locked(&self, path: &str) -> bool {
        let file = File::open(self.resolve(path));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// An empty path is the root itself; an absolute one replaces the root (`Path::join`).
    fn resolve(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    /// A link to what is not there is not nothing: its volume may not be mounted. Whoever took it for a name that is
    /// free would start empty, and write in its place.
    fn told_of_links<T>(
        &self,
        op: &'static str,
        path: &str,
        result: io::Result<T>,
    ) -> Result<T, DiskError> {
        at(op, path, result).map_err(|error| {
            let target = error.is_not_found().then(|| fs::read_link(self.resolve(path)).ok());
            let Some(target) = target.flatten() else { return error };
            let why = format!(
                "it is a link to {}, which is not there (is its volume mounted?); remove the link if it means nothing",
                target.display()
            );
            DiskError::new(op, path, io::Error::other(why))
        })
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o644);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateOrOpen => options.write(true).create(true),
            OpenMode::CreateOrTruncate => options.write(true).create(true).truncate(true),
            OpenMode::CreatePrivate => options.write(true).create_new(true).mode(0o600),
        };
        let file = self.told_of_links("open", path, options.open(self.resolve(path)))?;
        Ok(Box::new(OsFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        at("rename", from, fs::rename(self.resolve(from), self.resolve(to)))
    }

    fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        at("link", to, fs::hard_link(self.resolve(from), self.resolve(to)))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        at("remove", path, fs::remove_file(self.resolve(path)))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let mut names = Vec::new();
        for entry in self.told_of_links("list", dir, fs::read_dir(self.resolve(dir)))? {
            let entry = at("list", dir, entry)?;
            let mut name = entry.file_name().to_string_lossy().into_owned();
            // Follows symbolic links: a log directory may be a link to another file system.
            if entry.path().is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> Result<(), DiskError> {
        let path = self.resolve(dir);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => at("mkdir", dir, other),
        }
    }

    fn remove_dir(&self, dir: &str) -> Result<(), DiskError> {
        at("rmdir", dir, fs::remove_dir(self.resolve(dir)))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let handle = at("open directory", dir, File::open(self.resolve(dir)))?;
        match handle.sync_all() {
            // A file system that has no fsync for directories (some network ones) says EINVAL; it
            // orders names by itself or not at all, and refusing to run on it would help nobody.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => at("fsync directory", dir, other),
        }
    }

    fn lock(&self, path: &str, content: &str) -> Result<DiskLock, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let mut file = at("open", path, options.open(self.resolve(path)))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = Vec::new();
                // What the holder wrote is a courtesy of the message; not being able to read it is none.
                let _ = file.take(LOCK_TEXT_MAX).read_to_end(&mut holder);
                let holder = String::from_utf8_lossy(&holder).trim().to_owned();
                let reason = io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!("held by another process: {holder}"),
                );
                return Err(DiskError::new("lock", path, reason));
            }
            Err(TryLockError::Error(error)) => return Err(DiskError::new("lock", path, error)),
        }
        // The lock is that of the kernel; what is in the file only tells whose it is, and a full disk keeps nobody from
        // starting. Written before it is cut: what room there is stays.
        let written = file.rewind().and_then(|()| file.write_all(content.as_bytes()));
        match written {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                at("write", path, file.set_len(0))?;
            }
            written => {
                at("write", path, written)?;
                at("write", path, file.set_len(content.len() as u64))?;
            }
        }
        Ok(DiskLock(Box::new(file)))
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let stat = at("statvfs", "", rustix::fs::statvfs(&self.root).map_err(io::Error::from))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn is_lasting(&self, path: &str) -> bool {
        fs::metadata(self.resolve(path)).map_or(true, |metadata| metadata.is_file())
    }

    fn is_same_place(&self, one: &str, other: &str) -> bool {
        let place = |path| {
            let metadata = fs::metadata(self.resolve(path)).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        one == other || place(one).is_some_and(|place_of_one| Some(place_of_one) == place(other))
    }

    fn modified(&self, path: &str) -> Option<UnixMillis> {
        let time = fs::metadata(self.resolve(path)).ok()?.modified().ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    fn file_len(&self, path: &str) -> Result<Option<u64>, DiskError> {
        match self.told_of_links("stat", path, fs::metadata(self.resolve(path))) {
            Ok(metadata) if metadata.is_dir() => {
                Err(DiskError::new("stat", path, io::ErrorKind::IsADirectory.into()))
            }
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An open file and the name it was opened under, for messages.
#[derive(Debug)]
struct OsFile {
    file: File,
    path: String,
}

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let read = || match self.file.read_at(buffer, offset) {
            // A pipe has no offsets; who reads one begins at its beginning and goes on.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SPIPE) => {
                (&self.file).read(buffer)
            }
            other => other,
        };
        at("read", &self.path, uninterrupted(read))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError> {
        let most = crash_point::bytes_left(bytes);
        let part = bytes.get(..most).unwrap_or_default();
        let written = at("write", &self.path, uninterrupted(|| self.file.write_at(part, offset)))?;
        if most < bytes.len() {
            crash_point::die();
        }
        Ok(written)
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        at("truncate", &self.path, self.file.set_len(len))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        at("fdatasync", &self.path, self.file.sync_data())?;
        crash_point::sync_done();
        Ok(())
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        at("fsync", &self.path, self.file.sync_all())?;
        crash_point::sync_done();
        Ok(())
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(at("stat", &self.path, self.file.metadata())?.len())
    }

    #[allow(unsafe_code, reason = "memory-mapped reading; the proof is beside the call")]
    fn map(&self) -> Result<FileView, DiskError> {
        let metadata = at("stat", &self.path, self.file.metadata())?;
        if !metadata.is_file() {
            // A pipe or device has length 0 whatever is in it, and must not pass for an empty file.
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(DiskError::new("read", &self.path, reason));
        }
        // A mapping of no bytes is an error of mmap(2).
        if metadata.len() == 0 {
            return Ok(FileView::Owned(Vec::new()));
        }
        // SAFETY: The memory behind `&[u8]` must neither change nor vanish while it is borrowed. The
        // trait's contract is that a file is never truncated or overwritten while a view of it lives,
        // and Fastness maps sealed files only, under the lock file of their directory. Another program
        // that cuts such a file meanwhile can raise SIGBUS (the process dies, as on a memory error); it
        // cannot make a checked length wrong, because the length of the view is fixed here.
        let map = unsafe { memmap2::Mmap::map(&self.file) };
        Ok(FileView::Mapped(at("mmap", &self.path, map)?))
    }
}

fn at<T>(op: &'static str, path: &str, result: io::Result<T>) -> Result<T, DiskError> {
    result.map_err(|error| DiskError::new(op, path, error))
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, OsDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(dir.path());
        (dir, disk)
    }

    #[test]
    fn writes_read_back_at_their_offsets() {
        let (_dir, disk) = disk();
        let file = disk.open("a", OpenMode::CreateOrTruncate).unwrap();
        file.write_all_at(0, b"hello").unwrap();
        file.write_all_at(7, b"x").unwrap();
        let mut buffer = [1u8; 16];
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), 8);
        assert_eq!(&buffer[..8], b"hello\0\0x");
        assert_eq!(file.read_at(8, &mut buffer).unwrap(), 0);
        file.truncate(2).unwrap();
        file.sync_data().unwrap();
        assert_eq!(&*file.map().unwrap(), b"he");
        assert_eq!(disk.file_len("a").unwrap(), Some(2));
        assert_eq!(disk.file_len("b").unwrap(), None);
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (dir, disk) = disk();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let writer = std::thread::spawn(move || {
            fs::write(path, vec![b'x'; 100_000]).unwrap();
        });
        let file = disk.open("pipe", OpenMode::Read).unwrap();
        let (mut buffer, mut len) = (vec![0; 70_000], 0);
        loop {
            match file.read_at(len, &mut buffer).unwrap() {
                0 => break,
                taken => len += taken as u64,
            }
        }
        assert_eq!(len, 100_000);
        writer.join().unwrap();
    }

    #[test]
    fn open_modes_differ_in_what_they_create_and_keep() {
        let (_dir, disk) = disk();
        assert!(disk.open("a", OpenMode::Read).unwrap_err().is_not_found());
        assert!(disk.open("a", OpenMode::Write).unwrap_err().is_not_found());
        disk.open("a", OpenMode::CreateOrOpen).unwrap().write_all_at(0, b"abc").unwrap();
        assert_eq!(disk.open("a", OpenMode::CreateOrOpen).unwrap().len().unwrap(), 3);
        assert!(disk.open("a", OpenMode::Read).unwrap().write_at(0, b"x").is_err());
        assert!(disk.open("a", OpenMode::CreateOrTruncate).unwrap().is_empty().unwrap());
        assert!(disk.open("a", OpenMode::Read).unwrap().map().unwrap().is_empty());
        let device = disk.open("/dev/null", OpenMode::Read).unwrap().map().unwrap_err();
        assert_eq!(device.source.kind(), io::ErrorKind::InvalidInput, "{device}");
    }

    #[test]
    fn names_move_and_directories_are_marked() {
        let (_dir, disk) = disk();
        disk.create_dir("log").unwrap();
        disk.create_dir("log").unwrap();
        disk.open("log/b", OpenMode::CreateOrTruncate).unwrap();
        disk.rename("log/b", "a").unwrap();
        disk.sync_dir("").unwrap();
        disk.sync_dir("log").unwrap();
        assert_eq!(disk.list("").unwrap(), ["a", "log/"]);
        assert!(disk.create_dir("a").is_err());
        assert!(disk.file_len("log").is_err());
        disk.remove("a").unwrap();
        assert!(disk.remove("a").unwrap_err().is_not_found());
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn second_holder_of_the_lock_is_told_who_the_first_is() {
        let (_dir, disk) = disk();
        let lock = disk.lock("fastness.lock", "pid 4711\n").unwrap();
        let error = disk.lock("fastness.lock", "pid 4712\n").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().ends_with("pid 4711"), "{error}");
        assert!(disk.is_locked("fastness.lock") && !disk.is_locked("nothing"));
        drop(lock);
        assert!(!disk.is_locked("fastness.lock"));
        disk.lock("fastness.lock", "pid 4712\n").unwrap();
    }
}
