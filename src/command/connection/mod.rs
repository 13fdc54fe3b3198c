//! Connection commands: who the client is, which database, which protocol.

pub mod client;
mod client_filter;
mod client_help;
pub mod client_list;
mod client_property;
pub mod hello;
pub mod pause;
pub mod tracking;

use super::{Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, doc};
use crate::session::{ClientFlags, Durability, ReplyMode};

pub const COMMANDS: &[Command] =
    &[hello::AUTH, client::CLIENT, ECHO, hello::HELLO, PING, QUIT, RESET, SELECT];

pub const PING: Command = Command {
    name: "PING",
    arity: -1,
    flags: Flags::FAST.or(Flags::SENTINEL),
    group: Group::Connection,
    args: "[message]",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    doc: doc("1.0.0", "O(1)", "Returns the server's liveliness response."),
    handler: Handler::Plain(ping),
    ..Command::BASE
};

fn ping(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let subscribed = ctx.session().is_ok_and(|client| client.in_pubsub_mode());
    match (args.get(1), subscribed) {
        _ if args.len() > 2 => return Err(CommandError::Arity("ping".into())),
        (message, true) => {
            ctx.reply.array(2);
            ctx.reply.bulk(b"pong");
            ctx.reply.bulk(message.unwrap_or_default());
        }
        (Some(message), false) => ctx.reply.bulk(message),
        (None, false) => ctx.reply.simple("PONG"),
    }
    Ok(())
}

pub const ECHO: Command = Command {
    name: "ECHO",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    group: Group::Connection,
    args: "message",
    doc: doc("1.0.0", "O(1)", "Returns the given string."),
    handler: Handler::Plain(|ctx, args| {
        ctx.reply.bulk(args.at(1));
        Ok(())
    }),
    ..Command::BASE
};

pub const SELECT: Command = Command {
    name: "SELECT",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    group: Group::Connection,
    args: "index:integer",
    doc: doc("1.0.0", "O(1)", "Changes the selected database."),
    handler: Handler::Plain(select),
    ..Command::BASE
};

fn select(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let index = crate::command::generic::database(ctx, args.at(1))?;
    ctx.session()?.db = index;
    ctx.reply.ok();
    Ok(())
}

pub const QUIT: Command = Command {
    name: "QUIT",
    arity: -1,
    flags: Flags::ALLOW_BUSY
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::NO_AUTH),
    group: Group::Connection,
    doc: super::Doc {
        deprecated: Some(("7.2.0", "just closing the connection")),
        ..doc("1.0.0", "O(1)", "Closes the connection.")
    },
    handler: Handler::Plain(|ctx, _| {
        ctx.session()?.flags.close_after_reply = true;
        ctx.reply.ok();
        Ok(())
    }),
    ..Command::BASE
};

pub const RESET: Command = Command {
    name: "RESET",
    arity: 1,
    flags: Flags::NOSCRIPT
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::NO_AUTH)
        .or(Flags::ALLOW_BUSY),
    group: Group::Connection,
    doc: doc("6.2.0", "O(1)", "Resets the connection."),
    handler: Handler::Plain(reset),
    ..Command::BASE
};

/// Makes the connection as good as new, but for its id.
fn reset(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let user = ctx.server.acl.initial_user();
    let id = ctx.client;
    ctx.sessions.unwatch(id);
    ctx.sessions.stop_tracking(id);
    ctx.sessions.stop_listening(id);
    let client = ctx.session()?;
    client.transaction = None;
    client.watch_broken = false;
    client.db = 0;
    client.resp3 = false;
    client.name.clear();
    client.reply_mode = ReplyMode::On;
    client.durability = Durability::Default;
    client.user = user;
    client.flags = ClientFlags {
        unix_socket: client.flags.unix_socket,
        follows_redirects: client.flags.follows_redirects,
        ..ClientFlags::default()
    };
    ctx.reply.resp3 = false;
    ctx.reply.simple("RESET");
    Ok(())
}
