//! Nodes of the ordered tree: leaves of items, inner nodes of counted children.
//!
//! Every node hangs in an `Arc` and is changed through `Arc::make_mut`, so a tree that was cloned (a
//! snapshot) shares all nodes with the original, and a writer copies only the few on its path.
//!
//! Invariants, for the children of an inner node in order:
//! - `count` is the number of items below the child, never zero between operations;
//! - `low` is greater than every item of the child before, and at most the smallest item of its own.
//!   Removing that smallest item leaves `low` as it is: it stays a correct divider;
//! - `score` repeats `low`'s score, so a search reads the item itself only when scores are equal.
//!
//! Filling: a full node first gives items to a neighbour; when both are full, two nodes become three
//! (about 80 % full under random inserts), and an insert at the very edge of a full node starts an
//! almost empty one beside it, so that ascending and descending loads leave full nodes behind.
//! Emptying: a node less than half full joins a neighbour when both fit into one.

use std::cmp::Ordering;
use std::sync::Arc;

use super::chunk::Chunk;

/// What the tree orders: by score, then by the bytes of the member. Cloning must be cheap.
pub trait Item: Clone {
    /// Never NaN.
    fn score(&self) -> f64;
    /// The member's bytes.
    fn member(&self) -> &[u8];
    /// Has the memory of both on its way, if that is elsewhere.
    fn bring_near(&self) {}
}

/// Items per leaf: with the counters of `Arc` and `Chunk` a leaf of pointers takes 512 bytes.
pub(super) const LEAF: usize = 61;
/// Children per inner node: 2560 bytes in the same way.
pub(super) const FANOUT: usize = 63;

pub(super) type Leaf<E> = Chunk<E, LEAF>;
pub(super) type Inner<E> = Chunk<Child<E>, FANOUT>;

#[derive(Clone, Debug)]
pub(super) enum Node<E> {
    Leaf(Arc<Leaf<E>>),
    Inner(Arc<Inner<E>>),
}

#[derive(Clone, Debug)]
pub(super) struct Child<E> {
    pub(super) score: f64,
    pub(super) low: E,
    pub(super) count: usize,
    pub(super) node: Node<E>,
}

/// How many nodes of each kind a tree has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) leaves: usize,
    pub(super) inners: usize,
}

/// A position in the order: that of an item with this score and member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) score: f64,
    pub(super) member: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn of<E: Item>(item: &'a E) -> Self {
        Self { score: item.score(), member: item.member() }
    }

    /// How `item`, whose score is `score`, stands to this key.
    fn compare<E: Item>(&self, score: f64, item: &E) -> Ordering {
        match score.partial_cmp(&self.score) {
            Some(Ordering::Equal) | None => item.member().cmp(self.member),
            Some(other) => other,
        }
    }

    /// Whether `item`, whose score is `score`, comes before this key.
    pub(super) fn follows<E: Item>(&self, score: f64, item: &E) -> bool {
        self.compare(score, item) == Ordering::Less
    }

    fn position_in<E: Item>(&self, leaf: &Leaf<E>) -> usize {
        leaf.partition_point_far(E::bring_near, |item| self.follows(item.score(), item))
    }

    fn child_in<E: Item>(&self, inner: &Inner<E>) -> usize {
        let not_after = |child: &Child<E>| self.compare(child.score, &child.low).is_le();
        inner.partition_point(not_after).saturating_sub(1)
    }
}

/// What to remove.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a, E> {
    /// The item with exactly this key.
    Key(Key<'a>),
    /// The same, but where its neighbours in the leaf show that the new item belongs in its place,
    /// that is put there and nothing counts as removed.
    Exchange(Key<'a>, &'a E),
    /// The item of this rank and up to `count - 1` after it, as far as its leaf goes.
    Ranks { rank: usize, count: usize },
}

impl<E: Item> Node<E> {
    pub(super) fn empty_leaf() -> Self {
        Self::Leaf(Arc::new(Chunk::new()))
    }

    pub(super) fn is_full(&self) -> bool {
        self.room() == 0
    }

