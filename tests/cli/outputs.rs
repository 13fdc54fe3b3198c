//! What subcommands write and leave behind: nothing half written, also when a signal ends them; and a report that does
//! not get where it is to go is a failure.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::support::server::wait_for;
use super::{RECORDS, redis_directory, vector};

const PATIENCE: Duration = Duration::from_secs(60);
/// A machine may convert the whole file before the signal is there.
const TRIES: usize = 10;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastness"));
    command.args(args);
    command
}

fn fastness(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn lines(keys: usize) -> String {
    let mut lines = String::new();
    for number in 0..keys {
        let value = "v".repeat(100);
        writeln!(lines, "{{\"key\":\"key:{number}\",\"type\":\"string\",\"value\":\"{value}\"}}")
            .unwrap();
    }
    lines
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// The code that a shell would show.
fn code(status: ExitStatus) -> i32 {
    assert_eq!(status.signal(), None, "it says by itself how it ended");
    status.code().unwrap()
}

/// An input that is found wrong at its end, when the base is written already.
#[test]
fn a_directory_is_there_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (wrong, right) = (dir.path().join("wrong.ndjson"), dir.path().join("right.ndjson"));
    let all = lines(20_000);
    fs::write(&right, &all).unwrap();
    fs::write(&wrong, all.clone() + all.lines().next().unwrap()).unwrap();
    let (out, empty) = (dir.path().join("out"), dir.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    for place in [&out, &empty] {
        let output = fastness(&["convert", text(&wrong), text(place), "--format", "aof-dir"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("stands twice"), "{output:?}");
        assert_eq!(names(dir.path()), ["empty", "right.ndjson", "wrong.ndjson"]);
        assert!(names(&empty).is_empty());
    }
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&empty);
    for place in [&out, &empty] {
        let output = fastness(&["convert", text(&right), text(place), "--format", "aof-dir"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(names(place), ["appendonlydir"]);
        assert_eq!(names(&place.join("appendonlydir")).len(), 3, "base, segment and manifest");
        let (code, report) = super::check(place);
        assert_eq!((code, &report["verdict"]), (0, &"sound".into()), "{report}");
        let output = fastness(&["convert", text(&right), text(place), "--format", "aof-dir"]);
        assert_eq!(output.status.code(), Some(2), "it is there already: {output:?}");
    }
    assert_eq!(before, inode(&empty), "a directory that is there may be a mount, and has an owner");
    assert_eq!(names(dir.path()), ["empty", "out", "right.ndjson", "wrong.ndjson"]);
}

#[test]
fn a_signal_takes_along_what_is_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.ndjson");
    fs::write(&input, lines(200_000)).unwrap();
    for (name, options, sent, expected) in [
        ("out.rdb", &[][..], "INT", 130),
        ("out.ndjson", &[], "TERM", 143),
        ("out", &["--format", "aof-dir"], "INT", 130),
    ] {
        let folder = dir.path().join(format!("{name}-folder"));
        fs::create_dir(&folder).unwrap();
        let out = folder.join(name);
        let ended = (0..TRIES).any(|_| {
            let args = [&["convert", text(&input), text(&out)], options].concat();
            let mut child = command(&args).stdout(Stdio::null()).spawn().unwrap();
            wait_for("an output", PATIENCE, || !names(&folder).is_empty());
            signal(&child, sent);
            let found = code(child.wait().unwrap());
            if found == expected && !out.exists() {
                assert!(names(&folder).is_empty(), "{name}: {:?}", names(&folder));
                return true;
            }
            // It was done before; then it is whole.
            assert!(found == 0 || found == expected, "{name}: {found}");
            assert_eq!(names(&folder), [name]);
            assert_eq!(fastness(&["inspect", text(&out)]).status.code(), Some(0), "{name}");
            let removed =
                if out.is_dir() { fs::remove_dir_all(&out) } else { fs::remove_file(&out) };
            removed.unwrap();
            false
        });
        assert!(ended, "{name}: it was done {TRIES} times before the signal came");
    }
}

/// What is piped in goes to a file first, and nobody knows how long the pipe stays silent.
#[test]
fn a_signal_ends_what_waits_for_its_input() {
    let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().join("out.rdb");
    let mut child = command(&["convert", "-", text(&out)])
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_ref().unwrap().write_all(lines(10).as_bytes()).unwrap();
    wait_for("its file", PATIENCE, || !names(temporary.path()).is_empty());
    signal(&child, "TERM");
    assert_eq!(code(child.wait().unwrap()), 143);
    assert!(names(temporary.path()).is_empty());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_report_that_finds_no_room_is_a_failure_and_a_closed_pipe_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let source = vector("rdb-redis-7.0.rdb");
    let source = text(&source);
    let backups = dir.path().join("backups");
    let redis = redis_directory(RECORDS);
    let redis = text(redis.path());
    let made = fastness(&["backup", "create", "--from", redis, "--to", text(&backups)]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let out = dir.path().join("out.rdb");
    for args in [
        &["check", "--json", source][..],
        &["check", source],
        &["inspect", "--json", source],
        &["backup", "list", "--json", text(&backups)],
        &["convert", source, text(&out), "--force"],
        &["convert", redis, "--for", "fastness"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("standard output cannot be written: No space left"), "{said}");
        assert!(said.contains("next: "), "{said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    }
}

/// Whoever may not write in a directory is not told that somebody else uses it.
#[test]
fn a_lock_that_cannot_be_taken_is_not_called_in_use() {
    let dir = redis_directory(RECORDS);
    // Root, whom tests may run as, is denied nothing; this it cannot open either.
    fs::create_dir(dir.path().join("fastness.lock")).unwrap();
    for args in [
        &["convert", text(dir.path()), "--for", "redis"][..],
        &["repair", text(dir.path()), "--apply"],
    ] {
        let output = fastness(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("cannot be locked") && !said.contains("in use"), "{args:?}: {said}");
    }
}

/// A snapshot as somebody may put it together: Redis loads libraries wherever they stand.
#[test]
fn a_function_library_behind_a_key_goes_along() {
    let dir = tempfile::tempdir().unwrap();
    let library = b"#!lua name=late\nredis.register_function('f', function() return 1 end)";
    let mut bytes = b"REDIS0011\x00\x01a\x011\xf5".to_vec();
    bytes.extend([0x40, u8::try_from(library.len()).unwrap()]);
    bytes.extend_from_slice(library);
    bytes.extend_from_slice(b"\x00\x01b\x012\xff\0\0\0\0\0\0\0\0");
    let source = dir.path().join("late.rdb");
    fs::write(&source, bytes).unwrap();
    let mut digests = Vec::new();
    let mut from = source.clone();
    for name in ["1.rdb", "2.zst", "3.ndjson", "4.rdb", "5.aof", "6.ndjson"] {
        let out = dir.path().join(name);
        for input in [&source, &from] {
            let output = fastness(&["convert", text(input), text(&out), "--force", "--json"]);
            assert_eq!(output.status.code(), Some(0), "{input:?} to {name}: {output:?}");
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&report["keys"], &report["functions"]), (&2.into(), &1.into()), "{report}");
            digests.push(report["digest"].clone());
        }
        from = out;
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
    let output = fastness(&["export", text(&source), "--no-functions"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("late"), "{output:?}");
}
