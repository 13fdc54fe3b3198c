//! The large form of a sorted set: a table by member and a tree by order, over shared blocks.
//!
//! Each member is one block (member and score, counted references) held by both. The tree's nodes
//! are shared by clones, and blocks never change once they are in: a new score is a new block. So a
//! clone of the tree is a snapshot of the whole set.

use std::ops::Range;

use super::tree::{Item, Tree};
use crate::types::hash64::hash64;
use crate::types::table::{Slot, Table};
use crate::types::thin::ThinScored;

impl Item for ThinScored {
    #[inline]
    fn bring_near(&self) {
        Slot::bring_near(self);
    }

    #[inline]
    fn score(&self) -> f64 {
        Self::score(self)
    }

    #[inline]
    fn member(&self) -> &[u8] {
        Self::member(self)
    }
}

#[derive(Clone, Default)]
pub(super) struct Full {
    pub(super) table: Table<ThinScored>,
    pub(super) tree: Tree<ThinScored>,
    /// Bytes of all blocks.
    block_bytes: usize,
}

impl Full {
    /// An empty set laid out for `expected` members.
    pub(super) fn with_expected(expected: usize) -> Self {
        let mut full = Self::default();
        full.table.reserve(expected);
        full
    }

    /// The set of these members, which are in order; `None` if one occurs twice.
    pub(super) fn from_sorted(items: Vec<ThinScored>) -> Option<Self> {
        let mut full = Self::with_expected(items.len());
        for item in &items {
            let hash = hash64(item.member());
            if full.table.find(hash, item.member()).is_some() {
                return None;
            }
            full.block_bytes += item.memory_bytes();
            full.table.insert_new(hash, item.clone());
        }
        full.tree = Tree::from_sorted(items);
        Some(full)
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.table.find(hash64(member), member).map(ThinScored::score)
    }

    /// Sets the score that `decide` makes of the old one. The old and the new one.
    pub(super) fn upsert(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        let hash = hash64(member);
        let Some(slot) = self.table.find_mut(hash, member) else {
            let score = decide(None);
            if let Some(score) = score {
                let entry = ThinScored::new(score, member);
                self.block_bytes += entry.memory_bytes();
                self.tree.insert(entry.clone());
                self.table.insert_new(hash, entry);
            }
            return (None, score);
        };
        let old = slot.score();
        let new = decide(Some(old));
        if let Some(score) = new
            && score != old
        {
            let entry = ThinScored::new(score, member);
            self.tree.exchange(old, member, entry.clone());
            *slot = entry;
        }
        (Some(old), new)
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let entry = self.table.remove(hash64(member), member)?;
        self.tree.remove(entry.score(), member);
        self.block_bytes -= entry.memory_bytes();
        Some(entry.score())
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.tree.rank(score, member), score))
    }

    pub(super) fn remove_ranks(
        &mut self,
        ranks: Range<usize>,
        sink: &mut dyn FnMut(&[u8], f64),
    ) -> usize {
        let (table, block_bytes) = (&mut self.table, &mut self.block_bytes);
        self.tree.remove_ranks(ranks, &mut |entry| {
            table.remove(hash64(entry.member()), entry.member());
            *block_bytes -= entry.memory_bytes();
            sink(entry.member(), entry.score());
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.block_bytes + self.table.memory_bytes() + self.tree.memory_bytes()
    }
}
