//! Hash commands.
//!
//! `read` looks, `walk` scans and draws, `write` changes; `expiry` gives fields a time, and
//! `combined` has the commands that read or set fields and their times at once. A field whose time is
//! over is taken out by the keyspace before a handler sees the hash.

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

/// Writes a field or a value as a bulk string.
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
