//! A data set that lies in files of this machine (a data directory, what BACKUP SEAL left, an RDB file) as a
//! repository of one backup, so that it is restored as any other: to every instant of its log, some keys of it,
//! verified, and gone on with when it was interrupted.
//!
//! Nothing is stored anywhere: objects are made of the files' bytes when they are asked for.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::BackupError;
use super::create::{backed_file, manifest_of};
use super::manifest::{Manifest, Origin, Part};
use super::object::{self, Sha};
use super::repository::{MARKER, Repository, marker};
use super::source::{Source, SourceFile};
use super::store::{Listed, Put, Store, StoreError};

/// Bytes of a part; the same in every run, so that what is there of an earlier one is known again.
const PART_BYTES: usize = 1 << 20;

/// What stands in the name of such a backup where others have something random.
const WORD: &str = "files";

/// The store that these files stand for.
#[derive(Debug)]
struct Files {
    source: Source,
    /// Where the content of an object is: the file's number, and its bytes.
    parts: HashMap<String, (usize, Range<usize>)>,
    /// The objects that are no parts.
    notes: Vec<(String, Vec<u8>)>,
    place: String,
}

/// The repository of what is in `source`, which was checked; `place` names it for people and is the same in every run.
pub fn repository(source: Source, origin: Origin, place: &str) -> Result<Repository, BackupError> {
    let mut parts = HashMap::new();
    let created_at = source.instant.unwrap_or_default();
    let mut manifest = manifest_of(&source, origin, created_at, WORD);
    for (number, file) in files(&source).enumerate() {
        let backed = backed_file(file, cut(file, number, &mut parts));
        match number == 0 && source.base.is_some() {
            true => manifest.base = Some(backed),
            false => manifest.segments.push(backed),
        }
    }
    // The log may go on between two runs; that it is the same data set is told by the place.
    let id = Sha::of(place.as_bytes()).to_string();
    let notes = vec![
        (MARKER.to_owned(), marker(id.get(..32).unwrap_or_default())),
        (manifest.object(), manifest.encode()),
    ];
    Repository::open(Arc::new(Files { source, parts, notes, place: place.to_owned() }))
}

/// Whether it is the manifest of files that lie around.
pub fn are(manifest: &Manifest) -> bool {
    manifest.id.split('-').nth(1) == Some(WORD)
}

fn files(source: &Source) -> impl Iterator<Item = &SourceFile> {
    source.base.iter().chain(&source.segments)
}

fn cut(
    file: &SourceFile,
    number: usize,
    parts: &mut HashMap<String, (usize, Range<usize>)>,
) -> Vec<Part> {
    let mut start = 0;
    let pieces = file.bytes().chunks(PART_BYTES).map(|content| {
        let sha = Sha::of(content);
        let (size, stored) = (content.len() as u64, object::plain_len(content, sha));
        let part = Part { sha, size, stored, at: None };
        parts.insert(part.object(), (number, start..start + content.len()));
        start += content.len();
        part
    });
    pieces.collect()
}

impl Files {
    fn content(&self, name: &str) -> Option<&[u8]> {
        let (number, range) = self.parts.get(name)?;
        files(&self.source).nth(*number)?.bytes().get(range.clone())
    }

    fn refuse(&self, op: &'static str, name: &str) -> StoreError {
        StoreError::failed(op, name, format!("{} is no repository", self.place))
            .with_next("fastness backup create --from it --to REPOSITORY makes one")
    }
}

impl Store for Files {
    fn put_new(&self, name: &str, _bytes: &[u8]) -> Result<Put, StoreError> {
        Err(self.refuse("put", name))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        if let Some(content) = self.content(name) {
            return Ok(object::encode_plain(content, Sha::of(content)));
        }
        let note = self.notes.iter().find(|(own, _)| own == name);
        note.map(|(_, bytes)| bytes.clone()).ok_or_else(|| StoreError::not_found("get", name))
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match self.get(name) {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(|bytes| Some(bytes.len() as u64)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let notes = self.notes.iter().map(|(name, bytes)| (name, bytes.len() as u64));
        let parts = self.parts.keys().map(|name| {
            let len = self.content(name).map_or(0, |own| object::plain_len(own, Sha::of(own)));
            (name, len)
        });
        let all = notes.chain(parts).filter(|(name, _)| name.starts_with(prefix));
        Ok(all.map(|(name, size)| Listed { name: name.clone(), size }).collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        Err(self.refuse("remove", name))
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
