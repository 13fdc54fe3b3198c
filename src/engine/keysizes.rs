//! INFO keysizes: how many keys have values of what size, in powers of two.
//!
//! Sizes are bytes of strings and elements of collections; streams have none. The figures come from a
//! walk over all keys when they are asked for, so that no write pays for them. `INFO all` leaves the
//! section out where that walk would hold everybody up: see [`is_cheap`].

use std::fmt::Write;

use super::Engine;
use crate::keyspace::{Entry, StrRef, ValueRef};

/// Bins: 0, and one for each power of two of a 64 bit size.
const BINS: usize = 65;
/// Keys that `INFO all` walks over: some milliseconds. A plain INFO, which is asked for often, takes less.
const KEYS_WALKED_BY_ALL: usize = 100_000;
const KEYS_WALKED_BY_DEFAULT: usize = 10_000;

/// The kinds of values with the words of their lines.
const KINDS: [&str; 5] =
    ["strings_sizes", "lists_items", "sets_items", "zsets_items", "hashes_items"];

/// Whether the section takes no time worth mentioning.
pub(super) fn is_cheap(engine: &Engine, everything: bool) -> bool {
    let most = if everything { KEYS_WALKED_BY_ALL } else { KEYS_WALKED_BY_DEFAULT };
    (0..engine.ks.databases()).map(|db| engine.ks.len(db)).sum::<usize>() <= most
}

/// The lines of all databases.
pub(super) fn render(engine: &Engine, out: &mut String) {
    for db in 0..engine.ks.databases() {
        let mut counts = [[0u64; BINS]; KINDS.len()];
        for entry in engine.ks.entries(db) {
            let place =
                size(entry).and_then(|(kind, size)| counts.get_mut(kind)?.get_mut(bin(size)));
            if let Some(count) = place {
                *count += 1;
            }
        }
        for (kind, counts) in KINDS.iter().zip(&counts) {
            write_line(out, db, kind, counts);
        }
    }
}

/// The kind of a value, as an index, and its size.
fn size(entry: &Entry) -> Option<(usize, usize)> {
    Some(match entry.value() {
        ValueRef::Str(StrRef::Int(value)) => (0, digits(value)),
        ValueRef::Str(StrRef::Bytes(bytes)) => (0, bytes.len()),
        ValueRef::List(list) => (1, list.len()),
        ValueRef::Set(set) => (2, set.len()),
        ValueRef::ZSet(zset) => (3, zset.len()),
        ValueRef::Hash(hash) => (4, hash.len()),
        ValueRef::Stream(_) => return None,
    })
}

/// Bytes of an integer as text.
fn digits(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log as usize + 1);
    digits + usize::from(value < 0)
}

/// 0 for 0, and i + 1 for sizes from 2^i on.
fn bin(size: usize) -> usize {
    (usize::BITS - size.leading_zeros()) as usize
}

fn write_line(out: &mut String, db: usize, kind: &str, counts: &[u64; BINS]) {
    let mut separator = "";
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        if separator.is_empty() {
            let _ = write!(out, "db{db}_distrib_{kind}:");
        }
        let _ = write!(out, "{separator}{}={count}", label(bin));
        separator = ",";
    }
    if !separator.is_empty() {
        out.push_str("\r\n");
    }
}

/// The smallest size of a bin: 0, 1, 2, ... 512, 1K, ... 512K, 1M, ...
fn label(bin: usize) -> String {
    let Some(power) = bin.checked_sub(1) else { return "0".to_owned() };
    let unit = ["", "K", "M", "G", "T", "P", "E"].get(power / 10).copied().unwrap_or_default();
    format!("{}{unit}", 1u64 << (power % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_is_named_by_its_smallest_size() {
        for (size, name) in [
            (0, "0"),
            (1, "1"),
            (3, "2"),
            (4, "4"),
            (1023, "512"),
            (1024, "1K"),
            ((1 << 20) - 1, "512K"),
            (1 << 20, "1M"),
            (usize::MAX, "8E"),
        ] {
            assert_eq!(label(bin(size)), name, "{size}");
        }
    }

    #[test]
    fn integers_have_the_size_of_their_text() {
        for value in [0, 9, 10, -1, -10, i64::MAX, i64::MIN] {
            assert_eq!(digits(value), value.to_string().len(), "{value}");
        }
    }

    #[test]
    fn only_sizes_that_occur_are_shown() {
        let mut counts = [0; BINS];
        let mut out = String::new();
        write_line(&mut out, 0, "lists_items", &counts);
        assert_eq!(out, "");
        (counts[3], counts[11]) = (2, 1);
        write_line(&mut out, 7, "lists_items", &counts);
        assert_eq!(out, "db7_distrib_lists_items:4=2,1K=1\r\n");
    }
}
