//! Directories that are not what they seem as a whole: a file of them is missing, empty, in the place of another, a link to
//! nothing. A start loses nothing in silence, and `check` and `repair` say what it does; what Redis leaves behind
//! when it is killed loads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::peers;
use super::support::server::{Place, Server};
use super::{FOLDER, MANIFEST, RECORDS, SEGMENT, check, content};

const BASE: &str = "appendonlydir/appendonly.aof.1.base.rdb";
const ON: &[&str] = &["appendonly yes", "appendfsync always", "save "];
const OFF: &[&str] = &["appendonly no", "save "];

/// Starts, and tells the value of each key (empty: there is none), after a kill what was printed.
fn started(
    place: &Place,
    options: &[&str],
    keys: &[&str],
) -> Result<(Vec<String>, String), String> {
    let files = || {
        let mut files = content(&place.data());
        files.retain(|path, _| !path.ends_with("fastness.lock") && !path.ends_with("fastness.id"));
        files
    };
    let before = files();
    let started = Server::try_start_on(&peers::fastness(), place, options);
    let mut server = started
        .inspect_err(|why| assert!(files() == before, "a refused start changes nothing: {why}"))?;
    let mut client = server.client();
    let get = |key: &&str| client.must(&format!("GET {key}")).text().unwrap_or_default();
    let values = keys.iter().map(get).collect();
    server.kill();
    Ok((values, place.printed()))
}

#[track_caller]
fn refused(place: &Place, options: &[&str], words: &[&str]) {
    let why = started(place, options, &[]).unwrap_err();
    for word in words.iter().chain(&["next: "]) {
        assert!(why.contains(word), "{word}: {why}");
    }
}

#[track_caller]
fn loads(place: &Place, options: &[&str], wanted: &[(&str, &str)], word: &str) {
    let keys: Vec<&str> = wanted.iter().map(|(key, _)| *key).collect();
    let values: Vec<&str> = wanted.iter().map(|(_, value)| *value).collect();
    let (found, printed) = started(place, options, &keys).unwrap();
    assert_eq!(found, values, "{printed}");
    assert!(printed.contains(word), "{word}: {printed}");
}

fn repair(path: &Path, options: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["repair", "--json"])
        .arg(path)
        .args(options)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

fn set(key: &str, value: &str) -> Vec<u8> {
    let (k, v) = (key.len(), value.len());
    format!("*3\r\n$3\r\nSET\r\n${k}\r\n{key}\r\n${v}\r\n{value}\r\n").into_bytes()
}

/// A snapshot with the string `k`.
fn snapshot() -> Vec<u8> {
    let mut out = b"REDIS0011\xfe\x00\x00\x01k\x01v\xff".to_vec();
    out.extend_from_slice(&fastness::snapshot::crc64::checksum(&out).to_le_bytes());
    out
}

/// A place with these files.
fn place(files: &[(&str, &[u8])]) -> Place {
    let place = Place::new();
    fs::create_dir(place.data().join(FOLDER)).unwrap();
    for (name, bytes) in files {
        fs::write(place.data().join(name), bytes).unwrap();
    }
    place
}

