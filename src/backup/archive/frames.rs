//! Whole frames of a segment that is being written, from where the last look ended.
//!
//! A file says by itself how far it goes: a frame counts when its checksum vouches for it under the file's salt
//! and it continues the position before it. What follows the last one (room that was made in advance, a torn
//! write, what a used file had before) is not looked at twice. The file is read, never mapped: it may be cut.

use super::piece::{Range, SegmentId};
use crate::aof::record::{self, FrameLine, HEADER_LEN_MAX, Header, Position, Salt};
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};

/// A piece has at most so many bytes, unless its only frame has more.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// Room that was made in advance is looked through this far for a frame behind it.
const FILLER_BYTES_MAX: usize = 64 << 10;

/// Where the next piece of a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: SegmentId,
    /// The offset in the file.
    pub offset: u64,
    /// The position there.
    pub position: u64,
}

/// Bytes that are to be stored.
#[derive(Debug)]
pub struct Found {
    /// Where they are.
    pub range: Range,
    /// They themselves.
    pub bytes: Vec<u8>,
}

/// The whole frames at `place` that end at `synced` or before it; `None` when there is none yet.
pub fn next(file: &dyn DiskFile, place: &Place, synced: u64) -> Result<Option<Found>, DiskError> {
    let mut want = PIECE_BYTES_MAX;
    loop {
        let bytes = read(file, place.offset, want)?;
        match walk(&bytes, place, synced) {
            Walked::Found(found) => return Ok(Some(found.of(bytes))),
            Walked::Nothing => return Ok(None),
            // Its first frame is longer than what was read.
            Walked::Needs(len) if len > want && bytes.len() == want => want = len,
            Walked::Needs(_) => return Ok(None),
        }
    }
}

fn read(file: &dyn DiskFile, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
    let there = file.len()?.saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(there).unwrap_or(usize::MAX).min(len)];
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get_mut(at..).unwrap_or_default();
        match file.read_at(offset + at as u64, rest)? {
            0 => break,
            taken => at += taken,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

enum Walked {
    Found(Extent),
    Nothing,
    Needs(usize),
}

/// What of the bytes is whole frames.
struct Extent {
    range: Range,
}

impl Extent {
    fn of(self, mut bytes: Vec<u8>) -> Found {
        bytes.truncate(usize::try_from(self.range.len).unwrap_or(usize::MAX));
        Found { range: self.range, bytes }
    }
}

fn walk(bytes: &[u8], place: &Place, synced: u64) -> Walked {
    let salt = place.segment.salt;
    let mut at = 0;
    if place.offset == 0 {
        match record::line(bytes).and_then(|line| Some((line.len(), Header::parse(line)?))) {
            Some((len, header)) if header.salt == salt => at = len,
            _ => return Walked::Nothing,
        }
    }
    let (mut len, mut position) = (0, Position(place.position));
    let mut times: Option<(i64, i64)> = None;
    while let Some((frame_at, line, parsed)) = next_frame(bytes, at) {
        let start = frame_at + line.len();
        let Some(end) =
            usize::try_from(parsed.frame.len).ok().and_then(|len| start.checked_add(len))
        else {
            break;
        };
        let Some(payload) = bytes.get(start..end) else {
            if len == 0 {
                return Walked::Needs(end);
            }
            break;
        };
        let follows = parsed.frame.position == position && parsed.vouches_for(salt, line, payload);
        let behind = position.after(payload.len());
        if !follows || behind.0 > synced || (len > 0 && end > PIECE_BYTES_MAX) {
            break;
        }
        let time = parsed.frame.millis.max(0);
        times = Some(times.map_or((time, time), |(first, last)| (first, last.max(time))));
        (at, len, position) = (end, end, behind);
    }
    let Some((first_time, last_time)) = times else { return Walked::Nothing };
    let (offset, len, end) = (place.offset, len as u64, position.0);
    Walked::Found(Extent { range: Range { offset, len, end, first_time, last_time } })
}

/// The frame line at `at`, or behind filler there.
fn next_frame(bytes: &[u8], mut at: usize) -> Option<(usize, &[u8], FrameLine)> {
    let limit = at.saturating_add(FILLER_BYTES_MAX);
    loop {
        let line = record::line(bytes.get(at..)?)?;
        if record::is_filler(line) && at < limit {
            at += line.len();
            continue;
        }
        return Some((at, line, FrameLine::parse(line)?));
    }
}

/// The start of a file as a segment: its header, and the position of its first frame, where it has one.
pub fn start_of(disk: &dyn Disk, path: &str) -> Result<Option<(Header, Option<u64>)>, DiskError> {
    let file = disk.open(path, OpenMode::Read)?;
    let head = read(file.as_ref(), 0, HEADER_LEN_MAX)?;
    let Some((len, header)) =
        record::line(&head).and_then(|line| Some((line.len(), Header::parse(line)?)))
    else {
        return Ok(None);
    };
    let rest = read(file.as_ref(), 0, FILLER_BYTES_MAX)?;
    let Some((at, line, parsed)) = next_frame(&rest, len) else { return Ok(Some((header, None))) };
    let place = Place {
        segment: SegmentId {
            seq: 0,
            salt: header.salt,
            previous: Salt(0),
            start: parsed.frame.position.0,
        },
        offset: at as u64,
        position: parsed.frame.position.0,
    };
    debug_assert!(!line.is_empty());
    let found = next(file.as_ref(), &place, u64::MAX)?;
    Ok(Some((header, found.map(|_| parsed.frame.position.0))))
}
