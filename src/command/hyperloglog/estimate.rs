//! The cardinality that registers stand for.
//!
//! Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284),
//! the improved raw estimator; the same sums in the same order as Redis, so the same numbers.

use super::registers::{RANK_BITS, REGISTERS, Values};

/// 1 / (2 ln 2)
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The estimated number of distinct elements.
pub(super) fn cardinality(values: &Values) -> u64 {
    let histogram = histogram(values);
    let count = |rank: u32| f64::from(histogram[rank as usize]);
    let registers = REGISTERS as f64;
    let mut z = registers * tau((registers - count(RANK_BITS + 1)) / registers);
    for rank in (1..=RANK_BITS).rev() {
        z += count(rank);
        z *= 0.5;
    }
    z += registers * sigma(count(0) / registers);
    (ALPHA * registers * registers / z).round() as u64
}

/// How often each value occurs. Two neighbours are counted at once, in a table of all pairs: half as many
/// counts, and two in a row are seldom the same, of which one would wait for the other.
fn histogram(values: &Values) -> [u32; 64] {
    let mut pairs = [0u16; 1 << 12];
    for &[a, b] in values.as_chunks::<2>().0 {
        pairs[usize::from(a & 63) | usize::from(b & 63) << 6] += 1;
    }
    let mut histogram = [0; 64];
    for (b, row) in pairs.as_chunks::<64>().0.iter().enumerate() {
        let mut sum = 0;
        for (count, pairs) in histogram.iter_mut().zip(row) {
            *count += u32::from(*pairs);
            sum += u32::from(*pairs);
        }
        histogram[b] += sum;
    }
    histogram
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
