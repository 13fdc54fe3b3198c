//! Restoring into a server that runs: every key by RESTORE, many requests on their way at once.
//!
//! For a server of ours, Redis or Valkey. It must be empty, or the caller says that keys may be replaced; keys
//! that only it has stay. It is no point in time: whoever reads meanwhile sees some keys and not others. A run that was
//! interrupted is begun again with `replace`.

use std::collections::BTreeMap;

use super::BackupError;
use super::create::Progress;
use super::load::LoadedState;
use super::server::Connection;
use crate::keyspace::Entry;
use crate::snapshot::dump::dump;
use crate::snapshot::view::with_view;

/// Requests that are sent before their replies are read.
const BATCH: usize = 512;
/// And at most so many bytes of them.
const BATCH_BYTES: usize = 4 << 20;

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Keys.
    pub keys: u64,
    /// Bytes of requests.
    pub bytes: u64,
    /// Function libraries.
    pub libraries: u64,
}

/// Sends a state to a server. `replace`: what it has under the same names goes.
pub fn send(
    state: &LoadedState,
    connection: &mut Connection,
    replace: bool,
    progress: &Progress<'_>,
) -> Result<Sent, BackupError> {
    let mut by_database: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
    for (db, entry) in state.entries() {
        by_database.entry(db).or_default().push(entry);
    }
    if !replace {
        must_be_empty(connection)?;
    }
    let mut sent = Sent::default();
    for library in state.libraries() {
        let mut words: Vec<&[u8]> = vec![b"FUNCTION", b"LOAD"];
        if replace {
            words.push(b"REPLACE");
        }
        words.push(library);
        let mut out = Vec::new();
        put(&mut out, &words);
        connection.exchange(&out, 1)?;
        sent.libraries += 1;
    }
    let total = state.keys();
    for (db, entries) in by_database {
        let mut out = Vec::new();
        put(&mut out, &[b"SELECT", db.to_string().as_bytes()]);
        connection.exchange(&out, 1)?;
        out.clear();
        let mut requests = 0;
        for entry in entries {
            put_restore(&mut out, entry, replace);
            requests += 1;
            if requests == BATCH || out.len() >= BATCH_BYTES {
                connection.exchange(&out, requests)?;
                sent.keys += requests as u64;
                sent.bytes += out.len() as u64;
                progress(sent.keys, total);
                (requests, out) = (0, Vec::new());
            }
        }
        connection.exchange(&out, requests)?;
        sent.keys += requests as u64;
        sent.bytes += out.len() as u64;
        progress(sent.keys, total);
    }
    Ok(sent)
}

fn must_be_empty(connection: &mut Connection) -> Result<(), BackupError> {
    let keyspace = connection.call(&["INFO", "keyspace"])?.concat();
    let filled = keyspace.lines().find(|line| line.starts_with("db"));
    match filled {
        None => Ok(()),
        Some(line) => Err(BackupError::refused(
            format!("the server is not empty: it has {line}"),
            "name an empty server, or pass --replace to replace keys of the same names",
        )),
    }
}

fn put(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_restore(out: &mut Vec<u8>, entry: &Entry, replace: bool) {
    let mut payload = Vec::new();
    with_view(entry.value(), |view| dump(&mut payload, view));
    let expire = entry.expire_at().unwrap_or(0).max(0).to_string();
    let mut words: Vec<&[u8]> = vec![b"RESTORE", entry.key(), expire.as_bytes(), &payload];
    words.push(b"ABSTTL");
    if replace {
        words.push(b"REPLACE");
    }
    put(out, &words);
}
