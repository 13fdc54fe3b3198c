//! The objects that say how a repository is encrypted, lost or put in the place of one another.

use std::sync::Arc;

use super::owners::{archiver, step};
use super::{World, digest_of, key_pair, repository, with_fault};
use crate::backup::BackupError;
use crate::backup::cut::Target;
use crate::backup::key_objects::{IDENTITY_COPY, RECIPIENTS_COPY};
use crate::backup::manifest::{Manifest, Sealing};
use crate::backup::passphrase::{IDENTITY, Passphrase};
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::restore::to_memory;
use crate::backup::seal::RECIPIENTS;
use crate::backup::store::Store as _;
use crate::backup::store::memory::{Fault, MemoryStore};
use crate::backup::verify::verify;

/// The identity of all recipients' repositories here, and its recipient.
struct Made {
    world: World,
    store: Arc<MemoryStore>,
    identity: String,
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse").unwrap()
}

/// A repository with a backup and a piece of the log, encrypted for an identity, and by a passphrase as well.
fn made(by_passphrase: bool) -> Made {
    let mut world = World::new(90);
    let store = Arc::new(MemoryStore::new());
    let (identity, recipient) = key_pair();
    let fresh = repository(&store);
    let sealed = match by_passphrase {
        true => fresh.sealed_by(&passphrase(), &[recipient], 2).unwrap(),
        false => fresh.sealed_for(&[recipient]).unwrap(),
    };
    world.run(&["SET", "a", "a value that nobody may see"]);
    world.write();
    world.back_up(&sealed).unwrap();
    world.run(&["SET", "b", "a value that nobody may see"]);
    world.write();
    let mut ships = archiver(&world, &store, "1111");
    step(&mut world, &mut ships).unwrap();
    Made { world, store, identity }
}

impl Made {
    fn put(&self, name: &str, bytes: &[u8]) {
        self.store.remove(name).unwrap();
        self.store.put_new(name, bytes).unwrap();
    }

    /// As an earlier version left it: without copies, and manifests say nothing.
    fn as_of_old(&self) {
        self.store.remove(RECIPIENTS_COPY).unwrap();
        self.store.remove(IDENTITY_COPY).unwrap();
        for name in self.store.names().into_iter().filter(|name| name.starts_with("backups/")) {
            let manifest = Manifest::decode(&self.store.get(&name).unwrap()).unwrap();
            self.put(&name, &Manifest { sealing: None, ..manifest }.encode());
        }
    }

    /// Nothing is stored in it, by a backup or by a server, and verify names the object.
    fn is_refused(&mut self, object: &str, case: &str) {
        let is_named = |outcome: &Result<(), BackupError>| match outcome {
            Err(BackupError::Damaged { object: named, .. }) => named == object,
            _ => false,
        };
        self.world.run(&["SET", "c", "a value that nobody may see"]);
        self.world.write();
        let before = self.store.objects();
        let outcome = self.world.back_up(&repository(&self.store)).map(drop);
        assert!(is_named(&outcome), "{case}: {outcome:?}");
        assert!(outcome.unwrap_err().next_step().contains("-copy"), "{case}");
        let mut ships = archiver(&self.world, &self.store, "1111");
        let outcome = step(&mut self.world, &mut ships);
        assert!(is_named(&outcome), "{case}: {outcome:?}");
        let is_claim = |name: &&String| !name.starts_with("owner/");
        let (mut names, mut old) = (self.store.names(), before.into_keys().collect::<Vec<_>>());
        names.retain(|name| is_claim(&name));
        old.retain(|name| is_claim(&name));
        assert_eq!(names, old, "{case}");
        let damage = verify(&repository(&self.store), None, false, 1, &|_, _| {}).unwrap().damage;
        assert!(damage.iter().any(|damage| damage.object == object), "{case}: {damage:?}");
    }

    fn can_be_read(&self, reader: &Repository) {
        let plan = plan(reader, None, &Target::Latest).unwrap();
        assert!(to_memory(reader, &plan, 1, &|_, _| {}).unwrap().keys() >= 2);
    }
}

#[test]
fn losing_recipients_never_turns_encryption_off() {
    for by_passphrase in [false, true] {
        for (lost, of_old) in [
            (&[RECIPIENTS][..], false),
            (&[RECIPIENTS, RECIPIENTS_COPY], false),
            (&[RECIPIENTS], true),
        ] {
            let mut made = made(by_passphrase);
            if of_old {
                made.as_of_old();
            }
            lost.iter().for_each(|name| made.store.remove(name).unwrap());
            let case = format!("by passphrase: {by_passphrase}, of old: {of_old}, {lost:?}");
            made.is_refused(RECIPIENTS, &case);
            let named = repository(&made.store).sealed_for(&[key_pair().1]);
            assert!(named.is_err(), "{case}");
            // What is there can be read.
            let reader = repository(&made.store).opened_with(std::slice::from_ref(&made.identity));
            made.can_be_read(&reader.unwrap());
            if by_passphrase {
                made.can_be_read(&repository(&made.store).opened_by(&passphrase()).unwrap());
            }
        }
    }
}

