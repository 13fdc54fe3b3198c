//! A listpack without what only a walk from the back needs: what small hashes, sets and most small lists are in memory.
//!
//! ```text
//! total: u32 LE | count: u16 LE | entry*             count 65535 = "65535 or more: walk it"
//! entry = encoding and data, as in a listpack
//! ```
//!
//! Without the size behind each entry a hash of short fields is a tenth smaller, and a search from the front passes
//! fewer bytes. Clients and files see listpacks: [`Tight::write_listpack`] makes one, [`Tight::from_listpack`] reads
//! one. Lists that are popped at the back have listpacks, and sorted sets, whose greatest members are looked at first.

use std::fmt;

use super::entry::{Encoded, backlen_size, body_size, decode, find, write_backlen};
use super::owned::{Size, header, open};
use super::view::{Cursor, ListpackRef};
use super::{BYTES_MAX, COUNT_UNKNOWN, Element, HEADER_BYTES};
use crate::types::blob::Blob;

/// The elements, owned by one pointer.
#[derive(Clone)]
pub struct Tight {
    /// Header and entries.
    blob: Blob<Size>,
}

impl Default for Tight {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Tight {
    /// Has its beginning on its way.
    #[inline]
    pub fn bring_near(&self) {
        self.blob.bring_near();
    }

    /// Without elements.
    pub fn new() -> Self {
        Self { blob: Blob::new(&header(HEADER_BYTES, Some(0))) }
    }

    /// These elements, in a block of the size that they take.
    pub fn from_elements<'e>(elements: impl Iterator<Item = Element<'e>> + Clone) -> Self {
        let (mut total, mut count) = (HEADER_BYTES, 0);
        for element in elements.clone() {
            total += Encoded::new(element).body();
            count += 1;
        }
        assert!(total <= BYTES_MAX, "a listpack beyond its bound: has_room was not asked");
        let mut blob = Blob::new(&header(total, Some(count)));
        let mut rest = blob.body_mut();
        for element in elements {
            let encoded = Encoded::new(element);
            let Some((place, behind)) = rest.split_at_mut_checked(encoded.body()) else { break };
            encoded.write_body(place);
            rest = behind;
        }
        Self { blob }
    }

    /// The elements of a listpack, each encoded as it is there.
    pub fn from_listpack(list: ListpackRef<'_>) -> Self {
        let total = HEADER_BYTES + list.bodies().map(<[u8]>::len).sum::<usize>();
        let mut blob = Blob::new(&header(total, Some(list.len())));
        let mut rest = blob.body_mut();
        for body in list.bodies() {
            let Some((place, behind)) = rest.split_at_mut_checked(body.len()) else { break };
            place.copy_from_slice(body);
            rest = behind;
        }
        Self { blob }
    }

    /// Puts the listpack of these elements into `out`, and nothing else.
    pub fn write_listpack(&self, out: &mut Vec<u8>) {
        self.view().write_listpack(out);
    }

    /// The listpack of these elements.
    #[cfg(test)]
    pub fn listpack(&self) -> super::Listpack {
        let mut bytes = Vec::new();
        self.write_listpack(&mut bytes);
        super::Listpack::from_validated(&bytes)
    }

