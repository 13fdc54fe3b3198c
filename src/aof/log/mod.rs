//! The writer of the log: units in, durable frames out.
//!
//! The engine appends units under its lock (a memcpy into the pending buffer); whoever drives the log
//! calls [`Log::write`] (one frame, one write to the current segment) and [`Log::sync`] (one fdatasync).
//! There is no thread in here, so a simulation can step it. Three positions only ever grow:
//! `appended >= written >= synced`; replies wait for them.
//!
//! What happens when it fails (`format-spec/aof.md`, section 7):
//! - The disk is full at the start: `begin.rs`.
//! - The disk is full: the part of a frame that was written is cut off again, the frame is kept, the
//!   state is [`LogState::Full`], and the next write that succeeds ends it.
//! - Any other failed write, and any failed sync of bytes that someone waits for, latches
//!   ([`LogState::Failed`]): nothing is written, synced or published any more. Only a new base that covers all that was
//!   appended, and a new segment behind it, end that: [`Log::prepare_rotation`], [`Log::cut`], a
//!   snapshot at that point, [`Log::install_base`].
//!
//! Locks, in the order in which they are taken: `names`, `io`, `serial`, `pending`, `current`, `cause`, `stats`. Under
//! the engine's lock only `pending` is taken, by `append`, `append_staged` and `cut`; nobody waits for a disk while it holds
//! one of those behind `serial`.

mod begin;
mod filler;
mod names;
mod rotate;
mod settle;
mod stage;
mod start;
mod write;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::filename::{BaseFormat, FileNames};
use super::manifest::Manifest;
use super::record::{FRAME_LINE_LEN_MAX, Position, Salt};
use crate::clock::Clock;
use crate::disk::{DiskError, DiskFile, SharedDisk};
use crate::resp::unit::{Letters, UnitBuffer};
use names::Names;

pub use filler::FILL_AHEAD;
pub use names::Kept;
pub use rotate::{BaseInstalled, CutPoint, NewBase};
pub use settle::{GoodEnd, TornTail, Unsettled, settle, torn_name};
pub use stage::Staged;
pub use start::Recovered;
pub use write::Written;

/// Room in front of pending bytes for the frame line, so that line and payload are one write.
const HEADROOM: usize = FRAME_LINE_LEN_MAX;
/// A buffer that grew beyond this is given back after its frame is written.
const BUFFER_KEPT_MAX: usize = 4 << 20;

/// The log of one data directory; shared by the engine, the reactors and the log thread.
pub struct Log {
    disk: SharedDisk,
    clock: Arc<dyn Clock>,
    files: FileNames,
    /// Where this log started.
    start_point: CutPoint,
    names: Mutex<Names>,
    io: Mutex<Io>,
    /// Held for a whole sync: of two concurrent ones on a file, only one would be told of an error.
    serial: Mutex<()>,
    current: Mutex<Current>,
    pending: Mutex<Pending>,
    appended: AtomicU64,
    /// The last appended unit leaves a loader in database 0; changed under the engine's lock only.
    selects_zero: AtomicBool,
    /// At most `appended`; handed to the kernel.
    written: AtomicU64,
    /// At most `written`; durable.
    synced: AtomicU64,
    /// Whether a sync is running, for `try_write`.
    syncing: AtomicBool,
    /// When the oldest frame that is not synced was written: monotonic microseconds and one; 0 for none.
    unsynced_since: AtomicU64,
    /// Bytes of filler that are written ahead of small frames.
    fill_ahead: AtomicUsize,
    /// The start had no room for a segment, and there is none since.
    unbegun: AtomicBool,
    /// A [`LogState`].
    state: AtomicU8,
    /// Why the state is not ready.
    cause: Mutex<Option<Arc<DiskError>>>,
    stats: Mutex<LogStats>,
    /// What was appended since a test began to listen.
    #[cfg(any(test, feature = "sim"))]
    heard: Mutex<Option<Vec<(Position, UnitBuffer)>>>,
}

/// Whether the log can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogState {
    /// All is well.
    Ready,
    /// The disk is full; what is pending is kept, and a write that succeeds ends it.
    Full,
    /// A write or sync failed; only a new base ends it.
    Failed,
}

impl LogState {
    /// As operators read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// Why the log could not do what was asked.
#[derive(Clone, Debug)]
pub enum LogError {
    /// The disk is full; try again later.
    Full(Arc<DiskError>),
    /// The log is latched, with the first cause.
    Failed(Arc<DiskError>),
    /// An operation beside the log's content failed (a new file, the manifest); the log itself is as it was.
    Disk(Arc<DiskError>),
    /// [`Log::cut`] without a successful [`Log::prepare_rotation`].
    NotPrepared,
    /// [`Log::install_base`] for a cut that is not the newest one.
    StaleCut,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) => write!(f, "the log's disk is full: {error}"),
            Self::Failed(error) => write!(f, "the log has failed: {error}"),
            Self::Disk(error) => error.fmt(f),
            Self::StaleCut => f.write_str("the log was cut again since this base was started"),
            Self::NotPrepared => f.write_str("no segment is prepared to rotate to"),
        }
    }
}

