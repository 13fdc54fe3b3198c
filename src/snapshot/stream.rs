//! Streams in RDB: types 15, 19, 21 and 26 to and from a plain image.
//!
//! A [`StreamImage`] is everything a stream consists of, checked as a whole: nodes are listpacks whose
//! entries were followed one by one, live ids ascend through all nodes and end at or below `last_id`,
//! every pending entry has exactly one owner. The stream is built from the image, into which the node
//! blobs move unchanged; writing takes them from the stream. See format-spec/snapshot.md, "Streams".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::error::{Corruption, CorruptionKind, Parsed};
use super::primitives::{Reader, StringWriter, put_length};
use crate::types::listpack::{Element, ListpackRef, take_in};
pub use crate::types::stream::{ConsumerImage, GroupImage, PendingImage, StreamId, StreamImage};
use crate::types::stream::{Group, Node, Pending, Stream};

/// Which of the four layouts a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// Type 15.
    First,
    /// Type 19: with first id, greatest deleted id, entries added and entries read.
    Second,
    /// Type 21: with the consumers' active time.
    Third,
    /// Type 26, only read: with what the stream remembers of idempotent producers.
    Fourth,
}

/// Reads a stream; everything in it is checked.
pub(super) fn read_stream(reader: &mut Reader<'_>, layout: Layout) -> Parsed<Stream> {
    read_image(reader, layout).map(Stream::from)
}

fn read_image(reader: &mut Reader<'_>, layout: Layout) -> Parsed<StreamImage> {
    let start = reader.position();
    let mut image = StreamImage::default();
    // A node is 17 bytes of key and at least 8 of listpack.
    let node_count = reader.count(25)?;
    image.nodes.reserve_exact(node_count);
    let mut check = EntryCheck::default();
    for _ in 0..node_count {
        let offset = reader.position();
        let key = reader.string()?;
        let mut key = Reader::at(&key, offset);
        let master = read_raw_id(&mut key)?;
        key.finish()?;
        let offset = reader.position();
        let blob = reader.string()?;
        let blob = match take_in(&blob) {
            Ok(None) => blob.into_vec(),
            Ok(Some(ours)) => ours,
            Err(_) => return Err(malformed(offset, "a node is not a listpack")),
        };
        check.node(master, &blob).map_err(|reason| malformed(offset, reason))?;
        image.nodes.push((master, blob));
    }
    image.length = reader.length()?;
    image.last_id = read_id(reader)?;
    if image.length != check.live || check.last_live > Some(image.last_id) {
        return Err(malformed(start, "length or last id do not fit the entries"));
    }
    image.first_id = check.first_live.unwrap_or_default();
    image.entries_added = image.length;
    if layout >= Layout::Second {
        read_id(reader)?; // The first id again; the entries know it better.
        image.max_deleted_id = read_id(reader)?;
        image.entries_added = reader.length()?;
    }
    for _ in 0..reader.count(5)? {
        let group = read_group(reader, layout, &image)?;
        image.groups.push(group);
    }
    if has_duplicate(image.groups.iter().map(|group| &*group.name)) {
        return Err(Corruption::new(start, CorruptionKind::Duplicate("consumer group")));
    }
    image.groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if layout >= Layout::Fourth {
        read_no_producers(reader)?;
    }
    Ok(image)
}

/// Settings and counters of idempotent producers mean nothing as long as there is none. What one has sent
/// cannot be kept here, and is not forgotten silently: its next repetition would be a second entry.
fn read_no_producers(reader: &mut Reader<'_>) -> Parsed<()> {
    let _duration_s = reader.length()?;
    let _ids_max = reader.length()?;
    let offset = reader.position();
    if reader.length()? != 0 {
        return Err(malformed(offset, "idempotent producers of XADD are not supported"));
    }
    let _added = reader.length()?;
    let _duplicates = reader.length()?;
    Ok(())
}

fn malformed(offset: u64, reason: &'static str) -> Corruption {
    Corruption::malformed(offset, "stream", reason)
}

fn has_duplicate<'a>(names: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut names: Vec<&[u8]> = names.collect();
    names.sort_unstable();
    !names.is_sorted_by(|a, b| a < b)
}

