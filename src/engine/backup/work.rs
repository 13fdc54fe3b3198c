//! What touches the files of a backup: linking, sealing, removing. Without the engine's lock, but for the cut.
//!
//! Before anything is linked the manifest's place is taken by a line that no server takes for a manifest: all of
//! them refuse the directory. The order of a seal: the log is rotated and what is before the cut synced; the last
//! segment linked; the names durable; the manifest written in the place of that line, durable. A removal puts the
//! line back first, and takes it away last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Asked, Backup, Engine, PersistRequest};
use crate::aof::filename::{BaseFormat, FileKind, FileNames, UNSEALED_LOG};
use crate::aof::log::Log;
use crate::aof::manifest::{Entry, MANIFEST_LEN_MAX, Manifest};
use crate::aof::record::Position;
use crate::command::server::backup::{BackupFacts, BackupState};
use crate::disk::{Disk, SharedDisk, durable};

/// What is in the place of the manifest while there is no whole backup.
pub const UNSEALED: &[u8] = b"unsealed backup\n";

/// Bytes that a log of the backup's own may have unwritten while a job runs.
const UNWRITTEN_MAX: u64 = 1 << 18;

/// The worker's part of backups.
#[derive(Clone, Debug)]
pub struct BackupWork {
    /// There is something to do: looked at without the lock.
    wanted: Arc<AtomicBool>,
}

/// Where the files of a backup come from and go to.
struct Place {
    disk: SharedDisk,
    log: Arc<Log>,
    /// The log is the backup's own.
    private: bool,
    names: FileNames,
}

impl BackupWork {
    /// Of this engine.
    pub fn of(engine: &Mutex<Engine>) -> Self {
        Self { wanted: Arc::clone(&engine.lock().persist.backup_wanted) }
    }

    /// Does what is asked for, if the job that runs allows; writes the backup's own log. Called again and again.
    /// True when a client is to be told something.
    pub fn look(&self, engine: &Mutex<Engine>) -> bool {
        if !self.wanted.load(Ordering::Acquire) {
            return false;
        }
        let (asked, tap) = {
            let engine = engine.lock();
            let running = engine.persist.running;
            let asked = engine.backup.asked.filter(|(asked, _)| asked.may_run(running));
            let tap = engine.backup.tap.clone();
            if engine.backup.asked.is_none() && tap.is_none() {
                self.wanted.store(false, Ordering::Release);
            }
            let idle = running.is_none();
            (asked, tap.filter(|tap| idle || tap.pending_bytes() > UNWRITTEN_MAX))
        };
        if let Some(tap) = tap {
            // What fails is in its state, which the cron looks at.
            let _ = tap.write();
        }
        let Some((asked, client)) = asked else { return false };
        // It keeps its place meanwhile: nothing else is taken.
        let outcome = match asked {
            Asked::Seal => seal(engine),
            Asked::Remove { cleanup } => remove_asked(engine, cleanup),
        };
        let mut engine = engine.lock();
        engine.begin_batch();
        // Unless the backup failed, and its files are to be removed now.
        engine.backup.asked.take_if(|(now, _)| *now == asked);
        if let (Asked::Seal, Err(cause)) = (asked, &outcome) {
            engine.fail_backup(cause);
        }
        if let Some(client) = client {
            engine.answer_backup(client, outcome.map_err(|cause| format!("ERR {cause}")));
        }
        true
    }

    /// Before a rewrite installs its base: segments of a backup that the log would remove get their second name.
    pub fn before_new_base(engine: &Mutex<Engine>) {
        let due = engine.lock().server.backup.state == BackupState::Incrementing;
        if due {
            note(engine, link(engine, None));
        }
    }

    /// A base is installed: it is that of a backup which waits for one, with the segments from number `from_seq` on.
    pub fn base_installed(engine: &Mutex<Engine>, from_seq: u64) {
        let state = engine.lock().server.backup.state;
        if !matches!(state, BackupState::Pending | BackupState::Snapshotting) {
            return;
        }
        note(engine, link(engine, Some(from_seq)));
    }
}

impl Asked {
    /// Whether it may be done while this job runs: the log is cut by one at a time, and the files of a log that is
    /// just begun stay until that has ended.
    fn may_run(self, running: Option<PersistRequest>) -> bool {
        match self {
            Self::Seal => {
                !matches!(running, Some(PersistRequest::Rewrite | PersistRequest::Backup))
            }
            Self::Remove { .. } => running != Some(PersistRequest::Backup),
        }
    }
}

/// A backup whose files cannot be linked has failed.
fn note(engine: &Mutex<Engine>, linked: Result<(), String>) {
    if let Err(cause) = linked {
        let mut engine = engine.lock();
        engine.begin_batch();
        engine.fail_backup(&cause);
    }
}

