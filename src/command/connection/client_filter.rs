//! The filters of CLIENT LIST and CLIENT KILL: which clients are meant.
//!
//! A filter is `NAME value`, and a client must fit all of them; `NOT-NAME value` is for those that do not
//! fit. A name that comes twice counts as it was said last; only ids add up. Both commands read the same
//! filters. Where an older form of one of them answers otherwise, [`Asker`] says so.

use std::collections::BTreeSet;
use std::mem::discriminant;

use super::super::{Args, CommandError, Ctx};
use super::client_property::{CAPABILITY_LETTERS, ClientClass, FLAG_LETTERS, Property};
use crate::clock::UnixMillis;
use crate::command::error::told_bytes;
use crate::number;
use crate::session::{Client, ClientId};

/// Which command reads the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// It takes any integer for an id, as one that nobody has.
    List,
    /// It leaves the caller alone unless told otherwise.
    Kill,
}

/// Which clients CLIENT LIST shows or CLIENT KILL ends.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientFilter {
    wanted: Vec<Property>,
    unwanted: Vec<Property>,
    skip_me: bool,
}

/// The value of a filter, as it was sent.
struct Sent<'a> {
    value: &'a [u8],
    /// It is that of a `NOT-` filter: some errors say so.
    negated: bool,
}

/// How a value is read.
type Read = fn(&Ctx, &Sent) -> Result<Property, CommandError>;

/// Filters with one value that says what a client is: the name, and whether there is a `NOT-` form.
/// ID and SKIPME are apart.
const FILTERS: &[(&str, bool, Read)] = &[
    ("TYPE", true, |_, sent| ClientClass::parse(sent.value).map(Property::Class)),
    ("ADDR", true, |_, sent| Ok(Property::Address(sent.value.to_vec()))),
    ("LADDR", true, |_, sent| Ok(Property::LocalAddress(sent.value.to_vec()))),
    ("IP", true, |_, sent| Ok(Property::Ip(sent.value.to_vec()))),
    ("USER", true, user),
    ("NAME", true, |_, sent| Ok(Property::Name(sent.value.to_vec()))),
    ("LIB-NAME", true, |_, sent| Ok(Property::LibraryName(sent.value.to_vec()))),
    ("LIB-VER", true, |_, sent| Ok(Property::LibraryVersion(sent.value.to_vec()))),
    ("FLAGS", true, |_, sent| letters(sent, "flags", FLAG_LETTERS).map(Property::Flags)),
    ("CAPA", true, |_, sent| letters(sent, "capa", CAPABILITY_LETTERS).map(Property::Capabilities)),
    ("DB", true, database),
    ("MAXAGE", false, |_, sent| seconds(sent, "maxage").map(Property::Age)),
    ("IDLE", false, |_, sent| seconds(sent, "idle").map(Property::Idle)),
];

fn user(ctx: &Ctx, sent: &Sent) -> Result<Property, CommandError> {
    let user = ctx.server.acl.handle(sent.value).ok_or_else(|| {
        let name = told_bytes(sent.value);
        CommandError::bytes([b"ERR No such user '", name, b"'"].concat())
    })?;
    Ok(Property::User(user.id))
}

fn database(ctx: &Ctx, sent: &Sent) -> Result<Property, CommandError> {
    let what = if sent.negated { "NOT-DB" } else { "DB" };
    let number = number::parse_i64(sent.value).and_then(|number| i32::try_from(number).ok());
    let number = number.ok_or_else(|| {
        CommandError::owned(format!("ERR {what} is not an integer or out of range"))
    })?;
    let databases = ctx.ks.databases();
    let db = usize::try_from(number).ok().filter(|db| *db < databases).ok_or_else(|| {
        let last = databases.saturating_sub(1);
        CommandError::owned(format!("ERR {what} number should be between 0 and {last}"))
    })?;
    Ok(Property::Db(db))
}

fn letters(sent: &Sent, what: &str, known: &[u8]) -> Result<Vec<u8>, CommandError> {
    if sent.value.iter().all(|letter| known.contains(letter)) {
        return Ok(sent.value.to_vec());
    }
    let filter = match sent.negated {
        true => format!("NOT-{}", what.to_uppercase()),
        false => "provided".to_owned(),
    };
    let head = format!("ERR Unknown {what} found in the {filter} filter: ");
    Err(CommandError::bytes([head.as_bytes(), told_bytes(sent.value)].concat()))
}

fn seconds(sent: &Sent, what: &str) -> Result<u64, CommandError> {
    let seconds = number::parse_i64(sent.value).ok_or_else(|| {
        CommandError::owned(format!("ERR {what} is not an integer or out of range"))
    })?;
    if seconds <= 0 {
        return Err(CommandError::owned(format!("ERR {what} should be greater than 0")));
    }
    Ok(seconds.unsigned_abs())
}

