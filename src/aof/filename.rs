//! Names of the files of a log: Redis 7's multi-part AOF.
//!
//! With `appendfilename` F and `appenddirname` D: `D/F.manifest`, `D/F.<seq>.base.rdb` or `.base.aof`,
//! `D/F.<seq>.incr.aof`, and temporary ones that start with `temp-`. All temporary files are in D itself (a rename
//! between directories is not atomic against power loss). Spec: `format-spec/manifest.md`, section 1.

use crate::disk::durable::join;

/// What a base file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFormat {
    /// A snapshot (RDB, plain or compressed).
    Rdb,
    /// Commands.
    Aof,
}

/// What a file of the log directory is, told from its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The manifest.
    Manifest,
    /// A base and its sequence number.
    Base(u64, BaseFormat),
    /// A segment and its sequence number.
    Incr(u64),
    /// A leftover of an unfinished change.
    Temp,
    /// Nothing of ours.
    Other,
}

/// The directory and the file name that all names are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNames {
    /// `appenddirname`, relative to the data directory.
    pub dir: String,
    /// `appendfilename`.
    pub name: String,
}

impl FileNames {
    /// The names of directory `dir` and file name `name`.
    pub fn new(dir: &str, name: &str) -> Self {
        Self { dir: dir.to_owned(), name: name.to_owned() }
    }

    /// `name` as a path on the disk.
    pub fn path(&self, name: &str) -> String {
        join(&self.dir, name)
    }

    /// The manifest's name.
    pub fn manifest(&self) -> String {
        format!("{}.manifest", self.name)
    }

    /// The name under which a new manifest is written.
    pub fn temp_manifest(&self) -> String {
        format!("temp-{}.manifest", self.name)
    }

    /// A base's name.
    pub fn base(&self, seq: u64, format: BaseFormat) -> String {
        let extension = match format {
            BaseFormat::Rdb => "rdb",
            BaseFormat::Aof => "aof",
        };
        format!("{}.{seq}.base.{extension}", self.name)
    }

    /// The name under which a new base is written.
    pub fn temp_base(&self, seq: u64, format: BaseFormat) -> String {
        format!("temp-{}", self.base(seq, format))
    }

    /// A segment's name.
    pub fn incr(&self, seq: u64) -> String {
        format!("{}.{seq}.incr.aof", self.name)
    }

    /// What `name` (without directory) stands for.
    pub fn kind(&self, name: &str) -> FileKind {
        if name.starts_with("temp-") {
            return FileKind::Temp;
        }
        let Some(rest) = name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('.'))
        else {
            return FileKind::Other;
        };
        if rest == "manifest" {
            return FileKind::Manifest;
        }
        let Some((seq, suffix)) = rest.split_once('.') else {
            return FileKind::Other;
        };
        match (parse_seq(seq), suffix) {
            (Some(seq), "base.rdb") => FileKind::Base(seq, BaseFormat::Rdb),
            (Some(seq), "base.aof") => FileKind::Base(seq, BaseFormat::Aof),
            (Some(seq), "incr.aof") => FileKind::Incr(seq),
            _ => FileKind::Other,
        }
    }
}

/// A sequence number as it is written: decimal, positive, no sign and no leading zeros, within an i64.
pub(super) fn parse_seq(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let seq: u64 = canonical.then(|| text.parse().ok()).flatten()?;
    i64::try_from(seq).is_ok().then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_as_what_it_was_made_for() {
        let names = FileNames::new("appendonlydir", "appendonly.aof");
        assert_eq!(names.path(&names.incr(7)), "appendonlydir/appendonly.aof.7.incr.aof");
        assert_eq!(names.base(3, BaseFormat::Rdb), "appendonly.aof.3.base.rdb");
        assert_eq!(names.kind(&names.incr(7)), FileKind::Incr(7));
        for format in [BaseFormat::Rdb, BaseFormat::Aof] {
            assert_eq!(names.kind(&names.base(3, format)), FileKind::Base(3, format));
            assert_eq!(names.kind(&names.temp_base(3, format)), FileKind::Temp);
        }
        assert_eq!(names.kind(&names.manifest()), FileKind::Manifest);
        assert_eq!(names.kind(&names.temp_manifest()), FileKind::Temp);
        for other in ["dump.rdb", "appendonly.aof", "appendonly.aof.0.incr.aof", "appendonly.aof."]
        {
            assert_eq!(names.kind(other), FileKind::Other, "{other}");
        }
        for other in ["appendonly.aof.01.incr.aof", "appendonly.aof.9223372036854775808.incr.aof"] {
            assert_eq!(names.kind(other), FileKind::Other, "{other}");
        }
    }
}
