//! Replies on their way out: sent in order, each not before the log allows it (I2).
//!
//! The bytes of all replies follow one another; a hold marks a range that must wait for a log position.
//! What lies before the first hold that is not released may be sent. When the log fails, held replies are
//! replaced by an error: they were not safe and must not be seen (P1, P3).

use std::collections::VecDeque;

use crate::engine::Executed;

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
    need: u64,
    needs_sync: bool,
    wrote: bool,
}

impl Hold {
    fn is_released(&self, progress: LogProgress) -> bool {
        self.need <= if self.needs_sync { progress.synced } else { progress.written }
    }
}

impl Outbox {
    /// Holds the reply that begins at `start` and ends where the bytes end now, if it has to wait.
    pub fn hold(&mut self, start: usize, executed: Executed, progress: LogProgress) {
        let end = self.bytes.len();
        let hold = Hold {
            start,
            end,
            need: executed.need,
            needs_sync: executed.needs_sync,
            wrote: executed.wrote,
        };
        if start == end || hold.is_released(progress) {
            return;
        }
        match self.holds.back_mut() {
            Some(last)
                if last.end == start
                    && last.needs_sync == hold.needs_sync
                    && last.wrote == hold.wrote
                    && last.need == hold.need =>
            {
                last.end = end;
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
            for _ in 0..count_replies(held) {
                let what = if hold.wrote { "unknown outcome of this write" } else { "not durable" };
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
        let start = outbox.bytes.len();
        outbox.bytes.extend_from_slice(bytes);
        let executed = Executed { need, needs_sync: true, wrote: true, ..Executed::default() };
        outbox.hold(start, executed, progress);
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
        reply(&mut outbox, b"+C\r\n", 0, at(0));
        outbox.fail_held(at(0), "disk");
        let text = String::from_utf8(outbox.sendable(at(0)).to_vec()).unwrap();
        assert_eq!(text.matches("-MISCONF").count(), 2);
        assert!(text.starts_with("+A\r\n-MISCONF") && text.ends_with("+C\r\n"));
    }
}
