//! The check itself, for whoever is about to run, queue or call a command.
//!
//! [`permit`] is what the dispatcher, EXEC, a waiter that is served and scripts call: it asks, and where the
//! answer is no it counts and notes the denial. [`Acl::check`] only asks (ACL DRYRUN).

use std::sync::Arc;

use super::log::Entry;
use super::selector::KeyCache;
use super::{Acl, shown};
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

/// A denial: why, and the argument that it is about (0: the command).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    pub reason: Reason,
    pub at: usize,
}

/// A denial with the name of the user, for texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub denied: Denied,
    pub user: Arc<str>,
    /// The full name of the command.
    pub command: String,
}

impl Refusal {
    /// What a client may know: `User x has no permissions to run the 'get' command`.
    pub fn text(&self) -> String {
        match self.denied.reason {
            Reason::Command => self.command_text(),
            Reason::Key => "No permissions to access a key".to_owned(),
            Reason::Auth | Reason::Channel => "No permissions to access a channel".to_owned(),
        }
    }

    /// With the key or channel, for who may see all rules anyway (ACL DRYRUN).
    pub fn verbose_text(&self, args: &Args) -> Vec<u8> {
        let what = match self.denied.reason {
            Reason::Command => return self.command_text().into_bytes(),
            Reason::Key => "key",
            Reason::Auth | Reason::Channel => "channel",
        };
        // Keys are any bytes.
        let mut text =
            format!("User {} has no permissions to access the '", self.user).into_bytes();
        text.extend_from_slice(args.at(self.denied.at));
        text.extend_from_slice(format!("' {what}").as_bytes());
        text
    }

    /// The error of a request.
    pub fn error(&self) -> CommandError {
        CommandError::owned(format!("NOPERM {}", self.text()))
    }

    /// The error of a queued command that was allowed when it was queued.
    pub fn error_at_exec(&self) -> CommandError {
        let reason = match self.denied.reason {
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

    fn command_text(&self) -> String {
        format!("User {} has no permissions to run the '{}' command", self.user, self.command)
    }
}

impl Acl {
    /// Whether this user may make this request. Nothing is counted or noted.
    pub fn check(&self, id: UserId, row: &Row, args: &Args) -> Result<(), Denied> {
        if self.is_unrestricted(id) {
            return Ok(());
        }
        let mut worst = Denied { reason: Reason::Command, at: 0 };
        let mut keys = KeyCache::default();
        for selector in self.user(id).map(super::User::selectors).unwrap_or_default() {
            match selector.check(row, args, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether this user may run the command with whatever key the data names (SORT's BY and GET).
    pub fn reads_all_keys(&self, id: UserId, row: &Row, args: &Args) -> bool {
        self.is_unrestricted(id)
            || self.user(id).is_some_and(|user| {
                user.selectors().iter().any(|selector| {
                    selector.reads_all_keys()
                        && selector.check(row, args, &mut KeyCache::default()).is_ok()
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
    let Err(denied) = server.acl.check(id, row, args) else { return Ok(()) };
    let name = server.acl.user(id).map(|user| user.name.clone()).unwrap_or_default();
    let object = match denied.reason {
        Reason::Command => row.full_name.as_bytes(),
        _ => args.at(denied.at),
    };
    note(server, sessions, client, (denied.reason, context), (object, &name), now);
    Err(Refusal { denied, user: shown(&name), command: row.full_name.clone() })
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
