//! The cardinality that registers stand for.
//!
//! Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284),
//! the improved raw estimator; the same sums in the same order as Redis, so the same numbers.

use super::registers::{RANK_BITS, REGISTERS, Values};

/// 1 / (2 ln 2)
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The estimated number of distinct elements.
pub(super) fn cardinality(values: &Values) -> u64 {
    // Neighbours are often equal: four tables, so that no count waits for the one before it.
    let mut histograms = [[0u32; 64]; 4];
    for four in values.chunks_exact(4) {
        for (histogram, value) in histograms.iter_mut().zip(four) {
            histogram[usize::from(value & 63)] += 1;
        }
    }
    let count =
        |rank: u32| f64::from(histograms.iter().map(|table| table[rank as usize]).sum::<u32>());
    let registers = REGISTERS as f64;
    let mut z = registers * tau((registers - count(RANK_BITS + 1)) / registers);
    for rank in (1..=RANK_BITS).rev() {
        z += count(rank);
        z *= 0.5;
    }
    z += registers * sigma(count(0) / registers);
    (ALPHA * registers * registers / z).round() as u64
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
