//! A repository in a directory: an object is a file, its name the path below the directory.
//!
//! An object is written under a temporary name, synced, given its own name as a second one, and the directory synced; so
//! it is there whole or not at all, through a power loss too. A second name must be free, and the file system sees to that: of
//! two writers one has it, and the other is told. Leftovers start with `temp-` and mean nothing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Listed, Put, Store, StoreError};
use crate::disk::{DiskError, FileView, OpenMode, SharedDisk, durable};
use crate::rng::random_hex;

const TEMPORARY: &str = "temp-";

/// A directory of a file system.
#[derive(Debug)]
pub struct LocalStore {
    disk: SharedDisk,
    root: String,
    /// Directories that are known to be there, durably.
    made: Mutex<HashSet<String>>,
    /// Makes temporary names differ from those of every other writer, here or on another machine. A leftover may be the
    /// first name of an object: who opened it to write would change that.
    word: String,
    /// Makes them differ from one another.
    count: AtomicU64,
}

impl LocalStore {
    /// The store below `root`, which the first object makes.
    pub fn new(disk: SharedDisk, root: &str) -> Self {
        let root = root.trim_end_matches('/');
        let root = if root.is_empty() { "/" } else { root };
        let (root, word, count) = (root.to_owned(), random_hex(16), AtomicU64::new(0));
        Self { disk, root, made: Mutex::default(), word, count }
    }

    fn path(&self, name: &str) -> String {
        if name.is_empty() { self.root.clone() } else { durable::join(&self.root, name) }
    }

