//! What is backed up: the files of a data directory, opened so that they stay, and checked before
//! a byte of them is stored.
//!
//! A manifest of a log lists a whole data set at every instant, and files that it lists only grow until they are
//! removed. So it is enough to open all of them (an open file stays readable when its name goes) and to
//! take their lengths from the newest to the oldest: nothing is in a segment before the one before it is
//! complete. When a file is gone already, a new manifest was there in between, and everything begins again.
//! So a directory may be in use by a server meanwhile, ours or another.
//!
//! Torn ends are left out; damage anywhere refuses the backup.

use crate::aof::chain::{LogEnd, ReadError, SegmentFile, read_log};
use crate::aof::manifest::{Content, Entry};
use crate::aof::reader::{FileEnd, starts_with_snapshot};
use crate::aof::record::{Position, Salt};
use crate::clock::UnixMillis;
use crate::disk::{Disk, FileView, durable};
use crate::engine::backup::UNSEALED;
use crate::recovery::LoadError;
use crate::recovery::decide::{Decision, decide};
use crate::recovery::find::config_for;
use crate::recovery::inspect::{Facts, inspect, view};
use crate::snapshot::LoadOptions;
use crate::snapshot::inspect::inspect as inspect_snapshot;

use super::{BackupError, unfinished};

/// How often a manifest may change under our hands.
const TRIES: usize = 20;

/// A data set as files.
#[derive(Debug, Default)]
pub struct Source {
    /// The base or snapshot.
    pub base: Option<SourceFile>,
    /// The log, in order.
    pub segments: Vec<SourceFile>,
    /// The log's folder and the start of its names; empty without a log.
    pub log_dir: String,
    /// See `log_dir`.
    pub log_name: String,
    /// Who wrote the base.
    pub producer: String,
    /// The position of the state.
    pub position: Option<u64>,
    /// The time of the state.
    pub instant: Option<UnixMillis>,
    /// Keys, when no log follows the base.
    pub keys: Option<u64>,
    /// Whether a field of a hash in the base may expire.
    pub field_expiry: bool,
    /// The base is a file without a directory or log around it.
    pub is_file: bool,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// One file, open.
pub struct SourceFile {
    /// Its name, without directory.
    pub name: String,
    /// Its number in the manifest; 0 for a snapshot outside of a log.
    pub seq: u64,
    /// The salt that the manifest lists.
    pub salt: Option<Salt>,
    /// Where the log's manifest says that a segment reached when it was left.
    pub listed_end: Option<Position>,
    /// What the log's manifest says that a base holds.
    pub listed_content: Option<Content>,
    /// Its content; more may have been written since.
    pub view: FileView,
    /// How much of it is backed up.
    pub len: usize,
    /// See [`super::manifest::BackedFile`].
    pub position: Option<u64>,
    /// See there.
    pub end: Option<u64>,
    /// See there.
    pub first_time: Option<UnixMillis>,
    /// See there.
    pub last_time: Option<UnixMillis>,
    /// See there.
    pub records: u64,
}

impl SourceFile {
    /// A file with this content, of which nothing else is known.
    pub fn new(name: &str, seq: u64, salt: Option<Salt>, view: FileView) -> Self {
        let len = view.len();
        Self {
            name: name.to_owned(),
            seq,
            salt,
            listed_end: None,
            listed_content: None,
            view,
            len,
            position: None,
            end: None,
            first_time: None,
            last_time: None,
            records: 0,
        }
    }

    /// As the log's reader takes it.
    pub(super) fn as_segment<'s>(&'s self, bytes: &'s [u8], records_at: usize) -> SegmentFile<'s> {
        let (name, salt, end) = (self.name.as_str(), self.salt, self.listed_end);
        SegmentFile { name, bytes, salt, end, records_at }
    }

    /// Whether it is a base that must be a snapshot and nothing else.
    fn is_snapshot(&self) -> bool {
        self.name.ends_with(".base.rdb") || self.position.is_some()
    }

