//! The byte level of RDB: lengths, strings, numbers; read from a slice, written to a buffer.
//!
//! [`Reader`] is the only way in which bytes of a file are looked at. It never panics, never believes a
//! length before the bytes behind it are known to exist, and reports each fault with its offset from
//! the start of the file. Strings are borrowed from the input where they stand there verbatim.
//! The forms are specified in format-spec/snapshot.md, "Lengths" and "Strings".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::error::{Corruption, CorruptionKind, Parsed};
use super::lzf;
use std::ops::Deref;

/// Strings longer than this are worth a try at compression.
const COMPRESS_ABOVE: usize = 20;
/// A compressed string must save this many bytes.
const COMPRESS_GAIN: usize = 4;

/// A position in bytes that are being parsed.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of `rest` from the start of the file.
    position: u64,
}

impl<'a> Reader<'a> {
    /// Reads from the start of a file.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// Reads bytes that stand at `offset` of the file.
    pub fn at(bytes: &'a [u8], offset: u64) -> Self {
        Self { rest: bytes, position: offset }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Number of bytes left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A fault at the next byte.
    pub fn fault(&self, kind: CorruptionKind) -> Corruption {
        Corruption::new(self.position, kind)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: u64) -> Parsed<&'a [u8]> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = split else {
            let left = self.rest.len() as u64;
            return Err(self.fault(CorruptionKind::ShortRead { wanted: count, left }));
        };
        self.rest = rest;
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            let left = self.rest.len() as u64;
            return Err(self.fault(CorruptionKind::ShortRead { wanted: N as u64, left }));
        };
        self.rest = rest;
        self.position += N as u64;
        Ok(*taken)
    }

    /// A reader of the next `count` bytes only.
    pub fn sub(&mut self, count: u64) -> Parsed<Self> {
        let position = self.position;
        Ok(Self { rest: self.take(count)?, position })
    }

    /// One byte.
    pub fn u8(&mut self) -> Parsed<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Parsed<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Parsed<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Parsed<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian, two's complement.
    pub fn i64(&mut self) -> Parsed<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, big-endian (stream ids).
    pub fn u64_big(&mut self) -> Parsed<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Refuses bytes behind the end of an item.
    pub fn finish(&self) -> Parsed<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.fault(CorruptionKind::TrailingBytes(left as u64))),
        }
    }

    /// A length; an encoded string's marker is refused.
    pub fn length(&mut self) -> Parsed<u64> {
        let offset = self.position;
        match self.length_or_encoding()? {
            Length::Plain(len) => Ok(len),
            Length::Encoding(code) => {
                Err(Corruption::new(offset, CorruptionKind::NotALength(0xc0 | code)))
            }
        }
    }

    /// A number of items that take at least `bytes_each` bytes each: refused when so many cannot follow.
    pub fn count(&mut self, bytes_each: u64) -> Parsed<usize> {
        let offset = self.position;
        let count = self.length()?;
        let left = self.rest.len() as u64;
        let wanted = count.saturating_mul(bytes_each);
        if wanted > left {
            return Err(Corruption::new(offset, CorruptionKind::ShortRead { wanted, left }));
        }
        usize::try_from(count)
            .map_err(|_| Corruption::new(offset, CorruptionKind::ShortRead { wanted, left }))
    }

    fn length_or_encoding(&mut self) -> Parsed<Length> {
        let offset = self.position;
        let first = self.u8()?;
        let low = u64::from(first & 0x3f);
        Ok(match first {
            0x00..0x40 => Length::Plain(low),
            0x40..0x80 => Length::Plain(low << 8 | u64::from(self.u8()?)),
            0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            0x81 => Length::Plain(self.u64_big()?),
            0xc0.. => Length::Encoding(first & 0x3f),
            _ => return Err(Corruption::new(offset, CorruptionKind::NotALength(first))),
        })
    }

    /// A string in any of its forms.
    #[inline]
    pub fn string(&mut self) -> Parsed<Text<'a>> {
        let offset = self.position;
        match self.length_or_encoding()? {
            Length::Plain(len) => Ok(Text::Plain(self.take(len)?)),
            Length::Encoding(0) => Ok(Text::integer(i8::from_le_bytes(self.array()?).into())),
            Length::Encoding(1) => Ok(Text::integer(i16::from_le_bytes(self.array()?).into())),
            Length::Encoding(2) => Ok(Text::integer(i32::from_le_bytes(self.array()?))),
            Length::Encoding(3) => {
                let packed_len = self.length()?;
                let len = self.length()?;
                let packed = self.take(packed_len)?;
                lzf::decompress(packed, len).map(Text::Inflated).map_err(|reason| {
                    Corruption::new(offset, CorruptionKind::BadCompression(reason))
                })
            }
            Length::Encoding(code) => {
                Err(Corruption::new(offset, CorruptionKind::BadStringEncoding(0xc0 | code)))
            }
        }
    }

    /// Passes over a string without decompressing it; its stored form is checked only for extent.
    pub fn skip_string(&mut self) -> Parsed<()> {
        let offset = self.position;
        let len = match self.length_or_encoding()? {
            Length::Plain(len) => len,
            Length::Encoding(code @ 0..=2) => 1 << code,
            Length::Encoding(3) => {
                let packed_len = self.length()?;
                self.length()?;
                packed_len
            }
            Length::Encoding(code) => {
                let kind = CorruptionKind::BadStringEncoding(0xc0 | code);
                return Err(Corruption::new(offset, kind));
            }
        };
        self.take(len).map(drop)
    }

    /// An eight-byte score; not-a-number is refused.
    pub fn score(&mut self) -> Parsed<f64> {
        let offset = self.position;
        let score = f64::from_le_bytes(self.array()?);
        if score.is_nan() {
            Err(Corruption::new(offset, CorruptionKind::BadScore))
        } else {
            Ok(score)
        }
    }

    /// A score as text with a one-byte length (type 3); not-a-number is refused.
    pub fn text_score(&mut self) -> Parsed<f64> {
        let offset = self.position;
        let score = match self.u8()? {
            253 => None,
            254 => Some(f64::INFINITY),
            255 => Some(f64::NEG_INFINITY),
            len => parse_score(self.take(len.into())?),
        };
        score.ok_or(Corruption::new(offset, CorruptionKind::BadScore))
    }
}

