//! All databases: keys with their values and expiry, and the effects of whoever changes them.
//!
//! Handlers reach values only through this module, so the bookkeeping cannot be forgotten: a lookup
//! removes an expired key and says so in the effects, raises the position that the reply must wait for
//! (I2), counts hits and misses and marks the use for eviction; every mutation first gives a running
//! snapshot its copy of the segment that is about to change (point in time without fork, P7).
//!
//! What the handler itself must say is that it changed something: [`Keyspace::changed`].

pub mod digest;
pub mod effects;
pub mod entry;
pub mod evict;
pub mod expire;
pub mod lru;
mod prepared;
mod retired;
pub mod scan;
pub mod snapshot;
mod typed;
mod warm;

pub use effects::{Effects, event};
pub use entry::{Entry, Kind, StrRef, Value, ValueMut, ValueRef};
pub use prepared::Prepared;
pub use retired::{LARGE_BYTES, LAZY_ALLOCATIONS, Retired};
pub use typed::{Typed, WrongType};

use bytes::Bytes;

use crate::clock::UnixMillis;
use crate::types::hash64::hash64;
use crate::types::table::{self, Table};

/// Number of slots in the table of last-write positions. A collision only delays a reply.
const VERSION_SLOTS: usize = 1 << 16;
/// Keys that are looked at ahead at a time: about as many as a processor has loads under way.
pub const WARM_MAX: usize = 16;

/// What is known of each segment of a database's table.
#[derive(Clone, Copy, Debug)]
pub struct SegmentMeta {
    /// The number of the last snapshot that has this segment.
    snapshot: u64,
    /// No key of the segment expires before this time.
    /// No key of the segment has an earlier one.
    earliest_expiry: UnixMillis,
    /// No field of a hash of the segment expires before this time.
    earliest_field: UnixMillis,
}

impl table::SegmentMeta for SegmentMeta {
    /// Two segments that a running snapshot has both, or lacks both, may be joined.
    fn merged(&self, sibling: &Self) -> Option<Self> {
        (self.snapshot == sibling.snapshot).then(|| Self {
            snapshot: self.snapshot,
            earliest_expiry: self.earliest_expiry.min(sibling.earliest_expiry),
            earliest_field: self.earliest_field.min(sibling.earliest_field),
        })
    }
}

impl Default for SegmentMeta {
    fn default() -> Self {
        Self { snapshot: 0, earliest_expiry: UnixMillis::MAX, earliest_field: UnixMillis::MAX }
    }
}

/// One database.
#[derive(Default)]
pub struct Db {
    table: Table<Entry, SegmentMeta>,
    /// Keys that have an expiry.
    expires: usize,
    /// The number under which a running snapshot saves this database (SWAPDB moves it).
    saved_as: usize,
    /// Where the active expiry cycle goes on.
    expire_cursor: u64,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("keys", &self.table.len()).finish_non_exhaustive()
    }
}

/// Counters that INFO shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyspaceStats {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    /// Hash fields that expired.
    pub expired_fields: u64,
    /// Time that the active cycle took, and the share of keys with a time to live that it found over
    /// their time, in percent, smoothed.
    pub expire_cycle_us: u64,
    pub stale_percent: f64,
    /// Times the active cycle stopped because its time was over.
    pub expire_time_cap_reached: u64,
}

/// Whether time passes for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireMode {
    /// An expired key is gone for whoever looks, and is removed with an effect.
    Active,
    /// Nothing expires: the log is being replayed, its DELs say what expired.
    Frozen,
}

/// What becomes of a key whose time is over when the running command comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It is removed.
    Goes,
    /// It stays, and the command finds it missing.
    Hidden,
    /// It stays, and the command finds it.
    Seen,
}

