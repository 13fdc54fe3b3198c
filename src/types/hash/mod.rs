//! Hashes: fields with values, and perhaps with a time at which the field expires.
//!
//! Three forms, named as Redis names them:
//! - `listpack`: field, value, field, value, ... in order of insertion;
//! - `listpackex`: the same with the time of each field, earliest first, once one has a time;
//! - `hashtable`: a table of fields, each with its time or none, and an index of the times.
//!
//! A hash only ever goes forward. Times are unix milliseconds, and a hash does not look at a clock: a
//! field whose time has passed is there until `take_expired` takes it, which the keyspace does before
//! anybody looks. Fields and values come out as `Element`, borrowed, so that a reply is written
//! without a copy.
//!
//! Invariant: no field twice. Nothing here fails, except that the `from_` functions refuse what is no
//! hash.

mod full;
mod packed;

use full::Full;
use packed::{Packed, Shape};

use crate::rng::Rng;
use crate::types::limits::Limits;
use crate::types::listpack::{Element, ListpackRef, Tight};
use crate::types::sample;
use crate::types::table::{SharedTable, Table};
use crate::types::thin::ThinPair;

/// Fields with values.
#[derive(Clone)]
pub struct Hash {
    form: Form,
}

#[derive(Clone)]
enum Form {
    Packed(Packed),
    Full(Box<Full>),
}

