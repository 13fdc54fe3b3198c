//! HSET, HMSET, HSETNX, HDEL, HINCRBY, HINCRBYFLOAT: changing fields.

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc, event, fields_removed, look_at, write_element,
};
use crate::number::{self, Extended};
use crate::types::Hash;
use crate::types::listpack::Element;

/// Commands that set values.
const SET: Command = Command {
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    propagate: Propagate::AsSent,
    ..Command::BASE
};

pub(super) const HSET: Command = Command {
    name: "HSET",
    arity: -4,
    args: "key <field value> ...",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(1) for each field/value pair added, so O(N) to add N field/value pairs when \
                     the command is called with multiple field/value pairs.",
        summary: "Creates or modifies the value of a field of a hash.",
        history: &[("4.0.0", "Accepts multiple `field` and `value` arguments.")],
        deprecated: None,
    },
    handler: Handler::Plain(hset),
    ..SET
};

fn hset(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let added = set_fields(ctx, args)?;
    ctx.reply.count(added);
    Ok(())
}

pub(super) const HMSET: Command = Command {
    name: "HMSET",
    arity: -4,
    args: "key <field value> ...",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields being set.",
        summary: "Sets the values of several fields.",
        history: &[],
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
    },
    handler: Handler::Plain(hmset),
    ..SET
};

fn hmset(ctx: &mut Ctx, args: &Args) -> CommandResult {
    set_fields(ctx, args)?;
    ctx.reply.ok();
    Ok(())
}

/// Sets the fields of a request; returns how many are new.
fn set_fields(ctx: &mut Ctx, args: &Args) -> Result<usize, CommandError> {
    if args.len() % 2 == 1 {
        return Err(CommandError::Arity(ctx.command.to_lowercase()));
    }
    let limits = &ctx.server.limits;
    let hash = ctx.ks.write_or_create(ctx.db, args.at(1), Hash::new)?;
    hash.expect((args.len() - 2) / 2, limits);
    let pairs = (2..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1)));
    let added = hash.insert_many(pairs, limits);
    ctx.changed_by(args.at(1), args.len() / 2 - 1, event::HASH, "hset");
    Ok(added)
}

pub(super) const HSETNX: Command = Command {
    name: "HSETNX",
    keys: &[KeySpec::at(1, Access::ReadWrite, &["insert"])],
    args: "key field value",
    doc: doc(
        "2.0.0",
        "O(1)",
        "Sets the value of a field of a hash only if there is no such field.",
    ),
    handler: Handler::Plain(hsetnx),
    ..SET
};

fn hsetnx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    look_at(ctx, args.at(1), args.iter().skip(2).take(1));
    let hash = ctx.ks.write_or_create(ctx.db, args.at(1), Hash::new)?;
    if hash.contains(args.at(2)) {
        ctx.reply.int(0);
        return Ok(());
    }
    hash.insert(args.at(2), args.at(3), &ctx.server.limits);
    ctx.reply.int(1);
    ctx.changed(args.at(1), event::HASH, "hset");
    Ok(())
}

pub(super) const HDEL: Command = Command {
    name: "HDEL",
    arity: -3,
    flags: Flags::WRITE.or(Flags::FAST),
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key field ...",
    doc: Doc {
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields to be removed.",
        summary: "Removes fields from a hash, and an empty hash with them.",
        history: &[("2.4.0", "Accepts multiple `field` arguments.")],
        deprecated: None,
    },
    handler: Handler::Plain(hdel),
    ..SET
};

fn hdel(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let hash = ctx.ks.write::<Hash>(ctx.db, args.at(1))?;
    let removed = hash.map_or(0, |hash| {
        args.iter().skip(2).map(|field| usize::from(hash.remove(field))).sum::<usize>()
    });
    ctx.reply.count(removed);
    if removed > 0 {
        fields_removed(ctx, args.at(1), removed);
    }
    Ok(())
}

pub(super) const HINCRBY: Command = Command {
    name: "HINCRBY",
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key field increment:integer",
    doc: doc(
        "2.0.0",
        "O(1)",
        "Adds to the integer value of a field of a hash; a missing field counts as 0.",
    ),
    handler: Handler::Plain(hincrby),
    ..SET
};

fn hincrby(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, field) = (args.at(1), args.at(2));
    let by = number::parse_i64(args.at(3)).ok_or(CommandError::NotInteger)?;
    look_at(ctx, key, std::iter::once(field));
    let hash = ctx.ks.write::<Hash>(ctx.db, key)?;
    let old = match hash.as_ref().and_then(|hash| hash.get(field)) {
        Some(value) => {
            value.as_int().ok_or(CommandError::text("ERR hash value is not an integer"))?
        }
        None => 0,
    };
    let sum = old.checked_add(by).ok_or(CommandError::Overflow)?;
    let hash = ctx.ks.write_or_create(ctx.db, key, Hash::new)?;
    Element::Int(sum)
        .with_bytes(|text| hash.insert_keeping_expire(field, text, &ctx.server.limits));
    ctx.reply.int(sum);
    ctx.changed(key, event::HASH, "hincrby");
    Ok(())
}

pub(super) const HINCRBYFLOAT: Command = Command {
    name: "HINCRBYFLOAT",
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key field increment:double",
    propagate: Propagate::Effect,
    doc: doc(
        "2.6.0",
        "O(1)",
        "Adds to the floating point value of a field of a hash; a missing field counts as 0.",
    ),
    handler: Handler::Plain(hincrbyfloat),
    ..SET
};

fn hincrbyfloat(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, field) = (args.at(1), args.at(2));
    let by = Extended::parse(args.at(3)).ok_or(CommandError::NotFloat)?;
    if !by.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    look_at(ctx, key, std::iter::once(field));
    let hash = ctx.ks.write::<Hash>(ctx.db, key)?;
    let old = match hash.as_ref().and_then(|hash| hash.get(field)) {
        Some(value) => value.with_bytes(Extended::parse),
        None => Extended::parse(b"0"),
    };
    let sum = old.ok_or(CommandError::text("ERR hash value is not a float"))?.plus(by);
    if !sum.is_finite() {
        return Err(CommandError::NanOrInfinity);
    }
    let text = sum.to_text();
    let hash = ctx.ks.write_or_create(ctx.db, key, Hash::new)?;
    hash.insert_keeping_expire(field, text.as_bytes(), &ctx.server.limits);
    let time = hash.field_expire(field).flatten();
    write_element(ctx.reply, Element::Str(text.as_bytes()));
    ctx.effect(&[b"HSET", key, field, text.as_bytes()]);
    if let Some(time) = time {
        // HSET takes the time away.
        ctx.effect(&[b"HPEXPIREAT", key, time.to_string().as_bytes(), b"FIELDS", b"1", field]);
    }
    ctx.changed(key, event::HASH, "hincrbyfloat");
    Ok(())
}
