//! The log on disk: every effect that the engine appended, in order, checkable.
//!
//! Files and manifest are Redis 7's multi-part AOF; groups of records are framed by `#` lines that Redis' loader
//! skips. The bytes are specified in `format-spec/aof.md` and `format-spec/manifest.md` and nowhere else.
//!
//! On the way in: the engine appends units to `log`, which frames them (`record`) and owns files and
//! manifest. On the way out: recovery reads the manifest (`manifest`) and walks the files (`reader`), which
//! believes nothing that a checksum does not vouch for, and never writes.

pub mod chain;
pub mod corruption;
pub mod filename;
pub mod log;
pub mod manifest;
pub mod mark;
pub mod reader;
pub mod record;
pub mod salvage;
pub mod syntax;

#[cfg(test)]
mod vector_tests;
