//! Reads one log file: hands out its units in order and judges the first thing that does not fit.
//!
//! Read-only and pure: it walks a slice of bytes (a mapped file). Framed files are believed frame by frame,
//! and a frame only after its checksum, position and predecessor are verified. Files without a header (Redis wrote
//! them) are believed as far as they parse, and so are records that Redis appended behind our frames;
//! their units say `checked: false`.
//!
//! The end of what is believed is always a place where the file may be cut: the end of a frame, or of a
//! unit outside frames. What is wrong behind it is torn or damaged by the rules of `format-spec/aof.md`,
//! section 6: it is damaged when a later, valid frame proves that the bytes were synced.

use std::collections::VecDeque;

use super::corruption::{CorruptionError, CorruptionKind};
use super::record::{self, FrameLine, HEADER_START, Header, Position, Salt};
use super::syntax::{self, RecordFault, Spelling};
use crate::clock::UnixMillis;

/// What a snapshot file starts with: RDB of Redis and Valkey, our container, zstd, gzip.
const SNAPSHOT_STARTS: [&[u8]; 5] =
    [b"REDIS", b"VALKEY", b"\x50\x2a\x4d\x18", b"\x28\xb5\x2f\xfd", b"\x1f\x8b"];

/// Whether a base file starts with a snapshot, whose end the snapshot loader has to find.
pub fn starts_with_snapshot(bytes: &[u8]) -> bool {
    SNAPSHOT_STARTS.iter().any(|start| bytes.starts_with(start))
}

/// Where a file ends, for the one that continues it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its salt; 0 when its end is not framed.
    pub salt: Salt,
    /// The position at its end; `None` when neither it nor what is before it tells.
    pub end: Option<Position>,
    /// The checksum of the last frame in it or, when it has none, before it; 0 when its end is not
    /// framed, `None` when what is before it is not known.
    pub crc: Option<u32>,
}

impl Link {
    /// The link of a file whose end is not framed.
    pub fn unframed(end: Position) -> Self {
        Self { salt: Salt(0), end: Some(end), crc: Some(0) }
    }
}

/// What is known about a file before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The salt that the manifest lists for it.
    pub salt: Option<Salt>,
    /// The position that the base holds, for the first segment behind it.
    pub position: Option<Position>,
    /// The end of the segment before it.
    pub previous: Option<Link>,
    /// Where records start: behind a snapshot that the file starts with.
    pub records_at: usize,
}

/// Records that take effect together: one command, or the commands of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct ReadUnit<'r, 'a> {
    args: &'r [&'a [u8]],
    /// Where the arguments of each command end in `args`.
    ends: &'r [usize],
    /// The offset of its first byte in the file.
    pub offset: u64,
    /// The position behind it.
    pub position: Position,
    /// When it was logged, as far as the file says.
    pub time: Option<UnixMillis>,
    /// Whether a checksum vouches for it.
    pub checked: bool,
    /// Whether it was wrapped in MULTI and EXEC.
    pub transaction: bool,
}

impl<'r, 'a> ReadUnit<'r, 'a> {
    /// The commands, without MULTI and EXEC; each has at least one argument, its name.
    pub fn commands(&self) -> impl Iterator<Item = &'r [&'a [u8]]> + use<'r, 'a> {
        let (args, mut start) = (self.args, 0);
        self.ends.iter().map(move |end| {
            let command = args.get(start..*end).unwrap_or_default();
            start = *end;
            command
        })
    }
}

/// Where a file's believed content ends and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEnd {
    /// The offset behind the last believed byte: where the file may be cut.
    pub offset: u64,
    /// The position there.
    pub position: Position,
    /// The same without what was appended behind frames: how far the writer of the file brought it.
    pub reached: Position,
    /// What the next segment must continue.
    pub link: Link,
    /// Frames that were verified.
    pub frames: u64,
    /// Units that were handed out.
    pub units: u64,
    /// Units among them for which no checksum vouches.
    pub unchecked_units: u64,
    /// The time of the last frame or timestamp.
    pub time: Option<UnixMillis>,
    /// The bytes before this offset were synced, which a frame behind them proves.
    pub synced_offset: u64,
    /// Whether the file has a header.
    pub framed: bool,
}

