//! Where is restored to, and which keys.

use std::sync::Arc;

use super::{World, repository};
use crate::backup::BackupError;
use crate::backup::chosen::{RdbFile, keys_to_directory, to_rdb};
use crate::backup::cut::Target;
use crate::backup::load::Filter;
use crate::backup::plan::plan;
use crate::backup::restore::to_directory;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk as _, OpenMode};
use crate::snapshot::target::Target as Version;

#[test]
fn a_directory_with_something_in_it_is_refused_and_stays_as_it_is() {
    let mut world = World::new(1);
    let repository = repository(&Arc::default());
    world.run(&["SET", "a", "1"]);
    world.write();
    world.back_up(&repository).unwrap();
    let disk = SimDisk::new();
    disk.open("mine", OpenMode::CreateOrTruncate).unwrap();
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    let refused = to_directory(&repository, &plan, &disk, 1, &|_, _| {});
    assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
    assert_eq!(disk.list("").unwrap(), ["mine"]);
}

#[test]
fn filters_take_the_keys_and_databases_that_are_asked_for() {
    let mut world = World::new(1);
    let repository = repository(&Arc::default());
    for db in ["0", "1"] {
        world.run(&["SELECT", db]);
        world.run(&["MSET", "user:1", "a", "user:2", "b", "other", "c"]);
    }
    world.write();
    world.back_up(&repository).unwrap();
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    for (patterns, databases, expected) in [
        (vec![b"user:*".to_vec()], vec![], 4),
        (vec![b"user:*".to_vec()], vec![1], 2),
        (vec![b"other".to_vec(), b"user:1".to_vec()], vec![0], 2),
        (vec![], vec![], 6),
    ] {
        let disk = SimDisk::new();
        let filter = Filter { patterns, databases };
        let file = RdbFile { path: "out.rdb", target: Version::Newest };
        let restore = || to_rdb(&repository, &plan, &filter, (&disk, file), 1, &|_, _| {});
        assert_eq!(restore().unwrap().keys, Some(expected), "{filter:?}");
        assert_eq!(disk.list("").unwrap(), ["out.rdb"]);
        assert!(matches!(restore(), Err(BackupError::Refused { .. })), "it is there");
        let disk = SimDisk::new();
        let keys = keys_to_directory(&repository, &plan, &filter, &disk, 1, &|_, _| {}).unwrap();
        assert_eq!(keys.keys, Some(expected), "{filter:?}");
        assert_eq!(disk.list("").unwrap(), ["dump.rdb", "fastness.lock"]);
    }
}
