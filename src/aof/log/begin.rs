//! A start on a full disk (P4): a log without a segment, which takes nothing until there is room for one.
//!
//! What was read is served; the state is [`LogState::Full`](super::LogState::Full) from the beginning, so writes are
//! refused, and every [`Log::write`] tries again to add the segment that the start could not add. Until it is listed,
//! durably, the files are as the start found them, apart from old ones that the manifest itself says are of no use.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::record::{Position, Salt};
use super::names::Names;
use super::{Log, LogError, Segment};
use crate::disk::durable::ReplaceError;
use crate::disk::{DiskError, DiskFile, FileView};

/// Adds the first segment; without room for it, the stand-in of one, and why.
pub(super) fn first_segment(
    names: &mut Names,
    old: usize,
) -> Result<(Segment, Option<DiskError>), DiskError> {
    let mut result = names.add_segment();
    if is_full(&result) && !names.gated && names.remove_old(old) {
        result = names.add_segment();
    }
    match result {
        Ok(segment) => {
            names.remove_history();
            Ok((segment, None))
        }
        Err(error) => {
            let error = error.into_inner();
            // A log that has no base yet must write one now, or there is none.
            if !error.is_full() || names.gated {
                return Err(error);
            }
            names.not_on_disk();
            Ok((Segment::stand_in(names.next_seq()), Some(error)))
        }
    }
}

fn is_full(result: &Result<Segment, ReplaceError>) -> bool {
    match result {
        Err(ReplaceError::Unchanged(error) | ReplaceError::Unknown(error)) => error.is_full(),
        Ok(_) => false,
    }
}

impl Log {
    /// Adds the segment that the start had no room for, if that is so. For the thread that also syncs.
    pub(super) fn begin(&self) -> Result<(), LogError> {
        if !self.unbegun.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut names = self.names.lock();
        self.must_not_have_failed()?;
        if !self.unbegun.load(Ordering::Acquire) {
            return Ok(());
        }
        let prepared = {
            let mut pending = self.pending.lock();
            if pending.cut.is_some() {
                // A rewrite found room: its segment is switched to.
                return Ok(());
            }
            pending.prepared.take()
        };
        let segment = match prepared.map_or_else(|| names.add_segment(), Ok) {
            Ok(segment) => segment,
            Err(ReplaceError::Unknown(error)) if !error.is_full() => return Err(self.latch(error)),
            // Nothing has changed but that there may be one more empty segment: tried again.
            Err(error) => return Err(self.note_full(error.into_inner())),
        };
        names.remove_history();
        let mut io = self.io.lock();
        let _serial = self.serial.lock();
        let next = segment.behind(&io.segment, io.segment.proven);
        self.pending.lock().salt = next.salt;
        self.current.lock().file = Arc::clone(&next.file);
        let mut stats = self.stats.lock();
        stats.segments = names.manifest.incrs.len() as u64;
        stats.incr_bytes += next.len;
        drop(stats);
        io.segment = next;
        self.begun();
        Ok(())
    }

    /// There is a segment, if there was none.
    pub(super) fn begun(&self) {
        if self.unbegun.swap(false, Ordering::AcqRel) {
            self.note_room();
        }
    }
}

impl Segment {
    /// What stands for the segment that there was no room for.
    fn stand_in(seq: u64) -> Self {
        Self {
            file: Arc::new(Nowhere),
            seq,
            salt: Salt(0),
            len: 0,
            crc: 0,
            first: true,
            proven: Position::ZERO,
            filled: 0,
            fill_failed: true,
        }
    }

    /// The same as what follows `last`, which is synced up to `proven`.
    pub(super) fn behind(mut self, last: &Self, proven: Position) -> Self {
        self.crc = last.crc;
        self.proven = proven;
        self
    }
}

/// A file that there is no room for.
#[derive(Debug)]
struct Nowhere;

impl DiskFile for Nowhere {
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, DiskError> {
        Ok(0)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<usize, DiskError> {
        Err(DiskError::new("write", "", std::io::ErrorKind::StorageFull.into()))
    }
    fn truncate(&self, _: u64) -> Result<(), DiskError> {
        Ok(())
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        Ok(())
    }
    fn sync_all(&self) -> Result<(), DiskError> {
        Ok(())
    }
    fn len(&self) -> Result<u64, DiskError> {
        Ok(0)
    }
    fn map(&self) -> Result<FileView, DiskError> {
        Ok(FileView::Owned(Vec::new()))
    }
}
