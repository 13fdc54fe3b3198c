//! Reads that return what was not asked for, without an error: a sector of another place, as a drive does that
//! moved its head wrongly, or the sector as it once was, as one does that lost a write it had confirmed.
//!
//! Planned by the number of the read, as faults are by the number of the operation. The bytes on the medium
//! stay as they are: the next read finds them.

use std::sync::Arc;

use super::world::{NodeId, SECTOR, World};
use crate::rng::{Rng, SeededRng};

/// What a read returns in one of its sectors; the number draws which sector, and what instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// Another sector of this or another file.
    Elsewhere(u64),
    /// The bytes that the sector had before some earlier sync.
    Stale(u64),
    /// The sector with one bit flipped on its way.
    Flipped(u64),
}

impl World {
    /// Notes a file's durable bytes before a sync changes them.
    pub(crate) fn remember(&mut self, id: NodeId) {
        if !self.untold
            && let Some(node) = self.nodes.get_mut(id)
        {
            node.older.push(Arc::from(node.durable.as_slice()));
        }
    }

    /// Counts a read, and puts into what it returned what was planned for it.
    pub(crate) fn misread(&mut self, id: NodeId, from: usize, read: &mut [u8]) {
        let number = self.read_count;
        self.read_count += 1;
        let Some(misread) = self.misreads.remove(&number) else { return };
        let (Misread::Elsewhere(seed) | Misread::Stale(seed) | Misread::Flipped(seed)) = misread;
        let mut rng = SeededRng::new(seed);
        let sectors = from / SECTOR..(from + read.len()).div_ceil(SECTOR);
        if sectors.is_empty() {
            return;
        }
        let sector = sectors.start + rng.index(sectors.len());
        let other = match misread {
            Misread::Elsewhere(_) => self.some_sector(&mut rng),
            Misread::Stale(_) => self.older_sector(id, sector, &mut rng),
            Misread::Flipped(_) => None,
        };
        let start = (sector * SECTOR).max(from) - from;
        let end = ((sector + 1) * SECTOR).min(from + read.len()) - from;
        let Some(place) = read.get_mut(start..end) else { return };
        match (misread, other) {
            (Misread::Flipped(_), _) => {
                let at = rng.index(place.len());
                if let Some(byte) = place.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            (_, Some(other)) => {
                // A read may start inside the sector.
                let skipped = from.saturating_sub(sector * SECTOR);
                let other = other.iter().skip(skipped).chain(std::iter::repeat(&0));
                for (to, byte) in place.iter_mut().zip(other) {
                    *to = *byte;
                }
            }
            (_, None) => {}
        }
    }

    /// Any sector of any file.
    fn some_sector(&self, rng: &mut SeededRng) -> Option<Vec<u8>> {
        let full: Vec<_> = self.nodes.iter().filter(|node| !node.live.is_empty()).collect();
        let live = &full.get(rng.index(full.len().max(1)))?.live;
        let sector = rng.index(live.len().div_ceil(SECTOR));
        live.chunks(SECTOR).nth(sector).map(<[u8]>::to_vec)
    }

    /// A sector as it was before one of the file's syncs: zeros where the file ended then.
    fn older_sector(&self, id: NodeId, sector: usize, rng: &mut SeededRng) -> Option<Vec<u8>> {
        let node = self.node(id)?;
        let older = node.older.get(rng.index(node.older.len().max(1)))?;
        Some(older.chunks(SECTOR).nth(sector).unwrap_or_default().to_vec())
    }
}
