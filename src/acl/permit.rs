//! The check itself, for whoever is about to run, queue or call a command.
//!
//! [`permit`] is what the dispatcher, EXEC, a waiter that is served and scripts call: it asks, and where the
//! answer is no it counts and notes the denial. [`Acl::check`] only asks (ACL DRYRUN).

use super::Acl;
use super::databases::Place;
use super::log::Entry;
use super::selector::KeyCache;
use crate::clock::UnixMillis;
use crate::command::CommandError;
use crate::command::connection::client_list;
use crate::command::state::ServerState;
use crate::command::table::Row;
use crate::resp::Args;
use crate::session::{ClientId, Sessions, UserId};

/// What was denied. In the order of weight: of several denials the last is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A database, which is asked for before anything else.
    Database,
    Command,
    Key,
    /// Wrong name or password.
    Auth,
    Channel,
}

impl Reason {
    /// The name in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Command => "command",
            Self::Key => "key",
            Self::Auth => "auth",
            Self::Channel => "channel",
        }
    }
}

/// Where it was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A request of a client.
    TopLevel,
    /// Inside MULTI: while it is queued or when EXEC runs it.
    Multi,
    /// A script or function.
    Script,
}

impl Context {
    /// The name in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
        }
    }
}

/// A denial: why, and the argument that it is about (0: the command, or the selected database).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    pub reason: Reason,
    pub at: usize,
}

/// A denial with the name of the user, for texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub denied: Denied,
    pub user: Vec<u8>,
    /// The full name of the command.
    pub command: String,
}

impl Refusal {
    /// What a client may know: `User x has no permissions to run the 'get' command`.
    pub fn text(&self) -> Vec<u8> {
        let text: &[u8] = match self.denied.reason {
            Reason::Command => return self.command_text(),
            Reason::Database => b"No permissions to access database",
            Reason::Key => b"No permissions to access a key",
            Reason::Auth | Reason::Channel => b"No permissions to access a channel",
        };
        text.to_vec()
    }

    /// With the key, channel or database, for who may see all rules anyway (ACL DRYRUN).
    pub fn verbose_text(&self, args: &Args) -> Vec<u8> {
        let (before, after): (&[u8], &[u8]) = match self.denied.reason {
            Reason::Command => return self.command_text(),
            // Of the selected one the command is told, as it was sent.
            Reason::Database => (b"database ", b""),
            Reason::Key => (b"the '", b"' key"),
            Reason::Auth | Reason::Channel => (b"the '", b"' channel"),
        };
        let object = args.at(self.denied.at);
        [b"User ", &*self.user, b" has no permissions to access ", before, object, after].concat()
    }

    /// The error of a request.
    pub fn error(&self) -> CommandError {
        CommandError::bytes([b"NOPERM ".as_slice(), &self.text()].concat())
    }

    /// The error of a queued command that was allowed when it was queued.
    pub fn error_at_exec(&self) -> CommandError {
        let reason = match self.denied.reason {
            Reason::Database => "no permission",
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Auth | Reason::Channel => {
                "no permission to access one of the channels used as arguments"
            }
        };
        CommandError::owned(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the \
             EXEC call. This command is no longer allowed for the following reason: {reason}"
        ))
    }

    fn command_text(&self) -> Vec<u8> {
        let command = self.command.as_bytes();
        [b"User ", &*self.user, b" has no permissions to run the '", command, b"' command"].concat()
    }
}

impl Acl {
    /// Whether this user may make this request. Nothing is counted or noted.
    pub fn check(&self, id: UserId, request: (&Row, &Args), place: Place) -> Result<(), Denied> {
        if self.is_unrestricted(id) {
            return Ok(());
        }
        let mut worst = Denied { reason: Reason::Database, at: 0 };
        let mut keys = KeyCache::default();
        for selector in self.user(id).map(super::User::selectors).unwrap_or_default() {
            match selector.check(request, place, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether this user may run the command with whatever key the data names (SORT's BY and GET).
    pub fn reads_all_keys(&self, id: UserId, request: (&Row, &Args), place: Place) -> bool {
        self.is_unrestricted(id)
            || self.user(id).is_some_and(|user| {
                user.selectors().iter().any(|selector| {
                    selector.reads_all_keys()
                        && selector.check(request, place, &mut KeyCache::default()).is_ok()
                })
            })
    }

    /// Whether this user may use a channel; `pattern`: whether it may listen to this very pattern.
    pub fn allows_channel(&self, id: UserId, channel: &[u8], pattern: bool) -> bool {
        self.is_unrestricted(id)
            || self.user(id).is_some_and(|user| {
                user.selectors().iter().any(|selector| selector.allows_channel(channel, pattern))
            })
    }
}

/// Whether the client may make this request. A denial is counted and noted in the ACL log.
pub fn permit(
    server: &mut ServerState,
    sessions: &mut Sessions,
    client: ClientId,
    (row, args): (&'static Row, &Args),
    context: Context,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let Some(session) = sessions.client_mut(client) else { return Ok(()) };
    let id = session.user.as_ref().map_or(UserId::DEFAULT, |user| user.id);
    if server.acl.is_unrestricted(id) {
        return Ok(());
    }
    let place = Place { db: session.db_of_next(), databases: server.config.databases as usize };
    let Err(denied) = server.acl.check(id, (row, args), place) else { return Ok(()) };
    let name = server.acl.user(id).map(|user| user.name.clone()).unwrap_or_default();
    let object = match denied.reason {
        Reason::Command => row.full_name.as_bytes(),
        Reason::Database if denied.at == 0 && context != Context::Script => {
            row.full_name.as_bytes()
        }
        _ => args.at(denied.at),
    };
    note(server, sessions, client, (denied.reason, context), (object, &name), now);
    Err(Refusal { denied, user: name, command: row.full_name.clone() })
}

/// Counts a denial and notes it: what (a command, key, channel; for AUTH the command used), and as whom.
pub fn note(
    server: &mut ServerState,
    sessions: &Sessions,
    client: ClientId,
    (reason, context): (Reason, Context),
    (object, username): (&[u8], &[u8]),
    now: UnixMillis,
) {
    let denied = &mut server.acl.denied;
    *match reason {
        Reason::Database => &mut denied.database,
        Reason::Command => &mut denied.command,
        Reason::Key => &mut denied.key,
        Reason::Auth => &mut denied.auth,
        Reason::Channel => &mut denied.channel,
    } += 1;
    let client = sessions.client(client);
    let entry = Entry {
        id: 0,
        count: 1,
        reason,
        context,
        object: object.to_vec(),
        username: username.to_vec(),
        client: client.map(|client| client_list::describe(client, now, 0)).unwrap_or_default(),
        created_at: now,
        updated_at: now,
    };
    server.acl.log.note(entry, server.config.acllog_max_len);
}
