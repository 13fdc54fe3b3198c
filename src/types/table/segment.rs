//! One segment of a table: the entries whose hashes share a prefix of `depth` bits.
//!
//! A segment is an array of 64-byte buckets of seven slots. An entry lives in its home bucket, else
//! in the next one, else in a stash bucket behind the regular ones:
//!
//!     buckets: [ home 0 | home 1 | ... | home regular-1 | stash ... ]
//!     bucket:  [ 7 tags, 1 byte of counts | 7 x Option<entry> ]
//!
//! The home comes from bits 8..24 of the hash by multiply-shift, the tag from the lowest 8; the
//! directory uses the top bits. A bucket counts the entries it is home to but does not hold (low
//! nibble: in the neighbour, high nibble: in the stash), so a miss usually ends in one cache line.
//! A segment that has no room is rebuilt larger, or split in two by the directory, which moves the buckets of others
//! then so that they fill the allocator's pages.

use super::{SegmentMeta, Slot};
use crate::types::near;

/// Slots of a bucket: with 8-byte entries and the control bytes they fill a cache line.
pub(super) const SLOTS: usize = 7;
/// Regular buckets of a full-grown segment; one with more entries than these hold is split.
pub(super) const REGULAR_MAX: usize = 16;
/// The sizes a segment grows through.
const STEPS: [usize; 9] = [1, 2, 3, 4, 6, 8, 10, 13, REGULAR_MAX];
/// The stash is used from this size on: below it, growing is cheaper.
const STASH_FROM: usize = 8;

const ONES: u64 = 0x0101_0101_0101_0101;
const TAGS: u64 = 0x00FF_FFFF_FFFF_FFFF;
const COUNTS: usize = 7;
/// A stash count that reached this is no longer exact and stays until the segment is rebuilt.
const STASHED_MANY: u8 = 0xF0;

/// A cache line of entries.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Bucket<E> {
    /// Seven tags (0: the slot is empty), then the counts.
    control: [u8; 8],
    slots: [Option<E>; SLOTS],
}

/// Where an entry is inside its segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    bucket: usize,
    slot: usize,
}

/// The entries that share a hash prefix.
#[derive(Clone)]
pub(super) struct Segment<E, M> {
    buckets: Box<[Bucket<E>]>,
    /// Entries held; in a free slot of the arena, the next free slot.
    pub(super) len: u32,
    /// Buckets that can be a home. An empty segment may have a plan here and no buckets yet.
    regular: u16,
    /// Length of the shared hash prefix in bits.
    pub(super) depth: u8,
    pub(super) meta: M,
}

/// What a segment without room for one more entry needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Stash,
    Buckets(usize),
    Split,
}

impl<E> Bucket<E> {
    fn empty() -> Self {
        Self { control: [0; 8], slots: [const { None }; SLOTS] }
    }

    fn put(&mut self, tag: u8, entry: E) -> Result<usize, E> {
        // The lowest match of the zero-byte test is always exact, so a full bucket gives none.
        let Some(slot) = matches(self.control, 0).next() else { return Err(entry) };
        self.control[slot] = tag;
        self.slots[slot] = Some(entry);
        Ok(slot)
    }

    fn entries(&self) -> impl Iterator<Item = &E> {
        self.slots.iter().flatten()
    }
}

impl<E: Slot> Bucket<E> {
    #[inline]
    fn find(&self, tag: u8, key: &[u8]) -> Option<usize> {
        matches(self.control, tag)
            .find(|&slot| self.slots[slot].as_ref().is_some_and(|entry| same_key(entry.key(), key)))
    }

    #[inline]
    fn get(&self, tag: u8, key: &[u8]) -> Option<&E> {
        let entry = |slot: usize| self.slots.get(slot)?.as_ref();
        matches(self.control, tag).filter_map(entry).find(|entry| same_key(entry.key(), key))
    }

    #[inline]
    fn glimpse(&self, tag: u8) -> Option<&E> {
        matches(self.control, tag).next().and_then(|slot| self.slots[slot].as_ref())
    }
}

