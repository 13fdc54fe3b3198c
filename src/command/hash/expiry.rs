//! HEXPIRE and its kin: giving fields a time, asking for it, taking it away.
//!
//! The log gets absolute times, of the fields that got one; a time that is over removes the field.

use super::fields::{BAD_COUNT, TimeForm, parse_fields, record_fields, record_removal};
use super::{
    Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, Propagate, doc,
    event, field_clock, fields_removed,
};
use crate::command::ctx::Origin;
use crate::types::Hash;

const COMPLEXITY: &str = "O(N) where N is the number of specified fields";

/// Commands that set a time.
const SET: Command = Command {
    arity: -6,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    propagate: Propagate::Effect,
    ..Command::BASE
};

pub(super) const HEXPIRE: Command = Command {
    name: "HEXPIRE",
    args: "key seconds:integer [<NX | XX | GT | LT>] FIELDS numfields:integer field ...",
    doc: doc("7.4.0", COMPLEXITY, "Lets fields expire after a number of seconds."),
    handler: Handler::Plain(|ctx, args| {
        set(ctx, args, TimeForm { seconds: true, absolute: false })
    }),
    ..SET
};

pub(super) const HPEXPIRE: Command = Command {
    name: "HPEXPIRE",
    args: "key milliseconds:integer [<NX | XX | GT | LT>] FIELDS numfields:integer field ...",
    doc: doc("7.4.0", COMPLEXITY, "Lets fields expire after a number of milliseconds."),
    handler: Handler::Plain(|ctx, args| {
        set(ctx, args, TimeForm { seconds: false, absolute: false })
    }),
    ..SET
};

pub(super) const HEXPIREAT: Command = Command {
    name: "HEXPIREAT",
    args: "key unix-time-seconds:unix-time [<NX | XX | GT | LT>] FIELDS numfields:integer field ...",
    doc: doc("7.4.0", COMPLEXITY, "Lets fields expire at a unix time in seconds."),
    handler: Handler::Plain(|ctx, args| set(ctx, args, TimeForm { seconds: true, absolute: true })),
    ..SET
};

pub(super) const HPEXPIREAT: Command = Command {
    name: "HPEXPIREAT",
    args: "key unix-time-milliseconds:unix-time [<NX | XX | GT | LT>] FIELDS numfields:integer \
           field ...",
    doc: doc("7.4.0", COMPLEXITY, "Lets fields expire at a unix time in milliseconds."),
    handler: Handler::Plain(|ctx, args| {
        set(ctx, args, TimeForm { seconds: false, absolute: true })
    }),
    ..SET
};

/// When a field may be given another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    IfNone,
    IfAny,
    IfLater,
    IfEarlier,
}

impl Condition {
    fn parse(args: &Args, at: usize) -> Self {
        let words = [
            ("NX", Self::IfNone),
            ("XX", Self::IfAny),
            ("GT", Self::IfLater),
            ("LT", Self::IfEarlier),
        ];
        let found = words.iter().find(|(word, _)| args.is(at, word));
        found.map_or(Self::Always, |&(_, condition)| condition)
    }

    fn holds(self, old: Option<u64>, new: u64) -> bool {
        match self {
            Self::Always => true,
            Self::IfNone => old.is_none(),
            Self::IfAny => old.is_some(),
            Self::IfLater => old.is_some_and(|old| new > old),
            Self::IfEarlier => old.is_none_or(|old| new < old),
        }
    }
}

fn set(ctx: &mut Ctx, args: &Args, form: TimeForm) -> CommandResult {
    let key = args.at(1);
    let missing = ctx.ks.write::<Hash>(ctx.db, key)?.is_none();
    let at = form.parse(ctx, args.at(2))?;
    let condition = Condition::parse(args, 3);
    let fields_at = if condition == Condition::Always { 3 } else { 4 };
    let fields =
        parse_fields(args, fields_at, "ERR Parameter `numFields` should be greater than 0")?;
    ctx.reply.array(fields.len());
    if missing {
        fields.iter().for_each(|_| ctx.reply.int(-2));
        return Ok(());
    }
    let over = at <= ctx.now && ctx.origin != Origin::Log;
    let new = u64::try_from(at).unwrap_or(0).max(1);
    let (mut timed, mut removed) = (Vec::new(), Vec::new());
    if let Some(hash) = ctx.ks.write::<Hash>(ctx.db, key)? {
        hash.keep_times();
        for field in fields.iter() {
            let outcome = match hash.field_expire(field) {
                None => -2,
                Some(old) if !condition.holds(old, new) => 0,
                Some(_) if over => {
                    hash.remove(field);
                    removed.push(field);
                    2
                }
                Some(_) => {
                    hash.set_field_expire(field, Some(new));
                    timed.push(field);
                    1
                }
            };
            ctx.reply.int(outcome);
        }
    }
    ctx.ks.stats.expired_fields += removed.len() as u64;
    finish(ctx, key, &timed, new, &removed);
    Ok(())
}

