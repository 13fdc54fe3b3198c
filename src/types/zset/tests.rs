//! Sorted sets against a model, in both forms and across the change from one to the other.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rng::{Rng, SeededRng};

type Model = BTreeMap<Vec<u8>, f64>;

fn sorted(model: &Model) -> Vec<(Vec<u8>, f64)> {
    let mut pairs: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    pairs.sort_by(|one, two| one.1.partial_cmp(&two.1).unwrap().then_with(|| one.0.cmp(&two.0)));
    pairs
}

fn collect(iter: Iter<'_>) -> Vec<(Vec<u8>, f64)> {
    iter.map(|(member, score)| (member.to_vec(), score)).collect()
}

fn check(set: &ZSet, model: &Model) {
    let wanted = sorted(model);
    assert_eq!(collect(set.iter()), wanted);
    assert_eq!(set.len(), wanted.len());
    for (rank, (member, score)) in wanted.iter().enumerate() {
        assert_eq!(set.rank(member), Some((rank, *score)));
        assert_eq!(set.rev_rank(member), Some((wanted.len() - 1 - rank, *score)));
        assert_eq!(
            set.at(rank).map(|(member, score)| (member.to_vec(), score)),
            Some(wanted[rank].clone())
        );
    }
    if let Some(list) = set.view() {
        assert!(packed::is_sound(list));
    }
    let mut scanned = Model::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, 10, |member, score| {
            scanned.insert(member.to_vec(), score);
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
}

fn limits(entries: usize) -> Limits {
    Limits { zset_max_listpack_entries: entries, ..Limits::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, f64),
    Add(Vec<u8>, f64),
    Remove(Vec<u8>),
    PopMin,
    PopMax,
    RemoveRanks(usize, usize),
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..60u32).prop_map(|n| n.to_string().into_bytes()),
        (0..60u32).prop_map(|n| format!("m{n}").into_bytes()),
        prop::collection::vec(0..3u8, 0..3),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-3..3i32).prop_map(f64::from),
        (-1000..1000i32).prop_map(|n| f64::from(n) / 8.0),
        prop::sample::select(vec![
            0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
            -1e300,
            5e-324,
            0.1,
            4.7e18,
            -4.7e18,
            1e17
        ]),
        prop::num::f64::NORMAL,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (member(), score()).prop_map(|(m, s)| Step::Insert(m, s)),
        2 => (member(), -2..3i32).prop_map(|(m, s)| Step::Add(m, f64::from(s))),
        2 => member().prop_map(Step::Remove),
        1 => Just(Step::PopMin),
        1 => Just(Step::PopMax),
        1 => (0..80usize, 0..6usize).prop_map(|(at, n)| Step::RemoveRanks(at, n)),
    ]
}

