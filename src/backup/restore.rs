//! Restoring: the files of a plan, into a directory that a server starts on; or into memory.
//!
//! A directory is only written into when it is empty, or when an interrupted restore from the same repository
//! left it; then every part that is there already, by its hash, is kept. A mark (`unfinished`) is there from before
//! the first file until everything is verified, and nothing starts on a directory that has it; the log's
//! manifest is written last besides. What was written is read again and compared with the plan: the files'
//! hashes, the log's chain of checksums, and where the backup has them, keys and digest of the loaded state.

use std::sync::atomic::{AtomicU64, Ordering};

use super::BackupError;
use super::create::Progress;
use super::fetch::Fetcher;
use super::load::{self, LoadedState};
use super::object::Sha;
use super::plan::{Plan, PlannedFile};
use super::repository::Repository;
use super::source::{self, Source, SourceFile};
use super::unfinished::{self, MARK, MARK_TEMPORARY, Unfinished};
use crate::aof::filename::FileNames;
use crate::aof::manifest::{Content, Entry, Manifest as LogManifest};
use crate::aof::record::Position;
use crate::disk::{Disk, DiskFile, DiskLock, FileView, OpenMode, durable};
use crate::recovery::inspect::view;

/// The log's names in a restored directory: those that `fastness serve` expects.
pub(super) const LOG_DIR: &str = "appendonlydir";
const LOG_NAME: &str = "appendonly.aof";
pub(super) const SNAPSHOT: &str = "dump.rdb";
pub(super) const LOCK: &str = "fastness.lock";

/// What a restore came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files written, and those that an interrupted restore had written.
    pub files: u64,
    /// See `files`.
    pub files_kept: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes that an interrupted restore had written, and that were not fetched again.
    pub bytes_kept: u64,
    /// Keys, when the state was loaded or has no log.
    pub keys: Option<u64>,
    /// DEBUG DIGEST, when the state was loaded.
    pub digest: Option<String>,
    /// Whether the digest was compared with the backup's.
    pub digest_compared: bool,
    /// Keys that the server had already.
    pub keys_kept: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// The files of a plan in a directory, verified; the mark says still that it is unfinished.
pub(super) struct Fetched {
    pub(super) restored: Restored,
    pub(super) source: Source,
    /// The names of the files, below the directory.
    pub(super) files: Vec<String>,
    pub(super) lock: DiskLock,
}

