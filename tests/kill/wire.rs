//! Whatever bytes are sent, the log that they leave can be read, and gives the same data.
//!
//! Requests that are nearly well-formed are what finds something: the server answers more than the log may contain (any byte
//! may follow the `\r` of a header, as in Redis), and takes what was sent into the log as it is when it can.
//! `SEED` repeats a run, `ROUNDS` sets how often the server is killed.

use super::support::number_from_env;
use super::support::peers;
use super::support::rng::{Rng, fresh_seed};
use super::support::server::Server;

const OPTIONS: &[&str] = &[
    "appendonly yes",
    "appendfsync everysec",
    "save ",
    "enable-debug-command yes",
    "busy-reply-threshold 100",
];
const CONNECTIONS: usize = 40;

const COMMANDS: &[&str] = &[
    "SET",
    "set",
    "APPEND",
    "INCR",
    "INCRBYFLOAT",
    "SETRANGE",
    "GETEX",
    "MSET",
    "SETBIT",
    "LPUSH",
    "RPUSH",
    "lset",
    "LINSERT",
    "LTRIM",
    "LMOVE",
    "HSET",
    "HINCRBY",
    "HDEL",
    "HEXPIRE",
    "SADD",
    "SPOP",
    "SMOVE",
    "ZADD",
    "ZINCRBY",
    "ZUNIONSTORE",
    "XADD",
    "XTRIM",
    "XGROUP",
    "XREADGROUP",
    "EXPIRE",
    "RENAME",
    "COPY",
    "DEL",
    "MOVE",
    "SORT",
    "PFADD",
    "MULTI",
    "EXEC",
    "SWAPDB",
    "FLUSHDB",
];
const WORDS: &[&[u8]] = &[
    b"a", b"b", b"k\r\n", b"\0\xff", b"", b"*", b"$", b"0", b"1", b"-1", b"5", b"1.5", b"nan",
    b" 1", b"+1", b"007", b"EX", b"PX", b"NX", b"GET", b"LEFT", b"RIGHT", b"BEFORE", b"MAXLEN",
    b"~", b"1-1", b">", b"CREATE", b"FIELDS",
];

/// A word to choose from, or any bytes.
fn word(rng: &mut Rng) -> Vec<u8> {
    if rng.chance(75) {
        return rng.pick(WORDS).to_vec();
    }
    let len = *rng.pick(&[0, 1, 3, 10, 63, 64, 300, 1000]);
    (0..len).map(|_| rng.below(256) as u8).collect()
}

fn request(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut words = vec![rng.pick(COMMANDS).as_bytes().to_vec()];
    words.extend((0..1 + rng.below(4)).map(|_| word(rng)));
    let sets_a_time = ["SET", "set", "GETEX", "EXPIRE", "HEXPIRE"];
    if sets_a_time.iter().any(|name| name.as_bytes() == words[0]) {
        // Nothing's time is to be over between the two looks at the data.
        for word in words.iter_mut().filter(|word| [&b"1"[..], b"5"].contains(&word.as_slice())) {
            *word = b"700000".to_vec();
        }
    }
    words
}

fn inline(rng: &mut Rng, words: &[Vec<u8>]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        match rng.below(3) {
            0 => line.extend_from_slice(word),
            1 => line.extend([b"'", word.as_slice(), b"'"].concat()),
            _ => {
                let hex: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
                line.extend(format!("\"{hex}\"").into_bytes());
            }
        }
        line.extend_from_slice(rng.pick::<&[u8]>(&[b" ", b"  ", b"\t"]));
    }
    line.extend_from_slice(rng.pick::<&[u8]>(&[b"\r\n", b"\n", b"\r\r\n"]));
    line
}

/// Changes a place that says how the bytes are to be read: an end of a line, a digit, or any.
fn spoil(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let replacements: &[&[u8]];
    let kind: fn(&u8) -> bool;
    match rng.below(4) {
        0 | 1 => {
            kind = |byte| matches!(byte, b'\r' | b'\n');
            replacements = &[b"\r", b"\n", b"\0", b" ", b"A", b"\xff"];
        }
        2 => {
            kind = u8::is_ascii_digit;
            replacements = &[b"0", b"00", b"1", b"9", b"-1", b"+3", b" 3", b""];
        }
        _ => {
            kind = |_| true;
            replacements = &[b"\r\n", b"*0\r\n", b"*-1\r\n", b"\n", b"\r", b"$", b"x"];
        }
    }
    let places: Vec<usize> = (0..bytes.len()).filter(|at| kind(&bytes[*at])).collect();
    if places.is_empty() {
        return;
    }
    let at = *rng.pick(&places);
    let replacement = rng.pick(replacements).to_vec();
    bytes.splice(at..at + usize::from(rng.chance(70)), replacement);
}

fn piece(rng: &mut Rng) -> Vec<u8> {
    let words = request(rng);
    if rng.chance(15) {
        return inline(rng, &words);
    }
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend([word.as_slice(), b"\r\n"].concat());
    }
    for _ in 0..rng.below(3) {
        spoil(rng, &mut bytes);
    }
    bytes
}

/// Sends, half the time in two pieces, and waits until the server has done with it.
fn send(server: &Server, rng: &mut Rng) {
    let mut client = server.client();
    let bytes: Vec<u8> = (0..1 + rng.below(11)).flat_map(|_| piece(rng)).collect();
    let (first, second) = bytes.split_at(if rng.chance(50) { rng.below(bytes.len()) } else { 0 });
    // The server may have closed the connection for what came first.
    let _ = client.send_raw(first).and_then(|()| client.send_raw(second));
    let _ = client.close();
}

fn digest(server: &Server) -> String {
    server.client().must("DEBUG DIGEST").text().unwrap_or_default()
}

fn send_and_kill(seed: u64, rounds: u64) {
    eprintln!("wire: SEED={seed:#x} ROUNDS={rounds}");
    let mut rng = Rng::new(seed);
    let mut server = Server::start(&peers::fastness(), OPTIONS);
    for round in 0..rounds {
        for _ in 0..CONNECTIONS {
            send(&server, &mut rng);
        }
        let before = digest(&server);
        if rng.chance(20) {
            server.client().must("BGREWRITEAOF");
        }
        server.crash();
        assert_eq!(before, digest(&server), "SEED={seed:#x} in round {round}");
        if rng.chance(30) {
            server.client().must("FLUSHALL");
        }
    }
}

/// A request whose headers end in `\r` and any byte was taken into the log as it was sent: nothing could be started from that.
#[test]
fn whatever_is_sent_the_log_can_be_read() {
    let rounds = number_from_env("ROUNDS").unwrap_or(20);
    send_and_kill(number_from_env("SEED").unwrap_or_else(fresh_seed), rounds);
}
