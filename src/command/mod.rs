//! The command table: what every command is, and the context it runs in.
//!
//! A command is declared in one place: a [`Command`] constant directly above its handler, in the file
//! of its family, and named in that file's `COMMANDS` list; `table` only joins the lists. Everything
//! else is derived from the declaration: lookup, arity and state checks, ACL categories, COMMAND's
//! replies, key extraction, statistics slots, the workload of the simulator.
//!
//! A handler sees a [`Ctx`] and its arguments, writes its reply into `ctx.reply`, and says what it
//! changed with [`Ctx::changed`]. What goes to the log follows from `propagate`. A handler that fails
//! returns a [`CommandError`], must have changed nothing, and must have written nothing to the reply.

pub mod acl;
pub mod args_tree;
pub mod bitmap;
pub mod cluster;
pub mod connection;
pub mod ctx;
pub mod error;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod help;
pub mod hyperloglog;
pub mod introspect;
pub mod keyspec;
pub mod list;
pub mod pubsub;
pub mod renamed;
pub mod replication;
pub mod scan_args;
pub mod scripting;
pub mod server;
pub mod set;
pub mod sort_part;
pub mod state;
pub mod store;
pub mod stream;
pub mod string;
pub mod table;
pub mod transactions;
pub mod zset;

pub use ctx::{Ctx, Task};
pub use error::CommandError;
pub use keyspec::{Access, KeySpec};

use crate::resp::Args;

/// What is done to a key: access, and notes as in [`KeySpec::notes`].
pub type KeyAccess = (Access, &'static [&'static str]);

/// A result of a handler.
pub type CommandResult = Result<(), CommandError>;

/// The declaration of one command or subcommand.
#[derive(Debug)]
pub struct Command {
    /// Upper case; of a subcommand the second word only.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least that many. Of a subcommand with both names.
    pub arity: i32,
    /// What it does and when it may run.
    pub flags: Flags,
    /// The family as COMMAND DOCS names it.
    pub group: Group,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Finds the keys where specs cannot: indices into the arguments.
    pub key_finder: Option<fn(&Args) -> Vec<usize>>,
    /// What a request does to the key at an argument, where the specification says `variable_flags`.
    pub key_access: Option<fn(&Args, usize) -> KeyAccess>,
    /// Its arguments in the one-line grammar of `args_tree`.
    pub args: &'static str,
    /// What is written to the log when it changed something.
    pub propagate: Propagate,
    /// History and prose for COMMAND DOCS.
    pub doc: Doc,
    /// ACL categories beyond those that follow from group and flags.
    pub categories: &'static [&'static str],
    /// COMMAND INFO's tips.
    pub tips: &'static [&'static str],
    /// What runs.
    pub handler: Handler,
    /// For a container: its subcommands.
    pub subcommands: &'static [Self],
}

impl Command {
    /// What a declaration leaves out: no keys, no tips, no extra categories, nothing to propagate.
    pub const BASE: Self = Self {
        name: "",
        arity: 1,
        flags: Flags::NONE,
        group: Group::Generic,
        keys: &[],
        key_finder: None,
        key_access: None,
        args: "",
        propagate: Propagate::Never,
        doc: Doc {
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            history: &[],
            deprecated: None,
        },
        categories: &[],
        tips: &[],
        handler: Handler::Container,
        subcommands: &[],
    };

    /// Whether `len` arguments (the name included) are a possible number.
    pub fn accepts(&self, len: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 { len == wanted } else { len >= wanted }
    }
}

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Replies at once.
    Plain(fn(&mut Ctx, &Args) -> CommandResult),
    /// May hand a task to the engine or make the client wait.
    Extended(fn(&mut Ctx, &Args) -> Result<Outcome, CommandError>),
    /// Has subcommands and does nothing itself.
    Container,
}

