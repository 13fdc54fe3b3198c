//! Replication between servers: feeding replicas. What would make this server a replica is refused in clear
//! words.
//!
//! PSYNC and SYNC make their client a replica (`session::replica`), which is always sent a whole snapshot: no
//! part of the stream is kept for one that comes back.

use super::ctx::Task;
use super::{
    Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, Outcome, doc,
};
use crate::command::error::{told, told_lossy};
use crate::number;

pub const COMMANDS: &[Command] = &[FAILOVER, PSYNC, REPLCONF, REPLICAOF, SLAVEOF, SYNC];

const NO_REPLICATION: CommandError = CommandError::text(
    "ERR this server cannot be a replica of another one yet; it can feed replicas",
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

fn failover(ctx: &mut Ctx, args: &Args) -> CommandResult {
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
    if ctx.sessions.replicas.is_empty() {
        return Err(CommandError::text("ERR FAILOVER requires connected replicas."));
    }
    Err(NO_REPLICATION)
}

pub const PSYNC: Command = Command {
    name: "PSYNC",
    arity: -3,
    flags: LINK,
    group: Group::Server,
    args: "replicationid offset:integer",
    doc: doc("2.8.0", "O(1)", "An internal command used in replication."),
    handler: Handler::Extended(|_, args| {
        if number::parse_i64(args.at(2)).is_none() {
            return Err(CommandError::NotInteger);
        }
        Ok(Outcome::Task(Task::Synchronize { psync: true }))
    }),
    ..Command::BASE
};

pub const SYNC: Command = Command {
    name: "SYNC",
    arity: 1,
    args: "",
    doc: doc("1.0.0", "O(1)", "An internal command used in replication."),
    handler: Handler::Extended(|_, _| Ok(Outcome::Task(Task::Synchronize { psync: false }))),
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
    handler: Handler::Extended(replconf),
    ..Command::BASE
};

/// What a replica tells of itself before it asks to be fed, and of what it has afterwards.
fn replconf(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    for at in (1..args.len()).step_by(2) {
        let (option, value) = (args.at(at).to_ascii_lowercase(), args.at(at + 1));
        match option.as_slice() {
            // Of a replica only, and then without a reply.
            b"ack" => return Ok(note_ack(ctx, args, at)),
            b"getack" => return Ok(Outcome::Replied),
            option => announce(ctx, option, value)?,
        }
    }
    ctx.reply.ok();
    Ok(Outcome::Replied)
}

/// `ACK offset [FACK offset]`.
fn note_ack(ctx: &mut Ctx, args: &Args, at: usize) -> Outcome {
    let number =
        |at: usize| number::parse_i64(args.at(at)).map(|number| number.max(0).unsigned_abs());
    let Some(acked) = number(at + 1) else { return Outcome::Replied };
    let in_log = if args.is(at + 2, "FACK") { number(at + 3) } else { None };
    match ctx.sessions.replicas.note_ack(ctx.client, acked, in_log, ctx.now) {
        true => Outcome::Task(Task::Acknowledged),
        false => Outcome::Replied,
    }
}

fn announce(ctx: &mut Ctx, option: &[u8], value: &[u8]) -> CommandResult {
    let announced = ctx.session()?.announced.get_or_insert_default();
    let integer = || number::parse_i64(value).ok_or(CommandError::NotInteger);
    match option {
        b"listening-port" => {
            announced.port = u16::try_from(integer()?).map_err(|_| CommandError::NotInteger)?;
        }
        b"ip-address" if value.len() > IP_LEN_MAX => {
            return Err(CommandError::owned(format!(
                "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                value.len()
            )));
        }
        b"ip-address" => announced.ip = told_lossy(value).into_owned(),
        b"rdb-only" => announced.rdb_only = integer()? != 0,
        b"rdb-filter-only" => {
            announced.kind.keys = false;
            announced.kind.functions = false;
            for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                if !word.eq_ignore_ascii_case(b"functions") {
                    return Err(CommandError::owned(format!(
                        "ERR Unsupported rdb-filter-only option: {}",
                        told(word)
                    )));
                }
                announced.kind.functions = true;
            }
        }
        // Only Valkey tells its version; from 9 on it reads its own kind of file.
        b"version" => {
            let major = value.split(|byte| *byte == b'.').next().and_then(number::parse_i64);
            announced.kind.valkey = major.is_some_and(|major| major >= 9);
        }
        // Whatever else it could take: it gets a file of known length on this connection.
        b"capa" | b"rdb-channel" | b"main-ch-client-id" => {}
        _ => {
            return Err(CommandError::owned(format!(
                "ERR Unrecognized REPLCONF option: {}",
                told(option)
            )));
        }
    }
    Ok(())
}

/// Longest name or address that a replica may announce.
const IP_LEN_MAX: usize = 255;