/// All databases.
#[derive(Debug)]
pub struct Keyspace {
    dbs: Vec<Db>,
    /// The time of the running unit.
    pub now: UnixMillis,
    pub expire_mode: ExpireMode,
    /// Nothing can be written at the moment, not even that a key is gone because its time is over: the
    /// running read finds it missing and leaves it where it is.
    pub expiry_waits: bool,
    /// What `import-mode` makes of keys whose time is over.
    pub overdue: Overdue,
    /// What the running unit did.
    pub effects: Effects,
    /// The newest write among the keys that the running unit looked at.
    pub need: u64,
    versions: Box<[u64]>,
    /// The largest of `versions`.
    newest: u64,
    /// Every write up to this log position is durable: nothing waits for it.
    pub settled: u64,
    pub stats: KeyspaceStats,
    /// What lookups stamp entries with.
    pub use_clock: lru::UseClock,
    /// Candidates for eviction.
    pool: evict::Pool,
    /// Set for CLIENT NO-TOUCH: lookups leave the use clock of entries alone.
    pub no_touch: bool,
    /// Whether lookups are hits and misses: not those of a command that looks only where to write.
    pub counts_reads: bool,
    snapshot: Option<snapshot::Running>,
    snapshots_started: u64,
    /// Tables that a snapshot kept and nobody needs.
    flushed: Vec<Table<Entry, SegmentMeta>>,
    /// Large values that went in the running unit.
    retired: Vec<(Entry, Retired)>,
    /// A hash field was given an expiry since the start.
    field_expiry: bool,
    /// The active cycle left fields in a hash whose time is over: it should come again soon.
    pub fields_left_due: bool,
}

impl Keyspace {
    /// `databases` empty databases.
    pub fn new(databases: usize) -> Self {
        let dbs = (0..databases).map(|index| Db { saved_as: index, ..Db::default() }).collect();
        Self {
            dbs,
            now: 0,
            expire_mode: ExpireMode::Active,
            expiry_waits: false,
            overdue: Overdue::Goes,
            effects: Effects::default(),
            need: 0,
            versions: vec![0; VERSION_SLOTS].into_boxed_slice(),
            newest: 0,
            settled: 0,
            stats: KeyspaceStats::default(),
            use_clock: lru::UseClock::default(),
            pool: evict::Pool::default(),
            no_touch: false,
            counts_reads: true,
            snapshot: None,
            snapshots_started: 0,
            flushed: Vec::new(),
            retired: Vec::new(),
            field_expiry: false,
            fields_left_due: false,
        }
    }

    /// How many databases there are.
    pub fn databases(&self) -> usize {
        self.dbs.len()
    }

    /// Keys in a database, those that expired but were not removed yet included.
    pub fn len(&self, db: usize) -> usize {
        self.dbs.get(db).map_or(0, |db| db.table.len())
    }

    /// Whether all databases are empty.
    pub fn is_empty(&self) -> bool {
        self.dbs.iter().all(|db| db.table.len() == 0)
    }

    /// Keys with an expiry in a database.
    pub fn expires(&self, db: usize) -> usize {
        self.dbs.get(db).map_or(0, |db| db.expires)
    }

    /// Looks a key up for reading.
    pub fn lookup(&mut self, db: usize, key: &[u8]) -> Option<&Entry> {
        let hash = self.arrive(db, key);
        let hidden = self.hides_overdue() && self.is_over(db, hash, key);
        let found = self.dbs.get(db)?.table.find(hash, key).filter(|_| !hidden);
        match found {
            Some(entry) => {
                self.stats.hits += u64::from(self.counts_reads);
                if !self.no_touch {
                    self.use_clock.stamp(hash, entry);
                }
            }
            None if self.counts_reads => {
                self.stats.misses += 1;
                self.effects.event(db, event::KEY_MISS, "keymiss", key);
            }
            None => {}
        }
        found
    }

    /// Looks a key up without counting or marking its use (OBJECT, TTL, DEBUG, SCAN's type filter).
    pub fn peek(&mut self, db: usize, key: &[u8]) -> Option<&Entry> {
        let hash = self.arrive(db, key);
        if self.hides_overdue() && self.is_over(db, hash, key) {
            return None;
        }
        self.dbs.get(db)?.table.find(hash, key)
    }

