//! Rows: replication, as far as it means nothing to a server that feeds replicas and is none.

use super::super::rules::REPLICA_OF;
use super::*;

const NO_REPLICA: Place = Place::NoEffect("this server is no replica");
const WHOLE: Place = Place::NoEffect("replicas always get a whole snapshot, by way of a file");

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    Directive::new(
        "replicaof",
        Kind::Words(&REPLICA_OF),
        NO_REPLICA,
        "",
        "Be a replica of this server.",
    )
    .alias(&["slaveof"])
    .immutable(),
    text("masterauth", NO_REPLICA, "", "Password at the master.").alias(&["primaryauth"]).secret(),
    text("masteruser", NO_REPLICA, "", "User at the master.").alias(&["primaryuser"]).secret(),
    yes_no("replica-serve-stale-data", NO_REPLICA, "yes", "Answer while the link is down.")
        .alias(&["slave-serve-stale-data"]),
    yes_no("replica-read-only", NO_REPLICA, "yes", "Replicas take no writes.")
        .alias(&["slave-read-only"]),
    integer("replica-priority", NO_REPLICA, U31, "100", "Rank among replicas for Sentinel.")
        .alias(&["slave-priority"]),
    yes_no("replica-announced", NO_REPLICA, "yes", "Sentinel tells clients of this replica."),
    text("replica-announce-ip", NO_REPLICA, "", "Address to announce to the master.")
        .alias(&["slave-announce-ip"]),
    integer("replica-announce-port", NO_REPLICA, PORT, "0", "Port to announce to the master.")
        .alias(&["slave-announce-port"]),
    yes_no("replica-ignore-maxmemory", NO_REPLICA, "yes", "Replicas evict nothing themselves.")
        .alias(&["slave-ignore-maxmemory"]),
    yes_no(
        "replica-lazy-flush",
        NO_REPLICA,
        "no",
        "Free old data on another thread before a full sync.",
    )
    .alias(&["slave-lazy-flush"]),
    yes_no(
        "replica-ignore-disk-write-errors",
        NO_REPLICA,
        "no",
        "Replicas go on when they cannot write.",
    ),
    bytes(
        "replica-full-sync-buffer-limit",
        NO_REPLICA,
        SIZE,
        "0",
        "Bytes kept during a full sync.",
    ),
    bytes("repl-backlog-size", WHOLE, (1, i64::MAX as u64), "1mb", "Bytes kept for partial syncs."),
    integer("repl-backlog-ttl", WHOLE, U63, "3600", "Seconds that they are kept without replicas."),
    yes_no(
        "repl-disable-tcp-nodelay",
        Place::NoEffect("packets are sent as they come"),
        "no",
        "Fewer, larger packets to replicas.",
    ),
    one_of(
        "repl-diskless-load",
        NO_REPLICA,
        &["disabled", "on-empty-db", "swapdb", "flush-before-load"],
        "disabled",
        "Load a full sync from the socket.",
    ),
    yes_no("repl-diskless-sync", WHOLE, "yes", "Send a full sync without a file."),
    integer("repl-diskless-sync-delay", WHOLE, U31, "5", "Seconds to wait for more replicas."),
    integer("repl-diskless-sync-max-replicas", WHOLE, U31, "0", "Replicas that end that wait."),
    yes_no("repl-rdb-channel", WHOLE, "yes", "A connection of its own for a full sync.").hidden(),
    yes_no("repl-mptcp", NO_REPLICA, "no", "Multipath TCP to the master.").immutable().or_same(),
    yes_no("dual-channel-replication-enabled", WHOLE, "no", "Two connections during a full sync."),
    one_of(
        "propagation-error-behavior",
        NO_REPLICA,
        &["ignore", "panic", "panic-on-replicas"],
        "ignore",
        "What a failing replicated command does.",
    ),
];
