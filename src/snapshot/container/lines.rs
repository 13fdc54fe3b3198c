//! The table of an RDB that is stored as it is, in comment lines behind it.
//!
//! The base of a log in Redis' own form has no room for a table of its own; but loaders of logs read on behind
//! the RDB, and skip lines that start with `#`. So the table stands there in hexadecimal, and a last line of
//! fixed length says where the lines begin. Frames are parts of the RDB, checked and loaded like those of a container. A
//! table that does not fit its file in every digit is not used: the RDB has its own checksum, and is read from
//! its start to its end by one thread. The bytes are specified in format-spec/snapshot.md, "Table in lines".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::{ENTRY_BYTES, Frame, Kind, fits, parse_entry, put_entries};
use crate::snapshot::record::SELECTDB;

/// Bytes of the table in one line. Loaders of logs take 1023 bytes with the newline.
const LINE_BYTES: usize = 510;
/// What the last line starts with: the number of the version behind it is 1.
const LAST_START: &[u8] = b"#FASTSEEK 1 ";
/// The last line: its start, the length of the RDB in 16 digits, a newline.
const LAST_BYTES: usize = LAST_START.len() + 16 + 1;
/// Keys in all frames, number of frames, CRC-32 of the table.
const TRAILER_BYTES: usize = 16;

/// Appends the table of these frames, behind an RDB of so many bytes.
pub fn put(out: &mut Vec<u8>, frames: &[Frame], rdb_len: u64) {
    let mut table = Vec::with_capacity(frames.len() * ENTRY_BYTES + TRAILER_BYTES);
    put_entries(&mut table, frames);
    let crc = crc32fast::hash(&table);
    table.extend_from_slice(&crc.to_le_bytes());
    for line in table.chunks(LINE_BYTES) {
        out.push(b'#');
        let digits = line.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        out.extend(
            digits.map(|digit| char::from_digit(digit.into(), 16).map_or(b'0', |c| c as u8)),
        );
        out.push(b'\n');
    }
    out.extend_from_slice(LAST_START);
    out.extend_from_slice(format!("{rdb_len:016x}\n").as_bytes());
}

/// The length of the RDB and its frames, where a sound table follows it.
pub fn find(bytes: &[u8]) -> Option<(usize, Vec<Frame>)> {
    let (before, last) = bytes.split_last_chunk::<LAST_BYTES>()?;
    let digits = last.strip_prefix(LAST_START)?.strip_suffix(b"\n")?;
    let rdb_len = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let end = usize::try_from(rdb_len).ok()?;
    let text = before.get(end..)?;
    let mut table = Vec::with_capacity(text.len() / 2);
    for line in text.strip_suffix(b"\n")?.split(|byte| *byte == b'\n') {
        let digits = line.strip_prefix(b"#")?;
        for pair in digits.chunks(2) {
            table.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
        }
    }
    let (entries, trailer) = table.split_last_chunk::<TRAILER_BYTES>()?;
    let (keys, _) = trailer.split_first_chunk::<8>()?;
    let frames: Vec<Frame> = entries.chunks(ENTRY_BYTES).map(parse_entry).collect::<Option<_>>()?;
    // What was written from it is the same, so there is one way only to write it, its checksum included.
    let mut again = Vec::with_capacity(text.len() + LAST_BYTES);
    put(&mut again, &frames, rdb_len);
    let exact = bytes.get(end..) == Some(again.as_slice());
    let fit = fits(&frames, rdb_len, u64::from_le_bytes(*keys));
    (exact && fit && are_parts(&frames, bytes)).then_some((end, frames))
}

/// Whether frames are parts of these bytes as they stand, and groups of keys can be read by themselves.
fn are_parts(frames: &[Frame], bytes: &[u8]) -> bool {
    let mut offset = 0;
    frames.iter().all(|frame| {
        let selects = frame.kind != Kind::Keys || bytes.get(offset) == Some(&SELECTDB);
        offset += frame.stored as usize;
        selects && frame.stored == frame.plain
    })
}
