//! Restoring: the files of a plan, into a directory that a server starts on, or as one RDB file.
//!
//! A directory is only written into when it is empty, or when an interrupted restore of the very same plan
//! left it; then whole files are kept. The log's manifest is written last, so that nothing starts on
//! half of a data set. What was written is read again and compared with the plan: the files' hashes, the log's
//! chain of checksums, and where the backup has them, keys and digest of the loaded state.

use std::sync::Arc;

use super::create::Progress;
use super::fetch::Fetcher;
use super::load::{self, Filter, LoadedState};
use super::plan::{Plan, PlannedFile};
use super::repository::Repository;
use super::source::{self, Source, SourceFile};
use super::{BackupError, manifest};
use crate::aof::filename::FileNames;
use crate::aof::manifest::{Content, Entry, Manifest as LogManifest};
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::Position;
use crate::disk::{Disk, FileView, OpenMode, durable};
use crate::recovery::inspect::view;

/// The log's names in a restored directory: those that `fastness serve` expects.
const LOG_DIR: &str = "appendonlydir";
const LOG_NAME: &str = "appendonly.aof";
const SNAPSHOT: &str = "dump.rdb";
/// Says which restore is under way in a directory.
const MARKER: &str = "temp-restore";
const LOCK: &str = "fastness.lock";

/// What a restore came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files written, and those that an interrupted restore had written.
    pub files: u64,
    /// See `files`.
    pub files_kept: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Keys, when the state was loaded or has no log.
    pub keys: Option<u64>,
    /// DEBUG DIGEST, when the state was loaded.
    pub digest: Option<String>,
    /// Whether the digest was compared with the backup's.
    pub digest_compared: bool,
}

