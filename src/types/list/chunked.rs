//! The deque of nodes behind a long list.
//!
//! Invariants: no node is empty; `len` is the sum of the counts in the node table; a node table
//! entry's count is that of its node. A node may be larger than the bound (the bound was lowered,
//! or a file had it so); it then takes no more elements.

use std::collections::VecDeque;
use std::sync::Arc;

use super::limit::NodeLimit;
use crate::types::listpack::{Element, Listpack, ListpackRef};

/// Header and end byte of a listpack: what two lose when they become one.
const FRAME_BYTES: usize = 7;

/// A node of a long list.
#[derive(Clone, Debug)]
pub enum Node {
    /// Elements within the bound.
    Packed(Listpack),
    /// One element that is too large to be packed.
    Plain(Box<[u8]>),
}

/// A node, for writing it to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRef<'a> {
    /// The blob of a listpack.
    Packed(&'a [u8]),
    /// The text of one oversized element.
    Plain(&'a [u8]),
}

#[derive(Clone, Debug)]
struct Slot {
    /// Elements of the node, here so that seeking needs no look at it.
    count: usize,
    node: Arc<Node>,
}

/// A list in nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    slots: VecDeque<Slot>,
    len: usize,
}

impl Node {
    /// A node of its own for this element.
    fn new(element: Element<'_>, limit: NodeLimit) -> Self {
        if limit.is_large(element.len()) {
            return Self::Plain(element.to_vec().into_boxed_slice());
        }
        let mut listpack = Listpack::new();
        listpack.push_back(element);
        Self::Packed(listpack)
    }

    fn count(&self) -> usize {
        match self {
            Self::Packed(listpack) => listpack.len(),
            Self::Plain(_) => 1,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Packed(listpack) => listpack.memory_bytes(),
            Self::Plain(text) => text.len(),
        }
    }
}

impl Slot {
    fn new(node: Node) -> Self {
        Self { count: node.count(), node: Arc::new(node) }
    }

    /// The listpack, if this element may be added to it.
    #[inline]
    fn with_room(&mut self, element: Element<'_>, limit: NodeLimit) -> Option<&mut Listpack> {
        match &*self.node {
            Node::Packed(listpack)
                if !limit.is_full(listpack.byte_len(), self.count, element.len()) => {}
            _ => return None,
        }
        self.listpack_mut()
    }

    /// The listpack, copied first if a clone shares it.
    #[inline]
    fn listpack_mut(&mut self) -> Option<&mut Listpack> {
        match Arc::make_mut(&mut self.node) {
            Node::Packed(listpack) => Some(listpack),
            Node::Plain(_) => None,
        }
    }

    fn listpack(&self) -> Option<&Listpack> {
        match &*self.node {
            Node::Packed(listpack) => Some(listpack),
            Node::Plain(_) => None,
        }
    }

    fn get(&self, offset: usize) -> Option<Element<'_>> {
        match &*self.node {
            Node::Packed(listpack) => listpack.view().element(i64::try_from(offset).ok()?),
            Node::Plain(text) => Some(Element::Str(text)),
        }
    }

    fn contains(&self, text: &[u8]) -> bool {
        match &*self.node {
            Node::Packed(listpack) => listpack.view().find(text, 0).is_some(),
            Node::Plain(plain) => &**plain == text,
        }
    }

    /// Splits off the elements from `offset` on, which is neither the first nor beyond the last.
    fn split_off(&mut self, offset: usize) -> Option<Self> {
        let count = self.count;
        let listpack = self.listpack_mut()?;
        let cursor = listpack.view().seek(i64::try_from(offset).ok()?)?;
        let tail = listpack.split_off(cursor);
        self.count = offset;
        Some(Self { count: count - offset, node: Arc::new(Node::Packed(tail)) })
    }
}

impl Chunked {
    /// Takes nodes as they are; empty ones are left out.
    pub(super) fn from_nodes(nodes: impl IntoIterator<Item = Node>) -> Self {
        let slots: VecDeque<Slot> =
            nodes.into_iter().map(Slot::new).filter(|slot| slot.count > 0).collect();
        let len = slots.iter().map(|slot| slot.count).sum();
        Self { slots, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn node_count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // Two counters in front of each shared node.
        const SHARED_BYTES: usize = size_of::<Node>() + 16;
        let nodes: usize =
            self.slots.iter().map(|slot| SHARED_BYTES + slot.node.memory_bytes()).sum();
        nodes + self.slots.capacity() * size_of::<Slot>()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        (0..self.slots.len()).filter_map(|index| self.node(index))
    }

    pub(super) fn node(&self, index: usize) -> Option<NodeRef<'_>> {
        Some(match &*self.slots.get(index)?.node {
            Node::Packed(listpack) => NodeRef::Packed(listpack.bytes()),
            Node::Plain(text) => NodeRef::Plain(text),
        })
    }

