//! Power loss and faults at every operation of the log, in every mode.
//!
//! After each: what was promised is there, what is there is a prefix of what was appended, the start
//! needs no person, and the log goes on from there and may crash again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::testing::{World, recover};
use super::*;
use crate::disk::sim::{CrashMode, Fault, SimDisk};
use crate::rng::SeededRng;

/// How many seeds each random mode is tried with.
const SEEDS: u64 = 6;
/// Without filler ahead of the frames, and with so little that its ends are met often.
const AHEAD: [usize; 2] = [0, 900];

/// The life of a log: commits, unsynced writes, two rewrites with writes in between, a rotation without a base, a
/// close. Errors end a step, not the life.
fn live(world: &mut World, until_error: bool) {
    #[allow(clippy::type_complexity, reason = "a table of scenarios reads best in one place")]
    let mut steps: Vec<&dyn Fn(&mut World) -> Result<(), LogError>> = Vec::new();
    let commit = |world: &mut World| {
        world.append_many(2);
        world.commit()
    };
    let write = |world: &mut World| {
        world.append_many(3);
        world.write()
    };
    let rewrite = |world: &mut World| {
        world.append_many(2);
        world.log.prepare_rotation()?;
        world.append();
        world.write()?;
        world.append();
        let cut = world.log.cut()?;
        let count = world.ends.len();
        world.append_many(2);
        world.write()?;
        world.append();
        world.sync()?;
        world.install(cut, count)
    };
    let early_base = |world: &mut World| {
        world.append();
        world.rewrite()
    };
    let rotate = |world: &mut World| {
        world.append();
        world.log.prepare_rotation()?;
        world.log.cut()?;
        world.append();
        world.write()
    };
    let close = |world: &mut World| world.log.close().inspect(|()| world.look());
    steps.extend::<[&dyn Fn(&mut World) -> Result<(), LogError>; 11]>([
        &commit,
        &write,
        &write,
        &commit,
        &rewrite,
        &write,
        &rotate,
        &early_base,
        &write,
        &commit,
        &close,
    ]);
    for step in steps {
        if step(world).is_err() {
            world.look();
            if until_error {
                return;
            }
            world.heal();
        }
    }
}

/// The operations of a life without faults.
fn operations(ahead: usize) -> u64 {
    let disk = SimDisk::new();
    live(&mut World::filling(&disk, ahead).unwrap(), true);
    disk.operation_count()
}

/// Checks what a power loss now would leave, in all modes; returns the disks with what they hold.
fn crash(world: &World, what: &str) -> Vec<(SimDisk, usize, String)> {
    let mut left = Vec::new();
    for mode in CrashMode::ALL {
        for seed in 0..SEEDS {
            let disk = world.disk.crash(mode, &mut SeededRng::new(seed));
            let what = format!("{what}, {mode:?}, seed {seed}");
            let found = match catch_unwind(AssertUnwindSafe(|| recover(&disk))) {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => panic!("{what}: {error}\n{}", world.disk.operations()),
                Err(_) => panic!("{what}\n{}", world.disk.operations()),
            };
            assert!(
                (world.promised..=world.ends.len()).contains(&found.count),
                "{what}: {} promised, {} found, {} appended\n{}",
                world.promised,
                found.count,
                world.ends.len(),
                world.disk.operations()
            );
            left.push((disk, found.count, what));
        }
    }
    left
}

/// A second life on what a crash left, and a second crash.
fn live_again(disk: &SimDisk, count: usize, what: &str) {
    let found = recover(disk).unwrap();
    assert_eq!(found.count, count);
    let mut world = found.restart(disk, 77).unwrap();
    world.append_many(3);
    world.commit().unwrap();
    assert_eq!(world.promised, count + 3);
    world.append();
    world.write().unwrap();
    for (disk, again, what) in crash(&world, &format!("{what}, again")) {
        assert!(again >= count + 3, "{what}");
        drop(disk);
    }
    world.rewrite().unwrap();
    crash(&world, &format!("{what}, rewritten"));
}

#[test]
fn power_loss_at_every_operation() {
    assert!(operations(AHEAD[1]) > operations(AHEAD[0]) + 3, "filler is written");
    AHEAD.into_iter().for_each(power_loss);
}

