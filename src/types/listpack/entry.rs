//! The bytes of one entry: encoding, data and the backlen behind them.
//!
//! ```text
//! 0xxxxxxx               uint 0..127            F0 u32 LE   string, 32-bit length
//! 10xxxxxx               string, 6-bit length   F1 int16    F2 int24    F3 int32    F4 int64 (LE)
//! 110xxxxx b             13-bit signed int      F5..FE      never written
//! 1110xxxx b             string, 12-bit length  FF          end of the listpack
//! ```

use super::{END, Element};
use crate::number::parse_i64;

/// Most bytes of a backlen.
const BACKLEN_MAX: usize = 5;

/// Bytes of the backlen of an entry whose encoding and data take `body` bytes.
///
/// The thresholds are one less than seven bits per byte would give; every reader recomputes them, but
/// for Valkey 9.1: see [`shorter_backlen_size`].
#[inline]
pub fn backlen_size(body: usize) -> usize {
    match body {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Bytes of the backlen that Valkey 9.1 writes where it is another than [`backlen_size`]: it gives seven bits to
/// each byte.
#[inline]
pub(super) fn shorter_backlen_size(body: usize) -> Option<usize> {
    matches!(body, 16_383 | 2_097_151 | 268_435_455).then(|| backlen_size(body) - 1)
}

/// Writes the backlen of `body` over `out`, which has exactly its size.
pub fn write_backlen(mut body: usize, out: &mut [u8]) {
    // From the right: low seven bits last; all but the leftmost byte carry the top bit.
    let last = out.len().saturating_sub(1);
    for index in (0..=last).rev() {
        let more = if index == 0 { 0 } else { 0x80 };
        if let Some(byte) = out.get_mut(index) {
            *byte = (body & 0x7F) as u8 | more;
        }
        body >>= 7;
    }
}

/// Reads the backlen that ends just before `end`; returns body size and the backlen's own size.
#[inline]
pub fn read_backlen(bytes: &[u8], end: usize) -> Option<(usize, usize)> {
    let mut body = 0usize;
    for size in 1..=BACKLEN_MAX {
        let byte = *bytes.get(end.checked_sub(size)?)?;
        body |= usize::from(byte & 0x7F) << (7 * (size - 1));
        if byte & 0x80 == 0 {
            return Some((body, size));
        }
    }
    None
}

/// Bytes `offset..offset + N` as an array.
#[inline]
fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

/// Size of encoding and data of the entry at `at`, without looking at the data; `None` at the end
/// and at bytes that are no entry. The data may still reach beyond the end of `bytes`.
#[inline]
pub fn body_size(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at)?;
    Some(match first {
        0..0x80 => 1,
        0x80..0xC0 => 1 + usize::from(first & 0x3F),
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 2 + (usize::from(first & 0x0F) << 8 | usize::from(*bytes.get(at + 1)?)),
        0xF0 => 5usize.checked_add(u32::from_le_bytes(array(bytes, at + 1)?) as usize)?,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        0xF4 => 9,
        _ => return None,
    })
}

/// Offset of the entry after the one at `at` (of the end byte after the last one).
#[inline]
pub(super) fn next_offset(bytes: &[u8], at: usize) -> Option<usize> {
    let body = body_size(bytes, at)?;
    at.checked_add(body)?.checked_add(backlen_size(body))
}

/// The element at `at` and the size of its encoding and data.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let first = *bytes.get(at)?;
    let body = body_size(bytes, at)?;
    let string = |header: usize| -> Option<Element<'_>> {
        bytes.get(at + header..at.checked_add(body)?).map(Element::Str)
    };
    let element = match first {
        0..0x80 => Element::Int(i64::from(first)),
        0x80..0xC0 => string(1)?,
        0xC0..0xE0 => {
            let raw = i64::from(first & 0x1F) << 8 | i64::from(*bytes.get(at + 1)?);
            Element::Int(if raw >= 4096 { raw - 8192 } else { raw })
        }
        0xE0..0xF0 => string(2)?,
        0xF0 => string(5)?,
        0xF1 => Element::Int(i64::from(i16::from_le_bytes(array(bytes, at + 1)?))),
        0xF2 => {
            let [a, b, c] = array(bytes, at + 1)?;
            Element::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
        }
        0xF3 => Element::Int(i64::from(i32::from_le_bytes(array(bytes, at + 1)?))),
        0xF4 => Element::Int(i64::from_le_bytes(array(bytes, at + 1)?)),
        _ => return None,
    };
    debug_assert_ne!(first, END);
    Some((element, body))
}

