//! FUNCTION and FCALL: libraries of functions, which are part of the data set.

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Outcome, doc,
};
use crate::command::Propagate;
use crate::command::ctx::{ScriptCall, ScriptTarget, Task};
use crate::command::error::told;
use crate::command::help::reply_help;
use crate::glob::matches;
use crate::number;
use crate::scripting::{Library, RestorePolicy};
use crate::snapshot::{dump, function};

const RUNS: Flags = Flags::NOSCRIPT
    .or(Flags::SKIP_MONITOR)
    .or(Flags::NO_MANDATORY_KEYS)
    .or(Flags::STALE)
    .or(Flags::MOVABLE_KEYS);

pub(super) const FCALL: Command = Command {
    name: "FCALL",
    arity: -3,
    flags: RUNS.or(Flags::MAY_REPLICATE),
    group: Group::Scripting,
    keys: &[KeySpec::counted(2, Access::ReadWrite, &["access", "update"])],
    args: "function numkeys:integer [key ...] [arg ...]",
    doc: doc("7.0.0", "Depends on the function that is executed.", "Runs a function."),
    handler: Handler::Extended(fcall),
    ..Command::BASE
};

pub(super) const FCALL_RO: Command = Command {
    name: "FCALL_RO",
    arity: -3,
    flags: RUNS.or(Flags::READONLY),
    group: Group::Scripting,
    keys: &[KeySpec::counted(2, Access::Read, &["access"])],
    args: "function numkeys:integer [key ...] [arg ...]",
    doc: doc(
        "7.0.0",
        "Depends on the function that is executed.",
        "Runs a function that may not write.",
    ),
    handler: Handler::Extended(fcall_ro),
    ..Command::BASE
};

fn fcall(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    run(ctx, args, false)
}

fn fcall_ro(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    run(ctx, args, true)
}

fn run(ctx: &mut Ctx, args: &Args, read_only: bool) -> Result<Outcome, CommandError> {
    let keys = function_keys(args).map_err(|error| {
        // That the function is missing is said first, and when it is looked for to be run.
        if ctx.server.libraries.has_function(args.at(1)) {
            return error;
        }
        CommandError::text("ERR Function not found")
    })?;
    Ok(Outcome::Task(Task::Script(ScriptCall { target: ScriptTarget::Function, read_only, keys })))
}

/// How many of FCALL's arguments are keys.
fn function_keys(args: &Args) -> Result<usize, CommandError> {
    if number::parse_i64(args.at(2)).is_none() {
        return Err(CommandError::text("ERR Bad number of keys provided"));
    }
    super::eval::key_count(args)
}

pub(super) const FUNCTION: Command = Command {
    name: "FUNCTION",
    arity: -2,
    group: Group::Scripting,
    doc: doc("7.0.0", "Depends on subcommand.", "A container for the commands about functions."),
    subcommands: &[DELETE, DUMP, FLUSH, HELP, KILL, LIST, LOAD, RESTORE, STATS],
    ..Command::BASE
};

const SUBCOMMAND: Command = Command {
    flags: Flags::NOSCRIPT.or(Flags::WHOLE_KEYSPACE),
    group: Group::Scripting,
    categories: &["scripting"],
    ..Command::BASE
};

const CHANGING: Command = Command {
    flags: Flags::NOSCRIPT.or(Flags::WRITE).or(Flags::WHOLE_KEYSPACE),
    propagate: Propagate::AsSent,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..SUBCOMMAND
};

/// The libraries changed: the request goes to the log.
fn changed(ctx: &mut Ctx) {
    ctx.ks.effects.dirty += 1;
}

fn error(text: impl Into<Vec<u8>>) -> CommandError {
    let mut bytes = b"ERR ".to_vec();
    bytes.extend(text.into());
    CommandError::bytes(bytes)
}

