//! The allocator and what it says of itself: `used_memory` is counted, not guessed.
//!
//! jemalloc, as in Redis: it gives memory back, keeps fragmentation low over weeks, and counts what is
//! allocated. The figures of the choice are in benches/RESULTS.md.

/// The global allocator of the binary.
pub type Allocator = tikv_jemallocator::Jemalloc;

/// INFO's `mem_allocator`.
pub const ALLOCATOR_NAME: &str = "jemalloc-5.3.0";

/// Bytes that the program has allocated and not freed.
pub fn allocated_bytes() -> u64 {
    // The counters are snapshots that an epoch change renews; without jemalloc there are none.
    if tikv_jemalloc_ctl::epoch::advance().is_err() {
        return 0;
    }
    tikv_jemalloc_ctl::stats::allocated::read().map_or(0, |bytes| bytes as u64)
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
