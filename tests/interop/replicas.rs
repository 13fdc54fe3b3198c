//! Being synchronized from: `redis-cli --rdb`, a backup from another machine, and real servers as replicas.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::backup::done;
use crate::support::client::Client;
use crate::support::dataset::{VALUES, assert_same, dump};
use crate::support::peers::{self, Program};
use crate::support::reply::Reply;
use crate::support::rng::Rng;
use crate::support::server::{Place, Server, wait_for};
use crate::{Features, fill};

const FEATURES: Features = Features { field_expiry: false, streams: true };
const WITHIN: Duration = Duration::from_secs(20);

/// A program beside a server's.
fn tool(server: &Program, name: &str) -> PathBuf {
    server.path.with_file_name(name)
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

pub(crate) fn info(client: &mut Client, section: &str, field: &str) -> String {
    let text = client.must(&format!("INFO {section}")).text().unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_default().to_owned()
}

#[test]
fn the_clients_of_redis_and_valkey_fetch_a_snapshot_that_their_servers_load() {
    let server = Server::start(&peers::fastness(), &["enable-debug-command yes"]);
    let mut client = server.client();
    fill(&mut client, FEATURES);
    let library = "#!lua name=mine\nredis.register_function('one', function() return 1 end)";
    assert!(!client.call(&["FUNCTION", "LOAD", library]).unwrap().is_error());
    let expected = dump(&mut client, VALUES).unwrap();
    let peers = [(peers::redis8(), "redis"), (peers::valkey9(), "valkey")];
    for (peer, name) in peers.iter().filter_map(|(peer, name)| Some((peer.clone()?, name))) {
        let place = Place::new();
        let file = place.data().join("dump.rdb");
        let port = server.port.to_string();
        let cli = tool(&peer, &format!("{name}-cli"));
        run(Command::new(&cli).args(["-p", &port, "--rdb"]).arg(&file));
        run(Command::new(tool(&peer, &format!("{name}-check-rdb"))).arg(&file));
        let options = ["save ", "appendonly no", "enable-debug-command yes"];
        let loaded = Server::start_on(&peer, &place, &options);
        let mut loaded = loaded.client();
        assert_same(peer.name, &expected, &dump(&mut loaded, VALUES).unwrap());
        assert_eq!(loaded.must("FCALL one 0").int(), Some(1));
        // The libraries alone.
        run(Command::new(&cli).args(["-p", &port, "--functions-rdb"]).arg(&file));
        let (functions, place) = (file, Place::new());
        std::fs::copy(functions, place.data().join("dump.rdb")).unwrap();
        let loaded = Server::start_on(&peer, &place, &options);
        let mut loaded = loaded.client();
        assert_eq!(loaded.must("DBSIZE").int(), Some(0));
        assert_eq!(loaded.must("FCALL one 0").int(), Some(1));
    }
    wait_for("the connections' end", WITHIN, || {
        info(&mut client, "replication", "connected_slaves") == "0"
    });
    let names: Vec<_> = std::fs::read_dir(server.data()).unwrap().flatten().collect();
    let left = names.iter().any(|name| name.file_name().to_string_lossy().contains("sync"));
    assert!(!left, "{names:?}");
}

#[test]
fn a_fastness_whose_directory_is_not_here_is_backed_up_by_its_stream() {
    let server = Server::start(&peers::fastness(), &["enable-debug-command yes"]);
    let mut client = server.client();
    fill(&mut client, FEATURES);
    let expected = dump(&mut client, VALUES).unwrap();
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let from = format!("redis://127.0.0.1:{}", server.port);
    done(&["backup", "create", "--from", &from, "--to", &path("here")]);
    assert_eq!(info(&mut client, "stats", "sync_full"), "0", "its files are here");
    // Whoever looks at that directory finds that it is another server's, which has the same process id: in a container
    // every server is the first process.
    let lock = server.data().join("fastness.lock");
    let held = std::fs::read_to_string(&lock).unwrap();
    let (pid, run_id) = held.trim().split_once(' ').unwrap();
    assert_eq!(run_id, info(&mut client, "server", "run_id"));
    std::fs::write(&lock, format!("{pid} {}\n", "0".repeat(40))).unwrap();
    let (repository, restored) = (path("repository"), path("restored"));
    let made = done(&["backup", "create", "--from", &from, "--to", &repository, "--digest"]);
    assert_eq!(made["origin"]["kind"].as_str().unwrap_or("replication"), "replication", "{made}");
    done(&["backup", "verify", &repository, "--full"]);
    done(&["restore", "--from", &repository, "--dir", &restored]);
    assert_eq!(info(&mut client, "stats", "sync_full"), "1");
    let place = Place::new();
    std::fs::remove_dir(place.data()).unwrap();
    std::fs::rename(restored, place.data()).unwrap();
    let loaded = Server::start_on(&peers::fastness(), &place, &["enable-debug-command yes"]);
    assert_same("restored", &expected, &dump(&mut loaded.client(), VALUES).unwrap());
}

/// Writes of many kinds, until told to stop.
pub(crate) fn load(port: u16, seed: u64, stop: &AtomicBool) -> u64 {
    let mut client = Client::connect(port).unwrap();
    let mut rng = Rng::new(seed);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let (key, value) = (rng.below(200), rng.below(1_000_000));
        let lines = match rng.below(12) {
            0 => vec![format!("SET s{key} {value}")],
            1 => vec![format!("SET t{key} {value} PX 30")],
            2 => vec![format!("LPUSH l{key} {value}"), format!("LTRIM l{key} 0 50")],
            3 => vec![format!("HSET h{key} f{} {value}", value % 50)],
            4 => vec![format!("SADD m{key} {value}"), format!("SPOP m{key} 1")],
            5 => vec![format!("ZADD z{key} {value} m{}", value % 90), format!("ZPOPMIN z{key}")],
            6 => vec![format!("XADD x{key} * f {value}"), format!("XTRIM x{key} MAXLEN 20")],
            7 => vec![
                "MULTI".to_owned(),
                format!("INCRBY n{key} {value}"),
                format!("APPEND a{} x", key % 9),
                "EXEC".to_owned(),
            ],
            8 => vec![
                format!("SELECT {}", 1 + key % 3),
                format!("SET other{key} {value}"),
                "SELECT 0".to_owned(),
            ],
            9 => vec![format!("DEL s{key} h{} z{key}", key / 2)],
            10 => vec![format!("EXPIRE s{key} {}", 1000 + value)],
            _ => vec![format!("COPY s{key} copy{} REPLACE", key / 2)],
        };
        for line in lines {
            client.must(&line);
            count += 1;
        }
        if count % 100 == 0 {
            let script = "redis.call('SET', KEYS[1], ARGV[1]); redis.call('INCR', 'scripts')";
            let sent = ["EVAL", script, "1", &format!("e{key}"), &value.to_string()];
            assert!(!client.call(&sent).unwrap().is_error());
        }
    }
    count
}

