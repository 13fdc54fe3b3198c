//! The table against the standard library's map, through growth, shrinking and walks.

use super::*;
use crate::rng::{Rng, SeededRng};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

#[derive(Clone, PartialEq, Debug)]
struct Item(Box<(String, u32)>);

impl Slot for Item {
    fn key(&self) -> &[u8] {
        self.0.0.as_bytes()
    }
}

fn item(key: u32, value: u32) -> Item {
    Item(Box::new((format!("key:{key}"), value)))
}

fn hash_of(key: u32) -> u64 {
    hash64(format!("key:{key}").as_bytes())
}

fn filled(count: u32) -> Table<Item> {
    let mut table = Table::new();
    for key in 0..count {
        table.insert_new(hash_of(key), item(key, key));
    }
    table
}

fn find<M: SegmentMeta>(table: &Table<Item, M>, key: u32) -> Option<u32> {
    table.find(hash_of(key), format!("key:{key}").as_bytes()).map(|item| item.0.1)
}

fn remove<M: SegmentMeta>(table: &mut Table<Item, M>, key: u32) -> Option<u32> {
    table.remove(hash_of(key), format!("key:{key}").as_bytes()).map(|item| item.0.1)
}

/// Checks every entry, the walks and the counts against the model.
fn check<M: SegmentMeta>(table: &Table<Item, M>, model: &HashMap<u32, u32>) {
    assert_eq!(table.len(), model.len());
    for (&key, &value) in model {
        assert_eq!(find(table, key), Some(value), "key {key}");
    }
    assert_eq!(table.iter().count(), model.len());
    let (mut position, mut walked, mut segments) = (Some(0), HashSet::new(), 0);
    while let Some(at) = position {
        let segment = table.segment_at(at);
        for entry in segment.entries() {
            assert!(entry.hash() >= at && segment.next().is_none_or(|next| entry.hash() < next));
            assert!(walked.insert(entry.key().to_vec()), "seen twice");
        }
        segments += 1;
        position = segment.next();
    }
    assert_eq!(walked.len(), model.len());
    assert_eq!(segments, table.segment_count());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Phases of mostly inserting and mostly removing, so that splits and merges both happen.
    #[test]
    fn agrees_with_a_map(seed: u64, phases in prop::collection::vec((0u64..=10, 1usize..2500), 1..6)) {
        let mut rng = SeededRng::new(seed);
        let (mut table, mut model) = (Table::<Item>::new(), HashMap::new());
        for (insert_tenths, steps) in phases {
            for step in 0..steps {
                let (key, value) = (rng.below(3000) as u32, step as u32);
                if rng.below(10) < insert_tenths {
                    let old = table.replace(hash_of(key), item(key, value)).map(|item| item.0.1);
                    prop_assert_eq!(old, model.insert(key, value));
                } else {
                    prop_assert_eq!(remove(&mut table, key), model.remove(&key));
                }
            }
            check(&table, &model);
        }
    }

    /// What stays in the table from the start of a walk to its end is seen: exactly once by a walk
    /// over segments, at least once by SCAN; whatever comes and goes in between.
    #[test]
    fn walks_see_what_stays(seed: u64, count in 1usize..40, change in 0u32..120, grow: bool) {
        let mut rng = SeededRng::new(seed);
        let mut table = filled(if grow { 500 } else { 4000 });
        // The first 400 stay; the others come and go.
        let (mut scanned, mut walked) = (HashSet::new(), HashMap::<u32, u32>::new());
        let (mut cursor, mut position, mut extra) = (0, Some(0), 4000);
        loop {
            cursor = table.scan(cursor, count, |item| { scanned.insert(item.0.1); });
            if let Some(at) = position {
                let segment = table.segment_at(at);
                segment.entries().for_each(|item| *walked.entry(item.0.1).or_default() += 1);
                position = segment.next();
            }
            for _ in 0..change {
                if grow && extra < 24_000 {
                    extra += 1;
                    table.insert_new(hash_of(extra), item(extra, extra));
                } else if !grow {
                    remove(&mut table, 400 + rng.below(3600) as u32);
                }
            }
            if cursor == 0 && position.is_none() {
                break;
            }
        }
        for key in 0..400 {
            prop_assert!(scanned.contains(&key), "SCAN missed {}", key);
            prop_assert_eq!(walked.get(&key), Some(&1), "walk and {}", key);
        }
        prop_assert!(walked.values().all(|&times| times == 1));
    }
}