    /// What is backed up of it.
    pub fn bytes(&self) -> &[u8] {
        self.view.get(..self.len).unwrap_or_default()
    }
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile").field("name", &self.name).field("len", &self.len).finish()
    }
}

/// Opens and checks the data set in a directory, ours, Redis' or Valkey's.
pub fn of_directory(disk: &dyn Disk) -> Result<Source, BackupError> {
    match unfinished::refusal(disk)? {
        Some(what) => Err(BackupError::Source { what }),
        None => of_unfinished(disk),
    }
}

/// Whether there is anything that a start on the directory would load, sound or not.
pub fn is_data(disk: &dyn Disk) -> bool {
    let Ok(names) = disk.list("") else { return false };
    let facts = inspect(disk, &config_for(disk, &names));
    facts.map_or(true, |facts| decide(facts.situation) != Decision::StartEmpty)
}

/// The same in a directory that a restore has not finished with.
pub(super) fn of_unfinished(disk: &dyn Disk) -> Result<Source, BackupError> {
    for _ in 0..TRIES {
        let names = disk.list("")?;
        let facts = inspect(disk, &config_for(disk, &names))?;
        match open_files(disk, &facts) {
            Err(BackupError::Load(LoadError::Disk(error))) if error.is_not_found() => {}
            other => return other.and_then(check),
        }
    }
    Err(BackupError::Source { what: "the log's manifest changes all the time".to_owned() })
}

/// A snapshot that is a file by itself.
pub fn of_snapshot(name: &str, view: FileView) -> Result<Source, BackupError> {
    let base = Some(SourceFile::new(name, 0, None, view));
    check(Source { base, ..Source::default() })
}

/// A file by itself, of which nothing but its name is known: a log, or a snapshot, behind which a log may follow.
pub fn of_file(name: &str, view: FileView) -> Result<Source, BackupError> {
    let base = Some(SourceFile::new(name, 1, None, view));
    check(Source { base, is_file: true, ..Source::default() })
}

fn open_files(disk: &dyn Disk, facts: &Facts) -> Result<Source, BackupError> {
    let refused = |what: String| Err(BackupError::Source { what });
    let missing = |name: &String| {
        let error = std::io::ErrorKind::NotFound.into();
        Err(LoadError::Disk(crate::disk::DiskError::new("open", name, error)).into())
    };
    match decide(facts.situation) {
        Decision::StartEmpty => Err(BackupError::refused(
            "there is no data: no log and no snapshot",
            "name the directory of a server (its `dir`), or a file of it",
        )),
        Decision::RefuseDamagedManifest if is_unsealed(disk, facts) => Err(BackupError::refused(
            "the BACKUP in this directory is not sealed: it is no data set yet, or was given up",
            "BACKUP SEAL on its server makes it whole, if BACKUP STATUS says incrementing; a copy that was made \
             before has to be made again",
        )),
        Decision::RefuseDamagedManifest => refused(format!(
            "{} is damaged: {}",
            facts.names.path(&facts.names.manifest()),
            facts.manifest_error.clone().unwrap_or_default()
        )),
        // It may have been removed since the manifest was read.
        Decision::RefuseMissingFile => missing(facts.missing.first().unwrap_or(&String::new())),
        Decision::RefuseMissingManifest => refused(format!(
            "the log's manifest is missing, and only it can put these in order: {}",
            facts.stray.join(", ")
        )),
        Decision::LoadSnapshot | Decision::LoadSnapshotThenStartLog => {
            let name = facts.snapshot.rsplit('/').next().unwrap_or_default();
            let view = view(disk, &facts.snapshot)?;
            let base = Some(SourceFile::new(name, 0, None, view));
            Ok(Source { base, ..Source::default() })
        }
        Decision::UpgradeOldLog | Decision::LoadOldLogThenSave => {
            let view = view(disk, &facts.old_log)?;
            let base = Some(SourceFile::new(&facts.old_log, 1, None, view));
            Ok(Source { base, ..named(facts) })
        }
        Decision::LoadLog | Decision::LoadLogThenSave => open_log(disk, facts),
    }
}