/// Records and announces that fields were given a time, or were removed because theirs is over.
pub(super) fn finish(ctx: &mut Ctx, key: &[u8], timed: &[&[u8]], at: u64, removed: &[&[u8]]) {
    record_fields(ctx, &[b"HPEXPIREAT", key, at.to_string().as_bytes()], timed);
    record_removal(ctx, key, removed);
    if !timed.is_empty() {
        ctx.ks.note_field_expiry(ctx.db, key, at);
        ctx.changed(key, event::HASH, "hexpire");
    }
    if !removed.is_empty() {
        fields_removed(ctx, key, removed.len());
    }
}

pub(super) const HPERSIST: Command = Command {
    name: "HPERSIST",
    arity: -5,
    args: "key FIELDS numfields:integer field ...",
    doc: doc("7.4.0", COMPLEXITY, "Takes away the times at which fields expire."),
    handler: Handler::Plain(hpersist),
    ..SET
};

fn hpersist(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let clock = field_clock(ctx);
    let mut hash = ctx.ks.write::<Hash>(ctx.db, key)?;
    let fields = parse_fields(args, 2, BAD_COUNT)?;
    // Of the others some may be over already: by the log they would be there again.
    let mut persisted = Vec::new();
    ctx.reply.array(fields.len());
    for field in fields.iter() {
        let outcome = match hash.as_ref().and_then(|hash| hash.field_expire(field)) {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) if at < clock => -2,
            Some(Some(_)) => {
                if let Some(hash) = hash.as_mut() {
                    hash.set_field_expire(field, None);
                }
                persisted.push(field);
                1
            }
        };
        ctx.reply.int(outcome);
    }
    record_fields(ctx, &[b"HPERSIST", key], &persisted);
    if !persisted.is_empty() {
        ctx.changed(key, event::HASH, "hpersist");
    }
    Ok(())
}

/// Commands that ask for a time.
const ASK: Command = Command {
    arity: -5,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key FIELDS numfields:integer field ...",
    ..Command::BASE
};

pub(super) const HTTL: Command = Command {
    name: "HTTL",
    tips: &["nondeterministic_output"],
    doc: doc("7.4.0", COMPLEXITY, "Returns the seconds until fields expire."),
    handler: Handler::Plain(|ctx, args| {
        ask(ctx, args, |at, now| (at - now).max(0).saturating_add(999) / 1000)
    }),
    ..ASK
};

pub(super) const HPTTL: Command = Command {
    name: "HPTTL",
    tips: &["nondeterministic_output"],
    doc: doc("7.4.0", COMPLEXITY, "Returns the milliseconds until fields expire."),
    handler: Handler::Plain(|ctx, args| ask(ctx, args, |at, now| (at - now).max(0))),
    ..ASK
};

pub(super) const HEXPIRETIME: Command = Command {
    name: "HEXPIRETIME",
    doc: doc("7.4.0", COMPLEXITY, "Returns the unix times in seconds at which fields expire."),
    handler: Handler::Plain(|ctx, args| ask(ctx, args, |at, _| at.saturating_add(999) / 1000)),
    ..ASK
};

pub(super) const HPEXPIRETIME: Command = Command {
    name: "HPEXPIRETIME",
    doc: doc("7.4.0", COMPLEXITY, "Returns the unix times in milliseconds at which fields expire."),
    handler: Handler::Plain(|ctx, args| ask(ctx, args, |at, _| at)),
    ..ASK
};

/// Answers for each field with `show` of its time and the present one, -1 without a time, -2 without
/// the field.
fn ask(ctx: &mut Ctx, args: &Args, show: fn(i64, i64) -> i64) -> CommandResult {
    let (now, clock) = (ctx.now, field_clock(ctx));
    let hash = ctx.ks.read::<Hash>(ctx.db, args.at(1))?;
    let fields = parse_fields(args, 2, BAD_COUNT)?;
    ctx.reply.array(fields.len());
    for field in fields.iter() {
        ctx.reply.int(match hash.and_then(|hash| hash.field_expire(field)) {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) if at < clock => -2,
            Some(Some(at)) => show(i64::try_from(at).unwrap_or(i64::MAX), now),
        });
    }
    Ok(())
}
