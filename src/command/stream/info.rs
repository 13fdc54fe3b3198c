//! XINFO: everything that is known of a stream, its groups and their consumers.

use super::{Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler};
use super::{KeySpec, doc, no_such_group, reply_entries, reply_entry, reply_id};
use crate::command::error::told;
use crate::command::help::reply_help;
use crate::number::parse_i64;
use crate::resp::Reply;
use crate::types::Stream;
use crate::types::stream::{self, Consumer, StreamId};

const SUB: Command = Command {
    flags: Flags::READONLY,
    group: Group::Stream,
    keys: &[KeySpec::at(2, Access::Read, &["access"])],
    ..Command::BASE
};

pub(super) const XINFO: Command = Command {
    name: "XINFO",
    arity: -2,
    group: Group::Stream,
    doc: doc("5.0.0", "Depends on subcommand.", "A container for stream introspection commands."),
    subcommands: &[CONSUMERS, GROUPS, HELP, STREAM],
    ..Command::BASE
};

const CONSUMERS: Command = Command {
    name: "CONSUMERS",
    arity: 4,
    args: "key group",
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[("7.2.0", "Added the `inactive` field, and changed the meaning of `idle`.")],
        ..doc("5.0.0", "O(1)", "Returns a list of the consumers in a consumer group.")
    },
    handler: Handler::Plain(consumers),
    ..SUB
};

const GROUPS: Command = Command {
    name: "GROUPS",
    arity: 3,
    args: "key",
    doc: Doc {
        history: &[("7.0.0", "Added the `entries-read` and `lag` fields")],
        ..doc("5.0.0", "O(1)", "Returns a list of the consumer groups of a stream.")
    },
    handler: Handler::Plain(groups),
    ..SUB
};

const HELP: Command = Command {
    name: "HELP",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    keys: &[],
    doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
    handler: Handler::Plain(help),
    ..SUB
};

const STREAM: Command = Command {
    name: "STREAM",
    arity: -3,
    args: "key [FULL [COUNT count:integer]]",
    doc: Doc {
        history: &[
            ("6.0.0", "Added the `FULL` modifier."),
            (
                "7.0.0",
                "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields",
            ),
            ("7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."),
        ],
        ..doc("5.0.0", "O(1)", "Returns information about a stream.")
    },
    handler: Handler::Plain(stream_info),
    ..SUB
};

/// Entries, and pending entries of each group and consumer, that FULL shows without COUNT.
const FULL_COUNT: usize = 10;

fn read<'c>(ctx: &'c mut Ctx, key: &[u8]) -> Result<(&'c Stream, &'c mut Reply), CommandError> {
    let stream = ctx.ks.read::<Stream>(ctx.db, key)?.ok_or(CommandError::NoSuchKey)?;
    Ok((stream, ctx.reply))
}

fn consumers(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, name, now) = (args.at(2), args.at(3), ctx.now);
    let (stream, reply) = read(ctx, key)?;
    let group = stream.group(name).ok_or_else(|| no_such_group(key, name))?;
    reply.array(group.consumer_count());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.count(consumer.pending_len());
        reply.bulk(b"idle");
        reply.int(now.saturating_sub(consumer.seen_time).max(0));
        reply.bulk(b"inactive");
        reply.int(match consumer.active_time {
            -1 => -1,
            time => now.saturating_sub(time).max(0),
        });
    }
    Ok(())
}

fn groups(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (stream, reply) = read(ctx, args.at(2))?;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"consumers");
        reply.count(group.consumer_count());
        reply.bulk(b"pending");
        reply.count(group.pending_len());
        reply_progress(reply, stream, group);
    }
    Ok(())
}

/// How far a group is: three pairs.
fn reply_progress(reply: &mut Reply, stream: &Stream, group: &stream::Group) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id);
    reply.bulk(b"entries-read");
    match group.entries_read {
        -1 => reply.null(),
        read => reply.int(read),
    }
    reply.bulk(b"lag");
    match stream.lag(group) {
        Some(lag) => reply.int(lag),
        None => reply.null(),
    }
}

fn stream_info(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (stream, reply) = read(ctx, args.at(2))?;
    let full = match args.len() {
        3 => None,
        4 if args.is(3, "FULL") => Some(FULL_COUNT),
        6 if args.is(3, "FULL") && args.is(4, "COUNT") => {
            let count = parse_i64(args.at(5)).ok_or(CommandError::NotInteger)?;
            // Without a limit when zero; what is below zero is not taken.
            Some(match usize::try_from(count) {
                Ok(0) => usize::MAX,
                Ok(count) => count,
                Err(_) => FULL_COUNT,
            })
        }
        _ => {
            return Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{}'. Try XINFO HELP.",
                told(args.at(1))
            )));
        }
    };
    reply.map(if full.is_some() { 9 } else { 10 });
    reply.bulk(b"length");
    reply.count(stream.len());
    reply.bulk(b"radix-tree-keys");
    reply.count(stream.node_count());
    reply.bulk(b"radix-tree-nodes");
    reply.count(stream.radix_nodes());
    reply.bulk(b"last-generated-id");
    reply_id(reply, stream.last_id());
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, stream.max_deleted_id());
    reply.bulk(b"entries-added");
    reply.int(stream.entries_added().cast_signed());
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, stream.first_id());
    match full {
        None => reply_ends(reply, stream),
        Some(count) => reply_full(reply, stream, count),
    }
    Ok(())
}

fn reply_ends(reply: &mut Reply, stream: &Stream) {
    reply.bulk(b"groups");
    reply.count(stream.groups().len());
    for (name, entry) in [("first-entry", stream.first()), ("last-entry", stream.last())] {
        reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => reply_entry(reply, entry),
            None => reply.null(),
        }
    }
}

fn reply_full(reply: &mut Reply, stream: &Stream, count: usize) {
    reply.bulk(b"entries");
    reply_entries(reply, stream.range(StreamId::MIN, StreamId::MAX).take(count));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        reply_progress(reply, stream, group);
        reply.bulk(b"pel-count");
        reply.count(group.pending_len());
        reply.bulk(b"pending");
        reply.array(group.pending_len().min(count));
        for pending in group.pending_from(StreamId::MIN).take(count) {
            reply.array(4);
            reply_id(reply, pending.id);
            reply.bulk(group.owner(pending));
            reply.int(pending.delivery_time);
            reply.int(pending.delivery_count.cast_signed());
        }
        reply.bulk(b"consumers");
        reply.array(group.consumer_count());
        for consumer in group.consumers() {
            reply_consumer(reply, group, consumer, count);
        }
    }
}

fn reply_consumer(reply: &mut Reply, group: &stream::Group, consumer: &Consumer, count: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.int(consumer.seen_time);
    reply.bulk(b"active-time");
    reply.int(consumer.active_time);
    reply.bulk(b"pel-count");
    reply.count(consumer.pending_len());
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(count));
    for id in consumer.pending_from(StreamId::MIN).take(count) {
        let Some(pending) = group.pending(id) else { continue };
        reply.array(3);
        reply_id(reply, id);
        reply.int(pending.delivery_time);
        reply.int(pending.delivery_count.cast_signed());
    }
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "XINFO",
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    )
}
