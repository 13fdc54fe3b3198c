//! Rows: up to which size a collection is kept in its compact form.
//!
//! The names with `ziplist` are those of Redis before 7.

use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    integer(
        "hash-max-listpack-entries",
        at!(hash_max_listpack_entries),
        U63,
        "512",
        "Most fields of a hash in compact form.",
    )
    .alias(&["hash-max-ziplist-entries"]),
    bytes(
        "hash-max-listpack-value",
        at!(hash_max_listpack_value),
        SIZE,
        "64",
        "Longest field or value of a hash in compact form.",
    )
    .alias(&["hash-max-ziplist-value"]),
    integer(
        "list-max-listpack-size",
        at!(list_max_listpack_size),
        I32,
        "-2",
        "Size of a list's nodes: so many entries, or -1 to -5 for 4, 8, 16, 32, 64 kb.",
    )
    .alias(&["list-max-ziplist-size"]),
    integer(
        "list-compress-depth",
        at!(list_compress_depth),
        U31,
        "0",
        "Nodes at each end of a list that are not compressed; 0 compresses none.",
    ),
    integer(
        "set-max-intset-entries",
        at!(set_max_intset_entries),
        U63,
        "512",
        "Most members of a set of integers in compact form.",
    ),
    integer(
        "set-max-listpack-entries",
        at!(set_max_listpack_entries),
        U63,
        "128",
        "Most members of a set in compact form.",
    ),
    integer(
        "set-max-listpack-value",
        at!(set_max_listpack_value),
        U63,
        "64",
        "Longest member of a set in compact form.",
    ),
    integer(
        "zset-max-listpack-entries",
        at!(zset_max_listpack_entries),
        U63,
        "128",
        "Most members of a sorted set in compact form.",
    )
    .alias(&["zset-max-ziplist-entries"]),
    bytes(
        "zset-max-listpack-value",
        at!(zset_max_listpack_value),
        SIZE,
        "64",
        "Longest member of a sorted set in compact form.",
    )
    .alias(&["zset-max-ziplist-value"]),
    bytes(
        "hll-sparse-max-bytes",
        at!(hll_sparse_max_bytes),
        SIZE,
        "3000",
        "Longest HyperLogLog in compact form.",
    ),
    bytes(
        "stream-node-max-bytes",
        at!(stream_node_max_bytes),
        SIZE,
        "4096",
        "Most bytes of a stream's node.",
    ),
    integer(
        "stream-node-max-entries",
        at!(stream_node_max_entries),
        U63,
        "100",
        "Most entries of a stream's node; 0 is no limit.",
    ),
];
