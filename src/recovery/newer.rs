//! With the log off now: which is newer, the snapshot or the log? Changes nothing (I5).
//!
//! A snapshot of this server tells how much of which log it holds: positions of one log are compared, whatever the
//! clock did. Only where they tell nothing (a file of Redis, another log, one that was rewritten since) it is
//! the clock; then the log counts as newer unless the snapshot surely is, because a log that is loaded is saved as a
//! snapshot, and one that is not loaded is lost sight of.

use super::LoadError;
use super::inspect::{Facts, view};
use crate::aof::chain::{LogEnd, SegmentFile, read_log};
use crate::aof::filename::{FileKind, FileNames};
use crate::aof::manifest::{Entry, Manifest};
use crate::aof::mark::{LogMark, MARK_FIELD, MILLIS_FIELD};
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::{HEADER_START, Header, Position, Salt, line};
use crate::clock::UnixMillis;
use crate::disk::Disk;
use crate::number::parse_i64;
use crate::snapshot::Attributes;
use crate::snapshot::Loaded;
use crate::snapshot::load::{LoadOptions, LoadSink, Refusal, load};

/// What the head of a snapshot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) mark: Option<LogMark>,
    pub(super) millis: Option<UnixMillis>,
    /// `ctime`, in seconds.
    pub(super) seconds: Option<i64>,
}

impl Head {
    /// When it was saved, as exactly as it says.
    pub(super) fn at(&self) -> Option<UnixMillis> {
        self.millis.or(self.seconds.and_then(|seconds| seconds.checked_mul(1000)))
    }
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) position: Position,
    /// When the last record was written, or the base; `None`: by Redis, which does not say.
    pub(super) millis: Option<UnixMillis>,
    /// It is one of this server's, and cannot be read to its end.
    pub(super) damaged: bool,
    /// It is one of another server, whose times are whole seconds.
    pub(super) in_seconds: bool,
}

impl End {
    /// The segments were read to here.
    fn note(&mut self, read: &LogEnd) {
        self.position = self.position.max(read.position);
        self.millis = self.millis.max(read.files.iter().filter_map(|file| file.time).max());
    }
}

/// Looks, where the decision depends on it.
pub(super) fn compare(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    if facts.situation.log_wanted || !facts.situation.snapshot {
        return Ok(());
    }
    let saved = head(disk, &facts.snapshot)?;
    facts.snapshot_mark = saved.mark;
    if facts.situation.manifest && facts.situation.files_complete {
        (facts.situation.snapshot_newer, facts.doubt) =
            is_newer_than(disk, &facts.names, &facts.manifest, saved)?;
    } else if !facts.situation.manifest && facts.situation.stray_log {
        let strays = framed_strays(disk, facts)?;
        facts.situation.snapshot_newer = holds_all(disk, &facts.names, &strays, saved)?;
        if facts.situation.snapshot_newer && strays.incrs.len() < facts.stray.len() {
            facts.notes.push(format!(
                "{} is loaded, and log files beside it ({}) are not: no manifest lists them, and the log is off",
                facts.snapshot,
                facts.stray.join(", ")
            ));
        }
    }
    Ok(())
}

/// Segments of this server that no manifest lists, in their order. Nothing is written to one before a manifest lists
/// it, so there was one. (Redis gives its segments their names before they are listed, when its log is switched on, and with
/// its log off loads the snapshot.)
fn framed_strays(disk: &dyn Disk, facts: &Facts) -> Result<Manifest, LoadError> {
    let mut strays = Manifest::default();
    for name in &facts.stray {
        let FileKind::Incr(seq) = facts.names.kind(name) else { continue };
        let bytes = view(disk, &facts.names.path(name))?;
        if bytes.starts_with(HEADER_START) {
            let salt = line(&bytes).and_then(Header::parse).map_or(Salt(0), |header| header.salt);
            strays.incrs.push(Entry::new(name.clone(), seq).with_salt(salt));
        }
    }
    strays.incrs.sort_by_key(|entry| entry.seq);
    Ok(strays)
}

/// Whether the snapshot says that it holds all of these segments. The clock is not asked: without their manifest it is
/// not even known whether they are all that there were.
fn holds_all(
    disk: &dyn Disk,
    names: &FileNames,
    segments: &Manifest,
    saved: Head,
) -> Result<bool, LoadError> {
    let of_them =
        |mark: &LogMark| segments.incrs.iter().any(|entry| entry.salt() == Some(mark.salt));
    Ok(segments.incrs.is_empty()
        || (saved.mark.as_ref().is_some_and(of_them)
            && is_newer_than(disk, names, segments, saved)?.0))
}

/// Compares the snapshot with the log that `manifest` lists.
fn is_newer_than(
    disk: &dyn Disk,
    names: &FileNames,
    manifest: &Manifest,
    saved: Head,
) -> Result<(bool, Option<String>), LoadError> {
    let end = log_end(disk, names, manifest)?;
    let listed = |mark: &LogMark| manifest.entries().any(|entry| entry.salt() == Some(mark.salt));
    Ok(is_newer(saved, saved.mark.filter(listed), end))
}

