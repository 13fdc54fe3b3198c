//! What a transcript expects of one reply: the reply itself in the notation of `README.md`, with
//! patterns where a part differs from run to run.

use crate::support::reply::Reply;

#[derive(Debug)]
pub(crate) enum Pattern {
    Exactly(Reply),
    Any,
    Int(i64, i64),
    Str,
    /// A string, or an error when the flag is set, that matches a glob.
    Glob(bool, Vec<u8>),
    OneOf(Vec<Self>),
    Array(List),
    Set(List),
    Push(List),
    /// A RESP2 array of keys and values in any order of the pairs.
    Pairs(List),
    Map(List),
    /// No reply at all.
    Nothing,
    /// The server closes the connection.
    Closed,
    /// Not blessed yet.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct List {
    items: Vec<Pattern>,
    ordered: bool,
    /// `...` at the end: more elements may follow.
    open: bool,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text.trim_end(), depth: 0 };
        let pattern = parser.value()?;
        if parser.rest.trim().is_empty() {
            Ok(pattern)
        } else {
            Err(format!("left over after the reply: {}", parser.rest))
        }
    }

    pub(crate) fn matches(&self, reply: &Reply) -> bool {
        match self {
            Self::Exactly(Reply::NilBulk) => matches!(reply, Reply::NilBulk | Reply::Null),
            Self::Exactly(Reply::NilArray) => matches!(reply, Reply::NilArray | Reply::Null),
            Self::Exactly(expected) => expected == reply,
            Self::Any => true,
            Self::Int(low, high) => {
                matches!(reply, Reply::Int(value) if (low..=high).contains(&value))
            }
            Self::Str => matches!(reply, Reply::Bulk(_) | Reply::Verbatim(..)),
            Self::Glob(error, glob) => {
                reply.is_error() == *error
                    && reply.bytes().is_some_and(|bytes| glob_matches(glob, bytes))
            }
            Self::OneOf(choices) => choices.iter().any(|choice| choice.matches(reply)),
            Self::Array(list) => matches!(reply, Reply::Array(items) if list.matches(items)),
            Self::Set(list) => matches!(reply, Reply::Set(items) if list.matches(items)),
            Self::Push(list) => matches!(reply, Reply::Push(items) if list.matches(items)),
            Self::Pairs(list) => matches!(reply, Reply::Array(items) if list.matches_pairs(items)),
            Self::Map(list) => match reply {
                Reply::Map(pairs) => {
                    let flat: Vec<Reply> =
                        pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect();
                    list.matches_pairs(&flat)
                }
                _ => false,
            },
            Self::Nothing | Self::Closed | Self::Unknown => false,
        }
    }
}

impl List {
    fn matches(&self, replies: &[Reply]) -> bool {
        if replies.len() < self.items.len() || (replies.len() > self.items.len() && !self.open) {
            return false;
        }
        if self.ordered {
            return self.items.iter().zip(replies).all(|(item, reply)| item.matches(reply));
        }
        each_has_its_own(&self.items, replies, |item, reply| item.matches(reply))
    }

    fn matches_pairs(&self, replies: &[Reply]) -> bool {
        if !replies.len().is_multiple_of(2)
            || replies.len() < self.items.len()
            || (replies.len() > self.items.len() && !self.open)
        {
            return false;
        }
        let expected: Vec<&[Pattern]> = self.items.chunks(2).collect();
        let found: Vec<&[Reply]> = replies.chunks(2).collect();
        each_has_its_own(&expected, &found, |pair, reply| {
            pair[0].matches(&reply[0]) && pair[1].matches(&reply[1])
        })
    }
}

/// Every expected element takes the first one that fits and that no other took.
fn each_has_its_own<E, F>(expected: &[E], found: &[F], fits: impl Fn(&E, &F) -> bool) -> bool {
    let mut taken = vec![false; found.len()];
    expected.iter().all(|item| {
        let at = (0..found.len()).find(|&at| !taken[at] && fits(item, &found[at]));
        at.inspect(|&at| taken[at] = true).is_some()
    })
}

