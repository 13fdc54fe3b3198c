//! The state at each position of the log: the units that the engine appended, replayed one by one.
//!
//! The replay is recovery's own, but into an engine that never met a disk; so a change that yields no
//! effect, or an effect that means something else when it is replayed, shows as well.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use fastness::aof::record::Position;
use fastness::clock::Clock;
use fastness::engine::Engine;
use fastness::keyspace::digest;
use fastness::keyspace::{ExpireMode, Keyspace};
use fastness::logger::Logger;
use fastness::resp::decode::DecodeLimits;
use fastness::resp::unit::UnitBuffer;
use fastness::resp::{Batch, Decoder, Reply};
use fastness::session::ClientId;

/// A database and a key in it.
pub(crate) type Key = (usize, Vec<u8>);
/// Digest of the value and the time of its end, for each key.
pub(crate) type State = BTreeMap<Key, ([u8; 20], Option<i64>)>;

/// What a keyspace holds, keys included whose time is over but that nobody removed.
pub(crate) fn state_of(ks: &Keyspace) -> State {
    let mut state = State::new();
    for db in 0..ks.databases() {
        for entry in ks.entries(db) {
            let key = (db, entry.key().to_vec());
            state.insert(key, (digest::value(entry), entry.expire_at()));
        }
    }
    state
}

/// What differs, for a report.
pub(crate) fn difference(wanted: &State, found: &State) -> String {
    let mut lines = Vec::new();
    let keys = wanted.keys().chain(found.keys().filter(|key| !wanted.contains_key(*key)));
    for key in keys.filter(|key| wanted.get(*key) != found.get(*key)) {
        let show = |state: &State| match state.get(key) {
            None => "absent".to_owned(),
            Some((digest, expires)) => format!("{} {expires:?}", digest::hex(digest)),
        };
        let name = String::from_utf8_lossy(&key.1);
        lines.push(format!("db {} {name}: {}, not {}", key.0, show(found), show(wanted)));
    }
    lines.join("\n")
}

/// A replica of the data set, and its history.
pub(crate) struct Model {
    engine: Engine,
    client: ClientId,
    scratch: Reply,
    /// The state behind each unit, positions ascending.
    history: Vec<(u64, Rc<State>)>,
    /// The last position at which each key changed.
    changed: HashMap<Key, u64>,
}

impl Model {
    /// A model of what `engine`, which nobody else uses, holds at `position`.
    pub(crate) fn new(mut engine: Engine, position: u64) -> Self {
        engine.ks.expire_mode = ExpireMode::Frozen;
        engine.ks.effects.recording = false;
        engine.log = None;
        let client = engine.replay_client();
        let history = vec![(position, Rc::new(state_of(&engine.ks)))];
        Self { engine, client, scratch: Reply::new(false), history, changed: HashMap::new() }
    }

    /// Replays a unit that ends at `position`.
    pub(crate) fn apply(&mut self, position: Position, unit: &UnitBuffer) -> Result<(), String> {
        for (db, record) in unit.records() {
            if let Some(client) = self.engine.sessions.client_mut(self.client) {
                client.db = db as usize;
            }
            let mut batch = Batch::default();
            let limits = DecodeLimits { bulk_bytes_max: 1 << 29, authenticated: true };
            let (used, outcome) = Decoder::default().decode(record, limits, &mut batch);
            let text = String::from_utf8_lossy(record);
            if outcome.is_err() || used != record.len() || batch.len() != 1 {
                return Err(format!("a record is not one request: {text:?}"));
            }
            let args = batch.request(0, record).unwrap();
            let done = self.engine.replay(self.client, &args, &mut self.scratch);
            done.map_err(|error| format!("{text:?} cannot be replayed: {error:?}"))?;
        }
        let state = state_of(&self.engine.ks);
        let before = self.latest();
        let keys = state.keys().chain(before.keys());
        let changed = keys.filter(|key| state.get(*key) != before.get(*key));
        self.changed.extend(changed.map(|key| (key.clone(), position.0)));
        let state = if state == *before { before } else { Rc::new(state) };
        self.history.push((position.0, state));
        Ok(())
    }

    pub(crate) fn latest(&self) -> Rc<State> {
        Rc::clone(&self.history.last().unwrap().1)
    }

    /// Where a key changed last; 0 if it never did.
    pub(crate) fn changed_at(&self, key: &Key) -> u64 {
        self.changed.get(key).copied().unwrap_or(0)
    }

    /// The newest change of all.
    pub(crate) fn changed_last(&self) -> u64 {
        self.changed.values().copied().max().unwrap_or(0)
    }

    /// The ends of units on both sides of a position, for a report.
    pub(crate) fn around(&self, position: u64) -> (Option<u64>, Option<u64>) {
        let index = self.history.partition_point(|(at, _)| *at < position);
        let end = |index: usize| self.history.get(index).map(|(at, _)| *at);
        (index.checked_sub(1).and_then(end), end(index))
    }

    /// The state at a position, if a unit ends there.
    pub(crate) fn at(&self, position: u64) -> Option<&State> {
        let index = self.history.binary_search_by_key(&position, |(at, _)| *at).ok()?;
        Some(&self.history[index].1)
    }
}

/// An engine on its own.
pub(crate) fn engine_of(
    config: &fastness::config::Config,
    clock: &Arc<dyn Clock>,
    disk: fastness::disk::SharedDisk,
    seed: u64,
) -> Engine {
    let state = fastness::cli::serve::server_state(config.clone(), String::new(), clock);
    let logger = Logger::silent(Arc::clone(clock));
    let rng = fastness::rng::SeededRng::new(seed);
    let mut engine = Engine::new(state, Arc::clone(clock), disk, rng, logger);
    // So that a snapshot of little data has several frames, each written by itself.
    engine.persist.section_bytes = 512;
    engine
}
