//! Does what the plan says: new files first, synced; then the manifest or the file is replaced; old files last,
//! moved into a folder named after the time. Nothing is removed.

use std::io::{IsTerminal as _, Write as _};

use super::Limits;
use super::plan::{
    Action, BasePlan, LogPlan, Plan, Source, SourceBytes, Walked, bytes_of, text, walk,
};
use super::survey::{LogFiles, Place};
use crate::aof::filename::{BaseFormat, FileKind};
use crate::aof::manifest::{Content, Entry, Manifest};
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::{Frame, HEADER_START, Header, Position, Salt, encode_frame_line, line};
use crate::aof::salvage::SalvagedUnit;
use crate::clock::UnixMillis;
use crate::disk::{Disk, DiskError, DiskFile, OpenMode, durable};
use crate::logger::Timestamp;
use crate::recovery::inspect::view;
use crate::resp::unit::{Letters, put_select};
use crate::rng::{Rng as _, SeededRng};
use crate::snapshot::salvage as rdb;

/// How many bytes of records a frame has at most, unless one unit is longer.
const FRAME_BYTES: usize = 256 << 10;

/// Does it. Returns the folder that the old files are in.
pub(super) fn apply(
    place: &Place,
    plan: &Plan,
    limits: &Limits,
    now: UnixMillis,
) -> Result<String, String> {
    let disk = &place.disk;
    let stamp = Timestamp(now).to_string().replace([' ', ':'], "-");
    let folder = format!("repair-{stamp}");
    durable::create_dir(disk, &folder).map_err(text)?;
    if let (Some(log), Some(steps)) = (&place.log, &plan.log) {
        replace_log(place, log, steps, limits, now, &folder)?;
    }
    for path in &place.single {
        let file = plan.files.iter().find(|file| file.path == *path);
        match file.map(|file| file.action) {
            Some(Action::Rewrite) => replace_single(place, path, limits, now, &folder)?,
            Some(Action::SetAside) => move_away(disk, path, &folder).map_err(text)?,
            _ => {}
        }
    }
    disk.sync_dir(&folder).and_then(|()| disk.sync_dir("")).map_err(text)?;
    Ok(durable::join(place.root.trim_end_matches('/'), &folder))
}

fn replace_log(
    place: &Place,
    log: &LogFiles,
    plan: &LogPlan,
    limits: &Limits,
    now: UnixMillis,
    folder: &str,
) -> Result<(), String> {
    let (disk, names) = (&place.disk, &log.names);
    let old = &log.manifest;
    let (mut base_seq, mut incr_seq) = highest(disk, log)?;
    let mut manifest = Manifest { incrs: Vec::new(), ..old.clone() };
    let mut away = Vec::new();
    let mut sources = Vec::new();
    if let Some(entry) = &old.base {
        let mut source = Source::open(place, log, entry)?;
        if source.there && !source.is_commands() {
            let end = rdb::salvage(&source.view).ok().and_then(|found| found.end);
            source.records_at = end.unwrap_or(source.view.len());
        }
        match plan.base {
            Some(BasePlan::Rewrite) => {
                base_seq += 1;
                let name = names.base(base_seq, BaseFormat::Rdb);
                let found = rdb::salvage(&source.view).map_err(text)?;
                let temp = names.path(&names.temp_base(base_seq, BaseFormat::Rdb));
                let bytes = rdb::assemble(&source.view, &found);
                let path = names.path(&name);
                durable::replace_file(disk, &temp, &path, &bytes).map_err(text)?;
                let content = Some(Content::of(&bytes));
                manifest.base = Some(Entry::new(name, base_seq).with_content(content));
                away.push(source.path.clone());
            }
            Some(BasePlan::Lost) => {
                manifest.base = None;
                away.extend(source.there.then(|| source.path.clone()));
            }
            _ => {}
        }
        sources.extend(Some(source).filter(Source::has_records));
    }
    for entry in &old.incrs {
        sources.push(Source::open(place, log, entry)?);
    }
    if let Some(base) = manifest.base.as_mut().filter(|_| plan.framed) {
        base.pairs.retain(|(key, _)| key != "position");
        if old.base.as_ref().is_some_and(|old| old.position().is_some())
            || log.manifest_fault.is_some()
        {
            *base = base.clone().with_position(plan.start);
        }
    }
    for (index, source) in sources.iter().enumerate() {
        let is_base = old.base.as_ref() == Some(&source.entry);
        if index < plan.kept {
            if !is_base {
                manifest.incrs.push(kept_entry(source));
            }
        } else if source.there && !away.contains(&source.path) {
            away.push(source.path.clone());
        }
    }
    let rest: Vec<SourceBytes<'_>> = sources.iter().skip(plan.kept).map(bytes_of).collect();
    if plan.units > 0 {
        incr_seq += 1;
        let entry = new_segment(place, log, plan, &rest, limits, incr_seq, now)?;
        manifest.incrs.push(entry);
    }
    put_in_charge(place, log, &manifest, folder)?;
    for path in &away {
        move_away(disk, path, folder).map_err(text)?;
    }
    disk.sync_dir(&names.dir).map_err(text)
}

