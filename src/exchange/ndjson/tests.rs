use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::read::{Line, read_line};
use super::write::put_line;
use crate::exchange::Item;
use crate::keyspace::{Entry, Value, ValueRef, digest};
use crate::snapshot::Attributes;
use crate::types::limits::Limits;
use crate::types::stream::{Group, Pending, Stream, StreamId};
use crate::types::{Hash, List, Set, ZSet};

/// Bytes of any kind: text, numbers, what is no UTF-8, what JSON escapes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z0-9:]{0,12}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 0..40),
        "\\PC{0,8}[\"\\\\\u{0}\u{7f}\u{2028}]{0,3}".prop_map(String::into_bytes),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("a score is a number", |score| !score.is_nan()),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        (-1000i32..1000).prop_map(f64::from),
    ]
}

fn id() -> impl Strategy<Value = StreamId> {
    (1u64..50, any::<u64>()).prop_map(|(ms, seq)| StreamId { ms, seq })
}

type GroupParts = (StreamId, i64, Vec<(u8, StreamId, i64, u64)>);

fn stream() -> impl Strategy<Value = Stream> {
    let entries = btree_map(id(), vec((bytes(), bytes()), 0..4), 0..12);
    let pending = vec((0u8..3, id(), any::<i64>(), any::<u64>()), 0..8);
    let groups = btree_map(bytes(), (id(), -1i64..100, pending), 0..3);
    (entries, groups, any::<[u32; 2]>(), id()).prop_map(|(entries, groups, more, deleted)| {
        let mut stream = Stream::new();
        for (id, fields) in &entries {
            let parts: Vec<&[u8]> = fields.iter().flat_map(|(a, b)| [&a[..], &b[..]]).collect();
            stream.append(*id, parts.iter().copied(), &Limits::default()).unwrap();
        }
        let last = stream.last_id();
        let last = StreamId { ms: last.ms + u64::from(more[0]), ..last };
        let added = stream.len() as u64 + u64::from(more[1]);
        stream.set_counters(last, Some(added), Some(deleted));
        for (name, parts) in &groups {
            stream.create_group(name, group(parts));
        }
        stream
    })
}

fn group((last, read, pending): &GroupParts) -> Group {
    let mut group = Group::new(*last, *read);
    for (number, id, time, count) in pending {
        let name = [b'c', *number, 0xff];
        let found = group.find(&name).or_else(|| group.create_consumer(&name, *time));
        let consumer = found.unwrap();
        group.assign(Pending { id: *id, delivery_time: *time, delivery_count: *count, consumer });
        group.consumer_mut(consumer).unwrap().active_time = time / 2;
    }
    group
}

fn value() -> impl Strategy<Value = Entry> {
    let entry = |value| Entry::new(b"", value, None);
    let limits = Limits::default;
    let timed = (bytes(), proptest::option::of(1u64..1 << 48));
    prop_oneof![
        bytes().prop_map(move |text| entry(Value::Str(text))),
        vec(bytes(), 1..200).prop_map(move |items| {
            let mut list = List::new();
            items.iter().for_each(|item| list.push_back(&item[..], -2));
            entry(Value::List(Box::new(list)))
        }),
        btree_set(bytes(), 1..200).prop_map(move |items| {
            let mut set = Set::new();
            items.iter().for_each(|item| assert!(set.insert(item, &limits())));
            entry(Value::Set(Box::new(set)))
        }),
        btree_map(bytes(), score(), 1..200).prop_map(move |items| {
            entry(Value::ZSet(Box::new(ZSet::from_pairs(items, &limits()).unwrap())))
        }),
        btree_map(bytes(), timed, 1..200).prop_map(move |items| {
            let mut hash = Hash::new();
            for (field, (value, time)) in &items {
                hash.insert(field, value, &limits());
                if time.is_some() {
                    hash.set_field_expire(field, *time);
                }
            }
            entry(Value::Hash(Box::new(hash)))
        }),
        stream().prop_map(move |stream| entry(Value::Stream(Box::new(stream)))),
    ]
}