/// A score from its text, as strtod reads it; `None` when it is not a number.
pub(super) fn parse_score(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|score: &f64| !score.is_nan())
}

enum Length {
    Plain(u64),
    Encoding(u8),
}

/// The bytes of a string: borrowed from the input when they stand there verbatim.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// Verbatim in the input.
    Plain(&'a [u8]),
    /// The decimal text of an integer.
    Integer([u8; 11], u8),
    /// Was compressed.
    Inflated(Vec<u8>),
}

impl Text<'_> {
    fn integer(value: i32) -> Self {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        let mut text = [0; 11];
        for (to, from) in text.iter_mut().zip(digits) {
            *to = *from;
        }
        Self::Integer(text, u8::try_from(digits.len()).unwrap_or(11))
    }

    /// The bytes as a vector of their own; no copy if they were compressed.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Inflated(bytes) => bytes,
            other => other.to_vec(),
        }
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Integer(text, len) => text.get(..usize::from(*len)).unwrap_or_default(),
            Self::Inflated(bytes) => bytes,
        }
    }
}

/// Appends the shortest form of a length.
pub fn put_length(out: &mut Vec<u8>, len: u64) {
    match (u8::try_from(len), u16::try_from(len), u32::try_from(len)) {
        (Ok(len @ 0..0x40), ..) => out.push(len),
        (_, Ok(len @ 0..0x4000), _) => out.extend_from_slice(&(0x4000 | len).to_be_bytes()),
        (.., Ok(len)) => {
            out.push(0x80);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// How strings are written: compressed or not.
#[derive(Debug, Default)]
pub struct StringWriter {
    compressor: Option<lzf::Compressor>,
}

impl StringWriter {
    /// A writer; `compress` tries LZF on strings longer than 20 bytes.
    pub fn new(compress: bool) -> Self {
        Self { compressor: compress.then(lzf::Compressor::new) }
    }

    /// Whether long strings are compressed.
    pub fn compresses(&self) -> bool {
        self.compressor.is_some()
    }

    /// Appends a string in the form Redis would choose: integer, compressed, or verbatim.
    #[inline]
    pub fn put(&mut self, out: &mut Vec<u8>, text: &[u8]) {
        if text.len() > COMPRESS_ABOVE {
            self.put_long(out, text);
        } else if let Some(value) = canonical_i32(text) {
            put_integer(out, value);
        } else {
            put_plain(out, text);
        }
    }

    /// Appends an integer's decimal text.
    pub fn put_number(&mut self, out: &mut Vec<u8>, value: i64) {
        match i32::try_from(value) {
            Ok(value) => put_integer(out, value),
            Err(_) => put_plain(out, itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    fn put_long(&mut self, out: &mut Vec<u8>, text: &[u8]) {
        let Some(compressor) = &mut self.compressor else { return put_plain(out, text) };
        // The compressed length stands before the compressed bytes, so leave room for the longest
        // header, compress behind it, and close the gap.
        const HEADER_MAX: usize = 1 + 9 + 9;
        let start = out.len();
        out.resize(start + HEADER_MAX, 0);
        if !compressor.compress(text, text.len() - COMPRESS_GAIN, out) {
            out.truncate(start);
            return put_plain(out, text);
        }
        let mut header = Vec::with_capacity(HEADER_MAX);
        header.push(0xc3);
        put_length(&mut header, (out.len() - start - HEADER_MAX) as u64);
        put_length(&mut header, text.len() as u64);
        out.splice(start..start + HEADER_MAX, header);
    }
}

/// Appends a string verbatim.
pub fn put_plain(out: &mut Vec<u8>, text: &[u8]) {
    put_length(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn put_integer(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.push(0xc0);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xc1);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        out.push(0xc2);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// The number of which `text` is the canonical decimal form, if it fits 32 bits.
fn canonical_i32(text: &[u8]) -> Option<i32> {
    if text.is_empty() || text.len() > 11 {
        return None;
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] if digits.len() == text.len() => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Only digits may follow: `parse` would take a '+' too, which cannot occur behind the test above.
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8], compress: bool) -> Vec<u8> {
        let mut out = Vec::new();
        StringWriter::new(compress).put(&mut out, text);
        let mut reader = Reader::at(&out, 7);
        assert_eq!(&*reader.string().unwrap(), text);
        reader.finish().unwrap();
        let mut reader = Reader::new(&out);
        reader.skip_string().unwrap();
        reader.finish().unwrap();
        for cut in 0..out.len() {
            assert!(Reader::new(&out[..cut]).string().is_err());
            assert!(Reader::new(&out[..cut]).skip_string().is_err());
        }
        out
    }

    #[test]
    fn lengths_take_the_shortest_form_and_come_back() {
        for (len, size) in [(0, 1), (63, 1), (64, 2), (16383, 2), (16384, 5), (u32::MAX.into(), 5)]
            .into_iter()
            .chain([(1 << 32, 9), (u64::MAX, 9)])
        {
            let mut out = Vec::new();
            put_length(&mut out, len);
            assert_eq!(out.len(), size, "{len}");
            assert_eq!(Reader::new(&out).length(), Ok(len));
            for cut in 0..size {
                let error = Reader::new(&out[..cut]).length().unwrap_err();
                assert!(matches!(error.kind, CorruptionKind::ShortRead { .. }));
            }
        }
        for byte in (0x82..=0xff).filter(|byte| *byte != 0x80 && *byte != 0x81) {
            let error = Reader::at(&[byte; 20], 3).length().unwrap_err();
            assert_eq!(error, Corruption::new(3, CorruptionKind::NotALength(byte)));
        }
    }

    #[test]
    fn strings_take_the_forms_redis_takes() {
        assert_eq!(written(b"", true), [0]);
        assert_eq!(written(b"hello", true), b"\x05hello");
        assert_eq!(written(b"0", true), [0xc0, 0]);
        assert_eq!(written(b"-128", true), [0xc0, 0x80]);
        assert_eq!(written(b"-129", true), [0xc1, 0x7f, 0xff]);
        assert_eq!(written(b"70000", true), [0xc2, 0x70, 0x11, 0x01, 0x00]);
        assert_eq!(written(b"-2147483648", true), [0xc2, 0, 0, 0, 0x80]);
        assert_eq!(written(b"2147483648", true), b"\x0a2147483648");
        for text in ["-0", "+1", "01", "1.0", "-", "1 ", "--1", "-+1"] {
            assert_eq!(written(text.as_bytes(), true)[1..], *text.as_bytes());
        }
        assert_eq!(written(&[b'a'; 20], true).len(), 21);
        assert_eq!(written(&[b'a'; 40], false).len(), 41);
        assert_eq!(written(&[b'a'; 40], true)[..3], [0xc3, 5, 40]);
        assert_eq!(written(&[b'a'; 100_000], true)[0], 0xc3);
    }

    #[test]
    fn impossible_extents_are_refused_without_allocation() {
        let claims = [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2];
        let error = Reader::new(&claims).string().unwrap_err();
        assert!(matches!(error.kind, CorruptionKind::ShortRead { left: 2, .. }));
        assert!(Reader::new(&claims).count(1).is_err());
        let bomb = [0xc3, 1, 0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let error = Reader::new(&bomb).string().unwrap_err();
        assert!(matches!(error.kind, CorruptionKind::BadCompression(_)));
        assert!(Reader::new(&[0xc4, 1]).string().is_err());
    }

    #[test]
    fn scores_are_read_and_nan_is_not() {
        assert_eq!(Reader::new(&1.5f64.to_le_bytes()).score(), Ok(1.5));
        assert!(Reader::new(&f64::NAN.to_le_bytes()).score().is_err());
        assert_eq!(Reader::new(b"\x04-1e3").text_score(), Ok(-1000.0));
        assert_eq!(Reader::new(&[254]).text_score(), Ok(f64::INFINITY));
        assert_eq!(Reader::new(&[255]).text_score(), Ok(f64::NEG_INFINITY));
        for bad in [&[253][..], b"\x00", b"\x03nan", b"\x021x", b"\x05-1e3"] {
            assert!(Reader::new(bad).text_score().is_err());
        }
    }
}
