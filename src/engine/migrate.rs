//! MIGRATE's work: sending keys to another server, and giving them up here when they are there.
//!
//! The sending takes place outside the engine's lock, on a thread of its own, while the client waits. A
//! key that was changed meanwhile is sent again, this time under the lock, and one that is gone is deleted there, so
//! that no write is lost and none is on both sides. Inside a transaction or a script everything happens under the lock.
//!
//! Nothing leaves this server that the other one has not acknowledged. When the connection breaks, what
//! was acknowledged is gone from here, the rest stays, and the client is told.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use super::Engine;
use crate::clock::UnixMillis;
use crate::command::generic::{MigratedKey, Migration};
use crate::keyspace::event;
use crate::resp::{Args, Reply};
use crate::session::wait::TimeoutReply;
use crate::session::{ClientId, Release, Wait, WaitKind};
use crate::snapshot::dump;
use crate::snapshot::view::with_view;

/// Longest reply line that is read from the other server.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A migration on its way to a thread.
#[derive(Debug)]
pub struct MigrationJob {
    client: ClientId,
    migration: Migration,
}

/// What came back: how many keys were answered, those that the other server did not take, and what went
/// wrong first.
#[derive(Debug, Default)]
struct Sent {
    taken: Vec<bool>,
    failure: Option<String>,
}

impl MigrationJob {
    /// Sends the keys. Outside the lock.
    pub fn run(self, now: UnixMillis) -> FinishedMigration {
        let sent = send(&self.migration, now);
        FinishedMigration { job: self, sent }
    }
}

/// A migration whose keys were sent.
#[derive(Debug)]
pub struct FinishedMigration {
    job: MigrationJob,
    sent: Sent,
}

/// Migrations on their way, and which keys they gave up, to whom: one that carries a key which another gave up to the same
/// server must not take it from there.
#[derive(Debug, Default)]
pub struct Migrations {
    /// To be handed to a thread.
    pub begun: Vec<MigrationJob>,
    under_way: usize,
    given_up: HashMap<(usize, Vec<u8>), Target>,
}

/// Where a key went: host, port, database there.
type Target = (String, String, i64);

fn target(migration: &Migration) -> Target {
    (migration.host.clone(), migration.port.clone(), migration.target_db)
}

impl Migrations {
    fn begin(&mut self, job: MigrationJob) {
        self.under_way += 1;
        self.begun.push(job);
    }

    fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.given_up = HashMap::new();
        }
    }

    fn gave_up(&mut self, migration: &Migration, name: &[u8]) {
        if self.under_way > 0 {
            self.given_up.insert((migration.db, name.to_vec()), target(migration));
        }
    }

    /// Whether the key is there because another migration left it there.
    fn is_there(&self, migration: &Migration, name: &[u8]) -> bool {
        let given_up = self.given_up.get(&(migration.db, name.to_vec()));
        given_up.is_some_and(|to| *to == target(migration))
    }
}

impl Engine {
    /// Does a migration, or hands it to a thread and makes the client wait. True when it waits.
    pub(super) fn migrate(
        &mut self,
        id: ClientId,
        migration: Migration,
        args: &Args,
        reply: &mut Reply,
    ) -> bool {
        if migration.in_background {
            let on_timeout = TimeoutReply::Null;
            self.wait(id, Wait::until(WaitKind::Time, None, on_timeout), args);
            self.migrations.begin(MigrationJob { client: id, migration });
            return true;
        }
        let sent = send(&migration, self.ks.now);
        let failure = self.give_up(&migration, sent, false);
        answer(reply, failure);
        false
    }

