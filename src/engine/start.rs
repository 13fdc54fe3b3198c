//! The engine's part of a start: an engine to load into, taking over what was loaded, the log.

use std::sync::Arc;

use super::Engine;
use super::persist::PersistRequest;
use crate::aof::filename::FileNames;
use crate::aof::log::{Log, Recovered};
use crate::aof::manifest::{MANIFEST_LEN_MAX, Manifest};
use crate::aof::mark::LogMark;
use crate::aof::record::{Position, Salt};
use crate::clock::Clock;
use crate::command::generic::wait::WAITAOF_WITHOUT_LOG;
use crate::command::state::{Persistence, ServerState, Stats};
use crate::command::table::table;
use crate::config::Config;
use crate::disk::Disk;
use crate::keyspace::ExpireMode;
use crate::rng::{Rng as _, SeededRng};
use crate::scripting::{Libraries, Scripts};

impl Engine {
    /// An engine with the same settings that nobody else sees: the data set is loaded into it, while
    /// this one answers -LOADING.
    pub fn loader(&mut self) -> Self {
        let server = &self.server;
        let state = ServerState {
            config: server.config.clone(),
            limits: server.limits.clone(),
            stats: Stats::default(),
            persistence: Persistence::default(),
            command_stats: vec![Default::default(); server.command_stats.len()],
            error_stats: Default::default(),
            loading: None,
            run_id: server.run_id.clone(),
            config_file: String::new(),
            executable: String::new(),
            garbage: Vec::new(),
            flushing: Vec::new(),
            slow_log: Default::default(),
            scripts: Default::default(),
            acl: Default::default(),
            running_script: None,
            libraries: Libraries::with(server.libraries.deprecated_api),
            backup: Default::default(),
            observed: Default::default(),
            renamed: None,
            eviction: Default::default(),
            ..*server
        };
        let mut loader = Self::new(
            state,
            Arc::clone(&self.clock),
            Arc::clone(&self.disk),
            SeededRng::new(self.rng.next_u64()),
            self.logger.clone(),
        );
        loader.ks.expire_mode = ExpireMode::Frozen;
        loader.ks.effects.recording = false;
        loader.persist.threads = self.persist.threads;
        loader.persist.section_bytes = self.persist.section_bytes;
        loader.ks.use_clock = self.ks.use_clock.clone();
        loader
    }

    /// Takes over what a loader loaded.
    pub fn adopt(&mut self, loader: Self) {
        self.let_replicas_go();
        // A snapshot of the keyspace that goes would never be whole.
        self.restart_persist();
        if self.backup.tap.is_some() {
            self.fail_backup("the data set was loaded anew");
        }
        let stats = self.ks.stats;
        self.ks = loader.ks;
        self.server.libraries = loader.server.libraries;
        self.server.libraries.position = self.server.persistence.appended;
        // Whatever the new keyspace holds may rest on records that are not synced yet.
        self.ks.publish_everywhere(self.server.persistence.appended);
        self.ks.expire_mode = ExpireMode::Active;
        self.ks.stats = stats;
        self.ks.effects.clear();
        self.server.persistence.loaded_keys = loader.server.persistence.loaded_keys;
        self.server.persistence.loaded_expired_keys = loader.server.persistence.loaded_expired_keys;
        let loaded = &loader.server.persistence;
        let persistence = &mut self.server.persistence;
        persistence.last_base_at = loaded.last_base_at.or(persistence.last_base_at);
        persistence.last_good_save_at = loaded.last_good_save_at.or(persistence.last_good_save_at);
        persistence.dirty = 0;
        self.begin_batch();
        self.refresh_settings();
    }

    /// Opens the log behind what was recovered.
    pub fn start_log(&mut self, names: FileNames, recovered: Recovered) -> Result<(), String> {
        let salts = Box::new(SeededRng::new(self.rng.next_u64()));
        let (disk, clock) = (Arc::clone(&self.disk), Arc::clone(&self.clock));
        let log =
            Log::start(disk, clock, salts, names, recovered).map_err(|error| error.to_string())?;
        self.log = Some(Arc::new(log));
        self.refresh_log_facts();
        self.refresh_settings();
        self.settings_changed = true;
        Ok(())
    }

