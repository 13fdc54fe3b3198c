//! Client-side caching: remembers reads of tracking clients, tells them what changed.
//!
//! An invalidation leaves with the log position of the write that caused it, like every reply that
//! shows the write (I2): a client that drops its copy and asks again never sees what could be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Engine;
use crate::command::{Command, Flags, Group};
use crate::resp::{Args, Reply};
use crate::session::{ClientId, Mail, Release};

/// The channel of invalidations for clients that speak RESP2.
const CHANNEL: &[u8] = b"__redis__:invalidate";

impl Engine {
    /// After a command of a tracking client: remembers the keys it has read.
    pub(super) fn remember_reads(&mut self, id: ClientId, command: &Command, args: &Args) {
        // Of a script it is the commands that it calls that read.
        if !command.flags.has(Flags::READONLY) || command.group == Group::Scripting {
            return;
        }
        let tracking = self.sessions.client(id).and_then(|client| client.tracking.as_ref());
        if !tracking.is_some_and(|tracking| tracking.remembers()) {
            return;
        }
        // What changed before, in this very command or transaction, is not news for it.
        self.notice_changes();
        for at in crate::command::keyspec::key_indices(command, args) {
            self.sessions.tracked.remember(args.at(at), id);
        }
        self.limit_tracked_keys();
    }

    /// Gives up what is remembered above `tracking-table-max-keys`, and tells whom it was remembered for.
    pub(super) fn limit_tracked_keys(&mut self) {
        let limit = self.server.config.tracking_table_max_keys;
        while let Some((key, readers)) = self.sessions.tracked.take_above(limit) {
            for reader in readers {
                self.invalidate(reader, &[&key], None, Release::default());
            }
        }
    }

    /// Finds out who has read what changed since the last look.
    fn notice_changes(&mut self) {
        let tracked = &mut self.sessions.tracked;
        for key in self.ks.effects.unnoticed_changes() {
            let readers = tracked.take_readers(key);
            tracked.due.extend(readers.into_iter().map(|reader| (reader, key.to_vec())));
        }
    }

    /// At the end of a unit: tells whoever holds copies of what it changed.
    pub(super) fn invalidate_changed(&mut self, writer: ClientId) {
        // What was read for clients that track no more is forgotten as well.
        if self.sessions.tracked.clients == 0 && !self.sessions.tracked.is_used() {
            return;
        }
        let release = Release { need: self.ks.need, ..Release::default() };
        if self.ks.effects.everything_changed {
            self.sessions.tracked.due.clear();
            self.invalidate_everything(release);
            return;
        }
        if !self.sessions.tracked.is_used() && self.sessions.tracked.due.is_empty() {
            return;
        }
        self.notice_changes();
        for (reader, key) in std::mem::take(&mut self.sessions.tracked.due) {
            // What it read before it switched to BCAST is nothing that it waits to hear of.
            let tracking = self.sessions.client(reader).and_then(|own| own.tracking.as_ref());
            if tracking.is_some_and(|tracking| tracking.prefixes().is_some()) {
                continue;
            }
            self.invalidate(reader, &[&key], Some(writer), release);
        }
        let changes = self.ks.effects.changes().filter(|(change, _)| !change.quiet);
        let keys: Vec<Vec<u8>> = changes.map(|(_, key)| key.to_vec()).collect();
        self.broadcast(&keys, writer, release);
    }

    /// One message for each prefix and listener, with all keys of the unit.
    fn broadcast(&mut self, keys: &[Vec<u8>], writer: ClientId, release: Release) {
        let mut told: BTreeMap<(ClientId, &[u8]), BTreeSet<&[u8]>> = BTreeMap::new();
        let listening: Vec<(Vec<u8>, Vec<ClientId>)> = self
            .sessions
            .tracked
            .prefixes()
            .map(|(prefix, listeners)| (prefix.to_vec(), listeners.iter().copied().collect()))
            .collect();
        for (prefix, listeners) in &listening {
            for key in keys.iter().filter(|key| key.starts_with(prefix)) {
                for listener in listeners {
                    told.entry((*listener, prefix)).or_default().insert(key);
                }
            }
        }
        for ((listener, _), keys) in told {
            let keys: Vec<&[u8]> = keys.into_iter().collect();
            self.invalidate(listener, &keys, Some(writer), release);
        }
    }

    /// FLUSHALL and the like: a message without keys means all of them.
    fn invalidate_everything(&mut self, release: Release) {
        if let Some(keys) = self.sessions.tracked.forget_keys() {
            // A million keys take long to drop.
            self.server.garbage.push(Box::new(keys));
        }
        let all = self.sessions.iter().filter(|client| client.tracking.is_some());
        let all: Vec<ClientId> = all.map(|client| client.id).collect();
        for id in all {
            self.invalidate(id, &[], None, release);
        }
    }

    /// Tells one client, or whom it named, to drop keys (none: all). `writer`: who changed them.
    fn invalidate(
        &mut self,
        id: ClientId,
        keys: &[&[u8]],
        writer: Option<ClientId>,
        release: Release,
    ) {
        let Some(client) = self.sessions.client(id) else { return };
        let Some(tracking) = &client.tracking else { return };
        if tracking.no_loop && writer == Some(id) {
            return;
        }
        let (redirect, resp3) = (tracking.redirect, client.resp3);
        let target = redirect.unwrap_or(id);
        let Some(receiver) = self.sessions.client(target) else {
            self.redirection_is_broken(id, target, resp3);
            return;
        };
        let mut message = Reply::new(receiver.resp3);
        if receiver.resp3 {
            message.push(2);
            message.bulk(b"invalidate");
        } else if redirect.is_some() && receiver.in_pubsub_mode() {
            message.array(3);
            message.bulk(b"message");
            message.bulk(CHANNEL);
        } else {
            // RESP2 has no place for a message that nobody subscribed to.
            return;
        }
        if keys.is_empty() {
            message.null();
        } else {
            message.array(keys.len());
            for key in keys {
                message.bulk(key);
            }
        }
        self.post(target, message, release);
    }

    fn redirection_is_broken(&mut self, id: ClientId, target: ClientId, resp3: bool) {
        if let Some(client) = self.sessions.client_mut(id)
            && let Some(tracking) = client.tracking.as_mut()
        {
            tracking.redirect_broken = true;
        }
        if resp3 {
            let mut message = Reply::new(true);
            message.push(2);
            message.bulk(b"tracking-redir-broken");
            message.int(target.0.cast_signed());
            self.post(id, message, Release::default());
        }
    }

    fn post(&mut self, to: ClientId, message: Reply, release: Release) {
        let bytes = Arc::from(message.buffer);
        self.sessions.post(Mail::Send { to, bytes, release, notice: None });
    }
}
