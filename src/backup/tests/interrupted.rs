//! Restores that end too early: gone on with by the same command, and never taken for a data directory.

use std::sync::Arc;

use super::{START, World, digest_of, engine_on, key_pair, repository, try_engine_on};
use crate::backup::BackupError;
use crate::backup::archive::ship::Archiver;
use crate::backup::chosen::{RdbFile, keys_to_directory, to_rdb};
use crate::backup::cut::Target;
use crate::backup::load::Filter;
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::{Restored, may_write_to, to_directory};
use crate::backup::source::{of_directory, of_snapshot};
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::unfinished;
use crate::clock::SimClock;
use crate::disk::sim::{self, CrashMode, SimDisk};
use crate::disk::{Disk, OpenMode, durable};
use crate::rng::{Rng as _, SeededRng};
use crate::snapshot::target::Target as Version;

/// A backup of a base of so many MiB and of two segments.
fn backed_up(size: usize, recipient: &[String]) -> (World, Arc<MemoryStore>, Repository) {
    let mut world = World::new(31);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store).sealed_for(recipient).unwrap();
    let mut rng = SeededRng::new(5);
    let mut words = vec!["MSET".to_owned()];
    for n in 0..size * 10 {
        // Half of it is left when it is compressed.
        let value = (0..13_000).map(|_| format!("{:016x}", rng.next_u64()));
        words.extend([format!("k{n}"), value.collect()]);
    }
    world.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    world.write();
    world.engine.rewrite_now().unwrap();
    world.run(&["SET", "first", "segment"]);
    world.write();
    world.back_up(&repository).unwrap();
    (world, store, repository)
}

/// Operations of the store that something takes.
fn operations(store: &MemoryStore, work: impl FnOnce()) -> u64 {
    store.fail_from(u64::MAX, Fault::Fails);
    work();
    store.operations()
}

/// A directory in which a restore was interrupted at its last object.
fn interrupted(store: &MemoryStore, repository: &Repository) -> SimDisk {
    let all = operations(store, || drop(restore(repository, &SimDisk::new()).unwrap()));
    let disk = SimDisk::new();
    store.fail_from(all - 1, Fault::Fails);
    assert!(restore(repository, &disk).is_err());
    store.heal();
    disk
}

fn restore(repository: &Repository, disk: &dyn Disk) -> Result<Restored, BackupError> {
    let plan = plan(repository, None, &Target::Latest)?;
    to_directory(repository, &plan, disk, 1, &|_, _| {})
}

fn started(disk: &SimDisk) -> Result<String, String> {
    let clock = Arc::new(SimClock::at(START + 86_400_000));
    try_engine_on(disk, &clock, 7).map(|engine| digest_of(&engine)).map_err(|why| why.to_string())
}

#[test]
fn a_restore_goes_on_with_the_parts_that_are_there_from_plain_and_encrypted_repositories() {
    let (identity, recipient) = key_pair();
    for (recipient, identities) in [(vec![], vec![]), (vec![recipient], vec![identity])] {
        let (world, store, repository) = backed_up(6, &recipient);
        let repository = repository.opened_with(&identities).unwrap();
        let all = operations(&store, || drop(restore(&repository, &SimDisk::new()).unwrap()));
        let planned =
            operations(&store, || drop(plan(&repository, None, &Target::Latest).unwrap()));
        assert!(all - planned >= 3, "{all} {planned}: several parts");
        for at in planned..all {
            let disk = SimDisk::new();
            store.fail_from(at, Fault::Fails);
            assert!(restore(&repository, &disk).is_err());
            store.heal();
            assert!(started(&disk).unwrap_err().contains("has not been finished"));
            assert!(of_directory(&disk).unwrap_err().to_string().contains("same fastness restore"));
            let mut kept = 0;
            let again =
                operations(&store, || kept = restore(&repository, &disk).unwrap().bytes_kept);
            // What is there is not fetched again.
            assert_eq!(again, all - (at - planned), "at {at}");
            assert_eq!(kept > 0, at > planned, "at {at}");
            assert_eq!(started(&disk).unwrap(), digest_of(&world.engine));
        }
    }
}

