//! Whether a snapshot names a key twice, which a load refuses whatever the checksums say.
//!
//! Eight bytes stand for each key while the file is looked at. Only where two are the same the file is walked again, and
//! the names themselves are compared. So it takes a fraction of the file's length, and finds what a load finds.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::container::read::Container;
use super::container::{Kind, is_container};
use super::error::{Corruption, CorruptionKind, LoadError};
use super::load::{LoadOptions, value_error};
use super::primitives::Reader;
use super::record::{Record, Records, Version, skip_value};
use super::value::ValueReader;

/// What stands for the keys of a file.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<u64>);

impl Names {
    /// This key is there.
    #[inline]
    pub(super) fn note(&mut self, db: u32, key: &[u8]) {
        self.0.push(stands_for(db, key));
    }

    /// What stands for more than one of them, in order; empty: no key is there twice.
    pub(super) fn alike(mut self) -> Vec<u64> {
        self.0.sort_unstable();
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let mut alike: Vec<u64> =
            pairs.filter(|(one, next)| one == next).map(|(one, _)| *one).collect();
        alike.dedup();
        alike
    }
}

fn stands_for(db: u32, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, db.into())
}

/// Walks over a file again, in which these stand for several keys; an error names the first key that was there before.
pub(super) fn find(bytes: &[u8], options: &LoadOptions, alike: &[u64]) -> Result<(), LoadError> {
    let mut seen = HashSet::new();
    if !is_container(bytes) {
        return walk(&mut Records::of_file(bytes, options.databases)?, options, alike, &mut seen);
    }
    let container = Container::open(bytes, false)?;
    let mut version = None;
    for group in container.groups.iter().filter(|group| group.kind != Kind::End) {
        let plain = container.unpack(group)?;
        let mut reader = Reader::at(&plain, group.rdb_offset);
        let version = match version {
            Some(version) => version,
            None => *version.insert(Version::read(&mut reader)?),
        };
        let mut records = Records::of_section(reader, version, options.databases);
        walk(&mut records, options, alike, &mut seen)?;
    }
    Ok(())
}

fn walk(
    records: &mut Records<'_>,
    options: &LoadOptions,
    alike: &[u64],
    seen: &mut HashSet<(u32, Vec<u8>)>,
) -> Result<(), LoadError> {
    let values = ValueReader::new(records.version.dialect, &options.limits);
    while !records.is_section || records.reader.remaining() > 0 {
        let (key, type_byte) = match records.next()? {
            Record::Eof => break,
            Record::Key { key, type_byte, .. } => (key, type_byte),
            _ => continue,
        };
        let db = records.place.db;
        if alike.binary_search(&stands_for(db, &key)).is_err() {
            let skipped = skip_value(&mut records.reader, type_byte, records.version.dialect);
            skipped.map_err(|corruption| records.damaged(corruption))?;
            continue;
        }
        let value = values.read(&mut records.reader, type_byte);
        // A load drops a collection without elements, so that its name stays free.
        let is_empty = value.map_err(|error| value_error(records, error))?.is_none();
        if !is_empty && !seen.insert((db, key.to_vec())) {
            records.place.key = Some(key.into_vec());
            let twice = Corruption::new(records.record_offset, CorruptionKind::Duplicate("key"));
            return Err(records.damaged(twice));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::container::write::{Assembly, FileForm, Packer, Section, Table};
    use super::super::crc64;
    use super::super::inspect::inspect;
    use super::super::salvage::{assemble, salvage};
    use super::super::transcode::sections;
    use super::*;

    const BAD_LIBRARY: &[u8] = b"#!lua name=x\nthis is not lua";

    /// A file with a good checksum of the keys, each in a database, one of them a set without members.
    fn rdb(library: Option<&[u8]>, keys: &[(u8, &str)]) -> Vec<u8> {
        let mut out = b"REDIS0011".to_vec();
        if let Some(source) = library {
            out.extend_from_slice(&[0xf5, u8::try_from(source.len()).unwrap()]);
            out.extend_from_slice(source);
        }
        for (db, key) in keys {
            let (name, kind) = match key.strip_prefix("empty ") {
                Some(name) => (name, 2),
                None => (*key, 0),
            };
            out.extend_from_slice(&[0xfe, *db, kind, u8::try_from(name.len()).unwrap()]);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(if kind == 0 { &[1, b'v'] } else { &[0] });
        }
        out.push(0xff);
        let sum = crc64::checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn container(rdb: &[u8]) -> Vec<u8> {
        let form = FileForm::Zstd { level: 1 };
        let mut packer = Packer::new(form, true);
        let mut assembly = Assembly::new(form, true, Table::None);
        let mut out = assembly.start().to_vec();
        let mut put = |section: Section, _| {
            let packed = packer.pack(section)?;
            assembly.add(&packed);
            out.extend_from_slice(&packed.bytes);
            Ok(())
        };
        sections(rdb, 8, &mut put).unwrap();
        out.extend(assembly.end().unwrap());
        out
    }

    #[test]
    fn a_key_that_is_there_twice_is_damage_whatever_checksums_say() {
        let sound = [(0, "k"), (0, "z"), (1, "k"), (0, "empty e"), (0, "e"), (0, "empty k")];
        let mut twice = sound.to_vec();
        twice.extend([(0, "last"), (1, "k"), (0, "k")]);
        for pack in [<[u8]>::to_vec, container] {
            let bytes = pack(&rdb(None, &sound));
            assert_eq!(inspect(&bytes, &LoadOptions::default()).damage, None);
            assert!(salvage(&bytes).unwrap().sound);
            let bytes = pack(&rdb(None, &twice));
            let Some(LoadError::Damaged { corruption, place }) =
                inspect(&bytes, &LoadOptions::default()).damage
            else {
                panic!("not found");
            };
            assert_eq!(corruption.kind, CorruptionKind::Duplicate("key"));
            assert_eq!((place.db, place.key), (1, Some(b"k".to_vec())));
            assert!(corruption.offset > 0);
            // The first of each stays.
            let found = salvage(&bytes).unwrap();
            assert!(!found.sound && !found.unplaced);
            assert_eq!((found.keys, found.skipped.len()), (5, 2), "{:?}", found.skipped);
            assert_eq!(found.skipped[0].key, Some(b"k".to_vec()));
            let left = assemble(&bytes, &found);
            assert_eq!(inspect(&left, &LoadOptions::default()).damage, None);
        }
    }

    #[test]
    fn a_library_that_does_not_compile_is_left_out() {
        for pack in [<[u8]>::to_vec, container] {
            let bytes = pack(&rdb(Some(BAD_LIBRARY), &[(0, "k")]));
            let found = salvage(&bytes).unwrap();
            assert!(!found.sound);
            assert_eq!((found.keys, found.skipped[0].kind), (1, "function library"));
            assert!(found.skipped[0].reason.contains("compil"), "{:?}", found.skipped);
            let left = inspect(&assemble(&bytes, &found), &LoadOptions::default());
            assert_eq!((left.functions, left.keys(), left.damage), (0, 1, None));
        }
    }
}
