//! What can still be believed of a damaged log file, before and behind its bad places.
//!
//! `reader` stops at the first thing that does not fit; this walks on. In framed files it goes to the next
//! frame whose checksum holds, so a unit is there whole or not at all. Records without frames have nothing that
//! vouches for them: it goes to the next place where two records in a row are spelled as a server spells them, and
//! leaves out what turns out to be the second half of a transaction. Nothing is decided here: units and
//! skipped places are shown in the order of the file, and `fastness repair` makes a new file of them.

use super::reader::starts_foreign_tail;
use super::record::{self, FrameLine, HEADER_START, Header, Position, Salt};
use super::syntax::{self, Spelling};
use crate::clock::UnixMillis;

/// Commands of a skipped place that are kept for the report.
const SHOWN_COMMANDS_MAX: usize = 1000;
/// Bytes of each of their words.
const SHOWN_BYTES_MAX: usize = 64;

/// A file to walk over.
#[derive(Clone, Copy, Debug)]
pub struct DamagedFile<'a> {
    pub bytes: &'a [u8],
    /// Salts that it may have, should its header not tell.
    pub salts: &'a [Salt],
    /// Where records start, behind a snapshot.
    pub records_at: usize,
    /// The position at its start; `None`: that of the first frame, or zero.
    pub position: Option<Position>,
}

/// What the walk comes by.
#[derive(Debug)]
pub enum Found<'a> {
    /// A record, or a transaction from MULTI to EXEC.
    Unit(SalvagedUnit<'a>),
    /// A place that cannot be believed.
    Skipped(Skipped),
}

/// Records that take effect together.
#[derive(Debug)]
pub struct SalvagedUnit<'a> {
    /// As they stand in the file.
    pub bytes: &'a [u8],
    /// Where.
    pub offset: u64,
    /// The position behind it in the log as it was written.
    pub position: Position,
    /// When it was logged, as far as the file says.
    pub time: Option<UnixMillis>,
    /// It is the first of a frame, which begins in database 0 whatever came before it.
    pub begins_frame: bool,
    /// The last database that it selects.
    pub selects: Option<u32>,
    /// Whether it does nothing but select a database.
    pub only_selects: bool,
}

/// A place that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub offset: u64,
    pub len: u64,
    /// The position of the log at its start.
    pub position: Position,
    pub reason: &'static str,
    /// The commands in it that can be read, each with its first argument, escaped.
    pub commands: Vec<String>,
    /// How many more there are.
    pub more: u64,
    /// The last database that is selected in it.
    pub selects: Option<u32>,
}

/// Walks over a file; returns the position behind it.
pub fn salvage<'a>(file: &DamagedFile<'a>, visit: &mut dyn FnMut(Found<'a>)) -> Position {
    let mut walk = Walk {
        bytes: file.bytes,
        at: file.records_at,
        position: file.position.unwrap_or_default(),
        unplaced: file.position.is_none(),
        time: None,
        failed_at: 0,
        salt: Salt(0),
        begins_frame: false,
        visit,
    };
    let framed =
        file.records_at == 0 && (file.bytes.starts_with(HEADER_START) || !file.salts.is_empty());
    if framed && walk.header(file.salts) {
        walk.frames();
    } else {
        walk.records();
    }
    walk.position
}

struct Walk<'a, 'v> {
    bytes: &'a [u8],
    at: usize,
    position: Position,
    /// Whether the position is still to be learnt.
    unplaced: bool,
    time: Option<UnixMillis>,
    /// Where the last unit that could not be read has its bad record.
    failed_at: usize,
    salt: Salt,
    begins_frame: bool,
    visit: &'v mut dyn FnMut(Found<'a>),
}

