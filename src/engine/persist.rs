//! Saves and rewrites: one mechanism, a point-in-time walk of the keyspace into an RDB file.
//!
//! A request is noted in [`PersistState`]; the worker takes it as a [`SaveJob`] and alternates between
//! [`SaveJob::collect`] (under the lock: some segments are gathered, `sink.rs`) and [`SaveJob::write`]
//! (outside: they are packed and go to a temporary file, `file.rs`). Then the file is synced, renamed and
//! its directory synced.
//! A rewrite also cuts the log at the instant the snapshot starts, so base and following segment fit
//! without gap or overlap, and swaps the manifest at the end. Whatever fails leaves the old files in
//! charge, and the temporary file is removed. SAVE runs the same job to its end under the lock.

mod feeder;
mod file;
mod sink;
mod unopened;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use super::Engine;
use super::cron::CronState;
use crate::aof::filename::BaseFormat;
use crate::aof::log::{CutPoint, Log, NewBase};
use crate::clock::{Clock, UnixMillis};
use crate::config::{Config, RdbCompression};
use crate::disk::{FileView, OpenMode, SharedDisk, durable};
use crate::session::replica::SyncKind;
pub use crate::snapshot::container::write::FileForm;
use crate::snapshot::encode::{Encoder, Header};
use crate::snapshot::target::Target;
use feeder::Feeder;
pub use file::{Manner, SnapshotFile};
use sink::{GatheringSink, Piece};
use unopened::Unopened;

/// How long a slice may hold the lock.
const SLICE: Duration = Duration::from_micros(100);
/// Segments between two looks at the clock.
const SEGMENTS_PER_LOOK: usize = 4;
/// The files of a save under way, in the background and under the lock; a crash leaves them behind, the
/// next start removes them.
pub const TEMP_SAVES: [&str; 4] =
    ["temp-fastness-save.rdb", "temp-fastness-save-now.rdb", TEMP_CONVERT, TEMP_SYNC];
/// The file that `fastness convert` writes.
pub const TEMP_CONVERT: &str = "temp-fastness-convert.rdb";

/// The snapshot that is being made for replicas; it loses its name when it is done.
const TEMP_SYNC: &str = "temp-fastness-sync.rdb";

const CANCELLED: &str = "cancelled";

/// What the worker is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistRequest {
    /// A snapshot into `dbfilename`.
    Save,
    /// A new base for the log.
    Rewrite,
    /// A snapshot for replicas that wait for one.
    Sync,
    /// The base of a backup while the log is off, and a log behind it.
    Backup,
}

/// The save or rewrite asked for and under way.
#[derive(Debug, Default)]
pub struct PersistState {
    pub requested: Option<PersistRequest>,
    pub running: Option<PersistRequest>,
    /// The running job is to give up.
    pub cancel: bool,
    /// EXEC is running its queue: what it asks for begins when it is done.
    pub in_exec: bool,
    /// `appendonly yes` inside of it.
    pub switch_scheduled: bool,
    /// The worker is to look after a backup.
    pub backup_wanted: Arc<AtomicBool>,
    /// Jobs that began: what Redis forks for.
    pub jobs_started: u64,
    pub cron: CronState,
    /// Threads that compress; 0 does it in the worker itself, which is what a simulation wants.
    pub threads: usize,
    /// Bytes of a section that is compressed by itself; 0 for what suits large data.
    pub section_bytes: usize,
}

impl PersistState {
    /// Whether a job is running or about to.
    pub fn is_busy(&self) -> bool {
        self.requested.is_some() || self.running.is_some()
    }
}

/// What a job does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Prepare,
    Start,
    Collect,
    Finish,
}

