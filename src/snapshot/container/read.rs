//! Reading a container, or an RDB with a table in lines: checked first, then decompressed group by group.
//!
//! A group is a frame and those in which it goes on; it holds whole records. Opening checks the table
//! and every frame's checksum, so that nothing of a damaged file is ever decoded (P5); what is decoded
//! afterwards must give exactly the lengths, keys and checksum that table and end say. Offsets in errors
//! are the file's for damage of frames, those of the decompressed RDB for what is found inside.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use std::borrow::Cow;
use std::io::Read as _;

use zstd::bulk::Decompressor;

use super::{Frame, Kind, MARKER, damaged, is_foreign_zstd, lines, parse_table};
use crate::snapshot::crc64;
use crate::snapshot::error::{CorruptionKind, LoadError};
use crate::snapshot::load::{Checksum, LoadOptions, LoadReport, LoadSink, Verified, load_records};
use crate::snapshot::primitives::Reader;
use crate::snapshot::record::{EOF, Records, Version};

/// How much more than its own length a foreign zstd file may hold.
const FOREIGN_RATIO_MAX: u64 = 1 << 10;

/// A container whose table and frames are what their checksums say.
#[derive(Debug)]
pub struct Container<'a> {
    bytes: &'a [u8],
    /// Where frames start.
    start: u64,
    /// Whether frames are compressed.
    packed: bool,
    pub frames: Vec<Frame>,
    pub groups: Vec<Group>,
    /// The last eight bytes of the RDB.
    stored_crc64: u64,
}

/// Frames that hold whole records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    pub kind: Kind,
    /// Number of its first frame.
    pub first: usize,
    pub frames: usize,
    /// Where it starts in the file, and in the decompressed RDB.
    pub offset: u64,
    pub rdb_offset: u64,
    /// Bytes in the file, and when decompressed.
    pub stored: u64,
    pub plain: u64,
    pub keys: u64,
}

impl<'a> Container<'a> {
    /// Opens a container; with `verify`, every frame's bytes are checked.
    pub fn open(bytes: &'a [u8], verify: bool) -> Result<Self, LoadError> {
        if !bytes.starts_with(&MARKER) {
            let text = bytes.get(8..MARKER.len()).unwrap_or_default().escape_ascii();
            return Err(LoadError::UnknownVersion(text.to_string()));
        }
        let frames = parse_table(bytes)?;
        let (start, groups, stored_crc64) = (MARKER.len() as u64, Vec::new(), 0);
        Self { bytes, start, packed: true, frames, groups, stored_crc64 }.checked(verify)
    }

    /// Opens an RDB with a table in lines behind it; `None` when it has none.
    pub fn open_lines(bytes: &'a [u8], verify: bool) -> Option<Result<Self, LoadError>> {
        let (_, frames) = lines::find(bytes)?;
        let (groups, stored_crc64) = (Vec::new(), 0);
        let container = Self { bytes, start: 0, packed: false, frames, groups, stored_crc64 };
        Some(container.checked(verify))
    }

    fn checked(mut self, verify: bool) -> Result<Self, LoadError> {
        let mut offset = self.start;
        let mut rdb_offset = 0;
        for (number, frame) in self.frames.iter().enumerate() {
            let (stored, plain) = (u64::from(frame.stored), u64::from(frame.plain));
            if verify && crc32fast::hash(slice(self.bytes, offset, stored)) != frame.crc {
                return Err(self.frame_error(number, "checksum does not match"));
            }
            match (frame.kind, self.groups.last_mut()) {
                (Kind::More, Some(group)) if group.kind != Kind::End => {
                    group.frames += 1;
                    group.stored += stored;
                    group.plain += plain;
                    group.keys += u64::from(frame.keys);
                }
                _ => self.groups.push(Group {
                    kind: frame.kind,
                    first: number,
                    frames: 1,
                    offset,
                    rdb_offset,
                    stored,
                    plain,
                    keys: u64::from(frame.keys),
                }),
            }
            offset += stored;
            rdb_offset += plain;
        }
        self.read_end()?;
        Ok(self)
    }

