//! Random commands, sent to two servers at once: every reply and, from time to time, all data with
//! encodings and digests must be equal.
//!
//! A round is up to 1000 commands on empty servers and depends on one number only. When a round
//! finds a difference it is shortened to the commands that are needed, and printed with that
//! number: `SEED=... COMMANDS=1000 make differential` repeats it, and a line in `seeds.txt` keeps
//! it for ever. `SEED` and `COMMANDS` also set where and how long to look.
//! `DIFFERENTIAL=redis7` compares the two real servers with each other.

use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

use super::generate::{Check, Command, Form, command, forms};
use super::transcript;
use crate::support::client::Client;
use crate::support::dataset::{self, Dataset, Detail};
use crate::support::peers::{self, Program};
use crate::support::reply::{Reply, escape};
use crate::support::rng::{Rng, fresh_seed};
use crate::support::server::Server;
use crate::support::{number_from_env, parse_number};

const COMMANDS_PER_ROUND: usize = 1000;
const COMMANDS_PER_LOOK: usize = 200;
const TIME_DRIFT_MS: i64 = 5000;
const EVERYTHING: Detail = Detail { expiry_times: false, internals: true };

struct Pair {
    servers: [Server; 2],
}

/// The connections of one round.
struct Sessions {
    /// For each server: two connections that are compared, one that looks on.
    clients: [[Client; 3]; 2],
    /// What was queued since MULTI, per connection.
    queued: [Vec<Command>; 2],
    /// Whether SORT ran: Redis then turns the sorted sets it read into skiplists.
    sorted: bool,
}

struct Difference {
    /// How many commands had been sent.
    sent: usize,
    text: String,
}

impl Pair {
    fn start(programs: [&Program; 2]) -> Self {
        let options = ["enable-debug-command yes", "save ", "appendonly no"];
        Self { servers: programs.map(|program| Server::start(program, &options)) }
    }

    /// Empties both servers, sets them up as `seed` says, and opens new connections.
    fn sessions(&self, seed: u64) -> io::Result<Sessions> {
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
        let open = |server: &Server| -> io::Result<[Client; 3]> {
            let mut clients = [(); 3].map(|()| server.client());
            let looker = &mut clients[2];
            looker.must("FLUSHALL");
            for (name, usual, tiny) in settings {
                let value = if small { tiny } else { usual };
                // Redis 7.0 does not know all of them.
                looker.line(&format!("CONFIG SET {name} {value}"))?;
            }
            if resp3 {
                clients[0].must("HELLO 3");
            }
            Ok(clients)
        };
        let clients = [open(&self.servers[0])?, open(&self.servers[1])?];
        Ok(Sessions { clients, queued: [Vec::new(), Vec::new()], sorted: false })
    }

    /// Sends the commands to both servers, up to the first difference.
    fn run(&self, seed: u64, commands: &[Command]) -> Option<Difference> {
        let mut sent = 0;
        let outcome = (|| -> io::Result<Option<String>> {
            let mut sessions = self.sessions(seed)?;
            for command in commands {
                sent += 1;
                if let Some(text) = sessions.step(command)? {
                    return Ok(Some(text));
                }
                if sent % COMMANDS_PER_LOOK == 0
                    && let Some(text) = sessions.compare_data()?
                {
                    return Ok(Some(text));
                }
            }
            if let Some(text) = sessions.compare_data()? {
                return Ok(Some(text));
            }
            if seed.is_multiple_of(4) {
                sessions.reload()?;
                return sessions.compare_data();
            }
            Ok(None)
        })();
        match outcome {
            Ok(None) => None,
            Ok(Some(text)) => Some(Difference { sent, text }),
            Err(error) => {
                let names = self.servers.each_ref().map(|server| server.place().printed());
                Some(Difference { sent, text: format!("{error}\n{}\n{}", names[0], names[1]) })
            }
        }
    }