impl<'a> Walk<'a, '_> {
    fn rest(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// Finds the salt, and goes behind the header. False when the file has no frame of any salt that it may have.
    fn header(&mut self, salts: &[Salt]) -> bool {
        let line = record::line(self.bytes);
        if let Some((line, header)) = line.and_then(|line| Some((line, Header::parse(line)?))) {
            self.salt = header.salt;
            self.at = line.len();
            return true;
        }
        let digits = self.bytes.get(12..28).and_then(|digits| record::hex(digits, 16));
        let candidates = digits.map(Salt).into_iter().chain(salts.iter().copied());
        for salt in candidates {
            self.salt = salt;
            if let Some(first) = self.next_frame(0) {
                self.skip(first, "the header line is damaged");
                return true;
            }
        }
        // No frame holds, whatever the salt is: everything in it is lost.
        if self.bytes.windows(3).any(|start| start == b"#F " || start == b"#L ") {
            self.skip(self.bytes.len(), "neither the header nor any frame holds");
            return true;
        }
        false
    }

    fn frames(&mut self) {
        while self.at < self.bytes.len() {
            let rest = self.rest(self.at);
            let line = record::line(rest).unwrap_or_default();
            if record::is_filler(line) {
                self.at += line.len();
            } else if let Some((start, parsed)) = self.frame_at(self.at) {
                self.frame(start, &parsed);
            } else if let Some(next) = self.next_frame(self.at) {
                self.skip(next, "no frame whose checksum holds");
            } else if starts_foreign_tail(rest) {
                return self.records();
            } else {
                self.skip(self.bytes.len(), "no frame whose checksum holds");
            }
        }
    }

    /// The payload's start and the line of a frame at `at` whose checksum holds.
    fn frame_at(&self, at: usize) -> Option<(usize, FrameLine)> {
        let rest = self.rest(at);
        let line = record::line(rest)?;
        let parsed = FrameLine::parse(line)?;
        let len = usize::try_from(parsed.frame.len).ok()?;
        let payload = rest.get(line.len()..)?.get(..len)?;
        parsed.vouches_for(self.salt, line, payload).then_some((at + line.len(), parsed))
    }

    /// The first frame from `from` on whose checksum holds. What a crafted file makes it hash in vain is bounded.
    fn next_frame(&self, from: usize) -> Option<usize> {
        let mut budget = (self.bytes.len() as u64).saturating_mul(4).saturating_add(1 << 20);
        let starts = self.rest(from).windows(3).enumerate();
        for (at, _) in starts.filter(|(_, start)| *start == b"#F " || *start == b"#L ") {
            let line = record::line(self.rest(from + at)).unwrap_or_default();
            let len = FrameLine::parse(line).map_or(0, |parsed| parsed.frame.len);
            let left = (self.bytes.len() - from - at) as u64;
            budget = budget.checked_sub(if len <= left { len } else { 0 })?;
            if self.frame_at(from + at).is_some() {
                return Some(from + at);
            }
        }
        None
    }

    fn frame(&mut self, start: usize, parsed: &FrameLine) {
        let frame = parsed.frame;
        let end = start + usize::try_from(frame.len).unwrap_or(0);
        if std::mem::take(&mut self.unplaced) {
            self.position = frame.position;
        }
        if frame.position < self.position && frame.len > 0 {
            return self
                .skip(end, "a frame that is there a second time, or is older than it may be");
        }
        if frame.position > self.position {
            self.show_skipped(self.at, self.at, "frames are missing here");
            self.position = frame.position;
        }
        self.time = Some(frame.millis);
        self.at = start;
        let bytes = self.bytes.get(..end).unwrap_or_default();
        self.begins_frame = true;
        while self.at < end {
            if !self.unit(bytes, Spelling::Strict) {
                self.skip(end, "a record that is not well formed");
            }
        }
        self.begins_frame = false;
    }

    fn records(&mut self) {
        while self.at < self.bytes.len() {
            let rest = self.rest(self.at);
            if rest.first() == Some(&b'#')
                && let Some(line) = record::line(rest)
            {
                let seconds = line.strip_prefix(b"#TS:").map(<[u8]>::trim_ascii);
                let seconds =
                    seconds.and_then(|seconds| str::from_utf8(seconds).ok()?.parse().ok());
                self.time = seconds.and_then(|s: UnixMillis| s.checked_mul(1000)).or(self.time);
                self.at += line.len();
            } else if !self.unit(self.bytes, Spelling::Sloppy) {
                // What a transaction holds before the bad record goes with it.
                let next = self.next_records(self.failed_at + 1);
                self.skip(next, "a record that cannot be read");
            }
        }
    }

    /// Shows the unit at `at`, within `bytes`; false when there is none.
    fn unit(&mut self, bytes: &'a [u8], spelling: Spelling) -> bool {
        let (start, mut at) = (self.at, self.at);
        let (mut open, mut selects, mut others) = (false, None, false);
        let mut comments = 0;
        let mut args = Vec::new();
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if open && spelling == Spelling::Sloppy && rest.first() == Some(&b'#') {
                let Some(line) = record::line(rest) else {
                    self.failed_at = at;
                    return false;
                };
                comments += line.len();
                at += line.len();
                continue;
            }
            args.clear();
            let Ok(end) = syntax::record(bytes, at, spelling, &mut args) else {
                self.failed_at = at;
                return false;
            };
            at = end;
            let is = |word: &str| {
                args.first().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
            };
            match open {
                _ if is("MULTI") => open = true,
                true if is("EXEC") => break,
                // Redis ignores an EXEC outside a transaction, and so does nobody miss it.
                false if is("EXEC") => selects = None,
                _ if is("SELECT") => selects = database(&args).or(selects),
                _ => others = true,
            }
            if !open {
                break;
            }
        }
        self.at = at;
        self.position = self.position.after(at - start - comments);
        let unit = SalvagedUnit {
            bytes: bytes.get(start..at).unwrap_or_default(),
            offset: start as u64,
            position: self.position,
            time: self.time,
            begins_frame: std::mem::take(&mut self.begins_frame),
            selects,
            only_selects: !others && !open,
        };
        (self.visit)(Found::Unit(unit));
        true
    }

    /// Where records go on from `from` on: two in a row, or one that ends the file, that are no part of a transaction
    /// whose start is lost.
    fn next_records(&self, from: usize) -> usize {
        let mut from = from;
        loop {
            let starts = (from..self.bytes.len()).filter(|at| self.starts_line(*at));
            let Some(start) = starts.into_iter().find(|at| self.two_records(*at)) else {
                return self.bytes.len();
            };
            match self.end_of_lost_transaction(start) {
                Some(end) => from = end,
                None => return start,
            }
            if self.two_records(from) {
                return from;
            }
        }
    }

    fn starts_line(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.bytes.get(before));
        self.bytes.get(at) == Some(&b'*') && before == Some(&b'\n')
    }

    fn two_records(&self, at: usize) -> bool {
        let mut args = Vec::new();
        let mut record = |at| syntax::record(self.bytes, at, Spelling::Strict, &mut args).ok();
        record(at).is_some_and(|end| {
            end == self.bytes.len()
                || self.rest(end).first() == Some(&b'#')
                || record(end).is_some()
        })
    }

    /// Behind the EXEC that comes from `start` on before any MULTI.
    fn end_of_lost_transaction(&self, start: usize) -> Option<usize> {
        let mut at = start;
        let mut args = Vec::new();
        loop {
            let rest = self.rest(at);
            if rest.first() == Some(&b'#') {
                at += record::line(rest)?.len();
                continue;
            }
            args.clear();
            at = syntax::record(self.bytes, at, Spelling::Sloppy, &mut args).ok()?;
            let word = args.first().copied().unwrap_or_default();
            if word.eq_ignore_ascii_case(b"MULTI") {
                return None;
            }
            if word.eq_ignore_ascii_case(b"EXEC") {
                return Some(at);
            }
        }
    }

    /// Leaves out everything up to `end`.
    fn skip(&mut self, end: usize, reason: &'static str) {
        self.show_skipped(self.at, end, reason);
        self.at = end;
    }

    fn show_skipped(&mut self, start: usize, end: usize, reason: &'static str) {
        let bytes = self.bytes.get(..end).unwrap_or_default();
        let mut skipped = Skipped {
            offset: start as u64,
            len: (end - start) as u64,
            position: self.position,
            reason,
            commands: Vec::new(),
            more: 0,
            selects: None,
        };
        let (mut at, mut args) = (start, Vec::new());
        while at < end {
            args.clear();
            let starts = bytes.get(at) == Some(&b'*');
            match syntax::record(bytes, at, Spelling::Strict, &mut args) {
                Ok(next) if starts => {
                    at = next;
                    skipped.note(&args);
                }
                _ => at += 1,
            }
        }
        (self.visit)(Found::Skipped(skipped));
    }
}

