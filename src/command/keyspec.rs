//! Where the keys of a request are, declared as Redis' key specifications.

use super::Command;
use crate::resp::Args;

/// One key specification: how to find the first key, how to find the others, what is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the first key (or the count of keys) is.
    pub begin: Begin,
    /// How many there are.
    pub find: Find,
    /// Access flags as COMMAND INFO names them.
    pub access: Access,
    /// Further flags: `access`, `update`, `insert`, `delete`, `not_key`, `incomplete`, `variable_flags`.
    pub notes: &'static [&'static str],
}

/// Where a specification starts to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(usize),
    /// Behind this word, searched from an index (negative: backwards from the end).
    Keyword(&'static str, i32),
    /// Not expressible; the command has a `key_finder`.
    Unknown,
}

/// How the other keys follow the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last` (relative to the first; negative from the end), every `step`-th; `limit` 2 = only
    /// the first half of the rest.
    Range { last: i32, step: usize, limit: usize },
    /// The number of keys is argument `count_at`, the first is `first`, both relative to the start.
    Count { count_at: usize, first: usize, step: usize },
    /// Not expressible.
    Unknown,
}

/// What is done to the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads and changes.
    ReadWrite,
    /// Only reads.
    Read,
    /// Overwrites.
    Overwrite,
    /// Removes.
    Remove,
    /// Nothing: it is no key.
    None,
}

impl Access {
    /// The name in COMMAND INFO.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "RW",
            Self::Read => "RO",
            Self::Overwrite => "OW",
            Self::Remove => "RM",
            Self::None => "",
        }
    }
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn at(index: usize, access: Access, notes: &'static [&'static str]) -> Self {
        Self {
            begin: Begin::Index(index),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            access,
            notes,
        }
    }

    /// What is found like keys but is none (shard channels): from argument `index` to `last` from it.
    pub const fn not_keys(index: usize, last: i32) -> Self {
        Self::range(index, last, 1, Access::None, &["not_key"])
    }

    /// Keys from argument `index` to the end (or `last` from it), every `step`-th.
    pub const fn range(
        index: usize,
        last: i32,
        step: usize,
        access: Access,
        notes: &'static [&'static str],
    ) -> Self {
        Self {
            begin: Begin::Index(index),
            find: Find::Range { last, step, limit: 0 },
            access,
            notes,
        }
    }

    /// A count at argument `index`, the keys behind it.
    pub const fn counted(index: usize, access: Access, notes: &'static [&'static str]) -> Self {
        Self {
            begin: Begin::Index(index),
            find: Find::Count { count_at: 0, first: 1, step: 1 },
            access,
            notes,
        }
    }

    /// Indices of the keys of a request, in order: none where the word before them is missing. `None` where
    /// the request does not follow the specification: it will be refused, and has no keys at all.
    pub fn positions(&self, args: &Args) -> Option<Vec<usize>> {
        self.positions_by(args, crate::number::parse_i64)
    }

    /// The same, with another way to read a number of keys.
    fn positions_by(&self, args: &Args, number: fn(&[u8]) -> Option<i64>) -> Option<Vec<usize>> {
        let begin = match (self.begin_at(args), self.begin) {
            (Some(begin), _) => begin,
            (None, Begin::Keyword(..)) => return Some(Vec::new()),
            (None, _) => return None,
        };
        let (begin, end, step) = match self.find {
            Find::Unknown => return None,
            Find::Range { last, step, limit } => {
                let back = last.unsigned_abs() as usize;
                let end = match usize::try_from(last) {
                    Ok(last) => Some(begin + last),
                    Err(_) if limit > 1 => {
                        (begin + args.len().saturating_sub(begin) / limit).checked_sub(back)
                    }
                    Err(_) => args.len().checked_sub(back),
                };
                (begin, end?, step)
            }
            Find::Count { count_at, first, step } => {
                let count = number(args.get(begin + count_at)?)?;
                let others = usize::try_from(count).ok()?.checked_sub(1)?;
                let begin = begin + first;
                (begin, others.checked_mul(step)?.checked_add(begin)?, step)
            }
        };
        let fits = begin <= end && end < args.len();
        fits.then(|| (begin..=end).step_by(step.max(1)).collect())
    }

    fn begin_at(&self, args: &Args) -> Option<usize> {
        match self.begin {
            Begin::Index(index) => (index < args.len()).then_some(index),
            Begin::Keyword(word, from) => {
                let forward = usize::try_from(from).ok();
                let mut range: Box<dyn Iterator<Item = usize>> = match forward {
                    // As in Redis, not at the very end, where nothing follows.
                    Some(from) => Box::new(from..args.len().saturating_sub(1)),
                    None => {
                        let back = from.unsigned_abs() as usize;
                        Box::new((2..=args.len().saturating_sub(back)).rev())
                    }
                };
                range.find(|&at| args.is(at, word)).map(|at| at + 1)
            }
            Begin::Unknown => None,
        }
    }
}

