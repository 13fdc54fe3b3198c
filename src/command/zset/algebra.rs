//! Unions, intersections and differences of sorted sets (and plain sets).
//!
//! The inputs are combined from the smallest to the largest, as Redis does: sums of floating point
//! numbers depend on the order, and a log must replay to the same scores.

use std::cell::Cell;
use std::collections::HashMap;

use super::algebra_args::{Combination, Operation, Target, zero_if_nan};
use super::source::{Source, sources};
use super::zeros::{is_signed, restate_stored, restated};
use super::{
    Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, Propagate, Shape,
    doc,
};
use crate::command::store::store;
use crate::keyspace::event;
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
    let result = combine(ctx, &request);
    let shape = if request.with_scores { Shape::Scores } else { Shape::Members };
    shape.begin(ctx.reply, result.len());
    result.iter().for_each(|(member, score)| shape.push(ctx.reply, member, score));
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
    let mut result = combine(ctx, &request);
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
    let inputs = inputs(ctx, &request);
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

fn inputs<'a>(ctx: &'a Ctx, request: &Combination) -> Vec<Input<'a>> {
    let sources = sources(ctx.ks, ctx.db, &request.keys).into_iter().enumerate();
    let mut inputs: Vec<_> =
        sources.map(|(index, source)| (source, request.weight(index))).collect();
    if request.operation != Operation::Difference {
        inputs.sort_by_key(|(source, _)| source.len());
    }
    inputs
}

/// The combination in the large form, whatever its size: the small one has no negative zero, and a
/// reply shows it.
fn combine(ctx: &Ctx, request: &Combination) -> ZSet {
    let limits = &Limits { zset_max_listpack_entries: 0, ..ctx.limits().clone() };
    let inputs = inputs(ctx, request);
    match request.operation {
        Operation::Union => union(&inputs, request, limits),
        Operation::Intersection => {
            let mut result = ZSet::with_expected(1, 0, limits);
            intersection(&inputs, request, &mut |member, score| {
                member.with_bytes(|member| result.insert(member, score, limits));
                true
            });
            result
        }
        Operation::Difference => difference(&inputs, limits),
    }
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

/// Of so many inputs on, scores are summed apart from their order: each input may move every member.
const SUMMED_APART: usize = 3;

fn union(inputs: &[Input], request: &Combination, limits: &Limits) -> ZSet {
    if inputs.len() >= SUMMED_APART {
        return union_of_many(inputs, request, limits);
    }
    let expected = inputs.last().map_or(1, |(largest, _)| largest.len().max(1));
    let mut result = ZSet::with_expected(expected, 0, limits);
    for &(source, weight) in inputs {
        for (member, score) in source.iter() {
            let score = zero_if_nan(score * weight);
            let other_zero = Cell::new(None);
            let combined = |old: Option<f64>| {
                let new = old.map_or(score, |old| request.aggregate.apply(old, score));
                let differs = |old: f64| old == new && old.to_bits() != new.to_bits();
                other_zero.set(old.is_some_and(differs).then_some(new));
                Some(new)
            };
            member.with_bytes(|member| {
                result.upsert(member, limits, combined);
                // To a set zero is zero, and it keeps the one it has. Here the sign counts.
                if let Some(zero) = other_zero.get()
                    && result.remove(member).is_some()
                {
                    result.insert(member, zero, limits);
                }
            });
        }
    }
    result
}

fn union_of_many(inputs: &[Input], request: &Combination, limits: &Limits) -> ZSet {
    let mut scores: HashMap<Vec<u8>, f64, ahash::RandomState> = HashMap::default();
    for &(source, weight) in inputs {
        for (member, score) in source.iter() {
            let score = zero_if_nan(score * weight);
            member.with_bytes(|member| match scores.get_mut(member) {
                Some(sum) => *sum = request.aggregate.apply(*sum, score),
                None => {
                    scores.insert(member.to_vec(), score);
                }
            });
        }
    }
    let mut result = ZSet::with_expected(scores.len().max(1), 0, limits);
    for (member, score) in scores {
        result.insert(&member, score, limits);
    }
    result
}

/// Shows `f` the members that all inputs have, with their combined scores, until it returns false.
fn intersection(
    inputs: &[Input],
    request: &Combination,
    f: &mut dyn FnMut(Element<'_>, f64) -> bool,
) {
    let Some((&(smallest, weight), others)) = inputs.split_first() else { return };
    for (member, score) in smallest.iter() {
        let first = zero_if_nan(score * weight);
        let combined = member.with_bytes(|member| {
            others.iter().try_fold(first, |sum, (other, weight)| {
                let score = zero_if_nan(other.score(member)? * weight);
                Some(request.aggregate.apply(sum, score))
            })
        });
        if let Some(score) = combined
            && !f(member, score)
        {
            return;
        }
    }
}

fn difference(inputs: &[Input], limits: &Limits) -> ZSet {
    let mut result = ZSet::with_expected(1, 0, limits);
    let Some(((first, _), others)) = inputs.split_first() else { return result };
    if others.iter().any(|(other, _)| first.is_same(*other)) {
        return result;
    }
    for (member, score) in first.iter() {
        member.with_bytes(|member| {
            if !others.iter().any(|(other, _)| other.score(member).is_some()) {
                result.insert(member, score, limits);
            }
        });
    }
    result
}
