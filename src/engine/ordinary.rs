//! The short way of a request, which nearly every request of nearly every client takes.
//!
//! Whether a request is to be refused, queued, postponed or shown to others depends on its client and on the server, and
//! only some commands change these. So for the requests of one client that follow one another it is found out once
//! ([`Turn`]), and those of commands that change nothing but keys (`Row::is_ordinary`) go straight to their handlers. What
//! asks for more takes the long way, [`Engine::execute_request`], and ends the turn: the next request finds out again. So
//! does everybody who takes the lock.
//!
//! Both ways must do the same for a client in this state: what is added to one is added to the other, or to what
//! [`Engine::is_ordinary`] asks.

use super::{Engine, Executed};
use crate::command::ctx::{Ctx, Origin};
use crate::command::table::{Row, table};
use crate::command::{Handler, Propagate};
use crate::config::AppendFsync;
use crate::keyspace::Overdue;
use crate::resp::{Args, Reply};
use crate::session::{Client, ClientId, ReplyMode};

/// After so long it is found out again, for what other threads change: the state of the log, how far it lags.
const TURN_NANOS_MAX: u64 = 1_000_000;

/// What is known of the requests of a client until one of them may change it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    client: ClientId,
    /// In nanoseconds of the batch.
    ends: u64,
    ordinary: bool,
    /// Replies wait for the sync, not only for the write (P1, P2).
    needs_sync: bool,
    /// Those of writes do.
    writes_need_sync: bool,
}

impl Engine {
    /// The row of a request that may take the short way.
    #[inline]
    pub(super) fn short_way(&mut self, id: ClientId, args: &Args) -> Option<(&'static Row, Turn)> {
        let row = table().near(args.at(0))?;
        if !row.is_ordinary || !row.command.accepts(args.len()) {
            return None;
        }
        let turn = match self.turn {
            Some(turn) if turn.client == id && self.batch_nanos < turn.ends => turn,
            _ => self.begin_turn(id),
        };
        (turn.ordinary && self.has_room()).then_some((row, turn))
    }

    fn begin_turn(&mut self, id: ClientId) -> Turn {
        let ordinary = self.is_ordinary(id);
        let needs_sync = self.reply_needs_sync(id);
        let writes_need_sync = needs_sync || self.log_lags();
        let ends = self.batch_nanos + TURN_NANOS_MAX;
        let turn = Turn { client: id, ends, ordinary, needs_sync, writes_need_sync };
        self.turn = Some(turn);
        turn
    }

    /// Whether nothing but the command itself is to be done for a request that reads or writes keys.
    fn is_ordinary(&self, id: ClientId) -> bool {
        let server = &self.server;
        let config = &server.config;
        let as_usual = server.running_script.is_none()
            && server.loading.is_none()
            && server.pause.is_none()
            && server.renamed.is_none()
            && config.maxmemory_clients.of(config.maxmemory) == 0
            && !config.import_mode
            && self.sessions.tracked.clients == 0
            && !self.sessions.has_monitors()
            && self.write_refusal().is_none()
            && config.min_replicas_to_write == 0;
        as_usual && self.sessions.client(id).is_some_and(|client| self.is_plain(client))
    }

    /// Whether a client is in the state that it has after connecting and authenticating, as far as a request asks.
    fn is_plain(&self, client: &Client) -> bool {
        let flags = &client.flags;
        let acl = &self.server.acl;
        let user = client.user.as_ref();
        let may_do_all = match user {
            Some(user) => acl.is_unrestricted(user.id),
            None => !acl.needs_auth() && acl.is_unrestricted(crate::session::UserId::DEFAULT),
        };
        may_do_all
            && client.transaction.is_none()
            && client.reply_mode == ReplyMode::On
            && !client.in_pubsub_mode()
            && !(flags.ended || flags.close_after_reply || flags.replica || flags.no_touch)
    }

    /// Whether memory is below its limit and was before.
    #[inline]
    fn has_room(&mut self) -> bool {
        if self.server.config.maxmemory == 0 {
            return true;
        }
        self.follow_memory();
        !self.server.over_limit() && self.server.eviction.over_limit_since.is_none()
    }

    /// Executes a request that may take the short way.
    pub(super) fn execute_ordinary(
        &mut self,
        id: ClientId,
        (row, turn): (&'static Row, Turn),
        args: &Args,
        reply: &mut Reply,
    ) -> Executed {
        let Some(client) = self.sessions.client_mut(id) else {
            return Executed { closes: true, ..Executed::default() };
        };
        client.last_active_at = self.ks.now;
        (client.last_command, client.last_subcommand) = (row.command.name, "");
        client.commands += 1;
        reply.resp3 = client.resp3;
        let db = client.db;
        let before = reply.len();
        self.sessions.answering = Some(id);
        self.run_ordinary((id, db), row, args, reply);
        let wrote = self.commit(id);
        if self.persist.switch_scheduled {
            self.unstage();
            self.after_exec();
        }
        self.note_large(id, args, reply.len().saturating_sub(before));
        self.sessions.answering = None;
        self.tell_warnings();
        let needs_sync = match wrote {
            false => turn.needs_sync,
            true if self.batch_nanos < turn.ends => turn.writes_need_sync,
            // It took long: what was known of the log is old.
            true => turn.needs_sync || self.log_lags(),
        };
        // Under `always` the log thread is called when the lock was let go of. Otherwise it may be on its way already.
        if wrote && needs_sync && self.server.config.appendfsync != AppendFsync::Always {
            self.unstage();
        }
        Executed { need: self.ks.need, needs_sync, wrote, ..Executed::default() }
    }

    /// Runs the handler of a command that is neither a container nor leaves anything to the engine, with statistics and
    /// records, but no commit.
    fn run_ordinary(
        &mut self,
        (id, db): (ClientId, usize),
        row: &'static Row,
        args: &Args,
        reply: &mut Reply,
    ) {
        let command = row.command;
        let Handler::Plain(handler) = command.handler else { return };
        let ks = &mut self.ks;
        ks.effects.clear();
        (ks.need, ks.counts_reads, ks.no_touch) = (0, row.counts_reads, false);
        (ks.overdue, ks.expiry_waits) = (Overdue::Goes, false);
        let (start, began) = (reply.buffer.len(), self.batch_nanos);
        let result = handler(&mut self.ctx((id, db), command.name, Origin::Client, reply), args);
        let changed = self.ks.effects.dirty_by_commands() > 0;
        if command.propagate == Propagate::AsSent && changed {
            self.ks.effects.record_as_sent(db, args);
        }
        self.sample_clock();
        self.publish_events();
        let nanos = self.batch_nanos.saturating_sub(began);
        self.count_call(id, (row, args), Origin::Client, nanos, result.is_err());
        if let Err(error) = result {
            reply.truncate(start);
            self.count_error(&error);
            error.write(reply);
        }
    }

    /// What a handler works with.
    #[inline]
    pub(super) fn ctx<'a>(
        &'a mut self,
        (client, db): (ClientId, usize),
        command: &'static str,
        origin: Origin,
        reply: &'a mut Reply,
    ) -> Ctx<'a> {
        Ctx {
            db,
            now: self.ks.now,
            wall_us: self.wall_us(),
            monotonic: self.monotonic,
            ks: &mut self.ks,
            reply,
            rng: &mut self.rng,
            sessions: &mut self.sessions,
            client,
            origin,
            server: &mut self.server,
            command,
        }
    }
}

#[cfg(test)]
#[path = "ordinary_tests.rs"]
mod tests;
