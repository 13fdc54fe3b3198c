//! The state that files stand for: loaded into an engine of its own, as a start would, and asked.
//!
//! For what files alone cannot tell: the digest and the keys at the end of a log, an RDB file of it, some keys of
//! it. Nothing expires here, so that the state is that of its instant. It takes as much memory as
//! the server that had it.

use std::sync::Arc;

use super::BackupError;
use super::source::Source;
use crate::aof::chain::SegmentFile;
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::Position;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::disk::os::OsDisk;
use crate::disk::{Disk, OpenMode};
use crate::engine::Engine;
use crate::engine::start::server_state;
use crate::glob;
use crate::keyspace::{Entry, ExpireMode, digest};
use crate::logger::Logger;
use crate::recovery::load::{SnapshotOptions, load_snapshot};
use crate::recovery::replay::replay_log;
use crate::rng::SeededRng;
use crate::snapshot::crc64::Crc64;
use crate::snapshot::encode::{self, Encoder, Header};
use crate::snapshot::target::Target;
use crate::snapshot::view::with_view;

/// Databases that a data set may have.
const DATABASES: u16 = 1024;
/// Bytes that are encoded before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// A data set in memory.
#[derive(Debug)]
pub struct LoadedState {
    engine: Engine,
    /// Records that answered with an error when they were replayed.
    pub failed: u64,
}

/// Which keys are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Patterns as KEYS takes them; a key must match one. None: every key does.
    pub patterns: Vec<Vec<u8>>,
    /// Databases; none: all of them.
    pub databases: Vec<usize>,
}

impl Filter {
    /// Whether everything is wanted.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.databases.is_empty()
    }

    /// Whether this key is wanted.
    pub fn takes(&self, db: usize, key: &[u8]) -> bool {
        let right_db = self.databases.is_empty() || self.databases.contains(&db);
        let matches = |pattern: &Vec<u8>| glob::matches(pattern, key, false);
        right_db && (self.patterns.is_empty() || self.patterns.iter().any(matches))
    }
}

/// Loads a data set from its files.
pub fn of_source(source: &Source) -> Result<LoadedState, BackupError> {
    let mut engine = empty_engine();
    let mut records_at = 0;
    let base = source.base.as_ref();
    if let Some(base) = base
        && starts_with_snapshot(base.bytes())
    {
        let options = SnapshotOptions { keep_expired: true, replace: false };
        let report = load_snapshot(&mut engine, &base.name, base.bytes(), options, &mut |_| ())?;
        records_at = usize::try_from(report.end).unwrap_or(usize::MAX);
    }
    let mut files: Vec<SegmentFile<'_>> = Vec::new();
    if let Some(base) = base.filter(|base| records_at < base.len && base.position.is_none()) {
        files.push(base.as_segment(base.bytes(), records_at));
    }
    files.extend(source.segments.iter().map(|file| file.as_segment(file.bytes(), 0)));
    let position = base.map_or(Some(Position::ZERO), |base| base.position.map(Position));
    let (_, replayed) = replay_log(&mut engine, position, &files, &mut |_| ())?;
    Ok(LoadedState { engine, failed: replayed.failed })
}

fn empty_engine() -> Engine {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut config = Config::default();
    config.databases = DATABASES.into();
    config.appendonly = false;
    let logger = Logger::silent(Arc::clone(&clock));
    let state = server_state(config, String::new(), &clock);
    // It is never written to: a state that is loaded has no data directory.
    let disk = Arc::new(OsDisk::new("."));
    let mut engine = Engine::new(state, clock, disk, SeededRng::from_os(), logger);
    engine.ks.expire_mode = ExpireMode::Frozen;
    engine.ks.effects.recording = false;
    engine.persist.threads = std::thread::available_parallelism().map_or(1, usize::from);
    engine
}

impl LoadedState {
    /// What DEBUG DIGEST says of it.
    pub fn digest(&self) -> String {
        digest::hex(&digest::dataset(&self.engine.ks))
    }

