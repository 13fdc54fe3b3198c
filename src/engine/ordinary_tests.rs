//! The short way and the long one, side by side: the same requests in every state that sets them apart.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::aof::filename::FileNames;
use crate::aof::log::Recovered;
use crate::clock::{Clock, SimClock};
use crate::command::renamed::Renamed;
use crate::command::state::{Loading, RunningScript};
use crate::config::Config;
use crate::disk::sim::SimDisk;
use crate::keyspace::digest;
use crate::logger::Logger;
use crate::resp::OwnedArgs;
use crate::rng::SeededRng;

/// What the second client (`b`) or the first (`a`) does before, or what happens (`!`).
const STATES: &[&[&str]] = &[
    &[],
    &["a MULTI"],
    &["a WATCH k", "b SET k other", "a MULTI"],
    &["a CLIENT REPLY OFF"],
    &["a CLIENT REPLY SKIP"],
    &["a HELLO 3", "a CLIENT TRACKING ON"],
    &["b HELLO 3", "b CLIENT TRACKING ON BCAST"],
    &["b MONITOR"],
    &["a MONITOR"],
    &["a SUBSCRIBE channel"],
    &["a HELLO 3", "a SUBSCRIBE __keyevent@0__:set", "b CONFIG SET notify-keyspace-events KEA"],
    &["b PSUBSCRIBE *", "a CONFIG SET notify-keyspace-events KEAm"],
    &["a CLIENT NO-TOUCH ON", "! later"],
    &["b CLIENT PAUSE 10000 WRITE"],
    &["b CLIENT PAUSE 10000 ALL"],
    &["b CONFIG SET maxmemory 1"],
    &["b CONFIG SET maxmemory 1", "a SET x y", "b CONFIG SET maxmemory 0"],
    &["b CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru"],
    &["b CONFIG SET maxmemory 100gb"],
    &["b CONFIG SET maxmemory 1", "a SET x y", "b CONFIG SET maxmemory 100gb", "! later"],
    &["b CONFIG SET maxmemory-clients 1"],
    &["b CONFIG SET import-mode yes", "! later"],
    &["b CONFIG SET import-mode yes", "a CLIENT IMPORT-SOURCE ON", "! later"],
    &["b ACL SETUSER u on nopass ~k +@read", "a AUTH u x"],
    &["b ACL SETUSER default -@write"],
    &["b CONFIG SET requirepass x"],
    &["b CONFIG SET requirepass x", "a AUTH x"],
    &["b ACL SETUSER u on nopass ~* &* +@all", "a AUTH u x", "b ACL DELUSER u"],
    &["b CLIENT KILL ID 1 SKIPME no"],
    &["b CONFIG SET min-replicas-to-write 1"],
    &["a CLIENT DURABILITY ALWAYS"],
    &["b CLIENT DURABILITY NO", "a CLIENT DURABILITY NO"],
    &["b CONFIG SET appendfsync always"],
    &["b CONFIG SET user-durability 'default always'"],
    &["b BLPOP l 0"],
    &["a BLPOP nothing 0"],
    &["a SELECT 3"],
    &["b CONFIG SET slowlog-log-slower-than 0"],
    &["b CONFIG SET commandlog-request-larger-than 10 commandlog-reply-larger-than 3"],
    &["b CONFIG SET latency-tracking no"],
    &["a QUIT"],
    &["a RESET"],
    &["! later"],
    &["! loading"],
    &["! save failed"],
    &["! renamed"],
    &["! replica"],
];

const REQUESTS: &[&str] = &[
    "GET k",
    "OBJECT IDLETIME k",
    "GET old",
    "SET k v",
    "get k",
    "GET missing",
    "GET",
    "INCR k",
    "SET t v PX 1",
    "LPUSH l a b",
    "RPOP l",
    "GET l",
    "HSET h f v g w",
    "HGETALL h",
    "ZADD z 1 a 2 b",
    "ZRANGE z 0 -1 WITHSCORES",
    "DEL h z missing",
    "TOUCH k",
    "OBJECT ENCODING k",
    "PING",
    "EXEC",
    "GETSET k 7",
    "INCRBY k 35",
    "SADD s x y",
    "SMEMBERS s",
    "XADD x 1-1 f v",
    "APPEND k tail",
    "EXPIRE k 100",
    "NOSUCH k",
    "DBSIZE",
];

