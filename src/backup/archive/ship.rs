//! Shipping: one step stores what has become durable since the last one, and says what is left to do.
//!
//! It blocks as the store does, so it is called on a thread of its own and holds no lock of the server. What is
//! shipped already is told from the repository's list when it begins, or begins again after an error; a list
//! that is stale makes it send something twice.

use std::collections::BTreeMap;

use super::base::{self, BaseId, BaseJob};
use super::chain::Archived;
use super::frames::{self, Place};
use super::owner::Ownership;
use super::piece::{self, SegmentId};
use crate::aof::filename::{FileKind, FileNames};
use crate::aof::manifest::{Entry, Manifest as LogManifest};
use crate::backup::BackupError;
use crate::backup::manifest::Origin;
use crate::backup::object::Sha;
use crate::backup::repository::Repository;
use crate::disk::{OpenMode, SharedDisk};

/// A step ends after so many pieces, so that its caller sees how it goes.
const PIECES_PER_STEP: u64 = 16;

/// Ships one log to one repository.
#[derive(Debug)]
pub struct Archiver {
    repository: Repository,
    disk: SharedDisk,
    names: FileNames,
    origin: Origin,
    /// Where the next piece begins; `None`: to be found out.
    place: Option<Place>,
    /// The base that the repository has.
    base: Option<BaseId>,
    /// Of this base the repository has another log: this one was restored to an earlier state.
    diverged: Option<BaseId>,
    /// Everything before this position of the log is archived.
    position: u64,
    /// Whose archive it is; `None` in tests that have one server.
    pub ownership: Option<Ownership>,
    /// Something was shipped in this step.
    checked: bool,
    /// The repository is encrypted as it was; asked when it begins, and again after a failure.
    held: bool,
    /// What was done since the start.
    pub figures: Figures,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Pieces stored.
    pub pieces: u64,
    /// Bytes of log in them.
    pub bytes: u64,
    /// Bases sent.
    pub bases: u64,
    /// Places where a part of the log was gone before it was archived.
    pub gaps: u64,
}

/// What a step left to do.
#[derive(Debug)]
pub struct Step {
    /// There is more to ship at once.
    pub more: bool,
    /// Segments from this number on are still needed.
    pub keep_from: u64,
    /// A base to send, on another thread; report it with [`Archiver::base_sent`].
    pub base: Option<BaseJob>,
    /// The archive cannot go on from this base: the log has files without positions, of another server, or the
    /// archive has another log behind it. A rewrite ends that.
    pub rewrite_wanted: bool,
}

impl Archiver {
    /// An archiver of the log with these names on `disk`. `address` is where it comes from, in words.
    pub fn new(repository: Repository, disk: SharedDisk, names: FileNames, address: &str) -> Self {
        let origin =
            Origin { kind: "archive".to_owned(), address: address.to_owned(), ..Origin::default() };
        Self {
            repository,
            disk,
            names,
            origin,
            place: None,
            base: None,
            diverged: None,
            position: 0,
            ownership: None,
            checked: false,
            held: false,
            figures: Figures::default(),
        }
    }

    /// Everything before this position of the log is archived.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Says in the repository that this server has stopped.
    pub fn end(&mut self) {
        if let Some(ownership) = &mut self.ownership {
            ownership.end(&self.repository);
        }
    }

    /// The repository has this base.
    pub fn base_sent(&mut self, id: BaseId, sent: bool) {
        self.base = Some(id);
        self.figures.bases += u64::from(sent);
    }

    /// Ships what is durable: what is before `synced` in the files that `manifest` lists.
    pub fn step(&mut self, manifest: &LogManifest, synced: u64) -> Result<Step, BackupError> {
        let Some(base) = base::of(manifest) else {
            return Ok(Step { more: false, keep_from: 0, base: None, rewrite_wanted: true });
        };
        self.checked = false;
        if let Some(ownership) = &mut self.ownership
            && let Err(error) = ownership.hold(&self.repository)
        {
            // Another one may have shipped meanwhile.
            self.place = None;
            return Err(error);
        }
        let entries = self.entries(manifest);
        let shipped = self.ship(&entries, base, synced);
        if shipped.is_err() {
            // What the store has is asked again.
            (self.place, self.held) = (None, false);
        }
        let more = shipped?;
        let last = entries.keys().next_back().copied().unwrap_or(0);
        let keep_from = self.place.map_or(last, |place| place.segment.seq);
        let job = (self.base != Some(base)).then(|| BaseJob {
            repository: self.repository.clone(),
            names: self.names.clone(),
            manifest: manifest.clone(),
            id: base,
            origin: self.origin.clone(),
            rate: 0,
        });
        Ok(Step { more, keep_from, base: job, rewrite_wanted: self.diverged == Some(base) })
    }

