//! Asks the processor for memory that will be read soon, without waiting for it.
//!
//! A read of memory that is far away holds up what comes behind it once the processor's window is full; asking for it does
//! not. So many addresses asked for one after the other arrive at about the same time. It is a hint: nothing is read, no
//! address can be wrong, and where a processor is not known here nothing is done.
#![allow(unsafe_code, reason = "a hint that reads nothing, whatever the address")]

/// Bytes of a cache line, of most processors.
pub const LINE: usize = 64;

/// Has the cache line at `address` on its way.
#[inline(always)]
pub fn bring<T>(address: *const T) {
    // SAFETY: prefetching faults at no address and changes nothing that a program can see; SSE is part of x86-64.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    // SAFETY: the same of `prfm`.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        let address: *const u8 = address.cast();
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}
