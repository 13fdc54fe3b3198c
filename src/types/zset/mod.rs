//! Sorted sets: members with scores, in order of (score, member bytes).
//!
//! Two forms, named as Redis names them:
//! - `listpack`: member, score, member, score, ... in order (`packed.rs`), while the limits allow;
//! - `skiplist`: a table by member and a counted B+tree by order (`full.rs`, `tree.rs`).
//!
//! A set goes from the first to the second and never back. Scores are never NaN (callers check), and
//! -0.0 equals 0.0. Every kind of range is a range of ranks first: `ranks_by_score` and
//! `ranks_by_lex` cost O(log n), after which counting, LIMIT and reversing are arithmetic. Members
//! come out as `Element`, borrowed, so that a reply is written without a copy.
//!
//! Invariant: no member twice. Nothing here fails, except that `from_listpack` and `from_pairs` refuse
//! what is no sorted set.

mod bounds;
mod chunk;
mod full;
mod iter;
mod node;
mod packed;
mod tree;

use std::ops::Range;

pub use bounds::{LexBound, ScoreBound};
use full::Full;
pub use iter::{Direction, Iter};
pub use tree::{Item, Items, Tree};

use crate::rng::Rng;
use crate::types::limits::Limits;
use crate::types::listpack::{Element, IntText, Listpack};
use crate::types::sample;
use crate::types::table::Table;
use crate::types::thin::ThinScored;

/// Members with scores, in order.
#[derive(Clone)]
pub struct ZSet {
    form: Form,
}

#[derive(Clone)]
enum Form {
    Packed(Listpack),
    Full(Box<Full>),
}

/// What an insert or update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The member is new.
    Added,
    /// The member has another score now.
    Updated,
    /// The member has the score it had.
    Same,
    /// The decision was to leave things as they are.
    Skipped,
}

/// What was given is no sorted set: an odd number of elements, a score that is no number, or a
/// member that occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAZSet;

impl Default for ZSet {
    fn default() -> Self {
        Self::new()
    }
}

impl ZSet {
    /// An empty set in its small form.
    pub fn new() -> Self {
        Self { form: Form::Packed(Listpack::new()) }
    }

    /// An empty set for about `expected` members, the first of `member_bytes`: in the form that suits
    /// them. The expectation only reserves memory, so bound it by something checked.
    pub fn with_expected(expected: usize, member_bytes: usize, limits: &Limits) -> Self {
        if expected <= limits.zset_max_listpack_entries
            && member_bytes <= limits.zset_max_listpack_value
        {
            return Self::new();
        }
        Self { form: Form::Full(Box::new(Full::with_expected(expected))) }
    }

    /// Has a small set on its way; what a table holds is elsewhere.
    #[inline]
    pub fn bring_near(&self) {
        if let Form::Packed(list) = &self.form {
            list.bring_near();
        }
    }

