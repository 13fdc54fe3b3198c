//! Pops: ZPOPMIN, ZPOPMAX, ZMPOP and their blocking forms.
//!
//! A blocking pop that finds nothing asks to wait for its keys; it is run again when one of them
//! changes. The log gets the plain pop of the key that served it.

use std::time::Duration;

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, Shape, bulk, doc,
};
use crate::command::set::positive;
use crate::command::store::remove_if_void;
use crate::command::{Doc, Outcome};
use crate::keyspace::event;
use crate::number::{parse_double, parse_i64};
use crate::session::wait::TimeoutReply;
use crate::session::{Awaited, Wait};
use crate::types::ZSet;
use crate::types::zset::Direction;

/// Which end of the set is popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn command(self) -> &'static str {
        match self {
            Self::Min => "ZPOPMIN",
            Self::Max => "ZPOPMAX",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }
}

pub(super) const ZPOPMIN: Command = Command {
    name: "ZPOPMIN",
    arity: -2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "delete"])],
    args: "key [count:integer]",
    propagate: Propagate::AsSent,
    doc: doc(
        "5.0.0",
        "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        "Takes the members with the lowest scores out of a sorted set.",
    ),
    handler: Handler::Plain(zpopmin),
    ..Command::BASE
};

fn zpopmin(ctx: &mut Ctx, args: &Args) -> CommandResult {
    pop(ctx, args, End::Min)
}

pub(super) const ZPOPMAX: Command = Command {
    name: "ZPOPMAX",
    arity: -2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "delete"])],
    args: "key [count:integer]",
    propagate: Propagate::AsSent,
    doc: doc(
        "5.0.0",
        "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        "Takes the members with the highest scores out of a sorted set.",
    ),
    handler: Handler::Plain(zpopmax),
    ..Command::BASE
};

fn zpopmax(ctx: &mut Ctx, args: &Args) -> CommandResult {
    pop(ctx, args, End::Max)
}

fn pop(ctx: &mut Ctx, args: &Args, end: End) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = args.get(2).map(positive).transpose()?;
    let key = args.at(1);
    let len = ctx.ks.read::<ZSet>(ctx.db, key)?.map_or(0, ZSet::len).min(count.unwrap_or(1));
    if len == 0 {
        ctx.reply.array(0);
        return Ok(());
    }
    if count.is_none() {
        // A single pair is flat in RESP3 too.
        ctx.reply.array(2);
        return take(ctx, key, end, 1, None);
    }
    Shape::Scores.begin(ctx.reply, len);
    take(ctx, key, end, len, Some(Shape::Scores))
}

/// Takes `count` members (no more than there are) out of the set and writes them in this shape, or
/// bare.
fn take(ctx: &mut Ctx, key: &[u8], end: End, count: usize, shape: Option<Shape>) -> CommandResult {
    let Some(set) = ctx.ks.write::<ZSet>(ctx.db, key)? else { return Ok(()) };
    let (ranks, direction) = match end {
        End::Min => (0..count, Direction::Forward),
        End::Max => (set.len().saturating_sub(count)..set.len(), Direction::Reverse),
    };
    for (member, score) in set.range(ranks.clone(), direction) {
        match shape {
            Some(shape) => shape.push(ctx.reply, member, score),
            None => {
                bulk(ctx.reply, member);
                ctx.reply.double(score);
            }
        }
    }
    set.remove_ranks(ranks, &mut |_, _| {});
    ctx.changed_by(key, count, event::ZSET, end.event());
    remove_if_void::<ZSet>(ctx, key);
    Ok(())
}

/// The first of these keys that has members, with how many.
fn first_with_members<'a>(
    ctx: &mut Ctx,
    keys: &Args<'a>,
) -> Result<Option<(&'a [u8], usize)>, CommandError> {
    for key in keys.iter() {
        if let Some(set) = ctx.ks.read::<ZSet>(ctx.db, key)? {
            return Ok(Some((key, set.len())));
        }
    }
    Ok(None)
}

/// ZMPOP's arguments behind the timeout.
struct Several<'a> {
    keys: Args<'a>,
    end: End,
    count: usize,
}

