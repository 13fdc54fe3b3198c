//! Accepting: connections are taken in reactor 0 and dealt out to the reactors in turn.
//!
//! It ends when a TCP socket is stopped, by CONFIG SET or the end of the server, or with its reactor. A connection that
//! cannot be taken, for want of descriptors, stays in the socket's queue; the log says so once a minute.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};

use super::Shared;
use super::listener::{Listener, SocketFile};
use super::stream::Accepted;

/// Out of descriptors, or the peer is gone again: a pause, so as not to spin on it.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the log tells of connections that cannot be taken.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Accepts until the socket is stopped; runs in reactor 0.
pub(super) async fn accept_loop(listener: Listener, shared: Arc<Shared>) {
    let mut next = 0usize;
    let mut told = None;
    let Ok(bound) = Bound::of(listener) else { return };
    while !shared.stopping.load(Ordering::Acquire) {
        let accepted = match &bound {
            Bound::Tcp(listener) => match listener.accept().await {
                Ok((stream, _)) => {
                    let keepalive_s = shared.keepalive_s.load(Ordering::Relaxed);
                    prepare_tcp(stream, keepalive_s).map(Accepted::Tcp)
                }
                Err(error) => Err(error),
            },
            Bound::Unix(listener, _) => match listener.accept().await {
                Ok((stream, _)) => stream.into_std().map(Accepted::Unix),
                Err(error) => Err(error),
            },
        };
        match accepted {
            Ok(accepted) => {
                shared.hand_over(next % shared.reactors.len(), accepted);
                next += 1;
            }
            Err(_) if !bound.listens() => return,
            Err(error) => {
                tell(&shared, &error, &mut told);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Says that connections wait for descriptors, unless that was said a moment ago.
fn tell(shared: &Shared, error: &io::Error, told: &mut Option<Duration>) {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let now = shared.clock.monotonic();
    if told.is_some_and(|at| now.saturating_sub(at) < TOLD_EVERY)
        || !Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
    {
        return;
    }
    if let Some(engine) = shared.lock_unless_busy() {
        *told = Some(now);
        engine.logger.warning(format!(
            "Accepting client connection: {error}. Lower maxclients, or raise the limit of open files \
             (ulimit -n, LimitNOFILE= of systemd)."
        ));
        shared.unlock(engine);
    }
}

/// A listener that is part of a runtime.
enum Bound {
    Tcp(tokio::net::TcpListener),
    /// With the file, which is there as long as somebody accepts.
    Unix(tokio::net::UnixListener, #[expect(dead_code, reason = "held")] Arc<SocketFile>),
}

impl Bound {
    fn of(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Self::Tcp),
            Listener::Unix(listener, file) => {
                tokio::net::UnixListener::from_std(listener).map(|bound| Self::Unix(bound, file))
            }
        }
    }

    /// Whether it has not been stopped.
    fn listens(&self) -> bool {
        match self {
            Self::Tcp(listener) => SockRef::from(listener).is_listener().unwrap_or(false),
            Self::Unix(..) => true,
        }
    }
}

fn prepare_tcp(stream: tokio::net::TcpStream, keepalive_s: u64) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    if keepalive_s > 0 {
        let time = Duration::from_secs(keepalive_s);
        let interval = Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    stream.into_std()
}
