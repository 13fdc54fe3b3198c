//! The options that SET, GETEX and MSETEX share: conditions and times.
//!
//! Times are only resolved once all options are read, so that a syntax error wins over a bad
//! number, as in Redis.

use super::super::{Args, CommandError, Ctx};
use super::value;
use crate::clock::UnixMillis;
use crate::keyspace::StrRef;
use crate::number;

/// How a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct Time<'a> {
    pub(in crate::command) text: &'a [u8],
    pub(in crate::command) in_seconds: bool,
    /// From the epoch on, not from now on.
    pub(in crate::command) is_absolute: bool,
}

impl Time<'_> {
    /// Milliseconds since the epoch. Zero and less are refused, as is what does not fit.
    pub(in crate::command) fn resolve(&self, ctx: &Ctx) -> Result<UnixMillis, CommandError> {
        let number = number::parse_i64(self.text).ok_or(CommandError::NotInteger)?;
        if number <= 0 {
            return Err(CommandError::invalid_expire(ctx.command));
        }
        self.add_up(number, ctx)
    }

    /// The same, of a number that may be negative: EXPIRE takes those, they mean "now".
    pub(in crate::command) fn resolve_any(&self, ctx: &Ctx) -> Result<UnixMillis, CommandError> {
        let number = number::parse_i64(self.text).ok_or(CommandError::NotInteger)?;
        self.add_up(number, ctx)
    }

    /// Whether both come from the same option.
    pub(in crate::command) fn is_given_as(&self, other: &Self) -> bool {
        (self.in_seconds, self.is_absolute) == (other.in_seconds, other.is_absolute)
    }

    fn add_up(&self, number: i64, ctx: &Ctx) -> Result<UnixMillis, CommandError> {
        let factor = if self.in_seconds { 1000 } else { 1 };
        let base = if self.is_absolute { 0 } else { ctx.now };
        let at = number.checked_mul(factor).and_then(|millis| millis.checked_add(base));
        at.ok_or_else(|| CommandError::invalid_expire(ctx.command))
    }
}

/// What becomes of the expiry of a key that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Expiry<'a> {
    /// None is left.
    Clear,
    /// KEEPTTL: as it was.
    Keep,
    At(Time<'a>),
}

impl Expiry<'_> {
    /// Whether an option may follow: only the same one again, never another.
    fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Clear, _) | (Self::Keep, Self::Keep) => true,
            (Self::At(old), Self::At(new)) => old.is_given_as(&new),
            _ => false,
        }
    }
}

/// When a command is to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Condition<'a> {
    Always,
    /// NX
    Absent,
    /// XX
    Present,
    /// The value is, or is not, this one. Something absent is not.
    Value {
        equal: bool,
        to: &'a [u8],
    },
    /// The value's digest is, or is not, this one.
    Digest {
        equal: bool,
        to: u64,
    },
}

impl<'a> Condition<'a> {
    /// A comparison by its word: IFEQ, IFNE, IFDEQ or IFDNE.
    pub(in crate::command) fn comparison(
        word: &[u8],
        operand: &'a [u8],
    ) -> Option<Result<Self, CommandError>> {
        let digest = |equal| parse_digest(operand).map(|to| Condition::Digest { equal, to });
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        Some(match () {
            () if is("IFEQ") => Ok(Condition::Value { equal: true, to: operand }),
            () if is("IFNE") => Ok(Condition::Value { equal: false, to: operand }),
            () if is("IFDEQ") => digest(true),
            () if is("IFDNE") => digest(false),
            () => return None,
        })
    }

    /// Whether it looks at the value, which must be a string then.
    pub(in crate::command) fn compares(&self) -> bool {
        matches!(self, Self::Value { .. } | Self::Digest { .. })
    }

    /// Whether it holds for this string.
    pub(in crate::command) fn holds(&self, current: Option<StrRef>) -> bool {
        let mut buffer = itoa::Buffer::new();
        match (*self, current) {
            (Self::Always, _) => true,
            (Self::Absent, current) => current.is_none(),
            (Self::Present, current) => current.is_some(),
            (Self::Value { equal, .. } | Self::Digest { equal, .. }, None) => !equal,
            (Self::Value { equal, to }, Some(current)) => {
                (value::text(current, &mut buffer) == to) == equal
            }
            (Self::Digest { equal, to }, Some(current)) => {
                (digest(value::text(current, &mut buffer)) == to) == equal
            }
        }
    }
}

/// The digest that DIGEST replies with: XXH3 with 64 bits.
pub(in crate::command) fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

fn parse_digest(text: &[u8]) -> Result<u64, CommandError> {
    let error = CommandError::text("ERR must be exactly 16 hexadecimal characters");
    if text.len() != 16 || !text.iter().all(u8::is_ascii_hexdigit) {
        return Err(error);
    }
    let text = std::str::from_utf8(text).map_err(|_| error.clone())?;
    u64::from_str_radix(text, 16).map_err(|_| error)
}

/// The options of SET and MSETEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct SetOptions<'a> {
    pub(in crate::command) condition: Condition<'a>,
    /// GET: the reply is the old value.
    pub(in crate::command) returns_old: bool,
    pub(in crate::command) expiry: Expiry<'a>,
}

impl<'a> SetOptions<'a> {
    pub(in crate::command) const PLAIN: Self =
        Self { condition: Condition::Always, returns_old: false, expiry: Expiry::Clear };

    /// Reads the arguments from `at` on; of an option given twice the last counts. `is_single`:
    /// SET's own words, GET and comparisons, are known.
    pub(in crate::command) fn parse(
        args: &Args<'a>,
        mut at: usize,
        is_single: bool,
    ) -> Result<Self, CommandError> {
        let mut options = Self::PLAIN;
        while let Some(word) = args.get(at) {
            let free = |other| [Condition::Always, other].contains(&options.condition);
            if args.is(at, "NX") && free(Condition::Absent) {
                options.condition = Condition::Absent;
            } else if args.is(at, "XX") && free(Condition::Present) {
                options.condition = Condition::Present;
            } else if args.is(at, "GET") && is_single {
                options.returns_old = true;
            } else if args.is(at, "KEEPTTL") && options.expiry.may_become(Expiry::Keep) {
                options.expiry = Expiry::Keep;
            } else {
                let operand = args.get(at + 1).ok_or(CommandError::Syntax)?;
                let comparison =
                    if is_single { Condition::comparison(word, operand) } else { None };
                let expiry = time(word, operand).map(Expiry::At);
                match (comparison, expiry) {
                    (Some(condition), _) if options.condition == Condition::Always => {
                        options.condition = condition?;
                    }
                    (None, Some(expiry)) if options.expiry.may_become(expiry) => {
                        options.expiry = expiry;
                    }
                    _ => return Err(CommandError::Syntax),
                }
                at += 1;
            }
            at += 1;
        }
        Ok(options)
    }
}

/// A time by its word: EX, PX, EXAT or PXAT.
pub(in crate::command) fn time<'a>(word: &[u8], text: &'a [u8]) -> Option<Time<'a>> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let (in_seconds, is_absolute) = match () {
        () if is("EX") => (true, false),
        () if is("PX") => (false, false),
        () if is("EXAT") => (true, true),
        () if is("PXAT") => (false, true),
        () => return None,
    };
    Some(Time { text, in_seconds, is_absolute })
}
