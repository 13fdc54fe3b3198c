//! From a request to its reply: look up, check (`refuse.rs`), queue (`transaction.rs`) or run.
//!
//! A request that is refused inside MULTI spoils the transaction.

use std::time::Duration;

use super::{Engine, Executed};
use crate::command::ctx::{Origin, Task};
use crate::command::renamed::Named;
use crate::command::server::latency::event;
use crate::command::table::{Row, table, unknown_command};
use crate::command::{Command, CommandError, Flags, Handler, Outcome, Propagate};
use crate::keyspace::Overdue;
use crate::resp::{Args, Reply};
use crate::session::{ClientId, ReplyMode};

/// What a browser that is made to speak to this port begins its lines with: such a connection is closed before a later
/// line of it can be a command.
const CROSS_PROTOCOL: [&str; 2] = ["POST", "HOST:"];
/// Between two warnings of that, in milliseconds.
const CROSS_PROTOCOL_QUIET_MS: u64 = 60_000;

/// Error codes that are counted; a script can make up as many as it likes.
const ERROR_CODES_MAX: usize = 128;
/// Stands for all of them when there were more.
const ERRORS_DISABLED: &str = "ERRORSTATS_DISABLED";
/// The class of latency events that a command belongs to.
fn command_event(command: &Command) -> &'static str {
    if command.flags.has(Flags::FAST) { event::FAST_COMMAND } else { event::COMMAND }
}

impl Engine {
    /// Executes one request of a client and writes its reply.
    pub fn execute(&mut self, id: ClientId, args: &Args, reply: &mut Reply) -> Executed {
        let executed = match self.short_way(id, args) {
            Some(known) => self.execute_ordinary(id, known, args, reply),
            None if self.server.running_script.is_some() => {
                return self.execute_beside_script(id, args, reply);
            }
            None => {
                self.turn = None;
                self.unstage();
                let staging = std::mem::take(&mut self.staging);
                let executed = self.execute_request(id, args, reply);
                self.staging = staging;
                self.turn = None;
                executed
            }
        };
        crate::disk::crash_point::command_done();
        executed
    }

    pub(super) fn execute_request(
        &mut self,
        id: ClientId,
        args: &Args,
        reply: &mut Reply,
    ) -> Executed {
        let Some(client) = self.sessions.client_mut(id) else {
            return Executed { closes: true, ..Executed::default() };
        };
        if client.flags.ended {
            return Executed { closes: true, ..Executed::default() };
        }
        client.last_active_at = self.ks.now;
        reply.resp3 = client.resp3;
        let (start, before) = (reply.buffer.len(), reply.len());
        if self.evict_clients_before(id, args) {
            return Executed { closes: true, ..Executed::default() };
        }
        self.ks.need = 0;
        self.sessions.answering = Some(id);
        let mut executed = self.dispatch(id, args, reply);
        self.note_large(id, args, reply.len().saturating_sub(before));
        self.sessions.answering = None;
        executed.need = executed.need.max(self.ks.need);
        executed.needs_sync = self.reply_needs_sync(id) || (executed.wrote && self.log_lags());
        if let Some(client) = self.sessions.client_mut(id) {
            executed.closes |= client.flags.close_after_reply;
            let silent = client.reply_mode != ReplyMode::On && !executed.is_message;
            if silent {
                reply.cut = false;
                reply.truncate(start);
            }
            // One that waits has not ended.
            if !executed.waits {
                client.request_ended(!args.is(0, "CLIENT"));
            }
        }
        self.tell_warnings();
        if self.server.pause.is_some() {
            self.end_pause_if_over();
        }
        executed
    }

    /// Says to the log what the command found worth it.
    #[inline]
    pub(super) fn tell_warnings(&mut self) {
        if self.server.observed.warnings.is_empty() {
            return;
        }
        for line in self.server.observed.warnings.drain(..) {
            self.logger.warning(line);
        }
    }

