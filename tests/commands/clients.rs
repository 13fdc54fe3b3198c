//! What takes several clients at once: monitors, waiting clients, listeners that do not read.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::transcript::arguments;
use crate::support::client::Client;
use crate::support::peers::{self, Program};
use crate::support::reply::Reply;
use crate::support::server::Server;

const MONITORED: &[&str] = &[
    "SET key value",
    "get key",
    "SELECT 5",
    "SET \"a b\" \"\\\"quoted\\\" \\\\ \\r\\n\\t\\a\\b\\x00\\xff\"",
    "SELECT 0",
    "PING",
    "ECHO \"\"",
    "GET",
    "NOSUCHCOMMAND x",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 0",
    "CLIENT SETNAME me",
    "CLIENT LIST",
    "AUTH secret",
    "AUTH default secret",
    "HELLO 2",
    "HELLO 2 AUTH default secret",
    "HELLO 2 AUTH default secret SETNAME me",
    "ACL WHOAMI",
    "ACL SETUSER somebody on >secret",
    "ACL DELUSER somebody",
    "MULTI",
    "SET key 1",
    "INCR key",
    "CONFIG SET maxmemory 0",
    "EXEC",
    "MULTI",
    "SET key 1",
    "DISCARD",
    "MULTI",
    "NOSUCHCOMMAND",
    "EXEC",
    "WATCH key",
    "UNWATCH",
    "LPUSH list 1",
    "BLPOP list 0",
    "BLPOP list 0.01",
    "PUBLISH c m",
    "EVAL \"return redis.call('set',KEYS[1],ARGV[1])\" 1 key value",
    "EVAL \"return {redis.call('select','3'), redis.call('get','x'), redis.pcall('nosuch')}\" 0",
    "DEBUG SLEEP 0",
    "SLOWLOG LEN",
    "COMMAND COUNT",
    "OBJECT HELP",
    "MONITOR x",
    "FLUSHALL",
    "RESET",
    "SUBSCRIBE c",
    "UNSUBSCRIBE c",
    "QUIT",
];

/// What a monitor sees of the commands, without times and ports.
fn monitored(program: &Program) -> Vec<String> {
    let server = Server::start(program, &["enable-debug-command yes", "save "]);
    let mut monitor = server.client();
    monitor.must("MONITOR");
    let mut client = server.client();
    for line in MONITORED {
        client.call(&arguments(line, &|_| None).unwrap()).unwrap();
    }
    server.client().must("ECHO end");
    let mut seen = Vec::new();
    while let Reply::Simple(line) = monitor.receive().unwrap() {
        let line = String::from_utf8_lossy(&line).into_owned();
        let (time, rest) = line.split_once(' ').unwrap();
        let (seconds, micros) = time.split_once('.').unwrap();
        assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000 && micros.len() == 6, "{line}");
        let source = rest.find(']').unwrap();
        let (place, command) = rest.split_at(source);
        let place = place.split(':').next().unwrap();
        if command.contains("\"end\"") {
            break;
        }
        seen.push(format!("{place}{command}"));
    }
    seen
}

#[test]
fn a_monitor_sees_what_it_sees_of_redis() {
    let Some(redis) = peers::redis8() else { return };
    assert_eq!(monitored(&peers::fastness()), monitored(&redis));
}

