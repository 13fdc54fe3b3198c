//! Making a backup: the files of a source become parts, the parts objects, the manifest comes last.
//!
//! Several threads compress and send. What the repository has already (by name and length) is not sent
//! again, whoever sent it: an earlier backup, or one that was interrupted. Before the manifest is stored,
//! every object that it names is looked for once more, so that a store that lost or cut one is noticed now
//! and not when it is needed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::manifest::{BackedFile, Manifest, Origin, Part};
use super::object::Sha;
use super::parts::split;
use super::repository::{KnownParts, Repository};
use super::source::{Source, SourceFile};
use super::under_way::Work;
use super::{BackupError, load, time};
use crate::clock::{Clock, UnixMillis};

/// How a backup is made.
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions {
    /// Threads that compress and send.
    pub threads: usize,
    /// Bytes a second that are read at most; 0 is no bound.
    pub rate: u64,
    /// Read what the repository has, and replace what is damaged.
    pub recheck: bool,
    /// Load the data set to note its keys and digest.
    pub digest: bool,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { threads: 2, rate: 0, recheck: false, digest: false }
    }
}

/// A backup that was made.
#[derive(Debug)]
pub struct Created {
    /// The backup.
    pub manifest: Manifest,
    /// Bytes of objects that were sent.
    pub sent: u64,
    /// How many objects those are.
    pub objects_sent: u64,
    /// Objects that were there already.
    pub objects_there: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// How far a long piece of work is: bytes done of all.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// Makes a backup of `source`. `random` becomes part of its name.
pub fn create(
    repository: &Repository,
    source: &Source,
    origin: Origin,
    options: CreateOptions,
    clock: &dyn Clock,
    random: &str,
    progress: &Progress<'_>,
) -> Result<Created, BackupError> {
    let sealing = repository.hold_keys()?;
    let created_at = clock.wall();
    let under_way = repository.begin(Work::Create, created_at, random)?;
    let known = match options.recheck {
        true => None,
        false => Some(repository.known_parts()?),
    };
    let sender = Sender {
        repository,
        known,
        options,
        clock,
        started: clock.monotonic(),
        total: source.base.iter().chain(&source.segments).map(|file| file.len as u64).sum(),
        read: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        objects_sent: AtomicU64::new(0),
        objects_there: AtomicU64::new(0),
        progress,
    };
    let mut manifest = manifest_of(source, origin, created_at, random);
    manifest.sealing = Some(sealing);
    manifest.base = source.base.as_ref().map(|file| sender.file(file)).transpose()?;
    for file in &source.segments {
        manifest.segments.push(sender.file(file)?);
    }
    if options.digest {
        let loaded = load::of_source(source)?;
        manifest.digest = Some(loaded.digest());
        manifest.keys = Some(loaded.keys());
    }
    look_for_all(repository, &mut manifest)?;
    let put = repository.put_manifest(&manifest);
    let mut notes = source.notes.clone();
    match put {
        // It may be a backup yet: until that is clear nothing that it names may be swept.
        Err(BackupError::Store(error)) if error.transient => {
            under_way.leave();
            return Err(error.into());
        }
        Err(error) => return Err(error),
        Ok(()) => notes.extend(under_way.end()),
    }
    Ok(Created {
        manifest,
        sent: sender.sent.into_inner(),
        objects_sent: sender.objects_sent.into_inner(),
        objects_there: sender.objects_there.into_inner(),
        notes,
    })
}

/// The manifest of a source, as yet without files.
pub(super) fn manifest_of(
    source: &Source,
    origin: Origin,
    created_at: UnixMillis,
    random: &str,
) -> Manifest {
    Manifest {
        id: format!("{}-{random}", time::compact(created_at)),
        created_at,
        origin: Origin {
            producer: source.producer.clone(),
            log_dir: source.log_dir.clone(),
            log_name: source.log_name.clone(),
            ..origin
        },
        instant: source.instant,
        position: source.position,
        keys: source.keys,
        ..Manifest::default()
    }
}

/// A file of a source, with the parts that it was cut into.
pub(super) fn backed_file(file: &SourceFile, parts: Vec<Part>) -> BackedFile {
    let bytes = file.bytes();
    BackedFile {
        name: file.name.clone(),
        seq: file.seq,
        size: bytes.len() as u64,
        sha: Some(Sha::of(bytes)),
        salt: file.salt,
        position: file.position,
        end: file.end,
        first_time: file.first_time,
        last_time: file.last_time,
        records: file.records,
        parts,
    }
}

struct Sender<'a> {
    repository: &'a Repository,
    known: Option<KnownParts>,
    options: CreateOptions,
    clock: &'a dyn Clock,
    started: Duration,
    total: u64,
    read: AtomicU64,
    sent: AtomicU64,
    objects_sent: AtomicU64,
    objects_there: AtomicU64,
    progress: &'a Progress<'a>,
}

