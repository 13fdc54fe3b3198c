//! Filler: lines of `#` written ahead of the frames, where the frames of a log that is synced after each will be.
//!
//! A sync that makes a file longer also commits the file system's journal; one that overwrites blocks that are
//! there does not, and costs less than two thirds of the time and of the CPU (`benches/RESULTS.md`). What
//! is ahead is a comment to every loader of Redis, and is no content (`format-spec/aof.md`, sections 2 and 4).
//! It is written behind a frame and durable with it; nothing depends on it.
//!
//! What happens when it fails: on a full disk the file is cut back and goes on without filler; any other
//! failed write latches the log, as that of a frame does.

use std::sync::atomic::Ordering;

use super::{Log, LogError, Segment};

/// How much is written ahead at once of small frames. Of larger ones it is room for so many more of their size, up to so
/// many times as much: those who wait for that sync wait longer, which one in a hundred of small requests would feel.
pub const FILL_AHEAD: usize = 128 << 10;
const FRAMES_AHEAD: usize = 16;
const AHEAD_MAX: usize = 4;
/// Frames above this are written without filler: they have the journal's price divided among many records, and
/// the filler doubles what the disk writes.
const FILLED_FRAME_MAX: usize = 64 << 10;
/// Every so many bytes of the file a line of filler ends. With a mark in the place of one newline the
/// merged line is still shorter than what Redis reads at once.
const LINE: u64 = 512;

impl Log {
    /// How much filler is written ahead of small frames; 0: none. For policies that sync every frame.
    pub fn fill_ahead(&self, bytes: usize) {
        self.fill_ahead.store(bytes, Ordering::Relaxed);
    }

    /// After a frame of `frame_len` bytes: sees to it that there is filler for the next one of that size.
    pub(super) fn fill(&self, segment: &mut Segment, frame_len: usize) -> Result<(), LogError> {
        let ahead = self.fill_ahead.load(Ordering::Relaxed);
        let fits = segment.len + frame_len as u64 + 2 <= segment.filled;
        if ahead == 0 || frame_len > FILLED_FRAME_MAX || fits || segment.fill_failed {
            return Ok(());
        }
        let start = filler_start(segment);
        let bytes = filler(start, (FRAMES_AHEAD * frame_len).clamp(ahead, AHEAD_MAX * ahead));
        match segment.file.write_all_at(start, &bytes) {
            Ok(()) => segment.filled = start + bytes.len() as u64,
            Err(error) if error.is_full() => {
                segment.fill_failed = true;
                self.unfill(segment)?;
            }
            Err(error) => return Err(self.latch(error)),
        }
        Ok(())
    }

    /// Cuts the file at its content.
    pub(super) fn unfill(&self, segment: &mut Segment) -> Result<(), LogError> {
        segment.filled = 0;
        segment.file.truncate(segment.len).map_err(|error| self.latch(error))
    }
}

/// What has to follow a frame that ends at `end`, so that no line of nothing but a newline is left behind it: Redis
/// refuses those.
pub(super) fn padding(end: u64, filled: u64) -> &'static [u8] {
    if end + 1 == filled {
        b"#\n"
    } else if end < filled && end % LINE == LINE - 1 {
        b"#"
    } else {
        b""
    }
}

/// Where more filler begins: behind what is there, or over a newline that is out of step.
fn filler_start(segment: &Segment) -> u64 {
    match segment.filled.checked_sub(1) {
        Some(last) if last >= segment.len && last % LINE != LINE - 1 => last,
        _ => segment.filled.max(segment.len),
    }
}

/// At least `len` bytes of filler for offset `start`, whole lines.
fn filler(start: u64, len: usize) -> Vec<u8> {
    let end = (start + len as u64).next_multiple_of(LINE);
    let mut bytes = vec![b'#'; usize::try_from(end - start).unwrap_or(len)];
    let first = usize::try_from(LINE - 1 - start % LINE).unwrap_or(0);
    // A line of nothing but a newline is none: the next one ends it.
    let first = if first == 0 { LINE as usize } else { first };
    for place in bytes.iter_mut().skip(first).step_by(LINE as usize) {
        *place = b'\n';
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::record;

    /// Whatever the frames' ends, behind each the file is lines of marks.
    #[test]
    fn every_end_is_followed_by_whole_lines() {
        for ahead in [1, 700, 2048] {
            for start in (0..1100).chain(4090..4100) {
                let bytes = filler(start, ahead);
                assert!(bytes.len() >= ahead && !bytes.starts_with(b"\n"));
                let filled = start + bytes.len() as u64;
                for end in start..filled {
                    let mut rest = bytes[(end - start) as usize..].to_vec();
                    let padding = padding(end, filled);
                    rest.splice(..padding.len().min(rest.len()), padding.iter().copied());
                    let mut at = 0;
                    while at < rest.len() {
                        let line = record::line(&rest[at..]).unwrap();
                        assert!(record::is_filler(line), "start {start} end {end}");
                        at += line.len();
                    }
                }
            }
        }
    }
}
