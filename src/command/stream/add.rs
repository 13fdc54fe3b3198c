//! XADD and XSETID: new entries, and the counters that new entries go on from.

use super::group;
use super::id::{self, NewId};
use super::reply_id;
use super::trim::{TrimOptions, Trimmed};
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::event;
use crate::number::parse_i64;
use crate::types::Stream;
use crate::types::stream::{AppendError, StreamId};

const TOO_SMALL: CommandError = CommandError::text(
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
);

pub(super) const XADD: Command = Command {
    name: "XADD",
    arity: -5,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count:integer]] <* | id> (field value) ...",
    propagate: Propagate::Effect,
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[
            (
                "6.2.0",
                "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.",
            ),
            ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
        ],
        ..doc(
            "5.0.0",
            "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
            "Adds an entry to the end of a stream, which is created if it is not there.",
        )
    },
    handler: Handler::Plain(xadd),
    ..Command::BASE
};

/// A parsed XADD.
struct Addition {
    trim: TrimOptions,
    create: bool,
    id: NewId,
    /// Index of the first field.
    fields_at: usize,
}

fn parse(args: &Args) -> Result<Addition, CommandError> {
    let mut addition = Addition {
        trim: TrimOptions::default(),
        create: true,
        id: NewId::Auto,
        fields_at: args.len(),
    };
    let mut at = 2;
    while at < args.len() {
        if args.at(at) == b"*" {
            addition.fields_at = at + 1;
            break;
        }
        if let Some(next) = addition.trim.parse(args, at)? {
            at = next;
        } else if args.is(at, "NOMKSTREAM") {
            addition.create = false;
            at += 1;
        } else {
            addition.id = id::parse_new(args.at(at))?;
            addition.fields_at = at + 1;
            break;
        }
    }
    addition.trim.check(false)?;
    let fields = args.len().saturating_sub(addition.fields_at);
    if fields < 2 || !fields.is_multiple_of(2) {
        return Err(CommandError::Arity("xadd".to_owned()));
    }
    if addition.id == NewId::Given(StreamId::MIN) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    Ok(addition)
}

/// The id of the next entry.
fn next_id(wanted: NewId, last: StreamId, now: i64) -> Result<StreamId, CommandError> {
    if last == StreamId::MAX {
        return Err(CommandError::text(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    match wanted {
        NewId::Given(id) => Some(id),
        NewId::Milliseconds(ms) if ms == last.ms => {
            last.seq.checked_add(1).map(|seq| StreamId { ms, seq })
        }
        NewId::Milliseconds(ms) => Some(StreamId { ms, seq: 0 }),
        NewId::Auto => {
            let ms = u64::try_from(now).unwrap_or(0);
            if ms > last.ms { Some(StreamId { ms, seq: 0 }) } else { last.next() }
        }
    }
    .filter(|id| *id > last)
    .ok_or(TOO_SMALL)
}

fn xadd(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let addition = parse(args)?;
    let key = args.at(1);
    let limits = &ctx.server.limits;
    let parts = args.tail(addition.fields_at);
    let id = match ctx.ks.write::<Stream>(ctx.db, key)? {
        Some(stream) => {
            let id = next_id(addition.id, stream.last_id(), ctx.now)?;
            stream.append(id, parts.iter(), limits).map_err(refused)?;
            id
        }
        None if addition.create => {
            let id = next_id(addition.id, StreamId::MIN, ctx.now)?;
            // Made before it is put anywhere: a refusal leaves no empty stream behind.
            let mut stream = Stream::new();
            stream.append(id, parts.iter(), limits).map_err(refused)?;
            ctx.ks.write_or_create(ctx.db, key, || stream)?;
            id
        }
        None => {
            ctx.reply.null();
            return Ok(());
        }
    };
    ctx.changed(key, event::STREAM, "xadd");
    let trimmed = addition.trim.run(ctx, key)?;
    if trimmed.removed > 0 {
        ctx.ks.effects.event(ctx.db, event::STREAM, "xtrim", key);
    }
    record(ctx, args, &addition, id, &trimmed)?;
    reply_id(ctx.reply, id);
    Ok(())
}

fn refused(error: AppendError) -> CommandError {
    match error {
        AppendError::IdTooSmall => TOO_SMALL,
        AppendError::TooLarge => CommandError::text("ERR Elements are too large to be stored"),
    }
}

/// The entry with its id, and the trim as the length it left.
fn record(
    ctx: &mut Ctx,
    args: &Args,
    addition: &Addition,
    id: StreamId,
    trimmed: &Trimmed,
) -> CommandResult {
    let key = args.at(1);
    let length = match trimmed.removed {
        0 => None,
        _ => Some(ctx.ks.read::<Stream>(ctx.db, key)?.map_or(0, Stream::len)),
    };
    let text = id.text();
    let mut digits = itoa::Buffer::new();
    let kept = length.filter(|_| trimmed.is_plain()).map(|length| digits.format(length).as_bytes());
    let head: [&[u8]; 2] = [b"XADD", key];
    let trim = kept.map(|length| [b"MAXLEN".as_slice(), b"=", length]);
    let trim = trim.as_ref().map(<[_; 3]>::as_slice).unwrap_or_default();
    let fields = args.tail(addition.fields_at);
    let count = head.len() + trim.len() + 1 + fields.len();
    let id = [text.as_bytes()];
    let words = head.iter().chain(trim).chain(&id).copied().chain(fields.iter());
    ctx.ks.effects.record_words(ctx.db, count, words);
    if let Some(length) = length.filter(|_| kept.is_none()) {
        trimmed.record(ctx, key, length);
    }
    Ok(())
}

pub(super) const XSETID: Command = Command {
    name: "XSETID",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key last-id [ENTRIESADDED entries-added:integer] [MAXDELETEDID max-deleted-id]",
    propagate: Propagate::AsSent,
    doc: Doc {
        history: &[("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")],
        ..doc("5.0.0", "O(1)", "Sets the last id and the counters of a stream; for replication.")
    },
    handler: Handler::Plain(xsetid),
    ..Command::BASE
};

fn xsetid(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let id = id::parse(args.at(2))?;
    let (mut added, mut deleted) = (None, None);
    let mut at = 3;
    while at < args.len() {
        let more = at + 1 < args.len();
        if more && args.is(at, "ENTRIESADDED") {
            let count = parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger)?;
            let count = u64::try_from(count)
                .map_err(|_| CommandError::text("ERR entries_added must be positive"))?;
            added = Some(count);
        } else if more && args.is(at, "MAXDELETEDID") {
            let given = id::parse(args.at(at + 1))?;
            if id < given {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            deleted = Some(given).filter(|given| *given != StreamId::MIN);
        } else {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    let key = args.at(1);
    let stream = ctx.ks.write::<Stream>(ctx.db, key)?.ok_or(CommandError::NoSuchKey)?;
    let refusal = if id < stream.max_deleted_id() {
        "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
    } else if stream.last().is_some_and(|last| id < last.id) {
        "ERR The ID specified in XSETID is smaller than the target stream top item"
    } else if added.is_some_and(|added| (stream.len() as u64) > added) {
        "ERR The entries_added specified in XSETID is smaller than the target stream length"
    } else {
        stream.set_counters(id, added, deleted);
        group::changed(ctx, key, "xsetid");
        ctx.reply.ok();
        return Ok(());
    };
    Err(CommandError::text(refusal))
}