/// With the log off a snapshot that does not hold what log files do is not loaded in their place.
#[test]
fn a_lost_manifest_is_not_hidden_by_an_older_snapshot() {
    for held in [false, true] {
        let place = Place::new();
        let mut server = Server::start_on(&peers::fastness(), &place, ON);
        let mut client = server.client();
        client.must("SET a 1");
        client.must("SAVE");
        if !held {
            // So that no clock is in doubt.
            std::thread::sleep(std::time::Duration::from_millis(1100));
            client.must("SET b 2");
        }
        server.kill();
        let manifest = fs::read(place.data().join(MANIFEST)).unwrap();
        fs::remove_file(place.data().join(MANIFEST)).unwrap();
        assert_eq!(check(&place.data()).0, 1);
        if held {
            loads(&place, OFF, &[("a", "1")], "");
            continue;
        }
        refused(&place, OFF, &[MANIFEST, "is missing", "appendonly.aof.1.incr.aof"]);
        // A later one of another server tells nothing of these files.
        let dump = place.data().join("dump.rdb");
        let own = fs::read(&dump).unwrap();
        let other = Server::start(&peers::fastness(), OFF);
        other.client().must("SAVE");
        fs::copy(other.data().join("dump.rdb"), &dump).unwrap();
        refused(&place, OFF, &[MANIFEST, "is missing"]);
        fs::write(&dump, own).unwrap();
        fs::write(place.data().join(MANIFEST), manifest).unwrap();
        loads(&place, OFF, &[("a", "1"), ("b", "2")], "");
    }
    // Redis loads the snapshot, and leaves such files when it is killed while its log is switched on.
    let place = place(&[("dump.rdb", &snapshot()), (SEGMENT, RECORDS), (BASE, &snapshot())]);
    loads(&place, OFF, &[("k", "v"), ("a", "")], "no manifest lists them");
    assert!(place.data().join(SEGMENT).exists());
    refused(&place, ON, &[MANIFEST, "is missing"]);
}

#[test]
fn a_single_file_log_that_holds_nothing_hides_no_snapshot() {
    for log in [&b""[..], &[0; 4096], b"*3\r\n$3\r\nSE"] {
        let place = place(&[("dump.rdb", &snapshot()), ("appendonly.aof", log)]);
        let (code, report) = check(&place.data());
        assert_eq!(code, 0, "{report}");
        assert!(report["start"].as_str().unwrap().contains("the snapshot is loaded"), "{report}");
        assert!(report["notes"].to_string().contains("appendonly.aof holds no record"), "{report}");
        loads(
            &place,
            ON,
            &[("k", "v")],
            "appendonly.aof holds no record: dump.rdb is the data set",
        );
        loads(&place, ON, &[("k", "v")], "");
        assert_eq!(fs::read(place.data().join("appendonly.aof")).unwrap(), log);
    }
    // What holds something is the data set, as with Redis, and what is damaged is not passed over.
    let both = |log: &[u8]| place(&[("dump.rdb", &snapshot()), ("appendonly.aof", log)]);
    loads(&both(RECORDS), ON, &[("a", "1"), ("k", "")], "");
    refused(&both(&[b"\0", RECORDS].concat()), ON, &["appendonly.aof", "offset 0"]);
    // An empty one alone is an empty data set, as with Redis.
    loads(&place(&[("appendonly.aof", b"")]), ON, &[("k", "")], "");
}

#[test]
fn a_command_that_nobody_knows_is_named_with_its_file() {
    let bad = set("b", "2").iter().map(|b| if *b == b'S' { b'R' } else { *b }).collect::<Vec<u8>>();
    let records = [RECORDS, &bad, &set("c", "3")].concat();
    let place = place(&[(SEGMENT, &records), (BASE, &snapshot()), (MANIFEST, LISTED.as_bytes())]);
    let at = format!("{SEGMENT} is damaged at offset {}", RECORDS.len());
    refused(&place, ON, &[&at, "Unknown command 'RET' reading the append only file"]);
    let (code, report) = check(&place.data());
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
    let damage = &report["damage"][0];
    assert_eq!((&damage["file"], &damage["offset"]), (&SEGMENT.into(), &RECORDS.len().into()));
    assert!(damage["reason"].as_str().unwrap().contains("RET"), "{report}");
    assert_eq!(check(&place.data().join(SEGMENT)).0, 1);
    assert_eq!(repair(&place.data(), &[]).0, 1);
    let (code, done) = repair(&place.data(), &["--apply"]);
    assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{done}");
    assert!(done.to_string().contains("RET b"), "{done}");
    loads(&place, ON, &[("a", "1"), ("b", ""), ("c", "3"), ("k", "v")], "");
    // On its own.
    let alone = self::place(&[("appendonly.aof", &records)]);
    assert_eq!(repair(&alone.data(), &["--apply"]).0, 0);
    loads(&alone, ON, &[("a", "1"), ("b", ""), ("c", "3")], "");
}