struct Side {
    engine: Engine,
    clock: Arc<SimClock>,
    clients: [ClientId; 2],
    short: bool,
}

impl Side {
    fn new(short: bool) -> Self {
        let sim = Arc::new(SimClock::at(1_700_000_000_000));
        let clock: Arc<dyn Clock> = Arc::<SimClock>::clone(&sim);
        let state = crate::engine::start::server_state(Config::default(), String::new(), &clock);
        let logger = Logger::silent(Arc::clone(&clock));
        let disk = Arc::new(SimDisk::new());
        let mut engine = Engine::new(state, clock, disk, SeededRng::new(1), logger);
        engine.sample_memory();
        let now = engine.ks.now;
        let clients = [1, 2].map(|port| {
            let address = format!("127.0.0.1:{port}");
            engine.sessions.add(Client::new(address, String::new(), now))
        });
        Self { engine, clock: sim, clients, short }
    }

    /// Begins to log.
    fn log(&mut self) -> Arc<crate::aof::log::Log> {
        self.engine.start_log(FileNames::new("d", "a"), Recovered::default()).unwrap();
        self.engine.ks.effects.recording = true;
        Arc::clone(self.engine.log.as_ref().unwrap())
    }

    fn happen(&mut self, what: &str) {
        let server = &mut self.engine.server;
        match what {
            "later" => self.clock.advance(Duration::from_secs(100)),
            "loading" => {
                server.loading = Some(Loading { started_at: 0, total_bytes: 0, loaded_bytes: 0 });
            }
            "save failed" => server.persistence.last_save_ok = false,
            "renamed" => {
                let pair =
                    |from: &str, to: &str| (from.as_bytes().to_vec(), to.as_bytes().to_vec());
                let pairs = [pair("GET", ""), pair("SET", "PUT")];
                server.renamed = Renamed::new(&pairs).unwrap();
            }
            "replica" => {
                let client = self.engine.sessions.client_mut(self.clients[0]).unwrap();
                client.flags.replica = true;
            }
            _ => panic!("{what}"),
        }
        self.engine.begin_batch();
    }

    /// What a request of a client leaves behind, as text.
    fn send(&mut self, client: usize, text: &str) -> String {
        let words = crate::resp::inline::split_words(text.as_bytes()).unwrap();
        let request = OwnedArgs::from_slices(words.iter().map(Vec::as_slice));
        let (id, args) = (self.clients[client], request.as_args());
        let mut reply = Reply::new(false);
        let engine = &mut self.engine;
        let executed = match self.short {
            true => engine.execute(id, &args, &mut reply),
            false => engine.execute_request(id, &args, &mut reply),
        };
        let mail: Vec<_> = engine.sessions.to_answered.drain(..).collect();
        let others: Vec<_> = engine.sessions.outgoing.drain(..).collect();
        let reply = String::from_utf8_lossy(&reply.buffer).into_owned();
        let over_limit_since = engine.server.eviction.over_limit_since;
        format!("{executed:?} {reply:?} {mail:?} {others:?} {over_limit_since:?}")
    }

    /// What was counted and noted, and what is there.
    fn state(&self) -> String {
        let engine = &self.engine;
        let clients: Vec<_> = self.clients.iter().map(|id| engine.sessions.client(*id)).collect();
        let (ks, server) = (&engine.ks, &engine.server);
        let digest = digest::hex(&digest::dataset(ks));
        format!(
            "{clients:#?} {:#?} {:#?} {:#?} {:#?} {:#?} {digest}",
            ks.stats, server.stats, server.command_stats, server.error_stats, server.slow_log
        )
    }
}

