//! XREADGROUP with CLAIM (Redis 8.4): entries that others have not acknowledged for long, then new ones.
//!
//! What was delivered the longest time ago comes first. Each entry is told with how long ago it was delivered and how
//! often; a new one with zeros. What is claimed stays pending, NOACK or not. Pending entries that the stream has no more
//! are forgotten. The log gets the claims as XCLAIM, like deliveries.

use std::time::Duration;

use super::budget::Budget;
use super::claim::{record_deliveries, record_progress};
use super::delete::record_forgotten;
use super::{Ctx, reply_id_and_fields};
use crate::types::Stream;
use crate::types::stream::{ConsumerNumber, Pending, StreamId};

/// Who waits looks again after this time at the earliest.
const LOOK_AGAIN_MIN_MS: i64 = 10;

/// One stream of a request.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) key: &'a [u8],
    pub(super) group: &'a [u8],
    pub(super) consumer: &'a [u8],
    /// Entries at most.
    pub(super) count: usize,
    /// An entry is claimed that was delivered so long ago.
    pub(super) idle_min_ms: i64,
    /// New entries do not become pending.
    pub(super) no_ack: bool,
}

/// When the pending entry that is idle longest may be claimed, by the wall clock: one of those that are left when
/// what the stream has no more was forgotten.
pub(super) fn claimable_at(ctx: &mut Ctx, source: Source<'_>) -> Option<i64> {
    let mut forgotten = Vec::new();
    let mut found = None;
    if let Ok(Some(stream)) = ctx.ks.write::<Stream>(ctx.db, source.key)
        && let Some((group, entries)) = stream.group_and_entries(source.group)
    {
        found = loop {
            let Some(pending) = group.pending_by_time().next() else { break None };
            let at = pending.delivery_time.saturating_add(source.idle_min_ms);
            if at > ctx.now || entries.entry(pending.id).is_some() {
                break Some(at);
            }
            group.acknowledge(pending.id);
            forgotten.push((source.group.to_vec(), pending.id));
        };
    }
    if !forgotten.is_empty() {
        record_forgotten(ctx, source.key, &forgotten);
        ctx.ks.changed_quietly(ctx.db, source.key);
    }
    found
}

/// How long a waiting client need not look whether there is something to claim: `next` is when that is for what is
/// pending, and what is delivered from now on takes the whole time.
pub(super) fn look_again_in(now: i64, next: Option<i64>, idle_min_ms: i64) -> Duration {
    let new = now.saturating_add(idle_min_ms);
    let wait = next.unwrap_or(new).min(new).saturating_sub(now).max(LOOK_AGAIN_MIN_MS);
    Duration::from_millis(wait.unsigned_abs())
}

/// What a stream gave its reader.
#[derive(Default)]
struct Given {
    /// Entries, old and new, with their new counts of deliveries.
    assigned: Vec<(StreamId, u64)>,
    forgotten: Vec<(Vec<u8>, StreamId)>,
    new: Vec<StreamId>,
    count: usize,
}

/// Writes what may be claimed of one stream, and what is new.
pub(super) fn serve(ctx: &mut Ctx, source: Source<'_>, budget: &mut Budget) {
    let now = ctx.now;
    let head = ctx.reply.defer();
    let mut given = Given::default();
    let mut moved = false;
    if let Ok(Some(stream)) = ctx.ks.write::<Stream>(ctx.db, source.key)
        && let Some(number) = stream.group(source.group).and_then(|of| of.find(source.consumer))
    {
        claim(ctx.reply, stream, source, (number, now), budget, &mut given);
        read_new(ctx.reply, stream, source, budget, &mut given);
        moved = stream.advance(source.group, &given.new);
        assign_new(stream, source, (number, now), &mut given);
    }
    budget.end_array(ctx.reply, head, given.count);
    record_forgotten(ctx, source.key, &given.forgotten);
    let names = [source.key, source.group, source.consumer];
    record_deliveries(ctx, names, now, &given.assigned);
    if moved {
        record_progress(ctx, source.key, source.group);
    }
    ctx.ks.changed_quietly(ctx.db, source.key);
}

fn claim(
    reply: &mut crate::resp::Reply,
    stream: &mut Stream,
    source: Source<'_>,
    (number, now): (ConsumerNumber, i64),
    budget: &mut Budget,
    given: &mut Given,
) {
    let Some((group, entries)) = stream.group_and_entries(source.group) else { return };
    // Found first, as what is claimed becomes the newest.
    let claimable =
        |pending: &Pending| now.saturating_sub(pending.delivery_time) >= source.idle_min_ms;
    let count = source.count.min(budget.entries_left());
    let found: Vec<Pending> = group.pending_by_time().take_while(claimable).take(count).collect();
    for old in found {
        if budget.is_spent(reply) {
            break;
        }
        let Some(entry) = entries.entry(old.id) else {
            group.acknowledge(old.id);
            given.forgotten.push((source.group.to_vec(), old.id));
            continue;
        };
        reply.array(4);
        reply_id_and_fields(reply, entry);
        reply.int(now.saturating_sub(old.delivery_time).max(0));
        reply.int(i64::try_from(old.delivery_count).unwrap_or(i64::MAX));
        budget.spend();
        given.count += 1;
        let delivery_count = old.delivery_count.saturating_add(1);
        group.assign(Pending { id: old.id, delivery_time: now, delivery_count, consumer: number });
        given.assigned.push((old.id, delivery_count));
    }
}

fn read_new(
    reply: &mut crate::resp::Reply,
    stream: &Stream,
    source: Source<'_>,
    budget: &mut Budget,
    given: &mut Given,
) {
    let last = stream.group(source.group).map(|group| group.last_id).unwrap_or_default();
    let Some(start) = last.next() else { return };
    for entry in stream.range(start, StreamId::MAX) {
        if given.count >= source.count || budget.is_spent(reply) {
            break;
        }
        given.new.push(entry.id);
        reply.array(4);
        reply_id_and_fields(reply, entry);
        reply.int(0);
        reply.int(0);
        budget.spend();
        given.count += 1;
    }
}

fn assign_new(
    stream: &mut Stream,
    source: Source<'_>,
    (number, now): (ConsumerNumber, i64),
    given: &mut Given,
) {
    let Some(group) = stream.group_mut(source.group) else { return };
    if !source.no_ack {
        for &id in &given.new {
            let (delivery_time, delivery_count, consumer) = (now, 1, number);
            group.assign(Pending { id, delivery_time, delivery_count, consumer });
            given.assigned.push((id, delivery_count));
        }
    }
    if !given.assigned.is_empty()
        && let Some(consumer) = group.consumer_mut(number)
    {
        consumer.active_time = now;
    }
}
