//! RDB files and DUMP payloads are read to what the servers that wrote them say they are, and written
//! so that they read back the same.

use std::path::PathBuf;

use fastness::snapshot::dump::{dump, restore};
use fastness::snapshot::encode::Encoder;
use fastness::snapshot::entry::{dump_entry, encoded_len};
use fastness::snapshot::inspect::inspect;
use fastness::snapshot::load::Checksum;
use fastness::snapshot::target::Target;
use fastness::snapshot::{LoadOptions, LoadReport, load};
use fastness::types::limits::Limits;

use super::image::{Image, Kept, text_of};

/// The golden files: name, bytes, what they hold.
pub(crate) fn vectors() -> Vec<(String, Vec<u8>, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("rdb-") && name.ends_with(".rdb"))
        .collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    let read = |name: String| {
        let path = folder.join(&name);
        let text = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        (name, std::fs::read(path).unwrap(), text)
    };
    names.into_iter().map(read).collect()
}

pub(crate) fn image(bytes: &[u8]) -> (Image, LoadReport) {
    let mut image = Image::default();
    let report = load(bytes, &LoadOptions::default(), &mut image).unwrap();
    (image, report)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn vectors_hold_what_their_servers_say() {
    for (name, bytes, text) in vectors() {
        let (image, report) = image(&bytes);
        assert_eq!(image.text().trim_end(), text.trim_end(), "{name}");
        assert_eq!(report.end, bytes.len() as u64, "{name}");
        assert_eq!(report.keys, image.keys.len() as u64, "{name}");
        let unchecked = name.contains("unchecked");
        let expected = if unchecked { Checksum::Disabled } else { Checksum::Verified };
        assert_eq!(report.checksum, expected, "{name}");
        assert!(!report.producer.is_empty(), "{name}");
    }
}

#[test]
fn attributes_are_read() {
    for (name, bytes, _) in vectors() {
        let (image, _) = image(&bytes);
        if name.contains("lru") {
            let (_, attributes) = &image.keys[&(0, b"old".to_vec())];
            assert!(attributes.idle_seconds.is_some_and(|idle| (1..10).contains(&idle)));
        }
        if name.contains("lfu") {
            let (_, attributes) = &image.keys[&(0, b"plain".to_vec())];
            assert_eq!(attributes.frequency, Some(5));
        }
    }
}

#[test]
fn what_was_read_is_written_and_read_again() {
    for (name, bytes, text) in vectors() {
        let (first, _) = image(&bytes);
        for compress in [false, true] {
            let file = first.file(&mut Encoder::new(compress));
            let (second, report) = image(&file);
            assert_eq!(second.text().trim_end(), text.trim_end(), "{name}");
            assert_eq!(report.version.number, if first.has_field_expiry() { 12 } else { 11 });
            for (key, (_, attributes)) in &first.keys {
                assert_eq!(second.keys[key].1, *attributes, "{name}");
            }
        }
        if !first.has_field_expiry() {
            let file = first.file(&mut Encoder::for_target(true, Target::Redis(10)));
            assert_eq!(image(&file).1.version.number, 10);
        }
    }
}

#[test]
fn an_inspection_counts_what_a_load_loads() {
    for (name, bytes, text) in vectors() {
        let found = inspect(&bytes, &LoadOptions::default());
        assert_eq!(found.damage, None, "{name}");
        let keys: u64 = found.databases.values().map(|db| db.keys).sum();
        assert_eq!(keys, image(&bytes).1.keys, "{name}");
        let by_type: u64 = found.databases.values().flat_map(|db| db.types.values()).sum();
        assert_eq!(by_type, keys, "{name}");
        let libraries = text.matches("[function]").count() as u64;
        assert_eq!(found.functions, libraries, "{name}");
        assert_eq!(found.end, Some(bytes.len() as u64), "{name}");
    }
}

#[test]
fn an_rdb_may_be_the_start_of_an_aof() {
    let (_, mut bytes, text) = vectors().remove(0);
    let len = bytes.len() as u64;
    bytes.extend(b"*1\r\n$4\r\nPING\r\n");
    let (image, report) = image(&bytes);
    assert_eq!((report.end, report.checksum), (len, Checksum::Verified));
    assert_eq!(image.text().trim_end(), text.trim_end());
}

/// DUMP payloads of redis-server 7.0.15 and the text of their values.
const DUMPS: [(&str, &str); 10] = [
    ("00 05 68656c6c6f 0a00 6372df766534200a", "string\n  \"hello\""),
    ("00 c17fff 0a00 1760822854808480", "string\n  \"-129\""),
    ("00 0a 32313437343833363438 0a00 e7b129a34c1d76ee", "string\n  \"2147483648\""),
    (
        "00 c3 09 28 016161 e01b00 016161 0a00 cf092faaae25831d",
        "string\n  \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
    ),
    (
        "12 01 02 0f 0f000000 0300 817802 0101 c12c02 ff 0a00 87f5718d581ffb84",
        "list\n  \"x\"\n  \"1\"\n  \"300\"",
    ),
    (
        "0b 10 04000000 02000000 01000000 70110100 0a00 2735436efd6656c4",
        "set\n  \"1\"\n  \"70000\"",
    ),
    ("02 01 0178 0a00 ffe880ba760c2f09", "set\n  \"x\""),
    (
        "11 15 15000000 0400 817902 dffe02 817802 83312e3504 ff 0a00 13391ab41bfbeac8",
        "zset\n  \"y\" -2\n  \"x\" 1.5",
    ),
    ("05 01 0178 000000000000f83f 0a00 ce86e09a0b26089b", "zset\n  \"x\" 1.5"),
    (
        "10 13 13000000 0400 816602 817602 816e02 dffb02 ff 0a00 d2924cc27918e20f",
        "hash\n  \"f\" \"v\"\n  \"n\" \"-5\"",
    ),
];

#[test]
fn dump_payloads_are_restored_and_dumped_again() {
    for (hex, text) in DUMPS {
        let payload = unhex(hex);
        let value = restore(&payload, &Limits::default()).unwrap();
        let expected =
            format!("[db 0]\n\"a\" {}\n", text.replace("\n", "\n  ").replace("    ", "  "));
        let mut again = Vec::new();
        dump(&mut again, Kept::from(value).view());
        assert_eq!(text_of(restore(&again, &Limits::default()).unwrap()), expected);
    }
}

/// After HPERSIST a small hash still has room for times. Older servers read what is dumped of it all the same.
#[test]
fn a_hash_whose_fields_lost_their_times_is_one_of_version_11() {
    let limits = Limits::default();
    let mut hash = fastness::types::hash::Hash::new();
    hash.insert(b"f", b"v", &limits);
    hash.keep_times();
    assert_eq!(hash.encoding_name(), "listpackex");
    let kept = Kept::Hash(hash);
    let mut payload = Vec::new();
    dump(&mut payload, kept.view());
    let (value, footer) = payload.split_at(payload.len() - 10);
    assert_eq!((value[0], &footer[..2]), (4, &[11, 0][..]));
    let text = text_of(restore(&payload, &limits).unwrap());
    assert!(text.contains("hash") && text.contains("\"f\" \"v\""), "{text}");
    let mut image = Image::default();
    image.keys.insert((0, b"h".to_vec()), (kept, Default::default()));
    let file = image.file(&mut Encoder::new(false));
    assert!(file.starts_with(b"REDIS0011"));
    let found = inspect(&file, &LoadOptions::default());
    assert!(!found.has_field_expiry(), "{:?}", found.databases);
}

/// Types 22 and 23 of release candidates of Redis 7.4 say what 24 and 25 say.
#[test]
fn field_times_of_release_candidates_are_read() {
    const FIELDS: &str =
        "1f 1f000000 0600 816602 817602 f4a7e4ffffff3f000009 816702 817702 0001 ff";
    const HEAD: &str = "524544495330303132 fe00";
    const END: &str = "00 04 6c617374 0176 ff 0000000000000000";
    let earliest = "a7e4ffffff3f0000";
    let candidate = format!(
        "{HEAD} 16 0161 02 8100003fffffffe4a7 0166 0176 00 0167 0177 17 0162 {FIELDS} {END}"
    );
    let release = format!(
        "{HEAD} 18 0161 {earliest} 02 01 0166 0176 00 0167 0177 19 0162 {earliest} {FIELDS} {END}"
    );
    let (candidate, release) = (unhex(&candidate), unhex(&release));
    let text = image(&release).0.text();
    assert!(text.contains("\"last\""), "{text}");
    assert_eq!(image(&candidate).0.text(), text);
    let [found, expected] =
        [&candidate, &release].map(|bytes| inspect(bytes, &LoadOptions::default()));
    assert_eq!((found.damage, found.end), (None, Some(candidate.len() as u64)));
    assert_eq!(found.databases, expected.databases);
    for value in ["16 01 8100003fffffffe4a7 0166 0176".to_owned(), format!("17 {FIELDS}")] {
        let mut payload = unhex(&format!("{value} 0c00"));
        let sum = fastness::snapshot::crc64::checksum(&payload);
        payload.extend_from_slice(&sum.to_le_bytes());
        assert!(text_of(restore(&payload, &Limits::default()).unwrap()).contains("\"f\" \"v\""));
    }
}

/// An entry of 16383 bytes as Valkey 9.1 ends it, one byte shorter than any Redis does, in all that holds listpacks.
#[test]
fn listpacks_of_valkey_with_shorter_backlens_are_read() {
    let long = "71".repeat(16_378);
    let entry = |backlen: &str| format!("f0 fa3f0000 {long} {backlen}");
    let blob = |count: u16, entries: &str| {
        let entries = unhex(entries);
        let size = u32::try_from(entries.len() + 7).unwrap();
        let mut out = vec![0x80];
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&entries);
        out.push(0xff);
        out
    };
    let payloads = |backlen: &str| {
        let long = entry(backlen);
        [
            [unhex("12 01 02"), blob(3, &format!("816102 {long} 816202"))].concat(),
            [unhex("10"), blob(2, &format!("816102 {long}"))].concat(),
            [unhex("11"), blob(2, &format!("{long} 0101"))].concat(),
            [unhex("14"), blob(2, &format!("816102 {long}"))].concat(),
            [unhex("19 a7e4ffffff3f0000"), blob(3, &format!("816102 {long} f4a7e4ffffff3f000009"))]
                .concat(),
            [
                unhex("13 01 10 0000000000000001 0000000000000001"),
                blob(10, &format!("0101 0001 0101 816602 0001 0201 0001 0001 {long} 0401")),
                unhex("01 01 01 01 01 00 00 01 00"),
            ]
            .concat(),
        ]
    };
    let read = |mut payload: Vec<u8>| {
        payload.extend_from_slice(&[11, 0]);
        let sum = fastness::snapshot::crc64::checksum(&payload);
        payload.extend_from_slice(&sum.to_le_bytes());
        let value = Kept::from(restore(&payload, &Limits::default()).unwrap());
        let mut again = Vec::new();
        dump(&mut again, value.view());
        again
    };
    for (theirs, ours) in payloads("7fff").into_iter().zip(payloads("00ffff")) {
        assert_ne!(theirs, ours);
        assert_eq!(read(theirs), read(ours));
    }
}

