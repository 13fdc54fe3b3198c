//! A table's entries as they were at one instant, to be read elsewhere.
//!
//! Sharing copies one pointer for each chunk of segments. Whoever changes the table afterwards first
//! copies the chunk it changes, so both sides are right without knowing of each other. Reading gives
//! the chunks back one by one: those that were read already are copied no more.

use std::sync::Arc;

use super::segment::Segment;
use super::{Root, SegmentMeta, Slot, Table};

/// The entries of a table at one instant.
pub struct SharedTable<E, M = ()> {
    chunks: Vec<Arc<[Segment<E, M>]>>,
    len: usize,
}

impl<E: Slot, M: SegmentMeta> SharedTable<E, M> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Shows every entry, in no particular order, and lets go of each part once it was shown.
    pub fn drain<Error>(self, mut f: impl FnMut(&E) -> Result<(), Error>) -> Result<(), Error> {
        for chunk in self.chunks {
            chunk.iter().flat_map(Segment::entries).try_for_each(&mut f)?;
        }
        Ok(())
    }
}

impl<E: Slot, M: SegmentMeta> Table<E, M> {
    /// The entries as they are now; `None` for a table so small that it is a single segment.
    pub fn share(&mut self) -> Option<SharedTable<E, M>> {
        match &mut self.root {
            Root::One(_) => None,
            Root::Many(directory) => Some(SharedTable { chunks: directory.share(), len: self.len }),
        }
    }
}
