//! Ziplist and zipmap: the packed forms of old Redis files, for reading only.
//!
//! The loader meets them in RDB files written before Redis 7 and turns them into today's forms.
//! A blob is checked as a whole before its elements are handed out: [`Ziplist::new`] and
//! [`Zipmap::new`] follow every entry, and refuse what Redis' deep check refuses.
//!
//! ```text
//! ziplist   bytes: u32 LE | offset of last entry: u32 LE | count: u16 LE | entry* | FF
//! entry     size of the entry before (1 byte, or FE and u32 LE) | encoding | data
//! zipmap    pairs: u8 (254 and more: walk) | pair* | FF
//! pair      length | field | length | value's unused bytes: u8 | value | unused bytes
//! ```

mod zipmap;

#[cfg(test)]
mod tests;

pub use zipmap::Zipmap;

use super::listpack::Element;

/// Bytes before the first entry.
const HEADER_BYTES: usize = 10;
/// The byte after the last entry.
const END: u8 = 0xFF;
/// The count that stands for "walk it".
const COUNT_UNKNOWN: usize = 0xFFFF;

/// Why bytes are no ziplist or zipmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidZiplist {
    /// Too short, or the size in the header is not that of the blob.
    Size,
    /// The last byte is not the end byte, or the end byte comes early.
    End,
    /// No entry, or one that reaches beyond the end, at this offset.
    Entry(usize),
    /// The entry at this offset tells another size of the one before it.
    Previous(usize),
    /// The header does not point at the last entry.
    Tail,
    /// The header counts other than there are.
    Count,
    /// A zipmap without a pair: such a hash does not exist.
    Empty,
}

impl std::fmt::Display for InvalidZiplist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size => f.write_str("ziplist size differs from its header"),
            Self::End => f.write_str("ziplist without its end byte at its end"),
            Self::Entry(at) => write!(f, "no ziplist entry at byte {at}"),
            Self::Previous(at) => {
                write!(f, "ziplist entry at byte {at} tells a wrong size of the one before it")
            }
            Self::Tail => f.write_str("ziplist header does not point at the last entry"),
            Self::Count => f.write_str("ziplist count differs from its header"),
            Self::Empty => f.write_str("zipmap without a pair"),
        }
    }
}

impl std::error::Error for InvalidZiplist {}

/// A checked ziplist.
#[derive(Clone, Copy, Debug)]
pub struct Ziplist<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Ziplist<'a> {
    /// Checks a blob.
    pub fn new(bytes: &'a [u8]) -> Result<Self, InvalidZiplist> {
        let (size, tail, header_count) = header(bytes).ok_or(InvalidZiplist::Size)?;
        if size != bytes.len() || size <= HEADER_BYTES {
            return Err(InvalidZiplist::Size);
        }
        let end = size - 1;
        if bytes.get(end) != Some(&END) {
            return Err(InvalidZiplist::End);
        }
        let mut at = HEADER_BYTES;
        let mut previous_size = 0;
        let mut last = HEADER_BYTES;
        let mut count = 0;
        while at < end {
            let entry = decode(bytes, at, end).ok_or(InvalidZiplist::Entry(at))?;
            if entry.previous_size != previous_size {
                return Err(InvalidZiplist::Previous(at));
            }
            last = at;
            previous_size = entry.size;
            at += entry.size;
            count += 1;
        }
        if tail != last {
            return Err(InvalidZiplist::Tail);
        }
        if header_count != COUNT_UNKNOWN && header_count != count {
            return Err(InvalidZiplist::Count);
        }
        Ok(Self { bytes, count })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements in order. Integers stored as text come as text.
    pub fn iter(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let (bytes, end) = (self.bytes, self.bytes.len() - 1);
        let mut at = HEADER_BYTES;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let entry = decode(bytes, at, end)?;
            at += entry.size;
            Some(entry.element)
        })
    }
}

struct Entry<'a> {
    element: Element<'a>,
    /// What the entry says of the size of the one before it.
    previous_size: usize,
    /// Size of the whole entry; never zero.
    size: usize,
}

/// Size, offset of the last entry, count.
fn header(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let &[s0, s1, s2, s3, t0, t1, t2, t3, c0, c1] = bytes.first_chunk::<HEADER_BYTES>()?;
    Some((
        u32::from_le_bytes([s0, s1, s2, s3]) as usize,
        u32::from_le_bytes([t0, t1, t2, t3]) as usize,
        usize::from(u16::from_le_bytes([c0, c1])),
    ))
}

/// The entry at `at`, if it ends at or before `end`.
fn decode(bytes: &[u8], at: usize, end: usize) -> Option<Entry<'_>> {
    let bytes = bytes.get(at..end)?;
    let (previous_size, rest) = match bytes.split_first()? {
        (&0xFE, rest) => {
            let (size, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*size) as usize, rest)
        }
        (&END, _) => return None,
        (&size, rest) => (usize::from(size), rest),
    };
    let (element, rest) = decode_body(rest)?;
    Some(Entry { element, previous_size, size: bytes.len() - rest.len() })
}

/// The element that starts with this encoding byte, and the bytes after it.
fn decode_body(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let string = |len: usize, rest| {
        let rest: &[u8] = rest;
        let (data, rest) = rest.split_at_checked(len)?;
        Some((Element::Str(data), rest))
    };
    match first {
        0x00..0x40 => string(usize::from(first), rest),
        0x40..0x80 => {
            let (&low, rest) = rest.split_first()?;
            string(usize::from(first & 0x3F) << 8 | usize::from(low), rest)
        }
        0x80 => {
            // The one big-endian length in a ziplist.
            let (len, rest) = rest.split_first_chunk()?;
            string(u32::from_be_bytes(*len) as usize, rest)
        }
        0xC0 => {
            let (value, rest) = rest.split_first_chunk()?;
            Some((Element::Int(i64::from(i16::from_le_bytes(*value))), rest))
        }
        0xD0 => {
            let (value, rest) = rest.split_first_chunk()?;
            Some((Element::Int(i64::from(i32::from_le_bytes(*value))), rest))
        }
        0xE0 => {
            let (value, rest) = rest.split_first_chunk()?;
            Some((Element::Int(i64::from_le_bytes(*value)), rest))
        }
        0xF0 => {
            let (&[a, b, c], rest) = rest.split_first_chunk()?;
            Some((Element::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), rest))
        }
        0xFE => {
            let (value, rest) = rest.split_first_chunk()?;
            Some((Element::Int(i64::from(i8::from_le_bytes(*value))), rest))
        }
        0xF1..=0xFD => Some((Element::Int(i64::from(first & 0x0F) - 1), rest)),
        _ => None,
    }
}
