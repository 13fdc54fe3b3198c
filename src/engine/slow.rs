//! Notes slow commands in the slow log, once their time is known.

use super::Engine;
use crate::command::Flags;
use crate::command::ctx::Origin;
use crate::command::table::Row;
use crate::resp::Args;
use crate::session::ClientId;

impl Engine {
    /// Notes a command that took `took_us`, if that is long.
    pub(super) fn note_slow(
        &mut self,
        id: ClientId,
        row: &Row,
        args: &Args,
        took_us: u64,
        origin: Origin,
    ) {
        let config = &self.server.config;
        let (threshold, len_max) = (config.slowlog_log_slower_than, config.slowlog_max_len);
        // A negative threshold turns the log off.
        let slow = u64::try_from(threshold).is_ok_and(|threshold| took_us >= threshold);
        if !slow || origin == Origin::Log || row.command.flags.has(Flags::SKIP_SLOWLOG) {
            return;
        }
        let at = self.wall_us() / 1_000_000;
        let client = self.sessions.client(id);
        let who =
            client.map_or(("", [].as_slice()), |client| (&*client.address, client.name.as_slice()));
        self.server.slow_log.note(args, (at, took_us), who, len_max);
    }
}