    /// For reading.
    #[inline]
    pub fn view(&self) -> TightRef<'_> {
        TightRef { bytes: self.blob.bytes() }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.total() <= HEADER_BYTES
    }

    /// All elements.
    #[inline]
    pub fn iter(&self) -> TightIter<'_> {
        self.view().iter()
    }

    /// Bytes of header and elements.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.total()
    }

    /// Heap bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.blob.memory_bytes()
    }

    /// Whether the bound allows `text_bytes` more bytes of text: that of the listpack that is made of this.
    pub fn has_room(&self, text_bytes: usize) -> bool {
        // In a listpack a short entry has one byte more, which may double it; ten are around a text at most.
        let listpack = self.total().saturating_mul(2);
        listpack.saturating_add(text_bytes).saturating_add(10) <= BYTES_MAX
    }

    /// Appends an element.
    #[inline]
    pub fn push_back<'e>(&mut self, element: impl Into<Element<'e>>) {
        self.put(self.total(), 0, element.into(), 1);
    }

    /// Inserts an element before all others.
    #[inline]
    pub fn push_front<'e>(&mut self, element: impl Into<Element<'e>>) {
        self.put(HEADER_BYTES, 0, element.into(), 1);
    }

    /// Inserts an element before the one at `cursor`; the cursor then names the new one.
    pub fn insert_before<'e>(&mut self, cursor: Cursor, element: impl Into<Element<'e>>) {
        self.put(cursor.0, 0, element.into(), 1);
    }

    /// Inserts an element after the one at `cursor`, which stays valid.
    pub fn insert_after<'e>(&mut self, cursor: Cursor, element: impl Into<Element<'e>>) {
        let at = self.view().behind(cursor).unwrap_or(self.total());
        self.put(at, 0, element.into(), 1);
    }

    /// Puts another element in the place of the one at `cursor`, which stays valid.
    pub fn replace<'e>(&mut self, cursor: Cursor, element: impl Into<Element<'e>>) {
        let end = self.view().behind(cursor).unwrap_or(cursor.0);
        self.put(cursor.0, end - cursor.0, element.into(), 0);
    }

    /// Removes `count` elements from `cursor` on (fewer at the end); returns how many. The cursor
    /// then names the element that followed them, if there is one.
    pub fn remove(&mut self, cursor: Cursor, count: usize) -> usize {
        let mut end = cursor;
        let mut removed = 0;
        while removed < count
            && let Some(next) = self.view().behind(end)
        {
            end = Cursor(next);
            removed += 1;
        }
        if removed > 0 {
            let left = self.known_count().map(|count| count.saturating_sub(removed));
            open(&mut self.blob, cursor.0, end.0 - cursor.0, 0, left);
            if left.is_none() {
                // It may have come below 65535: one walk finds out, so that later ones are spared.
                let count = self.iter().count();
                self.blob.set_head(&header(self.total(), Some(count)));
            }
        }
        removed
    }

    /// Removes the first `count` elements (fewer at the end); returns how many.
    pub fn remove_first(&mut self, count: usize) -> usize {
        self.remove(Cursor(HEADER_BYTES), count)
    }

    #[inline]
    fn total(&self) -> usize {
        self.blob.len_bytes()
    }

    #[inline]
    fn known_count(&self) -> Option<usize> {
        Some(self.view().header_count()).filter(|count| *count != COUNT_UNKNOWN).map(usize::from)
    }

    /// Writes an element over `removed` bytes at `at`; the count grows by `added`.
    #[inline]
    fn put(&mut self, at: usize, removed: usize, element: Element<'_>, added: usize) {
        let encoded = Encoded::new(element);
        let count = self.known_count().map(|count| count + added);
        encoded.write_body(open(&mut self.blob, at, removed, encoded.body(), count));
    }
}

/// Ends a listpack whose elements stand behind the room for its header.
pub fn finish(out: &mut Vec<u8>, count: usize) {
    out.push(super::END);
    let head = header(out.len(), Some(count));
    out[..HEADER_BYTES].copy_from_slice(&head);
}

/// The elements, for reading.
#[derive(Clone, Copy, Debug)]
pub struct TightRef<'a> {
    /// Header and entries.
    bytes: &'a [u8],
}

impl<'a> TightRef<'a> {
    /// Number of elements; walks where there are 65535 or more.
    #[inline]
    pub fn len(&self) -> usize {
        match self.header_count() {
            COUNT_UNKNOWN => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER_BYTES
    }

    /// The element at `cursor`.
    #[inline]
    pub fn get(&self, cursor: Cursor) -> Option<Element<'a>> {
        decode(self.bytes, cursor.0).map(|(element, _)| element)
    }

    /// The first element's place.
    #[inline]
    pub fn first(&self) -> Option<Cursor> {
        (!self.is_empty()).then_some(Cursor(HEADER_BYTES))
    }

    /// The place after `cursor`, `None` at the end.
    #[inline]
    pub fn next(&self, cursor: Cursor) -> Option<Cursor> {
        self.behind(cursor).filter(|&at| at < self.bytes.len()).map(Cursor)
    }

    /// The place `steps` elements after `cursor`, `None` beyond the end.
    #[inline]
    pub fn skip(&self, cursor: Cursor, steps: usize) -> Option<Cursor> {
        let mut at = cursor.0;
        for _ in 0..steps {
            at += body_size(self.bytes, at)?;
        }
        (at < self.bytes.len()).then_some(Cursor(at))
    }

    /// The place of the element with this index.
    pub fn seek(&self, index: usize) -> Option<Cursor> {
        self.skip(self.first()?, index)
    }

