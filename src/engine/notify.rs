//! Messages that a unit causes: keyspace events, published messages, lines for monitors.
//!
//! Events become messages after each command, so that they and what the commands publish themselves stay in
//! order. All are posted when the unit is committed: under `appendfsync always` nobody hears of a write
//! before it is safe, as nobody reads it (P1, I2). Only lines for monitors do not wait: they show what is asked for, and
//! are looked at when the disk does not answer. A message also waits for the publisher's own
//! earlier writes, which it may tell of. If the log fails first, the message is not sent at all.

use super::Engine;
use crate::command::Flags;
use crate::command::ctx::Origin;
use crate::command::server::monitor;
use crate::command::table::Row;
use crate::keyspace::{effects::Event, event};
use crate::resp::Args;
use crate::session::{Client, ClientId, Mail, Release, Topic};

impl Engine {
    /// Turns the events recorded since the last call into messages.
    #[inline]
    pub(super) fn publish_events(&mut self) {
        if self.ks.effects.has_events() {
            self.publish_all_events();
        }
    }

    fn publish_all_events(&mut self) {
        let events = self.ks.effects.take_events();
        if !self.sessions.has_listeners() {
            return;
        }
        let classes = self.server.config.notify_keyspace_events.bits();
        for Event { db, name, key, .. } in events {
            if classes & event::KEYSPACE != 0 {
                let mut channel = format!("__keyspace@{db}__:").into_bytes();
                channel.extend_from_slice(&key);
                self.sessions.publish(Topic::Channel, &channel, name.as_bytes());
            }
            if classes & event::KEYEVENT != 0 {
                let channel = format!("__keyevent@{db}__:{name}");
                self.sessions.publish(Topic::Channel, channel.as_bytes(), &key);
            }
        }
    }

    /// Posts the messages of a unit of client `id`, whose records are in the log now. What is for the
    /// client that is being answered follows its reply.
    pub(super) fn post_messages(&mut self, id: ClientId) {
        if self.sessions.messages.is_empty() {
            return;
        }
        let last_write = self.sessions.client(id).map_or(0, |client| client.last_write);
        let need = self.ks.need.max(last_write);
        let sessions = &mut self.sessions;
        for message in std::mem::take(&mut sessions.messages) {
            // Nothing follows the last reply of a connection.
            let ends = |client: &Client| client.flags.close_after_reply;
            if sessions.client(message.to).is_some_and(ends) {
                continue;
            }
            let need = if message.waits_for_log { need } else { 0 };
            let release = Release { need, ..Release::default() };
            let (to, bytes) = (message.to, message.bytes);
            sessions.post(Mail::Send { to, bytes, release, notice: None });
        }
    }

    /// Shows a command that was run to the monitors.
    pub(super) fn feed_monitors(&mut self, id: ClientId, row: &Row, args: &Args, origin: Origin) {
        let flags = row.command.flags;
        let hidden = flags.has(Flags::ADMIN) || flags.has(Flags::SKIP_MONITOR);
        if !hidden && origin != Origin::Log && self.sessions.has_monitors() {
            self.show_request(id, args, origin);
        }
    }

    /// Shows a request that runs a script before the script runs: its commands follow it.
    pub(super) fn feed_monitors_with_script(&mut self, id: ClientId, args: &Args) {
        if self.sessions.has_monitors() {
            self.show_request(id, args, Origin::Client);
        }
    }

    fn show_request(&mut self, id: ClientId, args: &Args, origin: Origin) {
        let client = self.sessions.client(id);
        let source = match client {
            _ if origin == Origin::Script => "lua".to_owned(),
            Some(client) if client.flags.unix_socket => {
                format!("unix:{}", client.address.trim_end_matches(":0"))
            }
            Some(client) => client.address.clone(),
            None => String::new(),
        };
        let db = client.map_or(0, |client| client.db);
        let line = monitor::line(args, self.wall_us(), db, &source);
        self.sessions.tell_monitors(&line);
    }
}
