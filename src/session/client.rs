//! One client: identity, protocol, selected database, transaction, flags, accounting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use super::ClientId;
use crate::clock::UnixMillis;
use crate::resp::OwnedArgs;

/// The state of one client.
#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    /// Peer and own address, as CLIENT LIST shows them.
    pub address: String,
    pub local_address: String,
    /// The reactor that owns the connection.
    pub reactor: usize,
    /// File descriptor, as CLIENT LIST shows it; -1 for none.
    pub fd: i32,
    pub name: Vec<u8>,
    pub library_name: Vec<u8>,
    pub library_version: Vec<u8>,
    /// The ACL user; `None` until authenticated, and for what is no connection.
    pub user: Option<super::UserHandle>,
    pub db: usize,
    pub resp3: bool,
    pub flags: ClientFlags,
    pub reply_mode: ReplyMode,
    pub durability: Durability,
    /// Client-side caching, while it is on.
    pub tracking: Option<Box<super::tracking::Tracking>>,
    /// The transaction that MULTI opened.
    pub transaction: Option<Transaction>,
    pub watched: Vec<Watch>,
    /// A watched key changed.
    pub watch_broken: bool,
    /// The log position behind this client's newest write, for WAITAOF.
    pub last_write: u64,
    /// The same in the stream that replicas get, for WAIT.
    pub last_fed: u64,
    /// What it said of itself as a replica.
    pub announced: Option<Box<super::replica::Announced>>,
    /// Whether the client waits for keys or the log.
    pub blocked: bool,
    /// Whether its request waits for the end of a pause.
    pub postponed: bool,
    /// Bytes of the arguments with which it waits (`argv-mem`).
    pub waiting_bytes: usize,
    /// Wall clock when it connected and when it last sent something.
    pub connected_at: UnixMillis,
    pub last_active_at: UnixMillis,
    /// Name of the last command that was asked for, allowed or not, and of the subcommand. `NULL`: there is
    /// none. Not what EXEC or a script ran.
    pub last_command: &'static str,
    pub last_subcommand: &'static str,
    /// Channel and pattern subscriptions (RESP2 allows few commands while there are any).
    pub subscriptions: usize,
    pub pattern_subscriptions: usize,
    pub shard_subscriptions: usize,
    /// Memory that its subscriptions take.
    pub subscription_bytes: usize,
    /// Bytes held by the connection, kept up to date by its reactor.
    pub buffers: Arc<Buffers>,
    /// Totals.
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub commands: u64,
}

/// What the buffers of a connection hold, in bytes. The reactor that owns them writes these figures without
/// the engine's lock, so that a client which does not read is seen as it is.
#[derive(Debug, Default)]
pub struct Buffers {
    query: AtomicUsize,
    query_memory: AtomicUsize,
    output: AtomicUsize,
    output_memory: AtomicUsize,
    moved_at: AtomicI64,
    holds: AtomicBool,
}

impl Buffers {
    /// Notes that bytes came in or went out while no request of the client was executed: a part of one, or what is left
    /// of a reply.
    pub fn note_moved(&self, now: UnixMillis) {
        self.moved_at.store(now, Ordering::Relaxed);
    }

    /// Notes whether there are replies that wait for the log.
    pub fn note_holds(&self, holds: bool) {
        self.holds.store(holds, Ordering::Relaxed);
    }

    /// Whether there are replies that wait for the log.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    /// Notes the unread input: its bytes and the memory it takes.
    pub fn note_query(&self, bytes: usize, memory: usize) {
        self.query.store(bytes, Ordering::Relaxed);
        self.query_memory.store(memory, Ordering::Relaxed);
    }

    /// Notes the output that is not sent yet: its bytes and the memory it takes.
    pub fn note_output(&self, bytes: usize, memory: usize) {
        self.output.store(bytes, Ordering::Relaxed);
        self.output_memory.store(memory, Ordering::Relaxed);
    }

    /// Bytes of input that are not a whole request yet, or wait.
    pub fn query(&self) -> usize {
        self.query.load(Ordering::Relaxed)
    }

    /// Memory of the input.
    pub fn query_memory(&self) -> usize {
        self.query_memory.load(Ordering::Relaxed)
    }

    /// Bytes of output that are not sent.
    pub fn output(&self) -> usize {
        self.output.load(Ordering::Relaxed)
    }

    /// Memory of the output.
    pub fn output_memory(&self) -> usize {
        self.output_memory.load(Ordering::Relaxed)
    }
}

/// A watched key.
#[derive(Clone, Debug)]
pub struct Watch {
    pub db: usize,
    pub key: Vec<u8>,
    /// The key had expired already when WATCH was called.
    pub expired: bool,
}

/// Queued commands between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    pub queue: Vec<OwnedArgs>,
    /// Memory of the queued requests.
    pub bytes: usize,
    /// A command could not be queued: EXEC refuses.
    pub failed: bool,
    /// A queued command may write.
    pub writes: bool,
    /// A queued command may need memory.
    pub denied_when_full: bool,
    /// The database that the newest queued SELECT names.
    pub selected: Option<usize>,
}

