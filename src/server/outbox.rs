//! Replies on their way out: sent in order, each not before the log allows it (I2).
//!
//! The bytes of all replies follow one another; a hold marks a range that must wait for a log position.
//! What lies before the first hold that is not released may be sent. When the log fails, held replies are
//! replaced by an error: they were not safe and must not be seen (P1, P3). Held messages answer nothing and
//! vanish: an error in their place would be taken for a reply.
//!
//! Long strings are not among the bytes but beside them (`resp::left_out`): they go from the value to the socket.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

#[cfg(any(test, feature = "sim"))]
use crate::disk::sim::canary;
use crate::resp::{LeftOut, Reply};
use crate::session::{EvictionNotice, Release};

/// Pieces that one write takes at most.
const PIECES_MAX: usize = 64;

/// What an outbox without replies keeps for the next ones.
const KEPT_BYTES: usize = 16 * 1024;
/// What it keeps of the memory that notices of evictions took.
const KEPT_OF_NOTICES: usize = 1024;

/// How far the log is, as the outbox needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogProgress {
    pub written: u64,
    pub synced: u64,
}

/// Replies that have not been sent.
#[derive(Debug)]
pub struct Outbox {
    /// Where the engine writes replies to. Bytes before `sent` are gone; strings left out are not sent yet.
    pub replies: Reply,
    sent: usize,
    holds: VecDeque<Hold>,
    /// What is sent of the first of them.
    sent_of_string: usize,
    /// Of the messages among the bytes that tell of evictions.
    notice: Option<EvictionNotice>,
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

impl Default for Outbox {
    fn default() -> Self {
        Self {
            replies: Reply { leaves_out: true, ..Reply::default() },
            sent: 0,
            holds: VecDeque::new(),
            sent_of_string: 0,
            notice: None,
        }
    }
}

impl Outbox {
    /// Adds a reply.
    pub fn reply(&mut self, bytes: &[u8], release: Release, progress: LogProgress) {
        let start = self.replies.buffer.len();
        self.replies.buffer.extend_from_slice(bytes);
        self.hold(start, release, progress);
    }

    /// Adds bytes that answer nothing.
    pub fn message(&mut self, bytes: &[u8], release: Release, progress: LogProgress) {
        let start = self.replies.buffer.len();
        self.replies.buffer.extend_from_slice(bytes);
        let end = self.replies.buffer.len();
        self.enter(Hold { start, end, release, message: true }, progress);
    }

    /// What was added last tells of an eviction.
    pub fn note_eviction(&mut self, notice: Option<EvictionNotice>) {
        EvictionNotice::merge(&mut self.notice, notice);
    }

    /// Holds the reply that begins at `start` and ends where the bytes end now, if it has to wait.
    pub fn hold(&mut self, start: usize, release: Release, progress: LogProgress) {
        let end = self.replies.buffer.len();
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

    /// Which of the bytes may be sent now, and what is left out between them.
    fn sendable(&mut self, progress: LogProgress) -> Range<usize> {
        while self.holds.front().is_some_and(|hold| hold.is_released(progress)) {
            self.holds.pop_front();
        }
        self.sent..self.holds.front().map_or(self.replies.buffer.len(), |hold| hold.start)
    }

    /// Has `write` send what may be sent now, or the beginning of it; returns how much that took. None if there is
    /// nothing to send.
    pub fn send(
        &mut self,
        progress: LogProgress,
        write: impl FnOnce(&[IoSlice]) -> std::io::Result<usize>,
    ) -> Option<std::io::Result<usize>> {
        let range = self.sendable(progress);
        if range.is_empty() {
            return None;
        }
        let result = if self.replies.left_out.is_empty() {
            write(&[IoSlice::new(self.replies.buffer.get(range).unwrap_or_default())])
        } else {
            write(&self.pieces(range))
        };
        Some(result.inspect(|&count| self.advance(count)))
    }

    /// The bytes of a range and the strings between them, in order.
    fn pieces(&self, range: Range<usize>) -> Vec<IoSlice<'_>> {
        let (mut from, mut skip) = (range.start, self.sent_of_string);
        let mut pieces = Vec::with_capacity(PIECES_MAX + 2);
        for (at, string) in self.replies.left_out.iter().take_while(|(at, _)| *at < range.end) {
            if pieces.len() >= PIECES_MAX {
                return pieces;
            }
            pieces.push(IoSlice::new(self.replies.buffer.get(from..at).unwrap_or_default()));
            pieces.push(IoSlice::new(string.get(skip..).unwrap_or_default()));
            (from, skip) = (at, 0);
        }
        pieces.push(IoSlice::new(self.replies.buffer.get(from..range.end).unwrap_or_default()));
        pieces
    }

