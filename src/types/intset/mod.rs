//! Intset: a small set of integers as one sorted array.
//!
//! ```text
//! width: u32 LE | count: u32 LE | count signed LE integers of that width, ascending
//! ```
//!
//! All members have the width of the widest one that was ever added; the array is widened when that is needed
//! and never narrowed. Lookup is a binary search.
//!
//! In files (RDB stores the bytes as they are) the width is 2, 4 or 8, as in Redis. In memory it may be 3 as well,
//! where Redis takes 4, or 5 or 6, where it takes 8: numbers of users and milliseconds are that wide. So each width
//! in memory has one in files ([`IntSet::stored`]), and the way back is exact. Bytes from a file go through
//! [`IntSet::validate`].

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use crate::rng::Rng;
use crate::types::blob::{Blob, Head};

/// Bytes before the first member: width and count.
const HEADER_BYTES: usize = 8;

/// A set of integers.
#[derive(Clone)]
pub struct IntSet {
    /// Always whole: header, then `count` members.
    blob: Blob<Size>,
}

/// The header: width of the members and number of them.
struct Size;

// SAFETY: a function of the bytes, and at least the header's size.
#[allow(unsafe_code, reason = "the promise of types::blob")]
unsafe impl Head for Size {
    const SIZE: usize = HEADER_BYTES;

    #[inline]
    fn len(head: &[u8]) -> usize {
        HEADER_BYTES + header(head).map_or(0, |(width, count)| width * count)
    }
}

/// Why bytes are no intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidIntSet {
    /// Width other than 2, 4 or 8, or a length that does not go with width and count.
    Size,
    /// No member: such a set does not exist.
    Empty,
    /// This member is not greater than the one before it.
    Order(usize),
}

impl fmt::Display for InvalidIntSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => f.write_str("intset size differs from its header"),
            Self::Empty => f.write_str("intset without a member"),
            Self::Order(index) => write!(f, "intset member {index} is out of order"),
        }
    }
}

impl std::error::Error for InvalidIntSet {}

impl PartialEq for IntSet {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for IntSet {}

impl fmt::Debug for IntSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Default for IntSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<i64> for IntSet {
    fn from_iter<T: IntoIterator<Item = i64>>(values: T) -> Self {
        let mut set = Self::new();
        for value in values {
            set.insert(value);
        }
        set
    }
}

impl IntSet {
    /// Has its beginning on its way.
    #[inline]
    pub fn bring_near(&self) {
        self.blob.bring_near();
    }

    /// An empty set.
    pub fn new() -> Self {
        Self { blob: Blob::new(&head(2, 0)) }
    }

    /// Checks a blob and returns its number of members.
    pub fn validate(bytes: &[u8]) -> Result<usize, InvalidIntSet> {
        let (width, count) = header(bytes).ok_or(InvalidIntSet::Size)?;
        let members = count.checked_mul(width).ok_or(InvalidIntSet::Size)?;
        if !matches!(width, 2 | 4 | 8) || bytes.len() - HEADER_BYTES != members {
            return Err(InvalidIntSet::Size);
        }
        if count == 0 {
            return Err(InvalidIntSet::Empty);
        }
        let set = Members { bytes, width };
        match (1..count).find(|&index| set.at(index - 1) >= set.at(index)) {
            Some(index) => Err(InvalidIntSet::Order(index)),
            None => Ok(count),
        }
    }

    /// A copy of bytes that passed [`IntSet::validate`].
    pub fn from_validated(bytes: &[u8]) -> Self {
        debug_assert!(Self::validate(bytes).is_ok());
        let (width, count) = header(bytes).unwrap_or((2, 0));
        let file = Members { bytes, width };
        let outer = [0, count.saturating_sub(1)].map(|index| width_for(file.at(index)));
        let narrow = outer[0].max(outer[1]).max(narrowest(width));
        if count == 0 || narrow == width {
            return Self { blob: Blob::from(bytes) };
        }
        Self { blob: rewritten(file, count, narrow) }
    }

    /// The blob as files have it.
    pub fn stored(&self) -> Cow<'_, [u8]> {
        let members = self.members();
        match stored_width(members.width) {
            width if width == members.width => Cow::Borrowed(members.bytes),
            width => Cow::Owned(rewritten(members, self.len(), width).bytes().to_vec()),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.blob.bytes()
    }

    /// Heap bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.blob.memory_bytes()
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        header(self.bytes()).map_or(0, |(_, count)| count)
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `value` is a member.
    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// The member with this index in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.members().at(index))
    }

    /// The least member.
    pub fn min(&self) -> Option<i64> {
        self.get(0)
    }

