//! Damage at rest, all of it: each bit of each file flipped, each block of 512 bytes zeroed or overwritten with
//! another, each pair of frames exchanged, a file cut anywhere. Of a directory that was closed, a start finds it
//! or loads exactly what was there; `fastness check` says the same, with file, offset and the next command.
//!
//! Of a directory whose server was killed, a start may find less than there was only where a power loss might
//! have left the very same bytes, and then what it finds is the state at the end of a frame.

use std::sync::Arc;

use fastness::aof::manifest::{Content, Manifest};
use fastness::aof::record::{FrameLine, HEADER_START, line};
use fastness::cli::check::look::look_into;
use fastness::cli::check::report::{Report, Verdict};
use fastness::config::AppendFsync;
use fastness::disk::Disk as _;
use fastness::disk::sim::{CrashMode, SimDisk};
use fastness::rng::SeededRng;

use crate::model::{State, difference, state_of};
use crate::plan::{Step, words};
use crate::sim::{Sim, later, recover};

const POLICY: AppendFsync = AppendFsync::Always;
/// What a medium loses or exchanges as a whole.
const BLOCK: usize = 512;

fn ask(sim: &mut Sim, requests: &[&[&str]]) {
    for request in requests {
        sim.step(&Step::Request(0, words(request))).unwrap();
    }
    sim.step(&Step::TurnEnd).unwrap();
    sim.step(&Step::LogRound).unwrap();
}

fn begin(disk: &SimDisk) -> Sim {
    crate::fix_hashes();
    let found = recover(&copy(disk), POLICY, &later(), 1).unwrap();
    Sim::start(disk, POLICY, 1, 1, Some(found)).unwrap()
}

fn copy(disk: &SimDisk) -> SimDisk {
    disk.crash(CrashMode::Everything, &mut SeededRng::new(0))
}

/// Writes of several kinds, a frame or two per line.
fn write(sim: &mut Sim, name: &str) {
    let long = format!("{name}:{}", "0123456789abcdef".repeat(40));
    ask(sim, &[&["SET", &format!("s:{name}"), "1"], &["SET", &format!("l:{name}"), &long]]);
    ask(sim, &[&["RPUSH", &format!("list:{name}"), "a", "b", "c"]]);
    ask(
        sim,
        &[&["MULTI"], &["SELECT", "2"], &["HSET", name, "f", "v"], &["SELECT", "0"], &["EXEC"]],
    );
    ask(
        sim,
        &[&["ZADD", &format!("z:{name}"), "1.5", "m"], &["SADD", &format!("set:{name}"), "1", "x"]],
    );
    ask(sim, &[&["XADD", &format!("x:{name}"), "*", "field", "value"]]);
    ask(sim, &[&["SET", "same", name], &["PEXPIRE", "same", "100000000000"]]);
    ask(sim, &[&["INCR", "count"]]);
    ask(sim, &[&["INCR", "count"]]);
}

/// A base, a segment that a rewrite left, one of a second start. With `close`, as SHUTDOWN leaves it.
fn directory(close: bool) -> SimDisk {
    let disk = SimDisk::new();
    let mut sim = begin(&disk);
    write(&mut sim, "first");
    ask(&mut sim, &[&["BGREWRITEAOF"]]);
    assert!(sim.settle().unwrap());
    write(&mut sim, "second");
    if close {
        sim.log().close().unwrap();
    }
    drop(sim);
    let mut sim = begin(&disk);
    write(&mut sim, "third");
    if close {
        sim.log().close().unwrap();
    }
    disk
}

/// A snapshot and nothing else.
fn snapshot() -> SimDisk {
    let disk = SimDisk::new();
    let mut sim = begin(&disk);
    write(&mut sim, "first");
    ask(&mut sim, &[&["SAVE"]]);
    let alone = SimDisk::new();
    alone.put("dump.rdb", &disk.bytes("dump.rdb").unwrap());
    alone
}

fn loaded(disk: &SimDisk) -> Result<State, String> {
    recover(disk, POLICY, &later(), 1).map(|engine| state_of(&engine.ks))
}

