//! The deque of nodes behind a long list.
//!
//! Invariants: no node is empty; the count in a slot is that of its node. A node may be larger than
//! the bound (the bound was lowered, or a file had it so); it then takes no more elements.

use std::sync::Arc;

use super::limit::NodeLimit;
use super::small::listpack_bytes;
use super::table::NodeTable;
use crate::types::listpack::{Element, Listpack, ListpackRef, TightRef};

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
#[derive(Clone, Copy, Debug)]
pub enum NodeRef<'a> {
    /// The blob of a listpack.
    Packed(&'a [u8]),
    /// The elements of a listpack.
    Tight(TightRef<'a>),
    /// The text of one oversized element.
    Plain(&'a [u8]),
}

/// A node's entry in the table.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Elements of the node, here so that seeking needs no look at it.
    count: usize,
    node: Arc<Node>,
}

/// A list in nodes.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    nodes: NodeTable,
    /// The bound of its nodes, which stays what it was when the list became chunked: as in Redis,
    /// where a later CONFIG SET only decides about going over to one form or the other.
    limit: NodeLimit,
}

impl NodeRef<'_> {
    /// Bytes of it in a file, before they are compressed.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Packed(bytes) | Self::Plain(bytes) => bytes.len(),
            Self::Tight(tight) => listpack_bytes(*tight),
        }
    }
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
    pub(super) fn new(node: Node) -> Self {
        Self { count: node.count(), node: Arc::new(node) }
    }

    /// Number of elements.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn as_ref(&self) -> NodeRef<'_> {
        match &*self.node {
            Node::Packed(listpack) => NodeRef::Packed(listpack.bytes()),
            Node::Plain(text) => NodeRef::Plain(text),
        }
    }

    /// Inserts the element if there is room.
    #[inline]
    fn insert(&mut self, offset: usize, element: Element<'_>, limit: NodeLimit) -> bool {
        let count = self.count;
        let Some(listpack) = self.with_room(element, limit) else { return false };
        if offset == count {
            listpack.push_back(element);
        } else if !listpack.insert_at(offset, element) {
            return false;
        }
        self.count += 1;
        true
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

    fn replace(&mut self, offset: usize, element: Element<'_>) {
        if let Some(listpack) = self.listpack_mut()
            && let Some(cursor) = i64::try_from(offset).ok().and_then(|at| listpack.view().seek(at))
        {
            listpack.replace(cursor, element);
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

    /// Takes the first or the last element of a packed node out.
    fn pop(&mut self, back: bool) -> Option<Vec<u8>> {
        let listpack = self.listpack_mut()?;
        let view = listpack.view();
        let cursor = if back { view.last()? } else { view.first()? };
        let text = view.get(cursor)?.to_vec();
        self.count -= listpack.remove(cursor, 1);
        Some(text)
    }

    /// Removes elements of a packed node, not all of them.
    fn remove(&mut self, offset: usize, count: usize) {
        if let Some(listpack) = self.listpack_mut() {
            let removed = listpack.remove_range(i64::try_from(offset).unwrap_or(i64::MAX), count);
            self.count -= removed;
        }
    }

    fn remove_matching(&mut self, text: &[u8], wanted: usize, backward: bool) -> usize {
        // The caller found a match, so it is the one element of a plain node.
        let removed = match self.listpack_mut() {
            Some(listpack) => remove_from_listpack(listpack, text, wanted, backward),
            None => 1,
        };
        self.count -= removed;
        removed
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
    pub(super) fn from_nodes(nodes: impl IntoIterator<Item = Node>, limit: NodeLimit) -> Self {
        let nodes = nodes.into_iter().map(Slot::new).filter(|slot| slot.count > 0).collect();
        Self { nodes, limit }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.elements()
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // Two counters in front of each shared node.
        const SHARED_BYTES: usize = size_of::<Node>() + 16;
        let nodes: usize =
            self.nodes.iter().map(|slot| SHARED_BYTES + slot.node.memory_bytes()).sum();
        nodes + self.nodes.memory_bytes()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.nodes.iter().map(Slot::as_ref)
    }

    pub(super) fn node(&self, index: usize) -> Option<NodeRef<'_>> {
        self.nodes.get(index).map(Slot::as_ref)
    }

    /// Node and offset in it of the element at `position`.
    pub(super) fn locate(&self, position: usize) -> Option<(usize, usize)> {
        self.nodes.locate(position)
    }

    pub(super) fn get(&self, position: usize) -> Option<Element<'_>> {
        let (index, offset) = self.locate(position)?;
        self.nodes.get(index)?.get(offset)
    }

    pub(super) fn push_back(&mut self, element: Element<'_>) {
        let limit = self.limit;
        let count = self.nodes.len();
        let last = count.checked_sub(1);
        let added = last.and_then(|last| {
            self.nodes.update(last, |slot| slot.insert(slot.count, element, limit))
        });
        if added != Some(true) {
            self.nodes.insert(count, Slot::new(Node::new(element, limit)));
        }
    }

    pub(super) fn push_front(&mut self, element: Element<'_>) {
        let limit = self.limit;
        if self.nodes.update(0, |slot| slot.insert(0, element, limit)) != Some(true) {
            self.nodes.insert(0, Slot::new(Node::new(element, limit)));
        }
    }

    /// Takes the first or the last element out.
    pub(super) fn pop(&mut self, back: bool) -> Option<Vec<u8>> {
        let index = if back { self.nodes.len().checked_sub(1)? } else { 0 };
        let slot = self.nodes.get(index)?;
        if slot.count == 1 {
            let text = slot.get(0)?.to_vec();
            self.nodes.remove_range(index..index + 1);
            return Some(text);
        }
        self.nodes.update(index, |slot| slot.pop(back)).flatten()
    }

    /// Inserts at a position within the list or at its end.
    pub(super) fn insert(&mut self, position: usize, element: Element<'_>) -> bool {
        if position == self.len() {
            self.push_back(element);
            return true;
        }
        self.insert_beside(position, false, element)
    }

    /// Inserts before or after the element at `pivot`. Which node takes the element decides when
    /// the list becomes one listpack again, so the order of the attempts is Redis'.
    pub(super) fn insert_beside(
        &mut self,
        pivot: usize,
        after: bool,
        element: Element<'_>,
    ) -> bool {
        let Some((index, offset)) = self.locate(pivot) else { return false };
        let Some(count) = self.nodes.get(index).map(Slot::count) else { return false };
        let at = offset + usize::from(after);
        let large = self.limit.is_large(element.len());
        if !large && self.insert_within(index, at, element) {
            return true;
        }
        if at > 0 && at < count {
            self.insert_by_splitting(index, at, after, element);
            return true;
        }
        // At the seam of two nodes the end of the neighbour is as good.
        let neighbour = if after { Some(index + 1) } else { index.checked_sub(1) };
        if !large && let Some(neighbour) = neighbour {
            let end = if after { 0 } else { self.nodes.get(neighbour).map_or(0, Slot::count) };
            if self.insert_within(neighbour, end, element) {
                return true;
            }
        }
        let index = index + usize::from(after);
        self.nodes.insert(index, Slot::new(Node::new(element, self.limit)));
        true
    }

    /// Inserts into the node if it has room.
    fn insert_within(&mut self, index: usize, offset: usize, element: Element<'_>) -> bool {
        let limit = self.limit;
        self.nodes.update(index, |slot| slot.insert(offset, element, limit)) == Some(true)
    }

    /// Splits the node before `offset` and puts the element between the halves: into the half
    /// without the pivot if it has room there.
    fn insert_by_splitting(
        &mut self,
        index: usize,
        offset: usize,
        after: bool,
        element: Element<'_>,
    ) {
        if let Some(tail) = self.nodes.update(index, |slot| slot.split_off(offset)).flatten() {
            self.nodes.insert(index + 1, tail);
        }
        let mut center = if after { index } else { index + 1 };
        let (half, end) = if after { (index + 1, 0) } else { (index, offset) };
        if self.limit.is_large(element.len()) || !self.insert_within(half, end, element) {
            self.nodes.insert(index + 1, Slot::new(Node::new(element, self.limit)));
            center += usize::from(!after);
        }
        self.merge_around(center);
    }

    /// Merges the neighbours of a node that was split, and it with them, where the bound allows.
    fn merge_around(&mut self, mut center: usize) {
        if center >= 2 && self.merge(center - 2) {
            center -= 1;
        }
        self.merge(center + 1);
        if center >= 1 && self.merge(center - 1) {
            center -= 1;
        }
        self.merge(center);
    }

    /// Makes one node of this and the next, if that is within the bound.
    fn merge(&mut self, index: usize) -> bool {
        let (Some(left), Some(right)) = (self.nodes.get(index), self.nodes.get(index + 1)) else {
            return false;
        };
        let (Some(a), Some(b)) = (left.listpack(), right.listpack()) else { return false };
        let bytes = a.byte_len() + b.byte_len() - FRAME_BYTES;
        if self.limit.is_exceeded(bytes, left.count + right.count) {
            return false;
        }
        let Some(right) = self.nodes.remove(index + 1) else { return false };
        self.nodes.update(index, |left| {
            if let (Some(a), Some(b)) = (left.listpack_mut(), right.listpack()) {
                a.append(b.view());
                left.count += right.count;
            }
        });
        true
    }

    /// Replaces the element at `position`, which is in the list.
    pub(super) fn set(&mut self, position: usize, element: Element<'_>) {
        let limit = self.limit;
        let Some((index, offset)) = self.locate(position) else { return };
        let Some(slot) = self.nodes.get(index) else { return };
        let large = limit.is_large(element.len());
        if slot.listpack().is_none() && !large {
            // The neighbour may have room for what is no longer oversized.
            self.insert_beside(position, true, element);
            self.remove_range(position, 1);
            return;
        }
        if slot.count == 1 {
            self.nodes.update(index, |slot| *slot = Slot::new(Node::new(element, limit)));
            return;
        }
        // As in Redis, a node may pass its limit so.
        let fits = slot.listpack().is_some_and(|listpack| listpack.has_room(element.len()));
        if !large && fits {
            self.nodes.update(index, |slot| slot.replace(offset, element));
            return;
        }
        self.remove_range(position, 1);
        self.insert(position, element);
    }

    /// Removes up to `count` elements from `position` on; returns how many.
    pub(super) fn remove_range(&mut self, position: usize, count: usize) -> usize {
        let count = count.min(self.len().saturating_sub(position));
        if count == 0 {
            return 0;
        }
        let Some((first, mut offset)) = self.locate(position) else { return 0 };
        let mut index = first;
        let mut left = count;
        // Nodes that go as a whole are removed together at the end.
        let mut whole = None::<(usize, usize)>;
        while left > 0 {
            let Some(slot) = self.nodes.get(index) else { break };
            let here = left.min(slot.count - offset);
            if here == slot.count {
                whole = Some((whole.map_or(index, |(start, _)| start), index + 1));
            } else {
                self.nodes.update(index, |slot| slot.remove(offset, here));
            }
            left -= here;
            offset = 0;
            index += 1;
        }
        if let Some((start, end)) = whole {
            self.nodes.remove_range(start..end);
        }
        count - left
    }

    /// Removes up to `wanted` elements with this text, from the end if `backward`.
    pub(super) fn remove_matching(&mut self, text: &[u8], wanted: usize, backward: bool) -> usize {
        let mut removed = 0;
        let count = self.nodes.len();
        for step in 0..count {
            if removed == wanted {
                break;
            }
            let index = if backward { count - 1 - step } else { step };
            // Nodes without a match stay shared with clones.
            if !self.nodes.get(index).is_some_and(|slot| slot.contains(text)) {
                continue;
            }
            let here = self
                .nodes
                .update(index, |slot| slot.remove_matching(text, wanted - removed, backward));
            removed += here.unwrap_or(0);
        }
        if removed > 0 {
            self.nodes.remove_empty();
        }
        removed
    }

    /// Takes the listpack of the only node out if it is packed and its size `fits`; an empty one
    /// if there is no node.
    pub(super) fn take_only_listpack(
        &mut self,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Option<Listpack> {
        if self.nodes.len() > 1 {
            return None;
        }
        let Some(slot) = self.nodes.get(0) else { return Some(Listpack::new()) };
        let listpack = slot.listpack()?;
        if !fits(listpack.byte_len(), slot.count) {
            return None;
        }
        self.nodes.update(0, |slot| slot.listpack_mut().map(std::mem::take)).flatten()
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
            Self::Tight(_) | Self::Plain(_) => None,
        }
    }
}
