//! What the threads of the server share: the engine behind its lock, the log, and ways to wake each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

use super::desk::Desk;
use super::listener::Listener;
use super::pace::Pace;
use super::stream::Accepted;
use crate::aof::log::Log;
use crate::clock::Clock;
use crate::config::{AppendFsync, OutputLimit};
use crate::engine::loops::LoopStats;
use crate::engine::{Engine, ShutdownState};
use crate::session::replica::Bell;
use crate::session::{ClientId, Mail};

/// How long a thread waits for the lock before it looks whether a script is in the way.
const BUSY_LOOK: Duration = Duration::from_millis(20);
/// Room for so much mail stays.
const OUTGOING_KEPT: usize = 128;

/// Shared by all threads of one server.
pub struct Shared {
    engine: Mutex<Engine>,
    /// The log in use, if any; replaced when CONFIG SET turns it on or off.
    log: RwLock<Option<Arc<Log>>>,
    /// How many times `log` was set.
    log_changes: AtomicU64,
    /// One per reactor.
    pub reactors: Vec<ReactorHandle>,
    /// When the log thread begins what; it sleeps on its signal.
    pub pace: Pace,
    /// Somebody waits for a sync that the policy would not make now.
    pub sync_wanted: AtomicBool,
    /// Somebody waits for a write only, while the log thread syncs after every write.
    pub write_wanted: AtomicBool,
    /// A client waits for the log (WAITAOF); who sets it wakes the log thread.
    log_waiters: AtomicBool,
    /// Wakes the snapshot worker.
    pub persist_signal: Signal,
    /// Ends the pause of the archive's thread.
    pub archive_signal: Signal,
    /// Wakes the threads of replicas.
    pub replica_bell: Arc<Bell>,
    /// Seconds that a replica may take nothing (`repl-timeout`).
    pub replica_timeout_s: AtomicU64,
    /// `appendfsync` as a number, for the threads that do not hold the lock.
    policy: AtomicU8,
    /// Set once everything is closed and the process may end.
    pub stopping: AtomicBool,
    /// Longest argument a client may send (`proto-max-bulk-len`).
    pub bulk_bytes_max: AtomicU64,
    /// Most bytes a client's unread input may take (`client-query-buffer-limit`).
    pub query_bytes_max: AtomicU64,
    /// What a client that does not read its replies may hold (`client-output-buffer-limit`).
    pub normal_output: AtomicLimit,
    pub pubsub_output: AtomicLimit,
    pub clock: Arc<dyn Clock>,
    /// From how many milliseconds on the latency monitor keeps an event; 0: it is off.
    pub latency_ms: AtomicU64,
    /// Wakes the deadline timer when a client began to wait.
    pub deadlines: Notify,
    /// A script has held the engine for too long.
    busy: Arc<AtomicBool>,
    /// The reactor that runs it.
    pub busy_reactor: AtomicUsize,
    /// Where the others ask meanwhile.
    pub desk: Desk,
    /// Seconds between keepalives of new connections (`tcp-keepalive`).
    pub keepalive_s: AtomicU64,
    /// What each reactor does with its time.
    pub loops: Arc<[LoopStats]>,
    /// The listening sockets once more, for the reactor whose runtime stands still.
    listeners: Mutex<Vec<Listener>>,
    /// Those that nobody accepts at yet.
    new_listeners: Mutex<Vec<Listener>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("reactors", &self.reactors.len()).finish_non_exhaustive()
    }
}

/// A limit of output that threads read without the lock.
#[derive(Debug, Default)]
pub struct AtomicLimit {
    hard_bytes: AtomicU64,
    soft_bytes: AtomicU64,
    soft_seconds: AtomicU64,
}

impl AtomicLimit {
    fn new(limit: OutputLimit) -> Self {
        let new = Self::default();
        new.set(limit);
        new
    }

    fn set(&self, limit: OutputLimit) {
        self.hard_bytes.store(limit.hard_bytes, Ordering::Relaxed);
        self.soft_bytes.store(limit.soft_bytes, Ordering::Relaxed);
        self.soft_seconds.store(limit.soft_seconds, Ordering::Relaxed);
    }

