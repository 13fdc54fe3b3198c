//! LPOP, RPOP, LMPOP: taking elements from the ends.

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, End, Flags, Group, Handler,
    KeySpec, Propagate, doc, node_limit, popped, write_element,
};
use crate::number;
use crate::types::List;

const POP: Command = Command {
    arity: -2,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::List,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "delete"])],
    args: "key [count:integer]",
    propagate: Propagate::AsSent,
    ..Command::BASE
};

const fn pop_doc(summary: &'static str) -> Doc {
    Doc {
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements returned",
        summary,
        history: &[("6.2.0", "Added the `count` argument.")],
        deprecated: None,
    }
}

pub(super) const LPOP: Command = Command {
    name: "LPOP",
    doc: pop_doc("Removes and returns the first elements of a list, and an empty list with them."),
    handler: Handler::Plain(lpop),
    ..POP
};

fn lpop(ctx: &mut Ctx, args: &Args) -> CommandResult {
    pop(ctx, args, End::Left)
}

pub(super) const RPOP: Command = Command {
    name: "RPOP",
    doc: pop_doc("Removes and returns the last elements of a list, and an empty list with them."),
    handler: Handler::Plain(rpop),
    ..POP
};

fn rpop(ctx: &mut Ctx, args: &Args) -> CommandResult {
    pop(ctx, args, End::Right)
}

fn pop(ctx: &mut Ctx, args: &Args, end: End) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Arity(ctx.command.to_lowercase()));
    }
    let Some(count) = args.get(2) else {
        if let Some(text) = pop_one(ctx, args.at(1), end)? {
            ctx.reply.bulk(&text);
        } else {
            ctx.reply.null();
        }
        return Ok(());
    };
    let count = number::parse_i64(count)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
    if ctx.ks.read::<List>(ctx.db, args.at(1))?.is_none() {
        ctx.reply.null_array();
        return Ok(());
    }
    if count == 0 {
        ctx.reply.array(0);
        return Ok(());
    }
    pop_many(ctx, args.at(1), end, count)?;
    Ok(())
}

/// Pops one element; the caller writes the reply.
pub(super) fn pop_one(
    ctx: &mut Ctx,
    key: &[u8],
    end: End,
) -> Result<Option<Vec<u8>>, CommandError> {
    let limit = node_limit(ctx);
    let Some(list) = ctx.ks.write::<List>(ctx.db, key)? else { return Ok(None) };
    let text = match end {
        End::Left => list.pop_front(limit),
        End::Right => list.pop_back(limit),
    };
    let now_empty = list.is_empty();
    popped(ctx, key, end, 1, now_empty);
    Ok(text)
}

/// Pops up to `count` elements and writes them as an array; returns how many there were.
pub(super) fn pop_many(
    ctx: &mut Ctx,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<usize, CommandError> {
    let limit = node_limit(ctx);
    let Some(list) = ctx.ks.write::<List>(ctx.db, key)? else { return Ok(0) };
    let len = list.len();
    let count = count.min(len);
    ctx.reply.array(count);
    let reply = &mut *ctx.reply;
    match end {
        End::Left => list.iter().take(count).for_each(|element| write_element(reply, element)),
        End::Right => list
            .iter_back_from(len.saturating_sub(1))
            .take(count)
            .for_each(|element| write_element(reply, element)),
    }
    if count < len {
        let from = if end == End::Left { 0 } else { len - count };
        list.remove_range(from, count, limit);
    }
    popped(ctx, key, end, count, count == len);
    Ok(count)
}

pub(super) const LMPOP: Command = Command {
    name: "LMPOP",
    arity: -4,
    flags: Flags::WRITE.or(Flags::MOVABLE_KEYS),
    group: Group::List,
    keys: &[KeySpec::counted(1, Access::ReadWrite, &["access", "delete"])],
    args: "numkeys:integer key ... <LEFT | RIGHT> [COUNT count:integer]",
    propagate: Propagate::Effect,
    doc: doc(
        "7.0.0",
        "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        "Removes and returns elements of the first list that is not empty.",
    ),
    handler: Handler::Plain(lmpop),
    ..Command::BASE
};

fn lmpop(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let request = MultiPop::parse(args, 1)?;
    if !request.run(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// What LMPOP and BLMPOP ask for.
pub(super) struct MultiPop<'a> {
    pub(super) keys: Args<'a>,
    end: End,
    count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads the request, whose number of keys is argument `at`.
    pub(super) fn parse(args: &Args<'a>, at: usize) -> Result<Self, CommandError> {
        let positive = |text: &[u8]| {
            let number = number::parse_i64(text).and_then(|number| usize::try_from(number).ok());
            number.filter(|number| *number > 0)
        };
        let key_count = positive(args.at(at))
            .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
        let end_at = at.saturating_add(1).saturating_add(key_count);
        let end = End::parse(args, end_at)?;
        let count = match args.len() - end_at {
            1 => 1,
            // A wrong count is reported before what stands behind it.
            behind @ 3.. if args.is(end_at + 1, "COUNT") => {
                let count = positive(args.at(end_at + 2))
                    .ok_or(CommandError::text("ERR count should be greater than 0"))?;
                if behind > 3 {
                    return Err(CommandError::Syntax);
                }
                count
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Self { keys: args.slice(at + 1..end_at), end, count })
    }

    /// Pops from the first list there is and writes the reply; false without any.
    pub(super) fn run(&self, ctx: &mut Ctx) -> Result<bool, CommandError> {
        for key in self.keys.iter() {
            if ctx.ks.read::<List>(ctx.db, key)?.is_none() {
                continue;
            }
            ctx.reply.array(2);
            ctx.reply.bulk(key);
            let count = pop_many(ctx, key, self.end, self.count)?;
            ctx.effect(&[self.end.pop_command(), key, count.to_string().as_bytes()]);
            return Ok(true);
        }
        Ok(false)
    }
}
