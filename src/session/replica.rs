//! Replicas: clients that get a snapshot and from then on everything that changes.
//!
//! A client that asked for a synchronization waits for a snapshot, which is taken for all that wait for one of
//! its kind. From the instant that the snapshot shows, every unit goes into the queue of each such client, in
//! the form in which the log has it; a thread of its own sends the file and then the queue ([`Link`] is
//! what it shares with the engine). Nobody waits for a replica: one whose queue is longer than its class may
//! hold is let go. While there is none, all that a write pays is the look at [`Replicas::is_fed`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::client::Buffers;
use super::{Client, ClientId};
use crate::clock::UnixMillis;
use crate::disk::FileView;
use crate::resp::unit::UnitBuffer;

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

/// Wakes the threads that send: there may be something to do.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<u64>,
    condition: Condvar,
    /// How many threads may listen.
    ears: AtomicUsize,
}

impl Bell {
    /// Wakes all of them; costs one look while there is none.
    #[inline]
    pub fn ring(&self) {
        if self.ears.load(Ordering::Acquire) > 0 {
            *self.rung.lock() += 1;
            self.condition.notify_all();
        }
    }

    /// Sleeps until it has been rung since `heard`, at most so long.
    pub fn wait(&self, heard: &mut u64, longest: Duration) {
        let mut rung = self.rung.lock();
        if *rung == *heard {
            self.condition.wait_for(&mut rung, longest);
        }
        *heard = *rung;
    }
}

/// How far the snapshot of a replica is.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Nobody has begun to take one.
    Waiting,
    /// It is being written; it shows the data set at this offset of the stream.
    Writing { offset: u64 },
    /// It can be sent, once the log has reached this position.
    Ready { file: Arc<FileView>, position: u64 },
}

/// Bytes of the queue, from the mark before on, that may be sent when the log has reached a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes since the one before.
    pub bytes: usize,
    pub position: u64,
}

/// What a replica's thread and the engine share.
#[derive(Debug)]
pub struct Link {
    /// Whom it belongs to.
    pub client: ClientId,
    /// It asked with PSYNC, and is told where the stream begins.
    pub psync: bool,
    pub rdb_only: bool,
    pub bell: Arc<Bell>,
    /// What CLIENT LIST shows.
    pub buffers: Arc<Buffers>,
    state: Mutex<LinkState>,
    /// Where the stream begins for it.
    start: AtomicU64,
    /// Bytes that are not sent yet, in the queue and in the thread's hands.
    held: AtomicUsize,
    /// The snapshot is sent.
    online: AtomicBool,
    ended: AtomicBool,
    /// Something came from it, an empty line perhaps.
    heard: AtomicBool,
}

#[derive(Debug)]
struct LinkState {
    stage: Stage,
    queue: Vec<u8>,
    marks: VecDeque<Mark>,
}

impl Link {
    /// How far the snapshot is.
    pub fn stage(&self) -> Stage {
        self.state.lock().stage.clone()
    }

    /// Moves what is queued behind `bytes` and `marks`.
    pub fn take(&self, bytes: &mut Vec<u8>, marks: &mut VecDeque<Mark>) {
        let mut state = self.state.lock();
        if bytes.is_empty() {
            std::mem::swap(bytes, &mut state.queue);
        } else {
            bytes.append(&mut state.queue);
        }
        marks.append(&mut state.marks);
    }

    /// Notes that so many bytes of the stream were sent.
    pub fn sent(&self, bytes: usize) {
        let held = self.held.fetch_sub(bytes, Ordering::AcqRel).saturating_sub(bytes);
        self.buffers.note_output(held, held);
    }

