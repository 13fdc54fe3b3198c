//! What leaves a connection: replies when the log lets them, within the client's limits; and how one ends that takes
//! too little.

use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Handle, Reactor, STRANGER_OUTPUT_MAX};
use crate::config::AppendFsync;
use crate::engine::Engine;
use crate::server::connection::Connection;
use crate::server::outbox::LogProgress;
use crate::server::replica_thread;
use crate::session::{Mail, Release};

/// How often a client over its soft limit is looked at.
const LIMIT_EVERY: Duration = Duration::from_millis(200);

/// What a connection gets at a time when there is more: sending takes time, and others wait.
const SENT_PER_TURN_MAX: usize = 512 * 1024;

impl Reactor {
    /// Whether the unsent output is more than the client's class may hold, now or for so long.
    pub(super) fn is_over_limit(&self, connection: &mut Connection) -> bool {
        let limit = if connection.is_subscribed {
            &self.shared.pubsub_output
        } else {
            &self.shared.normal_output
        };
        let pending = connection.outbox.pending();
        let stranger = !connection.authenticated && pending > STRANGER_OUTPUT_MAX;
        if stranger || limit.is_over_hard(pending) {
            return true;
        }
        if !limit.is_over_soft(pending) {
            connection.over_soft_since = None;
            return false;
        }
        let now = self.shared.clock.monotonic();
        let since = *connection.over_soft_since.get_or_insert(now);
        now.saturating_sub(since) > limit.patience()
    }

