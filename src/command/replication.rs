//! Replication between servers, as far as a server without it can truthfully answer.
//!
//! This server is a primary and has no replicas. What asks for that state is answered as Redis answers it;
//! what would change it is refused in clear words.

use super::{Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc};
use crate::command::error::told;
use crate::number;

pub const COMMANDS: &[Command] = &[FAILOVER, PSYNC, REPLCONF, REPLICAOF, SLAVEOF, SYNC];

const NO_REPLICATION: CommandError = CommandError::text(
    "ERR this server does not replicate yet: it cannot be a replica or feed one",
);
const LINK: Flags =
    Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::NO_MULTI).or(Flags::NOSCRIPT);

pub const REPLICAOF: Command = Command {
    name: "REPLICAOF",
    arity: 3,
    flags: Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::STALE),
    group: Group::Server,
    args: "<host:string port:integer | NO ONE>",
    doc: doc("5.0.0", "O(1)", "Makes a server a replica of another, or a primary again."),
    handler: Handler::Plain(replicaof),
    ..Command::BASE
};

pub const SLAVEOF: Command = Command {
    name: "SLAVEOF",
    doc: Doc {
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        ..doc("1.0.0", "O(1)", "Makes a server a replica of another, or a primary again.")
    },
    ..REPLICAOF
};

fn replicaof(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.is(1, "NO") && args.is(2, "ONE") {
        ctx.reply.ok();
        return Ok(());
    }
    let port = number::parse_i64(args.at(2)).filter(|port| (0..=65_535).contains(port));
    if port.is_none() {
        return Err(CommandError::text("ERR Invalid master port"));
    }
    Err(NO_REPLICATION)
}

pub const FAILOVER: Command = Command {
    name: "FAILOVER",
    arity: -1,
    flags: Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::STALE),
    group: Group::Server,
    args: "[TO <host:string port:integer [FORCE]>] [ABORT] [TIMEOUT milliseconds:integer]",
    doc: doc("6.2.0", "O(1)", "Starts a coordinated failover to one of the replicas."),
    handler: Handler::Plain(failover),
    ..Command::BASE
};

fn failover(_ctx: &mut Ctx, args: &Args) -> CommandResult {
    let mut at = 1;
    let (mut abort, mut force, mut to, mut timeout) = (false, false, false, None);
    while at < args.len() {
        if args.is(at, "TIMEOUT") && at + 1 < args.len() && timeout.is_none() {
            let time = number::parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger)?;
            if time <= 0 {
                return Err(CommandError::text("ERR FAILOVER timeout must be greater than 0"));
            }
            timeout = Some(time);
            at += 1;
        } else if args.is(at, "ABORT") && !abort {
            abort = true;
        } else if args.is(at, "TO") && at + 2 < args.len() && !to {
            number::parse_i64(args.at(at + 2)).ok_or(CommandError::NotInteger)?;
            to = true;
            at += 2;
        } else if args.is(at, "FORCE") && !force {
            force = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    if abort {
        let alone = args.len() == 2;
        return Err(if alone {
            CommandError::text("ERR No failover in progress.")
        } else {
            CommandError::Syntax
        });
    }
    Err(CommandError::text("ERR FAILOVER requires connected replicas."))
}

pub const PSYNC: Command = Command {
    name: "PSYNC",
    arity: -3,
    flags: LINK,
    group: Group::Server,
    args: "replicationid offset:integer",
    doc: doc("2.8.0", "O(1)", "An internal command used in replication."),
    handler: Handler::Plain(|_, _| Err(NO_REPLICATION)),
    ..Command::BASE
};

pub const SYNC: Command = Command {
    name: "SYNC",
    arity: 1,
    args: "",
    doc: doc("1.0.0", "O(1)", "An internal command used in replication."),
    ..PSYNC
};

pub const REPLCONF: Command = Command {
    name: "REPLCONF",
    arity: -1,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::ALLOW_BUSY),
    group: Group::Server,
    doc: doc("3.0.0", "O(1)", "An internal command for configuring the replication stream."),
    handler: Handler::Plain(replconf),
    ..Command::BASE
};

/// What a replica tells of itself before it asks to be fed; taken and of no effect.
fn replconf(ctx: &mut Ctx, args: &Args) -> CommandResult {
    const KNOWN: &[&str] = &[
        "listening-port",
        "ip-address",
        "capa",
        "version",
        "rdb-only",
        "rdb-filter-only",
        "rdb-channel",
        "main-ch-client-id",
    ];
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    for at in (1..args.len()).step_by(2) {
        // Of a replica only, and then without a reply.
        if args.is(at, "ACK") || args.is(at, "GETACK") {
            return Ok(());
        }
        if !KNOWN.iter().any(|known| args.is(at, known)) {
            return Err(CommandError::owned(format!(
                "ERR Unrecognized REPLCONF option: {}",
                told(args.at(at))
            )));
        }
    }
    ctx.reply.ok();
    Ok(())
}
