//! A reactor thread: its connections, its turn, its part in the log.
//!
//! All state is owned by the thread (`Rc`, `RefCell`); tasks only wait for readiness and then call the
//! functions here, which never await. The end-of-turn task is queued behind every connection that is
//! ready, so one log write and one send per connection serve the whole turn.

pub(super) mod busy;
mod gathered;
mod output;
mod requests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::accept::accept_loop;
use super::connection::Connection;
use super::log_view::LogView;
use super::shared::Shared;
use super::stream::{Accepted, Stream};
use crate::aof::log::{Log, Written};
use crate::config::AppendFsync;
use crate::engine::Engine;
use crate::engine::loops::LoopStats;
use crate::resp::Batch;
use crate::resp::decode::{DecodeLimits, ProtocolError};
use crate::session::{Client, ClientId, Mail};
use gathered::Gathered;

/// Bytes read at once; most reads take far less.
const READ_BYTES: usize = 64 * 1024;
/// Between two looks whether a script in the way has ended.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Carried input from which on a long argument is kept as it is, not copied.
const KEPT_BYTES_MIN: usize = 128 * 1024;
/// Whoever has sent so much of an argument gets room for the rest at once.
const BELIEVED_BYTES: usize = 4 << 20;

/// Bytes that a client which has not said who it is may send without an end, and may leave unread.
const STRANGER_INPUT_MAX: u64 = 1 << 20;
/// As in Redis, where the first 16 KB of replies do not count.
const STRANGER_OUTPUT_MAX: usize = 17 * 1024;

/// After so many turns without a reply that could leave at once the thread waits for the log and not for
/// its sockets: writers that wait for a sync then come in groups, not one by one.
const TURNS_TO_NAP: u32 = 16;
/// By so much such a nap delays a reader that comes, once.
const NAP_MAX: Duration = Duration::from_micros(200);

/// A connection, shared by its tasks and the reactor's lists.
type Handle = Rc<RefCell<Connection>>;

/// The state of a reactor thread.
pub struct Reactor {
    index: usize,
    shared: Arc<Shared>,
    connections: RefCell<HashMap<ClientId, Handle>>,
    /// Connections with replies to send at the end of this turn.
    turn: RefCell<Vec<Handle>>,
    turn_armed: Cell<bool>,
    turn_end: Notify,
    /// When the first connection of this turn was read.
    turn_began: Cell<Duration>,
    /// A reply of this turn waits for the write only, although the policy is to sync.
    write_now: Cell<bool>,
    /// A reply of this turn left at once.
    answered: Cell<bool>,
    /// Turns in a row of which none did.
    held_turns: Cell<u32>,
    /// When the sockets were looked at last beside a running script.
    looked_at: Cell<Duration>,
    /// Connections whose replies wait for the log.
    holders: RefCell<Vec<Handle>>,
    /// An empty list with room, in the place of the one that is worked off.
    spare: Cell<Vec<Handle>>,
    log: LogView,
    gathered: Gathered,
    scratch: RefCell<Scratch>,
}

/// Bytes that whole requests take, and what is wrong with what follows them.
type Decoded = (usize, Result<(), ProtocolError>);

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// All that had arrived is taken.
    Taken,
    /// There was more than one read takes.
    More,
    /// Nothing comes any more.
    End,
}

/// Memory reused by every read of the thread.
struct Scratch {
    buffer: Vec<u8>,
    batch: Batch,
}

