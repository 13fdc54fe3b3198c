//! What a command can fail with; `Display` is the text on the wire, code included.

use std::borrow::Cow;
use std::fmt;

use crate::raw_text;

/// What an error tells of a word that was sent: as in Redis, nothing behind a NUL. For [`CommandError::owned`], which
/// has the very bytes again.
pub fn told(word: &[u8]) -> Cow<'_, str> {
    raw_text::mark(told_bytes(word))
}

/// The same for people and fields of text.
pub fn told_lossy(word: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(told_bytes(word))
}

/// The same as bytes.
pub fn told_bytes(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Longest first word of an error that is counted by itself.
const CODE_BYTES_MAX: usize = 30;

/// Why a command failed. Comparable, so that tests can name the exact cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The key holds another type.
    WrongType,
    /// Arguments that do not fit together.
    Syntax,
    /// An argument that must be an integer.
    NotInteger,
    /// An argument that must be a float.
    NotFloat,
    /// An index beyond the collection.
    IndexOutOfRange,
    /// The key that must be there is not.
    NoSuchKey,
    /// An increment beyond 64 bits.
    Overflow,
    /// A float increment that ends in NaN or infinity.
    NanOrInfinity,
    /// A timeout that is not a number.
    TimeoutNotFloat,
    /// A timeout below zero.
    TimeoutNegative,
    /// The wrong number of arguments; the full name of the command.
    Arity(String),
    /// Memory is above `maxmemory`.
    OutOfMemory,
    /// Anything else: the whole text with its code.
    Text(Cow<'static, str>),
    /// The same with bytes that are not UTF-8: what a script raised, or a client's words.
    Bytes(Vec<u8>),
}

impl CommandError {
    /// A fixed text, with its code.
    pub const fn text(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A built text, with its code. What [`told`] made of a client's words is its bytes again.
    pub fn owned(text: String) -> Self {
        match raw_text::unmark(&text) {
            Cow::Borrowed(_) => Self::Text(Cow::Owned(text)),
            Cow::Owned(bytes) => Self::Bytes(bytes),
        }
    }

    /// A text with bytes of a client's in it, UTF-8 or not, with its code.
    pub fn bytes(text: Vec<u8>) -> Self {
        match String::from_utf8(text) {
            Ok(text) => Self::Text(Cow::Owned(text)),
            Err(bytes) => Self::Bytes(bytes.into_bytes()),
        }
    }

    /// `invalid expire time in 'set' command`
    pub fn invalid_expire(command: &str) -> Self {
        Self::owned(format!("ERR invalid expire time in '{}' command", command.to_lowercase()))
    }

    /// Writes it as a reply.
    pub fn write(&self, reply: &mut crate::resp::Reply) {
        match self {
            Self::Bytes(text) => reply.error_bytes(text),
            other => reply.error(&other.to_string()),
        }
    }

    /// The first word: `ERR`, `WRONGTYPE`, ... as INFO errorstats counts them. What has no first word, or a long one,
    /// counts as `ERR`; a script may have put anything into it.
    pub fn code(&self) -> String {
        let text = self.to_string();
        let line_ends_too = [' ', '\r', '\n'];
        match text.split_once(line_ends_too) {
            Some((word, _)) if word.len() <= CODE_BYTES_MAX => word.to_owned(),
            _ => "ERR".to_owned(),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::NotInteger => "ERR value is not an integer or out of range",
            Self::NotFloat => "ERR value is not a valid float",
            Self::IndexOutOfRange => "ERR index out of range",
            Self::NoSuchKey => "ERR no such key",
            Self::Overflow => "ERR increment or decrement would overflow",
            Self::NanOrInfinity => "ERR increment would produce NaN or Infinity",
            Self::TimeoutNotFloat => "ERR timeout is not a float or out of range",
            Self::TimeoutNegative => "ERR timeout is negative",
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::Arity(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            Self::Text(text) => text,
            Self::Bytes(text) => return f.write_str(&String::from_utf8_lossy(text)),
        })
    }
}

impl std::error::Error for CommandError {}
