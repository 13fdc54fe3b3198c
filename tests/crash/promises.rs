//! Promises that are easier shown one by one than found by chance: what each client is told while the log is
//! slow, full or failed.

use std::time::Duration;

use fastness::config::AppendFsync;
use fastness::disk::sim::{CrashMode, Fault, SimDisk};
use fastness::rng::SeededRng;

use crate::model::{difference, state_of};
use crate::plan::{Step, words};
use crate::sim::{Sim, later, recover};

fn start(disk: &SimDisk, policy: AppendFsync) -> Sim {
    crate::fix_hashes();
    Sim::start(disk, policy, 3, 1, None).unwrap().without_filler()
}

impl Sim {
    fn ask(&mut self, client: usize, request: &[&str]) {
        self.step(&Step::Request(client, words(request))).unwrap();
        self.step(&Step::TurnEnd).unwrap();
    }

    fn turn(&mut self, step: &Step) {
        self.step(step).unwrap();
    }

    /// The requests that were answered, with the answers, since the last call.
    fn heard(&mut self) -> Vec<String> {
        self.told.drain(..).map(|told| told.story).collect()
    }
}

#[test]
fn everysec_is_a_bound_for_writers_and_nothing_to_readers() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Everysec);
    sim.ask(0, &["SET", "k", "1"]);
    assert_eq!(sim.heard(), ["SET k 1 -> \"+OK\\r\\n\""], "handed to the kernel is enough");
    // The disk takes its time: no sync returns.
    sim.turn(&Step::Tick(Duration::from_millis(2500)));
    sim.ask(0, &["SET", "k", "2"]);
    assert!(sim.heard().is_empty(), "the oldest unsynced write is too old");
    sim.ask(1, &["GET", "k"]);
    assert_eq!(sim.heard(), ["GET k -> \"$1\\r\\n2\\r\\n\""]);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard(), ["SET k 2 -> \"+OK\\r\\n\""]);
    sim.ask(0, &["SET", "k", "3"]);
    assert_eq!(sim.heard().len(), 1, "all is synced: the bound starts anew");
}

/// However long a sync takes, who asks for something that is safe is answered.
#[test]
fn a_sync_under_way_holds_up_no_reader_of_what_is_safe() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["MSET", "k", "1", "other", "1"]);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 1);
    // No sync returns from here on.
    sim.ask(0, &["SET", "k", "2"]);
    sim.turn(&Step::Tick(Duration::from_millis(2500)));
    sim.ask(1, &["GET", "other"]);
    assert_eq!(sim.heard(), ["GET other -> \"$1\\r\\n1\\r\\n\""]);
    sim.ask(1, &["GET", "k"]);
    assert!(sim.heard().is_empty(), "what k says now may still be lost");
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 2);
}

#[test]
fn a_connection_chooses_what_its_replies_mean() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["CLIENT", "DURABILITY", "no"]);
    sim.ask(1, &["CLIENT", "DURABILITY"]);
    assert_eq!(sim.heard().len(), 2);
    sim.ask(0, &["SET", "cache", "1"]);
    sim.ask(1, &["SET", "payment", "1"]);
    // Written and not synced: the sync fails.
    disk.fail_at(disk.operation_count() + 1, Fault::SyncKeepsPages);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard(), ["SET cache 1 -> \"+OK\\r\\n\""]);
    let refused = std::mem::take(&mut sim.refusals);
    assert!(refused.len() == 1 && refused[0].contains("unknown outcome"), "{refused:?}");
}