    /// Whether the key is there.
    pub fn contains(&mut self, db: usize, key: &[u8]) -> bool {
        self.peek(db, key).is_some()
    }

    /// Looks a key up to change it in place. A running snapshot has its copy afterwards.
    pub fn lookup_mut(&mut self, db: usize, key: &[u8]) -> Option<&mut Entry> {
        let hash = self.arrive(db, key);
        self.before_write(db, hash);
        let entry = self.dbs.get_mut(db)?.table.find_mut(hash, key)?;
        if !self.no_touch {
            self.use_clock.stamp(hash, entry);
        }
        Some(entry)
    }

    /// The entry of a key that this unit has looked up before, without any bookkeeping and by shared
    /// reference, so that several keys can be read at the same time. The lookup before it removed
    /// the key if its time was over, or did not find it.
    pub fn again(&self, db: usize, key: &[u8]) -> Option<&Entry> {
        if self.hides_overdue() && self.is_over(db, hash64(key), key) {
            return None;
        }
        self.held(db, key)
    }

    /// Puts an entry under its key; what was there before comes back.
    pub fn insert(&mut self, db: usize, entry: Entry) -> Option<Entry> {
        entry.touch(self.use_clock.fresh());
        self.put(db, entry)
    }

    /// Puts an entry with its stamp of use under its key; what was there before comes back.
    fn put(&mut self, db: usize, entry: Entry) -> Option<Entry> {
        self.put_prepared(db, Prepared::new(entry))
    }

    /// Puts an entry that was made elsewhere under its key; what was there before comes back.
    pub fn put_prepared(&mut self, db: usize, prepared: Prepared) -> Option<Entry> {
        let Prepared { entry, hash, expiry, field_expiry } = prepared;
        self.before_write(db, hash);
        self.field_expiry |= field_expiry.is_some();
        let db = self.dbs.get_mut(db)?;
        let old = match db.table.find_mut(hash, entry.key()) {
            Some(place) => {
                if self.use_clock.counts() {
                    // The count is the key's, whatever it holds.
                    entry.touch(place.used_at());
                }
                Some(std::mem::replace(place, entry))
            }
            None => {
                db.table.insert_new(hash, entry);
                None
            }
        };
        if old.as_ref().is_some_and(|old| old.expire_at().is_some()) {
            db.expires -= 1;
        }
        if let Some(at) = expiry {
            db.expires += 1;
            let meta = db.table.segment_meta_mut(hash);
            meta.earliest_expiry = meta.earliest_expiry.min(at);
        }
        if let Some(at) = field_expiry {
            let meta = db.table.segment_meta_mut(hash);
            meta.earliest_field = meta.earliest_field.min(at);
        }
        old
    }

    /// Sets a key to a string with an expiry or without one; the cheapest path of SET.
    pub fn set_string(&mut self, db: usize, key: &[u8], value: &[u8], expire: Option<UnixMillis>) {
        let hash = self.arrive(db, key);
        self.before_write(db, hash);
        let Some(place) = self.dbs.get_mut(db) else { return };
        match place.table.find_mut(hash, key) {
            Some(entry)
                if entry.expire_at().is_none()
                    && expire.is_none()
                    && entry.kind() == Kind::String =>
            {
                entry.set_string(value);
                self.use_clock.stamp(hash, entry);
            }
            Some(_) => {
                self.replace(db, Entry::new_string(key, value, expire));
            }
            None => {
                let entry = Entry::new_string(key, value, expire);
                entry.touch(self.use_clock.fresh());
                place.table.insert_new(hash, entry);
                if let Some(at) = expire {
                    place.expires += 1;
                    let meta = place.table.segment_meta_mut(hash);
                    meta.earliest_expiry = meta.earliest_expiry.min(at);
                }
                self.effects.event(db, event::NEW, "new", key);
            }
        }
    }

    /// Sets a long string (`SHARED_BYTES_MIN`) that is kept as it is given.
    pub fn set_shared_string(&mut self, db: usize, key: &[u8], value: Bytes) {
        self.arrive(db, key);
        if !self.replace(db, Entry::new_shared(key, value)) {
            self.effects.event(db, event::NEW, "new", key);
        }
    }

