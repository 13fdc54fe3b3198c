//! LZF, the compression of long strings inside an RDB file.
//!
//! The stream has no header (format-spec/snapshot.md, "Compressed strings"): runs of literals and
//! references of 3 to 264 bytes up to 8192 bytes back. The decompressor never allocates more than a
//! stream of the given length can yield, and refuses whatever does not end exactly at the announced
//! length. Any encoder that produces valid streams will do; this one looks for one candidate per
//! three-byte hash and gives up as soon as the result would not be smaller.
//!
//! The length of a match decides where the next one is looked for. It is found by branches and not
//! computed, as the processor then looks ahead along the branch it expects: half the time for values
//! with a pattern (benches/RESULTS.md, "LZF").

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::cell::Cell;

/// With half as many slots a fifth of the hashes of a list of a thousand items share one.
const HASH_BITS: u32 = 14;
const DISTANCE_MAX: usize = 8192;
const MATCH_MAX: usize = 264;
const LITERALS_MAX: usize = 32;
/// Room behind the limit, so that a reference is written without asking how long it is.
const MARGIN: usize = 8;

type Table = [u32; 1 << HASH_BITS];

thread_local! {
    /// What the last compressor of this thread left: to zero a table takes as long as a short string.
    static SPARE: Cell<Option<LastSeen>> = const { Cell::new(None) };
}

/// Compresses strings one after the other; the table of candidates is reused without being cleared.
#[derive(Debug)]
pub struct Compressor {
    /// There until it is dropped.
    seen: Option<LastSeen>,
}

#[derive(Debug)]
struct LastSeen {
    /// Position (plus `base` at the time) at which a hash was last seen; 64 KiB.
    table: Box<Table>,
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
        let seen = self.seen.take();
        // At the end of a thread there is nothing to leave it to.
        let _ = SPARE.try_with(|spare| spare.set(seen));
    }
}

impl Compressor {
    /// A compressor.
    pub fn new() -> Self {
        Self { seen: SPARE.try_with(Cell::take).ok().flatten() }
    }

    /// Appends the compressed form of `input` to `out` if it takes at most `limit` bytes; else leaves
    /// `out` as it was and returns false.
    pub fn compress(&mut self, input: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + limit + MARGIN, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let seen = self.seen.get_or_insert_with(LastSeen::new);
        let taken = compress_into(seen, input, room).filter(|taken| *taken <= limit);
        out.truncate(start + taken.unwrap_or(0));
        taken.is_some()
    }
}

/// The bytes that the compressed form takes of `room`, if there is enough.
fn compress_into(seen: &mut LastSeen, input: &[u8], room: &mut [u8]) -> Option<usize> {
    let base = seen.claim(input.len())?;
    let table = &mut *seen.table;
    let mut out = Output { room, len: 1, control: 0 };
    let mut at = 0;
    let mut misses = 0usize;
    // The last bytes begin no reference: eight are compared at once.
    while let Some(here) = word_at(input, at) {
        let position = base.wrapping_add(low_half(at));
        let candidate = exchange(table, here, position);
        // What an earlier string left is further back than this one's start.
        let distance = position.wrapping_sub(candidate) as usize;
        let near = distance <= at.min(DISTANCE_MAX);
        let there = if near { word_at(input, at - distance) } else { None };
        let Some(there) = there.filter(|there| (there ^ here) & 0xFF_FFFF == 0) else {
            let [byte, ..] = here.to_le_bytes();
            out.put_literal(byte)?;
            at += 1;
            misses += 1;
            if misses >= 64 {
                // Bytes that do not compress are skimmed with growing steps.
                let end = input.len().min(at + (misses >> 6));
                out.put_literals(input.get(at..end)?)?;
                at = end;
            }
            continue;
        };
        misses = 0;
        let mut len = equal_bytes(here, there);
        if len == 8 {
            len += more_equal_bytes(input, at - distance + 8, at + 8);
        }
        out.put_reference(distance, len)?;
        at += len;
        // What follows a reference is often found again together with its last byte. To note the byte
        // before it too makes the result 1 to 2 % smaller and takes 8 % more time.
        let Some(last) = word_at(input, at - 1) else { break };
        exchange(table, last, position.wrapping_add(low_half(len - 1)));
    }
    out.put_literals(input.get(at..)?)?;
    out.end_run()?;
    Some(out.len)
}

/// Eight bytes, the first one lowest.
#[inline]
fn word_at(input: &[u8], at: usize) -> Option<u64> {
    input.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The low four bytes; what is numbered by them is shorter than 2^30.
#[inline]
fn low_half(number: usize) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl LastSeen {
    fn new() -> Self {
        let table: Option<Box<Table>> = vec![0; 1 << HASH_BITS].into_boxed_slice().try_into().ok();
        Self { table: table.unwrap_or_else(|| Box::new([0; 1 << HASH_BITS])), base: 1 }
    }

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
}

/// Where three bytes, the lowest of `word`, were seen last; `position` is the next time's answer.
#[inline]
fn exchange(table: &mut Table, word: u64, position: u32) -> u32 {
    let three = u32::try_from(word & 0xFF_FFFF).unwrap_or(0);
    let hash = (three << 8).wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS);
    match usize::try_from(hash).ok().and_then(|hash| table.get_mut(hash)) {
        Some(slot) => std::mem::replace(slot, position),
        None => 0,
    }
}

