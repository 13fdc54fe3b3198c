//! Client-side caching: who has read which key, who listens to which prefix, and what each is to be told.
//!
//! Plain state behind the engine's lock. `engine::tracking` fills it after reads and empties it when a
//! unit commits. An entry outlives the tracking of its client: whoever finds it then skips it, so that
//! switching off costs nothing (as in Redis).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ClientId;

/// What CLIENT TRACKING ON asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    pub mode: TrackingMode,
    /// Its own writes are not told.
    pub no_loop: bool,
    /// Who gets the messages instead.
    pub redirect: Option<ClientId>,
    /// The client of `redirect` is gone.
    pub redirect_broken: bool,
    /// CLIENT CACHING was called for the next command.
    pub caching: bool,
    /// Memory of the prefixes it broadcasts for.
    pub prefix_bytes: usize,
}

/// Which keys a client is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackingMode {
    /// Those it has read.
    Default,
    /// Those it has read right after CLIENT CACHING YES.
    OptIn,
    /// Those it has read, but not right after CLIENT CACHING NO.
    OptOut,
    /// Those that begin with one of these, read or not; the empty prefix is every key.
    Broadcast(BTreeSet<Vec<u8>>),
}

impl Tracking {
    /// Whether the keys of the running read are remembered for this client.
    pub fn remembers(&self) -> bool {
        match self.mode {
            TrackingMode::Default => true,
            TrackingMode::OptIn => self.caching,
            TrackingMode::OptOut => !self.caching,
            TrackingMode::Broadcast(_) => false,
        }
    }

    /// The prefixes, of a broadcasting client.
    pub fn prefixes(&self) -> Option<&BTreeSet<Vec<u8>>> {
        match &self.mode {
            TrackingMode::Broadcast(prefixes) => Some(prefixes),
            _ => None,
        }
    }
}

/// Keys and prefixes with the clients that care.
#[derive(Debug, Default)]
pub struct TrackingTable {
    keys: HashMap<Vec<u8>, Vec<ClientId>>,
    items: usize,
    prefixes: BTreeMap<Vec<u8>, BTreeSet<ClientId>>,
    /// Who is to be told of which key when the running unit commits.
    pub due: Vec<(ClientId, Vec<u8>)>,
    /// How many clients have tracking on.
    pub clients: usize,
}

impl TrackingTable {
    /// Whether a change may concern anybody: the cheap question before keys are looked up.
    pub fn is_used(&self) -> bool {
        !self.keys.is_empty() || !self.prefixes.is_empty()
    }

    /// Remembers that a client has read a key.
    pub fn remember(&mut self, key: &[u8], id: ClientId) {
        match self.keys.get_mut(key) {
            Some(readers) if readers.contains(&id) => return,
            Some(readers) => readers.push(id),
            None => {
                self.keys.insert(key.to_vec(), vec![id]);
            }
        }
        self.items += 1;
    }

    /// Takes out who has read a key.
    pub fn take_readers(&mut self, key: &[u8]) -> Vec<ClientId> {
        let readers = self.keys.remove(key).unwrap_or_default();
        self.items -= readers.len();
        readers
    }

    /// Takes out some key, when there are more than `limit` (0: no limit).
    pub fn take_above(&mut self, limit: u64) -> Option<(Vec<u8>, Vec<ClientId>)> {
        if limit == 0 || self.keys.len() as u64 <= limit {
            return None;
        }
        let key = self.keys.keys().next()?.clone();
        let readers = self.take_readers(&key);
        Some((key, readers))
    }

    /// Forgets every key that was read; returns what is to be dropped, if there is something.
    pub fn forget_keys(&mut self) -> Option<impl Send + 'static + use<>> {
        self.items = 0;
        (!self.keys.is_empty()).then(|| std::mem::take(&mut self.keys))
    }

    /// Makes a client hear of a prefix.
    pub fn add_prefix(&mut self, prefix: &[u8], id: ClientId) {
        self.prefixes.entry(prefix.to_vec()).or_default().insert(id);
    }

    /// Ends that.
    pub fn remove_prefix(&mut self, prefix: &[u8], id: ClientId) {
        if let Some(listeners) = self.prefixes.get_mut(prefix) {
            listeners.remove(&id);
            if listeners.is_empty() {
                self.prefixes.remove(prefix);
            }
        }
    }

    /// All prefixes with their listeners.
    pub fn prefixes(&self) -> impl Iterator<Item = (&[u8], &BTreeSet<ClientId>)> {
        self.prefixes.iter().map(|(prefix, listeners)| (prefix.as_slice(), listeners))
    }

    /// `tracking_total_keys`, `tracking_total_items`, `tracking_total_prefixes`.
    pub fn totals(&self) -> (usize, usize, usize) {
        (self.keys.len(), self.items, self.prefixes.len())
    }
}
