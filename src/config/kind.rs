//! Kinds of values: what text is accepted, how it is printed by `CONFIG GET`, how by `CONFIG REWRITE`.
//!
//! The texts of the errors are those of Redis, since clients and operators know them. Parsing is strict
//! as there: no sign, blank or leading zero in an integer; memory is digits and an optional unit (`k` is
//! 1000, `kb` is 1024). One difference: an amount of memory that overflows is refused, not cut.

use super::notify::NotifyFlags;
use super::value::Value;
use super::words::{self, Word};

/// What values a directive takes.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// An integer between both, inclusive.
    Integer(i64, i64),
    /// A number of bytes between both, inclusive, with or without a unit.
    Memory(i64, u64),
    /// A number of bytes, or a percentage up to 100.
    MemoryOrPercent,
    /// File permissions, in octal.
    Octal(u32),
    /// One of these words.
    Name(&'static [&'static str]),
    /// Any of these words but the first, or the first, which means none of them.
    Flags(&'static [&'static str]),
    /// Classes of keyspace notifications.
    Events,
    /// Any one argument.
    Text,
    /// Several arguments with rules of their own.
    Words(&'static WordsRule),
    /// A line that only a config file may have (`include`, `user`, ...); it has no value.
    Line,
}

/// How a directive of several arguments reads and writes them.
pub struct WordsRule {
    /// The values it takes, for the reference.
    pub syntax: &'static str,
    /// New canonical words from what was given and what is there. `append` is set when an earlier line
    /// of the config file had the same directive.
    pub parse: ParseWords,
    /// The lines of a config file that say `value`: arguments, and whether the line is needed
    /// although the file did not have it (it differs from `default`).
    pub lines: WriteLines,
}

/// See [`WordsRule::parse`].
pub(super) type ParseWords =
    fn(given: &[Word], current: &[Word], append: bool) -> Result<Vec<Word>, String>;
/// See [`WordsRule::lines`].
pub(super) type WriteLines = fn(value: &[Word], default: &[Word]) -> Vec<(Vec<Word>, bool)>;

/// The error of a line with too many or too few arguments.
pub(super) const WRONG_COUNT: &str = "wrong number of arguments";

impl Kind {
    /// Whether it takes more than one argument.
    pub fn takes_several(&self) -> bool {
        matches!(self, Self::Words(_) | Self::Flags(_))
    }

    /// The value that these arguments stand for.
    pub fn parse(&self, given: &[Word], current: &Value, append: bool) -> Result<Value, String> {
        match self {
            Self::Words(rule) => {
                let current =
                    if let Value::Words(words) = current { words.as_slice() } else { &[] };
                (rule.parse)(given, current, append).map(Value::Words)
            }
            Self::Flags(names) => flags(names, given),
            _ => match given {
                [one] => self.parse_one(one),
                _ => Err(WRONG_COUNT.to_owned()),
            },
        }
    }

