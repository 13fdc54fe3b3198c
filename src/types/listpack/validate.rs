//! Checking bytes that claim to be a listpack, before anything else reads them.

use super::entry::{backlen_size, body_size, decode, read_backlen};
use super::unique;
use super::view::ListpackRef;
use super::{COUNT_UNKNOWN, END, HEADER_BYTES};

/// Why bytes are no listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidListpack {
    /// Shorter than an empty listpack, or the size in the header is not that of the blob.
    Size,
    /// The last byte is not the end byte.
    End,
    /// No entry, or one that reaches beyond the end, at this offset.
    Entry(usize),
    /// The entry at this offset does not say its own size behind its data.
    Backlen(usize),
    /// The header counts other than there are.
    Count,
}

impl std::fmt::Display for InvalidListpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size => f.write_str("listpack size differs from its header"),
            Self::End => f.write_str("listpack without its end byte"),
            Self::Entry(at) => write!(f, "no listpack entry at byte {at}"),
            Self::Backlen(at) => write!(f, "listpack entry at byte {at} has a wrong backlen"),
            Self::Count => f.write_str("listpack count differs from its header"),
        }
    }
}

impl std::error::Error for InvalidListpack {}

/// Checks a blob and returns its number of elements.
///
/// Shallow checks size and end byte only and believes the count; `deep` follows every entry, and is
/// what bytes from a file or a client get.
pub fn validate(bytes: &[u8], deep: bool) -> Result<usize, InvalidListpack> {
    let Some((size, _)) = bytes.split_first_chunk::<4>() else {
        return Err(InvalidListpack::Size);
    };
    if bytes.len() <= HEADER_BYTES || u32::from_le_bytes(*size) as usize != bytes.len() {
        return Err(InvalidListpack::Size);
    }
    if bytes.last() != Some(&END) {
        return Err(InvalidListpack::End);
    }
    let header_count = ListpackRef::new(bytes).header_count();
    if !deep && header_count != COUNT_UNKNOWN {
        return Ok(usize::from(header_count));
    }
    let count = walk(bytes)?;
    if header_count != COUNT_UNKNOWN && usize::from(header_count) != count {
        return Err(InvalidListpack::Count);
    }
    Ok(count)
}

/// Follows the entries to the end byte, checking each.
fn walk(bytes: &[u8]) -> Result<usize, InvalidListpack> {
    let end = bytes.len() - 1;
    let mut at = HEADER_BYTES;
    let mut count = 0;
    while at < end {
        let body = body_size(bytes, at).ok_or(InvalidListpack::Entry(at))?;
        let size = backlen_size(body);
        let next = at
            .checked_add(body)
            .and_then(|next| next.checked_add(size))
            .filter(|&next| next <= end)
            .ok_or(InvalidListpack::Entry(at))?;
        if decode(bytes, at).is_none() {
            return Err(InvalidListpack::Entry(at));
        }
        if read_backlen(bytes, next) != Some((body, size)) {
            return Err(InvalidListpack::Backlen(at));
        }
        at = next;
        count += 1;
    }
    Ok(count)
}

impl ListpackRef<'_> {
    /// Whether the elements are whole tuples of `width` whose first elements all differ: what a
    /// set (1), a hash or sorted set (2) or a hash with field times (3) from a file must be.
    pub fn is_unique(&self, width: usize) -> bool {
        let width = width.max(1);
        let count = self.len();
        count.is_multiple_of(width) && unique::all_differ(*self, count / width, width)
    }
}
