//! What a restore will do: from which backup, with which files, and where the log ends.
//!
//! Which backups may be taken, and in which order, is the business of `candidates`. Here the first of them is taken
//! whose log has what is looked for.

use super::BackupError;
use super::archive::chain::Archived;
use super::candidates::{Candidate, Candidates, HOW_TO_LIST, candidates};
use super::cut::{Found, Target, find, shorten};
use super::fetch::Fetcher;
use super::manifest::{BackedFile, Manifest};
use super::object::Sha;
use super::repository::Repository;
use super::time::Iso;
use crate::aof::chain::SegmentFile;
use crate::aof::record::Position;
use crate::clock::UnixMillis;

/// What a restore will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The backup.
    pub manifest: Manifest,
    /// The files as they are restored: the last one may be shorter than in the backup.
    pub files: Vec<PlannedFile>,
    /// The position of the state.
    pub position: Option<u64>,
    /// The time of the newest thing in it.
    pub instant: Option<UnixMillis>,
    /// The time of what is left out first.
    pub next_time: Option<UnixMillis>,
    /// Whether the state is the backup's own end.
    pub whole: bool,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// A file that is restored.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// As it is in the backup.
    pub file: BackedFile,
    /// Its content, where that is not the backup's.
    pub content: Option<Vec<u8>>,
    /// Whether it is the base.
    pub is_base: bool,
}

impl PlannedFile {
    /// Bytes that it will have.
    pub fn size(&self) -> u64 {
        self.content.as_ref().map_or(self.file.size, |content| content.len() as u64)
    }

    /// Whether these bytes are its content.
    pub fn is(&self, bytes: &[u8]) -> bool {
        if let Some(content) = &self.content {
            return content == bytes;
        }
        if let Some(sha) = self.file.sha {
            return Sha::of(bytes) == sha;
        }
        let mut rest = bytes;
        let parts = self.file.parts.iter().all(|part| {
            let len = usize::try_from(part.size).unwrap_or(usize::MAX);
            let (own, behind) = rest.split_at_checked(len).unwrap_or_default();
            rest = behind;
            Sha::of(own) == part.sha
        });
        parts && rest.is_empty()
    }
}

impl Plan {
    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(PlannedFile::size).sum()
    }
}

/// Plans a restore to `target`, from the backup `id` or whichever fits.
pub fn plan(
    repository: &Repository,
    id: Option<&str>,
    target: &Target,
) -> Result<Plan, BackupError> {
    let Candidates { sound, hidden } = match id {
        Some(id) => Candidates {
            sound: vec![Candidate::alone(named(repository, id)?, target)?],
            hidden: None,
        },
        None => {
            let found = repository.backups()?;
            candidates(found, &Archived::list(repository)?, target)?
        }
    };
    let mut first_refusal = None;
    for candidate in sound {
        match of_backup(repository, candidate, target) {
            // An older backup may have what this one's log does not.
            Err(error @ BackupError::Refused { .. }) => {
                first_refusal.get_or_insert(error);
            }
            other => return other,
        }
    }
    // What cannot be read may have what none of the others has.
    Err(hidden
        .or(first_refusal)
        .unwrap_or_else(|| BackupError::refused("there is no backup", HOW_TO_LIST)))
}

fn named(repository: &Repository, id: &str) -> Result<Manifest, BackupError> {
    match repository.manifest(id) {
        Err(BackupError::Store(error)) if error.is_not_found() => {
            Err(BackupError::refused(format!("there is no backup {id}"), HOW_TO_LIST))
        }
        other => other,
    }
}

fn of_backup(
    repository: &Repository,
    Candidate { manifest, notes }: Candidate,
    target: &Target,
) -> Result<Plan, BackupError> {
    let base = manifest.base.iter().map(|file| planned(file, true));
    let all = base.chain(manifest.segments.iter().map(|file| planned(file, false))).collect();
    let mut plan = Plan {
        files: all,
        position: manifest.position,
        instant: manifest.instant,
        next_time: None,
        whole: manifest.segments.iter().all(|file| file.sha.is_some()),
        notes,
        manifest,
    };
    if let Target::Time(at) = target
        && plan.instant < Some(*at)
    {
        let reach = plan.instant.map_or("an unknown time".to_owned(), |at| Iso(at).to_string());
        plan.notes.push(format!(
            "this backup reaches to {reach}; what was written from then to {}, if anything, is not in it",
            Iso(*at)
        ));
    }
    let Some((index, found)) = look(repository, &plan.manifest, target)? else { return Ok(plan) };
    shorten_to(&mut plan, repository, index, &found)?;
    Ok(plan)
}