    /// Makes the directories on the way to `path`, the root included.
    fn make_parents(&self, path: &str) -> Result<(), DiskError> {
        let parent = durable::parent(path);
        if parent.is_empty() || parent == "." || self.made.lock().contains(parent) {
            return Ok(());
        }
        if self.disk.list(parent).is_err() {
            self.make_parents(parent)?;
            durable::create_dir(self.disk.as_ref(), parent)?;
        }
        self.made.lock().insert(parent.to_owned());
        Ok(())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<Put, DiskError> {
        self.make_parents(path)?;
        let dir = durable::parent(path);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let temp = durable::join(dir, &format!("{TEMPORARY}{}-{number}", self.word));
        let written = || -> Result<Put, DiskError> {
            let file = self.disk.open(&temp, OpenMode::CreateOrTruncate)?;
            file.write_all_at(0, bytes)?;
            file.sync_all()?;
            self.name(&temp, path)
        };
        let put = written();
        // A leftover means nothing.
        let _ = self.disk.remove(&temp);
        let put = put?;
        // Also where somebody else stored it: he may not have come to this yet.
        self.disk.sync_dir(dir)?;
        Ok(put)
    }

    /// Gives what is written the name `path`, unless something has it.
    fn name(&self, temp: &str, path: &str) -> Result<Put, DiskError> {
        use std::io::ErrorKind as Kind;
        match self.disk.link(temp, path) {
            Ok(()) => Ok(Put::Stored),
            Err(error) if error.source.kind() == Kind::AlreadyExists => Ok(Put::WasThere),
            // A file system without second names (FAT, some of a network): looking first is all that is left.
            Err(error)
                if matches!(error.source.kind(), Kind::Unsupported | Kind::PermissionDenied) =>
            {
                if self.disk.file_len(path)?.is_some() {
                    return Ok(Put::WasThere);
                }
                self.disk.rename(temp, path).map(|()| Put::Stored)
            }
            Err(error) => Err(error),
        }
    }

    fn walk(&self, dir: &str, found: &mut Vec<Listed>) -> Result<(), DiskError> {
        let names = match self.disk.list(&self.path(dir.trim_end_matches('/'))) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        for name in names {
            let full = format!("{dir}{name}");
            if name.ends_with('/') {
                self.walk(&full, found)?;
            } else if !name.starts_with(TEMPORARY) {
                // It may be removed meanwhile.
                if let Some(size) = self.disk.file_len(&self.path(&full))? {
                    found.push(Listed { name: full, size });
                }
            }
        }
        Ok(())
    }
}

/// A failure of the file system. What a network below it does may be over soon; a disk that is full is not.
fn failed(op: &'static str, name: &str, error: &DiskError) -> StoreError {
    use std::io::ErrorKind as Kind;
    let transient = matches!(
        error.source.kind(),
        Kind::TimedOut
            | Kind::Interrupted
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
            | Kind::StaleNetworkFileHandle
            | Kind::ConnectionReset
            | Kind::NotConnected
    );
    StoreError { transient, ..StoreError::failed(op, name, error) }
}

impl Store for LocalStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(name);
        let failed = |error: DiskError| failed("put", name, &error);
        if self.disk.file_len(&path).map_err(failed)?.is_some() {
            return Ok(Put::WasThere);
        }
        self.write(&path, bytes).map_err(failed)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let read = || -> Result<Vec<u8>, DiskError> {
            match self.disk.open(&self.path(name), OpenMode::Read)?.map()? {
                FileView::Owned(bytes) => Ok(bytes),
                FileView::Mapped(map) => Ok(map.to_vec()),
            }
        };
        read().map_err(|error| match error.is_not_found() {
            true => StoreError::not_found("get", name),
            false => failed("get", name, &error),
        })
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let found = self.disk.file_len(&self.path(name));
        found.map_err(|error| failed("look at", name, &error))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut found = Vec::new();
        self.walk(prefix, &mut found).map_err(|error| failed("list", prefix, &error))?;
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        durable::remove_if_there(self.disk.as_ref(), &path)
            .and_then(|()| match self.disk.list(durable::parent(&path)) {
                Ok(_) => self.disk.sync_dir(durable::parent(&path)),
                Err(_) => Ok(()),
            })
            .map_err(|error| failed("remove", name, &error))
    }

    fn place(&self) -> String {
        self.root.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::sim::{CrashMode, Fault, SimDisk};
    use crate::rng::SeededRng;

    #[test]
    fn after_a_power_loss_an_object_is_there_whole_or_not_at_all() {
        for at in 0.. {
            let disk = SimDisk::new();
            let store = LocalStore::new(Arc::new(disk.clone()), "repository");
            disk.fail_at(at, Fault::PowerCut);
            let done = store.put_new("objects/aa/name", b"content").is_ok();
            for mode in CrashMode::ALL {
                for seed in 0..6 {
                    let left = Arc::new(disk.crash(mode, &mut SeededRng::new(seed)));
                    let store = LocalStore::new(left, "repository");
                    let found = store.get("objects/aa/name");
                    let whole = found.as_deref().is_ok_and(|bytes| bytes == b"content");
                    let none = found.as_ref().is_err_and(StoreError::is_not_found);
                    assert!(whole || (none && !done), "cut at {at}, {mode:?}: {found:?}");
                    let listed = store.list("").unwrap();
                    assert_eq!(listed.len(), usize::from(whole), "{listed:?}");
                }
            }
            if done {
                assert!(at > 8, "directories, file, second name and their syncs");
                break;
            }
        }
    }

    #[test]
    fn objects_are_never_stored_over_others_and_lists_know_prefixes() {
        let store = LocalStore::new(Arc::new(SimDisk::new()), "r");
        assert_eq!(store.list("").unwrap(), []);
        assert_eq!(store.put_new("a/b", b"first").unwrap(), Put::Stored);
        assert_eq!(store.put_new("a/b", b"second").unwrap(), Put::WasThere);
        assert_eq!(store.put_new("c", b"").unwrap(), Put::Stored);
        assert_eq!(store.get("a/b").unwrap(), b"first");
        let listed = |prefix: &str| -> Vec<String> {
            store.list(prefix).unwrap().into_iter().map(|listed| listed.name).collect()
        };
        assert_eq!(listed(""), ["a/b", "c"]);
        assert_eq!(listed("a/"), ["a/b"]);
        assert_eq!(store.size("a/b").unwrap(), Some(5));
        store.remove("a/b").unwrap();
        store.remove("a/b").unwrap();
        assert_eq!(store.size("a/b").unwrap(), None);
    }

    #[test]
    fn of_two_writers_at_once_one_has_the_name_and_the_other_is_told() {
        for _ in 0..20 {
            let disk = Arc::new(SimDisk::new());
            let stores: Vec<LocalStore> =
                (0..4).map(|_| LocalStore::new(Arc::<SimDisk>::clone(&disk), "r")).collect();
            let start = std::sync::Barrier::new(stores.len());
            let put = |index: usize, store: &LocalStore| {
                start.wait();
                let content = vec![b'a'; 100 + index];
                (0..50)
                    .filter(|n| store.put_new(&format!("o/{n}"), &content).unwrap() == Put::Stored)
                    .map(|n| (n, content.clone()))
                    .collect::<Vec<_>>()
            };
            let stored: Vec<(usize, Vec<u8>)> = std::thread::scope(|scope| {
                let work: Vec<_> = stores
                    .iter()
                    .enumerate()
                    .map(|(index, store)| scope.spawn(move || put(index, store)))
                    .collect();
                work.into_iter().flat_map(|own| own.join().unwrap()).collect()
            });
            assert_eq!(stored.len(), 50, "each name was given once");
            for (n, content) in stored {
                assert_eq!(stores[0].get(&format!("o/{n}")).unwrap(), content);
            }
            assert!(disk.files().iter().all(|path| !path.contains(TEMPORARY)), "nothing is left");
        }
    }
}