fn digest(client: &mut Client) -> String {
    client.must("DEBUG DIGEST").text().unwrap()
}

/// Waits until the replica has all that was written, and compares.
fn settle(what: &str, ours: &mut Client, replica: &mut Client) {
    ours.must("SET last write");
    assert_eq!(ours.must("WAIT 1 15000").int(), Some(1), "{what}");
    // Keys of both go when their time comes, by a record of ours.
    let mut pair = || (digest(ours), digest(replica));
    wait_for(&format!("{what}: the same data"), WITHIN, || {
        let (own, other) = pair();
        own == other
    });
}

fn attached(what: &str, ours: &mut Client, replica: &mut Client, port: u16) {
    replica.must(&format!("REPLICAOF 127.0.0.1 {port}"));
    wait_for(&format!("{what}: the link"), WITHIN, || {
        info(replica, "replication", "master_link_status") == "up"
            && info(ours, "replication", "slave0").contains("state=online")
    });
}

#[test]
fn real_servers_follow_as_replicas_whatever_the_log_does() {
    let ways = [
        ["appendonly yes", "appendfsync always"],
        ["appendonly yes", "appendfsync everysec"],
        ["appendonly no", "save "],
    ];
    for peer in [peers::redis8(), peers::valkey9()].into_iter().flatten() {
        for way in ways {
            follows(&peer, &way);
        }
    }
}

