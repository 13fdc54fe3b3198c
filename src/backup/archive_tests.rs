//! The archive: random histories with restarts and rewrites, restores to random instants; stores that fail.

use std::sync::Arc;

use super::archive::ship::{Archiver, Step};
use super::cut::Target;
use super::plan::plan;
use super::prune::{Retention, prune};
use super::repository::Repository;
use super::restore::to_directory;
use super::store::Store;
use super::store::memory::{Fault, MemoryStore};
use super::tests::{
    START, World, digest_of, digest_of_restored, engine_on, repository, with_fault,
};
use super::verify::verify;
use super::{BackupError, source};
use crate::aof::log::Kept;
use crate::clock::Clock as _;
use crate::disk::sim::{CrashMode, SimDisk};
use crate::rng::Rng as _;

const ROOM: u64 = 1 << 30;

/// A server whose log is archived.
struct Archive {
    world: World,
    store: Arc<MemoryStore>,
    archiver: Archiver,
}

fn archiver(world: &World, store: &Arc<MemoryStore>) -> Archiver {
    archiver_in(world, Arc::<MemoryStore>::clone(store))
}

fn archiver_in(world: &World, store: Arc<dyn Store>) -> Archiver {
    let log = world.engine.log.as_ref().unwrap();
    let disk = Arc::new(world.disk.clone());
    // The repository is there; opening it is no part of what is tested.
    let repository = Repository::open_or_make(store, "00000000000000000000000000000001").unwrap();
    Archiver::new(repository, disk, log.files().clone(), "here")
}

impl Archive {
    fn new(seed: u64) -> Self {
        let (world, store) = (World::new(seed), Arc::new(MemoryStore::new()));
        let archiver = archiver(&world, &store);
        Self { world, store, archiver }
    }

    /// What the server's thread does in one round.
    fn step(&mut self, room: u64) -> Result<(), BackupError> {
        let log = self.world.engine.log.clone().unwrap();
        loop {
            let Step { more, keep_from, base, rewrite_wanted } =
                self.archiver.step(&log.manifest(), log.synced().0)?;
            log.keep(Kept { from_seq: keep_from, bytes_max: room });
            if let Some(job) = base {
                let random = format!("{:08x}", self.world.rng.next_u64() & 0xffff_ffff);
                let made = job.run(&self.world.disk, self.world.clock.as_ref(), &random)?;
                self.archiver.base_sent(job.id(), made.is_some());
            }
            if rewrite_wanted {
                self.rewrite();
            } else if !more {
                return Ok(());
            }
        }
    }

    /// A power loss, and a start after it.
    fn restart(&mut self) {
        let seed = self.world.rng.next_u64();
        let mode = CrashMode::ALL[self.world.rng.index(CrashMode::ALL.len())];
        let synced = self.world.engine.log.as_ref().unwrap().synced().0;
        self.world.disk = self.world.disk.crash(mode, &mut self.world.rng.clone());
        let clock = Arc::clone(&self.world.clock);
        self.world.engine = engine_on(&self.world.disk, &clock, seed);
        self.world.client = self.world.engine.replay_client();
        self.world.at_position.retain(|(at, _)| *at <= synced);
        self.archiver = archiver(&self.world, &self.store);
    }

    fn rewrite(&mut self) {
        self.world.engine.begin_batch();
        self.world.engine.rewrite_now().unwrap();
    }

    fn some_writes(&mut self) {
        for _ in 0..=self.world.rng.below(4) {
            self.world.random_command();
        }
        self.world.write();
    }

    fn newest(&self) -> Result<String, BackupError> {
        digest_of_restored(&repository(&self.store), &Target::Latest)
    }
}

