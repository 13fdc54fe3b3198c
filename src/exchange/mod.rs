//! Data sets on their way from one form to another: files of Redis and Valkey, ours, logs, text.
//!
//! ```text
//! file, directory, backup, server, standard input
//!   -> source::DataSet::each -> Sink: rdb, commands, ndjson, whoever counts
//! ```
//!
//! Keys go through one after the other, so memory holds one value at a time; only a log that goes on
//! behind its snapshot has to be replayed, and takes the memory that a server would. Everything that is
//! read is checked before the first key is handed over. The first error ends it; what was written until
//! then is the caller's, who gives a file its name only when it is whole.

pub mod commands;
pub mod leavings;
pub mod ndjson;
pub mod output;
pub mod present;
pub mod rdb;
pub mod scan;
pub mod source;
pub mod sum;
pub mod twice;

use crate::backup::load::Filter;
use crate::keyspace::{Entry, Kind};
use crate::snapshot::Attributes;

/// A key on its way.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its database.
    pub db: u32,
    /// Key and value.
    pub entry: &'a Entry,
    /// What else is known of it.
    pub attributes: Attributes,
}

impl Item<'_> {
    /// The key as messages show it.
    pub fn name(&self) -> String {
        shown(self.db, self.entry.key())
    }
}

/// A key as messages show it.
pub fn shown(db: u32, key: &[u8]) -> String {
    format!("key \"{}\" of database {db}", key.escape_ascii())
}

/// Takes a data set, function libraries first.
pub trait Sink {
    /// The source of a function library.
    fn function(&mut self, source: &[u8]) -> Result<(), String>;
    /// A key, each once.
    fn key(&mut self, item: &Item<'_>) -> Result<(), String>;
}

/// What is wanted of a data set.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Patterns and databases.
    pub filter: Filter,
    /// Types; none: all of them.
    pub kinds: Vec<Kind>,
    /// Whether function libraries are left out.
    pub no_functions: bool,
}

impl Selection {
    /// Whether function libraries go along. They belong to no key: where keys are chosen, they do not.
    pub fn takes_functions(&self) -> bool {
        !self.no_functions && self.filter.is_empty() && self.kinds.is_empty()
    }

    /// Whether a key is wanted, whatever its type.
    pub fn takes_key(&self, db: u32, key: &[u8]) -> bool {
        self.filter.takes(db as usize, key)
    }

    /// Whether keys of a type are wanted.
    pub fn takes_kind(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Keys that were handed over.
    pub keys: u64,
    /// Keys that were not wanted.
    pub left_out: u64,
    /// Function libraries that were handed over.
    pub functions: u64,
}
