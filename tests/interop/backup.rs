//! Backups from the outside: of each server, its files or its replication stream, and back into each.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::dataset::{VALUES, assert_same, dump};
use crate::support::peers;
use crate::support::server::{Place, Server};
use crate::{Features, fill};

/// Runs `fastness ARGS --json`; the exit code and what it printed.
fn fastness(args: &[&str]) -> (i32, Value) {
    let output = Command::new(peers::fastness().path).args(args).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), value)
}

fn done(args: &[&str]) -> Value {
    let (code, value) = fastness(args);
    assert_eq!(code, 0, "{args:?}: {value}");
    value
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_server_is_backed_up_while_it_runs_and_comes_back_in_every_other() {
    let mut programs = peers::all();
    programs.push(peers::fastness());
    for program in &programs {
        let server = Server::start(program, &["save ", "enable-debug-command yes"]);
        let mut client = Client::connect(server.port).unwrap();
        fill(&mut client, Features { field_expiry: false, streams: true });
        let expected = dump(&mut client, VALUES).unwrap();
        let root = tempfile::tempdir().unwrap();
        let repository = text(&root.path().join("repository"));
        let from = format!("redis://127.0.0.1:{}", server.port);
        let made = done(&["backup", "create", "--from", &from, "--to", &repository, "--digest"]);
        let again = done(&["backup", "create", "--from", &from, "--to", &repository]);
        assert!(made["objects_sent"].as_u64() > Some(0), "{}: {made}", program.name);
        assert!(again["keys"] == made["keys"] || again["keys"].is_null(), "{again}");
        let verified = done(&["backup", "verify", &repository, "--full"]);
        assert_eq!((&verified["sound"], &verified["loaded"]), (&true.into(), &2.into()));
        let snapshot = root.path().join("dump.rdb");
        done(&["restore", "--from", &repository, "--output", &text(&snapshot)]);
        // Redis 7.0 reads no newer RDB than its own.
        for other in programs.iter().filter(|other| other.name != "redis on PATH") {
            let place = Place::new();
            std::fs::copy(&snapshot, place.data().join("dump.rdb")).unwrap();
            let options = ["save ", "appendonly no", "enable-debug-command yes"];
            let restored = Server::start_on(other, &place, &options);
            let found = dump(&mut Client::connect(restored.port).unwrap(), VALUES).unwrap();
            assert_same(&format!("{} in {}", program.name, other.name), &expected, &found);
        }
        let ours = Place::new();
        done(&["restore", "--from", &repository, "--dir", &text(&ours.data())]);
        let restored = Server::start_on(&peers::fastness(), &ours, &["enable-debug-command yes"]);
        let found = dump(&mut Client::connect(restored.port).unwrap(), VALUES).unwrap();
        assert_same(&format!("{} restored", program.name), &expected, &found);
    }
}
