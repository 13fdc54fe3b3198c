//! Commands on keys of any type.
//!
//! Times are absolute in the log; a key whose time is set to the past is deleted
//! (format-spec/aof.md). Looking at a key with TYPE, TTL, EXISTS and the like does not count as a
//! use of it.

mod copy;
mod delete;
mod dump;
mod expire;
mod migrate;
mod object;
mod scan;
mod sort;
pub mod wait;

#[cfg(test)]
mod tests;

use super::{Command, Ctx};
pub(in crate::command) use copy::database;
pub use migrate::{MigratedKey, Migration};

use crate::keyspace::{Entry, event};

pub const COMMANDS: &[Command] = &[
    copy::COPY,
    delete::DEL,
    dump::DUMP,
    delete::EXISTS,
    expire::EXPIRE,
    expire::EXPIREAT,
    expire::EXPIRETIME,
    scan::KEYS,
    copy::MOVE,
    object::OBJECT,
    expire::PERSIST,
    expire::PEXPIRE,
    expire::PEXPIREAT,
    expire::PEXPIRETIME,
    expire::PTTL,
    scan::RANDOMKEY,
    copy::RENAME,
    copy::RENAMENX,
    migrate::MIGRATE,
    dump::RESTORE,
    dump::RESTORE_ASKING,
    scan::SCAN,
    sort::SORT,
    sort::SORT_RO,
    delete::TOUCH,
    expire::TTL,
    object::TYPE,
    delete::UNLINK,
    wait::WAIT,
    wait::WAITAOF,
];

/// Looks a key up without marking its use, but counted as a hit or a miss.
fn inspect<'c>(ctx: &'c mut Ctx, key: &[u8]) -> Option<&'c Entry> {
    if ctx.ks.contains(ctx.db, key) {
        ctx.ks.stats.hits += 1;
        ctx.ks.peek(ctx.db, key)
    } else {
        ctx.ks.stats.misses += 1;
        ctx.ks.effects.event(ctx.db, event::KEY_MISS, "keymiss", key);
        None
    }
}
