//! Two servers that are to archive to one place.

use std::sync::Arc;
use std::time::Duration;

use super::{START, World, digest_of, digest_of_restored, repository};
use crate::backup::BackupError;
use crate::backup::archive::owner::{Owner, Ownership, RENEW_EVERY, current};
use crate::backup::archive::ship::{Archiver, Step};
use crate::backup::cut::Target;
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::to_directory;
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::verify::verify;
use crate::clock::{Clock, SimClock};
use crate::rng::{Rng as _, SeededRng};

fn ownership(server: &str, run: &str, host: &str, clock: &Arc<SimClock>) -> Ownership {
    let me = Owner {
        server: server.to_owned(),
        run: run.to_owned(),
        host: host.to_owned(),
        directory: "/data".to_owned(),
        ..Owner::default()
    };
    Ownership::new(me, Arc::<SimClock>::clone(clock) as Arc<dyn Clock>)
}

fn is_taken(outcome: &Result<(), BackupError>) -> bool {
    matches!(outcome, Err(BackupError::Taken { .. }))
}

fn owner_of(repository: &Repository) -> Owner {
    let found = current(repository).unwrap();
    found.0.clone().unwrap_or_else(|| panic!("nobody owns it: {found:?}"))
}

#[test]
fn claims_are_read_as_they_were_written_and_every_flipped_byte_is_found() {
    let owner = Owner { server: "a".to_owned(), renewed: -5, ended: true, ..Owner::default() };
    let bytes = owner.encode();
    assert_eq!(Owner::decode(&bytes), Ok(owner));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 2;
        assert!(Owner::decode(&bad).is_err(), "{at}");
    }
}

#[test]
fn the_first_server_keeps_its_archive_until_it_is_displaced_by_name() {
    let clock = Arc::new(SimClock::at(START));
    let store = Arc::new(MemoryStore::new());
    let repository = repository(&store);
    let mut first = ownership("1111", "a", "one", &clock);
    let mut second = ownership("2222", "b", "two", &clock);
    first.hold(&repository).unwrap();
    for _ in 0..1000 {
        clock.advance(Duration::from_secs(7));
        first.hold(&repository).unwrap();
        first.check(&repository).unwrap();
        assert!(is_taken(&second.hold(&repository)));
    }
    // A minute and more old ones go.
    assert!(store.names().len() < 14, "{:?}", store.names());
    // However long the first one is away, and whoever else is named.
    clock.advance(Duration::from_secs(86_400));
    second.takeover = "3333".to_owned();
    let error = second.hold(&repository).unwrap_err();
    assert!(error.next_step().contains("archive-takeover 1111"), "{}", error.next_step());
    assert!(error.to_string().contains("host one"), "{error}");
    second.takeover = "1111".to_owned();
    second.hold(&repository).unwrap();
    // The first one comes back: it ships nothing more, and does not fight.
    for _ in 0..3 {
        assert!(is_taken(&first.check(&repository)));
        assert!(is_taken(&first.hold(&repository)));
        second.check(&repository).unwrap();
        clock.advance(RENEW_EVERY);
        second.hold(&repository).unwrap();
    }
    // Of the first one nothing is left.
    for _ in 0..15 {
        clock.advance(RENEW_EVERY);
        second.hold(&repository).unwrap();
    }
    assert!(store.names().len() < 14, "{:?}", store.names());
    let since = owner_of(&repository).since;
    assert!(since > START + 86_400_000 && since < clock.wall() - 60_000, "{since}");
}

