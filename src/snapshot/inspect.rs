//! Looking at an RDB file without loading it: what `fastness check` prints.
//!
//! Counts keys by database and type, and names the first damage with offset, key and rule. Each value is decoded as
//! a load would, and dropped: a checksum vouches for bytes, not for what a program put into them. A key that is there
//! twice is damage, too (`twice`). Never fails: what goes wrong is part of the answer. Whether libraries compile is
//! not asked here, as other servers may load them.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::container::read::{Container, unpack_foreign};
use super::container::{Kind, is_container, is_foreign_zstd, lines};
use super::crc64;
use super::error::LoadError;
use super::load::{Checksum, LoadOptions, value_error, verify};
use super::primitives::Reader;
use super::record::{Record, Records, Version, type_name};
use super::twice::{self, Names};
use super::value::ValueReader;
use std::collections::BTreeMap;

/// What is in a file.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// The version in the header.
    pub version: Option<Version>,
    /// Version text of the server that wrote the file.
    pub producer: String,
    /// What the checksum said; `None` when it does not match or was not reached.
    pub checksum: Option<Checksum>,
    /// Fields at the head of the file.
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
    /// Databases with keys.
    pub databases: BTreeMap<u32, DatabaseCounts>,
    /// Function libraries.
    pub functions: u64,
    /// Their sources, and the offset of each.
    pub libraries: Vec<(u64, Vec<u8>)>,
    /// Offset behind the RDB, when its end was found.
    pub end: Option<u64>,
    /// CRC-32 of all bytes before `end`.
    pub crc32: Option<u32>,
    /// Frames, when a table lists them.
    pub frames: Option<usize>,
    /// They are compressed: it is a container.
    pub packed: bool,
    /// The first thing that is wrong, or cannot be loaded by this build.
    pub damage: Option<LoadError>,
}

/// The keys of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseCounts {
    /// All keys.
    pub keys: u64,
    /// Keys with an expiry.
    pub expires: u64,
    /// Keys by kind of value and form on disk.
    pub types: BTreeMap<(&'static str, &'static str), u64>,
}

/// Looks at a file.
pub fn inspect(bytes: &[u8], options: &LoadOptions) -> Inspection {
    let mut names = Names::default();
    let mut found = look(bytes, options, &mut names);
    let alike = names.alike();
    if found.damage.is_none() && !alike.is_empty() {
        found.damage = twice::find(bytes, options, &alike).err();
    }
    found
}

fn look(bytes: &[u8], options: &LoadOptions, names: &mut Names) -> Inspection {
    let mut found = Inspection::default();
    if is_container(bytes) {
        if let Err(error) = look_into_container(bytes, options, &mut found, names) {
            found.damage = Some(error);
        }
        return found;
    }
    if is_foreign_zstd(bytes) {
        return match unpack_foreign(bytes) {
            Ok(plain) => Inspection {
                end: Some(bytes.len() as u64),
                crc32: Some(crc32fast::hash(bytes)),
                ..inspect(&plain, options)
            },
            Err(error) => Inspection { damage: Some(error), ..found },
        };
    }
    let version = match Version::read(&mut Reader::new(bytes)) {
        Ok(version) => version,
        Err(error) => {
            found.damage = Some(error);
            return found;
        }
    };
    found.version = Some(version);
    match verify(bytes, version, options) {
        Ok(verified) => {
            found.checksum = Some(verified.checksum);
            found.end = Some(verified.end);
            found.crc32 = verified.crc32;
        }
        Err(error) => found.damage = Some(error),
    }
    found.frames = lines::find(bytes).map(|(_, frames)| frames.len());
    match Records::of_file(bytes, options.databases) {
        Ok(mut records) => {
            let counted = count(&mut records, options, &mut found, names);
            if let Err(error) = counted {
                // What the walk finds is nearer to the cause than a checksum.
                found.damage = Some(error);
            }
            found.producer = records.producer;
        }
        Err(error) => found.damage = Some(error),
    }
    found
}

/// Checks table and frames, then counts what is in each. Offsets of what is found inside are those of the
/// decompressed RDB.
fn look_into_container(
    bytes: &[u8],
    options: &LoadOptions,
    found: &mut Inspection,
    names: &mut Names,
) -> Result<(), LoadError> {
    let container = Container::open(bytes, true)?;
    (found.frames, found.packed) = (Some(container.frames.len()), true);
    let mut sums = Vec::new();
    for group in container.groups.iter().filter(|group| group.kind != Kind::End) {
        let plain = container.unpack(group)?;
        sums.push(crc64::checksum(&plain));
        let mut reader = Reader::at(&plain, group.rdb_offset);
        let version = match found.version {
            Some(version) => version,
            None => *found.version.insert(Version::read(&mut reader)?),
        };
        let mut records = Records::of_section(reader, version, options.databases);
        let before = found.keys();
        count(&mut records, options, found, names)?;
        container.check_keys(group, found.keys() - before)?;
        if group.first == 0 {
            found.producer = records.producer;
        }
    }
    container.check_sums(sums.into_iter())?;
    found.checksum = Some(Checksum::Verified);
    found.end = Some(bytes.len() as u64);
    found.crc32 = Some(container.crc32());
    Ok(())
}

impl Inspection {
    /// Whether a hash has a form in which fields can expire.
    pub fn has_field_expiry(&self) -> bool {
        let forms = self.databases.values().flat_map(|db| db.types.keys());
        forms.into_iter().any(|(_, form)| form.contains("field expiry"))
    }

    /// Keys of all databases.
    pub fn keys(&self) -> u64 {
        self.databases.values().map(|db| db.keys).sum()
    }
}

fn count(
    records: &mut Records<'_>,
    options: &LoadOptions,
    found: &mut Inspection,
    names: &mut Names,
) -> Result<(), LoadError> {
    let values = ValueReader::new(records.version.dialect, &options.limits);
    // Only sections end without an end mark; the walk of a whole file finds that it is missing.
    let is_section = records.is_section;
    loop {
        if is_section && records.reader.remaining() == 0 {
            return records.end_of_section();
        }
        match records.next()? {
            Record::Eof => return Ok(()),
            Record::SelectDb(_) | Record::Resize { .. } => {}
            Record::Aux { name, value } => found.aux.push((name.into_vec(), value.into_vec())),
            Record::Function(source) => {
                found.functions += 1;
                found.libraries.push((records.record_offset, source.into_vec()));
            }
            Record::Key { key, type_byte, attributes } => {
                if let Err(error) = values.read(&mut records.reader, type_byte).map(drop) {
                    records.place.key = Some(key.into_vec());
                    return Err(value_error(records, error));
                }
                names.note(records.place.db, &key);
                let db = found.databases.entry(records.place.db).or_default();
                db.keys += 1;
                db.expires += u64::from(attributes.expire_at_ms.is_some());
                *db.types.entry(type_name(type_byte, records.version.dialect)).or_default() += 1;
            }
        }
    }
}
