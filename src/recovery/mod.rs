//! From a data directory to a keyspace, in three steps that are kept apart.
//!
//! `inspect` looks and never writes (I5); `decide` is a table from the facts to what is to be done, tested
//! over every combination; `apply` does it: loads, cuts a torn tail (keeping what was cut beside it),
//! converts. Damage that is not a torn tail refuses the start and names the next command; nothing is
//! changed then (P5, P6). What is there is never taken for an empty data set (P8).

pub mod apply;
pub mod beside;
pub mod content;
pub mod decide;
mod elsewhere;
pub mod find;
mod forecast;
pub mod inspect;
pub mod load;
mod lost;
mod newer;
pub mod reload;
pub mod replay;

pub use apply::start_up;
pub use decide::{Decision, decide};
pub use inspect::{Facts, inspect};

use std::fmt;

use crate::aof::corruption::CorruptionError;
use crate::disk::DiskError;
use crate::snapshot;

/// Why a data directory could not be loaded. Nothing was changed.
#[derive(Debug)]
pub enum LoadError {
    /// The disk failed.
    Disk(DiskError),
    /// Bytes are not what they should be: file, offset, what is wrong.
    Damaged { file: String, offset: u64, what: String },
    /// A snapshot cannot be loaded.
    Snapshot { file: String, error: snapshot::LoadError },
    /// A log file is not what it should be.
    Log(CorruptionError),
    /// A file that must be there is not.
    Missing { file: String, why: String },
    /// The files do not fit together or are of a kind that cannot be loaded.
    Refused { why: String },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "{error}"),
            Self::Damaged { file, offset, what } => {
                write!(f, "{file} is damaged at offset {offset}: {what}")
            }
            Self::Snapshot { file, error } => write!(f, "{file}: {error}"),
            Self::Log(error) => {
                write!(f, "{error}; everything before log position {} is sound", error.position)
            }
            Self::Missing { file, why } => write!(f, "{file} is missing: {why}"),
            Self::Refused { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<DiskError> for LoadError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl LoadError {
    /// What the log says of it, in the words that operators of Redis and their tools look for.
    pub fn log_lines(&self) -> Vec<String> {
        let own = format!("Cannot load the data set: {self}");
        match self {
            Self::Snapshot { error, .. } => vec![
                error.redis_clause(),
                format!("RDB file integrity check failed. {own}"),
                "Terminating server after rdb file reading failure.".to_owned(),
            ],
            Self::Log(error) => {
                let what = if error.kind.is_short() {
                    "Unexpected end of file reading the append only file"
                } else {
                    "Bad file format reading the append only file"
                };
                vec![format!("{what} {}: {own}", error.file)]
            }
            Self::Missing { file, .. } => vec![format!("{file}: No such file or directory. {own}")],
            Self::Disk(_) | Self::Damaged { .. } | Self::Refused { .. } => vec![own],
        }
    }

    /// The command that helps next.
    pub fn next_step(&self, dir: &str) -> String {
        match self {
            Self::Disk(_) => "check the path and its permissions, then start again".to_owned(),
            Self::Damaged { .. } | Self::Missing { .. } | Self::Snapshot { .. } | Self::Log(_) => {
                format!(
                    "run `fastness check {dir}` to see what is damaged; restore the file from a backup, or \
                 start with what is sound by `fastness repair {dir}`"
                )
            }
            Self::Refused { .. } => format!("run `fastness check {dir}` to see what is there"),
        }
    }
}