#[test]
fn a_restored_stream_has_its_entry() {
    let payload = unhex(
        "13 01 10 0000000000000001 0000000000000001 1d 1d000000 0a00 0101 0001 0101 816602 0001
         0201 0001 0001 817602 0401 ff 01 01 01 01 01 00 00 01 00 0a00 ff55ab626ac035db",
    );
    let text = text_of(restore(&payload, &Limits::default()).unwrap());
    assert!(text.ends_with("  entry 1-1 \"f\" \"v\"\n"), "{text}");
}

#[test]
fn entries_of_the_keyspace_go_through_a_file() {
    for (name, bytes, _) in vectors() {
        let (image, _) = image(&bytes);
        let (mut direct, mut through) = (Vec::new(), Vec::new());
        let (mut first, mut second) = (Encoder::new(true), Encoder::new(true));
        for ((_, key), (kept, attributes)) in image.keys {
            let Kept::Stream(_) = kept else {
                first.key(&mut direct, &key, kept.view(), attributes);
                let dumped = {
                    let mut out = Vec::new();
                    dump(&mut out, kept.view());
                    out
                };
                let value = restore(&dumped, &Limits::default()).unwrap();
                let entry = value.into_entry(&key, attributes.expire_at_ms).unwrap();
                let (idle, frequency) = (attributes.idle_seconds, attributes.frequency);
                second.entry(&mut through, &entry, idle, frequency);
                let mut again = Vec::new();
                dump_entry(&mut again, &entry);
                assert_eq!(again, dumped, "{name}");
                assert_eq!(encoded_len(&entry), dumped.len() - 11, "{name}");
                continue;
            };
        }
        assert_eq!(direct, through, "{name}");
    }
}