    /// Leaves out commands for as long as a difference remains, at most a minute.
    fn minimise(&self, seed: u64, mut commands: Vec<Command>) -> (Vec<Command>, Difference) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut last = self.run(seed, &commands).unwrap_or(Difference {
            sent: commands.len(),
            text: "did not happen a second time".into(),
        });
        let mut chunk = commands.len().div_ceil(2);
        while Instant::now() < deadline {
            let mut at = 0;
            let mut shorter = false;
            while at < commands.len() && Instant::now() < deadline {
                let mut fewer = commands.clone();
                fewer.drain(at..(at + chunk).min(commands.len()));
                match self.run(seed, &fewer) {
                    Some(difference) => {
                        fewer.truncate(difference.sent);
                        commands = fewer;
                        last = difference;
                        shorter = true;
                    }
                    None => at += chunk,
                }
            }
            if chunk == 1 && !shorter {
                break;
            }
            chunk = (chunk / 2).max(1);
        }
        (commands, last)
    }
}

impl Sessions {
    fn step(&mut self, command: &Command) -> io::Result<Option<String>> {
        let at = command.connection;
        let mut command = command.clone();
        if self.sorted {
            // A skiplist that SORT made keeps a negative zero, and answers a negative LIMIT, which a
            // listpack does not.
            let mut after_limit = false;
            for arg in &mut command.args {
                if arg.as_slice() == b"-0" || (after_limit && arg.starts_with(b"-")) {
                    *arg = b"0".to_vec();
                }
                after_limit = arg.eq_ignore_ascii_case(b"LIMIT");
            }
        }
        let command = &command;
        for clients in &mut self.clients {
            clients[at].send(&command.args)?;
        }
        let left = self.clients[0][at].receive()?;
        let right = self.clients[1][at].receive()?;
        let name = command.args[0].to_ascii_uppercase();
        let queued = std::mem::take(&mut self.queued[at]);
        let mut changed: Vec<&Command> = Vec::new();
        self.sorted |= name.starts_with(b"SORT");
        // Of a skiplist that SORT made ZSCAN shows the members in another order and notation.
        let scans = name == b"ZSCAN" && left.items().len() == right.items().len();
        let of_a_skiplist = is_sorted_set(&left) && is_sorted_set(&right);
        let equal = if self.sorted && (scans || of_a_skiplist) {
            true
        } else if name == b"EXEC" && left.items().len() == queued.len() {
            changed.extend(queued.iter().filter(|one| one.check == Check::CopyEffect));
            right.items().len() == queued.len()
                && queued
                    .iter()
                    .zip(left.items().iter().zip(right.items()))
                    .all(|(one, (left, right))| same(one.check, left, right))
        } else {
            same(command.check, &left, &right)
        };
        if !equal {
            return Ok(Some(format!("left  {left}\n    right {right}")));
        }
        if left == Reply::Simple(b"QUEUED".to_vec()) {
            self.queued[at] = queued.clone();
            self.queued[at].push(command.clone());
        } else {
            if name != b"EXEC" && name != b"DISCARD" {
                self.queued[at] = queued.clone();
            }
            if command.check == Check::CopyEffect && !left.is_error() && !left.is_nil() {
                changed.push(command);
            }
        }
        for one in changed {
            if let Some(key) = one.args.get(1) {
                self.copy_key(key)?;
            }
        }
        Ok(None)
    }

    /// Makes a key equal on both servers, in every database that is used, by way of DUMP.
    fn copy_key(&mut self, key: &[u8]) -> io::Result<()> {
        for database in 0..3 {
            let [left, right] = self.clients.each_mut().map(|clients| &mut clients[2]);
            for client in [&mut *left, &mut *right] {
                client.line(&format!("SELECT {database}"))?;
            }
            if !copy(left, right, key)? && !copy(right, left, key)? {
                return Err(io::Error::other("neither server restores the other's DUMP"));
            }
        }
        Ok(())
    }

    fn compare_data(&mut self) -> io::Result<Option<String>> {
        let [left, right] = self.clients.each_mut().map(|clients| &mut clients[2]);
        let left = dataset::dump(left, EVERYTHING)?;
        let right = dataset::dump(right, EVERYTHING)?;
        let plain = |mut data: Dataset| {
            for text in data.values_mut().filter(|text| text.starts_with("zset")) {
                *text = text.replace("encoding \"skiplist\"", "encoding \"listpack\"");
            }
            data
        };
        let (left, right) = if self.sorted { (plain(left), plain(right)) } else { (left, right) };
        Ok(dataset::difference(&left, &right))
    }

