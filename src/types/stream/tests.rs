use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::listpack::validate;

type Parts = Vec<Vec<u8>>;

fn limits(entries: usize, bytes: usize) -> Limits {
    Limits { stream_node_max_entries: entries, stream_node_max_bytes: bytes, ..Limits::default() }
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn add(stream: &mut Stream, at: StreamId, parts: &[&[u8]], limits: &Limits) {
    stream.append(at, parts.iter().copied(), limits).unwrap();
}

fn content(entry: Entry<'_>) -> (StreamId, Parts) {
    let parts = entry.fields.flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
    (entry.id, parts.collect())
}

/// Everything that must hold of a stream at any time.
fn check(stream: &Stream) {
    let mut live = 0;
    let mut last = None;
    assert!(stream.nodes().is_sorted_by(|a, b| a.master() < b.master()));
    for node in stream.nodes() {
        let listpack = node.listpack();
        validate(&listpack, true).unwrap();
        assert_eq!(listpack.len(), node.listpack_len());
        let again = Node::from_validated(node.master(), &listpack);
        assert_eq!(again.listpack(), listpack);
        assert!(again.forward().map(content).eq(node.forward().map(content)));
        let (mut here, mut gone) = (0, 0);
        for entry in node.forward() {
            if entry.is_deleted() {
                gone += 1;
            } else {
                here += 1;
                assert!(Some(entry.id) > last && entry.id >= node.master());
                last = Some(entry.id);
            }
        }
        assert_eq!((node.live_count() as i64, node.entry_count() as i64), (here, here + gone));
        live += here;
        let mut backward: Vec<StreamId> = node.backward().map(|entry| entry.id).collect();
        backward.reverse();
        assert_eq!(backward, node.forward().map(|entry| entry.id).collect::<Vec<_>>());
    }
    assert_eq!(stream.len() as i64, live);
    assert!(last.unwrap_or_default() <= stream.last_id());
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        ahead: u64,
        seq: u64,
        parts: Parts,
    },
    Delete(usize),
    Trim {
        by_id: bool,
        approximate: bool,
        keep: u64,
        limit: Option<u64>,
    },
    /// As far back as XSETID allows.
    GoBack,
    Share,
}

