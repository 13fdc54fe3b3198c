//! The end of a unit: its effects become log records, and whoever cares about its changes hears of them.

use super::Engine;
use crate::config::AppendFsync;
use crate::keyspace::Retired;
use crate::session::{Client, ClientId, Durability, KeyState};

impl Engine {
    /// Hands the unit's records to the log and tells watchers, waiters and listeners.
    /// True when the unit changed something.
    pub(super) fn commit(&mut self, id: ClientId) -> bool {
        if self.ks.effects.is_empty() && self.sessions.messages.is_empty() {
            return false;
        }
        let wrote = self.finish_unit(id);
        let ready = self.ready_keys();
        self.ks.effects.clear();
        if !ready.is_empty() {
            // What serving others looks at is nothing that this reply depends on.
            let need = self.ks.need;
            self.serve_waiters(ready);
            self.ks.need = need;
        }
        wrote
    }

    /// Everything a commit does but serving the waiters and clearing the effects.
    pub(super) fn finish_unit(&mut self, id: ClientId) -> bool {
        let wrote = self.log_records(id);
        self.server.persistence.dirty += self.ks.effects.dirty;
        if std::mem::take(&mut self.server.persistence.flushed) {
            self.save_flushed();
        }
        if self.ks.has_retired() {
            self.release_retired();
        }
        self.break_watches();
        self.invalidate_changed(id);
        self.publish_events();
        self.post_messages(id);
        wrote
    }

    fn log_records(&mut self, id: ClientId) -> bool {
        let records = !self.ks.effects.unit.is_empty();
        let mut appended = 0;
        if let Some(log) = self.log.as_ref().filter(|_| records) {
            let unit = &self.ks.effects.unit;
            let staged = if self.staging { log.stage(unit, &mut self.staged) } else { None };
            let position = match staged {
                Some(position) => position.0,
                None => {
                    log.append_staged(&mut self.staged);
                    log.append(unit).0
                }
            };
            self.server.persistence.appended = position;
            appended = position;
            if std::mem::take(&mut self.server.libraries.changed) {
                self.server.libraries.position = position;
            }
            self.ks.publish_position(position);
            self.ks.need = self.ks.need.max(position);
            if let Some(client) = self.sessions.client_mut(id) {
                client.last_write = position;
            }
        }
        if self.feeds && records {
            self.feed_others(id, appended);
        }
        records || self.ks.effects.dirty > 0
    }

    /// From here on the records of requests that take the short way may wait for [`append_staged`](Self::append_staged),
    /// which must be called before the lock is let go of.
    pub fn stage_records(&mut self) {
        self.staging = true;
    }

    /// Appends the records that are staged, and stages no more.
    pub fn append_staged(&mut self) {
        self.staging = false;
        self.unstage();
    }

    /// Appends the records that are staged so far.
    pub(super) fn unstage(&mut self) {
        if let Some(log) = &self.log {
            log.append_staged(&mut self.staged);
        }
    }

    /// Large values that the unit replaced, and keys whose time was over: the reclaim thread frees them, whatever the
    /// `lazyfree` directives say. These decide what counts as freed lazily.
    #[cold]
    pub(super) fn release_retired(&mut self) {
        for (entry, why) in self.ks.take_retired() {
            let config = &self.server.config;
            let counts = match why {
                Retired::Expired => config.lazyfree_lazy_expire,
                Retired::Replaced => config.lazyfree_lazy_server_del,
            };
            if counts {
                self.server.release(entry);
            } else {
                self.server.release_uncounted(entry);
            }
        }
    }

    /// A key changed under its watchers.
    fn break_watches(&mut self) {
        if !self.sessions.has_watches() {
            return;
        }
        for (change, key) in self.ks.effects.changes().filter(|(change, _)| !change.quiet) {
            let there = self.ks.held(change.db, key).is_some();
            let now = if there { KeyState::There } else { KeyState::Gone };
            self.sessions.key_changed(change.db, key, now);
        }
    }

    /// Whether replies to this client wait for the sync or only for the write (P1, P2).
    pub fn reply_needs_sync(&self, id: ClientId) -> bool {
        self.waits_for_sync(self.sessions.client(id))
    }

    /// The same of a client: its own choice, its user's, the server's.
    pub fn waits_for_sync(&self, client: Option<&Client>) -> bool {
        let config = &self.server.config;
        let mut policy = client.map(|client| client.durability).unwrap_or_default();
        if policy == Durability::Default && !config.user_durability.is_empty() {
            let user = client.and_then(|client| client.user.as_deref()).unwrap_or(b"default");
            let (pairs, _) = config.user_durability.as_chunks::<2>();
            let of_user = pairs.iter().find(|[name, _]| name.as_bytes() == user);
            policy = of_user
                .and_then(|[_, word]| Durability::of_word(word.as_bytes()))
                .unwrap_or_default();
        }
        match policy {
            Durability::Always => true,
            Durability::Everysec | Durability::No => false,
            Durability::Default => config.appendfsync == AppendFsync::Always,
        }
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
