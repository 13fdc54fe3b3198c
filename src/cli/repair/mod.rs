//! `fastness repair`: makes a damaged directory or file one that loads, and loses as little as can be.
//!
//! Without `--apply` nothing is written: the plan says what is kept, what is left out and why. With it, new files
//! are written beside the old ones and synced, then put in charge (the manifest is replaced, or the file), and only
//! then are the old ones moved into a folder named after the time; nothing is ever removed. A power loss in between
//! leaves the old state or the new one.
//!
//! `survey` finds what is there, `plan` says what will be done, `apply` does it, `print` shows it. What can be
//! believed of a file is the business of `aof::salvage` and `snapshot::salvage`.
//!
//! Exit codes: 0 nothing is to be done, or it was done and `check` calls the result sound; 1 there is something
//! to do, and this was no `--apply`; 2 it cannot be done (path, options, a server that runs); 3 it was
//! done and the result is not sound.

mod apply;
mod plan;
mod print;
mod survey;
mod time;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use crate::aof::record::Position;
use crate::cli::backup::terms;
use crate::clock::{Clock as _, SystemClock, UnixMillis};
use plan::Plan;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct RepairArgs {
    /// A data directory, an append-only file, a manifest or an RDB file, of Fastness, Redis or Valkey.
    path: String,
    /// Do it. Without this the plan is shown and nothing changed.
    #[arg(long)]
    apply: bool,
    /// Do not ask before it is done (on a terminal; elsewhere nothing is asked).
    #[arg(long)]
    yes: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Keep only what was logged up to this time: Unix seconds or milliseconds, or 2026-11-22T18:30:00 (UTC).
    #[arg(long, value_name = "TIME")]
    truncate_to_time: Option<String>,
    /// Keep only what was logged before this position of the log.
    #[arg(long, value_name = "POSITION")]
    truncate_to_position: Option<u64>,
}

/// Where the log is to end.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    time: Option<UnixMillis>,
    position: Option<Position>,
}

/// Plans, and does it if asked to.
pub(super) fn run(args: &RepairArgs) -> ExitCode {
    match repair(args) {
        Ok((plan, code)) if args.json => terms::print(&format!("{:#}\n", print::json(&plan)), code),
        Ok((plan, code)) => terms::print(&print::text(&plan), code),
        Err(why) if args.json => {
            let error = serde_json::json!({ "path": args.path, "error": why });
            terms::print(&format!("{error}\n"), 2)
        }
        Err(why) => {
            eprintln!("fastness: {why}");
            eprintln!("  next: fastness check {} shows what is there", args.path);
            ExitCode::from(2)
        }
    }
}

/// What there was to do, and the exit code.
fn repair(args: &RepairArgs) -> Result<(Plan, u8), String> {
    let time = args.truncate_to_time.as_deref().map(time::parse).transpose()?;
    let limits = Limits { time, position: args.truncate_to_position.map(Position) };
    let place = survey::look(&args.path)?;
    let _lock = if args.apply { place.lock()? } else { None };
    let mut plan = plan::make(&place, &limits)?;
    if plan.is_empty() {
        return Ok((plan, 0));
    }
    if !args.apply || !confirmed(&plan, args) {
        return Ok((plan, 1));
    }
    let now = SystemClock::new().wall();
    plan.kept_in = Some(apply::apply(&place, &plan, &limits, now)?);
    let report = crate::cli::check::look::look(&args.path)?;
    plan.verdict = Some(report.verdict());
    Ok((plan, if report.damage.is_empty() { 0 } else { 3 }))
}

/// On a terminal somebody is asked first; elsewhere `--apply` is enough.
fn confirmed(plan: &Plan, args: &RepairArgs) -> bool {
    let interactive = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if args.yes || args.json || !interactive {
        return true;
    }
    eprint!("{}Do it? [y/N] ", print::text(plan));
    let mut answer = String::new();
    // No answer is no.
    let _ = std::io::stdin().read_line(&mut answer);
    answer.trim().eq_ignore_ascii_case("y")
}