#[test]
fn scan_gives_about_count_and_ends() {
    let table = filled(10_000);
    let (mut cursor, mut total, mut calls) = (0, 0, 0);
    loop {
        let mut got = 0;
        cursor = table.scan(cursor, 10, |_| got += 1);
        assert!(got <= 40, "{got} for COUNT 10");
        assert!(i64::try_from(cursor).is_ok());
        total += got;
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(total, 10_000, "nothing changed, so nothing is seen twice");
    assert!((500..1100).contains(&calls), "{calls} calls");
    assert_eq!(table.scan(u64::MAX, 10, |_| ()), 0, "a cursor that nobody gave");
}

#[test]
fn everything_removed_gives_everything_back() {
    let mut table = filled(300_000);
    assert!(table.segment_count() > 2500);
    for key in 0..300_000 {
        assert_eq!(remove(&mut table, key), Some(key));
    }
    assert_eq!((table.len(), table.segment_count()), (0, 1));
    assert_eq!(table.memory_bytes(), 0);
    table.insert_new(hash_of(1), item(1, 1));
    assert_eq!(find(&table, 1), Some(1));
}

#[test]
fn mass_deletion_shrinks() {
    let mut table = filled(100_000);
    let full = table.memory_bytes();
    let mut model: HashMap<u32, u32> = (0..100_000).map(|key| (key, key)).collect();
    table.retain(|item| item.0.1 % 20 == 0);
    model.retain(|key, _| key % 20 == 0);
    check(&table, &model);
    assert!(table.memory_bytes() < full / 6, "{} of {full}", table.memory_bytes());
}

#[test]
fn memory_per_entry_is_bounded() {
    let mut ratios = Vec::new();
    let mut table = Table::<Item>::new();
    for key in 0..260_000u32 {
        table.insert_new(hash_of(key), item(key, key));
        if key >= 65_000 && key % 5_000 == 0 {
            ratios.push(table.memory_bytes() as f64 / f64::from(key + 1));
        }
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    println!("bytes per entry: mean {mean:.2}, worst {worst:.2}");
    assert!(mean < 12.0 && worst < 12.5, "mean {mean:.2}, worst {worst:.2}");
    assert!(filled(6).memory_bytes() <= 64, "{}", filled(6).memory_bytes());
    assert!(filled(8).memory_bytes() <= 128);
    assert!(size_of::<Table<Item>>() <= 48, "{}", size_of::<Table<Item>>());
}

#[test]
fn random_is_uniform() {
    let table = filled(1000);
    let mut rng = SeededRng::new(7);
    let mut drawn = vec![0u32; 1000];
    for _ in 0..200_000 {
        drawn[table.random(&mut rng).unwrap().0.1 as usize] += 1;
    }
    assert!(drawn.iter().all(|times| (130..280).contains(times)), "{drawn:?}");
    assert!(Table::<Item>::new().random(&mut rng).is_none());
    let mut sparse = filled(50_000);
    sparse.retain(|item| item.0.1 == 777);
    assert_eq!(sparse.random(&mut rng).unwrap().0.1, 777);
}

#[test]
fn reserve_changes_nothing_but_the_layout() {
    for count in [10, 100, 5_000, 1_000_000] {
        let mut table = Table::<Item>::new();
        table.reserve(count as usize);
        let planned = table.segment_count();
        let len = count.min(20_000);
        for key in 0..len {
            table.insert_new(hash_of(key), item(key, key));
        }
        check(&table, &(0..len).map(|key| (key, key)).collect());
        assert!(len < count || table.segment_count() <= planned.max(2) + planned / 16);
        table.retain(|item| item.0.1 < 3);
        check(&table, &(0..3).map(|key| (key, key)).collect());
    }
}

#[test]
fn a_table_laid_out_anew_has_everything_and_the_metadata() {
    for (count, expected) in
        [(0, 0), (5, 3), (100, 5_000), (3_000, 90_000), (3_000, 1), (9_000, 9_000)]
    {
        let mut table = Table::<Item, Least>::new();
        for key in 0..count {
            table.insert_new(hash_of(key), item(key, key));
        }
        let (mut position, mut number) = (Some(0), 1000);
        while let Some(at) = position {
            let (meta, _, next) = table.segment_at_mut(at);
            *meta = Least(number);
            (number, position) = (number - 1, next);
        }
        let before: Vec<u32> = (0..count).map(|key| table.segment_meta(hash_of(key)).0).collect();
        table.lay_out(expected as usize);
        check(&table, &(0..count).map(|key| (key, key)).collect());
        for key in 0..count {
            let meta = table.segment_meta(hash_of(key)).0;
            // More than enough: no two segments become one, however unevenly the hashes fall.
            let exact = expected > count;
            assert!(if exact {
                meta == before[key as usize]
            } else {
                meta <= before[key as usize]
            });
        }
        let planned = table.segment_count();
        for key in count..expected {
            table.insert_new(hash_of(key), item(key, key));
        }
        check(&table, &(0..count.max(expected)).map(|key| (key, key)).collect());
        assert!(table.segment_count() <= planned.max(2) + planned / 16);
    }
    // Metadata that cannot be joined keeps the table as it is.
    let mut table = Table::<Item, Epoch>::new();
    for key in 0..3000 {
        table.insert_new(hash_of(key), item(key, key));
    }
    table.segment_meta_mut(0).0 = 7;
    let segments = table.segment_count();
    table.lay_out(1);
    assert_eq!((table.segment_count(), table.len()), (segments, 3000));
    check(&table, &(0..3000).map(|key| (key, key)).collect());
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Least(u32);

impl SegmentMeta for Least {
    fn merged(&self, sibling: &Self) -> Option<Self> {
        Some(Self(self.0.min(sibling.0)))
    }
}

/// A larger one would have entries that are never drawn: HRANDFIELD waited for them for ever.
#[test]
fn no_segment_has_more_slots_than_are_drawn_from() {
    for seed in 0..40 {
        let mut rng = SeededRng::new(seed);
        let mut table = Table::<Item>::new();
        if rng.index(2) == 0 {
            table.reserve(rng.index(3000));
        }
        let keys = 100 + rng.index(3000) as u32;
        for step in 0..20_000u32 {
            let key = rng.index(keys as usize) as u32;
            // Growth and shrinkage in turn.
            let grows = (step / 4000).is_multiple_of(2) == (rng.index(8) > 0);
            match (grows, find(&table, key)) {
                (true, None) => drop(table.insert_new(hash_of(key), item(key, key))),
                (false, Some(_)) => drop(remove(&mut table, key)),
                _ => continue,
            }
            if let Root::Many(directory) = &table.root {
                let largest = table.segments().map(Segment::slot_count).max().unwrap();
                assert!(largest <= directory.slots_max(), "seed {seed}, step {step}: {largest}");
            }
        }
    }
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Epoch(u32);

impl SegmentMeta for Epoch {
    fn merged(&self, sibling: &Self) -> Option<Self> {
        (self == sibling).then(|| self.clone())
    }
}

/// Where the buckets of each segment are, and how many.
fn arrays(table: &Table<Item>) -> Vec<(usize, usize)> {
    let Root::Many(directory) = &table.root else { panic!("one segment") };
    (0..directory.arena_len())
        .filter_map(|n| directory.nth(n))
        .map(|segment| (segment.bucket_address(), segment.bucket_count()))
        .collect()
}

#[test]
fn buckets_of_a_size_that_goes_out_of_use_are_moved() {
    let mut table = filled(10_000);
    let mut next = 10_000;
    let moved = loop {
        let before = arrays(&table);
        table.insert_new(hash_of(next), item(next, next));
        next += 1;
        let after = arrays(&table);
        let changed: Vec<usize> = (0..before.len()).filter(|&n| before[n] != after[n]).collect();
        let (alike, laid_out): (Vec<usize>, Vec<usize>) =
            changed.into_iter().partition(|&n| before[n].1 == after[n].1);
        match laid_out[..] {
            [] => assert!(alike.is_empty(), "moved without a reason"),
            [one] => {
                let moved = alike.iter().filter(|&&n| n != one);
                assert!(moved.clone().all(|&n| before[n].1 == before[one].1), "another size moved");
                if moved.count() > 0 {
                    break next;
                }
            }
            _ => panic!("two segments laid out anew by one entry"),
        }
    };
    for key in 0..moved {
        assert_eq!(find(&table, key), Some(key), "key {key}");
    }
}

#[test]
fn buckets_that_a_snapshot_shares_stay_where_they_are() {
    let mut table = filled(10_000);
    let shared = table.share().expect("many segments");
    for key in 10_000..20_000 {
        table.insert_new(hash_of(key), item(key, key));
    }
    let mut seen = HashSet::new();
    let all = shared.drain(|item| seen.insert(item.0.1).then_some(()).ok_or(item.0.1));
    assert_eq!((all, seen.len()), (Ok(()), 10_000));
    assert!(seen.into_iter().all(|key| key < 10_000));
}

#[test]
fn metadata_follows_splits_and_may_forbid_merges() {
    let mut table = Table::<Item, Epoch>::new();
    table.segment_meta_mut(0).0 = 7;
    for key in 0..5000 {
        table.insert_new(hash_of(key), item(key, key));
    }
    assert!((0..5000).all(|key| table.segment_meta(hash_of(key)).0 == 7));
    let (mut position, mut number, mut boundaries) = (Some(0), 0, Vec::new());
    while let Some(at) = position {
        let (meta, _, next) = table.segment_at_mut(at);
        meta.0 = number;
        number += 1;
        boundaries.push(at);
        position = next;
    }
    let segments = table.segment_count();
    for key in 10..5000 {
        remove(&mut table, key);
    }
    assert_eq!(table.segment_count(), segments, "no two epochs are equal, so nothing merged");
    for (number, at) in boundaries.into_iter().enumerate() {
        assert_eq!(table.segment_at(at).meta().0 as usize, number);
    }
    let (item, meta) = table.find_mut_with_meta(hash_of(3), b"key:3").unwrap();
    (item.0.1, meta.0) = (33, 99);
    assert_eq!((find(&table, 3), table.segment_meta(hash_of(3)).0), (Some(33), 99));
}

#[test]
fn extract_takes_the_chosen_of_one_segment() {
    let mut table = filled(2000);
    let (mut taken, mut position, mut steps) = (Vec::new(), Some(0), 0);
    while let Some(at) = position {
        position = table.extract(at, |item| item.0.1 % 2 == 0, &mut taken);
        assert!(taken.len() <= (steps + 1) * 120);
        steps += 1;
    }
    assert_eq!((taken.len(), table.len()), (1000, 1000));
    assert!((0..2000).all(|key| find(&table, key).is_some() == (key % 2 == 1)));
    table.iter_mut().for_each(|item| item.0.1 += 1);
    assert_eq!(find(&table, 5), Some(6));
}

/// A hash that somebody got to collide: everything stays correct, and the directory small.
#[derive(Clone)]
struct Colliding(String, u64);

impl Slot for Colliding {
    fn key(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn hash(&self) -> u64 {
        self.1
    }
}

#[test]
fn colliding_hashes_stay_correct() {
    for hash in [|_: u64| 42, |i: u64| i % 7, |i: u64| i << 8, |i: u64| u64::MAX - i % 300] {
        let mut table = Table::<Colliding>::new();
        for i in 0..1500 {
            table.insert_new(hash(i), Colliding(i.to_string(), hash(i)));
        }
        assert!(table.memory_bytes() < 200_000, "{}", table.memory_bytes());
        let found =
            |table: &Table<Colliding>, i| table.find(hash(i), i.to_string().as_bytes()).is_some();
        assert!((0..1500).all(|i| found(&table, i)));
        let (mut cursor, mut seen) = (0, HashSet::new());
        loop {
            cursor = table.scan(cursor, 10, |entry| assert!(seen.insert(entry.0.clone())));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), 1500);
        for i in 0..1490 {
            assert!(table.remove(hash(i), i.to_string().as_bytes()).is_some());
        }
        assert!((0..1500).all(|i| found(&table, i) == (i >= 1490)));
    }
}