    /// Ends a migration: gives up what the other server has, answers the client.
    pub fn finish_migration(&mut self, finished: FinishedMigration) {
        let FinishedMigration { job: MigrationJob { client, migration }, sent } = finished;
        self.begin_batch();
        self.ks.effects.clear();
        self.ks.need = 0;
        let failure = self.give_up(&migration, sent, true);
        self.migrations.end();
        let wrote = self.commit(client);
        let release = Release { need: self.ks.need, needs_sync: false, wrote };
        let resp3 = self.sessions.client(client).is_some_and(|client| client.resp3);
        if let Some(waiter) = self.end_wait(client) {
            self.count_wait(client, &waiter, failure.is_some());
            let mut reply = Reply::new(resp3);
            answer(&mut reply, failure);
            let mail = self.sessions.resume(client, reply.buffer, release, self.ks.now);
            self.sessions.outgoing.push(mail);
        }
    }

    /// Deletes the keys that the other server took. With `check`, those that are not any more what was
    /// sent are sent again first, and those that are gone are taken back from it.
    fn give_up(&mut self, migration: &Migration, sent: Sent, check: bool) -> Option<String> {
        let mut changed = Vec::new();
        for (key, taken) in migration.keys.iter().zip(&sent.taken) {
            if !taken || migration.copy {
                continue;
            }
            match self.as_migrated(migration.db, &key.name) {
                Some(current) if check && current != *key => changed.push(current),
                Some(_) => {
                    self.remove_migrated(migration.db, &key.name);
                    self.migrations.gave_up(migration, &key.name);
                }
                None if check && !self.migrations.is_there(migration, &key.name) => {
                    changed.push(MigratedKey::gone(&key.name));
                }
                None => {}
            }
        }
        if changed.is_empty() {
            return sent.failure;
        }
        let again = Migration { keys: changed, replace: true, ..migration.clone() };
        let second = send(&again, self.ks.now);
        let failure = self.give_up(&again, second, false);
        sent.failure.or(failure)
    }

    fn as_migrated(&mut self, db: usize, name: &[u8]) -> Option<MigratedKey> {
        let entry = self.ks.peek(db, name)?;
        let mut payload = Vec::new();
        with_view(entry.value(), |view| dump::dump(&mut payload, view));
        Some(MigratedKey { name: name.to_vec(), expire: entry.expire_at(), payload })
    }

    fn remove_migrated(&mut self, db: usize, name: &[u8]) {
        if self.ks.discard(db, name) {
            self.ks.effects.record(db, &[b"DEL", name]);
            self.ks.changed(db, name, event::GENERIC, "del");
        }
    }
}

fn answer(reply: &mut Reply, failure: Option<String>) {
    match failure {
        None => reply.ok(),
        Some(text) => reply.error(&text),
    }
}

/// Sends all keys, and reads what the other server says of each.
fn send(migration: &Migration, now: UnixMillis) -> Sent {
    let mut sent = Sent { taken: vec![false; migration.keys.len()], failure: None };
    let stream = match connect(migration) {
        Ok(stream) => stream,
        Err(error) => {
            // Redis notices a refused connection when it writes.
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let what =
                if refused { "writing to target instance" } else { "connecting to the client" };
            return Sent { failure: Some(format!("IOERR error or timeout {what}")), ..sent };
        }
    };
    if (&stream).write_all(&requests(migration, now)).is_err() {
        let text = "IOERR error or timeout writing to target instance".to_owned();
        return Sent { failure: Some(text), ..sent };
    }
    let mut replies = BufReader::new(stream);
    if read_replies(&mut replies, migration, &mut sent).is_err() {
        sent.failure.get_or_insert("IOERR error or timeout reading to target instance".to_owned());
    }
    sent
}

