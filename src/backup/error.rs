//! Why a backup, or what is done with one, failed.

use std::fmt;

use super::key_objects::is_key_object;
use super::store::StoreError;
use crate::disk::DiskError;
use crate::recovery::LoadError;

/// Why it failed, for operators: what, where, and by [`BackupError::next_step`] what to do.
#[derive(Debug)]
pub enum BackupError {
    /// The store of the repository failed.
    Store(StoreError),
    /// The local disk failed.
    Disk(DiskError),
    /// An object of the repository is not what was stored.
    Damaged { object: String, what: String },
    /// There is no repository where one was named.
    NoRepository { place: String, why: String },
    /// The data to be backed up is damaged or cannot be read.
    Source { what: String },
    /// What is to be written cannot be, or cannot hold the data.
    Output { what: String },
    /// A server did not answer as it must.
    Server { what: String },
    /// It ended before it was done; some of it is.
    Unfinished { what: String, next: String },
    /// What was asked for cannot be done; nothing was changed.
    Refused { why: String, next: String },
    /// The archive belongs to another server; nothing was changed.
    Taken { owner: String, why: String, next: String },
    /// Files that were restored or loaded are not what they should be.
    Load(LoadError),
}

impl BackupError {
    /// An object that is not what was stored.
    pub fn damaged(object: &str, what: impl Into<String>) -> Self {
        Self::Damaged { object: object.to_owned(), what: what.into() }
    }

    /// A refusal with what to do instead.
    pub fn refused(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), next: next.into() }
    }

    /// An instant was asked for, of a log that does not say when it was written.
    pub(super) fn no_times() -> Self {
        Self::refused(
            "the log has no times: Redis wrote it, without aof-timestamp-enabled",
            "restore to the end of a backup, or --to-position N",
        )
    }

    /// What helps next; empty when nothing can be said.
    pub fn next_step(&self) -> String {
        match self {
            Self::Store(error) if !error.next.is_empty() => error.next.clone(),
            Self::Store(error) if error.is_not_found() => {
                "run fastness backup verify on the repository: an object is gone".to_owned()
            }
            Self::Store(_) => {
                "check the address, the credentials and the network, then run the same \
                               command again: what was done already is not done twice"
                    .to_owned()
            }
            Self::Disk(_) => "check the path, its permissions and the room on it".to_owned(),
            Self::Damaged { object, .. } if is_key_object(object) => {
                let object = object.trim_end_matches("-copy");
                format!(
                    "nothing is stored there until {object} is what it was: store the bytes of {object}-copy, or of a copy \
                     of the repository, under that name with the tools of the store (fastness backup verify looks at \
                     both). Where it is lost fastness restore works meanwhile, with --identity FILE or the passphrase"
                )
            }
            Self::Damaged { .. } => {
                "restore from another backup (fastness backup list shows them, --backup ID names one); \
                 backup create --recheck makes a new one and replaces damaged objects"
                    .to_owned()
            }
            Self::NoRepository { .. } => {
                "fastness backup create makes the repository when it is first run (a data directory or one of \
                 BACKUP is none, but fastness restore --from takes it as it is)"
                    .to_owned()
            }
            Self::Source { .. } | Self::Load(_) => {
                "fastness check shows what is damaged in a data directory".to_owned()
            }
            Self::Output { .. } => {
                "choose a form or version that holds it (see --help), or another place".to_owned()
            }
            Self::Server { .. } => "check host, port and password of the server".to_owned(),
            Self::Refused { next, .. } | Self::Unfinished { next, .. } | Self::Taken { next, .. } => next.clone(),
        }
    }

    /// The exit code: 2 when nothing was tried because it was not allowed or possible, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::NoRepository { .. } | Self::Taken { .. } => 2,
            // An address that means nothing; no store was asked.
            Self::Store(error) if error.op == "open" => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Disk(error) => error.fmt(f),
            Self::Damaged { object, what } => write!(f, "{object} is damaged: {what}"),
            Self::NoRepository { place, why } => {
                write!(f, "no backup repository at {place}: {why}")
            }
            Self::Source { what } | Self::Output { what } => f.write_str(what),
            Self::Server { what } | Self::Unfinished { what, .. } => f.write_str(what),
            Self::Refused { why, .. } | Self::Taken { why, .. } => f.write_str(why),
            Self::Load(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DiskError> for BackupError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<LoadError> for BackupError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}
