//! One element of a packed value: an integer or a run of bytes, and its text form.

use std::borrow::Cow;

use crate::number::parse_i64;

/// Room for the text of an integer element, so that reading it needs no allocation.
pub type IntText = itoa::Buffer;

/// An element as it is stored: an integer, or bytes that are not a canonical integer.
///
/// `==` compares the stored form. Use [`Element::same_text`] where a foreign file may have stored
/// an integer as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// An integer; its text is canonical decimal.
    Int(i64),
    /// Any other bytes.
    Str(&'a [u8]),
}

impl<'a> From<&'a [u8]> for Element<'a> {
    /// Canonical decimal text becomes `Int`.
    #[inline]
    fn from(text: &'a [u8]) -> Self {
        match parse_i64(text) {
            Some(value) => Self::Int(value),
            None => Self::Str(text),
        }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Element<'a> {
    fn from(text: &'a [u8; N]) -> Self {
        Self::from(text.as_slice())
    }
}

impl<'a> From<&'a str> for Element<'a> {
    fn from(text: &'a str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl<'a> From<&'a Vec<u8>> for Element<'a> {
    fn from(text: &'a Vec<u8>) -> Self {
        Self::from(text.as_slice())
    }
}

impl From<i64> for Element<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl<'a> Element<'a> {
    /// The text of the element; `buffer` is used for integers only.
    #[inline]
    pub fn text<'b>(&self, buffer: &'b mut IntText) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Int(value) => buffer.format(value).as_bytes(),
            Self::Str(bytes) => bytes,
        }
    }

    /// Calls `f` with the text of the element.
    #[inline]
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match *self {
            Self::Int(value) => f(IntText::new().format(value).as_bytes()),
            Self::Str(bytes) => f(bytes),
        }
    }

    /// The text, borrowed where it is stored as text.
    pub fn to_cow(&self) -> Cow<'a, [u8]> {
        match *self {
            Self::Int(value) => Cow::Owned(IntText::new().format(value).as_bytes().to_vec()),
            Self::Str(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// The text in a buffer of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Appends the text to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        self.with_bytes(|bytes| out.extend_from_slice(bytes));
    }

    /// Bytes of text.
    #[inline]
    pub fn len(&self) -> usize {
        match *self {
            Self::Int(value) => {
                let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                digits + usize::from(value < 0)
            }
            Self::Str(bytes) => bytes.len(),
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Str([]))
    }

    /// The integer whose canonical text this is, however it is stored.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Self::Int(value) => Some(value),
            Self::Str(bytes) => parse_i64(bytes),
        }
    }

    /// Whether the text is `text`.
    #[inline]
    pub fn eq_bytes(&self, text: &[u8]) -> bool {
        match *self {
            Self::Int(value) => self.len() == text.len() && parse_i64(text) == Some(value),
            Self::Str(bytes) => bytes == text,
        }
    }

    /// Whether both have the same text, however they are stored.
    pub fn same_text(&self, other: Element<'_>) -> bool {
        match (*self, other) {
            (Self::Int(a), Element::Int(b)) => a == b,
            (Self::Str(a), Element::Str(b)) => a == b,
            (Self::Int(a), Element::Str(b)) => parse_i64(b) == Some(a),
            (Self::Str(a), Element::Int(b)) => parse_i64(a) == Some(b),
        }
    }
}
