//! A server under load: where it is, connections to it, and the CPU time its process has used.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::replies::Scanner;
use crate::backup::server::{Address, PASSWORD_VARIABLES};
use crate::memory::kernel_file;

/// The kernel counts time in these units for programs, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Either kind of socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

pub(super) type Stream = Box<dyn Socket>;

/// A server.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    place: Arc<Place>,
    resp3: bool,
}

#[derive(Debug)]
enum Place {
    Tcp(Address),
    /// A path, and the password of the environment.
    Unix(String, Option<String>),
}

impl Target {
    /// `redis://[user:password@]host[:port]`, `host:port`, or `unix:PATH`.
    pub(super) fn parse(text: &str, resp3: bool) -> Result<Self, String> {
        let password = PASSWORD_VARIABLES.iter().filter_map(|name| std::env::var(name).ok()).next();
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            let place = Arc::new(Place::Unix(path.to_owned(), password));
            return Ok(Self { name: text.to_owned(), place, resp3 });
        }
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("redis://{text}"),
        };
        let address = Address::parse(&whole, password)?;
        let address = address.ok_or_else(|| format!("{text:?}: write redis://host:port"))?;
        if address.is_tls() {
            return Err(
                "the load generator measures without TLS: write redis://host:port".to_owned()
            );
        }
        Ok(Self { name: address.to_string(), place: Arc::new(Place::Tcp(address)), resp3 })
    }

    /// A connection that is logged in and speaks the chosen protocol.
    pub(super) async fn connect(&self) -> Result<Stream, String> {
        let connecting = async {
            let stream: Stream = match &*self.place {
                Place::Unix(path, _) => Box::new(UnixStream::connect(path).await?),
                Place::Tcp(address) => {
                    let stream = TcpStream::connect(address.place()).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
            };
            Ok::<_, std::io::Error>(stream)
        };
        let mut stream = tokio::time::timeout(CONNECT_WITHIN, connecting)
            .await
            .map_err(|_| format!("{}: no connection in {CONNECT_WITHIN:?}", self.name))?
            .map_err(|error| format!("{}: {error}", self.name))?;
        let login = match &*self.place {
            Place::Tcp(address) => address.login(),
            Place::Unix(_, password) => password.as_deref().map(|password| vec!["AUTH", password]),
        };
        if let Some(words) = login {
            self.call(&mut stream, &words).await?;
        }
        if self.resp3 {
            self.call(&mut stream, &["HELLO", "3"]).await?;
        }
        Ok(stream)
    }

    /// Sends one command; its reply as it came.
    pub(super) async fn call(&self, stream: &mut Stream, words: &[&str]) -> Result<String, String> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        let failed = |why: String| format!("{}: {why}", self.name);
        stream.write_all(&bytes).await.map_err(|error| failed(error.to_string()))?;
        let (mut scanner, mut reply, mut done) = (Scanner::default(), Vec::new(), false);
        while !done {
            let mut part = [0; 4096];
            let len = stream.read(&mut part).await.map_err(|error| failed(error.to_string()))?;
            let part = part.get(..len).unwrap_or_default();
            if part.is_empty() {
                return Err(failed("the connection was closed".to_owned()));
            }
            scanner.feed(part, |_| done = true).map_err(failed)?;
            reply.extend_from_slice(part);
        }
        match scanner.error {
            Some(error) => Err(failed(format!("{}: {error}", words.join(" ")))),
            None => Ok(String::from_utf8_lossy(&reply).into_owned()),
        }
    }

    /// The process behind it, if that is on this machine: by its number, and by when it began, for
    /// a port may lead into another machine or container where the number means something else.
    pub(super) async fn process(&self, stream: &mut Stream) -> Option<Process> {
        if let Place::Tcp(address) = &*self.place
            && !address.is_this_machine()
        {
            return None;
        }
        let info = self.call(stream, &["INFO", "server"]).await.ok()?;
        let field = |name: &str| -> Option<u64> {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().parse().ok()
        };
        let process = Process(field("process_id")?);
        let up = kernel_file("/proc/uptime").split('.').next()?.parse::<f64>().ok()?;
        let age = up - process.stat(19)? / TICKS_PER_SECOND;
        ((age - field("uptime_in_seconds")? as f64).abs() < 4.0).then_some(process)
    }
}

/// A process of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(u64);

impl Process {
    /// A field of its `stat`, counted from the one behind its name.
    fn stat(self, index: usize) -> Option<f64> {
        let text = kernel_file(&format!("/proc/{}/stat", self.0));
        // The name is in parentheses and may hold anything.
        let fields = text.rsplit_once(')')?.1;
        fields.split_ascii_whitespace().nth(index)?.parse().ok()
    }

    /// Seconds of CPU time that all of its threads have used.
    pub(super) fn cpu_seconds(self) -> Option<f64> {
        Some((self.stat(11)? + self.stat(12)?) / TICKS_PER_SECOND)
    }
}
