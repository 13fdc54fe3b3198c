//! Flipped bytes, in every object and every region of it.

use std::sync::Arc;
use std::time::Duration;

use super::{World, key_pair, repository};
use crate::backup::BackupError;
use crate::backup::archive::ship::Archiver;
use crate::backup::create::{CreateOptions, create};
use crate::backup::cut::Target;
use crate::backup::manifest::{Origin, manifest_name};
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::to_directory;
use crate::backup::source::of_directory;
use crate::backup::store::Store;
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::under_way::Work;
use crate::backup::verify::verify;
use crate::disk::sim::SimDisk;

/// A repository with everything in it that there can be.
fn with_everything(recipient: Option<&String>) -> Arc<MemoryStore> {
    let mut world = World::new(6);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store).sealed_for(recipient.map_or(&[], std::slice::from_ref));
    let repository = repository.unwrap();
    for n in 0..40 {
        world.run(&["SET", &format!("k{n}"), "some value"]);
    }
    world.write();
    world.back_up(&repository).unwrap();
    // What an interrupted backup leaves.
    repository.put_part(b"a leftover of no backup", None).unwrap();
    repository.begin(Work::Create, super::START, "left").unwrap().leave();
    world.engine.rewrite_now().unwrap();
    world.run(&["RPUSH", "list", "a", "b"]);
    world.write();
    world.back_up(&repository).unwrap();
    for round in 0..3 {
        world.run(&["SET", "archived", &round.to_string()]);
        world.write();
        let log = world.engine.log.clone().unwrap();
        let disk = Arc::new(world.disk.clone());
        let mut archiver = Archiver::new(repository.clone(), disk, log.files().clone(), "here");
        archiver.step(&log.manifest(), log.synced().0).unwrap();
    }
    store
}

#[test]
fn a_flipped_byte_in_any_object_is_found_by_verify_and_by_restore() {
    let (identity, recipient) = key_pair();
    for (recipient, identities) in [(None, vec![]), (Some(&recipient), vec![identity])] {
        let store = with_everything(recipient);
        let open = || {
            let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
            Repository::open(shared)
        };
        let restore = |repository: &Repository| {
            let plan = plan(repository, None, &Target::Latest)?;
            to_directory(repository, &plan, &SimDisk::new(), 1, &|_, _| {}).map(drop)
        };
        store.fail_from(u64::MAX, Fault::Fails);
        restore(&open().unwrap().opened_with(&identities).unwrap()).unwrap();
        let mut read = store.read();
        store.heal();
        // An older manifest that is damaged does not keep the newest state from being restored.
        let oldest = read.iter().find(|name| name.starts_with("backups/")).unwrap().clone();
        read.remove(&oldest);
        assert!(read.len() >= 6, "{read:?}");
        let (mut flipped, mut objects) = (0, 0);
        for name in store.names() {
            objects += 1;
            let len = store.get(&name).unwrap().len();
            for at in (0..len).step_by(1 + len / 400) {
                store.damage(&name, |bytes| bytes[at] ^= 4);
                let case = format!("{name} at {at}");
                if let Ok(found) = open() {
                    // With and without what opens it.
                    for identities in [&identities[..], &[]] {
                        let reader = found.clone().opened_with(identities).unwrap();
                        let damage = verify(&reader, None, false, 1, &|_, _| {}).unwrap().damage;
                        assert_eq!(damage.len(), 1, "{case}: {damage:?}");
                        assert_eq!(damage[0].object, name, "{case}");
                    }
                    let reader = found.opened_with(&identities).unwrap();
                    // Of what it does not read, a restore says nothing.
                    assert_eq!(restore(&reader).is_err(), read.contains(&name), "{case}");
                }
                store.damage(&name, |bytes| bytes[at] ^= 4);
                flipped += 1;
            }
        }
        assert!(objects > 9 && flipped > 2000, "{flipped} in {objects}");
        restore(&open().unwrap().opened_with(&identities).unwrap()).unwrap();
    }
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
fn a_damaged_backup_that_may_reach_the_target_is_never_passed_over() {
    let mut world = World::new(82);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    let mut made = Vec::new();
    for round in 0..3 {
        world.run(&["SET", "round", &round.to_string()]);
        world.write();
        world.run(&["FLUSHALL"]);
        world.write();
        made.push(world.back_up(&repository).unwrap().manifest);
        world.clock.advance(Duration::from_secs(60));
    }
    let flush = |after| Target::Before { command: "FLUSHALL".to_owned(), after };
    let from = |target: &Target| plan(&repository, None, target).map(|plan| plan.manifest.id);
    let is_named = |found: Result<String, BackupError>, id: &str| match found {
        Err(BackupError::Damaged { object, .. }) => object == manifest_name(id),
        _ => false,
    };
    let (instant, position) = (made[1].instant.unwrap(), made[1].position.unwrap());
    let first_time = made[0].segments[0].first_time.unwrap();
    let newest = &made[2];
    store.damage(&newest.object(), |bytes| bytes[200] ^= 1);
    for target in [
        Target::Latest,
        Target::Time(newest.instant.unwrap()),
        Target::Time(newest.created_at + 3_600_000),
        // Between the second one and the third.
        Target::Time(made[1].created_at + 5000),
        Target::Position(newest.position.unwrap()),
        flush(None),
        flush(Some(made[1].created_at)),
    ] {
        assert!(is_named(from(&target), &newest.id), "{target:?}");
    }
    // What can be read has all of these.
    for target in [
        Target::Time(instant),
        Target::Time(instant - 1),
        // The second one has what was written until it was made.
        Target::Time(made[1].created_at),
        Target::Position(position),
        flush(Some(first_time)),
    ] {
        assert!(from(&target).is_ok(), "{target:?}: {:?}", from(&target));
    }
    // Who names another one knows what he does.
    let target = Target::Time(newest.created_at);
    let named = plan(&repository, Some(&made[1].id), &target).unwrap();
    assert_eq!(named.instant, Some(instant));
    store.damage(&newest.object(), |bytes| bytes[200] ^= 1);
    // An old one keeps nobody from what newer ones have.
    store.damage(&made[0].object(), |bytes| bytes[200] ^= 1);
    for target in [Target::Time(newest.created_at + 3_600_000), Target::Latest, flush(None)] {
        assert_eq!(from(&target).unwrap(), newest.id, "{target:?}");
    }
    assert!(is_named(from(&Target::Time(super::START - 1000)), &made[0].id));
}
