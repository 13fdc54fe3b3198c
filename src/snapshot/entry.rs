//! Entries of the keyspace, to and from files.
//!
//! The rest of the snapshot layer knows values only; here they become entries, and entries are written
//! with what they know about themselves. Use and frequency are the eviction policy's, so the caller
//! passes them.

use super::encode::Encoder;
use super::load::Refusal;
use super::record::Attributes;
use super::value::{Loaded, ValueView};
use crate::clock::UnixMillis;
use crate::keyspace::entry::{Entry, StrRef, Value, ValueRef};

impl Loaded<'_> {
    /// The entry of this key.
    pub fn into_entry(self, key: &[u8], expire: Option<UnixMillis>) -> Result<Entry, Refusal> {
        let value = match self {
            Self::Str(text) => return Ok(Entry::new_string(key, &text, expire)),
            Self::List(value) => Value::List(Box::new(value)),
            Self::Set(value) => Value::Set(Box::new(value)),
            Self::ZSet(value) => Value::ZSet(Box::new(value)),
            Self::Hash(value) => Value::Hash(Box::new(value)),
            Self::Stream(value) => Value::Stream(value),
        };
        Ok(Entry::new(key, value, expire))
    }
}

impl Encoder {
    /// An entry with its key and expiry.
    pub fn entry(
        &mut self,
        out: &mut Vec<u8>,
        entry: &Entry,
        idle_seconds: Option<u64>,
        frequency: Option<u8>,
    ) {
        let attributes = Attributes { expire_at_ms: entry.expire_at(), idle_seconds, frequency };
        with_view(entry.value(), |view| self.key(out, entry.key(), view, attributes));
    }
}

/// Calls `f` with a value in the form in which it is written.
pub(super) fn with_view<R>(value: ValueRef<'_>, f: impl FnOnce(ValueView<'_>) -> R) -> R {
    f(match value {
        ValueRef::Str(StrRef::Int(value)) => ValueView::Int(value),
        ValueRef::Str(StrRef::Bytes(text)) => ValueView::Str(text),
        ValueRef::List(value) => ValueView::List(value),
        ValueRef::Set(value) => ValueView::Set(value),
        ValueRef::ZSet(value) => ValueView::ZSet(value),
        ValueRef::Hash(value) => ValueView::Hash(value),
        ValueRef::Stream(value) => ValueView::Stream(value),
    })
}

/// Appends the DUMP payload of an entry's value.
pub fn dump_entry(out: &mut Vec<u8>, entry: &Entry) {
    with_view(entry.value(), |view| super::dump::dump(out, view));
}

/// Bytes that an entry's value takes in a file, without key and type (DEBUG OBJECT).
pub fn encoded_len(entry: &Entry) -> usize {
    let mut out = Vec::new();
    with_view(entry.value(), |view| Encoder::new(true).value(&mut out, view));
    out.len()
}
