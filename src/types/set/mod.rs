//! Sets of byte strings.
//!
//! Three forms, named as Redis names them, each with its limits:
//! - `intset`: integers only, sorted, in one block;
//! - `listpack`: a few short members in order of insertion;
//! - `hashtable`: the rest.
//!
//! A set that is changed only ever goes forward: an intset that gets a member that is no integer becomes a listpack
//! if it is small enough, everything that outgrows its form a hash table. Members come out as
//! `Element`, borrowed, so that a reply is written without a copy.
//!
//! Invariant: no member twice. Nothing here fails, except that the `from_` functions refuse what is
//! no set.

use crate::number::parse_i64;
use crate::rng::Rng;
use crate::types::hash64::hash64;
use crate::types::intset::IntSet;
use crate::types::limits::Limits;
use crate::types::listpack::{Element, ListpackRef, Tight, TightIter};
use crate::types::sample;
use crate::types::table::{SharedTable, Table};
use crate::types::thin::ThinBytes;

/// A set of byte strings.
#[derive(Clone)]
pub struct Set {
    form: Form,
}

#[derive(Clone)]
enum Form {
    Ints(IntSet),
    Packed(Tight),
    Full(Box<Full>),
}

#[derive(Clone, Default)]
struct Full {
    table: Table<ThinBytes>,
    /// Bytes of all members' blocks.
    block_bytes: usize,
}

