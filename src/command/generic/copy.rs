//! Copying, moving and renaming keys. The expiry goes with the value.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::{Entry, event};
use crate::number;

const SAME: CommandError = CommandError::text("ERR source and destination objects are the same");

pub(super) const COPY: Command = Command {
    name: "COPY",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Generic,
    keys: &[
        KeySpec::at(1, Access::Read, &["access"]),
        KeySpec::at(2, Access::Overwrite, &["update"]),
    ],
    args: "source:key destination:key [DB destination-db:integer] [REPLACE]",
    propagate: Propagate::AsSent,
    doc: doc(
        "6.2.0",
        "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        "Copies the value of a key to a new key.",
    ),
    handler: Handler::Plain(copy),
    ..Command::BASE
};

fn copy(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (source, target) = (args.at(1), args.at(2));
    let (mut target_db, mut replace) = (ctx.db, false);
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "REPLACE") {
            replace = true;
        } else if args.is(at, "DB") && at + 1 < args.len() {
            at += 1;
            target_db = database(ctx, args.at(at))?;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    if target_db == ctx.db && source == target {
        return Err(SAME);
    }
    let found = ctx.ks.lookup(ctx.db, source);
    let made = found.map(|entry| entry.duplicate().with_key(target));
    // Also where that does not matter: one whose time is over ends before something else takes its name.
    let taken = ctx.ks.contains(target_db, target);
    let done = match made {
        Some(entry) if replace || !taken => {
            ctx.ks.discard(target_db, target);
            put(ctx, target_db, entry);
            ctx.ks.changed(target_db, target, event::GENERIC, "copy_to");
            true
        }
        _ => false,
    };
    ctx.reply.flag(done);
    Ok(())
}

/// Puts an entry under its key and says that the key is new, if it is.
fn put(ctx: &mut Ctx, db: usize, entry: Entry) {
    let key = entry.key().to_vec();
    if ctx.ks.insert(db, entry).is_none() {
        ctx.ks.effects.event(db, event::NEW, "new", &key);
    }
}

/// The database that an argument names.
pub(in crate::command) fn database(ctx: &Ctx, text: &[u8]) -> Result<usize, CommandError> {
    let number = number::parse_i64(text).ok_or(CommandError::NotInteger)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    let db = usize::try_from(number).ok().filter(|db| *db < ctx.ks.databases());
    db.ok_or(CommandError::text("ERR DB index is out of range"))
}

pub(super) const MOVE: Command = Command {
    name: "MOVE",
    arity: 3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key db:integer",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Moves a key to another database."),
    handler: Handler::Plain(move_key),
    ..Command::BASE
};

fn move_key(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let target_db = database(ctx, args.at(2))?;
    if target_db == ctx.db {
        return Err(SAME);
    }
    let possible = ctx.ks.contains(ctx.db, key) && !ctx.ks.contains(target_db, key);
    let moved = if possible { ctx.ks.remove(ctx.db, key) } else { None };
    let done = moved.is_some();
    if let Some(entry) = moved {
        put(ctx, target_db, entry);
        ctx.changed_along(key, event::GENERIC, "move_from");
        ctx.ks.changed(target_db, key, event::GENERIC, "move_to");
    }
    ctx.reply.flag(done);
    Ok(())
}

const RENAME_KEYS: &[KeySpec] = &[
    KeySpec::at(1, Access::ReadWrite, &["access", "delete"]),
    KeySpec::at(2, Access::Overwrite, &["update"]),
];

pub(super) const RENAME: Command = Command {
    name: "RENAME",
    arity: 3,
    flags: Flags::WRITE,
    group: Group::Generic,
    keys: RENAME_KEYS,
    args: "key newkey:key",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Renames a key and overwrites the destination."),
    handler: Handler::Plain(rename),
    ..Command::BASE
};

fn rename(ctx: &mut Ctx, args: &Args) -> CommandResult {
    rename_key(ctx, args.at(1), args.at(2), true)?;
    ctx.reply.ok();
    Ok(())
}

pub(super) const RENAMENX: Command = Command {
    name: "RENAMENX",
    arity: 3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Generic,
    keys: &[
        KeySpec::at(1, Access::ReadWrite, &["access", "delete"]),
        KeySpec::at(2, Access::Overwrite, &["insert"]),
    ],
    args: "key newkey:key",
    propagate: Propagate::AsSent,
    doc: doc("1.0.0", "O(1)", "Renames a key if there is no key of the new name."),
    handler: Handler::Plain(renamenx),
    ..Command::BASE
};

fn renamenx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let done = rename_key(ctx, args.at(1), args.at(2), false)?;
    ctx.reply.flag(done);
    Ok(())
}

fn rename_key(
    ctx: &mut Ctx,
    source: &[u8],
    target: &[u8],
    overwrite: bool,
) -> Result<bool, CommandError> {
    if !ctx.ks.contains(ctx.db, source) {
        return Err(CommandError::NoSuchKey);
    }
    // Also where that does not matter: one whose time is over ends before something else takes its name.
    let taken = ctx.ks.contains(ctx.db, target);
    if source == target || (!overwrite && taken) {
        return Ok(false);
    }
    let entry = ctx.ks.remove(ctx.db, source).ok_or(CommandError::NoSuchKey)?;
    // What is renamed is new under its name, whatever had the name before.
    ctx.ks.discard(ctx.db, target);
    put(ctx, ctx.db, entry.with_key(target));
    ctx.changed_along(source, event::GENERIC, "rename_from");
    ctx.changed(target, event::GENERIC, "rename_to");
    Ok(true)
}