    fn parse_one(&self, word: &[u8]) -> Result<Value, String> {
        match self {
            Self::YesNo if word.eq_ignore_ascii_case(b"yes") => Ok(Value::Bool(true)),
            Self::YesNo if word.eq_ignore_ascii_case(b"no") => Ok(Value::Bool(false)),
            Self::YesNo => Err("argument must be 'yes' or 'no'".to_owned()),
            Self::Integer(min, max) => {
                let number = integer(word).ok_or("argument couldn't be parsed into an integer")?;
                in_range(i128::from(number), i128::from(*min), i128::from(*max))
            }
            Self::Memory(min, max) => {
                let negative = if *min < 0 { integer(word).map(i128::from) } else { None };
                let number = memory(word).map(i128::from).or(negative);
                let number = number.ok_or("argument must be a memory value")?;
                in_range(number, i128::from(*min), i128::from(*max))
            }
            Self::MemoryOrPercent => memory_or_percent(word),
            Self::Octal(max) => {
                let number = octal(word).ok_or("argument couldn't be parsed as an octal number")?;
                if number > *max {
                    return Err(format!("argument must be between 0 and {max:o} inclusive"));
                }
                Ok(Value::Number(i128::from(number)))
            }
            Self::Name(names) => position(names, word).map(Value::Name),
            Self::Events => NotifyFlags::parse(word)
                .map(|flags| Value::Flags(flags.bits()))
                .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()),
            Self::Text => Ok(Value::Text(word.to_vec())),
            Self::Flags(_) | Self::Words(_) | Self::Line => Err(WRONG_COUNT.to_owned()),
        }
    }

    /// The value as `CONFIG GET` shows it.
    pub fn print(&self, value: &Value) -> Vec<u8> {
        match (self, value) {
            (Self::MemoryOrPercent, Value::Number(number)) if *number < 0 => {
                format!("{}%", -number).into_bytes()
            }
            (Self::Octal(_), Value::Number(number)) => format!("{number:o}").into_bytes(),
            (Self::Name(names), Value::Name(at)) => {
                names.get(*at).copied().unwrap_or_default().as_bytes().to_vec()
            }
            (Self::Events, Value::Flags(bits)) => {
                NotifyFlags::from_bits(*bits).to_string().into_bytes()
            }
            (Self::Flags(names), Value::Flags(bits)) => flag_names(names, *bits).into_bytes(),
            (_, Value::Bool(yes)) => if *yes { "yes" } else { "no" }.into(),
            (_, Value::Number(number)) => number.to_string().into_bytes(),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Words(words)) => words.join(&b' '),
            (_, Value::Name(_) | Value::Flags(_)) => Vec::new(),
        }
    }

    /// The lines for a config file: text without the directive's name, and whether it must be written
    /// although the file did not have it.
    pub fn lines(&self, value: &Value, default: &Value) -> Vec<(Vec<u8>, bool)> {
        let text = match (self, value) {
            (Self::Words(rule), Value::Words(words)) => {
                let default =
                    if let Value::Words(words) = default { words.as_slice() } else { &[] };
                let lines = (rule.lines)(words, default).into_iter();
                return lines.map(|(words, needed)| (words::join(&words), needed)).collect();
            }
            (Self::Memory(..) | Self::MemoryOrPercent, Value::Number(number)) if *number > 0 => {
                with_unit(*number).into_bytes()
            }
            (Self::Text | Self::Events, _) => {
                let mut quoted = Vec::new();
                words::quote_into(&mut quoted, &self.print(value));
                quoted
            }
            _ => self.print(value),
        };
        vec![(text, value != default)]
    }

    /// What may be given, in words for the reference.
    pub fn describe(&self) -> String {
        match self {
            Self::YesNo => "`yes`, `no`".to_owned(),
            Self::Integer(min, max) => {
                format!("integer {}", range(i128::from(*min), i128::from(*max)))
            }
            Self::Memory(min, max) => {
                format!("bytes {}", range(i128::from(*min), i128::from(*max)))
            }
            Self::MemoryOrPercent => "bytes, or `0%` to `100%`".to_owned(),
            Self::Octal(max) => format!("octal 0 to {max:o}"),
            Self::Name(names) => code_list(names),
            Self::Flags(names) => format!("any of {}", code_list(names)),
            Self::Events => "characters of `KEg$lshzxetdnmA`".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Words(rule) => rule.syntax.to_owned(),
            Self::Line => "line of a config file".to_owned(),
        }
    }
}

/// A number of bytes with an optional unit; no digits are 0, as in Redis.
pub fn memory(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = word.split_at_checked(digits)?;
    let unit = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let mut number = 0u64;
    for digit in digits {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    number.checked_mul(unit)
}

/// An integer in its only canonical form.
pub fn integer(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let canonical = match digits {
        [b'0'] => digits.len() == word.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { std::str::from_utf8(word).ok()?.parse().ok() } else { None }
}

fn octal(word: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(word).ok()?, 8).ok()
}

fn in_range(number: i128, min: i128, max: i128) -> Result<Value, String> {
    if (min..=max).contains(&number) {
        Ok(Value::Number(number))
    } else {
        Err(format!("argument must be between {min} and {max} inclusive"))
    }
}

fn memory_or_percent(word: &[u8]) -> Result<Value, String> {
    if let Some(bytes) = memory(word) {
        return Ok(Value::Number(i128::from(bytes)));
    }
    let percent = word.strip_suffix(b"%").and_then(integer).filter(|percent| *percent >= 0);
    match percent {
        Some(percent @ 0..=100) => Ok(Value::Number(-i128::from(percent))),
        Some(_) => Err("percentage argument must be less or equal to 100".to_owned()),
        None => Err("argument must be a memory or percent value".to_owned()),
    }
}

fn position(names: &[&str], word: &[u8]) -> Result<usize, String> {
    let found = names.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(word));
    found.ok_or_else(|| format!("argument(s) must be one of the following: {}", names.join(", ")))
}

/// Bit `i - 1` for the name at `i`; the name at 0 has none.
fn flags(names: &[&str], given: &[Word]) -> Result<Value, String> {
    if given.is_empty() {
        return Err(WRONG_COUNT.to_owned());
    }
    let mut bits = 0;
    for word in given {
        if let Some(bit) = position(names, word)?.checked_sub(1) {
            bits |= 1 << bit;
        }
    }
    Ok(Value::Flags(bits))
}

fn flag_names(names: &[&str], bits: u32) -> String {
    let set = names.iter().skip(1).enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    if set.is_empty() {
        names.first().copied().unwrap_or_default().to_owned()
    } else {
        set.join(" ")
    }
}

