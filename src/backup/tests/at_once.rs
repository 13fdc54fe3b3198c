//! Two backups at once into one place, and objects that are there already in another length or cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{World, digest_of, key_pair, repository};
use crate::backup::BackupError;
use crate::backup::create::{CreateOptions, Created, create};
use crate::backup::cut::Target;
use crate::backup::manifest::Origin;
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::to_memory;
use crate::backup::source::of_directory;
use crate::backup::store::memory::MemoryStore;
use crate::backup::store::{Listed, Put, Store, StoreError};
use crate::backup::verify::verify;
use crate::clock::SimClock;
use crate::disk::sim::SimDisk;

/// A store that does not know conditions: of two writers the last one has the name. Its first list of parts is empty, as
/// one is that was asked for before the other writer began.
#[derive(Debug)]
struct Careless {
    inner: Arc<MemoryStore>,
    listed: AtomicBool,
}

impl Store for Careless {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        if name.starts_with("objects/") {
            self.inner.remove(name)?;
        }
        self.inner.put_new(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        match prefix == "objects/" && !self.listed.swap(true, Ordering::Relaxed) {
            true => Ok(Vec::new()),
            false => self.inner.list(prefix),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        assert!(!name.starts_with("objects/"), "nobody removes {name}");
        self.inner.remove(name)
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

/// A data set whose base has several parts, which do not compress: a seal of a length of its own is all that differs.
fn several_parts() -> World {
    use crate::rng::Rng as _;
    let mut world = World::new(81);
    for n in 0..200 {
        let word = |world: &mut World| format!("{:016x}", world.rng.next_u64());
        let value: String = (0..2000).map(|_| word(&mut world)).collect();
        world.run(&["SET", &format!("k{n}"), &value]);
    }
    world.write();
    world
}

/// What a thread can have of a world.
struct Place(SimDisk, Arc<SimClock>);

fn back_up(
    Place(disk, clock): &Place,
    repository: &Repository,
    random: &str,
    beside: &(dyn Fn() + Sync),
) -> Result<Created, BackupError> {
    let source = of_directory(disk).unwrap();
    let options = CreateOptions { threads: 1, ..CreateOptions::default() };
    let clock = clock.as_ref();
    create(repository, &source, Origin::default(), options, clock, random, &|_, _| beside())
}

#[test]
fn two_backups_at_once_into_an_encrypted_place_are_both_whole_whatever_the_store_knows() {
    let world = several_parts();
    let here = Place(world.disk.clone(), Arc::clone(&world.clock));
    let (identity, recipient) = key_pair();
    for careless in [false, true] {
        let store = Arc::new(MemoryStore::new());
        repository(&store).sealed_for(std::slice::from_ref(&recipient)).unwrap();
        let open = || {
            let inner = Arc::<MemoryStore>::clone(&store);
            let plain: Arc<dyn Store> = inner.clone();
            let wrapped = || Arc::new(Careless { inner, listed: AtomicBool::new(false) });
            Repository::open(if careless { wrapped() } else { plain }).unwrap()
        };
        let (slow, fast) = (open(), open());
        let began = AtomicBool::new(false);
        // The other one begins and ends while the first part of this one is stored and the others are not.
        let beside = || {
            if !began.swap(true, Ordering::Relaxed) {
                back_up(&here, &fast, "fast", &|| ()).unwrap();
                assert_eq!(verify(&fast, None, false, 1, &|_, _| {}).unwrap().damage, []);
            }
        };
        let made = back_up(&here, &slow, "slow", &beside).unwrap();
        assert!(made.manifest.parts().count() > 2, "{careless}");
        let reader = repository(&store);
        assert_eq!(verify(&reader, None, false, 1, &|_, _| {}).unwrap().damage, []);
        let reader = reader.opened_with(std::slice::from_ref(&identity)).unwrap();
        let verified = verify(&reader, None, true, 1, &|_, _| {}).unwrap();
        assert_eq!((verified.damage.len(), verified.loaded), (0, 2), "{careless}");
    }
}

#[test]
fn an_object_that_lost_some_bytes_is_stored_anew_by_the_next_backup_encrypted_or_not() {
    for is_sealed in [false, true] {
        for lost in [1, 100, 1000] {
            let mut world = several_parts();
            let store = Arc::new(MemoryStore::new());
            let (identity, recipient) = key_pair();
            let recipients = if is_sealed { vec![recipient] } else { vec![] };
            let place = repository(&store).sealed_for(&recipients).unwrap();
            let first = world.back_up(&place).unwrap();
            let part = *first.manifest.parts().next().unwrap();
            store.damage(&part.object(), |bytes| bytes.truncate(bytes.len() - lost));
            let second = world.back_up(&place).unwrap();
            assert_eq!(second.objects_sent, 1, "{is_sealed}, {lost}");
            assert_eq!(verify(&place, None, false, 1, &|_, _| {}).unwrap().damage, []);
            let reader = place.clone().opened_with(&[identity]).unwrap();
            for id in reader.ids().unwrap() {
                let plan = plan(&reader, Some(&id), &Target::Latest).unwrap();
                let found = to_memory(&reader, &plan, 1, &|_, _| {}).unwrap().digest();
                assert_eq!(found, digest_of(&world.engine), "{is_sealed}, {lost}");
            }
        }
    }
}

#[test]
fn what_an_interrupted_backup_left_is_not_sent_again_encrypted_or_not() {
    for recipients in [vec![], vec![key_pair().1]] {
        let mut world = several_parts();
        let store = Arc::new(MemoryStore::new());
        let place = repository(&store).sealed_for(&recipients).unwrap();
        let first = world.back_up(&place).unwrap();
        store.remove(&first.manifest.object()).unwrap();
        let second = world.back_up(&place).unwrap();
        assert_eq!(second.objects_sent, 0);
        assert_eq!(verify(&place, None, false, 1, &|_, _| {}).unwrap().damage, []);
    }
}
