//! Containers: the golden files are read to what they say, every flipped byte is refused, what we
//! write is an RDB for everybody else, and several threads read and write the same as one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use fastness::keyspace::Prepared;
use fastness::snapshot::container::parallel::{Duplicate, EntrySink, Preparer, load_entries};
use fastness::snapshot::container::read::{Container, fuzz_container};
use fastness::snapshot::container::write::{Assembly, FileForm, Packer, Section, Table};
use fastness::snapshot::container::{Kind, MARKER};
use fastness::snapshot::encode::{Encoder, Header};
use fastness::snapshot::inspect::inspect;
use fastness::snapshot::load::Checksum;
use fastness::snapshot::{
    Attributes, LoadError, LoadOptions, LoadSink, Loaded, Refusal, ValueView, load,
};

use super::image::Image;
use super::rdb::image;

fn vectors() -> Vec<(String, Vec<u8>, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors");
    ["full", "empty", "unchecked"]
        .map(|name| {
            let path = folder.join(format!("container-{name}.rdb"));
            let text = std::fs::read_to_string(path.with_extension("txt")).unwrap();
            (name.to_owned(), std::fs::read(path).unwrap(), text)
        })
        .into()
}

/// The RDB in a container.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let container = Container::open(bytes, true).unwrap();
    container
        .groups
        .iter()
        .map(|group| container.unpack(group).unwrap())
        .collect::<Vec<_>>()
        .concat()
}

/// A container of the data of an image, with sections of about `section` bytes.
fn container(image: &Image, section: usize, form: FileForm) -> Vec<u8> {
    file(image, section, form, Table::None)
}

/// The same, with a table behind it if wanted.
fn file(image: &Image, section: usize, form: FileForm, table: Table) -> Vec<u8> {
    let mut encoder = Encoder::new(false);
    let mut head = Vec::new();
    let header = Header { field_expiry: image.has_field_expiry(), ..Header::default() };
    encoder.header(&mut head, &header);
    image.functions.iter().for_each(|source| encoder.function(&mut head, source));
    let mut packer = Packer::new(form, true);
    let mut assembly = Assembly::new(form, true, table);
    let mut out = assembly.start().to_vec();
    let mut put = |kind, bytes, keys, finished| {
        let packed = packer.pack(Section { kind, bytes, keys, finished }).unwrap();
        assembly.add(&packed);
        out.extend(&packed.bytes);
    };
    put(Kind::Head, head, 0, true);
    let (mut records, mut keys) = (Vec::new(), 0);
    for ((db, key), (kept, attributes)) in &image.keys {
        encoder.select_db(&mut records, *db);
        encoder.key(&mut records, key, kept.view(), *attributes);
        keys += 1;
        if records.len() >= section {
            put(Kind::Keys, std::mem::take(&mut records), keys, false);
            keys = 0;
        }
    }
    if keys > 0 {
        put(Kind::Keys, records, keys, false);
    }
    out.extend(assembly.end().unwrap());
    out
}

#[test]
fn vectors_hold_what_their_server_says() {
    for (name, bytes, text) in vectors() {
        let (found, report) = image(&bytes);
        assert_eq!(found.text().trim_end(), text.trim_end(), "{name}");
        assert_eq!((report.end, report.keys), (bytes.len() as u64, found.keys.len() as u64));
        let expected = if name == "unchecked" { Checksum::Disabled } else { Checksum::Verified };
        assert_eq!(report.checksum, expected, "{name}");
        let inspection = inspect(&bytes, &LoadOptions::default());
        assert_eq!(inspection.damage, None, "{name}");
        assert_eq!(inspection.keys(), report.keys);
        assert_eq!(inspection.functions, found.functions.len() as u64);
        // Decompressed it is an RDB that says the same.
        let (again, _) = image(&plain(&bytes));
        assert_eq!(again.text(), found.text(), "{name}");
    }
}

