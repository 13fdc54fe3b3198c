//! The report for people: one line a file, what is in it below, the answer last.

use std::fmt::Write as _;

use super::report::{
    Damage, FileReport, LogFacts, ManifestFacts, Report, SnapshotFacts, State, Verdict,
};
use crate::logger::Timestamp;

/// The report as text; `colour` for terminals.
pub(super) fn text(report: &Report, colour: bool) -> String {
    let mut out = format!("{}\n", report.path);
    let width = report.files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    for file in &report.files {
        file_lines(&mut out, file, width, colour);
    }
    if let Some(start) = report.start {
        line(&mut out, &format!("start: {start}"));
    }
    for note in &report.notes {
        line(&mut out, &format!("note: {note}"));
    }
    for damage in &report.damage {
        damage_lines(&mut out, damage, colour);
    }
    let (word, code) = match report.verdict() {
        Verdict::Sound if report.has_unchecked() => {
            ("sound as far as it can be told: not every byte has a checksum", GREEN)
        }
        Verdict::Sound => ("sound: checksums vouch for every byte", GREEN),
        Verdict::Torn => ("torn: the end of the log was not written whole", YELLOW),
        Verdict::Damaged => ("damaged", RED),
        Verdict::Nothing => ("no data is here", YELLOW),
    };
    line(&mut out, &painted(word, code, colour));
    out
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn painted(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn file_lines(out: &mut String, file: &FileReport, width: usize, colour: bool) {
    let code = match file.state {
        State::Checked | State::Empty => GREEN,
        State::Unchecked | State::Torn | State::NotRead => YELLOW,
        State::Damaged | State::Missing => RED,
    };
    // Padded before it is painted: the codes have no width.
    let state = painted(&format!("{:9}", file.state.name()), code, colour);
    let bytes = file.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
    line(out, &format!("  {:width$}  {bytes:>12} bytes  {state}  {}", file.path, file.role.name()));
    if let Some(facts) = &file.manifest {
        manifest_line(out, facts);
    }
    if let Some(facts) = &file.snapshot {
        snapshot_lines(out, facts);
    }
    if let Some(facts) = &file.log {
        log_line(out, facts);
    }
}

fn manifest_line(out: &mut String, facts: &ManifestFacts) {
    let ManifestFacts { bases, segments, history } = facts;
    line(out, &format!("    lists {bases} base, {segments} segments, {history} old files"));
}

fn snapshot_lines(out: &mut String, facts: &SnapshotFacts) {
    let mut text = format!("    RDB version {}, {}", facts.version, facts.checksum);
    if let Some(frames) = facts.frames {
        let zstd = if facts.packed { "zstd " } else { "" };
        let _ = write!(text, ", {zstd}in {frames} frames");
    }
    if !facts.producer.is_empty() {
        let _ = write!(text, ", written by {}", facts.producer);
    }
    if let Some(at) = facts.made_at {
        let _ = write!(text, " at {} UTC", Timestamp(at));
    }
    line(out, &text);
    if facts.functions > 0 {
        line(out, &format!("    {} function libraries", facts.functions));
    }
    for (db, keys) in &facts.databases {
        let types: Vec<String> = keys
            .types
            .iter()
            .map(|((kind, form), count)| format!("{count} {kind} ({form})"))
            .collect();
        line(
            out,
            &format!(
                "    db {db}: {} keys, {} with expiry: {}",
                keys.keys,
                keys.expires,
                types.join(", ")
            ),
        );
    }
}

fn log_line(out: &mut String, facts: &LogFacts) {
    let mut text = match facts.framed {
        true => format!("    {} frames, {} units", facts.frames, facts.units),
        false => format!("    {} units without frames", facts.units),
    };
    if facts.framed && facts.unchecked_units > 0 {
        let _ = write!(text, " ({} of them without frames)", facts.unchecked_units);
    }
    if let Some(position) = facts.position {
        let _ = write!(text, ", up to position {position}");
    }
    if let Some(at) = facts.last_write_at {
        let _ = write!(text, ", last written at {} UTC", Timestamp(at));
    }
    line(out, &text);
}

fn damage_lines(out: &mut String, damage: &Damage, colour: bool) {
    let (word, code) = if damage.torn { ("torn", YELLOW) } else { ("damaged", RED) };
    let mut text = format!("{}: {}", painted(word, code, colour), damage.file);
    if let Some(offset) = damage.offset {
        let _ = write!(text, " at offset {offset}");
    }
    if let Some(position) = damage.position {
        let _ = write!(text, " (log position {position})");
    }
    let _ = write!(text, ": {}", damage.reason);
    line(out, &text);
    if let Some(key) = &damage.key {
        line(out, &format!("  key: \"{key}\" in database {}", damage.db.unwrap_or_default()));
    }
    if let Some(behind) = &damage.behind {
        line(out, &format!("  behind: {behind}"));
    }
    line(out, &format!("  next: {}", damage.next));
}
