//! How a repository is encrypted, and opened: for recipients, by identities, by a passphrase.
//!
//! It is decided before anything is stored and never changed. What was stored is read again before it is relied on, so
//! that it is the store's word and not ours. `format-spec/backup.md`, section 6.

use std::sync::Arc;

use super::BackupError;
use super::archive::piece;
use super::key_objects::{Held, IDENTITY_COPY, RECIPIENTS_COPY};
use super::passphrase::{self, IDENTITY, NotOpened, Passphrase};
use super::repository::Repository;
use super::seal::{Keys, RECIPIENTS};
use super::store::Put;

impl Repository {
    /// For whom it is encrypted, if it is. Where the object is lost its copy tells: so nothing is stored in the clear, and what
    /// is there can be read.
    pub(super) fn stored_recipients(&self) -> Result<Option<Keys>, BackupError> {
        for name in [RECIPIENTS, RECIPIENTS_COPY] {
            let take = |text: &[u8]| {
                let keys = Keys::default().decode_recipients(text);
                keys.map_err(|what| BackupError::damaged(name, what))
            };
            match self.read(name, take) {
                Err(BackupError::Store(error)) if error.is_not_found() => {}
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    /// The same for these recipients and no others. A repository that has nothing yet takes them; one that has
    /// something must have been made for them.
    pub fn sealed_for(self, recipients: &[String]) -> Result<Self, BackupError> {
        if recipients.is_empty() {
            return Ok(self);
        }
        let wanted = self.keys.clone().with_recipients(recipients).map_err(|why| {
            BackupError::refused(why, "a recipient is the age1... that age-keygen prints")
        })?;
        if self.keys.seals() {
            return match self.keys.recipients() == wanted.recipients() {
                true => Ok(self),
                false => Err(BackupError::refused(
                    format!("{} is encrypted for other recipients", self.place()),
                    "name the recipients that it was made for, or another place",
                )),
            };
        }
        self.must_have_nothing()?;
        let put = self.store.put_new(RECIPIENTS, &wanted.encode_recipients())?;
        // As it is stored, by whomever.
        let found = match Self::open(Arc::clone(&self.store)) {
            Err(error @ BackupError::Damaged { .. }) if put == Put::Stored => {
                // Nothing rests on it yet, and half of it would be in the way for ever.
                self.store.remove(RECIPIENTS)?;
                return Err(error);
            }
            other => other?,
        };
        match found.keys.recipients() == wanted.recipients() {
            true => Ok(found),
            false => Err(BackupError::damaged(RECIPIENTS, "the store did not keep it")),
        }
    }

    fn must_have_nothing(&self) -> Result<(), BackupError> {
        for prefix in ["backups/", "objects/", piece::PREFIX] {
            if !self.store.list(prefix)?.is_empty() {
                // It may be encrypted, and have lost what says so.
                if let Some(error) = self.first_key_damage()? {
                    return Err(error);
                }
                return Err(BackupError::refused(
                    format!("{} is not encrypted, and has something already", self.place()),
                    "name an empty place",
                ));
            }
        }
        Ok(())
    }

    /// Whether there is something that a passphrase opens.
    pub fn has_passphrase(&self) -> Result<bool, BackupError> {
        Ok(self.store.size(IDENTITY)?.is_some() || self.store.size(IDENTITY_COPY)?.is_some())
    }

    /// The same, read with the identity that this passphrase opens. It takes a second.
    pub fn opened_by(self, passphrase: &Passphrase) -> Result<Self, BackupError> {
        let text = self.identity_of(passphrase)?;
        self.opened_with(&[text])
    }

    /// The text of the identity that the passphrase opens: of the object, or of its copy where that one is not what it was.
    fn identity_of(&self, passphrase: &Passphrase) -> Result<String, BackupError> {
        let pair = self.key_pair(IDENTITY)?;
        if pair.is_gone() {
            let damage = self.first_key_damage()?.into_iter();
            let is_identity = |own: &BackupError| matches!(own, BackupError::Damaged { object, .. } if object == IDENTITY);
            return Err(damage.into_iter().find(is_identity).unwrap_or_else(|| {
                BackupError::refused(
                    format!("{} is not encrypted by a passphrase", self.place()),
                    "give no passphrase, or --identity FILE if it is encrypted for others",
                )
            }));
        }
        let is_copied = matches!(
            (&pair.object, &pair.copy),
            (Held::Sound(object), Held::Sound(copy)) if object == copy
        );
        let mut first = None;
        for (name, held) in [(IDENTITY, &pair.object), (IDENTITY_COPY, &pair.copy)] {
            let opened = match held {
                Held::Gone => continue,
                // It takes a second, and would tell the same.
                Held::Sound(_) if name == IDENTITY_COPY && is_copied => continue,
                Held::Damaged(what) => Err(BackupError::damaged(name, what)),
                Held::Sound(bytes) => self.open_identity(name, bytes, passphrase),
            };
            match opened {
                Ok(text) => return Ok(text),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or_else(|| BackupError::damaged(IDENTITY, "it is gone")))
    }

    /// The text of the identity in an object, if it opens what is stored here.
    fn open_identity(
        &self,
        name: &str,
        bytes: &[u8],
        passphrase: &Passphrase,
    ) -> Result<String, BackupError> {
        let text = passphrase::open(bytes, passphrase).map_err(|error| match error {
            NotOpened::Wrong => BackupError::refused(
                "the passphrase is wrong",
                "give the one with which the repository was made; nothing else opens it",
            ),
            NotOpened::Damaged(what) => BackupError::damaged(name, what),
        })?;
        let own = Keys::default().with_identities(&text);
        let own = own.map_err(|what| BackupError::damaged(name, what))?.own_recipients();
        let recipients = self.keys.recipients();
        if recipients.is_empty() || own.iter().any(|own| recipients.contains(own)) {
            return Ok(text);
        }
        // One of the two is of another repository.
        let damage = self.first_key_damage()?;
        Err(damage.unwrap_or_else(|| {
            BackupError::damaged(name, format!("what it holds is for none of {RECIPIENTS}"))
        }))
    }

    /// The same, encrypted by this passphrase and for these recipients. A repository that has nothing yet takes them;
    /// one that has something must have been made with them.
    pub fn sealed_by(
        self,
        passphrase: &Passphrase,
        recipients: &[String],
        work_factor: u8,
    ) -> Result<Self, BackupError> {
        if !self.keys.seals() {
            self.must_have_nothing()?;
            if !self.has_passphrase()? {
                let (object, _) = passphrase::make(passphrase, work_factor)
                    .map_err(|what| BackupError::Source { what: format!("age: {what}") })?;
                self.store.put_new(IDENTITY, &object)?;
            }
        }
        // As it is stored, by whomever.
        let text = match self.identity_of(passphrase) {
            Err(error @ BackupError::Damaged { .. }) if !self.keys.seals() => {
                // Nothing rests on it yet.
                self.store.remove(IDENTITY)?;
                return Err(error);
            }
            other => other?,
        };
        let own = Keys::default()
            .with_identities(&text)
            .map_err(|what| BackupError::damaged(IDENTITY, what))?
            .own_recipients();
        self.sealed_for(&[recipients, &own].concat())
    }

    /// Whether one of our identities opens what is stored here, as far as its recipients tell; also where nothing is encrypted.
    pub fn has_right_identity(&self) -> bool {
        let recipients = self.keys.recipients();
        let own = self.keys.own_recipients();
        recipients.is_empty() || own.iter().any(|own| recipients.contains(own))
    }

    /// That it is encrypted, and nothing opens it.
    pub(super) fn is_closed(&self) -> BackupError {
        BackupError::refused(
            format!("{} is encrypted", self.place()),
            "pass --identity FILE with the identity of one of its recipients, or the passphrase in \
             FASTNESS_PASSPHRASE or --passphrase-file FILE if it was made with one",
        )
    }

    /// The same, read with the identities of files as age-keygen writes them.
    pub fn opened_with(mut self, identity_files: &[String]) -> Result<Self, BackupError> {
        for text in identity_files {
            self.keys = self.keys.with_identities(text).map_err(|why| {
                BackupError::refused(
                    format!("the identity file is of no use: {why}"),
                    "an identity is the line AGE-SECRET-KEY-1... of the file that age-keygen made",
                )
            })?;
        }
        Ok(self)
    }
}