    /// Whether `bytes` are more than a client may ever hold.
    pub fn is_over_hard(&self, bytes: usize) -> bool {
        let limit = self.hard_bytes.load(Ordering::Relaxed);
        limit > 0 && bytes as u64 >= limit
    }

    /// Whether `bytes` are more than a client may hold for long.
    pub fn is_over_soft(&self, bytes: usize) -> bool {
        let limit = self.soft_bytes.load(Ordering::Relaxed);
        limit > 0 && bytes as u64 >= limit
    }

    /// How long a client may be over the soft limit.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.soft_seconds.load(Ordering::Relaxed))
    }
}

/// How others reach a reactor.
#[derive(Debug, Default)]
pub struct ReactorHandle {
    mail: Mutex<Vec<Mail>>,
    /// There may be mail. Set with the mail's lock held.
    has_mail: AtomicBool,
    arrivals: Mutex<Vec<Accepted>>,
    /// The log moved on or failed, mail or a connection came.
    pub wake: Notify,
    /// Whether it holds replies for the log.
    pub holds: AtomicBool,
    /// It waits for the log on `nap` and not for its sockets; who calls it lowers this.
    napping: AtomicBool,
    nap: Signal,
}

impl ReactorHandle {
    /// Has it look at its mail, its arrivals and the log.
    pub fn call(&self) {
        if self.napping.swap(false, Ordering::SeqCst) {
            self.nap.raise();
        }
        self.wake.notify_one();
    }

    /// Sleeps until the log moved or failed, somebody calls, or `longest` is over. `is_idle` is asked once
    /// more after the nap was announced.
    pub fn nap(&self, longest: Duration, is_idle: impl FnOnce() -> bool) {
        self.napping.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        if is_idle() {
            self.nap.wait(longest);
        }
        self.napping.store(false, Ordering::SeqCst);
    }
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

    /// Lowers the flag. True when it was raised.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.raised.lock())
    }

    /// Sleeps until raised or until `timeout` is over, and lowers the flag. True when raised.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut raised = self.raised.lock();
        if !*raised {
            self.condition.wait_for(&mut raised, timeout);
        }
        std::mem::take(&mut *raised)
    }
}

