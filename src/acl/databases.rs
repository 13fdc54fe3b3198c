//! Databases: which ones a selector allows, and which ones a request needs.
//!
//! A request that touches keys, or that is about a whole database, needs the one it runs in. SELECT, SWAPDB,
//! MOVE and COPY need those that they name, FLUSHALL needs all there are. What touches no data (PING, PUBLISH,
//! AUTH) needs none, so that a client whose database is closed to it can still select another.

use super::user::RuleError;
use crate::command::introspect::categories;
use crate::command::keyspec;
use crate::command::table::Row;
use crate::number;
use crate::resp::Args;

/// The databases that a selector is limited to, in order; none of them with `resetdbs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Databases(Vec<u32>);

/// Where a request is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The selected database.
    pub db: usize,
    /// How many there are.
    pub databases: usize,
}

impl Databases {
    /// Reads what follows `db=`: numbers with commas between them, each as C's `strtoll` reads it.
    pub fn parse(list: &[u8]) -> Result<Self, RuleError> {
        if list.first() == Some(&b',') || list.last() == Some(&b',') {
            return Err(RuleError::Syntax);
        }
        let mut found = Vec::new();
        for word in list.split(|byte| *byte == b',') {
            found.push(number_of(word)?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(Self(found))
    }

    /// Whether a database is among them.
    pub fn allow(&self, db: usize) -> bool {
        u32::try_from(db).is_ok_and(|db| self.0.binary_search(&db).is_ok())
    }

    /// Whether a request may run here. The error is the argument that names a database which is not among
    /// them; 0: it is the selected one, or one of all.
    pub fn check(&self, row: &Row, args: &Args, place: Place) -> Result<(), usize> {
        let named = named(row, args, place.databases).unwrap_or_default();
        if let Some((at, _)) = named.iter().find(|(_, db)| !self.allow(*db)) {
            return Err(*at);
        }
        let allowed = match row.full_name.as_str() {
            "flushall" => (0..place.databases).all(|db| self.allow(db)),
            _ => !needs_selected(row) || self.allow(place.db),
        };
        if allowed { Ok(()) } else { Err(0) }
    }

    /// `db=0,1`; empty if there are none.
    pub fn describe(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        format!("db={}", numbers.join(","))
    }

    /// The rule that limits an unlimited selector to them.
    pub fn rule(&self) -> String {
        if self.0.is_empty() { "resetdbs".to_owned() } else { self.describe() }
    }
}

/// Whether a command needs the selected database: it has keys, or it is about all keys there.
fn needs_selected(row: &Row) -> bool {
    let about_keys = ["keyspace", "read", "write"];
    keyspec::has_keys(row.command)
        // SWAPDB touches the two that it names and no other.
        || (row.full_name != "swapdb"
            && about_keys.iter().any(|category| categories::belongs(row, category)))
}

/// The databases that a request names, with their arguments. `None` where it is not well formed or names one
/// that does not exist: it will be refused for that.
fn named(row: &Row, args: &Args, databases: usize) -> Option<Vec<(usize, usize)>> {
    let at = |at: usize| Some((at, existing(args.get(at)?, databases)?));
    match row.full_name.as_str() {
        "select" => Some(vec![at(1)?]),
        "swapdb" => Some(vec![at(1)?, at(2)?]),
        "move" => Some(vec![at(2)?]),
        "copy" => {
            // Every DB counts, also one that a later DB takes the place of.
            let (mut found, mut next) = (Vec::new(), 3);
            while next < args.len() {
                if args.is(next, "DB") {
                    next += 1;
                    found.push(at(next)?);
                } else if !args.is(next, "REPLACE") {
                    return None;
                }
                next += 1;
            }
            Some(found)
        }
        _ => Some(Vec::new()),
    }
}

/// The database that SELECT would select, if there is such a one.
pub fn existing(text: &[u8], databases: usize) -> Option<usize> {
    let db = usize::try_from(number::parse_i64(text)?).ok()?;
    (db < databases).then_some(db)
}

/// One number of a list.
fn number_of(word: &[u8]) -> Result<u32, RuleError> {
    let word = word.trim_ascii_start();
    let (negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(RuleError::Syntax);
    }
    let number = digits.iter().fold(0u32, |number, digit| {
        number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
    });
    // The largest number of an `int`; below zero there is only "minus zero".
    let fits = i32::try_from(number).is_ok() && !(negative && number > 0);
    if fits { Ok(number) } else { Err(RuleError::NoSuchDatabase) }
}
