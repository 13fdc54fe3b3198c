//! Unions, intersections and differences of sorted sets (and plain sets).
//!
//! The inputs are combined from the smallest to the largest, as Redis does: sums of floating point
//! numbers depend on the order, and a log must replay to the same scores.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::algebra_args::{Combination, Operation, Target, zero_if_nan};
use super::source::{Source, sources};
use super::zeros::{is_signed, restate_stored, restated};
use super::{
    Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, Propagate, Shape,
    doc,
};
use crate::command::store::store;
use crate::keyspace::{Keyspace, event};
use crate::types::ZSet;
use crate::types::limits::Limits;
use crate::types::listpack::Element;

pub(super) const ZUNION: Command = Command {
    name: "ZUNION",
    arity: -3,
    flags: Flags::READONLY.or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[KeySpec::counted(1, Access::Read, &["access"])],
    args: "numkeys:integer key ... [WEIGHTS weight:integer ...] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
    doc: doc(
        "6.2.0",
        "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        "Returns the members that any of the sorted sets has, their scores combined.",
    ),
    handler: Handler::Plain(zunion),
    ..Command::BASE
};

fn zunion(ctx: &mut Ctx, args: &Args) -> CommandResult {
    reply(ctx, args, Operation::Union)
}

pub(super) const ZINTER: Command = Command {
    name: "ZINTER",
    arity: -3,
    flags: Flags::READONLY.or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[KeySpec::counted(1, Access::Read, &["access"])],
    args: "numkeys:integer key ... [WEIGHTS weight:integer ...] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
    doc: doc(
        "6.2.0",
        "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        "Returns the members that all sorted sets have, their scores combined.",
    ),
    handler: Handler::Plain(zinter),
    ..Command::BASE
};

fn zinter(ctx: &mut Ctx, args: &Args) -> CommandResult {
    reply(ctx, args, Operation::Intersection)
}

pub(super) const ZDIFF: Command = Command {
    name: "ZDIFF",
    arity: -3,
    flags: Flags::READONLY.or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[KeySpec::counted(1, Access::Read, &["access"])],
    args: "numkeys:integer key ... [WITHSCORES]",
    doc: doc(
        "6.2.0",
        "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        "Returns the members of the first sorted set that are in none of the others.",
    ),
    handler: Handler::Plain(zdiff),
    ..Command::BASE
};

fn zdiff(ctx: &mut Ctx, args: &Args) -> CommandResult {
    reply(ctx, args, Operation::Difference)
}

fn reply(ctx: &mut Ctx, args: &Args, operation: Operation) -> CommandResult {
    let request = Combination::parse(ctx, args, 1, operation, Target::Reply)?;
    let shape = if request.with_scores { Shape::Scores } else { Shape::Members };
    let result = combine(ctx.ks, ctx.db, &request);
    shape.begin(ctx.reply, result.len());
    result.iter().for_each(|(member, score)| shape.push(ctx.reply, *member, *score));
    Ok(())
}

pub(super) const ZUNIONSTORE: Command = Command {
    name: "ZUNIONSTORE",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::counted(2, Access::Read, &["access"]),
    ],
    args: "destination:key numkeys:integer key ... [WEIGHTS weight:integer ...] [AGGREGATE <SUM | MIN | MAX>]",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.0.0",
        "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        "Stores the members that any of the sorted sets has, their scores combined.",
    ),
    handler: Handler::Plain(zunionstore),
    ..Command::BASE
};

fn zunionstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    keep(ctx, args, Operation::Union, "zunionstore")
}

pub(super) const ZINTERSTORE: Command = Command {
    name: "ZINTERSTORE",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::counted(2, Access::Read, &["access"]),
    ],
    args: "destination:key numkeys:integer key ... [WEIGHTS weight:integer ...] [AGGREGATE <SUM | MIN | MAX>]",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.0.0",
        "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        "Stores the members that all sorted sets have, their scores combined.",
    ),
    handler: Handler::Plain(zinterstore),
    ..Command::BASE
};

fn zinterstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    keep(ctx, args, Operation::Intersection, "zinterstore")
}

pub(super) const ZDIFFSTORE: Command = Command {
    name: "ZDIFFSTORE",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::counted(2, Access::Read, &["access"]),
    ],
    args: "destination:key numkeys:integer key ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "6.2.0",
        "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        "Stores the members of the first sorted set that are in none of the others.",
    ),
    handler: Handler::Plain(zdiffstore),
    ..Command::BASE
};

fn zdiffstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    keep(ctx, args, Operation::Difference, "zdiffstore")
}

fn keep(ctx: &mut Ctx, args: &Args, operation: Operation, name: &'static str) -> CommandResult {
    let request = Combination::parse(ctx, args, 2, operation, Target::Key)?;
    let mut result = large(&combine(ctx.ks, ctx.db, &request), ctx.limits());
    let len = result.len();
    let mut restatement = None;
    if len <= ctx.limits().zset_max_listpack_entries {
        let signed = result.iter().any(|(_, score)| is_signed(score));
        result = packed(result, ctx.limits());
        restatement = restated(signed, &result);
    }
    store(ctx, args.at(1), result, event::ZSET, name);
    if let Some(pairs) = restatement {
        restate_stored(ctx, args.at(1), pairs);
    }
    ctx.reply.count(len);
    Ok(())
}

