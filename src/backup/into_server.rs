//! Restoring into a server that runs: every key by RESTORE, many requests on their way at once.
//!
//! For a server of ours, Redis or Valkey, in the version of values that it reads. It is no point in time: whoever reads
//! meanwhile sees some keys and not others. What the caller knows to be there is not sent again, so a run that was
//! interrupted is gone on with.

use std::collections::BTreeMap;

use super::BackupError;
use super::create::Progress;
use super::load::LoadedState;
use super::server::{Connection, Facts};
use crate::keyspace::Entry;
use crate::snapshot::dump::dump_for;
use crate::snapshot::target::Target;
use crate::snapshot::view::with_view;

/// Requests that are sent before their replies are read.
const BATCH: usize = 512;
/// And at most so many bytes of them.
const BATCH_BYTES: usize = 4 << 20;

/// How it is sent.
pub struct Manner<'m> {
    /// What the server has under the same names goes.
    pub replace: bool,
    /// In which version it reads values.
    pub target: Target,
    /// Whether a key is there already, the same.
    pub is_there: &'m dyn Fn(usize, &[u8]) -> bool,
    /// Function libraries that are there.
    pub libraries: &'m [Vec<u8>],
}

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Keys.
    pub keys: u64,
    /// Keys that were there.
    pub kept: u64,
    /// Bytes of requests.
    pub bytes: u64,
    /// Function libraries.
    pub libraries: u64,
}

/// The version of values that a server reads.
pub fn target_of(facts: &Facts) -> Target {
    let version = |field: &str| -> Option<(u32, u32)> {
        let mut numbers = facts.field(field)?.split('.').map(|number| number.parse().unwrap_or(0));
        Some((numbers.next()?, numbers.next().unwrap_or(0)))
    };
    if facts.is_fastness() {
        return Target::Newest;
    }
    if let Some(version) = version("valkey_version") {
        return if version < (9, 0) { Target::Redis(11) } else { Target::Valkey };
    }
    match version("redis_version").unwrap_or((u32::MAX, 0)) {
        (0..=2, _) => Target::Redis(6),
        (3, _) => Target::Redis(7),
        (4, _) => Target::Redis(8),
        (5 | 6, _) => Target::Redis(9),
        (7, 0 | 1) => Target::Redis(10),
        (7, 2 | 3) => Target::Redis(11),
        _ => Target::Newest,
    }
}

/// Sends a state to a server.
pub fn send(
    state: &LoadedState,
    connection: &mut Connection,
    manner: &Manner<'_>,
    progress: &Progress<'_>,
) -> Result<Sent, BackupError> {
    state.refused_by(manner.target)?;
    let mut sent = Sent::default();
    let total = state.keys();
    send_all(state, connection, manner, &mut sent, &|done| progress(done, total)).map_err(
        |error| {
            let done = sent.keys + sent.kept;
            BackupError::Unfinished {
                what: format!("{error}; {done} of {total} keys are there"),
                next: "give the same command again when that is mended: it sends what is missing"
                    .to_owned(),
            }
        },
    )?;
    Ok(sent)
}

fn send_all(
    state: &LoadedState,
    connection: &mut Connection,
    manner: &Manner<'_>,
    sent: &mut Sent,
    progress: &dyn Fn(u64),
) -> Result<(), BackupError> {
    for library in state.libraries().filter(|own| !manner.libraries.iter().any(|had| had == own)) {
        let mut words: Vec<&[u8]> = vec![b"FUNCTION", b"LOAD"];
        if manner.replace {
            words.push(b"REPLACE");
        }
        words.push(library);
        let mut out = Vec::new();
        put(&mut out, &words);
        connection.exchange(&out, 1)?;
        sent.libraries += 1;
    }
    let mut by_database: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
    for (db, entry) in state.entries() {
        match (manner.is_there)(db, entry.key()) {
            true => sent.kept += 1,
            false => by_database.entry(db).or_default().push(entry),
        }
    }
    for (db, entries) in by_database {
        let mut out = Vec::new();
        put(&mut out, &[b"SELECT", db.to_string().as_bytes()]);
        connection.exchange(&out, 1)?;
        out.clear();
        let mut requests = 0;
        for (index, entry) in entries.iter().enumerate() {
            put_restore(&mut out, entry, manner);
            requests += 1;
            if requests == BATCH || out.len() >= BATCH_BYTES || index + 1 == entries.len() {
                connection.exchange(&out, requests)?;
                sent.keys += requests as u64;
                sent.bytes += out.len() as u64;
                progress(sent.keys + sent.kept);
                (requests, out) = (0, Vec::new());
            }
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_restore(out: &mut Vec<u8>, entry: &Entry, manner: &Manner<'_>) {
    let mut payload = Vec::new();
    with_view(entry.value(), |view| dump_for(&mut payload, view, manner.target));
    // 0 would be no time at all.
    let expire = entry.expire_at().map_or(0, |at| at.max(1)).to_string();
    let mut words: Vec<&[u8]> = vec![b"RESTORE", entry.key(), expire.as_bytes(), &payload];
    words.push(b"ABSTTL");
    if manner.replace {
        words.push(b"REPLACE");
    }
    put(out, &words);
}