/// On-off properties of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches of the protocol")]
pub struct ClientFlags {
    pub no_evict: bool,
    pub no_touch: bool,
    pub unix_socket: bool,
    /// Reads everybody's commands (MONITOR).
    pub monitor: bool,
    pub readonly: bool,
    /// It can go to another server when told to (CLIENT CAPA REDIRECT).
    pub follows_redirects: bool,
    /// It copies another server's data to this one (CLIENT IMPORT-SOURCE): with `import-mode` it sees keys
    /// whose time is over.
    pub import_source: bool,
    /// It is fed what changes (PSYNC, SYNC).
    pub replica: bool,
    /// To be closed once its output is sent.
    pub close_after_reply: bool,
    /// Ended by others (CLIENT KILL, eviction): nothing of it runs any more, and nobody sees it, although
    /// its connection may not be closed yet.
    pub ended: bool,
    /// CLIENT PAUSE, UNPAUSE and the like come from scripts and the log too: no socket behind.
    pub internal: bool,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next command's reply is not sent.
    SkipNext,
    /// This command's reply is not sent.
    Skip,
}

/// What a watched key takes besides its name, which is there twice: here and in the table of who watches it.
const WATCH_BYTES: usize = size_of::<Watch>() + 112;

/// What a reply to this client means (P2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Whatever `appendfsync` says.
    #[default]
    Default,
    Always,
    Everysec,
    No,
}

impl Durability {
    /// The words of `CLIENT DURABILITY` and `user-durability`.
    pub const WORDS: [(&str, Self); 4] = [
        ("always", Self::Always),
        ("everysec", Self::Everysec),
        ("no", Self::No),
        ("default", Self::Default),
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }

    /// What a word means, in any case of letters.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| *value)
    }
}

impl Client {
    /// A request was answered, or would have been: what holds for one request ends. `uses_caching`: it is one for which
    /// CLIENT CACHING was said.
    pub fn request_ended(&mut self, uses_caching: bool) {
        // That holds for one command or one transaction.
        if self.transaction.is_none()
            && uses_caching
            && let Some(tracking) = self.tracking.as_mut()
        {
            tracking.caching = false;
        }
        self.reply_mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode => mode,
        };
    }

    /// A client that has just connected.
    pub fn new(address: String, local_address: String, now: UnixMillis) -> Self {
        Self {
            id: ClientId(0),
            address,
            local_address,
            reactor: 0,
            fd: -1,
            name: Vec::new(),
            library_name: Vec::new(),
            library_version: Vec::new(),
            user: None,
            db: 0,
            resp3: false,
            flags: ClientFlags::default(),
            reply_mode: ReplyMode::On,
            durability: Durability::Default,
            tracking: None,
            transaction: None,
            watched: Vec::new(),
            watch_broken: false,
            last_write: 0,
            last_fed: 0,
            announced: None,
            blocked: false,
            waiting_bytes: 0,
            connected_at: now,
            postponed: false,
            last_active_at: now,
            last_command: "NULL",
            last_subcommand: "",
            subscriptions: 0,
            pattern_subscriptions: 0,
            shard_subscriptions: 0,
            subscription_bytes: 0,
            buffers: Arc::default(),
            input_bytes: 0,
            output_bytes: 0,
            commands: 0,
        }
    }

    /// Seconds since it connected, and since it last sent something.
    pub fn age_and_idle(&self, now: UnixMillis) -> (u64, u64) {
        let seconds = |since: UnixMillis| {
            Duration::from_millis(now.saturating_sub(since).max(0).unsigned_abs()).as_secs()
        };
        let active = self.last_active_at.max(self.buffers.moved_at.load(Ordering::Relaxed));
        (seconds(self.connected_at), seconds(active))
    }

    /// The database in which the next request runs, at once or when EXEC comes to it. A transaction that can
    /// only fail selects nothing.
    pub fn db_of_next(&self) -> usize {
        let transaction = self.transaction.as_ref().filter(|transaction| !transaction.failed);
        transaction.and_then(|transaction| transaction.selected).unwrap_or(self.db)
    }

    /// Bytes of the requests that MULTI queued.
    pub fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.bytes)
    }

    /// Memory that the client holds.
    pub fn memory_bytes(&self) -> usize {
        let queued = self.queued_bytes();
        let watched =
            self.watched.iter().map(|watch| WATCH_BYTES + 2 * watch.key.capacity()).sum::<usize>();
        let texts = self.address.capacity() + self.local_address.capacity() + self.name.capacity();
        let tracking = self.tracking.as_ref().map_or(0, |tracking| tracking.prefix_bytes);
        size_of::<Self>()
            + tracking
            + queued
            + watched
            + self.waiting_bytes
            + texts
            + self.subscription_bytes
            + self.buffers.query_memory()
            + self.buffers.output_memory()
    }

    /// Whether it is subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscriptions + self.pattern_subscriptions + self.shard_subscriptions > 0
    }

    /// Whether it gets messages that it did not ask for just now.
    pub fn hears_messages(&self) -> bool {
        self.is_subscribed() || self.flags.monitor || self.tracking.is_some()
    }

    /// Whether RESP2's restricted mode holds: only (P)(S)SUBSCRIBE and a few others are allowed.
    pub fn in_pubsub_mode(&self) -> bool {
        !self.resp3 && self.is_subscribed()
    }
}
