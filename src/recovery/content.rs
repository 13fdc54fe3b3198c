//! What bytes hold, where a name alone does not tell: the same answers for a start, `check` and `repair`.

use crate::aof::chain::{LogEnd, ReadError, SegmentFile, read_log};
use crate::aof::reader::{ReadUnit, starts_with_snapshot};
use crate::aof::record::Position;
use crate::aof::salvage::{DamagedFile, Found, salvage};
use crate::command::table::table;

/// What stands behind the end of a snapshot that is a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    Nothing,
    /// Records: a log in one file, under the name of a snapshot.
    Records,
    /// So many bytes that are no records. Redis does not look at them.
    Other(u64),
}

/// Looks behind a snapshot that ends at `end`.
pub fn behind_snapshot(bytes: &[u8], end: u64) -> Behind {
    let records_at = usize::try_from(end).unwrap_or(usize::MAX);
    let rest = bytes.len().saturating_sub(records_at);
    if rest == 0 {
        return Behind::Nothing;
    }
    let mut records = false;
    let file = DamagedFile { bytes, salts: &[], records_at, position: None };
    salvage(&file, &mut |found| records |= matches!(found, Found::Unit(_)));
    if records { Behind::Records } else { Behind::Other(rest as u64) }
}

/// Why a snapshot with records behind it is refused, and what helps.
pub const RECORDS_BEHIND: &str = "records follow the end of the snapshot, and would not be read: this is a log in one \
    file. Name it as appendfilename says (appendonly.aof) and start with appendonly yes to have them, or cut it \
    here to leave them out";

/// What is said of other bytes behind a snapshot, which do not keep a server from starting.
pub fn other_behind(path: &str, end: u64, rest: u64) -> String {
    format!(
        "{path} goes on for {rest} bytes behind its end at offset {end}; they are no records and are not read, and \
         the next save leaves them out"
    )
}

/// Whether a log in one file holds anything: a snapshot, a record, or what cannot be read. Zeros and a first
/// record that was not written whole are nothing.
pub fn holds_anything(name: &str, bytes: &[u8]) -> bool {
    if starts_with_snapshot(bytes) {
        return true;
    }
    let segment = SegmentFile { name, bytes, salt: None, end: None, records_at: 0 };
    read_log(None, &[segment], |_| Err(())).is_err()
}

/// A command that is not in the table: what it did cannot be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The index of its file.
    pub file: usize,
    /// Where its unit starts.
    pub offset: u64,
    /// Its name, as it stands there.
    pub command: String,
}

/// Reads a log as [`read_log`] does, up to the first command that a start would refuse.
pub fn read_known<'a>(
    base: Option<Position>,
    segments: &[SegmentFile<'a>],
    mut visit: impl FnMut(&ReadUnit<'_, 'a>),
) -> Result<LogEnd, ReadError<Unknown>> {
    read_log(base, segments, |unit| {
        if let Some(words) = unit.commands().find(|words| !table().knows(words)) {
            let name = words.first().copied().unwrap_or_default();
            let inside =
                |segment: &SegmentFile<'a>| segment.bytes.as_ptr_range().contains(&name.as_ptr());
            let file = segments.iter().position(inside).unwrap_or(0);
            let command = String::from_utf8_lossy(name).into_owned();
            return Err(Unknown { file, offset: unit.offset, command });
        }
        visit(unit);
        Ok(())
    })
}

/// What is said of such a command, in the words of Redis.
pub fn unknown_command(name: &str) -> String {
    format!(
        "Unknown command '{}' reading the append only file: its name is damaged, or a server wrote it that knows more",
        name.escape_debug()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";

    #[test]
    fn only_records_behind_a_snapshot_are_records() {
        let behind = |rest: &[u8]| behind_snapshot(&[b"REDIS", rest].concat(), 5);
        assert_eq!(behind(b""), Behind::Nothing);
        let noted = [b"#TS:1\r\n", SET].concat();
        for records in [SET, &noted, &[b"!!!", SET, SET].concat()] {
            assert_eq!(behind(records), Behind::Records, "{}", records.escape_ascii());
        }
        for other in [&b"#"[..], b"\n", b"rubbish\n", &[0; 512], b"###\n###\n", b"*3\r\n$3\r\nSE"] {
            assert_eq!(
                behind(other),
                Behind::Other(other.len() as u64),
                "{}",
                other.escape_ascii()
            );
        }
    }

    #[test]
    fn a_log_without_a_unit_holds_nothing_and_damage_is_something() {
        for nothing in [&b""[..], &[0; 4096], b"*3\r\n$3\r\nSE", b"#TS:1\r\n"] {
            assert!(!holds_anything("f", nothing), "{}", nothing.escape_ascii());
        }
        for something in [SET, b"REDIS0011", &[b"!!!", SET].concat(), &[b"\0\0", SET].concat()] {
            assert!(holds_anything("f", something), "{}", something.escape_ascii());
        }
    }

    #[test]
    fn an_unknown_command_is_found_in_its_file() {
        let bad = [SET, b"*3\r\n$3\r\nRET\r\n$1\r\na\r\n$1\r\n1\r\n"].concat();
        let file = |bytes| SegmentFile { name: "f", bytes, salt: None, end: None, records_at: 0 };
        let mut seen = 0;
        let read = read_known(None, &[file(SET), file(&bad)], |_| seen += 1);
        let unknown = Unknown { file: 1, offset: SET.len() as u64, command: "RET".to_owned() };
        assert_eq!((read, seen), (Err(ReadError::Visitor(unknown)), 2));
        let sub = b"*2\r\n$6\r\nXGROUP\r\n$6\r\nCREATF\r\n";
        assert!(matches!(read_known(None, &[file(sub)], |_| ()), Err(ReadError::Visitor(_))));
    }
}
