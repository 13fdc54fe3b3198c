//! The bounds of ranges, from their text to ranks of a set.

use std::ops::Range;

use super::CommandError;
use crate::number::{parse_i64, parse_range_bound};
use crate::types::ZSet;
use crate::types::zset::{LexBound, ScoreBound};

/// What a range is bounded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// The two ends of a range.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds<'a> {
    /// First and last rank; negative from the end.
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

impl<'a> Bounds<'a> {
    /// Reads both ends; the lower one first, of ranks the first.
    pub(super) fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        Ok(match by {
            By::Rank => Self::Rank(rank(min)?, rank(max)?),
            By::Score => Self::Score(score(min)?, score(max)?),
            By::Lex => Self::Lex(lex(min)?, lex(max)?),
        })
    }

    /// The ranks of `set`, from the lowest score, that are within. With `reverse`, ranks were counted
    /// from the highest score.
    pub(super) fn ranks(&self, set: &ZSet, reverse: bool) -> Range<usize> {
        match *self {
            Self::Score(min, max) => set.ranks_by_score(min, max),
            Self::Lex(min, max) => set.ranks_by_lex(min, max),
            Self::Rank(first, last) => {
                let len = set.len();
                let ranks = clamp(first, last, len);
                if reverse { len - ranks.end..len - ranks.start } else { ranks }
            }
        }
    }
}

/// Ranks as clients give them (inclusive, negative from the end) as a range of `len` items.
fn clamp(first: i64, last: i64, len: usize) -> Range<usize> {
    let len_signed = i64::try_from(len).unwrap_or(i64::MAX);
    let from_end = |rank: i64| if rank < 0 { len_signed.saturating_add(rank) } else { rank };
    let (first, last) = (from_end(first).max(0), from_end(last).min(len_signed - 1));
    if first > last {
        return 0..0;
    }
    usize::try_from(first).unwrap_or(len)..usize::try_from(last + 1).unwrap_or(len)
}

fn rank(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::NotInteger)
}

fn score(text: &[u8]) -> Result<ScoreBound, CommandError> {
    let bound = match text {
        [b'(', rest @ ..] => parse_range_bound(rest).map(ScoreBound::Exclusive),
        _ => parse_range_bound(text).map(ScoreBound::Inclusive),
    };
    bound.ok_or(CommandError::text("ERR min or max is not a float"))
}

fn lex(text: &[u8]) -> Result<LexBound<'_>, CommandError> {
    match text {
        b"-" => Ok(LexBound::Min),
        b"+" => Ok(LexBound::Max),
        [b'[', rest @ ..] => Ok(LexBound::Inclusive(rest)),
        [b'(', rest @ ..] => Ok(LexBound::Exclusive(rest)),
        _ => Err(CommandError::text("ERR min or max not valid string range item")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_clamped() {
        assert_eq!(clamp(0, -1, 5), 0..5);
        assert_eq!(clamp(-2, -1, 5), 3..5);
        assert_eq!(clamp(-100, 100, 5), 0..5);
        assert_eq!(clamp(5, 6, 5), 0..0);
        assert_eq!(clamp(3, 2, 5), 0..0);
        assert_eq!(clamp(0, -100, 5), 0..0);
        assert_eq!(clamp(i64::MIN, i64::MAX, 5), 0..5);
        assert_eq!(clamp(i64::MAX, i64::MIN, 5), 0..0);
    }
}
