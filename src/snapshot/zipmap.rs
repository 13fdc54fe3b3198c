//! Zipmap: how Redis before 2.6 packed small hashes. Only read.
//!
//! See format-spec/snapshot.md, "Packed blobs".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::error::{Corruption, Parsed};
use super::primitives::Reader;

const END: u8 = 0xff;
const LONG: u8 = 254;

/// The fields and values of a zipmap that stands at `offset` of the file.
pub(super) fn read_zipmap(blob: &[u8], offset: u64) -> Parsed<Vec<(&[u8], &[u8])>> {
    let mut reader = Reader::at(blob, offset);
    let malformed = |reason| Corruption::malformed(offset, "zipmap", reason);
    let announced = reader.u8()?;
    let mut pairs = Vec::new();
    while let Some(field_len) = item_len(&mut reader)? {
        let field = reader.take(field_len)?;
        let value_len = item_len(&mut reader)?.ok_or(malformed("a field has no value"))?;
        let free = reader.u8()?;
        pairs.push((field, reader.take(value_len)?));
        reader.take(free.into())?;
    }
    reader.finish()?;
    if announced < LONG && usize::from(announced) != pairs.len() {
        return Err(malformed("the number of pairs is wrong"));
    }
    Ok(pairs)
}

/// The length of the next item; `None` at the end mark.
fn item_len(reader: &mut Reader<'_>) -> Parsed<Option<u64>> {
    Ok(match reader.u8()? {
        END => None,
        LONG => Some(reader.u32()?.into()),
        len => Some(len.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &[u8] = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world..\xff";

    #[test]
    fn pairs_and_free_bytes_are_understood() {
        let pairs = read_zipmap(EXAMPLE, 0).unwrap();
        assert_eq!(pairs, [(&b"foo"[..], &b"bar"[..]), (b"hello", b"world")]);
        let mut long = b"\xfe\xfe\x2c\x01\x00\x00".to_vec();
        long.extend([b'f'; 300]);
        long.extend(b"\x01\x00v\xff");
        assert_eq!(read_zipmap(&long, 0).unwrap(), [(&[b'f'; 300][..], &b"v"[..])]);
    }

    #[test]
    fn damage_is_refused() {
        for cut in 0..EXAMPLE.len() {
            assert!(read_zipmap(&EXAMPLE[..cut], 0).is_err(), "{cut}");
        }
        let mut damaged = EXAMPLE.to_vec();
        damaged[0] = 3;
        assert!(read_zipmap(&damaged, 0).is_err());
        damaged[0] = 2;
        damaged.push(0);
        assert!(read_zipmap(&damaged, 0).is_err());
        assert!(read_zipmap(b"\x01\x03foo\xff", 0).is_err());
    }
}
