//! INFO: Redis' sections and field names, so that dashboards and client libraries work unchanged.
//!
//! A section is a function from the engine's facts to lines. Sections asked for by name come in a fixed
//! order, each once; `default`, `all` and `everything` are sets of sections.

mod replication;

use std::fmt::Write;

use super::{keysizes, loops};
use crate::aof::log::LogState;
use crate::command::state::{ArchiveState, ServerState};
use crate::command::table::table;
use crate::config::Config;
use crate::engine::Engine;
use crate::memory::kernel_file;
use crate::number::human_bytes;
use crate::session::{Client, Topic};

/// A section: its name, whether `default` has it, what writes it.
type Section = (&'static str, bool, fn(&Engine, &mut String));

const SECTIONS: &[Section] = &[
    ("server", true, server),
    ("clients", true, clients),
    ("memory", true, memory),
    ("persistence", true, persistence),
    ("threads", true, threads),
    ("stats", true, stats),
    ("replication", true, replication::render),
    ("cpu", true, cpu),
    ("modules", true, |_, _| {}),
    ("commandstats", false, command_stats),
    ("errorstats", true, error_stats),
    ("latencystats", false, latency_stats),
    ("cluster", true, |_, out| line(out, "cluster_enabled", 0)),
    ("keyspace", true, keyspace),
    ("keysizes", true, keysizes::render),
];

/// The text of the sections asked for; none asked for means `default`.
pub fn render(engine: &Engine, wanted: &[String]) -> String {
    let asked = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name));
    let everything = asked("all") || asked("everything");
    let default = wanted.is_empty() || asked("default");
    let mut out = String::new();
    for (name, in_default, write) in SECTIONS {
        let unasked = everything || (default && *in_default);
        if (unasked && (*name != "keysizes" || keysizes::is_cheap(engine, everything)))
            || asked(name)
        {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            let mut title = (*name).to_owned();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            if *name == "cpu" {
                title = "CPU".to_owned();
            }
            let _ = write!(out, "# {title}\r\n");
            write(engine, &mut out);
        }
    }
    out
}

/// One `name:value` line.
fn line(out: &mut String, name: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{name}:{value}\r\n");
}

