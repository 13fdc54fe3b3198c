//! Archives in which a log went on in several ways, several logs are, or a part is missing.

use std::sync::Arc;
use std::time::Duration;

use super::owners::{archiver, step};
use super::{World, digest_of, digest_of_restored, engine_on, repository};
use crate::backup::BackupError;
use crate::backup::archive::ship::Archiver;
use crate::backup::cut::Target;
use crate::backup::plan::plan;
use crate::backup::prune::{Retention, prune};
use crate::backup::repository::Repository;
use crate::backup::store::memory::MemoryStore;
use crate::backup::verify::verify;
use crate::clock::{Clock as _, UnixMillis};
use crate::disk::sim::CrashMode;

/// Writes a key and archives it; when that was, and the state.
fn write(world: &mut World, archiver: &mut Archiver, key: &str) -> (UnixMillis, String) {
    world.run(&["SET", key, "paid"]);
    archive(world, archiver)
}

fn archive(world: &mut World, archiver: &mut Archiver) -> (UnixMillis, String) {
    world.write();
    step(world, archiver).unwrap();
    let at = world.clock.wall();
    world.clock.advance(Duration::from_secs(2));
    (at, digest_of(&world.engine))
}

/// Another start on the world's disk, with the same clock.
fn restart(world: &mut World, store: &Arc<MemoryStore>, seed: u64) -> Archiver {
    let clock = Arc::clone(&world.clock);
    world.engine = engine_on(&world.disk, &clock, seed);
    world.client = world.engine.replay_client();
    archiver(world, store, "1111")
}

fn at(repository: &Repository, at: UnixMillis) -> String {
    digest_of_restored(repository, &Target::Time(at)).unwrap()
}

