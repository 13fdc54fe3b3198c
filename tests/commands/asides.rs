//! What clients get when others stand in between: one waits, one is paused, a script does not end. The bytes of each
//! connection, compared with Redis' where that is to be had.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::transcript::arguments;
use crate::support::peers::{self, Program};
use crate::support::server::{Server, wait_for};

const SETTLES: Duration = Duration::from_millis(120);
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection of which every byte is kept.
struct Raw {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Raw {
    fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Self { stream, heard: Vec::new() }
    }

    /// Sends requests, divided by ` | `, in one piece.
    fn send(&mut self, requests: &str) {
        let mut bytes = Vec::new();
        for request in requests.split(" | ") {
            let words = arguments(request, &|_| None).unwrap();
            write!(bytes, "*{}\r\n", words.len()).unwrap();
            for word in words {
                write!(bytes, "${}\r\n", word.len()).unwrap();
                bytes.extend_from_slice(&word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        self.stream.write_all(&bytes).unwrap();
    }

    fn hear(&mut self) {
        let mut buffer = [0; 65536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.heard.extend_from_slice(b"<end>");
                    return;
                }
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn text(&mut self) -> String {
        self.hear();
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    fn hears(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text().contains(what) {
            assert!(Instant::now() < until, "{what} is not in {:?}", self.text());
        }
    }
}

/// What each client hears; a step is a client's letter and its requests, or a pause in milliseconds.
fn heard(server: &Server, steps: &[&str]) -> Vec<String> {
    let mut clients: Vec<(char, Raw)> = Vec::new();
    for step in steps {
        if let Ok(millis) = step.parse() {
            std::thread::sleep(Duration::from_millis(millis));
            continue;
        }
        let (letter, requests) = step.split_at(1);
        let letter = letter.chars().next().unwrap();
        if !clients.iter().any(|(known, _)| *known == letter) {
            clients.push((letter, Raw::to(server)));
        }
        let (_, client) = clients.iter_mut().find(|(known, _)| *known == letter).unwrap();
        client.send(requests.trim_start());
        std::thread::sleep(SETTLES);
    }
    std::thread::sleep(SETTLES);
    clients.iter_mut().map(|(letter, client)| format!("{letter}: {:?}", client.text())).collect()
}

const SCENES: &[&[&str]] = &[
    // No reply is sent to who wants none, also where it had to be waited for.
    &["a CLIENT REPLY OFF", "a BLPOP k 0", "b LPUSH k v", "a CLIENT REPLY ON"],
    &["a CLIENT REPLY OFF", "a BLPOP k 0.05", "100", "a CLIENT REPLY ON"],
    &["a CLIENT REPLY OFF", "a WAIT 1 50", "100", "a CLIENT REPLY ON"],
    &["a CLIENT REPLY SKIP", "a BLPOP k 0", "b LPUSH k v", "a PING"],
    &["a CLIENT REPLY SKIP | CLIENT REPLY SKIP | ECHO 1 | ECHO 2"],
    // What waited in vain is in the log of slow commands like everything else, once.
    &[
        "a CONFIG SET slowlog-log-slower-than 0 | SLOWLOG RESET",
        "a BLPOP k 0.02",
        "a WAIT 1 20",
        "100",
        "a SLOWLOG LEN | CONFIG SET slowlog-log-slower-than 10000",
    ],
    &["a CLIENT REPLY SKIP | BLPOP k 0 | PING", "b LPUSH k v", "a PING"],
    &["a CLIENT REPLY SKIP", "b CLIENT PAUSE 200 ALL", "a SET x 1", "300", "a PING"],
    &["a CLIENT REPLY OFF", "b CLIENT PAUSE 200 ALL", "a SET x 1", "300", "a CLIENT REPLY ON"],
    // What was sent before a reply comes before it, also where the client waited in between.
    &["b SUBSCRIBE ch", "b UNSUBSCRIBE ch | PING", "a PUBLISH ch hello"],
    &[
        "b HELLO 3 | SUBSCRIBE ch",
        "b BLPOP q 5 | UNSUBSCRIBE ch | PING",
        "a LPUSH q v | PUBLISH ch hello",
    ],
    &["b HELLO 3 | CLIENT TRACKING ON | GET y", "b BLPOP q 5 | GET y", "a LPUSH q v | SET y new"],
    // CLIENT CACHING is for the command behind it, however long that takes.
    &[
        "a HELLO 3 | CLIENT TRACKING ON OPTIN | CLIENT CACHING YES | BLPOP q 5 | GET z",
        "b LPUSH q v",
        "b SET z 1",
        "a PING",
    ],
    // The end of a pause in the middle of another's transaction.
    &[
        "b CLIENT PAUSE 100000 WRITE",
        "a SET x 1",
        "m MULTI | PING | CLIENT UNPAUSE | EXEC",
        "a PING",
    ],
    // A pause that is over adds nothing to the next one.
    &["a CLIENT PAUSE 50 ALL", "100", "a CLIENT PAUSE 1500 WRITE", "b GET x"],
    // Who reads a stream is nothing that readers of its entries keep copies of.
    &[
        "b XADD s 1-1 f v",
        "a HELLO 3 | CLIENT TRACKING ON | XLEN s",
        "b XGROUP CREATE s g 0 | XREADGROUP GROUP g c STREAMS s > | XGROUP SETID s g 0",
        "b XGROUP CREATECONSUMER s g d | XGROUP DELCONSUMER s g c | XGROUP DESTROY s g",
        "b XADD s 2-1 f v",
    ],
    &["b XADD s 1-1 f v", "a HELLO 3 | CLIENT TRACKING ON BCAST", "b XGROUP CREATE s g 0"],
    // What could not be read was seen.
    &["b SET k 5", "a HELLO 3 | CLIENT TRACKING ON | LLEN k", "b SET k 7"],
    &["a HELLO 3 | CLIENT TRACKING ON BCAST | CLIENT CACHING YES", "a CLIENT CACHING NO"],
    // Old entries that are new to a group again are no news to who waits.
    &[
        "b XADD s 1-1 f v | XGROUP CREATE s g $",
        "a XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
        "b XGROUP SETID s g 0",
        "b XLEN s",
    ],
    &["a HELLO 3 | DEBUG PROTOCOL push | PING"],
    // A key whose time is over ends before something else takes its name.
    &[
        "a DEBUG SET-ACTIVE-EXPIRE 0 | CONFIG SET notify-keyspace-events EA",
        "e PSUBSCRIBE *",
        "a SET e 1 PX 1 | SET k 2",
        "a RENAME k e",
        "a SET e 1 PX 1 | SET k 2",
        "a COPY k e REPLACE",
        "a SET e 1 PX 1 | RPUSH l 1",
        "a SORT l STORE e",
        "a CONFIG SET notify-keyspace-events \"\" | DEBUG SET-ACTIVE-EXPIRE 1",
    ],
];

/// With `timeout 1`.
const IDLE_SCENES: &[&[&str]] = &[
    &["a BLPOP k 0", "1600", "b LPUSH k v", "400", "a PING"],
    &["a BLPOP k 1.6", "2000", "a PING"],
    &["c CLIENT PAUSE 2200 WRITE", "a SET x 1", "b BLPOP none 0", "2600", "d GET x"],
    &["a HELLO 3 | CLIENT TRACKING ON", "b SUBSCRIBE ch", "2300"],
];

type Heard = (Vec<String>, &'static [&'static str]);

fn play_all(program: &Program, scenes: &'static [&[&str]], options: &[&str]) -> Vec<Heard> {
    let server = Server::start(program, options);
    let scene = |steps: &&'static [&'static str]| {
        server.client().must("FLUSHALL");
        // HELLO tells of versions and ids.
        let heard = heard(&server, steps).iter().map(|text| without_hello(text)).collect();
        (heard, *steps)
    };
    scenes.iter().map(scene).collect()
}

fn plays_as_redis_does(scenes: &'static [&[&str]], options: &[&str]) {
    let options = [&["save ", "enable-debug-command yes"], options].concat();
    let ours = play_all(&peers::fastness(), scenes, &options);
    let Some(redis) = peers::redis8() else { return peers::not_run("no Redis 8") };
    for (ours, theirs) in ours.iter().zip(play_all(&redis, scenes, &options)) {
        assert_eq!(ours.0, theirs.0, "{:?}", ours.1);
    }
}

#[test]
fn replies_and_messages_come_to_whom_they_are_for_and_in_order() {
    plays_as_redis_does(SCENES, &[]);
}

#[test]
fn only_who_is_owed_nothing_is_closed_for_being_idle() {
    plays_as_redis_does(IDLE_SCENES, &["timeout 1"]);
}

/// Nor are bytes that go slowly.
#[test]
fn a_slow_reply_is_not_cut_off() {
    let server = Server::start(&peers::fastness(), &["save ", "timeout 1", "appendonly no"]);
    server.client().must(&format!("SETRANGE k {} x", LONG - 1));
    let mut client = Raw::to(&server);
    client.send("GET k");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut buffer, mut got) = (vec![0; 1 << 20], 0);
    while got < LONG {
        let count = client.stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {got} bytes");
        got += count;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Far more than the sockets' buffers, and with the pauses some seconds.
const LONG: usize = 64 << 20;

/// Bytes that come slowly are no silence.
#[test]
fn a_slow_request_is_not_cut_off() {
    let server = Server::start(&peers::fastness(), &["save ", "timeout 1"]);
    let mut client = Raw::to(&server);
    for piece in ["*3\r\n$3\r\nSET\r\n", "$1\r\nk\r\n", "$8\r\n", "va", "lu", "es..\r\n"] {
        client.stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
    }
    client.hears("+OK");
}

/// Without the map that answers HELLO 3.
fn without_hello(text: &str) -> String {
    match (text.find("%7"), text.find("modules")) {
        (Some(from), Some(to)) if from < to => {
            let rest = &text[to..];
            let end = rest.find("*0").map_or(rest.len(), |at| at + 2);
            format!("{}<hello>{}", &text[..from], &rest[end..])
        }
        _ => text.to_owned(),
    }
}

/// A client that says who it is may be answered as much as it asks for, in the same breath.
#[test]
fn who_authenticates_in_a_pipeline_gets_all_replies() {
    let server = Server::start(&peers::fastness(), &["save ", "requirepass p"]);
    let long = "x".repeat(40_000);
    for login in ["AUTH p", "HELLO 2 AUTH default p"] {
        let mut client = Raw::to(&server);
        client.send(&format!("{login} | SET k {long} | GET k | PING end"));
        client.hears("end");
    }
    let mut stranger = Raw::to(&server);
    stranger.send(&["GET k"; 40].join(" | "));
    std::thread::sleep(SETTLES);
    assert_eq!(stranger.text().matches("NOAUTH").count(), 40);
    let mut admin = Raw::to(&server);
    admin.send("AUTH p | CONFIG SET requirepass \"\"");
    std::thread::sleep(SETTLES);
    stranger.send("GET k");
    stranger.hears(&long);
}

/// The end of a pause beside messages to others: a monitor that ends it gets its lines, the one held back its reply.
#[test]
fn the_end_of_a_pause_mixes_up_nobodys_messages() {
    let server = Server::start(&peers::fastness(), &["save ", "io-threads 2"]);
    for _ in 0..2 {
        let [mut monitor, mut other, mut held] = [0; 3].map(|_| Raw::to(&server));
        monitor.send("MONITOR");
        monitor.hears("+OK");
        held.send("HELLO 3 | CLIENT TRACKING ON BCAST");
        held.hears("+OK");
        held.heard.clear();
        other.send("CLIENT PAUSE 100000 WRITE");
        other.hears("+OK");
        held.send("SET x 1");
        std::thread::sleep(SETTLES);
        monitor.send("MULTI | PING | CLIENT UNPAUSE | EXEC");
        held.hears("invalidate");
        let text = held.text();
        assert!(text.starts_with("+OK\r\n>2\r\n$10\r\ninvalidate"), "{text:?}");
        assert!(!text.contains("EXEC"), "{text:?}");
        monitor.hears("\"SET\" \"x\"");
        assert!(!monitor.text().contains("invalidate"));
        other.heard.clear();
        other.send("PING");
        other.hears("+PONG");
    }
}

/// A replica tells how far it is also while clients are paused, and afterwards.
#[test]
fn replicas_are_heard_during_a_pause() {
    let server = Server::start(&peers::fastness(), &["save "]);
    let (mut replica, mut client) = (Raw::to(&server), server.client());
    replica.send("REPLCONF capa eof capa psync2");
    replica.hears("+OK");
    replica.send("PSYNC ? -1");
    replica.hears("+FULLRESYNC");
    wait_for("the snapshot", PATIENCE, || {
        client.must("INFO replication").to_string().contains("online")
    });
    client.must("CLIENT PAUSE 400 ALL");
    replica.send("REPLCONF ACK 1");
    std::thread::sleep(Duration::from_millis(600));
    client.must("SET k v");
    for _ in 0..20 {
        replica.send("REPLCONF ACK 1000000");
        if client.must("WAIT 1 100").to_string().contains('1') {
            return;
        }
    }
    panic!("what the replica says is not heard: {}", client.must("INFO replication"));
}

fn busy_script(body: &str) -> String {
    let wait = "local t = redis.call('time') local till = t[1] * 1000 + t[2] / 1000 + 700 repeat t = \
                redis.call('time') until t[1] * 1000 + t[2] / 1000 > till";
    format!("EVAL \"{body} {wait} return 'SCRIPT-DONE'\" 0")
}

/// What others ask beside a script evicts nothing: in the log it would stand before what the script wrote.
#[test]
fn nothing_is_evicted_beside_a_script() {
    let options =
        ["save ", "busy-reply-threshold 50", "maxmemory 20mb", "maxmemory-policy allkeys-lru"];
    let mut server = Server::start(&peers::fastness(), &options);
    let (mut script, mut other) = (Raw::to(&server), Raw::to(&server));
    script.send(&busy_script(
        "for i = 1, 100 do redis.call('set', 's' .. i, string.rep('x', 200000)) end",
    ));
    std::thread::sleep(Duration::from_millis(300));
    while !script.text().contains("SCRIPT-DONE") {
        other.send("GET nokey");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(other.text().contains("-BUSY"), "the script was not busy");
    std::thread::sleep(SETTLES);
    let mut client = server.client();
    let keys = client.must("DBSIZE").to_string();
    server.kill();
    let unlimited = ["save ", "maxmemory 0"];
    let again = Server::start_on(&peers::fastness(), server.place(), &unlimited);
    assert_eq!(again.client().must("DBSIZE").to_string(), keys);
}

/// Beside a script everybody gets what is theirs: the script's client its reply and no more, the monitor its lines, and
/// nobody hears what the script publishes before it has ended.
#[test]
fn beside_a_script_messages_come_to_whom_they_are_for() {
    let options = ["save ", "busy-reply-threshold 50", "io-threads 3"];
    let server = Server::start(&peers::fastness(), &options);
    let [mut script, mut monitor, mut listener, mut other] = [0; 4].map(|_| Raw::to(&server));
    monitor.send("MONITOR");
    monitor.hears("+OK");
    listener.send("SUBSCRIBE ch");
    listener.hears("subscribe");
    script.send(&busy_script("redis.call('set', 'k', 'v') redis.call('publish', 'ch', 'told')"));
    std::thread::sleep(Duration::from_millis(250));
    monitor.send("MULTI");
    other.send("MULTI");
    other.hears("+OK");
    std::thread::sleep(Duration::from_millis(100));
    assert!(!script.text().contains("DONE"), "the script was too short");
    assert!(!listener.text().contains("told"), "the script has not ended");
    script.hears("DONE");
    listener.hears("told");
    std::thread::sleep(SETTLES);
    assert_eq!(script.text(), "$11\r\nSCRIPT-DONE\r\n");
    assert_eq!(other.text(), "+OK\r\n");
    monitor.hears("\"MULTI\"");
}

/// Who waits for the log when it is switched off is told so.
#[test]
fn waitaof_ends_with_the_log() {
    let server = Server::start(&peers::fastness(), &["save ", "appendfsync no"]);
    let (mut waits, mut client) = (Raw::to(&server), server.client());
    for _ in 0..3 {
        waits.send("SET k v | WAITAOF 1 5 0");
        std::thread::sleep(SETTLES);
        client.must("CONFIG SET appendonly no");
        waits.hears("WAITAOF cannot be used when numlocal is set but appendonly is disabled");
        waits.heard.clear();
        client.must("CONFIG SET appendonly yes");
    }
}

/// A key that goes while it is on its way to another server goes there as well: none is on both sides, or left on one.
#[test]
fn what_is_deleted_while_it_migrates_is_deleted_there() {
    let server = Server::start(&peers::fastness(), &["save "]);
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let mut client = server.client();
    client.must("SET lock me");
    let mut mover = Raw::to(&server);
    mover.send(&format!("MIGRATE 127.0.0.1 {port} lock 0 20000"));
    let asked = |answer: &[u8], until: &str, before: &mut dyn FnMut()| {
        let (mut stream, _) = target.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !text.contains(until) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "{text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        before();
        stream.write_all(answer).unwrap();
        text
    };
    asked(b"+OK\r\n+OK\r\n", "RESTORE", &mut || {
        client.must("DEL lock");
    });
    let second = asked(b"+OK\r\n:1\r\n", "lock", &mut || ());
    assert!(second.contains("DEL\r\n$4\r\nlock"), "{second:?}");
    mover.hears("+OK");
}

/// Two migrations of one key to one server, or one that names it twice: the key is there afterwards.
#[test]
fn a_key_that_two_migrations_carry_is_at_the_target() {
    let (source, target) = (
        Server::start(&peers::fastness(), &["save "]),
        Server::start(&peers::fastness(), &["save "]),
    );
    let (mut here, mut there) = (source.client(), target.client());
    let port = target.port;
    for round in 0..12 {
        here.must("SET x 1");
        there.must("DEL x");
        let mut movers = [Raw::to(&source), Raw::to(&source)];
        if round % 3 == 0 {
            movers[0].send(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 REPLACE KEYS x x"));
            movers[0].hears("\r\n");
        } else {
            for mover in &mut movers {
                mover.send(&format!("MIGRATE 127.0.0.1 {port} x 0 5000 REPLACE"));
            }
            movers.iter_mut().for_each(|mover| mover.hears("\r\n"));
        }
        assert_eq!(here.must("EXISTS x").int(), Some(0), "{round}");
        assert_eq!(there.must("EXISTS x").int(), Some(1), "{round}");
    }
}

/// FLUSHALL and FLUSHDB answer when the memory is free, unless they are told not to wait; inside MULTI they cannot wait.
#[test]
fn a_flush_answers_when_memory_is_free() {
    let server = Server::start(&peers::fastness(), &["save ", "enable-debug-command yes"]);
    let (mut flushes, mut client) = (Raw::to(&server), server.client());
    let used_memory = |text: &str| -> u64 {
        let line = text.lines().rev().find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse().unwrap()
    };
    let empty = used_memory(&client.must("INFO memory").text().unwrap());
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL SYNC", "FLUSHDB sync"] {
        client.must("DEBUG POPULATE 300000");
        let full = used_memory(&client.must("INFO memory").text().unwrap());
        assert!(full > empty + 10_000_000, "{empty} {full}");
        flushes.heard.clear();
        flushes.send(&format!("{flush} | DBSIZE | INFO memory | PING"));
        flushes.hears("+PONG");
        let heard = flushes.text();
        assert!(heard.starts_with("+OK\r\n:0\r\n"), "{flush}: {heard}");
        let after = used_memory(&heard);
        assert!(after < empty + (full - empty) / 4, "{flush}: {empty} {full} {after}");
    }
    client.must("DEBUG POPULATE 300000");
    flushes.heard.clear();
    flushes.send("MULTI | FLUSHALL | EXEC | FLUSHALL ASYNC | DBSIZE");
    flushes.hears(":0");
    assert_eq!(flushes.text(), "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n+OK\r\n:0\r\n");
}
