//! EVAL, EVALSHA and the forms that may not write.

use super::{
    Access, Args, Command, CommandError, Ctx, Flags, Group, Handler, KeySpec, Outcome, doc,
};
use crate::command::ctx::{ScriptCall, ScriptTarget, Task};
use crate::number;

const RUNS: Flags = Flags::NOSCRIPT
    .or(Flags::SKIP_MONITOR)
    .or(Flags::NO_MANDATORY_KEYS)
    .or(Flags::STALE)
    .or(Flags::MOVABLE_KEYS);

pub(super) const EVAL: Command = Command {
    name: "EVAL",
    arity: -3,
    flags: RUNS.or(Flags::MAY_REPLICATE),
    group: Group::Scripting,
    keys: &[KeySpec::counted(2, Access::ReadWrite, &["access", "update"])],
    args: "script numkeys:integer [key ...] [arg ...]",
    doc: doc("2.6.0", "Depends on the script that is executed.", "Runs a Lua script."),
    handler: Handler::Extended(eval),
    ..Command::BASE
};

pub(super) const EVAL_RO: Command = Command {
    name: "EVAL_RO",
    arity: -3,
    flags: RUNS.or(Flags::READONLY),
    group: Group::Scripting,
    keys: &[KeySpec::counted(2, Access::Read, &["access"])],
    args: "script numkeys:integer [key ...] [arg ...]",
    doc: doc(
        "7.0.0",
        "Depends on the script that is executed.",
        "Runs a Lua script that may not write.",
    ),
    handler: Handler::Extended(eval_ro),
    ..Command::BASE
};

pub(super) const EVALSHA: Command = Command {
    name: "EVALSHA",
    arity: -3,
    flags: RUNS.or(Flags::MAY_REPLICATE),
    group: Group::Scripting,
    keys: &[KeySpec::counted(2, Access::ReadWrite, &["access", "update"])],
    args: "sha1 numkeys:integer [key ...] [arg ...]",
    doc: doc(
        "2.6.0",
        "Depends on the script that is executed.",
        "Runs a Lua script of the cache by its SHA-1.",
    ),
    handler: Handler::Extended(evalsha),
    ..Command::BASE
};

pub(super) const EVALSHA_RO: Command = Command {
    name: "EVALSHA_RO",
    arity: -3,
    flags: RUNS.or(Flags::READONLY),
    group: Group::Scripting,
    keys: &[KeySpec::counted(2, Access::Read, &["access"])],
    args: "sha1 numkeys:integer [key ...] [arg ...]",
    doc: doc(
        "7.0.0",
        "Depends on the script that is executed.",
        "Runs a Lua script of the cache that may not write, by its SHA-1.",
    ),
    handler: Handler::Extended(evalsha_ro),
    ..Command::BASE
};

fn eval(_: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    run(args, ScriptCall { target: ScriptTarget::Source, read_only: false, keys: 0 })
}

fn eval_ro(_: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    run(args, ScriptCall { target: ScriptTarget::Source, read_only: true, keys: 0 })
}

fn evalsha(_: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    run(args, ScriptCall { target: ScriptTarget::Digest, read_only: false, keys: 0 })
}

fn evalsha_ro(_: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    run(args, ScriptCall { target: ScriptTarget::Digest, read_only: true, keys: 0 })
}

fn run(args: &Args, call: ScriptCall) -> Result<Outcome, CommandError> {
    if call.target == ScriptTarget::Digest && args.at(1).len() != 40 {
        return Err(CommandError::text("NOSCRIPT No matching script. Please use EVAL."));
    }
    let keys = key_count(args)?;
    Ok(Outcome::Task(Task::Script(ScriptCall { keys, ..call })))
}

/// The number of keys in argument 2, checked against the arguments behind it.
pub(super) fn key_count(args: &Args) -> Result<usize, CommandError> {
    let count = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let count = usize::try_from(count)
        .map_err(|_| CommandError::text("ERR Number of keys can't be negative"))?;
    if count > args.len() - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    Ok(count)
}
