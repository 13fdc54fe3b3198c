//! BLPOP, BRPOP, BLMPOP, BLMOVE, BLMOVEM, BRPOPLPUSH: like the others, but they wait where there is nothing.
//!
//! The engine runs the request again whenever one of its keys changed. A key that was given another
//! type in the meantime is not an error then: the client goes on waiting for a list.
//! The log gets what was popped, never the wait.

use std::time::Duration;

use super::pop::{MultiPop, pop_one};
use super::shift::{self, shift};
use super::shift_many::MultiMove;
use super::{
    Access, Args, Command, CommandError, Ctx, Doc, End, Flags, Group, Handler, KeySpec, Outcome,
    Propagate, doc,
};
use crate::keyspace::{Entry, Typed};
use crate::number;
use crate::session::wait::TimeoutReply;
use crate::session::{Awaited, Wait};
use crate::types::List;

const TIMEOUT_HISTORY: &[(&str, &str)] =
    &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")];

const POP: Command = Command {
    arity: -3,
    flags: Flags::WRITE.or(Flags::BLOCKING),
    group: Group::List,
    keys: &[KeySpec::range(1, -2, 1, Access::ReadWrite, &["access", "delete"])],
    args: "key ... timeout:double",
    propagate: Propagate::Effect,
    ..Command::BASE
};

pub(super) const BLPOP: Command = Command {
    name: "BLPOP",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(N) where N is the number of provided keys.",
        summary: "Removes and returns the first element of a list; waits until there is one.",
        history: TIMEOUT_HISTORY,
        deprecated: None,
    },
    handler: Handler::Extended(blpop),
    ..POP
};

fn blpop(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    pop_or_wait(ctx, args, End::Left)
}

pub(super) const BRPOP: Command = Command {
    name: "BRPOP",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(N) where N is the number of provided keys.",
        summary: "Removes and returns the last element of a list; waits until there is one.",
        history: TIMEOUT_HISTORY,
        deprecated: None,
    },
    handler: Handler::Extended(brpop),
    ..POP
};

fn brpop(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    pop_or_wait(ctx, args, End::Right)
}

fn pop_or_wait(ctx: &mut Ctx, args: &Args, end: End) -> Result<Outcome, CommandError> {
    let timeout_at = args.len().saturating_sub(1);
    let deadline = deadline(args.at(timeout_at), ctx.monotonic)?;
    let keys = args.slice(1..timeout_at);
    if goes_on_waiting(ctx, &keys) {
        return wait(ctx, &keys, deadline);
    }
    for key in keys.iter() {
        let Some(text) = pop_one(ctx, key, end)? else { continue };
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.bulk(&text);
        ctx.effect(&[end.pop_command(), key]);
        return Ok(Outcome::Replied);
    }
    wait(ctx, &keys, deadline)
}

pub(super) const BLMPOP: Command = Command {
    name: "BLMPOP",
    arity: -5,
    flags: Flags::WRITE.or(Flags::BLOCKING).or(Flags::MOVABLE_KEYS),
    group: Group::List,
    keys: &[KeySpec::counted(2, Access::ReadWrite, &["access", "delete"])],
    args: "timeout:double numkeys:integer key ... <LEFT | RIGHT> [COUNT count:integer]",
    propagate: Propagate::Effect,
    doc: doc(
        "7.0.0",
        "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        "Removes and returns elements of the first list that is not empty; waits until there is one.",
    ),
    handler: Handler::Extended(blmpop),
    ..Command::BASE
};

fn blmpop(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let request = MultiPop::parse(args, 2)?;
    let deadline = deadline(args.at(1), ctx.monotonic)?;
    if !goes_on_waiting(ctx, &request.keys) && request.run(ctx)? {
        return Ok(Outcome::Replied);
    }
    wait(ctx, &request.keys, deadline)
}

pub(super) const BLMOVE: Command = Command {
    name: "BLMOVE",
    arity: 6,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::BLOCKING),
    group: Group::List,
    keys: shift::KEYS,
    args: "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT> timeout:double",
    propagate: Propagate::Effect,
    doc: doc(
        "6.2.0",
        "O(1)",
        "Moves an element from one list to another and returns it; waits until there is one.",
    ),
    handler: Handler::Extended(blmove),
    ..Command::BASE
};

fn blmove(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let (from, to) = (End::parse(args, 3)?, End::parse(args, 4)?);
    let deadline = deadline(args.at(5), ctx.monotonic)?;
    let record = [b"LMOVE".as_slice(), args.at(1), args.at(2), from.word(), to.word()];
    move_or_wait(ctx, args, (from, to), deadline, &record)
}

