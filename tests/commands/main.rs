//! What commands answer, and that what they did lasts.
//!
//! The transcripts of this folder (`README.md` explains their notation) are run five ways:
//! the replies; replay of the append-only file; a snapshot round trip; kill -9; and the same
//! transcript against a real redis-server, so that the transcripts themselves are known to be
//! right. `TRANSCRIPT=strings` picks one, `BLESS=1` writes missing replies.
//!
//! `differential.rs` then compares us with the real server on random commands, `notify.rs` the
//! keyspace events that transcripts and random commands cause.

#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod support;

mod access;
mod asides;
mod bless;
mod bypass;
mod clients;
mod compare;
mod differential;
mod generate;
mod hostile;
mod long_strings;
mod notify;
mod pattern;
mod runner;
mod sessions;
mod shorten;
mod table;
mod transcript;
mod turns;

use runner::{Protocol, differences, play};
use support::dataset::{self, VALUES};
use support::peers::{self, Program};
use support::server::Server;
use transcript::Transcript;

/// DEBUG has to be allowed everywhere, and a snapshot never starts by itself.
const COMMON: [&str; 2] = ["enable-debug-command yes", "save "];

fn start(program: &Program, transcript: &Transcript, options: &[&str]) -> Server {
    let mut all = COMMON.to_vec();
    all.extend_from_slice(options);
    all.extend(transcript.options.iter().map(String::as_str));
    Server::start(program, &all)
}

fn protocols(transcript: &Transcript) -> &'static [Protocol] {
    if transcript.resp2_only { &[Protocol::Resp2] } else { &[Protocol::Resp2, Protocol::Resp3] }
}

/// Runs `check` for every transcript, on two threads, and reports everything that it found.
fn for_all_transcripts(check: impl Fn(&Transcript) -> Vec<String> + Sync) {
    let transcripts = transcript::all();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(transcript) = transcripts.get(at) else { break };
                    let mut wrong = check(transcript);
                    found.lock().unwrap().append(&mut wrong);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    // By file, then by line.
    let place = |text: &String| -> (String, usize) {
        let mut parts = text.splitn(3, ':');
        let name = parts.next().unwrap_or_default().to_owned();
        let digits = parts.next().unwrap_or_default();
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        (name, digits.parse().unwrap_or(0))
    };
    found.sort_by_cached_key(place);
    let count = found.len();
    let limit = support::number_from_env("SHOW").unwrap_or(40) as usize;
    found.truncate(limit);
    assert!(
        count == 0,
        "{count} differences, set SHOW for more than {limit}\n{}",
        found.join("\n")
    );
}

fn replies(program: &Program, transcript: &Transcript) -> Vec<String> {
    let mut found = Vec::new();
    for &protocol in protocols(transcript) {
        let server = start(program, transcript, &[]);
        let outcomes = play(transcript, &server, protocol);
        found.extend(differences(transcript, &outcomes, protocol));
    }
    found
}

/// Plays the transcript, disturbs the server, and compares all data before and after.
fn lasting(transcript: &Transcript, disturb: impl Fn(&mut Server)) -> Vec<String> {
    let mut server = start(&peers::fastness(), transcript, &["appendonly yes"]);
    play(transcript, &server, Protocol::Resp2);
    let look = |server: &Server| {
        let mut client = server.client();
        let data = dataset::dump(&mut client, VALUES).unwrap();
        (data, client.must("DEBUG DIGEST").text())
    };
    let before = look(&server);
    disturb(&mut server);
    let after = look(&server);
    let mut found = Vec::new();
    if let Some(difference) = dataset::difference(&before.0, &after.0) {
        found.push(format!("{}: {difference}", transcript.name()));
    } else if before.1 != after.1 {
        found.push(format!("{}: equal data, DEBUG DIGEST differs", transcript.name()));
    }
    found
}

#[test]
fn replies_are_as_written() {
    for_all_transcripts(|transcript| replies(&peers::fastness(), transcript));
}

#[test]
fn replaying_the_log_gives_the_same_data() {
    for_all_transcripts(|transcript| lasting(transcript, Server::restart));
}

#[test]
fn a_snapshot_round_trip_gives_the_same_data() {
    for_all_transcripts(|transcript| {
        lasting(transcript, |server| {
            server.client().must("DEBUG RELOAD");
        })
    });
}

#[test]
fn kill_9_at_the_end_loses_nothing() {
    for_all_transcripts(|transcript| lasting(transcript, Server::crash));
}

#[test]
fn redis_answers_as_written() {
    let Some(redis) = peers::redis8() else { return };
    if std::env::var_os("BLESS").is_some() {
        for transcript in transcript::all() {
            let answers = |protocol| {
                [(), ()].map(|()| play(&transcript, &start(&redis, &transcript, &[]), protocol))
            };
            let both = bless::Answers {
                resp2: answers(Protocol::Resp2),
                resp3: (!transcript.resp2_only).then(|| answers(Protocol::Resp3)),
            };
            let written = bless::bless(&transcript, &both);
            eprintln!("{}: {written} replies written", transcript.name());
        }
    }
    for_all_transcripts(|transcript| replies(&redis, transcript));
}
