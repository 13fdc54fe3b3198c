//! Zipmap: hashes of RDB files up to version 3.

use super::{END, InvalidZiplist};

/// A pair count from which on the header does not tell it.
const COUNT_UNKNOWN: u8 = 254;

/// A checked zipmap.
#[derive(Clone, Copy, Debug)]
pub struct Zipmap<'a> {
    /// The pairs, without count and end byte.
    pairs: &'a [u8],
    count: usize,
}

impl<'a> Zipmap<'a> {
    /// Checks a blob. Fields may repeat in a damaged one: the loader has to look.
    pub fn new(bytes: &'a [u8]) -> Result<Self, InvalidZiplist> {
        let [header_count, pairs @ .., END] = bytes else {
            return Err(if bytes.len() < 2 { InvalidZiplist::Size } else { InvalidZiplist::End });
        };
        let mut rest = pairs;
        let mut count = 0;
        while !rest.is_empty() {
            let at = 1 + pairs.len() - rest.len();
            let (_, _, after) = decode_pair(rest).ok_or(InvalidZiplist::Entry(at))?;
            rest = after;
            count += 1;
        }
        if count == 0 {
            return Err(InvalidZiplist::Empty);
        }
        if *header_count < COUNT_UNKNOWN && usize::from(*header_count) != count {
            return Err(InvalidZiplist::Count);
        }
        Ok(Self { pairs, count })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no pair: never, such a blob is refused.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Fields and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.pairs;
        std::iter::from_fn(move || {
            let (field, value, after) = decode_pair(rest)?;
            rest = after;
            Some((field, value))
        })
    }
}

/// The first pair, and the bytes after it.
fn decode_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = decode_length(bytes)?;
    let (field, rest) = rest.split_at_checked(len)?;
    let (len, rest) = decode_length(rest)?;
    let (&unused, rest) = rest.split_first()?;
    let (value, rest) = rest.split_at_checked(len)?;
    Some((field, value, rest.get(usize::from(unused)..)?))
}

/// A length: one byte below 254, or 254 and four bytes.
fn decode_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes.split_first()? {
        (&254, rest) => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = u32::from_le_bytes(*len);
            // Nobody writes a length longer than it has to be; who does is up to something.
            (len >= 254).then_some((len as usize, rest))
        }
        (&END, _) => None,
        (&len, rest) => Some((usize::from(len), rest)),
    }
}
