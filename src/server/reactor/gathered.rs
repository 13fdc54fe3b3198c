//! Short inputs of a turn's connections wait here and are executed under one hold of the lock.
//!
//! Without pipelines each connection brings a request or two a turn. Taking the lock for each would cost about as much as
//! executing it, and each would wait for its own key's memory alone; together, the keys are looked at before the first is
//! executed. Replies leave at the end of the turn either way, so nobody waits longer for it.
//!
//! - Inputs are executed in the order of their arrival; a connection has at most one here, and it is executed before more is
//!   read from that connection.
//! - Mail between connections is in the order of execution: what a request sends to others is posted, and read by this
//!   thread, before the next input is executed.
//! - While a script does not end, what waits behind it is executed beside it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::requests::{REQUESTS_PER_LOCK, SENT_EARLY_MIN};
use super::{Handle, Reactor};
use crate::engine::Engine;
use crate::resp::Batch;
use crate::server::connection::Connection;
use crate::session::ClientId;

/// Inputs that are executed together at most; each is of at least one request.
const INPUTS_MAX: usize = REQUESTS_PER_LOCK;
/// An input of more requests, or of more bytes, is executed by itself at once.
const REQUESTS_MAX: usize = 4;
const INPUT_BYTES_MAX: usize = 2048;

/// Inputs whose places are used again and again.
#[derive(Default)]
pub(super) struct Gathered {
    inputs: RefCell<Vec<Place>>,
    count: Cell<usize>,
    /// The next to be executed.
    next: Cell<usize>,
}

#[derive(Default)]
struct Place {
    client: Option<ClientId>,
    handle: Cell<Option<Handle>>,
    bytes: Vec<u8>,
    batch: Batch,
}

impl Gathered {
    /// Keeps the requests that were found in `bytes`, and gives another list in exchange, if they are few and there is room.
    fn keep(&self, (handle, client): (&Handle, ClientId), bytes: &[u8], batch: &mut Batch) -> bool {
        if batch.is_empty() || batch.len() > REQUESTS_MAX || bytes.len() > INPUT_BYTES_MAX {
            return false;
        }
        let count = self.count.get();
        // While they are executed nothing joins them.
        let Ok(mut inputs) = self.inputs.try_borrow_mut() else { return false };
        if inputs.len() == count {
            inputs.push(Place::default());
        }
        let Some(place) = inputs.get_mut(count) else { return false };
        place.client = Some(client);
        place.handle.set(Some(Rc::clone(handle)));
        place.bytes.clear();
        place.bytes.extend_from_slice(bytes);
        std::mem::swap(&mut place.batch, batch);
        // It may have been that of a long pipeline.
        place.batch.keep_little();
        self.count.set(count + 1);
        true
    }

    fn is_full(&self) -> bool {
        self.count.get() >= INPUTS_MAX
    }

    /// Takes the next one that is to be executed.
    fn take<'a>(&self, inputs: &'a [Place]) -> Option<(Handle, &'a Place)> {
        let at = self.next.get();
        let input = inputs.get(at).filter(|_| at < self.count.get())?;
        self.next.set(at + 1);
        Some((input.handle.take()?, input))
    }
}

impl Reactor {
    /// Keeps what was read and decoded for the end of the turn. False when it is to be executed at once.
    pub(super) fn gather(
        &self,
        handle: &Handle,
        connection: &mut Connection,
        bytes: &[u8],
        batch: &mut Batch,
    ) -> bool {
        if !connection.takes_requests() || connection.feed.is_some() {
            return false;
        }
        connection.gathered = self.gathered.keep((handle, connection.id), bytes, batch);
        if connection.gathered {
            self.arm(handle, connection);
        }
        connection.gathered
    }

    /// Executes what was gathered, once there is as much as one hold of the lock may take.
    pub(super) fn execute_full_gathering(self: &Rc<Self>) {
        if self.gathered.is_full() {
            self.execute_gathered();
        }
    }

