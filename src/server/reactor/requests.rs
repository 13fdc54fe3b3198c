//! Requests on their way through the engine: some under one hold of its lock, their replies into the outbox.
//!
//! A script that another thread runs is not waited for: what may run beside it goes to its desk.

use std::ops::Range;

use super::Reactor;
use super::output::{give_up_output, give_up_replica};
use crate::engine::{Engine, Executed};
use crate::resp::{Args, Batch};
use crate::server::connection::Connection;
use crate::server::outbox::LogProgress;
use crate::session::{Client, Mail};

/// Requests executed under one hold of the lock.
pub(super) const REQUESTS_PER_LOCK: usize = 64;
/// From so many on their keys are looked at before the first is executed.
const REQUESTS_TO_WARM: usize = 4;

/// Replies of so many bytes leave before the requests behind them are executed: a long pipeline's need not all be in
/// memory, and what is sent while it is in the processor's cache costs less.
pub(super) const SENT_EARLY_MIN: usize = 128 * 1024;

/// A reply of this size is told to the engine at once, not at the end of the turn.
const LARGE_REPLY: usize = 16 * 1024;

impl Reactor {
    /// Executes the requests of a batch from `first` on; returns how far it came (not to the end when one made the client
    /// wait).
    pub(super) fn execute(
        &self,
        connection: &mut Connection,
        input: &[u8],
        (batch, first): (&Batch, usize),
    ) -> usize {
        let mut index = first;
        while index < batch.len() && connection.takes_requests() {
            let Some(mut engine) = self.shared.lock_unless_busy() else {
                index += self.execute_beside(connection, input, (batch, index));
                continue;
            };
            engine.begin_batch();
            engine.sessions.turn_to(connection.seat);
            let end = batch.len().min(index + REQUESTS_PER_LOCK);
            if end - index >= REQUESTS_TO_WARM {
                engine.warm(connection.id, (index..end).filter_map(|at| batch.request(at, input)));
            }
            let requests = (input, batch, index..end);
            index = self.execute_locked(&mut engine, connection, requests);
            self.shared.unlock(engine);
            if connection.outbox.pending() >= SENT_EARLY_MIN {
                self.send_early(connection);
            }
        }
        connection.note_buffers();
        if connection.closing { batch.len() } else { index }
    }

    /// Executes requests of a batch under a hold of the lock whose time has begun; returns how far it came: not to the end
    /// when one made the client wait, or when what is to be sent is much.
    pub(super) fn execute_locked(
        &self,
        engine: &mut Engine,
        connection: &mut Connection,
        (input, batch, range): (&[u8], &Batch, Range<usize>),
    ) -> usize {
        // Under the lock: before it was taken, another client may have switched the log on.
        let mut progress = self.progress();
        self.take_own_mail(engine, connection);
        let before = connection.outbox.total();
        let mut index = range.start;
        engine.stage_records();
        while index < range.end && connection.takes_requests() {
            let Some(args) = batch.request(index, input) else { break };
            self.execute_one(engine, connection, &args, &mut progress);
            index += 1;
            if connection.outbox.pending() >= SENT_EARLY_MIN {
                break;
            }
        }
        engine.append_staged();
        let input_bytes = if range.start == 0 { input.len() as u64 } else { 0 };
        let output_bytes = connection.outbox.total().saturating_sub(before) as u64;
        account(engine, connection, input_bytes, output_bytes);
        if connection.waits {
            self.shared.deadlines.notify_one();
        }
        index
    }

    /// Has requests executed beside a script that another thread runs; how many were.
    pub(super) fn execute_beside(
        &self,
        connection: &mut Connection,
        input: &[u8],
        (batch, first): (&Batch, usize),
    ) -> usize {
        for index in first..batch.len() {
            let Some(args) = batch.request(index, input) else { break };
            let ask = self.shared.desk.ask(connection.id, &args, || self.shared.is_busy());
            let Some((bytes, executed)) = ask else { return index - first };
            self.take_mail_before_reply(connection);
            let progress = self.progress();
            self.want(executed.release(), progress);
            connection.outbox.reply(&bytes, executed.release(), progress);
            connection.waits |= executed.waits;
            connection.closing |= executed.closes;
            if !connection.takes_requests() {
                return index + 1 - first;
            }
        }
        batch.len() - first
    }

