//! Faults planted on purpose, one at a time, so that the crash tests can show that they would notice.
//!
//! Each is a line in the real code, compiled for tests and the simulation only, and planted for one thread:
//! a simulated server has no other.

use std::cell::Cell;

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// A file is replaced without syncing its directory.
    ForgottenDirectorySync,
    /// A file takes another's place without having been synced.
    ForgottenFileSync,
    /// Frames are believed without their checksum.
    UncheckedFrames,
    /// Replies leave when their records are written, whatever they wait for.
    EarlyReplies,
    /// A failed sync of the log counts as one that succeeded.
    ForgottenFailure,
    /// A snapshot gets what a writer left behind rather than what was there before.
    LateSnapshot,
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ForgottenDirectorySync,
        Self::ForgottenFileSync,
        Self::UncheckedFrames,
        Self::EarlyReplies,
        Self::ForgottenFailure,
        Self::LateSnapshot,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Canary>> = const { Cell::new(None) };
}

/// Plants a fault in this thread, or takes it away.
pub fn plant(canary: Option<Canary>) {
    PLANTED.set(canary);
}

/// Whether the code of this thread is to do it wrong.
pub fn planted(canary: Canary) -> bool {
    PLANTED.get() == Some(canary)
}
