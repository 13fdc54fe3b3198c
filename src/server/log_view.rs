//! A reactor's own hold on the log in use, so that asking how far it is costs two loads.
//!
//! The log is replaced only when CONFIG SET or a failed start turns it on or off. `Shared` counts these
//! changes; a view that has seen them all has the right log.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::outbox::LogProgress;
use super::shared::Shared;
use crate::aof::log::Log;

/// What one thread knows of the log in use.
#[derive(Debug, Default)]
pub(super) struct LogView {
    /// The changes that `log` is up to; `Shared` begins with one.
    seen: Cell<u64>,
    log: RefCell<Option<Arc<Log>>>,
}

impl LogView {
    /// Has `look` see the log in use, if there is one.
    #[inline]
    pub(super) fn with<T>(&self, shared: &Shared, look: impl FnOnce(Option<&Log>) -> T) -> T {
        let changes = shared.log_changes();
        if self.seen.get() != changes {
            // Counted before the look: a change in between is found again the next time.
            *self.log.borrow_mut() = shared.log();
            self.seen.set(changes);
        }
        look(self.log.borrow().as_deref())
    }

    /// How far the log is; without one nothing waits.
    #[inline]
    pub(super) fn progress(&self, shared: &Shared) -> LogProgress {
        self.with(shared, |log| match log {
            Some(log) => LogProgress { written: log.written().0, synced: log.synced().0 },
            None => LogProgress { written: u64::MAX, synced: u64::MAX },
        })
    }
}
