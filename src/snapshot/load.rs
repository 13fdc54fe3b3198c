//! Loading: the records of a whole file, checked, to a receiver.
//!
//! The checksum is verified over the whole file before the first value is decoded, so the receiver
//! never sees a key of a damaged file (P5). Where a checksum fails, the file is walked to name the
//! first record that cannot be what was written. The receiver owns policy: databases, expired keys,
//! duplicates. Sections of records (frames of a compressed snapshot) are loaded one by one, in
//! parallel if wanted. See format-spec/snapshot.md, "Order of checks".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::container::{is_container, is_foreign_zstd, lines};
use super::crc64::{self, Crc64};
use super::error::{Corruption, CorruptionKind, LoadError};
use super::primitives::Reader;
use super::record::{Attributes, Record, Records, Version, skip_value};
use super::value::{Loaded, ValueError, ValueReader};
use crate::types::limits::Limits;

/// A receiver is told how far a load is after so many bytes.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Bytes that are summed in two ways while they are in the processor's cache.
const SUM_BYTES: usize = 64 << 10;

/// What a load is asked for.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Number of databases; a file that selects another one is refused.
    pub databases: u32,
    /// Whether to verify the checksum (`rdbchecksum`).
    pub verify: bool,
    /// When collections leave their compact forms.
    pub limits: Limits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { databases: 16, verify: true, limits: Limits::default() }
    }
}

/// Receives what a file holds, in its order. The defaults ignore everything but keys and functions.
pub trait LoadSink {
    /// The following keys belong to database `db` (0 until the first call).
    fn select_db(&mut self, db: u32) {
        let _ = db;
    }

    /// About `keys` keys, `expires` of them with expiry, follow for the selected database. Never more
    /// than the file has room for.
    fn resize_hint(&mut self, keys: u64, expires: u64) {
        let _ = (keys, expires);
    }

    /// A named text about the file.
    fn aux(&mut self, name: &[u8], value: &[u8]) {
        let _ = (name, value);
    }

    /// A key of the selected database. Never an empty aggregate, except an empty stream.
    fn key(&mut self, key: &[u8], value: Loaded<'_>, attributes: Attributes)
    -> Result<(), Refusal>;

    /// A key with an empty aggregate, which is left out.
    fn empty(&mut self, key: &[u8]) {
        let _ = key;
    }

    /// The source of a function library.
    fn function(&mut self, source: &[u8]) -> Result<(), Refusal>;

    /// So many bytes of the file are done.
    fn progress(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

/// Why a receiver does not take a record; the load ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The key is there already.
    DuplicateKey,
    /// Another reason, in words.
    Other(String),
}

/// What the checksum of a file said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It matches.
    Verified,
    /// It was not computed when the file was written.
    Disabled,
    /// Files of this version have none.
    Absent,
    /// It was not looked at.
    Ignored,
}

/// What a load did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    /// The version in the header.
    pub version: Version,
    /// Whether the bytes were checked.
    pub checksum: Checksum,
    /// Version text of the server that wrote the file; empty when it does not say.
    pub producer: String,
    /// Offset behind the checksum and a table of the RDB: the end of the file, or where an AOF goes on.
    pub end: u64,
    /// CRC-32 of all bytes before `end`; `None` when checksums were not asked for.
    pub crc32: Option<u32>,
    /// Keys handed over.
    pub keys: u64,
    /// Empty aggregates left out.
    pub empty_dropped: u64,
}

impl LoadReport {
    pub(super) fn new(version: Version, verified: Verified) -> Self {
        let Verified { end, checksum, crc32 } = verified;
        Self { version, checksum, producer: String::new(), end, crc32, keys: 0, empty_dropped: 0 }
    }
}

/// What is known of a file before its records are looked at; the fields are those of [`LoadReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verified {
    pub end: u64,
    pub checksum: Checksum,
    pub crc32: Option<u32>,
}

impl Verified {
    /// The same of a file that has these bytes behind what is known.
    pub(super) fn followed_by(self, bytes: &[u8]) -> Self {
        let crc32 = self.crc32.map(|crc32| {
            let mut sum = crc32fast::Hasher::new_with_initial_len(crc32, self.end);
            sum.update(bytes);
            sum.finalize()
        });
        Self { end: self.end + bytes.len() as u64, crc32, ..self }
    }
}

