//! Choosing keys to give up: samples of the keyspace, and a pool of the best candidates seen so far.
//!
//! Every choice looks at a few keys of one random place of each database and keeps those that can be
//! spared best in a pool; the best of the pool goes. What is kept of a candidate is its stamp, not how
//! long it was idle when it was seen, so candidates seen at different times compare truly; and a
//! candidate that was used since is found out before it goes, and judged anew. So the few samples act
//! like many, and the result is close to the exact order (`evict/tests.rs` measures it on a Zipf trace).
//!
//! Keys with a time to live have no index of their own: segments without any are passed over by their
//! metadata. A search that finds none in time says so and is gone on with at the next call.

#[cfg(test)]
mod tests;

use super::{Db, Entry, Keyspace, event};
use crate::clock::UnixMillis;
use crate::rng::Rng;
use crate::types::hash64::hash64;

/// Candidates that are kept.
const POOL_LEN: usize = 16;
/// Segments that one search for keys with a time to live looks at, most of them by metadata only,
/// and entries that it looks at.
const SEGMENTS_PER_SEARCH: usize = 256;
const ENTRIES_PER_SEARCH: usize = 512;

/// What makes one key go before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// The stamp: the longest or least used first, as the use clock has it.
    ByUse,
    /// The soonest to expire.
    ByExpiry,
    /// Chance.
    ByChance,
}

/// Which keys may go, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictionOrder {
    pub spare: Spare,
    /// Only keys that have a time to live.
    pub volatile_only: bool,
    /// Keys that are looked at for each one that goes (`maxmemory-samples`).
    pub samples: usize,
}

/// What became of one choice.
#[derive(Debug)]
pub enum Evicted {
    /// This entry is out; its DEL is in the effects.
    Entry(Entry),
    /// None was found this time; there are some.
    Searching,
    /// There is no key that may go.
    Nothing,
}

/// The candidates. Scores are not kept: they follow from what is.
#[derive(Debug, Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    /// The database that random choices come to next.
    next_db: usize,
}

#[derive(Debug)]
struct Candidate {
    db: usize,
    hash: u64,
    key: Vec<u8>,
    stamp: u32,
    expire: UnixMillis,
}

impl Keyspace {
    /// Takes out the key that can be spared best, among those looked at.
    pub fn evict_one(&mut self, order: EvictionOrder, rng: &mut dyn Rng) -> Evicted {
        let may_go =
            |db: &Db| if order.volatile_only { db.expires > 0 } else { !db.table.is_empty() };
        if !self.dbs.iter().any(may_go) {
            return Evicted::Nothing;
        }
        let chosen = match order.spare {
            Spare::ByChance => self.random_candidate(order.volatile_only, rng),
            _ => {
                for db in 0..self.dbs.len() {
                    if self.dbs.get(db).is_some_and(may_go) {
                        self.sample_into_pool(db, order, rng);
                    }
                }
                self.best_candidate(order)
            }
        };
        let Some((db, key)) = chosen else { return Evicted::Searching };
        let Some(entry) = self.remove(db, &key) else { return Evicted::Searching };
        self.effects.record(db, &[b"DEL", &key]);
        self.changed(db, &key, event::EVICTED, "evicted");
        Evicted::Entry(entry)
    }

    /// Forgets all candidates: the policy changed, or other keys are loaded.
    pub fn forget_candidates(&mut self) {
        self.pool.candidates.clear();
    }

    /// The next database with keys that may go, and one of them by chance.
    fn random_candidate(
        &mut self,
        volatile_only: bool,
        rng: &mut dyn Rng,
    ) -> Option<(usize, Vec<u8>)> {
        for _ in 0..self.dbs.len() {
            let index = self.pool.next_db % self.dbs.len();
            self.pool.next_db = index + 1;
            let Some(db) = self.dbs.get(index) else { continue };
            let mut found = None;
            if !volatile_only {
                found = db.table.random(rng).map(|entry| entry.key().to_vec());
            } else if db.expires > 0 {
                sample(db, true, 1, rng, &mut |entry| found = Some(entry.key().to_vec()));
            }
            if let Some(key) = found {
                return Some((index, key));
            }
        }
        None
    }