    /// The element with this index.
    pub fn element(&self, index: usize) -> Option<Element<'a>> {
        self.get(self.seek(index)?)
    }

    /// The first element with this text, looking at every `skip + 1`th one: `find(field, 1)` on a
    /// hash compares fields and never values.
    #[inline]
    pub fn find(&self, text: &[u8], skip: usize) -> Option<Cursor> {
        find(self.bytes, HEADER_BYTES, text, skip, |body| body).map(Cursor)
    }

    /// Which element is the first one with this text.
    pub fn index_of(&self, text: &[u8]) -> Option<usize> {
        let found = self.find(text, 0)?;
        let (mut at, mut index) = (HEADER_BYTES, 0);
        while at < found.0 {
            at += body_size(self.bytes, at)?;
            index += 1;
        }
        Some(index)
    }

    /// Bytes of header and elements.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// All elements.
    #[inline]
    pub fn iter(&self) -> TightIter<'a> {
        TightIter { bytes: self.bytes, at: HEADER_BYTES }
    }

    /// The elements from `cursor` on (included).
    pub fn iter_from(&self, cursor: Cursor) -> TightIter<'a> {
        TightIter { bytes: self.bytes, at: cursor.0 }
    }

    /// Pairs of neighbours, as hashes (field, value) and sorted sets (member, score) hold them.
    pub fn pairs(&self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> + use<'a> {
        let mut elements = self.iter();
        std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
    }

    /// Puts the listpack of these elements into `out`, and nothing else.
    pub fn write_listpack(&self, out: &mut Vec<u8>) {
        const STEP: usize = 16;
        out.clear();
        // One byte behind each short entry, the end, and room for a step beyond it.
        out.resize(self.bytes.len() + self.len() + 1 + STEP, 0);
        let (mut from, mut to) = (HEADER_BYTES, HEADER_BYTES);
        loop {
            // Most are short texts: as many bytes each time cost less than as many as there are.
            while let Some(step) =
                self.bytes.get(from..).and_then(|rest| rest.first_chunk::<STEP>())
                && let size @ 1..STEP = usize::from(step[0].wrapping_sub(0x7F))
                && let Some(place) = out.get_mut(to..).and_then(|rest| rest.first_chunk_mut())
            {
                *place = *step;
                place[size] = size as u8;
                from += size;
                to += size + 1;
            }
            let Some(size) = body_size(self.bytes, from) else { break };
            let Some(body) = self.bytes.get(from..from + size) else { break };
            let entry = size + backlen_size(size);
            // Long entries have more than one byte behind them.
            out.resize(out.len().max(to + entry) + entry - size - 1, 0);
            out[to..to + size].copy_from_slice(body);
            write_backlen(size, &mut out[to + size..to + entry]);
            from += size;
            to += entry;
        }
        out.truncate(to);
        finish(out, self.len());
    }

    /// Offset behind the element at `cursor`; `None` where there is no element.
    #[inline]
    fn behind(&self, cursor: Cursor) -> Option<usize> {
        Some(cursor.0 + body_size(self.bytes, cursor.0)?)
    }

    #[inline]
    fn header_count(&self) -> u16 {
        match self.bytes.get(4..HEADER_BYTES) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        }
    }
}

/// Elements, first to last.
#[derive(Clone, Debug)]
pub struct TightIter<'a> {
    bytes: &'a [u8],
    /// Offset of the next entry.
    at: usize,
}

