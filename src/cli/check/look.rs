//! Looking: a directory as recovery sees it, or one file by what it starts with.
//!
//! Names that differ from the default (`appenddirname`, `appendfilename`, `dbfilename`) are found by looking:
//! a folder with a `*.manifest` is the log's, the only `*.rdb` is the snapshot. So no configuration is needed.

use crate::aof::chain::SegmentFile;
use crate::aof::manifest::{Entry, MANIFEST_LEN_MAX, Manifest};
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::Position;
use crate::backup::unfinished;
use crate::disk::os::OsDisk;
use crate::disk::{Disk, FileView, durable};
use crate::recovery::beside;
use crate::recovery::content::{Behind, RECORDS_BEHIND, behind_snapshot, other_behind};
use crate::recovery::decide::{Decision, decide};
use crate::recovery::find::{config_for, config_of_names};
use crate::recovery::inspect::{Facts, base_fault, inspect, view};
use crate::snapshot::inspect::{Inspection, inspect as inspect_snapshot};
use crate::snapshot::load::Checksum;
use crate::snapshot::{Dialect, LoadError, LoadOptions, function};

use super::log::{self, LogFile};
use super::report::{Damage, FileReport, Keys, ManifestFacts, Report, Role, SnapshotFacts, State};

/// Looks at a directory or file; an error says why that was not possible.
pub(in crate::cli) fn look(path: &str) -> Result<Report, String> {
    let disk = OsDisk::new(path);
    match disk.list("") {
        Ok(names) => directory(&disk, path, &names),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotADirectory => file(path),
        Err(error) => Err(format!("{path}: {}", error.source)),
    }
}

/// Looks at the root of a disk, which is called `path` in the report.
pub fn look_into(disk: &dyn Disk, path: &str) -> Result<Report, String> {
    let names = disk.list("").map_err(|error| error.to_string())?;
    directory(disk, path, &names)
}

