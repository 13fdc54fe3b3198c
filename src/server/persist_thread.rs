//! The persistence worker: runs the save or rewrite that the engine asks for, a slice at a time.
//!
//! Encoding happens under the lock in slices of some hundred microseconds; writing, syncing and renaming
//! outside. A job that fails is reported to the engine; the old files stay in charge.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use crate::clock::Clock;
use crate::engine::persist::SaveJob;

/// How often the worker looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs until the server stops.
pub fn run(shared: &Arc<Shared>, clock: &Arc<dyn Clock>) {
    while !shared.stopping.load(Ordering::Acquire) {
        let job = shared.lock().take_persist_job();
        match job {
            Some(mut job) => {
                let outcome = drive(shared, clock, &mut job);
                if outcome.is_err() {
                    shared.lock().ks.snapshot_end();
                    job.abandon();
                }
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

fn drive(shared: &Arc<Shared>, clock: &Arc<dyn Clock>, job: &mut SaveJob) -> Result<(), String> {
    job.prepare()?;
    {
        let mut engine = shared.lock();
        engine.begin_batch();
        job.start(&mut engine)?;
    }
    job.open()?;
    loop {
        let done = {
            let mut engine = shared.lock();
            if engine.persist.cancel {
                return Err("cancelled".to_owned());
            }
            job.collect(&mut engine, clock.as_ref())
        };
        job.write()?;
        if done {
            return job.finish();
        }
        // Whoever waits for the lock gets it now.
        std::thread::yield_now();
    }
}
