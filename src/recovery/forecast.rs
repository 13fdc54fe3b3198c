//! How many keys a log will leave, guessed from its beginning, so that the tables are laid out for them at once.
//!
//! Tables grow by splitting, and each entry is put elsewhere three or four times on the way to its place: a sixth of what
//! replaying a log of new keys takes. A snapshot says how many keys it has; a log does not. So after its first sixteenth, and
//! after its first quarter, the keys that the second half of that added are taken to be what the rest adds at the same pace.
//! A log that changes the same keys over and over adds fewer and fewer, and nothing is laid out for it. One that begins with
//! many keys and goes on with changes of them is not believed at once: tables are laid out for four times the keys that are
//! there, at most, and where that was too much by far, again at the end.

use crate::keyspace::Keyspace;

/// The guesses are made after these parts of the log.
const LOOKS_AT: [u64; 2] = [16, 4];
/// Logs of fewer bytes are not worth it.
const BYTES_MIN: u64 = 4 << 20;
/// So many times the keys that are there are laid out for, at most.
const STEP_MAX: usize = 4;
/// So many must be expected at least, or have been expected of those that are there at the end.
const WORTH: usize = 2;

/// What a replay has seen of its log.
#[derive(Debug)]
pub(super) struct Forecast {
    total: u64,
    seen: u64,
    /// How many guesses were made.
    looks: usize,
    /// Keys of each database after half of what is looked at next.
    early: Option<Vec<usize>>,
    /// For how many keys each database was laid out; 0 where it was not.
    expected: Vec<usize>,
}

impl Forecast {
    /// Of a log of so many bytes.
    pub(super) fn new(total: u64) -> Self {
        Self { total, seen: 0, looks: 0, early: None, expected: Vec::new() }
    }

    /// So many more bytes were replayed.
    pub(super) fn saw(&mut self, bytes: u64, ks: &mut Keyspace) {
        self.seen += bytes;
        let Some(part) = LOOKS_AT.get(self.looks).filter(|_| self.total >= BYTES_MIN) else {
            return;
        };
        let place = self.total / part;
        if self.early.is_none() && self.seen >= place / 2 {
            self.early = Some(lens(ks));
        } else if self.seen >= place
            && let Some(early) = self.early.take()
        {
            self.looks += 1;
            self.lay_out(&early, place / 2, ks);
        }
    }

    /// Lays tables out for what is to come, when `early` keys were there `bytes` bytes ago.
    fn lay_out(&mut self, early: &[usize], bytes: u64, ks: &mut Keyspace) {
        let times = self.total.saturating_sub(self.seen) / bytes.max(1);
        let times = usize::try_from(times).unwrap_or(0);
        self.expected.resize(early.len(), 0);
        for (db, (early, expected)) in early.iter().zip(&mut self.expected).enumerate() {
            let now = ks.len(db);
            let added = now.saturating_sub(*early);
            let more = now.saturating_add(added.saturating_mul(times));
            let more = more.min(now.saturating_mul(STEP_MAX));
            if more / WORTH >= now && more > *expected {
                ks.lay_out(db, more);
                *expected = more;
            }
        }
    }

    /// The log has ended: what was laid out for far more than there is gives the memory back.
    pub(super) fn ended(&self, ks: &mut Keyspace) {
        for (db, &expected) in self.expected.iter().enumerate() {
            let now = ks.len(db);
            if expected / WORTH > now {
                ks.lay_out(db, now);
            }
        }
    }
}

fn lens(ks: &Keyspace) -> Vec<usize> {
    (0..ks.databases()).map(|db| ks.len(db)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Entry;

    const PARTS: usize = 256;

    /// Segments of a database's table at the end and at most on the way, when `keys(part)` keys are there after each part
    /// of a log, and those of a table that grew on its own.
    fn segments(keys: impl Fn(usize) -> usize) -> [usize; 3] {
        let (mut ks, mut grown) = (Keyspace::new(2), Keyspace::new(2));
        let mut forecast = Forecast::new((PARTS as u64) << 16);
        let (mut most, mut before) = (0, 0);
        for part in 1..=PARTS {
            for key in before..keys(part) {
                for ks in [&mut ks, &mut grown] {
                    ks.load(1, Entry::new_int(key.to_string().as_bytes(), 1, None), None);
                }
            }
            before = keys(part);
            forecast.saw(1 << 16, &mut ks);
            most = most.max(ks.table_figures(1).0);
        }
        forecast.ended(&mut ks);
        assert_eq!(ks.len(1), before);
        assert!((0..before).all(|key| ks.held(1, key.to_string().as_bytes()).is_some()));
        assert_eq!(ks.table_figures(0).0, 1);
        [ks.table_figures(1).0, most, grown.table_figures(1).0]
    }

    #[test]
    fn new_keys_at_one_pace_are_laid_out_for() {
        let [end, most, grown] = segments(|part| part * 400);
        assert_eq!(end, most);
        assert!(end > grown / 2 && end < grown * 2, "{end} {grown}");
    }

    #[test]
    fn keys_that_are_loaded_first_and_changed_then_are_not_believed_at_once() {
        // A tenth of the log loads, the rest changes what was loaded.
        let [end, most, grown] = segments(|part| (part * 1000).min(26_000));
        assert!(most < grown * 5, "{most} {grown}");
        assert!(end < grown * 3, "{end} {grown}");
        let [end, most, grown] = segments(|part| part.min(17) * 1000);
        assert!(most > grown * 2, "it was laid out: {most} {grown}");
        assert!(end < grown * 3 && end < most, "and given back: {end} {most} {grown}");
    }

    #[test]
    fn keys_that_are_changed_over_and_over_are_not_laid_out_for() {
        let [end, most, grown] = segments(|part| (part * 4000).min(20_000));
        assert!(end == grown && most == grown, "{end} {most} {grown}");
    }
}