impl Reactor {
    /// Reactor number `index`.
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Self {
            index,
            shared,
            connections: RefCell::default(),
            turn: RefCell::default(),
            turn_armed: Cell::new(false),
            turn_end: Notify::new(),
            turn_began: Cell::default(),
            write_now: Cell::new(false),
            answered: Cell::new(false),
            held_turns: Cell::new(0),
            looked_at: Cell::default(),
            holders: RefCell::default(),
            spare: Cell::default(),
            log: LogView::default(),
            gathered: Gathered::default(),
            scratch: RefCell::new(Scratch { buffer: vec![0; READ_BYTES], batch: Batch::default() }),
        })
    }

    /// Serves until the server stops. Runs inside a `LocalSet`.
    pub async fn run(self: Rc<Self>) {
        self.settle_here();
        let turns = Rc::clone(&self);
        tokio::task::spawn_local(async move {
            loop {
                turns.turn_end.notified().await;
                turns.end_turn();
            }
        });
        loop {
            if self.shared.stopping.load(Ordering::Acquire) {
                return;
            }
            if self.index == 0 {
                for listener in self.shared.take_new_listeners() {
                    tokio::task::spawn_local(accept_loop(listener, Arc::clone(&self.shared)));
                }
            }
            if let Some(handle) = self.shared.reactors.get(self.index) {
                handle.wake.notified().await;
            }
            crate::memory::follow_release();
            for accepted in self.shared.take_arrivals(self.index) {
                self.accept(accepted);
            }
            self.deliver_mail();
            self.release_holders();
        }
    }

    /// Takes what other clients' commands left for this thread's connections.
    fn deliver_mail(self: &Rc<Self>) {
        // Whoever goes on does so when all that was sent before is there: its next reply comes behind that.
        let mut going_on = Vec::new();
        for mail in self.shared.take_mail(self.index) {
            going_on.extend(self.deliver(mail));
        }
        for handle in going_on {
            self.go_on(&handle);
        }
    }

    /// Takes a connection in: a client of the engine, and a task that waits for its input.
    fn accept(self: &Rc<Self>, accepted: Accepted) {
        match self.shared.lock_unless_busy() {
            Some(mut engine) => {
                engine.begin_batch();
                self.accept_with(&mut engine, accepted);
                self.shared.unlock(engine);
            }
            // Whoever runs the script can serve it now.
            None => {
                let busy = self.shared.busy_reactor.load(Ordering::Acquire);
                self.shared.hand_over(busy, accepted);
            }
        }
    }

    fn accept_with(self: &Rc<Self>, engine: &mut Engine, accepted: Accepted) {
        let Ok(stream) = accepted.register() else { return };
        let (address, local_address) = stream.addresses();
        let mut client = Client::new(address, local_address, engine.ks.now);
        client.reactor = self.index;
        client.fd = stream.number();
        client.flags.unix_socket = stream.is_unix();
        let buffers = Arc::clone(&client.buffers);
        let admitted = engine.admit(client);
        let stream = Rc::new(stream);
        match admitted {
            Ok((id, authenticated)) => {
                let place = (id, engine.sessions.seat_of(id).unwrap_or_default());
                let connection = Connection::new(place, Rc::clone(&stream), authenticated, buffers);
                let handle = Rc::new(RefCell::new(connection));
                self.connections.borrow_mut().insert(id, Rc::clone(&handle));
                let reactor = Rc::clone(self);
                tokio::task::spawn_local(async move { reactor.read_loop(handle, stream).await });
            }
            Err(text) => {
                // Best effort, as the connection is closed either way.
                let text = format!("-{text}\r\n");
                let _ = stream.write_now(&[io::IoSlice::new(text.as_bytes())]);
            }
        }
    }

    async fn read_loop(self: Rc<Self>, handle: Handle, stream: Rc<Stream>) {
        while stream.readable().await.is_ok() {
            let taken = self.read(&handle);
            self.execute_full_gathering();
            match taken {
                Ok(Input::Taken) => {}
                // Whoever sends faster than it is served leaves the others their turn, and gets
                // its replies in between.
                Ok(Input::More) => tokio::task::yield_now().await,
                Ok(Input::End) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        let id = handle.borrow().id;
        handle.borrow_mut().closing = true;
        self.connections.borrow_mut().remove(&id);
        while !self.shared.client_gone(id) {
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }

    /// Reads once and executes what is complete.
    fn read(self: &Rc<Self>, handle: &Handle) -> io::Result<Input> {
        if let Some(stats) = self.loop_stats() {
            stats.note_read();
        }
        if handle.borrow().gathered {
            self.execute_gathered();
        }
        if !self.turn_armed.get() {
            self.turn_began.set(self.shared.clock.monotonic());
        }
        // Who asks after having heard of a write by other ways finds its messages before the reply.
        self.deliver_mail();
        let mut scratch = self.scratch.borrow_mut();
        let scratch = &mut *scratch;
        let mut connection = handle.borrow_mut();
        let direct = connection.carry.is_empty() && !connection.waits;
        let more;
        if direct {
            let count = connection.stream.try_read(&mut scratch.buffer)?;
            if count == 0 {
                return Ok(Input::End);
            }
            if connection.closing {
                return Ok(Input::Taken);
            }
            if self.has_too_much_input(&connection) {
                return Ok(Input::End);
            }
            more = count == scratch.buffer.len();
            let input = scratch.buffer.get(..count).unwrap_or_default();
            let batch = &mut scratch.batch;
            let decoded = self.decode(&mut connection, input, batch);
            let is_whole = decoded.1.is_ok() && decoded.0 == count;
            if is_whole && self.gather(handle, &mut connection, input, batch) {
                return Ok(Input::Taken);
            }
            let used = self.consume(handle, &mut connection, input, batch, decoded);
            let rest = input.get(used..).unwrap_or_default();
            if !rest.is_empty() && !connection.closing {
                connection.carry.extend_from_slice(rest);
                connection.buffers.note_moved(self.shared.clock.wall());
            }
        } else {
            let have = connection.carry.len();
            let missing = connection.decoder.missing(have).max(READ_BYTES);
            // It doubles, but ends at what is missing: a client's memory is limited, too. Whoever has sent much
            // is believed, as moving that again and again is dear.
            let room = if have >= BELIEVED_BYTES { missing } else { have.max(READ_BYTES) };
            connection.carry.reserve_exact(missing.min(room));
            let stream = Rc::clone(&connection.stream);
            if stream.try_read_into(&mut connection.carry)? == 0 {
                return Ok(Input::End);
            }
            connection.buffers.note_moved(self.shared.clock.wall());
            if connection.closing {
                connection.carry.clear();
                return Ok(Input::Taken);
            }
            if self.has_too_much_input(&connection) {
                return Ok(Input::End);
            }
            more = connection.carry.len() == connection.carry.capacity();
            if !connection.waits {
                self.consume_carry(handle, &mut connection, &mut scratch.batch);
            }
        }
        Ok(if more { Input::More } else { Input::Taken })
    }

    /// Whether the unread input, with what MULTI queued, is more than a client may send; that is counted and
    /// logged.
    fn has_too_much_input(&self, connection: &Connection) -> bool {
        let mut limit = self.shared.query_bytes_max.load(Ordering::Relaxed);
        if !connection.authenticated {
            limit = limit.min(STRANGER_INPUT_MAX);
        }
        if (connection.carry.len() + connection.queued_bytes) as u64 <= limit {
            return false;
        }
        let mut engine = self.shared.lock();
        engine.server.stats.query_buffer_limit_disconnections += 1;
        if let Some(client) = engine.sessions.client(connection.id) {
            let line = format!(
                "Closing client {} at {} that reached the limit of the query buffer.",
                client.id.0, client.address
            );
            engine.logger.warning(line);
        }
        self.shared.unlock(engine);
        true
    }

    /// Executes what is complete in the carried input.
    fn consume_carry(
        self: &Rc<Self>,
        handle: &Handle,
        connection: &mut Connection,
        batch: &mut Batch,
    ) {
        let mut carry = std::mem::take(&mut connection.carry);
        if carry.len() >= KEPT_BYTES_MIN && connection.decoder.missing(carry.len()) == 0 {
            let owner = Bytes::from(carry);
            batch.owner = Some(owner.clone());
            let decoded = self.decode(connection, &owner, batch);
            let used = self.consume(handle, connection, &owner, batch, decoded);
            batch.owner = None;
            if !connection.closing {
                connection.carry = owner.get(used..).unwrap_or_default().to_vec();
            }
            return;
        }
        let decoded = self.decode(connection, &carry, batch);
        let used = self.consume(handle, connection, &carry, batch, decoded);
        if used == carry.len() || connection.closing {
            carry.clear();
            carry.shrink_to(0);
        } else {
            carry.drain(..used);
        }
        connection.carry = carry;
    }

    /// Finds the requests in `input`: how many of its bytes they take, and what is wrong with what follows.
    fn decode(&self, connection: &mut Connection, input: &[u8], batch: &mut Batch) -> Decoded {
        let limits = DecodeLimits {
            bulk_bytes_max: self.shared.bulk_bytes_max.load(Ordering::Relaxed).cast_signed(),
            authenticated: connection.authenticated,
        };
        batch.clear();
        connection.decoder.decode(input, limits, batch)
    }

    /// Executes the requests found in `input`; returns the bytes that are done with.
    fn consume(
        self: &Rc<Self>,
        handle: &Handle,
        connection: &mut Connection,
        input: &[u8],
        batch: &mut Batch,
        (used, outcome): Decoded,
    ) -> usize {
        // What runs now counts: CLIENT LIST shows its own request, and a large one is its client's memory.
        connection.buffers.note_query(input.len(), input.len());
        if let Some(link) = &connection.feed {
            link.note_sign();
        }
        let stranger = outcome.as_ref().is_err_and(ProtocolError::is_of_strangers);
        // What is looked at again counts then.
        let counted = if stranger { input.get(..used).unwrap_or_default() } else { input };
        let done = self.execute(connection, counted, (batch, 0));
        let goes_on = done == batch.len() && connection.takes_requests();
        if stranger && goes_on && connection.authenticated {
            // A request before this one said who the client is: it is judged by that.
            connection.decoder = crate::resp::Decoder::default();
            batch.owner = batch.owner.take().map(|owner| owner.slice(used..));
            let rest = input.get(used..).unwrap_or_default();
            let decoded = self.decode(connection, rest, batch);
            return used + self.consume(handle, connection, rest, batch, decoded);
        }
        if let Err(error) = &outcome
            && goes_on
        {
            connection
                .outbox
                .replies
                .buffer
                .extend_from_slice(format!("-ERR {error}\r\n").as_bytes());
            connection.closing = true;
        }
        self.watch_soft_limit(handle, connection);
        self.arm(handle, connection);
        if done < batch.len() || (outcome.is_err() && !goes_on) {
            // The client waits now: what is behind is decoded again when it goes on.
            connection.decoder = crate::resp::Decoder::default();
            return batch.ends_at(done);
        }
        used
    }

    /// Puts the connection into this turn's list, and the end of the turn behind every ready task.
    fn arm(&self, handle: &Handle, connection: &mut Connection) {
        if !connection.in_turn {
            connection.in_turn = true;
            self.turn.borrow_mut().push(Rc::clone(handle));
        }
        if !self.turn_armed.replace(true) {
            self.turn_end.notify_one();
        }
    }

    /// The log gets this turn's records, the replies leave.
    fn end_turn(self: &Rc<Self>) {
        self.execute_gathered();
        self.turn_armed.set(false);
        self.log.with(&self.shared, |log| {
            if let Some(log) = log {
                self.write_log(log);
            }
        });
        let mut turn = self.turn.replace(self.spare.take());
        for handle in turn.drain(..) {
            handle.borrow_mut().in_turn = false;
            self.flush(&handle);
        }
        self.spare.set(turn);
        if let Some(stats) = self.loop_stats() {
            let now = self.shared.clock.monotonic();
            stats.note_turn(now.saturating_sub(self.turn_began.get()));
        }
        self.nap();
    }

    /// Waits for the log, when every reply of the last turns had to.
    fn nap(self: &Rc<Self>) {
        self.shared.pace.holds(self.index, self.holders.borrow().len());
        if self.answered.take() {
            self.held_turns.set(0);
            self.shared.pace.answered(self.index);
            return;
        }
        self.held_turns.set(self.held_turns.get().saturating_add(1));
        let always = self.shared.policy() == AppendFsync::Always;
        if !always || self.held_turns.get() < TURNS_TO_NAP || self.holders.borrow().is_empty() {
            return;
        }
        let Some(own) = self.shared.reactors.get(self.index) else { return };
        let seen = self.progress();
        self.shared.pace.rests(self.index);
        own.nap(NAP_MAX, || self.progress() == seen);
        self.shared.pace.works(self.index);
        self.release_holders();
    }

    fn loop_stats(&self) -> Option<&LoopStats> {
        self.shared.loops.get(self.index)
    }

    /// Under `always` the log thread writes and syncs. Otherwise, and when a connection waits for no
    /// more than the write, this thread writes, unless a sync is in the way (which under `always`, with filler ahead,
    /// it is not): then the log thread does it and the replies wait.
    fn write_log(&self, log: &Log) {
        let always = self.shared.policy() == AppendFsync::Always;
        let mut raise = self.shared.sync_wanted.load(Ordering::Acquire);
        let write_now = self.write_now.take();
        if log.appended() > log.written() {
            let written = match always {
                true if write_now => log.try_write_beside_sync(),
                true => Ok(Written::Busy),
                false => log.try_write(),
            };
            let done = matches!(written, Ok(Written::Done));
            if write_now && !done {
                self.shared.write_wanted.store(true, Ordering::Release);
            }
            raise |= always || !done;
        }
        if raise {
            self.shared.pace.turn_left_work(self.index);
        }
    }

    /// Returns the connection if its client waited and goes on.
    fn deliver(self: &Rc<Self>, mail: Mail) -> Option<Handle> {
        let handle = self.connections.borrow().get(&mail.to()).cloned()?;
        let mut connection = handle.borrow_mut();
        let goes_on = matches!(mail, Mail::Resume { .. });
        self.take_in(&mut connection, mail);
        if self.is_over_limit(&mut connection) {
            self.close_over_limit(&mut connection);
        }
        self.watch_soft_limit(&handle, &mut connection);
        self.arm(&handle, &mut connection);
        drop(connection);
        goes_on.then_some(handle)
    }

    /// Executes what a client sent while it waited.
    fn go_on(self: &Rc<Self>, handle: &Handle) {
        let mut connection = handle.borrow_mut();
        if !connection.carry.is_empty() && !connection.closing && !connection.waits {
            let mut scratch = self.scratch.borrow_mut();
            self.consume_carry(handle, &mut connection, &mut scratch.batch);
        }
    }
}