    /// Notes that `count` bytes were taken by the socket.
    fn advance(&mut self, mut count: usize) {
        while let Some((at, string)) = self.replies.left_out.first() {
            let before = count.min(at - self.sent);
            self.sent += before;
            count -= before;
            if self.sent < at || count == 0 {
                break;
            }
            let taken = count.min(string.len() - self.sent_of_string);
            count -= taken;
            self.sent_of_string += taken;
            if self.sent_of_string < string.len() {
                break;
            }
            self.replies.left_out.pop();
            self.sent_of_string = 0;
        }
        self.sent += count;
        if self.sent == self.replies.buffer.len() {
            self.replies.buffer.clear();
            self.sent = 0;
            if self.notice.is_some() {
                self.replies.buffer.shrink_to(KEPT_OF_NOTICES);
                self.notice = None;
            }
        } else if self.sent > 64 * 1024 && self.sent > self.replies.buffer.len() / 2 {
            let gone = std::mem::take(&mut self.sent);
            self.replies.buffer.drain(..gone);
            self.replies.left_out.drop_front(gone);
            for hold in &mut self.holds {
                hold.start -= gone;
                hold.end -= gone;
            }
        }
    }

    /// A large reply that was sent does not keep its memory.
    pub fn give_back(&mut self) {
        if self.replies.buffer.is_empty() {
            self.replies.buffer.shrink_to(KEPT_BYTES);
        }
    }

