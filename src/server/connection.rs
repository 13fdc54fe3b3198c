//! One connection: its unread input, its place in the protocol, its outbox.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::outbox::Outbox;
use super::stream::Stream;
use crate::resp::Decoder;
use crate::session::replica::Link;
use crate::session::{Buffers, ClientId};

/// What a reactor knows of a connection.
#[derive(Debug)]
pub struct Connection {
    pub id: ClientId,
    /// Where the engine finds the client without a search.
    pub seat: usize,
    pub stream: Rc<Stream>,
    /// Input that is not a whole request yet, or waits because the client is blocked.
    pub carry: Vec<u8>,
    pub decoder: Decoder,
    pub outbox: Outbox,
    /// The client said who it is: larger requests are allowed.
    pub authenticated: bool,
    /// The client waits (BLPOP, WAITAOF): its input stays unread.
    pub waits: bool,
    /// No more input is taken; closed once the outbox is empty.
    pub closing: bool,
    /// It is subscribed: the limit of its output is another.
    pub is_subscribed: bool,
    /// Bytes of requests that MULTI queued: they count as input.
    pub queued_bytes: usize,
    /// Since when its output has been over the soft limit.
    pub over_soft_since: Option<Duration>,
    /// A task looks at it again and again because of that.
    pub soft_limit_watched: bool,
    /// What CLIENT LIST tells of its buffers.
    pub buffers: Arc<Buffers>,
    /// A task waits for room in the socket.
    pub awaits_room: bool,
    /// It is a replica; once what was answered before is sent, its thread has the socket for writing.
    pub feed: Option<Arc<Link>>,
    pub feed_started: bool,
    /// Requests of it wait for the end of the turn.
    pub gathered: bool,
    /// Already in the list of connections to flush at the end of this turn.
    pub in_turn: bool,
    /// Already in the list of connections that hold replies for the log.
    pub in_holders: bool,
}

impl Connection {
    /// A connection without any history.
    pub fn new(
        (id, seat): (ClientId, usize),
        stream: Rc<Stream>,
        authenticated: bool,
        buffers: Arc<Buffers>,
    ) -> Self {
        Self {
            id,
            seat,
            stream,
            carry: Vec::new(),
            decoder: Decoder::default(),
            outbox: Outbox::default(),
            authenticated,
            waits: false,
            closing: false,
            is_subscribed: false,
            queued_bytes: 0,
            over_soft_since: None,
            soft_limit_watched: false,
            buffers,
            awaits_room: false,
            feed: None,
            feed_started: false,
            gathered: false,
            in_turn: false,
            in_holders: false,
        }
    }

    /// Whether requests of it may run now.
    pub fn takes_requests(&self) -> bool {
        !self.waits && !self.closing
    }

    /// Tells what its buffers hold.
    pub fn note_buffers(&self) {
        self.buffers.note_query(self.carry.len(), self.carry.capacity());
        if self.feed_started {
            // Its thread tells what waits there.
            return;
        }
        self.buffers.note_output(self.outbox.pending(), self.outbox.memory_bytes());
        self.buffers.note_holds(self.outbox.holds_any());
    }
}