#[test]
fn an_identity_or_recipients_that_are_lost_or_another_repository_s_are_named() {
    let other = made(true);
    let of_other = |name: &str| other.store.get(name).unwrap();
    for (name, copy) in [(IDENTITY, IDENTITY_COPY), (RECIPIENTS, RECIPIENTS_COPY)] {
        for (is_lost, both) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut made = made(true);
            let case = format!("{name} is lost: {is_lost}, with its copy: {both}");
            for name in [name, copy].into_iter().take(if both { 2 } else { 1 }) {
                match is_lost {
                    true => made.store.remove(name).unwrap(),
                    false => made.put(name, &of_other(name)),
                }
            }
            made.is_refused(name, &case);
            let opened = repository(&made.store).opened_by(&passphrase());
            // One of two is enough to read, unless it is the recipients that are of another repository.
            let is_enough = if name == IDENTITY { !both } else { is_lost };
            match opened {
                Ok(reader) if is_enough => made.can_be_read(&reader),
                Err(BackupError::Damaged { object, .. }) if !is_enough => {
                    assert_eq!(object.trim_end_matches("-copy"), name, "{case}");
                }
                other => panic!("{case}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_repository_of_an_earlier_version_goes_on_and_gets_its_copies() {
    let mut made = made(true);
    made.as_of_old();
    assert_eq!(verify(&repository(&made.store), None, false, 1, &|_, _| {}).unwrap().damage, []);
    made.can_be_read(&repository(&made.store).opened_by(&passphrase()).unwrap());
    let created = made.world.back_up(&repository(&made.store)).unwrap();
    assert!(matches!(created.manifest.sealing, Some(Sealing::Sealed { identity: Some(_), .. })));
    for (name, copy) in [(IDENTITY, IDENTITY_COPY), (RECIPIENTS, RECIPIENTS_COPY)] {
        assert_eq!(made.store.get(name), made.store.get(copy));
        // A copy that is damaged or gone is told, and stored anew by the next backup.
        for gone in [false, true] {
            match gone {
                true => made.store.remove(copy).unwrap(),
                false => made.store.damage(copy, |bytes| bytes[30] ^= 1),
            }
            let look =
                |store| verify(&repository(store), None, false, 1, &|_, _| {}).unwrap().damage;
            let damage = look(&made.store);
            assert_eq!(damage.iter().map(|own| own.object.as_str()).collect::<Vec<_>>(), [copy]);
            made.world.back_up(&repository(&made.store)).unwrap();
            assert_eq!(look(&made.store), []);
        }
    }
    // One that is not encrypted notes that, and has none.
    let store = Arc::new(MemoryStore::new());
    let created = made.world.back_up(&repository(&store)).unwrap();
    assert_eq!(created.manifest.sealing, Some(Sealing::Open));
    assert!(store.names().iter().all(|name| !name.ends_with("-copy")));
}

#[test]
fn a_store_that_fails_at_any_operation_of_the_first_encrypted_backup_leaves_it_to_be_made() {
    for fault in Fault::ALL {
        for at in 0.. {
            let mut world = World::new(91);
            let store = Arc::new(MemoryStore::new());
            let sealed = repository(&store).sealed_by(&passphrase(), &[], 2).unwrap();
            drop(sealed);
            world.run(&["SET", "a", "1"]);
            world.write();
            store.fail_at(at, fault);
            let outcome = Repository::open(with_fault(&store, fault))
                .and_then(|repository| world.back_up(&repository));
            let done = store.operations() <= at && outcome.is_ok();
            store.heal();
            let case = format!("{fault:?} at {at}");
            let again = world.back_up(&repository(&store));
            again.unwrap_or_else(|error| panic!("{case}: {error}"));
            let reader = repository(&store).opened_by(&passphrase()).unwrap();
            let verified = verify(&reader, None, true, 1, &|_, _| {}).unwrap();
            assert_eq!(verified.damage, [], "{case}");
            let plan = plan(&reader, None, &Target::Latest).unwrap();
            let found = to_memory(&reader, &plan, 1, &|_, _| {}).unwrap().digest();
            assert_eq!(found, digest_of(&world.engine), "{case}");
            if done {
                assert!(at > 14, "{at}");
                break;
            }
        }
    }
}