/// The reader of one file.
#[derive(Debug)]
pub struct FileReader<'a> {
    file: String,
    bytes: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// In framed content: where the current frame's payload ends; `at` in between frames.
    frame_end: usize,
    /// `None` in files without a header.
    header: Option<Header>,
    /// Whether records come in frames here; false behind the first record without one.
    in_frames: bool,
    /// Whether the next frame must be the first one of the file.
    first: bool,
    position: Position,
    /// The time of the current frame or the last timestamp.
    time: Option<UnixMillis>,
    /// The link behind the current frame.
    frame_link: Link,
    end: FileEnd,
    /// Ends (position, offset) of frames that are not proven to be synced, oldest first.
    unproven: VecDeque<(Position, usize)>,
    args: Vec<&'a [u8]>,
    ends: Vec<usize>,
}

impl<'a> FileReader<'a> {
    /// Starts reading `bytes`, the content of the file listed as `file`.
    pub fn open(file: &str, bytes: &'a [u8], expected: Expected) -> Result<Self, CorruptionError> {
        let mut reader = Self::unframed(file, bytes, expected);
        let ours = bytes.starts_with(HEADER_START) && expected.records_at == 0;
        if !ours && expected.salt.is_none() {
            return Ok(reader);
        }
        let line = record::line(bytes);
        let Some((line, header)) = line.and_then(|line| Some((line, Header::parse(line)?))) else {
            return Err(reader.error(0, CorruptionKind::BadHeader, false));
        };
        if expected.salt.is_some_and(|salt| salt != header.salt) {
            return Err(reader.error(0, CorruptionKind::WrongFile, false));
        }
        if expected.previous.is_some_and(|link| link.salt != header.previous) {
            return Err(reader.error(0, CorruptionKind::WrongPredecessor, false));
        }
        reader.header = Some(header);
        (reader.in_frames, reader.first) = (true, true);
        reader.at = line.len();
        reader.frame_end = reader.at;
        reader.end.framed = true;
        reader.end.offset = line.len() as u64;
        reader.end.synced_offset = line.len() as u64;
        reader.end.link = Link {
            salt: header.salt,
            end: expected.previous.map_or(expected.position, |link| link.end),
            crc: expected.previous.and_then(|link| link.crc),
        };
        Ok(reader)
    }