    fn reload(&mut self) -> io::Result<()> {
        for clients in &mut self.clients {
            clients[2].must("DEBUG RELOAD");
        }
        Ok(())
    }
}

/// False when the payload of `from` is of a version that `to` does not read.
fn copy(from: &mut Client, to: &mut Client, key: &[u8]) -> io::Result<bool> {
    let payload = from.call(&[b"DUMP", key])?;
    let Reply::Bulk(payload) = payload else {
        to.call(&[b"DEL", key])?;
        return Ok(true);
    };
    let expiry = from.call(&[b"PEXPIRETIME", key])?.int().unwrap_or(0).max(0).to_string();
    let expiry = expiry.as_bytes();
    let request: [&[u8]; 6] = [b"RESTORE", key, expiry, &payload, b"REPLACE", b"ABSTTL"];
    if to.call(&request)?.is_error() {
        return Ok(false);
    }
    // Restored on both sides, because loading may choose another encoding.
    Ok(!from.call(&request)?.is_error())
}

fn same(check: Check, left: &Reply, right: &Reply) -> bool {
    if left == right {
        return true;
    }
    match check {
        Check::Exact => false,
        Check::Unordered => sorted(left) == sorted(right),
        Check::Pairs => pairs(left).is_some() && pairs(left) == pairs(right),
        Check::Shape | Check::CopyEffect => shape(left) == shape(right),
        Check::Time => match (left, right) {
            (Reply::Int(left), Reply::Int(right)) => {
                *left > 0 && *right > 0 && (left - right).abs() <= TIME_DRIFT_MS
            }
            _ => false,
        },
        Check::Page | Check::PageOfPairs => match (left.items(), right.items()) {
            ([from, left], [to, right]) if from == to => match check {
                Check::Page => sorted(left) == sorted(right),
                _ => pairs(left).is_some() && pairs(left) == pairs(right),
            },
            _ => false,
        },
    }
}

/// An encoding that OBJECT ENCODING tells of a sorted set.
fn is_sorted_set(reply: &Reply) -> bool {
    matches!(reply, Reply::Bulk(text) if text == b"listpack" || text == b"skiplist")
}

fn sorted(reply: &Reply) -> Option<Vec<Reply>> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            let mut items = items.clone();
            items.sort();
            Some(items)
        }
        _ => None,
    }
}

fn pairs(reply: &Reply) -> Option<Vec<(Reply, Reply)>> {
    let mut pairs: Vec<(Reply, Reply)> = match reply {
        Reply::Map(pairs) => pairs.clone(),
        Reply::Array(items) if items.len().is_multiple_of(2) => {
            items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        }
        _ => return None,
    };
    pairs.sort();
    Some(pairs)
}

/// The kind of a reply, and of what is in it, without the contents.
fn shape(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) => format!("error {}", escape(text)),
        Reply::Int(_) => "integer".into(),
        Reply::Double(_) => "double".into(),
        Reply::Bulk(_) => "string".into(),
        Reply::Array(items) => format!("[{}]", items.iter().map(shape).collect::<String>()),
        Reply::Set(items) => format!("~[{}]", items.iter().map(shape).collect::<String>()),
        Reply::Map(pairs) => {
            let pair = |(key, value): &(Reply, Reply)| format!("{key} => {}, ", shape(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<String>())
        }
        other => other.to_string(),
    }
}

pub(crate) fn round(forms: &[Form], seed: u64, count: usize) -> Vec<Command> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| command(forms, &mut rng)).collect()
}

fn report(pair: &Pair, seed: u64, commands: Vec<Command>) -> String {
    let (commands, difference) = pair.minimise(seed, commands);
    let names = pair.servers.each_ref().map(|server| server.program.name);
    let mut text = format!("{} (left) and {} (right) differ\n", names[0], names[1]);
    let _ = writeln!(text, "SEED={seed:#x} COMMANDS={COMMANDS_PER_ROUND} make differential");
    for command in &commands {
        let mark = if command.connection == 1 { "b" } else { "" };
        let args: Vec<String> = command.args.iter().map(|arg| quoted(arg)).collect();
        let _ = writeln!(text, "{mark}> {}", args.join(" "));
    }
    let _ = writeln!(text, "    {}", difference.text);
    text
}

