//! The end of what recovery read: cut, and made durable before anything is written behind it. What is cut off is kept
//! beside the file (P6). On a full disk that waits with the first segment (P4, `begin.rs`).

use crate::disk::{Disk, DiskError, DiskFile, OpenMode, durable};

/// How much of a settled file is in memory at once.
const SETTLE_CHUNK: usize = 1 << 20;

/// What is to be done with the files that were read before a segment may follow them.
#[derive(Clone, Debug, Default)]
pub struct Unsettled {
    /// The last file with content, and what is good of it.
    pub good: Option<(String, GoodEnd)>,
    /// The file with a torn tail, and where that begins.
    pub torn: Option<(String, u64)>,
}

/// A torn tail that was copied into a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub path: String,
    pub bytes: u64,
}

impl Unsettled {
    /// Does it, and tells what was cut off. May be called again when it failed.
    pub fn settle(&self, disk: &dyn Disk) -> Result<Option<TornTail>, DiskError> {
        let mut kept = None;
        if let Some((torn, from)) = &self.torn {
            // What is good is shown to readers although there may be no room for the copy: it is durable before that.
            if let Some((path, end)) = &self.good {
                let file = disk.open(path, OpenMode::Write)?;
                rewrite(file.as_ref(), path, end)?;
                file.sync_all()?;
            }
            kept = keep_torn_tail(disk, torn, *from)?;
        }
        if let Some((path, end)) = &self.good {
            settle(disk, path, end)?;
        }
        Ok(kept)
    }
}

/// The name of the file that keeps what is torn of `path` from an offset on.
pub fn torn_name(path: &str, from: u64) -> String {
    format!("{path}.torn-at-{from}")
}

/// Copies what is about to be cut off a file into a file beside it, durably. `None`: it was cut off before.
fn keep_torn_tail(disk: &dyn Disk, path: &str, from: u64) -> Result<Option<TornTail>, DiskError> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?.saturating_sub(from);
    if len == 0 {
        return Ok(None);
    }
    let kept_as = torn_name(path, from);
    let copied = copy_tail(disk, (file.as_ref(), from, len), &kept_as);
    let bytes = copied.inspect_err(|_| {
        // The tail is still where it was, and half a copy is none.
        let _ = disk.remove(&kept_as);
    })?;
    Ok(Some(TornTail { path: kept_as, bytes }))
}

fn copy_tail(
    disk: &dyn Disk,
    (file, from, len): (&dyn DiskFile, u64, u64),
    to: &str,
) -> Result<u64, DiskError> {
    let copy = disk.open(to, OpenMode::CreateOrTruncate)?;
    let mut buffer = vec![0; 1 << 16];
    let mut copied = 0;
    while copied < len {
        let taken = file.read_at(from + copied, &mut buffer)?;
        if taken == 0 {
            break;
        }
        copy.write_all_at(copied, buffer.get(..taken).unwrap_or_default())?;
        copied += taken as u64;
    }
    copy.sync_all()?;
    disk.sync_dir(durable::parent(to))?;
    Ok(copied)
}

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
    rewrite(file.as_ref(), path, end)?;
    if file.len()? > end.len {
        file.truncate(end.len)?;
    }
    file.sync_all()
}

fn rewrite(file: &dyn DiskFile, path: &str, end: &GoodEnd) -> Result<(), DiskError> {
    let mut buffer = vec![0; SETTLE_CHUNK];
    let mut at = end.synced;
    for good in &end.chunks {
        let want = usize::try_from(end.len - at).unwrap_or(SETTLE_CHUNK).min(SETTLE_CHUNK);
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        read_whole(file, path, at, chunk)?;
        if crc32fast::hash(chunk) != *good {
            let text = format!("the bytes from {at} on are not those that were read before");
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, text);
            return Err(DiskError::new("read", path, error));
        }
        file.write_all_at(at, chunk)?;
        at += want as u64;
    }
    Ok(())
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
