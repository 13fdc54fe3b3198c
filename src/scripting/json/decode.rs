//! JSON text as Lua values.
//!
//! Text from anywhere: every byte is looked at through `get`, nesting is bounded, and nothing is
//! allocated by a length that the text claims.

#![deny(clippy::indexing_slicing)]

use mlua::{Lua, Table, Value};

use super::super::interpreter::Unlimited;
use super::super::raise::located;
use super::{NESTING_MAX, Settings, null};

/// The value of `text`.
pub(super) fn decode(lua: &Lua, text: &[u8], settings: &Settings) -> mlua::Result<Value> {
    // Wide encodings have a zero in one of the first two bytes.
    if text.len() >= 2 && text.iter().take(2).any(|byte| *byte == 0) {
        return Err(located(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    // What is made is bounded by the text, which is in the interpreter already.
    let _unlimited = Unlimited::new(lua);
    let mut decoder = Decoder { lua, text, at: 0, depth: 0, settings };
    let token = decoder.next();
    let value = decoder.value(token)?;
    let token = decoder.next();
    match token.kind {
        Kind::End => Ok(value),
        _ => Err(decoder.unexpected("the end", &token)),
    }
}

struct Decoder<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: usize,
    settings: &'a Settings,
}

struct Token {
    kind: Kind,
    /// Where it begins, or where it is wrong.
    at: usize,
}

enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Null,
    Boolean(bool),
    Number(f64),
    String(Vec<u8>),
    Wrong(&'static str),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Null => "T_NULL",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Number(_) => "T_NUMBER",
            Self::String(_) => "T_STRING",
            Self::Wrong(text) => text,
        }
    }
}

impl Decoder<'_> {
    fn unexpected(&self, expected: &str, token: &Token) -> mlua::Error {
        let found = token.kind.name();
        let at = token.at + 1;
        located(self.lua, format!("Expected {expected} but found {found} at character {at}"))
    }

    fn value(&mut self, token: Token) -> mlua::Result<Value> {
        match token.kind {
            Kind::String(text) => Ok(Value::String(self.lua.create_string(text)?)),
            Kind::Number(number) => Ok(Value::Number(number)),
            Kind::Boolean(flag) => Ok(Value::Boolean(flag)),
            Kind::Null => Ok(null()),
            Kind::ObjectBegin => self.object().map(Value::Table),
            Kind::ArrayBegin => self.array().map(Value::Table),
            _ => Err(self.unexpected("value", &token)),
        }
    }

    fn descend(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        let most = usize::try_from(self.settings.decode_depth_max).unwrap_or(0);
        if self.depth <= most.min(NESTING_MAX) {
            return Ok(());
        }
        let (depth, at) = (self.depth, self.at);
        let text = format!("Found too many nested data structures ({depth}) at character {at}");
        Err(located(self.lua, text))
    }

    fn array(&mut self) -> mlua::Result<Table> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if !matches!(token.kind, Kind::ArrayEnd) {
            for index in 1usize.. {
                let value = self.value(token)?;
                table.raw_set(index, value)?;
                let after = self.next();
                match after.kind {
                    Kind::ArrayEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => return Err(self.unexpected("comma or array end", &after)),
                }
            }
        }
        self.depth -= 1;
        Ok(table)
    }

    fn object(&mut self) -> mlua::Result<Table> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if !matches!(token.kind, Kind::ObjectEnd) {
            loop {
                let Kind::String(key) = token.kind else {
                    return Err(self.unexpected("object key string", &token));
                };
                let key = self.lua.create_string(key)?;
                let colon = self.next();
                if !matches!(colon.kind, Kind::Colon) {
                    return Err(self.unexpected("colon", &colon));
                }
                let first = self.next();
                let value = self.value(first)?;
                table.raw_set(key, value)?;
                let after = self.next();
                match after.kind {
                    Kind::ObjectEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => return Err(self.unexpected("comma or object end", &after)),
                }
            }
        }
        self.depth -= 1;
        Ok(table)
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Token {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = match self.peek(0) {
            0 => return Token { kind: Kind::End, at },
            b'{' => Some(Kind::ObjectBegin),
            b'}' => Some(Kind::ObjectEnd),
            b'[' => Some(Kind::ArrayBegin),
            b']' => Some(Kind::ArrayEnd),
            b':' => Some(Kind::Colon),
            b',' => Some(Kind::Comma),
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            return Token { kind, at };
        }
        if self.peek(0) == b'"' {
            return self.string();
        }
        for (word, kind) in [
            (b"true".as_slice(), Kind::Boolean(true)),
            (b"false".as_slice(), Kind::Boolean(false)),
            (b"null".as_slice(), Kind::Null),
        ] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Token { kind, at };
            }
        }
        self.number()
    }

    fn number(&mut self) -> Token {
        let at = self.at;
        let ordinary = matches!(self.peek(0), b'-' | b'0'..=b'9');
        let invalid = is_invalid_number(self.rest());
        if !(ordinary || self.settings.decode_invalid && invalid) {
            return Token { kind: Kind::Wrong("invalid token"), at };
        }
        if invalid && !self.settings.decode_invalid {
            return Token { kind: Kind::Wrong("invalid number"), at };
        }
        match leading_double(self.rest()) {
            Some((number, len)) => {
                self.at += len;
                Token { kind: Kind::Number(number), at }
            }
            None => Token { kind: Kind::Wrong("invalid number"), at },
        }
    }

    fn string(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let at = self.at;
            match self.peek(0) {
                b'"' => {
                    self.at += 1;
                    return Token { kind: Kind::String(text), at: start };
                }
                0 => return Token { kind: Kind::Wrong("unexpected end of string"), at },
                b'\\' => {
                    if let Err(reason) = self.escape(&mut text) {
                        return Token { kind: Kind::Wrong(reason), at };
                    }
                }
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// Reads an escape; the cursor is on its backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), &'static str> {
        let plain = match self.peek(1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(text).ok_or("invalid unicode escape code"),
            _ => return Err("invalid escape code"),
        };
        text.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let mut code = self.hex4(2)?;
        let mut len = 6;
        if code & 0xF800 == 0xD800 {
            // A high surrogate, and the low one behind it.
            if code & 0x400 != 0 || self.peek(6) != b'\\' || self.peek(7) != b'u' {
                return None;
            }
            let low = self.hex4(8)?;
            if low & 0xFC00 != 0xDC00 {
                return None;
            }
            code = ((code & 0x3FF) << 10 | (low & 0x3FF)) + 0x10000;
            len = 12;
        }
        let mut buffer = [0; 4];
        text.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
        self.at += len;
        Some(())
    }

    fn hex4(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |sum, digit| {
            Some(sum << 4 | char::from(self.peek(ahead + digit)).to_digit(16)?)
        })
    }
}

