//! A table that is known to grow, laid out for it at once.

use super::walk::end_of;
use super::{Root, SegmentMeta, Slot, Table};

impl<E: Slot, M: SegmentMeta> Table<E, M> {
    /// Moves everything into a table that is laid out for `expected` entries. Takes as long as it takes, and the memory of
    /// both tables while it does. Where the metadata of segments that are to be one cannot be joined, it changes nothing.
    pub fn lay_out(&mut self, expected: usize) {
        let mut laid_out = Self::new();
        laid_out.reserve(expected);
        if laid_out.take_meta(self).is_none() {
            return;
        }
        for entry in self.take_entries() {
            laid_out.insert_new(entry.hash(), entry);
        }
        *self = laid_out;
    }

    /// Gives each segment the metadata of those of `other` that cover the same hashes.
    fn take_meta(&mut self, other: &Self) -> Option<()> {
        let mut position = Some(0);
        while let Some(start) = position {
            let segment = other.segment_at(start);
            position = segment.next();
            let mut part = Some(start);
            while let Some(at) = part.filter(|at| position.is_none_or(|end| *at < end)) {
                let depth = self.segment(at).depth;
                let own = self.segment_meta_mut(at);
                let begins = super::directory::prefix(at, depth) == at;
                *own = if begins { segment.meta().clone() } else { own.merged(segment.meta())? };
                part = end_of(at, depth);
            }
        }
        Some(())
    }

    /// Everything, out of segments that are not looked at any more.
    fn take_entries(&mut self) -> impl Iterator<Item = E> {
        let (one, many) = match &mut self.root {
            Root::One(segment) => (Some(segment), None),
            Root::Many(directory) => (None, Some(directory.chunks_mut())),
        };
        let segments = one.into_iter().chain(many.into_iter().flatten().flatten());
        segments.flat_map(|segment| segment.slots_mut()).filter_map(Option::take)
    }
}