    /// Removes a key, expired or not; its entry comes back.
    pub fn remove(&mut self, db: usize, key: &[u8]) -> Option<Entry> {
        let hash = hash64(key);
        self.before_write(db, hash);
        let db = self.dbs.get_mut(db)?;
        let entry = db.table.remove(hash, key)?;
        if entry.expire_at().is_some() {
            db.expires -= 1;
        }
        Some(entry)
    }

    /// Sets or clears a key's expiry. False when there is no such key.
    pub fn set_expire(&mut self, db: usize, key: &[u8], expire: Option<UnixMillis>) -> bool {
        let hash = self.arrive(db, key);
        self.before_write(db, hash);
        let Some(db) = self.dbs.get_mut(db) else { return false };
        let Some(entry) = db.table.find_mut(hash, key) else { return false };
        let had = entry.expire_at().is_some();
        entry.set_expire(expire);
        db.expires = db.expires - usize::from(had) + usize::from(expire.is_some());
        if let Some(at) = expire {
            let meta = db.table.segment_meta_mut(hash);
            meta.earliest_expiry = meta.earliest_expiry.min(at);
        }
        true
    }

    /// Says that a key changed: its log position, WATCH, tracking, `dirty` and the keyspace event follow.
    pub fn changed(&mut self, db: usize, key: &[u8], class: u32, name: &'static str) {
        self.effects.change(db, hash64(key), key);
        self.effects.event(db, class, name, key);
    }

    /// Says that something about a key changed that WATCH lets pass: a stream's consumer groups. The
    /// event, if there is one, is said apart.
    pub fn changed_quietly(&mut self, db: usize, key: &[u8]) {
        self.effects.change_quietly(db, hash64(key), key);
    }

    /// The same, and nobody who waits for the key looks at it again because of that.
    pub fn changed_unseen(&mut self, db: usize, key: &[u8]) {
        self.effects.change_unseen(db, hash64(key), key);
    }

    /// Removes all keys of a database and returns them, to be dropped somewhere else.
    pub fn take_all(&mut self, db: usize) -> Option<Box<Table<Entry, SegmentMeta>>> {
        let index = db;
        let db = self.dbs.get_mut(db)?;
        let table = std::mem::take(&mut db.table);
        db.expires = 0;
        db.expire_cursor = 0;
        self.effects.everything_changed = true;
        match self.snapshot.as_mut() {
            Some(running) => {
                let saved_as = self.dbs.get(index).map_or(index, |db| db.saved_as);
                running.keep(saved_as, table);
                None
            }
            None => Some(Box::new(table)),
        }
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, first: usize, second: usize) {
        if first < self.dbs.len() && second < self.dbs.len() {
            self.dbs.swap(first, second);
            self.effects.everything_changed = true;
        }
    }

    /// A random key of a database that has not expired.
    pub fn random_key(&mut self, db: usize, rng: &mut dyn crate::rng::Rng) -> Option<Vec<u8>> {
        // With nothing but expired keys each try removes one, so this ends.
        let mut hidden = None;
        for _ in 0..self.len(db).clamp(1, 100) {
            let key = self.dbs.get(db)?.table.random(rng)?.key().to_vec();
            if self.contains(db, &key) {
                return Some(key);
            }
            // Where none is removed, a key is named that reads do not find, as Redis does.
            hidden = self.hides_overdue().then_some(key);
        }
        hidden
    }

    /// Notes, after the unit's records were given the log position `position`, that the keys it
    /// changed are safe only from there on.
    pub fn publish_position(&mut self, position: u64) {
        self.newest = self.newest.max(position);
        if self.effects.everything_changed {
            self.versions.fill(position);
        }
        for (change, _) in self.effects.changes() {
            if let Some(slot) = self.versions.get_mut(version_slot(change.db, change.hash)) {
                *slot = position;
            }
        }
    }

