//! The ordered half of a large sorted set: a B+tree that also counts.
//!
//! Items are ordered by (score, member bytes). Inner nodes count the items below each child, so rank
//! and select cost one way down, like insert and remove: O(log n), no operation touches more than a
//! few nodes of bounded size per level whatever the length. A range of any kind is first turned into
//! a range of ranks, then walked leaf by leaf; that makes counting and LIMIT arithmetic.
//!
//! `clone` is O(1) and shares every node; either side copies the nodes on the way of a later write
//! (`node.rs`). A snapshot is therefore a clone, and costs memory only for what is overwritten.
//!
//! The caller keeps members unique (the sorted set asks its table first).

use std::ops::Range;
use std::sync::Arc;

use super::chunk::Chunk;
pub use super::node::Item;
pub(super) use super::node::Key;
use super::node::{Census, Child, FANOUT, Inner, LEAF, Leaf, Node, Place, child_of_rank};

/// Items in order of (score, member), counted.
#[derive(Clone, Debug)]
pub struct Tree<E> {
    root: Node<E>,
    len: usize,
    census: Census,
}

impl<E: Item> Default for Tree<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Item> Tree<E> {
    /// An empty tree.
    pub fn new() -> Self {
        Self { root: Node::empty_leaf(), len: 0, census: Census { leaves: 1, inners: 0 } }
    }

