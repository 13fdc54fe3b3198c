//! What must hold of the disk that is found after the power was lost.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastness::config::AppendFsync;
use fastness::disk::sim::{CrashMode, Fault, SimDisk};
use fastness::rng::SeededRng;

use crate::lies::{self, Tally};
use crate::model::{Model, State, difference, state_of};
use crate::plan::{Plan, Step, words};
use crate::sim::{Sim, Told, later, recover};
use crate::support::rng::Rng;

/// How often each random mode is tried at one instant.
const SEEDS: u64 = 2;

/// What went wrong, and the story before it.
#[derive(Debug)]
pub(crate) struct Trouble {
    what: String,
    story: String,
}

impl Trouble {
    /// How many steps led to it.
    pub(crate) fn story_steps(&self) -> usize {
        self.story.lines().skip(1).take_while(|line| !line.starts_with("-- ")).count()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.story)
    }
}

/// What a life came to.
pub(crate) struct Life {
    pub(crate) sim: Sim,
    /// The operations of the disk when the start was over, and at the end.
    started: u64,
    ended: u64,
}

/// What was promised at the instant of the crash.
struct Promise<'a> {
    model: &'a Model,
    told: &'a [Told],
    written: u64,
    synced: u64,
    /// A failed sync dropped pages.
    dropped: bool,
}

fn story(plan: &Plan, disk: &SimDisk) -> String {
    let steps: Vec<String> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Request(client, request) => format!("{client}> {}", crate::sim::show(request)),
            other => format!("{other:?}"),
        })
        .collect();
    format!(
        "policy {:?}, {} clients\n{}\n-- the disk:\n{}",
        plan.policy,
        plan.clients,
        steps.join("\n"),
        disk.operations()
    )
}

/// Lives a plan on a disk that may have faults planned; `None`: it did not even start. With `settle`, faults
/// must be healed at the end.
fn live(plan: &Plan, disk: &SimDisk, compare: bool, settle: bool) -> Result<Option<Life>, Trouble> {
    let trouble = |what: String| Trouble { what, story: story(plan, disk) };
    let lived = catch_unwind(AssertUnwindSafe(|| live_quietly(plan, disk, compare, settle)));
    let lived = lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    lived.map_err(trouble)
}

fn live_quietly(
    plan: &Plan,
    disk: &SimDisk,
    compare: bool,
    settle: bool,
) -> Result<Option<Life>, String> {
    let Ok(mut sim) = Sim::start(disk, plan.policy, plan.clients + 1, plan.seed, None) else {
        return Ok(None);
    };
    sim.compare = compare;
    let started = disk.operation_count();
    for step in &plan.steps {
        if !sim.step(step)? {
            return Ok(Some(Life { sim, started, ended: disk.operation_count() }));
        }
    }
    let ended = disk.operation_count();
    if settle {
        disk.clear_faults();
        disk.set_capacity(None);
        if !sim.settle()? {
            return Err(format!("the log does not get well: {:?}", sim.refusal()));
        }
        // Writes are taken again, and promised again.
        sim.step(&Step::Request(plan.clients, words(&["SET", "probe", "after"])))?;
        if !sim.settle()? || sim.refusal().is_some() {
            return Err(format!("a write after the trouble is not taken: {:?}", sim.refusal()));
        }
    }
    Ok(Some(Life { sim, started, ended }))
}

/// Looks at the disk in all modes. Returns how many disks were looked at.
fn crash(plan: &Plan, sim: &Sim, model: &Model, seed: u64, what: &str) -> Result<usize, Trouble> {
    let log = sim.log();
    let (written, synced) = (log.written().0, log.synced().0);
    let dropped = sim.disk.operations().contains("SyncDropsPages");
    let promise = Promise { model, told: &sim.told, written, synced, dropped };
    let mut looked = 0;
    for mode in CrashMode::ALL {
        for nth in 0..SEEDS {
            let disk = sim.disk.crash(mode, &mut SeededRng::new(seed ^ nth));
            let judged =
                catch_unwind(AssertUnwindSafe(|| judge(plan, &disk, mode, &promise, seed ^ nth)));
            let judged = judged.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                Err(format!("panic: {}", text.unwrap_or_default()))
            });
            judged.map_err(|why| Trouble {
                what: format!("{what}, then {mode:?} ({nth}): {why}"),
                story: format!(
                    "{}\n-- left on the disk: {:?}",
                    story(plan, &sim.disk),
                    disk.files()
                        .iter()
                        .map(|path| (path.clone(), disk.bytes(path).unwrap_or_default().len()))
                        .collect::<Vec<_>>()
                ),
            })?;
            looked += 1;
        }
    }
    Ok(looked)
}

