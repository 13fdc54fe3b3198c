//! Freeing what takes long: tables that FLUSHALL took away, large values, what a snapshot kept.
//!
//! Place: the cron takes along what units left for it; at once, when a client waits for it (FLUSHALL without ASYNC).
//! Dropping millions of keys is nobody's turn and nothing that is done under the lock, so each heap has a thread of its
//! own. Without one, it is freed here.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::shared::{Shared, Signal};
use crate::engine::Engine;
use crate::session::ClientId;

/// How long reactors may take to empty their caches of free memory.
const CACHES_EMPTY_IN: Duration = Duration::from_millis(50);

/// What is to be freed.
pub(super) struct Garbage {
    heap: Vec<Box<dyn Any + Send>>,
    /// About so many bytes.
    bytes: u64,
    /// Who waits for that.
    clients: Vec<ClientId>,
}

impl Garbage {
    /// All that there is now.
    pub(super) fn take(engine: &mut Engine) -> Self {
        let mut heap = std::mem::take(&mut engine.server.garbage);
        for table in engine.ks.take_flushed() {
            heap.push(Box::new(table));
        }
        Self {
            heap,
            bytes: std::mem::take(&mut engine.server.eviction.garbage_bytes),
            clients: std::mem::take(&mut engine.server.flushing),
        }
    }

    /// Frees it on another thread, and answers who waits for that.
    pub(super) fn reclaim(self, shared: &Arc<Shared>) {
        if self.heap.is_empty() && self.clients.is_empty() {
            return;
        }
        let Self { heap, bytes, clients } = self;
        let (thread_shared, thread_clients) = (Arc::clone(shared), clients.clone());
        let reclaim = move || {
            drop(heap);
            crate::memory::end_thread_cache();
            freed(&thread_shared, 0, &thread_clients);
            // Nobody may allocate for a while, and only that would give pages back bit by bit. The reactors need
            // an instant to empty their caches.
            crate::memory::ask_for_release();
            thread_shared.wake_all();
            Signal::default().wait(CACHES_EMPTY_IN);
            crate::memory::purge();
            freed(&thread_shared, bytes, &[]);
        };
        let thread = std::thread::Builder::new().name("reclaim".to_owned());
        if thread.spawn(reclaim).is_err() {
            // The heap went with the closure.
            freed(shared, bytes, &clients);
        }
    }
}

/// So many bytes are free, and these clients have waited for that.
fn freed(shared: &Shared, bytes: u64, clients: &[ClientId]) {
    let mut engine = shared.lock();
    engine.begin_batch();
    engine.reclaimed(bytes);
    engine.flushed(clients);
    shared.unlock(engine);
}
