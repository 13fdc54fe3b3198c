//! Reading ids: whole ones, ends of intervals, and those that leave the sequence number open.

use super::CommandError;
use crate::number::parse_u64;
use crate::types::stream::StreamId;

/// What is said of everything that is no id.
pub(super) const INVALID: CommandError =
    CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// Longest text that is looked at.
const TEXT_BYTES_MAX: usize = 127;

/// The id of a new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    Milliseconds(u64),
    /// The id itself.
    Given(StreamId),
}

/// An id; `-` and `+` are none.
pub(super) fn parse(text: &[u8]) -> Result<StreamId, CommandError> {
    parse_or(text, 0)
}

/// An id, or `-` and `+` for the least and the greatest.
pub(super) fn parse_any(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        text => parse_or(text, missing_seq),
    }
}

/// The id of an entry to add, but for `*` alone.
pub(super) fn parse_new(text: &[u8]) -> Result<NewId, CommandError> {
    if let Some(ms) = text.strip_suffix(b"-*").filter(|_| text.len() <= TEXT_BYTES_MAX)
        && !ms.contains(&b'-')
    {
        return parse_u64(ms).map(NewId::Milliseconds).ok_or(INVALID);
    }
    parse(text).map(NewId::Given)
}

/// The first id of an interval, which `(` excludes.
pub(super) fn parse_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match exclusive(text) {
        Some(text) => parse_or(text, 0)?
            .next()
            .ok_or(CommandError::text("ERR invalid start ID for the interval")),
        None => parse_any(text, 0),
    }
}

/// The last id of an interval, which `(` excludes.
pub(super) fn parse_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match exclusive(text) {
        Some(text) => parse_or(text, u64::MAX)?
            .previous()
            .ok_or(CommandError::text("ERR invalid end ID for the interval")),
        None => parse_any(text, u64::MAX),
    }
}

fn exclusive(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

/// `ms-seq` or `ms`.
fn parse_or(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(INVALID);
    }
    let dash = text.iter().position(|byte| *byte == b'-');
    let (ms, seq) = match dash {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let ms = parse_u64(ms).ok_or(INVALID)?;
    let seq = seq.map_or(Some(missing_seq), parse_u64).ok_or(INVALID)?;
    Ok(StreamId { ms, seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn ids_have_one_or_two_numbers() {
        assert_eq!(parse(b"5"), Ok(id(5, 0)));
        assert_eq!(parse(b"5-7"), Ok(id(5, 7)));
        assert_eq!(parse(b"18446744073709551615-18446744073709551615"), Ok(StreamId::MAX));
        for wrong in [&b""[..], b"-", b"+", b"5-", b"-5", b"5-*", b"5-7-9", b"x", b"5-x", b"*"] {
            assert_eq!(parse(wrong), Err(INVALID), "{}", wrong.escape_ascii());
        }
        assert_eq!(parse(b"18446744073709551616"), Err(INVALID));
        assert_eq!(parse(&[b'1'; 128]), Err(INVALID));
    }

    #[test]
    fn the_sequence_number_may_be_left_open() {
        assert_eq!(parse_new(b"5-*"), Ok(NewId::Milliseconds(5)));
        assert_eq!(parse_new(b"5-1"), Ok(NewId::Given(id(5, 1))));
        for wrong in [&b"-*"[..], b"x-*", b"5-1-*", b"5-**"] {
            assert_eq!(parse_new(wrong), Err(INVALID), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn ends_of_intervals_may_be_excluded() {
        assert_eq!(parse_start(b"-"), Ok(StreamId::MIN));
        assert_eq!(parse_start(b"5"), Ok(id(5, 0)));
        assert_eq!(parse_start(b"(5-1"), Ok(id(5, 2)));
        assert_eq!(parse_end(b"5"), Ok(id(5, u64::MAX)));
        assert_eq!(parse_end(b"(5"), Ok(id(5, u64::MAX - 1)));
        assert_eq!(parse_end(b"(5-0"), Ok(id(4, u64::MAX)));
        assert!(parse_end(b"(0-0").is_err() && parse_start(b"(-").is_err());
        assert!(parse_start(b"(18446744073709551615-18446744073709551615").is_err());
    }
}
