//! Items in the order of their ids: a stream's nodes, and what is pending.
//!
//! ```text
//! VecDeque of chunks:  low | low | low | ...        low = the id of the chunk's first item
//!                       |     |     |
//!                      Arc   Arc   Arc of up to CHUNK items each
//! ```
//!
//! Ids mostly come at the end and go from the front, so two levels are enough: a search is two binary
//! searches, an insert or removal moves at most one chunk. A clone shares all chunks; whoever writes
//! afterwards copies the one chunk it touches. Chunks are never empty.

use std::collections::VecDeque;
use std::sync::Arc;

use super::id::StreamId;

/// Items per chunk.
const CHUNK: usize = 128;

/// What has an id.
pub(super) trait Keyed: Clone {
    /// Does not change while the item is in a collection.
    fn id(&self) -> StreamId;
}

impl Keyed for StreamId {
    fn id(&self) -> StreamId {
        *self
    }
}

/// Items in ascending order of ids, no two with the same id.
#[derive(Clone, Debug)]
pub(super) struct Ordered<T> {
    chunks: VecDeque<Chunk<T>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Chunk<T> {
    low: StreamId,
    items: Arc<Vec<T>>,
}

/// Between two items: index of the chunk, index in it.
type Place = (usize, usize);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T: Keyed> Ordered<T> {
    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the chunks; what the items point to is not included.
    pub(super) fn memory_bytes(&self) -> usize {
        let header = 2 * size_of::<usize>() + size_of::<Vec<T>>();
        let of_chunk = |chunk: &Chunk<T>| header + chunk.items.capacity() * size_of::<T>();
        self.chunks.capacity() * size_of::<Chunk<T>>()
            + self.chunks.iter().map(of_chunk).sum::<usize>()
    }

    /// The item with this id.
    pub(super) fn get(&self, id: StreamId) -> Option<&T> {
        let (chunk, at) = self.lower_bound(id);
        self.chunks.get(chunk)?.items.get(at).filter(|item| item.id() == id)
    }

    /// The item with this id, to change (never its id).
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        let (chunk, at) = self.lower_bound(id);
        let items = &mut self.chunks.get_mut(chunk)?.items;
        items.get(at).filter(|item| item.id() == id)?;
        Arc::make_mut(items).get_mut(at)
    }

    /// The last item whose id is at most this.
    pub(super) fn floor(&self, id: StreamId) -> Option<&T> {
        self.descend_from(id).next()
    }

    /// The first item.
    pub(super) fn first(&self) -> Option<&T> {
        self.chunks.front()?.items.first()
    }

    /// The last item.
    pub(super) fn last(&self) -> Option<&T> {
        self.chunks.back()?.items.last()
    }

