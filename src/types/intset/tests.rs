use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::rng::SeededRng;

#[test]
fn bytes_are_those_of_redis() {
    let set: IntSet = [70_000, 1].into_iter().collect();
    assert_eq!(*set.stored(), [4, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0x70, 0x11, 1, 0]);
    assert_eq!(set.bytes(), [3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0x70, 0x11, 1]);
    assert_eq!(IntSet::validate(&set.stored()), Ok(2));
    assert_eq!(IntSet::from_validated(&set.stored()), set);
}

#[test]
fn each_width_in_memory_has_the_one_of_redis_in_files() {
    for bits in 1..=64u32 {
        let greatest = i64::MAX >> (64 - bits);
        for value in [greatest, -greatest - 1] {
            let set: IntSet = [0, -1, value].into_iter().collect();
            let width = [2, 4, 8][usize::from(bits > 16) + usize::from(bits > 32)];
            assert_eq!(set.stored()[0], width, "{bits} bits");
            let least = [2, 3, 4, 5, 6, 8].into_iter().find(|width| u32::from(*width) * 8 >= bits);
            assert_eq!(Some(set.bytes()[0]), least, "{bits} bits");
            let again = IntSet::from_validated(&set.stored());
            assert_eq!(again, set);
            assert!(again.iter().eq(set.iter()) && again.contains(value));
        }
    }
}

#[test]
fn the_width_of_a_file_outlives_the_members_that_needed_it() {
    for (value, width) in [(70_000, 4), (1 << 40, 8)] {
        let mut set: IntSet = [1, value].into_iter().collect();
        set.remove(value);
        assert_eq!(set.stored()[0], width);
        let again = IntSet::from_validated(&set.stored());
        assert_eq!((again.stored()[0], again.max()), (width, Some(1)));
    }
}

#[test]
fn widths_grow_and_stay() {
    let mut set = IntSet::new();
    for (value, width) in [
        (i64::from(i16::MAX), 2),
        (i64::from(i16::MIN), 2),
        (i64::from(i16::MAX) + 1, 4),
        (i64::from(i32::MIN), 4),
        (i64::from(i32::MIN) - 1, 8),
        (i64::MAX, 8),
        (i64::MIN, 8),
    ] {
        assert!(set.insert(value));
        assert!(!set.insert(value));
        assert_eq!(set.stored()[0], width);
        assert_eq!(IntSet::validate(&set.stored()), Ok(set.len()));
    }
    assert!(!set.contains(0));
    assert!(set.remove(i64::MAX));
    assert_eq!(set.stored()[0], 8);
    assert_eq!(set.max(), Some(i64::from(i16::MAX) + 1));
    assert_eq!(set.min(), Some(i64::MIN));
    assert_eq!(IntSet::new().min(), None);
    assert_eq!(IntSet::new().max(), None);
}

#[test]
fn damage_is_found() {
    let good: IntSet = [1, 2, 3].into_iter().collect();
    let good = good.stored().to_vec();
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        IntSet::validate(&bad)
    };
    assert_eq!(with(0, 3), Err(InvalidIntSet::Size));
    assert_eq!(with(0, 4), Err(InvalidIntSet::Size));
    assert_eq!(with(4, 2), Err(InvalidIntSet::Size));
    assert_eq!(with(7, 0xFF), Err(InvalidIntSet::Size));
    assert_eq!(with(10, 1), Err(InvalidIntSet::Order(1)));
    assert_eq!(with(12, 0), Err(InvalidIntSet::Order(2)));
    assert_eq!(IntSet::validate(&good[..7]), Err(InvalidIntSet::Size));
    assert_eq!(IntSet::validate(&[]), Err(InvalidIntSet::Size));
    assert_eq!(IntSet::validate(&IntSet::new().stored()), Err(InvalidIntSet::Empty));
}

#[test]
fn random_reaches_every_member() {
    let set: IntSet = (0..10).collect();
    let mut rng = SeededRng::new(1);
    let drawn: BTreeSet<i64> = (0..500).filter_map(|_| set.random(&mut rng)).collect();
    assert_eq!(drawn.len(), 10);
    assert_eq!(IntSet::new().random(&mut rng), None);
}

proptest! {
    #[test]
    fn behaves_like_a_set(
        steps in prop::collection::vec(
            (any::<bool>(), prop_oneof![-20i64..20, -100_000i64..100_000, any::<i64>()]),
            0..200,
        ),
    ) {
        let mut set = IntSet::new();
        let mut model = BTreeSet::new();
        for (insert, value) in steps {
            if insert {
                prop_assert_eq!(set.insert(value), model.insert(value));
            } else {
                prop_assert_eq!(set.remove(value), model.remove(&value));
            }
            prop_assert_eq!(set.contains(value), model.contains(&value));
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
            if !model.is_empty() {
                prop_assert_eq!(IntSet::validate(&set.stored()), Ok(model.len()));
                let again = IntSet::from_validated(&set.stored());
                prop_assert!(again.iter().eq(model.iter().copied()));
                prop_assert_eq!(again.stored(), set.stored());
            }
        }
    }

    #[test]
    fn validation_never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..40),
        width in 0u8..9,
    ) {
        let _ = IntSet::validate(&bytes);
        if bytes.len() > 8 {
            let count = (bytes.len() - 8) / usize::from(width.max(1));
            bytes[..8].copy_from_slice(&[width, 0, 0, 0, count as u8, 0, 0, 0]);
            let _ = IntSet::validate(&bytes);
        }
    }
}
