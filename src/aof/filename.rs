//! Names of the files of a log: Redis 7's multi-part AOF.
//!
//! With `appendfilename` F and `appenddirname` D: `D/F.manifest`, `D/F.<seq>.base.rdb` or `.base.aof`,
//! `D/F.<seq>.incr.aof`, and temporary ones: `temp-` and a name of these. F may begin with `temp-` too, and other
//! files may: a name is never judged by that alone. All temporary files are in D itself (a rename between directories
//! is not atomic against power loss). Spec: `format-spec/manifest.md`, section 1.

use crate::disk::durable::join;

/// The name of the log that BACKUP keeps while there is no other: until it is sealed it is nobody's data set.
pub const UNSEALED_LOG: &str = "temp-unsealed";

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
        match (self.lasting(name), name.strip_prefix(TEMPORARY)) {
            (FileKind::Other, Some(rest)) if self.is_made_anew(rest) => FileKind::Temp,
            (kind, _) => kind,
        }
    }

    /// Whether `name` is that of a file which is written under a temporary name first. `convert` is of
    /// `fastness convert`, `F.incr` of Redis, which writes there while its log is being switched on.
    fn is_made_anew(&self, name: &str) -> bool {
        matches!(self.lasting(name), FileKind::Manifest | FileKind::Base(..))
            || TEMP_CONVERT.strip_prefix(TEMPORARY) == Some(name)
            || name.strip_prefix(&self.name) == Some(".incr")
    }

    /// The same for names that are not temporary.
    fn lasting(&self, name: &str) -> FileKind {
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

/// What `fastness convert` writes in the log's directory.
pub const TEMP_CONVERT: &str = "temp-convert";

/// What the names of unfinished files begin with.
const TEMPORARY: &str = "temp-";

/// Whether Redis leaves a file of this name in a data directory when it ends while it rewrites its log or saves.
pub fn is_left_by_redis(name: &str) -> bool {
    let id = |prefix: &str, suffix: &str| name.strip_prefix(prefix)?.strip_suffix(suffix);
    let forms =
        [id("temp-rewriteaof-bg-", ".aof"), id("temp-rewriteaof-", ".aof"), id(TEMPORARY, ".rdb")];
    let number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    forms.into_iter().flatten().any(number)
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
    fn a_name_that_begins_as_temporary_ones_do_is_not_taken_for_one() {
        for name in ["temp-shop.aof", "temp-", "temp-temp-a", "temp-convert"] {
            let names = FileNames::new("d", name);
            assert_eq!(names.kind(&names.manifest()), FileKind::Manifest, "{name}");
            assert_eq!(names.kind(&names.incr(2)), FileKind::Incr(2), "{name}");
            for format in [BaseFormat::Rdb, BaseFormat::Aof] {
                assert_eq!(names.kind(&names.base(3, format)), FileKind::Base(3, format));
                assert_eq!(names.kind(&names.temp_base(3, format)), FileKind::Temp);
            }
            assert_eq!(names.kind(&names.temp_manifest()), FileKind::Temp, "{name}");
        }
        let names = FileNames::new("d", "appendonly.aof");
        for other in ["temp-notes.txt", "temp-dump.rdb", "temp-", "temp-appendonly.aof.1.incr.aof"]
        {
            assert_eq!(names.kind(other), FileKind::Other, "{other}");
        }
        for temp in ["temp-convert", "temp-appendonly.aof.incr"] {
            assert_eq!(names.kind(temp), FileKind::Temp, "{temp}");
        }
        for left in ["temp-12.rdb", "temp-rewriteaof-7.aof", "temp-rewriteaof-bg-7.aof"] {
            assert!(is_left_by_redis(left), "{left}");
        }
        for not in ["temp-.rdb", "temp-1a.rdb", "temp-rewriteaof-bg-.aof", "temp-7.aof", "12.rdb"] {
            assert!(!is_left_by_redis(not), "{not}");
        }
    }

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