/// A kept segment as the new manifest has it; the old one may not have told its salt.
fn kept_entry(source: &Source) -> Entry {
    let entry = source.entry.clone();
    let header = line(&source.view).and_then(Header::parse);
    match header {
        Some(header) if entry.salt().is_none() => entry.with_salt(header.salt),
        _ => entry,
    }
}

/// The highest numbers of bases and segments that are listed or there.
fn highest(disk: &dyn Disk, log: &LogFiles) -> Result<(u64, u64), String> {
    let (mut base, mut incr) = (0, 0);
    let there = disk.list(&log.names.dir).map_err(text)?;
    for name in &there {
        match log.names.kind(name) {
            FileKind::Base(seq, _) => base = base.max(seq),
            FileKind::Incr(seq) => incr = incr.max(seq),
            _ => {}
        }
    }
    for entry in log.manifest.entries() {
        (base, incr) = (base.max(entry.seq), incr.max(entry.seq));
    }
    Ok((base, incr))
}

/// Writes the segment that everything believable from the first bad file on goes into.
fn new_segment(
    place: &Place,
    log: &LogFiles,
    plan: &LogPlan,
    rest: &[SourceBytes<'_>],
    limits: &Limits,
    seq: u64,
    now: UnixMillis,
) -> Result<Entry, String> {
    let (disk, names) = (&place.disk, &log.names);
    let name = names.incr(seq);
    let path = names.path(&name);
    let header = plan.framed.then(|| Header {
        salt: Salt(SeededRng::from_os().next_u64().max(1)),
        previous: plan.link.salt,
    });
    let file = disk.open(&path, OpenMode::CreateOrTruncate).map_err(text)?;
    let mut writer =
        SegmentWriter::new(file, header, plan.position, plan.link.crc.unwrap_or(0), now)
            .map_err(text)?;
    let start = if plan.kept == 0 { None } else { Some(plan.position) };
    let total = rest.iter().map(|(bytes, ..)| bytes.len() as u64).sum();
    let mut progress = Progress::new(total);
    let mut failed = None;
    walk(rest, start, limits, &mut |found| {
        if let Walked::Unit(unit, db) = found
            && failed.is_none()
        {
            progress.add(unit.bytes.len() as u64);
            failed = writer.unit(unit, db).err();
        }
    })?;
    progress.end();
    failed.map_or(Ok(()), |error| Err(text(error)))?;
    let end = writer.finish().map_err(text)?;
    disk.sync_dir(&names.dir).map_err(text)?;
    let mut entry = Entry::new(name, seq);
    if let Some(header) = header {
        entry = entry.with_salt(header.salt);
        entry.set_end(end);
    }
    Ok(entry)
}

/// Replaces the manifest, after a copy of the old one was kept.
fn put_in_charge(
    place: &Place,
    log: &LogFiles,
    manifest: &Manifest,
    folder: &str,
) -> Result<(), String> {
    let (disk, names) = (&place.disk, &log.names);
    let path = names.path(&names.manifest());
    if disk.file_len(&path).map_err(text)?.is_some() {
        // Not under its own name: the folder must not look like that of a log.
        keep_copy(disk, &path, &format!("{folder}/{}.before", names.manifest())).map_err(text)?;
    }
    if manifest.base.is_none() && manifest.incrs.is_empty() {
        // Nothing is left: a manifest that lists nothing is none.
        return durable::remove_if_there(disk, &path).map_err(text);
    }
    let temp = names.path(&names.temp_manifest());
    durable::replace_file(disk, &temp, &path, &manifest.encode()).map_err(text)
}

/// A snapshot, or a log in one file: a new file takes its name.
fn replace_single(
    place: &Place,
    path: &str,
    limits: &Limits,
    now: UnixMillis,
    folder: &str,
) -> Result<(), String> {
    let disk = &place.disk;
    let bytes = view(disk, path).map_err(text)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    // `temp-NAME` may be a file of somebody.
    let temp = durable::join(durable::parent(path), &format!("temp-fastness-repair-{name}"));
    keep_copy(disk, path, &format!("{folder}/{name}")).map_err(text)?;
    let file = disk.open(&temp, OpenMode::CreateOrTruncate).map_err(text)?;
    let (mut at, mut records_at) = (0, 0);
    if starts_with_snapshot(&bytes) || name.ends_with(".rdb") {
        let found = rdb::salvage(&bytes).map_err(text)?;
        let head = rdb::assemble(&bytes, &found);
        file.write_all_at(0, &head).map_err(text)?;
        (at, records_at) = (head.len() as u64, found.end.unwrap_or(bytes.len()));
    }
    if records_at < bytes.len() && !name.ends_with(".rdb") {
        let header =
            line(&bytes).filter(|line| line.starts_with(HEADER_START)).and_then(Header::parse);
        let mut writer = SegmentWriter::new(file, header, Position::ZERO, 0, now).map_err(text)?;
        writer.at = writer.at.max(at);
        let mut failed = None;
        walk(&[(&bytes, records_at, None)], None, limits, &mut |found| {
            if let Walked::Unit(unit, db) = found
                && failed.is_none()
            {
                failed = writer.unit(unit, db).err();
            }
        })?;
        failed.map_or(Ok(()), |error| Err(text(error)))?;
        writer.finish().map_err(text)?;
    } else {
        file.sync_all().map_err(text)?;
    }
    disk.rename(&temp, path).and_then(|()| disk.sync_dir(durable::parent(path))).map_err(text)
}

/// Moves a file into the folder, durably.
fn move_away(disk: &dyn Disk, path: &str, folder: &str) -> Result<(), DiskError> {
    let name = path.rsplit('/').next().unwrap_or(path);
    disk.rename(path, &format!("{folder}/{name}"))?;
    disk.sync_dir(folder)?;
    disk.sync_dir(durable::parent(path))
}

/// Copies a file, durably.
fn keep_copy(disk: &dyn Disk, from: &str, to: &str) -> Result<(), DiskError> {
    let source = disk.open(from, OpenMode::Read)?;
    let copy = disk.open(to, OpenMode::CreateOrTruncate)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let taken = source.read_at(at, &mut buffer)?;
        if taken == 0 {
            break;
        }
        copy.write_all_at(at, buffer.get(..taken).unwrap_or_default())?;
        at += taken as u64;
    }
    copy.sync_all()?;
    disk.sync_dir(durable::parent(to))
}