impl std::error::Error for LogError {}

/// Figures for INFO and metrics; counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes written to segments, lines included.
    pub written_bytes: u64,
    /// Frames written.
    pub frames: u64,
    /// Syncs of segments that returned.
    pub fsyncs: u64,
    /// Time spent in them.
    pub fsync_time: Duration,
    /// The longest one.
    pub fsync_time_max: Duration,
    /// The last one.
    pub fsync_time_last: Duration,
    /// Writes that a running sync or rotation turned away (`aof_delayed_fsync`).
    pub delayed: u64,
    /// Bytes of the base.
    pub base_bytes: u64,
    /// Bytes of all segments that the manifest lists.
    pub incr_bytes: u64,
    /// How many segments the manifest lists.
    pub segments: u64,
    /// Bases installed.
    pub rewrites: u64,
}

/// The file that frames go to; held for a whole write.
struct Io {
    segment: Segment,
    /// The frame that is being written, line first, or an empty buffer to swap with `pending`.
    buffer: Vec<u8>,
    /// Set while `buffer` holds a frame that is not whole in the file.
    frame: Option<BuiltFrame>,
}

/// A frame in `Io::buffer`.
#[derive(Clone, Copy, Debug)]
struct BuiltFrame {
    /// Where its line starts in the buffer.
    start: usize,
    /// The position behind it.
    end: Position,
    crc: u32,
    /// What it proves to be synced.
    proves: Position,
}

/// One segment file, open.
struct Segment {
    file: Arc<dyn DiskFile>,
    seq: u64,
    salt: Salt,
    /// Bytes of header and whole frames; the next frame is written here.
    len: u64,
    /// The checksum of the newest frame in this or an earlier segment.
    crc: u32,
    /// No frame is written yet.
    first: bool,
    /// What the last frame proves to be synced.
    proven: Position,
    /// The file has filler up to this offset; at most `len`: none.
    filled: u64,
    /// There was no room for filler.
    fill_failed: bool,
}

/// What a sync needs, apart from `io` so that it does not wait for writes.
struct Current {
    file: Arc<dyn DiskFile>,
    /// Like the atomics of the same names, but not held back by `gated`.
    written: Position,
    synced: Position,
    /// Nothing is published: there is no base yet that the segments could follow.
    gated: bool,
    /// When the first frame was written that no sync has begun to cover, and the first one that the
    /// running sync covers.
    unsynced_since: Option<Duration>,
    syncing_since: Option<Duration>,
}

/// What is appended and not taken for a frame yet.
struct Pending {
    /// `HEADROOM` bytes, then records.
    buffer: Vec<u8>,
    /// The position behind the buffer.
    position: Position,
    /// The database that a loader has selected at the end of the buffer; `None` at a segment's start.
    selected_db: Option<u32>,
    /// The salt of the segment that what is appended now goes to; where there is none, of the one before.
    salt: Salt,
    /// A new segment that nothing was cut for yet.
    prepared: Option<Segment>,
    /// The newest cut, or the start: the only one that a base may be installed for.
    last_cut: CutPoint,
    /// Where the buffer is cut: bytes before `at` go to the old segment.
    cut: Option<Cut>,
}

/// A cut that the writing side has not come to yet.
struct Cut {
    /// Bytes of the pending buffer (without headroom) before the cut.
    at: usize,
    position: Position,
    segment: Segment,
}

impl Log {
    /// Appends a unit: all its records or none will be loaded. Returns the position behind it.
    ///
    /// Never waits for the disk. SELECT is added where the database changes, MULTI and EXEC around more
    /// than one record. Append in the order of execution, under the lock that makes that order.
    pub fn append(&self, unit: &UnitBuffer) -> Position {
        let mut pending = self.pending.lock();
        pending.append(unit);
        // Stored under the lock, so that it never goes back.
        self.appended.store(pending.position.0, Ordering::Release);
        self.selects_zero.store(pending.selected_db == Some(0), Ordering::Relaxed);
        self.tell(pending.position, unit);
        pending.position
    }

    /// Tells a test that listens.
    #[cfg(any(test, feature = "sim"))]
    fn tell(&self, position: Position, unit: &UnitBuffer) {
        if let Some(heard) = self.heard.lock().as_mut() {
            heard.push((position, unit.clone()));
        }
    }

    #[cfg(not(any(test, feature = "sim")))]
    #[expect(clippy::unused_self, reason = "nobody listens outside of tests")]
    fn tell(&self, _: Position, _: &UnitBuffer) {}

    /// What was appended since the last call, each unit with the position behind it. The first call begins to listen.
    #[cfg(any(test, feature = "sim"))]
    pub fn hear(&self) -> Vec<(Position, UnitBuffer)> {
        self.heard.lock().replace(Vec::new()).unwrap_or_default()
    }

