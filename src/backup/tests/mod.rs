//! What the tests of backups share: a server on a simulated disk, and repositories in memory.

mod at_once;
mod branches;
mod damage;
mod faults;
mod files;
mod history;
mod interrupted;
mod keys;
mod lineage;
mod mixed;
mod owners;
mod places;
mod sealed;
mod week;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::BackupError;
use super::create::{CreateOptions, Created, create};
use super::cut::Target;
use super::manifest::Origin;
use super::plan::plan;
use super::repository::Repository;
use super::restore::{to_directory, to_memory};
use super::source::of_directory;
use super::store::Store;
use super::store::memory::{Fault, MemoryStore};
use super::store::patient::{Patience, Patient};
use crate::clock::{Clock, SimClock, SystemClock, UnixMillis};
use crate::config::Config;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::engine::start::server_state;
use crate::keyspace::digest;
use crate::logger::Logger;
use crate::recovery;
use crate::resp::{OwnedArgs, Reply};
use crate::rng::{Rng, SeededRng};
use crate::session::ClientId;

pub(super) const START: UnixMillis = 1_795_305_600_000;

/// A server on a simulated disk, and the digests of its states.
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<SimClock>,
    pub(super) engine: Engine,
    pub(super) client: ClientId,
    pub(super) rng: SeededRng,
    /// The state behind each position at which a unit ended.
    pub(super) at_position: Vec<(u64, String)>,
    /// Time and state of each write of the log; a frame has the time of the write.
    pub(super) at_time: Vec<(UnixMillis, String)>,
}

pub(super) fn engine_on(disk: &SimDisk, clock: &Arc<SimClock>, seed: u64) -> Engine {
    try_engine_on(disk, clock, seed).unwrap()
}

pub(super) fn try_engine_on(
    disk: &SimDisk,
    clock: &Arc<SimClock>,
    seed: u64,
) -> Result<Engine, recovery::LoadError> {
    let mut config = Config::default();
    config.databases = 4;
    config.dir = String::new();
    config.save.clear();
    // A start removes no segment that the archive may need.
    config.archive = "named".to_owned();
    config.auto_aof_rewrite_percentage = 0;
    let shared: Arc<dyn Clock> = Arc::<SimClock>::clone(clock);
    let logger = Logger::silent(Arc::clone(&shared));
    let state = server_state(config, String::new(), &shared);
    let disk = Arc::new(disk.clone());
    let engine = Engine::new(state, shared, disk, SeededRng::new(seed), logger.clone());
    let live = Mutex::new(engine);
    recovery::start_up(&live, &logger)?;
    Ok(live.into_inner())
}

pub(super) fn digest_of(engine: &Engine) -> String {
    digest::hex(&digest::dataset(&engine.ks))
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        let clock = Arc::new(SimClock::at(START));
        let mut engine = engine_on(&disk, &clock, seed);
        let client = engine.replay_client();
        let empty = digest_of(&engine);
        Self {
            disk,
            clock,
            engine,
            client,
            rng: SeededRng::new(seed),
            at_position: vec![(0, empty.clone())],
            at_time: vec![(0, empty)],
        }
    }

    pub(super) fn run(&mut self, words: &[&str]) {
        self.engine.begin_batch();
        let args = OwnedArgs::from_slices(words.iter().map(|word| word.as_bytes()));
        self.engine.execute(self.client, &args.as_args(), &mut Reply::new(false));
        let appended = self.engine.log.as_ref().unwrap().appended().0;
        if self.at_position.last().is_none_or(|(at, _)| *at != appended) {
            self.at_position.push((appended, digest_of(&self.engine)));
        }
    }

    pub(super) fn random_command(&mut self) {
        let key = format!("key{}", self.rng.below(12));
        let value = format!("v{}", self.rng.next_u64() % 1000);
        let db = self.rng.below(3).to_string();
        match self.rng.below(14) {
            0 => self.run(&["SELECT", &db]),
            1 => self.run(&["DEL", &key]),
            2 => self.run(&["INCR", "counter"]),
            3 => self.run(&["RPUSH", &format!("l{key}"), &value]),
            4 => self.run(&["SADD", &format!("s{key}"), &value]),
            5 => self.run(&["ZADD", &format!("z{key}"), "1.5", &value]),
            6 => self.run(&["HSET", &format!("h{key}"), &value, &value]),
            7 => self.run(&["PEXPIRE", &key, "900"]),
            8 => self.run(&["XADD", "x", "*", "f", &value]),
            9 if self.rng.below(6) == 0 => self.run(&["FLUSHALL"]),
            10 => {
                for words in [&["MULTI"][..], &["SET", &key, "t"], &["INCR", "counter"], &["EXEC"]]
                {
                    self.run(words);
                }
            }
            _ => self.run(&["SET", &key, &value]),
        }
    }

    /// Writes the log; several commands share a frame.
    pub(super) fn write(&mut self) {
        let log = self.engine.log.clone().unwrap();
        let before = log.written();
        log.write().unwrap();
        log.sync().unwrap();
        if log.written() != before {
            self.at_time.push((self.clock.wall(), digest_of(&self.engine)));
        }
        let ms = self.rng.below(700);
        self.clock.advance(Duration::from_millis(ms));
    }

    pub(super) fn state_at(&self, instant: UnixMillis) -> &str {
        &self.at_time.iter().rev().find(|(at, _)| *at <= instant).unwrap().1
    }

    pub(super) fn back_up(&mut self, repository: &Repository) -> Result<Created, BackupError> {
        let source = of_directory(&self.disk)?;
        let random = format!("{:08x}", self.rng.next_u64() & 0xffff_ffff);
        let digest = self.rng.below(2) == 0;
        let options = CreateOptions { threads: 1, digest, ..CreateOptions::default() };
        let origin = Origin { kind: "directory".to_owned(), ..Origin::default() };
        // Names begin with the second, and are listed in their order.
        self.clock.advance(Duration::from_secs(1));
        create(repository, &source, origin, options, self.clock.as_ref(), &random, &|_, _| {})
    }
}

pub(super) fn repository(store: &Arc<MemoryStore>) -> Repository {
    let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
    Repository::open_or_make(store, "00000000000000000000000000000001").unwrap()
}

/// A store that has this fault; one that stalls as the program uses it, except that it has little patience.
pub(super) fn with_fault(store: &Arc<MemoryStore>, fault: Fault) -> Arc<dyn Store> {
    let patience =
        Patience { answer_within: Duration::from_millis(120), retry_for: Duration::ZERO };
    let inner = Arc::<MemoryStore>::clone(store);
    if fault != Fault::Stalls {
        return inner;
    }
    Arc::new(Patient::new(inner, Arc::new(SystemClock::new()), patience))
}

/// Restores to a directory, starts on it, and says what is there.
pub(super) fn digest_of_restored(
    repository: &Repository,
    target: &Target,
) -> Result<String, BackupError> {
    let plan = plan(repository, None, target)?;
    let disk = SimDisk::new();
    to_directory(repository, &plan, &disk, 1, &|_, _| {})?;
    let engine = engine_on(&disk, &Arc::new(SimClock::at(START + 86_400_000)), 7);
    assert_eq!(
        digest_of(&engine),
        to_memory(repository, &plan, 1, &|_, _| {})?.digest(),
        "loaded from memory and from the directory"
    );
    Ok(digest_of(&engine))
}

/// An identity file and its recipient.
pub(super) fn key_pair() -> (String, String) {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    (identity.to_string().expose_secret().to_owned(), identity.to_public().to_string())
}
