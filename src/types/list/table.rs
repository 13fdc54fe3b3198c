//! The nodes of a long list in order, as groups that clones share.
//!
//! ```text
//! groups [ 412 elements | Arc ] [ 25600 | Arc ] ...      a few hundred for 10 million elements
//!                          |
//!                     [ count, Arc of node ] ...         at most GROUP_NODES_MAX
//! ```
//!
//! Copying the table copies one pointer per group, so a snapshot takes a list of 10 million
//! elements in some tens of microseconds; whoever changes a node then copies its group's pointers
//! and that node, once. Nodes have flat indexes; finding one walks the groups from the nearer end.
//!
//! Invariants: no group is empty or longer than the maximum; `elements` of a group and of the table
//! are the sums of the counts below. Counts change through [`NodeTable::update`] only.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::chunked::Slot;

/// Nodes per group: balances what a clone copies against what the first change after it does.
const GROUP_NODES_MAX: usize = 64;

#[derive(Clone, Debug)]
struct Group {
    /// Sum of the slots' counts.
    elements: usize,
    slots: Arc<Vec<Slot>>,
}

/// The node table.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeTable {
    groups: VecDeque<Group>,
    nodes: usize,
    elements: usize,
}

impl Group {
    fn new(slots: Vec<Slot>) -> Self {
        Self { elements: slots.iter().map(Slot::count).sum(), slots: Arc::new(slots) }
    }
}

impl FromIterator<Slot> for NodeTable {
    fn from_iter<T: IntoIterator<Item = Slot>>(slots: T) -> Self {
        let mut table = Self::default();
        for slot in slots {
            table.insert(table.nodes, slot);
        }
        table
    }
}

