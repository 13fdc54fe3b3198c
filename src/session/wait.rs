//! Clients that wait: for a key to get something to pop (BLPOP, XREAD, ...), or for the log (WAITAOF).
//!
//! The engine re-runs the waiting command when one of its keys changed, in the order in which clients
//! began to wait on that key; so a served client is served by the very code that answers at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::ClientId;
use crate::resp::{OwnedArgs, Reply};

/// What a handler asks for when it cannot answer yet.
#[derive(Clone, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    /// When to give up, on the monotonic clock; `None`: never.
    pub deadline: Option<Duration>,
    /// The answer when the time is over.
    pub on_timeout: TimeoutReply,
}

/// What a client gets whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReply {
    /// A null array (BLPOP, XREAD).
    NullArray,
    /// A null (BLMOVE).
    Null,
    /// Two counts (WAITAOF, WAIT has one).
    Counts(i64, Option<i64>),
}

impl Wait {
    /// Writes the answer of a wait whose time is over.
    pub fn write_timeout_reply(&self, reply: &mut Reply) {
        match self.on_timeout {
            TimeoutReply::NullArray => reply.null_array(),
            TimeoutReply::Null => reply.null(),
            TimeoutReply::Counts(count, None) => reply.int(count),
            TimeoutReply::Counts(local, Some(replicas)) => {
                reply.array(2);
                reply.int(local);
                reply.int(replicas);
            }
        }
    }
}

/// What is waited for.
#[derive(Clone, Debug)]
pub enum WaitKind {
    /// One of these keys (of the client's database) to change.
    Keys(Vec<Vec<u8>>),
    /// The local log to be synced up to this position (WAITAOF).
    Synced(u64),
}

/// One waiting client.
#[derive(Debug)]
pub struct Waiter {
    pub wait: Wait,
    pub db: usize,
    /// The request to run again.
    pub request: OwnedArgs,
}

/// All waiting clients.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: BTreeMap<ClientId, Waiter>,
    by_key: HashMap<(usize, Vec<u8>), VecDeque<ClientId>>,
}

impl Waiters {
    /// Enters a waiting client.
    pub fn add(&mut self, id: ClientId, waiter: Waiter) {
        if let WaitKind::Keys(keys) = &waiter.wait.kind {
            for key in keys {
                let queue = self.by_key.entry((waiter.db, key.clone())).or_default();
                if !queue.contains(&id) {
                    queue.push_back(id);
                }
            }
        }
        self.waiting.insert(id, waiter);
    }

    /// Ends a wait.
    pub fn forget(&mut self, id: ClientId) -> Option<Waiter> {
        let waiter = self.waiting.remove(&id)?;
        if let WaitKind::Keys(keys) = &waiter.wait.kind {
            for key in keys {
                let at = (waiter.db, key.clone());
                if let Some(queue) = self.by_key.get_mut(&at) {
                    queue.retain(|waiting| *waiting != id);
                    if queue.is_empty() {
                        self.by_key.remove(&at);
                    }
                }
            }
        }
        Some(waiter)
    }

    /// Whether anybody waits for a key.
    pub fn any_for_keys(&self) -> bool {
        !self.by_key.is_empty()
    }

    /// Who waits for a key, first come first.
    pub fn for_key(&self, db: usize, key: &[u8]) -> Vec<ClientId> {
        let queue = self.by_key.get(&(db, key.to_vec()));
        queue.map(|queue| queue.iter().copied().collect()).unwrap_or_default()
    }

    /// The keys that somebody waits for.
    pub fn keys(&self) -> Vec<(usize, Vec<u8>)> {
        self.by_key.keys().cloned().collect()
    }

    /// A waiting client.
    pub fn waiter(&self, id: ClientId) -> Option<&Waiter> {
        self.waiting.get(&id)
    }

    /// Clients whose time is over.
    pub fn overdue(&self, now: Duration) -> Vec<ClientId> {
        let over = |waiter: &Waiter| waiter.wait.deadline.is_some_and(|deadline| deadline <= now);
        self.waiting.iter().filter(|(_, waiter)| over(waiter)).map(|(id, _)| *id).collect()
    }

    /// The next deadline of all.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.waiting.values().filter_map(|waiter| waiter.wait.deadline).min()
    }

    /// Clients that wait for the log, with the position they wait for.
    pub fn for_log(&self) -> Vec<(ClientId, u64)> {
        let position = |waiter: &Waiter| match waiter.wait.kind {
            WaitKind::Synced(position) => Some(position),
            WaitKind::Keys(_) => None,
        };
        let wanted = |(id, waiter): (&ClientId, &Waiter)| Some((*id, position(waiter)?));
        self.waiting.iter().filter_map(wanted).collect()
    }

    /// How many different keys are waited for.
    pub fn key_count(&self) -> usize {
        self.by_key.len()
    }

    /// How many clients wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