/// Whether BACKUP left its line in the manifest's place.
fn is_unsealed(disk: &dyn Disk, facts: &Facts) -> bool {
    let path = facts.names.path(&facts.names.manifest());
    durable::read_small(disk, &path, UNSEALED.len())
        .is_ok_and(|found| found.as_deref() == Some(UNSEALED))
}

fn named(facts: &Facts) -> Source {
    let log_dir = match facts.names.dir.is_empty() {
        true => "appendonlydir".to_owned(),
        false => facts.names.dir.clone(),
    };
    Source { log_dir, log_name: facts.names.name.clone(), ..Source::default() }
}

fn open_log(disk: &dyn Disk, facts: &Facts) -> Result<Source, BackupError> {
    let open = |entry: &Entry| -> Result<SourceFile, BackupError> {
        let inside = facts.names.path(&entry.name);
        let view = match view(disk, &inside) {
            // The move of a single-file log was interrupted.
            Err(_) if entry.name == facts.old_log && facts.situation.old_log => {
                view(disk, &facts.old_log)?
            }
            other => other?,
        };
        let mut file = SourceFile::new(&entry.name, entry.seq, entry.salt(), view);
        file.position = entry.position().map(|position| position.0);
        file.listed_end = entry.end();
        file.listed_content = entry.content();
        Ok(file)
    };
    let mut source = named(facts);
    // The newest first: see the head.
    for entry in facts.manifest.incrs.iter().rev() {
        source.segments.insert(0, open(entry)?);
    }
    if let Some(entry) = &facts.manifest.base {
        source.base = Some(open(entry)?);
    }
    if !facts.manifest_checked {
        source
            .notes
            .push("the log's manifest has no checksum: Redis or Valkey wrote it".to_owned());
    }
    Ok(source)
}

/// Checks every byte, notes what is in the files, and leaves a torn end out.
pub fn check(mut source: Source) -> Result<Source, BackupError> {
    let mut records_at = 0;
    if let Some(base) = &mut source.base
        && starts_with_snapshot(&base.view)
    {
        let options = LoadOptions { databases: u32::MAX, ..LoadOptions::default() };
        let found = inspect_snapshot(&base.view, &options);
        if let Some(error) = found.damage {
            let what = format!("{} is not sound: {error}", base.name);
            return Err(BackupError::Source { what });
        }
        if let (Some(listed), Some(crc)) = (base.listed_content, found.crc32) {
            let size = base.view.len() as u64;
            // Records may follow the snapshot, and the list is of the whole file.
            let read = match found.end == Some(size) {
                true => Content { size, crc },
                false => Content::of(&base.view),
            };
            if read != listed {
                let name = &base.name;
                let what = format!("{name} is not the file that the log's manifest lists");
                return Err(BackupError::Source { what });
            }
        }
        source.field_expiry = found.has_field_expiry();
        base.records = found.databases.values().map(|db| db.keys).sum();
        base.first_time = created_at(&found.aux);
        base.last_time = base.first_time;
        source.producer = found.producer;
        source.instant = base.first_time;
        source.keys = Some(base.records);
        source.position = base.position;
        records_at = found.end.and_then(|end| usize::try_from(end).ok()).unwrap_or(base.len);
        // As a start and `check` take it: other bytes behind a snapshot are no log.
        let is_log = |next: Option<&u8>| matches!(next, Some(b'*' | b'#'));
        let alone = source.is_file && !base.name.ends_with(".aof");
        let ends = base.seq == 0 || (alone && !is_log(base.view.get(records_at)));
        if ends && records_at < base.len {
            source.notes.push(format!("{} goes on behind its end; that is left out", base.name));
            base.len = records_at;
        }
    }
    // A snapshot alone has no number.
    if let Some(base) = source.base.as_ref()
        && (base.seq == 0 || base.is_snapshot() || (source.is_file && base.name.ends_with(".rdb")))
        && records_at == 0
    {
        let what = format!("{} is damaged: it does not start as a snapshot", base.name);
        return Err(BackupError::Source { what });
    }
    // Behind a base whose position is known there are at most comments.
    let has_log = |base: &SourceFile| records_at < base.len && base.position.is_none();
    let base_has_log = source.base.as_ref().is_some_and(has_log);
    if base_has_log || !source.segments.is_empty() {
        check_log(&mut source, records_at, base_has_log)?;
    }
    Ok(source)
}

