//! Byte strings of pointer size: `ThinBytes`, `ThinPair` and `ThinScored`.
//!
//! They are the entries of tables and trees. A `Box<[u8]>` would put the length beside the pointer
//! and double each slot; here it stands in front of the bytes, in 1 byte for up to 253 of them, 3 up
//! to 64 KiB, 9 beyond. `Option` of each is 8 bytes as well.
//!
//!     ThinBytes:   len | bytes                                                        owned
//!     ThinPair:    flags | field len | value len | [expiry 8] | field | value         owned
//!     ThinScored:  count 4 | score 8 | member len | member                            shared
//!
//! # Why the unsafe code is sound
//!
//! 1. Every pointer comes from `allocate`, which never returns null, and a block's size is computed
//!    from its own headers, which are written before the pointer is given away and change only
//!    together with the block; so the `Layout` at `free` is that of `allocate`, and every offset
//!    read lies inside the block and was initialised.
//! 2. `ThinBytes` and `ThinPair` own their block alone: `&self` only reads, `&mut self` writes, the
//!    slices handed out borrow `self`. They hold plain bytes, so they are Send and Sync.
//! 3. A `ThinScored` block is never written after it is made, but for its atomic count. The count is
//!    the number of handles: it grows by cloning a live handle (relaxed, as in `Arc`), and the handle
//!    that takes it to zero (release, then an acquire load) is the last one and frees. A count that
//!    passes half its range aborts before it could wrap.
//! 4. Fields wider than a byte are read and written unaligned, except the count, whose block is
//!    aligned for it.
#![allow(unsafe_code, reason = "thin pointers; the proof is in the module's head")]

use crate::types::near;
use crate::types::table::Slot;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cmp::Ordering;
use std::fmt;
use std::ptr::{NonNull, copy_nonoverlapping};
use std::sync::atomic::{AtomicU32, Ordering as Atomic};

const LEN_U16: u8 = 0xFE;
const LEN_U64: u8 = 0xFF;

/// Bytes owned by one pointer; they do not change.
pub struct ThinBytes(NonNull<u8>);

/// A field and its value in one block, with room for an expiry time when there is one.
pub struct ThinPair(NonNull<u8>);

/// A member and its score in one block that clones share.
pub struct ThinScored(NonNull<u8>);

// SAFETY: point 2 (and 3 for the shared one) of the module's head.
unsafe impl Send for ThinBytes {}
// SAFETY: as above.
unsafe impl Sync for ThinBytes {}
// SAFETY: as above.
unsafe impl Send for ThinPair {}
// SAFETY: as above.
unsafe impl Sync for ThinPair {}
// SAFETY: as above.
unsafe impl Send for ThinScored {}
// SAFETY: as above.
unsafe impl Sync for ThinScored {}

impl ThinBytes {
    /// A copy of the bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let head = len_size(bytes.len());
        let block = allocate(head + bytes.len(), 1);
        // SAFETY: the block is new and has head + len bytes.
        unsafe {
            write_len(block.as_ptr(), bytes.len());
            write_bytes(block.as_ptr().add(head), bytes);
        }
        Self(block)
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: points 1 and 2: a length and that many bytes, borrowed from self.
        unsafe {
            let (head, len) = read_len(self.0.as_ptr());
            std::slice::from_raw_parts(self.0.as_ptr().add(head), len)
        }
    }

    /// Bytes of the block.
    pub fn memory_bytes(&self) -> usize {
        let len = self.as_bytes().len();
        len_size(len) + len
    }
}

impl Drop for ThinBytes {
    fn drop(&mut self) {
        let size = self.memory_bytes();
        // SAFETY: points 1 and 2: the block's own size, and nobody else has it.
        unsafe { free(self.0, size, 1) }
    }
}

/// Where the parts of a pair are.
struct PairParts {
    expiry_at: usize,
    field_at: usize,
    field_len: usize,
    value_len: usize,
    has_expiry: bool,
}

impl PairParts {
    fn new(field_len: usize, value_len: usize, has_expiry: bool) -> Self {
        let expiry_at = 1 + len_size(field_len) + len_size(value_len);
        let field_at = expiry_at + if has_expiry { 8 } else { 0 };
        Self { expiry_at, field_at, field_len, value_len, has_expiry }
    }

    fn value_at(&self) -> usize {
        self.field_at + self.field_len
    }

    /// Rounded, so that a value of about the same length can take the place of another.
    fn size(&self) -> usize {
        (self.value_at() + self.value_len).next_multiple_of(8)
    }
}