/// An argument as a transcript has it.
pub(crate) fn quoted(arg: &[u8]) -> String {
    let plain = !arg.is_empty() && arg.iter().all(|byte| (0x21..0x7f).contains(byte));
    if plain && !arg.contains(&b'"') && !arg.contains(&b'\\') && !arg.contains(&b'{') {
        return escape(arg);
    }
    format!("\"{}\"", crate::support::reply::escape_quoted(arg))
}

/// Rounds from `first` on, until `commands` have been sent or `limit` differences are found.
fn search(pair: &Pair, first: u64, commands: usize, limit: usize) -> Vec<String> {
    let forms = forms();
    let mut seeds = Rng::new(first);
    let mut seed = first;
    let mut left = commands;
    let mut reports = Vec::new();
    while left > 0 && reports.len() < limit {
        let count = left.min(COMMANDS_PER_ROUND);
        left -= count;
        let mut commands = round(&forms, seed, count);
        if let Some(difference) = pair.run(seed, &commands) {
            commands.truncate(difference.sent);
            reports.push(report(pair, seed, commands));
        }
        seed = seeds.next();
    }
    reports
}

fn kept_seeds() -> Vec<u64> {
    let text = std::fs::read_to_string(transcript::folder().join("seeds.txt")).unwrap();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let word = line.split_ascii_whitespace().next().unwrap_or(line);
            parse_number(word).unwrap_or_else(|| panic!("seeds.txt: {line}"))
        })
        .collect()
}

fn compared() -> Option<[Program; 2]> {
    let redis8 = peers::redis8()?;
    match std::env::var("DIFFERENTIAL").as_deref() {
        Ok("redis8") => Some([redis8.clone(), redis8]),
        Ok("redis7") => Some([redis8, peers::redis_on_path()?]),
        Ok("valkey") => Some([redis8, peers::valkey9()?]),
        _ => Some([redis8, peers::fastness()]),
    }
}

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some([left, right]) = compared() else { return };
    let pair = Pair::start([&left, &right]);
    let seed = number_from_env("SEED").unwrap_or_else(fresh_seed);
    let commands = number_from_env("COMMANDS").unwrap_or(10_000) as usize;
    let limit = number_from_env("SHOW").unwrap_or(3) as usize;
    eprintln!("differential: SEED={seed:#x} COMMANDS={commands}");
    let reports = search(&pair, seed, commands, limit);
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

#[test]
fn seeds_that_once_found_a_difference_find_none() {
    let Some([left, right]) = compared() else { return };
    let pair = Pair::start([&left, &right]);
    let reports: Vec<String> =
        kept_seeds().iter().flat_map(|&seed| search(&pair, seed, COMMANDS_PER_ROUND, 1)).collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

/// The comparison itself can see: a server that answers otherwise is found out.
#[test]
fn what_is_random_is_compared_by_its_shape_only() {
    let text = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
    let list = |items: &[&str]| Reply::Array(items.iter().map(|item| text(item)).collect());
    let error = Reply::Error(b"ERR x".to_vec());
    let cases = [
        (Check::Exact, list(&["a", "b"]), list(&["b", "a"]), false),
        (Check::Unordered, list(&["a", "b"]), list(&["b", "a"]), true),
        (Check::Unordered, list(&["a", "b"]), list(&["b", "c"]), false),
        (Check::Pairs, list(&["a", "1", "b", "2"]), list(&["b", "2", "a", "1"]), true),
        (Check::Pairs, list(&["a", "1", "b", "2"]), list(&["a", "2", "b", "1"]), false),
        (Check::Shape, list(&["a"]), list(&["b"]), true),
        (Check::Shape, list(&["a"]), list(&["b", "c"]), false),
        (Check::Shape, error.clone(), Reply::Error(b"ERR y".to_vec()), false),
        (Check::Time, Reply::Int(5000), Reply::Int(5001), true),
        (Check::Time, Reply::Int(-1), Reply::Int(-2), false),
        (Check::Time, Reply::Int(100_000), Reply::Int(1), false),
    ];
    for (check, left, right, expected) in cases {
        assert_eq!(same(check, &left, &right), expected, "{check:?} {left} {right}");
    }
}
