//! MODULE: there are none, and none can be loaded.

use super::super::help::reply_help;
use super::super::{Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, doc};

const CHANGE: Flags =
    Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::PROTECTED);
const SUB: Command = Command { group: Group::Server, flags: CHANGE, ..Command::BASE };

pub const MODULE: Command = Command {
    name: "MODULE",
    arity: -2,
    group: Group::Server,
    doc: doc("4.0.0", "Depends on subcommand.", "A container for module commands."),
    subcommands: &[
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "LIST",
            arity: 2,
            flags: Flags::ADMIN.or(Flags::NOSCRIPT),
            tips: &["nondeterministic_output_order"],
            doc: doc(
                "4.0.0",
                "O(N) where N is the number of loaded modules.",
                "Returns all loaded modules.",
            ),
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.array(0);
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "LOAD",
            arity: -3,
            args: "path [arg ...]",
            doc: doc("4.0.0", "O(1)", "Loads a module."),
            handler: Handler::Plain(load),
            ..SUB
        },
        Command {
            name: "LOADEX",
            arity: -3,
            args: "path [CONFIG <name value> ...] [ARGS arg ...]",
            doc: doc("7.0.0", "O(1)", "Loads a module with its configuration."),
            handler: Handler::Plain(load),
            ..SUB
        },
        Command {
            name: "UNLOAD",
            arity: 3,
            args: "name",
            doc: doc("4.0.0", "O(1)", "Unloads a module."),
            handler: Handler::Plain(|_, _| {
                Err(CommandError::text("ERR Error unloading module: no such module with that name"))
            }),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn load(_ctx: &mut Ctx, _args: &Args) -> CommandResult {
    Err(CommandError::text(
        "ERR Error loading the extension: this server does not run modules written for Redis.",
    ))
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "MODULE",
        &[
            "LIST",
            "    Return a list of loaded modules.",
            "LOAD <path> [<arg> ...]",
            "    Load a module library from <path>, passing to it any optional arguments.",
            "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
            "    Load a module library from <path>, while passing it module configurations and \
             optional arguments.",
            "UNLOAD <name>",
            "    Unload a module.",
        ],
    )
}
