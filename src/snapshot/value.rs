//! Values: every type that Redis or Valkey ever wrote, to ours.
//!
//! Packed blobs that are today's form are validated entry by entry and become the value in one or two passes;
//! older forms are rewritten as listpacks first and go the same way; the rest is built element by
//! element with no allocation but the final one. What the collection types refuse (a member twice, an
//! odd number of elements) is damage. See format-spec/snapshot.md, "Records" and "Packed blobs".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::error::{Corruption, CorruptionKind, Parsed};
use super::primitives::{Reader, Text};
use super::record::Dialect;
use super::stream::{Layout, read_stream};
use crate::types::hash::Hash;
use crate::types::intset::IntSet;
use crate::types::limits::Limits;
use crate::types::list::{List, Node};
use crate::types::listpack::{self, BYTES_MAX, Element, Listpack, ListpackRef};
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::thin::ThinScored;
use crate::types::ziplist::{Ziplist, Zipmap};
use crate::types::zset::ZSet;

/// A value out of a file. Collections are never empty, except streams.
pub enum Loaded<'a> {
    /// A string, which the receiver stores as it likes.
    Str(Text<'a>),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    ZSet(ZSet),
    /// A hash.
    Hash(Hash),
    /// A stream.
    Stream(Box<Stream>),
}

