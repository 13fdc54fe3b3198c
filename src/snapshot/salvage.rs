//! What can still be believed of a damaged RDB file: its records before and behind the bad places.
//!
//! A record that cannot be read is left out. Where only its value is refused, and the records behind it are where its
//! lengths say, the walk goes on there, so that what is inside a value is not taken for keys. Else it goes on at the
//! next place from which several records in a row, or the rest of the file, can be read. Records are kept as they
//! stand, byte for byte, so any dialect and version stays what it is; only the end is made anew, with a checksum that
//! holds. Where the checksum of a file fails and every record can be read, one of them has a wrong value and nothing
//! can tell which: that is said. Of what a load refuses though checksums hold, a key that is there twice stays as it
//! is first, and a function library that does not compile goes.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use std::collections::HashSet;
use std::ops::Range;

use super::container::{self, is_container, is_foreign_zstd, parse_table};
use super::crc64::Crc64;
use super::encode::{finish, put_attributes};
use super::error::{Corruption, CorruptionKind, LoadError, Place};
use super::function;
use super::inspect::inspect;
use super::load::{LoadOptions, value_error, verify};
use super::primitives::Reader;
use super::record::{Attributes, Dialect, MAGIC_BYTES, Record, Records, Version};
use super::record::{is_type, skip_value, type_name};
use super::value::ValueReader;
use crate::scripting::library::Libraries;

/// How many records in a row show that the walk is in step again.
const IN_STEP: usize = 3;
/// How many refused values among them are passed over.
const REFUSED_BETWEEN: usize = 16;

/// A record that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRecord {
    pub db: u32,
    /// The key, as far as it could be read.
    pub key: Option<Vec<u8>>,
    /// The kind of its value.
    pub kind: &'static str,
    pub offset: u64,
    pub len: u64,
    pub reason: String,
}

/// A piece of what is left.
#[derive(Clone, Debug)]
enum Piece {
    /// Bytes of the file.
    There(Range<usize>),
    /// What the file says of the key that follows, at a place before other records.
    Attributes(Attributes),
}

/// What a file comes to.
#[derive(Clone, Debug)]
pub struct Salvage {
    version: Version,
    /// The RDB that a container gave, when it was one.
    rdb: Option<Vec<u8>>,
    /// The records that are kept, without header and end.
    kept: Vec<Piece>,
    pub skipped: Vec<SkippedRecord>,
    /// Keys that are kept.
    pub keys: u64,
    /// Where the RDB ended, when its end was found.
    pub end: Option<usize>,
    /// The checksum fails although every record can be read: one of them is not what was written.
    pub unplaced: bool,
    /// The file is sound.
    pub sound: bool,
}

/// Walks over a file. An error when it is compressed in a way that nothing is left of it.
pub fn salvage(bytes: &[u8]) -> Result<Salvage, LoadError> {
    let options = LoadOptions { databases: u32::MAX, ..LoadOptions::default() };
    let inspected = inspect(bytes, &options);
    let sound = inspected.damage.is_none() && function::refused(&inspected.libraries).is_none();
    let container = is_container(bytes) || parse_table(bytes).is_ok();
    if !container && !is_foreign_zstd(bytes) {
        let rdb = container::lines::find(bytes).and_then(|(end, _)| bytes.get(..end));
        let mut found = plain(rdb.unwrap_or(bytes), sound, &options);
        // The table belongs to it, and to nothing else.
        found.end = found.end.map(|end| if rdb.is_some() { bytes.len() } else { end });
        return Ok(found);
    }
    if sound {
        let keys = inspected.databases.values().map(|counts| counts.keys).sum();
        let end = inspected.end.and_then(|end| usize::try_from(end).ok());
        let version = inspected.version.unwrap_or(NEWEST);
        return Ok(Salvage { keys, end, sound, ..Salvage::of(version) });
    }
    let (rdb, lost) = container::salvage::salvage(bytes);
    if rdb.is_empty() {
        return Err(LoadError::NotRdb);
    }
    let mut found = plain(&rdb, false, &options);
    found.end = Some(bytes.len());
    found.unplaced &= lost.is_empty();
    let frames = lost.into_iter().map(|frame| SkippedRecord {
        db: 0,
        key: None,
        kind: "frame",
        offset: frame.offset,
        len: frame.len,
        reason: match frame.keys {
            Some(keys) => format!("its checksum does not hold; {keys} keys were in it"),
            None => "it does not decompress".to_owned(),
        },
    });
    found.skipped.splice(0..0, frames);
    found.rdb = Some(rdb);
    Ok(found)
}

