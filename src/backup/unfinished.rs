//! The mark of a restore that is under way in a directory: nothing starts on it, and the same command goes on with it.
//!
//! It says from which repository and which files are the restore's, so that whoever goes on touches no others. What
//! is in those files is believed only as far as its hashes hold, so the mark need not say how far it got.

use super::checked_text;
use crate::disk::{Disk, DiskError, durable};

/// The mark's name in a directory.
pub const MARK: &str = "temp-restore";
/// Under this name it is written.
pub const MARK_TEMPORARY: &str = "temp-restore-new";
const START: &str = "FASTNESS-RESTORE 1\n";
const MARK_BYTES_MAX: usize = 16 << 20;

/// What a mark says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// The word of the repository's marker.
    pub repository: String,
    /// Where that was, for people.
    pub place: String,
    /// The backup, for people.
    pub backup: String,
    /// The files that the restore writes or has written, below the directory.
    pub files: Vec<String>,
}

impl Unfinished {
    /// The bytes of the mark.
    pub fn encode(&self) -> Vec<u8> {
        let line = |word: &str, value: &str| {
            let value: String =
                value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            format!("{word} {value}\n")
        };
        let mut text = String::new();
        text.push_str(&line("repository", &self.repository));
        text.push_str(&line("place", &self.place));
        text.push_str(&line("backup", &self.backup));
        for file in &self.files {
            text.push_str(&line("file", file));
        }
        checked_text::encode(START, &text)
    }

    /// What such bytes say; an error tells what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut found = Self::default();
        for line in checked_text::decode(bytes, START)?.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("repository", value) => value.clone_into(&mut found.repository),
                ("place", value) => value.clone_into(&mut found.place),
                ("backup", value) => value.clone_into(&mut found.backup),
                ("file", value) => found.files.push(value.to_owned()),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Puts the mark into the root of `disk`, durably.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        durable::replace_file(disk, MARK_TEMPORARY, MARK, &self.encode())
            .map_err(durable::ReplaceError::into_inner)
    }
}

/// The mark in the root of `disk`; inside, why it cannot be read.
pub fn find(disk: &dyn Disk) -> Result<Option<Result<Unfinished, String>>, DiskError> {
    let bytes = durable::read_small(disk, MARK, MARK_BYTES_MAX)?;
    Ok(bytes.map(|bytes| Unfinished::decode(&bytes)))
}

/// Why nothing may start on the root of `disk`; `None`: there is no mark.
pub fn refusal(disk: &dyn Disk) -> Result<Option<String>, DiskError> {
    let Some(found) = find(disk)? else { return Ok(None) };
    let what = match found {
        Ok(found) => format!(" of backup {} from {}", found.backup, found.place),
        Err(_) => String::new(),
    };
    Ok(Some(format!(
        "a restore{what} into this directory has not been finished ({MARK} is there): give the same fastness restore \
         command again, which goes on where it was, or remove what is in the directory"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_every_flipped_byte_is_found() {
        let mark = Unfinished {
            repository: "0123".to_owned(),
            place: "s3://b/p".to_owned(),
            backup: "20261122T100000Z-0".to_owned(),
            files: vec!["dump.rdb".to_owned(), "a/b c".to_owned()],
        };
        let bytes = mark.encode();
        assert_eq!(Unfinished::decode(&bytes), Ok(mark));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Unfinished::decode(&bad).is_err(), "{at}");
            assert!(Unfinished::decode(&bytes[..at]).is_err(), "{at}");
        }
    }
}
