//! The bytes on disk: the golden files of format-spec/vectors, and files of ours in real servers.
//!
//! A format change needs a new vector; old ones are never edited. What a vector holds is said by the
//! text beside it, which the server that wrote the vector gave, not our reader.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod support;

mod container;
mod image;
mod rdb;
mod rdb_damage;
mod rdb_peers;
mod text;
