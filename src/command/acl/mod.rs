//! ACL and its subcommands: the users and the log of denials as clients see them.
//!
//! What they ask and change is `crate::acl`; the ACL file is read and written by the engine.

mod denials;
mod users;

use super::ctx::Task;
use super::help::reply_help;
use super::introspect::categories::{CATEGORIES, belongs};
use super::table::table;
use super::{
    Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, Outcome, doc,
};
use crate::command::error::told;
use crate::number;

pub const COMMANDS: &[Command] = &[ACL];

const OPEN: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::SENTINEL);
const SUB: Command =
    Command { flags: OPEN.or(Flags::ADMIN), group: Group::Server, ..Command::BASE };
const OF_USERS: &str = "O(N). Where N is the number of configured users.";
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
/// Bits of the longest password that GENPASS makes, and of the usual one.
const PASSWORD_BITS_MAX: i64 = 4096;
const PASSWORD_BITS: i64 = 256;

pub const ACL: Command = Command {
    name: "ACL",
    arity: -2,
    flags: Flags::SENTINEL,
    group: Group::Server,
    doc: doc("6.0.0", "Depends on subcommand.", "A container for Access List Control commands."),
    subcommands: &[
        Command {
            name: "CAT",
            arity: -2,
            flags: OPEN,
            args: "[category]",
            doc: doc(
                "6.0.0",
                "O(1) since the categories and commands are a fixed set.",
                "Lists the ACL categories, or the commands inside a category.",
            ),
            handler: Handler::Plain(cat),
            ..SUB
        },
        Command {
            name: "DELUSER",
            arity: -3,
            args: "username ...",
            tips: EVERYWHERE,
            doc: doc(
                "6.0.0",
                "O(1) amortized time considering the typical user.",
                "Deletes ACL users, and terminates their connections.",
            ),
            handler: Handler::Plain(users::delete),
            ..SUB
        },
        Command {
            name: "DRYRUN",
            arity: -4,
            args: "username command [arg ...]",
            doc: doc(
                "7.0.0",
                "O(1).",
                "Simulates the execution of a command by a user, without executing the command.",
            ),
            handler: Handler::Plain(denials::dry_run),
            ..SUB
        },
        Command {
            name: "GENPASS",
            arity: -2,
            flags: OPEN,
            args: "[bits:integer]",
            doc: doc(
                "6.0.0",
                "O(1)",
                "Generates a pseudorandom, secure password that can be used to identify ACL users.",
            ),
            handler: Handler::Plain(generate_password),
            ..SUB
        },
        Command {
            name: "GETUSER",
            arity: 3,
            args: "username",
            doc: Doc {
                history: &[
                    ("6.2.0", "Added Pub/Sub channel patterns."),
                    (
                        "7.0.0",
                        "Added selectors and changed the format of key and channel patterns from a list to their rule representation.",
                    ),
                ],
                ..doc(
                    "6.0.0",
                    "O(N). Where N is the number of password, command and pattern rules that the user has.",
                    "Lists the ACL rules of a user.",
                )
            },
            handler: Handler::Plain(users::get),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE).or(Flags::SENTINEL),
            doc: doc("6.0.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "LIST",
            arity: 2,
            doc: doc("6.0.0", OF_USERS, "Dumps the effective rules in ACL file format."),
            handler: Handler::Plain(users::list),
            ..SUB
        },
        Command {
            name: "LOAD",
            arity: 2,
            doc: doc("6.0.0", OF_USERS, "Reloads the rules from the configured ACL file."),
            handler: Handler::Extended(|ctx, _| file_task(ctx, Task::AclLoad)),
            ..SUB
        },
        Command {
            name: "LOG",
            arity: -2,
            args: "[count:integer | RESET]",
            doc: Doc {
                history: &[(
                    "7.2.0",
                    "Added entry ID, timestamp created, and timestamp last updated.",
                )],
                ..doc(
                    "6.0.0",
                    "O(N) with N being the number of entries shown.",
                    "Lists recent security events generated due to ACL rules.",
                )
            },
            handler: Handler::Plain(denials::log),
            ..SUB
        },
        Command {
            name: "SAVE",
            arity: 2,
            tips: EVERYWHERE,
            doc: doc(
                "6.0.0",
                OF_USERS,
                "Saves the effective ACL rules in the configured ACL file.",
            ),
            handler: Handler::Extended(|ctx, _| file_task(ctx, Task::AclSave)),
            ..SUB
        },
        Command {
            name: "SETUSER",
            arity: -3,
            args: "username [rule ...]",
            tips: EVERYWHERE,
            doc: Doc {
                history: &[
                    ("6.2.0", "Added Pub/Sub channel patterns."),
                    ("7.0.0", "Added selectors and key based permissions."),
                ],
                ..doc(
                    "6.0.0",
                    "O(N). Where N is the number of rules provided.",
                    "Creates and modifies an ACL user and its rules.",
                )
            },
            handler: Handler::Plain(users::set),
            ..SUB
        },
        Command {
            name: "USERS",
            arity: 2,
            doc: doc("6.0.0", OF_USERS, "Lists all ACL users."),
            handler: Handler::Plain(users::names),
            ..SUB
        },
        Command {
            name: "WHOAMI",
            arity: 2,
            flags: OPEN,
            doc: doc(
                "6.0.0",
                "O(1)",
                "Returns the authenticated username of the current connection.",
            ),
            handler: Handler::Plain(users::who_am_i),
            ..SUB
        },
    ],
    ..Command::BASE
};

