//! A week of backups, of an archive and of pruning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{World, digest_of, digest_of_restored, repository};
use crate::aof::log::Kept;
use crate::backup::BackupError;
use crate::backup::archive::ship::{Archiver, Step};
use crate::backup::cut::Target;
use crate::backup::plan::plan;
use crate::backup::prune::{Retention, prune};
use crate::backup::restore::to_memory;
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::verify::verify;
use crate::clock::Clock as _;
use crate::rng::Rng as _;

#[test]
fn a_week_of_backups_and_pruning_never_breaks_what_is_kept() {
    let mut world = World::new(11);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    let mut states = BTreeMap::new();
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

#[test]
fn a_week_of_an_archive_backups_and_pruning_through_faults_keeps_every_moment_of_the_window() {
    const DAY_MS: i64 = 86_400_000;
    let (mut restored, mut faults) = (0, 0);
    for seed in 60..63 {
        let mut world = World::new(seed);
        let store = Arc::new(MemoryStore::new());
        let mut archiver = archiver(&world, &store);
        let repository = repository(&store);
        for hour in 0..7 * 24 {
            for _ in 0..2 {
                world.random_command();
                world.write();
            }
            // Whatever is done, the store may fail at some operation of it.
            let strike = world.rng.below(3) == 0;
            let fault = [Fault::Fails, Fault::AnswerLost, Fault::Truncates, Fault::StaleList];
            let fault = fault[world.rng.index(4)];
            let at = world.rng.below(25);
            let mut shaken = |work: &mut dyn FnMut() -> bool| {
                if strike {
                    store.fail_at(at, fault);
                    faults += u64::from(!work());
                    store.heal();
                }
                assert!(work(), "seed {seed}, hour {hour}");
            };
            shaken(&mut || archive(&mut world, &mut archiver).is_ok());
            if hour % 4 == 1 {
                shaken(&mut || world.back_up(&repository).is_ok());
            }
            if hour % 11 == 7 {
                world.engine.begin_batch();
                world.engine.rewrite_now().unwrap();
            }
            if hour % 24 == 23 {
                let retention = Retention {
                    last: 2,
                    daily: 4,
                    within_ms: Some(2 * DAY_MS),
                    ..Retention::default()
                };
                let now = world.clock.wall();
                let random = format!("{seed}{hour}");
                shaken(&mut || match prune(&repository, &retention, now, &random, true) {
                    // A backup of which nobody knows whether it was stored; tomorrow nobody waits for it.
                    Err(BackupError::Refused { why, .. }) => why.contains("create is under way"),
                    other => other.is_ok(),
                });
                for _ in 0..8 {
                    let back = world.rng.below(2 * DAY_MS.unsigned_abs()).cast_signed();
                    let instant = (now - back).max(super::START + 5_000_000);
                    let expected = world.state_at(instant).to_owned();
                    let found = digest_of_restored(&repository, &Target::Time(instant)).unwrap();
                    assert_eq!(found, expected, "seed {seed}, hour {hour}, {instant}");
                    restored += 1;
                }
                let verified = verify(&repository, None, true, 1, &|_, _| {}).unwrap();
                assert_eq!(verified.damage, [], "seed {seed}, hour {hour}");
            }
            world.clock.advance(Duration::from_secs(3500));
        }
        archive(&mut world, &mut archiver).unwrap();
        let found = digest_of_restored(&repository, &Target::Latest).unwrap();
        assert_eq!(found, digest_of(&world.engine), "seed {seed}");
        let left = repository.ids().unwrap().len();
        assert!(left < 35, "{left} backups are left");
    }
    assert!(restored == 3 * 7 * 8 && faults > 8, "{restored} {faults}");
}

fn archiver(world: &World, store: &Arc<MemoryStore>) -> Archiver {
    let (log, disk) = (world.engine.log.as_ref().unwrap(), Arc::new(world.disk.clone()));
    Archiver::new(repository(store), disk, log.files().clone(), "here")
}

/// What the server's thread does in one round.
fn archive(world: &mut World, archiver: &mut Archiver) -> Result<(), BackupError> {
    let log = world.engine.log.clone().unwrap();
    loop {
        let Step { more, base, keep_from, .. } = archiver.step(&log.manifest(), log.synced().0)?;
        log.keep(Kept { from_seq: keep_from, bytes_max: 1 << 30 });
        if let Some(job) = base {
            let random = format!("{:08x}", world.rng.next_u64() & 0xffff_ffff);
            let made = job.run(&world.disk, world.clock.as_ref(), &random)?;
            archiver.base_sent(job.id(), made.is_some());
        }
        if !more {
            return Ok(());
        }
    }
}
