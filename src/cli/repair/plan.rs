//! What will be done, worked out without writing anything.
//!
//! A log is kept as it is up to the first file that is not sound (or that the wanted end lies in). From there on
//! everything that can be believed goes into one new segment, tied to what is before it; so positions and
//! checksums fit again, and the old files need not be touched.

use super::Limits;
use super::survey::{LogFiles, Place};
use crate::aof::chain::{LogEnd, ReadError, SegmentFile, read_log};
use crate::aof::manifest::Entry;
use crate::aof::reader::{Link, starts_with_snapshot};
use crate::aof::record::{FrameLine, HEADER_START, Header, Position, Salt, is_filler, line};
use crate::aof::salvage::{DamagedFile, Found, SalvagedUnit, Skipped, salvage};
use crate::cli::check::report::Verdict;
use crate::command::table::table;
use crate::disk::{Disk, FileView};
use crate::recovery::content::{Behind, RECORDS_BEHIND, behind_snapshot, read_known};
use crate::recovery::inspect::{base_fault, view};
use crate::snapshot::salvage as rdb;

/// What is to be done, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) path: String,
    pub(super) log: Option<LogPlan>,
    /// Every file, in the order in which it is loaded.
    pub(super) files: Vec<FilePlan>,
    pub(super) notes: Vec<String>,
    /// Where the old files are now.
    pub(super) kept_in: Option<String>,
    /// What `check` says afterwards.
    pub(super) verdict: Option<Verdict>,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It stays as it is.
    Keep,
    /// Its place is taken by a new one of the same content, less what is skipped.
    Rewrite,
    /// What can be believed of it goes into the new segment.
    Merge,
    /// It cannot be read at all.
    SetAside,
    /// It is not there.
    Missing,
}

/// One file.
#[derive(Debug)]
pub(super) struct FilePlan {
    pub(super) path: String,
    pub(super) action: Action,
    pub(super) bytes: u64,
    /// Why it does not stay.
    pub(super) reason: Option<String>,
    /// Commands or transactions kept.
    pub(super) units: u64,
    /// Units behind the wanted end.
    pub(super) units_behind: u64,
    /// Keys of a snapshot kept.
    pub(super) keys: u64,
    pub(super) skipped: Vec<Skipped>,
    pub(super) skipped_keys: Vec<rdb::SkippedRecord>,
}

/// What becomes of a log.
#[derive(Debug)]
pub(super) struct LogPlan {
    pub(super) base: Option<BasePlan>,
    /// How many segments stay.
    pub(super) kept: usize,
    /// Whether the new segment has frames.
    pub(super) framed: bool,
    /// Where the log begins, behind the base.
    pub(super) start: Position,
    /// Where the new segment begins, and what it follows.
    pub(super) position: Position,
    pub(super) link: Link,
    /// Commands and transactions that go into it.
    pub(super) units: u64,
}

/// What becomes of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BasePlan {
    Keep,
    /// A new snapshot of the records that can be read.
    Rewrite,
    /// There is none any more.
    Lost,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.log.is_none() && self.files.iter().all(|file| file.action == Action::Keep)
    }
}

impl FilePlan {
    fn new(path: String, bytes: u64) -> Self {
        Self {
            path,
            action: Action::Keep,
            bytes,
            reason: None,
            units: 0,
            units_behind: 0,
            keys: 0,
            skipped: Vec::new(),
            skipped_keys: Vec::new(),
        }
    }
}

/// A file of the log, open.
pub(super) struct Source {
    pub(super) entry: Entry,
    pub(super) path: String,
    pub(super) view: FileView,
    pub(super) there: bool,
    /// Where its records start, behind a snapshot.
    pub(super) records_at: usize,
}

impl Source {
    pub(super) fn open(place: &Place, log: &LogFiles, entry: &Entry) -> Result<Self, String> {
        let mut path = log.names.path(&entry.name);
        let mut there = place.disk.file_len(&path).map_err(text)?.is_some();
        if !there && place.disk.file_len(&entry.name).map_err(text)?.is_some() {
            // A crash while the single-file log was moved leaves it outside.
            (path, there) = (entry.name.clone(), true);
        }
        let view = match there {
            true => view(&place.disk, &path).map_err(text)?,
            false => FileView::Owned(Vec::new()),
        };
        Ok(Self { entry: entry.clone(), path, view, there, records_at: 0 })
    }

