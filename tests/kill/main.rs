//! kill -9 of a real process while clients write, and then nothing that was acknowledged is
//! missing and nothing is there that nobody wrote.
//!
//! Every client owns its keys and knows, for each, what was acknowledged last and what was sent
//! last: after a restart the value lies between the two. Lists are journals without gaps, keys
//! that one MULTI writes are always equal, keys that a client moves about exist exactly once.
//! Rewrites and snapshots run meanwhile. One directory is killed several times, because what a
//! recovery leaves behind must survive the next one.
//!
//! kill -9 leaves the kernel its buffers, so every `appendfsync` policy has to pass; power loss
//! is the business of the simulated disk in `tests/crash`.
//!
//! `SEED` repeats a choice of moments and keys (threads still run as they like), `ROUNDS` sets how
//! often each directory is killed, `KILL=redis8` shows the test against the real server.

#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod support;

mod exact;
mod memory;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::client::Client;
use support::number_from_env;
use support::peers::{self, Program};
use support::reply::Reply;
use support::rng::{Rng, fresh_seed};
use support::server::{Place, Server};

const WRITERS: usize = 6;

/// What one client knows about its keys.
#[derive(Clone, Default, Debug)]
struct Ledger {
    counter: Progress,
    journal: Progress,
    pair: Progress,
    fields: Progress,
    ranked: Progress,
    moved: Progress,
    /// The list that is trimmed: its last element is the newest.
    window: Progress,
}

/// Steps of one kind, numbered from 1.
#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    acknowledged: i64,
    sent: i64,
}

impl Progress {
    fn next(&mut self) -> i64 {
        self.sent += 1;
        self.sent
    }

    fn done(&mut self) {
        self.acknowledged = self.sent;
    }

    /// Takes what was found after a restart as the truth to go on from.
    fn settle(&mut self, what: &str, found: i64) -> Result<(), String> {
        if !(self.acknowledged..=self.sent).contains(&found) {
            return Err(format!(
                "{what}: found {found}, acknowledged {}, sent {}",
                self.acknowledged, self.sent
            ));
        }
        (self.acknowledged, self.sent) = (found, found);
        Ok(())
    }
}

/// Writes until the connection breaks; `ledger` is exact at any moment.
fn write_until_killed(client: &mut Client, id: usize, ledger: &mut Ledger, rng: &mut Rng) {
    while step(client, id, ledger, rng).is_some() {}
}

fn step(client: &mut Client, id: usize, ledger: &mut Ledger, rng: &mut Rng) -> Option<()> {
    let mut ask = |lines: &[String]| -> Option<()> {
        let requests: Vec<Vec<&str>> =
            lines.iter().map(|line| line.split_ascii_whitespace().collect()).collect();
        let replies = client.pipeline(&requests).ok()?;
        if let Some(wrong) = replies.iter().find(|reply| reply.is_error()) {
            panic!("{lines:?}: {wrong}");
        }
        Some(())
    };
    match rng.below(8) {
        0 => {
            ledger.counter.next();
            ask(&[format!("INCR counter:{id}")])?;
            ledger.counter.done();
        }
        1 => {
            // A pipeline: several steps are on their way at once.
            let count = 1 + rng.below(20);
            let lines: Vec<String> = (0..count)
                .map(|_| format!("RPUSH journal:{id} {}", ledger.journal.next()))
                .collect();
            ask(&lines)?;
            ledger.journal.done();
        }
        2 | 3 => {
            let number = ledger.pair.next();
            ask(&[
                "MULTI".into(),
                format!("SET pair:{id}:a {number}"),
                format!("HSET pair:{id}:b value {number}"),
                format!("SET pair:{id}:c {number} PX 100000000"),
                "EXEC".into(),
            ])?;
            ledger.pair.done();
        }
        4 => {
            let number = ledger.fields.next();
            ask(&[format!("HSET fields:{id} f{} {number} newest {number}", number % 50)])?;
            ledger.fields.done();
        }
        5 => {
            let number = ledger.ranked.next();
            ask(&[format!("ZADD ranked:{id} {number} newest {number} m{}", number % 40)])?;
            ledger.ranked.done();
        }
        6 => {
            let number = ledger.moved.next();
            let (from, to) = if number % 2 == 0 { ("here", "there") } else { ("there", "here") };
            let line = if number == 1 {
                format!("SET moved:{id}:here x")
            } else {
                format!("RENAME moved:{id}:{from} moved:{id}:{to}")
            };
            ask(&[line])?;
            ledger.moved.done();
        }
        _ => {
            let number = ledger.window.next();
            let padding = "x".repeat(rng.below(400));
            ask(&[
                "MULTI".into(),
                format!("RPUSH window:{id} {number}:{padding}"),
                format!("LTRIM window:{id} -20 -1"),
                "EXEC".into(),
            ])?;
            ledger.window.done();
        }
    }
    Some(())
}