    pub(super) fn slots_used(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.len(),
        }
    }

    /// Puts `item` below this node, which must not be full.
    pub(super) fn insert(&mut self, item: E, census: &mut Census) {
        match self {
            Self::Leaf(leaf) => {
                let leaf = Arc::make_mut(leaf);
                let position = Key::of(&item).position_in(leaf);
                leaf.insert(position, item);
            }
            Self::Inner(inner) => insert_below(Arc::make_mut(inner), item, census),
        }
    }

    /// Removes what `place` names and hands it to `sink`; the number removed.
    pub(super) fn remove(
        &mut self,
        place: Place<'_, E>,
        census: &mut Census,
        sink: &mut dyn FnMut(E),
    ) -> usize {
        match self {
            Self::Leaf(leaf) => remove_from_leaf(leaf, place, sink),
            Self::Inner(inner) => remove_below(Arc::make_mut(inner), place, census, sink),
        }
    }

    fn room(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.room(),
            Self::Inner(inner) => inner.room(),
        }
    }

    fn capacity(&self) -> usize {
        self.slots_used() + self.room()
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.iter().map(|child| child.count).sum(),
        }
    }

    fn low(&self) -> Option<&E> {
        match self {
            Self::Leaf(leaf) => leaf.get(0),
            Self::Inner(inner) => inner.get(0).map(|child| &child.low),
        }
    }

    /// Where in this node the way of `key` goes on.
    fn slot_of(&self, key: Key<'_>) -> usize {
        match self {
            Self::Leaf(leaf) => key.position_in(leaf),
            Self::Inner(inner) => key.child_in(inner),
        }
    }

    /// Moves the last `count` slots of this node to an empty node of the same kind.
    fn split_off(&mut self, count: usize, census: &mut Census) -> Self {
        match self {
            Self::Leaf(leaf) => {
                let mut right = Chunk::new();
                Arc::make_mut(leaf).move_tail(&mut right, count);
                census.leaves += 1;
                Self::Leaf(Arc::new(right))
            }
            Self::Inner(inner) => {
                let mut right = Chunk::new();
                Arc::make_mut(inner).move_tail(&mut right, count);
                census.inners += 1;
                Self::Inner(Arc::new(right))
            }
        }
    }
}

impl<E: Item> Child<E> {
    /// `None` for a node without items.
    pub(super) fn new(node: Node<E>) -> Option<Self> {
        let low = node.low()?.clone();
        Some(Self { score: low.score(), low, count: node.count(), node })
    }

    fn set_low(&mut self, low: &E) {
        self.low = low.clone();
        self.score = low.score();
    }

    /// Moves slots between neighbours until `self` has `wanted` of them. Its `low` stays, even if it
    /// is below the first item: a key on its way here must not be sent to the child before.
    fn level(&mut self, right: &mut Self, wanted: usize) {
        let have = self.node.slots_used();
        match (&mut self.node, &mut right.node) {
            (Node::Leaf(one), Node::Leaf(two)) => {
                level(Arc::make_mut(one), Arc::make_mut(two), have, wanted);
            }
            (Node::Inner(one), Node::Inner(two)) => {
                level(Arc::make_mut(one), Arc::make_mut(two), have, wanted);
            }
            _ => unreachable!("siblings are of one kind"),
        }
        self.count = self.node.count();
        right.count = right.node.count();
        if let Some(low) = right.node.low().cloned() {
            right.set_low(&low);
        }
    }
}

fn level<T, const N: usize>(
    one: &mut Chunk<T, N>,
    two: &mut Chunk<T, N>,
    have: usize,
    wanted: usize,
) {
    if wanted < have {
        one.move_tail(two, have - wanted);
    } else {
        one.take_head(two, wanted - have);
    }
}

fn insert_below<E: Item>(inner: &mut Inner<E>, item: E, census: &mut Census) {
    let key = Key::of(&item);
    let mut index = key.child_in(inner);
    if inner[index].node.is_full() {
        make_room(inner, index, key, census);
        index = key.child_in(inner);
    }
    let child = &mut inner[index];
    if key.compare(child.score, &child.low).is_gt() {
        child.set_low(&item); // Only before everything else there is.
    }
    child.count += 1;
    child.node.insert(item, census);
}

/// Makes room for `key` at the child `index`, which is full. `inner` itself has room for a child.
fn make_room<E: Item>(inner: &mut Inner<E>, index: usize, key: Key<'_>, census: &mut Census) {
    let full = &inner[index].node;
    let (used, slot) = (full.slots_used(), full.slot_of(key));
    let worth_it = full.capacity() / 10; // Less room would be used up after a few inserts.
    let pairs = [index.checked_sub(1), Some(index)];
    for left in pairs.into_iter().flatten() {
        if let Some((one, two)) = inner.pair_mut(left)
            && one.node.room().max(two.node.room()) > worth_it
        {
            let total = one.node.slots_used() + two.node.slots_used();
            return one.level(two, total / 2);
        }
    }
    // A leaf's edges are before its first and after its last item; an inner node's are its outer
    // children, on whose way the key is.
    let at_end = slot + usize::from(matches!(full_kind(inner, index), Kind::Inner)) == used;
    if slot == 0 || at_end {
        let moved = if at_end { 1 } else { used - 1 };
        return split(inner, index, moved, census);
    }
    let left = if index > 0 { index - 1 } else { index };
    match inner.pair_mut(left) {
        Some((one, two)) => {
            let total = one.node.slots_used() + two.node.slots_used();
            let third = total / 3;
            split(inner, left + 1, third, census);
            if let Some((one, two)) = inner.pair_mut(left) {
                one.level(two, (total - third) / 2);
            }
        }
        None => split(inner, index, used / 2, census),
    }
}