/// Starts on what a crash left, and compares.
fn judge(
    plan: &Plan,
    disk: &SimDisk,
    mode: CrashMode,
    promise: &Promise<'_>,
    seed: u64,
) -> Result<(), String> {
    // A start that loses power itself must leave what the next one needs.
    let untouched = disk.crash(CrashMode::Everything, &mut SeededRng::new(0));
    let (position, state) = found(disk, plan.policy)?;
    let wanted = promise.model.at(position);
    let Some(wanted) = wanted else {
        let around = promise.model.around(position);
        return Err(format!("position {position} is the end of no unit, but between {around:?}"));
    };
    if *wanted != state {
        let difference = difference(wanted, &state);
        return Err(format!("the state at position {position} is another:\n{difference}"));
    }
    // A kernel that dropped pages after a failed sync has lost them without losing power.
    let alive = mode == CrashMode::Everything && !promise.dropped;
    let at_least = if alive { promise.written } else { promise.synced };
    if position < at_least {
        return Err(format!("position {position} is found, {at_least} was promised"));
    }
    for told in promise.told.iter().filter(|told| told.synced || alive) {
        if told.needs > position {
            return Err(format!(
                "a client was told what is lost: {} (position {}, found {position})",
                told.story, told.needs
            ));
        }
    }
    let again = disk.crash(CrashMode::Everything, &mut SeededRng::new(0));
    if found(&again, plan.policy)? != (position, state.clone()) {
        return Err("a second start finds something else".to_owned());
    }
    let operations = disk.operation_count();
    let mut rng = Rng::new(seed.wrapping_mul(31) ^ position);
    for _ in 0..2 {
        let copy = untouched.crash(CrashMode::Everything, &mut SeededRng::new(0));
        let cut = rng.below(operations.max(1) as usize) as u64;
        copy.fail_at(cut, Fault::PowerCut);
        let _ = recover(&copy, plan.policy, &later(), 1);
        let mode = *rng.pick(&CrashMode::ALL);
        let left = copy.crash(mode, &mut SeededRng::new(rng.next()));
        let (again, other) = found(&left, plan.policy)
            .map_err(|why| format!("start cut at its operation {cut}, {mode:?}: {why}"))?;
        if (again, &other) != (position, &state) {
            return Err(format!(
                "start cut at its operation {cut}, {mode:?}: position {again}, not {position}; {}",
                difference(&state, &other)
            ));
        }
    }
    Ok(())
}

/// What a start finds: the position behind it, and the state.
fn found(disk: &SimDisk, policy: AppendFsync) -> Result<(u64, State), String> {
    let engine = recover(disk, policy, &later(), 99)?;
    let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(left) = disk.files().iter().map(name).find(|name| name.starts_with("temp-")) {
        return Err(format!("{left} is left behind"));
    }
    let log = engine.log.clone().ok_or("no log")?;
    Ok((log.appended().0, state_of(&engine.ks)))
}

/// Lives a plan once per disk operation, with the power cut there.
pub(crate) fn cut_everywhere(plan: &Plan) -> Result<usize, Trouble> {
    let disk = SimDisk::new();
    let whole = live(plan, &disk, true, false)?.expect("starts on an empty disk");
    let mut looked = crash(plan, &whole.sim, &whole.sim.model, plan.seed, "at the end")?;
    for cut in 0..whole.ended {
        let disk = SimDisk::new();
        disk.fail_at(cut, Fault::PowerCut);
        let what = format!("power cut at operation {cut}");
        looked += match live(plan, &disk, false, false)? {
            Some(life) => crash(plan, &life.sim, &whole.sim.model, cut, &what)?,
            None => start_again(plan, &disk, &whole, cut, &what)?,
        };
    }
    Ok(looked)
}

