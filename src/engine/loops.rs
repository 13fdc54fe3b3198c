//! What the reactors do with their time: turns, how long they took, reads and writes.
//!
//! Each reactor writes its own figures without the engine's lock; INFO adds them up. CONFIG RESETSTAT
//! begins anew, and a turn that ends just then may be lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The figures of one reactor.
#[derive(Debug, Default)]
pub struct LoopStats {
    turns: AtomicU64,
    busy_ns: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl LoopStats {
    /// A turn has ended.
    pub fn note_turn(&self, took: Duration) {
        add(&self.turns, 1);
        add(&self.busy_ns, u64::try_from(took.as_nanos()).unwrap_or(0));
    }

    /// A read gave bytes.
    pub fn note_read(&self) {
        add(&self.reads, 1);
    }

    /// A write took bytes.
    pub fn note_write(&self) {
        add(&self.writes, 1);
    }

    /// Reads and writes that moved bytes.
    pub fn reads_and_writes(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    fn reset(&self) {
        for counter in [&self.turns, &self.busy_ns, &self.reads, &self.writes] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// Only one thread adds, so that no locked instruction is needed.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// Turns of all reactors and the microseconds that they took.
pub(super) fn totals(loops: &[LoopStats]) -> (u64, u64) {
    let sum = |pick: fn(&LoopStats) -> &AtomicU64| -> u64 {
        loops.iter().map(|one| pick(one).load(Ordering::Relaxed)).sum()
    };
    (sum(|one| &one.turns), sum(|one| &one.busy_ns) / 1000)
}

/// Begins anew.
pub(super) fn reset(loops: &[LoopStats]) {
    loops.iter().for_each(LoopStats::reset);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up_until_they_are_reset() {
        let loops = [LoopStats::default(), LoopStats::default()];
        loops[0].note_turn(Duration::from_micros(3));
        loops[1].note_turn(Duration::from_nanos(4_500));
        loops[1].note_read();
        assert_eq!(totals(&loops), (2, 7));
        assert_eq!(loops[1].reads_and_writes(), (1, 0));
        reset(&loops);
        assert_eq!((totals(&loops), loops[1].reads_and_writes()), ((0, 0), (0, 0)));
    }
}