#[test]
fn every_archived_instant_comes_back_through_restarts_rewrites_and_a_store_that_is_away() {
    let (mut restored, mut refused, mut extended) = (0, 0, 0);
    for seed in 100..112 {
        let mut archive = Archive::new(seed);
        archive.step(ROOM).unwrap();
        for step in 0..100 {
            archive.some_writes();
            let chance = archive.world.rng.below(100);
            match chance {
                0..=4 => archive.rewrite(),
                5..=9 => archive.restart(),
                // An ordinary backup in between, of the same log.
                10..=12 => drop(archive.world.back_up(&repository(&archive.store)).unwrap()),
                // The store is away for a while.
                13..=30 => continue,
                31..=40 => {
                    let at = archive.world.rng.below(6);
                    let fault =
                        [Fault::Fails, Fault::AnswerLost, Fault::Truncates, Fault::StaleList];
                    let fault = fault[archive.world.rng.index(4)];
                    archive.store.fail_at(at, fault);
                    let _ = archive.step(ROOM);
                    archive.store.heal();
                    continue;
                }
                _ => {}
            }
            archive.step(ROOM).unwrap();
            if step % 20 == 19 {
                let newest = archive.newest().unwrap();
                assert_eq!(newest, digest_of(&archive.world.engine), "seed {seed}, step {step}");
            }
        }
        archive.step(ROOM).unwrap();
        assert_eq!(archive.archiver.figures.gaps, 0, "seed {seed}");
        let repository = repository(&archive.store);
        let newest = archive.world.at_time.last().unwrap().0;
        assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine), "seed {seed}");
        for _ in 0..10 {
            let span = (newest + 500 - START).unsigned_abs();
            let instant = START + archive.world.rng.below(span).cast_signed();
            match plan(&repository, None, &Target::Time(instant)) {
                Ok(plan) => {
                    extended += u64::from(!plan.whole);
                    let reach = plan.manifest.instant.unwrap_or(i64::MAX).min(instant);
                    let found = digest_of_restored(&repository, &Target::Time(instant)).unwrap();
                    assert!(reach == instant || instant > newest, "all of it is archived");
                    assert_eq!(found, archive.world.state_at(instant), "seed {seed}, {instant}");
                    restored += 1;
                }
                Err(BackupError::Refused { .. }) => refused += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
            let index = archive.world.rng.index(archive.world.at_position.len());
            let (position, expected) = archive.world.at_position[index].clone();
            let found = digest_of_restored(&repository, &Target::Position(position)).unwrap();
            assert_eq!(found, expected, "seed {seed}, position {position}");
        }
        let verified = verify(&repository, None, true, 1, &|_, _| {}).unwrap();
        assert_eq!(verified.damage, [], "seed {seed}");
    }
    assert!(restored > 90 && extended > 40, "{restored} restored, {refused} refused, {extended}");
}

#[test]
fn a_backup_whose_last_segment_is_empty_is_gone_on_from() {
    let mut archive = Archive::new(1);
    for restart_before in [false, true] {
        archive.world.run(&["SET", "a", "1"]);
        archive.world.write();
        archive.rewrite();
        // The segment behind the base has no content yet; a start would leave it out.
        archive.world.back_up(&repository(&archive.store)).unwrap();
        if restart_before {
            archive.restart();
        }
        archive.world.run(&["SET", "b", "2"]);
        archive.world.write();
        archive.step(ROOM).unwrap();
        assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine));
        archive.restart();
        archive.step(ROOM).unwrap();
        archive.world.run(&["INCR", "c"]);
        archive.world.write();
        archive.step(ROOM).unwrap();
        assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine));
    }
}

