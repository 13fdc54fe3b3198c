//! Large values as they were at one instant, to be written later.
//!
//! Encoding a value of millions of elements takes seconds, and the lock is not held for that long: under
//! the lock a large value is only shared ([`Frozen::of`]), which costs a pointer for thousands of
//! elements; whoever changes the value afterwards copies the part it changes. Encoding happens
//! outside, piece by piece, and gives what [`Encoder`] gives for the value itself.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use bytes::Bytes;

use super::container::write::give_way;
use super::encode::{Encoder, HASH, HASH_TIMED, LIST_NODES, SET, STRING, ZSET};
use super::primitives::put_length;
use super::record::Attributes;
use crate::keyspace::entry::SHARED_BYTES_MIN;
use crate::keyspace::{Entry, Kind, StrRef, ValueMut, ValueRef};
use crate::types::list::List;
use crate::types::stream::Stream;
use crate::types::table::SharedTable;
use crate::types::thin::{ThinBytes, ThinPair, ThinScored};
use crate::types::zset::Tree;

/// Collections of more elements than this are shared; smaller ones are encoded at once.
const ELEMENTS_MIN: usize = 256;
/// Lists and streams of more nodes than this are shared.
const NODES_MIN: usize = 2;
/// Pieces are handed on from this length.
const PIECE_BYTES: usize = 1 << 18;
/// After so many bytes others may have the core: walking through elements that lie about takes a while.
const REST_BYTES: usize = 1 << 14;

/// A key with its value at one instant.
pub struct Frozen {
    key: Vec<u8>,
    attributes: Attributes,
    value: Value,
}

enum Value {
    Str(Bytes),
    List(List),
    Set(SharedTable<ThinBytes>),
    ZSet(Tree<ThinScored>),
    Hash { table: SharedTable<ThinPair>, earliest: Option<u64> },
    Stream(Box<Stream>),
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Takes what was encoded so far out of the buffer when it is long enough.
pub type Flush<'f> = dyn FnMut(&mut Vec<u8>) -> Result<(), String> + 'f;

impl Frozen {
    /// The entry as it is now, if its value is too large to be encoded at once.
    pub fn of(entry: &mut Entry, attributes: Attributes) -> Option<Self> {
        let value = if entry.kind() == Kind::String {
            match entry.value() {
                ValueRef::Str(StrRef::Bytes(text)) if text.len() >= SHARED_BYTES_MIN => {
                    Value::Str(entry.share()?)
                }
                _ => return None,
            }
        } else {
            share(entry.value_mut())?
        };
        Some(Self { key: entry.key().to_vec(), attributes, value })
    }

    /// Appends the record to `out`; `flush` is asked to take it whenever it has grown.
    pub fn encode(
        self,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
        flush: &mut Flush<'_>,
    ) -> Result<(), String> {
        let type_byte = match &self.value {
            Value::Str(_) => STRING,
            Value::List(_) => LIST_NODES,
            Value::Set(_) => SET,
            Value::ZSet(_) => ZSET,
            Value::Hash { earliest: Some(_), .. } => HASH_TIMED,
            Value::Hash { earliest: None, .. } => HASH,
            Value::Stream(_) => encoder.stream_type_byte(),
        };
        encoder.begin_key(out, &self.key, type_byte, self.attributes);
        let mut rest_at = out.len() + REST_BYTES;
        let mut flush = |out: &mut Vec<u8>| {
            if out.len() < rest_at {
                return Ok(());
            }
            give_way();
            let flushed = if out.len() < PIECE_BYTES { Ok(()) } else { flush(out) };
            rest_at = out.len() + REST_BYTES;
            flushed
        };
        match self.value {
            Value::Str(text) => put_text(encoder, out, &text, &mut flush),
            Value::List(list) => {
                put_length(out, list.node_count() as u64);
                for node in list.nodes() {
                    encoder.list_node(out, node);
                    flush(out)?;
                }
                Ok(())
            }
            Value::Set(table) => {
                encoder.count(out, table.len());
                table.drain(|member| {
                    encoder.text(out, member.as_bytes());
                    flush(out)
                })
            }
            Value::ZSet(tree) => {
                encoder.count(out, tree.len());
                // From the highest score down: Redis then loads without a search for each place.
                for item in tree.iter().rev() {
                    encoder.text(out, item.member());
                    encoder.score(out, item.score());
                    flush(out)?;
                }
                Ok(())
            }
            Value::Hash { table, earliest } => put_hash(encoder, out, table, earliest, &mut flush),
            Value::Stream(stream) => put_stream(encoder, out, &stream, &mut flush),
        }
    }
}

/// A collection as it is now, if it is large.
fn share(value: ValueMut<'_>) -> Option<Value> {
    Some(match value {
        ValueMut::List(list) if list.node_count() > NODES_MIN => Value::List(list.clone()),
        ValueMut::Set(set) if set.len() > ELEMENTS_MIN => Value::Set(set.share()?),
        ValueMut::ZSet(zset) if zset.len() > ELEMENTS_MIN => Value::ZSet(zset.share()?),
        ValueMut::Hash(hash) if hash.len() > ELEMENTS_MIN => {
            Value::Hash { earliest: hash.earliest_expire(), table: hash.share()? }
        }
        ValueMut::Stream(stream) if stream.node_count() > NODES_MIN => {
            Value::Stream(Box::new(stream.share()))
        }
        _ => return None,
    })
}

/// A long string that is not compressed is handed on in pieces.
fn put_text(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    text: &[u8],
    flush: &mut Flush<'_>,
) -> Result<(), String> {
    if encoder.compresses() || text.len() <= PIECE_BYTES {
        encoder.text(out, text);
        return flush(out);
    }
    put_length(out, text.len() as u64);
    for piece in text.chunks(PIECE_BYTES) {
        out.extend_from_slice(piece);
        flush(out)?;
    }
    Ok(())
}

fn put_hash(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    table: SharedTable<ThinPair>,
    earliest: Option<u64>,
    flush: &mut Flush<'_>,
) -> Result<(), String> {
    if let Some(earliest) = earliest {
        encoder.note_field_expiry();
        out.extend_from_slice(&earliest.to_le_bytes());
    }
    encoder.count(out, table.len());
    table.drain(|pair| {
        if let Some(earliest) = earliest {
            // One above the distance from the earliest, so that 0 can mean none.
            put_length(out, pair.expire().map_or(0, |time| time - earliest + 1));
        }
        encoder.text(out, pair.field());
        encoder.text(out, pair.value());
        flush(out)
    })
}

fn put_stream(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    stream: &Stream,
    flush: &mut Flush<'_>,
) -> Result<(), String> {
    put_length(out, stream.node_count() as u64);
    for node in stream.nodes() {
        encoder.stream_node(out, node);
        flush(out)?;
    }
    encoder.stream_tail(out, stream);
    flush(out)
}
