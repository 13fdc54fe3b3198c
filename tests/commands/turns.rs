//! What arrives from several clients while the server is busy, and is then there at once.

use std::time::Duration;

use super::transcript::arguments;
use crate::support::client::Client;
use crate::support::peers::{self, Program};
use crate::support::server::{Server, wait_for};

/// Requests that one client sends in one packet.
type Packet = (usize, &'static [&'static str]);

fn encode(lines: &[&str]) -> Vec<Vec<Vec<u8>>> {
    lines.iter().map(|line| arguments(line, &|_| None).unwrap()).collect()
}

fn send(client: &mut Client, lines: &[&str]) {
    let requests = encode(lines);
    let requests: Vec<&[Vec<u8>]> = requests.iter().map(Vec::as_slice).collect();
    client.send_all(&requests).unwrap();
}

/// What the clients get for `packets`, which all arrive, in this order, while `blocker` runs. `before` is sent first, and
/// answered.
fn answered(
    program: &Program,
    before: &[Packet],
    (blocker, millis): (&str, u64),
    packets: &[Packet],
) -> Vec<String> {
    let server = Server::start(program, &["enable-debug-command yes", "save ", "io-threads 1"]);
    let count = 1 + before.iter().chain(packets).map(|packet| packet.0).max().unwrap_or(0);
    let mut clients: Vec<Client> = (0..count).map(|_| server.client()).collect();
    for (client, lines) in before {
        send(&mut clients[*client], lines);
        for _ in *lines {
            clients[*client].receive().unwrap();
        }
    }
    let mut first = server.client();
    let mut holder = server.client();
    first.must("PING");
    send(&mut holder, &[blocker]);
    std::thread::sleep(Duration::from_millis(millis / 3));
    for (client, lines) in packets {
        send(&mut clients[*client], lines);
    }
    // Long enough for everything to have been executed: who is not answered by then waits for nothing.
    holder.receive().unwrap();
    first.must("PING");
    let mut seen = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        let mut end = client.send(&["ECHO", "end"]).err();
        while end.is_none() {
            match client.receive() {
                Ok(reply) if reply.text().as_deref() == Some("end") => break,
                Ok(reply) => seen.push(format!("{number}: {reply}")),
                Err(error) => end = Some(error),
            }
        }
        if end.is_some() {
            seen.push(format!("{number}: closed"));
        }
    }
    seen
}

/// Asks us and, if it is here, Redis.
fn agreed(before: &[Packet], packets: &[Packet]) -> Vec<String> {
    let blocker = ("DEBUG SLEEP 0.3", 300);
    let ours = answered(&peers::fastness(), before, blocker, packets);
    if let Some(redis) = peers::redis8() {
        assert_eq!(ours, answered(&redis, before, blocker, packets));
    }
    ours
}

#[test]
fn requests_are_executed_in_the_order_of_their_arrival() {
    let packets: Vec<Packet> = (0..150).map(|client| (client, &["INCR n"][..])).collect();
    let expected: Vec<String> = (0..150).map(|at| format!("{at}: (integer) {}", at + 1)).collect();
    let seen = agreed(&[], &packets);
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    for (client, line) in seen.iter().enumerate() {
        assert!(line.ends_with(&format!("{}", client + 1)), "{client}: {line}");
    }
}

#[test]
fn a_message_comes_before_the_answer_to_what_was_asked_after_it() {
    let seen = agreed(
        &[(1, &["SUBSCRIBE c"])],
        &[
            (0, &["SET k 1", "PUBLISH c first"]),
            (1, &["UNSUBSCRIBE c"]),
            (2, &["PUBLISH c second"]),
        ],
    );
    assert!(seen.iter().any(|line| line.contains("first")), "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains("second")), "{seen:?}");
}

#[test]
fn nothing_is_executed_for_a_client_that_was_killed_before() {
    let seen = agreed(
        &[(1, &["ACL SETUSER v on nopass ~* +@all", "AUTH v x"]), (2, &["SET n 0"])],
        &[(0, &["CLIENT KILL USER v"]), (1, &["INCR n"]), (2, &["GET n"])],
    );
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[1].contains("closed") && seen[2].contains('0'), "{seen:?}");
}

#[test]
fn what_follows_a_request_that_waits_waits_with_it() {
    let seen = agreed(
        &[],
        &[
            (0, &["BLPOP list 0", "SET a 1", "GET a"]),
            (1, &["GET a", "RPUSH list x"]),
            (2, &["EXISTS list"]),
        ],
    );
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn a_transaction_fails_when_its_key_changes_just_before() {
    let seen = agreed(
        &[(0, &["WATCH k"]), (1, &["SET k 1"])],
        &[(1, &["INCR k"]), (0, &["MULTI", "SET k 9", "EXEC"]), (2, &["GET k"])],
    );
    assert!(seen.last().unwrap().contains('2'), "{seen:?}");
}

#[test]
fn a_script_is_killed_by_who_came_with_it() {
    let server = Server::start(
        &peers::fastness(),
        &["enable-debug-command yes", "save ", "io-threads 1", "busy-reply-threshold 50"],
    );
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let mut holder = server.client();
    holder.send(&["DEBUG", "SLEEP", "0.3"]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    clients[0].send(&["EVAL", "while true do end", "0"]).unwrap();
    clients[1].send(&["GET", "k"]).unwrap();
    clients[2].send(&["SCRIPT", "KILL"]).unwrap();
    let replies: Vec<String> =
        clients.iter_mut().map(|client| client.receive().unwrap().to_string()).collect();
    assert!(replies[0].contains("Script killed by user"), "{replies:?}");
    assert!(replies[1].contains("BUSY"), "{replies:?}");
    assert!(replies[2].contains("OK"), "{replies:?}");
    wait_for("the server to answer again", Duration::from_secs(5), || {
        clients[1].line("GET k").is_ok_and(|reply| reply.is_nil())
    });
}
