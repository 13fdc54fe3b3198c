//! LPUSH, RPUSH, LPUSHX, RPUSHX: adding at the ends.

use super::{
    Access, Args, Command, CommandResult, Ctx, Doc, End, Flags, Group, Handler, KeySpec, Propagate,
    event, node_limit,
};
use crate::types::List;

const COMPLEXITY: &str = "O(1) for each element added, so O(N) to add N elements when the command is \
                          called with multiple arguments.";

const PUSH: Command = Command {
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::List,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["insert"])],
    args: "key element ...",
    propagate: Propagate::AsSent,
    ..Command::BASE
};

const fn push_doc(
    since: &'static str,
    summary: &'static str,
    history: &'static [(&'static str, &'static str)],
) -> Doc {
    Doc { since, complexity: COMPLEXITY, summary, history, deprecated: None }
}

pub(super) const LPUSH: Command = Command {
    name: "LPUSH",
    doc: push_doc(
        "1.0.0",
        "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
        &[("2.4.0", "Accepts multiple `element` arguments.")],
    ),
    handler: Handler::Plain(lpush),
    ..PUSH
};

fn lpush(ctx: &mut Ctx, args: &Args) -> CommandResult {
    push(ctx, args, End::Left)
}

pub(super) const RPUSH: Command = Command {
    name: "RPUSH",
    doc: push_doc(
        "1.0.0",
        "Appends one or more elements to a list. Creates the key if it doesn't exist.",
        &[("2.4.0", "Accepts multiple `element` arguments.")],
    ),
    handler: Handler::Plain(rpush),
    ..PUSH
};

fn rpush(ctx: &mut Ctx, args: &Args) -> CommandResult {
    push(ctx, args, End::Right)
}

pub(super) const LPUSHX: Command = Command {
    name: "LPUSHX",
    doc: push_doc(
        "2.2.0",
        "Prepends one or more elements to a list only when the list exists.",
        &[("4.0.0", "Accepts multiple `element` arguments.")],
    ),
    handler: Handler::Plain(lpushx),
    ..PUSH
};

fn lpushx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    push_existing(ctx, args, End::Left)
}

pub(super) const RPUSHX: Command = Command {
    name: "RPUSHX",
    doc: push_doc(
        "2.2.0",
        "Appends one or more elements to a list only when the list exists.",
        &[("4.0.0", "Accepts multiple `element` arguments.")],
    ),
    handler: Handler::Plain(rpushx),
    ..PUSH
};

fn rpushx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    push_existing(ctx, args, End::Right)
}

fn push(ctx: &mut Ctx, args: &Args, end: End) -> CommandResult {
    let limit = node_limit(ctx);
    let list = ctx.ks.write_or_create(ctx.db, args.at(1), List::new)?;
    add(list, args, end, limit);
    ctx.reply.count(list.len());
    ctx.changed_by(args.at(1), args.len() - 2, event::LIST, end.push_event());
    Ok(())
}

fn push_existing(ctx: &mut Ctx, args: &Args, end: End) -> CommandResult {
    let limit = node_limit(ctx);
    let Some(list) = ctx.ks.write::<List>(ctx.db, args.at(1))? else {
        ctx.reply.int(0);
        return Ok(());
    };
    add(list, args, end, limit);
    ctx.reply.count(list.len());
    ctx.changed_by(args.at(1), args.len() - 2, event::LIST, end.push_event());
    Ok(())
}

/// Adds the elements of a request, from argument 2 on.
fn add(list: &mut List, args: &Args, end: End, limit: i64) {
    if args.len() == 3 {
        match end {
            End::Left => list.push_front(args.at(2), limit),
            End::Right => list.push_back(args.at(2), limit),
        }
        return;
    }
    let elements: Vec<&[u8]> = args.iter().skip(2).collect();
    match end {
        End::Left => list.extend_front(&elements, limit),
        End::Right => list.extend_back(&elements, limit),
    }
}
