//! BGREWRITEAOF while the log is off: a log that gets a base and is closed again.
//!
//! As with Redis, the directory of the log then holds what was in memory, and the snapshot file is left
//! alone. Whatever fails leaves the directory with the manifest that it had. A backup has such a log, too, under
//! other names, and keeps it open until it is sealed.

use std::fmt;
use std::sync::Arc;

use super::super::Engine;
use super::super::start::existing_manifest;
use crate::aof::filename::FileNames;
use crate::aof::log::{Log, Recovered};
use crate::aof::record::Position;
use crate::clock::Clock;
use crate::disk::SharedDisk;
use crate::rng::{Rng as _, SeededRng};

/// What it takes to begin a log that nobody appends to.
pub(super) struct Unopened {
    names: FileNames,
    salts: SeededRng,
    clock: Arc<dyn Clock>,
    position: Position,
}

impl fmt::Debug for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unopened").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Unopened {
    pub(super) fn new(engine: &mut Engine) -> Self {
        let config = &engine.server.config;
        let names = FileNames::new(&config.appenddirname, &config.appendfilename);
        Self::named(engine, names)
    }

    /// The same under other names.
    pub(super) fn named(engine: &mut Engine, names: FileNames) -> Self {
        Self {
            names,
            salts: SeededRng::new(engine.rng.next_u64()),
            clock: Arc::clone(&engine.clock),
            position: Position(engine.server.persistence.appended),
        }
    }

    /// Creates its directory and first segment. Outside the lock.
    pub(super) fn open(self, disk: &SharedDisk) -> Result<Log, String> {
        let manifest = existing_manifest(disk.as_ref(), &self.names);
        let recovered =
            Recovered { manifest, position: self.position, gated: true, ..Recovered::default() };
        Log::start(Arc::clone(disk), self.clock, Box::new(self.salts), self.names, recovered)
            .map_err(|error| error.to_string())
    }
}
