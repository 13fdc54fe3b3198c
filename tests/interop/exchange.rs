//! `fastness convert` and `export` among servers: what each holds, in every form that each other loads.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::dataset::{VALUES, assert_same, dump};
use crate::support::peers::{self, Kind, Program};
use crate::support::server::{Place, Server};
use crate::{Features, fill};

fn done(args: &[&str]) -> Value {
    let output = Command::new(peers::fastness().path).args(args).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(output.status.success(), "{args:?}: {value}");
    value
}

fn digest(client: &mut Client) -> String {
    client.must("DEBUG DIGEST").text().unwrap()
}

/// The newest version that a server loads.
fn version_for(program: &Program) -> &'static str {
    match (program.name, program.kind) {
        ("redis on PATH", _) => "10",
        (_, Kind::Valkey) => "80",
        _ => "12",
    }
}

fn times_fields(program: &Program) -> bool {
    program.name != "redis on PATH"
}

const OPTIONS: [&str; 3] = ["save ", "appendonly no", "enable-debug-command yes"];

fn loaded(program: &Program, place: &Place, options: &[&str]) -> Server {
    Server::start_on(program, place, options)
}

/// Each server's data into each server, as an RDB of its version, checked by Redis' checker.
#[test]
fn every_server_loads_what_any_other_held() {
    let mut programs = peers::all();
    programs.push(peers::fastness());
    for writer in &programs {
        let server = Server::start(writer, &["save ", "enable-debug-command yes"]);
        let mut client = Client::connect(server.port).unwrap();
        // Valkey has the commands for it, and another reply for what HPEXPIREAT did.
        let field_expiry = times_fields(writer);
        fill(&mut client, Features { field_expiry, streams: true });
        let expected = dump(&mut client, VALUES).unwrap();
        let sum = digest(&mut client);
        let root = tempfile::tempdir().unwrap();
        let url = format!("redis://127.0.0.1:{}", server.port);
        let lines = root.path().join("all.ndjson");
        let made = done(&["export", &url, lines.to_str().unwrap()]);
        // Valkey's digest takes no notice of fields' times in the way that Redis' does.
        let comparable = !field_expiry || writer.kind != Kind::Valkey;
        assert!(!comparable || made["digest"] == sum.as_str(), "{}: {made}", writer.name);
        let scanned = root.path().join("scanned.ndjson");
        let read = done(&["export", &url, scanned.to_str().unwrap(), "--scan"]);
        assert_eq!(read["digest"], made["digest"], "{} by SCAN", writer.name);
        for reader in &programs {
            if field_expiry && !times_fields(reader) {
                continue;
            }
            let place = Place::new();
            let snapshot = place.data().join("dump.rdb");
            let version = version_for(reader);
            let path = snapshot.to_str().unwrap();
            done(&["convert", lines.to_str().unwrap(), path, "--rdb-version", version]);
            check(reader, &snapshot);
            let there = loaded(reader, &place, &OPTIONS);
            let mut client = Client::connect(there.port).unwrap();
            let what = format!("{} in {}", writer.name, reader.name);
            assert_same(&what, &expected, &dump(&mut client, VALUES).unwrap());
            if !field_expiry || (reader.kind == Kind::Valkey) == (writer.kind == Kind::Valkey) {
                assert_eq!(digest(&mut client), sum, "{what}");
            }
        }
    }
}

fn check(reader: &Program, snapshot: &Path) {
    let name = if reader.kind == Kind::Valkey { "valkey-check-rdb" } else { "redis-check-rdb" };
    let checker = reader.path.with_file_name(name);
    if reader.kind == Kind::Fastness || !checker.exists() {
        return;
    }
    let output = Command::new(&checker).arg(snapshot).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("looks OK"), "{}: {text}", reader.name);
}

