//! Writing: keys and values in the forms that Redis 7.2 writes, to a buffer.
//!
//! Everything appends to a caller's buffer, piece by piece, so that a snapshot can encode a few keys
//! under the lock and stream the buffer to a file from another thread; the checksum runs over what
//! was written (`crc64`). Values that hold a packed form today are written as that blob; the rest
//! element by element. Nothing here fails. See format-spec/snapshot.md for the forms.
//!
//! A file is: [`Encoder::header`], [`Encoder::function`] for each library, then per database
//! [`Encoder::select_db`], perhaps [`Encoder::resize_db`] and [`Encoder::key`] for each key (databases
//! may come again), and [`finish`].

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::crc64::Crc64;
pub use super::entry::encoded_len;
use super::primitives::{StringWriter, put_length};
use super::record::{
    AUX, Attributes, EOF, EXPIRETIME_MS, FREQ, FUNCTION2, IDLE, RESIZEDB, SELECTDB,
};
use super::stream::{Layout, put_node, put_stream, put_tail};
use super::target::Target;
use super::value::ValueView;
use crate::number::DoubleText;
use crate::types::hash::Hash;
use crate::types::list::{List, NodeRef};
use crate::types::listpack::{Element, Tight};
use crate::types::set::Set;
use crate::types::stream::{Node, Stream};
use crate::types::zset::{Direction, ZSet};

/// The version of files without field expiry: Redis 7.2 and every Valkey read it.
pub const VERSION: u16 = 11;
/// The version of files in which a hash field may expire: Redis 7.4.
pub const VERSION_WITH_FIELD_EXPIRY: u16 = 12;

/// What tools that look at `redis-ver` are told.
const REDIS_VERSION: &str = "7.2.4";
/// The same for `valkey-ver`: the first version that writes files of version 80.
const VALKEY_VERSION: &str = "9.0.0";

/// The head of a file.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Whether a hash field in it may have an expiry.
    pub field_expiry: bool,
    /// When the snapshot was taken, in unix seconds.
    pub created_at: i64,
    /// Memory in use then, in bytes.
    pub used_memory: u64,
    /// Whether it is the base of an AOF.
    pub aof_base: bool,
    /// Further fields, in order.
    pub extra: Vec<(String, String)>,
}

/// Writes values. One per thread: the compressor keeps a table between calls.
#[derive(Debug)]
pub struct Encoder {
    strings: StringWriter,
    target: Target,
    field_expiry_seen: bool,
    /// The listpack that is being written.
    packed: Vec<u8>,
}

impl Encoder {
    /// An encoder; `compress` is `rdbcompression lzf`.
    pub fn new(compress: bool) -> Self {
        let strings = StringWriter::new(compress);
        Self { strings, target: Target::Newest, field_expiry_seen: false, packed: Vec::new() }
    }

    /// An encoder for files of another version. It must not be given what [`Target::refuses`].
    pub fn for_target(compress: bool, target: Target) -> Self {
        Self { target, ..Self::new(compress) }
    }

    /// The version of the file.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether a hash with field expiry was written, which makes the file one of version 12.
    pub fn field_expiry_seen(&self) -> bool {
        self.field_expiry_seen
    }

    /// The start of a file.
    pub fn header(&mut self, out: &mut Vec<u8>, header: &Header) {
        out.extend_from_slice(self.target.magic(header.field_expiry).as_bytes());
        if !self.target.has_aux() {
            return;
        }
        let server = if self.target.is_valkey() { "valkey-ver" } else { "redis-ver" };
        let version = if self.target.is_valkey() { VALKEY_VERSION } else { REDIS_VERSION };
        self.aux(out, server, version.as_bytes());
        self.aux(out, "redis-bits", b"64");
        self.aux(out, "fastness-ver", env!("CARGO_PKG_VERSION").as_bytes());
        self.aux(out, "ctime", header.created_at.to_string().as_bytes());
        self.aux(out, "used-mem", header.used_memory.to_string().as_bytes());
        self.aux(out, "aof-base", if header.aof_base { b"1" } else { b"0" });
        for (name, value) in &header.extra {
            self.aux(out, name, value.as_bytes());
        }
    }

