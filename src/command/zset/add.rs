//! ZADD and ZINCRBY.

use super::zeros::restate_put;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::event;
use crate::number::parse_double;
use crate::types::ZSet;
use crate::types::zset::Change;

/// Which members ZADD may touch, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Only new members.
    pub nx: bool,
    /// Only members that are there.
    pub xx: bool,
    /// Only to a higher score.
    pub gt: bool,
    /// Only to a lower score.
    pub lt: bool,
    /// Reply with all changes, not only additions.
    pub ch: bool,
    /// Add to the score.
    pub incr: bool,
}

/// A new score for a member.
#[derive(Clone, Copy, Debug)]
pub struct Score<'a> {
    pub member: &'a [u8],
    pub score: f64,
}

impl Conditions {
    /// Reads the options from argument 2 on; the index behind them.
    fn parse(args: &Args) -> (Self, usize) {
        let mut conditions = Self::default();
        let mut at = 2;
        while at < args.len() {
            let option = match args.at(at).to_ascii_uppercase().as_slice() {
                b"NX" => &mut conditions.nx,
                b"XX" => &mut conditions.xx,
                b"GT" => &mut conditions.gt,
                b"LT" => &mut conditions.lt,
                b"CH" => &mut conditions.ch,
                b"INCR" => &mut conditions.incr,
                _ => break,
            };
            *option = true;
            at += 1;
        }
        (conditions, at)
    }

    /// The options as they are written.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.nx, "NX"),
            (self.xx, "XX"),
            (self.gt, "GT"),
            (self.lt, "LT"),
            (self.incr, "INCR"),
        ];
        all.into_iter().filter(|(given, _)| *given).map(|(_, word)| word)
    }

    /// Whether the options go together, with `pairs` pairs of score and member behind them.
    fn check(self, pairs: usize) -> CommandResult {
        let refuse = |text| Err(CommandError::text(text));
        if self.nx && self.xx {
            return refuse("ERR XX and NX options at the same time are not compatible");
        }
        if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            return refuse("ERR GT, LT, and/or NX options at the same time are not compatible");
        }
        if self.incr && pairs > 1 {
            return refuse("ERR INCR option supports a single increment-element pair");
        }
        Ok(())
    }

    /// The score that a member gets; `None` leaves it as it is.
    fn decide(self, old: Option<f64>, score: f64) -> Option<f64> {
        let Some(old) = old else { return (!self.xx).then_some(score) };
        let new = if self.incr { old + score } else { score };
        let keeps = self.nx || (self.gt && new <= old) || (self.lt && new >= old);
        (!keeps).then_some(new)
    }
}

pub(super) const ZADD: Command = Command {
    name: "ZADD",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key [NX | XX] [GT | LT] [CH] [INCR] (score:double member) ...",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "1.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        summary: "Puts members with scores into a sorted set, or changes their scores. The set is created if it is not there.",
        history: &[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ],
        deprecated: None,
    },
    handler: Handler::Plain(zadd),
    ..Command::BASE
};

fn zadd(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (conditions, at) = Conditions::parse(args);
    let rest = args.tail(at);
    if rest.is_empty() || !rest.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    conditions.check(rest.len() / 2)?;
    add(ctx, args.at(1), conditions, &rest)
}

pub(super) const ZINCRBY: Command = Command {
    name: "ZINCRBY",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key increment:integer member",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.2.0",
        "O(log(N)) where N is the number of elements in the sorted set.",
        "Adds to the score of a member.",
    ),
    handler: Handler::Plain(zincrby),
    ..Command::BASE
};

fn zincrby(ctx: &mut Ctx, args: &Args) -> CommandResult {
    // ZADD's options are read here, too, and leave no room for score and member.
    let (conditions, at) = Conditions::parse(args);
    if at != 2 {
        return Err(CommandError::Syntax);
    }
    add(ctx, args.at(1), Conditions { incr: true, ..conditions }, &args.tail(2))
}

fn add(ctx: &mut Ctx, key: &[u8], conditions: Conditions, rest: &Args) -> CommandResult {
    let score_at = |at: usize| parse_double(rest.at(at)).ok_or(CommandError::NotFloat);
    let first = Score { member: rest.at(1), score: score_at(0)? };
    if rest.len() == 2 {
        return put(ctx, key, conditions, &[first]);
    }
    let mut scores = Vec::with_capacity(rest.len() / 2);
    scores.push(first);
    for at in (2..rest.len()).step_by(2) {
        scores.push(Score { member: rest.at(at + 1), score: score_at(at)? });
    }
    put(ctx, key, conditions, &scores)
}

/// Gives members their scores and writes ZADD's reply. Scores are not NaN. Also GEOADD's way in.
pub fn put(
    ctx: &mut Ctx,
    key: &[u8],
    conditions: Conditions,
    scores: &[Score<'_>],
) -> CommandResult {
    let limits = &ctx.server.limits;
    let existing = ctx.ks.write::<ZSet>(ctx.db, key)?;
    let set = match existing {
        Some(_) => ctx.ks.write::<ZSet>(ctx.db, key)?,
        None if conditions.xx => None,
        None => {
            let first = scores.first().map_or(0, |score| score.member.len());
            let new = || ZSet::with_expected(scores.len(), first, limits);
            Some(ctx.ks.write_or_create(ctx.db, key, new)?)
        }
    };
    let (mut added, mut updated, mut result) = (0, 0, None);
    if let Some(set) = set {
        set.expect(scores.len(), limits);
        for item in scores {
            let mut not_a_number = false;
            let change = set.upsert(item.member, limits, |old| {
                let new = conditions.decide(old, item.score);
                not_a_number = new.is_some_and(f64::is_nan);
                result = new;
                new.filter(|new| !new.is_nan())
            });
            if not_a_number {
                // Only an increment gets here, of a single member: nothing has changed yet.
                return Err(CommandError::text("ERR resulting score is not a number (NaN)"));
            }
            added += usize::from(change == Change::Added);
            updated += usize::from(change == Change::Updated);
        }
    }
    if added + updated > 0 {
        let name = if conditions.incr { "zincr" } else { "zadd" };
        ctx.changed_by(key, added + updated, event::ZSET, name);
        restate_put(ctx, key, conditions, scores);
    }
    match (conditions.incr, result) {
        (true, Some(score)) => ctx.reply.double(score),
        (true, None) => ctx.reply.null(),
        (false, _) => ctx.reply.count(if conditions.ch { added + updated } else { added }),
    }
    Ok(())
}
