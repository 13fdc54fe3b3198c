//! Starts by their configuration: names that look like something else, a log that is switched off, a full disk.
//! What is asked of an engine here is durable when it is answered.

use std::sync::Arc;
use std::time::Duration;

use fastness::aof::log::LogState;
use fastness::aof::manifest::{Entry, Manifest};
use fastness::clock::Clock;
use fastness::config::{AppendFsync, Config};
use fastness::disk::Disk as _;
use fastness::disk::sim::{CrashMode, Fault, SimDisk};
use fastness::engine::Engine;
use fastness::logger::Logger;
use fastness::recovery;
use fastness::resp::{OwnedArgs, Reply};
use fastness::rng::SeededRng;
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
        assert!(gone.filter(|name| **name != snapshot).all(|name| !is_there(name)), "{there:?}");
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

/// A server's directory, killed; with a torn tail, if wanted. What it holds is `a` to `e`.
fn killed(torn: bool) -> SimDisk {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk, &config(AppendFsync::Always), Duration::ZERO).unwrap();
    for key in ["a", "b"] {
        assert_eq!(server.ask(&format!("SET {key} {key}")), "+OK");
    }
    server.engine.rewrite_now().unwrap();
    for key in ["c", "d", "e"] {
        assert_eq!(server.ask(&format!("SET {key} {key}")), "+OK");
    }
    let disk = copy(&disk);
    if torn {
        let last = disk.files().into_iter().rfind(|path| path.ends_with("incr.aof"));
        let last = last.unwrap();
        let mut bytes = disk.bytes(&last).unwrap();
        bytes.truncate(bytes.len() - 3);
        disk.put(&last, &bytes);
    }
    disk
}

fn copy(disk: &SimDisk) -> SimDisk {
    disk.crash(CrashMode::Everything, &mut SeededRng::new(0))
}

fn all_is_there(server: &mut Server, keys: &[&str], what: &str) {
    for key in keys {
        let reply = format!("${}\r\n{key}", key.len());
        assert_eq!(server.ask(&format!("GET {key}")), reply, "{what}");
    }
}

/// A start while no operation finds room from some instant on; then there is some again.
#[test]
fn a_full_disk_at_any_operation_of_a_start_refuses_writes_until_there_is_room() {
    for torn in [false, true] {
        let keys: &[&str] = if torn { &["a", "b", "c", "d"] } else { &["a", "b", "c", "d", "e"] };
        let (before, mut full) = (killed(torn), 0);
        for at in 0.. {
            let (disk, what) = (copy(&before), format!("torn: {torn}, full from {at} on"));
            (at..at + 10_000).for_each(|at| disk.fail_at(at, Fault::NoSpace));
            let config = config(AppendFsync::Always);
            let mut server = Server::start(&disk, &config, Duration::ZERO).expect(&what);
            if disk.operation_count() <= at {
                assert!(full > 5, "{full}");
                break;
            }
            all_is_there(&mut server, keys, &what);
            if server.engine.log.as_ref().unwrap().state() == LogState::Full {
                full += 1;
                let refused = server.ask("SET refused 1");
                assert!(refused.starts_with("-MISCONF") && refused.contains("full"), "{refused}");
            }
            for seed in 0..4 {
                let modes = CrashMode::ALL.into_iter();
                for after in modes.map(|mode| disk.crash(mode, &mut SeededRng::new(seed))) {
                    let started = Server::start(&after, &config, Duration::ZERO);
                    all_is_there(&mut started.expect(&what), keys, &what);
                }
            }
            disk.clear_faults();
            server.log_round();
            assert_eq!(server.ask("SET new new"), "+OK", "{what}");
            for mode in CrashMode::ALL {
                let after = disk.crash(mode, &mut SeededRng::new(at));
                let mut started = Server::start(&after, &config, Duration::ZERO).expect(&what);
                all_is_there(&mut started, &[keys, &["new"]].concat(), &what);
                let kept = after.files().iter().filter(|path| path.contains("torn-at")).count();
                assert_eq!(kept, usize::from(torn), "{what}");
                assert!(!after.files().iter().any(|path| path.contains("temp-")), "{what}");
            }
        }
    }
}

/// The log itself has filled the disk. The start leaves the files as they are, and goes on by itself.
#[test]
fn a_start_on_a_disk_that_the_log_has_filled_leaves_no_half_made_files() {
    let disk = killed(true);
    let config = config(AppendFsync::Always);
    disk.set_capacity(Some(disk.used_bytes()));
    let before = disk.files();
    let mut server = Server::start(&disk, &config, Duration::ZERO).unwrap();
    for _ in 0..3 {
        server.log_round();
        all_is_there(&mut server, &["a", "b", "c", "d"], "full");
        assert!(server.ask("DEL a").starts_with("-MISCONF"));
        assert_eq!(disk.files(), before);
    }
    // A rewrite needs a segment, too.
    assert!(server.engine.rewrite_now().is_err());
    assert!(server.engine.log.as_ref().unwrap().close().is_ok(), "there is nothing to write");
    disk.set_capacity(None);
    server.log_round();
    assert_eq!(server.ask("SET e e"), "+OK");
    assert!(server.ask("INFO persistence").contains("aof_state:ready"));
    let mut server = Server::start(&disk, &config, Duration::ZERO).unwrap();
    all_is_there(&mut server, &["a", "b", "c", "d", "e"], "room");
    server.engine.rewrite_now().unwrap();
    assert_eq!(server.ask("SET f f"), "+OK");
    let mut server = Server::start(&copy(&disk), &config, Duration::ZERO).unwrap();
    all_is_there(&mut server, &["a", "b", "c", "d", "e", "f"], "rewritten");
}

