//! The arguments of unions, intersections and differences of sorted sets.

use super::source;
use super::{Args, CommandError, Ctx};
use crate::command::set::parse_limit;
use crate::number::{parse_double, parse_i64};

/// What is done with the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores of one member are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// Both scores in one; infinities that cancel each other are zero. `second` may be NaN: of least and greatest it is none.
    pub(super) fn apply(self, first: f64, second: f64) -> f64 {
        match self {
            Self::Sum => zero_if_nan(first + second),
            Self::Min => {
                if second < first {
                    second
                } else {
                    first
                }
            }
            Self::Max => {
                if second > first {
                    second
                } else {
                    first
                }
            }
        }
    }
}

/// Zero instead of NaN (zero times infinity, infinity less infinity).
pub(super) fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// Where the result goes, which decides what options there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Reply,
    Key,
    /// Only counted (ZINTERCARD).
    Count,
}

/// A combination as it was asked for.
#[derive(Debug)]
pub(super) struct Combination<'a> {
    pub(super) operation: Operation,
    pub(super) keys: Args<'a>,
    /// One for each key; empty: all are 1.
    weights: Vec<f64>,
    pub(super) aggregate: Aggregate,
    pub(super) with_scores: bool,
    /// Where to stop counting; 0: nowhere.
    pub(super) limit: usize,
}

impl<'a> Combination<'a> {
    /// Reads the arguments from `at` (the number of keys) on. The keys are looked up on the way,
    /// since a wrong type is reported before bad options.
    pub(super) fn parse(
        ctx: &mut Ctx,
        args: &Args<'a>,
        at: usize,
        operation: Operation,
        target: Target,
    ) -> Result<Self, CommandError> {
        let numkeys = parse_i64(args.at(at)).ok_or(CommandError::NotInteger)?;
        if numkeys < 1 {
            return Err(CommandError::owned(format!(
                "ERR at least 1 input key is needed for '{}' command",
                ctx.command.to_lowercase()
            )));
        }
        let numkeys = usize::try_from(numkeys).unwrap_or(usize::MAX);
        let first = at + 1;
        if numkeys > args.len() - first {
            return Err(CommandError::Syntax);
        }
        let keys = args.slice(first..first + numkeys);
        source::check(ctx.ks, ctx.db, &keys)?;
        let mut request = Self {
            operation,
            keys,
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        request.options(args, first + numkeys, target)?;
        Ok(request)
    }

    fn options(
        &mut self,
        args: &Args<'a>,
        mut at: usize,
        target: Target,
    ) -> Result<(), CommandError> {
        let combines = self.operation != Operation::Difference && target != Target::Count;
        while at < args.len() {
            let left = args.len() - at;
            if combines && left > self.keys.len() && args.is(at, "WEIGHTS") {
                let weights = args.slice(at + 1..at + 1 + self.keys.len());
                let weight = |text: &[u8]| {
                    parse_double(text).ok_or(CommandError::text("ERR weight value is not a float"))
                };
                self.weights = weights.iter().map(weight).collect::<Result<_, _>>()?;
                at += 1 + self.keys.len();
            } else if combines && left >= 2 && args.is(at, "AGGREGATE") {
                self.aggregate = aggregate(args, at + 1)?;
                at += 2;
            } else if target == Target::Reply && args.is(at, "WITHSCORES") {
                self.with_scores = true;
                at += 1;
            } else if target == Target::Count && left >= 2 && args.is(at, "LIMIT") {
                self.limit = parse_limit(args.at(at + 1))?;
                at += 2;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(())
    }

    /// The weight of input `index`.
    pub(super) fn weight(&self, index: usize) -> f64 {
        self.weights.get(index).copied().unwrap_or(1.0)
    }
}

fn aggregate(args: &Args, at: usize) -> Result<Aggregate, CommandError> {
    match args.at(at).to_ascii_uppercase().as_slice() {
        b"SUM" => Ok(Aggregate::Sum),
        b"MIN" => Ok(Aggregate::Min),
        b"MAX" => Ok(Aggregate::Max),
        _ => Err(CommandError::Syntax),
    }
}
