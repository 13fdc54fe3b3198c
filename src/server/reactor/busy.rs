//! What a reactor does while a script that it runs does not end: its hook calls [`serve`].
//!
//! The runtime stands still meanwhile, so sockets are read and written here directly, without waiting;
//! the runtime finds its readiness stale later and asks again. The engine is the script's to lend:
//! [`Engine::execute`] keeps what is done here apart from the script's unit.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Handle, Reactor};
use crate::engine::Engine;
use crate::resp::decode::{DecodeLimits, ProtocolError};
use crate::resp::{Batch, Decoder};
use crate::server::connection::Connection;

/// Least time between two looks at the sockets.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    static HERE: RefCell<Weak<Reactor>> = const { RefCell::new(Weak::new()) };
}

/// Serves the calling thread's connections, and the other reactors' requests.
pub(in crate::server) fn serve(engine: &mut Engine) {
    if let Some(reactor) = HERE.with_borrow(Weak::upgrade) {
        reactor.serve_beside_script(engine);
    }
}

impl Reactor {
    /// Makes this the reactor of the calling thread.
    pub(super) fn settle_here(self: &Rc<Self>) {
        HERE.set(Rc::downgrade(self));
    }

    fn serve_beside_script(self: &Rc<Self>, engine: &mut Engine) {
        self.shared.busy_reactor.store(self.index, Ordering::Release);
        self.shared.desk.answer(engine);
        let now = engine.clock.monotonic();
        if now.saturating_sub(self.looked_at.get()) < LOOK_EVERY {
            return;
        }
        self.looked_at.set(now);
        for accepted in self.shared.accept_now() {
            self.accept_with(engine, accepted);
        }
        for accepted in self.shared.take_arrivals(self.index) {
            self.accept_with(engine, accepted);
        }
        self.execute_behind_script(engine, |handle, own| self.send_now(handle, own));
        let handles: Vec<Handle> = self.connections.borrow().values().cloned().collect();
        for handle in handles {
            // The connection that runs the script is taken.
            if let Ok(mut connection) = handle.try_borrow_mut() {
                self.serve_one(engine, &handle, &mut connection);
            }
        }
    }

    fn serve_one(self: &Rc<Self>, engine: &mut Engine, handle: &Handle, own: &mut Connection) {
        let mut buffer = [0u8; READ_BYTES];
        if !own.takes_requests() {
            return;
        }
        match own.stream.read_now(&mut buffer) {
            // The end of the input, or an error: the runtime will see it, too.
            Ok(0) | Err(_) => return,
            Ok(count) => own.carry.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
        let mut carry = std::mem::take(&mut own.carry);
        let mut outcome = self.serve_carry(engine, own, &mut carry);
        let client = engine.sessions.client(own.id);
        let known = client.is_some_and(|client| client.user.is_some());
        if known && outcome.as_ref().is_err_and(ProtocolError::is_of_strangers) {
            // A request before this one said who the client is: it is judged by that.
            own.authenticated = true;
            own.decoder = Decoder::default();
            outcome = self.serve_carry(engine, own, &mut carry);
        }
        if outcome.is_err() && !own.takes_requests() {
            // It waits now: what is wrong is looked at when it goes on.
            own.decoder = Decoder::default();
        } else if let Err(error) = outcome {
            own.outbox.replies.buffer.extend_from_slice(format!("-ERR {error}\r\n").as_bytes());
            own.closing = true;
        }
        own.carry = carry;
        self.send_now(handle, own);
    }

    /// Executes what is complete in `carry`, and takes it out.
    fn serve_carry(
        self: &Rc<Self>,
        engine: &mut Engine,
        own: &mut Connection,
        carry: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let limits = DecodeLimits {
            bulk_bytes_max: self.shared.bulk_bytes_max.load(Ordering::Relaxed).cast_signed(),
            authenticated: own.authenticated,
        };
        let mut batch = Batch::default();
        let (used, outcome) = own.decoder.decode(carry, limits, &mut batch);
        self.take_own_mail(engine, own);
        let mut progress = self.progress();
        for index in 0..batch.len() {
            let Some(args) = batch.request(index, carry) else { break };
            if own.takes_requests() {
                self.execute_one(engine, own, &args, &mut progress);
            }
        }
        carry.drain(..used.min(carry.len()));
        outcome
    }

    /// Sends what may be sent; the end of the turn sends the rest.
    fn send_now(self: &Rc<Self>, handle: &Handle, own: &mut Connection) {
        let progress = self.progress();
        let stream = &own.stream;
        while let Some(result) = own.outbox.send(progress, |pieces| stream.write_now(pieces)) {
            match result {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    stream.shut_down();
                    return;
                }
            }
        }
        self.arm(handle, own);
    }
}
