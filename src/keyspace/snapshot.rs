//! The keyspace's side of a point-in-time snapshot: whose segment is saved, who saves it, when.
//!
//! A snapshot has a number. Each segment of a table carries the number of the last snapshot that has
//! it. A walk saves segment after segment under the lock, a few at a time; a writer that comes to a
//! segment first saves it before it changes it (`before_write`). So every segment is saved exactly once,
//! as it was at the start, and nobody waits for more than one segment. A table that FLUSHALL takes away
//! is kept here until it is saved. SWAPDB moves tables; they are saved under their number at the start.

use super::{Db, Entry, Keyspace, SegmentMeta};
#[cfg(any(test, feature = "sim"))]
use crate::disk::sim::canary;
use crate::types::table::Table;

/// Receives the entries of a snapshot, one segment at a time.
pub trait SegmentSink: Send + std::fmt::Debug {
    /// Takes the entries of one segment of database `db`; in whatever order segments come.
    /// They are shown to be shared, not to be changed.
    fn save(&mut self, db: usize, entries: &mut dyn Iterator<Item = &mut Entry>);
    /// Gives the sink back as `Any`, for whoever started the snapshot.
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}

/// A snapshot under way.
pub struct Running {
    number: u64,
    sink: Box<dyn SegmentSink>,
    /// Where the walk is: number of the database at the start, position in its hash order.
    db: usize,
    cursor: Option<u64>,
    /// Tables taken away by FLUSHALL, with the database they are saved under and the walk's place.
    kept: Vec<(usize, Table<Entry, SegmentMeta>, u64)>,
    /// Those of them that are saved: to be dropped by somebody who does not hold the lock.
    saved: Vec<Table<Entry, SegmentMeta>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Running {
    /// Keeps a table that is no longer part of the keyspace until it has been walked.
    pub(super) fn keep(&mut self, saved_as: usize, table: Table<Entry, SegmentMeta>) {
        self.kept.push((saved_as, table, 0));
    }
}

impl Keyspace {
    /// Starts a snapshot of the state as it is now. False when one is running.
    pub fn snapshot_start(&mut self, sink: Box<dyn SegmentSink>) -> bool {
        if self.snapshot.is_some() {
            return false;
        }
        self.snapshots_started += 1;
        for (index, db) in self.dbs.iter_mut().enumerate() {
            db.saved_as = index;
        }
        let number = self.snapshots_started;
        let (kept, saved) = (Vec::new(), Vec::new());
        self.snapshot = Some(Running { number, sink, db: 0, cursor: Some(0), kept, saved });
        true
    }

    /// Saves up to `segments` further segments. True when every segment is saved.
    pub fn snapshot_step(&mut self, segments: usize) -> bool {
        let Some(running) = self.snapshot.as_mut() else { return true };
        for _ in 0..segments {
            if let Some((saved_as, table, cursor)) = running.kept.last_mut() {
                let next =
                    save_at(running.number, running.sink.as_mut(), *saved_as, table, *cursor);
                match next {
                    Some(next) => *cursor = next,
                    None => running.saved.extend(running.kept.pop().map(|(_, table, _)| table)),
                }
                continue;
            }
            // By the number that it had at the start: SWAPDB moves what is saved and what is not.
            let Some(db) = self.dbs.iter_mut().find(|db| db.saved_as == running.db) else {
                return true;
            };
            let Some(cursor) = running.cursor else {
                running.db += 1;
                running.cursor = Some(0);
                continue;
            };
            let Db { table, saved_as, .. } = db;
            running.cursor =
                save_at(running.number, running.sink.as_mut(), *saved_as, table, cursor);
        }
        false
    }

    /// Runs `f` on the running snapshot's sink.
    pub fn snapshot_sink<R>(&mut self, f: impl FnOnce(&mut dyn SegmentSink) -> R) -> Option<R> {
        self.snapshot.as_mut().map(|running| f(running.sink.as_mut()))
    }

    /// Ends the snapshot, finished or not; the sink comes back with what it has.
    pub fn snapshot_end(&mut self) -> Option<Box<dyn SegmentSink>> {
        let running = self.snapshot.take()?;
        self.flushed.extend(running.saved);
        self.flushed.extend(running.kept.into_iter().map(|(_, table, _)| table));
        Some(running.sink)
    }

    /// The tables that FLUSHALL took away during a snapshot and that it needs no more: dropping millions of
    /// keys is not done under the lock.
    pub fn take_flushed(&mut self) -> Vec<Table<Entry, SegmentMeta>> {
        let saved = self.snapshot.as_mut().map(|running| std::mem::take(&mut running.saved));
        self.flushed.extend(saved.unwrap_or_default());
        std::mem::take(&mut self.flushed)
    }

    /// Whether a snapshot is running.
    pub fn snapshot_running(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Saves the segment that holds `hash` if a running snapshot does not have it yet.
    #[inline]
    pub(super) fn before_write(&mut self, db: usize, hash: u64) {
        #[cfg(any(test, feature = "sim"))]
        if canary::planted(canary::Canary::LateSnapshot) {
            return;
        }
        if self.snapshot.is_some() {
            self.save_segment(db, hash);
        }
    }

    #[cold]
    fn save_segment(&mut self, db: usize, hash: u64) {
        let (Some(running), Some(db)) = (self.snapshot.as_mut(), self.dbs.get_mut(db)) else {
            return;
        };
        save_at(running.number, running.sink.as_mut(), db.saved_as, &mut db.table, hash);
    }
}

/// Saves the segment that holds a position of the hash order, unless the snapshot has it, and says
/// where the next one is.
fn save_at(
    number: u64,
    sink: &mut dyn SegmentSink,
    saved_as: usize,
    table: &mut Table<Entry, SegmentMeta>,
    position: u64,
) -> Option<u64> {
    let (meta, mut entries, next) = table.segment_at_mut(position);
    if meta.snapshot < number {
        meta.snapshot = number;
        sink.save(saved_as, &mut entries);
    }
    next
}
