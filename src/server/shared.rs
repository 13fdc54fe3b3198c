//! What the threads of the server share: the engine behind its lock, the log, and ways to wake each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

use super::stream::Accepted;
use crate::aof::log::Log;
use crate::config::AppendFsync;
use crate::engine::{Engine, ShutdownState};
use crate::session::{ClientId, Mail};

/// Shared by all threads of one server.
pub struct Shared {
    engine: Mutex<Engine>,
    /// The log in use, if any; replaced when CONFIG SET turns it on or off.
    log: RwLock<Option<Arc<Log>>>,
    /// One per reactor.
    pub reactors: Vec<ReactorHandle>,
    pub log_signal: Signal,
    /// Somebody waits for a sync that the policy would not make now.
    pub sync_wanted: AtomicBool,
    /// Somebody waits for a write only, while the log thread syncs after every write.
    pub write_wanted: AtomicBool,
    /// Wakes the snapshot worker.
    pub persist_signal: Signal,
    /// `appendfsync` as a number, for the threads that do not hold the lock.
    policy: AtomicU8,
    /// Set once everything is closed and the process may end.
    pub stopping: AtomicBool,
    /// Longest argument a client may send (`proto-max-bulk-len`).
    pub bulk_bytes_max: AtomicU64,
    /// Most bytes a client's unread input may take (`client-query-buffer-limit`).
    pub query_bytes_max: AtomicU64,
    /// Wakes the deadline timer when a client began to wait.
    pub deadlines: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("reactors", &self.reactors.len()).finish_non_exhaustive()
    }
}

/// How others reach a reactor.
#[derive(Debug, Default)]
pub struct ReactorHandle {
    mail: Mutex<Vec<Mail>>,
    arrivals: Mutex<Vec<Accepted>>,
    /// The log moved on or failed, mail or a connection came.
    pub wake: Notify,
    /// Whether it holds replies for the log.
    pub holds: AtomicBool,
}

/// A flag that a thread sleeps on.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Mutex<bool>,
    condition: Condvar,
}

impl Signal {
    /// Wakes the thread, or keeps it from going to sleep.
    pub fn raise(&self) {
        let mut raised = self.raised.lock();
        if !*raised {
            *raised = true;
            self.condition.notify_one();
        }
    }

    /// Sleeps until raised or until `timeout` is over, and lowers the flag. True when raised.
    pub fn wait(&self, timeout: std::time::Duration) -> bool {
        let mut raised = self.raised.lock();
        if !*raised {
            self.condition.wait_for(&mut raised, timeout);
        }
        std::mem::take(&mut *raised)
    }
}

impl Shared {
    /// Around an engine, with `reactors` reactor threads to come.
    pub fn new(engine: Engine, reactors: usize) -> Arc<Self> {
        let config = &engine.server.config;
        let bulk = AtomicU64::new(config.proto_max_bulk_len);
        let config_policy = policy_number(config.appendfsync);
        let query = AtomicU64::new(config.client_query_buffer_limit);
        Arc::new(Self {
            log: RwLock::new(engine.log.clone()),
            engine: Mutex::new(engine),
            reactors: (0..reactors.max(1)).map(|_| ReactorHandle::default()).collect(),
            log_signal: Signal::default(),
            sync_wanted: AtomicBool::new(false),
            write_wanted: AtomicBool::new(false),
            persist_signal: Signal::default(),
            policy: AtomicU8::new(config_policy),
            stopping: AtomicBool::new(false),
            bulk_bytes_max: bulk,
            query_bytes_max: query,
            deadlines: Notify::new(),
        })
    }

    /// When the log is synced.
    pub fn policy(&self) -> AppendFsync {
        match self.policy.load(Ordering::Relaxed) {
            0 => AppendFsync::Always,
            1 => AppendFsync::Everysec,
            _ => AppendFsync::No,
        }
    }

