//! A selector: one set of permissions. A user has one of its own and any number in parentheses; a
//! request is allowed when one of them allows all of it.

use super::commands::Commands;
use super::databases::{Databases, Place};
use super::keys;
use super::permit::{Denied, Reason};
use super::user::RuleError;
use crate::command::keyspec::KeyUse;
use crate::command::table::Row;
use crate::command::{Flags, keyspec};
use crate::config::words;
use crate::glob;
use crate::resp::Args;

/// What may be done to the keys of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    pub read: bool,
    pub write: bool,
    pub pattern: Vec<u8>,
}

/// One set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub commands: Commands,
    /// Every key; `keys` is then empty.
    all_keys: bool,
    keys: Vec<KeyPattern>,
    /// Every channel; `channels` is then empty.
    all_channels: bool,
    channels: Vec<Vec<u8>>,
    /// `None`: every database.
    databases: Option<Databases>,
}

impl Selector {
    /// No command, no key, every database, and the channels that `acl-pubsub-default` says.
    pub fn new(all_channels: bool) -> Self {
        Self {
            commands: Commands::none(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
            databases: None,
        }
    }

    /// Everything.
    pub fn everything() -> Self {
        Self { commands: Commands::all(), all_keys: true, ..Self::new(true) }
    }

    /// Whether nothing is denied.
    pub fn is_unrestricted(&self) -> bool {
        self.commands.are_all() && self.all_keys && self.all_channels && self.databases.is_none()
    }

    /// Reads the selector in a rule `(...)`.
    pub fn parse(rule: &[u8], all_channels: bool) -> Result<Self, RuleError> {
        let inside = rule.get(1..rule.len().saturating_sub(1)).unwrap_or_default();
        let mut selector = Self::new(all_channels);
        for word in words::split_line(inside).ok_or(RuleError::Syntax)? {
            // Redis takes these, and then writes a file that it cannot read back.
            if word.ends_with(b")") || word.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
                return Err(RuleError::Syntax);
            }
            selector.apply(&word)?;
        }
        Ok(selector)
    }

