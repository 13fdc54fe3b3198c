//! Bytes that say their own length, owned by one pointer: what a listpack or an intset is in memory.
//!
//! A small collection is mostly such a blob, and its owner is part of the key's block, so a length and a
//! capacity beside the pointer would be a third of what it takes. The length is in the blob's head anyway,
//! and the capacity follows from the length: all that the allocator hands out for so many bytes, so that
//! growing by an element seldom moves the block.
//!
//! # Why the unsafe code is sound
//!
//! 1. A block has `block_size(len)` bytes, where `len` is what its head says (`Head::len`, a function of
//!    the head's bytes alone, at least the head's size). The head is written by `new`, `from` and `set_head`
//!    only, which make the block fit it; owners get the body to change, never the head. So `free` has the
//!    layout of `allocate`.
//! 2. All bytes up to `len` are initialised: `allocate` zeroes, and `set_head` zeroes what is added.
//! 3. The block is owned alone: `&self` reads, `&mut self` writes, slices borrow self. Plain bytes, so
//!    Send and Sync.
#![allow(unsafe_code, reason = "a thin pointer; the proof is in the module's head")]

use crate::memory::block_size;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error, realloc};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::near;

/// What the first bytes of a blob say.
///
/// # Safety
/// `len` must depend on its argument alone and be at least `SIZE`.
pub unsafe trait Head {
    /// Bytes of the head.
    const SIZE: usize;
    /// Length of the whole blob.
    fn len(head: &[u8]) -> usize;
}

/// The bytes; the head's type says how long they are.
pub struct Blob<H: Head> {
    block: NonNull<u8>,
    head: PhantomData<fn() -> H>,
}

// SAFETY: point 3 of the module's head.
unsafe impl<H: Head> Send for Blob<H> {}
// SAFETY: as above.
unsafe impl<H: Head> Sync for Blob<H> {}

impl<H: Head> Blob<H> {
    /// A blob with this head and a body of zeros.
    pub fn new(head: &[u8]) -> Self {
        let head = &head[..H::SIZE];
        let block = allocate(H::len(head));
        // SAFETY: the new block is at least as long as the head (point 1).
        unsafe { block.copy_from_nonoverlapping(NonNull::from(head).cast(), H::SIZE) };
        Self { block, head: PhantomData }
    }

    /// A copy of bytes whose head is right.
    ///
    /// # Panics
    /// When it is not.
    pub fn from(bytes: &[u8]) -> Self {
        let mut blob = Self::new(bytes);
        blob.body_mut().copy_from_slice(&bytes[H::SIZE..]);
        blob
    }

    /// Length of the blob, the head included.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        // SAFETY: points 1 and 2: every block begins with a head.
        H::len(unsafe { std::slice::from_raw_parts(self.block.as_ptr(), H::SIZE) })
    }

    /// Has its beginning on its way.
    #[inline]
    pub fn bring_near(&self) {
        near::bring(self.block.as_ptr());
        near::bring(self.block.as_ptr().wrapping_add(near::LINE));
    }

    /// The blob.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: points 1 and 2.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.len_bytes()) }
    }

    /// All bytes behind the head.
    #[inline]
    pub fn body_mut(&mut self) -> &mut [u8] {
        let len = self.len_bytes();
        // SAFETY: points 1 to 3.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr(), len) };
        &mut bytes[H::SIZE..]
    }

    /// Writes the head. When it says another length, the end of the body goes, or zeros are added to it.
    #[inline]
    pub fn set_head(&mut self, head: &[u8]) {
        let head = &head[..H::SIZE];
        let (old, new) = (self.len_bytes(), H::len(head));
        if block_size(old) != block_size(new) {
            self.resize(old, new);
        }
        // SAFETY: points 1 and 2: the block has `new` bytes, and the head fits into them.
        unsafe {
            if new > old {
                self.block.add(old).write_bytes(0, new - old);
            }
            self.block.copy_from_nonoverlapping(NonNull::from(head).cast(), H::SIZE);
        }
    }

    /// Bytes of the block.
    pub fn memory_bytes(&self) -> usize {
        block_size(self.len_bytes())
    }

    /// Gives the block the size for `new` bytes; the head is the caller's to set.
    #[cold]
    fn resize(&mut self, old: usize, new: usize) {
        let to = layout(new);
        // SAFETY: point 1: the block's own layout; the new size is that of a valid layout.
        let moved = unsafe { realloc(self.block.as_ptr(), layout(old), to.size()) };
        self.block = NonNull::new(moved).unwrap_or_else(|| handle_alloc_error(to));
    }
}

impl<H: Head> Clone for Blob<H> {
    fn clone(&self) -> Self {
        Self::from(self.bytes())
    }
}

impl<H: Head> Drop for Blob<H> {
    fn drop(&mut self) {
        let layout = layout(self.len_bytes());
        // SAFETY: points 1 and 3.
        unsafe { dealloc(self.block.as_ptr(), layout) }
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(block_size(len), 8).expect("a blob smaller than isize::MAX")
}

fn allocate(len: usize) -> NonNull<u8> {
    let layout = layout(len);
    assert!(layout.size() > 0);
    // SAFETY: the layout has a size.
    let block = unsafe { alloc_zeroed(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Short;

    // SAFETY: of the bytes alone, and at least two.
    unsafe impl Head for Short {
        const SIZE: usize = 2;
        fn len(head: &[u8]) -> usize {
            2 + usize::from(head[0]) + 256 * usize::from(head[1])
        }
    }

    fn head(body: usize) -> [u8; 2] {
        (body as u16).to_le_bytes()
    }

    #[test]
    fn grows_and_shrinks_with_its_head() {
        let mut blob = Blob::<Short>::new(&head(0));
        let mut body = Vec::new();
        let mut step = 0usize;
        for len in (0..700).chain((0..700).rev()).chain([5, 6000, 63, 64, 65, 1, 40_000, 0]) {
            blob.set_head(&head(len));
            body.resize(len, 0);
            assert_eq!(blob.bytes(), [&head(len)[..], &body].concat());
            step += 1;
            if let Some(last) = blob.body_mut().last_mut() {
                *last = step as u8;
                body[len - 1] = step as u8;
            }
            assert_eq!(blob.clone().bytes(), blob.bytes());
            assert!(blob.memory_bytes() >= blob.len_bytes());
        }
    }

    #[test]
    #[should_panic(expected = "length")]
    fn bytes_that_are_shorter_than_they_say_are_refused() {
        let _ = Blob::<Short>::from(&[3, 0, 1]);
    }
}
