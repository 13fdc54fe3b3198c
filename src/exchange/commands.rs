//! A data set as the commands that make it: a single-file log that every server replays.
//!
//! The commands are those of Redis' own rewrite without an RDB preamble, so Redis 7.0 and later load it (7.4 where
//! fields of hashes expire). What no command can say is refused with the key's name: entries of a
//! stream that are pending though they were deleted. When consumers were last seen is not kept by a log.

use super::output::ByteOutput;
use super::{Item, Sink};
use crate::keyspace::ValueRef;
use crate::number::DoubleText;
use crate::types::listpack::Element;
use crate::types::stream::{Stream, StreamId};
use crate::types::{Hash, ZSet};

/// Elements that one command adds.
const BATCH: usize = 64;

/// Writes commands to an output.
#[derive(Debug)]
pub struct CommandWriter {
    out: ByteOutput,
    db: Option<u32>,
}

impl CommandWriter {
    /// A log of nothing.
    pub fn new(out: ByteOutput) -> Self {
        Self { out, db: None }
    }

    /// Ends the output; its length.
    pub fn finish(mut self) -> Result<u64, String> {
        if self.db.is_none() {
            // A file without a byte would be taken for a failure.
            put(self.out.buffer(), &[b"SELECT", b"0"]);
        }
        self.out.finish()
    }
}

impl Sink for CommandWriter {
    fn function(&mut self, source: &[u8]) -> Result<(), String> {
        put(self.out.buffer(), &[b"FUNCTION", b"LOAD", source]);
        self.out.pass()
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        if self.db != Some(item.db) {
            self.db = Some(item.db);
            put(self.out.buffer(), &[b"SELECT", item.db.to_string().as_bytes()]);
        }
        let (key, out) = (item.entry.key(), self.out.buffer());
        match item.entry.value() {
            ValueRef::Str(text) => text.with_bytes(|text| put(out, &[b"SET", key, text])),
            ValueRef::List(list) => put_batches(out, b"RPUSH", key, 1, list.iter()),
            ValueRef::Set(set) => put_batches(out, b"SADD", key, 1, set.iter()),
            ValueRef::ZSet(zset) => put_zset(out, key, zset),
            ValueRef::Hash(hash) => put_hash(out, key, hash),
            ValueRef::Stream(stream) => put_stream(out, key, stream)
                .map_err(|why| format!("{} cannot be held: {why}", item.name()))?,
        }
        if let Some(at) = item.entry.expire_at() {
            put(self.out.buffer(), &[b"PEXPIREAT", key, at.to_string().as_bytes()]);
        }
        self.out.pass()
    }
}

/// Appends one command.
fn put(out: &mut Vec<u8>, words: &[&[u8]]) {
    put_count(out, b'*', words.len());
    words.iter().for_each(|word| put_word(out, word));
}

fn put_count(out: &mut Vec<u8>, mark: u8, count: usize) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_word(out: &mut Vec<u8>, word: &[u8]) {
    put_count(out, b'$', word.len());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// Appends as many commands as the elements need; `group` of them belong together.
fn put_batches<'e>(
    out: &mut Vec<u8>,
    name: &[u8],
    key: &[u8],
    group: usize,
    elements: impl Iterator<Item = Element<'e>>,
) {
    let mut batch: Vec<Element<'_>> = Vec::with_capacity(BATCH * group);
    let mut flush = |batch: &mut Vec<Element<'_>>| {
        put_count(out, b'*', batch.len() + 2);
        put_word(out, name);
        put_word(out, key);
        for element in batch.drain(..) {
            element.with_bytes(|bytes| put_word(out, bytes));
        }
    };
    for element in elements {
        batch.push(element);
        if batch.len() == BATCH * group {
            flush(&mut batch);
        }
    }
    if !batch.is_empty() {
        flush(&mut batch);
    }
}

fn put_zset(out: &mut Vec<u8>, key: &[u8], zset: &ZSet) {
    let mut left = zset.len();
    for (index, (member, score)) in zset.iter().enumerate() {
        if index % BATCH == 0 {
            put_count(out, b'*', 2 + 2 * left.min(BATCH));
            put_word(out, b"ZADD");
            put_word(out, key);
            left = left.saturating_sub(BATCH);
        }
        put_word(out, DoubleText::shortest(score).as_bytes());
        member.with_bytes(|member| put_word(out, member));
    }
}

fn put_hash(out: &mut Vec<u8>, key: &[u8], hash: &Hash) {
    put_batches(out, b"HMSET", key, 2, hash.iter().flat_map(|(field, value)| [field, value]));
    if hash.earliest_expire().is_none() {
        return;
    }
    for (field, _, time) in hash.iter_with_expire() {
        let Some(time) = time else { continue };
        let time = time.to_string();
        field.with_bytes(|field| {
            put(out, &[b"HPEXPIREAT", key, time.as_bytes(), b"FIELDS", b"1", field]);
        });
    }
}

fn put_stream(out: &mut Vec<u8>, key: &[u8], stream: &Stream) -> Result<(), String> {
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        let parts: Vec<Element<'_>> =
            entry.fields.flat_map(|(field, value)| [field, value]).collect();
        put_count(out, b'*', 3 + parts.len());
        put_word(out, b"XADD");
        put_word(out, key);
        put_word(out, entry.id.text().as_bytes());
        parts.iter().for_each(|part| part.with_bytes(|part| put_word(out, part)));
    }
    let last = stream.last_id();
    if stream.is_empty() {
        // An entry that is trimmed at once leaves a stream without any.
        let id = if last == StreamId::MIN { StreamId { ms: 0, seq: 1 } } else { last };
        put(out, &[b"XADD", key, b"MAXLEN", b"0", id.text().as_bytes(), b"x", b"y"]);
    }
    put(
        out,
        &[
            b"XSETID",
            key,
            last.text().as_bytes(),
            b"ENTRIESADDED",
            stream.entries_added().to_string().as_bytes(),
            b"MAXDELETEDID",
            stream.max_deleted_id().text().as_bytes(),
        ],
    );
    for (name, group) in stream.groups() {
        let (id, read) = (group.last_id.text(), group.entries_read.to_string());
        let create: [&[u8]; 7] =
            [b"XGROUP", b"CREATE", key, name, id.as_bytes(), b"ENTRIESREAD", read.as_bytes()];
        put(out, &create);
        for consumer in group.consumers() {
            put(out, &[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()]);
        }
        for pending in group.pending_from(StreamId::MIN) {
            let id = pending.id.text();
            if stream.entry(pending.id).is_none() {
                return Err(format!(
                    "entry {} is pending in group \"{}\" and deleted, which no command says; \
                     a snapshot holds it",
                    String::from_utf8_lossy(id.as_bytes()),
                    name.escape_ascii()
                ));
            }
            let time = pending.delivery_time.to_string();
            let count = pending.delivery_count.to_string();
            let words: [&[u8]; 11] = [
                b"XCLAIM",
                key,
                name,
                group.owner(pending),
                b"0",
                id.as_bytes(),
                b"TIME",
                time.as_bytes(),
                b"RETRYCOUNT",
                count.as_bytes(),
                b"JUSTID",
            ];
            put_count(out, b'*', words.len() + 1);
            words.iter().for_each(|word| put_word(out, word));
            put_word(out, b"FORCE");
        }
    }
    Ok(())
}
