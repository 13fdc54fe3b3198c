//! The server's own state that commands read and change: configuration, statistics, facts of persistence.
//!
//! Behind the engine's lock, without files or threads: modules that have those keep their facts here up to
//! date, so that INFO, LASTSAVE and the checks before a write need nothing else.

use std::time::Duration;

use crate::aof::mark::LogMark;
use crate::clock::UnixMillis;
use crate::config::Config;
use crate::keyspace::{LARGE_BYTES, LAZY_ALLOCATIONS};
use crate::types::limits::Limits;

/// State of the server that is not the keyspace and not the clients.
#[derive(Debug)]
pub struct ServerState {
    pub config: Config,
    /// Thresholds of value encodings, from the configuration.
    pub limits: Limits,
    pub stats: Stats,
    pub persistence: Persistence,
    /// Per command: index as in the table.
    pub command_stats: Vec<CommandStats>,
    /// Replies that were errors, by code.
    pub error_stats: std::collections::BTreeMap<String, u64>,
    /// Set while the data set is being loaded.
    pub loading: Option<Loading>,
    /// 40 hexadecimal characters, new at every start.
    pub run_id: String,
    /// When the server started.
    pub started_at: UnixMillis,
    pub started: Duration,
    /// The configuration file, absolute; empty without one.
    pub config_file: String,
    pub executable: String,
    /// The active expiry cycle runs (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire: bool,
    /// Bytes allocated (`used_memory`): counted by the cron, followed in between.
    pub used_memory: u64,
    pub used_memory_peak: u64,
    /// Memory that is not data, and what was used before the first key.
    pub memory_overhead: u64,
    pub memory_at_start: u64,
    /// Tables taken away by FLUSHALL, and large values, for the reclaim thread.
    pub garbage: Vec<Box<dyn std::any::Any + Send>>,
    /// Clients that wait for what is there now to be freed.
    pub flushing: Vec<crate::session::ClientId>,
    /// Commands that took long.
    pub slow_log: super::server::slowlog::SlowLog,
    /// CLIENT PAUSE, while it holds.
    pub pause: Option<Pause>,
    /// The scripts of EVAL.
    pub scripts: crate::scripting::Scripts,
    /// Who may do what.
    pub acl: crate::acl::Acl,
    /// The script that has been running for too long.
    pub running_script: Option<RunningScript>,
    /// The libraries of functions.
    pub libraries: crate::scripting::Libraries,
    /// What is kept of how memory is freed.
    pub eviction: Eviction,
    /// What BACKUP is about.
    pub backup: super::server::backup::BackupFacts,
    /// What is kept for those who look for causes.
    pub observed: Observed,
    /// Commands with another name than their own (`rename-command`).
    pub renamed: Option<Box<super::renamed::Renamed>>,
}

/// A pause of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it is over, on the monotonic clock.
    pub until: Duration,
    /// Reads go on.
    pub writes_only: bool,
}

/// How memory stands to `maxmemory`.
#[derive(Debug, Default)]
pub struct Eviction {
    /// Memory was above the limit before the running command, and nothing could go for it.
    pub out_of_memory: bool,
    /// Since when memory is above the limit, and how long it was before, in sum.
    pub over_limit_since: Option<Duration>,
    pub over_limit: Duration,
    /// When memory was counted exactly.
    pub counted_at: Duration,
    /// What clients had sent and received when their memory was looked at.
    pub client_bytes_seen: u64,
    /// The limit of clients may be another one since the last look at them.
    pub look_at_clients: bool,
    /// Bytes of what waits to be freed on another thread: as good as free.
    pub reclaiming: u64,
    /// What clients are told of evictions.
    pub notices: crate::session::NoticesUnderway,
    /// What waits to be sent to replicas takes so much.
    pub replica_bytes: u64,
    /// The part of it that no thread has taken yet.
    pub garbage_bytes: u64,
    /// Values that were dear to free and that nobody waited for, as Redis counts them.
    pub lazy_freed: u64,
}

impl ServerState {
    /// What the stream that replicas get is called.
    pub fn replication_id(&self) -> &str {
        let changed = &self.observed.replication_id;
        if changed.is_empty() { &self.run_id } else { changed }
    }

    /// Drops a value: here, or if it is large on the reclaim thread. It counts if Redis would not free it at once.
    pub fn release(&mut self, entry: crate::keyspace::Entry) {
        self.eviction.lazy_freed += u64::from(entry.allocations() > LAZY_ALLOCATIONS);
        self.release_uncounted(entry);
    }