    fn unframed(file: &str, bytes: &'a [u8], expected: Expected) -> Self {
        let before = expected.previous.map_or(expected.position, |link| link.end);
        let position = before.unwrap_or_default();
        let offset = expected.records_at as u64;
        Self {
            file: file.to_owned(),
            bytes,
            at: expected.records_at,
            frame_end: 0,
            header: None,
            in_frames: false,
            first: false,
            position,
            time: None,
            frame_link: Link::default(),
            end: FileEnd {
                offset,
                position,
                reached: position,
                link: Link::unframed(position),
                frames: 0,
                units: 0,
                unchecked_units: 0,
                time: None,
                synced_offset: offset,
                framed: false,
            },
            unproven: VecDeque::new(),
            args: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The file's header, when it has one.
    pub fn header(&self) -> Option<Header> {
        self.header
    }

    /// What has been believed so far; after the last unit or an error, what the file is worth.
    pub fn end(&self) -> FileEnd {
        self.end
    }

    /// The next unit; `None` at the end of a file that is whole. After an error there is nothing more.
    pub fn next_unit(&mut self) -> Result<Option<ReadUnit<'_, 'a>>, CorruptionError> {
        while self.in_frames && self.at >= self.frame_end {
            if !self.next_frame()? {
                return Ok(None);
            }
        }
        let unit = if self.in_frames { self.framed_unit()? } else { self.plain_unit()? };
        let Some((offset, transaction)) = unit else { return Ok(None) };
        let checked = self.in_frames;
        self.end.units += 1;
        self.end.unchecked_units += u64::from(!checked);
        Ok(Some(ReadUnit {
            args: &self.args,
            ends: &self.ends,
            offset: offset as u64,
            position: self.position,
            time: self.time,
            checked,
            transaction,
        }))
    }

    /// Goes to the next frame, or to records without one. False at the end of the file.
    fn next_frame(&mut self) -> Result<bool, CorruptionError> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(false);
            }
            let Some(line) = record::line(rest) else {
                let endless = rest.first() == Some(&b'#') && rest.len() < record::LINE_LEN_MAX;
                let kind = if endless {
                    CorruptionKind::UnterminatedLine
                } else {
                    CorruptionKind::NoFrame
                };
                return Err(self.judge(kind));
            };
            if record::is_filler(line) {
                self.at += line.len();
                self.frame_end = self.at;
                continue;
            }
            if let Some(parsed) = FrameLine::parse(line) {
                self.enter_frame(line, parsed)?;
                return Ok(true);
            }
            if !starts_foreign_tail(rest) {
                return Err(self.judge(CorruptionKind::NoFrame));
            }
            self.in_frames = false;
            self.end.link = Link::unframed(self.position);
            return Ok(true);
        }
    }

    /// Verifies the frame at `at` and makes its payload the current one.
    fn enter_frame(&mut self, line: &[u8], parsed: FrameLine) -> Result<(), CorruptionError> {
        let salt = self.header.map(|header| header.salt).unwrap_or_default();
        let start = self.at + line.len();
        let Some(payload) = payload(self.bytes, start, parsed.frame.len) else {
            return Err(self.judge(CorruptionKind::ShortPayload));
        };
        if !parsed.vouches_for(salt, line, payload) {
            return Err(self.judge(CorruptionKind::BadChecksum));
        }
        // From here on the frame is genuine; where it does not belong here, no torn write put it here.
        if let Some(kind) = self.misplaced(&parsed) {
            return Err(self.error(self.at, kind, false));
        }
        let frame = parsed.frame;
        self.position = frame.position;
        self.first = false;
        self.at = start;
        self.frame_end = start + payload.len();
        self.time = Some(frame.millis);
        let end = frame.position.after(payload.len());
        self.frame_link = Link { salt, end: Some(end), crc: Some(parsed.crc) };
        while let Some((position, offset)) = self.unproven.front()
            && *position <= frame.proves_synced()
        {
            self.end.synced_offset = *offset as u64;
            self.unproven.pop_front();
        }
        self.unproven.push_back((end, self.frame_end));
        if payload.is_empty() {
            self.believe();
        }
        Ok(())
    }

    /// What is wrong with the place of a genuine frame.
    fn misplaced(&self, parsed: &FrameLine) -> Option<CorruptionKind> {
        let frame = parsed.frame;
        if self.first != frame.previous_end.is_some() {
            return Some(CorruptionKind::MisplacedFirstFrame);
        }
        let (link, found) = (self.end.link, frame.position);
        if let Some(expected) = link.end {
            if found < expected {
                return Some(CorruptionKind::Repeated { expected, found });
            }
            if found > expected {
                return Some(CorruptionKind::Missing { expected, found });
            }
        }
        let right_end = frame.previous_end.is_none_or(|end| end == found);
        let right_crc = link.crc.is_none_or(|crc| crc == frame.previous_crc);
        (!right_end || !right_crc).then_some(CorruptionKind::WrongPredecessor)
    }

    /// The next unit of the current frame.
    fn framed_unit(&mut self) -> Result<Option<(usize, bool)>, CorruptionError> {
        let start = self.at;
        let bytes = self.bytes.get(..self.frame_end).unwrap_or_default();
        self.args.clear();
        self.ends.clear();
        let mut transaction = false;
        loop {
            let first_arg = self.args.len();
            let end = syntax::record(bytes, self.at, Spelling::Strict, &mut self.args);
            // The checksum held, so this was written so: a bug of a writer, not of the medium.
            let end = end.map_err(|fault| {
                let split = fault == RecordFault::Truncated && self.at == self.frame_end;
                let kind = CorruptionKind::BadRecord(fault);
                let kind = if split { CorruptionKind::SplitTransaction } else { kind };
                self.error(start, kind, false)
            })?;
            self.position = self.position.after(end - self.at);
            self.at = end;
            match (Word::of(self.args.get(first_arg)), transaction) {
                (Word::Multi, false) => {
                    self.args.truncate(first_arg);
                    transaction = true;
                }
                (Word::Exec, true) => {
                    self.args.truncate(first_arg);
                    break;
                }
                (Word::Multi, true) | (Word::Exec, false) => {
                    return Err(self.error(start, CorruptionKind::SplitTransaction, false));
                }
                (Word::Other, _) => {
                    self.ends.push(self.args.len());
                    if !transaction {
                        break;
                    }
                }
            }
        }
        if self.at == self.frame_end {
            self.believe();
        }
        Ok(Some((start, transaction)))
    }

    /// The next unit where records have no frames.
    fn plain_unit(&mut self) -> Result<Option<(usize, bool)>, CorruptionError> {
        self.args.clear();
        self.ends.clear();
        let mut start = self.at;
        let mut transaction = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if rest.is_empty() && !transaction {
                self.believe();
                return Ok(None);
            }
            if !transaction {
                start = self.at;
            }
            if rest.first() == Some(&b'#') {
                self.annotation(rest, start)?;
                continue;
            }
            let first_arg = self.args.len();
            let end = match syntax::record(self.bytes, self.at, Spelling::Sloppy, &mut self.args) {
                Ok(end) => end,
                Err(fault) => return Err(self.plain_fault(start, fault, transaction)),
            };
            self.position = self.position.after(end - self.at);
            self.at = end;
            // Redis complains about a MULTI inside another and an EXEC without one, and goes on.
            match (Word::of(self.args.get(first_arg)), transaction) {
                (Word::Multi, _) => {
                    self.args.truncate(first_arg);
                    transaction = true;
                }
                (Word::Exec, true) => {
                    self.args.truncate(first_arg);
                    break;
                }
                (Word::Exec, false) => self.args.truncate(first_arg),
                (Word::Other, _) => {
                    self.ends.push(self.args.len());
                    if !transaction {
                        break;
                    }
                }
            }
        }
        self.believe();
        Ok(Some((start, transaction)))
    }

    /// Skips the `#` line that `rest` starts with; `cut` is where the file is believed up to.
    fn annotation(&mut self, rest: &[u8], cut: usize) -> Result<(), CorruptionError> {
        let Some(line) = record::line(rest) else {
            let torn = rest.len() < record::LINE_LEN_MAX;
            return Err(self.error(cut, CorruptionKind::UnterminatedLine, torn));
        };
        if FrameLine::parse(line).is_some() {
            return Err(self.error(self.at, CorruptionKind::FrameWithoutHeader, false));
        }
        if let Some(seconds) = line.strip_prefix(b"#TS:") {
            let seconds = str::from_utf8(seconds.trim_ascii()).ok().and_then(|s| s.parse().ok());
            let millis = seconds.and_then(|s: UnixMillis| s.checked_mul(1000));
            self.time = millis.or(self.time);
        }
        self.at += line.len();
        Ok(())
    }

    /// The error for a record without a frame that cannot be read; the unit started at `start`.
    fn plain_fault(&self, start: usize, fault: RecordFault, transaction: bool) -> CorruptionError {
        if fault == RecordFault::Truncated {
            let open = transaction && self.at == self.bytes.len();
            let kind = CorruptionKind::TruncatedRecord;
            let kind = if open { CorruptionKind::OpenTransaction } else { kind };
            return self.error(start, kind, true);
        }
        // A size that was extended before the bytes came leaves zeros at the end.
        let zeros = self.bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let written = self.bytes.len() - zeros;
        let before = self.bytes.get(..written).unwrap_or_default();
        let mut args = Vec::new();
        let cut = syntax::record(before, self.at, Spelling::Sloppy, &mut args);
        if zeros > 0 && cut == Err(RecordFault::Truncated) {
            return self.error(start, CorruptionKind::ZeroTail, true);
        }
        self.error(start, CorruptionKind::BadRecord(fault), false)
    }

    /// Everything up to `at` is believed and may be the end of the file.
    fn believe(&mut self) {
        self.end.offset = self.at as u64;
        self.end.position = self.position;
        self.end.time = self.time;
        if self.in_frames || !self.end.framed {
            self.end.reached = self.position;
        }
        if self.in_frames {
            self.end.link = self.frame_link;
            self.end.frames += 1;
        } else {
            self.end.link = Link::unframed(self.position);
        }
    }

    /// The error at `at`, in between frames, where there is no genuine frame.
    ///
    /// It is torn unless a genuine frame further on proves that this place was synced once.
    fn judge(&self, kind: CorruptionKind) -> CorruptionError {
        let proven = self.proven_behind(self.at);
        self.error(self.at, kind, !proven)
    }

    /// Whether there is a genuine frame behind `from` that was made after the bytes at `from` were synced.
    fn proven_behind(&self, from: usize) -> bool {
        let salt = self.header.map(|header| header.salt).unwrap_or_default();
        let here = self.end.link.end;
        let bytes = self.bytes.get(from..).unwrap_or_default();
        // What a crafted value could make us hash in vain; beyond it, nothing is cut off unseen.
        let mut budget = bytes.len() as u64 * 4 + (1 << 20);
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'#') {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some((line, parsed)) = frame_line(rest) else { continue };
            let frame = parsed.frame;
            let proves = match here {
                Some(here) => {
                    let within = frame.position >= here && frame.position.since(here) <= at as u64;
                    within && frame.proves_synced() > here
                }
                None => frame.previous_end.is_none() && frame.unsynced == 0,
            };
            if !proves {
                continue;
            }
            let Some(payload) = payload(rest, line.len(), frame.len) else { continue };
            match budget.checked_sub(payload.len() as u64) {
                Some(rest) => budget = rest,
                None => return true,
            }
            if parsed.vouches_for(salt, line, payload) {
                return true;
            }
        }
        false
    }

    fn error(&self, offset: usize, kind: CorruptionKind, torn: bool) -> CorruptionError {
        let position = self.end.position;
        CorruptionError { file: self.file.clone(), offset: offset as u64, position, kind, torn }
    }
}

