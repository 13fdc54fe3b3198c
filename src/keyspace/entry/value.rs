//! Values as they go into, come out of, and are looked at inside an entry.

use super::Entry;
use crate::number::parse_i64;
use crate::types::listpack::IntText;
use crate::types::{Hash, List, Set, Stream, ZSet};

/// The type of a value, as commands see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    List,
    Hash,
    Set,
    ZSet,
    Stream,
}

/// A value on its way into or out of an entry.
#[derive(Clone)]
pub enum Value {
    Str(Vec<u8>),
    List(Box<List>),
    Hash(Box<Hash>),
    Set(Box<Set>),
    ZSet(Box<ZSet>),
    Stream(Box<Stream>),
}

/// A string as it is stored: an integer, or bytes.
#[derive(Clone, Copy, Debug)]
pub enum StrRef<'a> {
    /// The text is canonical decimal.
    Int(i64),
    Bytes(&'a [u8]),
}

/// A value to read.
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    Str(StrRef<'a>),
    List(&'a List),
    Hash(&'a Hash),
    Set(&'a Set),
    ZSet(&'a ZSet),
    Stream(&'a Stream),
}

/// A value to change. A string is changed through its entry, since that may move it.
pub enum ValueMut<'a> {
    Str(&'a mut Entry),
    List(&'a mut List),
    Hash(&'a mut Hash),
    Set(&'a mut Set),
    ZSet(&'a mut ZSet),
    Stream(&'a mut Stream),
}

impl Kind {
    /// Redis' name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::ZSet => "zset",
            Self::Stream => "stream",
        }
    }
}

impl<'a> StrRef<'a> {
    /// The text; `buffer` is used for an integer only.
    #[inline]
    pub fn text<'b>(self, buffer: &'b mut IntText) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(value) => buffer.format(value).as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Calls `f` with the text.
    #[inline]
    pub fn with_bytes<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.text(&mut IntText::new()))
    }

    /// The text in a buffer of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Bytes of text.
    pub fn len(self) -> usize {
        self.with_bytes(<[u8]>::len)
    }

    /// Whether the text is empty.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Bytes([]))
    }

    /// The integer whose canonical text this is.
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Bytes(bytes) => parse_i64(bytes),
        }
    }
}
