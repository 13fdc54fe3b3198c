//! Running the log's records at start: the same handlers, nothing refused, nothing logged.

use super::Engine;
use crate::command::ctx::Origin;
use crate::command::table::table;
use crate::resp::{Args, Reply};
use crate::session::{Client, ClientId, UserHandle};

/// A record that did not do what it did when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// The command's name as the record has it.
    pub command: String,
    /// What it answered.
    pub reply: String,
    /// There is no such command here: what the log means cannot be known.
    pub unknown: bool,
}

impl Engine {
    /// Enters the client on whose behalf records are replayed.
    pub fn replay_client(&mut self) -> ClientId {
        let mut client = Client::new(String::new(), String::new(), 0);
        client.user = Some(UserHandle::default_user());
        client.flags.internal = true;
        self.sessions.add(client)
    }

    /// Runs one record.
    pub fn replay(
        &mut self,
        id: ClientId,
        args: &Args,
        scratch: &mut Reply,
    ) -> Result<(), ReplayError> {
        scratch.buffer.clear();
        let failed = |reply: &[u8]| ReplayError {
            command: String::from_utf8_lossy(args.at(0)).into_owned(),
            reply: String::from_utf8_lossy(reply).trim_end().to_owned(),
            unknown: false,
        };
        let row = table().find(args).map_err(|error| ReplayError {
            unknown: true,
            ..failed(error.to_string().as_bytes())
        })?;
        if !row.command.accepts(args.len()) {
            return Err(failed(b"wrong number of arguments"));
        }
        self.ks.effects.clear();
        // What ran is what counts: the outcome's reply is looked at below.
        self.server.limits.keeps_zero_sign = true;
        let _ = self.call(id, row, args, scratch, Origin::Log);
        self.server.limits.keeps_zero_sign = false;
        if self.ks.has_retired() {
            // Nobody waits for them but the start.
            self.ks.take_retired();
        }
        if scratch.buffer.first() == Some(&b'-') {
            return Err(failed(&scratch.buffer));
        }
        Ok(())
    }
}
