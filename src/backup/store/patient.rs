//! A store that is waited for, but not for ever: every call has an end, and what may pass is tried again.
//!
//! A call that a store does not answer (a directory on a network that is gone, a connection that says nothing)
//! is given up after a while, as a failure; the thread that made it is left to itself, and when too many of those
//! are about, calls fail at once. A failure that may be over soon is tried again with growing pauses, once the store
//! has shown that it works at all: a wrong address is told at once.
//!
//! A call that was given up may still be carried out later. That is harmless: an object has one content, and
//! who stores one looks at what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::{Listed, Put, Store, StoreError};
use crate::clock::Clock;

/// The first pause before another try; each is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Calls that were given up and have not ended. More of them help nobody.
const STUCK_MAX: usize = 16;

/// How long a store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One call has to be answered within so long.
    pub answer_within: Duration,
    /// What fails is tried again for so long; zero: it is not.
    pub retry_for: Duration,
}

/// Told of a failure that is followed by another try.
pub type Notice = dyn Fn(&StoreError) + Send + Sync;

/// See the module's head.
pub struct Patient {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    patience: Patience,
    notice: Box<Notice>,
    /// It has answered before.
    works: AtomicBool,
    stuck: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Patient {
    /// The store `inner`, waited for with `patience`.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, patience: Patience) -> Self {
        Self {
            inner,
            clock,
            patience,
            notice: Box::new(|_| ()),
            works: AtomicBool::new(false),
            stuck: Arc::default(),
        }
    }

    /// The same, with somebody who is told of failures that are followed by another try.
    pub fn telling(self, notice: Box<Notice>) -> Self {
        Self { notice, ..self }
    }

    fn ask<T: Send + 'static>(
        &self,
        op: &'static str,
        name: &str,
        call: impl Fn(&dyn Store) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let call = Arc::new(call);
        let until = self.clock.monotonic() + self.patience.retry_for;
        let mut pause = PAUSE_FIRST;
        loop {
            let answer = self.once(op, name, Arc::clone(&call));
            match &answer {
                Err(error) if error.transient && self.works.load(Ordering::Relaxed) => {
                    if self.clock.monotonic() + pause > until {
                        return answer;
                    }
                    (self.notice)(error);
                }
                Err(error) if !error.is_not_found() => return answer,
                _ => {
                    self.works.store(true, Ordering::Relaxed);
                    return answer;
                }
            }
            self.clock.sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One try, on a thread of its own.
    fn once<T: Send + 'static>(
        &self,
        op: &'static str,
        name: &str,
        call: Arc<impl Fn(&dyn Store) -> Result<T, StoreError> + Send + Sync + 'static>,
    ) -> Result<T, StoreError> {
        if self.stuck.load(Ordering::Acquire) >= STUCK_MAX {
            return Err(StoreError::transient(op, name, "the store has not answered for a while"));
        }
        let (answer, answered) = sync_channel(1);
        let (inner, stuck) = (Arc::clone(&self.inner), Arc::clone(&self.stuck));
        // Set by whichever comes first, the end of the call or that of the patience; the second one counts.
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let work = move || {
            // Whoever asked may have given up.
            let _ = answer.send(call(inner.as_ref()));
            if ended.swap(true, Ordering::AcqRel) {
                stuck.fetch_sub(1, Ordering::AcqRel);
            }
        };
        let thread = std::thread::Builder::new().name("store-call".to_owned());
        if let Err(error) = thread.spawn(work) {
            return Err(StoreError::transient(op, name, format!("no thread for it: {error}")));
        }
        match answered.recv_timeout(self.patience.answer_within) {
            Ok(result) => result,
            Err(_) => {
                // Only what is given up counts: any number of calls may be under way.
                self.stuck.fetch_add(1, Ordering::AcqRel);
                if over.swap(true, Ordering::AcqRel) {
                    self.stuck.fetch_sub(1, Ordering::AcqRel);
                }
                let waited = self.patience.answer_within.as_secs_f64();
                Err(StoreError::transient(op, name, format!("no answer within {waited} s")))
            }
        }
    }
}

