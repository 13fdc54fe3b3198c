//! The engine: keyspace, clients and server state behind one lock, and the only code that runs commands.
//!
//! A reactor takes the lock with a pipeline's worth of decoded requests, calls [`Engine::execute`] for
//! each, and lets go. Replies are written into the connection's buffer; each comes with the log position
//! it must wait for (I2). Changes become effects, effects go to the log before the lock is released, so
//! the order in the log is the order of execution (I3).
//!
//! `execute` checks and dispatches; `commit` ends a unit: log, watches, waiters, events; `tasks` does what
//! handlers leave to the engine; `cron` what is done ten times a second; `persist` saves and rewrites.

pub mod access;
pub mod backup;
pub mod commit;
pub mod cron;
pub mod descriptors;
mod evict;
pub mod execute;
pub mod info;
mod keysizes;
pub mod log_work;
pub mod loops;
pub mod migrate;
mod notify;
mod oom;
mod ordinary;
pub mod pause;
pub mod persist;
mod refuse;
pub mod replay;
mod replicate;
mod script;
pub mod settings;
mod slow;
pub mod start;
pub mod tasks;
pub mod tracking;
mod transaction;
pub mod waiting;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::aof::log::{Log, Staged};
use crate::clock::{Clock, Mark};
use crate::command::state::ServerState;
use crate::config::Config;
use crate::disk::SharedDisk;
use crate::keyspace::Keyspace;
use crate::logger::Logger;
use crate::resp::Args;
use crate::rng::SeededRng;
use crate::session::{ClientId, Release, Sessions};

/// What became of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// The reply may leave when the log has reached this position.
    pub need: u64,
    /// The reply must wait for the sync, not only for the write (P1, P2).
    pub needs_sync: bool,
    /// The request changed something: if its log write fails the outcome is unknown.
    pub wrote: bool,
    /// The client waits: its further input stays unread until a `Mail::Resume`.
    pub waits: bool,
    /// The connection is to be closed after the reply.
    pub closes: bool,
    /// The reply is a message (SUBSCRIBE): CLIENT REPLY does not silence it.
    pub is_message: bool,
    /// The client is a replica from here on: what follows on its connection is the snapshot and the stream.
    pub feeds: bool,
}

impl Executed {
    /// When its reply may leave.
    pub fn release(self) -> Release {
        Release { need: self.need, needs_sync: self.needs_sync, wrote: self.wrote }
    }
}

/// How far the server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownState {
    Running,
    /// Files are closed and synced: the process may exit with this code.
    Done {
        exit_code: i32,
    },
}

/// Changes the listening sockets from what one configuration says to what another does.
pub type Relisten = Box<dyn Fn(&Config, &Config) -> Result<(), String> + Send>;

/// After so long a hold of the lock other threads have their turn.
const HOLD_NANOS_MAX: u64 = 200_000;

