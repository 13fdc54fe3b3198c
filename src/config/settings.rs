//! The typed settings: one field per directive that has a meaning, of the same name.
//!
//! Meaning, range and default of each are in its row of the table ([`super::directive`]), and in
//! docs/configuration.md, which is made from the table. To add a setting, add a row and a field.

use super::notify::NotifyFlags;
use super::rules::{OutputLimits, SavePoint, ShutdownOptions};
use super::value::{MemoryOrPercent, named};
use super::words::Word;

named! {
    /// When the log is forced to disk.
    AppendFsync { Everysec = "everysec", Always = "always", No = "no" }
}
named! {
    /// How snapshots are compressed. `yes` is what Redis calls it, and means `lzf`.
    RdbCompression { Zstd = "zstd", Yes = "yes", No = "no", Lzf = "lzf" }
}
named! {
    /// Who may use a dangerous command or setting; `local` is a loopback or Unix socket connection.
    Allow { No = "no", Yes = "yes", Local = "local" }
}
named! {
    /// Which keys are given up when memory is full, in which order.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        Noeviction = "noeviction",
    }
}
named! {
    /// The least important messages that are logged.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
}
named! {
    /// The form of the log's lines.
    LogFormat { Legacy = "legacy", Logfmt = "logfmt", Json = "json" }
}
named! {
    /// The form of the times in them.
    LogTimestampFormat { Legacy = "legacy", Iso8601 = "iso8601", Milliseconds = "milliseconds" }
}
named! {
    /// Under which facility syslog files the messages.
    SyslogFacility {
        User = "user",
        Local0 = "local0",
        Local1 = "local1",
        Local2 = "local2",
        Local3 = "local3",
        Local4 = "local4",
        Local5 = "local5",
        Local6 = "local6",
        Local7 = "local7",
    }
}
named! {
    /// Which supervisor is told that the server is ready.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
}
named! {
    /// Whether and how the kernel's score for killing the process is adjusted.
    OomScoreAdj { No = "no", Yes = "yes", Relative = "relative", Absolute = "absolute" }
}
named! {
    /// The channels that a new ACL user may use.
    AclPubsubDefault { Allchannels = "allchannels", Resetchannels = "resetchannels" }
}

/// A `user` line of a config file.
#[derive(Clone, Debug, PartialEq)]
pub struct UserLine {
    /// The name, then the rules.
    pub words: Vec<Word>,
    /// Where it is: `/etc/redis.conf:12`.
    pub place: String,
}

impl MaxmemoryPolicy {
    /// Whether the order depends on when or how often keys were used.
    pub fn by_use(self) -> bool {
        matches!(self, Self::AllkeysLru | Self::VolatileLru | Self::AllkeysLfu | Self::VolatileLfu)
    }
}

impl Allow {
    /// Whether a client may, given whether its connection is from this machine.
    pub fn permits(self, local: bool) -> bool {
        self == Self::Yes || self == Self::Local && local
    }
}

/// All settings that have a meaning. `Default` is all zero and only where [`super::Config`] starts from;
/// the defaults of the server are `Config::default()`.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is the directive of the same name, see the table")]
pub struct Settings {
    // Network. Times are in seconds, limits in bytes.
    pub bind: Vec<String>,
    pub availability_zone: String,
    pub port: u16,
    pub unixsocket: String,
    pub unixsocketperm: u32,
    pub protected_mode: bool,
    pub timeout: u32,
    pub tcp_keepalive: u32,
    pub tcp_backlog: u32,
    pub maxclients: u32,
    pub io_threads: u32,
    pub proto_max_bulk_len: u64,
    pub client_query_buffer_limit: u64,
    pub client_output_buffer_limit: OutputLimits,
    pub maxmemory_clients: MemoryOrPercent,
    pub tracking_table_max_keys: u64,

