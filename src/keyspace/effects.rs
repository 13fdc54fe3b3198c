//! What one execution unit (a command, a transaction, a script) did to the keyspace.
//!
//! Collected while the unit runs, handed to the log when it ends (I3): records in canonical form with
//! the database they apply to, the keys that changed (for reply holding, WATCH, tracking, waiters) and
//! the keyspace events. The buffers are reused from unit to unit.

use crate::resp::Args;
use crate::resp::unit::UnitBuffer;

/// Event classes of `notify-keyspace-events`, one bit each.
pub mod event {
    pub const KEYSPACE: u32 = 1;
    pub const KEYEVENT: u32 = 1 << 1;
    pub const GENERIC: u32 = 1 << 2;
    pub const STRING: u32 = 1 << 3;
    pub const LIST: u32 = 1 << 4;
    pub const SET: u32 = 1 << 5;
    pub const HASH: u32 = 1 << 6;
    pub const ZSET: u32 = 1 << 7;
    pub const EXPIRED: u32 = 1 << 8;
    pub const EVICTED: u32 = 1 << 9;
    pub const STREAM: u32 = 1 << 10;
    pub const KEY_MISS: u32 = 1 << 11;
    pub const LOADED: u32 = 1 << 12;
    pub const MODULE: u32 = 1 << 13;
    pub const NEW: u32 = 1 << 14;
    pub const OVERWRITTEN: u32 = 1 << 15;
    pub const TYPE_CHANGED: u32 = 1 << 16;
}

/// By whom a change is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Watchers, tracking clients, and whoever waits for the key.
    All,
    /// Whoever waits for the key.
    Waiters,
    Nobody,
}

/// A key that changed.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Its database.
    pub db: usize,
    /// `hash64` of its name.
    pub hash: u64,
    /// Nothing that watchers look at: who reads a stream, not what is in it.
    pub quiet: bool,
    /// Whether who waits for the key looks at it again.
    pub wakes: bool,
    start: usize,
    end: usize,
}

/// A keyspace event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub db: usize,
    /// One bit of `event`.
    pub class: u32,
    pub name: &'static str,
    pub key: Vec<u8>,
}

/// The effects of the running unit.
#[derive(Debug, Default)]
pub struct Effects {
    /// The records for the log.
    pub unit: UnitBuffer,
    keys: Vec<u8>,
    changes: Vec<Change>,
    events: Vec<Event>,
    /// Changes so far in this unit; Redis' `dirty`.
    pub dirty: u64,
    /// How many of these are keys and fields whose time was over, which have records of their own.
    expired: u64,
    /// Set by FLUSHALL, FLUSHDB, SWAPDB: every key of these databases may have changed.
    pub everything_changed: bool,
    restated: bool,
    /// How many of the changes client-side caching has looked at.
    noticed: usize,
    /// Classes of events that somebody may listen to (`notify-keyspace-events`); 0 records none.
    pub event_classes: u32,
    /// Whether records are wanted: not while loading, and not with the log off.
    pub recording: bool,
}

/// Room that is kept from unit to unit, in each of the lists.
const KEPT_BYTES: usize = 1 << 20;
const KEPT_CHANGES: usize = KEPT_BYTES / size_of::<Change>();

impl Effects {
    /// Adds a record in canonical form.
    pub fn record(&mut self, db: usize, args: &[&[u8]]) {
        if self.recording {
            self.unit.push(u32::try_from(db).unwrap_or(u32::MAX), args);
        }
    }

