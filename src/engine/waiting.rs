//! Clients that wait: entering a wait, serving it, ending it by time or by hand.
//!
//! Keys are served in the order in which they changed, and at each key clients in the order in which they
//! came. A key that serving changed comes behind those that were ready before. A client whose key has
//! another type goes on waiting, and one that finds nothing keeps its place in the line and its deadline.
//! What the log gets of a wait is what the command did when it was served.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::Engine;
use crate::command::ctx::Origin;
use crate::command::table::{Row, table};
use crate::command::{CommandError, Outcome};
use crate::keyspace::Entry;
use crate::resp::{Args, OwnedArgs, Reply};
use crate::session::wait::{TimeoutReply, WaitKind, Waiter};
use crate::session::{ClientId, Release, Wait};

/// While clients are paused nothing is claimed for one that waits; it is looked at again after so long.
const LOOK_IN_PAUSE: Duration = Duration::from_millis(10);

/// Keys that changed and that somebody waits for, the first one first.
pub(super) type ReadyKeys = VecDeque<(usize, Vec<u8>)>;

impl Engine {
    /// Makes a client wait with its request.
    pub(super) fn wait(&mut self, id: ClientId, mut wait: Wait, args: &Args) {
        let Some(client) = self.sessions.client_mut(id) else { return };
        client.blocked = true;
        client.waiting_bytes = args.iter().map(<[u8]>::len).sum();
        let db = client.db;
        let request = match &mut wait.kind {
            WaitKind::KeysWith(.., request) => std::mem::take(request),
            _ => args.to_owned_args(),
        };
        self.sessions.waiters.add(id, Waiter { wait, db, request, nanos: 0 });
    }

    /// The keys that the unit changed and that somebody waits for: each once, in order.
    pub(super) fn ready_keys(&self) -> ReadyKeys {
        if !self.sessions.waiters.any_for_keys() {
            return ReadyKeys::new();
        }
        if self.ks.effects.everything_changed {
            return self.sessions.waiters.keys().into();
        }
        let mut seen = HashSet::new();
        let changes = self.ks.effects.changes();
        let ready = changes.filter(|(change, key)| {
            change.wakes
                && self.sessions.waiters.is_awaited(change.db, key)
                && seen.insert((change.db, *key))
        });
        ready.map(|(change, key)| (change.db, key.to_vec())).collect()
    }

    /// Serves the waiters of keys that changed; serving may change further keys.
    pub(super) fn serve_waiters(&mut self, mut ready: ReadyKeys) {
        while let Some((db, key)) = ready.pop_front() {
            self.serve_line(db, &key, &mut ready);
        }
    }

    /// Serves who waits for one key, as long as there is something for them.
    fn serve_line(&mut self, db: usize, key: &[u8], ready: &mut ReadyKeys) {
        let last = self.sessions.waiters.last_ticket();
        let mut at = 0;
        while let Some((ticket, id, awaited)) = self.sessions.waiters.next_in_line(db, key, at) {
            if ticket > last {
                break;
            }
            at = ticket;
            let value = self.ks.again(db, key).map(Entry::value);
            if value.is_none() && !self.sessions.waiters.removal_is_awaited(db, key) {
                break;
            }
            if awaited.accepts(value) {
                self.serve(id, ready);
            }
        }
    }

    /// Runs a waiting client's request again. If it still has to wait, the wait goes on as it was.
    fn serve(&mut self, id: ClientId, ready: &mut ReadyKeys) {
        let Some(waiter) = self.sessions.waiters.waiter(id) else { return };
        let request = waiter.request.clone();
        let Ok(row) = table().find(&request.as_args()) else { return };
        let mut reply = Reply::new(self.sessions.client(id).is_some_and(|client| client.resp3));
        self.ks.effects.clear();
        self.ks.need = 0;
        let wait = self.run_again(id, row, &request, &mut reply);
        ready.extend(self.ready_keys());
        // The messages that it causes follow its reply.
        let place = self.sessions.outgoing.len();
        let wrote = self.finish_unit(id);
        self.ks.effects.clear();
        if let Some(wait) = wait {
            self.sessions.waiters.look_again(id, wait.look_again);
        } else {
            self.end_wait(id);
            let release = Release { need: self.ks.need, needs_sync: false, wrote };
            let mail = self.sessions.resume(id, reply.buffer, release, self.ks.now);
            self.sessions.outgoing.insert(place, mail);
        }
    }