    /// Bytes of the stream that are not sent.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// The offset of the stream that its snapshot shows.
    pub fn start_offset(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// The snapshot is sent, and its file is needed no more: the stream follows.
    pub fn snapshot_sent(&self) {
        let offset = self.start_offset();
        self.state.lock().stage = Stage::Writing { offset };
        self.online.store(true, Ordering::Release);
    }

    /// Whether the snapshot is sent.
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Notes that something came from it: while it loads its snapshot it has nothing to say but that it lives.
    pub fn note_sign(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether there is nothing more to send to it.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.queue = Vec::new();
        state.marks.clear();
        state.stage = Stage::Waiting;
        drop(state);
        self.bell.ring();
    }

    /// Queues bytes. `same_batch`: they wait for the log together with those before.
    fn push(&self, bytes: &[u8], position: u64, same_batch: bool) {
        let mut state = self.state.lock();
        state.queue.extend_from_slice(bytes);
        match state.marks.back_mut() {
            Some(last) if same_batch => {
                last.bytes += bytes.len();
                last.position = last.position.max(position);
            }
            _ => state.marks.push_back(Mark { bytes: bytes.len(), position }),
        }
        drop(state);
        let held = self.held.fetch_add(bytes.len(), Ordering::AcqRel) + bytes.len();
        self.buffers.note_output(held, held);
    }

    fn set_stage(&self, stage: Stage) {
        self.state.lock().stage = stage;
        self.bell.ring();
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
        let state = LinkState { stage: Stage::Waiting, queue: Vec::new(), marks: VecDeque::new() };
        let link = Arc::new(Link {
            client: client.id,
            psync,
            rdb_only: announced.rdb_only,
            bell: Arc::clone(&self.bell),
            buffers: Arc::clone(&client.buffers),
            state: Mutex::new(state),
            start: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            online: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        });
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
        self.bell.ears.store(self.list.len(), Ordering::Release);
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
        self.bell.ears.store(self.list.len(), Ordering::Release);
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
            replica.link.start.store(offset, Ordering::Release);
            replica.link.set_stage(Stage::Writing { offset });
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
        unit.frame(&mut bytes, &mut self.selected);
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
            if replica.link.heard.swap(false, Ordering::Relaxed) || new {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(replicas: &mut Replicas, id: u64) -> Arc<Link> {
        let mut client = Client::new("[::1]:77".to_owned(), String::new(), 0);
        client.id = ClientId(id);
        replicas.add(&client, true, 0)
    }

    fn taken(link: &Link) -> (String, Vec<(usize, u64)>) {
        let (mut bytes, mut marks) = (Vec::new(), VecDeque::new());
        link.take(&mut bytes, &mut marks);
        link.sent(bytes.len());
        let marks = marks.into_iter().map(|mark| (mark.bytes, mark.position)).collect();
        (String::from_utf8(bytes).unwrap().replace("\r\n", " "), marks)
    }

    fn unit(db: u32, words: &[&str]) -> UnitBuffer {
        let mut unit = UnitBuffer::new();
        unit.push(db, words);
        unit
    }

    #[test]
    fn who_waited_gets_what_comes_behind_the_snapshot_and_nobody_else() {
        let mut replicas = Replicas::default();
        let first = replica(&mut replicas, 1);
        assert!(!replicas.is_fed() && replicas.offset(500) == 500);
        replicas.snapshot_begins(SyncKind::default(), 500);
        assert!(matches!(first.stage(), Stage::Writing { offset: 500 }) && replicas.is_fed());
        let second = replica(&mut replicas, 2);
        replicas.feed(&unit(0, &["DEL", "a"]), 7);
        replicas.feed(&unit(0, &["DEL", "b"]), 8);
        replicas.news = false;
        replicas.feed(&unit(3, &["DEL", "c"]), 9);
        let (text, marks) = taken(&first);
        assert!(
            text.starts_with("*2 $6 SELECT $1 0 *2 $3 DEL $1 a *2 $3 DEL $1 b *2 $6 SELECT $1 3")
        );
        assert_eq!(marks, [(63, 8), (43, 9)]);
        assert_eq!((first.held(), replicas.offset(0)), (0, 606));
        // Whoever comes in now is told the database again.
        replicas.snapshot_begins(SyncKind::default(), 0);
        assert!(matches!(second.stage(), Stage::Writing { offset: 606 }));
        replicas.feed(&unit(3, &["DEL", "d"]), 10);
        assert!(taken(&second).0.starts_with("*2 $6 SELECT $1 3"));
        replicas.remove(ClientId(1));
        replicas.remove(ClientId(2));
        assert!(!replicas.is_fed() && first.has_ended() && second.has_ended());
    }

    #[test]
    fn who_takes_nothing_is_let_go() {
        let mut replicas = Replicas::default();
        let link = replica(&mut replicas, 1);
        replicas.snapshot_begins(SyncKind::default(), 0);
        replicas.feed(&unit(0, &["SET", "a", &"x".repeat(1000)]), 0);
        let limit = QueueLimit { hard_bytes: 2000, soft_bytes: 1000, soft: Duration::from_secs(5) };
        let at = Duration::from_secs;
        assert!(replicas.overrun(limit, at(1)).is_empty());
        assert!(replicas.overrun(limit, at(6)).is_empty());
        assert_eq!(replicas.overrun(limit, at(7)), [(ClientId(1), link.held())]);
        taken(&link);
        assert!(replicas.overrun(limit, at(8)).is_empty());
        replicas.feed(&unit(0, &["SET", "a", &"x".repeat(2000)]), 0);
        assert_eq!(replicas.overrun(limit, at(9)).len(), 1);
    }

    #[test]
    fn acknowledgements_are_counted() {
        let mut replicas = Replicas::default();
        let link = replica(&mut replicas, 1);
        replicas.snapshot_begins(SyncKind::default(), 10);
        assert_eq!(replicas.that_have(0, false), 0, "it is not online");
        link.snapshot_sent();
        replicas.note_signs(0);
        assert!(replicas.note_ack(ClientId(1), 20, Some(15), 0));
        assert!(!replicas.note_ack(ClientId(2), 20, None, 0));
        assert_eq!((replicas.that_have(20, false), replicas.that_have(21, false)), (1, 0));
        assert_eq!((replicas.that_have(15, true), replicas.that_have(16, true)), (1, 0));
        assert_eq!((replicas.good(10, 10_999), replicas.good(10, 11_000)), (1, 0));
        replicas.ask_for_acks();
        let end = replicas.offset(0);
        replicas.ask_for_acks();
        assert_eq!(replicas.offset(0), end);
    }
}
