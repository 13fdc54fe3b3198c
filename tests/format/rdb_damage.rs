//! Damaged RDB files and payloads: refused, or read to what they say, never a panic.

use fastness::snapshot::crc64::checksum;
use fastness::snapshot::dump::restore;
use fastness::snapshot::encode::Encoder;
use fastness::snapshot::inspect::inspect;
use fastness::snapshot::{CorruptionKind, LoadError, LoadOptions, Place, RestoreError, load};
use fastness::types::limits::Limits;

use super::image::Image;
use super::rdb::{image, unhex, vectors};

fn load_all(bytes: &[u8]) -> Result<Image, LoadError> {
    let mut image = Image::default();
    load(bytes, &LoadOptions::default(), &mut image).map(|_| image)
}

/// The checksum that the bytes should have, put at their end.
fn seal(bytes: &mut [u8]) {
    let (body, trailer) = bytes.split_last_chunk_mut::<8>().unwrap();
    *trailer = checksum(body).to_le_bytes();
}

/// A file of one record.
fn file(records: &[u8]) -> Vec<u8> {
    let mut bytes = b"REDIS0012\xfa\x09redis-ver\x057.4.1".to_vec();
    bytes.extend(records);
    bytes.push(0xff);
    bytes.extend([0; 8]);
    seal(&mut bytes);
    bytes
}

#[test]
fn a_flipped_bit_is_refused_and_no_key_is_handed_over() {
    for (name, bytes, _) in vectors() {
        if name.contains("unchecked") {
            continue;
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let mut image = Image::default();
            assert!(load(&damaged, &LoadOptions::default(), &mut image).is_err(), "{name} {at}");
            assert!(image.keys.is_empty() && image.functions.is_empty(), "{name} {at}");
            assert!(inspect(&damaged, &LoadOptions::default()).damage.is_some(), "{name} {at}");
        }
    }
}

#[test]
fn a_truncated_file_is_refused() {
    for (name, bytes, _) in vectors() {
        for len in 0..bytes.len() {
            assert!(load_all(&bytes[..len]).is_err(), "{name} {len}");
            assert!(inspect(&bytes[..len], &LoadOptions::default()).damage.is_some());
        }
    }
}