fn plain(bytes: &[u8], sound: bool, options: &LoadOptions) -> Salvage {
    let header = Version::read(&mut Reader::new(bytes));
    let version = header.clone().unwrap_or(NEWEST);
    let vouched = sound || (header.is_ok() && verify(bytes, version, options).is_ok());
    let values = ValueReader::new(version.dialect, &options.limits);
    let walk = Walk { bytes, values, version, vouched, sound };
    let mut found = Salvage::of(version);
    walk.all(&mut found);
    found.unplaced = !vouched && header.is_ok() && found.skipped.is_empty() && found.end.is_some();
    found.sound = sound && found.skipped.is_empty();
    found
}

const NEWEST: Version = Version { dialect: Dialect::Redis, number: 12 };

impl Salvage {
    fn of(version: Version) -> Self {
        Self {
            version,
            rdb: None,
            kept: Vec::new(),
            skipped: Vec::new(),
            keys: 0,
            end: None,
            unplaced: false,
            sound: false,
        }
    }

    /// Keeps the record that a walk has passed since `start`, a key with what is said of it.
    fn keep(&mut self, records: &Records<'_>, start: usize, key: Option<Attributes>) {
        let (at, own) = (number(records.record_offset), number(records.own_offset));
        let (from, end) = (if records.awaits_key() { own } else { start }, offset(records));
        // They stand before other records, which were kept without them: the key may not stay.
        if let Some(attributes) = key.filter(|_| at < start) {
            self.kept.extend([Piece::Attributes(attributes), Piece::There(own..end)]);
            return;
        }
        match self.kept.last_mut() {
            Some(Piece::There(last)) if last.end == from => last.end = end,
            _ => self.kept.push(Piece::There(from..end)),
        }
    }
}

/// A function library that is left out.
fn library(source: &[u8], why: &[u8], start: usize, next: usize) -> SkippedRecord {
    let name = source.split(|byte| *byte == b'\n').next().unwrap_or_default();
    SkippedRecord {
        db: 0,
        key: Some(name.to_vec()),
        kind: "function library",
        offset: start as u64,
        len: (next - start) as u64,
        reason: String::from_utf8_lossy(why).into_owned(),
    }
}

/// The file that is left.
pub fn assemble(bytes: &[u8], salvage: &Salvage) -> Vec<u8> {
    // What is sound stays as it is: of a container nothing was taken apart.
    if let (true, Some(whole)) = (salvage.sound, salvage.end.and_then(|end| bytes.get(..end))) {
        return whole.to_vec();
    }
    let Version { dialect, number } = salvage.version;
    let mut out = match dialect {
        Dialect::Redis => format!("REDIS{number:04}"),
        Dialect::Valkey => format!("VALKEY{number:03}"),
    }
    .into_bytes();
    let bytes = salvage.rdb.as_deref().unwrap_or(bytes);
    for piece in &salvage.kept {
        match piece {
            Piece::There(range) => {
                out.extend_from_slice(bytes.get(range.clone()).unwrap_or_default())
            }
            Piece::Attributes(attributes) => put_attributes(&mut out, *attributes),
        }
    }
    let mut crc = Crc64::new();
    crc.update(&out);
    let mut end = Vec::new();
    finish(&mut end, &mut crc, true);
    if !salvage.version.has_checksum() {
        end.truncate(1);
    }
    out.extend_from_slice(&end);
    out
}

struct Walk<'a> {
    bytes: &'a [u8],
    values: ValueReader,
    version: Version,
    /// A checksum vouches for all of it.
    vouched: bool,
    /// And a load takes it.
    sound: bool,
}

/// What one record was.
enum Step {
    /// With its name, unless the file is sound.
    Key(Vec<u8>, Attributes),
    Function(Vec<u8>),
    Other,
    End,
}

