//! Notes slow commands in the slow log, once their time is known.

use super::Engine;
use crate::command::Flags;
use crate::command::ctx::Origin;
use crate::command::table::Row;
use crate::resp::Args;
use crate::session::ClientId;

impl Engine {
    /// Keeps something that took `took`, if that is long enough for the latency monitor.
    #[inline]
    pub fn note_latency(&mut self, class: &'static str, took: std::time::Duration) {
        let threshold_ms = self.server.config.latency_monitor_threshold;
        if threshold_ms != 0 {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            if took_ms >= threshold_ms {
                let at_s = self.wall_us() / 1_000_000;
                self.server.observed.latency.note(class, at_s, took_ms);
            }
        }
    }

    /// Notes a command with a large request or reply, as the command log has them.
    #[inline]
    pub(super) fn note_large(&mut self, id: ClientId, args: &Args, reply_bytes: usize) {
        let config = &self.server.config;
        let request_bytes =
            args.raw().map_or_else(|| args.iter().map(<[u8]>::len).sum(), <[u8]>::len);
        let is_large = |bytes: usize, threshold: i64| {
            u64::try_from(threshold).is_ok_and(|threshold| bytes as u64 >= threshold)
        };
        // A log of no entries does not count, either: ids go on where it is given some again.
        let request = is_large(request_bytes, config.commandlog_request_larger_than)
            && config.commandlog_large_request_max_len > 0;
        let reply = is_large(reply_bytes, config.commandlog_reply_larger_than)
            && config.commandlog_large_reply_max_len > 0;
        if request || reply {
            self.keep_large(
                id,
                args,
                request.then_some(request_bytes),
                reply.then_some(reply_bytes),
            );
        }
    }

    #[cold]
    fn keep_large(
        &mut self,
        id: ClientId,
        args: &Args,
        request_bytes: Option<usize>,
        reply_bytes: Option<usize>,
    ) {
        let at = self.wall_us() / 1_000_000;
        let client = self.sessions.client(id);
        let who =
            client.map_or(("", [].as_slice()), |client| (&*client.address, client.name.as_slice()));
        let (config, observed) = (&self.server.config, &mut self.server.observed);
        if let Some(bytes) = request_bytes {
            let len_max = config.commandlog_large_request_max_len;
            observed.large_requests.note(args, (at, bytes as u64), who, len_max);
        }
        if let Some(bytes) = reply_bytes {
            let len_max = config.commandlog_large_reply_max_len;
            observed.large_replies.note(args, (at, bytes as u64), who, len_max);
        }
    }

    /// Notes a command that took `took_us`, if that is long.
    #[inline]
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
        let slow = slow && len_max > 0;
        if slow && origin != Origin::Log && !row.command.flags.has(Flags::SKIP_SLOWLOG) {
            self.keep_slow(id, args, took_us, len_max);
        }
    }

    #[cold]
    fn keep_slow(&mut self, id: ClientId, args: &Args, took_us: u64, len_max: u64) {
        let at = self.wall_us() / 1_000_000;
        let client = self.sessions.client(id);
        let who =
            client.map_or(("", [].as_slice()), |client| (&*client.address, client.name.as_slice()));
        self.server.slow_log.note(args, (at, took_us), who, len_max);
    }
}
