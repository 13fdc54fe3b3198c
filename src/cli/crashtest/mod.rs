//! `fastness crashtest`: does a server keep what it acknowledged, when it is killed or loses power?
//!
//! A server (this one, or any Redis-compatible one given by a command) runs on a directory of its own while
//! several clients write what can be checked; it is killed at a random moment and started again, and every
//! client compares. `ledger` is what the clients write and how they judge, `server` the process, `power` the
//! directory that forgets what was not synced, `report` what is printed.
//!
//! A server that refuses what the kill or the cut left gets an empty directory, and the test goes on.

mod ending;
mod ledger;
#[cfg(target_os = "linux")]
mod power;
#[cfg(not(target_os = "linux"))]
#[path = "no_power.rs"]
mod power;
mod report;
mod server;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::backup::terms;
use crate::clock::{Clock, SystemClock};
use crate::disk::sim::CrashMode;
use crate::rng::{Rng as _, SeededRng};
use ending::Ending;
use ledger::{Finding, Ledger};
use power::{Drive, PowerDisk};
use report::{Report, Round};
use server::{Folder, Server};

/// The least time until a kill.
const KILL_AFTER_US: u64 = 2_000;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct CrashTestArgs {
    /// How to start the server; {port}, {dir} and {policy} are filled in. Without it, this program.
    #[arg(long)]
    command: Option<String>,
    /// How often it is killed.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// What {policy} stands for, and what is expected.
    #[arg(long, default_value = "always", value_parser = ["always", "everysec", "no"])]
    policy: String,
    /// Kill the process (kill -9); the kernel keeps what it was given.
    #[arg(long, conflicts_with = "power")]
    kill: bool,
    /// Lose what was not synced as well: the server runs on a file system (FUSE) that can. Linux, as root.
    #[arg(long)]
    power: bool,
    /// Milliseconds that a sync of the drive takes.
    #[arg(long, default_value_t = 1, requires = "power")]
    sync_ms: u64,
    /// Names last only when their directory was synced, which POSIX allows and Linux' file systems do not do.
    #[arg(long, requires = "power")]
    strict_names: bool,
    /// Put this file system on the drive (ext4, xfs, btrfs), and the server on that.
    #[arg(long, requires = "power")]
    filesystem: Option<String>,
    /// Milliseconds of acknowledged writes that a power cut may take under everysec.
    #[arg(long, default_value_t = 2000)]
    bound_ms: u64,
    /// Milliseconds within which each kill comes.
    #[arg(long, default_value_t = 700)]
    within_ms: u64,
    /// Clients that write at the same time.
    #[arg(long, default_value_t = 6)]
    clients: u32,
    /// Repeat the moments and the choice of writes of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl CrashTestArgs {
    /// How much of what was acknowledged may be lost; `None`: nothing is promised.
    fn may_lose(&self) -> Option<Duration> {
        match self.policy.as_str() {
            "everysec" if self.power => Some(Duration::from_millis(self.bound_ms)),
            "no" if self.power => None,
            _ => Some(Duration::ZERO),
        }
    }
}

/// Runs the test and prints its report.
pub(super) fn run(args: &CrashTestArgs) -> ExitCode {
    let seed = args.seed.unwrap_or_else(|| SeededRng::from_os().next_u64() >> 16);
    let ending = match Ending::listen() {
        Ok(ending) => ending,
        Err(why) => return fail(args, &why, 2),
    };
    match test(args, seed, &ending) {
        Ok(report) => {
            let text = match args.json {
                true => format!("{:#}\n", report.json(args, seed)),
                false => report.text(args, seed),
            };
            terms::print(&text, u8::from(!report.is_clean()))
        }
        // As a shell counts those that a signal ended.
        Err(why) => fail(args, &why, ending.signal().map_or(2, |number| 128 + number)),
    }
}

fn fail(args: &CrashTestArgs, why: &str, code: u8) -> ExitCode {
    if args.json {
        return terms::print(&format!("{}\n", serde_json::json!({ "error": why })), code);
    }
    eprintln!("fastness: {why}");
    ExitCode::from(code)
}

/// What goes on from round to round.
struct Bench<'a> {
    args: &'a CrashTestArgs,
    clock: Arc<dyn Clock>,
    ending: &'a Ending,
    rng: SeededRng,
    // Before the folder that it is mounted in: they are dropped in this order.
    power: Option<PowerDisk>,
    folder: Folder,
    ledgers: Vec<Ledger>,
}

