//! The library `bit`: 32-bit integer operations on Lua's doubles.
//!
//! A double is taken modulo 2^32 by the trick of adding 2^52 + 2^51, which rounds to even; results
//! are signed.

use mlua::{Lua, MultiValue, Table, Value};

use super::raise::wrong_type;

fn to_bits(number: f64) -> u32 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let shifted = number + MAGIC;
    (shifted.to_bits() & 0xFFFF_FFFF) as u32
}

fn result(bits: u32) -> f64 {
    f64::from(bits.cast_signed())
}

fn argument(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<u32> {
    let value = args.get(at - 1);
    match value.and_then(|value| lua.coerce_number(value.clone()).ok().flatten()) {
        Some(number) => Ok(to_bits(number)),
        None => Err(wrong_type(lua, at, name, "number", value)),
    }
}

/// The table `bit`.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, operation) in
        [("tobit", (|x| x) as fn(u32) -> u32), ("bnot", |x| !x), ("bswap", u32::swap_bytes)]
    {
        let function = lua.create_function(move |lua, args: MultiValue| {
            Ok(result(operation(argument(lua, &args, 1, name)?)))
        })?;
        table.set(name, function)?;
    }
    for (name, operation) in [
        ("band", (|x, y| x & y) as fn(u32, u32) -> u32),
        ("bor", |x, y| x | y),
        ("bxor", |x, y| x ^ y),
    ] {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let mut bits = argument(lua, &args, 1, name)?;
            for at in 2..=args.len() {
                bits = operation(bits, argument(lua, &args, at, name)?);
            }
            Ok(result(bits))
        })?;
        table.set(name, function)?;
    }
    for (name, operation) in [
        ("lshift", (|x, n| x << n) as fn(u32, u32) -> u32),
        ("rshift", |x, n| x >> n),
        ("arshift", |x, n| (x.cast_signed() >> n).cast_unsigned()),
        ("rol", u32::rotate_left),
        ("ror", u32::rotate_right),
    ] {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let bits = argument(lua, &args, 1, name)?;
            Ok(result(operation(bits, argument(lua, &args, 2, name)? & 31)))
        })?;
        table.set(name, function)?;
    }
    table.set("tohex", lua.create_function(|lua, args: MultiValue| to_hex(lua, &args))?)?;
    Ok(table)
}

/// `bit.tohex(x [, n])`: the lowest `n` digits, upper case for negative `n`.
fn to_hex(lua: &Lua, args: &MultiValue) -> mlua::Result<String> {
    let bits = argument(lua, args, 1, "tohex")?;
    let digits = match args.get(1) {
        None | Some(Value::Nil) if args.len() < 2 => 8,
        _ => argument(lua, args, 2, "tohex")?.cast_signed(),
    };
    let count = usize::try_from(digits.unsigned_abs()).unwrap_or(8).min(8);
    let text = if digits < 0 { format!("{bits:08X}") } else { format!("{bits:08x}") };
    Ok(text.get(8 - count..).unwrap_or_default().to_owned())
}
