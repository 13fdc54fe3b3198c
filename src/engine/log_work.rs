//! What drives the log, without a thread: rounds of writing and syncing, and what the engine does about
//! a log that cannot be written.
//!
//! The log thread calls [`LogWork`] in a loop; a simulation steps it. A full disk is tried again until
//! there is room (P4). A failed write or sync latches in the log; then the engine asks its worker for a
//! rewrite by itself, again and again with growing pauses: a new segment, a new base from memory, the manifest
//! that names both. Once that is durable writes are taken again (P3). Until then they are refused, reads
//! go on, and nobody is told that anything reached the disk.

use std::time::Duration;

use super::Engine;
use super::persist::PersistRequest;
use crate::aof::log::{FILL_AHEAD, Log, LogState};
use crate::config::AppendFsync;

/// How often a log that cannot be written is looked at again.
pub const RETRY_EVERY: Duration = Duration::from_millis(100);
/// Between two syncs under `everysec`.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The first pause after a rewrite that did not end a failure; doubled each time.
const HEAL_PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest such pause.
const HEAL_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a new segment takes at least: a block of most file systems for its first bytes, and one for the directory.
const SEGMENT_BYTES_MIN: u64 = 8192;

/// Where the driver of the log is.
#[derive(Clone, Copy, Debug)]
pub struct LogWork {
    last_sync: Duration,
    /// When a position moved last.
    last_move: Duration,
    /// `written` and `synced` at the last look.
    seen: (u64, u64),
    state: LogState,
    /// Bytes of filler ahead of the frames under `always`.
    fill_ahead: usize,
}

impl LogWork {
    /// A driver that begins at `now`.
    pub fn new(now: Duration) -> Self {
        Self {
            last_sync: now,
            last_move: now,
            seen: (0, 0),
            state: LogState::Ready,
            fill_ahead: FILL_AHEAD,
        }
    }

    /// The same with other filler, for simulations.
    #[must_use]
    pub fn filling(self, fill_ahead: usize) -> Self {
        Self { fill_ahead, ..self }
    }

    /// First half of a round: hands what is pending to the kernel. True when that moved `written`.
    pub fn write(&self, log: &Log, policy: AppendFsync) -> bool {
        log.fill_ahead(if policy == AppendFsync::Always { self.fill_ahead } else { 0 });
        let before = log.written();
        // On a full disk a frame may wait that no position tells of.
        if log.appended() > before || log.state() == LogState::Full {
            // What failed is in the log's state.
            let _ = log.write();
        }
        log.written() > before
    }

    /// Second half: syncs, if the policy or somebody who waits wants it.
    pub fn sync(&mut self, log: &Log, policy: AppendFsync, wanted: bool, now: Duration) {
        let due = match policy {
            AppendFsync::Always => true,
            AppendFsync::Everysec => now.saturating_sub(self.last_sync) >= SYNC_EVERY,
            AppendFsync::No => false,
        };
        if due || wanted {
            self.last_sync = now;
            let _ = log.sync();
        }
        let quiet = now.saturating_sub(self.last_move) >= SYNC_EVERY;
        if quiet && policy != AppendFsync::No && log.state() == LogState::Ready {
            // From here on damage before this point is told from a torn end.
            let _ = log.mark_synced();
        }
    }

    /// Whether a position moved since the last call, whoever moved it.
    pub fn moved(&mut self, log: &Log, now: Duration) -> bool {
        let seen = (log.written().0, log.synced().0);
        let moved = std::mem::replace(&mut self.seen, seen) != seen;
        if moved {
            self.last_move = now;
        }
        moved
    }

    /// Whether the log's state changed since the last call.
    pub fn state_changed(&mut self, log: &Log) -> bool {
        let state = log.state();
        std::mem::replace(&mut self.state, state) != state
    }

    /// How long the next round may wait if nobody calls.
    pub fn pause(&self, log: &Log, policy: AppendFsync, now: Duration) -> Duration {
        if log.state() != LogState::Ready {
            return RETRY_EVERY;
        }
        if policy == AppendFsync::Always && log.appended() > log.synced() {
            return Duration::ZERO;
        }
        let since = now.saturating_sub(self.last_sync);
        SYNC_EVERY.saturating_sub(since).max(Duration::from_millis(1))
    }
}

impl Engine {
    /// Looks at the log's state: notes why writes are refused, says so in the server's log when that
    /// changes, and asks for the rewrite that ends a failure.
    pub fn watch_log(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let state = log.state();
        let changed = state.name() != self.server.persistence.log_state;
        self.server.persistence.log_state = state.name();
        if state == LogState::Ready {
            let was_refused = self.server.persistence.log_error.is_some();
            self.server.persistence.log_error = self.watch_room(&log);
            match (&self.server.persistence.log_error, was_refused) {
                (None, _) if changed || was_refused => {
                    self.logger.notice("The append-only log takes writes again (state ready).");
                }
                (Some(text), false) => {
                    self.logger.warning(format!("Writes are refused: {text}. Reads go on."));
                }
                _ => {}
            }
            return;
        }
        let cause = log.cause().map(|cause| cause.to_string()).unwrap_or_default();
        let text = match state {
            LogState::Full => self.full_disk(&log, &cause),
            _ => format!(
                "{cause}; writes are refused until everything is written anew from memory, which \
                 the server does by itself"
            ),
        };
        if changed {
            self.logger.warning(format!(
                "The append-only log cannot be written (state {}): {text}. Reads go on.",
                state.name()
            ));
        }
        self.server.persistence.log_error = Some(text);
        if state == LogState::Failed {
            self.heal_log();
        }
    }

