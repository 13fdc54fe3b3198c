//! The context of a running command: all that a handler sees.

use std::time::Duration;

use super::CommandError;
use super::generic::Migration;
use super::state::ServerState;
use super::table::table;
use crate::acl::Place;
use crate::clock::UnixMillis;
use crate::keyspace::{Keyspace, WrongType};
use crate::resp::{Args, Reply};
use crate::rng::Rng;
use crate::session::{Client, ClientId, Sessions, UserId};
use crate::types::limits::Limits;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client,
    /// A queued command, run by EXEC: never waits.
    Transaction,
    /// A script: never waits.
    Script,
    /// The log, replayed at start: nothing is refused or logged.
    Log,
}

/// What a handler works with. The fields may be borrowed apart.
pub struct Ctx<'a> {
    pub ks: &'a mut Keyspace,
    /// The client's database.
    pub db: usize,
    /// The time, the same for the whole unit.
    pub now: UnixMillis,
    /// The same time in microseconds, as exactly as the clock has it.
    pub wall_us: i64,
    /// Monotonic time, for deadlines.
    pub monotonic: Duration,
    pub reply: &'a mut Reply,
    pub rng: &'a mut dyn Rng,
    pub sessions: &'a mut Sessions,
    pub client: ClientId,
    pub origin: Origin,
    pub server: &'a mut ServerState,
    /// The name of the running command as declared, for error texts.
    pub command: &'static str,
}

impl Ctx<'_> {
    /// Says that the command changed `key`: class and name are the keyspace event.
    pub fn changed(&mut self, key: &[u8], class: u32, name: &'static str) {
        self.ks.changed(self.db, key, class, name);
    }

    /// Says that `count` elements of `key` changed at once: save points count each, the rest is as with
    /// [`Self::changed`].
    pub fn changed_by(&mut self, key: &[u8], count: usize, class: u32, name: &'static str) {
        self.changed(key, class, name);
        self.ks.effects.dirty += (count as u64).saturating_sub(1);
    }

    /// Says that something about `key` changed that is part of a change said already: save points do
    /// not count it, as when a collection goes with its last element.
    pub fn changed_along(&mut self, key: &[u8], class: u32, name: &'static str) {
        self.changed(key, class, name);
        self.ks.effects.dirty -= 1;
    }

    /// Adds a record in canonical form to the log (of commands with `Propagate::Effect`).
    pub fn effect(&mut self, args: &[&[u8]]) {
        self.ks.effects.record(self.db, args);
    }

    /// The state of the client that asked.
    pub fn session(&mut self) -> Result<&mut Client, CommandError> {
        self.sessions.client_mut(self.client).ok_or(CommandError::text("ERR no such client"))
    }

    /// The thresholds of value encodings.
    pub fn limits(&self) -> &Limits {
        &self.server.limits
    }

    /// Whether the user may read keys that the request does not name (SORT's BY and GET).
    pub fn may_read_any_key(&self, args: &Args) -> bool {
        if self.origin == Origin::Log {
            return true;
        }
        let user = self.sessions.client(self.client).and_then(|client| client.user.as_ref());
        let id = user.map_or(UserId::DEFAULT, |user| user.id);
        self.server.acl.is_unrestricted(id)
            || table().find(args).is_ok_and(|row| {
                let place = Place { db: self.db, databases: self.ks.databases() };
                self.server.acl.reads_all_keys(id, (row, args), place)
            })
    }

    /// Whether the command may make its client wait.
    pub fn may_wait(&self) -> bool {
        self.origin == Origin::Client
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> Self {
        Self::WrongType
    }
}

/// Work that a handler leaves to the engine, because it needs files, threads or every subsystem.
/// The engine writes the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// SAVE
    Save,
    /// BGSAVE [SCHEDULE]
    BackgroundSave { schedule: bool },
    /// BGSAVE CANCEL
    CancelSave,
    /// BGREWRITEAOF
    RewriteLog,
    /// SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE]
    Shutdown { save: Option<bool>, now: bool, force: bool },
    /// INFO [section ...]
    Info { sections: Vec<String> },
    /// CONFIG SET name value ...
    ConfigSet { pairs: Vec<(Vec<u8>, Vec<u8>)> },
    /// CONFIG REWRITE; `all`: also what is as it is by default.
    ConfigRewrite { all: bool },
    /// ACL LOAD
    AclLoad,
    /// ACL SAVE
    AclSave,
    /// CONFIG RESETSTAT
    ResetStatistics,
    /// DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]
    DebugReload { flush: bool, save: bool, merge: bool },
    /// DEBUG LOADAOF
    DebugLoadLog,
    /// MIGRATE
    Migrate(Box<Migration>),
    /// DEBUG LOG
    DebugLog(String),
    /// DEBUG SLEEP
    DebugSleep(Duration),
    /// WAITAOF numlocal numreplicas timeout
    WaitLog { local: i64, replicas: i64, timeout_ms: u64 },
    /// WAIT numreplicas timeout, which has to wait perhaps.
    WaitReplicas { replicas: i64, timeout_ms: u64 },
    /// BACKUP START, SEAL, ABORT, CLEANUP
    Backup(crate::command::server::backup::BackupRequest),
    /// PSYNC, SYNC
    Synchronize { psync: bool },
    /// REPLCONF ACK
    Acknowledged,
    /// CLIENT UNBLOCK; its own reply is written.
    Unblock { id: ClientId, error: bool },
    /// EXEC, checked: run the queue.
    Exec,
    /// EVAL, EVALSHA, FCALL and the like, checked: run the script.
    Script(ScriptCall),
}

/// A script to run; the request has the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptCall {
    /// What argument 1 is.
    pub target: ScriptTarget,
    /// The form of the command that may not write.
    pub read_only: bool,
    /// How many of the arguments from the third on are keys.
    pub keys: usize,
}

/// What a command that runs a script names it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptTarget {
    Source,
    Digest,
    Function,
}