#[test]
fn records_behind_a_snapshot_are_not_dropped_in_silence() {
    let snapshot = snapshot();
    let bytes = [&snapshot, RECORDS].concat();
    for options in [ON, OFF] {
        let place = place(&[("dump.rdb", &bytes)]);
        let at = format!("dump.rdb is damaged at offset {}", snapshot.len());
        refused(&place, options, &[&at, "appendonly.aof"]);
        let path = place.data().join("dump.rdb");
        for looked_at in [&place.data(), &path] {
            let (code, report) = check(looked_at);
            assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report}");
            assert_eq!(report["damage"][0]["offset"], snapshot.len(), "{report}");
        }
        if options == ON {
            fs::rename(path, place.data().join("appendonly.aof")).unwrap();
            loads(&place, ON, &[("k", "v"), ("a", "1")], "");
        } else {
            let (code, done) = repair(&path, &["--apply"]);
            assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{done}");
            assert_eq!(fs::read(&path).unwrap(), snapshot);
            loads(&place, OFF, &[("k", "v"), ("a", "")], "");
        }
    }
    // Redis does not look at what is behind the end; it is told.
    for rest in [&b"#"[..], &[b'#'; 100], b"\n", b"rubbish", &[0; 4096]] {
        let place = place(&[("dump.rdb", &[&snapshot, rest].concat())]);
        let word = format!("for {} bytes behind its end at offset {}", rest.len(), snapshot.len());
        let (code, report) = check(&place.data());
        assert_eq!((code, &report["verdict"]), (0, &"sound".into()), "{report}");
        assert!(report["notes"].to_string().contains(&word), "{report}");
        loads(&place, OFF, &[("k", "v")], &word);
    }
}

#[test]
fn a_link_to_nothing_is_not_nothing() {
    for (name, options) in
        [("dump.rdb", OFF), ("dump.rdb", ON), (FOLDER, ON), (FOLDER, OFF), (MANIFEST, ON)]
    {
        let place = Place::new();
        if name == MANIFEST {
            fs::create_dir(place.data().join(FOLDER)).unwrap();
        }
        if name != "dump.rdb" {
            fs::write(place.data().join("dump.rdb"), snapshot()).unwrap();
        }
        let link = place.data().join(name);
        symlink("/nonexistent/volume", &link).unwrap();
        let why = started_on_links(&place, options);
        for word in [name, "link to /nonexistent/volume"] {
            assert!(why.contains(word), "{name}: {why}");
        }
        assert!(link.is_symlink());
        let (code, report) = check(&place.data());
        assert_eq!(code, 2, "{report}");
        assert!(report["error"].as_str().unwrap().contains("/nonexistent/volume"), "{report}");
    }
    // One to something is what it points to.
    let place = place(&[("elsewhere", &snapshot())]);
    symlink("elsewhere", place.data().join("dump.rdb")).unwrap();
    loads(&place, OFF, &[("k", "v")], "");
}

/// `content` does not read links.
fn started_on_links(place: &Place, options: &[&str]) -> String {
    match Server::try_start_on(&peers::fastness(), place, options) {
        Ok(_) => panic!("started: {}", place.printed()),
        Err(why) => why,
    }
}

const LISTED: &str =
    "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n";

fn segment(number: u32) -> String {
    format!("appendonlydir/appendonly.aof.{number}.incr.aof")
}