/// Valkey 9.1 ends an entry of a listpack with one byte less than any Redis where its encoding and data take 16383
/// bytes, or 2097151: what it wrote starts here, and what it dumped is restored.
#[test]
fn listpacks_of_valkey_with_other_backlens_are_taken_over() {
    let Some(writer) = peers::valkey9() else { return };
    let place = Place::new();
    let mut options = OPTIONS.to_vec();
    options.extend(["list-max-listpack-size -5", "hash-max-listpack-value 100000"]);
    options.extend(["set-max-listpack-value 100000", "zset-max-listpack-value 100000"]);
    let mut server = Server::start_on(&writer, &place, &options);
    let mut client = Client::connect(server.port).unwrap();
    let mut keys = Vec::new();
    for bytes in [16_377, 16_378, 16_379, 2_097_145, 2_097_146, 2_097_147] {
        let long = "q".repeat(bytes);
        client.must(&format!("XADD stream:{bytes} 1-1 f {long} g 1"));
        client.must(&format!("XADD stream:{bytes} 2-1 f other"));
        client.must(&format!("RPUSH list:{bytes} a {long} b"));
        keys.extend([format!("stream:{bytes}"), format!("list:{bytes}")]);
        if bytes < 100_000 {
            client.must(&format!("HSET hash:{bytes} f {long} g 1"));
            client.must(&format!("SADD set:{bytes} {long} a"));
            client.must(&format!("ZADD zset:{bytes} 1 {long} 2 a"));
            keys.extend(["hash", "set", "zset"].map(|kind| format!("{kind}:{bytes}")));
        }
    }
    client.must("SAVE");
    let expected = dump(&mut client, VALUES).unwrap();
    let dumped: Vec<_> = keys.iter().map(|key| client.must(&format!("DUMP {key}"))).collect();
    server.stop();
    let there = Server::start_on(&peers::fastness(), &place, &options);
    let mut client = Client::connect(there.port).unwrap();
    assert_same("the snapshot", &expected, &dump(&mut client, VALUES).unwrap());
    client.must("FLUSHALL");
    for (key, payload) in keys.iter().zip(&dumped) {
        let request: [&[u8]; 4] = [b"RESTORE", key.as_bytes(), b"0", payload.bytes().unwrap()];
        assert_eq!(client.call(&request).unwrap().text().as_deref(), Some("OK"), "{key}");
    }
    assert_same("the payloads", &expected, &dump(&mut client, VALUES).unwrap());
}

/// The same as commands in one file, and as a directory with a log.
#[test]
fn every_server_replays_what_any_other_held() {
    let mut programs = peers::all();
    programs.push(peers::fastness());
    let Some(writer) = peers::redis8() else { return };
    let server = Server::start(&writer, &["save ", "enable-debug-command yes"]);
    let mut client = Client::connect(server.port).unwrap();
    fill(&mut client, Features { field_expiry: false, streams: true });
    let sum = digest(&mut client);
    let mut expected = dump(&mut client, VALUES).unwrap();
    // A log does not tell when a consumer was last seen, or that it was idle.
    expected.retain(|key, _| !key.contains("stream"));
    let url = format!("redis://127.0.0.1:{}", server.port);
    for reader in &programs {
        let version = version_for(reader);
        for layout in ["aof", "aof-dir"] {
            let place = Place::new();
            let target = match layout {
                "aof" => place.data().join("appendonly.aof"),
                _ => place.data(),
            };
            let path = target.to_str().unwrap();
            let made = done(&["convert", &url, path, "--format", layout, "--rdb-version", version]);
            assert_eq!(made["digest"], sum.as_str());
            let options = ["save ", "appendonly yes", "enable-debug-command yes"];
            let there = loaded(reader, &place, &options);
            let mut client = Client::connect(there.port).unwrap();
            let mut found = dump(&mut client, VALUES).unwrap();
            found.retain(|key, _| !key.contains("stream"));
            let what = format!("{layout} in {}", reader.name);
            assert_same(&what, &expected, &found);
            assert_eq!(digest(&mut client), sum, "{what}");
        }
    }
}
