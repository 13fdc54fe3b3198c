//! Inputs that are not what they seem: snapshots with good checksums that a start refuses, servers that do not tell
//! everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastness::snapshot::crc64;
use serde_json::Value;

use super::check;
use super::support::peers;
use super::support::server::{Place, Server};

fn json(args: &[&str]) -> (i32, Value) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fastness")).args(args).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), value)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An RDB of these records, with a good checksum.
fn rdb(records: &[u8]) -> Vec<u8> {
    let mut out = b"REDIS0011".to_vec();
    out.extend_from_slice(records);
    out.push(0xff);
    let sum = crc64::checksum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// What a start refuses, `check` calls damaged, and `repair` makes something of it that starts.
#[track_caller]
fn is_repaired(bytes: &[u8], what: &str, keys: &[&str]) {
    let place = Place::new();
    let path = write(&place.data(), "dump.rdb", bytes);
    let options = ["appendonly no", "save "];
    assert!(Server::try_start_on(&peers::fastness(), &place, &options).is_err());
    let (code, report) = check(&place.data());
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
    let damage = &report["damage"][0];
    assert!(damage["reason"].as_str().unwrap().contains(what), "{report}");
    assert!(damage["offset"].as_u64() > Some(0), "{report}");
    let (code, report) = json(&["repair", text(&place.data()), "--apply"]);
    assert_eq!((code, &report["verdict"]), (0, &"sound".into()), "{report}");
    let skipped = report["files"][0]["skipped_keys"].as_array().unwrap();
    assert_eq!((skipped.len(), &skipped[0]["offset"]), (1, &damage["offset"]), "{report}");
    assert_ne!(fs::read(&path).unwrap(), bytes);
    let mut server = Server::start_on(&peers::fastness(), &place, &options);
    let mut client = server.client();
    for key in keys {
        let (key, value) = key.split_once('=').unwrap();
        assert_eq!(client.must(&format!("GET {key}")).text().as_deref(), Some(value));
    }
    assert_eq!(client.must("DBSIZE"), client.must(&format!("EXISTS {}", names(keys))));
    server.stop();
}

fn names(keys: &[&str]) -> String {
    let names: Vec<&str> = keys.iter().map(|key| key.split_once('=').unwrap().0).collect();
    names.join(" ")
}

const TWICE: &[u8] = b"\xfe\x00\x00\x01k\x02v1\x00\x01z\x01v\x00\x01k\x02v2";

#[test]
fn a_key_that_is_there_twice_is_damage_that_can_be_repaired() {
    is_repaired(&rdb(TWICE), "duplicate key", &["k=v1", "z=v"]);
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "dump.rdb", &rdb(TWICE));
    let out = dir.path().join("out.rdb");
    for args in [&["convert", text(&path), text(&out)][..], &["inspect", text(&path)]] {
        let (code, report) = json(args);
        assert_eq!(code, 1, "{report}");
        let why = report["error"].as_str().unwrap();
        assert!(why.contains("duplicate key") && why.contains("key \"k\""), "{report}");
    }
    assert!(!out.exists());
}

#[test]
fn a_library_that_does_not_compile_is_damage_that_can_be_repaired() {
    let library = b"\xf5\x1c#!lua name=x\nthis is not lua\xfe\x00\x00\x01k\x01v";
    is_repaired(&rdb(library), "compil", &["k=v"]);
    // Another server may take it: it goes through a conversion.
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "dump.rdb", &rdb(library));
    let (code, report) = json(&["convert", text(&path), text(&dir.path().join("out.rdb"))]);
    assert_eq!((code, &report["functions"]), (0, &1.into()), "{report}");
}

/// A server that does not tell its function libraries may have some: they are not left out without a word.
#[test]
fn libraries_that_may_not_be_read_end_a_conversion() {
    let mut server = Server::start(&peers::fastness(), &["appendonly no", "save "]);
    let mut client = server.client();
    client.must("SET a b");
    client.must("ACL SETUSER exporter on >pw ~* +@read +@connection +dump +info");
    let url = format!("redis://exporter:pw@127.0.0.1:{}", server.port);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.rdb");
    for options in [&["--scan"][..], &[]] {
        let args = [&["convert", &url, text(&out)], options].concat();
        let (code, report) = json(&args);
        assert_eq!(code, 2, "{report}");
        let all = report.to_string();
        assert!(all.contains("NOPERM") && all.contains("--no-functions"), "{report}");
        assert!(!out.exists());
        let (code, report) = json(&[&args[..], &["--no-functions", "--force"]].concat());
        assert_eq!((code, &report["keys"]), (0, &1.into()), "{report}");
        fs::remove_file(&out).unwrap();
    }
    server.stop();
}