    /// The segments that are there, those included that the log itself does not need any more.
    fn entries<'m>(&self, manifest: &'m LogManifest) -> BTreeMap<u64, &'m Entry> {
        let is_segment = |entry: &&Entry| matches!(self.names.kind(&entry.name), FileKind::Incr(_));
        let old = manifest.history.iter().filter(is_segment);
        let all = old.chain(&manifest.incrs).filter(|entry| entry.salt().is_some());
        all.map(|entry| (entry.seq, entry)).collect()
    }

    /// True when there may be more.
    fn ship(
        &mut self,
        entries: &BTreeMap<u64, &Entry>,
        base: BaseId,
        synced: u64,
    ) -> Result<bool, BackupError> {
        if !self.held {
            self.repository.hold_keys()?;
            self.held = true;
        }
        if self.place.is_none() {
            self.place = self.begin(entries, base)?;
            self.position = self.place.map_or(base.position, |place| place.position);
        }
        let mut pieces = 0;
        while let Some(place) = self.place {
            let found = match entries.get(&place.segment.seq) {
                Some(entry) if entry.salt() == Some(place.segment.salt) => {
                    self.look(entry, &place, synced)?
                }
                _ => None,
            };
            if let Some(found) = found {
                self.store(&place, &found)?;
                let end = found.range.end;
                let offset = place.offset + found.range.len;
                self.place = Some(Place { segment: place.segment, offset, position: end });
                self.position = end;
                pieces += 1;
                if pieces == PIECES_PER_STEP {
                    return Ok(true);
                }
                continue;
            }
            let Some(next) = self.first_from(entries, place.segment.seq + 1)? else { break };
            if next.position > synced {
                break;
            }
            // What was lost in between, a new base makes up for.
            self.figures.gaps += u64::from(next.position != place.position);
            self.place = Some(next);
        }
        Ok(false)
    }

    /// Where the first segment begins that is not archived to its end.
    fn begin(
        &mut self,
        entries: &BTreeMap<u64, &Entry>,
        base: BaseId,
    ) -> Result<Option<Place>, BackupError> {
        let archived = Archived::list(&self.repository)?;
        let mut place = None;
        let mut from = 0;
        while let Some(next) = self.first_from(entries, from)? {
            if let Some(before) = place.filter(|place: &Place| place.position != next.position) {
                if before.position > next.position {
                    self.diverged = Some(base);
                    return Ok(Some(next));
                }
                break;
            }
            let Some((offset, position)) = archived.reach(&next.segment) else {
                return Ok(Some(next));
            };
            place = Some(Place { offset, position, ..next });
            from = next.segment.seq + 1;
        }
        Ok(place)
    }

    /// The beginning of the first segment with content whose number is `seq` or higher.
    fn first_from(
        &self,
        entries: &BTreeMap<u64, &Entry>,
        seq: u64,
    ) -> Result<Option<Place>, BackupError> {
        for (seq, entry) in entries.range(seq..) {
            let path = self.names.path(&entry.name);
            let start = match frames::start_of(self.disk.as_ref(), &path) {
                Err(error) if error.is_not_found() => continue,
                other => other?,
            };
            if let Some((header, Some(start))) = start
                && Some(header.salt) == entry.salt()
            {
                let (salt, previous) = (header.salt, header.previous);
                let segment = SegmentId { seq: *seq, salt, previous, start };
                return Ok(Some(Place { segment, offset: 0, position: start }));
            }
        }
        Ok(None)
    }

    fn look(
        &self,
        entry: &Entry,
        place: &Place,
        synced: u64,
    ) -> Result<Option<frames::Found>, BackupError> {
        match self.disk.open(&self.names.path(&entry.name), OpenMode::Read) {
            Ok(file) => Ok(frames::next(file.as_ref(), place, synced)?),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn store(&mut self, place: &Place, found: &frames::Found) -> Result<(), BackupError> {
        if let Some(ownership) = self.ownership.as_mut().filter(|_| !self.checked) {
            ownership.check(&self.repository)?;
            self.checked = true;
        }
        let sha = Sha::of(&found.bytes);
        let name = piece::name(&place.segment, &found.range, sha);
        self.repository.put_object(&name, &found.bytes, sha)?;
        self.figures.pieces += 1;
        self.figures.bytes += found.range.len;
        Ok(())
    }
}
