//! The allocator and what it says of itself: `used_memory` is counted, not guessed.
//!
//! jemalloc, as in Redis: it gives memory back, keeps fragmentation low over weeks, and counts what is
//! allocated. The figures of the choice are in benches/RESULTS.md.
//!
//! It is built with size classes 8 bytes apart (`.cargo/config.toml`), because most entries are small. Then a
//! block is aligned to 16 only where its size is a multiple of 16, so `Allocator` rounds the sizes of what wants
//! more than 8.
//!
//! # Why the unsafe code is sound
//!
//! Every call goes to jemalloc with a layout made by the same function of the caller's layout, so that `dealloc`
//! and `realloc` get what `alloc` got. The layout has the caller's alignment and at least its size; jemalloc
//! aligns to 8 for itself, and a multiple of 16 is in a size class that is one too, in pages that start at one.
//! What is aligned to a cache line takes another way, past the cache, and that depends on the alignment alone, which
//! stays the same through the life of a block.
#![allow(unsafe_code, reason = "a global allocator; the proof is in the module's head")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use tikv_jemalloc_sys as ffi;
use tikv_jemallocator::Jemalloc;

/// The global allocator of the binary.
pub struct Allocator;

/// Blocks of this alignment come from and go to the allocator's pages, not a thread's cache: a table's buckets are moved so that
/// they fill pages (`types::table`), and a cache would hand out the place that was just left.
const DIRECT_ALIGN: usize = 64;

/// How jemalloc is asked for a block that is aligned to `DIRECT_ALIGN` or more; None for other blocks.
#[inline]
fn direct(layout: Layout) -> Option<i32> {
    let align = layout.align();
    (align >= DIRECT_ALIGN).then(|| ffi::MALLOCX_ALIGN(align) | ffi::MALLOCX_TCACHE_NONE)
}

/// What jemalloc is asked for.
#[inline]
fn fitted(layout: Layout) -> Layout {
    if layout.align() <= 8 { layout } else { layout.pad_to_align() }
}

// SAFETY: the module's head.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(flags) = direct(layout) {
            // SAFETY: the size is not zero, as the caller promises.
            return unsafe { ffi::mallocx(layout.size(), flags).cast() };
        }
        // SAFETY: the size is not zero, as the caller promises of its own, which is not larger.
        unsafe { Jemalloc.alloc(fitted(layout)) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(flags) = direct(layout) {
            // SAFETY: as above.
            return unsafe { ffi::mallocx(layout.size(), flags | ffi::MALLOCX_ZERO).cast() };
        }
        // SAFETY: as above.
        unsafe { Jemalloc.alloc_zeroed(fitted(layout)) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(flags) = direct(layout) {
            // SAFETY: the block came from `alloc` with this layout, so from `mallocx` with its size and alignment.
            return unsafe { ffi::sdallocx(block.cast(), layout.size(), flags) };
        }
        // SAFETY: the block came from `alloc` with this layout.
        unsafe { Jemalloc.dealloc(block, fitted(layout)) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Some(flags) = direct(layout) {
            // SAFETY: as above; the new size is not zero either.
            return unsafe { ffi::rallocx(block.cast(), size, flags).cast() };
        }
        let padding = if layout.align() <= 8 { 1 } else { layout.align() };
        // SAFETY: as above; the caller promises that the new size can be rounded up to the alignment.
        unsafe { Jemalloc.realloc(block, fitted(layout), size.next_multiple_of(padding)) }
    }
}

/// INFO's `mem_allocator`.
pub const ALLOCATOR_NAME: &str = "jemalloc-5.3.0";

/// What jemalloc hands out for a block of so many bytes: multiples of 8 up to 128, then eight sizes to each power of
/// two. Whoever keeps room to grow asks for all of it, and for no more.
#[inline]
pub fn block_size(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.next_multiple_of(8);
    }
    bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 3))
}

/// Bytes that the program has allocated and not freed. What threads keep in their caches for the next allocation
/// is not among them: one refill of a cache can take 80 kB, which a limit would take for data.
pub fn allocated_bytes() -> u64 {
    // The counters are snapshots that an epoch change renews; without jemalloc there are none.
    if tikv_jemalloc_ctl::epoch::advance().is_err() {
        return 0;
    }
    let allocated = tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0);
    allocated.saturating_sub(cached_bytes()) as u64
}

/// Bytes in the caches of all threads. Of the last epoch, as all figures of jemalloc.
fn cached_bytes() -> usize {
    use tikv_jemalloc_ctl::{Access as _, AsName as _, Mib};
    /// Arena 4096 is the sum of all (`MALLCTL_ARENAS_ALL`).
    const NAME: &[u8] = b"stats.arenas.4096.tcache_bytes\0";
    static PLACE: std::sync::OnceLock<Option<Mib<[usize; 4]>>> = std::sync::OnceLock::new();
    let place = PLACE.get_or_init(|| NAME.name().mib().ok());
    place.as_ref().and_then(|place| place.read().ok()).unwrap_or(0)
}