    /// The position behind the last appended unit.
    pub fn appended(&self) -> Position {
        Position(self.appended.load(Ordering::Acquire))
    }

    /// Everything before this position is handed to the kernel.
    pub fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    /// Everything before this position is durable.
    pub fn synced(&self) -> Position {
        Position(self.synced.load(Ordering::Acquire))
    }

    /// On the monotonic clock: since when something is handed to the kernel and not durable.
    pub fn unsynced_since(&self) -> Option<Duration> {
        let since = self.unsynced_since.load(Ordering::Acquire).checked_sub(1);
        since.map(Duration::from_micros)
    }

    /// Bytes that are appended and not handed to the kernel.
    pub fn pending_bytes(&self) -> u64 {
        self.appended().since(self.written())
    }

    /// Whether the log can be written.
    pub fn state(&self) -> LogState {
        match self.state.load(Ordering::Acquire) {
            0 => LogState::Ready,
            1 => LogState::Full,
            _ => LogState::Failed,
        }
    }

    /// Why the state is not ready.
    pub fn cause(&self) -> Option<Arc<DiskError>> {
        self.cause.lock().clone()
    }

    /// The figures so far.
    pub fn stats(&self) -> LogStats {
        *self.stats.lock()
    }

    /// By which a snapshot that is taken now knows this log.
    pub fn salt(&self) -> Salt {
        self.pending.lock().salt
    }

    /// The names of this log's files.
    pub fn files(&self) -> &FileNames {
        &self.files
    }

    /// What the manifest holds; waits for a change of it that is under way.
    pub fn manifest(&self) -> Manifest {
        self.names.lock().manifest.clone()
    }

    /// Which old segments stay from now on although no start needs them; the others go. Waits for a change
    /// of the manifest that is under way.
    pub fn keep(&self, kept: Kept) {
        let mut names = self.names.lock();
        if std::mem::replace(&mut names.kept, kept) != kept {
            names.remove_history();
        }
    }

    /// Whether there is no base yet for what is in memory: the files are no data set so far.
    pub fn is_gated(&self) -> bool {
        self.current.lock().gated
    }

    /// `Err` when latched.
    fn must_not_have_failed(&self) -> Result<(), LogError> {
        match self.state() {
            LogState::Failed => Err(self.failed()),
            LogState::Ready | LogState::Full => Ok(()),
        }
    }

    fn failed(&self) -> LogError {
        let cause = self.cause.lock().clone();
        let unknown = || Arc::new(DiskError::new("log", "", std::io::ErrorKind::Other.into()));
        LogError::Failed(cause.unwrap_or_else(unknown))
    }

    /// Latches: the first cause stays until a new base is installed.
    fn latch(&self, error: DiskError) -> LogError {
        let mut cause = self.cause.lock();
        if self.state() != LogState::Failed {
            *cause = Some(Arc::new(error));
            self.state.store(LogState::Failed as u8, Ordering::Release);
        }
        drop(cause);
        self.failed()
    }

    /// Notes a full disk, unless it is worse already.
    fn note_full(&self, error: DiskError) -> LogError {
        let mut cause = self.cause.lock();
        if self.state() == LogState::Failed {
            drop(cause);
            return self.failed();
        }
        let error = Arc::new(error);
        *cause = Some(Arc::clone(&error));
        self.state.store(LogState::Full as u8, Ordering::Release);
        LogError::Full(error)
    }

    /// Ends a full disk.
    fn note_room(&self) {
        let mut cause = self.cause.lock();
        if self.state() == LogState::Full {
            *cause = None;
            self.state.store(LogState::Ready as u8, Ordering::Release);
        }
    }
}

impl Current {
    /// The oldest of both marks, as `Log::unsynced_since` holds it.
    fn oldest_unsynced(&self) -> u64 {
        let oldest = self.syncing_since.or(self.unsynced_since);
        oldest.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1) + 1)
    }

    /// Everything that was written is durable.
    fn note_all_synced(&mut self) {
        self.unsynced_since = None;
        self.syncing_since = None;
    }
}

impl Pending {
    fn append(&mut self, unit: &UnitBuffer) {
        let before = self.buffer.len();
        unit.frame(&mut self.buffer, &mut self.selected_db, Letters::Small);
        self.position = self.position.after(self.buffer.len() - before);
    }

    /// What comes now is in another frame than what was taken. One that begins outside database 0 says so, that
    /// each can be understood without the one before it (aof.md, section 4).
    fn begin_frame(&mut self) {
        self.selected_db = self.selected_db.filter(|db| *db == 0);
    }

    /// Pending bytes, without headroom.
    fn len(&self) -> usize {
        self.buffer.len() - HEADROOM
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("appended", &self.appended())
            .field("written", &self.written())
            .field("synced", &self.synced())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