/// A positive number of bytes in the largest unit that divides it.
fn with_unit(bytes: i128) -> String {
    for (unit, name) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes % unit == 0 {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

fn range(min: i128, max: i128) -> String {
    let unbounded = max == i128::from(i64::MAX) || max == i128::from(u64::MAX);
    if unbounded { format!("from {min}") } else { format!("{min} to {max}") }
}

fn code_list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &Kind, word: &str) -> Result<Value, String> {
        kind.parse(&[word.as_bytes().to_vec()], &Value::Bool(false), false)
    }

    #[test]
    fn integers_are_canonical_and_in_range() {
        let kind = Kind::Integer(-5, 500);
        assert_eq!(parse(&kind, "-5"), Ok(Value::Number(-5)));
        assert_eq!(parse(&kind, "0"), Ok(Value::Number(0)));
        for word in ["", "-", "-0", "01", "+1", " 1", "1 ", "1x", "9223372036854775808"] {
            assert_eq!(
                parse(&kind, word),
                Err("argument couldn't be parsed into an integer".into()),
                "{word}"
            );
        }
        assert_eq!(
            parse(&kind, "501"),
            Err("argument must be between -5 and 500 inclusive".into())
        );
    }

    #[test]
    fn memory_has_units_and_does_not_overflow() {
        for (word, bytes) in [
            ("", 0),
            ("gb", 0),
            ("5b", 5),
            ("1k", 1000),
            ("1Kb", 1024),
            ("2M", 2_000_000),
            ("1mb", 1 << 20),
            ("1g", 1_000_000_000),
            ("1GB", 1 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(memory(word.as_bytes()), Some(bytes), "{word}");
        }
        for word in ["-1", "1.5gb", "1tb", "1 kb", "18446744073709551616", "18446744073709551615kb"]
        {
            assert_eq!(memory(word.as_bytes()), None, "{word}");
        }
        let kind = Kind::Memory(1 << 20, i64::MAX as u64);
        assert_eq!(
            parse(&kind, "1"),
            Err("argument must be between 1048576 and 9223372036854775807 inclusive".into())
        );
        assert_eq!(parse(&kind, "-1"), Err("argument must be a memory value".into()));
        assert_eq!(parse(&Kind::Memory(-1, 9), "-1"), Ok(Value::Number(-1)));
    }

    #[test]
    fn percentages_are_kept_as_percentages() {
        let kind = Kind::MemoryOrPercent;
        let half = parse(&kind, "50%").unwrap();
        assert_eq!(kind.print(&half), b"50%");
        assert_eq!(kind.lines(&half, &Value::Number(0)), [(b"50%".to_vec(), true)]);
        assert_eq!(parse(&kind, "3kb"), Ok(Value::Number(3072)));
        assert_eq!(
            parse(&kind, "101%"),
            Err("percentage argument must be less or equal to 100".into())
        );
        for word in ["-5%", "%", "5%%", "x"] {
            assert_eq!(
                parse(&kind, word),
                Err("argument must be a memory or percent value".into())
            );
        }
    }

    #[test]
    fn names_and_flags_ignore_case() {
        let kind = Kind::Name(&["everysec", "always", "no"]);
        assert_eq!(parse(&kind, "ALWAYS"), Ok(Value::Name(1)));
        assert_eq!(
            parse(&kind, "x"),
            Err("argument(s) must be one of the following: everysec, always, no".into())
        );
        let kind = Kind::Flags(&["default", "save", "nosave", "now"]);
        let given = [b"NOW".to_vec(), b"save".to_vec()];
        let flags = kind.parse(&given, &Value::Flags(0), false).unwrap();
        assert_eq!(kind.print(&flags), b"save now");
        assert_eq!(kind.print(&Value::Flags(0)), b"default");
        assert!(kind.parse(&[], &Value::Flags(0), false).is_err());
    }

    #[test]
    fn octal_is_printed_as_octal() {
        let kind = Kind::Octal(0o777);
        assert_eq!(kind.print(&parse(&kind, "0700").unwrap()), b"700");
        assert_eq!(
            parse(&kind, "1777"),
            Err("argument must be between 0 and 777 inclusive".into())
        );
        assert_eq!(parse(&kind, "9"), Err("argument couldn't be parsed as an octal number".into()));
    }

    #[test]
    fn rewritten_memory_takes_the_largest_unit() {
        let kind = Kind::Memory(0, u64::MAX);
        for (bytes, text) in [(0, "0"), (1000, "1000"), (2048, "2kb"), (1500 << 20, "1500mb")] {
            let lines = kind.lines(&Value::Number(bytes), &Value::Number(0));
            assert_eq!(lines, [(text.as_bytes().to_vec(), bytes != 0)]);
        }
    }
}
