//! Joins the family lists and finds commands by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Command, CommandError, Flags};
use crate::command::error::told;
use crate::resp::Args;

/// The lists of all families. A new family file is added here and nowhere else.
const FAMILIES: &[&[Command]] = &[
    super::acl::COMMANDS,
    super::bitmap::COMMANDS,
    super::cluster::COMMANDS,
    super::connection::COMMANDS,
    super::generic::COMMANDS,
    super::geo::COMMANDS,
    super::hash::COMMANDS,
    super::hyperloglog::COMMANDS,
    super::introspect::COMMANDS,
    super::list::COMMANDS,
    super::pubsub::COMMANDS,
    super::replication::COMMANDS,
    super::scripting::COMMANDS,
    super::server::COMMANDS,
    super::set::COMMANDS,
    super::stream::COMMANDS,
    super::string::COMMANDS,
    super::transactions::COMMANDS,
    super::zset::COMMANDS,
];

/// Commands that may write and whose lookups are reads all the same: they tell what they found, or compute
/// from other keys. What the others look up is no hit and no miss.
const WRITES_THAT_READ: &[&str] = &[
    "BITOP",
    "COPY",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "GEOSEARCHSTORE",
    "GETDEL",
    "GETEX",
    "GETSET",
    "SDIFFSTORE",
    "SINTERSTORE",
    "SORT",
    "SUNIONSTORE",
    "XREADGROUP",
    "ZDIFFSTORE",
    "ZINTERSTORE",
    "ZRANGESTORE",
    "ZUNIONSTORE",
];

/// Longest name that is looked up; longer ones cannot be commands.
const NAME_BYTES_MAX: usize = 32;

/// A command with what the table adds to its declaration.
#[derive(Debug)]
pub struct Row {
    pub command: &'static Command,
    /// Of a subcommand: the container.
    pub container: Option<&'static Command>,
    /// `set`, `config|get`: as error texts, COMMAND and statistics say it.
    pub full_name: String,
    /// Place in the table: slot of its statistics.
    pub index: usize,
    /// Whether its lookups count as hits and misses.
    pub counts_reads: bool,
    subcommands: HashMap<&'static [u8], usize, ahash::RandomState>,
}

impl Row {
    /// Of a container: the places of its subcommands in the table.
    pub fn subcommand_rows(&self) -> impl Iterator<Item = usize> {
        self.subcommands.values().copied()
    }
}

/// All commands and subcommands.
#[derive(Debug)]
pub struct CommandTable {
    rows: Vec<Row>,
    by_name: HashMap<&'static [u8], usize, ahash::RandomState>,
    /// At [`place`] of a name: the row that may be of this name. One look here finds nearly every command.
    near: Box<[Option<usize>; PLACES]>,
}

const PLACES: usize = 4096;

/// Where a name is looked for first, in any case of letters: by its length, its first four letters and its last. The factor
/// and the bits taken were searched for, so that no two commands meet.
#[inline]
fn place(name: &[u8]) -> usize {
    let len = name.len();
    let letter = |at: usize| name.get(at).map_or(0, |byte| u64::from(byte & 0x1f));
    let letters = letter(0) | letter(1) << 5 | letter(2) << 10 | letter(3) << 15;
    let code = letters | letter(len.wrapping_sub(1)) << 20 | (len as u64 & 0x1f) << 25;
    (code.wrapping_mul(0x27d4_eb2f) >> 24) as usize % PLACES
}

static TABLE: LazyLock<CommandTable> = LazyLock::new(CommandTable::build);

/// The table of all commands.
pub fn table() -> &'static CommandTable {
    &TABLE
}

impl CommandTable {
    fn build() -> Self {
        let mut table =
            Self { rows: Vec::new(), by_name: HashMap::default(), near: Box::new([None; PLACES]) };
        for command in FAMILIES.iter().flat_map(|family| family.iter()) {
            let index = table.push(command, None);
            table.by_name.insert(command.name.as_bytes(), index);
            if let Some(near) = table.near.get_mut(place(command.name.as_bytes())) {
                near.get_or_insert(index);
            }
            for sub in command.subcommands {
                let at = table.push(sub, Some(command));
                if let Some(row) = table.rows.get_mut(index) {
                    row.subcommands.insert(sub.name.as_bytes(), at);
                }
            }
        }
        table
    }

    fn push(&mut self, command: &'static Command, container: Option<&'static Command>) -> usize {
        let index = self.rows.len();
        let full_name = match container {
            Some(container) => format!("{}|{}", container.name, command.name).to_lowercase(),
            None => command.name.to_lowercase(),
        };
        let subcommands = HashMap::default();
        let counts_reads =
            !command.flags.has(Flags::WRITE) || WRITES_THAT_READ.contains(&command.name);
        self.rows.push(Row { command, container, full_name, index, counts_reads, subcommands });
        index
    }