    /// The members of a large set, by their bytes.
    #[inline]
    pub fn as_table(&self) -> Option<&Table<ThinScored>> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Full(full) => Some(&full.table),
        }
    }

    /// The set of these pairs, in any order.
    pub fn from_pairs<B: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (B, f64)>,
        limits: &Limits,
    ) -> Result<Self, NotAZSet> {
        let mut set = Self::new();
        for (member, score) in pairs {
            if score.is_nan() || set.insert(member.as_ref(), score, limits) != Change::Added {
                return Err(NotAZSet);
            }
        }
        Ok(set)
    }

    /// The set of these members, in any order, none with a score that is no number: built from the
    /// order at once, which is what a large set in a file gets. Files have the highest score first.
    /// A negative zero stays one, which the small form would make 0: the set answers as it did before.
    pub fn from_items(mut items: Vec<ThinScored>, limits: &Limits) -> Result<Self, NotAZSet> {
        let negative_zero =
            |item: &ThinScored| item.score() == 0.0 && item.score().is_sign_negative();
        if items.len() <= limits.zset_max_listpack_entries && !items.iter().any(negative_zero) {
            let pairs = items.iter().map(|item| (item.member(), item.score()));
            return Self::from_pairs(pairs, limits);
        }
        items.reverse();
        if !items.is_sorted_by(|one, two| one.order(two).is_lt()) {
            items.sort_unstable_by(ThinScored::order);
        }
        let full = Full::from_sorted(items).ok_or(NotAZSet)?;
        Ok(Self { form: Form::Full(Box::new(full)) })
    }

    /// The set that a (validated) listpack of a file holds. Stays as it is where it is in order and
    /// within the limits.
    pub fn from_listpack(list: Listpack, limits: &Limits) -> Result<Self, NotAZSet> {
        let view = list.view();
        // As in Redis, long members may stay: the limit is for those that are added.
        let fits = view.len() / 2 <= limits.zset_max_listpack_entries;
        if fits && packed::is_sound(view) {
            return Ok(Self { form: Form::Packed(list) });
        }
        let mut elements = view.iter();
        let mut set = Self::with_expected(view.len() / 2, 0, limits);
        while let Some(member) = elements.next() {
            let score = elements.next().and_then(packed::score_of).ok_or(NotAZSet)?;
            let change = member.with_bytes(|member| set.insert(member, score, limits));
            if score.is_nan() || change != Change::Added {
                return Err(NotAZSet);
            }
        }
        Ok(set)
    }

    /// Goes over to the large form at once if `additional` members are beyond the small one.
    pub fn expect(&mut self, additional: usize, limits: &Limits) {
        if additional > limits.zset_max_listpack_entries {
            self.unpack(additional);
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(list) => list.len() / 2,
            Form::Full(full) => full.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the form, as OBJECT ENCODING gives it.
    pub fn encoding_name(&self) -> &'static str {
        match &self.form {
            Form::Packed(_) => "listpack",
            Form::Full(_) => "skiplist",
        }
    }

    /// The bytes of the small form, for a file; `None` in the large one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.form {
            Form::Packed(list) => Some(list),
            Form::Full(_) => None,
        }
    }

    /// The order of the large form as it is now, in O(1): it shares all nodes with the set, and
    /// later changes of the set copy what they touch. `None` in the small form.
    pub fn share(&self) -> Option<Tree<ThinScored>> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Full(full) => Some(full.tree.clone()),
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(list) => list.memory_bytes(),
            Form::Full(full) => full.memory_bytes(),
        }
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Packed(list) => packed::find(list.view(), member).map(|(_, score)| score),
            Form::Full(full) => full.score(member),
        }
    }

    /// Sets the score of a member, new or not.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Change {
        self.upsert(member, limits, |_| Some(score))
    }

    /// Sets the score that `decide` makes of the old one (`None`: the member is new), or leaves
    /// everything as it is where it returns `None`. One lookup for ZADD with any flags.
    pub fn upsert(
        &mut self,
        member: &[u8],
        limits: &Limits,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Change {
        let (old, new) = match &mut self.form {
            Form::Full(full) => full.upsert(member, decide),
            Form::Packed(list) => {
                let place = packed::find(list.view(), member);
                let old = place.map(|(_, score)| score);
                let new = decide(old);
                match (place, new) {
                    (_, None) => {}
                    (Some((cursor, old)), Some(score)) => {
                        if old != score {
                            packed::remove(list, cursor);
                            packed::insert(list, member, score, limits.keeps_zero_sign);
                        }
                    }
                    (None, Some(score)) => self.add(member, score, limits),
                }
                (old, new)
            }
        };
        debug_assert!(new.is_none_or(|score| !score.is_nan()), "a score that is no number");
        match (old, new) {
            (_, None) => Change::Skipped,
            (None, Some(_)) => Change::Added,
            (Some(old), Some(new)) if old == new => Change::Same,
            (Some(_), Some(_)) => Change::Updated,
        }
    }

    /// Takes a member out; the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.form {
            Form::Packed(list) => {
                let (cursor, score) = packed::find(list.view(), member)?;
                packed::remove(list, cursor);
                Some(score)
            }
            Form::Full(full) => full.remove(member),
        }
    }

    /// The rank of a member from the lowest score, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.form {
            Form::Packed(list) => packed::rank(list.view(), member),
            Form::Full(full) => full.rank(member),
        }
    }

    /// The rank of a member from the highest score, and its score.
    pub fn rev_rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        self.rank(member).map(|(rank, score)| (self.len() - 1 - rank, score))
    }

    /// The member of this rank, and its score.
    pub fn at(&self, rank: usize) -> Option<(Element<'_>, f64)> {
        self.range(rank..rank.saturating_add(1), Direction::Forward).next()
    }

    /// The ranks whose scores are within the bounds.
    pub fn ranks_by_score(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let (start, end) = match &self.form {
            Form::Packed(list) => (
                packed::rank_where(list.view(), |_, score| min.starts_after(score)),
                packed::rank_where(list.view(), |_, score| max.ends_at_or_after(score)),
            ),
            Form::Full(full) => (
                full.tree.rank_where(|score, _| min.starts_after(score)),
                full.tree.rank_where(|score, _| max.ends_at_or_after(score)),
            ),
        };
        start..end.max(start)
    }

    /// The ranks whose members are within the bounds; meant for sets in which all scores are equal.
    pub fn ranks_by_lex(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let (start, end) = match &self.form {
            Form::Packed(list) => {
                let rank_where = |before: &dyn Fn(&[u8]) -> bool| {
                    let mut buffer = IntText::new();
                    packed::rank_where(list.view(), |member, _| before(member.text(&mut buffer)))
                };
                (
                    rank_where(&|member| min.starts_after(member)),
                    rank_where(&|member| max.ends_at_or_after(member)),
                )
            }
            Form::Full(full) => (
                full.tree.rank_where(|_, entry| min.starts_after(entry.member())),
                full.tree.rank_where(|_, entry| max.ends_at_or_after(entry.member())),
            ),
        };
        start..end.max(start)
    }

    /// The members of these ranks with their scores; ranks past the end are left out.
    pub fn range(&self, ranks: Range<usize>, direction: Direction) -> Iter<'_> {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        match &self.form {
            Form::Packed(list) => Iter::packed(list.view(), ranks, direction),
            Form::Full(full) => Iter::full(full, ranks, direction),
        }
    }

    /// All members with their scores, from the lowest score up.
    pub fn iter(&self) -> Iter<'_> {
        self.range(0..self.len(), Direction::Forward)
    }

    /// Takes the member with the lowest score out, and shows it to `f`.
    pub fn pop_min<R>(&mut self, f: impl FnOnce(Element<'_>, f64) -> R) -> Option<R> {
        self.pop_at(0, f)
    }

    /// Takes the member with the highest score out, and shows it to `f`.
    pub fn pop_max<R>(&mut self, f: impl FnOnce(Element<'_>, f64) -> R) -> Option<R> {
        self.pop_at(self.len().checked_sub(1)?, f)
    }

    /// Takes the members of these ranks out, shows each to `sink` in order, and returns how many
    /// there were.
    pub fn remove_ranks(
        &mut self,
        ranks: Range<usize>,
        sink: &mut dyn FnMut(Element<'_>, f64),
    ) -> usize {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        match &mut self.form {
            Form::Packed(list) => packed::remove_ranks(list, ranks, sink),
            Form::Full(full) => {
                full.remove_ranks(ranks, &mut |member, score| sink(Element::Str(member), score))
            }
        }
    }

    /// A member by chance, every one equally likely, and its score.
    pub fn random(&self, rng: &mut dyn Rng) -> Option<(Element<'_>, f64)> {
        self.at(rng.index(self.len()))
    }

    /// `count` different members by chance (all, if there are no more) with their scores, every choice
    /// equally likely.
    pub fn sample<'a>(
        &'a self,
        count: usize,
        rng: &mut dyn Rng,
        mut f: impl FnMut(Element<'a>, f64),
    ) {
        match &self.form {
            Form::Packed(_) => {
                sample::select(self.iter(), self.len(), count, rng, |(member, score)| {
                    f(member, score);
                });
            }
            Form::Full(full) => {
                let tree = &full.tree;
                let draw = |rng: &mut dyn Rng| tree.select(rng.index(tree.len()));
                sample::distinct(tree.iter(), tree.len(), count, rng, draw, |entry| {
                    f(Element::Str(entry.member()), entry.score());
                });
            }
        }
    }

    /// One step of ZSCAN: shows about `count` members to `f` and returns the cursor to go on with.
    /// 0 starts a walk and, returned, ends it. The small form is shown as a whole.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(Element<'_>, f64)) -> u64 {
        match &self.form {
            Form::Packed(list) => {
                packed::pairs(list.view()).for_each(|(member, score)| f(member, score));
                0
            }
            Form::Full(full) => full
                .table
                .scan(cursor, count, |entry| f(Element::Str(entry.member()), entry.score())),
        }
    }

    fn pop_at<R>(&mut self, rank: usize, f: impl FnOnce(Element<'_>, f64) -> R) -> Option<R> {
        let (mut f, mut result) = (Some(f), None);
        self.remove_ranks(rank..rank + 1, &mut |member, score| {
            result = f.take().map(|f| f(member, score));
        });
        result
    }

    /// Adds a member that is not there to a set in its small form.
    fn add(&mut self, member: &[u8], score: f64, limits: &Limits) {
        if let Form::Packed(list) = &mut self.form {
            if list.len() / 2 < limits.zset_max_listpack_entries
                && member.len() <= limits.zset_max_listpack_value
                // A score takes up to 26 bytes.
                && list.has_room(member.len() + 64)
            {
                return packed::insert(list, member, score, limits.keeps_zero_sign);
            }
            self.unpack(1);
        }
        if let Form::Full(full) = &mut self.form {
            full.upsert(member, |_| Some(score));
        }
    }

    /// Goes over to the large form, however few members there are.
    pub fn unpack_now(&mut self) {
        self.unpack(0);
    }

    /// Goes over to the large form, laid out for `additional` members more.
    fn unpack(&mut self, additional: usize) {
        let Form::Packed(list) = &self.form else { return };
        let mut full = Full::with_expected(self.len() + additional);
        for (member, score) in packed::pairs(list.view()) {
            member.with_bytes(|member| full.upsert(member, |_| Some(score)));
        }
        self.form = Form::Full(Box::new(full));
    }

    #[cfg(test)]
    fn view(&self) -> Option<crate::types::listpack::ListpackRef<'_>> {
        self.as_listpack().map(Listpack::view)
    }
}

#[cfg(test)]
mod tests;
