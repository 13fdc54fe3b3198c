//! INCREX: a counter with bounds, whose expiry is set in the same step.
//!
//! Redis 8.8 and Valkey 9.2 have it; NX and XX are Valkey's. A result beyond the bounds (or beyond what the
//! type can hold) changes nothing, neither value nor expiry, unless SATURATE asks for the nearest bound.
//! The log gets the SET that has the same effect, so that servers without the command load it.

use super::super::ctx::Origin;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::options::{self, Time};
use super::value;
use crate::clock::UnixMillis;
use crate::keyspace::{StrRef, ValueRef, event};
use crate::number::{self, Extended};
use crate::resp::Reply;

pub(super) const INCREX: Command = Command {
    name: "INCREX",
    arity: -2,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    group: Group::String,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key [NX|XX] [BYFLOAT float:double|BYINT integer:integer] [SATURATE] [LBOUND lowerbound] [UBOUND upperbound] [EX seconds:integer|PX milliseconds:integer|EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|PERSIST] [ENX]",
    propagate: Propagate::Effect,
    doc: doc(
        "8.8.0",
        "O(1)",
        "Adds to the number at a key within bounds, and sets its expiration time. A missing key counts as 0.",
    ),
    handler: Handler::Plain(increx),
    ..Command::BASE
};

/// What becomes of the expiry.
#[derive(Clone, Copy)]
enum Expiry<T> {
    Keep,
    Clear,
    At(T),
}

/// The words of a request; numbers are read when it is known of which kind they are.
#[derive(Default)]
struct Options<'a> {
    by_int: Option<&'a [u8]>,
    by_float: Option<&'a [u8]>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    time: Option<Time<'a>>,
    persist: bool,
    saturate: bool,
    /// ENX: a key that has an expiry keeps it.
    only_without_expiry: bool,
    absent: bool,
    present: bool,
}

