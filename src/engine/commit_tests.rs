//! What a unit leaves to others at its end.

use std::sync::Arc;

use super::*;
use crate::clock::{Clock, SimClock};
use crate::config::Config;
use crate::disk::sim::SimDisk;
use crate::logger::Logger;
use crate::resp::{OwnedArgs, Reply};
use crate::rng::SeededRng;

struct World {
    engine: Engine,
    clock: Arc<SimClock>,
    client: ClientId,
}

impl World {
    fn new() -> Self {
        let sim = Arc::new(SimClock::at(1_700_000_000_000));
        let clock: Arc<dyn Clock> = Arc::<SimClock>::clone(&sim);
        let state = crate::engine::start::server_state(Config::default(), String::new(), &clock);
        let logger = Logger::silent(Arc::clone(&clock));
        let mut engine =
            Engine::new(state, clock, Arc::new(SimDisk::new()), SeededRng::new(1), logger);
        let client = Client::new("127.0.0.1:1".to_owned(), String::new(), engine.ks.now);
        let client = engine.sessions.add(client);
        Self { engine, clock: sim, client }
    }

    fn send(&mut self, text: &str) -> String {
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let request = OwnedArgs::from_slices(words);
        let mut reply = Reply::new(false);
        self.engine.begin_batch();
        self.engine.execute(self.client, &request.as_args(), &mut reply);
        String::from_utf8_lossy(&reply.buffer).into_owned()
    }

    /// A set of more than 64 KB at `large`.
    fn fill(&mut self) {
        let members: Vec<String> = (0..3000).map(|n| format!("member:{n}")).collect();
        self.send(&format!("SADD large {}", members.join(" ")));
        let entry = self.engine.ks.held(0, b"large").unwrap();
        assert!(entry.memory_bytes() >= crate::keyspace::LARGE_BYTES);
    }
}

/// However a large value goes, the reclaim thread frees it: to do it here would keep everybody waiting.
#[test]
fn large_values_that_go_are_left_to_the_reclaim_thread() {
    for text in [
        "DEL large",
        "UNLINK large",
        "SET large v",
        "SET large v EX 100",
        "RENAME small large",
        "COPY small large REPLACE",
        "SUNIONSTORE large small",
        "SUNIONSTORE large nothing",
        "SORT small STORE large",
        "BITOP NOT large nothing",
        "EXPIRE large -1",
        "GETEX text PXAT 1",
        "SPOP large 3000",
        "EVAL return(redis.call('SET','large','v')) 0",
        "later",
    ] {
        let mut world = World::new();
        world.send("SADD small 1");
        world.fill();
        if text.starts_with("GETEX") {
            world.send("DEL large");
            world.engine.server.garbage.clear();
            world.send(&format!("SET text {}", "x".repeat(100_000)));
        }
        let answer = match text {
            "later" => {
                world.send("PEXPIRE large 10");
                world.clock.advance(std::time::Duration::from_secs(1));
                world.send("EXISTS large")
            }
            text => world.send(text),
        };
        assert!(!answer.starts_with('-'), "{text}: {answer}");
        assert_eq!(world.engine.server.garbage.len(), 1, "{text}");
        assert!(!world.engine.ks.has_retired(), "{text}");
        let freed = world.engine.server.eviction.lazy_freed;
        assert_eq!(freed, u64::from(text.starts_with("UNLINK")), "{text}");
    }
    let mut world = World::new();
    world.send("SADD small 1");
    world.send("SET small v");
    assert!(world.engine.server.garbage.is_empty(), "what is small is freed at once");
}

/// A field whose time is over while nothing may change is not there for who reads, and stays.
#[test]
fn fields_that_are_over_are_hidden_during_a_pause() {
    let mut world = World::new();
    world.send("HSET h f 1 g 2");
    world.send("HPEXPIRE h 5 FIELDS 1 f");
    world.send("HSET gone f 1");
    world.send("HPEXPIRE gone 5 FIELDS 1 f");
    world.clock.advance(std::time::Duration::from_millis(100));
    world.send("CLIENT PAUSE 5000 WRITE");
    for (request, answer) in [
        ("HGET h f", "$-1\r\n"),
        ("HGET h g", "$1\r\n2\r\n"),
        ("HMGET h f g", "*2\r\n$-1\r\n$1\r\n2\r\n"),
        ("HEXISTS h f", ":0\r\n"),
        ("HSTRLEN h f", ":0\r\n"),
        ("HRANDFIELD h", "$1\r\ng\r\n"),
        ("HRANDFIELD h 9", "*1\r\n$1\r\ng\r\n"),
        ("HRANDFIELD h -2", "*2\r\n$1\r\ng\r\n$1\r\ng\r\n"),
        ("HRANDFIELD gone -2", "*0\r\n"),
        ("HGETALL h", "*2\r\n$1\r\ng\r\n$1\r\n2\r\n"),
        ("EVAL_RO return(redis.call('HGET','h','f')) 0", "$-1\r\n"),
        ("SORT_RO s BY nosort GET *->f", "*0\r\n"),
    ] {
        assert_eq!(world.send(request), answer, "{request}");
    }
    let held = world.engine.ks.held(0, b"h").map(crate::keyspace::Entry::value);
    let Some(crate::keyspace::ValueRef::Hash(hash)) = held else { panic!("no hash") };
    assert_eq!(hash.len(), 2, "nothing went");
}
