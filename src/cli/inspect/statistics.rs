//! What is counted while a data set passes: room that does not grow with it, but for what is bounded by name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::pattern::Patterns;
use super::prefix::PrefixTree;
use crate::clock::UnixMillis;
use crate::exchange::{Item, Sink};
use crate::keyspace::{Kind, ValueRef};

/// Keys and the memory that they take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) keys: u64,
    pub(super) memory: u64,
}

impl Count {
    pub(super) fn add(&mut self, memory: u64) {
        self.keys += 1;
        self.memory += memory;
    }
}

/// A large key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Large {
    /// First, so that it orders.
    pub(super) memory: u64,
    pub(super) elements: u64,
    pub(super) key: Vec<u8>,
    pub(super) db: u32,
    pub(super) encoding: &'static str,
    pub(super) expire_at: Option<UnixMillis>,
}

/// What is known of one type.
#[derive(Debug, Default)]
pub(super) struct OfType {
    pub(super) count: Count,
    pub(super) elements: u64,
    pub(super) elements_max: u64,
    pub(super) encodings: BTreeMap<&'static str, Count>,
    largest: BinaryHeap<Reverse<Large>>,
}

impl OfType {
    /// The largest keys, the largest first.
    pub(super) fn largest(&self) -> Vec<&Large> {
        let mut found: Vec<&Large> = self.largest.iter().map(|Reverse(large)| large).collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Statistics {
    top: usize,
    pub(super) now: UnixMillis,
    pub(super) all: Count,
    pub(super) functions: u64,
    pub(super) databases: BTreeMap<u32, OfDatabase>,
    pub(super) types: BTreeMap<usize, OfType>,
    pub(super) times: [Count; TIMES.len()],
    pub(super) sizes: [Count; SIZES.len()],
    pub(super) key_bytes: u64,
    pub(super) fields_with_time: u64,
    pub(super) prefixes: PrefixTree,
    pub(super) patterns: Patterns,
}

/// What is known of one database.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct OfDatabase {
    pub(super) count: Count,
    pub(super) expires: u64,
}

/// Time to live, each up to so many milliseconds.
pub(super) const TIMES: [(&str, i64); 9] = [
    ("expired", 0),
    ("1 minute", 60_000),
    ("1 hour", 3_600_000),
    ("1 day", DAY),
    ("1 week", 7 * DAY),
    ("30 days", 30 * DAY),
    ("1 year", 365 * DAY),
    ("more", i64::MAX - 1),
    ("none", i64::MAX),
];
const DAY: i64 = 86_400_000;

/// Memory of a key, each up to so many bytes.
pub(super) const SIZES: [(&str, u64); 10] = [
    ("64 B", 1 << 6),
    ("128 B", 1 << 7),
    ("256 B", 1 << 8),
    ("1 KiB", 1 << 10),
    ("4 KiB", 1 << 12),
    ("16 KiB", 1 << 14),
    ("128 KiB", 1 << 17),
    ("1 MiB", 1 << 20),
    ("16 MiB", 1 << 24),
    ("more", u64::MAX),
];

/// The types in the order in which they are shown.
pub(super) const KINDS: [Kind; 6] =
    [Kind::String, Kind::List, Kind::Set, Kind::ZSet, Kind::Hash, Kind::Stream];

impl Statistics {
    pub(super) fn new(now: UnixMillis, top: usize, delimiter: &[u8], depth: usize) -> Self {
        Self {
            top,
            now,
            all: Count::default(),
            functions: 0,
            databases: BTreeMap::new(),
            types: BTreeMap::new(),
            times: Default::default(),
            sizes: Default::default(),
            key_bytes: 0,
            fields_with_time: 0,
            prefixes: PrefixTree::new(delimiter, depth),
            patterns: Patterns::new(delimiter),
        }
    }
}

/// Elements of a value; bytes of a string.
fn elements(value: ValueRef<'_>) -> u64 {
    let count = match value {
        ValueRef::Str(text) => text.len(),
        ValueRef::List(list) => list.len(),
        ValueRef::Hash(hash) => hash.len(),
        ValueRef::Set(set) => set.len(),
        ValueRef::ZSet(zset) => zset.len(),
        ValueRef::Stream(stream) => stream.len(),
    };
    count as u64
}

impl Sink for Statistics {
    fn function(&mut self, _source: &[u8]) -> Result<(), String> {
        self.functions += 1;
        Ok(())
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        let entry = item.entry;
        let memory = entry.memory_bytes() as u64;
        let elements = elements(entry.value());
        let left = entry.expire_at().map_or(i64::MAX, |at| at.saturating_sub(self.now));
        self.all.add(memory);
        self.key_bytes += entry.key().len() as u64;
        self.prefixes.add(entry.key(), memory);
        self.patterns.add(entry.key(), memory);
        let database = self.databases.entry(item.db).or_default();
        database.count.add(memory);
        database.expires += u64::from(entry.expire_at().is_some());
        let time = TIMES.iter().position(|(_, until)| left <= *until);
        if let Some(bucket) = time.and_then(|at| self.times.get_mut(at)) {
            bucket.add(memory);
        }
        let size = SIZES.iter().position(|(_, until)| memory <= *until);
        if let Some(bucket) = size.and_then(|at| self.sizes.get_mut(at)) {
            bucket.add(memory);
        }
        if let ValueRef::Hash(hash) = entry.value() {
            self.fields_with_time += hash.expiring_len() as u64;
        }
        let place = KINDS.iter().position(|kind| *kind == entry.kind()).unwrap_or(0);
        let of_type = self.types.entry(place).or_default();
        of_type.count.add(memory);
        of_type.elements += elements;
        of_type.elements_max = of_type.elements_max.max(elements);
        of_type.encodings.entry(entry.encoding_name()).or_default().add(memory);
        let smallest = of_type.largest.peek().map_or(0, |Reverse(large)| large.memory);
        if of_type.largest.len() < self.top || (memory > smallest && self.top > 0) {
            of_type.largest.push(Reverse(Large {
                memory,
                elements,
                key: entry.key().to_vec(),
                db: item.db,
                encoding: entry.encoding_name(),
                expire_at: entry.expire_at(),
            }));
            if of_type.largest.len() > self.top {
                of_type.largest.pop();
            }
        }
        Ok(())
    }
}
