//! `fastness repair`, from the outside: whatever is done to a directory, afterwards it is sound, a server starts
//! on it with everything that was not in the damaged place, and the old files are still there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::client::Client;
use super::support::peers;
use super::support::rng::Rng;
use super::support::server::{Place, Server, copy_folder};
use super::{FOLDER, MANIFEST, SEGMENT, check, content, redis_directory, vector};

fn repair(path: &Path, options: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["repair", "--json"])
        .args(options)
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), value)
}

const OPTIONS: &[&str] = &["appendonly yes", "save ", "auto-aof-rewrite-percentage 0"];

/// Values of several kinds; each key is written once, so what is there is right or missing.
fn fill(client: &mut Client, name: &str) {
    for n in 0..40 {
        client.must(&format!("SET {name}:s{n} value-{n}"));
        if n % 4 == 0 {
            client.must("MULTI");
            client.must("SELECT 1");
            client.must(&format!("SET {name}:t{n} a"));
            client.must(&format!("SET {name}:u{n} b"));
            client.must("SELECT 0");
            client.must("EXEC");
            client.must(&format!("RPUSH {name}:l{n} a b c"));
        }
    }
}

/// A directory with a base and two segments that were closed, and what it holds.
fn sound() -> (Place, BTreeMap<String, String>) {
    sound_in("zstd")
}

/// With a base in one form or the other (`rdbcompression`).
fn sound_in(compression: &str) -> (Place, BTreeMap<String, String>) {
    let place = Place::new();
    let compression = format!("rdbcompression {compression}");
    let options = [OPTIONS, &[compression.as_str()]].concat();
    let mut server = Server::start_on(&peers::fastness(), &place, &options);
    let mut client = server.client();
    fill(&mut client, "base");
    client.must("BGREWRITEAOF");
    super::support::server::wait_for("rewrite", std::time::Duration::from_secs(20), || {
        let info = client.must("INFO persistence").text().unwrap();
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrites:1")
    });
    fill(&mut client, "first");
    server.restart();
    let mut client = server.client();
    fill(&mut client, "second");
    let data = dump(&mut client);
    server.stop();
    (place, data)
}

/// All keys of databases 0 and 1, with their values as text.
fn dump(client: &mut Client) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for db in 0..2 {
        client.must(&format!("SELECT {db}"));
        for key in client.must("KEYS *").items() {
            let key = key.text().unwrap();
            let value = match client.must(&format!("TYPE {key}")).text().unwrap().as_str() {
                "list" => format!("{:?}", client.must(&format!("LRANGE {key} 0 -1"))),
                _ => {
                    let value = client.must(&format!("GET {key}"));
                    value.text().unwrap_or_else(|| format!("{value:?}"))
                }
            };
            found.insert(format!("{db}/{key}"), value);
        }
    }
    found
}

/// Starts a server on a repaired directory and compares; returns how many keys are missing.
fn lost(place: &Place, wanted: &BTreeMap<String, String>, what: &str) -> usize {
    let started = Server::try_start_on(&peers::fastness(), place, OPTIONS);
    let mut server = started.unwrap_or_else(|why| panic!("{what}: {why}"));
    let found = dump(&mut server.client());
    server.kill();
    let wrong = found.iter().filter(|(key, value)| wanted.get(*key) != Some(value)).count();
    // A snapshot has one checksum for all of it: which of its values is wrong nobody can tell.
    if what.contains(".rdb") {
        return wanted.len() - (found.len() - wrong);
    }
    assert_eq!(wrong, 0, "{what}: {found:?}");
    for key in wanted.keys().filter(|key| key.contains(":t")) {
        let other = key.replace(":t", ":u");
        assert_eq!(found.contains_key(key), found.contains_key(&other), "{what}: half of {key}");
    }
    wanted.len() - found.len()
}

fn files(data: &Path) -> Vec<PathBuf> {
    let all = content(&data.join(FOLDER)).into_keys();
    all.filter(|path| fs::metadata(path).unwrap().len() > 64).collect()
}

