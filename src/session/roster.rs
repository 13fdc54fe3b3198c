//! The clients by their ids, with a short way to the one that is being served.
//!
//! A command asks for its own client some ten times: the seat that was found last is tried first.

use std::cell::Cell;
use std::collections::BTreeMap;

use slab::Slab;

use super::{Client, ClientId};

/// Clients, each in a seat that it keeps.
#[derive(Debug, Default)]
pub(super) struct Roster {
    seats: Slab<Box<Client>>,
    by_id: BTreeMap<ClientId, usize>,
    /// Where the last one asked for sits, or sat.
    last: Cell<usize>,
}

impl Roster {
    /// Enters a client whose id is new.
    pub(super) fn insert(&mut self, client: Box<Client>) {
        let id = client.id;
        let seat = self.seats.insert(client);
        self.by_id.insert(id, seat);
    }

    /// Takes a client out.
    pub(super) fn remove(&mut self, id: ClientId) -> Option<Box<Client>> {
        let seat = self.by_id.remove(&id)?;
        self.seats.try_remove(seat)
    }

    #[inline]
    fn seat(&self, id: ClientId) -> Option<usize> {
        let last = self.last.get();
        // Ids are never used again, so whoever has this id is the one that is meant.
        if self.seats.get(last).is_some_and(|client| client.id == id) {
            return Some(last);
        }
        let seat = *self.by_id.get(&id)?;
        self.last.set(seat);
        Some(seat)
    }

    /// Where a client sits; it stays there.
    pub(super) fn seat_of(&self, id: ClientId) -> Option<usize> {
        self.seat(id)
    }

    /// Looks at this seat first from now on.
    #[inline]
    pub(super) fn turn_to(&self, seat: usize) {
        self.last.set(seat);
    }

    #[inline]
    pub(super) fn get(&self, id: ClientId) -> Option<&Client> {
        self.seats.get(self.seat(id)?).map(AsRef::as_ref)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        let seat = self.seat(id)?;
        self.seats.get_mut(seat).map(AsMut::as_mut)
    }

    /// Whether a client has this id.
    pub(super) fn contains(&self, id: ClientId) -> bool {
        self.seat(id).is_some()
    }

    /// All clients in the order of their ids.
    pub(super) fn values(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values().filter_map(|seat| self.seats.get(*seat)).map(AsRef::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_taken_again_does_not_answer_for_who_sat_there_before() {
        let mut roster = Roster::default();
        let enter = |roster: &mut Roster, id| {
            let mut client = Client::new(String::new(), String::new(), 0);
            client.id = ClientId(id);
            roster.insert(Box::new(client));
        };
        enter(&mut roster, 1);
        enter(&mut roster, 2);
        assert_eq!(roster.get(ClientId(1)).map(|client| client.id), Some(ClientId(1)));
        assert!(roster.remove(ClientId(1)).is_some());
        assert!(roster.get(ClientId(1)).is_none());
        enter(&mut roster, 3);
        assert!(roster.get(ClientId(1)).is_none());
        assert_eq!(roster.get_mut(ClientId(3)).map(|client| client.id), Some(ClientId(3)));
        // Somebody else's seat, and none: a hint and no more.
        for wrong in [1, 9] {
            roster.turn_to(wrong);
            assert_eq!(roster.get(ClientId(3)).map(|client| client.id), Some(ClientId(3)));
        }
        let ids: Vec<u64> = roster.values().map(|client| client.id.0).collect();
        assert_eq!((ids, roster.len()), (vec![2, 3], 2));
    }
}
