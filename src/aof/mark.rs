//! A place in a log, as a snapshot tells it: the snapshot holds all of this log up to there.
//!
//! Positions grow within one log, whatever the clock does, and say nothing of another one. A log is known by the
//! salt of any of its segments. Spec: `format-spec/snapshot.md`, section "Opcodes".

use std::fmt;

use super::record::{Position, Salt};

/// The field of a snapshot's head that holds a [`LogMark`].
pub const MARK_FIELD: &str = "fastness-log";
/// The field with the instant that the snapshot holds, in Unix milliseconds.
pub const MILLIS_FIELD: &str = "fastness-ms";

/// A segment's salt and a position in that segment, or at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark {
    pub salt: Salt,
    pub position: Position,
}

impl LogMark {
    /// The mark of what is in memory once the log is off, where this is its end: snapshots may hold more from there on, and
    /// a position behind the end says so to a later start with the log on. It holds all of the log, so nothing else changes.
    pub fn behind_log(self) -> Self {
        Self { position: Position(self.position.0.saturating_add(1)), ..self }
    }

    /// As [`Display`](fmt::Display) writes it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (salt, position) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        let salt = Salt(u64::from_str_radix(salt, 16).ok()?);
        let mark = Self { salt, position: Position(position.parse().ok()?) };
        (mark.to_string().as_bytes() == text).then_some(mark)
    }
}

impl fmt::Display for LogMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.salt, self.position.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_in_no_other_form() {
        let mark = LogMark { salt: Salt(0x1f), position: Position(12_345) };
        assert_eq!(mark.to_string(), "000000000000001f 12345");
        assert_eq!(LogMark::parse(mark.to_string().as_bytes()), Some(mark));
        let others = ["", " ", "1f 12345", "000000000000001F 1", "000000000000001f +1", "x"];
        for other in others {
            assert_eq!(LogMark::parse(other.as_bytes()), None, "{other}");
        }
    }
}