fn place(engine: &Engine) -> Result<Place, String> {
    let private = engine.backup.tap.clone();
    let is_private = private.is_some();
    let log = private.or_else(|| engine.log.clone()).ok_or("there is no log any more")?;
    let disk = Arc::clone(&engine.disk);
    Ok(Place { disk, log, private: is_private, names: engine.backup_names() })
}

impl Place {
    /// The name in the backup of a file of the log.
    fn name_for(&self, entry: &Entry) -> String {
        if !self.private {
            return entry.name.clone();
        }
        match entry.is_snapshot() {
            true => self.names.base(entry.seq, BaseFormat::Rdb),
            false => self.names.incr(entry.seq),
        }
    }

    /// Gives a file of the log its second name; what the backup's manifest says of it.
    fn link(&self, entry: &Entry) -> Result<Entry, String> {
        let name = self.name_for(entry);
        let (from, to) = (self.log.files().path(&entry.name), self.names.path(&name));
        self.disk.link(&from, &to).map_err(|error| error.to_string())?;
        Ok(Entry { name, ..entry.clone() })
    }
}

/// Links what is listed and not linked yet; `begins`: base and segments from that number on are a new backup's.
fn link(engine: &Mutex<Engine>, begins: Option<u64>) -> Result<(), String> {
    let (place, mut base, mut segments) = {
        let engine = engine.lock();
        let backup = &engine.backup;
        (place(&engine)?, backup.base.clone(), backup.segments.clone())
    };
    let manifest = place.log.manifest();
    if begins.is_some() {
        let entry = manifest.base.as_ref().ok_or("the log has no base")?;
        put_manifest(place.disk.as_ref(), &place.names, UNSEALED)?;
        base = Some(place.link(entry)?);
    }
    let first = begins.or_else(|| segments.keys().next().copied()).unwrap_or(0);
    link_segments(&place, &manifest, (first, u64::MAX), &mut segments)?;
    let mut engine = engine.lock();
    if !engine.server.backup.state.is_open() {
        // Given up meanwhile: the files are removed next.
        return Ok(());
    }
    if begins.is_some() {
        let path = base.as_ref().map(|base| place.names.path(&base.name));
        engine.server.backup.files = path.into_iter().collect();
        engine.server.backup.state = BackupState::Incrementing;
    }
    (engine.backup.base, engine.backup.segments) = (base, segments);
    Ok(())
}

fn link_segments(
    place: &Place,
    manifest: &Manifest,
    (first, behind): (u64, u64),
    segments: &mut BTreeMap<u64, Entry>,
) -> Result<(), String> {
    for entry in manifest.incrs.iter().filter(|entry| (first..behind).contains(&entry.seq)) {
        let linked = match segments.get(&entry.seq) {
            // Its end may be known by now.
            Some(known) => Entry { name: known.name.clone(), ..entry.clone() },
            None => place.link(entry)?,
        };
        segments.insert(entry.seq, linked);
    }
    Ok(())
}

/// Ends a backup at this moment.
fn seal(engine: &Mutex<Engine>) -> Result<(), String> {
    let (place, base, mut segments) = {
        let engine = engine.lock();
        let backup = &engine.backup;
        (place(&engine)?, backup.base.clone(), backup.segments.clone())
    };
    let base = base.ok_or("the backup has no base")?;
    let text = |error: crate::aof::log::LogError| error.to_string();
    let (end, behind, at) = if place.private {
        let (end, at) = {
            let mut engine = engine.lock();
            engine.begin_batch();
            engine.backup.tap = None;
            engine.refresh_recording();
            (place.log.appended(), engine.ks.now)
        };
        place.log.close().map_err(text)?;
        (end, u64::MAX, at)
    } else {
        place.log.prepare_rotation().map_err(text)?;
        let (cut, at) = {
            let mut engine = engine.lock();
            engine.begin_batch();
            (place.log.cut().map_err(text)?, engine.ks.now)
        };
        // Also syncs the segment that ends here.
        place.log.write().map_err(text)?;
        (cut.position, cut.incr_seq, at)
    };
    let manifest = place.log.manifest();
    let first = segments.keys().next().copied().unwrap_or(0);
    link_segments(&place, &manifest, (first, behind), &mut segments)?;
    // The segment behind the cut may have a second name already, which is not part of this.
    for entry in segments.split_off(&behind).values() {
        let _ = place.disk.remove(&place.names.path(&entry.name));
    }
    let files = write_manifest(&place, base, segments, end)?;
    if place.private {
        remove_private(place.disk.as_ref(), &place.log.files().dir)?;
    }
    let mut engine = engine.lock();
    engine.begin_batch();
    if !engine.server.backup.state.is_open() {
        return Err("the backup was given up".to_owned());
    }
    let started_at = engine.server.backup.started_at;
    let (state, error) = (BackupState::Sealed, String::new());
    engine.server.backup = BackupFacts { state, error, started_at, sealed_at: at, files };
    engine.backup = Backup { looked: true, asked: engine.backup.asked, ..Backup::default() };
    engine.logger.notice(format!("Backup sealed at position {}", end.0));
    Ok(())
}