impl<'a> Walk<'a> {
    fn at(&self, offset: usize, db: u32) -> Records<'a> {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let mut records =
            Records::of_section(Reader::at(rest, offset as u64), self.version, u32::MAX);
        records.place.db = db;
        records
    }

    /// One record, its value read to the end.
    fn step(&self, records: &mut Records<'a>) -> Result<Step, LoadError> {
        match records.next()? {
            Record::Eof => Ok(Step::End),
            Record::Function(source) => Ok(Step::Function(source.into_vec())),
            Record::Key { key, type_byte, attributes } => {
                match self.values.read(&mut records.reader, type_byte) {
                    // Zeros read as keys without a name.
                    Ok(_) if !self.vouched && key.is_empty() && type_byte == 0 => {
                        Err(LoadError::NotRdb)
                    }
                    // A load drops a collection without elements; garbage often looks like one.
                    Ok(None) if self.vouched => Ok(Step::Other),
                    Ok(None) => Err(LoadError::NotRdb),
                    Ok(_) if self.sound => Ok(Step::Key(Vec::new(), attributes)),
                    Ok(_) => Ok(Step::Key(key.into_vec(), attributes)),
                    Err(error) => {
                        records.place.key = Some(key.into_vec());
                        Err(value_error(records, error))
                    }
                }
            }
            Record::SelectDb(db) if db > 1 << 20 => Err(LoadError::NotRdb),
            _ => Ok(Step::Other),
        }
    }

    fn all(&self, found: &mut Salvage) {
        let mut records = self.at(MAGIC_BYTES, 0);
        let (mut seen, mut libraries) = (HashSet::new(), Libraries::default());
        loop {
            let start = offset(&records);
            if start >= self.bytes.len() {
                return;
            }
            match self.step(&mut records) {
                Ok(Step::End) => {
                    let end = offset(&records) + self.trailer_bytes();
                    if let Some(next) = self.behind_false_end(start, end, records.place.db) {
                        let error = records.damaged(Corruption::new(
                            start as u64,
                            CorruptionKind::Duplicate("end of the file"),
                        ));
                        found.skipped.push(self.skipped(&records, start, next, &error));
                        records = self.at(next, records.place.db);
                        continue;
                    }
                    found.end = (end <= self.bytes.len()).then_some(end);
                    return;
                }
                Ok(Step::Key(key, _))
                    if !self.sound && !seen.insert((records.place.db, key.clone())) =>
                {
                    // One of the two may have a name that was changed; a load would take neither.
                    records.place.key = Some(key);
                    let twice = records
                        .damaged(Corruption::new(start as u64, CorruptionKind::Duplicate("key")));
                    found.skipped.push(self.skipped(&records, start, offset(&records), &twice));
                }
                Ok(Step::Function(source)) if !self.sound => match libraries.load(&source, false) {
                    Ok(_) => found.keep(&records, start, None),
                    Err(why) => {
                        let next = offset(&records);
                        found.skipped.push(library(&source, &why, start, next));
                    }
                },
                Ok(step) => {
                    let attributes = match step {
                        Step::Key(_, attributes) => Some(attributes),
                        _ => None,
                    };
                    found.keys += u64::from(attributes.is_some());
                    found.keep(&records, start, attributes);
                }
                Err(error) => {
                    let db = records.place.db;
                    let behind = self.behind_refused(&records);
                    let behind = behind.filter(|at| self.vouched || self.goes_on(*at, db));
                    let next = behind.unwrap_or_else(|| self.next(start + 1, db));
                    found.skipped.push(self.skipped(&records, start, next, &error));
                    if next >= self.bytes.len() {
                        return;
                    }
                    records = self.at(next, db);
                }
            }
        }
    }

    /// Where records go on behind a byte that only looks like the end: nothing but the records of a log may follow
    /// the real one.
    fn behind_false_end(&self, start: usize, end: usize, db: u32) -> Option<usize> {
        let rest = self.bytes.get(end..).filter(|rest| !rest.is_empty())?;
        if self.vouched || rest.starts_with(b"*") || rest.starts_with(b"#") {
            return None;
        }
        Some(self.next(start + 1, db)).filter(|next| *next < self.bytes.len())
    }

    fn trailer_bytes(&self) -> usize {
        if self.version.has_checksum() { 8 } else { 0 }
    }

    fn skipped(
        &self,
        records: &Records<'_>,
        start: usize,
        next: usize,
        error: &LoadError,
    ) -> SkippedRecord {
        let place = &records.place;
        let kind = place.type_byte.map_or("record", |byte| type_name(byte, self.version.dialect).0);
        let key = place.key.clone();
        let (offset, len) = (start as u64, (next - start) as u64);
        let reason = match error {
            LoadError::Damaged { corruption, .. } => corruption.kind.to_string(),
            other => other.to_string(),
        };
        SkippedRecord { db: place.db, key, kind, offset, len, reason }
    }

    /// The first place from `from` on where the records are in step again.
    fn next(&self, from: usize, db: u32) -> usize {
        (from..self.bytes.len()).find(|at| self.in_step(*at, db)).unwrap_or(self.bytes.len())
    }

    /// Where a value ends that was refused: as far as its lengths tell.
    fn behind_refused(&self, records: &Records<'_>) -> Option<usize> {
        let Place { key, type_byte, .. } = &records.place;
        // It is a value that was refused once the name of its key is known and its kind is one that is read.
        let dialect = self.version.dialect;
        let type_byte = type_byte.filter(|byte| key.is_some() && is_type(*byte, dialect))?;
        let rest = self.bytes.get(number(records.key_offset)..)?;
        let mut reader = Reader::at(rest, records.key_offset);
        reader.skip_string().ok()?;
        skip_value(&mut reader, type_byte, dialect).ok()?;
        Some(number(reader.position()))
    }

    /// Whether the records are in step from here on, behind a refused value: others may be among those that follow.
    fn goes_on(&self, at: usize, db: u32) -> bool {
        let mut records = self.at(at, db);
        let (mut good, mut refused) = (0, 0);
        while good < IN_STEP {
            match self.step(&mut records) {
                Ok(Step::Key(..) | Step::Function(_) | Step::Other) => good += 1,
                Ok(Step::End) => return self.is_end(&records),
                Err(_) => {
                    refused += 1;
                    let behind = self.behind_refused(&records);
                    let Some(next) = behind.filter(|_| refused <= REFUSED_BETWEEN) else {
                        return false;
                    };
                    records = self.at(next, records.place.db);
                }
            }
        }
        true
    }

    /// Whether nothing follows the end mark that was read but the checksum.
    fn is_end(&self, records: &Records<'_>) -> bool {
        self.bytes.len().checked_sub(offset(records)) == Some(self.trailer_bytes())
    }

    fn in_step(&self, at: usize, db: u32) -> bool {
        let mut records = self.at(at, db);
        for _ in 0..IN_STEP {
            match self.step(&mut records) {
                Ok(Step::Key(..) | Step::Function(_) | Step::Other) => {}
                Ok(Step::End) => return self.is_end(&records),
                Err(_) => return false,
            }
        }
        true
    }
}

