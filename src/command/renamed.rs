//! `rename-command`: commands that answer to another name, or to none.
//!
//! Looked at before the table, so that everything behind it (log, statistics, ACL, MONITOR) knows only
//! the commands' own names: a log is read whatever they are called later.

use std::collections::{HashMap, HashSet};

use super::table::table;
use crate::resp::{Args, OwnedArgs};

/// What a name in a request stands for.
#[derive(Debug)]
pub enum Named {
    /// What it says.
    Itself,
    /// Nothing: the command has lost this name.
    Nothing,
    /// The same request with the command's own name.
    Renamed(OwnedArgs),
}

/// The names that differ. Names are in upper case.
#[derive(Debug, Default)]
pub struct Renamed {
    lost: HashSet<Vec<u8>>,
    given: HashMap<Vec<u8>, Vec<u8>>,
}

impl Renamed {
    /// Reads pairs of a command and its new name, in their order; an empty name disables the command.
    /// `None` when there are none. Errors: no such command, or the name is taken.
    pub fn new(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<Box<Self>>, String> {
        let mut renamed = Self::default();
        for (command, name) in pairs {
            let (command, name) = (command.to_ascii_uppercase(), name.to_ascii_uppercase());
            let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            let own = match renamed.given.remove(&command) {
                Some(own) => own,
                None if renamed.is_known(&command) => command.clone(),
                None => {
                    return Err(format!("No such command in rename-command: {}", shown(&command)));
                }
            };
            renamed.lost.insert(command);
            if name.is_empty() {
                continue;
            }
            if renamed.given.contains_key(&name) || renamed.is_known(&name) {
                return Err(format!("Target command name already exists: {}", shown(&name)));
            }
            renamed.lost.remove(&name);
            renamed.given.insert(name, own);
        }
        Ok((!pairs.is_empty()).then(|| Box::new(renamed)))
    }

    fn is_known(&self, name: &[u8]) -> bool {
        !self.lost.contains(name) && table().has(name)
    }

    /// What the first word of a request stands for.
    pub fn look_up(&self, args: &Args) -> Named {
        let name = args.at(0).to_ascii_uppercase();
        if let Some(own) = self.given.get(&name) {
            let words: Vec<&[u8]> =
                std::iter::once(own.as_slice()).chain(args.iter().skip(1)).collect();
            return Named::Renamed(OwnedArgs::from_slices(words));
        }
        if self.lost.contains(&name) { Named::Nothing } else { Named::Itself }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)], word: &str) -> String {
        let pairs: Vec<(Vec<u8>, Vec<u8>)> =
            pairs.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())).collect();
        let renamed = match Renamed::new(&pairs) {
            Ok(renamed) => renamed.unwrap(),
            Err(error) => return error,
        };
        let request = OwnedArgs::from_slices([word.as_bytes(), b"x"]);
        match renamed.look_up(&request.as_args()) {
            Named::Itself => "itself".to_owned(),
            Named::Nothing => "nothing".to_owned(),
            Named::Renamed(own) => String::from_utf8_lossy(own.as_args().at(0)).into_owned(),
        }
    }

    #[test]
    fn commands_answer_to_their_new_names_only() {
        let pairs = [("flushall", "Badger"), ("debug", "")];
        assert_eq!(named(&pairs, "FlushAll"), "nothing");
        assert_eq!(named(&pairs, "bADGER"), "FLUSHALL");
        assert_eq!(named(&pairs, "DEBUG"), "nothing");
        assert_eq!(named(&pairs, "get"), "itself");
    }

    #[test]
    fn names_can_be_exchanged_and_given_again() {
        let pairs = [("get", "tmp"), ("set", "get"), ("tmp", "set")];
        assert_eq!(named(&pairs, "GET"), "SET");
        assert_eq!(named(&pairs, "set"), "GET");
        assert_eq!(named(&pairs, "tmp"), "nothing");
    }

    #[test]
    fn mistakes_are_refused() {
        assert_eq!(named(&[("nosuch", "x")], "x"), "No such command in rename-command: NOSUCH");
        assert_eq!(named(&[("get", "set")], "x"), "Target command name already exists: SET");
    }
}
