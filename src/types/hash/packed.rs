//! The small forms of a hash: a tight listpack of field, value, ... or of field, value, time, ...
//!
//! The order is Redis'. With times (`Shape::Triples`) the triples are sorted: fields that expire
//! come first, by time, and a field that gets a time goes before those with the same one; fields
//! that do not expire follow, with a time of 0, in the order in which they lost or never had one.

use crate::types::limits::Limits;
use crate::types::listpack::{Cursor, Element, ListpackRef, Tight, TightRef};

/// Most fields, and bytes of a text, that an empty hash takes in one piece: each field is compared with those before it.
const FILLED_MAX: usize = 16;
const FILLED_TEXT_MAX: usize = 4096;

/// What the elements of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// field, value
    Pairs,
    /// field, value, time (unix ms, 0 for none)
    Triples,
}

impl Shape {
    pub(super) fn width(self) -> usize {
        match self {
            Self::Pairs => 2,
            Self::Triples => 3,
        }
    }
}

/// A small hash.
#[derive(Clone)]
pub(super) struct Packed {
    pub(super) list: Tight,
    pub(super) shape: Shape,
}

impl Packed {
    pub(super) fn new() -> Self {
        Self { list: Tight::new(), shape: Shape::Pairs }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len() / self.shape.width()
    }

    pub(super) fn find(&self, field: &[u8]) -> Option<Cursor> {
        self.list.view().find(field, self.shape.width() - 1)
    }

    pub(super) fn value(&self, field: Cursor) -> Option<Element<'_>> {
        let view = self.list.view();
        view.get(view.next(field)?)
    }

    pub(super) fn expire(&self, field: Cursor) -> Option<u64> {
        match self.shape {
            Shape::Pairs => None,
            Shape::Triples => {
                let view = self.list.view();
                time_of(view.get(view.next(view.next(field)?)?)?)
            }
        }
    }

    pub(super) fn at(&self, index: usize) -> Option<(Element<'_>, Element<'_>)> {
        let view = self.list.view();
        let field = view.seek(index.checked_mul(self.shape.width())?)?;
        Some((view.get(field)?, view.get(view.next(field)?)?))
    }

    pub(super) fn set_value(&mut self, field: Cursor, value: &[u8]) {
        if let Some(place) = self.list.view().next(field) {
            self.list.replace(place, value);
        }
    }

    /// Appends a field that is not there.
    pub(super) fn push(&mut self, field: &[u8], value: &[u8]) {
        self.list.push_back(field);
        self.list.push_back(value);
        if self.shape == Shape::Triples {
            self.list.push_back(0);
        }
    }

    pub(super) fn remove(&mut self, field: Cursor) {
        self.list.remove(field, self.shape.width());
    }

    /// Gives a field another time or none, and its place in the order.
    pub(super) fn set_expire(&mut self, field: Cursor, expire: Option<u64>) {
        if self.expire(field) == expire {
            return;
        }
        if let Some((name, value)) = self.texts_at(field) {
            self.insert_timed(&name, &value, expire);
        }
    }

    /// Sets value and time of a field, which may be there.
    pub(super) fn insert_timed(&mut self, field: &[u8], value: &[u8], expire: Option<u64>) {
        self.widen();
        if let Some(cursor) = self.find(field) {
            self.remove(cursor);
        }
        let place = expire.and_then(|time| self.place_for(time));
        let time = Element::Int(expire.and_then(|time| i64::try_from(time).ok()).unwrap_or(0));
        match place {
            None => {
                self.list.push_back(field);
                self.list.push_back(value);
                self.list.push_back(time);
            }
            Some(cursor) => {
                // Backwards: each goes before the one inserted last.
                self.list.insert_before(cursor, time);
                self.list.insert_before(cursor, value);
                self.list.insert_before(cursor, field);
            }
        }
    }

    /// The time of the field that expires first.
    pub(super) fn earliest_expire(&self) -> Option<u64> {
        self.expire(self.list.view().first()?)
    }

    /// Takes fields into an empty hash, all in one piece; false, and nothing done, where one after the other is right:
    /// many, one of them twice, a text beyond the limits.
    pub(super) fn fill<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        limits: &Limits,
    ) -> bool {
        if self.shape != Shape::Pairs || !self.list.is_empty() {
            return false;
        }
        let fits = |text: &[u8]| text.len() <= limits.hash_max_listpack_value.min(FILLED_TEXT_MAX);
        let mut kept: [(&[u8], &[u8]); FILLED_MAX] = [(&[], &[]); FILLED_MAX];
        let mut count = 0;
        for (field, value) in pairs {
            let is_there = kept[..count].iter().any(|(other, _)| *other == field);
            if count == FILLED_MAX || !fits(field) || !fits(value) || is_there {
                return false;
            }
            kept[count] = (field, value);
            count += 1;
        }
        if count == 0 || count > limits.hash_max_listpack_entries {
            return false;
        }
        let elements =
            kept[..count].iter().flat_map(|(field, value)| [*field, *value]).map(Element::from);
        self.list = Tight::from_elements(elements);
        true
    }

    /// Removes up to `max` fields whose time is before `now`, earliest first, and shows them.
    pub(super) fn take_expired(
        &mut self,
        now: u64,
        max: usize,
        sink: &mut dyn FnMut(Element<'_>, Element<'_>),
    ) -> usize {
        let due = |(_, _, expire): &(Element<'_>, Element<'_>, Option<u64>)| {
            expire.is_some_and(|time| time < now)
        };
        let mut count = 0;
        for (field, value, _) in entries(self.list.view(), self.shape).take_while(due).take(max) {
            sink(field, value);
            count += 1;
        }
        self.list.remove_first(count * self.shape.width());
        count
    }

    /// Goes over to triples.
    pub(super) fn widen(&mut self) {
        if self.shape == Shape::Triples {
            return;
        }
        let mut list = Tight::new();
        for (field, value) in self.list.view().pairs() {
            list.push_back(field);
            list.push_back(value);
            list.push_back(0);
        }
        *self = Self { list, shape: Shape::Triples };
    }

    /// The first field that does not expire before `time`.
    fn place_for(&self, time: u64) -> Option<Cursor> {
        let view = self.list.view();
        let mut cursor = view.first();
        while let Some(field) = cursor {
            if self.expire(field).is_none_or(|other| other >= time) {
                break;
            }
            cursor = view.next(view.next(view.next(field)?)?);
        }
        cursor
    }

    fn texts_at(&self, field: Cursor) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((self.list.view().get(field)?.to_vec(), self.value(field)?.to_vec()))
    }
}