/// What a connection that monitors gets for its own commands, and how it ends that.
fn monitoring(program: &Program, hello: &str) -> Vec<String> {
    let server = Server::start(program, &["save "]);
    let mut client = server.client();
    client.line(hello).unwrap();
    client.set_timeout(Duration::from_millis(300)).unwrap();
    let mut seen = Vec::new();
    for line in ["MONITOR", "MONITOR", "PING", "GET k", "RESET", "PING", "MONITOR", "QUIT"] {
        client.send(&line.split(' ').collect::<Vec<_>>()).unwrap();
        seen.push(line.to_owned());
        loop {
            match client.receive() {
                Ok(reply) => {
                    let text = reply.to_string();
                    let command =
                        text.rsplit_once(']').map_or(text.clone(), |(_, rest)| rest.into());
                    seen.push(format!("  {command}"));
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => {
                    seen.push(format!("  {:?}", error.kind()));
                    break;
                }
            }
        }
    }
    seen
}

#[test]
fn a_monitor_is_a_client_like_any_other() {
    let Some(redis) = peers::redis8() else { return };
    for hello in ["HELLO 2", "HELLO 3"] {
        assert_eq!(monitoring(&peers::fastness(), hello), monitoring(&redis, hello));
    }
}

fn info(client: &mut Client, name: &str) -> u64 {
    let text = client.must("INFO everything").text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in INFO")).parse().unwrap()
}

/// The fields of the only client that listens.
fn listener(client: &mut Client, name: &str) -> Option<u64> {
    let text = client.must("CLIENT LIST TYPE pubsub").text().unwrap();
    let field = text.split(' ').find_map(|field| field.strip_prefix(&format!("{name}=")));
    field.map(|value| value.parse().unwrap())
}

/// Publishes 100 kB at a time until the listener is gone; returns how many bytes were sent to it.
fn publish_until_gone(publisher: &mut Client, most: usize) -> usize {
    let message = vec![b'x'; 100_000];
    let mut sent = 0;
    while sent < most {
        let reply = publisher.call(&[b"PUBLISH".as_slice(), b"c", &message]).unwrap();
        if reply.int() == Some(0) {
            return sent;
        }
        sent += message.len();
    }
    sent
}

#[test]
fn a_listener_that_does_not_read_is_closed_at_the_hard_limit() {
    let limit = "client-output-buffer-limit pubsub 5mb 0 0";
    let server = Server::start(&peers::fastness(), &[limit, "save ", "io-threads 2"]);
    let mut slow = server.client();
    slow.must("SUBSCRIBE c");
    let mut publisher = server.client();
    // Sockets hold some megabytes of their own.
    let sent = publish_until_gone(&mut publisher, 100_000_000);
    assert!((5_000_000..40_000_000).contains(&sent), "closed after {sent} bytes");
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 1);
    assert!(info(&mut publisher, "used_memory") < 60_000_000);
    assert_eq!(publisher.must("PUBSUB NUMSUB c").to_string(), "[\"c\" 0]");
}

#[test]
fn a_listener_over_the_soft_limit_has_some_seconds() {
    let limit = "client-output-buffer-limit pubsub 0 1mb 1";
    let server = Server::start(&peers::fastness(), &[limit, "save "]);
    let mut slow = server.client();
    slow.must("SUBSCRIBE c");
    let mut publisher = server.client();
    publish_until_gone(&mut publisher, 20_000_000);
    std::thread::sleep(Duration::from_millis(100));
    let (bytes, blocks, memory) = (
        listener(&mut publisher, "obl").unwrap(),
        listener(&mut publisher, "oll").unwrap(),
        listener(&mut publisher, "omem").unwrap(),
    );
    assert!(bytes == 16384 && blocks > 100 && memory > 1_000_000, "{bytes} {blocks} {memory}");
    assert!(listener(&mut publisher, "tot-mem").unwrap() >= memory);
    let begin = Instant::now();
    while listener(&mut publisher, "omem").is_some() {
        assert!(begin.elapsed() < Duration::from_secs(5), "still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begin.elapsed() > Duration::from_millis(500), "gone after {:?}", begin.elapsed());
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 1);
}

#[test]
fn clients_above_their_limit_are_evicted_before_the_next_request() {
    let options = ["maxmemory-clients 3mb", "save ", "hz 1"];
    let server = Server::start(&peers::fastness(), &options);
    let mut other = server.client();
    let value = vec![b'x'; 3_200_000];
    // One large request: it is not run.
    let mut large = server.client();
    assert!(large.call(&[b"SET".as_slice(), b"k", &value]).is_err());
    assert_eq!(other.must("EXISTS k").int(), Some(0));
    // What MULTI queues, if together it is too much.
    let queue = |requests: usize| {
        let mut client = server.client();
        client.must("MULTI");
        let part = &value[..800_000];
        let queued = (0..requests).all(|_| client.call(&[b"SET".as_slice(), b"k", part]).is_ok());
        queued && client.call(&[b"EXEC".as_slice()]).is_ok()
    };
    assert!(queue(2));
    assert!(!queue(5));
    // Replies that are not read.
    let mut lazy = server.client();
    lazy.send_raw(&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(20)).unwrap();
    let begin = Instant::now();
    while info(&mut other, "evicted_clients") < 3 {
        assert!(begin.elapsed() < Duration::from_secs(10), "a client may hold more");
    }
    // And one that asked not to be evicted.
    let mut spared = server.client();
    spared.must("CLIENT NO-EVICT ON");
    assert!(spared.call(&[b"SET".as_slice(), b"k", &value]).is_ok());
}

#[test]
fn who_has_not_said_who_it_is_holds_little() {
    let server = Server::start(&peers::fastness(), &["requirepass secret", "save "]);
    // Replies that it does not read, far fewer than sockets would hold for anybody else.
    let mut stranger = server.client();
    let _ = stranger.send_raw(&b"*1\r\n$4\r\nPING\r\n".repeat(1_000_000));
    let mut refusals = 0;
    while let Ok(reply) = stranger.receive() {
        assert!(reply.to_string().contains("NOAUTH"), "{reply}");
        refusals += 1;
        assert!(refusals < 1_000_000, "all was answered");
    }
    let mut known = server.client();
    known.must("AUTH secret");
    assert!(info(&mut known, "client_output_buffer_limit_disconnections") > 0);
    for _ in 0..100 {
        known.must("PING");
    }
}

#[test]
fn bind_and_port_may_change_while_clients_are_connected() {
    let server = Server::start(&peers::fastness(), &["save "]);
    let mut client = server.client();
    let old = u16::try_from(info(&mut client, "tcp_port")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = client.line(&format!("CONFIG SET port {port}")).unwrap();
    assert!(refused.to_string().contains("Unable to listen on this port"), "{refused}");
    assert_eq!(info(&mut client, "tcp_port"), u64::from(old));
    server.client().must("PING");
    let refused = client.line("CONFIG SET bind 192.0.2.1 maxclients 77").unwrap();
    assert!(refused.to_string().contains("Failed to bind"), "{refused}");
    assert_ne!(client.must("CONFIG GET maxclients").to_string(), "[\"maxclients\" \"77\"]");
    server.client().must("PING");
    drop(taken);
    assert_eq!(client.must(&format!("CONFIG SET port {port}")).to_string(), "+OK");
    let connect = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port));
    assert!(connect(port).is_ok());
    assert!(connect(old).is_err());
    assert_eq!(info(&mut client, "tcp_port"), u64::from(port));
    // Nowhere, and back again, with this client still there.
    assert!(!client.call(&["CONFIG", "SET", "bind", ""]).unwrap().is_error());
    assert!(connect(port).is_err());
    let back = format!("CONFIG SET bind 127.0.0.1 port {old}");
    assert_eq!(client.must(&back).to_string(), "+OK");
    server.client().must("PING");
}

