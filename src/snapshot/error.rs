//! What can be wrong with an RDB file, a DUMP payload or a value inside one.
//!
//! Three levels, each comparable in tests: [`Corruption`] is a damaged byte range (offset and kind),
//! [`LoadError`] adds the key that was being read and tells damage from "made by something newer or
//! foreign", and [`RestoreError`] keeps the two answers apart that RESTORE gives.

use std::fmt;

/// A result of the byte-level readers.
pub type Parsed<T> = Result<T, Corruption>;

/// Bytes that cannot be what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// Offset from the start of the file (or payload) of the first byte that is wrong.
    pub offset: u64,
    /// What is wrong there.
    pub kind: CorruptionKind,
}

/// The ways in which bytes can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorruptionKind {
    /// The file ends inside an item.
    ShortRead {
        /// Bytes that the item needs.
        wanted: u64,
        /// Bytes that are there.
        left: u64,
    },
    /// A byte that starts no length where a length must be.
    NotALength(u8),
    /// A special string encoding that does not exist.
    BadStringEncoding(u8),
    /// A compressed string that does not decompress to what it says.
    BadCompression(&'static str),
    /// A score that is no number.
    BadScore,
    /// A packed or structured item (named first) breaks one of its rules (named second).
    Malformed(&'static str, &'static str),
    /// The same key, member, field or id occurs twice.
    Duplicate(&'static str),
    /// Bytes behind the end of the item that should fill them.
    TrailingBytes(u64),
    /// A database number that is not below the number of databases.
    NoSuchDatabase(u64),
    /// The checksum in the file does not match its bytes.
    Checksum {
        /// As stored in the file.
        stored: u64,
        /// As computed over the file's bytes.
        computed: u64,
    },
    /// The table of a container is not what it should be.
    SeekTable(&'static str),
    /// A frame of a container is not what the table says.
    Frame {
        /// Its number, from 0.
        number: u64,
        /// The keys that are in it.
        keys: u32,
        /// What is wrong.
        what: &'static str,
    },
}

impl Corruption {
    /// A corruption at `offset`.
    pub fn new(offset: u64, kind: CorruptionKind) -> Self {
        Self { offset, kind }
    }

    /// The rule `reason` of `what` is broken at `offset`.
    pub fn malformed(offset: u64, what: &'static str, reason: &'static str) -> Self {
        Self::new(offset, CorruptionKind::Malformed(what, reason))
    }
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortRead { wanted, left } => {
                write!(out, "the data ends early: {wanted} bytes needed, {left} left")
            }
            Self::NotALength(byte) => write!(out, "byte 0x{byte:02x} starts no length"),
            Self::BadStringEncoding(byte) => write!(out, "unknown string encoding 0x{byte:02x}"),
            Self::BadCompression(reason) => write!(out, "compressed string: {reason}"),
            Self::BadScore => out.write_str("a score is not a number"),
            Self::Malformed(what, reason) => write!(out, "{what}: {reason}"),
            Self::Duplicate(what) => write!(out, "duplicate {what}"),
            Self::TrailingBytes(count) => write!(out, "{count} bytes too many"),
            Self::NoSuchDatabase(index) => write!(out, "database {index} is out of range"),
            Self::Checksum { stored, computed } => {
                write!(out, "checksum is {stored:016x}, the bytes give {computed:016x}")
            }
            Self::SeekTable(what) => write!(out, "the table of frames: {what}"),
            Self::Frame { number, keys, what } => {
                write!(out, "frame {number}, which holds {keys} keys: {what}")
            }
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "offset {}: {}", self.offset, self.kind)
    }
}

impl std::error::Error for Corruption {}

/// Where in the data set a load stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The selected database.
    pub db: u32,
    /// The key being read, when its name was read already.
    pub key: Option<Vec<u8>>,
    /// The type byte of the record, when it was read already.
    pub type_byte: Option<u8>,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "database {}", self.db)?;
        if let Some(key) = &self.key {
            write!(out, ", key \"{}\"", key.escape_ascii())?;
        }
        if let Some(type_byte) = self.type_byte {
            write!(out, ", type {type_byte}")?;
        }
        Ok(())
    }
}

/// Why an RDB file was not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The first nine bytes are no RDB header.
    NotRdb,
    /// A version that this build does not know, by its header text (`REDIS0099`).
    UnknownVersion(String),
    /// The bytes are damaged.
    Damaged {
        /// What is wrong, and at which offset.
        corruption: Corruption,
        /// The record it was found in.
        place: Place,
    },
    /// The bytes may be fine, but hold something that cannot be loaded: a module's value, a type or
    /// opcode of a newer server.
    Unsupported {
        /// What it is, in words.
        what: String,
        /// Offset of the type or opcode byte.
        offset: u64,
        /// The record.
        place: Place,
        /// Version text of the server that wrote the file (`redis-ver` or `valkey-ver`).
        producer: String,
    },
    /// The receiver of the keys refused one (a function that does not compile, no memory).
    Refused {
        /// Its reason.
        reason: String,
        /// Offset of the record.
        offset: u64,
        /// The record.
        place: Place,
    },
}

impl LoadError {
    /// Whether it is a key that is there twice, which only a receiver of keys finds.
    pub(super) fn is_twice(&self) -> bool {
        matches!(self, Self::Damaged { corruption, .. } if corruption.kind == CorruptionKind::Duplicate("key"))
    }

    /// The clause by which Redis' log and tools that read it name this damage.
    pub fn redis_clause(&self) -> String {
        let Self::Damaged { corruption, place } = self else { return "Bad data format".to_owned() };
        if corruption.kind == CorruptionKind::Duplicate("consumer") {
            return "Duplicate stream consumer detected".to_owned();
        }
        if matches!(corruption.kind, CorruptionKind::Checksum { .. }) {
            return "RDB CRC error".to_owned();
        }
        let what = match place.type_byte {
            Some(9) => "Zipmap",
            Some(10) => "List ziplist",
            Some(11) => "Intset",
            Some(12) => "Zset ziplist",
            Some(13) => "Hash ziplist",
            Some(14) => "Quicklist ziplist",
            Some(15 | 19 | 21 | 26) => "Stream listpack",
            Some(16 | 22 | 23 | 25) => "Hash listpack",
            Some(17) => "Zset listpack",
            Some(18) => "Quicklist listpack",
            Some(20) => "Set listpack",
            _ => "Value",
        };
        format!("{what} integrity check failed.")
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRdb => out.write_str("not an RDB file"),
            Self::UnknownVersion(header) => {
                write!(out, "RDB version {} cannot be loaded", header.escape_debug())
            }
            Self::Damaged { corruption, place } => write!(out, "{corruption} ({place})"),
            Self::Unsupported { what, offset, place, producer } => write!(
                out,
                "offset {offset}: {what} cannot be loaded ({place}; written by {})",
                if producer.is_empty() { "an unnamed server" } else { producer }
            ),
            Self::Refused { reason, offset, place } => {
                write!(out, "offset {offset}: {reason} ({place})")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Why a DUMP payload was not restored; RESTORE answers differently to the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// Too short, made by a newer version, or the checksum does not match.
    VersionOrChecksum,
    /// The footer is right but the value is not, or is of a kind that is not supported.
    BadData(LoadError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionOrChecksum => out.write_str("DUMP payload version or checksum are wrong"),
            Self::BadData(error) => write!(out, "Bad data format: {error}"),
        }
    }
}

impl std::error::Error for RestoreError {}