    fn sample_into_pool(&mut self, index: usize, order: EvictionOrder, rng: &mut dyn Rng) {
        let (pool, clock) = (&mut self.pool.candidates, &self.use_clock);
        let Some(db) = self.dbs.get(index) else { return };
        let rank = |stamp: u32, expire: UnixMillis| match order.spare {
            Spare::ByExpiry => expire.unsigned_abs() ^ u64::MAX,
            _ => clock.rank(stamp),
        };
        sample(db, order.volatile_only, order.samples, rng, &mut |entry| {
            let (stamp, expire) = (entry.used_at(), entry.expire_at().unwrap_or(0));
            let mut place = pool.len();
            if place >= POOL_LEN {
                let worst = pool.iter().enumerate().min_by_key(|(_, c)| rank(c.stamp, c.expire));
                let Some((at, worst)) = worst else { return };
                if rank(worst.stamp, worst.expire) >= rank(stamp, expire) {
                    return;
                }
                place = at;
            }
            let (key, hash) = (entry.key(), hash64(entry.key()));
            if pool.iter().any(|known| known.hash == hash && known.db == index && known.key == key)
            {
                return;
            }
            let candidate = Candidate { db: index, hash, key: key.to_vec(), stamp, expire };
            match pool.get_mut(place) {
                Some(old) => *old = candidate,
                None => pool.push(candidate),
            }
        });
    }

    /// Takes the best candidate out of the pool that is still what it was when it was seen.
    fn best_candidate(&mut self, order: EvictionOrder) -> Option<(usize, Vec<u8>)> {
        let clock = &self.use_clock;
        let pool = &mut self.pool.candidates;
        // Each turn takes a candidate out or brings one up to date, which then stays so.
        for _ in 0..2 * POOL_LEN {
            let rank = |candidate: &Candidate| match order.spare {
                Spare::ByExpiry => candidate.expire.unsigned_abs() ^ u64::MAX,
                _ => clock.rank(candidate.stamp),
            };
            let best = pool.iter().enumerate().max_by_key(|(_, candidate)| rank(candidate));
            let (at, best) = best?;
            let table = self.dbs.get(best.db).map(|db| &db.table);
            let entry = table.and_then(|table| table.find(best.hash, &best.key));
            match entry.map(|entry| (entry.used_at(), entry.expire_at())) {
                Some((stamp, expire))
                    if stamp == best.stamp && expire.unwrap_or(0) == best.expire =>
                {
                    let best = pool.swap_remove(at);
                    return Some((best.db, best.key));
                }
                Some((stamp, expire)) if expire.is_some() || !order.volatile_only => {
                    if let Some(best) = pool.get_mut(at) {
                        (best.stamp, best.expire) = (stamp, expire.unwrap_or(0));
                    }
                }
                _ => drop(pool.swap_remove(at)),
            }
        }
        None
    }
}

/// Shows up to `count` entries of a random place of a database.
fn sample(
    db: &Db,
    volatile_only: bool,
    count: usize,
    rng: &mut dyn Rng,
    show: &mut dyn FnMut(&Entry),
) {
    let (mut shown, mut seen) = (0, 0);
    let mut position = rng.next_u64();
    for _ in 0..SEGMENTS_PER_SEARCH {
        let segment = db.table.segment_at(position);
        position = segment.next().unwrap_or(0);
        if volatile_only && segment.meta().earliest_expiry == UnixMillis::MAX {
            continue;
        }
        let slot = rng.next_u64();
        for entry in segment.entries_from(usize::try_from(slot >> 32).unwrap_or(0)) {
            seen += 1;
            if !volatile_only || entry.expire_at().is_some() {
                show(entry);
                shown += 1;
            }
            if shown >= count || seen >= ENTRIES_PER_SEARCH {
                return;
            }
        }
    }
}
