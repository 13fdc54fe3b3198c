//! Expiry: of the key that is looked at (lazy) and of keys nobody looks at (active).
//!
//! Either way the removal is an effect like any other: a DEL in the log, a change for WATCH and
//! tracking, an `expired` event. The active cycle walks segments in hash order and opens only those
//! whose earliest expiry has passed, so keys without expiry cost it nothing.

use super::retired::Retired;
use super::{Entry, ExpireMode, Keyspace, Overdue, ValueMut, ValueRef, earliest_field, event};
use crate::clock::UnixMillis;
use crate::types::Hash;
use crate::types::hash64::hash64;

impl Keyspace {
    /// Whether the key is there and its time is over. Changes nothing.
    pub fn peek_expired(&self, db: usize, key: &[u8], now: UnixMillis) -> bool {
        self.time_passes()
            && self.held(db, key).and_then(Entry::expire_at).is_some_and(|at| now > at)
    }

    /// Whether the running command finds any key's time over.
    pub(super) fn time_passes(&self) -> bool {
        self.expire_mode == ExpireMode::Active && self.overdue != Overdue::Seen
    }

    /// Whether a key whose time is over stays where it is when the running command does not find it.
    pub(super) fn hides_overdue(&self) -> bool {
        self.expiry_waits || self.overdue == Overdue::Hidden
    }

    /// The reply tells something of the key without looking at it: it rests on what was written there.
    pub fn rest_on_key(&mut self, db: usize, key: &[u8]) {
        self.rest_on(db, hash64(key));
    }

    /// The log position of what was written last at these keys.
    pub fn written_at(&mut self, db: usize, keys: &[Vec<u8>]) -> u64 {
        let need = std::mem::take(&mut self.need);
        for key in keys {
            self.rest_on_key(db, key);
        }
        std::mem::replace(&mut self.need, need)
    }

    /// Fields of hashes whose times are before this are there and hidden; 0 when looking at one removes it.
    pub fn fields_hidden_before(&self) -> u64 {
        if self.hides_overdue() { u64::try_from(self.now).unwrap_or(0) } else { 0 }
    }

    /// What is in memory at a key, whether its time is over or not, for a reply: it rests on what was written there.
    pub fn look_at_held(&mut self, db: usize, key: &[u8]) -> Option<&Entry> {
        self.rest_on(db, hash64(key));
        self.held(db, key)
    }

    /// The same for the server's own use: a reply would tell what a power loss may take back.
    pub fn held(&self, db: usize, key: &[u8]) -> Option<&Entry> {
        self.dbs.get(db)?.table.find(hash64(key), key)
    }

    /// The mean time to live in ms of the keys of a database that have one, from a sample.
    pub fn average_ttl(&self, db: usize) -> i64 {
        let now = self.now;
        if self.expires(db) == 0 {
            return 0;
        }
        let left =
            self.entries(db).take(4096).filter_map(Entry::expire_at).map(|at| (at - now).max(0));
        let (count, sum) = left
            .take(64)
            .fold((0i64, 0i64), |(count, sum), left| (count + 1, sum.saturating_add(left)));
        if count == 0 { 0 } else { sum / count }
    }

    /// Removes one key because its time is over.
    pub(super) fn expire_now(&mut self, db: usize, key: &[u8]) {
        if let Some(entry) = self.remove(db, key) {
            self.retire(entry, Retired::Expired);
            self.stats.expired += 1;
            self.effects.record(db, &[b"DEL", key]);
            self.changed(db, key, event::EXPIRED, "expired");
            self.effects.was_expiry();
        }
    }

