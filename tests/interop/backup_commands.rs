//! BACKUP: what is in its directory, at every step, and after a crash at any of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::backup::done;
use crate::replicas::{info, load};
use crate::support::client::Client;
use crate::support::peers;
use crate::support::reply::Reply;
use crate::support::server::{Place, Server, copy_folder, wait_for};
use crate::{Features, fill};

const WITHIN: Duration = Duration::from_secs(20);
const WAYS: [[&str; 2]; 3] = [
    ["appendonly yes", "appendfsync always"],
    ["appendonly yes", "appendfsync everysec"],
    ["appendonly no", "save "],
];

fn status(client: &mut Client) -> (String, String) {
    let status = client.must("BACKUP STATUS");
    let text = |at: usize| status.items().get(at).and_then(Reply::text).unwrap();
    assert_eq!((text(0), text(2)), ("state".to_owned(), "error".to_owned()));
    (text(1), text(3))
}

fn listed(client: &mut Client) -> Vec<PathBuf> {
    let files = client.must("BACKUP LIST");
    files.items().iter().map(|file| PathBuf::from(file.text().unwrap())).collect()
}

fn started(client: &mut Client) {
    client.must("BACKUP START");
    wait_for("the base", WITHIN, || status(client).0 == "incrementing");
}

/// All files below a folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files_in(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

pub(crate) fn check(folder: &Path) -> i32 {
    let mut command = Command::new(peers::fastness().path);
    command.arg("check").arg(folder).output().unwrap().status.code().unwrap()
}

fn digest(client: &mut Client) -> String {
    client.must("DEBUG DIGEST").text().unwrap()
}

#[test]
fn a_sealed_backup_is_the_state_at_its_seal_for_every_tool() {
    for way in WAYS {
        let place = Place::new();
        let options = [&way[..], &["enable-debug-command yes"]].concat();
        let mut server = Server::start_on(&peers::fastness(), &place, &options);
        let mut client = server.client();
        fill(&mut client, Features { field_expiry: true, streams: true });
        let stop = AtomicBool::new(false);
        let sealed = std::thread::scope(|scope| {
            let loads = [1, 2].map(|seed| {
                let (stop, port) = (&stop, server.port);
                scope.spawn(move || load(port, seed, stop))
            });
            started(&mut client);
            let base = listed(&mut client);
            assert!(base.len() == 1 && base[0].is_file(), "{way:?}: {base:?}");
            assert_eq!(info(&mut client, "persistence", "backup_in_progress"), "1");
            assert_ne!(check(&server.data().join("backupdir")), 0, "{way:?}: it is not whole yet");
            let mut restore = Command::new(peers::fastness().path);
            restore.args(["restore", "--dry-run", "--from"]).arg(server.data().join("backupdir"));
            let refused = restore.output().unwrap();
            let why = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(2), "{way:?}: {why}");
            assert!(why.contains("not sealed"), "{way:?}: {why}");
            if way[0] == "appendonly yes" {
                // Segments that the log needs no more stay for the backup.
                for _ in 0..2 {
                    crate::rewrite(&mut client);
                }
            }
            std::thread::sleep(Duration::from_millis(200));
            stop.store(true, Ordering::Relaxed);
            loads.into_iter().for_each(|load| assert!(load.join().unwrap() > 0));
            // Nothing that the time takes away may be between the two: what is over goes when it is seen.
            std::thread::sleep(Duration::from_millis(100));
            client.must("SCAN 0 COUNT 1000000");
            client.must("SET in-the-backup 1");
            client.must("BACKUP SEAL");
            digest(&mut client)
        });
        client.must("SET behind-the-seal 1");
        assert_eq!(status(&mut client), ("sealed".to_owned(), String::new()));
        let files = listed(&mut client);
        assert!(files.len() >= 3 && files.iter().all(|file| file.is_file()), "{files:?}");
        assert!(files.last().unwrap().ends_with("appendonlydir/appendonly.aof.manifest"));
        let folder = server.data().join("backupdir");
        assert_eq!(files_in(&folder).len(), files.len(), "{way:?}: {:?}", files_in(&folder));
        assert_eq!(check(&folder), 0, "{way:?}");
        holds(&folder, &sealed, &format!("{way:?}"));
        // It is found again, and its server's own data is as it was.
        let live = digest(&mut client);
        server.restart();
        let mut client = server.client();
        if way[0] == "appendonly yes" {
            assert_eq!(digest(&mut client), live, "{way:?}");
        }
        wait_for("the look", WITHIN, || status(&mut client).0 == "sealed");
        assert_eq!(listed(&mut client), files, "{way:?}");
        let refused = client.line("BACKUP START").unwrap();
        assert!(refused.is_error(), "{refused}");
        client.must("BACKUP CLEANUP");
        assert_eq!(status(&mut client).0, "idle");
        assert!(files_in(&folder).is_empty(), "{way:?}: {:?}", files_in(&folder));
        started(&mut client);
        client.must("BACKUP SEAL");
        assert_eq!(status(&mut client).0, "sealed");
    }
}