/// How many of the first bytes of two words are equal (see the module's head for the branches).
#[inline]
fn equal_bytes(left: u64, right: u64) -> usize {
    let differs = left ^ right;
    if differs & 0xFFFF_FFFF != 0 {
        return match differs {
            _ if differs & 0xFF != 0 => 0,
            _ if differs & 0xFF00 != 0 => 1,
            _ if differs & 0xFF_0000 != 0 => 2,
            _ => 3,
        };
    }
    match differs >> 32 {
        high if high & 0xFF != 0 => 4,
        high if high & 0xFF00 != 0 => 5,
        high if high & 0xFF_0000 != 0 => 6,
        0 => 8,
        _ => 7,
    }
}

/// How many bytes from `to` on are as those from `from` on, as far as a reference reaches behind its
/// first eight.
#[inline]
fn more_equal_bytes(input: &[u8], from: usize, to: usize) -> usize {
    match (word_at(input, to), word_at(input, from)) {
        (Some(here), Some(there)) if here != there => equal_bytes(here, there),
        _ => many_equal_bytes(input, from, to),
    }
}

#[inline(never)]
fn many_equal_bytes(input: &[u8], from: usize, to: usize) -> usize {
    const MAX: usize = MATCH_MAX - 8;
    let mut len = 0;
    while let (Some(left), Some(right)) = (word_at(input, from + len), word_at(input, to + len)) {
        if left != right || len >= MAX {
            return MAX.min(len + equal_bytes(left, right));
        }
        len += 8;
    }
    let (left, right) = (input.get(from + len..), input.get(to + len..));
    let rest = left.into_iter().flatten().zip(right.into_iter().flatten());
    MAX.min(len + rest.take_while(|(a, b)| a == b).count())
}

/// Where the stream is put; what does not fit any more gives `None`.
struct Output<'a> {
    room: &'a mut [u8],
    /// The next byte's place.
    len: usize,
    /// The place of the control byte of the literals that `len` follows, written at their end.
    control: usize,
}

impl Output<'_> {
    /// A byte as it is.
    #[inline]
    fn put_literal(&mut self, byte: u8) -> Option<()> {
        *self.room.get_mut(self.len)? = byte;
        self.len += 1;
        if self.len - self.control > LITERALS_MAX {
            self.end_run()?;
            self.begin_run();
        }
        Some(())
    }

    fn put_literals(&mut self, bytes: &[u8]) -> Option<()> {
        bytes.iter().try_for_each(|byte| self.put_literal(*byte))
    }

    #[inline]
    fn begin_run(&mut self) {
        self.control = self.len;
        self.len += 1;
    }

    /// Says how many literals there were; without one, the control byte's place is free again.
    #[inline]
    fn end_run(&mut self) -> Option<()> {
        let run = self.len - self.control - 1;
        let [low, ..] = run.to_le_bytes();
        *self.room.get_mut(self.control)? = low.wrapping_sub(1);
        self.len -= usize::from(run == 0);
        Some(())
    }

    /// `len` bytes as they are `distance` bytes back.
    #[inline]
    fn put_reference(&mut self, distance: usize, len: usize) -> Option<()> {
        self.end_run()?;
        let [low, high, ..] = (distance - 1).to_le_bytes();
        let [count, ..] = len.to_le_bytes();
        let place = self.room.get_mut(self.len..)?.first_chunk_mut::<3>()?;
        if len < 9 {
            [place[0], place[1]] = [count.wrapping_sub(2) << 5 | high, low];
            self.len += 2;
        } else {
            *place = [7 << 5 | high, count.wrapping_sub(9), low];
            self.len += 3;
        }
        self.begin_run();
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
    fn matches_of_every_length_come_back_wherever_they_end() {
        let mut compressor = Compressor::new();
        for len in 3..300usize {
            for tail in 0..20u8 {
                let mut input: Vec<u8> = (0..len).map(|at| (at * at / 7 % 191) as u8).collect();
                input.push(255);
                input.extend_from_within(..len);
                input.extend((0..tail).map(|at| 200 + at));
                let packed = round_trip(&mut compressor, &input);
                assert!(len < 40 || packed.is_some(), "{len} bytes twice and {tail} do not shrink");
            }
        }
    }

    #[test]
    fn positions_start_again_when_they_run_out() {
        let mut compressor = Compressor::new();
        assert!(round_trip(&mut compressor, &[7; 500]).is_some());
        compressor.seen.as_mut().unwrap().base = u32::MAX - 100;
        assert!(round_trip(&mut compressor, &[7; 500]).is_some());
        assert_eq!(compressor.seen.as_ref().unwrap().base, 501);
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