/// Everything behind the lock.
pub struct Engine {
    pub ks: Keyspace,
    pub sessions: Sessions,
    pub server: ServerState,
    pub rng: SeededRng,
    pub clock: Arc<dyn Clock>,
    pub disk: SharedDisk,
    /// The append-only log; `None` with `appendonly no` and while loading.
    pub log: Option<Arc<Log>>,
    pub logger: Logger,
    /// The save or rewrite under way.
    pub persist: persist::PersistState,
    /// The backup under way.
    pub backup: backup::Backup,
    /// Units go elsewhere than to the log, too: to replicas, to a backup.
    pub(crate) feeds: bool,
    pub shutdown: ShutdownState,
    /// The configuration changed: the threads look at what concerns them.
    pub settings_changed: bool,
    /// Clock samples of the running batch: wall and monotonic at its start, monotonic now.
    batch_wall_us: i64,
    batch_start: Mark,
    /// What passed since then.
    batch_nanos: u64,
    monotonic: Duration,
    /// The time at which a script runs: it stands still until the script ends.
    frozen_wall_us: Option<i64>,
    /// Migrations that threads are to be started for.
    pub migrations: migrate::Migrations,
    /// Set while a script has been running for too long (`busy-reply-threshold`); threads that wait for
    /// the lock look at it.
    pub busy: Arc<AtomicBool>,
    /// Serves clients beside such a script, on its thread.
    pub while_busy: Option<fn(&mut Self)>,
    /// Listens elsewhere, as the second configuration says and no longer the first; `None` without sockets.
    pub relisten: Option<Relisten>,
    /// What each reactor does with its time.
    pub loops: Arc<[loops::LoopStats]>,
    /// The process' score for the kernel's OOM killer.
    pub(crate) oom_score: oom::OomScore,
    /// What the thread that holds the lock had allocated when memory was looked at last.
    memory_mark: i64,
    /// What is known of the requests of the client that is being served.
    turn: Option<ordinary::Turn>,
    /// Records that are appended to the log together.
    staged: Staged,
    /// Records may be staged.
    staging: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("clients", &self.sessions.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with empty databases and no log.
    pub fn new(
        server: ServerState,
        clock: Arc<dyn Clock>,
        disk: SharedDisk,
        rng: SeededRng,
        logger: Logger,
    ) -> Self {
        let mut engine = Self {
            ks: Keyspace::new(server.config.databases as usize),
            sessions: Sessions::default(),
            server,
            rng,
            clock,
            disk,
            log: None,
            logger,
            persist: persist::PersistState::default(),
            backup: backup::Backup::default(),
            feeds: false,
            shutdown: ShutdownState::Running,
            settings_changed: false,
            batch_wall_us: 0,
            batch_start: Mark::default(),
            batch_nanos: 0,
            monotonic: Duration::ZERO,
            frozen_wall_us: None,
            migrations: migrate::Migrations::default(),
            busy: Arc::default(),
            while_busy: None,
            relisten: None,
            loops: Arc::default(),
            oom_score: Default::default(),
            memory_mark: crate::memory::thread_balance(),
            turn: None,
            staged: Staged::default(),
            staging: false,
        };
        engine.begin_batch();
        engine
    }

    /// Samples the clocks; the reactor calls it after it took the lock.
    pub fn begin_batch(&mut self) {
        self.turn = None;
        self.ks.expiry_waits = false;
        self.batch_wall_us = self.clock.wall_us();
        self.batch_start = self.clock.mark();
        self.batch_nanos = 0;
        // The counter that the last batch went by may have been a little ahead.
        self.batch_start.at = self.batch_start.at.max(self.monotonic);
        self.monotonic = self.batch_start.at;
        self.set_time();
        self.ks.settled = self.log.as_ref().map_or(0, |log| log.synced().0);
    }

    /// Whether others wait for the lock to be let go of: for mail, for settings that changed, for the end of the server; or
    /// simply for a turn.
    pub fn is_awaited(&self) -> bool {
        !self.sessions.outgoing.is_empty()
            || self.settings_changed
            || self.shutdown != ShutdownState::Running
            || self.batch_nanos > HOLD_NANOS_MAX
    }

    /// A client's next requests: what they name is brought near.
    pub fn warm<'a>(&self, id: ClientId, requests: impl Iterator<Item = Args<'a>> + Clone) {
        if let Some(client) = self.sessions.client(id) {
            self.ks.warm(client.db, requests);
        }
    }

    /// Monotonic time of the last sample.
    pub fn monotonic(&self) -> Duration {
        self.monotonic
    }

    /// Samples the monotonic clock once, at a command's end, which is the next one's start.
    fn sample_clock(&mut self) {
        self.batch_nanos = self.clock.nanos_since(&self.batch_start);
        self.monotonic = self.batch_start.at + Duration::from_nanos(self.batch_nanos);
        self.set_time();
    }

    /// Wall-clock time in microseconds at the last sample.
    fn wall_us(&self) -> i64 {
        if let Some(frozen) = self.frozen_wall_us {
            return frozen;
        }
        self.batch_wall_us + (self.batch_nanos / 1000).cast_signed()
    }

    fn set_time(&mut self) {
        self.ks.now = self.wall_us() / 1000;
        self.ks.use_clock.set_time(self.ks.now);
    }
}
