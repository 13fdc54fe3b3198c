//! The number of nodes that Redis' radix tree of the same stream has, which XINFO STREAM tells.
//!
//! That tree maps the 16 bytes of each master id to its listpack. It has a leaf per key, a node per
//! place where keys part, and one per run of bytes between those that is not empty; an empty tree has
//! its root. All that follows from how many bytes neighbouring keys share.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Stream;
use super::ordered::Keyed;

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// The number as it was last counted, until a node comes or goes; zero, which it never is, when it has
/// to be counted.
#[derive(Debug, Default)]
pub(super) struct Remembered(AtomicUsize);

impl Clone for Remembered {
    fn clone(&self) -> Self {
        Self(AtomicUsize::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Remembered {
    /// A node has come or gone.
    pub(super) fn forget(&mut self) {
        *self.0.get_mut() = 0;
    }
}

impl Stream {
    /// Nodes of the radix tree. Walks all master ids if any has come or gone since the last time.
    pub fn radix_nodes(&self) -> usize {
        let remembered = self.radix.0.load(Ordering::Relaxed);
        if remembered > 0 {
            return remembered;
        }
        let counted = self.count_radix_nodes();
        self.radix.0.store(counted, Ordering::Relaxed);
        counted
    }

    fn count_radix_nodes(&self) -> usize {
        let mut keys = self.nodes().map(|node| node.id().to_key());
        let Some(mut last) = keys.next() else { return 1 };
        let mut nodes = 0;
        // Depths of the places on the way to the last key where an earlier one parted from it.
        let mut places: Vec<usize> = Vec::new();
        for key in keys {
            let parted = u128::from_be_bytes(last) ^ u128::from_be_bytes(key);
            let shared = parted.leading_zeros() as usize / 8;
            nodes += leave(&mut places, shared);
            last = key;
        }
        let (way_up, top) = climb(&mut places, 0);
        // A place in the root is the root.
        nodes + way_up + usize::from(top > 0)
    }
}

/// Goes up from the last key to where the next one parts: the nodes that are complete with that.
fn leave(places: &mut Vec<usize>, shared: usize) -> usize {
    let (nodes, top) = climb(places, shared + 1);
    if places.last() != Some(&shared) {
        places.push(shared);
    }
    nodes + run(shared, top)
}

/// Counts the last key's leaf, and every place at or below `depth` with the run under it. Also gives
/// the depth of the topmost of these.
fn climb(places: &mut Vec<usize>, depth: usize) -> (usize, usize) {
    let (mut nodes, mut below) = (1, KEY_BYTES);
    while let Some(place) = places.pop_if(|place| *place >= depth) {
        nodes += 1 + run(place, below);
        below = place;
    }
    (nodes, below)
}

/// One node for the bytes between a place and what is under it, if there are any: the first one
/// stands in the place itself.
fn run(place: usize, below: usize) -> usize {
    usize::from(below - place > 1)
}
