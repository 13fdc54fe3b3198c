//! Walking over keys: SCAN's cursor and the full walks of KEYS, DEBUG DIGEST and sampling.

use super::{Entry, Keyspace};

impl Keyspace {
    /// Visits about `count` entries from `cursor` on (0 starts) and returns the next cursor (0: done).
    /// Every key that is there from the start to the end of a full scan is visited. Expired keys are
    /// visited too: the caller leaves them out, and removes them if it likes.
    pub fn scan(&self, db: usize, cursor: u64, count: usize, mut visit: impl FnMut(&Entry)) -> u64 {
        self.dbs.get(db).map_or(0, |db| db.table.scan(cursor, count, &mut visit))
    }

    /// All entries of a database in no particular order, expired ones included.
    pub fn entries(&self, db: usize) -> impl Iterator<Item = &Entry> {
        self.dbs.get(db).into_iter().flat_map(|db| db.table.iter())
    }

    /// Segments of a database's table, and bytes it has allocated without those of entries.
    pub fn table_figures(&self, db: usize) -> (usize, usize) {
        let table = self.dbs.get(db).map(|db| &db.table);
        table.map_or((0, 0), |table| (table.segment_count(), table.memory_bytes()))
    }

    /// Whether an entry counts as gone at the time of the running unit.
    pub fn is_expired(&self, entry: &Entry) -> bool {
        self.time_passes() && entry.expire_at().is_some_and(|at| self.now > at)
    }
}
