//! Live entries of a range of ids, upwards or downwards, node after node.

use super::id::StreamId;
use super::node::{Backward, Entry, Forward, Node};
use super::ordered::{Ascend, Descend};

/// Entries from `start` to `end`, both included.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    walk: Walk<'a>,
    start: StreamId,
    end: StreamId,
}

#[derive(Clone, Debug)]
enum Walk<'a> {
    Up { nodes: Ascend<'a, Node>, node: Option<Forward<'a>> },
    Down { nodes: Descend<'a, Node>, node: Option<Backward<'a>> },
    Done,
}

impl<'a> Entries<'a> {
    pub(super) fn up(nodes: Ascend<'a, Node>, start: StreamId, end: StreamId) -> Self {
        Self { walk: Walk::Up { nodes, node: None }, start, end }
    }

    pub(super) fn down(nodes: Descend<'a, Node>, start: StreamId, end: StreamId) -> Self {
        Self { walk: Walk::Down { nodes, node: None }, start, end }
    }

    /// The next entry, deleted or not.
    fn any(&mut self) -> Option<Entry<'a>> {
        loop {
            let entry = match &mut self.walk {
                Walk::Up { node, .. } => node.as_mut().and_then(Iterator::next),
                Walk::Down { node, .. } => node.as_mut().and_then(Iterator::next),
                Walk::Done => return None,
            };
            if entry.is_some() {
                return entry;
            }
            match &mut self.walk {
                Walk::Up { nodes, node } => *node = Some(nodes.next()?.forward()),
                Walk::Down { nodes, node } => *node = Some(nodes.next()?.backward()),
                Walk::Done => return None,
            }
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let entry = self.any()?;
            if entry.is_deleted() {
                continue;
            }
            let up = matches!(self.walk, Walk::Up { .. });
            let (not_yet, over) = (entry.id < self.start, entry.id > self.end);
            if if up { over } else { not_yet } {
                self.walk = Walk::Done;
                return None;
            }
            if !over && !not_yet {
                return Some(entry);
            }
        }
    }
}
