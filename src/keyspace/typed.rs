//! Keys whose values a command takes for a list, a hash, a set, a sorted set, a stream or a string: to read, to change in
//! place, to make.
//!
//! A key of another type is [`WrongType`], and nothing has changed then.

use super::{Entry, Keyspace, Kind, StrRef, Value, ValueMut, ValueRef, event};
use crate::types::hash64::hash64;
use crate::types::{Hash, List, Set, Stream, ZSet};

/// The key holds another type than the command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// A value type that commands work on in place.
pub trait Typed: Sized {
    /// The value as this type.
    fn of(value: ValueRef<'_>) -> Option<&Self>;
    /// The value as this type, to change.
    fn of_mut(value: ValueMut<'_>) -> Option<&mut Self>;
    /// Wraps it.
    fn into_value(self) -> Value;
    /// An empty one, which never stays in the keyspace.
    fn is_void(&self) -> bool;
}

macro_rules! typed {
    ($type:ident) => {
        impl Typed for $type {
            fn of(value: ValueRef<'_>) -> Option<&Self> {
                if let ValueRef::$type(value) = value { Some(value) } else { None }
            }
            fn of_mut(value: ValueMut<'_>) -> Option<&mut Self> {
                if let ValueMut::$type(value) = value { Some(value) } else { None }
            }
            fn into_value(self) -> Value {
                Value::$type(Box::new(self))
            }
            fn is_void(&self) -> bool {
                self.len() == 0
            }
        }
    };
}
typed!(List);
typed!(Hash);
typed!(Set);
typed!(ZSet);

impl Typed for Stream {
    fn of(value: ValueRef<'_>) -> Option<&Self> {
        if let ValueRef::Stream(value) = value { Some(value) } else { None }
    }
    fn of_mut(value: ValueMut<'_>) -> Option<&mut Self> {
        if let ValueMut::Stream(value) = value { Some(value) } else { None }
    }
    fn into_value(self) -> Value {
        Value::Stream(Box::new(self))
    }
    /// A stream stays when it is empty.
    fn is_void(&self) -> bool {
        false
    }
}

impl Keyspace {
    /// The value of a key as type `T`, for reading.
    pub fn read<T: Typed>(&mut self, db: usize, key: &[u8]) -> Result<Option<&T>, WrongType> {
        match self.lookup(db, key) {
            None => Ok(None),
            Some(entry) => T::of(entry.value()).map(Some).ok_or(WrongType),
        }
    }

    /// The entry at a key, which must be a string, for reading.
    pub fn read_string_entry(
        &mut self,
        db: usize,
        key: &[u8],
    ) -> Result<Option<&Entry>, WrongType> {
        let entry = self.lookup(db, key);
        if entry.is_some_and(|entry| entry.kind() != Kind::String) {
            return Err(WrongType);
        }
        Ok(entry)
    }

    /// The string at a key, for reading.
    pub fn read_string(&mut self, db: usize, key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        match self.lookup(db, key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::Str(string)) => Ok(Some(string)),
            Some(_) => Err(WrongType),
        }
    }

    /// The value of a key as type `T`, to change in place.
    pub fn write<T: Typed>(&mut self, db: usize, key: &[u8]) -> Result<Option<&mut T>, WrongType> {
        match self.lookup_mut(db, key) {
            None => Ok(None),
            Some(entry) => T::of_mut(entry.value_mut()).map(Some).ok_or(WrongType),
        }
    }

    /// The value of a key as type `T`, made by `new` when the key is absent.
    /// A handler that then adds nothing must call [`Self::remove_if_void`].
    pub fn write_or_create<T: Typed>(
        &mut self,
        db: usize,
        key: &[u8],
        new: impl FnOnce() -> T,
    ) -> Result<&mut T, WrongType> {
        let hash = self.arrive(db, key);
        self.before_write(db, hash);
        let Some(place) = self.dbs.get(db).and_then(|db| db.table.seat(hash, key)) else {
            self.insert(db, Entry::new(key, new().into_value(), None));
            self.effects.event(db, event::NEW, "new", key);
            // The entry is there now: only a database out of range, which SELECT refuses, has none.
            return self.write(db, key)?.ok_or(WrongType);
        };
        let entry = self.dbs.get_mut(db).and_then(|db| db.table.seated_mut(hash, place));
        let entry = entry.ok_or(WrongType)?;
        if !self.no_touch {
            self.use_clock.stamp(hash, entry);
        }
        T::of_mut(entry.value_mut()).ok_or(WrongType)
    }

    /// Removes the key if its collection is empty. True when it did: the caller says "del" then.
    pub fn remove_if_void<T: Typed>(&mut self, db: usize, key: &[u8]) -> bool {
        let void = matches!(self.read_quiet::<T>(db, key), Some(value) if value.is_void());
        if void {
            self.remove(db, key);
        }
        void
    }

    fn read_quiet<T: Typed>(&self, db: usize, key: &[u8]) -> Option<&T> {
        T::of(self.dbs.get(db)?.table.find(hash64(key), key)?.value())
    }
}
