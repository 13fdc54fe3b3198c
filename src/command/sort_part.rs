//! Sorting of a part as Redis does it, where equal elements show in which order it compares and swaps.
//!
//! A whole result keeps equal elements in order, as a stable sort does. When only some
//! places of the result are wanted, Redis takes the quicksort of Bentley and McIlroy and leaves alone
//! what holds none of them; which of several equal elements stands where then follows from its
//! choice of pivots, so it is the same here.

use std::cmp::Ordering;
use std::ops::Range;

/// Below this many elements they are inserted one by one.
const FEW: usize = 7;
/// Above this many elements the pivot is a median of nine, not of three.
const MANY: usize = 40;

/// Sorts so that the places of `wanted` hold what they would hold if all was sorted. Takes any comparison, also
/// one that is no order.
pub fn sort_part<T>(
    items: &mut [T],
    wanted: &Range<usize>,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
) {
    quicksort(items, 0, wanted, compare);
}

/// `offset` is the place of the first element among all.
fn quicksort<T>(
    mut items: &mut [T],
    mut offset: usize,
    wanted: &Range<usize>,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
) {
    loop {
        let len = items.len();
        if len < FEW {
            insert_each(items, compare);
            return;
        }
        let pivot = pivot(items, compare);
        items.swap(0, pivot);
        let (less, more) = partition(items, compare);
        let holds =
            |from: usize, len: usize| len > 1 && from < wanted.end && wanted.start < from + len;
        let (low, high) = ((0, less), (len - more, more));
        // Neither side's result depends on the other's: the longer one is next, so that the stack is never deep.
        let (shorter, longer) = if less < more { (low, high) } else { (high, low) };
        let (from, count) = shorter;
        if holds(offset + from, count) {
            quicksort(&mut items[from..from + count], offset + from, wanted, compare);
        }
        let (from, count) = longer;
        if !holds(offset + from, count) {
            return;
        }
        items = &mut items[from..from + count];
        offset += from;
    }
}