/// A value on its way into a file.
#[derive(Clone, Copy)]
pub enum ValueView<'a> {
    /// A string.
    Str(&'a [u8]),
    /// A string that is the decimal text of this number.
    Int(i64),
    /// A list.
    List(&'a List),
    /// A set.
    Set(&'a Set),
    /// A sorted set.
    ZSet(&'a ZSet),
    /// A hash.
    Hash(&'a Hash),
    /// A stream.
    Stream(&'a Stream),
}

/// Why a value is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueError {
    /// Its bytes are wrong.
    Damaged(Corruption),
    /// This build has no such values.
    Unsupported(&'static str),
}

impl From<Corruption> for ValueError {
    fn from(corruption: Corruption) -> Self {
        Self::Damaged(corruption)
    }
}

/// Reads values of one file.
#[derive(Debug)]
pub(super) struct ValueReader {
    dialect: Dialect,
    limits: Limits,
}

impl ValueReader {
    pub(super) fn new(dialect: Dialect, limits: &Limits) -> Self {
        Self { dialect, limits: limits.clone() }
    }

    /// The value that follows a key of this type; `None` for an aggregate without elements.
    #[inline]
    pub(super) fn read<'a>(
        &self,
        reader: &mut Reader<'a>,
        type_byte: u8,
    ) -> Result<Option<Loaded<'a>>, ValueError> {
        if type_byte == 0 {
            return Ok(Some(Loaded::Str(reader.string()?)));
        }
        Ok(match type_byte {
            1 => self.plain_list(reader)?.map(Loaded::List),
            2 => self.plain_set(reader)?.map(Loaded::Set),
            3 | 5 => self.plain_zset(reader, type_byte == 3)?.map(Loaded::ZSet),
            4 => self.plain_hash(reader)?.map(Loaded::Hash),
            9 => self.zipmap_hash(reader)?.map(Loaded::Hash),
            10 | 14 | 18 => self.node_list(reader, type_byte)?.map(Loaded::List),
            11 => self.intset_set(reader)?.map(Loaded::Set),
            12 | 17 => self.packed_zset(reader, type_byte == 12)?.map(Loaded::ZSet),
            13 | 16 => self.packed_hash(reader, type_byte == 13)?.map(Loaded::Hash),
            20 => self.packed_set(reader)?.map(Loaded::Set),
            22 if self.dialect == Dialect::Valkey => self.valkey_hash(reader)?.map(Loaded::Hash),
            // Of release candidates of Redis 7.4. Each time stands there itself: as if counted from 1.
            22 => self.timed_hash(reader, 1)?.map(Loaded::Hash),
            24 => {
                let earliest = reader.i64()?;
                self.timed_hash(reader, earliest)?.map(Loaded::Hash)
            }
            23 => self.packed_timed_hash(reader)?.map(Loaded::Hash),
            25 => {
                reader.i64()?; // The earliest time again; the fields know it better.
                self.packed_timed_hash(reader)?.map(Loaded::Hash)
            }
            15 => Some(stream(reader, Layout::First)?),
            19 => Some(stream(reader, Layout::Second)?),
            21 => Some(stream(reader, Layout::Third)?),
            26 => Some(stream(reader, Layout::Fourth)?),
            _ => return Err(ValueError::Unsupported("a value of an unknown type")),
        })
    }

    fn list_max(&self) -> i64 {
        self.limits.list_max_listpack_size.into()
    }

    fn plain_list(&self, reader: &mut Reader<'_>) -> Parsed<Option<List>> {
        let mut list = List::new();
        for _ in 0..reader.count(1)? {
            let element = reader.string()?;
            list.push_back(&*element, self.list_max());
        }
        Ok((!list.is_empty()).then_some(list))
    }

    /// A list from ziplists (one, or several) or listpacks.
    fn node_list(&self, reader: &mut Reader<'_>, type_byte: u8) -> Parsed<Option<List>> {
        let count = if type_byte == 10 { 1 } else { reader.count(1)? };
        let mut nodes = Vec::new();
        for _ in 0..count {
            let node = if type_byte == 18 {
                read_node(reader)?
            } else {
                Node::Packed(read_ziplist(reader)?)
            };
            // Redis may write an empty node; it is none to us.
            if !matches!(&node, Node::Packed(packed) if packed.is_empty()) {
                nodes.push(node);
            }
        }
        Ok(match nodes.pop() {
            None => None,
            Some(Node::Packed(only)) if nodes.is_empty() => {
                Some(List::from_listpack(only, self.list_max()))
            }
            Some(last) => {
                nodes.push(last);
                Some(List::from_nodes(nodes, self.list_max()))
            }
        })
    }

    fn plain_set(&self, reader: &mut Reader<'_>) -> Parsed<Option<Set>> {
        let count = reader.count(1)?;
        let mut set = Set::with_listed(count, &self.limits);
        for _ in 0..count {
            let offset = reader.position();
            let member = reader.string()?;
            if !set.insert(&member, &self.limits) {
                return Err(duplicate(offset, "member"));
            }
        }
        Ok((count > 0).then_some(set))
    }

    fn intset_set(&self, reader: &mut Reader<'_>) -> Parsed<Option<Set>> {
        let offset = reader.position();
        let blob = reader.string()?;
        IntSet::validate(&blob)
            .map_err(|_| Corruption::malformed(offset, "intset", "size or order is wrong"))?;
        let ints = IntSet::from_validated(&blob);
        Ok(Some(Set::from_intset(ints, &self.limits)))
    }

    fn packed_set(&self, reader: &mut Reader<'_>) -> Parsed<Option<Set>> {
        let offset = reader.position();
        let packed = read_listpack_bytes(reader)?;
        let set = Set::from_listpack(ListpackRef::new(&packed), &self.limits)
            .map_err(|_| duplicate(offset, "member"))?;
        Ok((!set.is_empty()).then_some(set))
    }

    fn plain_zset(&self, reader: &mut Reader<'_>, text_scores: bool) -> Parsed<Option<ZSet>> {
        let count = reader.count(if text_scores { 2 } else { 9 })?;
        let offset = reader.position();
        let mut items = Vec::new();
        for _ in 0..count {
            let member = reader.string()?;
            let score = if text_scores { reader.text_score()? } else { reader.score()? };
            items.push(ThinScored::new(score, &member));
        }
        if items.is_empty() {
            return Ok(None);
        }
        let set = ZSet::from_items(items, &self.limits).map_err(|_| duplicate(offset, "member"))?;
        Ok(Some(set))
    }

    fn packed_zset(&self, reader: &mut Reader<'_>, old: bool) -> Parsed<Option<ZSet>> {
        let offset = reader.position();
        let packed = if old { read_ziplist(reader)? } else { read_listpack(reader)? };
        let set = ZSet::from_listpack(packed, &self.limits).map_err(|_| {
            Corruption::malformed(offset, "zset", "pairs, scores or members are wrong")
        })?;
        Ok((!set.is_empty()).then_some(set))
    }

    fn plain_hash(&self, reader: &mut Reader<'_>) -> Parsed<Option<Hash>> {
        let count = reader.count(2)?;
        let mut hash = Hash::with_expected(count, &self.limits);
        for _ in 0..count {
            let offset = reader.position();
            let (field, value) = (reader.string()?, reader.string()?);
            if !hash.insert(&field, &value, &self.limits) {
                return Err(duplicate(offset, "field"));
            }
        }
        Ok((!hash.is_empty()).then_some(hash))
    }

    fn zipmap_hash(&self, reader: &mut Reader<'_>) -> Parsed<Option<Hash>> {
        let offset = reader.position();
        let blob = reader.string()?;
        let pairs = Zipmap::new(&blob)
            .map_err(|_| Corruption::malformed(offset, "zipmap", "entries or size are wrong"))?;
        let mut hash = Hash::with_expected(pairs.len(), &self.limits);
        for (field, value) in pairs.iter() {
            if !hash.insert(field, value, &self.limits) {
                return Err(duplicate(offset, "field"));
            }
        }
        Ok((!hash.is_empty()).then_some(hash))
    }

    fn packed_hash(&self, reader: &mut Reader<'_>, old: bool) -> Parsed<Option<Hash>> {
        let offset = reader.position();
        let packed = Packed::read(reader, old)?;
        let hash = Hash::from_listpack(packed.view(), &self.limits)
            .map_err(|_| Corruption::malformed(offset, "hash", "pairs or fields are wrong"))?;
        Ok((!hash.is_empty()).then_some(hash))
    }

    fn packed_timed_hash(&self, reader: &mut Reader<'_>) -> Parsed<Option<Hash>> {
        let offset = reader.position();
        let packed = read_listpack_bytes(reader)?;
        let hash =
            Hash::from_timed_listpack(ListpackRef::new(&packed), &self.limits).map_err(|_| {
                Corruption::malformed(offset, "hash", "fields, times or their order are wrong")
            })?;
        Ok((!hash.is_empty()).then_some(hash))
    }

    fn timed_hash(&self, reader: &mut Reader<'_>, earliest: i64) -> Parsed<Option<Hash>> {
        let count = reader.count(3)?;
        let mut hash = Hash::with_expected(count, &self.limits);
        for _ in 0..count {
            let offset = reader.position();
            let time = match reader.length()? {
                0 => None,
                distance => Some(
                    i64::try_from(distance - 1)
                        .ok()
                        .and_then(|distance| earliest.checked_add(distance))
                        .ok_or(Corruption::malformed(offset, "hash", "impossible expiry"))?,
                ),
            };
            let (field, value) = (reader.string()?, reader.string()?);
            self.insert_timed(&mut hash, &field, &value, time, offset)?;
        }
        Ok((!hash.is_empty()).then_some(hash))
    }

    fn valkey_hash(&self, reader: &mut Reader<'_>) -> Parsed<Option<Hash>> {
        let count = reader.count(10)?;
        let mut hash = Hash::with_expected(count, &self.limits);
        for _ in 0..count {
            let offset = reader.position();
            let (field, value) = (reader.string()?, reader.string()?);
            let time = Some(reader.i64()?).filter(|time| *time != -1);
            self.insert_timed(&mut hash, &field, &value, time, offset)?;
        }
        Ok((!hash.is_empty()).then_some(hash))
    }

    fn insert_timed(
        &self,
        hash: &mut Hash,
        field: &[u8],
        value: &[u8],
        time: Option<i64>,
        offset: u64,
    ) -> Parsed<()> {
        if !hash.insert(field, value, &self.limits) {
            return Err(duplicate(offset, "field"));
        }
        if let Some(time) = time {
            let time = u64::try_from(time)
                .ok()
                .filter(|time| (1..FIELD_EXPIRY_END).contains(time))
                .ok_or(Corruption::malformed(offset, "hash", "impossible expiry"))?;
            hash.set_field_expire(field, Some(time));
        }
        Ok(())
    }
}

/// Field expiry times have 48 bits.
const FIELD_EXPIRY_END: u64 = 1 << 48;

fn stream<'a>(reader: &mut Reader<'_>, layout: Layout) -> Parsed<Loaded<'a>> {
    Ok(Loaded::Stream(Box::new(read_stream(reader, layout)?)))
}

/// A node of a list: one element, or a listpack.
fn read_node(reader: &mut Reader<'_>) -> Parsed<Node> {
    let offset = reader.position();
    match reader.length()? {
        1 => {
            let element = reader.string()?;
            if element.is_empty() {
                return Err(Corruption::malformed(offset, "list", "empty node"));
            }
            Ok(Node::Plain(element.into_vec().into_boxed_slice()))
        }
        2 => Ok(Node::Packed(read_listpack(reader)?)),
        _ => Err(Corruption::malformed(offset, "list", "unknown kind of node")),
    }
}

fn duplicate(offset: u64, what: &'static str) -> Corruption {
    Corruption::new(offset, CorruptionKind::Duplicate(what))
}

/// A listpack, or a ziplist made one.
enum Packed<'a> {
    AsItIs(Text<'a>),
    Rewritten(Listpack),
}

impl<'a> Packed<'a> {
    fn read(reader: &mut Reader<'a>, ziplist: bool) -> Parsed<Self> {
        Ok(if ziplist {
            Self::Rewritten(read_ziplist(reader)?)
        } else {
            Self::AsItIs(read_listpack_bytes(reader)?)
        })
    }

    fn view(&self) -> ListpackRef<'_> {
        match self {
            Self::AsItIs(bytes) => ListpackRef::new(bytes),
            Self::Rewritten(list) => list.view(),
        }
    }
}