fn power_loss(ahead: usize) {
    let count = operations(ahead);
    assert!(count > 70, "{count} operations");
    let mut partial = 0;
    for at in 0..=count {
        let disk = SimDisk::new();
        disk.fail_at(at, Fault::PowerCut);
        let Ok(mut world) = World::filling(&disk, ahead) else {
            for mode in CrashMode::ALL {
                let disk = disk.crash(mode, &mut SeededRng::new(at));
                live_again(&disk, 0, &format!("cut at {at}, {mode:?}"));
            }
            continue;
        };
        live(&mut world, true);
        for (index, (disk, found, what)) in
            crash(&world, &format!("cut at {at}")).into_iter().enumerate()
        {
            partial += usize::from(found > world.promised && found < world.ends.len());
            if index as u64 % SEEDS < 2 {
                live_again(&disk, found, &what);
            }
        }
    }
    assert!(partial > 100, "{partial} times something between was found");
}

#[test]
fn every_fault_at_every_operation() {
    AHEAD.into_iter().for_each(every_fault);
}

fn every_fault(ahead: usize) {
    let faults = [
        Fault::Eio,
        Fault::SyncDropsPages,
        Fault::SyncKeepsPages,
        Fault::ShortWrite(0),
        Fault::ShortWrite(1),
        Fault::ShortWrite(600),
    ];
    let mut failed = 0;
    for at in 0..operations(ahead) {
        for fault in faults {
            let disk = SimDisk::new();
            disk.fail_at(at, fault);
            let Ok(mut world) = World::filling(&disk, ahead) else { continue };
            live(&mut world, false);
            failed += usize::from(world.log.stats().rewrites > 2);
            assert_ne!(world.log.state(), LogState::Failed, "{fault:?} at {at} is healed");
            let what = format!("{fault:?} at {at}");
            world.append();
            world.commit().unwrap();
            assert_eq!(world.promised, world.ends.len(), "{what}");
            crash(&world, &what);
        }
    }
    assert!(failed > 10, "{failed} faults needed a new base");
}

#[test]
fn fault_and_then_power_loss() {
    AHEAD.into_iter().for_each(fault_and_power_loss);
}

fn fault_and_power_loss(ahead: usize) {
    let count = operations(ahead);
    for at in (0..count).step_by(3) {
        for fault in [Fault::Eio, Fault::SyncDropsPages] {
            for cut in (at + 1..at + 14).step_by(2) {
                let disk = SimDisk::new();
                disk.fail_at(at, fault);
                disk.fail_at(cut, Fault::PowerCut);
                let Ok(mut world) = World::filling(&disk, ahead) else { continue };
                live(&mut world, false);
                let left = crash(&world, &format!("{fault:?} at {at}, cut at {cut}"));
                let (disk, found, what) = &left[4 * SEEDS as usize - 1];
                live_again(disk, *found, what);
            }
        }
    }
}

#[test]
fn disk_full_at_every_fill_level_and_power_loss_while_it_is() {
    AHEAD.into_iter().for_each(full_disk);
}

fn full_disk(ahead: usize) {
    let mut filled = 0;
    for capacity in (200..9000).step_by(97) {
        let disk = SimDisk::new();
        disk.set_capacity(Some(capacity));
        let Ok(mut world) = World::filling(&disk, ahead) else { continue };
        live(&mut world, false);
        filled += usize::from(world.log.state() == LogState::Full);
        assert_ne!(world.log.state(), LogState::Failed, "capacity {capacity}");
        let what = format!("capacity {capacity}");
        crash(&world, &what);
        disk.set_capacity(None);
        world.append();
        world.commit().unwrap();
        assert_eq!(world.promised, world.ends.len(), "{what}");
        crash(&world, &what);
    }
    assert!(filled > 20, "{filled} times the disk was full");
}

#[test]
fn rot_of_any_synced_byte_is_never_loaded_silently() {
    AHEAD.into_iter().for_each(rot);
}

fn rot(ahead: usize) {
    let disk = SimDisk::new();
    let mut world = World::filling(&disk, ahead).unwrap();
    live(&mut world, true);
    let all = world.ends.len();
    for path in disk.files() {
        let len = disk.bytes(&path).unwrap().len() as u64;
        // The base is the snapshot's to check.
        for offset in (0..len).filter(|_| !path.ends_with("base.rdb")) {
            disk.rot(&path, offset, 0x10);
            // The last frame, which says no more than that all is synced, may be lost.
            if let Ok(found) = recover(&disk) {
                assert_eq!(found.count, all, "{path} {offset}");
            }
            disk.rot(&path, offset, 0x10);
        }
    }
}
