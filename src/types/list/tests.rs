use proptest::prelude::*;

use super::*;

/// Redis' default: 8 KiB.
const DEFAULT: i64 = -2;

fn texts(list: &List) -> Vec<Vec<u8>> {
    let forward: Vec<_> = list.iter().map(|element| element.to_vec()).collect();
    let mut backward: Vec<_> =
        list.iter_back_from(list.len().saturating_sub(1)).map(|element| element.to_vec()).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(forward.len(), list.len());
    assert_eq!(forward.is_empty(), list.is_empty());
    assert_eq!(list.nodes().count(), list.node_count());
    let in_nodes: usize = list
        .nodes()
        .map(|node| match node {
            NodeRef::Packed(blob) => crate::types::listpack::validate(blob, true).unwrap(),
            NodeRef::Tight(tight) => {
                let mut blob = Vec::new();
                tight.write_listpack(&mut blob);
                assert_eq!(blob.len(), node.byte_len());
                crate::types::listpack::validate(&blob, true).unwrap()
            }
            NodeRef::Plain(_) => 1,
        })
        .sum();
    assert_eq!(in_nodes, forward.len());
    forward
}

fn numbers(count: i64, max_listpack_size: i64) -> List {
    let mut list = List::new();
    for value in 0..count {
        list.push_back(value, max_listpack_size);
    }
    list
}

#[test]
fn small_in_memory() {
    assert_eq!(size_of::<List>(), 16);
}

#[test]
fn encodings_by_count() {
    let mut list = numbers(4, 4);
    assert_eq!(list.encoding_name(), "listpack");
    list.push_back("x", 4);
    assert_eq!(list.encoding_name(), "quicklist");
    assert_eq!(list.node_count(), 2);
    list.pop_back(4);
    assert_eq!(list.encoding_name(), "quicklist", "four in one node: more than half the bound");
    list.pop_back(4);
    assert_eq!(list.encoding_name(), "quicklist");
    list.pop_back(4);
    assert_eq!(list.encoding_name(), "listpack");
    assert_eq!(texts(&list), [b"0".to_vec(), b"1".to_vec()]);
}

#[test]
fn encodings_by_bytes() {
    let mut list = List::new();
    list.push_back(&vec![b'x'; 8185], DEFAULT);
    assert_eq!(list.encoding_name(), "listpack");
    assert_eq!(list.memory_bytes(), list.memory_bytes().max(8185));
    let mut list = List::new();
    list.push_back(&vec![b'x'; 8186], DEFAULT);
    assert_eq!(list.encoding_name(), "quicklist");
    list.push_back(&vec![b'x'; 8193], DEFAULT);
    assert!(matches!(list.nodes().last(), Some(NodeRef::Plain(text)) if text.len() == 8193));
    assert!(list.set(0, "small", DEFAULT));
    assert_eq!(list.encoding_name(), "quicklist");
    list.remove_range(1, 1, DEFAULT);
    assert_eq!(list.encoding_name(), "listpack");
}

#[test]
fn elements_that_come_one_by_one_fill_nodes_as_single_pushes_do() {
    // 40 of them take 4087 bytes; one more is taken to need 8 beside its text.
    let with_last = |last: &str| {
        let texts = std::iter::repeat_n("x".repeat(99), 40).chain([last.to_owned()]);
        List::from_elements(texts, -1)
    };
    assert_eq!(with_last("y").encoding_name(), "listpack");
    let list = with_last("yy");
    assert_eq!((list.encoding_name(), list.node_count(), list.len()), ("quicklist", 2, 41));
    let none: [&str; 0] = [];
    assert!(List::from_elements(none, -1).is_empty());
}

#[test]
fn bounds_are_those_of_the_directive() {
    assert_eq!(NodeLimit::new(-1), NodeLimit::Bytes(4096));
    assert_eq!(NodeLimit::new(-5), NodeLimit::Bytes(65_536));
    assert_eq!(NodeLimit::new(i64::MIN), NodeLimit::Bytes(65_536));
    assert_eq!(NodeLimit::new(0), NodeLimit::Count(1));
    assert_eq!(NodeLimit::new(128), NodeLimit::Count(128));
}

