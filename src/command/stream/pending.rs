//! XACK and XPENDING: acknowledging entries, and looking at what was not acknowledged.

use super::delete::parse_ids;
use super::id;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::{no_group, reply_id};
use crate::number::parse_i64;
use crate::resp::Reply;
use crate::types::Stream;
use crate::types::stream::{self, Pending, StreamId};

pub(super) const XACK: Command = Command {
    name: "XACK",
    arity: -4,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key group id ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "5.0.0",
        "O(1) for each message ID processed.",
        "Acknowledges entries in a consumer group and returns how many were pending.",
    ),
    handler: Handler::Plain(xack),
    ..Command::BASE
};

fn xack(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.ks.counts_reads = true;
    let (key, name) = (args.at(1), args.at(2));
    if ctx.ks.read::<Stream>(ctx.db, key)?.is_none_or(|stream| stream.group(name).is_none()) {
        ctx.reply.int(0);
        return Ok(());
    }
    let ids = parse_ids(&args.tail(3))?;
    let stream = ctx.ks.write::<Stream>(ctx.db, key)?;
    let mut acknowledged = 0;
    if let Some(group) = stream.and_then(|stream| stream.group_mut(name)) {
        acknowledged = ids.iter().filter(|id| group.acknowledge(**id)).count();
    }
    if acknowledged > 0 {
        ctx.ks.changed_quietly(ctx.db, key);
        ctx.ks.effects.dirty += acknowledged as u64 - 1;
    }
    ctx.reply.count(acknowledged);
    Ok(())
}

pub(super) const XPENDING: Command = Command {
    name: "XPENDING",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key group [([IDLE min-idle-time:integer] start end count:integer [consumer])]",
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[("6.2.0", "Added the `IDLE` option and exclusive range intervals.")],
        ..doc(
            "5.0.0",
            "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.",
            "Returns what a consumer group has not acknowledged, in sum or entry by entry.",
        )
    },
    handler: Handler::Plain(xpending),
    ..Command::BASE
};

/// A request for single entries.
struct Filter<'a> {
    idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(args: &Args<'a>) -> Result<Option<Self>, CommandError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::Syntax);
        }
        let (mut idle_ms, mut at) = (0, 3);
        if args.is(3, "IDLE") {
            idle_ms = parse_i64(args.at(4)).ok_or(CommandError::NotInteger)?;
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
            at = 5;
        }
        let count = parse_i64(args.at(at + 2)).ok_or(CommandError::NotInteger)?;
        Ok(Some(Self {
            idle_ms,
            start: id::parse_start(args.at(at))?,
            end: id::parse_end(args.at(at + 1))?,
            count: usize::try_from(count).unwrap_or(0),
            consumer: args.get(at + 3),
        }))
    }
}

fn xpending(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let filter = Filter::parse(args)?;
    let (key, name) = (args.at(1), args.at(2));
    let stream = ctx.ks.read::<Stream>(ctx.db, key)?;
    let group =
        stream.and_then(|stream| stream.group(name)).ok_or_else(|| no_group(key, name, ""))?;
    match filter {
        None => summary(ctx.reply, group),
        Some(filter) => entries(ctx.reply, group, &filter, ctx.now),
    }
    Ok(())
}

fn summary(reply: &mut Reply, group: &stream::Group) {
    reply.array(4);
    reply.count(group.pending_len());
    let first = group.pending_from(StreamId::MIN).next();
    let (Some(first), Some(last)) = (first, group.last_pending()) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first.id);
    reply_id(reply, last.id);
    let start = reply.defer();
    let mut count = 0;
    for consumer in group.consumers().filter(|consumer| consumer.pending_len() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk(itoa::Buffer::new().format(consumer.pending_len()).as_bytes());
        count += 1;
    }
    reply.end_array(start, count);
}

fn entries(reply: &mut Reply, group: &stream::Group, filter: &Filter, now: i64) {
    let matching = |pending: &&Pending| {
        pending.id <= filter.end
            && (filter.idle_ms == 0 || now.saturating_sub(pending.delivery_time) >= filter.idle_ms)
    };
    let start = reply.defer();
    let mut count = 0;
    let mut write = |pending: &Pending| {
        reply.array(4);
        reply_id(reply, pending.id);
        reply.bulk(group.owner(pending));
        reply.int(now.saturating_sub(pending.delivery_time).max(0));
        reply.int(pending.delivery_count.cast_signed());
        count += 1;
    };
    match filter.consumer {
        None => group
            .pending_from(filter.start)
            .take_while(|pending| pending.id <= filter.end)
            .filter(matching)
            .take(filter.count)
            .for_each(&mut write),
        Some(name) => {
            let consumer = group.find(name).and_then(|number| group.consumer(number));
            consumer
                .into_iter()
                .flat_map(|consumer| consumer.pending_from(filter.start))
                .take_while(|id| *id <= filter.end)
                .filter_map(|id| group.pending(id))
                .filter(matching)
                .take(filter.count)
                .for_each(&mut write);
        }
    }
    reply.end_array(start, count);
}
