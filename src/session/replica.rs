//! Replicas: clients that get a snapshot and from then on everything that changes.
//!
//! A client that asked for a synchronization waits for a snapshot, which is taken for all that wait for one of
//! its kind. From the instant that the snapshot shows, every unit goes into the queue of each such client, in
//! the form in which the log has it; a thread of its own sends the file and then the queue ([`Link`] is
//! what it shares with the engine). Nobody waits for a replica: one whose queue is longer than its class may
//! hold is let go. While there is none, all that a write pays is the look at [`Replicas::is_fed`].

mod link;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::{Client, ClientId};
use crate::clock::UnixMillis;
use crate::disk::FileView;
use crate::resp::unit::{Letters, UnitBuffer};
pub use link::{Bell, Link, Mark, Room, Stage};

/// What a client says of itself before it asks to be fed (REPLCONF).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Where it listens, if it said so.
    pub port: u16,
    pub ip: String,
    /// It wants the snapshot and nothing behind it.
    pub rdb_only: bool,
    /// The snapshot that it can use.
    pub kind: SyncKind,
}

/// What is in a snapshot for a replica, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncKind {
    pub keys: bool,
    pub functions: bool,
    /// Where fields of hashes expire: the file is one of Valkey's own version.
    pub valkey: bool,
}

impl Default for SyncKind {
    fn default() -> Self {
        Self { keys: true, functions: true, valkey: false }
    }
}

/// A client that is fed or about to be.
#[derive(Debug)]
pub struct Replica {
    pub link: Arc<Link>,
    pub kind: SyncKind,
    pub ip: String,
    pub port: u16,
    /// What it has of the stream, and what of that is in its own log, as it says; and when it said so.
    pub acked: u64,
    pub acked_in_log: u64,
    pub acked_at: UnixMillis,
    /// Everything that changes goes to it: its snapshot is taken.
    fed: bool,
    /// It was online when it was looked at last: from then on it is expected to acknowledge.
    seen_online: bool,
    /// Since when more is queued than may be for long.
    over_soft_since: Option<Duration>,
}

impl Replica {
    /// As INFO calls it.
    pub fn state(&self) -> &'static str {
        if self.link.is_online() {
            return "online";
        }
        match self.link.stage() {
            Stage::Waiting | Stage::Writing { .. } => "wait_bgsave",
            Stage::Ready { .. } => "send_bulk",
        }
    }

    /// Seconds since it said what it has; 0 while it cannot.
    pub fn lag_s(&self, now: UnixMillis) -> i64 {
        if self.seen_online { (now - self.acked_at).max(0) / 1000 } else { 0 }
    }
}

/// How much may wait to be sent to a replica.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueLimit {
    /// At this many bytes it is let go; 0: never.
    pub hard_bytes: u64,
    /// The same when it has been so for that long.
    pub soft_bytes: u64,
    pub soft: Duration,
}

/// All replicas, and the stream that they get.
#[derive(Debug, Default)]
pub struct Replicas {
    list: Vec<Replica>,
    /// Bytes of the stream so far.
    offset: u64,
    /// The database that the stream has selected.
    selected: Option<u32>,
    scratch: Vec<u8>,
    /// What follows the unit that is being executed.
    behind_unit: Vec<u8>,
    any_fed: bool,
    /// Something was queued since the threads were woken.
    pub news: bool,
    pub bell: Arc<Bell>,
    /// When the stream had its last PING.
    pub pinged_at: Duration,
    /// A request for acknowledgements is the last thing in the stream.
    asked_at_offset: Option<u64>,
    /// Snapshots begun for replicas, and bytes of the stream queued, since the start.
    pub syncs: u64,
    pub queued_bytes: u64,
}