    /// Node and offset in it of the element at `position`, which is in the list.
    pub(super) fn locate(&self, position: usize) -> Option<(usize, usize)> {
        if position >= self.len {
            return None;
        }
        if position <= self.len / 2 {
            let mut rest = position;
            for (index, slot) in self.slots.iter().enumerate() {
                if rest < slot.count {
                    return Some((index, rest));
                }
                rest -= slot.count;
            }
        } else {
            let mut rest = self.len - position;
            for (index, slot) in self.slots.iter().enumerate().rev() {
                if rest <= slot.count {
                    return Some((index, slot.count - rest));
                }
                rest -= slot.count;
            }
        }
        None
    }

    pub(super) fn get(&self, position: usize) -> Option<Element<'_>> {
        let (index, offset) = self.locate(position)?;
        self.slots.get(index)?.get(offset)
    }

    pub(super) fn push_back(&mut self, element: Element<'_>, limit: NodeLimit) {
        self.len += 1;
        if let Some(slot) = self.slots.back_mut()
            && let Some(listpack) = slot.with_room(element, limit)
        {
            listpack.push_back(element);
            slot.count += 1;
            return;
        }
        self.slots.push_back(Slot::new(Node::new(element, limit)));
    }

    pub(super) fn push_front(&mut self, element: Element<'_>, limit: NodeLimit) {
        self.len += 1;
        if let Some(slot) = self.slots.front_mut()
            && let Some(listpack) = slot.with_room(element, limit)
        {
            listpack.push_front(element);
            slot.count += 1;
            return;
        }
        self.slots.push_front(Slot::new(Node::new(element, limit)));
    }

    /// Inserts at a position within the list or at its end.
    pub(super) fn insert(
        &mut self,
        position: usize,
        element: Element<'_>,
        limit: NodeLimit,
    ) -> bool {
        if position == self.len {
            self.push_back(element, limit);
            return true;
        }
        let Some((index, offset)) = self.locate(position) else { return false };
        if offset == 0 && index == 0 {
            self.push_front(element, limit);
            return true;
        }
        self.len += 1;
        if self.insert_within(index, offset, element, limit) {
            return true;
        }
        // At the seam of two nodes the end of the left one is as good.
        if offset == 0 {
            let left = index - 1;
            let end = self.slots.get(left).map_or(0, |slot| slot.count);
            if !self.insert_within(left, end, element, limit) {
                self.slots.insert(index, Slot::new(Node::new(element, limit)));
            }
            return true;
        }
        self.insert_by_splitting(index, offset, element, limit);
        true
    }

    /// Inserts into the node if it has room.
    fn insert_within(
        &mut self,
        index: usize,
        offset: usize,
        element: Element<'_>,
        limit: NodeLimit,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let Some(listpack) = slot.with_room(element, limit) else { return false };
        let inserted = listpack.insert_at(offset, element);
        slot.count += usize::from(inserted);
        inserted
    }

    /// Splits the node before `offset` and puts the element between the halves.
    fn insert_by_splitting(
        &mut self,
        index: usize,
        offset: usize,
        element: Element<'_>,
        limit: NodeLimit,
    ) {
        let tail = self.slots.get_mut(index).and_then(|slot| slot.split_off(offset));
        if let Some(tail) = tail {
            self.slots.insert(index + 1, tail);
        }
        let mut middle = index;
        if !self.insert_within(index, offset, element, limit)
            && !self.insert_within(index + 1, 0, element, limit)
        {
            middle = index + 1;
            self.slots.insert(middle, Slot::new(Node::new(element, limit)));
        }
        // From the right, so that the left indexes stay true.
        self.merge(middle + 1, limit);
        self.merge(middle, limit);
        if index > 0 {
            self.merge(index - 1, limit);
        }
    }

    /// Makes one node of this and the next, if that is within the bound.
    fn merge(&mut self, index: usize, limit: NodeLimit) {
        let (Some(left), Some(right)) = (self.slots.get(index), self.slots.get(index + 1)) else {
            return;
        };
        let (Some(a), Some(b)) = (left.listpack(), right.listpack()) else { return };
        let bytes = a.byte_len() + b.byte_len() - FRAME_BYTES;
        if limit.is_exceeded(bytes, left.count + right.count) {
            return;
        }
        let Some(right) = self.slots.remove(index + 1) else { return };
        if let (Some(left), Some(b)) = (self.slots.get_mut(index), right.listpack()) {
            left.count += right.count;
            if let Some(a) = left.listpack_mut() {
                a.append(b.view());
            }
        }
    }

    /// Replaces the element at `position`, which is in the list.
    pub(super) fn set(&mut self, position: usize, element: Element<'_>, limit: NodeLimit) {
        let Some((index, offset)) = self.locate(position) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let large = limit.is_large(element.len());
        if slot.count == 1 {
            *slot = Slot::new(Node::new(element, limit));
            return;
        }
        let old_len = slot.get(offset).map_or(0, |old| old.len());
        let bytes = slot.listpack().map_or(0, Listpack::byte_len).saturating_sub(old_len);
        let fits = !large && !limit.is_exceeded(bytes + element.len() + 8, slot.count);
        if (fits || !large && element.len() <= old_len)
            && let Some(listpack) = slot.listpack_mut()
            && let Some(cursor) = i64::try_from(offset).ok().and_then(|at| listpack.view().seek(at))
        {
            listpack.replace(cursor, element);
            return;
        }
        self.remove_range(position, 1);
        self.insert(position, element, limit);
    }

    /// Removes up to `count` elements from `position` on; returns how many.
    pub(super) fn remove_range(&mut self, position: usize, count: usize) -> usize {
        let count = count.min(self.len.saturating_sub(position));
        if count == 0 {
            return 0;
        }
        let Some((first, mut offset)) = self.locate(position) else { return 0 };
        let mut index = first;
        let mut left = count;
        // Nodes that go as a whole are removed together at the end.
        let mut emptied = None::<(usize, usize)>;
        while left > 0 {
            let Some(slot) = self.slots.get_mut(index) else { break };
            let here = left.min(slot.count - offset);
            if here == slot.count {
                emptied = Some((emptied.map_or(index, |(start, _)| start), index + 1));
            } else {
                slot.count -= here;
                if let Some(listpack) = slot.listpack_mut() {
                    listpack.remove_range(i64::try_from(offset).unwrap_or(i64::MAX), here);
                }
            }
            left -= here;
            offset = 0;
            index += 1;
        }
        if let Some((start, end)) = emptied {
            self.remove_slots(start, end);
        }
        self.len -= count - left;
        count - left
    }

    fn remove_slots(&mut self, start: usize, end: usize) {
        if end - start == 1 {
            self.slots.remove(start);
        } else {
            self.slots.drain(start..end);
        }
        if self.slots.len() * 4 < self.slots.capacity() && self.slots.capacity() > 32 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }

    /// Removes up to `wanted` elements with this text, from the end if `backward`.
    pub(super) fn remove_matching(&mut self, text: &[u8], wanted: usize, backward: bool) -> usize {
        let mut removed = 0;
        let count = self.slots.len();
        for step in 0..count {
            if removed == wanted {
                break;
            }
            let index = if backward { count - 1 - step } else { step };
            // Nodes without a match stay shared with clones.
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.contains(text)) else {
                continue;
            };
            let here = match Arc::make_mut(&mut slot.node) {
                Node::Packed(listpack) => {
                    remove_from_listpack(listpack, text, wanted - removed, backward)
                }
                Node::Plain(_) => 1,
            };
            slot.count -= here;
            removed += here;
        }
        if removed > 0 {
            self.slots.retain(|slot| slot.count > 0);
            self.len -= removed;
        }
        removed
    }

    /// Takes the listpack of the only node out if it is packed and its size `fits`; an empty one
    /// if there is no node.
    pub(super) fn take_only_listpack(
        &mut self,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Option<Listpack> {
        if self.slots.len() > 1 {
            return None;
        }
        let Some(slot) = self.slots.front_mut() else { return Some(Listpack::new()) };
        let listpack = slot.listpack()?;
        if !fits(listpack.byte_len(), slot.count) {
            return None;
        }
        slot.listpack_mut().map(std::mem::take)
    }
}

