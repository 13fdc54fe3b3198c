//! A store in memory that fails when it is told to, for tests.
//!
//! Every operation has a number. A fault is planned for one number, or for all from there on, and is what networks
//! and object stores do: fail before or after the work was done, keep only a part of an object, list what
//! was there a while ago, say nothing for a long time and do it in the end.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::{Condvar, Mutex};

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
    /// There is no answer until the store is well again; then the operation is done.
    Stalls,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Fails, Self::AnswerLost, Self::Truncates, Self::StaleList, Self::Stalls];
}

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, Vec<u8>>,
    /// What a stale list shows, and whether that stays.
    seen: BTreeMap<String, u64>,
    seen_stays: bool,
    /// Objects whose bytes were asked for since a fault was planned.
    read: BTreeSet<String>,
    operations: u64,
    plan: Option<Plan>,
    /// Operations that wait for the store to be well.
    stalled: u64,
}

impl Content {
    fn see(&mut self) {
        let objects = self.objects.iter();
        self.seen = objects.map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect();
    }
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    at: u64,
    lasting: bool,
    fault: Fault,
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Content>, Condvar);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Operation number `at`, counted from now on, goes wrong.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        self.plan(Plan { at, lasting: false, fault });
    }

    /// Every operation from number `at` on, counted from now on, goes wrong.
    pub fn fail_from(&self, at: u64, fault: Fault) {
        self.plan(Plan { at, lasting: true, fault });
    }

    fn plan(&self, plan: Plan) {
        let mut content = self.0.lock();
        content.operations = 0;
        content.read.clear();
        content.plan = Some(plan);
        if !content.seen_stays {
            content.see();
        }
    }

    /// A stale list shows what is there now, until the store is well again.
    pub fn list_as_now(&self) {
        let mut content = self.0.lock();
        content.see();
        content.seen_stays = true;
    }

    /// Nothing goes wrong any more; what was stalled is done when this returns.
    pub fn heal(&self) {
        let mut content = self.0.lock();
        content.plan = None;
        content.seen_stays = false;
        self.1.notify_all();
        while content.stalled > 0 {
            self.1.wait(&mut content);
        }
    }

    /// Objects whose bytes were asked for since the last call of `fail_at` or `fail_from`.
    pub fn read(&self) -> BTreeSet<String> {
        self.0.lock().read.clone()
    }

    /// All objects, to be put back with [`MemoryStore::replace`].
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().objects.clone()
    }

    /// Has these objects and no others.
    pub fn replace(&self, objects: BTreeMap<String, Vec<u8>>) {
        self.0.lock().objects = objects;
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

    /// Counts an operation, and does it unless it goes wrong; what it is to do is told what goes wrong with it.
    fn operate<T>(
        &self,
        work: impl FnOnce(&mut Content, Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut content = self.0.lock();
        let number = content.operations;
        content.operations += 1;
        let goes_wrong = |plan: &Plan| plan.at == number || (plan.lasting && plan.at < number);
        let fault = content.plan.filter(goes_wrong).map(|plan| plan.fault);
        if fault != Some(Fault::Stalls) {
            return work(&mut content, fault);
        }
        content.stalled += 1;
        while content.plan.is_some() {
            self.1.wait(&mut content);
        }
        let done = work(&mut content, None);
        content.stalled -= 1;
        self.1.notify_all();
        done
    }
}

fn lost(op: &'static str, name: &str) -> StoreError {
    StoreError::transient(op, name, "the connection broke")
}

impl Store for MemoryStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.operate(|content, fault| {
            if fault == Some(Fault::Fails) {
                return Err(lost("put", name));
            }
            let free = !content.objects.contains_key(name);
            if free {
                let cut = fault == Some(Fault::Truncates);
                let len = if cut { bytes.len() / 2 } else { bytes.len() };
                let kept = bytes.get(..len).unwrap_or_default().to_vec();
                content.objects.insert(name.to_owned(), kept);
            }
            match fault {
                Some(Fault::AnswerLost) => Err(lost("put", name)),
                _ if free => Ok(Put::Stored),
                _ => Ok(Put::WasThere),
            }
        })
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.operate(|content, fault| {
            if matches!(fault, Some(Fault::Fails | Fault::AnswerLost)) {
                return Err(lost("get", name));
            }
            content.read.insert(name.to_owned());
            let found = content.objects.get(name).cloned();
            let mut bytes = found.ok_or_else(|| StoreError::not_found("get", name))?;
            if fault == Some(Fault::Truncates) {
                bytes.truncate(bytes.len() / 2);
            }
            Ok(bytes)
        })
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.operate(|content, fault| match fault {
            Some(Fault::Fails | Fault::AnswerLost) => Err(lost("look at", name)),
            _ => Ok(content.objects.get(name).map(|bytes| bytes.len() as u64)),
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.operate(|content, fault| {
            if matches!(fault, Some(Fault::Fails | Fault::AnswerLost)) {
                return Err(lost("list", prefix));
            }
            let now = || content.objects.iter().map(|(name, bytes)| (name, bytes.len() as u64));
            let mut found: Vec<Listed> = match fault {
                Some(Fault::StaleList) => content
                    .seen
                    .iter()
                    .map(|(name, size)| Listed { name: name.clone(), size: *size })
                    .collect(),
                _ => now().map(|(name, size)| Listed { name: name.clone(), size }).collect(),
            };
            found.retain(|listed| listed.name.starts_with(prefix));
            if fault == Some(Fault::Truncates) {
                found.truncate(found.len() / 2);
            }
            Ok(found)
        })
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.operate(|content, fault| {
            if fault == Some(Fault::Fails) {
                return Err(lost("remove", name));
            }
            content.objects.remove(name);
            if fault == Some(Fault::AnswerLost) { Err(lost("remove", name)) } else { Ok(()) }
        })
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