/// A server on the directory, one on what is restored from a backup of it, and one on what is restored from itself have
/// the state.
fn holds(folder: &Path, state: &str, what: &str) {
    let root = tempfile::tempdir().unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (repository, restored) = (text(&root.path().join("r")), text(&root.path().join("d")));
    done(&["backup", "create", "--from", &text(folder), "--to", &repository]);
    done(&["restore", "--from", &repository, "--dir", &restored]);
    let direct = text(&root.path().join("direct"));
    done(&["restore", "--from", &text(folder), "--dir", &direct]);
    for folder in [folder, Path::new(&restored), Path::new(&direct)] {
        let place = Place::new();
        copy_folder(folder, &place.data());
        let server = Server::start_on(&peers::fastness(), &place, &["enable-debug-command yes"]);
        let mut client = server.client();
        assert_eq!(client.must("EXISTS in-the-backup").int(), Some(1), "{what}");
        assert_eq!(client.must("EXISTS behind-the-seal").int(), Some(0), "{what}");
        assert_eq!(digest(&mut client), state, "{what}");
    }
}

#[test]
fn a_backup_that_is_given_up_or_cut_short_leaves_nothing_that_looks_whole() {
    for way in WAYS {
        let options = [&way[..], &["rdbcompression yes"]].concat();
        let mut server = Server::start(&peers::fastness(), &options);
        let folder = server.data().join("backupdir");
        let mut client = server.client();
        client.must("SET a 1");
        started(&mut client);
        client.must("BACKUP ABORT");
        let aborted = ("failed".to_owned(), "aborted by user".to_owned());
        assert_eq!(status(&mut client), aborted, "{way:?}");
        assert!(files_in(&folder).is_empty(), "{way:?}: {:?}", files_in(&folder));
        started(&mut client);
        client.must("SET b 2");
        server.crash();
        let mut client = server.client();
        assert!(!files_in(&folder).is_empty(), "{way:?}: the crash left files");
        for program in peers::all().into_iter().chain([peers::fastness()]) {
            let place = Place::new();
            copy_folder(&folder, &place.data());
            let started = Server::try_start_on(&program, &place, &["appendonly yes"]);
            assert!(started.is_err(), "{way:?}: {} starts on half a backup", program.name);
        }
        assert_ne!(check(&folder), 0, "{way:?}");
        wait_for("the look", WITHIN, || status(&mut client).0 == "failed");
        client.must("SET a 1");
        // The next one takes their place.
        started(&mut client);
        client.must("BACKUP SEAL");
        assert_eq!(check(&folder), 0, "{way:?}");
        for program in [peers::redis8(), peers::valkey9()].into_iter().flatten() {
            let place = Place::new();
            copy_folder(&folder, &place.data());
            let started = Server::start_on(&program, &place, &["appendonly yes"]);
            assert_eq!(started.client().must("GET a").text().as_deref(), Some("1"));
        }
        client.must("BACKUP CLEANUP");
        // Nothing of others is touched.
        std::fs::write(folder.join("mine"), "x").unwrap();
        let refused = client.line("BACKUP START").unwrap().text().unwrap();
        assert!(refused.contains("not empty"), "{refused}");
        assert_eq!(files_in(&folder), [folder.join("mine")]);
    }
}

#[test]
fn a_backup_of_a_log_that_is_switched_off_fails_and_a_sealed_one_has_its_time() {
    let server = Server::start(&peers::fastness(), &["appendonly yes"]);
    let mut client = server.client();
    started(&mut client);
    client.must("CONFIG SET appendonly no");
    let stopped = ("failed".to_owned(), "appendonly is stopped".to_owned());
    assert_eq!(status(&mut client), stopped);
    client.must("CONFIG SET appendonly yes");
    // Inside of EXEC the snapshot has all of it.
    for line in ["MULTI", "SET before 1", "BACKUP START", "SET after 1", "EXEC"] {
        client.must(line);
    }
    wait_for("the base", WITHIN, || status(&mut client).0 == "incrementing");
    // What answers when the files are whole or gone cannot be answered there.
    for line in ["BACKUP SEAL", "BACKUP ABORT", "BACKUP CLEANUP"] {
        client.must("MULTI");
        assert!(client.line(line).unwrap().is_error(), "{line}");
        assert!(client.line("EXEC").unwrap().is_error(), "{line}");
        assert_eq!(status(&mut client).0, "incrementing");
    }
    client.must("CONFIG SET backup-sealed-ttl 1");
    client.must("BACKUP SEAL");
    wait_for("the end of its time", WITHIN, || status(&mut client).0 == "idle");
    assert!(files_in(&server.data().join("backupdir")).is_empty());
}
