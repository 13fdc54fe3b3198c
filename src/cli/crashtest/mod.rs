//! `fastness crashtest`: does a server keep what it acknowledged, when it is killed?
//!
//! A server (this one, or any Redis-compatible one given by a command) runs on a directory of its own while
//! several clients write what can be checked; it is killed at a random moment and started again, and every
//! client compares. `ledger` is what the clients write and how they judge, `server` the process.
//!
//! Exit codes: 0 nothing that was acknowledged is lost, 1 something is, or a transaction is there in part, or
//! the server does not start again, 2 the test could not be run.

mod ledger;
mod server;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};
use crate::rng::{Rng as _, SeededRng};
use ledger::{Finding, Ledger};
use server::{Folder, Server};

/// The longest time until a kill.
const KILL_WITHIN_US: u64 = 700_000;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct CrashTestArgs {
    /// How to start the server; {port}, {dir} and {policy} are filled in. Without it, this program.
    #[arg(long)]
    command: Option<String>,
    /// How often it is killed.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// What {policy} stands for.
    #[arg(long, default_value = "always", value_parser = ["always", "everysec", "no"])]
    policy: String,
    /// Kill the process (kill -9); the kernel keeps what it was given.
    #[arg(long, conflicts_with = "power")]
    kill: bool,
    /// Lose what was not synced as well.
    #[arg(long)]
    power: bool,
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

/// What one round came to.
#[derive(Debug, Default)]
struct Round {
    killed_after: Duration,
    started_in: Duration,
    finding: Finding,
}

/// Runs the test and prints its report.
pub(super) fn run(args: &CrashTestArgs) -> ExitCode {
    if args.power {
        return fail(
            args,
            "--power is not there: it needs a file system of its own (FUSE) between the server and the disk, and \
             this build has none. `make crash` runs this server on a simulated disk that loses power; --kill \
             runs here",
        );
    }
    let seed = args.seed.unwrap_or_else(|| SeededRng::from_os().next_u64() >> 16);
    match test(args, seed) {
        Ok(report) => {
            let text = match args.json {
                true => format!("{:#}\n", report_json(args, seed, &report)),
                false => report_text(args, seed, &report),
            };
            // A closed pipe has nobody to tell.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(why) => fail(args, &why),
    }
}

fn fail(args: &CrashTestArgs, why: &str) -> ExitCode {
    if args.json {
        let _ = writeln!(std::io::stdout(), "{}", json!({ "error": why }));
    } else {
        eprintln!("fastness: {why}");
    }
    ExitCode::from(2)
}

/// The rounds, and why there are no more of them.
#[derive(Debug, Default)]
struct Report {
    rounds: Vec<Round>,
    refused: Option<String>,
}

impl Report {
    fn total(&self, of: fn(&Finding) -> u64) -> u64 {
        self.rounds.iter().map(|round| of(&round.finding)).sum()
    }

    fn is_clean(&self) -> bool {
        self.refused.is_none() && self.total(Finding::wrong) == 0
    }
}

fn test(args: &CrashTestArgs, seed: u64) -> Result<Report, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut rng = SeededRng::new(seed);
    let folder = Folder::new()?;
    let mut ledgers: Vec<Ledger> = (0..args.clients.max(1)).map(Ledger::new).collect();
    let command = args.command.as_deref();
    let mut server = Server::start(command, &args.policy, &folder, &clock)?;
    let mut report = Report::default();
    for number in 0..args.rounds {
        progress(number, args.rounds);
        let moment = Duration::from_micros(2_000 + rng.below(KILL_WITHIN_US));
        let port = server.port;
        std::thread::scope(|scope| {
            for ledger in &mut ledgers {
                let mut rng = SeededRng::new(rng.next_u64());
                scope.spawn(move || ledger.write_until_killed(port, &mut rng));
            }
            clock.sleep(moment);
            server.kill();
        });
        let acknowledged = ledgers.iter_mut().map(Ledger::take_acknowledged).sum();
        let before = clock.monotonic();
        server = match Server::start(command, &args.policy, &folder, &clock) {
            Ok(server) => server,
            Err(why) => {
                report.refused = Some(why);
                break;
            }
        };
        let started_in = clock.monotonic().saturating_sub(before);
        let mut finding = Finding { acknowledged, ..Finding::default() };
        for ledger in &mut ledgers {
            ledger.verify(server.port, &mut finding)?;
        }
        report.rounds.push(Round { killed_after: moment, started_in, finding });
    }
    progress(args.rounds, args.rounds);
    server.kill();
    if report.refused.is_none() && report.total(|finding| finding.acknowledged) == 0 {
        return Err("no write was ever acknowledged: there is nothing to check".to_owned());
    }
    Ok(report)
}

fn progress(done: u32, all: u32) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        // It is only for looking at.
        let _ = write!(out, "\rround {done} of {all}{}", if done == all { "\n" } else { "" });
    }
}

fn report_text(args: &CrashTestArgs, seed: u64, report: &Report) -> String {
    let mut out = format!(
        "{}, policy {}, seed {seed}\n\n round  killed after  acknowledged   lost  in part  from nowhere  started in\n",
        args.command.as_deref().unwrap_or("fastness serve"),
        args.policy
    );
    for (number, round) in report.rounds.iter().enumerate() {
        let Finding { acknowledged, lost, torn, strange, .. } = &round.finding;
        out += &format!(
            "{:>6}{:>11} ms{acknowledged:>14}{lost:>7}{torn:>9}{strange:>14}{:>9} ms\n",
            number + 1,
            round.killed_after.as_millis(),
            round.started_in.as_millis()
        );
    }
    for example in report.rounds.iter().filter_map(|round| round.finding.example.as_ref()).take(5) {
        out += &format!("  {example}\n");
    }
    let (written, lost) = (report.total(|f| f.acknowledged), report.total(|f| f.lost));
    out += &match &report.refused {
        Some(why) => format!("\nFAILED: it does not start again: {why}\n"),
        None if report.is_clean() => {
            format!("\nPASSED: none of {written} acknowledged writes is lost\n")
        }
        None => format!("\nFAILED: {lost} of {written} acknowledged writes are lost\n"),
    };
    out
}

fn report_json(args: &CrashTestArgs, seed: u64, report: &Report) -> Value {
    let rounds: Vec<Value> = report
        .rounds
        .iter()
        .map(|round| {
            json!({
                "killed_after_ms": round.killed_after.as_millis(),
                "started_in_ms": round.started_in.as_millis(),
                "acknowledged": round.finding.acknowledged,
                "lost": round.finding.lost,
                "torn": round.finding.torn,
                "strange": round.finding.strange,
                "example": round.finding.example,
            })
        })
        .collect();
    json!({
        "command": args.command.as_deref().unwrap_or("fastness serve"),
        "policy": args.policy,
        "mode": "kill",
        "seed": seed,
        "rounds": rounds,
        "acknowledged": report.total(|f| f.acknowledged),
        "lost": report.total(|f| f.lost),
        "torn": report.total(|f| f.torn),
        "strange": report.total(|f| f.strange),
        "refused": report.refused,
        "passed": report.is_clean(),
    })
}
