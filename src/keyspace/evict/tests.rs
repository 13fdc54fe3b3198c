//! How close sampling comes to the exact order, on traces with a long tail.

use std::collections::HashMap;

use super::*;
use crate::rng::SeededRng;

const CAPACITY: usize = 2_000;
const KEYS: usize = 20_000;
const REQUESTS: usize = 120_000;

const fn order(spare: Spare, volatile_only: bool) -> EvictionOrder {
    EvictionOrder { spare, volatile_only, samples: 5 }
}

/// A trace in which key n is asked for in proportion to 1/n.
fn zipf(seed: u64) -> Vec<u32> {
    let mut rng = SeededRng::new(seed);
    let mut sums = Vec::with_capacity(KEYS);
    let mut sum = 0.0;
    for n in 1..=KEYS {
        sum += 1.0 / n as f64;
        sums.push(sum);
    }
    let draw = || {
        let at = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * sum;
        sums.partition_point(|upper| *upper < at) as u32
    };
    std::iter::repeat_with(draw).take(REQUESTS).collect()
}

/// The share of hits of a cache that gives keys up by `order`; each request takes `step_ms`.
fn hits(trace: &[u32], order: EvictionOrder, counts: bool, step_ms: usize) -> f64 {
    let mut ks = Keyspace::new(1);
    ks.use_clock.set_policy(counts, 10, 1);
    let mut rng = SeededRng::new(7);
    let mut hits = 0;
    for (at, number) in trace.iter().enumerate() {
        ks.use_clock.set_time(1_700_000_000_000 + (at * step_ms) as UnixMillis);
        ks.effects.clear();
        let key = format!("key:{number}");
        if ks.lookup(0, key.as_bytes()).is_some() {
            hits += 1;
            continue;
        }
        while ks.len(0) >= CAPACITY {
            assert!(matches!(ks.evict_one(order, &mut rng), Evicted::Entry(_)));
        }
        ks.set_string(0, key.as_bytes(), b"value", None);
    }
    hits as f64 / trace.len() as f64
}

/// The share of hits of an exact LRU cache.
fn exact_lru(trace: &[u32]) -> f64 {
    let (mut used, mut by_age) = (HashMap::new(), std::collections::BTreeMap::new());
    let mut hits = 0;
    for (at, number) in trace.iter().enumerate() {
        if let Some(old) = used.insert(*number, at) {
            hits += 1;
            by_age.remove(&old);
        } else if by_age.len() >= CAPACITY {
            let (_, oldest) = by_age.pop_first().unwrap();
            used.remove(&oldest);
        }
        by_age.insert(at, *number);
    }
    hits as f64 / trace.len() as f64
}

/// The share of hits of a cache that holds the most frequent keys from the start.
fn best_static(trace: &[u32]) -> f64 {
    let hits = trace.iter().filter(|number| (**number as usize) < CAPACITY).count();
    hits as f64 / trace.len() as f64
}

#[test]
fn lru_by_samples_hits_nearly_as_often_as_exact_lru() {
    let trace = zipf(1);
    let ideal = exact_lru(&trace);
    let sampled = hits(&trace, order(Spare::ByUse, false), false, 16);
    let random = hits(&trace, order(Spare::ByChance, false), false, 16);
    println!("exact LRU {ideal:.4}, sampled {sampled:.4}, random {random:.4}");
    assert!(sampled > ideal - 0.01, "sampled {sampled:.4}, exact {ideal:.4}");
    assert!(sampled > random + 0.02, "sampled {sampled:.4}, random {random:.4}");
}

#[test]
fn lfu_by_samples_beats_lru_when_popularity_lasts() {
    let trace = zipf(2);
    let lru = exact_lru(&trace);
    let best = best_static(&trace);
    let lfu = hits(&trace, order(Spare::ByUse, false), true, 1);
    println!("best static {best:.4}, exact LRU {lru:.4}, LFU {lfu:.4}");
    assert!(lfu > lru + 0.02, "LFU {lfu:.4}, LRU {lru:.4}");
    assert!(lfu > best - 0.06, "LFU {lfu:.4}, best {best:.4}");
}

#[test]
fn keys_that_were_not_used_go_first() {
    let mut ks = Keyspace::new(2);
    let mut rng = SeededRng::new(3);
    let name = |n: usize| format!("k{n}");
    for n in 0..1000 {
        ks.use_clock.set_time(n as UnixMillis * 16);
        ks.set_string(n % 2, name(n).as_bytes(), b"v", None);
    }
    // The first half is used again, and so becomes the newer one.
    ks.use_clock.set_time(100_000);
    for n in 0..500 {
        ks.use_clock.set_time(100_000 + n as UnixMillis * 16);
        ks.lookup(n % 2, name(n).as_bytes());
    }
    for _ in 0..500 {
        assert!(matches!(ks.evict_one(order(Spare::ByUse, false), &mut rng), Evicted::Entry(_)));
    }
    let kept = (0..500).filter(|n| ks.contains(n % 2, name(*n).as_bytes())).count();
    assert!(kept > 465, "{kept} of the 500 newer keys were kept");
}

#[test]
fn only_keys_with_a_time_to_live_go_when_the_policy_says_so() {
    let mut ks = Keyspace::new(1);
    ks.now = 1;
    let mut rng = SeededRng::new(4);
    for n in 0..3000 {
        let expire = (n % 100 == 0).then_some(1_000_000 + n);
        ks.set_string(0, format!("k{n}").as_bytes(), b"v", expire);
    }
    let ttl = order(Spare::ByExpiry, true);
    let mut gone = Vec::new();
    for turn in 0..10_000 {
        let order = if turn % 3 == 0 { order(Spare::ByChance, true) } else { ttl };
        match ks.evict_one(order, &mut rng) {
            Evicted::Entry(entry) => gone.push(entry.expire_at()),
            Evicted::Searching => {}
            Evicted::Nothing => break,
        }
    }
    assert_eq!(gone.len(), 30);
    assert!(gone.iter().all(Option::is_some));
    assert_eq!((ks.len(0), ks.expires(0)), (2970, 0));
    assert!(matches!(ks.evict_one(ttl, &mut rng), Evicted::Nothing));
}

#[test]
fn an_eviction_is_a_change_with_its_record_and_its_event() {
    let mut ks = Keyspace::new(1);
    ks.effects.recording = true;
    ks.effects.event_classes = event::KEYEVENT | event::EVICTED;
    let mut rng = SeededRng::new(5);
    ks.set_string(0, b"k", b"v", None);
    ks.effects.clear();
    assert!(matches!(ks.evict_one(order(Spare::ByUse, false), &mut rng), Evicted::Entry(_)));
    assert!(!ks.effects.unit.is_empty());
    assert_eq!(ks.effects.changes().len(), 1);
    let events = ks.effects.take_events();
    assert_eq!(events[0].name, "evicted");
}