#[test]
fn a_power_loss_at_any_moment_of_a_restore_leaves_nothing_that_starts_and_all_that_goes_on() {
    let (world, _, repository) = backed_up(1, &[]);
    let expected = digest_of(&world.engine);
    let empty = digest_of(&World::new(1).engine);
    let mut refused = 0;
    for at in 0.. {
        let disk = SimDisk::new();
        disk.fail_at(at, sim::Fault::PowerCut);
        let done = restore(&repository, &disk).is_ok();
        for mode in CrashMode::ALL {
            let left = disk.crash(mode, &mut SeededRng::new(at));
            // A start changes the directory.
            let found = started(&left.crash(CrashMode::ALL[0], &mut SeededRng::new(0)));
            match &found {
                Ok(digest) if *digest == expected => {}
                Ok(digest) => {
                    let names = left.list("").unwrap_or_default();
                    let files = names
                        .iter()
                        .any(|name| !name.starts_with("temp-restore") && name != "fastness.lock");
                    assert!(*digest == empty && !done && !files, "at {at}, {mode:?}: {names:?}");
                }
                Err(why) => {
                    assert!(why.contains("has not been finished"), "at {at}, {mode:?}: {why}");
                    refused += 1;
                }
            }
            // Only that it is done was not told; then it is a data directory as any other.
            let whole = found.is_ok_and(|digest| digest == expected)
                && unfinished::find(&left).unwrap().is_none();
            if !done && !whole {
                restore(&repository, &left).unwrap_or_else(|why| panic!("{at} {mode:?}: {why}"));
                assert_eq!(started(&left).unwrap(), expected);
            }
        }
        if done {
            assert!(at > 20 && refused > 30, "{at} {refused}");
            break;
        }
    }
}

/// Some keys into a directory, or into an RDB file.
fn chosen(repository: &Repository, disk: &SimDisk, as_file: bool) -> Result<Restored, BackupError> {
    let plan = plan(repository, None, &Target::Latest)?;
    let filter = Filter { patterns: vec![b"k*".to_vec()], databases: vec![] };
    let file = RdbFile { path: "keys.rdb", target: Version::Newest };
    match as_file {
        true => to_rdb(repository, &plan, &filter, (disk, file), 1, &|_, _| {}),
        false => keys_to_directory(repository, &plan, &filter, disk, 1, &|_, _| {}),
    }
}

#[test]
fn chosen_keys_that_the_network_or_the_power_cut_short_are_whole_or_not_there_and_are_gone_on_with()
{
    let (_, store, repository) = backed_up(1, &[]);
    for as_file in [false, true] {
        // The network: what is there is not fetched again.
        let all = operations(&store, || drop(chosen(&repository, &SimDisk::new(), as_file)));
        let disk = SimDisk::new();
        store.fail_from(all - 1, Fault::Fails);
        chosen(&repository, &disk, as_file).unwrap_err();
        store.heal();
        let again = chosen(&repository, &disk, as_file).unwrap();
        assert_eq!((again.keys, again.bytes_kept > 0), (Some(10), true));
        for at in 0.. {
            let disk = SimDisk::new();
            disk.fail_at(at, sim::Fault::PowerCut);
            let done = chosen(&repository, &disk, as_file).is_ok();
            for mode in CrashMode::ALL {
                let left = disk.crash(mode, &mut SeededRng::new(at));
                if is_whole(&left, as_file) {
                    continue;
                }
                assert!(!done, "{at} {mode:?}: {:?}", left.list(""));
                chosen(&repository, &left, as_file)
                    .unwrap_or_else(|e| panic!("{at} {mode:?}: {e}"));
                assert!(is_whole(&left, as_file), "{at} {mode:?}: {:?}", left.list(""));
                if as_file {
                    assert_eq!(left.list("").unwrap(), ["keys.rdb"], "{at} {mode:?}");
                }
            }
            if done {
                assert!(at > 30, "{at}");
                break;
            }
        }
    }
}

/// Whether the ten keys are where they are looked for; half of them never are.
fn is_whole(disk: &SimDisk, as_file: bool) -> bool {
    if as_file {
        let there = disk.file_len("keys.rdb").unwrap().is_some();
        let keys = || {
            let view = disk.open("keys.rdb", OpenMode::Read).unwrap().map().unwrap();
            of_snapshot("keys.rdb", view).unwrap().keys
        };
        assert!(!there || keys() == Some(10));
        return there;
    }
    let own = disk.crash(CrashMode::ALL[0], &mut SeededRng::new(0));
    let clock = Arc::new(SimClock::at(START + 86_400_000));
    let Ok(engine) = try_engine_on(&own, &clock, 7) else { return false };
    let keys = (0..engine.ks.databases()).map(|db| engine.ks.len(db)).sum::<usize>();
    assert!(keys == 0 || keys == 10, "{keys}");
    keys == 10
}