#[test]
fn a_flipped_byte_anywhere_is_refused_and_no_key_is_handed_over() {
    for (name, bytes, _) in vectors() {
        for at in 0..bytes.len() {
            for flip in [1 << (at % 8), 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let mut image = Image::default();
                let refused = load(&damaged, &LoadOptions::default(), &mut image);
                assert!(refused.is_err(), "{name} {at} {flip}");
                assert!(image.keys.is_empty() && image.aux.is_empty(), "{name} {at} {flip}");
                let found = inspect(&damaged, &LoadOptions::default());
                assert!(found.damage.is_some(), "{name} {at} {flip}");
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_or_goes_on_is_refused() {
    for (name, bytes, _) in vectors() {
        for len in 0..bytes.len() {
            let mut image = Image::default();
            assert!(
                load(&bytes[..len], &LoadOptions::default(), &mut image).is_err(),
                "{name} {len}"
            );
            assert!(image.keys.is_empty());
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert!(load(&longer, &LoadOptions::default(), &mut Image::default()).is_err(), "{name}");
    }
}

/// Behind good checksums (of an attacker, or of a program that is wrong) each byte of the records is refused, or
/// read to what it says.
#[test]
fn a_flipped_byte_behind_good_checksums_is_refused_or_exact() {
    let (_, bytes, _) = vectors().remove(0);
    let opened = Container::open(&bytes, true).unwrap();
    let groups: Vec<_> = opened.groups.iter().map(|group| opened.unpack(group).unwrap()).collect();
    let (mut accepted, mut refused) = (0, 0);
    for (number, records) in groups.iter().enumerate().take(groups.len() - 1) {
        // What the records' own rules find is tried byte by byte on plain files.
        for at in (number % 5..records.len()).step_by(17) {
            let mut damaged = groups.clone();
            damaged[number].to_mut()[at] ^= 1 << (at % 8);
            let form = FileForm::Zstd { level: 1 };
            let mut packer = Packer::new(form, true);
            let mut assembly = Assembly::new(form, true, Table::None);
            let mut out = assembly.start().to_vec();
            for (bytes, group) in damaged.iter().zip(&opened.groups).take(groups.len() - 1) {
                let (kind, bytes, keys) = (group.kind, bytes.to_vec(), group.keys as u32);
                let section = Section { kind, bytes, keys, finished: true };
                let packed = packer.pack(section).unwrap();
                assembly.add(&packed);
                out.extend(&packed.bytes);
            }
            out.extend(assembly.end().unwrap());
            let mut image = Image::default();
            match load(&out, &LoadOptions::default(), &mut image) {
                Err(_) => refused += 1,
                Ok(_) => {
                    accepted += 1;
                    let mut again = Image::default();
                    let form = FileForm::Zstd { level: 1 };
                    let file = container(&image, 100, form);
                    load(&file, &LoadOptions::default(), &mut again).unwrap();
                    assert_eq!(image.text(), again.text(), "{number} {at}");
                }
            }
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} {refused}");
}

#[test]
fn what_is_written_is_read_in_every_form_and_by_the_zstd_program() {
    let (_, bytes, _) = vectors().remove(0);
    let (first, _) = image(&bytes);
    for section in [1, 100, 1 << 20] {
        let sizes = [FileForm::Zstd { level: 1 }, FileForm::Lzf, FileForm::Plain].map(|form| {
            let file = container(&first, section, form);
            let (again, report) = image(&file);
            assert_eq!(again.text(), first.text());
            assert_eq!(report.checksum, Checksum::Verified);
            assert_eq!(file.starts_with(&MARKER), matches!(form, FileForm::Zstd { .. }));
            file.len()
        });
        assert!(sizes[1] < sizes[2], "{sizes:?}");
    }
    let file = container(&first, 300, FileForm::Zstd { level: 3 });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.rdb");
    std::fs::write(&path, &file).unwrap();
    let Ok(output) = Command::new("zstd").args(["-q", "-d", "-c"]).arg(&path).output() else {
        return;
    };
    assert_eq!(output.stdout, plain(&file));
}

/// A file that another program compressed as a whole.
#[test]
fn a_foreign_zstd_file_is_read() {
    let (_, bytes, _) = super::rdb::vectors().remove(1);
    let file = zstd::encode_all(&bytes[..], 3).unwrap();
    let (found, report) = image(&file);
    assert_eq!(found.text(), image(&bytes).0.text());
    assert_eq!(report.end, file.len() as u64);
    assert_eq!(inspect(&file, &LoadOptions::default()).damage, None);
    for len in 0..file.len() {
        let mut image = Image::default();
        assert!(load(&file[..len], &LoadOptions::default(), &mut image).is_err(), "{len}");
    }
}

/// Takes entries from several threads.
#[derive(Default)]
struct Names {
    keys: BTreeSet<(u32, Vec<u8>)>,
    left_out: u64,
    progress: u64,
    hints: u64,
}

impl LoadSink for Names {
    fn key(&mut self, _: &[u8], _: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
        panic!("keys come as entries")
    }

    fn resize_hint(&mut self, keys: u64, _: u64) {
        self.hints += keys;
    }

    fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    fn progress(&mut self, bytes: u64) {
        assert!(bytes > self.progress);
        self.progress = bytes;
    }
}

impl EntrySink for Names {
    fn entries(&mut self, db: u32, entries: &mut Vec<Prepared>) -> Result<(), Duplicate> {
        for entry in entries.drain(..) {
            if !self.keys.insert((db, entry.key().to_vec())) {
                return Err(Duplicate(entry.key().to_vec()));
            }
        }
        Ok(())
    }

    fn preparer(&self) -> Box<Preparer> {
        Box::new(|key, value, attributes| {
            let keep = !key.starts_with(b"expires");
            let entry = value.into_entry(key, attributes.expire_at_ms)?;
            Ok(keep.then(|| Prepared::new(entry)))
        })
    }

    fn left_out(&mut self, keys: u64) {
        self.left_out += keys;
    }
}

#[test]
fn several_threads_load_what_one_does() {
    let (_, bytes, _) = vectors().remove(0);
    let (all, _) = image(&bytes);
    for section in [1, 200, 1 << 20] {
        let file = container(&all, section, FileForm::Zstd { level: 1 });
        for (file, hints) in [(&file, 0), (&bytes, 44)] {
            let mut names = Names::default();
            let report = load_entries(file, &LoadOptions::default(), 3, &mut names).unwrap();
            assert_eq!(report.keys, all.keys.len() as u64);
            assert_eq!(names.left_out, 1);
            assert_eq!(names.keys.len() + 1, all.keys.len());
            assert_eq!(names.hints, hints);
            assert!(names.progress > 0);
        }
    }
}

#[test]
fn several_threads_refuse_what_one_does() {
    let (_, bytes, _) = vectors().remove(0);
    let (all, _) = image(&bytes);
    let twice = {
        // The same section twice: every key in it is a duplicate.
        let form = FileForm::Zstd { level: 1 };
        let file = container(&all, 1 << 20, form);
        let opened = Container::open(&file, true).unwrap();
        let mut packer = Packer::new(form, true);
        let mut assembly = Assembly::new(form, true, Table::None);
        let mut out = assembly.start().to_vec();
        for group in [0, 1, 1].map(|number| &opened.groups[number]) {
            let bytes = opened.unpack(group).unwrap().into_owned();
            let keys = group.keys as u32;
            let section = Section { kind: group.kind, bytes, keys, finished: true };
            let packed = packer.pack(section).unwrap();
            assembly.add(&packed);
            out.extend(&packed.bytes);
        }
        out.extend(assembly.end().unwrap());
        out
    };
    let mut names = Names::default();
    let error = load_entries(&twice, &LoadOptions::default(), 2, &mut names).unwrap_err();
    assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
    let few = LoadOptions { databases: 1, ..LoadOptions::default() };
    assert!(load_entries(&bytes, &few, 2, &mut Names::default()).is_err());
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    let mut names = Names::default();
    assert!(load_entries(&damaged, &LoadOptions::default(), 2, &mut names).is_err());
    assert!(names.keys.is_empty());
}

/// An RDB with a table in lines behind it: each of the vectors, and what it holds.
fn vectors_in_lines() -> [(Vec<u8>, String); 2] {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors");
    ["full", "empty"].map(|name| {
        let path = folder.join(format!("lines-{name}.rdb"));
        let text = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        (std::fs::read(path).unwrap(), text)
    })
}

fn names(image: &Image) -> BTreeSet<(u32, Vec<u8>)> {
    let all = image.keys.keys().cloned();
    all.filter(|(_, key)| !key.starts_with(b"expires")).collect()
}

#[test]
fn a_table_in_lines_is_used_by_several_threads_and_harms_nobody_else() {
    for (bytes, text) in vectors_in_lines() {
        let opened = Container::open_lines(&bytes, true).unwrap().unwrap();
        let (found, report) = image(&bytes);
        assert_eq!(found.text().trim_end(), text.trim_end());
        assert_eq!((report.end, report.checksum), (bytes.len() as u64, Checksum::Verified));
        assert_eq!(report.crc32, Some(crc32fast::hash(&bytes)));
        let inspection = inspect(&bytes, &LoadOptions::default());
        assert_eq!((inspection.damage, inspection.end), (None, Some(report.end)));
        assert_eq!((inspection.frames, inspection.packed), (Some(opened.frames.len()), false));
        let mut taken = Names::default();
        let by_threads = load_entries(&bytes, &LoadOptions::default(), 3, &mut taken).unwrap();
        assert_eq!((by_threads.end, by_threads.crc32), (report.end, report.crc32));
        assert_eq!(taken.keys, names(&found));
    }
}

#[test]
fn a_flipped_byte_before_or_in_a_table_in_lines_is_refused_or_harmless() {
    for (bytes, _) in vectors_in_lines() {
        let (all, _) = image(&bytes);
        let rdb_len = Container::open_lines(&bytes, true).unwrap().unwrap().rdb_len() as usize;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            if at < rdb_len {
                let mut taken = Names::default();
                let loaded = load_entries(&damaged, &LoadOptions::default(), 2, &mut taken);
                assert!(loaded.is_err() && taken.keys.is_empty(), "{at}");
            } else {
                assert!(Container::open_lines(&damaged, true).is_none(), "{at}");
            }
            fuzz_container(&damaged);
            let mut again = Image::default();
            match load(&damaged, &LoadOptions::default(), &mut again) {
                Ok(_) => assert!(at >= rdb_len && again.text() == all.text(), "{at}"),
                Err(_) => assert!(at < rdb_len && again.keys.is_empty(), "{at}"),
            }
        }
    }
}

#[test]
fn every_form_of_redis_can_have_a_table_in_lines() {
    let (_, bytes, _) = vectors().remove(0);
    let (all, _) = image(&bytes);
    for form in [FileForm::Lzf, FileForm::Plain] {
        for section in [1, 100, 1 << 20] {
            let without = file(&all, section, form, Table::None);
            let with = file(&all, section, form, Table::Lines);
            let lines = with.strip_prefix(without.as_slice()).unwrap();
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                assert!(line.starts_with(b"#") && line.ends_with(b"\n") && line.len() <= 1022);
            }
            let mut taken = Names::default();
            load_entries(&with, &LoadOptions::default(), 3, &mut taken).unwrap();
            assert_eq!(taken.keys, names(&all));
            // A container has no lines, however it is asked for.
            let zstd = FileForm::Zstd { level: 1 };
            let container = file(&all, section, zstd, Table::Lines);
            assert!(container == file(&all, section, zstd, Table::None));
            assert!(Container::open_lines(&with[..with.len() - 1], true).is_none());
            assert!(Container::open_lines(&without, true).is_none());
        }
    }
}

/// A value that is longer than a frame may be goes on in others.
#[test]
fn a_long_value_has_several_frames_in_a_table_in_lines() {
    let mut encoder = Encoder::new(false);
    let (mut packer, mut assembly) =
        (Packer::new(FileForm::Plain, true), Assembly::new(FileForm::Plain, true, Table::Lines));
    let (mut head, mut records) = (Vec::new(), Vec::new());
    encoder.header(&mut head, &Header::default());
    encoder.select_db(&mut records, 2);
    let long: Vec<u8> =
        (0..20 << 20).map(|at: u32| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    encoder.key(&mut records, b"long", ValueView::Str(&long), Attributes::default());
    let mut out = Vec::new();
    for (kind, bytes, keys) in [(Kind::Head, head, 0), (Kind::Keys, records, 1)] {
        let packed = packer.pack(Section { kind, bytes, keys, finished: true }).unwrap();
        assembly.add(&packed);
        out.extend(&packed.bytes);
    }
    out.extend(assembly.end().unwrap());
    let opened = Container::open_lines(&out, true).unwrap().unwrap();
    let kinds: Vec<Kind> = opened.frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Head, Kind::Keys, Kind::More, Kind::More, Kind::End]);
    let mut taken = Names::default();
    load_entries(&out, &LoadOptions::default(), 2, &mut taken).unwrap();
    assert_eq!(taken.keys.into_iter().collect::<Vec<_>>(), [(2, b"long".to_vec())]);
}
