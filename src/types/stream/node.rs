//! One node of a stream: a listpack of entries, exactly as a snapshot holds it.
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
use crate::types::listpack::{Cursor, Element, Iter, Listpack, ListpackRef};

/// The entry is deleted.
const DELETED: i64 = 1;
/// The entry has the master's fields.
const SAME_FIELDS: i64 = 2;

/// Entries that follow one another.
#[derive(Clone, Debug)]
pub struct Node {
    master: StreamId,
    /// Shared with snapshots and copies; changed through `make_mut`.
    pack: Arc<Listpack>,
}

/// What is in front of the entries.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    pub(super) live: i64,
    pub(super) deleted: i64,
    /// The master's fields and how many there are.
    fields: Iter<'a>,
    field_count: usize,
    /// The entries.
    entries: Iter<'a>,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub id: StreamId,
    pub fields: Fields<'a>,
    deleted: bool,
    /// Where its flags are.
    at: Cursor,
}

/// Fields with their values, in order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// The master's fields, where the entry has only values.
    names: Option<Iter<'a>>,
    items: Iter<'a>,
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
        let mut pack = Listpack::new();
        pack.push_back(0);
        pack.push_back(0);
        pack.push_back(count(parts.len() / 2));
        for field in parts.step_by(2) {
            pack.push_back(field);
        }
        pack.push_back(0);
        Self { master, pack: Arc::new(pack) }
    }

    /// From a file. The bytes were checked.
    pub(super) fn from_validated(master: StreamId, blob: &[u8]) -> Self {
        Self { master, pack: Arc::new(Listpack::from_validated(blob)) }
    }

    /// The id that the entries' are relative to.
    pub fn master(&self) -> StreamId {
        self.master
    }

    /// The listpack.
    pub fn bytes(&self) -> &[u8] {
        self.pack.bytes()
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        2 * size_of::<usize>() + size_of::<Listpack>() + self.pack.memory_bytes()
    }

    /// Whether an entry with so much text may still be added.
    pub(super) fn has_room(&self, text_bytes: usize, parts: usize) -> bool {
        // Ten bytes around each text at most, and five numbers.
        self.pack.has_room(text_bytes.saturating_add(10 * (parts + 5)))
    }

    /// Adds an entry behind all others.
    pub(super) fn push<'p>(
        &mut self,
        id: StreamId,
        parts: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
    ) {
        let same = self.head().is_some_and(|head| head.has_fields(parts.clone().step_by(2)));
        let pack = Arc::make_mut(&mut self.pack);
        let fields = parts.len() / 2;
        pack.push_back(if same { SAME_FIELDS } else { 0 });
        pack.push_back(id.ms.wrapping_sub(self.master.ms).cast_signed());
        pack.push_back(id.seq.wrapping_sub(self.master.seq).cast_signed());
        if same {
            parts.skip(1).step_by(2).for_each(|value| pack.push_back(value));
            pack.push_back(count(fields + 3));
        } else {
            pack.push_back(count(fields));
            parts.for_each(|part| pack.push_back(part));
            pack.push_back(count(2 * fields + 4));
        }
        self.recount(1, 0);
    }

    /// Marks the entry as deleted. False when there is no such entry.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let Some(entry) = self.entry(id) else { return false };
        let at = entry.at;
        self.mark(at);
        self.recount(-1, 1);
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
        for at in &marked {
            self.mark(*at);
        }
        if !marked.is_empty() {
            let changed = count(marked.len());
            self.recount(-changed, changed);
        }
        marked.len() as u64
    }

    /// Flags have one byte with the mark and without, so nothing moves.
    fn mark(&mut self, at: Cursor) {
        let pack = Arc::make_mut(&mut self.pack);
        if let Some(Element::Int(flags)) = pack.view().get(at) {
            pack.replace(at, flags | DELETED);
        }
    }

    fn recount(&mut self, live: i64, deleted: i64) {
        let pack = Arc::make_mut(&mut self.pack);
        for (index, change) in [(0, live), (1, deleted)] {
            if change != 0
                && let Some(cursor) = pack.view().seek(index)
                && let Some(Element::Int(value)) = pack.view().get(cursor)
            {
                pack.replace(cursor, value + change);
            }
        }
    }

    pub(super) fn head(&self) -> Option<Head<'_>> {
        let mut elements = self.pack.view().iter();
        let live = int(&mut elements)?;
        let deleted = int(&mut elements)?;
        let field_count = usize::try_from(int(&mut elements)?).ok()?;
        let fields = elements.clone();
        // Behind the fields there is a zero.
        elements.nth(field_count)?;
        Some(Head { live, deleted, fields, field_count, entries: elements })
    }

    /// Live entries, as the master counts them.
    pub(super) fn live_count(&self) -> u64 {
        self.head().map_or(0, |head| head.live.unsigned_abs())
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
        Forward { master: self.master, head: self.head() }
    }

    /// All entries, the last one first.
    pub(super) fn backward(&self) -> Backward<'_> {
        let pack = self.pack.view();
        let head = self.head();
        Backward { master: self.master, pack, at: head.as_ref().and(pack.last()), head }
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

    /// Reads the entry at which `elements` stands, and leaves them behind it.
    fn read(&self, master: StreamId, elements: &mut Iter<'a>) -> Option<Entry<'a>> {
        let at = elements.cursor()?;
        let flags = int(elements)?;
        let ms = master.ms.wrapping_add(int(elements)?.cast_unsigned());
        let seq = master.seq.wrapping_add(int(elements)?.cast_unsigned());
        let same = flags & SAME_FIELDS != 0;
        let left = if same { self.field_count } else { usize::try_from(int(elements)?).ok()? };
        let names = same.then(|| self.fields.clone());
        let fields = Fields { names, items: elements.clone(), left };
        let size = if same { left } else { left.checked_mul(2)? };
        elements.nth(size)?;
        Some(Entry { id: StreamId { ms, seq }, fields, deleted: flags & DELETED != 0, at })
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
    head: Option<Head<'a>>,
}

impl<'a> Iterator for Forward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let head = self.head.as_mut()?;
        let mut elements = head.entries.clone();
        let entry = head.read(self.master, &mut elements)?;
        head.entries = elements;
        Some(entry)
    }
}

/// The entries of a node, downwards.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a> {
    master: StreamId,
    pack: ListpackRef<'a>,
    head: Option<Head<'a>>,
    /// Where the size of the next entry is.
    at: Option<Cursor>,
}

impl<'a> Iterator for Backward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let head = self.head.as_ref()?;
        let first = head.entries.cursor()?;
        let mut at = self.at.filter(|at| *at >= first)?;
        let Element::Int(size) = self.pack.get(at)? else { return None };
        for _ in 0..size {
            at = self.pack.prev(at).filter(|at| *at >= first)?;
        }
        self.at = self.pack.prev(at);
        head.read(self.master, &mut self.pack.iter_from(at))
    }
}

fn int(elements: &mut Iter<'_>) -> Option<i64> {
    match elements.next()? {
        Element::Int(value) => Some(value),
        Element::Str(_) => None,
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
