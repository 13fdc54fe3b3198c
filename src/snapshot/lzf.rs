//! LZF, the compression of long strings inside an RDB file.
//!
//! The stream has no header (format-spec/snapshot.md, "Compressed strings"): runs of literals and
//! references of 3 to 264 bytes up to 8192 bytes back. The decompressor never allocates more than a
//! stream of the given length can yield, and refuses whatever does not end exactly at the announced
//! length. Any encoder that produces valid streams will do; this one looks for one candidate per
//! three-byte hash and gives up as soon as the result would not be smaller.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::cell::Cell;

const HASH_BITS: u32 = 13;
const DISTANCE_MAX: usize = 8192;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
const LITERALS_MAX: usize = 32;
/// Bytes that are copied at once.
const STEP: usize = 16;

thread_local! {
    /// What the last compressor of this thread left: to zero a table takes as long as a short string.
    static SPARE: Cell<Option<LastSeen>> = const { Cell::new(None) };
}

/// Compresses strings one after the other; the table of candidates is reused without being cleared.
#[derive(Debug)]
pub struct Compressor {
    seen: LastSeen,
}

#[derive(Debug, Default)]
struct LastSeen {
    /// Position (plus `base` at the time) at which a hash was last seen; 32 KiB.
    table: Vec<u32>,
    /// Positions below it belong to earlier strings.
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        // At the end of a thread there is nothing to leave it to.
        let _ = SPARE.try_with(|spare| spare.set(Some(seen)));
    }
}

impl Compressor {
    /// A compressor.
    pub fn new() -> Self {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let fresh = || LastSeen { table: vec![0; 1 << HASH_BITS], base: 1 };
        Self { seen: spare.unwrap_or_else(fresh) }
    }

    /// Appends the compressed form of `input` to `out` if it takes at most `limit` bytes; else leaves
    /// `out` as it was and returns false.
    pub fn compress(&mut self, input: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + limit, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let taken = self.compress_into(input, room);
        out.truncate(start + taken.unwrap_or(0));
        taken.is_some()
    }

    /// The bytes that the compressed form takes of `room`, if there is enough.
    fn compress_into(&mut self, input: &[u8], room: &mut [u8]) -> Option<usize> {
        let base = self.seen.claim(input.len())?;
        let mut out = Output { room, len: 0 };
        let mut literals = 0;
        let mut at = 0;
        let mut misses = 0usize;
        // The last bytes begin no reference: eight are compared at once.
        while let Some(here) = word_at(input, at) {
            let position = base.wrapping_add(u32::try_from(at).unwrap_or(u32::MAX));
            let candidate = self.seen.exchange(here, position);
            let distance = position.wrapping_sub(candidate) as usize;
            let near = candidate >= base && distance <= DISTANCE_MAX;
            let len = if near { match_len(input, here, at - distance, at) } else { 0 };
            if len < MATCH_MIN {
                // Bytes that do not compress are skimmed with growing steps.
                misses += 1;
                at += 1 + (misses >> 6);
                continue;
            }
            misses = 0;
            out.put_literals(input, literals, at)?;
            out.put_reference(distance, len)?;
            at += len;
            literals = at;
            // What follows a reference is often found again together with its end.
            for end in [at - 2, at - 1] {
                if let Some(here) = word_at(input, end) {
                    let position = base.wrapping_add(u32::try_from(end).unwrap_or(u32::MAX));
                    self.seen.exchange(here, position);
                }
            }
        }
        out.put_literals(input, literals, input.len())?;
        Some(out.len)
    }
}

/// Eight bytes, the first one lowest.
#[inline]
fn word_at(input: &[u8], at: usize) -> Option<u64> {
    input.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

impl LastSeen {
    /// Reserves a range of positions for a string; `None` when it is too long to be numbered.
    fn claim(&mut self, len: usize) -> Option<u32> {
        let len = u32::try_from(len).ok().filter(|len| *len < 1 << 30)?;
        if self.base.checked_add(len).is_none_or(|end| end > u32::MAX - 16) {
            self.table.fill(0);
            self.base = 1;
        }
        let base = self.base;
        self.base += len;
        Some(base)
    }

    /// Where three bytes, the lowest of `word`, were seen last; `position` is the next time's answer.
    #[inline]
    fn exchange(&mut self, word: u64, position: u32) -> u32 {
        let hash = (word & 0xFF_FFFF).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS);
        match usize::try_from(hash).ok().and_then(|hash| self.table.get_mut(hash)) {
            Some(slot) => std::mem::replace(slot, position),
            None => 0,
        }
    }
}