impl Sender<'_> {
    fn file(&self, file: &SourceFile) -> Result<BackedFile, BackupError> {
        let bytes = file.bytes();
        let ranges = split(bytes);
        let parts = self.parts(bytes, &ranges)?;
        Ok(backed_file(file, parts))
    }

    /// Stores all parts of a file, in whatever order; they come back in the file's.
    fn parts(&self, bytes: &[u8], ranges: &[Range<usize>]) -> Result<Vec<Part>, BackupError> {
        let next = AtomicUsize::new(0);
        let stored: Mutex<Vec<(usize, Part)>> = Mutex::default();
        let failed: Mutex<Option<BackupError>> = Mutex::default();
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(range) = ranges.get(index) else { return };
                if failed.lock().is_some() {
                    return;
                }
                let content = bytes.get(range.clone()).unwrap_or_default();
                match self.part(content) {
                    Ok(part) => stored.lock().push((index, part)),
                    Err(error) => drop(failed.lock().get_or_insert(error)),
                }
            }
        };
        let threads = self.options.threads.clamp(1, 64).min(ranges.len().max(1));
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        }
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        let mut stored = stored.into_inner();
        stored.sort_unstable_by_key(|(index, _)| *index);
        Ok(stored.into_iter().map(|(_, part)| part).collect())
    }

    fn part(&self, content: &[u8]) -> Result<Part, BackupError> {
        let (part, sent) = self.repository.put_part(content, self.known.as_ref())?;
        let counter = if sent > 0 { &self.objects_sent } else { &self.objects_there };
        counter.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
        let len = content.len() as u64;
        let read = self.read.fetch_add(len, Ordering::Relaxed) + len;
        (self.progress)(read, self.total);
        if let Some(due_us) = (read * 1_000_000).checked_div(self.options.rate) {
            let due = self.started + Duration::from_micros(due_us);
            self.clock.sleep(due.saturating_sub(self.clock.monotonic()));
        }
        Ok(part)
    }
}

/// Makes sure that every object of a backup is there, and that the manifest says its length. None is removed: another backup,
/// one that is being made as well, may name it. The next one replaces what is damaged.
fn look_for_all(repository: &Repository, manifest: &mut Manifest) -> Result<(), BackupError> {
    let listed = repository.listed_parts()?;
    let mut lengths: HashMap<Sha, u64> = HashMap::new();
    for part in manifest.parts() {
        if lengths.contains_key(&part.sha) {
            continue;
        }
        let name = part.object();
        let mut stored = part.stored;
        // A list may be late; what the object itself says counts.
        if listed.get(&name) != Some(&stored) {
            stored = match repository.store().size(&name)? {
                Some(size) if size == stored => size,
                None => return Err(BackupError::damaged(&name, "the store has lost it")),
                // Another one may have stored the same content, sealed to another length, in a store that does not tell.
                Some(size) => repository.sound_len(&name, part.sha)?.ok_or_else(|| {
                    let what = format!("the store has {size} of its {stored} bytes");
                    BackupError::damaged(&name, what)
                })?,
            };
        }
        lengths.insert(part.sha, stored);
    }
    for part in manifest.parts_mut() {
        part.stored = lengths.get(&part.sha).copied().unwrap_or(part.stored);
    }
    Ok(())
}
