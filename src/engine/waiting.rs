//! Clients that wait: entering a wait, serving it, ending it by time or by hand.

use super::Engine;
use crate::command::Outcome;
use crate::command::ctx::Origin;
use crate::command::table::table;
use crate::resp::{Args, Reply};
use crate::session::wait::Waiter;
use crate::session::{ClientId, Mail, Wait};

impl Engine {
    /// Makes a client wait with its request.
    pub(super) fn wait(&mut self, id: ClientId, wait: Wait, args: &Args) {
        let Some(client) = self.sessions.client_mut(id) else { return };
        client.blocked = true;
        let db = client.db;
        self.sessions.waiters.add(id, Waiter { wait, db, request: args.to_owned_args() });
    }

    /// Serves the waiters of keys that changed, first come first; serving may change further keys.
    pub(super) fn serve_waiters(&mut self, mut keys: Vec<(usize, Vec<u8>)>) {
        while let Some((db, key)) = keys.pop() {
            for id in self.sessions.waiters.for_key(db, &key) {
                keys.extend(self.serve(id));
            }
        }
    }

    /// Runs a waiting client's request again. If it still has to wait nothing changes.
    /// Returns the keys that serving it changed.
    fn serve(&mut self, id: ClientId) -> Vec<(usize, Vec<u8>)> {
        let Some(waiter) = self.sessions.waiters.waiter(id) else { return Vec::new() };
        let request = waiter.request.clone();
        let Ok(row) = table().find(&request.as_args()) else { return Vec::new() };
        let mut reply = Reply::new(self.sessions.client(id).is_some_and(|client| client.resp3));
        self.ks.effects.clear();
        self.ks.need = 0;
        let outcome = self.call(id, row, &request.as_args(), &mut reply, Origin::Client);
        if matches!(outcome, Ok(Outcome::Wait(_))) {
            self.ks.effects.clear();
            return Vec::new();
        }
        let changed = self.ks.effects.changes();
        let changed = changed.map(|(change, key)| (change.db, key.to_vec())).collect();
        self.end_wait(id);
        // Its own changes are served by the caller's loop, in order.
        self.commit_quietly(id);
        let need = self.ks.need;
        self.sessions.outgoing.push(Mail::Resume { to: id, bytes: reply.buffer, need });
        changed
    }

    /// Forgets a wait without a reply.
    pub(super) fn end_wait(&mut self, id: ClientId) -> Option<Waiter> {
        if let Some(client) = self.sessions.client_mut(id) {
            client.blocked = false;
        }
        self.sessions.waiters.forget(id)
    }

    /// Commits a unit whose changed keys are served by the caller.
    fn commit_quietly(&mut self, id: ClientId) {
        if !self.ks.effects.is_empty() {
            self.finish_unit(id);
            self.ks.effects.clear();
        }
    }

    /// Answers the waiters whose time is over.
    pub fn expire_waiters(&mut self) {
        let now = self.monotonic();
        for id in self.sessions.waiters.overdue(now) {
            self.time_out(id);
        }
    }

    /// Ends a wait as if its time were over (also CLIENT UNBLOCK TIMEOUT).
    pub fn time_out(&mut self, id: ClientId) {
        let resp3 = self.sessions.client(id).is_some_and(|client| client.resp3);
        if let Some(waiter) = self.end_wait(id) {
            let mut reply = Reply::new(resp3);
            waiter.wait.write_timeout_reply(&mut reply);
            self.sessions.outgoing.push(Mail::Resume { to: id, bytes: reply.buffer, need: 0 });
        }
    }

    /// Ends a wait with an error (CLIENT UNBLOCK ERROR, a deleted stream, a changed role).
    pub fn unblock_with_error(&mut self, id: ClientId, text: &str) {
        let resp3 = self.sessions.client(id).is_some_and(|client| client.resp3);
        if self.end_wait(id).is_some() {
            let mut reply = Reply::new(resp3);
            reply.error(text);
            self.sessions.outgoing.push(Mail::Resume { to: id, bytes: reply.buffer, need: 0 });
        }
    }
}
