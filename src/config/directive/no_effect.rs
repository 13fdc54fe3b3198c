//! Rows: what Redis or Valkey know and this server has no use for.

use super::super::rules::ADDRESSES;
use super::*;

const NO_DEFRAG: Place = Place::NoEffect("memory is not moved to defragment it");
const NO_FORK: Place = Place::NoEffect("no process is forked");
const NO_PINNING: Place = Place::NoEffect("threads are not bound to cores");
const NO_DEBUG: Place = Place::NoEffect("it is for the tests of Redis");
const NO_RDMA: Place = Place::NoEffect("there is no RDMA");
const NO_MODULES: Place = Place::NoEffect("there are no modules");
const UNUSED: Place = Place::NoEffect("it is not needed here");
const UNSUPPORTED: Place = Place::NoEffect("it is not supported");
const ALWAYS_CHECKED: Place = Place::NoEffect("what is loaded is always checked");
const GONE: Place = Place::NoEffect("it has been without meaning since Redis 7");

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    // Memory.
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
