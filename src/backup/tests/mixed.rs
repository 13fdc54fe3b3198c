//! Logs of Redis before version 7, and those that Redis 7 has not rewritten yet: a snapshot with records behind it.

use std::sync::Arc;
use std::time::Duration;

use super::{START, World, digest_of_restored, repository};
use crate::backup::BackupError;
use crate::backup::chosen::{RdbFile, to_rdb};
use crate::backup::cut::Target;
use crate::backup::load::{Filter, of_source};
use crate::backup::manifest::Origin;
use crate::backup::plan::plan;
use crate::backup::source::of_directory;
use crate::backup::store::memory::MemoryStore;
use crate::backup::verify::verify;
use crate::backup::{files, repository::Repository};
use crate::clock::Clock as _;
use crate::disk::Disk as _;
use crate::disk::sim::SimDisk;
use crate::snapshot::target::Target as Version;

const RECORDS: &[u8] =
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$8\r\nFLUSHALL\r\n*3\r\n$3\r\nSET\r\n$7\r\nwrecked\r\n$1\r\n1\r\n";

/// A directory of Redis with a snapshot, what follows it in the same file, and a segment behind it, if any.
fn directory(behind: &[u8], segment: Option<&[u8]>) -> World {
    let mut world = World::new(61);
    world.run(&["SET", "base", "1"]);
    world.write();
    let loaded = of_source(&of_directory(&world.disk).unwrap()).unwrap();
    let disk = SimDisk::new();
    loaded.write_rdb(&disk, "appendonly.aof", Version::Newest).unwrap();
    let mut bytes = disk.bytes("appendonly.aof").unwrap();
    bytes.extend_from_slice(behind);
    world.disk = SimDisk::new();
    let Some(segment) = segment else {
        world.disk.put("appendonly.aof", &bytes);
        return world;
    };
    world.disk.create_dir("appendonlydir").unwrap();
    world.disk.put("appendonlydir/appendonly.aof", &bytes);
    world.disk.put("appendonlydir/appendonly.aof.1.incr.aof", segment);
    let manifest =
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n";
    world.disk.put("appendonlydir/appendonly.aof.manifest", manifest.as_bytes());
    world
}

fn refusal(repository: &Repository, target: &Target) -> String {
    match plan(repository, None, target) {
        Err(error @ BackupError::Refused { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_with_records_behind_it_is_backed_up_and_restored_in_every_way() {
    let segment = b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n";
    for segment in [None, Some(&segment[..])] {
        let mut world = directory(RECORDS, segment);
        let expected = of_source(&of_directory(&world.disk).unwrap()).unwrap();
        assert_eq!(expected.keys(), 1 + u64::from(segment.is_some()), "wrecked, and x");
        let repository = repository(&Arc::new(MemoryStore::new()));
        let made = world.back_up(&repository).unwrap().manifest;
        assert_eq!(made.instant, None, "nothing says when the records were written");
        assert_eq!(verify(&repository, None, true, 1, &|_, _| {}).unwrap().damage, []);
        let found = digest_of_restored(&repository, &Target::Latest).unwrap();
        assert_eq!(found, expected.digest());
        let disk = SimDisk::new();
        let file = RdbFile { path: "x.rdb", target: Version::Newest };
        let plan = plan(&repository, None, &Target::Latest).unwrap();
        let all = Filter::default();
        let restored = to_rdb(&repository, &plan, &all, (&disk, file), 1, &|_, _| {}).unwrap();
        assert_eq!(restored.digest, Some(expected.digest()));
    }
}

#[test]
fn an_instant_of_records_without_times_is_refused_unless_it_is_behind_all_of_them() {
    let mut world = directory(RECORDS, None);
    let repository = repository(&Arc::new(MemoryStore::new()));
    world.clock.advance(Duration::from_secs(100));
    let made = world.back_up(&repository).unwrap().manifest.created_at;
    let before = Target::Time(made - 1);
    assert!(refusal(&repository, &before).contains("the log has no times"));
    digest_of_restored(&repository, &Target::Time(made)).unwrap();
    // The files themselves do not say until when.
    let source = of_directory(&world.disk).unwrap();
    let as_it_is = files::repository(source, Origin::default(), "here").unwrap();
    for at in [made - 1, made + 1_000_000] {
        assert!(refusal(&as_it_is, &Target::Time(at)).contains("the log has no times"));
    }
    digest_of_restored(&as_it_is, &Target::Latest).unwrap();
}

#[test]
fn times_among_the_records_say_for_which_instants_they_are_right() {
    let records = [format!("#TS:{}\r\n", START / 1000).as_bytes(), RECORDS].concat();
    let mut world = directory(&records, None);
    let repository = repository(&Arc::new(MemoryStore::new()));
    world.clock.advance(Duration::from_secs(100));
    let made = world.back_up(&repository).unwrap().manifest;
    assert_eq!(made.instant, Some(START));
    assert!(refusal(&repository, &Target::Time(START - 1)).contains("no backup is as old as"));
    digest_of_restored(&repository, &Target::Time(START)).unwrap();
    assert!(made.created_at > START && world.clock.wall() > START);
}
