//! What handlers leave to the engine: saves, the log, the configuration, INFO, DEBUG, SHUTDOWN.

use std::time::Duration;

use super::persist::PersistRequest;
use super::{Engine, ShutdownState};
use crate::aof::log::LogState;
use crate::command::CommandError;
use crate::command::ctx::Task;
use crate::resp::{Args, Reply};
use crate::session::wait::{ReplicaWait, TimeoutReply};
use crate::session::{Client, ClientId, Wait, WaitKind};

/// What an operator can do about a server that does not end.
const END_ANYWAY: &str = "Make room on the disk or mend what is named above; SHUTDOWN NOSAVE FORCE ends the server without";

impl Engine {
    /// Does a task and writes its reply. True when the client waits for the reply.
    pub(super) fn perform(
        &mut self,
        id: ClientId,
        task: Task,
        args: &Args,
        reply: &mut Reply,
    ) -> bool {
        let outcome = match task {
            Task::Save => self.save_now(),
            Task::BackgroundSave { schedule } => self.background_save(schedule, reply),
            Task::CancelSave => self.cancel_save(reply),
            Task::RewriteLog => self.rewrite_log(reply),
            Task::Shutdown { save, now: _, force } => self.shut_down(save, force, reply),
            Task::Info { sections } => {
                self.refresh_log_facts();
                let text = super::info::render(self, &sections);
                reply.verbatim(b"txt", text.as_bytes());
                return false;
            }
            Task::ConfigSet { pairs } => self.config_set(id, &pairs),
            Task::AclLoad => self.acl_load(id),
            Task::AclSave => self.acl_save(),
            Task::ConfigRewrite { all } => self.config_rewrite(all),
            Task::ResetStatistics => {
                self.reset_statistics();
                Ok(true)
            }
            Task::DebugReload { flush, save, merge } => self.debug_reload(flush, save, merge),
            Task::DebugLoadLog => self.debug_load_log(),
            Task::Migrate(migration) => return self.migrate(id, *migration, args, reply),
            Task::DebugLog(text) => {
                self.logger.warning(format!("DEBUG LOG: {text}"));
                Ok(true)
            }
            Task::DebugSleep(duration) => {
                self.clock.sleep(duration);
                Ok(true)
            }
            Task::WaitLog { local, replicas, timeout_ms } => {
                return self.wait_for_log(id, (local, replicas), timeout_ms, args, reply);
            }
            Task::WaitReplicas { replicas, timeout_ms } => {
                return self.wait_for_replicas(id, replicas, timeout_ms, args, reply);
            }
            Task::Backup(request) => match self.backup(id, request, args) {
                Ok(false) => return true,
                other => other,
            },
            Task::Acknowledged => {
                self.serve_replica_waiters();
                return false;
            }
            Task::Unblock { id, error: true } => {
                self.unblock_with_error(id, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
                Ok(false)
            }
            Task::Unblock { id, error: false } => {
                self.time_out(id);
                Ok(false)
            }
            // EXEC and scripts are run by the dispatcher, which knows the unit they belong to.
            Task::Exec | Task::Script(_) | Task::Synchronize { .. } => Ok(false),
        };
        match outcome {
            Ok(true) => reply.ok(),
            Ok(false) => {}
            Err(text) => {
                let error = CommandError::owned(text);
                error.write(reply);
                self.count_error(&error);
            }
        }
        false
    }

    fn background_save(&mut self, schedule: bool, reply: &mut Reply) -> Result<bool, String> {
        match self.persist.running.or(self.persist.requested) {
            Some(PersistRequest::Save | PersistRequest::Sync) => {
                Err("ERR Background save already in progress".to_owned())
            }
            Some(PersistRequest::Rewrite | PersistRequest::Backup) if schedule => {
                self.server.persistence.save_scheduled = true;
                reply.simple("Background saving scheduled");
                Ok(false)
            }
            _ if self.persist.in_exec => {
                self.server.persistence.save_scheduled = true;
                reply.simple("Background saving scheduled");
                Ok(false)
            }
            Some(PersistRequest::Rewrite | PersistRequest::Backup) => Err(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE \
                 SCHEDULE in order to schedule a BGSAVE whenever possible."
                    .to_owned(),
            ),
            None => {
                self.request_persist(PersistRequest::Save);
                reply.simple("Background saving started");
                Ok(false)
            }
        }
    }

    /// BGSAVE CANCEL: gives up the save under way, or else the one that waits for its turn.
    fn cancel_save(&mut self, reply: &mut Reply) -> Result<bool, String> {
        let under_way = self.persist.running.or(self.persist.requested);
        // One that was cancelled is on its way out.
        if under_way == Some(PersistRequest::Save) && !self.persist.cancel {
            self.logger.notice("Background saving will be aborted due to user request");
            self.cancel_persist();
            reply.simple("Background saving cancelled");
        } else if std::mem::take(&mut self.server.persistence.save_scheduled) {
            self.logger.notice("Scheduled background saving will be cancelled due to user request");
            reply.simple("Scheduled background saving cancelled");
        } else {
            let text = "ERR Background saving is currently not in progress or scheduled";
            return Err(text.to_owned());
        }
        Ok(false)
    }

    fn rewrite_log(&mut self, reply: &mut Reply) -> Result<bool, String> {
        match self.persist.running.or(self.persist.requested) {
            Some(PersistRequest::Rewrite) => {
                Err("ERR Background append only file rewriting already in progress".to_owned())
            }
            busy if busy.is_some() || self.persist.in_exec => {
                self.server.persistence.rewrite_scheduled = true;
                reply.simple("Background append only file rewriting scheduled");
                Ok(false)
            }
            _ => {
                self.request_persist(PersistRequest::Rewrite);
                reply.simple("Background append only file rewriting started");
                Ok(false)
            }
        }
    }

    /// WAITAOF: waits until the client's writes are on disk here, and on that of so many replicas.
    fn wait_for_log(
        &mut self,
        id: ClientId,
        (local, replicas): (i64, i64),
        timeout_ms: u64,
        args: &Args,
        reply: &mut Reply,
    ) -> bool {
        let (position, offset) =
            self.sessions.client(id).map_or((0, 0), |client| (client.last_write, client.last_fed));
        let reached = self.is_synced_for(id);
        let enough = self.sessions.replicas.that_have(offset, true) >= replicas;
        let open = self.sessions.client(id).is_none_or(|client| client.flags.internal);
        if ((local == 0 || reached) && enough) || open {
            self.write_log_counts(id, reply);
            return false;
        }
        let deadline =
            (timeout_ms > 0).then(|| self.monotonic() + Duration::from_millis(timeout_ms));
        let on_timeout = TimeoutReply::Counts(i64::from(reached), Some(0));
        let kind = if replicas > 0 {
            self.sessions.replicas.ask_for_acks();
            let local = (local > 0).then_some(position);
            WaitKind::Replicas(ReplicaWait { offset, replicas, in_log: true, local })
        } else {
            WaitKind::Synced(position)
        };
        self.wait(id, Wait::until(kind, deadline, on_timeout), args);
        true
    }

    /// The answer of WAITAOF as things are now.
    pub(super) fn write_log_counts(&self, id: ClientId, reply: &mut Reply) {
        reply.array(2);
        reply.int(i64::from(self.is_synced_for(id)));
        let offset = self.sessions.client(id).map_or(0, |client| client.last_fed);
        reply.int(self.sessions.replicas.that_have(offset, true));
    }

    /// Lets a client in, or says why not. The flag tells whether it needs no AUTH.
    pub fn admit(&mut self, mut client: Client) -> Result<(ClientId, bool), String> {
        self.server.stats.connections_received += 1;
        let limit = self.server.config.maxclients as usize;
        let all = || self.sessions.iter().filter(|client| !client.flags.internal).count();
        // Counted where it matters only: among ten thousand that is dearer than all the rest of an accept.
        if self.sessions.len() >= limit && all() >= limit {
            self.server.stats.connections_rejected += 1;
            return Err("ERR max number of clients reached".to_owned());
        }
        if !client.flags.unix_socket && self.is_protected_from(&client.address) {
            self.server.stats.connections_rejected += 1;
            return Err("DENIED Redis is running in protected mode because protected mode is \
                        enabled and no password is set for the default user. In this mode \
                        connections are only accepted from the loopback interface. If you want to \
                        connect from external computers, set a password with requirepass or an ACL, \
                        or set protected-mode to no."
                .to_owned());
        }
        client.user = self.server.acl.initial_user();
        let authenticated = client.user.is_some();
        Ok((self.sessions.add(client), authenticated))
    }

    fn is_protected_from(&self, address: &str) -> bool {
        let needs_none = !self.server.acl.needs_auth();
        let loopback = address
            .parse::<std::net::SocketAddr>()
            .is_ok_and(|address| address.ip().to_canonical().is_loopback());
        self.server.config.protected_mode && needs_none && !loopback
    }

    /// A connection is closed.
    pub fn client_gone(&mut self, id: ClientId) {
        let fed = self.sessions.replicas.is_fed();
        self.sessions.remove(id);
        if fed && !self.sessions.replicas.is_fed() {
            self.refresh_recording();
        }
    }

    fn reset_statistics(&mut self) {
        self.server.stats = crate::command::state::Stats::default();
        super::loops::reset(&self.loops);
        self.server.error_stats.clear();
        for stats in &mut self.server.command_stats {
            *stats = crate::command::state::CommandStats::default();
        }
        self.ks.stats = crate::keyspace::KeyspaceStats::default();
        self.server.scripts.evicted = 0;
        self.persist.jobs_started = 0;
        self.sessions.replicas.syncs = 0;
        self.sessions.replicas.queued_bytes = 0;
        let now = self.monotonic();
        let eviction = &mut self.server.eviction;
        eviction.lazy_freed = 0;
        eviction.over_limit = Duration::ZERO;
        eviction.over_limit_since = eviction.over_limit_since.map(|_| now);
        self.refresh_log_facts();
        let persistence = &mut self.server.persistence;
        persistence.log_delayed_syncs_seen = persistence.log_delayed_syncs;
        persistence.saves = 0;
        persistence.rewrites = 0;
        persistence.rewrite_failures = 0;
    }

    /// Whether all that was acknowledged is on the disk. On a full disk that can be without the last writes: those were
    /// not acknowledged, because replies wait until a write has been written, whatever the policy is.
    fn close_log(&self) -> bool {
        let Some(log) = &self.log else { return true };
        let Err(cause) = log.close() else { return true };
        self.logger.warning(format!("Syncing the log before exit failed: {cause}"));
        let full =
            log.state() == LogState::Full && log.sync().is_ok() && log.synced() == log.written();
        if full {
            self.logger.warning(format!(
                "The last {} bytes of the log did not fit on the disk; nobody was told that these writes were done",
                log.pending_bytes()
            ));
        }
        full
    }

    /// SHUTDOWN and SIGTERM: saves if asked to, closes the log, says that the process may end. While loading nothing is
    /// saved, whatever was asked.
    pub fn shut_down(
        &mut self,
        save: Option<bool>,
        force: bool,
        reply: &mut Reply,
    ) -> Result<bool, String> {
        let refused = "ERR Errors trying to SHUTDOWN. Check logs.".to_owned();
        self.logger.notice("User requested shutdown...");
        if self.server.loading.is_some() {
            // What clients see meanwhile is an empty keyspace: to save that would replace the data set by nothing.
            self.logger.warning("Received shutdown signal during loading, exiting now.");
            reply.buffer.clear();
            self.shutdown = ShutdownState::Done { exit_code: 0 };
            return Ok(false);
        }
        if self.persist.running == Some(PersistRequest::Rewrite) {
            self.logger.warning("There is a child rewriting the AOF. Killing it!");
        }
        self.cancel_persist();
        let wants_save = save.unwrap_or(!self.server.config.save.is_empty());
        if wants_save && let Err(cause) = self.save_now() {
            self.logger.warning(format!("Error trying to save the DB: {cause}"));
            // What was not asked for in so many words is not needed where the log has everything.
            let has_log = save.is_none() && self.log.as_ref().is_some_and(|log| !log.is_gated());
            if !force && !has_log {
                self.logger
                    .warning(format!("Error trying to save the DB, can't exit. {END_ANYWAY}"));
                return Err(refused);
            }
        }
        let synced = self.close_log();
        if !synced && !force {
            self.logger.warning(format!("Can't exit. {END_ANYWAY}"));
            return Err(refused);
        }
        let all = if synced && self.log.is_some() { "Everything is synced. " } else { "" };
        self.logger.notice(format!("{all}Redis is now ready to exit, bye bye..."));
        reply.buffer.clear();
        self.shutdown = ShutdownState::Done { exit_code: 0 };
        Ok(false)
    }
}
