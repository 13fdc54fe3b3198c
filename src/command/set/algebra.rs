//! Intersections, unions and differences of sets.
//!
//! Every key is looked up first, so that a wrong type fails before anything is written; then all
//! sets are read side by side. Intersections and differences are written while they are found;
//! a union is gathered first, because a member may come more than once.

use super::{
    Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, Propagate, doc,
};
use crate::command::CommandError;
use crate::command::store::{bulk, store};
use crate::keyspace::{Keyspace, Typed, WrongType, event};
use crate::number::parse_i64;
use crate::resp::Reply;
use crate::types::Set;
use crate::types::limits::Limits;
use crate::types::listpack::Element;

pub(super) const SINTER: Command = Command {
    name: "SINTER",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Set,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &["access"])],
    args: "key ...",
    doc: doc(
        "1.0.0",
        "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        "Returns the members that all sets have.",
    ),
    tips: &["nondeterministic_output_order"],
    handler: Handler::Plain(sinter),
    ..Command::BASE
};

fn sinter(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let sets = operands(ctx.ks, ctx.db, &args.tail(1))?;
    stream(ctx.reply, |f| {
        intersection(&sets, &mut |member| {
            f(member);
            true
        })
    });
    Ok(())
}

pub(super) const SINTERSTORE: Command = Command {
    name: "SINTERSTORE",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Set,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::range(2, -1, 1, Access::Read, &["access"]),
    ],
    args: "destination:key key ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        "Stores the members that all sets have.",
    ),
    handler: Handler::Plain(sinterstore),
    ..Command::BASE
};

fn sinterstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let limits = &ctx.server.limits;
    let sets = operands(ctx.ks, ctx.db, &args.tail(2))?;
    // The smallest set decides about the form to begin with.
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let from_ints = smallest.is_some_and(|set| set.as_intset().is_some());
    let mut result = if from_ints { Set::new() } else { Set::new_packed() };
    intersection(&sets, &mut |member| {
        insert(&mut result, member, limits);
        true
    });
    result.pack_ints(limits);
    finish(ctx, args.at(1), result, "sinterstore");
    Ok(())
}

pub(super) const SUNION: Command = Command {
    name: "SUNION",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Set,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &["access"])],
    args: "key ...",
    doc: doc(
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets.",
        "Returns the members that any of the sets has.",
    ),
    tips: &["nondeterministic_output_order"],
    handler: Handler::Plain(sunion),
    ..Command::BASE
};

fn sunion(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let sets = operands(ctx.ks, ctx.db, &args.tail(1))?;
    let result = union(&sets, &ctx.server.limits);
    ctx.reply.set(result.len());
    result.iter().for_each(|member| bulk(ctx.reply, member));
    Ok(())
}

pub(super) const SUNIONSTORE: Command = Command {
    name: "SUNIONSTORE",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Set,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::range(2, -1, 1, Access::Read, &["access"]),
    ],
    args: "destination:key key ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets.",
        "Stores the members that any of the sets has.",
    ),
    handler: Handler::Plain(sunionstore),
    ..Command::BASE
};

fn sunionstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let sets = operands(ctx.ks, ctx.db, &args.tail(2))?;
    let result = union(&sets, &ctx.server.limits);
    finish(ctx, args.at(1), result, "sunionstore");
    Ok(())
}

pub(super) const SDIFF: Command = Command {
    name: "SDIFF",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Set,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &["access"])],
    args: "key ...",
    doc: doc(
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets.",
        "Returns the members of the first set that are in none of the others.",
    ),
    tips: &["nondeterministic_output_order"],
    handler: Handler::Plain(sdiff),
    ..Command::BASE
};

fn sdiff(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let sets = operands(ctx.ks, ctx.db, &args.tail(1))?;
    stream(ctx.reply, |f| {
        difference(&sets, &mut |member| {
            f(member);
            true
        })
    });
    Ok(())
}

