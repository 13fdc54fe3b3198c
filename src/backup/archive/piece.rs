//! The name of a piece: everything that a restore must know to choose it, without reading it.
//!
//! `archive/SEQ-SALT-PREVIOUS-START/OFFSET-LENGTH-END-FIRST-LAST-SHA`, all numbers hexadecimal and of a fixed
//! width, so that names sort by place. `format-spec/backup.md`, section 5.

use crate::aof::record::Salt;
use crate::backup::manifest::Part;
use crate::backup::object::Sha;
use crate::clock::UnixMillis;

/// What names of pieces start with.
pub const PREFIX: &str = "archive/";

/// Which segment of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Its number.
    pub seq: u64,
    /// Its salt, which no other segment of any log has.
    pub salt: Salt,
    /// The salt of the segment that it continues; 0 for none.
    pub previous: Salt,
    /// The position at which it starts.
    pub start: u64,
}

/// Which bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// Where they are in the file.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// The position behind them.
    pub end: u64,
    /// The times of the first and of the latest frame in them.
    pub first_time: UnixMillis,
    /// See `first_time`.
    pub last_time: UnixMillis,
}

/// A piece that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The segment.
    pub segment: SegmentId,
    /// The bytes.
    pub range: Range,
    /// Their hash.
    pub sha: Sha,
    /// Bytes of the object.
    pub stored: u64,
}

impl Piece {
    /// The name of its object.
    pub fn name(&self) -> String {
        name(&self.segment, &self.range, self.sha)
    }

    /// What a listed object is a piece of; `None` when its name is none of a piece.
    pub fn parse(name: &str, stored: u64) -> Option<Self> {
        let (segment, rest) = name.strip_prefix(PREFIX)?.split_once('/')?;
        let segment = numbers::<4>(segment)?;
        let (range, sha) = rest.rsplit_once('-')?;
        let range = numbers::<5>(range)?;
        let time = |number: u64| UnixMillis::try_from(number).ok();
        let [seq, salt, previous, start] = segment;
        let [offset, len, end, first, last] = range;
        let piece = Self {
            segment: SegmentId { seq, salt: Salt(salt), previous: Salt(previous), start },
            range: Range { offset, len, end, first_time: time(first)?, last_time: time(last)? },
            sha: Sha::parse(sha)?,
            stored,
        };
        offset.checked_add(len)?;
        (len > 0).then_some(piece)
    }

    /// The same as a part of a file.
    pub fn part(&self) -> Part {
        let at = Some((self.segment, self.range));
        Part { sha: self.sha, size: self.range.len, stored: self.stored, at }
    }

    /// The offset behind it.
    pub fn until(&self) -> u64 {
        self.range.offset + self.range.len
    }
}

/// The name of a piece.
pub fn name(segment: &SegmentId, range: &Range, sha: Sha) -> String {
    let SegmentId { seq, salt, previous, start } = segment;
    let Range { offset, len, end, first_time, last_time } = range;
    format!(
        "{PREFIX}{seq:016x}-{:016x}-{:016x}-{start:016x}/\
         {offset:016x}-{len:016x}-{end:016x}-{first_time:016x}-{last_time:016x}-{sha}",
        salt.0, previous.0
    )
}

/// So many numbers of sixteen digits, with `-` between them.
fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let mut found = [0; N];
    let mut words = text.split('-');
    for number in &mut found {
        let word = words.next()?;
        let canonical = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if word.len() != 16 || !word.bytes().all(canonical) {
            return None;
        }
        *number = u64::from_str_radix(word, 16).ok()?;
    }
    words.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_no_other_name_is_one() {
        let piece = Piece {
            segment: SegmentId { seq: 7, salt: Salt(u64::MAX), previous: Salt(1), start: 99 },
            range: Range { offset: 0, len: 5, end: 104, first_time: 1, last_time: i64::MAX },
            sha: Sha::of(b"x"),
            stored: 80,
        };
        let name = piece.name();
        assert_eq!(Piece::parse(&name, 80), Some(piece));
        assert!(name.rsplit('/').next().unwrap().len() < 200, "file systems know 255");
        for at in 0..name.len() {
            assert_eq!(Piece::parse(&name[..at], 80), None);
        }
        for bad in [name.replace("0005-", "0000-"), name.replace("archive", "objects"), name + "0"]
        {
            assert_eq!(Piece::parse(&bad, 80), None, "{bad}");
        }
    }
}
