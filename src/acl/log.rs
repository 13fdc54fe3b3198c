//! ACL LOG: what was denied lately, newest first. The same denial within a minute is one entry with a count.

use std::collections::VecDeque;

use super::{Context, Reason};
use crate::clock::UnixMillis;

/// How many of the newest entries a denial is compared with.
const COMPARED: usize = 10;
/// Denials further apart than this are different entries.
const SAME_WITHIN_MS: u64 = 60_000;

/// One denial, or several that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    pub reason: Reason,
    pub context: Context,
    pub object: Vec<u8>,
    pub username: Vec<u8>,
    /// The client as CLIENT LIST shows it, at the last denial.
    pub client: Vec<u8>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}

impl Entry {
    fn is_like(&self, other: &Self) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && self.updated_at.abs_diff(other.updated_at) <= SAME_WITHIN_MS
            && self.object == other.object
            && self.username == other.username
    }
}

/// The log.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<Entry>,
    /// Numbers go on after a reset.
    next_id: u64,
}

impl AclLog {
    /// Newest first.
    pub fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// Forgets all entries.
    pub fn reset(&mut self) {
        self.entries.clear();
    }

    /// Adds a denial, or counts it with one like it; drops the oldest beyond `len_max`.
    pub fn note(&mut self, mut entry: Entry, len_max: u64) {
        let len_max = usize::try_from(len_max).unwrap_or(usize::MAX);
        if len_max == 0 {
            self.entries.clear();
            return;
        }
        let like = self.entries.iter().take(COMPARED).position(|known| known.is_like(&entry));
        if let Some(known) = like.and_then(|at| self.entries.remove(at)) {
            entry.id = known.id;
            entry.count = known.count + 1;
            entry.created_at = known.created_at;
            self.entries.push_front(entry);
        } else {
            entry.id = self.next_id;
            self.next_id += 1;
            self.entries.push_front(entry);
            self.entries.truncate(len_max);
        }
    }
}
