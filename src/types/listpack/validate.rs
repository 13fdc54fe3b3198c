//! Checking bytes that claim to be a listpack, before anything else reads them.

use super::entry::{append, backlen_size, body_size, decode, read_backlen, shorter_backlen_size};
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
/// Shallow checks size and end byte only and believes the count; `deep` follows every entry. Bytes from a file or a
/// client go through [`take_in`].
pub fn validate(bytes: &[u8], deep: bool) -> Result<usize, InvalidListpack> {
    let header_count = check_frame(bytes)?;
    if !deep && header_count != COUNT_UNKNOWN {
        return Ok(usize::from(header_count));
    }
    let walked = walk(bytes, false)?;
    check_count(header_count, walked.count)?;
    Ok(walked.count)
}

/// Checks a blob from outside entry by entry. It may be used as it stands if there is none in the answer; else what
/// is in the answer is to be used instead: the same elements, where Valkey 9.1 wrote some with other backlens.
pub fn take_in(bytes: &[u8]) -> Result<Option<Vec<u8>>, InvalidListpack> {
    let header_count = check_frame(bytes)?;
    let walked = walk(bytes, true)?;
    check_count(header_count, walked.count)?;
    if walked.shorter == 0 { Ok(None) } else { rewritten(bytes, walked.shorter).map(Some) }
}

/// Checks size and end byte, and returns the count in the header.
fn check_frame(bytes: &[u8]) -> Result<u16, InvalidListpack> {
    let Some((size, _)) = bytes.split_first_chunk::<4>() else {
        return Err(InvalidListpack::Size);
    };
    if bytes.len() <= HEADER_BYTES || u32::from_le_bytes(*size) as usize != bytes.len() {
        return Err(InvalidListpack::Size);
    }
    if bytes.last() != Some(&END) {
        return Err(InvalidListpack::End);
    }
    Ok(ListpackRef::new(bytes).header_count())
}

fn check_count(header_count: u16, count: usize) -> Result<(), InvalidListpack> {
    if header_count != COUNT_UNKNOWN && usize::from(header_count) != count {
        return Err(InvalidListpack::Count);
    }
    Ok(())
}

/// What the entries of a blob come to.
#[derive(Default)]
struct Walked {
    count: usize,
    /// Those with the shorter backlens of Valkey 9.1.
    shorter: usize,
}

/// Follows the entries to the end byte, checking each.
fn walk(bytes: &[u8], take_shorter: bool) -> Result<Walked, InvalidListpack> {
    let end = bytes.len() - 1;
    let mut at = HEADER_BYTES;
    let mut walked = Walked::default();
    while at < end {
        let body = body_size(bytes, at).ok_or(InvalidListpack::Entry(at))?;
        at = match behind(bytes, at, body, backlen_size(body)) {
            Ok(next) => next,
            // The sizes are told apart by the first byte of the backlen, so no bytes can mean both.
            Err(invalid) => {
                let size = shorter_backlen_size(body).filter(|_| take_shorter).ok_or(invalid)?;
                walked.shorter += 1;
                behind(bytes, at, body, size).map_err(|_| invalid)?
            }
        };
        walked.count += 1;
    }
    Ok(walked)
}

/// Offset behind the entry at `at`, which must have a backlen of `size` bytes.
#[inline]
fn behind(bytes: &[u8], at: usize, body: usize, size: usize) -> Result<usize, InvalidListpack> {
    let next = at
        .checked_add(body)
        .and_then(|next| next.checked_add(size))
        .filter(|&next| next < bytes.len())
        .ok_or(InvalidListpack::Entry(at))?;
    if decode(bytes, at).is_none() {
        return Err(InvalidListpack::Entry(at));
    }
    if read_backlen(bytes, next) != Some((body, size)) {
        return Err(InvalidListpack::Backlen(at));
    }
    Ok(next)
}

/// The same elements with our backlens, which take `more` bytes more. For bytes that were walked.
#[cold]
fn rewritten(bytes: &[u8], more: usize) -> Result<Vec<u8>, InvalidListpack> {
    let total = bytes.len() + more;
    let mut out = Vec::with_capacity(total);
    let size = u32::try_from(total).map_err(|_| InvalidListpack::Size)?;
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(bytes.get(4..HEADER_BYTES).ok_or(InvalidListpack::Size)?);
    let mut at = HEADER_BYTES;
    while at + 1 < bytes.len() {
        let body = body_size(bytes, at).ok_or(InvalidListpack::Entry(at))?;
        let next = behind(bytes, at, body, backlen_size(body));
        let next = next.or_else(|invalid| {
            let size = shorter_backlen_size(body).ok_or(invalid)?;
            behind(bytes, at, body, size)
        })?;
        append(bytes.get(at..at + body).ok_or(InvalidListpack::Entry(at))?, &mut out);
        at = next;
    }
    out.push(END);
    Ok(out)
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
