//! What there is to repair: a log with its files in order, single files, or both.
//!
//! A manifest that cannot be believed as a whole is still read line by line; a missing one is made up
//! from the files: the newest base, and all segments by their numbers. Both are said in the plan.

use super::plan::first_position;
use crate::aof::filename::{FileKind, FileNames};
use crate::aof::manifest::{Entry, MANIFEST_LEN_MAX, Manifest};
use crate::cli::backup::terms;
use crate::disk::os::OsDisk;
use crate::disk::{Disk, DiskLock, durable};
use crate::recovery::find::config_for;
use crate::recovery::inspect::{Facts, inspect, view};

/// The name of the lock file of a data directory.
const LOCK: &str = "fastness.lock";

/// A place that is to be repaired.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was given.
    pub(super) path: String,
    /// Rooted at the directory that everything is in.
    pub(super) disk: OsDisk,
    /// That directory.
    pub(super) root: String,
    pub(super) log: Option<LogFiles>,
    /// Snapshots and single-file logs, relative to the root.
    pub(super) single: Vec<String>,
}

/// The files of a log.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) names: FileNames,
    /// What is believed to be listed.
    pub(super) manifest: Manifest,
    /// Why the manifest has to be written anew.
    pub(super) manifest_fault: Option<String>,
    /// What had to be guessed.
    pub(super) notes: Vec<String>,
}

impl Place {
    /// Keeps servers away while files are changed.
    pub(super) fn lock(&self) -> Result<Option<DiskLock>, String> {
        // The log's folder may be given without the directory that it is in.
        let inside = self.disk.file_len(LOCK).ok().flatten().is_none()
            && self.disk.file_len(&format!("../{LOCK}")).ok().flatten().is_some();
        let path = if inside { format!("../{LOCK}") } else { LOCK.to_owned() };
        if self.log.is_none() && self.disk.file_len(&path).ok().flatten().is_none() {
            return Ok(None);
        }
        let text = format!("{}\n", std::process::id());
        let locked = self.disk.lock(&path, &text);
        locked.map(Some).map_err(|error| terms::not_locked(&self.path, &error))
    }
}

/// Looks at a directory or file.
pub(super) fn look(path: &str) -> Result<Place, String> {
    let disk = OsDisk::new(path);
    match disk.list("") {
        Ok(names) => directory(disk, path, path, &names),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotADirectory => file(path),
        Err(error) => Err(format!("{path}: {}", error.source)),
    }
}

/// A file that a manifest beside it lists (or that is it) stands for the whole log.
fn file(path: &str) -> Result<Place, String> {
    let (root, name) = path.rsplit_once('/').unwrap_or((".", path));
    let root = if root.is_empty() { "/" } else { root };
    let disk = OsDisk::new(root);
    let names = disk.list("").map_err(|error| error.to_string())?;
    let listed = names.iter().filter(|other| other.ends_with(".manifest")).any(|manifest| {
        let bytes = durable::read_small(&disk, manifest, MANIFEST_LEN_MAX).ok().flatten();
        let entries = lenient(&bytes.unwrap_or_default());
        *manifest == name || entries.entries().any(|entry| entry.name == name)
    });
    if listed {
        return directory(disk, path, root, &names);
    }
    let is_empty = view(&disk, name).map_err(|error| error.to_string())?.is_empty();
    if is_empty && !name.ends_with(".rdb") {
        return Err(format!("{path} is empty: there is no data here"));
    }
    let (path, single) = (path.to_owned(), vec![name.to_owned()]);
    Ok(Place { path, disk, root: root.to_owned(), log: None, single })
}

fn directory(disk: OsDisk, path: &str, root: &str, names: &[String]) -> Result<Place, String> {
    let config = config_for(&disk, names);
    let facts = inspect(&disk, &config).map_err(|error| error.to_string())?;
    let log = log_files(&disk, &facts)?;
    let mut single = Vec::new();
    if facts.situation.snapshot && facts.lone_base.is_none() {
        single.push(facts.snapshot.clone());
    }
    let moved = log
        .as_ref()
        .is_some_and(|log| log.manifest.entries().any(|entry| entry.name == facts.old_log));
    if facts.situation.old_log && !moved {
        single.push(facts.old_log.clone());
    }
    if log.is_none() && single.is_empty() {
        return Err(format!("{path}: there is no data here"));
    }
    Ok(Place { path: path.to_owned(), disk, root: root.to_owned(), log, single })
}

fn log_files(disk: &dyn Disk, facts: &Facts) -> Result<Option<LogFiles>, String> {
    let names = facts.names.clone();
    let path = names.path(&names.manifest());
    let bytes = durable::read_small(disk, &path, MANIFEST_LEN_MAX);
    let bytes = bytes.map_err(|error| error.to_string())?;
    let mut log = LogFiles {
        names,
        manifest: facts.manifest.clone(),
        manifest_fault: facts.manifest_error.clone(),
        notes: Vec::new(),
    };
    if bytes.is_some() && log.manifest_fault.is_none() {
        return Ok(Some(log));
    }
    if bytes.is_none() {
        if facts.stray.is_empty() {
            return Ok(None);
        }
        log.manifest_fault = Some("it is missing".to_owned());
    }
    if facts.manifest.base.is_none() && facts.manifest.incrs.is_empty() {
        log.manifest = lenient(&bytes.unwrap_or_default());
        // Which byte is wrong nobody can tell. The files' own headers say what these did.
        log.manifest.incrs.iter_mut().for_each(|entry| entry.pairs.clear());
    }
    complete(disk, facts, &mut log)?;
    Ok(Some(log))
}