/// What was given is no set: a member occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASet;

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Set {
    /// An empty set; its form is settled by what comes.
    pub fn new() -> Self {
        Self { form: Form::Ints(IntSet::new()) }
    }

    /// An empty listpack.
    pub fn new_packed() -> Self {
        Self { form: Form::Packed(Tight::new()) }
    }

    /// Becomes an intset if all members are integers and not too many: the one way back there is.
    pub fn pack_ints(&mut self, limits: &Limits) {
        if self.as_intset().is_some() || self.len() > limits.set_max_intset_entries {
            return;
        }
        let number = |member: Element<'_>| match member {
            Element::Int(value) => Some(value),
            Element::Str(text) => parse_i64(text),
        };
        if let Some(values) = self.iter().map(number).collect::<Option<Vec<i64>>>() {
            let mut ints = IntSet::new();
            for value in values {
                ints.insert(value);
            }
            self.form = Form::Ints(ints);
        }
    }

    /// An empty set for about `expected` members, of which `first` is one: in the form that suits
    /// them. The expectation also reserves memory, so bound it by something checked.
    pub fn with_expected(first: &[u8], expected: usize, limits: &Limits) -> Self {
        let form = if parse_i64(first).is_some() && expected <= limits.set_max_intset_entries {
            Form::Ints(IntSet::new())
        } else if expected <= limits.set_max_listpack_entries {
            Form::Packed(Tight::new())
        } else {
            Form::Full(Box::new(Full::with_expected(expected)))
        };
        Self { form }
    }

    /// An empty set for the `count` members that a file lists one by one. Redis begins with an intset,
    /// whatever the members are, unless there are too many for one.
    /// `count` also reserves memory, so bound it by something checked.
    pub fn with_listed(count: usize, limits: &Limits) -> Self {
        if count <= limits.set_max_intset_entries {
            return Self::new();
        }
        Self { form: Form::Full(Box::new(Full::with_expected(count))) }
    }

    /// The set in a (validated) intset of a file; stays as it is within the limits.
    pub fn from_intset(ints: IntSet, limits: &Limits) -> Self {
        let mut set = Self { form: Form::Ints(ints) };
        if set.len() > limits.set_max_intset_entries {
            set.spread(0);
        }
        set
    }

    /// The set in a (validated) listpack of a file; stays as it is within the limits.
    pub fn from_listpack(view: ListpackRef<'_>, limits: &Limits) -> Result<Self, NotASet> {
        // As in Redis, long members may stay: the limit is for those that are added.
        if view.len() > limits.set_max_listpack_entries {
            let mut full = Full::with_expected(view.len());
            for member in view.iter() {
                if !member.with_bytes(|member| full.insert(member)) {
                    return Err(NotASet);
                }
            }
            return Ok(Self { form: Form::Full(Box::new(full)) });
        }
        if !view.is_unique(1) {
            return Err(NotASet);
        }
        Ok(Self { form: Form::Packed(Tight::from_listpack(view)) })
    }

    /// Goes over to a hash table at once if `additional` members are beyond the form the set has.
    pub fn expect(&mut self, additional: usize, limits: &Limits) {
        let entries_max = match &self.form {
            Form::Ints(_) => limits.set_max_intset_entries,
            Form::Packed(_) => limits.set_max_listpack_entries,
            Form::Full(_) => return,
        };
        if additional > entries_max {
            self.spread(additional);
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.len(),
            Form::Packed(list) => list.len(),
            Form::Full(full) => full.table.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the form, as OBJECT ENCODING gives it.
    pub fn encoding_name(&self) -> &'static str {
        match &self.form {
            Form::Ints(_) => "intset",
            Form::Packed(_) => "listpack",
            Form::Full(_) => "hashtable",
        }
    }

    /// The integers, if the set is an intset: for a file.
    pub fn as_intset(&self) -> Option<&IntSet> {
        match &self.form {
            Form::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    /// What makes the listpack, if the set is one: for a file.
    pub fn as_listpack(&self) -> Option<&Tight> {
        match &self.form {
            Form::Packed(list) => Some(list),
            _ => None,
        }
    }

    /// Has a small set on its way; what a table holds is elsewhere.
    #[inline]
    pub fn bring_near(&self) {
        match &self.form {
            Form::Ints(ints) => ints.bring_near(),
            Form::Packed(list) => list.bring_near(),
            Form::Full(_) => {}
        }
    }

    /// The table, if the set is one: for a walk in slices.
    pub fn as_table(&self) -> Option<&Table<ThinBytes>> {
        match &self.form {
            Form::Full(full) => Some(&full.table),
            _ => None,
        }
    }

    /// The members of a large set as they are now; later changes of the set copy what they touch.
    pub fn share(&mut self) -> Option<SharedTable<ThinBytes>> {
        match &mut self.form {
            Form::Full(full) => full.table.share(),
            _ => None,
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.memory_bytes(),
            Form::Packed(list) => list.memory_bytes(),
            Form::Full(full) => size_of::<Full>() + full.table.memory_bytes() + full.block_bytes,
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.form {
            Form::Ints(ints) => parse_i64(member).is_some_and(|value| ints.contains(value)),
            Form::Packed(list) => list.view().find(member, 0).is_some(),
            Form::Full(full) => full.table.find(hash64(member), member).is_some(),
        }
    }

    /// Puts `member` in; whether it is new.
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> bool {
        match &mut self.form {
            Form::Full(full) => full.insert(member),
            Form::Packed(list) => {
                if list.view().find(member, 0).is_some() {
                    return false;
                }
                self.add_packed(member, limits);
                true
            }
            Form::Ints(ints) => match parse_i64(member) {
                Some(value) => {
                    let added = ints.insert(value);
                    if added && ints.len() > limits.set_max_intset_entries {
                        self.spread(1);
                    }
                    added
                }
                None => {
                    self.pack(limits);
                    self.add_packed(member, limits);
                    true
                }
            },
        }
    }

    /// Takes `member` out; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
            Form::Ints(ints) => parse_i64(member).is_some_and(|value| ints.remove(value)),
            Form::Packed(list) => match list.view().find(member, 0) {
                Some(cursor) => list.remove(cursor, 1) == 1,
                None => false,
            },
            Form::Full(full) => full.remove(member),
        }
    }

    /// All members: integers in order, a listpack in order of insertion, a table in none.
    pub fn iter(&self) -> Iter<'_> {
        match &self.form {
            Form::Ints(ints) => Iter(Walk::Ints { ints, next: 0 }),
            Form::Packed(list) => Iter(Walk::Packed(list.view().iter())),
            Form::Full(full) => Iter(Walk::Full(Box::new(full.table.iter()))),
        }
    }

    /// A member by chance, every one equally likely.
    pub fn random(&self, rng: &mut dyn Rng) -> Option<Element<'_>> {
        match &self.form {
            Form::Ints(ints) => ints.get(rng.index(ints.len())).map(Element::Int),
            Form::Packed(list) => list.view().element(rng.index(list.len())),
            Form::Full(full) => full.table.random(rng).map(element),
        }
    }

    /// `count` different members by chance (all, if there are no more), every choice equally likely.
    pub fn sample<'a>(&'a self, count: usize, rng: &mut dyn Rng, f: impl FnMut(Element<'a>)) {
        let mut f = f;
        match &self.form {
            Form::Full(full) => {
                let table = &full.table;
                let draw = |rng: &mut dyn Rng| table.random(rng);
                sample::distinct(table.iter(), table.len(), count, rng, draw, |member| {
                    f(element(member));
                });
            }
            _ => sample::select(self.iter(), self.len(), count, rng, f),
        }
    }

    /// Takes a member out by chance, and shows it to `f`.
    pub fn pop<R>(&mut self, rng: &mut dyn Rng, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        match &mut self.form {
            Form::Ints(ints) => {
                let value = ints.get(rng.index(ints.len()))?;
                ints.remove(value);
                Some(f(Element::Int(value)))
            }
            Form::Packed(list) => {
                let cursor = list.view().seek(rng.index(list.len()))?;
                let result = list.view().get(cursor).map(f);
                list.remove(cursor, 1);
                result
            }
            Form::Full(full) => {
                let member = full.table.random(rng)?.clone();
                full.remove(member.as_bytes());
                Some(f(element(&member)))
            }
        }
    }

    /// One step of SSCAN: shows about `count` members to `f` and returns the cursor to go on with.
    /// 0 starts a walk and, returned, ends it. The small forms are shown as a whole.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(Element<'_>)) -> u64 {
        match &self.form {
            Form::Full(full) => full.table.scan(cursor, count, |member| f(element(member))),
            _ => {
                self.iter().for_each(f);
                0
            }
        }
    }

    /// Adds a member that is not there to a set that is no intset.
    fn add_packed(&mut self, member: &[u8], limits: &Limits) {
        if let Form::Packed(list) = &mut self.form {
            if list.len() < limits.set_max_listpack_entries
                && member.len() <= limits.set_max_listpack_value
                && list.has_room(member.len())
            {
                return list.push_back(member);
            }
            self.spread(1);
        }
        if let Form::Full(full) = &mut self.form {
            full.insert(member);
        }
    }

    /// Turns an intset into a listpack, or into a table if one more member would not fit.
    fn pack(&mut self, limits: &Limits) {
        let Form::Ints(ints) = &self.form else { return };
        let widest = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
        let fits = |value: i64| Element::Int(value).len() <= limits.set_max_listpack_value;
        if ints.len() >= limits.set_max_listpack_entries || !widest.into_iter().flatten().all(fits)
        {
            return self.spread(1);
        }
        let mut list = Tight::new();
        ints.iter().for_each(|value| list.push_back(value));
        self.form = Form::Packed(list);
    }

    /// Turns the set into a table laid out for `additional` members more.
    fn spread(&mut self, additional: usize) {
        let mut full = Full::with_expected(self.len() + additional);
        for member in self.iter() {
            member.with_bytes(|member| full.insert(member));
        }
        self.form = Form::Full(Box::new(full));
    }
}