    /// The greatest member.
    pub fn max(&self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Any member, all equally likely.
    pub fn random(&self, rng: &mut dyn Rng) -> Option<i64> {
        self.get(rng.index(self.len()))
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        let members = self.members();
        (0..self.len()).map(move |index| members.at(index))
    }

    /// Adds a member; `false` if it was there.
    pub fn insert(&mut self, value: i64) -> bool {
        let width = width_for(value);
        if width > self.width() {
            self.widen(width);
        }
        let Err(index) = self.search(value) else { return false };
        let (width, count) = (self.width(), self.len());
        self.blob.set_head(&head(width, count + 1));
        let (at, end) = (index * width, count * width);
        let members = self.blob.body_mut();
        members.copy_within(at..end, at + width);
        members[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        true
    }

    /// Removes a member; `false` if it was not there.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else { return false };
        let (width, count) = (self.width(), self.len());
        let at = index * width;
        self.blob.body_mut().copy_within(at + width.., at);
        self.blob.set_head(&head(width, count - 1));
        true
    }

    /// Bytes per member.
    #[inline]
    fn width(&self) -> usize {
        header(self.bytes()).map_or(2, |(width, _)| width)
    }

    #[inline]
    fn members(&self) -> Members<'_> {
        Members { bytes: self.bytes(), width: self.width() }
    }

    /// Index of the value, or (`Err`) where it belongs.
    #[inline]
    fn search(&self, value: i64) -> Result<usize, usize> {
        let members = self.members();
        let mut low = 0;
        let mut high = self.len();
        // Sets are often filled in ascending order.
        if high > 0 && members.at(high - 1) < value {
            return Err(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            let found = members.at(middle);
            if found == value {
                return Ok(middle);
            }
            if found < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Err(low)
    }

    /// Rewrites all members with a greater width.
    fn widen(&mut self, width: usize) {
        self.blob = rewritten(self.members(), self.len(), width);
    }
}

/// The same members with another width, which is enough for them.
fn rewritten(members: Members<'_>, count: usize, width: usize) -> Blob<Size> {
    let mut blob = Blob::new(&head(width, count));
    for (index, place) in blob.body_mut().chunks_exact_mut(width).enumerate() {
        place.copy_from_slice(&members.at(index).to_le_bytes()[..width]);
    }
    blob
}

/// The width that files have for one in memory.
fn stored_width(width: usize) -> usize {
    match width {
        2 => 2,
        3 | 4 => 4,
        _ => 8,
    }
}

/// The least width in memory that stands for this one in files.
fn narrowest(stored: usize) -> usize {
    match stored {
        2 => 2,
        4 => 3,
        _ => 5,
    }
}

/// The header of a set of so many members: sets leave this form long before 2^32 of them.
#[inline]
fn head(width: usize, count: usize) -> [u8; HEADER_BYTES] {
    (width as u64 | (count as u64) << 32).to_le_bytes()
}

/// Members of a blob whose header was read.
#[derive(Clone, Copy)]
struct Members<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl Members<'_> {
    /// The member with this index, which is below the count.
    #[inline]
    fn at(&self, index: usize) -> i64 {
        let at = HEADER_BYTES + index * self.width;
        let bytes = self.bytes.get(at..).unwrap_or_default();
        match self.width {
            2 => bytes.first_chunk().map_or(0, |&chunk| i64::from(i16::from_le_bytes(chunk))),
            3 => bytes
                .first_chunk()
                .map_or(0, |&[a, b, c]| i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)),
            4 => bytes.first_chunk().map_or(0, |&chunk| i64::from(i32::from_le_bytes(chunk))),
            5 => bytes
                .first_chunk()
                .map_or(0, |&[a, b, c, d, e]| i64::from_le_bytes([0, 0, 0, a, b, c, d, e]) >> 24),
            6 => bytes.first_chunk().map_or(0, |&[a, b, c, d, e, f]| {
                i64::from_le_bytes([0, 0, a, b, c, d, e, f]) >> 16
            }),
            _ => bytes.first_chunk().map_or(0, |&chunk| i64::from_le_bytes(chunk)),
        }
    }
}

/// Width and count.
#[inline]
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let &[w0, w1, w2, w3, c0, c1, c2, c3] = bytes.first_chunk::<HEADER_BYTES>()?;
    let width = u32::from_le_bytes([w0, w1, w2, w3]);
    let count = u32::from_le_bytes([c0, c1, c2, c3]);
    Some((width as usize, count as usize))
}

/// The least width in memory for this member.
#[inline]
fn width_for(value: i64) -> usize {
    // Bits without those that repeat the sign, and one of these.
    let bits = 65 - (value ^ (value >> 63)).leading_zeros();
    match bits {
        0..=16 => 2,
        17..=24 => 3,
        25..=32 => 4,
        33..=40 => 5,
        41..=48 => 6,
        _ => 8,
    }
}
