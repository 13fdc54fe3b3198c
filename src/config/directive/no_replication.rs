//! Rows: replication, which this server does not do.

use super::super::rules::REPLICA_OF;
use super::*;

const NO_REPLICAS: Place = Place::NoEffect("there is no replication");

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    Directive::new(
        "replicaof",
        Kind::Words(&REPLICA_OF),
        NO_REPLICAS,
        "",
        "Be a replica of this server.",
    )
    .alias(&["slaveof"])
    .immutable(),
    text("masterauth", NO_REPLICAS, "", "Password at the master.").alias(&["primaryauth"]).secret(),
    text("masteruser", NO_REPLICAS, "", "User at the master.").alias(&["primaryuser"]).secret(),
    yes_no("replica-serve-stale-data", NO_REPLICAS, "yes", "Answer while the link is down.")
        .alias(&["slave-serve-stale-data"]),
    yes_no("replica-read-only", NO_REPLICAS, "yes", "Replicas take no writes.")
        .alias(&["slave-read-only"]),
    integer("replica-priority", NO_REPLICAS, U31, "100", "Rank among replicas for Sentinel.")
        .alias(&["slave-priority"]),
    yes_no("replica-announced", NO_REPLICAS, "yes", "Sentinel tells clients of this replica."),
    text("replica-announce-ip", NO_REPLICAS, "", "Address to announce to the master.")
        .alias(&["slave-announce-ip"]),
    integer("replica-announce-port", NO_REPLICAS, PORT, "0", "Port to announce to the master.")
        .alias(&["slave-announce-port"]),
    yes_no("replica-ignore-maxmemory", NO_REPLICAS, "yes", "Replicas evict nothing themselves.")
        .alias(&["slave-ignore-maxmemory"]),
    yes_no(
        "replica-lazy-flush",
        NO_REPLICAS,
        "no",
        "Free old data on another thread before a full sync.",
    )
    .alias(&["slave-lazy-flush"]),
    yes_no(
        "replica-ignore-disk-write-errors",
        NO_REPLICAS,
        "no",
        "Replicas go on when they cannot write.",
    ),
    bytes(
        "replica-full-sync-buffer-limit",
        NO_REPLICAS,
        SIZE,
        "0",
        "Bytes kept during a full sync.",
    ),
    integer(
        "min-replicas-to-write",
        NO_REPLICAS,
        U31,
        "0",
        "Replicas without which writes are refused.",
    )
    .alias(&["min-slaves-to-write"]),
    integer(
        "min-replicas-max-lag",
        NO_REPLICAS,
        U31,
        "10",
        "Seconds of lag until a replica does not count.",
    )
    .alias(&["min-slaves-max-lag"]),
    bytes(
        "repl-backlog-size",
        NO_REPLICAS,
        (1, i64::MAX as u64),
        "1mb",
        "Bytes kept for partial syncs.",
    ),
    integer(
        "repl-backlog-ttl",
        NO_REPLICAS,
        U63,
        "3600",
        "Seconds that they are kept without replicas.",
    ),
    yes_no("repl-disable-tcp-nodelay", NO_REPLICAS, "no", "Fewer, larger packets to replicas."),
    one_of(
        "repl-diskless-load",
        NO_REPLICAS,
        &["disabled", "on-empty-db", "swapdb", "flush-before-load"],
        "disabled",
        "Load a full sync from the socket.",
    ),
    yes_no("repl-diskless-sync", NO_REPLICAS, "yes", "Send a full sync without a file."),
    integer(
        "repl-diskless-sync-delay",
        NO_REPLICAS,
        U31,
        "5",
        "Seconds to wait for more replicas.",
    ),
    integer(
        "repl-diskless-sync-max-replicas",
        NO_REPLICAS,
        U31,
        "0",
        "Replicas that end that wait.",
    ),
    integer(
        "repl-ping-replica-period",
        NO_REPLICAS,
        (1, i32::MAX as i64),
        "10",
        "Seconds between pings.",
    )
    .alias(&["repl-ping-slave-period"]),
    integer(
        "repl-timeout",
        NO_REPLICAS,
        (1, i32::MAX as i64),
        "60",
        "Seconds until a silent peer is gone.",
    ),
    yes_no("repl-rdb-channel", NO_REPLICAS, "yes", "A connection of its own for a full sync.")
        .hidden(),
    yes_no("repl-mptcp", NO_REPLICAS, "no", "Multipath TCP to the master.").immutable().or_same(),
    yes_no(
        "dual-channel-replication-enabled",
        NO_REPLICAS,
        "no",
        "Two connections during a full sync.",
    ),
    one_of(
        "propagation-error-behavior",
        NO_REPLICAS,
        &["ignore", "panic", "panic-on-replicas"],
        "ignore",
        "What a failing replicated command does.",
    ),
];
