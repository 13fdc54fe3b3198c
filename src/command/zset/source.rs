//! What sorted sets are combined from: sorted sets, and plain sets whose members count as 1.

use crate::keyspace::{Keyspace, ValueRef, WrongType};
use crate::resp::Args;
use crate::types::listpack::Element;
use crate::types::{Set, ZSet};

/// One input of a combination.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Absent,
    Set(&'a Set),
    ZSet(&'a ZSet),
}

impl<'a> Source<'a> {
    /// How many members it has.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Set(set) => set.len(),
            Self::ZSet(set) => set.len(),
        }
    }

    /// Whether both are the same value at the same key.
    pub(super) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Set(one), Self::Set(other)) => std::ptr::eq(one, other),
            (Self::ZSet(one), Self::ZSet(other)) => std::ptr::eq(one, other),
            _ => false,
        }
    }

    /// The score of a member.
    pub(super) fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::ZSet(set) => set.score(member),
        }
    }

    /// All members with their scores.
    pub(super) fn iter(self) -> Box<dyn Iterator<Item = (Element<'a>, f64)> + 'a> {
        match self {
            Self::Absent => Box::new(std::iter::empty()),
            Self::Set(set) => Box::new(set.iter().map(|member| (member, 1.0))),
            Self::ZSet(set) => Box::new(set.iter()),
        }
    }
}

/// Looks the keys up; fails if one of them is no set of either kind.
pub(super) fn check(ks: &mut Keyspace, db: usize, keys: &Args) -> Result<(), WrongType> {
    for key in keys.iter() {
        match ks.lookup(db, key).map(crate::keyspace::Entry::value) {
            None | Some(ValueRef::Set(_) | ValueRef::ZSet(_)) => {}
            Some(_) => return Err(WrongType),
        }
    }
    Ok(())
}

/// The inputs at these keys, side by side; [`check`] came before.
pub(super) fn sources<'a>(ks: &'a Keyspace, db: usize, keys: &Args) -> Vec<Source<'a>> {
    let source = |key| match ks.again(db, key).map(crate::keyspace::Entry::value) {
        Some(ValueRef::Set(set)) => Source::Set(set),
        Some(ValueRef::ZSet(set)) => Source::ZSet(set),
        _ => Source::Absent,
    };
    keys.iter().map(source).collect()
}
