//! The command table as clients see it, compared with the real server's: COMMAND and COMMAND DOCS.

use std::collections::BTreeMap;

use super::support::peers::{self, Program};
use super::support::reply::Reply;
use super::support::server::Server;

/// What is compared, by command and field.
type Facts = BTreeMap<String, BTreeMap<&'static str, String>>;

/// The fields of COMMAND behind the name; flags, categories, tips and specifications are sets.
const FIELDS: [&str; 8] =
    ["arity", "flags", "first key", "last key", "step", "categories", "tips", "key specs"];
/// What of COMMAND DOCS must be equal; prose is our own.
const DOCS: [&str; 3] = ["since", "group", "deprecated_since"];

fn facts(program: &Program) -> Facts {
    let server = Server::start(program, &["save "]);
    let mut client = server.client();
    client.must("HELLO 3");
    let mut facts = Facts::new();
    for command in client.must("COMMAND").items() {
        enter(&mut facts, command);
    }
    document(&mut facts, &client.must("COMMAND DOCS"));
    facts
}

fn enter(facts: &mut Facts, command: &Reply) {
    let items = command.items();
    let name = items[0].text().unwrap();
    let own = facts.entry(name).or_default();
    for (field, value) in FIELDS.iter().zip(&items[1..]) {
        own.insert(field, plain(value));
    }
    for sub in items[9].items() {
        enter(facts, sub);
    }
}

fn document(facts: &mut Facts, docs: &Reply) {
    let Reply::Map(commands) = docs else { panic!("COMMAND DOCS is no map") };
    for (name, doc) in commands {
        let Reply::Map(fields) = doc else { panic!("{name}: no map") };
        for (field, value) in fields {
            let field = field.text().unwrap();
            if field == "subcommands" {
                document(facts, value);
            } else if let Some(field) = DOCS.iter().find(|known| **known == field) {
                let own = facts.entry(name.text().unwrap()).or_default();
                own.insert(field, value.to_string());
            }
        }
    }
}

/// A value as text in which sets and maps have one order.
fn plain(value: &Reply) -> String {
    match value {
        Reply::Set(items) => {
            let mut items: Vec<String> = items.iter().map(plain).collect();
            items.sort();
            format!("{{{}}}", items.join(" "))
        }
        Reply::Map(pairs) => {
            let mut pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", plain(key), plain(value)))
                .collect();
            pairs.sort();
            format!("({})", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

#[test]
fn commands_are_declared_as_redis_declares_them() {
    let Some(redis) = peers::redis8() else { return };
    let (redis, own) = (facts(&redis), facts(&peers::fastness()));
    let mut found = Vec::new();
    let mut compared = 0;
    for (name, own) in &own {
        // Newer commands and extensions have nothing to be compared with.
        let Some(redis) = redis.get(name) else { continue };
        compared += 1;
        for field in FIELDS.iter().chain(&DOCS) {
            if redis.get(field) != own.get(field) {
                let (left, right) = (redis.get(field), own.get(field));
                found.push(format!("{name} {field}\n    redis {left:?}\n    own   {right:?}"));
            }
        }
    }
    assert!(compared > 300, "only {compared} commands were compared");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
