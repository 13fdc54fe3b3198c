//! A directory of a disk as a disk of its own.

use super::{Disk, DiskError, DiskFile, DiskLock, OpenMode, durable};
use crate::clock::UnixMillis;

/// What is below a directory; it need not be there yet.
#[derive(Debug)]
pub struct Below<'d> {
    disk: &'d dyn Disk,
    dir: &'d str,
}

impl<'d> Below<'d> {
    /// What is below `dir`.
    pub fn new(disk: &'d dyn Disk, dir: &'d str) -> Self {
        Self { disk, dir }
    }

    fn path(&self, path: &str) -> String {
        if path.is_empty() { self.dir.to_owned() } else { durable::join(self.dir, path) }
    }
}

impl Disk for Below<'_> {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Box<dyn DiskFile>, DiskError> {
        self.disk.open(&self.path(path), mode)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.link(&self.path(from), &self.path(to))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.disk.remove(&self.path(path))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(&self.path(dir))
    }

    fn create_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.disk.create_dir(&self.path(dir))
    }

    fn remove_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.disk.remove_dir(&self.path(dir))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.disk.sync_dir(&self.path(dir))
    }

    fn lock(&self, path: &str, content: &str) -> Result<DiskLock, DiskError> {
        self.disk.lock(&self.path(path), content)
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        self.disk.free_bytes()
    }

    fn modified(&self, path: &str) -> Option<UnixMillis> {
        self.disk.modified(&self.path(path))
    }

    fn file_len(&self, path: &str) -> Result<Option<u64>, DiskError> {
        self.disk.file_len(&self.path(path))
    }
}
