//! List commands.
//!
//! `push` adds, `pop` takes from the ends, `shift` and `shift_many` move between lists, `edit` changes
//! in the middle, `read` looks, and `blocking` waits for an element. What they share is below: the two ends, and what
//! is said when elements were taken.

mod blocking;
mod edit;
mod pop;
mod push;
mod read;
mod shift;
mod shift_many;

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Outcome, Propagate, doc,
};
use crate::keyspace::event;
use crate::resp::Reply;
use crate::types::listpack::Element;

pub const COMMANDS: &[Command] = &[
    blocking::BLMOVE,
    blocking::BLMOVEM,
    blocking::BLMPOP,
    blocking::BLPOP,
    blocking::BRPOP,
    blocking::BRPOPLPUSH,
    read::LINDEX,
    edit::LINSERT,
    read::LLEN,
    shift::LMOVE,
    shift_many::LMOVEM,
    pop::LMPOP,
    pop::LPOP,
    read::LPOS,
    push::LPUSH,
    push::LPUSHX,
    read::LRANGE,
    edit::LREM,
    edit::LSET,
    edit::LTRIM,
    pop::RPOP,
    shift::RPOPLPUSH,
    push::RPUSH,
    push::RPUSHX,
];

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    /// Reads LEFT or RIGHT.
    fn parse(args: &Args, at: usize) -> Result<Self, CommandError> {
        if args.is(at, "LEFT") {
            Ok(Self::Left)
        } else if args.is(at, "RIGHT") {
            Ok(Self::Right)
        } else {
            Err(CommandError::Syntax)
        }
    }

    /// The word in a request.
    fn word(self) -> &'static [u8] {
        match self {
            Self::Left => b"LEFT",
            Self::Right => b"RIGHT",
        }
    }

    /// The event of a push at this end.
    fn push_event(self) -> &'static str {
        match self {
            Self::Left => "lpush",
            Self::Right => "rpush",
        }
    }

    /// The event of a pop from this end.
    fn pop_event(self) -> &'static str {
        match self {
            Self::Left => "lpop",
            Self::Right => "rpop",
        }
    }

    /// The command that pushes at this end.
    fn push_command(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPUSH",
            Self::Right => b"RPUSH",
        }
    }

    /// The command that pops from this end.
    fn pop_command(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPOP",
            Self::Right => b"RPOP",
        }
    }
}

/// Says that `count` elements were popped from `key`, and removes the key if none is left.
fn popped(ctx: &mut Ctx, key: &[u8], end: End, count: usize, now_empty: bool) {
    ctx.changed_by(key, count, event::LIST, end.pop_event());
    if now_empty {
        remove(ctx, key);
    }
}

/// Removes a list that became empty.
fn remove(ctx: &mut Ctx, key: &[u8]) {
    ctx.ks.discard(ctx.db, key);
    ctx.changed_along(key, event::GENERIC, "del");
}

/// The bound of a list's nodes.
fn node_limit(ctx: &Ctx) -> i64 {
    i64::from(ctx.limits().list_max_listpack_size)
}

/// Writes an element as a bulk string.
fn write_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Int(value) => reply.bulk_int(value),
        Element::Str(bytes) => reply.bulk(bytes),
    }
}

/// Reads an integer argument.
fn integer(args: &Args, at: usize) -> Result<i64, CommandError> {
    crate::number::parse_i64(args.at(at)).ok_or(CommandError::NotInteger)
}
