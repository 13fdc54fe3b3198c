//! Does what the table says: loads, cuts a torn tail, converts, opens the log.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::LoadError;
use super::beside;
use super::content::{Behind, RECORDS_BEHIND, behind_snapshot, other_behind};
use super::decide::{Decision, decide};
use super::elsewhere;
use super::inspect::{Facts, base_fault, inspect, view};
use super::load::{SnapshotOptions, load_snapshot};
use super::replay::replay_log;
use crate::aof::chain::{LogEnd, SegmentFile};
use crate::aof::corruption::CorruptionError;
use crate::aof::log::{GoodEnd, Kept, Recovered, TornTail, Unsettled, torn_name};
use crate::aof::manifest::{Content, Entry, Manifest};
use crate::aof::mark::LogMark;
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::Position;
use crate::backup::unfinished;
use crate::config::Config;
use crate::disk::{Disk, SharedDisk, durable};
use crate::engine::Engine;
use crate::keyspace::ExpireMode;
use crate::logger::Logger;
use crate::snapshot::load::Checksum;

/// What loading found, for the banner.
#[derive(Debug, Default)]
struct Outcome {
    commands: u64,
    /// Segments of the manifest that have content.
    incrs_kept: usize,
    end: Option<LogEnd>,
    /// What the base was found to hold.
    base_content: Option<Content>,
    /// What there was no room for.
    unsettled: Unsettled,
    /// Why the snapshot that was not loaded may hold more than the log.
    passed_over: Option<String>,
    notes: Vec<String>,
}

/// Recovers the data set of the engine's data directory into the engine and opens the log.
/// Returns the lines of the banner.
pub fn start_up(live: &Mutex<Engine>, logger: &Logger) -> Result<Vec<String>, LoadError> {
    let (disk, config, clock, mut loader) = {
        let mut engine = live.lock();
        let config = engine.server.config.clone();
        (Arc::clone(&engine.disk), config, Arc::clone(&engine.clock), engine.loader())
    };
    let started = clock.monotonic();
    if let Some(why) = unfinished::refusal(disk.as_ref())? {
        return Err(LoadError::Refused { why });
    }
    let mut facts = inspect(disk.as_ref(), &config)?;
    let decision = decide(facts.situation);
    if decision == Decision::StartEmpty {
        facts.notes.extend(elsewhere::look(disk.as_ref(), &config)?);
    }
    let written = beside::last_write(disk.as_ref(), &facts);
    let mut outcome = load_as_decided(decision, &facts, &disk, Some(live), &mut loader)?;
    if let Some(end) = &outcome.end {
        outcome.passed_over = beside::for_start(disk.as_ref(), &facts, end, written)?;
    }
    for note in facts.doubt.iter().chain(&facts.notes).chain(&outcome.notes) {
        logger.warning(note);
    }
    loader.ks.expire_mode = ExpireMode::Active;
    let mut engine = live.lock();
    engine.adopt(loader);
    settle(decision, &facts, &config, &outcome, &mut engine)?;
    // Where that failed clients are told to the end that all is loading: what they wrote would be in no log.
    engine.server.loading = None;
    // The threads that loaded took it: a limit holds from the first request on.
    engine.sample_memory();
    let took = clock.monotonic().saturating_sub(started);
    Ok(banner(&engine, decision, &outcome, took))
}

fn load_as_decided(
    decision: Decision,
    facts: &Facts,
    disk: &SharedDisk,
    live: Option<&Mutex<Engine>>,
    loader: &mut Engine,
) -> Result<Outcome, LoadError> {
    let missing = |what: &str, why: &str| LoadError::Missing {
        file: facts.names.path(what),
        why: why.to_owned(),
    };
    match decision {
        Decision::StartEmpty => Ok(Outcome::default()),
        Decision::LoadLog | Decision::LoadLogThenSave => {
            finish_old_log_move(disk.as_ref(), facts)?;
            load_log(facts, disk, live, loader)
        }
        Decision::UpgradeOldLog | Decision::LoadOldLogThenSave => {
            let entry = Entry::new(facts.old_log.clone(), 1);
            load_files(facts, disk, live, loader, &[(entry, facts.old_log.clone())], None)
        }
        Decision::LoadSnapshot | Decision::LoadSnapshotThenStartLog => {
            let bytes = view(disk.as_ref(), &facts.snapshot)?;
            note_progress(live, bytes.len() as u64, 0);
            let total = bytes.len() as u64;
            let mut progress = |done| note_progress(live, total, done);
            let options = SnapshotOptions::default();
            let report = load_snapshot(loader, &facts.snapshot, &bytes, options, &mut progress)?;
            let notes = notes_behind(&facts.snapshot, &bytes, report.end)?;
            Ok(Outcome { notes, ..Outcome::default() })
        }
        Decision::RefuseDamagedManifest => Err(LoadError::Damaged {
            file: facts.names.path(&facts.names.manifest()),
            offset: facts.manifest_error_at,
            what: facts.manifest_error.clone().unwrap_or_default(),
        }),
        Decision::RefuseMissingFile => {
            Err(missing(facts.missing.first().map_or("", String::as_str), "the manifest lists it"))
        }
        Decision::RefuseMissingManifest => Err(missing(
            &facts.names.manifest(),
            &format!(
                "there are log files ({}) that only it can put in order",
                facts.stray.join(", ")
            ),
        )),
    }
}