/// One snapshot on its way to a file.
#[derive(Debug)]
pub struct SaveJob {
    pub request: PersistRequest,
    stage: Stage,
    disk: SharedDisk,
    file: Option<Feeder>,
    temp: String,
    target: String,
    manner: Manner,
    head: Vec<u8>,
    pending: Vec<Piece>,
    log: Option<Arc<Log>>,
    /// A rewrite while the log is off: the log that it makes for itself.
    unopened: Option<Unopened>,
    /// `log` is such a one.
    closes_log: bool,
    cut: Option<CutPoint>,
    base: Option<NewBase>,
    dirty_at_start: u64,
    /// For replicas: what is in it, and the file when it is done.
    sync: SyncKind,
    sync_file: Option<Arc<FileView>>,
    /// The log's position at the instant whose state it holds.
    position: u64,
    /// It was told to give up, which is no failure.
    cancelled: bool,
    pub started: Duration,
    /// The instant whose state it holds.
    taken_at: UnixMillis,
    pub keys: u64,
}

impl SaveJob {
    /// Whether the next step installs the base of a log that goes on.
    pub fn installs_base_next(&self) -> bool {
        self.stage == Stage::Finish && self.request == PersistRequest::Rewrite && !self.closes_log
    }

    /// The number of the first segment behind the base that it has installed in a log which goes on.
    pub fn base_followed_by(&self) -> Option<u64> {
        let cut = self.cut.filter(|_| !self.closes_log)?;
        Some(cut.incr_seq)
    }

