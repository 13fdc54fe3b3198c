//! What the server knows of each client: plain state, no sockets, no logic of commands.
//!
//! All of it lives behind the engine's lock, so CLIENT LIST, KILL, WATCH and waiting for keys are simply
//! reads and writes of these structures. The connection (socket, buffers) belongs to a reactor; the two
//! know each other by [`ClientId`].

pub mod client;
pub mod eviction_notice;
pub mod pubsub;
pub mod replica;
mod roster;
pub mod tracking;
pub mod user;
pub mod wait;

pub use client::{Buffers, Client, ClientFlags, Durability, ReplyMode, Transaction};
pub use eviction_notice::{EvictionNotice, NoticesUnderway};
pub use pubsub::{Message, Subscriptions, Topic};
pub use replica::Replicas;
pub use user::{UserHandle, UserId};
pub use wait::{Awaited, Wait, WaitKind, Waiters};

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::clock::UnixMillis;
use roster::Roster;

/// The unique, increasing number of a connection since the server started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// When bytes may leave (I2), and what becomes of them if the log fails before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The log position that must be reached.
    pub need: u64,
    /// It must be synced, not only written. Of mail this is filled in when it is posted.
    pub needs_sync: bool,
    /// The request changed something: if its log write fails the outcome is unknown.
    pub wrote: bool,
}

/// Something the engine asks the connection of a client to do.
#[derive(Debug)]
pub enum Mail {
    /// Send these bytes, which answer nothing (a message, an invalidation). Many clients may get the same. The
    /// notice says that an eviction is what they tell.
    Send { to: ClientId, bytes: Arc<[u8]>, release: Release, notice: Option<EvictionNotice> },
    /// The client waits no longer: send its reply and go on with its input.
    Resume { to: ClientId, bytes: Vec<u8>, release: Release },
    /// Close the connection, after sending what is there if `flush`.
    Close { to: ClientId, flush: bool },
}

impl Mail {
    /// When its bytes may leave.
    pub fn release_mut(&mut self) -> Option<&mut Release> {
        match self {
            Self::Send { release, .. } | Self::Resume { release, .. } => Some(release),
            Self::Close { .. } => None,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Send { bytes, .. } => bytes,
            Self::Resume { bytes, .. } => bytes,
            Self::Close { .. } => &[],
        }
    }

    /// The client it is for.
    pub fn to(&self) -> ClientId {
        match self {
            Self::Send { to, .. } | Self::Resume { to, .. } | Self::Close { to, .. } => *to,
        }
    }
}

/// What a change left of a watched key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    There,
    /// There, but its time is over.
    Expired,
    Gone,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Sessions {
    clients: Roster,
    last_id: u64,
    /// Keys that clients WATCH, with who watches them.
    watched: HashMap<(usize, Vec<u8>), Vec<ClientId>>,
    /// Clients that wait for keys or for the log.
    pub waiters: Waiters,
    /// Which client has read which key (client-side caching).
    pub tracked: tracking::TrackingTable,
    /// Requests held back by CLIENT PAUSE, in the order in which they came.
    pub postponed: Vec<(ClientId, crate::resp::OwnedArgs)>,
    pub subscriptions: Subscriptions,
    /// Clients that are fed what changes.
    pub replicas: Replicas,
    /// Clients that see everybody's commands.
    monitors: BTreeSet<ClientId>,
    /// What the running unit wants sent, in order.
    pub messages: Vec<Message>,
    /// The client whose request is being executed, and messages to it: they follow its reply.
    pub answering: Option<ClientId>,
    pub to_answered: Vec<Mail>,
    /// Mail for connections, delivered by the reactor that ran the engine at the end of its turn.
    pub outgoing: Vec<Mail>,
}

impl Sessions {
    /// Enters a new client and returns its id.
    pub fn add(&mut self, mut client: Client) -> ClientId {
        self.last_id += 1;
        let id = ClientId(self.last_id);
        client.id = id;
        self.clients.insert(Box::new(client));
        id
    }

    /// Forgets a client: its watches and waits too.
    pub fn remove(&mut self, id: ClientId) -> Option<Box<Client>> {
        self.let_go(id);
        self.clients.remove(id)
    }

    /// Ends all that a client waits for or hears.
    fn let_go(&mut self, id: ClientId) {
        self.unwatch(id);
        self.waiters.forget(id);
        self.stop_tracking(id);
        self.postponed.retain(|(waiting, _)| *waiting != id);
        self.stop_listening(id);
        self.replicas.remove(id);
    }

    /// Switches client-side caching off. What the client has read is forgotten when it changes.
    pub fn stop_tracking(&mut self, id: ClientId) {
        let Some(tracking) = self.clients.get_mut(id).and_then(|client| client.tracking.take())
        else {
            return;
        };
        self.tracked.clients -= 1;
        for prefix in tracking.prefixes().into_iter().flatten() {
            self.tracked.remove_prefix(prefix, id);
        }
    }

    /// Sends a message: at the end of the engine's turn, or behind the reply if its receiver is the client
    /// that is being answered.
    pub fn post(&mut self, mail: Mail) {
        if self.answering == Some(mail.to()) {
            self.to_answered.push(mail);
        } else {
            self.outgoing.push(mail);
        }
    }

    /// The mail that follows the reply of the client that is being answered. What is for another one, whose request is
    /// not over yet, stays.
    pub fn take_answered(&mut self, id: ClientId) -> Vec<Mail> {
        if self.to_answered.iter().all(|mail| mail.to() == id) {
            return std::mem::take(&mut self.to_answered);
        }
        let mail = std::mem::take(&mut self.to_answered).into_iter();
        let (own, others) = mail.partition(|mail| mail.to() == id);
        self.to_answered = others;
        own
    }

