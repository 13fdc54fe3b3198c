//! Where is restored to, and which keys.

use std::sync::Arc;

use super::{World, repository};
use crate::backup::BackupError;
use crate::backup::cut::Target;
use crate::backup::load::Filter;
use crate::backup::plan::plan;
use crate::backup::restore::{self, to_directory, to_memory};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk as _, OpenMode};

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
        let mut loaded = to_memory(&repository, &plan, 1, &|_, _| {}).unwrap();
        let disk = SimDisk::new();
        let filter = Filter { patterns, databases };
        let restored = restore::to_rdb(&mut loaded, &filter, &disk, "out.rdb").unwrap();
        assert_eq!(restored.keys, Some(expected), "{filter:?}");
        assert_eq!(disk.list("").unwrap(), ["out.rdb"]);
        assert!(restore::to_rdb(&mut loaded, &filter, &disk, "out.rdb").is_err(), "it is there");
    }
}