/// Removes up to `wanted` elements with this text, from the end if `backward`; returns how many.
pub(super) fn remove_from_listpack(
    listpack: &mut Listpack,
    text: &[u8],
    wanted: usize,
    backward: bool,
) -> usize {
    let mut removed = 0;
    if backward {
        let mut next = listpack.view().last();
        while let Some(cursor) = next
            && removed < wanted
        {
            // Removing an element moves only those after it.
            next = listpack.view().prev(cursor);
            if listpack.view().get(cursor).is_some_and(|element| element.eq_bytes(text)) {
                removed += listpack.remove(cursor, 1);
            }
        }
        return removed;
    }
    let mut from = listpack.view().first();
    while removed < wanted
        && let Some(start) = from
        && let Some(cursor) = listpack.view().find_from(start, text, 0)
    {
        removed += listpack.remove(cursor, 1);
        // The cursor names the element that followed; at the end there is none.
        from = listpack.view().get(cursor).map(|_| cursor);
    }
    removed
}

impl<'a> NodeRef<'a> {
    /// For reading the elements of a packed node.
    pub fn listpack(self) -> Option<ListpackRef<'a>> {
        match self {
            Self::Packed(blob) => Some(ListpackRef::new(blob)),
            Self::Plain(_) => None,
        }
    }
}
