//! Consumer groups: how far a group has read, who reads in it, and what was not acknowledged yet.
//!
//! What is pending is kept twice: with all it is known of in the group, and as an id with its consumer.
//! Both are changed together, here and nowhere else. Consumers have a number that stays, so that a
//! pending entry names its owner in four bytes; by name they are found and listed in order.

use std::collections::{BTreeMap, BTreeSet};

use super::id::StreamId;
use super::ordered::{Keyed, Ordered};

/// The number of a consumer within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerNumber(u32);

/// An entry delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The entry, which may be deleted by now.
    pub id: StreamId,
    /// When it was delivered last, in unix milliseconds.
    pub delivery_time: i64,
    /// How often it was delivered.
    pub delivery_count: u64,
    /// Its owner.
    pub consumer: ConsumerNumber,
}

impl Keyed for Pending {
    fn id(&self) -> StreamId {
        self.id
    }
}

/// A consumer of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last tried, in unix milliseconds.
    pub seen_time: i64,
    /// When it last received something; -1 for never.
    pub active_time: i64,
    pending: Ordered<StreamId>,
}

/// Pending entries by the time of their last delivery, once somebody has asked for the one that is idle longest
/// (XREADGROUP with CLAIM). A copy has none until it is asked itself.
#[derive(Debug, Default)]
struct ByTime(Option<BTreeSet<(i64, StreamId)>>);

impl Clone for ByTime {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl ByTime {
    fn insert(&mut self, pending: &Pending) {
        if let Some(times) = &mut self.0 {
            times.insert((pending.delivery_time, pending.id));
        }
    }

    fn remove(&mut self, pending: &Pending) {
        if let Some(times) = &mut self.0 {
            times.remove(&(pending.delivery_time, pending.id));
        }
    }

    fn memory_bytes(&self) -> usize {
        // A node of a tree is two thirds full, about.
        self.0.as_ref().map_or(0, |times| times.len() * size_of::<(i64, StreamId)>() * 3 / 2)
    }
}

/// A consumer group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Id of the last entry delivered.
    pub last_id: StreamId,
    /// Entries read so far; -1 when that is not known.
    pub entries_read: i64,
    pending: Ordered<Pending>,
    by_time: ByTime,
    names: BTreeMap<Box<[u8]>, ConsumerNumber>,
    /// By number. A consumer that was deleted leaves its place to the next one.
    consumers: Vec<Option<Consumer>>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The ids that it has not acknowledged, from this one on.
    pub fn pending_from(&self, id: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        self.pending.ascend_from(id).copied()
    }
}

impl Group {
    /// A group that has read up to `last_id`.
    pub fn new(last_id: StreamId, entries_read: i64) -> Self {
        Self {
            last_id,
            entries_read,
            pending: Ordered::default(),
            by_time: ByTime::default(),
            names: BTreeMap::new(),
            consumers: Vec::new(),
        }
    }

    /// The number of the consumer with this name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.names.get(name).copied()
    }

    /// The consumer with this number.
    pub fn consumer(&self, number: ConsumerNumber) -> Option<&Consumer> {
        self.consumers.get(number.0 as usize)?.as_ref()
    }

    /// The consumer with this number, to change its times.
    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> Option<&mut Consumer> {
        self.consumers.get_mut(number.0 as usize)?.as_mut()
    }

    /// The name of the owner of a pending entry.
    pub fn owner(&self, pending: &Pending) -> &[u8] {
        self.consumer(pending.consumer).map(Consumer::name).unwrap_or_default()
    }

    /// Consumers by ascending name.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().filter_map(|number| self.consumer(*number))
    }

    /// How many consumers there are.
    pub fn consumer_count(&self) -> usize {
        self.names.len()
    }

    /// Makes a consumer that was seen at this time; `None` when there is one with the name, or
    /// four billion others.
    pub fn create_consumer(&mut self, name: &[u8], seen_time: i64) -> Option<ConsumerNumber> {
        if self.names.contains_key(name) {
            return None;
        }
        let consumer =
            Consumer { name: name.into(), seen_time, active_time: -1, pending: Ordered::default() };
        // Without gaps, as always but after a deletion, there is nothing to search.
        let gaps = self.consumers.len() > self.names.len();
        let free = if gaps { self.consumers.iter().position(Option::is_none) } else { None };
        let index = free.unwrap_or(self.consumers.len());
        let number = ConsumerNumber(u32::try_from(index).ok()?);
        match self.consumers.get_mut(index) {
            Some(place) => *place = Some(consumer),
            None => self.consumers.push(Some(consumer)),
        }
        self.names.insert(name.into(), number);
        Some(number)
    }

    /// Removes a consumer and what it had pending; tells how much that was.
    pub fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.names.remove(name)?;
        let consumer = self.consumers.get_mut(number.0 as usize)?.take()?;
        for id in consumer.pending.iter() {
            if let Some(gone) = self.pending.remove(*id) {
                self.by_time.remove(&gone);
            }
        }
        Some(consumer.pending.len())
    }

    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is known of a pending entry.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(id)
    }

    /// The pending entries in order, from this id on.
    pub fn pending_from(&self, id: StreamId) -> impl Iterator<Item = &Pending> {
        self.pending.ascend_from(id)
    }

    /// The pending entries, those first that were delivered the longest time ago.
    pub fn pending_by_time(&mut self) -> impl Iterator<Item = Pending> + '_ {
        let pending = &self.pending;
        let all = || pending.iter().map(|pending| (pending.delivery_time, pending.id)).collect();
        let times = self.by_time.0.get_or_insert_with(all);
        times.iter().filter_map(|(_, id)| pending.get(*id).copied())
    }

    /// The last pending entry.
    pub fn last_pending(&self) -> Option<&Pending> {
        self.pending.last()
    }

    /// Makes an entry pending with the consumer in `pending`, or moves it there.
    pub fn assign(&mut self, pending: Pending) {
        match self.pending.get_mut(pending.id) {
            Some(place) => {
                let old = std::mem::replace(place, pending);
                self.by_time.remove(&old);
                self.by_time.insert(&pending);
                let old = old.consumer;
                if old == pending.consumer {
                    return;
                }
                if let Some(old) = self.consumer_mut(old) {
                    old.pending.remove(pending.id);
                }
            }
            None => {
                self.pending.insert(pending);
                self.by_time.insert(&pending);
            }
        }
        if let Some(consumer) = self.consumer_mut(pending.consumer) {
            consumer.pending.insert(pending.id);
        }
    }

    /// Forgets a pending entry. False when it is not pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(id) else { return false };
        self.by_time.remove(&pending);
        if let Some(owner) = self.consumer_mut(pending.consumer) {
            owner.pending.remove(id);
        }
        true
    }

    /// Whether the entry is pending or still to be delivered.
    pub fn needs(&self, id: StreamId) -> bool {
        id > self.last_id || self.pending.get(id).is_some()
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let of_consumer =
            |consumer: &Consumer| 2 * consumer.name.len() + consumer.pending.memory_bytes();
        self.pending.memory_bytes()
            + self.by_time.memory_bytes()
            + self.consumers.capacity() * size_of::<Option<Consumer>>()
            // A tree entry: name, number, and its share of the tree's nodes.
            + self.names.len() * 32
            + self.consumers().map(of_consumer).sum::<usize>()
    }
}
