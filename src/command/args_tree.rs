//! The argument tree of COMMAND DOCS, parsed on demand from the one-line grammar of a declaration.
//!
//! Grammar: `name`, `name:type`, `TOKEN` (no lower-case letter), `TOKEN name` for a token with a value,
//! `[optional]`, `<a | b>` for one of (also directly in brackets), `(a b)` for a block, `item ...` for repeated.
//! In brackets a token followed by several items is a block with that token. Types: key string
//! integer double pattern unix-time; a plain `key` is a key, everything else a string.
//!
//! Groups have no name in the grammar; they get one from what is in them. A grammar that does not parse
//! gives the arguments up to that point: it is our own text, and a test walks all declarations.

use std::iter::Peekable;
use std::str::Chars;

/// One argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    /// As COMMAND DOCS names it: `string`, `oneof`, `block`, `pure-token`...
    pub kind: String,
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    /// The token is repeated with each value.
    pub multiple_token: bool,
    pub children: Vec<Self>,
}

impl Argument {
    /// The names of its flags, in COMMAND DOCS' order.
    pub fn flags(&self) -> Vec<&'static str> {
        let all = [
            (self.optional, "optional"),
            (self.multiple, "multiple"),
            (self.multiple_token, "multiple_token"),
        ];
        all.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect()
    }

    fn pure_token(token: &str) -> Self {
        Self {
            name: token.to_ascii_lowercase(),
            kind: "pure-token".to_owned(),
            token: Some(token.to_owned()),
            ..Self::default()
        }
    }

    fn value(word: &str) -> Self {
        let (name, kind) = word.split_once(':').unwrap_or((word, ""));
        let kind = match (kind, name) {
            ("", "key") => "key",
            ("", _) => "string",
            (kind, _) => kind,
        };
        Self { name: name.to_owned(), kind: kind.to_owned(), ..Self::default() }
    }

    fn group(kind: &str, name: &str, children: Vec<Self>) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), children, ..Self::default() }
    }

    fn with_token(mut self, token: &str) -> Self {
        if self.kind == "block" {
            self.name = token.to_ascii_lowercase();
        }
        // SORT and BITFIELD repeat GET with each value; lists of ids have their token once.
        self.multiple_token = self.multiple && token == "GET";
        self.token = Some(token.to_owned());
        self
    }
}

/// The arguments that a grammar describes.
pub fn parse(grammar: &str) -> Vec<Argument> {
    let mut parser = Parser { chars: grammar.chars().peekable() };
    bind_tokens(parser.sequence())
}

/// A piece of a sequence before tokens are bound to values.
enum Piece {
    Token(String),
    Argument(Argument),
}

struct Parser<'g> {
    chars: Peekable<Chars<'g>>,
}

impl Parser<'_> {
    /// Items up to a closing bracket, a bar or the end.
    fn sequence(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        loop {
            match self.chars.peek() {
                None | Some(']' | '>' | ')' | '|') => return pieces,
                Some(' ') => {
                    self.chars.next();
                }
                Some('[') => {
                    let mut argument = self.group();
                    argument.optional = true;
                    pieces.push(Piece::Argument(argument));
                }
                Some('<' | '(') => pieces.push(Piece::Argument(self.group())),
                Some(_) => self.word(&mut pieces),
            }
        }
    }

    fn word(&mut self, pieces: &mut Vec<Piece>) {
        let mut word = String::new();
        while let Some(next) = self
            .chars
            .next_if(|next| !matches!(next, ' ' | '[' | ']' | '<' | '>' | '(' | ')' | '|'))
        {
            word.push(next);
        }
        if word == "..." {
            match pieces.last_mut() {
                Some(Piece::Argument(argument)) => argument.multiple = true,
                Some(Piece::Token(_)) | None => {}
            }
        } else if word.contains(|next: char| next.is_ascii_lowercase()) {
            pieces.push(Piece::Argument(Argument::value(&word)));
        } else {
            pieces.push(Piece::Token(word));
        }
    }

    /// Alternatives in brackets of any kind.
    fn group(&mut self) -> Argument {
        self.chars.next();
        let mut alternatives = vec![self.sequence()];
        while self.chars.next_if_eq(&'|').is_some() {
            alternatives.push(self.sequence());
        }
        // The closing bracket.
        self.chars.next();
        let mut children: Vec<Argument> = alternatives.into_iter().map(one).collect();
        if children.len() == 1 {
            return children.pop().unwrap_or_default();
        }
        let name = oneof_name(&children);
        Argument::group("oneof", name, children)
    }
}