fn test(args: &CrashTestArgs, seed: u64, ending: &Ending) -> Result<Report, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let folder = Folder::new()?;
    let power = match args.power {
        true => {
            let drive = Drive {
                sync_takes: Duration::from_millis(args.sync_ms),
                strict_names: args.strict_names,
                filesystem: args.filesystem.clone(),
            };
            Some(PowerDisk::new(folder.path("data"), folder.path("drive"), &drive, &clock)?)
        }
        false => None,
    };
    let rng = SeededRng::new(seed);
    let mut bench = Bench { args, clock, ending, rng, power, folder, ledgers: Vec::new() };
    bench.new_ledgers();
    let mut server = bench.start()?;
    let mut report = Report::new(args.may_lose());
    for number in 0..args.rounds {
        progress(number, args.rounds);
        let (mut round, cut) = bench.live_and_die(&mut server)?;
        ending.check()?;
        let before = bench.clock.monotonic();
        server = match bench.start() {
            Ok(server) => server,
            Err(why) => {
                ending.check()?;
                round.refused = Some(why);
                report.rounds.push(round);
                bench.begin_anew()?;
                server = bench.start()?;
                continue;
            }
        };
        round.started_in = bench.clock.monotonic().saturating_sub(before);
        bench.verify(&server, cut, &mut round)?;
        ending.check()?;
        report.rounds.push(round);
    }
    progress(args.rounds, args.rounds);
    drop(server);
    if report.total(|finding| finding.acknowledged) == 0 {
        return Err("no write was ever acknowledged: there is nothing to check".to_owned());
    }
    Ok(report)
}

impl Bench<'_> {
    fn start(&self) -> Result<Server, String> {
        let (command, policy) = (self.args.command.as_deref(), &self.args.policy);
        Server::start(command, policy, &self.folder, &self.clock, self.ending)
    }

    fn new_ledgers(&mut self) {
        let count = self.args.clients.max(1);
        self.ledgers = (0..count).map(|id| Ledger::new(id, count)).collect();
    }

    /// An empty directory and clients that know nothing.
    fn begin_anew(&mut self) -> Result<(), String> {
        self.new_ledgers();
        match &mut self.power {
            Some(power) => power.wipe(),
            None => self.folder.wipe(),
        }
    }

    /// Clients write until the server is killed, or the power is cut. Returns when that was.
    fn live_and_die(&mut self, server: &mut Server) -> Result<(Round, Duration), String> {
        let span = (self.args.within_ms * 1000).saturating_sub(KILL_AFTER_US);
        let moment = Duration::from_micros(KILL_AFTER_US + self.rng.below(span));
        let (port, clock, rng, power) = (server.port, &self.clock, &mut self.rng, &self.power);
        let (ledgers, ending) = (&mut self.ledgers, self.ending);
        let cut = std::thread::scope(|scope| {
            for ledger in ledgers {
                let mut rng = SeededRng::new(rng.next_u64());
                scope.spawn(move || ledger.write_until_killed(port, &mut rng, &**clock));
            }
            ending.sleep(&**clock, moment);
            match power {
                Some(power) => {
                    power.freeze();
                    server.strike_all();
                    power.power_off();
                }
                None => server.strike(),
            }
            let cut = clock.monotonic();
            server.wait();
            cut
        });
        let mut round = Round { killed_after: moment, ..Round::default() };
        round.finding.acknowledged = self.ledgers.iter().map(Ledger::acknowledged).sum();
        if let Some(power) = &mut self.power {
            let modes = power.modes();
            let mode = modes.get(self.rng.index(modes.len())).copied();
            let mode = mode.unwrap_or(CrashMode::NothingUnsynced);
            power.lose(mode, &mut self.rng)?;
            round.loss = Some(mode);
        }
        Ok((round, cut))
    }

    /// Every client compares with what the server has.
    fn verify(&mut self, server: &Server, cut: Duration, round: &mut Round) -> Result<(), String> {
        let last = self.ledgers.iter().filter_map(Ledger::last_acknowledged).max();
        let finding: &mut Finding = &mut round.finding;
        for ledger in &mut self.ledgers {
            ledger.verify(server.port, finding)?;
        }
        let counters: Vec<u64> = self.ledgers.iter().map(Ledger::counter).collect();
        let mut shown = Finding::default();
        for ledger in &mut self.ledgers {
            ledger.verify_shown(&counters, &mut shown);
        }
        if self.args.may_lose() == Some(Duration::ZERO) {
            finding.shown = shown.shown;
            finding.example = finding.example.take().or(shown.example);
        }
        let end = last.map_or(cut, |last| last.min(cut));
        round.lost_span = finding.oldest_lost.map(|oldest| end.saturating_sub(oldest));
        Ok(())
    }
}

fn progress(done: u32, all: u32) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        // It is only for looking at.
        let _ = write!(out, "\rround {done} of {all}{}", if done == all { "\n" } else { "" });
    }
}