#[test]
fn clones_share_nodes_until_one_changes() {
    let mut list = numbers(100_000, DEFAULT);
    let before = texts(&list);
    let copy = list.clone();
    let shared = |a: &List, b: &List| {
        a.nodes()
            .zip(b.nodes())
            .filter(|pair| match pair {
                (NodeRef::Packed(a), NodeRef::Packed(b)) => std::ptr::eq(*a, *b),
                _ => false,
            })
            .count()
    };
    assert_eq!(shared(&list, &copy), list.node_count());
    assert!(list.set(50_000, "changed", DEFAULT));
    assert_eq!(shared(&list, &copy), list.node_count() - 1);
    list.remove_matching(b"7", 0, DEFAULT);
    assert_eq!(shared(&list, &copy), list.node_count() - 2);
    assert_eq!(texts(&copy), before);
}

#[test]
fn nodes_go_out_and_come_back() {
    let mut list = numbers(5000, DEFAULT);
    list.push_back(&vec![b'x'; 10_000], DEFAULT);
    let nodes: Vec<Node> = list
        .nodes()
        .map(|node| match node {
            NodeRef::Packed(blob) => Node::Packed(Listpack::from_validated(blob)),
            NodeRef::Tight(_) => unreachable!("long lists have no such nodes"),
            NodeRef::Plain(text) => Node::Plain(text.into()),
        })
        .collect();
    let loaded = List::from_nodes(nodes, DEFAULT);
    assert_eq!(texts(&loaded), texts(&list));
    assert_eq!(loaded.encoding_name(), "quicklist");
    let one = List::from_nodes([Node::Packed(Listpack::new())], DEFAULT);
    assert!(one.is_empty());
    assert_eq!(one.encoding_name(), "listpack");
    let packed = numbers(3, DEFAULT);
    let Some(NodeRef::Tight(tight)) = packed.nodes().next() else { panic!("one node") };
    let mut blob = Vec::new();
    tight.write_listpack(&mut blob);
    let loaded = List::from_listpack(Listpack::from_validated(&blob), 2);
    assert_eq!(loaded.encoding_name(), "quicklist");
    assert_eq!(texts(&loaded), texts(&packed));
}

#[test]
fn positions_as_lpos_wants_them() {
    let mut list = List::new();
    list.extend_back(&["a", "b", "c", "1", "2", "3", "c", "c"], 3);
    assert_eq!(list.positions(b"c", 1, 1, 0), [2]);
    assert_eq!(list.positions(b"c", 2, 1, 0), [6]);
    assert_eq!(list.positions(b"c", -1, 1, 0), [7]);
    assert_eq!(list.positions(b"c", 1, 2, 0), [2, 6]);
    assert_eq!(list.positions(b"c", -1, 0, 0), [7, 6, 2]);
    assert_eq!(list.positions(b"c", -2, 0, 2), [6]);
    assert_eq!(list.positions(b"c", 1, 0, 2), [] as [usize; 0]);
    assert_eq!(list.positions(b"2", 1, 0, 0), [4]);
    assert_eq!(list.find(b"3"), Some(5));
    assert_eq!(List::new().find(b"3"), None);
}

#[test]
fn long_lists_are_walked_by_node() {
    let mut list = numbers(1_000_000, DEFAULT);
    for index in (0..1_000_000).step_by(9973) {
        assert_eq!(list.get(index), Some(Element::Int(index)));
        assert_eq!(list.get(index - 1_000_000), Some(Element::Int(index)));
    }
    assert_eq!(list.get(1_000_000), None);
    assert_eq!(list.iter_from(999_990).count(), 10);
    list.keep(500_000, 3, DEFAULT);
    assert_eq!(texts(&list), ["500000", "500001", "500002"].map(|text| text.as_bytes().to_vec()));
    assert_eq!(list.encoding_name(), "listpack");
}

fn element_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0i64..5).prop_map(|value| value.to_string().into_bytes()),
        (0i64..5).prop_map(|value| format!("text{value}").into_bytes()),
        (0usize..5000).prop_map(|len| vec![b'z'; len]),
    ]
}

/// The step that puts an element in another's place.
const SET: u8 = 2;

