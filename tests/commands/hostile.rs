//! Small requests that ask for much: each is refused, or costs no more than a bound that `docs/security.md` names. The
//! server answers others meanwhile, and its memory stays below what the largest value may have.
//!
//! What a test here would notice was tried on redis-server 8.0.6: `SRANDMEMBER key -4611686018427387904` takes all
//! memory that there is, a `WATCH` of very many keys keeps everybody else waiting.

use std::time::{Duration, Instant};

use super::support::client::Client;
use super::support::peers;
use super::support::server::Server;

/// What one value may have here; twice the default would be 1 GB of memory.
const OPTIONS: &[&str] = &["proto-max-bulk-len 32mb", "appendonly no", "save "];
const VALUE_MAX: usize = 32 << 20;
/// Far above what any of these takes, far below what an unbounded one would.
const PATIENCE: Duration = Duration::from_secs(15);

fn start() -> (Server, Client) {
    let server = Server::start(&peers::fastness(), OPTIONS);
    let client = server.client();
    client.set_timeout(Duration::from_secs(60)).unwrap();
    (server, client)
}

/// Asks, and fails when the answer takes too long.
fn ask(client: &mut Client, words: &[&str]) -> String {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    ask_bytes(client, &words)
}

fn ask_bytes(client: &mut Client, words: &[&[u8]]) -> String {
    let began = Instant::now();
    let reply = client.call(words).unwrap();
    let name = words[0].escape_ascii();
    assert!(began.elapsed() < PATIENCE, "{name} took {:?}", began.elapsed());
    reply.to_string()
}

/// The most memory that the server ever had.
fn peak(client: &mut Client) -> usize {
    let info = client.must("INFO memory").text().unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_peak:")).unwrap();
    line.trim().parse().unwrap()
}

/// How much more memory than before the server ever had while `work` was done.
fn grown(client: &mut Client, mut work: impl FnMut(&mut Client)) -> usize {
    let before = peak(client);
    work(client);
    peak(client).saturating_sub(before)
}

#[test]
fn a_pattern_costs_its_length_times_the_text() {
    let (server, mut client) = start();
    let text = "a".repeat(1 << 16);
    ask(&mut client, &["SET", &text, "1"]);
    let stars = "a*".repeat(300) + "b";
    assert_eq!(ask(&mut client, &["KEYS", &stars]), "[]");
    ask(&mut client, &["SCAN", "0", "MATCH", &"*?".repeat(20_000), "COUNT", "1000000"]);
    ask(&mut client, &["KEYS", &("*[a-".repeat(2000) + "b")]);
    ask(&mut client, &["CONFIG", "GET", &stars]);
    let mut listener = server.client();
    let patterns: Vec<String> = (0..500).map(|n| format!("{stars}{n}")).collect();
    let words: Vec<&str> =
        std::iter::once("PSUBSCRIBE").chain(patterns.iter().map(String::as_str)).collect();
    listener.send(&words).unwrap();
    for _ in &patterns {
        listener.receive().unwrap();
    }
    assert_eq!(ask(&mut client, &["PUBLISH", &text, "x"]), "0");
    ask(&mut client, &["ACL", "SETUSER", "p", "on", "nopass", &format!("~{stars}"), "+@all"]);
    let mut other = server.client();
    ask(&mut other, &["AUTH", "p", "x"]);
    assert!(ask(&mut other, &["GET", &text]).contains("NOPERM"));
}

#[test]
fn a_number_in_a_request_is_no_size() {
    let (_server, mut client) = start();
    for request in [
        "SADD s m",
        "HSET h f v",
        "ZADD z 1 m",
        "RPUSH l a",
        "GEOADD g 1 1 m",
        "XADD x 1-1 f v",
        "SET x1 abc",
    ] {
        client.must(request);
    }
    let grown = grown(&mut client, |client| {
        for request in [
            "SETRANGE k 33554432 x",
            "SETRANGE k 9223372036854775807 x",
            "SETBIT k 268435456 1",
            "SETBIT k 4294967296 1",
            "BITFIELD k SET u8 268435456 1",
            "BITFIELD k SET u8 #9223372036854775807 1",
            "SRANDMEMBER s -4611686018427387904",
            "SRANDMEMBER s -9223372036854775808",
            "HRANDFIELD h -4611686018427387904 WITHVALUES",
            "ZRANDMEMBER z -4611686018427387904 WITHSCORES",
            "LPOS l a RANK -9223372036854775808",
            "ZUNIONSTORE d 4611686018427387904 s",
            "SINTERCARD 2147483647 s",
            "SDIFFCARD 9223372036854775807 s",
            "SUNIONCARD 2147483647 s APPROX",
            "LMPOP 1099511627776 l LEFT",
            "EVAL return 9223372036854775807 s",
        ] {
            let words: Vec<&str> = request.split(' ').collect();
            let reply = ask(client, &words);
            assert!(reply.starts_with('-'), "{request}: {reply}");
        }
        // These name a limit, and get what there is.
        for request in [
            "SRANDMEMBER s 9223372036854775807",
            "LPOS l a COUNT 4611686018427387904 MAXLEN 4611686018427387904",
            "GEOSEARCH g FROMMEMBER m BYRADIUS 1000000000 km COUNT 4611686018427387904",
            "XRANGE x - + COUNT 4611686018427387904",
            "XADD x MAXLEN ~ 4611686018427387904 * a b",
            "GETRANGE x1 -9223372036854775807 9223372036854775807",
            "SPOP s 9223372036854775807",
            "LPOP l 9223372036854775807",
            "ZPOPMIN z 9223372036854775807",
        ] {
            let words: Vec<&str> = request.split(' ').collect();
            let reply = ask(client, &words);
            assert!(!reply.starts_with('-'), "{request}: {reply}");
        }
    });
    assert!(grown < 8 << 20, "{grown} bytes");
}