/// Where the checksum does not help, what is accepted must mean something: it comes back the same.
#[test]
fn a_flipped_byte_behind_a_good_checksum_is_refused_or_exact() {
    let mut accepted = 0;
    let mut refused = 0;
    for (name, bytes, _) in vectors() {
        for at in 0..bytes.len() - 8 {
            for flip in [0x01, 0x04, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                seal(&mut damaged);
                let Ok(first) = load_all(&damaged) else {
                    refused += 1;
                    continue;
                };
                accepted += 1;
                let again = load_all(&first.file(&mut Encoder::new(false)))
                    .unwrap_or_else(|error| panic!("{name} {at} {flip}: {error}"));
                assert_eq!(first.text(), again.text(), "{name} {at} {flip}");
            }
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}

#[test]
fn what_cannot_be_loaded_is_named() {
    // A value of the module type "ReJSON-RL" version 3.
    let module = unhex("fe03 07 03 6b6579 81 4552496353 4e2d4b03 00");
    for (records, what) in [
        (module, "module"),
        (unhex("08 03 6b6579 00"), "type or opcode 8"),
        (unhex("1b 03 6b6579 00"), "type or opcode 27"),
        (unhex("f7 81 4552496353 4e2d4b 02 02 00"), "module"),
        (unhex("f3 00"), "243"),
    ] {
        let error = load_all(&file(&records)).err().unwrap();
        let LoadError::Unsupported { what: found, place, producer, .. } = &error else {
            panic!("{error}")
        };
        assert!(found.contains(what), "{error}");
        assert_eq!(producer, "redis-ver 7.4.1");
        if records[0] != 0xf7 && records[0] != 0xf3 {
            assert_eq!(place.key.as_deref(), Some(&b"key"[..]), "{error}");
        }
    }
    assert_eq!(
        load_all(b"REDIS0014\xff").err(),
        Some(LoadError::UnknownVersion("REDIS0014".into()))
    );
    assert_eq!(
        load_all(b"VALKEY081\xff").err(),
        Some(LoadError::UnknownVersion("VALKEY081".into()))
    );
    assert_eq!(load_all(b"*1\r\n$4\r\nPING").err(), Some(LoadError::NotRdb));
    assert_eq!(load_all(b"").err(), Some(LoadError::NotRdb));
}

#[test]
fn rules_are_kept_one_by_one() {
    let set = "0161";
    for (records, what) in [
        (format!("02 {set} 02 0178 0178"), "a member twice"),
        (format!("04 {set} 02 0178 0161 0178 0161"), "a field twice"),
        (format!("05 {set} 01 0178 000000000000f87f"), "no number"),
        (format!("03 {set} 01 0178 fd"), "no number"),
        (format!("05 {set} 02 0178 000000000000f83f 0178 000000000000f83f"), "a member twice"),
        (format!("0b {set} 0c 02000000 02000000 0200 0100"), "an unsorted intset"),
        (format!("14 {set} 0d 0d000000 0200 817802 817802 ff"), "a member twice in a listpack"),
        (format!("10 {set} 0a 0a000000 0100 817802 ff"), "a field without value"),
        (format!("11 {set} 0d 0d000000 0200 817802 817802 ff"), "a score that is text"),
        (format!("12 {set} 01 03 0161"), "an unknown kind of node"),
        (format!("12 {set} 01 01 00"), "an empty plain node"),
        (format!("00 {set} 0161 00 {set} 0162"), "a key twice"),
        (format!("fe 10 00 {set} 0161"), "a database that is not there"),
        (format!("02 {set} 81 7fffffffffffffff"), "a count beyond the file"),
        (format!("18 {set} ffffffffffffff7f 01 02 0166 0176"), "a time that overflows"),
        (format!("10 {set} 0d 0d000000 0200 817802 817802 ff 00"), "a byte too many"),
    ] {
        let bytes = file(&unhex(&records));
        let error = load_all(&bytes).err();
        match &error {
            Some(LoadError::Damaged { .. } | LoadError::Unsupported { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
        // A good checksum makes no difference to an inspection: what no load takes is not sound.
        assert_eq!(inspect(&bytes, &LoadOptions::default()).damage, error, "{what}");
    }
}

#[test]
fn harmless_oddities_are_taken() {
    // An empty set is dropped, a sorted set out of order is sorted, db 0 needs no SELECTDB.
    let records = unhex(
        "02 0161 00
         11 0162 15 15000000 0400 817802 83312e3504 817902 dffe02 ff
         04 0163 00 10 0164 07 07000000 0000 ff
         00 c005 c0ff",
    );
    let text = load_all(&file(&records)).unwrap().text();
    assert_eq!(text, "[db 0]\n\"5\" string\n  \"-1\"\n\"b\" zset\n  \"y\" -2\n  \"x\" 1.5\n");
}

#[test]
fn a_wrong_checksum_names_the_first_record_that_is_wrong() {
    let mut bytes = file(&unhex("00 0161 0162 14 0163 0d 0d000000 0200 817802 817902 ff"));
    let error = load_all(&bytes).map(|image| image.keys.len());
    assert_eq!(error, Ok(2));
    let at = bytes.len() - 14; // The backlen of "x".
    bytes[at] = 9;
    let error = load_all(&bytes).err().unwrap();
    let LoadError::Damaged { place, corruption } = error else { panic!("{error}") };
    assert_eq!(place, Place { db: 0, key: Some(b"c".to_vec()), type_byte: Some(20) });
    assert!(matches!(corruption.kind, CorruptionKind::Malformed("listpack", _)));
    // Damage that no rule sees is still damage.
    let mut bytes = file(&unhex("00 0161 0162"));
    let at = bytes.len() - 10;
    bytes[at] = b'c';
    let error = load_all(&bytes).err().unwrap();
    let LoadError::Damaged { corruption, .. } = error else { panic!("{error}") };
    assert!(matches!(corruption.kind, CorruptionKind::Checksum { .. }));
}

#[test]
fn a_payload_with_a_wrong_footer_is_told_from_one_with_wrong_data() {
    let limits = Limits::default();
    let payload = unhex("10 13 13000000 0400 816602 817602 816e02 dffb02 ff 0a00 d2924cc27918e20f");
    for at in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[at] ^= 0x10;
        assert!(matches!(restore(&damaged, &limits), Err(RestoreError::VersionOrChecksum)), "{at}");
        assert!(matches!(restore(&payload[..at], &limits), Err(RestoreError::VersionOrChecksum)));
        if at < payload.len() - 10 {
            seal(&mut damaged);
            if let Err(error) = restore(&damaged, &limits) {
                assert!(matches!(error, RestoreError::BadData(_)), "{at}: {error}");
            }
        }
    }
    let mut newer = payload.clone();
    let at = newer.len() - 10;
    newer[at] = 99;
    seal(&mut newer);
    assert!(matches!(restore(&newer, &limits), Err(RestoreError::VersionOrChecksum)));
    let mut longer = payload[..at].to_vec();
    longer.extend(b"\x00\x0a\x00________");
    seal(&mut longer);
    assert!(matches!(restore(&longer, &limits), Err(RestoreError::BadData(_))));
    let mut empty = unhex("02 00 0b00 0000000000000000");
    seal(&mut empty);
    assert!(matches!(restore(&empty, &limits), Err(RestoreError::BadData(_))));
}

#[test]
fn files_of_ours_are_refused_when_cut() {
    let (_, bytes, _) = vectors().pop().unwrap();
    let (image, _) = image(&bytes);
    let file = image.file(&mut Encoder::new(true));
    for len in 0..file.len() {
        assert!(load_all(&file[..len]).is_err(), "{len}");
    }
}