/// The number that a text begins with, in 32 bits, as C's `atoi` reads it.
fn leading_integer(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    let value = if negative { value.saturating_neg() } else { value };
    // The conversion of C: the low half.
    let [low @ .., _, _, _, _] = value.to_le_bytes();
    Some(i64::from(i32::from_le_bytes(low)))
}

/// Where the keys of a request are: indices into its arguments. None if they cannot be told.
pub fn key_indices(command: &Command, args: &Args) -> Vec<usize> {
    match by_specs(command, args) {
        Some(found) => found.iter().map(|key| key.at).collect(),
        None => command.key_finder.map_or_else(Vec::new, |finder| finder(args)),
    }
}

/// What the specifications find; `None` where one of them cannot, or not all, or the finder knows of another
/// key: then the finder is asked, and without one a request has no keys at all, because it will be refused.
fn by_specs(command: &Command, args: &Args) -> Option<Vec<KeyUse>> {
    let mut found = Vec::new();
    for spec in command.keys.iter().filter(|spec| !spec.notes.contains(&"not_key")) {
        if spec.notes.contains(&"incomplete") {
            return None;
        }
        let Some(positions) = spec.positions(args) else { return by_leading_count(command, args) };
        found.extend(positions.into_iter().map(|at| KeyUse::of(spec, at)));
    }
    // Of an option that is given twice, a specification sees the first and the command takes the last.
    let is_known = |at: &usize| found.iter().any(|key| key.at == *at);
    let complete = command.key_finder.is_none_or(|finder| finder(args).iter().all(is_known));
    complete.then_some(found)
}

/// The keys of a request whose number of keys is written in another way than the command takes. It
/// will be refused; but Redis looks for its keys first, to check permissions, and reads the number
/// like `atoi`. Those keys come first then.
fn by_leading_count(command: &Command, args: &Args) -> Option<Vec<KeyUse>> {
    let is_counted = |spec: &&KeySpec| matches!(spec.find, Find::Count { .. });
    let counted = command.keys.iter().find(is_counted)?;
    let mut found = Vec::new();
    let others = command.keys.iter().filter(|spec| !is_counted(spec));
    for spec in std::iter::once(counted).chain(others) {
        let positions = spec.positions_by(args, leading_integer)?;
        // What would be done to them is not said.
        let key = |at| KeyUse { at, access: Access::None, notes: &[] };
        found.extend(positions.into_iter().map(key));
    }
    Some(found)
}

/// A key of a request and what the request does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The argument.
    pub at: usize,
    pub access: Access,
    /// As in [`KeySpec::notes`], without those that are about the specification itself.
    pub notes: &'static [&'static str],
}

impl KeyUse {
    fn of(spec: &KeySpec, at: usize) -> Self {
        Self { at, access: spec.access, notes: spec.notes }
    }

    /// Whether its value is told (or depended on), and whether it is changed: the permissions that it takes.
    pub fn needs(&self) -> (bool, bool) {
        let writes = |note: &&str| matches!(*note, "insert" | "update" | "delete");
        (self.notes.contains(&"access"), self.notes.iter().any(writes))
    }

    /// Access and notes as COMMAND GETKEYSANDFLAGS names them.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + use<> {
        let own = |note: &&'static str| !matches!(*note, "incomplete" | "variable_flags");
        let all = std::iter::once(self.access.name()).chain(self.notes.iter().copied());
        all.filter(|name| !name.is_empty()).filter(own)
    }
}

/// Whether requests of a command can have keys.
pub fn has_keys(command: &Command) -> bool {
    let mut keys = command.keys.iter();
    command.key_finder.is_some() || keys.any(|spec| !spec.notes.contains(&"not_key"))
}

/// The keys of a request, in the order of its specifications or as its finder finds them.
pub fn key_uses(command: &Command, args: &Args) -> Vec<KeyUse> {
    let mut found = match (by_specs(command, args), command.key_finder) {
        (Some(found), _) => found,
        (None, None) => Vec::new(),
        (None, Some(finder)) => {
            let of_specs = |at: usize| {
                let mut specs = command.keys.iter();
                specs.find(|spec| spec.positions(args).is_some_and(|keys| keys.contains(&at)))
            };
            // A key that no specification can express belongs to the last one, which says so.
            let use_of = |at: usize| {
                let spec = of_specs(at).or(command.keys.last());
                KeyUse {
                    at,
                    access: spec.map_or(Access::ReadWrite, |spec| spec.access),
                    notes: spec.map_or(&["access", "update"], |spec| spec.notes),
                }
            };
            finder(args).into_iter().map(use_of).collect()
        }
    };
    if let Some(access_of) = command.key_access {
        for key in &mut found {
            (key.access, key.notes) = access_of(args, key.at);
        }
    }
    found
}
