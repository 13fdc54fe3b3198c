//! WAIT and WAITAOF: waiting until writes are on more machines, or on disk.

use super::super::ctx::Task;
use super::super::{
    Args, Command, CommandError, Ctx, Flags, Group, Handler, Outcome, Propagate, doc,
};
use crate::number;

const TIPS: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

pub(super) const WAIT: Command = Command {
    name: "WAIT",
    arity: 3,
    flags: Flags::BLOCKING,
    group: Group::Generic,
    args: "numreplicas:integer timeout:integer",
    propagate: Propagate::Never,
    categories: &["connection"],
    tips: TIPS,
    doc: doc(
        "3.0.0",
        "O(1)",
        "Blocks until the writes of the connection are acknowledged by a number of replicas.",
    ),
    handler: Handler::Extended(wait),
    ..Command::BASE
};

fn wait(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let replicas = number::parse_i64(args.at(1)).ok_or(CommandError::NotInteger)?;
    let timeout_ms = timeout_ms(args.at(2))?;
    let offset = ctx.session()?.last_fed;
    let have = ctx.sessions.replicas.that_have(offset, false);
    if have >= replicas || !ctx.may_wait() {
        ctx.reply.int(have);
        return Ok(Outcome::Replied);
    }
    Ok(Outcome::Task(Task::WaitReplicas { replicas, timeout_ms }))
}

fn timeout_ms(text: &[u8]) -> Result<u64, CommandError> {
    let timeout = number::parse_i64(text)
        .ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    u64::try_from(timeout).map_err(|_| CommandError::TimeoutNegative)
}

pub(super) const WAITAOF: Command = Command {
    name: "WAITAOF",
    arity: 4,
    args: "numlocal:integer numreplicas:integer timeout:integer",
    doc: doc(
        "7.2.0",
        "O(1)",
        "Blocks until the writes of the connection are synced to the local log and those of a number of replicas.",
    ),
    handler: Handler::Extended(waitaof),
    ..WAIT
};

/// What WAITAOF says without a log; also to those who wait when the log goes.
pub const WAITAOF_WITHOUT_LOG: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

fn waitaof(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let local = number::parse_i64(args.at(1)).ok_or(CommandError::NotInteger)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = number::parse_i64(args.at(2))
        .filter(|replicas| *replicas >= 0)
        .ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
    let timeout_ms = timeout_ms(args.at(3))?;
    if local == 1 && !ctx.server.persistence.log_enabled {
        return Err(CommandError::text(WAITAOF_WITHOUT_LOG));
    }
    Ok(Outcome::Task(Task::WaitLog { local, replicas, timeout_ms }))
}
