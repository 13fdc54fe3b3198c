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

pub(crate) fn done(args: &[&str]) -> Value {
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

#[test]
fn a_backup_is_restored_into_running_servers() {
    let server = Server::start(&peers::fastness(), &["enable-debug-command yes"]);
    let mut client = Client::connect(server.port).unwrap();
    fill(&mut client, Features { field_expiry: false, streams: true });
    client.must("SELECT 3");
    client.must("SET third database");
    client.must("SELECT 0");
    let expected = dump(&mut client, VALUES).unwrap();
    let root = tempfile::tempdir().unwrap();
    let repository = text(&root.path().join("repository"));
    done(&["backup", "create", "--from", &text(&server.data()), "--to", &repository]);
    for program in peers::all().into_iter().chain([peers::fastness()]) {
        // Or each reading back waits 5 s for other replicas.
        let at_once = "repl-diskless-sync-delay 0";
        let other = Server::start(&program, &["save ", "enable-debug-command yes", at_once]);
        let to = format!("redis://127.0.0.1:{}", other.port);
        let mut found = Client::connect(other.port).unwrap();
        done(&["restore", "--from", &repository, "--to", &to]);
        assert_same(program.name, &expected, &dump(&mut found, VALUES).unwrap());
        // What an interrupted one has left is gone on with, and a whole one stays as it is.
        let again = ["restore", "--from", &repository, "--to", &to];
        let whole = done(&again);
        assert_eq!(whole["keys"], whole["keys_kept"], "{whole}");
        found.must("DEL string");
        let resumed = done(&again);
        assert_eq!(resumed["keys_kept"].as_u64(), whole["keys"].as_u64().map(|all| all - 1));
        assert_same(program.name, &expected, &dump(&mut found, VALUES).unwrap());
        // Nothing else is written over by accident.
        found.must("SET string changed");
        let (code, answer) = fastness(&again);
        assert_eq!(code, 2, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("key \"string\""), "{answer}");
        done(&["restore", "--from", &repository, "--to", &to, "--replace"]);
        assert_same(program.name, &expected, &dump(&mut found, VALUES).unwrap());
    }
}

#[test]
fn an_encrypted_backup_needs_its_identity() {
    let server = Server::start(&peers::fastness(), &["enable-debug-command yes"]);
    Client::connect(server.port).unwrap().must("SET secret value");
    let root = tempfile::tempdir().unwrap();
    let (repository, identity) = (root.path().join("repository"), root.path().join("identity"));
    let (repository, identity) = (text(&repository), text(&identity));
    // Of format-spec/vectors/backup-sealed.identity.
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors");
    let file = std::fs::read_to_string(vectors.join("backup-sealed.identity")).unwrap();
    std::fs::write(&identity, &file).unwrap();
    let recipient = file.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let data = text(&server.data());
    let create = ["backup", "create", "--from", &data, "--to", &repository];
    done(&[&create[..], &["--recipient", recipient]].concat());
    done(&create);
    done(&["backup", "verify", &repository]);
    let restored = text(&root.path().join("restored"));
    let restore = ["restore", "--from", &repository, "--dir", &restored];
    let (code, answer) = fastness(&restore);
    assert_eq!(code, 2, "{answer}");
    assert!(answer["next"].as_str().unwrap().contains("--identity"), "{answer}");
    done(&[&restore[..], &["--identity", &identity]].concat());
}
