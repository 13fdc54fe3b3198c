//! Values that went: replaced, expired, removed by a command that does not want them.
//!
//! To free millions of elements takes seconds, which nobody is to wait for. So what is large is not dropped where it goes
//! but left here, and the engine gives it to the reclaim thread at the end of the unit. Nobody finds it any more.

use super::{Entry, Keyspace};

/// Values are freed on another thread from this size on.
pub const LARGE_BYTES: usize = 64 * 1024;
/// What takes more allocations than these is dear to free, in Redis' eyes.
pub const LAZY_ALLOCATIONS: usize = 64;

/// Why a value went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// Its time was over (`lazyfree-lazy-expire`).
    Expired,
    /// A command put another value in its place, or removed it on the way (`lazyfree-lazy-server-del`).
    Replaced,
}

impl Keyspace {
    /// Removes a key, expired or not; whether it was there.
    pub fn discard(&mut self, db: usize, key: &[u8]) -> bool {
        let entry = self.remove(db, key);
        self.retire_some(entry, Retired::Replaced)
    }

    /// Removes a key that was given a time which is over; whether it was there.
    pub fn discard_overdue(&mut self, db: usize, key: &[u8]) -> bool {
        let entry = self.remove(db, key);
        self.retire_some(entry, Retired::Expired)
    }

    /// Puts an entry under its key; whether there was one before.
    pub fn replace(&mut self, db: usize, entry: Entry) -> bool {
        let entry = self.insert(db, entry);
        self.retire_some(entry, Retired::Replaced)
    }

    #[inline]
    fn retire_some(&mut self, entry: Option<Entry>, why: Retired) -> bool {
        let was_there = entry.is_some();
        if let Some(entry) = entry {
            self.retire(entry, why);
        }
        was_there
    }

    /// Drops what is small and does not count.
    pub(super) fn retire(&mut self, entry: Entry, why: Retired) {
        if entry.memory_bytes() >= LARGE_BYTES || entry.allocations() > LAZY_ALLOCATIONS {
            self.retired.push((entry, why));
        }
    }

    /// What is large and waits to be freed.
    pub fn take_retired(&mut self) -> Vec<(Entry, Retired)> {
        std::mem::take(&mut self.retired)
    }

    /// Whether something waits to be freed.
    #[inline]
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }
}
