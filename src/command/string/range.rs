//! Parts of strings: APPEND, SETRANGE, GETRANGE.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::value;
use crate::keyspace::event;
use crate::number;

pub(super) const APPEND: Command = Command {
    name: "APPEND",
    arity: 3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["insert"])],
    args: "key value",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.0.0",
        "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the string doubles its room when it grows.",
        "Appends to the string value of a key, which is made if it is missing.",
    ),
    handler: Handler::Plain(append),
    ..Command::BASE
};

fn append(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, more) = (args.at(1), args.at(2));
    let longer = |old: usize| old.saturating_add(more.len());
    let appended = value::edit_present(ctx, key, longer, |bytes, old| {
        overwrite(bytes, old, more);
        bytes.len()
    })?;
    let len = appended.unwrap_or_else(|| {
        ctx.ks.set_string(ctx.db, key, more, None);
        more.len()
    });
    ctx.changed(key, event::STRING, "append");
    ctx.reply.count(len);
    Ok(())
}

pub(super) const SETRANGE: Command = Command {
    name: "SETRANGE",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key offset:integer value",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.2.0",
        "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
        "Overwrites a part of a string value at an offset, after padding with zeros.",
    ),
    handler: Handler::Plain(setrange),
    ..Command::BASE
};

fn setrange(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, part) = (args.at(1), args.at(3));
    let offset = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let Ok(offset) = usize::try_from(offset) else {
        return Err(CommandError::text("ERR offset is out of range"));
    };
    if part.is_empty() {
        let old = value::len_to_change(ctx, key)?;
        ctx.reply.count(old.unwrap_or(0));
        return Ok(());
    }
    let end = offset.saturating_add(part.len());
    let written = value::edit_present(
        ctx,
        key,
        |_| end,
        |bytes, _| {
            overwrite(bytes, offset, part);
            bytes.len()
        },
    )?;
    let len = match written {
        Some(len) => len,
        None => {
            value::check_len(ctx, end)?;
            value::edit(ctx, key, end, |bytes| overwrite(bytes, offset, part))?;
            end
        }
    };
    ctx.changed(key, event::STRING, "setrange");
    ctx.reply.count(len);
    Ok(())
}

fn overwrite(bytes: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

pub(super) const GETRANGE: Command = Command {
    name: "GETRANGE",
    arity: 4,
    flags: Flags::READONLY,
    group: Group::String,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key start:integer end:integer",
    doc: doc(
        "2.4.0",
        "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        "Returns a part of a string value.",
    ),
    handler: Handler::Plain(getrange),
    ..Command::BASE
};

pub(super) const SUBSTR: Command = Command {
    name: "SUBSTR",
    doc: Doc { since: "1.0.0", deprecated: Some(("2.0.0", "`GETRANGE`")), ..GETRANGE.doc },
    ..GETRANGE
};

fn getrange(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let start = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let end = number::parse_i64(args.at(3)).ok_or(CommandError::NotInteger)?;
    let mut buffer = itoa::Buffer::new();
    let bytes = match ctx.ks.read_string(ctx.db, args.at(1))? {
        None => &[],
        Some(string) => value::text(string, &mut buffer),
    };
    ctx.reply.bulk(part(bytes, start, end));
    Ok(())
}

/// The bytes from `start` to `end`, both included; negative numbers count from the end.
pub(super) fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let absolute = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (start, end) = (absolute(start.max(-len)), absolute(end.max(-len)).min(len - 1));
    if start > end {
        return &[];
    }
    let range = |index: i64| usize::try_from(index).unwrap_or(0);
    bytes.get(range(start)..=range(end)).unwrap_or_default()
}
