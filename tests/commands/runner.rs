//! Plays a transcript to a server and collects what came back.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::pattern::Pattern;
use super::transcript::{Action, Expected, Step, Transcript, arguments};
use crate::support::client::Client;
use crate::support::peers::Kind;
use crate::support::reply::Reply;
use crate::support::server::Server;

const REPLY_WITHIN: Duration = Duration::from_secs(10);
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Reply(Reply),
    Closed,
    Silence,
    /// The step was not played: the server is too old for it.
    Skipped,
}

impl Outcome {
    pub(crate) fn fits(&self, pattern: &Pattern) -> bool {
        match (self, pattern) {
            (Self::Skipped, _) => true,
            (Self::Reply(reply), pattern) => pattern.matches(reply),
            (Self::Closed, Pattern::Closed) | (Self::Silence, Pattern::Nothing) => true,
            _ => false,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Reply(reply) => reply.to_string(),
            Self::Closed => "closed".into(),
            Self::Silence => "nothing".into(),
            Self::Skipped => "skipped".into(),
        }
    }
}

impl Expected {
    pub(crate) fn pattern(&self, protocol: Protocol) -> &Pattern {
        match (protocol, &self.resp3) {
            (Protocol::Resp3, Some(pattern)) => pattern,
            _ => &self.resp2,
        }
    }
}

/// For each step, what came back for each reply that it expects; at least one for a request.
pub(crate) type Outcomes = Vec<Vec<Outcome>>;

pub(crate) fn play(transcript: &Transcript, server: &Server, protocol: Protocol) -> Outcomes {
    play_watched(transcript, server, protocol, |_| {})
}

/// Plays a transcript and calls `watch` after each step that was played.
pub(crate) fn play_watched(
    transcript: &Transcript,
    server: &Server,
    protocol: Protocol,
    mut watch: impl FnMut(&Step),
) -> Outcomes {
    let version = server_version(server);
    let mut player = Player { server, protocol, connections: HashMap::new(), kept: HashMap::new() };
    let mut outcomes = Outcomes::new();
    for step in &transcript.steps {
        let skipped = match server.program.kind {
            Kind::Fastness => step.needs.missing,
            _ => step.needs.version.as_ref().is_some_and(|needs| older(&version, needs)),
        };
        if skipped {
            outcomes.push(vec![Outcome::Skipped; step.expected.len().max(1)]);
            continue;
        }
        outcomes.push(player.step(step).unwrap_or_else(|why| {
            panic!("{}:{}: {why}", transcript.path.display(), step.line + 1)
        }));
        watch(step);
    }
    outcomes
}

/// The places where a transcript and what came back differ, readable and with line numbers.
pub(crate) fn differences(
    transcript: &Transcript,
    outcomes: &Outcomes,
    protocol: Protocol,
) -> Vec<String> {
    let mut found = Vec::new();
    let mode = if protocol == Protocol::Resp3 { " (RESP3)" } else { "" };
    for (step, outcomes) in transcript.steps.iter().zip(outcomes) {
        let replies = matches!(step.action, Action::Request(_)) && !step.sent_only;
        if replies && step.expected.is_empty() {
            found.push(format!("{}:{}: no reply written", transcript.name(), step.line + 1));
        }
        for (expected, outcome) in step.expected.iter().zip(outcomes) {
            if !outcome.fits(expected.pattern(protocol)) {
                let line = match protocol {
                    Protocol::Resp3 => expected.resp3_line.unwrap_or(expected.line),
                    Protocol::Resp2 => expected.line,
                };
                found.push(format!(
                    "{}:{}{mode}\n    {}\n    expected {}\n    got      < {}",
                    transcript.name(),
                    line + 1,
                    transcript.lines[step.line],
                    transcript.lines[line],
                    outcome.text(),
                ));
            }
        }
    }
    found
}

struct Player<'a> {
    server: &'a Server,
    protocol: Protocol,
    connections: HashMap<String, Client>,
    kept: HashMap<String, Vec<u8>>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<Vec<Outcome>, String> {
        let mut count = step.expected.len();
        match &step.action {
            Action::Sleep(millis) => std::thread::sleep(Duration::from_millis(*millis)),
            Action::Settled => self.settle()?,
            Action::Reset => self.connections.clear(),
            Action::Close => {
                let client = self.connections.remove(&step.connection);
                client.map_or(Ok(()), Client::close).map_err(|error| error.to_string())?;
            }
            Action::Let(name, request) => {
                let args = self.arguments(request)?;
                let reply = self
                    .connection(&step.connection)
                    .call(&args)
                    .map_err(|error| error.to_string())?;
                let kept = match &reply {
                    Reply::Int(value) => value.to_string().into_bytes(),
                    other => other.bytes().ok_or("let needs a string or a number")?.to_vec(),
                };
                self.kept.insert(name.clone(), kept);
            }
            Action::Raw(bytes) => {
                self.connection(&step.connection)
                    .send_raw(bytes)
                    .map_err(|error| error.to_string())?;
            }
            Action::Request(request) => {
                let args = self.arguments(request)?;
                // A closed connection shows when the reply is read.
                self.connection(&step.connection).send(&args).ok();
                count = count.max(usize::from(!step.sent_only));
            }
            Action::Listen => {}
        }
        (0..count).map(|at| self.outcome(step, at)).collect()
    }

    /// Waits until nothing is saved or rewritten.
    fn settle(&self) -> Result<(), String> {
        let idle = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"];
        let mut client = self.server.client();
        let begin = Instant::now();
        while begin.elapsed() < SETTLED_WITHIN {
            let info = client.must("INFO persistence").text().ok_or("INFO is no text")?;
            if idle.iter().all(|field| info.contains(&format!("{field}:0\r"))) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("a save or rewrite does not end".into())
    }

    fn outcome(&mut self, step: &Step, at: usize) -> Result<Outcome, String> {
        let wanted = step.expected.get(at).map(|expected| expected.pattern(self.protocol));
        let client = self.connection(&step.connection);
        let silent = matches!(wanted, Some(Pattern::Nothing));
        let patience = if silent { Duration::from_millis(60) } else { REPLY_WITHIN };
        client.set_timeout(patience).map_err(|error| error.to_string())?;
        match client.receive() {
            Ok(reply) => Ok(Outcome::Reply(reply)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Outcome::Silence)
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(error.to_string()),
            Err(_) => Ok(Outcome::Closed),
        }
    }

    fn connection(&mut self, name: &str) -> &mut Client {
        let (server, protocol) = (self.server, self.protocol);
        self.connections.entry(name.to_owned()).or_insert_with(|| {
            let mut client = server.client();
            if protocol == Protocol::Resp3 {
                client.must("HELLO 3");
            }
            client
        })
    }

    fn arguments(&self, request: &str) -> Result<Vec<Vec<u8>>, String> {
        arguments(request, &|name| self.kept.get(name).cloned())
    }
}

fn server_version(server: &Server) -> String {
    let info = server.client().must("INFO server").text().unwrap_or_default();
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
    };
    field("redis_version:").unwrap_or_default()
}

fn older(version: &str, needed: &str) -> bool {
    let parts = |text: &str| -> Vec<u32> {
        text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    parts(version) < parts(needed)
}
