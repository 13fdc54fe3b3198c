//! What a client writes, what it knows of it, and how it compares after a restart.
//!
//! Each client owns its keys. Of each kind of write it knows how many were acknowledged and how many
//! were sent: what is found must lie between. A list is a journal without gaps, the keys that one
//! transaction writes are always equal, and nothing is there that a client wrote after something that is not.
//! Clients look at each other's counters; what one was shown may not be gone where a reply means that it is safe.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::clock::Clock;
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

    /// Asks for what may as well be refused.
    fn ask_in_vain(&mut self, line: &str) -> io::Result<()> {
        match self.ask(line) {
            Err(error) if error.kind() != io::ErrorKind::Other => Err(error),
            _ => Ok(()),
        }
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
    /// When the oldest of these was acknowledged.
    pub(super) oldest_lost: Option<Duration>,
    /// Transactions that are there in part, journals with gaps, later writes of a client without earlier ones.
    pub(super) torn: u64,
    /// Writes that nobody sent.
    pub(super) strange: u64,
    /// Values that another client was shown and that are not there.
    pub(super) shown: u64,
    /// One of them, in words.
    pub(super) example: Option<String>,
}

impl Finding {
    fn note(&mut self, example: impl FnOnce() -> String) {
        self.example.get_or_insert_with(example);
    }
}

/// The kinds of writes; each is numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Journal,
    Pair,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::Counter, "counter"), (Kind::Journal, "journal"), (Kind::Pair, "transactions")];

/// How far the writes of one kind got.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    acknowledged: u64,
    sent: u64,
}

/// One write of the current round.
#[derive(Clone, Copy, Debug)]
struct Sent {
    kind: Kind,
    number: u64,
    acknowledged: Option<Duration>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Ledger {
    id: u32,
    progress: [Progress; KINDS.len()],
    /// What was sent since the last comparison, in order.
    round: Vec<Sent>,
    /// The highest counters of the other clients that it was shown, by their number.
    seen: Vec<u64>,
}

impl Ledger {
    /// Client `id` of `count`.
    pub(super) fn new(id: u32, count: u32) -> Self {
        let seen = vec![0; count as usize];
        Self { id, progress: Default::default(), round: Vec::new(), seen }
    }

    /// How many writes were acknowledged since the last comparison.
    pub(super) fn acknowledged(&self) -> u64 {
        self.round.iter().filter(|sent| sent.acknowledged.is_some()).count() as u64
    }

    /// When the last of them was acknowledged.
    pub(super) fn last_acknowledged(&self) -> Option<Duration> {
        self.round.iter().filter_map(|sent| sent.acknowledged).max()
    }

    /// Writes until the connection breaks.
    pub(super) fn write_until_killed(&mut self, port: u16, rng: &mut SeededRng, clock: &dyn Clock) {
        let Ok(mut connection) = Connection::open(port) else { return };
        while self.step(&mut connection, rng, clock).is_ok() {}
    }

    fn send(&mut self, kind: Kind) -> u64 {
        let Some(progress) = self.progress.get_mut(kind as usize) else { return 0 };
        progress.sent += 1;
        let number = progress.sent;
        self.round.push(Sent { kind, number, acknowledged: None });
        number
    }

    fn step(
        &mut self,
        connection: &mut Connection,
        rng: &mut SeededRng,
        clock: &dyn Clock,
    ) -> io::Result<()> {
        let (id, first) = (self.id, self.round.len());
        let lines = match rng.below(500) {
            0 => return connection.ask_in_vain("BGREWRITEAOF"),
            1..60 => return self.look(connection, rng),
            60..210 => {
                self.send(Kind::Counter);
                vec![format!("INCR crashtest:{id}:counter")]
            }
            210..360 => {
                // Several are on their way at once.
                let count = 1 + rng.below(20);
                let mut line =
                    |_| format!("RPUSH crashtest:{id}:journal {}", self.send(Kind::Journal));
                (0..count).map(&mut line).collect()
            }
            _ => {
                let number = self.send(Kind::Pair);
                vec![
                    "MULTI".to_owned(),
                    format!("SET crashtest:{id}:a {number}"),
                    format!("HSET crashtest:{id}:b value {number}"),
                    "EXEC".to_owned(),
                ]
            }
        };
        connection.pipeline(&lines)?;
        let now = clock.monotonic();
        for sent in self.round.iter_mut().skip(first) {
            sent.acknowledged = Some(now);
            if let Some(progress) = self.progress.get_mut(sent.kind as usize) {
                progress.acknowledged = progress.sent;
            }
        }
        Ok(())
    }

    /// Reads the counter of another client.
    fn look(&mut self, connection: &mut Connection, rng: &mut SeededRng) -> io::Result<()> {
        let other = rng.index(self.seen.len());
        let value = connection.number(&format!("GET crashtest:{other}:counter"))?;
        if let Some(seen) = self.seen.get_mut(other) {
            *seen = value.max(*seen);
        }
        Ok(())
    }

    /// Compares with what the server has.
    pub(super) fn verify(&mut self, port: u16, finding: &mut Finding) -> Result<(), String> {
        self.compare(port, finding)
            .map_err(|error| format!("cannot look at what is there: {error}"))
    }

