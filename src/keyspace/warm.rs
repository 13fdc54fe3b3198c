//! Brings near what the next requests will read.
//!
//! Whoever looks up one key after the other waits for the memory of each: the place in the table, the entry, what a
//! collection holds apart from its entry, the place of a member there, the member. Asked for step by step, for all requests
//! of a batch at a time, these waits overlap. Everything here is a hint (`types::near`): it changes nothing, and what turns
//! out to be another key, another member or none at all was asked for in vain.

use std::cell::Cell;

use super::{Entry, Keyspace, Kind, ValueRef, WARM_MAX, version_slot};
use crate::resp::Args;
use crate::types::hash64::hash64;
use crate::types::near;
use crate::types::table::{Slot, Table};

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
        let mut members = [None; WARM_MAX];
        for ((entry, member), args) in entries.iter().zip(&mut members).zip(requests) {
            if let Some(entry) = entry.filter(|_| args.len() > 2) {
                *member = bring_value(entry, &args);
            }
        }
        for (entry, member) in entries.iter().zip(members) {
            if let (Some(entry), Some(member)) = (entry, member) {
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

/// Brings near what a collection holds apart from its entry: all of a small one; of a table the place of the member, whose
/// hash is returned then.
fn bring_value(entry: &Entry, args: &Args) -> Option<u64> {
    // Most have nothing elsewhere, and need not be understood to know that.
    if matches!(entry.kind(), Kind::String | Kind::Stream) {
        return None;
    }
    match entry.value() {
        ValueRef::Str(_) | ValueRef::Stream(_) => {}
        ValueRef::List(list) => list.bring_near(),
        ValueRef::Hash(hash) => match hash.as_table() {
            Some(table) => return Some(bring_place(table, args.at(2))),
            None => hash.bring_near(),
        },
        ValueRef::Set(set) => match set.as_table() {
            Some(table) => return Some(bring_place(table, args.at(2))),
            None => set.bring_near(),
        },
        ValueRef::ZSet(zset) => match zset.as_table() {
            // A score comes first where there are both.
            Some(table) => return Some(bring_place(table, args.get(3).unwrap_or(args.at(2)))),
            None => zset.bring_near(),
        },
    }
    None
}

fn bring_place<E: Slot>(table: &Table<E>, member: &[u8]) -> u64 {
    let hash = hash64(member);
    table.approach(hash);
    hash
}

/// Brings near the member with this hash of a collection that is a table.
fn bring_member(entry: &Entry, member: u64) {
    fn bring<E: Slot>(table: Option<&Table<E>>, member: u64) {
        if let Some(table) = table {
            table.approach(member).bring_entry();
        }
    }
    match entry.value() {
        ValueRef::Hash(hash) => bring(hash.as_table(), member),
        ValueRef::Set(set) => bring(set.as_table(), member),
        ValueRef::ZSet(zset) => bring(zset.as_table(), member),
        ValueRef::Str(_) | ValueRef::List(_) | ValueRef::Stream(_) => {}
    }
}