/// Field, value and time of every field.
#[inline]
pub(super) fn entries<'a>(
    list: TightRef<'a>,
    shape: Shape,
) -> impl Iterator<Item = (Element<'a>, Element<'a>, Option<u64>)> + use<'a> {
    let mut elements = list.iter();
    std::iter::from_fn(move || {
        let (field, value) = (elements.next()?, elements.next()?);
        let expire = match shape {
            Shape::Pairs => None,
            Shape::Triples => time_of(elements.next()?),
        };
        Some((field, value, expire))
    })
}

/// The time that an element stands for; 0 and what is no time are none.
fn time_of(element: Element<'_>) -> Option<u64> {
    element.as_int().and_then(|time| u64::try_from(time).ok()).filter(|&time| time > 0)
}

/// Whether every field has all its elements, no field is there twice, and times are times, in order.
pub(super) fn is_sound(list: ListpackRef<'_>, shape: Shape) -> bool {
    if list.is_empty() || !list.len().is_multiple_of(shape.width()) {
        return list.is_empty();
    }
    let times_are_sound = || {
        let mut last = Some(0);
        list.iter().skip(2).step_by(3).all(|time| {
            let sound = time.as_int().is_some_and(|time| time >= 0);
            let time = time_of(time);
            let ascends = match (last, time) {
                (None, Some(_)) => false,
                (Some(before), Some(time)) => before <= time,
                (_, None) => true,
            };
            last = time;
            sound && ascends
        })
    };
    list.is_unique(shape.width()) && (shape == Shape::Pairs || times_are_sound())
}