/// Loads a file (or the RDB that starts it).
pub fn load(
    bytes: &[u8],
    options: &LoadOptions,
    sink: &mut dyn LoadSink,
) -> Result<LoadReport, LoadError> {
    if is_container(bytes) || is_foreign_zstd(bytes) {
        return super::container::read::load(bytes, options, sink);
    }
    let version = Version::read(&mut Reader::new(bytes))?;
    let verified = verify(bytes, version, options)?;
    let mut records = Records::of_file(bytes, options.databases)?;
    let mut report = LoadReport::new(version, verified);
    let values = ValueReader::new(version.dialect, &options.limits);
    let mut told = 0;
    while !next(&mut records, &values, sink, &mut report)? {
        let done = records.reader.position();
        if done - told >= PROGRESS_BYTES {
            told = done;
            sink.progress(done);
        }
    }
    report.producer = records.producer;
    Ok(report)
}

/// Loads the records of one section, to its end: a frame of a container whose bytes were checked. An end mark inside
/// is damage.
pub(super) fn load_records(
    records: &mut Records<'_>,
    options: &LoadOptions,
    sink: &mut dyn LoadSink,
    report: &mut LoadReport,
) -> Result<(), LoadError> {
    let values = ValueReader::new(records.version.dialect, &options.limits);
    while records.reader.remaining() > 0 {
        if next(records, &values, sink, report)? {
            let offset = records.record_offset;
            return Err(records.damaged(Corruption::malformed(
                offset,
                "frame",
                "an end mark inside",
            )));
        }
    }
    records.end_of_section()
}

/// Hands over one record; tells whether it was the end mark.
#[inline]
fn next(
    records: &mut Records<'_>,
    values: &ValueReader,
    sink: &mut dyn LoadSink,
    report: &mut LoadReport,
) -> Result<bool, LoadError> {
    match records.next()? {
        Record::Eof => return Ok(true),
        Record::SelectDb(db) => sink.select_db(db),
        Record::Resize { keys, expires } => sink.resize_hint(keys, expires),
        Record::Aux { name, value } => sink.aux(&name, &value),
        Record::Function(source) => {
            sink.function(&source).map_err(|refusal| refused(records, refusal))?;
        }
        Record::Key { key, type_byte, attributes } => {
            let taken = match values.read(&mut records.reader, type_byte) {
                Ok(Some(value)) => sink.key(&key, value, attributes),
                Ok(None) => {
                    sink.empty(&key);
                    report.empty_dropped += 1;
                    return Ok(false);
                }
                Err(error) => {
                    records.place.key = Some(key.into_vec());
                    return Err(value_error(records, error));
                }
            };
            report.keys += 1;
            if let Err(refusal) = taken {
                records.place.key = Some(key.into_vec());
                return Err(refused(records, refusal));
            }
        }
    }
    Ok(false)
}

#[cold]
pub(super) fn value_error(records: &Records<'_>, error: ValueError) -> LoadError {
    match error {
        ValueError::Damaged(corruption) => records.damaged(corruption),
        ValueError::Unsupported(what) => {
            records.unsupported(what.to_owned(), records.record_offset)
        }
    }
}

#[cold]
fn refused(records: &Records<'_>, refusal: Refusal) -> LoadError {
    let offset = records.record_offset;
    match refusal {
        Refusal::DuplicateKey => {
            records.damaged(Corruption::new(offset, CorruptionKind::Duplicate("key")))
        }
        Refusal::Other(reason) => {
            LoadError::Refused { reason, offset, place: records.place.clone() }
        }
    }
}

/// Finds the end of the RDB and of a table in lines behind it, and verifies the checksum.
pub(super) fn verify(
    bytes: &[u8],
    version: Version,
    options: &LoadOptions,
) -> Result<Verified, LoadError> {
    let table = lines::find(bytes).and_then(|(end, _)| bytes.split_at_checked(end));
    let Some((rdb, table)) = table else { return verify_rdb(bytes, version, options) };
    let mut verified = verify_rdb(rdb, version, options)?;
    if verified.end == rdb.len() as u64 {
        verified = verified.followed_by(table);
    }
    Ok(verified)
}

