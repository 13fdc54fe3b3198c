//! What clients are told of evictions (invalidations, events), on its way from the engine to the socket.
//!
//! It is memory, and more than the keys that went gave back if many clients are told. If it counted against
//! `maxmemory`, keys would go for it, of which clients would be told, until none is left. So each such message
//! carries an [`EvictionNotice`], from where it is written to where the last byte of its outbox is sent: their
//! sum is what does not count ([`NoticesUnderway`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory of a message beside its bytes, about: allocations, the place in queues.
const OVERHEAD: u64 = 64;

/// What all notices hold that are not sent.
#[derive(Debug, Default)]
pub struct NoticesUnderway {
    sum: Arc<AtomicU64>,
    /// The sum when memory was counted last, and all that came since: what was sent since is still in that count.
    counted: u64,
}

impl NoticesUnderway {
    /// Memory of them that is in the last count of memory or came since, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.counted
    }

    /// Memory is about to be counted. What leaves between this and that is taken for counted, which errs on the
    /// side of the keys.
    pub fn recount(&mut self) {
        self.counted = self.sum.load(Ordering::Acquire);
    }

    /// The notice for a message of `len` bytes: once in the mail, and in a buffer that grows by doubling.
    pub fn add(&mut self, len: usize) -> EvictionNotice {
        let bytes = 3 * len as u64 + OVERHEAD;
        self.sum.fetch_add(bytes, Ordering::Relaxed);
        self.counted += bytes;
        EvictionNotice { bytes, sum: Arc::clone(&self.sum) }
    }
}

/// A message's part of the sum; it leaves the sum when it is dropped, after the message's memory.
#[derive(Debug)]
pub struct EvictionNotice {
    bytes: u64,
    sum: Arc<AtomicU64>,
}

impl EvictionNotice {
    /// Makes one of two messages of the same outbox.
    pub fn merge(into: &mut Option<Self>, other: Option<Self>) {
        match (into.as_mut(), other) {
            (Some(into), Some(mut other)) => into.bytes += std::mem::take(&mut other.bytes),
            (None, other) => *into = other,
            (Some(_), None) => {}
        }
    }
}

impl Drop for EvictionNotice {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_of_what_is_not_sent() {
        let mut notices = NoticesUnderway::default();
        let mut held = Some(notices.add(100));
        let one = notices.memory_bytes();
        assert!(one >= 100);
        EvictionNotice::merge(&mut held, Some(notices.add(100)));
        EvictionNotice::merge(&mut held, None);
        assert_eq!(notices.memory_bytes(), 2 * one);
        drop(held);
        assert_eq!(notices.memory_bytes(), 2 * one, "the count of memory has them");
        notices.recount();
        assert_eq!(notices.memory_bytes(), 0);
    }
}