    /// Removes those of the named fields of the hash at a key whose time is over, and the hash if none is
    /// left: a command looks at them.
    pub fn expire_named_fields<'f>(
        &mut self,
        db: usize,
        key: &[u8],
        named: impl Iterator<Item = &'f [u8]>,
    ) {
        if !self.field_expiry || !self.time_passes() || self.hides_overdue() {
            return;
        }
        let hash = self.arrive(db, key);
        self.remove_due_fields(db, key, hash, |fields, now, gone| {
            let due = named.filter(|field| fields.is_due(field, now));
            let due: Vec<&[u8]> = due.collect();
            for field in &due {
                // One that is named twice goes once.
                if fields.remove(field) {
                    gone(field);
                }
            }
        });
    }

    /// Removes all fields of the hash at a key whose time is over, and the hash if none is left.
    pub fn expire_all_fields(&mut self, db: usize, key: &[u8]) {
        if self.field_expiry && self.time_passes() && !self.hides_overdue() {
            let hash = self.arrive(db, key);
            self.expire_fields(db, key, hash, usize::MAX);
        }
    }

    /// Removes up to `max` fields of a hash whose time is over, and the hash if none is left.
    fn expire_fields(&mut self, db: usize, key: &[u8], hash: u64, max: usize) {
        self.remove_due_fields(db, key, hash, |fields, now, gone| {
            fields.take_expired(now, max, &mut |field, _| field.with_bytes(&mut *gone));
        });
    }

    /// Has `take` remove fields from a hash that has some whose time is over, and records those it tells of.
    fn remove_due_fields(
        &mut self,
        db: usize,
        key: &[u8],
        hash: u64,
        take: impl FnOnce(&mut Hash, u64, &mut dyn FnMut(&[u8])),
    ) {
        let now = u64::try_from(self.now).unwrap_or(0);
        let entry = self.dbs.get(db).and_then(|db| db.table.find(hash, key));
        let due =
            matches!(entry.map(Entry::value), Some(ValueRef::Hash(fields)) if fields.has_due(now));
        if !due {
            return;
        }
        self.before_write(db, hash);
        let effects = &mut self.effects;
        let entry = self.dbs.get_mut(db).and_then(|db| db.table.find_mut(hash, key));
        let Some(ValueMut::Hash(fields)) = entry.map(Entry::value_mut) else { return };
        let mut count = 0;
        take(fields, now, &mut |field| {
            effects.record(db, &[b"HDEL", key, field]);
            count += 1;
        });
        if count == 0 {
            return;
        }
        self.stats.expired_fields += count;
        let now_empty = fields.is_empty();
        self.changed(db, key, event::HASH, "hexpired");
        self.effects.was_expiry();
        if now_empty {
            self.discard(db, key);
            self.changed(db, key, event::GENERIC, "del");
            self.effects.was_expiry();
        }
    }

    /// Removes expired keys and hash fields of up to `segments` segments of `db`, going on where the
    /// last call stopped. Returns how many there were and whether the walk came to the end of the table;
    /// sets `fields_left_due` when a hash has more to lose than one step takes.
    pub fn expire_step(&mut self, db: usize, segments: usize) -> (usize, bool) {
        let mut removed = 0;
        for _ in 0..segments {
            let Some((due, at_end)) = self.due_in_next_segment(db) else {
                return (removed, true);
            };
            removed += due.keys.len();
            for key in &due.keys {
                self.expire_now(db, key);
            }
            for key in &due.hashes {
                removed += self.expire_some_fields(db, key);
            }
            if at_end {
                return (removed, true);
            }
        }
        (removed, false)
    }

    /// Removes fields of one hash in the active cycle; what is left comes with the next pass.
    fn expire_some_fields(&mut self, db: usize, key: &[u8]) -> usize {
        let (hash, before) = (hash64(key), self.stats.expired_fields);
        self.expire_fields(db, key, hash, FIELDS_PER_HASH);
        let Some(place) = self.dbs.get_mut(db) else { return 0 };
        if let Some(at) = place.table.find(hash, key).and_then(earliest_field) {
            self.fields_left_due |= at < self.now;
            let meta = place.table.segment_meta_mut(hash);
            meta.earliest_field = meta.earliest_field.min(at);
        }
        usize::try_from(self.stats.expired_fields - before).unwrap_or(0)
    }

    /// Moves the cursor over one segment and returns what is due there; `None` when nothing can expire.
    /// True with the last segment.
    fn due_in_next_segment(&mut self, db: usize) -> Option<(Due, bool)> {
        let (now, fields) = (self.now, self.field_expiry);
        let place = self.dbs.get_mut(db).filter(|place| place.expires > 0 || fields)?;
        let (meta, entries, next) = place.table.segment_at_mut(place.expire_cursor);
        let mut due = Due::default();
        if meta.earliest_expiry < now || meta.earliest_field < now {
            (due, meta.earliest_expiry, meta.earliest_field) = due_of(entries, now);
        }
        // Removing keys may join this segment with the one before, which is done with.
        place.expire_cursor = next.unwrap_or(0);
        Some((due, next.is_none()))
    }
}