    /// `appendonly` was changed: opens a log with a base of what is in memory, or closes it.
    pub(super) fn switch_log(&mut self) -> Result<(), String> {
        let wanted = self.server.config.appendonly;
        match (self.log.clone(), wanted) {
            (Some(_), true) | (None, false) => Ok(()),
            (Some(log), false) => {
                if self.persist.running.or(self.persist.requested) == Some(PersistRequest::Rewrite)
                {
                    self.logger.notice("Killing AOF child: the log is switched off.");
                    self.cancel_persist();
                }
                self.fail_backup("appendonly is stopped");
                log.close().map_err(|error| error.to_string())?;
                // What is saved from here on may hold more than that log.
                self.server.persistence.log_mark = self.log_mark().map(LogMark::behind_log);
                self.log = None;
                self.server.persistence.log_error = None;
                self.server.persistence.log_state = "ready";
                self.refresh_log_facts();
                self.refresh_settings();
                for id in self.sessions.waiters.served_by_log(u64::MAX) {
                    self.unblock_with_error(id, WAITAOF_WITHOUT_LOG);
                }
                Ok(())
            }
            (None, true) if self.is_beside_other_job() => {
                // It may still be on its way into the directory that the new log begins in.
                Err("a rewrite or the snapshot of a replica or a backup is under way, try again when \
                     it has ended"
                    .to_owned())
            }
            (None, true) if self.persist.in_exec => {
                self.persist.switch_scheduled = true;
                self.logger.notice(
                    "AOF was enabled but there is already another background operation. An AOF \
                     background was scheduled to start when possible.",
                );
                Ok(())
            }
            (None, true) => {
                // A save begins anew behind the base.
                self.restart_persist();
                let config = &self.server.config;
                let names = FileNames::new(&config.appenddirname, &config.appendfilename);
                let manifest = existing_manifest(self.disk.as_ref(), &names);
                // Positions never go back: replies may still wait for older ones.
                let position = Position(self.server.persistence.appended);
                let recovered =
                    Recovered { manifest, position, gated: true, ..Recovered::default() };
                self.start_log(names, recovered)?;
                let written = self.rewrite_now();
                if written.is_err() {
                    self.log = None;
                    self.refresh_settings();
                }
                written
            }
        }
    }

    /// Whether the worker has something to do that the log's first base cannot interrupt: all but a save.
    fn is_beside_other_job(&self) -> bool {
        self.persist.running.is_some_and(|running| running != PersistRequest::Save)
    }

    /// What memory holds: of the log that is on, or of the last one.
    pub(super) fn log_mark(&self) -> Option<LogMark> {
        let persistence = &self.server.persistence;
        let position = Position(persistence.appended);
        let mark = self.log.as_ref().map(|log| LogMark { salt: log.salt(), position });
        mark.or(persistence.log_mark).filter(|mark| mark.salt != Salt(0))
    }

    /// What EXEC could not begin while it ran.
    pub(super) fn after_exec(&mut self) {
        if !std::mem::take(&mut self.persist.switch_scheduled) {
            return;
        }
        if let Err(cause) = self.switch_log() {
            self.server.config.appendonly = false;
            self.refresh_settings();
            self.logger.warning(format!("Cannot open the append-only log: {cause}"));
        }
    }
}

/// The manifest of a log that was switched off before; its files become history.
pub(super) fn existing_manifest(disk: &dyn Disk, names: &FileNames) -> Manifest {
    let path = names.path(&names.manifest());
    let bytes = crate::disk::durable::read_small(disk, &path, MANIFEST_LEN_MAX);
    let parsed = bytes.ok().flatten().and_then(|bytes| Manifest::parse(&bytes).ok());
    parsed.map(|parsed| parsed.manifest).unwrap_or_default()
}

/// The state of a server that has just begun.
pub fn server_state(config: Config, config_file: String, clock: &Arc<dyn Clock>) -> ServerState {
    let now = clock.wall();
    let persistence = Persistence { last_save_at: now, ..Persistence::default() };
    let executable = std::env::current_exe().map(|path| path.display().to_string());
    let deprecated_api = config.lua_enable_deprecated_api;
    ServerState {
        limits: config.limits(),
        config,
        stats: Stats::default(),
        persistence,
        command_stats: vec![Default::default(); table().rows().len()],
        error_stats: Default::default(),
        loading: None,
        run_id: crate::rng::random_hex(40),
        started_at: now,
        started: clock.monotonic(),
        config_file,
        executable: executable.unwrap_or_default(),
        active_expire: true,
        used_memory: 0,
        used_memory_peak: 0,
        memory_overhead: 0,
        memory_at_start: 0,
        garbage: Vec::new(),
        flushing: Vec::new(),
        slow_log: Default::default(),
        pause: None,
        scripts: Scripts::with(deprecated_api),
        acl: Default::default(),
        running_script: None,
        libraries: Libraries::with(deprecated_api),
        renamed: None,
        eviction: Default::default(),
        backup: Default::default(),
        observed: Default::default(),
    }
}