impl Replicas {
    /// Whether anybody gets what changes: the cheap question behind each write.
    #[inline]
    pub fn is_fed(&self) -> bool {
        self.any_fed
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Replica> {
        self.list.iter()
    }

    /// Where the stream is. `appended` is the log's position, which it is not behind.
    pub fn offset(&self, appended: u64) -> u64 {
        if self.any_fed { self.offset } else { self.offset.max(appended) }
    }

    /// Enters a client that asks for a synchronization.
    pub fn add(&mut self, client: &Client, psync: bool, now: UnixMillis) -> Arc<Link> {
        let announced = client.announced.as_deref().cloned().unwrap_or_default();
        let link = Arc::new(Link::new(
            client.id,
            (psync, announced.rdb_only),
            Arc::clone(&self.bell),
            Arc::clone(&client.buffers),
        ));
        let own_ip = || {
            let ip = client.address.rsplit_once(':').map_or("", |(ip, _)| ip);
            ip.trim_start_matches('[').trim_end_matches(']').to_owned()
        };
        self.list.push(Replica {
            link: Arc::clone(&link),
            kind: announced.kind,
            ip: if announced.ip.is_empty() { own_ip() } else { announced.ip },
            port: announced.port,
            acked: 0,
            acked_in_log: 0,
            acked_at: now,
            fed: false,
            seen_online: false,
            over_soft_since: None,
        });
        self.bell.set_ears(self.list.len());
        link
    }

    /// The link of one.
    pub fn link(&self, id: ClientId) -> Option<Arc<Link>> {
        let found = self.list.iter().find(|replica| replica.link.client == id);
        found.map(|replica| Arc::clone(&replica.link))
    }

    /// Forgets one.
    pub fn remove(&mut self, id: ClientId) {
        let Some(at) = self.list.iter().position(|replica| replica.link.client == id) else {
            return;
        };
        self.list.remove(at).link.end();
        self.any_fed = self.list.iter().any(|replica| replica.fed);
        self.bell.set_ears(self.list.len());
    }

    /// The kind of snapshot that is waited for longest.
    pub fn awaited(&self) -> Option<SyncKind> {
        let waits = |replica: &&Replica| matches!(replica.link.stage(), Stage::Waiting);
        self.list.iter().find(waits).map(|replica| replica.kind)
    }

    /// A snapshot of this kind is taken at this very moment: whoever waits for one is fed from here on.
    pub fn snapshot_begins(&mut self, kind: SyncKind, appended: u64) {
        self.offset = self.offset(appended);
        let offset = self.offset;
        let waits = |replica: &&mut Replica| {
            replica.kind == kind && matches!(replica.link.stage(), Stage::Waiting)
        };
        for replica in self.list.iter_mut().filter(waits) {
            replica.fed = !replica.link.rdb_only;
            replica.link.begin(offset);
            self.any_fed |= replica.fed;
            self.syncs += 1;
        }
        // A loader that comes in here has selected nothing.
        self.selected = None;
    }

    /// The snapshot is written; what it shows may be seen when the log has reached `position`.
    pub fn snapshot_ready(&mut self, file: &Arc<FileView>, position: u64) {
        for replica in self.writing() {
            replica.link.set_stage(Stage::Ready { file: Arc::clone(file), position });
        }
    }

    /// Those for whom a snapshot is being written.
    pub fn writing(&self) -> impl Iterator<Item = &Replica> {
        let writing = |replica: &&Replica| {
            !replica.link.is_online() && matches!(replica.link.stage(), Stage::Writing { .. })
        };
        self.list.iter().filter(writing)
    }

    /// Queues a unit for everybody who is fed.
    pub fn feed(&mut self, unit: &UnitBuffer, position: u64) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        unit.frame(&mut bytes, &mut self.selected, Letters::Capital);
        bytes.append(&mut self.behind_unit);
        self.queue(&bytes, position);
        bytes.shrink_to(1 << 20);
        self.scratch = bytes;
    }