/// Fields of one hash that go in one step of the active cycle.
const FIELDS_PER_HASH: usize = 256;

/// Keys whose time is over, and of hashes with fields whose time is over.
#[derive(Default)]
struct Due {
    keys: Vec<Vec<u8>>,
    hashes: Vec<Vec<u8>>,
}

/// What is due in a segment, the earliest expiry of its keys, and of fields that are not due.
fn due_of<'e>(
    entries: impl Iterator<Item = &'e mut Entry>,
    now: UnixMillis,
) -> (Due, UnixMillis, UnixMillis) {
    let mut due = Due::default();
    let (mut earliest_key, mut earliest) = (UnixMillis::MAX, UnixMillis::MAX);
    for entry in entries {
        match entry.expire_at() {
            Some(at) if at < now => {
                // It counts until the segment is looked at again: it may stay a while, and lookups go by what is said here.
                earliest_key = earliest_key.min(at);
                due.keys.push(entry.key().to_vec());
                continue;
            }
            Some(at) => earliest_key = earliest_key.min(at),
            None => {}
        }
        match earliest_field(entry) {
            Some(at) if at < now => due.hashes.push(entry.key().to_vec()),
            Some(at) => earliest = earliest.min(at),
            None => {}
        }
    }
    (due, earliest_key, earliest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Hash;
    use crate::types::limits::Limits;

    fn timed_hash(fields: usize, at: u64) -> Entry {
        let mut hash = Hash::new();
        for n in 0..fields {
            hash.insert(format!("f{n}").as_bytes(), b"v", &Limits::default());
            hash.set_field_expire(format!("f{n}").as_bytes(), Some(at + n as u64 % 2));
        }
        Entry::new(b"h", crate::keyspace::Value::Hash(Box::new(hash)), None)
    }

    #[test]
    fn a_key_that_is_over_its_time_may_stay_hidden_or_seen() {
        let mut ks = Keyspace::new(1);
        ks.insert(0, Entry::new_string(b"k", b"v", Some(500)));
        ks.now = 501;
        ks.overdue = Overdue::Hidden;
        assert!(ks.lookup(0, b"k").is_none() && ks.peek(0, b"k").is_none());
        assert!(ks.again(0, b"k").is_none() && ks.peek_expired(0, b"k", 501));
        ks.overdue = Overdue::Seen;
        assert!(ks.lookup(0, b"k").is_some() && ks.again(0, b"k").is_some());
        assert!(!ks.peek_expired(0, b"k", 501));
        ks.overdue = Overdue::Goes;
        assert!(ks.len(0) == 1 && ks.lookup(0, b"k").is_none() && ks.len(0) == 0);
    }

    #[test]
    fn fields_nobody_looks_at_expire_in_bounded_steps() {
        let mut ks = Keyspace::new(1);
        ks.effects.recording = true;
        ks.insert(0, timed_hash(1000, 500));
        assert_eq!(ks.timed_hashes(0), 1);
        ks.now = 400;
        assert_eq!(ks.expire_step(0, 16), (0, true));
        ks.now = 501;
        // Half of them are over their time.
        assert_eq!(ks.expire_step(0, 16), (256, true));
        assert!(std::mem::take(&mut ks.fields_left_due));
        assert_eq!(ks.expire_step(0, 16), (244, true));
        assert!(!ks.fields_left_due);
        assert_eq!(ks.expire_step(0, 16), (0, true));
        ks.now = 10_000;
        let mut rounds = 0;
        while ks.len(0) > 0 {
            assert!(ks.expire_step(0, 16).0 <= 256);
            rounds += 1;
        }
        assert_eq!((rounds, ks.stats.expired_fields, ks.timed_hashes(0)), (2, 1000, 0));
        assert!(!ks.effects.unit.is_empty());
    }
}
