//! CLIENT and its subcommands.

use super::super::help::reply_help;
use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc,
};
use super::client_list::{ClientClass, ClientFilter, describe, unknown_type};
use crate::command::ctx::Origin;
use crate::command::error::told;
use crate::number;
use crate::session::{Client, ClientId, Durability, ReplyMode};

const COMMON: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::SENTINEL);
const ADMIN: Flags = COMMON.or(Flags::ADMIN);

const SUB: Command = Command { flags: COMMON, group: Group::Connection, ..Command::BASE };

pub const CLIENT: Command = Command {
    name: "CLIENT",
    arity: -2,
    flags: Flags::SENTINEL,
    group: Group::Connection,
    doc: doc("2.4.0", "Depends on subcommand.", "A container for client connection commands."),
    handler: Handler::Container,
    subcommands: &[
        Command {
            name: "CACHING",
            arity: 3,
            args: "<YES | NO>",
            doc: doc(
                "6.0.0",
                "O(1)",
                "Instructs the server whether to track the keys in the next request.",
            ),
            handler: Handler::Plain(super::tracking::caching),
            ..SUB
        },
        Command {
            name: "CAPA",
            arity: -3,
            flags: Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE),
            args: "capability ...",
            doc: doc(
                "8.0.0",
                "O(1)",
                "Takes note of what the client can do; nothing depends on it.",
            ),
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.ok();
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "DURABILITY",
            arity: -2,
            args: "[ALWAYS | EVERYSEC | NO | DEFAULT]",
            doc: doc(
                "0.1.0",
                "O(1)",
                "Sets or returns what a reply to the connection means: synced to disk, or less.",
            ),
            handler: Handler::Plain(durability),
            ..SUB
        },
        Command {
            name: "GETNAME",
            arity: 2,
            doc: doc("2.6.9", "O(1)", "Returns the name of the connection."),
            handler: Handler::Plain(getname),
            ..SUB
        },
        Command {
            name: "GETREDIR",
            arity: 2,
            doc: doc(
                "6.0.0",
                "O(1)",
                "Returns the client ID to which the connection's tracking notifications are redirected.",
            ),
            handler: Handler::Plain(super::tracking::getredir),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE).or(Flags::SENTINEL),
            doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "ID",
            arity: 2,
            doc: doc("5.0.0", "O(1)", "Returns the unique client ID of the connection."),
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.int(ctx.client.0.cast_signed());
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "INFO",
            arity: 2,
            tips: &["nondeterministic_output"],
            doc: doc("6.2.0", "O(1)", "Returns information about the connection."),
            handler: Handler::Plain(info),
            ..SUB
        },
        Command {
            name: "KILL",
            arity: -3,
            flags: ADMIN,
            args: "<old-format | filter ...>",
            doc: doc(
                "2.4.0",
                "O(N) where N is the number of client connections",
                "Terminates open connections.",
            ),
            handler: Handler::Plain(kill),
            ..SUB
        },
        Command {
            name: "LIST",
            arity: -2,
            flags: ADMIN,
            args: "[TYPE client-type] [ID client-id:integer ...]",
            tips: &["nondeterministic_output"],
            doc: doc(
                "2.4.0",
                "O(N) where N is the number of client connections",
                "Lists open connections.",
            ),
            handler: Handler::Plain(list),
            ..SUB
        },
        Command {
            name: "NO-EVICT",
            arity: 3,
            flags: ADMIN,
            args: "<ON | OFF>",
            doc: doc("7.0.0", "O(1)", "Sets the client eviction mode of the connection."),
            handler: Handler::Plain(|ctx, args| {
                let on = on_or_off(args.at(2))?;
                ctx.session()?.flags.no_evict = on;
                ctx.reply.ok();
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "NO-TOUCH",
            arity: 3,
            args: "<ON | OFF>",
            doc: doc(
                "7.2.0",
                "O(1)",
                "Controls whether commands of the client alter the LRU/LFU of accessed keys.",
            ),
            handler: Handler::Plain(|ctx, args| {
                let on = on_or_off(args.at(2))?;
                ctx.session()?.flags.no_touch = on;
                ctx.reply.ok();
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "PAUSE",
            arity: -3,
            flags: ADMIN,
            args: "timeout:integer [<WRITE | ALL>]",
            doc: Doc {
                history: &[(
                    "6.2.0",
                    "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
                )],
                ..doc("3.0.0", "O(1)", "Suspends commands processing.")
            },
            handler: Handler::Plain(super::pause::pause),
            ..SUB
        },
        Command {
            name: "REPLY",
            arity: 3,
            args: "<ON | OFF | SKIP>",
            doc: doc("3.2.0", "O(1)", "Instructs the server whether to reply to commands."),
            handler: Handler::Plain(reply_mode),
            ..SUB
        },
        Command {
            name: "SETINFO",
            arity: 4,
            args: "<LIB-NAME libname | LIB-VER libver>",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc("7.2.0", "O(1)", "Sets information specific to the client or connection."),
            handler: Handler::Plain(setinfo),
            ..SUB
        },
        Command {
            name: "SETNAME",
            arity: 3,
            args: "connection-name",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc("2.6.9", "O(1)", "Sets the connection name."),
            handler: Handler::Plain(setname),
            ..SUB
        },
        Command {
            name: "TRACKING",
            arity: -3,
            args: "<ON | OFF> [REDIRECT client-id:integer] [PREFIX prefix [PREFIX prefix ...]] [BCAST] \
                   [OPTIN] [OPTOUT] [NOLOOP]",
            doc: doc(
                "6.0.0",
                "O(1). Some options may introduce additional complexity.",
                "Controls server-assisted client-side caching for the connection.",
            ),
            handler: Handler::Plain(super::tracking::tracking),
            ..SUB
        },
        Command {
            name: "TRACKINGINFO",
            arity: 2,
            doc: doc(
                "6.2.0",
                "O(1)",
                "Returns information about server-assisted client-side caching for the connection.",
            ),
            handler: Handler::Plain(super::tracking::trackinginfo),
            ..SUB
        },
        Command {
            name: "UNBLOCK",
            arity: -3,
            flags: ADMIN,
            args: "client-id:integer [<TIMEOUT | ERROR>]",
            doc: doc(
                "5.0.0",
                "O(log N) where N is the number of client connections",
                "Unblocks a client blocked by a blocking command from a different connection.",
            ),
            handler: Handler::Extended(unblock),
            ..SUB
        },
        Command {
            name: "UNPAUSE",
            arity: 2,
            flags: ADMIN,
            doc: doc(
                "6.2.0",
                "O(N) Where N is the number of paused clients",
                "Resumes processing commands from paused clients.",
            ),
            handler: Handler::Plain(super::pause::unpause),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    match word {
        word if word.eq_ignore_ascii_case(b"on") => Ok(true),
        word if word.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

/// Sets what this connection's replies mean from the next one on, or says what they mean (P2).
fn durability(ctx: &mut Ctx, args: &Args) -> CommandResult {
    match args.len() {
        2 => {
            let own = ctx.session()?.durability;
            ctx.reply.bulk(own.name().as_bytes());
            Ok(())
        }
        3 if ctx.origin != Origin::Client => {
            // The reply of the whole transaction could not mean two things.
            Err(CommandError::text("ERR CLIENT DURABILITY is not allowed in transactions"))
        }
        3 => {
            let Some(wanted) = Durability::of_word(args.at(2)) else {
                return Err(CommandError::text(
                    "ERR CLIENT DURABILITY must be always, everysec, no or default",
                ));
            };
            ctx.session()?.durability = wanted;
            ctx.reply.ok();
            Ok(())
        }
        _ => Err(CommandError::Syntax),
    }
}

fn getname(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let name = ctx.session()?.name.clone();
    if name.is_empty() {
        ctx.reply.null()
    } else {
        ctx.reply.bulk(&name)
    }
    Ok(())
}

/// Refuses what would break the one-line format of CLIENT LIST.
pub(super) fn valid_client_text(text: &[u8], what: &str) -> CommandResult {
    // Redis looks no further than a NUL.
    if text.iter().take_while(|byte| **byte != 0).all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(CommandError::owned(format!(
        "ERR {what} cannot contain spaces, newlines or special characters."
    )))
}

fn setname(ctx: &mut Ctx, args: &Args) -> CommandResult {
    valid_client_text(args.at(2), "Client names")?;
    ctx.session()?.name = args.at(2).to_vec();
    ctx.reply.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let value = args.at(3);
    if args.is(2, "lib-name") {
        valid_client_text(value, &String::from_utf8_lossy(args.at(2)))?;
        ctx.session()?.library_name = value.to_vec();
    } else if args.is(2, "lib-ver") {
        valid_client_text(value, &String::from_utf8_lossy(args.at(2)))?;
        ctx.session()?.library_version = value.to_vec();
    } else {
        let name = told(args.at(2));
        return Err(CommandError::owned(format!("ERR Unrecognized option '{name}'")));
    }
    ctx.reply.ok();
    Ok(())
}

fn info(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (now, arguments) = (ctx.now, args.iter().map(<[u8]>::len).sum());
    let line = describe(ctx.session()?, now, arguments) + "\n";
    ctx.reply.verbatim(b"txt", line.as_bytes());
    Ok(())
}

fn list(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let filter = if args.len() == 2 {
        ClientFilter::default()
    } else if args.len() == 4 && args.is(2, "TYPE") {
        let class = ClientClass::parse(args.at(3)).ok_or_else(|| unknown_type(args.at(3)))?;
        ClientFilter::class(class)
    } else if args.len() > 3 && args.is(2, "ID") {
        let ids = args.iter().skip(3).map(|id| {
            // A negative id is well formed, and nobody has it.
            number::parse_i64(id)
                .map(|id| ClientId(id.cast_unsigned()))
                .ok_or(CommandError::text("ERR Invalid client ID"))
        });
        ClientFilter::only(ids.collect::<Result<Vec<_>, _>>()?)
    } else {
        return Err(CommandError::Syntax);
    };
    let own = args.iter().map(<[u8]>::len).sum();
    let mut text = String::new();
    for client in ctx.sessions.iter().filter(|client| filter.matches(client, ctx.now)) {
        let arguments = if client.id == ctx.client { own } else { 0 };
        text.push_str(&describe(client, ctx.now, arguments));
        text.push('\n');
    }
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn kill(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let old_form = args.len() == 3;
    let filter = if old_form {
        ClientFilter::address(args.at(2))
    } else {
        ClientFilter::parse(args, 2, &ctx.server.acl)?
    };
    let (me, now) = (ctx.client, ctx.now);
    let chosen =
        |client: &&Client| filter.matches(client, now) && !(filter.skip_me && client.id == me);
    let victims: Vec<ClientId> =
        ctx.sessions.iter().filter(chosen).map(|client| client.id).collect();
    for to in &victims {
        ctx.sessions.disconnect(*to, me);
    }
    match (old_form, victims.len()) {
        (true, 0) => return Err(CommandError::text("ERR No such client")),
        (true, _) => ctx.reply.ok(),
        (false, count) => ctx.reply.count(count),
    }
    Ok(())
}

fn reply_mode(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let client = ctx.session()?;
    if args.is(2, "on") {
        client.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if args.is(2, "off") {
        client.reply_mode = ReplyMode::Off;
    } else if args.is(2, "skip") {
        if client.reply_mode == ReplyMode::On {
            client.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

fn unblock(ctx: &mut Ctx, args: &Args) -> Result<super::super::Outcome, CommandError> {
    if args.len() > 4 {
        let word = told(args.at(1)).into_owned();
        return Err(CommandError::owned(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try CLIENT HELP."
        )));
    }
    let error = match args.get(3) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"timeout") => false,
        Some(word) if word.eq_ignore_ascii_case(b"error") => true,
        Some(_) => {
            return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
    };
    let id = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    // No client has a number below one.
    let id = ClientId(u64::try_from(id).unwrap_or(0));
    let waits = ctx.sessions.client(id).is_some_and(|client| client.blocked);
    ctx.reply.flag(waits);
    if !waits {
        return Ok(super::super::Outcome::Replied);
    }
    Ok(super::super::Outcome::Task(super::super::Task::Unblock { id, error }))
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "CLIENT",
        &[
            "CACHING (YES|NO)",
            "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
            "DURABILITY [ALWAYS|EVERYSEC|NO|DEFAULT]",
            "    Set or return what replies to the current connection mean: synced to disk (ALWAYS), or",
            "    handed to the kernel (EVERYSEC, NO). DEFAULT is what appendfsync says.",
            "GETREDIR",
            "    Return the client ID we are redirecting to when tracking is enabled.",
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Kill connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Kill connections. Options are:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made from the specified address",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made to specified local address",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kill connections by type.",
            "    * USER <username>",
            "      Kill connections authenticated by <username>.",
            "    * SKIPME (YES|NO)",
            "      Skip killing current connection (default: yes).",
            "    * ID <client-id>",
            "      Kill connections by client id.",
            "    * MAXAGE <maxage>",
            "      Kill connections older than the specified age.",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "    * ID <id> [<id> ...]",
            "      Return clients of specified IDs only.",
            "NO-EVICT (ON|OFF)",
            "    Protect current client connection from eviction.",
            "NO-TOUCH (ON|OFF)",
            "    Will not touch LRU/LFU stats when this mode is on.",
            "REPLY (ON|OFF|SKIP)",
            "    Control the replies sent to the current connection.",
            "SETINFO <option> <value>",
            "    Set client meta attr. Options are:",
            "    * LIB-NAME: the client lib name.",
            "    * LIB-VER: the client lib version.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    Unblock the specified blocked client.",
        ],
    )
}
