//! Which keys are asked for: all alike, or some far more often than others.

use crate::rng::{Rng as _, SeededRng};

/// How numbers are drawn from the key space.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    count: u64,
    zipf: Option<Zipf>,
}

/// Gray's way to draw ranks whose frequency falls with a power of the rank, as YCSB does: constants that take one
/// pass over the key space, then a few multiplications for each number.
#[derive(Clone, Debug)]
struct Zipf {
    alpha: f64,
    zeta: f64,
    eta: f64,
    second: f64,
}

impl Keys {
    /// `uniform`, or `zipf` with an exponent below 1: `zipf:0.99`.
    pub(super) fn parse(text: &str, count: u64) -> Result<Self, String> {
        let count = count.max(1);
        if text == "uniform" {
            return Ok(Self { count, zipf: None });
        }
        let exponent = match text.split_once(':') {
            None if text == "zipf" => Some(0.99),
            Some(("zipf", exponent)) => exponent.parse().ok(),
            _ => None,
        };
        match exponent.filter(|theta| *theta > 0.0 && *theta < 1.0) {
            Some(theta) => Ok(Self { count, zipf: Some(Zipf::new(count, theta)) }),
            None => Err(format!("{text:?}: write uniform, or zipf:0.99 (between 0 and 1)")),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn draw(&self, rng: &mut SeededRng) -> u64 {
        match &self.zipf {
            None => rng.below(self.count),
            Some(zipf) => zipf.draw(self.count, rng).min(self.count - 1),
        }
    }
}

impl Zipf {
    fn new(count: u64, theta: f64) -> Self {
        let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-theta)).sum::<f64>();
        let all = zeta(count);
        let spread = 1.0 - (2.0 / count as f64).powf(1.0 - theta);
        Self {
            alpha: 1.0 / (1.0 - theta),
            zeta: all,
            eta: spread / (1.0 - zeta(count.min(2)) / all),
            second: 1.0 + 0.5f64.powf(theta),
        }
    }

    fn draw(&self, count: u64, rng: &mut SeededRng) -> u64 {
        let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let scaled = uniform * self.zeta;
        if scaled < 1.0 || count < 3 {
            return u64::from(scaled >= 1.0);
        }
        if scaled < self.second {
            return 1;
        }
        let rank = count as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        // `as` saturates, and `draw` of the caller bounds it.
        rank as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str, count: u64) -> Vec<u64> {
        let keys = Keys::parse(text, count).unwrap();
        let mut rng = SeededRng::new(7);
        let mut counts = vec![0; count as usize];
        for _ in 0..100_000 {
            counts[keys.draw(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_is_even_and_zipf_follows_its_power() {
        assert!(counts("uniform", 10).iter().all(|count| (9_500..10_500).contains(count)));
        let drawn = counts("zipf:0.9", 1000);
        // The first rank has 1 / sum of rank^-0.9 of all: 0.0951 of a thousand ranks.
        assert!((9_200..9_800).contains(&drawn[0]), "{}", drawn[0]);
        let ratio = drawn[0] as f64 / drawn[9] as f64;
        assert!((6.5..9.5).contains(&ratio), "10^0.9 is 7.9, not {ratio}");
    }

    #[test]
    fn small_key_spaces_and_bad_words() {
        for count in [0, 1, 2] {
            for text in ["uniform", "zipf"] {
                let keys = Keys::parse(text, count).unwrap();
                assert!(keys.draw(&mut SeededRng::new(3)) < count.max(1));
            }
        }
        for bad in ["zipf:1", "zipf:x", "normal", "zipf:0"] {
            assert!(Keys::parse(bad, 10).is_err(), "{bad}");
        }
    }
}
