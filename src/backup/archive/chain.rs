//! From pieces back to segments: what the archive has behind a backup.
//!
//! A segment's pieces are put together from its first byte as far as they reach without a gap. A segment
//! follows another when it names its salt and starts at its end. Where several do, a data directory was rolled
//! back or copied, and the log went on in several ways; which one is right depends on what is asked for. What lies
//! behind a gap is told, not passed over. What is wrong in spite of fitting names is found
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
    segments: BTreeMap<SegmentId, Segment>,
}

/// What is archived of one segment.
#[derive(Debug, Default)]
struct Segment {
    /// The pieces that lead from the first byte as far as possible.
    way: Vec<Piece>,
    /// The first one that reaches farther, and that nothing leads to.
    beyond: Option<Piece>,
}

/// A way in which a log went on behind a backup.
#[derive(Clone, Debug)]
pub struct Way {
    /// The backup with it.
    pub manifest: Manifest,
    /// Whether that is more than the backup.
    pub gained: bool,
    /// What is missing behind its end.
    pub hole: Option<Hole>,
}

/// A place where a part of the archive is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The position up to which everything is there.
    pub position: u64,
    /// The first object behind it.
    pub behind: String,
    /// It is inside of a segment: objects were lost. Else the server may have lost the end of one, and then
    /// sends a new base.
    pub inside: bool,
}

impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, behind, .. } = self;
        write!(
            f,
            "the log is missing from position {position} on, up to what {behind} holds: nothing leads there"
        )
    }
}

/// A way that is being followed.
struct Step {
    tip: Tip,
    segments: Vec<BackedFile>,
    gained: bool,
    /// Behind the end of the segment at the tip.
    beyond: Option<Piece>,
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
        Self { segments: segments.collect() }
    }

    /// How far a segment is archived: offset and position; `None`: not at all.
    pub fn reach(&self, segment: &SegmentId) -> Option<(u64, u64)> {
        let last = self.segments.get(segment)?.way.last()?;
        Some((last.until(), last.range.end))
    }

    /// The time of the latest thing in it.
    pub fn newest(&self) -> Option<UnixMillis> {
        let pieces = self.segments.values().flat_map(|segment| &segment.way);
        pieces.map(|piece| piece.range.last_time).max()
    }

    /// The backup with what is archived behind it, in the way that was written last; `None` when there is nothing more.
    pub fn extend(&self, manifest: &Manifest) -> Option<Manifest> {
        let first = self.ways(manifest).into_iter().next();
        first.filter(|way| way.gained).map(|way| way.manifest)
    }

    /// All ways in which the log goes on behind a backup, the one that was written last first; at least one.
    pub fn ways(&self, manifest: &Manifest) -> Vec<Way> {
        let Some(tip) = Tip::of(manifest) else {
            return vec![Way { manifest: manifest.clone(), gained: false, hole: None }];
        };
        let mut ways = Vec::new();
        let mut open = vec![self.begin(manifest, tip)];
        while let Some(step) = open.pop() {
            let mut next = self.next(&step.tip);
            let Some(last) = next.pop() else {
                ways.push(self.end(manifest, step));
                continue;
            };
            for (id, segment) in next {
                let segments = step.segments.clone();
                open.push(Step::to(manifest, segments, id, segment));
            }
            open.push(Step::to(manifest, step.segments, last.0, last.1));
        }
        // A clock that was ahead once counts for all of them.
        let end = |way: &Way| way.manifest.segments.last().and_then(|file| file.last_time);
        ways.sort_by_key(|way| std::cmp::Reverse((way.manifest.instant, end(way))));
        ways
    }

    /// The backup's own segments, the last one as far as the archive has it.
    fn begin(&self, manifest: &Manifest, mut tip: Tip) -> Step {
        let mut segments: Vec<BackedFile> =
            manifest.segments.iter().take(tip.kept).cloned().collect();
        let (mut gained, mut beyond) = (false, None);
        if let (Some(last), Some((id, segment))) = (segments.last_mut(), self.own(&tip)) {
            let file = file_of(manifest, id, &segment.way);
            if file.size > last.size {
                tip.end = file.end.unwrap_or(tip.end);
                *last = file;
                gained = true;
            }
            beyond = segment.beyond.filter(|piece| piece.until() > last.size);
        }
        Step { tip, segments, gained, beyond }
    }

    fn end(&self, manifest: &Manifest, step: Step) -> Way {
        let Step { tip, segments, gained, beyond } = step;
        let hole = |piece: Piece, inside| Hole { position: tip.end, behind: piece.name(), inside };
        let lost = || self.lost(&tip).map(|(piece, inside)| hole(piece, inside));
        let hole = beyond.map(|piece| hole(piece, true)).or_else(lost);
        if !gained {
            return Way { manifest: manifest.clone(), gained, hole };
        }
        let newest = segments.iter().filter_map(|file| file.last_time).max();
        let manifest = Manifest {
            instant: newest.max(manifest.instant),
            position: Some(tip.end),
            keys: None,
            digest: None,
            segments,
            ..manifest.clone()
        };
        Way { manifest, gained, hole }
    }

    /// The pieces of the segment at the tip itself.
    fn own(&self, tip: &Tip) -> Option<(&SegmentId, &Segment)> {
        let salt = tip.salts.first().filter(|_| tip.kept > 0)?;
        self.segments.iter().find(|(id, _)| id.seq == tip.seq && id.salt == *salt)
    }

    /// The segments that follow the tip.
    fn next(&self, tip: &Tip) -> Vec<(&SegmentId, &Segment)> {
        let all = self.segments.iter();
        let follows = |id: &SegmentId| tip.is_named_by(id) && id.start == tip.end;
        all.filter(|(id, segment)| follows(id) && !segment.way.is_empty()).collect()
    }

    /// A piece of a segment that follows the tip, but not without a gap, and whether objects were lost.
    fn lost(&self, tip: &Tip) -> Option<(Piece, bool)> {
        let named = self.segments.iter().filter(|(id, _)| tip.is_named_by(id));
        let behind = named.filter(|(id, _)| id.start >= tip.end);
        let mut pieces = behind.filter_map(|(_, segment)| {
            let inside = segment.way.is_empty();
            Some((*segment.way.first().or(segment.beyond.as_ref())?, inside))
        });
        pieces.next()
    }
}

