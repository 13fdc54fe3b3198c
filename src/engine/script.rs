//! Running scripts: the engine lends itself to the interpreter, and what a script does is one unit.
//!
//! A script runs under the engine's lock, at one instant of time (until it is reported as busy), with its caller's rights. Each of its
//! commands is checked in Redis' order and run as any other; the effects of all are committed together
//! when the script ends, also when it fails half-way, because what it did stays.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Engine, Executed, ShutdownState};
use crate::acl::{Context, Place};
use crate::command::ctx::{Origin, ScriptCall, ScriptTarget, Task};
use crate::command::renamed::Named;
use crate::command::state::RunningScript;
use crate::command::table::{Row, table};
use crate::command::{CommandError, Flags, Outcome};
use crate::resp::{Args, Reply};
use crate::scripting::{Commands, LogLevel, Prepared, ScriptError, ScriptFlags};
use crate::session::{ClientId, UserId};

const NO_COMMAND: &str = "ERR Unknown Redis command called from script";

/// The engine as a running script sees it.
struct Running<'e> {
    engine: &'e mut Engine,
    id: ClientId,
    resp3: bool,
    read_only: bool,
    /// Memory was checked at the start, or the script does not care.
    allow_oom: bool,
    /// It has called a command that writes: from now on it must not be stopped half-way.
    wrote: bool,
    /// Name, kind, request and start: what others are told when it does not end.
    name: &'e str,
    is_function: bool,
    request: Args<'e>,
    started: Duration,
    /// Changes go to the log (`redis.set_repl`).
    logged: bool,
}

impl Engine {
    /// Runs the script of a checked request and writes its reply.
    pub(super) fn run_script(
        &mut self,
        id: ClientId,
        call: ScriptCall,
        args: &Args,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        let script = match call.target {
            ScriptTarget::Source => self.server.scripts.by_source(args.at(1))?,
            ScriptTarget::Digest => self.server.scripts.by_digest(args.at(1))?,
            ScriptTarget::Function => self.function(args.at(1))?,
        };
        let allow_oom = self.admit_script(&script, call.read_only)?;
        let read_only = call.read_only || script.flags.has(ScriptFlags::NO_WRITES);
        let saved = self.sessions.client(id).map(|client| (client.db, client.commands));
        let outer = self.frozen_wall_us.replace(self.wall_us());
        if let Some(at) = outer {
            self.frozen_wall_us = Some(at);
        }
        // When EVAL began, to a few microseconds.
        let started = self.monotonic();
        let keys = args.slice(3..3 + call.keys);
        let arguments = args.tail(3 + call.keys);
        let mut running = Running {
            engine: self,
            id,
            resp3: false,
            read_only,
            allow_oom,
            wrote: false,
            name: &script.name,
            is_function: call.target == ScriptTarget::Function,
            request: *args,
            started,
            logged: true,
        };
        let ended = script.run(keys.iter(), arguments.iter(), &mut running, reply);
        self.frozen_wall_us = outer;
        if self.server.running_script.take().is_some() {
            self.busy.store(false, Ordering::Release);
        }
        if self.shutdown != ShutdownState::Running {
            // SHUTDOWN NOSAVE in the middle of it: what it did so far is nowhere else, and stays so.
            self.ks.effects.clear();
        }
        if let (Some(client), Some((db, commands))) = (self.sessions.client_mut(id), saved) {
            client.db = db;
            client.commands = commands;
        }
        ended
    }

    /// Executes a request while a script runs: what it does is a unit of its own.
    pub(super) fn execute_beside_script(
        &mut self,
        id: ClientId,
        args: &Args,
        reply: &mut Reply,
    ) -> Executed {
        let outer = std::mem::take(&mut self.ks.effects);
        self.ks.effects.recording = outer.recording;
        self.ks.effects.event_classes = outer.event_classes;
        let (need, no_touch) = (self.ks.need, self.ks.no_touch);
        let answering = self.sessions.answering;
        // What the script says is heard when its writes are safe, not when this is.
        let messages = std::mem::take(&mut self.sessions.messages);
        let due = std::mem::take(&mut self.sessions.tracked.due);
        let flushed = std::mem::take(&mut self.server.persistence.flushed);
        let executed = self.execute_request(id, args, reply);
        self.server.persistence.flushed = flushed;
        self.sessions.tracked.due = due;
        self.sessions.messages = messages;
        self.sessions.answering = answering;
        (self.ks.need, self.ks.no_touch) = (need, no_touch);
        self.ks.effects = outer;
        executed
    }

