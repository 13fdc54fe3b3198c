//! Random commands, sent to two servers at once: every reply and, from time to time, all data with
//! encodings and digests must be equal.
//!
//! A round is up to 1000 commands on empty servers and depends on one number only. When a round
//! finds a difference it is shortened to the commands that are needed, and printed with that
//! number: `SEED=... COMMANDS=1000 make differential` repeats it, and a line in `seeds.txt` keeps
//! it for ever. `SEED` and `COMMANDS` also set where and how long to look, `SHOW` how many
//! differences end the run. Some rounds end with a snapshot that is loaded by both servers, some
//! with a replay of our log.
//! `DIFFERENTIAL=redis7` compares the two real servers with each other.

use std::cell::RefCell;
use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

use super::generate::{Command, Form, commands, forms};
use super::sessions::Sessions;
use super::transcript;
use crate::support::peers::{self, Kind, Program};
use crate::support::reply::escape;
use crate::support::rng::{Rng, fresh_seed};
use crate::support::server::Server;
use crate::support::{number_from_env, parse_number};

const COMMANDS_PER_ROUND: usize = 1000;
const COMMANDS_PER_LOOK: usize = 250;

struct Pair {
    servers: RefCell<[Server; 2]>,
    /// Connections for the next round, unless the last one broke them.
    sessions: RefCell<Option<Sessions>>,
}

struct Difference {
    /// How many commands had been answered.
    sent: usize,
    text: String,
}

impl Pair {
    fn start(programs: [&Program; 2]) -> Self {
        let servers = programs.map(|program| {
            let log =
                if program.kind == Kind::Fastness { "appendonly yes" } else { "appendonly no" };
            let options = [
                "enable-debug-command yes",
                "save ",
                "auto-aof-rewrite-percentage 0",
                "hz 500",
                log,
            ];
            Server::start(program, &options)
        });
        Self { servers: RefCell::new(servers), sessions: RefCell::new(None) }
    }

    /// Sends the commands to both servers, up to the first difference.
    fn run(&self, seed: u64, commands: &[Command]) -> Option<Difference> {
        let mut sent = 0;
        match self.play(seed, commands, &mut sent) {
            Ok(None) => None,
            Ok(Some(text)) => Some(Difference { sent, text }),
            Err(error) => {
                let mut text = error.to_string();
                let mut bug_of_redis = false;
                // The real server may have met a bug of its own, and takes its time to say so.
                std::thread::sleep(Duration::from_millis(500));
                for server in self.servers.borrow_mut().iter_mut() {
                    if !server.has_ended() && error.kind() != io::ErrorKind::WouldBlock {
                        continue;
                    }
                    let printed = server.place().printed();
                    let why = printed.lines().filter(|line| line.contains(" # ")).take(8);
                    let why: Vec<&str> = why.collect();
                    let _ = write!(text, "\n{} ended: {}", server.program.name, why.join("\n"));
                    bug_of_redis |= server.has_ended() && server.program.kind != Kind::Fastness;
                    // One that does not answer any more is ended.
                    server.crash();
                }
                if bug_of_redis {
                    eprintln!("SEED={seed:#x} not compared to its end: {text}");
                    return None;
                }
                Some(Difference { sent: (sent + 1).min(commands.len()), text })
            }
        }
    }

    fn play(
        &self,
        seed: u64,
        commands: &[Command],
        sent: &mut usize,
    ) -> io::Result<Option<String>> {
        let kept = self.sessions.take();
        let mut sessions = kept.unwrap_or_else(|| Sessions::open(&self.servers.borrow()));
        sessions.begin(seed)?;
        let has_log = self.servers.borrow()[1].program.kind == Kind::Fastness;
        let replays = has_log && seed % 8 == 1;
        if replays {
            sessions.rewrite_log()?;
        }
        let mut found = None;
        for chunk in commands.chunks(COMMANDS_PER_LOOK) {
            let goes_on = |one: &Command, next: &Command| {
                one.may_be_followed() && one.connection == next.connection
            };
            for batch in chunk.chunk_by(goes_on) {
                if found.is_none() {
                    found = sessions.batch(batch, sent)?;
                }
            }
            if found.is_none() {
                found = sessions.compare_data()?;
            }
        }
        if found.is_none() && replays {
            found = sessions.replay_log()?;
        }
        if found.is_none() && seed.is_multiple_of(4) {
            found = sessions.reload()?;
        }
        self.sessions.replace(Some(sessions));
        Ok(found)
    }

