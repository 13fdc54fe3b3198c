//! The log thread: writes and syncs, wakes whoever waits.
//!
//! Under `always` it takes whatever has been appended, writes it, syncs it, publishes, and starts over;
//! what is appended meanwhile is the next group (group commit). Under `everysec` it syncs once a second
//! and writes only when a reactor could not. A failure latches in the log; this thread tells the engine,
//! so that writes are refused, and the reactors, so that held replies become errors (P3, P4).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use crate::aof::log::Log;
use crate::clock::Clock;
use crate::config::AppendFsync;

/// How often a full disk is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// Between two syncs under `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Runs until the server stops.
pub fn run(shared: &Arc<Shared>, clock: &Arc<dyn Clock>) {
    let mut last_sync = clock.monotonic();
    let mut failing = false;
    while !shared.stopping.load(Ordering::Acquire) {
        let Some(log) = shared.log() else {
            shared.log_signal.wait(SYNC_EVERY);
            continue;
        };
        let moved = step(&log, shared.policy(), clock, &mut last_sync);
        let failure = log.cause().map(|cause| cause.to_string());
        if failing != failure.is_some() {
            failing = failure.is_some();
            report(shared, failure);
            shared.wake_all();
        }
        if moved {
            shared.wake_holders();
            serve_log_waiters(shared, &log);
        }
        let policy = shared.policy();
        let pending = log.appended() > log.written();
        let wait = match (failing, pending && policy == AppendFsync::Always) {
            (true, _) => RETRY_EVERY,
            (false, true) => continue,
            (false, false) => {
                SYNC_EVERY.saturating_sub(clock.monotonic().saturating_sub(last_sync))
            }
        };
        shared.log_signal.wait(wait.max(Duration::from_millis(1)));
    }
}

/// One round: write what is pending, sync if it is time. True when a position moved.
fn step(log: &Log, policy: AppendFsync, clock: &Arc<dyn Clock>, last_sync: &mut Duration) -> bool {
    let before = (log.written(), log.synced());
    if log.appended() > log.written() && log.write().is_err() {
        return false;
    }
    let now = clock.monotonic();
    let due = policy == AppendFsync::Always
        || (policy == AppendFsync::Everysec && now.saturating_sub(*last_sync) >= SYNC_EVERY);
    if due {
        *last_sync = now;
        if log.written() > log.synced() && log.sync().is_err() {
            return false;
        }
    }
    before != (log.written(), log.synced())
}

/// Tells the engine that writes are refused, or taken again.
fn report(shared: &Arc<Shared>, failure: Option<String>) {
    let mut engine = shared.lock();
    match &failure {
        Some(cause) => {
            engine.logger.warning(format!(
                "Writing the append-only log failed: {cause}. Writes are refused, reads go on."
            ));
        }
        None => engine.logger.notice("The append-only log takes writes again."),
    }
    engine.server.persistence.log_error = failure;
}

fn serve_log_waiters(shared: &Arc<Shared>, log: &Log) {
    let mut engine = shared.lock();
    if !engine.sessions.waiters.is_empty() {
        engine.serve_log_waiters(log.synced().0);
    }
    shared.unlock(engine);
}
