//! Reading a string, and reading with a change of the key: GETDEL, GETEX.

use super::super::ctx::Origin;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::options::{self, Time};
use super::value;
use crate::keyspace::event;

pub(super) const GET: Command = Command {
    name: "GET",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key",
    doc: doc("1.0.0", "O(1)", "Returns the string value of a key."),
    handler: Handler::Plain(get),
    ..Command::BASE
};

fn get(ctx: &mut Ctx, args: &Args) -> CommandResult {
    value::reply_entry(ctx.reply, ctx.ks.read_string_entry(ctx.db, args.at(1))?);
    Ok(())
}

pub(super) const STRLEN: Command = Command {
    name: "STRLEN",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("2.2.0", "O(1)", "Returns the length of a string value."),
    handler: Handler::Plain(strlen),
    ..Command::BASE
};

fn strlen(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let len = ctx.ks.read_string(ctx.db, args.at(1))?.map_or(0, value::len);
    ctx.reply.count(len);
    Ok(())
}

pub(super) const GETDEL: Command = Command {
    name: "GETDEL",
    arity: 2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "delete"])],
    args: "key",
    propagate: Propagate::Effect,
    doc: doc("6.2.0", "O(1)", "Returns the string value of a key and deletes the key."),
    handler: Handler::Plain(getdel),
    ..Command::BASE
};

fn getdel(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    value::reply_entry(ctx.reply, ctx.ks.read_string_entry(ctx.db, key)?);
    if ctx.ks.discard(ctx.db, key) {
        ctx.effect(&[b"DEL", key]);
        ctx.changed(key, event::GENERIC, "del");
    }
    Ok(())
}

pub(super) const GETEX: Command = Command {
    name: "GETEX",
    arity: -2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key [EX seconds:integer|PX milliseconds:integer|EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|PERSIST]",
    propagate: Propagate::Effect,
    doc: doc(
        "6.2.0",
        "O(1)",
        "Returns the string value of a key after setting its expiration time.",
    ),
    handler: Handler::Plain(getex),
    ..Command::BASE
};

/// What GETEX does to the expiry.
enum Change<'a> {
    None,
    Persist,
    Set(Time<'a>),
}

impl<'a> Change<'a> {
    /// Reads the options; one may be given twice, two may not.
    fn parse(args: &Args<'a>) -> Result<Self, CommandError> {
        let mut change = Self::None;
        let mut at = 2;
        while let Some(word) = args.get(at) {
            if args.is(at, "PERSIST") && !matches!(change, Self::Set(_)) {
                change = Self::Persist;
                at += 1;
                continue;
            }
            let text = args.get(at + 1).ok_or(CommandError::Syntax)?;
            let time = options::time(word, text).ok_or(CommandError::Syntax)?;
            match &change {
                Self::None => {}
                Self::Set(old) if old.is_given_as(&time) => {}
                _ => return Err(CommandError::Syntax),
            }
            change = Self::Set(time);
            at += 2;
        }
        Ok(change)
    }
}

fn getex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let change = Change::parse(args)?;
    // A missing key or a wrong type is found before a bad time.
    let Some(found) = ctx.ks.read_string_entry(ctx.db, key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let start = ctx.reply.buffer.len();
    value::reply_entry(ctx.reply, Some(found));
    match change {
        Change::None => {}
        Change::Persist => {
            if ctx.ks.peek(ctx.db, key).is_some_and(|entry| entry.expire_at().is_some()) {
                ctx.ks.set_expire(ctx.db, key, None);
                ctx.effect(&[b"PERSIST", key]);
                ctx.changed(key, event::GENERIC, "persist");
            }
        }
        Change::Set(time) => match time.resolve(ctx) {
            Ok(at) => expire_at(ctx, key, at),
            Err(error) => {
                ctx.reply.truncate(start);
                return Err(error);
            }
        },
    }
    Ok(())
}

/// Sets the time of a key that is there; a time that is over deletes it.
pub(in crate::command) fn expire_at(ctx: &mut Ctx, key: &[u8], at: crate::clock::UnixMillis) {
    if at <= ctx.now && ctx.origin != Origin::Log && !ctx.server.config.import_mode {
        ctx.ks.discard_overdue(ctx.db, key);
        ctx.effect(&[b"DEL", key]);
        ctx.changed(key, event::GENERIC, "del");
        return;
    }
    ctx.ks.set_expire(ctx.db, key, Some(at));
    ctx.effect(&[b"PEXPIREAT", key, itoa::Buffer::new().format(at).as_bytes()]);
    ctx.changed(key, event::GENERIC, "expire");
}
