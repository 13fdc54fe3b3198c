//! Reading a listpack: cursors, iteration and lookup over borrowed bytes.

use super::entry::{backlen_size, body_size, decode, find, next_offset, read_backlen};
use super::{COUNT_UNKNOWN, END, Element, HEADER_BYTES};

/// The place of an entry in one listpack: its byte offset. Any change before it moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(super) usize);

/// The bytes of a listpack, for reading.
#[derive(Clone, Copy, Debug)]
pub struct ListpackRef<'a> {
    /// Exactly header, entries and end byte.
    bytes: &'a [u8],
}

impl<'a> ListpackRef<'a> {
    /// A view of bytes that passed [`super::validate`] (others read as if they ended early).
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The blob itself.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of elements; walks a listpack of 65535 elements or more.
    #[inline]
    pub fn len(&self) -> usize {
        match self.header_count() {
            COUNT_UNKNOWN => self.walk_count(),
            count => usize::from(count),
        }
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.get(HEADER_BYTES).is_none_or(|&byte| byte == END)
    }

    /// The element at `cursor`.
    #[inline]
    pub fn get(&self, cursor: Cursor) -> Option<Element<'a>> {
        decode(self.bytes, cursor.0).map(|(element, _)| element)
    }

    /// The element with this index; negative ones count from the end, -1 is the last.
    pub fn element(&self, index: i64) -> Option<Element<'a>> {
        self.get(self.seek(index)?)
    }

    /// The first element's place.
    #[inline]
    pub fn first(&self) -> Option<Cursor> {
        self.occupied(HEADER_BYTES)
    }

    /// The last element's place.
    #[inline]
    pub fn last(&self) -> Option<Cursor> {
        previous(self.bytes, self.end()).map(Cursor)
    }

    /// The place after `cursor`, `None` at the end.
    #[inline]
    pub fn next(&self, cursor: Cursor) -> Option<Cursor> {
        self.occupied(next_offset(self.bytes, cursor.0)?)
    }

    /// The place before `cursor`, `None` at the start.
    #[inline]
    pub fn prev(&self, cursor: Cursor) -> Option<Cursor> {
        previous(self.bytes, cursor.0).map(Cursor)
    }

    /// The place of the element with this index; negative ones count from the end. Walks from the
    /// nearer end.
    pub fn seek(&self, index: i64) -> Option<Cursor> {
        let count = self.header_count();
        if count == COUNT_UNKNOWN {
            // The count would cost a walk, so take the end that was named.
            return match usize::try_from(index) {
                Ok(forward) => self.seek_forward(forward),
                Err(_) => self.seek_backward(usize::try_from(-(index + 1)).ok()?),
            };
        }
        let count = usize::from(count);
        let index = match usize::try_from(index) {
            Ok(index) => index,
            Err(_) => count.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
        };
        if index >= count {
            None
        } else if index <= count / 2 {
            self.seek_forward(index)
        } else {
            self.seek_backward(count - 1 - index)
        }
    }

    /// The first element with this text, looking at every `skip + 1`th one: `find(field, 1)` on a
    /// hash compares fields and never values.
    pub fn find(&self, text: &[u8], skip: usize) -> Option<Cursor> {
        self.first().and_then(|start| self.find_from(start, text, skip))
    }

    /// The index of the first element with this text, or how many elements were compared in vain. `number` is what
    /// `text` is as an integer, if it is one.
    pub fn index_of(&self, text: &[u8], number: Option<i64>) -> Result<usize, usize> {
        let bytes = self.bytes;
        let (mut at, mut index) = (HEADER_BYTES, 0);
        while let Some(&first) = bytes.get(at) {
            let (hit, next) = if first & 0xC0 == 0x80 {
                let len = usize::from(first & 0x3F);
                let hit = len == text.len() && bytes.get(at + 1..at + 1 + len) == Some(text);
                (hit, at + len + 2)
            } else {
                let Some((element, body)) = decode(bytes, at) else { break };
                let hit = match element {
                    Element::Int(value) => number == Some(value),
                    Element::Str(data) => data == text,
                };
                (hit, at + body + backlen_size(body))
            };
            if hit {
                return Ok(index);
            }
            index += 1;
            at = next;
        }
        Err(index)
    }

    /// As [`ListpackRef::find`], starting with the element at `start`.
    pub fn find_from(&self, start: Cursor, text: &[u8], skip: usize) -> Option<Cursor> {
        let size = |body| body + backlen_size(body);
        find(self.bytes, start.0, text, skip, size).map(Cursor)
    }

    /// All elements, from both ends.
    #[inline]
    pub fn iter(&self) -> Iter<'a> {
        Iter { bytes: self.bytes, front: HEADER_BYTES, back: self.end() }
    }

    /// The elements from `cursor` on (included); its back end is the end of the listpack.
    pub fn iter_from(&self, cursor: Cursor) -> Iter<'a> {
        Iter { bytes: self.bytes, front: cursor.0, back: self.end() }
    }

    /// The elements up to `cursor` (included), for `.rev()`; its front end is the first element.
    pub fn iter_to(&self, cursor: Cursor) -> Iter<'a> {
        let back = next_offset(self.bytes, cursor.0).unwrap_or(HEADER_BYTES);
        Iter { bytes: self.bytes, front: HEADER_BYTES, back }
    }

    /// Encoding and data of each entry.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (bytes, mut at) = (self.bytes, HEADER_BYTES);
        std::iter::from_fn(move || {
            let size = body_size(bytes, at)?;
            let body = bytes.get(at..at + size)?;
            at += size + backlen_size(size);
            Some(body)
        })
    }

    /// Pairs of neighbours, as hashes (field, value) and sorted sets (member, score) hold them.
    pub fn pairs(&self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> + use<'a> {
        let mut elements = self.iter();
        std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
    }

    /// The count field of the header.
    #[inline]
    pub(super) fn header_count(&self) -> u16 {
        match self.bytes.get(4..HEADER_BYTES) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        }
    }

    /// Offset of the end byte.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.bytes.len().saturating_sub(1)
    }

    fn walk_count(&self) -> usize {
        let mut at = HEADER_BYTES;
        let mut count = 0;
        while at < self.end() {
            let Some(next) = next_offset(self.bytes, at) else { break };
            at = next;
            count += 1;
        }
        count
    }

    #[inline]
    fn occupied(&self, at: usize) -> Option<Cursor> {
        (at < self.end()).then_some(Cursor(at))
    }

    fn seek_forward(&self, steps: usize) -> Option<Cursor> {
        let mut cursor = self.first()?;
        for _ in 0..steps {
            cursor = self.next(cursor)?;
        }
        Some(cursor)
    }

    fn seek_backward(&self, steps: usize) -> Option<Cursor> {
        let mut cursor = self.last()?;
        for _ in 0..steps {
            cursor = self.prev(cursor)?;
        }
        Some(cursor)
    }
}

