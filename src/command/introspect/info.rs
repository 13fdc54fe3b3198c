//! COMMAND INFO: the ten fields of a command, derived from its declaration.

use super::categories::categories;
use crate::command::keyspec::{Begin, Find};
use crate::command::table::{Row, table};
use crate::command::{Command, Flags, KeySpec};
use crate::resp::Reply;

/// Writes the fields of one command and its subcommands.
pub(super) fn write(reply: &mut Reply, row: &Row) {
    let command = row.command;
    reply.array(10);
    reply.bulk(row.full_name.as_bytes());
    reply.int(command.arity.into());
    let (legacy, movable) = legacy_range(command);
    let flags = if movable { command.flags.or(Flags::MOVABLE_KEYS) } else { command.flags };
    statuses(reply, &flags.names().collect::<Vec<_>>());
    for number in legacy {
        reply.int(number);
    }
    let categories: Vec<String> =
        categories(row).into_iter().map(|category| format!("@{category}")).collect();
    reply.set(categories.len());
    for category in &categories {
        reply.simple(category);
    }
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(command.keys.len());
    for spec in command.keys {
        key_spec(reply, spec);
    }
    reply.array(command.subcommands.len());
    for sub in table().subcommands(row) {
        write(reply, sub);
    }
}

fn statuses(reply: &mut Reply, names: &[&str]) {
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

/// Access and further flags of a specification, as Redis names them.
pub(super) fn spec_flags(spec: &KeySpec) -> Vec<&'static str> {
    let all = std::iter::once(spec.access.name()).chain(spec.notes.iter().copied());
    all.filter(|name| !name.is_empty()).collect()
}

fn key_spec(reply: &mut Reply, spec: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    statuses(reply, &spec_flags(spec));
    reply.bulk(b"begin_search");
    match spec.begin {
        Begin::Index(index) => search(reply, "index", &[("index", as_int(index))]),
        Begin::Keyword(word, from) => {
            reply.map(2);
            reply.bulk(b"type");
            reply.bulk(b"keyword");
            reply.bulk(b"spec");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.int(from.into());
        }
        Begin::Unknown => search(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step, limit } => search(
            reply,
            "range",
            &[("lastkey", last.into()), ("keystep", as_int(step)), ("limit", as_int(limit))],
        ),
        Find::Count { count_at, first, step } => search(
            reply,
            "keynum",
            &[
                ("keynumidx", as_int(count_at)),
                ("firstkey", as_int(first)),
                ("keystep", as_int(step)),
            ],
        ),
        Find::Unknown => search(reply, "unknown", &[]),
    }
}

fn search(reply: &mut Reply, kind: &str, fields: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.int(*value);
    }
}

fn as_int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// First key, last key and step as clients before Redis 7 know them, and whether that is not all.
fn legacy_range(command: &Command) -> ([i64; 3], bool) {
    let range = |spec: &KeySpec| match (spec.begin, spec.find) {
        (Begin::Index(index), Find::Range { last, step, .. }) => {
            let last = if last < 0 { last.into() } else { as_int(index) + i64::from(last) };
            Some((as_int(index), last, as_int(step)))
        }
        _ => None,
    };
    let incomplete = |spec: &KeySpec| spec.notes.contains(&"incomplete");
    if let [only] = command.keys
        && let Some((first, last, step)) = range(only)
    {
        return ([first, last, step], incomplete(only));
    }
    let mut movable = false;
    let mut joined: Option<(i64, i64)> = None;
    for spec in command.keys {
        // Only ranges that follow one another without a gap make one range.
        let fits = range(spec).filter(|(first, _, step)| {
            *step == 1 && joined.is_none_or(|(_, last)| last == first - 1)
        });
        movable |= fits.is_none() || incomplete(spec);
        if let Some((first, last, _)) = fits {
            joined = Some((joined.map_or(first, |(first, _)| first), last));
        }
    }
    match joined {
        Some((first, last)) => ([first, last, 1], movable),
        None => ([0, 0, 0], movable),
    }
}
