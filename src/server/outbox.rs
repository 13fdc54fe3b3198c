//! Replies on their way out: sent in order, each not before the log allows it (I2).
//!
//! The bytes of all replies follow one another; a hold marks a range that must wait for a log position.
//! What lies before the first hold that is not released may be sent. When the log fails, held replies are
//! replaced by an error: they were not safe and must not be seen (P1, P3). Held messages answer nothing and
//! vanish: an error in their place would be taken for a reply.

use std::collections::VecDeque;

#[cfg(any(test, feature = "sim"))]
use crate::disk::sim::canary;
use crate::session::Release;

/// How far the log is, as the outbox needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogProgress {
    pub written: u64,
    pub synced: u64,
}

/// Replies that have not been sent.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Reply bytes; those before `sent` are gone.
    pub bytes: Vec<u8>,
    sent: usize,
    holds: VecDeque<Hold>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    start: usize,
    end: usize,
    release: Release,
    /// It answers nothing.
    message: bool,
}

impl Hold {
    fn is_released(&self, progress: LogProgress) -> bool {
        #[cfg(any(test, feature = "sim"))]
        if canary::planted(canary::Canary::EarlyReplies) {
            return self.release.need <= progress.written;
        }
        let reached = if self.release.needs_sync { progress.synced } else { progress.written };
        self.release.need <= reached
    }
}

impl Outbox {
    /// Adds a reply.
    pub fn reply(&mut self, bytes: &[u8], release: Release, progress: LogProgress) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.hold(start, release, progress);
    }

    /// Adds bytes that answer nothing.
    pub fn message(&mut self, bytes: &[u8], release: Release, progress: LogProgress) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        self.enter(Hold { start, end, release, message: true }, progress);
    }

    /// Holds the reply that begins at `start` and ends where the bytes end now, if it has to wait.
    pub fn hold(&mut self, start: usize, release: Release, progress: LogProgress) {
        let end = self.bytes.len();
        self.enter(Hold { start, end, release, message: false }, progress);
    }

    fn enter(&mut self, hold: Hold, progress: LogProgress) {
        if hold.start == hold.end || hold.is_released(progress) {
            return;
        }
        match self.holds.back_mut() {
            Some(last)
                if last.end == hold.start
                    && last.release == hold.release
                    && last.message == hold.message =>
            {
                last.end = hold.end;
            }
            _ => self.holds.push_back(hold),
        }
    }

    /// The bytes that may be sent now.
    pub fn sendable(&mut self, progress: LogProgress) -> &[u8] {
        while self.holds.front().is_some_and(|hold| hold.is_released(progress)) {
            self.holds.pop_front();
        }
        let end = self.holds.front().map_or(self.bytes.len(), |hold| hold.start);
        self.bytes.get(self.sent..end).unwrap_or_default()
    }

    /// Notes that `count` bytes were taken by the socket.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            // A large reply does not keep its memory.
            self.bytes.shrink_to(16 * 1024);
        } else if self.sent > 64 * 1024 && self.sent > self.bytes.len() / 2 {
            let gone = std::mem::take(&mut self.sent);
            self.bytes.drain(..gone);
            for hold in &mut self.holds {
                hold.start -= gone;
                hold.end -= gone;
            }
        }
    }

    /// Replaces every held reply by an error: the log cannot be written.
    pub fn fail_held(&mut self, progress: LogProgress, cause: &str) {
        if self.holds.iter().all(|hold| hold.is_released(progress)) {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut from = self.sent;
        for hold in self.holds.drain(..).filter(|hold| !hold.is_released(progress)) {
            bytes.extend_from_slice(self.bytes.get(from..hold.start).unwrap_or_default());
            let held = self.bytes.get(hold.start..hold.end).unwrap_or_default();
            let replies = if hold.message { 0 } else { count_replies(held) };
            for _ in 0..replies {
                let what = if hold.release.wrote {
                    "unknown outcome of this write"
                } else {
                    "not durable"
                };
                bytes.extend_from_slice(
                    format!("-MISCONF Errors writing to the AOF file: {cause} ({what})\r\n")
                        .as_bytes(),
                );
            }
            from = hold.end;
        }
        bytes.extend_from_slice(self.bytes.get(from..).unwrap_or_default());
        self.bytes = bytes;
        self.sent = 0;
    }

    /// Gives everything up, sent or not.
    pub fn abandon(&mut self) {
        *self = Self::default();
    }

    /// Whether a reply waits for the log.
    pub fn holds_any(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Bytes not sent yet.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Memory held.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.holds.capacity() * size_of::<Hold>()
    }
}

/// How many complete replies `bytes` holds (they are our own, so they are well formed).
fn count_replies(bytes: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        match skip_reply(bytes, at) {
            Some(next) => at = next,
            None => return count + 1,
        }
        count += 1;
    }
    count
}

fn skip_reply(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut open) = (at, 1usize);
    while open > 0 {
        let rest = bytes.get(at..)?;
        let line_end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let kind = *rest.first()?;
        let count = std::str::from_utf8(rest.get(1..line_end)?).ok()?.parse::<i64>().unwrap_or(0);
        at += line_end + 2;
        open -= 1;
        let count = usize::try_from(count).ok();
        match (kind, count) {
            (b'$' | b'=' | b'!', Some(len)) => at += len + 2,
            (b'*' | b'~' | b'>', Some(len)) => open += len,
            (b'%' | b'|', Some(pairs)) => open += pairs * 2,
            _ => {}
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(outbox: &mut Outbox, bytes: &[u8], need: u64, progress: LogProgress) {
        outbox.reply(bytes, Release { need, needs_sync: true, wrote: true }, progress);
    }

    #[test]
    fn replies_leave_in_order_when_the_log_allows() {
        let mut outbox = Outbox::default();
        let at = |synced| LogProgress { written: synced, synced };
        reply(&mut outbox, b"+A\r\n", 0, at(0));
        reply(&mut outbox, b"+B\r\n", 5, at(0));
        reply(&mut outbox, b"+C\r\n", 0, at(0));
        assert_eq!(outbox.sendable(at(4)), b"+A\r\n");
        outbox.advance(4);
        assert_eq!(outbox.sendable(at(4)), b"");
        assert_eq!(outbox.sendable(at(5)), b"+B\r\n+C\r\n");
        outbox.advance(8);
        assert!(!outbox.holds_any());
        assert_eq!(outbox.pending(), 0);
    }

    #[test]
    fn a_failed_log_turns_held_replies_into_errors() {
        let mut outbox = Outbox::default();
        let at = |synced| LogProgress { written: synced, synced };
        reply(&mut outbox, b"+A\r\n", 0, at(0));
        reply(&mut outbox, b"*2\r\n$1\r\nx\r\n:1\r\n+B\r\n", 5, at(0));
        let release = Release { need: 5, needs_sync: true, wrote: false };
        outbox.message(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", release, at(0));
        reply(&mut outbox, b"+C\r\n", 0, at(0));
        outbox.fail_held(at(0), "disk");
        let text = String::from_utf8(outbox.sendable(at(0)).to_vec()).unwrap();
        assert_eq!(text.matches("-MISCONF").count(), 2);
        assert!(!text.contains("message"), "a message that is not safe is not sent");
        assert!(text.starts_with("+A\r\n-MISCONF") && text.ends_with("+C\r\n"));
    }
}
