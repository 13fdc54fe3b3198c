//! SCRIPT: the cache of EVAL's scripts.

use super::{Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc};
use crate::command::help::reply_help;

pub(super) const SCRIPT: Command = Command {
    name: "SCRIPT",
    arity: -2,
    group: Group::Scripting,
    doc: doc("2.6.0", "Depends on subcommand.", "A container for the commands about scripts."),
    subcommands: &[DEBUG, EXISTS, FLUSH, HELP, KILL, LOAD, SHOW],
    ..Command::BASE
};

const SUBCOMMAND: Command = Command {
    flags: Flags::NOSCRIPT,
    group: Group::Scripting,
    categories: &["scripting"],
    ..Command::BASE
};

const DEBUG: Command = Command {
    name: "DEBUG",
    arity: 3,
    args: "<YES | SYNC | NO>",
    doc: doc("3.2.0", "O(1)", "Chooses how the scripts of the connection are debugged."),
    handler: Handler::Plain(debug),
    ..SUBCOMMAND
};

/// There is no debugger: its scripts run as others do.
fn debug(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if !["yes", "sync", "no"].iter().any(|word| args.is(2, word)) {
        return Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO"));
    }
    if !args.is(2, "no") {
        return Err(CommandError::text("ERR The script debugger is not supported"));
    }
    ctx.reply.ok();
    Ok(())
}

const EXISTS: Command = Command {
    name: "EXISTS",
    arity: -3,
    args: "sha1 ...",
    tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
    doc: doc(
        "2.6.0",
        "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
        "Tells which scripts are in the cache.",
    ),
    handler: Handler::Plain(exists),
    ..SUBCOMMAND
};

fn exists(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.reply.array(args.len() - 2);
    for digest in args.iter().skip(2) {
        ctx.reply.flag(ctx.server.scripts.contains(digest));
    }
    Ok(())
}

const FLUSH: Command = Command {
    name: "FLUSH",
    arity: -2,
    args: "[<ASYNC | SYNC>]",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    doc: Doc {
        history: &[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")],
        ..doc(
            "2.6.0",
            "O(N) with N being the number of scripts in cache",
            "Forgets all scripts of the cache.",
        )
    },
    handler: Handler::Plain(flush),
    ..SUBCOMMAND
};

fn flush(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let at_once = match args.len() {
        2 => !ctx.server.config.lazyfree_lazy_user_flush,
        3 if args.is(2, "SYNC") => true,
        3 if args.is(2, "ASYNC") => false,
        _ => {
            let text = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
            return Err(CommandError::text(text));
        }
    };
    let forgotten = ctx.server.scripts.take();
    if at_once {
        drop(forgotten);
    } else {
        ctx.server.garbage.push(forgotten);
    }
    ctx.reply.ok();
    Ok(())
}

const HELP: Command = Command {
    name: "HELP",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
    handler: Handler::Plain(help),
    ..SUBCOMMAND
};

const HELP_LINES: &[&str] = &[
    "DEBUG (YES|SYNC|NO)",
    "    Set the debug mode for subsequent scripts executed.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache. Very dangerous on replicas.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the scripts cache.",
    "    * SYNC: Synchronously flush the scripts cache.",
    "KILL",
    "    Kill the currently executing Lua script.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
];

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(ctx, "SCRIPT", HELP_LINES)
}

const KILL: Command = Command {
    name: "KILL",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    doc: doc("2.6.0", "O(1)", "Ends the running script."),
    handler: Handler::Plain(kill),
    ..SUBCOMMAND
};

fn kill(ctx: &mut Ctx, _: &Args) -> CommandResult {
    end_running(ctx, false)
}

/// Ends the script that has been running for too long. One that has not cannot be met: whoever runs
/// a command holds the keyspace.
pub(super) fn end_running(ctx: &mut Ctx, function: bool) -> CommandResult {
    match ctx.server.running_script.as_mut() {
        Some(running) => running.kill(function)?,
        None => return Err(CommandError::text("NOTBUSY No scripts in execution right now.")),
    }
    ctx.reply.ok();
    Ok(())
}

const LOAD: Command = Command {
    name: "LOAD",
    arity: 3,
    flags: Flags::NOSCRIPT.or(Flags::STALE),
    args: "script",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    doc: doc(
        "2.6.0",
        "O(N) with N being the length in bytes of the script body.",
        "Puts a script into the cache.",
    ),
    handler: Handler::Plain(load),
    ..SUBCOMMAND
};

fn load(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let digest = ctx.server.scripts.load(args.at(2))?;
    ctx.reply.bulk(digest.as_bytes());
    Ok(())
}

const SHOW: Command = Command {
    name: "SHOW",
    arity: 3,
    args: "sha1",
    doc: doc("8.0.0", "O(1)", "Returns the source of a script of the cache."),
    handler: Handler::Plain(show),
    ..SUBCOMMAND
};

fn show(ctx: &mut Ctx, args: &Args) -> CommandResult {
    match ctx.server.scripts.source(args.at(2)) {
        Some(source) => {
            ctx.reply.bulk(&source);
            Ok(())
        }
        None => Err(CommandError::text("NOSCRIPT No matching script. Please use EVAL.")),
    }
}