impl ThinPair {
    /// A copy of the field and the value.
    pub fn new(field: &[u8], value: &[u8], expire: Option<u64>) -> Self {
        let parts = PairParts::new(field.len(), value.len(), expire.is_some());
        let block = allocate(parts.size(), 1);
        let start = block.as_ptr();
        // SAFETY: the block is new; the parts lie one behind the other inside it.
        unsafe {
            start.write(u8::from(parts.has_expiry));
            write_len(start.add(1), field.len());
            write_len(start.add(1 + len_size(field.len())), value.len());
            if let Some(at) = expire {
                start.add(parts.expiry_at).cast::<u64>().write_unaligned(at);
            }
            write_bytes(start.add(parts.field_at), field);
            write_bytes(start.add(parts.value_at()), value);
        }
        Self(block)
    }

    /// The field.
    #[inline]
    pub fn field(&self) -> &[u8] {
        let parts = self.parts();
        self.slice(parts.field_at, parts.field_len)
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        let parts = self.parts();
        self.slice(parts.value_at(), parts.value_len)
    }

    /// When the field expires, in milliseconds since the Unix epoch.
    #[inline]
    pub fn expire(&self) -> Option<u64> {
        let parts = self.parts();
        // SAFETY: point 1: the eight bytes are there when the flag says so.
        let at = || unsafe { self.0.as_ptr().add(parts.expiry_at).cast::<u64>().read_unaligned() };
        parts.has_expiry.then(at)
    }

    /// Replaces the value, in place when the block has the room; the expiry time stays.
    pub fn set_value(&mut self, value: &[u8]) {
        let old = self.parts();
        let new = PairParts::new(old.field_len, value.len(), old.has_expiry);
        if new.size() != old.size() || new.field_at != old.field_at {
            *self = Self::new(self.field(), value, self.expire());
            return;
        }
        let start = self.0.as_ptr();
        // SAFETY: same size and same place of the field, so the new value ends inside the block;
        // `value` cannot be part of it, because self is borrowed mutably.
        unsafe {
            write_len(start.add(1 + len_size(old.field_len)), value.len());
            write_bytes(start.add(new.value_at()), value);
        }
    }

    /// Sets or removes the time at which the field expires.
    pub fn set_expire(&mut self, expire: Option<u64>) {
        let parts = self.parts();
        match expire {
            // SAFETY: point 1, and self is borrowed mutably.
            Some(at) if parts.has_expiry => unsafe {
                self.0.as_ptr().add(parts.expiry_at).cast::<u64>().write_unaligned(at);
            },
            None if !parts.has_expiry => (),
            _ => *self = Self::new(self.field(), self.value(), expire),
        }
    }

    /// Bytes of the block.
    pub fn memory_bytes(&self) -> usize {
        self.parts().size()
    }

    #[inline]
    fn parts(&self) -> PairParts {
        let start = self.0.as_ptr();
        // SAFETY: point 1: the flags and two lengths are at the start of every pair.
        unsafe {
            let (field_head, field_len) = read_len(start.add(1));
            let (_, value_len) = read_len(start.add(1 + field_head));
            PairParts::new(field_len, value_len, start.read() != 0)
        }
    }

    #[inline]
    fn slice(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: points 1 and 2: callers pass a part of the block, borrowed from self.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }
}

impl Clone for ThinPair {
    fn clone(&self) -> Self {
        Self::new(self.field(), self.value(), self.expire())
    }
}

impl Drop for ThinPair {
    fn drop(&mut self) {
        let size = self.parts().size();
        // SAFETY: points 1 and 2.
        unsafe { free(self.0, size, 1) }
    }
}

impl ThinScored {
    const SCORE_AT: usize = 4;
    const LEN_AT: usize = 12;
    const ALIGN: usize = align_of::<AtomicU32>();

    /// A copy of the member, with its score.
    pub fn new(score: f64, member: &[u8]) -> Self {
        let head = Self::LEN_AT + len_size(member.len());
        let block = allocate(head + member.len(), Self::ALIGN);
        let start = block.as_ptr();
        // SAFETY: the block is new, aligned for the count, and the parts lie inside it.
        unsafe {
            start.cast::<AtomicU32>().write(AtomicU32::new(1));
            start.add(Self::SCORE_AT).cast::<f64>().write_unaligned(score);
            write_len(start.add(Self::LEN_AT), member.len());
            write_bytes(start.add(head), member);
        }
        Self(block)
    }