impl SalvagedUnit<'_> {
    /// Appends its records as frames must have them: spelled strictly, SELECT and MULTI in small letters, without comments.
    pub fn encode_strict(&self, out: &mut Vec<u8>) {
        self.each_command(&mut |args| {
            out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
            for (index, arg) in args.iter().enumerate() {
                out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                let start = out.len();
                out.extend_from_slice(arg);
                if index == 0
                    && (arg.eq_ignore_ascii_case(b"SELECT") || arg.eq_ignore_ascii_case(b"MULTI"))
                {
                    out[start..].make_ascii_lowercase();
                }
                out.extend_from_slice(b"\r\n");
            }
        });
    }

    /// The unit as a place that is left out, when `is_bad` says so of the words of one of its commands.
    pub fn skipped_if(
        &self,
        is_bad: impl Fn(&[&[u8]]) -> bool,
        reason: &'static str,
    ) -> Option<Skipped> {
        let mut bad = false;
        self.each_command(&mut |args| bad = bad || is_bad(args));
        if !bad {
            return None;
        }
        let len = self.bytes.len();
        let mut skipped = Skipped {
            offset: self.offset,
            len: len as u64,
            position: Position(self.position.0.saturating_sub(len as u64)),
            reason,
            commands: Vec::new(),
            more: 0,
            selects: self.selects,
        };
        self.each_command(&mut |args| skipped.note(args));
        Some(skipped)
    }

    /// Its commands as they stand there, MULTI and EXEC among them.
    fn each_command(&self, visit: &mut dyn FnMut(&[&[u8]])) {
        let (mut at, mut args) = (0, Vec::new());
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.first() == Some(&b'#') {
                at += record::line(rest).map_or(rest.len(), <[u8]>::len);
                continue;
            }
            args.clear();
            // They were read once already.
            let Ok(end) = syntax::record(self.bytes, at, Spelling::Sloppy, &mut args) else {
                return;
            };
            visit(&args);
            at = end;
        }
    }
}

