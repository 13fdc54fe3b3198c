//! Brings near what the next requests will read.
//!
//! Whoever looks up one key after the other waits for the memory of each: the place in the table, the entry, what a
//! collection holds apart from its entry, the place of a member there, the member. Asked for step by step, for all requests
//! of a batch at a time, these waits overlap. Everything here is a hint (`types::near`): it changes nothing, and what turns
//! out to be another key, another member or none at all was asked for in vain.

use std::cell::Cell;

use super::{Entry, Keyspace, ValueRef, WARM_MAX, version_slot};
use crate::resp::Args;
use crate::types::hash64::hash64;
use crate::types::near;

/// A hash per request.
type Hashes = [u64; WARM_MAX];

impl Keyspace {
    /// Brings near what these requests of a client in database `db` name: their keys, as if each had one, and a member.
    pub fn warm<'a>(&self, db: usize, requests: impl Iterator<Item = Args<'a>> + Clone) {
        let requests = requests.filter(|args| args.len() > 1);
        let have_members = Cell::new(false);
        let keys = requests.clone().map(|args| {
            have_members.set(have_members.get() | (args.len() > 2));
            hash64(args.at(1))
        });
        let entries = self.entries_near(db, keys);
        let Some(entries) = entries.filter(|_| have_members.get()) else { return };
        let mut members: Hashes = [0; WARM_MAX];
        let mut count = 0;
        for ((entry, member), args) in entries.iter().zip(&mut members).zip(requests) {
            if let Some(entry) = entry.filter(|_| args.len() > 2) {
                *member = bring_value(entry, &args);
                count += u32::from(*member != 0);
            }
        }
        if count == 0 {
            return;
        }
        for (entry, member) in entries.iter().zip(members).filter(|(_, member)| *member != 0) {
            if let Some(entry) = entry {
                bring_member(entry, member);
            }
        }
    }

    /// The same for keys of which only the hashes are at hand.
    pub fn warm_hashes(&self, db: usize, hashes: impl Iterator<Item = u64>) {
        self.entries_near(db, hashes);
    }

    /// The entries that may be those of these keys, on their way.
    #[inline]
    fn entries_near(
        &self,
        db: usize,
        hashes: impl Iterator<Item = u64>,
    ) -> Option<[Option<&Entry>; WARM_MAX]> {
        let table = &self.dbs.get(db)?.table;
        let mut places = [const { None }; WARM_MAX];
        let unsettled = self.newest > self.settled;
        for (place, hash) in places.iter_mut().zip(hashes) {
            *place = Some(table.approach(hash));
            if unsettled && let Some(written) = self.versions.get(version_slot(db, hash)) {
                near::bring(written);
            }
        }
        let mut entries = [None; WARM_MAX];
        for (entry, place) in entries.iter_mut().zip(places.iter().map_while(Option::as_ref)) {
            *entry = place.bring_entry();
        }
        Some(entries)
    }
}

/// Brings near what a collection holds apart from its entry. Of one that is a table: the place of the member, whose hash is
/// returned; 0 otherwise.
fn bring_value(entry: &Entry, args: &Args) -> u64 {
    match entry.value() {
        ValueRef::Str(_) | ValueRef::Stream(_) => 0,
        ValueRef::List(list) => {
            list.bring_near();
            0
        }
        ValueRef::Hash(hash) => hash.bring_near(|| hash64(args.at(2))),
        ValueRef::Set(set) => set.bring_near(|| hash64(args.at(2))),
        // A score comes first where there are both.
        ValueRef::ZSet(zset) => zset.bring_near(|| hash64(args.get(3).unwrap_or(args.at(2)))),
    }
}

/// Brings near the member with this hash of a collection that is a table.
fn bring_member(entry: &Entry, member: u64) {
    match entry.value() {
        ValueRef::Hash(hash) => hash.bring_member(member),
        ValueRef::Set(set) => set.bring_member(member),
        ValueRef::ZSet(zset) => zset.bring_member(member),
        _ => {}
    }
}
