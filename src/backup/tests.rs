//! Random histories with times, backups in between, restores to random instants; stores that fail.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::BackupError;
use super::create::{CreateOptions, Created, create};
use super::cut::Target;
use super::load::Filter;
use super::manifest::Origin;
use super::plan::plan;
use super::prune::{Retention, prune};
use super::repository::Repository;
use super::restore::{self, to_directory, to_memory};
use super::source::of_directory;
use super::store::Store;
use super::store::memory::{Fault, MemoryStore};
use super::verify::verify;
use crate::clock::{Clock, SimClock, UnixMillis};
use crate::config::Config;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, OpenMode};
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
    recovery::start_up(&live, &logger).unwrap();
    live.into_inner()
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

#[test]
fn every_instant_and_every_position_comes_back_as_it_was() {
    let (mut restored, mut refused) = (0, 0);
    for seed in 0..12 {
        let mut world = World::new(seed);
        let store = Arc::new(MemoryStore::new());
        let repository = repository(&store);
        for step in 0..120 {
            for _ in 0..=world.rng.below(4) {
                world.random_command();
            }
            world.write();
            if world.rng.below(30) == 0 {
                world.engine.begin_batch();
                world.engine.rewrite_now().unwrap();
            }
            if world.rng.below(20) == 0 || step == 119 {
                world.back_up(&repository).unwrap();
            }
        }
        let bases = repository.backups().unwrap();
        let bases = bases.iter().map(|backup| backup.manifest.as_ref().unwrap());
        let oldest =
            bases.map(|backup| backup.base.as_ref().map_or(0, |base| base.first_time.unwrap()));
        let oldest = oldest.min().unwrap();
        let newest = world.at_time.last().unwrap().clone();
        assert_eq!(
            digest_of_restored(&repository, &Target::Latest).unwrap(),
            newest.1,
            "seed {seed}"
        );
        for _ in 0..12 {
            let span = (newest.0 + 500 - START).unsigned_abs();
            let instant = START + world.rng.below(span).cast_signed();
            let target = Target::Time(instant);
            match plan(&repository, None, &target) {
                Ok(plan) => {
                    let reach = plan.manifest.instant.unwrap_or(i64::MAX);
                    assert_eq!(plan.notes.is_empty(), reach >= instant, "{:?}", plan.notes);
                    let expected = world.state_at(instant.min(reach)).to_owned();
                    let found = digest_of_restored(&repository, &target).unwrap();
                    assert_eq!(found, expected, "seed {seed}, {instant}");
                    restored += 1;
                }
                Err(BackupError::Refused { .. }) => {
                    assert!(instant < oldest + 999, "seed {seed}: {instant} is refused");
                    refused += 1;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
            let index = world.rng.index(world.at_position.len());
            let (position, expected) = world.at_position[index].clone();
            match digest_of_restored(&repository, &Target::Position(position)) {
                Ok(found) => {
                    assert_eq!(found, expected, "seed {seed}, position {position}");
                    restored += 1;
                }
                Err(BackupError::Refused { .. }) => refused += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
    assert!(restored > 150, "{restored} restored, {refused} refused");
}

#[test]
fn the_state_before_a_command_is_the_one_before_the_last_or_the_first_after_a_time() {
    let mut world = World::new(3);
    let repository = repository(&Arc::default());
    let mut before = Vec::new();
    for round in 0..3 {
        for n in 0..5 {
            world.run(&["SET", &format!("k{round}{n}"), "v"]);
        }
        world.write();
        before.push((world.clock.wall(), digest_of(&world.engine)));
        world.run(&["SET", "same", "frame"]);
        before.last_mut().unwrap().1 = digest_of(&world.engine);
        world.run(&["FLUSHALL"]);
        world.run(&["SET", "behind", "it"]);
        world.write();
    }
    world.back_up(&repository).unwrap();
    let before_command = |after| Target::Before { command: "flushall".to_owned(), after };
    let found = digest_of_restored(&repository, &before_command(None)).unwrap();
    assert_eq!(found, before[2].1);
    for (at, expected) in &before {
        let found = digest_of_restored(&repository, &before_command(Some(*at))).unwrap();
        assert_eq!(found, *expected);
    }
    let none = plan(&repository, None, &Target::Before { command: "LPOP".to_owned(), after: None });
    assert!(matches!(none, Err(BackupError::Refused { .. })), "{none:?}");
}

#[test]
fn an_unchanged_base_is_sent_once_and_a_longer_log_only_at_its_end() {
    let mut world = World::new(5);
    let repository = repository(&Arc::default());
    for n in 0..200 {
        world.run(&["SET", &format!("key{n}"), "value"]);
    }
    world.write();
    world.engine.rewrite_now().unwrap();
    let first = world.back_up(&repository).unwrap();
    assert!(first.objects_sent > 0);
    let again = world.back_up(&repository).unwrap();
    assert_eq!((again.sent, again.objects_sent), (0, 0), "nothing has changed");
    world.run(&["SET", "one", "more"]);
    world.write();
    let third = world.back_up(&repository).unwrap();
    assert_eq!(third.objects_sent, 1, "only the open segment");
    assert_eq!(third.manifest.base, first.manifest.base);
}

/// After whatever went wrong, every backup that is listed as sound can be restored, and the next one works.
fn sound_after_all(world: &mut World, store: &Arc<MemoryStore>, expected: &[String], case: &str) {
    store.heal();
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
    if let Ok(repository) = Repository::open(shared) {
        for backup in repository.backups().unwrap() {
            let manifest = backup.manifest.unwrap_or_else(|error| panic!("{case}: {error}"));
            let plan = plan(&repository, Some(&manifest.id), &Target::Latest).unwrap();
            let found = to_memory(&repository, &plan, 1, &|_, _| {}).unwrap().digest();
            assert!(expected.contains(&found), "{case}");
        }
    }
    let repository = repository(store);
    world.back_up(&repository).unwrap_or_else(|error| panic!("{case}: {error}"));
    let found = digest_of_restored(&repository, &Target::Latest).unwrap();
    assert_eq!(&found, expected.last().unwrap(), "{case}");
    let verified = verify(&repository, None, true, 1, &|_, _| {}).unwrap();
    assert_eq!(verified.damage, [], "{case}");
}

#[test]
fn a_store_that_fails_at_any_operation_of_a_backup_costs_no_more_than_another_try() {
    for fault in [Fault::Fails, Fault::AnswerLost, Fault::Truncates, Fault::StaleList] {
        for at in 0.. {
            let mut world = World::new(9);
            let store = Arc::new(MemoryStore::new());
            world.run(&["SET", "a", "1"]);
            world.write();
            let first = digest_of(&world.engine);
            world.back_up(&repository(&store)).unwrap();
            world.engine.rewrite_now().unwrap();
            for n in 0..50 {
                world.run(&["SET", &format!("k{n}"), &"v".repeat(n)]);
            }
            world.write();
            let second = digest_of(&world.engine);
            store.fail_at(at, fault);
            let _ = Repository::open(Arc::<MemoryStore>::clone(&store) as Arc<dyn Store>)
                .and_then(|repository| world.back_up(&repository));
            let done = store.operations() <= at;
            let case = format!("{fault:?} at {at}");
            sound_after_all(&mut world, &store, &[first, second], &case);
            if done {
                assert!(at > 8, "a backup has more than {at} operations");
                break;
            }
        }
    }
}

#[test]
fn a_store_that_fails_while_the_repository_is_made_leaves_it_to_be_made() {
    for fault in [Fault::Fails, Fault::AnswerLost, Fault::Truncates] {
        for at in 0..6 {
            let mut world = World::new(2);
            world.run(&["SET", "a", "1"]);
            world.write();
            let expected = digest_of(&world.engine);
            let store = Arc::new(MemoryStore::new());
            store.fail_at(at, fault);
            let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
            let _ = Repository::open_or_make(shared, "01");
            sound_after_all(&mut world, &store, &[expected], &format!("{fault:?} at {at}"));
        }
    }
}

#[test]
fn a_restore_from_a_store_that_fails_or_truncates_says_so_and_goes_on_when_it_is_well() {
    let mut world = World::new(4);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    for n in 0..30 {
        world.run(&["SET", &format!("k{n}"), "v"]);
    }
    world.write();
    world.engine.rewrite_now().unwrap();
    world.run(&["SET", "last", "one"]);
    world.write();
    let expected = digest_of(&world.engine);
    world.back_up(&repository).unwrap();
    for fault in [Fault::Fails, Fault::Truncates] {
        let mut failed = 0;
        for at in 0.. {
            let disk = SimDisk::new();
            let restore = |disk: &SimDisk| -> Result<(), BackupError> {
                let plan = plan(&repository, None, &Target::Latest)?;
                to_directory(&repository, &plan, disk, 1, &|_, _| {}).map(drop)
            };
            store.fail_at(at, fault);
            let outcome = restore(&disk);
            if store.operations() <= at {
                assert!(outcome.is_ok());
                assert!(failed >= 4, "lists, manifest, base, segment: {failed}");
                break;
            }
            store.heal();
            // In the same directory: what was whole is kept, the rest is written again. (Half of the list of an
            // archive that has nothing is no failure.)
            if outcome.is_err() {
                failed += 1;
                restore(&disk).unwrap();
            }
            let engine = engine_on(&disk, &Arc::new(SimClock::at(START + 1_000_000)), 1);
            assert_eq!(digest_of(&engine), expected, "{fault:?} at {at}");
        }
    }
}

#[test]
fn a_flipped_byte_in_any_object_is_found_by_verify_and_by_restore() {
    let mut world = World::new(6);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    for n in 0..40 {
        world.run(&["SET", &format!("k{n}"), "some value"]);
    }
    world.write();
    world.engine.rewrite_now().unwrap();
    world.run(&["RPUSH", "list", "a", "b"]);
    world.write();
    world.back_up(&repository).unwrap();
    let mut flipped = 0;
    for name in store.names() {
        let len = store.get(&name).unwrap().len();
        for at in (0..len).step_by(1 + len / 60) {
            store.damage(&name, |bytes| bytes[at] ^= 4);
            let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
            let case = format!("{name} at {at}");
            let found = Repository::open(shared).and_then(|repository| {
                let verified = verify(&repository, None, false, 1, &|_, _| {})?;
                assert_eq!(verified.damage.len(), 1, "{case}");
                let plan = plan(&repository, None, &Target::Latest)?;
                to_directory(&repository, &plan, &SimDisk::new(), 1, &|_, _| {}).map(drop)
            });
            assert!(found.is_err(), "{case}");
            store.damage(&name, |bytes| bytes[at] ^= 4);
            flipped += 1;
        }
    }
    assert!(flipped > 150, "{flipped}");
    digest_of_restored(&repository, &Target::Latest).unwrap();
}

#[test]
fn recheck_replaces_what_is_damaged() {
    let mut world = World::new(8);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    world.run(&["SET", "a", "some value"]);
    world.write();
    world.back_up(&repository).unwrap();
    for name in store.names().iter().filter(|name| name.starts_with("objects/")) {
        store.damage(name, |bytes| bytes[20] ^= 1);
    }
    world.back_up(&repository).unwrap();
    assert_ne!(verify(&repository, None, false, 1, &|_, _| {}).unwrap().damage, []);
    let options = CreateOptions { recheck: true, threads: 1, ..CreateOptions::default() };
    let source = of_directory(&world.disk).unwrap();
    let clock = world.clock.as_ref();
    create(&repository, &source, Origin::default(), options, clock, "x", &|_, _| {}).unwrap();
    assert_eq!(verify(&repository, None, true, 1, &|_, _| {}).unwrap().damage, []);
}

#[test]
fn a_directory_with_something_in_it_is_refused_and_stays_as_it_is() {
    let mut world = World::new(1);
    let repository = repository(&Arc::default());
    world.run(&["SET", "a", "1"]);
    world.write();
    world.back_up(&repository).unwrap();
    let disk = SimDisk::new();
    disk.open("mine", OpenMode::CreateOrTruncate).unwrap();
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    let refused = to_directory(&repository, &plan, &disk, 1, &|_, _| {});
    assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
    assert_eq!(disk.list("").unwrap(), ["mine"]);
}

#[test]
fn filters_take_the_keys_and_databases_that_are_asked_for() {
    let mut world = World::new(1);
    let repository = repository(&Arc::default());
    for db in ["0", "1"] {
        world.run(&["SELECT", db]);
        world.run(&["MSET", "user:1", "a", "user:2", "b", "other", "c"]);
    }
    world.write();
    world.back_up(&repository).unwrap();
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    for (patterns, databases, expected) in [
        (vec![b"user:*".to_vec()], vec![], 4),
        (vec![b"user:*".to_vec()], vec![1], 2),
        (vec![b"other".to_vec(), b"user:1".to_vec()], vec![0], 2),
        (vec![], vec![], 6),
    ] {
        let mut loaded = to_memory(&repository, &plan, 1, &|_, _| {}).unwrap();
        let disk = SimDisk::new();
        let filter = Filter { patterns, databases };
        let restored = restore::to_rdb(&mut loaded, &filter, &disk, "out.rdb").unwrap();
        assert_eq!(restored.keys, Some(expected), "{filter:?}");
        assert_eq!(disk.list("").unwrap(), ["out.rdb"]);
        assert!(restore::to_rdb(&mut loaded, &filter, &disk, "out.rdb").is_err(), "it is there");
    }
}

#[test]
fn a_week_of_backups_and_pruning_never_breaks_what_is_kept() {
    let mut world = World::new(11);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    let mut states = std::collections::BTreeMap::new();
    for hour in 0..(7 * 12) {
        for _ in 0..3 {
            world.random_command();
        }
        world.write();
        if hour % 9 == 4 {
            world.engine.begin_batch();
            world.engine.rewrite_now().unwrap();
        }
        let created = world.back_up(&repository).unwrap();
        states.insert(created.manifest.id, digest_of(&world.engine));
        world.clock.advance(Duration::from_secs(7200));
        if hour % 12 == 11 {
            let retention = Retention { last: 3, daily: 4, weekly: 2, ..Retention::default() };
            let now = world.clock.wall();
            let planned = prune(&repository, &retention, now, "p", false).unwrap();
            assert_eq!(repository.ids().unwrap().len(), planned.kept.len() + planned.removed.len());
            // A failure on the way leaves every backup that is still listed whole.
            store.fail_at(world.rng.below(30), Fault::Fails);
            let _ = prune(&repository, &retention, now, "q", true);
            store.heal();
            let pruned = prune(&repository, &retention, now, "r", true).unwrap();
            let kept: Vec<String> = pruned.kept.into_iter().map(|(id, _)| id).collect();
            assert_eq!(repository.ids().unwrap(), kept);
            for id in &kept {
                let plan = plan(&repository, Some(id), &Target::Latest).unwrap();
                let found = to_memory(&repository, &plan, 1, &|_, _| {}).unwrap().digest();
                assert_eq!(found, states[id], "{id}");
            }
            let verified = verify(&repository, None, false, 1, &|_, _| {}).unwrap();
            assert_eq!((verified.damage.len(), verified.unnamed), (0, 0));
        }
    }
    assert!(repository.ids().unwrap().len() < 12);
}

/// An identity file and its recipient.
fn key() -> (String, String) {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    (identity.to_string().expose_secret().to_owned(), identity.to_public().to_string())
}

#[test]
fn an_encrypted_repository_is_made_and_looked_after_without_the_key_and_read_with_it_alone() {
    let mut world = World::new(21);
    let store = Arc::new(MemoryStore::new());
    let (identity, recipient) = key();
    let sealed = repository(&store).sealed_for(std::slice::from_ref(&recipient)).unwrap();
    for n in 0..50 {
        world.run(&["SET", &format!("k{n}"), "a value that nobody may see"]);
    }
    world.write();
    world.engine.rewrite_now().unwrap();
    world.run(&["SET", "last", "a value that nobody may see"]);
    world.write();
    let first = world.back_up(&sealed).unwrap();
    // As another process finds it.
    let found = repository(&store);
    assert_eq!(found.recipients(), [recipient]);
    let again = world.back_up(&found).unwrap();
    assert!(first.objects_sent > 1 && again.objects_sent == 0, "what is there is not sent again");
    for name in store.names() {
        let bytes = store.get(&name).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"nobody"), "{name}");
    }
    assert_eq!(verify(&found, None, false, 1, &|_, _| {}).unwrap().damage, []);
    let plan = plan(&found, None, &Target::Latest).unwrap();
    let refused = to_memory(&found, &plan, 1, &|_, _| {}).map(drop);
    assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
    let wrong = found.clone().opened_with(&[key().0]).unwrap();
    assert!(to_memory(&wrong, &plan, 1, &|_, _| {}).is_err());
    let opened = found.clone().opened_with(&[identity]).unwrap();
    let digest = to_memory(&opened, &plan, 1, &|_, _| {}).unwrap().digest();
    assert_eq!(digest, digest_of(&world.engine));
    assert_eq!(verify(&opened, None, true, 1, &|_, _| {}).unwrap().damage, []);
    for name in store.names().into_iter().filter(|name| name.starts_with("objects/")) {
        for at in (0..store.get(&name).unwrap().len()).step_by(7) {
            store.damage(&name, |bytes| bytes[at] ^= 1);
            for reader in [&found, &opened] {
                let verified = verify(reader, None, false, 1, &|_, _| {}).unwrap();
                assert_eq!(verified.damage.len(), 1, "{name} at {at}");
            }
            store.damage(&name, |bytes| bytes[at] ^= 1);
        }
    }
    let other = repository(&store).sealed_for(&[key().1]);
    assert!(matches!(other, Err(BackupError::Refused { .. })), "made for others");
}

#[test]
fn a_repository_that_has_something_is_not_encrypted_afterwards() {
    let mut world = World::new(22);
    let store = Arc::new(MemoryStore::new());
    world.run(&["SET", "a", "1"]);
    world.write();
    world.back_up(&repository(&store)).unwrap();
    let sealed = repository(&store).sealed_for(&[key().1]);
    assert!(matches!(sealed, Err(BackupError::Refused { .. })), "{sealed:?}");
}

#[test]
fn the_vectors_are_read_as_they_are_described() {
    // Three parts; and a base, a beginning, two pieces that are needed.
    for (name, objects) in [("backup", 3), ("backup-archive", 4), ("backup-sealed", 1)] {
        read_vector(name, objects);
    }
}

fn read_vector(name: &str, objects: u64) {
    let vectors = format!("{}/format-spec/vectors", env!("CARGO_MANIFEST_DIR"));
    let disk = Arc::new(crate::disk::os::OsDisk::new(&vectors));
    let store = super::store::open(name, disk).unwrap();
    let identity = std::path::Path::new(&vectors).join(format!("{name}.identity"));
    #[allow(clippy::disallowed_methods, reason = "a test reads its vectors")]
    let identities = std::fs::read_to_string(identity).into_iter().collect::<Vec<_>>();
    let repository = Repository::open(store).unwrap().opened_with(&identities).unwrap();
    let verified = verify(&repository, None, true, 1, &|_, _| {}).unwrap();
    assert_eq!((verified.damage.len(), verified.objects, verified.unnamed), (0, objects, 0));
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    let mut text = format!("backup {}\n", plan.manifest.id);
    for file in plan.manifest.files() {
        let parts = file.parts.len();
        text.push_str(&format!("file {} size={} parts={parts}\n", file.name, file.size));
    }
    let loaded = to_memory(&repository, &plan, 1, &|_, _| {}).unwrap();
    if let Some(position) = plan.position {
        text.push_str(&format!("position {position}\n"));
    }
    text.push_str(&format!("keys {}\n", loaded.keys()));
    text.push_str(&format!("digest {}\n", loaded.digest()));
    let expected = std::path::Path::new(&vectors).join(format!("{name}.txt"));
    #[allow(clippy::disallowed_methods, reason = "a test reads its vectors")]
    let expected = std::fs::read_to_string(expected).unwrap();
    assert_eq!(text, expected);
}
