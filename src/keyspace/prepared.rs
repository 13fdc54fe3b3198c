//! Entries that are made outside, to be put in by whoever holds the keyspace.
//!
//! A load makes them in several threads. Everything that putting one in wants to know stands beside
//! the pointer, so that the one thread that does it does not wait for the block's memory.

use super::{Entry, earliest_field};
use crate::clock::UnixMillis;
use crate::types::table::Slot as _;

/// An entry, and what the keyspace notes of it.
#[derive(Debug)]
pub struct Prepared {
    pub(super) entry: Entry,
    pub(super) hash: u64,
    pub(super) expiry: Option<UnixMillis>,
    pub(super) field_expiry: Option<UnixMillis>,
}

impl Prepared {
    /// This entry, with its stamp of use.
    #[inline]
    pub fn new(entry: Entry) -> Self {
        let (hash, expiry) = (entry.hash(), entry.expire_at());
        let field_expiry = earliest_field(&entry);
        Self { entry, hash, expiry, field_expiry }
    }

    /// The hash of the key.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.entry.key()
    }
}
