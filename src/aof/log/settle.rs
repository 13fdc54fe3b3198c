//! The end of what recovery read: cut, and made durable before anything is written behind it.

use crate::disk::{Disk, DiskError, DiskFile, OpenMode};

/// How much of a settled file is in memory at once.
const SETTLE_CHUNK: usize = 1 << 20;

/// The end of a segment as it was read and found good: what [`settle`] makes durable.
#[derive(Clone, Debug)]
pub struct GoodEnd {
    /// From here on no frame proves that the bytes are durable.
    synced: u64,
    len: u64,
    /// A checksum of each chunk in between.
    chunks: Vec<u32>,
}

impl GoodEnd {
    /// Of a file with these bytes, of which those before `len` are good.
    pub fn of(bytes: &[u8], synced: u64, len: u64) -> Self {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let unproven = bytes.get(place(synced)..place(len)).unwrap_or_default();
        let chunks = unproven.chunks(SETTLE_CHUNK).map(crc32fast::hash).collect();
        Self { synced, len, chunks }
    }
}

/// Makes the end of a segment that was read durable, before anything is loaded from it or written behind it.
///
/// Cuts the file behind its good end and writes the bytes that no frame proves to be durable in
/// place once more before it syncs: after a failed fsync of an earlier process they may be in the page
/// cache, marked clean, and nowhere else. They are read for that, and a read may return what it did not
/// before: nothing is written that is not what was found good.
pub fn settle(disk: &dyn Disk, path: &str, end: &GoodEnd) -> Result<(), DiskError> {
    let file = disk.open(path, OpenMode::Write)?;
    let mut buffer = vec![0; SETTLE_CHUNK];
    let mut at = end.synced;
    for good in &end.chunks {
        let want = usize::try_from(end.len - at).unwrap_or(SETTLE_CHUNK).min(SETTLE_CHUNK);
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        read_whole(file.as_ref(), path, at, chunk)?;
        if crc32fast::hash(chunk) != *good {
            let text = format!("the bytes from {at} on are not those that were read before");
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, text);
            return Err(DiskError::new("read", path, error));
        }
        file.write_all_at(at, chunk)?;
        at += want as u64;
    }
    if file.len()? > end.len {
        file.truncate(end.len)?;
    }
    file.sync_all()
}

fn read_whole(file: &dyn DiskFile, path: &str, at: u64, to: &mut [u8]) -> Result<(), DiskError> {
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let taken = file.read_at(at + filled as u64, rest)?;
        if taken == 0 {
            return Err(DiskError::new("read", path, std::io::ErrorKind::UnexpectedEof.into()));
        }
        filled += taken;
    }
    Ok(())
}