/// Both sides do what a client asks for, and do it the same way.
fn told(sides: &mut [Side; 2], who: usize, text: &str) {
    let [short, long] = sides.each_mut().map(|side| side.send(who, text));
    assert_eq!(short, long, "{text}");
}

#[test]
fn both_ways_do_the_same_in_every_state() {
    for state in STATES {
        println!("{state:?}");
        let mut sides = [true, false].map(Side::new);
        // The turn of a client goes on through all of it, as under one hold of the lock.
        told(&mut sides, 0, "SET k value");
        told(&mut sides, 0, "SET old value PX 1");
        for text in *state {
            told(&mut sides, 0, "GET k");
            match text.split_once(' ').unwrap() {
                ("!", what) => sides.iter_mut().for_each(|side| side.happen(what)),
                (who, text) => told(&mut sides, usize::from(who == "b"), text),
            }
        }
        for text in REQUESTS {
            told(&mut sides, 0, text);
        }
        let [short, long] = sides.each_ref().map(Side::state);
        assert_eq!(short, long, "after {state:?}");
    }
}

#[test]
fn the_short_way_is_taken_where_nothing_speaks_against_it() {
    let mut side = Side::new(true);
    let takes = |side: &mut Side, text: &str| {
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let request = OwnedArgs::from_slices(words);
        side.engine.short_way(side.clients[0], &request.as_args()).is_some()
    };
    for text in
        ["GET k", "set k v", "INCR n", "LPUSH l a", "HSET h f v", "ZADD z 1 a", "XADD x * f v"]
    {
        assert!(takes(&mut side, text), "{text}");
    }
    assert!(!takes(&mut side, "GET") && !takes(&mut side, "PING"));
    side.send(1, "CONFIG SET maxmemory 100gb appendfsync always");
    assert!(takes(&mut side, "SET k v"), "below the limit");
    side.engine.server.used_memory = 200 << 30;
    assert!(!takes(&mut side, "SET k v"), "it has grown above the limit");
    side.engine.sample_memory();
    side.send(1, "MONITOR");
    assert!(!takes(&mut side, "GET k"), "who watches is shown it");
    side.send(1, "RESET");
    assert!(takes(&mut side, "GET k"));
    // What other threads change is seen a millisecond later, within the same hold of the lock.
    side.happen("save failed");
    assert!(!takes(&mut side, "GET k"));
    side.engine.begin_batch();
    side.engine.server.persistence.last_save_ok = true;
    assert!(takes(&mut side, "GET k"));
    side.engine.server.persistence.last_save_ok = false;
    side.clock.advance(Duration::from_micros(900));
    side.send(0, "GET k");
    assert!(takes(&mut side, "GET k"));
    side.clock.advance(Duration::from_micros(200));
    side.send(0, "GET k");
    assert!(!takes(&mut side, "GET k"));
    side.engine.server.persistence.last_save_ok = true;
    side.engine.server.running_script = Some(RunningScript {
        name: String::new(),
        is_function: false,
        command: OwnedArgs::from_slices(std::iter::empty()),
        started: Duration::ZERO,
        now: Duration::ZERO,
        wrote: false,
        killed: None,
    });
    side.engine.begin_batch();
    assert!(!takes(&mut side, "GET k"), "it waits for the script or is told of it");
}

#[test]
fn a_write_that_took_long_looks_at_the_log_again() {
    let mut side = Side::new(true);
    side.send(1, "CONFIG SET appendfsync everysec everysec-max-lag 1000");
    side.log();
    let write = |side: &mut Side, takes: Duration| {
        side.engine.begin_batch();
        let words: Vec<&[u8]> = vec![b"SET", b"k", b"v"];
        let request = OwnedArgs::from_slices(words);
        let (id, args) = (side.clients[0], request.as_args());
        let known = side.engine.short_way(id, &args).unwrap();
        side.clock.advance(takes);
        let executed = side.engine.execute_ordinary(id, known, &args, &mut Reply::new(false));
        assert!(executed.wrote && executed.need > 0);
        side.engine.log.as_ref().unwrap().write().unwrap();
        executed.needs_sync
    };
    assert!(!write(&mut side, Duration::from_secs(10)), "nothing was unsynced");
    assert!(!write(&mut side, Duration::from_micros(10)));
    assert!(!write(&mut side, Duration::from_millis(500)), "not old yet");
    assert!(write(&mut side, Duration::from_millis(500)), "old once it has ended");
    assert!(write(&mut side, Duration::from_micros(10)), "old before");
    side.engine.log.as_ref().unwrap().sync().unwrap();
    assert!(!write(&mut side, Duration::from_micros(10)));
}