    /// The same for a value that Redis frees at once: here nobody waits for it, either.
    pub fn release_uncounted(&mut self, entry: crate::keyspace::Entry) {
        let bytes = entry.memory_bytes();
        if bytes >= LARGE_BYTES {
            self.reclaim_later(bytes as u64, 0, Box::new(entry));
        }
    }

    /// Leaves something of about `bytes` bytes to the reclaim thread: so many values.
    pub fn reclaim_later(
        &mut self,
        bytes: u64,
        values: u64,
        garbage: Box<dyn std::any::Any + Send>,
    ) {
        self.eviction.lazy_freed += values;
        self.eviction.reclaiming += bytes;
        self.eviction.garbage_bytes += bytes;
        self.garbage.push(garbage);
    }
}

/// What commands and events cost, as far as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub latency: super::server::latency::LatencyMonitor,
    /// The id that DEBUG CHANGE-REPL-ID set; empty: it is the run id.
    pub replication_id: String,
    /// DEBUG PAUSE-CRON
    pub cron_paused: bool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION
    pub skip_checksums: bool,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS
    pub scripts_may_all: bool,
    /// What commands have to say to the log; the engine writes it when they are done.
    pub warnings: Vec<String>,
    /// When the log was told last that somebody sends HTTP.
    pub cross_protocol_at: Option<UnixMillis>,
    /// Commands whose request or reply was large (COMMANDLOG).
    pub large_requests: super::server::slowlog::SlowLog,
    pub large_replies: super::server::slowlog::SlowLog,
}

impl Observed {
    /// Leaves a line for the server's log.
    pub fn say(&mut self, line: String) {
        // Whoever makes thousands of mistakes in one script need not fill the log with them.
        if self.warnings.len() < 16 {
            self.warnings.push(line);
        }
    }
}

/// A script that other clients are told of.
#[derive(Clone, Debug)]
pub struct RunningScript {
    /// The function, or the digest of the script.
    pub name: String,
    pub is_function: bool,
    /// The request that runs it.
    pub command: crate::resp::OwnedArgs,
    pub started: Duration,
    pub now: Duration,
    /// It has called a command that writes.
    pub wrote: bool,
    /// Why it is to end.
    pub killed: Option<&'static str>,
}

impl RunningScript {
    /// What clients are told while it runs.
    pub fn busy_error(&self) -> super::CommandError {
        super::CommandError::text(if self.is_function {
            "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
        } else {
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
        })
    }

    /// SCRIPT KILL and FUNCTION KILL.
    pub fn kill(&mut self, function: bool) -> Result<(), super::CommandError> {
        if self.wrote {
            return Err(super::CommandError::text(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. \
                 You can either wait the script termination or kill the server in a hard way using \
                 the SHUTDOWN NOSAVE command.",
            ));
        }
        if function != self.is_function {
            return Err(self.busy_error());
        }
        self.killed = Some("Script killed by user with SCRIPT KILL...");
        Ok(())
    }
}

/// Totals since the start or CONFIG RESETSTAT.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub connections_received: u64,
    pub connections_rejected: u64,
    pub commands_processed: u64,
    pub net_input_bytes: u64,
    pub net_output_bytes: u64,
    pub ops_per_second: u64,
    /// Turns of the reactors, and the microseconds that one took.
    pub turns_per_second: u64,
    pub turn_us: u64,
    /// Nanoseconds that commands took in sum.
    pub command_nanos: u64,
    pub input_kbps: f64,
    pub output_kbps: f64,
    pub evicted_keys: u64,
    pub evicted_clients: u64,
    pub unexpected_error_replies: u64,
    pub error_replies: u64,
    pub reads_processed: u64,
    pub writes_processed: u64,
    pub query_buffer_limit_disconnections: u64,
    pub output_buffer_limit_disconnections: u64,
}

/// Counters of one command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    pub microseconds: u64,
    pub rejected: u64,
    pub failed: u64,
    /// How long the calls took, while `latency-tracking` is on.
    pub histogram: super::server::latency::Histogram,
}

/// Facts about the archive of the log, as its thread saw them last.
#[derive(Clone, Debug, Default)]
pub struct ArchiveFacts {
    /// `off`, `starting`, `ok`, `failing`, or `waiting` (for a log, or for a base of it).
    pub state: ArchiveState,
    /// Everything before this position is archived.
    pub position: u64,
    /// On the monotonic clock: everything that had been appended by then is archived.
    pub caught_up_at: Option<Duration>,
    /// Why it fails; empty: it does not.
    pub error: String,
    /// The word of this server, by which it owns the archive, and that of the owner if it is another; or empty.
    pub server: String,
    pub other_owner: String,
    /// Since the start: pieces and bytes of log stored, bases sent, parts of the log that were gone too early.
    pub pieces: u64,
    pub bytes: u64,
    pub bases: u64,
    pub gaps: u64,
    pub failures: u64,
}