/// Restores into the root of `disk`, which is made if it is not there.
pub fn to_directory(
    repository: &Repository,
    plan: &Plan,
    disk: &dyn Disk,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Restored, BackupError> {
    let Fetched { mut restored, source, lock: _lock, .. } =
        fetch(repository, plan, disk, &[], threads, progress)?;
    restored.keys = source.keys;
    if plan.whole && plan.manifest.digest.is_some() {
        let loaded = load::of_source(&source)?;
        compare_state(plan, &loaded)?;
        restored.keys = Some(loaded.keys());
        restored.digest = Some(loaded.digest());
        restored.digest_compared = true;
    }
    end(disk)?;
    Ok(restored)
}

/// Brings the files of a plan into the root of `disk`, as far as an earlier run did not. `extra`: files that are this
/// restore's besides, and that an earlier run may have left.
pub(super) fn fetch(
    repository: &Repository,
    plan: &Plan,
    disk: &dyn Disk,
    extra: &[&str],
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Fetched, BackupError> {
    make_root(disk)?;
    let earlier = look(disk, repository)?;
    let lock = lock(disk)?;
    let files = begin(disk, repository, plan, extra, earlier)?;
    let fetcher = Fetcher::new(repository, threads, plan.size(), progress);
    let mut restored = Restored { bytes: plan.size(), ..Restored::default() };
    let is_log = plan.files.iter().any(|planned| planned.file.seq > 0);
    if is_log {
        durable::create_dir(disk, LOG_DIR)?;
    }
    let mut log = LogManifest::default();
    for planned in &plan.files {
        let name = new_name(plan, planned);
        let path = path_of(&name, planned);
        restored.files_kept += u64::from(write_file(disk, &path, planned, &fetcher)?);
        restored.files += 1;
        let content = view(disk, &path).map(|bytes| Content::of(&bytes))?;
        list(&mut log, Entry::new(name, planned.file.seq), planned, (plan, content));
    }
    restored.bytes_kept = fetcher.kept.load(Ordering::Relaxed);
    disk.sync_dir(if is_log { LOG_DIR } else { "" })?;
    if is_log {
        let (temp, path) = log_manifest();
        durable::replace_file(disk, &temp, &path, &log.encode())
            .map_err(|error| BackupError::Disk(error.into_inner()))?;
    }
    // As a start would read it.
    let source = source::of_unfinished(disk)?;
    compare(plan, &source)?;
    Ok(Fetched { restored, source, files, lock })
}

/// The names under which the log's manifest is written, and read.
pub(super) fn log_manifest() -> (String, String) {
    let names = FileNames::new(LOG_DIR, LOG_NAME);
    (names.path(&names.temp_manifest()), names.path(&names.manifest()))
}

/// Below the directory.
fn path_of(name: &str, planned: &PlannedFile) -> String {
    if planned.file.seq > 0 { durable::join(LOG_DIR, name) } else { name.to_owned() }
}

/// Refuses a directory that a restore may not write to, before anything is fetched for it.
pub fn may_write_to(repository: &Repository, disk: &dyn Disk) -> Result<(), BackupError> {
    match disk.list("") {
        Err(error) if error.is_not_found() => Ok(()),
        _ => look(disk, repository).map(drop),
    }
}

/// Looks whether a directory is free, or left by an interrupted restore that may be gone on with; else it is refused.
fn look(disk: &dyn Disk, repository: &Repository) -> Result<Option<Unfinished>, BackupError> {
    let refused =
        |why: String| Err(BackupError::refused(why, "name a directory that is empty or not there"));
    let own = [LOCK, "lost+found/", MARK, MARK_TEMPORARY];
    let mut there = Vec::new();
    for name in disk.list("")?.into_iter().filter(|name| !own.contains(&name.as_str())) {
        match name.strip_suffix('/').filter(|name| *name == LOG_DIR) {
            Some(dir) => {
                there.extend(disk.list(dir)?.iter().map(|name| durable::join(dir, name)));
            }
            None => there.push(name),
        }
    }
    let mark = unfinished::find(disk)?;
    let (temp, manifest) = log_manifest();
    let found = match mark {
        None if there.is_empty() && disk.list(LOG_DIR).is_err() => return Ok(None),
        None => {
            there.extend(disk.list(LOG_DIR).is_ok().then(|| LOG_DIR.to_owned()));
            return refused(format!("the directory is not empty: it has {}", there.join(", ")));
        }
        Some(Err(_)) if there.is_empty() => return Ok(None),
        Some(Err(what)) => return refused(format!("the directory has {MARK}, and {what}")),
        Some(Ok(found)) => found,
    };
    let others = |name: &String| !found.files.contains(name) && *name != temp && *name != manifest;
    if let Some(other) = there.iter().find(|name| others(name)) {
        return refused(format!(
            "the directory has an unfinished restore, but {other} is not of it"
        ));
    }
    if found.repository != repository.id() {
        let Unfinished { backup, place, .. } = found;
        return refused(format!(
            "the directory has an unfinished restore of backup {backup} from another repository, {place}"
        ));
    }
    Ok(Some(found))
}

/// Marks the directory, and removes what an earlier restore wrote that this one does not have; the names of its files.
fn begin(
    disk: &dyn Disk,
    repository: &Repository,
    plan: &Plan,
    extra: &[&str],
    earlier: Option<Unfinished>,
) -> Result<Vec<String>, BackupError> {
    let files: Vec<String> =
        plan.files.iter().map(|planned| path_of(&new_name(plan, planned), planned)).collect();
    let mut mark = Unfinished {
        repository: repository.id().to_owned(),
        place: repository.place(),
        backup: plan.manifest.id.clone(),
        files: files.clone(),
    };
    let old = earlier.iter().flat_map(|earlier| earlier.files.iter().map(String::as_str));
    for name in extra.iter().copied().chain(old) {
        if !mark.files.iter().any(|own| own == name) {
            mark.files.push(name.to_owned());
        }
    }
    mark.write(disk)?;
    if earlier.is_none() {
        return Ok(files);
    }
    let (temp, manifest) = log_manifest();
    let gone = mark.files.iter().filter(|name| !files.contains(name));
    for name in gone.chain([&temp, &manifest]) {
        durable::remove_if_there(disk, name)?;
    }
    Ok(files)
}

/// Everything is there and verified.
pub(super) fn end(disk: &dyn Disk) -> Result<(), BackupError> {
    disk.remove(MARK)?;
    Ok(disk.sync_dir("")?)
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
fn lock(disk: &dyn Disk) -> Result<DiskLock, BackupError> {
    let own = format!("{}\n", std::process::id());
    disk.lock(LOCK, &own).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::WouldBlock => BackupError::refused(
            format!("the directory is in use: {error}"),
            "wait until that process has ended, a restore or a server, and give the same command again",
        ),
        _ => BackupError::Disk(error),
    })
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

/// Writes a file as far as it is not there; true when it was there whole.
fn write_file(
    disk: &dyn Disk,
    path: &str,
    planned: &PlannedFile,
    fetcher: &Fetcher<'_>,
) -> Result<bool, BackupError> {
    let file = disk.open(path, OpenMode::CreateOrOpen)?;
    let had = file.len()?;
    if had > planned.size() {
        file.truncate(planned.size())?;
    }
    let missing = AtomicU64::new(0);
    match &planned.content {
        Some(content) => {
            let is_there = holds(file.as_ref(), had, 0, content.len() as u64, Sha::of(content))?;
            if !is_there {
                missing.fetch_add(1, Ordering::Relaxed);
                file.write_all_at(0, content)?;
            }
        }
        None => fetcher.each_missing_part(
            &planned.file,
            &|offset, part| holds(file.as_ref(), had, offset, part.size, part.sha),
            &|offset, content| {
                missing.fetch_add(1, Ordering::Relaxed);
                Ok(file.write_all_at(offset, &content)?)
            },
        )?,
    }
    file.sync_all()?;
    drop(file);
    // As it will be read by the start: from the disk, whole.
    if !planned.is(&view(disk, path)?) {
        return Err(BackupError::Source {
            what: format!("{path} was not read back as it was written: is the disk sound?"),
        });
    }
    Ok(had == planned.size() && missing.into_inner() == 0)
}

/// Whether a file, which had so many bytes before this run, has these at an offset.
fn holds(
    file: &dyn DiskFile,
    had: u64,
    offset: u64,
    len: u64,
    sha: Sha,
) -> Result<bool, BackupError> {
    if offset + len > had {
        return Ok(false);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset + filled as u64, rest)? {
            0 => return Ok(false),
            taken => filled += taken,
        }
    }
    Ok(Sha::of(&bytes) == sha)
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

/// Compares a state with what its backup has of it: keys and digest, if any.
pub(super) fn compare_state(plan: &Plan, loaded: &LoadedState) -> Result<(), BackupError> {
    let manifest = &plan.manifest;
    if !plan.whole || (manifest.digest.is_none() && manifest.keys.is_none()) {
        return Ok(());
    }
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
    compare_state(plan, &loaded)?;
    Ok(loaded)
}