/// `*` and `?`, no classes.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            (0..=text.len()).any(|skipped| glob_matches(rest, &text[skipped..]))
        }
        (Some((b'?', rest)), Some((_, tail))) => glob_matches(rest, tail),
        (Some((byte, rest)), Some((other, tail))) if byte == other => glob_matches(rest, tail),
        _ => false,
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Pattern, String> {
        self.rest = self.rest.trim_start();
        let exactly = |reply| Ok(Pattern::Exactly(reply));
        if self.take("+") {
            return exactly(Reply::Simple(self.text()?));
        }
        if self.rest.starts_with('"') {
            return exactly(Reply::Bulk(self.quoted()?));
        }
        for (open, make) in LISTS {
            if self.take(open) {
                return make(self);
            }
        }
        if self.take("oneof(") {
            return Ok(Pattern::OneOf(self.items(')')?.items));
        }
        if self.take("glob\"") {
            return Ok(Pattern::Glob(false, self.unterminated()?));
        }
        if self.take("error\"") {
            return Ok(Pattern::Glob(true, self.unterminated()?));
        }
        if self.take("int(") {
            let (range, rest) = self.rest.split_once(')').ok_or("int( without )")?;
            self.rest = rest;
            let (low, high) = range.split_once("..").ok_or("int(low..high)")?;
            let number = |text: &str| text.parse().map_err(|_| format!("not a number: {text}"));
            return Ok(Pattern::Int(number(low)?, number(high)?));
        }
        if self.take(",") {
            return exactly(Reply::Double(self.word().as_bytes().to_vec()));
        }
        if self.take("(") {
            return exactly(Reply::BigNumber(self.word().as_bytes().to_vec()));
        }
        if self.take("=") {
            let (format, rest) = self.rest.split_once(':').ok_or("verbatim without format")?;
            self.rest = rest;
            return exactly(Reply::Verbatim(format.as_bytes().to_vec(), self.quoted()?));
        }
        if let Some(after) = self.rest.strip_prefix('-')
            && !after.starts_with(|next: char| next.is_ascii_digit())
        {
            self.rest = after;
            return exactly(Reply::Error(self.text()?));
        }
        self.keyword()
    }

    fn keyword(&mut self) -> Result<Pattern, String> {
        let word = self.word();
        match word {
            "any" => Ok(Pattern::Any),
            "int" => Ok(Pattern::Int(i64::MIN, i64::MAX)),
            "str" => Ok(Pattern::Str),
            "nil" => Ok(Pattern::Exactly(Reply::NilBulk)),
            "nil*" => Ok(Pattern::Exactly(Reply::NilArray)),
            "#t" => Ok(Pattern::Exactly(Reply::Bool(true))),
            "#f" => Ok(Pattern::Exactly(Reply::Bool(false))),
            "nothing" => Ok(Pattern::Nothing),
            "closed" => Ok(Pattern::Closed),
            "?" => Ok(Pattern::Unknown),
            number => match number.parse() {
                Ok(value) => Ok(Pattern::Exactly(Reply::Int(value))),
                Err(_) => Err(format!("not a reply: {number}")),
            },
        }
    }

    fn take(&mut self, prefix: &str) -> bool {
        let after = self.rest.strip_prefix(prefix);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find([' ', ']', '}', ')']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// The text of a simple string or an error: quoted, or up to the end of the line when it
    /// stands alone, or one word inside a list.
    fn text(&mut self) -> Result<Vec<u8>, String> {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        if self.depth > 0 {
            return Ok(self.word().as_bytes().to_vec());
        }
        let (text, _) = unescape(self.rest, None)?;
        self.rest = "";
        Ok(text)
    }

    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        self.rest = self.rest.strip_prefix('"').ok_or("expected a quoted string")?;
        self.unterminated()
    }

    fn unterminated(&mut self) -> Result<Vec<u8>, String> {
        let (bytes, rest) = unescape(self.rest, Some('"'))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn items(&mut self, close: char) -> Result<List, String> {
        self.depth += 1;
        let mut list = List { items: Vec::new(), ordered: true, open: false };
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                self.depth -= 1;
                return Ok(list);
            }
            if self.rest.is_empty() {
                return Err(format!("a list is not closed by {close}"));
            }
            if self.take("...") {
                list.open = true;
            } else if !self.take("=> ") {
                list.items.push(self.value()?);
            }
        }
    }
}

