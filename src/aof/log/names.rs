//! Names on the disk: the manifest, and the sequence numbers of what it lists.
//!
//! Nothing that the durable manifest may list is ever removed (not even when asked while nobody knows which manifest
//! is the durable one), and no number is used twice, not even that of
//! a file which is there without being listed.

use std::sync::Arc;

use super::super::filename::{FileKind, FileNames};
use super::super::manifest::{Entry, Manifest};
use super::super::record::{Header, Position, Salt};
use super::BaseFormat;
use super::Segment;
use super::rotate::{CutPoint, NewBase};
use super::settle::Unsettled;
use crate::disk::durable::{self, ReplaceError};
use crate::disk::{DiskError, OpenMode, SharedDisk};
use crate::rng::Rng;

/// What is known of the log directory; locked through slow changes of it.
pub(super) struct Names {
    disk: SharedDisk,
    pub(super) files: FileNames,
    /// What the manifest file holds or, while `gated`, will hold.
    pub(super) manifest: Manifest,
    /// The file on the disk is not written before the first base is installed.
    pub(super) gated: bool,
    /// It is not known which manifest a power loss would leave, this one or one before it.
    in_doubt: bool,
    /// Above every number that is listed or there.
    next_incr_seq: u64,
    next_base_seq: u64,
    /// The salt of the newest segment, which the next one names as its predecessor.
    last_salt: Salt,
    salts: Box<dyn Rng>,
    /// Which old segments stay for now.
    pub(super) kept: Kept,
    /// What comes before the first segment: it, and the directory.
    pub(super) unsettled: Option<Unsettled>,
}

/// Segments that somebody besides the log needs: they stay although a base took their place, and are not used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Segments from this number on.
    pub from_seq: u64,
    /// But the newest ones only, up to so many bytes; 0: none.
    pub bytes_max: u64,
}

impl Names {
    /// The names in the directory, if there is one.
    pub(super) fn new(
        disk: SharedDisk,
        files: FileNames,
        manifest: Manifest,
        last_salt: Salt,
        salts: Box<dyn Rng>,
    ) -> Result<Self, DiskError> {
        let (mut incr_seq, mut base_seq) = (0, 0);
        let listed = manifest.entries().map(|entry| (files.kind(&entry.name), Some(entry.seq)));
        let there = match disk.list(&files.dir) {
            Err(error) if error.is_not_found() => Vec::new(),
            there => there?,
        };
        let there = there.iter().map(|name| (files.kind(name), None));
        for (kind, seq) in listed.chain(there) {
            match kind {
                FileKind::Incr(number) => incr_seq = incr_seq.max(number).max(seq.unwrap_or(0)),
                FileKind::Base(number, _) => base_seq = base_seq.max(number).max(seq.unwrap_or(0)),
                // Redis takes any name; its number counts for whatever the entry may be.
                FileKind::Manifest | FileKind::Temp | FileKind::Other => {
                    incr_seq = incr_seq.max(seq.unwrap_or(0));
                    base_seq = base_seq.max(seq.unwrap_or(0));
                }
            }
        }
        let (next_incr_seq, next_base_seq) = (incr_seq + 1, base_seq + 1);
        let (gated, in_doubt) = (false, false);
        let kept = Kept::default();
        Ok(Self {
            disk,
            files,
            manifest,
            gated,
            in_doubt,
            next_incr_seq,
            next_base_seq,
            last_salt,
            salts,
            kept,
            unsettled: None,
        })
    }

