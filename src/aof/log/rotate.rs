//! Rotation to a new segment, and the change to a new base.
//!
//! The order of disk operations (`format-spec/manifest.md`, section 4): new segment created, header synced,
//! directory synced; manifest that lists it, durable; cut, under the engine's lock; old segment
//! synced to the cut; first frame of the new one. Later: base written and synced under a temporary name,
//! renamed; manifest that lists the new base and the segments from the cut on, durable; old files removed.
//! So at every instant the durable manifest names a base and all segments since.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::filename::BaseFormat;
use super::super::manifest::Content;
use super::super::record::Position;
use super::{Cut, HEADROOM, Log, LogError, LogState};
use crate::disk::durable::ReplaceError;

/// The point at which memory and log are cut: a snapshot of memory at it and the segments from
/// `incr_seq` on make up the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutPoint {
    /// The position of the cut.
    pub position: Position,
    /// The number of the segment that starts there.
    pub incr_seq: u64,
}

/// Where a base for a cut is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBase {
    /// The cut that it is a snapshot of.
    pub cut: CutPoint,
    /// Its number.
    pub seq: u64,
    /// The path to write and sync it at; `install_base` renames it.
    pub temp_path: String,
    /// Its name in the log directory once it is installed.
    pub name: String,
    /// What was written, for the manifest to say.
    pub content: Option<Content>,
}

/// What installing a base left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseInstalled {
    /// Old files that could not be removed; they are tried again with the next base and at start.
    pub history_left: usize,
}

impl Log {
    /// Creates the segment that the next [`cut`](Self::cut) switches to; slow, without the engine's lock.
    ///
    /// On error nothing has changed, except that the log is latched when it is not known which
    /// manifest a power loss would leave. Also works, and is needed, when the log is latched.
    pub fn prepare_rotation(&self) -> Result<(), LogError> {
        let mut names = self.names.lock();
        {
            // A cut that was not reached yet, or an unused segment, serves again.
            let pending = self.pending.lock();
            if pending.cut.is_some() || pending.prepared.is_some() {
                return Ok(());
            }
        }
        let segment = names.add_segment().map_err(|error| self.name_error(error))?;
        let mut stats = self.stats.lock();
        stats.segments = names.manifest.incrs.len() as u64;
        stats.incr_bytes += segment.len;
        drop(stats);
        self.pending.lock().prepared = Some(segment);
        Ok(())
    }

    /// Cuts the log here: what was appended before goes to the old segment, the rest to the prepared one.
    ///
    /// Call it under the engine's lock, so that memory is cut at the same point. Does not touch the
    /// disk; the next [`write`](Self::write) does the rest. A second cut before that moves the first.
    pub fn cut(&self) -> Result<CutPoint, LogError> {
        let mut pending = self.pending.lock();
        let moved = pending.cut.take().map(|cut| cut.segment);
        let segment = match moved {
            Some(segment) => segment,
            None => pending.prepared.take().ok_or(LogError::NotPrepared)?,
        };
        let point = CutPoint { position: pending.position, incr_seq: segment.seq };
        pending.selected_db = None;
        self.selects_zero.store(false, Ordering::Relaxed);
        pending.last_cut = point;
        pending.salt = segment.salt;
        pending.cut = Some(Cut { at: pending.len(), position: point.position, segment });
        Ok(point)
    }

    /// The start of this log as a cut: for a base that holds exactly what was loaded before it.
    pub fn start_point(&self) -> CutPoint {
        self.start_point
    }

    /// Names for the base that is to be written for `cut`.
    pub fn new_base(&self, cut: CutPoint, format: BaseFormat) -> NewBase {
        self.names.lock().new_base(cut, format)
    }

    /// Makes `base`, written and synced at its temporary path, the base of the log, and removes what is
    /// older. What was appended before its cut counts as synced from then on. A failure (or full disk) that
    /// came before the new segment was reached is over; check [`state`](Self::state). Do not cut while it runs.
    pub fn install_base(&self, base: &NewBase) -> Result<BaseInstalled, LogError> {
        let mut names = self.names.lock();
        if self.pending.lock().last_cut != base.cut {
            return Err(LogError::StaleCut);
        }
        let len = self.disk.file_len(&base.temp_path);
        let len = len.map_err(|error| LogError::Disk(Arc::new(error)))?.unwrap_or(0);
        names.list_base(base).map_err(|error| self.name_error(error))?;
        self.follow_base(base.cut);
        let history_left = names.remove_history();
        let incr_bytes = names.incr_bytes();
        let mut stats = self.stats.lock();
        stats.rewrites += 1;
        stats.base_bytes = len;
        stats.incr_bytes = incr_bytes;
        stats.segments = names.manifest.incrs.len() as u64;
        Ok(BaseInstalled { history_left })
    }

    fn name_error(&self, error: ReplaceError) -> LogError {
        match error {
            ReplaceError::Unchanged(error) => LogError::Disk(Arc::new(error)),
            ReplaceError::Unknown(error) => self.latch(error),
        }
    }

    /// Lets a durable base take effect: what was not written before its cut is dropped, because the
    /// base holds it, and with it the failure that kept it from being written.
    fn follow_base(&self, base: CutPoint) {
        let mut io = self.io.lock();
        let _serial = self.serial.lock();
        let mut pending = self.pending.lock();
        let mut current = self.current.lock();
        let waiting = pending
            .cut
            .take_if(|cut| cut.segment.seq == base.incr_seq && cut.position == base.position);
        if let Some(Cut { at, segment, .. }) = waiting {
            pending.buffer.drain(HEADROOM..HEADROOM + at);
            io.frame = None;
            io.buffer.truncate(HEADROOM);
            let segment = segment.behind(&io.segment, base.position);
            current.file = Arc::clone(&segment.file);
            current.written = base.position;
            current.synced = base.position;
            current.note_all_synced();
            self.unsynced_since.store(0, Ordering::Release);
            io.segment = segment;
            self.unbegun.store(false, Ordering::Release);
            let mut cause = self.cause.lock();
            *cause = None;
            self.state.store(LogState::Ready as u8, Ordering::Release);
        }
        current.gated = false;
        if self.state() != LogState::Failed {
            current.synced = current.synced.max(base.position);
            self.written.store(current.written.0, Ordering::Release);
            self.synced.store(current.synced.0, Ordering::Release);
        }
    }
}