fn offset(records: &Records<'_>) -> usize {
    number(records.reader.position())
}

fn number(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::load::load;
    use super::super::{Attributes, LoadSink, Loaded, Refusal};
    use super::*;

    #[derive(Default)]
    struct Keys(Vec<String>);

    impl LoadSink for Keys {
        fn key(&mut self, key: &[u8], _: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
            self.0.push(key.escape_ascii().to_string());
            Ok(())
        }
        fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
            Ok(())
        }
    }

    fn keys(bytes: &[u8]) -> Vec<String> {
        let mut sink = Keys::default();
        load(bytes, &LoadOptions::default(), &mut sink).unwrap();
        sink.0
    }

    /// A hash with a field twice, whose last value looks like keys.
    fn refused(key: u8) -> Vec<u8> {
        let mut out = vec![4, 1, key, 3];
        for (field, value) in [("f", "1"), ("f", "2"), ("g", "\0\x06ghost0\x01v\0\x06ghost1\x01v")]
        {
            for text in [field, value] {
                out.push(u8::try_from(text.len()).unwrap());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }

    #[test]
    fn what_is_inside_a_refused_value_does_not_become_keys() {
        for (behind, vouched) in [("real", true), ("real", false), ("", true), ("", false)] {
            let mut bytes = b"REDIS0011\xfe\x00\x00\x05first\x01v".to_vec();
            bytes.extend_from_slice(&[refused(b'a'), refused(b'b')].concat());
            if !behind.is_empty() {
                bytes.extend_from_slice(b"\x00\x04real\x01v");
            }
            bytes.push(0xff);
            let sum = super::super::crc64::checksum(&bytes) ^ u64::from(!vouched);
            bytes.extend_from_slice(&sum.to_le_bytes());
            let left = salvage(&bytes).unwrap();
            let lost: Vec<_> = left.skipped.iter().map(|lost| lost.key.clone().unwrap()).collect();
            assert_eq!(lost, [b"a", b"b"], "{behind} {vouched}");
            assert!(!left.sound && !left.unplaced);
            let expected = if behind.is_empty() { vec!["first"] } else { vec!["first", "real"] };
            assert_eq!(keys(&assemble(&bytes, &left)), expected, "{vouched}");
            assert_eq!(left.keys, expected.len() as u64);
        }
    }

    #[test]
    fn what_is_left_of_a_damaged_file_loads_and_misses_only_what_is_listed() {
        let sound = include_bytes!("../../format-spec/vectors/rdb-redis-8.0.rdb");
        let all = keys(sound);
        assert!(salvage(sound).unwrap().sound);
        assert_eq!(keys(&assemble(sound, &salvage(sound).unwrap())), all);
        let mut lost = 0;
        for at in MAGIC_BYTES..sound.len() {
            for flip in [0x01, 0x80] {
                let mut damaged = sound.to_vec();
                damaged[at] ^= flip;
                let left = salvage(&damaged).unwrap();
                assert!(!left.sound, "{at}");
                let Ok(found) = std::panic::catch_unwind(|| keys(&assemble(&damaged, &left)))
                else {
                    // A changed name may be there twice, which a load refuses.
                    continue;
                };
                assert_eq!(found.len() as u64, left.keys, "{at}");
                // Not even where SELECTDB becomes the end of the file.
                assert!(found.len() > all.len() / 2, "{at}: {} of {}", found.len(), all.len());
                assert!(left.unplaced || !left.skipped.is_empty(), "{at}");
                lost += all.len().saturating_sub(found.len());
            }
        }
        assert!(lost > 0, "some flips cost a key");
        assert!(lost < sound.len() * 4, "most cost at most one: {lost}");
    }
}
