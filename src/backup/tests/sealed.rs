//! Encrypted repositories, and the vectors of the format.

use std::sync::Arc;

use super::{World, digest_of, key_pair, repository, with_fault};
use crate::backup::BackupError;
use crate::backup::archive::owner::current;
use crate::backup::cut::Target;
use crate::backup::key_objects::IDENTITY_COPY;
use crate::backup::passphrase::{IDENTITY, Passphrase};
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::to_memory;
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::store::{self, Store as _};
use crate::backup::verify::verify;

#[test]
fn an_encrypted_repository_is_made_and_looked_after_without_the_key_and_read_with_it_alone() {
    let mut world = World::new(21);
    let store = Arc::new(MemoryStore::new());
    let (identity, recipient) = key_pair();
    let sealed = repository(&store).sealed_for(std::slice::from_ref(&recipient)).unwrap();
    for n in 0..50 {
        world.run(&["SET", &format!("k{n}"), "a value that nobody may see"]);
    }
    world.write();
    world.engine.rewrite_now().unwrap();
    world.run(&["SET", "last", "a value that nobody may see"]);
    world.write();
    let first = world.back_up(&sealed).unwrap();
    // As another process finds it.
    let found = repository(&store);
    assert_eq!(found.recipients(), [recipient]);
    let again = world.back_up(&found).unwrap();
    assert!(first.objects_sent > 1 && again.objects_sent == 0, "what is there is not sent again");
    for name in store.names() {
        let bytes = store.get(&name).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"nobody"), "{name}");
    }
    assert_eq!(verify(&found, None, false, 1, &|_, _| {}).unwrap().damage, []);
    let plan = plan(&found, None, &Target::Latest).unwrap();
    let refused = to_memory(&found, &plan, 1, &|_, _| {}).map(drop);
    assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
    let refused = verify(&found, None, true, 1, &|_, _| {}).map(drop);
    assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
    let wrong = found.clone().opened_with(&[key_pair().0]).unwrap();
    assert!(!wrong.has_right_identity());
    assert!(to_memory(&wrong, &plan, 1, &|_, _| {}).is_err());
    let opened = found.clone().opened_with(&[identity]).unwrap();
    assert!(opened.has_right_identity());
    let digest = to_memory(&opened, &plan, 1, &|_, _| {}).unwrap().digest();
    assert_eq!(digest, digest_of(&world.engine));
    assert_eq!(verify(&opened, None, true, 1, &|_, _| {}).unwrap().damage, []);
    for name in store.names().into_iter().filter(|name| name.starts_with("objects/")) {
        for at in (0..store.get(&name).unwrap().len()).step_by(7) {
            store.damage(&name, |bytes| bytes[at] ^= 1);
            for reader in [&found, &opened] {
                let verified = verify(reader, None, false, 1, &|_, _| {}).unwrap();
                assert_eq!(verified.damage.len(), 1, "{name} at {at}");
            }
            store.damage(&name, |bytes| bytes[at] ^= 1);
        }
    }
    let other = repository(&store).sealed_for(&[key_pair().1]);
    assert!(matches!(other, Err(BackupError::Refused { .. })), "made for others");
}

#[test]
fn a_passphrase_is_needed_by_readers_alone_and_only_once() {
    let mut world = World::new(23);
    let store = Arc::new(MemoryStore::new());
    let passphrase = Passphrase::new("correct horse").unwrap();
    let wrong = Passphrase::new("battery staple").unwrap();
    let (identity, recipient) = key_pair();
    let recipients = [recipient];
    let sealed = repository(&store).sealed_by(&passphrase, &recipients, 4).unwrap();
    world.run(&["SET", "a", "a value that nobody may see"]);
    world.write();
    world.back_up(&sealed).unwrap();
    world.run(&["SET", "b", "a value that nobody may see"]);
    world.write();
    // Without it, as the archive does, and with it, to be sure whose repository it is.
    world.back_up(&repository(&store)).unwrap();
    let again = repository(&store).sealed_by(&passphrase, &recipients, 4).unwrap();
    world.back_up(&again).unwrap();
    for refused in [
        repository(&store).sealed_by(&wrong, &recipients, 4),
        repository(&store).sealed_by(&passphrase, &[], 4),
        repository(&store).sealed_for(&recipients),
        repository(&store).opened_by(&wrong),
        repository(&Arc::default()).opened_by(&passphrase),
    ] {
        assert!(matches!(refused, Err(BackupError::Refused { .. })), "{refused:?}");
    }
    for name in store.names() {
        let bytes = store.get(&name).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"nobody"), "{name}");
    }
    let by_key = repository(&store).opened_with(&[identity]).unwrap();
    for reader in [repository(&store).opened_by(&passphrase).unwrap(), by_key] {
        let plan = plan(&reader, None, &Target::Latest).unwrap();
        let found = to_memory(&reader, &plan, 1, &|_, _| {}).unwrap().digest();
        assert_eq!(found, digest_of(&world.engine));
        assert_eq!(verify(&reader, None, true, 1, &|_, _| {}).unwrap().damage, []);
    }
    // Every byte of what it opens is looked at.
    for at in 0..store.get(IDENTITY).unwrap().len() {
        store.damage(IDENTITY, |bytes| bytes[at] ^= 1);
        let verified = verify(&repository(&store), None, false, 1, &|_, _| {}).unwrap();
        assert_eq!(verified.damage.len(), 1, "{at}");
        // Its copy opens the repository meanwhile.
        repository(&store).opened_by(&passphrase).unwrap();
        let copy = store.get(IDENTITY_COPY).unwrap();
        store.remove(IDENTITY_COPY).unwrap();
        let refused = repository(&store).opened_by(&passphrase);
        assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
        store.put_new(IDENTITY_COPY, &copy).unwrap();
        store.damage(IDENTITY, |bytes| bytes[at] ^= 1);
    }
}

