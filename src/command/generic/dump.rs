//! DUMP and RESTORE: a value as bytes, between servers (format-spec/snapshot.md, "DUMP").

use super::super::ctx::Origin;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::{Entry, Typed, Value, event};
use crate::number;
use crate::snapshot::view::with_view;
use crate::snapshot::{Loaded, RestoreError, dump as payload};

pub(super) const DUMP: Command = Command {
    name: "DUMP",
    arity: 2,
    flags: Flags::READONLY,
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key",
    tips: &["nondeterministic_output"],
    doc: doc(
        "2.6.0",
        "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
        "Returns a serialized form of the value at a key.",
    ),
    handler: Handler::Plain(dump),
    ..Command::BASE
};

fn dump(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let Some(entry) = ctx.ks.lookup(ctx.db, args.at(1)) else {
        ctx.reply.null();
        return Ok(());
    };
    let mut bytes = Vec::new();
    with_view(entry.value(), |view| payload::dump(&mut bytes, view));
    ctx.reply.bulk(&bytes);
    Ok(())
}

pub(super) const RESTORE: Command = Command {
    name: "RESTORE",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Generic,
    keys: &[KeySpec::at(1, Access::Overwrite, &["update"])],
    args: "key ttl:integer serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:integer] [FREQ frequency:integer]",
    propagate: Propagate::Effect,
    categories: &["dangerous"],
    doc: Doc {
        history: &[
            ("3.0.0", "Added the `REPLACE` modifier."),
            ("5.0.0", "Added the `ABSTTL` modifier."),
            ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
        ],
        ..doc(
            "2.6.0",
            "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
            "Makes a key from the serialized form of a value.",
        )
    },
    handler: Handler::Plain(restore),
    ..Command::BASE
};

pub(super) const RESTORE_ASKING: Command = Command {
    name: "RESTORE-ASKING",
    group: Group::Server,
    categories: &["keyspace", "dangerous"],
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::ASKING),
    doc: doc("3.0.0", RESTORE.doc.complexity, "An internal command for moving keys in a cluster."),
    ..RESTORE
};

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_s: Option<i64>,
    frequency: Option<i64>,
}

fn parse(args: &Args) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 4;
    while at < args.len() {
        let has_operand = at + 1 < args.len();
        let operand = || number::parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger);
        if args.is(at, "REPLACE") {
            options.replace = true;
        } else if args.is(at, "ABSTTL") {
            options.absolute = true;
        } else if args.is(at, "IDLETIME") && has_operand && options.frequency.is_none() {
            options.idle_s = Some(operand()?);
            if options.idle_s < Some(0) {
                return Err(CommandError::text("ERR Invalid IDLETIME value, must be >= 0"));
            }
            at += 1;
        } else if args.is(at, "FREQ") && has_operand && options.idle_s.is_none() {
            options.frequency = Some(operand()?);
            if options.frequency.is_none_or(|frequency| !(0..=255).contains(&frequency)) {
                return Err(CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255"));
            }
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

fn restore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, bytes) = (args.at(1), args.at(3));
    let options = parse(args)?;
    if !options.replace && ctx.ks.contains(ctx.db, key) {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let ttl = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    if ttl < 0 {
        return Err(CommandError::text("ERR Invalid TTL value, must be >= 0"));
    }
    let expire = match ttl {
        0 => None,
        at if options.absolute => Some(at),
        ttl => Some(ctx.now.saturating_add(ttl)),
    };
    let checked = !ctx.server.observed.skip_checksums;
    let value = match payload::restore_if_sound(bytes, ctx.limits(), checked) {
        Ok(value) => value,
        Err(RestoreError::VersionOrChecksum) => {
            return Err(CommandError::text("ERR DUMP payload version or checksum are wrong"));
        }
        Err(RestoreError::BadData(error)) => {
            ctx.server.observed.say(format!("{} RESTORE refused: {error}", error.redis_clause()));
            return Err(CommandError::text("ERR Bad data format"));
        }
    };
    let entry = match value {
        Loaded::Str(text) => Entry::new_string(key, &text, expire),
        Loaded::List(list) => Entry::new(key, list.into_value(), expire),
        Loaded::Set(set) => Entry::new(key, set.into_value(), expire),
        Loaded::ZSet(zset) => Entry::new(key, zset.into_value(), expire),
        Loaded::Hash(hash) => Entry::new(key, hash.into_value(), expire),
        Loaded::Stream(stream) => Entry::new(key, Value::Stream(stream), expire),
    };
    let replayed = ctx.origin == Origin::Log;
    if expire.is_some_and(|at| at <= ctx.now) && !replayed && !ctx.server.config.import_mode {
        if ctx.ks.discard(ctx.db, key) {
            ctx.effect(&[b"DEL", key]);
            ctx.changed(key, event::GENERIC, "del");
        }
        ctx.reply.ok();
        return Ok(());
    }
    // The log is read with its checksums looked at.
    let again = if checked { Vec::new() } else { payload::summed_again(bytes) };
    let bytes = if checked { bytes } else { &again };
    ctx.ks.discard(ctx.db, key);
    put(ctx, entry, &options);
    let mut digits = itoa::Buffer::new();
    match expire {
        None => ctx.effect(&[b"RESTORE", key, b"0", bytes, b"REPLACE"]),
        Some(at) => {
            let at = digits.format(at).as_bytes();
            ctx.effect(&[b"RESTORE", key, at, bytes, b"REPLACE", b"ABSTTL"]);
        }
    }
    ctx.changed(key, event::GENERIC, "restore");
    ctx.reply.ok();
    Ok(())
}

fn put(ctx: &mut Ctx, entry: Entry, options: &Options) {
    let key = entry.key().to_vec();
    if ctx.ks.insert(ctx.db, entry).is_none() {
        ctx.ks.effects.event(ctx.db, event::NEW, "new", &key);
    }
    let idle_s = options.idle_s.map(i64::unsigned_abs);
    let frequency = options.frequency.and_then(|frequency| u8::try_from(frequency).ok());
    if let Some(used) = ctx.ks.use_clock.restored(idle_s, frequency)
        && let Some(entry) = ctx.ks.peek(ctx.db, &key)
    {
        entry.touch(used);
    }
}
