//! Expiry: of the key that is looked at (lazy) and of keys nobody looks at (active).
//!
//! Either way the removal is an effect like any other: a DEL in the log, a change for WATCH and
//! tracking, an `expired` event. The active cycle walks segments in hash order and opens only those
//! whose earliest expiry has passed, so keys without expiry cost it nothing.

use super::{Entry, ExpireMode, Keyspace, ValueMut, ValueRef, event};
use crate::clock::UnixMillis;
use crate::types::hash64::hash64;

impl Keyspace {
    /// Whether the key is there and its time is over. Changes nothing.
    pub fn peek_expired(&self, db: usize, key: &[u8], now: UnixMillis) -> bool {
        self.expire_mode == ExpireMode::Active
            && self.dbs.get(db).is_some_and(|db| {
                let entry = db.table.find(hash64(key), key);
                entry.and_then(Entry::expire_at).is_some_and(|at| now > at)
            })
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
            drop(entry);
            self.stats.expired += 1;
            self.effects.record(db, &[b"DEL", key]);
            self.changed(db, key, event::EXPIRED, "expired");
        }
    }

    /// Removes the fields of a hash whose time is over, and the hash if none is left.
    pub(super) fn expire_fields(&mut self, db: usize, key: &[u8], hash: u64) {
        let now = u64::try_from(self.now).unwrap_or(0);
        let entry = self.dbs.get(db).and_then(|db| db.table.find(hash, key));
        let earliest = match entry.map(Entry::value) {
            Some(ValueRef::Hash(fields)) => fields.earliest_expire(),
            _ => None,
        };
        if earliest.is_none_or(|at| at >= now) {
            return;
        }
        self.before_write(db, hash);
        let effects = &mut self.effects;
        let entry = self.dbs.get_mut(db).and_then(|db| db.table.find_mut(hash, key));
        let Some(ValueMut::Hash(fields)) = entry.map(Entry::value_mut) else { return };
        fields.take_expired(now, usize::MAX, &mut |field, _| {
            field.with_bytes(|field| effects.record(db, &[b"HDEL", key, field]));
        });
        let now_empty = fields.is_empty();
        self.changed(db, key, event::HASH, "hexpired");
        if now_empty {
            self.remove(db, key);
            self.changed(db, key, event::GENERIC, "del");
        }
    }

    /// Removes expired keys of up to `segments` segments of `db`, going on where the last call stopped.
    /// Returns the keys removed and whether the walk came to the end of the table.
    pub fn expire_step(&mut self, db: usize, segments: usize) -> (usize, bool) {
        let mut removed = 0;
        for _ in 0..segments {
            let Some((expired, at_end)) = self.expired_in_next_segment(db) else {
                return (removed, true);
            };
            removed += expired.len();
            for key in &expired {
                self.expire_now(db, key);
            }
            if at_end {
                return (removed, true);
            }
        }
        (removed, false)
    }
}

impl Keyspace {
    /// Moves the cursor over one segment and returns its expired keys; `None` when nothing can expire.
    /// True with the last segment.
    fn expired_in_next_segment(&mut self, db: usize) -> Option<(Vec<Vec<u8>>, bool)> {
        let now = self.now;
        let place = self.dbs.get_mut(db).filter(|place| place.expires > 0)?;
        let (meta, entries, next) = place.table.segment_at_mut(place.expire_cursor);
        let mut expired = Vec::new();
        if meta.earliest_expiry < now {
            (expired, meta.earliest_expiry) = expired_keys(entries, now);
        }
        // Removing keys may join this segment with the one before, which is done with.
        place.expire_cursor = next.unwrap_or(0);
        Some((expired, next.is_none()))
    }
}

/// The keys of a segment that have expired, and the earliest expiry of those that have not.
fn expired_keys<'e>(
    entries: impl Iterator<Item = &'e mut Entry>,
    now: UnixMillis,
) -> (Vec<Vec<u8>>, UnixMillis) {
    let mut expired = Vec::new();
    let mut earliest = UnixMillis::MAX;
    for entry in entries {
        match entry.expire_at() {
            Some(at) if at < now => expired.push(entry.key().to_vec()),
            Some(at) => earliest = earliest.min(at),
            None => {}
        }
    }
    (expired, earliest)
}