impl<'a> TightIter<'a> {
    /// Elements that follow one another from offset `at` on.
    #[inline]
    pub fn over(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Offset of the next element.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Passes so many elements and says where the next one is; `None` when there are not so many.
    #[inline]
    pub fn skip_elements(mut self, count: usize) -> Option<usize> {
        for _ in 0..count {
            self.at += body_size(self.bytes, self.at)?;
        }
        (self.at <= self.bytes.len()).then_some(self.at)
    }
}

impl<'a> Iterator for TightIter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let (element, body) = decode(self.bytes, self.at)?;
        self.at += body;
        Some(element)
    }

    fn nth(&mut self, n: usize) -> Option<Element<'a>> {
        for _ in 0..n {
            self.at += body_size(self.bytes, self.at)?;
        }
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Listpack, validate};
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        PushFront(Vec<u8>),
        Before(usize, Vec<u8>),
        After(usize, Vec<u8>),
        Replace(usize, Vec<u8>),
        Remove(usize, usize),
        RemoveFirst(usize),
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let number = any::<i64>().prop_map(|number| number.to_string().into_bytes());
        let small = (-5000i64..5000).prop_map(|number| number.to_string().into_bytes());
        let long =
            (0usize..9).prop_map(|n| vec![b'x'; [62, 63, 64, 65, 126, 127, 128, 4095, 4096][n]]);
        prop_oneof![4 => proptest::collection::vec(any::<u8>(), 0..20), 1 => number, 2 => small, 1 => long]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => text().prop_map(Step::Push),
            1 => text().prop_map(Step::PushFront),
            1 => (any::<usize>(), text()).prop_map(|(at, text)| Step::Before(at, text)),
            1 => (any::<usize>(), text()).prop_map(|(at, text)| Step::After(at, text)),
            2 => (any::<usize>(), text()).prop_map(|(at, text)| Step::Replace(at, text)),
            2 => (any::<usize>(), 0usize..4).prop_map(|(at, count)| Step::Remove(at, count)),
            1 => (0usize..3).prop_map(Step::RemoveFirst),
        ]
    }

    fn apply(step: &Step, tight: &mut Tight, model: &mut Vec<Vec<u8>>) {
        let place = |at: usize, tight: &Tight, len: usize| {
            let index = if len == 0 { 0 } else { at % len };
            tight.view().seek(index).map(|cursor| (index, cursor))
        };
        match step {
            Step::Push(text) => {
                tight.push_back(text);
                model.push(text.clone());
            }
            Step::PushFront(text) => {
                tight.push_front(text);
                model.insert(0, text.clone());
            }
            Step::Before(at, text) => {
                if let Some((index, cursor)) = place(*at, tight, model.len()) {
                    tight.insert_before(cursor, text);
                    model.insert(index, text.clone());
                }
            }
            Step::After(at, text) => {
                if let Some((index, cursor)) = place(*at, tight, model.len()) {
                    tight.insert_after(cursor, text);
                    model.insert(index + 1, text.clone());
                }
            }
            Step::Replace(at, text) => {
                if let Some((index, cursor)) = place(*at, tight, model.len()) {
                    tight.replace(cursor, text);
                    model[index] = text.clone();
                }
            }
            Step::Remove(at, count) => {
                if let Some((index, cursor)) = place(*at, tight, model.len()) {
                    let end = (index + count).min(model.len());
                    assert_eq!(tight.remove(cursor, *count), end - index);
                    model.drain(index..end);
                }
            }
            Step::RemoveFirst(count) => {
                let count = (*count).min(model.len());
                assert_eq!(tight.remove_first(count), count);
                model.drain(..count);
            }
        }
    }

    fn check(tight: &Tight, model: &[Vec<u8>]) {
        let view = tight.view();
        assert_eq!((view.len(), view.is_empty()), (model.len(), model.is_empty()));
        let texts: Vec<Vec<u8>> = view.iter().map(|element| element.to_vec()).collect();
        assert_eq!(texts, model);
        for (index, text) in model.iter().enumerate() {
            assert_eq!(view.element(index).map(|element| element.to_vec()).as_ref(), Some(text));
            let first = model.iter().position(|other| other == text);
            let found = view.find(text, 0);
            assert_eq!(found, first.and_then(|first| view.seek(first)));
            assert_eq!(view.index_of(text), first);
        }
        assert_eq!(view.element(model.len()), None);
        // The listpack is the one that pushes make, and the way back is exact.
        let (mut out, mut listpack) = (b"old".to_vec(), Listpack::new());
        model.iter().for_each(|text| listpack.push_back(text));
        tight.write_listpack(&mut out);
        assert_eq!(out, listpack.bytes());
        assert_eq!(validate(&out, true), Ok(model.len()));
        let again = Tight::from_listpack(ListpackRef::new(&out));
        assert_eq!(again.blob.bytes(), tight.blob.bytes());
    }

    proptest! {
        #[test]
        fn does_what_a_vector_does(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut tight, mut model) = (Tight::new(), Vec::new());
            for step in &steps {
                apply(step, &mut tight, &mut model);
            }
            check(&tight, &model);
        }
    }

    #[test]
    fn more_elements_than_the_count_can_say() {
        let mut tight = Tight::new();
        (0..70_000).for_each(|number: i64| tight.push_back(number));
        assert_eq!(tight.len(), 70_000);
        let mut out = Vec::new();
        tight.write_listpack(&mut out);
        assert_eq!(validate(&out, true), Ok(70_000));
        assert_eq!(Tight::from_listpack(ListpackRef::new(&out)).len(), 70_000);
        assert_eq!(tight.remove_first(10_000), 10_000);
        assert_eq!((tight.len(), tight.view().header_count()), (60_000, 60_000));
        assert_eq!(tight.view().element(59_999), Some(Element::Int(69_999)));
    }

    #[test]
    fn a_foreign_string_that_is_a_number_keeps_its_form() {
        // The string "5", as an older server may have written it.
        let bytes = [10, 0, 0, 0, 1, 0, 0x81, b'5', 2, 0xFF];
        assert_eq!(validate(&bytes, true), Ok(1));
        let tight = Tight::from_listpack(ListpackRef::new(&bytes));
        assert!(tight.view().find(b"5", 0).is_some());
        let mut out = Vec::new();
        tight.write_listpack(&mut out);
        assert_eq!(out, bytes);
    }
}