/// Everything of a value of which its digest knows nothing.
fn rest(entry: &Entry) -> String {
    match entry.value() {
        ValueRef::Hash(hash) => {
            let times = hash.iter_with_expire();
            let mut times: Vec<_> = times.map(|(field, _, time)| (field.to_vec(), time)).collect();
            times.sort();
            format!("{times:?}")
        }
        ValueRef::Stream(stream) => {
            let mut image = stream.to_image();
            image.nodes.clear();
            format!("{image:?}")
        }
        ValueRef::ZSet(zset) => {
            let bits = zset.iter().map(|(member, score)| (member.to_vec(), score.to_bits()));
            format!("{:?}", bits.collect::<Vec<_>>())
        }
        _ => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_is_read(
        key in bytes(),
        value in value(),
        db in any::<u32>(),
        expire_at_ms in proptest::option::of(any::<i64>().prop_filter("entries hold it", |at| *at > 0)),
        idle in proptest::option::of(0u64..1 << 40),
        frequency in proptest::option::of(any::<u8>()),
    ) {
        let attributes = Attributes { expire_at_ms, idle_seconds: idle, frequency };
        let mut entry = value.with_key(&key);
        entry.set_expire(expire_at_ms);
        let mut line = Vec::new();
        put_line(&mut line, &Item { db, entry: &entry, attributes });
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read = read_line(&line, &Limits::default());
        let Ok(Line::Key(other_db, copy, other)) = read else {
            panic!("{read:?}: {}", String::from_utf8_lossy(&line));
        };
        prop_assert_eq!((db, attributes, entry.expire_at()), (other_db, other, copy.expire_at()));
        prop_assert_eq!(entry.key(), copy.key());
        prop_assert_eq!(digest::value(&entry), digest::value(&copy));
        prop_assert_eq!(rest(&entry), rest(&copy));
    }

    #[test]
    fn any_bytes_are_read_or_refused(line in vec(any::<u8>(), 0..200)) {
        let _ = read_line(&line, &Limits::default());
    }
}

fn error(line: &str) -> String {
    read_line(line.as_bytes(), &Limits::default()).unwrap_err()
}

#[test]
fn what_is_wrong_is_named() {
    for (line, what) in [
        ("{", "no JSON"),
        ("[]", "it is no object"),
        ("{}", "neither key nor function"),
        (r#"{"format":"other","version":1}"#, "not fastness-ndjson"),
        (r#"{"format":"fastness-ndjson","version":2}"#, "of version 1"),
        (r#"{"key":"k"}"#, "key \"k\": type is missing"),
        (r#"{"key":"k","type":"module","value":""}"#, "there is no type \"module\""),
        (r#"{"key":"k","type":"string"}"#, "value is missing"),
        (r#"{"key":"k","type":"string","value":1}"#, "where a text must be"),
        (r#"{"key":"k","type":"string","value":{"base64":"?"}}"#, "base64"),
        (r#"{"key":"k","type":"string","value":"v","ttl":1}"#, "\"ttl\" is nothing"),
        (r#"{"key":"k","type":"string","value":"v","db":-1}"#, "db is no number"),
        (r#"{"key":"k","type":"set","value":["a","a"]}"#, "member \"a\" stands twice"),
        (r#"{"key":"k","type":"list","value":[]}"#, "value is empty"),
        (r#"{"key":"k","type":"zset","value":[["a","nan"]]}"#, "score of \"a\" is no number"),
        (r#"{"key":"k","type":"zset","value":[["a",1],["a",2]]}"#, "stands twice"),
        (r#"{"key":"k","type":"hash","value":[["f","1"],["f","2"]]}"#, "stands twice"),
        (
            r#"{"key":"k","type":"hash","value":{"f":"1"},"field_expire_at":{"g":1}}"#,
            "field \"g\" has a time and no value",
        ),
        (r#"{"key":"k","type":"hash","value":{"f":"1"},"field_expire_at":{"f":0}}"#, "impossible"),
        (r#"{"key":"k","type":"stream","value":{"entries":[["2-1",[]],["1-1",[]]]}}"#, "entry 1-1"),
        (
            r#"{"key":"k","type":"stream","value":{"groups":[{"name":"g","last_id":"0-0","pending":
               [{"id":"1-1","consumer":"c"}]}]}}"#,
            "group \"g\": a pending entry is of \"c\"",
        ),
    ] {
        let found = error(line);
        assert!(found.contains(what), "{line}: {found}");
    }
}

/// The form as format-spec/ndjson.md shows it.
#[test]
fn the_examples_of_the_specification_are_read() {
    let spec = include_str!("../../../format-spec/ndjson.md");
    let examples = spec.lines().filter(|line| line.starts_with("    {"));
    let mut keys = 0;
    for line in examples {
        let read = read_line(line.as_bytes(), &Limits::default());
        match read.unwrap_or_else(|error| panic!("{line}: {error}")) {
            Line::Key(db, entry, attributes) => {
                keys += 1;
                let mut again = Vec::new();
                put_line(&mut again, &Item { db, entry: &entry, attributes });
                assert_eq!(String::from_utf8(again).unwrap().trim(), line.trim());
            }
            Line::Function(_) | Line::Nothing => {}
        }
    }
    assert!(keys >= 8, "{keys}");
}
