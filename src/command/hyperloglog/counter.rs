//! A HyperLogLog that is in no key: for counts within one command (SUNIONCARD APPROX).

use super::estimate;
use super::registers::{self, REGISTERS, Values};

/// Counts distinct elements approximately, in fixed space.
pub(in crate::command) struct Counter {
    values: Values,
}

impl Counter {
    pub(in crate::command) fn new() -> Self {
        Self { values: [0; REGISTERS] }
    }

    pub(in crate::command) fn add(&mut self, element: &[u8]) {
        let (index, rank) = registers::locate(element);
        if let Some(value) = self.values.get_mut(index) {
            *value = rank.max(*value);
        }
    }

    /// The estimate so far, which is PFCOUNT's for the same elements.
    pub(in crate::command) fn cardinality(&self) -> usize {
        usize::try_from(estimate::cardinality(&self.values)).unwrap_or(usize::MAX)
    }
}