/// One file, by its name and content.
fn file(path: &str) -> Result<Report, String> {
    let parent = durable::parent(path);
    let parent = match parent {
        "" if path.starts_with('/') => "/",
        "" => ".",
        other => other,
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let disk = OsDisk::new(parent);
    let mut report = Report { path: path.to_owned(), ..Report::default() };
    if name.ends_with(".manifest") {
        let config = config_of_names("", name, "");
        let facts = inspect(&disk, &config).map_err(|error| error.to_string())?;
        listed_files(&disk, &facts, parent, &mut report)?;
        return Ok(report);
    }
    let bytes = view(&disk, name).map_err(|error| error.to_string())?;
    // A name can say what the bytes do not any more.
    let is_snapshot = name.ends_with(".rdb");
    let role = match is_snapshot || (starts_with_snapshot(&bytes) && !name.ends_with(".aof")) {
        // Redis may let records follow a base.
        true if name.ends_with(".base.rdb") => Role::Base,
        true => Role::Snapshot,
        false => Role::Segment,
    };
    report.files.push(FileReport::new(name, role, Some(bytes.len() as u64)));
    match is_snapshot && !starts_with_snapshot(&bytes) {
        true => drop(snapshot(name, &bytes, path, &mut report)),
        false => single_log(name, &bytes, path, &mut report),
    }
    Ok(report)
}

/// A file that may start with a snapshot and go on with records.
fn single_log(path: &str, bytes: &[u8], dir: &str, report: &mut Report) {
    let mut records_at = 0;
    if starts_with_snapshot(bytes) {
        let Some((end, _)) = snapshot(path, bytes, dir, report) else { return };
        records_at = end;
        if end >= bytes.len() {
            return;
        }
        if report.file_mut(path).is_some_and(|file| file.role == Role::Snapshot) {
            judge_behind(path, bytes, end, dir, report);
            return;
        }
    }
    let segment = SegmentFile { name: path, bytes, salt: None, end: None, records_at };
    log::read(None, &[LogFile { path: path.to_owned(), segment }], dir, report);
}

/// What follows the end of a snapshot, as a start judges it.
fn judge_behind(path: &str, bytes: &[u8], end: usize, dir: &str, report: &mut Report) {
    let end = end as u64;
    let state = match behind_snapshot(bytes, end) {
        Behind::Nothing => return,
        Behind::Other(rest) => {
            report.notes.push(other_behind(path, end, rest));
            State::Unchecked
        }
        Behind::Records => {
            report.damage.push(Damage {
                file: path.to_owned(),
                offset: Some(end),
                position: None,
                reason: RECORDS_BEHIND.to_owned(),
                key: None,
                db: None,
                behind: None,
                torn: false,
                next: format!(
                    "give it the name appendonly.aof and start with appendonly yes, or {}",
                    repair(dir)
                ),
            });
            State::Damaged
        }
    };
    if let Some(file) = report.file_mut(path) {
        file.state = state;
    }
}

/// A data directory, or the log's folder inside one.
fn directory(disk: &dyn Disk, path: &str, names: &[String]) -> Result<Report, String> {
    if let Some(why) = unfinished::refusal(disk).map_err(|error| error.to_string())? {
        return Err(why);
    }
    let config = config_for(disk, names);
    let facts = inspect(disk, &config).map_err(|error| error.to_string())?;
    let mut report = Report { path: path.to_owned(), ..Report::default() };
    let decision = decide(facts.situation);
    report.start = start_text(decision);
    report.notes.extend(facts.notes.iter().cloned());
    // What cannot be read is told below; a rewrite may be taking files away.
    report.notes.extend(beside::for_check(disk, &facts).ok().flatten());
    listed_files(disk, &facts, path, &mut report)?;
    other_files(disk, &facts, path, &mut report)?;
    if decision == Decision::RefuseMissingManifest {
        report.damage.push(Damage {
            file: facts.names.path(&facts.names.manifest()),
            offset: None,
            position: None,
            reason: format!(
                "it is missing, and only it can put these in order: {}",
                facts.stray.join(", ")
            ),
            key: None,
            db: None,
            behind: None,
            torn: false,
            next: repair(path),
        });
    }
    note_user(disk, names, &mut report);
    Ok(report)
}

/// The next command for what is damaged in `path`.
pub(super) fn repair(path: &str) -> String {
    format!(
        "restore it from a backup, or fastness repair {path} (shows what can be saved; with --apply it \
         does it, and keeps what it takes out)"
    )
}

/// Says who may be writing there.
fn note_user(disk: &dyn Disk, names: &[String], report: &mut Report) {
    let name = "fastness.lock";
    if !names.iter().any(|other| other == name) {
        return;
    }
    let Ok(Some(bytes)) = durable::read_small(disk, name, 256) else { return };
    let text = String::from_utf8_lossy(&bytes);
    // What follows is the id of the run.
    let pid = text.split_ascii_whitespace().next().unwrap_or_default();
    let alive = pid.parse::<u32>().is_ok()
        && !crate::memory::kernel_file(&format!("/proc/{pid}/comm")).is_empty();
    if alive {
        report.notes.push(format!(
            "process {pid} may be using this directory: the end of the log may be on its way"
        ));
    }
}

fn start_text(decision: Decision) -> Option<&'static str> {
    Some(match decision {
        Decision::StartEmpty => return None,
        Decision::LoadLog | Decision::LoadLogThenSave => "the log is loaded",
        Decision::UpgradeOldLog | Decision::LoadOldLogThenSave => {
            "the single-file log is loaded and becomes the base of a new one"
        }
        Decision::LoadSnapshot | Decision::LoadSnapshotThenStartLog => {
            "the snapshot is loaded and, with appendonly yes, becomes the base of a log"
        }
        Decision::RefuseDamagedManifest => "refused: the manifest is damaged",
        Decision::RefuseMissingFile => "refused: a file that the manifest lists is missing",
        Decision::RefuseMissingManifest => "refused: there are log files without a manifest",
    })
}

/// The manifest and what it lists.
fn listed_files(
    disk: &dyn Disk,
    facts: &Facts,
    dir: &str,
    report: &mut Report,
) -> Result<(), String> {
    let path = facts.names.path(&facts.names.manifest());
    let bytes = durable::read_small(disk, &path, MANIFEST_LEN_MAX);
    let Some(bytes) = bytes.map_err(|error| error.to_string())? else { return Ok(()) };
    let mut entry = FileReport::new(path.as_str(), Role::Manifest, Some(bytes.len() as u64));
    if let Some(error) = &facts.manifest_error {
        entry.state = State::Damaged;
        report.files.push(entry);
        report.damage.push(Damage {
            file: path,
            offset: Some(facts.manifest_error_at),
            position: None,
            reason: error.clone(),
            key: None,
            db: None,
            behind: None,
            torn: false,
            next: repair(dir),
        });
        return Ok(());
    }
    entry.state = if facts.manifest_checked { State::Checked } else { State::Unchecked };
    let manifest = &facts.manifest;
    entry.manifest = Some(ManifestFacts {
        bases: usize::from(manifest.base.is_some()),
        segments: manifest.incrs.len(),
        history: manifest.history.len(),
    });
    report.files.push(entry);
    let mut views = Vec::new();
    for listed in manifest.base.iter().chain(&manifest.incrs) {
        match open_listed(disk, facts, listed, dir, report)? {
            Some(found) => views.push((listed, found)),
            // What follows a missing file cannot be judged.
            None => break,
        }
    }
    listed_content(manifest, &views, dir, report);
    Ok(())
}

