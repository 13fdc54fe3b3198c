//! HSCAN and HRANDFIELD: a hash in pages, and fields by chance.

use std::borrow::Cow;

use super::super::scan_args::{self, ScanOptions, ScanReply, Scanned};
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc,
    field_clock, write_element,
};
use crate::command::set::{ends_here, repeats_end};
use crate::number;
use crate::resp::Reply;
use crate::types::Hash;
use crate::types::listpack::Element;

pub(super) const HSCAN: Command = Command {
    name: "HSCAN",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOVALUES]",
    tips: &["nondeterministic_output"],
    doc: doc(
        "2.8.0",
        "O(1) for every call. O(N) for a complete iteration, including enough command calls for \
         the cursor to return back to 0. N is the number of elements inside the collection.",
        "Iterates over fields and values of a hash.",
    ),
    handler: Handler::Plain(hscan),
    ..Command::BASE
};

fn hscan(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let cursor = scan_args::parse_cursor(args.at(2))?;
    let now = field_clock(ctx);
    let Some(hash) = ctx.ks.read::<Hash>(ctx.db, args.at(1))? else {
        scan_args::reply_empty(ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(args, 3, Scanned::Fields)?;
    let mut page = ScanReply::begin(ctx.reply);
    let reply = &mut *ctx.reply;
    let some_due = hash.has_due(now);
    let next = hash.scan(cursor, options.count, |field, value| {
        let is_due = some_due && field.with_bytes(|field| hash.is_due(field, now));
        if is_due || !field.with_bytes(|field| options.matches(field)) {
            return;
        }
        field.with_bytes(|field| page.push(reply, field));
        if !options.names_only {
            value.with_bytes(|value| page.push(reply, value));
        }
    });
    page.end(ctx.reply, next);
    Ok(())
}

pub(super) const HRANDFIELD: Command = Command {
    name: "HRANDFIELD",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [count:integer [WITHVALUES]]",
    tips: &["nondeterministic_output"],
    doc: doc(
        "6.2.0",
        "O(N) where N is the number of fields returned",
        "Returns one or more fields of a hash by chance.",
    ),
    handler: Handler::Plain(hrandfield),
    ..Command::BASE
};

fn hrandfield(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.ks.expire_all_fields(ctx.db, args.at(1));
    if args.len() == 2 {
        return draw_one(ctx, args.at(1));
    }
    let (count, with_values) = draw_options(args)?;
    let end = if count < 0 { repeats_end(ctx, count.unsigned_abs())? } else { 0 };
    let hidden = ctx.ks.fields_hidden_before();
    let Some(hash) = ctx.ks.read::<Hash>(ctx.db, args.at(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let hash = &*shown(hash, hidden);
    if hash.is_empty() {
        ctx.reply.array(0);
        return Ok(());
    }
    let reply = &mut *ctx.reply;
    let per_field = if with_values && !reply.resp3 { 2 } else { 1 };
    if let Ok(count) = usize::try_from(count) {
        reply.array(count.min(hash.len()) * per_field);
        hash.sample(count, ctx.rng, |field, value| write_drawn(reply, field, value, with_values));
        return Ok(());
    }
    let draws = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    reply.array(draws * per_field);
    for _ in 0..draws {
        if ends_here(reply, end) {
            break;
        }
        if let Some((field, value)) = hash.random(ctx.rng) {
            write_drawn(reply, field, value, with_values);
        }
    }
    Ok(())
}

/// A field by chance that is not hidden. Most are not: only where a hundred are is the hash copied without them.
fn draw_one(ctx: &mut Ctx, key: &[u8]) -> CommandResult {
    const DRAWS: usize = 100;
    let hidden = ctx.ks.fields_hidden_before();
    let Some(hash) = ctx.ks.read::<Hash>(ctx.db, key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let some_hidden = hash.has_due(hidden);
    for _ in 0..DRAWS {
        let Some((field, _)) = hash.random(ctx.rng) else { break };
        if !some_hidden || !field.with_bytes(|name| hash.is_due(name, hidden)) {
            write_element(ctx.reply, field);
            return Ok(());
        }
    }
    match shown(hash, hidden).random(ctx.rng) {
        Some((field, _)) => write_element(ctx.reply, field),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// The hash without the fields whose time is over, where they may not go now.
fn shown(hash: &Hash, hidden_before: u64) -> Cow<'_, Hash> {
    if !hash.has_due(hidden_before) {
        return Cow::Borrowed(hash);
    }
    let mut copy = hash.clone();
    copy.take_expired(hidden_before, usize::MAX, &mut |_, _| ());
    Cow::Owned(copy)
}

/// Reads the count and WITHVALUES.
fn draw_options(args: &Args) -> Result<(i64, bool), CommandError> {
    let count = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    if count == i64::MIN {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ));
    }
    let with_values = args.is(3, "WITHVALUES");
    if args.len() > 4 || (args.len() == 4 && !with_values) {
        return Err(CommandError::Syntax);
    }
    let too_many = count.unsigned_abs() > i64::MAX.unsigned_abs() / 2;
    if with_values && too_many {
        return Err(CommandError::text("ERR value is out of range"));
    }
    Ok((count, with_values))
}

fn write_drawn(reply: &mut Reply, field: Element<'_>, value: Element<'_>, with_values: bool) {
    if with_values && reply.resp3 {
        reply.array(2);
    }
    write_element(reply, field);
    if with_values {
        write_element(reply, value);
    }
}
