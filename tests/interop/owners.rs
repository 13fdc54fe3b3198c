//! The archive's owner, passphrases and interrupted restores, as an operator meets them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::Client;
use crate::support::peers;
use crate::support::server::{Place, Server};

const WITHIN: Duration = Duration::from_secs(60);

/// Runs `fastness ARGS --json` with variables; the exit code and what it printed.
fn fastness(args: &[&str], variables: &[(&str, &str)]) -> (i32, Value) {
    let mut command = Command::new(peers::fastness().path);
    command.args(args).arg("--json").stdin(Stdio::null()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

fn done(args: &[&str]) -> Value {
    let (code, value) = fastness(args, &[]);
    assert_eq!(code, 0, "{args:?}: {value}");
    value
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn field(client: &mut Client, name: &str) -> String {
    let info = client.must("INFO persistence").text().unwrap_or_default();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name}: {info}")).trim().to_owned()
}

fn wait_for(client: &mut Client, name: &str, value: &str) {
    let deadline = Instant::now() + WITHIN;
    while field(client, name) != value {
        let info = client.must("INFO persistence").text().unwrap_or_default();
        assert!(Instant::now() < deadline, "{name} does not become {value}: {info}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_second_server_is_kept_out_of_an_archive_until_it_takes_over() {
    let root = tempfile::tempdir().unwrap();
    let repository = text(&root.path().join("archive"));
    let archive = format!("archive {repository}");
    let mut first = Server::start(&peers::fastness(), &[&archive]);
    let mut client = first.client();
    client.must("SET of first");
    wait_for(&mut client, "archive_lag_bytes", "0");
    wait_for(&mut client, "archive_state", "ok");
    let id = field(&mut client, "archive_server_id");
    let owner = done(&["backup", "owner", &repository]);
    assert_eq!((&owner["server"], &owner["stopped"]), (&Value::from(id.as_str()), &false.into()));
    // It is known again.
    first.kill();
    first.restart();
    let mut client = first.client();
    wait_for(&mut client, "archive_state", "ok");
    assert_eq!(field(&mut client, "archive_server_id"), id);
    let second = Server::start(&peers::fastness(), &[&archive]);
    let mut other = second.client();
    other.must("SET of second");
    wait_for(&mut other, "archive_state", "taken");
    assert_eq!(field(&mut other, "archive_conflict"), "1");
    assert_eq!(field(&mut other, "archive_other_owner"), id);
    assert!(field(&mut other, "archive_last_error").contains(&id));
    assert!(second.place().printed().contains(&format!("archive-takeover {id}")));
    let restored = text(&root.path().join("restored.rdb"));
    done(&["restore", "--from", &repository, "--output", &restored]);
    assert!(std::fs::read(&restored).unwrap().windows(5).any(|window| window == b"first"));
    // The operator says that the first one is gone; it is not, and is kept out from now on.
    other.must(&format!("CONFIG SET archive-takeover {id}"));
    wait_for(&mut other, "archive_state", "ok");
    wait_for(&mut other, "archive_lag_bytes", "0");
    client.must("SET of first-again");
    wait_for(&mut client, "archive_state", "taken");
    done(&["backup", "verify", &repository, "--full"]);
    let owner = done(&["backup", "owner", &repository]);
    assert_eq!(owner["server"], field(&mut other, "archive_server_id"));
    let nobody = text(&root.path().join("nobody"));
    done(&["backup", "create", "--from", &text(&second.data()), "--to", &nobody]);
    assert_eq!(fastness(&["backup", "owner", &nobody], &[]).0, 2);
}

#[test]
fn an_archive_that_is_named_while_another_gets_its_base_gets_a_base_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| text(&root.path().join(name));
    let archive = format!("archive {}", place("first"));
    let options = [archive.as_str(), "enable-protected-configs yes", "archive-base-rate 2000"];
    let server = Server::start(&peers::fastness(), &options);
    let mut client = server.client();
    wait_for(&mut client, "archive_state", "ok");
    for n in 0..100 {
        client.must(&format!("SET key{n} {}", "v".repeat(1000)));
    }
    client.must("CONFIG SET rdbcompression no");
    client.must("BGREWRITEAOF");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    // By now a base of 100 KB is on its way, which takes a minute.
    std::thread::sleep(Duration::from_secs(3));
    client.must("CONFIG SET archive-base-rate 0");
    client.must(&format!("CONFIG SET archive {}", place("second")));
    client.must("SET last 1");
    let deadline = Instant::now() + Duration::from_secs(30);
    while fastness(&["backup", "list", &place("second")], &[]).0 != 0 {
        assert!(Instant::now() < deadline, "no base: {:?}", client.must("INFO persistence"));
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_for(&mut client, "archive_lag_bytes", "0");
    let restored = done(&["restore", "--from", &place("second"), "--output", &place("x.rdb")]);
    assert_eq!(restored["keys"], 101);
}

#[test]
fn old_segments_go_when_nothing_is_archived_any_more() {
    let root = tempfile::tempdir().unwrap();
    let archive = format!("archive {}", text(&root.path().join("archive")));
    let options = [archive.as_str(), "enable-protected-configs yes"];
    let server = Server::start(&peers::fastness(), &options);
    let mut client = server.client();
    client.must("SET a 1");
    wait_for(&mut client, "archive_state", "ok");
    wait_for(&mut client, "archive_lag_bytes", "0");
    // What is not archived yet stays for now.
    client.must("CONFIG SET archive /dev/null/nowhere");
    wait_for(&mut client, "archive_state", "failing");
    let segments = || {
        let names = std::fs::read_dir(server.data().join("appendonlydir")).unwrap();
        let names = names.flatten().map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".incr.aof")).count()
    };
    let rewrite = |client: &mut Client| {
        client.must("SET a 2");
        client.must("BGREWRITEAOF");
        wait_for(client, "aof_rewrite_in_progress", "0");
    };
    rewrite(&mut client);
    rewrite(&mut client);
    assert!(segments() > 1, "they are kept for the archive");
    client.call(&["CONFIG", "SET", "archive", ""]).unwrap();
    wait_for(&mut client, "archive_enabled", "0");
    let deadline = Instant::now() + WITHIN;
    while segments() > 1 {
        assert!(Instant::now() < deadline, "{} segments", segments());
        std::thread::sleep(Duration::from_millis(50));
    }
    rewrite(&mut client);
    assert_eq!(segments(), 1);
}

#[test]
fn a_passphrase_comes_from_a_file_or_a_variable_and_is_never_shown() {
    let server = Server::start(&peers::fastness(), &[]);
    server.client().must("SET secret value");
    let root = tempfile::tempdir().unwrap();
    let (repository, data) = (text(&root.path().join("repository")), text(&server.data()));
    let (file, wrong) = (text(&root.path().join("right")), text(&root.path().join("wrong")));
    std::fs::write(&file, "correct horse\n").unwrap();
    std::fs::write(&wrong, "battery staple\n").unwrap();
    let variable = [("FASTNESS_PASSPHRASE", "correct horse")];
    let create = ["backup", "create", "--from", &data, "--to", &repository];
    // Nobody is there to be asked.
    let (code, answer) = fastness(&[&create[..], &["--passphrase"]].concat(), &[]);
    assert_eq!(code, 2, "{answer}");
    assert!(answer["next"].as_str().unwrap().contains("--passphrase-file"), "{answer}");
    assert_eq!(fastness(&create, &variable).0, 0);
    done(&create);
    // An identity for another repository says nothing of the soundness of this one; nor does having none.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/format-spec/vectors/backup-sealed.identity");
    let verify = ["backup", "verify", &repository];
    for full in [&["--full"][..], &[]] {
        let named = [&verify[..], full, &["--identity", other]].concat();
        let (code, answer) = fastness(&named, &variable);
        assert_eq!(code, 2, "{answer}");
        let by_variable = [variable[0], ("FASTNESS_IDENTITY", other)];
        assert_eq!(fastness(&[&verify[..], full].concat(), &by_variable).0, 0);
    }
    assert_eq!(fastness(&[&verify[..], &["--full"]].concat(), &[]).0, 2);
    done(&verify);
    done(&[&create[..], &["--passphrase-file", &file]].concat());
    let (code, answer) = fastness(&[&create[..], &["--passphrase-file", &wrong]].concat(), &[]);
    assert_eq!(code, 2, "{answer}");
    done(&["backup", "verify", &repository]);
    let restored = |name: &str| text(&root.path().join(name));
    let restore = |dir: &str, more: &[&str], variables: &[(&str, &str)]| {
        fastness(&[&["restore", "--from", &repository, "--dir", dir], more].concat(), variables)
    };
    let (code, answer) = restore(&restored("none"), &[], &[]);
    assert_eq!(code, 2, "{answer}");
    assert!(answer["next"].as_str().unwrap().contains("FASTNESS_PASSPHRASE"), "{answer}");
    let (code, answer) = restore(&restored("none"), &["--passphrase-file", &wrong], &[]);
    assert_eq!(code, 2, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("wrong"), "{answer}");
    assert_eq!(restore(&restored("one"), &[], &variable).0, 0);
    assert_eq!(restore(&restored("two"), &["--passphrase-file", &file], &[]).0, 0);
    let sealed = std::fs::read(root.path().join("repository/identity")).unwrap();
    assert!(sealed.starts_with(b"FASTNESS-IDENTITY 1\n"));
}

#[test]
fn a_killed_restore_is_gone_on_with_and_nothing_starts_on_its_half() {
    let server = Server::start(&peers::fastness(), &["appendonly yes"]);
    let mut client = server.client();
    let mut state = 1_u64;
    for n in 0..12 {
        // Not to be compressed to nothing.
        let value: Vec<u8> = (0..100_000)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        client.call(&[&b"SET"[..], format!("key{n}").as_bytes(), &value]).unwrap();
    }
    client.must("BGREWRITEAOF");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    client.must("SET last one");
    let root = tempfile::tempdir().unwrap();
    let repository = text(&root.path().join("repository"));
    done(&["backup", "create", "--from", &text(&server.data()), "--to", &repository]);
    let place = Place::new();
    let restore = ["restore", "--from", &repository, "--dir", &text(&place.data())];
    let mut slow = Command::new(peers::fastness().path)
        .args([&restore[..], &["--rate", "3000000", "--threads", "1"]].concat())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let base = place.data().join("appendonlydir");
    let written = || {
        let files = std::fs::read_dir(&base).into_iter().flatten().flatten();
        files.map(|file| file.metadata().map_or(0, |found| found.len())).sum::<u64>()
    };
    let deadline = Instant::now() + WITHIN;
    // One thread writes parts in their order, each of which has 4 MB at most.
    while written() < 6 << 20 {
        assert!(Instant::now() < deadline && slow.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    slow.kill().unwrap();
    slow.wait().unwrap();
    let refused = Server::try_start_on(&peers::fastness(), &place, &["appendonly yes"]);
    let printed = refused.err().expect("it starts on half of the data");
    assert!(printed.contains("has not been finished"), "{printed}");
    let (code, answer) =
        fastness(&["backup", "create", "--from", &text(&place.data()), "--to", &repository], &[]);
    assert_eq!(code, 1, "{answer}");
    let restored = done(&restore);
    assert!(restored["bytes_kept"].as_u64() > Some(1 << 20), "{restored}");
    let started = Server::start_on(&peers::fastness(), &place, &["appendonly yes"]);
    let mut found = started.client();
    assert_eq!(found.must("DBSIZE"), client.must("DBSIZE"));
    let (code, answer) = fastness(&restore, &[]);
    assert_eq!(code, 2, "{answer}");
}
