//! The bytes of a stream's node: the elements of Redis' listpack, without what can be told from them.
//!
//! ```text
//! total | live | deleted | listed    u32 LE each; listed: bytes of the listpack without its two counts
//! F | field 1 .. field F             the master's fields
//! entry*                             flags | ms - master.ms | seq - master.seq
//!                                    | [N | field | value ..] or [value 1 .. F] | bytes of all this
//! ```
//!
//! Elements are encoded as in a listpack, but only a whole entry has its size behind it, readable from right to
//! left, where a listpack has one behind each element. An entry of two short fields is a fifth smaller so. Files have
//! the listpack (`Pack::listpack`), and its size is what limits a node, as in Redis.

use std::fmt;

use super::node::{DELETED, SAME_FIELDS, count};
use crate::types::blob::{Blob, Head};
use crate::types::listpack::{
    self, Element, Encoded, HEADER_BYTES, ListpackRef, TightIter, append, backlen_size, body_size,
    read_backlen, write_backlen,
};

/// Bytes before the master's fields.
const HEAD_BYTES: usize = 16;
/// Bytes of a listpack around its elements, and of the zero that closes the master.
const AROUND: usize = HEADER_BYTES + 1 + 2;

/// A node's entries and what stands in front of them.
#[derive(Clone)]
pub(super) struct Pack {
    blob: Blob<Counts>,
}

/// What the head says.
#[derive(Clone, Copy, Debug)]
struct Counts {
    total: u32,
    live: u32,
    deleted: u32,
    listed: u32,
}

// SAFETY: a function of the bytes, and at least the head's size.
#[allow(unsafe_code, reason = "the promise of types::blob")]
unsafe impl Head for Counts {
    const SIZE: usize = HEAD_BYTES;

    #[inline]
    fn len(head: &[u8]) -> usize {
        let total = head.first_chunk().map_or(0, |&total| u32::from_le_bytes(total));
        (total as usize).max(HEAD_BYTES)
    }
}

impl Counts {
    fn read(bytes: &[u8]) -> Self {
        let number = |index: usize| {
            let bytes = bytes.get(4 * index..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |&bytes| u32::from_le_bytes(bytes))
        };
        Self { total: number(0), live: number(1), deleted: number(2), listed: number(3) }
    }

    fn bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let numbers = [self.total, self.live, self.deleted, self.listed];
        for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pack").field(&self.counts()).finish()
    }
}

