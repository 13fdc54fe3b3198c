//! When the log thread begins its next group, under `always`: at once, or when the reactors are at rest.
//!
//! Place: between a reactor's turns (`reactor.rs`), which leave records and hold their replies, and the rounds of the
//! log thread (`log_thread.rs`), each of which writes and syncs what there is.
//!
//! A sync wakes the log thread two or three times, and where all cores have work each wake takes the core from a
//! reactor in the middle of its turn, for a group of a few requests. As long as nobody is served but many clients whose
//! replies wait for the sync, that helps none of them: then the log thread *gathers*. It begins a group when a reactor
//! has nothing more to do, and takes no core from one that has (`scheduling.rs`; `benches/RESULTS.md`, "Groups that wait
//! for rest"). As soon as a reply leaves without a sync, or few clients wait, groups begin at once again: reactors may
//! never rest then, or nothing more come.
//!
//! Invariant: records wait no longer than [`GATHER_MAX`] for a group to begin. A reactor that rests looks whether the
//! log thread waits after it marked itself, the log thread looks at the marks after it said that it waits: one of the
//! two sees the other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::scheduling::Courtesy;
use super::shared::Signal;

/// So many clients that wait for the log are many.
const MANY_HELD: usize = 8;
/// The log thread gathers after so many more groups of many clients than of few, which count fourfold.
const GROUPS_TO_GATHER: u32 = 16;
const GROUPS_OF_FEW: u32 = 4;
/// Turns without a rest in between after which a group begins all the same, when the log thread gathers and when not.
const TURNS_GATHERED: u32 = 4;
const TURNS_AT_ONCE: u32 = 1;
/// The longest that a group waits for a rest: with records that come from no turn, or a reactor held up by a script.
const GATHER_MAX: Duration = Duration::from_millis(10);

/// What reactors and the log thread tell each other.
#[derive(Debug)]
pub struct Pace {
    /// The log thread sleeps on it.
    pub signal: Signal,
    /// The log thread gathers.
    gathers: AtomicBool,
    /// It waits for a rest.
    waits: AtomicBool,
    reactors: Box<[Activity]>,
}

/// What the log thread keeps of the groups so far.
#[derive(Debug, Default)]
pub struct Groups {
    /// How much speaks for gathering.
    score: u32,
    courtesy: Courtesy,
}

/// What the log thread knows of a reactor.
#[derive(Debug, Default)]
struct Activity {
    /// Turns since the last rest that left something for the log.
    turns_due: AtomicU32,
    /// It has nothing to do.
    rests: AtomicBool,
    /// A reply left without waiting for the log since the last group.
    answered: AtomicBool,
    /// How many of its clients waited for the log at the end of its last turn.
    held: AtomicUsize,
}

impl Pace {
    /// Of so many reactors, all with something to do.
    pub fn new(reactors: usize) -> Self {
        Self {
            signal: Signal::default(),
            gathers: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            reactors: (0..reactors).map(|_| Activity::default()).collect(),
        }
    }

    /// A reactor has nothing to do and goes to sleep: now a group may begin.
    pub fn rests(&self, reactor: usize) {
        let Some(own) = self.reactors.get(reactor) else { return };
        own.rests.store(true, Ordering::SeqCst);
        let due = own.turns_due.swap(0, Ordering::Relaxed) > 0;
        if due || self.waits.load(Ordering::SeqCst) {
            self.signal.raise();
        }
    }

    /// It has something to do again, or will have as soon as it wakes up.
    pub fn works(&self, reactor: usize) {
        if let Some(own) = self.reactors.get(reactor) {
            own.rests.store(false, Ordering::SeqCst);
        }
    }

    /// It sent a reply that did not wait for the log.
    pub fn answered(&self, reactor: usize) {
        if let Some(own) = self.reactors.get(reactor) {
            own.answered.store(true, Ordering::Relaxed);
        }
    }

    /// It ended a turn that left something for the log. A group begins when it rests, or at the end of one of its next
    /// turns: nobody's reply waits for a reactor that always has something to do.
    pub fn turn_left_work(&self, reactor: usize) {
        let own = self.reactors.get(reactor);
        let turns = own.map(|own| own.turns_due.fetch_add(1, Ordering::Relaxed));
        let longest = if self.gathers() { TURNS_GATHERED } else { TURNS_AT_ONCE };
        if turns.is_none_or(|turns| turns >= longest) {
            self.signal.raise();
        }
    }

    /// So many clients of a reactor wait for the log.
    pub fn holds(&self, reactor: usize, clients: usize) {
        if let Some(own) = self.reactors.get(reactor) {
            own.held.store(clients, Ordering::Relaxed);
        }
    }

