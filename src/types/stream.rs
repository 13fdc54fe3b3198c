//! Streams: entries with increasing ids, and the consumer groups that read them.
//!
//! Kept in the plain form that snapshots have, so that a stream survives load and save.

use super::stream_image::StreamImage;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream(StreamImage);

impl Stream {
    /// From what a snapshot holds.
    pub fn from_image(image: StreamImage) -> Result<Self, &'static str> {
        Ok(Self(image))
    }

    /// As a snapshot holds it.
    pub fn to_image(&self) -> StreamImage {
        self.0.clone()
    }

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
        size_of::<Self>()
    }
}
