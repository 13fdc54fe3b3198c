//! FLUSHALL, FLUSHDB, SWAPDB.
//!
//! The keys are gone at once, for everybody. What they took is freed by the reclaim thread if that is more than an
//! instant's work; without ASYNC the reply waits for it, as in Redis 8, and nobody else does.

use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, Outcome, Propagate, doc,
};
use crate::command::ctx::Origin;
use crate::keyspace::{Entry, LARGE_BYTES, LAZY_ALLOCATIONS};
use crate::number;
use crate::session::wait::TimeoutReply;
use crate::session::{KeyState, Wait, WaitKind};

/// A database of no more keys, none of them large, is freed on the spot.
const FREED_AT_ONCE_MAX: usize = 1000;

const FLUSH: Command = Command {
    arity: -1,
    flags: Flags::WRITE.or(Flags::WHOLE_KEYSPACE),
    group: Group::Server,
    args: "[<ASYNC | SYNC>]",
    propagate: Propagate::Effect,
    categories: &["keyspace", "dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..Command::BASE
};

pub const FLUSHALL: Command = Command {
    name: "FLUSHALL",
    doc: doc(
        "1.0.0",
        "O(N) where N is the total number of keys",
        "Removes all keys from all databases.",
    ),
    handler: Handler::Extended(|ctx, args| flush(ctx, args, true)),
    ..FLUSH
};

pub const FLUSHDB: Command = Command {
    name: "FLUSHDB",
    doc: doc(
        "1.0.0",
        "O(N) where N is the number of keys",
        "Removes all keys from the current database.",
    ),
    handler: Handler::Extended(|ctx, args| flush(ctx, args, false)),
    ..FLUSH
};

fn flush(ctx: &mut Ctx, args: &Args, all: bool) -> Result<Outcome, CommandError> {
    let nobody_waits = match args.get(1) {
        _ if args.len() > 2 => return Err(CommandError::Syntax),
        None => ctx.server.config.lazyfree_lazy_user_flush,
        Some(word) if word.eq_ignore_ascii_case(b"sync") => false,
        Some(word) if word.eq_ignore_ascii_case(b"async") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    let dbs = if all { 0..ctx.ks.databases() } else { ctx.db..ctx.db + 1 };
    let freed_later = take_keys(ctx, dbs);
    // Always logged, as Redis does, even when there was nothing.
    // The snapshot file must not bring the keys back.
    ctx.server.persistence.flushed |= all && ctx.origin != Origin::Log;
    let name: &[u8] = if all { b"FLUSHALL" } else { b"FLUSHDB" };
    ctx.effect(&[name]);
    if freed_later && !nobody_waits && ctx.may_wait() {
        ctx.server.flushing.push(ctx.client);
        return Ok(Outcome::Wait(Wait::until(WaitKind::Freed, None, TimeoutReply::Ok)));
    }
    ctx.reply.ok();
    Ok(Outcome::Replied)
}

/// Empties databases. True when the reclaim thread has something to free.
fn take_keys(ctx: &mut Ctx, dbs: std::ops::Range<usize>) -> bool {
    let keys: usize = (0..ctx.ks.databases()).map(|db| ctx.ks.len(db)).sum();
    let server = &*ctx.server;
    let data_bytes = server.used_memory.saturating_sub(server.memory_at_start);
    let bytes_per_key = data_bytes / (keys as u64).max(1);
    let mut freed_later = false;
    for db in dbs {
        for key in ctx.sessions.watched_keys(db) {
            if ctx.ks.again(db, &key).is_some() {
                ctx.sessions.key_changed(db, &key, KeyState::Gone);
            }
        }
        let count = ctx.ks.len(db) as u64;
        ctx.ks.effects.dirty += count;
        let table = ctx.ks.take_all(db).filter(|_| count > 0);
        if let Some(table) = table.filter(|table| !is_freed_soon(table.len(), table.iter())) {
            ctx.server.reclaim_later(bytes_per_key * count, count, table);
            freed_later = true;
        }
    }
    freed_later
}

fn is_freed_soon<'a>(count: usize, mut entries: impl Iterator<Item = &'a Entry>) -> bool {
    let is_small = |entry: &Entry| {
        entry.memory_bytes() < LARGE_BYTES && entry.allocations() <= LAZY_ALLOCATIONS
    };
    count <= FREED_AT_ONCE_MAX && entries.all(is_small)
}

pub const SWAPDB: Command = Command {
    name: "SWAPDB",
    arity: 3,
    flags: Flags::WRITE.or(Flags::FAST).or(Flags::WHOLE_KEYSPACE),
    group: Group::Server,
    args: "index1:integer index2:integer",
    propagate: Propagate::AsSent,
    categories: &["keyspace", "dangerous"],
    doc: doc(
        "4.0.0",
        "O(N) where N is the count of clients watching or blocking on keys from both databases.",
        "Swaps two Redis databases.",
    ),
    handler: Handler::Plain(swapdb),
    ..Command::BASE
};

fn swapdb(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let index = |at, text| {
        number::parse_i64(args.at(at))
            .filter(|index| i32::try_from(*index).is_ok())
            .ok_or(CommandError::text(text))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let databases = ctx.ks.databases();
    let valid = |index: i64| usize::try_from(index).ok().filter(|index| *index < databases);
    let out_of_range = CommandError::text("ERR DB index is out of range");
    let first = valid(first).ok_or(out_of_range.clone())?;
    let second = valid(second).ok_or(out_of_range)?;
    if first != second {
        for db in [first, second] {
            let other = if db == first { second } else { first };
            for key in ctx.sessions.watched_keys(db) {
                let was_there = ctx.ks.again(db, &key).is_some();
                match state_of(ctx, other, &key) {
                    KeyState::Gone if !was_there => {}
                    KeyState::Expired if !was_there => ctx.sessions.expired_key_came(db, &key),
                    state => ctx.sessions.key_changed(db, &key, state),
                }
            }
        }
        ctx.ks.swap(first, second);
    }
    ctx.ks.effects.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

/// How a watcher finds a key, which stays as it is.
fn state_of(ctx: &Ctx, db: usize, key: &[u8]) -> KeyState {
    if ctx.ks.peek_expired(db, key, ctx.now) {
        KeyState::Expired
    } else if ctx.ks.again(db, key).is_some() {
        KeyState::There
    } else {
        KeyState::Gone
    }
}
