//! Starts the threads of a server and waits for its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::LocalSet;

use super::listener::Listener;
use super::reactor::Reactor;
use super::reclaim::Garbage;
use super::vital::vital;
use super::{Shared, archive_thread, log_thread, metrics, persist_thread, relisten};
use crate::clock::Clock;
use crate::engine::ShutdownState;
use crate::resp::Reply;

/// Stack of a reactor: scripts run on it, and what they make may be nested 2,000 levels deep. Only
/// what is used is ever backed by memory.
const REACTOR_STACK_BYTES: usize = 16 << 20;
/// Pause of periodic work while a script holds the engine for too long.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// A running server.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    archive: archive_thread::Ending,
}

/// Starts reactors, log thread and persistence worker; `metrics` are the sockets for Prometheus.
pub fn start(
    shared: &Arc<Shared>,
    listeners: Vec<Listener>,
    metrics: Vec<std::net::TcpListener>,
    clock: &Arc<dyn Clock>,
) -> io::Result<Running> {
    let mut threads = Vec::new();
    shared.add_listeners(listeners);
    relisten::install(shared);
    listen_for_signals(shared)?;
    let mut metrics = Some(metrics);
    for index in 0..shared.reactors.len() {
        let metrics = metrics.take().unwrap_or_default();
        let shared = Arc::clone(shared);
        let spawned = std::thread::Builder::new()
            .name(format!("reactor-{index}"))
            .stack_size(REACTOR_STACK_BYTES)
            .spawn(move || vital(|| run_reactor(index, &shared, metrics)))?;
        threads.push(spawned);
    }
    let (log_shared, log_clock) = (Arc::clone(shared), Arc::clone(clock));
    threads.push(
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || vital(|| log_thread::run(&log_shared, &log_clock)))?,
    );
    let persist_shared = Arc::clone(shared);
    threads.push(
        std::thread::Builder::new()
            .name("persist".to_owned())
            .spawn(move || vital(|| persist_thread::run(&persist_shared)))?,
    );
    let archive = archive_thread::start(shared)?;
    Ok(Running { shared: Arc::clone(shared), threads, archive })
}

impl Running {
    /// Waits until a shutdown is complete; returns the exit code.
    pub fn wait(self) -> i32 {
        for thread in self.threads {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
        self.archive.wait();
        // Freed block by block, four million keys would take half a second of a restart; they end with the process.
        std::mem::forget(Arc::clone(&self.shared));
        match self.shared.lock().shutdown {
            ShutdownState::Done { exit_code } => exit_code,
            ShutdownState::Running => 1,
        }
    }
}

fn run_reactor(index: usize, shared: &Arc<Shared>, metrics_listeners: Vec<std::net::TcpListener>) {
    let (resting, working) = (Arc::clone(shared), Arc::clone(shared));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || resting.pace.rests(index))
        .on_thread_unpark(move || working.pace.works(index))
        .build();
    let Ok(runtime) = runtime else {
        eprintln!("fastness: reactor {index} cannot start its runtime");
        return;
    };
    let local = LocalSet::new();
    let reactor = Reactor::new(index, Arc::clone(shared));
    local.block_on(&runtime, async {
        for listener in metrics_listeners {
            tokio::task::spawn_local(metrics::serve(listener, Arc::clone(shared)));
        }
        if index == 0 {
            tokio::task::spawn_local(cron(Arc::clone(shared)));
            tokio::task::spawn_local(expire(Arc::clone(shared)));
            tokio::task::spawn_local(deadlines(Arc::clone(shared)));
        }
        reactor.run().await;
    });
}

/// The periodic work, `hz` times a second.
async fn cron(shared: Arc<Shared>) {
    loop {
        let pause = cron_once(&shared);
        tokio::time::sleep(pause).await;
    }
}

fn cron_once(shared: &Arc<Shared>) -> Duration {
    let Some(mut engine) = shared.lock_unless_busy() else { return BUSY_PAUSE };
    let begin = shared.clock.monotonic();
    engine.cron();
    let hz = engine.server.config.hz.clamp(1, 500);
    let garbage = Garbage::take(&mut engine);
    shared.unlock(engine);
    if let Some(stats) = shared.loops.first() {
        // The timer's turn is one of its reactor's.
        stats.note_turn(shared.clock.monotonic().saturating_sub(begin));
    }
    garbage.reclaim(shared);
    shared.persist_signal.raise();
    Duration::from_secs(1) / hz
}

/// Active expiry: one slice, then whoever is ready, then the next slice.
async fn expire(shared: Arc<Shared>) {
    loop {
        let pause = expire_once(&shared);
        tokio::time::sleep(pause).await;
    }
}

fn expire_once(shared: &Shared) -> Duration {
    let Some(mut engine) = shared.lock_unless_busy() else { return BUSY_PAUSE };
    let mut pause = engine.expire_cycle();
    if engine.evict_cycle() {
        pause = Duration::from_millis(1);
    }
    shared.unlock(engine);
    shared.log_signal_if_pending();
    pause
}

