//! The page docs/commands.md, made from the command table so that it cannot be out of date: a test compares
//! them (`BLESS=1 cargo test command_reference` writes it anew), and another one compares the table with the
//! list of Redis' commands in `testdata`, so that none is missing unnoticed.

use std::fmt::Write;

use crate::command::Group;
use crate::command::table::{Row, table};

const HEAD: &str = "\
# Commands

Every command of Redis 8.0 is here, but for those of its modules and the vector sets, and some of later
versions and of Valkey. *Arguments* is their number with the name, as COMMAND INFO gives it: a negative one
is the least there must be. *Since* is the version of Redis or Valkey that introduced the command. Replies
and errors are those of Redis 8.0; the transcripts in `tests/commands` are the proof, and are run against
both. What is newer follows its documentation.

This page is made from the command table; do not edit it.
";

const GROUPS: &[(Group, &str)] = &[
    (Group::String, "Strings"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Stream, "Streams"),
    (Group::Geo, "Geospatial"),
    (Group::HyperLogLog, "HyperLogLog"),
    (Group::Bitmap, "Bitmaps"),
    (Group::Generic, "Keys"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::PubSub, "Publish and subscribe"),
    (Group::Connection, "Connection"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
];

/// Commands that are there and tell of something that is not.
const LIMITED: &[(&str, &str)] = &[
    ("asking", NO_CLUSTER),
    ("cluster", NO_CLUSTER),
    ("readonly", NO_CLUSTER),
    ("readwrite", NO_CLUSTER),
    ("failover", NO_REPLICAS),
    ("psync", WHOLE_SYNC),
    ("replicaof", NO_REPLICAS),
    ("slaveof", NO_REPLICAS),
    ("sync", WHOLE_SYNC),
    ("module", "answers that there are no modules"),
];
const NO_CLUSTER: &str = "answers as Redis does without cluster support";
const NO_REPLICAS: &str = "answers that this server cannot be a replica";
const WHOLE_SYNC: &str = "yes; every synchronization is a whole one";

/// The page as Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for (group, title) in GROUPS {
        let _ = writeln!(page, "\n## {title}\n");
        page.push_str("| Command | Arguments | Since | Status |\n|---|---|---|---|\n");
        let mut rows: Vec<&Row> =
            table().rows().iter().filter(|row| belongs(row, *group)).collect();
        rows.sort_by_key(|row| &row.full_name);
        for row in rows {
            let name = row.full_name.to_uppercase().replace('|', " ");
            let (arity, since) = (row.command.arity, row.command.doc.since);
            let _ = writeln!(page, "| {name} | {arity} | {since} | {} |", status(row));
        }
    }
    page
}

/// Subcommands are shown with their container.
fn belongs(row: &Row, group: Group) -> bool {
    row.container.unwrap_or(row.command).group == group
}

fn status(row: &Row) -> String {
    let name = row.container.unwrap_or(row.command).name.to_lowercase();
    let limit = LIMITED.iter().find(|(limited, _)| *limited == name);
    let limit = limit.filter(|_| row.command.name != "HELP").map_or("yes", |(_, text)| text);
    match row.command.doc.deprecated {
        Some((since, _)) => format!("{limit}; deprecated since {since}"),
        None => limit.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "writes the page into the source tree, on demand")]
    fn command_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == reference(), "run: BLESS=1 cargo test command_reference");
        for row in table().rows() {
            let group = row.container.unwrap_or(row.command).group;
            assert!(GROUPS.iter().any(|(known, _)| *known == group), "{}", row.full_name);
        }
    }

    #[test]
    fn every_command_of_redis_is_there() {
        let mut wrong = Vec::new();
        let known = include_str!("testdata/redis-8.0.tsv").lines().skip(1);
        for line in known {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, arity, since] = fields[..] else { panic!("{line}") };
            match table().by_full_name(name.as_bytes()) {
                None => wrong.push(format!("{name} is missing")),
                Some(row) => {
                    let own = (row.command.arity.to_string(), row.command.doc.since);
                    if own != (arity.to_owned(), since) {
                        wrong.push(format!("{name}: arity and since {own:?}, not {arity} {since}"));
                    }
                }
            }
        }
        for (name, _) in LIMITED {
            assert!(table().by_full_name(name.as_bytes()).is_some(), "{name}");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
