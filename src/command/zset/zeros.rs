//! What the log gets where a negative zero has lost its sign.
//!
//! A small sorted set stores -0 as 0, as in Redis, a large one keeps it. Which of the two a set is depends on
//! limits that may be others when the log is replayed, so the log says what was stored.

use super::Ctx;
use super::add::{Conditions, Score};
use crate::number::DoubleText;
use crate::types::ZSet;

/// Whether a score is a zero that a small set stores without its sign.
pub fn is_signed(score: f64) -> bool {
    score == 0.0 && score.is_sign_negative()
}

/// Records a ZADD or ZINCRBY that gave members these scores, if one of them was stored as another zero.
pub(super) fn restate_put(ctx: &mut Ctx, key: &[u8], conditions: Conditions, scores: &[Score<'_>]) {
    if !scores.iter().any(|item| is_signed(item.score)) {
        return;
    }
    let mut words: Vec<Vec<u8>> = vec![b"ZADD".to_vec(), key.to_vec()];
    words.extend(conditions.words().map(|word| word.as_bytes().to_vec()));
    {
        let Ok(Some(set)) = ctx.ks.read::<ZSet>(ctx.db, key) else { return };
        for item in scores {
            let stored = set.score(item.member).filter(|stored| *stored == item.score);
            words.push(DoubleText::new(stored.unwrap_or(item.score)).as_bytes().to_vec());
            words.push(item.member.to_vec());
        }
    }
    record(ctx, &words);
}

/// A computed set on its way to its key: the members with their scores, where the small form of the set
/// has lost the sign of one.
pub(super) fn restated(signed: bool, set: &ZSet) -> Option<Vec<Vec<u8>>> {
    if !signed || set.as_listpack().is_none() || set.is_empty() {
        return None;
    }
    Some(pairs(set))
}

/// The scores and members as ZADD takes them.
pub fn pairs(set: &ZSet) -> Vec<Vec<u8>> {
    let mut words = Vec::with_capacity(set.len() * 2);
    for (member, score) in set.iter() {
        words.push(DoubleText::new(score).as_bytes().to_vec());
        words.push(member.with_bytes(<[u8]>::to_vec));
    }
    words
}

/// Records that `key` holds exactly these scores and members.
pub fn restate_stored(ctx: &mut Ctx, key: &[u8], pairs: Vec<Vec<u8>>) {
    ctx.effect(&[b"DEL", key]);
    if pairs.is_empty() {
        return ctx.ks.effects.restate();
    }
    let mut words = vec![b"ZADD".to_vec(), key.to_vec()];
    words.extend(pairs);
    record(ctx, &words);
}

fn record(ctx: &mut Ctx, words: &[Vec<u8>]) {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    ctx.effect(&words);
    ctx.ks.effects.restate();
}
