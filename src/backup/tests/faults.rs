//! Stores that fail, stall, cut short or list late, at every operation of everything that is done with one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{START, World, digest_of, digest_of_restored, engine_on, repository, with_fault};
use crate::backup::BackupError;
use crate::backup::cut::Target;
use crate::backup::plan::plan;
use crate::backup::prune::{Retention, prune};
use crate::backup::repository::Repository;
use crate::backup::restore::{to_directory, to_memory};
use crate::backup::store::Store;
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::under_way::Work;
use crate::backup::verify::verify;
use crate::clock::{Clock as _, SimClock};
use crate::disk::sim::SimDisk;

/// Every fault, once and for good.
fn faults() -> Vec<(Fault, bool)> {
    Fault::ALL.into_iter().flat_map(|fault| [(fault, false), (fault, true)]).collect()
}

fn plan_fault(store: &MemoryStore, at: u64, (fault, lasting): (Fault, bool)) {
    match lasting {
        true => store.fail_from(at, fault),
        false => store.fail_at(at, fault),
    }
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
    for fault in faults() {
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
            plan_fault(&store, at, fault);
            let outcome = Repository::open(with_fault(&store, fault.0))
                .and_then(|repository| world.back_up(&repository));
            let done = store.operations() <= at && outcome.is_ok();
            let case = format!("{fault:?} at {at}");
            let told = matches!(fault.0, Fault::Fails | Fault::AnswerLost | Fault::Stalls);
            // The note that it is under way may stay, and of a manifest the answer; nothing else may fail in silence.
            let silent = if fault.0 == Fault::AnswerLost { 7 } else { 8 };
            assert!(done || !told || outcome.is_err() || at > silent, "{case}");
            sound_after_all(&mut world, &store, &[first, second], &case);
            if done {
                assert!(at > 8, "a backup has more than {at} operations");
                break;
            }
        }
    }
}

#[test]
fn a_note_that_cannot_be_removed_is_told_and_is_in_no_sweep_s_way() {
    let mut world = World::new(10);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    world.run(&["SET", "a", "1"]);
    world.write();
    world.back_up(&repository).unwrap();
    let mut operations = || {
        store.fail_at(u64::MAX, Fault::Fails);
        world.back_up(&repository).unwrap();
        store.operations()
    };
    let last = operations() - 1;
    // These credentials may store and not remove.
    store.fail_at(last, Fault::Fails);
    let notes = world.back_up(&repository).unwrap().notes;
    store.heal();
    assert!(notes.iter().any(|note| note.contains("under-way/create-")), "{notes:?}");
    assert!(store.names().iter().any(|name| name.starts_with("under-way/create-")));
    let keep_one = Retention { last: 1, ..Retention::default() };
    let now = world.clock.wall();
    let pruned = prune(&repository, &keep_one, now, "00", true).unwrap();
    assert_eq!(pruned.removed.len(), 2);
    // That of one that may still go on is.
    repository.begin(Work::Create, now, "another").unwrap().leave();
    let refused = prune(&repository, &keep_one, now, "00", true);
    assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
}

#[test]
fn a_store_that_fails_while_the_repository_is_made_leaves_it_to_be_made() {
    for fault in faults() {
        for at in 0..6 {
            let mut world = World::new(2);
            world.run(&["SET", "a", "1"]);
            world.write();
            let expected = digest_of(&world.engine);
            let store = Arc::new(MemoryStore::new());
            plan_fault(&store, at, fault);
            let _ = Repository::open_or_make(with_fault(&store, fault.0), "01");
            sound_after_all(&mut world, &store, &[expected], &format!("{fault:?} at {at}"));
        }
    }
}

/// A repository of three backups with a base that changes, and their states by name.
fn three_backups() -> (World, Arc<MemoryStore>, BTreeMap<String, String>) {
    let mut world = World::new(4);
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    let mut states = BTreeMap::new();
    for round in 0..3 {
        for n in 0..30 {
            world.run(&["SET", &format!("k{round}-{n}"), "v"]);
        }
        world.write();
        if round < 2 {
            world.engine.rewrite_now().unwrap();
        }
        world.run(&["SET", "last", &round.to_string()]);
        world.write();
        let made = world.back_up(&repository).unwrap();
        states.insert(made.manifest.id, digest_of(&world.engine));
    }
    (world, store, states)
}

#[test]
fn a_restore_from_a_store_that_fails_says_so_and_goes_on_when_it_is_well() {
    let (world, store, _) = three_backups();
    let expected = digest_of(&world.engine);
    for fault in faults() {
        let mut failed = 0;
        for at in 0.. {
            let disk = SimDisk::new();
            let restore = |store: Arc<dyn Store>| -> Result<(), BackupError> {
                let repository = Repository::open(store)?;
                let plan = plan(&repository, Some(&newest(&repository)?), &Target::Latest)?;
                to_directory(&repository, &plan, &disk, 1, &|_, _| {}).map(drop)
            };
            plan_fault(&store, at, fault);
            let outcome = restore(with_fault(&store, fault.0));
            let done = store.operations() <= at && outcome.is_ok();
            store.heal();
            let case = format!("{fault:?} at {at}: {outcome:?}");
            if outcome.is_err() {
                failed += 1;
                // In the same directory: what was whole is kept, the rest is written again.
                restore(Arc::<MemoryStore>::clone(&store)).unwrap();
            }
            let engine = engine_on(&disk, &Arc::new(SimClock::at(START + 1_000_000)), 1);
            let found = digest_of(&engine);
            // Half of a list is half of the backups: an older state, as asked for.
            assert!(found == expected || fault.0 == Fault::Truncates, "{case}");
            if done {
                // What was cut short once was read again; a list is not.
                let least = if fault == (Fault::Truncates, false) { 0 } else { 5 };
                assert!(failed >= least || fault.0 == Fault::StaleList, "{fault:?}: {failed}");
                break;
            }
        }
    }
}

