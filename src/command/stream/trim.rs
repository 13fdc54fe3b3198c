//! XTRIM, and the trimming options that it shares with XADD.
//!
//! What an approximate trim removes depends on the nodes, and ids on what was there: the log gets the
//! length that is left, with `=`.

use super::id;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::command::ctx::Origin;
use crate::keyspace::event;
use crate::number::parse_i64;
use crate::types::Stream;
use crate::types::stream::{StreamId, Trim};

/// What happens to the places where groups refer to an entry that is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum References {
    /// They stay.
    #[default]
    Keep,
    /// They go with the entry.
    Delete,
    /// While there are any, the entry stays.
    Acknowledged,
}

impl References {
    /// KEEPREF, DELREF or ACKED.
    pub(super) fn parse(args: &Args, at: usize) -> Option<Self> {
        let words =
            [("KEEPREF", Self::Keep), ("DELREF", Self::Delete), ("ACKED", Self::Acknowledged)];
        words.into_iter().find(|(word, _)| args.is(at, word)).map(|(_, policy)| policy)
    }
}

/// The trimming options.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrimOptions {
    pub(super) trim: Option<Trim>,
    approximate: bool,
    limit: Option<i64>,
    pub(super) references: Option<References>,
}

impl TrimOptions {
    /// Reads the option at `at`; the index behind it, or `None` when it is none of these.
    pub(super) fn parse(&mut self, args: &Args, at: usize) -> Result<Option<usize>, CommandError> {
        let more = args.len().saturating_sub(at + 1);
        if more > 0 && (args.is(at, "MAXLEN") || args.is(at, "MINID")) {
            return self.parse_trim(args, at, more).map(Some);
        }
        if more > 0 && args.is(at, "LIMIT") {
            let limit = parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger)?;
            if limit < 0 {
                return Err(CommandError::text("ERR The LIMIT argument must be >= 0."));
            }
            self.limit = Some(limit);
            return Ok(Some(at + 2));
        }
        let Some(references) = References::parse(args, at) else { return Ok(None) };
        if self.references.replace(references).is_some() {
            return Err(CommandError::Syntax);
        }
        Ok(Some(at + 1))
    }

    fn parse_trim(&mut self, args: &Args, at: usize, more: usize) -> Result<usize, CommandError> {
        if self.trim.is_some() {
            return Err(CommandError::text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let operator = args.at(at + 1);
        let has_operator = more >= 2 && matches!(operator, b"~" | b"=");
        self.approximate = has_operator && operator == b"~";
        let value_at = at + 1 + usize::from(has_operator);
        let value = args.at(value_at);
        self.trim = Some(if args.is(at, "MAXLEN") {
            let length = parse_i64(value).ok_or(CommandError::NotInteger)?;
            Trim::MaxLength(
                u64::try_from(length)
                    .map_err(|_| CommandError::text("ERR The MAXLEN argument must be >= 0."))?,
            )
        } else {
            Trim::MinId(id::parse(value)?)
        });
        Ok(value_at + 1)
    }

    /// Checks the options as a whole.
    pub(super) fn check(&self, trim_wanted: bool) -> Result<(), CommandError> {
        if self.limit.is_some_and(|limit| limit > 0) && self.trim.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if trim_wanted && self.trim.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        if self.limit.is_some() && !self.approximate {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        Ok(())
    }

    /// How many entries may be removed at once.
    fn limit(&self, ctx: &Ctx) -> Option<u64> {
        if !self.approximate || ctx.origin == Origin::Log {
            return None;
        }
        let limit = match self.limit {
            Some(limit) => limit.unsigned_abs(),
            None => {
                let nodes = (ctx.limits().stream_node_max_entries as u64).saturating_mul(100);
                if nodes == 0 { 10_000 } else { nodes.min(1_000_000) }
            }
        };
        Some(limit).filter(|limit| *limit > 0)
    }

    /// Trims the stream at `key`. How many entries that removed, and the records that do the same
    /// whenever they run.
    pub(super) fn run(&self, ctx: &mut Ctx, key: &[u8]) -> Result<Trimmed, CommandError> {
        let Some(trim) = self.trim else { return Ok(Trimmed::default()) };
        let limit = self.limit(ctx);
        let approximate = self.approximate;
        let Some(stream) = ctx.ks.write::<Stream>(ctx.db, key)? else {
            return Ok(Trimmed::default());
        };
        Ok(match self.references.unwrap_or_default() {
            References::Keep => {
                Trimmed { removed: stream.trim(trim, approximate, limit), ..Trimmed::default() }
            }
            References::Delete => {
                let before = stream.share();
                let removed = stream.trim(trim, approximate, limit);
                let gone = before.range(StreamId::MIN, StreamId::MAX);
                let count = usize::try_from(removed).unwrap_or(usize::MAX);
                let mut forgotten = Vec::new();
                for entry in gone.take(count) {
                    stream.forget_references(entry.id, |group| {
                        forgotten.push((group.to_vec(), entry.id));
                    });
                }
                Trimmed { removed, forgotten, deleted: Vec::new() }
            }
            References::Acknowledged => {
                let deleted = trim_acknowledged(stream, trim, approximate, limit);
                Trimmed { removed: deleted.len() as u64, forgotten: Vec::new(), deleted }
            }
        })
    }
}

/// What a trim did.
#[derive(Clone, Debug, Default)]
pub(super) struct Trimmed {
    pub(super) removed: u64,
    /// Pending entries that went with theirs, by group.
    forgotten: Vec<(Vec<u8>, StreamId)>,
    /// Entries that were removed one by one.
    deleted: Vec<StreamId>,
}

impl Trimmed {
    /// Adds the records of what was done to the log. `length` is what is left.
    pub(super) fn record(&self, ctx: &mut Ctx, key: &[u8], length: usize) {
        if self.deleted.is_empty() && self.removed > 0 {
            let mut digits = itoa::Buffer::new();
            ctx.effect(&[b"XTRIM", key, b"MAXLEN", b"=", digits.format(length).as_bytes()]);
        }
        super::delete::record_deleted(ctx, key, &self.deleted);
        super::delete::record_forgotten(ctx, key, &self.forgotten);
    }

    /// Whether a plain trim to the same length does the same.
    pub(super) fn is_plain(&self) -> bool {
        self.deleted.is_empty() && self.forgotten.is_empty()
    }
}

/// Removes the oldest entries that no group needs.
fn trim_acknowledged(
    stream: &mut Stream,
    trim: Trim,
    approximate: bool,
    limit: Option<u64>,
) -> Vec<StreamId> {
    // What a plain trim would remove may go; exact trims go on until enough are removed.
    let surplus = match trim {
        Trim::MaxLength(length) if !approximate => (stream.len() as u64).saturating_sub(length),
        _ => stream.share().trim(trim, approximate, limit),
    };
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    let all = stream.range(StreamId::MIN, StreamId::MAX);
    let below = |id: StreamId| !matches!(trim, Trim::MinId(least) if id >= least);
    let ids = all.map(|entry| entry.id).take_while(|id| below(*id));
    let reach = if approximate { surplus } else { usize::MAX };
    let goes: Vec<StreamId> =
        ids.take(reach).filter(|id| !stream.is_needed(*id)).take(surplus).collect();
    for id in &goes {
        stream.delete(*id);
    }
    goes
}

pub(super) const XTRIM: Command = Command {
    name: "XTRIM",
    arity: -4,
    flags: Flags::WRITE,
    group: Group::Stream,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key (<MAXLEN | MINID> [= | ~] threshold [LIMIT count:integer]) [KEEPREF | DELREF | ACKED]",
    propagate: Propagate::Effect,
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option.")],
        ..doc(
            "5.0.0",
            "O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.",
            "Removes the oldest entries of a stream.",
        )
    },
    handler: Handler::Plain(xtrim),
    ..Command::BASE
};

fn xtrim(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let mut options = TrimOptions::default();
    let mut at = 2;
    while at < args.len() {
        at = options.parse(args, at)?.ok_or(CommandError::Syntax)?;
    }
    options.check(true)?;
    let key = args.at(1);
    if ctx.ks.read::<Stream>(ctx.db, key)?.is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    let trimmed = options.run(ctx, key)?;
    if trimmed.removed > 0 {
        let length = ctx.ks.read::<Stream>(ctx.db, key)?.map_or(0, Stream::len);
        trimmed.record(ctx, key, length);
        ctx.changed(key, event::STREAM, "xtrim");
        ctx.ks.effects.dirty += trimmed.removed - 1;
    }
    ctx.reply.int(trimmed.removed.cast_signed());
    Ok(())
}