/// Whether two keys are equal. Most are short, and a call of `memcmp` costs more than comparing them.
#[inline]
fn same_key(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() > 16 {
        return a == b;
    }
    if let (Some(first), Some(last)) = (a.first_chunk::<8>(), a.last_chunk::<8>()) {
        // They overlap where there are fewer than 16 bytes.
        return Some(first) == b.first_chunk() && Some(last) == b.last_chunk();
    }
    if let (Some(first), Some(last)) = (a.first_chunk::<4>(), a.last_chunk::<4>()) {
        return Some(first) == b.first_chunk() && Some(last) == b.last_chunk();
    }
    std::iter::zip(a, b).all(|(a, b)| a == b)
}

impl<E, M: SegmentMeta> Default for Segment<E, M> {
    fn default() -> Self {
        Self { buckets: Box::default(), len: 0, regular: 0, depth: 0, meta: M::default() }
    }
}

impl<E: Slot, M: SegmentMeta> Segment<E, M> {
    /// An empty segment that will start with buckets for `expected` entries.
    pub(super) fn planned(depth: u8, expected: usize) -> Self {
        Self { depth, regular: regular_for(expected) as u16, ..Self::default() }
    }

    /// Has the home bucket on its way.
    #[inline]
    pub(super) fn bring_home(&self, hash: u64) {
        near::bring(self.buckets.as_ptr().wrapping_add(self.home(hash)));
    }

    /// The first entry with the tag of this hash in the home bucket or its neighbour; no entry is looked at.
    #[inline]
    pub(super) fn glimpse(&self, hash: u64) -> Option<&E> {
        let home = self.home(hash);
        let bucket = self.buckets.get(home)?;
        if let Some(entry) = bucket.glimpse(tag(hash)) {
            return Some(entry);
        }
        if bucket.control[COUNTS] & 0x0F == 0 {
            return None;
        }
        self.buckets.get(self.neighbour(home))?.glimpse(tag(hash))
    }

