//! HGET, HMGET, HGETALL, HKEYS, HVALS, HEXISTS, HLEN, HSTRLEN: looking at a hash.

use super::{
    Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc, field_clock,
    look_at, showing, write_element, write_value,
};
use crate::types::Hash;

const ALL_COMPLEXITY: &str = "O(N) where N is the size of the hash.";

/// Commands that look at some fields.
const LOOK: Command = Command {
    arity: 3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key field",
    ..Command::BASE
};

/// Commands that return everything.
const ALL: Command = Command {
    arity: 2,
    flags: Flags::READONLY,
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key",
    tips: &["nondeterministic_output_order"],
    ..Command::BASE
};

pub(super) const HGET: Command = Command {
    name: "HGET",
    doc: doc("2.0.0", "O(1)", "Returns the value of a field of a hash."),
    handler: Handler::Plain(hget),
    ..LOOK
};

fn hget(ctx: &mut Ctx, args: &Args) -> CommandResult {
    look_at(ctx, args.at(1), args.iter().skip(2));
    let hidden = ctx.ks.fields_hidden_before();
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    let hash = showing(hash, args.at(2), hidden);
    write_value(ctx.reply, hash.and_then(|hash| hash.get(args.at(2))));
    Ok(())
}

pub(super) const HMGET: Command = Command {
    name: "HMGET",
    arity: -3,
    args: "key field ...",
    doc: doc(
        "2.0.0",
        "O(N) where N is the number of fields being requested.",
        "Returns the values of several fields of a hash.",
    ),
    handler: Handler::Plain(hmget),
    ..LOOK
};

fn hmget(ctx: &mut Ctx, args: &Args) -> CommandResult {
    look_at(ctx, args.at(1), args.iter().skip(2));
    let hidden = ctx.ks.fields_hidden_before();
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    ctx.reply.array(args.len() - 2);
    for field in args.iter().skip(2) {
        let hash = showing(hash, field, hidden);
        write_value(ctx.reply, hash.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

pub(super) const HEXISTS: Command = Command {
    name: "HEXISTS",
    keys: &[KeySpec::at(1, Access::Read, &[])],
    doc: doc("2.0.0", "O(1)", "Tells whether a hash has a field."),
    handler: Handler::Plain(hexists),
    ..LOOK
};

fn hexists(ctx: &mut Ctx, args: &Args) -> CommandResult {
    look_at(ctx, args.at(1), args.iter().skip(2));
    let hidden = ctx.ks.fields_hidden_before();
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    let hash = showing(hash, args.at(2), hidden);
    ctx.reply.flag(hash.is_some_and(|hash| hash.contains(args.at(2))));
    Ok(())
}

pub(super) const HSTRLEN: Command = Command {
    name: "HSTRLEN",
    keys: &[KeySpec::at(1, Access::Read, &[])],
    doc: doc("3.2.0", "O(1)", "Returns the length of the value of a field."),
    handler: Handler::Plain(hstrlen),
    ..LOOK
};

fn hstrlen(ctx: &mut Ctx, args: &Args) -> CommandResult {
    look_at(ctx, args.at(1), args.iter().skip(2));
    let hidden = ctx.ks.fields_hidden_before();
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    let hash = showing(hash, args.at(2), hidden);
    ctx.reply.count(hash.and_then(|hash| hash.value_len(args.at(2))).unwrap_or(0));
    Ok(())
}

pub(super) const HLEN: Command = Command {
    name: "HLEN",
    arity: 2,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("2.0.0", "O(1)", "Returns the number of fields of a hash."),
    handler: Handler::Plain(hlen),
    ..LOOK
};

fn hlen(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    ctx.reply.count(hash.map_or(0, Hash::len));
    Ok(())
}

pub(super) const HGETALL: Command = Command {
    name: "HGETALL",
    doc: doc("2.0.0", ALL_COMPLEXITY, "Returns all fields and values of a hash."),
    handler: Handler::Plain(hgetall),
    ..ALL
};

fn hgetall(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let now = field_clock(ctx);
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    ctx.reply.map(hash.map_or(0, |hash| hash.live_len(now)));
    if let Some(hash) = hash {
        hash.for_each_live(now, |field, value| {
            write_element(ctx.reply, field);
            write_element(ctx.reply, value);
        });
    }
    Ok(())
}

pub(super) const HKEYS: Command = Command {
    name: "HKEYS",
    doc: doc("2.0.0", ALL_COMPLEXITY, "Returns all fields of a hash."),
    handler: Handler::Plain(hkeys),
    ..ALL
};

fn hkeys(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let now = field_clock(ctx);
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    ctx.reply.array(hash.map_or(0, |hash| hash.live_len(now)));
    if let Some(hash) = hash {
        hash.for_each_live(now, |field, _| write_element(ctx.reply, field));
    }
    Ok(())
}

pub(super) const HVALS: Command = Command {
    name: "HVALS",
    doc: doc("2.0.0", ALL_COMPLEXITY, "Returns all values of a hash."),
    handler: Handler::Plain(hvals),
    ..ALL
};

fn hvals(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let now = field_clock(ctx);
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    ctx.reply.array(hash.map_or(0, |hash| hash.live_len(now)));
    if let Some(hash) = hash {
        hash.for_each_live(now, |_, value| write_element(ctx.reply, value));
    }
    Ok(())
}