    fn aux(&mut self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        out.push(AUX);
        self.strings.put(out, name.as_bytes());
        self.strings.put(out, value);
    }

    /// A function library.
    pub fn function(&mut self, out: &mut Vec<u8>, source: &[u8]) {
        out.push(FUNCTION2);
        self.strings.put(out, source);
    }

    /// Says to which database the following keys belong.
    pub fn select_db(&self, out: &mut Vec<u8>, db: u32) {
        out.push(SELECTDB);
        put_length(out, db.into());
    }

    /// Says about how many keys the selected database has; loaders take it as a hint.
    pub fn resize_db(&self, out: &mut Vec<u8>, keys: u64, expires: u64) {
        if !self.target.has_aux() {
            return;
        }
        out.push(RESIZEDB);
        put_length(out, keys);
        put_length(out, expires);
    }

    /// A key with its value. Aggregates must not be empty, except streams.
    pub fn key(
        &mut self,
        out: &mut Vec<u8>,
        key: &[u8],
        value: ValueView<'_>,
        attributes: Attributes,
    ) {
        self.begin_key(out, key, self.type_byte(value), attributes);
        self.value(out, value);
    }

    /// Everything of a key but its value, which the caller appends in pieces: a count
    /// ([`Encoder::count`]) and as many [`Encoder::text`]s, with [`Encoder::score`]s in sorted sets.
    pub fn begin_key(
        &mut self,
        out: &mut Vec<u8>,
        key: &[u8],
        type_byte: u8,
        attributes: Attributes,
    ) {
        match self.target.has_uses() {
            true => put_attributes(out, attributes),
            false => put_attributes(
                out,
                Attributes { idle_seconds: None, frequency: None, ..attributes },
            ),
        }
        out.push(type_byte);
        self.strings.put(out, key);
    }

    /// The number of elements that follow.
    pub fn count(&self, out: &mut Vec<u8>, count: usize) {
        put_length(out, count as u64);
    }

    /// A member, field, value or key.
    #[inline]
    pub fn text(&mut self, out: &mut Vec<u8>, text: &[u8]) {
        self.strings.put(out, text);
    }