type ListParser = fn(&mut Parser<'_>) -> Result<Pattern, String>;

const LISTS: &[(&str, ListParser)] = &[
    ("?[", |parser| Ok(Pattern::Array(List { ordered: false, ..parser.items(']')? }))),
    ("%[", |parser| Ok(Pattern::Pairs(parser.items(']')?))),
    ("~[", |parser| Ok(Pattern::Set(List { ordered: false, ..parser.items(']')? }))),
    ("![", |parser| Ok(Pattern::Push(parser.items(']')?))),
    ("[", |parser| Ok(Pattern::Array(parser.items(']')?))),
    ("{", |parser| Ok(Pattern::Map(parser.items('}')?))),
];

/// Undoes `escape` up to `end`, or up to the end of the text. Returns the rest, too.
pub(crate) fn unescape(text: &str, end: Option<char>) -> Result<(Vec<u8>, &str), String> {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if Some(char) == end {
            return Ok((bytes, &text[at + 1..]));
        }
        if char != '\\' {
            bytes.extend_from_slice(char.to_string().as_bytes());
            continue;
        }
        match chars.next().map(|(_, next)| next) {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('x') => {
                let digits = text.get(at + 2..at + 4).ok_or("\\x needs two digits")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "\\x needs two digits")?);
                chars.next();
                chars.next();
            }
            Some(other) => bytes.extend_from_slice(other.to_string().as_bytes()),
            None => return Err("a backslash ends the text".into()),
        }
    }
    match end {
        None => Ok((bytes, "")),
        Some(end) => Err(format!("no closing {end}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let replies = [
            Reply::Simple(b"OK".to_vec()),
            Reply::Error(b"ERR value is not an integer or out of range".to_vec()),
            Reply::Int(-5),
            bulk("a \"b\" \\ \r\n\x01]"),
            Reply::Array(vec![
                Reply::Error(b"ERR no [such] key".to_vec()),
                Reply::Simple(b"".to_vec()),
                Reply::Array(vec![]),
                Reply::Double(b"1.5".to_vec()),
                Reply::Bool(true),
            ]),
            Reply::Map(vec![(bulk("k"), Reply::Set(vec![Reply::Int(1)]))]),
            Reply::Push(vec![bulk("message"), Reply::BigNumber(b"123".to_vec())]),
            Reply::Verbatim(b"txt".to_vec(), b"a: b".to_vec()),
        ];
        for reply in &replies {
            let pattern = Pattern::parse(&reply.to_string()).unwrap();
            assert!(pattern.matches(reply), "{reply} is read as {pattern:?}");
            for other in replies.iter().filter(|other| *other != reply) {
                assert!(!pattern.matches(other), "{reply} also matches {other}");
            }
        }
    }

    #[test]
    fn patterns_take_what_they_say_and_nothing_else() {
        let ab = Reply::Array(vec![bulk("a"), bulk("b")]);
        let ba = Reply::Array(vec![bulk("b"), bulk("a")]);
        let cases = [
            ("?[\"a\" \"b\"]", &ba, true),
            ("[\"a\" \"b\"]", &ba, false),
            ("[\"a\" ...]", &ab, true),
            ("[\"a\"]", &ab, false),
            ("?[\"a\" \"a\"]", &ab, false),
            ("%[\"b\" \"a\"]", &ba, true),
            ("[str glob\"?\"]", &ab, true),
            ("[str glob\"??\"]", &ab, false),
            ("int(1..3)", &Reply::Int(3), true),
            ("int(1..3)", &Reply::Int(4), false),
            ("oneof(1 \"a\")", &bulk("a"), true),
            ("nil", &Reply::Null, true),
            ("nil", &Reply::NilArray, false),
            ("error\"ERR *\"", &Reply::Error(b"ERR x".to_vec()), true),
            ("glob\"ERR *\"", &Reply::Error(b"ERR x".to_vec()), false),
        ];
        for (text, reply, expected) in cases {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(pattern.matches(reply), expected, "{text} and {reply}");
        }
    }
}
