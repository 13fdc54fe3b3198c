//! MurmurHash64A, the hash of HyperLogLog elements: it decides which register an element counts in,
//! so it is part of the stored format.

const MULTIPLIER: u64 = 0xC6A4_A793_5BD1_E995;
/// The seed that Redis uses.
const SEED: u64 = 0xADC8_3B19;

fn mix(word: u64) -> u64 {
    let word = word.wrapping_mul(MULTIPLIER);
    (word ^ word >> 47).wrapping_mul(MULTIPLIER)
}

/// The hash of an element.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        hash = (hash ^ mix(u64::from_le_bytes(*word))).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 47
}