/// The first element from `at` on with this text, looking at every `skip + 1`th one. `size` tells what an entry
/// takes whose encoding and data have a size.
#[inline]
pub(super) fn find(
    bytes: &[u8],
    mut at: usize,
    text: &[u8],
    skip: usize,
    size: impl Fn(usize) -> usize,
) -> Option<usize> {
    let number = parse_i64(text);
    loop {
        let first = *bytes.get(at)?;
        // Short strings are what hashes are made of; they take no detour through Element.
        let body = if first & 0xC0 == 0x80 {
            let len = usize::from(first & 0x3F);
            let data = at + 1;
            if len == text.len() && bytes.get(data..data + len)? == text {
                return Some(at);
            }
            1 + len
        } else {
            let (element, body) = decode(bytes, at)?;
            let hit = match element {
                Element::Int(value) => number == Some(value),
                Element::Str(data) => data == text,
            };
            if hit {
                return Some(at);
            }
            body
        };
        at += size(body);
        for _ in 0..skip {
            at += size(body_size(bytes, at)?);
        }
    }
}

/// An element ready to be written: its encoding bytes and what follows them.
pub struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// The one encoding of `element`.
    #[inline]
    pub fn new(element: Element<'a>) -> Self {
        let (head, head_len, data) = match element {
            Element::Int(value) => {
                let (head, len) = encode_int(value);
                (head, len, &[][..])
            }
            Element::Str(data) => {
                let (head, len) = encode_string_head(data.len());
                (head, len, data)
            }
        };
        Self { head, head_len, data }
    }

    /// Size of encoding and data.
    #[inline]
    pub fn body(&self) -> usize {
        self.head_len + self.data.len()
    }

    /// Size of the whole entry.
    #[inline]
    pub fn size(&self) -> usize {
        self.body() + backlen_size(self.body())
    }

    /// Writes the entry over `out`, which has exactly its size.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8]) {
        let (body, backlen) = out.split_at_mut(self.body());
        self.write_body(body);
        write_backlen(self.body(), backlen);
    }

    /// Appends the entry.
    pub fn append(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + self.size(), 0);
        self.write(&mut out[at..]);
    }

    /// Writes encoding and data over `out`, which has exactly their size.
    #[inline]
    pub fn write_body(&self, out: &mut [u8]) {
        let (head, data) = out.split_at_mut(self.head_len);
        head.copy_from_slice(&self.head[..self.head_len]);
        data.copy_from_slice(self.data);
    }
}

/// Appends an entry whose encoding and data are `body`.
#[inline]
pub fn append(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(body);
    let size = backlen_size(body.len());
    if size == 1 {
        return out.push(body.len() as u8);
    }
    let mut backlen = [0; BACKLEN_MAX];
    write_backlen(body.len(), &mut backlen[..size]);
    out.extend_from_slice(&backlen[..size]);
}

fn encode_string_head(len: usize) -> ([u8; 9], usize) {
    let mut head = [0; 9];
    if len < 64 {
        head[0] = 0x80 | len as u8;
        (head, 1)
    } else if len < 4096 {
        head[0] = 0xE0 | (len >> 8) as u8;
        head[1] = len as u8;
        (head, 2)
    } else {
        // Lengths end below BYTES_MAX, so they fit.
        head[0] = 0xF0;
        head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
        (head, 5)
    }
}

fn encode_int(value: i64) -> ([u8; 9], usize) {
    let mut head = [0; 9];
    let le = value.to_le_bytes();
    let width = match value {
        0..=127 => {
            head[0] = le[0];
            return (head, 1);
        }
        -4096..=4095 => {
            let raw = (value & 0x1FFF) as u16;
            head[0] = 0xC0 | (raw >> 8) as u8;
            head[1] = raw as u8;
            return (head, 2);
        }
        -0x8000..=0x7FFF => 2,
        -0x80_0000..=0x7F_FFFF => 3,
        -0x8000_0000..=0x7FFF_FFFF => 4,
        _ => 8,
    };
    head[0] = if width == 8 { 0xF4 } else { 0xEF + width as u8 };
    head[1..=width].copy_from_slice(&le[..width]);
    (head, 1 + width)
}
