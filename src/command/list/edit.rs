//! LINSERT, LREM, LSET, LTRIM: changes in the middle of a list.

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc, event, integer, node_limit, remove,
};
use crate::types::List;

pub(super) const LINSERT: Command = Command {
    name: "LINSERT",
    arity: 5,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::List,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["insert"])],
    args: "key <BEFORE | AFTER> pivot element",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.2.0",
        "O(N) where N is the number of elements to traverse before seeing the value pivot. This \
         means that inserting somewhere on the left end on the list (head) can be considered O(1) \
         and inserting somewhere on the right end (tail) is O(N).",
        "Inserts an element before or after another element of a list.",
    ),
    handler: Handler::Plain(linsert),
    ..Command::BASE
};

fn linsert(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let after = args.is(2, "AFTER");
    if !after && !args.is(2, "BEFORE") {
        return Err(CommandError::Syntax);
    }
    let limit = node_limit(ctx);
    let Some(list) = ctx.ks.write::<List>(ctx.db, args.at(1))? else {
        ctx.reply.int(0);
        return Ok(());
    };
    if list.insert_beside(args.at(3), after, args.at(4), limit) {
        ctx.reply.count(list.len());
        ctx.changed(args.at(1), event::LIST, "linsert");
    } else {
        ctx.reply.int(-1);
    }
    Ok(())
}

pub(super) const LREM: Command = Command {
    name: "LREM",
    arity: 4,
    flags: Flags::WRITE,
    group: Group::List,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key count:integer element",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(N+M) where N is the length of the list and M is the number of elements removed.",
        "Removes elements with a value from a list, and an empty list with them.",
    ),
    handler: Handler::Plain(lrem),
    ..Command::BASE
};

fn lrem(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let count = integer(args, 2)?;
    if count == i64::MIN {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let limit = node_limit(ctx);
    let Some(list) = ctx.ks.write::<List>(ctx.db, args.at(1))? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let removed = list.remove_matching(args.at(3), count, limit);
    let now_empty = list.is_empty();
    ctx.reply.count(removed);
    if removed > 0 {
        ctx.changed_by(args.at(1), removed, event::LIST, "lrem");
    }
    if now_empty {
        remove(ctx, args.at(1));
    }
    Ok(())
}

pub(super) const LSET: Command = Command {
    name: "LSET",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::List,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key index:integer element",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(N) where N is the length of the list. Setting either the first or the last element of \
         the list is O(1).",
        "Sets the value of an element in a list by its index.",
    ),
    handler: Handler::Plain(lset),
    ..Command::BASE
};

fn lset(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let limit = node_limit(ctx);
    let list = ctx.ks.write::<List>(ctx.db, args.at(1))?.ok_or(CommandError::NoSuchKey)?;
    // Redis keeps 32 bits of this index: 9223372036854775807 is the last element.
    let [low @ .., _, _, _, _] = integer(args, 2)?.to_le_bytes();
    let index = i64::from(i32::from_le_bytes(low));
    if !list.set(index, args.at(3), limit) {
        return Err(CommandError::IndexOutOfRange);
    }
    ctx.reply.ok();
    ctx.changed(args.at(1), event::LIST, "lset");
    Ok(())
}

pub(super) const LTRIM: Command = Command {
    name: "LTRIM",
    arity: 4,
    flags: Flags::WRITE,
    group: Group::List,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key start:integer stop:integer",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.0.0",
        "O(N) where N is the number of elements to be removed by the operation.",
        "Removes elements from both ends of a list, and an empty list with them.",
    ),
    handler: Handler::Plain(ltrim),
    ..Command::BASE
};

fn ltrim(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (start, stop) = (integer(args, 2)?, integer(args, 3)?);
    let limit = node_limit(ctx);
    let Some(list) = ctx.ks.write::<List>(ctx.db, args.at(1))? else {
        ctx.reply.ok();
        return Ok(());
    };
    let len = list.len();
    let (from, count) = span(len, start, stop);
    if count > 0 {
        list.keep(from, count, limit);
    }
    ctx.reply.ok();
    if count == len {
        // Nothing was taken away, but listeners hear of the trim all the same, and so does WATCH.
        ctx.changed_along(args.at(1), event::LIST, "ltrim");
    } else {
        ctx.changed_by(args.at(1), len - count, event::LIST, "ltrim");
    }
    if count == 0 {
        remove(ctx, args.at(1));
    }
    Ok(())
}

/// Position and number of the elements between two indices, the negative ones counted from the end.
pub(super) fn span(len: usize, start: i64, stop: i64) -> (usize, usize) {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let absolute = |index: i64| if index < 0 { (index.saturating_add(len)).max(-1) } else { index };
    let from = absolute(start).max(0);
    let last = absolute(stop).min(len - 1);
    if from > last {
        return (0, 0);
    }
    let position = |index: i64| usize::try_from(index).unwrap_or(0);
    (position(from), position(last - from + 1))
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_cut_to_the_list() {
        assert_eq!(span(3, 0, -1), (0, 3));
        assert_eq!(span(3, 1, 1), (1, 1));
        assert_eq!(span(3, -2, 100), (1, 2));
        assert_eq!(span(3, -100, 0), (0, 1));
        assert_eq!(span(3, -100, -100), (0, 0));
        assert_eq!(span(3, 2, 1), (0, 0));
        assert_eq!(span(3, 3, 5), (0, 0));
        assert_eq!(span(3, i64::MIN, i64::MAX), (0, 3));
        assert_eq!(span(0, 0, -1), (0, 0));
    }
}