fn read_id(reader: &mut Reader<'_>) -> Parsed<StreamId> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

fn read_raw_id(reader: &mut Reader<'_>) -> Parsed<StreamId> {
    Ok(StreamId { ms: reader.u64_big()?, seq: reader.u64_big()? })
}

fn read_group(reader: &mut Reader<'_>, layout: Layout, stream: &StreamImage) -> Parsed<GroupImage> {
    let start = reader.position();
    let mut group = GroupImage { name: reader.string()?.into_vec(), ..GroupImage::default() };
    group.last_id = read_id(reader)?;
    // Redis' own arithmetic can come to less than "not known" (XSETID), and writes that.
    group.entries_read = if layout >= Layout::Second {
        reader.length()?.cast_signed().max(-1)
    } else {
        estimate_entries_read(stream, group.last_id).max(-1)
    };
    // An entry is an id, a time and a count.
    let pending_count = reader.count(25)?;
    group.pending.reserve_exact(pending_count);
    for _ in 0..pending_count {
        let id = read_raw_id(reader)?;
        let delivery_time = reader.i64()?;
        let delivery_count = reader.length()?;
        group.pending.push(PendingImage {
            id,
            delivery_time,
            delivery_count,
            consumer: usize::MAX,
        });
    }
    group.pending.sort_by_key(|pending| pending.id);
    if !group.pending.is_sorted_by(|a, b| a.id < b.id) {
        return Err(Corruption::new(start, CorruptionKind::Duplicate("pending entry")));
    }
    for index in 0..reader.count(10)? {
        read_consumer(reader, layout, index, &mut group)?;
    }
    if has_duplicate(group.consumers.iter().map(|consumer| &*consumer.name)) {
        return Err(Corruption::new(start, CorruptionKind::Duplicate("consumer")));
    }
    if group.pending.iter().any(|pending| pending.consumer == usize::MAX) {
        return Err(malformed(start, "a pending entry has no consumer"));
    }
    Ok(group)
}

fn read_consumer(
    reader: &mut Reader<'_>,
    layout: Layout,
    index: usize,
    group: &mut GroupImage,
) -> Parsed<()> {
    let name = reader.string()?.into_vec();
    let seen_time = reader.i64()?;
    let active_time = if layout >= Layout::Third { reader.i64()? } else { seen_time };
    group.consumers.push(ConsumerImage { name, seen_time, active_time });
    for _ in 0..reader.count(16)? {
        let offset = reader.position();
        let id = read_raw_id(reader)?;
        let found = group.pending.binary_search_by_key(&id, |pending| pending.id).ok();
        let Some(pending) = found.and_then(|at| group.pending.get_mut(at)) else {
            return Err(malformed(offset, "a consumer's pending entry is not the group's"));
        };
        if pending.consumer != usize::MAX {
            return Err(malformed(offset, "a pending entry has two consumers"));
        }
        pending.consumer = index;
    }
    Ok(())
}

/// What Redis assumes of a group from a file that does not say how far it read.
fn estimate_entries_read(stream: &StreamImage, id: StreamId) -> i64 {
    let added = i64::try_from(stream.entries_added).unwrap_or(-1);
    let length = i64::try_from(stream.length).unwrap_or(-1);
    if added == 0 {
        0
    } else if id == stream.last_id || (length == 0 && id < stream.last_id) {
        added
    } else if id < stream.first_id {
        added - length
    } else if id == stream.first_id {
        added - length + 1
    } else {
        -1
    }
}

/// Follows the entries of one node after the other.
#[derive(Default)]
struct EntryCheck {
    live: u64,
    first_live: Option<StreamId>,
    last_live: Option<StreamId>,
    last_master: Option<StreamId>,
}

impl EntryCheck {
    /// Follows the entries of a node, whose listpack was checked.
    fn node(&mut self, master: StreamId, blob: &[u8]) -> Result<(), &'static str> {
        if self.last_master >= Some(master) || self.last_live >= Some(master) {
            return Err("nodes are not in ascending order");
        }
        self.last_master = Some(master);
        let mut items = ListpackRef::new(blob).iter();
        let live = integer(&mut items)?;
        let deleted = integer(&mut items)?;
        let field_count = integer(&mut items)?;
        // Each field takes an element, so this ends with the listpack, not with the number.
        for _ in 0..field_count {
            items.next().ok_or("a node's fields are cut short")?;
        }
        if field_count < 0 || integer(&mut items)? != 0 {
            return Err("a node's master entry is not closed");
        }
        let (mut live_seen, mut deleted_seen) = (0i64, 0i64);
        while items.cursor().is_some() {
            if self.entry(&mut items, master, field_count)? {
                live_seen += 1;
            } else {
                deleted_seen += 1;
            }
        }
        if live != live_seen || deleted != deleted_seen {
            return Err("a node's counts do not fit its entries");
        }
        self.live += live.unsigned_abs();
        Ok(())
    }

    /// Passes one entry; tells whether it is live.
    fn entry<'a>(
        &mut self,
        items: &mut impl Iterator<Item = Element<'a>>,
        master: StreamId,
        master_fields: i64,
    ) -> Result<bool, &'static str> {
        let flags = integer(items)?;
        if flags & !3 != 0 {
            return Err("an entry has unknown flags");
        }
        let ms = master.ms.wrapping_add(integer(items)?.cast_unsigned());
        let seq = master.seq.wrapping_add(integer(items)?.cast_unsigned());
        let (skip, length) = if flags & 2 != 0 {
            (master_fields, 3i64.checked_add(master_fields))
        } else {
            let fields = integer(items)?;
            let pairs = fields.checked_mul(2).filter(|pairs| *pairs >= 0);
            let pairs = pairs.ok_or("an entry's number of fields is impossible")?;
            (pairs, pairs.checked_add(4))
        };
        for _ in 0..skip {
            items.next().ok_or("an entry is cut short")?;
        }
        if Some(integer(items)?) != length {
            return Err("an entry's size is wrong");
        }
        if flags & 1 != 0 {
            return Ok(false);
        }
        let id = StreamId { ms, seq };
        if id < master || self.last_live >= Some(id) || id == StreamId::default() {
            return Err("ids are not in ascending order");
        }
        self.first_live.get_or_insert(id);
        self.last_live = Some(id);
        Ok(true)
    }
}

