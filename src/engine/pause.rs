//! CLIENT PAUSE: holds requests back and gives them back in the order in which they came.

use std::time::Duration;

use super::Engine;
use crate::command::Flags;
use crate::command::table::Row;
use crate::resp::{Args, Reply};
use crate::session::{ClientId, Mail};

impl Engine {
    /// Holds a request back if clients are paused and it is one of those that wait.
    pub(super) fn postpone(&mut self, id: ClientId, row: &Row, args: &Args) -> bool {
        let Some(pause) = self.server.pause else { return false };
        if self.monotonic() >= pause.until || (pause.writes_only && !self.may_write(id, row)) {
            return false;
        }
        self.sessions.postponed.push((id, args.to_owned_args()));
        true
    }

    fn may_write(&self, id: ClientId, row: &Row) -> bool {
        let flags = row.command.flags;
        let queued_writes = || {
            let client = self.sessions.client(id);
            let transaction = client.and_then(|client| client.transaction.as_ref());
            transaction.is_some_and(|transaction| transaction.writes)
        };
        flags.has(Flags::WRITE)
            || flags.has(Flags::MAY_REPLICATE)
            || (row.command.name == "EXEC" && queued_writes())
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
        for (id, request) in std::mem::take(&mut self.sessions.postponed) {
            let resp3 = self.sessions.client(id).is_some_and(|client| client.resp3);
            let mut reply = Reply::new(resp3);
            let place = self.sessions.outgoing.len();
            let messages = self.sessions.to_answered.len();
            let executed = self.execute(id, &request.as_args(), &mut reply);
            if !executed.waits {
                let mail =
                    Mail::Resume { to: id, bytes: reply.buffer, release: executed.release() };
                self.sessions.outgoing.insert(place, mail);
            }
            // Only a reactor that runs a request itself puts messages behind its reply.
            let messages = self.sessions.to_answered.split_off(messages);
            self.sessions.outgoing.extend(messages);
            if executed.closes {
                self.sessions.outgoing.push(Mail::Close { to: id, flush: true });
            }
        }
    }
}
