//! One node of a stream: entries that follow one another, packed into one block (`pack.rs`).
//!
//! A snapshot holds it as Redis' listpack:
//!
//! ```text
//! master:  live | deleted | F | field 1 .. field F | 0
//! entry:   flags | ms - master.ms | seq - master.seq | [N | field | value ..] or [value 1 .. F] | size
//! ```
//!
//! The master's id is the first entry's, and so are its fields: an entry with the same fields (flag 2)
//! holds values only. An entry that was deleted stays, with flag 1, until its node goes. `size` is the
//! number of elements before it, for walking backwards. Bytes from a file were followed entry by entry
//! before they come here; whatever is impossible reads as the end of the node.

use std::sync::Arc;

use super::id::StreamId;
use super::ordered::Keyed;
use super::pack::{Pack, entries_at};
use crate::types::listpack::{BYTES_MAX, Element, ListpackRef, TightIter, backlen_size};

/// The entry is deleted.
pub(super) const DELETED: i64 = 1;
/// The entry has the master's fields.
pub(super) const SAME_FIELDS: i64 = 2;

/// Entries that follow one another.
#[derive(Clone, Debug)]
pub struct Node {
    master: StreamId,
    /// Shared with snapshots and copies; changed through `make_mut`.
    pack: Arc<Pack>,
}

/// What is in front of the entries.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    /// The master's fields and how many there are.
    fields: TightIter<'a>,
    field_count: usize,
    /// Where the entries begin.
    entries: usize,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub id: StreamId,
    pub fields: Fields<'a>,
    deleted: bool,
    /// Where its flags are.
    at: usize,
}

/// Fields with their values, in order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// The master's fields, where the entry has only values.
    names: Option<TightIter<'a>>,
    items: TightIter<'a>,
    left: usize,
}

impl Keyed for Node {
    fn id(&self) -> StreamId {
        self.master
    }
}

impl Node {
    /// A node without entries whose master has these fields (`parts`: field, value, field, ...).
    pub(super) fn new<'p>(
        master: StreamId,
        parts: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
    ) -> Self {
        let fields = parts.step_by(2).map(Element::from);
        Self { master, pack: Arc::new(Pack::new(fields)) }
    }

    /// From a file. The bytes are a listpack and were checked.
    pub(super) fn from_validated(master: StreamId, blob: &[u8]) -> Self {
        Self { master, pack: Arc::new(Pack::from_listpack(ListpackRef::new(blob))) }
    }

    /// The id that the entries' are relative to.
    pub fn master(&self) -> StreamId {
        self.master
    }

    /// The listpack, for a file.
    pub fn listpack(&self) -> Vec<u8> {
        self.pack.listpack()
    }

    /// Tells nodes apart that share nothing.
    #[cfg(test)]
    pub(super) fn address(&self) -> *const u8 {
        self.pack.bytes().as_ptr()
    }

    /// Bytes of that listpack, which are what Redis limits.
    pub(super) fn listpack_len(&self) -> usize {
        self.pack.listpack_len()
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        2 * size_of::<usize>() + size_of::<Pack>() + self.pack.memory_bytes()
    }

    /// Whether an entry with so much text may still be added.
    pub(super) fn has_room(&self, text_bytes: usize, parts: usize) -> bool {
        // Ten bytes around each text at most, and six numbers.
        let added = text_bytes.saturating_add(10 * (parts + 6));
        self.listpack_len().saturating_add(added) <= BYTES_MAX
    }

    /// Adds an entry behind all others.
    pub(super) fn push<'p>(
        &mut self,
        id: StreamId,
        parts: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
    ) {
        let same = self.head().is_some_and(|head| head.has_fields(parts.clone().step_by(2)));
        let numbers = [
            if same { SAME_FIELDS } else { 0 },
            id.ms.wrapping_sub(self.master.ms).cast_signed(),
            id.seq.wrapping_sub(self.master.seq).cast_signed(),
        ];
        let numbers = numbers.into_iter().map(Element::Int);
        let pack = Arc::make_mut(&mut self.pack);
        if same {
            pack.push(numbers.chain(parts.skip(1).step_by(2).map(Element::from)));
        } else {
            let fields = Element::Int(count(parts.len() / 2));
            pack.push(numbers.chain([fields]).chain(parts.map(Element::from)));
        }
    }

    /// Marks the entry as deleted. False when there is no such entry.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let Some(entry) = self.entry(id) else { return false };
        let at = entry.at;
        Arc::make_mut(&mut self.pack).mark(&[at]);
        true
    }

    /// Marks as deleted what `goes` says of the ids of live entries, in order, while it says
    /// something. How many that were.
    pub(super) fn delete_while(&mut self, mut goes: impl FnMut(StreamId) -> Option<bool>) -> u64 {
        let mut marked = Vec::new();
        for entry in self.live() {
            match goes(entry.id) {
                Some(true) => marked.push(entry.at),
                Some(false) => {}
                None => break,
            }
        }
        if !marked.is_empty() {
            Arc::make_mut(&mut self.pack).mark(&marked);
        }
        marked.len() as u64
    }

    pub(super) fn head(&self) -> Option<Head<'_>> {
        let (field_count, fields) = self.pack.fields()?;
        let entries = entries_at(&fields, field_count)?;
        Some(Head { fields, field_count, entries })
    }

    /// Live entries, as the master counts them.
    pub(super) fn live_count(&self) -> u64 {
        self.pack.live_and_deleted().0.into()
    }

    /// Live and deleted entries.
    pub(super) fn entry_count(&self) -> u64 {
        let (live, deleted) = self.pack.live_and_deleted();
        u64::from(live) + u64::from(deleted)
    }

    /// The live entry with this id.
    pub(super) fn entry(&self, id: StreamId) -> Option<Entry<'_>> {
        self.live().take_while(|entry| entry.id <= id).find(|entry| entry.id == id)
    }

    /// Live entries in order.
    pub(super) fn live(&self) -> impl Iterator<Item = Entry<'_>> {
        self.forward().filter(|entry| !entry.deleted)
    }

    /// All entries in order.
    pub(super) fn forward(&self) -> Forward<'_> {
        let head = self.head();
        let at = head.as_ref().map_or(0, |head| head.entries);
        Forward { master: self.master, pack: &self.pack, head, at }
    }

    /// All entries, the last one first.
    pub(super) fn backward(&self) -> Backward<'_> {
        let end = self.pack.bytes().len();
        Backward { master: self.master, pack: &self.pack, head: self.head(), end }
    }

    /// The id of the last entry, deleted or not.
    pub(super) fn last_id(&self) -> Option<StreamId> {
        self.backward().next().map(|entry| entry.id)
    }
}