fn insert_each<T>(items: &mut [T], compare: &mut impl FnMut(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && compare(&items[at - 1], &items[at]) == Ordering::Greater {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn pivot<T>(items: &[T], compare: &mut impl FnMut(&T, &T) -> Ordering) -> usize {
    let len = items.len();
    let (mut low, mut middle, mut high) = (0, len / 2, len - 1);
    if len > FEW {
        if len > MANY {
            let step = len / 8;
            low = median(items, [low, low + step, low + 2 * step], compare);
            middle = median(items, [middle - step, middle, middle + step], compare);
            high = median(items, [high - 2 * step, high - step, high], compare);
        }
        middle = median(items, [low, middle, high], compare);
    }
    middle
}

fn median<T>(
    items: &[T],
    [a, b, c]: [usize; 3],
    compare: &mut impl FnMut(&T, &T) -> Ordering,
) -> usize {
    let mut order = |a: usize, b: usize| compare(&items[a], &items[b]);
    if order(a, b) == Ordering::Less {
        if order(b, c) == Ordering::Less {
            b
        } else if order(a, c) == Ordering::Less {
            c
        } else {
            a
        }
    } else if order(b, c) == Ordering::Greater {
        b
    } else if order(a, c) == Ordering::Less {
        a
    } else {
        c
    }
}

/// Splits by the first element, the pivot: what is less comes first, what is more last, what is equal between
/// them. Returns how many are less and how many are more.
fn partition<T>(items: &mut [T], compare: &mut impl FnMut(&T, &T) -> Ordering) -> (usize, usize) {
    let len = items.len();
    // Equal ones gather at both ends: before `equal_low`, and from `equal_high` on. `high` is one beyond.
    let (mut equal_low, mut low) = (1, 1);
    let (mut high, mut equal_high) = (len, len);
    loop {
        while low < high {
            let order = compare(&items[low], &items[0]);
            if order == Ordering::Greater {
                break;
            }
            if order == Ordering::Equal {
                items.swap(equal_low, low);
                equal_low += 1;
            }
            low += 1;
        }
        while low < high {
            let order = compare(&items[high - 1], &items[0]);
            if order == Ordering::Less {
                break;
            }
            if order == Ordering::Equal {
                items.swap(high - 1, equal_high - 1);
                equal_high -= 1;
            }
            high -= 1;
        }
        if low >= high {
            break;
        }
        items.swap(low, high - 1);
        low += 1;
        high -= 1;
    }
    let (less, more) = (low - equal_low, equal_high - high);
    swap_blocks(items, 0, low, equal_low.min(less));
    swap_blocks(items, low, len, more.min(len - equal_high));
    (less, more)
}

/// Exchanges `count` elements from `first` on with as many before `end`.
fn swap_blocks<T>(items: &mut [T], first: usize, end: usize, count: usize) {
    for at in 0..count {
        items.swap(first + at, end - count + at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with few different tens: what is compared; the ones tell equal ones apart.
    fn numbers(len: usize) -> Vec<usize> {
        (0..len).map(|at| (at * 7919 + at * at) % 13 * 1000 + at).collect()
    }

    fn by_thousands(a: &usize, b: &usize) -> Ordering {
        (a / 1000).cmp(&(b / 1000))
    }

    #[test]
    fn what_is_wanted_stands_where_it_belongs() {
        for len in 0..150 {
            let mut sorted = numbers(len);
            sorted.sort_by(by_thousands);
            for wanted in [0..len, 0..len / 3, len / 3..len / 2, len.saturating_sub(2)..len] {
                let mut items = numbers(len);
                sort_part(&mut items, &wanted, &mut by_thousands);
                let keys = |items: &[usize]| -> Vec<usize> {
                    items[wanted.clone()].iter().map(|item| item / 1000).collect()
                };
                assert_eq!(keys(&items), keys(&sorted), "{wanted:?} of {len}");
                items.sort_unstable();
                sorted.sort_unstable();
                assert_eq!(items, sorted, "nothing is lost");
                sorted.sort_by(by_thousands);
            }
        }
    }

    #[test]
    fn a_comparison_that_is_no_order_ends_too() {
        for wanted in [0..100, 0..10] {
            let mut items = numbers(100);
            sort_part(&mut items, &wanted, &mut |_, _| Ordering::Less);
            sort_part(&mut items, &wanted, &mut |_, _| Ordering::Greater);
            items.sort_unstable();
            let mut all = numbers(100);
            all.sort_unstable();
            assert_eq!(items, all);
        }
    }

    /// M. D. McIlroy, "A Killer Adversary for Quicksort" (1999): values are chosen while they are compared, so that
    /// each pivot is one of the smallest or, turned round, of the largest. A small stack has to do.
    #[test]
    fn no_input_needs_a_deep_stack() {
        const COUNT: usize = 20_000;
        fn play(turned: bool) -> usize {
            let (mut values, mut solid, mut candidate) = (vec![usize::MAX; COUNT], 0, 0);
            let mut adversary = |a: &usize, b: &usize| {
                if values[*a] == usize::MAX && values[*b] == usize::MAX {
                    values[if *a == candidate { *a } else { *b }] = solid;
                    solid += 1;
                }
                if values[*a] == usize::MAX {
                    candidate = *a;
                } else if values[*b] == usize::MAX {
                    candidate = *b;
                }
                let order = values[*a].cmp(&values[*b]);
                if turned { order.reverse() } else { order }
            };
            let mut items: Vec<usize> = (0..COUNT).collect();
            sort_part(&mut items, &(1..COUNT), &mut adversary);
            solid
        }
        for turned in [false, true] {
            let thread = std::thread::Builder::new().stack_size(64 << 10);
            let chosen = thread.spawn(move || play(turned)).unwrap().join().unwrap();
            assert!(chosen > COUNT / 2, "the adversary had its way");
        }
    }
}
