//! The engine's part in feeding replicas: snapshots for them, the stream, and who waits for what they have.
//!
//! A synchronization is one more kind of save (`persist`): a file in Redis' own form, made at a point in time
//! for all who wait for one of its kind, and without a name once it is made. What is sent, and when, is
//! `server::replica_thread`'s.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::persist::PersistRequest;
use crate::command::CommandError;
use crate::disk::FileView;
use crate::resp::{Args, Reply};
use crate::session::replica::{QueueLimit, SyncKind};
use crate::session::wait::{ReplicaWait, TimeoutReply, WaitKind};
use crate::session::{ClientId, Wait};

impl Engine {
    /// PSYNC and SYNC: true when the client is a replica from here on. Asking again is answered by nothing.
    pub(super) fn synchronize(&mut self, id: ClientId, psync: bool) -> bool {
        let Some(link) = self.sessions.make_replica(id, psync, self.ks.now) else { return false };
        let what = if link.rdb_only { "a snapshot" } else { "a synchronization" };
        let address = self.sessions.client(id).map_or("", |client| client.address.as_str());
        self.logger.notice(format!("Replica {address} asks for {what}."));
        self.sync_if_due();
        true
    }

    /// Has a snapshot made for replicas that wait for one, unless another job is under way: then it follows.
    fn sync_if_due(&mut self) {
        let free = !self.persist.is_busy() && self.server.loading.is_none();
        if free && self.sessions.replicas.awaited().is_some() {
            self.request_persist(PersistRequest::Sync);
        }
    }

    /// The snapshot is taken now. Under the lock: the next unit is the first one behind it.
    pub(super) fn sync_begins(&mut self, kind: SyncKind) {
        if !self.sessions.replicas.is_fed() {
            // While nobody was fed the stream stood still, and the data may not have: what begins is another history. Under
            // the name of the old one a replica of a replica would go on with what it has.
            self.server.observed.replication_id = crate::rng::random_hex(40);
        }
        self.sessions.replicas.snapshot_begins(kind, self.server.persistence.appended);
        self.refresh_recording();
    }

    /// The snapshot is written: the replicas' threads send it.
    pub(super) fn sync_ready(&mut self, file: &Arc<FileView>, position: u64, keys: u64) {
        self.sessions.replicas.snapshot_ready(file, position);
        let bytes = file.len();
        self.logger.notice(format!("Snapshot for replicas: {keys} keys, {bytes} bytes"));
    }

    /// Those who were told that it comes can only begin anew, on another connection. Those who wait for one
    /// still do.
    pub(super) fn sync_failed(&mut self, cause: &str) {
        let told: Vec<ClientId> =
            self.sessions.replicas.writing().map(|replica| replica.link.client).collect();
        if !told.is_empty() {
            self.logger.warning(format!("No snapshot for replicas: {cause}"));
        }
        self.let_go(told);
    }

    /// All of them: what they have is not what is here any more.
    pub(super) fn let_replicas_go(&mut self) {
        let all: Vec<ClientId> =
            self.sessions.replicas.iter().map(|replica| replica.link.client).collect();
        self.let_go(all);
    }

    fn let_go(&mut self, replicas: Vec<ClientId>) {
        for id in replicas {
            self.sessions.disconnect(id, ClientId(0));
        }
        self.refresh_recording();
    }

    /// Whether units are to leave records: for the log, for replicas or for a backup.
    pub(super) fn refresh_recording(&mut self) {
        self.feeds = self.sessions.replicas.is_fed() || self.backup.tap.is_some();
        self.ks.effects.recording = self.log.is_some() || self.feeds;
    }

    /// Hands the unit that is being committed, which the log has at `appended`, to replicas and to a backup.
    #[cold]
    pub(super) fn feed_others(&mut self, id: ClientId, appended: u64) {
        self.tap_for_backup();
        if !self.sessions.replicas.is_fed() {
            return;
        }
        let replicas = &mut self.sessions.replicas;
        replicas.feed(&self.ks.effects.unit, appended);
        let offset = replicas.offset(0);
        if let Some(client) = self.sessions.client_mut(id) {
            client.last_fed = offset;
        }
    }

    /// Something was queued since the lock was taken: nobody may hold too much.
    pub fn replicas_have_news(&mut self) {
        self.sessions.replicas.news = false;
        let limit = self.server.config.client_output_buffer_limit.replica;
        let limit = QueueLimit {
            hard_bytes: limit.hard_bytes,
            soft_bytes: limit.soft_bytes,
            soft: Duration::from_secs(limit.soft_seconds),
        };
        let over = self.sessions.replicas.overrun(limit, self.monotonic());
        for (id, held) in &over {
            self.server.stats.output_buffer_limit_disconnections += 1;
            let address = self.sessions.client(*id).map_or("", |client| client.address.as_str());
            self.logger.warning(format!(
                "Closing replica {address}: {held} bytes of unsent stream are over its limit."
            ));
        }
        if !over.is_empty() {
            self.let_go(over.into_iter().map(|(id, _)| id).collect());
        }
    }

