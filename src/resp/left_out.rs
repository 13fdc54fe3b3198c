//! Long strings that a buffer of replies does not hold itself: they are shared with the value they came from, so that
//! neither the reply nor the wait for a slow reader costs a copy.
//!
//! A string stands at a position of the buffer, between its header and its line end, so it is always strictly inside
//! a reply: positions of whole replies never lie on one.

use std::collections::VecDeque;

use bytes::Bytes;

/// The strings left out of a buffer, in the order of their positions.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    strings: VecDeque<(usize, Bytes)>,
    len: usize,
}

impl LeftOut {
    /// Leaves a string out at the present end of a buffer of `position` bytes.
    pub fn push(&mut self, position: usize, string: Bytes) {
        self.len += string.len();
        self.strings.push_back((position, string));
    }

    /// The first string and its position.
    pub fn first(&self) -> Option<(usize, &Bytes)> {
        self.strings.front().map(|(position, string)| (*position, string))
    }

    /// Takes the first string away.
    pub fn pop(&mut self) -> Option<(usize, Bytes)> {
        let (position, string) = self.strings.pop_front()?;
        self.len -= string.len();
        Some((position, string))
    }

    /// Strings and their positions.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Bytes)> {
        self.strings.iter().map(|(position, string)| (*position, string))
    }

    /// Whether a string is left out at this position.
    pub fn is_at(&self, position: usize) -> bool {
        self.strings.binary_search_by_key(&position, |(at, _)| *at).is_ok()
    }

    /// Forgets what is left out of the bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        while self.strings.back().is_some_and(|(position, _)| *position >= len) {
            if let Some((_, string)) = self.strings.pop_back() {
                self.len -= string.len();
            }
        }
    }

    /// Moves the positions from `at` on back: so many bytes are put in there.
    pub fn make_room(&mut self, at: usize, count: usize) {
        for (position, _) in
            self.strings.iter_mut().rev().take_while(|(position, _)| *position >= at)
        {
            *position += count;
        }
    }

    /// Moves all positions forward: so many bytes in front of them are gone.
    pub fn drop_front(&mut self, gone: usize) {
        for (position, _) in &mut self.strings {
            *position -= gone;
        }
    }

    /// Bytes of all strings together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }
}