/// `ctime`, in milliseconds.
fn created_at(aux: &[(Vec<u8>, Vec<u8>)]) -> Option<UnixMillis> {
    let (_, value) = aux.iter().find(|(name, _)| name == b"ctime")?;
    crate::number::parse_i64(value)?.checked_mul(1000)
}

fn check_log(
    source: &mut Source,
    records_at: usize,
    base_has_log: bool,
) -> Result<(), BackupError> {
    let base_position = match &source.base {
        Some(base) => base.position.map(Position),
        None => Some(Position::ZERO),
    };
    let mut times: Vec<Times> = Vec::new();
    let end = {
        let mut files: Vec<SegmentFile<'_>> = Vec::new();
        if base_has_log && let Some(base) = &source.base {
            files.push(base.as_segment(&base.view, records_at));
        }
        files.extend(source.segments.iter().map(|file| file.as_segment(&file.view, 0)));
        // Where units of a file come from is told by where their bytes are.
        let mut at = 0;
        times.resize(files.len(), Times::default());
        read_log(base_position, &files, |unit| {
            let place =
                unit.commands().next().and_then(|args| args.first().map(|arg| arg.as_ptr()));
            while let (Some(file), Some(place)) = (files.get(at), place)
                && !file.bytes.as_ptr_range().contains(&place)
                && at + 1 < files.len()
            {
                at += 1;
            }
            if let Some(times) = times.get_mut(at) {
                times.first = times.first.or(unit.time);
                times.last = times.last.max(unit.time);
            }
            Ok::<(), ()>(())
        })
    };
    let end = match end {
        Ok(end) => end,
        Err(ReadError::Visitor(())) => return Ok(()),
        Err(ReadError::Corrupt(error)) => return Err(LoadError::Log(error).into()),
    };
    note_ends(source, &end, &times, base_has_log);
    Ok(())
}

/// Times of the units of one file.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    first: Option<UnixMillis>,
    /// The greatest: a clock may have been set back.
    last: Option<UnixMillis>,
}

fn note_ends(source: &mut Source, end: &LogEnd, times: &[Times], base_has_log: bool) {
    let mut ends: Vec<(FileEnd, Times)> =
        end.files.iter().copied().zip(times.iter().copied()).collect();
    if base_has_log && !ends.is_empty() {
        let (found, times) = ends.remove(0);
        if let Some(base) = &mut source.base {
            base.len = usize::try_from(found.offset).unwrap_or(base.len);
            base.records += found.units;
            if found.units > 0 {
                // When the snapshot was made says nothing of what follows it.
                base.last_time = times.last;
                source.instant = times.last;
            }
        }
        source.keys = None;
    }
    let mut start = source.base.as_ref().map_or(Some(0), |base| base.position);
    for (file, (found, times)) in source.segments.iter_mut().zip(&ends) {
        file.len = usize::try_from(found.offset).unwrap_or(file.len);
        (file.records, file.first_time, file.last_time) = (found.units, times.first, times.last);
        let known = start.is_some() || found.framed;
        file.end = known.then_some(found.position.0);
        file.position = start;
        start = file.end;
        if found.units > 0 {
            source.keys = None;
        }
    }
    if let Some((index, error)) = &end.torn {
        source.notes.push(format!("{error}; that end is left out"));
        // What is behind a torn end has no content.
        source.segments.truncate(index + 1 - usize::from(base_has_log));
    }
    source.position = start;
    let times = ends.iter().filter_map(|(_, times)| times.last);
    source.instant = times.max().or(source.instant);
}
