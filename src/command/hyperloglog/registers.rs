//! The stored form of a HyperLogLog, byte for byte as Redis has it.
//!
//! A header of 16 bytes: "HYLL", the encoding (0 dense, 1 sparse), three zeros, and the cached
//! cardinality as eight little-endian bytes whose highest bit says that it is stale. Then 16384
//! registers of six bits: either packed, low bits first (dense), or as runs (sparse):
//!
//!     00xxxxxx           x+1 (1..=64) registers are zero
//!     01xxxxxx yyyyyyyy  xy+1 (1..=16384) registers are zero
//!     1vvvvvxx           x+1 (1..=4) registers are v+1 (1..=32)
//!
//! How runs are split and joined when a register is set is part of the format too: two servers that
//! saw the same elements must hold the same bytes. Bytes may come from clients (SET, RESTORE), so
//! nothing here trusts them: runs that do not add up are `Corrupt`.

use super::packing;

/// Bits of the hash that choose the register.
const INDEX_BITS: u32 = 14;
/// How many registers there are.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
/// The other bits of the hash: a register is at most one more.
pub(super) const RANK_BITS: u32 = 64 - INDEX_BITS;
pub(super) const HEADER_BYTES: usize = 16;
const REGISTER_BITS: usize = 6;
const DENSE_BYTES: usize = HEADER_BYTES + (REGISTERS * REGISTER_BITS).div_ceil(8);
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// Greatest value and longest run of the sparse form.
const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const SHORT_ZEROS_MAX: usize = 64;
/// Runs that are looked at when neighbours may be joined.
const JOIN_SCAN: usize = 5;

/// The values of all registers.
pub(super) type Values = [u8; REGISTERS];

/// The runs do not add up to the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// One run of equal registers in the sparse form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Zeros { len: usize, long: bool },
    Values { value: u8, len: usize },
}

impl Run {
    /// The run that starts at `at`.
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let first = *bytes.get(at)?;
        Some(match first >> 6 {
            0 => Self::Zeros { len: usize::from(first) + 1, long: false },
            1 => {
                let second = *bytes.get(at + 1)?;
                let len = usize::from(first & 0x3F) << 8 | usize::from(second);
                Self::Zeros { len: len + 1, long: true }
            }
            _ => Self::Values { value: (first >> 2 & 0x1F) + 1, len: usize::from(first & 3) + 1 },
        })
    }

    /// Zeros in the form that their number asks for.
    fn zeros(len: usize) -> Self {
        Self::Zeros { len, long: len > SHORT_ZEROS_MAX }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::Zeros { len, .. } | Self::Values { len, .. } => len,
        }
    }

    fn value(self) -> u8 {
        match self {
            Self::Zeros { .. } => 0,
            Self::Values { value, .. } => value,
        }
    }

    fn bytes(self) -> usize {
        if matches!(self, Self::Zeros { long: true, .. }) { 2 } else { 1 }
    }

    /// The one or two bytes of the run, at the front.
    fn written(self) -> [u8; 2] {
        match self {
            Self::Zeros { len, long } => {
                let [.., high, low] = (len - 1).to_be_bytes();
                if long { [0x40 | high, low] } else { [low, 0] }
            }
            Self::Values { value, len } => [value_byte(value, len), 0],
        }
    }
}

fn value_byte(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len as u8 - 1)
}

/// The register that an element counts in, and its rank there: the position of the first set bit.
pub(super) fn locate(element: &[u8]) -> (usize, u8) {
    let hash = super::murmur::hash(element);
    let index = usize::try_from(hash & (REGISTERS as u64 - 1)).unwrap_or(0);
    // The bit behind the last one ends the search.
    let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
    (index, rest.trailing_zeros() as u8 + 1)
}

/// A new, empty HyperLogLog.
pub(super) fn empty() -> Vec<u8> {
    let mut bytes = b"HYLL".to_vec();
    bytes.push(SPARSE);
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(&Run::zeros(REGISTERS).written());
    bytes
}

/// Whether the bytes look like a HyperLogLog.
pub(super) fn is_valid(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(b"HYLL")
        && match bytes[4] {
            DENSE => bytes.len() == DENSE_BYTES,
            encoding => encoding == SPARSE,
        }
}

pub(super) fn is_dense(bytes: &[u8]) -> bool {
    bytes.get(4) == Some(&DENSE)
}

/// The cached cardinality, unless it is stale.
pub(super) fn cached(bytes: &[u8]) -> Option<u64> {
    let cached = u64::from_le_bytes(*bytes.get(8..16)?.first_chunk()?);
    (cached >> 63 == 0).then_some(cached)
}