    // Durability.
    pub dir: String,
    pub appendonly: bool,
    pub appendfsync: AppendFsync,
    /// Milliseconds; 0 is no bound.
    pub everysec_max_lag: i64,
    /// Name and policy of each user that has one of its own, in turns.
    pub user_durability: Vec<String>,
    pub aof_disk_reserve: u64,
    /// 0 is no bound.
    pub aof_max_size: u64,
    /// The repository that the log is archived in; empty: none.
    pub archive: String,
    /// Words.
    pub archive_recipients: String,
    pub archive_takeover: String,
    /// Seconds.
    pub archive_interval: u32,
    pub archive_local_limit: u64,
    /// Bytes a second; 0 is no bound.
    pub archive_base_rate: u64,
    pub appendfilename: String,
    pub appenddirname: String,
    pub backupdirname: String,
    /// Seconds; 0 is never.
    pub backup_sealed_ttl: u32,
    pub auto_aof_rewrite_percentage: u32,
    pub auto_aof_rewrite_min_size: u64,
    pub aof_load_truncated: bool,
    pub aof_rewrite_incremental_fsync: bool,
    pub dbfilename: String,
    pub save: Vec<SavePoint>,
    pub stop_writes_on_bgsave_error: bool,
    pub rdbcompression: RdbCompression,
    pub rdbcompression_level: i64,
    pub rdbchecksum: bool,
    pub rdb_save_incremental_fsync: bool,

    // Access.
    pub requirepass: Word,
    pub aclfile: String,
    pub acllog_max_len: u64,
    pub acl_pubsub_default: AclPubsubDefault,
    pub enable_protected_configs: Allow,
    pub enable_debug_command: Allow,
    pub enable_module_command: Allow,
    /// `user` lines of the file: name and rules of each.
    pub users: Vec<UserLine>,
    /// `rename-command` lines of the file: command and new name; an empty name disables it.
    pub renamed_commands: Vec<(Word, Word)>,

    // Memory.
    pub maxmemory: u64,
    pub maxmemory_policy: MaxmemoryPolicy,
    pub maxmemory_samples: u32,
    pub maxmemory_eviction_tenacity: u32,
    pub lfu_log_factor: u32,
    /// Minutes.
    pub lfu_decay_time: u32,
    pub lazyfree_lazy_eviction: bool,
    pub lazyfree_lazy_expire: bool,
    pub lazyfree_lazy_server_del: bool,
    pub lazyfree_lazy_user_del: bool,
    pub lazyfree_lazy_user_flush: bool,
    pub active_expire_effort: u32,
    /// Keys go only when the client that imports them says so.
    pub import_mode: bool,

    // Encodings: up to which size a small collection is one flat block.
    pub hash_max_listpack_entries: u64,
    pub hash_max_listpack_value: u64,
    pub list_max_listpack_size: i32,
    pub list_compress_depth: u32,
    pub set_max_intset_entries: u64,
    pub set_max_listpack_entries: u64,
    pub set_max_listpack_value: u64,
    pub zset_max_listpack_entries: u64,
    pub zset_max_listpack_value: u64,
    pub hll_sparse_max_bytes: u64,
    pub stream_node_max_bytes: u64,
    pub stream_node_max_entries: u64,

    // Server.
    pub databases: u32,
    pub hz: u32,
    pub daemonize: bool,
    pub supervised: Supervised,
    pub oom_score_adj: OomScoreAdj,
    pub oom_score_adj_values: [i32; 3],
    pub pidfile: String,
    pub shutdown_on_sigint: ShutdownOptions,
    pub shutdown_on_sigterm: ShutdownOptions,
    pub notify_keyspace_events: NotifyFlags,
    /// Milliseconds; 0 is never.
    pub busy_reply_threshold: i64,
    pub lua_enable_deprecated_api: bool,

    // Observation.
    pub loglevel: LogLevel,
    pub log_format: LogFormat,
    pub log_timestamp_format: LogTimestampFormat,
    pub logfile: String,
    pub syslog_enabled: bool,
    pub syslog_ident: String,
    pub syslog_facility: SyslogFacility,
    /// Microseconds; 0 logs all, -1 none.
    pub slowlog_log_slower_than: i64,
    pub slowlog_max_len: u64,
    /// Bytes; negative is off.
    pub commandlog_request_larger_than: i64,
    pub commandlog_large_request_max_len: u64,
    pub commandlog_reply_larger_than: i64,
    pub commandlog_large_reply_max_len: u64,
    /// Milliseconds; 0 is off.
    pub latency_monitor_threshold: u64,
    pub latency_tracking: bool,
    pub metrics_port: u16,
    pub metrics_bind: Vec<String>,
    pub latency_tracking_info_percentiles: Vec<f64>,

    // Replication. Times are in seconds.
    pub repl_ping_replica_period: u32,
    pub repl_timeout: u32,
    pub min_replicas_to_write: u32,
    pub min_replicas_max_lag: u32,
}