impl<'a> IntoIterator for ListpackRef<'a> {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Offset of the entry that ends just before `at`.
#[inline]
fn previous(bytes: &[u8], at: usize) -> Option<usize> {
    if at <= HEADER_BYTES {
        return None;
    }
    let (body, size) = read_backlen(bytes, at)?;
    let start = at.checked_sub(body + size)?;
    (body > 0 && start >= HEADER_BYTES).then_some(start)
}

/// Elements of a listpack, from both ends.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    /// Offset of the next entry from the front.
    front: usize,
    /// Offset just behind the next entry from the back.
    back: usize,
}

impl Iter<'_> {
    /// The place of the element that `next` will return.
    pub fn cursor(&self) -> Option<Cursor> {
        (self.front < self.back).then_some(Cursor(self.front))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, body) = decode(self.bytes, self.front)?;
        self.front += body + backlen_size(body);
        Some(element)
    }

    fn nth(&mut self, n: usize) -> Option<Element<'a>> {
        for _ in 0..n {
            if self.front >= self.back {
                return None;
            }
            let body = body_size(self.bytes, self.front)?;
            self.front += body + backlen_size(body);
        }
        self.next()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let at = previous(self.bytes, self.back)?;
        let (element, _) = decode(self.bytes, at)?;
        self.back = at;
        Some(element)
    }
}
