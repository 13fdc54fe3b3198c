//! SET and its older forms.
//!
//! The log gets `SET key value [PXAT ms | KEEPTTL]`: conditions and GET are gone, times are
//! absolute.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::options::{Condition, Expiry, SetOptions, Time};
use super::value;
use crate::clock::UnixMillis;
use crate::keyspace::entry::SHARED_BYTES_MIN;
use crate::keyspace::{ValueRef, event};

pub(super) const SET: Command = Command {
    name: "SET",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update", "variable_flags"])],
    key_access: Some(|args, _| match (3..args.len()).any(|at| args.is(at, "GET")) {
        true => (Access::ReadWrite, &["access", "update"]),
        false => (Access::Overwrite, &["update"]),
    }),
    args: "key value [NX|XX|IFEQ comparison-value|IFNE comparison-value|IFDEQ digest|IFDNE digest] [GET] [EX seconds:integer|PX milliseconds:integer|EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|KEEPTTL]",
    propagate: Propagate::Effect,
    doc: Doc {
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Sets the string value of a key, whatever was there before.",
        history: &[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
            ("8.4.0", "Added the `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE` options."),
        ],
        deprecated: None,
    },
    handler: Handler::Plain(set),
    ..Command::BASE
};

fn set(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        match args.kept(2).filter(|value| value.len() >= SHARED_BYTES_MIN) {
            Some(value) => ctx.ks.set_shared_string(ctx.db, key, value),
            None => ctx.ks.set_string(ctx.db, key, value, None),
        }
        ctx.changed(key, event::STRING, "set");
        ctx.ks.effects.record_as_sent(ctx.db, args);
        ctx.reply.ok();
        return Ok(());
    }
    let options = SetOptions::parse(args, 3, true)?;
    let expire = resolve(&options, ctx)?;
    let done = set_if(ctx, key, value, &options, expire)?;
    if !options.returns_old {
        if done { ctx.reply.ok() } else { ctx.reply.null() }
    }
    Ok(())
}

/// The time that the options set.
pub(super) fn resolve(options: &SetOptions, ctx: &Ctx) -> Result<Option<UnixMillis>, CommandError> {
    match options.expiry {
        Expiry::At(time) => time.resolve(ctx).map(Some),
        Expiry::Clear | Expiry::Keep => Ok(None),
    }
}

/// Sets the key if the condition holds, and says whether it did. With `returns_old` the reply is
/// written.
fn set_if(
    ctx: &mut Ctx,
    key: &[u8],
    value: &[u8],
    options: &SetOptions,
    expire: Option<UnixMillis>,
) -> Result<bool, CommandError> {
    let condition = options.condition;
    let holds = if options.returns_old {
        // This lookup is a read; the others of SET only look where to write.
        ctx.ks.counts_reads = true;
        let old = ctx.ks.read_string(ctx.db, key)?;
        value::reply(ctx.reply, old);
        let holds = condition.holds(old);
        ctx.ks.counts_reads = false;
        holds
    } else if condition == Condition::Always {
        true
    } else {
        match ctx.ks.peek(ctx.db, key).map(|entry| entry.value()) {
            None => condition.holds(None),
            Some(ValueRef::Str(old)) => condition.holds(Some(old)),
            Some(_) if condition.compares() => return Err(CommandError::WrongType),
            Some(_) => condition == Condition::Present,
        }
    };
    if holds {
        store(ctx, key, value, options.expiry == Expiry::Keep, expire);
    }
    Ok(holds)
}

/// Sets the key and tells the log and the listeners.
pub(super) fn store(
    ctx: &mut Ctx,
    key: &[u8],
    value: &[u8],
    keeps_expire: bool,
    expire: Option<UnixMillis>,
) {
    let kept = if keeps_expire {
        ctx.ks.peek(ctx.db, key).and_then(|entry| entry.expire_at())
    } else {
        None
    };
    ctx.ks.set_string(ctx.db, key, value, expire.or(kept));
    ctx.changed(key, event::STRING, "set");
    match expire {
        Some(at) => {
            ctx.ks.effects.event(ctx.db, event::GENERIC, "expire", key);
            let mut digits = itoa::Buffer::new();
            ctx.effect(&[b"SET", key, value, b"PXAT", digits.format(at).as_bytes()]);
        }
        None if keeps_expire => ctx.effect(&[b"SET", key, value, b"KEEPTTL"]),
        None => ctx.effect(&[b"SET", key, value]),
    }
}

pub(super) const SETNX: Command = Command {
    name: "SETNX",
    arity: 3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Overwrite, &["insert"])],
    args: "key value",
    propagate: Propagate::Effect,
    doc: Doc {
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        ..doc("1.0.0", "O(1)", "Sets the string value of a key if there is no such key.")
    },
    handler: Handler::Plain(setnx),
    ..Command::BASE
};

fn setnx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = SetOptions { condition: Condition::Absent, ..SetOptions::PLAIN };
    let done = set_if(ctx, args.at(1), args.at(2), &options, None)?;
    ctx.reply.flag(done);
    Ok(())
}

pub(super) const SETEX: Command = Command {
    name: "SETEX",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Overwrite, &["update"])],
    args: "key seconds:integer value",
    propagate: Propagate::Effect,
    doc: Doc {
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        ..doc("2.0.0", "O(1)", "Sets the string value and the time to live of a key.")
    },
    handler: Handler::Plain(setex),
    ..Command::BASE
};

fn setex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    set_for(ctx, args, true)
}

pub(super) const PSETEX: Command = Command {
    name: "PSETEX",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Overwrite, &["update"])],
    args: "key milliseconds:integer value",
    propagate: Propagate::Effect,
    doc: Doc {
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        ..doc(
            "2.6.0",
            "O(1)",
            "Sets the string value and the time to live in milliseconds of a key.",
        )
    },
    handler: Handler::Plain(psetex),
    ..Command::BASE
};

fn psetex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    set_for(ctx, args, false)
}

fn set_for(ctx: &mut Ctx, args: &Args, in_seconds: bool) -> CommandResult {
    let time = Time { text: args.at(2), in_seconds, is_absolute: false };
    let at = time.resolve(ctx)?;
    store(ctx, args.at(1), args.at(3), false, Some(at));
    ctx.reply.ok();
    Ok(())
}

pub(super) const GETSET: Command = Command {
    name: "GETSET",
    arity: 3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key value",
    propagate: Propagate::Effect,
    doc: Doc {
        deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
        ..doc("1.0.0", "O(1)", "Sets the string value of a key and returns the old one.")
    },
    handler: Handler::Plain(getset),
    ..Command::BASE
};

fn getset(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = SetOptions { returns_old: true, ..SetOptions::PLAIN };
    set_if(ctx, args.at(1), args.at(2), &options, None)?;
    Ok(())
}
