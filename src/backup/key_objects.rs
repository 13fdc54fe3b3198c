//! The objects that say how a repository is encrypted, and how it is noticed that one is lost or another repository's.
//!
//! A place without `recipients` is not encrypted: losing that object must not turn encryption off. Without `identity` no
//! passphrase opens anything. So both have a copy beside them, and the manifest of every backup says the hashes of both.
//! Nothing is stored while one of them is not what it was; reading goes on with the copies. `format-spec/backup.md`, section 6.

use super::BackupError;
use super::archive::piece;
use super::manifest::{Manifest, Sealing};
use super::object::{self, Sha};
use super::passphrase::{self, IDENTITY};
use super::repository::Repository;
use super::seal::{Keys, RECIPIENTS};

/// The copy of `recipients`.
pub(super) const RECIPIENTS_COPY: &str = "recipients-copy";
/// The copy of `identity`.
pub(super) const IDENTITY_COPY: &str = "identity-copy";
/// So many of the newest manifests are asked before something is stored: earlier versions, which say nothing, may write as well.
const ASKED: usize = 4;

/// Whether an object is one of these four.
pub(super) fn is_key_object(name: &str) -> bool {
    matches!(name, RECIPIENTS | RECIPIENTS_COPY | IDENTITY | IDENTITY_COPY)
}

/// What was found under a name.
#[derive(Debug)]
pub(super) enum Held {
    Gone,
    /// Why it is nothing that can be relied on.
    Damaged(String),
    Sound(Vec<u8>),
}

/// An object and its copy.
#[derive(Debug)]
pub(super) struct Pair {
    name: &'static str,
    copy_name: &'static str,
    pub(super) object: Held,
    pub(super) copy: Held,
}

/// Says why bytes are nothing that can be relied on.
type Check = fn(&[u8]) -> Result<(), String>;

