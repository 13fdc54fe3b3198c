//! Long strings, which go from the socket to the value and from there to the socket without copies on the way: their
//! bytes and their order are those of other replies, whatever waits for the log and however slowly it is read.

use std::collections::HashMap;
use std::time::Duration;

use super::support::client::Client;
use super::support::peers;
use super::support::reply::Reply;
use super::support::rng::Rng;
use super::support::server::Server;

const POLICIES: [&[&str]; 3] = [
    &["appendonly no", "save "],
    &["appendonly yes", "appendfsync always", "save "],
    &["appendonly yes", "appendfsync everysec", "save "],
];

/// A string that differs from others of its length all along.
fn text(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut word = rng.next();
    let words = std::iter::repeat_with(|| {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (word >> 8).to_le_bytes()
    });
    words.take(len.div_ceil(8)).flatten().take(len).collect()
}

/// A request and what it answers.
type Step = (Vec<Vec<u8>>, Reply);

fn bulk(value: Option<&Vec<u8>>) -> Reply {
    value.map_or(Reply::NilBulk, |value| Reply::Bulk(value.clone()))
}

/// Random requests about few keys, as a client that sees only its own would expect them to be answered.
fn story(rng: &mut Rng, steps: usize) -> Vec<Step> {
    let mut held: HashMap<usize, Vec<u8>> = HashMap::new();
    let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    (0..steps)
        .map(|_| {
            let number = rng.below(4);
            let key = format!("key:{number}").into_bytes();
            match rng.below(7) {
                0 | 1 => {
                    // Around the sizes from which on strings are shared and input is kept.
                    let len = [10, 60_000, 65_536, 130_000, 131_100, 1_500_000, 5_000_000];
                    let len = rng.pick(&len) + rng.below(100);
                    let value = text(rng, len);
                    let request = words(&[b"SET", &key, &value]);
                    held.insert(number, value);
                    (request, Reply::Simple(b"OK".to_vec()))
                }
                2 => (words(&[b"GET", &key]), bulk(held.get(&number))),
                3 => {
                    let both = Reply::Array(vec![bulk(held.get(&number)), bulk(held.get(&0))]);
                    (words(&[b"MGET", &key, b"key:0"]), both)
                }
                4 => (words(&[b"GETDEL", &key]), bulk(held.remove(&number).as_ref())),
                5 => {
                    let value = held.entry(number).or_default();
                    value.extend_from_slice(b"more");
                    (words(&[b"APPEND", &key, b"more"]), Reply::Int(value.len() as i64))
                }
                _ => (words(&[b"GETEX", &key, b"PERSIST"]), bulk(held.get(&number))),
            }
        })
        .collect()
}

#[test]
fn long_strings_keep_their_bytes_and_their_place_among_replies() {
    for (round, policy) in POLICIES.iter().enumerate() {
        let server = Server::start(&peers::fastness(), policy);
        let mut rng = Rng::new(0x10_0000 + round as u64);
        let steps = story(&mut rng, 120);
        let mut writer = server.client();
        let mut reader = writer.reader().unwrap();
        let requests: Vec<_> = steps.iter().map(|(request, _)| request.clone()).collect();
        let sender = std::thread::spawn(move || {
            for request in &requests {
                writer.send(request).unwrap();
            }
        });
        for (index, (request, expected)) in steps.iter().enumerate() {
            if index % 16 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            let got = reader.receive().unwrap();
            let name = request[0].escape_ascii();
            assert!(&got == expected, "{policy:?}, request {index} ({name}): another reply");
        }
        sender.join().unwrap();
    }
}

#[test]
fn a_transaction_a_script_and_silence_treat_long_strings_as_short_ones() {
    let server = Server::start(&peers::fastness(), &["appendfsync always", "save "]);
    let mut client = server.client();
    let value = text(&mut Rng::new(7), 300_000);
    client.call(&[b"SET", b"key".as_slice(), &value]).unwrap();
    client.must("MULTI");
    for line in
        ["GET key", "GET nothing", "GETEX key EX 100", "GETEX key EX nonsense", "STRLEN key"]
    {
        client.must(line);
    }
    let Reply::Array(items) = client.must("EXEC") else { panic!("EXEC answers an array") };
    let whole = Reply::Bulk(value.clone());
    assert!(items[0] == whole && items[1] == Reply::NilBulk && items[2] == whole);
    assert!(items[3].is_error(), "{}", items[3]);
    assert_eq!(items[4], Reply::Int(300_000));
    let script = ["EVAL", "return {redis.call('GET', KEYS[1]), 1}", "1", "key"];
    assert!(client.call(&script).unwrap() == Reply::Array(vec![whole.clone(), Reply::Int(1)]));
    client.send(&["CLIENT", "REPLY", "SKIP"]).unwrap();
    client.send(&["GET", "key"]).unwrap();
    assert_eq!(client.must("PING"), Reply::Simple(b"PONG".to_vec()));
    // What is being read is what there was, whoever changes it meanwhile.
    client
        .send_all(&[&["GET", "key"], &["SETRANGE", "key", "0", "other"], &["GET", "key"]])
        .unwrap();
    assert!(client.receive().unwrap() == whole);
    assert_eq!(client.receive().unwrap(), Reply::Int(300_000));
    let mut other = value;
    other[..5].copy_from_slice(b"other");
    assert!(client.receive().unwrap() == Reply::Bulk(other));
}

#[test]
fn a_client_that_never_reads_keeps_no_copies() {
    let server = Server::start(&peers::fastness(), &["appendonly no", "save "]);
    let mut client = server.client();
    let value = text(&mut Rng::new(8), 8 << 20);
    client.call(&[b"SET", b"key".as_slice(), &value]).unwrap();
    let peak = |client: &mut Client| -> u64 {
        let info = client.must("INFO memory").text().unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory_peak:")).unwrap();
        line.trim().parse().unwrap()
    };
    let before = peak(&mut client);
    let mut deaf = server.client();
    let requests = vec![["GET", "key"].as_slice(); 2000];
    deaf.send_all(&requests).unwrap();
    // 16 GB in copies: all were executed when this says so.
    let executed = |client: &mut Client| {
        let info = client.must("INFO commandstats").text().unwrap();
        info.contains("cmdstat_get:calls=2000,")
    };
    for _ in 0..200 {
        if executed(&mut client) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(executed(&mut client));
    let grown = peak(&mut client) - before;
    assert!(grown < 16 << 20, "{grown} bytes");
    assert!(deaf.receive().unwrap() == Reply::Bulk(value));
}
