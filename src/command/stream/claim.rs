//! XCLAIM and XAUTOCLAIM: entries change hands.
//!
//! The log gets what became of each: owner, time and count of deliveries, as an XCLAIM that asks
//! nothing; and XACK for pending entries that were dropped because the stream has them no more.

use super::delete::record_forgotten;
use super::group::changed;
use super::id;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::{no_group, reply_entry, reply_id};
use crate::command::error::told;
use crate::number::parse_i64;
use crate::resp::Reply;
use crate::types::Stream;
use crate::types::stream;
use crate::types::stream::{ConsumerNumber, EntriesView, Pending, StreamId};

/// Ids in one record of the log.
const IDS_PER_RECORD: usize = 1000;
/// Entries that XAUTOCLAIM looks at for each that it may return.
const ATTEMPTS_PER_ENTRY: usize = 10;

pub(super) const XCLAIM: Command = Command {
    name: "XCLAIM",
    arity: -6,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key group consumer min-idle-time id ... [IDLE ms:integer] [TIME unix-time-milliseconds:unix-time] [RETRYCOUNT count:integer] [FORCE] [JUSTID] [LASTID lastid]",
    propagate: Propagate::Effect,
    tips: &["nondeterministic_output"],
    doc: doc(
        "5.0.0",
        "O(log N) with N being the number of messages in the PEL of the consumer group.",
        "Gives pending entries of a group to a consumer, as if they had been delivered to it.",
    ),
    handler: Handler::Plain(xclaim),
    ..Command::BASE
};

pub(super) const XAUTOCLAIM: Command = Command {
    name: "XAUTOCLAIM",
    arity: -6,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key group consumer min-idle-time start [COUNT count:integer] [JUSTID]",
    propagate: Propagate::Effect,
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[(
            "7.0.0",
            "Added an element to the reply array, containing deleted entries the command cleared from the PEL",
        )],
        ..doc(
            "6.2.0",
            "O(1) if COUNT is small.",
            "Gives a consumer the pending entries of its group that were idle for long.",
        )
    },
    handler: Handler::Plain(xautoclaim),
    ..Command::BASE
};

/// How entries are claimed.
#[derive(Debug)]
struct Options {
    idle_min_ms: i64,
    delivery_time: i64,
    delivery_count: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn new(idle_min_ms: i64, now: i64) -> Self {
        Self {
            idle_min_ms: idle_min_ms.max(0),
            delivery_time: now,
            delivery_count: None,
            force: false,
            just_id: false,
            last_id: StreamId::MIN,
        }
    }

    /// What follows the ids of XCLAIM.
    fn parse(&mut self, args: &Args, mut at: usize, now: i64) -> CommandResult {
        let integer = |at: usize, what: &str| {
            parse_i64(args.at(at)).ok_or_else(|| {
                CommandError::owned(format!("ERR Invalid {what} option argument for XCLAIM"))
            })
        };
        let mut time = None;
        while at < args.len() {
            let more = at + 1 < args.len();
            if args.is(at, "FORCE") {
                self.force = true;
            } else if args.is(at, "JUSTID") {
                self.just_id = true;
            } else if more && args.is(at, "IDLE") {
                at += 1;
                time = Some(now.wrapping_sub(integer(at, "IDLE")?));
            } else if more && args.is(at, "TIME") {
                at += 1;
                time = Some(integer(at, "TIME")?);
            } else if more && args.is(at, "RETRYCOUNT") {
                at += 1;
                self.delivery_count = u64::try_from(integer(at, "RETRYCOUNT")?).ok();
            } else if more && args.is(at, "LASTID") {
                at += 1;
                self.last_id = id::parse(args.at(at))?;
            } else {
                return Err(CommandError::owned(format!(
                    "ERR Unrecognized XCLAIM option '{}'",
                    told(args.at(at))
                )));
            }
            at += 1;
        }
        // A time that cannot be is taken as now: the client's clock may differ a little.
        self.delivery_time = time.filter(|time| (0..=now).contains(time)).unwrap_or(now);
        Ok(())
    }
}

/// What a claim did, for the log.
#[derive(Debug, Default)]
struct Done {
    /// Entries with their new counts of deliveries.
    claimed: Vec<(StreamId, u64)>,
    /// Pending entries that were dropped, with their group.
    dropped: Vec<(Vec<u8>, StreamId)>,
    created_consumer: bool,
    moved_last_id: bool,
}

fn min_idle(args: &Args) -> Result<i64, CommandError> {
    parse_i64(args.at(4)).ok_or_else(|| {
        let name = String::from_utf8_lossy(args.at(0)).to_uppercase();
        CommandError::owned(format!("ERR Invalid min-idle-time argument for {name}"))
    })
}