fn apply(
    list: &mut List,
    model: &mut Vec<Vec<u8>>,
    (step, index, text): (u8, prop::sample::Index, Vec<u8>),
    size: i64,
) {
    let at = index.index(model.len() + 1);
    let count = text.len() % 7;
    match step {
        0 => {
            list.push_front(&text, size);
            model.insert(0, text);
        }
        1 => {
            assert!(list.insert(at, &text, size));
            model.insert(at, text);
        }
        SET => {
            assert_eq!(list.set(at as i64, &text, size), at < model.len());
            if let Some(old) = model.get_mut(at) {
                *old = text;
            }
        }
        3 => {
            let end = model.len().min(at + count);
            assert_eq!(list.remove_range(at, count, size), model.drain(at..end).count());
        }
        4 => {
            let wanted = count as i64 - 3;
            let matching: Vec<usize> =
                (0..model.len()).filter(|&index| model[index] == text).collect();
            let number = matching.len().min(if wanted == 0 {
                usize::MAX
            } else {
                wanted.unsigned_abs() as usize
            });
            let doomed =
                if wanted < 0 { &matching[matching.len() - number..] } else { &matching[..number] };
            assert_eq!(list.positions(&text, 1, 0, 0), matching);
            assert_eq!(list.remove_matching(&text, wanted, size), number);
            for &index in doomed.iter().rev() {
                model.remove(index);
            }
        }
        5 => {
            let popped = (!model.is_empty()).then(|| model.remove(0));
            assert_eq!(list.pop_front(size), popped);
        }
        6 => assert_eq!(list.pop_back(size), model.pop()),
        7 => {
            list.extend_front(&[&text, &text], size);
            model.splice(0..0, [text.clone(), text]);
        }
        8 => {
            let pivot = model.get(at).cloned().unwrap_or_default();
            let found = model.iter().position(|other| *other == pivot);
            assert_eq!(list.insert_beside(&pivot, count > 3, &text, size), found.is_some());
            if let Some(found) = found {
                model.insert(found + usize::from(count > 3), text);
            }
        }
        _ => {
            list.extend_back(&[&text, &text], size);
            model.extend([text.clone(), text]);
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_vector(
        steps in prop::collection::vec(
            (0u8..11, any::<prop::sample::Index>(), element_text()),
            1..120,
        ),
        size in prop_oneof![Just(-1i64), Just(1), Just(2), Just(5), Just(-2), Just(1000)],
        replaces in any::<bool>(),
    ) {
        let mut list = List::new();
        let mut model = Vec::new();
        for step in steps.into_iter().filter(|step| replaces || step.0 != SET) {
            apply(&mut list, &mut model, step, size);
            prop_assert_eq!(&texts(&list), &model);
            let limit = NodeLimit::new(size);
            for node in list.nodes() {
                if let Some(view) = node.listpack() {
                    // A push of several counts only their text.
                    let count = view.len();
                    let bytes = view.bytes().len().saturating_sub(7 + 10 * count);
                    // And what is put in another's place is not asked how large it is, as in Redis.
                    prop_assert!(replaces || count == 1 || !limit.is_exceeded(bytes, count));
                }
            }
        }
    }
}

/// The form of a small list, by what a file gets of it.
fn is_tight(list: &List) -> bool {
    matches!(list.nodes().next(), Some(NodeRef::Tight(_)))
}

#[test]
fn small_lists_are_tight_until_their_back_is_needed() {
    let mut list = numbers(50, DEFAULT);
    assert!(is_tight(&list));
    let tight = list.memory_bytes();
    list.push_front("first", DEFAULT);
    assert_eq!(list.pop_front(DEFAULT).as_deref(), Some(&b"first"[..]));
    assert_eq!(list.get(-1), Some(Element::Int(49)));
    assert!(is_tight(&list));
    assert_eq!(list.pop_back(DEFAULT).as_deref(), Some(&b"49"[..]));
    assert!(!is_tight(&list), "a queue");
    list.push_back(49, DEFAULT);
    assert!(list.memory_bytes() > tight);
    let blob = match list.nodes().next() {
        Some(NodeRef::Packed(blob)) => blob.to_vec(),
        other => panic!("{other:?}"),
    };
    let loaded = List::from_listpack(Listpack::from_validated(&blob), DEFAULT);
    assert!(is_tight(&loaded));
    assert_eq!((texts(&loaded), loaded.memory_bytes()), (texts(&list), tight));

    // The last ones are taken as they are.
    let mut few = numbers(8, DEFAULT);
    while few.pop_back(DEFAULT).is_some() {
        assert!(is_tight(&few));
    }
    // Longer than one byte says, and more than a kilobyte.
    for (len, count) in [(124, 1), (125, 1), (126, 1), (100, 9), (100, 10)] {
        let mut list = List::new();
        (0..count).for_each(|_| list.push_back(&vec![b'x'; len], DEFAULT));
        let short = len < 126 && 6 + count * (len + 2) <= 1024;
        assert_eq!(is_tight(&list), short, "{count} of {len}");
        let blobs: Vec<usize> = list.nodes().map(|node| node.byte_len()).collect();
        let listpack = count * (len + 3 + usize::from(len > 125)) + 7;
        assert_eq!(blobs, [listpack]);
    }
}
