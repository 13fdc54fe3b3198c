//! (P|S)SUBSCRIBE and (P|S)UNSUBSCRIBE.

use super::{Args, COMMON, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc};
use crate::session::Topic;

const SUBSCRIBE_FLAGS: Flags = COMMON.or(Flags::NOSCRIPT).or(Flags::SENTINEL);

pub(super) const SUBSCRIBE: Command = Command {
    name: "SUBSCRIBE",
    arity: -2,
    flags: SUBSCRIBE_FLAGS,
    group: Group::PubSub,
    args: "channel ...",
    doc: doc(
        "2.0.0",
        "O(N) where N is the number of channels to subscribe to.",
        "Listens for messages published to channels.",
    ),
    handler: Handler::Plain(|ctx, args| subscribe(ctx, args, Topic::Channel)),
    ..Command::BASE
};

pub(super) const PSUBSCRIBE: Command = Command {
    name: "PSUBSCRIBE",
    args: "pattern:pattern ...",
    doc: doc(
        "2.0.0",
        "O(N) where N is the number of patterns to subscribe to.",
        "Listens for messages published to channels whose names fit patterns.",
    ),
    handler: Handler::Plain(|ctx, args| subscribe(ctx, args, Topic::Pattern)),
    ..SUBSCRIBE
};

pub(super) const SSUBSCRIBE: Command = Command {
    name: "SSUBSCRIBE",
    flags: COMMON.or(Flags::NOSCRIPT),
    keys: &[KeySpec::not_keys(1, -1)],
    args: "shardchannel ...",
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of shard channels to subscribe to.",
        "Listens for messages published to shard channels.",
    ),
    handler: Handler::Plain(|ctx, args| subscribe(ctx, args, Topic::Shard)),
    ..SUBSCRIBE
};

pub(super) const UNSUBSCRIBE: Command = Command {
    name: "UNSUBSCRIBE",
    arity: -1,
    args: "[channel ...]",
    doc: doc(
        "2.0.0",
        "O(N) where N is the number of channels to unsubscribe.",
        "Stops listening to channels, to all if none is named.",
    ),
    handler: Handler::Plain(|ctx, args| unsubscribe(ctx, args, Topic::Channel)),
    ..SUBSCRIBE
};

pub(super) const PUNSUBSCRIBE: Command = Command {
    name: "PUNSUBSCRIBE",
    args: "[pattern:pattern ...]",
    doc: doc(
        "2.0.0",
        "O(N) where N is the number of patterns to unsubscribe.",
        "Stops listening to patterns, to all if none is named.",
    ),
    handler: Handler::Plain(|ctx, args| unsubscribe(ctx, args, Topic::Pattern)),
    ..UNSUBSCRIBE
};

pub(super) const SUNSUBSCRIBE: Command = Command {
    name: "SUNSUBSCRIBE",
    flags: COMMON.or(Flags::NOSCRIPT),
    keys: &[KeySpec::not_keys(1, -1)],
    args: "[shardchannel ...]",
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of shard channels to unsubscribe.",
        "Stops listening to shard channels, to all if none is named.",
    ),
    handler: Handler::Plain(|ctx, args| unsubscribe(ctx, args, Topic::Shard)),
    ..UNSUBSCRIBE
};

fn subscribe(ctx: &mut Ctx, args: &Args, topic: Topic) -> CommandResult {
    let word: &[u8] = match topic {
        Topic::Channel => b"subscribe",
        Topic::Pattern => b"psubscribe",
        Topic::Shard => b"ssubscribe",
    };
    for name in args.iter().skip(1) {
        ctx.sessions.subscribe(topic, ctx.client, name);
        confirm(ctx, word, Some(name), topic)?;
    }
    Ok(())
}

fn unsubscribe(ctx: &mut Ctx, args: &Args, topic: Topic) -> CommandResult {
    let word: &[u8] = match topic {
        Topic::Channel => b"unsubscribe",
        Topic::Pattern => b"punsubscribe",
        Topic::Shard => b"sunsubscribe",
    };
    let all = if args.len() == 1 {
        ctx.sessions.subscriptions.of_client(topic, ctx.client)
    } else {
        Vec::new()
    };
    let named = args.iter().skip(1).chain(all.iter().map(Vec::as_slice));
    for name in named {
        ctx.sessions.unsubscribe(topic, ctx.client, name);
        confirm(ctx, word, Some(name), topic)?;
    }
    if args.len() == 1 && all.is_empty() {
        confirm(ctx, word, None, topic)?;
    }
    Ok(())
}

/// One message for one name: what was done, and how many subscriptions of the kind are left. Channels and
/// patterns are counted together.
fn confirm(ctx: &mut Ctx, word: &[u8], name: Option<&[u8]>, topic: Topic) -> CommandResult {
    let client = ctx.session()?;
    let count = match topic {
        Topic::Channel | Topic::Pattern => client.subscriptions + client.pattern_subscriptions,
        Topic::Shard => client.shard_subscriptions,
    };
    ctx.reply.push(3);
    ctx.reply.bulk(word);
    ctx.reply.bulk_or_null(name);
    ctx.reply.count(count);
    Ok(())
}