#[test]
fn a_length_that_is_announced_takes_nothing_before_it_comes() {
    let (server, mut client) = start();
    let grown = grown(&mut client, |client| {
        let mut held = Vec::new();
        for _ in 0..100 {
            let mut other = server.client();
            other.send_raw(b"*2\r\n$3\r\nGET\r\n$33554432\r\nxx").unwrap();
            held.push(other);
            let mut other = server.client();
            other.send_raw(b"*1073741824\r\n$1\r\na\r\n").unwrap();
            held.push(other);
        }
        for _ in 0..20 {
            assert_eq!(client.must("PING").to_string(), "+PONG");
        }
    });
    assert!(grown < 16 << 20, "{grown} bytes");
    for (bytes, why) in [
        (&b"*2\r\n$3\r\nGET\r\n$33554433\r\n"[..], "invalid bulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*1\r\n*1\r\n*1\r\n", "expected '$'"),
        (&[b'a'; 1 << 17], "too big inline request"),
    ] {
        let mut other = server.client();
        other.send_raw(bytes).unwrap();
        let reply = other.receive().unwrap().to_string();
        assert!(reply.contains(why), "{reply}");
    }
}

#[test]
fn scripts_nest_as_deep_as_they_may() {
    let (_server, mut client) = start();
    let grown = grown(&mut client, |client| {
        for (script, wanted) in [
            ("return tostring(pcall(cjson.decode, string.rep('[', 1000000)))", "false"),
            (
                "local t={} for i=1,100000 do t={t} end return tostring(pcall(cjson.encode, t))",
                "false",
            ),
            ("local t={} t[1]=t return tostring(pcall(cjson.encode, t))", "false"),
            ("local t={} t[1]=t return tostring(pcall(cmsgpack.pack, t))", "true"),
            (r"return tostring(pcall(cmsgpack.unpack, string.rep('\145', 1000000)))", "false"),
            (r"return tostring(pcall(cmsgpack.unpack, '\221\255\255\255\255'))", "false"),
            (r"return tostring(pcall(cmsgpack.unpack, '\219\255\255\255\255a'))", "false"),
            ("return tostring(pcall(unpack, {}, 1, 1e8))", "false"),
            ("return tostring(pcall(string.format, '%99999d', 1))", "false"),
            ("return tostring(pcall(struct.pack, 'c2000000000', 'x'))", "false"),
            ("return tostring(pcall(struct.unpack, '>I2147483647', 'x'))", "false"),
        ] {
            assert_eq!(ask(client, &["EVAL", script, "0"]), format!("\"{wanted}\""), "{script}");
        }
        let deep = format!("return {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(ask(client, &["EVAL", &deep, "0"]).contains("too many"));
    });
    assert!(grown < 64 << 20, "{grown} bytes");
    // A reply nests as deep as the table that it is made of, up to a bound.
    for script in ["local t={} t[1]=t return t", "local t={} for i=1,100000 do t={t} end return t"]
    {
        client.send(&["EVAL", script, "0"]).unwrap();
        let mut depth = 0;
        let last = loop {
            let line = client.read_line().unwrap();
            match line.starts_with(b"*") {
                true => depth += 1,
                false => break line.escape_ascii().to_string(),
            }
        };
        println!("{depth} levels, then {last}");
        assert!(depth <= 501, "{depth} {last}");
    }
}

#[test]
fn a_payload_unpacks_to_no_more_than_its_bytes_can_hold() {
    let (_server, mut client) = start();
    let payloads: [(&str, Vec<u8>); 7] = [
        ("a string of 512 MB in 20 bytes", lzf(&b"\x00a".repeat(10), 512 << 20)),
        ("a list of 2^60", [&[1, 0x81][..], &(1u64 << 60).to_be_bytes()].concat()),
        ("a set of 2^31", [&[2, 0x80][..], &(1u32 << 31).to_be_bytes()].concat()),
        ("a sorted set of 2^40", [&[5, 0x81][..], &(1u64 << 40).to_be_bytes()].concat()),
        ("a plain node of 4 GB", [&[18, 1, 1, 0x81][..], &(1u64 << 32).to_be_bytes()].concat()),
        (
            "a hash's listpack that is longer than it is",
            b"\x10\x0b\xff\xff\xff\xff\xff\xff\x00\x01\x00\x01\xff".to_vec(),
        ),
        ("a stream of 2^40 nodes", [&[21, 0x81][..], &(1u64 << 40).to_be_bytes()].concat()),
    ];
    let grown = grown(&mut client, |client| {
        for (what, body) in &payloads {
            let payload = sealed(body);
            let reply = ask_bytes(client, &[b"RESTORE", b"k", b"0", &payload]);
            assert!(reply.contains("Bad data format"), "{what}: {reply}");
        }
    });
    assert!(grown < 8 << 20, "{grown} bytes");
    // What grows as far as it can, 88 to 1, is what it says, and no more than a value may have.
    let copies = 40_000;
    let mut packed = b"\x00a".to_vec();
    packed.extend(b"\xe0\xff\x00".repeat(copies));
    let body = lzf(&packed, 1 + 264 * copies);
    assert_eq!(ask_bytes(&mut client, &[b"RESTORE", b"k", b"0", &sealed(&body)]), "+OK");
    assert_eq!(client.must("STRLEN k").int(), Some(1 + 264 * copies as i64));
    let body = lzf(&packed, 2 + 264 * copies);
    assert!(ask_bytes(&mut client, &[b"RESTORE", b"j", b"0", &sealed(&body)]).contains("Bad data"));
}

/// A string as LZF has it: type, mark, both lengths, bytes.
fn lzf(packed: &[u8], plain: usize) -> Vec<u8> {
    let mut body = b"\x00\xc3".to_vec();
    for len in [packed.len(), plain] {
        body.push(0x80);
        body.extend(u32::try_from(len).unwrap().to_be_bytes());
    }
    [body, packed.to_vec()].concat()
}

/// With version and checksum, as DUMP ends.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut payload = [body, &11u16.to_le_bytes()].concat();
    let sum = fastness::snapshot::crc64::checksum(&payload);
    payload.extend(sum.to_le_bytes());
    payload
}

