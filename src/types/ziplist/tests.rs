use proptest::prelude::*;

use super::*;

/// A ziplist of entry bodies (encoding and data), each with its size of the one before.
fn ziplist(bodies: &[&[u8]]) -> Vec<u8> {
    let mut entries: Vec<u8> = Vec::new();
    let mut tail = HEADER_BYTES;
    let mut previous = 0usize;
    for body in bodies {
        tail = HEADER_BYTES + entries.len();
        let start = entries.len();
        if previous < 254 {
            entries.push(previous as u8);
        } else {
            entries.push(0xFE);
            entries.extend((previous as u32).to_le_bytes());
        }
        entries.extend(*body);
        previous = entries.len() - start;
    }
    let mut blob = Vec::new();
    blob.extend((entries.len() as u32 + 11).to_le_bytes());
    blob.extend((tail as u32).to_le_bytes());
    blob.extend((bodies.len() as u16).to_le_bytes());
    blob.extend(entries);
    blob.push(END);
    blob
}

#[test]
fn every_encoding() {
    let long = [&[0x41, 0x2C][..], &[b'x'; 300]].concat();
    let longer = [&[0x80, 0, 0, 0x40, 0][..], &[b'y'; 0x4000]].concat();
    let blob = ziplist(&[
        b"\x05hello",
        &long,
        &longer,
        &[0xC0, 0, 0x80],
        &[0xD0, 0, 0, 0, 0x80],
        &[0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0xF0, 0xFF, 0xFF, 0xFF],
        &[0xFE, 0x80],
        &[0xF1],
        &[0xFD],
        b"\x00",
    ]);
    let list = Ziplist::new(&blob).unwrap();
    let elements: Vec<_> = list.iter().collect();
    assert_eq!(list.len(), elements.len());
    assert_eq!(
        elements,
        [
            Element::Str(b"hello"),
            Element::Str(&[b'x'; 300]),
            Element::Str(&[b'y'; 0x4000]),
            Element::Int(-32768),
            Element::Int(i64::from(i32::MIN)),
            Element::Int(i64::MAX),
            Element::Int(-1),
            Element::Int(-128),
            Element::Int(0),
            Element::Int(12),
            Element::Str(b""),
        ]
    );
}

#[test]
fn empty_ziplist() {
    let blob = [11, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0xFF];
    assert!(Ziplist::new(&blob).unwrap().is_empty());
}

/// A size of the one before that would fit a byte may take five.
#[test]
fn wide_previous_size() {
    let mut blob = vec![20, 0, 0, 0, 13, 0, 0, 0, 2, 0];
    blob.extend(b"\x00\x01a");
    blob.extend(b"\xFE\x03\0\0\0\xF5");
    blob.push(END);
    let list = Ziplist::new(&blob).unwrap();
    assert!(list.iter().eq([Element::Str(b"a"), Element::Int(4)]));
}

#[test]
fn ziplist_damage_is_found() {
    let good = ziplist(&[b"\x01a", b"\x01b"]);
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        Ziplist::new(&bad).err()
    };
    assert_eq!(with(0, 1), Some(InvalidZiplist::Size));
    assert_eq!(with(4, 10), Some(InvalidZiplist::Tail));
    assert_eq!(with(8, 1), Some(InvalidZiplist::Count));
    assert_eq!(with(8, 2), None);
    assert_eq!(with(10, 1), Some(InvalidZiplist::Previous(10)));
    assert_eq!(with(11, 9), Some(InvalidZiplist::Entry(10)));
    assert_eq!(with(11, 0xFF), Some(InvalidZiplist::Entry(10)));
    assert_eq!(with(13, 0xFF), Some(InvalidZiplist::Entry(13)));
    assert_eq!(with(good.len() - 1, 0), Some(InvalidZiplist::End));
    assert_eq!(Ziplist::new(&good[..9]).err(), Some(InvalidZiplist::Size));
}

#[test]
fn zipmaps() {
    let blob = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world..\xff";
    let map = Zipmap::new(blob).unwrap();
    assert_eq!(map.len(), 2);
    let pairs: Vec<_> = map.iter().collect();
    assert_eq!(pairs, [(&b"foo"[..], &b"bar"[..]), (b"hello", b"world")]);
    let long = [&b"\xfe\x01a\xfe\x04\x01\0\0\0"[..], &[b'v'; 260], b"\xff"].concat();
    let map = Zipmap::new(&long).unwrap();
    assert!(map.iter().eq([(&b"a"[..], &[b'v'; 260][..])]));
}

#[test]
fn zipmap_damage_is_found() {
    for (blob, error) in [
        (&b""[..], InvalidZiplist::Size),
        (b"\x01", InvalidZiplist::Size),
        (b"\x01\x01", InvalidZiplist::End),
        (b"\x00\xff", InvalidZiplist::Empty),
        (b"\x02\x01a\x01\x00b\xff", InvalidZiplist::Count),
        (b"\x01\x01a\x01\x01b\xff", InvalidZiplist::Entry(1)),
        (b"\x01\x09a\x01\x00b\xff", InvalidZiplist::Entry(1)),
        (b"\x01\xffa\x01\x00b\xff", InvalidZiplist::Entry(1)),
        (b"\x01\xfe\x01\0\0\0a\x01\x00b\xff", InvalidZiplist::Entry(1)),
    ] {
        assert_eq!(Zipmap::new(blob).err(), Some(error), "{blob:?}");
    }
}

proptest! {
    #[test]
    fn checks_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Zipmap::new(&bytes).map(|map| map.iter().count());
        if bytes.len() >= 11 {
            let len = bytes.len() as u32;
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            *bytes.last_mut().unwrap() = END;
        }
        if let Ok(list) = Ziplist::new(&bytes) {
            prop_assert_eq!(list.iter().count(), list.len());
        }
    }
}
