//! The tree against a sorted `Vec`, with every invariant of `node.rs` checked on the way.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::node::Key;
use super::*;
use crate::rng::{Rng, SeededRng};

type Pair = Arc<(f64, Vec<u8>)>;

impl Item for Pair {
    fn score(&self) -> f64 {
        self.0
    }

    fn member(&self) -> &[u8] {
        &self.1
    }
}

fn pair(score: f64, member: impl AsRef<[u8]>) -> Pair {
    Arc::new((score, member.as_ref().to_vec()))
}

/// Walks everything: counts, dividers, census, and the order of the items.
fn check(tree: &Tree<Pair>, model: &[Pair]) {
    let mut census = Census::default();
    let mut found = Vec::new();
    walk(&tree.root, &mut census, &mut found, true);
    assert_eq!(census, tree.census);
    assert_eq!(tree.len(), model.len());
    assert_eq!(found, model);
}

fn walk(node: &Node<Pair>, census: &mut Census, found: &mut Vec<Pair>, is_root: bool) -> usize {
    let start = found.len();
    match node {
        Node::Leaf(leaf) => {
            census.leaves += 1;
            assert!(is_root || leaf.len() > 0);
            assert_eq!(leaf.iter().count(), leaf.len());
            found.extend(leaf.iter().cloned());
        }
        Node::Inner(inner) => {
            census.inners += 1;
            assert!(inner.len() > usize::from(is_root));
            for child in inner.iter() {
                let low = Key::of(&child.low);
                assert_eq!(child.score, child.low.score());
                assert!(found.last().is_none_or(|item| low.follows(item.score(), item)));
                let first = found.len();
                assert_eq!(child.count, walk(&child.node, census, found, false));
                let item = &found[first];
                assert!(item == &child.low || !low.follows(item.score(), item));
            }
        }
    }
    found.len() - start
}

fn model_position(model: &[Pair], score: f64, member: &[u8]) -> Result<usize, usize> {
    model.binary_search_by(|item| {
        item.0.partial_cmp(&score).unwrap().then_with(|| item.1.as_slice().cmp(member))
    })
}

/// Random inserts and removals over a small or a large space of scores and members.
fn churn(seed: u64, operations: usize, scores: u64, members: u64, grow: u64) {
    let mut rng = SeededRng::new(seed);
    let (mut tree, mut model) = (Tree::new(), Vec::<Pair>::new());
    for step in 0..operations {
        let score = rng.below(scores) as f64 - 3.0;
        let member = rng.below(members).to_be_bytes();
        let place = model_position(&model, score, &member);
        assert_eq!(tree.rank(score, &member), place.unwrap_or_else(|at| at));
        match place {
            Err(at) if rng.below(10) < grow => {
                model.insert(at, pair(score, member));
                tree.insert(pair(score, member));
            }
            Err(_) => {
                assert_eq!(tree.remove(score, &member), None);
                if !model.is_empty() {
                    let start = rng.index(model.len());
                    let end = (start + rng.index(5)).min(model.len());
                    let mut gone = Vec::new();
                    tree.remove_ranks(start..end, &mut |item| gone.push(item));
                    assert_eq!(gone, model.drain(start..end).collect::<Vec<_>>());
                }
            }
            Ok(at) => {
                let item = model.remove(at);
                assert_eq!(tree.remove(score, &member), Some(item));
            }
        }
        if step % 997 == 0 {
            check(&tree, &model);
        }
    }
    check(&tree, &model);
    for (rank, item) in model.iter().enumerate() {
        assert_eq!(tree.select(rank), Some(item));
    }
    assert_eq!(tree.select(model.len()), None);
    let all = model.len();
    tree.remove_ranks(0..all, &mut |_| {});
    check(&tree, &[]);
}

#[test]
fn churn_agrees_with_a_sorted_vector() {
    churn(1, 30_000, 1, u64::MAX, 8); // Equal scores: only members decide.
    churn(2, 30_000, 1 << 40, 2, 7);
    churn(3, 30_000, 50, 300, 6);
    churn(4, 20_000, 4, 12, 5);
}

#[test]
fn ascending_and_descending_loads_leave_full_leaves() {
    for descending in [false, true] {
        let mut tree = Tree::new();
        for step in 0..100_000_u32 {
            let score = if descending { -f64::from(step) } else { f64::from(step) };
            tree.insert(pair(score, b"m"));
        }
        assert!(tree.leaf_fill() > 0.97, "{} {descending}", tree.leaf_fill());
    }
}

