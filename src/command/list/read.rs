//! LINDEX, LLEN, LPOS, LRANGE: looking at a list.

use super::edit::span;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc,
    integer, write_element,
};
use crate::types::List;

pub(super) const LINDEX: Command = Command {
    name: "LINDEX",
    arity: 3,
    flags: Flags::READONLY,
    group: Group::List,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key index:integer",
    doc: doc(
        "1.0.0",
        "O(N) where N is the number of elements to traverse to get to the element at index. This \
         makes asking for the first or the last element of the list O(1).",
        "Returns an element of a list by its index.",
    ),
    handler: Handler::Plain(lindex),
    ..Command::BASE
};

fn lindex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let Some(list) = ctx.ks.read::<List>(ctx.db, args.at(1))? else {
        ctx.reply.null();
        return Ok(());
    };
    match list.get(integer(args, 2)?) {
        Some(element) => write_element(ctx.reply, element),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) const LLEN: Command = Command {
    name: "LLEN",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::List,
    keys: &[KeySpec::at(1, Access::Read, &[])],
    args: "key",
    doc: doc("1.0.0", "O(1)", "Returns the length of a list."),
    handler: Handler::Plain(llen),
    ..Command::BASE
};

fn llen(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let list = ctx.ks.read::<List>(ctx.db, args.at(1))?;
    ctx.reply.count(list.map_or(0, List::len));
    Ok(())
}

pub(super) const LRANGE: Command = Command {
    name: "LRANGE",
    arity: 4,
    flags: Flags::READONLY,
    group: Group::List,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key start:integer stop:integer",
    doc: doc(
        "1.0.0",
        "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest \
         end (HEAD or TAIL) for large lists; and N is the number of elements in the specified \
         range.",
        "Returns a range of elements of a list.",
    ),
    handler: Handler::Plain(lrange),
    ..Command::BASE
};

fn lrange(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (start, stop) = (integer(args, 2)?, integer(args, 3)?);
    let Some(list) = ctx.ks.read::<List>(ctx.db, args.at(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (from, count) = span(list.len(), start, stop);
    ctx.reply.array(count);
    for element in list.iter_from(from).take(count) {
        write_element(ctx.reply, element);
    }
    Ok(())
}

pub(super) const LPOS: Command = Command {
    name: "LPOS",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::List,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]",
    doc: doc(
        "6.0.6",
        "O(N) where N is the number of elements in the list, for the average case. When searching \
         for elements near the head or the tail of the list, or when the MAXLEN option is \
         provided, the command may run in constant time.",
        "Returns the indices of matching elements of a list.",
    ),
    handler: Handler::Plain(lpos),
    ..Command::BASE
};

fn lpos(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = PositionOptions::parse(args)?;
    let list = ctx.ks.read::<List>(ctx.db, args.at(1))?;
    let find = |list: &List| {
        let count = options.count.unwrap_or(1);
        list.positions(args.at(2), options.rank, count, options.compared_max)
    };
    let found = list.map(find).unwrap_or_default();
    match (options.count, found.first()) {
        (Some(_), _) => {
            ctx.reply.array(found.len());
            found.iter().for_each(|position| ctx.reply.count(*position));
        }
        (None, Some(position)) => ctx.reply.count(*position),
        (None, None) => ctx.reply.null(),
    }
    Ok(())
}

/// The options of LPOS.
struct PositionOptions {
    rank: i64,
    count: Option<usize>,
    compared_max: usize,
}

impl PositionOptions {
    fn parse(args: &Args) -> Result<Self, CommandError> {
        let mut options = Self { rank: 1, count: None, compared_max: 0 };
        let natural = |at: usize, error: &'static str| {
            let number = integer(args, at).ok().and_then(|number| usize::try_from(number).ok());
            number.ok_or(CommandError::text(error))
        };
        let mut at = 3;
        while at < args.len() {
            if at + 1 == args.len() {
                return Err(CommandError::Syntax);
            }
            if args.is(at, "RANK") {
                options.rank = rank(args, at + 1)?;
            } else if args.is(at, "COUNT") {
                options.count = Some(natural(at + 1, "ERR COUNT can't be negative")?);
            } else if args.is(at, "MAXLEN") {
                options.compared_max = natural(at + 1, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }
}

fn rank(args: &Args, at: usize) -> Result<i64, CommandError> {
    match integer(args, at)? {
        i64::MIN => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        )),
        0 => Err(CommandError::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or \
             use negative to start from the end of the list",
        )),
        rank => Ok(rank),
    }
}
