//! `fastness bench`: how fast is a server, and at what cost to its machine?
//!
//! `template` is what is sent, `keys` which keys, `target` the server, `load` one measurement, `replies` counts what
//! comes back, `report` the tables. Several servers are measured in turns, round by round, so that what else
//! the machine does falls on all of them; each figure is the median of the rounds.
//!
//! Exit codes: 0 done, 1 a server answered errors or went away, 2 the command line is wrong or a server
//! could not be reached.

mod keys;
mod load;
mod replies;
mod report;
mod target;
mod template;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::backup::terms;
use crate::clock::SystemClock;
use crate::rng::{Rng as _, SeededRng};
use keys::Keys;
use load::{Shape, Until};
use report::{Live, Row};
use target::Target;
use template::{Mix, Template};

/// What is measured when nothing is asked for: the README's table.
const USUAL: &str = "set,get,incr,lpush,hset,zadd";

/// See `--help`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// The server: redis://[user:password@]host[:port], host:port or unix:PATH.
    #[arg(default_value = "redis://127.0.0.1:6379")]
    server: String,
    /// Measure this server as well, in turns, and show ratios; may be given several times.
    #[arg(long, value_name = "URL")]
    against: Vec<String>,
    /// Tests by name, one after the other, as in redis-benchmark: set,get,incr,lpush,hset,zadd,mset,xadd ...
    #[arg(long, value_name = "NAMES")]
    tests: Option<String>,
    /// A command to measure; __rand_int__ is a number of the key space, __data__ a value. May be given several times.
    #[arg(long, value_name = "COMMAND")]
    command: Vec<String>,
    /// Commands at random by weight: get=80,set=20; a name may be a whole command. May be given several times.
    #[arg(long, value_name = "MIX")]
    mix: Vec<String>,
    /// Sent before each measurement, once for each number of the key space when it has __rand_int__ in it.
    #[arg(long, value_name = "COMMAND")]
    setup: Vec<String>,
    /// FLUSHALL before each measurement. Everything that the servers hold is lost.
    #[arg(long)]
    flush: bool,
    /// Requests sent before replies are awaited; several depths are measured in turn: 1,16.
    #[arg(short = 'P', long, default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pipeline: Vec<u32>,
    /// Connections.
    #[arg(short = 'c', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Bytes of __data__.
    #[arg(short = 'd', long, default_value_t = 64)]
    data_size: usize,
    /// How many numbers __rand_int__ is drawn from.
    #[arg(short = 'r', long, default_value_t = 100_000)]
    keys: u64,
    /// How they are drawn: uniform, or zipf:EXPONENT (below 1).
    #[arg(long, default_value = "uniform")]
    distribution: String,
    /// Requests of one measurement.
    #[arg(short = 'n', long, conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Seconds of one measurement; the default is 3.
    #[arg(long)]
    duration: Option<f64>,
    /// Requests a second, over all connections, on a timetable that does not wait for the server.
    #[arg(long)]
    rate: Option<f64>,
    /// How often each is measured; figures are medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Version of the protocol.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    resp: u8,
    /// Draw the same numbers as an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &BenchArgs) -> ExitCode {
    let plan = match Plan::new(args) {
        Ok(plan) => plan,
        Err(why) => return fail(args, &why, "fastness bench --help shows how to ask", 2),
    };
    let mut live = Live::new();
    let rows = plan.measure(&mut live);
    live.clear();
    match rows {
        Ok(rows) => {
            let text = match args.json {
                true => format!("{:#}\n", report::json(&rows, &plan.settings)),
                false => report::text(&rows, plan.targets.len()),
            };
            terms::print(&text, u8::from(rows.iter().any(|row| row.errors > 0)))
        }
        Err(why) => {
            fail(args, &why, "see that the server runs there: redis-cli -u ADDRESS ping", 1)
        }
    }
}

fn fail(args: &BenchArgs, why: &str, next: &str, code: u8) -> ExitCode {
    if args.json {
        return terms::print(&format!("{}\n", json!({ "error": why, "next": next })), code);
    }
    eprintln!("fastness: {why}\n  next: {next}");
    ExitCode::from(code)
}

/// What is to be measured, checked.
struct Plan {
    targets: Vec<Target>,
    mixes: Vec<Mix>,
    setup: Vec<Template>,
    flush: bool,
    pipelines: Vec<usize>,
    rounds: u32,
    shape: Shape,
    settings: Value,
}

