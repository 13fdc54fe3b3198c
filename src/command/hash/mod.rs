//! Hash commands.
//!
//! `read` looks, `walk` scans and draws, `write` changes; `expiry` gives fields a time, and
//! `combined` has the commands that read or set fields and their times at once. A field whose time is
//! over goes when a command looks at it by its name ([`look_at`]), or with the keyspace's active cycle.
//! Until then it counts (HLEN), and can be set and removed, but is not shown.

mod combined;
mod expiry;
mod fields;
mod read;
mod walk;
mod write;

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::command::ctx::Origin;
use crate::keyspace::event;
use crate::resp::Reply;
use crate::types::Hash;
use crate::types::listpack::Element;

pub const COMMANDS: &[Command] = &[
    write::HDEL,
    read::HEXISTS,
    expiry::HEXPIRE,
    expiry::HEXPIREAT,
    expiry::HEXPIRETIME,
    read::HGET,
    read::HGETALL,
    combined::HGETDEL,
    combined::HGETEX,
    write::HINCRBY,
    write::HINCRBYFLOAT,
    read::HKEYS,
    read::HLEN,
    read::HMGET,
    write::HMSET,
    expiry::HPERSIST,
    expiry::HPEXPIRE,
    expiry::HPEXPIREAT,
    expiry::HPEXPIRETIME,
    expiry::HPTTL,
    walk::HRANDFIELD,
    walk::HSCAN,
    write::HSET,
    combined::HSETEX,
    write::HSETNX,
    read::HSTRLEN,
    expiry::HTTL,
    read::HVALS,
];

/// Takes out those of these fields whose time is over, before a handler looks at them.
fn look_at<'f>(ctx: &mut Ctx, key: &[u8], fields: impl Iterator<Item = &'f [u8]>) {
    ctx.ks.expire_named_fields(ctx.db, key, fields);
}

/// The time before which fields are over. A log is replayed as it was written: nothing is over in it.
fn field_clock(ctx: &Ctx) -> u64 {
    if ctx.origin == Origin::Log { 0 } else { u64::try_from(ctx.now).unwrap_or(0) }
}

/// The hash, unless the time of this field of it is over and nothing may change now, so that it is still there.
fn showing<'h>(hash: Option<&'h Hash>, field: &[u8], hidden_before: u64) -> Option<&'h Hash> {
    hash.filter(|hash| !hash.has_due(hidden_before) || !hash.is_due(field, hidden_before))
}

/// Writes a field or a value as a bulk string.
#[inline]
fn write_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Int(value) => reply.bulk_int(value),
        Element::Str(bytes) => reply.bulk(bytes),
    }
}

/// Writes a value, or a null.
fn write_value(reply: &mut Reply, value: Option<Element<'_>>) {
    match value {
        Some(value) => write_element(reply, value),
        None => reply.null(),
    }
}

/// Says that `count` fields were taken out of a hash, and removes the key if none is left.
fn fields_removed(ctx: &mut Ctx, key: &[u8], count: usize) {
    ctx.changed_by(key, count, event::HASH, "hdel");
    if ctx.ks.remove_if_void::<Hash>(ctx.db, key) {
        ctx.changed_along(key, event::GENERIC, "del");
    }
}