    /// What the client still waits for.
    fn run_again(
        &mut self,
        id: ClientId,
        row: &'static Row,
        request: &OwnedArgs,
        reply: &mut Reply,
    ) -> Option<Wait> {
        let args = request.as_args();
        if let Err(error) = self.check(id, row, &args) {
            self.reject(id, Some(row), &error, reply);
            return None;
        }
        match self.call(id, row, &args, reply, Origin::Client) {
            Ok(Outcome::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Forgets a wait without a reply.
    pub(super) fn end_wait(&mut self, id: ClientId) -> Option<Waiter> {
        if let Some(client) = self.sessions.client_mut(id) {
            client.blocked = false;
            client.waiting_bytes = 0;
        }
        self.sessions.waiters.forget(id)
    }

    /// Answers the waiters whose time is over, and looks at those that asked for it.
    pub fn expire_waiters(&mut self) {
        let now = self.monotonic();
        for id in self.sessions.waiters.to_look_at(now) {
            if self.is_paused() {
                self.sessions.waiters.look_again(id, now.checked_add(LOOK_IN_PAUSE));
                continue;
            }
            let mut ready = ReadyKeys::new();
            self.serve(id, &mut ready);
            self.serve_waiters(ready);
        }
        for id in self.sessions.waiters.overdue(now) {
            self.time_out(id);
        }
    }

    /// The log was synced up to `synced`: answers who waited for it.
    pub fn serve_log_waiters(&mut self, synced: u64) {
        for id in self.sessions.waiters.served_by_log(synced) {
            self.end_wait_if_replicas_have_it(id);
        }
    }

    /// What FLUSHALL took away is freed: answers these clients, those that still wait for that.
    pub fn flushed(&mut self, clients: &[ClientId]) {
        for id in clients {
            let waiter = self.sessions.waiters.waiter(*id);
            if waiter.is_some_and(|waiter| matches!(waiter.wait.kind, WaitKind::Freed)) {
                self.time_out(*id);
            }
        }
    }

    /// Ends a wait as if its time were over (also CLIENT UNBLOCK TIMEOUT).
    pub fn time_out(&mut self, id: ClientId) {
        let Some(mut waiter) = self.end_wait(id) else { return };
        if let TimeoutReply::Counts(_, second) = waiter.wait.on_timeout {
            waiter.wait.on_timeout = self.counts_now(id, second.is_some());
        }
        self.resume(id, &waiter, false, |reply| waiter.wait.write_timeout_reply(reply));
    }

    /// Ends a wait with an error (CLIENT UNBLOCK ERROR, a deleted stream, a changed role).
    pub fn unblock_with_error(&mut self, id: ClientId, text: &str) {
        let Some(waiter) = self.end_wait(id) else { return };
        self.count_error(&CommandError::owned(text.to_owned()));
        self.resume(id, &waiter, true, |reply| reply.error(text));
    }

    /// Whether the newest write of a client is on disk.
    pub(super) fn is_synced_for(&self, id: ClientId) -> bool {
        let position = self.sessions.client(id).map_or(0, |client| client.last_write);
        self.log.as_ref().is_some_and(|log| log.synced().0 >= position)
    }

    /// Counts a command whose wait has ended without another run of it.
    pub(super) fn count_wait(&mut self, id: ClientId, waiter: &Waiter, failed: bool) {
        let args = waiter.request.as_args();
        if let Ok(row) = table().find(&args) {
            self.count_call(id, (row, &args), Origin::Client, waiter.nanos, failed);
        }
    }

    /// Sends a client that waits no longer a reply without a key's value. It tells how the keys are that were waited for.
    fn resume(
        &mut self,
        id: ClientId,
        waiter: &Waiter,
        failed: bool,
        write: impl FnOnce(&mut Reply),
    ) {
        self.count_wait(id, waiter, failed);
        let mut reply = Reply::new(self.sessions.client(id).is_some_and(|client| client.resp3));
        write(&mut reply);
        let need = match &waiter.wait.kind {
            WaitKind::Keys(keys, _) | WaitKind::KeysWith(keys, ..) => {
                self.ks.written_at(waiter.db, keys)
            }
            WaitKind::Freed => self.sessions.client(id).map_or(0, |client| client.last_write),
            WaitKind::Synced(_) | WaitKind::Replicas(_) | WaitKind::Time => 0,
        };
        let wrote = matches!(waiter.wait.kind, WaitKind::Freed);
        let release = Release { need, wrote, ..Release::default() };
        let mail = self.sessions.resume(id, reply.buffer, release, self.ks.now);
        self.sessions.outgoing.push(mail);
    }
}
