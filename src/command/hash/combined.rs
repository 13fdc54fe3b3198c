//! HGETEX, HSETEX, HGETDEL: values and times of fields in one request.

use super::expiry::finish;
use super::fields::{BAD_COUNT, TimeForm, parse_fields, record_fields, record_removal};
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc, event, fields_removed, look_at, write_value,
};
use crate::command::ctx::Origin;
use crate::command::error::told;
use crate::number;
use crate::types::Hash;

const COMPLEXITY: &str = "O(N) where N is the number of specified fields";

pub(super) const HGETDEL: Command = Command {
    name: "HGETDEL",
    arity: -5,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "delete"])],
    args: "key FIELDS numfields:integer field ...",
    propagate: Propagate::Effect,
    doc: doc("8.0.0", COMPLEXITY, "Returns the values of fields and removes them from the hash."),
    handler: Handler::Plain(hgetdel),
    ..Command::BASE
};

fn hgetdel(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    ctx.ks.write::<Hash>(ctx.db, key)?;
    let fields = parse_fields(args, 2, BAD_COUNT)?;
    look_at(ctx, key, fields.iter());
    let mut hash = ctx.ks.write::<Hash>(ctx.db, key)?;
    let mut removed = Vec::new();
    ctx.reply.array(fields.len());
    for field in fields.iter() {
        write_value(ctx.reply, hash.as_ref().and_then(|hash| hash.get(field)));
        if hash.as_mut().is_some_and(|hash| hash.remove(field)) {
            removed.push(field);
        }
    }
    finish(ctx, key, &[], 0, &removed);
    Ok(())
}

/// What becomes of the times of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewTime {
    /// Unix ms.
    At(i64),
    Keep,
    Clear,
}

pub(super) const HGETEX: Command = Command {
    name: "HGETEX",
    arity: -5,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key [<EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | \
           PXAT unix-time-milliseconds:unix-time | PERSIST>] FIELDS numfields:integer field ...",
    propagate: Propagate::Effect,
    doc: doc("8.0.0", COMPLEXITY, "Returns the values of fields and may change their times."),
    handler: Handler::Plain(hgetex),
    ..Command::BASE
};

fn hgetex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    ctx.ks.write::<Hash>(ctx.db, key)?;
    let (time, fields_at) = match TimeForm::of_option(args, 2) {
        Some(form) => (NewTime::At(form.parse(ctx, args.at(3))?), 4),
        None if args.is(2, "PERSIST") => (NewTime::Clear, 3),
        None => (NewTime::Keep, 2),
    };
    if args.len() <= fields_at + 1 {
        return Err(CommandError::Arity(ctx.command.to_lowercase()));
    }
    let fields = parse_fields(args, fields_at, BAD_COUNT)?;
    let replayed = ctx.origin == Origin::Log;
    look_at(ctx, key, fields.iter());
    let mut hash = ctx.ks.write::<Hash>(ctx.db, key)?;
    let (mut timed, mut removed, mut persisted) = (Vec::new(), Vec::new(), Vec::new());
    if time != NewTime::Keep
        && let Some(hash) = hash.as_mut()
    {
        hash.keep_times();
    }
    ctx.reply.array(fields.len());
    for field in fields.iter() {
        write_value(ctx.reply, hash.as_ref().and_then(|hash| hash.get(field)));
        let Some(hash) = hash.as_mut() else { continue };
        let Some(old) = hash.field_expire(field) else { continue };
        match time {
            NewTime::Keep => {}
            NewTime::Clear if old.is_none() => {}
            NewTime::Clear => {
                hash.set_field_expire(field, None);
                persisted.push(field);
            }
            NewTime::At(at) if at <= ctx.now && !replayed => {
                hash.remove(field);
                removed.push(field);
            }
            NewTime::At(at) => {
                hash.set_field_expire(field, Some(field_time(at)));
                timed.push(field);
            }
        }
    }
    let at = if let NewTime::At(at) = time { field_time(at) } else { 0 };
    ctx.ks.stats.expired_fields += removed.len() as u64;
    finish(ctx, key, &timed, at, &removed);
    if !persisted.is_empty() {
        record_fields(ctx, &[b"HPERSIST", key], &persisted);
        ctx.changed(key, event::HASH, "hpersist");
    }
    Ok(())
}

/// A time as a hash takes it: zero would mean none.
fn field_time(at: i64) -> u64 {
    u64::try_from(at).unwrap_or(0).max(1)
}

pub(super) const HSETEX: Command = Command {
    name: "HSETEX",
    arity: -6,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::Hash,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key [<NX | XX>] [<FNX | FXX>] [<EX seconds:integer | PX milliseconds:integer | EXAT \
           unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | KEEPTTL>] FIELDS \
           numfields:integer <field value> ...",
    propagate: Propagate::Effect,
    doc: doc(
        "8.0.0",
        "O(N) where N is the number of fields being set.",
        "Sets the values of fields and may set their times.",
    ),
    handler: Handler::Plain(hsetex),
    ..Command::BASE
};

/// What HSETEX asks for.
struct SetRequest<'a> {
    /// Only if the key is there (true), or is not (false): Valkey's XX and NX.
    key_wanted: Option<bool>,
    /// Only if all of the fields are there (true), or none (false).
    wanted: Option<bool>,
    time: NewTime,
    /// Field, value, field, value, ...
    pairs: Args<'a>,
}

