//! A repository in an object store of a network: S3 and what speaks it, Google Cloud Storage, Azure.
//!
//! `object_store` signs, retries with growing pauses and speaks each dialect; here its calls become blocking ones
//! and its errors say what to do. An object is stored on the condition that its name is free, so that two
//! writers never overwrite each other; a server that does not know the condition is asked first instead.
//! A retry after a lost answer finds its own object: `Put::WasThere` means that somebody looks what is there.
//!
//! Nothing that is secret is printed: errors are scrubbed of credentials and of what follows a `?` in an address.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::account::{self, Account};
use super::{Listed, Put, Store, StoreError};
use crate::disk::SharedDisk;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For one object, of some megabytes at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// An operation is tried again for so long.
const RETRY_FOR: Duration = Duration::from_secs(60);
const RETRIES: usize = 8;
/// More of what a server said helps nobody.
const REASON_CHARS_MAX: usize = 400;

/// A bucket or container, or what is below a prefix in one.
pub struct RemoteStore {
    inner: Arc<dyn ObjectStore>,
    prefix: String,
    place: String,
    /// Words that no message may have.
    secrets: Vec<String>,
    /// Where credentials are looked for, in words.
    credentials: &'static str,
    driver: Driver,
}

impl std::fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteStore").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The thread that moves what is under way on the network.
struct Driver {
    handle: Handle,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl Driver {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let drive = move || {
            // The sender sends nothing: it is dropped.
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("store".to_owned()).spawn(drive)?;
        Ok(Self { handle, _running: running })
    }
}

/// Opens `SCHEME://BUCKET[/PREFIX]`; nothing is sent yet.
pub fn open(url: &str, disk: &SharedDisk) -> Result<RemoteStore, StoreError> {
    let failed = |why: String| StoreError::failed("open", url, why);
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Account { inner, prefix, secrets, credentials } =
        account::open(url, &variable, disk, &options(), &patience()).map_err(|why| {
            let next = "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; \
                        docs/backup.md tells where credentials come from";
            failed(why).with_next(next)
        })?;
    let driver = Driver::start().map_err(|error| failed(error.to_string()))?;
    let place = url.trim_end_matches('/').to_owned();
    Ok(RemoteStore { inner, prefix, place, secrets, credentials, driver })
}

fn options() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_WITHIN).with_timeout(ANSWER_WITHIN)
}

fn patience() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() }
}

/// Whether a failure of some kind or other is a refusal. S3 answers a removal of many objects with one error for each,
/// which come as any failure comes.
fn says_forbidden(said: &str) -> bool {
    ["AccessDenied", "Forbidden"].iter().any(|word| said.contains(word))
}

impl RemoteStore {
    fn path(&self, name: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(name),
            false => Path::from(format!("{}/{name}", self.prefix)),
        }
    }

    fn failed(&self, op: &'static str, name: &str, error: &Error) -> StoreError {
        let said = error.to_string();
        let no_bucket = ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"];
        if no_bucket.iter().any(|word| said.contains(word)) {
            return StoreError::failed(op, name, format!("{} has no such bucket", self.place))
                .with_next("make the bucket or container first, with the tools of its provider");
        }
        if matches!(error, Error::NotFound { .. }) {
            return StoreError::not_found(op, name);
        }
        let refused =
            matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. });
        let next = match error {
            _ if refused || says_forbidden(&said) => format!(
                "the store refused these credentials, or does not let them {op}: {}",
                self.credentials
            ),
            _ if said.contains("169.254.169.254") || said.contains("metadata.google.internal") => {
                format!("no credentials were found: {}", self.credentials)
            }
            _ => String::new(),
        };
        let transient = matches!(error, Error::Generic { .. }) && next.is_empty();
        let why = scrubbed(&said, &self.secrets);
        StoreError { transient, ..StoreError::failed(op, name, why).with_next(next) }
    }

    fn put(&self, path: &Path, bytes: &[u8], mode: PutMode) -> Result<(), Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let payload = bytes::Bytes::copy_from_slice(bytes).into();
        self.driver.handle.block_on(self.inner.put_opts(path, payload, options)).map(|_| ())
    }

    fn len(&self, path: &Path) -> Result<Option<u64>, Error> {
        match self.driver.handle.block_on(self.inner.head(path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Store for RemoteStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(name);
        let put = match self.put(&path, bytes, PutMode::Create) {
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                match self.len(&path) {
                    Ok(Some(_)) => return Ok(Put::WasThere),
                    Ok(None) => self.put(&path, bytes, PutMode::Overwrite),
                    Err(error) => Err(error),
                }
            }
            other => other,
        };
        match put {
            Ok(()) => Ok(Put::Stored),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::WasThere),
            Err(error) => Err(self.failed("put", name, &error)),
        }
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name);
        let read = async { self.inner.get(&path).await?.bytes().await };
        let bytes = self.driver.handle.block_on(read);
        bytes.map(Vec::from).map_err(|error| self.failed("get", name, &error))
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.len(&self.path(name)).map_err(|error| self.failed("look at", name, &error))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        use futures_util::StreamExt as _;
        let below = format!("{}/{prefix}", self.prefix);
        let below = below.trim_matches('/');
        let path = (!below.is_empty()).then(|| Path::from(below));
        let own = match self.prefix.is_empty() {
            true => 0,
            false => self.prefix.len() + 1,
        };
        let mut found = Vec::new();
        let read = async {
            let mut listed = self.inner.list(path.as_ref());
            while let Some(meta) = listed.next().await {
                let meta = meta?;
                if let Some(name) = meta.location.as_ref().get(own..) {
                    found.push(Listed { name: name.to_owned(), size: meta.size });
                }
            }
            Ok(())
        };
        let read: Result<(), Error> = self.driver.handle.block_on(read);
        match read {
            Ok(()) => Ok(found),
            Err(error) => Err(self.failed("list", prefix, &error)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        match self.driver.handle.block_on(self.inner.delete(&path)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, &error)),
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

/// What a library or server said, in one line, without secrets.
fn scrubbed(said: &str, secrets: &[String]) -> String {
    let mut text = said.split_whitespace().map(without_query).collect::<Vec<_>>().join(" ");
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret.as_str(), "***");
    }
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((at, _)) => format!("{} ...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// An address without what follows its `?`: signatures are there.
fn without_query(word: &str) -> &str {
    match word.contains("://") {
        true => word.split('?').next().unwrap_or_default(),
        false => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_not_tried_again_whatever_form_the_answer_has() {
        assert!(says_forbidden(
            "Generic S3 error: DeleteObjects failed for key a: Access Denied (AccessDenied)"
        ));
        assert!(says_forbidden("Server returned non-2xx status code: 403 Forbidden: "));
        assert!(!says_forbidden("error sending request: the connection broke"));
    }

    #[test]
    fn what_a_server_said_is_shown_without_secrets_and_in_one_line() {
        let said = "error sending request for url (https://a.blob.core.windows.net/c?sv=1&sig=SECRET) \n\
                    after 3 retries, key hunter22 was refused";
        let shown = scrubbed(said, &["hunter22".to_owned(), String::new()]);
        assert_eq!(
            shown,
            "error sending request for url (https://a.blob.core.windows.net/c after 3 retries, \
             key *** was refused"
        );
        assert!(scrubbed(&"word ".repeat(500), &[]).len() < 420);
    }
}
