//! Building and changing a listpack.
//!
//! The blob sits in a `Box<[u8]>` (two words in the owner) that may be somewhat longer than the
//! blob: the header knows where the blob ends, and the spare bytes fill the allocator's size class,
//! so that a push seldom reallocates and no memory is asked for that would not be taken anyway.

use std::fmt;
use std::mem;

use super::entry::{Encoded, next_offset};
use super::view::{Cursor, Iter, ListpackRef};
use super::{BYTES_MAX, COUNT_UNKNOWN, END, Element, HEADER_BYTES};

/// An owned listpack.
pub struct Listpack {
    /// Header, entries, end byte, and perhaps spare bytes. Never empty except inside `resize`.
    buffer: Box<[u8]>,
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Listpack {
    fn clone(&self) -> Self {
        Self { buffer: self.bytes().into() }
    }
}

impl fmt::Debug for Listpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.view().iter()).finish()
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Listpack {}

impl Listpack {
    /// An empty listpack.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty listpack with room for `bytes` of blob.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = vec![0; capacity_for(bytes.max(HEADER_BYTES + 1))].into_boxed_slice();
        buffer[0] = HEADER_BYTES as u8 + 1;
        buffer[HEADER_BYTES] = END;
        Self { buffer }
    }

    /// Takes bytes that passed [`super::validate`].
    pub fn from_validated(bytes: Vec<u8>) -> Self {
        debug_assert!(super::validate(&bytes, false).is_ok());
        Self { buffer: bytes.into_boxed_slice() }
    }

    /// For reading.
    #[inline]
    pub fn view(&self) -> ListpackRef<'_> {
        ListpackRef::new(self.bytes())
    }

    /// The blob.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.total()]
    }

    /// Size of the blob.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.total()
    }

    /// Number of elements; see [`ListpackRef::len`].
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.total() <= HEADER_BYTES + 1
    }

    /// All elements; see [`ListpackRef::iter`].
    pub fn iter(&self) -> Iter<'_> {
        self.view().iter()
    }

    /// Heap bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether `text_bytes` more bytes of text keep the blob below its bound. Whoever packs values
    /// of unbounded size asks first; writing past the bound panics.
    pub fn has_room(&self, text_bytes: usize) -> bool {
        // An entry has at most ten bytes around its text.
        self.total().saturating_add(text_bytes).saturating_add(10) <= BYTES_MAX
    }

    /// Appends an element.
    #[inline]
    pub fn push_back<'e>(&mut self, element: impl Into<Element<'e>>) {
        let end = self.total() - 1;
        self.put(end, 0, element.into(), 1);
    }

    /// Inserts an element before all others.
    pub fn push_front<'e>(&mut self, element: impl Into<Element<'e>>) {
        self.put(HEADER_BYTES, 0, element.into(), 1);
    }

    /// Inserts an element before the one at `cursor`; the cursor then names the new one.
    pub fn insert_before<'e>(&mut self, cursor: Cursor, element: impl Into<Element<'e>>) {
        self.put(cursor.0, 0, element.into(), 1);
    }

    /// Inserts an element after the one at `cursor`, which stays valid.
    pub fn insert_after<'e>(&mut self, cursor: Cursor, element: impl Into<Element<'e>>) {
        let at = next_offset(self.bytes(), cursor.0).unwrap_or(self.total() - 1);
        self.put(at, 0, element.into(), 1);
    }

    /// Inserts an element so that it has this index; `false` if the listpack is shorter than that.
    pub fn insert_at<'e>(&mut self, index: usize, element: impl Into<Element<'e>>) -> bool {
        if index == self.len() {
            self.push_back(element);
            return true;
        }
        let Some(cursor) = i64::try_from(index).ok().and_then(|index| self.view().seek(index))
        else {
            return false;
        };
        self.insert_before(cursor, element);
        true
    }

    /// Puts another element in the place of the one at `cursor`, which stays valid.
    pub fn replace<'e>(&mut self, cursor: Cursor, element: impl Into<Element<'e>>) {
        let end = next_offset(self.bytes(), cursor.0).unwrap_or(cursor.0);
        self.put(cursor.0, end - cursor.0, element.into(), 0);
    }

    /// Removes `count` elements from `cursor` on (fewer at the end); returns how many. The cursor
    /// then names the element that followed them, if there is one.
    pub fn remove(&mut self, cursor: Cursor, count: usize) -> usize {
        let last = self.total() - 1;
        let mut end = cursor.0;
        let mut removed = 0;
        while removed < count && end < last {
            let Some(next) = next_offset(self.bytes(), end) else { break };
            end = next;
            removed += 1;
        }
        self.cut(cursor.0, end, removed);
        removed
    }

    /// Removes up to `count` elements from this index on (negative: from the end); returns how
    /// many.
    pub fn remove_range(&mut self, index: i64, count: usize) -> usize {
        match self.view().seek(index) {
            Some(cursor) => self.remove(cursor, count),
            None => 0,
        }
    }

    /// Removes the first element.
    pub fn pop_front(&mut self) -> bool {
        self.remove(Cursor(HEADER_BYTES), 1) == 1
    }

    /// Removes the last element.
    pub fn pop_back(&mut self) -> bool {
        match self.view().last() {
            Some(cursor) => self.remove(cursor, 1) == 1,
            None => false,
        }
    }

    /// Removes all elements and gives their memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Appends all elements of `other`.
    pub fn append(&mut self, other: ListpackRef<'_>) {
        self.splice_entries(self.total() - 1, other);
    }

    /// Inserts all elements of `other` before the first.
    pub fn prepend(&mut self, other: ListpackRef<'_>) {
        self.splice_entries(HEADER_BYTES, other);
    }

    /// Splits off the element at `cursor` and all that follow.
    pub fn split_off(&mut self, cursor: Cursor) -> Self {
        let end = self.total() - 1;
        let tail_bytes = end - cursor.0;
        let mut tail = Self::with_capacity(HEADER_BYTES + 1 + tail_bytes);
        let count = self.view().iter_from(cursor).count();
        tail.open(HEADER_BYTES, 0, tail_bytes).copy_from_slice(&self.buffer[cursor.0..end]);
        tail.set_count(Some(count));
        self.cut(cursor.0, end, count);
        tail
    }

    /// Gives spare memory back.
    pub fn shrink_to_fit(&mut self) {
        self.resize(self.total());
    }

    #[inline]
    fn total(&self) -> usize {
        match self.buffer.first_chunk::<4>() {
            Some(&size) => u32::from_le_bytes(size) as usize,
            None => 0,
        }
    }

    /// Writes an element over `removed` bytes at `at`; the count grows by `added`.
    #[inline]
    fn put(&mut self, at: usize, removed: usize, element: Element<'_>, added: usize) {
        let encoded = Encoded::new(element);
        encoded.write(self.open(at, removed, encoded.size()));
        if added > 0 {
            self.set_count(self.known_count().map(|count| count + added));
        }
    }

    fn splice_entries(&mut self, at: usize, other: ListpackRef<'_>) {
        let entries = other.bytes().get(HEADER_BYTES..other.end()).unwrap_or_default();
        self.open(at, 0, entries.len()).copy_from_slice(entries);
        let added = match other.header_count() {
            COUNT_UNKNOWN => None,
            count => Some(usize::from(count)),
        };
        self.set_count(self.known_count().zip(added).map(|(a, b)| a + b));
    }

    fn cut(&mut self, start: usize, end: usize, removed: usize) {
        if removed == 0 {
            return;
        }
        self.open(start, end - start, 0);
        match self.known_count() {
            Some(count) => self.set_count(Some(count.saturating_sub(removed))),
            // It may have come below 65535: one walk finds out, so that later ones are spared.
            None => self.set_count(Some(self.view().iter().count())),
        }
        if self.total() * 2 < self.buffer.len() && self.buffer.len() > 64 {
            self.resize(capacity_for(self.total()));
        }
    }

    /// The count if the header can hold it.
    #[inline]
    fn known_count(&self) -> Option<usize> {
        match self.view().header_count() {
            COUNT_UNKNOWN => None,
            count => Some(usize::from(count)),
        }
    }

    #[inline]
    fn set_count(&mut self, count: Option<usize>) {
        let field = count.and_then(|count| u16::try_from(count).ok()).unwrap_or(COUNT_UNKNOWN);
        self.buffer[4..HEADER_BYTES].copy_from_slice(&field.to_le_bytes());
    }

    /// Replaces `removed` bytes at `at` by a gap of `inserted` bytes for the caller to fill.
    #[inline]
    fn open(&mut self, at: usize, removed: usize, inserted: usize) -> &mut [u8] {
        let total = self.total();
        let grown = total - removed + inserted;
        assert!(grown <= BYTES_MAX, "a listpack beyond its bound: has_room was not asked");
        if grown > self.buffer.len() {
            self.resize(capacity_for(grown));
        }
        if removed != inserted {
            self.buffer.copy_within(at + removed..total, at + inserted);
            self.buffer[..4].copy_from_slice(&(grown as u32).to_le_bytes());
        }
        &mut self.buffer[at..at + inserted]
    }

    fn resize(&mut self, capacity: usize) {
        let mut bytes = mem::take(&mut self.buffer).into_vec();
        if capacity > bytes.len() {
            bytes.reserve_exact(capacity - bytes.len());
            bytes.resize(capacity, 0);
        } else {
            bytes.truncate(capacity);
        }
        self.buffer = bytes.into_boxed_slice();
    }
}

/// Bytes to allocate for a blob of `total` bytes: all that the allocator (jemalloc) hands out for so many, multiples of 16 up
/// to 128 and four sizes for each power of two above; so appending is not one reallocation per element.
fn capacity_for(total: usize) -> usize {
    let below = total.saturating_sub(1).max(64).ilog2();
    total.next_multiple_of((1 << below >> 2).max(16))
}
