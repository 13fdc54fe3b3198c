//! Containers: the golden files are read to what they say, every flipped byte is refused, what we
//! write is an RDB for everybody else, and several threads read and write the same as one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use fastness::keyspace::Prepared;
use fastness::snapshot::container::parallel::{Duplicate, EntrySink, Preparer, load_entries};
use fastness::snapshot::container::read::Container;
use fastness::snapshot::container::write::{Assembly, FileForm, Packer, Section};
use fastness::snapshot::container::{Kind, MARKER};
use fastness::snapshot::encode::{Encoder, Header};
use fastness::snapshot::inspect::inspect;
use fastness::snapshot::load::Checksum;
use fastness::snapshot::{Attributes, LoadError, LoadOptions, LoadSink, Loaded, Refusal, load};

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
    container.groups.iter().flat_map(|group| container.unpack(group).unwrap()).collect()
}

/// A container of the data of an image, with sections of about `section` bytes.
fn container(image: &Image, section: usize, form: FileForm) -> Vec<u8> {
    let mut encoder = Encoder::new(false);
    let mut head = Vec::new();
    let header = Header { field_expiry: image.has_field_expiry(), ..Header::default() };
    encoder.header(&mut head, &header);
    image.functions.iter().for_each(|source| encoder.function(&mut head, source));
    let (mut packer, mut assembly) = (Packer::new(form, true), Assembly::new(form, true));
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
            damaged[number][at] ^= 1 << (at % 8);
            let form = FileForm::Zstd { level: 1 };
            let (mut packer, mut assembly) = (Packer::new(form, true), Assembly::new(form, true));
            let mut out = assembly.start().to_vec();
            for (bytes, group) in damaged.iter().zip(&opened.groups).take(groups.len() - 1) {
                let (kind, bytes, keys) = (group.kind, bytes.clone(), group.keys as u32);
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
        let (mut packer, mut assembly) = (Packer::new(form, true), Assembly::new(form, true));
        let mut out = assembly.start().to_vec();
        for group in [0, 1, 1].map(|number| &opened.groups[number]) {
            let bytes = opened.unpack(group).unwrap();
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