/// Whether the snapshot is newer, and why that is not sure. `mark`: one of this log.
fn is_newer(saved: Head, mark: Option<LogMark>, log: End) -> (bool, Option<String>) {
    if log.damaged {
        // What it holds besides is not known: the load says where the damage is.
        return (false, None);
    }
    if let Some(mark) = mark {
        return (mark.position >= log.position, None);
    }
    let Some(logged) = log.millis else {
        // Redis loads the snapshot when its log is off.
        return (true, None);
    };
    if let Some(saved) = saved.millis {
        return (saved > logged, None);
    }
    let Some(saved) = saved.seconds.and_then(|seconds| seconds.checked_mul(1000)) else {
        return (false, None);
    };
    // Redis tells the time of its log in whole seconds, and saves when it is told to end.
    let newer = saved > logged || (log.in_seconds && saved == logged);
    let doubt = (!newer && saved.saturating_add(999) >= logged).then(|| {
        "the snapshot and the last record of the log are of the same second, and the snapshot does not say which \
         came first: the log is loaded, and the snapshot is kept under another name. To have it, move the log's \
         directory away, give it its name back and start again"
            .to_owned()
    });
    (newer, doubt)
}

impl LoadSink for Head {
    fn aux(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"ctime" => self.seconds = parse_i64(value),
            _ if name == MILLIS_FIELD.as_bytes() => self.millis = parse_i64(value),
            _ if name == MARK_FIELD.as_bytes() => self.mark = LogMark::parse(value),
            _ => {}
        }
    }
    fn key(&mut self, _: &[u8], _: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
        Err(Refusal::Other("enough seen".to_owned()))
    }
    fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
}

pub(super) fn head(disk: &dyn Disk, path: &str) -> Result<Head, LoadError> {
    let mut head = Head::default();
    let options = LoadOptions { verify: false, databases: u32::MAX, ..LoadOptions::default() };
    // The load ends at the first key, on purpose; whether the file is sound is asked when it is loaded.
    let _ = load(&view(disk, path)?, &options, &mut head);
    Ok(head)
}

/// The end of a log that was read already.
pub(super) fn end_of_read(
    disk: &dyn Disk,
    names: &FileNames,
    manifest: &Manifest,
    read: &LogEnd,
) -> Result<End, LoadError> {
    let mut end = base_end(disk, names, manifest)?;
    end.in_seconds = manifest.incrs.iter().all(|entry| entry.salt().is_none());
    end.note(read);
    Ok(end)
}

/// The end of a log without segments.
fn base_end(disk: &dyn Disk, names: &FileNames, manifest: &Manifest) -> Result<End, LoadError> {
    let mut end = End::default();
    if let Some((base, position)) = manifest.base.as_ref().and_then(|b| Some((b, b.position()?))) {
        end.position = position;
        end.millis = head(disk, &names.path(&base.name))?.at();
    }
    Ok(end)
}

pub(super) fn log_end(
    disk: &dyn Disk,
    names: &FileNames,
    manifest: &Manifest,
) -> Result<End, LoadError> {
    let mut end = base_end(disk, names, manifest)?;
    let mut views = Vec::new();
    for entry in &manifest.incrs {
        views.push((entry, view(disk, &names.path(&entry.name))?));
    }
    let segments: Vec<SegmentFile<'_>> = views
        .iter()
        .map(|(entry, view)| SegmentFile {
            name: &entry.name,
            bytes: view,
            salt: entry.salt(),
            end: entry.end(),
            records_at: 0,
        })
        .filter(|segment| !starts_with_snapshot(segment.bytes))
        .collect();
    end.in_seconds = segments.iter().all(|segment| segment.salt.is_none());
    match read_log(None, &segments, |_| Ok::<(), ()>(())) {
        Ok(read) => end.note(&read),
        Err(_) => end.damaged = segments.iter().any(|segment| segment.salt.is_some()),
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_before_the_clock_and_in_doubt_the_log() {
        let log =
            End { position: Position(50), millis: Some(5_200), damaged: false, in_seconds: false };
        let mark = |position| Some(LogMark { salt: Salt(1), position: Position(position) });
        let saved = |millis, seconds| Head { mark: None, millis, seconds };
        for late in [saved(Some(9_000), Some(9)), saved(Some(1), Some(0))] {
            assert_eq!(is_newer(late, mark(49), log), (false, None));
            assert_eq!(is_newer(late, mark(50), log), (true, None));
            let damaged = End { damaged: true, ..log };
            assert_eq!(is_newer(late, mark(50), damaged), (false, None));
        }
        for (millis, newer) in [(5_199, false), (5_200, false), (5_201, true)] {
            assert_eq!(is_newer(saved(Some(millis), Some(5)), None, log), (newer, None));
        }
        for (seconds, newer, doubt) in [(4, false, false), (5, false, true), (6, true, false)] {
            let found = is_newer(saved(None, Some(seconds)), None, log);
            assert_eq!((found.0, found.1.is_some()), (newer, doubt), "{seconds}");
        }
        let redis = End { millis: None, ..log };
        assert_eq!(is_newer(saved(None, None), None, redis), (true, None));
        assert_eq!(is_newer(saved(None, None), None, log), (false, None));
    }
}
