//! BITFIELD: integers of any width inside a string.
//!
//! All operations are read before the first runs, so an error changes nothing. The string is made
//! as long as the farthest write needs, also when that write then fails on overflow: the reply of a
//! later STRLEN depends on it, and so the growth counts as a change.

use super::super::string::value;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::event;
use crate::number;

pub(super) const BITFIELD: Command = Command {
    name: "BITFIELD",
    arity: -2,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Bitmap,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update", "variable_flags"])],
    key_access: Some(|args, _| match only_reads(args) {
        true => (Access::Read, &["access"]),
        false => (Access::ReadWrite, &["access", "update"]),
    }),
    args: "key [<GET (encoding offset:integer)|[OVERFLOW <WRAP|SAT|FAIL>] <SET (encoding offset:integer value:integer)|INCRBY (encoding offset:integer increment:integer)>> ...]",
    propagate: Propagate::AsSent,
    doc: doc(
        "3.2.0",
        "O(1) for each subcommand specified",
        "Performs arbitrary bitfield integer operations on strings.",
    ),
    handler: Handler::Plain(bitfield),
    ..Command::BASE
};

pub(super) const BITFIELD_RO: Command = Command {
    name: "BITFIELD_RO",
    arity: -2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Bitmap,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [GET (encoding offset:integer) ...]",
    doc: doc(
        "6.0.0",
        "O(1) for each subcommand specified",
        "Performs arbitrary read-only bitfield integer operations on strings.",
    ),
    handler: Handler::Plain(bitfield_ro),
    ..Command::BASE
};

fn bitfield(ctx: &mut Ctx, args: &Args) -> CommandResult {
    run(ctx, args, false)
}

fn bitfield_ro(ctx: &mut Ctx, args: &Args) -> CommandResult {
    run(ctx, args, true)
}

/// The type of a field: up to 64 bits signed, up to 63 unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) signed: bool,
    pub(super) width: u32,
}

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    encoding: Encoding,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Encoding {
    fn parse(text: &[u8]) -> Result<Self, CommandError> {
        const BAD: CommandError = CommandError::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported \
             but i64 is.",
        );
        let (signed, digits) = match text {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(BAD),
        };
        let width = number::parse_i64(digits).and_then(|width| u32::try_from(width).ok());
        let width_max = if signed { 64 } else { 63 };
        match width {
            Some(width) if (1..=width_max).contains(&width) => Ok(Self { signed, width }),
            _ => Err(BAD),
        }
    }

    fn min(self) -> i128 {
        if self.signed { -(1i128 << (self.width - 1)) } else { 0 }
    }

    fn max(self) -> i128 {
        let bits = if self.signed { self.width - 1 } else { self.width };
        (1i128 << bits) - 1
    }

    /// The number that is stored for `exact`; `None` if it may not be.
    pub(super) fn fit(self, exact: i128, overflow: Overflow) -> Option<i64> {
        let fits = (self.min()..=self.max()).contains(&exact);
        let stored = match overflow {
            _ if fits => exact,
            Overflow::Fail => return None,
            Overflow::Saturate => exact.clamp(self.min(), self.max()),
            Overflow::Wrap => {
                let low = exact & ((1i128 << self.width) - 1);
                if low > self.max() { low - (1i128 << self.width) } else { low }
            }
        };
        i64::try_from(stored).ok()
    }

    /// Reads the field at bit `offset`; beyond the end there are zeros.
    pub(super) fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let mut value = 0u64;
        for bit in offset..offset + u64::from(self.width) {
            let (at, mask) = super::place(bit);
            let set = bytes.get(at).is_some_and(|byte| byte & mask != 0);
            value = value << 1 | u64::from(set);
        }
        let unused = 64 - self.width;
        let value = value.cast_signed();
        if self.signed { value << unused >> unused } else { value }
    }

    /// Writes the field at bit `offset`.
    pub(super) fn write(self, bytes: &mut [u8], offset: u64, value: i64) {
        for nth in 0..self.width {
            let (at, mask) = super::place(offset + u64::from(nth));
            let on = value >> (self.width - 1 - nth) & 1 == 1;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if on { *byte | mask } else { *byte & !mask };
            }
        }
    }
}

