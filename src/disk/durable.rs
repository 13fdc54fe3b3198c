//! The two changes of names that must survive power loss: replacing a file, creating a directory.
//!
//! A file is replaced by writing the new content under another name in the same directory, syncing it,
//! renaming it over the old one and syncing the directory. At every instant a reader, and a restart,
//! finds the old content or the new, whole. The manifest swap rests on this.
//!
//! When it fails before the rename nothing has changed. When it fails after, nobody knows which of the two a
//! power loss would leave: the caller must keep every file that either content names, and must not go
//! on as if one of them held ([`ReplaceError::Unknown`]).

use std::fmt;

#[cfg(any(test, feature = "sim"))]
use super::sim::canary;
use super::{Disk, DiskError, OpenMode};

/// Why a file was not replaced, and whether it may have been.
#[derive(Debug)]
pub enum ReplaceError {
    /// The old content is in place, live and durable.
    Unchanged(DiskError),
    /// The new content is live; which one is durable is not known.
    Unknown(DiskError),
}

impl ReplaceError {
    /// The failed operation.
    pub fn into_inner(self) -> DiskError {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => error,
        }
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged(error) => error.fmt(f),
            Self::Unknown(error) => write!(f, "{error} (after the rename)"),
        }
    }
}

impl std::error::Error for ReplaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => Some(error),
        }
    }
}

/// Atomically and durably gives the file `path` the content `bytes`, by way of `temp` in the same directory.
pub fn replace_file(
    disk: &dyn Disk,
    temp: &str,
    path: &str,
    bytes: &[u8],
) -> Result<(), ReplaceError> {
    debug_assert_eq!(parent(temp), parent(path), "one sync_dir must cover both names");
    let prepared = write_synced(disk, temp, bytes).and_then(|()| disk.rename(temp, path));
    if let Err(error) = prepared {
        // A leftover is overwritten by the next attempt, so not getting rid of it does no harm.
        let _ = disk.remove(temp);
        return Err(ReplaceError::Unchanged(error));
    }
    #[cfg(any(test, feature = "sim"))]
    if canary::planted(canary::Canary::ForgottenDirectorySync) {
        return Ok(());
    }
    disk.sync_dir(parent(path)).map_err(ReplaceError::Unknown)
}

/// Creates `dir` and makes its name durable; fine when it is there already.
pub fn create_dir(disk: &dyn Disk, dir: &str) -> Result<(), DiskError> {
    disk.create_dir(dir)?;
    disk.sync_dir(parent(dir))
}

/// Removes a file; fine when it is gone already. Durable after `sync_dir`.
pub fn remove_if_there(disk: &dyn Disk, path: &str) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

/// The whole of a small file, `None` when it is not there; one longer than `len_max` is an error.
pub fn read_small(
    disk: &dyn Disk,
    path: &str,
    len_max: usize,
) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len > len_max {
        let reason = std::io::Error::other(format!("{len} bytes where {len_max} are the most"));
        return Err(DiskError::new("read", path, reason));
    }
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let taken = file.read_at(filled as u64, rest)?;
        if taken == 0 {
            break;
        }
        filled += taken;
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// The directory that holds the name `path`; empty for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// `name` inside `dir`, where an empty `dir` is the root.
pub fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn write_synced(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.open(path, OpenMode::CreateOrTruncate)?;
    file.write_all_at(0, bytes)?;
    #[cfg(any(test, feature = "sim"))]
    if canary::planted(canary::Canary::ForgottenFileSync) {
        return Ok(());
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::sim::{CrashMode, Fault, SimDisk};
    use super::*;
    use crate::rng::SeededRng;

    fn content(disk: &SimDisk) -> Option<Vec<u8>> {
        read_small(disk, "d/file", 100).unwrap()
    }

    /// A disk on which `d/file` durably holds `old`.
    fn start() -> SimDisk {
        let disk = SimDisk::new();
        create_dir(&disk, "d").unwrap();
        replace_file(&disk, "d/temp", "d/file", b"old").unwrap();
        disk
    }

    #[test]
    fn after_power_loss_at_any_operation_the_file_is_old_or_new_and_whole() {
        let first = start().operation_count();
        let mut news = 0;
        for at in first.. {
            let disk = start();
            disk.fail_at(at, Fault::PowerCut);
            let done = replace_file(&disk, "d/temp", "d/file", b"new!").is_ok();
            for mode in CrashMode::ALL {
                for seed in 0..8 {
                    let found = content(&disk.crash(mode, &mut SeededRng::new(seed)));
                    news += usize::from(found.as_deref() == Some(b"new!"));
                    let found = found.unwrap();
                    let right = found == b"new!" || (!done && found == b"old");
                    assert!(right, "cut at {at}, {mode:?}: {found:?}");
                }
            }
            if done {
                assert_eq!(at, first + 5, "open, write, fsync, rename, fsync directory");
                break;
            }
        }
        assert!(news > 7 * 8, "some unfinished replacements are found finished");
    }

    #[test]
    fn failure_before_the_rename_changes_nothing_and_after_it_is_unknown() {
        let first = start().operation_count();
        for at in first..first + 4 {
            let disk = start();
            disk.fail_at(at, Fault::Eio);
            let error = replace_file(&disk, "d/temp", "d/file", b"new!").unwrap_err();
            assert!(matches!(error, ReplaceError::Unchanged(_)), "{at} {error}");
            assert_eq!(content(&disk).unwrap(), b"old");
            assert_eq!(disk.list("d").unwrap(), ["file"]);
        }
        let disk = start();
        disk.fail_at(first + 4, Fault::SyncDropsPages);
        let error = replace_file(&disk, "d/temp", "d/file", b"new!").unwrap_err();
        assert!(matches!(error, ReplaceError::Unknown(_)), "{error}");
        assert_eq!(content(&disk).unwrap(), b"new!");
        let after = disk.crash(CrashMode::Everything, &mut SeededRng::new(1));
        assert_eq!(content(&after).unwrap(), b"old");
    }

    #[test]
    fn created_directory_survives_nothing_unsynced() {
        let disk = SimDisk::new();
        create_dir(&disk, "d").unwrap();
        disk.create_dir("e").unwrap();
        let after = disk.crash(CrashMode::NothingUnsynced, &mut SeededRng::new(1));
        assert_eq!(after.list("").unwrap(), ["d/"]);
    }

    #[test]
    fn read_small_refuses_long_files_and_tells_missing_ones() {
        let disk = start();
        assert!(read_small(&disk, "d/file", 2).is_err());
        assert!(read_small(&disk, "d/none", 2).unwrap().is_none());
    }
}
