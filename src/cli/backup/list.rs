//! `fastness backup list` and `info`: what a repository has.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::terms;
use crate::backup::manifest::{BackedFile, Manifest};
use crate::backup::repository::ListedBackup;
use crate::backup::time::Iso;
use crate::backup::{BackupError, manifest};

/// See `--help`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The repository: a path or URL.
    url: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// See `--help`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The repository: a path or URL.
    url: String,
    /// The backup's name; the newest one if none is given.
    backup: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Lists; exit code 1 when a manifest is damaged, 2 when there is no backup.
pub(super) fn run(args: &ListArgs) -> ExitCode {
    let outcome = terms::repository(&args.url).and_then(|repository| repository.backups());
    let outcome = outcome.map(|found| {
        let damaged = found.iter().any(|backup| backup.manifest.is_err());
        let code = if found.is_empty() { 2 } else { u8::from(damaged) };
        let rows: Vec<Value> = found.iter().map(row_json).collect();
        (json!({ "repository": args.url, "backups": rows }), table(&found), code)
    });
    terms::finish(args.json, outcome)
}

fn row_json(backup: &ListedBackup) -> Value {
    match &backup.manifest {
        Ok(manifest) => json!({
            "backup": backup.id,
            "created_at": manifest.created_at,
            "instant": manifest.instant,
            "position": manifest.position,
            "bytes": manifest.size(),
            "stored": stored(manifest),
            "keys": manifest.keys,
            "from": manifest.origin.address,
            "producer": manifest.origin.producer,
        }),
        Err(error) => json!({ "backup": backup.id, "damaged": error.to_string() }),
    }
}

/// Bytes of the objects of a backup; others may share them.
fn stored(manifest: &Manifest) -> u64 {
    let mut seen = std::collections::HashSet::new();
    manifest.parts().filter(|part| seen.insert(part.sha)).map(|part| part.stored).sum()
}

fn table(found: &[ListedBackup]) -> String {
    if found.is_empty() {
        return "no backup is here\n".to_owned();
    }
    let mut out = format!(
        "{:26} {:24} {:>14} {:>12} {:>12}  {}\n",
        "backup", "state of", "position", "size", "stored", "from"
    );
    for backup in found {
        match &backup.manifest {
            Ok(manifest) => out.push_str(&format!(
                "{:26} {:24} {:>14} {:>12} {:>12}  {}\n",
                backup.id,
                when(manifest.instant),
                manifest.position.map_or("-".to_owned(), |position| position.to_string()),
                terms::bytes(manifest.size()),
                terms::bytes(stored(manifest)),
                manifest.origin.address
            )),
            Err(error) => out.push_str(&format!("{:26} {error}\n", backup.id)),
        }
    }
    out
}

fn when(instant: Option<i64>) -> String {
    instant.map_or("-".to_owned(), |instant| Iso(instant).to_string())
}

/// Shows one backup.
pub(super) fn info(args: &InfoArgs) -> ExitCode {
    let outcome = find(args).map(|manifest| (info_json(&manifest), info_text(&manifest), 0));
    terms::finish(args.json, outcome)
}

fn find(args: &InfoArgs) -> Result<Manifest, BackupError> {
    let repository = terms::repository(&args.url)?;
    let next = "fastness backup list shows what there is";
    let none = |why: String| BackupError::refused(why, next);
    let id = match &args.backup {
        Some(id) => id.clone(),
        None => {
            repository.ids_by_age()?.pop().ok_or_else(|| none("no backup is here".to_owned()))?
        }
    };
    match repository.manifest(&id) {
        Err(BackupError::Store(error)) if error.is_not_found() => {
            Err(none(format!("there is no backup {id}")))
        }
        other => other,
    }
}

fn info_json(manifest: &Manifest) -> Value {
    let file = |file: &BackedFile| {
        json!({
            "name": file.name, "bytes": file.size, "sha256": file.sha.map(|sha| sha.to_string()),
            "parts": file.parts.len(), "records": file.records, "position": file.position,
            "end": file.end, "first_time": file.first_time, "last_time": file.last_time,
        })
    };
    json!({
        "backup": manifest.id,
        "object": manifest::manifest_name(&manifest.id),
        "created_at": manifest.created_at,
        "instant": manifest.instant,
        "position": manifest.position,
        "restorable": { "from": restorable_from(manifest), "to": manifest.instant },
        "origin": {
            "kind": manifest.origin.kind, "address": manifest.origin.address,
            "producer": manifest.origin.producer,
        },
        "bytes": manifest.size(),
        "stored": stored(manifest),
        "keys": manifest.keys,
        "digest": manifest.digest,
        "base": manifest.base.as_ref().map(file),
        "segments": manifest.segments.iter().map(file).collect::<Vec<_>>(),
    })
}

/// The oldest instant that this backup alone can be restored to.
fn restorable_from(manifest: &Manifest) -> Option<i64> {
    match &manifest.base {
        Some(base) => base.first_time,
        None => manifest.segments.iter().find_map(|file| file.first_time),
    }
}

fn info_text(manifest: &Manifest) -> String {
    let mut out = format!("backup {}\n", manifest.id);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:12} {value}\n"));
    line("made at", Iso(manifest.created_at).to_string());
    line("from", format!("{} ({})", manifest.origin.address, manifest.origin.producer));
    line("state of", when(manifest.instant));
    if let Some(position) = manifest.position {
        line("position", position.to_string());
    }
    line(
        "restorable",
        format!("{} to {}", when(restorable_from(manifest)), when(manifest.instant)),
    );
    if let Some(keys) = manifest.keys {
        line("keys", keys.to_string());
    }
    if let Some(digest) = &manifest.digest {
        line("digest", digest.clone());
    }
    line(
        "size",
        format!("{}, {} stored", terms::bytes(manifest.size()), terms::bytes(stored(manifest))),
    );
    for file in manifest.files() {
        let what =
            if file.seq > 0 && manifest.base.as_ref() != Some(file) { "units" } else { "keys" };
        line(
            "file",
            format!(
                "{}, {}, {} {what}, {} parts, {} to {}",
                file.name,
                terms::bytes(file.size),
                file.records,
                file.parts.len(),
                when(file.first_time),
                when(file.last_time)
            ),
        );
    }
    out
}
