//! From pieces back to segments: what the archive has behind a backup.
//!
//! A segment's pieces are put together from its first byte as far as they reach without a gap. A segment
//! follows another when it names its salt and starts at its end. What is wrong in spite of fitting names is found
//! when it is read: pieces by their hash, the log by its chain of checksums.

use std::collections::{BTreeMap, HashMap};

use super::piece::{PREFIX, Piece, SegmentId};
use crate::aof::record::Salt;
use crate::backup::BackupError;
use crate::backup::manifest::{BackedFile, Manifest, Part};
use crate::backup::repository::Repository;
use crate::clock::UnixMillis;

/// What is archived: segments, as far as their pieces reach.
#[derive(Debug, Default)]
pub struct Archived {
    segments: BTreeMap<SegmentId, Vec<Piece>>,
}

impl Archived {
    /// What the repository lists.
    pub fn list(repository: &Repository) -> Result<Self, BackupError> {
        let listed = repository.store().list(PREFIX)?;
        let pieces = listed.iter().filter_map(|listed| Piece::parse(&listed.name, listed.size));
        Ok(Self::of(pieces))
    }

    /// These pieces put together.
    pub fn of(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut by_segment: BTreeMap<SegmentId, Vec<Piece>> = BTreeMap::new();
        for piece in pieces {
            by_segment.entry(piece.segment).or_default().push(piece);
        }
        let segments = by_segment.into_iter().map(|(id, pieces)| (id, farthest(pieces)));
        Self { segments: segments.filter(|(_, pieces)| !pieces.is_empty()).collect() }
    }

    /// How far a segment is archived: offset and position; `None`: not at all.
    pub fn reach(&self, segment: &SegmentId) -> Option<(u64, u64)> {
        let last = self.segments.get(segment)?.last()?;
        Some((last.until(), last.range.end))
    }

    /// The time of the latest thing in it.
    pub fn newest(&self) -> Option<UnixMillis> {
        self.segments.values().flatten().map(|piece| piece.range.last_time).max()
    }

    /// The backup with what is archived behind it; `None` when there is nothing more.
    pub fn extend(&self, manifest: &Manifest) -> Option<Manifest> {
        let mut tip = Tip::of(manifest)?;
        let mut segments: Vec<BackedFile> =
            manifest.segments.iter().take(tip.kept).cloned().collect();
        let mut gained = false;
        if let (Some(last), Some((id, pieces))) = (segments.last_mut(), self.own(&tip)) {
            let file = file_of(manifest, id, pieces);
            if file.size > last.size {
                tip.end = file.end.unwrap_or(tip.end);
                *last = file;
                gained = true;
            }
        }
        while let Some((id, pieces)) = self.next(&tip) {
            let file = file_of(manifest, id, pieces);
            tip = Tip {
                seq: id.seq,
                salts: vec![id.salt],
                end: file.end.unwrap_or_default(),
                kept: segments.len() + 1,
            };
            segments.push(file);
            gained = true;
        }
        let newest = segments.iter().filter_map(|file| file.last_time).max();
        gained.then(|| Manifest {
            instant: newest.max(manifest.instant),
            position: Some(tip.end),
            keys: None,
            digest: None,
            segments,
            ..manifest.clone()
        })
    }

    /// The pieces of the segment at the tip itself.
    fn own(&self, tip: &Tip) -> Option<(&SegmentId, &Vec<Piece>)> {
        let salt = tip.salts.first().filter(|_| tip.kept > 0)?;
        self.segments.iter().find(|(id, _)| id.seq == tip.seq && id.salt == *salt)
    }

    /// The segment behind the tip. Where several logs went on from it, the one that was written last.
    fn next(&self, tip: &Tip) -> Option<(&SegmentId, &Vec<Piece>)> {
        let follows = |id: &SegmentId| {
            // The tip of a backup without log may be the empty segment itself, which went on.
            let fits =
                tip.salts.contains(&id.previous) || (tip.kept == 0 && tip.salts.contains(&id.salt));
            id.start == tip.end && fits && id.seq > tip.seq
        };
        let candidates = self.segments.iter().filter(|(id, _)| follows(id));
        candidates.max_by_key(|(_, pieces)| pieces.last().map(|piece| piece.range.last_time))
    }
}

/// The number of the first segment of which a backup may need pieces; `None`: of none.
pub fn follows_from(manifest: &Manifest) -> Option<u64> {
    Tip::of(manifest).map(|tip| if tip.kept > 0 { tip.seq } else { tip.seq + 1 })
}

/// Where a backup's log ends.
struct Tip {
    seq: u64,
    /// Salts that what follows may name; the first is that of the last segment with content.
    salts: Vec<Salt>,
    end: u64,
    /// Segments up to the last one with content. Empty ones behind it may never have been gone on with.
    kept: usize,
}

impl Tip {
    fn of(manifest: &Manifest) -> Option<Self> {
        let content = manifest.segments.iter().rposition(|file| file.records > 0);
        if let Some(index) = content {
            let file = manifest.segments.get(index)?;
            let salts = vec![file.salt.unwrap_or(Salt(0))];
            return Some(Self { seq: file.seq, salts, end: file.end?, kept: index + 1 });
        }
        let end = match &manifest.base {
            // A snapshot that is no base has no log behind it.
            Some(base) if base.seq == 0 => return None,
            Some(base) => base.position?,
            None => 0,
        };
        let mut salts = vec![Salt(0)];
        salts.extend(manifest.segments.iter().filter_map(|file| file.salt));
        let seq = manifest.segments.first().map_or(0, |file| file.seq.saturating_sub(1));
        // An empty segment alone tells which log it is.
        (!manifest.segments.is_empty()).then_some(Self { seq, salts, end, kept: 0 })
    }
}

fn file_of(manifest: &Manifest, id: &SegmentId, pieces: &[Piece]) -> BackedFile {
    let parts: Vec<Part> = pieces.iter().map(Piece::part).collect();
    BackedFile {
        name: format!("{}.{}.incr.aof", manifest.origin.log_name, id.seq),
        seq: id.seq,
        size: pieces.iter().map(|piece| piece.range.len).sum(),
        sha: None,
        salt: Some(id.salt),
        position: Some(id.start),
        end: pieces.last().map(|piece| piece.range.end),
        first_time: pieces.first().map(|piece| piece.range.first_time),
        last_time: pieces.iter().map(|piece| piece.range.last_time).max(),
        records: pieces.len() as u64,
        parts,
    }
}

/// The pieces that lead from the first byte as far as possible.
fn farthest(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by_key(|piece| (piece.range.offset, piece.range.len));
    // By the offset behind it, a piece that a way from the start ends with.
    let mut reached: HashMap<u64, Piece> = HashMap::new();
    let mut end = 0;
    for piece in pieces {
        let offset = piece.range.offset;
        if offset == 0 || reached.contains_key(&offset) {
            reached.entry(piece.until()).or_insert(piece);
            end = end.max(piece.until());
        }
    }
    let mut way = Vec::new();
    while let Some(piece) = reached.get(&end).filter(|_| end > 0) {
        way.push(*piece);
        end = piece.range.offset;
    }
    way.reverse();
    way
}
