//! INCR and its kind: the number is changed in place, with one lookup.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::value;
use crate::keyspace::{StrRef, ValueRef, event};
use crate::number::{self, Extended};

const FLAGS: Flags = Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST);
const KEYS: &[KeySpec] = &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])];

pub(super) const INCR: Command = Command {
    name: "INCR",
    arity: 2,
    flags: FLAGS,
    group: Group::String,
    keys: KEYS,
    args: "key",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Adds one to the integer value of a key; a missing key counts as 0."),
    handler: Handler::Plain(|ctx, args| add(ctx, args.at(1), 1)),
    ..Command::BASE
};

pub(super) const DECR: Command = Command {
    name: "DECR",
    arity: 2,
    flags: FLAGS,
    group: Group::String,
    keys: KEYS,
    args: "key",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(1)",
        "Takes one from the integer value of a key; a missing key counts as 0.",
    ),
    handler: Handler::Plain(|ctx, args| add(ctx, args.at(1), -1)),
    ..Command::BASE
};

pub(super) const INCRBY: Command = Command {
    name: "INCRBY",
    arity: 3,
    flags: FLAGS,
    group: Group::String,
    keys: KEYS,
    args: "key increment:integer",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Adds to the integer value of a key; a missing key counts as 0."),
    handler: Handler::Plain(incrby),
    ..Command::BASE
};

fn incrby(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let by = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    add(ctx, args.at(1), by)
}

pub(super) const DECRBY: Command = Command {
    name: "DECRBY",
    arity: 3,
    flags: FLAGS,
    group: Group::String,
    keys: KEYS,
    args: "key decrement:integer",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Takes from the integer value of a key; a missing key counts as 0."),
    handler: Handler::Plain(decrby),
    ..Command::BASE
};

fn decrby(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let by = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let by = by.checked_neg().ok_or(CommandError::text("ERR decrement would overflow"))?;
    add(ctx, args.at(1), by)
}

fn add(ctx: &mut Ctx, key: &[u8], by: i64) -> CommandResult {
    let sum = match ctx.ks.lookup_mut(ctx.db, key) {
        Some(entry) => {
            let old = match entry.value() {
                ValueRef::Str(StrRef::Int(number)) => number,
                ValueRef::Str(StrRef::Bytes(text)) => {
                    number::parse_i64(text).ok_or(CommandError::NotInteger)?
                }
                _ => return Err(CommandError::WrongType),
            };
            let sum = old.checked_add(by).ok_or(CommandError::Overflow)?;
            entry.set_int(sum);
            sum
        }
        None => {
            let mut digits = itoa::Buffer::new();
            ctx.ks.set_string(ctx.db, key, digits.format(by).as_bytes(), None);
            by
        }
    };
    ctx.changed(key, event::STRING, "incrby");
    ctx.reply.int(sum);
    Ok(())
}

pub(super) const INCRBYFLOAT: Command = Command {
    name: "INCRBYFLOAT",
    arity: 3,
    flags: FLAGS,
    group: Group::String,
    keys: KEYS,
    args: "key increment:double",
    propagate: Propagate::Effect,
    doc: doc(
        "2.6.0",
        "O(1)",
        "Adds to the floating point value of a key; a missing key counts as 0.",
    ),
    handler: Handler::Plain(incrbyfloat),
    ..Command::BASE
};

fn incrbyfloat(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let old = match ctx.ks.peek(ctx.db, key).map(|entry| entry.value()) {
        None => Extended::parse(b"0"),
        Some(ValueRef::Str(old)) => Extended::parse(value::text(old, &mut itoa::Buffer::new())),
        Some(_) => return Err(CommandError::WrongType),
    };
    let old = old.ok_or(CommandError::NotFloat)?;
    let sum = old.plus(Extended::parse(args.at(2)).ok_or(CommandError::NotFloat)?);
    if !sum.is_finite() {
        return Err(CommandError::NanOrInfinity);
    }
    let text = sum.to_text();
    if !ctx.ks.contains(ctx.db, key) {
        ctx.ks.set_string(ctx.db, key, text.as_bytes(), None);
    }
    if let Some(entry) = ctx.ks.lookup_mut(ctx.db, key) {
        entry.set_text(text.as_bytes()); // A sum is text, as in Redis.
    }
    ctx.effect(&[b"SET", key, text.as_bytes(), b"KEEPTTL"]);
    ctx.changed(key, event::STRING, "incrbyfloat");
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}