fn connect(migration: &Migration) -> io::Result<TcpStream> {
    let port = migration.port.parse::<u16>().map_err(io::Error::other)?;
    let mut last = io::Error::other("no address");
    for address in (migration.host.as_str(), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, migration.timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(migration.timeout))?;
                stream.set_write_timeout(Some(migration.timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn requests(migration: &Migration, now: UnixMillis) -> Vec<u8> {
    let mut out = Vec::new();
    let mut push = |words: &[&[u8]]| {
        out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
    };
    match migration.credentials.as_slice() {
        [password] => push(&[b"AUTH", password]),
        [user, password] => push(&[b"AUTH", user, password]),
        _ => {}
    }
    push(&[b"SELECT", migration.target_db.to_string().as_bytes()]);
    for key in &migration.keys {
        if key.is_gone() {
            push(&[b"DEL", &key.name]);
            continue;
        }
        let ttl = key.expire.map_or(0, |at| at.saturating_sub(now).max(1)).to_string();
        let words: &[&[u8]] = &[b"RESTORE", &key.name, ttl.as_bytes(), &key.payload, b"REPLACE"];
        push(if migration.replace { words } else { words.get(..4).unwrap_or(words) });
    }
    out
}

fn read_replies(
    replies: &mut impl BufRead,
    migration: &Migration,
    sent: &mut Sent,
) -> io::Result<()> {
    let before = usize::from(!migration.credentials.is_empty()) + 1;
    for _ in 0..before {
        let line = read_line(replies)?;
        if let Some(error) = line.strip_prefix('-') {
            sent.failure = Some(refused(error));
            return Ok(());
        }
    }
    for taken in &mut sent.taken {
        let line = read_line(replies)?;
        match line.strip_prefix('-') {
            None => *taken = true,
            Some(error) => drop(sent.failure.get_or_insert(refused(error))),
        }
    }
    Ok(())
}

fn refused(error: &str) -> String {
    format!("ERR Target instance replied with error: {error}")
}

fn read_line(replies: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    replies.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    /// What a target that answers with `replies` was sent, and what became of the keys.
    fn exchange(replies: &'static [u8], credentials: Vec<Vec<u8>>) -> (String, Sent) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let target = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let len = stream.read(&mut request).unwrap();
            stream.write_all(replies).unwrap();
            String::from_utf8(request[..len].to_vec()).unwrap()
        });
        let key = |name: &[u8], expire| MigratedKey {
            name: name.to_vec(),
            expire,
            payload: b"payload".to_vec(),
        };
        let migration = Migration {
            host: "127.0.0.1".to_owned(),
            port,
            target_db: 3,
            db: 0,
            timeout: Duration::from_millis(500),
            copy: false,
            replace: !credentials.is_empty(),
            credentials,
            keys: vec![key(b"a", None), key(b"b", Some(1500))],
            in_background: false,
        };
        let sent = send(&migration, 1000);
        (target.join().unwrap(), sent)
    }

    #[test]
    fn keys_are_sent_with_what_is_left_of_their_time() {
        let (request, sent) = exchange(b"+OK\r\n+OK\r\n+OK\r\n", Vec::new());
        assert_eq!(
            request,
            "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n\
             *4\r\n$7\r\nRESTORE\r\n$1\r\na\r\n$1\r\n0\r\n$7\r\npayload\r\n\
             *4\r\n$7\r\nRESTORE\r\n$1\r\nb\r\n$3\r\n500\r\n$7\r\npayload\r\n"
        );
        assert_eq!((sent.taken, sent.failure), (vec![true, true], None));
    }

    #[test]
    fn only_what_the_target_took_counts_as_taken() {
        let user = || vec![b"user".to_vec(), b"word".to_vec()];
        let (request, sent) = exchange(b"+OK\r\n+OK\r\n-BUSYKEY there\r\n+OK\r\n", user());
        assert!(request.starts_with("*3\r\n$4\r\nAUTH\r\n") && request.ends_with("REPLACE\r\n"));
        assert_eq!(sent.taken, [false, true]);
        assert_eq!(sent.failure.unwrap(), "ERR Target instance replied with error: BUSYKEY there");
        let (_, sent) = exchange(b"-WRONGPASS no\r\n", user());
        assert_eq!(sent.taken, [false, false]);
        assert!(sent.failure.unwrap().ends_with("WRONGPASS no"));
        // The connection ends after the first key.
        let (_, sent) = exchange(b"+OK\r\n+OK\r\n", Vec::new());
        assert_eq!(sent.taken, [true, false]);
        assert_eq!(sent.failure.unwrap(), "IOERR error or timeout reading to target instance");
    }
}
