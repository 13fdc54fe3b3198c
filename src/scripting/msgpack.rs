//! The library `cmsgpack`: MessagePack in both directions, as lua-cmsgpack 0.4.0 chooses the forms.
//!
//! Numbers without a fraction become integers, others the shortest float that holds them; tables with
//! the keys 1 to n become arrays. Beyond [`NESTING_MAX`] levels tables become nil.

#![deny(clippy::indexing_slicing)]

use mlua::{Lua, MultiValue, Table, Value};

use super::interpreter::Unlimited;
use super::raise::{Raise, bad_argument, located, wrong_type};

/// Levels of tables that are packed.
const NESTING_MAX: usize = 16;
/// Levels that are unpacked.
const DEPTH_MAX: usize = 1500;

/// The table `cmsgpack`.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", lua.create_function(|lua, args: MultiValue| pack(lua, &args))?)?;
    let all = lua.create_function(|lua, args: MultiValue| unpack(lua, &args, "unpack", 0, 0))?;
    table.set("unpack", all)?;
    let one = lua.create_function(|lua, args: MultiValue| {
        let offset = optional_integer(lua, &args, 2, "unpack_one")?.unwrap_or(0);
        unpack(lua, &args, "unpack_one", 1, offset)
    })?;
    table.set("unpack_one", one)?;
    let limited = lua.create_function(|lua, args: MultiValue| {
        const NAME: &str = "unpack_limit";
        let limit = match args.get(1).and_then(|value| lua.coerce_number(value.clone()).ok()?) {
            Some(limit) => limit as i64,
            None => return Err(wrong_type(lua, 2, NAME, "number", args.get(1))),
        };
        let offset = optional_integer(lua, &args, 3, NAME)?.unwrap_or(0);
        unpack(lua, &args, NAME, limit, offset)
    })?;
    table.set("unpack_limit", limited)?;
    table.set("_NAME", "cmsgpack")?;
    table.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn optional_integer(
    lua: &Lua,
    args: &MultiValue,
    at: usize,
    name: &str,
) -> mlua::Result<Option<i64>> {
    match args.get(at - 1) {
        None | Some(Value::Nil) => Ok(None),
        Some(value) => match lua.coerce_number(value.clone())? {
            Some(number) => Ok(Some(number as i64)),
            None => Err(wrong_type(lua, at, name, "number", Some(value))),
        },
    }
}

fn pack(lua: &Lua, args: &MultiValue) -> mlua::Result<mlua::String> {
    if args.is_empty() {
        return Err(bad_argument(lua, 0, "pack", "MessagePack pack needs input."));
    }
    let _unlimited = Unlimited::new(lua);
    let mut out = Vec::new();
    for value in args {
        put(&mut out, value, 0)?;
    }
    lua.create_string(out)
}

