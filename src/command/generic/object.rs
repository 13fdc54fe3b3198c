//! TYPE and OBJECT: what a key holds and how.

use super::super::help::reply_help;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc,
};
use super::inspect;
use crate::keyspace::{Entry, StrRef, ValueRef};

pub(super) const TYPE: Command = Command {
    name: "TYPE",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("1.0.0", "O(1)", "Returns the type of the value at a key."),
    handler: Handler::Plain(type_of),
    ..Command::BASE
};

fn type_of(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let name = inspect(ctx, args.at(1)).map_or("none", |entry| entry.kind().name());
    ctx.reply.simple(name);
    Ok(())
}

pub(super) const OBJECT: Command = Command {
    name: "OBJECT",
    arity: -2,
    group: Group::Generic,
    doc: doc("2.2.3", "Depends on subcommand.", "A container for object introspection commands."),
    subcommands: &[ENCODING, FREQ, HELP, IDLETIME, REFCOUNT],
    ..Command::BASE
};

const SUBCOMMAND: Command = Command {
    arity: 3,
    flags: Flags::READONLY,
    group: Group::Generic,
    keys: &[KeySpec::at(2, Access::Read, &[])],
    args: "key",
    tips: &["nondeterministic_output"],
    ..Command::BASE
};

const ENCODING: Command = Command {
    name: "ENCODING",
    doc: doc("2.2.3", "O(1)", "Returns the internal encoding of a value."),
    handler: Handler::Plain(encoding),
    ..SUBCOMMAND
};

fn encoding(ctx: &mut Ctx, args: &Args) -> CommandResult {
    match ctx.ks.peek(ctx.db, args.at(2)) {
        None => ctx.reply.null(),
        Some(entry) => ctx.reply.bulk(entry.encoding_name().as_bytes()),
    }
    Ok(())
}

const FREQ: Command = Command {
    name: "FREQ",
    doc: doc("4.0.0", "O(1)", "Returns the logarithmic access frequency counter of a key."),
    handler: Handler::Plain(freq),
    ..SUBCOMMAND
};

fn freq(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let Some(used) = ctx.ks.peek(ctx.db, args.at(2)).map(Entry::used_at) else {
        ctx.reply.null();
        return Ok(());
    };
    if !ctx.ks.use_clock.counts() {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ));
    }
    ctx.reply.int(i64::from(ctx.ks.use_clock.frequency(used)));
    Ok(())
}

const IDLETIME: Command = Command {
    name: "IDLETIME",
    doc: doc("2.2.3", "O(1)", "Returns the seconds since the last access to a key."),
    handler: Handler::Plain(idletime),
    ..SUBCOMMAND
};

fn idletime(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let Some(used) = ctx.ks.peek(ctx.db, args.at(2)).map(Entry::used_at) else {
        ctx.reply.null();
        return Ok(());
    };
    if ctx.ks.use_clock.counts() {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    ctx.reply.int((ctx.ks.use_clock.idle_ms(used) / 1000).cast_signed());
    Ok(())
}

const REFCOUNT: Command = Command {
    name: "REFCOUNT",
    doc: doc("2.2.3", "O(1)", "Returns the reference count of a value: 1, but for small integers."),
    handler: Handler::Plain(refcount),
    ..SUBCOMMAND
};

fn refcount(ctx: &mut Ctx, args: &Args) -> CommandResult {
    // A shared object could not tell when it was used last by which key.
    let config = &ctx.server.config;
    let shared = config.maxmemory == 0 || !config.maxmemory_policy.by_use();
    match ctx.ks.peek(ctx.db, args.at(2)).map(Entry::value) {
        None => ctx.reply.null(),
        // Redis shares one object among all keys with the same small number, and counts no more.
        Some(ValueRef::Str(StrRef::Int(0..10_000))) if shared => {
            ctx.reply.int(i64::from(i32::MAX));
        }
        Some(_) => ctx.reply.int(1),
    }
    Ok(())
}

const HELP: Command = Command {
    name: "HELP",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    group: Group::Generic,
    categories: &["keyspace"],
    doc: doc("6.2.0", "O(1)", "Returns helpful text about the different subcommands."),
    handler: Handler::Plain(help),
    ..Command::BASE
};

const HELP_LINES: &[&str] = &[
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
];

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(ctx, "OBJECT", HELP_LINES)
}
