//! The persistence worker: runs the save or rewrite that the engine asks for, a slice at a time.
//!
//! Encoding happens under the lock in slices of some hundred microseconds; writing, syncing and renaming
//! outside. A job that fails is reported to the engine; the old files stay in charge.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;

/// How often the worker looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What clients have to themselves after each slice under the lock.
const PAUSE: Duration = Duration::from_micros(150);

/// Runs until the server stops.
pub fn run(shared: &Arc<Shared>) {
    while !shared.stopping.load(Ordering::Acquire) {
        let job = shared.lock().take_persist_job();
        match job {
            Some(mut job) => {
                let outcome = loop {
                    if let Some(outcome) = job.step(shared.engine()) {
                        break outcome;
                    }
                    // Whoever waits for the lock gets it now, and the core with it.
                    shared.persist_signal.wait(PAUSE);
                };
                let mut engine = shared.lock();
                engine.persist_finished(&job, outcome);
                shared.unlock(engine);
                // A new base may have moved the log's positions and ended its failure.
                shared.log_signal.raise();
            }
            None => {
                shared.persist_signal.wait(LOOK_EVERY);
            }
        }
    }
}
