//! HyperLogLog commands: counting distinct elements in 12 KiB at most.
//!
//! The value is a string in Redis' own format (`registers`), so that it can be read with GET, moved
//! with RESTORE and loaded by Redis. PFCOUNT of one key stores the cardinality in it, which is a
//! change like any other (it is logged), but not while writes are refused.

mod counter;
mod debug;
mod estimate;
mod murmur;
mod packing;
mod registers;

#[cfg(test)]
mod tests;

use super::string::value;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::{Entry, StrRef, ValueRef, event};
use crate::types::hash64::hash64;
pub(super) use counter::Counter;
use registers::{Corrupt, REGISTERS, Values};

pub const COMMANDS: &[Command] = &[PFADD, PFCOUNT, debug::PFDEBUG, PFMERGE, debug::PFSELFTEST];

impl From<Corrupt> for CommandError {
    fn from(_: Corrupt) -> Self {
        Self::text("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The HyperLogLog that an entry holds.
fn checked(value: ValueRef<'_>) -> Result<&[u8], CommandError> {
    match value {
        ValueRef::Str(StrRef::Bytes(bytes)) if registers::is_valid(bytes) => Ok(bytes),
        ValueRef::Str(_) => {
            Err(CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value."))
        }
        _ => Err(CommandError::WrongType),
    }
}

/// A copy of the HyperLogLog at a key, to be changed.
fn load(ctx: &mut Ctx, key: &[u8]) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(entry) = ctx.ks.peek(ctx.db, key) else { return Ok(None) };
    checked(entry.value()).map(|bytes| Some(bytes.to_vec()))
}

/// Puts a changed HyperLogLog back; the key's expiry stays.
fn store(ctx: &mut Ctx, key: &[u8], bytes: &[u8]) -> Result<(), CommandError> {
    value::replace_bytes(ctx, key, bytes)
}

pub const PFADD: Command = Command {
    name: "PFADD",
    arity: -2,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::HyperLogLog,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["insert"])],
    args: "key [element ...]",
    propagate: Propagate::AsSent,
    doc: doc("2.8.9", "O(1) to add every element.", "Adds elements to a HyperLogLog key."),
    handler: Handler::Plain(pfadd),
    ..Command::BASE
};

fn pfadd(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let bytes_max = ctx.limits().hll_sparse_max_bytes;
    let found = ctx.ks.peek(ctx.db, key).map(|entry| checked(entry.value())).transpose()?;
    let changes = match found {
        Some(bytes) if registers::is_dense(bytes) => {
            if raises(bytes, args)? {
                pfadd_dense(ctx, args)?
            } else {
                0
            }
        }
        Some(bytes) if args.len() == 3 => {
            let (index, rank) = registers::locate(args.at(2));
            let found = registers::find(bytes, index)?;
            let changed = found.value() < rank;
            if changed {
                let bytes = value::buffer(ctx, key)?;
                registers::raise_found(bytes, found, index, rank, bytes_max)?;
            }
            usize::from(changed)
        }
        // A copy: where a later element finds the bytes corrupt, the earlier ones have changed nothing.
        found => {
            let is_new = found.is_none();
            let mut bytes = found.map_or_else(registers::empty, <[u8]>::to_vec);
            let changes = raise_all(&mut bytes, args, bytes_max)? + usize::from(is_new);
            if changes > 0 {
                registers::invalidate(&mut bytes);
                store(ctx, key, &bytes)?;
            }
            changes
        }
    };
    if changes > 0 {
        ctx.changed_by(key, changes, event::STRING, "pfadd");
    }
    ctx.reply.flag(changes > 0);
    Ok(())
}

/// Whether any element changes anything: most do not, and then nothing is taken to be written.
fn raises(bytes: &[u8], args: &Args) -> Result<bool, Corrupt> {
    for element in args.iter().skip(2) {
        let (index, rank) = registers::locate(element);
        if registers::would_raise(bytes, index, rank)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Counts all elements; how many of them raised a register.
fn raise_all(bytes: &mut Vec<u8>, args: &Args, bytes_max: usize) -> Result<usize, Corrupt> {
    let mut changes = 0;
    for element in args.iter().skip(2) {
        let (index, rank) = registers::locate(element);
        changes += usize::from(registers::raise(bytes, index, rank, bytes_max)?);
    }
    Ok(changes)
}

/// The dense form keeps its size: it is changed where it is.
fn pfadd_dense(ctx: &mut Ctx, args: &Args) -> Result<usize, CommandError> {
    Ok(raise_all(value::buffer(ctx, args.at(1))?, args, 0)?)
}

pub const PFCOUNT: Command = Command {
    name: "PFCOUNT",
    arity: -2,
    flags: Flags::READONLY.or(Flags::MAY_REPLICATE),
    group: Group::HyperLogLog,
    keys: &[KeySpec::range(1, -1, 1, Access::ReadWrite, &["access"])],
    args: "key:key ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.8.9",
        "O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.",
        "Returns the approximated cardinality of the sets observed by the HyperLogLog keys.",
    ),
    handler: Handler::Plain(pfcount),
    ..Command::BASE
};

fn pfcount(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.len() > 2 {
        let mut values: Values = [0; REGISTERS];
        for key in args.iter().skip(1) {
            if let Some(entry) = ctx.ks.lookup(ctx.db, key) {
                registers::merge_into(&mut values, checked(entry.value())?)?;
            }
        }
        ctx.reply.int(as_reply(estimate::cardinality(&values)));
        return Ok(());
    }
    let key = args.at(1);
    let Some(bytes) = ctx.ks.lookup(ctx.db, key).map(Entry::value).map(checked).transpose()? else {
        ctx.reply.int(0);
        return Ok(());
    };
    if let Some(cached) = registers::cached(bytes) {
        ctx.reply.int(as_reply(cached));
        return Ok(());
    }
    let mut values: Values = [0; REGISTERS];
    registers::merge_into(&mut values, bytes)?;
    let cardinality = estimate::cardinality(&values);
    // It is a change that nobody asked for: left out where changes are refused.
    if ctx.server.persistence.log_error.is_none() {
        value::edit(ctx, key, 0, |bytes| registers::set_cached(bytes, cardinality))?;
        ctx.ks.effects.change(ctx.db, hash64(key), key);
    }
    ctx.reply.int(as_reply(cardinality));
    Ok(())
}

fn as_reply(cardinality: u64) -> i64 {
    i64::try_from(cardinality).unwrap_or(i64::MAX)
}

pub const PFMERGE: Command = Command {
    name: "PFMERGE",
    arity: -2,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::HyperLogLog,
    keys: &[
        KeySpec::at(1, Access::ReadWrite, &["access", "insert"]),
        KeySpec::range(2, -1, 1, Access::Read, &["access"]),
    ],
    args: "destkey:key [sourcekey:key ...]",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.8.9",
        "O(N) to merge N HyperLogLogs, but with high constant times.",
        "Merges one or more HyperLogLog values into a single key.",
    ),
    handler: Handler::Plain(pfmerge),
    ..Command::BASE
};

fn pfmerge(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let mut values: Values = [0; REGISTERS];
    let mut dense = false;
    ctx.ks.counts_reads = true;
    for source in args.iter().skip(1) {
        // The target counts too; a missing key adds nothing.
        if let Some(entry) = ctx.ks.lookup(ctx.db, source) {
            let bytes = checked(entry.value())?;
            dense |= registers::is_dense(bytes);
            registers::merge_into(&mut values, bytes)?;
        }
    }
    ctx.ks.counts_reads = false;
    let target = ctx.ks.peek(ctx.db, key).map(Entry::value).map(checked).transpose()?;
    if target.is_some_and(registers::is_dense) {
        let bytes = value::buffer(ctx, key)?;
        registers::put_values(bytes, &values);
        registers::invalidate(bytes);
    } else {
        let mut bytes = target.map_or_else(registers::empty, <[u8]>::to_vec);
        if dense {
            bytes = registers::dense_from(&bytes, &values);
        } else {
            let bytes_max = ctx.limits().hll_sparse_max_bytes;
            for (index, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
                registers::raise(&mut bytes, index, value, bytes_max)?;
            }
        }
        registers::invalidate(&mut bytes);
        store(ctx, key, &bytes)?;
    }
    // Redis calls it pfadd.
    ctx.changed(key, event::STRING, "pfadd");
    ctx.reply.ok();
    Ok(())
}