    /// Replaces every held reply by an error: the log cannot be written.
    pub fn fail_held(&mut self, progress: LogProgress, cause: &str) {
        if self.holds.iter().all(|hold| hold.is_released(progress)) {
            return;
        }
        let mut bytes = Vec::with_capacity(self.replies.buffer.len());
        let mut from = self.sent;
        let (mut strings, mut kept) =
            (std::mem::take(&mut self.replies.left_out), LeftOut::default());
        let mut keep = |to: &mut Vec<u8>, range: Range<usize>, strings: &mut LeftOut| {
            while let Some((at, _)) = strings.first().filter(|(at, _)| *at < range.end) {
                // What was held from here on is dropped, string and all.
                if let Some((_, string)) = strings.pop().filter(|_| at >= range.start) {
                    kept.push(to.len() + at - range.start, string);
                }
            }
            to.extend_from_slice(self.replies.buffer.get(range).unwrap_or_default());
        };
        for hold in self.holds.drain(..).filter(|hold| !hold.is_released(progress)) {
            keep(&mut bytes, from..hold.start, &mut strings);
            let held = hold.start..hold.end;
            let replies =
                if hold.message { 0 } else { count_replies(&self.replies.buffer, held, &strings) };
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
        keep(&mut bytes, from..self.replies.buffer.len(), &mut strings);
        self.replies.left_out = kept;
        self.replies.buffer = bytes;
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
        self.replies.buffer.len() - self.sent + self.replies.left_out.len() - self.sent_of_string
    }

    /// Bytes of everything that is here, sent or not.
    pub fn total(&self) -> usize {
        self.replies.buffer.len() + self.replies.left_out.len()
    }

    /// Memory held; strings count in full, as their values may be gone.
    pub fn memory_bytes(&self) -> usize {
        self.replies.buffer.capacity()
            + self.replies.left_out.len()
            + self.holds.capacity() * size_of::<Hold>()
    }
}

/// How many complete replies a range of `bytes` holds (they are our own, so they are well formed).
fn count_replies(bytes: &[u8], range: Range<usize>, left_out: &LeftOut) -> usize {
    let bytes = bytes.get(..range.end).unwrap_or_default();
    let (mut at, mut count) = (range.start, 0);
    while at < bytes.len() {
        match skip_reply(bytes, at, left_out) {
            Some(next) => at = next,
            None => return count + 1,
        }
        count += 1;
    }
    count
}

fn skip_reply(bytes: &[u8], at: usize, left_out: &LeftOut) -> Option<usize> {
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
            (b'$', Some(_)) if left_out.is_at(at) => at += 2,
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

    /// Sends what may be sent, `step` bytes at a time.
    fn sent(outbox: &mut Outbox, progress: LogProgress, step: usize) -> String {
        let mut all = Vec::new();
        let mut take = |pieces: &[IoSlice]| {
            let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            let count = joined.len().min(step);
            all.extend_from_slice(&joined[..count]);
            Ok(count)
        };
        while let Some(result) = outbox.send(progress, &mut take) {
            result.unwrap();
        }
        String::from_utf8(all).unwrap()
    }

    /// A reply with a string that is left out, as the engine writes it.
    fn shared_reply(outbox: &mut Outbox, text: &str, need: u64, progress: LogProgress) {
        let start = outbox.replies.buffer.len();
        outbox.replies.bulk_shared(&bytes::Bytes::copy_from_slice(text.as_bytes()));
        outbox.hold(start, Release { need, needs_sync: true, wrote: true }, progress);
    }

    #[test]
    fn replies_leave_in_order_when_the_log_allows() {
        let mut outbox = Outbox::default();
        let at = |synced| LogProgress { written: synced, synced };
        reply(&mut outbox, b"+A\r\n", 0, at(0));
        reply(&mut outbox, b"+B\r\n", 5, at(0));
        reply(&mut outbox, b"+C\r\n", 0, at(0));
        assert_eq!(sent(&mut outbox, at(4), 100), "+A\r\n");
        assert_eq!(sent(&mut outbox, at(4), 100), "");
        assert_eq!(sent(&mut outbox, at(5), 100), "+B\r\n+C\r\n");
        assert!(!outbox.holds_any());
        assert_eq!(outbox.pending(), 0);
    }

    #[test]
    fn strings_that_are_left_out_are_sent_in_their_places_however_little_the_socket_takes() {
        let at = |synced| LogProgress { written: synced, synced };
        let strings = ["first", "the second one", "", "x"];
        let text = |s: &str| format!("${}\r\n{s}\r\n", s.len());
        let all = format!(
            "+A\r\n{}{}:1\r\n{}{}+Z\r\n",
            text(strings[0]),
            text(strings[1]),
            text(strings[2]),
            text(strings[3])
        );
        for step in 1..=all.len() {
            let mut outbox = Outbox::default();
            reply(&mut outbox, b"+A\r\n", 0, at(0));
            shared_reply(&mut outbox, strings[0], 0, at(0));
            shared_reply(&mut outbox, strings[1], 3, at(0));
            reply(&mut outbox, b":1\r\n", 0, at(0));
            shared_reply(&mut outbox, strings[2], 0, at(0));
            shared_reply(&mut outbox, strings[3], 0, at(0));
            reply(&mut outbox, b"+Z\r\n", 0, at(0));
            assert_eq!(outbox.pending(), all.len());
            let first = sent(&mut outbox, at(2), step);
            assert_eq!(first, format!("+A\r\n{}", text(strings[0])), "the rest is held");
            assert_eq!(outbox.pending(), all.len() - first.len());
            assert_eq!(first + &sent(&mut outbox, at(3), step), all, "{step} bytes at a time");
            assert_eq!((outbox.pending(), outbox.total()), (0, 0));
        }
    }

    #[test]
    fn a_failed_log_takes_held_strings_with_it_and_leaves_the_others() {
        let mut outbox = Outbox::default();
        let at = |synced| LogProgress { written: synced, synced };
        shared_reply(&mut outbox, "seen by the socket in part", 0, at(0));
        shared_reply(&mut outbox, "held", 5, at(0));
        shared_reply(&mut outbox, "held, too", 5, at(0));
        shared_reply(&mut outbox, "free", 0, at(0));
        let mut begun = String::new();
        let once = |pieces: &[IoSlice]| {
            begun.push_str(std::str::from_utf8(&pieces[0]).unwrap());
            begun.push_str(std::str::from_utf8(&pieces[1][..4]).unwrap());
            Ok(begun.len())
        };
        outbox.send(at(0), once).unwrap().unwrap();
        outbox.fail_held(at(0), "disk");
        let text = begun + &sent(&mut outbox, at(0), 7);
        assert!(text.starts_with("$26\r\nseen by the socket in part\r\n-MISCONF"), "{text}");
        assert_eq!(text.matches("-MISCONF").count(), 2, "{text}");
        assert!(text.ends_with("\r\n$4\r\nfree\r\n") && !text.contains("held"), "{text}");
        assert_eq!((outbox.pending(), outbox.total()), (0, 0));
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
        let text = sent(&mut outbox, at(0), 100);
        assert_eq!(text.matches("-MISCONF").count(), 2);
        assert!(!text.contains("message"), "a message that is not safe is not sent");
        assert!(text.starts_with("+A\r\n-MISCONF") && text.ends_with("+C\r\n"));
    }
}
