//! CONFIG and its subcommands. Reading is done here; applying a change is the engine's.

use super::super::help::reply_help;
use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, Outcome, Task, doc,
};

const ADMIN: Flags = Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE);
const SUB: Command = Command { flags: ADMIN, group: Group::Server, ..Command::BASE };

pub const CONFIG: Command = Command {
    name: "CONFIG",
    arity: -2,
    group: Group::Server,
    doc: doc("2.0.0", "Depends on subcommand.", "A container for server configuration commands."),
    subcommands: &[
        Command {
            name: "GET",
            arity: -3,
            args: "parameter ...",
            doc: doc(
                "2.0.0",
                "O(N) when N is the number of configuration parameters provided",
                "Returns the effective values of configuration parameters.",
            ),
            handler: Handler::Plain(get),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "RESETSTAT",
            arity: 2,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc("2.0.0", "O(1)", "Resets the server's statistics."),
            handler: Handler::Extended(|_, _| Ok(Outcome::Task(Task::ResetStatistics))),
            ..SUB
        },
        Command {
            name: "REWRITE",
            arity: 2,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc("2.8.0", "O(1)", "Persists the effective configuration to file."),
            handler: Handler::Extended(|_, _| {
                Ok(Outcome::Task(Task::ConfigRewrite { all: false }))
            }),
            ..SUB
        },
        Command {
            name: "SET",
            arity: -4,
            args: "<parameter value> ...",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc(
                "2.0.0",
                "O(N) when N is the number of configuration parameters provided",
                "Sets configuration parameters in-flight.",
            ),
            handler: Handler::Extended(set),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn get(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let patterns: Vec<&[u8]> = args.iter().skip(2).collect();
    let found = ctx.server.config.get(&patterns);
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(&name);
        ctx.reply.bulk(&value);
    }
    Ok(())
}

fn set(_ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let pairs =
        (2..args.len()).step_by(2).map(|at| (args.at(at).to_vec(), args.at(at + 1).to_vec()));
    Ok(Outcome::Task(Task::ConfigSet { pairs: pairs.collect() }))
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset statistics reported by the INFO command.",
            "REWRITE",
            "    Rewrite the configuration file.",
        ],
    )
}