fn put(out: &mut Vec<u8>, value: &Value, level: usize) -> mlua::Result<()> {
    match value {
        Value::String(text) => put_string(out, &text.as_bytes()),
        Value::Boolean(flag) => out.push(if *flag { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => put_integer(out, *number),
        Value::Number(number) => put_number(out, *number),
        Value::Table(table) if level < NESTING_MAX => return put_table(out, table, level),
        _ => out.push(0xc0),
    }
    Ok(())
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_length(out, text.len(), (0xa0, 31), (Some(0xd9), 0xda, 0xdb));
    out.extend_from_slice(text);
}

/// A length: in the first byte if it fits, else behind one of the marks for 1, 2 and 4 bytes.
fn put_length(
    out: &mut Vec<u8>,
    len: usize,
    (fixed, fixed_max): (u8, usize),
    (one, two, four): (Option<u8>, u8, u8),
) {
    let bytes = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    let [_, _, high, low] = bytes;
    if len <= fixed_max {
        out.push(fixed | low);
    } else if let (Some(mark), true) = (one, len <= 0xFF) {
        out.extend_from_slice(&[mark, low]);
    } else if len <= 0xFFFF {
        out.extend_from_slice(&[two, high, low]);
    } else {
        out.push(four);
        out.extend_from_slice(&bytes);
    }
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number == number.trunc() && (-LIMIT..LIMIT).contains(&number) {
        put_integer(out, number as i64);
    } else if f64::from(number as f32) == number {
        out.push(0xca);
        out.extend_from_slice(&(number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn put_integer(out: &mut Vec<u8>, number: i64) {
    let [_, _, _, _, b4, b5, b6, b7] = number.to_be_bytes();
    match number {
        -32..=127 => out.push(b7),
        128..=0xFF => out.extend_from_slice(&[0xcc, b7]),
        0x100..=0xFFFF => out.extend_from_slice(&[0xcd, b6, b7]),
        0x1_0000..=0xFFFF_FFFF => out.extend_from_slice(&[0xce, b4, b5, b6, b7]),
        -0x80..=-33 => out.extend_from_slice(&[0xd0, b7]),
        -0x8000..=-0x81 => out.extend_from_slice(&[0xd1, b6, b7]),
        -0x8000_0000..=-0x8001 => out.extend_from_slice(&[0xd2, b4, b5, b6, b7]),
        _ => {
            out.push(if number < 0 { 0xd3 } else { 0xcf });
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn put_table(out: &mut Vec<u8>, table: &Table, level: usize) -> mlua::Result<()> {
    let (mut highest, mut count, mut array) = (0.0f64, 0usize, true);
    for pair in table.pairs::<Value, Value>() {
        let key = match pair?.0 {
            Value::Integer(key) => key as f64,
            Value::Number(key) => key,
            _ => 0.0,
        };
        array &= key > 0.0 && key == key.trunc() && key <= f64::from(i32::MAX);
        highest = highest.max(key);
        count += 1;
    }
    if array && highest == count as f64 {
        put_length(out, count, (0x90, 15), (None, 0xdc, 0xdd));
        for at in 1..=count {
            put(out, &table.raw_get(at)?, level + 1)?;
        }
        return Ok(());
    }
    put_length(out, count, (0x80, 15), (None, 0xde, 0xdf));
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put(out, &key, level + 1)?;
        put(out, &value, level + 1)?;
    }
    Ok(())
}

fn unpack(
    lua: &Lua,
    args: &MultiValue,
    name: &str,
    limit: i64,
    offset: i64,
) -> mlua::Result<MultiValue> {
    let text = match args.front() {
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Integer(_))) => {
            lua.coerce_string(value.clone())?
        }
        _ => None,
    };
    let Some(text) = text else {
        return Err(wrong_type(lua, 1, name, "string", args.front()));
    };
    let bytes = text.as_bytes();
    let len = bytes.len();
    let (Ok(count), Ok(start)) = (usize::try_from(limit), usize::try_from(offset)) else {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(located(lua, text));
    };
    let Some(rest) = bytes.get(start..) else {
        let text = format!("Start offset {offset} greater than input length {len}.");
        return Err(located(lua, text));
    };
    let _unlimited = Unlimited::new(lua);
    let all = count == 0 && start == 0;
    let mut cursor = Cursor { lua, rest };
    let mut values = MultiValue::new();
    while !cursor.rest.is_empty() && (all || values.len() < count) {
        let value = cursor.value(0)?;
        values.push_back(value);
    }
    // Results are put on Lua's stack, which has an end.
    if values.len() > 7000 {
        return Err(located(lua, "too many results to unpack"));
    }
    if !all {
        let next = if cursor.rest.is_empty() { -1.0 } else { (len - cursor.rest.len()) as f64 };
        values.push_front(Value::Number(next));
    }
    Ok(values)
}

/// Walks packed bytes.
struct Cursor<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(located(self.lua, "Missing bytes in input.")),
        }
    }

    /// An unsigned number of `len` bytes, at most 8.
    fn unsigned(&mut self, len: usize) -> mlua::Result<u64> {
        Ok(self.take(len)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> mlua::Result<i64> {
        let shift = 64 - 8 * len;
        Ok((self.unsigned(len)? << shift).cast_signed() >> shift)
    }

    fn length(&mut self, len: usize) -> mlua::Result<usize> {
        Ok(usize::try_from(self.unsigned(len)?).unwrap_or(usize::MAX))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let mark = self.unsigned(1)?;
        let number = |number: f64| Ok(Value::Number(number));
        let low = |mask: u64| usize::try_from(mark & mask).unwrap_or(0);
        match mark {
            0..=0x7f => number(mark as f64),
            0xe0..=0xff => number(mark as f64 - 256.0),
            0x80..=0x8f => self.map(low(15), depth),
            0x90..=0x9f => self.array(low(15), depth),
            0xa0..=0xbf => self.string(low(31)),
            0xc0 => Ok(Value::Nil),
            0xc2 => Ok(Value::Boolean(false)),
            0xc3 => Ok(Value::Boolean(true)),
            0xca => {
                let bits = u32::try_from(self.unsigned(4)?).unwrap_or(0);
                number(f64::from(f32::from_bits(bits)))
            }
            0xcb => number(f64::from_bits(self.unsigned(8)?)),
            0xcc => number(self.unsigned(1)? as f64),
            0xcd => number(self.unsigned(2)? as f64),
            0xce => number(self.unsigned(4)? as f64),
            0xcf => number(self.unsigned(8)? as f64),
            0xd0 => number(self.signed(1)? as f64),
            0xd1 => number(self.signed(2)? as f64),
            0xd2 => number(self.signed(4)? as f64),
            0xd3 => number(self.signed(8)? as f64),
            0xd9 => self.length(1).and_then(|len| self.string(len)),
            0xda => self.length(2).and_then(|len| self.string(len)),
            0xdb => self.length(4).and_then(|len| self.string(len)),
            0xdc => self.length(2).and_then(|len| self.array(len, depth)),
            0xdd => self.length(4).and_then(|len| self.array(len, depth)),
            0xde => self.length(2).and_then(|len| self.map(len, depth)),
            0xdf => self.length(4).and_then(|len| self.map(len, depth)),
            _ => Err(located(self.lua, "Bad data format in input.")),
        }
    }

    fn string(&mut self, len: usize) -> mlua::Result<Value> {
        let bytes = self.take(len)?;
        Ok(Value::String(self.lua.create_string(bytes)?))
    }

    fn check_depth(&self, depth: usize, function: &str) -> mlua::Result<()> {
        if depth < DEPTH_MAX {
            return Ok(());
        }
        Err(located(self.lua, format!("stack overflow (in function {function})")))
    }

    fn array(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        self.check_depth(depth, "mp_decode_to_lua_array")?;
        let table = self.lua.create_table()?;
        for at in 1..=len {
            let value = self.value(depth + 1)?;
            if !value.is_nil() {
                table.raw_set(at, value)?;
            }
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        self.check_depth(depth, "mp_decode_to_lua_hash")?;
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            match &key {
                Value::Nil => return Err(Raise::Text("table index is nil".to_owned()).into()),
                Value::Number(number) if number.is_nan() => {
                    return Err(Raise::Text("table index is NaN".to_owned()).into());
                }
                _ => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}
