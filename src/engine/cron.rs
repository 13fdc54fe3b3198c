//! What is done `hz` times a second: expiry, limits, statistics, automatic saves and rewrites.
//!
//! Called under the lock by reactor 0, in slices: the active expiry cycle comes back for more if it has
//! more to do, so nobody waits long for it.

use std::time::Duration;

use super::Engine;
use super::persist::PersistRequest;
use crate::session::{ClientId, Mail};

/// Segments the expiry cycle opens under one hold of the lock.
const EXPIRE_SEGMENTS: usize = 16;

/// State of the periodic work.
#[derive(Clone, Copy, Debug, Default)]
pub struct CronState {
    /// Database whose expired keys are removed next.
    expire_db: usize,
    sampled_at: Duration,
    sampled_commands: u64,
    sampled_input: u64,
    sampled_output: u64,
}

impl Engine {
    /// Samples, limits, automatic saves.
    pub fn cron(&mut self) {
        self.begin_batch();
        self.refresh_log_facts();
        self.sample_memory();
        self.sample_rates();
        self.close_idle_clients();
        self.evict_clients();
        self.expire_waiters();
        self.watch_log();
        self.save_if_due();
        self.rewrite_if_due();
    }

    /// One slice of active expiry. True when there is more to do now.
    pub fn expire_cycle(&mut self) -> bool {
        if !self.server.active_expire || self.server.loading.is_some() || self.is_paused() {
            return false;
        }
        self.begin_batch();
        let databases = self.ks.databases();
        for _ in 0..databases {
            let db = self.persist.cron.expire_db % databases.max(1);
            self.ks.effects.clear();
            let (removed, at_end) = self.ks.expire_step(db, EXPIRE_SEGMENTS);
            self.commit(ClientId(0));
            if at_end {
                self.persist.cron.expire_db = (db + 1) % databases.max(1);
            }
            if removed > 0 || !at_end {
                return true;
            }
        }
        false
    }

    /// Copies the log's positions and sizes to where INFO finds them.
    pub fn refresh_log_facts(&mut self) {
        let persistence = &mut self.server.persistence;
        persistence.log_enabled = self.log.is_some();
        if let Some(log) = &self.log {
            let stats = log.stats();
            persistence.appended = log.appended().0;
            persistence.written = log.written().0;
            persistence.synced = log.synced().0;
            persistence.log_current_bytes = stats.base_bytes + stats.incr_bytes;
            persistence.log_base_bytes = stats.base_bytes;
            persistence.log_delayed_syncs = stats.delayed;
        }
    }

    fn sample_rates(&mut self) {
        let now = self.monotonic();
        let cron = &mut self.persist.cron;
        let since = now.saturating_sub(cron.sampled_at).as_secs_f64();
        if since < 0.1 {
            return;
        }
        let stats = &mut self.server.stats;
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / since;
        let ops = rate(stats.commands_processed, cron.sampled_commands);
        stats.ops_per_second = ops.max(0.0).round() as u64;
        stats.input_kbps = rate(stats.net_input_bytes, cron.sampled_input) / 1024.0;
        stats.output_kbps = rate(stats.net_output_bytes, cron.sampled_output) / 1024.0;
        cron.sampled_at = now;
        cron.sampled_commands = stats.commands_processed;
        cron.sampled_input = stats.net_input_bytes;
        cron.sampled_output = stats.net_output_bytes;
    }

    fn close_idle_clients(&mut self) {
        let timeout = self.server.config.timeout;
        if timeout == 0 {
            return;
        }
        let now = self.ks.now;
        let idle = |client: &&crate::session::Client| {
            !client.blocked
                && !client.hears_messages()
                && client.age_and_idle(now).1 > u64::from(timeout)
        };
        let idle: Vec<ClientId> =
            self.sessions.iter().filter(idle).map(|client| client.id).collect();
        for to in idle {
            self.sessions.outgoing.push(Mail::Close { to, flush: false });
        }
    }

    /// A `save` point is reached: enough changes in enough time.
    fn save_if_due(&mut self) {
        let persistence = &self.server.persistence;
        if self.persist.is_busy() || self.server.loading.is_some() {
            return;
        }
        let since_s = (self.ks.now - persistence.last_save_at).max(0) / 1000;
        // A save that failed is tried again after five seconds, not at once.
        let may_try =
            persistence.last_save_ok || self.ks.now - persistence.last_save_try_at > 5_000;
        let due = self.server.config.save.iter().any(|point| {
            persistence.dirty >= point.changes && since_s.unsigned_abs() > point.seconds
        });
        if (due && may_try) || persistence.save_scheduled {
            self.server.persistence.save_scheduled = false;
            self.request_persist(PersistRequest::Save);
        }
    }

    /// The log has grown enough since its last rewrite, or a rewrite was put off.
    fn rewrite_if_due(&mut self) {
        if self.persist.is_busy() || self.log.is_none() || self.server.loading.is_some() {
            return;
        }
        let persistence = &self.server.persistence;
        let config = &self.server.config;
        let size = persistence.log_current_bytes;
        let base = persistence.log_base_bytes.max(1);
        let growth = u128::from(size.saturating_sub(base)) * 100 / u128::from(base);
        let wait = persistence.rewrite_not_before.is_some_and(|until| self.monotonic() < until);
        let due = config.auto_aof_rewrite_percentage > 0
            && size > config.auto_aof_rewrite_min_size
            && growth >= u128::from(config.auto_aof_rewrite_percentage)
            && !wait;
        if due || persistence.rewrite_scheduled {
            self.server.persistence.rewrite_scheduled = false;
            self.request_persist(PersistRequest::Rewrite);
        }
    }
}
