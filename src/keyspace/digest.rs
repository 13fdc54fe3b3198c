//! The dataset digest of DEBUG DIGEST and DIGEST-VALUE: equal to that of a Redis with equal contents.
//!
//! Two operations on 20 bytes: `xor` folds in the SHA-1 of something in any order, `mix` in this order
//! only. Unordered parts (keys, members, fields) are xored, ordered ones (list elements) are mixed.
//! Source: the behaviour of Redis' DEBUG DIGEST, compared with a real server by the tests.

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};

use super::{Entry, Keyspace, StrRef, ValueRef};
use crate::number::DoubleText;
use crate::types::Stream;
use crate::types::listpack::Element;
use crate::types::stream::StreamId;

/// 20 bytes; all zero for an empty data set or an absent key.
pub type Digest = [u8; 20];

/// What is folded in for a key or a field that expires, whenever that is.
const KEY_EXPIRES: &[u8] = b"!!expire!!";
const FIELD_EXPIRES: &[u8] = b"!!hexpire!!";

/// The digest of all databases.
pub fn dataset(keyspace: &Keyspace) -> Digest {
    let mut sum = Sum::default();
    for db in 0..keyspace.databases() {
        let number = u32::try_from(db).unwrap_or(u32::MAX);
        keyspace.entries(db).for_each(|entry| sum.add(number, entry));
    }
    sum.digest()
}

/// The digest of keys that come in any order.
#[derive(Debug, Default, Clone)]
pub struct Sum {
    databases: BTreeMap<u32, Digest>,
}

impl Sum {
    /// Adds a key.
    pub fn add(&mut self, db: u32, entry: &Entry) {
        let mut of_key = Digest::default();
        mix(&mut of_key, entry.key());
        fold_value(&mut of_key, entry);
        xor(self.databases.entry(db).or_default(), &of_key);
    }

    /// The digest of what was added.
    pub fn digest(&self) -> Digest {
        let mut whole = Digest::default();
        for (db, keys) in &self.databases {
            mix(&mut whole, &db.to_be_bytes());
            for (byte, other) in whole.iter_mut().zip(keys) {
                *byte ^= other;
            }
        }
        whole
    }
}

/// The digest of one key's value.
pub fn value(entry: &Entry) -> Digest {
    let mut digest = Digest::default();
    fold_value(&mut digest, entry);
    digest
}

/// Forty hexadecimal characters.
pub fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fold_value(digest: &mut Digest, entry: &Entry) {
    let value = entry.value();
    let kind: u32 = match value {
        ValueRef::Str(_) => 0,
        ValueRef::List(_) => 1,
        ValueRef::Set(_) => 2,
        ValueRef::ZSet(_) => 3,
        ValueRef::Hash(_) => 4,
        ValueRef::Stream(_) => 6,
    };
    mix(digest, &kind.to_be_bytes());
    match value {
        ValueRef::Str(StrRef::Int(number)) => {
            mix(digest, itoa::Buffer::new().format(number).as_bytes());
        }
        ValueRef::Str(StrRef::Bytes(bytes)) => mix(digest, bytes),
        ValueRef::List(list) => {
            for element in list.iter() {
                element.with_bytes(|bytes| mix(digest, bytes));
            }
        }
        ValueRef::Set(set) => {
            for member in set.iter() {
                member.with_bytes(|bytes| xor(digest, bytes));
            }
        }
        ValueRef::ZSet(zset) => {
            for (member, score) in zset.iter() {
                let mut pair = Digest::default();
                member.with_bytes(|bytes| mix(&mut pair, bytes));
                mix(&mut pair, DoubleText::shortest(score).as_bytes());
                xor(digest, &pair);
            }
        }
        ValueRef::Hash(hash) => {
            for (field, content, expires) in hash.iter_with_expire() {
                fold_field(digest, field, content, expires.is_some());
            }
        }
        ValueRef::Stream(stream) => fold_stream(digest, stream),
    }
    if entry.expire_at().is_some() {
        xor(digest, KEY_EXPIRES);
    }
}

fn fold_field(digest: &mut Digest, field: Element<'_>, content: Element<'_>, expires: bool) {
    let mut pair = Digest::default();
    field.with_bytes(|bytes| mix(&mut pair, bytes));
    content.with_bytes(|bytes| mix(&mut pair, bytes));
    if expires {
        xor(&mut pair, FIELD_EXPIRES);
    }
    xor(digest, &pair);
}

/// Entries in order, each with its id; groups are not part of it.
fn fold_stream(digest: &mut Digest, stream: &Stream) {
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        mix(digest, format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
        for (field, content) in entry.fields {
            field.with_bytes(|bytes| mix(digest, bytes));
            content.with_bytes(|bytes| mix(digest, bytes));
        }
    }
}

/// Folds in the SHA-1 of `bytes`, in any order.
fn xor(digest: &mut Digest, bytes: &[u8]) {
    let hash = Sha1::digest(bytes);
    for (byte, other) in digest.iter_mut().zip(hash) {
        *byte ^= other;
    }
}

/// Folds in `bytes` so that the order counts.
fn mix(digest: &mut Digest, bytes: &[u8]) {
    xor(digest, bytes);
    *digest = Sha1::digest(&digest[..]).into();
}
