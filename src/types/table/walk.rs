//! Walking a table: in hash order by position, in no order at all, or by chance.
//!
//! A position is a hash; a segment covers the positions from its start up to the next segment's. A
//! walk that goes on from the position where it stopped sees every entry that stays in the table
//! exactly once, whatever happens to the segments in between: a split only puts a boundary inside a
//! range, and after a merge the entries before the position are left out.

use super::directory::prefix;
use super::segment::Segment;
use super::{Root, SegmentMeta, Slot, Table};
use crate::rng::Rng;

/// SCAN stops at multiples of this fraction of a segment: 2^-7, about one entry. Rounded that
/// coarsely, a cursor tells a client next to nothing about the hash of a key.
const CURSOR_BITS: u8 = 7;
/// Draws of `random` before it settles for a slightly uneven choice.
const DRAWS: usize = 256;

/// The entries of one segment from a position on.
pub struct SegmentRef<'a, E, M> {
    segment: &'a Segment<E, M>,
    position: u64,
}

/// The end of the segment of `depth` bits that `position` is in; None for the last one.
pub(super) fn end_of(position: u64, depth: u8) -> Option<u64> {
    match depth {
        0 => None,
        depth => prefix(position, depth).checked_add(1 << (64 - depth)),
    }
}

impl<'a, E: Slot, M: SegmentMeta> SegmentRef<'a, E, M> {
    /// The entries at or after the position, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &'a E> + use<'a, E, M> {
        let position = self.position;
        let whole = position == prefix(position, self.segment.depth);
        self.segment.entries().filter(move |entry| whole || entry.hash() >= position)
    }

    /// All entries of the segment, from its `start`-th slot on and around its end, for samples.
    pub fn entries_from(&self, start: usize) -> impl Iterator<Item = &'a E> + use<'a, E, M> {
        let segment = self.segment;
        let slots = segment.slot_count();
        let first = start.checked_rem(slots).unwrap_or(0);
        (first..slots).chain(0..first).filter_map(move |slot| segment.nth_slot(slot))
    }

    /// The metadata of the segment.
    pub fn meta(&self) -> &'a M {
        &self.segment.meta
    }

    /// The position where the next segment starts; None after the last.
    pub fn next(&self) -> Option<u64> {
        end_of(self.position, self.segment.depth)
    }
}

impl<E: Slot, M: SegmentMeta> Table<E, M> {
    /// The segment at a position, for walking: start at 0, go on at `SegmentRef::next`.
    pub fn segment_at(&self, position: u64) -> SegmentRef<'_, E, M> {
        SegmentRef { segment: self.segment(position), position }
    }

    /// The whole segment at a position for changes, entries before the position included, and the
    /// next position.
    pub fn segment_at_mut(
        &mut self,
        position: u64,
    ) -> (&mut M, impl Iterator<Item = &mut E>, Option<u64>) {
        let segment = self.segment_mut(position);
        let next = end_of(position, segment.depth);
        let (meta, entries) = segment.parts_mut();
        (meta, entries, next)
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        match &self.root {
            Root::One(_) => 1,
            Root::Many(directory) => directory.live(),
        }
    }

    /// Every entry, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.segments().flat_map(Segment::entries)
    }

    /// Every entry, to change anything but its key.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        let (one, many) = match &mut self.root {
            Root::One(segment) => (Some(segment), None),
            Root::Many(directory) => (None, Some(directory.chunks_mut())),
        };
        one.into_iter()
            .chain(many.into_iter().flatten().flatten())
            .flat_map(|segment| segment.parts_mut().1)
    }

    /// One step of SCAN: calls `f` for about `count` entries and returns the cursor to go on with.
    /// 0 starts and, returned, ends a walk; any other number is accepted. An entry that is there
    /// from start to end is seen at least once. Cursors fit in 63 bits.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(&E)) -> u64 {
        let mut position = cursor << 1;
        let (mut seen, mut visited) = (0, 0);
        loop {
            let segment = self.segment(position);
            let end = end_of(position, segment.depth);
            let stop = scan_segment(segment, position, count - seen, |entry| {
                seen += 1;
                f(entry);
            });
            let Some(next) = stop.or(end) else { return 0 };
            position = next;
            visited += 1;
            if seen >= count || visited > count.max(16) {
                return position >> 1;
            }
        }
    }

    /// An entry by chance, every one equally likely; None in an empty table.
    pub fn random(&self, rng: &mut dyn Rng) -> Option<&E> {
        if self.is_empty() {
            return None;
        }
        let (arena_len, slots) = match &self.root {
            Root::One(segment) => (1, segment.slot_count()),
            Root::Many(directory) => (directory.arena_len(), directory.slots_max()),
        };
        for _ in 0..DRAWS {
            // A slot of the arena and a slot of the segment; an empty one means to draw again.
            let segment = match &self.root {
                Root::One(segment) => Some(segment),
                Root::Many(directory) => directory.nth(rng.index(arena_len)),
            };
            if let Some(entry) = segment.and_then(|segment| segment.nth_slot(rng.index(slots))) {
                return Some(entry);
            }
        }
        // Nearly empty segments everywhere: the next entry in hash order from a random position.
        let position = rng.next_u64();
        let after = self.positions(position).find_map(|segment| segment.entries().next());
        after.or_else(|| self.iter().next())
    }

    fn positions(&self, from: u64) -> impl Iterator<Item = SegmentRef<'_, E, M>> {
        let first = Some(self.segment_at(from));
        std::iter::successors(first, |segment| segment.next().map(|next| self.segment_at(next)))
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment<E, M>> {
        let (one, many) = match &self.root {
            Root::One(segment) => (Some(segment), None),
            Root::Many(directory) => (None, Some(directory.chunks())),
        };
        one.into_iter().chain(many.into_iter().flatten().flatten())
    }
}

/// Shows the entries of a segment from `position` on, and stops at a rounded position that about `count` of them come
/// before: hashes are spread evenly, and to sort them would take longer than to show a few more. None if it came to the
/// end of the segment.
fn scan_segment<E: Slot, M: SegmentMeta>(
    segment: &Segment<E, M>,
    position: u64,
    count: usize,
    f: impl FnMut(&E),
) -> Option<u64> {
    let share = count.saturating_add(count / 8 + 3) as u128;
    let width = (1u128 << 64) >> segment.depth;
    let step = width * share / segment.entries().count().max(1) as u128;
    let granule_bits = (segment.depth + CURSOR_BITS).min(62);
    let stop = u64::try_from(step).ok().and_then(|step| position.checked_add(step));
    let stop = stop.and_then(|stop| end_of(stop, granule_bits));
    let end = end_of(position, segment.depth);
    // Before the end of the segment, or there is no stop but the end.
    let stop = stop.filter(|stop| end.is_none_or(|end| *stop < end));
    let shown = |hash: u64| hash >= position && stop.is_none_or(|stop| hash < stop);
    segment.entries().filter(|entry| shown(entry.hash())).for_each(f);
    stop
}
