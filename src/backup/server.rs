//! A running server as a source: asked over RESP, or read as a replica reads.
//!
//! A Fastness on this machine is asked where its files are, and they are read beside it: they are
//! consistent at every instant (see `source`). Any other Fastness, Redis or Valkey is asked for a full
//! synchronization, as `redis-cli --rdb` does; the snapshot that it sends is written to a file and checked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::BackupError;
use super::tls::{self, TlsOptions, TlsStream};
use crate::clock::Clock;
use crate::disk::DiskFile;

/// A server that says nothing for so long is given up; while it makes a snapshot it sends newlines.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a save of the server may take.
const SAVE_WITHIN: Duration = Duration::from_secs(3600);
const LINE_BYTES_MAX: u64 = 64 << 10;
/// A dumped value can be as long as a value can be.
const REPLY_BYTES_MAX: u64 = 4 << 30;
/// Environment variables with a password, for addresses without one; the second is redis-cli's.
pub const PASSWORD_VARIABLES: [&str; 2] = ["FASTNESS_PASSWORD", "REDISCLI_AUTH"];

/// Where a server is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
    tls: bool,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Address {
    /// `redis://[user:password@]host[:port]`, or `rediss://` for TLS; `None` when `text` is no such address.
    pub fn parse(text: &str, password: Option<String>) -> Result<Option<Self>, String> {
        let (tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Ok(None),
        };
        let rest = rest.trim_end_matches('/');
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (user, own_password) =
            match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
                None => (None, None),
                Some(("" | "default", password)) => (None, Some(unescape(password)?)),
                Some((user, password)) => (Some(unescape(user)?), Some(unescape(password)?)),
            };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("a [ without ]")?;
                (host, port.strip_prefix(':').unwrap_or("6379"))
            }
            None => place.rsplit_once(':').unwrap_or((place, "6379")),
        };
        let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        if host.is_empty() {
            return Err("the address has no host".to_owned());
        }
        let password = own_password.or(password);
        Ok(Some(Self { host: host.to_owned(), port, user, password, tls }))
    }

    /// Whether it is a `rediss://` address.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host and port.
    pub fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The command that logs in, if there is a password.
    pub fn login(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        let mut words = vec!["AUTH"];
        words.extend(self.user.as_deref());
        words.push(password);
        Some(words)
    }

    /// Whether the host is a name or address of this machine's loopback.
    pub fn is_this_machine(&self) -> bool {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found.is_ok_and(|mut found| found.any(|address| address.ip().is_loopback()))
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte == b'%' {
            let digits = rest.get(..2).and_then(|digits| str::from_utf8(digits).ok());
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(value.ok_or("a % without two hexadecimal digits")?);
            rest = rest.get(2..).unwrap_or_default();
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    address: Address,
    stream: BufReader<Stream>,
}

/// The way to a server.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl std::io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl std::io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// What a server says of itself.
#[derive(Debug, Default)]
pub struct Facts {
    info: String,
}

impl Facts {
    /// A field of INFO.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    fn number(&self, name: &str) -> u64 {
        self.field(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Databases that hold keys, and how many each.
    pub fn databases(&self) -> Vec<(u32, u64)> {
        let found = self.info.lines().filter_map(|line| {
            let (db, fields) = line.strip_prefix("db")?.split_once(':')?;
            let keys = fields.split(',').find_map(|field| field.strip_prefix("keys="))?;
            Some((db.parse().ok()?, keys.parse().ok()?))
        });
        found.collect()
    }

    /// Whether it is one of ours.
    pub fn is_fastness(&self) -> bool {
        self.field("fastness_version").is_some()
    }

    /// The program and its version.
    pub fn producer(&self) -> String {
        for (field, name) in [
            ("fastness_version", "fastness"),
            ("valkey_version", "valkey"),
            ("redis_version", "redis"),
        ] {
            if let Some(version) = self.field(field) {
                return format!("{name} {version}");
            }
        }
        String::new()
    }
}

/// Where the files of a Fastness on this machine are.
#[derive(Debug, PartialEq, Eq)]
pub struct Files {
    /// The data directory.
    pub dir: String,
    /// The snapshot's name, when there is no log; it was made just now.
    pub snapshot: Option<String>,
}

impl Connection {
    /// Connects and logs in.
    pub fn open(address: &Address, options: &TlsOptions) -> Result<Self, BackupError> {
        let failed = |why: String| BackupError::Server { what: format!("{address}: {why}") };
        let places = (address.host.as_str(), address.port).to_socket_addrs();
        let places = places.map_err(|error| failed(error.to_string()))?;
        let mut last = "the host has no address".to_owned();
        let stream = places.into_iter().find_map(|place| {
            TcpStream::connect_timeout(&place, CONNECT_WITHIN)
                .map_err(|error| last = error.to_string())
                .ok()
        });
        let stream = stream.ok_or_else(|| failed(last))?;
        let timeouts = stream
            .set_read_timeout(Some(SILENCE))
            .and_then(|()| stream.set_write_timeout(Some(SILENCE)));
        timeouts.map_err(|error| failed(error.to_string()))?;
        let stream = match address.tls {
            true => {
                let wrapped = tls::wrap(stream, &address.host, options).map_err(failed)?;
                Stream::Tls(Box::new(wrapped))
            }
            false => Stream::Plain(stream),
        };
        let mut connection = Self { address: address.clone(), stream: BufReader::new(stream) };
        if let Some(words) = address.login() {
            connection.call(&words)?;
        }
        Ok(connection)
    }

    fn failed(&self, why: impl std::fmt::Display) -> BackupError {
        BackupError::Server { what: format!("{}: {why}", self.address) }
    }

    fn send(&mut self, words: &[&str]) -> Result<(), BackupError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.send_bytes(&words)
    }

    /// Sends a command; its reply waits for [`Connection::receive`].
    pub fn send_bytes(&mut self, words: &[&[u8]]) -> Result<(), BackupError> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        let stream = self.stream.get_mut();
        let sent = stream.write_all(&bytes).and_then(|()| stream.flush());
        sent.map_err(|error| self.failed(error))
    }

    fn line(&mut self) -> Result<String, BackupError> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(|error| self.failed(error))?;
        match line.strip_suffix(b"\n") {
            Some(line) => {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Ok(String::from_utf8_lossy(line).into_owned())
            }
            None => Err(self.failed("the connection ended, or the reply makes no sense")),
        }
    }

    /// Sends a command; the words of its reply, an array flattened.
    pub fn call(&mut self, words: &[&str]) -> Result<Vec<String>, BackupError> {
        self.send(words)?;
        let reply = self.receive()?;
        Ok(reply.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
    }

    /// The same for words that may be any bytes.
    pub fn request(&mut self, words: &[&[u8]]) -> Result<Vec<Vec<u8>>, BackupError> {
        self.send_bytes(words)?;
        self.receive()
    }

    /// The words of the next reply; what is not there has no bytes.
    pub fn receive(&mut self) -> Result<Vec<Vec<u8>>, BackupError> {
        let mut out = Vec::new();
        self.reply(&mut out, 0)?;
        Ok(out)
    }

    fn reply(&mut self, out: &mut Vec<Vec<u8>>, depth: usize) -> Result<(), BackupError> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
        let number = || rest.parse::<i64>().ok();
        match kind {
            "+" | ":" => out.push(rest.as_bytes().to_vec()),
            "-" => return Err(self.failed(rest)),
            "$" => match number() {
                Some(-1) => out.push(Vec::new()),
                Some(len) if (0..=REPLY_BYTES_MAX as i64).contains(&len) => {
                    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0) + 2];
                    self.stream.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
                    bytes.truncate(bytes.len() - 2);
                    out.push(bytes);
                }
                _ => return Err(self.failed("the reply makes no sense")),
            },
            "*" if depth < 8 => {
                for _ in 0..number().filter(|count| *count < 1_000_000).unwrap_or(0) {
                    self.reply(out, depth + 1)?;
                }
            }
            _ => return Err(self.failed("the reply makes no sense")),
        }
        Ok(())
    }

    /// Sends requests and reads their replies, none of which may be an error.
    pub fn exchange(&mut self, requests: &[u8], count: usize) -> Result<(), BackupError> {
        let stream = self.stream.get_mut();
        let sent = stream.write_all(requests).and_then(|()| stream.flush());
        sent.map_err(|error| self.failed(error))?;
        let mut replies = Vec::new();
        (0..count).try_for_each(|_| {
            replies.clear();
            self.reply(&mut replies, 0)
        })
    }

    /// What the server says of itself.
    pub fn facts(&mut self) -> Result<Facts, BackupError> {
        let info = self.call(&["INFO", "everything"])?.into_iter().next().unwrap_or_default();
        Ok(Facts { info })
    }

    fn setting(&mut self, name: &str) -> Result<String, BackupError> {
        Ok(self.call(&["CONFIG", "GET", name])?.into_iter().nth(1).unwrap_or_default())
    }

    /// Where the files of this Fastness are, with everything in them that it has replied to so far.
    /// `None`: it is on another machine, or in a container. `holds` tells whether the lock of a directory is held by
    /// this run of a server.
    pub fn local_files(
        &mut self,
        facts: &Facts,
        clock: &dyn Clock,
        holds: &dyn Fn(&str, &str) -> bool,
    ) -> Result<Option<Files>, BackupError> {
        if !self.address.is_this_machine() {
            return Ok(None);
        }
        let dir = self.setting("dir")?;
        // The same path may be another directory here, and the same process id another server there.
        let run_id = facts.field("run_id").unwrap_or_default();
        if run_id.is_empty() || !holds(&dir, run_id) {
            return Ok(None);
        }
        if facts.number("aof_enabled") == 1 {
            let until = clock.monotonic() + SILENCE;
            let appended = facts.number("aof_position_appended");
            while self.facts()?.number("aof_position_written") < appended {
                if clock.monotonic() > until {
                    return Err(self.failed("its log is not written: see aof_state in INFO"));
                }
                clock.sleep(Duration::from_millis(20));
            }
            return Ok(Some(Files { dir, snapshot: None }));
        }
        self.save(clock)?;
        let snapshot = Some(self.setting("dbfilename")?);
        Ok(Some(Files { dir, snapshot }))
    }

    /// Makes the server save a snapshot that is newer than this call.
    fn save(&mut self, clock: &dyn Clock) -> Result<(), BackupError> {
        let until = clock.monotonic() + SAVE_WITHIN;
        let mut asked = false;
        loop {
            let facts = self.facts()?;
            let running = facts.number("rdb_bgsave_in_progress") == 1;
            if asked && !running {
                return match facts.field("rdb_last_bgsave_status") {
                    Some("ok") => Ok(()),
                    _ => Err(self.failed("the server's save failed: see its log")),
                };
            }
            if !asked && !running {
                self.call(&["BGSAVE"])?;
                asked = true;
            }
            if clock.monotonic() > until {
                return Err(self.failed("the server's save does not end"));
            }
            clock.sleep(Duration::from_millis(50));
        }
    }

    /// Asks for a full synchronization and writes the snapshot to `file`; its length.
    pub fn synchronize(
        &mut self,
        file: &dyn DiskFile,
        progress: &dyn Fn(u64, u64),
    ) -> Result<u64, BackupError> {
        // Servers that do not know these refuse them, and that is fine.
        for option in [["capa", "eof"], ["rdb-only", "1"]] {
            self.send(&["REPLCONF", option[0], option[1]])?;
            self.line()?;
        }
        self.send(&["PSYNC", "?", "-1"])?;
        let mut line = self.line_with_text()?;
        if line.starts_with('-') {
            return Err(self.failed(line.trim_start_matches('-')));
        }
        if line.starts_with('+') {
            line = self.line_with_text()?;
        }
        let Some(head) = line.strip_prefix('$') else {
            return Err(self.failed(format!("no snapshot but {line:?}")));
        };
        match head.strip_prefix("EOF:") {
            Some(mark) if mark.len() == 40 => self.until_mark(mark.as_bytes(), file, progress),
            _ => {
                let len = head.parse().map_err(|_| self.failed("the snapshot has no length"))?;
                self.exactly(len, file, progress)
            }
        }
    }

    /// The next line that is not one of those that keep the connection alive.
    fn line_with_text(&mut self) -> Result<String, BackupError> {
        loop {
            let line = self.line()?;
            if !line.is_empty() {
                return Ok(line);
            }
        }
    }

    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, BackupError> {
        match self.stream.read(buffer) {
            Ok(0) => Err(self.failed("the connection ended inside the snapshot")),
            Ok(taken) => Ok(taken),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn exactly(
        &mut self,
        len: u64,
        file: &dyn DiskFile,
        progress: &dyn Fn(u64, u64),
    ) -> Result<u64, BackupError> {
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        while at < len {
            let most = usize::try_from(len - at).unwrap_or(usize::MAX).min(buffer.len());
            let taken = self.some(buffer.get_mut(..most).unwrap_or_default())?;
            file.write_all_at(at, buffer.get(..taken).unwrap_or_default())?;
            at += taken as u64;
            progress(at, len);
        }
        Ok(len)
    }

    /// A snapshot of unknown length, which ends with `mark`.
    fn until_mark(
        &mut self,
        mark: &[u8],
        file: &dyn DiskFile,
        progress: &dyn Fn(u64, u64),
    ) -> Result<u64, BackupError> {
        let mut held: Vec<u8> = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        loop {
            let taken = self.some(&mut buffer)?;
            held.extend_from_slice(buffer.get(..taken).unwrap_or_default());
            // The server sends nothing behind the mark but what it replicates from then on.
            let from = held.len().saturating_sub(taken + mark.len());
            let tail = held.get(from..).unwrap_or_default();
            let end = tail.windows(mark.len()).position(|window| window == mark);
            let ready = end.map_or(held.len().saturating_sub(mark.len()), |end| from + end);
            file.write_all_at(at, held.get(..ready).unwrap_or_default())?;
            at += ready as u64;
            progress(at, 0);
            if end.is_some() {
                return Ok(at);
            }
            held.drain(..ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_and_never_show_their_secrets() {
        let parse = |text: &str| Address::parse(text, None);
        let address = parse("redis://me:s%40crt@[::1]:7000/").unwrap().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 7000));
        assert_eq!(
            (address.user.as_deref(), address.password.as_deref()),
            (Some("me"), Some("s@crt"))
        );
        assert_eq!(format!("{address} {address:?}"), "redis://[::1]:7000 redis://[::1]:7000");
        let address = parse("redis://:pw@db").unwrap().unwrap();
        assert_eq!(
            (address.port, address.user, address.password.as_deref()),
            (6379, None, Some("pw"))
        );
        let address = Address::parse("redis://db:1", Some("env".to_owned())).unwrap().unwrap();
        assert_eq!(address.password.as_deref(), Some("env"));
        assert_eq!(parse("/var/lib/redis"), Ok(None));
        let address = parse("rediss://me:pw@[::1]:7000").unwrap().unwrap();
        assert!(address.is_tls());
        assert_eq!(format!("{address}"), "rediss://[::1]:7000");
        for bad in ["rediss://", "redis://", "redis://x:99999", "redis://[::1", "redis://a:%zz@x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