/// Compares what a client knows with what the server has after a restart.
fn verify(client: &mut Client, id: usize, ledger: &mut Ledger) -> Result<(), String> {
    let mut ask = |line: String| client.line(&line).map_err(|error| format!("{line}: {error}"));
    let number = |reply: &Reply| reply.int().unwrap_or(0);

    ledger.counter.settle("counter", number(&ask(format!("GET counter:{id}"))?))?;

    let journal = ask(format!("LRANGE journal:{id} 0 -1"))?;
    for (index, entry) in journal.items().iter().enumerate() {
        if number(entry) != index as i64 + 1 {
            return Err(format!("journal:{id} has {entry} at {index}"));
        }
    }
    ledger.journal.settle("journal", journal.items().len() as i64)?;

    let parts = [
        number(&ask(format!("GET pair:{id}:a"))?),
        number(&ask(format!("HGET pair:{id}:b value"))?),
        number(&ask(format!("GET pair:{id}:c"))?),
    ];
    if parts[0] != parts[1] || parts[0] != parts[2] {
        return Err(format!("a transaction is there in part: {parts:?}"));
    }
    if parts[0] > 0 && number(&ask(format!("PTTL pair:{id}:c"))?) <= 0 {
        return Err("the expiry of a transaction is lost".into());
    }
    ledger.pair.settle("pair", parts[0])?;

    let newest = number(&ask(format!("HGET fields:{id} newest"))?);
    if newest > 0 && number(&ask(format!("HGET fields:{id} f{}", newest % 50))?) != newest {
        return Err("one HSET is there in part".into());
    }
    ledger.fields.settle("fields", newest)?;

    let newest = number(&ask(format!("ZSCORE ranked:{id} newest"))?);
    if newest > 0 && number(&ask(format!("ZSCORE ranked:{id} m{}", newest % 40))?) != newest {
        return Err("one ZADD is there in part".into());
    }
    ledger.ranked.settle("ranked", newest)?;

    verify_moved(&mut ask, id, ledger)?;
    verify_window(&mut ask, id, ledger)
}

type Ask<'a> = dyn FnMut(String) -> Result<Reply, String> + 'a;

/// Each RENAME takes the key to the other name: which one it has tells the last step's parity.
fn verify_moved(ask: &mut Ask<'_>, id: usize, ledger: &mut Ledger) -> Result<(), String> {
    let here = ask(format!("EXISTS moved:{id}:here"))?.int().unwrap_or(0);
    let there = ask(format!("EXISTS moved:{id}:there"))?.int().unwrap_or(0);
    let sent = ledger.moved.sent;
    let found = match (here, there) {
        (0, 0) => 0,
        (1, 1) => return Err("a renamed key is there twice".into()),
        (1, 0) if sent % 2 == 1 => sent,
        (0, 1) if sent % 2 == 0 => sent,
        _ => sent - 1,
    };
    ledger.moved.settle("moved", found)
}

fn verify_window(ask: &mut Ask<'_>, id: usize, ledger: &mut Ledger) -> Result<(), String> {
    let window = ask(format!("LRANGE window:{id} 0 -1"))?;
    let numbers: Vec<i64> = window
        .items()
        .iter()
        .filter_map(|entry| entry.text()?.split(':').next()?.parse().ok())
        .collect();
    let newest = numbers.last().copied().unwrap_or(0);
    let expected: Vec<i64> = ((newest - 19).max(1)..=newest).collect();
    if numbers != expected {
        return Err(format!("window:{id} holds {numbers:?}"));
    }
    ledger.window.settle("window", newest)
}