/// What the archive is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveState {
    /// There is none.
    #[default]
    Off,
    /// What is stored already is being looked at.
    Starting,
    /// It ships what becomes durable.
    Ok,
    /// The store does not do what it is asked; it is asked again and again.
    Failing,
    /// There is no log, or no base of it yet.
    Waiting,
    /// Another server archives there.
    Taken,
}

impl ArchiveState {
    /// As INFO shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Waiting => "waiting",
            Self::Taken => "taken",
        }
    }
}

/// Facts about saves and the log.
#[derive(Clone, Debug)]
pub struct Persistence {
    pub archive: ArchiveFacts,
    /// While the log is off: what memory holds of the one that was on.
    pub log_mark: Option<LogMark>,
    /// Changes since the last save (`rdb_changes_since_last_save`).
    pub dirty: u64,
    /// FLUSHALL ran in this unit: with save points, the snapshot file is replaced at its end.
    pub flushed: bool,
    pub last_save_at: UnixMillis,
    /// When the last try began, good or not.
    pub last_save_try_at: UnixMillis,
    pub last_save_ok: bool,
    /// The instant that the last good snapshot holds, and the log's base; `None`: not known.
    pub last_good_save_at: Option<UnixMillis>,
    pub last_base_at: Option<UnixMillis>,
    /// Keys that the running snapshot has, and will have.
    pub snapshot_keys: (u64, u64),
    pub save_running: bool,
    pub save_started: Option<Duration>,
    pub last_save_seconds: i64,
    pub saves: u64,
    pub save_scheduled: bool,
    pub rewrite_running: bool,
    pub rewrite_scheduled: bool,
    pub rewrite_started: Option<Duration>,
    pub last_rewrite_seconds: i64,
    pub last_rewrite_ok: bool,
    pub rewrites: u64,
    /// Rewrites that failed one after another, and when the next one may try.
    pub rewrite_failures: u32,
    pub rewrite_not_before: Option<Duration>,
    /// Why writes are refused; `None`: they are not.
    pub log_error: Option<String>,
    /// The log's state as it was last reported: `ready`, `full`, `failed`.
    pub log_state: &'static str,
    /// Rewrites in a row that did not end a failure of the log, and when the next one may try.
    pub heal_failures: u32,
    pub heal_not_before: Option<Duration>,
    pub log_enabled: bool,
    /// Position behind the newest write, and how far the log is written and synced (I1).
    pub appended: u64,
    pub written: u64,
    pub synced: u64,
    pub log_current_bytes: u64,
    pub log_base_bytes: u64,
    pub log_delayed_syncs: u64,
    /// How many of these there were at CONFIG RESETSTAT.
    pub log_delayed_syncs_seen: u64,
    pub loaded_keys: u64,
    pub loaded_expired_keys: u64,
    /// Extra memory that the running snapshot holds.
    pub snapshot_bytes: u64,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            archive: ArchiveFacts::default(),
            log_mark: None,
            dirty: 0,
            flushed: false,
            last_save_at: 0,
            last_save_try_at: 0,
            last_save_ok: true,
            last_good_save_at: None,
            last_base_at: None,
            snapshot_keys: (0, 0),
            save_running: false,
            save_started: None,
            last_save_seconds: -1,
            saves: 0,
            save_scheduled: false,
            rewrite_running: false,
            rewrite_scheduled: false,
            rewrite_started: None,
            last_rewrite_seconds: -1,
            last_rewrite_ok: true,
            rewrites: 0,
            rewrite_failures: 0,
            rewrite_not_before: None,
            log_error: None,
            log_state: "ready",
            heal_failures: 0,
            heal_not_before: None,
            log_enabled: false,
            appended: 0,
            written: 0,
            synced: 0,
            log_current_bytes: 0,
            log_base_bytes: 0,
            log_delayed_syncs: 0,
            log_delayed_syncs_seen: 0,
            loaded_keys: 0,
            loaded_expired_keys: 0,
            snapshot_bytes: 0,
        }
    }
}

/// How far loading is.
#[derive(Clone, Debug, Default)]
pub struct Loading {
    pub started_at: UnixMillis,
    pub total_bytes: u64,
    pub loaded_bytes: u64,
}
