//! Choosing several different items of a collection by chance (SRANDMEMBER, HRANDFIELD and
//! ZRANDMEMBER with a positive count).

use std::collections::HashSet;

use crate::rng::Rng;

/// Shows `count` of the `len` items to `f`, every such choice equally likely, in the order of
/// `items`. Walks `items` until the last one chosen; few of many cost few random numbers.
pub(super) fn select<T>(
    items: impl Iterator<Item = T>,
    len: usize,
    count: usize,
    rng: &mut dyn Rng,
    mut f: impl FnMut(T),
) {
    let mut items = items;
    if count < len / 4 {
        let mut passed = 0;
        for place in places(len, count, rng) {
            let Some(item) = items.nth(place - passed) else { return };
            f(item);
            passed = place + 1;
        }
        return;
    }
    // Knuth's selection sampling.
    let (mut wanted, mut left) = (count.min(len), len);
    for item in items {
        if wanted == 0 {
            return;
        }
        if rng.index(left) < wanted {
            wanted -= 1;
            f(item);
        }
        left = left.saturating_sub(1);
    }
}

/// `count` different numbers below `len` in their order, every choice equally likely (Floyd's algorithm).
fn places(len: usize, count: usize, rng: &mut dyn Rng) -> Vec<usize> {
    let mut places = Vec::with_capacity(count);
    for top in len - count..len {
        let place = rng.index(top + 1);
        match places.binary_search(&place) {
            Err(at) => places.insert(at, place),
            // It is taken: the number that could not come before is as likely, and the greatest.
            Ok(_) => places.push(top),
        }
    }
    places
}

/// As [`select`] for a collection that `draw` takes single items from: few of many are drawn until
/// they differ (an item is told by its address), many are selected in one walk.
pub(super) fn distinct<'a, T: 'a>(
    items: impl Iterator<Item = &'a T>,
    len: usize,
    count: usize,
    rng: &mut dyn Rng,
    draw: impl Fn(&mut dyn Rng) -> Option<&'a T>,
    mut f: impl FnMut(&'a T),
) {
    if count > len / 3 {
        return select(items, len, count, rng, f);
    }
    let mut seen = HashSet::with_capacity(count);
    while seen.len() < count {
        let Some(item) = draw(rng) else { return };
        if seen.insert(std::ptr::from_ref(item).addr()) {
            f(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    #[test]
    fn every_item_is_as_likely() {
        let items: Vec<usize> = (0..20).collect();
        for count in [1, 5, 6, 7, 19, 20, 30] {
            let mut rng = SeededRng::new(count as u64);
            let mut hits = [0u32; 20];
            for _ in 0..4000 {
                let mut chosen = HashSet::new();
                let draw = |rng: &mut dyn Rng| items.get(rng.index(items.len()));
                distinct(items.iter(), 20, count, &mut rng, draw, |item| {
                    assert!(chosen.insert(*item));
                    hits[*item] += 1;
                });
                assert_eq!(chosen.len(), count.min(20));
            }
            let expected = 4000.0 * count.min(20) as f64 / 20.0;
            let off = |hits: u32| (f64::from(hits) - expected).abs() / expected.sqrt();
            assert!(hits.iter().all(|&hits| off(hits) < 5.0), "{count}: {hits:?}");
        }
    }
}
