//! Streams: entries with increasing ids, and the consumer groups that read them.
//!
//! Only the empty stream exists so far.

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream;

impl Stream {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there is no entry. Unlike other values, an empty stream may stay.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// What `OBJECT ENCODING` says.
    pub fn encoding_name(&self) -> &'static str {
        "stream"
    }

    /// Bytes that the stream has allocated.
    pub fn memory_bytes(&self) -> usize {
        0
    }
}