    /// Leaves out commands for as long as a difference remains, at most a minute.
    fn minimise(
        &self,
        seed: u64,
        mut commands: Vec<Command>,
        first: &str,
    ) -> (Vec<Command>, Difference) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut last = self.run(seed, &commands).unwrap_or(Difference {
            sent: commands.len(),
            text: format!("{first}\n    did not happen a second time"),
        });
        let mut chunk = commands.len().div_ceil(2);
        while Instant::now() < deadline {
            let mut at = 0;
            let mut shorter = false;
            while at < commands.len() && Instant::now() < deadline {
                let mut fewer = commands.clone();
                fewer.drain(at..(at + chunk).min(commands.len()));
                match self.run(seed, &fewer) {
                    Some(difference) => {
                        fewer.truncate(difference.sent);
                        commands = fewer;
                        last = difference;
                        shorter = true;
                    }
                    None => at += chunk,
                }
            }
            if chunk == 1 && !shorter {
                break;
            }
            chunk = (chunk / 2).max(1);
        }
        (commands, last)
    }
}

pub(crate) fn round(forms: &[Form], seed: u64, count: usize) -> Vec<Command> {
    let mut rng = Rng::new(seed);
    commands(forms, &mut rng, count)
}

fn report(pair: &Pair, seed: u64, commands: Vec<Command>, first: &str) -> String {
    let (commands, difference) = pair.minimise(seed, commands, first);
    let names = pair.servers.borrow().each_ref().map(|server| server.program.name);
    let mut text = format!("{} (left) and {} (right) differ\n", names[0], names[1]);
    let _ = writeln!(text, "SEED={seed:#x} COMMANDS={COMMANDS_PER_ROUND} make differential");
    for command in &commands {
        let mark = if command.connection == 1 { "b" } else { "" };
        let args: Vec<String> = command.args.iter().map(|arg| quoted(arg)).collect();
        let _ = writeln!(text, "{mark}> {}", args.join(" "));
    }
    let _ = writeln!(text, "    {}", difference.text);
    text
}

/// An argument as a transcript has it.
pub(crate) fn quoted(arg: &[u8]) -> String {
    let plain = !arg.is_empty() && arg.iter().all(|byte| (0x21..0x7f).contains(byte));
    if plain && !arg.contains(&b'"') && !arg.contains(&b'\\') && !arg.contains(&b'{') {
        return escape(arg);
    }
    format!("\"{}\"", crate::support::reply::escape_quoted(arg))
}

/// Rounds from `first` on, until `commands` have been sent or `limit` differences are found.
fn search(pair: &Pair, first: u64, commands_in_all: usize, limit: usize) -> Vec<String> {
    let forms = forms();
    let mut seeds = Rng::new(first);
    let mut seed = first;
    let mut left = commands_in_all;
    let mut reports = Vec::new();
    let start = Instant::now();
    while left > 0 && reports.len() < limit {
        let count = left.min(COMMANDS_PER_ROUND);
        left -= count;
        let mut commands = round(&forms, seed, count);
        if let Some(difference) = pair.run(seed, &commands) {
            commands.truncate(difference.sent);
            let report = report(pair, seed, commands, &difference.text);
            eprintln!("{report}");
            reports.push(report);
        }
        seed = seeds.next();
        let done = commands_in_all - left;
        if done.is_multiple_of(100_000) {
            let rate = done as f64 / start.elapsed().as_secs_f64();
            eprintln!("{done} commands, {rate:.0} a second, {} differences", reports.len());
        }
    }
    reports
}

fn kept_seeds() -> Vec<u64> {
    let text = std::fs::read_to_string(transcript::folder().join("seeds.txt")).unwrap();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let word = line.split_ascii_whitespace().next().unwrap_or(line);
            parse_number(word).unwrap_or_else(|| panic!("seeds.txt: {line}"))
        })
        .collect()
}

fn compared() -> Option<[Program; 2]> {
    let redis8 = peers::redis8()?;
    match std::env::var("DIFFERENTIAL").as_deref() {
        Ok("redis8") => Some([redis8.clone(), redis8]),
        Ok("redis7") => Some([redis8, peers::redis_on_path()?]),
        Ok("valkey") => Some([redis8, peers::valkey9()?]),
        _ => Some([redis8, peers::fastness()]),
    }
}

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some([left, right]) = compared() else { return };
    let pair = Pair::start([&left, &right]);
    let seed = number_from_env("SEED").unwrap_or_else(fresh_seed);
    let commands = number_from_env("COMMANDS").unwrap_or(10_000) as usize;
    let limit = number_from_env("SHOW").unwrap_or(3) as usize;
    eprintln!("differential: SEED={seed:#x} COMMANDS={commands}");
    let reports = search(&pair, seed, commands, limit);
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

#[test]
fn seeds_that_once_found_a_difference_find_none() {
    let Some([left, right]) = compared() else { return };
    let pair = Pair::start([&left, &right]);
    let reports: Vec<String> =
        kept_seeds().iter().flat_map(|&seed| search(&pair, seed, COMMANDS_PER_ROUND, 1)).collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}