/// Rewrites and snapshots, one after the other, until the connection breaks.
fn disturb(client: &mut Client, rng: &mut Rng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let line = *rng.pick(&["BGREWRITEAOF", "BGSAVE", "BGREWRITEAOF", "PING"]);
        // One that already runs is refused, which is fine.
        if client.line(line).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(rng.below(60) as u64));
    }
}

fn kill_again_and_again(program: &Program, policy: &str, seed: u64, rounds: u64) {
    eprintln!("kill: {} appendfsync {policy} SEED={seed:#x} ROUNDS={rounds}", program.name);
    let mut rng = Rng::new(seed);
    let place = Place::new();
    let fsync = format!("appendfsync {policy}");
    let options = ["appendonly yes", fsync.as_str(), "save ", "auto-aof-rewrite-min-size 64kb"];
    let mut ledgers = vec![Ledger::default(); WRITERS];
    let mut server = Server::start_on(program, &place, &options);
    for round in 0..rounds {
        let moment = Duration::from_micros(2_000 + rng.next() % 700_000);
        let port = server.port;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (id, ledger) in ledgers.iter_mut().enumerate() {
                let mut rng = Rng::new(rng.next());
                scope.spawn(move || {
                    if let Ok(mut client) = Client::connect(port) {
                        write_until_killed(&mut client, id, ledger, &mut rng);
                    }
                });
            }
            let mut noise = Rng::new(rng.next());
            let stop = &stop;
            scope.spawn(move || {
                if let Ok(mut client) = Client::connect(port) {
                    disturb(&mut client, &mut noise, stop);
                }
            });
            std::thread::sleep(moment);
            stop.store(true, Ordering::Relaxed);
            server.kill();
        });
        server = Server::try_start_on(program, &place, &options)
            .unwrap_or_else(|why| panic!("round {round}, SEED={seed:#x}: no start: {why}"));
        let mut client = server.client();
        for (id, ledger) in ledgers.iter_mut().enumerate() {
            if let Err(why) = verify(&mut client, id, ledger) {
                panic!(
                    "{} appendfsync {policy}, round {round}, client {id}, SEED={seed:#x}: {why}",
                    program.name
                );
            }
        }
        nothing_else(&mut client);
    }
    let total: i64 = ledgers.iter().map(|ledger| ledger.journal.acknowledged).sum();
    assert!(total > 0, "no write was ever acknowledged");
}

/// There are no keys but those of the ledgers.
fn nothing_else(client: &mut Client) {
    const KNOWN: [&str; 7] =
        ["counter:", "journal:", "pair:", "fields:", "ranked:", "moved:", "window:"];
    let keys = client.must("KEYS *");
    for key in keys.items() {
        let key = key.text().unwrap_or_default();
        assert!(KNOWN.iter().any(|known| key.starts_with(known)), "nobody wrote {key}");
    }
}

fn check(policy: &str) {
    let seed = number_from_env("SEED").unwrap_or_else(fresh_seed);
    let rounds = number_from_env("ROUNDS").unwrap_or(8);
    if std::env::var("KILL").as_deref() == Ok("redis8") {
        if let Some(redis) = peers::redis8() {
            kill_again_and_again(&redis, policy, seed, rounds);
        }
    } else {
        kill_again_and_again(&peers::fastness(), policy, seed, rounds);
    }
}

#[test]
fn always_survives_kill_9() {
    check("always");
}

#[test]
fn everysec_survives_kill_9() {
    check("everysec");
}

#[test]
fn no_survives_kill_9() {
    check("no");
}

/// The verdict can fail: a ledger that knows more than the server has is not satisfied.
#[test]
fn a_lost_write_is_noticed() {
    let mut progress = Progress { acknowledged: 5, sent: 7 };
    assert!(progress.settle("x", 4).is_err());
    assert!(progress.settle("x", 8).is_err());
    assert!(progress.settle("x", 6).is_ok());
    assert!(progress.settle("x", 5).is_err());
}
