//! How long the calls of one command took: a histogram with a relative error below one percent.
//!
//! 128 buckets per power of two of nanoseconds, exact below 256 ns, one second and more in the last. A
//! call costs a shift and an increment. The buckets come to be with a command's first call.

/// Calls of a second or more are counted as one of a second.
const NANOSECONDS_MAX: u64 = 1_000_000_000;
const PER_OCTAVE: usize = 128;
const BUCKETS: usize = 24 * PER_OCTAVE;
/// The first level of the coarse form.
const FIRST_LEVEL: u64 = 1024;

/// Durations by length.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Box<[u32]>,
    total: u64,
}

impl Histogram {
    /// Counts a call.
    #[inline]
    pub fn add(&mut self, nanoseconds: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS].into_boxed_slice();
        }
        if let Some(count) = self.counts.get_mut(bucket_of(nanoseconds)) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// How many calls were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The time within which `percent` of the calls ended, in nanoseconds.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (percent.clamp(0.0, 100.0) / 100.0 * self.total as f64 + 0.5) as u64;
        let mut calls = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            calls += u64::from(*count);
            if calls >= wanted.max(1) {
                return highest(bucket);
            }
        }
        0
    }

    /// How many calls ended within each doubling of a microsecond, in sum; levels that add no call are
    /// left out. (Microseconds, calls.)
    pub fn levels(&self) -> Vec<(u64, u64)> {
        let mut levels = Vec::new();
        let (mut calls, mut told) = (0, 0);
        let mut level = FIRST_LEVEL;
        let mut bucket = 0;
        while told < self.total && level <= 2 * NANOSECONDS_MAX {
            let last = bucket_of(level);
            while bucket <= last {
                calls += self.counts.get(bucket).map_or(0, |count| u64::from(*count));
                bucket += 1;
            }
            if calls > told {
                levels.push((highest_of(level) / 1000, calls));
                told = calls;
            }
            level *= 2;
        }
        levels
    }
}

#[inline]
fn bucket_of(nanoseconds: u64) -> usize {
    let value = nanoseconds.min(NANOSECONDS_MAX);
    let shift = (value | 0xFF).ilog2() - 7;
    shift as usize * PER_OCTAVE + (value >> shift) as usize
}

/// The largest value that falls into a bucket.
fn highest(bucket: usize) -> u64 {
    let shift = (bucket / PER_OCTAVE).saturating_sub(1);
    ((bucket - shift * PER_OCTAVE + 1) as u64) * (1 << shift) - 1
}

/// The largest value in the bucket of another, which may be beyond the last.
fn highest_of(value: u64) -> u64 {
    let shift = (value | 0xFF).ilog2() - 7;
    (((value >> shift) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_is_less_than_one_percent_wide() {
        for value in (0..70).flat_map(|n| [(1u64 << (n / 2)) + n, 3 * n, 1000 * n * n]) {
            let bucket = bucket_of(value);
            let highest = highest(bucket);
            let value = value.min(NANOSECONDS_MAX);
            assert!(highest >= value && (highest - value) * 100 <= value.max(1), "{value}");
            assert!(bucket < BUCKETS);
            assert_eq!(bucket_of(highest), bucket_of(highest.min(NANOSECONDS_MAX)));
        }
        assert_eq!(highest(bucket_of(1000)), 1003);
        assert_eq!(highest(bucket_of(19_000)), 19_071);
        assert_eq!(highest(bucket_of(638_000)), 638_975);
    }

    #[test]
    fn percentiles_and_levels_tell_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50.0), histogram.levels()), (0, Vec::new()));
        for _ in 0..98 {
            histogram.add(3_000);
        }
        histogram.add(5_100_000);
        histogram.add(7_000_000_000);
        assert_eq!(histogram.percentile(50.0), 3_007);
        assert_eq!(histogram.percentile(99.0), highest(bucket_of(5_100_000)));
        assert_eq!(histogram.percentile(100.0), highest(bucket_of(NANOSECONDS_MAX)));
        assert_eq!(histogram.levels(), [(4, 98), (8454, 99), (1_082_130, 100)]);
        assert_eq!(histogram.total(), 100);
    }
}