    /// What a script says of itself, if the request runs one that does.
    pub(super) fn stated_flags(&mut self, row: &Row, args: &Args) -> Option<ScriptFlags> {
        let script = match row.command.name {
            // To ask is not to load: EVALSHA does not find it yet.
            "EVAL" | "EVAL_RO" => return ScriptFlags::stated(args.at(1)),
            "EVALSHA" | "EVALSHA_RO" => self.server.scripts.by_digest(args.at(1)),
            "FCALL" | "FCALL_RO" => self.server.libraries.function(args.at(1)),
            _ => return None,
        };
        script.ok().filter(|script| script.has_shebang).map(|script| script.flags)
    }

    /// Whether the log takes writes and enough replicas follow it.
    fn check_writable(&self) -> Result<(), CommandError> {
        self.write_refusal().map_or(Ok(()), Err)?;
        self.check_replicas()
    }

    /// A function; the reply waits for the log to have its library.
    fn function(&mut self, name: &[u8]) -> Result<Prepared, ScriptError> {
        let libraries = &mut self.server.libraries;
        self.ks.need = self.ks.need.max(libraries.position);
        libraries.function(name)
    }

    /// The checks before a script that states its flags. Returns whether memory is not to be checked
    /// again with each command.
    fn admit_script(&self, script: &Prepared, read_only: bool) -> Result<bool, ScriptError> {
        let refuse = |text: String| Err(ScriptError { text: text.into_bytes(), counted: false });
        if !script.has_shebang {
            return Ok(false);
        }
        let writes = !script.flags.has(ScriptFlags::NO_WRITES);
        if writes && read_only {
            return refuse(
                "ERR Can not execute a script with write flag using *_ro command.".to_owned(),
            );
        }
        if writes && let Err(cause) = self.check_writable() {
            return refuse(cause.to_string());
        }
        if writes && !script.flags.has(ScriptFlags::ALLOW_OOM) && self.is_out_of_memory() {
            return refuse(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > \
                 'maxmemory'"
                    .to_owned(),
            );
        }
        Ok(true)
    }
}

impl Running<'_> {
    /// Why a command may not be called here, if so.
    fn refusal(&mut self, row: &'static Row, args: &Args) -> Option<String> {
        let flags = row.command.flags;
        if !row.command.accepts(args.len()) {
            return Some("ERR Wrong number of args calling Redis command from script".to_owned());
        }
        if flags.has(Flags::NOSCRIPT) && !self.engine.server.observed.scripts_may_all {
            return Some("ERR This Redis command is not allowed from script".to_owned());
        }
        if let Err(refusal) = self.engine.permit(self.id, row, args, Context::Script) {
            let text = refusal.text();
            return Some(format!("ERR ACL failure in script: {}", String::from_utf8_lossy(&text)));
        }
        let writes = flags.has(Flags::WRITE);
        if self.read_only && (writes || flags.has(Flags::MAY_REPLICATE)) {
            return Some("ERR Write commands are not allowed from read-only scripts.".to_owned());
        }
        if writes
            && !self.wrote
            && let Err(cause) = self.engine.check_writable()
        {
            return Some(cause.to_string());
        }
        let wants_memory = flags.has(Flags::DENYOOM) && !self.allow_oom && !self.wrote;
        if wants_memory && self.engine.is_out_of_memory() {
            return Some(CommandError::OutOfMemory.to_string());
        }
        None
    }

    fn refused(&mut self, row: Option<&Row>, text: String) -> Result<(), String> {
        let stats = &mut self.engine.server.command_stats;
        if let Some(stats) = row.and_then(|row| stats.get_mut(row.index)) {
            stats.rejected += 1;
        }
        self.engine.count_error(&CommandError::owned(text.clone()));
        Err(text)
    }
}