    /// Decides after a group how the log thread, which calls this, goes on. `all_wait`: the policy has every write wait
    /// for the sync.
    pub fn note_group(&self, groups: &mut Groups, all_wait: bool, now: Duration) {
        let (mut answered, mut held) = (false, 0);
        for reactor in &self.reactors {
            answered |= reactor.answered.swap(false, Ordering::Relaxed);
            held += reactor.held.load(Ordering::Relaxed);
        }
        let score = &mut groups.score;
        *score = match held {
            _ if answered || !all_wait => 0,
            ..MANY_HELD => score.saturating_sub(GROUPS_OF_FEW),
            MANY_HELD.. => (*score + 1).min(2 * GROUPS_TO_GATHER),
        };
        let gathers = *score >= GROUPS_TO_GATHER;
        self.gathers.store(gathers, Ordering::Relaxed);
        groups.courtesy.round(gathers, now);
    }

    /// For the log thread, when there is more to write already: waits for a rest if it gathers.
    pub fn gather(&self) {
        if !self.gathers() || self.is_at_rest() {
            return;
        }
        // A rest from before does not count, only one that comes now.
        self.signal.take();
        self.waits.store(true, Ordering::SeqCst);
        if !self.is_at_rest() {
            self.signal.wait(GATHER_MAX);
        }
        self.waits.store(false, Ordering::Relaxed);
    }

    fn is_at_rest(&self) -> bool {
        self.reactors.iter().all(|reactor| reactor.rests.load(Ordering::SeqCst))
    }

    fn gathers(&self) -> bool {
        self.gathers.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes groups of many clients until the log thread gathers.
    fn gathering(reactors: usize) -> (Pace, Groups) {
        let (pace, mut groups) = (Pace::new(reactors), Groups::default());
        pace.holds(0, MANY_HELD);
        for _ in 0..GROUPS_TO_GATHER {
            assert!(!pace.gathers());
            note(&pace, &mut groups);
        }
        assert!(pace.gathers());
        (pace, groups)
    }

    fn note(pace: &Pace, groups: &mut Groups) {
        // Without yielding, which would be this thread's.
        groups.courtesy = Courtesy::default();
        pace.note_group(groups, true, Duration::ZERO);
    }

    /// The turn, from 1, at whose end a reactor that never rests has a group begin.
    fn turns_until_raised(pace: &Pace) -> u32 {
        for turn in 1.. {
            pace.turn_left_work(0);
            if pace.signal.take() {
                return turn;
            }
        }
        0
    }

    #[test]
    fn a_group_begins_at_rest_or_after_some_turns() {
        let pace = Pace::new(1);
        pace.turn_left_work(0);
        assert!(!pace.signal.take(), "there may be more in the next turn");
        pace.rests(0);
        assert!(pace.signal.take());
        pace.rests(0);
        assert!(!pace.signal.take(), "nothing was left");
        assert_eq!(turns_until_raised(&pace), 2);
        assert_eq!(turns_until_raised(&gathering(1).0), 5);
    }

    #[test]
    fn one_answer_ends_the_gathering_and_so_does_a_policy_under_which_nobody_waits() {
        let (pace, mut groups) = gathering(2);
        pace.answered(1);
        note(&pace, &mut groups);
        assert!(!pace.gathers());
        let (pace, mut groups) = gathering(2);
        pace.note_group(&mut groups, false, Duration::ZERO);
        assert!(!pace.gathers());
    }

    #[test]
    fn few_clients_are_not_gathered() {
        let (pace, mut groups) = (Pace::new(2), Groups::default());
        pace.holds(0, MANY_HELD / 2 - 1);
        pace.holds(1, MANY_HELD / 2);
        for _ in 0..10 * GROUPS_TO_GATHER {
            note(&pace, &mut groups);
        }
        assert!(!pace.gathers());
        let (pace, mut groups) = gathering(1);
        for _ in 0..GROUPS_TO_GATHER {
            note(&pace, &mut groups);
        }
        pace.holds(0, 1);
        note(&pace, &mut groups);
        assert!(pace.gathers(), "a small group now and then");
        for _ in 0..GROUPS_TO_GATHER / GROUPS_OF_FEW {
            note(&pace, &mut groups);
        }
        assert!(!pace.gathers());
    }

    #[test]
    fn whoever_gathers_waits_for_a_rest_that_comes_and_not_for_one_that_was() {
        let (pace, _) = gathering(1);
        pace.turn_left_work(0);
        pace.rests(0);
        pace.works(0);
        pace.gather();
        assert!(!pace.signal.take(), "the rest before the group");
        let waits = || pace.waits.load(Ordering::SeqCst);
        std::thread::scope(|threads| {
            let again = threads.spawn(|| pace.gather());
            while !waits() && !again.is_finished() {
                std::thread::yield_now();
            }
            pace.rests(0);
        });
        assert!(pace.is_at_rest() && !waits());
        pace.signal.take();
        // All are at rest: nothing to wait for, and what is raised stays.
        pace.signal.raise();
        pace.gather();
        assert!(pace.signal.take());
    }
}