/// Caches a cardinality.
pub(super) fn set_cached(bytes: &mut [u8], cardinality: u64) {
    if let Some(place) = bytes.get_mut(8..16) {
        place.copy_from_slice(&cardinality.to_le_bytes());
    }
}

/// Makes the cached cardinality stale.
pub(super) fn invalidate(bytes: &mut [u8]) {
    if let Some(byte) = bytes.get_mut(15) {
        *byte |= 0x80;
    }
}

/// The runs of the sparse form, with where each starts. Ends at the first that is cut off.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = (usize, Run)> {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        let run = Run::read(bytes, at)?;
        let start = at;
        at += run.bytes();
        Some((start, run))
    })
}

/// Raises `values` to the registers of a HyperLogLog.
pub(super) fn merge_into(values: &mut Values, bytes: &[u8]) -> Result<(), Corrupt> {
    if is_dense(bytes) {
        packing::raise_to(values, bytes.get(HEADER_BYTES..).unwrap_or_default());
        return Ok(());
    }
    let mut index = 0;
    for (_, run) in runs(bytes) {
        let place = values.get_mut(index..index + run.len()).ok_or(Corrupt)?;
        if run.value() > 0 {
            place.iter_mut().for_each(|value| *value = (*value).max(run.value()));
        }
        index += run.len();
    }
    if index == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

fn dense_register(bytes: &[u8], index: usize) -> u8 {
    let bit = index * REGISTER_BITS;
    let byte = |at: usize| u16::from(bytes.get(HEADER_BYTES + at).copied().unwrap_or(0));
    let pair = byte(bit / 8) | byte(bit / 8 + 1) << 8;
    (pair >> (bit % 8) & 0x3F) as u8
}

fn write_dense(bytes: &mut [u8], index: usize, value: u8) {
    let bit = index * REGISTER_BITS;
    let (at, shift) = (HEADER_BYTES + bit / 8, bit % 8);
    let mask = 0x3Fu16 << shift;
    let [mask_low, mask_high] = mask.to_le_bytes();
    let [low, high] = (u16::from(value) << shift).to_le_bytes();
    if let Some(byte) = bytes.get_mut(at) {
        *byte = *byte & !mask_low | low;
    }
    if let Some(byte) = bytes.get_mut(at + 1) {
        *byte = *byte & !mask_high | high;
    }
}

/// The dense form of a HyperLogLog; as it is if it is dense already.
pub(super) fn to_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if is_dense(bytes) {
        return Ok(());
    }
    let mut values = [0; REGISTERS];
    merge_into(&mut values, bytes)?;
    *bytes = dense_from(bytes, &values);
    Ok(())
}

/// A dense HyperLogLog with the header of `bytes` and these values.
pub(super) fn dense_from(bytes: &[u8], values: &Values) -> Vec<u8> {
    let mut dense = Vec::with_capacity(DENSE_BYTES);
    dense.extend_from_slice(bytes.get(..HEADER_BYTES).unwrap_or_default());
    dense.resize(DENSE_BYTES, 0);
    dense[4] = DENSE;
    put_values(&mut dense, values);
    dense
}

/// Makes these the registers of the dense form.
pub(super) fn put_values(dense: &mut [u8], values: &Values) {
    packing::pack(values, dense.get_mut(HEADER_BYTES..).unwrap_or_default());
}

/// Raises a register to `value`. True if it was lower. The sparse form becomes dense when it would
/// grow beyond `sparse_bytes_max` or cannot hold the value.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    sparse_bytes_max: usize,
) -> Result<bool, Corrupt> {
    if is_dense(bytes) {
        return Ok(raise_dense(bytes, index, value));
    }
    let found = find(bytes, index)?;
    if found.value() >= value {
        return Ok(false);
    }
    raise_found(bytes, found, index, value, sparse_bytes_max)?;
    Ok(true)
}

/// The same for the sparse form and a register that is known to be lower, in the run that holds it.
pub(super) fn raise_found(
    bytes: &mut Vec<u8>,
    found: Found,
    index: usize,
    value: u8,
    sparse_bytes_max: usize,
) -> Result<(), Corrupt> {
    if value > VALUE_MAX || !raise_sparse(bytes, found, index, value, sparse_bytes_max) {
        to_dense(bytes)?;
        raise_dense(bytes, index, value);
    }
    Ok(())
}

/// The same for the dense form, which keeps its size.
pub(super) fn raise_dense(bytes: &mut [u8], index: usize, value: u8) -> bool {
    let raised = dense_register(bytes, index) < value;
    if raised {
        write_dense(bytes, index, value);
        invalidate(bytes);
    }
    raised
}

