//! Random numbers, behind a trait so that a simulated run is repeatable.
//!
//! The streams are not for secrets: ACL GENPASS takes its bytes from the operating system ([`secret_hex`]).

use std::hash::{BuildHasher, RandomState};

/// A stream of random numbers.
pub trait Rng: Send {
    /// The next 64 uniformly distributed bits.
    fn next_u64(&mut self) -> u64;

    /// A number in `0..bound`; zero for a bound of zero.
    fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-32 for the bounds that occur here.
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// An index into something of `len` items; zero for an empty one.
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

/// `len` hexadecimal characters from the operating system, for run ids and the like.
pub fn random_hex(len: usize) -> String {
    let mut rng = SeededRng::from_os();
    (0..len)
        .map(|_| char::from_digit(u32::try_from(rng.below(16)).unwrap_or(0), 16).unwrap_or('0'))
        .collect()
}

/// `len` hexadecimal digits that nobody can guess, for passwords; `None` when the system has none to give.
pub fn secret_hex(len: usize) -> Option<String> {
    let mut bytes = vec![0u8; len.div_ceil(2)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(len);
    Some(text)
}

/// SplitMix64 (Steele, Lea, Flood 2014): one u64 of state, passes BigCrush, repeatable from its seed.
#[derive(Clone, Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream seeded by the operating system, by way of the standard library's hash keys.
    pub fn from_os() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }
}

impl Rng for SeededRng {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
