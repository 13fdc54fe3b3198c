//! Listening sockets, bound at start and by CONFIG SET; `accept` has them taken at.
//!
//! An address that this machine does not have is an error unless it has a leading `-`; a family of addresses that
//! the kernel does not know is none, as in Redis, so that one configuration does for machines without IPv6. Whoever
//! starts a server asks whether anything is left to listen on.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::stream::Accepted;
use crate::config::Config;
use crate::logger::Logger;

/// Bound sockets, not yet part of a runtime.
#[derive(Debug)]
pub enum Listener {
    Tcp(std::net::TcpListener),
    Unix(UnixListener, Arc<SocketFile>),
}

/// The file of a Unix socket. It goes when the socket is stopped, or with the last that holds it.
#[derive(Debug)]
pub struct SocketFile {
    path: String,
    removed: AtomicBool,
}

impl SocketFile {
    fn remove(&self) {
        // Once: the next file of this name may be another server's.
        if !self.removed.swap(true, Ordering::AcqRel) {
            let _ = rustix::fs::unlink(self.path.as_str());
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Listener {
    /// The same socket once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener, file) => {
                listener.try_clone().map(|clone| Self::Unix(clone, Arc::clone(file)))
            }
        }
    }

    /// The TCP address it listens on.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// Refuses connections from now on, whoever else holds the socket. A Unix socket only loses its name: after shutdown(2)
    /// Linux says of it that it is ready and has nobody, and Tokio's accept would ask again for ever inside of one poll.
    pub fn stop(&self) {
        match self {
            // One that is closed already is stopped, too.
            Self::Tcp(listener) => {
                let _ = SockRef::from(listener).shutdown(std::net::Shutdown::Both);
            }
            Self::Unix(_, file) => file.remove(),
        }
    }

    /// The connections that wait.
    pub fn accept_all(&self) -> Vec<Accepted> {
        let mut all = Vec::new();
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    Ok(Accepted::Tcp(stream))
                }),
                Self::Unix(listener, _) => listener.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    Ok(Accepted::Unix(stream))
                }),
            };
            match accepted {
                Ok(accepted) => all.push(accepted),
                Err(_) => return all,
            }
        }
    }
}

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Addresses in Redis' notation: `*`, `-::1` (fine when unavailable), names or numbers.
    pub bind: Vec<String>,
    /// 0: no TCP.
    pub port: u16,
    pub backlog: i32,
    pub unix_socket: Option<String>,
    /// Permissions of the Unix socket; 0 leaves what the umask gives it.
    pub unix_socket_mode: u32,
}

impl ListenOptions {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Self {
        Self {
            bind: config.bind.clone(),
            port: config.port,
            backlog: i32::try_from(config.tcp_backlog).unwrap_or(511),
            unix_socket_mode: config.unixsocketperm,
            unix_socket: (!config.unixsocket.is_empty()).then(|| unix_path(config)),
        }
    }
}

/// The socket's path: one that is relative is so to `dir`, unless that is longer than an address may be.
fn unix_path(config: &Config) -> String {
    let path = config.path(&config.unixsocket);
    if path.len() > UNIX_PATH_MAX { config.unixsocket.clone() } else { path }
}

/// Longest path of a Unix socket (unix(7)).
const UNIX_PATH_MAX: usize = 107;

