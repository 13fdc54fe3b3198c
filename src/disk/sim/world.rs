//! The state behind a simulated disk: nodes (bytes), names, pending changes, and the operations on them.
//!
//! Pending changes carry a sequence number that is global over files and directories, so that a
//! crash can keep "everything before an instant". Every operation that changes or syncs goes through `begin`,
//! which numbers it, writes the story and finds the fault planned for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::super::OpenMode;
use super::super::durable::parent;
use super::Fault;
use super::misread::Misread;

/// The unit that a medium writes whole.
pub(crate) const SECTOR: usize = 512;

/// An index into `World::nodes`; nodes are never reused, so a handle outlives its name.
pub(crate) type NodeId = usize;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File(NodeId),
    Dir,
}

impl Entry {
    /// The file, if it is one.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Self::File(id) => Some(*id),
            Self::Dir => None,
        }
    }
}

/// A change of one file's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    /// Does it to an image; writing behind the end leaves zeros in between.
    pub(crate) fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => image.resize(*len, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                image.resize(image.len().max(end), 0);
                if let Some(place) = image.get_mut(*offset..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

/// An atomic change of one directory's entries.
#[derive(Clone, Debug)]
pub(crate) struct NameChange {
    pub(crate) dir: String,
    /// Path and its new meaning; `None` removes it.
    pub(crate) sets: Vec<(String, Option<Entry>)>,
}

impl NameChange {
    pub(crate) fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        for (path, entry) in &self.sets {
            match entry {
                Some(entry) => names.insert(path.clone(), *entry),
                None => names.remove(path),
            };
        }
    }
}

/// One file's bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// What reads see.
    pub(crate) live: Vec<u8>,
    /// What survives, before `pending` is looked at.
    pub(crate) durable: Vec<u8>,
    /// Changes since the last sync, oldest first, with their sequence numbers.
    pub(crate) pending: Vec<(u64, Change)>,
    /// Sectors (by number) that cannot be read.
    pub(crate) damaged: BTreeSet<usize>,
    /// The durable bytes before each sync.
    pub(crate) older: Vec<Arc<[u8]>>,
}

/// Everything that a disk knows.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    /// Live entries by full path; the root is implied.
    pub(crate) names: BTreeMap<String, Entry>,
    pub(crate) durable_names: BTreeMap<String, Entry>,
    pub(crate) pending_names: Vec<(u64, NameChange)>,
    pub(crate) locks: BTreeMap<String, String>,
    pub(crate) operation_count: u64,
    pub(crate) faults: BTreeMap<u64, Fault>,
    pub(crate) read_count: u64,
    pub(crate) misreads: BTreeMap<u64, Misread>,
    pub(crate) off: bool,
    pub(crate) capacity: Option<u64>,
    pub(crate) story: Vec<String>,
    /// Nobody will ask for the story.
    pub(crate) untold: bool,
    pub(crate) sequence: u64,
}

type Result<T> = io::Result<T>;

