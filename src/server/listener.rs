//! Listening sockets: bound at start and by CONFIG SET, accepted in reactor 0, connections dealt out in turn.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::Shared;
use super::stream::Accepted;
use crate::config::Config;

/// Bound sockets, not yet part of a runtime.
#[derive(Debug)]
pub enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// The same socket once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }

    /// The TCP address it listens on.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Refuses connections from now on, whoever else holds the socket.
    pub fn stop(&self) {
        let both = std::net::Shutdown::Both;
        // One that is closed already is stopped, too.
        let _ = match self {
            Self::Tcp(listener) => SockRef::from(listener).shutdown(both),
            Self::Unix(listener) => SockRef::from(listener).shutdown(both),
        };
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
                Self::Unix(listener) => listener.accept().and_then(|(stream, _)| {
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
            unix_socket: (!config.unixsocket.is_empty()).then(|| config.unixsocket.clone()),
        }
    }
}

/// Binds everything that is asked for. An address with a leading `-` may be missing.
pub fn bind(options: &ListenOptions) -> io::Result<Vec<Listener>> {
    let mut listeners = bind_tcp(options, &[])?;
    if let Some(path) = &options.unix_socket {
        // A socket file that nobody listens on any more is in the way of bind(2).
        if std::os::unix::net::UnixStream::connect(path).is_err() {
            let _ = rustix::fs::unlink(path.as_str());
        }
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        if options.unix_socket_mode != 0 {
            let mode = rustix::fs::Mode::from_raw_mode(options.unix_socket_mode);
            rustix::fs::chmod(path.as_str(), mode)?;
        }
        listener.set_nonblocking(true)?;
        listeners.push(Listener::Unix(listener));
    }
    Ok(listeners)
}

/// Binds the addresses for metrics; none without a port.
pub fn bind_metrics(bind: &[String], port: u16) -> io::Result<Vec<std::net::TcpListener>> {
    let options = ListenOptions {
        bind: bind.to_vec(),
        port,
        backlog: 16,
        unix_socket: None,
        unix_socket_mode: 0,
    };
    let sockets = self::bind(&options)?.into_iter().filter_map(|listener| match listener {
        Listener::Tcp(listener) => Some(listener),
        Listener::Unix(_) => None,
    });
    Ok(sockets.collect())
}

/// The TCP addresses that are asked for, but for those that are `bound` already.
pub(super) fn bind_tcp(options: &ListenOptions, bound: &[SocketAddr]) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (name, optional) in tcp_names(options) {
        let address = resolve(name, options.port);
        if address.as_ref().is_ok_and(|address| bound.contains(address)) {
            continue;
        }
        match address.and_then(|address| listen(address, options.backlog)) {
            Ok(listener) => listeners.push(Listener::Tcp(listener)),
            Err(_) if optional => {}
            Err(error) => {
                let text = format!("listening on {name}:{}: {error}", options.port);
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
    Ok(listeners)
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
            Listener::Unix(_) => "unix",
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
    (host, port).to_socket_addrs()?.next().ok_or_else(|| {
        io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{name} has no address"))
    })
}

/// Accepts until the socket is stopped; runs in reactor 0.
pub async fn accept_loop(listener: Listener, shared: Arc<Shared>) {
    let mut next = 0usize;
    let tcp = |listener: std::net::TcpListener| tokio::net::TcpListener::from_std(listener);
    let unix = |listener| tokio::net::UnixListener::from_std(listener);
    let bound = match listener {
        Listener::Tcp(listener) => tcp(listener).map(Bound::Tcp),
        Listener::Unix(listener) => unix(listener).map(Bound::Unix),
    };
    let Ok(bound) = bound else { return };
    while !shared.stopping.load(Ordering::Acquire) {
        let accepted = match &bound {
            Bound::Tcp(listener) => match listener.accept().await {
                Ok((stream, _)) => {
                    let keepalive_s = shared.keepalive_s.load(Ordering::Relaxed);
                    prepare_tcp(stream, keepalive_s).map(Accepted::Tcp)
                }
                Err(error) => Err(error),
            },
            Bound::Unix(listener) => match listener.accept().await {
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
            // Out of descriptors, or the peer is gone again: do not spin on it.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

/// A listener that is part of a runtime.
enum Bound {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Bound {
    /// Whether it has not been stopped.
    fn listens(&self) -> bool {
        let listens = match self {
            Self::Tcp(listener) => SockRef::from(listener).is_listener(),
            Self::Unix(listener) => SockRef::from(listener).is_listener(),
        };
        listens.unwrap_or(false)
    }
}

fn prepare_tcp(stream: tokio::net::TcpStream, keepalive_s: u64) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    if keepalive_s > 0 {
        let time = std::time::Duration::from_secs(keepalive_s);
        let interval = std::time::Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    stream.into_std()
}
