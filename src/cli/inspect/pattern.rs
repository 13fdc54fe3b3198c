//! Keys that are alike, with what differs written as `*`: `user:7:name` and `user:8:name` are `user:*:name`.
//!
//! What differs are numbers, and parts between delimiters that look like ids: at least eight hexadecimal digits and
//! dashes, with a digit among them. In bounded room: when there are too many patterns the smaller half is forgotten, and
//! what it held counts for no pattern.

use std::collections::BTreeMap;

use super::statistics::Count;

/// Patterns that are known at a time.
const PATTERNS_MAX: usize = 50_000;
/// The shortest part that is taken for an id though it has letters.
const ID_BYTES_MIN: usize = 8;

/// All patterns.
#[derive(Debug)]
pub(super) struct Patterns {
    pub(super) counts: BTreeMap<Vec<u8>, Count>,
    delimiter: Vec<u8>,
    most: usize,
}

impl Patterns {
    pub(super) fn new(delimiter: &[u8]) -> Self {
        Self { counts: BTreeMap::new(), delimiter: delimiter.to_vec(), most: PATTERNS_MAX }
    }

    /// Counts a key.
    pub(super) fn add(&mut self, key: &[u8], memory: u64) {
        let pattern = pattern(key, &self.delimiter);
        self.counts.entry(pattern).or_default().add(memory);
        if self.counts.len() > self.most {
            let mut sizes: Vec<u64> = self.counts.values().map(|count| count.memory).collect();
            let middle = sizes.len() / 2;
            let (_, cut, _) = sizes.select_nth_unstable(middle);
            let cut = *cut;
            self.counts.retain(|_, count| count.memory > cut);
        }
    }

    /// The patterns that hold the most, the largest first.
    pub(super) fn largest(&self, most: usize) -> Vec<(&[u8], Count)> {
        let mut found: Vec<(&[u8], Count)> =
            self.counts.iter().map(|(pattern, count)| (pattern.as_slice(), *count)).collect();
        found.sort_by_key(|(_, count)| std::cmp::Reverse(count.memory));
        found.truncate(most);
        found
    }
}

fn pattern(key: &[u8], delimiter: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key;
    loop {
        let found = memchr::memmem::find(rest, delimiter);
        let (part, behind) = rest.split_at(found.unwrap_or(rest.len()));
        put_part(&mut out, part);
        if found.is_none() {
            return out;
        }
        out.extend_from_slice(delimiter);
        rest = behind.get(delimiter.len()..).unwrap_or_default();
    }
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    let is_id = part.len() >= ID_BYTES_MIN
        && part.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
        && part.iter().any(u8::is_ascii_digit);
    if is_id {
        return out.push(b'*');
    }
    let mut in_number = false;
    for byte in part {
        let digit = byte.is_ascii_digit();
        if !digit {
            out.push(*byte);
        } else if !in_number {
            out.push(b'*');
        }
        in_number = digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_becomes_a_star() {
        for (key, expected) in [
            ("user:17:name", "user:*:name"),
            ("item-17-b2", "item-*-b*"),
            ("session:9f86d081884c7d65", "session:*"),
            ("lock:550e8400-e29b-41d4-a716-446655440000:owner", "lock:*:owner"),
            ("visits:2026-11-28", "visits:*"),
            ("deadbeef:face", "deadbeef:face"),
            ("plain", "plain"),
            ("", ""),
            (":7:", ":*:"),
        ] {
            assert_eq!(pattern(key.as_bytes(), b":"), expected.as_bytes(), "{key}");
        }
    }

    #[test]
    fn too_many_patterns_leave_the_large_ones() {
        let mut patterns = Patterns::new(b":");
        patterns.most = 64;
        for number in 0..5_000u32 {
            let letters: String =
                number.to_string().bytes().map(|digit| char::from(digit + 50)).collect();
            patterns.add(format!("small:{letters}").as_bytes(), 2);
            patterns.add(format!("large:{number}").as_bytes(), 100);
        }
        assert!(patterns.counts.len() <= 64);
        let (largest, count) = patterns.largest(1)[0];
        assert_eq!((largest, count.keys, count.memory), (&b"large:*"[..], 5_000, 500_000));
    }
}