/// What is wrong with an object: its name, and in words.
type Wrong = (&'static str, String);

impl Pair {
    pub(super) fn is_gone(&self) -> bool {
        matches!((&self.object, &self.copy), (Held::Gone, Held::Gone))
    }

    /// What is wrong. `noted`: a manifest, and the hash that it says.
    fn wrong(&self, noted: Option<(String, Sha)>) -> Vec<Wrong> {
        let Self { name, copy_name, object, copy } = self;
        let mut found = Vec::new();
        if let Held::Damaged(what) = copy {
            found.push((*copy_name, what.clone()));
        }
        match (object, copy, noted) {
            (Held::Damaged(what), ..) => found.insert(0, (name, what.clone())),
            (Held::Gone, Held::Gone, None) => {}
            (Held::Gone, Held::Gone, Some((by, _))) => {
                found.push((name, format!("it is gone, and {by} was made with it")));
            }
            (Held::Gone, ..) => {
                found.insert(0, (name, format!("it is gone; {copy_name} is there")))
            }
            (Held::Sound(own), copy, Some((by, sha))) => {
                let is_other = Sha::of(own) != sha;
                match copy {
                    _ if is_other => {
                        found.insert(
                            0,
                            (name, format!("it is not the one that {by} was made with")),
                        );
                    }
                    Held::Gone => {
                        found.push((copy_name, "it is gone; the next backup stores it".to_owned()));
                    }
                    Held::Sound(copy) if copy != own => {
                        found.push((copy_name, format!("it is no copy of {name}")));
                    }
                    _ => {}
                }
            }
            (Held::Sound(own), Held::Sound(copy), None) if own != copy => {
                let what =
                    format!("it differs from {copy_name}: one of them is of another repository");
                found.push((name, what));
            }
            // A repository that an earlier version made.
            (Held::Sound(_), ..) => {}
        }
        found
    }
}

impl Repository {
    /// What is there of an object and its copy.
    pub(super) fn key_pair(&self, name: &str) -> Result<Pair, BackupError> {
        let (name, copy_name, check): (_, _, Check) = match name {
            IDENTITY => (IDENTITY, IDENTITY_COPY, |bytes| passphrase::look(bytes).map(drop)),
            _ => (RECIPIENTS, RECIPIENTS_COPY, |bytes| {
                Keys::default().decode_recipients(bytes).map(drop)
            }),
        };
        let hold = |name: &str| {
            let take = |bytes: &[u8]| match check(bytes) {
                Ok(()) => Ok(bytes.to_vec()),
                Err(what) => Err(BackupError::damaged(name, what)),
            };
            match self.read(name, take) {
                Ok(bytes) => Ok(Held::Sound(bytes)),
                Err(BackupError::Damaged { what, .. }) => Ok(Held::Damaged(what)),
                Err(BackupError::Store(error)) if error.is_not_found() => Ok(Held::Gone),
                Err(error) => Err(error),
            }
        };
        Ok(Pair { name, copy_name, object: hold(name)?, copy: hold(copy_name)? })
    }

    /// What is wrong with the objects that say how it is encrypted; `backups`: some or all, the newest first.
    pub(super) fn key_damage(&self, backups: &[Manifest]) -> Result<Vec<BackupError>, BackupError> {
        let (recipients, identity) = (self.key_pair(RECIPIENTS)?, self.key_pair(IDENTITY)?);
        self.damage_of(&recipients, &identity, backups)
    }

    /// The newest backups, up to one that says how it was encrypted.
    fn asked(&self) -> Result<Vec<Manifest>, BackupError> {
        self.newest(ASKED, |own| own.sealing.is_some())
    }

    fn damage_of(
        &self,
        recipients: &Pair,
        identity: &Pair,
        backups: &[Manifest],
    ) -> Result<Vec<BackupError>, BackupError> {
        let noted = backups.iter().find_map(|own| match own.sealing {
            Some(Sealing::Sealed { recipients, identity }) => {
                Some((own.object(), recipients, identity))
            }
            _ => None,
        });
        let of_recipients = noted.as_ref().map(|(by, sha, _)| (by.clone(), *sha));
        let of_identity = noted.and_then(|(by, _, sha)| Some((by, sha?)));
        let mut wrong = recipients.wrong(of_recipients);
        if recipients.is_gone() && wrong.is_empty() {
            let is_plain = backups.iter().any(|own| own.sealing == Some(Sealing::Open));
            let by = match identity.is_gone() {
                false => Some(identity.name.to_owned()),
                true if is_plain => None,
                true => self.sealed_object()?,
            };
            wrong.extend(by.map(|by| {
                (RECIPIENTS, format!("it is gone, and {by} says that the repository is encrypted"))
            }));
        }
        wrong.extend(identity.wrong(of_identity));
        Ok(wrong.into_iter().map(|(name, what)| BackupError::damaged(name, what)).collect())
    }

    /// A part or piece that is sealed, if there is one among the smallest. Asked where nothing else tells, of repositories that
    /// an earlier version made.
    fn sealed_object(&self) -> Result<Option<String>, BackupError> {
        for prefix in ["objects/", piece::PREFIX] {
            let listed = self.store.list(prefix)?;
            let Some(smallest) = listed.into_iter().min_by_key(|own| own.size) else { continue };
            match self.store.get(&smallest.name) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(bytes) if object::look(&bytes).is_ok_and(|own| own.is_sealed()) => {
                    return Ok(Some(smallest.name));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The first thing that is wrong, for whoever is about to refuse something for another reason.
    pub(crate) fn first_key_damage(&self) -> Result<Option<BackupError>, BackupError> {
        Ok(self.key_damage(&self.asked()?)?.into_iter().next())
    }

    /// Makes sure that it is encrypted as it was, before anything is stored, and that the copies are there; what manifests
    /// say of it. A repository that lost its recipients is refused: what would be stored could be read by anybody.
    pub(super) fn hold_keys(&self) -> Result<Sealing, BackupError> {
        let (recipients, identity) = (self.key_pair(RECIPIENTS)?, self.key_pair(IDENTITY)?);
        let damage = self.damage_of(&recipients, &identity, &self.asked()?)?;
        let is_copy = |object: &str| matches!(object, RECIPIENTS_COPY | IDENTITY_COPY);
        // Copies are stored anew.
        let first = damage
            .into_iter()
            .find(|own| !matches!(own, BackupError::Damaged { object, .. } if is_copy(object)));
        if let Some(error) = first {
            return Err(error);
        }
        let stored = match &recipients.object {
            Held::Sound(bytes) => Keys::default().decode_recipients(bytes).unwrap_or_default(),
            _ => Keys::default(),
        };
        if stored.recipients() != self.keys.recipients() {
            let what = "it is not what it was when the repository was opened";
            return Err(BackupError::damaged(RECIPIENTS, what));
        }
        let Some(sha) = self.keep_copy(&recipients)? else { return Ok(Sealing::Open) };
        Ok(Sealing::Sealed { recipients: sha, identity: self.keep_copy(&identity)? })
    }

    /// Stores the copy of an object, unless it is there; the object's hash.
    fn keep_copy(&self, pair: &Pair) -> Result<Option<Sha>, BackupError> {
        let Held::Sound(bytes) = &pair.object else { return Ok(None) };
        let sha = Some(Sha::of(bytes));
        match &pair.copy {
            Held::Sound(copy) if copy == bytes => return Ok(sha),
            Held::Gone => {}
            _ => self.store.remove(pair.copy_name)?,
        }
        self.store.put_new(pair.copy_name, bytes)?;
        match self.key_pair(pair.name)?.copy {
            Held::Sound(copy) if copy == *bytes => Ok(sha),
            _ => {
                // Half of it would be in the way.
                self.store.remove(pair.copy_name)?;
                Err(BackupError::damaged(pair.copy_name, "the store did not keep it"))
            }
        }
    }
}