fn newest(repository: &Repository) -> Result<String, BackupError> {
    repository.ids()?.pop().ok_or_else(|| BackupError::refused("nothing is listed", ""))
}

#[test]
fn verify_never_calls_sound_what_it_could_not_read() {
    let (_, store, _) = three_backups();
    for fault in faults() {
        for at in 0.. {
            plan_fault(&store, at, fault);
            let found = Repository::open(with_fault(&store, fault.0))
                .and_then(|repository| verify(&repository, None, false, 1, &|_, _| {}));
            let done = store.operations() <= at && found.is_ok();
            store.heal();
            let sound = found.is_ok_and(|found| found.damage.is_empty());
            if done {
                assert!(sound && at > 8);
                break;
            }
            let told = matches!(fault.0, Fault::Fails | Fault::AnswerLost | Fault::Stalls);
            assert!(!sound || !told, "{fault:?} at {at}");
        }
    }
}

#[test]
fn a_store_that_fails_at_any_operation_of_pruning_harms_no_backup_that_stays() {
    let (world, store, states) = three_backups();
    let objects = store.objects();
    let retention = Retention { last: 2, ..Retention::default() };
    let now = world.clock.wall();
    for fault in faults() {
        for (at, behind) in (0..).flat_map(|at| [(at, 0), (at, 1)]) {
            store.replace(objects.clone());
            if behind == 1 {
                // The newest backup is not in a stale list.
                let newest = format!("backups/{}", states.keys().next_back().unwrap());
                let hidden = objects.iter().filter(|(name, _)| **name != newest);
                store.replace(hidden.map(|(name, bytes)| (name.clone(), bytes.clone())).collect());
                store.list_as_now();
                store.replace(objects.clone());
            }
            plan_fault(&store, at, fault);
            let outcome = Repository::open(with_fault(&store, fault.0))
                .and_then(|repository| prune(&repository, &retention, now, "p", true));
            let done = store.operations() <= at && outcome.is_ok();
            store.heal();
            let case = format!("{fault:?} at {at}, {behind}");
            let repository = repository(&store);
            for id in repository.ids().unwrap() {
                // A list that is short for good is more than can be made up for.
                if fault == (Fault::StaleList, true) || fault == (Fault::Truncates, true) {
                    break;
                }
                let plan = plan(&repository, Some(&id), &Target::Latest).unwrap();
                let loaded = to_memory(&repository, &plan, 1, &|_, _| {});
                let loaded = loaded.unwrap_or_else(|error| panic!("{case}: {id}: {error}"));
                assert_eq!(loaded.digest(), states[&id], "{case}");
            }
            if fault.1 && matches!(fault.0, Fault::StaleList | Fault::Truncates) {
                if done {
                    break;
                }
                continue;
            }
            prune(&repository, &retention, now, "q", true).unwrap();
            let verified = verify(&repository, None, false, 1, &|_, _| {}).unwrap();
            assert_eq!((verified.damage.len(), verified.unnamed), (0, 0), "{case}");
            assert_eq!(repository.ids().unwrap().len(), 2, "{case}");
            if done {
                assert!(at > 8);
                break;
            }
        }
    }
}

#[test]
fn what_arrives_after_it_was_given_up_is_whole_even_when_something_was_pruned_meanwhile() {
    let (mut late, mut pruned) = (0, 0);
    for at in 0.. {
        let (mut world, store, mut states) = three_backups();
        world.engine.rewrite_now().unwrap();
        world.run(&["SET", "one", "more"]);
        world.write();
        store.fail_at(at, Fault::Stalls);
        let outcome = Repository::open(with_fault(&store, Fault::Stalls))
            .and_then(|repository| world.back_up(&repository));
        let done = store.operations() <= at && outcome.is_ok();
        if done {
            store.heal();
        }
        let reader = repository(&store);
        let retention = Retention { last: 2, ..Retention::default() };
        pruned += u64::from(prune(&reader, &retention, world.clock.wall(), "p", true).is_ok());
        let before = reader.ids().unwrap();
        store.heal();
        for id in reader.ids().unwrap() {
            if !before.contains(&id) {
                late += 1;
                states.insert(id.clone(), digest_of(&world.engine));
            } else if !states.contains_key(&id) {
                states.insert(id.clone(), digest_of(&world.engine));
            }
            let plan = plan(&reader, Some(&id), &Target::Latest).unwrap();
            let loaded = to_memory(&reader, &plan, 1, &|_, _| {});
            let loaded = loaded.unwrap_or_else(|error| panic!("at {at}: {id}: {error}"));
            assert_eq!(loaded.digest(), states[&id], "at {at}");
        }
        if done {
            assert!(outcome.is_ok() && late == 1 && pruned > 3, "{late} {pruned}");
            break;
        }
    }
}
