//! Single files that are not what they seem: empty ones, pipes, zeros under a snapshot's name, and snapshots with good
//! checksums that a start refuses. `check`, `repair`, `convert` and `inspect` say of them what a start would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fastness::snapshot::crc64;
use serde_json::Value;

use super::support::peers;
use super::support::server::{Place, Server};
use super::{check, check_text, vector};

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

/// Runs it with a file piped into standard input.
fn piped(args: &[&str], input: &Path) -> Output {
    let mut cat = Command::new("cat").arg(input).stdout(Stdio::piped()).spawn().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(args)
        .stdin(cat.stdout.take().unwrap())
        .output()
        .unwrap();
    cat.wait().unwrap();
    output
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

#[test]
fn an_empty_file_is_not_sound() {
    let dir = tempfile::tempdir().unwrap();
    let log = write(dir.path(), "some.aof", b"");
    let (code, report) = check(&log);
    assert_eq!((code, &report["verdict"]), (2, &"nothing".into()), "{report}");
    assert!(check_text(&log).contains("no data is here"));
    let (code, report) = json(&["repair", text(&log)]);
    assert_eq!(code, 2, "{report}");
    // A snapshot of no bytes is none that a start takes.
    let (code, report) = check(&write(dir.path(), "dump.rdb", b""));
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
}

#[test]
fn a_snapshot_of_zeros_is_damaged_and_not_torn() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "dump.rdb", &[0; 4096]);
    for place in [path.as_path(), dir.path()] {
        let (code, report) = check(place);
        assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
        assert_eq!(report["files"][0]["role"], "snapshot", "{report}");
        assert!(!report.to_string().contains("cuts these"), "{report}");
        let to = dir.path().join("repository");
        let args = ["backup", "create", "--from", text(place), "--to", text(&to)];
        let output = Command::new(env!("CARGO_BIN_EXE_fastness")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let sound = vector("rdb-redis-8.0.rdb");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.rdb");
    for args in [
        &["check", "/dev/stdin"][..],
        &["repair", "/dev/stdin"],
        &["convert", "/dev/stdin", text(&out)],
        &["inspect", "/dev/stdin"],
    ] {
        let output = piped(args, &sound);
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {why}");
        assert!(why.contains("not a regular file") && why.contains("next: "), "{args:?}: {why}");
    }
    assert_eq!(check(Path::new("/dev/null")).0, 2);
    // A file that is standard input is one.
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["check", "/dev/stdin"])
        .stdin(fs::File::open(&sound).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(piped(&["convert", "-", text(&out)], &sound).status.success());
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

#[test]
fn bytes_behind_a_snapshot_are_left_out_and_a_log_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let sound = rdb(b"\xfe\x00\x00\x01k\x01v");
    let out = dir.path().join("out.ndjson");
    for (rest, keys, left_out) in [
        (&b"\n\0rubbish"[..], 1, true),
        (&[0; 300], 1, true),
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n", 2, false),
    ] {
        let path = write(dir.path(), "dump.rdb", &[sound.as_slice(), rest].concat());
        let (code, report) = check(&path);
        // A start refuses to leave out records.
        assert_eq!(code, i32::from(!left_out), "{report}");
        let (code, report) = json(&["convert", text(&path), text(&out), "--force"]);
        assert_eq!((code, &report["keys"]), (0, &keys.into()), "{report}");
        let note = report["notes"].to_string();
        assert_eq!(note.contains("goes on behind its end; that is left out"), left_out, "{report}");
        let (code, report) = json(&["inspect", text(&path)]);
        assert_eq!((code, &report["notes"].to_string()), (0, &note), "{report}");
        // Where the name says that it is a log, it must be one.
        let log = write(dir.path(), "some.aof", &[sound.as_slice(), rest].concat());
        let (code, report) = json(&["inspect", text(&log)]);
        assert_eq!(code == 0, !left_out || rest[0] == 0, "{report}");
    }
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