fn check_group(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, name) = (args.at(1), args.at(2));
    let stream = ctx.ks.read::<Stream>(ctx.db, key)?;
    match stream.and_then(|stream| stream.group(name)) {
        Some(_) => Ok(()),
        None => Err(no_group(key, name, "")),
    }
}

fn xclaim(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.ks.counts_reads = true;
    check_group(ctx, args)?;
    let now = ctx.now;
    let mut options = Options::new(min_idle(args)?, now);
    let ids: Vec<StreamId> = args.tail(5).iter().map_while(|text| id::parse(text).ok()).collect();
    options.parse(args, 5 + ids.len(), now)?;
    let (key, name) = (args.at(1), args.at(2));
    let mut done = Done::default();
    let Some(stream) = ctx.ks.write::<Stream>(ctx.db, key)? else { return Ok(()) };
    let Some((group, entries)) = stream.group_and_entries(name) else { return Ok(()) };
    if options.last_id > group.last_id {
        group.last_id = options.last_id;
        done.moved_last_id = true;
    }
    let Some(consumer) = consumer(group, args.at(3), now, &mut done) else { return Ok(()) };
    let start = ctx.reply.defer();
    for id in ids {
        let claim = Claim { group, entries, consumer, options: &options, now };
        claim.one(id, name, ctx.reply, &mut done);
    }
    ctx.reply.end_array(start, done.claimed.len());
    finish(ctx, args, &options, &done);
    Ok(())
}

/// The consumer with this name, seen now, made if it is new.
fn consumer(
    group: &mut stream::Group,
    name: &[u8],
    now: i64,
    done: &mut Done,
) -> Option<ConsumerNumber> {
    let number = match group.find(name) {
        Some(number) => number,
        None => {
            done.created_consumer = true;
            group.create_consumer(name, now)?
        }
    };
    group.consumer_mut(number)?.seen_time = now;
    Some(number)
}

/// One entry about to change hands.
struct Claim<'a, 'g> {
    group: &'g mut stream::Group,
    entries: EntriesView<'a>,
    consumer: ConsumerNumber,
    options: &'g Options,
    now: i64,
}

impl Claim<'_, '_> {
    /// Claims an entry if it may be claimed, and writes it; drops it if it is gone.
    fn one(self, id: StreamId, group_name: &[u8], reply: &mut Reply, done: &mut Done) {
        let options = self.options;
        let old = self.group.pending(id).copied();
        let Some(entry) = self.entries.entry(id) else {
            if self.group.acknowledge(id) {
                done.dropped.push((group_name.to_vec(), id));
            }
            return;
        };
        let delivered = match old {
            Some(old) if self.now.saturating_sub(old.delivery_time) < options.idle_min_ms => return,
            Some(old) => old.delivery_count,
            None if options.force => 1,
            None => return,
        };
        let delivery_count = match options.delivery_count {
            Some(count) => count,
            None if options.just_id => delivered,
            None => delivered.saturating_add(1),
        };
        let (delivery_time, consumer) = (options.delivery_time, self.consumer);
        self.group.assign(Pending { id, delivery_time, delivery_count, consumer });
        if let Some(consumer) = self.group.consumer_mut(consumer) {
            consumer.active_time = self.now;
        }
        if options.just_id {
            reply_id(reply, id);
        } else {
            reply_entry(reply, entry);
        }
        done.claimed.push((id, delivery_count));
    }
}

/// Says what was done.
fn finish(ctx: &mut Ctx, args: &Args, options: &Options, done: &Done) {
    let (key, name, consumer) = (args.at(1), args.at(2), args.at(3));
    if done.created_consumer {
        ctx.effect(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer]);
        changed(ctx, key, "xgroup-createconsumer");
    }
    record_forgotten(ctx, key, &done.dropped);
    record_claims(ctx, args, options.delivery_time, &done.claimed);
    if done.moved_last_id && done.claimed.is_empty() {
        record_progress(ctx, key, name);
    }
    let changes = done.claimed.len() + done.dropped.len() + usize::from(done.moved_last_id);
    if changes > 0 {
        ctx.ks.changed_quietly(ctx.db, key);
        ctx.ks.effects.dirty += changes as u64 - 1;
    }
}

/// Adds to the log who has these entries now (`args`: any command, key, group, consumer), and how
/// far the group is.
fn record_claims(ctx: &mut Ctx, args: &Args, time: i64, claimed: &[(StreamId, u64)]) {
    let names = [args.at(1), args.at(2), args.at(3)];
    record_deliveries(ctx, names, time, claimed);
}

