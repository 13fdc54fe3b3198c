//! When and how often keys are used: what the four bytes of use in an entry mean.
//!
//! Under an LRU policy (and any other but LFU) they are the time of the last use, in ticks of 16 ms
//! modulo 2^32; half the range, more than a year, is what can be told apart. Redis counts seconds: keys
//! used within the same second are all the same to it, and here they are not.
//!
//!     LFU: | second of the last use, 24 bits | counter, 8 bits |
//!
//! The counter is Morris': it grows by chance, the more rarely the larger it is, so that 255 stands
//! for about a million uses; and it loses one for every `lfu-decay-time` minutes without use. A policy
//! that changes while the server runs leaves stamps behind that mean something else; they are
//! replaced as keys are used.

use super::Entry;
use crate::clock::UnixMillis;
use crate::rng::{Rng as _, SeededRng};

/// Counter of a key that was just made: new keys have a chance to be used again.
pub const FREQUENCY_AT_FIRST: u8 = 5;
/// Milliseconds of a tick, as a power of two.
const TICK_SHIFT: u32 = 4;
/// Stamps that far apart are told apart; what is further ahead is taken for the future.
const TICKS_MAX: u32 = u32::MAX / 2;
const SECONDS_MASK: u32 = 0xFF_FFFF;

/// The clock that stamps entries when they are used.
#[derive(Clone, Debug)]
pub struct UseClock {
    now: UnixMillis,
    /// Stamps count uses (LFU) instead of dating them.
    counts: bool,
    log_factor: u32,
    /// Minutes without use that cost one count; 0: none do.
    decay_minutes: u32,
    chance: SeededRng,
    /// The hash of the key that was counted last: one command counts a key once.
    counted: u64,
}

impl Default for UseClock {
    fn default() -> Self {
        let chance = SeededRng::new(0);
        Self { now: 0, counts: false, log_factor: 10, decay_minutes: 1, chance, counted: 0 }
    }
}

impl UseClock {
    /// Sets the time, at the start of each command.
    #[inline]
    pub fn set_time(&mut self, now: UnixMillis) {
        self.now = now;
        self.counted = 0;
    }

    /// Chooses what stamps are: counted uses (LFU) with their factors, or times.
    pub fn set_policy(&mut self, counts: bool, log_factor: u32, decay_minutes: u32) {
        (self.counts, self.log_factor, self.decay_minutes) = (counts, log_factor, decay_minutes);
    }

    /// Whether stamps count uses.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// Redis' clock: seconds in 24 bits (`lru_clock`).
    pub fn redis_seconds(&self) -> u32 {
        ((self.now / 1000) & i64::from(SECONDS_MASK)) as u32
    }

    /// Notes a use of the key with this hash.
    #[inline]
    pub fn stamp(&mut self, hash: u64, entry: &Entry) {
        if self.counts {
            self.count(hash, entry);
        } else {
            entry.touch(self.ticks());
        }
    }

    #[cold]
    fn count(&mut self, hash: u64, entry: &Entry) {
        if self.counted == hash {
            return;
        }
        self.counted = hash;
        let counter = self.frequency(entry.used_at());
        let above = u64::from(counter.saturating_sub(FREQUENCY_AT_FIRST));
        let one_in = above.saturating_mul(u64::from(self.log_factor)).saturating_add(1);
        let grows = counter < u8::MAX && self.chance.below(one_in) == 0;
        entry.touch(self.with_frequency(counter + u8::from(grows)));
    }

    /// The stamp of a key that was just made.
    #[inline]
    pub fn fresh(&self) -> u32 {
        if self.counts { self.with_frequency(FREQUENCY_AT_FIRST) } else { self.ticks() }
    }

    /// The stamp of a key whose last use was `idle_seconds` ago or that has this frequency, of which
    /// the policy decides; `None` when what it needs is not known.
    pub fn restored(&self, idle_seconds: Option<u64>, frequency: Option<u8>) -> Option<u32> {
        if self.counts {
            return frequency.map(|frequency| self.with_frequency(frequency));
        }
        let ticks = (idle_seconds?.saturating_mul(1000) >> TICK_SHIFT).min(u64::from(TICKS_MAX));
        Some(self.ticks().wrapping_sub(u32::try_from(ticks).unwrap_or(TICKS_MAX)))
    }

    /// Milliseconds since the last use, when stamps are times.
    pub fn idle_ms(&self, stamp: u32) -> u64 {
        u64::from(self.idle_ticks(stamp)) << TICK_SHIFT
    }

