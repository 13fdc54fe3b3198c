//! Stream commands.
//!
//! `add` appends and trims, `delete` removes by id, `range` and `read` return entries (`read` for groups
//! too, and waits), `group` manages consumer groups, `pending` and `claim` what was delivered and not
//! acknowledged, `info` tells all of it. What they share is below and in `id`.
//!
//! The log gets resolved ids, exact trims, and deliveries as XCLAIM and XGROUP SETID: records that do
//! the same whenever they run.

mod add;
mod budget;
mod claim;
mod delete;
mod group;
mod id;
mod info;
mod pending;
mod range;
mod read;
mod read_claim;
mod trim;

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Outcome, Propagate, doc,
};
use crate::command::error::told;
use crate::resp::Reply;
use crate::types::stream::{Entry, StreamId};

pub const COMMANDS: &[Command] = &[
    pending::XACK,
    delete::XACKDEL,
    add::XADD,
    claim::XAUTOCLAIM,
    claim::XCLAIM,
    delete::XDEL,
    delete::XDELEX,
    group::XGROUP,
    info::XINFO,
    range::XLEN,
    pending::XPENDING,
    range::XRANGE,
    read::XREAD,
    read::XREADGROUP,
    range::XREVRANGE,
    add::XSETID,
    trim::XTRIM,
];

/// Writes an id.
fn reply_id(reply: &mut Reply, id: StreamId) {
    reply.bulk(id.text().as_bytes());
}

/// Writes an entry: its id, and its fields with their values in one list.
fn reply_entry(reply: &mut Reply, entry: Entry<'_>) {
    reply.array(2);
    reply_id_and_fields(reply, entry);
}

/// The same as parts of a list that was begun.
fn reply_id_and_fields(reply: &mut Reply, entry: Entry<'_>) {
    reply_id(reply, entry.id);
    reply.array(entry.fields.len() * 2);
    for (field, value) in entry.fields {
        field.with_bytes(|bytes| reply.bulk(bytes));
        value.with_bytes(|bytes| reply.bulk(bytes));
    }
}

/// Writes a list of entries; how many there were.
fn reply_entries<'a>(reply: &mut Reply, entries: impl Iterator<Item = Entry<'a>>) -> usize {
    let start = reply.defer();
    let mut count = 0;
    for entry in entries {
        reply_entry(reply, entry);
        count += 1;
    }
    reply.end_array(start, count);
    count
}

/// The key or its group is missing.
fn no_group(key: &[u8], group: &[u8], rest: &str) -> CommandError {
    CommandError::owned(format!(
        "NOGROUP No such key '{}' or consumer group '{}'{rest}",
        told(key),
        told(group),
    ))
}

/// The stream has no such group.
fn no_such_group(key: &[u8], group: &[u8]) -> CommandError {
    CommandError::owned(format!(
        "NOGROUP No such consumer group '{}' for key name '{}'",
        told(group),
        told(key),
    ))
}