fn follows(peer: &Program, way: &[&str]) {
    let what = format!("{} of {way:?}", peer.name);
    let server = Server::start(&peers::fastness(), &[way, &["enable-debug-command yes"]].concat());
    let other =
        Server::start(peer, &["save ", "appendonly yes", "enable-debug-command yes", "hz 50"]);
    let (mut ours, mut replica) = (server.client(), other.client());
    fill(&mut ours, FEATURES);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loads = [1, 2].map(|seed| {
            scope.spawn({
                let stop = &stop;
                move || load(server.port, seed, stop)
            })
        });
        attached(&what, &mut ours, &mut replica, server.port);
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let count: u64 = loads.into_iter().map(|load| load.join().unwrap()).sum();
        assert!(count > 200, "{what}: {count} commands");
    });
    settle(&what, &mut ours, &mut replica);
    shows_its_replica(&what, &mut ours, &other);
    // What is told and not written goes there, too.
    let mut listener = other.client();
    listener.must("SUBSCRIBE news");
    ours.must("PUBLISH news here");
    let told = listener.receive().unwrap();
    assert_eq!(told.items().get(2).and_then(Reply::text).as_deref(), Some("here"), "{what}");
    // Its own log has it, once it says so.
    ours.must("SET another write");
    let waited = ours.must("WAITAOF 0 1 15000");
    assert_eq!(waited.items().get(1).and_then(Reply::int), Some(1), "{what}: {waited}");
    assert_eq!(ours.must("WAIT 2 50").int(), Some(1), "{what}");
    // It comes back after its link was cut, and is whole again.
    ours.must("CLIENT KILL TYPE replica");
    ours.must("SET written-meanwhile 1");
    ours.must("FLUSHDB");
    ours.must("SET written-afterwards 1");
    wait_for(&format!("{what}: the second link"), WITHIN, || {
        info(&mut ours, "replication", "slave0").contains("state=online")
    });
    settle(&what, &mut ours, &mut replica);
    assert_eq!(info(&mut ours, "stats", "sync_full"), "2", "{what}");
    replica.must("REPLICAOF NO ONE");
    wait_for(&format!("{what}: the end"), WITHIN, || {
        info(&mut ours, "replication", "connected_slaves") == "0"
    });
    ours.must("SET without-replica 1");
    assert_eq!(replica.must("EXISTS without-replica").int(), Some(0));
}

fn shows_its_replica(what: &str, ours: &mut Client, other: &Server) {
    let offset = info(ours, "replication", "master_repl_offset");
    let line = info(ours, "replication", "slave0");
    let place = format!("ip=127.0.0.1,port={},state=online,offset=", other.port);
    assert!(line.starts_with(&place) && line.ends_with("lag=0"), "{what}: {line}");
    let mut replica = other.client();
    wait_for(&format!("{what}: the offset"), WITHIN, || {
        let theirs = info(&mut replica, "replication", "slave_repl_offset");
        theirs == info(ours, "replication", "master_repl_offset") && theirs >= offset
    });
    let role = ours.must("ROLE");
    let shown = role.items().get(2).unwrap().items().first().unwrap().items();
    assert_eq!(shown.first().and_then(Reply::text).as_deref(), Some("127.0.0.1"));
    assert_eq!(shown.get(1).and_then(Reply::text), Some(other.port.to_string()));
    let list = ours.must("CLIENT LIST TYPE replica").text().unwrap();
    assert!(list.lines().count() == 1 && list.contains(" flags=S "), "{what}: {list}");
    assert!(list.contains(" cmd=replconf "), "{what}: {list}");
}

#[test]
fn fields_that_expire_reach_a_valkey_and_a_redis() {
    for peer in [peers::redis8(), peers::valkey9()].into_iter().flatten() {
        let server = Server::start(&peers::fastness(), &["enable-debug-command yes"]);
        let other = Server::start(&peer, &["save ", "enable-debug-command yes"]);
        let (mut ours, mut replica) = (server.client(), other.client());
        ours.must("HSET h a 1 b 2 c 3");
        ours.must("HPEXPIRE h 900000 FIELDS 1 a");
        attached(peer.name, &mut ours, &mut replica, server.port);
        ours.must("HPEXPIRE h 800000 FIELDS 1 b");
        assert_eq!(ours.must("WAIT 1 15000").int(), Some(1));
        let ask = "HPEXPIRETIME h FIELDS 3 a b c";
        assert_eq!(ours.must(ask), replica.must(ask), "{}", peer.name);
        assert_eq!(ours.must("HMGET h a b c"), replica.must("HMGET h a b c"), "{}", peer.name);
    }
}

/// A connection that asks to be fed, and what came so far.
fn raw_replica(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream.write_all(b"REPLCONF listening-port 7\r\nPSYNC ? -1\r\n").unwrap();
    let mut got = [0; 5];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"+OK\r\n");
    stream
}