impl NodeTable {
    /// Number of nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes
    }

    /// Number of elements in them.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Heap bytes of the table itself.
    pub(super) fn memory_bytes(&self) -> usize {
        // Two counters and a vector in front of each group's slots.
        const GROUP_BYTES: usize = size_of::<Vec<Slot>>() + 16;
        let groups: usize = self
            .groups
            .iter()
            .map(|group| GROUP_BYTES + group.slots.capacity() * size_of::<Slot>())
            .sum();
        groups + self.groups.capacity() * size_of::<Group>()
    }

    /// The node with this index.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Slot> {
        let (group, offset) = self.group_of(index)?;
        self.groups.get(group)?.slots.get(offset)
    }

    /// All nodes in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.groups.iter().flat_map(|group| group.slots.iter())
    }

    /// Changes the node with this index. One that has no element afterwards has to be removed.
    #[inline]
    pub(super) fn update<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Slot) -> R,
    ) -> Option<R> {
        let (group, offset) = self.group_of(index)?;
        let group = self.groups.get_mut(group)?;
        let slot = Arc::make_mut(&mut group.slots).get_mut(offset)?;
        let before = slot.count();
        let result = change(slot);
        let after = slot.count();
        group.elements = group.elements - before + after;
        self.elements = self.elements - before + after;
        Some(result)
    }

    /// Inserts a node so that it has this index, which is at most the number of nodes.
    pub(super) fn insert(&mut self, index: usize, slot: Slot) {
        self.nodes += 1;
        self.elements += slot.count();
        let (mut group, mut offset) = match self.group_of_gap(index) {
            Some(place) => place,
            None => {
                self.groups.push_back(Group::new(vec![slot]));
                return;
            }
        };
        let len = self.groups.get(group).map_or(0, |group| group.slots.len());
        if len == GROUP_NODES_MAX {
            if offset == 0 || offset == len {
                // Growing at an end of a group, as lists do: leave it as it is.
                self.groups.insert(group + usize::from(offset == len), Group::new(vec![slot]));
                return;
            }
            self.split_group(group, len / 2);
            if offset > len / 2 {
                group += 1;
                offset -= len / 2;
            }
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.elements += slot.count();
            Arc::make_mut(&mut group.slots).insert(offset, slot);
        }
    }

    /// Takes the node with this index out.
    pub(super) fn remove(&mut self, index: usize) -> Option<Slot> {
        let slot = self.get(index)?.clone();
        self.remove_range(index..index + 1);
        Some(slot)
    }

    /// Removes the nodes with these indexes.
    pub(super) fn remove_range(&mut self, range: Range<usize>) {
        let mut left = range.len();
        while left > 0 {
            let Some((index, offset)) = self.group_of(range.start) else { return };
            let Some(group) = self.groups.get_mut(index) else { return };
            let here = left.min(group.slots.len() - offset);
            if here == group.slots.len() {
                self.elements -= group.elements;
                self.groups.remove(index);
            } else {
                let removed: usize = Arc::make_mut(&mut group.slots)
                    .drain(offset..offset + here)
                    .map(|slot| slot.count())
                    .sum();
                group.elements -= removed;
                self.elements -= removed;
            }
            self.nodes -= here;
            left -= here;
        }
    }

    /// Removes the nodes without elements.
    pub(super) fn remove_empty(&mut self) {
        for group in &mut self.groups {
            if group.slots.iter().any(|slot| slot.count() == 0) {
                let before = group.slots.len();
                Arc::make_mut(&mut group.slots).retain(|slot| slot.count() > 0);
                self.nodes -= before - group.slots.len();
            }
        }
        self.groups.retain(|group| !group.slots.is_empty());
    }

    /// Node and offset in it of the element at `position`.
    pub(super) fn locate(&self, position: usize) -> Option<(usize, usize)> {
        if position >= self.elements {
            return None;
        }
        let mut rest;
        let mut first_node;
        let mut found = None;
        if position <= self.elements / 2 {
            (rest, first_node) = (position, 0);
            for group in &self.groups {
                if rest < group.elements {
                    found = Some(group);
                    break;
                }
                rest -= group.elements;
                first_node += group.slots.len();
            }
        } else {
            // `rest` is the distance from the end of the group at hand.
            (rest, first_node) = (self.elements - position, self.nodes);
            for group in self.groups.iter().rev() {
                first_node -= group.slots.len();
                if rest <= group.elements {
                    rest = group.elements - rest;
                    found = Some(group);
                    break;
                }
                rest -= group.elements;
            }
        }
        for (index, slot) in found?.slots.iter().enumerate() {
            if rest < slot.count() {
                return Some((first_node + index, rest));
            }
            rest -= slot.count();
        }
        None
    }

    /// Group and offset in it of the node with this index.
    #[inline]
    fn group_of(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.nodes {
            return None;
        }
        if index <= self.nodes / 2 {
            let mut rest = index;
            for (number, group) in self.groups.iter().enumerate() {
                if rest < group.slots.len() {
                    return Some((number, rest));
                }
                rest -= group.slots.len();
            }
        } else {
            let mut rest = self.nodes - index;
            for (number, group) in self.groups.iter().enumerate().rev() {
                if rest <= group.slots.len() {
                    return Some((number, group.slots.len() - rest));
                }
                rest -= group.slots.len();
            }
        }
        None
    }

    /// Where a node that gets this index goes: before a node, or at the end of the last group.
    fn group_of_gap(&self, index: usize) -> Option<(usize, usize)> {
        // The caller has counted the new node already.
        if index + 1 < self.nodes {
            let mut rest = index;
            for (number, group) in self.groups.iter().enumerate() {
                if rest < group.slots.len() {
                    return Some((number, rest));
                }
                rest -= group.slots.len();
            }
        }
        let last = self.groups.len().checked_sub(1)?;
        Some((last, self.groups.get(last)?.slots.len()))
    }

    fn split_group(&mut self, index: usize, offset: usize) {
        let Some(group) = self.groups.get_mut(index) else { return };
        let tail = Group::new(Arc::make_mut(&mut group.slots).split_off(offset));
        group.elements -= tail.elements;
        self.groups.insert(index + 1, tail);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::list::Node;
    use crate::types::listpack::Listpack;

    fn slot(count: usize) -> Slot {
        let mut listpack = Listpack::new();
        for value in 0..count as i64 {
            listpack.push_back(value);
        }
        Slot::new(Node::Packed(listpack))
    }

    fn check(table: &NodeTable, model: &[usize]) {
        let counts: Vec<usize> = table.iter().map(Slot::count).collect();
        assert_eq!(counts, model);
        assert_eq!(table.len(), model.len());
        assert_eq!(table.elements(), model.iter().sum::<usize>());
        let mut position = 0;
        for (index, &count) in model.iter().enumerate() {
            assert_eq!(table.get(index).map(Slot::count), Some(count));
            assert_eq!(table.locate(position), Some((index, 0)));
            assert_eq!(table.locate(position + count - 1), Some((index, count - 1)));
            position += count;
        }
        assert_eq!(table.locate(position), None);
        for group in &table.groups {
            assert!((1..=GROUP_NODES_MAX).contains(&group.slots.len()));
            assert_eq!(group.elements, group.slots.iter().map(Slot::count).sum::<usize>());
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector(
            steps in prop::collection::vec(
                (0u8..9, any::<prop::sample::Index>(), 1usize..4),
                1..60,
            ),
        ) {
            let mut table = NodeTable::default();
            let mut model: Vec<usize> = Vec::new();
            let mut kept = (table.clone(), model.clone());
            for (step, index, count) in steps {
                let at = index.index(model.len() + 1);
                match step {
                    0 if at < model.len() => {
                        prop_assert_eq!(table.remove(at).map(|slot| slot.count()), Some(model[at]));
                        model.remove(at);
                    }
                    1 => {
                        let end = model.len().min(at + count * 20);
                        table.remove_range(at..end);
                        model.drain(at..end);
                    }
                    2 if at < model.len() => {
                        table.update(at, |old| *old = slot(count));
                        model[at] = count;
                    }
                    3 if at < model.len() => {
                        table.update(at, |old| *old = slot(0));
                        table.remove_empty();
                        model.remove(at);
                    }
                    4 => kept = (table.clone(), model.clone()),
                    5 => for _ in 0..count * 30 {
                        table.insert(model.len(), slot(count));
                        model.push(count);
                    }
                    6 => for _ in 0..count * 30 {
                        table.insert(0, slot(count));
                        model.insert(0, count);
                    }
                    _ => for _ in 0..count * 30 {
                        table.insert(at, slot(count));
                        model.insert(at, count);
                    }
                }
            }
            check(&table, &model);
            check(&kept.0, &kept.1);
        }
    }
}
