//! Saves and rewrites: one mechanism, a point-in-time walk of the keyspace into an RDB file.
//!
//! A request is noted in [`PersistState`]; the worker takes it as a [`SaveJob`] and alternates between
//! [`SaveJob::collect`] (under the lock: some segments are gathered, `sink.rs`) and [`SaveJob::write`]
//! (outside: they are packed and go to a temporary file, `file.rs`). Then the file is synced, renamed and
//! its directory synced.
//! A rewrite also cuts the log at the instant the snapshot starts, so base and following segment fit
//! without gap or overlap, and swaps the manifest at the end. Whatever fails leaves the old files in
//! charge, and the temporary file is removed. SAVE runs the same job to its end under the lock.

mod aside;
mod feeder;
mod file;
mod job;
mod sink;
mod unopened;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use super::Engine;
use super::cron::CronState;
use crate::clock::UnixMillis;
use crate::config::{Config, RdbCompression};
use crate::session::replica::SyncKind;
pub use crate::snapshot::container::write::{FileForm, Table};
use crate::snapshot::target::Target;
pub use file::{Manner, SnapshotFile};
pub use job::SaveJob;
use job::Stage;
use unopened::Unopened;

/// The files of a save under way, in the background and under the lock; a crash leaves them behind, the
/// next start removes them.
pub const TEMP_SAVES: [&str; 4] =
    ["temp-fastness-save.rdb", "temp-fastness-save-now.rdb", TEMP_CONVERT, TEMP_SYNC];
/// The file that `fastness convert` writes.
pub const TEMP_CONVERT: &str = "temp-fastness-convert.rdb";

/// The snapshot that is being made for replicas; it loses its name when it is done.
const TEMP_SYNC: &str = "temp-fastness-sync.rdb";

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
    /// What is asked for anew once it has.
    pub again: Option<PersistRequest>,
    /// EXEC is running its queue: what it asks for begins when it is done.
    pub in_exec: bool,
    /// `appendonly yes` inside of it.
    pub switch_scheduled: bool,
    /// The worker is to look after a backup.
    pub backup_wanted: Arc<AtomicBool>,
    /// Held by whoever removes a backup's files: the number of backups started. Taken behind the engine's lock, if both are.
    pub backup_files: Arc<Mutex<u64>>,
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
        if request == PersistRequest::Rewrite {
            manner.incremental_sync = config.aof_rewrite_incremental_fsync;
        }
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
            (Err(_), PersistRequest::Save | PersistRequest::Rewrite)
                if job.cancelled && self.persist.again.is_some() => {}
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
        if let Some(request) = self.persist.again.take()
            && job.cancelled
        {
            self.request_persist(request);
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
        if self.server.loading.is_some() {
            return Err("LOADING Redis is loading the dataset in memory".to_owned());
        }
        // One that was cancelled is busy with going away.
        if self.persist.is_busy() && !self.persist.cancel {
            return Err("ERR Background save already in progress".to_owned());
        }
        self.save_undisturbed()
    }

    /// The same for whoever knows that all is loaded and that nobody else walks the keyspace.
    pub fn save_undisturbed(&mut self) -> Result<bool, String> {
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
        while !job.collect(self, clock.as_ref())? {
            job.write()?;
        }
        job.write()?;
        job.finish(None)
    }

    /// Makes a running job give up, and forgets one that has not begun.
    pub fn cancel_persist(&mut self) {
        let persistence = &mut self.server.persistence;
        match self.persist.requested.take() {
            Some(PersistRequest::Save) => {
                persistence.save_running = false;
                persistence.save_started = None;
            }
            Some(PersistRequest::Rewrite) => {
                persistence.rewrite_running = false;
                persistence.rewrite_started = None;
            }
            Some(PersistRequest::Sync | PersistRequest::Backup) | None => {}
        }
        self.persist.again = None;
        self.give_up_running();
    }

    /// Makes a running save or rewrite give up, because something else must walk the keyspace or takes its place, and
    /// begin anew behind that.
    pub fn restart_persist(&mut self) {
        if self.persist.cancel {
            return;
        }
        let again = [PersistRequest::Save, PersistRequest::Rewrite];
        self.persist.again = self.persist.running.filter(|running| again.contains(running));
        self.give_up_running();
    }

    fn give_up_running(&mut self) {
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
    Manner { threads, section_bytes, beside_clients: true, ..manner_of(config) }
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
        beside_clients: false,
        section_bytes: SECTION_BYTES,
        incremental_sync: config.rdb_save_incremental_fsync,
        durable: true,
        target: Target::Newest,
        table: Table::None,
    }
}