    /// After all were verified: how much of what this client was shown is not there.
    pub(super) fn verify_shown(&mut self, counters: &[u64], finding: &mut Finding) {
        for ((seen, counter), id) in self.seen.iter_mut().zip(counters).zip(0..) {
            if *seen > *counter {
                finding.shown += 1;
                let text = format!("counter of client {id}: {counter} found, {seen} was shown");
                finding.note(|| text);
            }
            *seen = 0;
        }
    }

    /// What the last comparison found of its counter.
    pub(super) fn counter(&self) -> u64 {
        self.progress.first().map_or(0, |progress| progress.acknowledged)
    }

    fn compare(&mut self, port: u16, finding: &mut Finding) -> io::Result<()> {
        let id = self.id;
        let mut connection = Connection::open(port)?;
        let counter = connection.number(&format!("GET crashtest:{id}:counter"))?;
        let journal = connection.ask(&format!("LRANGE crashtest:{id}:journal 0 -1"))?;
        let in_order =
            journal.iter().zip(1u64..).all(|(entry, number)| *entry == number.to_string());
        if !in_order {
            finding.torn += 1;
            finding.note(|| format!("journal of client {id} has gaps"));
        }
        let first = connection.number(&format!("GET crashtest:{id}:a"))?;
        let second = connection.number(&format!("HGET crashtest:{id}:b value"))?;
        if first != second {
            finding.torn += 1;
            finding.note(|| {
                format!("transaction of client {id}: {first} in one key, {second} in the other")
            });
        }
        self.settle([counter, journal.len() as u64, first.min(second)], finding);
        if !in_order || first != second {
            // From here on it could not be told what was lost when.
            connection
                .ask(&format!("DEL crashtest:{id}:journal crashtest:{id}:a crashtest:{id}:b"))?;
            for kind in [Kind::Journal, Kind::Pair] {
                if let Some(progress) = self.progress.get_mut(kind as usize) {
                    *progress = Progress::default();
                }
            }
        }
        Ok(())
    }

    /// Compares how far each kind got, and goes on from what is there.
    fn settle(&mut self, found: [u64; KINDS.len()], finding: &mut Finding) {
        let id = self.id;
        for ((progress, found), (_, what)) in self.progress.iter_mut().zip(found).zip(KINDS) {
            let Progress { acknowledged, sent } = *progress;
            let (lost, strange) = (acknowledged.saturating_sub(found), found.saturating_sub(sent));
            finding.lost += lost;
            finding.strange += strange;
            if lost + strange > 0 {
                finding.note(|| {
                    format!(
                        "{what} of client {id}: {found} found, {acknowledged} acknowledged, {sent} sent"
                    )
                });
            }
            *progress = Progress { acknowledged: found, sent: found };
        }
        let mut missing = false;
        let mut hole = false;
        for sent in self.round.drain(..) {
            let is_there = found.get(sent.kind as usize).is_some_and(|found| sent.number <= *found);
            hole |= missing && is_there;
            missing |= !is_there;
            if let Some(at) = sent.acknowledged.filter(|_| !is_there) {
                finding.oldest_lost = Some(finding.oldest_lost.map_or(at, |oldest| oldest.min(at)));
            }
        }
        if hole {
            finding.torn += 1;
            finding.note(|| format!("client {id}: a later write is there, an earlier one is not"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that sent two counters, a transaction and another counter, of which the last is not acknowledged.
    fn settled(found: [u64; 3]) -> Finding {
        let mut ledger = Ledger::new(0, 1);
        for (kind, at) in
            [(Kind::Counter, 1), (Kind::Counter, 2), (Kind::Pair, 3), (Kind::Counter, 0)]
        {
            ledger.send(kind);
            if at > 0 {
                ledger.round.last_mut().unwrap().acknowledged = Some(Duration::from_secs(at));
                let progress = &mut ledger.progress[kind as usize];
                progress.acknowledged = progress.sent;
            }
        }
        let mut finding = Finding::default();
        ledger.settle(found, &mut finding);
        finding
    }

    #[test]
    fn what_is_missing_or_was_never_sent_is_counted() {
        for found in [[2, 0, 1], [3, 0, 1]] {
            let finding = settled(found);
            assert_eq!((finding.lost, finding.torn, finding.strange), (0, 0, 0));
            assert_eq!((finding.oldest_lost, finding.example), (None, None));
        }
        let finding = settled([1, 0, 0]);
        assert_eq!((finding.lost, finding.torn, finding.strange), (2, 0, 0));
        assert_eq!(finding.oldest_lost, Some(Duration::from_secs(2)));
        assert!(finding.example.unwrap().starts_with("counter of client 0: 1 found"));
        let finding = settled([4, 0, 1]);
        assert_eq!((finding.lost, finding.strange), (0, 1));
    }

    #[test]
    fn a_later_write_without_an_earlier_one_is_noticed() {
        let finding = settled([1, 0, 1]);
        assert_eq!((finding.lost, finding.torn), (1, 1));
        let finding = settled([3, 0, 0]);
        assert_eq!((finding.lost, finding.torn), (1, 1));
    }

    #[test]
    fn a_value_that_was_shown_and_is_gone_is_noticed() {
        let mut ledger = Ledger::new(0, 2);
        ledger.seen = vec![3, 4];
        let mut finding = Finding::default();
        ledger.verify_shown(&[3, 3], &mut finding);
        assert_eq!(finding.shown, 1);
        ledger.verify_shown(&[3, 3], &mut finding);
        assert_eq!(finding.shown, 1);
    }
}
