//! Values between RESP and Lua: replies of commands for scripts, results of scripts for clients.
//!
//! The shapes are Redis': a status is a table with `ok`, an error one with `err`, and what RESP3 adds
//! is a table with one telling field (`map`, `set`, `double`, `big_number`, `verbatim_string`).

use mlua::{Lua, Table, Value};

use super::raise;
use crate::resp::Reply;

/// Nesting at which a result is cut off, as Redis does when Lua's stack is full.
const DEPTH_MAX: usize = 500;

/// A reply as a Lua value.
pub(super) fn to_lua(lua: &Lua, reply: &[u8]) -> mlua::Result<Value> {
    Cursor { lua, rest: reply }.value()
}

/// An integer reply as a script sees it; `None` for others.
pub(super) fn integer(reply: &[u8]) -> Option<f64> {
    let line = reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    Some(number(line) as f64)
}

/// Walks a reply that this server wrote.
struct Cursor<'l, 'r> {
    lua: &'l Lua,
    rest: &'r [u8],
}

impl<'r> Cursor<'_, 'r> {
    fn line(&mut self) -> &'r [u8] {
        let end = self.rest.iter().position(|byte| *byte == b'\r').unwrap_or(self.rest.len());
        let line = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn bytes(&mut self, len: usize) -> &'r [u8] {
        let bytes = self.rest.get(..len).unwrap_or_default();
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        bytes
    }

    fn string(&self, bytes: &[u8]) -> mlua::Result<Value> {
        Ok(Value::String(self.lua.create_string(bytes)?))
    }

    /// A table with one field.
    fn tagged(&self, name: &str, value: Value) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    }

    fn value(&mut self) -> mlua::Result<Value> {
        let Some((&kind, rest)) = self.rest.split_first() else { return Ok(Value::Nil) };
        self.rest = rest;
        let line = self.line();
        match kind {
            b'+' => self.tagged("ok", self.string(line)?),
            b'-' => Ok(Value::Table(raise::error_table(self.lua, line, true)?)),
            b':' => Ok(Value::Number(number(line) as f64)),
            b'$' => match usize::try_from(number(line)) {
                Ok(len) => {
                    let bytes = self.bytes(len);
                    self.string(bytes)
                }
                Err(_) => Ok(Value::Boolean(false)),
            },
            b'*' | b'>' => match usize::try_from(number(line)) {
                Ok(len) => self.array(len),
                Err(_) => Ok(Value::Boolean(false)),
            },
            b'_' => Ok(Value::Nil),
            b'#' => Ok(Value::Boolean(line == b"t")),
            b',' => {
                let double = crate::number::parse_double(line).unwrap_or(f64::NAN);
                self.tagged("double", Value::Number(double))
            }
            b'(' => self.tagged("big_number", self.string(line)?),
            b'=' => self.verbatim(number(line)),
            b'%' => self.map(number(line)),
            b'~' => self.set(number(line)),
            b'|' => {
                for _ in 0..number(line).max(0) * 2 {
                    self.value()?;
                }
                self.value()
            }
            _ => Ok(Value::Nil),
        }
    }

    fn array(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(len, 0)?;
        for at in 1..=len {
            let value = self.value()?;
            if !value.is_nil() {
                table.raw_set(at, value)?;
            }
        }
        Ok(Value::Table(table))
    }

    fn verbatim(&mut self, len: i64) -> mlua::Result<Value> {
        let bytes = self.bytes(usize::try_from(len).unwrap_or(0));
        let (format, text) = bytes.split_at_checked(4).unwrap_or((b"txt:", bytes));
        let inner = self.lua.create_table_with_capacity(0, 2)?;
        inner.raw_set("string", self.string(text)?)?;
        inner.raw_set("format", self.string(format.get(..3).unwrap_or_default())?)?;
        self.tagged("verbatim_string", Value::Table(inner))
    }

    fn map(&mut self, pairs: i64) -> mlua::Result<Value> {
        let inner = self.lua.create_table()?;
        for _ in 0..pairs.max(0) {
            let key = self.value()?;
            let value = self.value()?;
            if !key.is_nil() {
                inner.raw_set(key, value)?;
            }
        }
        self.tagged("map", Value::Table(inner))
    }

    fn set(&mut self, len: i64) -> mlua::Result<Value> {
        let inner = self.lua.create_table()?;
        for _ in 0..len.max(0) {
            let member = self.value()?;
            if !member.is_nil() {
                inner.raw_set(member, true)?;
            }
        }
        self.tagged("set", Value::Table(inner))
    }
}

fn number(line: &[u8]) -> i64 {
    crate::number::parse_i64(line).unwrap_or(0)
}

