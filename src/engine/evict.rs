//! Keeping memory below its limits: keys go before a command that would need more (`maxmemory`), clients
//! that hold too much are closed (`maxmemory-clients`).
//!
//! `used_memory` is what the allocator has handed out. The cron counts it exactly; in between, whoever
//! holds the engine's lock follows it by the allocator's counters of its own thread, which cost nothing
//! to read and see every byte that commands allocate and free under the lock. What other threads do
//! meanwhile (buffers of connections, the reclaim thread) is known a tenth of a second later, or when
//! the limit is reached: nothing is given up, and nothing refused, on a figure older than [`FRESH`].
//!
//! Evictions are units of their own, in the log before the command they make room for. Their time is
//! bounded (`maxmemory-eviction-tenacity`): when it is over, the command runs, and the rest goes before
//! the next one or in the cron. While loading nothing is evicted and nothing refused, so that a limit
//! never keeps a server from starting.

use std::time::Duration;

use super::Engine;
use crate::command::server::latency::event;
use crate::command::state::ServerState;
use crate::config::MaxmemoryPolicy;
use crate::keyspace::Entry;
use crate::keyspace::evict::{Evicted, EvictionOrder, Spare};
use crate::resp::Args;
use crate::session::{Client, ClientId, Mail};

/// How old the count of memory may be on which keys are given up or writes refused.
const FRESH: Duration = Duration::from_millis(1);
/// Clients are looked at before a request when a share of their limit was sent or received since: 1 / this.
const CLIENT_LOOK_SHARE: u64 = 16;
/// Keys that go in one unit, and between two looks at the time.
const KEYS_PER_LOOK: usize = 16;

impl ServerState {
    /// Bytes in use beyond `maxmemory`: 0 without a limit. Records that wait to be written and the
    /// copies of a running snapshot do not count, or one write's log would evict the next one's key; nor
    /// does what is being freed, nor what clients are told of evictions, nor what waits for replicas: each eviction
    /// would add to it.
    pub fn excess_memory(&self) -> u64 {
        let limit = self.config.maxmemory;
        if limit == 0 {
            return 0;
        }
        self.used_memory.saturating_sub(self.uncounted_memory()).saturating_sub(limit)
    }

    /// Memory that does not count against `maxmemory`.
    pub fn uncounted_memory(&self) -> u64 {
        let persistence = &self.persistence;
        persistence.appended.saturating_sub(persistence.written)
            + persistence.snapshot_bytes
            + self.eviction.reclaiming
            + self.eviction.notices.memory_bytes()
            + self.eviction.replica_bytes
    }

    /// Whether memory is above `maxmemory`.
    pub fn over_limit(&self) -> bool {
        self.excess_memory() > 0
    }
}

impl Engine {
    /// The lock was taken by this thread: from here on its allocations are followed.
    pub fn mark_memory(&mut self) {
        self.memory_mark = crate::memory::thread_balance();
    }

    /// Adds to `used_memory` what this thread has allocated and freed since the last look.
    pub fn follow_memory(&mut self) {
        let balance = crate::memory::thread_balance();
        let grown = balance.wrapping_sub(self.memory_mark);
        self.memory_mark = balance;
        let server = &mut self.server;
        server.eviction.replica_bytes = self.sessions.replicas.bell.memory_bytes() as u64;
        server.used_memory = server.used_memory.saturating_add_signed(grown);
        server.used_memory_peak = server.used_memory_peak.max(server.used_memory);
    }

    /// Asks the allocator how much is in use.
    pub fn sample_memory(&mut self) {
        self.server.eviction.notices.recount();
        let used = crate::memory::allocated_bytes();
        self.memory_mark = crate::memory::thread_balance();
        let server = &mut self.server;
        server.used_memory = used;
        server.eviction.counted_at = self.monotonic;
        server.used_memory_peak = server.used_memory_peak.max(used);
        if server.memory_at_start == 0 {
            server.memory_at_start = used;
            server.memory_overhead = used;
        }
    }

    /// The reclaim thread has freed about `bytes` bytes.
    pub fn reclaimed(&mut self, bytes: u64) {
        let reclaiming = &mut self.server.eviction.reclaiming;
        *reclaiming = reclaiming.saturating_sub(bytes);
        self.sample_memory();
    }