#[test]
fn a_replica_that_takes_nothing_is_let_go_and_holds_nobody_up() {
    let limit = "client-output-buffer-limit replica 4mb 0 0";
    let server = Server::start(&peers::fastness(), &[limit]);
    let mut client = server.client();
    let idle = raw_replica(&server);
    wait_for("the link", WITHIN, || {
        info(&mut client, "replication", "slave0").contains("port=7,state=online")
    });
    let value = "x".repeat(1 << 20);
    for _ in 0..40 {
        assert!(!client.call(&["SET", "large", &value]).unwrap().is_error());
    }
    assert_eq!(info(&mut client, "replication", "connected_slaves"), "0");
    assert_eq!(info(&mut client, "stats", "client_output_buffer_limit_disconnections"), "1");
    drop(idle);
}

#[test]
fn a_replica_that_asks_for_data_on_its_link_is_let_go() {
    let server = Server::start(&peers::fastness(), &[]);
    let mut client = server.client();
    let mut replica = raw_replica(&server);
    wait_for("the link", WITHIN, || {
        info(&mut client, "replication", "slave0").contains("state=online")
    });
    replica.write_all(b"PING\r\n").unwrap();
    let mut rest = Vec::new();
    // The end may come as a reset, for what was not read.
    let _ = replica.read_to_end(&mut rest);
    let text = String::from_utf8_lossy(&rest);
    assert!(text.starts_with("+FULLRESYNC ") && !text.contains("PONG"), "{text}");
    wait_for("the end", WITHIN, || info(&mut client, "replication", "connected_slaves") == "0");
}

#[test]
fn writes_can_be_made_to_need_replicas() {
    let Some(peer) = peers::redis8() else { return };
    let server = Server::start(&peers::fastness(), &["min-replicas-to-write 1"]);
    let other = Server::start(&peer, &["save "]);
    let (mut ours, mut replica) = (server.client(), other.client());
    let refused = ours.line("SET a 1").unwrap().text().unwrap();
    assert!(refused.starts_with("NOREPLICAS"), "{refused}");
    attached("the replica", &mut ours, &mut replica, server.port);
    ours.must("SET a 1");
}

/// What changes while nobody follows is not part of the stream: a replica of a replica that would go on with the stream as it
/// was before must begin anew.
#[test]
fn a_replica_of_a_replica_has_what_changed_while_nobody_followed() {
    let Some(peer) = peers::redis8() else { return peers::not_run("no Redis 8") };
    for appendonly in ["appendonly yes", "appendonly no"] {
        let server = Server::start(
            &peers::fastness(),
            &["save ", appendonly, "enable-debug-command yes", "repl-ping-replica-period 1"],
        );
        let mut ours = server.client();
        ours.must("SET k v1");
        let follower = |port: u16| {
            let follows = format!("replicaof 127.0.0.1 {port}");
            Server::start(&peer, &["save ", "enable-debug-command yes", &follows])
        };
        let first = follower(server.port);
        let second = follower(first.port);
        let has = |server: &Server, value: &str| {
            server.client().must("GET k").text().is_some_and(|text| text == value)
        };
        wait_for("both", WITHIN, || has(&first, "v1") && has(&second, "v1"));
        // Pings take the stream ahead of the log.
        std::thread::sleep(Duration::from_secs(4));
        ours.must("CLIENT KILL TYPE replica");
        ours.must("SET k v2");
        wait_for("both again", WITHIN, || has(&first, "v2") && has(&second, "v2"));
    }
}

/// What waits for a replica that takes nothing does not count against `maxmemory`: each eviction would add to it.
#[test]
fn what_waits_for_a_slow_replica_evicts_nothing() {
    let limits = ["save ", "appendonly no", "maxmemory 40mb", "maxmemory-policy allkeys-lru"];
    let server = Server::start(&peers::fastness(), &limits);
    let mut client = server.client();
    let small = "x".repeat(1000);
    for key in 0..5000 {
        client.call(&["SET", &format!("k{key}"), &small]).unwrap();
    }
    let _replica = raw_replica(&server);
    wait_for("the stream", WITHIN, || {
        info(&mut client, "replication", "slave0").contains("online")
    });
    let large = "y".repeat(100_000);
    for _ in 0..700 {
        client.call(&["SET", "hot", &large]).unwrap();
    }
    assert_eq!(info(&mut client, "stats", "evicted_keys"), "0");
    assert_eq!(client.must("DBSIZE").int(), Some(5001));
    let uncounted: u64 = info(&mut client, "memory", "mem_not_counted_for_evict").parse().unwrap();
    assert!(uncounted > 60_000_000, "{uncounted}");
}
