//! Rows: feeding replicas.

use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    integer(
        "repl-ping-replica-period",
        at!(repl_ping_replica_period),
        (1, i32::MAX as i64),
        "10",
        "Seconds between pings to replicas.",
    )
    .alias(&["repl-ping-slave-period"]),
    integer(
        "repl-timeout",
        at!(repl_timeout),
        (1, i32::MAX as i64),
        "60",
        "Seconds until a replica that acknowledges or takes nothing is let go.",
    ),
    integer(
        "min-replicas-to-write",
        at!(min_replicas_to_write),
        U31,
        "0",
        "Replicas that must be online for writes to be taken; 0 is none.",
    )
    .alias(&["min-slaves-to-write"]),
    integer(
        "min-replicas-max-lag",
        at!(min_replicas_max_lag),
        U31,
        "10",
        "Seconds without an acknowledgement until a replica does not count for that.",
    )
    .alias(&["min-slaves-max-lag"]),
];