    /// Queues a command that belongs to no database behind the unit that is being executed, if that has `records`.
    pub fn feed_behind<'a>(&mut self, records: bool, words: impl Iterator<Item = &'a [u8]>) {
        let words: Vec<&[u8]> = words.collect();
        if records {
            let mut unit = UnitBuffer::new();
            unit.push(0, &words);
            self.behind_unit.extend_from_slice(unit.bytes());
        } else {
            self.feed_words(&words);
        }
    }

    /// Queues a command that belongs to no database.
    pub fn feed_words(&mut self, words: &[&[u8]]) {
        let mut unit = UnitBuffer::new();
        unit.push(0, words);
        self.queue(unit.bytes(), 0);
    }

    fn queue(&mut self, bytes: &[u8], position: u64) {
        self.offset += bytes.len() as u64;
        let same_batch = std::mem::replace(&mut self.news, true);
        for replica in self.list.iter().filter(|replica| replica.fed) {
            replica.link.push(bytes, position, same_batch);
            self.queued_bytes += bytes.len() as u64;
        }
    }

    /// Has every replica say what it has, unless it was asked since the last change.
    pub fn ask_for_acks(&mut self) {
        if self.any_fed && self.asked_at_offset != Some(self.offset) {
            self.feed_words(&[b"REPLCONF", b"GETACK", b"*"]);
            self.asked_at_offset = Some(self.offset);
        }
    }

    /// A replica says what it has. False: it is none.
    pub fn note_ack(
        &mut self,
        id: ClientId,
        acked: u64,
        in_log: Option<u64>,
        now: UnixMillis,
    ) -> bool {
        let found = self.list.iter_mut().find(|replica| replica.link.client == id);
        let Some(replica) = found else { return false };
        replica.acked = replica.acked.max(acked);
        replica.acked_in_log = replica.acked_in_log.max(in_log.unwrap_or(0));
        replica.acked_at = now;
        true
    }

    /// Looks who gave a sign or came online since the last look.
    pub fn note_signs(&mut self, now: UnixMillis) {
        for replica in &mut self.list {
            let new = !replica.seen_online && replica.link.is_online();
            replica.seen_online |= new;
            if replica.link.take_sign() || new {
                replica.acked_at = now;
            }
        }
    }

    /// How many have the stream up to an offset, in memory or in their own log.
    pub fn that_have(&self, offset: u64, in_log: bool) -> i64 {
        let has = |replica: &&Replica| {
            let have = if in_log { replica.acked_in_log } else { replica.acked };
            replica.link.is_online() && !replica.link.rdb_only && have >= offset
        };
        i64::try_from(self.list.iter().filter(has).count()).unwrap_or(i64::MAX)
    }

    /// How many are online and said something within so many seconds.
    pub fn good(&self, max_lag_s: i64, now: UnixMillis) -> usize {
        let good = |replica: &&Replica| {
            replica.link.is_online() && !replica.link.rdb_only && replica.lag_s(now) <= max_lag_s
        };
        self.list.iter().filter(good).count()
    }

    /// Those to be let go because of what is queued for them, with how much that is.
    pub fn overrun(&mut self, limit: QueueLimit, now: Duration) -> Vec<(ClientId, usize)> {
        let mut over = Vec::new();
        for replica in self.list.iter_mut().filter(|replica| replica.fed) {
            let held = replica.link.held();
            let above = |bytes: u64| bytes > 0 && held as u64 >= bytes;
            if !above(limit.soft_bytes) {
                replica.over_soft_since = None;
            }
            let soft = above(limit.soft_bytes) && {
                let since = *replica.over_soft_since.get_or_insert(now);
                now.saturating_sub(since) > limit.soft
            };
            if above(limit.hard_bytes) || soft {
                over.push((replica.link.client, held));
            }
        }
        over
    }

    /// The most that is queued for one of them.
    pub fn held_max(&self) -> usize {
        self.list.iter().map(|replica| replica.link.held()).max().unwrap_or(0)
    }

    /// All that is queued.
    pub fn held(&self) -> usize {
        self.list.iter().map(|replica| replica.link.held()).sum()
    }
}