impl Pack {
    /// Without entries; the master has these fields.
    pub(super) fn new<'e>(fields: impl ExactSizeIterator<Item = Element<'e>> + Clone) -> Self {
        let head = Counts { total: HEAD_BYTES as u32, live: 0, deleted: 0, listed: AROUND as u32 };
        let mut pack = Self { blob: Blob::new(&head.bytes()) };
        let number = Element::Int(count(fields.len()));
        pack.add(std::iter::once(number).chain(fields), false);
        pack
    }

    /// From a listpack that was followed entry by entry.
    pub(super) fn from_listpack(list: ListpackRef<'_>) -> Self {
        let mut items = list.iter();
        let mut number = || match items.next() {
            Some(Element::Int(value)) => value.unsigned_abs() as usize,
            _ => 0,
        };
        let (live, deleted, field_count) = (number(), number(), number());
        let fields: Vec<_> = items.by_ref().take(field_count).collect();
        // Behind the fields there is a zero.
        items.next();
        let mut pack = Self::new(fields.iter().copied());
        loop {
            let entry = items.clone();
            let Some(Element::Int(flags)) = items.next() else { break };
            let size = if flags & SAME_FIELDS != 0 {
                3 + field_count
            } else {
                let Some(Element::Int(pairs)) = items.nth(2) else { break };
                4 + 2 * pairs.unsigned_abs() as usize
            };
            pack.add(entry.clone().take(size), true);
            items = entry;
            // With the number of elements that ends it.
            items.nth(size);
        }
        pack.set_counts(live as u32, deleted as u32);
        pack
    }

    /// The listpack, as Redis has it.
    pub(super) fn listpack(&self) -> Vec<u8> {
        let bytes = self.bytes();
        let Counts { live, deleted, .. } = self.counts();
        let mut out = Vec::with_capacity(self.listpack_len());
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let number =
            |value: usize, out: &mut Vec<u8>| Encoded::new(Element::Int(count(value))).append(out);
        number(live as usize, &mut out);
        number(deleted as usize, &mut out);
        let (mut at, mut elements) = (HEAD_BYTES, 0);
        let mut copy = |at: &mut usize, out: &mut Vec<u8>, many: usize| {
            for _ in 0..many {
                let Some(size) = body_size(bytes, *at) else { break };
                append(bytes.get(*at..*at + size).unwrap_or_default(), out);
                *at += size;
            }
            elements += many;
        };
        let field_count = int_at(bytes, at);
        copy(&mut at, &mut out, 1 + field_count);
        number(0, &mut out);
        let mut numbers = 3;
        while let Some(flags) = bytes.get(at) {
            let start = at;
            let size = if i64::from(*flags) & SAME_FIELDS != 0 {
                copy(&mut at, &mut out, 3);
                field_count
            } else {
                copy(&mut at, &mut out, 3);
                let pairs = int_at(bytes, at);
                1 + 2 * pairs
            };
            copy(&mut at, &mut out, size);
            number(3 + size, &mut out);
            numbers += 1;
            at += backlen_size(at - start);
        }
        listpack::finish(&mut out, elements + numbers);
        out
    }

    /// Bytes of that listpack.
    pub(super) fn listpack_len(&self) -> usize {
        let Counts { live, deleted, listed, .. } = self.counts();
        let size = |number: u32| Encoded::new(Element::Int(i64::from(number))).size();
        listed as usize + size(live) + size(deleted)
    }

    /// All bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.blob.bytes()
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.blob.memory_bytes()
    }

    /// Live and deleted entries.
    #[inline]
    pub(super) fn live_and_deleted(&self) -> (u32, u32) {
        let Counts { live, deleted, .. } = self.counts();
        (live, deleted)
    }

    /// The number of the master's fields, and they.
    #[inline]
    pub(super) fn fields(&self) -> Option<(usize, TightIter<'_>)> {
        let mut elements = self.elements(HEAD_BYTES);
        match elements.next()? {
            Element::Int(number) => Some((usize::try_from(number).ok()?, elements)),
            Element::Str(_) => None,
        }
    }

    /// The elements from an offset on. They are only followed to the end of an entry.
    #[inline]
    pub(super) fn elements(&self, at: usize) -> TightIter<'_> {
        TightIter::over(self.bytes(), at)
    }

    /// Adds a live entry of these elements.
    pub(super) fn push<'e>(&mut self, elements: impl Iterator<Item = Element<'e>> + Clone) {
        self.add(elements, true);
        let (live, deleted) = self.live_and_deleted();
        self.set_counts(live + 1, deleted);
    }

    /// Marks live entries, named by where they begin, as deleted.
    pub(super) fn mark(&mut self, entries: &[usize]) {
        for at in entries {
            // Flags are a small number, which is its own encoding.
            if let Some(flags) = self.blob.body_mut().get_mut(at - HEAD_BYTES) {
                *flags |= DELETED as u8;
            }
        }
        let (live, deleted) = self.live_and_deleted();
        let marked = entries.len() as u32;
        self.set_counts(live.saturating_sub(marked), deleted + marked);
    }

    /// Where the entry begins that ends at `end`.
    #[inline]
    pub(super) fn start_of(&self, end: usize) -> Option<usize> {
        let (body, size) = read_backlen(self.bytes(), end)?;
        end.checked_sub(size + body)
    }

    /// Appends elements, and if they are an entry its size.
    fn add<'e>(&mut self, elements: impl Iterator<Item = Element<'e>> + Clone, is_entry: bool) {
        let (mut body, mut listed, mut number) = (0, 0, 0);
        for element in elements.clone() {
            let encoded = Encoded::new(element);
            body += encoded.body();
            listed += encoded.size();
            number += 1;
        }
        let mut size = body;
        if is_entry {
            size += backlen_size(body);
            listed += Encoded::new(Element::Int(count(number))).size();
        }
        let counts = self.counts();
        let total = counts.total as usize;
        // Whoever adds an entry asked whether there is room: all of it is far below 4 GiB.
        let head = Counts {
            total: (total + size) as u32,
            listed: counts.listed + listed as u32,
            ..counts
        };
        self.blob.set_head(&head.bytes());
        let mut rest = self.blob.body_mut().get_mut(total - HEAD_BYTES..).unwrap_or_default();
        for element in elements {
            let encoded = Encoded::new(element);
            let Some((place, behind)) = rest.split_at_mut_checked(encoded.body()) else { return };
            encoded.write_body(place);
            rest = behind;
        }
        if is_entry {
            write_backlen(body, rest);
        }
    }

    #[inline]
    fn counts(&self) -> Counts {
        Counts::read(self.bytes())
    }

    fn set_counts(&mut self, live: u32, deleted: u32) {
        let counts = Counts { live, deleted, ..self.counts() };
        self.blob.set_head(&counts.bytes());
    }
}

/// The number at `at`, which says how many elements follow.
fn int_at(bytes: &[u8], at: usize) -> usize {
    match TightIter::over(bytes, at).next() {
        Some(Element::Int(number)) => usize::try_from(number).unwrap_or(0),
        _ => 0,
    }
}

/// Where the first entry begins, behind the master's fields.
pub(super) fn entries_at(fields: &TightIter<'_>, field_count: usize) -> Option<usize> {
    let mut fields = fields.clone();
    for _ in 0..field_count {
        fields.next()?;
    }
    Some(fields.position())
}
