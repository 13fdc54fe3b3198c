//! What differs between two states: keys added, changed, removed.
//!
//! Values are compared by their digest, which is that of DEBUG DIGEST-VALUE, and by their expiry, so that it does
//! not matter in which form they are encoded.

use std::collections::HashMap;

use super::load::{Filter, LoadedState};
use crate::clock::UnixMillis;
use crate::keyspace::digest;

/// A key of a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DbKey {
    /// The database.
    pub db: usize,
    /// The key.
    pub key: Vec<u8>,
}

/// What differs. The lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only the second state has them.
    pub added: Vec<DbKey>,
    /// Both have them, with another value or expiry.
    pub changed: Vec<DbKey>,
    /// Only the first state has them.
    pub removed: Vec<DbKey>,
    /// Keys that are the same in both.
    pub same: u64,
}

impl Difference {
    /// Whether both are equal.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// What is compared of a key: its value's digest and its expiry.
type Content = (digest::Digest, Option<UnixMillis>);

/// Compares the wanted keys of two states.
pub fn diff(first: &LoadedState, second: &LoadedState, filter: &Filter) -> Difference {
    let mut before: HashMap<(usize, &[u8]), Content> = HashMap::new();
    for (db, entry) in first.entries().filter(|(db, entry)| filter.takes(*db, entry.key())) {
        before.insert((db, entry.key()), (digest::value(entry), entry.expire_at()));
    }
    let mut found = Difference::default();
    for (db, entry) in second.entries().filter(|(db, entry)| filter.takes(*db, entry.key())) {
        let here = || DbKey { db, key: entry.key().to_vec() };
        match before.remove(&(db, entry.key())) {
            None => found.added.push(here()),
            Some((value, expire))
                if value == digest::value(entry) && expire == entry.expire_at() =>
            {
                found.same += 1;
            }
            Some(_) => found.changed.push(here()),
        }
    }
    found.removed.extend(before.into_keys().map(|(db, key)| DbKey { db, key: key.to_vec() }));
    for list in [&mut found.added, &mut found.changed, &mut found.removed] {
        list.sort();
    }
    found
}