    pub(super) fn execute_one(
        &self,
        engine: &mut Engine,
        connection: &mut Connection,
        args: &Args,
        known: &mut LogProgress,
    ) {
        let replies = &mut connection.outbox.replies;
        let (start, before) = (replies.buffer.len(), replies.len());
        let executed = engine.execute(connection.id, args, replies);
        let cut = std::mem::take(&mut replies.cut);
        if engine.settings_changed {
            // With it the log, or when it is synced: this reply and those behind it wait by what is true now.
            self.shared.refresh_settings(engine);
            *known = self.progress();
        }
        let progress = *known;
        if !connection.authenticated {
            connection.authenticated = is_known(engine, connection);
        }
        if executed.need > progress.synced {
            self.want(executed.release(), progress);
            connection.outbox.hold(start, executed.release(), progress);
        }
        if !engine.sessions.to_answered.is_empty() {
            self.add_messages(engine, connection, executed, progress);
        }
        connection.waits |= executed.waits;
        connection.closing |= executed.closes;
        if executed.feeds {
            connection.feed = engine.sessions.replicas.link(connection.id);
        } else if connection.feed.is_some() && connection.outbox.replies.buffer.len() > start {
            // Nothing may come between the bytes of its stream.
            give_up_replica(engine, connection);
            return;
        }
        if connection.outbox.total() - before >= LARGE_REPLY {
            // Before the next request the engine may have to know what its client holds.
            connection.note_buffers();
        }
        if cut || self.is_over_limit(connection) {
            give_up_output(engine, connection);
        }
    }

    /// Puts behind a reply what its request sent to its own client.
    fn add_messages(
        &self,
        engine: &mut Engine,
        connection: &mut Connection,
        executed: Executed,
        progress: LogProgress,
    ) {
        for mail in engine.sessions.take_answered(connection.id) {
            if let Mail::Send { bytes, mut release, notice, .. } = mail {
                release.needs_sync = executed.needs_sync;
                self.want(release, progress);
                connection.outbox.message(&bytes, release, progress);
                connection.outbox.note_eviction(notice);
            }
        }
    }

    /// Puts what was sent to a listening client so far before the reply to its next request: none of it
    /// may follow the answer to UNSUBSCRIBE.
    pub(super) fn take_own_mail(&self, engine: &Engine, connection: &mut Connection) {
        let listens = engine.sessions.client(connection.id).is_some_and(Client::hears_messages);
        if listens {
            self.take_mail_before_reply(connection);
        }
    }

    fn take_mail_before_reply(&self, connection: &mut Connection) {
        for mail in self.shared.take_mail_to(self.index, connection.id) {
            self.take_in(connection, mail);
        }
    }
}

/// Whether the client has said who it is, or need not.
fn is_known(engine: &Engine, connection: &Connection) -> bool {
    let client = engine.sessions.client(connection.id);
    client.map_or(connection.authenticated, |client| client.user.is_some())
        || !engine.server.acl.needs_auth()
}

/// Counts what a client sent and what it gets, and notes what its connection must know of it.
fn account(engine: &mut Engine, connection: &mut Connection, input: u64, output: u64) {
    connection.authenticated = is_known(engine, connection);
    if let Some(client) = engine.sessions.client_mut(connection.id) {
        connection.is_subscribed = client.is_subscribed();
        connection.queued_bytes = client.queued_bytes();
        client.input_bytes += input;
        client.output_bytes += output;
    }
    let stats = &mut engine.server.stats;
    stats.reads_processed += 1;
    stats.writes_processed += 1;
    stats.net_input_bytes += input;
    stats.net_output_bytes += output;
}
