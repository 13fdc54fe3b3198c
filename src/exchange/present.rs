//! What a place has already of a state that is to come there.

use std::collections::HashSet;

use super::source::identity;
use super::sum::Sum;
use super::{Item, Sink};
use crate::backup::load::LoadedState;
use crate::clock::UnixMillis;
use crate::snapshot::Attributes;

/// Compares what passes with a state.
#[derive(Debug)]
pub struct Present<'s> {
    state: &'s LoadedState,
    /// The keys that the state has, too, with the same value and times.
    same: HashSet<u128>,
    /// How many it does not have, or has otherwise.
    pub others: u64,
    /// The first of them.
    pub first_other: Option<String>,
}

impl<'s> Present<'s> {
    /// Nothing has passed yet.
    pub fn of(state: &'s LoadedState) -> Self {
        Self { state, same: HashSet::new(), others: 0, first_other: None }
    }

    /// Whether this key passed and is the same.
    pub fn has(&self, db: usize, key: &[u8]) -> bool {
        !self.same.is_empty() && self.same.contains(&identity(number(db), key))
    }

    /// Keys that passed and are the same.
    pub fn len(&self) -> u64 {
        self.same.len() as u64
    }

    /// Whether no key is the same.
    pub fn is_empty(&self) -> bool {
        self.same.is_empty()
    }

    /// Keys of the state that did not pass, or not the same, and whose time is not over at `now`; and the first of them.
    pub fn missing(&self, now: UnixMillis) -> (u64, Option<String>) {
        let lives = |at: Option<UnixMillis>| at.is_none_or(|at| at > now);
        let all = self.state.entries();
        let mut missing =
            all.filter(|(db, entry)| lives(entry.expire_at()) && !self.has(*db, entry.key()));
        let first = missing.next().map(|(db, entry)| super::shown(number(db), entry.key()));
        (missing.count() as u64 + u64::from(first.is_some()), first)
    }
}

fn number(db: usize) -> u32 {
    u32::try_from(db).unwrap_or(u32::MAX)
}

impl Sink for Present<'_> {
    fn function(&mut self, _source: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        let sum = |entry| {
            let mut sum = Sum::default();
            let attributes = Attributes::default();
            sum.key(&Item { db: item.db, entry, attributes }).map(|()| sum)
        };
        let db = usize::try_from(item.db).unwrap_or(usize::MAX);
        let same = match self.state.entry(db, item.entry.key()) {
            Some(own) => sum(own)?.same(&sum(item.entry)?),
            None => false,
        };
        if same {
            self.same.insert(identity(item.db, item.entry.key()));
        } else {
            self.others += 1;
            self.first_other.get_or_insert_with(|| item.name());
        }
        Ok(())
    }
}
