//! How many keys a log will leave, guessed from its beginning, so that the tables are laid out for them at once.
//!
//! Tables grow by splitting, and each entry is put elsewhere three or four times on the way to its place: a sixth of what
//! replaying a log of new keys takes. A snapshot says how many keys it has; a log does not. So after its first sixteenth the
//! keys that the second half of that added are taken to be what the rest adds at the same pace. A log that changes the
//! same keys over and over adds fewer and fewer, and nothing is laid out for it; where the guess was too high by far, the
//! table is laid out again at the end for what is there.

use crate::keyspace::Keyspace;

/// The guess is made after this part of the log.
const LOOKS_AT: u64 = 16;
/// Logs of fewer bytes are not worth it.
const BYTES_MIN: u64 = 4 << 20;
/// So many times the keys that are there must be expected, or that were expected be there at the end.
const WORTH: usize = 3;

/// What a replay has seen of its log.
#[derive(Debug)]
pub(super) struct Forecast {
    total: u64,
    seen: u64,
    /// Keys of each database after half of what is looked at.
    early: Option<Vec<usize>>,
    /// For how many keys each database was laid out; 0 where it was not.
    expected: Option<Vec<usize>>,
}

impl Forecast {
    /// Of a log of so many bytes.
    pub(super) fn new(total: u64) -> Self {
        Self { total, seen: 0, early: None, expected: None }
    }

    /// So many more bytes were replayed.
    pub(super) fn saw(&mut self, bytes: u64, ks: &mut Keyspace) {
        self.seen += bytes;
        if self.total < BYTES_MIN || self.expected.is_some() {
            return;
        }
        if self.early.is_none() && self.seen >= self.total / LOOKS_AT / 2 {
            self.early = Some(lens(ks));
        } else if self.seen >= self.total / LOOKS_AT {
            self.expected = self.early.as_ref().map(|early| self.lay_out(early, ks));
        }
    }

    fn lay_out(&self, early: &[usize], ks: &mut Keyspace) -> Vec<usize> {
        let halves_left = self.total.saturating_sub(self.seen) / (self.total / LOOKS_AT / 2).max(1);
        let halves_left = usize::try_from(halves_left).unwrap_or(0);
        let mut laid_out = vec![0; early.len()];
        for (db, (early, laid_out)) in early.iter().zip(&mut laid_out).enumerate() {
            let now = ks.len(db);
            let added = now.saturating_sub(*early);
            let expected = now.saturating_add(added.saturating_mul(halves_left));
            if expected / WORTH > now {
                ks.lay_out(db, expected);
                *laid_out = expected;
            }
        }
        laid_out
    }

    /// The log has ended: what was laid out for far more than there is gives the memory back.
    pub(super) fn ended(&self, ks: &mut Keyspace) {
        let expected = self.expected.iter().flatten();
        for (db, (&expected, now)) in expected.zip(lens(ks)).enumerate() {
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
    fn new_keys_at_one_pace_are_laid_out_for_once() {
        let [end, most, grown] = segments(|part| part * 400);
        assert_eq!(end, most);
        assert!(end > grown / 2 && end < grown * 2, "{end} {grown}");
        let early = segments(|part| part.min(17) * 400);
        assert!(early[1] > grown / 2, "laid out after a sixteenth: {early:?}");
        assert!(early[0] < early[2] * 3, "and given back at the end: {early:?}");
    }

    #[test]
    fn keys_that_are_changed_over_and_over_are_not() {
        let [end, most, grown] = segments(|part| (part * 4000).min(20_000));
        assert!(end == grown && most == grown, "{end} {most} {grown}");
    }
}