/// Opens a listed file and adds it to the report; `None` when it is not there.
fn open_listed(
    disk: &dyn Disk,
    facts: &Facts,
    listed: &Entry,
    dir: &str,
    report: &mut Report,
) -> Result<Option<(String, FileView)>, String> {
    let is_base = facts.manifest.base.as_ref() == Some(listed);
    let role = if is_base { Role::Base } else { Role::Segment };
    let mut path = facts.names.path(&listed.name);
    if facts.missing.contains(&listed.name) {
        report.files.push(FileReport::new(path.as_str(), role, None));
        report.damage.push(Damage {
            file: path,
            offset: None,
            position: None,
            reason: "the manifest lists it, and it is not there".to_owned(),
            key: None,
            db: None,
            behind: None,
            torn: false,
            next: repair(dir),
        });
        return Ok(None);
    }
    let inside = disk.file_len(&path).map_err(|error| error.to_string())?;
    if inside.is_none() {
        // A crash while the single-file log was moved leaves it outside.
        path.clone_from(&facts.old_log);
    }
    let bytes = view(disk, &path).map_err(|error| error.to_string())?;
    report.files.push(FileReport::new(path.as_str(), role, Some(bytes.len() as u64)));
    Ok(Some((path, bytes)))
}

fn listed_content(
    manifest: &Manifest,
    views: &[(&Entry, (String, FileView))],
    dir: &str,
    report: &mut Report,
) {
    let mut files = Vec::new();
    for (listed, (path, bytes)) in views {
        let (mut records_at, mut crc32) = (0, None);
        if starts_with_snapshot(bytes) {
            // Without its end it is not known where records start.
            let Some((end, crc)) = snapshot(path, bytes, dir, report) else { continue };
            (records_at, crc32) = (end, crc);
        }
        let is_base = manifest.base.as_ref() == Some(*listed);
        if is_base && let Some((offset, reason)) = base_fault(listed, bytes, records_at, crc32) {
            bad_base(path, dir, offset, reason, report);
            continue;
        }
        // What the manifest says of it is a checksum, too.
        if is_base
            && listed.content().is_some()
            && let Some(file) = report.file_mut(path)
        {
            file.state = State::Checked;
        }
        if !is_base || (records_at < bytes.len() && listed.position().is_none()) {
            let (salt, end) = (listed.salt(), listed.end());
            let segment = SegmentFile { name: &listed.name, bytes, salt, end, records_at };
            files.push(LogFile { path: path.clone(), segment });
        }
    }
    let base = manifest.base.as_ref().map(Entry::position).unwrap_or(Some(Position::ZERO));
    log::read(base, &files, dir, report);
}

/// A base that is not what the manifest says of it.
fn bad_base(path: &str, dir: &str, offset: u64, reason: String, report: &mut Report) {
    if let Some(file) = report.file_mut(path) {
        file.state = State::Damaged;
    }
    report.damage.push(Damage {
        file: path.to_owned(),
        offset: Some(offset),
        position: None,
        reason,
        key: None,
        db: None,
        behind: None,
        torn: false,
        next: repair(dir),
    });
}