impl Store for Patient {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let (object, bytes) = (name.to_owned(), bytes.to_vec());
        self.ask("put", name, move |store| store.put_new(&object, &bytes))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let object = name.to_owned();
        self.ask("get", name, move |store| store.get(&object))
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let object = name.to_owned();
        self.ask("look at", name, move |store| store.size(&object))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let below = prefix.to_owned();
        self.ask("list", prefix, move |store| store.list(&below))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let object = name.to_owned();
        self.ask("remove", name, move |store| store.remove(&object))
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::store::memory::{Fault, MemoryStore};
    use crate::clock::SimClock;

    fn patient(store: &Arc<MemoryStore>, retry_s: u64) -> (Patient, Arc<SimClock>) {
        let clock = Arc::new(SimClock::at(0));
        let patience = Patience {
            answer_within: Duration::from_millis(30),
            retry_for: Duration::from_secs(retry_s),
        };
        let inner = Arc::<MemoryStore>::clone(store);
        (Patient::new(inner, Arc::<SimClock>::clone(&clock), patience), clock)
    }

    #[test]
    fn what_passes_is_tried_again_and_what_lasts_is_told_in_the_end() {
        let store = Arc::new(MemoryStore::new());
        let (patient, clock) = patient(&store, 60);
        store.fail_from(0, Fault::Fails);
        // Nothing has worked yet: it is told at once.
        assert!(patient.put_new("a", b"1").unwrap_err().transient);
        assert_eq!(store.operations(), 1);
        store.heal();
        assert_eq!(patient.put_new("a", b"1"), Ok(Put::Stored));
        for fault in [Fault::Fails, Fault::AnswerLost, Fault::Stalls] {
            store.fail_at(0, fault);
            assert_eq!(patient.get("a").unwrap(), b"1", "{fault:?}");
            assert_eq!(store.operations(), 2, "{fault:?}");
        }
        // It was stored the first time.
        store.fail_at(0, Fault::AnswerLost);
        assert_eq!(patient.put_new("b", b"2"), Ok(Put::WasThere));
        store.fail_from(0, Fault::Fails);
        let began = clock.monotonic();
        assert!(patient.get("a").unwrap_err().transient);
        let took = (clock.monotonic() - began).as_secs();
        assert!((30..=60).contains(&took) && store.operations() > 5, "{took} s");
        assert!(patient.get("none").unwrap_err().transient);
        store.heal();
        assert!(patient.get("none").unwrap_err().is_not_found(), "and not tried again");
    }

    #[test]
    fn a_store_that_does_not_answer_is_given_up_and_holds_few_threads() {
        let store = Arc::new(MemoryStore::new());
        let (patient, _) = patient(&store, 0);
        store.fail_from(0, Fault::Stalls);
        for _ in 0..STUCK_MAX + 5 {
            let error = patient.size("a").unwrap_err();
            assert!(error.transient && error.why.contains("answer"), "{error}");
        }
        // Threads that were given up may begin only now; no other one was started.
        for _ in 0..30_000 {
            if store.operations() >= STUCK_MAX as u64 {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        assert_eq!(store.operations(), STUCK_MAX as u64);
        store.heal();
        while patient.stuck.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(patient.size("a"), Ok(None));
    }

    #[test]
    fn any_number_of_calls_may_be_under_way() {
        let store = Arc::new(MemoryStore::new());
        let patience =
            Patience { answer_within: Duration::from_secs(60), retry_for: Duration::ZERO };
        let inner = Arc::<MemoryStore>::clone(&store);
        let patient = Patient::new(inner, Arc::new(SimClock::at(0)), patience);
        store.fail_from(0, Fault::Stalls);
        std::thread::scope(|scope| {
            let calls: Vec<_> =
                (0..2 * STUCK_MAX).map(|_| scope.spawn(|| patient.size("a"))).collect();
            while store.operations() < 2 * STUCK_MAX as u64
                && !calls.iter().any(|call| call.is_finished())
            {
                std::thread::yield_now();
            }
            store.heal();
            for call in calls {
                assert_eq!(call.join().unwrap(), Ok(None));
            }
        });
    }
}
