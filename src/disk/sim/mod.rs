//! A simulated disk: what is live, what is durable, and every way to lose the difference.
//!
//! Each file has two images of its bytes, live (what reads see) and durable (what survives a power cut), and
//! so has each directory of its entries. A write changes the live image and is remembered as pending;
//! `sync_data` moves a file's pending changes to its durable image, `sync_dir` a directory's. [`SimDisk::crash`]
//! then makes the disk that the next start would find: the durable images plus some of what was
//! pending, chosen by a [`CrashMode`] from a seeded generator.
//!
//! Every change and every sync is one numbered operation. [`SimDisk::fail_at`] makes the one of a given number
//! fail in a given way, so a test can run a scenario once per operation and fault; [`SimDisk::misread_at`] makes
//! one read return other bytes than are there. Everything is
//! deterministic; [`SimDisk::operations`] is the story for a failure report.
//!
//! The model is as hostile as POSIX allows where that costs the code under test nothing (a synced file's name is
//! not durable without `sync_dir`; a rename between directories is two entries), and keeps the
//! assumptions of `format-spec/README.md`, "Assumptions about the medium": synced sectors stay, and a torn
//! rewrite of a sector damages only the bytes that the write changes.

#[cfg(any(test, feature = "sim"))]
pub mod canary;
pub(crate) mod crash;
mod misread;
mod mounted;
pub(crate) mod world;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskError, DiskFile, DiskLock, FileView, OpenMode};
use crate::rng::Rng;
pub use misread::Misread;
use world::{NodeId, World};

/// What a power loss leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// All of them: the process died, the kernel did not.
    Everything,
    /// None of them.
    NothingUnsynced,
    /// Those before some instant, over all files and directories.
    OrderedPrefix,
    /// Any of them, sector by sector and name by name; a file's length may be ahead of its bytes, which
    /// then are zeros or what another file left there.
    SectorSubset,
    /// Those before some instant, and a part of the next write, with garbage behind it to the sector's end.
    TornSector,
    /// All names, no bytes of files; lengths may be ahead of the bytes.
    NamesWithoutContent,
    /// All bytes of files, no names.
    ContentWithoutNames,
}

impl CrashMode {
    /// Every mode, for exhaustive tests.
    pub const ALL: [Self; 7] = [
        Self::Everything,
        Self::NothingUnsynced,
        Self::OrderedPrefix,
        Self::SectorSubset,
        Self::TornSector,
        Self::NamesWithoutContent,
        Self::ContentWithoutNames,
    ];
}

/// What happens to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: the operation may or may not reach the medium, and it and everything after it fails.
    PowerCut,
    /// EIO without any effect.
    Eio,
    /// ENOSPC without any effect, whatever the operation: some file systems need room for all of them.
    NoSpace,
    /// A write takes at most this many bytes; other operations are not affected.
    ShortWrite(usize),
    /// A sync fails, and what it should have written is marked clean and lost, as Linux does it. Operations
    /// other than syncs fail with EIO.
    SyncDropsPages,
    /// A sync fails, and what it should have written stays pending. Operations other than syncs fail with EIO.
    SyncKeepsPages,
}

