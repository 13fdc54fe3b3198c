//! Fixed work for counting instructions: `scripts/guard.sh` runs this under valgrind, once with few rounds and once with
//! more, and compares the difference with `guard.baseline`. It measures no time.
//!
//!     guard --list
//!     guard WORKLOAD ROUNDS
//!
//! Each round sends a batch of requests as a connection would: bytes are decoded, executed by an engine without a log and
//! without a disk behind it, replied to. Requests are the same in each round and each run.

#![allow(clippy::unwrap_used, reason = "a step that fails is a workload that is wrong")]

use std::hint::black_box;
use std::sync::Arc;

use fastness::aof::record::{Frame, Position, Salt, encode_frame_line};
use fastness::clock::{Clock, SimClock};
use fastness::config::Config;
use fastness::disk::os::OsDisk;
use fastness::engine::Engine;
use fastness::logger::Logger;
use fastness::resp::decode::DecodeLimits;
use fastness::resp::{Batch, Decoder, Reply};
use fastness::rng::SeededRng;
use fastness::session::{Client, ClientId};

const REQUESTS: usize = 256;
const LIMITER: &str = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return {n, redis.call('TTL', KEYS[1])}";

/// Name, what is there before, the requests of a round; `#` is the number of the request.
const WORKLOADS: &[(&str, &[&str], &str)] = &[
    ("set", &[], "SET key:# vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"),
    ("get", &["SET key:# vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"], "GET key:#"),
    ("incr", &[], "INCR counter:#"),
    ("mget", &["SET key:# v"], "MGET key:# key:1 key:2 key:3 key:4"),
    ("lpush_rpop", &["RPUSH list #"], "LMOVE list list LEFT RIGHT"),
    ("lrange", &["RPUSH list item:#"], "LRANGE list 0 99"),
    ("hset", &[], "HSET hash field:# value"),
    ("hgetall", &["HSET hash field:# value"], "HGETALL hash"),
    ("sadd", &[], "SADD set member:#"),
    ("sinter", &["SADD set member:#", "SADD other member:#"], "SINTER set other"),
    ("zadd", &[], "ZADD zset # member:#"),
    ("zrange", &["ZADD zset # member:#"], "ZRANGE zset 0 99 WITHSCORES"),
    ("xadd", &[], "XADD stream MAXLEN ~ 1000 * field value"),
    ("xrange", &["XADD stream * field value"], "XRANGE stream - + COUNT 20"),
    ("scan", &["SET key:# v"], "SCAN 0 COUNT 1000"),
    ("limiter", &[], "EVAL limiter 1 limit:# 100"),
];

/// What a connection and the engine need, without threads or sockets.
struct Bench {
    engine: Engine,
    client: ClientId,
}

impl Bench {
    fn new() -> Self {
        // Places in tables are the same in every run, and with them what a walk counts.
        fastness::types::hash64::seed(1);
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(1_700_000_000_000));
        let state = fastness::cli::serve::server_state(Config::default(), String::new(), &clock);
        let logger = Logger::silent(Arc::clone(&clock));
        let disk = Arc::new(OsDisk::new(std::env::temp_dir()));
        let mut engine = Engine::new(state, clock, disk, SeededRng::new(1), logger);
        let client = Client::new("127.0.0.1:1".to_owned(), String::new(), engine.ks.now);
        let client = engine.sessions.add(client);
        Self { engine, client }
    }

    /// Decodes and executes what is in `input`; the bytes of the replies.
    fn send(&mut self, input: &[u8], reply: &mut Reply) -> usize {
        let mut batch = Batch::default();
        let limits = DecodeLimits { bulk_bytes_max: 1 << 29, authenticated: true };
        let (used, outcome) = Decoder::default().decode(input, limits, &mut batch);
        assert!(outcome.is_ok() && used == input.len());
        reply.buffer.clear();
        self.engine.begin_batch();
        for at in 0..batch.len() {
            let args = batch.request(at, input).unwrap();
            self.engine.execute(self.client, &args, reply);
        }
        assert!(!reply.buffer.starts_with(b"-"), "{}", String::from_utf8_lossy(&reply.buffer));
        reply.buffer.len()
    }
}

fn requests(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..REQUESTS {
        let line = line.replace('#', &number.to_string());
        let words: Vec<&str> = line.split(' ').collect();
        out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            let word = if word == "limiter" { LIMITER } else { word };
            out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    out
}

fn frame(rounds: usize) {
    let payload = vec![b'x'; 4096];
    let frame = Frame {
        previous_end: None,
        position: Position(1 << 40),
        unsynced: 0,
        millis: 1_700_000_000_000,
        len: 4096,
        previous_crc: 1,
    };
    let mut line = Vec::new();
    for _ in 0..rounds * REQUESTS {
        encode_frame_line(&mut line, Salt(7), &frame, black_box(&payload));
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            WORKLOADS.iter().for_each(|(name, ..)| println!("{name}"));
            println!("frame");
        }
        ["frame", rounds] => frame(rounds.parse().unwrap()),
        [name, rounds] => {
            let found = WORKLOADS.iter().find(|(known, ..)| *known == name);
            let (_, setup, line) = found.unwrap_or_else(|| panic!("no workload {name}"));
            let (mut bench, mut reply) = (Bench::new(), Reply::new(false));
            setup.iter().for_each(|line| {
                bench.send(&requests(line), &mut reply);
            });
            let input = requests(line);
            for _ in 0..rounds.parse::<usize>().unwrap() {
                black_box(bench.send(black_box(&input), &mut reply));
            }
        }
        // `cargo bench` runs all benches; this one is for scripts/guard.sh.
        _ => println!("guard: run scripts/guard.sh (make guard)"),
    }
}
