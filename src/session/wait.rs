//! Clients that wait: for a key to get something to pop (BLPOP, XREAD, ...), or for the log (WAITAOF).
//!
//! The engine re-runs the waiting command when one of its keys changed, in the order in which clients
//! began to wait on that key; so a served client is served by the very code that answers at once.
//!
//! Each wait gets a ticket. The line at a key is ordered by ticket, deadlines by time and waits for the log
//! by position, so that entering, leaving and finding who is next cost the logarithm of how many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::ClientId;
use crate::keyspace::ValueRef;
use crate::resp::{Args, OwnedArgs, Reply};

/// What a handler asks for when it cannot answer yet.
#[derive(Clone, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    /// When to give up, on the monotonic clock; `None`: never.
    pub deadline: Option<Duration>,
    /// When to run the request again although no key changed, on the monotonic clock (XREADGROUP with CLAIM).
    pub look_again: Option<Duration>,
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
    /// OK (FLUSHALL, which is done all the same).
    Ok,
    /// Two counts (WAITAOF, WAIT has one).
    Counts(i64, Option<i64>),
}

impl Wait {
    /// A wait for one of these keys to hold what `awaited` says.
    pub fn for_keys(
        keys: &Args,
        awaited: Awaited,
        deadline: Option<Duration>,
        on_timeout: TimeoutReply,
    ) -> Self {
        let keys = keys.iter().map(<[u8]>::to_vec).collect();
        Self::until(WaitKind::Keys(keys, awaited), deadline, on_timeout)
    }

    /// A wait that nothing but what is awaited or the deadline ends.
    pub fn until(kind: WaitKind, deadline: Option<Duration>, on_timeout: TimeoutReply) -> Self {
        Self { kind, deadline, look_again: None, on_timeout }
    }

    /// Writes the answer of a wait whose time is over.
    pub fn write_timeout_reply(&self, reply: &mut Reply) {
        match self.on_timeout {
            TimeoutReply::NullArray => reply.null_array(),
            TimeoutReply::Null => reply.null(),
            TimeoutReply::Ok => reply.ok(),
            TimeoutReply::Counts(count, None) => reply.int(count),
            TimeoutReply::Counts(local, Some(replicas)) => {
                reply.array(2);
                reply.int(local);
                reply.int(replicas);
            }
        }
    }

    fn keys(&self) -> &[Vec<u8>] {
        match &self.kind {
            WaitKind::Keys(keys, _) | WaitKind::KeysWith(keys, ..) => keys,
            WaitKind::Synced(_) | WaitKind::Replicas(_) | WaitKind::Freed | WaitKind::Time => &[],
        }
    }

    /// The position of the local log that is waited for.
    fn log_position(&self) -> Option<u64> {
        match self.kind {
            WaitKind::Synced(position) => Some(position),
            WaitKind::Replicas(wait) => wait.local,
            _ => None,
        }
    }

    fn awaited(&self) -> Option<Awaited> {
        match self.kind {
            WaitKind::Keys(_, awaited) | WaitKind::KeysWith(_, awaited, _) => Some(awaited),
            WaitKind::Synced(_) | WaitKind::Replicas(_) | WaitKind::Freed | WaitKind::Time => None,
        }
    }
}

/// What is waited for.
#[derive(Clone, Debug)]
pub enum WaitKind {
    /// One of these keys (of the client's database) to change and then hold what is awaited.
    Keys(Vec<Vec<u8>>, Awaited),
    /// The same, with another request to run then: `$` has become the id that it meant (XREAD).
    KeysWith(Vec<Vec<u8>>, Awaited, OwnedArgs),
    /// The local log to be synced up to this position (WAITAOF).
    Synced(u64),
    /// Replicas to have what the client wrote (WAIT, WAITAOF).
    Replicas(ReplicaWait),
    /// What FLUSHALL or FLUSHDB took away to be freed.
    Freed,
    /// Nothing but the deadline.
    Time,
}

/// What is waited for of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaWait {
    /// So many are to have the stream up to here.
    pub replicas: i64,
    pub offset: u64,
    /// In their own log.
    pub in_log: bool,
    /// And the local log is to be synced up to this position.
    pub local: Option<u64>,
}

/// What a key must hold for the waiting command to be run again. A key of another type does not end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    List,
    SortedSet,
    Stream,
    /// A consumer group of a stream: any change is looked at, its removal too, because the group may be gone.
    Group,
}