    /// Adds a record of `count` words in canonical form.
    pub fn record_words<'a>(
        &mut self,
        db: usize,
        count: usize,
        words: impl Iterator<Item = &'a [u8]>,
    ) {
        if self.recording {
            self.unit.start(u32::try_from(db).unwrap_or(u32::MAX), count);
            words.for_each(|word| self.unit.arg(word));
        }
    }

    /// Says that the running command has recorded what it did, and that the request itself would not do the same.
    pub fn restate(&mut self) {
        self.restated = true;
    }

    /// Adds the request itself as a record, unless it was restated.
    pub fn record_as_sent(&mut self, db: usize, args: &Args) {
        let restated = std::mem::take(&mut self.restated);
        if self.recording && !restated {
            let db = u32::try_from(db).unwrap_or(u32::MAX);
            match args.raw() {
                Some(raw) => self.unit.push_raw(db, raw),
                None => {
                    self.unit.start(db, args.len());
                    for arg in args.iter() {
                        self.unit.arg(arg);
                    }
                }
            }
        }
    }

    /// Takes the newest event back if it is this one, and says whether it was.
    pub fn retract_event(&mut self, db: usize, name: &str, key: &[u8]) -> bool {
        let is = |event: &mut Event| event.db == db && event.name == name && event.key == key;
        self.events.pop_if(is).is_some()
    }

    /// Notes that a key changed.
    pub fn change(&mut self, db: usize, hash: u64, key: &[u8]) {
        self.push_change((db, hash), key, Seen::All);
    }

    /// Notes that a key changed in a way that WATCH lets pass.
    pub fn change_quietly(&mut self, db: usize, hash: u64, key: &[u8]) {
        self.push_change((db, hash), key, Seen::Waiters);
    }

    /// The same, and who waits for the key does not look at it again because of that either.
    pub fn change_unseen(&mut self, db: usize, hash: u64, key: &[u8]) {
        self.push_change((db, hash), key, Seen::Nobody);
    }

    fn push_change(&mut self, (db, hash): (usize, u64), key: &[u8], seen: Seen) {
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        let (quiet, wakes) = (seen != Seen::All, seen != Seen::Nobody);
        self.changes.push(Change { db, hash, quiet, wakes, start, end: self.keys.len() });
        self.dirty += 1;
    }

    /// Says that the last change was the end of something whose time was over.
    pub fn was_expiry(&mut self) {
        self.expired += 1;
    }

    /// Changes so far that a command made, not the time that went by.
    pub fn dirty_by_commands(&self) -> u64 {
        self.dirty.saturating_sub(self.expired)
    }

    /// Notes an event, if anybody may listen.
    pub fn event(&mut self, db: usize, class: u32, name: &'static str, key: &[u8]) {
        if self.event_classes & class != 0 {
            self.events.push(Event { db, class, name, key: key.to_vec() });
        }
    }

    /// The keys that changed, with their database and hash.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = (Change, &[u8])> {
        self.changes
            .iter()
            .map(|change| (*change, self.keys.get(change.start..change.end).unwrap_or_default()))
    }

    /// The keys that changed since the last call.
    pub fn unnoticed_changes(&mut self) -> impl Iterator<Item = &[u8]> {
        let seen = std::mem::replace(&mut self.noticed, self.changes.len());
        let new = self.changes.get(seen..).unwrap_or_default();
        new.iter()
            .filter(|change| !change.quiet)
            .map(|change| self.keys.get(change.start..change.end).unwrap_or_default())
    }

    /// How many keys changed so far (a mark to look at later changes only).
    pub fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// Whether the unit did nothing that anybody must hear of.
    pub fn is_empty(&self) -> bool {
        self.unit.is_empty()
            && self.changes.is_empty()
            && self.events.is_empty()
            && !self.everything_changed
    }

    /// Whether events were noted since they were taken.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Takes the events.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Starts the next unit.
    pub fn clear(&mut self) {
        self.unit.clear();
        self.keys.clear();
        self.changes.clear();
        self.events.clear();
        if self.keys.capacity() > KEPT_BYTES || self.changes.capacity() > KEPT_CHANGES {
            self.give_back();
        }
        self.dirty = 0;
        self.expired = 0;
        self.everything_changed = false;
        self.noticed = 0;
        self.restated = false;
    }

    /// A script, or EXEC, may have changed millions of keys.
    #[cold]
    fn give_back(&mut self) {
        self.keys.shrink_to(KEPT_BYTES);
        self.changes.shrink_to(KEPT_CHANGES);
        self.events.shrink_to(KEPT_CHANGES);
    }
}