fn refusal(repository: &Repository, target: &Target) -> BackupError {
    match plan(repository, None, target) {
        Err(error @ BackupError::Refused { .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_server_that_takes_over_does_not_hide_what_was_archived_before() {
    for rewritten in [false, true] {
        let store = Arc::new(MemoryStore::new());
        let mut old = World::new(71);
        let mut ships = archiver(&old, &store, "1111");
        step(&mut old, &mut ships).unwrap();
        let before = old.clock.wall() - 60_000;
        let mut states: Vec<(UnixMillis, String)> =
            (0..5).map(|n| write(&mut old, &mut ships, &format!("order:{n}"))).collect();
        if rewritten {
            old.engine.rewrite_now().unwrap();
            step(&mut old, &mut ships).unwrap();
            // The second of the base is over.
            old.clock.advance(Duration::from_secs(2));
            states = vec![write(&mut old, &mut ships, "last")];
        }
        // Its machine is lost, and the next one begins with nothing.
        let mut new = World::new(72);
        new.clock.set_wall(old.clock.wall() + 60_000);
        let mut ships = archiver(&new, &store, "2222");
        ships.ownership.as_mut().unwrap().takeover = "1111".to_owned();
        step(&mut new, &mut ships).unwrap();
        new.clock.advance(Duration::from_secs(5));
        let after = write(&mut new, &mut ships, "hello");
        let repository = repository(&store);
        for (time, state) in states.iter().chain([&after]) {
            assert_eq!(at(&repository, *time), *state, "{rewritten}");
        }
        // Between the two it is the old one's last state.
        assert_eq!(at(&repository, after.0 - 10_000), states.last().unwrap().1, "{rewritten}");
        assert_eq!(digest_of_restored(&repository, &Target::Latest).unwrap(), after.1);
        assert!(refusal(&repository, &Target::Time(before)).to_string().contains("as old as"));
        assert_eq!(verify(&repository, None, true, 1, &|_, _| {}).unwrap().damage, []);
    }
}

#[test]
fn after_a_directory_was_rolled_back_both_ways_of_its_log_are_found() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::new(73);
    let mut ships = archiver(&world, &store, "1111");
    step(&mut world, &mut ships).unwrap();
    let common = write(&mut world, &mut ships, "old");
    let copy = world.disk.crash(CrashMode::Everything, &mut world.rng.clone());
    let mut ships = restart(&mut world, &store, 1);
    let left: Vec<_> = (0..3).map(|n| write(&mut world, &mut ships, &format!("{n}"))).collect();
    let end_of_left = world.engine.log.as_ref().unwrap().synced().0;
    world.run(&["FLUSHALL"]);
    archive(&mut world, &mut ships);
    // Rolled back to the copy.
    world.disk = copy;
    let mut ships = restart(&mut world, &store, 2);
    let taken: Vec<_> = (0..2).map(|n| write(&mut world, &mut ships, &format!("n{n}"))).collect();
    let repository = repository(&store);
    for (time, state) in [&common].into_iter().chain(&left).chain(&taken) {
        assert_eq!(at(&repository, *time), *state);
        let notes = plan(&repository, None, &Target::Time(*time)).unwrap().notes;
        assert!(notes.iter().any(|note| note.contains("in another way")), "{notes:?}");
    }
    let latest = digest_of_restored(&repository, &Target::Latest).unwrap();
    assert_eq!(latest, taken.last().unwrap().1);
    // Only the way that was left has this position, and the command.
    let found = digest_of_restored(&repository, &Target::Position(end_of_left)).unwrap();
    assert_eq!(found, left.last().unwrap().1);
    let flush = Target::Before { command: "FLUSHALL".to_owned(), after: None };
    assert_eq!(digest_of_restored(&repository, &flush).unwrap(), left.last().unwrap().1);
    assert_eq!(verify(&repository, None, true, 1, &|_, _| {}).unwrap().damage, []);
}

#[test]
fn a_piece_that_is_missing_is_told_by_verify_and_never_passed_over_by_a_restore() {
    for lost in 0..5 {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::new(74);
        let mut ships = archiver(&world, &store, "1111");
        step(&mut world, &mut ships).unwrap();
        let states: Vec<_> =
            (0..6).map(|n| write(&mut world, &mut ships, &format!("k{n}"))).collect();
        let pieces: Vec<String> =
            store.names().into_iter().filter(|name| name.starts_with("archive/")).collect();
        assert_eq!(pieces.len(), 6);
        crate::backup::store::Store::remove(store.as_ref(), &pieces[lost]).unwrap();
        let repository = repository(&store);
        let verified = verify(&repository, None, false, 1, &|_, _| {}).unwrap();
        let objects: Vec<_> = verified.damage.iter().map(|damage| &damage.object).collect();
        assert_eq!(objects, [&pieces[lost + 1]], "{:?}", verified.damage);
        let error = refusal(&repository, &Target::Latest);
        let position = error.next_step();
        let position = position.split(' ').nth(1).unwrap().parse().unwrap();
        let before = digest_of_restored(&repository, &Target::Position(position)).unwrap();
        if lost > 0 {
            assert_eq!(before, states[lost - 1].1);
            let time = Target::Time(states[lost].0 + 1);
            let notes = plan(&repository, None, &time).unwrap().notes;
            assert!(notes.iter().any(|note| note.contains(&pieces[lost + 1])), "{notes:?}");
        }
        // A new base makes up for it.
        world.engine.rewrite_now().unwrap();
        let last = write(&mut world, &mut ships, "last");
        assert_eq!(digest_of_restored(&repository, &Target::Latest).unwrap(), last.1);
    }
}

#[test]
fn what_is_pruned_while_it_is_verified_is_not_called_damaged() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::new(75);
    let mut ships = archiver(&world, &store, "1111");
    let mut last = String::new();
    for n in 0..4 {
        last = write(&mut world, &mut ships, &format!("k{n}")).1;
        world.engine.rewrite_now().unwrap();
        step(&mut world, &mut ships).unwrap();
    }
    let repository = repository(&store);
    let now = world.clock.wall();
    let keep_one = Retention { last: 1, ..Retention::default() };
    let pruned = std::sync::Mutex::new(None);
    let verified = verify(&repository, None, true, 1, &|_, _| {
        let prune = || prune(&repository, &keep_one, now, "00", true).unwrap();
        pruned.lock().unwrap().get_or_insert_with(prune);
    });
    let pruned = pruned.into_inner().unwrap().unwrap();
    assert!(pruned.removed.len() > 2 && pruned.objects > 2, "{pruned:?}");
    assert_eq!(verified.unwrap().damage, []);
    assert_eq!(digest_of_restored(&repository, &Target::Latest).unwrap(), last);
    // What is lost is damage in spite of that.
    let object = store.names().into_iter().find(|name| name.starts_with("objects/")).unwrap();
    crate::backup::store::Store::remove(store.as_ref(), &object).unwrap();
    let damage = verify(&repository, None, false, 1, &|_, _| {}).unwrap().damage;
    assert_eq!(damage.first().map(|damage| &damage.object), Some(&object), "{damage:?}");
}