impl<'a> Options<'a> {
    /// Reads the options; none may come twice.
    fn parse(args: &Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while let Some(word) = args.get(at) {
            if let Some(flag) = options.flag(args, at) {
                if std::mem::replace(flag, true) {
                    return Err(CommandError::Syntax);
                }
                at += 1;
                continue;
            }
            let text = args.get(at + 1).ok_or(CommandError::Syntax)?;
            let is_new = match options::time(word, text) {
                Some(time) => options.time.replace(time).is_none(),
                None => options.operand(args, at)?.replace(text).is_none(),
            };
            if !is_new {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        options.check()?;
        Ok(options)
    }

    /// What a word without a value switches on.
    fn flag(&mut self, args: &Args, at: usize) -> Option<&mut bool> {
        Some(match () {
            () if args.is(at, "SATURATE") => &mut self.saturate,
            () if args.is(at, "PERSIST") => &mut self.persist,
            () if args.is(at, "ENX") => &mut self.only_without_expiry,
            () if args.is(at, "NX") => &mut self.absent,
            () if args.is(at, "XX") => &mut self.present,
            () => return None,
        })
    }

    /// Where the value behind a word goes.
    fn operand(&mut self, args: &Args, at: usize) -> Result<&mut Option<&'a [u8]>, CommandError> {
        Ok(match () {
            () if args.is(at, "BYINT") => &mut self.by_int,
            () if args.is(at, "BYFLOAT") => &mut self.by_float,
            () if args.is(at, "LBOUND") => &mut self.lower,
            () if args.is(at, "UBOUND") => &mut self.upper,
            () => return Err(CommandError::Syntax),
        })
    }

    fn check(&self) -> CommandResult {
        let exclusive = [
            (self.by_int.is_some(), self.by_float.is_some()),
            (self.absent, self.present),
            (self.persist, self.time.is_some() || self.only_without_expiry),
        ];
        if exclusive.contains(&(true, true)) {
            return Err(CommandError::Syntax);
        }
        if self.only_without_expiry && self.time.is_none() {
            return Err(CommandError::text("ERR ENX flag requires an expiration"));
        }
        Ok(())
    }

    /// What it asks for the expiry.
    fn expiry(&self, ctx: &Ctx) -> Result<Expiry<UnixMillis>, CommandError> {
        match self.time {
            Some(time) => time.resolve(ctx).map(Expiry::At),
            None if self.persist => Ok(Expiry::Clear),
            None => Ok(Expiry::Keep),
        }
    }

    /// The increment and its bounds, as integers or as floats.
    fn steps(&self) -> Result<Steps, CommandError> {
        match self.by_float {
            Some(by) => self.floats(by).map(Steps::Float),
            None => self.integers().map(Steps::Int),
        }
    }

    /// The increment and the bounds of integers.
    fn integers(&self) -> Result<Step<i64>, CommandError> {
        let read = |text: Option<&[u8]>, default, error| match text {
            Some(text) => number::parse_i64(text).ok_or(CommandError::text(error)),
            None => Ok(default),
        };
        let by = read(self.by_int, 1, "ERR Increment is not an integer or out of range")?;
        let lower = read(self.lower, i64::MIN, "ERR LBOUND is not an integer or out of range")?;
        let upper = read(self.upper, i64::MAX, "ERR UBOUND is not an integer or out of range")?;
        if lower > upper {
            return Err(BOUNDS_CROSS);
        }
        Ok(Step { by, lower, upper })
    }

    /// The increment `by` and the bounds of floats.
    fn floats(&self, by: &[u8]) -> Result<Step<Extended>, CommandError> {
        let read = |text, error| Extended::parse(text).ok_or(CommandError::text(error));
        let by = read(by, "ERR Increment is not a valid float")?;
        if !by.is_finite() {
            return Err(CommandError::text("ERR BYFLOAT increment cannot be Infinity"));
        }
        let mut step = Step { by, lower: Extended::MAX.negated(), upper: Extended::MAX };
        if let Some(lower) = self.lower {
            step.lower = read(lower, "ERR LBOUND is not a valid float")?;
        }
        if let Some(upper) = self.upper {
            step.upper = read(upper, "ERR UBOUND is not a valid float")?;
        }
        if step.upper.is_less_than(step.lower) {
            return Err(BOUNDS_CROSS);
        }
        Ok(step)
    }
}

const BOUNDS_CROSS: CommandError = CommandError::text("ERR LBOUND can't be greater than UBOUND");

/// An increment within bounds, which include what the type can hold.
struct Step<T> {
    by: T,
    lower: T,
    upper: T,
}

/// A result and its difference to the old value.
type Stepped<T> = (T, T);

impl Step<i64> {
    /// `None`: out of bounds, and not to be moved to the nearest.
    fn from(&self, old: i64, saturate: bool) -> Result<Option<Stepped<i64>>, CommandError> {
        let sum = i128::from(old) + i128::from(self.by);
        let new = sum.clamp(i128::from(self.lower), i128::from(self.upper));
        if new != sum && !saturate {
            return Ok(None);
        }
        match (i64::try_from(new), i64::try_from(new - i128::from(old))) {
            (Ok(new), Ok(applied)) => Ok(Some((new, applied))),
            _ => Err(CommandError::text("ERR applied increment would overflow")),
        }
    }
}

impl Step<Extended> {
    /// As above. What was applied may differ from what was asked for by the rounding of the sum.
    fn from(
        &self,
        old: Extended,
        saturate: bool,
    ) -> Result<Option<Stepped<Extended>>, CommandError> {
        let sum = old.plus(self.by);
        let (new, inside) = match () {
            () if sum.is_less_than(self.lower) => (self.lower, false),
            () if self.upper.is_less_than(sum) => (self.upper, false),
            () => (sum, sum.is_finite()),
        };
        if !inside && !saturate {
            return Ok(None);
        }
        let applied = new.plus(old.negated());
        if !applied.is_finite() {
            return Err(CommandError::text("ERR applied increment would be Infinity"));
        }
        Ok(Some((new, applied)))
    }
}

/// An increment of either kind.
enum Steps {
    Int(Step<i64>),
    Float(Step<Extended>),
}

impl Steps {
    /// The number that is there afterwards, what was added to it, and whether it is to be stored.
    fn from(
        &self,
        old: StrRef,
        wanted: bool,
        saturate: bool,
    ) -> Result<(Number, Number, bool), CommandError> {
        match self {
            Self::Int(step) => {
                let old = match old {
                    StrRef::Int(old) => old,
                    StrRef::Bytes(text) => {
                        number::parse_i64(text).ok_or(CommandError::NotInteger)?
                    }
                };
                let stepped = if wanted { step.from(old, saturate)? } else { None };
                let (new, applied) = stepped.unwrap_or((old, 0));
                Ok((Number::Int(new), Number::Int(applied), stepped.is_some()))
            }
            Self::Float(step) => {
                let old = Extended::parse(value::text(old, &mut itoa::Buffer::new()))
                    .ok_or(CommandError::NotFloat)?;
                if !old.is_finite() {
                    return Err(CommandError::text("ERR value cannot be Infinity"));
                }
                let stepped = if wanted { step.from(old, saturate)? } else { None };
                let (new, applied) = stepped.unwrap_or((old, Extended::from(0i64)));
                Ok((Number::float(new), Number::float(applied), stepped.is_some()))
            }
        }
    }
}

/// A number on its way into a key or a reply.
enum Number {
    Int(i64),
    Float(String),
}

impl Number {
    fn float(value: Extended) -> Self {
        Self::Float(value.to_text())
    }