/// How an extended handler ended.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is written.
    Replied,
    /// The engine does the rest and writes the reply.
    Task(Task),
    /// The client waits for keys or the log; the reply comes later.
    Wait(crate::session::Wait),
}

/// What the log gets when a command changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagate {
    /// It never changes the keyspace.
    Never,
    /// The request itself: it does the same whenever it runs.
    AsSent,
    /// What the handler gave to `ctx.effect`: absolute times, chosen members, resolved ids.
    Effect,
}

/// Prose and history for COMMAND DOCS and the reference pages.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// The Redis (or Valkey) version that introduced it.
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Changes: version and text.
    pub history: &'static [(&'static str, &'static str)],
    /// Since when it is deprecated, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
}

/// A short [`Doc`] without history.
pub const fn doc(since: &'static str, complexity: &'static str, summary: &'static str) -> Doc {
    Doc { since, complexity, summary, history: &[], deprecated: None }
}

/// Families, as COMMAND DOCS names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    HyperLogLog,
    List,
    PubSub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bitmap => "bitmap",
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Geo => "geo",
            Self::Hash => "hash",
            Self::HyperLogLog => "hyperloglog",
            Self::List => "list",
            Self::PubSub => "pubsub",
            Self::Scripting => "scripting",
            Self::Server => "server",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// A set of command flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    pub const NONE: Self = Self(0);
    /// May change the keyspace.
    pub const WRITE: Self = Self(1);
    /// Reads the keyspace and never changes it.
    pub const READONLY: Self = Self(1 << 1);
    /// Refused when memory is above the limit.
    pub const DENYOOM: Self = Self(1 << 2);
    /// For operators.
    pub const ADMIN: Self = Self(1 << 3);
    pub const PUBSUB: Self = Self(1 << 4);
    /// Refused in scripts.
    pub const NOSCRIPT: Self = Self(1 << 5);
    /// May make the client wait.
    pub const BLOCKING: Self = Self(1 << 6);
    /// Allowed while the data set is being loaded.
    pub const LOADING: Self = Self(1 << 7);
    pub const STALE: Self = Self(1 << 8);
    pub const SKIP_MONITOR: Self = Self(1 << 9);
    pub const SKIP_SLOWLOG: Self = Self(1 << 10);
    pub const ASKING: Self = Self(1 << 11);
    pub const FAST: Self = Self(1 << 12);
    /// Allowed before AUTH.
    pub const NO_AUTH: Self = Self(1 << 13);
    pub const MAY_REPLICATE: Self = Self(1 << 14);
    pub const NO_MANDATORY_KEYS: Self = Self(1 << 15);
    pub const PROTECTED: Self = Self(1 << 16);
    pub const NO_ASYNC_LOADING: Self = Self(1 << 17);
    /// Refused inside MULTI.
    pub const NO_MULTI: Self = Self(1 << 18);
    /// Allowed while a script is running too long.
    pub const ALLOW_BUSY: Self = Self(1 << 19);
    pub const MODULE: Self = Self(1 << 20);
    /// Its reads of expired keys are not part of its own effect (SCAN, RANDOMKEY).
    pub const TOUCHES_ARBITRARY_KEYS: Self = Self(1 << 21);
    /// Its keys cannot be told from specs alone.
    pub const MOVABLE_KEYS: Self = Self(1 << 22);
    /// Reads or writes more than its named keys (KEYS, DBSIZE, FLUSHALL): its reply waits for every earlier write.
    pub const WHOLE_KEYSPACE: Self = Self(1 << 23);
    /// Known to Sentinel too; only COMMAND's ACL derivation cares.
    pub const SENTINEL: Self = Self(1 << 24);
    /// Only runs on behalf of Sentinel.
    pub const ONLY_SENTINEL: Self = Self(1 << 25);

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names COMMAND INFO shows, in its order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: &[(Flags, &str)] = &[
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::MODULE, "module"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::ASKING, "asking"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|&(_, name)| name)
    }
}
