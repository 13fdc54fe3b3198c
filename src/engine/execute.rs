//! From a request to its reply: look up, check, queue or run.
//!
//! The checks come in Redis' order, because clients and test suites see which error wins. A request that
//! is refused inside MULTI spoils the transaction.

use std::time::Duration;

use super::{Engine, Executed};
use crate::acl::permit::{self, Refusal};
use crate::acl::{Context, databases};
use crate::aof::log::LogState;
use crate::command::ctx::{Origin, Task};
use crate::command::renamed::Named;
use crate::command::server::latency::event;
use crate::command::table::{Row, table, unknown_command};
use crate::command::{Command, CommandError, Flags, Handler, Outcome, Propagate};
use crate::keyspace::Overdue;
use crate::scripting::ScriptFlags;

use crate::resp::{Args, OwnedArgs, Reply};
use crate::session::{Client, ClientId, ReplyMode};

/// Commands that run at once inside MULTI instead of being queued.
const NOT_QUEUED: &[&str] = &["EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET"];

/// Whether it is one of them; LATENCY RESET is not.
fn runs_at_once(row: &Row) -> bool {
    row.container.is_none() && NOT_QUEUED.contains(&row.command.name)
}

/// What a browser that is made to speak to this port begins its lines with: such a connection is closed before a later
/// line of it can be a command.
const CROSS_PROTOCOL: [&str; 2] = ["POST", "HOST:"];
/// Between two warnings of that, in milliseconds.
const CROSS_PROTOCOL_QUIET_MS: u64 = 60_000;

/// Error codes that are counted; a script can make up as many as it likes.
const ERROR_CODES_MAX: usize = 128;
/// Stands for all of them when there were more.
const ERRORS_DISABLED: &str = "ERRORSTATS_DISABLED";
/// Commands of RESP2's restricted mode while subscribed.
const ALLOWED_WHILE_SUBSCRIBED: &[&str] = &[
    "PING",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SSUBSCRIBE",
    "SUNSUBSCRIBE",
    "QUIT",
    "RESET",
];

/// Whether a command is refused while memory is above `maxmemory` and nothing may go: one that may need
/// more, and EXEC with such a command queued.
fn needs_memory(client: &Client, row: &Row) -> bool {
    let queued = || client.transaction.as_ref().is_some_and(|queued| queued.denied_when_full);
    row.command.flags.has(Flags::DENYOOM) || (row.command.name == "EXEC" && queued())
}