impl<'a> Head<'a> {
    /// Whether these are the master's fields.
    fn has_fields<'p>(&self, fields: impl ExactSizeIterator<Item = &'p [u8]>) -> bool {
        fields.len() == self.field_count
            && self.fields.clone().zip(fields).all(|(mine, field)| mine.eq_bytes(field))
    }

    /// Reads the entry that begins at `at`, and says where its elements end.
    fn read(&self, master: StreamId, pack: &'a Pack, at: usize) -> Option<(Entry<'a>, usize)> {
        let mut elements = pack.elements(at);
        let flags = int(&mut elements)?;
        let ms = master.ms.wrapping_add(int(&mut elements)?.cast_unsigned());
        let seq = master.seq.wrapping_add(int(&mut elements)?.cast_unsigned());
        let same = flags & SAME_FIELDS != 0;
        let left =
            if same { self.field_count } else { usize::try_from(int(&mut elements)?).ok()? };
        let names = same.then(|| self.fields.clone());
        let fields = Fields { names, items: elements.clone(), left };
        let size = if same { left } else { left.checked_mul(2)? };
        let end = elements.skip_elements(size)?;
        Some((Entry { id: StreamId { ms, seq }, fields, deleted: flags & DELETED != 0, at }, end))
    }
}

impl Entry<'_> {
    /// Whether it is only there as a mark.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => names.next()?,
            None => self.items.next()?,
        };
        Some((name, self.items.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// The entries of a node, upwards.
#[derive(Clone, Debug)]
pub(super) struct Forward<'a> {
    master: StreamId,
    pack: &'a Pack,
    head: Option<Head<'a>>,
    /// Where the next entry begins.
    at: usize,
}

impl<'a> Iterator for Forward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (entry, end) = self.head.as_ref()?.read(self.master, self.pack, self.at)?;
        self.at = end + backlen_size(end - self.at);
        Some(entry)
    }
}

/// The entries of a node, downwards.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a> {
    master: StreamId,
    pack: &'a Pack,
    head: Option<Head<'a>>,
    /// Where the next entry ends.
    end: usize,
}

impl<'a> Iterator for Backward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let head = self.head.as_ref().filter(|head| head.entries < self.end)?;
        self.end = self.pack.start_of(self.end).filter(|start| *start >= head.entries)?;
        head.read(self.master, self.pack, self.end).map(|(entry, _)| entry)
    }
}

fn int(elements: &mut TightIter<'_>) -> Option<i64> {
    match elements.next()? {
        Element::Int(value) => Some(value),
        Element::Str(_) => None,
    }
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
