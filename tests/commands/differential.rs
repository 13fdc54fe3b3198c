//! Random commands, sent to two servers at once: every reply and, from time to time, all data with
//! encodings and digests must be equal.
//!
//! A round is up to 1000 commands on empty servers and depends on one number only. When a round
//! finds a difference it is shortened to the commands that are needed (`shorten.rs`), and printed
//! with that number: `SEED=... COMMANDS=1000 make differential` repeats it, and a line in
//! `seeds.txt` keeps it for ever. `SEED` and `COMMANDS` also set where and how long to look,
//! `SHOW` how many differences of different shapes end the run, `PAIRS` how many pairs of servers
//! play rounds at once. Some rounds end with a snapshot that is loaded by both servers, some with
//! a replay of our log.
//! `DIFFERENTIAL=redis7` compares the two real servers with each other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::generate::{Command, Form, commands, forms};
use super::sessions::Sessions;
use super::shorten::{Shortened, shorten};
use super::transcript;
use crate::support::peers::{self, Kind, Program};
use crate::support::rng::{Rng, fresh_seed};
use crate::support::server::Server;
use crate::support::{number_from_env, parse_number};

const COMMANDS_PER_ROUND: usize = 1000;
const COMMANDS_PER_LOOK: usize = 250;

pub(crate) struct Pair {
    servers: RefCell<[Server; 2]>,
    /// Connections for the next round, unless the last one broke them.
    sessions: RefCell<Option<Sessions>>,
}

pub(crate) struct Difference {
    /// How many commands had been answered.
    pub(crate) sent: usize,
    pub(crate) text: String,
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

    fn names(&self) -> [&'static str; 2] {
        self.servers.borrow().each_ref().map(|server| server.program.name)
    }

    /// Sends the commands to both servers, up to the first difference.
    pub(crate) fn run(&self, seed: u64, commands: &[Command]) -> Option<Difference> {
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
}

pub(crate) fn round(forms: &[Form], seed: u64, count: usize) -> Vec<Command> {
    let mut rng = Rng::new(seed);
    commands(forms, &mut rng, count)
}

/// What several pairs of servers find between them.
struct Search {
    seeds: Rng,
    next_seed: u64,
    commands: usize,
    left: usize,
    limit: usize,
    start: Instant,
    /// The shapes of the differences that were found, and how often.
    shapes: BTreeMap<String, usize>,
    reports: Vec<String>,
}

impl Search {
    /// Rounds from `first` on, until `commands` have been sent or `limit` differences are found.
    fn new(first: u64, commands: usize, limit: usize) -> Self {
        Self {
            seeds: Rng::new(first),
            next_seed: first,
            commands,
            left: commands,
            limit,
            start: Instant::now(),
            shapes: BTreeMap::new(),
            reports: Vec::new(),
        }
    }

    /// The seed of the next round and its number of commands.
    fn next(&mut self) -> Option<(u64, usize)> {
        let count = self.left.min(COMMANDS_PER_ROUND);
        if count == 0 || self.reports.len() >= self.limit {
            return None;
        }
        self.left -= count;
        let seed = std::mem::replace(&mut self.next_seed, self.seeds.next());
        let done = self.commands - self.left;
        if done.is_multiple_of(100_000) {
            let rate = done as f64 / self.start.elapsed().as_secs_f64();
            let found: usize = self.shapes.values().sum();
            eprintln!("{done} commands, {rate:.0} a second, {found} differences");
        }
        Some((seed, count))
    }

    fn add(&mut self, found: Shortened, names: [&str; 2]) {
        let times = self.shapes.entry(found.shape()).or_default();
        *times += 1;
        if *times > 1 {
            eprintln!("SEED={:#x} differs like one before: {}", found.seed, found.shape());
            return;
        }
        let mut text = format!("{} (left) and {} (right) differ\n", names[0], names[1]);
        let seed = found.seed;
        let _ = writeln!(text, "SEED={seed:#x} COMMANDS={COMMANDS_PER_ROUND} make differential");
        let _ = writeln!(text, "{found}");
        eprintln!("{text}");
        self.reports.push(text);
    }
}

/// Plays rounds until the search has no more of them.
fn play(pair: &Pair, search: &Mutex<Search>, forms: &[Form]) {
    loop {
        let next = search.lock().unwrap().next();
        let Some((seed, count)) = next else { return };
        let mut commands = round(forms, seed, count);
        if let Some(difference) = pair.run(seed, &commands) {
            commands.truncate(difference.sent);
            let found = shorten(pair, seed, commands, difference);
            search.lock().unwrap().add(found, pair.names());
        }
    }
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
    let seed = number_from_env("SEED").unwrap_or_else(fresh_seed);
    let commands = number_from_env("COMMANDS").unwrap_or(10_000) as usize;
    let limit = number_from_env("SHOW").unwrap_or(3) as usize;
    eprintln!("differential: SEED={seed:#x} COMMANDS={commands}");
    let search = Mutex::new(Search::new(seed, commands, limit));
    let pairs = number_from_env("PAIRS").unwrap_or(2);
    std::thread::scope(|scope| {
        for _ in 0..pairs {
            scope.spawn(|| play(&Pair::start([&left, &right]), &search, &forms()));
        }
    });
    let reports = search.into_inner().unwrap().reports;
    assert!(reports.is_empty(), "{} differences\n{}", reports.len(), reports.join("\n"));
}

#[test]
fn seeds_that_once_found_a_difference_find_none() {
    let Some([left, right]) = compared() else { return };
    let pair = Pair::start([&left, &right]);
    let mut reports = Vec::new();
    for seed in kept_seeds() {
        let search = Mutex::new(Search::new(seed, COMMANDS_PER_ROUND, 1));
        play(&pair, &search, &forms());
        reports.append(&mut search.into_inner().unwrap().reports);
    }
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}