/// The run that holds a register, and what lies around it.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// Where the run is, the register it starts with, and the run before it.
    at: usize,
    first: usize,
    previous: Option<usize>,
    run: Run,
}

impl Found {
    /// What the register has.
    pub(super) fn value(self) -> u8 {
        self.run.value()
    }
}

/// The run that holds a register. Eight bytes at a time, since the lengths of runs are chance and no
/// branch on one could be foretold: runs of one byte are added up at once, up to the first of two.
pub(super) fn find(bytes: &[u8], index: usize) -> Result<Found, Corrupt> {
    let (mut first, mut previous, mut at) = (0, None, HEADER_BYTES);
    let mut is_near = false;
    loop {
        let eight = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
        if let Some(&eight) = eight.filter(|_| !is_near) {
            let (ones, sum) = one_byte_runs(u64::from_le_bytes(eight));
            is_near = index < first + sum;
            if ones > 0 && !is_near {
                first += sum;
                at += ones;
                previous = Some(at - 1);
                if ones == 8 {
                    continue;
                }
            }
        }
        let run = Run::read(bytes, at).ok_or(Corrupt)?;
        if index < first + run.len() {
            return Ok(Found { at, first, previous, run });
        }
        first += run.len();
        previous = Some(at);
        at += run.bytes();
    }
}

/// How many of eight bytes, from the first (the lowest) on, are runs of one byte, and how many registers
/// those cover together.
fn one_byte_runs(word: u64) -> (usize, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The highest bit of every byte that begins with 01.
    let two_bytes = !word & word << 1 & EACH << 7;
    let ones = two_bytes.trailing_zeros() / 8;
    let kept = if ones == 8 { u64::MAX } else { (1 << (8 * ones)) - 1 };
    // Two bits of those with the highest bit say the length, six of the others; each one less than it is.
    let values = (word >> 7 & EACH) * 0xFF;
    let lens = word & !(values & (EACH * 0x3C)) & (EACH * 0x3F) & kept;
    let pairs = (lens & 0x00FF_00FF_00FF_00FF) + (lens >> 8 & 0x00FF_00FF_00FF_00FF);
    let sum = pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48;
    (ones as usize, sum as usize + ones as usize)
}

/// Whether setting a register to `value` would raise it.
pub(super) fn would_raise(bytes: &[u8], index: usize, value: u8) -> Result<bool, Corrupt> {
    let now =
        if is_dense(bytes) { dense_register(bytes, index) } else { find(bytes, index)?.value() };
    Ok(now < value)
}

/// What a run becomes when one of its registers is set: up to three runs.
#[derive(Default)]
struct Split {
    bytes: [u8; 6],
    len: usize,
}

impl Split {
    /// Adds the run that `run` makes of a length, unless it is zero.
    fn push(&mut self, len: usize, run: impl Fn(usize) -> Run) {
        if len == 0 {
            return;
        }
        let run = run(len);
        if let Some(place) = self.bytes.get_mut(self.len..self.len + 2) {
            place.copy_from_slice(&run.written());
        }
        self.len += run.bytes();
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// False, and nothing changed: there is no room in the sparse form.
fn raise_sparse(
    bytes: &mut Vec<u8>,
    found: Found,
    index: usize,
    value: u8,
    bytes_max: usize,
) -> bool {
    let Found { at, first, previous, run } = found;
    let last = first + run.len() - 1;
    let mut split = Split::default();
    let rest = |len: usize| match run {
        Run::Zeros { .. } => Run::zeros(len),
        Run::Values { value, .. } => Run::Values { value, len },
    };
    split.push(index - first, rest);
    split.push(1, |len| Run::Values { value, len });
    split.push(last.saturating_sub(index), rest);
    let split = split.bytes();
    if split.len() > run.bytes() && bytes.len() + split.len() - run.bytes() > bytes_max {
        return false;
    }
    bytes.splice(at..at + run.bytes(), split.iter().copied());
    join_neighbours(bytes, previous.unwrap_or(HEADER_BYTES));
    invalidate(bytes);
    true
}

/// Joins runs of the same value from `at` on, where setting a register may have made neighbours
/// alike.
fn join_neighbours(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_SCAN {
        let Some(run) = Run::read(bytes, at) else { return };
        if let Run::Values { value, len } = run
            && let Some(Run::Values { value: next, len: next_len }) = Run::read(bytes, at + 1)
            && next == value
            && len + next_len <= VALUE_RUN_MAX
        {
            bytes[at + 1] = value_byte(value, len + next_len);
            bytes.remove(at);
            continue;
        }
        at += run.bytes();
    }
}
