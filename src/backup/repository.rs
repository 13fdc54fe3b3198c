//! A repository: the objects of a store as backups, parts and the piece of text that says what it is.
//!
//! Everything that is read is checked here. An object is never stored over another one: where one is
//! found damaged, it is removed first.
//! `format-spec/backup.md`, section 1.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::BackupError;
use super::archive::owner::{self, Owner};
use super::lineage;
use super::manifest::{Manifest, Part, manifest_name, object_name};
use super::object::{self, Sha};
use super::seal::Keys;
use super::store::{Listed, Put, Store, StoreError};
use super::under_way::UNDER_WAY;
use crate::clock::{Clock as _, SystemClock};

/// The object that makes a place a repository.
pub const MARKER: &str = "repository";
const MARKER_START: &str = "FASTNESS-REPOSITORY 1\n";

/// The backups of one data set, or of several.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(super) store: Arc<dyn Store>,
    /// The word of its marker.
    id: String,
    pub(super) keys: Keys,
    /// Bounds what is read of parts; `None`: nothing does.
    pace: Option<Arc<Pace>>,
}

/// So many bytes a second, however many threads read.
#[derive(Debug)]
struct Pace {
    rate: u64,
    clock: SystemClock,
    began: Duration,
    read: AtomicU64,
}

impl Pace {
    fn wait_for(&self, bytes: u64) {
        let read = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let due = Duration::from_micros(read.saturating_mul(1_000_000) / self.rate.max(1));
        self.clock.sleep((self.began + due).saturating_sub(self.clock.monotonic()));
    }
}

/// A backup, or why what has its name is none.
#[derive(Debug)]
pub struct ListedBackup {
    /// Its name.
    pub id: String,
    /// What it consists of.
    pub manifest: Result<Manifest, BackupError>,
}