impl Step {
    /// The way that goes on with this segment.
    fn to(
        manifest: &Manifest,
        mut segments: Vec<BackedFile>,
        id: &SegmentId,
        segment: &Segment,
    ) -> Self {
        let file = file_of(manifest, id, &segment.way);
        let (seq, salts, end) = (id.seq, vec![id.salt], file.end.unwrap_or_default());
        let tip = Tip { seq, salts, end, kept: segments.len() + 1 };
        segments.push(file);
        Self { tip, segments, gained: true, beyond: segment.beyond }
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
        let mut salts: Vec<Salt> = manifest.segments.iter().filter_map(|file| file.salt).collect();
        if salts.is_empty() {
            // Every log that began empty starts like this: it is only believed where nothing else tells which log it is.
            salts.push(Salt(0));
        }
        let seq = manifest.segments.first().map_or(0, |file| file.seq.saturating_sub(1));
        // An empty segment alone tells which log it is.
        (!manifest.segments.is_empty()).then_some(Self { seq, salts, end, kept: 0 })
    }

    /// Whether a segment says that it follows.
    fn is_named_by(&self, id: &SegmentId) -> bool {
        // The tip of a backup without log may be the empty segment itself, which went on.
        let is_own = self.kept == 0 && self.salts.contains(&id.salt);
        id.seq > self.seq && (is_own || self.salts.contains(&id.previous))
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

/// The pieces that lead from the first byte as far as possible, and the first one that reaches farther.
fn farthest(mut pieces: Vec<Piece>) -> Segment {
    pieces.sort_by_key(|piece| (piece.range.offset, piece.range.len));
    // By the offset behind it, a piece that a way from the start ends with.
    let mut reached: HashMap<u64, Piece> = HashMap::new();
    let mut end = 0;
    for piece in &pieces {
        let offset = piece.range.offset;
        if offset == 0 || reached.contains_key(&offset) {
            reached.entry(piece.until()).or_insert(*piece);
            end = end.max(piece.until());
        }
    }
    let beyond = pieces.into_iter().find(|piece| piece.until() > end);
    let mut way = Vec::new();
    while let Some(piece) = reached.get(&end).filter(|_| end > 0) {
        way.push(*piece);
        end = piece.range.offset;
    }
    way.reverse();
    Segment { way, beyond }
}
