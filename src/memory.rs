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

/// Bytes of physical memory that the process occupies.
pub fn process_resident_bytes() -> u64 {
    let text = kernel_file("/proc/self/statm");
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
