//! The one hash of a key, field or member.
//!
//! Every table takes it precomputed, so that a request hashes each key once. It is keyed with bits
//! from the operating system: somebody who chooses the keys cannot choose where they collide. The
//! value is private to the process: nothing on disk or on the wire depends on it, except that a SCAN
//! cursor is a position in its order (a few of its top bits), which a restart makes meaningless.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

static KEYS: OnceLock<ahash::RandomState> = OnceLock::new();

/// The hash of `key`; the same for equal bytes as long as the process lives.
#[inline]
pub fn hash64(key: &[u8]) -> u64 {
    let mut hasher = KEYS.get_or_init(keys_from_os).build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Fixes the keys, so that a simulated run is repeatable. Only the first use of the hash in the
/// process decides: false if the keys were chosen before, and then nothing has changed.
pub fn seed(seed: u64) -> bool {
    KEYS.set(ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x5EED)).is_ok()
}

fn keys_from_os() -> ahash::RandomState {
    // The standard library takes its keys from the operating system; each draw mixes a fresh pair.
    let draw = || RandomState::new().hash_one(0u8);
    ahash::RandomState::with_seeds(draw(), draw(), draw(), draw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_hash_equally_and_lengths_matter() {
        assert_eq!(hash64(b"key"), hash64(b"key"));
        assert_ne!(hash64(b""), hash64(b"\0"));
        assert_ne!(hash64(b"\0"), hash64(b"\0\0"));
        assert!(!seed(1), "the keys were fixed by the first use");
    }

    #[test]
    fn both_ends_of_the_hash_are_spread() {
        // Directory and bucket take opposite ends; a weak end would pile everything up.
        let (mut top, mut low) = ([0u32; 256], [0u32; 256]);
        for i in 0..25_600u32 {
            let hash = hash64(format!("user:{i}").as_bytes());
            top[(hash >> 56) as usize] += 1;
            low[(hash & 255) as usize] += 1;
        }
        for counts in [top, low] {
            assert!(counts.iter().all(|&count| (40..200).contains(&count)), "{counts:?}");
        }
    }
}