    /// Bytes of the decompressed RDB.
    pub fn rdb_len(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.plain)).sum()
    }

    /// CRC-32 of the whole file, of the frames by what the table says of them: so of what they are, when they were
    /// checked.
    pub fn crc32(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(slice(self.bytes, 0, self.start));
        let mut offset = self.start;
        for frame in &self.frames {
            let stored = u64::from(frame.stored);
            sum.combine(&crc32fast::Hasher::new_with_initial_len(frame.crc, stored));
            offset += stored;
        }
        sum.update(slice(self.bytes, offset, self.bytes.len() as u64 - offset));
        sum.finalize()
    }

    /// The keys that the table lists.
    pub fn keys(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.keys)).sum()
    }

    /// The records of a group, decompressed.
    pub fn unpack(&self, group: &Group) -> Result<Cow<'a, [u8]>, LoadError> {
        if !self.packed {
            return Ok(Cow::Borrowed(slice(self.bytes, group.offset, group.stored)));
        }
        let mut records = Vec::new();
        let mut offset = group.offset;
        let mut decompressor = Decompressor::new()
            .map_err(|_| self.frame_error(group.first, "no memory to decompress it"))?;
        for number in group.first..group.first + group.frames {
            let Some(frame) = self.frames.get(number) else { break };
            let stored = slice(self.bytes, offset, frame.stored.into());
            // A length that a table of an attacker names is at most that of one frame.
            let plain = decompressor
                .decompress(stored, frame.plain as usize)
                .ok()
                .filter(|plain| plain.len() == frame.plain as usize)
                .ok_or_else(|| self.frame_error(number, "it does not decompress to its length"))?;
            offset += u64::from(frame.stored);
            if group.frames == 1 {
                return Ok(Cow::Owned(plain));
            }
            records.extend_from_slice(&plain);
        }
        Ok(Cow::Owned(records))
    }

    /// Reads the version, and hands over what the head says.
    pub fn head(
        &self,
        records: &[u8],
        options: &LoadOptions,
        sink: &mut dyn LoadSink,
    ) -> Result<LoadReport, LoadError> {
        let mut reader = Reader::new(records);
        let version = Version::read(&mut reader)?;
        let checksum = match (options.verify, self.stored_crc64) {
            (false, _) => Checksum::Ignored,
            (true, 0) => Checksum::Disabled,
            (true, _) => Checksum::Verified,
        };
        let crc32 = options.verify.then(|| self.crc32());
        let verified = Verified { end: self.bytes.len() as u64, checksum, crc32 };
        let mut report = LoadReport::new(version, verified);
        let mut walk = Records::of_section(reader, version, options.databases);
        // Hints are about keys of all frames.
        walk.room = self.rdb_len();
        load_records(&mut walk, options, sink, &mut report)?;
        report.producer = walk.producer;
        Ok(report)
    }

    /// That a group has as many keys as the table says.
    pub fn check_keys(&self, group: &Group, found: u64) -> Result<(), LoadError> {
        if found == group.keys {
            return Ok(());
        }
        Err(self.frame_error(group.first, "it holds another number of keys than listed"))
    }

    /// That the checksums of the groups in their order give that of the RDB.
    pub fn check_sums(&self, sums: impl Iterator<Item = u64>) -> Result<(), LoadError> {
        let parts = self.groups.iter().zip(sums);
        let body = parts.filter(|(group, _)| group.kind != Kind::End);
        let sum = body.fold(0, |sum, (group, part)| crc64::combine(sum, part, group.plain));
        let computed = crc64::combine(sum, crc64::checksum(&[EOF]), 1);
        let stored = self.stored_crc64;
        if stored == 0 || computed == stored {
            return Ok(());
        }
        Err(damaged(self.rdb_len() - 8, CorruptionKind::Checksum { stored, computed }))
    }

    /// The end mark and the checksum behind it.
    fn read_end(&mut self) -> Result<(), LoadError> {
        let Some(end) = self.groups.last().copied() else { return Ok(()) };
        let bytes = self.unpack(&end)?;
        match bytes.split_first_chunk::<1>() {
            Some(([EOF], sum)) if sum.len() == 8 => {
                self.stored_crc64 = u64::from_le_bytes(sum.try_into().unwrap_or_default());
                Ok(())
            }
            _ => Err(self.frame_error(end.first, "it is not the end of an RDB")),
        }
    }

    fn frame_error(&self, number: usize, what: &'static str) -> LoadError {
        let before = self.frames.iter().take(number).map(|frame| u64::from(frame.stored));
        let offset = self.start + before.sum::<u64>();
        let keys = self.frames.get(number).map_or(0, |frame| frame.keys);
        damaged(offset, CorruptionKind::Frame { number: number as u64, keys, what })
    }
}

