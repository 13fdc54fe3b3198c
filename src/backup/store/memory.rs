//! A store in memory that fails when it is told to, for tests.
//!
//! Every operation has a number. A fault is planned for one number (or for all that are like it from
//! there on) and is what networks and object stores do: fail before or after the work was done, keep only a
//! part of an object, list what was there a while ago.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Listed, Put, Store, StoreError};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails and did nothing.
    Fails,
    /// The operation was done, but its answer is lost.
    AnswerLost,
    /// Half of the object is stored or read, and nobody says so.
    Truncates,
    /// A list shows nothing of what was stored since the store was made or last told to.
    StaleList,
}

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, Vec<u8>>,
    /// What a stale list shows.
    seen: BTreeMap<String, u64>,
    operations: u64,
    plan: Option<(u64, Fault)>,
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Content>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Operation number `at`, counted from now on, goes wrong.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        let mut content = self.0.lock();
        content.operations = 0;
        content.plan = Some((at, fault));
        content.seen = content
            .objects
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
            .collect();
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.0.lock().plan = None;
    }

    /// Operations since the last call of `fail_at`.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().objects.keys().cloned().collect()
    }

    /// Changes an object as no store should.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(bytes) = self.0.lock().objects.get_mut(name) {
            change(bytes);
        }
    }

    /// Counts an operation; the fault that is planned for it.
    fn next(&self) -> Option<Fault> {
        let mut content = self.0.lock();
        let number = content.operations;
        content.operations += 1;
        content.plan.filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }
}

fn lost(op: &'static str, name: &str) -> StoreError {
    StoreError::failed(op, name, "the connection broke")
}

impl Store for MemoryStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let fault = self.next();
        if fault == Some(Fault::Fails) {
            return Err(lost("put", name));
        }
        let mut content = self.0.lock();
        if content.objects.contains_key(name) {
            return Ok(Put::WasThere);
        }
        let len = if fault == Some(Fault::Truncates) { bytes.len() / 2 } else { bytes.len() };
        let kept = bytes.get(..len).unwrap_or_default().to_vec();
        content.objects.insert(name.to_owned(), kept);
        match fault {
            Some(Fault::AnswerLost) => Err(lost("put", name)),
            _ => Ok(Put::Stored),
        }
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let fault = self.next();
        if matches!(fault, Some(Fault::Fails | Fault::AnswerLost)) {
            return Err(lost("get", name));
        }
        let content = self.0.lock();
        let mut bytes =
            content.objects.get(name).cloned().ok_or_else(|| StoreError::not_found("get", name))?;
        if fault == Some(Fault::Truncates) {
            bytes.truncate(bytes.len() / 2);
        }
        Ok(bytes)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        if matches!(self.next(), Some(Fault::Fails | Fault::AnswerLost)) {
            return Err(lost("look at", name));
        }
        Ok(self.0.lock().objects.get(name).map(|bytes| bytes.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let fault = self.next();
        if matches!(fault, Some(Fault::Fails | Fault::AnswerLost)) {
            return Err(lost("list", prefix));
        }
        let content = self.0.lock();
        let mut found: Vec<Listed> = match fault {
            Some(Fault::StaleList) => content
                .seen
                .iter()
                .map(|(name, size)| Listed { name: name.clone(), size: *size })
                .collect(),
            _ => content
                .objects
                .iter()
                .map(|(name, bytes)| Listed { name: name.clone(), size: bytes.len() as u64 })
                .collect(),
        };
        found.retain(|listed| listed.name.starts_with(prefix));
        if fault == Some(Fault::Truncates) {
            found.truncate(found.len() / 2);
        }
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let fault = self.next();
        if fault == Some(Fault::Fails) {
            return Err(lost("remove", name));
        }
        self.0.lock().objects.remove(name);
        if fault == Some(Fault::AnswerLost) { Err(lost("remove", name)) } else { Ok(()) }
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