/// What stands behind a snapshot is lost with the next save: records refuse the start, anything else is told.
fn notes_behind(file: &str, bytes: &[u8], end: u64) -> Result<Vec<String>, LoadError> {
    match behind_snapshot(bytes, end) {
        Behind::Nothing => Ok(Vec::new()),
        Behind::Other(rest) => Ok(vec![other_behind(file, end, rest)]),
        Behind::Records => Err(LoadError::Damaged {
            file: file.to_owned(),
            offset: end,
            what: RECORDS_BEHIND.to_owned(),
        }),
    }
}

/// A crash between the manifest and the move of a single-file log leaves the file outside.
fn finish_old_log_move(disk: &dyn Disk, facts: &Facts) -> Result<(), LoadError> {
    let Some(base) = &facts.manifest.base else { return Ok(()) };
    let inside = facts.names.path(&base.name);
    if base.name == facts.old_log && disk.file_len(&inside)?.is_none() {
        disk.rename(&facts.old_log, &inside)?;
        disk.sync_dir(&facts.names.dir)?;
        disk.sync_dir("")?;
    }
    Ok(())
}

fn load_log(
    facts: &Facts,
    disk: &SharedDisk,
    live: Option<&Mutex<Engine>>,
    loader: &mut Engine,
) -> Result<Outcome, LoadError> {
    let manifest = &facts.manifest;
    let files: Vec<(Entry, String)> = manifest
        .base
        .iter()
        .chain(&manifest.incrs)
        .map(|entry| (entry.clone(), facts.names.path(&entry.name)))
        .collect();
    let base = manifest.base.as_ref().map(|entry| entry.position());
    load_files(facts, disk, live, loader, &files, base.unwrap_or(Some(Position::ZERO)))
}

/// Loads the log that a running engine writes, into another engine (DEBUG LOADAOF).
pub fn load_own_log(engine: &Engine, loader: &mut Engine) -> Result<(), LoadError> {
    let facts = inspect(engine.disk.as_ref(), &engine.server.config)?;
    load_log(&facts, &engine.disk, None, loader).map(drop)
}

