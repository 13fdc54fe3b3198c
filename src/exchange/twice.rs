//! Whether anything stands twice in a text of any length, in bounded memory.
//!
//! What stands for a key is kept with the number of its line; when there is much of it, it is sorted and goes to a
//! temporary file. At the end the files are merged, and what is in two places stands twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::source::Temporary;
use crate::backup::BackupError;
use crate::disk::SharedDisk;
use crate::recovery::inspect::view;

/// A key, and the line that it is in.
type Place = (u128, u64);
/// Bytes of one in a file.
const PLACE_BYTES: usize = 24;
/// Places that are kept in memory: 32 MiB.
const IN_MEMORY: usize = 1 << 20;

/// Notes what stands where.
pub struct Twice<'t> {
    places: Vec<Place>,
    /// Sorted ones that went to files.
    runs: Vec<Temporary>,
    in_memory: usize,
    disk: &'t SharedDisk,
    folder: &'t str,
}

impl<'t> Twice<'t> {
    /// Nothing yet; files go to `folder`.
    pub fn new(disk: &'t SharedDisk, folder: &'t str) -> Self {
        Self { places: Vec::new(), runs: Vec::new(), in_memory: IN_MEMORY, disk, folder }
    }

    /// This stands in that line.
    pub fn note(&mut self, key: u128, line: u64) -> Result<(), BackupError> {
        self.places.push((key, line));
        if self.places.len() < self.in_memory {
            return Ok(());
        }
        self.places.sort_unstable();
        let (temporary, file) = Temporary::create(self.disk, self.folder)?;
        let mut bytes = Vec::with_capacity(1 << 16);
        let mut at = 0;
        for places in self.places.chunks((1 << 16) / PLACE_BYTES) {
            bytes.clear();
            for (key, line) in places {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(&line.to_le_bytes());
            }
            file.write_all_at(at, &bytes)?;
            at += bytes.len() as u64;
        }
        self.runs.push(temporary);
        self.places.clear();
        Ok(())
    }

    /// The first line with something that stands in an earlier one.
    pub fn first(mut self) -> Result<Option<u64>, BackupError> {
        self.places.sort_unstable();
        let mut files = Vec::new();
        for run in &self.runs {
            files.push(view(self.disk.as_ref(), &run.path)?);
        }
        let mut runs: Vec<Box<dyn Iterator<Item = Place> + '_>> = Vec::new();
        for file in &files {
            runs.push(Box::new(file.chunks_exact(PLACE_BYTES).filter_map(place)));
        }
        runs.push(Box::new(self.places.iter().copied()));
        Ok(merge(runs))
    }
}

fn place(bytes: &[u8]) -> Option<Place> {
    let (key, line) = bytes.split_first_chunk::<16>()?;
    Some((u128::from_le_bytes(*key), u64::from_le_bytes(line.try_into().ok()?)))
}

/// The first line that is not the first one with its key.
fn merge(mut runs: Vec<Box<dyn Iterator<Item = Place> + '_>>) -> Option<u64> {
    let mut next: BinaryHeap<Reverse<(Place, usize)>> = BinaryHeap::new();
    for (run, places) in runs.iter_mut().enumerate() {
        next.extend(places.next().map(|place| Reverse((place, run))));
    }
    let (mut last, mut first) = (None, None);
    while let Some(Reverse(((key, line), run))) = next.pop() {
        if last == Some(key) {
            first = Some(first.map_or(line, |first: u64| first.min(line)));
        }
        last = Some(key);
        let place = runs.get_mut(run).and_then(Iterator::next);
        next.extend(place.map(|place| Reverse((place, run))));
    }
    first
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::rng::{Rng as _, SeededRng};

    #[test]
    fn what_stands_twice_is_found_in_memory_and_in_files() {
        let mut rng = SeededRng::new(8);
        for in_memory in [3, 7, 64, 1000] {
            for lines in [0, 1, 6, 7, 50, 400] {
                for twice in [None, Some((0, lines / 2)), Some((lines / 3, lines.max(1) - 1))] {
                    let mut keys: Vec<u128> =
                        (0..lines).map(|_| u128::from(rng.next_u64()) << 40).collect();
                    let twice = twice.filter(|(first, second)| first < second);
                    if let Some((first, second)) = twice {
                        keys[second] = keys[first];
                    }
                    let disk: SharedDisk = Arc::new(SimDisk::new());
                    let mut found = Twice { in_memory, ..Twice::new(&disk, "") };
                    for (line, key) in keys.iter().enumerate() {
                        found.note(*key, line as u64).unwrap();
                    }
                    let line = found.first().unwrap();
                    assert_eq!(line, twice.map(|(_, second)| second as u64), "{in_memory} {lines}");
                }
            }
        }
    }
}
