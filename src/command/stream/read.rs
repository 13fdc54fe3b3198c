//! XREAD and XREADGROUP: entries after given ids, of several streams, now or once there are some.
//!
//! A client that waits has its request run again when one of its keys changed; `$` and `+` have become
//! the ids that they meant then. A waiting XREADGROUP whose group or key went away ends with the error
//! that asking anew gives.
//!
//! The log gets deliveries as XCLAIM, and the progress of the group as XGROUP SETID.

use std::time::Duration;

use super::budget::{Budget, reply_within};
use super::claim::{record_deliveries, record_progress};
use super::group::changed;
use super::id;
use super::read_claim::{self, Source};
use super::{
    Access, Args, Command, CommandError, Ctx, Doc, Flags, Group, Handler, KeySpec, Outcome,
    Propagate, doc,
};
use super::{no_group, reply_entry, reply_id};
use crate::command::keyspec::{Begin, Find};
use crate::keyspace::{Entry, Typed};
use crate::number::parse_i64;
use crate::resp::{OwnedArgs, Reply};
use crate::session::wait::{Awaited, TimeoutReply};
use crate::session::{Wait, WaitKind};
use crate::types::Stream;
use crate::types::stream::{ConsumerNumber, Pending, StreamId};

const fn streams_from(start: i32) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword("STREAMS", start),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        access: Access::Read,
        notes: &["access"],
    }
}

const MAXIMA_HISTORY: &[(&str, &str)] =
    &[("8.10.0", "Added the `MAXCOUNT` and `MAXSIZE` options.")];

const GROUP_HISTORY: &[(&str, &str)] = &[
    ("8.4.0", "Added the `CLAIM` option."),
    ("8.10.0", "Added the `MAXCOUNT` and `MAXSIZE` options."),
];

pub(super) const XREAD: Command = Command {
    name: "XREAD",
    arity: -4,
    flags: Flags::BLOCKING.or(Flags::READONLY).or(Flags::MOVABLE_KEYS),
    group: Group::Stream,
    keys: &[streams_from(1)],
    args: "[COUNT count:integer] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] [BLOCK milliseconds:integer] (STREAMS key ... id ...)",
    doc: Doc {
        history: MAXIMA_HISTORY,
        ..doc(
            "5.0.0",
            "",
            "Returns the entries of streams after the given ids; waits until there are some.",
        )
    },
    handler: Handler::Extended(|ctx, args| read(ctx, args, false)),
    ..Command::BASE
};

pub(super) const XREADGROUP: Command = Command {
    name: "XREADGROUP",
    arity: -7,
    flags: Flags::BLOCKING.or(Flags::WRITE).or(Flags::MOVABLE_KEYS),
    group: Group::Stream,
    keys: &[streams_from(4)],
    args: "(GROUP group consumer) [COUNT count:integer] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] [BLOCK milliseconds:integer] [CLAIM min-idle-time:integer] [NOACK] (STREAMS key ... id ...)",
    propagate: Propagate::Effect,
    doc: Doc {
        history: GROUP_HISTORY,
        ..doc(
            "5.0.0",
            "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
            "Returns new entries of streams to a consumer of a group, or those it has not acknowledged; waits until there are some.",
        )
    },
    handler: Handler::Extended(|ctx, args| read(ctx, args, true)),
    ..Command::BASE
};

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Behind this id; for a group, in what the consumer has pending.
    Id(StreamId),
    /// Behind what the group has read.
    Delivered,
}

/// A parsed request.
struct Request<'a> {
    /// Entries of one stream at most.
    count: usize,
    /// Entries of all streams together at most.
    count_max: usize,
    /// Once the reply has so many bytes, no further entry is written.
    size_max: usize,
    block_ms: Option<i64>,
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// Entries that others have had for so long are claimed.
    claim_idle_ms: Option<i64>,
    /// Index of the first key, and how many there are.
    first: usize,
    streams: usize,
}

