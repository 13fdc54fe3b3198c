//! Streams: entries with increasing ids, and the consumer groups that read them.
//!
//! ```text
//! Stream -> Ordered<Node>                    node: up to stream-node-max-entries entries in one
//!        -> groups -> Ordered<Pending>             listpack, byte for byte what a snapshot holds
//!                  -> consumers -> Ordered<id>
//! ```
//!
//! Finding a node is O(log n), within it a walk over at most one node. Nodes and the chunks that hold
//! them are shared by reference counts: a clone (COPY, a snapshot) copies pointers to chunks only, and
//! a later write copies the one chunk and the one node it changes.
//!
//! Deleting marks an entry; a node goes when its last live entry does (by XDEL), or as a whole (by
//! trimming). So a node may hold deleted entries only, when trimming ended in it. `length` counts live
//! entries and always fits the nodes. The rules of ids and counters are Redis', since clients see them.

mod counters;
mod group;
mod id;
mod image;
mod node;
mod ordered;
mod pack;
mod radix;
mod trim;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use group::{Consumer, ConsumerNumber, Group, Pending};
pub use id::{IdText, StreamId};
pub use image::{ConsumerImage, GroupImage, PendingImage, StreamImage};
pub use node::{Entry, Fields, Node};
pub use trim::Trim;
pub use walk::Entries;

use super::limits::Limits;
use ordered::{Keyed, Ordered};

/// No node and no entry grows beyond this.
pub const NODE_BYTES_MAX: usize = 1 << 30;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: Ordered<Node>,
    /// Live entries.
    length: u64,
    /// Id of the newest entry ever added, or set.
    last_id: StreamId,
    /// The greatest id ever deleted by name.
    max_deleted_id: StreamId,
    /// Entries ever added, or set.
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
    radix: radix::Remembered,
}

/// Why an entry is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Its id is not above the last one.
    IdTooSmall,
    /// It is larger than a node may be.
    TooLarge,
}

