//! One reply of the wire protocol, RESP2 or RESP3, as the server shaped it.
//!
//! Doubles and big numbers stay text: what the tests compare is what was sent, digit for digit.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// `$-1`, the missing string of RESP2.
    NilBulk,
    /// `*-1`, the missing array of RESP2.
    NilArray,
    /// `_`, the one null of RESP3.
    Null,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Set(Vec<Self>),
    Push(Vec<Self>),
    Double(Vec<u8>),
    Bool(bool),
    BigNumber(Vec<u8>),
    /// The three-letter format, then the text.
    Verbatim(Vec<u8>, Vec<u8>),
}

impl Reply {
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Self::NilBulk | Self::NilArray | Self::Null)
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The integer of an integer reply, or of a string that holds one.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The text of any string-like reply.
    pub(crate) fn text(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// The bytes of any string-like reply.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes)
            | Self::Error(bytes)
            | Self::Bulk(bytes)
            | Self::Double(bytes)
            | Self::BigNumber(bytes)
            | Self::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push; empty for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            _ => &[],
        }
    }

    /// The same reply with every map written as the flat array that RESP2 has for it.
    pub(crate) fn flattened(self) -> Self {
        match self {
            Self::Map(pairs) => Self::Array(
                pairs.into_iter().flat_map(|(k, v)| [k.flattened(), v.flattened()]).collect(),
            ),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                Self::Array(items.into_iter().map(Self::flattened).collect())
            }
            other => other,
        }
    }
}

/// The notation of the transcripts, described in `tests/commands/README.md`.
impl fmt::Display for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Editors drop blanks at the end of a line.
            Self::Simple(bytes) | Self::Error(bytes) if bytes.ends_with(b" ") => {
                write!(out, "{}", nested(self))
            }
            Self::Simple(bytes) => write!(out, "+{}", escape(bytes)),
            Self::Error(bytes) => write!(out, "-{}", escape(bytes)),
            Self::Int(value) => write!(out, "{value}"),
            Self::Bulk(bytes) => write!(out, "\"{}\"", escape_quoted(bytes)),
            Self::NilBulk | Self::Null => write!(out, "nil"),
            Self::NilArray => write!(out, "nil*"),
            Self::Array(items) => write!(out, "[{}]", joined(items)),
            Self::Set(items) => write!(out, "~[{}]", joined(items)),
            Self::Push(items) => write!(out, "![{}]", joined(items)),
            Self::Map(pairs) => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{} => {}", nested(key), nested(value)))
                    .collect();
                write!(out, "{{{}}}", pairs.join(" "))
            }
            Self::Double(bytes) => write!(out, ",{}", escape(bytes)),
            Self::Bool(value) => write!(out, "{}", if *value { "#t" } else { "#f" }),
            Self::BigNumber(bytes) => write!(out, "({}", escape(bytes)),
            Self::Verbatim(format, bytes) => {
                write!(out, "={}:\"{}\"", escape(format), escape_quoted(bytes))
            }
        }
    }
}

pub(crate) fn joined(items: &[Reply]) -> String {
    items.iter().map(nested).collect::<Vec<_>>().join(" ")
}

/// A reply inside another one: a text that would not end by itself is quoted.
pub(crate) fn nested(reply: &Reply) -> String {
    let ends_itself =
        |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric());
    match reply {
        Reply::Simple(bytes) if !ends_itself(bytes) => format!("+\"{}\"", escape_quoted(bytes)),
        Reply::Error(bytes) if !ends_itself(bytes) => format!("-\"{}\"", escape_quoted(bytes)),
        other => other.to_string(),
    }
}

/// Printable ASCII as it is, everything else as escapes.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(char::from(byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

pub(crate) fn escape_quoted(bytes: &[u8]) -> String {
    escape(bytes).replace('"', "\\\"")
}
