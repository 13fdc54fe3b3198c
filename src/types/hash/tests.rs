//! Hashes against a model, in every form and across the changes from one to the next.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rng::SeededRng;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn check(hash: &Hash, model: &Model) {
    let found: Vec<_> = hash
        .iter_with_expire()
        .map(|(field, value, expire)| (field.to_vec(), (value.to_vec(), expire)))
        .collect();
    assert_eq!(hash.len(), model.len());
    assert_eq!(found.len(), model.len());
    assert_eq!(&found.into_iter().collect::<Model>(), model);
    for (field, (value, expire)) in model {
        assert_eq!(hash.get(field).map(|value| value.to_vec()).as_ref(), Some(value));
        assert_eq!(hash.value_len(field), Some(value.len()));
        assert_eq!(hash.field_expire(field), Some(*expire));
    }
    assert_eq!(hash.earliest_expire(), model.values().filter_map(|(_, expire)| *expire).min());
    let expiring = model.values().filter(|(_, expire)| expire.is_some()).count();
    assert_eq!(hash.expiring_len(), expiring);
    let (mut scanned, mut cursor) = (BTreeMap::new(), 0);
    loop {
        cursor = hash.scan(cursor, 7, |field, value| {
            scanned.insert(field.to_vec(), value.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert!(scanned.iter().eq(model.iter().map(|(field, (value, _))| (field, value))));
    if let Form::Packed(packed) = &hash.form {
        assert!(packed::is_sound(packed.list.listpack().view(), packed.shape));
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..30u32).prop_map(|n| format!("f{n}").into_bytes()),
        2 => (-3..20i64).prop_map(|n| n.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 62..67),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, Vec<u8>),
    Keep(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Expire(Vec<u8>, Option<u64>),
    TakeExpired(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (text(), text()).prop_map(|(f, v)| Step::Insert(f, v)),
        2 => (text(), text()).prop_map(|(f, v)| Step::Keep(f, v)),
        2 => text().prop_map(Step::Remove),
        3 => (text(), prop::option::of(1..20u64)).prop_map(|(f, t)| Step::Expire(f, t)),
        1 => (0..22u64, 0..4usize).prop_map(|(t, n)| Step::TakeExpired(t, n)),
    ]
}

fn apply(hash: &mut Hash, model: &mut Model, step: Step, limits: &Limits) {
    match step {
        Step::Insert(field, value) => {
            let added = model.insert(field.clone(), (value.clone(), None)).is_none();
            assert_eq!(hash.insert(&field, &value, limits), added);
        }
        Step::Keep(field, value) => {
            let expire = model.get(&field).and_then(|(_, expire)| *expire);
            let added = model.insert(field.clone(), (value.clone(), expire)).is_none();
            assert_eq!(hash.insert_keeping_expire(&field, &value, limits), added);
        }
        Step::Remove(field) => assert_eq!(hash.remove(&field), model.remove(&field).is_some()),
        Step::Expire(field, expire) => {
            let entry = model.get_mut(&field);
            assert_eq!(hash.set_field_expire(&field, expire), entry.is_some());
            if let Some((_, old)) = entry {
                *old = expire;
            }
        }
        Step::TakeExpired(now, max) => {
            let due = |expire: &Option<u64>| expire.is_some_and(|time| time < now);
            let mut times: Vec<u64> =
                model.values().filter_map(|(_, expire)| expire.filter(|_| due(expire))).collect();
            times.sort_unstable();
            times.truncate(max);
            let mut taken = Vec::new();
            let count = hash.take_expired(now, max, &mut |field, value| {
                let (found, expire) = model.remove(&field.to_vec()).unwrap();
                assert_eq!(found, value.to_vec());
                taken.push(expire.unwrap());
            });
            assert_eq!((count, taken), (times.len(), times));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_the_model(
        steps in prop::collection::vec(step(), 0..120),
        entries in prop::sample::select(vec![0usize, 12, 512]),
    ) {
        let limits = Limits { hash_max_listpack_entries: entries, ..Limits::default() };
        let (mut hash, mut model) = (Hash::new(), Model::new());
        for step in steps {
            apply(&mut hash, &mut model, step, &limits);
        }
        check(&hash, &model);
        check(&hash.clone(), &model);
        let mut loaded = Hash::with_expected(model.len(), &limits);
        for (field, (value, expire)) in &model {
            prop_assert!(loaded.insert_with_expire(field, value, *expire, &limits));
        }
        check(&loaded, &model);
        if let Some((list, timed)) = hash.as_listpack() {
            let load = if timed { Hash::from_timed_listpack } else { Hash::from_listpack };
            let list = list.listpack();
            check(&load(list.view(), &limits).unwrap(), &model);
            let none = Limits { hash_max_listpack_entries: 0, ..limits };
            check(&load(list.view(), &none).unwrap(), &model);
        }
    }
}

proptest! {
    /// Order, form and all: what is taken in one piece is what one after the other would make.
    #[test]
    fn many_fields_are_taken_as_one_after_the_other(
        before in prop::collection::vec((text(), text()), 0..3),
        pairs in prop::collection::vec((text(), text()), 0..20),
        entries in prop::sample::select(vec![0usize, 3, 512]),
        timed: bool,
    ) {
        let limits = Limits { hash_max_listpack_entries: entries, ..Limits::default() };
        let mut hashes = [Hash::new(), Hash::new()];
        for hash in &mut hashes {
            for (field, value) in &before {
                hash.insert(field, value, &limits);
            }
            if timed {
                hash.keep_times();
            }
        }
        let [many, single] = &mut hashes;
        let slices = pairs.iter().map(|(field, value)| (field.as_slice(), value.as_slice()));
        let added = many.insert_many(slices.clone(), &limits);
        let one = |(field, value)| usize::from(single.insert(field, value, &limits));
        prop_assert_eq!(added, slices.map(one).sum::<usize>());
        prop_assert_eq!(many.encoding_name(), single.encoding_name());
        let [many, single] = hashes.each_ref().map(|hash| {
            let mut all: Vec<_> =
                hash.iter_with_expire().map(|(f, v, at)| (f.to_vec(), v.to_vec(), at)).collect();
            if hash.as_table().is_some() {
                all.sort();
            }
            all
        });
        prop_assert_eq!(many, single);
    }
}

/// What OBJECT ENCODING of Redis 8.0.6 says after the same commands.
#[test]
fn takes_the_form_that_redis_takes() {
    let limits = Limits::default();
    let fields = |count: u32| {
        let mut hash = Hash::new();
        (0..count).for_each(|n| assert!(hash.insert(format!("f{n}").as_bytes(), b"v", &limits)));
        hash
    };
    assert_eq!(fields(512).encoding_name(), "listpack");
    assert_eq!(fields(513).encoding_name(), "hashtable");
    let mut hash = fields(512);
    hash.insert(b"f1", b"w", &limits);
    assert_eq!(hash.encoding_name(), "listpack");
    assert!(!hash.set_field_expire(b"none", Some(5)));
    assert_eq!(hash.encoding_name(), "listpack");
    assert!(hash.set_field_expire(b"f1", Some(5)));
    assert_eq!(hash.encoding_name(), "listpackex");
    hash.insert(b"x", b"1", &limits);
    assert_eq!((hash.encoding_name(), hash.field_expire(b"f1")), ("hashtable", Some(Some(5))));
    for (field, value, name) in [(1, 64, "listpack"), (1, 65, "hashtable"), (65, 1, "hashtable")] {
        let mut hash = fields(3);
        hash.insert(&vec![b'a'; field], &vec![b'a'; value], &limits);
        assert_eq!(hash.encoding_name(), name);
    }
    let mut hash = fields(3);
    hash.expect(512, &limits);
    assert_eq!(hash.encoding_name(), "listpack");
    hash.expect(513, &limits);
    assert_eq!(hash.encoding_name(), "hashtable");
}

/// The order in which HGETALL of Redis 8.0.6 shows the fields.
#[test]
fn fields_with_times_stand_where_redis_puts_them() {
    let limits = Limits::default();
    let order = |hash: &Hash| -> String {
        hash.iter().flat_map(|(field, _)| field.to_vec()).map(char::from).collect()
    };
    let mut hash = Hash::new();
    for field in ["a", "b", "c", "d"] {
        hash.insert(field.as_bytes(), b"1", &limits);
    }
    for field in ["c", "b", "d"] {
        hash.set_field_expire(field.as_bytes(), Some(9));
    }
    assert_eq!(order(&hash), "dbca");
    hash.set_field_expire(b"c", None);
    assert_eq!((order(&hash).as_str(), hash.encoding_name()), ("dbac", "listpackex"));
    hash.set_field_expire(b"b", Some(8));
    assert_eq!(order(&hash), "bdac");
    hash.insert(b"a", b"2", &limits);
    assert_eq!(order(&hash), "bdac");
    hash.insert_keeping_expire(b"d", b"2", &limits);
    assert_eq!(order(&hash), "bdac");
    hash.insert(b"b", b"2", &limits);
    assert_eq!(order(&hash), "dacb");
    hash.insert(b"e", b"2", &limits);
    assert_eq!(order(&hash), "dacbe");
}

#[test]
fn random_choices_are_even() {
    let limits = Limits::default();
    for len in [10u32, 600] {
        let mut hash = Hash::new();
        (0..len).for_each(|n| assert!(hash.insert(n.to_string().as_bytes(), b"v", &limits)));
        let mut rng = SeededRng::new(2);
        let mut hits = BTreeMap::new();
        for _ in 0..len * 200 {
            let (field, _) = hash.random(&mut rng).unwrap();
            *hits.entry(field.to_vec()).or_insert(0u32) += 1;
        }
        assert_eq!(hits.len(), len as usize);
        assert!(hits.values().all(|&hits| (100..320).contains(&hits)), "{hits:?}");
        for count in [0, 3, len as usize / 2, len as usize, 1000] {
            let mut chosen = BTreeMap::new();
            hash.sample(count, &mut rng, |field, value| {
                assert!(chosen.insert(field.to_vec(), value.to_vec()).is_none());
            });
            assert_eq!(chosen.len(), count.min(len as usize));
        }
    }
}

#[test]
fn refuses_what_is_no_hash() {
    let list = |elements: &[&str]| {
        let mut list = crate::types::listpack::Listpack::new();
        elements.iter().for_each(|element| list.push_back(*element));
        list
    };
    let limits = Limits::default();
    let pairs = |elements: &[&str]| Hash::from_listpack(list(elements).view(), &limits);
    let triples = |elements: &[&str]| Hash::from_timed_listpack(list(elements).view(), &limits);
    assert!(pairs(&["a", "1", "b", "1"]).is_ok());
    assert!(pairs(&["a", "1", "b"]).is_err());
    assert!(pairs(&["a", "1", "a", "1"]).is_err());
    assert!(triples(&["a", "1", "5", "b", "1", "0"]).is_ok());
    assert!(triples(&["a", "1", "5", "b", "1"]).is_err());
    assert!(triples(&["a", "1", "0", "b", "1", "5"]).is_err());
    assert!(triples(&["a", "1", "6", "b", "1", "5"]).is_err());
    assert!(triples(&["a", "1", "x"]).is_err());
    assert!(triples(&["a", "1", "-1"]).is_err());
}
