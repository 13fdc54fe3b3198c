//! SPOP and SRANDMEMBER: members chosen by chance.
//!
//! The log gets what was chosen (SREM), never the request: replaying it must not choose again.

use super::{
    Access, Args, Command, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec, Propagate,
};
use crate::command::CommandError;
use crate::command::ctx::Origin;
use crate::command::store::{bulk, remove_if_void};
use crate::keyspace::event;
use crate::number::parse_i64;
use crate::resp::Reply;
use crate::session::Client;
use crate::types::Set;

/// Members that one SREM record names at most.
const RECORD_MEMBERS: usize = 1024;
/// Elements that a reply may repeat (SRANDMEMBER with a negative count) where nothing else bounds the
/// request: more would only end in memory running out.
const REPEATS_MAX: u64 = 1 << 27;

/// The length of the reply's buffer at which elements drawn with repetition may end, however many were
/// asked for: the client is over the limit of its output then, and is closed without seeing any.
pub(in crate::command) fn repeats_end(ctx: &Ctx, count: u64) -> Result<usize, CommandError> {
    let limits = &ctx.server.config.client_output_buffer_limit;
    let subscribed = ctx.sessions.client(ctx.client).is_some_and(Client::is_subscribed);
    let hard_bytes = if subscribed { limits.pubsub.hard_bytes } else { limits.normal.hard_bytes };
    if hard_bytes > 0 && matches!(ctx.origin, Origin::Client | Origin::Transaction) {
        let hard = usize::try_from(hard_bytes).unwrap_or(usize::MAX);
        return Ok(ctx.reply.buffer.len().saturating_add(hard).saturating_add(1));
    }
    if count > REPEATS_MAX {
        return Err(CommandError::text("ERR value is out of range"));
    }
    Ok(usize::MAX)
}

/// Whether elements drawn with repetition end here, as [`repeats_end`] said.
pub(in crate::command) fn ends_here(reply: &mut Reply, end: usize) -> bool {
    reply.cut |= reply.buffer.len() > end;
    reply.cut
}

pub(super) const SPOP: Command = Command {
    name: "SPOP",
    arity: -2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "delete"])],
    args: "key [count:integer]",
    propagate: Propagate::Effect,
    doc: Doc {
        since: "1.0.0",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
        summary: "Takes members chosen by chance out of a set. The set goes with its last member.",
        history: &[("3.2.0", "Added the `count` argument.")],
        deprecated: None,
    },
    tips: &["nondeterministic_output"],
    handler: Handler::Plain(spop),
    ..Command::BASE
};

fn spop(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    if let Some(count) = args.get(2) {
        return spop_count(ctx, key, positive(count)?);
    }
    let Some(set) = ctx.ks.write::<Set>(ctx.db, key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let Some(member) = set.pop(&mut *ctx.rng, |member| member.to_vec()) else {
        ctx.reply.null();
        return Ok(());
    };
    ctx.reply.bulk(&member);
    ctx.effect(&[b"SREM", key, &member]);
    ctx.changed(key, event::SET, "spop");
    remove_if_void::<Set>(ctx, key);
    Ok(())
}

fn spop_count(ctx: &mut Ctx, key: &[u8], count: usize) -> CommandResult {
    let Some(set) = ctx.ks.write::<Set>(ctx.db, key)? else {
        ctx.reply.set(0);
        return Ok(());
    };
    let len = set.len();
    if count >= len {
        ctx.reply.set(len);
        set.iter().for_each(|member| bulk(ctx.reply, member));
        ctx.changed_by(key, len, event::SET, "spop");
        ctx.ks.discard(ctx.db, key);
        ctx.effect(&[b"DEL", key]);
        ctx.changed_along(key, event::GENERIC, "del");
        return Ok(());
    }
    ctx.reply.set(count);
    let mut members: Vec<Vec<u8>> = Vec::with_capacity(count);
    for _ in 0..count {
        members.extend(set.pop(&mut *ctx.rng, |member| member.to_vec()));
    }
    members.iter().for_each(|member| ctx.reply.bulk(member));
    for batch in members.chunks(RECORD_MEMBERS) {
        let mut record: Vec<&[u8]> = vec![b"SREM", key];
        record.extend(batch.iter().map(Vec::as_slice));
        ctx.effect(&record);
    }
    if count > 0 {
        ctx.changed_by(key, count, event::SET, "spop");
    }
    Ok(())
}

pub(super) const SRANDMEMBER: Command = Command {
    name: "SRANDMEMBER",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Set,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [count:integer]",
    doc: Doc {
        since: "1.0.0",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
        summary: "Returns members of a set chosen by chance.",
        history: &[("2.6.0", "Added the optional `count` argument.")],
        deprecated: None,
    },
    tips: &["nondeterministic_output"],
    handler: Handler::Plain(srandmember),
    ..Command::BASE
};

fn srandmember(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let Some(count) = args.get(2) else {
        let set = ctx.ks.read::<Set>(ctx.db, key)?;
        match set.and_then(|set| set.random(&mut *ctx.rng)) {
            Some(member) => bulk(ctx.reply, member),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let count = signed(count)?;
    let end = if count < 0 { repeats_end(ctx, count.unsigned_abs())? } else { 0 };
    let Some(set) = ctx.ks.read::<Set>(ctx.db, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        ctx.reply.array(wanted);
        for _ in 0..wanted {
            if ends_here(ctx.reply, end) {
                break;
            }
            if let Some(member) = set.random(&mut *ctx.rng) {
                bulk(ctx.reply, member);
            }
        }
    } else if wanted >= set.len() {
        ctx.reply.array(set.len());
        set.iter().for_each(|member| bulk(ctx.reply, member));
    } else {
        ctx.reply.array(wanted);
        set.sample(wanted, &mut *ctx.rng, |member| bulk(ctx.reply, member));
    }
    Ok(())
}

/// A count that may be zero but not negative (SPOP, ZPOPMIN).
pub(in crate::command) fn positive(text: &[u8]) -> Result<usize, CommandError> {
    let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
    count.ok_or(CommandError::text("ERR value is out of range, must be positive"))
}

/// A count whose sign means something (SRANDMEMBER, ZRANDMEMBER).
pub(in crate::command) fn signed(text: &[u8]) -> Result<i64, CommandError> {
    match parse_i64(text).ok_or(CommandError::NotInteger)? {
        i64::MIN => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        )),
        count => Ok(count),
    }
}