#[test]
fn a_failed_sync_refuses_writes_until_all_is_written_anew() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["SET", "safe", "1"]);
    sim.turn(&Step::LogRound);
    sim.ask(0, &["SET", "lost", "1"]);
    disk.fail_at(disk.operation_count() + 1, Fault::SyncDropsPages);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 1);
    sim.ask(1, &["SET", "refused", "1"]);
    sim.ask(1, &["GET", "safe"]);
    sim.ask(1, &["GET", "lost"]);
    sim.ask(2, &["WAITAOF", "1", "0", "0"]);
    assert_eq!(
        sim.heard(),
        ["GET safe -> \"$1\\r\\n1\\r\\n\"", "WAITAOF 1 0 0 -> \"*2\\r\\n:1\\r\\n:0\\r\\n\""]
    );
    sim.ask(0, &["WAITAOF", "1", "0", "0"]);
    assert!(sim.heard().is_empty(), "the write that WAITAOF waits for is not on disk");
    let refused = std::mem::take(&mut sim.refusals);
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused[0].contains("unknown outcome") && refused[2].contains("not durable"));
    assert!(refused[1].contains("by itself"), "{refused:?}");
    assert!(sim.settle().unwrap(), "the server gets well without a person");
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard(), ["WAITAOF 1 0 0 -> \"*2\\r\\n:1\\r\\n:0\\r\\n\""]);
    sim.ask(1, &["GET", "lost"]);
    sim.ask(1, &["SET", "taken", "1"]);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 2);
    assert!(sim.refusals.is_empty());
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.turn(&Step::Room(Some(40)));
    sim.ask(0, &["SET", "k", &"x".repeat(500)]);
    sim.turn(&Step::LogRound);
    sim.ask(1, &["SET", "l", "1"]);
    let refused = std::mem::take(&mut sim.refusals);
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains("unknown outcome"), "{refused:?}");
    assert!(refused[1].contains("the disk is full: 40 bytes free, 55"), "{refused:?}");
    sim.turn(&Step::Room(None));
    sim.turn(&Step::LogRound);
    sim.ask(1, &["SET", "l", "2"]);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard(), ["SET l 2 -> \"+OK\\r\\n\""]);
    assert!(sim.refusals.is_empty());
}

/// An operator who is told that the disk is full must be able to end the server; nothing that was acknowledged is lost.
#[test]
fn a_server_on_a_full_disk_can_be_ended() {
    for policy in [AppendFsync::Always, AppendFsync::Everysec] {
        let disk = SimDisk::new();
        let mut sim = start(&disk, policy);
        sim.ask(0, &["SET", "acknowledged", "1"]);
        sim.turn(&Step::LogRound);
        assert_eq!(sim.heard().len(), 1);
        sim.turn(&Step::Room(Some(40)));
        sim.ask(0, &["SET", "k", &"x".repeat(500)]);
        sim.turn(&Step::LogRound);
        assert!(std::mem::take(&mut sim.refusals)[0].contains("unknown outcome"));
        assert_eq!(sim.shut_down(), Ok(()), "{policy:?}");
        disk.set_capacity(None);
        disk.crash(CrashMode::NothingUnsynced, &mut SeededRng::new(1));
        let found = recover(&disk, policy, &later(), 1).unwrap();
        assert_eq!(found.ks.len(0), 1, "{policy:?}");
    }
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Everysec);
    sim.ask(0, &["SET", "k", "1"]);
    disk.fail_at(disk.operation_count() + 1, Fault::SyncDropsPages);
    assert!(sim.shut_down().is_err(), "what was acknowledged is not on the disk");
}

#[test]
fn what_expires_while_nothing_can_be_written_reads_as_gone() {
    for full in [false, true] {
        let disk = SimDisk::new();
        let mut sim = start(&disk, AppendFsync::Always);
        sim.ask(0, &["RPUSH", "soon", "old"]);
        sim.ask(0, &["PEXPIRE", "soon", "100"]);
        sim.turn(&Step::LogRound);
        if full {
            sim.turn(&Step::Room(Some(40)));
        } else {
            disk.fail_at(disk.operation_count() + 1, Fault::SyncDropsPages);
        }
        sim.ask(0, &["SET", "other", &"x".repeat(500)]);
        sim.turn(&Step::LogRound);
        sim.heard();
        assert_eq!(std::mem::take(&mut sim.refusals).len(), 1);
        sim.turn(&Step::Tick(Duration::from_millis(200)));
        sim.ask(1, &["EXISTS", "soon"]);
        sim.ask(1, &["LRANGE", "soon", "0", "-1"]);
        sim.ask(1, &["TTL", "soon"]);
        assert_eq!(
            sim.heard(),
            [
                "EXISTS soon -> \":0\\r\\n\"",
                "LRANGE soon 0 -1 -> \"*0\\r\\n\"",
                "TTL soon -> \":-2\\r\\n\""
            ]
        );
        // When it can, the log gets the removal before what is made anew.
        sim.turn(&Step::Room(None));
        sim.turn(&Step::LogRound);
        assert!(sim.settle().unwrap());
        sim.turn(&Step::LogRound);
        sim.ask(1, &["RPUSH", "soon", "new"]);
        sim.turn(&Step::LogRound);
        sim.ask(1, &["LRANGE", "soon", "0", "-1"]);
        assert_eq!(sim.heard().pop().unwrap(), "LRANGE soon 0 -1 -> \"*1\\r\\n$3\\r\\nnew\\r\\n\"");
        assert!(sim.refusals.is_empty(), "{:?}", sim.refusals);
    }
}