#[test]
fn a_server_that_starts_again_goes_on_at_once_and_a_copy_of_it_waits() {
    let clock = Arc::new(SimClock::at(START));
    let repository = repository(&Arc::default());
    ownership("1111", "a", "one", &clock).hold(&repository).unwrap();
    // Killed, and started again.
    let mut again = ownership("1111", "b", "one", &clock);
    again.hold(&repository).unwrap();
    // A copy of the directory elsewhere, while it runs.
    let mut copy = ownership("1111", "c", "two", &clock);
    for _ in 0..10 {
        assert!(is_taken(&copy.hold(&repository)));
        clock.advance(RENEW_EVERY);
        again.hold(&repository).unwrap();
    }
    // It is moved: it stops here, and goes on there.
    again.end(&repository);
    copy.hold(&repository).unwrap();
    // Killed there, and started here again: after some minutes.
    let mut back = ownership("1111", "d", "one", &clock);
    let mut waited = 0;
    while is_taken(&back.hold(&repository)) {
        waited += 10;
        clock.advance(Duration::from_secs(10));
    }
    assert!((120..400).contains(&waited), "{waited}");
    // Two copies that look the same: the one that was started last stays, and the other does not fight.
    let mut twin = ownership("1111", "e", "one", &clock);
    twin.hold(&repository).unwrap();
    for _ in 0..5 {
        assert!(is_taken(&back.check(&repository)));
        assert!(is_taken(&back.hold(&repository)));
        clock.advance(RENEW_EVERY);
        twin.hold(&repository).unwrap();
        twin.check(&repository).unwrap();
    }
}

#[test]
fn a_server_that_slept_does_not_take_a_number_that_was_used_before() {
    let clock = Arc::new(SimClock::at(START));
    let repository = repository(&Arc::default());
    let mut first = ownership("1111", "a", "one", &clock);
    let mut second = ownership("2222", "b", "two", &clock);
    first.hold(&repository).unwrap();
    second.takeover = "1111".to_owned();
    for _ in 0..100 {
        second.hold(&repository).unwrap();
        clock.advance(RENEW_EVERY);
    }
    assert!(is_taken(&first.hold(&repository)));
    // Its monotonic clock did not count the time.
    let still = Arc::new(SimClock::at(clock.wall() - 6_000_000));
    let mut asleep = ownership("3333", "c", "three", &still);
    asleep.takeover = "2222".to_owned();
    asleep.hold(&repository).unwrap();
    second.takeover = "3333".to_owned();
    for _ in 0..100 {
        second.hold(&repository).unwrap();
        clock.advance(RENEW_EVERY);
    }
    still.set_wall(clock.wall());
    asleep.takeover.clear();
    assert!(is_taken(&asleep.check(&repository)));
    second.check(&repository).unwrap();
}

#[test]
fn whatever_the_store_does_nobody_ships_but_the_owner() {
    let (mut shipped, mut taken) = (0, 0);
    for seed in 0..200 {
        let mut rng = SeededRng::new(seed);
        let clock = Arc::new(SimClock::at(START));
        let store = Arc::new(MemoryStore::new());
        let reader = repository(&store);
        let servers = ["1111", "2222", "2222", "3333"];
        let of = |index: usize, run: u64| {
            ownership(servers[index], &format!("{index}-{run}"), &format!("h{index}"), &clock)
        };
        let mut all: Vec<Ownership> = (0..4).map(|index| of(index, 0)).collect();
        for step in 0..60 {
            let index = rng.index(4);
            match rng.below(12) {
                0 => all[index] = of(index, step),
                1 => all[index].takeover = servers[rng.index(4)].to_owned(),
                2 => clock.advance(Duration::from_secs(rng.below(400))),
                _ => {}
            }
            if rng.below(3) == 0 {
                // What stalls is done later, and a list is never late by more than some minutes.
                let fault = [Fault::Fails, Fault::AnswerLost, Fault::Truncates][rng.index(3)];
                store.fail_at(rng.below(5), fault);
            }
            clock.advance(Duration::from_secs(rng.below(90)));
            let own = &mut all[index];
            let outcome = own.hold(&reader).and_then(|()| own.check(&reader));
            store.heal();
            taken += u64::from(is_taken(&outcome));
            if outcome.is_ok() {
                shipped += 1;
                let owner = current(&reader).unwrap().0;
                let owner = owner.unwrap_or_else(|| panic!("seed {seed}, step {step}: {own:?}"));
                assert_eq!(owner.host, format!("h{index}"), "seed {seed}, step {step}");
            }
        }
        let verified = verify(&reader, None, false, 1, &|_, _| {}).unwrap();
        assert_eq!(verified.damage, [], "seed {seed}");
    }
    assert!(shipped > 2500 && taken > 2000, "{shipped} {taken}");
}