    /// The last item, to change.
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        Arc::make_mut(&mut self.chunks.back_mut()?.items).last_mut()
    }

    /// Puts an item in its place. False, and nothing changed, when its id is there.
    pub(super) fn insert(&mut self, item: T) -> bool {
        let id = item.id();
        if self.last().is_none_or(|last| last.id() < id) {
            self.push_back(item);
            return true;
        }
        let (index, at) = self.place_for(id);
        let Some(chunk) = self.chunks.get_mut(index) else { return false };
        if chunk.items.get(at).is_some_and(|there| there.id() == id) {
            return false;
        }
        let items = Arc::make_mut(&mut chunk.items);
        items.insert(at, item);
        self.len += 1;
        if at == 0 {
            chunk.low = id;
        }
        if items.len() > CHUNK {
            let upper = items.split_off(CHUNK / 2);
            if let Some(low) = upper.first().map(Keyed::id) {
                self.chunks.insert(index + 1, Chunk { low, items: Arc::new(upper) });
            }
        }
        true
    }

    fn push_back(&mut self, item: T) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.items.len() < CHUNK => Arc::make_mut(&mut chunk.items).push(item),
            _ => self.chunks.push_back(Chunk { low: item.id(), items: Arc::new(vec![item]) }),
        }
    }

    /// Takes the item with this id out.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<T> {
        let (index, at) = self.lower_bound(id);
        let chunk = self.chunks.get_mut(index)?;
        chunk.items.get(at).filter(|item| item.id() == id)?;
        let items = Arc::make_mut(&mut chunk.items);
        let item = items.remove(at);
        self.len -= 1;
        match items.first() {
            None => drop(self.chunks.remove(index)),
            Some(first) => {
                chunk.low = first.id();
                self.join(index);
            }
        }
        Some(item)
    }

    /// Joins a chunk that became small with a neighbour.
    fn join(&mut self, index: usize) {
        let size = |index: usize| self.chunks.get(index).map_or(CHUNK, |chunk| chunk.items.len());
        if size(index) > CHUNK / 4 {
            return;
        }
        let left = if index > 0 && size(index - 1) + size(index) <= CHUNK / 2 {
            index - 1
        } else if size(index) + size(index + 1) <= CHUNK / 2 {
            index
        } else {
            return;
        };
        let Some(right) = self.chunks.remove(left + 1) else { return };
        if let Some(left) = self.chunks.get_mut(left) {
            Arc::make_mut(&mut left.items).extend(right.items.iter().cloned());
        }
    }

    /// All items in order.
    pub(super) fn iter(&self) -> Ascend<'_, T> {
        Ascend { ordered: self, place: (0, 0) }
    }

    /// The items from this id on, in order.
    pub(super) fn ascend_from(&self, id: StreamId) -> Ascend<'_, T> {
        Ascend { ordered: self, place: self.lower_bound(id) }
    }

    /// The items from this id (included) down.
    pub(super) fn descend_from(&self, id: StreamId) -> Descend<'_, T> {
        let place = match id.next() {
            Some(next) => self.lower_bound(next),
            None => (self.chunks.len(), 0),
        };
        Descend { ordered: self, place }
    }

    /// The place of the first item that is not below `id`; behind everything if there is none.
    fn lower_bound(&self, id: StreamId) -> Place {
        let (chunk, at) = self.place_for(id);
        match self.chunks.get(chunk) {
            Some(found) if at == found.items.len() => (chunk + 1, 0),
            _ => (chunk, at),
        }
    }

    /// As `lower_bound`, but at the end of a chunk rather than at the start of the next.
    fn place_for(&self, id: StreamId) -> Place {
        let chunk = self.chunks.partition_point(|chunk| chunk.low <= id).saturating_sub(1);
        let items = self.chunks.get(chunk).map(|chunk| chunk.items.as_slice()).unwrap_or_default();
        (chunk, items.partition_point(|item| item.id() < id))
    }
}

impl<T: Keyed> FromIterator<T> for Ordered<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut ordered = Self::default();
        for item in items {
            ordered.insert(item);
        }
        ordered
    }
}

/// Items upwards.
#[derive(Clone, Debug)]
pub(super) struct Ascend<'a, T> {
    ordered: &'a Ordered<T>,
    /// Of the next item.
    place: Place,
}

impl<'a, T> Iterator for Ascend<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let (index, at) = self.place;
        let items = &self.ordered.chunks.get(index)?.items;
        self.place = if at + 1 < items.len() { (index, at + 1) } else { (index + 1, 0) };
        items.get(at)
    }
}

/// Items downwards.
#[derive(Clone, Debug)]
pub(super) struct Descend<'a, T> {
    ordered: &'a Ordered<T>,
    /// Behind the next item.
    place: Place,
}

impl<'a, T> Iterator for Descend<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let (mut index, mut at) = self.place;
        if at == 0 {
            index = index.checked_sub(1)?;
            at = self.ordered.chunks.get(index)?.items.len();
        }
        self.place = (index, at - 1);
        self.ordered.chunks.get(index)?.items.get(at - 1)
    }
}
