//! What can be wrong with a log file, where, and whether a power loss explains it.
//!
//! Torn means: the bytes from `offset` on look like writes that were not synced when the power went; nothing that
//! was acknowledged as synced is among them, and the file may be cut there if it is the last one
//! with content. Damaged means that no power loss leaves this: something was synced and is not there any more.
//! `format-spec/aof.md`, section 6.

use std::fmt;

use super::record::Position;
use super::syntax::RecordFault;

/// A place in a log file that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptionError {
    /// The file's name, as the manifest lists it.
    pub file: String,
    /// The offset of the first byte that is not believed: the start of a line, frame or record.
    pub offset: u64,
    /// The position of the log there: everything before it is believed.
    pub position: Position,
    /// What is wrong there.
    pub kind: CorruptionKind,
    /// Whether a power loss explains it.
    pub torn: bool,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorruptionKind {
    /// The header line is missing or does not hold.
    BadHeader,
    /// The header is that of another file than the one that the manifest lists.
    WrongFile,
    /// A line that starts with `#` has no newline.
    UnterminatedLine,
    /// Where a frame must start there is something else.
    NoFrame,
    /// The file ends before the frame's payload does.
    ShortPayload,
    /// Line and payload are not what the frame's checksum was made over.
    BadChecksum,
    /// A frame that was there before: it starts at `found`, where `expected` is next.
    Repeated { expected: Position, found: Position },
    /// Frames are missing: the next one starts at `found`, where `expected` is next.
    Missing { expected: Position, found: Position },
    /// The frame follows another frame than the one before it.
    WrongPredecessor,
    /// The first frame of a segment in the middle, or another one at its start.
    MisplacedFirstFrame,
    /// A frame's payload is not a sequence of whole records.
    BadRecord(RecordFault),
    /// MULTI and EXEC do not match within a frame.
    SplitTransaction,
    /// A frame in a file that has no header, or behind records that have no frame.
    FrameWithoutHeader,
    /// The file ends inside a record.
    TruncatedRecord,
    /// The file ends inside a transaction.
    OpenTransaction,
    /// Only zeros from here to the end.
    ZeroTail,
    /// The file ends at `found`, and the manifest says that it reached `expected` when it was left.
    EndsEarly { expected: Position, found: Position },
}

impl CorruptionKind {
    /// Whether the file ends too early, rather than holding something wrong.
    pub fn is_short(self) -> bool {
        matches!(
            self,
            Self::UnterminatedLine
                | Self::ShortPayload
                | Self::TruncatedRecord
                | Self::OpenTransaction
                | Self::EndsEarly { .. }
        )
    }

    /// What is wrong, as a clause for messages.
    fn text(self) -> &'static str {
        match self {
            Self::BadHeader => "the header line is missing or damaged",
            Self::WrongFile => "this is another file than the one that the manifest lists",
            Self::UnterminatedLine => "a comment line has no end",
            Self::NoFrame => "there is no frame where one must start",
            Self::ShortPayload => "the file ends inside a frame",
            Self::BadChecksum => "the checksum of a frame does not hold",
            Self::Repeated { .. } => "a frame is there again",
            Self::Missing { .. } => "frames are missing",
            Self::WrongPredecessor => "the frame belongs behind another one",
            Self::MisplacedFirstFrame => "the first frame is not where it must be",
            Self::BadRecord(_) => "a record is not well formed",
            Self::SplitTransaction => "MULTI and EXEC do not match",
            Self::FrameWithoutHeader => "there is a frame in a file without a header",
            Self::TruncatedRecord => "the file ends inside a record",
            Self::OpenTransaction => "the file ends inside a transaction",
            Self::ZeroTail => "there are only zeros from here on",
            Self::EndsEarly { .. } => "the file ends before the place that it once reached",
        }
    }
}

impl fmt::Display for CorruptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.torn { "torn" } else { "damaged" };
        write!(f, "{} is {what} at offset {}: {}", self.file, self.offset, self.kind.text())?;
        match self.kind {
            CorruptionKind::Repeated { expected, found }
            | CorruptionKind::Missing { expected, found } => {
                write!(f, " (log position {found} where {expected} is next)")
            }
            CorruptionKind::EndsEarly { expected, found } if expected != found => {
                write!(f, " (log position {found}, not {expected})")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for CorruptionError {}
