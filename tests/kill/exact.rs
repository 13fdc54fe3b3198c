//! `DEBUG CRASH-AFTER` and `serve --fail-at`: a server dies exactly where it is told to.

use super::support::client::Client;
use super::support::peers;
use super::support::server::{Place, Server};

const OPTIONS: &[&str] =
    &["appendonly yes", "appendfsync always", "save ", "enable-debug-command yes"];

fn last_answered(client: &mut Client) -> i64 {
    for number in 1..1000 {
        if client.line(&format!("SET k {number}")).is_err() {
            return number - 1;
        }
    }
    panic!("it does not die");
}

#[test]
fn a_server_dies_where_it_is_told_and_keeps_what_it_answered() {
    for (limit, answered) in [("3 commands", 2..=2), ("3 syncs", 2..=3), ("600 bytes", 1..=20)] {
        let place = Place::new();
        let mut server = Server::start_on(&peers::fastness(), &place, OPTIONS);
        let mut client = server.client();
        client.must(&format!("DEBUG CRASH-AFTER {limit}"));
        // The command that arms it is one itself.
        let told = last_answered(&mut client);
        let told = told + i64::from(limit.ends_with("commands"));
        assert!(answered.contains(&told), "{limit}: {told} answered");
        server.crash();
        let found = server.client().must("GET k").int().unwrap_or(0);
        assert!((told - 1..=told + 1).contains(&found), "{limit}: {found} found, {told} answered");
    }
}

#[test]
fn a_server_dies_at_its_start_if_it_is_told_so() {
    let place = Place::new();
    let options = [OPTIONS, &["fail-at 2 syncs"]].concat();
    let why = Server::try_start_on(&peers::fastness(), &place, &options).err();
    assert!(why.is_some_and(|why| why.contains("ended at start")));
    Server::start_on(&peers::fastness(), &place, OPTIONS);
    let options = [OPTIONS, &["fail-at 2 days"]].concat();
    let why = Server::try_start_on(&peers::fastness(), &place, &options).err().unwrap();
    assert!(why.contains("bytes, commands or syncs"), "{why}");
}
