//! Starts by their configuration: names that look like something else, a log that is switched off, a full disk.
//! What is asked of an engine here is durable when it is answered.

use std::sync::Arc;
use std::time::Duration;

use fastness::clock::Clock;
use fastness::config::{AppendFsync, Config};
use fastness::disk::Disk as _;
use fastness::disk::sim::SimDisk;
use fastness::engine::Engine;
use fastness::logger::Logger;
use fastness::recovery;
use fastness::resp::{OwnedArgs, Reply};
use fastness::session::{Client, ClientId};
use parking_lot::Mutex;

use crate::model::engine_of;
use crate::sim::{StepClock, config};

/// A server that is driven by hand.
struct Server {
    engine: Engine,
    clock: Arc<StepClock>,
    client: ClientId,
}

impl Server {
    /// Starts on what is there, some seconds after 2026-11-22.
    fn start(disk: &SimDisk, config: &Config, at: Duration) -> Result<Self, String> {
        crate::fix_hashes();
        let clock = Arc::new(StepClock::default());
        clock.advance(at);
        let shared: Arc<dyn Clock> = Arc::<StepClock>::clone(&clock);
        let seed = disk.operation_count();
        let live = Mutex::new(engine_of(config, &shared, Arc::new(disk.clone()), seed));
        recovery::start_up(&live, &Logger::silent(shared)).map_err(|error| error.to_string())?;
        let mut engine = live.into_inner();
        let client = Client::new("127.0.0.1:1".to_owned(), String::new(), 0);
        let (client, _) = engine.admit(client).unwrap();
        Ok(Self { engine, clock, client })
    }

    /// The reply, when what it says is on the disk.
    fn ask(&mut self, request: &str) -> String {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let words = OwnedArgs::from_slices(words);
        let mut reply = Reply::new(false);
        self.engine.begin_batch();
        self.engine.execute(self.client, &words.as_args(), &mut reply);
        self.engine.append_staged();
        self.log_round();
        String::from_utf8_lossy(&reply.buffer).trim_end().to_owned()
    }

    fn log_round(&mut self) {
        if let Some(log) = self.engine.log.clone() {
            let _ = log.write().and_then(|()| log.sync());
        }
        self.engine.begin_batch();
        self.engine.watch_log();
    }
}

fn named(name: &str) -> Config {
    let mut config = config(AppendFsync::Always);
    config.appendfilename = name.to_owned();
    config
}

#[test]
fn a_log_whose_name_begins_with_temp_is_there_after_every_start() {
    for name in ["temp-shop.aof", "temp-", "temp-convert", "temp-12.rdb"] {
        let disk = SimDisk::new();
        let config = named(name);
        for round in 0..4 {
            let mut server = Server::start(&disk, &config, Duration::ZERO).unwrap();
            assert_eq!(server.ask("INCR count"), format!(":{}", round + 1), "{name}");
            if round == 1 {
                assert!(server.ask("BGREWRITEAOF").starts_with('+'));
                server.engine.rewrite_now().unwrap();
            }
        }
    }
}

#[test]
fn a_start_removes_leftovers_and_nothing_that_only_looks_like_them() {
    let mut config = config(AppendFsync::Always);
    config.appenddirname = ".".to_owned();
    let foreign = ["temp-notes.txt", "temp-dump.rdb", "temp-1x.rdb", "temp-restore-x"];
    let left = ["temp-appendonly.aof.manifest", "temp-appendonly.aof.2.base.rdb"];
    let left_by_others = ["temp-convert", "temp-rewriteaof-bg-12.aof", "temp-77.rdb"];
    for snapshot in ["temp-5.rdb", "temp-fastness-save.rdb", "temp-convert"] {
        let disk = SimDisk::new();
        config.dbfilename = snapshot.to_owned();
        let mut server = Server::start(&disk, &config, Duration::ZERO).unwrap();
        assert_eq!(server.ask("SET a 1"), "+OK");
        let all = foreign.iter().chain(&left).chain(&left_by_others);
        for name in all.chain([&snapshot]) {
            // To this disk these are two directories.
            disk.put(name, b"REDIS0012");
            disk.put(&format!("./{name}"), b"REDIS0012");
        }
        let mut server = Server::start(&disk, &config, Duration::ZERO).unwrap();
        assert_eq!(server.ask("GET a"), "$1\r\n1");
        let there = disk.list(".").unwrap();
        assert!(disk.bytes(snapshot).is_some(), "{snapshot}");
        let is_there = |name: &&str| there.iter().any(|there| there == name);
        assert!(foreign.iter().all(is_there) && is_there(&snapshot), "{there:?}");
        let gone = left.iter().chain(&left_by_others);
        assert!(gone.filter(|name| **name != snapshot).all(|name| !is_there(&name)), "{there:?}");
    }
}

/// Redis takes any name in a manifest.
#[test]
fn a_listed_file_stays_whatever_its_name() {
    let disk = SimDisk::new();
    let record = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    let names = ["temp-77.rdb", "temp-rewriteaof-7.aof", "temp-appendonly.aof.3.base.aof"];
    for name in names {
        disk.put(&format!("appendonlydir/{name}"), record);
        let manifest = format!("file {name} seq 3 type b\nfile x.1.incr.aof seq 1 type i\n");
        disk.put("appendonlydir/appendonly.aof.manifest", manifest.as_bytes());
        disk.put("appendonlydir/x.1.incr.aof", b"");
        for _ in 0..3 {
            let mut server =
                Server::start(&disk, &config(AppendFsync::Always), Duration::ZERO).unwrap();
            assert_eq!(server.ask("GET a"), "$1\r\n1", "{name}");
        }
    }
}
