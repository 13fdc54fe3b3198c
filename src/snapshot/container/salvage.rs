//! What is left of a damaged container: the RDB that its good frames give.
//!
//! Frames end between keys, so the RDB of those that are left is whole but for the keys of the others. Where the
//! table is good it tells which those are; where it is lost, whatever decompresses is taken, and the checksum at
//! the end of the RDB has to say whether that is right.

use zstd::bulk::Decompressor;
use zstd::zstd_safe::find_frame_compressed_size;

use super::read::{Container, slice};
use super::{FRAME_BYTES_MAX, MARKER, ZSTD_MAGIC, parse_table};

/// A frame that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostFrame {
    pub offset: u64,
    pub len: u64,
    /// How many keys began in it, where the table tells.
    pub keys: Option<u64>,
}

/// The RDB of the frames that are left, and the others.
pub fn salvage(bytes: &[u8]) -> (Vec<u8>, Vec<LostFrame>) {
    if parse_table(bytes).is_ok() {
        // The marker is the same in all files.
        let whole = [&MARKER, bytes.get(MARKER.len()..).unwrap_or_default()].concat();
        if let Ok(container) = Container::open(&whole, false) {
            return by_table(&whole, &container);
        }
    }
    by_looking(bytes)
}

fn by_table(bytes: &[u8], container: &Container<'_>) -> (Vec<u8>, Vec<LostFrame>) {
    let (mut plain, mut lost) = (Vec::new(), Vec::new());
    for group in &container.groups {
        let mut at = group.offset;
        let frames = container.frames.iter().skip(group.first).take(group.frames);
        let sound = frames.fold(true, |sound, frame| {
            let stored = slice(bytes, at, frame.stored.into());
            at += u64::from(frame.stored);
            sound && crc32fast::hash(stored) == frame.crc
        });
        match container.unpack(group) {
            Ok(records) if sound => plain.extend_from_slice(&records),
            _ => {
                let (offset, len) = (group.offset, group.stored);
                lost.push(LostFrame { offset, len, keys: Some(group.keys) });
            }
        }
    }
    (plain, lost)
}

fn by_looking(bytes: &[u8]) -> (Vec<u8>, Vec<LostFrame>) {
    let (mut plain, mut lost) = (Vec::new(), Vec::new());
    let mut decompressor = Decompressor::new().ok();
    let (mut at, mut sound_to) = (0, MARKER.len().min(bytes.len()));
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > ZSTD_MAGIC.len()) {
        let len = rest.starts_with(&ZSTD_MAGIC).then(|| find_frame_compressed_size(rest).ok());
        let frame = len.flatten().and_then(|len| rest.get(..len));
        let found = frame.and_then(|frame| {
            let records = decompressor.as_mut()?.decompress(frame, FRAME_BYTES_MAX).ok()?;
            Some((frame.len(), records))
        });
        match found {
            Some((len, records)) => {
                if at > sound_to {
                    let (offset, len) = (sound_to as u64, (at - sound_to) as u64);
                    lost.push(LostFrame { offset, len, keys: None });
                }
                plain.extend_from_slice(&records);
                at += len;
                sound_to = at;
            }
            None => at += 1,
        }
    }
    // The table follows the last frame, and has no keys of its own.
    if sound_to < bytes.len() {
        let (offset, len) = (sound_to as u64, (bytes.len() - sound_to) as u64);
        lost.push(LostFrame { offset, len, keys: None });
    }
    (plain, lost)
}