    /// The entry with this key.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&E> {
        let home = self.home(hash);
        let bucket = self.buckets.get(home)?;
        if let Some(entry) = bucket.get(tag(hash), key) {
            return Some(entry);
        }
        if bucket.control[COUNTS] == 0 {
            return None;
        }
        self.at(self.find_displaced(home, tag(hash), key)?)
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let home = self.home(hash);
        let bucket = self.buckets.get(home)?;
        if let Some(slot) = bucket.find(tag(hash), key) {
            return Some(Place { bucket: home, slot });
        }
        if bucket.control[COUNTS] == 0 {
            return None;
        }
        self.find_displaced(home, tag(hash), key)
    }

    fn find_displaced(&self, home: usize, tag: u8, key: &[u8]) -> Option<Place> {
        let counts = self.buckets[home].control[COUNTS];
        if counts & 0x0F != 0 {
            let next = self.neighbour(home);
            if let Some(slot) = self.buckets[next].find(tag, key) {
                return Some(Place { bucket: next, slot });
            }
        }
        if counts & 0xF0 == 0 {
            return None;
        }
        let stash = self.buckets.iter().enumerate().skip(usize::from(self.regular));
        stash.into_iter().find_map(|(index, bucket)| {
            bucket.find(tag, key).map(|slot| Place { bucket: index, slot })
        })
    }

    /// Puts an entry where its hash wants it; gives it back when there is no room.
    pub(super) fn try_insert(&mut self, hash: u64, entry: E) -> Result<Place, E> {
        if self.buckets.is_empty() {
            self.regular = self.regular.max(1);
            self.buckets = empty_buckets(usize::from(self.regular));
        }
        let (home, tag) = (self.home(hash), tag(hash));
        let mut entry = match self.buckets[home].put(tag, entry) {
            Ok(slot) => return Ok(self.placed(home, slot)),
            Err(entry) => entry,
        };
        let next = self.neighbour(home);
        if next != home {
            match self.buckets[next].put(tag, entry) {
                Ok(slot) => {
                    self.buckets[home].control[COUNTS] += 1;
                    return Ok(self.placed(next, slot));
                }
                Err(back) => entry = back,
            }
        }
        for index in usize::from(self.regular)..self.buckets.len() {
            match self.buckets[index].put(tag, entry) {
                Ok(slot) => {
                    let counts = &mut self.buckets[home].control[COUNTS];
                    if *counts < STASHED_MANY {
                        *counts += 0x10;
                    }
                    return Ok(self.placed(index, slot));
                }
                Err(back) => entry = back,
            }
        }
        Err(entry)
    }

    fn placed(&mut self, bucket: usize, slot: usize) -> Place {
        self.len += 1;
        Place { bucket, slot }
    }

    #[inline]
    pub(super) fn at(&self, place: Place) -> Option<&E> {
        self.buckets[place.bucket].slots[place.slot].as_ref()
    }

    #[inline]
    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut E> {
        self.buckets[place.bucket].slots[place.slot].as_mut()
    }

    /// Takes the entry out of a place that `find` gave for this hash.
    pub(super) fn take(&mut self, hash: u64, place: Place) -> Option<E> {
        let home = self.home(hash);
        let bucket = &mut self.buckets[place.bucket];
        let entry = bucket.slots[place.slot].take()?;
        bucket.control[place.slot] = 0;
        self.len -= 1;
        let counts = &mut self.buckets[home].control[COUNTS];
        if place.bucket >= usize::from(self.regular) {
            if *counts < STASHED_MANY {
                *counts -= 0x10;
            }
        } else if place.bucket != home {
            *counts -= 1;
        }
        Some(entry)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &E> {
        self.buckets.iter().flat_map(Bucket::entries)
    }

    /// The metadata and the entries, to change both.
    pub(super) fn parts_mut(&mut self) -> (&mut M, impl Iterator<Item = &mut E>) {
        let slots = self.buckets.iter_mut().flat_map(|bucket| bucket.slots.iter_mut());
        (&mut self.meta, slots.flatten())
    }

    /// The entry with this key and the metadata, to change both.
    pub(super) fn find_with_meta(&mut self, hash: u64, key: &[u8]) -> Option<(&mut E, &mut M)> {
        let place = self.find(hash, key)?;
        let entry = self.buckets[place.bucket].slots[place.slot].as_mut()?;
        Some((entry, &mut self.meta))
    }

    /// The slots themselves, for changing or taking entries: whoever takes one calls `rebuild`.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Option<E>> {
        self.buckets.iter_mut().flat_map(|bucket| bucket.slots.iter_mut())
    }

    /// The entry in the `n`-th slot, if there is such a slot and it is in use.
    pub(super) fn nth_slot(&self, n: usize) -> Option<&E> {
        self.buckets.get(n / SLOTS)?.slots[n % SLOTS].as_ref()
    }

    /// Slots that `nth_slot` has, or will have with the first entry of a planned segment.
    pub(super) fn slot_count(&self) -> usize {
        self.buckets.len().max(usize::from(self.regular)) * SLOTS
    }

    /// What must happen before `try_insert` that failed can succeed.
    pub(super) fn need(&self, may_split: bool) -> Need {
        let regular = usize::from(self.regular);
        let crowded = self.len as usize * 8 >= regular * SLOTS * 7;
        let stashed = self.buckets.len() > regular;
        if regular >= STASH_FROM && !crowded && !stashed {
            return Need::Stash;
        }
        match STEPS.iter().find(|&&step| step > regular) {
            Some(&step) => Need::Buckets(step),
            None if may_split => Need::Split,
            // Hashes that agree in more bits than chance allows: correct, if no longer quick.
            None if crowded => Need::Buckets((regular + regular / 2).min(1 << 15)),
            None => Need::Stash,
        }
    }

    pub(super) fn add_stash(&mut self) {
        let mut buckets = std::mem::take(&mut self.buckets).into_vec();
        buckets.reserve_exact(1);
        buckets.push(Bucket::empty());
        self.buckets = buckets.into_boxed_slice();
    }

    /// Lays the entries out again over `regular` buckets, with as much stash as it takes.
    pub(super) fn rebuild(&mut self, regular: usize) {
        let old = self.drain();
        self.start_over(regular);
        for entry in old.into_iter().flat_map(|bucket| bucket.slots).flatten() {
            self.put_back(entry.hash(), entry);
        }
    }

    /// Lays the entries out over the number of buckets that suits them.
    pub(super) fn rebuild_to_fit(&mut self) {
        self.rebuild(regular_for(self.len as usize));
    }

    /// Whether so few entries are left that the buckets should be given back.
    pub(super) fn is_sparse(&self) -> bool {
        match self.buckets.len() {
            0 => false,
            1 => self.len == 0,
            _ => (self.len as usize) * 4 < usize::from(self.regular) * SLOTS,
        }
    }

    /// Splits by the next bit of the hash: keeps the entries with a 0 and returns those with a 1.
    pub(super) fn split(&mut self) -> Self {
        let bit = 1u64 << (63 - self.depth);
        let old = self.drain();
        let hashes: Vec<u64> = old.iter().flat_map(Bucket::entries).map(Slot::hash).collect();
        let ones = hashes.iter().filter(|hash| *hash & bit != 0).count();
        let zeros = hashes.len() - ones;
        self.depth += 1;
        let mut upper = Self { depth: self.depth, meta: self.meta.clone(), ..Self::default() };
        self.start_over(regular_for(zeros));
        upper.start_over(regular_for(ones));
        let entries = old.into_iter().flat_map(|bucket| bucket.slots).flatten();
        for (hash, entry) in hashes.into_iter().zip(entries) {
            let half = if hash & bit == 0 { &mut *self } else { &mut upper };
            half.put_back(hash, entry);
        }
        upper
    }

    /// Takes over the entries of the sibling; the prefix becomes one bit shorter.
    pub(super) fn absorb(&mut self, mut sibling: Self, meta: M) {
        let len = self.len + sibling.len;
        let old = [self.drain(), sibling.drain()];
        self.start_over(regular_for(len as usize));
        for entry in old.into_iter().flatten().flat_map(|bucket| bucket.slots).flatten() {
            self.put_back(entry.hash(), entry);
        }
        self.depth -= 1;
        self.meta = meta;
    }

    /// The buckets with their entries, which are to be put elsewhere.
    fn drain(&mut self) -> Box<[Bucket<E>]> {
        let buckets = std::mem::take(&mut self.buckets);
        // Keys are far from here and from each other: the waits for them overlap when nothing else is done.
        let touched = buckets.iter().flat_map(Bucket::entries).map(|entry| entry.key().len());
        std::hint::black_box(touched.fold(0, usize::wrapping_add));
        self.len = 0;
        buckets
    }

    fn start_over(&mut self, regular: usize) {
        self.regular = regular as u16;
        self.buckets = empty_buckets(regular);
    }

    fn put_back(&mut self, hash: u64, mut entry: E) {
        while let Err(back) = self.try_insert(hash, entry) {
            entry = back;
            self.add_stash();
        }
    }

    /// How many buckets there are.
    pub(super) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    #[cfg(test)]
    pub(super) fn bucket_address(&self) -> usize {
        self.buckets.as_ptr().addr()
    }

    /// Moves the buckets to where the allocator puts such an array now.
    pub(super) fn relocate(&mut self) {
        let mut old = std::mem::take(&mut self.buckets).into_vec();
        let mut new = Vec::with_capacity(old.len());
        new.append(&mut old);
        self.buckets = new.into_boxed_slice();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket<E>>()
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 8) & 0xFFFF) as usize * usize::from(self.regular)) >> 16
    }

    #[inline]
    fn neighbour(&self, home: usize) -> usize {
        let next = home + 1;
        if next == usize::from(self.regular) { 0 } else { next }
    }
}