const DELETE: Command = Command {
    name: "DELETE",
    arity: 3,
    args: "library-name",
    doc: doc("7.0.0", "O(1)", "Forgets a library and its functions."),
    handler: Handler::Plain(delete),
    ..CHANGING
};

fn delete(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if !ctx.server.libraries.delete(args.at(2)) {
        return Err(CommandError::text("ERR Library not found"));
    }
    changed(ctx);
    ctx.reply.ok();
    Ok(())
}

const DUMP: Command = Command {
    name: "DUMP",
    arity: 2,
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of functions",
        "Returns all libraries in a serialized form.",
    ),
    handler: Handler::Plain(dump_all),
    ..SUBCOMMAND
};

fn dump_all(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let sources = ctx.server.libraries.iter().map(|library| &*library.source);
    ctx.reply.bulk(&function::dump(sources));
    Ok(())
}

const FLUSH: Command = Command {
    name: "FLUSH",
    arity: -2,
    args: "[<ASYNC | SYNC>]",
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of functions deleted",
        "Forgets all libraries and functions.",
    ),
    handler: Handler::Plain(flush),
    ..CHANGING
};

fn flush(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let at_once = match args.len() {
        2 => !ctx.server.config.lazyfree_lazy_user_flush,
        3 if args.is(2, "SYNC") => true,
        3 if args.is(2, "ASYNC") => false,
        3 => {
            let text = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
            return Err(CommandError::text(text));
        }
        _ => {
            let word = told(args.at(1)).into_owned();
            return Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{word}'. Try FUNCTION \
                 HELP."
            )));
        }
    };
    let forgotten = ctx.server.libraries.take();
    if at_once {
        drop(forgotten);
    } else {
        ctx.server.garbage.push(forgotten);
    }
    changed(ctx);
    ctx.reply.ok();
    Ok(())
}

const HELP: Command = Command {
    name: "HELP",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    doc: doc("7.0.0", "O(1)", "Returns helpful text about the different subcommands."),
    handler: Handler::Plain(help),
    ..SUBCOMMAND
};

const HELP_LINES: &[&str] = &[
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
];

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(ctx, "FUNCTION", HELP_LINES)
}

const KILL: Command = Command {
    name: "KILL",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::ALLOW_BUSY).or(Flags::WHOLE_KEYSPACE),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    doc: doc("7.0.0", "O(1)", "Ends the running function."),
    handler: Handler::Plain(kill),
    ..SUBCOMMAND
};

fn kill(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    super::script::end_running(ctx, true)
}

const LIST: Command = Command {
    name: "LIST",
    arity: -2,
    args: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
    tips: &["nondeterministic_output_order"],
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of functions",
        "Returns what libraries there are and what is in them.",
    ),
    handler: Handler::Plain(list),
    ..SUBCOMMAND
};

fn list(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (mut pattern, mut with_code) = (None, false);
    let mut at = 2;
    while at < args.len() {
        if !with_code && args.is(at, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && args.is(at, "LIBRARYNAME") {
            at += 1;
            let text = "ERR library name argument was not given";
            pattern = Some(args.get(at).ok_or(CommandError::text(text))?);
        } else {
            let word = told(args.at(at));
            return Err(CommandError::owned(format!("ERR Unknown argument {word}")));
        }
        at += 1;
    }
    let place = ctx.reply.defer();
    let mut count = 0;
    for library in ctx.server.libraries.iter() {
        if pattern.is_none_or(|pattern| matches(pattern, library.name.as_bytes(), false)) {
            write_library(ctx.reply, library, with_code);
            count += 1;
        }
    }
    ctx.reply.end_array(place, count);
    Ok(())
}

fn write_library(reply: &mut crate::resp::Reply, library: &Library, with_code: bool) {
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    let functions = library.functions();
    reply.array(functions.len());
    for (name, description, flags) in functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(name.as_bytes());
        reply.bulk(b"description");
        reply.bulk_or_null(description);
        reply.bulk(b"flags");
        reply.set(flags.names().count());
        for flag in flags.names() {
            reply.simple(flag);
        }
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.source);
    }
}

