//! MAXCOUNT and MAXSIZE of XREAD and XREADGROUP (Redis 8.10): what one reply may have of all its streams.
//!
//! Bytes are those of the protocol, but for the headers of lists, whose count comes after their entries.

use super::{Entry, StreamId, reply_entry};
use crate::resp::Reply;
use crate::resp::encode::Deferred;

/// What may still be written of all streams together.
pub(super) struct Budget {
    entries_left: usize,
    /// Up to where the reply may grow, and whether it has an entry yet: the first may be of any size.
    end: usize,
    has_entry: bool,
}

impl Budget {
    /// Of a reply that begins here: so many entries at most, and none once it has so many bytes.
    pub(super) fn new(reply: &Reply, entries: usize, bytes: usize) -> Self {
        Self { entries_left: entries, end: reply.len().saturating_add(bytes), has_entry: false }
    }

    pub(super) fn entries_left(&self) -> usize {
        self.entries_left
    }

    pub(super) fn is_spent(&self, reply: &Reply) -> bool {
        self.entries_left == 0 || self.has_entry && reply.len() >= self.end
    }

    /// Puts the header in front of a list of entries. It does not count, as in Redis.
    pub(super) fn end_array(&mut self, reply: &mut Reply, at: Deferred, len: usize) {
        let before = reply.len();
        reply.end_array(at, len);
        self.end = self.end.saturating_add(reply.len() - before);
    }

    /// Notes that an entry is written.
    pub(super) fn spend(&mut self) {
        self.entries_left = self.entries_left.saturating_sub(1);
        self.has_entry = true;
    }
}

/// Writes a list of entries as far as the budget goes, and shows `each` the id of what is written.
pub(super) fn reply_within<'a>(
    reply: &mut Reply,
    budget: &mut Budget,
    entries: impl Iterator<Item = Entry<'a>>,
    mut each: impl FnMut(StreamId),
) {
    let start = reply.defer();
    let mut count = 0;
    for entry in entries {
        if budget.is_spent(reply) {
            break;
        }
        each(entry.id);
        reply_entry(reply, entry);
        budget.spend();
        count += 1;
    }
    budget.end_array(reply, start, count);
}