/// What was given is no hash: elements are missing, a field occurs twice, or a time is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAHash;

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty hash in its smallest form.
    pub fn new() -> Self {
        Self { form: Form::Packed(Packed::new()) }
    }

    /// An empty hash for about `expected` fields: in the form that suits them. The expectation also
    /// reserves memory, so bound it by something checked.
    pub fn with_expected(expected: usize, limits: &Limits) -> Self {
        let mut hash = Self::new();
        hash.expect(expected, limits);
        hash
    }

    /// The hash in a (validated) listpack of a file: field, value, ... Stays as it is within the
    /// limits.
    pub fn from_listpack(list: ListpackRef<'_>, limits: &Limits) -> Result<Self, NotAHash> {
        Self::from_packed(list, Shape::Pairs, limits)
    }

    /// The hash in a (validated) listpack of a file: field, value, time, ... with times in order, 0
    /// for none. Stays as it is within the limits.
    pub fn from_timed_listpack(list: ListpackRef<'_>, limits: &Limits) -> Result<Self, NotAHash> {
        Self::from_packed(list, Shape::Triples, limits)
    }

    fn from_packed(list: ListpackRef<'_>, shape: Shape, limits: &Limits) -> Result<Self, NotAHash> {
        if !packed::is_sound(list, shape) {
            return Err(NotAHash);
        }
        let packed = Packed { list: Tight::from_listpack(list), shape };
        // As in Redis, long texts may stay: the limit is for those that are added.
        let fits = packed.len() <= limits.hash_max_listpack_entries;
        let mut hash = Self { form: Form::Packed(packed) };
        if !fits {
            hash.unpack(0);
        }
        Ok(hash)
    }

    /// Goes over to a hash table at once if `additional` fields are beyond the small forms.
    pub fn expect(&mut self, additional: usize, limits: &Limits) {
        if additional > limits.hash_max_listpack_entries {
            self.unpack(additional);
        }
    }

    /// Goes over to a hash table if the small forms do not hold a text of so many bytes.
    pub fn expect_text(&mut self, bytes: usize, limits: &Limits) {
        if bytes > limits.hash_max_listpack_value {
            self.unpack(0);
        }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed.len(),
            Form::Full(full) => full.table.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the form, as OBJECT ENCODING gives it.
    pub fn encoding_name(&self) -> &'static str {
        match &self.form {
            Form::Packed(Packed { shape: Shape::Pairs, .. }) => "listpack",
            Form::Packed(Packed { shape: Shape::Triples, .. }) => "listpackex",
            Form::Full(_) => "hashtable",
        }
    }

    /// What makes the listpack of a small form, and whether it holds times too (triples): for a file.
    pub fn as_listpack(&self) -> Option<(&Tight, bool)> {
        match &self.form {
            Form::Packed(packed) => Some((&packed.list, packed.shape == Shape::Triples)),
            Form::Full(_) => None,
        }
    }

    /// Has a small hash on its way; what a table holds is elsewhere.
    #[inline]
    pub fn bring_near(&self) {
        if let Form::Packed(packed) = &self.form {
            packed.list.bring_near();
        }
    }

    /// The table, if the hash is one: for a walk in slices.
    pub fn as_table(&self) -> Option<&Table<ThinPair>> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Full(full) => Some(&full.table),
        }
    }

    /// The fields of a large hash as they are now; later changes of the hash copy what they touch.
    pub fn share(&mut self) -> Option<SharedTable<ThinPair>> {
        match &mut self.form {
            Form::Packed(_) => None,
            Form::Full(full) => full.table.share(),
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed.list.memory_bytes(),
            Form::Full(full) => full.memory_bytes(),
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<Element<'_>> {
        match &self.form {
            Form::Packed(packed) => packed.value(packed.find(field)?),
            Form::Full(full) => full.find(field).map(|pair| Element::Str(pair.value())),
        }
    }

    /// Whether the field is there.
    pub fn contains(&self, field: &[u8]) -> bool {
        match &self.form {
            Form::Packed(packed) => packed.find(field).is_some(),
            Form::Full(full) => full.find(field).is_some(),
        }
    }

    /// Bytes of the field's value.
    pub fn value_len(&self, field: &[u8]) -> Option<usize> {
        self.get(field).map(|value| value.len())
    }

    /// Sets the value of a field, new or not; whether it is new. A time that the field had is gone,
    /// as after HSET.
    pub fn insert(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        self.put(field, value, limits, false)
    }

    /// Sets the values of fields, new or not, as one `insert` after the other would; how many are new.
    pub fn insert_many<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        limits: &Limits,
    ) -> usize {
        if let Form::Packed(packed) = &mut self.form
            && packed.fill(pairs.clone(), limits)
        {
            return packed.len();
        }
        pairs.map(|(field, value)| usize::from(self.insert(field, value, limits))).sum()
    }

    /// Sets the value of a field, new or not; whether it is new. A time that the field had stays, as
    /// after HINCRBY.
    pub fn insert_keeping_expire(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        self.put(field, value, limits, true)
    }

    /// Sets value and time of a field, new or not; whether it is new.
    pub fn insert_with_expire(
        &mut self,
        field: &[u8],
        value: &[u8],
        expire: Option<u64>,
        limits: &Limits,
    ) -> bool {
        let added = self.put(field, value, limits, true);
        self.set_field_expire(field, expire);
        added
    }

    /// Takes a field out; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.form {
            Form::Packed(packed) => match packed.find(field) {
                Some(cursor) => {
                    packed.remove(cursor);
                    true
                }
                None => false,
            },
            Form::Full(full) => full.remove(field).is_some(),
        }
    }

    /// The time of a field: `None` without the field, `Some(None)` if it does not expire.
    pub fn field_expire(&self, field: &[u8]) -> Option<Option<u64>> {
        match &self.form {
            Form::Packed(packed) => packed.find(field).map(|cursor| packed.expire(cursor)),
            Form::Full(full) => full.find(field).map(ThinPair::expire),
        }
    }

    /// Gives a field another time (unix ms, above zero) or none; whether the field is there.
    pub fn set_field_expire(&mut self, field: &[u8], expire: Option<u64>) -> bool {
        match &mut self.form {
            Form::Packed(packed) => match packed.find(field) {
                Some(cursor) => {
                    packed.set_expire(cursor, expire);
                    true
                }
                None => false,
            },
            Form::Full(full) => full.set_expire(field, expire),
        }
    }

    /// Makes room for times, even where no field has one: the small form becomes `listpackex`, as
    /// after any HEXPIRE.
    pub fn keep_times(&mut self) {
        if let Form::Packed(packed) = &mut self.form {
            packed.widen();
        }
    }

    /// The earliest time of a field.
    pub fn earliest_expire(&self) -> Option<u64> {
        match &self.form {
            Form::Packed(packed) => packed.earliest_expire(),
            Form::Full(full) => full.earliest_expire(),
        }
    }

    /// Whether the time of some field is over.
    pub fn has_due(&self, now: u64) -> bool {
        self.earliest_expire().is_some_and(|at| at < now)
    }

    /// Whether the field is there and its time is over.
    pub fn is_due(&self, field: &[u8], now: u64) -> bool {
        self.field_expire(field).flatten().is_some_and(|at| at < now)
    }

    /// Shows the fields whose time is not over, with their values.
    ///
    /// A loop of its own for each form, as HGETALL of a small hash is little else.
    #[inline]
    pub fn for_each_live<'a>(&'a self, now: u64, mut show: impl FnMut(Element<'a>, Element<'a>)) {
        let is_live = |expire: Option<u64>| expire.is_none_or(|at| at >= now);
        match &self.form {
            Form::Packed(packed) => {
                for (field, value, expire) in packed::entries(packed.list.view(), packed.shape) {
                    if is_live(expire) {
                        show(field, value);
                    }
                }
            }
            Form::Full(full) => {
                for pair in full.table.iter().filter(|pair| is_live(pair.expire())) {
                    show(Element::Str(pair.field()), Element::Str(pair.value()));
                }
            }
        }
    }

    /// How many fields there are whose time is not over.
    pub fn live_len(&self, now: u64) -> usize {
        if !self.has_due(now) {
            return self.len();
        }
        let mut count = 0;
        self.for_each_live(now, |_, _| count += 1);
        count
    }

    /// How many fields have a time.
    pub fn expiring_len(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed::entries(packed.list.view(), packed.shape)
                .take_while(|(_, _, expire)| expire.is_some())
                .count(),
            Form::Full(full) => full.expiring_len(),
        }
    }

    /// Takes out up to `max` fields whose time is before `now` (unix ms), earliest first, shows field
    /// and value of each to `sink`, and returns how many there were.
    pub fn take_expired(
        &mut self,
        now: u64,
        max: usize,
        sink: &mut dyn FnMut(Element<'_>, Element<'_>),
    ) -> usize {
        match &mut self.form {
            Form::Packed(packed) => packed.take_expired(now, max, sink),
            Form::Full(full) => full.take_expired(now, max, &mut |pair| {
                sink(Element::Str(pair.field()), Element::Str(pair.value()));
            }),
        }
    }

    /// All fields with their values: the small forms in their order, a table in none.
    pub fn iter(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
        self.iter_with_expire().map(|(field, value, _)| (field, value))
    }

    /// All fields with their values and times.
    pub fn iter_with_expire(
        &self,
    ) -> impl Iterator<Item = (Element<'_>, Element<'_>, Option<u64>)> {
        let (packed, full) = match &self.form {
            Form::Packed(packed) => (Some(packed), None),
            Form::Full(full) => (None, Some(full)),
        };
        let small = packed.map(|packed| packed::entries(packed.list.view(), packed.shape));
        let large = full.map(|full| {
            full.table
                .iter()
                .map(|pair| (Element::Str(pair.field()), Element::Str(pair.value()), pair.expire()))
        });
        small.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// A field by chance, every one equally likely, and its value.
    pub fn random(&self, rng: &mut dyn Rng) -> Option<(Element<'_>, Element<'_>)> {
        match &self.form {
            Form::Packed(packed) => packed.at(rng.index(packed.len())),
            Form::Full(full) => full.table.random(rng).map(elements),
        }
    }

    /// `count` different fields by chance (all, if there are no more) with their values, every choice
    /// equally likely.
    pub fn sample<'a>(
        &'a self,
        count: usize,
        rng: &mut dyn Rng,
        mut f: impl FnMut(Element<'a>, Element<'a>),
    ) {
        match &self.form {
            Form::Packed(packed) => {
                let entries = packed::entries(packed.list.view(), packed.shape);
                sample::select(entries, packed.len(), count, rng, |(field, value, _)| {
                    f(field, value);
                });
            }
            Form::Full(full) => {
                let table = &full.table;
                let draw = |rng: &mut dyn Rng| table.random(rng);
                sample::distinct(table.iter(), table.len(), count, rng, draw, |pair| {
                    f(Element::Str(pair.field()), Element::Str(pair.value()));
                });
            }
        }
    }

    /// One step of HSCAN: shows about `count` fields and values to `f` and returns the cursor to go
    /// on with. 0 starts a walk and, returned, ends it. The small forms are shown as a whole.
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        mut f: impl FnMut(Element<'_>, Element<'_>),
    ) -> u64 {
        match &self.form {
            Form::Packed(_) => {
                self.iter().for_each(|(field, value)| f(field, value));
                0
            }
            Form::Full(full) => full.table.scan(cursor, count, |pair| {
                f(Element::Str(pair.field()), Element::Str(pair.value()));
            }),
        }
    }

    fn put(&mut self, field: &[u8], value: &[u8], limits: &Limits, keep_expire: bool) -> bool {
        let text_max = field.len().max(value.len());
        if let Form::Packed(packed) = &mut self.form {
            let place = packed.find(field);
            let fits = text_max <= limits.hash_max_listpack_value
                && packed.list.has_room(field.len() + value.len() + 64)
                && packed.len() + usize::from(place.is_none()) <= limits.hash_max_listpack_entries;
            match place {
                Some(cursor) if fits => {
                    if keep_expire || packed.expire(cursor).is_none() {
                        packed.set_value(cursor, value);
                    } else {
                        packed.insert_timed(field, value, None);
                    }
                    return false;
                }
                None if fits => {
                    packed.push(field, value);
                    return true;
                }
                _ => self.unpack(1),
            }
        }
        match &mut self.form {
            Form::Full(full) => full.insert(field, value, |old| old.filter(|_| keep_expire)),
            Form::Packed(_) => false,
        }
    }

    /// Goes over to a table laid out for `additional` fields more.
    fn unpack(&mut self, additional: usize) {
        let Form::Packed(packed) = &self.form else { return };
        let mut full = Full::with_expected(packed.len() + additional);
        for (field, value, expire) in packed::entries(packed.list.view(), packed.shape) {
            field.with_bytes(|field| {
                value.with_bytes(|value| full.insert(field, value, |_| expire));
            });
        }
        self.form = Form::Full(Box::new(full));
    }
}

fn elements(pair: &ThinPair) -> (Element<'_>, Element<'_>) {
    (Element::Str(pair.field()), Element::Str(pair.value()))
}

#[cfg(test)]
mod tests;
