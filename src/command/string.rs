//! String commands.

use super::{
    Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, Propagate, doc,
};
use crate::keyspace::{StrRef, event};

pub const COMMANDS: &[Command] = &[GET, SET];

pub const GET: Command = Command {
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
    match ctx.ks.read_string(ctx.db, args.at(1))? {
        None => ctx.reply.null(),
        Some(StrRef::Int(value)) => ctx.reply.bulk_int(value),
        Some(StrRef::Bytes(bytes)) => ctx.reply.bulk(bytes),
    }
    Ok(())
}

pub const SET: Command = Command {
    name: "SET",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update", "variable_flags"])],
    args: "key value",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Sets the string value of a key, ignoring its type."),
    handler: Handler::Plain(set),
    ..Command::BASE
};

fn set(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.ks.set_string(ctx.db, args.at(1), args.at(2), None);
    ctx.changed(args.at(1), event::STRING, "set");
    ctx.reply.ok();
    Ok(())
}