    /// Applies one rule about commands, keys, channels or databases.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            (self.all_keys, self.keys) = (true, Vec::new());
        } else if is("resetkeys") {
            (self.all_keys, self.keys) = (false, Vec::new());
        } else if is("allchannels") || is("&*") {
            (self.all_channels, self.channels) = (true, Vec::new());
        } else if is("resetchannels") {
            (self.all_channels, self.channels) = (false, Vec::new());
        } else if is("allcommands") {
            self.commands = Commands::all();
        } else if is("nocommands") {
            self.commands = Commands::none();
        } else if is("alldbs") {
            self.databases = None;
        } else if is("resetdbs") {
            self.databases = Some(Databases::default());
        } else {
            return match rule {
                [b'd' | b'D', b'b' | b'B', b'=', list @ ..] => {
                    self.databases = Some(Databases::parse(list)?);
                    Ok(())
                }
                [b'~' | b'%', ..] => self.add_key_pattern(rule),
                [b'&', pattern @ ..] => self.add_channel(pattern),
                [b'+' | b'-', ..] => {
                    // Names of commands are ASCII: anything else is unknown.
                    self.commands.apply(std::str::from_utf8(rule).map_err(|_| RuleError::Unknown)?)
                }
                _ => Err(RuleError::Syntax),
            };
        }
        Ok(())
    }

    fn add_key_pattern(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        let new = key_pattern(rule).ok_or(RuleError::Syntax)?;
        if has_spaces(&new.pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == new.pattern) {
            Some(known) => {
                known.read |= new.read;
                known.write |= new.write;
            }
            None => self.keys.push(new),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    /// Whether this selector allows the request; where not, what it stumbles over.
    pub fn check(
        &self,
        (row, args): (&Row, &Args),
        place: Place,
        keys: &mut KeyCache,
    ) -> Result<(), Denied> {
        let command = row.command;
        if let Some(databases) = &self.databases {
            let denied = |at| Denied { reason: Reason::Database, at };
            databases.check(row, args, place).map_err(denied)?;
        }
        if !command.flags.has(Flags::NO_AUTH) && !self.commands.allow(row, args) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        if !self.all_keys && keyspec::has_keys(command) {
            for key in keys.of(row, args) {
                if !self.allows_key(args.at(key.at), key) {
                    return Err(Denied { reason: Reason::Key, at: key.at });
                }
            }
        }
        if !self.all_channels
            && let Some((positions, literal)) = keys::channels(row, args)
        {
            for at in positions {
                if !self.allows_channel(args.at(at), literal) {
                    return Err(Denied { reason: Reason::Channel, at });
                }
            }
        }
        Ok(())
    }

    fn allows_key(&self, key: &[u8], used: &KeyUse) -> bool {
        let (read, write) = used.needs();
        self.keys.iter().any(|known| {
            (known.read || !read)
                && (known.write || !write)
                && glob::matches(&known.pattern, key, false)
        })
    }

    /// Whether a channel may be used; with `literal` it is itself a pattern, which must be among the
    /// allowed ones as it is.
    pub fn allows_channel(&self, channel: &[u8], literal: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|known| match literal {
                true => known == channel,
                false => glob::matches(known, channel, false),
            })
    }

    /// Whether every key may be read.
    pub fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.read && known.pattern == b"*")
    }

    /// The allowed channel patterns; `None`: all.
    pub fn channel_patterns(&self) -> Option<&[Vec<u8>]> {
        (!self.all_channels).then_some(self.channels.as_slice())
    }

    /// `~a* %R~b`
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let shown = self.keys.iter().map(|known| {
            let access: &[u8] = match (known.read, known.write) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                // Among others `~*` would be read back as "all keys", behind which no pattern may come.
                _ if known.pattern == b"*" && self.keys.len() > 1 => b"%RW~",
                _ => b"~",
            };
            [access, &known.pattern].concat()
        });
        shown.collect::<Vec<_>>().join(&b' ')
    }

    /// `&a &b*`
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let shown = self.channels.iter().map(|known| [b"&", known.as_slice()].concat());
        shown.collect::<Vec<_>>().join(&b' ')
    }

    /// The databases that it is limited to, if it is.
    pub fn databases(&self) -> Option<&Databases> {
        self.databases.as_ref()
    }

    /// All rules that make this selector out of an empty one.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        if self.all_keys || !self.keys.is_empty() {
            parts.push(self.describe_keys());
        }
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        if self.all_channels || !self.channels.is_empty() {
            parts.push(self.describe_channels());
        }
        parts.extend(self.databases.as_ref().map(|databases| databases.rule().into_bytes()));
        parts.push(self.commands.describe().into_bytes());
        parts.join(&b' ')
    }
}

/// The keys of the request in hand, found once for all selectors.
#[derive(Debug, Default)]
pub struct KeyCache(Option<Vec<KeyUse>>);

impl KeyCache {
    fn of(&mut self, row: &Row, args: &Args) -> &[KeyUse] {
        self.0.get_or_insert_with(|| keyspec::key_uses(row.command, args))
    }
}

/// Reads `~pattern`, `%R~pattern`, `%RW~pattern`.
fn key_pattern(rule: &[u8]) -> Option<KeyPattern> {
    if let [b'~', pattern @ ..] = rule {
        return Some(KeyPattern { read: true, write: true, pattern: pattern.to_vec() });
    }
    let (mut read, mut write) = (false, false);
    let mut rest = rule.get(1..)?;
    while let [next, behind @ ..] = rest {
        rest = behind;
        match next.to_ascii_uppercase() {
            b'R' if !read => read = true,
            b'W' if !write => write = true,
            b'~' if read || write => break,
            _ => return None,
        }
    }
    (read || write).then(|| KeyPattern { read, write, pattern: rest.to_vec() })
}

/// Whether a text would not be one word in a file.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C | 0))
}