    /// Before a command: evicts while memory is above its limit, and notes whether that was in vain.
    #[inline]
    pub(super) fn free_memory(&mut self) {
        if self.server.running_script.is_some() {
            // What a request beside a script evicts would be in the log before what the script did to it.
            return;
        }
        if self.server.config.maxmemory == 0 {
            self.server.eviction.out_of_memory = false;
            return;
        }
        self.follow_memory();
        self.evict_if_over();
    }

    /// Whether memory is above `maxmemory` and nothing may go, as it was before the running command.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.server.eviction.out_of_memory
    }

    /// More of the same in the cron, when a command's time was not enough. True when there is more to do.
    pub fn evict_cycle(&mut self) -> bool {
        if self.server.eviction.over_limit_since.is_none() {
            return false;
        }
        self.begin_batch();
        self.evict_if_over();
        self.server.eviction.over_limit_since.is_some() && !self.server.eviction.out_of_memory
    }

    fn evict_if_over(&mut self) {
        self.server.eviction.out_of_memory = false;
        if self.server.loading.is_some() || self.is_paused() {
            return;
        }
        if self.server.over_limit() {
            self.evict();
        } else if let Some(since) = self.server.eviction.over_limit_since.take() {
            self.server.eviction.over_limit += self.monotonic().saturating_sub(since);
        }
    }

    #[cold]
    fn evict(&mut self) {
        let now = self.monotonic();
        if now.saturating_sub(self.server.eviction.counted_at) >= FRESH {
            self.sample_memory();
            if !self.server.over_limit() {
                return;
            }
        }
        self.server.eviction.over_limit_since.get_or_insert(now);
        let Some(order) = order(&self.server) else {
            self.server.eviction.out_of_memory = true;
            return;
        };
        let need = self.ks.need;
        self.ks.effects.clear();
        let begin = self.clock.monotonic();
        let limit = time_limit(self.server.config.maxmemory_eviction_tenacity);
        // What clients are told of it is memory as well, for a moment: keys that went for that would
        // be told of, too, and so on. So it ends when as much was freed as was in excess before.
        let (excess, mut freed) = (self.server.excess_memory(), 0);
        let mut tries = 0;
        while self.server.over_limit() && freed < excess {
            match self.evict_one(order) {
                Some(bytes) => freed += bytes,
                None => {
                    self.server.eviction.out_of_memory = true;
                    break;
                }
            }
            tries += 1;
            if tries % KEYS_PER_LOOK == 0 {
                // What is to be told of thousands of keys takes more memory than small ones free.
                self.commit_evictions();
                if self.clock.monotonic().saturating_sub(begin) > limit {
                    break;
                }
            }
        }
        self.commit_evictions();
        // The command that comes now waits for its own keys only; a reader of an evicted one is held
        // by its position, as after any write.
        self.ks.need = need;
        self.follow_memory();
        if !self.server.over_limit() || freed >= excess {
            self.server.eviction.over_limit_since = None;
        }
        let took = self.clock.monotonic().saturating_sub(begin);
        self.note_latency(event::EVICTION_CYCLE, took);
    }

    /// Commits what went so far, and notes what is told of it.
    fn commit_evictions(&mut self) {
        let told = self.sessions.outgoing.len();
        self.commit(ClientId(0));
        for mail in self.sessions.outgoing.iter_mut().skip(told) {
            if let Mail::Send { bytes, notice, .. } = mail {
                *notice = Some(self.server.eviction.notices.add(bytes.len()));
            }
        }
    }

    /// Looks for a key that may go, and has it go; how many bytes that freed. `None` when none may.
    fn evict_one(&mut self, order: EvictionOrder) -> Option<u64> {
        self.follow_memory();
        let before = self.server.excess_memory();
        match self.ks.evict_one(order, &mut self.rng) {
            Evicted::Entry(entry) => {
                self.server.stats.evicted_keys += 1;
                self.drop_evicted(entry);
            }
            Evicted::Searching => {}
            Evicted::Nothing => return None,
        }
        Some(before.saturating_sub(self.server.excess_memory()))
    }

    fn drop_evicted(&mut self, entry: Entry) {
        if self.server.config.lazyfree_lazy_eviction {
            self.server.release(entry);
        } else {
            drop(entry);
        }
        self.follow_memory();
    }

    /// Before a request: evicts clients when so much was sent and received since the last look, or so much is
    /// held by the one that asks, that they may be above their limit. True when the one that asks is among them: its request is not run.
    #[inline]
    pub(super) fn evict_clients_before(&mut self, id: ClientId, args: &Args) -> bool {
        let config = &self.server.config;
        let limit = config.maxmemory_clients.of(config.maxmemory);
        limit > 0 && self.evict_clients_if_due(limit, id, args)
    }

    fn evict_clients_if_due(&mut self, limit: u64, id: ClientId, args: &Args) -> bool {
        let stats = &self.server.stats;
        let seen = stats.net_input_bytes + stats.net_output_bytes;
        let asked: usize = args.iter().map(<[u8]>::len).sum();
        let held = self.sessions.client(id).map_or(0, Client::memory_bytes);
        let moved = seen.abs_diff(self.server.eviction.client_bytes_seen);
        let look = std::mem::take(&mut self.server.eviction.look_at_clients);
        if !look && moved + (asked + held) as u64 <= limit / CLIENT_LOOK_SHARE {
            return false;
        }
        self.server.eviction.client_bytes_seen = seen;
        self.evict_clients();
        self.sessions.client(id).is_some_and(|client| client.flags.ended)
    }

    /// Closes the clients that hold most until all together are below `maxmemory-clients`.
    pub fn evict_clients(&mut self) {
        let config = &self.server.config;
        let limit = config.maxmemory_clients.of(config.maxmemory);
        if limit == 0 {
            return;
        }
        // Those that are being closed already count no more.
        let counts = |client: &&Client| !client.flags.ended && !client.flags.replica;
        let open = || self.sessions.iter().filter(counts);
        let mut used = open().map(|client| client.memory_bytes() as u64).sum::<u64>();
        if used <= limit {
            return;
        }
        let candidates = open().filter(|client| !client.flags.no_evict && !client.flags.internal);
        let mut clients: Vec<(usize, ClientId)> =
            candidates.map(|client| (client.memory_bytes(), client.id)).collect();
        clients.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, to) in clients {
            if used <= limit {
                break;
            }
            used = used.saturating_sub(bytes as u64);
            self.server.stats.evicted_clients += 1;
            self.logger.notice(format!("Evicting client: id={} tot-mem={bytes}", to.0));
            self.sessions.disconnect(to, ClientId(0));
        }
    }
}

