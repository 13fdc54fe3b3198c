//! Sorted set commands on single members; the other files have ranges, pops and combinations.
//!
//! Scores are parsed before anything is changed, so a bad one leaves no trace. A set that becomes
//! empty is removed in the same command, with a "del" event behind its own.

mod add;
mod algebra;
mod algebra_args;
mod bounds;
mod pop;
mod random;
mod range;
mod remove;
mod source;
mod zeros;

use super::scan_args::{ScanOptions, ScanReply, Scanned, parse_cursor, reply_empty};
use super::store::bulk;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::number::{DoubleText, seventeen_digits};
use crate::resp::Reply;
use crate::types::ZSet;
use crate::types::listpack::Element;

pub use add::{Conditions, Score, put};
pub use zeros::{is_signed, pairs, restate_stored};

pub const COMMANDS: &[Command] = &[
    pop::BZMPOP,
    pop::BZPOPMAX,
    pop::BZPOPMIN,
    add::ZADD,
    ZCARD,
    range::ZCOUNT,
    algebra::ZDIFF,
    algebra::ZDIFFSTORE,
    add::ZINCRBY,
    algebra::ZINTER,
    algebra::ZINTERCARD,
    algebra::ZINTERSTORE,
    range::ZLEXCOUNT,
    pop::ZMPOP,
    ZMSCORE,
    pop::ZPOPMAX,
    pop::ZPOPMIN,
    random::ZRANDMEMBER,
    range::ZRANGE,
    range::ZRANGEBYLEX,
    range::ZRANGEBYSCORE,
    range::ZRANGESTORE,
    ZRANK,
    remove::ZREM,
    remove::ZREMRANGEBYLEX,
    remove::ZREMRANGEBYRANK,
    remove::ZREMRANGEBYSCORE,
    range::ZREVRANGE,
    range::ZREVRANGEBYLEX,
    range::ZREVRANGEBYSCORE,
    ZREVRANK,
    ZSCAN,
    ZSCORE,
    algebra::ZUNION,
    algebra::ZUNIONSTORE,
];

pub const ZCARD: Command = Command {
    name: "ZCARD",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("1.2.0", "O(1)", "Counts the members of a sorted set."),
    handler: Handler::Plain(zcard),
    ..Command::BASE
};

fn zcard(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let len = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?.map_or(0, ZSet::len);
    ctx.reply.count(len);
    Ok(())
}

pub const ZSCORE: Command = Command {
    name: "ZSCORE",
    arity: 3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member",
    doc: doc("1.2.0", "O(1)", "Returns the score of a member."),
    handler: Handler::Plain(zscore),
    ..Command::BASE
};

fn zscore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    double_or_null(ctx.reply, set.and_then(|set| set.score(args.at(2))));
    Ok(())
}

pub const ZMSCORE: Command = Command {
    name: "ZMSCORE",
    arity: -3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member ...",
    doc: doc(
        "6.2.0",
        "O(N) where N is the number of members being requested.",
        "Returns the scores of several members.",
    ),
    handler: Handler::Plain(zmscore),
    ..Command::BASE
};

fn zmscore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    let members = args.tail(2);
    ctx.reply.array(members.len());
    for member in members.iter() {
        double_or_null(ctx.reply, set.and_then(|set| set.score(member)));
    }
    Ok(())
}

pub const ZRANK: Command = Command {
    name: "ZRANK",
    arity: -3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member [WITHSCORE]",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(log(N))",
        summary: "Returns the rank of a member, counted from the lowest score.",
        history: &[("7.2.0", "Added the optional `WITHSCORE` argument.")],
        deprecated: None,
    },
    handler: Handler::Plain(zrank),
    ..Command::BASE
};

fn zrank(ctx: &mut Ctx, args: &Args) -> CommandResult {
    rank(ctx, args, ZSet::rank)
}

pub const ZREVRANK: Command = Command {
    name: "ZREVRANK",
    arity: -3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member [WITHSCORE]",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(log(N))",
        summary: "Returns the rank of a member, counted from the highest score.",
        history: &[("7.2.0", "Added the optional `WITHSCORE` argument.")],
        deprecated: None,
    },
    handler: Handler::Plain(zrevrank),
    ..Command::BASE
};

fn zrevrank(ctx: &mut Ctx, args: &Args) -> CommandResult {
    rank(ctx, args, ZSet::rev_rank)
}

/// Finds a member's rank and score, from either end.
type FindRank = fn(&ZSet, &[u8]) -> Option<(usize, f64)>;

fn rank(ctx: &mut Ctx, args: &Args, find: FindRank) -> CommandResult {
    if args.len() > 4 {
        return Err(CommandError::Arity(ctx.command.to_lowercase()));
    }
    let with_score = args.len() == 4;
    if with_score && !args.is(3, "WITHSCORE") {
        return Err(CommandError::Syntax);
    }
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    match set.and_then(|set| find(set, args.at(2))) {
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
        Some((rank, score)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.count(rank);
            if with_score {
                ctx.reply.double(score);
            }
        }
    }
    Ok(())
}

pub const ZSCAN: Command = Command {
    name: "ZSCAN",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOSCORES]",
    doc: Doc {
        history: &[("9.1.0", "Added the `NOSCORES` option.")],
        ..doc(
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Walks over the members and scores of a sorted set in steps.",
        )
    },
    tips: &["nondeterministic_output"],
    handler: Handler::Plain(zscan),
    ..Command::BASE
};

fn zscan(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let cursor = parse_cursor(args.at(2))?;
    let Some(set) = ctx.ks.read::<ZSet>(ctx.db, args.at(1))? else {
        reply_empty(ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(args, 3, Scanned::Scored)?;
    let mut scan = ScanReply::begin(ctx.reply);
    let packed = set.as_listpack().is_some();
    let next = set.scan(cursor, options.count, |member, score| {
        member.with_bytes(|member| {
            if options.matches(member) {
                scan.push(ctx.reply, member);
                if options.names_only {
                    return;
                }
                if packed {
                    scan.push(ctx.reply, DoubleText::new(score).as_bytes());
                } else {
                    scan.push(ctx.reply, seventeen_digits(score).as_bytes());
                }
            }
        });
    });
    scan.end(ctx.reply, next);
    Ok(())
}

fn double_or_null(reply: &mut Reply, value: Option<f64>) {
    match value {
        Some(value) => reply.double(value),
        None => reply.null(),
    }
}

/// How the members of a reply are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Members alone.
    Members,
    /// Members with scores: pairs in RESP3, flat in RESP2.
    Scores,
    /// Members with scores: pairs in both.
    Pairs,
}

impl Shape {
    /// Writes the header of a reply of `len` members.
    fn begin(self, reply: &mut Reply, len: usize) {
        let flat = self == Self::Scores && !reply.resp3;
        reply.array(if flat { len * 2 } else { len });
    }

    /// Writes one member.
    fn push(self, reply: &mut Reply, member: Element<'_>, score: f64) {
        if self == Self::Members {
            return bulk(reply, member);
        }
        if self == Self::Pairs || reply.resp3 {
            reply.array(2);
        }
        bulk(reply, member);
        reply.double(score);
    }
}