#[test]
fn a_store_that_fails_while_a_passphrase_is_set_leaves_it_to_be_set() {
    let passphrase = Passphrase::new("correct horse").unwrap();
    for fault in Fault::ALL {
        for at in 0.. {
            let store = Arc::new(MemoryStore::new());
            let fresh = repository(&store);
            store.fail_at(at, fault);
            let outcome = Repository::open(with_fault(&store, fault))
                .and_then(|found| found.sealed_by(&passphrase, &[], 2));
            let done = store.operations() <= at && outcome.is_ok();
            store.heal();
            drop(fresh);
            let sealed = repository(&store).sealed_by(&passphrase, &[], 2);
            let sealed = sealed.unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            assert_eq!(sealed.recipients().len(), 1);
            let mut world = World::new(3);
            world.run(&["SET", "a", "1"]);
            world.write();
            world.back_up(&sealed).unwrap();
            let reader = repository(&store).opened_by(&passphrase).unwrap();
            let verified = verify(&reader, None, true, 1, &|_, _| {}).unwrap();
            assert_eq!((verified.damage.len(), verified.loaded), (0, 1), "{fault:?} at {at}");
            if done {
                assert!(at > 8, "{at}");
                break;
            }
        }
    }
}

#[test]
fn a_repository_that_has_something_is_not_encrypted_afterwards() {
    let mut world = World::new(22);
    let store = Arc::new(MemoryStore::new());
    world.run(&["SET", "a", "1"]);
    world.write();
    world.back_up(&repository(&store)).unwrap();
    let sealed = repository(&store).sealed_for(&[key_pair().1]);
    assert!(matches!(sealed, Err(BackupError::Refused { .. })), "{sealed:?}");
}

#[test]
fn the_vectors_are_read_as_they_are_described() {
    // Three parts; and a base, a beginning, three pieces.
    for (name, objects) in
        [("backup", 3), ("backup-archive", 5), ("backup-sealed", 1), ("backup-passphrase", 1)]
    {
        read_vector(name, objects);
    }
}

fn read_vector(name: &str, objects: u64) {
    let vectors = format!("{}/format-spec/vectors", env!("CARGO_MANIFEST_DIR"));
    let disk = Arc::new(crate::disk::os::OsDisk::new(&vectors));
    let store = store::open(name, disk).unwrap();
    #[allow(clippy::disallowed_methods, reason = "a test reads its vectors")]
    let beside = |end: &str| {
        std::fs::read_to_string(std::path::Path::new(&vectors).join(format!("{name}.{end}")))
    };
    let identities = beside("identity").into_iter().collect::<Vec<_>>();
    let mut repository = Repository::open(store).unwrap().opened_with(&identities).unwrap();
    if let Ok(text) = beside("passphrase") {
        repository = repository.opened_by(&Passphrase::new(&text).unwrap()).unwrap();
    }
    let (owner, number) = current(&repository).unwrap();
    let owner = owner.map(|owner| (owner.server, owner.ended, number));
    let claimed = (name == "backup-archive").then(|| ("0123456789abcdef".to_owned(), true, 2));
    assert_eq!(owner, claimed);
    let verified = verify(&repository, None, true, 1, &|_, _| {}).unwrap();
    assert_eq!((verified.damage.len(), verified.objects, verified.unnamed), (0, objects, 0));
    let plan = plan(&repository, None, &Target::Latest).unwrap();
    let mut text = format!("backup {}\n", plan.manifest.id);
    for file in plan.manifest.files() {
        let parts = file.parts.len();
        text.push_str(&format!("file {} size={} parts={parts}\n", file.name, file.size));
    }
    let loaded = to_memory(&repository, &plan, 1, &|_, _| {}).unwrap();
    if let Some(position) = plan.position {
        text.push_str(&format!("position {position}\n"));
    }
    text.push_str(&format!("keys {}\n", loaded.keys()));
    text.push_str(&format!("digest {}\n", loaded.digest()));
    let expected = beside("txt").unwrap();
    assert_eq!(text, expected);
}