impl World {
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node> {
        self.nodes.get_mut(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn file(&self, path: &str) -> Option<NodeId> {
        match self.names.get(path) {
            Some(Entry::File(id)) => Some(*id),
            _ => None,
        }
    }

    pub(crate) fn file_paths(&self) -> Vec<String> {
        let files = self.names.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        let lens = self.names.values().filter_map(|entry| match entry {
            Entry::File(id) => self.node(*id).map(|node| node.live.len() as u64),
            Entry::Dir => None,
        });
        lens.sum()
    }

    /// Numbers an operation and returns the fault that was planned for it, if it is not plain failure.
    fn begin(&mut self, what: impl FnOnce() -> String) -> Result<Option<Fault>> {
        if self.off {
            return Err(io::Error::other("power is off"));
        }
        let number = self.operation_count;
        self.operation_count += 1;
        let fault = self.faults.remove(&number);
        if !self.untold {
            self.story.push(match fault {
                None => format!("{number} {}", what()),
                Some(fault) => format!("{number} {}: {fault:?}", what()),
            });
        }
        match fault {
            Some(Fault::Eio) => Err(eio()),
            Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::PowerCut) => {
                self.off = true;
                Ok(fault)
            }
            _ => Ok(fault),
        }
    }

    /// The same for operations that are not syncs and not writes.
    pub(crate) fn begin_plain(&mut self, what: impl FnOnce() -> String) -> Result<()> {
        match self.begin(what)? {
            Some(Fault::SyncDropsPages | Fault::SyncKeepsPages) => Err(eio()),
            _ => Ok(()),
        }
    }

    /// The end of an operation that was done: a power cut still fails it, after its effect became pending.
    pub(crate) fn end<T>(&self, value: T) -> Result<T> {
        if self.off { Err(io::Error::other("power cut")) } else { Ok(value) }
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn change(&mut self, id: NodeId, change: Change) -> Result<()> {
        let sequence = self.next_sequence();
        let node = self.node_mut(id)?;
        change.apply(&mut node.live);
        node.pending.push((sequence, change));
        Ok(())
    }

    pub(crate) fn change_names(&mut self, dir: &str, sets: Vec<(String, Option<Entry>)>) {
        let sequence = self.next_sequence();
        let change = NameChange { dir: dir.to_owned(), sets };
        change.apply(&mut self.names);
        self.pending_names.push((sequence, change));
    }

    pub(crate) fn must_be_dir(&self, dir: &str) -> Result<()> {
        match self.names.get(dir) {
            _ if dir.is_empty() => Ok(()),
            Some(Entry::Dir) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn open(&mut self, path: &str, mode: OpenMode) -> Result<NodeId> {
        self.must_be_dir(parent(path))?;
        match (self.names.get(path).copied(), mode) {
            (Some(Entry::Dir), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Entry::File(id)), OpenMode::CreateOrTruncate) => {
                self.begin_plain(|| format!("open {path}, emptied"))?;
                self.change(id, Change::SetLen(0))?;
                self.end(id)
            }
            (Some(Entry::File(id)), _) if !self.off => Ok(id),
            (
                None,
                OpenMode::CreateOrOpen | OpenMode::CreateOrTruncate | OpenMode::CreatePrivate,
            ) => {
                self.begin_plain(|| format!("create {path}"))?;
                let id = self.nodes.len();
                self.nodes.push(Node::default());
                self.change_names(parent(path), vec![(path.to_owned(), Some(Entry::File(id)))]);
                self.end(id)
            }
            (None, _) if !self.off => Err(io::ErrorKind::NotFound.into()),
            _ => Err(io::Error::other("power is off")),
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.begin_plain(|| format!("rename {from} to {to}"))?;
        self.must_be_dir(parent(to))?;
        let entry = *self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let (gone, here) = ((from.to_owned(), None), (to.to_owned(), Some(entry)));
        if parent(from) == parent(to) {
            self.change_names(parent(to), vec![gone, here]);
        } else {
            self.change_names(parent(from), vec![gone]);
            self.change_names(parent(to), vec![here]);
        }
        self.end(())
    }

    pub(crate) fn remove(&mut self, path: &str) -> Result<()> {
        self.begin_plain(|| format!("remove {path}"))?;
        self.file(path).ok_or(io::ErrorKind::NotFound)?;
        self.change_names(parent(path), vec![(path.to_owned(), None)]);
        self.end(())
    }

    pub(crate) fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.must_be_dir(dir)?;
        let inside = self.names.iter().filter(|(path, _)| parent(path) == dir);
        let names = inside.map(|(path, entry)| {
            let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name);
            if *entry == Entry::Dir { format!("{name}/") } else { name.to_owned() }
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn create_dir(&mut self, dir: &str) -> Result<()> {
        match self.names.get(dir) {
            Some(Entry::Dir) => return Ok(()),
            Some(Entry::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            None => self.must_be_dir(parent(dir))?,
        }
        self.begin_plain(|| format!("mkdir {dir}"))?;
        self.change_names(parent(dir), vec![(dir.to_owned(), Some(Entry::Dir))]);
        self.end(())
    }

    pub(crate) fn sync_dir(&mut self, dir: &str) -> Result<()> {
        let fault = self.begin(|| format!("fsync directory '{dir}'"))?;
        self.must_be_dir(dir)?;
        if matches!(fault, Some(Fault::PowerCut | Fault::SyncKeepsPages)) {
            return Err(eio());
        }
        let pending = std::mem::take(&mut self.pending_names);
        let (here, elsewhere) = pending.into_iter().partition(|(_, change)| change.dir == dir);
        self.pending_names = elsewhere;
        if fault == Some(Fault::SyncDropsPages) {
            return Err(eio());
        }
        let here: Vec<(u64, NameChange)> = here;
        for (_, change) in here {
            change.apply(&mut self.durable_names);
        }
        Ok(())
    }

    pub(crate) fn file_len(&self, path: &str) -> Result<Option<u64>> {
        match self.names.get(path) {
            Some(Entry::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Entry::File(id)) => self.len(*id).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn len(&self, id: NodeId) -> Result<u64> {
        self.node(id).map(|node| node.live.len() as u64).ok_or_else(eio)
    }

    pub(crate) fn read(&mut self, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let node = self.node(id).ok_or_else(eio)?;
        let from = usize::try_from(offset).map_or(node.live.len(), |at| at.min(node.live.len()));
        let bytes = node.live.get(from..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        let sectors = from / SECTOR..(from + len).div_ceil(SECTOR);
        if self.off || node.damaged.range(sectors).next().is_some() {
            return Err(eio());
        }
        for (to, byte) in buffer.iter_mut().zip(bytes) {
            *to = *byte;
        }
        self.misread(id, from, buffer.get_mut(..len).unwrap_or_default());
        Ok(len)
    }

    pub(crate) fn write(
        &mut self,
        id: NodeId,
        path: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<usize> {
        let fault = self.begin(|| format!("write {path} {offset}+{}", bytes.len()))?;
        let mut len = match fault {
            Some(Fault::SyncDropsPages | Fault::SyncKeepsPages) => return Err(eio()),
            Some(Fault::ShortWrite(most)) => bytes.len().min(most),
            _ => bytes.len(),
        };
        if let Some(capacity) = self.capacity {
            let old = self.len(id)?;
            let len_max = old + capacity.saturating_sub(self.used_bytes());
            let room = len_max.saturating_sub(offset);
            len = len.min(usize::try_from(room).unwrap_or(usize::MAX));
            if len == 0 && !bytes.is_empty() {
                self.story.push("  no space left".to_owned());
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let bytes = bytes.get(..len).unwrap_or_default().to_vec();
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(id, Change::Write { offset, bytes })?;
        self.end(len)
    }

    pub(crate) fn truncate(&mut self, id: NodeId, path: &str, len: u64) -> Result<()> {
        self.begin_plain(|| format!("truncate {path} to {len}"))?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(id, Change::SetLen(len))?;
        self.end(())
    }

    pub(crate) fn sync(&mut self, id: NodeId, path: &str) -> Result<()> {
        let fault = self.begin(|| format!("sync {path}"))?;
        let node = self.node_mut(id)?;
        match fault {
            Some(Fault::PowerCut | Fault::SyncKeepsPages) => return Err(eio()),
            Some(Fault::SyncDropsPages) => {
                node.pending.clear();
                return Err(eio());
            }
            _ => {}
        }
        if !node.pending.is_empty() {
            self.remember(id);
        }
        let node = self.node_mut(id)?;
        for (_, change) in std::mem::take(&mut node.pending) {
            change.apply(&mut node.durable);
        }
        Ok(())
    }

    pub(crate) fn rot(&mut self, path: &str, offset: u64, mask: u8) -> bool {
        let Some(node) = self.file(path).and_then(|id| self.nodes.get_mut(id)) else {
            return false;
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(byte) = node.durable.get_mut(offset) {
            *byte ^= mask;
        }
        node.live.get_mut(offset).map(|byte| *byte ^= mask).is_some()
    }

    pub(crate) fn damage_sector(&mut self, path: &str, offset: u64) -> bool {
        let Some(node) = self.file(path).and_then(|id| self.nodes.get_mut(id)) else {
            return false;
        };
        node.damaged.insert(usize::try_from(offset).unwrap_or(usize::MAX) / SECTOR)
    }

    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
        let mut dir = parent(path);
        while !dir.is_empty() {
            self.names.insert(dir.to_owned(), Entry::Dir);
            self.durable_names.insert(dir.to_owned(), Entry::Dir);
            dir = parent(dir);
        }
        let entry = Entry::File(self.nodes.len());
        let (live, durable) = (bytes.to_vec(), bytes.to_vec());
        self.nodes.push(Node { live, durable, ..Node::default() });
        self.names.insert(path.to_owned(), entry);
        self.durable_names.insert(path.to_owned(), entry);
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}
