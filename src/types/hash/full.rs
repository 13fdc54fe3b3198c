//! The large form of a hash: a table of fields, and beside it the times at which fields expire.
//!
//! Most hashes have no expiring field and pay nothing for the feature: the index exists only while
//! there is one. It holds (time, hash of the field), so the table finds the field again in the one
//! segment that the hash leads to. Two fields with the same time and the same 64-bit hash would
//! share a place in it; then one of them waits for the other's next change to leave.

use std::collections::BTreeSet;

use crate::types::hash64::hash64;
use crate::types::table::Table;
use crate::types::thin::ThinPair;

#[derive(Clone, Default)]
pub(super) struct Full {
    pub(super) table: Table<ThinPair>,
    /// (unix time in ms, hash of the field) of every field that expires.
    #[expect(clippy::box_collection, reason = "a word in the many hashes without it")]
    times: Option<Box<BTreeSet<(u64, u64)>>>,
    /// Bytes of all blocks.
    block_bytes: usize,
}

impl Full {
    pub(super) fn with_expected(expected: usize) -> Self {
        let mut full = Self::default();
        full.table.reserve(expected);
        full
    }

    pub(super) fn find(&self, field: &[u8]) -> Option<&ThinPair> {
        self.table.find(hash64(field), field)
    }

    /// Sets a value; `expire` makes the field's new time of its old one. Whether the field is new.
    pub(super) fn insert(
        &mut self,
        field: &[u8],
        value: &[u8],
        expire: impl FnOnce(Option<u64>) -> Option<u64>,
    ) -> bool {
        let hash = hash64(field);
        match self.table.find_mut(hash, field) {
            Some(pair) => {
                let old = pair.expire();
                let new = expire(old);
                self.block_bytes -= pair.memory_bytes();
                pair.set_expire(new);
                pair.set_value(value);
                self.block_bytes += pair.memory_bytes();
                self.note_time(hash, old, new);
                false
            }
            None => {
                let new = expire(None);
                let pair = ThinPair::new(field, value, new);
                self.block_bytes += pair.memory_bytes();
                self.table.insert_new(hash, pair);
                self.note_time(hash, None, new);
                true
            }
        }
    }

    /// Gives a field another time or none; whether the field exists.
    pub(super) fn set_expire(&mut self, field: &[u8], expire: Option<u64>) -> bool {
        let hash = hash64(field);
        let Some(pair) = self.table.find_mut(hash, field) else { return false };
        let old = pair.expire();
        if old != expire {
            self.block_bytes -= pair.memory_bytes();
            pair.set_expire(expire);
            self.block_bytes += pair.memory_bytes();
            self.note_time(hash, old, expire);
        }
        true
    }

    pub(super) fn remove(&mut self, field: &[u8]) -> Option<ThinPair> {
        let hash = hash64(field);
        let pair = self.table.remove(hash, field)?;
        self.block_bytes -= pair.memory_bytes();
        self.note_time(hash, pair.expire(), None);
        Some(pair)
    }

    pub(super) fn earliest_expire(&self) -> Option<u64> {
        self.times.as_ref()?.first().map(|&(time, _)| time)
    }

    pub(super) fn expiring_len(&self) -> usize {
        self.times.as_ref().map_or(0, |times| times.len())
    }

    /// Removes up to `max` fields whose time is before `now`, earliest first, and shows them.
    pub(super) fn take_expired(
        &mut self,
        now: u64,
        max: usize,
        sink: &mut dyn FnMut(&ThinPair),
    ) -> usize {
        let mut taken = 0;
        while taken < max {
            let first = self.times.as_ref().and_then(|times| times.first().copied());
            let Some((time, hash)) = first.filter(|&(time, _)| time < now) else { break };
            let due =
                |pair: &&ThinPair| pair.expire() == Some(time) && hash64(pair.field()) == hash;
            let found = self.table.segment_at(hash).entries().find(due);
            let field = found.map(|pair| pair.field().to_vec());
            match field {
                Some(field) => {
                    if let Some(pair) = self.remove(&field) {
                        sink(&pair);
                        taken += 1;
                    }
                }
                None => self.note_time(hash, Some(time), None),
            }
        }
        taken
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A B-tree's nodes are about two thirds full and have some words of their own.
        let times = self.expiring_len() * size_of::<(u64, u64)>() * 7 / 4;
        size_of::<Self>() + self.table.memory_bytes() + self.block_bytes + times
    }

    fn note_time(&mut self, hash: u64, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        let times = self.times.get_or_insert_default();
        if let Some(old) = old {
            times.remove(&(old, hash));
        }
        if let Some(new) = new {
            times.insert((new, hash));
        }
        if times.is_empty() {
            self.times = None;
        }
    }
}