#[test]
fn input_beyond_the_query_buffer_limit_closes_the_connection() {
    let options = ["client-query-buffer-limit 1mb", "save "];
    let server = Server::start(&peers::fastness(), &options);
    let mut greedy = server.client();
    greedy.send_raw(b"*2\r\n$3\r\nGET\r\n$3000000\r\n").unwrap();
    let filler = vec![b'x'; 2_000_000];
    // The server may close while this is being sent.
    let _ = greedy.send_raw(&filler);
    assert!(greedy.receive().is_err());
    let mut client = server.client();
    assert_eq!(info(&mut client, "client_query_buffer_limit_disconnections"), 1);
    // What MULTI queues counts too.
    let mut greedy = server.client();
    greedy.must("MULTI");
    let value = vec![b'x'; 300_000];
    let closed = (0..10).any(|_| greedy.call(&[b"SET".as_slice(), b"k", &value]).is_err());
    assert!(closed, "a transaction may grow without end");
}

#[test]
fn thousands_of_waiting_clients_are_served_in_order() {
    let server = Server::start(&peers::fastness(), &["save ", "maxclients 5000"]);
    let mut waiting: Vec<Client> = (0..500).map(|_| server.client()).collect();
    for client in &mut waiting {
        client.send(&["BLPOP", "a", "b", "0"]).unwrap();
    }
    let mut pusher = server.client();
    let begin = Instant::now();
    while info(&mut pusher, "blocked_clients") < 500 {
        assert!(begin.elapsed() < Duration::from_secs(10), "not all wait");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(info(&mut pusher, "total_blocking_keys"), 2);
    // Which of them came first is known by who is served first; nobody is served twice or left out.
    for number in 0..500 {
        pusher.must(&format!("RPUSH {} {number}", if number % 2 == 0 { "a" } else { "b" }));
    }
    let mut values: Vec<i64> = waiting
        .iter_mut()
        .map(|client| client.receive().unwrap().items()[1].int().unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..500).collect::<Vec<i64>>());
    assert_eq!(info(&mut pusher, "blocked_clients"), 0);
    assert_eq!(info(&mut pusher, "total_blocking_keys"), 0);
    assert_eq!(pusher.must("EXISTS a b").int(), Some(0));
}

