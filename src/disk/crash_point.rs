//! A place at which this process ends itself, as by kill -9: after so many bytes or syncs, or commands.
//!
//! `DEBUG CRASH-AFTER` and `serve --fail-at` set it, for tests of what a client does when its server dies at an
//! exact point. Nothing is cleaned up. Until it is set it costs one look at an atomic.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);
/// How many are left; `u64::MAX`: no end.
static BYTES: AtomicU64 = AtomicU64::new(u64::MAX);
static COMMANDS: AtomicU64 = AtomicU64::new(u64::MAX);
static SYNCS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Arms it from words such as `1000 bytes`, `3 commands`, `2 syncs`.
pub fn arm(count: &str, unit: &str) -> Result<(), String> {
    let left = match unit.to_ascii_lowercase().as_str() {
        "bytes" => &BYTES,
        "commands" => &COMMANDS,
        "syncs" => &SYNCS,
        _ => return Err("the unit must be bytes, commands or syncs".to_owned()),
    };
    let count = count.parse().ok().filter(|count| (1..u64::MAX).contains(count));
    left.store(count.ok_or("the count must be a positive number")?, Ordering::SeqCst);
    ARMED.store(true, Ordering::SeqCst);
    Ok(())
}

/// How many of these bytes may still be written; the caller writes them and calls [`die`] if they are fewer.
///
/// Filler of the log, `#` and newlines, does not count: whoever counts bytes means data.
pub fn bytes_left(bytes: &[u8]) -> usize {
    let len = bytes.len();
    if !ARMED.load(Ordering::Relaxed) || bytes.iter().all(|byte| matches!(byte, b'#' | b'\n')) {
        return len;
    }
    let left = BYTES.load(Ordering::SeqCst);
    if left != u64::MAX {
        BYTES.store(left.saturating_sub(len as u64).max(1), Ordering::SeqCst);
    }
    usize::try_from(left).unwrap_or(usize::MAX).min(len)
}

/// A command was executed and not answered yet.
pub fn command_done() {
    count_down(&COMMANDS);
}

/// A sync returned.
pub fn sync_done() {
    count_down(&SYNCS);
}

fn count_down(left: &AtomicU64) {
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    let was = left.load(Ordering::SeqCst);
    if was == 1 {
        die();
    }
    if was != u64::MAX {
        left.store(was - 1, Ordering::SeqCst);
    }
}

/// kill -9 of this process, by itself.
pub fn die() -> ! {
    let itself = rustix::process::getpid();
    let _ = rustix::process::kill_process(itself, rustix::process::Signal::KILL);
    std::process::abort()
}