/// What one line of a damaged manifest lists: where its end is damaged it goes on with the next one.
fn of_line(line: &[u8]) -> Vec<Manifest> {
    if let Some(found) = Manifest::parse_line(line) {
        return vec![found];
    }
    let starts: Vec<usize> = memchr::memmem::find_iter(line, b"file ").collect();
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    let parts = starts.iter().zip(ends).filter_map(|(start, end)| line.get(*start..end));
    let of_part = |part: &[u8]| {
        let without_end = part.split_last().map_or(part, |(_, rest)| rest);
        Manifest::parse_line(part).or_else(|| Manifest::parse_line(without_end))
    };
    parts.filter_map(of_part).collect()
}

/// The lines of a manifest that can be read on their own.
fn lenient(bytes: &[u8]) -> Manifest {
    let mut manifest = Manifest::default();
    for found in bytes.split_inclusive(|byte| *byte == b'\n').flat_map(of_line) {
        manifest.history.extend(found.history);
        manifest.base = manifest.base.or(found.base);
        let newest = manifest.incrs.last().map_or(0, |last| last.seq);
        manifest.incrs.extend(found.incrs.into_iter().filter(|entry| entry.seq > newest));
    }
    manifest
}

/// Takes from the lines what does not fit the directory: a damaged line may still be one, with another name or number, and
/// an older manifest lists what has gone since.
fn distrust(facts: &Facts, there: &[String], log: &mut LogFiles) {
    let LogFiles { names, manifest, .. } = log;
    let gone = |entry: &Entry| {
        // A crash while the single-file log was moved leaves it outside.
        let outside = facts.situation.old_log && entry.name == facts.old_log;
        !outside && !there.contains(&entry.name)
    };
    let listed: Vec<String> = manifest.entries().map(|entry| entry.name.clone()).collect();
    let spare = |is_base: bool| {
        there.iter().filter(|name| !listed.contains(name)).any(|name| match names.kind(name) {
            FileKind::Base(..) => is_base,
            FileKind::Incr(_) => !is_base,
            _ => false,
        })
    };
    if manifest.base.as_ref().is_some_and(gone) && spare(true) {
        manifest.base = None;
    }
    if let Some(base) = &mut manifest.base {
        base.set_content(None);
    }
    if spare(false) {
        manifest.incrs.retain(|entry| !gone(entry));
    }
    for entry in &mut manifest.incrs {
        if let FileKind::Incr(seq) = names.kind(&entry.name) {
            entry.seq = seq;
        }
    }
    manifest.incrs.sort_by_key(|entry| entry.seq);
    manifest.incrs.dedup_by_key(|entry| entry.seq);
}

/// Adds what the directory has and the lines do not tell.
fn complete(disk: &dyn Disk, facts: &Facts, log: &mut LogFiles) -> Result<(), String> {
    let mut there = disk.list(&log.names.dir).map_err(|error| error.to_string())?;
    there.sort();
    distrust(facts, &there, log);
    if log.manifest.base.is_none() {
        let bases = there.iter().filter_map(|name| match log.names.kind(name) {
            FileKind::Base(seq, _) => Some(Entry::new(name.clone(), seq)),
            _ => None,
        });
        log.manifest.base = bases.max_by_key(|entry| entry.seq);
        if let Some(base) = &log.manifest.base {
            log.notes.push(format!("{} is taken for the base: it is the newest one", base.name));
        }
    }
    let oldest = log.manifest.incrs.first().map_or(0, |entry| entry.seq);
    let listed: Vec<u64> = log.manifest.incrs.iter().map(|entry| entry.seq).collect();
    for name in &there {
        let FileKind::Incr(seq) = log.names.kind(name) else { continue };
        let path = log.names.path(name);
        let empty = facts.temporary.contains(&path);
        if listed.contains(&seq) || empty {
            continue;
        }
        // The line of the first one may be the damaged one.
        let base = log.manifest.base.as_ref().and_then(Entry::position);
        let start = view(disk, &path).ok().and_then(|bytes| first_position(&bytes));
        let behind_base = base.is_some() && start >= base;
        if seq >= oldest || behind_base {
            log.notes.push(format!("{name} is taken for a part of the log by its number"));
            log.manifest.incrs.push(Entry::new(name.clone(), seq));
        }
    }
    log.manifest.incrs.sort_by_key(|entry| entry.seq);
    // A line that called one of them history was the damaged one; history is removed.
    let LogFiles { manifest, .. } = log;
    manifest.history.retain(|old| manifest.incrs.iter().all(|entry| entry.name != old.name));
    Ok(())
}
