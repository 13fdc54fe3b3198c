//! PUBSUB: which channels have listeners, and how many.

use super::super::help::reply_help;
use super::{Args, COMMON, Command, CommandResult, Ctx, Flags, Group, Handler, doc};
use crate::command::error::told;
use crate::glob;
use crate::session::Topic;

const SUB: Command = Command { arity: -2, flags: COMMON, group: Group::PubSub, ..Command::BASE };

pub(super) const PUBSUB: Command = Command {
    name: "PUBSUB",
    arity: -2,
    group: Group::PubSub,
    doc: doc("2.8.0", "Depends on subcommand.", "A container for Pub/Sub commands."),
    handler: Handler::Container,
    subcommands: &[
        Command {
            name: "CHANNELS",
            args: "[pattern:pattern]",
            doc: doc(
                "2.8.0",
                "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short channels and patterns)",
                "Returns the channels that have subscribers.",
            ),
            handler: Handler::Plain(|ctx, args| channels(ctx, args, Topic::Channel)),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("6.2.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "NUMPAT",
            arity: 2,
            doc: doc("2.8.0", "O(1)", "Returns how many patterns have subscribers."),
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.count(ctx.sessions.subscriptions.count(Topic::Pattern));
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "NUMSUB",
            args: "[channel ...]",
            doc: doc(
                "2.8.0",
                "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
                "Returns how many subscribers channels have.",
            ),
            handler: Handler::Plain(|ctx, args| counts(ctx, args, Topic::Channel)),
            ..SUB
        },
        Command {
            name: "SHARDCHANNELS",
            args: "[pattern:pattern]",
            doc: doc(
                "7.0.0",
                "O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively short shard channels).",
                "Returns the shard channels that have subscribers.",
            ),
            handler: Handler::Plain(|ctx, args| channels(ctx, args, Topic::Shard)),
            ..SUB
        },
        Command {
            name: "SHARDNUMSUB",
            args: "[shardchannel ...]",
            doc: doc(
                "7.0.0",
                "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
                "Returns how many subscribers shard channels have.",
            ),
            handler: Handler::Plain(|ctx, args| counts(ctx, args, Topic::Shard)),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn channels(ctx: &mut Ctx, args: &Args, topic: Topic) -> CommandResult {
    if args.len() > 3 {
        return Err(wrong_arguments(args));
    }
    let pattern = args.get(2);
    let fits = |name: &&[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name, false));
    let header = ctx.reply.defer();
    let mut count = 0;
    for name in ctx.sessions.subscriptions.names(topic).filter(fits) {
        ctx.reply.bulk(name);
        count += 1;
    }
    ctx.reply.end_array(header, count);
    Ok(())
}

fn counts(ctx: &mut Ctx, args: &Args, topic: Topic) -> CommandResult {
    ctx.reply.array((args.len() - 2) * 2);
    for name in args.iter().skip(2) {
        ctx.reply.bulk(name);
        ctx.reply.count(ctx.sessions.subscriptions.listener_count(topic, name));
    }
    Ok(())
}

fn wrong_arguments(args: &Args) -> super::super::CommandError {
    let word = told(args.at(1)).into_owned();
    super::super::CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
    ))
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    Return the currently active channels matching a <pattern> (default: '*').",
            "NUMPAT",
            "    Return number of subscriptions to patterns.",
            "NUMSUB [<channel> ...]",
            "    Return the number of subscribers for the specified channels, excluding",
            "    pattern subscriptions(default: no channels).",
            "SHARDCHANNELS [<pattern>]",
            "    Return the currently active shard level channels matching a <pattern> (default: '*').",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Return the number of subscribers for the specified shard level channel(s)",
        ],
    )
}