/// Repairs `place`, damaged as `what` says, and looks at everything; returns how many keys are lost.
fn mend(place: &Place, wanted: &BTreeMap<String, String>, what: &str) -> usize {
    let data = place.data();
    let before = content(&data);
    let (code, report) = check(&data);
    assert_eq!(code, 1, "{what}: {report}");
    let (code, plan) = repair(&data, &[]);
    assert_eq!((code, &plan["applied"]), (1, &false.into()), "{what}: {plan}");
    assert_eq!(content(&data), before, "{what}: a plan changes nothing");
    let (code, done) = repair(&data, &["--apply"]);
    let (_, report) = check(&data);
    assert_eq!(code, 0, "{what}: {done} {report}");
    assert_eq!(
        (&done["verdict"], &report["verdict"]),
        (&"sound".into(), &"sound".into()),
        "{what}"
    );
    let left: Vec<Vec<u8>> = content(&data).into_values().collect();
    for (path, bytes) in before.into_iter().filter(|(path, _)| !path.ends_with("fastness.lock")) {
        assert!(left.contains(&bytes), "{what}: {} is gone", path.display());
    }
    let (code, again) = repair(&data, &["--apply"]);
    assert_eq!((code, &again["needed"]), (0, &false.into()), "{what}: {again}");
    lost(place, wanted, what)
}

fn damaged(sound: &Place, change: impl FnOnce(&Path)) -> Place {
    let place = Place::new();
    copy_folder(&sound.data(), &place.data());
    change(&place.data());
    place
}

#[test]
fn whatever_is_flipped_zeroed_or_cut_only_what_is_there_is_lost() {
    only_what_is_damaged_is_lost("yes", |_| 0);
}

/// The base's keys are in one frame of zstd, which a flipped bit costs as a whole.
#[test]
fn whatever_is_flipped_zeroed_or_cut_in_a_container_costs_its_frame() {
    only_what_is_damaged_is_lost("zstd", |name| if name.contains(".base.") { 70 } else { 0 });
}

/// `frame` says how many keys a file's frame has that may go with any byte of it.
fn only_what_is_damaged_is_lost(compression: &str, frame: fn(&str) -> usize) {
    let (whole, wanted) = sound_in(compression);
    let seed = super::support::number_from_env("SEED").unwrap_or(20_261_122);
    let mut rng = Rng::new(seed);
    let mut tried = 0;
    for path in files(&whole.data()) {
        let name = path.strip_prefix(whole.data()).unwrap().to_owned();
        let len = fs::metadata(&path).unwrap().len() as usize;
        for (kind, most) in [("flip", 24), ("zero", 120), ("cut", 400)] {
            for _ in 0..super::support::number_from_env("ROUNDS").unwrap_or(2) {
                let at = rng.below(len - 1);
                let what = format!("{kind} at {at} of {}, SEED={seed}", name.display());
                let place = damaged(&whole, |data| {
                    let mut bytes = fs::read(data.join(&name)).unwrap();
                    match kind {
                        "flip" => bytes[at] ^= 1 << (at % 8),
                        "zero" => {
                            let start = at / 512 * 512;
                            let end = (start + 512).min(len);
                            bytes[start..end].fill(0);
                        }
                        _ => bytes.truncate(at),
                    }
                    fs::write(data.join(&name), bytes).unwrap();
                });
                if check(&place.data()).0 == 0 {
                    continue;
                }
                tried += 1;
                let lost = mend(&place, &wanted, &what);
                let most = frame(&name.to_string_lossy()).max(most);
                assert!(lost <= most, "{what}: {lost} of {} keys lost", wanted.len());
            }
        }
    }
    assert!(tried >= 12, "{tried}");
}

#[test]
fn missing_files_cost_what_was_in_them_and_a_missing_manifest_nothing() {
    let (whole, wanted) = sound();
    for path in files(&whole.data()) {
        let name = path.strip_prefix(whole.data()).unwrap().to_owned();
        let place = damaged(&whole, |data| fs::remove_file(data.join(&name)).unwrap());
        let lost = mend(&place, &wanted, &format!("{} is missing", name.display()));
        let manifest = name.ends_with(MANIFEST.rsplit('/').next().unwrap());
        assert_eq!(lost, if manifest { 0 } else { wanted.len() / 3 }, "{}", name.display());
    }
}

/// Found by `SEED=3 ROUNDS=25` of the test above: with the end of the base's line its position was lost, and with that
/// the segment of the next line.
#[test]
fn a_byte_of_the_manifest_costs_nothing_wherever_it_is() {
    let (whole, wanted) = sound_in("zstd");
    let bytes = fs::read(whole.data().join(MANIFEST)).unwrap();
    for at in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at) {
        let place = damaged(&whole, |data| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x20;
            fs::write(data.join(MANIFEST), bytes).unwrap();
        });
        assert_eq!(mend(&place, &wanted, &format!("end of line at {at}")), 0);
    }
}