/// The same for key, group and consumer by name.
pub(super) fn record_deliveries(
    ctx: &mut Ctx,
    [key, name, consumer]: [&[u8]; 3],
    time: i64,
    deliveries: &[(StreamId, u64)],
) {
    if deliveries.is_empty() || !ctx.ks.effects.recording {
        return;
    }
    let last = progress(ctx, key, name).map(|(last, _)| last).unwrap_or_default();
    let (time, last) = (time.to_string(), last.text());
    for run in deliveries.chunk_by(|a, b| a.1 == b.1).flat_map(|run| run.chunks(IDS_PER_RECORD)) {
        let Some((_, count)) = run.first() else { continue };
        let count = count.to_string();
        let ids: Vec<_> = run.iter().map(|(id, _)| id.text()).collect();
        let head: [&[u8]; 5] = [b"XCLAIM", key, name, consumer, b"0"];
        let tail: [&[u8]; 8] = [
            b"TIME",
            time.as_bytes(),
            b"RETRYCOUNT",
            count.as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last.as_bytes(),
        ];
        let ids = ids.iter().map(|id| id.as_bytes());
        let words = head.iter().copied().chain(ids).chain(tail.iter().copied());
        ctx.ks.effects.record_words(ctx.db, head.len() + run.len() + tail.len(), words);
    }
}

/// Adds to the log how far a group has read.
pub(super) fn record_progress(ctx: &mut Ctx, key: &[u8], name: &[u8]) {
    let Some((last, read)) = progress(ctx, key, name) else { return };
    let (last, read) = (last.text(), read.to_string());
    ctx.effect(&[b"XGROUP", b"SETID", key, name, last.as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
}

fn progress(ctx: &Ctx, key: &[u8], name: &[u8]) -> Option<(StreamId, i64)> {
    let entry = ctx.ks.again(ctx.db, key)?;
    let group = <Stream as crate::keyspace::Typed>::of(entry.value())?.group(name)?;
    Some((group.last_id, group.entries_read))
}

/// What follows the start of XAUTOCLAIM: how many entries at most, and only their ids.
fn parse_auto(args: &Args) -> Result<(usize, bool), CommandError> {
    const COUNT_MAX: i64 = i64::MAX / 16;
    let (mut count, mut just_id) = (100, false);
    let mut at = 6;
    while at < args.len() {
        if args.is(at, "COUNT") && at + 1 < args.len() {
            at += 1;
            let given = parse_i64(args.at(at)).filter(|count| (1..=COUNT_MAX).contains(count));
            count = given
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(CommandError::text("ERR COUNT must be > 0"))?;
        } else if args.is(at, "JUSTID") {
            just_id = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok((count, just_id))
}

fn xautoclaim(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.ks.counts_reads = true;
    let now = ctx.now;
    let mut options = Options::new(min_idle(args)?, now);
    let from = id::parse_start(args.at(5))?;
    let (mut count, just_id) = parse_auto(args)?;
    options.just_id = just_id;
    check_group(ctx, args)?;
    let (key, name) = (args.at(1), args.at(2));
    let mut done = Done::default();
    let Some(stream) = ctx.ks.write::<Stream>(ctx.db, key)? else { return Ok(()) };
    let Some((group, entries)) = stream.group_and_entries(name) else { return Ok(()) };
    let Some(consumer) = consumer(group, args.at(3), now, &mut done) else { return Ok(()) };
    // The next id to look at goes in front, when it is known.
    let mut body = Reply::new(ctx.reply.resp3);
    let mut next = Some(from);
    let mut attempts = count.saturating_mul(ATTEMPTS_PER_ENTRY);
    while attempts > 0 && count > 0 {
        attempts -= 1;
        let found = next.and_then(|next| group.pending_from(next).next()).map(|found| found.id);
        let Some(id) = found else { break };
        next = id.next();
        let before = done.claimed.len() + done.dropped.len();
        let claim = Claim { group, entries, consumer, options: &options, now };
        claim.one(id, name, &mut body, &mut done);
        count -= done.claimed.len() + done.dropped.len() - before;
    }
    let next = next.and_then(|next| group.pending_from(next).next()).map(|found| found.id);
    ctx.reply.array(3);
    reply_id(ctx.reply, next.unwrap_or_default());
    ctx.reply.array(done.claimed.len());
    ctx.reply.buffer.extend_from_slice(&body.buffer);
    ctx.reply.array(done.dropped.len());
    for (_, id) in &done.dropped {
        reply_id(ctx.reply, *id);
    }
    finish(ctx, args, &options, &done);
    Ok(())
}
