//! `CONFIG GET` and `CONFIG SET` as pure functions.
//!
//! A change is all or nothing: the new configuration is a copy in which every pair was accepted; the
//! engine applies what differs and then replaces the old one, or drops the copy when it cannot (the port
//! is taken, say) and answers with [`ChangeError::apply`].

use std::fmt;

use super::Config;
use super::directive::{self, Change};
use super::words;
use crate::glob;
use crate::raw_text::mark;

/// A configuration in which several directives were changed together.
#[derive(Debug)]
pub struct Changed {
    /// The new configuration.
    pub config: Config,
    /// Directives whose value differs from before, in the table's order.
    pub names: Vec<&'static str>,
}

/// Why CONFIG SET changed nothing. `Display` is Redis' text behind `ERR `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// No directive has this name.
    Unknown(String),
    /// This directive was not accepted, for this reason.
    Refused(String, String),
}

impl ChangeError {
    /// The error of a value that was accepted but could not be applied.
    pub fn apply(name: &str, reason: &str) -> Self {
        Self::Refused(name.to_owned(), reason.to_owned())
    }
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Refused(name, reason) => {
                write!(f, "CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
        }
    }
}

impl std::error::Error for ChangeError {}

/// Whether the value of this directive must not appear in a log.
pub fn is_secret(name: &[u8]) -> bool {
    directive::find(name).is_some_and(|(directive, _)| directive.secret)
}

/// Whether a name has any byte that makes it a pattern.
pub(super) fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

impl Config {
    /// Names and values that match any of the patterns, each name once. A pattern without `*?[` is a name;
    /// it is shown as it was asked for, and finds hidden directives too.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        if let [name] = patterns
            && !is_pattern(name)
        {
            // One name, which is what clients ask: no walk through all of them.
            let found = directive::find(name).map(|(directive, _)| directive);
            return found
                .filter(|one| !matches!(one.kind, super::kind::Kind::Line))
                .map(|one| (name.to_vec(), one.kind.print(&self.value(one))))
                .into_iter()
                .collect();
        }
        let shown = directive::all().filter(|one| !matches!(one.kind, super::kind::Kind::Line));
        for directive in shown {
            for name in directive.names() {
                let asked = patterns.iter().find_map(|pattern| {
                    if !is_pattern(pattern) {
                        return name.as_bytes().eq_ignore_ascii_case(pattern).then_some(*pattern);
                    }
                    let matches = glob::matches(pattern, name.as_bytes(), true);
                    (matches && !directive.hidden).then_some(name.as_bytes())
                });
                if let Some(asked) = asked {
                    found.push((asked.to_vec(), directive.kind.print(&self.value(directive))));
                }
            }
        }
        found
    }

    /// The configuration with all these directives changed. `local` says whether the client is on this
    /// machine, which `enable-protected-configs local` asks for.
    pub fn changed(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Changed, ChangeError> {
        let refused = |name: &[u8], reason: &str| {
            ChangeError::Refused(mark(name).into_owned(), reason.to_owned())
        };
        let mut directives = Vec::new();
        let mut spellings = Vec::new();
        for (name, value) in pairs {
            let found = directive::find(name);
            let Some((directive, spelling)) =
                found.filter(|(directive, _)| !matches!(directive.kind, super::kind::Kind::Line))
            else {
                return Err(ChangeError::Unknown(mark(name).into_owned()));
            };
            let same =
                || directive.or_same && directive.kind.print(&self.value(directive)) == *value;
            match directive.change {
                Change::Never | Change::Protected if same() => {}
                Change::Never => return Err(refused(name, "can't set immutable config")),
                Change::Protected if !self.protected_allowed(local) => {
                    return Err(refused(name, "can't set protected config"));
                }
                Change::Protected | Change::Always => {}
            }
            if spellings.contains(&spelling) {
                return Err(refused(name, "duplicate parameter"));
            }
            spellings.push(spelling);
            directives.push((directive, *name, *value));
        }
        let mut config = self.clone();
        for (directive, name, value) in directives {
            let given = match directive.kind.takes_several() {
                true => words::split_spaces(value),
                false => vec![value.to_vec()],
            };
            config.assign(directive, &given, false).map_err(|reason| refused(name, &reason))?;
        }
        let differs = directive::all().filter(|one| self.value(one) != config.value(one));
        let names = differs.map(|one| one.name).collect();
        Ok(Changed { config, names })
    }
}