/// The command names that the reader itself needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Multi,
    Exec,
    Other,
}

impl Word {
    fn of(name: Option<&&[u8]>) -> Self {
        match name {
            Some(name) if name.eq_ignore_ascii_case(b"MULTI") => Self::Multi,
            Some(name) if name.eq_ignore_ascii_case(b"EXEC") => Self::Exec,
            _ => Self::Other,
        }
    }
}

/// The frame line at the start of `bytes`.
fn frame_line(bytes: &[u8]) -> Option<(&[u8], FrameLine)> {
    if !bytes.starts_with(b"#F ") && !bytes.starts_with(b"#L ") {
        return None;
    }
    let line = record::line(bytes)?;
    Some((line, FrameLine::parse(line)?))
}

/// `len` bytes from `start` on, when there are so many.
fn payload(bytes: &[u8], start: usize, len: u64) -> Option<&[u8]> {
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}

/// Whether `rest`, behind a frame, is what a Redis server starts with when it goes on writing our file:
/// SELECT or MULTI, with a timestamp before it where those are enabled.
pub(super) fn starts_foreign_tail(rest: &[u8]) -> bool {
    let timestamp = record::line(rest).filter(|line| line.starts_with(b"#TS:"));
    let rest = rest.get(timestamp.map_or(0, <[u8]>::len)..).unwrap_or_default();
    rest.starts_with(b"*2\r\n$6\r\nSELECT\r\n") || rest.starts_with(b"*1\r\n$5\r\nMULTI\r\n")
}

/// For the fuzzer: whatever a file holds, reading it ends, and what was believed of a file is all that is
/// found once the file is cut there.
#[doc(hidden)]
pub fn fuzz_aof_reader(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut reader = FileReader::open("fuzz", bytes, Expected::default()).ok()?;
        let whole = loop {
            match reader.next_unit() {
                Ok(Some(unit)) => assert!(unit.commands().all(|command| !command.is_empty())),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Some((reader.end(), whole))
    };
    let Some((end, false)) = read(bytes) else { return };
    let cut = usize::try_from(end.offset).ok().and_then(|offset| bytes.get(..offset));
    let Some(cut) = cut else { panic!("the end is behind the file's") };
    if let Some((again, whole)) = read(cut) {
        assert!(whole && again.units == end.units, "{again:?} instead of {end:?}");
    }
}

#[cfg(test)]
mod tests;