fn verify_rdb(
    bytes: &[u8],
    version: Version,
    options: &LoadOptions,
) -> Result<Verified, LoadError> {
    // The usual case, a whole file with a good checksum, needs no walk to find the end.
    if version.has_checksum()
        && options.verify
        && let Some((body, trailer)) = bytes.split_last_chunk::<8>()
        && body.last() == Some(&super::record::EOF)
    {
        let stored = u64::from_le_bytes(*trailer);
        if stored != 0 {
            let (computed, mut crc32) = sums(body);
            crc32.update(trailer);
            if computed == stored {
                let (end, checksum) = (bytes.len() as u64, Checksum::Verified);
                return Ok(Verified { end, checksum, crc32: Some(crc32.finalize()) });
            }
        }
    }
    let end = walk_to_end(bytes, options)?;
    check_trailer(bytes, end, version, options)
}

/// Both checksums of the same bytes, which are read from memory once.
fn sums(bytes: &[u8]) -> (u64, crc32fast::Hasher) {
    let (mut crc64, mut crc32) = (Crc64::new(), crc32fast::Hasher::new());
    for chunk in bytes.chunks(SUM_BYTES) {
        crc64.update(chunk);
        crc32.update(chunk);
    }
    (crc64.value(), crc32)
}

/// Offset behind the end mark, found without decoding values.
pub(super) fn walk_to_end(bytes: &[u8], options: &LoadOptions) -> Result<u64, LoadError> {
    let mut records = Records::of_file(bytes, options.databases)?;
    loop {
        match records.next()? {
            Record::Eof => return Ok(records.reader.position()),
            Record::Key { key, type_byte, .. } => {
                let dialect = records.version.dialect;
                if let Err(corruption) = skip_value(&mut records.reader, type_byte, dialect) {
                    records.place.key = Some(key.into_vec());
                    return Err(records.damaged(corruption));
                }
            }
            _ => {}
        }
    }
}

/// Compares the checksum behind the end mark; on a difference the file is decoded to name the place.
fn check_trailer(
    bytes: &[u8],
    end: u64,
    version: Version,
    options: &LoadOptions,
) -> Result<Verified, LoadError> {
    let found = |end: u64, checksum| {
        let before = bytes.get(..usize::try_from(end).unwrap_or(usize::MAX));
        let crc32 = before.filter(|_| options.verify).map(crc32fast::hash);
        Ok(Verified { end, checksum, crc32 })
    };
    if !version.has_checksum() {
        return found(end, Checksum::Absent);
    }
    let mut reader = Reader::new(bytes);
    let damaged = |corruption| LoadError::Damaged { corruption, place: Default::default() };
    let body = reader.take(end).map_err(damaged)?;
    let stored = reader.u64().map_err(damaged)?;
    let end_of_trailer = reader.position();
    if !options.verify {
        return found(end_of_trailer, Checksum::Ignored);
    }
    if stored == 0 {
        return found(end_of_trailer, Checksum::Disabled);
    }
    let computed = crc64::checksum(body);
    if computed == stored {
        return found(end_of_trailer, Checksum::Verified);
    }
    let mut nowhere = Nowhere;
    load(bytes, &LoadOptions { verify: false, ..options.clone() }, &mut nowhere)?;
    Err(damaged(Corruption::new(end, CorruptionKind::Checksum { stored, computed })))
}

/// Drops everything: a load into it only checks.
pub(super) struct Nowhere;

impl LoadSink for Nowhere {
    fn key(&mut self, _: &[u8], _: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
        Ok(())
    }

    fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
}

/// For the fuzzer: whatever a file holds, it loads or is refused, and what loads is found sound, but for keys that are there
/// twice.
#[doc(hidden)]
pub fn fuzz_rdb(bytes: &[u8]) {
    // Containers have a target of their own.
    if is_container(bytes) || is_foreign_zstd(bytes) {
        return;
    }
    // Without the checksum, or hardly any input would get further than to it.
    let options = LoadOptions { verify: false, ..LoadOptions::default() };
    let loaded = load(bytes, &options, &mut Nowhere).is_ok();
    let found = super::inspect::inspect(bytes, &options);
    let sound = found.damage.as_ref().is_none_or(LoadError::is_twice);
    assert!(!loaded || sound, "loads, but: {:?}", found.damage);
}
