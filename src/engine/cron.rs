//! What is done `hz` times a second: expiry, limits, statistics, automatic saves and rewrites.
//!
//! Called under the lock by reactor 0, in slices: the active expiry cycle comes back for more if it has
//! more to do, so nobody waits long for it.

use std::time::Duration;

use super::persist::PersistRequest;
use super::{Engine, loops};
use crate::command::server::latency::event;
use crate::session::ClientId;

/// Segments the expiry cycle looks at between two looks at the time.
const EXPIRE_SEGMENTS: usize = 8;
/// How long one slice of it holds the lock, for each step of `active-expire-effort`.
const EXPIRE_SLICE: Duration = Duration::from_micros(250);
/// Between two passes over the keyspace.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);

/// State of the periodic work.
#[derive(Clone, Copy, Debug, Default)]
pub struct CronState {
    /// Database whose expired keys are removed next.
    expire_db: usize,
    sampled_at: Duration,
    sampled_commands: u64,
    sampled_input: u64,
    sampled_output: u64,
    sampled_turns: u64,
    sampled_turns_us: u64,
}

impl Engine {
    /// Samples, limits, automatic saves.
    pub fn cron(&mut self) {
        self.begin_batch();
        if self.server.observed.cron_paused {
            return;
        }
        self.refresh_log_facts();
        self.sample_memory();
        self.sample_rates();
        self.close_idle_clients();
        self.evict_clients();
        self.limit_tracked_keys();
        self.expire_waiters();
        self.watch_log();
        self.replicas_cron();
        self.backup_cron();
        self.save_if_due();
        self.rewrite_if_due();
    }

    /// One slice of active expiry; how long to pause before the next. A slice ends when its time is
    /// over: then the next comes soon if there was much to remove, and later if not.
    pub fn expire_cycle(&mut self) -> Duration {
        let waits = self.server.loading.is_some() || !self.log_is_ready() || self.is_paused();
        if !self.server.active_expire || self.server.config.import_mode || waits {
            return EXPIRE_EVERY;
        }
        self.begin_batch();
        let begin = self.clock.monotonic();
        let effort = self.server.config.active_expire_effort.clamp(1, 10);
        let until = begin + EXPIRE_SLICE * effort;
        let databases = self.ks.databases().max(1);
        let (mut removed, mut ended, mut over) = (0, 0, false);
        while ended < databases && !over {
            let db = self.persist.cron.expire_db % databases;
            self.ks.effects.clear();
            let (gone, at_end) = self.ks.expire_step(db, EXPIRE_SEGMENTS);
            self.commit(ClientId(0));
            removed += gone;
            if at_end {
                self.persist.cron.expire_db = (db + 1) % databases;
                ended += 1;
            }
            over = self.clock.monotonic() >= until;
        }
        let took = self.clock.monotonic().saturating_sub(begin);
        self.note_expiry(removed, took, over && removed > 0);
        let more = std::mem::take(&mut self.ks.fields_left_due) || ended < databases;
        match (more, removed > 0) {
            (true, true) => Duration::from_millis(1),
            (true, false) => EXPIRE_EVERY / 10,
            (false, _) => EXPIRE_EVERY,
        }
    }

    fn note_expiry(&mut self, removed: usize, took: Duration, cut_short: bool) {
        let timed: usize = (0..self.ks.databases()).map(|db| self.ks.expires(db)).sum();
        let stats = &mut self.ks.stats;
        stats.expire_cycle_us += u64::try_from(took.as_micros()).unwrap_or(0);
        stats.expire_time_cap_reached += u64::from(cut_short);
        let share = removed as f64 * 100.0 / (timed + removed).max(1) as f64;
        stats.stale_percent = stats.stale_percent * 0.95 + share * 0.05;
        self.note_latency(event::EXPIRE_CYCLE, took);
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
        let (turns, turns_us) = loops::totals(&self.loops);
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
        let new_turns = turns.saturating_sub(cron.sampled_turns);
        stats.turns_per_second = rate(turns, cron.sampled_turns).round() as u64;
        stats.turn_us = turns_us.saturating_sub(cron.sampled_turns_us) / new_turns.max(1);
        (cron.sampled_turns, cron.sampled_turns_us) = (turns, turns_us);
        cron.sampled_at = now;
        cron.sampled_commands = stats.commands_processed;
        cron.sampled_input = stats.net_input_bytes;
        cron.sampled_output = stats.net_output_bytes;
    }

    /// Closes who has been silent for `timeout` seconds: no byte came from it or went to it, and it waits for nothing that
    /// the server owes it.
    fn close_idle_clients(&mut self) {
        let (timeout, now) = (self.server.config.timeout, self.ks.now);
        if timeout == 0 {
            return;
        }
        let idle = |client: &&crate::session::Client| {
            !client.blocked
                && !client.postponed
                && !client.flags.replica
                && !client.flags.monitor
                && !client.is_subscribed()
                && !client.buffers.holds()
                && client.age_and_idle(now).1 > u64::from(timeout)
        };
        let idle: Vec<ClientId> =
            self.sessions.iter().filter(idle).map(|client| client.id).collect();
        for to in idle {
            self.sessions.disconnect(to, ClientId(0));
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
        if self.persist.is_busy() || self.server.loading.is_some() {
            return;
        }
        let persistence = &self.server.persistence;
        if self.log.is_none() && !persistence.rewrite_scheduled {
            return;
        }
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
