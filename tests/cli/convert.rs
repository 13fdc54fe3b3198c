//! `fastness convert`: both ways, whole directories, and nothing changed when something is wrong.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{FOLDER, RECORDS, check, content, redis_directory, vector};

const BASE: &str = "appendonlydir/appendonly.aof.1.base.rdb";
/// What a container starts with.
const MARKER: &[u8] = b"\x50\x2a\x4d\x18\x10\x00\x00\x00FASTNESS";

fn convert(dir: &Path, reader: &str) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["convert", "--json", "--for", reader])
        .arg(dir)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

fn starts_with_marker(path: &Path) -> bool {
    fs::read(path).unwrap().starts_with(MARKER)
}

#[test]
fn a_directory_of_redis_goes_there_and_back() {
    let dir = redis_directory(RECORDS);
    fs::copy(vector("rdb-redis-7.0.rdb"), dir.path().join("dump.rdb")).unwrap();
    let before = content(dir.path());
    let (code, there) = convert(dir.path(), "fastness");
    assert_eq!(code, 0, "{there}");
    for name in ["dump.rdb", BASE] {
        assert!(starts_with_marker(&dir.path().join(name)), "{name}");
    }
    assert_eq!(check(dir.path()).1["verdict"], "sound");
    let (code, again) = convert(dir.path(), "fastness");
    assert_eq!((code, &again["files"][0]["converted"]), (0, &Value::Bool(false)));
    let (code, back) = convert(dir.path(), "redis");
    assert_eq!(code, 0, "{back}");
    for (one, other) in
        there["files"].as_array().unwrap().iter().zip(back["files"].as_array().unwrap())
    {
        assert_eq!(one["content"], other["content"]);
        assert_eq!(other["converted"], true);
        assert!(one["keys"].as_u64().unwrap() > 10);
    }
    assert!(!starts_with_marker(&dir.path().join(BASE)));
    assert_eq!(check(dir.path()).1["verdict"], "sound");
    // Segments, manifest and names are what they were; nothing is left over.
    let after = content(dir.path());
    assert!(before.keys().all(|path| after.contains_key(path)), "{after:?}");
    let others = |path: &&std::path::PathBuf| !path.ends_with("dump.rdb") && !path.ends_with(BASE);
    for path in before.keys().filter(others) {
        assert_eq!(before[path], after[path], "{path:?}");
    }
    let names: Vec<_> = fs::read_dir(dir.path().join(FOLDER))
        .unwrap()
        .chain(fs::read_dir(dir.path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.starts_with("temp-")), "{names:?}");
}

/// What every server and version wrote keeps its content, and has another one than the other files.
#[test]
fn every_vector_keeps_its_content() {
    let mut seen = std::collections::BTreeSet::new();
    let folder = vector("");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".rdb"))
        .collect();
    names.sort();
    for name in names {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.rdb");
        fs::copy(vector(&name), &path).unwrap();
        let mut last = None;
        for reader in ["fastness", "redis", "fastness", "redis"] {
            let (code, report) = convert(dir.path(), reader);
            assert_eq!(code, 0, "{name}: {report}");
            let digest = report["files"][0]["content"].as_str().unwrap().to_owned();
            assert!(last.is_none_or(|last| last == digest), "{name}");
            last = Some(digest);
            assert_eq!(starts_with_marker(&path), reader == "fastness", "{name}");
        }
        // Those with a table in lines hold what the containers of their name do.
        let empty = name.contains("empty") || name.starts_with("lines-");
        assert!(seen.insert(last.unwrap()) || empty, "{name} has the content of another file");
    }
}

#[test]
fn a_directory_that_is_not_sound_stays_as_it_is() {
    let dir = redis_directory(RECORDS);
    fs::copy(vector("rdb-redis-7.0.rdb"), dir.path().join("dump.rdb")).unwrap();
    let mut base = fs::read(dir.path().join(BASE)).unwrap();
    let middle = base.len() / 2;
    base[middle] ^= 1;
    fs::write(dir.path().join(BASE), base).unwrap();
    let before = content(dir.path());
    let (code, report) = convert(dir.path(), "fastness");
    assert_eq!(code, 1, "{report}");
    assert!(report["error"].as_str().unwrap().contains(BASE), "{report}");
    let mut after = content(dir.path());
    after.retain(|path, _| !path.ends_with("fastness.lock"));
    assert!(before == after);
    let (code, _) = convert(&dir.path().join("nowhere"), "redis");
    assert_eq!(code, 2);
}

/// What was converted is an RDB for the checker of Redis, where there is one.
#[test]
fn the_checker_of_redis_finds_nothing() {
    let home = std::env::var("HOME").unwrap_or_default();
    let checker = Path::new(&home).join(".cache/fastness-peers/redis-check-rdb");
    if !checker.exists() {
        return;
    }
    for name in ["container-full.rdb", "container-unchecked.rdb", "container-empty.rdb"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.rdb");
        fs::copy(vector(name), &path).unwrap();
        assert_eq!(convert(dir.path(), "redis").0, 0);
        let output = Command::new(&checker).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("looks OK"), "{name}: {text}");
    }
}
