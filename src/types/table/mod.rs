//! The hash table of the keyspace and of large hashes, sets and sorted sets.
//!
//! Extendible hashing in bounded segments: a hash's top bits lead through the directory to a segment
//! of at most about 112 entries in 64-byte buckets (`segment.rs` has the picture). Growth splits one
//! segment in two, so there is no rehash of the whole, no second table beside the first, and no
//! operation that touches more than one segment and one page of the directory. A table of a few
//! entries is a single segment, inline, with one or two buckets.
//!
//! Entries own their keys (`Slot`), are usually pointer-sized, and the caller passes the hash, which
//! must be `Slot::hash` of the entry. Because segments partition the hash order, anything can be
//! walked in that order while the table grows and shrinks: `segment_at`, `scan` and `extract` work on
//! positions, which are hashes, and a segment is the positions from its start up to the next's.
//! Each segment carries metadata `M`, copied when it splits; two segments merge only when
//! `SegmentMeta::merged` knows how.
//!
//! Nothing here fails: memory is the only resource, and an allocation that fails aborts.

mod directory;
mod lay_out;
mod segment;
mod shared;
mod walk;

#[cfg(test)]
mod tests;

use crate::types::hash64::hash64;
use directory::Directory;
use segment::{Need, Place, Segment};
pub use shared::SharedTable;
pub use walk::SegmentRef;

/// Siblings are merged when together they have no more entries than this.
const MERGE_AT: u32 = 40;
/// `reserve` plans segments for this many entries.
const RESERVED_LEN: usize = 72;
const RESERVE_DEPTH_MAX: u8 = 24;

/// Something a table can hold: it knows its own key.
pub trait Slot: Clone {
    /// The key it is found by. Must not change while it is in a table.
    fn key(&self) -> &[u8];

    /// The hash of the key, as callers of the table pass it.
    fn hash(&self) -> u64 {
        hash64(self.key())
    }

    /// Has the memory on its way that holds the key, if that is elsewhere.
    fn bring_near(&self) {}
}

/// What a table keeps per segment for its owner.
pub trait SegmentMeta: Clone + Default {
    /// The metadata of the two segments joined, or None if they must stay apart for now.
    fn merged(&self, sibling: &Self) -> Option<Self>;
}

impl SegmentMeta for () {
    fn merged(&self, _sibling: &Self) -> Option<Self> {
        Some(())
    }
}

/// Where an entry is among those of its segment.
#[derive(Clone, Copy, Debug)]
pub struct Seat(Place);

/// A place of the table that is on its way.
pub struct Approach<'a, E, M> {
    segment: &'a Segment<E, M>,
    hash: u64,
}

impl<E, M> std::fmt::Debug for Approach<'_, E, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approach").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl<'a, E: Slot, M: SegmentMeta> Approach<'a, E, M> {
    /// Once the place is here: the entry that may be the one with this hash, on its way.
    #[inline]
    pub fn bring_entry(&self) -> Option<&'a E> {
        let entry = self.segment.glimpse(self.hash)?;
        entry.bring_near();
        Some(entry)
    }
}

/// A hash table of entries that own their keys.
#[derive(Clone)]
pub struct Table<E, M = ()> {
    root: Root<E, M>,
    len: usize,
}

#[derive(Clone)]
enum Root<E, M> {
    One(Segment<E, M>),
    Many(Box<Directory<E, M>>),
}

impl<E, M> std::fmt::Debug for Table<E, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<E: Slot, M: SegmentMeta> Default for Table<E, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Slot, M: SegmentMeta> Table<E, M> {
    /// An empty table; takes no memory of its own until the first entry.
    pub fn new() -> Self {
        Self { root: Root::One(Segment::default()), len: 0 }
    }

