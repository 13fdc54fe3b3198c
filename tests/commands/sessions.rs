//! One round of the differential test: two connections to each of two servers, what was queued on
//! them, and a third one that looks on.
//!
//! Requests are sent in batches, and compared in the order in which they were sent. A batch ends where the
//! connection changes and where the data has to be made equal before anything else is asked.

use std::io;
use std::time::{Duration, Instant};

use super::compare::same;
use super::generate::{Check, Command};
use crate::support::client::Client;
use crate::support::dataset::{self, Detail, VALUES};
use crate::support::reply::Reply;
use crate::support::rng::Rng;
use crate::support::server::Server;

const EVERYTHING: Detail = Detail { expiry_times: false, internals: true };
/// All that the commands of the grammar select.
const DATABASES: usize = 3;

/// How long nothing is heard when a server waits for ever.
const SILENCE: Duration = Duration::from_secs(3);

/// For one server: two connections that are compared, one that looks on.
type Clients = [Client; 3];

pub(crate) struct Sessions {
    clients: [Clients; 2],
    /// What was queued since MULTI, per connection.
    queued: [Vec<Command>; 2],
}

/// What a step found, if anything.
type Found = io::Result<Option<String>>;

impl Sessions {
    pub(crate) fn open(servers: &[Server; 2]) -> Self {
        let clients = servers.each_ref().map(|server| {
            [(); 3].map(|()| {
                let client = server.client();
                client.set_timeout(SILENCE).unwrap();
                client
            })
        });
        Self { clients, queued: [Vec::new(), Vec::new()] }
    }

    /// Empties both servers and sets them up as `seed` says.
    pub(crate) fn begin(&mut self, seed: u64) -> io::Result<()> {
        let mut rng = Rng::new(!seed);
        let small = rng.chance(50);
        let resp3 = rng.chance(40);
        let settings: &[(&str, i64, i64)] = &[
            ("hash-max-listpack-entries", 128, 4),
            ("hash-max-listpack-value", 64, 16),
            ("set-max-intset-entries", 512, 4),
            ("set-max-listpack-entries", 128, 5),
            ("set-max-listpack-value", 64, 16),
            ("zset-max-listpack-entries", 128, 4),
            ("zset-max-listpack-value", 64, 16),
            ("list-max-listpack-size", -2, 4),
            ("stream-node-max-entries", 100, 4),
        ];
        let mut setup: Vec<Vec<Vec<u8>>> = [
            "FLUSHALL",
            // When it finds what has expired is chance.
            "DEBUG SET-ACTIVE-EXPIRE 0",
            "FUNCTION FLUSH",
            "SCRIPT FLUSH",
            "ACL DELUSER u0 u1 u2",
            "ACL SETUSER u2 on nopass",
        ]
        .map(words)
        .into();
        for (name, usual, tiny) in settings {
            // Redis 7.0 does not know all of them.
            let value = if small { tiny } else { usual };
            setup.push(words(&format!("CONFIG SET {name} {value}")));
        }
        self.queued = [Vec::new(), Vec::new()];
        for clients in &mut self.clients {
            // First of all, for they may be of a user that is deleted.
            clients[0].line("RESET")?;
            clients[1].line("RESET")?;
            clients[2].pipeline(&setup)?;
            // Damage makes users of other names.
            let users = clients[2].line("ACL USERS")?;
            let others = users.items().iter().filter_map(Reply::bytes);
            for user in others.filter(|user| ![&b"default"[..], b"u2"].contains(user)) {
                clients[2].call(&[&b"ACL"[..], b"DELUSER", user])?;
            }
            if resp3 {
                clients[0].line("HELLO 3")?;
            }
        }
        Ok(())
    }

