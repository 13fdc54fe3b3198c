//! Comparing before deleting: DELEX (Redis), DELIFEQ (Valkey), and DIGEST, which is cheap to
//! compare.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::options::{self, Condition};
use super::value;
use crate::keyspace::{ValueRef, event};

pub(super) const DIGEST: Command = Command {
    name: "DIGEST",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key",
    doc: doc(
        "8.4.0",
        "O(N) where N is the length of the string value.",
        "Returns the XXH3 hash of a string value as 16 hexadecimal digits.",
    ),
    handler: Handler::Plain(digest),
    ..Command::BASE
};

fn digest(ctx: &mut Ctx, args: &Args) -> CommandResult {
    match ctx.ks.read_string(ctx.db, args.at(1))? {
        None => ctx.reply.null(),
        Some(string) => {
            let digest = options::digest(value::text(string, &mut itoa::Buffer::new()));
            ctx.reply.bulk(format!("{digest:016x}").as_bytes());
        }
    }
    Ok(())
}

pub(super) const DELEX: Command = Command {
    name: "DELEX",
    arity: -2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete", "variable_flags"])],
    // A condition tells something about the value.
    key_access: Some(|args, _| match args.len() {
        2 => (Access::Remove, &["delete"]),
        _ => (Access::ReadWrite, &["access", "delete"]),
    }),
    args: "key [IFEQ ifeq-value|IFNE ifne-value|IFDEQ ifdeq-digest|IFDNE ifdne-digest]",
    propagate: Propagate::Effect,
    doc: doc(
        "8.4.0",
        "O(1) for IFEQ/IFNE, O(N) for IFDEQ/IFDNE where N is the length of the string value.",
        "Deletes a key if its value or digest is, or is not, a given one.",
    ),
    handler: Handler::Plain(delex),
    ..Command::BASE
};

fn delex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let condition = match args.len() {
        2 => Condition::Present,
        4 => Condition::comparison(args.at(2), args.at(3)).ok_or(CommandError::text(
            "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
        ))??,
        _ => return Err(CommandError::Arity("delex".into())),
    };
    delete_if(ctx, args.at(1), condition)
}

pub(super) const DELIFEQ: Command = Command {
    name: "DELIFEQ",
    arity: 3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Remove, &["delete"])],
    args: "key value",
    propagate: Propagate::Effect,
    doc: doc("9.0.0", "O(1)", "Deletes a key if its value is a given one."),
    handler: Handler::Plain(delifeq),
    ..Command::BASE
};

fn delifeq(ctx: &mut Ctx, args: &Args) -> CommandResult {
    delete_if(ctx, args.at(1), Condition::Value { equal: true, to: args.at(2) })
}

fn delete_if(ctx: &mut Ctx, key: &[u8], condition: Condition) -> CommandResult {
    let holds = match ctx.ks.peek(ctx.db, key).map(|entry| entry.value()) {
        None => false,
        Some(ValueRef::Str(string)) => condition.holds(Some(string)),
        Some(_) if condition.compares() => return Err(CommandError::WrongType),
        Some(_) => true,
    };
    if holds {
        ctx.ks.discard(ctx.db, key);
        ctx.effect(&[b"DEL", key]);
        ctx.changed(key, event::GENERIC, "del");
    }
    ctx.reply.flag(holds);
    Ok(())
}
