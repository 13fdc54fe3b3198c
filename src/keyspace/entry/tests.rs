//! Every form with every header, through every change of form.

use super::*;

const KEYS: [usize; 6] = [0, 1, 16, 254, 255, 300];

fn key(len: usize) -> Vec<u8> {
    (0..len).map(|i| b'a' + (i % 26) as u8).collect()
}

/// Strings of every form, around the bounds between them.
fn strings() -> Vec<Vec<u8>> {
    let mut strings: Vec<Vec<u8>> =
        ["", "0", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808"]
            .map(Vec::from)
            .into();
    strings.extend(["00", "+1", "-0", " 1", "1.5", "text"].map(Vec::from));
    let mut lengths = vec![15, 16, 17, 44, 45, 1024, 1025];
    if !cfg!(miri) {
        lengths.extend([SHARED_BYTES_MIN - 1, SHARED_BYTES_MIN, 200_000]);
    } else {
        lengths.push(SHARED_BYTES_MIN);
    }
    strings.extend(lengths.into_iter().map(|len| vec![b'x'; len]));
    strings
}

fn check(entry: &Entry, key: &[u8], value: &[u8], expire: Option<UnixMillis>, clock: u32) {
    assert_eq!(entry.key(), key);
    assert_eq!(entry.string().unwrap().to_vec(), value);
    assert_eq!((entry.expire_at(), entry.used_at()), (expire, clock));
    assert_eq!(entry.kind(), Kind::String);
}

#[test]
fn one_pointer_and_small_blocks() {
    assert_eq!(size_of::<Option<Entry>>(), 8);
    let entry = Entry::new_string(&key(16), &[b'v'; 16], None);
    assert_eq!(entry.memory_bytes(), 40);
    let entry = Entry::new_string(&key(16), b"1234567890", Some(1));
    assert_eq!(entry.memory_bytes(), 40);
    let entry = Entry::new_string(&key(16), b"12345678", None);
    assert_eq!(entry.memory_bytes(), 32);
}

#[test]
fn strings_survive_every_way_through_an_entry() {
    for key_len in KEYS {
        for value in strings() {
            for expire in [None, Some(-5), Some(UnixMillis::MAX)] {
                let key = key(key_len);
                let mut entry = Entry::new_string(&key, &value, expire);
                entry.touch(77);
                check(&entry, &key, &value, expire, 77);
                check(&entry.duplicate(), &key, &value, expire, 77);
                entry.set_expire(Some(9));
                check(&entry, &key, &value, Some(9), 77);
                entry.set_expire(None);
                entry.set_expire(None);
                check(&entry, &key, &value, None, 77);
                entry.set_expire(expire);
                let entry = entry.with_key(b"another");
                check(&entry, b"another", &value, expire, 77);
                let Value::Str(out) = entry.into_value() else { panic!("not a string") };
                assert_eq!(out, value);
                let entry = Entry::new(&key, Value::Str(out), expire);
                check(&entry, &key, &value, expire, 0);
            }
        }
    }
}

#[test]
fn every_string_can_replace_every_other() {
    for before in strings() {
        for after in strings() {
            let mut entry = Entry::new_string(b"key", &before, Some(3));
            entry.touch(5);
            entry.set_string(&after);
            check(&entry, b"key", &after, Some(3), 5);
            assert_eq!(entry.encoding_name(), Entry::new_string(b"", &after, None).encoding_name());
            entry.string_buf().extend_from_slice(b"+");
            entry.set_expire(None);
            check(&entry, b"key", &[&after[..], b"+"].concat(), None, 5);
            assert_eq!(entry.encoding_name(), "raw");
            assert_eq!(entry.duplicate().encoding_name(), "raw");
        }
    }
}

#[test]
fn encodings_are_those_of_redis() {
    let name = |value: &[u8]| Entry::new_string(b"k", value, None).encoding_name();
    assert_eq!(name(b"12"), "int");
    assert_eq!(name(b"012"), "embstr");
    assert_eq!((name(&[b'a'; 44]), name(&[b'a'; 45])), ("embstr", "raw"));
    assert_eq!(name(&[b'a'; 100_000]), "raw");
    let mut entry = Entry::new_string(b"k", b"12", None);
    entry.string_buf().push(b'3');
    assert_eq!((entry.encoding_name(), entry.string().unwrap().as_int()), ("raw", Some(123)));
    entry.set_int(-4);
    assert_eq!((entry.encoding_name(), entry.string().unwrap().len()), ("int", 2));
}

#[test]
fn like_lengths_stay_in_place() {
    let mut entry = Entry::new_string(&key(16), &[b'v'; 16], None);
    let block = entry.0;
    for len in [10, 9, 16, 12] {
        entry.set_string(&vec![b'w'; len]);
        assert_eq!(entry.0, block);
    }
    entry.set_string(&[b'w'; 25]);
    assert_eq!(entry.memory_bytes(), 56);
}

#[test]
fn large_strings_are_shared_until_changed() {
    let mut entry = Entry::new_string(b"k", &vec![b'x'; SHARED_BYTES_MIN], None);
    let handle = entry.share().unwrap();
    assert_eq!(handle.as_ptr(), entry.shared().unwrap().as_ptr());
    let copy = entry.duplicate();
    assert_eq!(handle.as_ptr(), copy.shared().unwrap().as_ptr());
    entry.string_buf()[0] = b'y';
    assert_eq!((handle[0], copy.shared().unwrap()[0]), (b'x', b'x'));
    assert_eq!(entry.string_buf()[0], b'y');
    assert!(entry.shared().is_none());
    assert_eq!(entry.share().unwrap()[0], b'y');
    assert!(Entry::new_string(b"k", b"short", None).share().is_none());
    drop((handle, copy));
    let before = entry.shared().unwrap().as_ptr();
    assert_eq!(entry.string_buf().as_ptr(), before, "the only handle gives its buffer back");
}

#[test]
fn collections_live_in_entries() {
    let values = || {
        [
            Value::List(Box::default()),
            Value::Hash(Box::default()),
            Value::Set(Box::default()),
            Value::ZSet(Box::default()),
            Value::Stream(Box::default()),
        ]
    };
    let kinds = [Kind::List, Kind::Hash, Kind::Set, Kind::ZSet, Kind::Stream];
    for (kind, value) in kinds.into_iter().zip(values()) {
        let mut entry = Entry::new(&key(300), value, Some(4));
        assert_eq!(entry.kind(), kind);
        assert!(!entry.encoding_name().is_empty() && !kind.name().is_empty());
        assert!(entry.string().is_none() && entry.share().is_none());
        assert!(!matches!(entry.value_mut(), ValueMut::Str(_)));
        let copy = entry.duplicate();
        entry.set_expire(None);
        entry.set_string(b"7");
        assert_eq!(entry.kind(), Kind::String);
        let Some(ValueMut::Str(string)) = Some(entry.value_mut()) else { panic!("not a string") };
        string.set_value(copy.into_value());
        assert_eq!((entry.kind(), entry.expire_at()), (kind, None));
        let entry = entry.with_key(b"k");
        assert_eq!(Entry::new(b"l", entry.into_value(), None).kind(), kind);
    }
}