/// Writes the backup's manifest, which makes it one; the paths of all its files.
fn write_manifest(
    place: &Place,
    base: Entry,
    segments: BTreeMap<u64, Entry>,
    end: Position,
) -> Result<Vec<String>, String> {
    let names = &place.names;
    let mut incrs: Vec<Entry> = segments.into_values().collect();
    if let Some(last) = incrs.last_mut() {
        last.set_end(end);
    }
    let entries = [&base].into_iter().chain(&incrs);
    let mut files: Vec<String> = entries.map(|entry| names.path(&entry.name)).collect();
    let manifest = Manifest { base: Some(base), history: Vec::new(), incrs };
    let (disk, path) = (place.disk.as_ref(), names.path(&names.manifest()));
    for dir in ["", durable::parent(&names.dir), &names.dir] {
        disk.sync_dir(dir).map_err(|error| error.to_string())?;
    }
    put_manifest(disk, names, &manifest.encode())?;
    files.push(path);
    Ok(files)
}

/// Writes what is in the manifest's place, durably.
fn put_manifest(disk: &dyn Disk, names: &FileNames, bytes: &[u8]) -> Result<(), String> {
    let (temp, path) = (names.path(&names.temp_manifest()), names.path(&names.manifest()));
    let replaced = durable::replace_file(disk, &temp, &path, bytes);
    replaced.map_err(|error| error.into_inner().to_string())
}

fn remove_asked(engine: &Mutex<Engine>, cleanup: bool) -> Result<(), String> {
    let (disk, names, files, started) = {
        let engine = engine.lock();
        let asked = matches!(engine.backup.asked, Some((Asked::Remove { .. }, _)));
        if !asked {
            return Ok(());
        }
        let files = Arc::clone(&engine.persist.backup_files);
        let started = *files.lock();
        (Arc::clone(&engine.disk), engine.backup_names(), files, started)
    };
    {
        let now = files.lock();
        if *now != started {
            // Its files were removed by the backup that took its place.
            return Ok(());
        }
        remove(disk.as_ref(), &names)?;
    }
    let mut engine = engine.lock();
    if !matches!(engine.backup.asked, Some((Asked::Remove { .. }, _))) {
        // The next one has begun.
        return Ok(());
    }
    engine.backup = Backup { looked: true, asked: engine.backup.asked, ..Backup::default() };
    engine.refresh_recording();
    if cleanup {
        engine.server.backup = BackupFacts::default();
    }
    Ok(())
}

/// Removes the files of a backup, and no others.
pub(super) fn remove(disk: &dyn Disk, names: &FileNames) -> Result<(), String> {
    let text = |error: crate::disk::DiskError| error.to_string();
    let there = match disk.list(&names.dir) {
        Err(error) if error.is_not_found() => return Ok(()),
        there => there.map_err(text)?,
    };
    let manifest = names.manifest();
    if there.contains(&manifest) {
        put_manifest(disk, names, UNSEALED)?;
    }
    let own = |name: &&String| **name != manifest && names.kind(name) != FileKind::Other;
    for name in there.iter().filter(own) {
        durable::remove_if_there(disk, &names.path(name)).map_err(text)?;
    }
    disk.sync_dir(&names.dir).map_err(text)?;
    durable::remove_if_there(disk, &names.path(&manifest)).map_err(text)?;
    remove_private(disk, durable::parent(&names.dir))
}

/// Removes the log that exists for a backup only.
fn remove_private(disk: &dyn Disk, dir: &str) -> Result<(), String> {
    let text = |error: crate::disk::DiskError| error.to_string();
    let private = FileNames::new(dir, UNSEALED_LOG);
    for name in disk.list(dir).map_err(text)? {
        if private.kind(&name) != FileKind::Other {
            durable::remove_if_there(disk, &durable::join(dir, &name)).map_err(text)?;
        }
    }
    Ok(())
}

/// The manifest of a sealed backup, if there is one that holds.
pub(super) fn manifest(disk: &dyn Disk, names: &FileNames) -> Option<Manifest> {
    let path = names.path(&names.manifest());
    let bytes = durable::read_small(disk, &path, MANIFEST_LEN_MAX).ok()??;
    Manifest::parse(&bytes).ok().map(|parsed| parsed.manifest)
}
