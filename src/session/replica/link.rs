//! What the thread of a replica shares with the engine: the stage of the snapshot, and the queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::super::ClientId;
use super::super::client::Buffers;
use crate::disk::FileView;

/// Wakes the threads that send: there may be something to do.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<u64>,
    condition: Condvar,
    /// How many threads may listen.
    ears: AtomicUsize,
    /// What all queues and what is on its way from them take.
    memory: AtomicUsize,
}

/// The memory of one buffer of a replica, as part of that of all.
#[derive(Debug)]
pub struct Room {
    bell: Arc<Bell>,
    bytes: usize,
}

impl Room {
    /// Of a buffer that takes nothing yet.
    pub fn new(bell: &Arc<Bell>) -> Self {
        Self { bell: Arc::clone(bell), bytes: 0 }
    }

    /// Notes what the buffer takes now.
    pub fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.bell.memory.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.set(0);
    }
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

    /// Bytes of what waits to be sent to replicas, with the room that it has to grow.
    pub fn memory_bytes(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Notes how many threads may listen.
    pub(super) fn set_ears(&self, count: usize) {
        self.ears.store(count, Ordering::Release);
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
    room: Room,
}

impl LinkState {
    fn note_room(&mut self) {
        self.room.set(self.queue.capacity() + self.marks.capacity() * size_of::<Mark>());
    }
}

impl Link {
    /// For a client that has just asked.
    pub(super) fn new(
        client: ClientId,
        (psync, rdb_only): (bool, bool),
        bell: Arc<Bell>,
        buffers: Arc<Buffers>,
    ) -> Self {
        let (queue, marks, room) = (Vec::new(), VecDeque::new(), Room::new(&bell));
        let state = LinkState { stage: Stage::Waiting, queue, marks, room };
        Self {
            client,
            psync,
            rdb_only,
            bell,
            buffers,
            state: Mutex::new(state),
            start: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            online: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        }
    }

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
        state.note_room();
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

    /// There is nothing more to send.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.queue = Vec::new();
        state.marks.clear();
        state.note_room();
        state.stage = Stage::Waiting;
        drop(state);
        self.bell.ring();
    }

    /// Queues bytes. `same_batch`: they wait for the log together with those before.
    pub(super) fn push(&self, bytes: &[u8], position: u64, same_batch: bool) {
        // Counted before they can be sent.
        let held = self.held.fetch_add(bytes.len(), Ordering::AcqRel) + bytes.len();
        self.buffers.note_output(held, held);
        let mut state = self.state.lock();
        state.queue.extend_from_slice(bytes);
        match state.marks.back_mut() {
            Some(last) if same_batch => {
                last.bytes += bytes.len();
                last.position = last.position.max(position);
            }
            _ => state.marks.push_back(Mark { bytes: bytes.len(), position }),
        }
        state.note_room();
    }

    /// Its snapshot is taken now, at this offset of the stream.
    pub(super) fn begin(&self, offset: u64) {
        self.start.store(offset, Ordering::Release);
        self.set_stage(Stage::Writing { offset });
    }

    /// Whether something came from it since the last call.
    pub(super) fn take_sign(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Its snapshot has come so far.
    pub(super) fn set_stage(&self, stage: Stage) {
        self.state.lock().stage = stage;
        self.bell.ring();
    }
}
