//! The commands that a selector allows: the rules as they were given, and the bitmap they amount to.
//!
//! Rules are worked out against the command table when they are given; a check then is a look at one bit.
//! The text keeps what was said in its order, where a later rule about the same command or category takes the
//! place of the former one, so that a file written from it means the same.

use std::collections::BTreeMap;

use super::user::RuleError;
use crate::command::introspect::categories;
use crate::command::table::{Row, table};
use crate::resp::Args;

/// One rule as it is printed, without its sign.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// `get`, `config|get`, `select|0`, `@read`: lower case.
    name: String,
}

/// What commands are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Whether the rules start from all commands, future ones too, or from none.
    from_all: bool,
    rules: Vec<Rule>,
    /// One bit for each row of the command table.
    allowed: Vec<u64>,
    /// No bit is missing.
    all: bool,
    /// First arguments with which a denied command is allowed all the same, by row.
    first_args: BTreeMap<usize, Vec<String>>,
}

impl Commands {
    /// No command.
    pub fn none() -> Self {
        let words = table().rows().len().div_ceil(64);
        Self {
            from_all: false,
            rules: Vec::new(),
            allowed: vec![0; words],
            all: false,
            first_args: BTreeMap::new(),
        }
    }

    /// Every command.
    pub fn all() -> Self {
        let mut commands = Self::none();
        commands.from_all = true;
        commands.all = true;
        commands.allowed.fill(u64::MAX);
        commands
    }

    /// Whether every command is allowed.
    pub fn are_all(&self) -> bool {
        self.all
    }

    /// Whether a request of this command is allowed.
    pub fn allow(&self, row: &Row, args: &Args) -> bool {
        if self.all || self.bit(row.index) {
            return true;
        }
        // A first argument is the one behind the name; that of a subcommand behind both.
        let at = if row.container.is_some() { 2 } else { 1 };
        let (Some(list), Some(first)) = (self.first_args.get(&row.index), args.get(at)) else {
            return false;
        };
        list.iter().any(|allowed| first.eq_ignore_ascii_case(allowed.as_bytes()))
    }

    /// Applies `+command`, `-command|sub`, `+@category` and the like.
    pub fn apply(&mut self, rule: &str) -> Result<(), RuleError> {
        let allow = rule.starts_with('+');
        let name = rule.get(1..).unwrap_or_default();
        if name.starts_with('@') {
            return self.category(name, allow);
        }
        let split = if allow { name.rsplit_once('|') } else { None };
        let Some((command, sub)) = split else {
            let row = table().by_full_name(name.as_bytes()).ok_or(RuleError::Unknown)?;
            self.change(row, allow);
            self.note(row.full_name.clone(), allow);
            return Ok(());
        };
        let row = table().by_full_name(command.as_bytes()).ok_or(RuleError::Unknown)?;
        if row.container.is_some() {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if sub.is_empty() || super::selector::has_spaces(sub.as_bytes()) {
            return Err(RuleError::Syntax);
        }
        if row.command.subcommands.is_empty() {
            let list = self.first_args.entry(row.index).or_default();
            if !list.iter().any(|known| known.eq_ignore_ascii_case(sub)) {
                list.push(sub.to_owned());
            }
        } else {
            let row = table().by_full_name(name.as_bytes()).ok_or(RuleError::Unknown)?;
            self.change(row, true);
        }
        self.note(name.to_lowercase(), true);
        Ok(())
    }

    /// `+@all -get +config|set`
    pub fn describe(&self) -> String {
        let mut text = if self.from_all { "+@all" } else { "-@all" }.to_owned();
        for rule in &self.rules {
            text.push_str(if rule.allow { " +" } else { " -" });
            text.push_str(&rule.name);
        }
        text
    }

    fn category(&mut self, name: &str, allow: bool) -> Result<(), RuleError> {
        let name = name.to_lowercase();
        let category = name.get(1..).unwrap_or_default();
        if category == "all" {
            *self = if allow { Self::all() } else { Self::none() };
            return Ok(());
        }
        if !categories::CATEGORIES.contains(&category) {
            return Err(RuleError::Unknown);
        }
        for row in table().rows().iter().filter(|row| categories::belongs(row, category)) {
            self.change(row, allow);
        }
        self.note(name, allow);
        Ok(())
    }

    /// Allows or denies a command with all its subcommands.
    fn change(&mut self, row: &Row, allow: bool) {
        self.set(row.index, allow);
        for sub in row.subcommand_rows() {
            self.set(sub, allow);
        }
    }

    fn bit(&self, index: usize) -> bool {
        self.allowed.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn set(&mut self, index: usize, allow: bool) {
        self.first_args.remove(&index);
        let Some(word) = self.allowed.get_mut(index / 64) else { return };
        let bit = 1 << (index % 64);
        if allow {
            *word |= bit;
        } else {
            *word &= !bit;
            self.all = false;
        }
    }

    /// Adds a rule to the text; what it makes void leaves: the same name, and subcommands of it.
    fn note(&mut self, name: String, allow: bool) {
        let below = |known: &str| {
            known
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        };
        self.rules.retain(|rule| !below(&rule.name));
        self.rules.push(Rule { allow, name });
    }
}
