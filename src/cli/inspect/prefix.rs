//! How much memory the keys below each prefix take, in bounded room.
//!
//! A prefix is what stands before a delimiter: `user:7:name` counts for `user:` and `user:7:`. When there are
//! too many, the smallest are forgotten: what they held still counts for the prefixes above them, so every number that
//! is shown is exact but for prefixes that were forgotten and came again.

use std::collections::BTreeMap;

/// Prefixes that are known at a time.
const NODES_MAX: usize = 200_000;

/// A prefix, with everything below it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) keys: u64,
    pub(super) memory: u64,
    /// By the part of the key that comes next, its delimiter included.
    pub(super) children: BTreeMap<Box<[u8]>, Self>,
}

/// The tree of all prefixes.
#[derive(Debug)]
pub(super) struct PrefixTree {
    pub(super) root: Node,
    delimiter: Vec<u8>,
    depth: usize,
    nodes: usize,
    nodes_max: usize,
    /// Whether a prefix was forgotten.
    pub(super) pruned: bool,
}

impl PrefixTree {
    /// A tree of prefixes of up to `depth` parts.
    pub(super) fn new(delimiter: &[u8], depth: usize) -> Self {
        let delimiter = delimiter.to_vec();
        let (root, nodes_max) = (Node::default(), NODES_MAX);
        Self { root, delimiter, depth, nodes: 0, nodes_max, pruned: false }
    }

    /// Counts a key.
    pub(super) fn add(&mut self, key: &[u8], memory: u64) {
        let mut node = &mut self.root;
        node.keys += 1;
        node.memory += memory;
        let mut rest = key;
        for _ in 0..self.depth {
            let Some(at) = memchr::memmem::find(rest, &self.delimiter) else { break };
            let (part, behind) = rest.split_at(at + self.delimiter.len());
            rest = behind;
            if !node.children.contains_key(part) {
                self.nodes += 1;
                node.children.insert(part.into(), Node::default());
            }
            let Some(next) = node.children.get_mut(part) else { break };
            node = next;
            node.keys += 1;
            node.memory += memory;
        }
        if self.nodes > self.nodes_max {
            self.prune();
        }
    }

    /// Forgets the smaller half of all prefixes.
    fn prune(&mut self) {
        let mut sizes = Vec::with_capacity(self.nodes);
        collect(&self.root, &mut sizes);
        let middle = sizes.len() / 2;
        let (_, cut, _) = sizes.select_nth_unstable(middle);
        let cut = *cut;
        // What is below a prefix is not larger than it, so nothing large goes with something small.
        retain(&mut self.root, cut);
        let mut left = Vec::new();
        collect(&self.root, &mut left);
        self.nodes = left.len();
        self.pruned = true;
    }
}

fn collect(node: &Node, sizes: &mut Vec<u64>) {
    for child in node.children.values() {
        sizes.push(child.memory);
        collect(child, sizes);
    }
}

fn retain(node: &mut Node, cut: u64) {
    node.children.retain(|_, child| child.memory > cut);
    node.children.values_mut().for_each(|child| retain(child, cut));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_for_each_of_its_prefixes() {
        let mut tree = PrefixTree::new(b":", 2);
        tree.add(b"user:1:name", 10);
        tree.add(b"user:1:mail:work", 20);
        tree.add(b"user:2", 5);
        tree.add(b"plain", 1);
        assert_eq!((tree.root.keys, tree.root.memory), (4, 36));
        let user = &tree.root.children[&b"user:"[..]];
        assert_eq!((user.keys, user.memory), (3, 35));
        let one = &user.children[&b"1:"[..]];
        assert_eq!((one.keys, one.memory), (2, 30));
        // No deeper than asked for.
        assert!(one.children.is_empty());
        assert_eq!(tree.root.children.len(), 1);
    }

    #[test]
    fn too_many_prefixes_leave_the_large_ones_and_exact_sums() {
        let mut tree = PrefixTree::new(b"::", 8);
        tree.nodes_max = 100;
        for number in 0..10_000u64 {
            tree.add(format!("small::{number}::x").as_bytes(), 3);
            tree.add(format!("large::{}::x", number % 10).as_bytes(), 1000);
        }
        assert!(tree.pruned);
        assert!(tree.nodes <= 100);
        assert_eq!(tree.root.memory, 10_030_000);
        let large = &tree.root.children[&b"large::"[..]];
        assert_eq!(large.memory, 10_000_000);
        assert!(large.children.values().all(|child| child.memory == 1_000_000));
        assert_eq!(large.children.len(), 10);
        assert_eq!(tree.root.children[&b"small::"[..]].memory, 30_000);
    }
}
