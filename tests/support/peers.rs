//! The programs under test and the real servers they are compared with.
//!
//! `scripts/peers.sh` brings the real ones. With `CI=true` a missing one fails the test; elsewhere
//! the test says on standard error that it did not run.

use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fastness,
    Redis,
    Valkey,
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
}

/// The server that this crate builds, or the one that `FASTNESS_BINARY` names.
pub(crate) fn fastness() -> Program {
    let named = std::env::var_os("FASTNESS_BINARY");
    let path = PathBuf::from(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_fastness").into()));
    Program { name: "fastness", kind: Kind::Fastness, path }
}

/// Redis 8 from the peers folder: the reference for every reply.
pub(crate) fn redis8() -> Option<Program> {
    found("redis8", Kind::Redis, peers_folder().join("redis-server"))
}

/// Valkey 9 from the peers folder.
pub(crate) fn valkey9() -> Option<Program> {
    found("valkey9", Kind::Valkey, peers_folder().join("valkey-server"))
}

/// The redis-server on the PATH: Redis 7.0 where Debian 12 is.
pub(crate) fn redis_on_path() -> Option<Program> {
    let path = std::env::var_os("PATH")?;
    let file = std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .find(|file| file.is_file());
    found("redis on PATH", Kind::Redis, file.unwrap_or_default())
}

/// Every real server there is.
pub(crate) fn all() -> Vec<Program> {
    [redis_on_path(), redis8(), valkey9()].into_iter().flatten().collect()
}

fn found(name: &'static str, kind: Kind, path: PathBuf) -> Option<Program> {
    if path.is_file() {
        return Some(Program { name, kind, path });
    }
    not_run(&format!("{name} is missing ({}): run scripts/peers.sh", path.display()));
    None
}

/// Says that a test lacks something; in continuous integration it then fails.
pub(crate) fn not_run(message: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    eprintln!("NOT RUN: {message}");
}

fn peers_folder() -> PathBuf {
    cache_folder("FASTNESS_PEERS", "fastness-peers")
}

/// The folder that an environment variable names, or the one of that name in the user's cache.
pub(crate) fn cache_folder(variable: &str, name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os(variable) {
        return PathBuf::from(folder);
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    Path::new(&home).join(".cache").join(name)
}
