//! A disk that lies after the fact: a bit that rots between two starts, a block that a write for another place
//! hit, a whole file in the place of another or of its older state, a read that returns another sector's bytes,
//! those of an earlier time, or one bit else.
//!
//! Of a directory that was closed a start finds it out, names a file and changes nothing, or it has exactly what
//! was there. Of one whose server was killed it may also find the state at an earlier position, because a power
//! loss leaves the same bytes; it never finds a state that was not.

use fastness::config::AppendFsync;
use fastness::disk::sim::{CrashMode, Misread, SimDisk};
use fastness::rng::SeededRng;

use crate::model::{State, difference, state_of};
use crate::plan::Plan;
use crate::sim::{Sim, later, recover};
use crate::support::rng::Rng;

const TRIES: usize = 8;
const BLOCK: usize = 512;

/// What became of the lies of a round.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) refused: u64,
    pub(crate) exact: u64,
    /// An earlier position was found, of a directory that nobody had closed.
    pub(crate) shorter: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.refused += other.refused;
        self.exact += other.exact;
        self.shorter += other.shorter;
    }
}

fn copy(disk: &SimDisk) -> SimDisk {
    disk.crash(CrashMode::Everything, &mut SeededRng::new(0))
}

/// A start, and with `close` the shutdown after it.
fn start(disk: &SimDisk, policy: AppendFsync, close: bool) -> Result<(u64, State), String> {
    let engine = recover(disk, policy, &later(), 5)?;
    let log = engine.log.clone().ok_or("no log")?;
    let found = (log.appended().0, state_of(&engine.ks));
    if close {
        log.close().map_err(|error| format!("the log does not close: {error}"))?;
    }
    Ok(found)
}

/// Puts a whole file in the place of another, of now or of an earlier time: each is sound by itself. Returns what was
/// done, `None` if that changed nothing.
fn replace(disk: &SimDisk, older: &SimDisk, rng: &mut Rng) -> Option<String> {
    let path = rng.pick(&disk.files()).clone();
    let sound = disk.bytes(&path)?;
    let (from, other) = match rng.chance(50) {
        true => (older, path.clone()),
        false => (disk, rng.pick(&disk.files()).clone()),
    };
    let bytes = from.bytes(&other)?;
    disk.put(&path, &bytes);
    (bytes != sound).then(|| format!("{path} gets all of {other}, of {} bytes", bytes.len()))
}

/// Damages a file where it lies. Returns what was done, `None` if that changed nothing.
fn rot(disk: &SimDisk, rng: &mut Rng) -> Option<String> {
    let files = disk.files();
    let full: Vec<&String> = files.iter().filter(|path| disk.bytes(path) != Some(vec![])).collect();
    if full.is_empty() {
        return None;
    }
    let path = *rng.pick(&full);
    let sound = disk.bytes(path)?;
    let mut bytes = sound.clone();
    let what = if rng.chance(60) {
        let (at, bit) = (rng.below(bytes.len()), rng.below(8));
        bytes[at] ^= 1 << bit;
        format!("bit {bit} of byte {at} of {path} rots")
    } else {
        let other = *rng.pick(&full);
        let source = disk.bytes(other)?;
        let from = rng.below(source.len().div_ceil(BLOCK)) * BLOCK;
        let to = rng.below(bytes.len().div_ceil(BLOCK)) * BLOCK;
        let place = bytes[to..].iter_mut().take(BLOCK);
        place.zip(&source[from..]).for_each(|(old, new)| *old = *new);
        format!("{path} gets at {to} what {other} has at {from}")
    };
    disk.put(path, &bytes);
    (bytes != sound).then_some(what)
}

fn plan_misread(disk: &SimDisk, reads: u64, rng: &mut Rng) -> String {
    let seed = rng.next();
    let misread = match rng.below(3) {
        0 => Misread::Elsewhere(seed),
        1 => Misread::Stale(seed),
        _ => Misread::Flipped(seed),
    };
    let number = rng.below(reads.max(1) as usize) as u64;
    disk.misread_at(number, misread);
    format!("{misread:?} at read {number}")
}

/// Lets the disk lie in some ways after a life.
pub(crate) fn check(plan: &Plan, sim: &Sim) -> Result<Tally, String> {
    let mut rng = Rng::new(plan.seed ^ 0x11E5);
    let mut tally = Tally::default();
    for close in [true, false] {
        let mode = *rng.pick(&CrashMode::ALL);
        let sound = sim.disk.crash(mode, &mut SeededRng::new(rng.next()));
        let older = copy(&sound);
        if close {
            start(&sound, plan.policy, true)?;
        }
        let reference = copy(&sound);
        let whole = start(&reference, plan.policy, false)?;
        let reads = reference.read_count();
        for _ in 0..TRIES {
            let disk = copy(&sound);
            let at_rest = rng.chance(50);
            let what = match at_rest {
                true if rng.chance(25) => replace(&disk, &older, &mut rng),
                true => rot(&disk, &mut rng),
                false => Some(plan_misread(&disk, reads, &mut rng)),
            };
            let Some(what) = what else { continue };
            let told = format!("{mode:?}, closed: {close}, {what}");
            judge(plan, sim, &disk, &whole, close, &mut tally)
                .and_then(|()| match at_rest || !close {
                    true => Ok(()),
                    // The bytes are sound: who reads them again finds all.
                    false => again(plan, &disk, &whole),
                })
                .map_err(|why| format!("{told}: {why}"))?;
        }
    }
    Ok(tally)
}

fn judge(
    plan: &Plan,
    sim: &Sim,
    disk: &SimDisk,
    whole: &(u64, State),
    closed: bool,
    tally: &mut Tally,
) -> Result<(), String> {
    let before: Vec<_> = disk.files().iter().map(|path| (path.clone(), disk.bytes(path))).collect();
    match start(disk, plan.policy, false) {
        Err(why) => {
            // One that is there, or one that a stale list says should be.
            if !["appendonly.aof.", "dump.rdb"].iter().any(|name| why.contains(name)) {
                return Err(format!("no file is named: {why}"));
            }
            if let Some((path, _)) = before.iter().find(|(path, old)| disk.bytes(path) != *old) {
                return Err(format!("{path} was changed by a start that was refused: {why}"));
            }
            tally.refused += 1;
            Ok(())
        }
        Ok(found) if found == *whole => {
            tally.exact += 1;
            Ok(())
        }
        Ok((position, state)) => {
            let difference = difference(&whole.1, &state);
            let story = format!("position {position}, not {}, was loaded: {difference}", whole.0);
            if closed || position > whole.0 || sim.model.at(position) != Some(&state) {
                return Err(story);
            }
            tally.shorter += 1;
            Ok(())
        }
    }
}

fn again(plan: &Plan, disk: &SimDisk, whole: &(u64, State)) -> Result<(), String> {
    let found = start(disk, plan.policy, false).map_err(|why| format!("the next start: {why}"))?;
    match found == *whole {
        true => Ok(()),
        false => Err(format!(
            "the next start finds position {}, not {}: {}",
            found.0,
            whole.0,
            difference(&whole.1, &found.1)
        )),
    }
}
