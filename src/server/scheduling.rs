//! How the kernel schedules the calling thread: whether it takes a core from another one when it wakes up.
//!
//! Place: the log thread asks in every round, by what [`pace`](super::pace) says. What the system does not allow is done without.
//!
//! Safety: `sched_getscheduler` and `sched_setscheduler` (sched(7)) are asked about the calling thread, 0; they read the
//! struct they are given during the call and keep nothing.

#![allow(
    unsafe_code,
    reason = "system calls without a safe wrapper; the proof is in the module's head"
)]

use std::time::Duration;

use crate::memory::kernel_file;

/// What a thread that yields may wait for a core in a round, on average over so many.
const WAIT_MAX: Duration = Duration::from_micros(500);
const ROUNDS_LOOKED_AT: u32 = 16;
/// How long it does not yield after it waited longer.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// Who yields waits for a core that is free, or for its share of one, when it wakes up (`SCHED_BATCH`); who does not
/// takes the core from a thread that has had more than it, at once (`SCHED_OTHER`). A thread of any other policy, which
/// only the operator can have chosen, keeps it.
fn yield_at_wake(yields: bool) {
    #[cfg(target_os = "linux")]
    {
        let (from, to) = match yields {
            true => (libc::SCHED_OTHER, libc::SCHED_BATCH),
            false => (libc::SCHED_BATCH, libc::SCHED_OTHER),
        };
        let unchanged = libc::sched_param { sched_priority: 0 };
        // SAFETY: see the head of the module.
        unsafe {
            if libc::sched_getscheduler(0) == from {
                libc::sched_setscheduler(0, to, &raw const unchanged);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = yields;
}

/// How long the calling thread has waited for a core so far although it had something to do. `None`: the system does not say.
fn waited_for_a_core() -> Option<Duration> {
    // Nanoseconds on a core, nanoseconds waiting for one, times it got one.
    let text = kernel_file("/proc/thread-self/schedstat");
    text.split(' ').nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// Whether a thread yields when it wakes up, which is good as long as those that it yields to let it in soon.
///
/// Others may want the core, too: another process, a script that runs for long. Then each wake may wait for a tick of the
/// kernel's clock, and yielding costs more than it brings: the thread stops for a while, for longer each time.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    yields: bool,
    /// Since when, and how often it came by since it was looked at.
    since: Duration,
    rounds: u32,
    /// How long it had waited for a core by then.
    waited: Duration,
    /// It does not yield before this instant; and the last pause.
    not_before: Duration,
    pause: Duration,
}

impl Courtesy {
    /// For each round of the thread: whether it is to yield, if it may. `now` is any monotonic clock.
    pub(super) fn round(&mut self, wanted: bool, now: Duration) {
        let before = self.yields;
        self.decide(wanted, now, waited_for_a_core);
        if self.yields != before {
            yield_at_wake(self.yields);
        }
    }

    fn decide(&mut self, wanted: bool, now: Duration, waited: impl Fn() -> Option<Duration>) {
        if !self.yields {
            if wanted && now >= self.not_before {
                let Some(waited) = waited() else { return };
                *self = Self { yields: true, since: now, rounds: 0, waited, ..*self };
            }
            return;
        }
        self.yields = wanted;
        self.rounds += 1;
        if !wanted || self.rounds < ROUNDS_LOOKED_AT {
            return;
        }
        let waited = waited().unwrap_or(Duration::MAX);
        if waited.saturating_sub(self.waited) > WAIT_MAX * ROUNDS_LOOKED_AT {
            let went_well = now.saturating_sub(self.since) > self.pause;
            self.pause = if went_well { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
            self.not_before = now + self.pause;
            self.yields = false;
        }
        (self.rounds, self.waited) = (0, waited);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn policy() -> libc::c_int {
        // SAFETY: see the head of the module.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_yields_and_stops_to() {
        let before = policy();
        if before != libc::SCHED_OTHER {
            // Tests under `chrt`: what is the operator's stays.
            yield_at_wake(true);
            assert_eq!(policy(), before);
            return;
        }
        yield_at_wake(true);
        assert_eq!(policy(), libc::SCHED_BATCH);
        yield_at_wake(false);
        assert_eq!(policy(), before);
    }

    #[test]
    fn who_waits_too_long_for_a_core_stops_yielding_for_longer_each_time() {
        let (mut courtesy, mut now, waited) =
            (Courtesy::default(), Duration::ZERO, Cell::new(Duration::ZERO));
        let mut run = |courtesy: &mut Courtesy, rounds: u32, wait: Duration| {
            for _ in 0..rounds {
                now += Duration::from_millis(1);
                waited.set(waited.get() + wait);
                courtesy.decide(true, now, || Some(waited.get()));
            }
            courtesy.yields
        };
        let (short, long) = (WAIT_MAX / 2, WAIT_MAX * 2);
        assert!(run(&mut courtesy, 100_000, short), "it is let in soon");
        for pause in [1, 2, 4, 8, 16, 32, 64, 64] {
            assert!(!run(&mut courtesy, 2 * ROUNDS_LOOKED_AT, long), "{pause}");
            let rounds = pause * 1000 - 2 * ROUNDS_LOOKED_AT;
            assert!(!run(&mut courtesy, rounds, Duration::ZERO), "it pauses {pause} s");
            assert!(run(&mut courtesy, 2 * ROUNDS_LOOKED_AT, short), "it tries again");
        }
        assert!(run(&mut courtesy, 65_000, short));
        assert!(!run(&mut courtesy, 2 * ROUNDS_LOOKED_AT, long));
        assert!(run(&mut courtesy, 1000, short), "what went well is forgiven");
    }

    #[test]
    fn nobody_yields_who_need_not_or_cannot_know() {
        let mut courtesy = Courtesy::default();
        courtesy.decide(true, Duration::ZERO, || None);
        assert!(!courtesy.yields);
        courtesy.decide(true, Duration::ZERO, || Some(Duration::ZERO));
        assert!(courtesy.yields);
        courtesy.decide(false, Duration::ZERO, || Some(Duration::ZERO));
        assert!(!courtesy.yields);
    }
}