/// Restores into the root of `disk`, which is made if it is not there.
pub fn to_directory(
    repository: &Repository,
    plan: &Plan,
    disk: &dyn Disk,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Restored, BackupError> {
    begin(disk, plan)?;
    let _lock = lock(disk)?;
    let fetcher = Fetcher::new(repository, threads, plan.size(), progress);
    let mut restored = Restored { bytes: plan.size(), ..Restored::default() };
    let is_log = plan.files.iter().any(|planned| planned.file.seq > 0);
    if is_log {
        durable::create_dir(disk, LOG_DIR)?;
    }
    let mut log = LogManifest::default();
    for planned in &plan.files {
        let name = new_name(plan, planned);
        let path = if planned.file.seq > 0 { durable::join(LOG_DIR, &name) } else { name.clone() };
        match is_there(disk, &path, planned) {
            true => restored.files_kept += 1,
            false => write_file(disk, &path, planned, &fetcher)?,
        }
        restored.files += 1;
        let content = view(disk, &path).map(|bytes| Content::of(&bytes))?;
        list(&mut log, Entry::new(name, planned.file.seq), planned, (plan, content));
    }
    disk.sync_dir(if is_log { LOG_DIR } else { "" })?;
    if is_log {
        let names = FileNames::new(LOG_DIR, LOG_NAME);
        let (temp, path) = (names.path(&names.temp_manifest()), names.path(&names.manifest()));
        durable::replace_file(disk, &temp, &path, &log.encode())
            .map_err(|error| BackupError::Disk(error.into_inner()))?;
    }
    verify(disk, plan, &mut restored)?;
    disk.remove(MARKER)?;
    disk.sync_dir("")?;
    Ok(restored)
}

/// Makes the directory, or refuses it.
fn begin(disk: &dyn Disk, plan: &Plan) -> Result<(), BackupError> {
    let marker = format!("{} {:?} {}\n", plan.manifest.id, plan.position, plan.size());
    make_root(disk)?;
    let there: Vec<String> =
        disk.list("")?.into_iter().filter(|name| name != LOCK && name != "lost+found/").collect();
    if there.is_empty() {
        let file = disk.open(MARKER, OpenMode::CreateOrTruncate)?;
        file.write_all_at(0, marker.as_bytes())?;
        file.sync_all()?;
        disk.sync_dir("")?;
        return Ok(());
    }
    let same =
        durable::read_small(disk, MARKER, 4096)?.is_some_and(|text| text == marker.as_bytes());
    if same {
        return Ok(());
    }
    Err(BackupError::refused(
        format!("the directory is not empty: it has {}", there.join(", ")),
        "name a directory that is empty or not there",
    ))
}

/// Makes the directory itself, if it is not there.
fn make_root(disk: &dyn Disk) -> Result<(), BackupError> {
    match disk.list("") {
        Err(error) if error.is_not_found() => Ok(disk.create_dir("")?),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

/// Keeps servers out.
fn lock(disk: &dyn Disk) -> Result<crate::disk::DiskLock, BackupError> {
    disk.lock(LOCK, &format!("{}\n", std::process::id())).map_err(BackupError::Disk)
}

/// The name under which `fastness serve` looks for it.
fn new_name(plan: &Plan, planned: &PlannedFile) -> String {
    let file = &planned.file;
    if file.seq == 0 {
        return SNAPSHOT.to_owned();
    }
    match file.name.strip_prefix(&plan.manifest.origin.log_name) {
        Some(rest) => format!("{LOG_NAME}{rest}"),
        None => file.name.clone(),
    }
}

fn list(
    log: &mut LogManifest,
    mut entry: Entry,
    planned: &PlannedFile,
    (plan, content): (&Plan, Content),
) {
    let file = &planned.file;
    if planned.is_base {
        if let Some(position) = file.position {
            entry = entry.with_position(Position(position));
        }
        log.base = Some(entry.with_content(Some(content)));
    } else {
        if let Some(salt) = file.salt {
            entry = entry.with_salt(salt);
            // So that a start finds a file that ends early, even at the end of a frame.
            let shortened = planned.content.is_some();
            let end = if shortened { plan.position } else { file.end };
            if let Some(end) = end {
                entry.set_end(Position(end));
            }
        }
        log.incrs.push(entry);
    }
}

/// Whether an interrupted restore has written the whole file.
fn is_there(disk: &dyn Disk, path: &str, planned: &PlannedFile) -> bool {
    let right_size = disk.file_len(path).is_ok_and(|len| len == Some(planned.size()));
    right_size && view(disk, path).is_ok_and(|bytes| planned.is(&bytes))
}

fn write_file(
    disk: &dyn Disk,
    path: &str,
    planned: &PlannedFile,
    fetcher: &Fetcher<'_>,
) -> Result<(), BackupError> {
    let file = disk.open(path, OpenMode::CreateOrTruncate)?;
    match &planned.content {
        Some(content) => file.write_all_at(0, content)?,
        None => fetcher.each_part(&planned.file, &|offset, content| {
            Ok(file.write_all_at(offset, &content)?)
        })?,
    }
    file.sync_all()?;
    drop(file);
    // As it will be read by the start: from the disk, whole.
    if !planned.is(&view(disk, path)?) {
        return Err(BackupError::Source {
            what: format!("{path} was not read back as it was written: is the disk sound?"),
        });
    }
    Ok(())
}

/// Reads what was written as a start would, and compares.
fn verify(disk: &dyn Disk, plan: &Plan, restored: &mut Restored) -> Result<(), BackupError> {
    let source = source::of_directory(disk)?;
    compare(plan, &source)?;
    restored.keys = source.keys;
    if plan.whole && plan.manifest.digest.is_some() {
        let loaded = load::of_source(&source)?;
        compare_digest(&plan.manifest, &loaded)?;
        restored.keys = Some(loaded.keys());
        restored.digest = Some(loaded.digest());
        restored.digest_compared = true;
    }
    Ok(())
}

fn compare(plan: &Plan, source: &Source) -> Result<(), BackupError> {
    let units = |source: &Source| source.segments.iter().map(|file| file.records).sum::<u64>();
    let wrong = |what: String| Err(BackupError::Source { what });
    if source.position != plan.position {
        return wrong(format!(
            "the restored log ends at position {:?} instead of {:?}",
            source.position, plan.position
        ));
    }
    let expected: u64 =
        plan.files.iter().filter(|file| !file.is_base).map(|file| file.file.records).sum();
    if plan.whole && units(source) != expected {
        return wrong(format!(
            "the restored log has {} units instead of {expected}",
            units(source)
        ));
    }
    Ok(())
}

fn compare_digest(manifest: &manifest::Manifest, loaded: &LoadedState) -> Result<(), BackupError> {
    let (digest, keys) = (loaded.digest(), loaded.keys());
    let right = manifest.digest.as_ref().is_none_or(|expected| *expected == digest)
        && manifest.keys.is_none_or(|expected| expected == keys);
    if right {
        return Ok(());
    }
    Err(BackupError::Source {
        what: format!(
            "the restored state has {keys} keys and digest {digest} instead of {} and {}",
            manifest.keys.unwrap_or_default(),
            manifest.digest.as_deref().unwrap_or_default()
        ),
    })
}

/// The state of a plan, loaded into memory and verified.
pub fn to_memory(
    repository: &Repository,
    plan: &Plan,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<LoadedState, BackupError> {
    let fetcher = Fetcher::new(repository, threads, plan.size(), progress);
    let mut source = Source::default();
    for planned in &plan.files {
        let content = match &planned.content {
            Some(content) => content.clone(),
            None => fetcher.content(&planned.file)?,
        };
        let file = &planned.file;
        let mut file = SourceFile::new(&file.name, file.seq, file.salt, FileView::Owned(content));
        match planned.is_base {
            true => {
                file.position = planned.file.position;
                source.base = Some(file);
            }
            false => source.segments.push(file),
        }
    }
    let source = source::check(source)?;
    compare(plan, &source)?;
    let loaded = load::of_source(&source)?;
    if plan.whole {
        compare_digest(&plan.manifest, &loaded)?;
    }
    Ok(loaded)
}

/// Restores some keys, or all, as one RDB file: `path` on `disk`, which nothing may have.
pub fn to_rdb(
    loaded: &mut LoadedState,
    filter: &Filter,
    disk: &dyn Disk,
    path: &str,
) -> Result<Restored, BackupError> {
    if disk.file_len(path)?.is_some() {
        return Err(BackupError::refused(
            format!("{path} is there already"),
            "name a file that is not there",
        ));
    }
    loaded.keep(filter);
    let bytes = loaded.write_rdb(disk, path)?;
    let written = view(disk, path)?;
    debug_assert!(starts_with_snapshot(&written), "it is an RDB file");
    let name = path.rsplit('/').next().unwrap_or(path);
    let source = source::of_snapshot(name, written)?;
    if source.keys != Some(loaded.keys()) {
        return Err(BackupError::Source { what: format!("{path} does not hold all keys") });
    }
    let digest = Some(loaded.digest());
    let keys = source.keys;
    Ok(Restored { files: 1, bytes, keys, digest, ..Restored::default() })
}

/// Restores some keys into the root of `disk`, as a snapshot that `fastness serve` starts on.
pub fn keys_to_directory(
    loaded: &mut LoadedState,
    filter: &Filter,
    disk: &Arc<dyn Disk>,
) -> Result<Restored, BackupError> {
    make_root(disk.as_ref())?;
    let there: Vec<String> = disk.list("")?.into_iter().filter(|name| name != LOCK).collect();
    if !there.is_empty() {
        return Err(BackupError::refused(
            format!("the directory is not empty: it has {}", there.join(", ")),
            "name a directory that is empty or not there",
        ));
    }
    let _lock = lock(disk.as_ref())?;
    to_rdb(loaded, filter, disk.as_ref(), SNAPSHOT)
}