/// Databases that are exchanged or emptied while a rewrite walks them are in the new base once, as they were.
#[test]
fn a_rewrite_holds_its_instant_whatever_happens_to_databases() {
    let upsets: [&[&[&str]]; 10] = [
        &[&["SWAPDB", "0", "2"]],
        &[&["SWAPDB", "1", "2"], &["FLUSHALL"], &["SET", "c1", "new"], &["SWAPDB", "0", "2"]],
        &[&["SWAPDB", "0", "1"], &["SET", "a1", "new"]],
        &[&["SWAPDB", "1", "3"], &["SWAPDB", "0", "3"], &["DEL", "a2"]],
        &[&["FLUSHALL"], &["SET", "a3", "new"], &["SET", "b3", "new"]],
        &[&["FLUSHDB", "ASYNC"], &["SWAPDB", "0", "1"], &["SET", "a4", "new"]],
        &[&["FLUSHALL"], &["SWAPDB", "0", "2"], &["SET", "a5", "new"], &["FLUSHALL"]],
        &[
            &["MOVE", "a6", "3"],
            &["COPY", "a7", "a7", "DB", "2", "REPLACE"],
            &["RENAME", "a8", "z"],
        ],
        &[&["SET", "a9", "new"], &["DEBUG", "LOADAOF"], &["SET", "b9", "new"]],
        &[&["DEBUG", "RELOAD"], &["SWAPDB", "0", "1"]],
    ];
    for upset in upsets {
        for after in 1..14 {
            let disk = SimDisk::new();
            let mut sim = start(&disk, AppendFsync::Always);
            for (db, letter) in ["0", "1", "2"].into_iter().zip(["a", "b", "c"]) {
                sim.ask(0, &["SELECT", db]);
                let keys: Vec<String> = (0..40).map(|number| format!("{letter}{number}")).collect();
                let pairs = keys.iter().flat_map(|key| [key.as_str(), "old"]);
                let fill: Vec<&str> = std::iter::once("MSET").chain(pairs).collect();
                sim.ask(0, &fill);
            }
            sim.ask(0, &["SELECT", "0"]);
            sim.turn(&Step::LogRound);
            sim.ask(0, &["BGREWRITEAOF"]);
            for _ in 0..after {
                sim.turn(&Step::Persist);
            }
            for request in upset {
                sim.ask(0, request);
            }
            assert!(sim.settle().unwrap());
            let wanted = sim.model.latest();
            let left = disk.crash(CrashMode::NothingUnsynced, &mut SeededRng::new(1));
            let found = recover(&left, AppendFsync::Always, &later(), 1);
            let found = found.unwrap_or_else(|why| panic!("{upset:?} after {after}: {why}"));
            let difference = difference(&wanted, &state_of(&found.ks));
            assert_eq!(difference, "", "{upset:?} after {after} stages");
        }
    }
}

#[test]
fn nobody_hears_of_a_write_that_may_be_lost() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["CONFIG", "SET", "notify-keyspace-events", "K$"]);
    sim.ask(1, &["SUBSCRIBE", "__keyspace@0__:k"]);
    sim.ask(2, &["SUBSCRIBE", "news"]);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 3);
    // An event of a write, and a message of who has just written.
    sim.ask(0, &["SET", "k", "1"]);
    sim.ask(0, &["PUBLISH", "news", "k is 1"]);
    assert!(sim.heard().is_empty(), "nothing is safe yet");
    sim.turn(&Step::LogRound);
    let heard = sim.heard();
    assert!(heard.contains(&"__keyspace@0__:k: set".to_owned()), "{heard:?}");
    assert!(heard.contains(&"news: k is 1".to_owned()), "{heard:?}");
    // Who has nothing unsafe behind is heard at once, events are not.
    sim.ask(0, &["PUBLISH", "news", "at once"]);
    sim.ask(2, &["PING"]);
    assert!(sim.heard().contains(&"news: at once".to_owned()));
    sim.ask(0, &["SET", "k", "2"]);
    assert!(!sim.heard().iter().any(|story| story.starts_with("__key")));
    // In a transaction a message is part of what must be safe.
    sim.ask(0, &["MULTI"]);
    sim.ask(0, &["SET", "k", "3"]);
    sim.ask(0, &["PUBLISH", "news", "k is 3"]);
    sim.ask(0, &["EXEC"]);
    sim.heard();
    // The sync fails: the messages were never said.
    disk.fail_at(disk.operation_count() + 1, Fault::SyncDropsPages);
    sim.turn(&Step::LogRound);
    let heard = sim.heard();
    let message = |story: &&String| story.starts_with("news:") || story.starts_with("__key");
    assert_eq!(heard.iter().filter(message).count(), 0, "{heard:?}");
    assert!(!sim.refusals.is_empty(), "the writer is told");
}

