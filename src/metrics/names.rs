//! What a field of INFO is called as a metric.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Summary,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Summary => "summary",
        }
    }
}

/// A metric's name, kind, and what its number is multiplied by.
#[derive(Debug, PartialEq)]
pub(super) struct Named {
    pub(super) metric: String,
    pub(super) kind: Kind,
    pub(super) scale: f64,
}

/// Labels of `redis_instance_info`, each a field.
pub(super) const INSTANCE: [&str; 11] = [
    "role",
    "redis_version",
    "fastness_version",
    "redis_build_id",
    "redis_mode",
    "os",
    "maxmemory_policy",
    "tcp_port",
    "run_id",
    "process_id",
    "master_replid",
];

/// Numbers that are names, or said better by another field.
pub(super) const MEANINGLESS: [&str; 14] = [
    "archive_server_id",
    "archive_other_owner",
    "redis_git_sha1",
    "redis_git_dirty",
    "redis_build_id",
    "run_id",
    "tcp_port",
    "lru_clock",
    "server_time_usec",
    "uptime_in_days",
    "master_replid",
    "master_replid2",
    "arch_bits",
    "redis_version",
];

/// Counters of redis_exporter: field, and metric without `redis_`.
const COUNTERS: &[(&str, &str)] = &[
    ("total_connections_received", "connections_received_total"),
    ("total_commands_processed", "commands_processed_total"),
    ("rejected_connections", "rejected_connections_total"),
    ("total_net_input_bytes", "net_input_bytes_total"),
    ("total_net_output_bytes", "net_output_bytes_total"),
    ("total_net_repl_input_bytes", "net_repl_input_bytes_total"),
    ("total_net_repl_output_bytes", "net_repl_output_bytes_total"),
    ("expired_subkeys", "expired_subkeys_total"),
    ("expired_keys", "expired_keys_total"),
    ("expired_time_cap_reached_count", "expired_time_cap_reached_total"),
    ("expire_cycle_cpu_milliseconds", "expire_cycle_cpu_time_ms_total"),
    ("evicted_keys", "evicted_keys_total"),
    ("evicted_clients", "evicted_clients_total"),
    ("evicted_scripts", "evicted_scripts_total"),
    ("total_eviction_exceeded_time", "eviction_exceeded_time_ms_total"),
    ("keyspace_hits", "keyspace_hits_total"),
    ("keyspace_misses", "keyspace_misses_total"),
    ("used_cpu_sys", "cpu_sys_seconds_total"),
    ("used_cpu_user", "cpu_user_seconds_total"),
    ("used_cpu_sys_children", "cpu_sys_children_seconds_total"),
    ("used_cpu_user_children", "cpu_user_children_seconds_total"),
    ("used_cpu_sys_main_thread", "cpu_sys_main_thread_seconds_total"),
    ("used_cpu_user_main_thread", "cpu_user_main_thread_seconds_total"),
    ("unexpected_error_replies", "unexpected_error_replies"),
    ("total_error_replies", "total_error_replies"),
    ("dump_payload_sanitizations", "dump_payload_sanitizations"),
    ("total_reads_processed", "total_reads_processed"),
    ("total_writes_processed", "total_writes_processed"),
    ("io_threaded_reads_processed", "io_threaded_reads_processed"),
    ("io_threaded_writes_processed", "io_threaded_writes_processed"),
    ("acl_access_denied_auth", "acl_access_denied_auth_total"),
    ("acl_access_denied_cmd", "acl_access_denied_cmd_total"),
    ("acl_access_denied_key", "acl_access_denied_key_total"),
    ("acl_access_denied_channel", "acl_access_denied_channel_total"),
    ("acl_access_denied_db", "acl_access_denied_db_total"),
    ("rdb_saves", "rdb_saves_total"),
];