impl Commands for Running<'_> {
    fn call(&mut self, args: &Args, reply: &mut Reply) -> Result<(), String> {
        match self.engine.server.renamed.as_ref().map(|renamed| renamed.look_up(args)) {
            None | Some(Named::Itself) => self.call_named(args, reply),
            Some(Named::Nothing) => self.refused(None, NO_COMMAND.to_owned()),
            Some(Named::Renamed(own)) => self.call_named(&own.as_args(), reply),
        }
    }

    fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    fn resp3(&self) -> bool {
        self.resp3
    }

    fn set_replication(&mut self, flags: u8) {
        self.logged = flags & 1 != 0;
    }

    fn log(&mut self, level: LogLevel, text: &str) {
        let logger = &self.engine.logger;
        match level {
            LogLevel::Debug => logger.debug(text),
            LogLevel::Verbose => logger.verbose(text),
            LogLevel::Notice => logger.notice(text),
            LogLevel::Warning => logger.warning(text),
        }
    }

    fn permits(&mut self, args: &Args) -> Option<bool> {
        let row = table().find(args).ok().filter(|row| row.command.accepts(args.len()))?;
        let client = self.engine.sessions.client(self.id);
        let user = client.and_then(|client| client.user.as_ref());
        let id = user.map_or(UserId::DEFAULT, |user| user.id);
        let db = client.map_or(0, |client| client.db);
        let place = Place { db, databases: self.engine.ks.databases() };
        Some(self.engine.server.acl.check(id, (row, args), place).is_ok())
    }

    fn pulse(&mut self) -> Option<&'static str> {
        let threshold = u64::try_from(self.engine.server.config.busy_reply_threshold).unwrap_or(0);
        let now = self.engine.clock.monotonic();
        let elapsed = now.saturating_sub(self.started);
        if threshold == 0 || elapsed < Duration::from_millis(threshold) {
            return None;
        }
        self.tell_busy(now, elapsed);
        // Redis' time goes on as well once it serves others: a script that waits for an instant ends.
        self.engine.frozen_wall_us = None;
        self.engine.frozen_wall_us = Some(self.engine.wall_us());
        if let Some(serve) = self.engine.while_busy {
            serve(self.engine);
        }
        self.killed()
    }

    fn killed(&self) -> Option<&'static str> {
        if self.engine.shutdown != ShutdownState::Running {
            return Some("The server is shutting down.");
        }
        self.engine.server.running_script.as_ref()?.killed
    }
}

impl Running<'_> {
    /// Calls a command by its own name.
    fn call_named(&mut self, args: &Args, reply: &mut Reply) -> Result<(), String> {
        let row = match table().find(args) {
            Ok(row) => row,
            Err(error) => {
                let text = match error {
                    CommandError::Arity(_) => {
                        "ERR Wrong number of args calling Redis command from script"
                    }
                    _ => NO_COMMAND,
                };
                return self.refused(None, text.to_owned());
            }
        };
        if let Some(text) = self.refusal(row, args) {
            return self.refused(Some(row), text);
        }
        self.wrote |= row.command.flags.has(Flags::WRITE);
        let engine = &mut *self.engine;
        if row.command.flags.has(Flags::WHOLE_KEYSPACE) {
            engine.ks.need = engine.ks.need.max(engine.server.persistence.appended);
        }
        reply.resp3 = self.resp3;
        let recording = engine.ks.effects.recording;
        engine.ks.effects.recording &= self.logged;
        let outcome = engine.call(self.id, row, args, reply, Origin::Script);
        match outcome {
            // Nothing waits inside a script: WAITAOF says how things are.
            Ok(Outcome::Task(Task::WaitLog { .. })) => engine.write_log_counts(self.id, reply),
            Ok(Outcome::Task(task)) => {
                engine.perform(self.id, task, args, reply);
            }
            Ok(Outcome::Wait(wait)) => wait.write_timeout_reply(reply),
            Ok(Outcome::Replied) | Err(_) => {}
        }
        engine.ks.effects.recording = recording;
        Ok(())
    }

    /// Lets others know that the script does not end.
    fn tell_busy(&mut self, now: Duration, elapsed: Duration) {
        let engine = &mut *self.engine;
        if let Some(running) = engine.server.running_script.as_mut() {
            running.now = now;
            running.wrote = self.wrote;
            return;
        }
        engine.logger.warning(format!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing the \
             script using the {} KILL command. Script name is: {}.",
            elapsed.as_millis(),
            if self.is_function { "FUNCTION" } else { "SCRIPT" },
            self.name
        ));
        engine.server.running_script = Some(RunningScript {
            name: self.name.to_owned(),
            is_function: self.is_function,
            command: self.request.to_owned_args(),
            started: self.started,
            now,
            wrote: self.wrote,
            killed: None,
        });
        engine.busy.store(true, Ordering::Release);
    }
}
