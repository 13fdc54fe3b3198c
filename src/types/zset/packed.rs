//! The small form of a sorted set: a listpack of member, score, member, score, ... in order.
//!
//! The bytes are Redis': a score is an integer element when it is one, else the shortest text that
//! reads back as the same double. A negative zero is stored as 0, except from a log. Everything is a linear walk; the
//! limits keep it short, and an append at the end is found without one.

use std::cmp::Ordering;
use std::ops::Range;

use crate::number::{DoubleText, parse_double};
use crate::types::listpack::{Cursor, Element, IntText, Listpack, ListpackRef};

/// The score that an element stands for; `None` for bytes that are no number.
pub(super) fn score_of(element: Element<'_>) -> Option<f64> {
    match element {
        // Exact for all that was written from a double.
        Element::Int(value) => Some(value as f64),
        Element::Str(text) => parse_double(text),
    }
}

/// Calls `write` with the element that stands for `score`, the sign of a zero only if it is kept.
fn with_score_element<R>(score: f64, keeps_sign: bool, write: impl FnOnce(Element<'_>) -> R) -> R {
    // Beyond this bound a double's neighbours are further apart than its shortest digits say.
    const PLAIN_MAX: f64 = (1i64 << 62) as f64;
    let signed = keeps_sign && score == 0.0 && score.is_sign_negative();
    if score.abs() < PLAIN_MAX && score.trunc() == score && !signed {
        return write(Element::Int(score as i64));
    }
    write(Element::from(DoubleText::new(score).as_bytes()))
}

/// A member and its score, as far as the listpack is sound.
pub(super) fn pairs<'a>(
    list: ListpackRef<'a>,
) -> impl Iterator<Item = (Element<'a>, f64)> + use<'a> {
    list.pairs().map(|(member, score)| (member, score_of(score).unwrap_or(0.0)))
}

/// The member's place, rank and score.
pub(super) fn find(list: ListpackRef<'_>, member: &[u8]) -> Option<(Cursor, f64)> {
    let cursor = list.find(member, 1)?;
    Some((cursor, score_at(list, cursor)?))
}

pub(super) fn rank(list: ListpackRef<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let (place, score) = find(list, member)?;
    let mut rank = 0;
    let mut cursor = list.first()?;
    while cursor < place {
        cursor = list.next(list.next(cursor)?)?;
        rank += 1;
    }
    Some((rank, score))
}

/// Puts in a member that is not there.
pub(super) fn insert(list: &mut Listpack, member: &[u8], score: f64, keeps_sign: bool) {
    let element = Element::from(member);
    match place_for(list.view(), member, score) {
        Some(cursor) => {
            list.insert_before(cursor, element);
            with_score_element(score, keeps_sign, |score| list.insert_after(cursor, score));
        }
        None => {
            list.push_back(element);
            with_score_element(score, keeps_sign, |score| list.push_back(score));
        }
    }
}

/// The pair before which a new one belongs; `None` for the end.
fn place_for(list: ListpackRef<'_>, member: &[u8], score: f64) -> Option<Cursor> {
    let last = list.prev(list.last()?)?;
    if compare(list, last, member, score).is_none_or(Ordering::is_lt) {
        return None;
    }
    let mut cursor = list.first()?;
    // A look at every eighth pair first: reading a score costs more than passing several by.
    while let Some(ahead) = skip(list, cursor, 8)
        && compare(list, ahead, member, score)?.is_lt()
    {
        cursor = ahead;
    }
    while compare(list, cursor, member, score)?.is_lt() {
        cursor = skip(list, cursor, 1)?;
    }
    Some(cursor)
}

fn skip(list: ListpackRef<'_>, cursor: Cursor, pairs: usize) -> Option<Cursor> {
    (0..pairs * 2).try_fold(cursor, |cursor, _| list.next(cursor))
}

/// How the pair at `cursor` stands to this score and member.
fn compare(list: ListpackRef<'_>, cursor: Cursor, member: &[u8], score: f64) -> Option<Ordering> {
    match score_at(list, cursor)?.partial_cmp(&score)? {
        Ordering::Equal => {
            let mut buffer = IntText::new();
            Some(list.get(cursor)?.text(&mut buffer).cmp(member))
        }
        other => Some(other),
    }
}

fn score_at(list: ListpackRef<'_>, cursor: Cursor) -> Option<f64> {
    score_of(list.get(list.next(cursor)?)?)
}

/// Removes the pair at `cursor`.
pub(super) fn remove(list: &mut Listpack, cursor: Cursor) {
    list.remove(cursor, 2);
}

/// Shows the pairs of these ranks to `sink`, then removes them.
pub(super) fn remove_ranks(
    list: &mut Listpack,
    ranks: Range<usize>,
    sink: &mut dyn FnMut(Element<'_>, f64),
) -> usize {
    let count = ranks.len();
    let Some(cursor) = seek(list.view(), ranks.start) else { return 0 };
    let mut elements = list.view().iter_from(cursor);
    for _ in 0..count {
        let (Some(member), Some(score)) = (elements.next(), elements.next()) else { break };
        sink(member, score_of(score).unwrap_or(0.0));
    }
    list.remove(cursor, count * 2) / 2
}

/// The place of the member of this rank.
pub(super) fn seek(list: ListpackRef<'_>, rank: usize) -> Option<Cursor> {
    list.seek(i64::try_from(rank).ok()?.checked_mul(2)?)
}

/// How many leading pairs satisfy `before`.
pub(super) fn rank_where(
    list: ListpackRef<'_>,
    mut before: impl FnMut(Element<'_>, f64) -> bool,
) -> usize {
    pairs(list).take_while(|(member, score)| before(*member, *score)).count()
}

/// Whether `list` is what this module would have written: pairs, scores that are numbers, strictly
/// ascending, no member twice.
pub(super) fn is_sound(list: ListpackRef<'_>) -> bool {
    let mut elements = list.iter();
    let mut last: Option<(Element<'_>, f64)> = None;
    while let Some(member) = elements.next() {
        let Some(score) = elements.next().and_then(score_of) else { return false };
        let ascends = last.is_none_or(|(below, low)| {
            low < score || (low == score && compare_text(below, member).is_lt())
        });
        if !ascends {
            return false;
        }
        last = Some((member, score));
    }
    list.is_unique(2)
}

fn compare_text(one: Element<'_>, two: Element<'_>) -> Ordering {
    let (mut one_buffer, mut two_buffer) = (IntText::new(), IntText::new());
    one.text(&mut one_buffer).cmp(two.text(&mut two_buffer))
}
