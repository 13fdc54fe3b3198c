//! The base that archived segments follow, as a backup of its own.
//!
//! It holds the base and the empty beginning of the first segment, which says of which log it is. The
//! log itself is in the pieces. A base never changes and is never cut, so it may be mapped while the server goes on.

use crate::aof::filename::FileNames;
use crate::aof::manifest::{Entry, Manifest as LogManifest};
use crate::aof::record::{Header, Position, Salt};
use crate::backup::BackupError;
use crate::backup::create::{CreateOptions, Created, create};
use crate::backup::manifest::{Manifest, Origin};
use crate::backup::repository::Repository;
use crate::backup::source::{self, Source, SourceFile};
use crate::clock::Clock;
use crate::disk::{Disk, FileView};
use crate::recovery::inspect::view;

use super::frames;

/// Bases of which backups are looked at, the newest first, to see whether this one is there.
const LOOK_AT: usize = 10;

/// What a log's base is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseId {
    /// The position whose state it holds; 0 for a log that began empty.
    pub position: u64,
    /// Of the first segment behind it.
    pub first_salt: Salt,
}

/// The base of a log; `None` where it cannot be archived: it, or a segment, is without positions.
pub(super) fn of(manifest: &LogManifest) -> Option<BaseId> {
    let position = match &manifest.base {
        None => 0,
        Some(base) => base.position()?.0,
    };
    let salts: Option<Vec<Salt>> = manifest.incrs.iter().map(Entry::salt).collect();
    Some(BaseId { position, first_salt: *salts?.first()? })
}

/// Whether a backup holds it.
fn holds(backup: &Manifest, base: BaseId, with_file: bool) -> bool {
    let first = backup.segments.first();
    let same_log = first.is_some_and(|file| file.salt == Some(base.first_salt));
    let held = backup.base.as_ref().map_or(0, |file| file.position.unwrap_or(u64::MAX));
    same_log && held == base.position && backup.base.is_some() == with_file
}

/// Everything that a thread needs to send a base.
#[derive(Debug)]
pub struct BaseJob {
    pub(super) repository: Repository,
    pub(super) names: FileNames,
    pub(super) manifest: LogManifest,
    pub(super) id: BaseId,
    pub(super) origin: Origin,
    /// Bytes a second; 0 is no bound.
    pub rate: u64,
}

impl BaseJob {
    /// What it sends.
    pub fn id(&self) -> BaseId {
        self.id
    }

    /// Sends it, unless the repository has it; `None`: it had. It takes a while.
    pub fn run(
        &self,
        disk: &dyn Disk,
        clock: &dyn Clock,
        random: &str,
    ) -> Result<Option<Created>, BackupError> {
        let repository = &self.repository;
        for id in repository.ids()?.iter().rev().take(LOOK_AT) {
            let with_file = self.manifest.base.is_some();
            if repository.manifest(id).is_ok_and(|found| holds(&found, self.id, with_file)) {
                return Ok(None);
            }
        }
        let source = self.source(disk)?;
        let options = CreateOptions { threads: 1, rate: self.rate, ..CreateOptions::default() };
        let origin = self.origin.clone();
        create(repository, &source, origin, options, clock, random, &|_, _| {}).map(Some)
    }

    fn source(&self, disk: &dyn Disk) -> Result<Source, BackupError> {
        let FileNames { dir, name } = &self.names;
        let mut source =
            Source { log_dir: dir.clone(), log_name: name.clone(), ..Source::default() };
        if let Some(entry) = &self.manifest.base {
            let bytes = view(disk, &self.names.path(&entry.name))?;
            let mut file = SourceFile::new(&entry.name, entry.seq, None, bytes);
            file.position = entry.position().map(|position| position.0);
            source.base = Some(file);
        }
        let mut source = source::check(source)?;
        source.position = Some(self.id.position);
        if let Some(entry) = self.manifest.incrs.first() {
            source.segments.push(self.beginning(disk, entry)?);
        }
        Ok(source)
    }

    /// The header of a segment as a segment without content.
    fn beginning(&self, disk: &dyn Disk, entry: &Entry) -> Result<SourceFile, BackupError> {
        let path = self.names.path(&entry.name);
        let header = frames::start_of(disk, &path)?.map(|(header, _)| header);
        let Some(Header { salt, previous }) = header.filter(|own| Some(own.salt) == entry.salt())
        else {
            return Err(BackupError::Source { what: format!("{path} has no header of its own") });
        };
        let mut line = Vec::new();
        Header { salt, previous }.encode(&mut line);
        let mut file = SourceFile::new(&entry.name, entry.seq, Some(salt), FileView::Owned(line));
        let Position(start) = Position(self.id.position);
        (file.position, file.end) = (Some(start), Some(start));
        Ok(file)
    }
}