    /// Creates a segment with its header, durable, and lists it, durably.
    pub(super) fn add_segment(&mut self) -> Result<Segment, ReplaceError> {
        if let Some(unsettled) = &self.unsettled {
            let settled = unsettled.settle(&*self.disk);
            let settled = settled.and_then(|_| durable::create_dir(&*self.disk, &self.files.dir));
            settled.map_err(ReplaceError::Unchanged)?;
            self.unsettled = None;
        }
        let segment = self.create_segment().map_err(ReplaceError::Unchanged)?;
        let mut manifest = self.manifest.clone();
        let entry = Entry::new(self.files.incr(segment.seq), segment.seq);
        manifest.incrs.push(entry.with_salt(segment.salt));
        match self.replace_manifest(manifest) {
            Ok(()) => {
                self.last_salt = segment.salt;
                Ok(segment)
            }
            Err(error @ ReplaceError::Unchanged(_)) => {
                self.take_back(segment.seq);
                Err(error)
            }
            Err(error @ ReplaceError::Unknown(_)) => {
                // It may be listed, and will be by the next manifest: the next segment follows it.
                self.last_salt = segment.salt;
                Err(error)
            }
        }
    }

    fn create_segment(&mut self) -> Result<Segment, DiskError> {
        let seq = self.next_incr_seq;
        self.next_incr_seq += 1;
        let salt = Salt(self.salts.next_u64().max(1));
        let mut line = Vec::new();
        Header { salt, previous: self.last_salt }.encode(&mut line);
        let path = self.files.path(&self.files.incr(seq));
        let create = || -> Result<_, DiskError> {
            let file = self.disk.open(&path, OpenMode::CreateOrTruncate)?;
            file.write_all_at(0, &line)?;
            file.sync_all()?;
            self.disk.sync_dir(&self.files.dir)?;
            Ok(file)
        };
        let created = create();
        if created.is_err() {
            self.take_back(seq);
        }
        let file = created?;
        let len = line.len() as u64;
        let (crc, first, proven) = (0, true, Position::ZERO);
        let (filled, fill_failed) = (0, false);
        Ok(Segment {
            file: Arc::from(file),
            seq,
            salt,
            len,
            crc,
            first,
            proven,
            filled,
            fill_failed,
        })
    }

    /// A segment is not listed: not getting rid of it does no harm, but for its number, which is not used again then.
    fn take_back(&mut self, seq: u64) {
        let path = self.files.path(&self.files.incr(seq));
        if durable::remove_if_there(&*self.disk, &path).is_ok() {
            self.next_incr_seq = seq;
        }
    }