/// What the server's thread does in one round.
pub(super) fn step(world: &mut World, archiver: &mut Archiver) -> Result<(), BackupError> {
    let log = world.engine.log.clone().unwrap();
    loop {
        let Step { more, base, rewrite_wanted, .. } =
            archiver.step(&log.manifest(), log.synced().0)?;
        if let Some(job) = base {
            let random = format!("{:08x}", world.rng.next_u64() & 0xffff_ffff);
            let made = job.run(&world.disk, world.clock.as_ref(), &random)?;
            archiver.base_sent(job.id(), made.is_some());
        }
        if rewrite_wanted {
            world.engine.begin_batch();
            world.engine.rewrite_now().unwrap();
        } else if !more {
            return Ok(());
        }
    }
}

pub(super) fn archiver(world: &World, store: &Arc<MemoryStore>, server: &str) -> Archiver {
    let repository = Repository::open_or_make(Arc::<MemoryStore>::clone(store), "01").unwrap();
    let (log, disk) = (world.engine.log.as_ref().unwrap(), Arc::new(world.disk.clone()));
    let mut archiver = Archiver::new(repository, disk, log.files().clone(), "here");
    archiver.ownership = Some(ownership(server, server, server, &world.clock));
    archiver
}

#[test]
fn a_failover_goes_on_with_the_archive_and_the_old_server_adds_nothing_any_more() {
    let store = Arc::new(MemoryStore::new());
    let mut old = World::new(51);
    old.run(&["SET", "of", "the old one"]);
    old.write();
    let mut old_archiver = archiver(&old, &store, "1111");
    step(&mut old, &mut old_archiver).unwrap();
    let repository = repository(&store);
    // Another server with other data, by mistake.
    let mut stranger = World::new(52);
    stranger.run(&["FLUSHALL"]);
    stranger.run(&["SET", "of", "a stranger"]);
    stranger.write();
    let before = store.names();
    let mut its_archiver = archiver(&stranger, &store, "3333");
    assert!(is_taken(&step(&mut stranger, &mut its_archiver)));
    assert_eq!(store.names(), before, "nothing of it is there");
    // The data set is restored elsewhere and takes over.
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    let mut new = World::new(53);
    new.disk = crate::disk::sim::SimDisk::new();
    to_directory(&repository, &plan, &new.disk, 1, &|_, _| {}).unwrap();
    new.engine = super::engine_on(&new.disk, &new.clock.clone(), 9);
    new.client = new.engine.replay_client();
    let mut new_archiver = archiver(&new, &store, "2222");
    new.run(&["SET", "of", "the new one"]);
    new.write();
    assert!(is_taken(&step(&mut new, &mut new_archiver)));
    new_archiver.ownership.as_mut().unwrap().takeover = "1111".to_owned();
    step(&mut new, &mut new_archiver).unwrap();
    let expected = digest_of(&new.engine);
    assert_eq!(digest_of_restored(&repository, &Target::Latest).unwrap(), expected);
    // The old one was only cut off.
    old.clock.advance(Duration::from_secs(3600));
    old.run(&["SET", "of", "the old one, later"]);
    old.write();
    assert!(is_taken(&step(&mut old, &mut old_archiver)));
    assert_eq!(digest_of_restored(&repository, &Target::Latest).unwrap(), expected);
    new.run(&["SET", "and", "on"]);
    new.write();
    step(&mut new, &mut new_archiver).unwrap();
    let expected = digest_of(&new.engine);
    assert_eq!(digest_of_restored(&repository, &Target::Latest).unwrap(), expected);
    assert_eq!(verify(&repository, None, true, 1, &|_, _| {}).unwrap().damage, []);
}