    /// Lets a client go on that waited, with its reply, unless it wants none.
    pub fn resume(
        &mut self,
        id: ClientId,
        bytes: Vec<u8>,
        release: Release,
        now: UnixMillis,
    ) -> Mail {
        let mut mail = Mail::Resume { to: id, bytes, release };
        if let Some(client) = self.clients.get_mut(id) {
            if client.reply_mode != ReplyMode::On
                && let Mail::Resume { bytes, .. } = &mut mail
            {
                bytes.clear();
            }
            client.request_ended(true);
            // Its time of idleness begins with the reply.
            client.last_active_at = now;
        }
        mail
    }

    /// Makes a client one that is fed. `None`: it is one already, or sees other things.
    pub fn make_replica(
        &mut self,
        id: ClientId,
        psync: bool,
        now: UnixMillis,
    ) -> Option<Arc<replica::Link>> {
        let client = self.clients.get_mut(id)?;
        if client.flags.replica || client.flags.monitor {
            return None;
        }
        client.flags.replica = true;
        Some(self.replicas.add(client, psync, now))
    }

    /// A client by its id.
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id)
    }

    /// A client by its id, to change.
    pub fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id)
    }

    /// Where a client sits, for [`Self::turn_to`].
    pub fn seat_of(&self, id: ClientId) -> Option<usize> {
        self.clients.seat_of(id)
    }

    /// The client in this seat is served next: it is found without a search. A seat that is another's by now costs a search.
    #[inline]
    pub fn turn_to(&self, seat: usize) {
        self.clients.turn_to(seat);
    }

    /// All clients in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Takes these users from their connections and closes those; the one that asked for it gets its
    /// reply first.
    pub fn disconnect_users(&mut self, users: &[UserId], asked_by: ClientId) {
        let of =
            |client: &Client| client.user.as_ref().is_some_and(|user| users.contains(&user.id));
        let victims: Vec<ClientId> =
            self.iter().filter(|client| of(client)).map(|client| client.id).collect();
        for id in victims {
            if let Some(client) = self.client_mut(id) {
                client.user = None;
            }
            self.disconnect(id, asked_by);
        }
    }

    /// Ends a client; the one that asked for it gets its reply first. Another one is served no more from
    /// here on, and nothing that it waited for goes to it, although its connection is closed later.
    pub fn disconnect(&mut self, id: ClientId, asked_by: ClientId) {
        if id != asked_by {
            self.let_go(id);
            if let Some(client) = self.client_mut(id) {
                client.flags.ended = true;
                client.blocked = false;
                client.waiting_bytes = 0;
            }
            self.outgoing.push(Mail::Close { to: id, flush: false });
        } else if let Some(client) = self.client_mut(id) {
            client.flags.close_after_reply = true;
        }
    }

    /// Makes `id` watch a key. `expired` tells that the key was there but its time was over: its
    /// removal later is then no change.
    pub fn watch(&mut self, id: ClientId, db: usize, key: &[u8], expired: bool) {
        let Some(client) = self.clients.get_mut(id) else { return };
        // Who watches the key is asked of the key: a client may watch very many.
        let watchers = self.watched.entry((db, key.to_vec())).or_default();
        if watchers.contains(&id) {
            return;
        }
        watchers.push(id);
        client.watched.push(client::Watch { db, key: key.to_vec(), expired });
    }

    /// Ends all watches of a client.
    pub fn unwatch(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        for watch in std::mem::take(&mut client.watched) {
            if let Some(watchers) = self.watched.get_mut(&(watch.db, watch.key.clone())) {
                watchers.retain(|watcher| *watcher != id);
                if watchers.is_empty() {
                    self.watched.remove(&(watch.db, watch.key));
                }
            }
        }
    }

    /// Whether anybody watches anything: the cheap question before each change is looked up.
    pub fn has_watches(&self) -> bool {
        !self.watched.is_empty()
    }

    /// How many different keys are watched.
    pub fn watched_key_count(&self) -> usize {
        self.watched.len()
    }

    /// Memory that clients hold: buffers, queues, names.
    pub fn memory_bytes(&self) -> usize {
        self.clients.values().map(|client| client.memory_bytes()).sum()
    }

    /// A key changed: the next EXEC of whoever watches it fails. Not when its time was over already when
    /// WATCH was called, and that it went is all that happened: for the watcher it was never there.
    pub fn key_changed(&mut self, db: usize, key: &[u8], now: KeyState) {
        let Some(watchers) = self.watched.get(&(db, key.to_vec())) else { return };
        for id in watchers {
            let Some(client) = self.clients.get_mut(*id) else { continue };
            // Nothing makes it whole again, and the list may be long.
            if client.watch_broken {
                continue;
            }
            let watch = client.watched.iter_mut().find(|watch| watch.db == db && watch.key == key);
            match (watch, now) {
                (Some(watch), KeyState::Gone) if watch.expired => watch.expired = false,
                (Some(watch), KeyState::Expired) if watch.expired => {}
                _ => client.watch_broken = true,
            }
        }
    }

    /// An expired key takes the place of one that was not there: for watchers that is no change.
    pub fn expired_key_came(&mut self, db: usize, key: &[u8]) {
        let Some(watchers) = self.watched.get(&(db, key.to_vec())) else { return };
        for id in watchers {
            let Some(client) = self.clients.get_mut(*id) else { continue };
            for watch in &mut client.watched {
                watch.expired |= watch.db == db && watch.key == key;
            }
        }
    }

    /// The keys watched in a database (for FLUSHDB and SWAPDB, which touch those that exist).
    pub fn watched_keys(&self, db: usize) -> Vec<Vec<u8>> {
        self.watched.keys().filter(|(at, _)| *at == db).map(|(_, key)| key.clone()).collect()
    }
}
