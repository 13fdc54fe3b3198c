//! Log files in order: what each holds, and the first place where the chain breaks.
//!
//! The chain of all files is what recovery reads; when it breaks, the files before the break are read
//! again on their own for their counts, and those behind it are not judged.

use crate::aof::chain::{LogEnd, ReadError, SegmentFile, read_log};
use crate::aof::corruption::CorruptionError;
use crate::aof::reader::{FileEnd, ReadUnit};
use crate::aof::record::Position;

use crate::recovery::content::{read_known, unknown_command};

use super::look::repair;
use super::report::{Damage, LogFacts, Report, State};

/// How many bytes of a command and its first argument are shown.
const SHOWN_BYTES_MAX: usize = 64;

/// A file of records and the path under which it is reported.
#[derive(Debug)]
pub(super) struct LogFile<'a> {
    pub(super) path: String,
    pub(super) segment: SegmentFile<'a>,
}

/// The last unit seen, for the message about what follows it.
#[derive(Default)]
struct LastUnit {
    units: u64,
    offset: u64,
    command: Vec<u8>,
    key: Vec<u8>,
}

impl LastUnit {
    fn note(&mut self, unit: &ReadUnit<'_, '_>) {
        self.units += 1;
        self.offset = unit.offset;
        let Some(command) = unit.commands().last() else { return };
        let cut = |at: usize| {
            let word = command.get(at).copied().unwrap_or_default();
            word.get(..SHOWN_BYTES_MAX.min(word.len())).unwrap_or_default()
        };
        self.command.clear();
        self.command.extend_from_slice(cut(0));
        self.key.clear();
        self.key.extend_from_slice(cut(1));
    }

    fn text(&self) -> Option<String> {
        (self.units > 0).then(|| {
            format!(
                "{} \"{}\" at offset {}",
                self.command.escape_ascii(),
                self.key.escape_ascii(),
                self.offset
            )
        })
    }
}

/// Reads the files that continue a base at `base`; `dir` is what the next command is about.
pub(super) fn read(base: Option<Position>, files: &[LogFile<'_>], dir: &str, report: &mut Report) {
    let segments: Vec<SegmentFile<'_>> = files.iter().map(|file| file.segment).collect();
    let mut last = LastUnit::default();
    match read_known(base, &segments, |unit| last.note(unit)) {
        Ok(end) => whole(&end, files, &last, dir, report),
        Err(ReadError::Visitor(unknown)) => {
            let Some(file) = files.get(unknown.file) else { return };
            let found = Damage {
                file: file.path.clone(),
                offset: Some(unknown.offset),
                position: None,
                reason: unknown_command(&unknown.command),
                key: None,
                db: None,
                behind: last.text(),
                torn: false,
                next: repair(dir),
            };
            broken(base, unknown.file, found, files, &last, report);
        }
        Err(ReadError::Corrupt(error)) => {
            let at = files.iter().position(|file| file.segment.name == error.file).unwrap_or(0);
            let Some(file) = files.get(at) else { return };
            let found = Damage { next: repair(dir), ..damage(&error, &file.path, &last) };
            broken(base, at, found, files, &last, report);
        }
    }
}

/// The chain holds, at most with a torn end.
fn whole(end: &LogEnd, files: &[LogFile<'_>], last: &LastUnit, dir: &str, report: &mut Report) {
    for (index, (file, found)) in files.iter().zip(&end.files).enumerate() {
        let torn = end.torn.as_ref().filter(|(at, _)| *at == index);
        let loose = end.loose.iter().find(|(at, _)| *at == index);
        note_file(report, &file.path, found, torn.or(loose).is_some());
        if let Some((_, error)) = loose {
            report.damage.push(Damage {
                next: format!(
                    "nothing is missing, and a server starts: these bytes were room for what went into the next file; \
                     fastness repair {dir} takes them out"
                ),
                ..damage(error, &file.path, last)
            });
        }
        if let Some((_, error)) = torn {
            let lost = (file.segment.bytes.len() as u64).saturating_sub(error.offset);
            report.damage.push(Damage {
                next: format!(
                    "fastness serve --dir {dir} (the start cuts these {lost} bytes off by itself and \
                     keeps them in a file beside it; no synced write is among them)"
                ),
                ..damage(error, &file.path, last)
            });
        }
    }
}

/// The chain breaks in the file with the index `at`.
fn broken(
    base: Option<Position>,
    at: usize,
    found: Damage,
    files: &[LogFile<'_>],
    last: &LastUnit,
    report: &mut Report,
) {
    let before: Vec<SegmentFile<'_>> = files.iter().take(at).map(|file| file.segment).collect();
    let mut units_before = 0;
    if let Ok(end) = read_log(base, &before, |_| Ok::<(), ()>(())) {
        for (file, found) in files.iter().zip(&end.files) {
            note_file(report, &file.path, found, false);
            units_before += found.units;
        }
    }
    let Some(file) = files.get(at) else { return };
    if let Some(entry) = report.file_mut(&file.path) {
        entry.state = State::Damaged;
        let units = last.units.saturating_sub(units_before);
        entry.log = Some(LogFacts { units, ..LogFacts::default() });
        entry.log.get_or_insert_default().framed =
            file.segment.bytes.starts_with(crate::aof::record::HEADER_START);
    }
    let behind = files.len().saturating_sub(at + 1);
    if behind > 0 {
        report.notes.push(format!("{behind} files behind the damage were not read"));
    }
    report.damage.push(found);
}

fn damage(error: &CorruptionError, path: &str, last: &LastUnit) -> Damage {
    let text = error.to_string();
    // The message without the file and the offset, which have their own places.
    let reason = text.split_once(&format!("at offset {}: ", error.offset));
    Damage {
        file: path.to_owned(),
        offset: Some(error.offset),
        position: Some(error.position.0),
        reason: reason.map_or(text.as_str(), |(_, reason)| reason).to_owned(),
        key: None,
        db: None,
        behind: last.text(),
        torn: error.torn,
        next: String::new(),
    }
}

fn note_file(report: &mut Report, path: &str, found: &FileEnd, torn: bool) {
    let Some(entry) = report.file_mut(path) else { return };
    let state = match entry.bytes {
        _ if torn => State::Torn,
        Some(0) => State::Empty,
        _ if !found.framed || found.unchecked_units > 0 => State::Unchecked,
        _ => State::Checked,
    };
    // A snapshot in front was judged on its own; records behind it cannot make it better.
    if entry.state != State::Damaged {
        entry.state = state;
    }
    entry.log = Some(LogFacts {
        framed: found.framed,
        frames: found.frames,
        units: found.units,
        unchecked_units: found.unchecked_units,
        position: found.framed.then_some(found.position.0),
        last_write_at: found.time,
    });
}