/// Loads files in order: snapshots at the start of a file, then its records.
fn load_files(
    facts: &Facts,
    disk: &SharedDisk,
    live: Option<&Mutex<Engine>>,
    loader: &mut Engine,
    files: &[(Entry, String)],
    base: Option<Position>,
) -> Result<Outcome, LoadError> {
    let mut views = Vec::new();
    for (_, path) in files {
        views.push(view(disk.as_ref(), path)?);
    }
    let total: u64 = views.iter().map(|view| view.len() as u64).sum();
    note_progress(live, total, 0);
    let mut segments = Vec::new();
    let mut loaded = 0;
    let mut base_content = None;
    for ((entry, path), bytes) in files.iter().zip(&views) {
        let (mut records_at, mut crc32, mut vouched) = (0, None, false);
        if starts_with_snapshot(bytes) {
            let options = SnapshotOptions { keep_expired: true, replace: false };
            let mut progress = |done| note_progress(live, total, loaded + done);
            let report = load_snapshot(loader, path, bytes, options, &mut progress)?;
            records_at = usize::try_from(report.end).unwrap_or(usize::MAX);
            loaded += report.end;
            crc32 = report.crc32;
            vouched = report.checksum == Checksum::Verified;
            note_progress(live, total, loaded);
        }
        let is_base = facts.manifest.base.as_ref() == Some(entry);
        if is_base && let Some((offset, what)) = base_fault(entry, bytes, records_at, crc32) {
            let file = path.clone();
            return Err(LoadError::Damaged { file, offset, what });
        }
        // What is known to be sound, and nothing but a snapshot, is told apart from others from now on.
        if is_base && vouched && records_at == bytes.len() {
            base_content = crc32.map(|crc| Content { size: bytes.len() as u64, crc });
        }
        // Behind a base whose position is known there is nothing to replay.
        if !is_base || (records_at < bytes.len() && entry.position().is_none()) {
            let (salt, end) = (entry.salt(), entry.end());
            segments.push(SegmentFile { name: &entry.name, bytes, salt, end, records_at });
        }
    }
    let mut progress = |done| note_progress(live, total, loaded + done);
    let replayed = replay_log(loader, base, &segments, &mut progress);
    let (end, replayed) = replayed.map_err(|error| with_path(error, files))?;
    let mut notes = Vec::new();
    if let Some((offset, error)) = &replayed.first_failure {
        notes.push(format!(
            "{} records of the log answered with an error when replayed; the first at offset {offset}: \
             {} said {}",
            replayed.failed, error.command, error.reply
        ));
    }
    for (_, error) in &end.loose {
        notes.push(format!(
            "{error}. Nothing is missing: the next file goes on where this one ends. `fastness repair` takes it out"
        ));
    }
    let commands = replayed.commands;
    let mut outcome = Outcome { commands, notes, base_content, ..Outcome::default() };
    if live.is_some()
        && !loader.server.config.aof_load_truncated
        && let Some((_, error)) = &end.torn
    {
        return Err(LoadError::Log(error.clone()));
    }
    let names: Vec<String> = segments.iter().map(|segment| segment.name.to_owned()).collect();
    let last = end.content_end.checked_sub(1);
    let good = last.and_then(|last| Some((segments.get(last)?, end.files.get(last)?)));
    let good =
        good.map(|(segment, file)| GoodEnd::of(segment.bytes, file.synced_offset, file.offset));
    drop(segments);
    drop(views);
    if live.is_some() {
        make_end_durable(disk.as_ref(), facts, files, &names, (&end, good), &mut outcome)?;
    }
    outcome.end = Some(end);
    Ok(outcome)
}

/// The replay knows names as the manifest has them.
fn with_path(error: LoadError, files: &[(Entry, String)]) -> LoadError {
    match error {
        LoadError::Damaged { file, offset, what } => {
            let path = files.iter().find(|(entry, _)| entry.name == file);
            let file = path.map_or(file, |(_, path)| path.clone());
            LoadError::Damaged { file, offset, what }
        }
        other => other,
    }
}

