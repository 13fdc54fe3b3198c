//! Rows: Redis Cluster, of which this server cannot be a part.

use super::*;

const NO_CLUSTER: Place = Place::NoEffect("there is no cluster mode");

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    yes_no("cluster-enabled", NO_CLUSTER, "no", "Be a node of a cluster.").immutable(),
    text("cluster-config-file", NO_CLUSTER, "nodes.conf", "File of the node's state.").immutable(),
    one_of(
        "cluster-config-save-behavior",
        NO_CLUSTER,
        &["sync", "best-effort"],
        "sync",
        "When that is saved.",
    ),
    integer("cluster-port", NO_CLUSTER, PORT, "0", "Port of the cluster bus.").immutable(),
    integer("cluster-databases", NO_CLUSTER, (1, i32::MAX as i64), "1", "Databases in a cluster.")
        .immutable()
        .or_same(),
    integer(
        "cluster-node-timeout",
        NO_CLUSTER,
        U63,
        "15000",
        "Milliseconds until a node counts as failing.",
    ),
    integer("cluster-ping-interval", NO_CLUSTER, U63, "0", "Milliseconds between pings.").hidden(),
    integer(
        "cluster-message-gossip-perc",
        NO_CLUSTER,
        (1, 100),
        "10",
        "Share of nodes in a message.",
    )
    .hidden(),
    integer("cluster-blacklist-ttl", NO_CLUSTER, U63, "60", "Seconds a forgotten node stays out."),
    integer(
        "cluster-manual-failover-timeout",
        NO_CLUSTER,
        (1, i32::MAX as i64),
        "5000",
        "Milliseconds of a failover by hand.",
    ),
    integer(
        "cluster-slot-migration-log-max-len",
        NO_CLUSTER,
        U63,
        "1000",
        "Finished migrations to remember.",
    ),
    bytes(
        "slot-migration-max-failover-repl-bytes",
        NO_CLUSTER,
        (-1, i64::MAX as u64),
        "0",
        "Unsent bytes at which a slot moves over.",
    ),
    yes_no("cluster-slot-stats-enabled", NO_CLUSTER, "no", "Figures for each slot."),
    integer(
        "cluster-compatibility-sample-ratio",
        NO_CLUSTER,
        (0, 100),
        "0",
        "Share of commands to check.",
    ),
    text("cluster-announce-ip", NO_CLUSTER, "", "Address to announce."),
    text("cluster-announce-client-ipv4", NO_CLUSTER, "", "IPv4 address to announce to clients."),
    text("cluster-announce-client-ipv6", NO_CLUSTER, "", "IPv6 address to announce to clients."),
    integer("cluster-announce-client-port", NO_CLUSTER, PORT, "0", "Port to announce to clients."),
    integer(
        "cluster-announce-client-tls-port",
        NO_CLUSTER,
        PORT,
        "0",
        "TLS port to announce to clients.",
    ),
    integer("cluster-announce-port", NO_CLUSTER, PORT, "0", "Port to announce."),
    integer("cluster-announce-tls-port", NO_CLUSTER, PORT, "0", "TLS port to announce."),
    integer("cluster-announce-bus-port", NO_CLUSTER, PORT, "0", "Port of the bus to announce."),
    text("cluster-announce-hostname", NO_CLUSTER, "", "Host name to announce.").checked(host_name),
    text("cluster-announce-human-nodename", NO_CLUSTER, "", "Name of the node for people."),
    one_of(
        "cluster-preferred-endpoint-type",
        NO_CLUSTER,
        &["ip", "hostname", "unknown-endpoint"],
        "ip",
        "How nodes are named to clients.",
    ),
    integer("cluster-migration-barrier", NO_CLUSTER, U31, "1", "Replicas that a master keeps."),
    yes_no(
        "cluster-allow-replica-migration",
        NO_CLUSTER,
        "yes",
        "Replicas move to masters without.",
    ),
    integer(
        "cluster-replica-validity-factor",
        NO_CLUSTER,
        U31,
        "10",
        "How old a replica's data may be.",
    )
    .alias(&["cluster-slave-validity-factor"]),
    yes_no("cluster-replica-no-failover", NO_CLUSTER, "no", "Never fail over to this replica.")
        .alias(&["cluster-slave-no-failover"]),
    yes_no(
        "cluster-require-full-coverage",
        NO_CLUSTER,
        "yes",
        "Serve only while all slots are served.",
    ),
    yes_no("cluster-allow-reads-when-down", NO_CLUSTER, "no", "Read while the cluster is down."),
    yes_no(
        "cluster-allow-pubsubshard-when-down",
        NO_CLUSTER,
        "yes",
        "Publish while the cluster is down.",
    ),
    bytes("cluster-link-sendbuf-limit", NO_CLUSTER, SIZE64, "0", "Most unsent bytes to a node."),
];

fn host_name(value: Value) -> Result<Value, String> {
    let Value::Text(name) = &value else { return Ok(value) };
    if name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        Ok(value)
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots".to_owned())
    }
}
