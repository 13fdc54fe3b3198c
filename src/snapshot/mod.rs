//! RDB: the form in which a data set, or one value, is written to a file, and read back.
//!
//! Keyspace -> encode -> bytes -> (file, AOF base, DUMP) -> decode -> keyspace. Everything here is
//! pure: bytes in, values out, and the other way round; files belong to the callers. The format is
//! Redis' own, specified in format-spec/snapshot.md with the dialects that are read and the one that
//! is written. Nothing a file says is believed before it was checked: lengths against the bytes that
//! are there, packed blobs entry by entry, the whole file against its checksum.

pub mod container;
pub mod crc64;
pub mod dump;
pub mod encode;
pub mod entry;
mod error;
pub mod frozen;
pub mod function;
pub mod inspect;
pub mod load;
pub mod lzf;
pub mod primitives;
mod record;
pub mod salvage;
pub mod stream;
pub mod target;
pub mod transcode;
mod twice;
mod value;
pub mod view;

pub use error::{Corruption, CorruptionKind, LoadError, Parsed, Place, RestoreError};
pub use load::{LoadOptions, LoadReport, LoadSink, Refusal, load};
pub use record::{Attributes, Dialect, Version};
pub use value::{Loaded, ValueView};