impl Repository {
    /// The repository in a store; refused when there is none.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, BackupError> {
        let mut found = Self { store, id: String::new(), keys: Keys::default(), pace: None };
        match found.read(MARKER, check_marker) {
            Err(BackupError::Store(error)) if error.is_not_found() => {
                let place = found.place();
                Err(BackupError::NoRepository { place, why: "it has no marker".to_owned() })
            }
            Err(error) => Err(error),
            Ok(id) => {
                found.id = id;
                if let Some(keys) = found.stored_recipients()? {
                    found.keys = keys;
                }
                Ok(found)
            }
        }
    }

    /// The repository in a store, made if the store is empty.
    pub fn open_or_make(store: Arc<dyn Store>, random: &str) -> Result<Self, BackupError> {
        match Self::open(Arc::clone(&store)) {
            Err(BackupError::NoRepository { place, .. }) => {
                if let Some(other) = store.list("")?.first() {
                    return Err(BackupError::refused(
                        format!("{place} is neither empty nor a repository: it has {}", other.name),
                        "name an empty place, or the repository itself",
                    ));
                }
                store.put_new(MARKER, &marker(random))?;
                let made = Self::open(Arc::clone(&store));
                if made.is_err() {
                    // Nothing rests on it yet, and half of it would be in the way for ever.
                    store.remove(MARKER)?;
                }
                made
            }
            other => other,
        }
    }

    /// The same, read at so many bytes a second; 0 is no bound.
    pub fn slowed_to(mut self, rate: u64) -> Self {
        let clock = SystemClock::new();
        let (began, read) = (clock.monotonic(), AtomicU64::new(0));
        self.pace = (rate > 0).then(|| Arc::new(Pace { rate, clock, began, read }));
        self
    }

    /// For whom its contents are encrypted; nobody: they are not.
    pub fn recipients(&self) -> Vec<String> {
        self.keys.recipients()
    }

    /// A word that no other repository has.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The place in words, without secrets.
    pub fn place(&self) -> String {
        self.store.place()
    }

    /// Where the objects are.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Names of all backups, oldest first, whether they can be read or not.
    pub fn ids(&self) -> Result<Vec<String>, BackupError> {
        let prefix = "backups/";
        let listed = self.store.list(prefix)?;
        let names = listed.iter().filter_map(|listed| listed.name.strip_prefix(prefix));
        let mut ids: Vec<String> = names.map(str::to_owned).collect();
        ids.sort();
        Ok(ids)
    }

    /// The names of all backups, oldest first. Names alone tell the second only.
    pub fn ids_by_age(&self) -> Result<Vec<String>, BackupError> {
        Ok(self.backups()?.into_iter().map(|listed| listed.id).collect())
    }

    /// All backups, oldest first. A store that fails is an error, a damaged manifest an entry.
    pub fn backups(&self) -> Result<Vec<ListedBackup>, BackupError> {
        let mut found = Vec::new();
        for id in self.ids()? {
            let manifest = match self.manifest(&id) {
                Err(BackupError::Store(error)) if error.is_not_found() => continue,
                Err(error @ BackupError::Store(_)) => return Err(error),
                other => other,
            };
            found.push(ListedBackup { id, manifest });
        }
        lineage::sort(&mut found);
        Ok(found)
    }

    /// One backup.
    pub fn manifest(&self, id: &str) -> Result<Manifest, BackupError> {
        let name = manifest_name(id);
        self.read(&name, |bytes| {
            let manifest =
                Manifest::decode(bytes).map_err(|what| BackupError::damaged(&name, what))?;
            match manifest.id == id {
                true => Ok(manifest),
                false => Err(BackupError::damaged(&name, "it is the manifest of another backup")),
            }
        })
    }

    /// Reads an object and takes it apart. What is damaged is read once more: it may have been on the way only.
    pub(in crate::backup) fn read<T>(
        &self,
        name: &str,
        take: impl Fn(&[u8]) -> Result<T, BackupError>,
    ) -> Result<T, BackupError> {
        match take(&self.store.get(name)?) {
            Err(BackupError::Damaged { .. }) => take(&self.store.get(name)?),
            other => other,
        }
    }

    /// Stores a backup's manifest, which makes it one. Everything that it names must be stored.
    pub fn put_manifest(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let name = manifest.object();
        let put = match self.store.put_new(&name, &manifest.encode()) {
            // The answer may be lost, and the object stored.
            Err(error) => match self.manifest(&manifest.id) {
                Ok(found) if found == *manifest => return Ok(()),
                _ => return Err(error.into()),
            },
            Ok(put) => put,
        };
        match self.manifest(&manifest.id) {
            // A retry after a lost answer finds what it stored itself.
            Ok(found) if found == *manifest => Ok(()),
            _ if put == Put::WasThere => {
                Err(StoreError::failed("put", &name, "the name is taken").into())
            }
            // What was not stored as it was sent must not pass for a backup.
            _ => {
                self.store.remove(&name)?;
                Err(BackupError::damaged(&name, "the store did not keep it as it was sent"))
            }
        }
    }

    /// Lengths of all objects of parts, as far as the store lists them.
    pub fn listed_parts(&self) -> Result<HashMap<String, u64>, BackupError> {
        let listed = self.store.list("objects/")?;
        Ok(listed.into_iter().map(|Listed { name, size }| (name, size)).collect())
    }

    /// What is there, so that it is not sent again. Two seals of one content have different lengths: whether a sealed object
    /// is whole is told by the newest manifests that name it.
    pub fn known_parts(&self) -> Result<KnownParts, BackupError> {
        let listed = self.listed_parts()?;
        let mut named = HashSet::new();
        if self.keys.seals() {
            for manifest in self.newest(NEWEST, |_| false)? {
                named.extend(manifest.parts().map(|part| (part.sha, part.stored)));
            }
        }
        Ok(KnownParts { listed, named })
    }

    /// The newest backups by name that can be read, so many at most, up to the first that is enough.
    pub(super) fn newest(
        &self,
        most: usize,
        is_enough: impl Fn(&Manifest) -> bool,
    ) -> Result<Vec<Manifest>, BackupError> {
        let mut found = Vec::new();
        for id in self.ids()?.iter().rev() {
            match self.manifest(id) {
                Ok(manifest) => found.push(manifest),
                Err(BackupError::Store(error)) if !error.is_not_found() => return Err(error.into()),
                Err(_) => {}
            }
            if found.len() >= most || found.last().is_some_and(&is_enough) {
                break;
            }
        }
        Ok(found)
    }

    /// Stores a content unless an object of its name and length is there; the part, and the bytes sent.
    /// With `known` as `None` what is there is read and, if it is damaged, stored anew.
    pub fn put_part(
        &self,
        content: &[u8],
        known: Option<&KnownParts>,
    ) -> Result<(Part, u64), BackupError> {
        let sha = Sha::of(content);
        let name = object_name(sha);
        let part = |stored| Part { sha, size: content.len() as u64, stored, at: None };
        let listed = known.and_then(|known| known.listed.get(&name).copied());
        if let (Some(known), Some(stored)) = (known, listed)
            && known.named.contains(&(sha, stored))
        {
            return Ok((part(stored), 0));
        }
        // No manifest tells, as of what an interrupted backup left: reading it is less than sending it.
        if listed.is_some()
            && self.keys.seals()
            && let Some(stored) = self.sound_len(&name, sha)?
        {
            return Ok((part(stored), 0));
        }
        let bytes = self.encode(content, sha)?;
        let part = part(bytes.len() as u64);
        if listed == Some(part.stored) && !self.keys.seals() {
            return Ok((part, 0));
        }
        if self.store.put_new(&name, &bytes)? == Put::WasThere {
            let is_trusted = known.is_some() && !self.keys.seals();
            if is_trusted && self.store.size(&name)? == Some(part.stored) {
                return Ok((part, 0));
            }
            // Of another length: sealed another time, by another version of the compressor, or damaged.
            if let Some(stored) = self.sound_len(&name, sha)? {
                return Ok((Part { stored, ..part }, 0));
            }
            self.store.remove(&name)?;
            self.store.put_new(&name, &bytes)?;
        }
        Ok((part, part.stored))
    }

    /// The length of an object if it is that of this content; `None`: it is not, or it is gone. It is read twice before it is
    /// called damaged, and a store that fails says nothing of it: backups may need it.
    pub(super) fn sound_len(&self, name: &str, sha: Sha) -> Result<Option<u64>, BackupError> {
        for _ in 0..2 {
            match self.store.get(name) {
                Ok(bytes) if self.is_sound(&bytes, sha) => return Ok(Some(bytes.len() as u64)),
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Stores a content under a name that says what it is, and looks whether it is there whole.
    pub fn put_object(&self, name: &str, content: &[u8], sha: Sha) -> Result<(), BackupError> {
        let bytes = self.encode(content, sha)?;
        self.store.put_new(name, &bytes)?;
        let size = self.store.size(name)?;
        // The same content may be there, sealed another time.
        if size == Some(bytes.len() as u64) || self.sound_len(name, sha)?.is_some() {
            return Ok(());
        }
        let Some(size) = size else {
            return Err(BackupError::damaged(name, "the store has lost it"));
        };
        // Whatever cut it: it must not stand in the way of the next try.
        self.store.remove(name)?;
        let what = format!("the store has {size} of its {} bytes", bytes.len());
        Err(BackupError::damaged(name, what))
    }

    fn encode(&self, content: &[u8], sha: Sha) -> Result<Vec<u8>, BackupError> {
        object::encode(content, sha, &[], &self.keys)
            .map_err(|what| BackupError::Source { what: format!("age: {what}") })
    }

    /// Whether an object is that of this content, as far as can be told without opening it.
    fn is_sound(&self, bytes: &[u8], sha: Sha) -> bool {
        match object::look(bytes) {
            Ok(closed) if closed.is_sealed() != self.keys.seals() => false,
            Ok(closed) if closed.is_sealed() && !self.keys.opens() => closed.sha == sha,
            Ok(_) => object::decode(bytes, &self.keys).is_ok_and(|object| object.sha == sha),
            Err(_) => false,
        }
    }

    /// Checks a part: its content, or without an identity for it, all that is around it. Its length in the manifest is that
    /// of when the backup was made: an object that was stored anew may have another.
    pub fn check_part(&self, part: &Part) -> Result<(), BackupError> {
        if self.keys.opens() {
            return self.part(part).map(drop);
        }
        let name = part.object();
        self.read(&name, |bytes| {
            let damaged = |what: String| BackupError::damaged(&name, what);
            let closed = object::look(bytes).map_err(damaged)?;
            let found = match closed.is_sealed() {
                true => (closed.sha, closed.len),
                false => {
                    let object = object::decode(bytes, &self.keys).map_err(damaged)?;
                    (object.sha, object.content.len() as u64)
                }
            };
            match found == (part.sha, part.size) {
                true => Ok(()),
                false => Err(damaged("it holds another part".to_owned())),
            }
        })
    }

    /// Checks an object of which only the name tells what it holds, as far as the identities go.
    pub fn check_object(&self, name: &str, sha: Sha) -> Result<(), BackupError> {
        self.read(name, |bytes| match self.is_sound(bytes, sha) {
            true => Ok(()),
            false => Err(BackupError::damaged(name, "it is not what was stored")),
        })
    }

    /// Checks an object that is neither a backup nor has a hash for its name.
    pub fn check_note(&self, name: &str) -> Result<(), BackupError> {
        let damaged = |what: &str| Err(BackupError::damaged(name, what));
        self.read(name, |bytes| match name {
            MARKER => check_marker(bytes).map(drop),
            _ if name.starts_with(owner::PREFIX) => match Owner::decode(bytes) {
                Ok(_) => Ok(()),
                Err(what) => damaged(&what),
            },
            _ if name.starts_with(UNDER_WAY) => match bytes == name.as_bytes() {
                true => Ok(()),
                false => damaged("it is not what was stored"),
            },
            // Of a later version, or of nobody's.
            _ => Ok(()),
        })
    }

    /// The content of a part, checked.
    pub fn part(&self, part: &Part) -> Result<Vec<u8>, BackupError> {
        let name = part.object();
        if let Some(pace) = &self.pace {
            pace.wait_for(part.stored);
        }
        self.read(&name, |bytes| {
            let damaged = |what: String| BackupError::damaged(&name, what);
            let closed = object::look(bytes).map_err(damaged)?;
            if closed.is_sealed() && !self.keys.opens() {
                return Err(self.is_closed());
            }
            let object = object::decode(bytes, &self.keys).map_err(damaged)?;
            match object.sha == part.sha && object.content.len() as u64 == part.size {
                true => Ok(object.content),
                false => Err(damaged("it holds another part".to_owned())),
            }
        })
    }
}

/// So many manifests are looked into for what is there already. What they do not name is read.
const NEWEST: usize = 16;

/// What a repository has of parts.
#[derive(Debug)]
pub struct KnownParts {
    /// Lengths by name.
    listed: HashMap<String, u64>,
    /// Parts and lengths of manifests, where a part has no length of its own.
    named: HashSet<(Sha, u64)>,
}

/// The marker of the repository with this word.
pub(super) fn marker(word: &str) -> Vec<u8> {
    format!("{MARKER_START}id {word}\nsha256 {}\n", Sha::of(word.as_bytes())).into_bytes()
}

fn check_marker(bytes: &[u8]) -> Result<String, BackupError> {
    let damaged = |what: &str| BackupError::damaged(MARKER, what);
    let text = str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let Some(rest) = text.strip_prefix(MARKER_START) else {
        let later = text.starts_with("FASTNESS-REPOSITORY ");
        return Err(damaged(if later { "it is of a later version" } else { "it is no marker" }));
    };
    let mut lines = rest.split_inclusive('\n');
    let id = lines.next().and_then(|line| line.strip_prefix("id ")?.strip_suffix('\n'));
    let sha = lines.next().and_then(|line| line.strip_prefix("sha256 ")?.strip_suffix('\n'));
    let right = id.map(|id| Sha::of(id.as_bytes())) == sha.and_then(Sha::parse);
    match id.filter(|_| right && lines.next().is_none()) {
        Some(id) => Ok(id.to_owned()),
        None => Err(damaged("its checksum does not hold")),
    }
}
