//! A fixed-capacity vector inside its owner: the body of the tree's leaves and inner nodes.
//!
//! One allocation per node, no growth, and at most `N` slots moved by any operation. The slots are
//! `Option<T>`; every `T` used here has a niche (a non-null pointer), so `None` costs nothing.
//!
//! Invariant: slots `0..len` are `Some`, the others `None`.

use std::ops::{Index, IndexMut};

/// Parts of a search for what is far away.
const PARTS: usize = 8;

/// Up to `N` items in order.
#[derive(Clone, Debug)]
pub(super) struct Chunk<T, const N: usize> {
    slots: [Option<T>; N],
    len: u32,
}

impl<T, const N: usize> Chunk<T, N> {
    pub(super) fn new() -> Self {
        Self { slots: [const { None }; N], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn room(&self) -> usize {
        N - self.len()
    }

    pub(super) fn get(&self, position: usize) -> Option<&T> {
        self.slots.get(position).and_then(Option::as_ref)
    }

    /// The items at `left` and `left + 1`, when both exist.
    pub(super) fn pair_mut(&mut self, left: usize) -> Option<(&mut T, &mut T)> {
        match self.slots.get_mut(left..) {
            Some([Some(one), Some(two), ..]) => Some((one, two)),
            _ => None,
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.slots[..self.len()].iter().flatten()
    }

    /// How many leading items satisfy `before`, which must hold for a prefix only.
    pub(super) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        self.slots[..self.len()].partition_point(|slot| slot.as_ref().is_some_and(&mut before))
    }

    /// The same where what `before` reads is far away and `bring` asks for it: for the ends of eight parts at a time, so
    /// that the search waits at every third step only.
    pub(super) fn partition_point_far(
        &self,
        bring: impl Fn(&T),
        mut before: impl FnMut(&T) -> bool,
    ) -> usize {
        let bring_slot = |slot: &Option<T>| slot.as_ref().map_or((), &bring);
        let mut holds = |slot: &Option<T>| slot.as_ref().is_some_and(&mut before);
        let (mut from, mut to) = (0, self.len());
        while to - from > PARTS {
            let step = (to - from) / PARTS;
            let ends: [usize; PARTS - 1] = std::array::from_fn(|part| from + (part + 1) * step);
            ends.iter().for_each(|&end| bring_slot(&self.slots[end]));
            let passed = ends.partition_point(|&end| holds(&self.slots[end]));
            to = ends.get(passed).copied().unwrap_or(to);
            from = passed.checked_sub(1).map_or(from, |last| ends[last] + 1);
        }
        let rest = &self.slots[from..to];
        rest.iter().for_each(bring_slot);
        from + rest.partition_point(holds)
    }

    /// Puts `item` at `position`; the chunk must have room.
    pub(super) fn insert(&mut self, position: usize, item: T) {
        let len = self.len();
        assert!(len < N && position <= len, "insert into a full chunk or past its end");
        self.slots[position..=len].rotate_right(1);
        self.slots[position] = Some(item);
        self.len += 1;
    }

    /// Appends `item`; the chunk must have room.
    pub(super) fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    /// Removes the item at `position`.
    pub(super) fn remove(&mut self, position: usize) -> Option<T> {
        let len = self.len();
        let item = self.slots[..len].get_mut(position)?.take();
        self.slots[position..len].rotate_left(1);
        self.len -= 1;
        item
    }

    /// Removes `count` items from `position` on (fewer at the end) and hands each to `sink`.
    pub(super) fn remove_run(&mut self, position: usize, count: usize, sink: &mut dyn FnMut(T)) {
        let len = self.len();
        let position = position.min(len);
        let count = count.min(len - position);
        self.slots[position..position + count].iter_mut().filter_map(Option::take).for_each(sink);
        self.slots[position..len].rotate_left(count);
        self.shorten(count);
    }

    /// Moves the last `count` items of `self` to the front of `right`.
    pub(super) fn move_tail(&mut self, right: &mut Self, count: usize) {
        let (len, right_len) = (self.len(), right.len());
        assert!(count <= len && count <= right.room(), "move more than there is or fits");
        right.slots[..right_len + count].rotate_right(count);
        right.slots[..count].swap_with_slice(&mut self.slots[len - count..len]);
        self.shorten(count);
        right.lengthen(count);
    }

    /// Moves the first `count` items of `right` to the end of `self`.
    pub(super) fn take_head(&mut self, right: &mut Self, count: usize) {
        let (len, right_len) = (self.len(), right.len());
        assert!(count <= right_len && count <= self.room(), "move more than there is or fits");
        self.slots[len..len + count].swap_with_slice(&mut right.slots[..count]);
        right.slots[..right_len].rotate_left(count);
        right.shorten(count);
        self.lengthen(count);
    }

    // Counts never exceed N, which is far below the range of u32.
    fn shorten(&mut self, count: usize) {
        self.len -= u32::try_from(count).unwrap_or(self.len);
    }

    fn lengthen(&mut self, count: usize) {
        self.len += u32::try_from(count).unwrap_or(0);
    }
}

/// Panics outside `0..len`, like a slice.
impl<T, const N: usize> Index<usize> for Chunk<T, N> {
    type Output = T;

    fn index(&self, position: usize) -> &T {
        self.slots[position].as_ref().expect("a position below len")
    }
}

impl<T, const N: usize> IndexMut<usize> for Chunk<T, N> {
    fn index_mut(&mut self, position: usize) -> &mut T {
        self.slots[position].as_mut().expect("a position below len")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_searches_find_the_same() {
        for len in 0..=61_u8 {
            let mut chunk = Chunk::<u8, 61>::new();
            (0..len).for_each(|number| chunk.push(number));
            for wanted in 0..=len {
                let asked = std::cell::Cell::new(0);
                let bring = |_: &u8| asked.set(asked.get() + 1);
                let found = chunk.partition_point_far(bring, |number| *number < wanted);
                assert_eq!(found, chunk.partition_point(|number| *number < wanted), "{len}");
                assert_eq!(found, usize::from(wanted));
                // Two rounds of seven, and what is left.
                assert!(asked.get() <= 18, "{len}: asked for {}", asked.get());
            }
        }
    }
}
