//! Walking members with their scores, over either form and in either direction.

use super::full::Full;
use super::packed;
use super::tree::Items;
use crate::types::listpack::{self, Element};
use crate::types::thin::ThinScored;

/// Which way a range is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest rank up.
    Forward,
    /// From the highest rank down.
    Reverse,
}

/// Members and scores of a range of ranks. Borrows from the set; allocates nothing.
#[derive(Clone)]
pub struct Iter<'a> {
    walk: Walk<'a>,
    direction: Direction,
}

#[derive(Clone)]
enum Walk<'a> {
    Packed { elements: listpack::Iter<'a>, left: usize },
    Full(Items<'a, ThinScored>),
}

impl<'a> Iter<'a> {
    pub(super) fn packed(
        list: listpack::ListpackRef<'a>,
        ranks: std::ops::Range<usize>,
        direction: Direction,
    ) -> Self {
        let first = match direction {
            Direction::Forward => packed::seek(list, ranks.start),
            // The score of the last pair ends the range.
            Direction::Reverse => {
                ranks.end.checked_sub(1).and_then(|last| list.next(packed::seek(list, last)?))
            }
        };
        let (elements, left) = match (first, direction) {
            (None, _) => (list.iter(), 0),
            (Some(cursor), Direction::Forward) => (list.iter_from(cursor), ranks.len()),
            (Some(cursor), Direction::Reverse) => (list.iter_to(cursor), ranks.len()),
        };
        Self { walk: Walk::Packed { elements, left }, direction }
    }

    pub(super) fn full(
        full: &'a Full,
        ranks: std::ops::Range<usize>,
        direction: Direction,
    ) -> Self {
        Self { walk: Walk::Full(full.tree.range(ranks)), direction }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match (&mut self.walk, self.direction) {
            (Walk::Packed { left: 0, .. }, _) => None,
            (Walk::Packed { elements, left }, Direction::Forward) => {
                *left -= 1;
                let member = elements.next()?;
                Some((member, packed::score_of(elements.next()?).unwrap_or(0.0)))
            }
            (Walk::Packed { elements, left }, Direction::Reverse) => {
                *left -= 1;
                let score = packed::score_of(elements.next_back()?).unwrap_or(0.0);
                Some((elements.next_back()?, score))
            }
            (Walk::Full(items), Direction::Forward) => items.next().map(pair),
            (Walk::Full(items), Direction::Reverse) => items.next_back().map(pair),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.walk {
            Walk::Packed { left, .. } => *left,
            Walk::Full(items) => items.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn pair(entry: &ThinScored) -> (Element<'_>, f64) {
    (Element::Str(entry.member()), entry.score())
}
