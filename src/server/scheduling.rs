//! How the kernel schedules the calling thread: whether it takes a core from another one when it wakes up.
//!
//! Place: the log thread asks, by what [`pace`](super::pace) says. What the system does not allow is done without.
//!
//! Safety: `sched_getscheduler` and `sched_setscheduler` (sched(7)) are asked about the calling thread, 0; they read the
//! struct they are given during the call and keep nothing.

#![allow(
    unsafe_code,
    reason = "system calls without a safe wrapper; the proof is in the module's head"
)]

/// Who yields waits for a core that is free, or for its share of one, when it wakes up (`SCHED_BATCH`); who does not
/// takes the core from a thread that has had more than it, at once (`SCHED_OTHER`). A thread of any other policy, which
/// only the operator can have chosen, keeps it.
pub(super) fn yield_at_wake(yields: bool) {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
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
}