impl Shared {
    /// Around an engine, with `reactors` reactor threads to come.
    pub fn new(mut engine: Engine, reactors: usize) -> Arc<Self> {
        engine.while_busy = Some(super::reactor::busy::serve);
        let engine_busy = Arc::clone(&engine.busy);
        let loops: Arc<[LoopStats]> = (0..reactors.max(1)).map(|_| LoopStats::default()).collect();
        engine.loops = Arc::clone(&loops);
        let config = &engine.server.config;
        let bulk = AtomicU64::new(config.string_bytes_max());
        let config_policy = policy_number(config.appendfsync);
        let query = AtomicU64::new(config.request_bytes_max());
        let keepalive_s = AtomicU64::new(u64::from(config.tcp_keepalive));
        let latency_ms = AtomicU64::new(config.latency_monitor_threshold);
        let normal_output = AtomicLimit::new(config.client_output_buffer_limit.normal);
        let pubsub_output = AtomicLimit::new(config.client_output_buffer_limit.pubsub);
        let replica_bell = Arc::clone(&engine.sessions.replicas.bell);
        let replica_timeout_s = AtomicU64::new(u64::from(config.repl_timeout));
        let clock = Arc::clone(&engine.clock);
        Arc::new(Self {
            log: RwLock::new(engine.log.clone()),
            log_changes: AtomicU64::new(1),
            engine: Mutex::new(engine),
            reactors: (0..reactors.max(1)).map(|_| ReactorHandle::default()).collect(),
            pace: Pace::new(reactors.max(1)),
            sync_wanted: AtomicBool::new(false),
            write_wanted: AtomicBool::new(false),
            log_waiters: AtomicBool::new(false),
            persist_signal: Signal::default(),
            archive_signal: Signal::default(),
            replica_bell,
            replica_timeout_s,
            policy: AtomicU8::new(config_policy),
            stopping: AtomicBool::new(false),
            bulk_bytes_max: bulk,
            query_bytes_max: query,
            normal_output,
            pubsub_output,
            clock,
            latency_ms,
            deadlines: Notify::new(),
            busy: Arc::clone(&engine_busy),
            busy_reactor: AtomicUsize::new(0),
            desk: Desk::default(),
            keepalive_s,
            loops,
            listeners: Mutex::default(),
            new_listeners: Mutex::default(),
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
        let policy = policy_number(config.appendfsync);
        if self.policy.swap(policy, Ordering::Relaxed) != policy {
            // Replies that are held wait for a sync that only the policy before was sure to bring.
            self.sync_wanted.store(true, Ordering::Release);
            self.pace.signal.raise();
        }
        self.bulk_bytes_max.store(config.string_bytes_max(), Ordering::Relaxed);
        self.query_bytes_max.store(config.request_bytes_max(), Ordering::Relaxed);
        self.keepalive_s.store(u64::from(config.tcp_keepalive), Ordering::Relaxed);
        self.replica_timeout_s.store(u64::from(config.repl_timeout), Ordering::Relaxed);
        self.latency_ms.store(config.latency_monitor_threshold, Ordering::Relaxed);
        self.normal_output.set(config.client_output_buffer_limit.normal);
        self.pubsub_output.set(config.client_output_buffer_limit.pubsub);
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
        let mut engine = self.engine.lock();
        engine.mark_memory();
        engine
    }

    /// Takes the lock, unless a script has been holding it for too long.
    pub fn lock_unless_busy(&self) -> Option<MutexGuard<'_, Engine>> {
        if let Some(mut engine) = self.engine.try_lock() {
            engine.mark_memory();
            return Some(engine);
        }
        loop {
            if self.is_busy() {
                return None;
            }
            if let Some(mut engine) = self.engine.try_lock_for(BUSY_LOOK) {
                engine.mark_memory();
                return Some(engine);
            }
        }
    }

    /// Whether a script has been holding the lock for too long.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Has reactor 0 accept at these sockets, too.
    pub fn add_listeners(&self, listeners: Vec<Listener>) {
        self.listeners.lock().extend(listeners.iter().filter_map(|own| own.try_clone().ok()));
        self.new_listeners.lock().extend(listeners);
        self.wake_all();
    }

    /// Takes the sockets that nobody accepts at yet.
    pub fn take_new_listeners(&self) -> Vec<Listener> {
        std::mem::take(&mut *self.new_listeners.lock())
    }

    /// Stops listening at the TCP addresses that are not to stay; returns those that stay.
    pub fn stop_tcp_listeners(&self, stays: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        let mut kept = Vec::new();
        self.listeners.lock().retain(|listener| {
            let Some(address) = listener.tcp_address() else { return true };
            if stays(address) {
                kept.push(address);
                return true;
            }
            listener.stop();
            false
        });
        kept
    }

    /// Takes no connections any more.
    pub fn stop_listening(&self) {
        for listener in self.listeners.lock().iter() {
            listener.stop();
        }
    }

    /// Takes the connections that wait at the listening sockets.
    pub fn accept_now(&self) -> Vec<Accepted> {
        self.listeners.lock().iter().flat_map(Listener::accept_all).collect()
    }

    /// Lets go of the lock after delivering the mail that execution left.
    pub fn unlock(&self, mut engine: MutexGuard<'_, Engine>) {
        engine.follow_memory();
        if engine.settings_changed {
            self.refresh_settings(&mut engine);
        }
        if engine.shutdown != ShutdownState::Running {
            self.stop();
        }
        self.note_log_waiters(&engine);
        if engine.sessions.waiters.take_sooner() {
            self.deadlines.notify_one();
        }
        if engine.sessions.replicas.news {
            engine.replicas_have_news();
            self.replica_bell.ring();
        }
        if engine.sessions.outgoing.is_empty() {
            return;
        }
        // Posted before the lock is let go of: a client gets its mail in the order of execution.
        let mut posted = std::mem::take(&mut engine.sessions.outgoing);
        let mut woken = vec![false; self.reactors.len()];
        for mut mail in posted.drain(..) {
            let needs_sync = engine.reply_needs_sync(mail.to());
            let lags = engine.log_lags();
            if let Some(release) = mail.release_mut() {
                release.needs_sync = needs_sync || (release.wrote && lags);
            }
            let bytes = mail.bytes().len() as u64;
            engine.server.stats.net_output_bytes += bytes;
            let Some(client) = engine.sessions.client_mut(mail.to()) else { continue };
            client.output_bytes += bytes;
            if let (Some(handle), Some(woken)) =
                (self.reactors.get(client.reactor), woken.get_mut(client.reactor))
            {
                let mut mailbox = handle.mail.lock();
                mailbox.push(mail);
                handle.has_mail.store(true, Ordering::Release);
                *woken = true;
            }
        }
        engine.sessions.outgoing = posted;
        engine.sessions.outgoing.shrink_to(OUTGOING_KEPT);
        drop(engine);
        for (handle, _) in self.reactors.iter().zip(woken).filter(|(_, woken)| *woken) {
            handle.call();
        }
    }

    /// Lets the log thread leave the lock alone while nobody waits for the log. A sync that ended between
    /// a client's look and this has not served it: the round that is asked for here does.
    fn note_log_waiters(&self, engine: &Engine) {
        let waits = engine.sessions.waiters.any_for_log();
        if waits != self.log_waiters.load(Ordering::Relaxed) {
            self.log_waiters.store(waits, Ordering::SeqCst);
            if waits {
                self.pace.signal.raise();
            }
        }
    }

    /// Whether a client waits for the log.
    pub fn has_log_waiters(&self) -> bool {
        self.log_waiters.load(Ordering::SeqCst)
    }

    /// The log in use.
    pub fn log(&self) -> Option<Arc<Log>> {
        self.log.read().clone()
    }

    /// Makes the threads use another log, or none.
    pub fn set_log(&self, log: Option<Arc<Log>>) {
        let mut current = self.log.write();
        *current = log;
        self.log_changes.fetch_add(1, Ordering::Release);
    }

    /// How many times the log was replaced, for who keeps it.
    #[inline]
    pub fn log_changes(&self) -> u64 {
        self.log_changes.load(Ordering::Acquire)
    }

    /// Takes the mail of a reactor.
    pub fn take_mail(&self, reactor: usize) -> Vec<Mail> {
        let Some(handle) = self.reactors.get(reactor) else { return Vec::new() };
        if !handle.has_mail.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut mail = handle.mail.lock();
        handle.has_mail.store(false, Ordering::Relaxed);
        std::mem::take(&mut *mail)
    }

    /// Takes what the mail of a reactor has for one client. Called with the engine's lock held, this is
    /// all that was sent to the client so far.
    pub fn take_mail_to(&self, reactor: usize, to: ClientId) -> Vec<Mail> {
        let Some(handle) = self.reactors.get(reactor) else { return Vec::new() };
        handle.mail.lock().extract_if(.., |mail| mail.to() == to).collect()
    }

    /// Hands a new connection to a reactor.
    pub fn hand_over(&self, reactor: usize, accepted: Accepted) {
        if let Some(handle) = self.reactors.get(reactor) {
            handle.arrivals.lock().push(accepted);
            handle.call();
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
        for (index, handle) in self.reactors.iter().enumerate() {
            if handle.holds.load(Ordering::SeqCst) {
                self.pace.works(index);
                if handle.napping.swap(false, Ordering::SeqCst) {
                    // It looks at its holders when the nap ends.
                    handle.nap.raise();
                } else {
                    handle.wake.notify_one();
                }
            }
        }
    }

    /// Wakes every reactor.
    pub fn wake_all(&self) {
        for handle in &self.reactors {
            handle.call();
        }
    }

    /// Forgets a client whose connection is gone. False when that has to wait for a script.
    pub fn client_gone(&self, id: ClientId) -> bool {
        let Some(mut engine) = self.lock_unless_busy() else { return false };
        engine.client_gone(id);
        self.unlock(engine);
        true
    }
}

fn policy_number(policy: AppendFsync) -> u8 {
    match policy {
        AppendFsync::Always => 0,
        AppendFsync::Everysec => 1,
        AppendFsync::No => 2,
    }
}