/// How many bytes from `to` on, of which `here` are the first eight, are as those from `from` on: eight at a time.
#[inline]
fn match_len(input: &[u8], here: u64, from: usize, to: usize) -> usize {
    let Some(there) = word_at(input, from) else { return 0 };
    let differs = here ^ there;
    if differs != 0 {
        return differs.trailing_zeros() as usize / 8;
    }
    let mut len = 8;
    while let (Some(left), Some(right)) = (word_at(input, from + len), word_at(input, to + len)) {
        let differs = left ^ right;
        if differs != 0 {
            return MATCH_MAX.min(len + differs.trailing_zeros() as usize / 8);
        }
        len += 8;
        if len >= MATCH_MAX {
            return MATCH_MAX;
        }
    }
    let (left, right) = (input.get(from + len..), input.get(to + len..));
    let rest = left.into_iter().flatten().zip(right.into_iter().flatten());
    MATCH_MAX.min(len + rest.take_while(|(a, b)| a == b).count())
}

/// Where the stream is put; what does not fit any more gives `None`.
struct Output<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Output<'_> {
    /// The bytes of `input` between two positions as they are.
    #[inline]
    fn put_literals(&mut self, input: &[u8], mut from: usize, to: usize) -> Option<()> {
        while from < to {
            let run = (to - from).min(LITERALS_MAX);
            let rest = input.get(from..)?;
            let place = self.room.get_mut(self.len..)?;
            let control = u8::try_from(run - 1).unwrap_or(0);
            match (rest.first_chunk::<STEP>(), place.first_chunk_mut::<{ STEP + 1 }>()) {
                // Most are few: that many bytes cost less than as many as there are.
                (Some(bytes), Some([first, place @ ..])) if run <= STEP => {
                    *first = control;
                    *place = *bytes;
                }
                _ => {
                    let (first, place) = place.split_first_mut()?;
                    *first = control;
                    place.get_mut(..run)?.copy_from_slice(rest.get(..run)?);
                }
            }
            self.len += 1 + run;
            from += run;
        }
        Some(())
    }

    #[inline]
    fn put_reference(&mut self, distance: usize, len: usize) -> Option<()> {
        let [high, low] = u16::try_from(distance - 1).unwrap_or(0).to_be_bytes();
        let place = self.room.get_mut(self.len..)?;
        match u8::try_from(len - 2) {
            Ok(short @ ..7) => {
                *place.first_chunk_mut()? = [short << 5 | high, low];
                self.len += 2;
            }
            _ => {
                let more = u8::try_from(len - 9).unwrap_or(u8::MAX);
                *place.first_chunk_mut()? = [7 << 5 | high, more, low];
                self.len += 3;
            }
        }
        Some(())
    }
}

/// Decompresses a stream that must yield exactly `len` bytes; the error says which rule it breaks.
pub fn decompress(input: &[u8], len: u64) -> Result<Vec<u8>, &'static str> {
    // A reference yields at most 264 bytes from 3, so a larger claim is a lie; allocate nothing for it.
    if len > 88 * input.len() as u64 + 64 {
        return Err("announces more bytes than it can hold");
    }
    let len = usize::try_from(len).map_err(|_| "is longer than memory")?;
    let mut out = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&control, tail)) = rest.split_first() {
        rest = tail;
        if usize::from(control) < LITERALS_MAX {
            let (run, tail) =
                rest.split_at_checked(usize::from(control) + 1).ok_or("literals cut short")?;
            if run.len() > len - out.len() {
                return Err("yields more bytes than announced");
            }
            out.extend_from_slice(run);
            rest = tail;
            continue;
        }
        let mut count = usize::from(control >> 5);
        if count == 7 {
            let (&more, tail) = rest.split_first().ok_or("reference cut short")?;
            count += usize::from(more);
            rest = tail;
        }
        let (&low, tail) = rest.split_first().ok_or("reference cut short")?;
        rest = tail;
        let distance = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
        copy_back(&mut out, distance, count + 2, len)?;
    }
    if out.len() == len { Ok(out) } else { Err("yields fewer bytes than announced") }
}

