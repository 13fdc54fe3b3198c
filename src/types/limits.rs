//! The sizes at which the collection types change their encoding.
//!
//! A plain copy of the directives of the same names, with Redis' defaults, so that the data
//! structures need not know the configuration. A collection is given the limits with each change;
//! none keeps them. Changing a limit affects what is written after, as in Redis.

/// When a collection leaves its compact form. Field names and units are those of the directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields a hash may have as a listpack.
    pub hash_max_listpack_entries: usize,
    /// Bytes of the longest field or value of a hash that is a listpack.
    pub hash_max_listpack_value: usize,
    /// Members a set of integers may have as an intset.
    pub set_max_intset_entries: usize,
    /// Members a set may have as a listpack.
    pub set_max_listpack_entries: usize,
    /// Bytes of the longest member of a set that is a listpack.
    pub set_max_listpack_value: usize,
    /// Members a sorted set may have as a listpack.
    pub zset_max_listpack_entries: usize,
    /// Bytes of the longest member of a sorted set that is a listpack.
    pub zset_max_listpack_value: usize,
    /// Size of a list's nodes: elements if positive; -1 to -5 mean 4, 8, 16, 32, 64 KiB.
    pub list_max_listpack_size: i32,
    /// Nodes at each end of a list that are left uncompressed; 0 compresses none.
    pub list_compress_depth: u32,
    /// Bytes of a stream's node; 0 for no limit.
    pub stream_node_max_bytes: usize,
    /// Entries of a stream's node; 0 for no limit.
    pub stream_node_max_entries: usize,
    /// Bytes up to which a HyperLogLog stays sparse.
    pub hll_sparse_max_bytes: usize,
    /// Bytes of the longest string (`proto-max-bulk-len`).
    pub string_max_bytes: usize,
    /// Whether small sorted sets keep the sign of a zero: while the log is replayed, which says what was stored.
    pub keeps_zero_sign: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            list_compress_depth: 0,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            hll_sparse_max_bytes: 3000,
            string_max_bytes: 512 * 1024 * 1024,
            keeps_zero_sign: false,
        }
    }
}