/// Writes a script's result in the client's protocol. `script_resp3`: the script asked for RESP3, so
/// its booleans are booleans.
pub(super) fn from_lua(value: &Value, script_resp3: bool, reply: &mut Reply) -> mlua::Result<()> {
    write(value, script_resp3, reply, 0)
}

fn write(value: &Value, script_resp3: bool, reply: &mut Reply, depth: usize) -> mlua::Result<()> {
    if depth > DEPTH_MAX {
        reply.error("ERR reached lua stack limit");
        return Ok(());
    }
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Boolean(flag) if script_resp3 => reply.boolean(*flag),
        Value::Boolean(true) => reply.int(1),
        Value::Integer(number) => reply.int(*number),
        Value::Number(number) => reply.int(truncated(*number)),
        Value::Table(table) => return write_table(table, script_resp3, reply, depth),
        _ => reply.null(),
    }
    Ok(())
}

/// The conversion that x86 does: what does not fit becomes the smallest integer.
fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

fn write_table(
    table: &Table,
    script_resp3: bool,
    reply: &mut Reply,
    depth: usize,
) -> mlua::Result<()> {
    if write_sequence(table, script_resp3, reply, depth)? {
        return Ok(());
    }
    let first: Value = table.raw_get(1)?;
    if let Value::String(text) = table.raw_get("err")? {
        reply.error_bytes(&raise::shown(&text));
        return Ok(());
    }
    if let Value::String(text) = table.raw_get("ok")? {
        reply.simple_bytes(&raise::shown(&text));
        return Ok(());
    }
    let double = match table.raw_get("double")? {
        Value::Number(double) => Some(double),
        Value::Integer(double) => Some(double as f64),
        _ => None,
    };
    if let Some(double) = double {
        reply.double(double);
        return Ok(());
    }
    if let Value::Table(map) = table.raw_get("map")? {
        let place = reply.defer();
        let mut pairs = 0;
        map.for_each(|key: Value, value: Value| {
            pairs += 1;
            write(&key, script_resp3, reply, depth + 1)?;
            write(&value, script_resp3, reply, depth + 1)
        })?;
        reply.end_map(place, pairs);
        return Ok(());
    }
    if let Value::Table(set) = table.raw_get("set")? {
        let place = reply.defer();
        let mut len = 0;
        set.for_each(|member: Value, _: Value| {
            len += 1;
            write(&member, script_resp3, reply, depth + 1)
        })?;
        reply.end_set(place, len);
        return Ok(());
    }
    if let Value::String(digits) = table.raw_get("big_number")? {
        let spaced = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        reply.big_number(&digits.as_bytes().iter().map(spaced).collect::<Vec<u8>>());
        return Ok(());
    }
    if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
        && let (Value::String(format), Value::String(text)) =
            (verbatim.raw_get("format")?, verbatim.raw_get("string")?)
    {
        let mut letters = *b"   ";
        letters.iter_mut().zip(&*format.as_bytes()).for_each(|(letter, byte)| *letter = *byte);
        reply.verbatim(&letters, &text.as_bytes());
        return Ok(());
    }
    write_array(table, first, script_resp3, reply, depth)
}

/// Writes a table that is a sequence and nothing else, as most results are: one walk over its keys instead of a look for
/// each of the names that would make it something else. False, and nothing is written: it is not, or it is empty.
///
/// Two walks: were values written before it is known what the table is, nested ones would be written twice at every depth.
pub(super) fn write_sequence(
    table: &Table,
    script_resp3: bool,
    reply: &mut Reply,
    depth: usize,
) -> mlua::Result<bool> {
    let (mut len, mut is_sequence) = (0, true);
    // Lua walks the places of a sequence in their order, before everything else. No value is taken out: `bool` is only
    // whether it is true.
    table.for_each(|key: Value, _: bool| {
        len += 1;
        is_sequence &= matches!(key, Value::Integer(at) if at == len);
        Ok(())
    })?;
    if !is_sequence || len == 0 {
        return Ok(false);
    }
    reply.array(usize::try_from(len).unwrap_or(0));
    table.for_each(|_: Value, value: Value| write(&value, script_resp3, reply, depth + 1))?;
    Ok(true)
}

fn write_array(
    table: &Table,
    first: Value,
    script_resp3: bool,
    reply: &mut Reply,
    depth: usize,
) -> mlua::Result<()> {
    let place = reply.defer();
    let mut len = 0usize;
    let mut next = first;
    while !next.is_nil() {
        write(&next, script_resp3, reply, depth + 1)?;
        len += 1;
        next = table.raw_get(len + 1)?;
    }
    reply.end_array(place, len);
    Ok(())
}