#[test]
fn a_store_that_fails_at_any_operation_of_the_archive_is_made_up_for_by_the_next_step() {
    let lasting = |fault| [(fault, false), (fault, true)];
    for (fault, lasting) in Fault::ALL.into_iter().flat_map(lasting) {
        for at in 0.. {
            let mut archive = Archive::new(9);
            archive.some_writes();
            archive.step(ROOM).unwrap();
            archive.some_writes();
            archive.rewrite();
            archive.some_writes();
            // As the server asks its store: whatever does not answer is given up.
            archive.archiver = archiver_in(&archive.world, with_fault(&archive.store, fault));
            match lasting {
                true => archive.store.fail_from(at, fault),
                false => archive.store.fail_at(at, fault),
            }
            let outcome = archive.step(ROOM);
            let done = archive.store.operations() <= at && outcome.is_ok();
            let case = format!("{fault:?}, lasting {lasting}, at {at}");
            let told = matches!(fault, Fault::Fails | Fault::AnswerLost | Fault::Stalls);
            // A note that stays is nothing to tell.
            assert!(done || !told || outcome.is_err() || !lasting || at > 11, "{case}");
            archive.store.heal();
            archive.archiver = archiver(&archive.world, &archive.store);
            archive.step(ROOM).unwrap();
            assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine), "{case}");
            let verified = verify(&repository(&archive.store), None, true, 1, &|_, _| {}).unwrap();
            assert_eq!(verified.damage, [], "{case}");
            if done {
                assert!(at > 8, "a step has more than {at} operations");
                break;
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_any_piece_is_found_by_verify_and_by_restore() {
    let mut archive = Archive::new(3);
    archive.world.run(&["SET", "a", "1"]);
    archive.world.write();
    archive.step(ROOM).unwrap();
    archive.world.run(&["SET", "b", "2"]);
    archive.world.write();
    archive.step(ROOM).unwrap();
    let repository = repository(&archive.store);
    let mut flipped = 0;
    for name in archive.store.names().into_iter().filter(|name| name.starts_with("archive/")) {
        for at in 0..archive.store.get(&name).unwrap().len() {
            archive.store.damage(&name, |bytes| bytes[at] ^= 16);
            let verified = verify(&repository, None, false, 1, &|_, _| {}).unwrap();
            assert_eq!(verified.damage.len(), 1, "{name} at {at}");
            let plan = plan(&repository, None, &Target::Latest).unwrap();
            let restored = to_directory(&repository, &plan, &SimDisk::new(), 1, &|_, _| {});
            assert!(restored.is_err(), "{name} at {at}");
            archive.store.damage(&name, |bytes| bytes[at] ^= 16);
            flipped += 1;
        }
    }
    assert!(flipped > 200, "{flipped}");
    archive.newest().unwrap();
}

#[test]
fn segments_stay_until_they_are_archived_or_the_limit_is_reached() {
    for room in [ROOM, 0] {
        let mut archive = Archive::new(4);
        archive.some_writes();
        archive.step(room).unwrap();
        // The store is away while the log is rewritten twice.
        for _ in 0..2 {
            archive.world.run(&["SET", "while", "away"]);
            archive.some_writes();
            archive.rewrite();
        }
        archive.some_writes();
        archive.step(room).unwrap();
        assert_eq!(archive.archiver.figures.gaps, u64::from(room == 0));
        assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine));
        let manifest = archive.world.engine.log.as_ref().unwrap().manifest();
        assert_eq!(manifest.history, [], "what is archived goes");
        let missing = digest_of_restored(
            &repository(&archive.store),
            &Target::Position(archive.world.at_position[archive.world.at_position.len() / 2].0),
        );
        assert_eq!(missing.is_err(), room == 0, "what was removed too early is not made up");
    }
}

#[test]
fn pruning_keeps_what_leads_to_every_instant_of_the_window() {
    let day = std::time::Duration::from_secs(86_400);
    let mut archive = Archive::new(5);
    for _ in 0..14 {
        archive.some_writes();
        archive.step(ROOM).unwrap();
        archive.rewrite();
        archive.some_writes();
        archive.step(ROOM).unwrap();
        archive.world.clock.advance(day);
        let repository = repository(&archive.store);
        let retention =
            Retention { within_ms: Some(3 * 86_400_000), weekly: 1, ..Retention::default() };
        let now = archive.world.clock.wall();
        prune(&repository, &retention, now, "00", true).unwrap();
        assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine));
        for (at, _) in archive.world.at_time.iter().skip(1).rev().take(6) {
            if now - at < 3 * 86_400_000 {
                let found = digest_of_restored(&repository, &Target::Time(*at)).unwrap();
                assert_eq!(found, archive.world.state_at(*at));
            }
        }
    }
    let pieces = archive.store.names().iter().filter(|name| name.starts_with("archive/")).count();
    assert!(pieces < 14, "{pieces} pieces of the last days alone");
}

#[test]
fn an_archive_restored_and_gone_on_with_does_not_mix_up_both_logs() {
    let mut archive = Archive::new(6);
    archive.some_writes();
    archive.step(ROOM).unwrap();
    let middle = archive.world.clock.wall();
    archive.world.clock.advance(std::time::Duration::from_secs(5));
    archive.world.run(&["SET", "mistake", "1"]);
    archive.some_writes();
    archive.step(ROOM).unwrap();
    let repository = repository(&archive.store);
    let restored = SimDisk::new();
    let plan = plan(&repository, None, &Target::Time(middle)).unwrap();
    to_directory(&repository, &plan, &restored, 1, &|_, _| {}).unwrap();
    assert!(source::of_directory(&restored).is_ok());
    archive.world.disk = restored;
    let clock = Arc::clone(&archive.world.clock);
    archive.world.engine = engine_on(&archive.world.disk, &clock, 77);
    archive.world.client = archive.world.engine.replay_client();
    archive.archiver = archiver(&archive.world, &archive.store);
    archive.world.run(&["SET", "after", "it"]);
    archive.world.write();
    archive.step(ROOM).unwrap();
    assert_eq!(archive.newest().unwrap(), digest_of(&archive.world.engine));
}