    fn write(&self, reply: &mut Reply) {
        match self {
            Self::Int(value) => reply.int(*value),
            Self::Float(text) => reply.double_text(text.as_bytes()),
        }
    }
}

fn increx(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let options = Options::parse(args)?;
    let steps = options.steps()?;
    let asked = options.expiry(ctx)?;
    let entry = ctx.ks.peek(ctx.db, key);
    let found = entry.is_some();
    let had_expiry = entry.is_some_and(|entry| entry.expire_at().is_some());
    let old = match entry.map(|entry| entry.value()) {
        None => StrRef::Int(0),
        Some(ValueRef::Str(old)) => old,
        Some(_) => return Err(CommandError::WrongType),
    };
    let wanted = !(options.absent && found || options.present && !found);
    let (number, applied, changes) = steps.from(old, wanted, options.saturate)?;
    if changes {
        let keeps = options.only_without_expiry && had_expiry;
        let expiry = if keeps { Expiry::Keep } else { asked };
        store(ctx, key, &number, expiry, had_expiry);
    }
    ctx.reply.array(2);
    number.write(ctx.reply);
    applied.write(ctx.reply);
    Ok(())
}

/// Writes the number and its expiry, and tells the log and the listeners.
fn store(ctx: &mut Ctx, key: &[u8], number: &Number, expiry: Expiry<UnixMillis>, had_expiry: bool) {
    if let Expiry::At(at) = expiry
        && at <= ctx.now
        && ctx.origin != Origin::Log
    {
        // The time is over already: the key goes, and one that was not there does not come.
        if ctx.ks.discard_overdue(ctx.db, key) {
            ctx.effect(&[b"DEL", key]);
            ctx.changed(key, event::GENERIC, "del");
        }
        return;
    }
    let mut digits = itoa::Buffer::new();
    let (text, name) = match number {
        Number::Int(value) => (digits.format(*value).as_bytes(), "incrby"),
        Number::Float(text) => (text.as_bytes(), "incrbyfloat"),
    };
    if !ctx.ks.contains(ctx.db, key) {
        ctx.ks.set_string(ctx.db, key, text, None);
    }
    if let Some(entry) = ctx.ks.lookup_mut(ctx.db, key) {
        match number {
            Number::Int(value) => entry.set_int(*value),
            Number::Float(text) => entry.set_text(text.as_bytes()), // A sum is text, as in Redis.
        }
    }
    ctx.changed(key, event::STRING, name);
    match expiry {
        Expiry::Keep => ctx.effect(&[b"SET", key, text, b"KEEPTTL"]),
        Expiry::Clear => {
            if had_expiry {
                ctx.ks.set_expire(ctx.db, key, None);
                ctx.ks.effects.event(ctx.db, event::GENERIC, "persist", key);
            }
            ctx.effect(&[b"SET", key, text]);
        }
        Expiry::At(at) => {
            ctx.ks.set_expire(ctx.db, key, Some(at));
            ctx.ks.effects.event(ctx.db, event::GENERIC, "expire", key);
            ctx.effect(&[b"SET", key, text, b"PXAT", itoa::Buffer::new().format(at).as_bytes()]);
        }
    }
}