impl<'a> Request<'a> {
    fn parse(args: &Args<'a>, of_group: bool, now: i64) -> Result<Self, CommandError> {
        let mut request = Self {
            count: 0,
            count_max: usize::MAX,
            size_max: usize::MAX,
            block_ms: None,
            group: None,
            no_ack: false,
            claim_idle_ms: None,
            first: 0,
            streams: 0,
        };
        let mut at = 1;
        while at < args.len() {
            let more = args.len() - at - 1;
            if more > 0 && args.is(at, "BLOCK") {
                at += 1;
                request.block_ms = Some(parse_timeout(args.at(at), now)?);
            } else if more > 0 && args.is(at, "COUNT") {
                at += 1;
                let count = parse_i64(args.at(at)).ok_or(CommandError::NotInteger)?;
                request.count = usize::try_from(count).unwrap_or(0);
            } else if more > 0 && args.is(at, "MAXCOUNT") {
                at += 1;
                request.count_max =
                    positive(args.at(at), "ERR MAXCOUNT must be a positive integer")?;
            } else if more > 0 && args.is(at, "MAXSIZE") {
                at += 1;
                request.size_max = positive(args.at(at), "ERR MAXSIZE must be a positive integer")?;
            } else if more > 0 && args.is(at, "STREAMS") {
                request.first = at + 1;
                request.streams = balanced(more, of_group)?;
                break;
            } else if more >= 2 && args.is(at, "GROUP") {
                only_of_group(of_group, "GROUP")?;
                request.group = Some((args.at(at + 1), args.at(at + 2)));
                at += 2;
            } else if more > 0 && args.is(at, "CLAIM") {
                only_of_group(of_group, "CLAIM")?;
                at += 1;
                request.claim_idle_ms = Some(parse_min_idle(args.at(at))?);
            } else if args.is(at, "NOACK") {
                only_of_group(of_group, "NOACK")?;
                request.no_ack = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if request.first == 0 {
            return Err(CommandError::Syntax);
        }
        if of_group && request.group.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        if request.count > request.count_max {
            return Err(CommandError::text("ERR MAXCOUNT must be greater than or equal to COUNT"));
        }
        if request.count == 0 {
            request.count = usize::MAX;
        }
        Ok(request)
    }

    fn key(&self, args: &Args<'a>, index: usize) -> &'a [u8] {
        args.at(self.first + index)
    }

    /// Checks each key and reads its id, in turn.
    fn starts(&self, ctx: &mut Ctx, args: &Args) -> Result<Vec<After>, CommandError> {
        let mut starts = Vec::with_capacity(self.streams.min(1024));
        for index in 0..self.streams {
            let key = self.key(args, index);
            let stream = ctx.ks.read::<Stream>(ctx.db, key)?;
            if let Some((name, _)) = self.group
                && stream.is_none_or(|stream| stream.group(name).is_none())
            {
                return Err(no_group(key, name, " in XREADGROUP with GROUP option"));
            }
            starts.push(start(args.at(self.id_at(index)), stream, self.group.is_some())?);
        }
        Ok(starts)
    }

    /// A stream of which entries are claimed; `None` if that is not asked for.
    fn claims<'k>(&self, key: &'k [u8], after: After) -> Option<Source<'k>>
    where
        'a: 'k,
    {
        let (group, consumer) = self.group?;
        let idle_min_ms = self.claim_idle_ms.filter(|_| after == After::Delivered)?;
        let (count, no_ack) = (self.count, self.no_ack);
        Some(Source { key, group, consumer, count, idle_min_ms, no_ack })
    }

    fn id_at(&self, index: usize) -> usize {
        self.first + self.streams + index
    }
}

fn parse_min_idle(text: &[u8]) -> Result<i64, CommandError> {
    let time = parse_i64(text).ok_or(CommandError::text("ERR min-idle-time is not an integer"))?;
    if time < 0 {
        return Err(CommandError::text("ERR min-idle-time must be a positive integer"));
    }
    Ok(time)
}

fn positive(text: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let number = parse_i64(text).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(CommandError::text(error))
}

fn balanced(words: usize, of_group: bool) -> Result<usize, CommandError> {
    if words.is_multiple_of(2) {
        return Ok(words / 2);
    }
    let (name, ids) = if of_group { ("xreadgroup", " or '>'") } else { ("xread", ", '+', or '$'") };
    Err(CommandError::owned(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an ID{ids} must be specified."
    )))
}

fn only_of_group(of_group: bool, word: &str) -> Result<(), CommandError> {
    if of_group {
        return Ok(());
    }
    Err(CommandError::owned(format!(
        "ERR The {word} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

fn parse_timeout(text: &[u8], now: i64) -> Result<i64, CommandError> {
    let timeout = parse_i64(text)
        .ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(CommandError::TimeoutNegative);
    }
    if timeout > i64::MAX - now {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    Ok(timeout)
}

fn start(text: &[u8], stream: Option<&Stream>, of_group: bool) -> Result<After, CommandError> {
    if matches!(text, b"$" | b"+") && of_group {
        let word = String::from_utf8_lossy(text);
        return Err(CommandError::owned(format!(
            "ERR The {word} ID is meaningless in the context of XREADGROUP: you want to read the \
             history of this consumer by specifying a proper ID, or use the > ID to get new \
             messages. The {word} ID would just return an empty result set."
        )));
    }
    Ok(match text {
        b"$" => After::Id(stream.map(Stream::last_id).unwrap_or_default()),
        b"+" => {
            let last = stream.and_then(Stream::last).map(|entry| entry.id);
            After::Id(last.and_then(StreamId::previous).unwrap_or_default())
        }
        b">" if of_group => After::Delivered,
        b">" => {
            return Err(CommandError::text(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                 <group> <consumer> option.",
            ));
        }
        text => match id::parse(text)? {
            StreamId::MAX if of_group => After::Delivered,
            id => After::Id(id),
        },
    })
}

fn read(ctx: &mut Ctx, args: &Args, of_group: bool) -> Result<Outcome, CommandError> {
    let request = Request::parse(args, of_group, ctx.now)?;
    let waits = ctx.sessions.client(ctx.client).is_some_and(|client| client.blocked);
    let starts = request.starts(ctx, args)?;
    let head = ctx.reply.defer();
    let mut budget = Budget::new(ctx.reply, request.count_max, request.size_max);
    let mut served = 0;
    // When a waiting client may have something to claim.
    let mut look_again: Option<Duration> = None;
    for (index, after) in starts.iter().enumerate() {
        if budget.is_spent(ctx.reply) {
            break;
        }
        let key = request.key(args, index);
        let claim = request.claims(key, *after);
        let claimable_at = claim.and_then(|source| read_claim::claimable_at(ctx, source));
        let ready =
            claimable_at.is_some_and(|at| at <= ctx.now) || is_ready(ctx, &request, key, *after);
        if ready && !begin_stream(ctx.reply, &budget, key) {
            break;
        }
        if request.group.is_some() && (ready || !waits) {
            meet_consumer(ctx, &request, key);
        }
        if !ready {
            let look_again_in =
                |idle_min_ms| read_claim::look_again_in(ctx.now, claimable_at, idle_min_ms);
            let looks = claim.map(|source| look_again_in(source.idle_min_ms));
            look_again = look_again.into_iter().chain(looks).min();
            continue;
        }
        served += 1;
        match claim {
            Some(source) => read_claim::serve(ctx, source, &mut budget),
            None => serve(ctx, &request, &mut budget, key, *after),
        }
    }
    if served > 0 {
        if ctx.reply.resp3 {
            ctx.reply.end_map(head, served);
        } else {
            ctx.reply.end_array(head, served);
        }
        return Ok(Outcome::Replied);
    }
    if request.block_ms.is_none() {
        ctx.reply.null_array();
        return Ok(Outcome::Replied);
    }
    let mut wait = wait(ctx, &request, args, &starts);
    wait.look_again = look_again.and_then(|time| ctx.monotonic.checked_add(time));
    Ok(Outcome::Wait(wait))
}

/// Writes the name of a stream, unless there is no room behind it: then nothing.
fn begin_stream(reply: &mut Reply, budget: &Budget, key: &[u8]) -> bool {
    let before = reply.buffer.len();
    if !reply.resp3 {
        reply.array(2);
    }
    reply.bulk(key);
    let has_room = !budget.is_spent(reply);
    if !has_room {
        reply.truncate(before);
    }
    has_room
}

/// The stream at a key that was looked up before.
fn stream_at<'c>(ctx: &'c Ctx, key: &[u8]) -> Option<&'c Stream> {
    ctx.ks.again(ctx.db, key).and_then(|entry: &Entry| Stream::of(entry.value()))
}

/// Whether there is something to return.
fn is_ready(ctx: &Ctx, request: &Request, key: &[u8], after: After) -> bool {
    let Some(stream) = stream_at(ctx, key) else { return false };
    let after = match (after, request.group) {
        // The consumer's own pending entries are returned at once, even if there are none.
        (After::Id(_), Some(_)) => return true,
        (After::Id(id), None) => id,
        (After::Delivered, Some((name, _))) => match stream.group(name) {
            Some(group) => group.last_id,
            None => return false,
        },
        (After::Delivered, None) => return false,
    };
    stream.last().is_some_and(|last| last.id > after)
}

/// Makes the consumer if it is new, and notes that it was seen.
fn meet_consumer(ctx: &mut Ctx, request: &Request, key: &[u8]) {
    let Some((name, consumer)) = request.group else { return };
    let now = ctx.now;
    let Ok(Some(stream)) = ctx.ks.write::<Stream>(ctx.db, key) else { return };
    let Some(group) = stream.group_mut(name) else { return };
    match group.find(consumer) {
        Some(number) => {
            if let Some(consumer) = group.consumer_mut(number) {
                consumer.seen_time = now;
            }
        }
        None => {
            group.create_consumer(consumer, now);
            ctx.effect(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer]);
            changed(ctx, key, "xgroup-createconsumer");
        }
    }
}

/// Writes the entries of one stream.
fn serve(ctx: &mut Ctx, request: &Request, budget: &mut Budget, key: &[u8], after: After) {
    match (after, request.group) {
        (After::Id(id), None) => {
            let entry = ctx.ks.again(ctx.db, key);
            let Some(stream) = entry.and_then(|entry| Stream::of(entry.value())) else { return };
            let Some(start) = id.next() else { return ctx.reply.array(0) };
            let entries = stream.range(start, StreamId::MAX).take(request.count);
            reply_within(ctx.reply, budget, entries, |_| {});
        }
        (After::Id(id), Some(names)) => serve_history(ctx, request, budget, key, names, id),
        (After::Delivered, Some(names)) => serve_new(ctx, request, budget, key, names),
        (After::Delivered, None) => ctx.reply.array(0),
    }
}

/// The stream, to change, and the number of the consumer, which exists.
fn of_consumer<'c>(
    ks: &'c mut crate::keyspace::Keyspace,
    (db, key): (usize, &[u8]),
    (name, consumer): (&[u8], &[u8]),
) -> Option<(&'c mut Stream, ConsumerNumber)> {
    let stream = ks.write::<Stream>(db, key).ok().flatten()?;
    let number = stream.group(name)?.find(consumer)?;
    Some((stream, number))
}

/// New entries: they become the consumer's, and the group moves on.
fn serve_new(
    ctx: &mut Ctx,
    request: &Request,
    budget: &mut Budget,
    key: &[u8],
    names: (&[u8], &[u8]),
) {
    let (name, now) = (names.0, ctx.now);
    let Some((stream, number)) = of_consumer(ctx.ks, (ctx.db, key), names) else {
        return ctx.reply.array(0);
    };
    let last = stream.group(name).map(|group| group.last_id).unwrap_or_default();
    let Some(start) = last.next() else { return ctx.reply.array(0) };
    let mut delivered = Vec::new();
    let entries = stream.range(start, StreamId::MAX).take(request.count);
    reply_within(ctx.reply, budget, entries, |id| delivered.push(id));
    let moved = stream.advance(name, &delivered);
    let mut deliveries = Vec::new();
    if let Some(group) = stream.group_mut(name).filter(|_| !request.no_ack) {
        for id in delivered {
            let (delivery_time, delivery_count, consumer) = (now, 1, number);
            group.assign(Pending { id, delivery_time, delivery_count, consumer });
            deliveries.push((id, delivery_count));
        }
        if let Some(consumer) = group.consumer_mut(number) {
            consumer.active_time = now;
        }
    }
    record_deliveries(ctx, [key, name, names.1], now, &deliveries);
    if moved {
        record_progress(ctx, key, name);
    }
    ctx.ks.changed_quietly(ctx.db, key);
}

/// What the consumer has pending after an id: counted as delivered once more.
fn serve_history(
    ctx: &mut Ctx,
    request: &Request,
    budget: &mut Budget,
    key: &[u8],
    names: (&[u8], &[u8]),
    after: StreamId,
) {
    let (name, now) = (names.0, ctx.now);
    let Some((stream, number)) = of_consumer(ctx.ks, (ctx.db, key), names) else {
        return ctx.reply.array(0);
    };
    let Some((group, entries)) = stream.group_and_entries(name) else {
        return ctx.reply.array(0);
    };
    let pending: Vec<StreamId> = match (group.consumer(number), after.next()) {
        (Some(consumer), Some(start)) => consumer.pending_from(start).take(request.count).collect(),
        _ => Vec::new(),
    };
    let head = ctx.reply.defer();
    let mut count = 0;
    let mut deliveries = Vec::new();
    for id in pending {
        if budget.is_spent(ctx.reply) {
            break;
        }
        budget.spend();
        count += 1;
        let Some(entry) = entries.entry(id) else {
            reply_deleted(ctx.reply, id);
            continue;
        };
        reply_entry(ctx.reply, entry);
        if let Some(mut pending) = group.pending(id).copied() {
            pending.delivery_time = now;
            pending.delivery_count = pending.delivery_count.saturating_add(1);
            group.assign(pending);
            deliveries.push((id, pending.delivery_count));
        }
    }
    budget.end_array(ctx.reply, head, count);
    if !deliveries.is_empty() {
        record_deliveries(ctx, [key, name, names.1], now, &deliveries);
        ctx.ks.changed_quietly(ctx.db, key);
        // Logged, but no reason to save: nothing was delivered that was not pending before.
        ctx.ks.effects.dirty -= 1;
    }
}

/// A pending entry that the stream has no more.
fn reply_deleted(reply: &mut Reply, id: StreamId) {
    reply.array(2);
    reply_id(reply, id);
    reply.null_array();
}

fn wait(ctx: &Ctx, request: &Request, args: &Args, starts: &[After]) -> Wait {
    let keys = args.slice(request.first..request.id_at(0));
    let awaited = if request.group.is_some() { Awaited::Group } else { Awaited::Stream };
    let meant = |index: usize| match starts.get(index.checked_sub(request.id_at(0))?)? {
        After::Id(id) if matches!(args.at(index), b"$" | b"+") => Some(id.text()),
        _ => None,
    };
    let texts: Vec<_> = (0..args.len()).map(meant).collect();
    let milliseconds = request.block_ms.map_or(0, i64::unsigned_abs);
    let deadline = (milliseconds > 0)
        .then(|| ctx.monotonic.checked_add(Duration::from_millis(milliseconds)))
        .flatten();
    let mut wait = Wait::for_keys(&keys, awaited, deadline, TimeoutReply::NullArray);
    if texts.iter().any(Option::is_some)
        && let WaitKind::Keys(keys, awaited) = wait.kind
    {
        let words = args.iter().zip(&texts);
        let words = words.map(|(word, text)| text.as_ref().map_or(word, |text| text.as_bytes()));
        let words: Vec<&[u8]> = words.collect();
        wait.kind = WaitKind::KeysWith(keys, awaited, OwnedArgs::from_slices(words));
    }
    wait
}