/// Everything else: snapshot, single-file log, strays, leftovers.
fn other_files(
    disk: &dyn Disk,
    facts: &Facts,
    dir: &str,
    report: &mut Report,
) -> Result<(), String> {
    for (path, role, there) in [
        (&facts.snapshot, Role::Snapshot, facts.situation.snapshot),
        (&facts.old_log, Role::OldLog, facts.situation.old_log),
    ] {
        if there && !report.files.iter().any(|file| file.path == *path) {
            let bytes = view(disk, path).map_err(|error| error.to_string())?;
            report.files.push(FileReport::new(path.as_str(), role, Some(bytes.len() as u64)));
            if role == Role::Snapshot && !starts_with_snapshot(&bytes) {
                snapshot(path, &bytes, dir, report);
            } else {
                single_log(path, &bytes, dir, report);
            }
        }
    }
    if facts.empty_old_log {
        let len = disk.file_len(&facts.old_log).map_err(|error| error.to_string())?;
        report.files.push(FileReport::new(facts.old_log.as_str(), Role::OldLog, len));
    }
    let paths = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| facts.names.path(name)).collect()
    };
    let history: Vec<String> =
        facts.manifest.history.iter().map(|entry| entry.name.clone()).collect();
    let others = paths(&facts.stray).into_iter().map(|path| (path, Role::Stray));
    let others = others.chain(paths(&history).into_iter().map(|path| (path, Role::History)));
    let others = others.chain(facts.temporary.iter().map(|path| (path.clone(), Role::Temporary)));
    for (path, role) in others {
        if let Some(len) = disk.file_len(&path).map_err(|error| error.to_string())? {
            report.files.push(FileReport::new(path, role, Some(len)));
        }
    }
    Ok(())
}

/// Looks into a snapshot; the offset behind it, when it is sound, and its CRC-32.
fn snapshot(
    path: &str,
    bytes: &[u8],
    dir: &str,
    report: &mut Report,
) -> Option<(usize, Option<u32>)> {
    let options = LoadOptions { databases: u32::MAX, ..LoadOptions::default() };
    let mut found = inspect_snapshot(bytes, &options);
    // A start compiles them.
    found.damage = found.damage.or_else(|| function::refused(&found.libraries));
    let facts = snapshot_facts(&found);
    if let Some(file) = report.file_mut(path) {
        file.state = match (&found.damage, found.checksum) {
            (Some(_), _) => State::Damaged,
            (None, Some(Checksum::Verified)) => State::Checked,
            (None, _) => State::Unchecked,
        };
        file.snapshot = Some(facts);
    }
    if let Some(error) = &found.damage {
        report.damage.push(snapshot_damage(path, dir, error));
        return None;
    }
    found.end.and_then(|end| Some((usize::try_from(end).ok()?, found.crc32)))
}

fn snapshot_facts(found: &Inspection) -> SnapshotFacts {
    let aux =
        |name: &[u8]| found.aux.iter().find(|(other, _)| other == name).map(|(_, value)| value);
    let made_at = aux(b"ctime").and_then(|value| crate::number::parse_i64(value));
    let databases = found.databases.iter().map(|(db, counts)| {
        let types = counts.types.clone();
        (*db, Keys { keys: counts.keys, expires: counts.expires, types })
    });
    SnapshotFacts {
        version: found.version.map_or(String::new(), |version| match version.dialect {
            Dialect::Redis => format!("redis {}", version.number),
            Dialect::Valkey => format!("valkey {}", version.number),
        }),
        producer: found.producer.clone(),
        checksum: match found.checksum {
            Some(Checksum::Verified) => "checksum holds",
            Some(Checksum::Disabled) => "checksum was disabled",
            Some(Checksum::Absent) => "too old to have a checksum",
            Some(Checksum::Ignored) => "checksum ignored",
            None => "checksum does not hold",
        },
        made_at: made_at.and_then(|seconds| seconds.checked_mul(1000)),
        functions: found.functions,
        frames: found.frames,
        packed: found.packed,
        databases: databases.collect(),
    }
}

fn snapshot_damage(path: &str, dir: &str, error: &LoadError) -> Damage {
    let (offset, reason, place) = match error {
        LoadError::NotRdb | LoadError::UnknownVersion(_) => (0, error.to_string(), None),
        LoadError::Damaged { corruption, place } => {
            (corruption.offset, corruption.kind.to_string(), Some(place))
        }
        LoadError::Unsupported { what, offset, place, .. } => {
            (*offset, format!("{what} cannot be loaded"), Some(place))
        }
        LoadError::Refused { reason, offset, place } => (*offset, reason.clone(), Some(place)),
    };
    let key = place.and_then(|place| place.key.as_ref());
    Damage {
        file: path.to_owned(),
        offset: Some(offset),
        position: None,
        reason,
        key: key.map(|key| key.escape_ascii().to_string()),
        db: place.map(|place| place.db),
        behind: None,
        torn: false,
        next: match error {
            LoadError::UnknownVersion(_) | LoadError::Unsupported { .. } => {
                format!(
                    "load it with the server that wrote it, and move the data with DUMP and RESTORE; or {}",
                    repair(dir)
                )
            }
            _ => repair(dir),
        },
    }
}
