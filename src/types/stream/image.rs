//! A stream as a whole, in plain form: what a snapshot's reader puts together, and what tests compare.
//!
//! Whoever makes an image has checked it: see the rules in `snapshot::stream`.

use super::Stream;
use super::group::{Consumer, Group, Pending};
use super::id::StreamId;
use super::node::Node;
use super::ordered::Keyed;

/// A stream in plain form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamImage {
    /// Nodes in ascending order: the master id and a valid listpack.
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
    /// Consumers by ascending name.
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

impl From<StreamImage> for Stream {
    /// The nodes are packed anew.
    fn from(image: StreamImage) -> Self {
        let nodes = image.nodes.into_iter();
        Self {
            nodes: nodes.map(|(master, blob)| Node::from_validated(master, &blob)).collect(),
            length: image.length,
            last_id: image.last_id,
            max_deleted_id: image.max_deleted_id,
            entries_added: image.entries_added,
            groups: image.groups.into_iter().map(group).collect(),
            radix: super::radix::Remembered::default(),
        }
    }
}

fn group(image: GroupImage) -> (Box<[u8]>, Group) {
    let mut group = Group::new(image.last_id, image.entries_read);
    let mut numbers = Vec::with_capacity(image.consumers.len());
    for consumer in &image.consumers {
        let number = group.create_consumer(&consumer.name, consumer.seen_time);
        if let Some(made) = number.and_then(|number| group.consumer_mut(number)) {
            made.active_time = consumer.active_time;
        }
        numbers.push(number);
    }
    for PendingImage { id, delivery_time, delivery_count, consumer } in image.pending {
        if let Some(consumer) = numbers.get(consumer).copied().flatten() {
            group.assign(Pending { id, delivery_time, delivery_count, consumer });
        }
    }
    (image.name.into_boxed_slice(), group)
}

impl Stream {
    /// A copy in plain form.
    pub fn to_image(&self) -> StreamImage {
        StreamImage {
            nodes: self.nodes().map(|node| (node.id(), node.listpack())).collect(),
            length: self.length,
            last_id: self.last_id,
            first_id: self.first_id(),
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
            groups: self.groups().map(|(name, group)| group_image(name, group)).collect(),
        }
    }
}

fn group_image(name: &[u8], group: &Group) -> GroupImage {
    let consumers: Vec<&Consumer> = group.consumers().collect();
    let index = |pending: &Pending| {
        let owner = group.owner(pending);
        consumers.iter().position(|consumer| consumer.name() == owner).unwrap_or(usize::MAX)
    };
    let pending = group.pending_from(StreamId::MIN).map(|pending| PendingImage {
        id: pending.id,
        delivery_time: pending.delivery_time,
        delivery_count: pending.delivery_count,
        consumer: index(pending),
    });
    GroupImage {
        name: name.to_vec(),
        last_id: group.last_id,
        entries_read: group.entries_read,
        pending: pending.collect(),
        consumers: consumers
            .iter()
            .map(|consumer| ConsumerImage {
                name: consumer.name().to_vec(),
                seen_time: consumer.seen_time,
                active_time: consumer.active_time,
            })
            .collect(),
    }
}
