//! Keyspace events: what a listener hears of each command must be what it hears from the real server,
//! in the same order.
//!
//! The commands are those of all transcripts, and random ones. After each command somebody publishes
//! a mark, so that the listener knows which events belong to the command.

use std::collections::HashMap;
use std::time::Duration;

use super::differential::round;
use super::generate::{Check, data_forms};
use super::runner::{Protocol, play_watched};
use super::shorten::quoted;
use super::start;
use super::transcript::Transcript;
use crate::support::client::Client;
use crate::support::number_from_env;
use crate::support::peers::{self, Program};
use crate::support::reply::Reply;
use crate::support::rng::fresh_seed;
use crate::support::server::Server;

/// What was heard since the last mark: channel and message of each event.
type Heard = Vec<String>;

struct Listener {
    listener: Client,
    marker: Client,
    marks: u64,
}

impl Listener {
    fn new(server: &Server) -> Self {
        let mut marker = server.client();
        marker.must("CONFIG SET notify-keyspace-events AKEmn");
        let mut listener = server.client();
        listener.must("PSUBSCRIBE __key*");
        listener.must("SUBSCRIBE mark");
        listener.set_timeout(Duration::from_secs(10)).unwrap();
        Self { listener, marker, marks: 0 }
    }

    fn heard(&mut self) -> Heard {
        self.marks += 1;
        let mark = self.marks.to_string();
        self.marker.must(&format!("PUBLISH mark {mark}"));
        let mut heard = Heard::new();
        loop {
            let message = self.listener.receive().unwrap();
            let parts: Vec<&[u8]> = message.items().iter().filter_map(Reply::bytes).collect();
            match parts.as_slice() {
                [b"message", b"mark", number] if *number == mark.as_bytes() => return heard,
                [b"pmessage", _, channel, event] => {
                    let text = format!("{} {}", shown(channel), shown(event));
                    if !is_by_time(&text) {
                        heard.push(text);
                    }
                }
                _ => panic!("unexpected {message}"),
            }
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Expiry happens when a server gets to it.
fn is_by_time(event: &str) -> bool {
    event.ends_with(" expired") || event.contains(":expired ") || event.contains("hexpired")
}

/// What may differ: a hash whose fields expired is gone when a server gets to it; Redis looks twice for a
/// key that XREAD does not find, and one that MIGRATE does not find counts here as no miss.
fn comparable(heard: &[String], transcript: &Transcript, line: usize) -> Heard {
    let expiry = transcript.name() == "hashes_expiry.txt";
    let by_time = |event: &&String| {
        expiry && [" del", ":del ", "keymiss"].iter().any(|name| event.contains(name))
    };
    let mut heard: Heard = heard.iter().filter(|event| !by_time(event)).cloned().collect();
    let request = transcript.lines[line].as_str();
    // Which of equally old keys is evicted first is chance.
    if request.contains("XREAD ") || request.contains("maxmemory") {
        heard.sort();
        heard.dedup();
    }
    if request.contains("MIGRATE ") {
        heard.retain(|event| !event.contains("keymiss"));
    }
    heard
}

/// Which line of a transcript caused which events.
fn events_of(program: &Program, transcript: &Transcript) -> HashMap<usize, Heard> {
    let server = start(program, transcript, &[]);
    let mut listener = Listener::new(&server);
    let mut heard: HashMap<usize, Heard> = HashMap::new();
    play_watched(transcript, &server, Protocol::Resp2, |step| {
        let events = listener.heard();
        if !step.needs.missing {
            heard.entry(step.line).or_default().extend(events);
        }
    });
    heard
}

/// These end connections of listeners, or pause or refuse who publishes the marks.
const NOT_PLAYED: &[&str] =
    &["pubsub", "client_", "connection", "acl", "newer_acl", "newer_clients", "scripts_busy"];

#[test]
fn transcripts_cause_the_events_that_they_cause_in_redis() {
    let Some(redis) = peers::redis8() else { return };
    super::for_all_transcripts(|transcript| {
        if NOT_PLAYED.iter().any(|start| transcript.name().starts_with(start)) {
            return Vec::new();
        }
        let ours = events_of(&peers::fastness(), transcript);
        let theirs = events_of(&redis, transcript);
        let mut found = Vec::new();
        for (line, theirs) in theirs {
            let ours = ours.get(&line).cloned().unwrap_or_default();
            let [theirs, ours] = [theirs, ours].map(|heard| comparable(&heard, transcript, line));
            if ours != theirs {
                found.push(format!(
                    "{}:{}: {}\n    redis {theirs:?}\n    ours  {ours:?}",
                    transcript.name(),
                    line + 1,
                    transcript.lines[line],
                ));
            }
        }
        found
    });
}

#[test]
fn random_commands_cause_the_events_that_they_cause_in_redis() {
    let Some(redis) = peers::redis8() else { return };
    let options = ["enable-debug-command yes", "save ", "appendonly no"];
    let servers = [redis, peers::fastness()].map(|program| Server::start(&program, &options));
    let seed = number_from_env("SEED").unwrap_or_else(fresh_seed);
    let count = number_from_env("COMMANDS").unwrap_or(3_000) as usize;
    eprintln!("events: SEED={seed:#x} COMMANDS={count}");
    let mut clients = servers.each_ref().map(|server| [server.client(), server.client()]);
    let mut listeners = servers.each_ref().map(Listener::new);
    // Random choices would make the data differ.
    let forms = data_forms();
    let commands = round(&forms, seed, count);
    let commands = commands.iter().filter(|command| command.check != Check::CopyEffect);
    let mut found = Vec::new();
    for command in commands {
        let args: Vec<String> = command.args.iter().map(|arg| quoted(arg)).collect();
        let replies = clients.each_mut().map(|own| own[command.connection].call(&command.args));
        let [theirs, ours] = listeners.each_mut().map(|listener| {
            let mut heard = listener.heard();
            // The order in which SORT looks for weights depends on the sorting algorithm.
            if command.args[0].to_ascii_uppercase().starts_with(b"SORT") {
                heard.sort();
            }
            // Which keys were looked for before an error was found says nothing, and commands of streams
            // differ in how often they look.
            let name = command.args[0].to_ascii_uppercase();
            let looks_differ = name == b"EXEC" || name.starts_with(b"X");
            if looks_differ || replies.iter().flatten().any(Reply::is_error) {
                heard.retain(|event| !event.contains("keymiss"));
            }
            heard
        });
        if ours != theirs {
            let shown =
                replies.map(|reply| reply.map_or_else(|e| e.to_string(), |r| r.to_string()));
            found.push(format!(
                "> {}\n    redis {theirs:?} {}\n    ours  {ours:?} {}",
                args.join(" "),
                shown[0],
                shown[1]
            ));
        }
        if found.len() > 20 {
            break;
        }
    }
    assert!(found.is_empty(), "SEED={seed:#x} COMMANDS={count}\n{}", found.join("\n"));
}
