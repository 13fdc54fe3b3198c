//! The container of a compressed snapshot: independent zstd frames and a table that finds them.
//!
//! ```text
//! marker | frame | frame | ... | frame | table        marker and table are skippable frames of zstd
//!          head    keys    keys    end
//! ```
//!
//! Decompressed by any zstd tool the frames are one plain RDB. Each is checked against its CRC-32 in the
//! table before a byte of it is believed, and each can be made and read by itself: `write` packs
//! sections of records into frames, `read` opens a file and gives the records back, `parallel` does
//! that with several threads. A value too large for one frame goes on in the next ones. The base of a log in
//! Redis' own form has the same table in comment lines behind it (`lines`): its frames are stored as they are.
//! The bytes are specified in format-spec/snapshot.md, "Container" and "Table in lines".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

pub mod lines;
pub mod parallel;
pub mod read;
pub mod salvage;
pub mod write;

use super::error::{Corruption, CorruptionKind, LoadError, Place};

/// What every container of version 1 starts with: a skippable frame of 16 bytes.
pub const MARKER: [u8; 24] =
    *b"\x50\x2a\x4d\x18\x10\x00\x00\x00FASTNESS\x01\x00\x00\x00\x00\x00\x00\x00";
/// The part of the marker that every version has.
const MARKER_START: usize = 16;
/// What a zstd frame starts with.
const ZSTD_MAGIC: [u8; 4] = *b"\x28\xb5\x2f\xfd";
/// What the table's skippable frame starts with.
const TABLE_MAGIC: [u8; 4] = *b"\x51\x2a\x4d\x18";
/// What the file ends with.
const TABLE_END: [u8; 8] = *b"FASTSEEK";
const ENTRY_BYTES: usize = 20;
/// Keys in all frames, number of frames, CRC-32 of the table, end mark.
const TRAILER_BYTES: usize = 24;
/// No frame holds more bytes than this when decompressed.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The header of the RDB, its fields, function libraries and hints.
    Head,
    /// Records, beginning with the selection of their database.
    Keys,
    /// The rest of what the frame before it began.
    More,
    /// The end mark and the checksum of the RDB.
    End,
}

/// A frame, as the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    /// Bytes in the file.
    pub stored: u32,
    /// Bytes when decompressed.
    pub plain: u32,
    /// Keys that begin in it.
    pub keys: u32,
    /// CRC-32 of the bytes in the file.
    pub crc: u32,
}

/// Whether a file is a container, of this version or another.
pub fn is_container(bytes: &[u8]) -> bool {
    bytes.get(..MARKER_START).is_some_and(|start| MARKER.starts_with(start))
}

/// Whether a file is compressed by zstd in some other way.
pub fn is_foreign_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&ZSTD_MAGIC)
}

/// Appends the table of these frames.
pub fn put_table(out: &mut Vec<u8>, frames: &[Frame]) {
    let start = out.len();
    let len = frames.len() * ENTRY_BYTES + TRAILER_BYTES;
    out.extend_from_slice(&TABLE_MAGIC);
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    put_entries(out, frames);
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&TABLE_END);
}

/// The entries of a table, the number of all keys and that of the frames.
fn put_entries(out: &mut Vec<u8>, frames: &[Frame]) {
    for frame in frames {
        for field in [frame.stored, frame.plain, frame.keys, frame.crc, frame.kind as u32] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
    let keys: u64 = frames.iter().map(|frame| u64::from(frame.keys)).sum();
    out.extend_from_slice(&keys.to_le_bytes());
    out.extend_from_slice(&u32::try_from(frames.len()).unwrap_or(u32::MAX).to_le_bytes());
}

/// The frames of a whole file, by its table: checked against its own checksum and the file's length.
pub fn parse_table(bytes: &[u8]) -> Result<Vec<Frame>, LoadError> {
    let file_len = bytes.len() as u64;
    let wrong = |offset: u64, what| damaged(offset, CorruptionKind::SeekTable(what));
    let cut = || wrong(file_len, "the file does not end with it: it was not written whole, or cut");
    let (before, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>().ok_or_else(cut)?;
    let (keys, rest) = trailer.split_first_chunk::<8>().ok_or_else(cut)?;
    let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let (crc, end) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    if *end != TABLE_END {
        return Err(cut());
    }
    let count = u32::from_le_bytes(*count) as usize;
    let start = count
        .checked_mul(ENTRY_BYTES)
        .and_then(|len| before.len().checked_sub(len + 8))
        .filter(|start| *start >= MARKER.len())
        .ok_or_else(|| wrong(file_len, "it would be longer than the file"))?;
    let table = before.get(start..).unwrap_or_default();
    let summed = bytes.get(start..bytes.len() - 12).unwrap_or_default();
    let len = (count * ENTRY_BYTES + TRAILER_BYTES) as u64;
    let (head, entries) = table.split_at_checked(8).unwrap_or_default();
    let expected = [TABLE_MAGIC, u32::try_from(len).unwrap_or(0).to_le_bytes()].concat();
    if crc32fast::hash(summed) != u32::from_le_bytes(*crc) || head != expected {
        return Err(wrong(start as u64, "checksum does not match"));
    }
    let frames: Option<Vec<Frame>> = entries.chunks_exact(ENTRY_BYTES).map(parse_entry).collect();
    let frames = frames.ok_or_else(|| wrong(start as u64, "an entry is impossible"))?;
    if !fits(&frames, (start - MARKER.len()) as u64, u64::from_le_bytes(*keys)) {
        return Err(wrong(start as u64, "it does not fit the file"));
    }
    Ok(frames)
}

/// Whether frames fill so many bytes, hold so many keys, and begin and end as they should.
fn fits(frames: &[Frame], stored: u64, keys: u64) -> bool {
    frames.iter().map(|frame| u64::from(frame.stored)).sum::<u64>() == stored
        && frames.iter().map(|frame| u64::from(frame.keys)).sum::<u64>() == keys
        && frames.first().map(|frame| frame.kind) == Some(Kind::Head)
        && frames.last().map(|frame| frame.kind) == Some(Kind::End)
        && frames.iter().filter(|frame| frame.kind == Kind::Head).count() == 1
        && frames.iter().filter(|frame| frame.kind == Kind::End).count() == 1
}

fn parse_entry(entry: &[u8]) -> Option<Frame> {
    let mut fields = [0u32; 5];
    for (field, bytes) in fields.iter_mut().zip(entry.chunks_exact(4)) {
        *field = u32::from_le_bytes(bytes.try_into().ok()?);
    }
    let [stored, plain, keys, crc, kind] = fields;
    let kind = match kind {
        0 => Kind::Head,
        1 => Kind::Keys,
        2 => Kind::More,
        3 => Kind::End,
        _ => return None,
    };
    let fits = plain as usize <= FRAME_BYTES_MAX && keys <= plain;
    fits.then_some(Frame { kind, stored, plain, keys, crc })
}

fn damaged(offset: u64, kind: CorruptionKind) -> LoadError {
    LoadError::Damaged { corruption: Corruption::new(offset, kind), place: Place::default() }
}
