//! Bitmap commands: strings seen as bits, bit 0 being the highest of the first byte.
//!
//! `bits` counts and searches and knows nothing of commands; `field` is BITFIELD, `operation`
//! BITOP.

mod bits;
mod field;
mod operation;

#[cfg(test)]
mod tests;

use super::string::value;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::event;
use crate::number;

pub const COMMANDS: &[Command] =
    &[BITCOUNT, field::BITFIELD, field::BITFIELD_RO, operation::BITOP, BITPOS, GETBIT, SETBIT];

const NOT_AN_OFFSET: CommandError =
    CommandError::text("ERR bit offset is not an integer or out of range");

/// Reads a bit offset; with `#` in front (BITFIELD) it counts fields of `width` bits.
fn offset(ctx: &Ctx, text: &[u8], width: Option<u32>) -> Result<u64, CommandError> {
    let (text, factor) = match (text, width) {
        ([b'#', rest @ ..], Some(width)) => (rest, i64::from(width)),
        _ => (text, 1),
    };
    let offset = number::parse_i64(text).and_then(|offset| offset.checked_mul(factor));
    let offset = offset.and_then(|offset| u64::try_from(offset).ok()).ok_or(NOT_AN_OFFSET)?;
    let in_range = usize::try_from(offset >> 3).is_ok_and(|at| at < ctx.limits().string_max_bytes);
    if in_range || ctx.origin == super::ctx::Origin::Log { Ok(offset) } else { Err(NOT_AN_OFFSET) }
}

/// The byte that a bit is in, and the bit's mask.
fn place(offset: u64) -> (usize, u8) {
    (usize::try_from(offset >> 3).unwrap_or(usize::MAX - 1), 0x80 >> (offset & 7))
}

pub const GETBIT: Command = Command {
    name: "GETBIT",
    arity: 3,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Bitmap,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key offset:integer",
    doc: doc("2.2.0", "O(1)", "Returns a bit value by offset."),
    handler: Handler::Plain(getbit),
    ..Command::BASE
};

fn getbit(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (at, mask) = place(offset(ctx, args.at(2), None)?);
    let mut buffer = itoa::Buffer::new();
    let string = ctx.ks.read_string(ctx.db, args.at(1))?;
    let byte = string.and_then(|string| value::text(string, &mut buffer).get(at).copied());
    ctx.reply.flag(byte.unwrap_or(0) & mask != 0);
    Ok(())
}

pub const SETBIT: Command = Command {
    name: "SETBIT",
    arity: 4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Bitmap,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["access", "update"])],
    args: "key offset:integer value:integer",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.2.0",
        "O(1)",
        "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
    ),
    handler: Handler::Plain(setbit),
    ..Command::BASE
};

fn setbit(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let (at, mask) = place(offset(ctx, args.at(2), None)?);
    let on = match number::parse_i64(args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let set = |bytes: &mut [u8]| {
        let Some(byte) = bytes.get_mut(at) else { return false };
        let old = *byte & mask != 0;
        *byte = if on { *byte | mask } else { *byte & !mask };
        old
    };
    let present = value::edit_present(ctx, key, |_| at + 1, |bytes, len| (set(bytes), len <= at))?;
    let (old, grew) = match present {
        Some(done) => done,
        None => (value::edit(ctx, key, at + 1, set)?, true),
    };
    if old != on || grew {
        ctx.changed(key, event::STRING, "setbit");
    }
    ctx.reply.flag(old);
    Ok(())
}

/// A range of bits, both ends included, that lies inside the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BitRange {
    first: u64,
    last: u64,
}

/// The range argument of BITCOUNT and BITPOS.
#[derive(Clone, Copy, Debug)]
struct RangeArgument {
    start: i64,
    end: i64,
    in_bits: bool,
}

impl RangeArgument {
    const WHOLE: Self = Self { start: 0, end: -1, in_bits: false };

