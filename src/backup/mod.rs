//! Backups: a data set's files in a repository, and back from it to any instant that its log covers.
//!
//! data directory | running server -> `source` (which files, up to where) -> `parts` (content-defined pieces)
//! -> `object` (checked bytes) -> `store` (local path, object store); the `manifest` of a backup is
//! stored last, so that an interrupted one is not there at all. `archive` ships a running log piece by piece.
//!
//! repository -> `plan` (which backup, which files, where it ends) -> `restore` (files, cut at the target)
//! -> a data directory that `serve` starts on, or one RDB file.
//!
//! Every byte that is read back is checked twice: an object by its own CRC and by the SHA-256 that
//! is its name, a file by its SHA-256 in the manifest. Objects are never changed. The bytes are specified in
//! `format-spec/backup.md` and nowhere else. Whatever fails leaves the repository as it was, at most with
//! objects that nothing names, which the next backup uses and `prune` sweeps.

pub mod archive;
mod candidates;
mod checked_text;
pub mod chosen;
pub mod create;
pub mod cut;
pub mod diff;
mod error;
pub mod fetch;
pub mod files;
pub mod into_server;
mod key_objects;
mod lineage;
pub mod load;
pub mod manifest;
pub mod object;
pub mod parts;
pub mod passphrase;
pub mod plan;
pub mod prune;
pub mod repository;
pub mod restore;
pub mod seal;
mod sealing;
pub mod server;
pub mod source;
pub mod store;
pub mod time;
pub mod tls;
pub mod under_way;
pub mod unfinished;
pub mod verify;

#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod tests;

pub use error::BackupError;