    fn dispatch(&mut self, id: ClientId, args: &Args, reply: &mut Reply) -> Executed {
        match self.server.renamed.as_ref().map(|renamed| renamed.look_up(args)) {
            None | Some(Named::Itself) => self.dispatch_named(id, args, reply),
            Some(Named::Nothing) => self.reject(id, None, &unknown_command(args), reply),
            Some(Named::Renamed(own)) => self.dispatch_named(id, &own.as_args(), reply),
        }
    }

    fn dispatch_named(&mut self, id: ClientId, args: &Args, reply: &mut Reply) -> Executed {
        let row = table().find(args);
        if let Some(client) = self.sessions.client_mut(id) {
            (client.last_command, client.last_subcommand) = match &row {
                Ok(Row { container: Some(container), command, .. }) => {
                    (container.name, command.name)
                }
                Ok(row) => (row.command.name, ""),
                Err(_) => ("NULL", ""),
            };
        }
        let row = match row {
            Ok(row) if row.command.accepts(args.len()) => row,
            Ok(row) => {
                let error = CommandError::Arity(row.full_name.clone());
                return self.reject(id, Some(row), &error, reply);
            }
            Err(_) if CROSS_PROTOCOL.iter().any(|word| args.is(0, word)) => {
                self.warn_of_cross_protocol(id);
                return Executed { closes: true, ..Executed::default() };
            }
            Err(error) => {
                // A command that has subcommands and was given none.
                let bare = matches!(error, CommandError::Arity(_));
                let named = bare.then(|| table().top(args.at(0))).flatten();
                return self.reject(id, named, &error, reply);
            }
        };
        self.free_memory();
        if self.sessions.tracked.clients > 0 {
            self.limit_tracked_keys();
        }
        if !self.sessions.to_answered.is_empty() {
            self.tell_before_reply(id, reply);
        }
        if let Err(error) = self.check(id, row, args) {
            return self.reject(id, Some(row), &error, reply);
        }
        if self.server.pause.is_some() && self.postpone(id, row, args) {
            return Executed { waits: true, ..Executed::default() };
        }
        if self.queue(id, row, args) {
            reply.simple("QUEUED");
            return Executed::default();
        }
        self.ks.effects.clear();
        self.run_unit(id, row, args, reply)
    }

    /// Says to the log, now and then, that somebody sends HTTP.
    fn warn_of_cross_protocol(&mut self, id: ClientId) {
        let (now, told) = (self.ks.now, &mut self.server.observed.cross_protocol_at);
        if told.is_some_and(|at| now.abs_diff(at) <= CROSS_PROTOCOL_QUIET_MS) {
            return;
        }
        *told = Some(now);
        let address = self.sessions.client(id).map_or("", |client| client.address.as_str());
        self.logger.warning(format!(
            "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. \
             This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis \
             instance. Connection from {address} aborted."
        ));
    }

    /// What evictions made room for this command is told before its reply, as nothing of the command is in it.
    /// The reply waits for their log position as well.
    fn tell_before_reply(&mut self, id: ClientId, reply: &mut Reply) {
        if self.sessions.client(id).is_none_or(|client| client.reply_mode != ReplyMode::On) {
            return;
        }
        for mut mail in self.sessions.take_answered(id) {
            if let Some(release) = mail.release_mut() {
                self.ks.need = self.ks.need.max(release.need);
            }
            reply.buffer.extend_from_slice(mail.bytes());
        }
    }