fn integer<'a>(items: &mut impl Iterator<Item = Element<'a>>) -> Result<i64, &'static str> {
    match items.next() {
        Some(Element::Int(value)) => Ok(value),
        Some(Element::Str(_)) => Err("text where a number must be"),
        None => Err("a node is cut short"),
    }
}

/// Appends a stream; what an older layout has no place for is left out.
pub(super) fn put_stream(
    strings: &mut StringWriter,
    out: &mut Vec<u8>,
    stream: &Stream,
    layout: Layout,
) {
    put_length(out, stream.node_count() as u64);
    for node in stream.nodes() {
        put_node(strings, out, node);
    }
    put_tail(strings, out, stream, layout);
}

/// One node with the id that leads it.
pub(super) fn put_node(strings: &mut StringWriter, out: &mut Vec<u8>, node: &Node) {
    put_length(out, 16);
    put_raw_id(out, node.master());
    strings.put(out, &node.listpack());
}

/// Everything behind the nodes.
pub(super) fn put_tail(
    strings: &mut StringWriter,
    out: &mut Vec<u8>,
    stream: &Stream,
    layout: Layout,
) {
    put_length(out, stream.len() as u64);
    put_id(out, stream.last_id());
    if layout >= Layout::Second {
        put_id(out, stream.first_id());
        put_id(out, stream.max_deleted_id());
        put_length(out, stream.entries_added());
    }
    put_length(out, stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        strings.put(out, name);
        put_group(strings, out, group, layout);
    }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_length(out, id.ms);
    put_length(out, id.seq);
}

fn put_raw_id(out: &mut Vec<u8>, id: StreamId) {
    out.extend_from_slice(&id.to_key());
}

fn put_group(strings: &mut StringWriter, out: &mut Vec<u8>, group: &Group, layout: Layout) {
    put_id(out, group.last_id);
    if layout >= Layout::Second {
        put_length(out, group.entries_read.cast_unsigned());
    }
    put_length(out, group.pending_len() as u64);
    for &Pending { id, delivery_time, delivery_count, .. } in group.pending_from(StreamId::MIN) {
        put_raw_id(out, id);
        out.extend_from_slice(&delivery_time.to_le_bytes());
        put_length(out, delivery_count);
    }
    put_length(out, group.consumer_count() as u64);
    for consumer in group.consumers() {
        strings.put(out, consumer.name());
        out.extend_from_slice(&consumer.seen_time.to_le_bytes());
        if layout >= Layout::Third {
            out.extend_from_slice(&consumer.active_time.to_le_bytes());
        }
        put_length(out, consumer.pending_len() as u64);
        for id in consumer.pending_from(StreamId::MIN) {
            put_raw_id(out, id);
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