fn planned(file: &BackedFile, is_base: bool) -> PlannedFile {
    PlannedFile { file: file.clone(), content: None, is_base }
}

/// The segment that a target ends in, and where; `None`: at the end.
fn look(
    repository: &Repository,
    manifest: &Manifest,
    target: &Target,
) -> Result<Option<(usize, Found)>, BackupError> {
    let segments = &manifest.segments;
    let of = |index: usize| search(repository, manifest, index, target);
    match target {
        Target::Latest => Ok(None),
        Target::Time(at) => {
            let timeless = |file: &BackedFile| file.records > 0 && file.last_time.is_none();
            let ends = |file: &BackedFile| timeless(file) || file.last_time > Some(*at);
            segments.iter().position(ends).map_or(Ok(None), of)
        }
        Target::Position(at) => {
            if manifest.position < Some(*at) {
                return Err(BackupError::refused(
                    format!("this backup ends at position {:?}", manifest.position),
                    HOW_TO_LIST,
                ));
            }
            segments.iter().position(|file| file.end > Some(*at)).map_or(Ok(None), of)
        }
        Target::Before { after, .. } => {
            let mut refusal = None;
            let mut indices: Vec<usize> = (0..segments.len()).collect();
            // The last of all is looked for from the end.
            if after.is_none() {
                indices.reverse();
            }
            for index in indices {
                match of(index) {
                    Err(error @ BackupError::Refused { .. }) => refusal = Some(error),
                    other => return other,
                }
            }
            Err(refusal.unwrap_or_else(|| {
                BackupError::refused("this backup has no log to look into", HOW_TO_LIST)
            }))
        }
    }
}

fn segment<'s>(file: &'s BackedFile, bytes: &'s [u8]) -> SegmentFile<'s> {
    SegmentFile { name: &file.name, bytes, salt: file.salt, end: None, records_at: 0 }
}

/// Looks for the target in one segment.
fn search(
    repository: &Repository,
    manifest: &Manifest,
    index: usize,
    target: &Target,
) -> Result<Option<(usize, Found)>, BackupError> {
    let Some(file) = manifest.segments.get(index) else { return Ok(None) };
    let bytes = Fetcher::new(repository, 1, file.size, &|_, _| {}).content(file)?;
    let segment = segment(file, &bytes);
    let found = find(file.position.map(Position), &[segment], target)?;
    Ok(Some((index, found)))
}

/// Ends the plan's files at `found` in segment `index`.
fn shorten_to(
    plan: &mut Plan,
    repository: &Repository,
    index: usize,
    found: &Found,
) -> Result<(), BackupError> {
    let Some(file) = plan.manifest.segments.get(index) else { return Ok(()) };
    let at = index + usize::from(plan.manifest.base.is_some());
    plan.position = file.position.map(|_| found.position);
    let earlier = plan.manifest.segments.iter().take(index);
    let before = earlier.filter_map(|file| file.last_time).max();
    let base_time = plan.manifest.base.as_ref().and_then(|base| base.last_time);
    plan.instant = found.instant.or(before).or(base_time);
    plan.next_time = found.next_time;
    plan.whole = false;
    if let Some((_, offset)) = found.cut {
        let mut bytes = Fetcher::new(repository, 1, file.size, &|_, _| {}).content(file)?;
        let segment = segment(file, &bytes);
        let (keep, tail) = shorten(&segment, offset)?;
        bytes.truncate(keep);
        bytes.extend_from_slice(&tail);
        if let Some(planned) = plan.files.get_mut(at) {
            planned.content = Some(bytes);
        }
    }
    plan.files.truncate(at + 1);
    Ok(())
}
