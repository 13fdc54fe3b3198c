//! The plan, and what became of it, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::plan::{Action, FilePlan, Plan};

/// Skipped commands that the text lists; the JSON has all.
const SHOWN: usize = 20;

impl Action {
    /// As both forms have it.
    fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Rewrite => "write anew",
            Self::Merge => "merge",
            Self::SetAside => "set aside",
            Self::Missing => "missing",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::SetAside => "set-aside",
            other => other.name(),
        }
    }
}

/// For people.
pub(super) fn text(plan: &Plan) -> String {
    let mut out = format!("{}\n", plan.path);
    for file in &plan.files {
        let _ = writeln!(out, "  {:10}  {}  {} bytes", file.action.name(), file.path, file.bytes);
        file_lines(&mut out, file);
    }
    if let Some(log) = &plan.log {
        let form = if log.framed { "checked" } else { "unchecked" };
        let (units, position) = (log.units, log.position);
        let _ = writeln!(
            out,
            "new segment: {units} commands and transactions from position {position} on, {form}"
        );
    }
    for note in &plan.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let last = match (&plan.kept_in, plan.verdict) {
        _ if plan.is_empty() => "nothing to repair".to_owned(),
        (Some(folder), Some(verdict)) => {
            format!("done; the old files are in {folder}. fastness check says: {}", verdict.name())
        }
        _ => "nothing was changed; the same command with --apply does it, and keeps the old files"
            .to_owned(),
    };
    let _ = writeln!(out, "{last}");
    out
}

fn file_lines(out: &mut String, file: &FilePlan) {
    if let Some(reason) = &file.reason {
        let _ = writeln!(out, "    {reason}");
    }
    if file.keys > 0 {
        let _ = writeln!(out, "    {} keys stay", file.keys);
    }
    if file.units + file.units_behind > 0 && file.action != Action::Keep {
        let _ = writeln!(out, "    {} commands and transactions stay", file.units);
    }
    if file.units_behind > 0 {
        let _ = writeln!(out, "    {} are behind the wanted end", file.units_behind);
    }
    for place in &file.skipped {
        let _ = writeln!(
            out,
            "    lost: {} bytes at offset {} (log position {}): {}",
            place.len, place.offset, place.position, place.reason
        );
        for command in place.commands.iter().take(SHOWN) {
            let _ = writeln!(out, "      {command}");
        }
        let more = place.more + place.commands.len().saturating_sub(SHOWN) as u64;
        if more > 0 {
            let _ = writeln!(out, "      and {more} more");
        }
    }
    for record in &file.skipped_keys {
        let key = record.key.as_ref().map_or("(its name cannot be read)".to_owned(), |key| {
            format!("\"{}\"", key.escape_ascii())
        });
        let _ = writeln!(
            out,
            "    lost: {} {key} of database {}, {} bytes at offset {}: {}",
            record.kind, record.db, record.len, record.offset, record.reason
        );
    }
}

/// For programs.
pub(super) fn json(plan: &Plan) -> Value {
    let files: Vec<Value> = plan.files.iter().map(file_json).collect();
    json!({
        "path": plan.path,
        "needed": !plan.is_empty(),
        "applied": plan.kept_in.is_some(),
        "kept_in": plan.kept_in,
        "verdict": plan.verdict.map(|verdict| verdict.name()),
        "files": files,
        "segment": plan.log.as_ref().map(|log| json!({
            "units": log.units,
            "position": log.position.0,
            "framed": log.framed,
        })),
        "notes": plan.notes,
    })
}

fn file_json(file: &FilePlan) -> Value {
    let skipped = file.skipped.iter().map(|place| {
        json!({
            "offset": place.offset,
            "bytes": place.len,
            "position": place.position.0,
            "reason": place.reason,
            "commands": place.commands,
            "more_commands": place.more,
        })
    });
    let keys = file.skipped_keys.iter().map(|record| {
        json!({
            "db": record.db,
            "key": record.key.as_ref().map(|key| key.escape_ascii().to_string()),
            "type": record.kind,
            "offset": record.offset,
            "bytes": record.len,
            "reason": record.reason,
        })
    });
    json!({
        "path": file.path,
        "action": file.action.key(),
        "bytes": file.bytes,
        "reason": file.reason,
        "units": file.units,
        "units_behind": file.units_behind,
        "keys": file.keys,
        "skipped": skipped.collect::<Vec<_>>(),
        "skipped_keys": keys.collect::<Vec<_>>(),
    })
}