/// Whether a request only has GETs.
fn only_reads(args: &Args) -> bool {
    let mut at = 2;
    while at < args.len() {
        let operands = args.len() - at - 1;
        at += match () {
            () if args.is(at, "GET") && operands >= 2 => 3,
            () if args.is(at, "OVERFLOW") && operands >= 1 => 2,
            // It writes, or it will be refused.
            () => return false,
        };
    }
    true
}

fn parse(ctx: &Ctx, args: &Args, read_only: bool) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut writes = false;
    let mut at = 2;
    while at < args.len() {
        let operands = args.len() - at - 1;
        if args.is(at, "OVERFLOW") && operands >= 1 {
            overflow = match () {
                () if args.is(at + 1, "WRAP") => Overflow::Wrap,
                () if args.is(at + 1, "SAT") => Overflow::Saturate,
                () if args.is(at + 1, "FAIL") => Overflow::Fail,
                () => return Err(CommandError::text("ERR Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let is_get = args.is(at, "GET") && operands >= 2;
        let is_set = args.is(at, "SET") && operands >= 3;
        let is_add = args.is(at, "INCRBY") && operands >= 3;
        if !(is_get || is_set || is_add) {
            return Err(CommandError::Syntax);
        }
        let encoding = Encoding::parse(args.at(at + 1))?;
        let offset = super::offset(ctx, args.at(at + 2), Some(encoding.width))?;
        let mut action = Action::Get;
        if !is_get {
            writes = true;
            let operand = number::parse_i64(args.at(at + 3)).ok_or(CommandError::NotInteger)?;
            action = if is_set { Action::Set(operand) } else { Action::Add(operand) };
        }
        steps.push(Step { encoding, offset, action, overflow });
        at += if is_get { 3 } else { 4 };
    }
    if read_only && writes {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    Ok(steps)
}

fn run(ctx: &mut Ctx, args: &Args, read_only: bool) -> CommandResult {
    let key = args.at(1);
    let steps = parse(ctx, args, read_only)?;
    let writes = steps.iter().filter(|step| step.action != Action::Get);
    let last_bit = writes.map(|step| step.offset + u64::from(step.encoding.width) - 1).max();
    let Some(last_bit) = last_bit else {
        let mut buffer = itoa::Buffer::new();
        ctx.ks.counts_reads = true;
        let string = ctx.ks.read_string(ctx.db, key)?;
        let bytes = string.map(|string| value::text(string, &mut buffer)).unwrap_or_default();
        ctx.reply.array(steps.len());
        for step in &steps {
            ctx.reply.int(step.encoding.read(bytes, step.offset));
        }
        return Ok(());
    };
    let len = super::place(last_bit).0 + 1;
    let old_len = value::len_to_change(ctx, key)?;
    let mut results: Vec<Option<i64>> = Vec::with_capacity(steps.len());
    let changed = value::edit(ctx, key, len, |bytes| {
        let mut changed = false;
        for step in &steps {
            let (result, differs) = step.apply(bytes);
            changed |= differs;
            results.push(result);
        }
        changed
    })?;
    if changed || old_len.is_none_or(|old| old < len) {
        // A string that only grew because of steps that failed is no event, but must be logged.
        let heard = results.iter().any(Option::is_some);
        ctx.changed(key, if heard { event::STRING } else { 0 }, "setbit");
    }
    ctx.reply.array(results.len());
    for result in results {
        match result {
            Some(number) => ctx.reply.int(number),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

impl Step {
    /// Its reply, and whether it changed anything.
    fn apply(&self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let Self { encoding, offset, overflow, .. } = *self;
        let old = encoding.read(bytes, offset);
        let exact = match self.action {
            Action::Get => return (Some(old), false),
            // An unsigned field takes the operand's bits: -1 is the greatest number there is.
            Action::Set(value) if !encoding.signed => i128::from(value.cast_unsigned()),
            Action::Set(value) => i128::from(value),
            Action::Add(by) => i128::from(old) + i128::from(by),
        };
        let Some(new) = encoding.fit(exact, overflow) else { return (None, false) };
        encoding.write(bytes, offset, new);
        let reply = if matches!(self.action, Action::Set(_)) { old } else { new };
        (Some(reply), new != old)
    }
}
