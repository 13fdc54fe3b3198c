//! Framing of the log, as pure functions: header lines, frame lines, checksums, positions.
//!
//! A segment is a header line and then frames; a frame is one line that starts with `#` (which Redis'
//! loader skips) and the RESP records that it vouches for. The bytes are specified in `format-spec/aof.md`,
//! sections 2 to 4; this module is their only writer and only parser. Nothing here reads or writes files:
//! `log` puts frames into files, `reader` takes them out and judges what does not fit.
//!
//! A line that is not exactly what a writer would have produced is not a frame line (`None`): no spaces
//! more or less, no leading zeros, no upper-case digits. So one flipped bit never leaves a line valid
//! with another meaning, even before its checksum is looked at.

use std::fmt;
use std::ops::RangeInclusive;

use crate::clock::UnixMillis;
#[cfg(any(test, feature = "sim"))]
use crate::disk::sim::canary;

/// The longest line, with its newline, that every Redis loader skips whole.
pub const LINE_LEN_MAX: usize = 1023;
/// The longest header or frame line that this version writes, with its newline.
pub const FRAME_LINE_LEN_MAX: usize = 160;
/// What every framed file starts with.
pub const HEADER_START: &[u8] = b"#FASTNESS ";
/// The version in the header line.
const VERSION: &[u8] = b"1";

/// A place in the log: the number of payload bytes (records, not `#` lines) since the log was born.
///
/// Positions grow over all segments and never start again while the log lives. The position after a
/// record is what its write is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The start of a log.
    pub const ZERO: Self = Self(0);

    /// The place `bytes` further on.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }

    /// How many bytes lie between `earlier` and here; zero when it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random number that belongs to one file and goes into each of its checksums; 0 is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt(pub u64);

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A header line is never longer.
pub const HEADER_LEN_MAX: usize = 64;

/// The first line of a framed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// This file's own salt, never 0.
    pub salt: Salt,
    /// The salt of the segment before; 0 when there was none or it was not framed.
    pub previous: Salt,
}

/// What a frame line says, without the two checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// In the first frame of a file only: where the log stood when the segment before it ended.
    pub previous_end: Option<Position>,
    /// The position of the first payload byte.
    pub position: Position,
    /// How many bytes before `position` were not known to be synced when the frame was made. All
    /// before `position - unsynced` were, so damage there is damage and not a torn tail.
    pub unsynced: u64,
    /// Wall clock when the frame was made.
    pub millis: UnixMillis,
    /// Payload bytes.
    pub len: u64,
    /// The checksum of the frame before, also over segments; 0 where there is none.
    pub previous_crc: u32,
}

impl Frame {
    /// The position behind the payload, `None` when it does not exist.
    pub fn end(&self) -> Option<Position> {
        self.position.0.checked_add(self.len).map(Position)
    }

    /// Everything before this place was synced when the frame was made.
    pub fn proves_synced(&self) -> Position {
        Position(self.position.0.saturating_sub(self.unsynced))
    }
}

/// A parsed frame line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLine {
    /// What it says.
    pub frame: Frame,
    /// The checksum that line and payload must have.
    pub crc: u32,
    /// How many bytes of the line the checksum covers.
    covered: usize,
}

impl Header {
    /// Appends the line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(HEADER_START);
        out.extend_from_slice(VERSION);
        put(out, format_args!(" {} {} ", self.salt, self.previous));
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        put(out, format_args!("{crc:08x}\n"));
        debug_assert!(out.len() - start <= HEADER_LEN_MAX, "{} bytes", out.len() - start);
    }

    /// Parses a line, its newline included. `None`: not a valid header line of this version.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = Fields(line.strip_prefix(HEADER_START)?);
        if fields.until(b' ')? != VERSION {
            return None;
        }
        let salt = Salt(fields.hex(16)?);
        let previous = Salt(fields.hex(16)?);
        let covered = line.len() - fields.0.len();
        let crc = fields.last_hex8()?;
        let right = crc32fast::hash(line.get(..covered)?) == crc && salt != Salt(0);
        right.then_some(Self { salt, previous })
    }
}