impl Skipped {
    fn note(&mut self, args: &[&[u8]]) {
        let word = |at: usize| {
            let word = args.get(at).copied().unwrap_or_default();
            word.get(..SHOWN_BYTES_MAX.min(word.len())).unwrap_or_default().escape_ascii()
        };
        if args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"SELECT")) {
            self.selects = database(args).or(self.selects);
        }
        if self.commands.len() < SHOWN_COMMANDS_MAX {
            self.commands.push(format!("{} {}", word(0), word(1)).trim_end().to_owned());
        } else {
            self.more += 1;
        }
    }
}

fn database(args: &[&[u8]]) -> Option<u32> {
    str::from_utf8(args.get(1)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(line: &str) -> Vec<u8> {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
        bytes
    }

    fn walk(bytes: &[u8]) -> (Vec<String>, Vec<Skipped>) {
        let (mut units, mut skipped) = (Vec::new(), Vec::new());
        let file = DamagedFile { bytes, salts: &[], records_at: 0, position: None };
        salvage(&file, &mut |found| match found {
            Found::Unit(unit) => {
                let mut args = Vec::new();
                let mut at = 0;
                while at < unit.bytes.len() {
                    at = syntax::record(unit.bytes, at, Spelling::Sloppy, &mut args).unwrap();
                }
                units.push(String::from_utf8_lossy(&args.join(&b' ')).into_owned());
            }
            Found::Skipped(place) => skipped.push(place),
        });
        (units, skipped)
    }

    #[test]
    fn records_before_and_behind_a_bad_place_are_kept() {
        let mut bytes: Vec<u8> =
            ["SELECT 1", "SET a 1", "SET b 2", "SET c 3", "SET d 4"].map(record_of).concat();
        let at = bytes.windows(5).position(|bytes| bytes == b"SET\r\n").unwrap();
        let bad = at + record_of("SET a 1").len() - 8;
        bytes[bad] = b'!';
        let (units, skipped) = walk(&bytes);
        assert_eq!(units, ["SELECT 1", "SET a 1", "SET c 3", "SET d 4"]);
        assert_eq!((skipped.len(), skipped[0].len), (1, record_of("SET b 2").len() as u64));
    }

    #[test]
    fn the_second_half_of_a_transaction_is_left_out() {
        let lines =
            ["SET a 1", "MULTI", "INCR b", "INCR c", "INCR d", "EXEC", "SET e 5", "SET f 6"];
        let sound: Vec<u8> = lines.map(record_of).concat();
        let from = record_of("SET a 1").len();
        let to = sound.len() - 2 * record_of("SET e 5").len();
        for bad in from..to {
            let mut bytes = sound.clone();
            bytes[bad] ^= 0x40;
            let (units, skipped) = walk(&bytes);
            assert_eq!(units.first().unwrap(), "SET a 1");
            // A changed byte inside of an argument cannot be seen.
            let text = units.join("|");
            let parts = ["INCR b", "INCR c", "INCR d"].map(|part| text.contains(part));
            let whole = text.contains("MULTI") && text.contains("EXEC");
            assert!(whole || skipped.is_empty() || parts == [false; 3], "{bad}: {text}");
        }
    }

    #[test]
    fn nothing_that_a_file_holds_makes_it_stop_or_panic() {
        let sound: Vec<u8> = [
            include_bytes!("../../format-spec/vectors/aof-framed.aof").to_vec(),
            record_of("SET a 1"),
        ]
        .concat();
        for at in 0..sound.len() {
            for flip in [1, 0x20, 0xff] {
                let mut bytes = sound.clone();
                bytes[at] ^= flip;
                walk(&bytes);
                walk(&bytes[at..]);
            }
        }
        let (units, skipped) = walk(include_bytes!("../../format-spec/vectors/aof-damaged.aof"));
        assert_eq!((units.len(), skipped.len()), (2, 2), "{units:?} {skipped:?}");
        assert!(skipped[0].commands.iter().any(|command| command.starts_with("INCR")));
    }
}
