//! Joins the family lists and finds commands by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Command, CommandError, Flags, Handler};
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

/// Commands with one of these do more than they do to keys, or are asked more before they may.
const NOT_ORDINARY: &[Flags] = &[
    Flags::ADMIN,
    Flags::ASKING,
    Flags::BLOCKING,
    Flags::NOSCRIPT,
    Flags::NO_AUTH,
    Flags::NO_MULTI,
    Flags::PROTECTED,
    Flags::PUBSUB,
    Flags::WHOLE_KEYSPACE,
];

fn is_ordinary(command: &Command) -> bool {
    let flags = command.flags;
    matches!(command.handler, Handler::Plain(_))
        && command.subcommands.is_empty()
        && !command.keys.is_empty()
        && (flags.has(Flags::WRITE) || flags.has(Flags::READONLY))
        && !NOT_ORDINARY.iter().any(|flag| flags.has(*flag))
}

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
    /// Whether all that it does is to read or change the keys that it names: it leaves nothing to the engine, and what is
    /// true of its client and of the server before it is so afterwards.
    pub is_ordinary: bool,
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
    /// At [`Words::place`] of a name: the row that may be of this name. One look here finds nearly every command.
    near: Box<[Near; PLACES]>,
}

const PLACES: usize = 4096;
/// Bytes of a name that [`Words`] hold.
const WORDS_BYTES: usize = 16;

/// A name of up to 16 bytes in upper case: its first eight bytes and its last eight, which overlap where it has fewer than
/// 16; of one with up to eight, all of them and nothing. Of two names of the same length they are equal only if the names are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Words(u64, u64);

impl Words {
    #[inline]
    fn of(name: &[u8]) -> Option<Self> {
        if name.len() > WORDS_BYTES {
            return None;
        }
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            let last = if name.len() == 8 { 0 } else { upper_word(u64::from_le_bytes(*last)) };
            return Some(Self(upper_word(u64::from_le_bytes(*first)), last));
        }
        let len = name.len();
        let word = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            let last = u64::from(u32::from_le_bytes(*last));
            u64::from(u32::from_le_bytes(*first)) | last << (8 * (len - 4))
        } else {
            let byte = |at: usize| name.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
            byte(0) | byte(1) | byte(2)
        };
        Some(Self(upper_word(word), 0))
    }

    /// Where a row is looked for first. The factor was searched for, so that hardly two commands meet.
    #[inline]
    fn place(self) -> usize {
        let mixed = (self.0 ^ self.1.rotate_left(29)).wrapping_mul(0x412c_b34e_f260_4f53);
        (mixed >> (u64::BITS - PLACES.ilog2())) as usize
    }
}

/// Eight bytes at once in upper case; those that are no letters stay.
#[inline]
fn upper_word(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let seven = word & (EACH * 0x7f);
    let above_z = seven + EACH * u64::from(0x7f - b'z');
    let from_a = seven + EACH * u64::from(0x80 - b'a');
    let lower = (from_a ^ above_z) & !word & (EACH * 0x80);
    word ^ (lower >> 2)
}

/// What is at a place.
#[derive(Clone, Copy, Debug)]
struct Near {
    words: Words,
    row: usize,
}

static TABLE: LazyLock<CommandTable> = LazyLock::new(CommandTable::build);

/// The table of all commands.
pub fn table() -> &'static CommandTable {
    &TABLE
}

impl CommandTable {
    fn build() -> Self {
        let nothing = Near { words: Words::default(), row: usize::MAX };
        let mut table = Self {
            rows: Vec::new(),
            by_name: HashMap::default(),
            near: Box::new([nothing; PLACES]),
        };
        for command in FAMILIES.iter().flat_map(|family| family.iter()) {
            let index = table.push(command, None);
            table.by_name.insert(command.name.as_bytes(), index);
            if let Some(words) = Words::of(command.name.as_bytes())
                && let Some(near) = table.near.get_mut(words.place())
                && near.row == usize::MAX
            {
                *near = Near { words, row: index };
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
        let is_ordinary = container.is_none() && is_ordinary(command);
        self.rows.push(Row {
            command,
            container,
            full_name,
            index,
            counts_reads,
            is_ordinary,
            subcommands,
        });
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

    /// The command of this name, in any case of letters, if one look finds it.
    #[inline]
    pub fn near(&self, name: &[u8]) -> Option<&Row> {
        let words = Words::of(name)?;
        let near = self.near.get(words.place())?;
        let row = self.rows.get(near.row).filter(|_| near.words == words)?;
        (row.command.name.len() == name.len()).then_some(row)
    }

    /// Whether [`find`](Self::find) would find what these words of a request name.
    pub fn knows(&self, words: &[&[u8]]) -> bool {
        let Some(row) = words.first().and_then(|name| self.top(name)) else { return false };
        row.subcommands.is_empty()
            || match words.get(1) {
                None => row.command.accepts(1),
                Some(word) => self.sub(row, word).is_some(),
            }
    }

    pub fn top(&self, name: &[u8]) -> Option<&Row> {
        if let Some(row) = self.near(name) {
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

    /// A few may share a place with another or be too long: they are found all the same, by a longer way.
    #[test]
    fn nearly_every_command_is_found_at_the_first_look() {
        let missed = |row: &&Row| table().near(row.command.name.as_bytes()).is_none();
        let missed: Vec<_> = table().commands().filter(missed).map(|row| &row.full_name).collect();
        assert!(missed.len() < 6, "{missed:?}");
        for row in table().commands() {
            let name = row.command.name.to_lowercase();
            assert_eq!(table().top(name.as_bytes()).map(|row| row.index), Some(row.index));
            for at in 0..name.len() {
                let mut other = name.clone().into_bytes();
                for byte in [0, b' ', b'@', b'[', b'`', b'{', 0x80, other[at] | 0x80, other[at] - 1]
                {
                    other[at] = byte;
                    let there = table().top(&other).map(|row| row.command.name.to_lowercase());
                    let same =
                        there.is_none_or(|name| name.as_bytes() == other.to_ascii_lowercase());
                    assert!(same, "{other:?}");
                }
            }
        }
        for wrong in [&b""[..], b"\0", b"get ", b"get\0", b"get\0\0\0\0\0", b"expiretime\0"] {
            assert!(table().top(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn ordinary_commands_are_those_that_only_touch_their_keys() {
        let is = |name: &str| table().by_full_name(name.as_bytes()).unwrap().is_ordinary;
        for name in
            ["GET", "SET", "DEL", "INCR", "LPUSH", "HSET", "ZADD", "XADD", "EXPIRE", "SCARD"]
        {
            assert!(is(name), "{name}");
        }
        for name in [
            "AUTH",
            "BLPOP",
            "CLIENT|KILL",
            "CONFIG|SET",
            "DBSIZE",
            "EVAL",
            "EXEC",
            "FLUSHALL",
            "KEYS",
            "MIGRATE",
            "MULTI",
            "PUBLISH",
            "RANDOMKEY",
            "SELECT",
            "SUBSCRIBE",
            "SWAPDB",
            "WATCH",
        ] {
            assert!(!is(name), "{name}");
        }
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