    /// How many entries there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry with this key.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<&E> {
        self.segment(hash).get(hash, key)
    }

    /// Has the place on its way where an entry with this hash would be found.
    #[inline]
    pub fn approach(&self, hash: u64) -> Approach<'_, E, M> {
        let segment = self.segment(hash);
        segment.bring_home(hash);
        Approach { segment, hash }
    }

    /// Where the entry with this key is, until the table changes.
    #[inline]
    pub fn seat(&self, hash: u64, key: &[u8]) -> Option<Seat> {
        self.segment(hash).find(hash, key).map(Seat)
    }

    /// The entry there, to change anything but the key.
    #[inline]
    pub fn seated_mut(&mut self, hash: u64, seat: Seat) -> Option<&mut E> {
        self.segment_mut(hash).at_mut(seat.0)
    }

    /// The entry with this key, to change anything but the key.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        let segment = self.segment_mut(hash);
        segment.at_mut(segment.find(hash, key)?)
    }

    /// Like `find_mut`, with the metadata of the segment that the entry is in.
    #[inline]
    pub fn find_mut_with_meta(&mut self, hash: u64, key: &[u8]) -> Option<(&mut E, &mut M)> {
        self.segment_mut(hash).find_with_meta(hash, key)
    }

    /// Adds an entry whose key is known to be absent, and gives it back for changes.
    pub fn insert_new(&mut self, hash: u64, entry: E) -> &mut E {
        debug_assert!(self.find(hash, entry.key()).is_none(), "the key is there already");
        let mut entry = entry;
        let place = loop {
            match self.segment_mut(hash).try_insert(hash, entry) {
                Ok(place) => break place,
                Err(back) => entry = back,
            }
            self.make_room(hash);
        };
        self.len += 1;
        self.segment_mut(hash).at_mut(place).expect("the entry was put here just now")
    }

    /// Puts an entry in the place of the one with the same key, which is returned, or adds it.
    pub fn replace(&mut self, hash: u64, entry: E) -> Option<E> {
        match self.find_mut(hash, entry.key()) {
            Some(old) => Some(std::mem::replace(old, entry)),
            None => {
                self.insert_new(hash, entry);
                None
            }
        }
    }

    /// Takes the entry with this key out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<E> {
        let segment = self.segment_mut(hash);
        let place = segment.find(hash, key)?;
        let entry = segment.take(hash, place)?;
        // A look at the sibling costs a cache miss, so not at every removal.
        let sparse =
            segment.is_sparse() || (segment.len <= MERGE_AT / 2 && segment.len.is_multiple_of(4));
        self.len -= 1;
        if sparse {
            self.shrink(hash);
        }
        Some(entry)
    }

    /// Takes out, of the segment at `position`, every entry that `chosen` picks, into `taken`.
    /// The next position, or None after the last segment.
    pub fn extract(
        &mut self,
        position: u64,
        mut chosen: impl FnMut(&mut E) -> bool,
        taken: &mut Vec<E>,
    ) -> Option<u64> {
        let before = taken.len();
        let segment = self.segment_mut(position);
        let next = walk::end_of(position, segment.depth);
        let mut segment_len = segment.len;
        for slot in segment.slots_mut() {
            if let Some(entry) = slot.take_if(&mut chosen) {
                taken.push(entry);
            }
        }
        let count = taken.len() - before;
        if count > 0 {
            segment.len -= count as u32;
            segment.rebuild_to_fit();
            segment_len = segment.len;
            self.len -= count;
        }
        // Also when nothing was taken: the sibling's metadata may have stood in the way before.
        if segment_len <= MERGE_AT / 2 {
            self.shrink(position);
        }
        next
    }

    /// Keeps the entries that `keep` accepts; the others are dropped. Takes as long as it takes:
    /// for a large table under a lock use `extract`, segment by segment.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut E) -> bool) {
        let mut dropped = Vec::new();
        let mut position = Some(0);
        while let Some(at) = position {
            // The segment may merge with its sibling, walked or not, but never moves its end back.
            position = self.extract(at, |entry| !keep(entry), &mut dropped);
            dropped.clear();
        }
    }

    /// Drops everything, the memory included; the metadata starts anew.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Lays a directory out for `additional` entries; does nothing unless the table is empty. Costs
    /// about a byte per entry: the caller bounds the number by something it has checked.
    pub fn reserve(&mut self, additional: usize) {
        if self.len > 0 || additional <= RESERVED_LEN {
            return;
        }
        let wanted = (additional / RESERVED_LEN).max(1).ilog2() as u8 + 1;
        let depth = wanted.min(RESERVE_DEPTH_MAX);
        let expected = additional.div_ceil(1 << depth).min(RESERVED_LEN);
        let directory = Directory::planned(depth, expected, self.segment_meta(0));
        self.root = Root::Many(Box::new(directory));
    }

    /// The metadata of the segment that a hash belongs to.
    #[inline]
    pub fn segment_meta(&self, hash: u64) -> &M {
        &self.segment(hash).meta
    }

    /// The metadata of the segment that a hash belongs to, to change it.
    #[inline]
    pub fn segment_meta_mut(&mut self, hash: u64) -> &mut M {
        &mut self.segment_mut(hash).meta
    }

    /// A place to ask the processor for the cache lines of a coming `find`; nothing yet.
    #[inline]
    pub fn prefetch(&self, _hash: u64) {}

    /// Bytes that the table has allocated, without those of the entries.
    pub fn memory_bytes(&self) -> usize {
        let buckets: usize = self.segments().map(Segment::heap_bytes).sum();
        match &self.root {
            Root::One(_) => buckets,
            Root::Many(directory) => buckets + directory.heap_bytes(),
        }
    }

    #[inline]
    fn segment(&self, hash: u64) -> &Segment<E, M> {
        match &self.root {
            Root::One(segment) => segment,
            Root::Many(directory) => directory.segment(hash),
        }
    }

    #[inline]
    fn segment_mut(&mut self, hash: u64) -> &mut Segment<E, M> {
        match &mut self.root {
            Root::One(segment) => segment,
            Root::Many(directory) => directory.segment_mut(hash),
        }
    }

    #[cold]
    fn make_room(&mut self, hash: u64) {
        let may_split = match &self.root {
            Root::One(_) => true,
            Root::Many(directory) => directory.may_deepen(directory.segment(hash).depth),
        };
        let segment = self.segment_mut(hash);
        let left = segment.bucket_count();
        match segment.need(may_split) {
            Need::Stash => segment.add_stash(),
            Need::Buckets(regular) => segment.rebuild(regular),
            Need::Split => self.split(hash),
        }
        if let Root::Many(directory) = &mut self.root {
            directory.note_size(hash);
            directory.compact(left);
        }
    }

    fn split(&mut self, hash: u64) {
        if let Root::One(segment) = &mut self.root {
            let directory = Directory::new(std::mem::take(segment));
            self.root = Root::Many(Box::new(directory));
        }
        if let Root::Many(directory) = &mut self.root {
            directory.split(hash);
        }
    }

    #[cold]
    fn shrink(&mut self, hash: u64) {
        if let Root::Many(directory) = &mut self.root
            && directory.merge(hash, MERGE_AT)
        {
            let directory = std::mem::replace(&mut self.root, Root::One(Segment::default()));
            if let Root::Many(directory) = directory {
                self.root = Root::One(directory.into_single());
            }
        }
        let segment = self.segment_mut(hash);
        if segment.is_sparse() {
            segment.rebuild_to_fit();
            if let Root::Many(directory) = &mut self.root {
                directory.note_size(hash);
            }
        }
    }
}