/// A sequence as one argument.
fn one(mut pieces: Vec<Piece>) -> Argument {
    if pieces.len() > 2
        && let Some(Piece::Token(token)) = pieces.first()
    {
        let token = token.clone();
        let children = bind_tokens(pieces.split_off(1));
        return Argument::group("block", "", children).with_token(&token);
    }
    let mut arguments = bind_tokens(pieces);
    match arguments.len() {
        1 => arguments.pop().unwrap_or_default(),
        _ => Argument::group("block", "data", arguments),
    }
}

/// Gives each token the value behind it, if there is one that must be given.
fn bind_tokens(pieces: Vec<Piece>) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let mut waiting: Option<String> = None;
    for piece in pieces {
        match (piece, waiting.take()) {
            (Piece::Token(next), before) => {
                arguments.extend(before.as_deref().map(Argument::pure_token));
                waiting = Some(next);
            }
            (Piece::Argument(argument), Some(token)) if !argument.optional => {
                arguments.push(argument.with_token(&token));
            }
            (Piece::Argument(argument), before) => {
                arguments.extend(before.as_deref().map(Argument::pure_token));
                arguments.push(argument);
            }
        }
    }
    arguments.extend(waiting.as_deref().map(Argument::pure_token));
    arguments
}

/// What Redis calls a choice between such things.
fn oneof_name(children: &[Argument]) -> &'static str {
    const NAMES: &[(&[&str], &str)] = &[
        (&["EX", "PX"], "expiration"),
        (&["GT", "LT"], "comparison"),
        (&["NX", "XX"], "condition"),
        (&["ASC", "DESC"], "order"),
        (&["SYNC", "ASYNC"], "flush-type"),
        (&["BYTE", "BIT", "M", "KM"], "unit"),
        (&["BEFORE", "AFTER", "LEFT", "RIGHT", "MIN", "MAX"], "where"),
        (&["SUM"], "aggregate"),
        (&["AND", "OR"], "operation"),
    ];
    let has = |word: &&str| children.iter().any(|child| child.token.as_deref() == Some(*word));
    // NX with XX is a condition even where GT and LT are alternatives, too.
    if has(&"NX") && has(&"XX") {
        return "condition";
    }
    NAMES.iter().find(|(words, _)| words.iter().any(&has)).map_or("option", |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table::table;

    fn shape(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let children = match argument.children.is_empty() {
                true => String::new(),
                false => format!("({})", shape(&argument.children)),
            };
            let token = argument.token.as_ref().map_or(String::new(), |token| format!("{token}="));
            let flags = argument.flags().join("+");
            format!("{token}{}:{}{children}{flags}", argument.name, argument.kind)
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn grammars_give_redis_trees() {
        for (grammar, expected) in [
            ("", ""),
            ("key value", "key:key value:string"),
            ("key [NX | XX]", "key:key condition:oneof(NX=nx:pure-token XX=xx:pure-token)optional"),
            (
                "[EX seconds:integer|KEEPTTL]",
                "expiration:oneof(EX=seconds:integer KEEPTTL=keepttl:pure-token)optional",
            ),
            (
                "[LIMIT (offset:integer count:integer)]",
                "LIMIT=limit:block(offset:integer count:integer)optional",
            ),
            (
                "[AUTH username password]",
                "AUTH=auth:block(username:string password:string)optional",
            ),
            ("(key value) ...", "data:block(key:key value:string)multiple"),
            (
                "[GET get-pattern:pattern ...]",
                "GET=get-pattern:patternoptional+multiple+multiple_token",
            ),
            ("[ID client-id:integer ...]", "ID=client-id:integeroptional+multiple"),
            (
                "[MATCH pattern:pattern] [ALPHA]",
                "MATCH=pattern:patternoptional ALPHA=alpha:pure-tokenoptional",
            ),
        ] {
            assert_eq!(shape(&parse(grammar)), expected, "{grammar}");
        }
    }

    #[test]
    fn every_declared_grammar_parses_to_its_end() {
        let kinds = [
            "key",
            "string",
            "integer",
            "double",
            "pattern",
            "unix-time",
            "pure-token",
            "oneof",
            "block",
        ];
        for row in table().rows() {
            let mut parser = Parser { chars: row.command.args.chars().peekable() };
            let mut waiting = bind_tokens(parser.sequence());
            assert_eq!(parser.chars.next(), None, "{}: {}", row.full_name, row.command.args);
            while let Some(argument) = waiting.pop() {
                assert!(!argument.name.is_empty(), "{}", row.full_name);
                assert!(kinds.contains(&argument.kind.as_str()), "{}: {argument:?}", row.full_name);
                waiting.extend(argument.children);
            }
        }
    }
}
