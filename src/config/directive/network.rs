//! Rows: where clients connect, how many, and how much each may send and leave unread.

use super::super::rules::BIND;
use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    Directive::new(
        "bind",
        Kind::Words(&BIND),
        at!(bind),
        "* -::*",
        "Addresses to listen on; a name is one of IPv4 where it can be. `-` in front of one: go on without it when this \
         machine has no such address. A family of addresses that the kernel does not know is left out with a warning. \
         Without anything to listen on the server does not start.",
    ),
    integer("port", at!(port), PORT, "6379", "TCP port; 0 listens on no TCP port."),
    text(
        "unixsocket",
        at!(unixsocket),
        "",
        "Path of the Unix socket; empty is none. It is removed at the end of the server.",
    )
    .immutable(),
    Directive::new(
        "unixsocketperm",
        Kind::Octal(0o777),
        at!(unixsocketperm),
        "0",
        "Permissions of the Unix socket; 0 leaves them as the umask makes them.",
    )
    .immutable(),
    yes_no(
        "protected-mode",
        at!(protected_mode),
        "yes",
        "Refuse clients of other machines while the default user needs no password.",
    ),
    integer(
        "timeout",
        at!(timeout),
        U31,
        "0",
        "Seconds after which an idle client is closed; 0 is never.",
    ),
    integer(
        "tcp-keepalive",
        at!(tcp_keepalive),
        U31,
        "300",
        "Seconds between TCP keepalives, which find dead clients; 0 sends none.",
    ),
    integer(
        "tcp-backlog",
        at!(tcp_backlog),
        U31,
        "511",
        "Length of the queue of connections to accept.",
    )
    .immutable(),
    integer(
        "maxclients",
        at!(maxclients),
        (1, u32::MAX as i64),
        "10000",
        "Clients that may be connected at once. The limit of open files is raised for them and for some 130 files of the \
         server, up to the hard limit; what does not fit there is not accepted by CONFIG SET, and lowered at start.",
    ),
    integer(
        "io-threads",
        at!(io_threads),
        (1, 128),
        "1",
        "Threads that serve connections. By default one less than the cores, from 1 to 8.",
    )
    .immutable(),
    bytes(
        "proto-max-bulk-len",
        at!(proto_max_bulk_len),
        (1 << 20, i64::MAX as u64),
        "512mb",
        "Longest string that a client may send or make; never more than 4080 MB.",
    ),
    bytes(
        "client-query-buffer-limit",
        at!(client_query_buffer_limit),
        (1 << 20, i64::MAX as u64),
        "1gb",
        "Most bytes of unfinished requests of a client; never more than 4080 MB.",
    ),
    Directive::new(
        "client-output-buffer-limit",
        Kind::Words(&super::super::rules::BUFFER_LIMITS),
        at!(client_output_buffer_limit),
        "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60",
        "When a client that does not read its replies is closed: per class (normal, replica, pubsub) at once \
         beyond the hard limit, or after so many seconds beyond the soft one. 0 is no limit.",
    ),
    Directive::new(
        "maxmemory-clients",
        Kind::MemoryOrPercent,
        at!(maxmemory_clients),
        "0",
        "Most memory of all clients together, as bytes or as a share of maxmemory; 0 is no limit.",
    ),
    integer(
        "tracking-table-max-keys",
        at!(tracking_table_max_keys),
        U63,
        "1000000",
        "Keys that client-side caching remembers; 0 is no limit.",
    ),
    text(
        "availability-zone",
        at!(availability_zone),
        "",
        "Zone of the server, as HELLO and INFO tell clients.",
    ),
];