    /// Executes all that was gathered.
    pub(super) fn execute_gathered(self: &Rc<Self>) {
        if self.gathered.count.get() == 0 {
            return;
        }
        let inputs = self.gathered.inputs.borrow();
        while self.gathered.next.get() < self.gathered.count.get() {
            // One that was closed meanwhile is not served any more.
            self.deliver_mail();
            self.execute_some(&inputs);
        }
        self.gathered.count.set(0);
        self.gathered.next.set(0);
    }

    /// Executes under one hold of the lock what may share it.
    fn execute_some(self: &Rc<Self>, inputs: &[Place]) {
        let Some(mut engine) = self.shared.lock_unless_busy() else {
            if let Some((handle, input)) = self.gathered.take(inputs) {
                self.finish_apart(&handle, &mut handle.borrow_mut(), input, 0);
            }
            return;
        };
        engine.begin_batch();
        self.warm_gathered(&engine, inputs);
        while let Some((handle, input)) = self.gathered.take(inputs) {
            let mut connection = handle.borrow_mut();
            connection.buffers.note_query(input.bytes.len(), input.bytes.len());
            engine.sessions.turn_to(connection.seat);
            let requests = (input.bytes.as_slice(), &input.batch, 0..input.batch.len());
            let done = self.execute_locked(&mut engine, &mut connection, requests);
            connection.note_buffers();
            if connection.outbox.pending() >= SENT_EARLY_MIN {
                self.shared.unlock(engine);
                self.send_early(&mut connection);
                return self.finish_apart(&handle, &mut connection, input, done);
            }
            self.settle(&handle, &mut connection, input, done);
            if engine.is_awaited() {
                break;
            }
        }
        self.shared.unlock(engine);
    }

    /// Executes an input from request `first` on, not together with others.
    fn finish_apart(
        self: &Rc<Self>,
        handle: &Handle,
        connection: &mut Connection,
        input: &Place,
        first: usize,
    ) {
        let done = self.execute(connection, &input.bytes, (&input.batch, first));
        self.settle(handle, connection, input, done);
    }

    /// Has the memory that the inputs' keys need on its way before the first is executed, as if all clients had
    /// the database of the first.
    fn warm_gathered(&self, engine: &Engine, inputs: &[Place]) {
        let waiting = inputs.get(self.gathered.next.get()..self.gathered.count.get());
        let Some((client, waiting)) = waiting
            .filter(|waiting| waiting.len() > 1)
            .and_then(|waiting| Some((waiting.first()?.client?, waiting)))
        else {
            return;
        };
        let requests = waiting.iter().flat_map(|input| {
            (0..input.batch.len()).filter_map(|at| input.batch.request(at, &input.bytes))
        });
        engine.warm(client, requests);
    }

    /// Once `done` of an input's requests are executed: the others wait with their client.
    fn settle(
        self: &Rc<Self>,
        handle: &Handle,
        connection: &mut Connection,
        input: &Place,
        done: usize,
    ) {
        connection.gathered = false;
        if done < input.batch.len() && !connection.closing {
            let rest = input.bytes.get(input.batch.ends_at(done)..).unwrap_or_default();
            connection.carry.splice(..0, rest.iter().copied());
        }
        self.watch_soft_limit(handle, connection);
        self.arm(handle, connection);
    }

    /// Executes what waits behind a script that does not end. `sent` does what follows for each connection.
    pub(super) fn execute_behind_script(
        self: &Rc<Self>,
        engine: &mut Engine,
        sent: impl Fn(&Handle, &mut Connection),
    ) {
        let Ok(inputs) = self.gathered.inputs.try_borrow() else { return };
        while let Some((handle, input)) = self.gathered.take(&inputs) {
            // That of the script is none of them: it was taken before its script ran.
            let Ok(mut connection) = handle.try_borrow_mut() else { continue };
            let mut done = 0;
            self.take_own_mail(engine, &mut connection);
            while connection.takes_requests()
                && let Some(args) = input.batch.request(done, &input.bytes)
            {
                self.execute_one(engine, &mut connection, &args, &mut self.progress());
                done += 1;
            }
            self.settle(&handle, &mut connection, input, done);
            sent(&handle, &mut connection);
        }
    }
}
