//! What KeyDB writes: a field about each key, between its attributes and its type.

use super::super::inspect::inspect;
use super::super::load::{LoadOptions, LoadSink, Refusal, load};
use super::super::salvage::{assemble, salvage};
use super::super::transcode::sections;
use super::super::value::Loaded;
use super::*;

const LATER: i64 = 4_000_000_000_000;

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap());
    out.extend_from_slice(text.as_bytes());
}

fn aux(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(AUX);
    text(out, name);
    text(out, value);
}

fn string(out: &mut Vec<u8>, key: &str) {
    out.push(0);
    text(out, key);
    text(out, "v");
}

/// A key with a time, a frequency and KeyDB's field.
fn stamped(out: &mut Vec<u8>, key: &str, at: i64) {
    out.push(EXPIRETIME_MS);
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&[FREQ, 7]);
    aux(out, "mvcc-tstamp", "123456789");
    string(out, key);
}

/// Without a checksum: what is wrong in it is not the checksum.
fn file(body: &[u8]) -> Vec<u8> {
    let mut out = b"REDIS0009".to_vec();
    aux(&mut out, "redis-ver", "6.3.4");
    out.extend_from_slice(&[SELECTDB, 0]);
    out.extend_from_slice(body);
    out.push(EOF);
    out.extend_from_slice(&[0; 8]);
    out
}

fn body() -> Vec<u8> {
    let mut out = Vec::new();
    stamped(&mut out, "first", LATER);
    string(&mut out, "for-ever");
    stamped(&mut out, "second", LATER + 1);
    string(&mut out, "last");
    out
}

#[derive(Default)]
struct Times(Vec<(String, Option<i64>, Option<u8>)>);

impl LoadSink for Times {
    fn key(&mut self, key: &[u8], _: Loaded<'_>, attributes: Attributes) -> Result<(), Refusal> {
        let key = key.escape_ascii().to_string();
        self.0.push((key, attributes.expire_at_ms, attributes.frequency));
        Ok(())
    }
    fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
}

fn times(bytes: &[u8]) -> Vec<(String, Option<i64>, Option<u8>)> {
    let mut times = Times::default();
    load(bytes, &LoadOptions::default(), &mut times).unwrap();
    times.0
}

fn expected() -> Vec<(String, Option<i64>, Option<u8>)> {
    vec![
        ("first".to_owned(), Some(LATER), Some(7)),
        ("for-ever".to_owned(), None, None),
        ("second".to_owned(), Some(LATER + 1), Some(7)),
        ("last".to_owned(), None, None),
    ]
}

#[test]
fn what_stands_between_a_key_and_its_attributes_does_not_part_them() {
    let bytes = file(&body());
    assert_eq!(times(&bytes), expected());
    let found = inspect(&bytes, &LoadOptions::default());
    assert_eq!((found.damage, found.databases[&0].expires), (None, 2));
}

#[test]
fn sections_hold_the_attributes_of_their_keys_once() {
    let bytes = file(&body());
    for section_bytes in [1, 1 << 20] {
        let mut whole = Vec::new();
        let mut emit = |section: super::super::container::write::Section, _| {
            whole.extend(section.bytes);
            Ok(())
        };
        sections(&bytes, section_bytes, &mut emit).unwrap();
        whole.push(EOF);
        whole.extend_from_slice(&[0; 8]);
        assert_eq!(times(&whole), expected(), "{section_bytes}");
        assert_eq!(whole.iter().filter(|byte| **byte == EXPIRETIME_MS).count(), 2);
    }
}

#[test]
fn a_key_that_is_lost_takes_its_attributes_along() {
    let sound = file(&body());
    let at = sound.windows(5).position(|bytes| bytes == b"first").unwrap() - 2;
    let mut damaged = sound.clone();
    damaged[at] = 99;
    let found = salvage(&damaged).unwrap();
    assert_eq!(found.skipped.len(), 1, "{:?}", found.skipped);
    assert_eq!(times(&assemble(&damaged, &found)), expected()[1..]);
    // The first of two keys of the same name stays, with what is said of it.
    let mut twice = body();
    stamped(&mut twice, "second", LATER + 2);
    string(&mut twice, "end");
    let twice = file(&twice);
    let found = salvage(&twice).unwrap();
    assert_eq!((found.skipped.len(), found.keys), (1, 5));
    let mut with_end = expected();
    with_end.push(("end".to_owned(), None, None));
    assert_eq!(times(&assemble(&twice, &found)), with_end);
}

#[test]
fn attributes_at_the_end_of_a_section_are_damage() {
    let mut records = vec![EXPIRETIME_MS];
    records.extend_from_slice(&LATER.to_le_bytes());
    aux(&mut records, "mvcc-tstamp", "1");
    let version = Version { dialect: Dialect::Redis, number: 9 };
    let mut walk = Records::of_section(Reader::at(&records, 100), version, 16);
    assert!(walk.end_of_section().is_ok());
    assert!(matches!(walk.next().unwrap(), Record::Aux { .. }));
    let error = walk.end_of_section().unwrap_err().to_string();
    assert!(error.starts_with("offset 100: ") && error.contains("without their key"), "{error}");
}

#[test]
fn members_with_a_time_of_their_own_are_refused_by_name() {
    let mut records = body();
    aux(&mut records, "keydb-subexpire-key", "member");
    aux(&mut records, "keydb-subexpire-when", "4000000000000");
    let bytes = file(&records);
    let error = load(&bytes, &LoadOptions::default(), &mut Times::default()).unwrap_err();
    for what in ["\"member\"", "EXPIREMEMBER", "redis-ver 6.3.4"] {
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(inspect(&bytes, &LoadOptions::default()).damage, Some(error));
}
