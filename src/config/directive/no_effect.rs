//! Rows: what Redis or Valkey know and this server has no use for.

use super::super::rules::ADDRESSES;
use super::*;

const NO_DEFRAG: Place = Place::NoEffect("memory is not moved to defragment it");
const NO_FORK: Place = Place::NoEffect("no process is forked");
const NO_PINNING: Place = Place::NoEffect("threads are not bound to cores");
const NO_DEBUG: Place = Place::NoEffect("it is for the tests of Redis");
const NO_RDMA: Place = Place::NoEffect("there is no RDMA");
const NO_MODULES: Place = Place::NoEffect("there are no modules");
const NO_TITLE: Place = Place::NoEffect("the title is the command line");
const UNUSED: Place = Place::NoEffect("it is not needed here");
const UNSUPPORTED: Place = Place::NoEffect("it is not supported");
const ALWAYS_CHECKED: Place = Place::NoEffect("what is loaded is always checked");
const GONE: Place = Place::NoEffect("it has been without meaning since Redis 7");

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    // Memory.
    yes_no(
        "activerehashing",
        Place::NoEffect("tables grow a segment at a time"),
        "yes",
        "Use idle time to finish growing the tables of keys.",
    ),
    yes_no("activedefrag", NO_DEFRAG, "no", "Defragment memory."),
    integer("active-defrag-cycle-max", NO_DEFRAG, (1, 99), "25", "Most CPU for that, in percent."),
    integer("active-defrag-cycle-min", NO_DEFRAG, (1, 99), "1", "Least CPU for that, in percent."),
    integer("active-defrag-cycle-us", NO_DEFRAG, (0, 100_000), "500", "Microseconds of one run."),
    bytes(
        "active-defrag-ignore-bytes",
        NO_DEFRAG,
        (1, i64::MAX as u64),
        "100mb",
        "Waste that is left alone.",
    ),
    integer(
        "active-defrag-max-scan-fields",
        NO_DEFRAG,
        (1, i64::MAX),
        "1000",
        "Fields of one step.",
    ),
    integer(
        "active-defrag-threshold-lower",
        NO_DEFRAG,
        (0, 1000),
        "10",
        "Waste at which it starts.",
    ),
    integer(
        "active-defrag-threshold-upper",
        NO_DEFRAG,
        (0, 1000),
        "100",
        "Waste at which it is hardest.",
    ),
    yes_no("jemalloc-bg-thread", UNUSED, "yes", "Let the allocator purge on a thread."),
    yes_no("disable-thp", NO_FORK, "yes", "Turn transparent huge pages off."),
    // Threads.
    text("server-cpulist", NO_PINNING, "", "Cores of the server.")
        .alias(&["server_cpulist"])
        .immutable(),
    text("bio-cpulist", NO_PINNING, "", "Cores of background threads.")
        .alias(&["bio_cpulist"])
        .immutable(),
    text("aof-rewrite-cpulist", NO_PINNING, "", "Cores of a rewrite.")
        .alias(&["aof_rewrite_cpulist"])
        .immutable(),
    text("bgsave-cpulist", NO_PINNING, "", "Cores of a snapshot.")
        .alias(&["bgsave_cpulist"])
        .immutable(),
    yes_no("io-threads-do-reads", UNUSED, "no", "I/O threads read too."),
    yes_no("io-threads-always-active", NO_DEBUG, "no", "I/O threads never rest.").hidden(),
    integer(
        "min-io-threads-avoid-copy-reply",
        UNUSED,
        U31,
        "7",
        "Threads from which replies are not copied.",
    )
    .hidden(),
    integer("min-string-size-avoid-copy-reply", UNUSED, U31, "16384", "Length from which.")
        .hidden(),
    integer(
        "min-string-size-avoid-copy-reply-threaded",
        UNUSED,
        U31,
        "65536",
        "Length from which.",
    )
    .hidden(),
    integer("prefetch-batch-max-size", UNUSED, (0, 128), "16", "Keys that are looked up ahead."),
    // Server.
    yes_no("dynamic-hz", UNUSED, "yes", "Run background work more often with many clients."),
    yes_no("set-proc-title", NO_TITLE, "yes", "Show address and mode in the process' title.").immutable(),
    text(
        "proc-title-template",
        NO_TITLE,
        "{title} {listen-addr} {server-mode}",
        "The process' title; may contain `{title}`, `{listen-addr}`, `{server-mode}`, `{port}`, `{tls-port}`, \
         `{unixsocket}`, `{config-file}`.",
    )
    .checked(known_variables),
    yes_no("always-show-logo", Place::NoEffect("there is no logo"), "no", "Show the logo even where the log is no terminal.")
        .immutable(),
    text("ignore-warnings", Place::NoEffect("no warning stops the start"), "", "Start-up warnings that do not stop the start."),
    text("locale-collate", Place::NoEffect("comparisons are of bytes"), "", "Locale of comparisons; empty is the environment's."),
    integer(
        "shutdown-timeout",
        Place::NoEffect("a shutdown does not wait for replicas"),
        U31,
        "10",
        "Seconds to wait for others when shutting down.",
    ),
    // Network.
    text("bind-source-addr", UNUSED, "", "Address of connections to others."),
    integer(
        "max-new-connections-per-cycle",
        UNUSED,
        (1, 1000),
        "10",
        "Connections accepted in one turn.",
    ),
    integer("socket-mark-id", UNSUPPORTED, U32, "0", "Mark of the server's packets.").immutable(),
    text("unixsocketgroup", UNSUPPORTED, "", "Group of the Unix socket.").immutable().or_same(),
    yes_no("mptcp", UNSUPPORTED, "no", "Multipath TCP for clients.").immutable().or_same(),
    Directive::new("rdma-bind", Kind::Words(&ADDRESSES), NO_RDMA, "", "Addresses for RDMA."),
    integer("rdma-port", NO_RDMA, PORT, "0", "Port for RDMA."),
    integer("rdma-rx-size", NO_RDMA, (65_536, 16_777_216), "1048576", "Receive buffer.")
        .immutable()
        .or_same(),
    integer("rdma-completion-vector", NO_RDMA, (-1, 1024), "-1", "Completion vector.")
        .immutable()
        .or_same(),
    // Durability.
    yes_no(
        "no-appendfsync-on-rewrite",
        Place::NoEffect("a rewrite does not delay syncs"),
        "no",
        "Do not force the log to disk while it is rewritten; power loss may then take more.",
    ),
    yes_no(
        "aof-use-rdb-preamble",
        Place::NoEffect("the base is always a snapshot"),
        "yes",
        "The base file of the log is a snapshot, not a list of commands.",
    ),
    yes_no(
        "aof-timestamp-enabled",
        Place::NoEffect("every frame of the log says when it was written"),
        "no",
        "Write Redis' `#TS:` lines into the log too.",
    ),
    yes_no(
        "rdb-del-sync-files",
        Place::NoEffect("replicas leave no files"),
        "no",
        "Remove snapshot files that served replication only.",
    ),
    one_of(
        "sanitize-dump-payload",
        ALWAYS_CHECKED,
        &["no", "yes", "clients"],
        "no",
        "Check what RESTORE gets.",
    ),
    one_of(
        "rdb-version-check",
        ALWAYS_CHECKED,
        &["strict", "relaxed"],
        "strict",
        "Refuse newer snapshots.",
    ),
    yes_no("aof-disable-auto-gc", NO_DEBUG, "no", "Keep old files of the log.").hidden(),
    integer("rdb-key-save-delay", NO_DEBUG, I32, "0", "Microseconds to wait at each key saved.")
        .hidden(),
    integer("key-load-delay", NO_DEBUG, I32, "0", "Microseconds to wait at each key loaded.")
        .hidden(),
    integer(
        "loading-process-events-interval-bytes",
        UNUSED,
        (1024, i32::MAX as i64),
        "524288",
        "Bytes loaded between turns.",
    )
    .hidden(),
    // Observation.
    yes_no("crash-log-enabled", Place::NoEffect("a panic always says where it was"), "yes", "Log what is known about a crash."),
    yes_no(
        "hide-user-data-from-log",
        Place::NoEffect("the log has keys in warnings about them only, and no values"),
        "no",
        "Keep keys and values out of the log.",
    ),
    yes_no("crash-memcheck-enabled", UNUSED, "yes", "Test memory after a crash."),
    integer("watchdog-period", NO_DEBUG, U31, "0", "Milliseconds until a stack trace.").hidden(),
    yes_no("use-exit-on-panic", NO_DEBUG, "no", "Exit on a panic.").hidden(),
    yes_no("enable-debug-assert", NO_DEBUG, "no", "Costly checks.").hidden().immutable(),
    text("debug-context", NO_DEBUG, "", "Text for crash reports.").hidden(),
    // Others.
    yes_no("lua-enable-insecure-api", UNSUPPORTED, "no", "Insecure functions in Lua scripts.")
        .hidden()
        .protected(),
    text("hash-seed", UNUSED, "", "Seed of the hash of keys.").immutable().or_same(),
    yes_no("extended-redis-compatibility", UNUSED, "no", "Call itself Redis."),
    Directive::new("loadmodule", Kind::Line, NO_MODULES, "", "Load a module."),
    Directive::new(
        "list-max-ziplist-entries",
        Kind::Line,
        GONE,
        "",
        "Limit of lists before Redis 3.2.",
    ),
    Directive::new(
        "list-max-ziplist-value",
        Kind::Line,
        GONE,
        "",
        "Limit of lists before Redis 3.2.",
    ),
    Directive::new("lua-replicate-commands", Kind::Line, GONE, "", "How scripts are replicated."),
];

fn known_variables(value: Value) -> Result<Value, String> {
    const VARIABLES: [&str; 7] =
        ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    let Value::Text(template) = &value else { return Ok(value) };
    let template = String::from_utf8_lossy(template);
    let known = |part: &str| {
        part.split_once('}').is_some_and(|(variable, _)| VARIABLES.contains(&variable))
    };
    if !template.is_empty() && template.split('{').skip(1).all(known) {
        Ok(value)
    } else {
        Err("template format is invalid or contains unknown variables".to_owned())
    }
}
