//! One snapshot on its way to a file, stage by stage (see [`super`] for the whole way).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::feeder::Feeder;
use super::sink::{GatheringSink, Piece};
use super::unopened::Unopened;
use super::{FileForm, Manner, PersistRequest, SnapshotFile, Table};
use crate::aof::filename::BaseFormat;
use crate::aof::log::{CutPoint, Log, NewBase};
use crate::aof::mark::{MARK_FIELD, MILLIS_FIELD};
use crate::clock::{Clock, UnixMillis};
use crate::disk::{FileView, OpenMode, SharedDisk, durable};
use crate::engine::Engine;
use crate::session::replica::SyncKind;
use crate::snapshot::encode::{Encoder, Header};
use crate::snapshot::target::Target;

/// How long a slice may hold the lock.
const SLICE: Duration = Duration::from_micros(100);
/// Segments between two looks at the clock.
const SEGMENTS_PER_LOOK: usize = 4;
const CANCELLED: &str = "cancelled";

/// What a job does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Prepare,
    Start,
    Collect,
    Finish,
}

/// One snapshot on its way to a file.
#[derive(Debug)]
pub struct SaveJob {
    pub request: PersistRequest,
    pub(super) stage: Stage,
    pub(super) disk: SharedDisk,
    pub(super) file: Option<Feeder>,
    pub(super) temp: String,
    pub(super) target: String,
    pub(super) manner: Manner,
    pub(super) head: Vec<u8>,
    pub(super) pending: Vec<Piece>,
    pub(super) log: Option<Arc<Log>>,
    /// A rewrite while the log is off: the log that it makes for itself.
    pub(super) unopened: Option<Unopened>,
    /// `log` is such a one.
    pub(super) closes_log: bool,
    pub(super) cut: Option<CutPoint>,
    pub(super) base: Option<NewBase>,
    pub(super) dirty_at_start: u64,
    /// For replicas: what is in it, and the file when it is done.
    pub(super) sync: SyncKind,
    pub(super) sync_file: Option<Arc<FileView>>,
    /// The log's position at the instant whose state it holds.
    pub(super) position: u64,
    /// It was told to give up, which is no failure.
    pub(super) cancelled: bool,
    pub started: Duration,
    /// The instant whose state it holds.
    pub(super) taken_at: UnixMillis,
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
                    self.collect(&mut engine, clock.as_ref())?
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
    pub(super) fn prepare(&mut self) -> Result<(), String> {
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
    pub(super) fn start(&mut self, engine: &mut Engine) -> Result<(), String> {
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
            extra: self.origin(engine),
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

    /// What the head says for a later start, which may have to tell whether this snapshot or a log is newer.
    fn origin(&self, engine: &Engine) -> Vec<(String, String)> {
        if self.request == PersistRequest::Sync {
            return Vec::new();
        }
        let mut fields = vec![(MILLIS_FIELD.to_owned(), engine.ks.now.to_string())];
        // A base stands in a manifest, which knows more.
        if self.request == PersistRequest::Save {
            fields.extend(engine.log_mark().map(|mark| (MARK_FIELD.to_owned(), mark.to_string())));
        }
        fields
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
    pub(super) fn collect(
        &mut self,
        engine: &mut Engine,
        clock: &dyn Clock,
    ) -> Result<bool, String> {
        if self.sync.keys && !engine.ks.snapshot_running() {
            // Whoever ended it must have said so. What was gathered is not the whole.
            return Err("its snapshot of the keyspace was ended before it was whole".to_owned());
        }
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
        Ok(done)
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
    pub(super) fn open(&mut self, threads: usize) -> Result<(), String> {
        if let (Some(log), Some(cut)) = (&self.log, self.cut) {
            // When this fails the base takes the place of what could not be written: installing it
            // is what ends a full disk or a failed sync (P3, P4).
            let _ = log.write();
            let base = log.new_base(cut, BaseFormat::Rdb);
            self.temp.clone_from(&base.temp_path);
            self.base = Some(base);
        }
        let head = std::mem::take(&mut self.head);
        // Who waits for the file under the lock is a client's thread itself.
        let beside_clients = self.manner.beside_clients && threads > 0;
        let table = if self.base.is_some() { Table::Lines } else { Table::None };
        let manner = Manner { beside_clients, table, ..self.manner };
        let file = SnapshotFile::create(&self.disk, &self.temp, manner, head)?;
        self.file = Some(Feeder::new(file, threads)?);
        Ok(())
    }

    /// Hands on what was collected. Outside the lock.
    pub(super) fn write(&mut self) -> Result<(), String> {
        let Some(file) = &mut self.file else { return Err("no file".to_owned()) };
        let pieces = std::mem::take(&mut self.pending);
        if pieces.is_empty() { Ok(()) } else { file.put(pieces) }
    }

    /// Ends the file, makes it durable and puts it in charge. Outside the lock; `engine` is `None` for a job that
    /// holds it from start to end.
    pub(super) fn finish(&mut self, engine: Option<&Mutex<Engine>>) -> Result<(), String> {
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
    pub(super) fn abandon(&mut self) {
        self.file = None;
        // Left behind it does no harm: the next start removes it.
        let _ = durable::remove_if_there(self.disk.as_ref(), &self.temp);
    }
}
