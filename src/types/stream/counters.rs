//! How far a group is behind, as far as counters can tell.
//!
//! A stream counts the entries ever added, a group those it has read; the difference is what it has
//! still to read, unless entries in between were deleted by name. The cases and their order are those
//! of Redis 7.2 and later, since clients see the result of each.

use super::{Group, Stream, StreamId};

/// The counter of a group is not known.
const UNKNOWN: i64 = -1;

impl Stream {
    /// Entries that a group has still to read; `None` when that is not known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.added();
        if self.entries_added == 0 || self.length == 0 {
            return Some(0);
        }
        let first = self.first_id();
        if group.last_id < first && self.max_deleted_id < first {
            return Some(self.length.cast_signed());
        }
        if group.entries_read != UNKNOWN && !self.has_tombstone_from(group.last_id) {
            return Some(added.wrapping_sub(group.entries_read));
        }
        match self.estimate_entries_read(group.last_id) {
            UNKNOWN => None,
            read => Some(added.wrapping_sub(read)),
        }
    }

    /// The number of the entry with this id among all that were ever added; -1 when that is not
    /// known, or when what XSETID or a dump said of all is less than there are.
    pub fn estimate_entries_read(&self, id: StreamId) -> i64 {
        self.count_up_to(id).max(UNKNOWN)
    }

    fn count_up_to(&self, id: StreamId) -> i64 {
        let added = self.added();
        if self.entries_added == 0 {
            return 0;
        }
        if self.length == 0 && id <= self.last_id {
            return added;
        }
        if id != StreamId::MIN && id < self.max_deleted_id {
            return UNKNOWN;
        }
        if id == self.last_id {
            return added;
        }
        if id > self.last_id {
            return UNKNOWN;
        }
        let first = self.first_id();
        if self.max_deleted_id == StreamId::MIN || self.max_deleted_id < first {
            let before_first = added.wrapping_sub(self.length.cast_signed());
            if id < first {
                return before_first;
            }
            if id == first {
                return before_first.wrapping_add(1);
            }
        }
        UNKNOWN
    }

    /// Moves a group on to these entries, in order, as far as they are above its last one; true when
    /// one was.
    pub fn advance(&mut self, name: &[u8], ids: &[StreamId]) -> bool {
        let Some(group) = self.group(name) else { return false };
        let before = group.last_id;
        let (mut last_id, mut read) = (before, group.entries_read);
        for id in ids.iter().copied().filter(|id| *id > before) {
            let countable =
                read != UNKNOWN && last_id >= self.first_id() && !self.has_tombstone_from(last_id);
            if countable {
                read = read.saturating_add(1);
            } else if self.entries_added > 0 {
                read = self.estimate_entries_read(id);
            }
            last_id = id;
        }
        if let Some(group) = self.group_mut(name) {
            (group.last_id, group.entries_read) = (last_id, read);
        }
        last_id > before
    }

    /// Whether an entry from `start` on was deleted by name.
    fn has_tombstone_from(&self, start: StreamId) -> bool {
        self.length > 0
            && self.max_deleted_id != StreamId::MIN
            && self.first_id() <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    fn added(&self) -> i64 {
        i64::try_from(self.entries_added).unwrap_or(i64::MAX)
    }
}