    /// The counter as it is after all the time that has passed, when stamps count.
    pub fn frequency(&self, stamp: u32) -> u8 {
        let counter = (stamp & 0xFF) as u8;
        if self.decay_minutes == 0 {
            return counter;
        }
        // Whole minutes of the clock that began since the last use.
        let used = stamp >> 8;
        let minutes = (used % 60 + self.idle_seconds(stamp)) / 60;
        let lost = minutes / self.decay_minutes;
        counter.saturating_sub(u8::try_from(lost).unwrap_or(u8::MAX))
    }

    /// How well a key could be spared: more is better.
    pub fn rank(&self, stamp: u32) -> u64 {
        if self.counts {
            let rarely = u64::from(u8::MAX - self.frequency(stamp));
            rarely << 32 | u64::from(self.idle_seconds(stamp))
        } else {
            u64::from(self.idle_ticks(stamp))
        }
    }

    #[inline]
    fn ticks(&self) -> u32 {
        (self.now >> TICK_SHIFT) as u32
    }

    fn idle_ticks(&self, stamp: u32) -> u32 {
        let ticks = self.ticks().wrapping_sub(stamp);
        // The clock was set back: used just now.
        if ticks > TICKS_MAX { 0 } else { ticks }
    }

    fn idle_seconds(&self, stamp: u32) -> u32 {
        self.redis_seconds().wrapping_sub(stamp >> 8) & SECONDS_MASK
    }

    fn with_frequency(&self, frequency: u8) -> u32 {
        self.redis_seconds() << 8 | u32::from(frequency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = 1_700_000_000_000;

    fn counting(log_factor: u32, decay_minutes: u32) -> UseClock {
        let mut clock = UseClock::default();
        clock.set_policy(true, log_factor, decay_minutes);
        clock.set_time(NOW);
        clock
    }

    #[test]
    fn idle_time_is_told_in_ticks_and_a_clock_set_back_makes_nothing_old() {
        let mut clock = UseClock::default();
        clock.set_time(NOW);
        let entry = Entry::new_string(b"k", b"v", None);
        clock.stamp(1, &entry);
        clock.set_time(NOW + 48);
        assert_eq!(clock.idle_ms(entry.used_at()), 48);
        clock.set_time(NOW + 200 * 86_400_000);
        assert_eq!(clock.idle_ms(entry.used_at()), 200 * 86_400_000);
        clock.set_time(NOW - 5_000);
        assert_eq!(clock.idle_ms(entry.used_at()), 0);
        let stamp = clock.restored(Some(1000), None).unwrap();
        assert_eq!(clock.idle_ms(stamp) / 1000, 1000);
        let stamp = clock.restored(Some(u64::MAX), None).unwrap();
        assert_eq!(clock.idle_ms(stamp), u64::from(TICKS_MAX) << TICK_SHIFT);
    }

    #[test]
    fn counters_grow_by_chance_once_a_command_and_saturate() {
        let mut clock = counting(0, 0);
        let entry = Entry::new_string(b"k", b"v", None);
        entry.touch(clock.fresh());
        clock.stamp(9, &entry);
        clock.stamp(9, &entry);
        assert_eq!(clock.frequency(entry.used_at()), FREQUENCY_AT_FIRST + 1);
        for _ in 0..400 {
            clock.set_time(NOW);
            clock.stamp(9, &entry);
        }
        assert_eq!(clock.frequency(entry.used_at()), 255);
        // Redis' table for factor 10: 18 after a thousand uses, 142 after a hundred thousand.
        let mut clock = counting(10, 0);
        for (uses, expected) in [(1_000, 15..22), (100_000, 128..168)] {
            entry.touch(clock.fresh());
            for _ in 0..uses {
                clock.set_time(NOW);
                clock.stamp(9, &entry);
            }
            let counter = clock.frequency(entry.used_at());
            assert!(expected.contains(&counter), "{counter} after {uses} uses");
        }
    }

    #[test]
    fn counters_decay_with_the_minutes_of_the_clock() {
        let mut clock = counting(10, 1);
        let stamp = clock.restored(None, Some(100)).unwrap();
        assert_eq!(clock.restored(Some(3), None), None);
        let to_next_minute = 60_000 - NOW % 60_000;
        // The 24 bits of seconds do not begin a minute where the clock does, but each lasts 60 s.
        clock.set_time(NOW + to_next_minute + 10 * 60_000);
        assert!((89..=90).contains(&clock.frequency(stamp)), "{}", clock.frequency(stamp));
        clock.set_policy(true, 10, 10);
        assert!((98..=99).contains(&clock.frequency(stamp)));
        clock.set_time(NOW + 86_400_000);
        clock.set_policy(true, 10, 1);
        assert_eq!(clock.frequency(stamp), 0);
        clock.set_policy(true, 10, 0);
        assert_eq!(clock.frequency(stamp), 100);
    }
}
