//! Saves by themselves: the file holds one instant whatever is written meanwhile, for every type, form and number of
//! threads; a save that fails or is cut off leaves the old file, and one that was told to give up is no failure.

use std::sync::Arc;

use fastness::clock::Clock;
use fastness::config::{AppendFsync, Config, RdbCompression};
use fastness::disk::sim::{CrashMode, Fault, SimDisk};
use fastness::engine::Engine;
use fastness::engine::persist::{PersistRequest, SaveJob};
use fastness::keyspace::{Entry, Keyspace};
use fastness::logger::Logger;
use fastness::recovery;
use fastness::rng::SeededRng;
use fastness::types::limits::Limits;
use fastness::types::stream::StreamId;
use fastness::types::{Hash, List, Set, Stream, ZSet};
use parking_lot::Mutex;

use crate::model::{State, difference, engine_of, state_of};
use crate::sim::{config, later};
use crate::support::rng::Rng;

const FORMS: [RdbCompression; 3] = [RdbCompression::Zstd, RdbCompression::Yes, RdbCompression::No];

fn config_of(form: RdbCompression) -> Config {
    let mut config = config(AppendFsync::Always);
    config.appendonly = false;
    config.rdbcompression = form;
    config
}

fn engine(disk: &SimDisk, form: RdbCompression, threads: usize, clock: &Arc<dyn Clock>) -> Engine {
    crate::fix_hashes();
    let mut engine = engine_of(&config_of(form), clock, Arc::new(disk.clone()), 1);
    engine.persist.threads = threads;
    engine
}

/// What a start finds in the directory; an error is a refusal.
fn found(disk: &SimDisk) -> Result<State, String> {
    let clock = later();
    let live = Mutex::new(engine(disk, RdbCompression::Zstd, 2, &clock));
    let logger = Logger::silent(Arc::clone(&clock));
    recovery::start_up(&live, &logger).map_err(|error| error.to_string())?;
    Ok(state_of(&live.lock().ks))
}

fn text(n: usize) -> Vec<u8> {
    format!("{n}-{}", "text".repeat(n % 7)).into_bytes()
}

/// Changes a key: most grow and shrink, some are deleted, some become large.
fn change(ks: &mut Keyspace, rng: &mut Rng) {
    let number = rng.below(48);
    let key = format!("large {number}").into_bytes();
    let count = *rng.pick(&[1, 3, 40, 400]);
    let limits = Limits::default();
    if rng.chance(3) {
        ks.remove(0, &key);
        return;
    }
    let remove = rng.chance(40);
    for _ in 0..count {
        let member = text(rng.below(3000));
        match number % 6 {
            0 => {
                let set = ks.write_or_create(0, &key, Set::new).unwrap();
                let _ = if remove { set.remove(&member) } else { set.insert(&member, &limits) };
            }
            1 => {
                let hash = ks.write_or_create(0, &key, Hash::new).unwrap();
                let _ = match remove {
                    true => hash.remove(&member),
                    false => hash.insert(&member, &text(rng.below(900)), &limits),
                };
            }
            2 => {
                let zset = ks.write_or_create(0, &key, ZSet::new).unwrap();
                if remove {
                    zset.remove(&member);
                } else {
                    zset.insert(&member, rng.below(99) as f64, &limits);
                }
            }
            3 => {
                let list = ks.write_or_create(0, &key, List::new).unwrap();
                match (remove, rng.chance(50)) {
                    (true, _) => drop(list.pop_front(-2)),
                    (false, true) => list.push_back(&member[..], -2),
                    (false, false) => list.push_front(&member[..], -2),
                }
            }
            4 => {
                let stream = ks.write_or_create(0, &key, Stream::new).unwrap();
                let id = stream.last_id();
                if remove {
                    stream.delete(StreamId { ms: rng.below(id.ms as usize + 1) as u64, seq: 0 });
                } else {
                    let id = StreamId { ms: id.ms + 1, seq: 0 };
                    let parts = [&member[..], b"value"];
                    stream.append(id, parts.into_iter(), &limits).unwrap();
                }
            }
            _ => {
                let value = text(rng.below(100)).repeat(count * count);
                ks.insert(0, Entry::new_string(&key, &value, None));
            }
        }
    }
    ks.remove_if_void::<Set>(0, &key);
    ks.remove_if_void::<Hash>(0, &key);
    ks.remove_if_void::<ZSet>(0, &key);
    ks.remove_if_void::<List>(0, &key);
    // Small keys make the table grow, split and join.
    for _ in 0..rng.below(80) {
        let key = text(rng.below(6000));
        if rng.chance(30) {
            ks.remove(0, &key);
        } else {
            ks.insert(0, Entry::new_string(&key, b"small", None));
        }
    }
}

fn request(live: &Mutex<Engine>) -> SaveJob {
    let mut engine = live.lock();
    engine.request_persist(PersistRequest::Save);
    engine.take_persist_job().unwrap()
}

fn run(live: &Mutex<Engine>, mut job: SaveJob) -> Result<(), String> {
    let outcome = loop {
        if let Some(outcome) = job.step(live) {
            break outcome;
        }
    };
    live.lock().persist_finished(&job, outcome.clone());
    outcome
}

