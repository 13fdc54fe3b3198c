//! The command line from the outside: what `fastness check` prints, what it answers, and that it changes
//! nothing; how `fastness serve` goes into the background.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]

mod convert;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod support;

mod bench;
mod crashtest;
mod ending;
mod exchange;
mod metrics;
mod operations;
mod outputs;
mod repair;
mod single;
mod switching;
mod whole;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const FOLDER: &str = "appendonlydir";
const SEGMENT: &str = "appendonlydir/appendonly.aof.1.incr.aof";
const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";

/// Runs `fastness check PATH --json`; the exit code and what it printed.
fn check(path: &Path) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["check", "--json"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

/// The text for people.
fn check_text(path: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fastness")).arg("check").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors").join(name)
}

/// A data directory as Redis 7 leaves it: a manifest and one segment of plain records.
fn redis_directory(records: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(FOLDER)).unwrap();
    fs::write(
        dir.path().join(MANIFEST),
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
    )
    .unwrap();
    let base = dir.path().join("appendonlydir/appendonly.aof.1.base.rdb");
    fs::copy(vector("rdb-redis-8.0.rdb"), base).unwrap();
    fs::write(dir.path().join(SEGMENT), records).unwrap();
    dir
}

const RECORDS: &[u8] =
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn file<'v>(report: &'v Value, path: &str) -> &'v Value {
    let files = report["files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path}: {report}"))
}

#[test]
fn every_rdb_vector_is_sound_and_says_who_wrote_it() {
    for (name, version, state) in [
        ("rdb-redis-7.0.rdb", "redis 10", "checked"),
        ("rdb-redis-8.0.rdb", "redis 12", "checked"),
        ("rdb-valkey-9.1.rdb", "valkey 80", "checked"),
        ("rdb-lfu-unchecked.rdb", "", "unchecked"),
    ] {
        let (code, report) = check(&vector(name));
        assert_eq!(code, 0, "{name}: {report}");
        assert_eq!(report["verdict"], "sound", "{name}");
        let file = file(&report, name);
        assert_eq!(file["state"], state, "{name}");
        if !version.is_empty() {
            assert_eq!(file["snapshot"]["version"], version, "{name}");
        }
        let databases = file["snapshot"]["databases"].as_array().unwrap();
        assert!(databases.iter().any(|db| db["keys"].as_u64() > Some(0)), "{name}: {report}");
    }
}