#[test]
fn many_of_one_thing_cost_what_they_are_and_not_their_square() {
    let (server, mut client) = start();
    let numbers: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let with = |first: &[&str]| -> Vec<String> {
        first.iter().map(|word| (*word).to_owned()).chain(numbers.iter().cloned()).collect()
    };
    let words = |owned: &[String]| -> Vec<Vec<u8>> {
        owned.iter().map(|word| word.as_bytes().to_vec()).collect()
    };
    let send = |client: &mut Client, request: &[String]| {
        let words = words(request);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        ask_bytes(client, &words)
    };
    send(&mut client, &with(&["SADD", "set"]));
    send(&mut client, &with(&["RPUSH", "list"]));
    let sets = vec!["set".to_owned(); 600];
    let many = |first: &[&str]| -> Vec<String> {
        first.iter().map(|word| (*word).to_owned()).chain(sets.iter().cloned()).collect()
    };
    assert_eq!(send(&mut client, &many(&["SINTERCARD", "600"])), "50000");
    assert_eq!(send(&mut client, &many(&["SUNIONSTORE", "d"])), "50000");
    assert_eq!(send(&mut client, &many(&["ZUNIONSTORE", "d", "600"])), "50000");
    assert_eq!(ask(&mut client, &["ZSCORE", "d", "7"]), "\"600\"");
    ask(&mut client, &["SORT", "list", "BY", "w_*", "GET", "d_*", "LIMIT", "0", "2"]);
    for _ in 0..50 {
        assert!(ask(&mut client, &["LINSERT", "list", "BEFORE", "49999", "x"]).contains("500"));
    }
    let mut other = server.client();
    let watched = (0..250_000).map(|number| number.to_string());
    let watched: Vec<String> = std::iter::once("WATCH".to_owned()).chain(watched).collect();
    for _ in 0..2 {
        assert_eq!(send(&mut other, &watched), "+OK");
    }
    ask(&mut client, &["SET", "7", "changed"]);
    other.must("MULTI");
    assert_eq!(other.must("EXEC").to_string(), "nil*");
    let text = "ab".repeat(20_000);
    ask(&mut client, &["MSET", "x", &text, "y", &text]);
    assert!(ask(&mut client, &["LCS", "x", "y"]).contains("Insufficient memory"));
    let appends: Vec<Vec<&str>> = vec![vec!["APPEND", "ap", "xxxxxxxxxxxxxxxx"]; 20_000];
    let began = Instant::now();
    let replies = client.pipeline(&appends).unwrap();
    assert_eq!(replies.last().unwrap().int(), Some(320_000));
    assert!(began.elapsed() < PATIENCE);
    assert!(peak(&mut client) < 4 * VALUE_MAX);
}

/// Places in a request are of 32 bits: what would be beyond is refused and not stored as something else.
#[test]
fn no_string_is_longer_than_a_place_in_a_request_can_say() {
    let (server, mut client) = start();
    client.must("CONFIG SET proto-max-bulk-len 10gb client-query-buffer-limit 20gb");
    assert!(ask(&mut client, &["CONFIG", "GET", "proto-max-bulk-len"]).contains("10737418240"));
    let mut other = server.client();
    other.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4294967296\r\n").unwrap();
    assert!(other.receive().unwrap().to_string().contains("invalid bulk length"));
}