/// Keeps a torn tail beside its file, cuts it, and makes the last file's end durable.
/// `names` are the files of `end`, in its order. A running log is whole, and its writer's business.
fn make_end_durable(
    disk: &dyn Disk,
    facts: &Facts,
    files: &[(Entry, String)],
    names: &[String],
    (end, good): (&LogEnd, Option<GoodEnd>),
    outcome: &mut Outcome,
) -> Result<(), LoadError> {
    let bases = usize::from(names.len() > facts.manifest.incrs.len());
    outcome.incrs_kept = end.content_end.saturating_sub(bases);
    let path_of = |index: usize| {
        let name = names.get(index)?;
        files.iter().find(|(entry, _)| entry.name == *name).map(|(_, path)| path.clone())
    };
    let torn = end.torn.as_ref().and_then(|(index, error)| {
        let from = end.files.get(*index).map_or(0, |file| file.offset);
        Some((path_of(*index)?, from, error))
    });
    let last = end.content_end.checked_sub(1);
    let unsettled = Unsettled {
        good: last.and_then(path_of).zip(good),
        torn: torn.as_ref().map(|(path, from, _)| (path.clone(), *from)),
    };
    match unsettled.settle(disk) {
        Ok(kept) => outcome.notes.extend(torn.map(|(.., error)| torn_note(error, kept.as_ref()))),
        Err(full) if full.is_full() => {
            outcome.notes.extend(torn.map(|(path, from, error)| {
                let kept_as = torn_name(&path, from);
                format!(
                    "{} It will be kept as {kept_as} when there is room",
                    torn_note(error, None)
                )
            }));
            outcome.notes.push(format!(
                "the disk is full ({full}): the data set is served, writes are refused until there is room"
            ));
            outcome.unsettled = unsettled;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// What is said of a torn end, and of what was cut off.
fn torn_note(error: &CorruptionError, kept: Option<&TornTail>) -> String {
    let cut = kept.map_or(String::new(), |kept| {
        format!(" Cut off {} bytes, kept as {}", kept.bytes, kept.path)
    });
    format!(
        "!!! Warning: short read while loading the AOF file. AOF loaded anyway because \
         aof-load-truncated is enabled: {error}.{cut}"
    )
}

/// Puts the directory into the form that the configuration asks for, and opens the log.
fn settle(
    decision: Decision,
    facts: &Facts,
    config: &Config,
    outcome: &Outcome,
    engine: &mut Engine,
) -> Result<(), LoadError> {
    let refused = |why: String| LoadError::Refused { why };
    for path in &facts.temporary {
        match durable::remove_if_there(engine.disk.as_ref(), path) {
            // It means nothing where it is, and the next start tries again.
            Err(error) if error.is_full() => {}
            other => other?,
        }
    }
    if config.appendonly {
        if let Some(why) = &outcome.passed_over {
            keep_passed_over(why, facts, engine)?;
        }
        let mut recovered = recovered(engine.disk.as_ref(), facts, outcome)?;
        if decision == Decision::UpgradeOldLog {
            recovered.manifest = adopt_old_log(engine.disk.as_ref(), facts)?;
        }
        // It goes once the new base has taken its place.
        recovered.manifest.history.extend(facts.lone_base.clone());
        recovered.gated = decision == Decision::LoadSnapshotThenStartLog;
        // What is archived is asked later; until then nothing goes that the archive may need.
        let bytes_max = if config.archive.is_empty() { 0 } else { config.archive_local_limit };
        recovered.kept = Kept { from_seq: 0, bytes_max };
        engine.start_log(facts.names.clone(), recovered).map_err(refused)?;
        if decision == Decision::LoadSnapshotThenStartLog {
            engine.rewrite_now().map_err(refused)?;
        }
        finish(engine);
        return Ok(());
    }
    engine.server.persistence.log_mark = match &outcome.end {
        Some(end) => Some(LogMark { salt: end.link.salt, position: end.position }),
        None => facts.snapshot_mark,
    };
    if matches!(decision, Decision::LoadLogThenSave | Decision::LoadOldLogThenSave) {
        if facts.doubt.is_some() {
            keep_snapshot(facts, engine)?;
        }
        engine.save_undisturbed().map_err(refused)?;
    }
    // What is written from now on is in no log.
    let persistence = &mut engine.server.persistence;
    persistence.log_mark = persistence.log_mark.map(LogMark::behind_log);
    finish(engine);
    Ok(())
}

/// Gives a snapshot that may be the newer one another name, before one of the log takes its place.
fn keep_snapshot(facts: &Facts, engine: &Engine) -> Result<(), LoadError> {
    let kept_as = rename_snapshot(facts, engine)?;
    engine.logger.warning(format!("The snapshot that was not loaded is kept as {kept_as}"));
    Ok(())
}

fn rename_snapshot(facts: &Facts, engine: &Engine) -> Result<String, LoadError> {
    let kept_as = format!("{}.not-loaded-at-{}", facts.snapshot, engine.ks.now);
    engine.disk.rename(&facts.snapshot, &kept_as)?;
    engine.disk.sync_dir(durable::parent(&kept_as))?;
    Ok(kept_as)
}

/// The log was loaded, and the snapshot beside it may hold more: the next save must not take its place.
fn keep_passed_over(why: &str, facts: &Facts, engine: &Engine) -> Result<(), LoadError> {
    let log = match facts.situation.manifest {
        true if !facts.names.dir.is_empty() => facts.names.dir.clone(),
        // It is moved there by this start.
        _ => engine.server.config.appenddirname.clone(),
    };
    let snapshot = &facts.snapshot;
    match rename_snapshot(facts, engine) {
        Ok(kept_as) => engine.logger.warning(format!(
            "{why}. The log was loaded, and the snapshot is kept as {kept_as}. To have the snapshot instead: stop this \
             server, move {log} out of the data directory, rename {kept_as} to {snapshot}, and start again"
        )),
        // A start on a full disk serves what is there; saves have no room either.
        Err(LoadError::Disk(full)) if full.is_full() => engine.logger.warning(format!(
            "{why}. The log was loaded, and there is no room to keep {snapshot} under another name ({full}): copy it \
             elsewhere before the next save replaces it"
        )),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn finish(engine: &mut Engine) {
    engine.refresh_settings();
    engine.settings_changed = true;
}

/// What the new segment of the log continues.
fn recovered(disk: &dyn Disk, facts: &Facts, outcome: &Outcome) -> Result<Recovered, LoadError> {
    let Some(end) = &outcome.end else { return Ok(Recovered::default()) };
    let len = |entry: &Entry| disk.file_len(&facts.names.path(&entry.name));
    let mut base_bytes = 0;
    if let Some(base) = &facts.manifest.base {
        base_bytes = len(base)?.unwrap_or(0);
    }
    let mut incr_bytes = 0;
    for entry in facts.manifest.incrs.iter().take(outcome.incrs_kept) {
        incr_bytes += len(entry)?.unwrap_or(0);
    }
    let mut manifest = facts.manifest.clone();
    if let Some(base) = manifest.base.as_mut().filter(|base| base.content().is_none()) {
        base.set_content(outcome.base_content);
    }
    Ok(Recovered {
        manifest,
        incrs_kept: outcome.incrs_kept,
        position: end.position,
        reached: end.reached,
        link: end.link,
        unsettled: outcome.unsettled.clone(),
        base_bytes,
        incr_bytes,
        ..Recovered::default()
    })
}

/// Makes a single-file log the base of a multi-part one, as Redis 7 does: first the manifest that lists
/// it, then the move; a crash in between is finished at the next start.
fn adopt_old_log(disk: &dyn Disk, facts: &Facts) -> Result<Manifest, LoadError> {
    let names = &facts.names;
    let base = Some(Entry::new(facts.old_log.clone(), 1));
    let manifest = Manifest { base, ..Manifest::default() };
    durable::create_dir(disk, &names.dir)?;
    let (temp, path) = (names.path(&names.temp_manifest()), names.path(&names.manifest()));
    durable::replace_file(disk, &temp, &path, &manifest.encode())
        .map_err(|error| LoadError::Disk(error.into_inner()))?;
    disk.rename(&facts.old_log, &names.path(&facts.old_log))?;
    disk.sync_dir(&names.dir)?;
    disk.sync_dir("")?;
    Ok(manifest)
}

fn note_progress(live: Option<&Mutex<Engine>>, total: u64, loaded: u64) {
    let Some(live) = live else { return };
    if let Some(loading) = live.lock().server.loading.as_mut() {
        loading.total_bytes = total;
        loading.loaded_bytes = loaded;
    }
}

/// What the server's log says of a start; the durability is a warning where there is none.
fn banner(engine: &Engine, decision: Decision, outcome: &Outcome, took: Duration) -> Vec<String> {
    let keys: usize = (0..engine.ks.databases()).map(|db| engine.ks.len(db)).sum();
    let source = match decision {
        Decision::StartEmpty => "nothing was there",
        Decision::LoadLog | Decision::LoadLogThenSave => "from the append-only log",
        Decision::UpgradeOldLog | Decision::LoadOldLogThenSave => "from a single-file log",
        _ => "from a snapshot",
    };
    let from = if outcome.end.is_some() { "append only file" } else { "disk" };
    let position = outcome.end.as_ref().map_or(0, |end| end.position.0);
    let config = &engine.server.config;
    let promise = match (config.appendonly, config.appendfsync.name()) {
        (false, _) => "appendonly no: writes since the last snapshot are lost with the process",
        (true, "always") => {
            "appendfsync always: a reply means synced to disk; nothing acknowledged is lost"
        }
        (true, "everysec") => {
            "appendfsync everysec: a reply survives kill -9; a power loss may take the last second"
        }
        (true, _) => "appendfsync no: a reply survives kill -9; a power loss may take more",
    };
    vec![
        format!("Data directory {}", config.dir),
        format!(
            "Recovered {keys} keys in {:.3} s, {source}: {} records replayed, position {position}",
            took.as_secs_f64(),
            outcome.commands
        ),
        format!("DB loaded from {from}: {:.3} seconds", took.as_secs_f64()),
        format!("Durability: {promise}"),
    ]
}