/// A manifest of Redis has no checksum: a line that is not there, or calls a segment history, is told by the rest.
#[test]
fn a_segment_that_a_manifest_of_redis_has_lost_is_missed() {
    let line = |number: u32, kind: &str| {
        format!("file appendonly.aof.{number}.incr.aof seq {number} type {kind}\n")
    };
    let base = "file appendonly.aof.1.base.rdb seq 1 type b\n".to_owned();
    let segments: Vec<String> = (1..=3).map(segment).collect();
    let contents: Vec<Vec<u8>> =
        (1..=3).map(|n| [RECORDS, &set(&format!("key{n}"), "v")].concat()).collect();
    for (kinds, named) in
        [("iih", 3), ("ihi", 2), ("hhh", 1), ("ii-", 3), ("i--", 2), ("---", 1), ("hii", 0)]
    {
        let lines = kinds.chars().zip(1..).filter(|(kind, _)| *kind != '-');
        let lines: String = lines.map(|(kind, n)| line(n, &kind.to_string())).collect();
        let manifest = format!("{base}{lines}");
        let place = place(&[
            (BASE, &snapshot()),
            (&segments[0], &contents[0]),
            (&segments[1], &contents[1]),
            (&segments[2], &contents[2]),
            (MANIFEST, manifest.as_bytes()),
        ]);
        if named == 0 {
            // It is older than all that are listed, as after a rewrite.
            loads(&place, ON, &[("key1", ""), ("key2", "v"), ("key3", "v")], "");
            continue;
        }
        let name = &segment(named)[FOLDER.len() + 1..];
        refused(&place, ON, &[MANIFEST, name, "damaged at offset"]);
        assert_eq!(check(&place.data()).0, 1, "{kinds}");
        let (code, done) = repair(&place.data(), &["--apply"]);
        assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{kinds}: {done}");
        for _ in 0..2 {
            loads(&place, ON, &[("key1", "v"), ("key2", "v"), ("key3", "v"), ("k", "v")], "");
        }
    }
}

/// Every place where Redis may be killed while it rewrites its log, or switches it on or off.
#[test]
fn what_redis_leaves_when_it_is_killed_in_a_rewrite_loads() {
    let (next_base, next) = ("appendonlydir/appendonly.aof.2.base.rdb", segment(2));
    let base2 = "file appendonly.aof.2.base.rdb seq 2 type b\n";
    let line2 = "file appendonly.aof.2.incr.aof seq 2 type i\n";
    let history = LISTED.replace("type b", "type h").replace("type i", "type h");
    let (rdb, more) = (snapshot(), set("c", "3"));
    let first: &[(&str, &[u8])] = &[(BASE, &rdb), (SEGMENT, RECORDS)];
    let both = format!("{LISTED}{line2}");
    let rewritten = format!("{base2}{history}{line2}");
    let off = format!("{base2}{history}");
    let cleaned = format!("{base2}{line2}");
    for (what, manifest, files, wanted) in [
        ("before the segment is listed", LISTED, &[(next.as_str(), &b""[..])][..], ["1", ""]),
        ("the segment is listed", &both, &[(&next, &more)], ["1", "3"]),
        ("the base is there", &both, &[(&next, &more), (next_base, &rdb)], ["1", "3"]),
        ("the base is listed", &rewritten, &[(&next, &more), (next_base, &rdb)], ["", "3"]),
        (
            "history is gone from the list",
            &cleaned,
            &[(&next, &more), (next_base, &rdb)],
            ["", "3"],
        ),
        ("switched on, not listed", LISTED, &[(&next, &more), (next_base, &rdb)], ["1", ""]),
        ("rewritten while it is off", &off, &[(next_base, &rdb)], ["", ""]),
    ] {
        let place = place(&[first, files, &[(MANIFEST, manifest.as_bytes())]].concat());
        let (code, report) = check(&place.data());
        assert_eq!(code, 0, "{what}: {report}");
        for _ in 0..2 {
            loads(&place, ON, &[("k", "v"), ("a", wanted[0]), ("c", wanted[1])], "");
        }
        if let Some(redis) = peers::redis8() {
            let place = self::place(&[first, files, &[(MANIFEST, manifest.as_bytes())]].concat());
            let mut server = Server::start_on(&redis, &place, &["appendonly yes", "save "]);
            let mut client = server.client();
            for (key, value) in [("k", "v"), ("a", wanted[0]), ("c", wanted[1])] {
                let found = client.must(&format!("GET {key}")).text().unwrap_or_default();
                assert_eq!(found, value, "{what}: as Redis");
            }
            server.kill();
        }
    }
}