/// The frames of a file: where each line starts and its payload ends.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut frames = Vec::new();
    if !bytes.starts_with(HEADER_START) {
        return frames;
    }
    let mut at = line(bytes).unwrap().len();
    while let Some(text) = line(&bytes[at..]) {
        let Some(parsed) = FrameLine::parse(text) else { break };
        let end = at + text.len() + parsed.frame.len as usize;
        frames.push((at, end));
        at = end;
    }
    frames
}

/// Everything that a medium may do to a file of these bytes, and what it is called.
fn damages(bytes: &[u8], every_bit: bool, show: &mut dyn FnMut(&str, Vec<u8>)) {
    for bit in (0..bytes.len() * 8).filter(|bit| every_bit || bit % 8 == (bit / 8) % 8) {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        show(&format!("bit {} of byte {} flipped", bit % 8, bit / 8), damaged);
    }
    let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
    for (at, block) in blocks.iter().enumerate() {
        let mut with = |what: String, new: &[u8]| {
            let mut damaged = bytes.to_vec();
            let place = &mut damaged[at * BLOCK..][..block.len()];
            let len = new.len().min(place.len());
            place[..len].copy_from_slice(&new[..len]);
            show(&what, damaged);
        };
        with(format!("block {at} zeroed"), &[0; BLOCK]);
        for (other, new) in blocks.iter().enumerate().filter(|(other, _)| *other != at) {
            with(format!("block {at} has the bytes of block {other}"), new);
        }
        let (before, behind) = bytes.split_at(at * BLOCK);
        show(&format!("block {at} twice"), [before, block, behind].concat());
        show(&format!("block {at} gone"), [before, &behind[block.len()..]].concat());
    }
    let ends: Vec<usize> = frames(bytes).iter().map(|frame| frame.1).collect();
    for len in (0..bytes.len()).filter(|len| every_bit || len % 3 == 0 || ends.contains(len)) {
        show(&format!("cut at {len}"), bytes[..len].to_vec());
    }
    for tail in [&[0; 700][..], b"#", b"#F 1", b"*1\r\n$8\r\nFLUSHALL\r\n", b"garbage\n"] {
        show("something appended", [bytes, tail].concat());
    }
    let frames = frames(bytes);
    for (at, first) in frames.iter().enumerate() {
        let part = |frame: &(usize, usize)| &bytes[frame.0..frame.1];
        let (before, behind) = (&bytes[..first.0], &bytes[first.1..]);
        show(&format!("frame {at} gone"), [before, behind].concat());
        show(&format!("frame {at} twice"), [before, part(first), part(first), behind].concat());
        for (other, second) in frames.iter().enumerate().skip(at + 1) {
            let between = &bytes[first.1..second.0];
            let end = &bytes[second.1..];
            let swapped = [before, part(second), between, part(first), end].concat();
            show(&format!("frames {at} and {other} exchanged"), swapped);
        }
    }
}

/// What became of all the damage.
#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    exact: u64,
    /// The start cut an end off, as after a power loss, and said so.
    cut: u64,
    /// Nothing can be seen: a file that ends with an earlier frame.
    shorter: u64,
}

fn tell(report: &Report) -> String {
    let damage = report.damage.iter().map(|damage| {
        format!("{} {:?} {:?} {}", damage.file, damage.offset, damage.position, damage.reason)
    });
    format!("{:?} {:?}", report.verdict(), damage.collect::<Vec<_>>())
}

/// A report that finds something says where, and what to do.
fn must_help(report: &Report, path: &str, what: &str) {
    for damage in &report.damage {
        let somewhere =
            damage.offset.is_some() || damage.reason.contains("missing") || !damage.torn;
        assert!(somewhere && !damage.file.is_empty(), "{path}, {what}: {}", tell(report));
        assert!(damage.next.contains("fastness"), "{path}, {what}: {}", damage.next);
    }
}