/// A number that JSON does not have: a plus, leading zeros, hexadecimal, NaN, infinity.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = match text.split_first() {
        Some((b'+', _)) => return true,
        Some((b'-', rest)) => rest,
        _ => text,
    };
    match text {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [b'0'..=b'9', ..] => false,
        _ => {
            let word = text.get(..3).unwrap_or_default();
            word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
        }
    }
}

/// The number that `text` begins with, as strtod reads it, and its length.
fn leading_double(text: &[u8]) -> Option<(f64, usize)> {
    let (negative, start) = match text.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let body = text.get(start..).unwrap_or_default();
    let begins =
        |word: &[u8]| body.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    let (value, len) = if begins(b"infinity") {
        (f64::INFINITY, 8)
    } else if begins(b"inf") {
        (f64::INFINITY, 3)
    } else if begins(b"nan") {
        (f64::NAN, 3)
    } else if begins(b"0x") && body.get(2).is_some_and(u8::is_ascii_hexdigit) {
        leading_hexadecimal(body)
    } else {
        leading_decimal(body)?
    };
    Some((if negative { -value } else { value }, start + len))
}

fn leading_hexadecimal(body: &[u8]) -> (f64, usize) {
    let digits = body.iter().skip(2).take_while(|byte| byte.is_ascii_hexdigit());
    let (mut value, mut len) = (0.0f64, 2);
    for digit in digits {
        value = value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or(0));
        len += 1;
    }
    (value, len)
}

fn leading_decimal(body: &[u8]) -> Option<(f64, usize)> {
    let digits =
        |from: usize| body.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut len = whole;
    let mut fraction = 0;
    if body.get(len) == Some(&b'.') {
        fraction = digits(len + 1);
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(body.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(body.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let text = std::str::from_utf8(body.get(..len)?).ok()?;
    Some((text.parse().ok()?, len))
}
