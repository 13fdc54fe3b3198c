//! COMMAND and its subcommands: the table as clients ask for it.

pub mod categories;
mod docs;
mod info;
mod reference;

pub use reference::reference;

use super::help::reply_help;
use super::table::{Row, table};
use super::{
    Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc, keyspec,
};
use crate::glob;

pub const COMMANDS: &[Command] = &[COMMAND];

/// All of them may run while the data set is loaded: clients ask when they connect.
const SUB: Command = Command {
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::SENTINEL),
    group: Group::Server,
    categories: &["connection"],
    ..Command::BASE
};
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ALL: &str = "O(N) where N is the total number of Redis commands";
const SOME: &str = "O(N) where N is the number of commands to look up";
const ARGUMENTS: &str = "O(N) where N is the number of arguments to the command";

pub const COMMAND: Command = Command {
    name: "COMMAND",
    arity: -1,
    tips: ANY_ORDER,
    doc: doc("2.8.13", ALL, "Returns detailed information about all commands."),
    handler: Handler::Plain(all),
    subcommands: &[
        Command {
            name: "COUNT",
            arity: 2,
            doc: doc("2.8.13", "O(1)", "Returns a count of commands."),
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.count(table().commands().count());
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "DOCS",
            arity: -2,
            args: "[command-name ...]",
            tips: ANY_ORDER,
            doc: doc(
                "7.0.0",
                SOME,
                "Returns documentary information about one, multiple or all commands.",
            ),
            handler: Handler::Plain(documentation),
            ..SUB
        },
        Command {
            name: "GETKEYS",
            arity: -3,
            args: "command [arg ...]",
            doc: doc("2.8.13", ARGUMENTS, "Extracts the key names from an arbitrary command."),
            handler: Handler::Plain(|ctx, args| keys(ctx, args, false)),
            ..SUB
        },
        Command {
            name: "GETKEYSANDFLAGS",
            arity: -3,
            args: "command [arg ...]",
            doc: doc(
                "7.0.0",
                ARGUMENTS,
                "Extracts the key names and access flags for an arbitrary command.",
            ),
            handler: Handler::Plain(|ctx, args| keys(ctx, args, true)),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "INFO",
            arity: -2,
            args: "[command-name ...]",
            tips: ANY_ORDER,
            doc: Doc {
                history: &[(
                    "7.0.0",
                    "Allowed to be called with no argument to get info on all commands.",
                )],
                ..doc("2.8.13", SOME, "Returns information about one, multiple or all commands.")
            },
            handler: Handler::Plain(information),
            ..SUB
        },
        Command {
            name: "LIST",
            arity: -2,
            args: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern:pattern>]",
            tips: ANY_ORDER,
            doc: doc("7.0.0", ALL, "Returns a list of command names."),
            handler: Handler::Plain(list),
            ..SUB
        },
    ],
    ..SUB
};

fn all(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    ctx.reply.array(table().commands().count());
    for row in table().commands() {
        info::write(ctx.reply, row);
    }
    Ok(())
}

fn information(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.len() == 2 {
        return all(ctx, args);
    }
    ctx.reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match table().by_full_name(name) {
            Some(row) => info::write(ctx.reply, row),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn documentation(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let rows: Vec<&Row> = match args.len() {
        2 => table().commands().collect(),
        _ => args.iter().skip(2).filter_map(|name| table().by_full_name(name)).collect(),
    };
    ctx.reply.map(rows.len());
    for row in rows {
        ctx.reply.bulk(row.full_name.as_bytes());
        docs::write(ctx.reply, row);
    }
    Ok(())
}

fn list(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let names: Vec<&str> = match args.len() {
        2 => table().rows().iter().map(|row| row.full_name.as_str()).collect(),
        5 if args.is(2, "FILTERBY") => {
            let wanted = args.at(4);
            let keep: Box<dyn Fn(&Row) -> bool> = if args.is(3, "MODULE") {
                // There are no modules.
                Box::new(|_| false)
            } else if args.is(3, "ACLCAT") {
                let wanted = String::from_utf8_lossy(wanted).to_lowercase();
                Box::new(move |row| categories::belongs(row, &wanted))
            } else if args.is(3, "PATTERN") {
                Box::new(|row| glob::matches(wanted, row.full_name.as_bytes(), true))
            } else {
                return Err(CommandError::Syntax);
            };
            table()
                .rows()
                .iter()
                .filter(|row| keep(row))
                .map(|row| row.full_name.as_str())
                .collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// GETKEYS and, with flags, GETKEYSANDFLAGS.
fn keys(ctx: &mut Ctx, args: &Args, with_flags: bool) -> CommandResult {
    let request = args.tail(2);
    let no_keys = || CommandError::text("ERR The command has no key arguments");
    let row = table().find(&request).map_err(|_| match request.len() {
        // A container by itself is a command, too.
        1 if table().by_full_name(request.at(0)).is_some() => no_keys(),
        _ => CommandError::text("ERR Invalid command specified"),
    })?;
    let command = row.command;
    if !keyspec::has_keys(command) {
        return Err(no_keys());
    }
    if !command.accepts(request.len()) {
        return Err(CommandError::text("ERR Invalid number of arguments specified for command"));
    }
    let found = keyspec::key_uses(command, &request);
    if found.is_empty() && !command.flags.has(Flags::NO_MANDATORY_KEYS) {
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    ctx.reply.array(found.len());
    for key in found {
        if !with_flags {
            ctx.reply.bulk(request.at(key.at));
            continue;
        }
        let flags: Vec<&str> = key.flags().collect();
        ctx.reply.array(2);
        ctx.reply.bulk(request.at(key.at));
        ctx.reply.set(flags.len());
        for flag in flags {
            ctx.reply.simple(flag);
        }
    }
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all Redis commands.",
            "COUNT",
            "    Return the total number of commands in this Redis server.",
            "LIST",
            "    Return a list of all commands in this Redis server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full Redis command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full Redis command.",
        ],
    )
}