    /// The score.
    #[inline]
    pub fn score(&self) -> f64 {
        // SAFETY: point 1; nothing is written after `new` (point 3).
        unsafe { self.0.as_ptr().add(Self::SCORE_AT).cast::<f64>().read_unaligned() }
    }

    /// The member.
    #[inline]
    pub fn member(&self) -> &[u8] {
        // SAFETY: points 1 and 3: the block lives as long as this handle, which is borrowed.
        unsafe {
            let (head, len) = read_len(self.0.as_ptr().add(Self::LEN_AT));
            std::slice::from_raw_parts(self.0.as_ptr().add(Self::LEN_AT + head), len)
        }
    }

    /// The same member with another score. Handles of the old one keep the old score.
    pub fn with_score(&self, score: f64) -> Self {
        Self::new(score, self.member())
    }

    /// Redis' order of sorted sets: by score, then by the bytes of the member.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_score = self.score().partial_cmp(&other.score()).unwrap_or(Ordering::Equal);
        by_score.then_with(|| self.member().cmp(other.member()))
    }

    /// Whether both are handles of one block.
    pub fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Bytes of the block, which its clones share.
    pub fn memory_bytes(&self) -> usize {
        let len = self.member().len();
        Self::LEN_AT + len_size(len) + len
    }

    #[inline]
    fn count(&self) -> &AtomicU32 {
        // SAFETY: points 3 and 4: an initialised, aligned count that lives as long as the handle.
        unsafe { self.0.cast::<AtomicU32>().as_ref() }
    }
}

impl Clone for ThinScored {
    #[inline]
    fn clone(&self) -> Self {
        if self.count().fetch_add(1, Atomic::Relaxed) > u32::MAX / 2 {
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for ThinScored {
    #[inline]
    fn drop(&mut self) {
        if self.count().fetch_sub(1, Atomic::Release) != 1 {
            return;
        }
        // What other handles read must have been read before the block goes. (A load and not a
        // fence, because race detectors understand it.)
        self.count().load(Atomic::Acquire);
        let size = self.memory_bytes();
        // SAFETY: point 3: this was the last handle; point 1: the block's own size.
        unsafe { free(self.0, size, Self::ALIGN) }
    }
}

impl Slot for ThinBytes {
    #[inline]
    fn bring_near(&self) {
        near::bring(self.0.as_ptr());
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Slot for ThinPair {
    #[inline]
    fn bring_near(&self) {
        near::bring(self.0.as_ptr());
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.field()
    }
}

impl Slot for ThinScored {
    #[inline]
    fn bring_near(&self) {
        near::bring(self.0.as_ptr());
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.member()
    }
}

impl Clone for ThinBytes {
    fn clone(&self) -> Self {
        Self::new(self.as_bytes())
    }
}

impl PartialEq for ThinBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ThinBytes {}

impl fmt::Debug for ThinBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for ThinPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, value) = (self.field().escape_ascii(), self.value().escape_ascii());
        write!(f, "\"{field}\" => \"{value}\" until {:?}", self.expire())
    }
}

impl fmt::Debug for ThinScored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.score(), self.member().escape_ascii())
    }
}

/// Bytes that a length takes in front of what it counts.
fn len_size(len: usize) -> usize {
    match len {
        0..0xFE => 1,
        0xFE..=0xFFFF => 3,
        _ => 9,
    }
}

/// # Safety
/// `at` must have `len_size(len)` bytes that may be written.
unsafe fn write_len(at: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match len_size(len) {
            1 => at.write(len as u8),
            3 => {
                at.write(LEN_U16);
                at.add(1).cast::<u16>().write_unaligned(len as u16);
            }
            _ => {
                at.write(LEN_U64);
                at.add(1).cast::<u64>().write_unaligned(len as u64);
            }
        }
    }
}

/// The size of a length and the length itself.
///
/// # Safety
/// `write_len` must have written one at `at`.
#[inline]
unsafe fn read_len(at: *const u8) -> (usize, usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match at.read() {
            LEN_U64 => (9, at.add(1).cast::<u64>().read_unaligned() as usize),
            LEN_U16 => (3, usize::from(at.add(1).cast::<u16>().read_unaligned())),
            len => (1, usize::from(len)),
        }
    }
}

/// # Safety
/// `at` must have `bytes.len()` bytes that may be written and that `bytes` is not part of.
unsafe fn write_bytes(at: *mut u8, bytes: &[u8]) {
    // SAFETY: the caller's promise.
    unsafe { copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) }
}

