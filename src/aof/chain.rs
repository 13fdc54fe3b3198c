//! Reads all segments of a log in order and checks that each continues the one before.
//!
//! One file's reader cannot know whether a torn end is the end of the log: it is only when no later
//! segment has content, because nothing is written to a segment before the one before it is synced whole.
//! This module applies that rule, and hands every unit to a visitor. Read-only.
//! Spec: `format-spec/aof.md`, sections 3 and 6.

use super::corruption::{CorruptionError, CorruptionKind};
use super::reader::{Expected, FileEnd, FileReader, Link, ReadUnit};
use super::record::{Position, Salt};

/// One file of records, as the manifest lists it.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFile<'a> {
    /// Its name in the manifest.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
    /// The salt that the manifest lists for it.
    pub salt: Option<Salt>,
    /// Where the manifest says that it reached when it was left.
    pub end: Option<Position>,
    /// Where records start, behind a snapshot.
    pub records_at: usize,
}

/// What a whole log is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The position behind the last believed unit.
    pub position: Position,
    /// The same without what a Redis server appended behind the frames of the last file with content.
    pub reached: Position,
    /// What the next segment continues: the last segment with content.
    pub link: Link,
    /// What is known of each file, in order.
    pub files: Vec<FileEnd>,
    /// The torn end and the index of its file; cut that file at `files[index].offset` before it is
    /// written behind.
    pub torn: Option<(usize, CorruptionError)>,
    /// Ends that are not what they were, and hold nothing: the first frame of a later file proves that the log went on
    /// exactly where what is believed ends. Rot in filler; with the index of the file.
    pub loose: Vec<(usize, CorruptionError)>,
    /// Files from this index on have no content and can be dropped.
    pub content_end: usize,
}

/// Why a log was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError<E> {
    /// A file is damaged; what was read before stays true.
    Corrupt(CorruptionError),
    /// The visitor stopped.
    Visitor(E),
}

/// Reads `segments`, which continue a base at `base` (`None`: its position is not known), and shows
/// every unit to `visit`.
pub fn read_log<'a, E>(
    base: Option<Position>,
    segments: &[SegmentFile<'a>],
    mut visit: impl FnMut(&ReadUnit<'_, 'a>) -> Result<(), E>,
) -> Result<LogEnd, ReadError<E>> {
    let mut end = LogEnd {
        position: base.unwrap_or_default(),
        reached: base.unwrap_or_default(),
        link: Link { end: base, ..Link::default() },
        files: Vec::new(),
        torn: None,
        loose: Vec::new(),
        content_end: 0,
    };
    let mut previous = None;
    for (index, segment) in segments.iter().enumerate() {
        let expected = Expected {
            salt: segment.salt,
            position: base,
            previous,
            records_at: segment.records_at,
        };
        let opened = FileReader::open(segment.name, segment.bytes, expected);
        let mut reader = opened.map_err(ReadError::Corrupt)?;
        // With these its first frame is compared.
        let tied = reader.header().is_some()
            && previous.is_some_and(|link| {
                link.salt != Salt(0) && link.end.is_some() && link.crc.is_some()
            });
        let stopped = loop {
            match reader.next_unit() {
                Ok(Some(unit)) => {
                    must_follow_whole(&mut end, tied && unit.checked)?;
                    visit(&unit).map_err(ReadError::Visitor)?;
                }
                Ok(None) => break None,
                Err(error) => {
                    break Some(blame(error, &reader.end(), previous_file(&end, segments)));
                }
            }
        };
        let file = reader.end();
        let stopped = match segment.end {
            Some(wanted) if file.reached < wanted => {
                Some(ends_early(segment, &file, wanted, stopped))
            }
            _ => stopped,
        };
        if file.frames + file.units > 0 || stopped.is_some() {
            must_follow_whole(&mut end, tied && file.frames > 0)?;
            end.content_end = index + 1;
            end.link = file.link;
            end.position = file.position;
            end.reached = file.reached;
        }
        previous = Some(file.link);
        end.files.push(file);
        match stopped {
            Some(error) if !error.torn => return Err(ReadError::Corrupt(error)),
            Some(error) => end.torn = Some((index, error)),
            None => {}
        }
    }
    Ok(end)
}

/// A file that was whole once is damaged when it ends before that place, whatever its end looks like.
fn ends_early(
    segment: &SegmentFile<'_>,
    file: &FileEnd,
    expected: Position,
    stopped: Option<CorruptionError>,
) -> CorruptionError {
    let early = CorruptionError {
        file: segment.name.to_owned(),
        offset: file.offset,
        position: file.position,
        kind: CorruptionKind::EndsEarly { expected, found: file.reached },
        torn: false,
    };
    CorruptionError { torn: false, ..stopped.unwrap_or(early) }
}

/// The file before the one that is being read, and what was found of it.
fn previous_file<'s>(end: &LogEnd, segments: &[SegmentFile<'s>]) -> Option<(&'s str, FileEnd)> {
    let last = end.files.last()?;
    Some((segments.get(end.files.len() - 1)?.name, *last))
}

/// A genuine first frame tells how the file before it ended: what does not fit is missing there.
fn blame(
    error: CorruptionError,
    file: &FileEnd,
    previous: Option<(&str, FileEnd)>,
) -> CorruptionError {
    let (Some((name, before)), 0) = (previous, file.frames + file.units) else { return error };
    let expected = match error.kind {
        CorruptionKind::Missing { found, .. } => found,
        CorruptionKind::WrongPredecessor => before.position,
        _ => return error,
    };
    CorruptionError {
        file: name.to_owned(),
        offset: before.offset,
        position: before.position,
        kind: CorruptionKind::EndsEarly { expected, found: before.position },
        torn: false,
    }
}

/// Content behind a torn end means that the end was synced once: it is damaged. Unless a genuine first frame that names
/// the file, its last frame's checksum and its end (`proven`) says that it had no more than what is believed.
fn must_follow_whole<E>(end: &mut LogEnd, proven: bool) -> Result<(), ReadError<E>> {
    match end.torn.take() {
        Some(torn) if proven => {
            end.loose.push(torn);
            Ok(())
        }
        Some((_, error)) => Err(ReadError::Corrupt(CorruptionError { torn: false, ..error })),
        None => Ok(()),
    }
}