#[test]
fn what_was_damaged_meanwhile_is_fetched_again() {
    let (world, store, repository) = backed_up(3, &[]);
    for flip in [0, 100_000, 2_000_000] {
        let disk = interrupted(&store, &repository);
        let dir = disk.list("appendonlydir").unwrap();
        let path = durable::join("appendonlydir", &dir[0]);
        let file = disk.open(&path, OpenMode::Write).unwrap();
        file.write_all_at(flip, b"not what was there").unwrap();
        // Longer than it will be.
        file.write_all_at(40_000_000, b"x").unwrap();
        drop(file);
        restore(&repository, &disk).unwrap();
        assert_eq!(started(&disk).unwrap(), digest_of(&world.engine));
    }
}

#[test]
fn a_restore_of_an_archive_goes_on_although_the_archive_went_on_meanwhile() {
    let (mut world, store, repository) = backed_up(1, &[]);
    let log = world.engine.log.clone().unwrap();
    let ship = |world: &World| {
        let disk = Arc::new(world.disk.clone());
        let mut archiver = Archiver::new(repository.clone(), disk, log.files().clone(), "here");
        archiver.step(&log.manifest(), log.synced().0).unwrap();
    };
    world.run(&["SET", "archived", "1"]);
    world.write();
    ship(&world);
    let disk = interrupted(&store, &repository);
    world.run(&["SET", "archived", "2"]);
    world.write();
    ship(&world);
    let restored = restore(&repository, &disk).unwrap();
    assert!(restored.bytes_kept > 0, "{restored:?}");
    assert_eq!(started(&disk).unwrap(), digest_of(&world.engine));
    // To another moment, too: files that it does not have go.
    let disk = interrupted(&store, &repository);
    let id = repository.ids().unwrap().pop().unwrap();
    let plan = plan(&repository, Some(&id), &Target::Latest).unwrap();
    let filter = Filter { patterns: vec![b"k*".to_vec()], databases: vec![] };
    let keys = keys_to_directory(&repository, &plan, &filter, &disk, 1, &|_, _| {}).unwrap();
    assert_eq!((keys.keys, keys.bytes_kept > 0), (Some(10), true));
    let engine = engine_on(&disk, &Arc::new(SimClock::at(START)), 1);
    assert_eq!((0..engine.ks.databases()).map(|db| engine.ks.len(db)).sum::<usize>(), 10);
}

#[test]
fn a_directory_that_has_anything_else_is_refused_and_stays_as_it_is() {
    let (_, store, repository) = backed_up(1, &[]);
    let interrupted = || interrupted(&store, &repository);
    let refused = |disk: &SimDisk| {
        let before = disk.list("").unwrap();
        let early = may_write_to(&repository, disk);
        assert!(matches!(early, Err(BackupError::Refused { .. })), "{early:?}");
        let refused = restore(&repository, disk);
        assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
        assert_eq!(disk.list("").unwrap(), before);
    };
    for mine in
        ["mine", "dump.rdb", "appendonlydir/mine", "appendonlydir/appendonly.aof.9.incr.aof"]
    {
        // With a mark and without one.
        for disk in [interrupted(), SimDisk::new()] {
            durable::create_dir(&disk, "appendonlydir").unwrap();
            disk.open(mine, OpenMode::CreateOrTruncate).unwrap().write_all_at(0, b"mine").unwrap();
            refused(&disk);
            let kept = disk.open(mine, OpenMode::Read).unwrap().map().unwrap();
            assert_eq!(&kept[..], b"mine");
        }
    }
    // A mark that is no mark, and that of another repository.
    let disk = interrupted();
    let mark = disk.open(unfinished::MARK, OpenMode::Write).unwrap();
    mark.write_all_at(3, b"x").unwrap();
    drop(mark);
    refused(&disk);
    let other = Repository::open_or_make(Arc::new(MemoryStore::new()), "02").unwrap();
    let mut world = World::new(1);
    world.run(&["SET", "a", "1"]);
    world.write();
    world.back_up(&other).unwrap();
    let disk = interrupted();
    let error = restore(&other, &disk).unwrap_err();
    assert!(error.to_string().contains("another repository"), "{error}");
    restore(&repository, &disk).unwrap();
}
