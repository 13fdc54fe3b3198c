use proptest::prelude::*;

use super::*;

fn packed(elements: &[&str]) -> Listpack {
    let mut listpack = Listpack::new();
    for element in elements {
        listpack.push_back(*element);
    }
    listpack
}

fn texts(listpack: &Listpack) -> Vec<Vec<u8>> {
    let forward: Vec<_> = listpack.iter().map(|element| element.to_vec()).collect();
    let mut backward: Vec<_> = listpack.iter().rev().map(|element| element.to_vec()).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(validate(listpack.bytes(), true), Ok(forward.len()));
    assert_eq!(listpack.len(), forward.len());
    forward
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Blobs that Redis wrote.
#[test]
fn bytes_are_those_of_redis() {
    assert_eq!(Listpack::new().bytes(), hex("07000000 0000 ff"));
    for (elements, blob) in [
        (&["x", "1", "300"][..], "0f000000 0300 817802 0101 c12c02 ff"),
        (&["y", "-2", "x", "1.5"][..], "15000000 0400 817902 dffe02 817802 83312e3504 ff"),
        (&["f", "v", "n", "-5"][..], "13000000 0400 816602 817602 816e02 dffb02 ff"),
    ] {
        assert_eq!(packed(elements).bytes(), hex(blob));
        assert_eq!(validate(&hex(blob), true), Ok(elements.len()));
    }
}

#[test]
fn integers_take_the_least_room() {
    for (value, size) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (-1, 2),
        (4095, 2),
        (-4096, 2),
        (4096, 3),
        (-4097, 3),
        (32767, 3),
        (32768, 4),
        (-32768, 3),
        (-32769, 4),
        (8_388_607, 4),
        (8_388_608, 5),
        (-8_388_608, 4),
        (-8_388_609, 5),
        (i64::from(i32::MAX), 5),
        (i64::from(i32::MIN), 5),
        (i64::from(i32::MAX) + 1, 9),
        (i64::MAX, 9),
        (i64::MIN, 9),
    ] {
        let mut listpack = Listpack::new();
        listpack.push_back(value);
        assert_eq!(listpack.byte_len(), 7 + size + 1, "{value}");
        assert_eq!(listpack.view().element(0), Some(Element::Int(value)));
        assert_eq!(texts(&listpack), [value.to_string().into_bytes()]);
        assert_eq!(Element::Int(value).len(), value.to_string().len());
        assert!(Element::Int(value).eq_bytes(value.to_string().as_bytes()));
    }
}

#[test]
fn strings_around_the_length_steps() {
    for len in [0, 1, 63, 64, 125, 126, 127, 128, 4095, 4096, 16_377, 16_378, 16_379, 2_097_140] {
        for extra in 0..8 {
            let text = vec![b'a'; len + extra];
            let mut listpack = packed(&["1"]);
            listpack.push_back(&text);
            listpack.push_back("end");
            assert_eq!(texts(&listpack), [b"1".to_vec(), text, b"end".to_vec()]);
        }
    }
}

#[test]
fn seek_and_find() {
    let listpack = packed(&["a", "1", "b", "2", "1", "c"]);
    let view = listpack.view();
    for index in 0..6 {
        assert_eq!(view.seek(index), view.seek(index - 6));
    }
    assert_eq!(view.seek(6), None);
    assert_eq!(view.seek(-7), None);
    assert_eq!(view.seek(i64::MIN), None);
    assert_eq!(view.find(b"1", 0), view.seek(1));
    assert_eq!(view.find(b"1", 1), view.seek(4));
    assert_eq!(view.find(b"c", 1), None);
    assert_eq!(view.find(b"c", 0), view.last());
    assert_eq!(view.first(), view.seek(0));
    assert_eq!(view.pairs().count(), 3);
    assert_eq!(view.iter().nth(3), view.element(3));
    assert_eq!(view.prev(view.first().unwrap()), None);
    assert_eq!(view.next(view.last().unwrap()), None);
    assert_eq!(Listpack::new().view().first(), None);
    assert_eq!(Listpack::new().view().last(), None);
    assert_eq!(Listpack::new().view().find(b"", 0), None);
}

/// Another writer may have stored an integer as a string.
#[test]
fn find_compares_text() {
    let blob = hex("0a000000 0100 813502 ff");
    assert_eq!(validate(&blob, true), Ok(1));
    let view = ListpackRef::new(&blob);
    assert!(view.find(b"5", 0).is_some());
    assert!(view.element(0).unwrap().same_text(Element::Int(5)));
}