    /// Pings, limits, snapshots that somebody waits for.
    pub(super) fn replicas_cron(&mut self) {
        if self.sessions.replicas.is_empty() {
            return;
        }
        let now = self.monotonic();
        let period = Duration::from_secs(self.server.config.repl_ping_replica_period.into());
        let replicas = &mut self.sessions.replicas;
        if replicas.is_fed() && now.saturating_sub(replicas.pinged_at) >= period {
            replicas.pinged_at = now;
            replicas.feed_words(&[b"PING"]);
        }
        replicas.note_signs(self.ks.now);
        let timeout = i64::from(self.server.config.repl_timeout);
        let silent = |replica: &&crate::session::replica::Replica| {
            let link = &replica.link;
            link.psync && !link.rdb_only && replica.lag_s(self.ks.now) > timeout
        };
        let silent: Vec<ClientId> = self
            .sessions
            .replicas
            .iter()
            .filter(silent)
            .map(|replica| replica.link.client)
            .collect();
        for id in &silent {
            let address = self.sessions.client(*id).map_or("", |client| client.address.as_str());
            self.logger.warning(format!("Disconnecting timedout replica: {address}"));
        }
        if !silent.is_empty() {
            self.let_go(silent);
        }
        self.replicas_have_news();
        self.sessions.replicas.bell.ring();
        self.sync_if_due();
    }

    /// `min-replicas-to-write`; a `min-replicas-max-lag` of 0 turns it off as well.
    pub(super) fn check_replicas(&self) -> Result<(), CommandError> {
        let config = &self.server.config;
        let lag = i64::from(config.min_replicas_max_lag);
        if config.min_replicas_to_write == 0 || lag == 0 {
            return Ok(());
        }
        let good = self.sessions.replicas.good(lag, self.ks.now);
        if good < config.min_replicas_to_write as usize {
            return Err(CommandError::text("NOREPLICAS Not enough good replicas to write."));
        }
        Ok(())
    }

    /// WAIT, when not enough replicas are known to have the client's writes yet. True when it waits.
    pub(super) fn wait_for_replicas(
        &mut self,
        id: ClientId,
        replicas: i64,
        timeout_ms: u64,
        args: &Args,
        reply: &mut Reply,
    ) -> bool {
        let Some(client) = self.sessions.client(id).filter(|client| !client.flags.internal) else {
            reply.int(0);
            return false;
        };
        let offset = client.last_fed;
        self.sessions.replicas.ask_for_acks();
        let deadline =
            (timeout_ms > 0).then(|| self.monotonic() + Duration::from_millis(timeout_ms));
        let on_timeout = TimeoutReply::Counts(0, None);
        let wait = ReplicaWait { replicas, offset, in_log: false, local: None };
        self.wait(id, Wait::until(WaitKind::Replicas(wait), deadline, on_timeout), args);
        true
    }

    /// A replica said what it has: answers who waited for that.
    pub(super) fn serve_replica_waiters(&mut self) {
        for id in self.sessions.waiters.for_replicas() {
            self.end_wait_if_replicas_have_it(id);
        }
    }

    /// Ends a wait for the log, and one for replicas if enough of them have what is waited for.
    pub(super) fn end_wait_if_replicas_have_it(&mut self, id: ClientId) {
        let kind = self.sessions.waiters.waiter(id).map(|waiter| &waiter.wait.kind);
        if let Some(WaitKind::Replicas(wait)) = kind {
            let have = self.sessions.replicas.that_have(wait.offset, wait.in_log);
            let synced = wait.local.is_none() || self.is_synced_for(id);
            if have < wait.replicas || !synced {
                return;
            }
        }
        self.time_out(id);
    }

    /// What WAIT answers now, or WAITAOF, which tells of the local log too.
    pub(super) fn counts_now(&self, id: ClientId, waitaof: bool) -> TimeoutReply {
        let offset = self.sessions.client(id).map_or(0, |client| client.last_fed);
        let have = self.sessions.replicas.that_have(offset, waitaof);
        match waitaof {
            true => TimeoutReply::Counts(i64::from(self.is_synced_for(id)), Some(have)),
            false => TimeoutReply::Counts(have, None),
        }
    }
}