    /// Runs one command as a unit of its own and commits it.
    pub(super) fn run_unit(
        &mut self,
        id: ClientId,
        row: &'static Row,
        args: &Args,
        reply: &mut Reply,
    ) -> Executed {
        if row.command.flags.has(Flags::WHOLE_KEYSPACE) {
            self.ks.need = self.server.persistence.appended;
        }
        let (start, started) = (reply.buffer.len(), self.monotonic);
        let outcome = self.call(id, row, args, reply, Origin::Client);
        let is_task = matches!(outcome, Ok(Outcome::Task(_)));
        let mut executed = Executed::default();
        match outcome {
            Ok(Outcome::Replied) | Err(_) => {}
            Ok(Outcome::Wait(wait)) => {
                self.wait(id, wait, args);
                executed.waits = true;
            }
            Ok(Outcome::Task(Task::Exec)) => {
                self.run_transaction(id, reply);
                self.feed_monitors(id, row, args, Origin::Client);
            }
            Ok(Outcome::Task(Task::Synchronize { psync })) => {
                executed.feeds = self.synchronize(id, psync);
            }
            Ok(Outcome::Task(task)) => {
                executed.waits = self.perform(id, task, args, reply);
            }
        }
        // SUBSCRIBE and its kin, which scripts may not call as PUBLISH.
        executed.is_message = row.command.flags.has(Flags::PUBSUB.or(Flags::NOSCRIPT));
        if executed.waits {
            self.sample_clock();
            let took = self.monotonic.saturating_sub(started).as_nanos();
            let nanos = u64::try_from(took).unwrap_or(u64::MAX);
            self.sessions.waiters.note_run(id, nanos);
        } else if is_task {
            let failed = reply.buffer.get(start) == Some(&b'-');
            self.sample_clock();
            self.note_call(id, row, args, Origin::Client, started, failed);
        }
        executed.wrote = self.commit(id);
        if self.persist.switch_scheduled {
            self.after_exec();
        }
        executed
    }

    /// Runs the handler of one command: statistics and records, but no commit.
    pub(super) fn call(
        &mut self,
        id: ClientId,
        row: &'static Row,
        args: &Args,
        reply: &mut Reply,
        origin: Origin,
    ) -> Result<Outcome, CommandError> {
        let command = row.command;
        let reply_start = reply.buffer.len();
        let dirty = self.ks.effects.dirty_by_commands();
        let (db, no_touch, runs_again) = match self.sessions.client_mut(id) {
            Some(client) => {
                client.commands += 1;
                (client.db, client.flags.no_touch, client.blocked)
            }
            None => (0, false, false),
        };
        self.ks.counts_reads = row.counts_reads;
        self.ks.no_touch = no_touch && command.name != "TOUCH";
        self.ks.overdue = self.overdue_keys(id, command);
        let started = self.monotonic;
        let mut ctx = self.ctx((id, db), command.name, origin, reply);
        let mut outcome = match command.handler {
            Handler::Plain(handler) => handler(&mut ctx, args).map(|()| Outcome::Replied),
            Handler::Extended(handler) => handler(&mut ctx, args),
            Handler::Container => Err(CommandError::Arity(row.full_name.clone())),
        };
        let mut counted = false;
        if let Ok(Outcome::Task(Task::Script(call))) = outcome {
            self.feed_monitors_with_script(id, args);
            let ended = self.run_script(id, call, args, reply);
            counted = ended.as_ref().is_err_and(|error| error.counted);
            outcome = ended.map(|()| Outcome::Replied).map_err(CommandError::from);
        }
        let changed = self.ks.effects.dirty_by_commands() > dirty;
        if command.propagate == Propagate::AsSent && changed {
            self.ks.effects.record_as_sent(db, args);
        }
        // Also what failed: a value of another type is a value that was seen.
        if self.sessions.tracked.clients > 0 {
            self.remember_reads(id, command, args);
        }
        self.sample_clock();
        if origin != Origin::Log {
            self.publish_events();
        }
        // EXEC is shown behind the commands that it runs, a waiting command when it begins to wait.
        if !runs_again && !matches!(outcome, Ok(Outcome::Task(Task::Exec))) {
            self.feed_monitors(id, row, args, origin);
        }
        // A command that waits is counted when its wait ends, one that the engine goes on with then.
        let ended = match &outcome {
            Ok(Outcome::Wait(_)) => origin != Origin::Client,
            Ok(Outcome::Task(_)) => false,
            Ok(Outcome::Replied) | Err(_) => true,
        };
        if ended {
            self.note_call(id, row, args, origin, started, outcome.is_err());
        }
        if let Err(error) = &outcome {
            reply.truncate(reply_start);
            if !counted {
                self.count_error(error);
            }
            error.write(reply);
        }
        outcome
    }

