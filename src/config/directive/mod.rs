//! The table of directives: the one place where a directive is declared.
//!
//! A row says what a directive is called, what it takes, where its value lives, what it is by default,
//! who may change it, and what it does. The config file, the command line, `CONFIG GET`, `SET` and
//! `REWRITE`, and docs/configuration.md all read this table and nothing else. To add a directive, add a
//! row to the file of its area and, if it has a meaning, a field to [`Settings`].
//!
//! Rows without a field are known to Redis 7.2, Redis 8.0 or Valkey 9.1 but mean nothing here: they are
//! accepted and remembered, so that existing files and tools work, and reported when they are set.

mod access;
mod durability;
mod encoding;
mod memory;
mod network;
mod no_cluster;
mod no_effect;
mod no_replication;
mod no_tls;
mod observation;
mod replication;
mod server;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::kind::Kind;
use super::settings::Settings;
use super::value::{Setting, Value};

/// All directives, by area.
pub static TABLE: &[(&str, &[Directive])] = &[
    ("Network", network::ROWS),
    ("Durability", durability::ROWS),
    ("Access", access::ROWS),
    ("Memory", memory::ROWS),
    ("Encodings", encoding::ROWS),
    ("Server", server::ROWS),
    ("Observation", observation::ROWS),
    ("Replication", replication::ROWS),
    ("Accepted without effect", no_effect::ROWS),
    ("Accepted without effect: replication", no_replication::ROWS),
    ("Accepted without effect: cluster", no_cluster::ROWS),
    ("Accepted without effect: TLS", no_tls::ROWS),
];

/// One directive.
pub struct Directive {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Other names, which `CONFIG GET` shows too.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// Where its value lives.
    pub place: Place,
    /// Its default, as a config file would say it.
    pub default: &'static str,
    /// Whether `CONFIG SET` may change it.
    pub change: Change,
    /// Setting it to the value it has is no error, whatever `change` says.
    pub or_same: bool,
    /// Whether `CONFIG GET` shows it only when asked by its very name.
    pub hidden: bool,
    /// Whether its value is a secret.
    pub secret: bool,
    /// A last check of a parsed value, which may also adjust it.
    pub check: Option<fn(Value) -> Result<Value, String>>,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
}

/// Where the value of a directive lives.
pub enum Place {
    /// In a field of [`Settings`].
    Field(fn(&Settings) -> &dyn Setting, fn(&mut Settings) -> &mut dyn Setting),
    /// It is only remembered; the text says why it means nothing.
    NoEffect(&'static str),
    /// It has no value that can be asked for; the file's reader acts on it.
    Line,
}

/// Whether `CONFIG SET` may change a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It may.
    Always,
    /// Only when `enable-protected-configs` lets the client.
    Protected,
    /// Never: it takes a restart.
    Never,
}

/// Every row of the table, in its order.
pub fn all() -> impl Iterator<Item = &'static Directive> {
    TABLE.iter().flat_map(|(_, rows)| *rows)
}

/// The directive of this name or alias, whatever its case, and the name as the table spells it.
pub fn find(name: &[u8]) -> Option<(&'static Directive, &'static str)> {
    type Names = HashMap<&'static [u8], (&'static Directive, &'static str)>;
    static NAMES: OnceLock<Names> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let names =
            all().flat_map(|row| row.names().map(move |name| (name.as_bytes(), (row, name))));
        names.collect()
    });
    names.get(name.to_ascii_lowercase().as_slice()).copied()
}

/// The known name nearest to a misspelt one, if it is near enough to be meant.
pub fn nearest(name: &[u8]) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let distances =
        all().flat_map(Directive::names).map(|known| (distance(&name, known.as_bytes()), known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (known.len() / 4).clamp(1, 3)).then_some(known)
}

/// How many bytes must be inserted, removed, replaced or swapped with the next to make one of the other.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(from != to);
            let mut best = replaced.min(last[column + 1] + 1).min(line[column] + 1);
            let swapped =
                row > 0 && column > 0 && left[row - 1] == *to && right[column - 1] == *from;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            line.push(best);
        }
        before_last = std::mem::replace(&mut last, line);
    }
    last[right.len()]
}

impl Directive {
    const fn new(
        name: &'static str,
        kind: Kind,
        place: Place,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            kind,
            place,
            default,
            change: Change::Always,
            or_same: false,
            hidden: false,
            secret: false,
            check: None,
            doc,
        }
    }

    /// Its name and aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Why it has no effect, when it has none.
    pub fn no_effect(&self) -> Option<&'static str> {
        match self.place {
            Place::NoEffect(reason) => Some(reason),
            Place::Field(..) | Place::Line => None,
        }
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    const fn immutable(mut self) -> Self {
        self.change = Change::Never;
        self
    }
    const fn protected(mut self) -> Self {
        self.change = Change::Protected;
        self
    }
    /// For what Redis does not have, and may not change: `CONFIG SET` to the value it has is no error. There are
    /// tools that set every directive to what CONFIG GET says, knowing only Redis' own as exceptions.
    const fn or_same(mut self) -> Self {
        self.or_same = true;
        self
    }
    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
    const fn checked(mut self, check: fn(Value) -> Result<Value, String>) -> Self {
        self.check = Some(check);
        self
    }
}

/// The place of a field of `Settings`.
macro_rules! at {
    ($($field:tt)+) => {
        $crate::config::directive::Place::Field(
            |settings| &settings.$($field)+,
            |settings| &mut settings.$($field)+,
        )
    };
}
use at;

const fn yes_no(
    name: &'static str,
    place: Place,
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive::new(name, Kind::YesNo, place, default, doc)
}

const fn integer(
    name: &'static str,
    place: Place,
    (min, max): (i64, i64),
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive::new(name, Kind::Integer(min, max), place, default, doc)
}

const fn bytes(
    name: &'static str,
    place: Place,
    (min, max): (i64, u64),
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive::new(name, Kind::Memory(min, max), place, default, doc)
}

const fn one_of(
    name: &'static str,
    place: Place,
    names: &'static [&'static str],
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive::new(name, Kind::Name(names), place, default, doc)
}

const fn text(
    name: &'static str,
    place: Place,
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive::new(name, Kind::Text, place, default, doc)
}

const I32: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);
const U31: (i64, i64) = (0, i32::MAX as i64);
const U32: (i64, i64) = (0, u32::MAX as i64);
const U63: (i64, i64) = (0, i64::MAX);
const PORT: (i64, i64) = (0, 65_535);
const SIZE: (i64, u64) = (0, i64::MAX as u64);
const SIZE64: (i64, u64) = (0, u64::MAX);

/// A check that the value is a file's name, neither empty nor a path.
macro_rules! file_name {
    ($directive:literal, $what:literal) => {
        |value| match &value {
            Value::Text(name) if name.is_empty() => {
                Err(concat!($directive, " can't be empty").to_owned())
            }
            Value::Text(name) if name.contains(&b'/') || name.contains(&b'\\') => {
                Err(concat!($directive, " can't be a path, just a ", $what).to_owned())
            }
            _ => Ok(value),
        }
    };
}
use file_name;