#[test]
fn a_save_holds_its_instant_for_every_type_while_all_is_written() {
    for seed in 0..9 {
        let disk = SimDisk::new();
        let clock = later();
        let mut rng = Rng::new(seed);
        let form = *rng.pick(&FORMS);
        let live = Mutex::new(engine(&disk, form, [0, 1, 3][seed as usize % 3], &clock));
        for _ in 0..120 {
            change(&mut live.lock().ks, &mut rng);
        }
        let mut job = request(&live);
        // The second stage fixes the instant.
        assert!(job.step(&live).is_none() && job.step(&live).is_none());
        let wanted = state_of(&live.lock().ks);
        assert!(wanted.len() > 500);
        let mut stages = 0;
        let outcome = loop {
            stages += 1;
            if stages == 5 && rng.chance(30) {
                live.lock().ks.take_all(0);
            }
            for _ in 0..rng.below(6) {
                change(&mut live.lock().ks, &mut rng);
            }
            if let Some(outcome) = job.step(&live) {
                break outcome;
            }
        };
        outcome.unwrap();
        assert!(stages > 3);
        let saved = found(&disk).unwrap();
        assert_eq!(difference(&wanted, &saved), "", "seed {seed}, {form:?}");
    }
}

/// An engine with a saved file of some data, then with more data.
fn saved_once(disk: &SimDisk, threads: usize) -> (Mutex<Engine>, State, State) {
    let clock = later();
    let live = Mutex::new(engine(disk, RdbCompression::Zstd, threads, &clock));
    let mut rng = Rng::new(5);
    (0..8).for_each(|_| change(&mut live.lock().ks, &mut rng));
    let first = state_of(&live.lock().ks);
    let job = request(&live);
    run(&live, job).unwrap();
    (0..4).for_each(|_| change(&mut live.lock().ks, &mut rng));
    let second = state_of(&live.lock().ks);
    assert_ne!(first, second);
    (live, first, second)
}

fn temporary(disk: &SimDisk) -> bool {
    disk.files().iter().any(|path| path.starts_with("temp-"))
}

#[test]
fn a_save_that_the_disk_fails_leaves_the_old_file() {
    for threads in [0, 2] {
        for fault in [Fault::Eio, Fault::SyncDropsPages] {
            let mut failed = 0;
            // With threads the order of operations is the same.
            for at in (0..).step_by(1 + threads) {
                let disk = SimDisk::new();
                let (live, first, second) = saved_once(&disk, threads);
                disk.fail_at(disk.operation_count() + at, fault);
                let job = request(&live);
                let outcome = run(&live, job);
                let ok = live.lock().server.persistence.last_save_ok;
                assert_eq!(ok, outcome.is_ok(), "{fault:?} at {at}");
                disk.clear_faults();
                let saved = found(&disk).unwrap();
                if outcome.is_ok() {
                    assert_eq!(saved, second);
                    break;
                }
                failed += 1;
                assert!(saved == first || saved == second, "{fault:?} at {at}");
                assert!(!temporary(&disk), "{fault:?} at {at}");
                // The next one mends it.
                let job = request(&live);
                run(&live, job).unwrap();
                assert!(live.lock().server.persistence.last_save_ok);
                assert_eq!(found(&disk).unwrap(), second);
            }
            assert!(failed > 2, "{failed} operations failed");
        }
        // A full disk.
        for room in (0..4000).step_by(500) {
            let disk = SimDisk::new();
            let (live, first, _) = saved_once(&disk, threads);
            disk.set_capacity(Some(disk.used_bytes() + room));
            let job = request(&live);
            run(&live, job).unwrap_err();
            assert!(!live.lock().server.persistence.last_save_ok && !temporary(&disk));
            assert_eq!(found(&disk).unwrap(), first);
        }
    }
}

#[test]
fn a_save_that_loses_power_leaves_one_file_whole_and_no_other() {
    for at in 0.. {
        let disk = SimDisk::new();
        let (live, first, second) = saved_once(&disk, 0);
        disk.fail_at(disk.operation_count() + at, Fault::PowerCut);
        let job = request(&live);
        let outcome = run(&live, job);
        for mode in CrashMode::ALL {
            let left = disk.crash(mode, &mut SeededRng::new(at));
            let saved = found(&left).unwrap_or_else(|why| panic!("cut at {at}, {mode:?}: {why}"));
            let right = saved == second || (outcome.is_err() && saved == first);
            assert!(right, "cut at {at}, {mode:?}");
            assert!(!temporary(&left), "cut at {at}, {mode:?}: {:?}", left.files());
        }
        if outcome.is_ok() {
            assert!(at > 5);
            break;
        }
    }
}

#[test]
fn a_save_that_is_told_to_give_up_is_no_failure() {
    for (stages, threads) in [(1, 0), (3, 0), (3, 2), (4, 2)] {
        let disk = SimDisk::new();
        let (live, first, _) = saved_once(&disk, threads);
        let mut job = request(&live);
        for _ in 0..stages {
            assert!(job.step(&live).is_none());
        }
        live.lock().cancel_persist();
        run(&live, job).unwrap_err();
        let engine = live.lock();
        assert!(engine.server.persistence.last_save_ok);
        assert!(engine.server.persistence.last_good_save_at.is_some());
        drop(engine);
        assert!(!temporary(&disk));
        assert_eq!(found(&disk).unwrap(), first);
    }
}
