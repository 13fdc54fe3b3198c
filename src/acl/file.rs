//! The ACL file: one `user NAME rule...` line per user.
//!
//! Reading gives all users or every error with file and line; nothing is half loaded. Writing gives text that
//! reads back as the same users. Words are separated by single spaces and have no quotes, as in Redis' files.

use super::Acl;
use super::user::{RuleError, User, join_selectors};
use crate::config::words;

/// A file longer than this is no ACL file.
pub const LEN_MAX: usize = 64 << 20;

/// The users that a file describes. `path` is for errors, in Redis' words.
pub fn parse(text: &[u8], path: &str, all_channels: bool) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    let mut errors = String::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = words::trim(line);
        if line.is_empty() {
            continue;
        }
        let number = at + 1;
        match parse_line(line, &users, all_channels) {
            Ok(user) => users.push(user),
            Err(LineError::NoUser) => errors.push_str(&format!(
                "{path}:{number} should start with user keyword followed by the username. "
            )),
            Err(LineError::Name(name)) => errors.push_str(&format!(
                "'{path}:{number}: username '{name}' contains invalid characters. "
            )),
            Err(LineError::Twice(name)) => errors
                .push_str(&format!("WARNING: Duplicate user '{name}' found on line {number}. ")),
            Err(LineError::Parenthesis) => errors.push_str(&format!(
                "{path}:{number}: Unmatched parenthesis in selector definition."
            )),
            Err(LineError::Rules(texts)) => {
                for text in texts {
                    errors.push_str(&format!("{path}:{number}: {text}. "));
                }
            }
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    Err(errors
        + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed")
}

/// The text of a file with all users.
pub fn print(acl: &Acl) -> Vec<u8> {
    let mut text = Vec::new();
    for user in acl.iter() {
        text.extend_from_slice(b"user ");
        text.extend_from_slice(&user.describe());
        text.push(b'\n');
    }
    text
}

enum LineError {
    NoUser,
    Name(String),
    Twice(String),
    Parenthesis,
    /// What is wrong with each rule that is.
    Rules(Vec<String>),
}

fn parse_line(line: &[u8], known: &[User], all_channels: bool) -> Result<User, LineError> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(b"user"), Some(name)) = (parts.next(), parts.next()) else {
        return Err(LineError::NoUser);
    };
    let shown = || String::from_utf8_lossy(name).into_owned();
    if super::selector::has_spaces(name) {
        return Err(LineError::Name(shown()));
    }
    if known.iter().any(|user| user.name == name) {
        return Err(LineError::Twice(shown()));
    }
    let rules = join_selectors(parts.map(words::trim)).map_err(|_| LineError::Parenthesis)?;
    let mut user = User::new(name, all_channels);
    let mut wrong = Vec::new();
    let mut other = false;
    for rule in &rules {
        match user.apply(rule, all_channels) {
            Ok(()) => {}
            // Such a rule is no password, so it may be shown.
            Err(RuleError::Unknown) => wrong.push(format!(
                "Error in applying operation '{}': {}",
                String::from_utf8_lossy(rule),
                RuleError::Unknown
            )),
            Err(error) if !other => {
                other = true;
                wrong.push(error.to_string());
            }
            Err(_) => {}
        }
    }
    if wrong.is_empty() { Ok(user) } else { Err(LineError::Rules(wrong)) }
}
