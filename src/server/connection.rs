//! One connection: its unread input, its place in the protocol, its outbox.

use std::rc::Rc;

use super::outbox::Outbox;
use super::stream::Stream;
use crate::resp::Decoder;
use crate::session::ClientId;

/// What a reactor knows of a connection.
#[derive(Debug)]
pub struct Connection {
    pub id: ClientId,
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
    /// A task waits for room in the socket.
    pub awaits_room: bool,
    /// Already in the list of connections to flush at the end of this turn.
    pub in_turn: bool,
    /// Already in the list of connections that hold replies for the log.
    pub in_holders: bool,
}

impl Connection {
    /// A connection without any history.
    pub fn new(id: ClientId, stream: Rc<Stream>, authenticated: bool) -> Self {
        Self {
            id,
            stream,
            carry: Vec::new(),
            decoder: Decoder::default(),
            outbox: Outbox::default(),
            authenticated,
            waits: false,
            closing: false,
            awaits_room: false,
            in_turn: false,
            in_holders: false,
        }
    }
}
