//! Several keys at once: MGET, MSET, MSETNX, MSETEX.

use super::super::keyspec::{Begin, Find};
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::options::{Condition, Expiry, SetOptions};
use super::{set, value};
use crate::keyspace::{Kind, event};
use crate::number;

pub(super) const MGET: Command = Command {
    name: "MGET",
    arity: -2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &["access"])],
    args: "key:key ...",
    tips: &["request_policy:multi_shard"],
    doc: doc(
        "1.0.0",
        "O(N) where N is the number of keys to retrieve.",
        "Returns the string values of one or more keys.",
    ),
    handler: Handler::Plain(mget),
    ..Command::BASE
};

fn mget(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.reply.array(args.len() - 1);
    for key in args.iter().skip(1) {
        let entry = ctx.ks.lookup(ctx.db, key).filter(|entry| entry.kind() == Kind::String);
        value::reply_entry(ctx.reply, entry);
    }
    Ok(())
}

const PAIRS: &[KeySpec] = &[KeySpec::range(1, -1, 2, Access::Overwrite, &["update"])];

pub(super) const MSET: Command = Command {
    name: "MSET",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: PAIRS,
    args: "(key value) ...",
    propagate: Propagate::AsSent,
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    doc: doc(
        "1.0.1",
        "O(N) where N is the number of keys to set.",
        "Sets the string values of one or more keys.",
    ),
    handler: Handler::Plain(mset),
    ..Command::BASE
};

fn mset(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity("mset".into()));
    }
    set_pairs(ctx, args);
    ctx.reply.ok();
    Ok(())
}

pub(super) const MSETNX: Command = Command {
    name: "MSETNX",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: &[KeySpec::range(1, -1, 2, Access::Overwrite, &["insert"])],
    args: "(key value) ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.1",
        "O(N) where N is the number of keys to set.",
        "Sets the string values of one or more keys if none of them is there.",
    ),
    handler: Handler::Plain(msetnx),
    ..Command::BASE
};

fn msetnx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity("msetnx".into()));
    }
    let none = !args.iter().skip(1).step_by(2).any(|key| ctx.ks.contains(ctx.db, key));
    if none {
        set_pairs(ctx, args);
    }
    ctx.reply.flag(none);
    Ok(())
}

fn set_pairs(ctx: &mut Ctx, args: &Args) {
    for at in (1..args.len()).step_by(2) {
        ctx.ks.set_string(ctx.db, args.at(at), args.at(at + 1), None);
        ctx.changed(args.at(at), event::STRING, "set");
    }
}

pub(super) const MSETEX: Command = Command {
    name: "MSETEX",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::String,
    keys: &[KeySpec {
        begin: Begin::Index(1),
        find: Find::Count { count_at: 0, first: 1, step: 2 },
        access: Access::Overwrite,
        notes: &["update"],
    }],
    args: "numkeys:integer (key value) ... [NX|XX] [EX seconds:integer|PX milliseconds:integer|EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|KEEPTTL]",
    propagate: Propagate::Effect,
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    doc: doc(
        "8.4.0",
        "O(N) where N is the number of keys to set.",
        "Sets the string values of one or more keys, with one expiration time for all of them.",
    ),
    handler: Handler::Plain(msetex),
    ..Command::BASE
};

fn msetex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let keys = number::parse_i64(args.at(1)).and_then(|keys| usize::try_from(keys).ok());
    let in_range = |keys: &usize| (1..=i32::MAX as usize / 2).contains(keys);
    let Some(keys) = keys.filter(in_range) else {
        return Err(CommandError::text("ERR invalid numkeys value or out of range"));
    };
    let end = 2 + 2 * keys;
    if end > args.len() {
        return Err(CommandError::Syntax);
    }
    let options = SetOptions::parse(args, end, false)?;
    let expire = set::resolve(&options, ctx)?;
    let pairs = (2..end).step_by(2);
    let holds = pairs.clone().all(|at| match options.condition {
        Condition::Absent => !ctx.ks.contains(ctx.db, args.at(at)),
        Condition::Present => ctx.ks.contains(ctx.db, args.at(at)),
        _ => true,
    });
    if holds {
        for at in pairs {
            let keeps = options.expiry == Expiry::Keep;
            set::store(ctx, args.at(at), args.at(at + 1), keeps, expire);
        }
    }
    ctx.reply.flag(holds);
    Ok(())
}