    /// All rows: each command followed by its subcommands.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The top-level commands.
    pub fn commands(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.container.is_none())
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, container: &Row) -> impl Iterator<Item = &Row> {
        let name = container.command.name;
        self.rows.iter().filter(move |row| row.container.is_some_and(|of| of.name == name))
    }

    /// A command by its name or `container|subcommand`, in any case.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&Row> {
        let mut words = name.splitn(2, |byte| *byte == b'|');
        let row = self.top(words.next()?)?;
        match words.next() {
            None => Some(row),
            Some(sub) => self.sub(row, sub),
        }
    }

    /// Whether there is a command of this name, in any case of letters.
    pub fn has(&self, name: &[u8]) -> bool {
        self.top(name).is_some()
    }

    /// The command or subcommand that a request names; an error in Redis' words otherwise.
    pub fn find(&self, args: &Args) -> Result<&Row, CommandError> {
        let row = self.top(args.at(0)).ok_or_else(|| unknown_command(args))?;
        if row.subcommands.is_empty() {
            return Ok(row);
        }
        match args.get(1) {
            None if row.command.accepts(1) => Ok(row),
            None => Err(CommandError::Arity(row.full_name.clone())),
            Some(word) => match self.sub(row, word) {
                Some(sub) => Ok(sub),
                None => Err(unknown_subcommand(row, word)),
            },
        }
    }

    fn top(&self, name: &[u8]) -> Option<&Row> {
        let near = self.near.get(place(name)).copied().flatten();
        if let Some(row) = near.and_then(|index| self.rows.get(index))
            && row.command.name.as_bytes().eq_ignore_ascii_case(name)
        {
            return Some(row);
        }
        upper(name, |name| self.by_name.get(name).copied()).and_then(|index| self.rows.get(index))
    }

    fn sub(&self, row: &Row, name: &[u8]) -> Option<&Row> {
        upper(name, |name| row.subcommands.get(name).copied())
            .and_then(|index| self.rows.get(index))
    }
}

fn upper(name: &[u8], find: impl FnOnce(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut buffer = [0u8; NAME_BYTES_MAX];
    let place = buffer.get_mut(..name.len())?;
    place.copy_from_slice(name);
    place.make_ascii_uppercase();
    find(place)
}

/// What a client hears that asks for a command that is not there.
pub fn unknown_command(args: &Args) -> CommandError {
    let mut shown = String::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= 128 {
            break;
        }
        shown.push_str(&format!("'{}' ", told_part(arg, 128 - shown.len())));
    }
    let name = told_part(args.at(0), 128);
    CommandError::owned(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
}

/// So many bytes at most of what an error tells of a word.
fn told_part(word: &[u8], most: usize) -> std::borrow::Cow<'_, str> {
    told(word.get(..most).unwrap_or(word))
}

fn unknown_subcommand(row: &Row, word: &[u8]) -> CommandError {
    let word = told_part(word, 128);
    CommandError::owned(format!(
        "ERR unknown subcommand '{word}'. Try {} HELP.",
        row.command.name.to_uppercase()
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::{Handler, Propagate};
    use super::*;

    #[test]
    fn names_are_unique_and_upper_case() {
        let mut seen = HashSet::new();
        for row in table().rows() {
            assert!(seen.insert(row.full_name.clone()), "{} twice", row.full_name);
            assert_eq!(row.command.name, row.command.name.to_uppercase());
            assert!(row.command.name.len() <= NAME_BYTES_MAX);
        }
    }

    /// A few may share a place with another: they are found all the same, by a longer way.
    #[test]
    fn nearly_every_name_has_a_place_of_its_own() {
        let places: HashSet<_> =
            table().commands().map(|row| place(row.command.name.as_bytes())).collect();
        assert!(table().commands().count() - places.len() < 4, "{}", places.len());
        for row in table().commands() {
            let name = row.command.name.to_lowercase();
            assert_eq!(place(name.as_bytes()), place(row.command.name.as_bytes()));
            assert_eq!(table().top(name.as_bytes()).map(|row| row.index), Some(row.index));
        }
        assert!(table().top(b"").is_none() && table().top(b"get ").is_none());
    }

    #[test]
    fn declarations_agree_with_themselves() {
        for row in table().rows() {
            let command = row.command;
            let name = &row.full_name;
            let write = command.flags.has(Flags::WRITE);
            assert!(!(write && command.flags.has(Flags::READONLY)), "{name}: write and readonly");
            if write {
                assert_ne!(command.propagate, Propagate::Never, "{name} writes but logs nothing");
            }
            let container = matches!(command.handler, Handler::Container);
            // COMMAND has subcommands and does something itself.
            let has_subcommands = !command.subcommands.is_empty();
            assert!(!container || has_subcommands, "{name}: handler or subcommands");
            assert!(container || !has_subcommands || command.accepts(1), "{name}: unreachable");
            assert!(!command.doc.summary.is_empty(), "{name} has no summary");
        }
    }
}
