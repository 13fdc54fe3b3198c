//! Counting and finding bits, eight bytes at a time, or 32 where the processor can.
//!
//! # Why the unsafe code is sound
//!
//! `count_avx2` is safe code compiled for processors with AVX2; calling it is unsafe only because it must not run on
//! others, and it is called only after asking the processor.

use super::BitRange;

/// The whole bytes of a range, and the bytes at its ends with what does not belong to it cleared
/// (`fill` false) or set (`fill` true).
struct Pieces<'b> {
    head: u8,
    head_at: usize,
    middle: &'b [u8],
    tail: Option<u8>,
}

fn pieces(bytes: &[u8], range: BitRange, fill: bool) -> Pieces<'_> {
    let index = |bit: u64| usize::try_from(bit >> 3).unwrap_or(usize::MAX);
    let (from, to) = (index(range.first), index(range.last));
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let outside_head = !(0xFFu8 >> (range.first & 7));
    let outside_tail = (0x7Fu16 >> (range.last & 7)) as u8;
    let mask = |byte: u8, outside: u8| if fill { byte | outside } else { byte & !outside };
    if from == to {
        let head = mask(byte(from), outside_head | outside_tail);
        return Pieces { head, head_at: from, middle: &[], tail: None };
    }
    Pieces {
        head: mask(byte(from), outside_head),
        head_at: from,
        middle: bytes.get(from + 1..to).unwrap_or_default(),
        tail: Some(mask(byte(to), outside_tail)),
    }
}

/// How many bits of the range are set.
pub(super) fn count(bytes: &[u8], range: BitRange) -> u64 {
    let Pieces { head, middle, tail, .. } = pieces(bytes, range, false);
    let ends = head.count_ones() + tail.map_or(0, u8::count_ones);
    count_all(middle) + u64::from(ends)
}

fn count_all(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt")
    {
        #[allow(unsafe_code, reason = "the processor was asked: see the module's head")]
        // SAFETY: the features that it is compiled for are there.
        return unsafe { count_avx2(bytes) };
    }
    count_portable(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn count_avx2(bytes: &[u8]) -> u64 {
    count_portable(bytes)
}

#[inline]
fn count_portable(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: u64 =
        words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
    let in_rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    in_words + in_rest
}

/// The first bit of the range that is set (or clear, if that is wanted).
pub(super) fn find(bytes: &[u8], range: BitRange, wanted: bool) -> Option<u64> {
    let Pieces { head, head_at, middle, tail } = pieces(bytes, range, !wanted);
    // Look for a byte that is not all of the other kind.
    let none = if wanted { 0x00 } else { 0xFF };
    let leading =
        |byte: u8| u64::from(if wanted { byte.leading_zeros() } else { byte.leading_ones() });
    let bit = |at: usize, byte: u8| at as u64 * 8 + leading(byte);
    if head != none {
        return Some(bit(head_at, head));
    }
    let (words, rest) = middle.as_chunks::<8>();
    let skipped = words.iter().take_while(|word| **word == [none; 8]).count() * 8;
    let tail_at = head_at + 1 + words.len() * 8 + rest.len();
    let within = middle.get(skipped..).unwrap_or_default();
    match within.iter().position(|byte| *byte != none) {
        Some(at) => Some(bit(head_at + 1 + skipped + at, within[at])),
        None => tail.filter(|tail| *tail != none).map(|tail| bit(tail_at, tail)),
    }
}