/// A simulated disk. Clones share one state, so a test keeps one and gives the other away.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    /// An empty disk: a root directory, room without end, no faults.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(World::default())))
    }

    /// The number of operations (changes and syncs, not reads) so far: the number of the next one.
    pub fn operation_count(&self) -> u64 {
        self.0.lock().operation_count
    }

    /// Makes operation number `operation` fail with `fault`.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.0.lock().faults.insert(operation, fault);
    }

    /// The number of reads so far: the number of the next one.
    pub fn read_count(&self) -> u64 {
        self.0.lock().read_count
    }

    /// Makes read number `read` return something else, without an error.
    pub fn misread_at(&self, read: u64, misread: Misread) {
        self.0.lock().misreads.insert(read, misread);
    }

    /// Takes all faults back that have not happened yet.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// Limits the bytes of all files together (`None`: no limit); writes behind it fail with ENOSPC.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.0.lock().capacity = capacity;
    }

    /// The bytes of all named files, live.
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Bit rot at rest: flips the bits of `mask` in the byte at `offset`, live and durable.
    ///
    /// Returns whether there is such a byte.
    pub fn rot(&self, path: &str, offset: u64, mask: u8) -> bool {
        self.0.lock().rot(path, offset, mask)
    }

    /// Makes reads that touch the sector of `offset` fail with EIO. Returns whether there is such a file.
    pub fn damage_sector(&self, path: &str, offset: u64) -> bool {
        self.0.lock().damage_sector(path, offset)
    }

    /// Whether the power is off, by [`Self::power_off`] or a planned cut.
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// Turns the power off: every later operation fails.
    pub fn power_off(&self) {
        self.0.lock().off = true;
    }

    /// The disk as the next start finds it after power loss now. This disk is not changed, so one
    /// instant can be looked at in all modes; the new one has no faults, locks or limits.
    pub fn crash(&self, mode: CrashMode, rng: &mut dyn Rng) -> Self {
        Self(Arc::new(Mutex::new(crash::after_power_loss(&self.0.lock(), mode, rng))))
    }

    /// What was done, one numbered line per operation, with the faults that happened.
    pub fn operations(&self) -> String {
        self.0.lock().story.join("\n")
    }

    /// Puts a file there, durably, without operations: the start of a test.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.0.lock().put(path, bytes);
    }

    /// The live bytes of a file, `None` when there is none.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let world = self.0.lock();
        let id = world.file(path)?;
        world.node(id).map(|node| node.live.clone())
    }

    /// The paths of all files, live.
    pub fn files(&self) -> Vec<String> {
        self.0.lock().file_paths()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Box<dyn DiskFile>, DiskError> {
        let node = at("open", path, self.0.lock().open(path, mode))?;
        let writable = mode != OpenMode::Read;
        Ok(Box::new(SimFile { disk: self.clone(), node, path: path.to_owned(), writable }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        at("rename", from, self.0.lock().rename(from, to))
    }

    fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut world = self.0.lock();
        let file = world.file(from).ok_or_else(|| io::ErrorKind::NotFound.into());
        at("link", to, file.and_then(|file| world.link(file, to)))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        at("remove", path, self.0.lock().remove(path))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        at("list", dir, self.0.lock().list(dir))
    }

    fn create_dir(&self, dir: &str) -> Result<(), DiskError> {
        at("mkdir", dir, self.0.lock().create_dir(dir))
    }

    fn remove_dir(&self, dir: &str) -> Result<(), DiskError> {
        at("rmdir", dir, self.0.lock().remove_dir(dir))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        at("fsync directory", dir, self.0.lock().sync_dir(dir))
    }

    fn lock(&self, path: &str, content: &str) -> Result<DiskLock, DiskError> {
        let mut world = self.0.lock();
        if let Some(holder) = world.locks.get(path) {
            let text = format!("held by another process: {}", holder.trim());
            return Err(DiskError::new(
                "lock",
                path,
                io::Error::new(io::ErrorKind::WouldBlock, text),
            ));
        }
        let node = at("lock", path, world.open(path, OpenMode::CreateOrTruncate))?;
        at("lock", path, world.write(node, path, 0, content.as_bytes()))?;
        world.locks.insert(path.to_owned(), content.to_owned());
        Ok(DiskLock(Box::new(SimLock { disk: self.clone(), path: path.to_owned() })))
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let world = self.0.lock();
        Ok(world.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(world.used_bytes())))
    }

    fn file_len(&self, path: &str) -> Result<Option<u64>, DiskError> {
        at("stat", path, self.0.lock().file_len(path))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: NodeId,
    path: String,
    writable: bool,
}

impl SimFile {
    fn must_be_writable(&self, op: &'static str) -> Result<(), DiskError> {
        let denied = || DiskError::new(op, &self.path, io::ErrorKind::PermissionDenied.into());
        self.writable.then_some(()).ok_or_else(denied)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        at("read", &self.path, self.disk.0.lock().read(self.node, offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError> {
        self.must_be_writable("write")?;
        at("write", &self.path, self.disk.0.lock().write(self.node, &self.path, offset, bytes))
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.must_be_writable("truncate")?;
        at("truncate", &self.path, self.disk.0.lock().truncate(self.node, &self.path, len))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        at("fdatasync", &self.path, self.disk.0.lock().sync(self.node, &self.path))
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        at("fsync", &self.path, self.disk.0.lock().sync(self.node, &self.path))
    }

    fn len(&self) -> Result<u64, DiskError> {
        at("stat", &self.path, self.disk.0.lock().len(self.node))
    }

    fn map(&self) -> Result<FileView, DiskError> {
        let mut bytes = vec![0; usize::try_from(self.len()?).unwrap_or(0)];
        let taken = self.read_at(0, &mut bytes)?;
        bytes.truncate(taken);
        Ok(FileView::Owned(bytes))
    }
}

fn at<T>(op: &'static str, path: &str, result: io::Result<T>) -> Result<T, DiskError> {
    result.map_err(|error| DiskError::new(op, path, error))
}