fn apply(set: &mut ZSet, model: &mut Model, step: &Step, limits: &Limits) {
    match step {
        Step::Insert(member, score) => {
            let wanted = match model.insert(member.clone(), *score) {
                None => Change::Added,
                Some(old) if old == *score => Change::Same,
                Some(_) => Change::Updated,
            };
            assert_eq!(set.insert(member, *score, limits), wanted);
        }
        Step::Add(member, by) => {
            let old = model.get(member).copied();
            let wanted = old.map(|old| old + by).filter(|score| !score.is_nan());
            let change = set.upsert(member, limits, |found| {
                assert_eq!(found, old);
                wanted
            });
            assert_eq!(change == Change::Skipped, wanted.is_none());
            if let Some(score) = wanted {
                model.insert(member.clone(), score);
            }
        }
        Step::Remove(member) => assert_eq!(set.remove(member), model.remove(member)),
        Step::PopMin | Step::PopMax => {
            let order = sorted(model);
            let show = |member: Element<'_>, score: f64| (member.to_vec(), score);
            let (popped, wanted) = match step {
                Step::PopMin => (set.pop_min(show), order.first()),
                _ => (set.pop_max(show), order.last()),
            };
            assert_eq!(popped.as_ref(), wanted);
            wanted.map(|(member, _)| model.remove(member));
        }
        Step::RemoveRanks(start, count) => {
            let order = sorted(model);
            let end = (start + count).min(order.len());
            let wanted = order.get(*start..end).unwrap_or_default();
            let mut gone = Vec::new();
            let removed = set.remove_ranks(*start..start + count, &mut |member, score| {
                gone.push((member.to_vec(), score));
            });
            assert_eq!((removed, gone.as_slice()), (wanted.len(), wanted));
            wanted.iter().for_each(|(member, _)| assert!(model.remove(member).is_some()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_the_model(
        steps in prop::collection::vec(step(), 0..150),
        entries in prop::sample::select(vec![0usize, 10, 40, 128]),
    ) {
        let limits = limits(entries);
        let (mut set, mut model) = (ZSet::new(), Model::new());
        for step in &steps {
            apply(&mut set, &mut model, step, &limits);
        }
        check(&set, &model);
        check(&set.clone(), &model);
        let rebuilt = ZSet::from_pairs(model_pairs(&model), &limits).unwrap();
        check(&rebuilt, &model);
        if let Some(list) = set.as_listpack() {
            check(&ZSet::from_listpack(list.clone(), &limits).unwrap(), &model);
            check(&ZSet::from_listpack(list.clone(), &self::limits(0)).unwrap(), &model);
        }
    }

    #[test]
    fn ranges_by_score_and_lex(
        pairs in prop::collection::btree_map(member(), -4..4i32, 0..80),
        bounds in (-5..5i32, any::<bool>(), -5..5i32, any::<bool>()),
        ends in (member(), 0..4u8, member(), 0..4u8),
        entries in prop::sample::select(vec![0usize, 128]),
    ) {
        let limits = limits(entries);
        let bound = |score: i32, open: bool| match open {
            true => ScoreBound::Exclusive(f64::from(score)),
            false => ScoreBound::Inclusive(f64::from(score)),
        };
        let (min, max) = (bound(bounds.0, bounds.1), bound(bounds.2, bounds.3));
        let model: Model = pairs.iter().map(|(m, s)| (m.clone(), f64::from(*s))).collect();
        let set = ZSet::from_pairs(model_pairs(&model), &limits).unwrap();
        let above = |score: f64| match min {
            ScoreBound::Inclusive(bound) => score >= bound,
            ScoreBound::Exclusive(bound) => score > bound,
        };
        let below = |score: f64| match max {
            ScoreBound::Inclusive(bound) => score <= bound,
            ScoreBound::Exclusive(bound) => score < bound,
        };
        let mut wanted = sorted(&model);
        wanted.retain(|(_, score)| above(*score) && below(*score));
        let ranks = set.ranks_by_score(min, max);
        prop_assert_eq!(ranks.len(), wanted.len());
        prop_assert_eq!(collect(set.range(ranks.clone(), Direction::Forward)), wanted.clone());
        wanted.reverse();
        prop_assert_eq!(collect(set.range(ranks, Direction::Reverse)), wanted);

        let flat: Model = model.keys().map(|m| (m.clone(), 1.5)).collect();
        let set = ZSet::from_pairs(model_pairs(&flat), &limits).unwrap();
        fn lex(member: &[u8], kind: u8) -> LexBound<'_> {
            match kind {
                0 => LexBound::Min,
                1 => LexBound::Max,
                2 => LexBound::Inclusive(member),
                _ => LexBound::Exclusive(member),
            }
        }
        let (min, max) = (lex(&ends.0, ends.1), lex(&ends.2, ends.3));
        let wanted: Vec<_> = sorted(&flat).into_iter().filter(|(member, _)| {
            let above = match min {
                LexBound::Min => true,
                LexBound::Max => false,
                LexBound::Inclusive(bound) => member.as_slice() >= bound,
                LexBound::Exclusive(bound) => member.as_slice() > bound,
            };
            above && match max {
                LexBound::Min => false,
                LexBound::Max => true,
                LexBound::Inclusive(bound) => member.as_slice() <= bound,
                LexBound::Exclusive(bound) => member.as_slice() < bound,
            }
        }).collect();
        let ranks = set.ranks_by_lex(min, max);
        prop_assert_eq!(collect(set.range(ranks, Direction::Forward)), wanted);
    }
}

fn model_pairs(model: &Model) -> Vec<(Vec<u8>, f64)> {
    model.iter().map(|(member, score)| (member.clone(), *score)).collect()
}

#[test]
fn leaves_the_small_form_where_redis_does() {
    let limits = Limits::default();
    let mut set = ZSet::new();
    for n in 0..128 {
        set.insert(format!("m{n}").as_bytes(), f64::from(n), &limits);
    }
    assert_eq!(set.encoding_name(), "listpack");
    set.insert(b"m5", 7.0, &limits);
    assert_eq!(set.encoding_name(), "listpack");
    set.insert(b"x", 7.0, &limits);
    assert_eq!(set.encoding_name(), "skiplist");

    let mut set = ZSet::new();
    set.insert(&[b'a'; 64], 1.0, &limits);
    assert_eq!(set.encoding_name(), "listpack");
    assert_eq!(set.upsert(&[b'a'; 65], &limits, |_| None), Change::Skipped);
    assert_eq!(set.encoding_name(), "listpack");
    set.insert(&[b'a'; 65], 1.0, &limits);
    assert_eq!(set.encoding_name(), "skiplist");

    let mut set = ZSet::with_expected(128, 64, &limits);
    assert_eq!(set.encoding_name(), "listpack");
    set.expect(129, &limits);
    assert_eq!(set.encoding_name(), "skiplist");
    assert_eq!(ZSet::with_expected(129, 1, &limits).encoding_name(), "skiplist");
    assert_eq!(ZSet::with_expected(1, 65, &limits).encoding_name(), "skiplist");
}

#[test]
fn the_listpack_has_redis_bytes() {
    // DUMP of Redis 8.0.6 shows these elements, in this order.
    let scores = [
        ("a", -0.0),
        ("b", 1e30),
        ("c", 0.1),
        ("d", 3.0),
        ("e", f64::NEG_INFINITY),
        ("f", f64::INFINITY),
        ("g", 123_456_789_012_345_678.0),
        ("h", f64::MAX),
        ("i", 5e-324),
        ("j", 0.300_000_000_000_000_04),
        ("k", 9_007_199_254_740_992.0),
        ("l", 9_223_372_036_854_775_808.0),
        ("m", -9_223_372_036_854_775_808.0),
    ];
    let set = ZSet::from_pairs(scores, &Limits::default()).unwrap();
    let texts: Vec<String> = set
        .as_listpack()
        .unwrap()
        .view()
        .iter()
        .map(|element| String::from_utf8(element.to_vec()).unwrap())
        .collect();
    let wanted = "e -inf m -9223372036854776000 a 0 i 5e-324 c 0.1 j 0.30000000000000004 d 3 \
        k 9007199254740992 g 123456789012345680 l 9223372036854776000 b 1e+30 \
        h 1.7976931348623157e+308 f inf";
    assert_eq!(texts.join(" "), wanted);
    assert_eq!(set.score(b"m"), Some(-9_223_372_036_854_775_808.0));
}

#[test]
fn refuses_what_is_no_sorted_set() {
    let limits = Limits::default();
    let list = |elements: &[&str]| {
        let mut list = Listpack::new();
        elements.iter().for_each(|element| list.push_back(*element));
        ZSet::from_listpack(list, &limits)
    };
    assert!(list(&["a", "1", "b", "1"]).is_ok());
    assert!(list(&["a"]).is_err());
    assert!(list(&["a", "x"]).is_err());
    assert!(list(&["a", "nan"]).is_err());
    assert!(list(&["a", "1", "a", "2"]).is_err());
    assert!(list(&["b", "1", "b", "1"]).is_err());
    let unsorted = list(&["b", "2", "a", "1"]).unwrap();
    assert_eq!(collect(unsorted.iter()), [(b"a".to_vec(), 1.0), (b"b".to_vec(), 2.0)]);
    assert!(ZSet::from_pairs([("a", 1.0), ("a", 2.0)], &limits).is_err());
    assert!(ZSet::from_pairs([("a", f64::NAN)], &limits).is_err());
}

#[test]
fn large_sets_stay_exact() {
    let limits = Limits::default();
    let mut rng = SeededRng::new(3);
    let (mut set, mut model) = (ZSet::new(), Model::new());
    for _ in 0..20_000 {
        let member = rng.below(5000).to_string().into_bytes();
        let score = rng.below(100) as f64 / 4.0;
        if rng.below(4) == 0 {
            assert_eq!(set.remove(&member), model.remove(&member));
        } else {
            set.insert(&member, score, &limits);
            model.insert(member, score);
        }
    }
    check(&set, &model);
    let before = collect(set.iter());
    let shared = set.share().unwrap();
    for n in 0..5000 {
        set.upsert(n.to_string().as_bytes(), &limits, |old| old.map(|score| score + 10.0));
    }
    let still: Vec<_> =
        shared.iter().map(|entry| (entry.member().to_vec(), entry.score())).collect();
    assert_eq!(still, before);
    assert!(set.random(&mut rng).is_some());
}

#[test]
fn random_choices_are_even() {
    for entries in [0, 128] {
        let limits = limits(entries);
        let pairs = (0..100u32).map(|n| (n.to_string(), f64::from(n / 7)));
        let set = ZSet::from_pairs(pairs, &limits).unwrap();
        let mut rng = SeededRng::new(2);
        let mut hits = BTreeMap::new();
        for _ in 0..20_000 {
            let (member, _) = set.random(&mut rng).unwrap();
            *hits.entry(member.to_vec()).or_insert(0u32) += 1;
        }
        assert_eq!(hits.len(), 100);
        assert!(hits.values().all(|&hits| (100..320).contains(&hits)), "{hits:?}");
        for count in [0, 3, 60, 100, 1000] {
            let mut chosen = Model::new();
            set.sample(count, &mut rng, |member, score| {
                assert!(chosen.insert(member.to_vec(), score).is_none());
            });
            assert_eq!(chosen.len(), count.min(100));
            assert!(chosen.iter().all(|(member, score)| set.score(member) == Some(*score)));
        }
    }
}

#[test]
fn a_shared_order_may_go_to_another_thread() {
    fn assert_send<T: Send + Sync>() {}
    assert_send::<ZSet>();
    assert_send::<Tree<ThinScored>>();
}

#[test]
fn a_set_built_at_once_is_the_one_built_member_by_member() {
    let limits = Limits::default();
    let score = |index: u32| f64::from(index.wrapping_mul(2_654_435_761) >> 20);
    for count in [0, 1, 5, 128, 129, 1000, 5000] {
        let pairs: Vec<(String, f64)> =
            (0..count).map(|index| (format!("member {index}"), score(index))).collect();
        let expected = ZSet::from_pairs(pairs.iter().map(|(m, s)| (m, *s)), &limits).unwrap();
        let sorted: Vec<(Vec<u8>, f64)> =
            expected.iter().map(|(member, score)| (member.to_vec(), score)).collect();
        let items = |pairs: &mut dyn Iterator<Item = (Vec<u8>, f64)>| -> Vec<ThinScored> {
            pairs.map(|(member, score)| ThinScored::new(score, &member)).collect()
        };
        let orders = [
            items(&mut pairs.iter().map(|(member, score)| (member.clone().into_bytes(), *score))),
            items(&mut sorted.iter().cloned()),
            items(&mut sorted.iter().rev().cloned()),
        ];
        for order in orders {
            let set = ZSet::from_items(order.clone(), &limits).unwrap();
            assert_eq!(set.encoding_name(), expected.encoding_name());
            let found = set.iter().map(|(member, score)| (member.to_vec(), score));
            assert!(found.eq(sorted.iter().cloned()), "{count}");
            let all_found = sorted.iter().all(|(member, score)| set.score(member) == Some(*score));
            assert!(all_found, "{count}");
            if let Some(first) = order.first() {
                let twice = ThinScored::new(first.score() + 1.0, first.member());
                let order = order.iter().cloned().chain([twice]).collect();
                assert!(ZSet::from_items(order, &limits).is_err(), "{count}");
            }
        }
    }
}

#[test]
fn a_negative_zero_in_a_file_stays_one() {
    let items = vec![ThinScored::new(-0.0, b"minus"), ThinScored::new(1.0, b"one")];
    let set = ZSet::from_items(items, &Limits::default()).unwrap();
    assert!(set.score(b"minus").unwrap().is_sign_negative());
}