/// Bytes that this thread has allocated less those it has freed, its own or others'. Only differences mean
/// something. It costs two reads, so that whoever holds a lock can follow what happens under it.
#[inline]
pub fn thread_balance() -> i64 {
    use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
    type Counters = (ThreadLocal<u64>, ThreadLocal<u64>);
    thread_local! {
        static COUNTERS: Option<Counters> = allocatedp::read().ok().zip(deallocatedp::read().ok());
    }
    COUNTERS.with(|counters| {
        counters
            .as_ref()
            .map_or(0, |(allocated, freed)| allocated.get().wrapping_sub(freed.get()).cast_signed())
    })
}

/// How often threads were asked to give up their caches.
static RELEASES: AtomicU32 = AtomicU32::new(0);

/// Asks the threads that look (`follow_release`) to give up what they keep for their next allocations. A cached block
/// holds the pages around it: some thousand of them, each in other pages, are tens of megabytes that nobody uses.
pub fn ask_for_release() {
    RELEASES.fetch_add(1, Ordering::Release);
}

/// Gives up this thread's cache when that was asked for since it last looked here.
#[inline]
pub fn follow_release() {
    thread_local! {
        static SEEN: Cell<u32> = const { Cell::new(0) };
    }
    let asked = RELEASES.load(Ordering::Acquire);
    if SEEN.replace(asked) != asked {
        drop_thread_cache();
    }
}

/// Gives the blocks that this thread keeps for its next allocations back to where they came from.
pub fn drop_thread_cache() {
    if use_thread_cache(false) {
        use_thread_cache(true);
    }
}

/// The same for a thread that is about to end: the cache itself, 60 kB, is gone too, which would else be among
/// what is in use.
pub fn end_thread_cache() {
    use_thread_cache(false);
}

/// Off empties the cache; on again, it begins anew. Whether that worked.
fn use_thread_cache(on: bool) -> bool {
    use tikv_jemalloc_ctl::{Access as _, AsName as _, Name};
    let name: &Name = b"thread.tcache.enabled\0".as_slice().name();
    name.write(on).is_ok()
}

/// Gives pages without allocations back to the system.
pub fn purge() {
    use tikv_jemalloc_ctl::{Access as _, AsName as _};
    let arenas = tikv_jemalloc_ctl::arenas::narenas::read().unwrap_or(0);
    for arena in 0..arenas {
        let name = format!("arena.{arena}.dirty_decay_ms\0");
        let name: &tikv_jemalloc_ctl::Name = name.as_bytes().name();
        // A decay time of zero gives everything back at once; then it is what it was.
        let decay: Result<isize, _> = name.read();
        if let Ok(decay) = decay
            && name.write(0isize).is_ok()
        {
            let _ = name.write(decay);
        }
    }
}

/// Bytes in pages that hold allocations, and bytes that are mapped for them.
pub fn active_and_resident_bytes() -> (u64, u64) {
    let active = tikv_jemalloc_ctl::stats::active::read().map_or(0, |bytes| bytes as u64);
    let resident = tikv_jemalloc_ctl::stats::resident::read().map_or(0, |bytes| bytes as u64);
    (active, resident)
}

/// A pseudo file of the kernel about this process or machine; empty where there is none.
#[allow(
    clippy::disallowed_methods,
    reason = "/proc is not the data directory: no Disk stands for it"
)]
pub fn kernel_file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Writes a file of the kernel.
#[allow(
    clippy::disallowed_methods,
    reason = "/proc is not the data directory: no Disk stands for it"
)]
pub fn write_kernel_file(path: &str, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

/// Bytes of physical memory that the process occupies.
pub fn process_resident_bytes() -> u64 {
    let text = kernel_file("/proc/self/statm");
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails as well when jemalloc was built without `.cargo/config.toml`; `cargo clean -p tikv-jemalloc-sys` then.
    #[test]
    fn block_sizes_are_jemallocs() {
        for bytes in (1..=4096).chain([5000, 8191, 8192, 8193, 14_000]) {
            let layout = Layout::from_size_align(bytes, 8).expect("a small layout");
            // SAFETY: the layout has a size; the block is freed with what it was made with.
            let usable = unsafe {
                let block = Allocator.alloc(layout);
                assert!(!block.is_null());
                let usable = tikv_jemallocator::usable_size(block);
                Allocator.dealloc(block, layout);
                usable
            };
            assert_eq!(block_size(bytes), usable, "{bytes}");
        }
    }
}