/// Gauges of redis_exporter whose name is another than the field's.
const RENAMED: &[(&str, &str)] = &[
    ("maxclients", "max_clients"),
    ("client_recent_max_input_buffer", "client_recent_max_input_buffer_bytes"),
    ("client_recent_max_output_buffer", "client_recent_max_output_buffer_bytes"),
    ("allocator_active", "allocator_active_bytes"),
    ("allocator_allocated", "allocator_allocated_bytes"),
    ("allocator_resident", "allocator_resident_bytes"),
    ("used_memory", "memory_used_bytes"),
    ("used_memory_rss", "memory_used_rss_bytes"),
    ("used_memory_peak", "memory_used_peak_bytes"),
    ("used_memory_lua", "memory_used_lua_bytes"),
    ("used_memory_vm_eval", "memory_used_vm_eval_bytes"),
    ("used_memory_vm_functions", "memory_used_vm_functions_bytes"),
    ("used_memory_vm_total", "memory_used_vm_total"),
    ("used_memory_scripts_eval", "memory_used_scripts_eval_bytes"),
    ("used_memory_functions", "memory_used_functions_bytes"),
    ("used_memory_overhead", "memory_used_overhead_bytes"),
    ("used_memory_startup", "memory_used_startup_bytes"),
    ("used_memory_dataset", "memory_used_dataset_bytes"),
    ("used_memory_scripts", "memory_used_scripts_bytes"),
    ("maxmemory", "memory_max_bytes"),
    ("total_system_memory", "total_system_memory_bytes"),
    ("mem_not_counted_for_evict", "mem_not_counted_for_eviction_bytes"),
    ("expired_stale_perc", "expired_stale_percentage"),
    ("migrate_cached_sockets", "migrate_cached_sockets_total"),
    ("active_defrag_hits", "defrag_hits"),
    ("active_defrag_misses", "defrag_misses"),
    ("active_defrag_key_hits", "defrag_key_hits"),
    ("active_defrag_key_misses", "defrag_key_misses"),
    ("loading", "loading_dump_file"),
    ("rdb_last_save_time", "rdb_last_save_timestamp_seconds"),
    ("rdb_last_bgsave_time_sec", "rdb_last_bgsave_duration_sec"),
    ("rdb_current_bgsave_time_sec", "rdb_current_bgsave_duration_sec"),
    ("rdb_last_cow_size", "rdb_last_cow_size_bytes"),
    ("rdb_last_load_keys_expired", "rdb_last_load_expired_keys"),
    ("rdb_last_load_keys_loaded", "rdb_last_load_loaded_keys"),
    ("aof_last_rewrite_time_sec", "aof_last_rewrite_duration_sec"),
    ("aof_current_rewrite_time_sec", "aof_current_rewrite_duration_sec"),
    ("aof_last_cow_size", "aof_last_cow_size_bytes"),
    ("aof_current_size", "aof_current_size_bytes"),
    ("aof_base_size", "aof_base_size_bytes"),
    ("current_eviction_exceeded_time", "current_eviction_exceeded_time_ms"),
    ("repl_backlog_size", "replication_backlog_bytes"),
    ("repl_backlog_active", "repl_backlog_is_active"),
    ("repl_backlog_histlen", "repl_backlog_history_bytes"),
    ("sync_full", "replica_resyncs_full"),
    ("sync_partial_ok", "replica_partial_resync_accepted"),
    ("sync_partial_err", "replica_partial_resync_denied"),
];

/// Gauges of redis_exporter that are called as the field.
const SAME: &[&str] = &[
    "uptime_in_seconds",
    "process_id",
    "io_threads_active",
    "hz",
    "configured_hz",
    "connected_clients",
    "blocked_clients",
    "tracking_clients",
    "clients_in_timeout_table",
    "pubsub_clients",
    "watching_clients",
    "total_watched_keys",
    "total_blocking_keys",
    "total_blocking_keys_on_nokey",
    "cluster_connections",
    "allocator_frag_ratio",
    "allocator_frag_bytes",
    "allocator_rss_ratio",
    "allocator_rss_bytes",
    "mem_fragmentation_ratio",
    "mem_fragmentation_bytes",
    "mem_clients_slaves",
    "mem_clients_normal",
    "number_of_cached_scripts",
    "number_of_functions",
    "number_of_libraries",
    "lazyfree_pending_objects",
    "lazyfreed_objects",
    "active_defrag_running",
    "async_loading",
    "rdb_changes_since_last_save",
    "rdb_bgsave_in_progress",
    "rdb_last_bgsave_status",
    "aof_enabled",
    "aof_rewrite_in_progress",
    "aof_rewrite_scheduled",
    "aof_pending_rewrite",
    "aof_buffer_length",
    "aof_pending_bio_fsync",
    "aof_delayed_fsync",
    "aof_last_bgrewrite_status",
    "aof_last_write_status",
    "module_fork_in_progress",
    "module_fork_last_cow_size",
    "instantaneous_ops_per_sec",
    "instantaneous_input_kbps",
    "instantaneous_output_kbps",
    "pubsub_channels",
    "pubsub_patterns",
    "pubsubshard_channels",
    "latest_fork_usec",
    "connected_slaves",
    "repl_backlog_first_byte_offset",
    "master_repl_offset",
    "second_repl_offset",
    "slave_expires_tracked_keys",
    "tracking_total_keys",
    "tracking_total_items",
    "tracking_total_prefixes",
    "cluster_enabled",
];

/// Counters that only Fastness has.
const OWN_COUNTERS: &[&str] = &[
    "expired_fields",
    "aof_rewrites",
    "total_forks",
    "client_query_buffer_limit_disconnections",
    "client_output_buffer_limit_disconnections",
];

/// What a field is called.
pub(super) fn named(field: &str) -> Named {
    let of = |table: &[(&str, &'static str)]| {
        table.iter().find(|(name, _)| *name == field).map(|(_, metric)| *metric)
    };
    let redis = |metric: &str, kind| Named { metric: format!("redis_{metric}"), kind, scale: 1.0 };
    if let Some(metric) = of(COUNTERS) {
        return redis(metric, Kind::Counter);
    }
    if let Some(metric) = of(RENAMED) {
        return redis(metric, Kind::Gauge);
    }
    if SAME.contains(&field) {
        return redis(field, Kind::Gauge);
    }
    if OWN_COUNTERS.contains(&field) {
        let name = field.strip_prefix("total_").unwrap_or(field);
        return Named { metric: format!("fastness_{name}_total"), kind: Kind::Counter, scale: 1.0 };
    }
    // Prometheus counts times in seconds.
    let (name, scale) = match (field.strip_suffix("_ms"), field.strip_suffix("_sec")) {
        (Some(name), _) => (format!("{name}_seconds"), 0.001),
        (_, Some(name)) if !field.ends_with("_per_sec") => (format!("{name}_seconds"), 1.0),
        _ => (field.to_owned(), 1.0),
    };
    Named { metric: format!("fastness_{name}"), kind: Kind::Gauge, scale }
}