/// Ends waits whose time is over, as soon as it is.
async fn deadlines(shared: Arc<Shared>) {
    loop {
        let pause = end_overdue_waits(&shared);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.deadlines.notified() => {}
        }
    }
}

/// Returns how long the next deadline is away.
fn end_overdue_waits(shared: &Arc<Shared>) -> Duration {
    let Some(mut engine) = shared.lock_unless_busy() else { return BUSY_PAUSE };
    engine.begin_batch();
    engine.expire_waiters();
    engine.end_pause_if_over();
    let now = engine.monotonic();
    let deadlines = [engine.sessions.waiters.next_deadline(), engine.pause_deadline()];
    let next = deadlines.into_iter().flatten().min();
    let migrations = std::mem::take(&mut engine.migrations.begun);
    let wall = engine.ks.now;
    let is_flushing = !engine.server.flushing.is_empty();
    let garbage = is_flushing.then(|| Garbage::take(&mut engine));
    shared.unlock(engine);
    if let Some(garbage) = garbage {
        garbage.reclaim(shared);
    }
    for job in migrations {
        let shared = Arc::clone(shared);
        let migrate = move || {
            let finished = job.run(wall);
            let mut engine = shared.lock();
            engine.finish_migration(finished);
            shared.unlock(engine);
            shared.log_signal_if_pending();
        };
        // Without a thread the client waits until it gives up; nothing was sent and nothing is lost.
        let _ = std::thread::Builder::new().name("migrate".to_owned()).spawn(migrate);
    }
    let pause = next.map(|at| at.saturating_sub(now).max(Duration::from_millis(1)));
    pause.unwrap_or(Duration::from_secs(3600))
}

/// From now on SIGHUP means nothing, as in Redis: neither a terminal that closes nor a rotation of logs may end the server.
pub fn ignore_hangups() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    // Once somebody has listened, the kernel's own answer to the signal never comes back.
    signal(SignalKind::hangup()).map(drop)
}

/// Listens for the signals that end the server, on a thread of its own: a save at the end holds the lock, and whoever loses
/// patience with it must be heard.
fn listen_for_signals(shared: &Arc<Shared>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // Before anybody is told that the server is there: until then a signal ends it without more ado.
    let registered = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let shared = Arc::clone(shared);
    let listen = move || runtime.block_on(signals(shared, registered));
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(())
}

/// SIGTERM and SIGINT shut the server down as SHUTDOWN does, with the words of `shutdown-on-sigterm` and
/// `shutdown-on-sigint`; a second SIGINT ends it at once.
async fn signals(shared: Arc<Shared>, (mut term, mut int): (Signals, Signals)) {
    let ending = Arc::new(AtomicBool::new(false));
    loop {
        let interrupted = tokio::select! {
            _ = term.recv() => false,
            _ = int.recv() => true,
        };
        if ending.swap(true, Ordering::AcqRel) {
            if interrupted {
                eprintln!("fastness: interrupted again: ending without the save");
                std::process::exit(1);
            }
            continue;
        }
        let (shared, ends) = (Arc::clone(&shared), Arc::clone(&ending));
        let end = move || ends.store(shut_down(&shared, interrupted), Ordering::Release);
        if std::thread::Builder::new().name("shutdown".to_owned()).spawn(end).is_err() {
            eprintln!("fastness: cannot start a thread to shut down: try again");
            ending.store(false, Ordering::Release);
        }
    }
}

/// Whether the server ends now.
fn shut_down(shared: &Shared, interrupted: bool) -> bool {
    let mut engine = shared.lock();
    engine.begin_batch();
    let config = &engine.server.config;
    let options = if interrupted { config.shutdown_on_sigint } else { config.shutdown_on_sigterm };
    let save = if options.save() { Some(true) } else { options.nosave().then_some(false) };
    let mut reply = Reply::new(false);
    // A failure to save keeps the server running, as with SHUTDOWN; the log says why.
    let outcome = engine.shut_down(save, options.force(), &mut reply);
    let ends = outcome.is_ok();
    if let Err(text) = outcome {
        engine.logger.warning(text);
    }
    // Letting go of an engine that is shut down stops the threads.
    shared.unlock(engine);
    ends
}

impl Shared {
    /// Ends all threads.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Before any client sees its connection closed: whoever tries again is refused.
        self.stop_listening();
        self.pace.signal.raise();
        self.persist_signal.raise();
        self.archive_signal.raise();
        self.replica_bell.ring();
        self.wake_all();
    }

    /// Wakes the log thread when there are records that no reactor's turn will write.
    pub fn log_signal_if_pending(&self) {
        if self.log().is_some_and(|log| log.appended() > log.written()) {
            self.pace.signal.raise();
        }
    }
}