impl Stream {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many live entries there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Whether there is none. Unlike other values, an empty stream may stay.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What `OBJECT ENCODING` says.
    pub fn encoding_name(&self) -> &'static str {
        "stream"
    }

    /// Bytes that the stream has allocated.
    pub fn memory_bytes(&self) -> usize {
        let groups = self.groups.iter().map(|(name, group)| {
            name.len() + size_of::<Group>() + size_of::<Box<[u8]>>() + group.memory_bytes()
        });
        size_of::<Self>()
            + self.nodes.memory_bytes()
            + self.nodes.iter().map(Node::memory_bytes).sum::<usize>()
            + groups.sum::<usize>()
    }

    /// Id of the newest entry ever added, or set.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The greatest id ever deleted by name; 0-0 when there is none.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Entries ever added, or set.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Id of the first live entry; 0-0 when there is none.
    pub fn first_id(&self) -> StreamId {
        self.first().map(|entry| entry.id).unwrap_or_default()
    }

    /// The first live entry.
    pub fn first(&self) -> Option<Entry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The last live entry.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_reverse(StreamId::MIN, StreamId::MAX).next()
    }

    /// The entry with this id.
    pub fn entry(&self, id: StreamId) -> Option<Entry<'_>> {
        self.nodes.floor(id)?.entry(id)
    }

    /// Live entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Entries<'_> {
        let first = self.nodes.floor(start).map(Keyed::id).unwrap_or_default();
        Entries::up(self.nodes.ascend_from(first), start, end)
    }

    /// Live entries from `end` down to `start`, both included.
    pub fn range_reverse(&self, start: StreamId, end: StreamId) -> Entries<'_> {
        Entries::down(self.nodes.descend_from(end), start, end)
    }

    /// The nodes in order, as a snapshot holds them.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The stream as it is now, to be read elsewhere: shares all entries.
    #[must_use]
    pub fn share(&self) -> Self {
        self.clone()
    }

    /// Adds an entry. `parts` are field, value, field, value...
    pub fn append<'p>(
        &mut self,
        id: StreamId,
        parts: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
        limits: &Limits,
    ) -> Result<(), AppendError> {
        if id <= self.last_id {
            return Err(AppendError::IdTooSmall);
        }
        let text_bytes = parts.clone().map(<[u8]>::len).sum::<usize>();
        // Each part has up to ten bytes around it, and the master repeats the fields.
        let whole = text_bytes.saturating_mul(2).saturating_add(20 * parts.len());
        if text_bytes > NODE_BYTES_MAX || whole > NODE_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        self.drop_dead_nodes_from(id);
        let fits = match self.nodes.last() {
            Some(node) => fits(node, text_bytes, parts.len(), limits),
            None => false,
        };
        if !fits {
            self.nodes.insert(Node::new(id, parts.clone()));
            self.radix.forget();
        }
        if let Some(node) = self.nodes.last_mut() {
            node.push(id, parts);
        }
        self.length += 1;
        self.entries_added = self.entries_added.saturating_add(1);
        self.last_id = id;
        Ok(())
    }

    /// Nodes without a live entry whose ids are not below an id that comes now: trimming left them, and XSETID went back.
    /// The entry would be looked for before them.
    fn drop_dead_nodes_from(&mut self, id: StreamId) {
        while let Some(node) = self.nodes.last().filter(|node| node.id() >= id) {
            let master = node.id();
            self.nodes.remove(master);
            self.radix.forget();
        }
    }

    /// Removes an entry by name. False when it is not there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(node) = self.nodes.floor(id) else { return false };
        let (master, live) = (node.id(), node.live_count());
        if node.entry(id).is_none() {
            return false;
        }
        if live <= 1 {
            self.nodes.remove(master);
            self.radix.forget();
        } else if let Some(node) = self.nodes.get_mut(master) {
            node.delete(id);
        }
        self.length = self.length.saturating_sub(1);
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// Sets what adding and deleting otherwise count (XSETID).
    pub fn set_counters(
        &mut self,
        last_id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) {
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }

    /// Consumer groups by ascending name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The group with this name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The group with this name, to change.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// The group with this name, to change, and a view of the entries, which stay as they are.
    pub fn group_and_entries(&mut self, name: &[u8]) -> Option<(&mut Group, EntriesView<'_>)> {
        let view = EntriesView { nodes: &self.nodes };
        self.groups.get_mut(name).map(|group| (group, view))
    }

    /// Makes a group. False when there is one with the name.
    pub fn create_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.groups.insert(name.into(), group);
        true
    }

    /// Removes a group. False when there is none with the name.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        self.groups.remove(name).is_some()
    }

    /// Whether a group has the entry pending or has still to read it.
    pub fn is_needed(&self, id: StreamId) -> bool {
        self.groups.values().any(|group| group.needs(id))
    }

    /// Whether a group has the entry pending; it may be gone itself.
    pub fn is_pending(&self, id: StreamId) -> bool {
        self.groups.values().any(|group| group.pending(id).is_some())
    }

    /// Forgets the entry in every group; the names of those that had it pending go to `forgotten`.
    pub fn forget_references(&mut self, id: StreamId, mut forgotten: impl FnMut(&[u8])) {
        for (name, group) in &mut self.groups {
            if group.acknowledge(id) {
                forgotten(name);
            }
        }
    }
}

/// Entries of a stream whose groups are being changed.
#[derive(Clone, Copy, Debug)]
pub struct EntriesView<'a> {
    nodes: &'a Ordered<Node>,
}

impl<'a> EntriesView<'a> {
    /// The entry with this id.
    pub fn entry(&self, id: StreamId) -> Option<Entry<'a>> {
        self.nodes.floor(id)?.entry(id)
    }
}

/// Whether an entry goes into the last node.
fn fits(node: &Node, text_bytes: usize, parts: usize, limits: &Limits) -> bool {
    let bytes_max = match limits.stream_node_max_bytes {
        0 => NODE_BYTES_MAX,
        bytes => bytes.min(NODE_BYTES_MAX),
    };
    let entries_max = limits.stream_node_max_entries as u64;
    let entries = node.entry_count();
    node.listpack_len().saturating_add(text_bytes) < bytes_max
        && (entries_max == 0 || entries < entries_max)
        && node.has_room(text_bytes, parts)
}
