//! What a data set holds, as numbers that do not depend on the order or the form of its keys.

use sha2::{Digest as _, Sha256};

use super::{Item, Sink};
use crate::keyspace::{ValueRef, digest};

/// Sums up what passes.
#[derive(Debug, Default, Clone)]
pub struct Sum {
    values: digest::Sum,
    /// Times of keys and fields, and functions, of which the digest knows little or nothing.
    rest: [u8; 32],
    keys: u64,
}

impl Sum {
    /// What DEBUG DIGEST says of a server that holds the same.
    pub fn digest(&self) -> String {
        digest::hex(&self.values.digest())
    }

    /// Whether the other data set has the same keys, values, times and functions.
    pub fn same(&self, other: &Self) -> bool {
        (self.keys, self.rest, self.values.digest())
            == (other.keys, other.rest, other.values.digest())
    }

    fn fold(&mut self, parts: &[&[u8]]) {
        let mut one = Sha256::new();
        for part in parts {
            one.update((part.len() as u64).to_le_bytes());
            one.update(part);
        }
        for (byte, other) in self.rest.iter_mut().zip(one.finalize()) {
            *byte ^= other;
        }
    }
}

impl Sink for Sum {
    fn function(&mut self, source: &[u8]) -> Result<(), String> {
        self.fold(&[b"function", source]);
        Ok(())
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        let key = item.entry.key();
        let db = item.db.to_le_bytes();
        self.keys += 1;
        self.values.add(item.db, item.entry);
        if let Some(at) = item.entry.expire_at() {
            self.fold(&[b"key", &db, key, &at.to_le_bytes()]);
        }
        if let ValueRef::Hash(hash) = item.entry.value()
            && hash.earliest_expire().is_some()
        {
            for (field, _, time) in hash.iter_with_expire() {
                if let Some(time) = time {
                    field.with_bytes(|field| {
                        self.fold(&[b"field", &db, key, field, &time.to_le_bytes()]);
                    });
                }
            }
        }
        Ok(())
    }
}