/// Room that was made in a segment and rotted after the log went on in the next one: a server starts as it is, `check`
/// says it, and `repair` takes it out.
#[test]
fn rot_behind_the_last_frame_of_a_segment_that_was_left_costs_nothing() {
    let (place, wanted) = sound();
    let segments = files(&place.data());
    let mut segments = segments.iter().filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
    let first = segments.next().unwrap();
    assert!(segments.next().is_some(), "another one follows");
    let mut bytes = fs::read(first).unwrap();
    let mut filler = [&[b'#'; 511][..], b"\n"].concat().repeat(4);
    bytes.append(&mut filler.clone());
    fs::write(first, &bytes).unwrap();
    assert_eq!(check(&place.data()).0, 0);
    bytes.truncate(bytes.len() - filler.len());
    filler[700] ^= 4;
    bytes.append(&mut filler);
    fs::write(first, &bytes).unwrap();
    let (code, report) = check(&place.data());
    assert_eq!((code, &report["verdict"]), (1, &"torn".into()), "{report}");
    assert!(report.to_string().contains("nothing is missing"), "{report}");
    let copy = damaged(&place, |_| ());
    assert_eq!(lost(&copy, &wanted, "rot in filler, as it is"), 0);
    assert_eq!(mend(&place, &wanted, "rot in filler"), 0);
}

/// Sound files that are not those of this directory: an older base or manifest in the place of the new one.
#[test]
fn what_belongs_to_another_time_is_found_and_mended() {
    let (place, _) = sound();
    let old = content(&place.data().join(FOLDER));
    let mut server = Server::start_on(&peers::fastness(), &place, OPTIONS);
    let mut client = server.client();
    client.must("BGREWRITEAOF");
    super::support::server::wait_for("rewrite", std::time::Duration::from_secs(20), || {
        let info = client.must("INFO persistence").text().unwrap();
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrites:1")
    });
    client.must("SET late value");
    let wanted = dump(&mut client);
    server.stop();
    let is_base = |path: &PathBuf| path.to_string_lossy().contains(".base.");
    let (_, old_base) = old.iter().find(|(path, _)| is_base(path)).unwrap();
    let new_base = files(&place.data()).into_iter().find(is_base).unwrap();
    let new_base = new_base.strip_prefix(place.data()).unwrap().to_owned();
    let swapped = damaged(&place, |data| fs::write(data.join(&new_base), old_base).unwrap());
    let (code, report) = check(&swapped.data());
    let told = report.to_string();
    assert!(code == 1 && told.contains("another file"), "{told}");
    // The base's keys of the last third are not in the older one, which is all that is left of the others.
    assert_eq!(mend(&swapped, &wanted, "an older base"), 140);
    let (_, old_manifest) =
        old.iter().find(|(path, _)| path.ends_with("appendonly.aof.manifest")).unwrap();
    let swapped = damaged(&place, |data| fs::write(data.join(MANIFEST), old_manifest).unwrap());
    assert_eq!(check(&swapped.data()).0, 1);
    assert_eq!(mend(&swapped, &wanted, "an older manifest"), 0);
}

