//! Whether the members of a packed collection all differ: asked of every one that is loaded.
//!
//! Elements are told apart by a part of their hash in a small table on the stack, so the usual case
//! allocates and sorts nothing. Two equal parts are rare and are then settled by comparing texts.
//! Text counts, not form: the integer 5 and the string "5" are equal.

use super::{Element, ListpackRef};
use crate::types::hash64::hash64;

/// Places of the table for up to half as many elements.
const SMALL: usize = 256;
const LARGE: usize = 2048;

/// Whether `count` elements, each the first of `width`, differ.
pub(super) fn all_differ(list: ListpackRef<'_>, count: usize, width: usize) -> bool {
    if count <= SMALL / 2 {
        differ_in(&mut [0; SMALL], list, width)
    } else if count <= LARGE / 2 {
        differ_in(&mut [0; LARGE], list, width)
    } else {
        let mut hashes: Vec<u64> = list.iter().step_by(width).map(hash_of).collect();
        hashes.sort_unstable();
        hashes.is_sorted_by(|a, b| a < b) || texts_differ(list, width)
    }
}

fn differ_in<const N: usize>(table: &mut [u32; N], list: ListpackRef<'_>, width: usize) -> bool {
    for element in list.iter().step_by(width) {
        let hash = hash_of(element);
        // Never zero, which is a free place.
        let tag = (hash >> 32) as u32 | 1;
        let mut place = hash as usize % N;
        loop {
            match table.get_mut(place) {
                Some(free @ 0) => {
                    *free = tag;
                    break;
                }
                Some(taken) if *taken == tag => return texts_differ(list, width),
                _ => place = (place + 1) % N,
            }
        }
    }
    true
}

fn texts_differ(list: ListpackRef<'_>, width: usize) -> bool {
    let mut texts: Vec<_> = list.iter().step_by(width).map(|element| element.to_cow()).collect();
    texts.sort_unstable();
    texts.is_sorted_by(|a, b| a < b)
}

#[inline]
fn hash_of(element: Element<'_>) -> u64 {
    let number = match element {
        Element::Int(value) => Some(value),
        // Only text that starts like a number can be one.
        Element::Str([b'-' | b'0'..=b'9', ..]) => element.as_int(),
        Element::Str(_) => None,
    };
    match (number, element) {
        (Some(value), _) | (None, Element::Int(value)) => hash64(&value.to_le_bytes()),
        (None, Element::Str(text)) => hash64(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Listpack;
    use super::*;

    #[test]
    fn one_repetition_is_found_in_collections_of_every_size() {
        for count in [1usize, 2, 3, 60, 127, 128, 129, 500, 1023, 1024, 1025, 3000] {
            for width in [1, 2, 3] {
                let mut list = Listpack::new();
                for index in 0..count {
                    list.push_back(format!("member {index}").as_bytes());
                    (1..width).for_each(|_| list.push_back(&b"same"[..]));
                }
                assert!(all_differ(list.view(), count, width), "{count} {width}");
                for repeated in [0, count / 2, count - 1] {
                    let mut list = list.clone();
                    list.push_back(format!("member {repeated}").as_bytes());
                    (1..width).for_each(|_| list.push_back(&b"x"[..]));
                    assert!(!all_differ(list.view(), count + 1, width), "{count} {repeated}");
                }
            }
        }
    }

    #[test]
    fn numbers_and_their_neighbours_differ() {
        let mut list = Listpack::new();
        for value in -600i64..600 {
            list.push_back(value);
        }
        for text in ["", "-0", "00", "05", "-", "1.5", "x"] {
            list.push_back(text.as_bytes());
        }
        // The bytes that the number 5 is hashed by.
        list.push_back(&5i64.to_le_bytes()[..]);
        assert!(all_differ(list.view(), list.len(), 1));
        list.push_back(5);
        assert!(!all_differ(list.view(), list.len(), 1));
    }
}
