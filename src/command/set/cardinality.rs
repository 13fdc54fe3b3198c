//! SINTERCARD, SUNIONCARD, SDIFFCARD: how many members a combination of sets has, without its members.
//!
//! Counting ends at LIMIT. A union has to remember what it has counted; with APPROX that is a HyperLogLog of
//! fixed size, whose estimate is the answer (Redis 8.10 introduced the two latter).

use super::algebra::{difference, insert, intersection, operands, parse_limit};
use super::{Access, Args, Command, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc};
use crate::command::CommandError;
use crate::command::hyperloglog::Counter;
use crate::number::parse_i64;
use crate::types::Set;
use crate::types::limits::Limits;
use crate::types::listpack::Element;

const COUNT: Command = Command {
    arity: -3,
    flags: Flags::READONLY.or(Flags::MOVABLE_KEYS),
    group: Group::Set,
    keys: &[KeySpec::counted(1, Access::Read, &["access"])],
    args: "numkeys:integer key ... [LIMIT limit:integer]",
    ..Command::BASE
};

/// What the three ask for.
struct Request<'a> {
    keys: Args<'a>,
    /// 0 is no limit.
    limit: usize,
    approximate: bool,
}

impl<'a> Request<'a> {
    /// Reads the request; of an option given twice the last counts.
    fn parse(args: &Args<'a>, knows_approx: bool) -> Result<Self, CommandError> {
        let keys = parse_i64(args.at(1))
            .filter(|keys| *keys > 0)
            .and_then(|keys| usize::try_from(keys).ok())
            .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
        if keys > args.len() - 2 {
            return Err(CommandError::text(
                "ERR Number of keys can't be greater than number of args",
            ));
        }
        let mut request = Self { keys: args.slice(2..keys + 2), limit: 0, approximate: false };
        let mut at = keys + 2;
        while at < args.len() {
            if knows_approx && args.is(at, "APPROX") {
                request.approximate = true;
                at += 1;
                continue;
            }
            let (true, Some(value)) = (args.is(at, "LIMIT"), args.get(at + 1)) else {
                return Err(CommandError::Syntax);
            };
            request.limit = parse_limit(value)?;
            at += 2;
        }
        Ok(request)
    }
}

pub(super) const SINTERCARD: Command = Command {
    name: "SINTERCARD",
    doc: doc(
        "7.0.0",
        "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        "Counts the members that all sets have.",
    ),
    handler: Handler::Plain(|ctx, args| count(ctx, args, intersection)),
    ..COUNT
};

/// Shows the members of a combination of sets, until it is told that there were enough.
type Walk = fn(&[Option<&Set>], &mut dyn FnMut(Element<'_>) -> bool);

fn count(ctx: &mut Ctx, args: &Args, walk: Walk) -> CommandResult {
    let request = Request::parse(args, false)?;
    let sets = operands(ctx.ks, ctx.db, &request.keys)?;
    let mut count = 0;
    walk(&sets, &mut |_| {
        count += 1;
        count != request.limit
    });
    ctx.reply.count(count);
    Ok(())
}

pub(super) const SDIFFCARD: Command = Command {
    name: "SDIFFCARD",
    doc: doc(
        "8.10.0",
        "O(N) where N is the total number of elements in all given sets.",
        "Counts the members of the first set that are in none of the others.",
    ),
    handler: Handler::Plain(|ctx, args| count(ctx, args, difference)),
    ..COUNT
};

pub(super) const SUNIONCARD: Command = Command {
    name: "SUNIONCARD",
    args: "numkeys:integer key ... [APPROX] [LIMIT limit:integer]",
    doc: doc(
        "8.10.0",
        "O(N) where N is the total number of elements in all given sets.",
        "Counts the members that any of the sets has.",
    ),
    handler: Handler::Plain(sunioncard),
    ..COUNT
};

fn sunioncard(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let request = Request::parse(args, true)?;
    let sets = operands(ctx.ks, ctx.db, &request.keys)?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit };
    let count = if request.approximate {
        approximate_union(&sets, limit)
    } else {
        exact_union(&sets, limit, &ctx.server.limits)
    };
    ctx.reply.count(count);
    Ok(())
}

fn exact_union(sets: &[Option<&Set>], limit: usize, limits: &Limits) -> usize {
    let mut sets: Vec<&Set> = sets.iter().copied().flatten().collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    // The largest is counted without a look at its members: what is new in the others is all there is to add.
    let Some((largest, others)) = sets.split_first() else { return 0 };
    let mut count = largest.len();
    let mut added = Set::new();
    for member in others.iter().flat_map(|set| set.iter()) {
        if count >= limit {
            return limit;
        }
        let is_new = !member.with_bytes(|member| largest.contains(member));
        count += usize::from(is_new && insert(&mut added, member, limits));
    }
    count.min(limit)
}

/// After so many members at the earliest the estimate is compared with the limit again.
const CHECK_INTERVAL_MIN: usize = 1024;

fn approximate_union(sets: &[Option<&Set>], limit: usize) -> usize {
    let mut counter = Counter::new();
    let mut until_check = limit.max(CHECK_INTERVAL_MIN);
    for member in sets.iter().copied().flatten().flat_map(|set| set.iter()) {
        member.with_bytes(|member| counter.add(member));
        until_check -= 1;
        if until_check == 0 {
            let estimate = counter.cardinality();
            if estimate >= limit {
                return limit;
            }
            until_check = (limit - estimate).max(CHECK_INTERVAL_MIN);
        }
    }
    counter.cardinality().min(limit)
}
