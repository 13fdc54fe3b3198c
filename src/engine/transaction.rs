//! MULTI and EXEC: requests are queued, and run as one unit.

use super::Engine;
use crate::acl::{Context, databases};
use crate::command::ctx::{Origin, Task};
use crate::command::table::{Row, table};
use crate::command::{Flags, Outcome};
use crate::resp::{Args, OwnedArgs, Reply};
use crate::scripting::ScriptFlags;
use crate::session::ClientId;

/// Commands that run at once inside MULTI instead of being queued.
const NOT_QUEUED: &[&str] = &["EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET"];

/// Whether it is one of them; LATENCY RESET is not.
pub(super) fn runs_at_once(row: &Row) -> bool {
    row.container.is_none() && NOT_QUEUED.contains(&row.command.name)
}

/// Whether a script that says this of itself may write, and may need more memory.
pub(super) fn demands(stated: ScriptFlags) -> (bool, bool) {
    let writes = !stated.has(ScriptFlags::NO_WRITES);
    (writes, writes && !stated.has(ScriptFlags::ALLOW_OOM))
}

impl Engine {
    /// Forgets a transaction and what it watched.
    pub(super) fn end_transaction(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.client_mut(id) {
            client.transaction = None;
            client.watch_broken = false;
        }
        self.sessions.unwatch(id);
    }

    /// Queues the request if a transaction is open.
    pub(super) fn queue(&mut self, id: ClientId, row: &Row, args: &Args) -> bool {
        if self.sessions.client(id).is_none_or(|client| client.transaction.is_none())
            || runs_at_once(row)
        {
            return false;
        }
        let flags = row.command.flags;
        let (writes, grows) = match self.stated_flags(row, args) {
            Some(stated) => demands(stated),
            None => (flags.has(Flags::WRITE), flags.has(Flags::DENYOOM)),
        };
        let Some(client) = self.sessions.client_mut(id) else { return false };
        let Some(transaction) = client.transaction.as_mut() else { return false };
        transaction.writes |= writes;
        transaction.denied_when_full |= grows;
        // The queue is not kept once EXEC is bound to fail: a client cannot fill memory with it.
        if !transaction.failed && !client.watch_broken {
            if row.full_name == "select" {
                let databases = self.server.config.databases as usize;
                let db = args.get(1).and_then(|text| databases::existing(text, databases));
                transaction.selected = db.or(transaction.selected);
            }
            let request = args.to_owned_args();
            transaction.bytes += request.memory_bytes();
            transaction.queue.push(request);
        }
        true
    }

    /// Runs the queue of an EXEC that passed its checks: one unit.
    pub(super) fn run_transaction(&mut self, id: ClientId, reply: &mut Reply) {
        self.sessions.unwatch(id);
        let Some(client) = self.sessions.client_mut(id) else { return };
        client.watch_broken = false;
        let Some(transaction) = client.transaction.take() else { return };
        reply.array(transaction.queue.len());
        self.persist.in_exec = true;
        // Time stands still for all of them: no key expires between two of the commands.
        let outer = self.frozen_wall_us;
        self.frozen_wall_us = outer.or(Some(self.wall_us()));
        for request in &transaction.queue {
            self.run_queued(id, request, reply);
        }
        self.frozen_wall_us = outer;
        self.persist.in_exec = false;
    }

    fn run_queued(&mut self, id: ClientId, request: &OwnedArgs, reply: &mut Reply) {
        let args = request.as_args();
        let Ok(row) = table().find(&args) else {
            reply.error("ERR unknown command");
            return;
        };
        if let Err(refusal) = self.permit(id, row, &args, Context::Multi) {
            let error = refusal.error_at_exec();
            self.count_error(&error);
            error.write(reply);
            return;
        }
        if row.command.flags.has(Flags::WHOLE_KEYSPACE) {
            self.ks.need = self.ks.need.max(self.server.persistence.appended);
        }
        if let Some(client) = self.sessions.client(id) {
            reply.resp3 = client.resp3;
        }
        let started = self.monotonic;
        match self.call(id, row, &args, reply, Origin::Transaction) {
            // Nothing waits inside a transaction: WAITAOF says how things are.
            Ok(Outcome::Task(Task::WaitLog { .. })) => self.write_log_counts(id, reply),
            Ok(Outcome::Task(task)) => {
                let start = reply.buffer.len();
                self.perform(id, task, &args, reply);
                let failed = reply.buffer.get(start) == Some(&b'-');
                self.sample_clock();
                self.note_call(id, row, &args, Origin::Transaction, started, failed);
            }
            // A blocking command that finds nothing answers as if its time were over.
            Ok(Outcome::Wait(wait)) => wait.write_timeout_reply(reply),
            Ok(Outcome::Replied) | Err(_) => {}
        }
    }
}