/// Whether a script that says this of itself may write, and may need more memory.
fn demands(stated: ScriptFlags) -> (bool, bool) {
    let writes = !stated.has(ScriptFlags::NO_WRITES);
    (writes, writes && !stated.has(ScriptFlags::ALLOW_OOM))
}

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
    fn note_call(
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

    /// Forgets a transaction and what it watched.
    fn end_transaction(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.client_mut(id) {
            client.transaction = None;
            client.watch_broken = false;
        }
        self.sessions.unwatch(id);
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

    /// All refusals that do not depend on the command's own logic, in Redis' order.
    pub(super) fn check(
        &mut self,
        id: ClientId,
        row: &'static Row,
        args: &Args,
    ) -> Result<(), CommandError> {
        let flags = row.command.flags;
        if flags.has(Flags::PROTECTED) {
            self.permit_protected(id, row)?;
        }
        // What runs then only reads: writes are refused or wait.
        self.ks.expiry_waits = !self.log_is_ready() || self.is_paused();
        let Some(client) = self.sessions.client(id) else { return Ok(()) };
        if client.user.is_none() && !flags.has(Flags::NO_AUTH) && self.server.acl.needs_auth() {
            return Err(CommandError::text("NOAUTH Authentication required."));
        }
        // MULTI and WATCH have errors of their own.
        let own_error = runs_at_once(row);
        if client.transaction.is_some() && flags.has(Flags::NO_MULTI) && !own_error {
            return Err(CommandError::text("ERR Command not allowed inside a transaction"));
        }
        let context = if client.transaction.is_some() { Context::Multi } else { Context::TopLevel };
        self.permit(id, row, args, context).map_err(|refusal| refusal.error())?;
        let out_of_memory = self.server.eviction.out_of_memory;
        let min_replicas = self.server.config.min_replicas_to_write;
        // A script is looked at only where it matters what it is to do.
        let matters = out_of_memory || min_replicas > 0 || self.write_refusal().is_some();
        let stated = if matters { self.stated_flags(row, args) } else { None };
        let Some(client) = self.sessions.client(id) else { return Ok(()) };
        let writes = flags.has(Flags::WRITE)
            || (row.command.name == "EXEC"
                && client.transaction.as_ref().is_some_and(|transaction| transaction.writes));
        let subscribed = client.in_pubsub_mode();
        let (writes, grows) = match stated {
            Some(stated) => demands(stated),
            None => (writes, needs_memory(client, row)),
        };
        if out_of_memory && grows {
            return Err(CommandError::OutOfMemory);
        }
        if (writes || row.command.name == "PING")
            && let Some(cause) = self.write_refusal()
        {
            return Err(cause);
        }
        if writes {
            self.check_replicas()?;
        }
        if subscribed && !ALLOWED_WHILE_SUBSCRIBED.contains(&row.command.name) {
            return Err(CommandError::owned(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                row.full_name
            )));
        }
        let replica = client.flags.monitor || client.flags.replica;
        if self.server.loading.is_some() && !flags.has(Flags::LOADING) {
            return Err(CommandError::text("LOADING Redis is loading the dataset in memory"));
        }
        // Redis' monitors are a kind of replica.
        let touches_keys = writes || flags.has(Flags::READONLY) || flags.has(Flags::MAY_REPLICATE);
        if replica && touches_keys {
            return Err(CommandError::text("ERR Replica can't interact with the keyspace"));
        }
        if let Some(running) = &self.server.running_script
            && !flags.has(Flags::ALLOW_BUSY)
        {
            return Err(running.busy_error());
        }
        Ok(())
    }

    /// Whether the client may make this request (see `acl::permit`).
    pub(super) fn permit(
        &mut self,
        id: ClientId,
        row: &'static Row,
        args: &Args,
        context: Context,
    ) -> Result<(), Refusal> {
        let now = self.ks.now;
        permit::permit(&mut self.server, &mut self.sessions, id, (row, args), context, now)
    }

    /// Whether there is no log, or it takes records.
    pub(super) fn log_is_ready(&self) -> bool {
        self.log.as_ref().is_none_or(|log| log.state() == LogState::Ready)
    }

    /// Why writes are refused at the moment, if they are.
    pub(super) fn write_refusal(&self) -> Option<CommandError> {
        let persistence = &self.server.persistence;
        let unwritable = self.log.as_ref().filter(|log| log.state() != LogState::Ready);
        if let Some(log) = unwritable {
            // The state comes first, its report by the log's driver a moment later.
            let cause = persistence.log_error.clone();
            let cause = cause.or_else(|| Some(log.cause()?.to_string())).unwrap_or_default();
            return Some(CommandError::owned(format!(
                "MISCONF Errors writing to the AOF file: {cause}"
            )));
        }
        if let (Some(_), Some(cause)) = (&self.log, &persistence.log_error) {
            let text = format!("MISCONF Errors writing to the AOF file: {cause}");
            return Some(CommandError::owned(text));
        }
        let config = &self.server.config;
        let refuse = config.stop_writes_on_bgsave_error
            && !config.save.is_empty()
            && !persistence.last_save_ok;
        refuse.then(|| {
            CommandError::text(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
                 persist to disk. Commands that may modify the data set are disabled, because this \
                 instance is configured to report errors during writes if RDB snapshotting fails \
                 (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
                 about the RDB error.",
            )
        })
    }

    /// Queues the request if a transaction is open.
    fn queue(&mut self, id: ClientId, row: &Row, args: &Args) -> bool {
        if self.sessions.client(id).is_none_or(|client| client.transaction.is_none())
            || runs_at_once(row)
        {
            return false;
        }
        let flags = row.command.flags;
        let (writes, grows) = match self.stated_flags(row, args) {
            Some(stated) => demands(stated),
            None => (flags.has(Flags::WRITE), flags.has(Flags::DENYOOM)),
        };
        let Some(client) = self.sessions.client_mut(id) else { return false };
        let Some(transaction) = client.transaction.as_mut() else { return false };
        transaction.writes |= writes;
        transaction.denied_when_full |= grows;
        // The queue is not kept once EXEC is bound to fail: a client cannot fill memory with it.
        if !transaction.failed && !client.watch_broken {
            if row.full_name == "select" {
                let databases = self.server.config.databases as usize;
                let db = args.get(1).and_then(|text| databases::existing(text, databases));
                transaction.selected = db.or(transaction.selected);
            }
            let request = args.to_owned_args();
            transaction.bytes += request.memory_bytes();
            transaction.queue.push(request);
        }
        true
    }

    /// Runs the queue of an EXEC that passed its checks: one unit.
    fn run_transaction(&mut self, id: ClientId, reply: &mut Reply) {
        self.sessions.unwatch(id);
        let Some(client) = self.sessions.client_mut(id) else { return };
        client.watch_broken = false;
        let Some(transaction) = client.transaction.take() else { return };
        reply.array(transaction.queue.len());
        self.persist.in_exec = true;
        // Time stands still for all of them: no key expires between two of the commands.
        let outer = self.frozen_wall_us;
        self.frozen_wall_us = outer.or(Some(self.wall_us()));
        for request in &transaction.queue {
            self.run_queued(id, request, reply);
        }
        self.frozen_wall_us = outer;
        self.persist.in_exec = false;
    }

    fn run_queued(&mut self, id: ClientId, request: &OwnedArgs, reply: &mut Reply) {
        let args = request.as_args();
        let Ok(row) = table().find(&args) else {
            reply.error("ERR unknown command");
            return;
        };
        if let Err(refusal) = self.permit(id, row, &args, Context::Multi) {
            let error = refusal.error_at_exec();
            self.count_error(&error);
            error.write(reply);
            return;
        }
        if row.command.flags.has(Flags::WHOLE_KEYSPACE) {
            self.ks.need = self.ks.need.max(self.server.persistence.appended);
        }
        if let Some(client) = self.sessions.client(id) {
            reply.resp3 = client.resp3;
        }
        let started = self.monotonic;
        match self.call(id, row, &args, reply, Origin::Transaction) {
            // Nothing waits inside a transaction: WAITAOF says how things are.
            Ok(Outcome::Task(Task::WaitLog { .. })) => self.write_log_counts(id, reply),
            Ok(Outcome::Task(task)) => {
                let start = reply.buffer.len();
                self.perform(id, task, &args, reply);
                let failed = reply.buffer.get(start) == Some(&b'-');
                self.sample_clock();
                self.note_call(id, row, &args, Origin::Transaction, started, failed);
            }
            // A blocking command that finds nothing answers as if its time were over.
            Ok(Outcome::Wait(wait)) => wait.write_timeout_reply(reply),
            Ok(Outcome::Replied) | Err(_) => {}
        }
    }
}
