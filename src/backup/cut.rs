//! Where a log ends for a target in time, and how a segment is shortened to there.
//!
//! A unit is kept whole or not at all. A frame is one write of many units, so the end may lie inside of one;
//! then what is kept of it gets a frame line of its own, with the same time, and the shortened segment is one
//! that a server could have written. `format-spec/backup.md`, section 4.

use crate::aof::chain::{ReadError, SegmentFile, read_log};
use crate::aof::reader::{Expected, FileReader, ReadUnit};
use crate::aof::record::{self, Frame, FrameLine, Position, encode_frame_line};
use crate::clock::UnixMillis;
use crate::recovery::LoadError;

use super::BackupError;
use super::time::Iso;

/// Which state is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The newest one.
    #[default]
    Latest,
    /// Everything that was logged up to this instant, inclusive.
    Time(UnixMillis),
    /// Everything before this position of the log.
    Position(u64),
    /// Everything before a command: the first one from an instant on, or the last one of all.
    Before {
        /// Its name, in any case.
        command: String,
        /// From when on it is looked for.
        after: Option<UnixMillis>,
    },
}

/// Where a log is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The file and the offset of the first unit that is left out; `None`: everything is kept.
    pub cut: Option<(usize, usize)>,
    /// The position of the state.
    pub position: u64,
    /// The time of the newest unit that is kept; `None` when there is none or it has no time.
    pub instant: Option<UnixMillis>,
    /// Units that are kept.
    pub units: u64,
    /// The time of the unit that is left out first.
    pub next_time: Option<UnixMillis>,
}

/// Finds the end of the state `target` in files that continue a base at `base`.
pub fn find(
    base: Option<Position>,
    files: &[SegmentFile<'_>],
    target: &Target,
) -> Result<Found, BackupError> {
    let mut found = Found { position: base.unwrap_or_default().0, ..Found::default() };
    // For the last of several: the state before the newest one seen.
    let mut before: Option<Found> = None;
    let mut at = 0;
    let mut timeless = false;
    let read = read_log(base, files, |unit| {
        at = file_of(unit, files, at);
        let offset = usize::try_from(unit.offset).unwrap_or(usize::MAX);
        let here = || Found { cut: Some((at, offset)), next_time: unit.time, ..found.clone() };
        match ends_before(unit, target) {
            Verdict::Keep => {}
            Verdict::Timeless => {
                timeless = true;
                return Err(());
            }
            Verdict::Last => before = Some(here()),
            Verdict::End => {
                before = Some(here());
                return Err(());
            }
        }
        found.position = unit.position.0;
        found.instant = unit.time.or(found.instant);
        found.units += 1;
        Ok(())
    });
    if let Err(ReadError::Corrupt(error)) = read {
        return Err(LoadError::Log(error).into());
    }
    if timeless {
        return Err(BackupError::no_times());
    }
    settle(target, found, before)
}

/// What the search came to.
fn settle(target: &Target, found: Found, before: Option<Found>) -> Result<Found, BackupError> {
    match target {
        Target::Latest | Target::Time(_) => Ok(before.unwrap_or(found)),
        Target::Position(position) => match before {
            Some(before) => Ok(before),
            None if found.position >= *position => Ok(found),
            None => Err(BackupError::refused(
                format!("the log ends at position {}, before {position}", found.position),
                "fastness backup info shows which positions there are",
            )),
        },
        Target::Before { command, after } => before.ok_or_else(|| {
            let since = after.map_or(String::new(), |after| format!(" from {} on", Iso(after)));
            BackupError::refused(
                format!("there is no {command} in the log{since}"),
                "commands are logged as what they did: EXPIRE as PEXPIREAT, SPOP as SREM; --to-time \
                 restores to an instant",
            )
        }),
    }
}

/// What a unit means for a target.
enum Verdict {
    Keep,
    /// The state ends before it.
    End,
    /// The state ends before it, unless there is another one.
    Last,
    /// It has no time, and one is needed.
    Timeless,
}

fn ends_before(unit: &ReadUnit<'_, '_>, target: &Target) -> Verdict {
    let late = |limit: UnixMillis| match unit.time {
        Some(time) if time > limit => Verdict::End,
        Some(_) => Verdict::Keep,
        None => Verdict::Timeless,
    };
    match target {
        Target::Latest => Verdict::Keep,
        Target::Time(limit) => late(*limit),
        Target::Position(limit) if unit.position.0 > *limit => Verdict::End,
        Target::Position(_) => Verdict::Keep,
        Target::Before { command, after } => {
            let named = |args: &[&[u8]]| {
                args.first().is_some_and(|name| name.eq_ignore_ascii_case(command.as_bytes()))
            };
            if !unit.commands().any(named) {
                return Verdict::Keep;
            }
            match (after, unit.time) {
                (None, _) => Verdict::Last,
                (Some(_), None) => Verdict::Timeless,
                (Some(after), Some(time)) if time >= *after => Verdict::End,
                _ => Verdict::Keep,
            }
        }
    }
}

/// The file that a unit is from, told by where its bytes are; `at` or a later one.
fn file_of(unit: &ReadUnit<'_, '_>, files: &[SegmentFile<'_>], mut at: usize) -> usize {
    let place = unit.commands().next().and_then(|args| args.first().map(|arg| arg.as_ptr()));
    while let (Some(file), Some(place)) = (files.get(at), place)
        && !file.bytes.as_ptr_range().contains(&place)
        && at + 1 < files.len()
    {
        at += 1;
    }
    at
}

/// A file that ends before the unit at `offset`: how many of its bytes stay, and what follows them.
pub fn shorten(file: &SegmentFile<'_>, offset: usize) -> Result<(usize, Vec<u8>), BackupError> {
    let expected = Expected { salt: file.salt, records_at: file.records_at, ..Expected::default() };
    let corrupt = |error| BackupError::Load(LoadError::Log(error));
    let mut reader = FileReader::open(file.name, file.bytes, expected).map_err(corrupt)?;
    let salt = reader.header().map(|header| header.salt);
    loop {
        let believed = usize::try_from(reader.end().offset).unwrap_or(usize::MAX);
        match reader.next_unit().map_err(corrupt)? {
            Some(unit) if unit.offset < offset as u64 => {}
            Some(unit) => {
                let framed = unit.checked;
                return Ok(match (framed, salt) {
                    (true, Some(salt)) => reframe(file.bytes, believed, offset, salt),
                    _ => (offset, Vec::new()),
                });
            }
            None => return Ok((file.bytes.len(), Vec::new())),
        }
    }
}

/// Keeps the units before `offset` of the frame that follows `believed`.
fn reframe(bytes: &[u8], believed: usize, offset: usize, salt: record::Salt) -> (usize, Vec<u8>) {
    let mut at = believed;
    while let Some(line) = record::line(bytes.get(at..).unwrap_or_default()) {
        let Some(parsed) = FrameLine::parse(line) else {
            at += line.len();
            continue;
        };
        let payload = at + line.len();
        if payload >= offset {
            // The unit is the first of its frame: empty frames before it stay.
            return (at, Vec::new());
        }
        let end = usize::try_from(parsed.frame.len).ok().and_then(|len| payload.checked_add(len));
        if let Some(end) = end.filter(|end| *end <= offset) {
            at = end;
            continue;
        }
        let kept = bytes.get(payload..offset).unwrap_or_default();
        let frame = Frame { len: kept.len() as u64, ..parsed.frame };
        let mut tail = Vec::new();
        encode_frame_line(&mut tail, salt, &frame, kept);
        tail.extend_from_slice(kept);
        return (at, tail);
    }
    (at, Vec::new())
}
