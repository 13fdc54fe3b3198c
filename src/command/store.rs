//! Putting a computed collection under its destination key (SUNIONSTORE, ZRANGESTORE, ...).
//!
//! Whatever was there, of any type and with any expiry, is replaced; an empty result removes it.

use super::Ctx;
use crate::keyspace::{Entry, Typed, event};
use crate::resp::Reply;
use crate::types::listpack::Element;

/// Puts `value` at `key`, or removes the key if the value is empty, and says so with the event of
/// the command. Writes no reply.
pub fn store<T: Typed>(ctx: &mut Ctx, key: &[u8], value: T, class: u32, name: &'static str) {
    let there = ctx.ks.contains(ctx.db, key);
    if value.is_void() {
        if there {
            ctx.ks.discard(ctx.db, key);
            ctx.changed(key, event::GENERIC, "del");
        }
        return;
    }
    ctx.ks.replace(ctx.db, Entry::new(key, value.into_value(), None));
    if !there {
        ctx.ks.effects.event(ctx.db, event::NEW, "new", key);
    }
    ctx.changed(key, class, name);
}

/// Removes `key` with its "del" event if its collection has become empty.
pub fn remove_if_void<T: Typed>(ctx: &mut Ctx, key: &[u8]) {
    if ctx.ks.remove_if_void::<T>(ctx.db, key) {
        ctx.changed_along(key, event::GENERIC, "del");
    }
}

/// Writes an element of a collection as a bulk string.
pub fn bulk(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Int(value) => reply.bulk_int(value),
        Element::Str(bytes) => reply.bulk(bytes),
    }
}