pub(super) const ZINTERCARD: Command = Command {
    name: "ZINTERCARD",
    arity: -3,
    flags: Flags::READONLY.or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[KeySpec::counted(1, Access::Read, &["access"])],
    args: "numkeys:integer key ... [LIMIT limit:integer]",
    doc: doc(
        "7.0.0",
        "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
        "Counts the members that all sorted sets have.",
    ),
    handler: Handler::Plain(zintercard),
    ..Command::BASE
};

fn zintercard(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let request = Combination::parse(ctx, args, 1, Operation::Intersection, Target::Count)?;
    let inputs = inputs(ctx.ks, ctx.db, &request);
    let mut count = 0;
    intersection(&inputs, &request, &mut |_, _| {
        count += 1;
        count != request.limit
    });
    ctx.reply.count(count);
    Ok(())
}

/// An input with its weight.
type Input<'a> = (Source<'a>, f64);

fn inputs<'a>(ks: &'a Keyspace, db: usize, request: &Combination) -> Vec<Input<'a>> {
    let sources = sources(ks, db, &request.keys).into_iter().enumerate();
    let mut inputs: Vec<_> =
        sources.map(|(index, source)| (source, request.weight(index))).collect();
    if request.operation != Operation::Difference {
        inputs.sort_by_key(|(source, _)| source.len());
    }
    inputs
}

/// Members of the inputs with their combined scores.
type Pairs<'a> = Vec<(Element<'a>, f64)>;

/// The combination, in the order of a sorted set.
fn combine<'a>(ks: &'a Keyspace, db: usize, request: &Combination) -> Pairs<'a> {
    let inputs = inputs(ks, db, request);
    let mut pairs = match request.operation {
        Operation::Union => union(&inputs, request),
        Operation::Intersection => {
            let mut pairs = Vec::new();
            intersection(&inputs, request, &mut |member, score| {
                pairs.push((member, score));
                true
            });
            pairs
        }
        Operation::Difference => difference(&inputs),
    };
    // Stable, because that finds what is in order already: often all, or a few long parts.
    pairs.sort_by(|(left, low), (right, high)| {
        // Scores are never NaN, and to the order both zeros are one.
        let scores = low.partial_cmp(high).unwrap_or(std::cmp::Ordering::Equal);
        scores.then_with(|| left.with_bytes(|left| right.with_bytes(|right| left.cmp(right))))
    });
    pairs
}

/// The pairs as a set in the large form, whatever its size: the small one has no negative zero.
fn large(pairs: &Pairs<'_>, limits: &Limits) -> ZSet {
    let limits = &Limits { zset_max_listpack_entries: 0, ..limits.clone() };
    let mut set = ZSet::with_expected(pairs.len().max(1), 0, limits);
    for (member, score) in pairs {
        member.with_bytes(|member| set.insert(member, *score, limits));
    }
    set
}

/// The same set in the form that suits its size. Never in the small one first: that has no negative zero.
fn packed(set: ZSet, limits: &Limits) -> ZSet {
    let short = |member: Element<'_>| {
        member.with_bytes(|member| member.len() <= limits.zset_max_listpack_value)
    };
    let fits = set.len() <= limits.zset_max_listpack_entries
        && set.iter().all(|(member, _)| short(member));
    if !fits {
        return set;
    }
    let mut packed = ZSet::new();
    for (member, score) in set.iter() {
        member.with_bytes(|member| packed.insert(member, score, limits));
    }
    packed
}

fn union<'a>(inputs: &[Input<'a>], request: &Combination) -> Pairs<'a> {
    let expected = inputs.last().map_or(0, |(largest, _)| largest.len());
    let mut pairs = Vec::with_capacity(expected);
    let mut places: HashMap<Cow<'a, [u8]>, usize, ahash::RandomState> = HashMap::default();
    places.reserve(expected);
    for &(source, weight) in inputs {
        for (member, score) in source.iter() {
            let score = zero_if_nan(score * weight);
            match places.entry(member.to_cow()) {
                Entry::Vacant(place) => {
                    place.insert(pairs.len());
                    pairs.push((member, score));
                }
                Entry::Occupied(place) => {
                    if let Some((_, sum)) = pairs.get_mut(*place.get()) {
                        *sum = request.aggregate.apply(*sum, score);
                    }
                }
            }
        }
    }
    pairs
}

/// Shows `f` the members that all inputs have, with their combined scores, until it returns false.
fn intersection<'a>(
    inputs: &[Input<'a>],
    request: &Combination,
    f: &mut dyn FnMut(Element<'a>, f64) -> bool,
) {
    let Some((&(smallest, weight), others)) = inputs.split_first() else { return };
    for (member, score) in smallest.iter() {
        let first = zero_if_nan(score * weight);
        let combined = member.with_bytes(|member| {
            others.iter().try_fold(first, |sum, (other, weight)| {
                // Redis has the sum alone put right: infinity less zero times infinity is zero, not infinity.
                Some(request.aggregate.apply(sum, other.score(member)? * weight))
            })
        });
        if let Some(score) = combined
            && !f(member, score)
        {
            return;
        }
    }
}

fn difference<'a>(inputs: &[Input<'a>]) -> Pairs<'a> {
    let Some(((first, _), others)) = inputs.split_first() else { return Vec::new() };
    if others.iter().any(|(other, _)| first.is_same(*other)) {
        return Vec::new();
    }
    let in_none = |member: &[u8]| !others.iter().any(|(other, _)| other.score(member).is_some());
    first.iter().filter(|(member, _)| member.with_bytes(in_none)).collect()
}
