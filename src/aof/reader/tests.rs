//! Each way in which a file can be whole, torn or damaged, and what is said about it.

use super::super::chain::{LogEnd, ReadError, SegmentFile, read_log};
use super::super::record::{Frame, encode_frame_line};
use super::*;
use crate::resp::unit::{Letters, UnitBuffer};

const SALT: Salt = Salt(0x1111_2222_3333_4444);

/// A record of a command given as words.
fn record_of(command: &str) -> Vec<u8> {
    let words: Vec<&str> = command.split(' ').collect();
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

fn records_of(commands: &[&str]) -> Vec<u8> {
    commands.iter().flat_map(|command| record_of(command)).collect()
}

/// A framed file under construction.
struct Builder {
    salt: Salt,
    bytes: Vec<u8>,
    position: Position,
    synced: Position,
    crc: u32,
    first: bool,
    /// The offset of each frame.
    frames: Vec<usize>,
}

impl Builder {
    fn new(salt: Salt, previous: Link) -> Self {
        let mut bytes = Vec::new();
        Header { salt, previous: previous.salt }.encode(&mut bytes);
        let position = previous.end.unwrap_or_default();
        let crc = previous.crc.unwrap_or(0);
        Self { salt, bytes, position, synced: position, crc, first: true, frames: Vec::new() }
    }

    fn start() -> Self {
        Self::new(SALT, Link::default())
    }

    /// Appends a frame of raw payload.
    fn raw(mut self, payload: &[u8]) -> Self {
        let frame = Frame {
            previous_end: self.first.then_some(self.position),
            position: self.position,
            unsynced: self.position.since(self.synced),
            millis: 1_700_000_000_000 + 1000 * self.frames.len() as i64,
            len: payload.len() as u64,
            previous_crc: self.crc,
        };
        self.frames.push(self.bytes.len());
        let mut line = Vec::new();
        self.crc = encode_frame_line(&mut line, self.salt, &frame, payload);
        self.bytes.extend_from_slice(&line);
        self.bytes.extend_from_slice(payload);
        self.position = frame.position.after(payload.len());
        self.first = false;
        self
    }

    fn frame(self, commands: &[&str]) -> Self {
        self.raw(&records_of(commands))
    }

    fn sync(mut self) -> Self {
        self.synced = self.position;
        self
    }

    fn link(&self) -> Link {
        Link { salt: self.salt, end: Some(self.position), crc: Some(self.crc) }
    }
}

/// What reading a file comes to: its units as text, how it ends, the error.
struct Reading {
    units: Vec<String>,
    end: FileEnd,
    error: Option<CorruptionError>,
}

fn read_expecting(bytes: &[u8], expected: Expected) -> Reading {
    let mut units = Vec::new();
    let mut reader = FileReader::open("f", bytes, expected).unwrap();
    let error = loop {
        match reader.next_unit() {
            Ok(None) => break None,
            Err(error) => break Some(error),
            Ok(Some(unit)) => {
                let commands = unit.commands().map(|args| {
                    let args: Vec<_> = args.iter().map(|a| String::from_utf8_lossy(a)).collect();
                    args.join(" ")
                });
                units.push(commands.collect::<Vec<_>>().join(" ; "));
            }
        }
    };
    Reading { units, end: reader.end(), error }
}

fn read(bytes: &[u8]) -> Reading {
    read_expecting(bytes, Expected::default())
}

/// Kind, whether torn, and offset of the error.
fn verdict(bytes: &[u8]) -> (CorruptionKind, bool, u64) {
    let reading = read(bytes);
    let error = reading.error.unwrap();
    // Whatever is cut off, what is left is whole.
    let left = read(&bytes[..usize::try_from(reading.end.offset).unwrap()]);
    assert!(left.error.is_none(), "{:?}", left.error);
    assert_eq!(left.end, reading.end);
    (error.kind, error.torn, error.offset)
}

#[test]
fn frames_yield_their_units_with_positions_and_times() {
    let built = Builder::start()
        .frame(&["SELECT 0", "SET a 1"])
        .sync()
        .frame(&["MULTI", "SET b 2", "SELECT 1", "DEL c", "EXEC", "incr d"]);
    let mut reader = FileReader::open("f", &built.bytes, Expected::default()).unwrap();
    let mut seen = Vec::new();
    while let Some(unit) = reader.next_unit().unwrap() {
        assert!(unit.checked);
        let count = unit.commands().count();
        seen.push((unit.position.0, unit.time.unwrap(), unit.transaction, count));
    }
    let time = 1_700_000_000_000;
    assert_eq!(
        seen,
        [
            (23, time, false, 1),
            (50, time, false, 1),
            (149, time + 1000, true, 3),
            (170, time + 1000, false, 1)
        ]
    );
    let end = reader.end();
    assert_eq!(end.offset, built.bytes.len() as u64);
    assert_eq!((end.position, end.link), (built.position, built.link()));
    assert_eq!(end.synced_offset, built.frames[1] as u64);
    assert_eq!((end.frames, end.units, end.unchecked_units, end.framed), (2, 4, 0, true));
}

#[test]
fn filler_between_and_behind_frames_is_nothing() {
    let mut built = Builder::start().frame(&["SET a 1"]);
    built.bytes.extend_from_slice(b"####\n#\n");
    let mut built = built.frame(&["SET b 2"]);
    built.bytes.extend_from_slice(&[&[b'#'; 1000][..], b"\n"].concat());
    let reading = read(&built.bytes);
    assert_eq!((reading.units.len(), reading.error), (2, None));
}

#[test]
fn every_cut_of_the_last_frame_is_torn_at_its_start() {
    let built = Builder::start().frame(&["SET a 1"]).sync().frame(&["MULTI", "SET b 2", "EXEC"]);
    let last = built.frames[1];
    for len in last + 1..built.bytes.len() {
        let (_, torn, offset) = verdict(&built.bytes[..len]);
        assert!(torn && offset == last as u64, "{len}");
        for filler in [0u8, b'#', 0xff] {
            let mut bytes = built.bytes[..len].to_vec();
            bytes.resize(built.bytes.len() + 700, filler);
            let (kind, torn, offset) = verdict(&bytes);
            assert!(torn && offset == last as u64, "{len} {filler} {kind:?}");
        }
    }
}

#[test]
fn every_flipped_bit_is_found_and_is_damage_where_a_later_frame_proves_it() {
    let built = Builder::start()
        .frame(&["SET a 1"])
        .sync()
        .frame(&["SET b 2"])
        .sync()
        .frame(&["SET c 3"])
        .frame(&["SET d 4"]);
    // What is before frame 2 is proven synced by frames 2 and 3, and nothing proves those.
    let proven = built.frames[2];
    let header = built.frames[0];
    for bit in 0..built.bytes.len() * 8 {
        let mut bytes = built.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let at = bit / 8;
        if at < header {
            // An unreadable header is found at once, or by the frames that then have none.
            let found = FileReader::open("f", &bytes, Expected::default()).map(|mut reader| {
                std::iter::from_fn(|| reader.next_unit().transpose().map(|u| u.map(|_| ())))
                    .find_map(Result::err)
            });
            let error = found.unwrap_or_else(Some).unwrap();
            assert!(!error.torn, "bit {bit}");
            let expected = Expected { salt: Some(SALT), ..Expected::default() };
            assert!(FileReader::open("f", &bytes, expected).is_err());
            continue;
        }
        let (kind, torn, offset) = verdict(&bytes);
        let frame = built.frames.iter().rev().find(|start| **start <= at).unwrap();
        assert_eq!(offset, *frame as u64, "bit {bit}: {kind:?}");
        assert_eq!(torn, at >= proven, "bit {bit}: {kind:?}");
    }
}

#[test]
fn frames_that_are_not_in_their_place_are_named_and_are_never_torn() {
    let built = Builder::start().frame(&["SET a 1"]).frame(&["SET b 2"]).frame(&["SET c 3"]).sync();
    let [first, second, third] = built.frames[..] else { unreachable!() };
    let bytes = &built.bytes;
    let repeated = [&bytes[..third], &bytes[second..]].concat();
    let at = (bytes.len() - third) as u64;
    assert_eq!(
        verdict(&repeated),
        (
            CorruptionKind::Repeated { expected: Position(54), found: Position(27) },
            false,
            third as u64
        )
    );
    assert!(at > 0);
    let missing = [&bytes[..second], &bytes[third..]].concat();
    assert_eq!(
        verdict(&missing),
        (
            CorruptionKind::Missing { expected: Position(27), found: Position(54) },
            false,
            second as u64
        )
    );
    let no_first = [&bytes[..first], &bytes[second..]].concat();
    assert_eq!(verdict(&no_first), (CorruptionKind::MisplacedFirstFrame, false, first as u64));
    let two_firsts = [&bytes[..second], &bytes[first..]].concat();
    assert_eq!(verdict(&two_firsts), (CorruptionKind::MisplacedFirstFrame, false, second as u64));
    // The same place in the log, but behind another frame.
    let other = Builder::start().frame(&["SET a 9"]).frame(&["SET x 2"]);
    let exchanged = [&bytes[..second], &other.bytes[second..]].concat();
    assert_eq!(verdict(&exchanged), (CorruptionKind::WrongPredecessor, false, second as u64));
}

#[test]
fn frame_of_another_file_is_as_good_as_garbage() {
    let built = Builder::start().frame(&["SET a 1"]);
    let mut other = Builder::new(Salt(5), Link::default());
    (other.position, other.crc, other.first) = (built.position, built.crc, false);
    let stale = other.frame(&["SET b 2"]);
    let header = stale.frames[0];
    let bytes = [&built.bytes[..], &stale.bytes[header..]].concat();
    assert_eq!(verdict(&bytes), (CorruptionKind::BadChecksum, true, built.bytes.len() as u64));
}

#[test]
fn lost_frame_before_unsynced_ones_is_torn() {
    let built = Builder::start().frame(&["SET a 1"]).sync().frame(&["SET b 2"]).frame(&["SET c 3"]);
    let mut bytes = built.bytes.clone();
    bytes[built.frames[1]..built.frames[2]].fill(0);
    assert_eq!(verdict(&bytes), (CorruptionKind::NoFrame, true, built.frames[1] as u64));
    let closed = built.sync().raw(b"");
    let mut bytes = closed.bytes.clone();
    bytes[closed.frames[1]..closed.frames[2]].fill(0);
    assert_eq!(verdict(&bytes), (CorruptionKind::NoFrame, false, closed.frames[1] as u64));
}

#[test]
fn value_that_looks_like_a_frame_proves_nothing() {
    let mut forged = Vec::new();
    let frame = Frame {
        previous_end: None,
        position: Position(70),
        unsynced: 0,
        millis: 1,
        len: 0,
        previous_crc: 0,
    };
    encode_frame_line(&mut forged, Salt(7), &frame, b"");
    let text = String::from_utf8(forged).unwrap();
    let mut payload = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{text}\r\n", text.len());
    payload.push_str(&payload.clone());
    let built = Builder::start().raw(payload.as_bytes());
    assert_eq!(read(&built.bytes).units.len(), 2);
    let cut = &built.bytes[..built.bytes.len() - 1];
    assert_eq!(verdict(cut), (CorruptionKind::ShortPayload, true, built.frames[0] as u64));
}

#[test]
fn payload_that_no_writer_makes_is_damage() {
    for (payload, kind) in [
        (&b"*1\r\n$4\r\nPING"[..], CorruptionKind::BadRecord(RecordFault::Truncated)),
        (b"*1\n$4\r\nPING\r\n", CorruptionKind::BadRecord(RecordFault::BadLineEnd)),
        (b"*1\r\n$5\r\nMULTI\r\n", CorruptionKind::SplitTransaction),
        (b"*1\r\n$4\r\nEXEC\r\n", CorruptionKind::SplitTransaction),
    ] {
        let built = Builder::start().raw(payload);
        assert_eq!(
            verdict(&built.bytes),
            (kind, false, built.bytes.len() as u64 - payload.len() as u64)
        );
    }
}

#[test]
fn records_that_redis_appended_are_unchecked() {
    let built = Builder::start().frame(&["SET a 1"]);
    for tail in ["SELECT 0|SET b 2", "MULTI|SELECT 0|SET b 2|SET c 3|EXEC"] {
        let commands: Vec<&str> = tail.split('|').collect();
        for timestamp in ["", "#TS:1700000001\r\n"] {
            let tail = [timestamp.as_bytes(), &records_of(&commands)].concat();
            let bytes = [&built.bytes[..], &tail].concat();
            let reading = read(&bytes);
            assert_eq!(reading.error, None);
            assert_eq!(reading.end.unchecked_units, reading.end.units - 1);
            assert_eq!(
                reading.end.position.since(built.position),
                tail.len() as u64 - timestamp.len() as u64
            );
            assert_eq!(reading.end.link, Link::unframed(reading.end.position));
            let cut = read(&bytes[..bytes.len() - 1]);
            assert!(cut.error.unwrap().torn);
        }
    }
    let other = [&built.bytes[..], &record_of("SET b 2")].concat();
    assert_eq!(verdict(&other), (CorruptionKind::NoFrame, true, built.bytes.len() as u64));
    // We never go on behind such a tail, so a frame there is wrong.
    let tail = [&built.bytes[..], &record_of("SELECT 0"), &built.bytes[built.frames[0]..]].concat();
    assert_eq!(verdict(&tail).0, CorruptionKind::FrameWithoutHeader);
}

/// A frame that begins in one sector and is on the disk only from the next one on does not look as if somebody had
/// appended its records: seeds 0x70f0b3 and 0x902050 (power loss), 0x70c58b (a block in another's place).
#[test]
fn the_rest_of_a_frame_is_no_tail() {
    let built = Builder::start().frame(&["SET a 1"]);
    let lines = |to: usize| [vec![b'#'; to - 1], vec![b'\n']].concat();
    let filled =
        [&built.bytes[..], &lines(512 - built.bytes.len()), &lines(512), &lines(512)].concat();
    let long = format!("SET c {}", "x".repeat(700));
    let mut unit = UnitBuffer::default();
    for (db, command) in [(2, "SET b 2"), (3, &long)] {
        unit.push_raw(db, &record_of(command));
    }
    let mut frame = Vec::new();
    unit.frame(&mut frame, &mut None, Letters::Small);
    // The transaction, its inside, and both with a later sector missing or the end of the file in them.
    for rest in [&frame[..], &frame[b"*1\r\n$5\r\nmulti\r\n".len()..], &frame[..512], &frame[..100]]
    {
        for end in [filled.len(), 512 + rest.len(), 512 + rest.len().min(400)] {
            let mut lost = filled.clone();
            lost.resize(lost.len().max(end), b'#');
            lost[512..512 + rest.len()].copy_from_slice(rest);
            lost.truncate(end);
            let reading = read(&lost);
            assert_eq!(reading.units, ["SET a 1"]);
            assert_eq!((reading.end.position, reading.end.framed), (built.position, true));
            let error = reading.error.unwrap();
            assert_eq!(
                (error.kind, error.torn, error.offset),
                (CorruptionKind::NoFrame, true, 512)
            );
        }
    }
    // What another server appends behind the filler is taken, and cut where it ends early.
    let tail = [&record_of("SELECT 0")[..], &record_of(&long)].concat();
    let redis = [&filled[..], &tail[..]].concat();
    let reading = read(&redis);
    assert_eq!((reading.error, reading.end.unchecked_units), (None, 2));
    let cut = &redis[..redis.len() - 1];
    assert_eq!(verdict(cut), (CorruptionKind::TruncatedRecord, true, filled.len() as u64 + 23));
}

#[test]
fn redis_files_are_read_as_redis_reads_them() {
    let text = "#TS:1700000000\r\n*2\n$6\nSELECT\r\n$1\r\n0\r\n# note\n*1\r\n$5\r\nmulti\r\n#x\n\
                *2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$4\r\nPING??";
    let reading = read(text.as_bytes());
    assert_eq!(reading.error, None);
    assert_eq!(reading.units, ["SELECT 0", "INCR a", "PING"]);
    assert_eq!(reading.end.time, Some(1_700_000_000_000));
    assert_eq!((reading.end.unchecked_units, reading.end.framed), (3, false));
    assert_eq!(read(b"").units.len(), 0);
}

#[test]
fn redis_file_that_ends_early_is_torn_at_the_last_unit() {
    let bytes = records_of(&["SET a 1", "MULTI", "INCR b", "INCR c", "EXEC", "SET d 4"]);
    let transaction = record_of("SET a 1").len();
    let last = bytes.len() - record_of("SET d 4").len();
    for len in 1..bytes.len() {
        if len == transaction || len == last {
            assert_eq!(read(&bytes[..len]).error, None);
            continue;
        }
        let (kind, torn, offset) = verdict(&bytes[..len]);
        let unit = [last, transaction, 0].into_iter().find(|start| *start < len).unwrap();
        assert!(torn && offset == unit as u64, "{len} {kind:?}");
        // The same with the size extended and zeros for what is missing.
        let mut zeros = bytes[..len].to_vec();
        zeros.resize(len + 3000, 0);
        let (kind, torn, offset) = verdict(&zeros);
        assert!(torn && offset == unit as u64, "{len} {kind:?}");
    }
    let open = [&record_of("SET a 1")[..], b"# no end"].concat();
    assert_eq!(verdict(&open), (CorruptionKind::UnterminatedLine, true, transaction as u64));
}

#[test]
fn redis_file_with_something_else_in_it_is_damaged() {
    let start = record_of("SET a 1");
    for text in ["\r\n", "*0\r\n", "SET a 1\r\n", "*1\r\nx\r\n", "x", "*1\r\n$4\r\nPINGxx?"] {
        let bytes = [&start[..], text.as_bytes(), &start[..]].concat();
        let (kind, torn, _) = verdict(&bytes);
        assert!(!torn && matches!(kind, CorruptionKind::BadRecord(_)), "{text:?} {kind:?}");
    }
    let long = [&start[..], &[b'#'; 1023], b"\n"].concat();
    assert_eq!(verdict(&long), (CorruptionKind::UnterminatedLine, false, start.len() as u64));
}

#[test]
fn records_behind_a_snapshot_start_where_the_loader_says() {
    let bytes = [b"REDIS0011...", &record_of("SET a 1")[..]].concat();
    assert!(starts_with_snapshot(&bytes));
    let expected = Expected { records_at: 12, ..Expected::default() };
    let reading = read_expecting(&bytes, expected);
    assert_eq!((reading.units, reading.error), (vec!["SET a 1".to_owned()], None));
    assert!(!starts_with_snapshot(b"*1\r\n"));
}

/// Reads files as one log; the salts are expected.
fn log_of(
    base: Option<Position>,
    files: &[&[u8]],
) -> Result<(Vec<String>, LogEnd), CorruptionError> {
    let mut units = Vec::new();
    let segments: Vec<SegmentFile<'_>> = files
        .iter()
        .map(|bytes| SegmentFile { name: "f", bytes, salt: None, end: None, records_at: 0 })
        .collect();
    let end = read_log(base, &segments, |unit| {
        let first = unit.commands().next().unwrap();
        units.push(String::from_utf8_lossy(&first.join(&b' ')).into_owned());
        Ok::<(), ()>(())
    });
    match end {
        Ok(end) => Ok((units, end)),
        Err(ReadError::Corrupt(error)) => Err(error),
        Err(ReadError::Visitor(())) => unreachable!(),
    }
}

#[test]
fn segments_continue_one_another() {
    let a = Builder::start().frame(&["SET a 1"]).frame(&["SET b 2"]);
    let b = Builder::new(Salt(2), a.link());
    let c = Builder::new(Salt(3), b.link()).frame(&["SET c 3"]);
    let (units, end) = log_of(Some(Position::ZERO), &[&a.bytes, &b.bytes, &c.bytes]).unwrap();
    assert_eq!(units, ["SET a 1", "SET b 2", "SET c 3"]);
    assert_eq!((end.position, end.link, end.content_end), (c.position, c.link(), 3));
    assert_eq!(log_of(None, &[&b.bytes, &c.bytes]).unwrap().1.position, c.position);

    let kind = |base, files: &[&[u8]]| {
        let error = log_of(base, files).unwrap_err();
        assert!(!error.torn);
        error.kind
    };
    assert_eq!(kind(None, &[&a.bytes, &c.bytes]), CorruptionKind::WrongPredecessor);
    assert_eq!(kind(None, &[&a.bytes, &a.bytes]), CorruptionKind::WrongPredecessor);
    // The base is older than the first segment: one between them is missing.
    let missing = CorruptionKind::Missing { expected: Position(27), found: Position(54) };
    assert_eq!(kind(Some(Position(27)), &[&c.bytes]), missing);
    let newer = CorruptionKind::Repeated { expected: Position(99), found: Position(54) };
    assert_eq!(kind(Some(Position(99)), &[&c.bytes]), newer);
}

#[test]
fn torn_end_is_the_end_of_the_log_only_when_nothing_follows() {
    let a = Builder::start().frame(&["SET a 1"]).frame(&["SET b 2"]);
    let torn = &a.bytes[..a.bytes.len() - 1];
    let empty = Builder::new(Salt(2), a.link());
    let (units, end) = log_of(None, &[torn, &empty.bytes]).unwrap();
    assert_eq!((units.len(), end.content_end), (1, 1));
    assert_eq!(end.torn.unwrap().0, 0);
    assert_eq!(end.files[0].offset, a.frames[1] as u64);
    // A whole frame that is missing at the end, too, is noticed by what follows.
    let next = Builder::new(Salt(2), a.link()).frame(&["SET c 3"]);
    let error = log_of(None, &[torn, &next.bytes]).unwrap_err();
    assert_eq!((error.kind, error.torn), (CorruptionKind::ShortPayload, false));
    let error = log_of(None, &[&a.bytes[..a.frames[1]], &next.bytes]).unwrap_err();
    assert!(matches!(error.kind, CorruptionKind::EndsEarly { .. }) && !error.torn);
    // A file cut to its header in the middle is noticed the same way.
    let error = log_of(Some(Position::ZERO), &[&a.bytes[..a.frames[0]], &next.bytes]).unwrap_err();
    assert!(matches!(error.kind, CorruptionKind::EndsEarly { .. }) && !error.torn);
}

/// Filler holds nothing: what became of it is no damage where the next segment proves that nothing else was there.
#[test]
fn rot_in_filler_behind_the_last_frame_costs_nothing() {
    let filler = [&[b'#'; 511][..], b"\n"].concat().repeat(2);
    let a = Builder::start().frame(&["SET a 1"]).frame(&["SET b 2"]);
    let filled = [&a.bytes[..], &filler].concat();
    let b = Builder::new(Salt(2), a.link());
    let c = Builder::new(Salt(3), b.link()).frame(&["SET c 3"]).frame(&[]);
    let base = Some(Position::ZERO);
    for at in a.bytes.len()..filled.len() {
        for bit in 0..8 {
            let mut rotten = filled.clone();
            rotten[at] ^= 1 << bit;
            let (units, end) = log_of(base, &[&rotten, &b.bytes, &c.bytes]).unwrap();
            assert_eq!(units, ["SET a 1", "SET b 2", "SET c 3"], "bit {bit} of byte {at}");
            assert_eq!((end.position, end.torn), (c.position, None));
            assert!(end.loose.iter().all(|(index, error)| *index == 0 && error.torn));
            assert!(end.loose.len() == 1 || (at + 1) % 512 == a.bytes.len() % 512, "{at}");
        }
    }
    // A bit of a frame, or a frame that is gone with its filler, is not filler.
    for at in a.frames[0]..a.bytes.len() {
        let mut rotten = filled.clone();
        rotten[at] ^= 1;
        assert!(log_of(base, &[&rotten, &b.bytes, &c.bytes]).is_err(), "byte {at}");
    }
    let short = [&a.bytes[..a.frames[1]], b"x", &filler].concat();
    assert!(log_of(base, &[&short, &b.bytes, &c.bytes]).is_err());
    // What follows without a frame, or without that predecessor, proves nothing.
    let rotten = [&a.bytes[..], b"x", &filler].concat();
    let other = Builder::new(Salt(2), Link { crc: Some(1), ..a.link() }).frame(&["SET c 3"]);
    assert!(log_of(base, &[&rotten, &other.bytes]).is_err());
    assert!(log_of(base, &[&rotten, &record_of("SET c 3")]).is_err());
    let unproven = [&b.bytes[..], &record_of("SELECT 0")].concat();
    assert!(log_of(base, &[&rotten, &unproven]).is_err());
}

#[test]
fn framed_segment_follows_an_unframed_one() {
    let redis = records_of(&["SELECT 0", "SET a 1"]);
    let position = Position(redis.len() as u64);
    let ours = Builder::new(Salt(2), Link::unframed(position)).frame(&["SET b 2"]);
    let (units, end) = log_of(None, &[&redis, &ours.bytes]).unwrap();
    assert_eq!(units, ["SELECT 0", "SET a 1", "SET b 2"]);
    assert_eq!(end.position, ours.position);
    let error = log_of(None, &[&redis[..23], &ours.bytes]).unwrap_err();
    assert!(matches!(error.kind, CorruptionKind::EndsEarly { .. }));
}