/// A new block; aborts when there is no memory, as everything in the standard library does.
fn allocate(size: usize, align: usize) -> NonNull<u8> {
    // Headers make every size positive, and slices are shorter than isize::MAX.
    let layout = Layout::from_size_align(size, align).expect("a block smaller than isize::MAX");
    assert!(size > 0);
    // SAFETY: the layout has a size.
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
/// The block must come from `allocate` with the same size and alignment, and not be used after.
unsafe fn free(block: NonNull<u8>, size: usize, align: usize) {
    // SAFETY: the caller's promise; the layout was valid when the block was allocated.
    unsafe { dealloc(block.as_ptr(), Layout::from_size_align_unchecked(size, align)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around the bounds of the header sizes; miri is too slow for the longest.
    const LENGTHS: &[usize] = if cfg!(miri) {
        &[0, 1, 7, 253, 254]
    } else {
        &[0, 1, 7, 252, 253, 254, 255, 65_535, 65_536, 70_000]
    };

    fn bytes(len: usize, salt: u8) -> Vec<u8> {
        (0..len).map(|i| (i as u8).wrapping_mul(7).wrapping_add(salt)).collect()
    }

    #[test]
    fn they_are_as_thin_as_promised() {
        assert_eq!(size_of::<Option<ThinBytes>>(), 8);
        assert_eq!(size_of::<Option<ThinPair>>(), 8);
        assert_eq!(size_of::<Option<ThinScored>>(), 8);
        assert_eq!(ThinBytes::new(&[1; 15]).memory_bytes(), 16);
        assert_eq!(ThinScored::new(0.0, &[1; 11]).memory_bytes(), 24);
        assert_eq!(ThinPair::new(&[1; 10], &[2; 11], None).memory_bytes(), 24);
        assert_eq!(ThinPair::new(&[1; 10], &[2; 11], Some(0)).memory_bytes(), 32);
    }

    #[test]
    fn bytes_of_every_header_size() {
        for &len in LENGTHS {
            let thin = ThinBytes::new(&bytes(len, 3));
            assert_eq!(thin.as_bytes(), bytes(len, 3));
            assert_eq!(thin.clone(), thin);
            assert_eq!(thin.key(), thin.as_bytes());
        }
    }

    #[test]
    fn pairs_change_value_and_expiry() {
        for &field_len in LENGTHS {
            let field = bytes(field_len, 1);
            let mut pair = ThinPair::new(&field, b"", None);
            let mut expire = None;
            for (step, value_len) in LENGTHS.iter().copied().chain([253, 8, 6, 5, 0]).enumerate() {
                let value = bytes(value_len, step as u8);
                pair.set_value(&value);
                if step % 3 == 0 {
                    expire = (step % 2 == 0).then_some(u64::MAX - step as u64);
                    pair.set_expire(expire);
                }
                assert_eq!((pair.field(), pair.value()), (&field[..], &value[..]));
                assert_eq!(pair.expire(), expire);
                let copy = pair.clone();
                assert_eq!((copy.value(), copy.expire()), (&value[..], expire));
            }
            pair.set_expire(Some(1));
            pair.set_expire(Some(2));
            assert_eq!(pair.expire(), Some(2));
        }
    }

    #[test]
    fn a_value_of_like_length_stays_in_place() {
        let mut pair = ThinPair::new(b"field", b"1000000", None);
        let block = pair.0;
        pair.set_value(b"999999");
        assert_eq!((pair.0, pair.value()), (block, &b"999999"[..]));
    }

    #[test]
    fn scored_handles_share_and_the_last_one_frees() {
        for &len in LENGTHS {
            let first = ThinScored::new(1.5, &bytes(len, 9));
            let second = first.clone();
            let moved = first.with_score(-2.0);
            assert!(first.same(&second) && !first.same(&moved));
            drop(first);
            assert_eq!((second.score(), second.member()), (1.5, &bytes(len, 9)[..]));
            assert_eq!((moved.score(), moved.member()), (-2.0, &bytes(len, 9)[..]));
            assert_eq!(moved.order(&second), Ordering::Less);
            assert_eq!(second.count().load(Atomic::Relaxed), 1);
        }
        let (a, b) = (ThinScored::new(0.0, b"a"), ThinScored::new(-0.0, b"b"));
        assert_eq!((a.order(&b), b.order(&a)), (Ordering::Less, Ordering::Greater));
    }

    #[test]
    fn scored_handles_cross_threads() {
        let scored = ThinScored::new(4.0, b"member");
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mine = scored.clone();
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        assert_eq!(mine.clone().member(), b"member");
                    }
                })
            })
            .collect();
        drop(scored);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