/// Tries all damage to these files of `sound`; `states` are those that a start may find, the whole one last.
fn try_all(sound: &SimDisk, states: &[State], paths: &[String], closed: bool) -> Tally {
    let whole = states.last().unwrap();
    let mut tally = Tally::default();
    let exhaustive = crate::support::number_from_env("EVERY_BIT").is_some();
    for path in paths {
        let bytes = sound.bytes(path).unwrap();
        damages(&bytes, exhaustive, &mut |what, damaged| {
            if damaged == bytes {
                return;
            }
            let disk = copy(sound);
            disk.put(path, &damaged);
            let report = look_into(&disk, "data").unwrap();
            must_help(&report, path, what);
            let found = loaded(&disk);
            let told = || format!("{path}, {what}: check says {}", tell(&report));
            match found {
                Err(why) => {
                    let verdict = report.verdict();
                    let found = matches!(verdict, Verdict::Damaged | Verdict::Torn);
                    assert!(found, "{} and the start says {why}", told());
                    let name = path.rsplit('/').next().unwrap();
                    let lists = path.ends_with(".manifest");
                    assert!(lists || why.contains(name), "{}: {why}", told());
                    tally.refused += 1;
                }
                Ok(state) if state == *whole => tally.exact += 1,
                Ok(state) => {
                    assert!(!closed, "{}: loaded {}", told(), difference(whole, &state));
                    assert!(states.contains(&state), "{}: no such state", told());
                    match report.verdict() {
                        Verdict::Torn => tally.cut += 1,
                        _ if what.starts_with("cut") || what.ends_with("gone") => {
                            tally.shorter += 1
                        }
                        _ => panic!("{}: loaded {}", told(), difference(whole, &state)),
                    }
                }
            }
        });
    }
    tally
}

#[test]
fn no_damage_to_a_closed_directory_is_loaded() {
    let disk = directory(true);
    let whole = loaded(&copy(&disk)).unwrap();
    assert_eq!(look_into(&disk, "data").unwrap().verdict(), Verdict::Sound);
    let tally = try_all(&disk, &[whole], &disk.files(), true);
    println!("{tally:?}");
    assert!(tally.refused > 1000 && tally.cut == 0 && tally.shorter == 0, "{tally:?}");
}

#[test]
fn damage_to_a_snapshot_is_not_loaded() {
    let disk = snapshot();
    let whole = loaded(&copy(&disk)).unwrap();
    let tally = try_all(&disk, &[whole], &disk.files(), true);
    println!("{tally:?}");
    assert!(tally.refused > 500 && tally.cut == 0, "{tally:?}");
}

#[test]
fn damage_behind_a_kill_is_refused_or_looks_like_power_loss() {
    let disk = directory(false);
    let path = disk.files().into_iter().rfind(|path| path.ends_with("incr.aof")).unwrap();
    let bytes = disk.bytes(&path).unwrap();
    let mut states = Vec::new();
    for end in std::iter::once(frames(&bytes)[0].0).chain(frames(&bytes).iter().map(|f| f.1)) {
        let shorter = copy(&disk);
        shorter.put(&path, &bytes[..end]);
        states.push(loaded(&shorter).unwrap());
    }
    let tally = try_all(&disk, &states, &[path], false);
    println!("{tally:?}");
    assert!(tally.refused > 500 && tally.cut > 10, "{tally:?}");
}

/// A directory that was closed, and all that its files held at any earlier time, by path.
fn generations() -> (SimDisk, Vec<(String, Vec<u8>)>) {
    let disk = SimDisk::new();
    let mut older: Vec<(String, Vec<u8>)> = Vec::new();
    let mut keep = |disk: &SimDisk| {
        for path in disk.files() {
            let found = (path.clone(), disk.bytes(&path).unwrap());
            if !older.contains(&found) {
                older.push(found);
            }
        }
    };
    for life in ["first", "second", "third"] {
        let mut sim = begin(&disk);
        keep(&disk);
        ask(&mut sim, &[&["SET", "small", life]]);
        ask(&mut sim, &[&["SAVE"]]);
        keep(&disk);
        ask(&mut sim, &[&["BGREWRITEAOF"]]);
        assert!(sim.settle().unwrap());
        keep(&disk);
        write(&mut sim, life);
        keep(&disk);
        sim.log().close().unwrap();
        keep(&disk);
    }
    (disk, older)
}

