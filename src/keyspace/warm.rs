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

/// Entries that may be those of some keys.
type Near<'k> = [Option<&'k Entry>; WARM_MAX];

impl Keyspace {
    /// Brings near what these requests of a client in database `db` name: their keys, as if each had one, and a member.
    pub fn warm<'a>(&self, db: usize, requests: impl Iterator<Item = Args<'a>> + Clone) {
        let mut requests = requests.filter(|args| args.len() > 1);
        while self.warm_some(db, requests.clone().take(WARM_MAX)) == WARM_MAX {
            requests.nth(WARM_MAX - 1);
        }
    }

    /// The same of at most `WARM_MAX`; how many there were.
    #[inline]
    fn warm_some<'a>(&self, db: usize, requests: impl Iterator<Item = Args<'a>> + Clone) -> usize {
        let have_members = Cell::new(false);
        let keys = requests.clone().map(|args| {
            have_members.set(have_members.get() | (args.len() > 2));
            hash64(args.at(1))
        });
        let mut entries = [None; WARM_MAX];
        let count = self.entries_near(db, keys, &mut entries);
        if !have_members.get() {
            return count;
        }
        let entries = &entries[..count];
        let (mut members, mut are_tables) = ([None; WARM_MAX], false);
        for ((entry, member), args) in entries.iter().zip(&mut members).zip(requests) {
            if let Some(entry) = entry.filter(|_| args.len() > 2) {
                *member = bring_value(entry, &args);
                are_tables |= member.is_some();
            }
        }
        for (entry, member) in entries.iter().zip(members).take_while(|_| are_tables) {
            if let (Some(entry), Some(member)) = (entry, member) {
                bring_member(entry, member);
            }
        }
        count
    }

    /// The same for keys of which only the hashes are at hand; looks at `WARM_MAX` of them.
    pub fn warm_hashes(&self, db: usize, hashes: impl Iterator<Item = u64>) {
        self.entries_near(db, hashes, &mut [None; WARM_MAX]);
    }

    /// Has the entries on their way that may be those of these keys; how many keys there were.
    #[inline]
    fn entries_near<'k>(
        &'k self,
        db: usize,
        hashes: impl Iterator<Item = u64>,
        entries: &mut Near<'k>,
    ) -> usize {
        let Some(table) = self.dbs.get(db).map(|db| &db.table) else { return 0 };
        let mut places = [const { None }; WARM_MAX];
        let unsettled = self.newest > self.settled;
        let mut count = 0;
        for (place, hash) in places.iter_mut().zip(hashes) {
            *place = Some(table.approach(hash));
            count += 1;
            if unsettled && let Some(written) = self.versions.get(version_slot(db, hash)) {
                near::bring(written);
            }
        }
        for (entry, place) in entries.iter_mut().zip(places.iter().map_while(Option::as_ref)) {
            *entry = place.bring_entry();
        }
        count
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
