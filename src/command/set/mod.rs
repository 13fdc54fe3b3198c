//! Set commands on single members and whole sets; `random` chooses members, `algebra` combines sets,
//! `cardinality` counts what such a combination has.
//!
//! A set that becomes empty is removed in the same command, with a "del" event behind its own.

mod algebra;
mod cardinality;
mod random;

use super::scan_args::{ScanOptions, ScanReply, Scanned, parse_cursor, reply_empty};
use super::store::{bulk, remove_if_void};
use super::{
    Access, Args, Command, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec, Propagate, doc,
};
pub(in crate::command) use algebra::parse_limit;
pub(in crate::command) use random::{ends_here, positive, repeats_end, signed};

use crate::keyspace::event;
use crate::types::Set;

pub const COMMANDS: &[Command] = &[
    SADD,
    SCARD,
    algebra::SDIFF,
    cardinality::SDIFFCARD,
    algebra::SDIFFSTORE,
    algebra::SINTER,
    cardinality::SINTERCARD,
    algebra::SINTERSTORE,
    SISMEMBER,
    SMEMBERS,
    SMISMEMBER,
    SMOVE,
    random::SPOP,
    random::SRANDMEMBER,
    SREM,
    SSCAN,
    algebra::SUNION,
    cardinality::SUNIONCARD,
    algebra::SUNIONSTORE,
];

pub const SADD: Command = Command {
    name: "SADD",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["insert"])],
    args: "key member ...",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "1.0.0",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        summary: "Puts members into a set, which is created if it is not there.",
        history: &[("2.4.0", "Accepts multiple `member` arguments.")],
        deprecated: None,
    },
    handler: Handler::Plain(sadd),
    ..Command::BASE
};

fn sadd(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, members) = (args.at(1), args.tail(2));
    let limits = &ctx.server.limits;
    let set = ctx.ks.write_or_create(ctx.db, key, || {
        Set::with_expected(members.at(0), members.len(), limits)
    })?;
    set.expect(members.len(), limits);
    let added = members.iter().filter(|member| set.insert(member, limits)).count();
    if added > 0 {
        ctx.changed_by(key, added, event::SET, "sadd");
    }
    ctx.reply.count(added);
    Ok(())
}

pub const SREM: Command = Command {
    name: "SREM",
    arity: -3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key member ...",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "1.0.0",
        complexity: "O(N) where N is the number of members to be removed.",
        summary: "Takes members out of a set. The set goes with its last member.",
        history: &[("2.4.0", "Accepts multiple `member` arguments.")],
        deprecated: None,
    },
    handler: Handler::Plain(srem),
    ..Command::BASE
};

fn srem(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let removed = match ctx.ks.write::<Set>(ctx.db, key)? {
        None => 0,
        Some(set) => args.tail(2).iter().filter(|member| set.remove(member)).count(),
    };
    if removed > 0 {
        ctx.changed_by(key, removed, event::SET, "srem");
        remove_if_void::<Set>(ctx, key);
    }
    ctx.reply.count(removed);
    Ok(())
}

pub const SMOVE: Command = Command {
    name: "SMOVE",
    arity: 4,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Set,
    keys: &[
        KeySpec::at(1, Access::ReadWrite, &["access", "delete"]),
        KeySpec::at(2, Access::ReadWrite, &["insert"]),
    ],
    args: "source:key destination:key member",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Moves a member from one set to another."),
    handler: Handler::Plain(smove),
    ..Command::BASE
};

fn smove(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (source, destination, member) = (args.at(1), args.at(2), args.at(3));
    let there = match ctx.ks.write::<Set>(ctx.db, source)? {
        None => {
            ctx.reply.flag(false);
            return Ok(());
        }
        Some(set) => set.contains(member),
    };
    ctx.ks.write::<Set>(ctx.db, destination)?;
    ctx.reply.flag(there);
    if !there || source == destination {
        return Ok(());
    }
    if let Some(set) = ctx.ks.write::<Set>(ctx.db, source)? {
        set.remove(member);
    }
    ctx.changed(source, event::SET, "srem");
    remove_if_void::<Set>(ctx, source);
    let limits = &ctx.server.limits;
    let new = || Set::with_expected(member, 1, limits);
    if ctx.ks.write_or_create(ctx.db, destination, new)?.insert(member, limits) {
        ctx.changed(destination, event::SET, "sadd");
    }
    Ok(())
}

pub const SCARD: Command = Command {
    name: "SCARD",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("1.0.0", "O(1)", "Counts the members of a set."),
    handler: Handler::Plain(scard),
    ..Command::BASE
};

fn scard(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let len = ctx.ks.read::<Set>(ctx.db, args.at(1))?.map_or(0, Set::len);
    ctx.reply.count(len);
    Ok(())
}

pub const SISMEMBER: Command = Command {
    name: "SISMEMBER",
    arity: 3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key member",
    doc: doc("1.0.0", "O(1)", "Tells whether a set has a member."),
    handler: Handler::Plain(sismember),
    ..Command::BASE
};

fn sismember(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let set = ctx.ks.read::<Set>(ctx.db, args.at(1))?;
    ctx.reply.flag(set.is_some_and(|set| set.contains(args.at(2))));
    Ok(())
}

pub const SMISMEMBER: Command = Command {
    name: "SMISMEMBER",
    arity: -3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member ...",
    doc: doc(
        "6.2.0",
        "O(N) where N is the number of elements being checked for membership",
        "Tells of several members whether a set has them.",
    ),
    handler: Handler::Plain(smismember),
    ..Command::BASE
};

fn smismember(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let set = ctx.ks.read::<Set>(ctx.db, args.at(1))?;
    let members = args.tail(2);
    ctx.reply.array(members.len());
    for member in members.iter() {
        ctx.reply.flag(set.is_some_and(|set| set.contains(member)));
    }
    Ok(())
}

pub const SMEMBERS: Command = Command {
    name: "SMEMBERS",
    arity: 2,
    flags: Flags::READONLY,
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key",
    doc: doc("1.0.0", "O(N) where N is the set cardinality.", "Returns all members of a set."),
    tips: &["nondeterministic_output_order"],
    handler: Handler::Plain(smembers),
    ..Command::BASE
};

fn smembers(ctx: &mut Ctx, args: &Args) -> CommandResult {
    match ctx.ks.read::<Set>(ctx.db, args.at(1))? {
        None => ctx.reply.set(0),
        Some(set) => {
            ctx.reply.set(set.len());
            set.iter().for_each(|member| bulk(ctx.reply, member));
        }
    }
    Ok(())
}

pub const SSCAN: Command = Command {
    name: "SSCAN",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
    doc: doc(
        "2.8.0",
        "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        "Walks over the members of a set in steps.",
    ),
    tips: &["nondeterministic_output"],
    handler: Handler::Plain(sscan),
    ..Command::BASE
};

fn sscan(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let cursor = parse_cursor(args.at(2))?;
    let Some(set) = ctx.ks.read::<Set>(ctx.db, args.at(1))? else {
        reply_empty(ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(args, 3, Scanned::Members)?;
    let mut scan = ScanReply::begin(ctx.reply);
    let next = set.scan(cursor, options.count, |member| {
        member.with_bytes(|member| {
            if options.matches(member) {
                scan.push(ctx.reply, member);
            }
        });
    });
    scan.end(ctx.reply, next);
    Ok(())
}
