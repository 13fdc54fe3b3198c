//! The persistence worker: runs the save or rewrite that the engine asks for, a slice at a time.
//!
//! Encoding happens under the lock in slices of some hundred microseconds; writing, syncing and renaming
//! outside. A job that fails is reported to the engine; the old files stay in charge.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use crate::engine::backup::BackupWork;

/// How often the worker looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What clients have to themselves after each slice under the lock.
const PAUSE: Duration = Duration::from_micros(150);

/// Runs until the server stops.
pub fn run(shared: &Arc<Shared>) {
    let backup = BackupWork::of(shared.engine());
    while !shared.stopping.load(Ordering::Acquire) {
        let job = shared.lock().take_persist_job();
        match job {
            Some(mut job) => {
                let outcome = loop {
                    if backup.look(shared.engine()) {
                        deliver(shared);
                    }
                    if job.installs_base_next() {
                        BackupWork::before_new_base(shared.engine());
                    }
                    if let Some(outcome) = job.step(shared.engine()) {
                        break outcome;
                    }
                    // Whoever waits for the lock gets it now, and the core with it.
                    shared.persist_signal.wait(PAUSE);
                };
                if let (Ok(()), Some(from_seq)) = (&outcome, job.base_followed_by()) {
                    BackupWork::base_installed(shared.engine(), from_seq);
                }
                let mut engine = shared.lock();
                engine.persist_finished(&job, outcome);
                shared.unlock(engine);
                // A new base may have moved the log's positions and ended its failure.
                shared.pace.signal.raise();
            }
            None => {
                if backup.look(shared.engine()) {
                    deliver(shared);
                }
                shared.persist_signal.wait(LOOK_EVERY);
            }
        }
    }
}

/// What a backup's work left for clients leaves now.
fn deliver(shared: &Arc<Shared>) {
    let engine = shared.lock();
    shared.unlock(engine);
}
