//! The log is switched on, off, or to another policy, while something else goes on: at a start, in a pipeline, beside a
//! save or a rewrite. Nothing that was answered is lost, and nobody is left without an answer.

use std::time::Duration;

use super::support::client::Client;
use super::support::peers;
use super::support::reply::Reply;
use super::support::server::{Place, Server, wait_for};
use super::{FOLDER, MANIFEST, RECORDS, SEGMENT, check, vector};

const PATIENCE: Duration = Duration::from_secs(60);
const DEBUG: &str = "enable-debug-command yes";

fn start(place: &Place, options: &[&str]) -> Server {
    let options: Vec<&str> = [DEBUG, "save "].iter().chain(options).copied().collect();
    Server::start_on(&peers::fastness(), place, &options)
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn info(client: &mut Client, field: &str) -> String {
    let Reply::Bulk(text) = client.must("INFO everything") else { panic!("no text") };
    let text = String::from_utf8(text).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn asked_at_once(client: &mut Client, lines: &[&str]) -> Vec<Reply> {
    client.set_timeout(PATIENCE).unwrap();
    let requests: Vec<Vec<&str>> = lines.iter().map(|line| words(line)).collect();
    client.pipeline(&requests).unwrap()
}

/// What is there comes with a start that has no log, whatever form it has: it is loaded, and saved.
#[test]
fn a_start_without_the_log_has_what_the_log_has() {
    for old in ["", "snapshot", "one file"] {
        let place = Place::new();
        let mut server = start(&place, &["appendonly yes"]);
        let mut client = server.client();
        client.must("SET early 1");
        if old == "snapshot" {
            client.must("SAVE");
            // Whose snapshot is the newer one is told by the second.
            std::thread::sleep(Duration::from_millis(1100));
        }
        client.must("SET late 2");
        server.kill();
        if old == "one file" {
            let folder = place.data().join("appendonlydir");
            let set = "*3\r\n$3\r\nSET\r\n$5\r\nearly\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$4\r\nlate\r\n$1\r\n2\r\n";
            std::fs::remove_dir_all(folder).unwrap();
            std::fs::write(place.data().join("appendonly.aof"), set).unwrap();
        }
        for _ in 0..2 {
            let mut server = start(&place, &["appendonly no"]);
            let mut client = server.client();
            assert_eq!(client.must("GET early"), bulk("1"), "{old}");
            assert_eq!(client.must("GET late"), bulk("2"), "{old}");
            assert_eq!(info(&mut client, "aof_enabled"), "0");
            assert!(place.data().join("dump.rdb").exists(), "{old}: it is the data set now");
            server.kill();
        }
    }
}

/// With a log from the middle of a pipeline on, replies wait for it from there on: the process dies when the first sync
/// behind those of CONFIG SET has ended, and nobody has heard of the write that waited for it.
#[test]
fn replies_wait_for_a_log_from_the_moment_that_it_is_there() {
    for syncs in 1..64 {
        let place = Place::new();
        let mut server = start(&place, &["appendonly no", "appendfsync always"]);
        let mut client = server.client();
        client.must(&format!("DEBUG CRASH-AFTER {syncs} syncs"));
        client.set_timeout(PATIENCE).unwrap();
        let lines = ["CONFIG SET appendonly yes", "SET a 1", "SET b 2"].map(words);
        client.send_all(&lines.each_ref().map(Vec::as_slice)).unwrap();
        let mut heard = Vec::new();
        while let Ok(reply) = client.receive() {
            heard.push(reply);
            if heard.len() == lines.len() {
                panic!("{syncs} syncs were not enough to die, or {heard:?} came before the sync");
            }
        }
        server.kill();
        match heard.len() {
            0 => {}
            1 => return,
            _ => panic!("after {syncs} syncs: {heard:?}"),
        }
    }
    panic!("CONFIG SET appendonly yes takes more syncs than that");
}

/// A reply that waits for a sync which the policy before would have brought gets it all the same.
#[test]
fn nobody_waits_for_a_sync_that_another_policy_would_bring() {
    for policy in ["no", "everysec"] {
        let place = Place::new();
        let server = start(&place, &["appendonly yes", "appendfsync always"]);
        let mut client = server.client();
        for _ in 0..20 {
            let set = format!("CONFIG SET appendfsync {policy}");
            let heard = asked_at_once(&mut client, &["SET a 1", &set, "SET a 2"]);
            assert!(heard.iter().all(|reply| !reply.is_error()), "{heard:?}");
            client.must("CONFIG SET appendfsync always");
        }
    }
}

/// The keyspace is replaced while a save or a rewrite walks it: what is written then is of the new one, and whole.
#[test]
fn a_keyspace_that_is_loaded_anew_is_not_saved_in_part() {
    for (job, load) in [
        ("BGREWRITEAOF", "DEBUG LOADAOF"),
        ("BGREWRITEAOF", "DEBUG RELOAD"),
        ("BGREWRITEAOF", "DEBUG RELOAD NOSAVE"),
        ("BGSAVE", "DEBUG RELOAD"),
        ("BGSAVE", "DEBUG LOADAOF"),
    ] {
        let place = Place::new();
        let mut server = start(&place, &["appendonly yes"]);
        let mut client = server.client();
        client.set_timeout(PATIENCE).unwrap();
        client.must("DEBUG POPULATE 200000");
        client.must("SAVE");
        client.must(job);
        wait_for("the walk", PATIENCE, || {
            info(&mut client, "current_save_keys_processed") != "0"
                || info(&mut client, "async_loading") != "0"
                || (info(&mut client, "aof_rewrite_in_progress") == "0"
                    && info(&mut client, "rdb_bgsave_in_progress") == "0")
        });
        client.must(load);
        assert_eq!(client.must("DBSIZE"), Reply::Int(200_000), "{job}, {load}");
        wait_for("its end", PATIENCE, || {
            info(&mut client, "aof_rewrite_in_progress") == "0"
                && info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        server.kill();
        for appendonly in ["appendonly yes", "appendonly no"] {
            let mut server = start(&place, &[appendonly]);
            let mut client = server.client();
            assert_eq!(client.must("DBSIZE"), Reply::Int(200_000), "{job}, {load}, {appendonly}");
            server.kill();
            let log = place.data().join("appendonlydir");
            if log.exists() {
                std::fs::remove_dir_all(log).unwrap();
            }
        }
    }
}

/// A save under way does not keep the log from being switched on, in a transaction or without; it begins anew.
#[test]
fn the_log_is_switched_on_beside_a_save() {
    for lines in [
        &["MULTI", "CONFIG SET appendonly yes", "SET x 1", "EXEC"][..],
        &["CONFIG SET appendonly yes", "SET x 1"][..],
    ] {
        let place = Place::new();
        let mut server = start(&place, &["appendonly no"]);
        let mut client = server.client();
        client.set_timeout(PATIENCE).unwrap();
        client.must("DEBUG POPULATE 300000");
        client.must("BGSAVE");
        wait_for("the walk", PATIENCE, || info(&mut client, "current_save_keys_processed") != "0");
        let heard = asked_at_once(&mut client, lines);
        assert!(heard.iter().all(|reply| !reply.is_error()), "{heard:?}");
        assert_eq!(info(&mut client, "aof_enabled"), "1");
        wait_for("the save", PATIENCE, || info(&mut client, "rdb_bgsave_in_progress") == "0");
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        assert!(place.data().join("dump.rdb").exists());
        server.kill();
        let mut server = start(&place, &["appendonly yes"]);
        let mut client = server.client();
        assert_eq!(client.must("GET x"), bulk("1"));
        assert_eq!(client.must("DBSIZE"), Reply::Int(300_001));
        server.kill();
    }
}

/// Who goes over from the log to snapshots gets the one that was asked for; a rewrite is over at once.
#[test]
fn the_log_is_switched_off_beside_a_save_or_a_rewrite() {
    let place = Place::new();
    let server = start(&place, &["appendonly yes"]);
    let mut client = server.client();
    client.must("DEBUG POPULATE 100000");
    asked_at_once(&mut client, &["BGSAVE", "CONFIG SET appendonly no"]);
    wait_for("the save", PATIENCE, || info(&mut client, "rdb_bgsave_in_progress") == "0");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    assert!(place.data().join("dump.rdb").exists());
    client.must("CONFIG SET appendonly yes");
    asked_at_once(&mut client, &["BGREWRITEAOF", "CONFIG SET appendonly no"]);
    wait_for("the rewrite", PATIENCE, || info(&mut client, "aof_rewrite_in_progress") == "0");
    client.must("CONFIG SET appendonly yes");
    client.must("BGREWRITEAOF");
    wait_for("another", PATIENCE, || info(&mut client, "aof_rewrite_in_progress") == "0");
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
}

/// What a transaction has done so far is in no log yet.
#[test]
fn a_transaction_loads_nothing_anew() {
    let place = Place::new();
    let mut server = start(&place, &["appendonly yes"]);
    let mut client = server.client();
    for load in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
        asked_at_once(&mut client, &["MULTI", "SET a 1", load, "SET b 2", "EXEC"]);
        assert_eq!(client.must("GET a"), bulk("1"));
    }
    server.kill();
    let mut server = start(&place, &["appendonly yes"]);
    assert_eq!(server.client().must("GET a"), bulk("1"));
    server.kill();
}

/// Redis' log and the snapshot that it saved when it was told to end are of one second: the snapshot has what came last.
#[test]
fn what_redis_saved_in_the_second_of_its_last_record_is_loaded() {
    let Some(redis) = peers::redis8() else { return peers::not_run("no Redis 8") };
    for _ in 0..3 {
        let place = Place::new();
        let options = ["appendonly yes", "aof-timestamp-enabled yes", "save 3600 1"];
        let mut server = Server::start_on(&redis, &place, &options);
        let mut client = server.client();
        for line in ["SET a 1", "CONFIG SET appendonly no", "SET b 2"] {
            client.must(line);
        }
        server.stop();
        let mut server = start(&place, &["appendonly no"]);
        assert_eq!(server.client().must("GET a"), bulk("1"));
        assert_eq!(server.client().must("GET b"), bulk("2"));
        server.kill();
    }
}

const ALWAYS: &[&str] = &["appendonly yes", "appendfsync always"];

/// The snapshots that starts have put aside.
fn kept(place: &Place) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("dump.rdb.not-loaded-at-")).collect()
}

fn value_after_start(place: &Place, options: &[&str], key: &str) -> Reply {
    let mut server = start(place, options);
    let value = server.client().must(&format!("GET {key}"));
    server.kill();
    value
}

/// What was saved after the log was switched off is in no log: it is told of, and no save takes its place.
#[test]
fn a_snapshot_newer_than_the_log_that_is_loaded_is_kept_and_told_of() {
    // The log is switched off by a client, or by a start.
    for by_start in [false, true] {
        let place = Place::new();
        let mut server = start(&place, ALWAYS);
        let mut client = server.client();
        client.must("SET k 1");
        if by_start {
            server.kill();
            server = start(&place, &["appendonly no"]);
            client = server.client();
        } else {
            client.must("CONFIG SET appendonly no");
        }
        client.must("SET k 2");
        client.must("SAVE");
        server.kill();
        let (code, report) = check(&place.data());
        let notes = report["notes"].to_string();
        assert!(code == 0 && notes.contains("behind the end of the log"), "{report}");
        assert!(notes.contains("--appendonly no"), "{report}");

        let mut server = start(&place, ALWAYS);
        assert_eq!(server.client().must("GET k"), bulk("1"), "as Redis does");
        let printed = place.printed();
        for word in
            ["dump.rdb (saved 2", MANIFEST, "(last written 2", "is kept as dump.rdb.not-loaded-at-"]
        {
            assert!(printed.contains(word), "{word}: {printed}");
        }
        server.client().must("SAVE");
        server.kill();
        assert_eq!(value_after_start(&place, ALWAYS, "k"), bulk("1"));
        let [kept] = kept(&place).try_into().unwrap();
        // As it says.
        std::fs::remove_dir_all(place.data().join(FOLDER)).unwrap();
        std::fs::rename(kept, place.data().join("dump.rdb")).unwrap();
        assert_eq!(value_after_start(&place, ALWAYS, "k"), bulk("2"));
    }
}

/// A server whose log is on saves now and then, also when nothing was written for long.
#[test]
fn a_snapshot_beside_a_log_that_is_on_is_nothing_to_tell_of() {
    let place = Place::new();
    let mut server = start(&place, ALWAYS);
    let mut client = server.client();
    client.must("SET k 1");
    client.must("SAVE");
    client.must("SET k 2");
    server.kill();
    for round in 0..3 {
        // Each of these has a segment that nothing is written to.
        let mut server = start(&place, ALWAYS);
        let mut client = server.client();
        assert_eq!(client.must("GET k"), bulk("2"));
        if round < 2 {
            client.must("SAVE");
        }
        server.kill();
        assert_eq!(check(&place.data()).1["notes"].to_string().matches("dump.rdb").count(), 0);
    }
    // What was written while it was off is in the base of the next one.
    let mut server = start(&place, ALWAYS);
    let mut client = server.client();
    for line in
        ["CONFIG SET appendonly no", "SET k 3", "SAVE", "CONFIG SET appendonly yes", "SET k 4"]
    {
        client.must(line);
    }
    wait_for("the base", PATIENCE, || info(&mut client, "aof_rewrite_in_progress") == "0");
    client.must("SAVE");
    server.kill();
    assert_eq!(value_after_start(&place, ALWAYS, "k"), bulk("4"));
    assert_eq!(kept(&place), [""; 0].map(std::path::PathBuf::from));
}

/// Redis' files tell no positions: its log may have been switched off when it ends long before the snapshot.
#[test]
fn a_snapshot_of_redis_is_kept_when_the_log_beside_it_ended_long_before() {
    for stale in [false, true] {
        let place = Place::new();
        std::fs::create_dir(place.data().join(FOLDER)).unwrap();
        let base = place.data().join("appendonlydir/appendonly.aof.1.base.rdb");
        std::fs::copy(vector("rdb-redis-8.0.rdb"), &base).unwrap();
        std::fs::copy(vector("rdb-redis-8.0.rdb"), place.data().join("dump.rdb")).unwrap();
        std::fs::write(place.data().join(SEGMENT), RECORDS).unwrap();
        let list = "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n";
        std::fs::write(place.data().join(MANIFEST), list).unwrap();
        if stale {
            let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            for path in [base, place.data().join(SEGMENT)] {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(long_ago).unwrap();
            }
        }
        let (code, report) = check(&place.data());
        let is_told = report["notes"].to_string().contains("2001-09-09 01:46:40 UTC");
        assert_eq!((code, is_told), (0, stale), "{report}");
        assert_eq!(value_after_start(&place, ALWAYS, "a"), bulk("1"));
        assert_eq!(kept(&place).len(), usize::from(stale), "{}", place.printed());
        assert_eq!(place.printed().contains("last written 2001-09-09 01:46:40 UTC"), stale);
    }
}

/// P8: a wrong name in the configuration is no empty data set.
#[test]
fn data_under_other_names_than_the_configured_refuses_an_empty_start() {
    let place = Place::new();
    let mut server = start(&place, ALWAYS);
    server.client().must("SET k 1");
    server.kill();
    let refused = |options: &[&str], word: &str| {
        let options: Vec<&str> = ["save "].iter().chain(options).copied().collect();
        let tried = Server::try_start_on(&peers::fastness(), &place, &options);
        let why = tried.err().unwrap_or_else(|| panic!("{options:?} start empty"));
        assert!(why.contains(word) && why.contains("next: "), "{word}: {why}");
    };
    let log = "--appenddirname appendonlydir --appendfilename appendonly.aof";
    refused(&["appendonly yes", "appenddirname other"], log);
    refused(&["appendonly yes", "appendfilename foo.aof"], log);
    refused(&["appendonly no", "appenddirname other"], log);
    assert_eq!(value_after_start(&place, ALWAYS, "k"), bulk("1"));

    let mut server = start(&place, &["appendonly no"]);
    server.client().must("SAVE");
    server.kill();
    std::fs::remove_dir_all(place.data().join(FOLDER)).unwrap();
    for log in ["appendonly no", "appendonly yes"] {
        refused(&[log, "dbfilename x.rdb"], "--dbfilename dump.rdb");
    }
    // A copy that somebody made is told of, and nothing more.
    let copy = place.data().join("dump.rdb.bak");
    std::fs::rename(place.data().join("dump.rdb"), copy).unwrap();
    assert_eq!(value_after_start(&place, ALWAYS, "k"), Reply::NilBulk);
    assert!(place.printed().contains("dump.rdb.bak looks like data"), "{}", place.printed());
}