    /// A member's score.
    pub fn score(&self, out: &mut Vec<u8>, score: f64) {
        if self.target.has_binary_scores() {
            out.extend_from_slice(&score.to_le_bytes());
        } else if score.is_infinite() {
            out.push(if score > 0.0 { TEXT_INFINITY } else { TEXT_NEGATIVE_INFINITY });
        } else {
            let text = DoubleText::shortest(score);
            // The longest has 24 characters.
            out.push(u8::try_from(text.as_bytes().len()).unwrap_or(0));
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// A value without key and type, as in a DUMP payload.
    pub(super) fn value(&mut self, out: &mut Vec<u8>, value: ValueView<'_>) {
        match value {
            ValueView::Str(text) => self.strings.put(out, text),
            ValueView::Int(value) => self.strings.put_number(out, value),
            ValueView::List(list) => self.list(out, list),
            ValueView::Set(set) => self.set(out, set),
            ValueView::ZSet(set) => self.zset(out, set),
            ValueView::Hash(hash) => self.hash(out, hash),
            ValueView::Stream(stream) => self.stream(out, stream),
        }
    }

    /// The type byte under which a value is written.
    pub(super) fn type_byte(&self, value: ValueView<'_>) -> u8 {
        let target = self.target;
        match value {
            ValueView::Str(_) | ValueView::Int(_) => STRING,
            ValueView::List(_) if target.has_listpacks() => LIST_NODES,
            ValueView::List(_) => LIST,
            ValueView::Set(set) if set.as_intset().is_some() => SET_INTSET,
            ValueView::Set(set) if set.as_listpack().is_some() && target.has_set_listpacks() => {
                SET_LISTPACK
            }
            ValueView::Set(_) => SET,
            ValueView::ZSet(set) if set.as_listpack().is_some() && target.has_listpacks() => {
                ZSET_LISTPACK
            }
            ValueView::ZSet(_) if target.has_binary_scores() => ZSET,
            ValueView::ZSet(_) => ZSET_TEXT,
            ValueView::Hash(hash) => self.hash_type_byte(hash),
            ValueView::Stream(_) => self.stream_type_byte(),
        }
    }

    fn hash_type_byte(&self, hash: &Hash) -> u8 {
        let timed = hash.earliest_expire().is_some();
        match hash.as_listpack() {
            _ if timed && self.target.is_valkey() => HASH_VALKEY_TIMED,
            Some((_, false)) if self.target.has_listpacks() => HASH_LISTPACK,
            Some((_, true)) if timed => HASH_LISTPACK_TIMED,
            _ if timed => HASH_TIMED,
            // Also a listpack with places for times that holds none: only the version that times need knows its type.
            _ => HASH,
        }
    }

    pub(super) fn stream_type_byte(&self) -> u8 {
        match self.layout() {
            Layout::First => STREAM_1,
            Layout::Second => STREAM_2,
            // Nothing is written in the fourth.
            Layout::Third | Layout::Fourth => STREAM_3,
        }
    }

    fn layout(&self) -> Layout {
        if self.target.has_set_listpacks() {
            Layout::Third
        } else if self.target.has_listpacks() {
            Layout::Second
        } else {
            Layout::First
        }
    }

    fn stream(&mut self, out: &mut Vec<u8>, stream: &Stream) {
        let layout = self.layout();
        put_stream(&mut self.strings, out, stream, layout);
    }

    /// A node of a stream.
    pub(super) fn stream_node(&mut self, out: &mut Vec<u8>, node: &Node) {
        put_node(&mut self.strings, out, node);
    }

    /// What follows the nodes of a stream.
    pub(super) fn stream_tail(&mut self, out: &mut Vec<u8>, stream: &Stream) {
        let layout = self.layout();
        put_tail(&mut self.strings, out, stream, layout);
    }

    /// Whether long strings are compressed one by one.
    pub fn compresses(&self) -> bool {
        self.strings.compresses()
    }

    /// A hash with field expiry was written in pieces.
    pub(super) fn note_field_expiry(&mut self) {
        self.field_expiry_seen = true;
    }

    fn element(&mut self, out: &mut Vec<u8>, element: Element<'_>) {
        match element {
            Element::Int(value) => self.strings.put_number(out, value),
            Element::Str(bytes) => self.strings.put(out, bytes),
        }
    }

    fn list(&mut self, out: &mut Vec<u8>, list: &List) {
        if !self.target.has_listpacks() {
            put_length(out, list.len() as u64);
            for element in list.iter() {
                self.element(out, element);
            }
            return;
        }
        put_length(out, list.node_count() as u64);
        for node in list.nodes() {
            self.list_node(out, node);
        }
    }

    /// A node of a list.
    pub(super) fn list_node(&mut self, out: &mut Vec<u8>, node: NodeRef<'_>) {
        match node {
            NodeRef::Plain(element) => {
                put_length(out, PLAIN_NODE);
                self.strings.put(out, element);
            }
            NodeRef::Packed(packed) => {
                put_length(out, PACKED_NODE);
                self.strings.put(out, packed);
            }
            NodeRef::Tight(elements) => {
                put_length(out, PACKED_NODE);
                elements.write_listpack(&mut self.packed);
                self.strings.put(out, &self.packed);
            }
        }
    }

    fn packed(&mut self, out: &mut Vec<u8>, elements: &Tight) {
        elements.write_listpack(&mut self.packed);
        self.strings.put(out, &self.packed);
    }

    fn set(&mut self, out: &mut Vec<u8>, set: &Set) {
        if let Some(ints) = set.as_intset() {
            self.strings.put(out, &ints.stored());
        } else if let Some(packed) = set.as_listpack().filter(|_| self.target.has_set_listpacks()) {
            self.packed(out, packed);
        } else {
            put_length(out, set.len() as u64);
            for member in set.iter() {
                self.element(out, member);
            }
        }
    }

    fn zset(&mut self, out: &mut Vec<u8>, set: &ZSet) {
        if let Some(packed) = set.as_listpack().filter(|_| self.target.has_listpacks()) {
            return self.strings.put(out, packed.bytes());
        }
        put_length(out, set.len() as u64);
        // From the highest score down: Redis then loads without a search for the place of each.
        for (member, score) in set.range(0..set.len(), Direction::Reverse) {
            self.element(out, member);
            self.score(out, score);
        }
    }

    fn hash(&mut self, out: &mut Vec<u8>, hash: &Hash) {
        let earliest = hash.earliest_expire();
        self.field_expiry_seen |= earliest.is_some();
        let type_byte = self.hash_type_byte(hash);
        if let (HASH_LISTPACK | HASH_LISTPACK_TIMED, Some((packed, _))) =
            (type_byte, hash.as_listpack())
        {
            if type_byte == HASH_LISTPACK_TIMED {
                out.extend_from_slice(&earliest.unwrap_or(0).to_le_bytes());
            }
            return self.packed(out, packed);
        }
        if type_byte == HASH_VALKEY_TIMED {
            return self.valkey_hash(out, hash);
        }
        if let Some(earliest) = earliest {
            out.extend_from_slice(&earliest.to_le_bytes());
        }
        put_length(out, hash.len() as u64);
        for (field, value, time) in hash.iter_with_expire() {
            if let Some(earliest) = earliest {
                // One above the distance from the earliest, so that 0 can mean none.
                put_length(out, time.map_or(0, |time| time - earliest + 1));
            }
            self.element(out, field);
            self.element(out, value);
        }
    }
}

impl Encoder {
    /// A hash with expiring fields as Valkey has it: each with its time, -1 for none.
    fn valkey_hash(&mut self, out: &mut Vec<u8>, hash: &Hash) {
        put_length(out, hash.len() as u64);
        for (field, value, time) in hash.iter_with_expire() {
            self.element(out, field);
            self.element(out, value);
            let time = time.map_or(-1, u64::cast_signed);
            out.extend_from_slice(&time.to_le_bytes());
        }
    }
}

/// Type of a list that is written element by element.
const LIST: u8 = 1;
/// Type of a sorted set with the scores as text, and the bytes that stand for scores without one.
const ZSET_TEXT: u8 = 3;
const TEXT_INFINITY: u8 = 254;
const TEXT_NEGATIVE_INFINITY: u8 = 255;
/// Type of a set that is written member by member.
pub const SET: u8 = 2;
/// Type of a sorted set that is written member by member, each with its score.
pub const ZSET: u8 = 5;
/// Type of a hash that is written field by field, each with its value.
pub const HASH: u8 = 4;
pub(super) const STRING: u8 = 0;
const SET_INTSET: u8 = 11;
const HASH_LISTPACK: u8 = 16;
const ZSET_LISTPACK: u8 = 17;
pub(super) const LIST_NODES: u8 = 18;
const STREAM_1: u8 = 15;
const STREAM_2: u8 = 19;
const SET_LISTPACK: u8 = 20;
const HASH_VALKEY_TIMED: u8 = 22;
const STREAM_3: u8 = 21;
pub(super) const HASH_TIMED: u8 = 24;
const HASH_LISTPACK_TIMED: u8 = 25;
/// Kinds of list nodes.
const PLAIN_NODE: u64 = 1;
const PACKED_NODE: u64 = 2;

/// Appends what is said of the key that follows.
pub(super) fn put_attributes(out: &mut Vec<u8>, attributes: Attributes) {
    if let Some(at) = attributes.expire_at_ms {
        out.push(EXPIRETIME_MS);
        out.extend_from_slice(&at.to_le_bytes());
    }
    if let Some(seconds) = attributes.idle_seconds {
        out.push(IDLE);
        put_length(out, seconds);
    }
    if let Some(frequency) = attributes.frequency {
        out.extend_from_slice(&[FREQ, frequency]);
    }
}

/// Appends the end of a file; `written` has run over everything before it. `checksum` is `rdbchecksum`.
pub fn finish(out: &mut Vec<u8>, written: &mut Crc64, checksum: bool) {
    out.push(EOF);
    written.update(&[EOF]);
    let value = if checksum { written.value() } else { 0 };
    out.extend_from_slice(&value.to_le_bytes());
}