pub(super) const SDIFFSTORE: Command = Command {
    name: "SDIFFSTORE",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Set,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::range(2, -1, 1, Access::Read, &["access"]),
    ],
    args: "destination:key key ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets.",
        "Stores the members of the first set that are in none of the others.",
    ),
    handler: Handler::Plain(sdiffstore),
    ..Command::BASE
};

fn sdiffstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let limits = &ctx.server.limits;
    let sets = operands(ctx.ks, ctx.db, &args.tail(2))?;
    let mut result = Set::new();
    difference(&sets, &mut |member| {
        insert(&mut result, member, limits);
        true
    });
    finish(ctx, args.at(1), result, "sdiffstore");
    Ok(())
}

/// The number behind LIMIT; 0 is no limit.
pub(in crate::command) fn parse_limit(text: &[u8]) -> Result<usize, CommandError> {
    let limit = parse_i64(text).and_then(|limit| usize::try_from(limit).ok());
    limit.ok_or(CommandError::text("ERR LIMIT can't be negative"))
}

/// The sets at these keys, side by side.
pub(super) fn operands<'a>(
    ks: &'a mut Keyspace,
    db: usize,
    keys: &Args,
) -> Result<Vec<Option<&'a Set>>, WrongType> {
    for key in keys.iter() {
        ks.read::<Set>(db, key)?;
    }
    let ks: &'a Keyspace = ks;
    Ok(keys.iter().map(|key| ks.again(db, key).and_then(|entry| Set::of(entry.value()))).collect())
}

/// Writes a set whose size is known at its end.
fn stream(reply: &mut Reply, walk: impl FnOnce(&mut dyn FnMut(Element<'_>))) {
    let place = reply.defer();
    let mut count = 0;
    walk(&mut |member| {
        bulk(reply, member);
        count += 1;
    });
    reply.end_set(place, count);
}

/// Shows `f` the members that all sets have, until it returns false.
pub(super) fn intersection(sets: &[Option<&Set>], f: &mut dyn FnMut(Element<'_>) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<&Set>>>() else { return };
    // The smallest set decides how many members are looked at.
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        let common = member.with_bytes(|member| others.iter().all(|other| other.contains(member)));
        if common && !f(member) {
            return;
        }
    }
}

/// Shows `f` the members of the first set that no other has, until it returns false.
pub(super) fn difference(sets: &[Option<&Set>], f: &mut dyn FnMut(Element<'_>) -> bool) {
    let Some((&Some(first), others)) = sets.split_first() else { return };
    let mut others: Vec<&Set> = others.iter().copied().flatten().collect();
    // A large set is the likeliest to have the member, which ends the search.
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    for member in first.iter() {
        let elsewhere =
            member.with_bytes(|member| others.iter().any(|other| other.contains(member)));
        if !elsewhere && !f(member) {
            return;
        }
    }
}

fn union(sets: &[Option<&Set>], limits: &Limits) -> Set {
    let mut result = Set::new();
    let mut sets: Vec<&Set> = sets.iter().copied().flatten().collect();
    // The largest first: what it has makes the others' insertions cheap, and its size the table.
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    // Within the small forms the members decide, one after the other, which form it is.
    let small = limits.set_max_intset_entries.max(limits.set_max_listpack_entries);
    if let Some(largest) = sets.first().filter(|largest| largest.len() > small) {
        result.expect(largest.len(), limits);
    }
    for member in sets.iter().flat_map(|set| set.iter()) {
        insert(&mut result, member, limits);
    }
    result
}

pub(super) fn insert(set: &mut Set, member: Element<'_>, limits: &Limits) -> bool {
    member.with_bytes(|member| set.insert(member, limits))
}

fn finish(ctx: &mut Ctx, key: &[u8], result: Set, name: &'static str) {
    let len = result.len();
    store(ctx, key, result, event::SET, name);
    ctx.reply.count(len);
}
