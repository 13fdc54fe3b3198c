//! How large one node of a list may get: `list-max-listpack-size`.

/// Bound of a node, by count or by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeLimit {
    /// At most this many elements (and [`COUNTED_BYTES_MAX`]).
    Count(usize),
    /// At most this many bytes of listpack.
    Bytes(usize),
}

/// Bound in bytes of nodes that are bounded by count.
const COUNTED_BYTES_MAX: usize = 8192;
/// What Redis takes an element to need beside its text when it asks whether it fits.
pub(super) const ENTRY_OVERHEAD: usize = 8;

impl NodeLimit {
    /// The bound that the directive's value means: a count, or (negative) 4, 8, 16, 32 or 64 KiB.
    pub(super) fn new(list_max_listpack_size: i64) -> Self {
        match usize::try_from(list_max_listpack_size) {
            Ok(count) => Self::Count(count.max(1)),
            Err(_) => Self::Bytes(4096 << (-1 - list_max_listpack_size).clamp(0, 4)),
        }
    }

    /// Whether a listpack of this size is too large for a node.
    pub(super) fn is_exceeded(self, bytes: usize, count: usize) -> bool {
        match self {
            Self::Count(limit) => bytes > COUNTED_BYTES_MAX || count > limit,
            Self::Bytes(limit) => bytes > limit,
        }
    }

    /// Whether a listpack of this size has no room for an element with this much text.
    pub(super) fn is_full(self, bytes: usize, count: usize, text: usize) -> bool {
        self.is_exceeded(bytes + text + ENTRY_OVERHEAD, count + 1)
    }

    /// Whether an element with this much text gets a node of its own.
    pub(super) fn is_large(self, text: usize) -> bool {
        match self {
            Self::Count(_) => text > COUNTED_BYTES_MAX,
            Self::Bytes(limit) => text > limit,
        }
    }

    /// Whether a single node of this size is small enough for the list to become one listpack:
    /// half the bound, so that a list at the bound does not change to and fro.
    pub(super) fn allows_shrinking(self, bytes: usize, count: usize) -> bool {
        match self {
            Self::Count(limit) => count <= limit / 2,
            Self::Bytes(limit) => bytes <= limit / 2,
        }
    }

    /// The same without the halving, for a list that was just loaded.
    pub(super) fn allows_packing(self, bytes: usize, count: usize) -> bool {
        match self {
            Self::Count(limit) => count <= limit,
            Self::Bytes(limit) => bytes <= limit,
        }
    }
}