/// What is sound by itself is not loaded in the place of another: a file's older state, or that of another file.
#[test]
fn no_file_of_another_time_or_name_is_loaded() {
    let (disk, older) = generations();
    let whole = loaded(&copy(&disk)).unwrap();
    let (mut refused, mut exact) = (0, 0);
    let mut judge = |disk: &SimDisk, what: &str| {
        let report = look_into(disk, "data").unwrap();
        must_help(&report, "", what);
        match loaded(disk) {
            Err(why) => {
                let told = tell(&report);
                assert_eq!(report.verdict(), Verdict::Damaged, "{what}: {why}: {told}");
                refused += 1;
            }
            Ok(state) => {
                assert!(state == whole, "{what}: loaded {}", difference(&whole, &state));
                exact += 1;
            }
        }
    };
    let files: Vec<(String, Vec<u8>)> =
        disk.files().into_iter().map(|path| (path.clone(), disk.bytes(&path).unwrap())).collect();
    for (path, sound) in &files {
        for (other, bytes) in older.iter().filter(|(_, bytes)| bytes != sound) {
            let changed = copy(&disk);
            changed.put(path, bytes);
            judge(&changed, &format!("{path} is an older {other} of {} bytes", bytes.len()));
        }
        for (other, bytes) in files.iter().filter(|(other, _)| other > path) {
            let changed = copy(&disk);
            changed.put(path, bytes);
            changed.put(other, sound);
            judge(&changed, &format!("{path} and {other} are exchanged"));
        }
    }
    println!("{refused} refused, {exact} exact");
    assert!(refused > 50 && exact > 10, "{refused} refused, {exact} exact");
}

/// A base that Redis or an older version listed is told apart from others from its first start on.
#[test]
fn a_base_that_is_not_bound_is_bound_by_a_start() {
    let (disk, older) = generations();
    let path = disk.files().into_iter().find(|path| path.ends_with(".base.rdb")).unwrap();
    let listing = disk.files().into_iter().find(|path| path.ends_with(".manifest")).unwrap();
    let mut manifest = Manifest::parse(&disk.bytes(&listing).unwrap()).unwrap().manifest;
    let content = manifest.base.as_ref().unwrap().content();
    assert_eq!(content, Some(Content::of(&disk.bytes(&path).unwrap())));
    manifest.base.as_mut().unwrap().set_content(None);
    disk.put(&listing, &manifest.encode());
    assert_eq!(look_into(&disk, "data").unwrap().verdict(), Verdict::Sound);
    loaded(&disk).unwrap();
    let manifest = Manifest::parse(&disk.bytes(&listing).unwrap()).unwrap().manifest;
    assert_eq!(manifest.base.unwrap().content(), content);
    let other = older.iter().rfind(|(name, _)| name.ends_with(".base.rdb") && *name != path);
    disk.put(&path, &other.unwrap().1);
    let why = loaded(&disk).unwrap_err();
    assert!(why.contains(&path) && why.contains("another file"), "{why}");
}

/// Files that Redis wrote have no frames: whatever is done to them, nobody calls them checked.
#[test]
fn records_without_frames_are_never_called_sound() {
    let folder = "appendonlydir/";
    let (manifest, segment) = ("appendonly.aof.manifest", "appendonly.aof.1.incr.aof");
    let disk = SimDisk::new();
    let records = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nvalue\r\n";
    disk.put(&format!("{folder}{manifest}"), format!("file {segment} seq 1 type i\n").as_bytes());
    disk.put(&format!("{folder}{segment}"), records);
    disk.sync_dir("").unwrap();
    let mut unchecked = 0;
    for path in disk.files() {
        let bytes = disk.bytes(&path).unwrap();
        damages(&bytes, true, &mut |what, damaged| {
            let disk = copy(&disk);
            disk.put(&path, &damaged);
            let report = look_into(&disk, "data").unwrap();
            must_help(&report, &path, what);
            if report.verdict() == Verdict::Sound {
                assert!(report.has_unchecked(), "{path}, {what}: {}", tell(&report));
                unchecked += 1;
            }
        });
    }
    assert!(unchecked > 50, "{unchecked}");
    let disk: Arc<SimDisk> = Arc::new(disk);
    assert!(look_into(disk.as_ref(), "data").unwrap().has_unchecked());
}