/// The power went before the first start was over: nothing was promised, and the next one needs no person.
fn start_again(
    plan: &Plan,
    disk: &SimDisk,
    whole: &Life,
    seed: u64,
    what: &str,
) -> Result<usize, Trouble> {
    let promise =
        Promise { model: &whole.sim.model, told: &[], written: 0, synced: 0, dropped: false };
    for mode in CrashMode::ALL {
        let left = disk.crash(mode, &mut SeededRng::new(seed));
        judge(plan, &left, mode, &promise, seed).map_err(|why| Trouble {
            what: format!("{what}, {mode:?}: {why}"),
            story: story(plan, disk),
        })?;
    }
    Ok(CrashMode::ALL.len())
}

/// Lives a plan once per disk operation, with a fault there that has to be healed. Returns how many
/// replies said that something is wrong.
pub(crate) fn fault_everywhere(plan: &Plan, fault: Fault) -> Result<u64, Trouble> {
    let disk = SimDisk::new();
    let whole = live(plan, &disk, false, false)?.expect("starts on an empty disk");
    let mut refusals = 0;
    for at in whole.started..whole.ended {
        let disk = SimDisk::new();
        disk.fail_at(at, fault);
        let Some(life) = live(plan, &disk, true, true)? else { continue };
        refusals += life.sim.refusals.len() as u64;
        crash(
            plan,
            &life.sim,
            &life.sim.model,
            at,
            &format!("{fault:?} at operation {at}, healed"),
        )?;
    }
    Ok(refusals)
}

/// A plan, and what goes wrong at which operation of the disk.
#[derive(Clone)]
pub(crate) struct Scenario {
    plan: Plan,
    faults: Vec<(u64, Fault)>,
}

impl Scenario {
    /// A random plan with random faults, and a random crash.
    pub(crate) fn of(seed: u64) -> Result<Self, Trouble> {
        let mut rng = Rng::new(!seed);
        let mut plan = Plan::of(seed, 10 + rng.below(50));
        if rng.chance(25) {
            plan = plan.with_full_disk(&mut rng);
        }
        let whole = live(&plan, &SimDisk::new(), true, false)?.expect("starts on an empty disk");
        let span = (whole.ended - whole.started).max(1) as usize;
        let mut faults = Vec::new();
        for _ in 0..rng.below(4) {
            let at = whole.started + rng.below(span) as u64;
            let fault = *rng.pick(&[
                Fault::SyncDropsPages,
                Fault::SyncKeepsPages,
                Fault::Eio,
                Fault::ShortWrite(0),
                Fault::ShortWrite(7),
            ]);
            faults.push((at, fault));
        }
        if rng.chance(70) {
            faults.push((whole.started + rng.below(span) as u64, Fault::PowerCut));
        }
        Ok(Self { plan, faults })
    }

    pub(crate) fn steps(&self) -> usize {
        self.plan.steps.len()
    }

    /// Lives it, and looks at what is left in all modes.
    pub(crate) fn check(&self) -> Result<Round, Trouble> {
        let disk = SimDisk::new();
        let mut cut = false;
        for (at, fault) in &self.faults {
            disk.fail_at(*at, *fault);
            cut |= *fault == Fault::PowerCut;
        }
        let Some(life) = live(&self.plan, &disk, true, !cut)? else {
            return Ok(Round::default());
        };
        let what = format!("{:?}", self.faults);
        crash(&self.plan, &life.sim, &life.sim.model, self.plan.seed, &what)?;
        let lies = catch_unwind(AssertUnwindSafe(|| lies::check(&self.plan, &life.sim)));
        let lies = lies.unwrap_or_else(|_| Err("panic while a lying disk was read".to_owned()));
        let lies = lies.map_err(|why| Trouble {
            what: format!("{what}, then {why}"),
            story: story(&self.plan, &disk),
        })?;
        Ok(Round { refusals: life.sim.refusals.len() as u64, lies })
    }