impl<'a> Several<'a> {
    /// Reads them from argument `at` (the number of keys) on.
    fn parse(args: &Args<'a>, at: usize) -> Result<Self, CommandError> {
        let at_least_one = |text: &[u8], error| {
            let number = parse_i64(text).filter(|number| *number > 0);
            number.and_then(|number| usize::try_from(number).ok()).ok_or(CommandError::text(error))
        };
        let numkeys = at_least_one(args.at(at), "ERR numkeys should be greater than 0")?;
        let first = at + 1;
        let place = first.saturating_add(numkeys);
        let end = match (args.is(place, "MIN"), args.is(place, "MAX")) {
            (true, _) => End::Min,
            (_, true) => End::Max,
            _ => return Err(CommandError::Syntax),
        };
        let count = match args.len() - place {
            1 => 1,
            3 if args.is(place + 1, "COUNT") => {
                at_least_one(args.at(place + 2), "ERR count should be greater than 0")?
            }
            // A bad count is reported before what is wrong behind it.
            4.. if args.is(place + 1, "COUNT") => {
                at_least_one(args.at(place + 2), "ERR count should be greater than 0")?;
                return Err(CommandError::Syntax);
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Self { keys: args.slice(first..place), end, count })
    }

    /// Pops from the first set that has members; whether there was one.
    fn serve(&self, ctx: &mut Ctx) -> Result<bool, CommandError> {
        let Some((key, len)) = first_with_members(ctx, &self.keys)? else { return Ok(false) };
        let count = self.count.min(len);
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        Shape::Pairs.begin(ctx.reply, count);
        take(ctx, key, self.end, count, Some(Shape::Pairs))?;
        let text = count.to_string();
        ctx.effect(&[self.end.command().as_bytes(), key, text.as_bytes()]);
        Ok(true)
    }
}

pub(super) const ZMPOP: Command = Command {
    name: "ZMPOP",
    arity: -4,
    flags: Flags::WRITE.or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[KeySpec::counted(1, Access::ReadWrite, &["access", "delete"])],
    args: "numkeys:integer key ... <MIN | MAX> [COUNT count:integer]",
    propagate: Propagate::Effect,
    doc: doc(
        "7.0.0",
        "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        "Takes the members with the lowest or highest scores out of the first sorted set that has any.",
    ),
    handler: Handler::Plain(zmpop),
    ..Command::BASE
};

fn zmpop(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let request = Several::parse(args, 1)?;
    if !request.serve(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) const BZMPOP: Command = Command {
    name: "BZMPOP",
    arity: -5,
    flags: Flags::WRITE.or(Flags::BLOCKING).or(Flags::MOVABLE_KEYS),
    group: Group::SortedSet,
    keys: &[KeySpec::counted(2, Access::ReadWrite, &["access", "delete"])],
    args: "timeout:double numkeys:integer key ... <MIN | MAX> [COUNT count:integer]",
    propagate: Propagate::Effect,
    doc: doc(
        "7.0.0",
        "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        "Takes the members with the lowest or highest scores out of the first sorted set that has any, and waits for one if none has.",
    ),
    handler: Handler::Extended(bzmpop),
    ..Command::BASE
};

fn bzmpop(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let request = Several::parse(args, 2)?;
    let deadline = deadline(ctx, args.at(1))?;
    if request.serve(ctx)? {
        return Ok(Outcome::Replied);
    }
    Ok(wait_for(&request.keys, deadline))
}

pub(super) const BZPOPMIN: Command = Command {
    name: "BZPOPMIN",
    arity: -3,
    flags: Flags::WRITE.or(Flags::BLOCKING).or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::range(1, -2, 1, Access::ReadWrite, &["access", "delete"])],
    args: "key ... timeout:double",
    propagate: Propagate::Effect,
    doc: Doc {
        since: "5.0.0",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        summary: "Takes the member with the lowest score out of the first sorted set that has any, and waits for one if none has.",
        history: &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        deprecated: None,
    },
    handler: Handler::Extended(bzpopmin),
    ..Command::BASE
};

fn bzpopmin(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    blocking_pop(ctx, args, End::Min)
}

pub(super) const BZPOPMAX: Command = Command {
    name: "BZPOPMAX",
    arity: -3,
    flags: Flags::WRITE.or(Flags::BLOCKING).or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::range(1, -2, 1, Access::ReadWrite, &["access", "delete"])],
    args: "key ... timeout:double",
    propagate: Propagate::Effect,
    doc: Doc {
        since: "5.0.0",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        summary: "Takes the member with the highest score out of the first sorted set that has any, and waits for one if none has.",
        history: &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
        deprecated: None,
    },
    handler: Handler::Extended(bzpopmax),
    ..Command::BASE
};

fn bzpopmax(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    blocking_pop(ctx, args, End::Max)
}

fn blocking_pop(ctx: &mut Ctx, args: &Args, end: End) -> Result<Outcome, CommandError> {
    let last = args.len() - 1;
    let deadline = deadline(ctx, args.at(last))?;
    let keys = args.slice(1..last);
    let Some((key, _)) = first_with_members(ctx, &keys)? else {
        return Ok(wait_for(&keys, deadline));
    };
    ctx.reply.array(3);
    ctx.reply.bulk(key);
    take(ctx, key, end, 1, None)?;
    ctx.effect(&[end.command().as_bytes(), key]);
    Ok(Outcome::Replied)
}

fn wait_for(keys: &Args, deadline: Option<Duration>) -> Outcome {
    Outcome::Wait(Wait::for_keys(keys, Awaited::SortedSet, deadline, TimeoutReply::NullArray))
}

/// When a wait of so many seconds ends; `None`: never (zero seconds).
fn deadline(ctx: &Ctx, text: &[u8]) -> Result<Option<Duration>, CommandError> {
    let seconds = parse_double(text).ok_or(CommandError::TimeoutNotFloat)?;
    if seconds < 0.0 {
        return Err(CommandError::TimeoutNegative);
    }
    if seconds == 0.0 {
        return Ok(None);
    }
    let milliseconds = (seconds * 1000.0).ceil();
    let room = i64::MAX.saturating_sub(ctx.now);
    if milliseconds >= room as f64 {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    Ok(ctx.monotonic.checked_add(Duration::from_millis(milliseconds as u64)))
}