enum Kind {
    Leaf,
    Inner,
}

fn full_kind<E>(inner: &Inner<E>, index: usize) -> Kind {
    match inner[index].node {
        Node::Leaf(_) => Kind::Leaf,
        Node::Inner(_) => Kind::Inner,
    }
}

/// Moves the last `moved` slots of the child `index` to a new child after it.
fn split<E: Item>(inner: &mut Inner<E>, index: usize, moved: usize, census: &mut Census) {
    let child = &mut inner[index];
    let right = child.node.split_off(moved, census);
    if let Some(right) = Child::new(right) {
        child.count -= right.count;
        inner.insert(index + 1, right);
    }
}

fn remove_from_leaf<E: Item>(
    leaf: &mut Arc<Leaf<E>>,
    place: Place<'_, E>,
    sink: &mut dyn FnMut(E),
) -> usize {
    let (position, count) = match place {
        Place::Ranks { rank, count } => (rank, count.min(leaf.len().saturating_sub(rank))),
        Place::Key(key) | Place::Exchange(key, _) => {
            let position = key.position_in(leaf);
            let found = leaf.get(position).map(|item| key.compare(item.score(), item).is_eq());
            (position, usize::from(found == Some(true)))
        }
    };
    if let Place::Exchange(_, new) = place
        && count == 1
        && fits_at(leaf, position, new)
    {
        sink(std::mem::replace(&mut Arc::make_mut(leaf)[position], new.clone()));
        return 0;
    }
    if count > 0 {
        Arc::make_mut(leaf).remove_run(position, count, sink);
    }
    count
}

/// Whether `new` keeps the order in the place of the item at `position`, as its neighbours tell.
fn fits_at<E: Item>(leaf: &Leaf<E>, position: usize, new: &E) -> bool {
    let before = position.checked_sub(1).and_then(|before| leaf.get(before));
    let (Some(before), Some(after)) = (before, leaf.get(position + 1)) else { return false };
    let key = Key::of(new);
    key.follows(before.score(), before) && key.compare(after.score(), after).is_gt()
}

fn remove_below<E: Item>(
    inner: &mut Inner<E>,
    place: Place<'_, E>,
    census: &mut Census,
    sink: &mut dyn FnMut(E),
) -> usize {
    let (index, place) = match place {
        Place::Key(key) | Place::Exchange(key, _) => (key.child_in(inner), place),
        Place::Ranks { rank, count } => {
            let (index, rank) = child_of_rank(inner, rank);
            (index, Place::Ranks { rank, count })
        }
    };
    let child = &mut inner[index];
    let removed = child.node.remove(place, census, sink);
    child.count -= removed;
    if removed > 0 {
        mend(inner, index, census);
    }
    removed
}

/// The child that holds `rank`, and the rank within it; the last child for a rank past the end.
pub(super) fn child_of_rank<E>(inner: &Inner<E>, rank: usize) -> (usize, usize) {
    let mut left = rank;
    for (index, child) in inner.iter().enumerate() {
        if left < child.count {
            return (index, left);
        }
        left -= child.count;
    }
    (inner.len() - 1, usize::MAX)
}

/// Restores the invariants at the child `index`, from which something was removed.
fn mend<E: Item>(inner: &mut Inner<E>, index: usize, census: &mut Census) {
    let (used, capacity) = (inner[index].node.slots_used(), inner[index].node.capacity());
    if used == 0 {
        return retire(inner, index, census);
    }
    if used >= capacity / 2 {
        return;
    }
    for left in [index.checked_sub(1), Some(index)].into_iter().flatten() {
        let Some((one, two)) = inner.pair_mut(left) else { continue };
        let total = one.node.slots_used() + two.node.slots_used();
        if total <= capacity - capacity / 8 {
            // `one` keeps its low, which still divides; only what it holds grows.
            match (&mut one.node, &mut two.node) {
                (Node::Leaf(a), Node::Leaf(b)) => {
                    let count = b.len();
                    Arc::make_mut(a).take_head(Arc::make_mut(b), count);
                }
                (Node::Inner(a), Node::Inner(b)) => {
                    let count = b.len();
                    Arc::make_mut(a).take_head(Arc::make_mut(b), count);
                }
                _ => unreachable!("siblings are of one kind"),
            }
            one.count += two.count;
            return retire(inner, left + 1, census);
        }
    }
}

fn retire<E: Item>(inner: &mut Inner<E>, index: usize, census: &mut Census) {
    match inner.remove(index).map(|child| child.node) {
        Some(Node::Leaf(_)) => census.leaves -= 1,
        Some(Node::Inner(_)) => census.inners -= 1,
        None => {}
    }
}
