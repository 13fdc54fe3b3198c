//! Restoring what is not the files as they were: some keys into a directory, or everything or some keys as one RDB file.
//!
//! The files are fetched first, as a whole restore fetches them (`restore::fetch`): what an interrupted run has
//! fetched is kept by the next one. Then they are loaded from there, what is wanted is written beside them under a
//! temporary name and read back, the fetched files go, and last the result gets its name. So nothing has that name before
//! it is whole.

use super::BackupError;
use super::create::Progress;
use super::load::{self, Filter, LoadedState};
use super::plan::Plan;
use super::repository::Repository;
use super::restore::{self, Fetched, Restored, SNAPSHOT};
use super::source;
use crate::disk::below::Below;
use crate::disk::{Disk, durable};
use crate::recovery::inspect::view;
use crate::snapshot::target::Target;

/// The snapshot of chosen keys while it is written.
const TEMPORARY_SNAPSHOT: &str = "temp-dump.rdb";

/// Where and how an RDB file is written.
#[derive(Clone, Copy, Debug)]
pub struct RdbFile<'r> {
    /// Its path on the disk, which nothing may have.
    pub path: &'r str,
    /// Its version.
    pub target: Target,
}

/// Restores some keys into the root of `disk`, as a snapshot that `fastness serve` starts on.
pub fn keys_to_directory(
    repository: &Repository,
    plan: &Plan,
    filter: &Filter,
    disk: &dyn Disk,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Restored, BackupError> {
    let extra = [SNAPSHOT, TEMPORARY_SNAPSHOT];
    let fetched = restore::fetch(repository, plan, disk, &extra, threads, progress)?;
    let Written { restored, leftover, _lock } =
        write(fetched, plan, filter, disk, (disk, TEMPORARY_SNAPSHOT, Target::Newest))?;
    clear(disk, &leftover)?;
    disk.rename(TEMPORARY_SNAPSHOT, SNAPSHOT)?;
    disk.sync_dir("")?;
    restore::end(disk)?;
    Ok(restored)
}

/// Restores some keys, or all, as one RDB file on `disk`. What is fetched is in a directory beside it meanwhile.
pub fn to_rdb(
    repository: &Repository,
    plan: &Plan,
    filter: &Filter,
    (disk, file): (&dyn Disk, RdbFile<'_>),
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Restored, BackupError> {
    if disk.file_len(file.path)?.is_some() {
        let why = format!("{} is there already", file.path);
        return Err(BackupError::refused(why, "name a file that is not there"));
    }
    let (temp, dir) = (beside(file.path, "temp-"), beside(file.path, "temp-restore-"));
    let below = Below::new(disk, &dir);
    let fetched = restore::fetch(repository, plan, &below, &[], threads, progress)?;
    let Written { restored, leftover, _lock } =
        write(fetched, plan, filter, &below, (disk, &temp, file.target))?;
    clear(&below, &leftover)?;
    restore::end(&below)?;
    below.remove(restore::LOCK)?;
    below.remove_dir("")?;
    disk.rename(&temp, file.path)?;
    disk.sync_dir(durable::parent(file.path))?;
    Ok(restored)
}

/// A name in the same directory.
fn beside(path: &str, prefix: &str) -> String {
    match path.rsplit_once('/') {
        Some((dir, name)) => format!("{dir}/{prefix}{name}"),
        None => format!("{prefix}{path}"),
    }
}

/// A result that is whole but for its name.
struct Written {
    restored: Restored,
    /// The files that were fetched for it.
    leftover: Vec<String>,
    _lock: crate::disk::DiskLock,
}

/// Loads what was fetched and writes what is wanted of it, durably, under a temporary name.
fn write(
    fetched: Fetched,
    plan: &Plan,
    filter: &Filter,
    from: &dyn Disk,
    (disk, temp, target): (&dyn Disk, &str, Target),
) -> Result<Written, BackupError> {
    let Fetched { restored: had, source, files, lock } = fetched;
    let mut loaded = load::of_source(&source)?;
    drop(source);
    restore::compare_state(plan, &loaded)?;
    loaded.keep(filter);
    from.sync_dir("")?;
    let bytes = loaded.write_rdb(disk, temp, target)?;
    if let Err(error) = check(disk, temp, &loaded) {
        durable::remove_if_there(disk, temp)?;
        return Err(error);
    }
    let restored = Restored {
        files: 1,
        files_kept: 0,
        bytes,
        bytes_kept: had.bytes_kept,
        keys: Some(loaded.keys()),
        digest: Some(loaded.digest()),
        // Of the state that they were taken from.
        digest_compared: plan.whole && plan.manifest.digest.is_some() && filter.is_empty(),
        ..Restored::default()
    };
    Ok(Written { restored, leftover: files, _lock: lock })
}

/// Reads what was written and compares.
fn check(disk: &dyn Disk, temp: &str, loaded: &LoadedState) -> Result<(), BackupError> {
    let name = temp.rsplit('/').next().unwrap_or(temp);
    let written = source::of_snapshot(name, view(disk, temp)?)?;
    match written.keys == Some(loaded.keys()) {
        true => Ok(()),
        false => Err(BackupError::Source { what: format!("{temp} does not hold all keys") }),
    }
}

/// Removes what was fetched.
fn clear(disk: &dyn Disk, files: &[String]) -> Result<(), BackupError> {
    let (temp, manifest) = restore::log_manifest();
    for name in [&manifest, &temp].into_iter().chain(files) {
        durable::remove_if_there(disk, name)?;
    }
    match disk.remove_dir(restore::LOG_DIR) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