    /// The shortest scenario found that still fails, and how it does: faults and steps are taken away as long
    /// as something fails, faults coming as much earlier as the disk has less to do.
    pub(crate) fn minimised(mut self, mut trouble: Trouble) -> Trouble {
        let mut tries = 400;
        let mut chunk = self.plan.steps.len().max(1);
        while chunk > 0 && tries > 0 {
            let mut from = 0;
            while from < self.plan.steps.len() && tries > 0 {
                tries -= 1;
                match self.without(from, chunk) {
                    Some((shorter, why)) => (self, trouble) = (shorter, why),
                    None => from += chunk,
                }
            }
            chunk /= 2;
        }
        for index in (0..self.faults.len()).rev() {
            let mut fewer = self.clone();
            fewer.faults.remove(index);
            if let Err(why) = fewer.check() {
                (self, trouble) = (fewer, why);
            }
        }
        trouble
    }

    fn without(&self, from: usize, count: usize) -> Option<(Self, Trouble)> {
        let operations = |plan: &Plan| Some(live(plan, &SimDisk::new(), false, false).ok()??.ended);
        let mut plan = self.plan.clone();
        plan.steps.drain(from..(from + count).min(plan.steps.len()));
        let less = operations(&self.plan)?.saturating_sub(operations(&plan)?);
        [0, less].into_iter().find_map(|earlier| {
            let faults = self.faults.iter();
            let faults = faults.map(|(at, fault)| (at.saturating_sub(earlier), *fault)).collect();
            let shorter = Self { plan: plan.clone(), faults };
            shorter.check().err().map(|why| (shorter, why))
        })
    }
}

/// What a round of one seed came to.
#[derive(Default)]
pub(crate) struct Round {
    pub(crate) refusals: u64,
    /// What became of what the disk said wrongly.
    pub(crate) lies: Tally,
}

/// One seed's scenario; what fails is made short.
pub(crate) fn check_round(seed: u64, minimise: bool) -> Result<Round, Trouble> {
    let scenario = Scenario::of(seed)?;
    scenario.check().map_err(|trouble| match minimise {
        true => scenario.minimised(trouble),
        false => trouble,
    })
}

/// Makes a snapshot of a plan's data set the only file, and cuts its conversion into a log at each operation.
pub(crate) fn convert_everywhere(plan: &Plan) -> Result<(), Trouble> {
    let disk = SimDisk::new();
    let mut whole = live(plan, &disk, true, true)?.expect("starts on an empty disk");
    let trouble = |what: String| Trouble { what, story: story(plan, &disk) };
    whole.sim.step(&Step::Request(plan.clients, words(&["SAVE"]))).map_err(trouble)?;
    let snapshot = disk.bytes("dump.rdb").ok_or_else(|| trouble("no snapshot".to_owned()))?;
    let fresh = || {
        let disk = SimDisk::new();
        disk.put("dump.rdb", &snapshot);
        disk
    };
    let first = fresh();
    let (_, state) = found(&first, plan.policy).map_err(trouble)?;
    for cut in 0..first.operation_count() {
        let disk = fresh();
        disk.fail_at(cut, Fault::PowerCut);
        let _ = recover(&disk, plan.policy, &later(), 1);
        for mode in CrashMode::ALL {
            let left = disk.crash(mode, &mut SeededRng::new(cut));
            let what = format!("cut at {cut}, {mode:?}, {:?}", left.files());
            let (_, other) =
                found(&left, plan.policy).map_err(|why| trouble(format!("{what}: {why}")))?;
            if other != state {
                return Err(trouble(format!("{what}: {}", difference(&state, &other))));
            }
            let (_, again) = found(&left, plan.policy)
                .map_err(|why| trouble(format!("{what}, again: {why}")))?;
            if again != state {
                return Err(trouble(format!("{what}, again: {}", difference(&state, &again))));
            }
        }
    }
    Ok(())
}