/// Loads a container, or a file that another program compressed with zstd.
pub fn load(
    bytes: &[u8],
    options: &LoadOptions,
    sink: &mut dyn LoadSink,
) -> Result<LoadReport, LoadError> {
    if is_foreign_zstd(bytes) {
        let plain = unpack_foreign(bytes)?;
        let mut report = crate::snapshot::load::load(&plain, options, sink)?;
        report.end = bytes.len() as u64;
        report.crc32 = options.verify.then(|| crc32fast::hash(bytes));
        return Ok(report);
    }
    load_groups(&Container::open(bytes, options.verify)?, options, sink)
}

fn load_groups(
    container: &Container<'_>,
    options: &LoadOptions,
    sink: &mut dyn LoadSink,
) -> Result<LoadReport, LoadError> {
    let mut sums = Vec::new();
    let mut report: Option<LoadReport> = None;
    for group in &container.groups {
        if group.kind == Kind::End {
            break;
        }
        let records = container.unpack(group)?;
        sums.push(if options.verify { crc64::checksum(&records) } else { 0 });
        match &mut report {
            None => report = Some(container.head(&records, options, sink)?),
            Some(report) => {
                let keys = report.keys + report.empty_dropped;
                let reader = Reader::at(&records, group.rdb_offset);
                let mut walk = Records::of_section(reader, report.version, options.databases);
                load_records(&mut walk, options, sink, report)?;
                container.check_keys(group, report.keys + report.empty_dropped - keys)?;
            }
        }
        sink.progress(group.offset + group.stored);
    }
    if options.verify {
        container.check_sums(sums.into_iter())?;
    }
    report.ok_or(LoadError::NotRdb)
}

/// The RDB in a file that some other program compressed as a whole.
pub fn unpack_foreign(bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let limit = (bytes.len() as u64).saturating_mul(FOREIGN_RATIO_MAX);
    let mut plain = Vec::new();
    let failed = |error: std::io::Error| LoadError::Refused {
        reason: format!("zstd: {error}"),
        offset: 0,
        place: Default::default(),
    };
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(failed)?;
    decoder.take(limit + 1).read_to_end(&mut plain).map_err(failed)?;
    if plain.len() as u64 > limit || is_foreign_zstd(&plain) {
        return Err(LoadError::NotRdb);
    }
    Ok(plain)
}

pub(super) fn slice(bytes: &[u8], offset: u64, len: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = usize::try_from(offset + len).unwrap_or(usize::MAX);
    bytes.get(start..end).unwrap_or_default()
}

/// For the fuzzer: whatever a file holds, it loads or is refused; what loads with its checksums gives an RDB that
/// loads too, and is found sound.
#[doc(hidden)]
pub fn fuzz_container(bytes: &[u8]) {
    use crate::snapshot::load::Nowhere;
    // Without its checksums, or hardly any input would get further than to them.
    let unchecked = LoadOptions { verify: false, ..LoadOptions::default() };
    if let Some(Ok(container)) = Container::open_lines(bytes, false) {
        let _ = load_groups(&container, &unchecked, &mut Nowhere);
    }
    let options = LoadOptions::default();
    if let Some(Ok(container)) = Container::open_lines(bytes, true)
        && let Ok(by_table) = load_groups(&container, &options, &mut Nowhere)
    {
        let by_one = crate::snapshot::load::load(bytes, &options, &mut Nowhere);
        let same = by_one.as_ref().is_ok_and(|found| found.keys == by_table.keys);
        assert!(same, "{} keys by its table, without: {by_one:?}", by_table.keys);
    }
    let _ = load(bytes, &unchecked, &mut Nowhere);
    if load(bytes, &options, &mut Nowhere).is_err() || is_foreign_zstd(bytes) {
        return;
    }
    let found = crate::snapshot::inspect::inspect(bytes, &options);
    let sound = found.damage.as_ref().is_none_or(LoadError::is_twice);
    assert!(sound, "loads, but: {:?}", found.damage);
    let Ok(container) = Container::open(bytes, true) else { return };
    let groups = container.groups.iter().flat_map(|group| container.unpack(group));
    let rdb = groups.collect::<Vec<_>>().concat();
    let loaded = crate::snapshot::load::load(&rdb, &options, &mut Nowhere);
    assert!(loaded.is_ok(), "the container loads, its RDB not: {loaded:?}");
}