/// A filter's name without its `NOT-`, and whether it had one.
fn without_not(word: &[u8]) -> (&[u8], bool) {
    match word.split_at_checked(4) {
        Some((not, name)) if not.eq_ignore_ascii_case(b"NOT-") => (name, true),
        _ => (word, false),
    }
}

/// How the value of a filter is read; `None` for no such filter.
fn reader(name: &[u8], negated: bool) -> Option<Read> {
    let row = FILTERS.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known.as_bytes()))?;
    (row.1 || !negated).then_some(row.2)
}

/// Whether a word begins a filter.
fn is_filter(word: &[u8]) -> bool {
    let (name, negated) = without_not(word);
    name.eq_ignore_ascii_case(b"ID")
        || word.eq_ignore_ascii_case(b"SKIPME")
        || reader(name, negated).is_some()
}

impl ClientFilter {
    /// Reads all filters behind the subcommand.
    pub(super) fn parse(ctx: &Ctx, args: &Args, asker: Asker) -> Result<Self, CommandError> {
        let mut filter = Self { skip_me: asker == Asker::Kill, ..Self::default() };
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let (name, negated) = without_not(word);
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            if name.eq_ignore_ascii_case(b"ID") {
                let (ids, end) = read_ids(args, at + 1, negated, asker)?;
                filter.add(Property::Ids(ids), negated);
                at = end;
                continue;
            }
            if word.eq_ignore_ascii_case(b"SKIPME") {
                filter.skip_me = match value {
                    yes if yes.eq_ignore_ascii_case(b"yes") => true,
                    no if no.eq_ignore_ascii_case(b"no") => false,
                    _ => return Err(CommandError::Syntax),
                };
            } else {
                let read = reader(name, negated).ok_or(CommandError::Syntax)?;
                filter.add(read(ctx, &Sent { value, negated })?, negated);
            }
            at += 2;
        }
        Ok(filter)
    }

    /// Only the client at an address, the caller too.
    pub(super) fn address(address: &[u8]) -> Self {
        Self { wanted: vec![Property::Address(address.to_vec())], ..Self::default() }
    }

    fn add(&mut self, property: Property, negated: bool) {
        let side = if negated { &mut self.unwanted } else { &mut self.wanted };
        let same = |known: &&mut Property| discriminant(&**known) == discriminant(&property);
        match (side.iter_mut().find(same), property) {
            (Some(Property::Ids(known)), Property::Ids(more)) => known.extend(more),
            (Some(known), property) => *known = property,
            (None, property) => side.push(property),
        }
    }

    /// Whether a client is meant; `me` asks.
    pub(super) fn matches(&self, client: &Client, me: ClientId, now: UnixMillis) -> bool {
        let holds = |property: &Property| property.holds(client, now);
        let left_alone = self.skip_me && client.id == me;
        let there = !client.flags.internal && !client.flags.ended;
        there && !left_alone && self.wanted.iter().all(holds) && !self.unwanted.iter().any(holds)
    }
}

/// Reads ids from argument `at` on, up to the next filter. Returns where that is, too.
fn read_ids(
    args: &Args,
    mut at: usize,
    negated: bool,
    asker: Asker,
) -> Result<(BTreeSet<ClientId>, usize), CommandError> {
    let any_integer = asker == Asker::List && !negated;
    let mut ids = BTreeSet::new();
    while let Some(id) = args.get(at).and_then(number::parse_i64) {
        if id < 1 && !any_integer {
            return Err(CommandError::text("ERR client-id should be greater than 0"));
        }
        ids.insert(ClientId(id.cast_unsigned()));
        at += 1;
    }
    // What else stands there may be meant as an id, which it is not.
    let ends_well = match args.get(at) {
        _ if negated => true,
        None => true,
        Some(word) => !ids.is_empty() && is_filter(word) && at + 1 < args.len(),
    };
    match asker {
        Asker::List if !ends_well => Err(CommandError::text("ERR Invalid client ID")),
        Asker::Kill if ids.is_empty() && !negated => {
            Err(CommandError::text("ERR client-id should be greater than 0"))
        }
        _ => Ok((ids, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_counts_once_and_ids_add_up() {
        let mut filter = ClientFilter::default();
        for id in [1, 2] {
            filter.add(Property::Ids(BTreeSet::from([ClientId(id)])), false);
            filter.add(Property::Idle(id), false);
        }
        filter.add(Property::Idle(9), true);
        assert_eq!((filter.wanted.len(), filter.unwanted.len()), (2, 1));
        let [Property::Ids(ids), Property::Idle(2)] = filter.wanted.as_slice() else {
            panic!("{filter:?}");
        };
        assert_eq!(ids.len(), 2);
    }
}