    /// Sends commands of one connection, and counts those that were answered.
    pub(crate) fn batch(&mut self, commands: &[Command], answered: &mut usize) -> Found {
        let at = commands[0].connection;
        let requests: Vec<&[Vec<u8>]> = commands.iter().map(|one| one.args.as_slice()).collect();
        for clients in &mut self.clients {
            clients[at].send_all(&requests)?;
        }
        let mut found = None;
        for command in commands {
            let left = self.clients[0][at].receive()?;
            let right = self.clients[1][at].receive()?;
            // After a difference the rest is read, for the next round.
            if found.is_none() {
                *answered += 1;
                found = self.step(command, &left, &right)?;
            }
        }
        Ok(found)
    }

    fn step(&mut self, command: &Command, left: &Reply, right: &Reply) -> Found {
        let at = command.connection;
        let name = command.args[0].to_ascii_uppercase();
        let queued = std::mem::take(&mut self.queued[at]);
        let mut done: Vec<&Command> = Vec::new();
        let equal = if name == b"EXEC" && left.items().len() == queued.len() {
            done.extend(queued.iter().zip(left.items()).filter(|(_, left)| did(left)).map(|p| p.0));
            right.items().len() == queued.len()
                && queued
                    .iter()
                    .zip(left.items().iter().zip(right.items()))
                    .all(|(one, (left, right))| same(one.check, left, right))
        } else {
            same(command.check, left, right)
        };
        if !equal {
            return Ok(Some(format!("left  {left}\n    right {right}")));
        }
        if *left == Reply::Simple(b"QUEUED".to_vec()) {
            self.queued[at] = queued;
            self.queued[at].push(command.clone());
            return Ok(None);
        }
        let ended = [&b"EXEC"[..], b"DISCARD", b"RESET"].contains(&name.as_slice());
        if !ended {
            self.queued[at] = queued.clone();
        }
        if did(left) {
            done.push(command);
        }
        for one in done {
            if let Some(text) = self.equalise(one)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// What has to follow a command that was carried out.
    fn equalise(&mut self, command: &Command) -> Found {
        let Some(key) = command.args.get(1) else { return Ok(None) };
        match command.check {
            Check::CopyEffect => {
                let Some(text) = self.copy_key(0, key)? else { return Ok(None) };
                let other = self.copy_key(1, key)?;
                Ok(other.map(|other| format!("neither RESTORE works: {text}, {other}")))
            }
            Check::Dump => {
                // The real one last: RESTORE gives the sign of -0 up there (as in `reload`), and its DUMP then gives
                // both the same zero.
                if let Some(text) = self.copy_key(1, key)? {
                    return Ok(Some(format!("right's DUMP: {text}")));
                }
                Ok(self.copy_key(0, key)?.map(|text| format!("left's DUMP: {text}")))
            }
            Check::Functions => {
                for (from, to) in [(0, 1), (1, 0)] {
                    let payload = self.clients[from][2].line("FUNCTION DUMP")?;
                    let payload = payload.bytes().unwrap_or_default();
                    let request: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", payload, b"FLUSH"];
                    let reply = self.clients[to][2].call(&request)?;
                    if reply.is_error() {
                        return Ok(Some(format!("FUNCTION DUMP of {from}: {reply}")));
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Makes a key equal on both servers, in every database that is used, by way of the DUMP of one of
    /// them. Restored on both sides, because loading may choose another encoding.
    fn copy_key(&mut self, from: usize, key: &[u8]) -> Found {
        let select = |database: usize| vec![b"SELECT".to_vec(), database.to_string().into_bytes()];
        let mut asked = Vec::new();
        for database in 0..DATABASES {
            asked.push(select(database));
            asked.push(vec![b"DUMP".to_vec(), key.to_vec()]);
            asked.push(vec![b"PEXPIRETIME".to_vec(), key.to_vec()]);
        }
        let answers = self.clients[from][2].pipeline(&asked)?;
        let mut requests = Vec::new();
        for (database, answers) in answers.chunks(3).enumerate() {
            requests.push(select(database));
            let Reply::Bulk(payload) = &answers[1] else {
                requests.push(vec![b"DEL".to_vec(), key.to_vec()]);
                continue;
            };
            let expiry = answers[2].int().unwrap_or(0).max(0).to_string().into_bytes();
            let mut request = vec![b"RESTORE".to_vec(), key.to_vec(), expiry, payload.clone()];
            request.extend([b"REPLACE".to_vec(), b"ABSTTL".to_vec()]);
            requests.push(request);
        }
        for clients in &mut self.clients {
            let replies = clients[2].pipeline(&requests)?;
            if let Some(error) = replies.iter().find(|reply| reply.is_error()) {
                return Ok(Some(error.to_string()));
            }
        }
        Ok(None)
    }

    pub(crate) fn compare_data(&mut self) -> Found {
        let [left, right] = self.clients.each_mut().map(|clients| &mut clients[2]);
        let left = dataset::dump(left, EVERYTHING)?;
        let right = dataset::dump(right, EVERYTHING)?;
        Ok(dataset::difference(&left, &right))
    }

    /// A snapshot on both servers. The real one gives the sign of -0 up where it loads a sorted set as a small one;
    /// ours comes back as it was, which is no difference to report.
    pub(crate) fn reload(&mut self) -> Found {
        if let Some(text) = self.drop_room_for_times()? {
            return Ok(Some(text));
        }
        let before = self.digests()?;
        for clients in &mut self.clients {
            let reply = clients[2].line("DEBUG RELOAD")?;
            if reply.is_error() {
                return Ok(Some(format!("DEBUG RELOAD: {reply}")));
            }
        }
        let after = self.digests()?;
        let only_theirs_changed = before[0] != after[0] && before[1] == after[1];
        let found = self.compare_data()?;
        Ok(found.filter(|text| !(only_theirs_changed && text.contains("-0"))))
    }

    /// Small hashes that have room for times and may have none: ours are written without the room, so that older servers
    /// read the file, and Redis' with it. Both get what ours writes.
    fn drop_room_for_times(&mut self) -> Found {
        let mut roomy = Vec::new();
        for database in 0..DATABASES {
            let client = &mut self.clients[1][2];
            client.line(&format!("SELECT {database}"))?;
            let keys = client.line("KEYS *")?;
            for key in keys.items().iter().filter_map(Reply::bytes) {
                let request: [&[u8]; 3] = [b"OBJECT", b"ENCODING", key];
                let encoding = client.call(&request)?;
                if encoding.text().as_deref() == Some("listpackex") {
                    roomy.push(key.to_vec());
                }
            }
        }
        for key in roomy {
            if let Some(text) = self.copy_key(1, &key)? {
                return Ok(Some(format!("right's DUMP: {text}")));
            }
        }
        Ok(None)
    }

    fn digests(&mut self) -> io::Result<[Reply; 2]> {
        let [left, right] = self.clients.each_mut().map(|clients| &mut clients[2]);
        Ok([left.line("DEBUG DIGEST")?, right.line("DEBUG DIGEST")?])
    }

    /// Begins the right server's log anew, so that little is replayed later.
    pub(crate) fn rewrite_log(&mut self) -> io::Result<()> {
        let client = &mut self.clients[1][2];
        client.must("BGREWRITEAOF");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let info = client.line("INFO persistence")?.text().unwrap_or_default();
            if ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"]
                .iter()
                .all(|line| info.contains(line))
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::other("BGREWRITEAOF does not end"))
    }

    /// The right server's data before and after its log is replayed.
    pub(crate) fn replay_log(&mut self) -> Found {
        let client = &mut self.clients[1][2];
        let before = (dataset::dump(client, VALUES)?, client.line("DEBUG DIGEST")?);
        client.line("DEBUG LOADAOF")?;
        let after = (dataset::dump(client, VALUES)?, client.line("DEBUG DIGEST")?);
        if let Some(text) = dataset::difference(&before.0, &after.0) {
            return Ok(Some(format!("after the replay (right) other data: {text}")));
        }
        Ok((before.1 != after.1).then(|| "equal data, DEBUG DIGEST differs".into()))
    }
}

/// Whether a command was carried out.
fn did(reply: &Reply) -> bool {
    !reply.is_error() && !reply.is_nil()
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split_ascii_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}
