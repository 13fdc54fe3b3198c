//! Ranges by rank, score and member, counted, returned or stored.
//!
//! A range is turned into ranks first; LIMIT and the direction are then arithmetic.

use std::ops::Range;

use super::bounds::{Bounds, By};
use super::zeros::{is_signed, pairs, restate_stored, restated};
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, Shape, doc,
};
use crate::command::store::store;
use crate::keyspace::event;
use crate::number::parse_i64;
use crate::types::ZSet;
use crate::types::zset::Direction;

/// A range as it was asked for.
#[derive(Clone, Copy, Debug)]
struct Request<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    offset: i64,
    /// Negative: all.
    count: i64,
    with_scores: bool,
}

/// What the name of the command already says of its range.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    by: Option<By>,
    reverse: Option<bool>,
    /// The result is stored: no WITHSCORES.
    stores: bool,
}

impl<'a> Request<'a> {
    /// Reads the bounds at argument `at` and the options behind them.
    fn parse(args: &Args<'a>, at: usize, known: Known) -> Result<Self, CommandError> {
        let integer = |at| parse_i64(args.at(at)).ok_or(CommandError::NotInteger);
        let (mut by, mut reverse) = (known.by, known.reverse);
        let (mut offset, mut count, mut with_scores) = (0, -1, false);
        let mut option = at + 2;
        while option < args.len() {
            if !known.stores && args.is(option, "WITHSCORES") {
                with_scores = true;
            } else if args.is(option, "LIMIT") && option + 2 < args.len() {
                offset = integer(option + 1)?;
                count = integer(option + 2)?;
                option += 2;
            } else if reverse.is_none() && args.is(option, "REV") {
                reverse = Some(true);
            } else if by.is_none() && args.is(option, "BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && args.is(option, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            option += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if count != -1 && by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or \
                 BYLEX",
            ));
        }
        if by == By::Rank {
            // LIMIT with -1 is taken here, and means nothing.
            offset = 0;
        }
        if with_scores && by == By::Lex {
            return Err(CommandError::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (args.at(at), args.at(at + 1));
        let swaps = reverse && by != By::Rank;
        let (min, max) = if swaps { (second, first) } else { (first, second) };
        let bounds = Bounds::parse(by, min, max)?;
        Ok(Self { bounds, reverse, offset, count, with_scores })
    }

    /// The ranks of `set` that are asked for.
    fn ranks(&self, set: &ZSet) -> Range<usize> {
        let ranks = self.bounds.ranks(set, self.reverse);
        let offset = match usize::try_from(self.offset) {
            Ok(offset) => offset.min(ranks.len()),
            // Redis counts a negative offset from the end of the range, in a skiplist only.
            Err(_) if set.as_listpack().is_some() => return 0..0,
            Err(_) => {
                let back = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
                let Some(offset) = ranks.len().checked_sub(back) else { return 0..0 };
                offset
            }
        };
        let left = ranks.len() - offset;
        let count = usize::try_from(self.count).map_or(left, |count| count.min(left));
        if self.reverse {
            let end = ranks.end - offset;
            end - count..end
        } else {
            let start = ranks.start + offset;
            start..start + count
        }
    }

    fn direction(&self) -> Direction {
        if self.reverse { Direction::Reverse } else { Direction::Forward }
    }
}

pub(super) const ZRANGE: Command = Command {
    name: "ZRANGE",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset:integer count:integer] [WITHSCORES]",
    doc: Doc {
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        summary: "Returns the members within bounds of rank, score or name.",
        history: &[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")],
        deprecated: None,
    },
    handler: Handler::Plain(zrange),
    ..Command::BASE
};

fn zrange(ctx: &mut Ctx, args: &Args) -> CommandResult {
    range(ctx, args, None, None)
}

pub(super) const ZREVRANGE: Command = Command {
    name: "ZREVRANGE",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key start:integer stop:integer [WITHSCORES]",
    doc: Doc {
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        summary: "Returns the members within bounds of rank, counted from the highest score.",
        history: &[],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
    },
    handler: Handler::Plain(zrevrange),
    ..Command::BASE
};

fn zrevrange(ctx: &mut Ctx, args: &Args) -> CommandResult {
    range(ctx, args, Some(By::Rank), Some(true))
}

pub(super) const ZRANGEBYSCORE: Command = Command {
    name: "ZRANGEBYSCORE",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key min:double max:double [WITHSCORES] [LIMIT offset:integer count:integer]",
    doc: Doc {
        since: "1.0.5",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members whose scores are within bounds.",
        history: &[("2.0.0", "Added the `WITHSCORES` modifier.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
    },
    handler: Handler::Plain(zrangebyscore),
    ..Command::BASE
};

fn zrangebyscore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    range(ctx, args, Some(By::Score), Some(false))
}

pub(super) const ZREVRANGEBYSCORE: Command = Command {
    name: "ZREVRANGEBYSCORE",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key max:double min:double [WITHSCORES] [LIMIT offset:integer count:integer]",
    doc: Doc {
        since: "2.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members whose scores are within bounds, the highest first.",
        history: &[("2.1.6", "`min` and `max` can be exclusive.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
    },
    handler: Handler::Plain(zrevrangebyscore),
    ..Command::BASE
};

fn zrevrangebyscore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    range(ctx, args, Some(By::Score), Some(true))
}

pub(super) const ZRANGEBYLEX: Command = Command {
    name: "ZRANGEBYLEX",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key min max [LIMIT offset:integer count:integer]",
    doc: Doc {
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members within lexicographic bounds.",
        history: &[],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
    },
    handler: Handler::Plain(zrangebylex),
    ..Command::BASE
};

fn zrangebylex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    range(ctx, args, Some(By::Lex), Some(false))
}

pub(super) const ZREVRANGEBYLEX: Command = Command {
    name: "ZREVRANGEBYLEX",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key max min [LIMIT offset:integer count:integer]",
    doc: Doc {
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members within lexicographic bounds, the last first.",
        history: &[],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
    },
    handler: Handler::Plain(zrevrangebylex),
    ..Command::BASE
};

fn zrevrangebylex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    range(ctx, args, Some(By::Lex), Some(true))
}

fn range(ctx: &mut Ctx, args: &Args, by: Option<By>, reverse: Option<bool>) -> CommandResult {
    let request = Request::parse(args, 2, Known { by, reverse, stores: false })?;
    let Some(set) = ctx.ks.read::<ZSet>(ctx.db, args.at(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let ranks = request.ranks(set);
    let shape = if request.with_scores { Shape::Scores } else { Shape::Members };
    shape.begin(ctx.reply, ranks.len());
    for (member, score) in set.range(ranks, request.direction()) {
        shape.push(ctx.reply, member, score);
    }
    Ok(())
}

pub(super) const ZRANGESTORE: Command = Command {
    name: "ZRANGESTORE",
    arity: -5,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::SortedSet,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::at(2, Access::Read, &["access"]),
    ],
    args: "dst:key src:key min max [BYSCORE | BYLEX] [REV] [LIMIT offset:integer count:integer]",
    propagate: Propagate::AsSent,
    doc: doc(
        "6.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
        "Stores the members within bounds of rank, score or name.",
    ),
    handler: Handler::Plain(zrangestore),
    ..Command::BASE
};

fn zrangestore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let request = Request::parse(args, 3, Known { stores: true, ..Known::default() })?;
    let limits = &ctx.server.limits;
    let (mut result, mut signed) = (ZSet::new(), false);
    let grows = !matches!(request.bounds, Bounds::Rank(..));
    if let Some(set) = ctx.ks.read::<ZSet>(ctx.db, args.at(2))? {
        let ranks = request.ranks(set);
        // By score or name Redis does not know how many there will be: it begins small, where -0 loses its sign.
        if !grows {
            result.expect(ranks.len(), limits);
        }
        for (member, score) in set.range(ranks, request.direction()) {
            signed |= is_signed(score);
            member.with_bytes(|member| result.insert(member, score, limits));
        }
    }
    let len = result.len();
    let restatement = match grows && signed {
        true => Some(pairs(&result)),
        false => restated(signed, &result),
    };
    store(ctx, args.at(1), result, event::ZSET, "zrangestore");
    if let Some(pairs) = restatement {
        restate_stored(ctx, args.at(1), pairs);
    }
    ctx.reply.count(len);
    Ok(())
}

pub(super) const ZCOUNT: Command = Command {
    name: "ZCOUNT",
    arity: 4,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key min:double max:double",
    doc: doc(
        "2.0.0",
        "O(log(N)) with N being the number of elements in the sorted set.",
        "Counts the members whose scores are within bounds.",
    ),
    handler: Handler::Plain(zcount),
    ..Command::BASE
};

fn zcount(ctx: &mut Ctx, args: &Args) -> CommandResult {
    count(ctx, args, By::Score)
}

pub(super) const ZLEXCOUNT: Command = Command {
    name: "ZLEXCOUNT",
    arity: 4,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key min max",
    doc: doc(
        "2.8.9",
        "O(log(N)) with N being the number of elements in the sorted set.",
        "Counts the members within lexicographic bounds.",
    ),
    handler: Handler::Plain(zlexcount),
    ..Command::BASE
};

fn zlexcount(ctx: &mut Ctx, args: &Args) -> CommandResult {
    count(ctx, args, By::Lex)
}

fn count(ctx: &mut Ctx, args: &Args, by: By) -> CommandResult {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    ctx.reply.count(set.map_or(0, |set| bounds.ranks(set, false).len()));
    Ok(())
}
