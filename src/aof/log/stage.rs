//! Units that are appended together: the writes of a pipeline, under one hold of the log's lock instead of one each.
//!
//! Between the engine and the pending buffer. Who stages holds the engine's lock, and appends what is staged before letting
//! go of it and before anything else is appended or the log is cut; so nobody sees the difference but the processor. Only
//! units that need no words around them are staged: one record, in the database that a loader has selected, which nobody
//! who writes frames changes as long as it is 0. Nothing here fails; a reply that waits for a staged unit waits until it is
//! appended and written, as for any other.

use std::sync::atomic::Ordering;

use super::{Log, Position, UnitBuffer};

/// More bytes than that are not staged: they would only be copied once more.
const STAGED_MAX: usize = 32 << 10;

/// Units of one record each in database 0, one behind the other.
#[derive(Debug, Default)]
pub struct Staged {
    bytes: Vec<u8>,
}

impl Log {
    /// Puts a unit behind those that are staged, and says where it will end; `None` if it must be appended on its own.
    #[inline]
    pub fn stage(&self, unit: &UnitBuffer, staged: &mut Staged) -> Option<Position> {
        let bytes = unit.bytes();
        let fits = staged.bytes.len() + bytes.len() <= STAGED_MAX;
        if !(fits && unit.only_db() == Some(0) && self.selects_zero.load(Ordering::Relaxed)) {
            return None;
        }
        staged.bytes.extend_from_slice(bytes);
        let position = self.appended().after(staged.bytes.len());
        self.tell(position, unit);
        Some(position)
    }

    /// Appends what is staged, and leaves nothing.
    #[inline]
    pub fn append_staged(&self, staged: &mut Staged) {
        if staged.bytes.is_empty() {
            return;
        }
        let mut pending = self.pending.lock();
        pending.buffer.extend_from_slice(&staged.bytes);
        pending.position = pending.position.after(staged.bytes.len());
        self.appended.store(pending.position.0, Ordering::Release);
        staged.bytes.clear();
    }
}
