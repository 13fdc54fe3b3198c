//! LMOVE, RPOPLPUSH: from the end of one list to the end of another.

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, End, Flags, Group, Handler,
    KeySpec, Propagate, doc, event, node_limit, popped,
};
use crate::types::List;

/// The keys of all commands that move an element.
pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::at(1, Access::ReadWrite, &["access", "delete"]),
    KeySpec::at(2, Access::ReadWrite, &["insert"]),
];

pub(super) const LMOVE: Command = Command {
    name: "LMOVE",
    arity: 5,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::List,
    keys: KEYS,
    args: "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT>",
    propagate: Propagate::AsSent,
    doc: doc("6.2.0", "O(1)", "Moves an element from one list to another and returns it."),
    handler: Handler::Plain(lmove),
    ..Command::BASE
};

fn lmove(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (from, to) = (End::parse(args, 3)?, End::parse(args, 4)?);
    let moved = shift(ctx, (args.at(1), from), (args.at(2), to))?;
    ctx.reply.bulk_or_null(moved.as_deref());
    Ok(())
}

pub(super) const RPOPLPUSH: Command = Command {
    name: "RPOPLPUSH",
    arity: 3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::List,
    keys: KEYS,
    args: "source:key destination:key",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Moves the last element of a list to the start of another and returns it.",
        history: &[],
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
    },
    handler: Handler::Plain(rpoplpush),
    ..Command::BASE
};

fn rpoplpush(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let moved = shift(ctx, (args.at(1), End::Right), (args.at(2), End::Left))?;
    ctx.reply.bulk_or_null(moved.as_deref());
    Ok(())
}

/// Moves one element and returns it; `None` if there is no source. The caller writes the reply.
pub(super) fn shift(
    ctx: &mut Ctx,
    (source, from): (&[u8], End),
    (destination, to): (&[u8], End),
) -> Result<Option<Vec<u8>>, CommandError> {
    let limit = node_limit(ctx);
    if ctx.ks.read::<List>(ctx.db, source)?.is_none() {
        return Ok(None);
    }
    // The destination is made before anything is taken, so that a wrong type changes nothing.
    ctx.ks.write_or_create(ctx.db, destination, List::new)?;
    let Some(list) = ctx.ks.write::<List>(ctx.db, source)? else { return Ok(None) };
    if source == destination {
        let text = list.rotate(from == End::Right, to == End::Right, limit);
        ctx.changed_along(destination, event::LIST, to.push_event());
        popped(ctx, source, from, 1, false);
        return Ok(text);
    }
    let text = match from {
        End::Left => list.pop_front(limit),
        End::Right => list.pop_back(limit),
    };
    let now_empty = list.is_empty();
    let Some(text) = text else { return Ok(None) };
    if let Some(list) = ctx.ks.write::<List>(ctx.db, destination)? {
        match to {
            End::Left => list.push_front(&text, limit),
            End::Right => list.push_back(&text, limit),
        }
    }
    ctx.changed_along(destination, event::LIST, to.push_event());
    popped(ctx, source, from, 1, now_empty);
    Ok(Some(text))
}