    /// Copies what changed in the configuration to where threads read it without the lock.
    pub fn refresh_settings(&self, engine: &mut Engine) {
        engine.settings_changed = false;
        let config = &engine.server.config;
        self.policy.store(policy_number(config.appendfsync), Ordering::Relaxed);
        self.bulk_bytes_max.store(config.proto_max_bulk_len, Ordering::Relaxed);
        self.query_bytes_max.store(config.client_query_buffer_limit, Ordering::Relaxed);
        self.set_log(engine.log.clone());
    }

    /// The engine with its lock, for recovery.
    pub fn engine(&self) -> &Mutex<Engine> {
        &self.engine
    }

    /// Uses the log that the engine has now.
    pub fn adopt_log(&self) {
        let log = self.lock().log.clone();
        self.set_log(log);
    }

    /// Takes the lock.
    pub fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock()
    }

    /// Lets go of the lock after delivering the mail that execution left.
    pub fn unlock(&self, mut engine: MutexGuard<'_, Engine>) {
        if engine.settings_changed {
            self.refresh_settings(&mut engine);
        }
        if engine.shutdown != ShutdownState::Running {
            self.stop();
        }
        if engine.sessions.outgoing.is_empty() {
            return;
        }
        // Posted before the lock is let go of: a client gets its mail in the order of execution.
        let mut posted = std::mem::take(&mut engine.sessions.outgoing);
        let mut woken = vec![false; self.reactors.len()];
        for mut mail in posted.drain(..) {
            let needs_sync = engine.reply_needs_sync(mail.to());
            if let Some(release) = mail.release_mut() {
                release.needs_sync = needs_sync;
            }
            let Some(client) = engine.sessions.client(mail.to()) else { continue };
            if let (Some(handle), Some(woken)) =
                (self.reactors.get(client.reactor), woken.get_mut(client.reactor))
            {
                handle.mail.lock().push(mail);
                *woken = true;
            }
        }
        engine.sessions.outgoing = posted;
        engine.sessions.outgoing.shrink_to(1024);
        drop(engine);
        for (handle, _) in self.reactors.iter().zip(woken).filter(|(_, woken)| *woken) {
            handle.wake.notify_one();
        }
    }

    /// The log in use.
    pub fn log(&self) -> Option<Arc<Log>> {
        self.log.read().clone()
    }

    /// Makes the threads use another log, or none.
    pub fn set_log(&self, log: Option<Arc<Log>>) {
        *self.log.write() = log;
    }

    /// Takes the mail of a reactor.
    pub fn take_mail(&self, reactor: usize) -> Vec<Mail> {
        self.reactors
            .get(reactor)
            .map(|handle| std::mem::take(&mut *handle.mail.lock()))
            .unwrap_or_default()
    }

    /// Hands a new connection to a reactor.
    pub fn hand_over(&self, reactor: usize, accepted: Accepted) {
        if let Some(handle) = self.reactors.get(reactor) {
            handle.arrivals.lock().push(accepted);
            handle.wake.notify_one();
        }
    }

    /// Takes the new connections of a reactor.
    pub fn take_arrivals(&self, reactor: usize) -> Vec<Accepted> {
        self.reactors
            .get(reactor)
            .map(|handle| std::mem::take(&mut *handle.arrivals.lock()))
            .unwrap_or_default()
    }

    /// The log moved on or failed: whoever holds replies looks again.
    pub fn wake_holders(&self) {
        // Pairs with the fence of a reactor that announces a hold: one of the two sees the other.
        std::sync::atomic::fence(Ordering::SeqCst);
        for handle in &self.reactors {
            if handle.holds.load(Ordering::SeqCst) {
                handle.wake.notify_one();
            }
        }
    }

    /// Wakes every reactor.
    pub fn wake_all(&self) {
        for handle in &self.reactors {
            handle.wake.notify_one();
        }
    }

    /// Forgets a client whose connection is gone.
    pub fn client_gone(&self, id: ClientId) {
        let mut engine = self.lock();
        engine.client_gone(id);
        self.unlock(engine);
    }
}

fn policy_number(policy: AppendFsync) -> u8 {
    match policy {
        AppendFsync::Always => 0,
        AppendFsync::Everysec => 1,
        AppendFsync::No => 2,
    }
}
