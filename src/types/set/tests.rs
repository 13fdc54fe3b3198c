//! Sets against a model, in every form and across the changes from one to the next.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::rng::SeededRng;

type Model = BTreeSet<Vec<u8>>;

fn check(set: &Set, model: &Model) {
    let found: Vec<Vec<u8>> = set.iter().map(|member| member.to_vec()).collect();
    assert_eq!(set.len(), model.len());
    assert_eq!(found.len(), model.len());
    assert_eq!(&found.into_iter().collect::<Model>(), model);
    assert!(model.iter().all(|member| set.contains(member)));
    let (mut scanned, mut cursor) = (Model::new(), 0);
    loop {
        cursor = set.scan(cursor, 7, |member| {
            scanned.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-40..40i64).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (0..20u32).prop_map(|n| format!("m{n}").into_bytes()),
        1 => prop::sample::select(vec![b"".to_vec(), b"01".to_vec(), b"-0".to_vec(), b"+1".to_vec()]),
        1 => prop::collection::vec(any::<u8>(), 60..70),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_the_model(
        steps in prop::collection::vec((member(), 0..5u8), 0..200),
        (ints, entries) in (prop::sample::select(vec![0usize, 8, 512]), prop::sample::select(vec![0usize, 8, 128])),
    ) {
        let limits = Limits {
            set_max_intset_entries: ints,
            set_max_listpack_entries: entries,
            ..Limits::default()
        };
        let (mut set, mut model) = (Set::new(), Model::new());
        let mut rng = SeededRng::new(steps.len() as u64);
        for (member, action) in steps {
            match action {
                0 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                1 if member.len() % 2 == 0 => {
                    let popped = set.pop(&mut rng, |member| member.to_vec());
                    prop_assert_eq!(popped.is_none(), model.is_empty());
                    prop_assert!(popped.is_none_or(|member| model.remove(&member)));
                }
                _ => prop_assert_eq!(set.insert(&member, &limits), model.insert(member.clone())),
            }
            prop_assert_eq!(set.contains(&member), model.contains(&member));
        }
        check(&set, &model);
        check(&set.clone(), &model);
        if let Some(ints) = set.as_intset() {
            check(&Set::from_intset(ints.clone(), &limits), &model);
            let none = Limits { set_max_intset_entries: 0, ..limits.clone() };
            check(&Set::from_intset(ints.clone(), &none), &model);
        }
        if let Some(list) = set.as_listpack() {
            let list = list.listpack();
            check(&Set::from_listpack(list.view(), &limits).unwrap(), &model);
            let none = Limits { set_max_listpack_entries: 0, ..limits };
            check(&Set::from_listpack(list.view(), &none).unwrap(), &model);
        }
    }
}

/// What OBJECT ENCODING of Redis 8.0.6 says after the same additions.
#[test]
fn takes_the_form_that_redis_takes() {
    let limits = Limits::default();
    let ints = |count: u32| {
        let mut set = Set::new();
        (1..=count).for_each(|n| assert!(set.insert(n.to_string().as_bytes(), &limits)));
        set
    };
    let then = |mut set: Set, member: &[u8]| {
        set.insert(member, &limits);
        set.encoding_name()
    };
    assert_eq!(ints(512).encoding_name(), "intset");
    assert_eq!(ints(513).encoding_name(), "hashtable");
    assert_eq!(then(ints(127), b"a"), "listpack");
    assert_eq!(then(ints(128), b"a"), "hashtable");
    assert_eq!(then(ints(10), &[b'a'; 65]), "hashtable");
    assert_eq!(then(ints(10), &[b'a'; 64]), "listpack");
    assert_eq!(then(ints(1), b"01"), "listpack");
    assert_eq!(then(ints(1), b"9223372036854775807"), "intset");
    assert_eq!(then(ints(1), b"9223372036854775808"), "listpack");
    let mut mixed = ints(127);
    mixed.insert(b"a", &limits);
    assert_eq!(then(mixed.clone(), b"a"), "listpack");
    assert_eq!(then(mixed, b"b"), "hashtable");
    let hundred = Limits { set_max_intset_entries: 100, ..Limits::default() };
    assert_eq!(Set::with_expected(b"1", 101, &hundred).encoding_name(), "listpack");
    assert_eq!(Set::with_expected(b"1", 600, &limits).encoding_name(), "hashtable");
    assert_eq!(Set::with_expected(b"a", 3, &limits).encoding_name(), "listpack");
    let mut set = ints(1);
    set.expect(600, &limits);
    assert_eq!(set.encoding_name(), "hashtable");
}

#[test]
fn random_choices_are_even() {
    let limits = Limits::default();
    for texts in [false, true] {
        for len in [20u32, 300] {
            let mut set = Set::new();
            let name = |n: u32| if texts { format!("m{n}") } else { n.to_string() };
            (0..len).for_each(|n| assert!(set.insert(name(n).as_bytes(), &limits)));
            let mut rng = SeededRng::new(1);
            let mut hits = std::collections::BTreeMap::new();
            let draws = len * 200;
            for _ in 0..draws {
                *hits.entry(set.random(&mut rng).unwrap().to_vec()).or_insert(0u32) += 1;
            }
            assert_eq!(hits.len(), len as usize);
            assert!(hits.values().all(|&hits| (100..320).contains(&hits)), "{hits:?}");
            for count in [0, 1, len as usize / 2, len as usize, 1000] {
                let mut chosen = Model::new();
                set.sample(count, &mut rng, |member| assert!(chosen.insert(member.to_vec())));
                assert_eq!(chosen.len(), count.min(len as usize));
            }
        }
    }
}

#[test]
fn refuses_a_member_twice() {
    let mut list = crate::types::listpack::Listpack::new();
    ["a", "5", "a"].iter().for_each(|member| list.push_back(*member));
    assert!(Set::from_listpack(list.view(), &Limits::default()).is_err());
    let none = Limits { set_max_listpack_entries: 0, ..Limits::default() };
    assert!(Set::from_listpack(list.view(), &none).is_err());
}