    /// Notes that every key may have been written up to `position`.
    pub fn publish_everywhere(&mut self, position: u64) {
        self.newest = self.newest.max(position);
        self.versions.fill(position);
    }

    /// Puts in a key that was loaded, with the stamp of its last use if that is known; what was there before comes back.
    pub fn load(&mut self, db: usize, entry: Entry, used: Option<u32>) -> Option<Entry> {
        entry.touch(used.unwrap_or_else(|| self.use_clock.fresh()));
        self.put(db, entry)
    }

    /// Makes room for `keys` further keys.
    pub fn reserve(&mut self, db: usize, keys: usize) {
        if let Some(db) = self.dbs.get_mut(db) {
            db.table.reserve(keys);
        }
    }

    /// Lays a database out for so many keys in all.
    pub fn lay_out(&mut self, db: usize, keys: usize) {
        if let Some(db) = self.dbs.get_mut(db) {
            db.table.lay_out(keys);
        }
    }

    /// Whether any hash may have a field that expires (decides the version of a snapshot).
    pub fn has_field_expiry(&self) -> bool {
        self.field_expiry
    }

    /// A field of the hash at a key was given an expiry.
    pub fn note_field_expiry(&mut self, db: usize, key: &[u8], at: u64) {
        self.field_expiry = true;
        let at = UnixMillis::try_from(at).unwrap_or(UnixMillis::MAX);
        if let Some(db) = self.dbs.get_mut(db) {
            let meta = db.table.segment_meta_mut(hash64(key));
            meta.earliest_field = meta.earliest_field.min(at);
        }
    }

    /// How many hashes of a database have fields that expire. Looks at the segments that may have some.
    pub fn timed_hashes(&self, db: usize) -> usize {
        let Some(table) = self.dbs.get(db).map(|db| &db.table).filter(|_| self.field_expiry) else {
            return 0;
        };
        let mut count = 0;
        let mut position = Some(0);
        while let Some(at) = position {
            let segment = table.segment_at(at);
            if segment.meta().earliest_field != UnixMillis::MAX {
                count += segment.entries().filter(|entry| earliest_field(entry).is_some()).count();
            }
            position = segment.next();
        }
        count
    }

    /// Has the reply wait for the last write of the key with this hash.
    #[inline]
    pub(super) fn rest_on(&mut self, db: usize, hash: u64) {
        if self.newest > self.settled {
            let written = self.versions.get(version_slot(db, hash)).copied().unwrap_or(u64::MAX);
            self.need = self.need.max(written);
        }
    }

    /// First step of every lookup: remembers the last write of the key, removes it if it has expired.
    fn arrive(&mut self, db: usize, key: &[u8]) -> u64 {
        let hash = hash64(key);
        self.rest_on(db, hash);
        if !self.hides_overdue() && self.is_over(db, hash, key) {
            self.expire_now(db, key);
        }
        hash
    }

    /// Whether the time of a key is over.
    fn is_over(&self, db: usize, hash: u64, key: &[u8]) -> bool {
        let Some(db) = self.dbs.get(db).filter(|db| db.expires > 0) else { return false };
        let over = || {
            let at = db.table.find(hash, key).and_then(Entry::expire_at);
            at.is_some_and(|at| self.now > at)
        };
        // The segment is needed anyway, a second look for the entry is not.
        if db.table.segment_meta(hash).earliest_expiry >= self.now {
            debug_assert!(!over(), "an expiry before the earliest one of its segment");
            return false;
        }
        self.time_passes() && over()
    }
}

/// The earliest time of a field, if the entry is a hash with such fields.
fn earliest_field(entry: &Entry) -> Option<UnixMillis> {
    let ValueRef::Hash(hash) = entry.value() else { return None };
    UnixMillis::try_from(hash.earliest_expire()?).ok()
}

fn version_slot(db: usize, hash: u64) -> usize {
    // Databases share the slots; the shift only spreads equal names of different databases.
    (usize::try_from(hash & 0xFFFF).unwrap_or(0) ^ (db << 8)) & (VERSION_SLOTS - 1)
}