/// Binds everything that is asked for and that this machine has; what it leaves out is logged.
pub fn bind(options: &ListenOptions, logger: &Logger) -> io::Result<Vec<Listener>> {
    let mut listeners = bind_tcp(options, &[], logger).inspect_err(|_| {
        logger.warning(format!("Failed listening on port {} (tcp), aborting.", options.port));
    })?;
    if let Some(path) = &options.unix_socket {
        let listener = bind_unix(path, options.unix_socket_mode).map_err(|error| {
            io::Error::new(error.kind(), format!("listening on {path}: {error}"))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn bind_unix(path: &str, mode: u32) -> io::Result<Listener> {
    // A socket file that nobody listens on any more is in the way of bind(2).
    if UnixStream::connect(path).is_err() {
        let _ = rustix::fs::unlink(path);
    }
    let listener = UnixListener::bind(path)?;
    let file = Arc::new(SocketFile { path: path.to_owned(), removed: AtomicBool::new(false) });
    if mode != 0 {
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode))?;
    }
    listener.set_nonblocking(true)?;
    Ok(Listener::Unix(listener, file))
}

/// Binds the addresses for metrics; none without a port.
pub fn bind_metrics(
    bind: &[String],
    port: u16,
    logger: &Logger,
) -> io::Result<Vec<std::net::TcpListener>> {
    let options = ListenOptions {
        bind: bind.to_vec(),
        port,
        backlog: 16,
        unix_socket: None,
        unix_socket_mode: 0,
    };
    let sockets =
        bind_tcp(&options, &[], logger)?.into_iter().filter_map(|listener| match listener {
            Listener::Tcp(listener) => Some(listener),
            Listener::Unix(..) => None,
        });
    Ok(sockets.collect())
}

/// The TCP addresses that are asked for, but for those that are `bound` already.
pub(super) fn bind_tcp(
    options: &ListenOptions,
    bound: &[SocketAddr],
    logger: &Logger,
) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (name, optional) in tcp_names(options) {
        let address = resolve(name, options.port);
        if address.as_ref().is_ok_and(|address| bound.contains(address)) {
            continue;
        }
        match address.and_then(|address| listen(address, options.backlog)) {
            Ok(listener) => listeners.push(Listener::Tcp(listener)),
            Err(error) => {
                let text = format!("listening on {name}:{}: {error}", options.port);
                let absent = optional && error.kind() == io::ErrorKind::AddrNotAvailable;
                if !absent && !is_unknown_family(&error) {
                    return Err(io::Error::new(error.kind(), text));
                }
                if !optional {
                    logger.warning(format!("Going on without an address: {text}"));
                }
            }
        }
    }
    Ok(listeners)
}

/// Whether the kernel has no such kind of address at all: a machine without IPv6, say.
fn is_unknown_family(error: &io::Error) -> bool {
    let unknown = [
        Errno::AFNOSUPPORT,
        Errno::PFNOSUPPORT,
        Errno::PROTONOSUPPORT,
        Errno::SOCKTNOSUPPORT,
        Errno::NOPROTOOPT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
}

/// The TCP addresses that are asked for and exist.
pub(super) fn tcp_addresses(options: &ListenOptions) -> Vec<SocketAddr> {
    tcp_names(options).filter_map(|(name, _)| resolve(name, options.port).ok()).collect()
}

/// The names of `bind`, each with whether it may be missing.
fn tcp_names(options: &ListenOptions) -> impl Iterator<Item = (&str, bool)> {
    let wanted = options.bind.iter().filter(|_| options.port != 0);
    wanted.map(|name| match name.strip_prefix('-') {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    })
}

/// What kinds of connections are accepted, each once, in Redis' words.
pub fn kinds(listeners: &[Listener]) -> Vec<&'static str> {
    let mut kinds: Vec<&str> = listeners
        .iter()
        .map(|listener| match listener {
            Listener::Tcp(_) => "tcp",
            Listener::Unix(..) => "unix",
        })
        .collect();
    kinds.dedup();
    kinds
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn resolve(name: &str, port: u16) -> io::Result<SocketAddr> {
    use std::net::ToSocketAddrs;
    let host = match name {
        "*" => "0.0.0.0",
        "::*" => "::",
        other => other,
    };
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    // A name means IPv4, as in Redis, whatever the order in which this machine finds its addresses.
    let best = found.iter().find(|address| address.is_ipv6() == name.contains(':'));
    best.or(found.first()).copied().ok_or_else(|| {
        io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{name} has no address"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SimClock;

    fn tcp(bind: &[&str], port: u16) -> ListenOptions {
        ListenOptions {
            bind: bind.iter().map(ToString::to_string).collect(),
            port,
            backlog: 8,
            unix_socket: None,
            unix_socket_mode: 0,
        }
    }

    #[test]
    fn only_an_address_that_is_not_there_may_be_missing() {
        let logger = Logger::to_memory(Arc::new(SimClock::at(0)));
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind(&tcp(&["-127.0.0.1"], port), &logger).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        assert!(logger.lines()[0].contains("Failed listening on port"), "{:?}", logger.lines());
        drop(taken);
        // Of the range that documentation may use.
        assert!(bind(&tcp(&["192.0.2.1"], port), &logger).is_err());
        let found = bind(&tcp(&["-192.0.2.1", "127.0.0.1"], port), &logger).unwrap();
        assert_eq!(found.len(), 1);
        for errno in [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT] {
            assert!(is_unknown_family(&errno.into()));
        }
        assert!(!is_unknown_family(&Errno::ADDRINUSE.into()));
    }

    #[test]
    fn names_are_of_ipv4_where_they_can_be() {
        for (name, address) in [("localhost", "127.0.0.1:7"), ("*", "0.0.0.0:7"), ("::*", "[::]:7")]
        {
            assert_eq!(resolve(name, 7).unwrap().to_string(), address, "{name}");
        }
    }

    #[test]
    fn the_file_of_a_socket_goes_with_it_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").to_str().unwrap().to_owned();
        let listener = bind_unix(&path, 0o700).unwrap();
        let other = listener.try_clone().unwrap();
        listener.stop();
        assert!(UnixStream::connect(&path).is_err());
        let next = bind_unix(&path, 0).unwrap();
        listener.stop();
        drop((listener, other));
        assert!(UnixStream::connect(&path).is_ok(), "the next server's socket is gone");
        drop(next);
        assert!(rustix::fs::stat(path.as_str()).is_err());
    }
}