    /// Keys in all databases.
    pub fn keys(&self) -> u64 {
        (0..self.engine.ks.databases()).map(|db| self.engine.ks.len(db) as u64).sum()
    }

    /// Whether a field of a hash was ever given a time.
    pub fn has_field_expiry(&self) -> bool {
        self.engine.ks.has_field_expiry()
    }

    /// Sources of the function libraries.
    pub fn functions(&self) -> impl Iterator<Item = &[u8]> {
        self.engine.server.libraries.iter().map(|library| &*library.source)
    }

    /// Every key with its database, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let ks = &self.engine.ks;
        (0..ks.databases()).flat_map(move |db| ks.entries(db).map(move |entry| (db, entry)))
    }

    /// The sources of all function libraries.
    pub fn libraries(&self) -> impl Iterator<Item = &[u8]> {
        self.engine.server.libraries.iter().map(|library| library.source.as_ref())
    }

    /// Drops what is not wanted, function libraries too.
    pub fn keep(&mut self, filter: &Filter) {
        if filter.is_empty() {
            return;
        }
        let unwanted: Vec<(usize, Vec<u8>)> = self
            .entries()
            .filter(|(db, entry)| !filter.takes(*db, entry.key()))
            .map(|(db, entry)| (db, entry.key().to_vec()))
            .collect();
        for (db, key) in unwanted {
            self.engine.ks.remove(db, &key);
        }
        self.engine.server.libraries = Default::default();
    }

    /// Whether a version cannot hold it: which key, and why.
    pub fn refused_by(&self, target: Target) -> Result<(), BackupError> {
        let refused = |what: String| Err(BackupError::Output { what });
        if let (Some(why), true) = (target.refuses_functions(), self.libraries().next().is_some()) {
            return refused(format!("function libraries cannot be held: {why}"));
        }
        for (db, entry) in self.entries() {
            if let Some(why) = with_view(entry.value(), |view| target.refuses(view)) {
                let key = entry.key().escape_ascii();
                return refused(format!("key \"{key}\" of database {db} cannot be held: {why}"));
            }
        }
        Ok(())
    }

    /// The key of a database, if it has it.
    pub fn entry(&self, db: usize, key: &[u8]) -> Option<&Entry> {
        let ks = &self.engine.ks;
        if db < ks.databases() { ks.again(db, key) } else { None }
    }

    /// Writes it as RDB of a version, durably but for the name; the bytes written. What the version cannot hold is refused.
    pub fn write_rdb(
        &self,
        disk: &dyn Disk,
        path: &str,
        target: Target,
    ) -> Result<u64, BackupError> {
        self.refused_by(target)?;
        let ks = &self.engine.ks;
        let file = disk.open(path, OpenMode::CreateOrTruncate)?;
        let mut encoder = Encoder::for_target(true, target);
        let (mut crc, mut at, mut out) = (Crc64::new(), 0, Vec::new());
        let header = Header {
            field_expiry: ks.has_field_expiry(),
            created_at: ks.now / 1000,
            ..Header::default()
        };
        encoder.header(&mut out, &header);
        for library in self.engine.server.libraries.iter() {
            encoder.function(&mut out, &library.source);
        }
        let mut flush = |out: &mut Vec<u8>, crc: &mut Crc64| -> Result<(), BackupError> {
            file.write_all_at(at, out)?;
            crc.update(out);
            at += out.len() as u64;
            out.clear();
            Ok(())
        };
        for db in (0..ks.databases()).filter(|db| ks.len(*db) > 0) {
            encoder.select_db(&mut out, u32::try_from(db).unwrap_or(u32::MAX));
            encoder.resize_db(&mut out, ks.len(db) as u64, ks.expires(db) as u64);
            for entry in ks.entries(db) {
                encoder.entry(&mut out, entry, None, None);
                if out.len() >= BUFFER_BYTES {
                    flush(&mut out, &mut crc)?;
                }
            }
        }
        flush(&mut out, &mut crc)?;
        encode::finish(&mut out, &mut crc, true);
        file.write_all_at(at, &out)?;
        file.sync_all()?;
        Ok(at + out.len() as u64)
    }
}