    fn segment(&self) -> SegmentFile<'_> {
        SegmentFile {
            name: &self.entry.name,
            bytes: &self.view,
            salt: self.entry.salt(),
            end: self.entry.end(),
            records_at: self.records_at,
        }
    }

    /// Whether it is a list of commands, whatever they are about.
    pub(super) fn is_commands(&self) -> bool {
        !starts_with_snapshot(&self.view) && !self.entry.is_snapshot()
    }

    /// Whether it is a base that the log begins in.
    pub(super) fn has_records(&self) -> bool {
        let goes_on = self.entry.position().is_none() && self.records_at < self.view.len();
        self.there && (self.is_commands() || goes_on)
    }

    fn is_framed(&self) -> bool {
        self.entry.salt().is_some() || self.view.starts_with(HEADER_START)
    }
}

const NO_LIMITS: Limits = Limits { time: None, position: None };

/// Makes the plan.
pub(super) fn make(place: &Place, limits: &Limits) -> Result<Plan, String> {
    let mut plan = Plan { path: place.path.clone(), ..Plan::default() };
    if let Some(log) = &place.log {
        plan.notes.extend(log.notes.iter().cloned());
        log_plan(place, log, limits, &mut plan)?;
    }
    let limited = limits.time.is_some() || limits.position.is_some();
    for path in &place.single {
        let bytes = view(&place.disk, path).map_err(text)?;
        let file = single(path, &bytes, if place.log.is_none() { limits } else { &NO_LIMITS })?;
        if limited && place.log.is_none() && file.keys > 0 && file.units + file.units_behind == 0 {
            return Err(format!("{path} is a snapshot: it holds one instant only"));
        }
        plan.files.push(file);
    }
    Ok(plan)
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A snapshot, or a log in one file.
fn single(path: &str, bytes: &[u8], limits: &Limits) -> Result<FilePlan, String> {
    let mut file = FilePlan::new(path.to_owned(), bytes.len() as u64);
    let mut records_at = 0;
    if starts_with_snapshot(bytes) || path.ends_with(".rdb") {
        let Some(end) = snapshot(bytes, &mut file) else { return Ok(file) };
        records_at = end;
        // Redis may let records follow a base.
        let alone = path.ends_with(".rdb") && !path.ends_with(".base.rdb");
        if alone && behind_snapshot(bytes, end as u64) == Behind::Records {
            file.action = Action::Rewrite;
            file.reason.get_or_insert(format!(
                "it is cut at offset {end}, where the snapshot ends: {RECORDS_BEHIND}"
            ));
        }
    }
    if records_at < bytes.len() && !path.ends_with(".rdb") {
        let segment = SegmentFile { name: path, bytes, salt: None, end: None, records_at };
        let sound = matches!(read_known(None, &[segment], |_| ()), Ok(end) if end.torn.is_none());
        let source = [(bytes, records_at, None)];
        let walked = walk(&source, None, limits, &mut |found| file.take(&found))?;
        if !sound || walked {
            file.action = Action::Rewrite;
        }
    }
    Ok(file)
}

/// Looks at the snapshot in a file; where it ends, if that is known.
fn snapshot(bytes: &[u8], file: &mut FilePlan) -> Option<usize> {
    match rdb::salvage(bytes) {
        Ok(found) => {
            file.keys = found.keys;
            if !found.sound {
                file.action = Action::Rewrite;
                file.reason = Some(match found.unplaced {
                    true => "its checksum does not hold, and every record can be read: the value of one key (it \
                             cannot be told which) is not what was written"
                        .to_owned(),
                    false => "some of its records cannot be loaded".to_owned(),
                });
            }
            file.skipped_keys.clone_from(&found.skipped);
            found.end
        }
        Err(error) => {
            file.action = Action::SetAside;
            file.reason = Some(format!("it cannot be read record by record: {error}"));
            None
        }
    }
}

impl FilePlan {
    fn take(&mut self, found: &Walked<'_, '_>) {
        match found {
            Walked::Unit(..) => self.units += 1,
            Walked::Behind => self.units_behind += 1,
            Walked::Skipped(place) => self.skipped.push((*place).clone()),
        }
    }
}

/// What a walk over sources comes by.
pub(super) enum Walked<'u, 'a> {
    /// A unit that is kept, the database before it.
    Unit(&'u SalvagedUnit<'a>, u32),
    /// A unit behind the wanted end.
    Behind,
    Skipped(&'u Skipped),
}

const UNKNOWN: &str = "no such command is known";

/// Bytes, where records start, and a salt that they may have.
pub(super) type SourceBytes<'a> = (&'a [u8], usize, Option<Salt>);

/// Walks over files in order. True when the wanted end was passed.
pub(super) fn walk(
    sources: &[SourceBytes<'_>],
    start: Option<Position>,
    limits: &Limits,
    visit: &mut dyn FnMut(Walked<'_, '_>),
) -> Result<bool, String> {
    let (mut position, mut ended, mut untimed) = (start, false, false);
    for (bytes, records_at, salt) in sources {
        let mut db = 0;
        let salts: Vec<Salt> = salt.iter().copied().collect();
        let file = DamagedFile { bytes, salts: &salts, records_at: *records_at, position };
        let end = salvage(&file, &mut |found| match found {
            Found::Unit(unit) => {
                db = if unit.begins_frame { 0 } else { db };
                untimed |= limits.time.is_some() && unit.time.is_none();
                ended |= limits.position.is_some_and(|most| unit.position > most)
                    || limits.time.zip(unit.time).is_some_and(|(most, time)| time > most);
                // A start refuses what it does not know, and tells by that.
                let unknown = unit.skipped_if(|words| !table().knows(words), UNKNOWN);
                match unknown.filter(|_| !ended) {
                    Some(place) => visit(Walked::Skipped(&place)),
                    None if unit.only_selects => {}
                    None => visit(if ended { Walked::Behind } else { Walked::Unit(&unit, db) }),
                }
                db = unit.selects.unwrap_or(db);
            }
            Found::Skipped(place) => {
                db = place.selects.unwrap_or(db);
                visit(Walked::Skipped(&place));
            }
        });
        position = Some(end);
    }
    if untimed {
        return Err(
            "these files do not tell when their records were written: use a position".to_owned()
        );
    }
    Ok(ended)
}

fn log_plan(place: &Place, log: &LogFiles, limits: &Limits, plan: &mut Plan) -> Result<(), String> {
    let manifest = &log.manifest;
    let mut fault = log.manifest_fault.clone();
    let mut base_plan = None;
    let mut sources = Vec::new();
    let mut base_position = manifest.base.as_ref().map_or(Some(Position::ZERO), Entry::position);
    if let Some(entry) = &manifest.base {
        let (found, source) = base(place, log, entry, plan)?;
        base_plan = found;
        // A base that is a list of commands, or goes on with them, is the first part of the log.
        sources.extend(source);
    }
    let lost = base_plan == Some(BasePlan::Lost);
    for entry in &manifest.incrs {
        sources.push(Source::open(place, log, entry)?);
    }
    if log.manifest_fault.is_some() || lost {
        base_position =
            sources.iter().find_map(|source| first_position(&source.view)).or(base_position);
    }
    must_reach_behind_base(limits, manifest.base.as_ref(), base_position)?;
    let segments: Vec<SegmentFile<'_>> = sources.iter().map(Source::segment).collect();
    let mut kept = sound_files(base_position, &sources, &segments);
    let before: Vec<SourceBytes<'_>> = sources.iter().map(bytes_of).collect();
    let past_end = |index: &usize| {
        let one = before.get(*index..=*index).unwrap_or_default();
        // What cannot be cut by time is told where everything is walked over.
        walk(one, None, limits, &mut |_| {}).unwrap_or(false)
    };
    kept = (0..kept).find(past_end).unwrap_or(kept);
    let own_tail =
        sources.first().is_some_and(|first| manifest.base.as_ref() == Some(&first.entry));
    let rewritten = base_plan == Some(BasePlan::Rewrite);
    if lost || (own_tail && (kept == 0 || rewritten)) {
        kept = 0;
        // A base of commands that is not sound goes with the rest; a snapshot before them stays.
        if own_tail && base_plan == Some(BasePlan::Keep) {
            let tail = sources.first().is_some_and(|first| first.records_at > 0);
            base_plan = Some(if tail { BasePlan::Rewrite } else { BasePlan::Lost });
        }
    }
    let merged = merge(&sources, kept, base_position, limits, own_tail, plan)?;
    if kept < sources.len() {
        fault.get_or_insert("it lists what is replaced".to_owned());
    }
    if base_plan.is_some_and(|base| base != BasePlan::Keep) {
        fault.get_or_insert("it lists a base that is replaced".to_owned());
    }
    let Some(fault) = fault else { return Ok(()) };
    let names = &log.names;
    let path = names.path(&names.manifest());
    let len = place.disk.file_len(&path).map_err(text)?;
    let mut file = FilePlan::new(path, len.unwrap_or(0));
    file.action = Action::Rewrite;
    file.reason = Some(fault);
    plan.files.insert(0, file);
    let head = segments.get(..kept).unwrap_or_default();
    let end = read_log(base_position, head, |_| Ok::<(), ()>(())).ok();
    let start = if lost { Position::ZERO } else { base_position.unwrap_or_default() };
    let (position, link) = follow(end, start);
    let framed = sources.iter().any(Source::is_framed) || sources.is_empty();
    plan.log =
        Some(LogPlan { base: base_plan, kept, framed, start, position, link, units: merged });
    Ok(())
}

/// Where the new segment begins, and what it follows.
fn follow(end: Option<LogEnd>, start: Position) -> (Position, Link) {
    let nothing = (start, Link { salt: Salt(0), end: Some(start), crc: Some(0) });
    match end {
        Some(end) if end.content_end > 0 => (end.position, end.link),
        _ => nothing,
    }
}

pub(super) fn bytes_of(source: &Source) -> SourceBytes<'_> {
    (&source.view, source.records_at, source.entry.salt())
}

/// How many files, from the first on, stay as they are.
fn sound_files(base: Option<Position>, sources: &[Source], segments: &[SegmentFile<'_>]) -> usize {
    let missing = sources.iter().position(|source| !source.there).unwrap_or(sources.len());
    let there = segments.get(..missing).unwrap_or_default();
    match read_known(base, there, |_| ()) {
        Ok(end) => end.torn.iter().chain(&end.loose).map(|(at, _)| *at).min().unwrap_or(missing),
        Err(ReadError::Corrupt(error)) => {
            there.iter().position(|segment| segment.name == error.file).unwrap_or(0)
        }
        Err(ReadError::Visitor(unknown)) => unknown.file,
    }
}

/// The base, and what of it belongs to the log.
fn base(
    place: &Place,
    log: &LogFiles,
    entry: &Entry,
    plan: &mut Plan,
) -> Result<(Option<BasePlan>, Option<Source>), String> {
    let mut source = Source::open(place, log, entry)?;
    let mut file = FilePlan::new(source.path.clone(), source.view.len() as u64);
    if !source.there {
        file.action = Action::Missing;
        plan.files.push(file);
        return Ok((Some(BasePlan::Lost), None));
    }
    if source.is_commands() {
        return Ok((Some(BasePlan::Keep), Some(source)));
    }
    let end = snapshot(&source.view, &mut file);
    let crc = |end| source.view.get(..end).map(crc32fast::hash);
    let fault = end.and_then(|end| base_fault(entry, &source.view, end, crc(end)));
    if let Some((_, reason)) = fault {
        file.action = Action::Rewrite;
        file.reason.get_or_insert(reason);
    }
    let (action, keys) = (file.action, file.keys);
    plan.files.push(file);
    let found = match action {
        Action::Keep => BasePlan::Keep,
        Action::Rewrite if keys > 0 || end.is_some() => BasePlan::Rewrite,
        _ => BasePlan::Lost,
    };
    source.records_at = end.unwrap_or(source.view.len());
    Ok((Some(found), Some(source).filter(Source::has_records)))
}

/// The new segment's content, file by file; returns how many units there are.
fn merge(
    sources: &[Source],
    kept: usize,
    base: Option<Position>,
    limits: &Limits,
    own_tail: bool,
    plan: &mut Plan,
) -> Result<u64, String> {
    let mut units = 0;
    let mut position = if kept == 0 { base } else { None };
    for (index, source) in sources.iter().enumerate() {
        let mut file = FilePlan::new(source.path.clone(), source.view.len() as u64);
        file.action = match index < kept {
            true => Action::Keep,
            false if source.there => Action::Merge,
            false => Action::Missing,
        };
        let one = [bytes_of(source)];
        walk(&one, position.take(), limits, &mut |found| file.take(&found))?;
        if index >= kept {
            units += file.units;
        }
        // The records behind a snapshot are told together with it.
        let told = own_tail && index == 0 && source.records_at > 0;
        match plan.files.last_mut().filter(|_| told) {
            Some(with) => {
                (with.units, with.units_behind) = (file.units, file.units_behind);
                with.skipped = file.skipped;
                if file.action == Action::Merge {
                    with.action = Action::Rewrite;
                }
            }
            None => plan.files.push(file),
        }
    }
    Ok(units)
}

/// Where the first frame of a file says that it begins.
pub(super) fn first_position(bytes: &[u8]) -> Option<Position> {
    let mut rest = bytes;
    let header = line(rest).filter(|text| Header::parse(text).is_some())?;
    rest = rest.get(header.len()..)?;
    loop {
        let text = line(rest)?;
        if !is_filler(text) {
            return FrameLine::parse(text).map(|parsed| parsed.frame.position);
        }
        rest = rest.get(text.len()..)?;
    }
}

/// A base holds one instant: what is wanted must not lie before it.
fn must_reach_behind_base(
    limits: &Limits,
    base: Option<&Entry>,
    position: Option<Position>,
) -> Result<(), String> {
    match (limits.position, position, base) {
        (Some(most), Some(start), Some(base)) if most < start => Err(format!(
            "{} holds position {start}, which is behind {most}: there is nothing older",
            base.name
        )),
        _ => Ok(()),
    }
}
