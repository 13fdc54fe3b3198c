//! A data directory, or what BACKUP left, restored as it is: without a repository.

use super::{START, World, digest_of, digest_of_restored, engine_on};
use crate::backup::BackupError;
use crate::backup::cut::Target;
use crate::backup::files;
use crate::backup::manifest::Origin;
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::to_directory;
use crate::backup::source::{is_data, of_directory};
use crate::clock::SimClock;
use crate::disk::sim::{self, SimDisk};
use crate::disk::{Disk as _, OpenMode};
use std::sync::Arc;

fn of(disk: &SimDisk) -> Result<Repository, BackupError> {
    files::repository(of_directory(disk)?, Origin::default(), "/data")
}

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    for round in 0..40 {
        for _ in 0..3 {
            world.random_command();
        }
        world.write();
        if round == 20 {
            world.engine.rewrite_now().unwrap();
            world.write();
        }
    }
    world
}

#[test]
fn a_data_directory_comes_back_as_it_was_at_every_position_and_instant_of_its_log() {
    for seed in [3, 4] {
        let world = world(seed);
        assert!(is_data(&world.disk) && !is_data(&SimDisk::new()));
        let repository = of(&world.disk).unwrap();
        let latest = digest_of_restored(&repository, &Target::Latest).unwrap();
        assert_eq!(latest, digest_of(&world.engine));
        let whole = plan(&repository, None, &Target::Latest).unwrap();
        assert!(files::are(&whole.manifest) && whole.files.len() >= 2);
        let start = whole.manifest.base.as_ref().and_then(|base| base.position).unwrap();
        let mut looked = 0;
        for (position, digest) in world.at_position.iter().filter(|(at, _)| *at >= start) {
            let found = digest_of_restored(&repository, &Target::Position(*position)).unwrap();
            assert_eq!(found, *digest, "seed {seed}, position {position}");
            looked += 1;
        }
        assert!(looked > 20, "{looked}");
        let (instant, digest) = world.at_time.iter().rev().nth(5).unwrap();
        assert_eq!(digest_of_restored(&repository, &Target::Time(*instant)).unwrap(), *digest);
    }
}

#[test]
fn a_restore_of_files_that_was_cut_short_goes_on_and_damaged_ones_are_refused() {
    let world = world(5);
    let repository = of(&world.disk).unwrap();
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    let disk = SimDisk::new();
    disk.fail_at(14, sim::Fault::Eio);
    to_directory(&repository, &plan, &disk, 1, &|_, _| {}).unwrap_err();
    assert!(of_directory(&disk).unwrap_err().to_string().contains("has not been finished"));
    // A second run opens the files anew.
    to_directory(&of(&world.disk).unwrap(), &plan, &disk, 1, &|_, _| {}).unwrap();
    let engine = engine_on(&disk, &Arc::new(SimClock::at(START)), 7);
    assert_eq!(digest_of(&engine), digest_of(&world.engine));
    // Nothing that has a byte flipped is restored.
    for name in plan.files.iter().map(|planned| &planned.file.name) {
        let bad = world.disk.crash(sim::CrashMode::ALL[0], &mut crate::rng::SeededRng::new(1));
        let file = bad.open(&format!("appendonlydir/{name}"), OpenMode::Write).unwrap();
        let at = file.len().unwrap() / 2;
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_all_at(at, &[byte[0] ^ 0x20]).unwrap();
        drop(file);
        assert!(of(&bad).is_err(), "{name}");
    }
}