/// Where the room comes from a rewrite, its segment is the first one.
#[test]
fn a_rewrite_may_find_the_room_that_the_start_did_not() {
    let disk = killed(false);
    let config = config(AppendFsync::Always);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut server = Server::start(&disk, &config, Duration::ZERO).unwrap();
    disk.set_capacity(None);
    server.engine.rewrite_now().unwrap();
    assert_eq!(server.ask("SET f f"), "+OK");
    let mut server = Server::start(&copy(&disk), &config, Duration::ZERO).unwrap();
    all_is_there(&mut server, &["a", "b", "c", "d", "e", "f"], "rewritten");
}

/// A crash before the old files of a rewrite were removed, on a disk that they fill.
#[test]
fn old_files_make_room_for_a_start() {
    let disk = killed(false);
    let path = "appendonlydir/appendonly.aof.manifest";
    let bytes = disk.bytes(path).unwrap();
    let mut manifest = Manifest::parse(&bytes).unwrap().manifest;
    disk.put("appendonlydir/appendonly.aof.90.base.rdb", &[b'x'; 4000]);
    manifest.history.push(Entry::new("appendonly.aof.90.base.rdb".to_owned(), 90));
    disk.put(path, &manifest.encode());
    disk.set_capacity(Some(disk.used_bytes()));
    let mut server = Server::start(&disk, &config(AppendFsync::Always), Duration::ZERO).unwrap();
    assert_eq!(server.ask("SET f f"), "+OK");
}

fn log_off() -> Config {
    let mut config = config(AppendFsync::Always);
    config.appendonly = false;
    config
}

/// P8: whatever the clock says, the log is left behind only when the snapshot holds all of it.
#[test]
fn a_log_that_is_switched_off_is_left_behind_only_for_a_snapshot_of_all_of_it() {
    for set_back in [0, 3_600_000] {
        let (disk, late) = (SimDisk::new(), Duration::from_secs(3600));
        let mut server = Server::start(&disk, &config(AppendFsync::Always), late).unwrap();
        assert_eq!(server.ask("SET a a"), "+OK");
        assert_eq!(server.ask("SAVE"), "+OK");
        // All is in the snapshot.
        let saved = copy(&disk);
        // Within the same second, or before it.
        server.clock.set_back(set_back);
        assert_eq!(server.ask("SET b b"), "+OK");
        let mut off = Server::start(&copy(&disk), &log_off(), late).unwrap();
        all_is_there(&mut off, &["a", "b"], "written behind the snapshot");
        // A rewrite drops the segment that the snapshot knows.
        server.engine.rewrite_now().unwrap();
        if set_back == 0 {
            let mut off = Server::start(&copy(&disk), &log_off(), late).unwrap();
            all_is_there(&mut off, &["a", "b"], "rewritten");
        }
        // Here the snapshot is the newer one, again and again, and holds what no log has.
        let mut early = late;
        for round in 0..3 {
            let mut off = Server::start(&saved, &log_off(), early).unwrap();
            assert_eq!(off.ask("INCR count"), format!(":{}", round + 1));
            assert_eq!(off.ask("SAVE"), "+OK");
            early = early.saturating_sub(Duration::from_secs(600));
        }
    }
}

/// The conversion saves what the log holds, and the snapshot knows that it does.
#[test]
fn after_a_conversion_the_snapshot_is_the_data_set() {
    let disk = killed(false);
    for round in 0..3 {
        let mut off = Server::start(&disk, &log_off(), Duration::ZERO).unwrap();
        all_is_there(&mut off, &["a", "b", "c", "d", "e"], "converted");
        assert_eq!(off.ask("INCR count"), format!(":{}", round + 1));
        assert_eq!(off.ask("SAVE"), "+OK");
    }
    // The same when the log is switched off while the server runs.
    let disk = killed(false);
    let late = Duration::from_secs(3600);
    let mut server = Server::start(&disk, &config(AppendFsync::Always), late).unwrap();
    assert_eq!(server.ask("SET f f"), "+OK");
    assert_eq!(server.ask("CONFIG SET appendonly no"), "+OK");
    server.clock.set_back(3_600_000);
    assert_eq!(server.ask("SET g g"), "+OK");
    assert_eq!(server.ask("SAVE"), "+OK");
    let mut off = Server::start(&disk, &log_off(), Duration::ZERO).unwrap();
    all_is_there(&mut off, &["a", "e", "f", "g"], "switched off");
}

/// P5: what a damaged log holds besides the snapshot is not known, and not dropped silently.
#[test]
fn a_damaged_log_that_is_switched_off_is_reported() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk, &config(AppendFsync::Always), Duration::ZERO).unwrap();
    assert_eq!((server.ask("SET a a"), server.ask("SET b b")), ("+OK".into(), "+OK".into()));
    assert_eq!((server.ask("SAVE"), server.ask("SET c c")), ("+OK".into(), "+OK".into()));
    server.engine.log.as_ref().unwrap().close().unwrap();
    let path = "appendonlydir/appendonly.aof.1.incr.aof";
    assert!(disk.rot(path, disk.bytes(path).unwrap().len() as u64 / 2, 1));
    let refused = Server::start(&disk, &log_off(), Duration::ZERO).err().unwrap();
    assert!(refused.contains("appendonly.aof.1.incr.aof"), "{refused}");
}
