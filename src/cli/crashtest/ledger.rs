//! What a client writes, what it knows of it, and how it compares after a restart.
//!
//! Each client owns its keys. Of each kind of write it knows how many were acknowledged and how many
//! were sent: what is found must lie between. A list is a journal without gaps, and the keys that one
//! transaction writes are always equal.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::rng::{Rng, SeededRng};

const PATIENCE: Duration = Duration::from_secs(20);

/// A blocking client that reads RESP2.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Whether the server has loaded its data and takes requests.
    pub(super) fn is_ready(&mut self) -> bool {
        self.ask("PING").is_ok_and(|reply| reply == ["PONG"])
    }

    /// Sends requests (words between blanks) and reads as many replies; an error reply is an error.
    fn pipeline(&mut self, lines: &[String]) -> io::Result<Vec<Vec<String>>> {
        let mut bytes = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            bytes.extend(format!("*{}\r\n", words.len()).bytes());
            for word in words {
                bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
            }
        }
        self.stream.get_mut().write_all(&bytes)?;
        lines.iter().map(|_| self.reply()).collect()
    }

    fn ask(&mut self, line: &str) -> io::Result<Vec<String>> {
        let mut replies = self.pipeline(&[line.to_owned()])?;
        Ok(replies.pop().unwrap_or_default())
    }

    fn number(&mut self, line: &str) -> io::Result<u64> {
        let reply = self.ask(line)?;
        Ok(reply.first().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// The strings of a reply, arrays flattened; nothing for nil.
    fn reply(&mut self) -> io::Result<Vec<String>> {
        let (mut open, mut strings) = (1u64, Vec::new());
        while open > 0 {
            open -= 1;
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            let rest = text.get(1..).unwrap_or_default();
            let number: i64 = rest.parse().unwrap_or(-1);
            match text.as_bytes().first() {
                Some(b'+' | b':') => strings.push(rest.to_owned()),
                Some(b'$') if number >= 0 => {
                    let len = usize::try_from(number).unwrap_or(0);
                    let mut body = vec![0; len + 2];
                    self.stream.read_exact(&mut body)?;
                    body.truncate(len);
                    strings.push(String::from_utf8_lossy(&body).into_owned());
                }
                Some(b'*') => open += u64::try_from(number).unwrap_or(0),
                Some(b'$') => {}
                _ => return Err(io::Error::other(text.to_owned())),
            }
        }
        Ok(strings)
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Finding {
    /// Writes that were acknowledged in the round.
    pub(super) acknowledged: u64,
    /// Writes that were acknowledged and are not there.
    pub(super) lost: u64,
    /// Transactions that are there in part, journals with gaps.
    pub(super) torn: u64,
    /// Writes that nobody sent.
    pub(super) strange: u64,
    /// One of them, in words.
    pub(super) example: Option<String>,
}

impl Finding {
    pub(super) fn wrong(&self) -> u64 {
        self.lost + self.torn + self.strange
    }
}

/// Writes of one kind, numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    acknowledged: u64,
    sent: u64,
}

impl Progress {
    fn next(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Compares, and goes on from what is there.
    fn settle(&mut self, what: &str, found: u64, finding: &mut Finding) {
        let (lost, strange) =
            (self.acknowledged.saturating_sub(found), found.saturating_sub(self.sent));
        finding.lost += lost;
        finding.strange += strange;
        if lost + strange > 0 {
            let Self { acknowledged, sent } = *self;
            let text = format!("{what}: {found} found, {acknowledged} acknowledged, {sent} sent");
            finding.example.get_or_insert(text);
        }
        *self = Self { acknowledged: found, sent: found };
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Ledger {
    id: u32,
    acknowledged: u64,
    counter: Progress,
    journal: Progress,
    pair: Progress,
}

impl Ledger {
    pub(super) fn new(id: u32) -> Self {
        let none = Progress::default();
        Self { id, acknowledged: 0, counter: none, journal: none, pair: none }
    }

    /// How many writes were acknowledged since the last call.
    pub(super) fn take_acknowledged(&mut self) -> u64 {
        std::mem::take(&mut self.acknowledged)
    }

    /// Writes until the connection breaks.
    pub(super) fn write_until_killed(&mut self, port: u16, rng: &mut SeededRng) {
        let Ok(mut connection) = Connection::open(port) else { return };
        while self.step(&mut connection, rng).is_ok() {}
    }

    fn step(&mut self, connection: &mut Connection, rng: &mut SeededRng) -> io::Result<()> {
        let id = self.id;
        let (progress, lines) = match rng.below(3) {
            0 => {
                self.counter.next();
                (&mut self.counter, vec![format!("INCR crashtest:{id}:counter")])
            }
            1 => {
                // Several are on their way at once.
                let count = 1 + rng.below(20);
                let line = |_| format!("RPUSH crashtest:{id}:journal {}", self.journal.next());
                let lines = (0..count).map(line).collect();
                (&mut self.journal, lines)
            }
            _ => {
                let number = self.pair.next();
                let lines = vec![
                    "MULTI".to_owned(),
                    format!("SET crashtest:{id}:a {number}"),
                    format!("HSET crashtest:{id}:b value {number}"),
                    "EXEC".to_owned(),
                ];
                (&mut self.pair, lines)
            }
        };
        connection.pipeline(&lines)?;
        self.acknowledged += progress.sent - progress.acknowledged;
        progress.acknowledged = progress.sent;
        Ok(())
    }

    /// Compares with what the server has.
    pub(super) fn verify(&mut self, port: u16, finding: &mut Finding) -> Result<(), String> {
        self.compare(port, finding)
            .map_err(|error| format!("cannot look at what is there: {error}"))
    }

    fn compare(&mut self, port: u16, finding: &mut Finding) -> io::Result<()> {
        let id = self.id;
        let mut connection = Connection::open(port)?;
        let counter = connection.number(&format!("GET crashtest:{id}:counter"))?;
        self.counter.settle(&format!("counter of client {id}"), counter, finding);
        let journal = connection.ask(&format!("LRANGE crashtest:{id}:journal 0 -1"))?;
        let in_order =
            journal.iter().zip(1u64..).all(|(entry, number)| *entry == number.to_string());
        if !in_order {
            finding.torn += 1;
            finding.example.get_or_insert(format!("journal of client {id} has gaps"));
        }
        self.journal.settle(&format!("journal of client {id}"), journal.len() as u64, finding);
        let first = connection.number(&format!("GET crashtest:{id}:a"))?;
        let second = connection.number(&format!("HGET crashtest:{id}:b value"))?;
        if first != second {
            finding.torn += 1;
            let text =
                format!("transaction of client {id}: {first} in one key, {second} in the other");
            finding.example.get_or_insert(text);
        }
        self.pair.settle(&format!("transactions of client {id}"), first.min(second), finding);
        if !in_order || first != second {
            // From here on it could not be told what was lost when.
            connection
                .ask(&format!("DEL crashtest:{id}:journal crashtest:{id}:a crashtest:{id}:b"))?;
            self.journal = Progress::default();
            self.pair = Progress::default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_was_never_sent_is_counted() {
        let mut finding = Finding::default();
        let settle = |found, finding: &mut Finding| {
            Progress { acknowledged: 5, sent: 7 }.settle("x", found, finding);
        };
        for found in 5..=7 {
            settle(found, &mut finding);
        }
        assert_eq!((finding.wrong(), &finding.example), (0, &None));
        settle(3, &mut finding);
        settle(8, &mut finding);
        assert_eq!((finding.lost, finding.strange), (2, 1));
        assert!(finding.example.unwrap().starts_with("x: 3 found"));
    }
}