pub(super) const BLMOVEM: Command = Command {
    name: "BLMOVEM",
    arity: -6,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::BLOCKING),
    group: Group::List,
    keys: shift::KEYS,
    args: "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT> timeout:double [<COUNT count:integer | EXACTLY exactly:integer> <OBO | BULK>]",
    propagate: Propagate::Effect,
    doc: doc(
        "8.10.0",
        "O(N) where N is the number of elements moved.",
        "Moves several elements from one list to another and returns them; waits until there are enough.",
    ),
    handler: Handler::Extended(blmovem),
    ..Command::BASE
};

fn blmovem(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let request = MultiMove::parse(args, 6)?;
    let deadline = deadline(args.at(5), ctx.monotonic)?;
    let source = args.slice(1..2);
    if !goes_on_waiting(ctx, &source) && request.run(ctx)? {
        return Ok(Outcome::Replied);
    }
    wait(ctx, &source, deadline)
}

pub(super) const BRPOPLPUSH: Command = Command {
    name: "BRPOPLPUSH",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::BLOCKING),
    group: Group::List,
    keys: shift::KEYS,
    args: "source:key destination:key timeout:double",
    propagate: Propagate::Effect,
    doc: Doc {
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Moves the last element of a list to the start of another and returns it; waits \
                  until there is one.",
        history: TIMEOUT_HISTORY,
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
    },
    handler: Handler::Extended(brpoplpush),
    ..Command::BASE
};

fn brpoplpush(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let deadline = deadline(args.at(3), ctx.monotonic)?;
    let record = [b"RPOPLPUSH".as_slice(), args.at(1), args.at(2)];
    move_or_wait(ctx, args, (End::Right, End::Left), deadline, &record)
}

/// Moves an element, with `record` for the log, or waits for one.
fn move_or_wait(
    ctx: &mut Ctx,
    args: &Args,
    (from, to): (End, End),
    deadline: Option<Duration>,
    record: &[&[u8]],
) -> Result<Outcome, CommandError> {
    let source = args.slice(1..2);
    if !goes_on_waiting(ctx, &source)
        && let Some(text) = shift(ctx, (args.at(1), from), (args.at(2), to))?
    {
        ctx.reply.bulk(&text);
        ctx.effect(record);
        return Ok(Outcome::Replied);
    }
    // In a transaction the answer is a plain null, after a wait a null array.
    if !ctx.may_wait() {
        ctx.reply.null();
        return Ok(Outcome::Replied);
    }
    wait(ctx, &source, deadline)
}

/// Makes the client wait; where it must not, answers as if the time were over.
fn wait(ctx: &mut Ctx, keys: &Args, deadline: Option<Duration>) -> Result<Outcome, CommandError> {
    if !ctx.may_wait() {
        ctx.reply.null_array();
        return Ok(Outcome::Replied);
    }
    Ok(Outcome::Wait(Wait::for_keys(keys, Awaited::List, deadline, TimeoutReply::NullArray)))
}

/// Whether the client waits already and none of its keys has a list yet.
fn goes_on_waiting(ctx: &mut Ctx, keys: &Args) -> bool {
    let waits = ctx.sessions.client(ctx.client).is_some_and(|client| client.blocked);
    waits && !keys.iter().any(|key| is_list(ctx.ks.peek(ctx.db, key)))
}

fn is_list(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| List::of(entry.value()).is_some())
}

/// When a wait of this many seconds (a double, 0 for ever) that begins at `now` ends.
fn deadline(text: &[u8], now: Duration) -> Result<Option<Duration>, CommandError> {
    let seconds = number::parse_double(text).ok_or(CommandError::TimeoutNotFloat)?;
    let milliseconds = (seconds * 1000.0).ceil();
    if milliseconds >= i64::MAX as f64 {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    if milliseconds < 0.0 || seconds < 0.0 {
        return Err(CommandError::TimeoutNegative);
    }
    if milliseconds == 0.0 {
        return Ok(None);
    }
    let length = Duration::try_from_secs_f64(milliseconds / 1000.0)
        .map_err(|_| CommandError::text("ERR timeout is out of range"))?;
    Ok(now.checked_add(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_seconds_rounded_up_to_milliseconds() {
        let now = Duration::from_secs(5);
        assert_eq!(deadline(b"0", now), Ok(None));
        assert_eq!(deadline(b"1.5", now), Ok(Some(Duration::from_millis(6500))));
        assert_eq!(deadline(b"0.0001", now), Ok(Some(Duration::from_millis(5001))));
        assert_eq!(deadline(b"-1", now), Err(CommandError::TimeoutNegative));
        assert_eq!(deadline(b"x", now), Err(CommandError::TimeoutNotFloat));
        assert_eq!(deadline(b"", now), Err(CommandError::TimeoutNotFloat));
        assert_eq!(deadline(b"1e20", now), Err(CommandError::text("ERR timeout is out of range")));
    }
}