impl<'a> SetRequest<'a> {
    fn parse(ctx: &Ctx, args: &Args<'a>) -> Result<Self, CommandError> {
        let (mut key_wanted, mut wanted, mut time) = (None, None, None);
        let mut at = 2;
        while at < args.len() && !args.is(at, "FIELDS") {
            if args.is(at, "FNX") || args.is(at, "FXX") {
                if wanted.is_some() {
                    return Err(CommandError::text(
                        "ERR Only one of FXX or FNX arguments can be specified",
                    ));
                }
                wanted = Some(args.is(at, "FXX"));
                at += 1;
                continue;
            }
            if args.is(at, "NX") || args.is(at, "XX") {
                if key_wanted.is_some() {
                    return Err(CommandError::text(
                        "ERR Only one of NX or XX arguments can be specified",
                    ));
                }
                key_wanted = Some(args.is(at, "XX"));
                at += 1;
                continue;
            }
            let form = TimeForm::of_option(args, at);
            if form.is_none() && !args.is(at, "KEEPTTL") {
                let word = told(args.at(at));
                return Err(CommandError::owned(format!("ERR unknown argument: {word}")));
            }
            if time.is_some() {
                return Err(CommandError::text(
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                ));
            }
            time = Some(match form {
                Some(form) => NewTime::At(form.parse(ctx, args.at(at + 1))?),
                None => NewTime::Keep,
            });
            at += if form.is_some() { 2 } else { 1 };
        }
        let arity = || CommandError::Arity(ctx.command.to_lowercase());
        if args.len() <= at + 3 {
            return Err(arity());
        }
        let count = number::parse_i64(args.at(at + 1))
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| (1..=i32::MAX as usize).contains(count))
            .ok_or(CommandError::text("ERR invalid number of fields"))?;
        let pairs = args.tail(at + 2);
        if count.checked_mul(2) != Some(pairs.len()) {
            return Err(arity());
        }
        Ok(Self { key_wanted, wanted, time: time.unwrap_or(NewTime::Clear), pairs })
    }

    fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        self.pairs.iter().step_by(2)
    }
}

fn hsetex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let request = SetRequest::parse(ctx, args)?;
    if request.wanted.is_some() {
        look_at(ctx, key, request.fields());
    }
    let old = ctx.ks.write::<Hash>(ctx.db, key)?.map(|hash| &*hash);
    if request.key_wanted.is_some_and(|wanted| old.is_some() != wanted) {
        ctx.reply.int(0);
        return Ok(());
    }
    if let Some(wanted) = request.wanted
        && request.fields().any(|field| old.is_some_and(|hash| hash.contains(field)) != wanted)
    {
        ctx.reply.int(0);
        return Ok(());
    }
    ctx.reply.int(1);
    // Its last fields may have expired at this look; then it goes only to come back at once.
    let comes_back = ctx.ks.effects.retract_event(ctx.db, "del", key);
    if let NewTime::At(at) = request.time
        && at <= ctx.now
        && ctx.origin != Origin::Log
    {
        return store_expired(ctx, key, &request);
    }
    if comes_back {
        ctx.ks.write_or_create(ctx.db, key, Hash::new)?;
        ctx.ks.effects.retract_event(ctx.db, "new", key);
    }
    store(ctx, key, &request)
}

/// What is set with a time that is over is gone at once: only listeners hear that it was ever there.
fn store_expired(ctx: &mut Ctx, key: &[u8], request: &SetRequest) -> CommandResult {
    let hear = |ctx: &mut Ctx, class, name| ctx.ks.effects.event(ctx.db, class, name, key);
    ctx.ks.stats.expired_fields += request.fields().count() as u64;
    let there = ctx.ks.contains(ctx.db, key);
    if !there {
        hear(ctx, event::NEW, "new");
    }
    hear(ctx, event::HASH, "hset");
    let limits = &ctx.server.limits;
    let Some(hash) = ctx.ks.write::<Hash>(ctx.db, key)? else {
        hear(ctx, event::HASH, "hdel");
        hear(ctx, event::GENERIC, "del");
        return Ok(());
    };
    // The form is Redis', which sets each of them before it takes it away.
    hash.expect(request.pairs.len() / 2, limits);
    hash.expect_text(request.pairs.iter().map(<[u8]>::len).max().unwrap_or(0), limits);
    hash.keep_times();
    let mut removed = Vec::new();
    for field in request.fields() {
        if hash.remove(field) {
            removed.push(field);
        } else {
            hash.expect(hash.len() + 1, limits);
        }
    }
    record_removal(ctx, key, &removed);
    if removed.is_empty() {
        hear(ctx, event::HASH, "hdel");
    } else {
        fields_removed(ctx, key, removed.len());
    }
    Ok(())
}

/// Sets the fields and their times.
fn store(ctx: &mut Ctx, key: &[u8], request: &SetRequest) -> CommandResult {
    let limits = &ctx.server.limits;
    let hash = ctx.ks.write_or_create(ctx.db, key, Hash::new)?;
    let pairs = &request.pairs;
    hash.expect(pairs.len() / 2, limits);
    for at in (0..pairs.len()).step_by(2) {
        let (field, value) = (pairs.at(at), pairs.at(at + 1));
        match request.time {
            NewTime::Keep => hash.insert_keeping_expire(field, value, limits),
            NewTime::Clear => hash.insert(field, value, limits),
            NewTime::At(time) => {
                hash.insert_with_expire(field, value, Some(field_time(time)), limits)
            }
        };
    }
    let count = (pairs.len() / 2).to_string();
    let mut record = match request.time {
        NewTime::Keep => vec![b"HSETEX".as_slice(), key, b"KEEPTTL", b"FIELDS", count.as_bytes()],
        _ => vec![b"HSET".as_slice(), key],
    };
    record.extend(pairs.iter());
    ctx.effect(&record);
    ctx.changed_by(key, pairs.len() / 2, event::HASH, "hset");
    if let NewTime::At(time) = request.time {
        let timed: Vec<&[u8]> = request.fields().collect();
        finish(ctx, key, &timed, field_time(time), &[]);
    }
    Ok(())
}