impl Awaited {
    /// Whether a key with this value (`None`: no such key) may end the wait.
    pub fn accepts(self, value: Option<ValueRef<'_>>) -> bool {
        match self {
            Self::List => matches!(value, Some(ValueRef::List(_))),
            Self::SortedSet => matches!(value, Some(ValueRef::ZSet(_))),
            Self::Stream => matches!(value, Some(ValueRef::Stream(_))),
            Self::Group => true,
        }
    }
}

/// One waiting client.
#[derive(Debug)]
pub struct Waiter {
    pub wait: Wait,
    pub db: usize,
    /// The request to run again.
    pub request: OwnedArgs,
    /// What its first run took.
    pub nanos: u64,
}

/// The place of a wait in all lines: smaller waits longer.
pub type Ticket = u64;

/// Who waits for one key.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Ticket, (ClientId, Awaited)>,
    /// How many of them want to hear of the key's removal too.
    groups: usize,
}

/// All waiting clients.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: HashMap<ClientId, (Ticket, Waiter)>,
    /// The lines by database and key. No line is empty.
    lines: Vec<HashMap<Vec<u8>, Line>>,
    deadlines: BTreeSet<(Duration, ClientId)>,
    looks: BTreeSet<(Duration, ClientId)>,
    /// Whether the next deadline is another, sooner one than somebody who sleeps until then knows.
    sooner: bool,
    for_log: BTreeSet<(u64, ClientId)>,
    for_replicas: BTreeSet<ClientId>,
    last_ticket: Ticket,
}