    /// Looks again and again at a client that is over its soft limit, until it is not or is closed.
    pub(super) fn watch_soft_limit(self: &Rc<Self>, handle: &Handle, connection: &mut Connection) {
        if connection.over_soft_since.is_none() || connection.soft_limit_watched {
            return;
        }
        connection.soft_limit_watched = true;
        let (reactor, handle) = (Rc::clone(self), Rc::clone(handle));
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(LIMIT_EVERY).await;
                let mut connection = handle.borrow_mut();
                if reactor.is_over_limit(&mut connection) {
                    reactor.close_over_limit(&mut connection);
                }
                if connection.closing || connection.over_soft_since.is_none() {
                    connection.soft_limit_watched = false;
                    return;
                }
            }
        });
    }

    pub(super) fn close_over_limit(&self, connection: &mut Connection) {
        let mut engine = self.shared.lock();
        give_up_output(&mut engine, connection);
        self.shared.unlock(engine);
    }

    /// Sends what may be sent; what must wait puts the connection among the holders.
    pub(super) fn flush(self: &Rc<Self>, handle: &Handle) {
        let progress = self.progress();
        let mut connection = handle.borrow_mut();
        let connection = &mut *connection;
        let mut sent = 0;
        while sent < SENT_PER_TURN_MAX {
            let stream = &connection.stream;
            let Some(result) = connection.outbox.send(progress, |pieces| stream.try_write(pieces))
            else {
                break;
            };
            match result {
                Ok(count) => {
                    sent += count;
                    self.answered.set(true);
                    if let Some(stats) = self.loop_stats() {
                        stats.note_write();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.await_room(handle, connection);
                    break;
                }
                Err(_) => {
                    connection.stream.shut_down();
                    return;
                }
            }
        }
        if sent >= SENT_PER_TURN_MAX {
            self.await_room(handle, connection);
        }
        connection.outbox.give_back();
        connection.note_buffers();
        if connection.feed.is_some() && !connection.feed_started {
            self.start_feed(connection);
        }
        if connection.outbox.holds_any() {
            if !connection.in_holders {
                connection.in_holders = true;
                self.holders.borrow_mut().push(Rc::clone(handle));
                self.announce_hold(progress);
            }
        } else if connection.closing && connection.outbox.pending() == 0 {
            connection.stream.shut_down();
        }
    }

    /// Sends what may be sent in the middle of a pipeline, as far as the socket takes it. Errors are left to the end
    /// of the turn.
    pub(super) fn send_early(&self, connection: &mut Connection) {
        if connection.feed.is_some() {
            return;
        }
        let (progress, stream) = (self.progress(), &connection.stream);
        let mut send = || connection.outbox.send(progress, |pieces| stream.try_write(pieces));
        while let Some(Ok(_)) = send() {
            self.answered.set(true);
            if let Some(stats) = self.loop_stats() {
                stats.note_write();
            }
        }
    }

    /// Gives a replica's socket to its thread once everything that was answered before is sent.
    pub(super) fn start_feed(&self, connection: &mut Connection) {
        let Some(link) = connection.feed.clone().filter(|_| connection.outbox.pending() == 0)
        else {
            return;
        };
        connection.feed_started = true;
        let socket = connection.stream.for_writing();
        if socket.and_then(|socket| replica_thread::start(&self.shared, link, socket)).is_err() {
            connection.stream.shut_down();
        }
    }

    /// Asks the log thread to wake this reactor. The log may have moved or failed between the look that
    /// found the reply held (`seen`) and the flag: then nobody else would.
    pub(super) fn announce_hold(&self, seen: LogProgress) {
        let Some(own) = self.shared.reactors.get(self.index) else { return };
        if own.holds.load(Ordering::Relaxed) {
            // Only this thread sets it, and it did so before it looked: the wake is on its way.
            return;
        }
        own.holds.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        let failed =
            self.log.with(&self.shared, |log| log.is_some_and(|log| log.cause().is_some()));
        if failed || self.progress() != seen {
            own.wake.notify_one();
        }
    }

    pub(super) fn await_room(self: &Rc<Self>, handle: &Handle, connection: &mut Connection) {
        if !connection.awaits_room {
            connection.awaits_room = true;
            let (reactor, handle) = (Rc::clone(self), Rc::clone(handle));
            let stream = Rc::clone(&connection.stream);
            tokio::task::spawn_local(async move {
                // The others have their turn first, if there is room already.
                tokio::task::yield_now().await;
                let room = stream.writable().await;
                {
                    let mut connection = handle.borrow_mut();
                    connection.awaits_room = false;
                    connection.buffers.note_moved(reactor.shared.clock.wall());
                }
                if room.is_ok() {
                    reactor.flush(&handle);
                }
            });
        }
    }

    /// The log moved on or failed: looks at every held reply again.
    pub(super) fn release_holders(self: &Rc<Self>) {
        let mut holders = self.holders.replace(self.spare.take());
        if let Some(own) = self.shared.reactors.get(self.index) {
            own.holds.store(false, Ordering::Release);
        }
        let failure = self.log.with(&self.shared, |log| Some(log?.cause()?.to_string()));
        let (answered, now) = (self.answered.get(), self.shared.clock.wall());
        for handle in holders.drain(..) {
            {
                let mut connection = handle.borrow_mut();
                connection.in_holders = false;
                connection.buffers.note_moved(now);
                if let Some(cause) = &failure {
                    let progress = self.progress();
                    connection.outbox.fail_held(progress, cause);
                }
            }
            self.flush(&handle);
        }
        self.spare.set(holders);
        // What waited did not leave at once.
        self.answered.set(answered);
    }

    /// Puts mail into the outbox of its connection, or does what it says.
    pub(super) fn take_in(&self, connection: &mut Connection, mail: Mail) {
        let deaf = connection.closing || connection.feed.is_some();
        if deaf && !matches!(mail, Mail::Close { .. }) {
            // Even so it goes on: a replica must be heard.
            connection.waits &= !matches!(mail, Mail::Resume { .. });
            return;
        }
        match mail {
            Mail::Send { bytes, release, notice, .. } => {
                let progress = self.progress();
                self.want(release, progress);
                connection.outbox.message(&bytes, release, progress);
                connection.outbox.note_eviction(notice);
            }
            Mail::Resume { bytes, release, .. } => {
                let progress = self.progress();
                self.want(release, progress);
                connection.outbox.reply(&bytes, release, progress);
                connection.waits = false;
            }
            Mail::Close { flush, .. } => {
                connection.closing = true;
                if !flush {
                    connection.stream.shut_down();
                }
            }
        }
    }

    /// Says so when the policy alone would not end the wait of a reply.
    pub(super) fn want(&self, release: Release, progress: LogProgress) {
        let always = self.shared.policy() == AppendFsync::Always;
        if release.needs_sync && !always && release.need > progress.synced {
            self.shared.sync_wanted.store(true, Ordering::Release);
        }
        if !release.needs_sync && always && release.need > progress.written {
            self.write_now.set(true);
        }
    }

    pub(super) fn progress(&self) -> LogProgress {
        self.log.progress(&self.shared)
    }
}

/// Closes a connection whose client does not take its output.
pub(super) fn give_up_output(engine: &mut Engine, connection: &mut Connection) {
    engine.server.stats.output_buffer_limit_disconnections += 1;
    if let Some(client) = engine.sessions.client(connection.id) {
        let line = format!(
            "Closing client {} at {}: {} bytes of unsent output are over its limit.",
            client.id.0,
            client.address,
            connection.outbox.pending()
        );
        engine.logger.warning(line);
    }
    connection.closing = true;
    connection.outbox.abandon();
    connection.note_buffers();
    connection.stream.shut_down();
}

/// Closes the connection of a replica that asked for something that is answered.
pub(super) fn give_up_replica(engine: &Engine, connection: &mut Connection) {
    if let Some(client) = engine.sessions.client(connection.id) {
        let line = format!(
            "Replica {} sent {}, which is answered, on its replication link: closing it.",
            client.address, client.last_command
        );
        engine.logger.warning(line);
    }
    connection.closing = true;
    connection.outbox.abandon();
    connection.stream.shut_down();
}
