//! A stream as a whole, in the plain form that snapshots read and write.
//!
//! Whoever makes an image has checked it: see the rules in `snapshot::stream`.

/// An entry's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Sequence number within the millisecond.
    pub seq: u64,
}

/// A stream in plain form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamImage {
    /// Nodes in ascending order: the master id and a valid listpack that holds at least one live entry.
    pub nodes: Vec<(StreamId, Vec<u8>)>,
    /// Number of live entries.
    pub length: u64,
    /// Id of the newest entry ever added (or set by XSETID).
    pub last_id: StreamId,
    /// Id of the first live entry, 0-0 when there is none.
    pub first_id: StreamId,
    /// The greatest id ever deleted.
    pub max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
    /// Consumer groups by ascending name.
    pub groups: Vec<GroupImage>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupImage {
    /// Its name.
    pub name: Vec<u8>,
    /// Id of the last entry delivered.
    pub last_id: StreamId,
    /// Entries read so far; -1 when that is not known.
    pub entries_read: i64,
    /// Delivered and not acknowledged, by ascending id.
    pub pending: Vec<PendingImage>,
    /// Consumers in the order of the file.
    pub consumers: Vec<ConsumerImage>,
}

/// An entry delivered and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingImage {
    /// The entry, which may be deleted by now.
    pub id: StreamId,
    /// When it was delivered last, in unix milliseconds.
    pub delivery_time: i64,
    /// How often it was delivered.
    pub delivery_count: u64,
    /// Its owner: an index into the group's `consumers`.
    pub consumer: usize,
}

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerImage {
    /// Its name.
    pub name: Vec<u8>,
    /// When it last tried, in unix milliseconds.
    pub seen_time: i64,
    /// When it last received something; -1 for never.
    pub active_time: i64,
}