    /// Reads `start [end [BYTE | BIT]]` from `at` on. Of several errors in it the caller says which is
    /// told: BITCOUNT reads the unit last, BITPOS before the end.
    fn parse(args: &Args, at: usize, unit_last: bool) -> Result<Self, CommandError> {
        let integer = |at| number::parse_i64(args.at(at)).ok_or(CommandError::NotInteger);
        let mut range = Self::WHOLE;
        if args.len() > at + 3 {
            return Err(CommandError::Syntax);
        }
        if args.len() > at {
            range.start = integer(at)?;
        }
        if args.len() > at + 1 && unit_last {
            range.end = integer(at + 1)?;
        }
        if args.len() > at + 2 {
            range.in_bits = args.is(at + 2, "BIT");
            if !(range.in_bits || args.is(at + 2, "BYTE")) {
                return Err(CommandError::Syntax);
            }
        }
        if args.len() > at + 1 && !unit_last {
            range.end = integer(at + 1)?;
        }
        Ok(range)
    }

    /// The bits it means of a string of `bytes` bytes; `None` if there are none.
    fn resolve(&self, bytes: usize) -> Option<BitRange> {
        let len = i64::try_from(bytes).ok()?;
        let units = if self.in_bits { len.checked_mul(8)? } else { len };
        let absolute =
            |index: i64| if index < 0 { (units + index.max(-units)).max(0) } else { index };
        let (start, end) = (absolute(self.start), absolute(self.end).min(units - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start.unsigned_abs(), end.unsigned_abs());
        Some(if self.in_bits {
            BitRange { first: start, last: end }
        } else {
            BitRange { first: start * 8, last: end * 8 + 7 }
        })
    }
}

pub const BITCOUNT: Command = Command {
    name: "BITCOUNT",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Bitmap,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [start:integer [end:integer [BYTE|BIT]]]",
    doc: Doc {
        history: &[
            ("7.0.0", "Added the `BYTE|BIT` option."),
            ("9.1.0", "Without an end the range goes to the last byte."),
        ],
        ..doc("2.6.0", "O(N)", "Counts the number of set bits (population counting) in a string.")
    },
    handler: Handler::Plain(bitcount),
    ..Command::BASE
};

fn bitcount(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let range = RangeArgument::parse(args, 2, true)?;
    let mut buffer = itoa::Buffer::new();
    let string = ctx.ks.read_string(ctx.db, args.at(1))?;
    let bytes = string.map(|string| value::text(string, &mut buffer)).unwrap_or_default();
    // Both from the end and the wrong way round: nothing, even where cutting would leave a byte.
    let reversed = range.start < 0 && range.end < 0 && range.start > range.end;
    let range = range.resolve(bytes.len()).filter(|_| !reversed);
    let count = range.map_or(0, |range| bits::count(bytes, range));
    ctx.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

pub const BITPOS: Command = Command {
    name: "BITPOS",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::Bitmap,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key bit:integer [start:integer [end:integer [BYTE|BIT]]]",
    doc: Doc {
        history: &[("7.0.0", "Added the `BYTE|BIT` option.")],
        ..doc("2.8.7", "O(N)", "Finds the first set (1) or clear (0) bit in a string.")
    },
    handler: Handler::Plain(bitpos),
    ..Command::BASE
};

fn bitpos(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let wanted = match number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    let range = RangeArgument::parse(args, 3, false)?;
    let mut buffer = itoa::Buffer::new();
    let Some(string) = ctx.ks.read_string(ctx.db, args.at(1))? else {
        ctx.reply.int(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let bytes = value::text(string, &mut buffer);
    let found = range.resolve(bytes.len()).map(|range| bits::find(bytes, range, wanted));
    let position = match found {
        Some(Some(at)) => i64::try_from(at).unwrap_or(i64::MAX),
        // Without an end the string goes on with zeros for ever.
        Some(None) if !wanted && args.len() < 5 => {
            i64::try_from(bytes.len()).unwrap_or(i64::MAX).saturating_mul(8)
        }
        _ => -1,
    };
    ctx.reply.int(position);
    Ok(())
}