/// Appends `count` bytes that start `distance` bytes back; they may overlap what they append.
fn copy_back(
    out: &mut Vec<u8>,
    distance: usize,
    mut count: usize,
    limit: usize,
) -> Result<(), &'static str> {
    let from = out.len().checked_sub(distance).ok_or("reference before the start")?;
    if count > limit - out.len() {
        return Err("yields more bytes than announced");
    }
    while count > 0 {
        // What lies between `from` and the end repeats; each round doubles it.
        let chunk = count.min(out.len() - from);
        out.extend_from_within(from..from + chunk);
        count -= chunk;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    fn round_trip(compressor: &mut Compressor, input: &[u8]) -> Option<usize> {
        let mut packed = b"kept".to_vec();
        if !compressor.compress(input, input.len().saturating_sub(4), &mut packed) {
            assert_eq!(packed, b"kept");
            return None;
        }
        assert_eq!(decompress(&packed[4..], input.len() as u64).as_deref(), Ok(input));
        Some(packed.len() - 4)
    }

    #[test]
    fn every_kind_of_input_comes_back() {
        let mut compressor = Compressor::new();
        assert_eq!(round_trip(&mut compressor, &[b'a'; 40]).unwrap(), 5);
        assert!(round_trip(&mut compressor, &vec![0; 1 << 20]).unwrap() < 13000);
        let mut state = 1u64;
        let mut symbols_of = |len: usize, symbols: u64| -> Vec<u8> {
            let mut symbol = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                ((state >> 33) % symbols) as u8
            };
            (0..len).map(|_| symbol()).collect()
        };
        for len in (0..200).chain([8191, 8192, 8193, 8500, 70_000]) {
            for symbols in [1, 2, 4, 256] {
                round_trip(&mut compressor, &symbols_of(len, symbols));
            }
        }
        // A repetition at the largest distance, one beyond it, and random bytes that do not shrink.
        let mut text = symbols_of(8192, 256);
        assert_eq!(round_trip(&mut compressor, &text), None);
        text.extend_from_within(..);
        round_trip(&mut compressor, &text);
    }

    #[test]
    fn positions_start_again_when_they_run_out() {
        let mut compressor = Compressor::new();
        compressor.seen.base = u32::MAX - 100;
        assert!(round_trip(&mut compressor, &[7; 500]).is_some());
        assert_eq!(compressor.seen.base, 501);
    }

    #[test]
    fn redis_stream_is_understood() {
        let packed = [0x01, 0x61, 0x61, 0xe0, 0x1b, 0x00, 0x01, 0x61, 0x61];
        assert_eq!(decompress(&packed, 40).unwrap(), [b'a'; 40]);
    }

    #[test]
    fn damage_is_refused_whatever_it_is() {
        assert!(decompress(&[0x00, 0x61], u64::MAX).is_err(), "a lie about the length");
        assert!(decompress(&[0x20, 0x00], 3).is_err(), "nothing to refer to");
        assert!(decompress(&[0x05, 0x61], 6).is_err(), "literals cut short");
        assert!(decompress(&[0x00, 0x61, 0xe0], 10).is_err());
        assert!(decompress(&[0x00, 0x61, 0x20], 4).is_err());
        assert!(decompress(&[0x00, 0x61], 0).is_err());
        assert!(decompress(&[0x00, 0x61], 2).is_err());
        assert!(decompress(&[0x00, 0x61, 0x20, 0x00], 3).is_err(), "a reference too long");
        assert_eq!(decompress(&[], 0).unwrap(), b"");
        let mut packed = Vec::new();
        let input: Vec<u8> = b"the cat and the other cat and the cat".repeat(5);
        assert!(Compressor::new().compress(&input, 1000, &mut packed));
        for cut in 0..packed.len() {
            assert!(decompress(&packed[..cut], input.len() as u64).is_err(), "{cut}");
        }
        for at in 0..packed.len() {
            for value in 0..=255 {
                let mut damaged = packed.clone();
                damaged[at] = value;
                let _ = decompress(&damaged, input.len() as u64);
            }
        }
    }
}