/// A listpack, checked entry by entry.
fn read_listpack(reader: &mut Reader<'_>) -> Parsed<Listpack> {
    Ok(Listpack::from_validated(&read_listpack_bytes(reader)?))
}

/// The bytes of a listpack, checked entry by entry.
fn read_listpack_bytes<'a>(reader: &mut Reader<'a>) -> Parsed<Text<'a>> {
    let offset = reader.position();
    let blob = reader.string()?;
    let malformed = Corruption::malformed(offset, "listpack", "entries, size or count are wrong");
    if blob.len() > BYTES_MAX {
        return Err(malformed);
    }
    match listpack::take_in(&blob) {
        Ok(None) => Ok(blob),
        Ok(Some(ours)) if ours.len() <= BYTES_MAX => Ok(Text::Inflated(ours)),
        _ => Err(malformed),
    }
}

/// A ziplist, checked entry by entry, as a listpack.
fn read_ziplist(reader: &mut Reader<'_>) -> Parsed<Listpack> {
    let offset = reader.position();
    let blob = reader.string()?;
    let malformed = |reason| Corruption::malformed(offset, "ziplist", reason);
    let ziplist = Ziplist::new(&blob).map_err(|_| malformed("entries, size or count are wrong"))?;
    let mut list = Listpack::new();
    for element in ziplist.iter() {
        if !list.has_room(element.len()) {
            return Err(malformed("larger than any server writes"));
        }
        // Text that is a number is one today, so that equal text has one form.
        match element {
            Element::Int(_) => list.push_back(element),
            Element::Str(text) => list.push_back(text),
        }
    }
    Ok(list)
}