/// What Redis says to arguments that no subcommand takes.
fn wrong_arguments(args: &Args) -> CommandError {
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try ACL HELP.",
        told(args.at(1))
    ))
}

fn cat(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let names: Vec<&str> = match args.get(2) {
        _ if args.len() > 3 => return Err(wrong_arguments(args)),
        None => CATEGORIES.to_vec(),
        Some(category) => {
            let wanted = String::from_utf8_lossy(category).to_lowercase();
            if !CATEGORIES.contains(&wanted.as_str()) {
                return Err(CommandError::owned(format!(
                    "ERR Unknown category '{}'",
                    told(category)
                )));
            }
            let rows = table().rows().iter().filter(|row| belongs(row, &wanted));
            rows.map(|row| row.full_name.as_str()).collect()
        }
    };
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn generate_password(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let bits = match args.get(2) {
        _ if args.len() > 3 => return Err(wrong_arguments(args)),
        None => PASSWORD_BITS,
        Some(bits) => number::parse_i64(bits).ok_or(CommandError::NotInteger)?,
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(CommandError::text(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a \
             positive number up to 4096",
        ));
    }
    let digits = usize::try_from(bits).unwrap_or(0).div_ceil(4);
    let password = crate::rng::secret_hex(digits)
        .ok_or(CommandError::text("ERR the operating system gives no random numbers"))?;
    ctx.reply.bulk(password.as_bytes());
    Ok(())
}

/// LOAD and SAVE: only with an ACL file.
fn file_task(ctx: &mut Ctx, task: Task) -> Result<Outcome, CommandError> {
    if ctx.server.config.aclfile.is_empty() {
        return Err(CommandError::text(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
             users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have \
             a Redis configuration file set) in order to store users in the Redis configuration.",
        ));
    }
    Ok(Outcome::Task(task))
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "ACL",
        &[
            "CAT [<category>]",
            "    List all commands that belong to <category>, or all command categories",
            "    when no category is specified.",
            "DELUSER <username> [<username> ...]",
            "    Delete a list of users.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Returns whether the user can execute the given command without executing the command.",
            "GETUSER <username>",
            "    Get the user's details.",
            "GENPASS [<bits>]",
            "    Generate a secure 256-bit user password. The optional `bits` argument can",
            "    be used to specify a different size.",
            "LIST",
            "    Show users details in config file format.",
            "LOAD",
            "    Reload users from the ACL file.",
            "LOG [<count> | RESET]",
            "    Show the ACL log entries.",
            "SAVE",
            "    Save the current config to the ACL file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Create or modify a user with the specified attributes.",
            "USERS",
            "    List all the registered usernames.",
            "WHOAMI",
            "    Return the current connection username.",
        ],
    )
}
