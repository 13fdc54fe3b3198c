//! COMMANDLOG, as in Valkey: the slow log, and beside it the commands with large requests or replies.

use super::super::help::reply_help;
use super::super::state::ServerState;
use super::super::{Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, doc};
use super::slowlog::SlowLog;
use crate::number;

const SUB: Command = Command {
    flags: Flags::ADMIN.or(Flags::LOADING).or(Flags::STALE),
    group: Group::Server,
    ..Command::BASE
};
const TYPE: &str = "<SLOW | LARGE-REQUEST | LARGE-REPLY>";

pub const COMMANDLOG: Command = Command {
    name: "COMMANDLOG",
    arity: -2,
    group: Group::Server,
    doc: doc("8.1.0", "Depends on subcommand.", "A container for command log commands."),
    subcommands: &[
        Command {
            name: "GET",
            arity: 4,
            args: "count:integer <SLOW | LARGE-REQUEST | LARGE-REPLY>",
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            doc: doc(
                "8.1.0",
                "O(N) where N is the number of entries returned",
                "Returns the entries of one of the command logs.",
            ),
            handler: Handler::Plain(get),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("8.1.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "LEN",
            arity: 3,
            args: TYPE,
            tips: &[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ],
            doc: doc("8.1.0", "O(1)", "Returns the number of entries in one of the command logs."),
            handler: Handler::Plain(|ctx, args| {
                let len = log(ctx.server, args.at(2))?.len();
                ctx.reply.count(len);
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "RESET",
            arity: 3,
            args: TYPE,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc(
                "8.1.0",
                "O(N) where N is the number of entries in the commandlog",
                "Clears all entries of one of the command logs.",
            ),
            handler: Handler::Plain(|ctx, args| {
                log(ctx.server, args.at(2))?.clear();
                ctx.reply.ok();
                Ok(())
            }),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn log<'s>(server: &'s mut ServerState, name: &[u8]) -> Result<&'s mut SlowLog, CommandError> {
    if name.eq_ignore_ascii_case(b"slow") {
        Ok(&mut server.slow_log)
    } else if name.eq_ignore_ascii_case(b"large-request") {
        Ok(&mut server.observed.large_requests)
    } else if name.eq_ignore_ascii_case(b"large-reply") {
        Ok(&mut server.observed.large_replies)
    } else {
        Err(CommandError::text(
            "ERR type should be one of the following: slow, large-request, large-reply",
        ))
    }
}

fn get(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let count = match number::parse_i64(args.at(2)) {
        Some(-1) => usize::MAX,
        count => count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::text("ERR count should be greater than or equal to -1"))?,
    };
    log(ctx.server, args.at(3))?.write(count, ctx.reply);
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "COMMANDLOG",
        &[
            "GET <count> <type>",
            "    Return top <count> entries of the specified <type> from the commandlog (-1 mean all).",
            "    Entries are made of:",
            "    id, timestamp,",
            "        time in microseconds for type of slow,",
            "        or size in bytes for type of large-request,",
            "        or size in bytes for type of large-reply",
            "    arguments array, client IP and port,",
            "    client name",
            "LEN <type>",
            "    Return the length of the specified type of commandlog.",
            "RESET <type>",
            "    Reset the specified type of commandlog.",
        ],
    )
}