impl Waiters {
    /// Enters a waiting client.
    pub fn add(&mut self, id: ClientId, waiter: Waiter) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        if self.lines.len() <= waiter.db {
            self.lines.resize_with(waiter.db + 1, HashMap::new);
        }
        if let (Some(lines), Some(awaited)) = (self.lines.get_mut(waiter.db), waiter.wait.awaited())
        {
            for key in waiter.wait.keys() {
                let line = match lines.get_mut(key) {
                    Some(line) => line,
                    None => lines.entry(key.clone()).or_default(),
                };
                // A key may be named twice.
                let is_new = line.waiting.insert(ticket, (id, awaited)).is_none();
                line.groups += usize::from(is_new && awaited == Awaited::Group);
            }
        }
        if let Some(deadline) = waiter.wait.deadline {
            self.sooner |= self.next_deadline().is_none_or(|next| deadline < next);
            self.deadlines.insert((deadline, id));
        }
        self.plan_look(id, waiter.wait.look_again);
        if let Some(position) = waiter.wait.log_position() {
            self.for_log.insert((position, id));
        }
        if let WaitKind::Replicas(_) = waiter.wait.kind {
            self.for_replicas.insert(id);
        }
        self.waiting.insert(id, (ticket, waiter));
    }

    /// Says what the run took that began a wait.
    pub fn note_run(&mut self, id: ClientId, nanos: u64) {
        if let Some((_, waiter)) = self.waiting.get_mut(&id) {
            waiter.nanos = nanos;
        }
    }

    /// Ends a wait.
    pub fn forget(&mut self, id: ClientId) -> Option<Waiter> {
        let (ticket, waiter) = self.waiting.remove(&id)?;
        if let Some(lines) = self.lines.get_mut(waiter.db) {
            for key in waiter.wait.keys() {
                let Some(line) = lines.get_mut(key) else { continue };
                if let Some((_, Awaited::Group)) = line.waiting.remove(&ticket) {
                    line.groups -= 1;
                }
                if line.waiting.is_empty() {
                    lines.remove(key);
                }
            }
        }
        if let Some(deadline) = waiter.wait.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(look) = waiter.wait.look_again {
            self.looks.remove(&(look, id));
        }
        if let Some(position) = waiter.wait.log_position() {
            self.for_log.remove(&(position, id));
        }
        self.for_replicas.remove(&id);
        Some(waiter)
    }

    fn plan_look(&mut self, id: ClientId, at: Option<Duration>) {
        let Some(at) = at else { return };
        self.sooner |= self.next_deadline().is_none_or(|next| at < next);
        self.looks.insert((at, id));
    }

    /// A waiting client was looked at and waits on: when to look again.
    pub fn look_again(&mut self, id: ClientId, at: Option<Duration>) {
        let Some((_, waiter)) = self.waiting.get_mut(&id) else { return };
        if let Some(old) = std::mem::replace(&mut waiter.wait.look_again, at) {
            self.looks.remove(&(old, id));
        }
        self.plan_look(id, at);
    }

    /// Clients whose request is to be run again now.
    pub fn to_look_at(&self, now: Duration) -> Vec<ClientId> {
        self.looks.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    /// Whether anybody waits for a key.
    pub fn any_for_keys(&self) -> bool {
        self.lines.iter().any(|lines| !lines.is_empty())
    }

    /// Whether somebody waits for this key.
    pub fn is_awaited(&self, db: usize, key: &[u8]) -> bool {
        self.line(db, key).is_some()
    }

    /// Whether somebody who waits for this key wants to hear of its removal.
    pub fn removal_is_awaited(&self, db: usize, key: &[u8]) -> bool {
        self.line(db, key).is_some_and(|line| line.groups > 0)
    }

    /// Who is next in the line at a key behind `ticket`.
    pub fn next_in_line(
        &self,
        db: usize,
        key: &[u8],
        ticket: Ticket,
    ) -> Option<(Ticket, ClientId, Awaited)> {
        let mut behind = self.line(db, key)?.waiting.range(ticket + 1..);
        behind.next().map(|(ticket, (id, awaited))| (*ticket, *id, *awaited))
    }

    /// The ticket given out last: who comes later has a greater one.
    pub fn last_ticket(&self) -> Ticket {
        self.last_ticket
    }

    fn line(&self, db: usize, key: &[u8]) -> Option<&Line> {
        self.lines.get(db)?.get(key)
    }

    /// The keys that somebody waits for, in order.
    pub fn keys(&self) -> Vec<(usize, Vec<u8>)> {
        let of_db = |(db, lines): (usize, &HashMap<Vec<u8>, Line>)| {
            lines.keys().map(|key| (db, key.clone())).collect::<Vec<_>>()
        };
        let mut keys: Vec<_> = self.lines.iter().enumerate().flat_map(of_db).collect();
        keys.sort_unstable();
        keys
    }

    /// A waiting client.
    pub fn waiter(&self, id: ClientId) -> Option<&Waiter> {
        self.waiting.get(&id).map(|(_, waiter)| waiter)
    }

    /// Clients whose time is over, the most overdue first.
    pub fn overdue(&self, now: Duration) -> Vec<ClientId> {
        let over = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        over.map(|(_, id)| *id).collect()
    }

    /// The next time of all at which a wait ends or is looked at.
    pub fn next_deadline(&self) -> Option<Duration> {
        let first = |times: &BTreeSet<(Duration, ClientId)>| times.first().map(|(at, _)| *at);
        first(&self.deadlines).into_iter().chain(first(&self.looks)).min()
    }

    /// Whether the next deadline came sooner since this was asked last.
    pub fn take_sooner(&mut self) -> bool {
        std::mem::take(&mut self.sooner)
    }

    /// How many waits have a deadline.
    pub fn deadline_count(&self) -> usize {
        self.deadlines.len()
    }

    /// Clients that wait for the log to be synced to a position that it has reached.
    pub fn served_by_log(&self, synced: u64) -> Vec<ClientId> {
        let reached = self.for_log.iter().take_while(|(position, _)| *position <= synced);
        reached.map(|(_, id)| *id).collect()
    }

    /// Clients that wait for replicas.
    pub fn for_replicas(&self) -> Vec<ClientId> {
        self.for_replicas.iter().copied().collect()
    }

    /// Whether somebody waits for the log.
    pub fn any_for_log(&self) -> bool {
        !self.for_log.is_empty()
    }

    /// How many different keys are waited for.
    pub fn key_count(&self) -> usize {
        self.lines.iter().map(HashMap::len).sum()
    }

    /// How many keys are waited for by somebody who wants to hear of their removal.
    pub fn removal_key_count(&self) -> usize {
        let all = self.lines.iter().flat_map(HashMap::values);
        all.filter(|line| line.groups > 0).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(keys: &[&str], awaited: Awaited, deadline_s: u64) -> Waiter {
        let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        let deadline = (deadline_s > 0).then(|| Duration::from_secs(deadline_s));
        let kind = WaitKind::Keys(keys, awaited);
        let wait = Wait::until(kind, deadline, TimeoutReply::Null);
        Waiter { wait, db: 2, request: OwnedArgs::from_slices([b"BLPOP".as_slice()]), nanos: 0 }
    }

    fn line(waiters: &Waiters, key: &str) -> Vec<u64> {
        let mut found = Vec::new();
        let mut ticket = 0;
        while let Some((next, id, _)) = waiters.next_in_line(2, key.as_bytes(), ticket) {
            ticket = next;
            found.push(id.0);
        }
        found
    }

    #[test]
    fn a_line_is_in_order_of_arrival() {
        let mut waiters = Waiters::default();
        waiters.add(ClientId(9), waiter(&["a", "b", "a"], Awaited::List, 0));
        waiters.add(ClientId(3), waiter(&["a"], Awaited::Group, 5));
        waiters.add(ClientId(5), waiter(&["b", "a"], Awaited::List, 4));
        assert_eq!(line(&waiters, "a"), [9, 3, 5]);
        assert_eq!(line(&waiters, "b"), [9, 5]);
        assert!(waiters.removal_is_awaited(2, b"a") && !waiters.removal_is_awaited(2, b"b"));
        assert_eq!((waiters.key_count(), waiters.removal_key_count()), (2, 1));
        assert_eq!(waiters.next_deadline(), Some(Duration::from_secs(4)));
        assert_eq!(waiters.overdue(Duration::from_secs(9)), [ClientId(5), ClientId(3)]);
        waiters.forget(ClientId(3));
        waiters.forget(ClientId(9));
        assert!(!waiters.removal_is_awaited(2, b"a"));
        assert_eq!(line(&waiters, "a"), [5]);
        waiters.forget(ClientId(5));
        assert!(!waiters.any_for_keys() && waiters.is_empty() && waiters.deadline_count() == 0);
    }

    #[test]
    fn a_sooner_deadline_is_news_once() {
        let mut waiters = Waiters::default();
        waiters.add(ClientId(1), waiter(&["a"], Awaited::List, 0));
        assert!(!waiters.take_sooner());
        waiters.add(ClientId(2), waiter(&["a"], Awaited::List, 9));
        waiters.add(ClientId(3), waiter(&["a"], Awaited::List, 9));
        assert!(waiters.take_sooner() && !waiters.take_sooner());
        waiters.add(ClientId(4), waiter(&["a"], Awaited::List, 10));
        assert!(!waiters.take_sooner());
        waiters.add(ClientId(5), waiter(&["a"], Awaited::List, 8));
        assert!(waiters.take_sooner());
    }

    #[test]
    fn a_look_is_planned_anew_and_ends_with_the_wait() {
        let mut waiters = Waiters::default();
        let mut waiting = waiter(&["a"], Awaited::Group, 9);
        waiting.wait.look_again = Some(Duration::from_secs(3));
        waiters.add(ClientId(1), waiting);
        assert!(waiters.take_sooner());
        assert_eq!(waiters.next_deadline(), Some(Duration::from_secs(3)));
        assert_eq!(waiters.to_look_at(Duration::from_secs(3)), [ClientId(1)]);
        assert!(waiters.overdue(Duration::from_secs(8)).is_empty());
        waiters.look_again(ClientId(1), Some(Duration::from_secs(5)));
        assert!(waiters.to_look_at(Duration::from_secs(4)).is_empty());
        waiters.look_again(ClientId(1), None);
        assert_eq!(waiters.next_deadline(), Some(Duration::from_secs(9)));
        waiters.look_again(ClientId(1), Some(Duration::from_secs(2)));
        waiters.forget(ClientId(1));
        assert_eq!(waiters.next_deadline(), None);
        waiters.look_again(ClientId(1), Some(Duration::from_secs(2)));
        assert_eq!(waiters.next_deadline(), None);
    }

    #[test]
    fn the_log_serves_who_waits_for_no_more_than_it_has() {
        let mut waiters = Waiters::default();
        for (id, position) in [(1, 30), (2, 10), (3, 20)] {
            let kind = WaitKind::Synced(position);
            let wait = Wait::until(kind, None, TimeoutReply::Null);
            let request = OwnedArgs::from_slices([b"WAITAOF".as_slice()]);
            waiters.add(ClientId(id), Waiter { wait, db: 0, request, nanos: 0 });
        }
        assert_eq!(waiters.served_by_log(20), [ClientId(2), ClientId(3)]);
        waiters.forget(ClientId(2));
        assert_eq!(waiters.served_by_log(20), [ClientId(3)]);
        assert!(waiters.any_for_log());
        waiters.forget(ClientId(1));
        waiters.forget(ClientId(3));
        assert!(!waiters.any_for_log());
    }
}
