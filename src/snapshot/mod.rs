//! RDB: the form in which a data set, or one value, is written to a file, and read back.
//!
//! Keyspace -> encode -> bytes -> (file, AOF base, DUMP) -> decode -> keyspace. Everything here is
//! pure: bytes in, values out, and the other way round; files belong to the callers. The format is
//! Redis' own, specified in format-spec/snapshot.md with the dialects that are read and the one that
//! is written. Nothing a file says is believed before it was checked: lengths against the bytes that
//! are there, packed blobs entry by entry, the whole file against its checksum.

pub mod crc64;
mod error;
pub mod lzf;
pub mod primitives;
#[allow(dead_code, reason = "the loader builds on it")]
mod record;
#[allow(dead_code, reason = "the loader builds on it")]
pub mod stream;
#[allow(dead_code, reason = "the loader builds on it")]
mod zipmap;

pub use error::{Corruption, CorruptionKind, LoadError, Parsed, Place, RestoreError};
pub use record::{Attributes, Dialect, Version};
