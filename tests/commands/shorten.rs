//! What of a round of the differential test is needed for its difference: fewer commands with fewer
//! arguments, written as a transcript has them.

use std::fmt;
use std::time::{Duration, Instant};

use super::differential::{Difference, Pair};
use super::generate::Command;
use crate::support::reply::{escape, escape_quoted};

/// Longer runs of one byte are written `{x*1000}`.
const LONG_RUN: usize = 12;

pub(crate) struct Shortened {
    pub(crate) seed: u64,
    commands: Vec<Command>,
    text: String,
}

/// Leaves out commands, then arguments, for as long as a difference remains, at most a minute.
pub(crate) fn shorten(
    pair: &Pair,
    seed: u64,
    commands: Vec<Command>,
    first: Difference,
) -> Shortened {
    let mut work = Work {
        pair,
        seed,
        text: format!("{}\n    did not happen a second time", first.text),
        commands,
        deadline: Instant::now() + Duration::from_secs(60),
    };
    if work.still_differs(work.commands.clone()) {
        work.drop_commands();
        work.drop_arguments();
        work.drop_commands();
    }
    Shortened { seed, commands: work.commands, text: work.text }
}

struct Work<'a> {
    pair: &'a Pair,
    seed: u64,
    commands: Vec<Command>,
    text: String,
    deadline: Instant,
}

impl Work<'_> {
    /// Keeps these commands if they find a difference, too.
    fn still_differs(&mut self, mut commands: Vec<Command>) -> bool {
        let Some(difference) = self.pair.run(self.seed, &commands) else { return false };
        commands.truncate(difference.sent);
        self.commands = commands;
        self.text = difference.text;
        true
    }

    fn drop_commands(&mut self) {
        let mut chunk = self.commands.len().div_ceil(2);
        loop {
            let mut at = 0;
            let mut shorter = false;
            while at < self.commands.len() {
                if Instant::now() > self.deadline {
                    return;
                }
                let mut fewer = self.commands.clone();
                fewer.drain(at..(at + chunk).min(self.commands.len()));
                if self.still_differs(fewer) {
                    shorter = true;
                } else {
                    at += chunk;
                }
            }
            if chunk == 1 && !shorter {
                return;
            }
            chunk = (chunk / 2).max(1);
        }
    }

    fn drop_arguments(&mut self) {
        let mut which = 0;
        while let Some(command) = self.commands.get(which) {
            let mut chunk = command.args.len() / 2;
            while chunk > 0 {
                let mut at = 1;
                while at + chunk <= self.commands.get(which).map_or(0, |one| one.args.len()) {
                    if Instant::now() > self.deadline {
                        return;
                    }
                    let mut fewer = self.commands.clone();
                    fewer[which].args.drain(at..at + chunk);
                    if !fewer[which].is_left_out() && self.still_differs(fewer) {
                        continue;
                    }
                    at += chunk;
                }
                chunk /= 2;
            }
            which += 1;
        }
    }
}

impl Shortened {
    /// What differences have in common that are probably one: the names of the commands, and the
    /// kind of both replies.
    pub(crate) fn shape(&self) -> String {
        let mut names: Vec<String> = self.commands.iter().map(name).collect();
        names.dedup();
        let lines = self.text.lines().map(|line| {
            let words = line.trim().split(' ').filter(|word| !word.bytes().any(is_of_data));
            words.take(6).collect::<Vec<_>>().join(" ")
        });
        format!("{} | {}", names.join(" "), lines.take(4).collect::<Vec<_>>().join(" | "))
    }
}

fn is_of_data(byte: u8) -> bool {
    byte.is_ascii_digit() || b"\"[](){}\\".contains(&byte)
}

fn name(command: &Command) -> String {
    String::from_utf8_lossy(&command.args[0]).to_ascii_uppercase()
}

impl fmt::Display for Shortened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for command in &self.commands {
            let mark = if command.connection == 1 { "b" } else { "" };
            let args: Vec<String> = command.args.iter().map(|arg| quoted(arg)).collect();
            writeln!(f, "{mark}> {}", args.join(" "))?;
        }
        write!(f, "    {}", self.text)
    }
}

/// An argument as a transcript has it.
pub(crate) fn quoted(arg: &[u8]) -> String {
    if arg.len() >= LONG_RUN && arg.iter().all(|byte| *byte == arg[0] && arg[0] == b'x') {
        return format!("{{x*{}}}", arg.len());
    }
    let plain = !arg.is_empty() && arg.iter().all(|byte| (0x21..0x7f).contains(byte));
    if plain && !arg.contains(&b'"') && !arg.contains(&b'\\') && !arg.contains(&b'{') {
        return escape(arg);
    }
    format!("\"{}\"", escape_quoted(arg))
}
