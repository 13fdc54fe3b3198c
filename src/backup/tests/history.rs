//! Random histories with times, backups in between, restores to random instants.

use std::sync::Arc;

use super::{START, World, digest_of, digest_of_restored, repository};
use crate::backup::BackupError;
use crate::backup::cut::Target;
use crate::backup::plan::plan;
use crate::backup::store::memory::MemoryStore;
use crate::clock::Clock as _;
use crate::rng::Rng as _;

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
        let oldest = bases.map(|backup| match &backup.base {
            Some(base) => base.first_time.unwrap() + 999,
            None => backup.segments.iter().find_map(|file| file.first_time).unwrap(),
        });
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
                    assert!(instant < oldest, "seed {seed}: {instant} is refused");
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
