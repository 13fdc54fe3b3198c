//! The thread of one replica: sends it the snapshot and then the stream, and waits for nobody but its socket.
//!
//! It has the socket for writing; the connection's reactor goes on reading what the replica says. While the
//! snapshot is being made an empty line a second tells the other side that we are there. Under `appendfsync
//! always` nothing is sent that is not synced here: a replica never has what a crash could take from us.
//! Under the other policies bytes leave at once. A replica that takes nothing for `repl-timeout` seconds is
//! given up; how much may be queued for it is the engine's business (`session::replica`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::Shared;
use crate::config::AppendFsync;
use crate::session::replica::{Link, Mark, Room, Stage};

/// Between two empty lines, and the longest sleep.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// How long whoever wanted the snapshot only may take to close the connection.
const CLOSE_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of the snapshot sent at once.
const PIECE: usize = 1 << 20;
/// A buffer that grew beyond this is given back.
const BUFFER_KEPT_MAX: usize = 4 << 20;

/// Starts the thread. The connection is closed when it cannot be had, and when it ends.
pub(super) fn start(shared: &Arc<Shared>, link: Arc<Link>, socket: OwnedFd) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("replica".to_owned());
    thread.spawn(move || {
        let mut sender = Sender { shared, link, socket, heard: 0 };
        let outcome = sender.run();
        // The reactor reads the end and forgets the client.
        let _ = shutdown(&sender.socket, Shutdown::Both);
        if let Err(error) = outcome
            && !sender.is_over()
        {
            let engine = sender.shared.lock();
            let who = engine.sessions.client(sender.link.client).map(|client| &client.address);
            let who = who.map_or("", String::as_str);
            engine.logger.warning(format!("Connection with replica {who} lost: {error}"));
            sender.shared.unlock(engine);
        }
    })?;
    Ok(())
}

struct Sender {
    shared: Arc<Shared>,
    link: Arc<Link>,
    socket: OwnedFd,
    heard: u64,
}

impl Sender {
    fn run(&mut self) -> io::Result<()> {
        let mut told = false;
        let (file, position) = loop {
            match self.link.stage() {
                _ if self.is_over() => return Ok(()),
                Stage::Waiting => {}
                Stage::Writing { offset } => self.tell_start(&mut told, offset)?,
                Stage::Ready { file, position } if self.reached() >= position => {
                    break (file, position);
                }
                Stage::Ready { .. } => {}
            }
            self.pause()?;
        };
        debug_assert!(self.reached() >= position, "what is synced stays so");
        if !told {
            // Written before this thread looked: the stream's place is told all the same.
            let offset = self.link.start_offset();
            self.tell_start(&mut told, offset)?;
        }
        self.send(format!("${}\r\n", file.len()).as_bytes())?;
        for piece in file.chunks(PIECE) {
            self.send(piece)?;
        }
        drop(file);
        self.link.snapshot_sent();
        if self.link.rdb_only {
            return self.end_gently();
        }
        self.stream()
    }

    /// The answer to PSYNC, once.
    fn tell_start(&self, told: &mut bool, offset: u64) -> io::Result<()> {
        if !std::mem::replace(told, true) && self.link.psync {
            let id = self.shared.lock().server.replication_id().to_owned();
            self.send(format!("+FULLRESYNC {id} {offset}\r\n").as_bytes())?;
        }
        Ok(())
    }

    /// Sleeps until there may be news; when there are none for a while, an empty line says that we are there.
    fn pause(&mut self) -> io::Result<()> {
        let before = self.heard;
        self.link.bell.wait(&mut self.heard, KEEPALIVE);
        if self.heard == before { self.send(b"\n") } else { Ok(()) }
    }

    fn stream(&mut self) -> io::Result<()> {
        let mut room = Room::new(&self.link.bell);
        let mut bytes: Vec<u8> = Vec::new();
        let mut marks: VecDeque<Mark> = VecDeque::new();
        // Bytes at the start of `bytes` that are sent, and that may be.
        let (mut sent, mut free) = (0, 0);
        while !self.is_over() {
            self.link.take(&mut bytes, &mut marks);
            room.set(bytes.capacity() + marks.capacity() * size_of::<Mark>());
            let reached = self.reached();
            while let Some(mark) = marks.front().filter(|mark| mark.position <= reached) {
                free += mark.bytes;
                marks.pop_front();
            }
            if free == sent {
                self.link.bell.wait(&mut self.heard, KEEPALIVE);
                continue;
            }
            let end = free.min(sent + PIECE);
            self.send(bytes.get(sent..end).unwrap_or_default())?;
            self.link.sent(end - sent);
            sent = end;
            if sent == bytes.len() {
                bytes.clear();
                bytes.shrink_to(BUFFER_KEPT_MAX);
                (sent, free) = (0, 0);
            } else if sent > BUFFER_KEPT_MAX && sent > bytes.len() / 2 {
                bytes.drain(..sent);
                free -= sent;
                sent = 0;
            }
        }
        Ok(())
    }

    /// How far the log is, as far as it matters.
    fn reached(&self) -> u64 {
        match self.shared.log() {
            Some(log) if self.shared.policy() == AppendFsync::Always => log.synced().0,
            _ => u64::MAX,
        }
    }

    fn is_over(&self) -> bool {
        self.link.has_ended() || self.shared.stopping.load(Ordering::Acquire)
    }

    /// Says that nothing follows, and lets the other side close: what it has not read yet stays readable.
    fn end_gently(&mut self) -> io::Result<()> {
        shutdown(&self.socket, Shutdown::Write)?;
        let until = self.shared.clock.monotonic() + CLOSE_WITHIN;
        while !self.is_over() && self.shared.clock.monotonic() < until {
            self.link.bell.wait(&mut self.heard, KEEPALIVE);
        }
        Ok(())
    }

    /// Sends all of it.
    fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut waits_since = self.shared.clock.monotonic();
        while !bytes.is_empty() {
            match send(&self.socket, bytes, flags) {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    waits_since = self.shared.clock.monotonic();
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => self.await_room(waits_since)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_room(&self, since: Duration) -> io::Result<()> {
        if self.is_over() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let timeout = Duration::from_secs(self.shared.replica_timeout_s.load(Ordering::Relaxed));
        if self.shared.clock.monotonic().saturating_sub(since) > timeout {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let pause = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut sockets = [PollFd::new(&self.socket, PollFlags::OUT)];
        match poll(&mut sockets, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