#[test]
fn a_log_ends_at_a_position_or_a_time() {
    let (whole, wanted) = sound();
    let (_, report) = check(&whole.data());
    let log = |file: &Value| {
        Some((file["log"]["position"].as_u64()?, file["log"]["last_write_at"].as_u64()?))
    };
    let ends: Vec<(u64, u64)> =
        report["files"].as_array().unwrap().iter().filter_map(log).collect();
    let (position, time) = ends[0];
    for option in [
        ["--truncate-to-position", &position.to_string()],
        ["--truncate-to-time", &time.to_string()],
    ] {
        let place = damaged(&whole, |_| {});
        let (code, plan) = repair(&place.data(), &option);
        assert_eq!(code, 1, "{plan}");
        let (code, done) = repair(&place.data(), &[&option[..], &["--apply"]].concat());
        assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{option:?}: {done}");
        assert_eq!(lost(&place, &wanted, option[0]), wanted.len() / 3, "{option:?}");
    }
    // In the middle of a segment; and before the base there is nothing.
    let place = damaged(&whole, |_| {});
    let middle = (position + 500).to_string();
    let (code, _) = repair(&place.data(), &["--apply", "--truncate-to-position", &middle]);
    assert_eq!(code, 0);
    let lost = lost(&place, &wanted, "middle");
    assert!((1..wanted.len() / 3).contains(&lost), "{lost}");
    let (code, refused) = repair(&damaged(&whole, |_| {}).data(), &["--truncate-to-position", "1"]);
    assert_eq!(code, 2, "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("base"), "{refused}");
}

#[test]
fn what_redis_wrote_is_mended_and_stays_what_redis_reads() {
    let record = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|w| format!("${}\r\n{w}\r\n", w.len())).collect();
        format!("*{}\r\n{}", words.len(), words.concat()).into_bytes()
    };
    let parts = [
        record(&["SELECT", "0"]),
        record(&["SET", "a", "1"]),
        b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$x\r\n2\r\n".to_vec(),
        record(&["MULTI"]),
        record(&["SET", "c", "3"]),
        record(&["EXEC"]),
        record(&["SET", "d", "4"]),
        b"*3\r\n$3\r\nSET\r\n$4\r\nto".to_vec(),
    ];
    let wanted = [0, 1, 3, 4, 5, 6].map(|at| parts[at].clone()).concat();
    // In a directory with a manifest, and on its own.
    let dir = redis_directory(&parts.concat());
    let (code, done) = repair(dir.path(), &["--apply"]);
    assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{done}");
    let skipped = &done["files"].as_array().unwrap().last().unwrap()["skipped"];
    assert_eq!(skipped.as_array().unwrap().len(), 2, "{done}");
    let segment = dir.path().join(SEGMENT.replace(".1.", ".2."));
    assert_eq!(fs::read(&segment).unwrap(), wanted, "{done}");

    let alone = tempfile::tempdir().unwrap();
    let file = alone.path().join("appendonly.aof");
    fs::write(&file, parts.concat()).unwrap();
    assert_eq!(repair(&file, &[]).0, 1);
    let (code, done) = repair(&file, &["--apply"]);
    assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{done}");
    assert_eq!(fs::read(&file).unwrap(), wanted);
    let kept = Path::new(done["kept_in"].as_str().unwrap()).join("appendonly.aof");
    assert_eq!(fs::read(kept).unwrap(), parts.concat());

    // Redis starts on what is left.
    let Some(redis) = peers::redis8() else { return };
    let place = Place::new();
    copy_folder(&dir.path().join(FOLDER), &place.data().join(FOLDER));
    let mut server = Server::start_on(&redis, &place, &["appendonly yes", "save "]);
    let mut client = server.client();
    for (key, value) in [("a", "1"), ("c", "3"), ("d", "4")] {
        assert_eq!(client.must(&format!("GET {key}")).text().as_deref(), Some(value));
    }
    server.kill();
}

#[test]
fn a_snapshot_loses_the_keys_that_cannot_be_read_and_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump.rdb");
    fs::write(dir.path().join("temp-dump.rdb"), "another's").unwrap();
    let sound = fs::read(vector("rdb-redis-8.0.rdb")).unwrap();
    let mut named = 0;
    for at in (20..sound.len()).step_by(37) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x80;
        fs::write(&path, &bytes).unwrap();
        let (code, plan) = repair(&path, &[]);
        assert_eq!(code, 1, "{at}: {plan}");
        let (code, done) = repair(&path, &["--apply"]);
        assert_eq!((code, &done["verdict"]), (0, &"sound".into()), "{at}: {done}");
        let kept = Path::new(done["kept_in"].as_str().unwrap()).join("dump.rdb");
        assert_eq!(fs::read(&kept).unwrap(), bytes);
        fs::remove_dir_all(kept.parent().unwrap()).unwrap();
        let keys = done["files"][0]["skipped_keys"].as_array().unwrap().clone();
        named += keys.iter().filter(|key| key["key"].is_string()).count();
        let reason = done["files"][0]["reason"].as_str().unwrap();
        assert!(!keys.is_empty() || reason.contains("checksum"), "{at}: {done}");
    }
    assert!(named > 3, "{named}");
    assert_eq!(fs::read(dir.path().join("temp-dump.rdb")).unwrap(), b"another's");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary is left");
}

#[test]
fn it_keeps_its_hands_off_a_running_server_and_what_is_no_data() {
    let place = Place::new();
    let mut server = Server::start_on(&peers::fastness(), &place, OPTIONS);
    server.client().must("SET a 1");
    let manifest = place.data().join(MANIFEST);
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, &bytes[..bytes.len() - 1]).unwrap();
    let (code, refused) = repair(&place.data(), &["--apply"]);
    assert_eq!(code, 2, "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("in use"), "{refused}");
    assert_eq!(repair(&place.data(), &[]).0, 1, "looking is allowed");
    server.kill();
    assert_eq!(repair(&place.data(), &["--apply"]).0, 0);

    let empty = tempfile::tempdir().unwrap();
    assert_eq!(repair(empty.path(), &[]).0, 2);
    assert_eq!(repair(&empty.path().join("nowhere"), &[]).0, 2);
    assert_eq!(repair(&place.data(), &["--truncate-to-time", "soon"]).0, 2);
    let (code, whole) = repair(&vector("rdb-redis-8.0.rdb"), &[]);
    assert_eq!((code, &whole["needed"]), (0, &false.into()));
}