fn server(engine: &Engine, out: &mut String) {
    let state = &engine.server;
    let uptime_s = engine.monotonic().saturating_sub(state.started).as_secs();
    line(out, "redis_version", crate::REDIS_VERSION);
    line(out, "fastness_version", env!("CARGO_PKG_VERSION"));
    line(out, "server_name", "fastness");
    line(out, "redis_git_sha1", "00000000");
    line(out, "redis_git_dirty", 0);
    line(out, "redis_build_id", "0");
    line(out, "redis_mode", "standalone");
    // The same in Valkey's words.
    line(out, "server_mode", "standalone");
    line(out, "os", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    line(out, "arch_bits", usize::BITS);
    line(out, "monotonic_clock", "POSIX clock_gettime");
    line(out, "multiplexing_api", "epoll");
    line(out, "atomicvar_api", "c11-builtin");
    line(out, "process_id", std::process::id());
    line(out, "process_supervised", state.config.supervised.name());
    line(out, "run_id", &state.run_id);
    line(out, "tcp_port", state.config.port);
    line(out, "server_time_usec", engine.clock.wall_us());
    line(out, "uptime_in_seconds", uptime_s);
    line(out, "uptime_in_days", uptime_s / 86_400);
    line(out, "hz", state.config.hz);
    line(out, "configured_hz", state.config.hz);
    line(out, "lru_clock", engine.ks.use_clock.redis_seconds());
    line(out, "executable", &state.executable);
    line(out, "config_file", &state.config_file);
    line(out, "io_threads_active", 0);
    line(out, "availability_zone", &state.config.availability_zone);
    listeners(&state.config, out);
}

/// The sockets that clients connect to, numbered.
fn listeners(config: &Config, out: &mut String) {
    let binds: String = config.bind.iter().map(|address| format!("bind={address},")).collect();
    let tcp = (config.port != 0).then(|| format!("name=tcp,{binds}port={}", config.port));
    let unix = &config.unixsocket;
    let unix = (!unix.is_empty()).then(|| format!("name=unix,bind={unix}"));
    for (number, listener) in tcp.into_iter().chain(unix).enumerate() {
        line(out, &format!("listener{number}"), listener);
    }
}

/// Clients that wait for keys, for the log, or for the end of a pause.
fn blocked_clients(engine: &Engine) -> usize {
    let waiting = engine.sessions.iter().filter(|client| client.blocked).count();
    waiting + engine.sessions.postponed.len()
}

fn clients(engine: &Engine, out: &mut String) {
    let seen =
        |client: &&Client| !client.flags.internal && !client.flags.ended && !client.flags.replica;
    let clients = || engine.sessions.iter().filter(seen);
    line(out, "connected_clients", clients().count());
    line(out, "cluster_connections", 0);
    line(out, "maxclients", engine.server.config.maxclients);
    line(
        out,
        "client_recent_max_input_buffer",
        clients().map(|c| c.buffers.query()).max().unwrap_or(0),
    );
    line(
        out,
        "client_recent_max_output_buffer",
        clients().map(|c| c.buffers.output()).max().unwrap_or(0),
    );
    line(out, "blocked_clients", blocked_clients(engine));
    line(out, "tracking_clients", engine.sessions.tracked.clients);
    line(out, "pubsub_clients", engine.sessions.subscriptions.client_count());
    line(out, "watching_clients", clients().filter(|client| !client.watched.is_empty()).count());
    let always = clients().filter(|client| engine.waits_for_sync(Some(client))).count();
    line(out, "durability_always_clients", always);
    line(out, "clients_in_timeout_table", engine.sessions.waiters.deadline_count());
    line(out, "total_watched_keys", engine.sessions.watched_key_count());
    line(out, "total_blocking_keys", engine.sessions.waiters.key_count());
    line(out, "total_blocking_keys_on_nokey", engine.sessions.waiters.removal_key_count());
    pause(engine, out);
}

/// CLIENT PAUSE, which is the only thing that holds clients back here.
fn pause(engine: &Engine, out: &mut String) {
    let pause = engine.server.pause.filter(|pause| engine.monotonic() < pause.until);
    let actions = pause.map_or("none", |pause| if pause.writes_only { "write" } else { "all" });
    let left = pause.map_or(0, |pause| pause.until.saturating_sub(engine.monotonic()).as_millis());
    line(out, "paused_reason", if pause.is_some() { "client_pause" } else { "none" });
    line(out, "paused_actions", actions);
    line(out, "paused_timeout_milliseconds", left);
}

fn memory(engine: &Engine, out: &mut String) {
    let state = &engine.server;
    let resident = crate::memory::process_resident_bytes();
    let used = state.used_memory;
    let peak = state.used_memory_peak.max(used);
    let total = total_memory_bytes();
    line(out, "used_memory", used);
    line(out, "used_memory_human", human_bytes(used));
    line(out, "used_memory_rss", resident);
    line(out, "used_memory_rss_human", human_bytes(resident));
    line(out, "used_memory_peak", peak);
    line(out, "used_memory_peak_human", human_bytes(peak));
    line(out, "used_memory_peak_perc", format!("{:.2}%", percent(used, peak)));
    line(out, "used_memory_overhead", state.memory_overhead);
    line(out, "used_memory_startup", state.memory_at_start);
    let dataset = used.saturating_sub(state.memory_overhead);
    line(out, "used_memory_dataset", dataset);
    let net = used.saturating_sub(state.memory_at_start);
    line(out, "used_memory_dataset_perc", format!("{:.2}%", percent(dataset.min(net), net)));
    let (active, mapped) = crate::memory::active_and_resident_bytes();
    line(out, "allocator_allocated", used);
    line(out, "allocator_active", active);
    line(out, "allocator_resident", mapped);
    line(out, "allocator_muzzy", 0);
    line(out, "total_system_memory", total);
    line(out, "total_system_memory_human", human_bytes(total));
    memory_of_scripts(state, out);
    line(out, "maxmemory", state.config.maxmemory);
    line(out, "maxmemory_human", human_bytes(state.config.maxmemory));
    line(out, "maxmemory_policy", state.config.maxmemory_policy.name());
    let ratio = |part: u64, whole: u64| format!("{:.2}", percent(part, whole) / 100.0);
    line(out, "allocator_frag_ratio", ratio(active, used));
    line(out, "allocator_frag_bytes", active.cast_signed() - used.cast_signed());
    line(out, "allocator_rss_ratio", ratio(mapped, active));
    line(out, "allocator_rss_bytes", mapped.cast_signed() - active.cast_signed());
    line(out, "rss_overhead_ratio", ratio(resident, mapped));
    line(out, "rss_overhead_bytes", resident.cast_signed() - mapped.cast_signed());
    line(out, "mem_fragmentation_ratio", format!("{:.2}", percent(resident, used) / 100.0));
    line(out, "mem_fragmentation_bytes", resident.cast_signed() - used.cast_signed());
    line(out, "mem_not_counted_for_evict", state.uncounted_memory());
    line(out, "mem_replication_backlog", 0);
    line(out, "mem_total_replication_buffers", engine.sessions.replicas.held());
    line(out, "mem_replica_full_sync_buffer", 0);
    line(out, "mem_clients_slaves", engine.sessions.replicas.held());
    line(out, "mem_clients_normal", engine.sessions.memory_bytes());
    line(out, "mem_cluster_links", 0);
    line(
        out,
        "mem_aof_buffer",
        state.persistence.appended.saturating_sub(state.persistence.written),
    );
    line(out, "mem_allocator", crate::memory::ALLOCATOR_NAME);
    line(out, "mem_overhead_db_hashtable_rehashing", 0);
    line(out, "active_defrag_running", 0);
    line(out, "lazyfree_pending_objects", u64::from(state.eviction.reclaiming > 0));
    line(out, "lazyfreed_objects", state.eviction.lazy_freed);
}

fn memory_of_scripts(state: &ServerState, out: &mut String) {
    let (scripts, libraries) = (&state.scripts, &state.libraries);
    let (vm_eval, vm_functions) = (scripts.interpreter_bytes(), libraries.interpreter_bytes());
    let (eval, functions) = (scripts.cache_bytes(), libraries.library_bytes());
    let human = |bytes: usize| human_bytes(bytes as u64);
    line(out, "used_memory_lua", vm_eval);
    line(out, "used_memory_vm_eval", vm_eval);
    line(out, "used_memory_lua_human", human(vm_eval));
    line(out, "used_memory_scripts_eval", eval);
    line(out, "number_of_cached_scripts", scripts.len());
    line(out, "number_of_functions", libraries.function_count());
    line(out, "number_of_libraries", libraries.len());
    line(out, "used_memory_vm_functions", vm_functions);
    line(out, "used_memory_vm_total", vm_eval + vm_functions);
    line(out, "used_memory_vm_total_human", human(vm_eval + vm_functions));
    line(out, "used_memory_functions", functions);
    line(out, "used_memory_scripts", eval + functions);
    line(out, "used_memory_scripts_human", human(eval + functions));
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Clients wait this long before they ask again (ioredis, BullMQ), so a start that is over in an
/// instant must not look like a long one: with nothing to judge from yet it is one second.
fn loading_eta_seconds(elapsed_s: u64, loaded_bytes: u64, total_bytes: u64) -> u64 {
    if elapsed_s == 0 || loaded_bytes == 0 {
        return 1;
    }
    let left = total_bytes.saturating_sub(loaded_bytes);
    elapsed_s.saturating_mul(left) / loaded_bytes
}

fn persistence(engine: &Engine, out: &mut String) {
    let facts = &engine.server.persistence;
    let now = engine.monotonic();
    let since = |start: Option<std::time::Duration>| {
        start.map_or(-1, |at| i64::try_from(now.saturating_sub(at).as_secs()).unwrap_or(0))
    };
    let status = |ok| if ok { "ok" } else { "err" };
    let age = |at: Option<i64>| at.map_or(-1, |at| (engine.ks.now - at).max(0) / 1000);
    line(out, "loading", u8::from(engine.server.loading.is_some()));
    line(out, "async_loading", 0);
    line(out, "current_cow_peak", 0);
    line(out, "current_cow_size", 0);
    line(out, "current_cow_size_age", 0);
    line(out, "current_fork_perc", "0.00");
    line(out, "current_save_keys_processed", facts.snapshot_keys.0);
    line(out, "current_save_keys_total", facts.snapshot_keys.1);
    line(out, "rdb_changes_since_last_save", facts.dirty);
    line(out, "rdb_bgsave_in_progress", u8::from(facts.save_running));
    line(out, "rdb_last_save_time", facts.last_save_at / 1000);
    line(out, "rdb_last_good_save_age_sec", age(facts.last_good_save_at));
    line(out, "rdb_last_bgsave_status", status(facts.last_save_ok));
    line(out, "rdb_last_bgsave_time_sec", facts.last_save_seconds);
    line(out, "rdb_current_bgsave_time_sec", since(facts.save_started));
    line(out, "rdb_saves", facts.saves);
    line(out, "rdb_last_cow_size", 0);
    line(out, "rdb_last_load_keys_expired", facts.loaded_expired_keys);
    line(out, "rdb_last_load_keys_loaded", facts.loaded_keys);
    line(out, "aof_enabled", u8::from(facts.log_enabled));
    line(out, "aof_rewrite_in_progress", u8::from(facts.rewrite_running));
    line(out, "aof_rewrite_scheduled", u8::from(facts.rewrite_scheduled));
    line(out, "aof_last_rewrite_time_sec", facts.last_rewrite_seconds);
    line(out, "aof_current_rewrite_time_sec", since(facts.rewrite_started));
    line(out, "aof_last_bgrewrite_status", status(facts.last_rewrite_ok));
    line(out, "aof_rewrites", facts.rewrites);
    line(out, "aof_rewrites_consecutive_failures", facts.rewrite_failures);
    let writable = engine.log.as_ref().is_none_or(|log| log.state() == LogState::Ready);
    line(out, "aof_last_write_status", status(writable));
    line(out, "aof_state", log_state(engine));
    line(out, "aof_last_error", facts.log_error.as_deref().unwrap_or_default());
    line(out, "aof_unsynced_age_ms", engine.unsynced_age().as_millis());
    line(out, "aof_last_cow_size", 0);
    line(out, "module_fork_in_progress", 0);
    line(out, "module_fork_last_cow_size", 0);
    if facts.log_enabled {
        line(out, "aof_base_age_sec", age(facts.last_base_at));
        line(out, "aof_current_size", facts.log_current_bytes);
        line(out, "aof_base_size", facts.log_base_bytes);
        line(out, "aof_pending_rewrite", 0);
        line(out, "aof_buffer_length", facts.appended.saturating_sub(facts.written));
        line(out, "aof_pending_bio_fsync", u8::from(facts.synced < facts.written));
        let delayed = facts.log_delayed_syncs.saturating_sub(facts.log_delayed_syncs_seen);
        line(out, "aof_delayed_fsync", delayed);
        line(out, "aof_position_appended", facts.appended);
        line(out, "aof_position_written", facts.written);
        line(out, "aof_position_synced", facts.synced);
    }
    line(out, "backup_in_progress", u8::from(engine.server.backup.state.is_open()));
    archive(engine, out);
    if let Some(loading) = &engine.server.loading {
        let elapsed_s = u64::try_from((engine.ks.now - loading.started_at) / 1000).unwrap_or(0);
        let done = percent(loading.loaded_bytes, loading.total_bytes);
        let eta_s = loading_eta_seconds(elapsed_s, loading.loaded_bytes, loading.total_bytes);
        line(out, "loading_start_time", loading.started_at / 1000);
        line(out, "loading_total_bytes", loading.total_bytes);
        line(out, "loading_rdb_used_mem", 0);
        line(out, "loading_loaded_bytes", loading.loaded_bytes);
        line(out, "loading_loaded_perc", format!("{done:.2}"));
        line(out, "loading_eta_seconds", eta_s);
    }
}

/// The archive, and by how much it is behind: 0 when everything that was appended is in it.
fn archive(engine: &Engine, out: &mut String) {
    let facts = &engine.server.persistence.archive;
    let enabled = !engine.server.config.archive.is_empty();
    line(out, "archive_enabled", u8::from(enabled));
    if !enabled {
        return;
    }
    // Its thread may not have looked yet.
    let off = facts.state == ArchiveState::Off;
    line(out, "archive_state", if off { ArchiveState::Starting } else { facts.state }.name());
    line(out, "archive_position", facts.position);
    line(out, "archive_lag_bytes", engine.archive_lag().0);
    line(out, "archive_lag_ms", engine.archive_lag().1.as_millis());
    line(out, "archive_last_error", &facts.error);
    line(out, "archive_server_id", &facts.server);
    line(out, "archive_conflict", u8::from(facts.state == ArchiveState::Taken));
    line(out, "archive_other_owner", &facts.other_owner);
    line(out, "archive_failures", facts.failures);
    line(out, "archive_pieces", facts.pieces);
    line(out, "archive_bytes", facts.bytes);
    line(out, "archive_bases", facts.bases);
    line(out, "archive_gaps", facts.gaps);
}

/// What the log can do now: `off`, `ready`, `full` (waits for room), `failed` (waits for the next try to
/// begin anew), `healing` (a new base is being written from memory).
fn log_state(engine: &Engine) -> &'static str {
    match engine.log.as_ref().map(|log| log.state()) {
        None => "off",
        Some(LogState::Failed) if engine.server.persistence.rewrite_running => "healing",
        Some(state) => state.name(),
    }
}

fn expiry_stats(engine: &Engine, out: &mut String) {
    let keys = &engine.ks.stats;
    line(out, "expired_subkeys", keys.expired_fields);
    // The same in Valkey's words.
    line(out, "expired_fields", keys.expired_fields);
    line(out, "expired_keys", keys.expired);
    line(out, "expired_stale_perc", format!("{:.2}", keys.stale_percent));
    line(out, "expired_time_cap_reached_count", keys.expire_time_cap_reached);
    line(out, "expire_cycle_cpu_milliseconds", keys.expire_cycle_us / 1000);
}

fn stats(engine: &Engine, out: &mut String) {
    let stats = &engine.server.stats;
    let keys = &engine.ks.stats;
    let topics = |topic| engine.sessions.subscriptions.count(topic);
    line(out, "total_connections_received", stats.connections_received);
    line(out, "total_commands_processed", stats.commands_processed);
    line(out, "instantaneous_ops_per_sec", stats.ops_per_second);
    line(out, "total_net_input_bytes", stats.net_input_bytes);
    line(out, "total_net_output_bytes", stats.net_output_bytes);
    line(out, "total_net_repl_input_bytes", 0);
    line(out, "total_net_repl_output_bytes", engine.sessions.replicas.queued_bytes);
    line(out, "instantaneous_input_kbps", format!("{:.2}", stats.input_kbps));
    line(out, "instantaneous_output_kbps", format!("{:.2}", stats.output_kbps));
    line(out, "instantaneous_input_repl_kbps", "0.00");
    line(out, "instantaneous_output_repl_kbps", "0.00");
    line(out, "rejected_connections", stats.connections_rejected);
    line(out, "sync_full", engine.sessions.replicas.syncs);
    line(out, "sync_partial_ok", 0);
    line(out, "sync_partial_err", 0);
    expiry_stats(engine, out);
    line(out, "evicted_keys", stats.evicted_keys);
    line(out, "evicted_clients", stats.evicted_clients);
    line(out, "evicted_scripts", engine.server.scripts.evicted);
    let eviction = &engine.server.eviction;
    let current = eviction
        .over_limit_since
        .map_or(std::time::Duration::ZERO, |since| engine.monotonic().saturating_sub(since));
    let total = eviction.over_limit + current;
    line(out, "total_eviction_exceeded_time", total.as_millis());
    line(out, "current_eviction_exceeded_time", current.as_millis());
    line(out, "keyspace_hits", keys.hits);
    line(out, "keyspace_misses", keys.misses);
    line(out, "pubsub_channels", topics(Topic::Channel));
    line(out, "pubsub_patterns", topics(Topic::Pattern));
    line(out, "pubsubshard_channels", topics(Topic::Shard));
    line(out, "latest_fork_usec", 0);
    line(out, "total_forks", engine.persist.jobs_started);
    line(out, "migrate_cached_sockets", 0);
    line(out, "slave_expires_tracked_keys", 0);
    line(out, "active_defrag_hits", 0);
    line(out, "active_defrag_misses", 0);
    line(out, "active_defrag_key_hits", 0);
    line(out, "active_defrag_key_misses", 0);
    line(out, "total_active_defrag_time", 0);
    line(out, "current_active_defrag_time", 0);
    let (keys, items, prefixes) = engine.sessions.tracked.totals();
    line(out, "tracking_total_keys", keys);
    line(out, "tracking_total_items", items);
    line(out, "tracking_total_prefixes", prefixes);
    line(out, "unexpected_error_replies", stats.unexpected_error_replies);
    line(out, "total_error_replies", stats.error_replies);
    line(out, "dump_payload_sanitizations", 0);
    line(out, "total_reads_processed", stats.reads_processed);
    line(out, "total_writes_processed", stats.writes_processed);
    line(out, "io_threaded_reads_processed", 0);
    line(out, "io_threaded_writes_processed", 0);
    let denied = &engine.server.acl.denied;
    line(out, "acl_access_denied_auth", denied.auth);
    line(out, "acl_access_denied_cmd", denied.command);
    line(out, "acl_access_denied_key", denied.key);
    line(out, "acl_access_denied_channel", denied.channel);
    line(out, "acl_access_denied_db", denied.database);
    line(out, "client_query_buffer_limit_disconnections", stats.query_buffer_limit_disconnections);
    line(
        out,
        "client_output_buffer_limit_disconnections",
        stats.output_buffer_limit_disconnections,
    );
    loop_stats(engine, out);
}

/// The clients, reads and writes of each reactor.
fn threads(engine: &Engine, out: &mut String) {
    for (number, stats) in engine.loops.iter().enumerate() {
        let own = |client: &&Client| client.reactor == number && !client.flags.internal;
        let clients = engine.sessions.iter().filter(own).count();
        let (reads, writes) = stats.reads_and_writes();
        let figures = format!("clients={clients},reads={reads},writes={writes}");
        line(out, &format!("io_thread_{number}"), figures);
    }
}

fn loop_stats(engine: &Engine, out: &mut String) {
    let stats = &engine.server.stats;
    let (turns, turns_us) = loops::totals(&engine.loops);
    line(out, "eventloop_cycles", turns);
    line(out, "eventloop_duration_sum", turns_us);
    line(out, "eventloop_duration_cmd_sum", stats.command_nanos / 1000);
    line(out, "instantaneous_eventloop_cycles_per_sec", stats.turns_per_second);
    line(out, "instantaneous_eventloop_duration_usec", stats.turn_us);
}

fn cpu(_: &Engine, out: &mut String) {
    let (user, system) = cpu_seconds("/proc/self/stat");
    line(out, "used_cpu_sys", format!("{system:.6}"));
    line(out, "used_cpu_user", format!("{user:.6}"));
    line(out, "used_cpu_sys_children", "0.000000");
    line(out, "used_cpu_user_children", "0.000000");
    let path = format!("/proc/self/task/{}/stat", std::process::id());
    let (user, system) = cpu_seconds(&path);
    line(out, "used_cpu_sys_main_thread", format!("{system:.6}"));
    line(out, "used_cpu_user_main_thread", format!("{user:.6}"));
}

fn command_stats(engine: &Engine, out: &mut String) {
    for (row, stats) in table().rows().iter().zip(&engine.server.command_stats) {
        if stats.calls + stats.rejected + stats.failed == 0 {
            continue;
        }
        let each =
            if stats.calls == 0 { 0.0 } else { stats.microseconds as f64 / stats.calls as f64 };
        let _ = write!(
            out,
            "cmdstat_{}:calls={},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            row.full_name, stats.calls, stats.microseconds, stats.rejected, stats.failed
        );
    }
}

fn latency_stats(engine: &Engine, out: &mut String) {
    let percentiles = &engine.server.config.latency_tracking_info_percentiles;
    for (row, stats) in table().rows().iter().zip(&engine.server.command_stats) {
        if stats.histogram.total() == 0 {
            continue;
        }
        let values: Vec<String> = percentiles
            .iter()
            .map(|&percent| {
                let microseconds = stats.histogram.percentile(percent) as f64 / 1000.0;
                format!("p{percent}={microseconds:.3}")
            })
            .collect();
        line(out, &format!("latency_percentiles_usec_{}", row.full_name), values.join(","));
    }
}

fn error_stats(engine: &Engine, out: &mut String) {
    for (code, count) in &engine.server.error_stats {
        // A script's error may begin with anything.
        let code = code.replace(['#', ':', '\n', '\r'], "_");
        let _ = write!(out, "errorstat_{code}:count={count}\r\n");
    }
}

fn keyspace(engine: &Engine, out: &mut String) {
    for db in 0..engine.ks.databases() {
        let keys = engine.ks.len(db);
        if keys > 0 {
            let expires = engine.ks.expires(db);
            // The same in Redis' words and in Valkey's.
            let timed = engine.ks.timed_hashes(db);
            let _ = write!(
                out,
                "db{db}:keys={keys},expires={expires},avg_ttl={},subexpiry={timed},\
                 keys_with_volatile_items={timed}\r\n",
                engine.ks.average_ttl(db),
            );
        }
    }
}

/// User and system time in seconds, of the process or thread that the file is about.
fn cpu_seconds(path: &str) -> (f64, f64) {
    let text = kernel_file(path);
    let fields: Vec<&str> =
        text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // Linux counts them in hundredths of a second (USER_HZ).
    (ticks(11) / 100.0, ticks(12) / 100.0)
}

/// Bytes of physical memory of the machine.
pub fn total_memory_bytes() -> u64 {
    let text = kernel_file("/proc/meminfo");
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::loading_eta_seconds;

    #[test]
    fn a_start_looks_short_until_its_pace_is_known() {
        assert_eq!(loading_eta_seconds(0, 0, 5_000_000_000), 1);
        assert_eq!(loading_eta_seconds(0, 1, 5_000_000_000), 1);
        assert_eq!(loading_eta_seconds(3, 0, 5_000_000_000), 1);
        assert_eq!(loading_eta_seconds(2, 1_000, 11_000), 20);
        assert_eq!(loading_eta_seconds(2, 1_000, 1_000), 0);
    }
}
