//! The log thread: writes and syncs, wakes whoever waits.
//!
//! Under `always` it takes whatever has been appended, writes it, syncs it, publishes, and starts over;
//! what is appended meanwhile is the next group (group commit); when that begins is [`pace`](super::pace)'s.
//! Under `everysec` it syncs once a second, or as soon as a connection that asked for more waits (P2), and
//! writes only when a reactor could not.
//! What a round does, and what becomes of a failure, is `engine::log_work`'s.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::pace::Groups;
use crate::aof::log::{Log, LogState};
use crate::clock::Clock;
use crate::command::server::latency::event;
use crate::config::AppendFsync;
use crate::engine::log_work::{LogWork, SYNC_EVERY};

/// Runs until the server stops.
pub fn run(shared: &Arc<Shared>, clock: &Arc<dyn Clock>) {
    let mut work = LogWork::new(clock.monotonic());
    let mut groups = Groups::default();
    while !shared.stopping.load(Ordering::Acquire) {
        let Some(log) = shared.log() else {
            shared.pace.signal.wait(SYNC_EVERY);
            continue;
        };
        let synced = log.synced();
        round(shared, &log, &mut work, clock);
        let now = clock.monotonic();
        if log.synced() != synced {
            shared.pace.note_group(&mut groups, shared.policy() == AppendFsync::Always, now);
        }
        let pause = work.pause(&log, shared.policy(), now);
        if pause.is_zero() {
            shared.pace.gather();
        } else {
            shared.pace.signal.wait(pause);
        }
    }
}

fn round(shared: &Arc<Shared>, log: &Log, work: &mut LogWork, clock: &Arc<dyn Clock>) {
    let wanted = shared.sync_wanted.swap(false, Ordering::AcqRel);
    let began = clock.monotonic();
    if work.write(log, shared.policy()) && shared.write_wanted.swap(false, Ordering::AcqRel) {
        shared.wake_holders();
    }
    let written = clock.monotonic();
    work.sync(log, shared.policy(), wanted, written);
    note_latency(shared, event::AOF_WRITE, written.saturating_sub(began));
    if shared.policy() == AppendFsync::Always {
        let took = clock.monotonic().saturating_sub(written);
        note_latency(shared, event::AOF_FSYNC_ALWAYS, took);
    }
    let changed = work.state_changed(log);
    if changed || log.state() != LogState::Ready {
        let mut engine = shared.lock();
        engine.begin_batch();
        engine.watch_log();
        let healing = engine.persist.requested.is_some();
        shared.unlock(engine);
        if healing {
            shared.persist_signal.raise();
        }
    }
    if changed {
        shared.wake_all();
    }
    if work.moved(log, clock.monotonic()) {
        shared.wake_holders();
        shared.replica_bell.ring();
    }
    if shared.has_log_waiters() {
        serve_log_waiters(shared, log);
    }
}

/// Tells the latency monitor, if the disk took long and somebody wants to know.
fn note_latency(shared: &Arc<Shared>, class: &'static str, took: Duration) {
    let threshold_ms = u128::from(shared.latency_ms.load(Ordering::Relaxed));
    if threshold_ms != 0 && took.as_millis() >= threshold_ms {
        let mut engine = shared.lock();
        engine.begin_batch();
        engine.note_latency(class, took);
        shared.unlock(engine);
    }
}

fn serve_log_waiters(shared: &Arc<Shared>, log: &Log) {
    let mut engine = shared.lock();
    engine.serve_log_waiters(log.synced().0);
    shared.unlock(engine);
}