/// One side stages what the requests of a client write, as the reactor has it do, and the other appends each.
#[test]
fn staged_records_are_the_log_that_appended_ones_are() {
    for state in STATES.iter().filter(|state| **state != ["! loading"]) {
        let mut sides = [true, true].map(Side::new);
        for side in &mut sides {
            side.log().hear();
        }
        let log = |side: &Side| Arc::clone(side.engine.log.as_ref().unwrap());
        told(&mut sides, 0, "SET k value");
        sides[0].engine.stage_records();
        for text in *state {
            match text.split_once(' ').unwrap() {
                ("!", what) => sides.iter_mut().for_each(|side| side.happen(what)),
                (who, text) => told(&mut sides, usize::from(who == "b"), text),
            }
        }
        for text in REQUESTS {
            told(&mut sides, 0, text);
        }
        let synced = sides[0].engine.server.config.appendfsync == AppendFsync::Everysec
            && sides[0].engine.reply_needs_sync(sides[0].clients[0]);
        if synced {
            assert_eq!(log(&sides[0]).appended(), log(&sides[1]).appended(), "{state:?}");
        }
        sides[0].engine.append_staged();
        assert_eq!(log(&sides[0]).appended(), log(&sides[1]).appended(), "{state:?}");
        let heard = sides.each_ref().map(|side| format!("{:?}", log(side).hear()));
        assert_eq!(heard[0], heard[1], "{state:?}");
        for side in &sides {
            log(side).write().unwrap();
        }
        let [staged, other] = sides.each_ref().map(|side| {
            let log = log(side);
            assert_eq!(log.written(), log.appended());
            side.engine.disk.file_len(&log.files().path(&log.files().incr(1))).unwrap()
        });
        assert_eq!(staged, other, "{state:?}");
    }
}

#[test]
fn records_are_staged_and_appended_before_anything_else_is() {
    let mut side = Side::new(true);
    side.send(1, "CONFIG SET appendfsync everysec");
    let log = side.log();
    side.send(0, "SET k v");
    side.engine.stage_records();
    let waits = |side: &mut Side, text: &str| {
        let before = log.appended();
        side.send(0, text);
        log.appended() == before
    };
    assert!(waits(&mut side, "SET k w") && waits(&mut side, "LPUSH l a"));
    assert!(waits(&mut side, "GET k"), "a read leaves them where they are");
    assert!(!waits(&mut side, "PING"), "any other command has them appended");
    assert!(waits(&mut side, "SET k x"));
    assert!(!waits(&mut side, &format!("SET k {}", "x".repeat(40_000))), "it is long");
    side.send(0, "CLIENT DURABILITY ALWAYS");
    assert!(!waits(&mut side, "SET k y"), "its reply waits for a sync, which may begin at once");
    side.send(1, "CONFIG SET appendfsync always");
    assert!(waits(&mut side, "SET k z"), "a sync begins after the hold");
    side.send(0, "SELECT 3");
    assert!(!waits(&mut side, "SET k y"), "a SELECT comes before it");
    side.send(0, "SELECT 0");
    assert!(!waits(&mut side, "SET k y"));
    assert!(waits(&mut side, "SET k y"));
    side.engine.append_staged();
    assert!(!waits(&mut side, "SET k z"), "nobody would append it");
    let position = side.engine.sessions.client(side.clients[0]).unwrap().last_write;
    assert_eq!(log.appended().0, position);
}
