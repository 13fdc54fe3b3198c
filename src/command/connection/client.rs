//! CLIENT and its subcommands.

use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc,
};
use super::client_filter::{Asker, ClientFilter};
use super::client_list::describe;
use crate::command::ctx::Origin;
use crate::command::error::told;
use crate::number;
use crate::session::{Client, ClientId, Durability, ReplyMode};

const COMMON: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::SENTINEL);
const ADMIN: Flags = COMMON.or(Flags::ADMIN);

const LIST_ARGUMENTS: &str = "[TYPE client-type] [ID client-id:integer ...] [USER username] [ADDR addr] \
    [LADDR laddr] [SKIPME <YES | NO>] [MAXAGE maxage:integer] [NAME name] [IDLE idle:integer] [FLAGS flags] \
    [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db:integer] [CAPA capa] [IP ip] [NOT-TYPE not-client-type] \
    [NOT-ID not-client-id:integer ...] [NOT-USER not-username] [NOT-ADDR not-addr] [NOT-LADDR not-laddr] \
    [NOT-NAME not-name] [NOT-FLAGS not-flags] [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] \
    [NOT-DB not-db:integer] [NOT-CAPA not-capa] [NOT-IP not-ip]";

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
                "Takes note of what the client can do; nothing but CLIENT LIST depends on it.",
            ),
            handler: Handler::Plain(capa),
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
            handler: Handler::Plain(super::client_help::help),
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
            name: "IMPORT-SOURCE",
            arity: 3,
            flags: Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE),
            args: "<ON | OFF>",
            doc: doc(
                "8.1.0",
                "O(1)",
                "Marks this client as an import source when the server is in import mode.",
            ),
            handler: Handler::Plain(import_source),
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
            args: LIST_ARGUMENTS,
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

/// Other capabilities than the one that is known are no error: they are for newer servers.
fn capa(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let told = args.iter().skip(2).any(|word| word.eq_ignore_ascii_case(b"redirect"));
    ctx.session()?.flags.follows_redirects |= told;
    ctx.reply.ok();
    Ok(())
}

/// Marks the client whose commands see keys that are over their time (`import-mode`), or ends that.
fn import_source(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if !ctx.server.config.import_mode && !args.is(2, "off") {
        return Err(CommandError::text("ERR Server is not in import mode"));
    }
    ctx.session()?.flags.import_source = on_or_off(args.at(2))?;
    ctx.reply.ok();
    Ok(())
}

fn info(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (now, arguments) = (ctx.now, args.iter().map(<[u8]>::len).sum());
    let mut line = describe(ctx.session()?, now, arguments);
    line.push(b'\n');
    ctx.reply.verbatim(b"txt", &line);
    Ok(())
}

fn list(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let filter = ClientFilter::parse(ctx, args, Asker::List)?;
    let own = args.iter().map(<[u8]>::len).sum();
    let mut text = Vec::new();
    let chosen = |client: &&Client| filter.matches(client, ctx.client, ctx.now);
    for client in ctx.sessions.iter().filter(chosen) {
        let arguments = if client.id == ctx.client { own } else { 0 };
        text.extend_from_slice(&describe(client, ctx.now, arguments));
        text.push(b'\n');
    }
    ctx.reply.verbatim(b"txt", &text);
    Ok(())
}

fn kill(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let old_form = args.len() == 3;
    let filter = match old_form {
        true => ClientFilter::address(args.at(2)),
        false => ClientFilter::parse(ctx, args, Asker::Kill)?,
    };
    let (me, now) = (ctx.client, ctx.now);
    let chosen = |client: &&Client| filter.matches(client, me, now);
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
        if client.reply_mode != ReplyMode::Off {
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