impl Full {
    fn with_expected(expected: usize) -> Self {
        let mut full = Self::default();
        full.table.reserve(expected);
        full
    }

    fn insert(&mut self, member: &[u8]) -> bool {
        let hash = hash64(member);
        if self.table.find(hash, member).is_some() {
            return false;
        }
        let entry = ThinBytes::new(member);
        self.block_bytes += entry.memory_bytes();
        self.table.insert_new(hash, entry);
        true
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        match self.table.remove(hash64(member), member) {
            Some(entry) => {
                self.block_bytes -= entry.memory_bytes();
                true
            }
            None => false,
        }
    }
}

fn element(member: &ThinBytes) -> Element<'_> {
    Element::Str(member.as_bytes())
}

/// The members of a set.
pub struct Iter<'a>(Walk<'a>);

enum Walk<'a> {
    Ints { ints: &'a IntSet, next: usize },
    Packed(TightIter<'a>),
    Full(Box<dyn Iterator<Item = &'a ThinBytes> + 'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match &mut self.0 {
            Walk::Ints { ints, next } => {
                let value = ints.get(*next)?;
                *next += 1;
                Some(Element::Int(value))
            }
            Walk::Packed(elements) => elements.next(),
            Walk::Full(members) => members.next().map(element),
        }
    }
}

#[cfg(test)]
mod tests;