    /// A tree of `items`, which are in order, with full leaves.
    pub fn from_sorted(items: impl IntoIterator<Item = E>) -> Self {
        let mut census = Census::default();
        let mut level = Vec::new();
        let mut leaf: Leaf<E> = Chunk::new();
        for item in items {
            if leaf.room() == 0 {
                let full = std::mem::replace(&mut leaf, Chunk::new());
                level.extend(Child::new(Node::Leaf(Arc::new(full))));
            }
            leaf.push(item);
        }
        level.extend(Child::new(Node::Leaf(Arc::new(leaf))));
        census.leaves = level.len().max(1);
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len() / FANOUT + 1);
            let mut below = level.into_iter().peekable();
            while below.peek().is_some() {
                let mut inner: Inner<E> = Chunk::new();
                below.by_ref().take(FANOUT).for_each(|child| inner.push(child));
                census.inners += 1;
                above.extend(Child::new(Node::Inner(Arc::new(inner))));
            }
            level = above;
        }
        match level.pop() {
            Some(top) => Self { root: top.node, len: top.count, census },
            None => Self::new(),
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of the nodes; what the items point to is not included.
    pub fn memory_bytes(&self) -> usize {
        let counters = 2 * size_of::<usize>();
        self.census.leaves * (size_of::<Leaf<E>>() + counters)
            + self.census.inners * (size_of::<Inner<E>>() + counters)
    }

    /// The share of leaf slots in use, from 0 to 1.
    pub fn leaf_fill(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let fill = self.len as f64 / (self.census.leaves * LEAF) as f64;
        fill
    }

    /// Puts `item` in its place. No item with the same score and member may be there.
    pub fn insert(&mut self, item: E) {
        if self.root.is_full() {
            let old = std::mem::replace(&mut self.root, Node::empty_leaf());
            if let Some(child) = Child::new(old) {
                let mut inner: Inner<E> = Chunk::new();
                inner.push(child);
                self.root = Node::Inner(Arc::new(inner));
                self.census.inners += 1;
            }
        }
        self.root.insert(item, &mut self.census);
        self.len += 1;
    }

    /// Takes the item with this score and member out.
    pub fn remove(&mut self, score: f64, member: &[u8]) -> Option<E> {
        let mut item = None;
        let place = Place::Key(Key { score, member });
        self.len -= self.root.remove(place, &mut self.census, &mut |found| item = Some(found));
        self.lower_root();
        item
    }

    /// Removes the items of these ranks, and hands each to `sink` in order.
    pub fn remove_ranks(&mut self, ranks: Range<usize>, sink: &mut dyn FnMut(E)) -> usize {
        let total = ranks.end.min(self.len).saturating_sub(ranks.start);
        let mut left = total;
        while left > 0 {
            let place = Place::Ranks { rank: ranks.start, count: left };
            let removed = self.root.remove(place, &mut self.census, sink);
            if removed == 0 {
                break;
            }
            self.len -= removed;
            left -= removed;
        }
        self.lower_root();
        total - left
    }

    /// Puts `new` in, and takes the item with this score and member out, which is returned.
    pub fn exchange(&mut self, score: f64, member: &[u8], new: E) -> Option<E> {
        let mut old = None;
        let place = Place::Exchange(Key { score, member }, &new);
        let removed = self.root.remove(place, &mut self.census, &mut |found| old = Some(found));
        self.len -= removed;
        self.lower_root();
        if removed > 0 || old.is_none() {
            self.insert(new);
        }
        old
    }

    /// The item of this rank, counted from zero.
    pub fn select(&self, rank: usize) -> Option<&E> {
        let (leaf, position) = self.seek(rank)?;
        leaf.get(position)
    }

    /// How many items come before one with this score and member: its rank, when it is there.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        let key = Key { score, member };
        self.rank_where(|score, item| key.follows(score, item))
    }

    /// How many items satisfy `before`, which must hold for a prefix of the order only. It is given
    /// the score beside the item, to spare it the way to the item's bytes.
    pub fn rank_where(&self, mut before: impl FnMut(f64, &E) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    return rank + leaf.partition_point(|item| before(item.score(), item));
                }
                Node::Inner(inner) => {
                    let index = inner
                        .partition_point(|child| before(child.score, &child.low))
                        .saturating_sub(1);
                    rank += inner.iter().take(index).map(|child| child.count).sum::<usize>();
                    node = &inner[index].node;
                }
            }
        }
    }

    /// The items of these ranks in order; `rev()` walks backwards.
    pub fn range(&self, ranks: Range<usize>) -> Items<'_, E> {
        let end = ranks.end.min(self.len);
        Items { tree: self, ranks: ranks.start.min(end)..end, front: None, back: None }
    }

    /// All items in order.
    pub fn iter(&self) -> Items<'_, E> {
        self.range(0..self.len)
    }

    fn seek(&self, rank: usize) -> Option<(&Leaf<E>, usize)> {
        if rank >= self.len {
            return None;
        }
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            match node {
                Node::Leaf(leaf) => return Some((leaf, rank)),
                Node::Inner(inner) => {
                    let (index, within) = child_of_rank(inner, rank);
                    (node, rank) = (&inner[index].node, within);
                }
            }
        }
    }

    fn lower_root(&mut self) {
        while let Node::Inner(inner) = &self.root {
            let only = match inner.len() {
                0 => Node::empty_leaf(),
                1 => inner[0].node.clone(),
                _ => return,
            };
            self.census.inners -= 1;
            self.census.leaves += usize::from(inner.len() == 0);
            self.root = only;
        }
    }
}

/// Items of a range of ranks. Each end holds one leaf and asks the tree for the next one by rank.
#[derive(Clone, Debug)]
pub struct Items<'a, E> {
    tree: &'a Tree<E>,
    ranks: Range<usize>,
    /// A leaf and the position in it of the next item at this end.
    front: Option<(&'a Leaf<E>, usize)>,
    back: Option<(&'a Leaf<E>, usize)>,
}

impl<'a, E: Item> Iterator for Items<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        if self.ranks.is_empty() {
            return None;
        }
        let (leaf, position) = match self.front {
            Some((leaf, position)) if position < leaf.len() => (leaf, position),
            _ => self.tree.seek(self.ranks.start)?,
        };
        self.front = Some((leaf, position + 1));
        self.ranks.start += 1;
        leaf.get(position)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ranks.len(), Some(self.ranks.len()))
    }
}

impl<E: Item> DoubleEndedIterator for Items<'_, E> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        let (leaf, position) = match self.back {
            Some((leaf, next)) if next > 0 => (leaf, next - 1),
            _ => self.tree.seek(self.ranks.end - 1)?,
        };
        self.back = Some((leaf, position));
        self.ranks.end -= 1;
        leaf.get(position)
    }
}

impl<E: Item> ExactSizeIterator for Items<'_, E> {}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