/// Regular buckets for `len` entries, about four fifths full at most.
fn regular_for(len: usize) -> usize {
    if len == 0 {
        return 0;
    }
    let fits = |&step: &usize| step <= 1 && len <= SLOTS || len * 5 <= step * SLOTS * 4;
    STEPS.into_iter().find(fits).unwrap_or_else(|| {
        if len <= REGULAR_MAX * SLOTS { REGULAR_MAX } else { (len / 4).min(1 << 15) }
    })
}

fn empty_buckets<E>(count: usize) -> Box<[Bucket<E>]> {
    (0..count).map(|_| Bucket::empty()).collect()
}

#[inline]
fn tag(hash: u64) -> u8 {
    // Zero means an empty slot.
    ((hash & 0xFF) as u8).max(1)
}

/// The slots whose tag is `tag`. Above a true match there may be false ones (never for a tag that
/// no slot has): the caller looks at the entry anyway.
#[inline]
fn matches(control: [u8; 8], tag: u8) -> impl Iterator<Item = usize> {
    let word = u64::from_le_bytes(control) ^ ONES.wrapping_mul(u64::from(tag));
    let mut found = word.wrapping_sub(ONES) & !word & (ONES << 7) & TAGS;
    std::iter::from_fn(move || {
        if found == 0 {
            return None;
        }
        let slot = (found.trailing_zeros() / 8) as usize;
        found &= found - 1;
        Some(slot)
    })
}
