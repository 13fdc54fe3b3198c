//! Publish and subscribe: SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB.
//!
//! Nothing of it is data: subscriptions belong to connections and messages are not kept. A message still
//! waits for the log where it could tell of a write that is not safe yet; `engine::notify` sees to that.
//! A subscription is answered with messages, one per name, which CLIENT REPLY OFF does not silence.

mod introspect;
mod subscribe;

use super::ctx::Origin;
use super::{Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc};
use crate::session::Topic;

pub const COMMANDS: &[Command] = &[
    subscribe::PSUBSCRIBE,
    PUBLISH,
    introspect::PUBSUB,
    subscribe::PUNSUBSCRIBE,
    SPUBLISH,
    subscribe::SSUBSCRIBE,
    subscribe::SUBSCRIBE,
    subscribe::SUNSUBSCRIBE,
    subscribe::UNSUBSCRIBE,
];

const COMMON: Flags = Flags::PUBSUB.or(Flags::LOADING).or(Flags::STALE);

pub const PUBLISH: Command = Command {
    name: "PUBLISH",
    arity: 3,
    flags: COMMON.or(Flags::FAST).or(Flags::MAY_REPLICATE).or(Flags::SENTINEL),
    group: Group::PubSub,
    args: "channel message",
    doc: doc(
        "2.0.0",
        "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).",
        "Sends a message to whoever is subscribed to a channel.",
    ),
    handler: Handler::Plain(|ctx, args| publish(ctx, args, Topic::Channel)),
    ..Command::BASE
};

pub const SPUBLISH: Command = Command {
    name: "SPUBLISH",
    arity: 3,
    flags: COMMON.or(Flags::FAST).or(Flags::MAY_REPLICATE),
    group: Group::PubSub,
    keys: &[KeySpec::not_keys(1, 0)],
    args: "shardchannel message",
    doc: doc(
        "7.0.0",
        "O(N) where N is the number of clients subscribed to the receiving shard channel.",
        "Sends a message to whoever is subscribed to a shard channel.",
    ),
    handler: Handler::Plain(|ctx, args| publish(ctx, args, Topic::Shard)),
    ..Command::BASE
};

fn publish(ctx: &mut Ctx, args: &Args, topic: Topic) -> CommandResult {
    let count = ctx.sessions.publish(topic, args.at(1), args.at(2));
    if ctx.sessions.replicas.is_fed() && ctx.origin != Origin::Log {
        let records = !ctx.ks.effects.unit.is_empty();
        ctx.sessions.replicas.feed_behind(records, args.iter());
    }
    ctx.reply.count(count);
    Ok(())
}
