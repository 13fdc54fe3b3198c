//! Building and changing a listpack.
//!
//! The blob is its owner's one word (`types::blob`): its header says where it ends, and the block is what the
//! allocator hands out for that, so that a push seldom reallocates.

use std::fmt;

use crate::types::blob::{Blob, Head};

use super::entry::{Encoded, next_offset};
use super::view::{Cursor, Iter, ListpackRef};
use super::{BYTES_MAX, COUNT_UNKNOWN, END, Element, HEADER_BYTES};

/// An owned listpack.
#[derive(Clone)]
pub struct Listpack {
    /// Header, entries, end byte.
    blob: Blob<Size>,
}

/// The header: size of the blob and number of elements.
pub(super) struct Size;

// SAFETY: a function of the bytes, and at least the header's size.
#[allow(unsafe_code, reason = "the promise of types::blob")]
unsafe impl Head for Size {
    const SIZE: usize = HEADER_BYTES;

    #[inline]
    fn len(head: &[u8]) -> usize {
        let size = head.first_chunk().map_or(0, |&size| u32::from_le_bytes(size));
        (size as usize).max(HEADER_BYTES)
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
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
    /// Has its beginning on its way.
    #[inline]
    pub fn bring_near(&self) {
        self.blob.bring_near();
    }

    /// An empty listpack.
    pub fn new() -> Self {
        let mut blob = Blob::new(&header(HEADER_BYTES + 1, Some(0)));
        blob.body_mut()[0] = END;
        Self { blob }
    }

    /// A copy of bytes that passed [`super::validate`].
    pub fn from_validated(bytes: &[u8]) -> Self {
        debug_assert!(super::validate(bytes, false).is_ok());
        Self { blob: Blob::from(bytes) }
    }

    /// For reading.
    #[inline]
    pub fn view(&self) -> ListpackRef<'_> {
        ListpackRef::new(self.bytes())
    }

    /// The blob.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.blob.bytes()
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
        self.blob.memory_bytes()
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
        let mut tail = Self::new();
        let count = self.view().iter_from(cursor).count();
        let entries = tail.open(HEADER_BYTES, 0, tail_bytes, Some(count));
        entries.copy_from_slice(&self.bytes()[cursor.0..end]);
        self.cut(cursor.0, end, count);
        tail
    }

    #[inline]
    fn total(&self) -> usize {
        self.blob.len_bytes()
    }

    /// Writes an element over `removed` bytes at `at`; the count grows by `added`.
    #[inline]
    fn put(&mut self, at: usize, removed: usize, element: Element<'_>, added: usize) {
        let encoded = Encoded::new(element);
        let count = self.known_count().map(|count| count + added);
        encoded.write(self.open(at, removed, encoded.size(), count));
    }

    fn splice_entries(&mut self, at: usize, other: ListpackRef<'_>) {
        let entries = other.bytes().get(HEADER_BYTES..other.end()).unwrap_or_default();
        let added = match other.header_count() {
            COUNT_UNKNOWN => None,
            count => Some(usize::from(count)),
        };
        let count = self.known_count().zip(added).map(|(a, b)| a + b);
        self.open(at, 0, entries.len(), count).copy_from_slice(entries);
    }

    fn cut(&mut self, start: usize, end: usize, removed: usize) {
        if removed == 0 {
            return;
        }
        let count = self.known_count().map(|count| count.saturating_sub(removed));
        self.open(start, end - start, 0, count);
        if count.is_none() {
            // It may have come below 65535: one walk finds out, so that later ones are spared.
            self.set_count(self.view().iter().count());
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

    fn set_count(&mut self, count: usize) {
        self.blob.set_head(&header(self.total(), Some(count)));
    }

    #[inline]
    fn open(
        &mut self,
        at: usize,
        removed: usize,
        inserted: usize,
        count: Option<usize>,
    ) -> &mut [u8] {
        open(&mut self.blob, at, removed, inserted, count)
    }
}

/// Replaces `removed` bytes at `at` by a gap of `inserted` bytes for the caller to fill; `count` is the
/// number of elements afterwards, None when it is not known.
#[inline]
pub(super) fn open(
    blob: &mut Blob<Size>,
    at: usize,
    removed: usize,
    inserted: usize,
    count: Option<usize>,
) -> &mut [u8] {
    let total = blob.len_bytes();
    let grown = total - removed + inserted;
    assert!(grown <= BYTES_MAX, "a listpack beyond its bound: has_room was not asked");
    let head = header(grown, count);
    let at = at - HEADER_BYTES;
    let rest = at + removed..total - HEADER_BYTES;
    if grown > total {
        blob.set_head(&head);
    }
    if removed != inserted {
        blob.body_mut().copy_within(rest, at + inserted);
    }
    if grown <= total {
        blob.set_head(&head);
    }
    &mut blob.body_mut()[at..at + inserted]
}

/// The header of a listpack of so many bytes and elements; None when there are too many to say, or unknown.
#[inline]
pub(super) fn header(total: usize, count: Option<usize>) -> [u8; HEADER_BYTES] {
    let count = count.and_then(|count| u16::try_from(count).ok()).unwrap_or(COUNT_UNKNOWN);
    let [a, b, c, d] = (total as u32).to_le_bytes();
    let [e, f] = count.to_le_bytes();
    [a, b, c, d, e, f]
}