    /// Does one stage, or one slice of the walk; whoever waits for the lock gets it in between. `None`: there is more
    /// to do. After a failure the old files are in charge.
    pub fn step(&mut self, engine: &Mutex<Engine>) -> Option<Result<(), String>> {
        match self.advance(engine) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(cause) => {
                if self.stage != Stage::Prepare {
                    engine.lock().ks.snapshot_end();
                }
                self.abandon();
                Some(Err(cause))
            }
        }
    }

    /// True when the job is done.
    fn advance(&mut self, engine: &Mutex<Engine>) -> Result<bool, String> {
        match self.stage {
            Stage::Prepare => {
                self.prepare()?;
                self.stage = Stage::Start;
            }
            Stage::Start => {
                {
                    let mut engine = engine.lock();
                    engine.begin_batch();
                    self.start(&mut engine)?;
                }
                self.stage = Stage::Collect;
                self.open(self.manner.threads)?;
            }
            Stage::Collect => {
                let done = {
                    let mut engine = engine.lock();
                    if engine.persist.cancel {
                        self.cancelled = true;
                        return Err(CANCELLED.to_owned());
                    }
                    let clock = Arc::clone(&engine.clock);
                    self.collect(&mut engine, clock.as_ref())
                };
                self.write()?;
                if done {
                    self.stage = Stage::Finish;
                }
            }
            Stage::Finish => {
                self.finish(Some(engine))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For a rewrite, creates the segment that the log goes on in. Outside the lock.
    fn prepare(&mut self) -> Result<(), String> {
        if let Some(unopened) = self.unopened.take() {
            self.log = Some(Arc::new(unopened.open(&self.disk)?));
            self.closes_log = self.request == PersistRequest::Rewrite;
        }
        match &self.log {
            Some(log) => log.prepare_rotation().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Fixes the point in time: the snapshot starts and the log is cut. Under the lock.
    fn start(&mut self, engine: &mut Engine) -> Result<(), String> {
        if self.request == PersistRequest::Sync {
            self.settle_sync(engine)?;
        }
        let mut encoder =
            Encoder::for_target(self.manner.form == FileForm::Lzf, self.manner.target);
        let header = Header {
            field_expiry: engine.ks.has_field_expiry(),
            created_at: engine.ks.now / 1000,
            used_memory: engine.server.used_memory,
            aof_base: matches!(self.request, PersistRequest::Rewrite | PersistRequest::Backup),
            extra: Vec::new(),
        };
        let mut out = Vec::new();
        encoder.header(&mut out, &header);
        for library in engine.server.libraries.iter().filter(|_| self.sync.functions) {
            encoder.function(&mut out, &library.source);
        }
        for db in 0..engine.ks.databases() {
            let keys = engine.ks.len(db) as u64;
            if keys > 0 && self.sync.keys {
                encoder.select_db(&mut out, u32::try_from(db).unwrap_or(u32::MAX));
                encoder.resize_db(&mut out, keys, engine.ks.expires(db) as u64);
            }
        }
        let policy = engine.server.config.maxmemory_policy;
        let uses = policy.by_use().then(|| engine.ks.use_clock.clone());
        self.head = out;
        let sink = GatheringSink::new(uses, self.manner);
        if self.sync.keys && !engine.ks.snapshot_start(Box::new(sink)) {
            return Err("another snapshot is running".to_owned());
        }
        if let Some(log) = &self.log {
            match log.cut() {
                Ok(cut) => self.cut = Some(cut),
                Err(error) => {
                    engine.ks.snapshot_end();
                    return Err(error.to_string());
                }
            }
        }
        match (self.request, &self.log) {
            (PersistRequest::Sync, _) => engine.sync_begins(self.sync),
            (PersistRequest::Backup, Some(log)) => engine.backup_begins(log),
            _ => {}
        }
        self.position = engine.server.persistence.appended;
        self.dirty_at_start = engine.server.persistence.dirty;
        self.taken_at = engine.ks.now;
        let keys = (0..engine.ks.databases()).map(|db| engine.ks.len(db) as u64).sum();
        engine.server.persistence.snapshot_keys = (0, keys);
        Ok(())
    }

    /// What the snapshot for replicas is to be: as the one wants it that waits longest.
    fn settle_sync(&mut self, engine: &Engine) -> Result<(), String> {
        let Some(kind) = engine.sessions.replicas.awaited() else {
            self.cancelled = true;
            return Err(CANCELLED.to_owned());
        };
        self.sync = kind;
        if kind.valkey && engine.ks.has_field_expiry() {
            // What is packed is read once more, as a file of ours, which has no values of Valkey's own.
            (self.manner.target, self.manner.form) = (Target::Valkey, FileForm::Plain);
        }
        Ok(())
    }

    /// Encodes for as long as a slice may take. True when every segment is encoded. Under the lock.
    fn collect(&mut self, engine: &mut Engine, clock: &dyn Clock) -> bool {
        let until = clock.monotonic() + SLICE;
        let mut done = false;
        while !done {
            done = engine.ks.snapshot_step(SEGMENTS_PER_LOOK);
            if clock.monotonic() >= until {
                break;
            }
        }
        self.take_output(engine);
        engine.server.persistence.snapshot_keys.0 = self.keys;
        if done {
            engine.ks.snapshot_end();
        }
        done
    }

    fn take_output(&mut self, engine: &mut Engine) {
        let (pending, keys) = (&mut self.pending, &mut self.keys);
        engine.ks.snapshot_sink(|sink| {
            if let Some(sink) = sink.as_any().downcast_mut::<GatheringSink>() {
                pending.append(&mut sink.take());
                *keys = sink.keys;
            }
        });
    }

    /// Creates the temporary file. With threads, one feeds it: not under the lock, which must not wait for
    /// one that gives way to all others.
    fn open(&mut self, threads: usize) -> Result<(), String> {
        if let (Some(log), Some(cut)) = (&self.log, self.cut) {
            // When this fails the base takes the place of what could not be written: installing it
            // is what ends a full disk or a failed sync (P3, P4).
            let _ = log.write();
            let base = log.new_base(cut, BaseFormat::Rdb);
            self.temp.clone_from(&base.temp_path);
            self.base = Some(base);
        }
        let head = std::mem::take(&mut self.head);
        let file = SnapshotFile::create(&self.disk, &self.temp, self.manner, head)?;
        self.file = Some(Feeder::new(file, threads)?);
        Ok(())
    }

    /// Hands on what was collected. Outside the lock.
    fn write(&mut self) -> Result<(), String> {
        let Some(file) = &mut self.file else { return Err("no file".to_owned()) };
        let pieces = std::mem::take(&mut self.pending);
        if pieces.is_empty() { Ok(()) } else { file.put(pieces) }
    }

    /// Ends the file, makes it durable and puts it in charge. Outside the lock; `engine` is `None` for a job that
    /// holds it from start to end.
    fn finish(&mut self, engine: Option<&Mutex<Engine>>) -> Result<(), String> {
        let text = |error: crate::disk::DiskError| error.to_string();
        let Some(file) = self.file.take() else { return Err("no file".to_owned()) };
        let content = file.finish()?;
        match (&self.log, &mut self.base) {
            (Some(log), Some(base)) => {
                base.content = Some(content);
                let installed = log.install_base(base).map(drop);
                let done =
                    installed.and_then(|()| if self.closes_log { log.close() } else { Ok(()) });
                done.map_err(|error| error.to_string())
            }
            _ if self.request == PersistRequest::Sync => {
                let file = self.disk.open(&self.temp, OpenMode::Read).map_err(text)?;
                self.sync_file = Some(Arc::new(file.map().map_err(text)?));
                // Open files stay readable; the name would only be in the way.
                self.disk.remove(&self.temp).map_err(text)
            }
            _ => {
                self.take_place(engine)?;
                self.disk.sync_dir(durable::parent(&self.target)).map_err(text)
            }
        }
    }

    /// Gives the snapshot its name. A save that was cancelled must not replace the newer one that SHUTDOWN made:
    /// hence under the lock.
    fn take_place(&mut self, engine: Option<&Mutex<Engine>>) -> Result<(), String> {
        let engine = engine.map(Mutex::lock);
        if engine.as_ref().is_some_and(|engine| engine.persist.cancel) {
            self.cancelled = true;
            return Err(CANCELLED.to_owned());
        }
        self.disk.rename(&self.temp, &self.target).map_err(|error| error.to_string())
    }

    /// Gives up: the temporary file goes, the old files stay in charge.
    fn abandon(&mut self) {
        self.file = None;
        // Left behind it does no harm: the next start removes it.
        let _ = durable::remove_if_there(self.disk.as_ref(), &self.temp);
    }
}

impl Engine {
    /// Asks the worker for a save or a rewrite.
    pub fn request_persist(&mut self, request: PersistRequest) {
        self.persist.requested = Some(request);
        let persistence = &mut self.server.persistence;
        match request {
            PersistRequest::Save => {
                persistence.save_running = true;
                persistence.save_started = Some(self.monotonic);
                persistence.last_save_try_at = self.ks.now;
            }
            PersistRequest::Rewrite => {
                persistence.rewrite_running = true;
                persistence.rewrite_started = Some(self.monotonic);
            }
            PersistRequest::Sync | PersistRequest::Backup => {}
        }
    }

    /// The worker takes what it is asked for.
    pub fn take_persist_job(&mut self) -> Option<SaveJob> {
        let request = self.persist.requested.take()?;
        self.persist.running = Some(request);
        self.persist.cancel = false;
        Some(self.new_job(request))
    }

    fn new_job(&mut self, request: PersistRequest) -> SaveJob {
        self.persist.jobs_started += 1;
        let without_log = request == PersistRequest::Rewrite && self.log.is_none();
        let unopened = match request {
            PersistRequest::Backup => {
                let names = self.private_log_names();
                Some(Unopened::named(self, names))
            }
            _ => without_log.then(|| Unopened::new(self)),
        };
        let config = &self.server.config;
        let mut manner = manner(config, &self.persist);
        let mut temp = TEMP_SAVES[0];
        if request == PersistRequest::Sync {
            temp = TEMP_SYNC;
            manner = for_replicas(manner);
        }
        SaveJob {
            request,
            stage: Stage::Prepare,
            disk: Arc::clone(&self.disk),
            file: None,
            temp: temp.to_owned(),
            target: config.dbfilename.clone(),
            manner,
            head: Vec::new(),
            pending: Vec::new(),
            log: self.log.clone().filter(|_| request == PersistRequest::Rewrite),
            unopened,
            closes_log: false,
            cut: None,
            base: None,
            dirty_at_start: 0,
            sync: SyncKind::default(),
            sync_file: None,
            position: 0,
            cancelled: false,
            started: self.monotonic,
            taken_at: self.ks.now,
            keys: 0,
        }
    }

    /// The worker is done: facts for INFO, and the next one if somebody waits.
    pub fn persist_finished(&mut self, job: &SaveJob, outcome: Result<(), String>) {
        self.begin_batch();
        self.persist.running = None;
        self.persist.cancel = false;
        if job.request == PersistRequest::Rewrite {
            self.note_heal();
        }
        if let Err(cause) = &outcome {
            self.backup_without_base(job.request, cause);
        }
        let seconds = self.monotonic.saturating_sub(job.started).as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(0);
        let persistence = &mut self.server.persistence;
        persistence.snapshot_keys = (0, 0);
        match job.request {
            PersistRequest::Save => {
                persistence.save_running = false;
                persistence.save_started = None;
                persistence.last_save_seconds = seconds;
                persistence.last_save_ok =
                    outcome.is_ok() || (job.cancelled && persistence.last_save_ok);
            }
            PersistRequest::Rewrite => {
                persistence.rewrite_running = false;
                persistence.rewrite_started = None;
                persistence.last_rewrite_seconds = seconds;
                persistence.last_rewrite_ok =
                    outcome.is_ok() || (job.cancelled && persistence.last_rewrite_ok);
            }
            PersistRequest::Sync | PersistRequest::Backup => {}
        }
        match (outcome, job.request) {
            (outcome, PersistRequest::Sync) => match (outcome, &job.sync_file) {
                (Ok(()), Some(file)) => self.sync_ready(file, job.position, job.keys),
                (outcome, _) => self.sync_failed(&outcome.err().unwrap_or_default()),
            },
            (_, PersistRequest::Backup) => {}
            (Ok(()), PersistRequest::Save) => self.saved(job),
            (Ok(()), PersistRequest::Rewrite) => {
                persistence.rewrites += 1;
                persistence.rewrite_failures = 0;
                persistence.rewrite_not_before = None;
                persistence.last_base_at = Some(job.taken_at);
                self.logger.notice("Background AOF rewrite finished successfully");
            }
            (Err(_), PersistRequest::Save) if job.cancelled => {
                self.logger.notice("Background saving was cancelled");
            }
            (Err(_), PersistRequest::Rewrite) if job.cancelled => {
                self.logger.notice("Background AOF rewrite was cancelled");
            }
            (Err(cause), PersistRequest::Save) => {
                let age = age_text(persistence.last_good_save_at, self.ks.now);
                self.logger.warning(format!(
                    "Background saving error: {cause}. The last good snapshot is {age}"
                ));
            }
            (Err(cause), PersistRequest::Rewrite) => self.rewrite_failed(&cause),
        }
    }

    fn rewrite_failed(&mut self, cause: &str) {
        let persistence = &mut self.server.persistence;
        persistence.rewrite_failures += 1;
        // After three failures in a row: 1, 2, 4, ... up to 60 minutes between tries.
        let over = persistence.rewrite_failures.saturating_sub(3).min(6);
        let minutes = if persistence.rewrite_failures < 3 { 0 } else { (1u64 << over).min(60) };
        let wait = Duration::from_secs(minutes * 60);
        persistence.rewrite_not_before = Some(self.monotonic + wait);
        let age = age_text(persistence.last_base_at, self.ks.now);
        self.logger
            .warning(format!("Background AOF rewrite failed: {cause}. The log's base is {age}"));
    }

    fn saved(&mut self, job: &SaveJob) {
        let persistence = &mut self.server.persistence;
        persistence.saves += 1;
        persistence.last_save_ok = true;
        persistence.last_save_at = self.ks.now;
        persistence.last_good_save_at = Some(job.taken_at);
        persistence.dirty = persistence.dirty.saturating_sub(job.dirty_at_start);
        self.logger.notice(format!("DB saved on disk: {} keys", job.keys));
    }

    /// SAVE: the whole job under the lock.
    pub fn save_now(&mut self) -> Result<bool, String> {
        // One that was cancelled is busy with going away.
        if self.persist.is_busy() && !self.persist.cancel {
            return Err("ERR Background save already in progress".to_owned());
        }
        self.server.persistence.last_save_try_at = self.ks.now;
        let mut job = self.new_job(PersistRequest::Save);
        job.temp = TEMP_SAVES[1].to_owned();
        match self.run_to_end(&mut job) {
            Ok(()) => {
                self.saved(&job);
                Ok(true)
            }
            Err(cause) => {
                job.abandon();
                self.ks.snapshot_end();
                self.logger.warning(format!("Saving failed: {cause}"));
                Err(format!("ERR {cause}"))
            }
        }
    }

    /// After FLUSHALL: where there are save points, the snapshot file follows at once, so that the keys
    /// do not come back with it. A background save that still has them is given up.
    pub(super) fn save_flushed(&mut self) {
        if self.server.config.save.is_empty() {
            return;
        }
        let under_way = self.persist.running.or(self.persist.requested);
        if matches!(under_way, Some(PersistRequest::Save | PersistRequest::Sync)) {
            self.cancel_persist();
        }
        // A failure is logged, shown by INFO and tried again as that of any save.
        let _ = self.save_now();
    }

    /// Writes a new base for the log under the lock (at start, and when the log is switched on).
    pub fn rewrite_now(&mut self) -> Result<(), String> {
        let mut job = self.new_job(PersistRequest::Rewrite);
        let outcome = self.run_to_end(&mut job);
        if outcome.is_err() {
            job.abandon();
            self.ks.snapshot_end();
        } else {
            self.server.persistence.last_base_at = Some(job.taken_at);
        }
        self.server.persistence.snapshot_keys = (0, 0);
        outcome
    }

    fn run_to_end(&mut self, job: &mut SaveJob) -> Result<(), String> {
        let clock = Arc::clone(&self.clock);
        job.prepare()?;
        job.start(self)?;
        job.open(0)?;
        while !job.collect(self, clock.as_ref()) {
            job.write()?;
        }
        job.write()?;
        job.finish(None)
    }

    /// Makes a running job give up, and forgets one that has not begun.
    pub fn cancel_persist(&mut self) {
        self.persist.requested = None;
        self.persist.cancel = self.persist.running.is_some();
        self.ks.snapshot_end();
    }
}

fn age_text(at: Option<UnixMillis>, now: UnixMillis) -> String {
    match at {
        Some(at) => format!("{} seconds old", (now - at).max(0) / 1000),
        None => "of an unknown age".to_owned(),
    }
}

/// Bytes of a section: large enough to compress well, small enough for many threads to have some.
const SECTION_BYTES: usize = 1 << 20;

fn manner(config: &Config, state: &PersistState) -> Manner {
    let section_bytes = if state.section_bytes == 0 { SECTION_BYTES } else { state.section_bytes };
    // A core is left to clients, who are there while this one works; a load has all of them.
    let threads = if state.threads > 1 { state.threads - 1 } else { state.threads };
    Manner { threads, section_bytes, ..manner_of(config) }
}

/// The same for a file that is sent to replicas: in Redis' own form, and not to be kept.
fn for_replicas(manner: Manner) -> Manner {
    let form = match manner.form {
        FileForm::Zstd { .. } | FileForm::Lzf => FileForm::Lzf,
        FileForm::Plain => FileForm::Plain,
    };
    Manner { form, incremental_sync: false, durable: false, ..manner }
}

/// How the configuration wants snapshots written, by the thread that feeds.
pub fn manner_of(config: &Config) -> Manner {
    let level = i32::try_from(config.rdbcompression_level).unwrap_or(1);
    Manner {
        form: match config.rdbcompression {
            RdbCompression::Zstd => FileForm::Zstd { level },
            RdbCompression::Yes | RdbCompression::Lzf => FileForm::Lzf,
            RdbCompression::No => FileForm::Plain,
        },
        checksum: config.rdbchecksum,
        threads: 0,
        section_bytes: SECTION_BYTES,
        incremental_sync: config.rdb_save_incremental_fsync,
        durable: true,
        target: Target::Newest,
    }
}
