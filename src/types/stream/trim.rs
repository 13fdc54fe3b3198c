//! Trimming: removing the oldest entries, whole nodes at a time where possible.

use super::Stream;
use super::id::StreamId;
use super::node::Node;
use super::ordered::Keyed;

/// What is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// At most so many entries.
    MaxLength(u64),
    /// No entry below this id.
    MinId(StreamId),
}

impl Stream {
    /// Removes the oldest entries; how many. `approximate` removes whole nodes only; `limit` ends
    /// the work before more than so many entries are removed.
    pub fn trim(&mut self, trim: Trim, approximate: bool, limit: Option<u64>) -> u64 {
        let mut removed = 0;
        while let Some(node) = self.nodes.first() {
            let (master, entries) = (node.id(), node.live_count());
            if matches!(trim, Trim::MaxLength(length) if self.length <= length)
                || limit.is_some_and(|limit| removed + entries > limit)
            {
                break;
            }
            if self.goes_whole(node, entries, trim) {
                self.nodes.remove(master);
                self.radix.forget();
                self.length = self.length.saturating_sub(entries);
                removed += entries;
                continue;
            }
            if !approximate {
                removed += self.trim_node(master, trim);
            }
            break;
        }
        removed
    }

    fn goes_whole(&self, node: &Node, entries: u64, trim: Trim) -> bool {
        match trim {
            Trim::MaxLength(length) => self.length.saturating_sub(entries) >= length,
            Trim::MinId(id) => node.last_id().is_none_or(|last| last < id),
        }
    }

    fn trim_node(&mut self, master: StreamId, trim: Trim) -> u64 {
        let mut surplus = match trim {
            Trim::MaxLength(length) => self.length.saturating_sub(length),
            Trim::MinId(_) => u64::MAX,
        };
        let Some(node) = self.nodes.get_mut(master) else { return 0 };
        let removed = node.delete_while(|id| {
            if surplus == 0 || matches!(trim, Trim::MinId(least) if id >= least) {
                return None;
            }
            surplus -= 1;
            Some(true)
        });
        self.length = self.length.saturating_sub(removed);
        removed
    }
}