fn step() -> impl Strategy<Value = Step> {
    let text = prop_oneof![
        Just(b"a".to_vec()),
        Just(b"b".to_vec()),
        (-5000i64..5000).prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    let field = prop_oneof![Just(b"f".to_vec()), Just(b"g".to_vec()), Just(b"1".to_vec())];
    let pairs = prop::collection::vec((field, text), 1..4);
    let parts = pairs.prop_map(|pairs| pairs.into_iter().flat_map(|(a, b)| [a, b]).collect());
    let limit = prop::option::of(1u64..12);
    prop_oneof![
        8 => (0u64..3, 0u64..300, parts)
            .prop_map(|(ahead, seq, parts)| Step::Add { ahead, seq, parts }),
        3 => (0usize..40).prop_map(Step::Delete),
        1 => (any::<bool>(), any::<bool>(), 0u64..30, limit).prop_map(
            |(by_id, approximate, keep, limit)| Step::Trim { by_id, approximate, keep, limit }
        ),
        1 => Just(Step::GoBack),
        1 => Just(Step::Share),
    ]
}

proptest! {
    #[test]
    fn a_stream_does_what_an_ordered_map_does(
        steps in prop::collection::vec(step(), 1..150),
        entries in 0usize..6,
        bytes in prop_oneof![Just(0usize), Just(100), Just(4096)],
    ) {
        let limits = limits(entries, bytes);
        let mut stream = Stream::new();
        let mut model: BTreeMap<StreamId, Parts> = BTreeMap::new();
        let (mut added, mut deleted, mut went_back) = (0, StreamId::MIN, false);
        let mut shared: Vec<(Stream, BTreeMap<StreamId, Parts>)> = Vec::new();
        for step in steps {
            match step {
                Step::Add { ahead, seq, parts } => {
                    let last = stream.last_id();
                    let seq = if ahead == 0 { last.seq + 1 + seq } else { seq };
                    let at = id(last.ms + ahead, seq);
                    let slices = parts.iter().map(Vec::as_slice);
                    prop_assert_eq!(stream.append(at, slices, &limits), Ok(()));
                    model.insert(at, parts);
                    added += 1;
                }
                Step::Delete(nth) => {
                    let at = model.keys().nth(nth).copied().unwrap_or(id(nth as u64, 7));
                    let there = model.remove(&at).is_some();
                    prop_assert_eq!(stream.delete(at), there);
                    deleted = if there { deleted.max(at) } else { deleted };
                }
                Step::Trim { by_id, approximate, keep, limit } => {
                    let limit = limit.filter(|_| approximate);
                    let trim = match model.keys().nth(keep as usize) {
                        Some(least) if by_id => Trim::MinId(*least),
                        // Nothing stays but what was deleted behind the last live entry.
                        None if by_id => Trim::MinId(stream.last_id()),
                        _ => Trim::MaxLength(keep),
                    };
                    let removed = stream.trim(trim, approximate, limit);
                    for _ in 0..removed {
                        model.pop_first();
                    }
                    prop_assert!(limit.is_none_or(|limit| removed <= limit));
                    match trim {
                        Trim::MaxLength(most) if !approximate => {
                            prop_assert!(model.len() as u64 <= most);
                        }
                        Trim::MinId(least) => {
                            // As in Redis, a node ends the work in which an id was deleted above those behind it.
                            let all = model.keys().next().is_none_or(|id| *id >= least);
                            prop_assert!(approximate || went_back || all);
                            prop_assert!(least == stream.last_id() || model.contains_key(&least));
                        }
                        Trim::MaxLength(most) => {
                            prop_assert!(removed == 0 || model.len() as u64 >= most);
                        }
                    }
                }
                Step::GoBack => {
                    went_back = true;
                    let last = model.keys().last().copied().unwrap_or_default();
                    stream.set_counters(last, None, Some(StreamId::MIN));
                    deleted = StreamId::MIN;
                }
                Step::Share => shared.push((stream.share(), model.clone())),
            }
        }
        shared.push((Stream::from(stream.to_image()), model.clone()));
        prop_assert_eq!(stream.entries_added(), added);
        prop_assert_eq!(stream.max_deleted_id(), deleted);
        shared.push((stream, model));
        for (stream, model) in &shared {
            check(stream);
            let all: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(content).collect();
            let wanted: Vec<_> = model.iter().map(|(at, parts)| (*at, parts.clone())).collect();
            prop_assert_eq!(&all, &wanted);
            prop_assert_eq!(stream.first_id(), model.keys().next().copied().unwrap_or_default());
            for at in model.keys() {
                prop_assert_eq!(stream.entry(*at).map(|entry| entry.id), Some(*at));
                let from: Vec<_> = stream.range(*at, StreamId::MAX).map(|entry| entry.id).collect();
                prop_assert!(from.iter().eq(model.range(at..).map(|(at, _)| at)));
                let down = stream.range_reverse(StreamId::MIN, *at).map(|entry| entry.id);
                let down: Vec<_> = down.collect();
                prop_assert!(down.iter().eq(model.range(..=at).rev().map(|(at, _)| at)));
            }
        }
    }

    #[test]
    fn pending_entries_have_one_owner_each(
        steps in prop::collection::vec((0u64..400, 0usize..3, 0u8..4), 1..600)
    ) {
        const NAMES: [&[u8]; 3] = [b"alice", b"bob", b"carol"];
        let mut group = Group::new(StreamId::MIN, -1);
        let mut model: BTreeMap<StreamId, (usize, u64)> = BTreeMap::new();
        for (delivery_count, (ms, who, what)) in (1..).zip(steps) {
            match what {
                0 => {
                    let there = model.remove(&id(ms, 0)).is_some();
                    prop_assert_eq!(group.acknowledge(id(ms, 0)), there);
                }
                1 if ms < 4 => {
                    let owned = model.values().filter(|(owner, _)| *owner == who).count();
                    let known = group.find(NAMES[who]).map(|_| owned);
                    prop_assert_eq!(group.delete_consumer(NAMES[who]), known);
                    model.retain(|_, (owner, _)| *owner != who);
                }
                _ => {
                    let consumer = match group.find(NAMES[who]) {
                        Some(number) => number,
                        None => group.create_consumer(NAMES[who], 1).unwrap(),
                    };
                    let id = id(ms, 0);
                    group.assign(Pending { id, delivery_time: 5, delivery_count, consumer });
                    model.insert(id, (who, delivery_count));
                }
            }
        }
        let pending: Vec<_> = group
            .pending_from(StreamId::MIN)
            .map(|pending| (pending.id, group.owner(pending).to_vec(), pending.delivery_count))
            .collect();
        let wanted: Vec<_> = model
            .iter()
            .map(|(id, (owner, count))| (*id, NAMES[*owner].to_vec(), *count))
            .collect();
        prop_assert_eq!(pending, wanted);
        for consumer in group.consumers() {
            let wanted = model.iter().filter(|(_, (owner, _))| NAMES[*owner] == consumer.name());
            let wanted: Vec<_> = wanted.map(|(id, _)| *id).collect();
            prop_assert_eq!(consumer.pending_from(StreamId::MIN).collect::<Vec<_>>(), wanted);
        }
    }
}

#[test]
fn ids_have_neighbours_and_a_text() {
    assert_eq!(id(5, u64::MAX).next(), Some(id(6, 0)));
    assert_eq!(id(6, 0).previous(), Some(id(5, u64::MAX)));
    assert_eq!((StreamId::MAX.next(), StreamId::MIN.previous()), (None, None));
    assert_eq!(id(15, 7).text().as_bytes(), b"15-7");
    let longest = b"18446744073709551615-18446744073709551615";
    assert_eq!(StreamId::MAX.text().as_bytes(), longest);
}

#[test]
fn entries_with_the_fields_of_their_master_hold_values_only() {
    let limits = limits(100, 4096);
    let mut stream = Stream::new();
    add(&mut stream, id(1, 0), &[b"temperature", b"23", b"sensor", b"a"], &limits);
    let first = stream.nodes().next().unwrap().listpack_len();
    add(&mut stream, id(1, 1), &[b"temperature", b"24", b"sensor", b"b"], &limits);
    let second = stream.nodes().next().unwrap().listpack_len();
    // Flags, two differences, a small number, a letter, and the size.
    assert_eq!(second - first, 2 + 2 + 2 + 2 + 3 + 2);
    add(&mut stream, id(1, 2), &[b"sensor", b"b", b"temperature", b"24"], &limits);
    assert!(stream.nodes().next().unwrap().listpack_len() - second > 20, "another order");
    check(&stream);
}

#[test]
fn nodes_end_at_their_limits() {
    let nodes = |entries, bytes, count: u64| {
        let limits = limits(entries, bytes);
        let mut stream = Stream::new();
        for ms in 1..=count {
            add(&mut stream, id(ms, 0), &[b"field", b"0123456789"], &limits);
        }
        check(&stream);
        stream.node_count()
    };
    assert_eq!(nodes(3, 0, 9), 3);
    assert_eq!(nodes(3, 0, 10), 4);
    assert_eq!(nodes(0, 0, 1000), 1);
    assert_eq!(nodes(0, 1, 5), 5);
    assert!((20..200).contains(&nodes(0, 1000, 2000)));
}

#[test]
fn a_copy_shares_all_nodes_but_the_one_that_changes() {
    let limits = limits(10, 4096);
    let mut stream = Stream::new();
    for ms in 1..=10_000 {
        add(&mut stream, id(ms, 0), &[b"a", b"b"], &limits);
    }
    let copy = stream.share();
    stream.delete(id(5000, 0));
    add(&mut stream, id(10_001, 0), &[b"a", b"b"], &limits);
    let at = |stream: &Stream| -> Vec<_> { stream.nodes().map(Node::address).collect() };
    let differ = at(&copy).iter().zip(&at(&stream)).filter(|(a, b)| a != b).count();
    assert_eq!((copy.len(), stream.len(), differ), (10_000, 10_000, 1));
}

#[test]
fn radix_nodes_are_counted_as_redis_counts_them() {
    // Asked of Redis 8.0.6: XINFO STREAM with stream-node-max-entries 1.
    let added = [
        (id(1, 0), 2),
        (id(2, 0), 6),
        (id(3, 0), 8),
        (id(256, 0), 11),
        (id(257, 0), 14),
        (id(65536, 5), 17),
        (id(65536, 6), 19),
        (id(65537, 5), 23),
        (id(16_777_216, 1), 26),
        (id(16_777_216, 256), 30),
    ];
    let removed = [(id(2, 0), 28), (id(257, 0), 25), (id(65536, 5), 23), (id(1, 0), 20)];
    let mut stream = Stream::new();
    assert_eq!(stream.radix_nodes(), 1);
    for (at, nodes) in added {
        add(&mut stream, at, &[b"a", b"b"], &limits(1, 0));
        assert_eq!(stream.radix_nodes(), nodes, "{at:?}");
    }
    for (at, nodes) in removed {
        assert!(stream.delete(at));
        assert_eq!(stream.radix_nodes(), nodes, "without {at:?}");
    }
}

#[test]
fn an_entry_too_large_is_refused() {
    let big = vec![b'x'; NODE_BYTES_MAX / 2 + 1];
    let mut stream = Stream::new();
    let parts = [b"f".as_slice(), &big];
    let refused = stream.append(id(1, 0), parts.into_iter(), &Limits::default());
    assert_eq!(refused, Err(AppendError::TooLarge));
    assert_eq!((stream.len(), stream.last_id()), (0, StreamId::MIN));
}
