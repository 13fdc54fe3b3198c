//! Loading: what snapshots and log records say, into an engine that nobody else sees yet.

use crate::clock::UnixMillis;
use crate::engine::Engine;
use crate::keyspace::lru::UseClock;
use crate::keyspace::{Prepared, WARM_MAX};
use crate::snapshot::container::parallel::{Duplicate, EntrySink, Preparer, load_entries};
use crate::snapshot::load::{LoadOptions, LoadReport, LoadSink, Refusal};
use crate::snapshot::{Attributes, Loaded};

use super::LoadError;

/// Takes the keys of a snapshot into a keyspace.
pub struct SnapshotSink<'e> {
    engine: &'e mut Engine,
    db: usize,
    /// Makes entries; the same for all threads.
    making: Making,
    /// Whether a key that is there already is replaced rather than refused (DEBUG RELOAD MERGE).
    replace: bool,
    keys: u64,
    expired: u64,
    /// When the snapshot was taken, in Unix seconds, if it says so.
    taken_at: Option<i64>,
    /// Is told how many bytes of the file are done.
    progress: &'e mut dyn FnMut(u64),
}

/// What is asked when a key becomes an entry.
#[derive(Clone)]
struct Making {
    /// Keys that expired before this time are left out; `None` keeps them (bases of a log).
    drop_expired_before: Option<UnixMillis>,
    uses: UseClock,
}

impl Making {
    fn prepare(
        &self,
        key: &[u8],
        value: Loaded<'_>,
        attributes: Attributes,
    ) -> Result<Option<Prepared>, Refusal> {
        let expire = attributes.expire_at_ms;
        if let (Some(now), Some(at)) = (self.drop_expired_before, expire)
            && at < now
        {
            return Ok(None);
        }
        let entry = value.into_entry(key, expire)?;
        let used = self.uses.restored(attributes.idle_seconds, attributes.frequency);
        entry.touch(used.unwrap_or_else(|| self.uses.fresh()));
        Ok(Some(Prepared::new(entry)))
    }
}

impl LoadSink for SnapshotSink<'_> {
    fn select_db(&mut self, db: u32) {
        self.db = db as usize;
    }

    fn empty(&mut self, key: &[u8]) {
        let key = key.escape_ascii();
        self.engine.logger.notice(format!("Loading the snapshot: skipping empty key: {key}"));
    }

    fn resize_hint(&mut self, keys: u64, _expires: u64) {
        self.engine.ks.reserve(self.db, usize::try_from(keys).unwrap_or(0));
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) {
        if name == b"ctime" {
            self.taken_at = crate::number::parse_i64(value);
        }
    }

    fn key(
        &mut self,
        key: &[u8],
        value: Loaded<'_>,
        attributes: Attributes,
    ) -> Result<(), Refusal> {
        match self.making.prepare(key, value, attributes)? {
            Some(prepared) => self.put(self.db, prepared).map_err(|_| Refusal::DuplicateKey),
            None => {
                self.expired += 1;
                Ok(())
            }
        }
    }

    fn function(&mut self, source: &[u8]) -> Result<(), Refusal> {
        let server = &mut self.engine.server;
        server
            .libraries
            .load(source, self.replace)
            .map(drop)
            .map_err(|text| Refusal::Other(String::from_utf8_lossy(&text).into_owned()))
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}

impl EntrySink for SnapshotSink<'_> {
    fn entries(&mut self, db: u32, entries: &mut Vec<Prepared>) -> Result<(), Duplicate> {
        let db = db as usize;
        let hashes: Vec<u64> = entries.iter().map(Prepared::hash).collect();
        for (index, prepared) in entries.drain(..).enumerate() {
            // The table's memory is far: the waits for some places of it overlap.
            if index.is_multiple_of(WARM_MAX) {
                self.engine.ks.warm_hashes(db, hashes.iter().skip(index).take(WARM_MAX).copied());
            }
            self.put(db, prepared)?;
        }
        Ok(())
    }

    fn preparer(&self) -> Box<Preparer> {
        let making = self.making.clone();
        Box::new(move |key, value, attributes| making.prepare(key, value, attributes))
    }

    fn left_out(&mut self, keys: u64) {
        self.expired += keys;
    }
}

impl SnapshotSink<'_> {
    fn put(&mut self, db: usize, prepared: Prepared) -> Result<(), Duplicate> {
        if let Some(old) = self.engine.ks.put_prepared(db, prepared)
            && !self.replace
        {
            return Err(Duplicate(old.key().to_vec()));
        }
        self.keys += 1;
        Ok(())
    }
}

/// Loads a snapshot.
pub fn load_snapshot(
    engine: &mut Engine,
    file: &str,
    bytes: &[u8],
    options: SnapshotOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<LoadReport, LoadError> {
    let load_options = LoadOptions {
        databases: u32::try_from(engine.ks.databases()).unwrap_or(16),
        verify: engine.server.config.rdbchecksum,
        limits: engine.server.limits.clone(),
    };
    let drop_expired_before = (!options.keep_expired).then_some(engine.ks.now);
    let making = Making { drop_expired_before, uses: engine.ks.use_clock.clone() };
    let (replace, threads) = (options.replace, engine.persist.threads);
    let mut sink = SnapshotSink {
        engine,
        db: 0,
        making,
        replace,
        keys: 0,
        expired: 0,
        taken_at: None,
        progress,
    };
    let report = load_entries(bytes, &load_options, threads, &mut sink)
        .map_err(|error| LoadError::Snapshot { file: file.to_owned(), error })?;
    let (keys, expired) = (sink.keys, sink.expired);
    let taken_at = sink.taken_at.and_then(|seconds| seconds.checked_mul(1000));
    let persistence = &mut engine.server.persistence;
    match options.keep_expired {
        true => persistence.last_base_at = taken_at,
        false => persistence.last_good_save_at = taken_at,
    }
    persistence.loaded_keys += keys;
    engine.server.persistence.loaded_expired_keys += expired;
    engine.logger.notice(format!(
        "Done loading RDB, keys loaded: {keys}, keys expired: {expired}, empty keys skipped: {}.",
        report.empty_dropped
    ));
    Ok(report)
}

/// How a snapshot is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotOptions {
    /// It is the base of a log: expired keys stay, the log says what became of them.
    pub keep_expired: bool,
    /// Keys that are there already are replaced.
    pub replace: bool,
}
