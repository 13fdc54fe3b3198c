//! Where a file is cut into parts: by its content, so that what did not change is not sent again.
//!
//! A rolling hash over some fifty bytes decides. An insertion moves the cuts around it and no others, and a
//! file that grows keeps all parts but the last. Readers do not need to know how parts were cut.
//! (Gear hash: Xia et al., "FastCDC", 2016.)

use std::ops::Range;

use crate::rng::{Rng as _, SeededRng};

/// No cut before so many bytes of a part (but at the end of the file).
pub const PART_MIN: usize = 256 << 10;
/// A cut at the latest after so many.
pub const PART_MAX: usize = 4 << 20;
/// A cut where these bits of the hash are zero: every 2^20 bytes on average. The high bits depend on
/// the most bytes.
const MASK: u64 = ((1 << 20) - 1) << 44;

/// Splits a file; the ranges are in order and cover it.
pub fn split(bytes: &[u8]) -> Vec<Range<usize>> {
    let gear = gear();
    let mut parts = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        let end = start + first_cut(rest, &gear);
        parts.push(start..end);
        start = end;
    }
    parts
}

/// Length of the first part of `bytes`.
fn first_cut(bytes: &[u8], gear: &[u64; 256]) -> usize {
    let most = bytes.len().min(PART_MAX);
    let mut hash = 0u64;
    // The hash forgets what is more than 64 bytes back.
    let warm_up = PART_MIN.saturating_sub(64).min(most);
    for (at, byte) in bytes.iter().enumerate().take(most).skip(warm_up) {
        hash = (hash << 1).wrapping_add(gear.get(usize::from(*byte)).copied().unwrap_or(0));
        if at >= PART_MIN && hash & MASK == 0 {
            return at + 1;
        }
    }
    most
}

fn gear() -> [u64; 256] {
    let mut rng = SeededRng::new(0x4641_5354_4E45_5353);
    std::array::from_fn(|_| rng.next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(len: usize, seed: u64) -> Vec<u8> {
        let mut rng = SeededRng::new(seed);
        (0..len / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
    }

    #[test]
    fn parts_cover_the_file_and_keep_to_the_sizes() {
        for bytes in [random(20 << 20, 1), vec![0; 9 << 20], vec![7; 100], Vec::new()] {
            let parts = split(&bytes);
            let mut at = 0;
            for (index, part) in parts.iter().enumerate() {
                assert_eq!(part.start, at);
                assert!(part.len() <= PART_MAX);
                assert!(part.len() >= PART_MIN || index + 1 == parts.len());
                at = part.end;
            }
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn an_insertion_and_an_end_that_grows_change_few_parts() {
        let old = random(32 << 20, 2);
        let parts = |bytes: &[u8]| -> Vec<Vec<u8>> {
            split(bytes).into_iter().map(|part| bytes[part].to_vec()).collect()
        };
        let known = parts(&old);
        let mut inserted = old.clone();
        inserted.splice(9_000_000..9_000_000, *b"some bytes that were not there");
        let grown = [old, random(3 << 20, 3)].concat();
        for changed in [inserted, grown] {
            let fresh: usize =
                parts(&changed).iter().filter(|part| !known.contains(part)).map(Vec::len).sum();
            assert!(fresh <= 2 * PART_MAX + (3 << 20), "{fresh} bytes are new");
        }
    }
}
