//! Requests that reach the server while a script has been holding the engine for too long.
//!
//! The reactor whose thread runs the script looks after its own connections (`reactor::busy`); the
//! others cannot have the lock, so they leave their requests here and wait for the answer, which the
//! script's thread gives the next time its hook is called. Only commands that are allowed then do
//! something; the others are told -BUSY.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::{Engine, Executed};
use crate::resp::{Args, OwnedArgs, Reply};
use crate::session::ClientId;

/// How long an asker sleeps before it looks whether the script has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The requests that wait.
#[derive(Debug, Default)]
pub struct Desk {
    asked: Mutex<Vec<Ask>>,
}

#[derive(Debug)]
struct Ask {
    id: ClientId,
    args: OwnedArgs,
    place: Arc<Place>,
}

#[derive(Debug, Default)]
struct Place {
    answer: Mutex<Option<(Vec<u8>, Executed)>>,
    given: Condvar,
}

impl Desk {
    /// Asks for a request to be executed beside the script. `None`: the script has ended before.
    pub fn ask(
        &self,
        id: ClientId,
        args: &Args,
        is_busy: impl Fn() -> bool,
    ) -> Option<(Vec<u8>, Executed)> {
        let place = Arc::new(Place::default());
        let ask = Ask { id, args: args.to_owned_args(), place: Arc::clone(&place) };
        self.asked.lock().push(ask);
        let mut answer = place.answer.lock();
        loop {
            if let Some(answer) = answer.take() {
                return Some(answer);
            }
            if !is_busy() {
                let mut asked = self.asked.lock();
                let before = asked.len();
                asked.retain(|ask| !Arc::ptr_eq(&ask.place, &place));
                if asked.len() < before {
                    return None;
                }
                // It was taken before the script ended: the answer is on its way.
            }
            place.given.wait_for(&mut answer, LOOK_EVERY);
        }
    }

    /// Answers all that wait.
    pub fn answer(&self, engine: &mut Engine) {
        let asked = std::mem::take(&mut *self.asked.lock());
        for ask in asked {
            let mut reply = Reply::new(false);
            let executed = engine.execute(ask.id, &ask.args.as_args(), &mut reply);
            let messages = engine.sessions.take_answered(ask.id);
            engine.sessions.outgoing.extend(messages);
            *ask.place.answer.lock() = Some((reply.buffer, executed));
            ask.place.given.notify_one();
        }
    }
}