impl Plan {
    fn new(args: &BenchArgs) -> Result<Self, String> {
        let servers = std::iter::once(&args.server).chain(&args.against);
        let targets: Result<Vec<_>, _> =
            servers.map(|text| Target::parse(text, args.resp == 3)).collect();
        let targets = targets?;
        let seed = args.seed.unwrap_or_else(|| SeededRng::from_os().next_u64() >> 16);
        let keys = Keys::parse(&args.distribution, args.keys)?;
        let data = "x".repeat(args.data_size);
        let mixes = mixes(args, &data, &keys)?;
        let setup: Result<Vec<_>, _> =
            args.setup.iter().map(|text| Template::parse(text, &data)).collect();
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if args.rate.is_some_and(|rate| !positive(rate)) {
            return Err("--rate is a number above 0".to_owned());
        }
        let seconds = args.duration.unwrap_or(3.0);
        if !positive(seconds) || seconds > 1e6 {
            return Err("--duration is a number of seconds above 0".to_owned());
        }
        let until =
            args.requests.map_or(Until::Time(Duration::from_secs_f64(seconds)), Until::Requests);
        for target in &targets {
            load::blocking(async { target.connect().await.map(drop) })?;
        }
        let shape = Shape {
            connections: args.connections as usize,
            threads: args.threads as usize,
            pipeline: 1,
            until,
            rate: args.rate,
            seed,
        };
        let settings = json!({
            "connections": args.connections, "threads": args.threads, "data_size": args.data_size,
            "keys": args.keys, "distribution": args.distribution, "requests": args.requests,
            "duration": args.requests.is_none().then_some(seconds), "rate": args.rate,
            "rounds": args.rounds, "resp": args.resp, "seed": seed,
        });
        let pipelines = args.pipeline.iter().map(|depth| *depth as usize).collect();
        let (flush, rounds) = (args.flush, args.rounds);
        Ok(Self { targets, mixes, setup: setup?, flush, pipelines, rounds, shape, settings })
    }

    fn measure(&self, live: &mut Live) -> Result<Vec<Row>, String> {
        let clock = Arc::new(SystemClock::new());
        let mut rows = Vec::new();
        for pipeline in &self.pipelines {
            for mix in &self.mixes {
                let shape = Shape { pipeline: *pipeline, ..self.shape.clone() };
                let mut outcomes: Vec<Vec<_>> = self.targets.iter().map(|_| Vec::new()).collect();
                for _ in 0..self.rounds {
                    for (target, outcomes) in self.targets.iter().zip(&mut outcomes) {
                        outcomes.push(self.once(target, mix, &shape, &clock, live)?);
                    }
                }
                let names: Vec<_> = mix.templates.iter().map(|one| one.name.clone()).collect();
                for (target, outcomes) in self.targets.iter().zip(&outcomes) {
                    rows.push(Row::of((&mix.name, *pipeline, &target.name), &names, outcomes));
                }
            }
        }
        Ok(rows)
    }

    fn once(
        &self,
        target: &Target,
        mix: &Mix,
        shape: &Shape,
        clock: &Arc<SystemClock>,
        live: &mut Live,
    ) -> Result<load::Outcome, String> {
        if self.flush {
            load::blocking(async {
                let mut stream = target.connect().await?;
                target.call(&mut stream, &["FLUSHALL"]).await
            })?;
        }
        load::prepare(target, &self.setup, mix.keys.count())?;
        let what = format!("{} P={} {}", mix.name, shape.pipeline, target.name);
        live.begin();
        let mut done = 0;
        let outcome = load::measure(target, mix, shape, clock, &mut |took, fresh| {
            done += fresh.iter().map(|seen| seen.times.len()).sum::<u64>();
            live.draw(&what, shape.until, done, took, fresh);
        });
        outcome.map_err(|why| match why.starts_with(&target.name) {
            true => why,
            false => format!("{}: {why}", target.name),
        })
    }
}

fn mixes(args: &BenchArgs, data: &str, keys: &Keys) -> Result<Vec<Mix>, String> {
    let mut mixes = Vec::new();
    let nothing = args.command.is_empty() && args.mix.is_empty();
    let tests = args.tests.as_deref().or(nothing.then_some(USUAL)).unwrap_or_default();
    for name in tests.split(',').filter(|name| !name.is_empty()) {
        mixes.push(Mix::single(Template::parse(name, data)?, keys.clone()));
    }
    for command in &args.command {
        mixes.push(Mix::single(Template::parse(command, data)?, keys.clone()));
    }
    for mix in &args.mix {
        mixes.push(Mix::parse(mix, data, keys.clone())?);
    }
    Ok(mixes)
}