/// Writes units into a file, in frames when it has a header.
struct SegmentWriter {
    file: Box<dyn DiskFile>,
    at: u64,
    salt: Option<Salt>,
    position: Position,
    crc: u32,
    first: bool,
    payload: Vec<u8>,
    time: UnixMillis,
    db: Option<u32>,
}

impl SegmentWriter {
    fn new(
        file: Box<dyn DiskFile>,
        header: Option<Header>,
        position: Position,
        crc: u32,
        now: UnixMillis,
    ) -> Result<Self, DiskError> {
        let mut head = Vec::new();
        if let Some(header) = header {
            header.encode(&mut head);
            file.write_all_at(0, &head)?;
        }
        let (at, salt) = (head.len() as u64, header.map(|header| header.salt));
        let payload = Vec::new();
        Ok(Self { file, at, salt, position, crc, first: true, payload, time: now, db: None })
    }

    fn unit(&mut self, unit: &SalvagedUnit<'_>, db: u32) -> Result<(), DiskError> {
        let time = unit.time.unwrap_or(self.time);
        if time != self.time || self.payload.len() >= FRAME_BYTES {
            self.flush()?;
        }
        self.time = time;
        if self.db != Some(db) {
            let letters = if self.salt.is_some() { Letters::Small } else { Letters::Capital };
            put_select(&mut self.payload, db, letters);
        }
        self.db = Some(unit.selects.unwrap_or(db));
        match self.salt {
            Some(_) => unit.encode_strict(&mut self.payload),
            None => self.payload.extend_from_slice(unit.bytes),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        if let Some(salt) = self.salt {
            let frame = Frame {
                previous_end: std::mem::take(&mut self.first).then_some(self.position),
                position: self.position,
                unsynced: 0,
                millis: self.time,
                len: self.payload.len() as u64,
                previous_crc: self.crc,
            };
            let mut text = Vec::new();
            self.crc = encode_frame_line(&mut text, salt, &frame, &self.payload);
            self.file.write_all_at(self.at, &text)?;
            self.at += text.len() as u64;
            // The next frame says where it begins, unless that is database 0.
            self.db = self.db.filter(|db| *db == 0);
        }
        self.file.write_all_at(self.at, &self.payload)?;
        self.at += self.payload.len() as u64;
        self.position = self.position.after(self.payload.len());
        self.payload.clear();
        Ok(())
    }

    /// Writes what is left and syncs; returns the position at the end.
    fn finish(&mut self) -> Result<Position, DiskError> {
        self.flush()?;
        self.file.sync_all()?;
        Ok(self.position)
    }
}

/// Percent on standard error, where that is a terminal.
struct Progress {
    total: u64,
    done: u64,
    shown: Option<u64>,
}

impl Progress {
    fn new(total: u64) -> Self {
        let shown = std::io::stderr().is_terminal().then_some(0);
        Self { total: total.max(1), done: 0, shown }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let percent = self.done.saturating_mul(100) / self.total;
        if let Some(shown) = self.shown.as_mut().filter(|shown| **shown != percent) {
            *shown = percent;
            // It is only for looking at.
            let bar = "#".repeat(usize::try_from(percent / 4).unwrap_or(0));
            let _ = write!(std::io::stderr(), "\r[{bar:25}] {percent} %");
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