/// What the policy says; `None` when nothing may go.
fn order(server: &ServerState) -> Option<EvictionOrder> {
    use MaxmemoryPolicy::*;
    let config = &server.config;
    if config.import_mode {
        return None;
    }
    let (spare, volatile_only) = match config.maxmemory_policy {
        Noeviction => return None,
        AllkeysLru | AllkeysLfu => (Spare::ByUse, false),
        AllkeysRandom => (Spare::ByChance, false),
        VolatileLru | VolatileLfu => (Spare::ByUse, true),
        VolatileRandom => (Spare::ByChance, true),
        VolatileTtl => (Spare::ByExpiry, true),
    };
    let samples = config.maxmemory_samples as usize;
    Some(EvictionOrder { spare, volatile_only, samples })
}

/// How long evictions may take before one command: 50 us for each step up to 10, then 15 % more for each,
/// and as long as it takes at 100.
fn time_limit(tenacity: u32) -> Duration {
    match tenacity {
        0..=10 => Duration::from_micros(50 * u64::from(tenacity)),
        11..=99 => {
            let more = 1.15f64.powi(i32::try_from(tenacity).unwrap_or(99) - 10);
            Duration::from_secs_f64(500e-6 * more)
        }
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_grows_from_nothing_to_for_ever() {
        assert_eq!(time_limit(0), Duration::ZERO);
        assert_eq!(time_limit(10), Duration::from_micros(500));
        assert!(time_limit(11) > time_limit(10));
        assert!((1.9..2.1).contains(&(time_limit(20).as_secs_f64() * 1e3 - 0.0)));
        assert_eq!(time_limit(100), Duration::MAX);
    }
}