/// A subscriber gets every message in the order in which it was published, whoever published it, and
/// nothing behind the answer to UNSUBSCRIBE.
#[test]
fn messages_keep_their_order() {
    let server = Server::start(&peers::fastness(), &["save ", "io-threads 3"]);
    let mut listeners: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for listener in &mut listeners {
        listener.must("SUBSCRIBE c");
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut publisher = server.client();
            scope.spawn(move || {
                for _ in 0..300 {
                    let script = "redis.call('PUBLISH','c',redis.call('INCR','n'))";
                    publisher.call(&["EVAL", script, "0"]).unwrap();
                }
            });
        }
        for listener in &mut listeners {
            scope.spawn(move || {
                for expected in 1..=600 {
                    let message = listener.receive().unwrap();
                    assert_eq!(message.items()[2].int(), Some(expected));
                }
                listener.send(&["UNSUBSCRIBE", "c"]).unwrap();
                let mut last = listener.receive().unwrap();
                while last.items()[0].text().as_deref() == Some("message") {
                    last = listener.receive().unwrap();
                }
                assert_eq!(listener.must("ECHO after").text().as_deref(), Some("after"));
            });
        }
    });
}

#[test]
fn prefixes_of_tracking_are_memory_of_the_client() {
    let server = Server::start(&peers::fastness(), &["maxmemory-clients 200kb", "save "]);
    let mut client = server.client();
    let sent = (0..10_000).take_while(|n| {
        let request = format!("CLIENT TRACKING ON BCAST PREFIX a{n:09} PREFIX b{n:09}");
        client.call(&request.split(' ').collect::<Vec<_>>()).is_ok()
    });
    let sent = sent.count();
    assert!((100..5000).contains(&sent), "{sent} requests until the client was evicted");
}

#[test]
fn evictions_take_no_more_memory_than_they_free() {
    let options = ["save ", "appendonly no", "maxmemory-policy allkeys-random"];
    let server = Server::start(&peers::fastness(), &options);
    let mut client = server.client();
    let limit = info(&mut client, "used_memory") + (1 << 20);
    client.must(&format!("CONFIG SET maxmemory {limit} maxmemory-eviction-tenacity 100"));
    for n in 0..50_000 {
        assert_eq!(client.must(&format!("SET key:{n} x")).to_string(), "+OK", "key {n}");
    }
    assert!(info(&mut client, "evicted_keys") > 10_000);
    let left = client.must("DBSIZE").int().unwrap();
    assert!(left > 5000, "{left} keys are left in a megabyte");
}

/// Messages about evicted keys are memory until they are sent; no key goes for them, whenever it is looked.
#[test]
fn what_clients_are_told_of_evictions_evicts_nothing_more() {
    for reactors in ["io-threads 1", "io-threads 3"] {
        let evicted = evicted_with_ten_readers_told(reactors);
        assert!((1..150).contains(&evicted), "{evicted} of 300 keys went for 40 KB, {reactors}");
    }
}

/// How many keys of 1 KB go for 40 KB when ten clients are told of each.
fn evicted_with_ten_readers_told(reactors: &str) -> u64 {
    let options = ["save ", "appendonly no", "maxmemory-policy allkeys-lru", reactors];
    let server = Server::start(&peers::fastness(), &options);
    let name = |n: usize| format!("{n}{}", "k".repeat(1000));
    let mut writer = server.client();
    for n in 0..300 {
        writer.must(&format!("SET {} v", name(n)));
    }
    let mut readers: Vec<_> = (0..10).map(|_| server.client()).collect();
    for reader in &mut readers {
        reader.must("HELLO 3");
        reader.must("CLIENT TRACKING ON");
        for n in 0..300 {
            reader.must(&format!("GET {}", name(n)));
        }
    }
    let limit = settled_memory(&mut writer) - 40_000;
    writer.must(&format!("CONFIG SET maxmemory {limit} maxmemory-eviction-tenacity 100"));
    // Memory is counted now and then: the next command may come before or after that.
    for pause in [0, 0, 0, 0, 1, 1, 2, 5, 20, 120, 120] {
        std::thread::sleep(Duration::from_millis(pause));
        writer.must("GET none");
    }
    info(&mut writer, "evicted_keys")
}

/// `used_memory` when what clients sent and got is freed.
fn settled_memory(client: &mut Client) -> u64 {
    let mut before = info(client, "used_memory");
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(150));
        let now = info(client, "used_memory");
        if now.abs_diff(before) < 4096 {
            return now;
        }
        before = now;
    }
    before
}
