//! The seam between a repository and where its objects are: whole objects by name, nothing higher.
//!
//! A store keeps what it acknowledged, or says that it failed; an object is there whole or not at all. Nothing
//! else is asked of it: names may be listed late (a list is only ever used to find more, never as proof
//! that something is missing), and every byte that comes back is checked by the layer above. An object is
//! never stored over another one.
//!
//! Names are ASCII with `/` between components. Calls block; they are made by several threads at once.

#[cfg(feature = "object-store")]
mod account;
pub mod local;
#[cfg(any(test, feature = "sim"))]
pub mod memory;
pub mod patient;
#[cfg(feature = "object-store")]
pub mod remote;

use std::fmt;
use std::sync::Arc;

use crate::disk::SharedDisk;

/// Where objects are.
pub trait Store: Send + Sync + fmt::Debug {
    /// Stores an object under a name that nothing has yet; durable on return.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError>;
    /// The bytes of an object.
    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError>;
    /// The length of an object; `None` when there is none.
    fn size(&self, name: &str) -> Result<Option<u64>, StoreError>;
    /// Objects whose names start with `prefix` (which is empty or ends with `/`), in any order.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;
    /// Removes an object; fine when there is none.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
    /// The place in words, without secrets.
    fn place(&self) -> String;
}

/// What became of an object that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored,
    /// Something has that name; it was left as it is.
    WasThere,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What was asked: `get`, `put`, `list`, ...
    pub op: &'static str,
    /// The name it was about.
    pub name: String,
    /// Why.
    pub why: String,
    /// There is no such object.
    pub not_found: bool,
    /// It may well work when it is tried again: the network, or a store that is away.
    pub transient: bool,
    /// What helps, where more is known than for any store; else empty.
    pub next: String,
}

impl StoreError {
    /// An object that is not there.
    pub fn not_found(op: &'static str, name: &str) -> Self {
        Self {
            op,
            name: name.to_owned(),
            why: "there is no such object".to_owned(),
            not_found: true,
            transient: false,
            next: String::new(),
        }
    }

    /// Any other failure.
    pub fn failed(op: &'static str, name: &str, why: impl fmt::Display) -> Self {
        let (name, why) = (name.to_owned(), why.to_string());
        Self { op, name, why, not_found: false, transient: false, next: String::new() }
    }

    /// A failure that may well be over when it is tried again.
    pub fn transient(op: &'static str, name: &str, why: impl fmt::Display) -> Self {
        Self { transient: true, ..Self::failed(op, name, why) }
    }

    /// The same with what helps.
    pub fn with_next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }

    /// Whether there is no such object.
    pub fn is_not_found(&self) -> bool {
        self.not_found
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed to {} {}: {}", self.op, self.name, self.why)
    }
}

impl std::error::Error for StoreError {}

/// Opens the store at a URL: a path, `file://PATH`, or `s3://`, `gs://` or `az://` with bucket and prefix.
/// `disk` is the machine's file system.
pub fn open(url: &str, disk: SharedDisk) -> Result<Arc<dyn Store>, StoreError> {
    let failed = |why: &str| StoreError::failed("open", url, why);
    let Some((scheme, rest)) = url.split_once("://") else {
        if url.is_empty() {
            return Err(failed("the address of the repository is empty"));
        }
        return Ok(Arc::new(local::LocalStore::new(disk, url)));
    };
    match scheme {
        "file" if rest.starts_with('/') => Ok(Arc::new(local::LocalStore::new(disk, rest))),
        "file" => Err(failed("file:// needs an absolute path")),
        #[cfg(feature = "object-store")]
        "s3" | "gs" | "az" => Ok(Arc::new(remote::open(url, &disk)?)),
        #[cfg(not(feature = "object-store"))]
        "s3" | "gs" | "az" => Err(failed("this program was built without object stores")
            .with_next("build it with the cargo feature object-store, or name a directory")),
        _ => Err(StoreError::failed("open", url, format!("{scheme}:// is not known"))
            .with_next("write a path, or s3://, gs:// or az:// with bucket and prefix")),
    }
}
