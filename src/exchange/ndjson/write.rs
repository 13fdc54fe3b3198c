//! Keys to lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{FORMAT, VERSION};
use crate::exchange::output::ByteOutput;
use crate::exchange::{Item, Sink};
use crate::keyspace::{Kind, ValueRef};
use crate::types::listpack::Element;
use crate::types::stream::{Group, Stream, StreamId};
use crate::types::{Hash, ZSet};

/// Writes lines to an output.
#[derive(Debug)]
pub struct NdjsonWriter {
    out: ByteOutput,
}

impl NdjsonWriter {
    /// Begins with the line that says what it is.
    pub fn new(mut out: ByteOutput) -> Self {
        let line = format!("{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}\n");
        out.buffer().extend_from_slice(line.as_bytes());
        Self { out }
    }

    /// Ends the output; its length.
    pub fn finish(self) -> Result<u64, String> {
        self.out.finish()
    }
}

impl Sink for NdjsonWriter {
    fn function(&mut self, source: &[u8]) -> Result<(), String> {
        let out = self.out.buffer();
        out.extend_from_slice(b"{\"function\":");
        put_text(out, source);
        out.extend_from_slice(b"}\n");
        self.out.pass()
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        put_line(self.out.buffer(), item);
        self.out.pass()
    }
}

/// Appends the line of a key.
pub fn put_line(out: &mut Vec<u8>, item: &Item<'_>) {
    out.extend_from_slice(b"{\"db\":");
    put_number(out, item.db);
    out.extend_from_slice(b",\"key\":");
    put_text(out, item.entry.key());
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(item.entry.kind().name().as_bytes());
    out.push(b'"');
    if let Some(at) = item.entry.expire_at() {
        out.extend_from_slice(b",\"expire_at\":");
        put_number(out, at);
    }
    if let Some(seconds) = item.attributes.idle_seconds {
        out.extend_from_slice(b",\"idle\":");
        put_number(out, seconds);
    }
    if let Some(frequency) = item.attributes.frequency {
        out.extend_from_slice(b",\"freq\":");
        put_number(out, frequency);
    }
    out.extend_from_slice(b",\"value\":");
    match item.entry.value() {
        ValueRef::Str(text) => text.with_bytes(|text| put_text(out, text)),
        ValueRef::List(list) => put_list(out, list.iter(), put_element),
        ValueRef::Set(set) => put_list(out, set.iter(), put_element),
        ValueRef::ZSet(zset) => put_zset(out, zset),
        ValueRef::Hash(hash) => put_hash(out, hash),
        ValueRef::Stream(stream) => put_stream(out, stream),
    }
    out.extend_from_slice(b"}\n");
}

fn put_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A text, or its bytes in base64 where they are none.
pub fn put_text(out: &mut Vec<u8>, bytes: &[u8]) {
    match str::from_utf8(bytes) {
        Ok(text) => {
            // Writing to memory does not fail, and neither does a string.
            let _ = serde_json::to_writer(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

fn put_element(out: &mut Vec<u8>, element: Element<'_>) {
    element.with_bytes(|bytes| put_text(out, bytes));
}

fn put_list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}

fn put_zset(out: &mut Vec<u8>, zset: &ZSet) {
    put_list(out, zset.iter(), |out, (member, score)| {
        out.push(b'[');
        put_element(out, member);
        out.push(b',');
        put_score(out, score);
        out.push(b']');
    });
}

/// A number that reads back as the same one; JSON has none for the infinite ones.
fn put_score(out: &mut Vec<u8>, score: f64) {
    if score.is_infinite() {
        out.extend_from_slice(if score > 0.0 { b"\"inf\"" } else { b"\"-inf\"" });
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(score).as_bytes());
    }
}

/// An object where every field is text, otherwise a list of pairs; times of fields in the same form beside it.
fn put_hash(out: &mut Vec<u8>, hash: &Hash) {
    let as_object =
        hash.iter().all(|(field, _)| field.with_bytes(|field| str::from_utf8(field).is_ok()));
    let pairs = hash.iter();
    put_pairs(out, as_object, pairs, put_element);
    if hash.earliest_expire().is_some() {
        out.extend_from_slice(b",\"field_expire_at\":");
        let times = hash.iter_with_expire();
        let times = times.filter_map(|(field, _, time)| time.map(|time| (field, time)));
        put_pairs(out, as_object, times, put_number);
    }
}

fn put_pairs<'a, T>(
    out: &mut Vec<u8>,
    as_object: bool,
    pairs: impl Iterator<Item = (Element<'a>, T)>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    if !as_object {
        return put_list(out, pairs, |out, (field, value)| {
            out.push(b'[');
            put_element(out, field);
            out.push(b',');
            put(out, value);
            out.push(b']');
        });
    }
    out.push(b'{');
    for (index, (field, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_element(out, field);
        out.push(b':');
        put(out, value);
    }
    out.push(b'}');
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    out.push(b'"');
    out.extend_from_slice(id.text().as_bytes());
    out.push(b'"');
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    out.extend_from_slice(b"{\"entries\":");
    put_list(out, stream.range(StreamId::MIN, StreamId::MAX), |out, entry| {
        out.push(b'[');
        put_id(out, entry.id);
        out.push(b',');
        let parts = entry.fields.flat_map(|(field, value)| [field, value]);
        put_list(out, parts, put_element);
        out.push(b']');
    });
    out.extend_from_slice(b",\"last_id\":");
    put_id(out, stream.last_id());
    out.extend_from_slice(b",\"max_deleted_id\":");
    put_id(out, stream.max_deleted_id());
    out.extend_from_slice(b",\"entries_added\":");
    put_number(out, stream.entries_added());
    out.extend_from_slice(b",\"groups\":");
    put_list(out, stream.groups(), |out, (name, group)| put_group(out, name, group));
    out.push(b'}');
}

fn put_group(out: &mut Vec<u8>, name: &[u8], group: &Group) {
    out.extend_from_slice(b"{\"name\":");
    put_text(out, name);
    out.extend_from_slice(b",\"last_id\":");
    put_id(out, group.last_id);
    out.extend_from_slice(b",\"entries_read\":");
    put_number(out, group.entries_read);
    out.extend_from_slice(b",\"consumers\":");
    put_list(out, group.consumers(), |out, consumer| {
        out.extend_from_slice(b"{\"name\":");
        put_text(out, consumer.name());
        out.extend_from_slice(b",\"seen_at\":");
        put_number(out, consumer.seen_time);
        out.extend_from_slice(b",\"active_at\":");
        put_number(out, consumer.active_time);
        out.push(b'}');
    });
    out.extend_from_slice(b",\"pending\":");
    put_list(out, group.pending_from(StreamId::MIN), |out, pending| {
        out.extend_from_slice(b"{\"id\":");
        put_id(out, pending.id);
        out.extend_from_slice(b",\"consumer\":");
        put_text(out, group.owner(pending));
        out.extend_from_slice(b",\"delivered_at\":");
        put_number(out, pending.delivery_time);
        out.extend_from_slice(b",\"deliveries\":");
        put_number(out, pending.delivery_count);
        out.push(b'}');
    });
    out.push(b'}');
}

/// The name of a type in a line.
pub fn kind_of(name: &str) -> Option<Kind> {
    [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet, Kind::Stream]
        .into_iter()
        .find(|kind| kind.name() == name)
}
