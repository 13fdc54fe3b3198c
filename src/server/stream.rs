//! One stream type over TCP and Unix sockets.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A connected client.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection on its way from the listener to its reactor: not yet registered with a runtime.
#[derive(Debug)]
pub enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Registers it with the runtime of the calling reactor.
    pub fn register(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl Stream {
    /// Waits until there may be something to read.
    /// One task only, the connection's own: that has a place of its own in the runtime's record of the
    /// socket, which costs less than entering and leaving the list of those who wait.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
        })
        .await
    }

    /// Waits until there may be room to write.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    /// Reads what is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        self.try_receive(room, || self.read_now(buffer))
    }

    /// Reads what is there into the spare capacity of `buffer`.
    pub fn try_read_into(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        self.try_receive(room, || {
            let spare = rustix::buffer::spare_capacity(buffer);
            let flags = rustix::net::RecvFlags::DONTWAIT;
            rustix::net::recv(self.as_fd(), spare, flags)
                .map(|(count, _)| count)
                .map_err(Into::into)
        })
    }

    /// Runs `receive` if the runtime takes the socket for readable. A read that leaves room has emptied
    /// the socket: the runtime is told so, which spares the read that would only find nothing. What
    /// arrives later, the end included, is a new event.
    fn try_receive(
        &self,
        room: usize,
        receive: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut taken = None;
        let attempt = || match receive() {
            Ok(count) if count > 0 && count < room => {
                taken = Some(count);
                Err(io::ErrorKind::WouldBlock.into())
            }
            other => other,
        };
        let result = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, attempt),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, attempt),
        };
        taken.map_or(result, Ok)
    }

    /// Writes what the socket takes.
    pub fn try_write(&self, pieces: &[io::IoSlice]) -> io::Result<usize> {
        match (self, pieces) {
            (Self::Tcp(stream), [bytes]) => stream.try_write(bytes),
            (Self::Unix(stream), [bytes]) => stream.try_write(bytes),
            (Self::Tcp(stream), pieces) => stream.try_write_vectored(pieces),
            (Self::Unix(stream), pieces) => stream.try_write_vectored(pieces),
        }
    }

    /// Reads what is there, whatever the runtime knows of the socket.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let flags = rustix::net::RecvFlags::DONTWAIT;
        rustix::net::recv(self.as_fd(), buffer, flags).map(|(count, _)| count).map_err(Into::into)
    }

    /// Writes what the socket takes, whatever the runtime knows of it.
    pub fn write_now(&self, pieces: &[io::IoSlice]) -> io::Result<usize> {
        let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
        let mut control = rustix::net::SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self.as_fd(), pieces, &mut control, flags)?)
    }

    /// Ends both directions, so that whoever waits for the socket wakes up.
    pub fn shut_down(&self) {
        // A peer that is gone already makes this fail; the connection ends either way.
        let _ = rustix::net::shutdown(self.as_fd(), rustix::net::Shutdown::Both);
    }

    /// The socket once more, for a thread that writes to it.
    pub fn for_writing(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// The file descriptor's number, for CLIENT LIST.
    pub fn number(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }

    /// Peer and own address in Redis' notation.
    pub fn addresses(&self) -> (String, String) {
        match self {
            Self::Tcp(stream) => {
                let show = |address: io::Result<std::net::SocketAddr>| {
                    address.map(|address| address.to_string()).unwrap_or_else(|_| "?:0".to_owned())
                };
                (show(stream.peer_addr()), show(stream.local_addr()))
            }
            Self::Unix(stream) => {
                let path = stream.local_addr().ok().and_then(|address| {
                    address.as_pathname().map(|path| path.display().to_string())
                });
                let path = path.unwrap_or_default();
                (format!("{path}:0"), format!("{path}:0"))
            }
        }
    }

    /// Whether it is a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