/// A listpack of texts as Valkey 9.1 writes it: seven bits in each byte of a backlen.
fn of_valkey(texts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&u16::try_from(texts.len()).unwrap().to_le_bytes());
    for text in texts {
        let (start, entry) = (out.len(), Encoded::new(Element::Str(text)));
        entry.append(&mut out);
        let body = entry.body();
        let size = match body {
            ..=127 => 1,
            128..=16_383 => 2,
            16_384..=2_097_151 => 3,
            _ => 4,
        };
        out.truncate(start + body);
        out.resize(start + body + size, 0);
        write_backlen(body, &mut out[start + body..]);
    }
    out.push(END);
    let size = u32::try_from(out.len()).unwrap();
    out[..4].copy_from_slice(&size.to_le_bytes());
    out
}

#[test]
fn backlens_of_valkey_are_taken_and_become_ours() {
    for threshold in [128, 16_383, 2_097_151] {
        for body in threshold - 1..=threshold + 1 {
            let head = if body < 4096 { 2 } else { 5 };
            let text = vec![b'q'; body - head];
            for texts in [&[b"a", &*text, b"b"][..], &[&*text, &*text], &[b"a", &*text]] {
                let mut ours = Listpack::new();
                texts.iter().for_each(|text| ours.push_back(*text));
                assert_eq!(take_in(ours.bytes()), Ok(None), "{body}");
                let theirs = of_valkey(texts);
                if body != threshold || threshold == 128 {
                    assert_eq!(theirs, ours.bytes(), "{body}");
                    continue;
                }
                assert_eq!(take_in(&theirs).unwrap().unwrap(), ours.bytes(), "{body}");
                assert!(validate(&theirs, true).is_err(), "only what is taken in is rewritten");
                // Both in one listpack.
                let mut mixed = ours.clone();
                texts.iter().for_each(|text| mixed.push_back(*text));
                let mut both =
                    [&ours.bytes()[..ours.byte_len() - 1], &theirs[HEADER_BYTES..]].concat();
                let (size, count) = (u32::try_from(both.len()).unwrap(), mixed.len() as u16);
                both[..4].copy_from_slice(&size.to_le_bytes());
                both[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
                assert_eq!(take_in(&both).unwrap().unwrap(), mixed.bytes(), "{body}");
            }
        }
    }
}

#[test]
fn a_shorter_backlen_must_say_the_size_too() {
    let text = vec![b'q'; 16_383 - 5];
    let good = of_valkey(&[b"a", &text, b"b"]);
    let at = HEADER_BYTES + 3 + 16_383;
    assert_eq!(good[at..at + 2], [0x7F, 0xFF]);
    for (at, byte) in [(at, 0x7E), (at, 0xFF), (at + 1, 0xFE), (at + 1, 0x7F)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(take_in(&bad), Err(InvalidListpack::Backlen(HEADER_BYTES + 3)), "{byte}");
    }
    let mut bad = good.clone();
    bad[4] = 2;
    assert_eq!(take_in(&bad), Err(InvalidListpack::Count));
    // Nothing but these sizes has two.
    let mut bad = good;
    bad[HEADER_BYTES + 4..HEADER_BYTES + 8].copy_from_slice(&16_377u32.to_le_bytes());
    assert!(take_in(&bad).is_err());
}

#[test]
fn unique_tuples() {
    assert!(packed(&["a", "1", "b", "1"]).view().is_unique(2));
    assert!(!packed(&["a", "1", "a", "2"]).view().is_unique(2));
    assert!(!packed(&["a", "1", "b"]).view().is_unique(2));
    assert!(packed(&["a", "1", "0", "b", "1", "0"]).view().is_unique(3));
    assert!(!ListpackRef::new(&hex("0c000000 0200 813502 0501 ff")).is_unique(1));
}

#[test]
fn count_beyond_the_header() {
    let mut listpack = Listpack::new();
    for value in 0..65_600i64 {
        listpack.push_back(value);
    }
    assert_eq!(listpack.len(), 65_600);
    assert_eq!(listpack.bytes()[4..6], [0xFF, 0xFF]);
    assert_eq!(validate(listpack.bytes(), true), Ok(65_600));
    assert_eq!(validate(listpack.bytes(), false), Ok(65_600));
    assert_eq!(listpack.view().element(-1), Some(Element::Int(65_599)));
    assert_eq!(listpack.view().element(65_599), Some(Element::Int(65_599)));
    assert_eq!(listpack.remove_range(0, 100), 100);
    assert_eq!(listpack.bytes()[4..6], 65_500u16.to_le_bytes());
    assert_eq!(listpack.len(), 65_500);
}

#[test]
fn damage_is_found() {
    let good = packed(&["a", "300", &"x".repeat(200)]).bytes().to_vec();
    assert_eq!(validate(&good, true), Ok(3));
    for (at, byte, error) in [
        (0, 0, InvalidListpack::Size),
        (4, 2, InvalidListpack::Count),
        (good.len() - 1, 0, InvalidListpack::End),
        (6, 0xF5, InvalidListpack::Entry(6)),
        (6, 0xFF, InvalidListpack::Entry(6)),
        (8, 3, InvalidListpack::Backlen(6)),
        (6, 0xBF, InvalidListpack::Backlen(6)),
        (12, 0xEF, InvalidListpack::Entry(12)),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(validate(&bad, true), Err(error), "byte {at}");
    }
    assert_eq!(validate(&good[..good.len() - 1], true), Err(InvalidListpack::Size));
    assert_eq!(validate(&[], true), Err(InvalidListpack::Size));
    // A body of 16383 bytes needs three bytes of backlen, although two would hold the number.
    let mut text = Listpack::new();
    text.push_back(&vec![b'x'; 16_383 - 5]);
    assert_eq!(text.byte_len(), 7 + 16_383 + 3);
}

#[test]
fn concat_and_split() {
    let mut listpack = packed(&["a", "b"]);
    listpack.append(packed(&["c", "1"]).view());
    listpack.prepend(packed(&["0"]).view());
    assert_eq!(texts(&listpack), ["0", "a", "b", "c", "1"].map(|text| text.as_bytes().to_vec()));
    let at = listpack.view().seek(3).unwrap();
    let tail = listpack.split_off(at);
    assert_eq!(texts(&listpack), ["0", "a", "b"].map(|text| text.as_bytes().to_vec()));
    assert_eq!(texts(&tail), ["c", "1"].map(|text| text.as_bytes().to_vec()));
}

#[test]
fn memory_follows_the_content() {
    let mut listpack = Listpack::new();
    for value in 0..1000i64 {
        listpack.push_back(value);
        assert!(listpack.memory_bytes() <= listpack.byte_len() * 5 / 4 + 32);
    }
    while listpack.pop_back() {}
    assert_eq!(listpack.memory_bytes(), 8);
    assert_eq!(packed(&["a"]).memory_bytes(), 16);
}

fn element_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        (-200i64..200).prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..8),
        (0usize..300).prop_map(|len| vec![b'z'; len]),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_vector(
        steps in prop::collection::vec(
            (0u8..8, any::<prop::sample::Index>(), element_text()),
            1..60,
        ),
    ) {
        let mut listpack = Listpack::new();
        let mut model: Vec<Vec<u8>> = Vec::new();
        for (step, index, text) in steps {
            let index = if model.is_empty() { 0 } else { index.index(model.len()) };
            let cursor = listpack.view().seek(index as i64);
            match (step, cursor) {
                (0, _) => { listpack.push_front(&text); model.insert(0, text); }
                (1, Some(cursor)) => { listpack.replace(cursor, &text); model[index] = text; }
                (2, Some(cursor)) => {
                    let count = text.len() % 4;
                    let removed = listpack.remove(cursor, count);
                    let end = model.len().min(index + count);
                    prop_assert_eq!(removed, model.drain(index..end).count());
                }
                (3, Some(cursor)) => {
                    listpack.insert_before(cursor, &text);
                    model.insert(index, text);
                }
                (4, Some(cursor)) => {
                    listpack.insert_after(cursor, &text);
                    model.insert(index + 1, text);
                }
                (5, Some(_)) => { listpack.pop_front(); model.remove(0); }
                (6, _) => {
                    prop_assert!(listpack.insert_at(index, &text));
                    model.insert(index, text);
                }
                _ => { listpack.push_back(&text); model.push(text); }
            }
            prop_assert_eq!(&texts(&listpack), &model);
        }
        for text in &model {
            let first = model.iter().position(|other| other == text).unwrap();
            prop_assert_eq!(listpack.view().find(text, 0), listpack.view().seek(first as i64));
        }
    }

    #[test]
    fn readers_survive_anything(
        mut bytes in prop::collection::vec(any::<u8>(), 0..60),
        text in element_text(),
    ) {
        for fix_header in [false, true] {
            if fix_header && bytes.len() >= 7 {
                let len = bytes.len() as u32;
                bytes[..4].copy_from_slice(&len.to_le_bytes());
                *bytes.last_mut().unwrap() = 0xFF;
            }
            let valid = validate(&bytes, true);
            let view = ListpackRef::new(&bytes);
            let forward = view.iter().count();
            let backward = view.iter().rev().count();
            if let Ok(count) = valid {
                prop_assert_eq!((forward, backward), (count, count));
            }
            let _ = (view.find(&text, 0), view.find(&text, 1), view.len());
            let _ = (view.seek(3), view.seek(-3));
        }
    }
}
