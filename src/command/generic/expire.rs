//! The times at which keys expire.

use super::super::string::options::Time;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::inspect;
use crate::clock::UnixMillis;
use crate::command::error::told;
use crate::keyspace::event;

const HISTORY: &[(&str, &str)] = &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")];
const O1: &str = "O(1)";

pub(super) const EXPIRE: Command = Command {
    name: "EXPIRE",
    arity: -3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key seconds:integer [NX|XX|GT|LT]",
    propagate: Propagate::Effect,
    doc: Doc {
        history: HISTORY,
        ..doc("1.0.0", O1, "Sets the expiration time of a key in seconds.")
    },
    handler: Handler::Plain(|ctx, args| expire(ctx, args, true, false)),
    ..Command::BASE
};

pub(super) const PEXPIRE: Command = Command {
    name: "PEXPIRE",
    args: "key milliseconds:integer [NX|XX|GT|LT]",
    doc: Doc {
        history: HISTORY,
        ..doc("2.6.0", O1, "Sets the expiration time of a key in milliseconds.")
    },
    handler: Handler::Plain(|ctx, args| expire(ctx, args, false, false)),
    ..EXPIRE
};

pub(super) const EXPIREAT: Command = Command {
    name: "EXPIREAT",
    args: "key unix-time-seconds:unix-time [NX|XX|GT|LT]",
    doc: Doc {
        history: HISTORY,
        ..doc("1.2.0", O1, "Sets the expiration time of a key to a Unix timestamp.")
    },
    handler: Handler::Plain(|ctx, args| expire(ctx, args, true, true)),
    ..EXPIRE
};

pub(super) const PEXPIREAT: Command = Command {
    name: "PEXPIREAT",
    args: "key unix-time-milliseconds:unix-time [NX|XX|GT|LT]",
    doc: Doc {
        history: HISTORY,
        ..doc("2.6.0", O1, "Sets the expiration time of a key to a Unix milliseconds timestamp.")
    },
    handler: Handler::Plain(|ctx, args| expire(ctx, args, false, true)),
    ..EXPIRE
};

/// When the time is to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) absent: bool,
    pub(super) present: bool,
    pub(super) greater: bool,
    pub(super) less: bool,
}

impl Conditions {
    /// Reads the options from argument `at` on.
    pub(super) fn parse(args: &Args, at: usize) -> Result<Self, CommandError> {
        let mut conditions = Self::default();
        for index in at..args.len() {
            if args.is(index, "NX") {
                conditions.absent = true;
            } else if args.is(index, "XX") {
                conditions.present = true;
            } else if args.is(index, "GT") {
                conditions.greater = true;
            } else if args.is(index, "LT") {
                conditions.less = true;
            } else {
                let word = told(args.at(index));
                return Err(CommandError::owned(format!("ERR Unsupported option {word}")));
            }
        }
        if conditions.absent && (conditions.present || conditions.greater || conditions.less) {
            return Err(CommandError::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if conditions.greater && conditions.less {
            return Err(CommandError::text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// Whether they hold for the time that a key has and the new one. No time is the longest.
    pub(super) fn hold(self, old: Option<UnixMillis>, new: UnixMillis) -> bool {
        !(self.absent && old.is_some()
            || self.present && old.is_none()
            || self.greater && old.is_none_or(|old| new <= old)
            || self.less && old.is_some_and(|old| new >= old))
    }
}

fn expire(ctx: &mut Ctx, args: &Args, in_seconds: bool, is_absolute: bool) -> CommandResult {
    let key = args.at(1);
    let conditions = Conditions::parse(args, 3)?;
    let at = Time { text: args.at(2), in_seconds, is_absolute }.resolve_any(ctx)?;
    let old = ctx.ks.peek(ctx.db, key).map(|entry| entry.expire_at());
    let done = old.is_some_and(|old| conditions.hold(old, at));
    if done {
        super::super::string::expire_at(ctx, key, at);
    }
    ctx.reply.flag(done);
    Ok(())
}

pub(super) const PERSIST: Command = Command {
    name: "PERSIST",
    arity: 2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key",
    propagate: Propagate::AsSent,
    doc: doc("2.2.0", O1, "Removes the expiration time of a key."),
    handler: Handler::Plain(persist),
    ..Command::BASE
};

fn persist(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let timed = ctx.ks.peek(ctx.db, key).is_some_and(|entry| entry.expire_at().is_some());
    if timed {
        ctx.ks.set_expire(ctx.db, key, None);
        ctx.changed(key, event::GENERIC, "persist");
    }
    ctx.reply.flag(timed);
    Ok(())
}

const READ: Command = Command {
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key",
    ..Command::BASE
};

pub(super) const TTL: Command = Command {
    name: "TTL",
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[("2.8.0", "Added the -2 reply.")],
        ..doc("1.0.0", O1, "Returns the seconds until a key expires.")
    },
    handler: Handler::Plain(|ctx, args| time_of(ctx, args, true, false)),
    ..READ
};

pub(super) const PTTL: Command = Command {
    name: "PTTL",
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[("2.8.0", "Added the -2 reply.")],
        ..doc("2.6.0", O1, "Returns the milliseconds until a key expires.")
    },
    handler: Handler::Plain(|ctx, args| time_of(ctx, args, false, false)),
    ..READ
};

pub(super) const EXPIRETIME: Command = Command {
    name: "EXPIRETIME",
    doc: doc("7.0.0", O1, "Returns the expiration time of a key as a Unix timestamp."),
    handler: Handler::Plain(|ctx, args| time_of(ctx, args, true, true)),
    ..READ
};

pub(super) const PEXPIRETIME: Command = Command {
    name: "PEXPIRETIME",
    doc: doc("7.0.0", O1, "Returns the expiration time of a key as a Unix milliseconds timestamp."),
    handler: Handler::Plain(|ctx, args| time_of(ctx, args, false, true)),
    ..READ
};

fn time_of(ctx: &mut Ctx, args: &Args, in_seconds: bool, is_absolute: bool) -> CommandResult {
    let found = inspect(ctx, args.at(1)).map(|entry| entry.expire_at());
    let millis = match found {
        None => {
            ctx.reply.int(-2);
            return Ok(());
        }
        Some(None) => {
            ctx.reply.int(-1);
            return Ok(());
        }
        Some(Some(at)) if is_absolute => at,
        Some(Some(at)) => (at - ctx.now).max(0),
    };
    // To the nearest second, without leaving 64 bits.
    let seconds = millis / 1000 + (millis % 1000 + 500) / 1000;
    ctx.reply.int(if in_seconds { seconds } else { millis });
    Ok(())
}
