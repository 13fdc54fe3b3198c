//! Writes the replies of the real server into a transcript that has only requests.
//!
//! Everything is played twice, to two servers: where the replies differ, the difference becomes a
//! pattern. Reply lines that hold already, patterns among them, are left as they are.

use std::collections::BTreeMap;
use std::fs;

use super::pattern::Pattern;
use super::runner::{Outcome, Outcomes, Protocol};
use super::transcript::{Action, Step, Transcript};
use crate::support::reply::{Reply, joined, nested};

/// What two servers answered in each protocol.
pub(crate) struct Answers {
    pub(crate) resp2: [Outcomes; 2],
    pub(crate) resp3: Option<[Outcomes; 2]>,
}

/// Rewrites the file. Returns how many replies were written.
pub(crate) fn bless(transcript: &Transcript, answers: &Answers) -> usize {
    let mut edits: BTreeMap<usize, Option<Vec<String>>> = BTreeMap::new();
    let mut additions: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut written = 0;
    for (index, step) in transcript.steps.iter().enumerate() {
        let asks = matches!(step.action, Action::Request(_)) && !step.sent_only;
        if asks && step.expected.is_empty() {
            additions.insert(step.line, reply_lines(step, index, 0, answers));
            written += 1;
        }
        for (at, expected) in step.expected.iter().enumerate() {
            let holds = |outcomes: &[Outcomes; 2], protocol| {
                outcomes.iter().all(|all| all[index][at].fits(expected.pattern(protocol)))
            };
            let right = holds(&answers.resp2, Protocol::Resp2)
                && answers.resp3.as_ref().is_none_or(|all| holds(all, Protocol::Resp3));
            if !right {
                edits.insert(expected.line, Some(reply_lines(step, index, at, answers)));
                if let Some(line) = expected.resp3_line {
                    edits.insert(line, None);
                }
                written += 1;
            }
        }
    }
    let mut text = String::new();
    for (number, line) in transcript.lines.iter().enumerate() {
        match edits.get(&number) {
            Some(lines) => lines.iter().flatten().for_each(|line| text.push_str(&ended(line))),
            None => text.push_str(&ended(line)),
        }
        additions.get(&number).into_iter().flatten().for_each(|line| text.push_str(&ended(line)));
    }
    if written > 0 {
        fs::write(&transcript.path, text).unwrap();
    }
    written
}

fn ended(line: &str) -> String {
    format!("{}\n", line.trim_end())
}

fn reply_lines(step: &Step, index: usize, at: usize, answers: &Answers) -> Vec<String> {
    let [first, second] = answers.resp2.each_ref().map(|all| &all[index][at]);
    let plain = merged_outcomes(first, second);
    let mut lines = vec![format!("{}< {plain}", step.connection)];
    if let Some(resp3) = &answers.resp3 {
        let [first, second] = resp3.each_ref().map(|all| &all[index][at]);
        let same = Pattern::parse(&plain)
            .is_ok_and(|pattern| first.fits(&pattern) && second.fits(&pattern));
        if !same {
            lines.push(format!("{}<3 {}", step.connection, merged_outcomes(first, second)));
        }
    }
    lines
}

fn merged_outcomes(first: &Outcome, second: &Outcome) -> String {
    match (first, second) {
        (Outcome::Reply(first), Outcome::Reply(second)) => merged(first, second, false),
        _ => first.text(),
    }
}

/// The notation that both replies fit.
fn merged(first: &Reply, second: &Reply, inside: bool) -> String {
    if first == second {
        return if inside { nested(first) } else { first.to_string() };
    }
    let (left, right) = (first.items(), second.items());
    if !left.is_empty() && left.len() == right.len() {
        let sorted = |items: &[Reply]| {
            let mut items = items.to_vec();
            items.sort();
            items
        };
        let all_equal = sorted(left) == sorted(right);
        return match first {
            Reply::Set(_) if all_equal => first.to_string(),
            Reply::Array(_) if all_equal => format!("?[{}]", joined(&sorted(left))),
            _ => {
                let items: Vec<String> =
                    left.iter().zip(right).map(|(a, b)| merged(a, b, true)).collect();
                let open = match first {
                    Reply::Set(_) => "~[",
                    Reply::Push(_) => "![",
                    _ => "[",
                };
                format!("{open}{}]", items.join(" "))
            }
        };
    }
    match (first, second) {
        (Reply::Map(left), Reply::Map(right)) if left.len() == right.len() => {
            let pairs: Vec<String> = left
                .iter()
                .map(|(key, value)| {
                    let other = right.iter().find(|(other, _)| other == key);
                    let value = other
                        .map_or_else(|| "any".to_owned(), |(_, other)| merged(value, other, true));
                    format!("{} => {value}", nested(key))
                })
                .collect();
            format!("{{{}}}", pairs.join(" "))
        }
        (Reply::Int(_), Reply::Int(_)) => "int".into(),
        (Reply::Bulk(_), Reply::Bulk(_)) => "str".into(),
        _ => "any".into(),
    }
}