#[test]
fn a_flipped_byte_of_a_snapshot_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump.rdb");
    let mut bytes = fs::read(vector("rdb-redis-8.0.rdb")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    for place in [path.as_path(), dir.path()] {
        let (code, report) = check(place);
        assert_eq!(code, 1, "{report}");
        assert_eq!(report["verdict"], "damaged");
        assert!(report["damage"][0]["offset"].is_u64(), "{report}");
        assert!(!report["next"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_directory_of_redis_is_sound_but_unchecked_and_stays_as_it_is() {
    let dir = redis_directory(RECORDS);
    let before = content(dir.path());
    let (code, report) = check(dir.path());
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["unchecked"], true);
    let segment = file(&report, SEGMENT);
    assert_eq!((&segment["state"], &segment["log"]["units"]), (&"unchecked".into(), &2.into()));
    assert_eq!(file(&report, MANIFEST)["state"], "unchecked");
    assert_eq!(content(dir.path()), before);
    // The folder, the manifest and the segment can be looked at on their own.
    for inside in [FOLDER, MANIFEST, SEGMENT] {
        let (code, report) = check(&dir.path().join(inside));
        assert_eq!((code, &report["verdict"]), (0, &"sound".into()), "{inside}: {report}");
    }
    let text = check_text(dir.path());
    assert!(!text.contains('\x1b'), "no colours outside a terminal: {text}");
    assert!(text.contains("start: the log is loaded"), "{text}");
}

#[test]
fn a_torn_tail_is_told_apart_from_damage() {
    let torn = [RECORDS, b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5\r\nhal"].concat();
    let (code, report) = check(redis_directory(&torn).path());
    assert_eq!((code, &report["verdict"]), (1, &"torn".into()), "{report}");
    assert_eq!(report["damage"][0]["offset"], RECORDS.len());
    assert!(report["damage"][0]["behind"].as_str().unwrap().contains("SET"), "{report}");

    let damaged = [b"*1\r\n:3\r\nSET\r\n".as_slice(), RECORDS].concat();
    let (code, report) = check(redis_directory(&damaged).path());
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
    assert_eq!(report["damage"][0]["file"], SEGMENT);
}

#[test]
fn missing_files_are_damage() {
    let dir = redis_directory(RECORDS);
    fs::remove_file(dir.path().join(SEGMENT)).unwrap();
    let (code, report) = check(dir.path());
    assert_eq!((code, &file(&report, SEGMENT)["state"]), (1, &"missing".into()), "{report}");

    let dir = redis_directory(RECORDS);
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    let (code, report) = check(dir.path());
    assert_eq!((code, &report["damage"][0]["file"]), (1, &MANIFEST.into()), "{report}");

    let dir = redis_directory(RECORDS);
    fs::write(dir.path().join(MANIFEST), "file x seq 1 type i\nfile y seq 1 type i\n").unwrap();
    let (code, report) = check(dir.path());
    assert_eq!((code, &report["damage"][0]["offset"]), (1, &20.into()), "{report}");
}

#[test]
fn nothing_to_look_at_is_neither_sound_nor_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = check(dir.path());
    assert_eq!((code, &report["verdict"]), (2, &"nothing".into()));
    let (code, report) = check(&dir.path().join("nowhere"));
    assert_eq!(code, 2);
    assert!(report["error"].is_string(), "{report}");
}

mod own {
    use super::*;
    use fastness::aof::manifest::Manifest;

    /// A directory that this crate's server wrote, stopped by a kill.
    fn written() -> tempfile::TempDir {
        use std::io::{Read as _, Write as _};
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new(env!("CARGO_BIN_EXE_fastness"))
            .args(["serve", "--port", &port.to_string(), "--appendonly", "yes", "--dir"])
            .arg(dir.path())
            .args(["--appendfsync", "always"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let started = std::time::Instant::now();
        let done = loop {
            if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
                stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
                let mut answer = [0; 64];
                stream.write_all(b"SET first 1\r\n").unwrap();
                let len = stream.read(&mut answer).unwrap_or(0);
                if answer[..len].starts_with(b"+OK") {
                    stream.write_all(b"SET second 2\r\n").unwrap();
                    let len = stream.read(&mut answer).unwrap_or(0);
                    break answer[..len].starts_with(b"+OK");
                }
            }
            if started.elapsed().as_secs() > 20 {
                break false;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(done, "the server did not answer");
        dir
    }

    /// The path of the last segment.
    fn last_segment(dir: &Path) -> String {
        let manifest = Manifest::parse(&fs::read(dir.join(MANIFEST)).unwrap()).unwrap().manifest;
        format!("{FOLDER}/{}", manifest.incrs.last().unwrap().name)
    }

    #[test]
    fn every_byte_of_our_own_directory_is_vouched_for() {
        let dir = written();
        let (code, report) = check(dir.path());
        assert_eq!((code, &report["unchecked"]), (0, &false.into()), "{report}");
        let segment = last_segment(dir.path());
        let log = &file(&report, &segment)["log"];
        assert_eq!((&log["framed"], &log["unchecked_units"]), (&true.into(), &0.into()));
        assert!(log["units"].as_u64() >= Some(2), "{report}");

        // A flipped byte in the first record is damage: the second one proves that it was synced.
        let path = dir.path().join(&segment);
        let sound = fs::read(&path).unwrap();
        let at = sound.windows(5).position(|bytes| bytes == b"first").unwrap();
        let mut flipped = sound.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let (code, report) = check(dir.path());
        assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
        assert!(report["damage"][0]["offset"].as_u64() <= Some(at as u64), "{report}");

        // A cut one is torn.
        fs::write(&path, &sound[..sound.len() - 3]).unwrap();
        let (code, report) = check(dir.path());
        assert_eq!((code, &report["verdict"]), (1, &"torn".into()), "{report}");
        assert!(report["next"].as_str().unwrap().contains("fastness serve"), "{report}");
    }
}

/// The lines that tools which start and stop a Redis server look for, in their order.
fn assert_milestones(log: &str, pid: &str, port: u16) {
    let mut rest = log;
    for line in [
        &format!(" PID: {}\n", pid.trim()),
        &format!("port={port}.\n"),
        "* Server initialized\n",
        "* Ready to accept connections tcp\n",
        "* Ready to accept connections unix\n",
        "* User requested shutdown...\n",
        "is now ready to exit, bye bye...\n",
    ] {
        rest = rest.split_once(line).unwrap_or_else(|| panic!("no {line:?} in its place: {log}")).1;
    }
}

/// `daemonize yes`: the command returns when the server serves, or fails with its reason.
#[test]
fn a_server_in_the_background_serves_when_the_command_returns() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (dir, pidfile) = (folder.path().join("data"), folder.path().join("server.pid"));
    let socket = folder.path().join("server.sock");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fastness"));
        command.args(["serve", "--daemonize", "yes", "--port", &port.to_string(), "--save", ""]);
        command.args(["--unixsocketperm", "700", "--unixsocket"]).arg(&socket);
        command.arg("--dir").arg(&dir).arg("--pidfile").arg(&pidfile);
        command.arg("--logfile").arg(folder.path().join("server.log")).output().unwrap()
    };
    assert!(start().status.success());
    let pid = fs::read_to_string(&pidfile).unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
    let second = start();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains(pid.trim()), "{second:?}");
    client.write_all(b"SHUTDOWN\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    for _ in 0..100 {
        if !pidfile.exists() {
            let log = fs::read_to_string(folder.path().join("server.log")).unwrap();
            assert_milestones(&log, &pid, port);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the pidfile is left behind");
}