#[test]
fn a_reserve_is_kept_for_the_rewrite_that_makes_room() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["CONFIG", "SET", "aof-disk-reserve", "20000"]);
    for _ in 0..40 {
        sim.ask(0, &["SET", "k", &"x".repeat(400)]);
        sim.turn(&Step::LogRound);
    }
    assert_eq!(sim.heard().len(), 41);
    sim.turn(&Step::Room(Some(19_000)));
    sim.turn(&Step::Tick(Duration::from_millis(100)));
    sim.ask(1, &["SET", "l", "1"]);
    sim.ask(1, &["GET", "l"]);
    let refused = std::mem::take(&mut sim.refusals);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("19000 bytes free, 20000 needed"), "{refused:?}");
    assert_eq!(sim.heard().len(), 1, "reads go on");
    // What was written over and over is gone from the log: there is room without anybody's doing.
    assert!(sim.settle().unwrap());
    sim.turn(&Step::Tick(Duration::from_millis(100)));
    sim.ask(1, &["SET", "l", "2"]);
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 1);
    assert!(sim.refusals.is_empty(), "{:?}", sim.refusals);
}

#[test]
fn a_log_that_may_not_grow_is_rewritten_and_then_refused() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["CONFIG", "SET", "aof-max-size", "10000"]);
    let mut number = 0;
    let mut write = |sim: &mut Sim, key: &str| {
        number += 1;
        sim.ask(0, &["SET", &format!("{key}{number}"), &format!("{number}-").repeat(150)]);
        sim.turn(&Step::LogRound);
        sim.turn(&Step::Tick(Duration::from_millis(100)));
    };
    for _ in 0..200 {
        write(&mut sim, "k");
        if !sim.refusals.is_empty() {
            break;
        }
    }
    let refused = std::mem::take(&mut sim.refusals);
    assert!(refused[0].contains("aof-max-size allows 10000"), "{refused:?}");
    sim.ask(0, &["CONFIG", "SET", "aof-max-size", "0"]);
    sim.turn(&Step::Tick(Duration::from_millis(100)));
    write(&mut sim, "k");
    assert!(sim.refusals.is_empty(), "{:?}", sim.refusals);
}

/// A rewrite that fails is tried again, after the third failure in a row ever more rarely; when it can, it ends that.
#[test]
fn rewrites_that_fail_are_tried_again_ever_more_rarely() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["CONFIG", "SET", "auto-aof-rewrite-min-size", "1000000"]);
    for _ in 0..40 {
        sim.ask(0, &["SET", "k", &"x".repeat(400)]);
        sim.turn(&Step::LogRound);
    }
    sim.heard();
    let failures = |sim: &mut Sim| -> u64 {
        sim.ask(1, &["INFO", "persistence"]);
        let heard = sim.heard().concat();
        let (_, rest) = heard.split_once("aof_rewrites_consecutive_failures:").unwrap();
        rest.split('\\').next().unwrap().parse().unwrap()
    };
    assert_eq!(failures(&mut sim), 0);
    // No room for another file. The log itself has nothing to write.
    sim.turn(&Step::Room(Some(0)));
    let often = ["auto-aof-rewrite-min-size", "1000", "auto-aof-rewrite-percentage", "100"];
    sim.ask(0, &[&["CONFIG", "SET"][..], &often].concat());
    let mut tries = Vec::new();
    for second in 0..1000 {
        sim.turn(&Step::Tick(Duration::from_secs(1)));
        for _ in 0..8 {
            sim.turn(&Step::Persist);
            sim.turn(&Step::LogRound);
        }
        if failures(&mut sim) > tries.len() as u64 {
            tries.push(second);
        }
    }
    let waits: Vec<i32> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 5 && waits[..2].iter().all(|wait| *wait <= 2), "{tries:?}");
    for (wait, expected) in waits[2..].iter().zip([60, 120, 240, 480]) {
        // Steps between the ticks take time, too.
        assert!((expected * 98 / 100..expected + 3).contains(wait), "{tries:?}");
    }
    sim.turn(&Step::Room(None));
    sim.turn(&Step::Tick(Duration::from_secs(3600)));
    assert!(sim.settle().unwrap());
    assert_eq!(failures(&mut sim), 0);
}