/// Makes the line of a frame with this payload into `line` (cleared before) and returns its checksum.
pub fn encode_frame_line(line: &mut Vec<u8>, salt: Salt, frame: &Frame, payload: &[u8]) -> u32 {
    debug_assert_eq!(frame.len, payload.len() as u64, "the line tells the payload's length");
    line.clear();
    let Frame { position, unsynced, len, previous_crc, .. } = frame;
    let millis = frame.millis.max(0);
    match frame.previous_end {
        Some(end) => put(line, format_args!("#L {end} ")),
        None => line.extend_from_slice(b"#F "),
    }
    put(line, format_args!("{position} {unsynced} {millis} {len} {previous_crc:08x} "));
    let crc = frame_crc(salt, line, payload);
    put(line, format_args!("{crc:08x}\n"));
    debug_assert!(line.len() <= FRAME_LINE_LEN_MAX, "{} bytes", line.len());
    crc
}

impl FrameLine {
    /// Parses a line, its newline included. `None`: not a frame line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let (first, rest) = match line.strip_prefix(b"#F ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix(b"#L ")?),
        };
        let mut fields = Fields(rest);
        let previous_end = if first { Some(Position(fields.decimal()?)) } else { None };
        let position = Position(fields.decimal()?);
        let unsynced = fields.decimal()?;
        let millis = UnixMillis::try_from(fields.decimal()?).ok()?;
        let len = fields.decimal()?;
        let previous_crc = u32::try_from(fields.hex(8)?).ok()?;
        let covered = line.len() - fields.0.len();
        let crc = fields.last_hex8()?;
        let frame = Frame { previous_end, position, unsynced, millis, len, previous_crc };
        Some(Self { frame, crc, covered })
    }

    /// Whether the checksum holds for this line and payload in the file of `salt`.
    pub fn vouches_for(&self, salt: Salt, line: &[u8], payload: &[u8]) -> bool {
        #[cfg(any(test, feature = "sim"))]
        if canary::planted(canary::Canary::UncheckedFrames) {
            return true;
        }
        line.get(..self.covered).is_some_and(|line| frame_crc(salt, line, payload) == self.crc)
    }
}

/// Whether a line (newline included) is filler: `#` characters only, which stand for nothing.
pub fn is_filler(line: &[u8]) -> bool {
    line.strip_suffix(b"\n").is_some_and(|line| {
        !line.is_empty() && line.len() < LINE_LEN_MAX && line.iter().all(|byte| *byte == b'#')
    })
}

/// The line at the start of `bytes`, its newline included; `None` when none ends within [`LINE_LEN_MAX`].
pub fn line(bytes: &[u8]) -> Option<&[u8]> {
    let window = bytes.get(..bytes.len().min(LINE_LEN_MAX))?;
    let end = window.iter().position(|byte| *byte == b'\n')?;
    window.get(..=end)
}

/// CRC-32 over the salt's hexadecimal digits, the covered part of the line, and the payload.
fn frame_crc(salt: Salt, line: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(hex16(salt.0).as_slice());
    hasher.update(line);
    hasher.update(payload);
    hasher.finalize()
}

fn hex16(number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    for (index, digit) in digits.iter_mut().enumerate() {
        let nibble = (number >> (60 - 4 * index)) & 15;
        *digit = b"0123456789abcdef".get(usize::try_from(nibble).unwrap_or(0)).map_or(0, |d| *d);
    }
    digits
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    use std::io::Write;
    // Writing into a vector has no way to fail.
    let _ = out.write_fmt(text);
}

