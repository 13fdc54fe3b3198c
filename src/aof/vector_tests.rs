//! The golden files of `format-spec/vectors`, against the decode that is written down beside them.

use std::fmt::Write;

use super::manifest::{Content, Entry, Manifest};
use super::reader::{Expected, FileReader};

/// What `bytes` decodes to, in the notation of the `.txt` files.
fn decode(name: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut reader = FileReader::open(name, bytes, Expected::default()).unwrap();
    let error = loop {
        match reader.next_unit() {
            Ok(None) => break None,
            Err(error) => break Some(error),
            Ok(Some(unit)) => {
                let time = unit.time.unwrap_or(-1);
                let checked = if unit.checked { "checked" } else { "unchecked" };
                let multi = if unit.transaction { " multi" } else { "" };
                write!(text, "unit {} {} {time} {checked}{multi}:", unit.offset, unit.position)
                    .unwrap();
                for (index, command) in unit.commands().enumerate() {
                    let words: Vec<_> =
                        command.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
                    let bar = if index > 0 { " |" } else { "" };
                    write!(text, "{bar} {}", words.join(" ")).unwrap();
                }
                text.push('\n');
            }
        }
    };
    let end = reader.end();
    writeln!(
        text,
        "end offset={} position={} frames={} units={} unchecked={} synced_offset={}",
        end.offset, end.position, end.frames, end.units, end.unchecked_units, end.synced_offset
    )
    .unwrap();
    if let Some(error) = error {
        writeln!(text, "{error}").unwrap();
    }
    text
}

fn decode_manifest(bytes: &[u8]) -> String {
    let parsed = Manifest::parse(bytes).unwrap();
    let mut text = format!("checked {}\n", parsed.checked);
    let mut put = |kind: &str, entry: &Entry| {
        write!(text, "{kind} {} {}", entry.name, entry.seq).unwrap();
        for (key, value) in &entry.pairs {
            write!(text, " {key}={value}").unwrap();
        }
        text.push('\n');
    };
    parsed.manifest.base.iter().for_each(|entry| put("base", entry));
    parsed.manifest.history.iter().for_each(|entry| put("history", entry));
    parsed.manifest.incrs.iter().for_each(|entry| put("incr", entry));
    text
}

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../format-spec/vectors/", $name))
    };
}

#[test]
fn log_files_decode_as_written_down() {
    for (name, bytes, text) in [
        ("aof-framed.aof", &vector!("aof-framed.aof")[..], &vector!("aof-framed.txt")[..]),
        ("aof-torn.aof", vector!("aof-torn.aof"), vector!("aof-torn.txt")),
        ("aof-damaged.aof", vector!("aof-damaged.aof"), vector!("aof-damaged.txt")),
        ("aof-redis.aof", vector!("aof-redis.aof"), vector!("aof-redis.txt")),
    ] {
        assert_eq!(decode(name, bytes), String::from_utf8_lossy(text), "{name}");
    }
}

#[test]
fn manifests_decode_as_written_down() {
    let checked = &vector!("manifest-checked.manifest")[..];
    assert_eq!(decode_manifest(checked).as_bytes(), vector!("manifest-checked.txt"));
    assert_eq!(Manifest::parse(checked).unwrap().manifest.encode(), checked);
    let ended = &vector!("manifest-ended.manifest")[..];
    assert_eq!(decode_manifest(ended).as_bytes(), vector!("manifest-ended.txt"));
    assert_eq!(Manifest::parse(ended).unwrap().manifest.encode(), ended);
    let bound = &vector!("manifest-bound.manifest")[..];
    assert_eq!(decode_manifest(bound).as_bytes(), vector!("manifest-bound.txt"));
    let manifest = Manifest::parse(bound).unwrap().manifest;
    assert_eq!(manifest.encode(), bound);
    let content = manifest.base.unwrap().content();
    assert_eq!(content, Some(Content::of(vector!("rdb-empty.rdb"))));
    let redis = &vector!("manifest-redis.manifest")[..];
    assert_eq!(decode_manifest(redis).as_bytes(), vector!("manifest-redis.txt"));
}
