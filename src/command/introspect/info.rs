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
    for (at, spec) in command.keys.iter().enumerate() {
        key_spec(reply, spec, remark(&row.full_name, at));
    }
    match command.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
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

const ANY_WRITE: &str =
    "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
const ANY_READ: &str =
    "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";
const NEW_TTL: &str = "RW and UPDATE because it changes the TTL";
const BY_CONTENT: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort";
const STORE_ANYWHERE: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array";

/// What is said of specifications for people: command, which of its specifications, text. Tools match
/// these texts, so they are Redis'.
const REMARKS: &[(&str, usize, &str)] = &[
    ("bitfield", 0, "This command allows both access and modification of the key"),
    ("eval", 0, ANY_WRITE),
    ("eval_ro", 0, ANY_READ),
    ("fcall", 0, ANY_WRITE),
    ("fcall_ro", 0, ANY_READ),
    ("getex", 0, NEW_TTL),
    ("hgetex", 0, NEW_TTL),
    (
        "pfcount",
        0,
        "RW because it may change the internal representation of the key, and propagate to replicas",
    ),
    ("set", 0, "RW and ACCESS due to the optional `GET` argument"),
    ("sort", 1, BY_CONTENT),
    ("sort", 2, STORE_ANYWHERE),
    ("sort_ro", 1, BY_CONTENT),
    ("xadd", 0, "UPDATE instead of INSERT because of the optional trimming feature"),
];

fn remark(name: &str, at: usize) -> Option<&'static str> {
    let found = REMARKS.iter().find(|(known, index, _)| *known == name && *index == at);
    found.map(|(_, _, text)| *text)
}

fn key_spec(reply: &mut Reply, spec: &KeySpec, remark: Option<&str>) {
    reply.map(if remark.is_some() { 4 } else { 3 });
    if let Some(remark) = remark {
        reply.bulk(b"notes");
        reply.bulk(remark.as_bytes());
    }
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