const LOAD: Command = Command {
    name: "LOAD",
    arity: -3,
    flags: CHANGING.flags.or(Flags::DENYOOM),
    args: "[REPLACE] function-code",
    doc: doc("7.0.0", "O(1) (considering compilation time is redundant)", "Loads a library."),
    handler: Handler::Plain(load),
    ..CHANGING
};

fn load(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let last = args.len() - 1;
    for at in 2..last {
        if !args.is(at, "REPLACE") {
            let word = told(args.at(at));
            return Err(CommandError::owned(format!("ERR Unknown option given: {word}")));
        }
    }
    ctx.server.libraries.share_random(&ctx.server.scripts.random);
    let name = ctx.server.libraries.load(args.at(last), last > 2).map_err(error)?;
    changed(ctx);
    ctx.reply.bulk(name.as_bytes());
    Ok(())
}

const RESTORE: Command = Command {
    name: "RESTORE",
    arity: -3,
    flags: CHANGING.flags.or(Flags::DENYOOM),
    args: "serialized-value [<FLUSH | APPEND | REPLACE>]",
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of functions on the payload",
        "Loads the libraries of a dump.",
    ),
    handler: Handler::Plain(restore),
    ..CHANGING
};

fn restore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let policy = match args.len() {
        3 => RestorePolicy::Append,
        4 if args.is(3, "APPEND") => RestorePolicy::Append,
        4 if args.is(3, "REPLACE") => RestorePolicy::Replace,
        4 if args.is(3, "FLUSH") => RestorePolicy::Flush,
        4 => {
            let text = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or \
                        REPLACE.";
            return Err(CommandError::text(text));
        }
        _ => {
            let word = told(args.at(1)).into_owned();
            return Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{word}'. Try FUNCTION HELP."
            )));
        }
    };
    let (body, _) = dump::check_footer(args.at(2), true)
        .map_err(|_| CommandError::text("ERR DUMP payload version or checksum are wrong"))?;
    let sources = function::sources(body).map_err(|text| error(text.to_owned()))?;
    ctx.server.libraries.share_random(&ctx.server.scripts.random);
    ctx.server.libraries.restore(&sources, policy).map_err(error)?;
    changed(ctx);
    ctx.reply.ok();
    Ok(())
}

const STATS: Command = Command {
    name: "STATS",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::ALLOW_BUSY),
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    doc: doc("7.0.0", "O(1)", "Returns which function is running, and how many there are."),
    handler: Handler::Plain(stats),
    ..SUBCOMMAND
};

fn stats(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let running = ctx.server.running_script.as_ref();
    if let Some(running) = running.filter(|running| !running.is_function) {
        return Err(running.busy_error());
    }
    let libraries = &ctx.server.libraries;
    ctx.reply.map(2);
    ctx.reply.bulk(b"running_script");
    match running {
        None => ctx.reply.null(),
        Some(running) => {
            ctx.reply.map(3);
            ctx.reply.bulk(b"name");
            ctx.reply.bulk(running.name.as_bytes());
            ctx.reply.bulk(b"command");
            let command = running.command.as_args();
            ctx.reply.array(command.len());
            for word in command.iter() {
                ctx.reply.bulk(word);
            }
            ctx.reply.bulk(b"duration_ms");
            let elapsed = running.now.saturating_sub(running.started);
            ctx.reply.int(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX));
        }
    }
    ctx.reply.bulk(b"engines");
    ctx.reply.map(1);
    ctx.reply.bulk(b"LUA");
    ctx.reply.map(2);
    ctx.reply.bulk(b"libraries_count");
    ctx.reply.count(libraries.len());
    ctx.reply.bulk(b"functions_count");
    ctx.reply.count(libraries.function_count());
    Ok(())
}