    /// The number of the next segment.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_incr_seq
    }

    /// The manifest on the disk is still the one that was read: it may list what this one has in its history.
    pub(super) fn not_on_disk(&mut self) {
        self.in_doubt = true;
    }

    /// Removes files that the manifest had in its history when it was read, the first `old` ones; true when any went.
    pub(super) fn remove_old(&self, old: usize) -> bool {
        if old == 0 || self.disk.sync_dir(&self.files.dir).is_err() {
            return false;
        }
        let kept = self.kept_names();
        let old = self.manifest.history.iter().take(old);
        let paths = old
            .filter(|entry| !kept.contains(&entry.name))
            .map(|entry| self.files.path(&entry.name));
        paths.filter(|path| self.disk.remove(path).is_ok()).count() > 0
    }

    /// Writes the manifest durably; in memory it changes as soon as the file may have.
    fn replace_manifest(&mut self, manifest: Manifest) -> Result<(), ReplaceError> {
        let temp = self.files.path(&self.files.temp_manifest());
        let path = self.files.path(&self.files.manifest());
        let result = if self.gated {
            Ok(())
        } else {
            let replaced = durable::replace_file(&*self.disk, &temp, &path, &manifest.encode());
            match &replaced {
                Ok(()) => self.in_doubt = false,
                Err(ReplaceError::Unknown(_)) => self.in_doubt = true,
                Err(ReplaceError::Unchanged(_)) => {}
            }
            replaced
        };
        if !matches!(result, Err(ReplaceError::Unchanged(_))) {
            self.manifest = manifest;
        }
        result
    }

    /// Notes in the manifest that the segment of number `seq` reaches `end`, which must be synced.
    pub(super) fn note_end(&mut self, seq: u64, end: Position) -> Result<(), ReplaceError> {
        let mut manifest = self.manifest.clone();
        let Some(entry) = manifest.incrs.iter_mut().find(|entry| entry.seq == seq) else {
            return Ok(());
        };
        if entry.end() == Some(end) {
            return Ok(());
        }
        entry.set_end(end);
        self.replace_manifest(manifest)
    }

    /// Names for a base at `cut`.
    pub(super) fn new_base(&mut self, cut: CutPoint, format: BaseFormat) -> NewBase {
        let seq = self.next_base_seq;
        self.next_base_seq += 1;
        NewBase {
            cut,
            seq,
            temp_path: self.files.path(&self.files.temp_base(seq, format)),
            name: self.files.base(seq, format),
            content: None,
        }
    }

    /// Renames a base to its name and lists it, durably, with the segments from its cut on.
    pub(super) fn list_base(&mut self, base: &NewBase) -> Result<(), ReplaceError> {
        let path = self.files.path(&base.name);
        let renamed = self.disk.rename(&base.temp_path, &path);
        // Durable before the manifest names it: nothing orders two names of a directory.
        let renamed = renamed.and_then(|()| self.disk.sync_dir(&self.files.dir));
        if let Err(error) = renamed {
            let _ = self.disk.remove(&path);
            return Err(ReplaceError::Unchanged(error));
        }
        let mut manifest = self.manifest.clone();
        manifest.history.extend(manifest.base.take());
        let (kept, old) =
            manifest.incrs.into_iter().partition(|entry| entry.seq >= base.cut.incr_seq);
        manifest.incrs = kept;
        let old: Vec<Entry> = old;
        manifest.history.extend(old);
        let entry = Entry::new(base.name.clone(), base.seq);
        manifest.base = Some(entry.with_position(base.cut.position).with_content(base.content));
        let was_gated = std::mem::replace(&mut self.gated, false);
        let result = self.replace_manifest(manifest);
        if matches!(result, Err(ReplaceError::Unchanged(_))) {
            self.gated = was_gated;
            // Not listed, so not getting rid of it does no harm.
            let _ = self.disk.remove(&path);
        }
        result
    }

    /// Removes the files of the manifest's history, once it is durable (I6); returns how many are left.
    pub(super) fn remove_history(&mut self) -> usize {
        if self.manifest.history.is_empty() || self.gated || self.in_doubt {
            return self.manifest.history.len();
        }
        let kept = self.kept_names();
        let mut manifest = self.manifest.clone();
        manifest.history.retain(|entry| {
            kept.contains(&entry.name)
                || durable::remove_if_there(&*self.disk, &self.files.path(&entry.name)).is_err()
        });
        if manifest.history.len() == self.manifest.history.len() {
            return manifest.history.len();
        }
        let left = manifest.history.len();
        // The manifests with and without history mean the same; a failure here loses nothing.
        let _ = self.replace_manifest(manifest);
        left
    }

    /// Segments of the history that stay, as [`Kept`] says.
    fn kept_names(&self) -> Vec<String> {
        let is_kept = |entry: &&Entry| {
            let segment = matches!(self.files.kind(&entry.name), FileKind::Incr(_));
            segment && entry.seq >= self.kept.from_seq
        };
        let mut old: Vec<&Entry> = self.manifest.history.iter().filter(is_kept).collect();
        old.sort_by_key(|entry| std::cmp::Reverse(entry.seq));
        let mut room = self.kept.bytes_max;
        let mut names = Vec::new();
        for entry in old {
            let len = self.disk.file_len(&self.files.path(&entry.name)).ok().flatten().unwrap_or(0);
            let Some(rest) = room.checked_sub(len) else { break };
            room = rest;
            names.push(entry.name.clone());
        }
        names
    }

    /// Bytes of the listed segments.
    pub(super) fn incr_bytes(&self) -> u64 {
        let lens = self.manifest.incrs.iter().map(|entry| {
            self.disk.file_len(&self.files.path(&entry.name)).ok().flatten().unwrap_or(0)
        });
        lens.sum()
    }
}