/// The fields of a line that are still to be parsed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// What comes before the next `end`, which is taken too.
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|byte| *byte == end)?;
        let field = self.0.get(..at)?;
        self.0 = self.0.get(at + 1..)?;
        Some(field)
    }

    fn decimal(&mut self) -> Option<u64> {
        let digits = self.until(b' ')?;
        let canonical = digits == b"0" || matches!(digits, [b'1'..=b'9', ..]);
        if !canonical || digits.len() > 20 {
            return None;
        }
        digits.iter().try_fold(0u64, |number, digit| {
            let digit = in_range(*digit, b'0'..=b'9')?;
            number.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }

    fn hex(&mut self, digits: usize) -> Option<u64> {
        let field = self.until(b' ')?;
        hex(field, digits)
    }

    /// The checksum that ends a line.
    fn last_hex8(&mut self) -> Option<u32> {
        let field = self.until(b'\n')?;
        let crc = hex(field, 8)?;
        if self.0.is_empty() { u32::try_from(crc).ok() } else { None }
    }
}

/// A lower-case hexadecimal number of exactly so many digits.
pub(super) fn hex(field: &[u8], digits: usize) -> Option<u64> {
    if field.len() != digits || digits > 16 {
        return None;
    }
    field.iter().try_fold(0u64, |number, digit| {
        let low = in_range(*digit, b'0'..=b'9');
        let digit = low.or_else(|| in_range(*digit, b'a'..=b'f').map(|digit| digit + 10))?;
        Some(number << 4 | u64::from(digit))
    })
}

fn in_range(byte: u8, range: RangeInclusive<u8>) -> Option<u8> {
    range.contains(&byte).then(|| byte - range.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(0x00ab_cdef_0123_4567);
    const FRAME: Frame = Frame {
        previous_end: None,
        position: Position(1234),
        unsynced: 34,
        millis: 1_763_827_200_123,
        len: 7,
        previous_crc: 0x0000_beef,
    };

    fn encoded(frame: &Frame, payload: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        encode_frame_line(&mut line, SALT, frame, payload);
        line
    }

    #[test]
    fn lines_come_back_as_they_went_in() {
        let mut line = Vec::new();
        let header = Header { salt: SALT, previous: Salt(u64::MAX) };
        header.encode(&mut line);
        assert!(line.starts_with(b"#FASTNESS 1 00abcdef01234567 ffffffffffffffff "));
        assert_eq!(Header::parse(&line), Some(header));
        for frame in [FRAME, Frame { previous_end: Some(Position(1234)), ..FRAME }] {
            let line = encoded(&frame, b"payload");
            let parsed = FrameLine::parse(&line).unwrap();
            assert_eq!(parsed.frame, frame);
            assert!(parsed.vouches_for(SALT, &line, b"payload"));
            assert!(!parsed.vouches_for(SALT, &line, b"paylaod"));
            assert!(!parsed.vouches_for(Salt(1), &line, b"payload"));
        }
        assert_eq!(FRAME.end(), Some(Position(1241)));
        assert_eq!(FRAME.proves_synced(), Position(1200));
    }

    #[test]
    fn largest_values_fit_into_a_line() {
        let max = u64::MAX;
        let frame = Frame {
            previous_end: Some(Position(max)),
            position: Position(max),
            unsynced: max,
            millis: UnixMillis::MAX,
            len: 0,
            previous_crc: u32::MAX,
        };
        let line = encoded(&frame, b"");
        assert!(line.len() <= FRAME_LINE_LEN_MAX);
        assert_eq!(FrameLine::parse(&line).unwrap().frame, frame);
    }

    #[test]
    fn no_flipped_bit_leaves_a_line_valid() {
        let mut header = Vec::new();
        Header { salt: SALT, previous: Salt(0) }.encode(&mut header);
        let frame = encoded(&FRAME, b"payload");
        for bit in 0..header.len() * 8 {
            let mut bytes = header.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&bytes), None, "bit {bit}");
        }
        for bit in 0..frame.len() * 8 {
            let mut bytes = frame.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let vouched = FrameLine::parse(&bytes)
                .is_some_and(|parsed| parsed.vouches_for(SALT, &bytes, b"payload"));
            assert!(!vouched, "bit {bit}");
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_a_frame_line() {
        let line = String::from_utf8(encoded(&FRAME, b"payload")).unwrap();
        for (from, to) in
            [("1234", "01234"), (" 34", "  34"), ("beef", "BEEF"), (" 7 ", " +7 "), ("\n", "\r\n")]
        {
            assert_eq!(FrameLine::parse(line.replace(from, to).as_bytes()), None, "{to:?}");
        }
        assert_eq!(FrameLine::parse(format!("{line} ").as_bytes()), None);
        let huge = line.replace("1234", "18446744073709551616");
        assert_eq!(FrameLine::parse(huge.as_bytes()), None);
    }

    #[test]
    fn filler_is_whole_lines_of_marks() {
        assert!(is_filler(b"#\n") && is_filler(&[&[b'#'; 1022][..], b"\n"].concat()));
        assert!(!is_filler(b"\n") && !is_filler(b"##") && !is_filler(b"# #\n"));
        assert!(!is_filler(&[&[b'#'; 1023][..], b"\n"].concat()));
        assert_eq!(line(b"ab\ncd\n"), Some(&b"ab\n"[..]));
        assert_eq!(line(&[b'#'; 2000]), None);
    }
}
