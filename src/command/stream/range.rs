//! XLEN, XRANGE and XREVRANGE.

use super::id;
use super::reply_entries;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    doc,
};
use crate::number::parse_i64;
use crate::types::Stream;

pub(super) const XLEN: Command = Command {
    name: "XLEN",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("5.0.0", "O(1)", "Returns the number of entries of a stream."),
    handler: Handler::Plain(xlen),
    ..Command::BASE
};

fn xlen(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let length = ctx.ks.read::<Stream>(ctx.db, args.at(1))?.map_or(0, Stream::len);
    ctx.reply.count(length);
    Ok(())
}

const RANGE: Command = Command {
    arity: -4,
    flags: Flags::READONLY,
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    ..Command::BASE
};

const RANGE_COMPLEXITY: &str = "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).";

pub(super) const XRANGE: Command = Command {
    name: "XRANGE",
    args: "key start end [COUNT count:integer]",
    doc: Doc {
        since: "5.0.0",
        complexity: RANGE_COMPLEXITY,
        summary: "Returns the entries of a stream between two ids.",
        history: &[("6.2.0", "Added exclusive ranges.")],
        deprecated: None,
    },
    handler: Handler::Plain(|ctx, args| range(ctx, args, false)),
    ..RANGE
};

pub(super) const XREVRANGE: Command = Command {
    name: "XREVRANGE",
    args: "key end start [COUNT count:integer]",
    doc: Doc {
        since: "5.0.0",
        complexity: RANGE_COMPLEXITY,
        summary: "Returns the entries of a stream between two ids, the last one first.",
        history: &[("6.2.0", "Added exclusive ranges.")],
        deprecated: None,
    },
    handler: Handler::Plain(|ctx, args| range(ctx, args, true)),
    ..RANGE
};

fn range(ctx: &mut Ctx, args: &Args, reverse: bool) -> CommandResult {
    let (start_at, end_at) = if reverse { (3, 2) } else { (2, 3) };
    let start = id::parse_start(args.at(start_at))?;
    let end = id::parse_end(args.at(end_at))?;
    let mut count = None;
    let mut at = 4;
    while at < args.len() {
        if !args.is(at, "COUNT") || at + 1 >= args.len() {
            return Err(CommandError::Syntax);
        }
        let given = parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger)?;
        count = Some(usize::try_from(given).unwrap_or(0));
        at += 2;
    }
    let Some(stream) = ctx.ks.read::<Stream>(ctx.db, args.at(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count == Some(0) {
        ctx.reply.null_array();
        return Ok(());
    }
    let count = count.unwrap_or(usize::MAX);
    if reverse {
        reply_entries(ctx.reply, stream.range_reverse(start, end).take(count));
    } else {
        reply_entries(ctx.reply, stream.range(start, end).take(count));
    }
    Ok(())
}