    /// What a command of a client does with keys whose time is over. One that writes cannot only hide them: the log would
    /// have it write to what is still there.
    fn overdue_keys(&self, id: ClientId, command: &Command) -> Overdue {
        if !self.server.config.import_mode {
            return Overdue::Goes;
        }
        match self.sessions.client(id) {
            Some(client) if client.flags.import_source => Overdue::Seen,
            _ if command.flags.has(Flags::READONLY) => Overdue::Hidden,
            _ => Overdue::Goes,
        }
    }

    /// Counts a command that began at `started` and has just ended.
    pub(super) fn note_call(
        &mut self,
        id: ClientId,
        row: &Row,
        args: &Args,
        origin: Origin,
        started: Duration,
        failed: bool,
    ) {
        // Not the last lap alone: the commands of a script had theirs.
        let elapsed = self.monotonic.saturating_sub(started);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.count_call(id, (row, args), origin, nanos, failed);
    }

    /// Counts a command that has just ended and took `nanos` nanoseconds.
    #[inline]
    pub(super) fn count_call(
        &mut self,
        id: ClientId,
        (row, args): (&Row, &Args),
        origin: Origin,
        nanos: u64,
        failed: bool,
    ) {
        let elapsed_us = nanos / 1000;
        self.note_slow(id, row, args, elapsed_us, origin);
        self.note_latency(command_event(row.command), Duration::from_nanos(nanos));
        self.server.stats.commands_processed += 1;
        // Those of a script or a transaction are in the time of the whole.
        if origin == Origin::Client {
            self.server.stats.command_nanos += nanos;
        }
        if let Some(stats) = self.server.command_stats.get_mut(row.index) {
            stats.calls += 1;
            stats.microseconds += elapsed_us;
            stats.failed += u64::from(failed);
            if self.server.config.latency_tracking {
                stats.histogram.add(nanos);
            }
        }
    }

    /// Refuses a request before it ran.
    pub(super) fn reject(
        &mut self,
        id: ClientId,
        row: Option<&Row>,
        error: &CommandError,
        reply: &mut Reply,
    ) -> Executed {
        if let Some(stats) = row.and_then(|row| self.server.command_stats.get_mut(row.index)) {
            stats.rejected += 1;
        }
        if let Some(client) = self.sessions.client_mut(id)
            && let Some(transaction) = client.transaction.as_mut()
        {
            transaction.failed = true;
        }
        if row.is_some_and(|row| row.command.name == "EXEC") {
            // EXEC itself refused: the transaction ends here.
            self.end_transaction(id);
            let text = error.to_string();
            let reason = text.strip_prefix("ERR ").unwrap_or(&text);
            reply.error(&format!("EXECABORT Transaction discarded because of: {reason}"));
        } else {
            error.write(reply);
        }
        self.count_error(error);
        Executed::default()
    }

    pub(super) fn count_error(&mut self, error: &CommandError) {
        self.server.stats.error_replies += 1;
        let (code, errors) = (error.code(), &mut self.server.error_stats);
        if errors.contains_key(ERRORS_DISABLED) {
            return;
        }
        if errors.len() >= ERROR_CODES_MAX && !errors.contains_key(&code) {
            let shown: Vec<&str> = errors.keys().take(8).map(String::as_str).collect();
            let shown = shown.join(", ");
            self.logger.warning(
                "Errorstats stopped adding new errors because the number of errors reached the \
                 limit, may be misuse of lua error_reply, please check INFO ERRORSTATS, this can be \
                 re-enabled via CONFIG RESETSTAT.",
            );
            self.logger.warning(format!("Current errors code list: {shown}"));
            errors.clear();
            errors.insert(ERRORS_DISABLED.to_owned(), 1);
            return;
        }
        *errors.entry(code).or_default() += 1;
    }
}
