//! A running server asked key by key: SCAN and DUMP, which every server of any vendor allows.
//!
//! For servers whose files are elsewhere and that send no snapshot to a replica. It is no instant: a key that
//! changes meanwhile is as it was before or after, each key is there once, and one that is there all the
//! time is not missed. Function libraries come first. A key that was read is known by 16 bytes, since
//! SCAN may name it again.

use std::collections::HashSet;

use super::source::{Progress, identity};
use super::{Item, Passed, Selection, Sink};
use crate::backup::BackupError;
use crate::backup::server::{Connection, Facts};
use crate::clock::Clock;
use crate::snapshot::{Attributes, Loaded, dump, function};
use crate::types::limits::Limits;

/// Keys that SCAN is asked for at a time, all dumped in one exchange.
const PAGE: &str = "250";

/// Reads a server and hands over what is wanted.
pub fn each(
    connection: &mut Connection,
    facts: &Facts,
    clock: &dyn Clock,
    selection: &Selection,
    sink: &mut dyn Sink,
    progress: &mut Progress<'_>,
) -> Result<Passed, BackupError> {
    let mut passed = Passed::default();
    let output = |what: String| BackupError::Output { what };
    if selection.takes_functions() {
        let found = functions(connection).map_err(|error| {
            BackupError::refused(
                format!("the function libraries cannot be read: {error}"),
                "let the user run FUNCTION DUMP, or leave them out with --no-functions",
            )
        })?;
        for source in found {
            sink.function(&source).map_err(output)?;
            passed.functions += 1;
        }
    }
    let databases = facts.databases();
    let total: u64 = databases.iter().map(|(_, keys)| keys).sum();
    let mut walk = Walk {
        connection,
        clock,
        selection,
        sink,
        seen: HashSet::new(),
        passed,
        absolute: true,
        limits: Limits::default(),
    };
    for (db, _) in databases {
        walk.connection.request(&[b"SELECT", db.to_string().as_bytes()])?;
        let mut cursor = b"0".to_vec();
        loop {
            let page: [&[u8]; 4] = [b"SCAN", &cursor, b"COUNT", PAGE.as_bytes()];
            let mut reply = walk.connection.request(&page)?.into_iter();
            cursor = reply.next().unwrap_or_default();
            walk.page(db, reply.collect())?;
            progress(walk.passed.keys + walk.passed.left_out, total);
            if cursor == b"0" || cursor.is_empty() {
                break;
            }
        }
    }
    Ok(walk.passed)
}

/// The libraries; none from a server that knows no functions. One that does not tell may have some.
pub fn functions(connection: &mut Connection) -> Result<Vec<Vec<u8>>, BackupError> {
    let reply = match connection.request(&[b"FUNCTION", b"DUMP"]) {
        Err(error) if is_unknown(&error) => return Ok(Vec::new()),
        reply => reply?,
    };
    let Some(payload) = reply.first().filter(|payload| !payload.is_empty()) else {
        return Ok(Vec::new());
    };
    let wrong = |why: &str| BackupError::Server { what: format!("FUNCTION DUMP: {why}") };
    let (body, _) = dump::check_footer(payload, true).map_err(|why| wrong(&why.to_string()))?;
    function::sources(body).map_err(wrong)
}

/// Whether the server has no such command.
fn is_unknown(error: &BackupError) -> bool {
    let text = error.to_string().to_lowercase();
    text.contains("unknown command") || text.contains("unknown subcommand")
}

struct Walk<'w> {
    connection: &'w mut Connection,
    clock: &'w dyn Clock,
    selection: &'w Selection,
    sink: &'w mut dyn Sink,
    seen: HashSet<u128>,
    passed: Passed,
    /// Whether the server tells when a key expires; older ones tell how long it has.
    absolute: bool,
    limits: Limits,
}

impl Walk<'_> {
    fn page(&mut self, db: u32, mut keys: Vec<Vec<u8>>) -> Result<(), BackupError> {
        keys.retain(|key| {
            if !self.seen.insert(identity(db, key)) {
                return false;
            }
            let wanted = self.selection.takes_key(db, key);
            self.passed.left_out += u64::from(!wanted);
            wanted
        });
        let times = self.times(&keys)?;
        for key in &keys {
            self.connection.send_bytes(&[b"DUMP", key])?;
        }
        for (key, expire) in keys.iter().zip(times) {
            let payload = self.connection.receive()?.into_iter().next().unwrap_or_default();
            // Neither is there any more, or the key was gone in between.
            if !payload.is_empty() && expire != Some(GONE) {
                self.key(db, key, &payload, expire.filter(|at| *at >= 0))?;
            }
        }
        Ok(())
    }

    /// When each key expires in unix milliseconds; -1 for never, [`GONE`] when it is not there.
    fn times(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Option<i64>>, BackupError> {
        let name: &[u8] = if self.absolute { b"PEXPIRETIME" } else { b"PTTL" };
        let asked_at = self.clock.wall();
        for key in keys {
            self.connection.send_bytes(&[name, key])?;
        }
        let mut times = Vec::with_capacity(keys.len());
        let mut unknown = false;
        for _ in keys {
            match self.connection.receive() {
                Ok(reply) => {
                    let text = reply.first().map(Vec::as_slice).unwrap_or_default();
                    times.push(crate::number::parse_i64(text));
                }
                Err(error) if self.absolute && is_unknown(&error) => {
                    unknown = true;
                }
                Err(error) => return Err(error),
            }
        }
        if unknown {
            self.absolute = false;
            return self.times(keys);
        }
        if !self.absolute {
            let until = |left: i64| if left > 0 { asked_at.saturating_add(left) } else { left };
            times.iter_mut().for_each(|time| *time = time.map(until));
        }
        Ok(times)
    }

    fn key(
        &mut self,
        db: u32,
        key: &[u8],
        payload: &[u8],
        expire_at_ms: Option<i64>,
    ) -> Result<(), BackupError> {
        let wrong =
            |why: String| BackupError::Server { what: format!("{}: {why}", super::shown(db, key)) };
        let value: Loaded<'_> =
            dump::restore(payload, &self.limits).map_err(|error| wrong(error.to_string()))?;
        let entry =
            value.into_entry(key, expire_at_ms).map_err(|refusal| wrong(format!("{refusal:?}")))?;
        if !self.selection.takes_kind(entry.kind()) {
            self.passed.left_out += 1;
            return Ok(());
        }
        let attributes = Attributes { expire_at_ms, ..Attributes::default() };
        self.passed.keys += 1;
        let item = Item { db, entry: &entry, attributes };
        self.sink.key(&item).map_err(|what| BackupError::Output { what })
    }
}

/// What PTTL says of a key that is not there.
const GONE: i64 = -2;