#[test]
fn random_loads_fill_three_quarters() {
    let mut rng = SeededRng::new(9);
    let mut tree = Tree::new();
    for step in 1..=200_000_u32 {
        tree.insert(pair((rng.next_u64() >> 12) as f64, step.to_be_bytes()));
        if step % 20_000 == 0 {
            assert!(tree.leaf_fill() > 0.75, "{} after {step}", tree.leaf_fill());
        }
    }
    println!("fill {}", tree.leaf_fill());
}

#[test]
fn bulk_load_equals_inserts() {
    for len in [0, 1, 60, 61, 62, 61 * 63, 61 * 63 + 1, 300_000] {
        let items: Vec<_> = (0..len).map(|n| pair(f64::from(n), b"x")).collect();
        let tree = Tree::from_sorted(items.iter().cloned());
        check(&tree, &items);
        let mut grown = tree.clone();
        grown.insert(pair(0.5, b"between"));
        assert_eq!(grown.len(), items.len() + 1);
        check(&tree, &items);
    }
}

#[test]
fn a_clone_keeps_its_state() {
    let mut rng = SeededRng::new(5);
    let mut tree = Tree::from_sorted((0..5000).map(|n| pair(f64::from(n), b"a")));
    let before: Vec<Pair> = tree.iter().cloned().collect();
    let snapshot = tree.clone();
    for _ in 0..3000 {
        let rank = rng.index(tree.len());
        tree.remove_ranks(rank..rank + 1, &mut |_| {});
        tree.insert(pair(rng.below(5000) as f64 + 0.5, rng.next_u64().to_be_bytes()));
    }
    check(&snapshot, &before);
}

#[test]
fn exchange_moves_an_item_anywhere() {
    let mut rng = SeededRng::new(8);
    let mut model: Vec<Pair> = (0..3000).map(|n| pair(f64::from(n), b"a")).collect();
    let mut tree = Tree::from_sorted(model.iter().cloned());
    for step in 0..20_000 {
        let old = model.remove(rng.index(model.len()));
        // Mostly near, where it may stay in its leaf or cross into the next.
        let by = if step % 4 == 0 { 1500.0 } else { 3.0 };
        let score = old.0 + (rng.below(1 << 20) as f64 / f64::from(1 << 20) - 0.5) * by;
        let Err(at) = model_position(&model, score, b"a") else { continue };
        model.insert(at, pair(score, b"a"));
        assert_eq!(tree.exchange(old.0, b"a", pair(score, b"a")), Some(old));
        if step % 1000 == 0 {
            check(&tree, &model);
        }
    }
    check(&tree, &model);
}

#[test]
fn ranges_walk_both_ways() {
    let tree = Tree::from_sorted((0..1000).map(|n| pair(f64::from(n), b"a")));
    for (start, end) in [(0, 1000), (0, 0), (999, 1000), (55, 200), (60, 62), (1000, 1005), (7, 3)]
    {
        let wanted: Vec<f64> = (start..end.min(1000)).map(f64::from).collect();
        let ranks = start as usize..end as usize;
        let forward: Vec<f64> = tree.range(ranks.clone()).map(|item| item.0).collect();
        assert_eq!(forward, wanted);
        let mut back: Vec<f64> = tree.range(ranks).rev().map(|item| item.0).collect();
        back.reverse();
        assert_eq!(back, wanted);
    }
    let mut both = tree.range(100..300);
    let mut seen = 0;
    while let (Some(low), Some(high)) = (both.next(), both.next_back()) {
        assert_eq!(low.0 + high.0, 399.0);
        seen += 2;
    }
    assert_eq!(seen, 200);
}

proptest! {
    #[test]
    fn rank_where_counts_any_prefix(
        mut scores in prop::collection::vec(-20i32..20, 0..400),
        bound in -22i32..22,
    ) {
        scores.sort_unstable();
        let items = scores.iter().enumerate();
        let tree = Tree::from_sorted(
            items.map(|(at, score)| pair(f64::from(*score), (at as u32).to_be_bytes())),
        );
        let bound = f64::from(bound);
        let below = scores.iter().filter(|score| f64::from(**score) < bound).count();
        prop_assert_eq!(tree.rank_where(|score, _| score < bound), below);
    }
}
