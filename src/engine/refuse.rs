//! Why a request is refused before it runs, whatever the command.
//!
//! The checks come in Redis' order, because clients and test suites see which error wins.

use super::Engine;
use super::transaction::{demands, runs_at_once};
use crate::acl::Context;
use crate::acl::permit::{self, Refusal};
use crate::aof::log::LogState;
use crate::command::table::Row;
use crate::command::{CommandError, Flags};
use crate::resp::Args;
use crate::session::{Client, ClientId};

/// Commands of RESP2's restricted mode while subscribed.
const ALLOWED_WHILE_SUBSCRIBED: &[&str] = &[
    "PING",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SSUBSCRIBE",
    "SUNSUBSCRIBE",
    "QUIT",
    "RESET",
];

/// Whether a command is refused while memory is above `maxmemory` and nothing may go: one that may need
/// more, and EXEC with such a command queued.
fn needs_memory(client: &Client, row: &Row) -> bool {
    let queued = || client.transaction.as_ref().is_some_and(|queued| queued.denied_when_full);
    row.command.flags.has(Flags::DENYOOM) || (row.command.name == "EXEC" && queued())
}

impl Engine {
    /// All refusals that do not depend on the command's own logic, in Redis' order.
    pub(super) fn check(
        &mut self,
        id: ClientId,
        row: &'static Row,
        args: &Args,
    ) -> Result<(), CommandError> {
        let flags = row.command.flags;
        if flags.has(Flags::PROTECTED) {
            self.permit_protected(id, row)?;
        }
        // What runs then only reads: writes are refused or wait.
        self.ks.expiry_waits = !self.log_is_ready() || self.is_paused();
        let Some(client) = self.sessions.client(id) else { return Ok(()) };
        if client.user.is_none() && !flags.has(Flags::NO_AUTH) && self.server.acl.needs_auth() {
            return Err(CommandError::text("NOAUTH Authentication required."));
        }
        // MULTI and WATCH have errors of their own.
        let own_error = runs_at_once(row);
        if client.transaction.is_some() && flags.has(Flags::NO_MULTI) && !own_error {
            return Err(CommandError::text("ERR Command not allowed inside a transaction"));
        }
        let context = if client.transaction.is_some() { Context::Multi } else { Context::TopLevel };
        self.permit(id, row, args, context).map_err(|refusal| refusal.error())?;
        let out_of_memory = self.server.eviction.out_of_memory;
        let min_replicas = self.server.config.min_replicas_to_write;
        // A script is looked at only where it matters what it is to do.
        let matters = out_of_memory || min_replicas > 0 || self.write_refusal().is_some();
        let stated = if matters { self.stated_flags(row, args) } else { None };
        let Some(client) = self.sessions.client(id) else { return Ok(()) };
        let writes = flags.has(Flags::WRITE)
            || (row.command.name == "EXEC"
                && client.transaction.as_ref().is_some_and(|transaction| transaction.writes));
        let subscribed = client.in_pubsub_mode();
        let (writes, grows) = match stated {
            Some(stated) => demands(stated),
            None => (writes, needs_memory(client, row)),
        };
        if out_of_memory && grows {
            return Err(CommandError::OutOfMemory);
        }
        if (writes || row.command.name == "PING")
            && let Some(cause) = self.write_refusal()
        {
            return Err(cause);
        }
        if writes {
            self.check_replicas()?;
        }
        if subscribed && !ALLOWED_WHILE_SUBSCRIBED.contains(&row.command.name) {
            return Err(CommandError::owned(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                row.full_name
            )));
        }
        let replica = client.flags.monitor || client.flags.replica;
        if self.server.loading.is_some() && !flags.has(Flags::LOADING) {
            return Err(CommandError::text("LOADING Redis is loading the dataset in memory"));
        }
        // Redis' monitors are a kind of replica.
        let touches_keys = writes || flags.has(Flags::READONLY) || flags.has(Flags::MAY_REPLICATE);
        if replica && touches_keys {
            return Err(CommandError::text("ERR Replica can't interact with the keyspace"));
        }
        if let Some(running) = &self.server.running_script
            && !flags.has(Flags::ALLOW_BUSY)
        {
            return Err(running.busy_error());
        }
        Ok(())
    }

    /// Whether the client may make this request (see `acl::permit`).
    pub(super) fn permit(
        &mut self,
        id: ClientId,
        row: &'static Row,
        args: &Args,
        context: Context,
    ) -> Result<(), Refusal> {
        let now = self.ks.now;
        permit::permit(&mut self.server, &mut self.sessions, id, (row, args), context, now)
    }

    /// Whether there is no log, or it takes records.
    pub(super) fn log_is_ready(&self) -> bool {
        self.log.as_ref().is_none_or(|log| log.state() == LogState::Ready)
    }

    /// Why writes are refused at the moment, if they are.
    pub(super) fn write_refusal(&self) -> Option<CommandError> {
        let persistence = &self.server.persistence;
        let unwritable = self.log.as_ref().filter(|log| log.state() != LogState::Ready);
        if let Some(log) = unwritable {
            // The state comes first, its report by the log's driver a moment later.
            let cause = persistence.log_error.clone();
            let cause = cause.or_else(|| Some(log.cause()?.to_string())).unwrap_or_default();
            return Some(CommandError::owned(format!(
                "MISCONF Errors writing to the AOF file: {cause}"
            )));
        }
        if let (Some(_), Some(cause)) = (&self.log, &persistence.log_error) {
            let text = format!("MISCONF Errors writing to the AOF file: {cause}");
            return Some(CommandError::owned(text));
        }
        let config = &self.server.config;
        let refuse = config.stop_writes_on_bgsave_error
            && !config.save.is_empty()
            && !persistence.last_save_ok;
        refuse.then(|| {
            CommandError::text(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
                 persist to disk. Commands that may modify the data set are disabled, because this \
                 instance is configured to report errors during writes if RDB snapshotting fails \
                 (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
                 about the RDB error.",
            )
        })
    }
}