/// What tells of a change without showing a value waits for it as a value would: a transaction that is given up for it,
/// the end of a wait, a library that is there.
#[test]
fn replies_without_a_value_wait_for_what_they_tell_of() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(1, &["CLIENT", "ID"]);
    let id = sim.heard().pop().unwrap();
    let id: String = id.rsplit(':').next().unwrap().chars().filter(char::is_ascii_digit).collect();
    sim.ask(0, &["RPUSH", "l", "a"]);
    sim.turn(&Step::LogRound);
    sim.ask(1, &["WATCH", "k"]);
    assert_eq!(sim.heard().len(), 2);

    sim.ask(0, &["SET", "k", "1"]);
    sim.ask(1, &["MULTI"]);
    sim.ask(1, &["GET", "q"]);
    assert_eq!(sim.heard().len(), 2, "what is queued tells of nothing");
    sim.ask(1, &["EXEC"]);
    assert!(sim.heard().is_empty(), "that it is given up tells of the SET");
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 2);

    sim.ask(0, &["DEL", "l"]);
    sim.ask(1, &["BLPOP", "l", "0"]);
    sim.ask(2, &["CLIENT", "UNBLOCK", &id]);
    let heard = sim.heard();
    assert!(
        !heard.iter().any(|story| story.contains("LPOP")),
        "the list is not gone yet: {heard:?}"
    );
    sim.turn(&Step::LogRound);
    assert!(sim.heard().len() >= 2);

    let library = "#!lua name=l\nredis.register_function('f', function() return 7 end)";
    sim.ask(0, &["MULTI"]);
    sim.ask(0, &["FUNCTION", "LOAD", library]);
    sim.ask(0, &["FCALL", "f", "0"]);
    assert_eq!(sim.heard().len(), 3);
    sim.ask(0, &["EXEC"]);
    sim.ask(1, &["FCALL", "f", "0"]);
    sim.ask(2, &["FUNCTION", "LOAD", library]);
    assert!(sim.heard().is_empty(), "the library may be lost still");
    sim.turn(&Step::LogRound);
    assert_eq!(sim.heard().len(), 3);
}

/// HPERSIST of a field whose time is over does nothing, for ever.
#[test]
fn a_field_that_is_over_does_not_come_back_by_hpersist() {
    let disk = SimDisk::new();
    let mut sim = start(&disk, AppendFsync::Always);
    sim.ask(0, &["HSET", "h", "f1", "v1", "f2", "v2"]);
    sim.ask(0, &["HPEXPIRE", "h", "100000", "FIELDS", "1", "f2"]);
    sim.ask(0, &["HPEXPIRE", "h", "2", "FIELDS", "1", "f1"]);
    sim.turn(&Step::SetClock(10));
    sim.ask(0, &["HPERSIST", "h", "FIELDS", "2", "f1", "f2"]);
    sim.turn(&Step::LogRound);
    let heard = sim.heard();
    assert!(heard.last().unwrap().contains("*2\\r\\n:-2\\r\\n:1"), "{heard:?}");
    let left = disk.crash(CrashMode::NothingUnsynced, &mut SeededRng::new(1));
    let mut found = recover(&left, AppendFsync::Always, &later(), 1).unwrap();
    let hash = found.ks.read::<fastness::types::Hash>(0, b"h").unwrap().unwrap();
    assert_eq!(hash.field_expire(b"f2"), Some(None));
    assert_ne!(hash.field_expire(b"f1"), Some(None), "it has no time any more");
}
