//! XDEL, XDELEX and XACKDEL: removing entries by id, and what becomes of groups that refer to them.
//!
//! The log gets plain XDEL and XACK, which every server knows.

use super::id;
use super::trim::References;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::event;
use crate::number::parse_i64;
use crate::types::Stream;
use crate::types::stream::StreamId;

/// Ids in one record of the log.
const IDS_PER_RECORD: usize = 1000;

pub(super) const XDEL: Command = Command {
    name: "XDEL",
    arity: -3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key id ...",
    propagate: Propagate::AsSent,
    doc: doc(
        "5.0.0",
        "O(1) for each single item to delete in the stream, regardless of the stream size.",
        "Removes entries from a stream and returns how many there were.",
    ),
    handler: Handler::Plain(xdel),
    ..Command::BASE
};

fn xdel(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    if ctx.ks.read::<Stream>(ctx.db, key)?.is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    let ids = parse_ids(&args.tail(2))?;
    let mut deleted = 0;
    if let Some(stream) = ctx.ks.write::<Stream>(ctx.db, key)? {
        deleted = ids.iter().filter(|id| stream.delete(**id)).count();
    }
    if deleted > 0 {
        ctx.changed(key, event::STREAM, "xdel");
        ctx.ks.effects.dirty += deleted as u64 - 1;
    }
    ctx.reply.count(deleted);
    Ok(())
}

/// All of them must be ids before anything is done.
pub(super) fn parse_ids(args: &Args) -> Result<Vec<StreamId>, CommandError> {
    args.iter().map(id::parse).collect()
}

pub(super) const XDELEX: Command = Command {
    name: "XDELEX",
    arity: -5,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key [KEEPREF | DELREF | ACKED] (IDS numids:integer id ...)",
    propagate: Propagate::Effect,
    doc: doc(
        "8.2.0",
        "O(1) for each single item to delete in the stream, regardless of the stream size.",
        "Removes entries from a stream, and what consumer groups know of them.",
    ),
    handler: Handler::Plain(xdelex),
    ..Command::BASE
};

pub(super) const XACKDEL: Command = Command {
    name: "XACKDEL",
    arity: -6,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key group [KEEPREF | DELREF | ACKED] (IDS numids:integer id ...)",
    propagate: Propagate::Effect,
    doc: doc(
        "8.2.0",
        "O(1) for each entry ID processed.",
        "Acknowledges entries in a consumer group and removes them from the stream.",
    ),
    handler: Handler::Plain(xackdel),
    ..Command::BASE
};

/// The result for one id, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    NoSuchId = -1,
    Deleted = 1,
    /// It stays, since a group still needs it.
    Needed = 2,
}

/// What was done, for the log.
#[derive(Debug, Default)]
struct Done {
    deleted: Vec<StreamId>,
    forgotten: Vec<(Vec<u8>, StreamId)>,
}

fn parse_options(args: &Args, start: usize) -> Result<(References, Vec<StreamId>), CommandError> {
    let (mut references, mut ids) = (None, None);
    let mut at = start;
    while at < args.len() {
        if let Some(policy) = References::parse(args, at).filter(|_| references.is_none()) {
            references = Some(policy);
            at += 1;
        } else if args.is(at, "IDS") && ids.is_none() && at + 1 < args.len() {
            let count = parse_i64(args.at(at + 1))
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count > 0)
                .ok_or(CommandError::text("ERR Number of IDs must be a positive integer"))?;
            let first = at + 2;
            if count > args.len().saturating_sub(first) {
                return Err(CommandError::text(
                    "ERR The `numids` parameter must match the number of arguments",
                ));
            }
            ids = Some(parse_ids(&args.slice(first..first + count))?);
            at = first + count;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(CommandError::Syntax)?))
}

fn xdelex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (references, ids) = parse_options(args, 2)?;
    let key = args.at(1);
    let mut done = Done::default();
    let fates: Vec<Fate> = match ctx.ks.write::<Stream>(ctx.db, key)? {
        Some(stream) => {
            ids.iter().map(|id| delete_one(stream, *id, references, &mut done)).collect()
        }
        None => vec![Fate::NoSuchId; ids.len()],
    };
    finish(ctx, key, &fates, &done);
    Ok(())
}

fn xackdel(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (references, ids) = parse_options(args, 3)?;
    let (key, group) = (args.at(1), args.at(2));
    let mut done = Done::default();
    let fates: Vec<Fate> = match ctx.ks.write::<Stream>(ctx.db, key)? {
        Some(stream) => ids
            .iter()
            .map(|id| {
                if !stream.group_mut(group).is_some_and(|group| group.acknowledge(*id)) {
                    return Fate::NoSuchId;
                }
                done.forgotten.push((group.to_vec(), *id));
                match delete_one(stream, *id, references, &mut done) {
                    Fate::Needed => Fate::Needed,
                    Fate::Deleted | Fate::NoSuchId => Fate::Deleted,
                }
            })
            .collect(),
        None => vec![Fate::NoSuchId; ids.len()],
    };
    finish(ctx, key, &fates, &done);
    Ok(())
}

fn delete_one(stream: &mut Stream, id: StreamId, references: References, done: &mut Done) -> Fate {
    match references {
        References::Keep => {}
        References::Delete => {
            stream.forget_references(id, |group| done.forgotten.push((group.to_vec(), id)));
        }
        References::Acknowledged => {
            // Of an entry that is gone a group may still hold a reference.
            let gone = stream.entry(id).is_none();
            if if gone { stream.is_pending(id) } else { stream.is_needed(id) } {
                return Fate::Needed;
            }
        }
    }
    if stream.delete(id) {
        done.deleted.push(id);
        Fate::Deleted
    } else {
        Fate::NoSuchId
    }
}

fn finish(ctx: &mut Ctx, key: &[u8], fates: &[Fate], done: &Done) {
    record_forgotten(ctx, key, &done.forgotten);
    record_deleted(ctx, key, &done.deleted);
    if !done.deleted.is_empty() {
        ctx.changed(key, event::STREAM, "xdel");
    } else if !done.forgotten.is_empty() {
        ctx.ks.changed_quietly(ctx.db, key);
    }
    ctx.reply.array(fates.len());
    for fate in fates {
        ctx.reply.int(*fate as i64);
    }
}

/// Adds XDEL of these entries to the log.
pub(super) fn record_deleted(ctx: &mut Ctx, key: &[u8], ids: &[StreamId]) {
    for ids in ids.chunks(IDS_PER_RECORD) {
        record_ids(ctx, &[b"XDEL", key], ids);
    }
}

/// Adds XACK of these entries to the log, each in its group.
pub(super) fn record_forgotten(ctx: &mut Ctx, key: &[u8], forgotten: &[(Vec<u8>, StreamId)]) {
    for run in forgotten.chunk_by(|a, b| a.0 == b.0) {
        let Some((group, _)) = run.first() else { continue };
        let ids: Vec<StreamId> = run.iter().map(|(_, id)| *id).collect();
        for ids in ids.chunks(IDS_PER_RECORD) {
            record_ids(ctx, &[b"XACK", key, group], ids);
        }
    }
}

/// Adds a record of these words and ids.
pub(super) fn record_ids(ctx: &mut Ctx, words: &[&[u8]], ids: &[StreamId]) {
    let texts: Vec<_> = ids.iter().map(|id| id.text()).collect();
    let count = words.len() + ids.len();
    let ids = texts.iter().map(|text| text.as_bytes());
    ctx.ks.effects.record_words(ctx.db, count, words.iter().copied().chain(ids));
}
