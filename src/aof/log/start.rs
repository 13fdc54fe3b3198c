//! The start of a log, behind what recovery found.
//!
//! A start always begins a new segment: nothing is ever written behind an end that was read from the page
//! cache, and a salt is never used by two processes. Segments without content are dropped, so
//! restarts without writes leave no files behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};

use parking_lot::Mutex;

use super::super::filename::FileNames;
use super::super::manifest::Manifest;
use super::super::reader::Link;
use super::super::record::Position;
use super::begin::first_segment;
use super::names::Names;
use super::settle::Unsettled;
use super::{Current, CutPoint, HEADROOM, Io, Kept, Log, LogError, LogState, LogStats, Pending};
use crate::clock::Clock;
use crate::disk::SharedDisk;
use crate::rng::Rng;

/// What the new log continues.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The manifest; empty where there is none.
    pub manifest: Manifest,
    /// Segments of the manifest from this index on have no content and are dropped.
    pub incrs_kept: usize,
    /// The position behind everything that was loaded.
    pub position: Position,
    /// The same without what a Redis server appended behind the frames of the last segment with content.
    pub reached: Position,
    /// The end of the last segment with content; the default where there is none.
    pub link: Link,
    /// Bytes of the base and of the kept segments, for the statistics.
    pub base_bytes: u64,
    /// See `base_bytes`.
    pub incr_bytes: u64,
    /// The data set in memory is not on the disk as this manifest has it (it came from elsewhere, or the log was
    /// off): the manifest is not written and no position published before a base is installed.
    pub gated: bool,
    /// Old segments that stay.
    pub kept: Kept,
    /// What there was no room for before.
    pub unsettled: Unsettled,
}

impl Log {
    /// Starts the log with a new segment behind `recovered`.
    ///
    /// The last segment with content must have been cut and synced before ([`settle`](super::settle())), or be in
    /// `unsettled`. On a full disk the log begins without a segment, in the state that says so.
    pub fn start(
        disk: SharedDisk,
        clock: Arc<dyn Clock>,
        salts: Box<dyn Rng>,
        files: FileNames,
        recovered: Recovered,
    ) -> Result<Self, LogError> {
        let fail = |error| LogError::Disk(Arc::new(error));
        let Recovered { mut manifest, position, link, gated, kept: old_kept, .. } = recovered;
        let (kept, old) = (recovered.incrs_kept.min(manifest.incrs.len()), manifest.history.len());
        let empty = manifest.incrs.split_off(kept);
        manifest.history.extend(empty);
        if recovered.reached == position {
            note_end(&mut manifest, position);
        }
        let mut names = Names::new(Arc::clone(&disk), files.clone(), manifest, link.salt, salts)
            .map_err(fail)?;
        names.gated = gated;
        names.kept = old_kept;
        names.unsettled = Some(recovered.unsettled);
        let (mut segment, full) = first_segment(&mut names, old).map_err(fail)?;
        segment.crc = link.crc.unwrap_or(0);
        segment.proven = position;
        let stats = LogStats {
            base_bytes: recovered.base_bytes,
            incr_bytes: recovered.incr_bytes + segment.len,
            segments: names.manifest.incrs.len() as u64,
            ..LogStats::default()
        };
        let state = if full.is_some() { LogState::Full } else { LogState::Ready };
        let file = Arc::clone(&segment.file);
        let salt = if full.is_some() { link.salt } else { segment.salt };
        let start_point = CutPoint { position, incr_seq: segment.seq };
        Ok(Self {
            disk,
            clock,
            files,
            start_point,
            names: Mutex::new(names),
            io: Mutex::new(Io { segment, buffer: vec![0; HEADROOM], frame: None }),
            serial: Mutex::new(()),
            current: Mutex::new(Current {
                file,
                written: position,
                synced: position,
                gated,
                unsynced_since: None,
                syncing_since: None,
            }),
            pending: Mutex::new(Pending {
                buffer: vec![0; HEADROOM],
                position,
                selected_db: None,
                salt,
                prepared: None,
                last_cut: start_point,
                cut: None,
            }),
            appended: AtomicU64::new(position.0),
            selects_zero: AtomicBool::new(false),
            written: AtomicU64::new(position.0),
            synced: AtomicU64::new(position.0),
            syncing: AtomicBool::new(false),
            unsynced_since: AtomicU64::new(0),
            fill_ahead: AtomicUsize::new(0),
            unbegun: AtomicBool::new(full.is_some()),
            state: AtomicU8::new(state as u8),
            cause: Mutex::new(full.map(Arc::new)),
            stats: Mutex::new(stats),
            #[cfg(any(test, feature = "sim"))]
            heard: Mutex::default(),
        })
    }
}

/// The last segment with content ends here from now on: a part of it that gets lost is missed then. Not for one that
/// a Redis server went on with behind our frames: nothing vouches for what it appended, so no reader believes that
/// the file was whole up to there.
fn note_end(manifest: &mut Manifest, position: Position) {
    if let Some(last) = manifest.incrs.last_mut().filter(|last| last.end().is_none()) {
        last.set_end(position);
    }
}
