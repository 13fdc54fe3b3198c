//! A blocking client: sends requests, reads RESP2 and RESP3 replies, and never waits for ever.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::reply::Reply;

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, buffer: Vec::new(), start: 0 })
    }

    /// A second handle of the same connection, for reading replies while this one still sends.
    pub(crate) fn reader(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()?, buffer: Vec::new(), start: 0 })
    }

    pub(crate) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Sends one request and reads one reply.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.receive()
    }

    /// `call` of a line that is split at blanks; no quoting.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<Reply> {
        self.call(&line.split_ascii_whitespace().collect::<Vec<_>>())
    }

    /// `line` for steps that a test cannot go on without.
    pub(crate) fn must(&mut self, line: &str) -> Reply {
        let reply = self.line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(!reply.is_error(), "{line}: {reply}");
        reply
    }

    /// Sends several requests at once and reads as many replies.
    pub(crate) fn pipeline<A: AsRef<[u8]>>(
        &mut self,
        requests: &[Vec<A>],
    ) -> io::Result<Vec<Reply>> {
        let mut bytes = Vec::new();
        for request in requests {
            encode(&mut bytes, request);
        }
        self.stream.write_all(&bytes)?;
        requests.iter().map(|_| self.receive()).collect()
    }

    /// Sends several requests at once; the caller reads the replies.
    pub(crate) fn send_all<A: AsRef<[u8]>>(&mut self, requests: &[&[A]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for request in requests {
            encode(&mut bytes, request);
        }
        self.stream.write_all(&bytes)
    }

    pub(crate) fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, args);
        self.stream.write_all(&bytes)
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends the connection and returns once the server has seen that: what others do next comes after it.
    pub(crate) fn close(mut self) -> io::Result<()> {
        match self.stream.shutdown(std::net::Shutdown::Write) {
            // The server was first.
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
            outcome => outcome?,
        }
        loop {
            match self.fill() {
                Ok(_) => self.start = self.buffer.len(),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let line = self.read_line()?;
        let Some((&marker, rest)) = line.split_first() else {
            return Err(invalid("empty reply line"));
        };
        match marker {
            b'+' => Ok(Reply::Simple(rest.to_vec())),
            b'-' => Ok(Reply::Error(rest.to_vec())),
            b':' => Ok(Reply::Int(number(rest)?)),
            b',' => Ok(Reply::Double(rest.to_vec())),
            b'(' => Ok(Reply::BigNumber(rest.to_vec())),
            b'_' => Ok(Reply::Null),
            b'#' => Ok(Reply::Bool(rest == b"t")),
            b'$' if rest == b"-1" => Ok(Reply::NilBulk),
            b'$' => Ok(Reply::Bulk(self.read_body(number(rest)?)?)),
            b'!' => Ok(Reply::Error(self.read_body(number(rest)?)?)),
            b'=' => {
                let body = self.read_body(number(rest)?)?;
                let (format, text) =
                    body.split_at_checked(4).ok_or_else(|| invalid("short verbatim string"))?;
                Ok(Reply::Verbatim(format[..3].to_vec(), text.to_vec()))
            }
            b'*' if rest == b"-1" => Ok(Reply::NilArray),
            b'*' => Ok(Reply::Array(self.read_items(number(rest)?)?)),
            b'~' => Ok(Reply::Set(self.read_items(number(rest)?)?)),
            b'>' => Ok(Reply::Push(self.read_items(number(rest)?)?)),
            b'%' => {
                let flat = self.read_items(number(rest)? * 2)?;
                let mut pairs = Vec::with_capacity(flat.len() / 2);
                let mut items = flat.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Ok(Reply::Map(pairs))
            }
            _ => Err(invalid(&format!("not a reply: {}", String::from_utf8_lossy(&line)))),
        }
    }

    fn read_items(&mut self, count: i64) -> io::Result<Vec<Reply>> {
        (0..count).map(|_| self.receive()).collect()
    }

    /// A line of a reply, without its end.
    pub(crate) fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = self.start;
        loop {
            let found = self.buffer[searched..].windows(2).position(|pair| pair == b"\r\n");
            if let Some(at) = found {
                let line = self.buffer[self.start..searched + at].to_vec();
                self.start = searched + at + 2;
                return Ok(line);
            }
            searched = self.buffer.len().saturating_sub(1).max(self.start);
            let moved = self.fill()?;
            searched -= moved;
        }
    }

    fn read_body(&mut self, length: i64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| invalid("negative length"))?;
        while self.buffer.len() - self.start < length + 2 {
            self.fill()?;
        }
        let body = self.buffer[self.start..self.start + length].to_vec();
        if &self.buffer[self.start + length..self.start + length + 2] != b"\r\n" {
            return Err(invalid("a string does not end where its length says"));
        }
        self.start += length + 2;
        Ok(body)
    }

    /// Reads more bytes. Returns by how much the unread bytes moved towards the front.
    fn fill(&mut self) -> io::Result<usize> {
        let moved = self.start;
        self.buffer.drain(..moved);
        self.start = 0;
        let mut chunk = [0; 16 * 1024];
        let read = loop {
            match self.stream.read(&mut chunk) {
                // A signal, or a machine that was frozen: nothing of the connection has changed.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        match read {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            count => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(moved)
            }
        }
    }
}

fn encode<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn number(digits: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid("not a number in a reply"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