    fn full_disk(&self, log: &Log, cause: &str) -> String {
        // A log that has not begun has nothing pending, and needs a segment.
        let needed = match log.pending_bytes() {
            0 => SEGMENT_BYTES_MIN,
            pending => pending,
        };
        let free = match self.disk.free_bytes() {
            Ok(free) => free.to_string(),
            Err(_) => "unknown".to_owned(),
        };
        format!(
            "the disk is full: {free} bytes free, {needed} bytes needed ({cause}); writes are taken \
             again by themselves when there is room"
        )
    }

    /// Why writes are refused although the log could take them: the disk has no more than the reserve left, or the
    /// log is as large as it may get. A rewrite, which may use the reserve, is asked for where it can end that.
    fn watch_room(&mut self, log: &Log) -> Option<String> {
        let config = &self.server.config;
        let (reserve, most) = (config.aof_disk_reserve, config.aof_max_size);
        let stats = log.stats();
        let size = stats.base_bytes + stats.incr_bytes;
        let too_large = most > 0 && size > most;
        let free = if reserve > 0 { self.disk.free_bytes().unwrap_or(u64::MAX) } else { u64::MAX };
        if free >= reserve && !too_large {
            return None;
        }
        let early =
            self.server.persistence.rewrite_not_before.is_some_and(|at| self.monotonic() < at);
        if stats.incr_bytes > stats.base_bytes.min(size / 2) && !early && !self.persist.is_busy() {
            self.request_persist(PersistRequest::Rewrite);
        }
        if free < reserve {
            return Some(format!(
                "the disk is nearly full: {free} bytes free, {reserve} needed (aof-disk-reserve keeps them for \
                 the rewrite that makes room); writes are taken again by themselves when there is room"
            ));
        }
        // Up to a quarter more is taken while a rewrite may still help.
        let hopeless = early || stats.base_bytes > most || size > most + most / 4;
        hopeless.then(|| {
            format!(
                "the log has {size} bytes, aof-max-size allows {most}; writes are taken again by themselves when \
                 a rewrite made it smaller"
            )
        })
    }

    /// Asks for the rewrite that ends a failure, unless one is running or it is too early.
    fn heal_log(&mut self) {
        let early = self.server.persistence.heal_not_before.is_some_and(|at| self.monotonic() < at);
        if matches!(self.persist.running, Some(PersistRequest::Save | PersistRequest::Sync)) {
            // Whoever waits for the log must not wait for a snapshot: it gives way.
            self.persist.cancel = true;
        }
        if early || self.persist.is_busy() || self.server.loading.is_some() {
            return;
        }
        self.logger.notice("Writing a new base and log from memory, to new files.");
        self.request_persist(PersistRequest::Rewrite);
    }

    /// A rewrite ended: is the log well now, and if not, when is the next try?
    pub(super) fn note_heal(&mut self) {
        let failed = self.log.as_ref().is_some_and(|log| log.state() == LogState::Failed);
        let now = self.monotonic();
        let persistence = &mut self.server.persistence;
        if failed {
            let doubled = HEAL_PAUSE_MIN * (1 << persistence.heal_failures.min(10));
            persistence.heal_failures += 1;
            persistence.heal_not_before = Some(now + doubled.min(HEAL_PAUSE_MAX));
        } else {
            persistence.heal_failures = 0;
            persistence.heal_not_before = None;
        }
    }

    /// Whether what `everysec` leaves unsynced is nearly as old as it may get: writers wait for the sync then.
    ///
    /// Not quite, because a reply takes time: what was executed before must be answered within the bound.
    pub(crate) fn log_lags(&self) -> bool {
        let lag_max = self.server.config.everysec_max_lag;
        let lag_max = Duration::from_millis(lag_max.max(0).unsigned_abs());
        !lag_max.is_zero()
            && self.server.config.appendfsync == AppendFsync::Everysec
            && self.unsynced_age() > lag_max * 9 / 10
    }

    /// By how much the archive is behind the log: bytes, and the time since it had everything.
    pub fn archive_lag(&self) -> (u64, Duration) {
        let facts = &self.server.persistence.archive;
        let Some(log) = &self.log else { return (0, Duration::ZERO) };
        let bytes = log.appended().0.saturating_sub(facts.position);
        let since = facts.caught_up_at.unwrap_or(self.server.started);
        let age = self.monotonic().saturating_sub(since);
        (bytes, if bytes == 0 { Duration::ZERO } else { age })
    }

    /// The age of the oldest write that is handed to the kernel and not durable.
    pub fn unsynced_age(&self) -> Duration {
        let since = self.log.as_ref().and_then(|log| log.unsynced_since());
        since.map_or(Duration::ZERO, |since| self.monotonic().saturating_sub(since))
    }
}
