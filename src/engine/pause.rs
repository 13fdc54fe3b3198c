//! CLIENT PAUSE: holds requests back and gives them back in the order in which they came.

use std::time::Duration;

use super::Engine;
use crate::command::Flags;
use crate::command::table::{Row, table};
use crate::resp::{Args, Reply};
use crate::scripting::ScriptFlags;
use crate::session::{ClientId, Mail};

impl Engine {
    /// Holds a request back if clients are paused and it is one of those that wait.
    pub(super) fn postpone(&mut self, id: ClientId, row: &Row, args: &Args) -> bool {
        let Some(pause) = self.server.pause else { return false };
        // What replicas say of their progress is no request.
        if self.sessions.client(id).is_some_and(|client| client.flags.replica) {
            return false;
        }
        if self.monotonic() >= pause.until || (pause.writes_only && !self.may_write(id, row, args))
        {
            return false;
        }
        self.sessions.postponed.push((id, args.to_owned_args()));
        if let Some(client) = self.sessions.client_mut(id) {
            client.postponed = true;
            client.waiting_bytes = args.iter().map(<[u8]>::len).sum();
        }
        true
    }

    /// Whether a request may change data or be passed on to replicas; of a transaction, whether one in it may.
    fn may_write(&mut self, id: ClientId, row: &Row, args: &Args) -> bool {
        if row.command.name != "EXEC" {
            return self.may_replicate(row, args);
        }
        let queue = |engine: &mut Self| {
            let client = engine.sessions.client_mut(id)?;
            Some(std::mem::take(&mut client.transaction.as_mut()?.queue))
        };
        let Some(queued) = queue(self) else { return false };
        let may = queued.iter().any(|request| {
            let args = request.as_args();
            table().find(&args).is_ok_and(|row| self.may_replicate(row, &args))
        });
        let client = self.sessions.client_mut(id);
        if let Some(transaction) = client.and_then(|client| client.transaction.as_mut()) {
            transaction.queue = queued;
        }
        may
    }

    fn may_replicate(&mut self, row: &Row, args: &Args) -> bool {
        let flags = row.command.flags;
        flags.has(Flags::WRITE)
            || (flags.has(Flags::MAY_REPLICATE) && !self.script_only_reads(row, args))
    }

    /// Whether the request is a script that says of itself that it writes nothing.
    fn script_only_reads(&mut self, row: &Row, args: &Args) -> bool {
        self.stated_flags(row, args).is_some_and(|stated| stated.has(ScriptFlags::NO_WRITES))
    }

    /// Whether keys stay although their time is over: nothing changes during a pause.
    pub(super) fn is_paused(&self) -> bool {
        self.server.pause.is_some_and(|pause| self.monotonic() < pause.until)
    }

    /// When the pause ends.
    pub fn pause_deadline(&self) -> Option<Duration> {
        self.server.pause.map(|pause| pause.until)
    }

    /// Ends a pause whose time is over: everybody held back goes on, first come first.
    pub fn end_pause_if_over(&mut self) {
        if self.server.pause.is_none() || self.is_paused() {
            return;
        }
        self.server.pause = None;
        // Of the client whose request ends the pause, if one does.
        let own = std::mem::take(&mut self.sessions.to_answered);
        for (id, request) in std::mem::take(&mut self.sessions.postponed) {
            let resp3 = self.sessions.client_mut(id).is_some_and(|client| {
                client.postponed = false;
                client.waiting_bytes = 0;
                client.resp3
            });
            let mut reply = Reply::new(resp3);
            let place = self.sessions.outgoing.len();
            let executed = self.execute(id, &request.as_args(), &mut reply);
            if !executed.waits {
                let mail =
                    Mail::Resume { to: id, bytes: reply.buffer, release: executed.release() };
                self.sessions.outgoing.insert(place, mail);
            }
            // Only a reactor that runs a request itself puts messages behind its reply.
            let sessions = &mut self.sessions;
            sessions.outgoing.append(&mut sessions.to_answered);
            if executed.closes {
                sessions.outgoing.push(Mail::Close { to: id, flush: true });
            }
        }
        self.sessions.to_answered = own;
    }
}
