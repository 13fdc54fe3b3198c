//! The library `struct`: C structures in strings.
//!
//! The format is a row of letters with sizes: `>` `<` byte order, `!n` alignment, `b h i l T` and their
//! unsigned forms, `f d`, `s` a string that a zero ends, `cn` n bytes, `x` padding.

#![deny(clippy::indexing_slicing)]

use mlua::{Lua, MultiValue, Table, Value};

use super::interpreter::Unlimited;
use super::raise::{bad_argument, located, wrong_type};

/// Largest integer in bytes.
const INTEGER_BYTES_MAX: usize = 32;
/// Alignment of `!` alone.
const ALIGNMENT: usize = 8;

/// The table `struct`.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", lua.create_function(|lua, args: MultiValue| pack(lua, &args))?)?;
    table.set("unpack", lua.create_function(|lua, args: MultiValue| unpack(lua, &args))?)?;
    table.set("size", lua.create_function(|lua, args: MultiValue| size(lua, &args))?)?;
    Ok(table)
}

/// One option of a format.
struct Item {
    letter: u8,
    size: usize,
}

/// Reads a format from left to right.
struct Format<'a> {
    lua: &'a Lua,
    /// The function it was given to.
    function: &'static str,
    rest: &'a [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, function: &'static str, text: &'a [u8]) -> Self {
        let rest = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Self { lua, function, rest, big_endian: false, alignment: 1 }
    }

    fn next(&mut self) -> mlua::Result<Option<Item>> {
        let Some((&letter, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match letter {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_BYTES_MAX {
                    let text =
                        format!("integral size {size} is larger than limit of {INTEGER_BYTES_MAX}");
                    return Err(located(self.lua, text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some(Item { letter, size }))
    }

    /// The digits that follow, or `default` without any.
    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        let mut value: Option<i32> = None;
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            let more = value.unwrap_or(0).checked_mul(10);
            let more = more.and_then(|value| value.checked_add(i32::from(digit - b'0')));
            value = Some(more.ok_or_else(|| located(self.lua, "integral size overflow"))?);
            self.rest = rest;
        }
        Ok(value.and_then(|value| usize::try_from(value).ok()).unwrap_or(default))
    }

    /// An option that is no field.
    fn control(&mut self, letter: u8) -> mlua::Result<()> {
        match letter {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    let text = format!("alignment {alignment} is not a power of 2");
                    return Err(located(self.lua, text));
                }
                self.alignment = alignment;
            }
            other => {
                let text = format!("invalid format option '{}'", char::from(other));
                return Err(bad_argument(self.lua, 1, self.function, &text));
            }
        }
        Ok(())
    }

    /// Bytes of padding before an item at `position`.
    fn padding(&self, position: usize, item: &Item) -> usize {
        if item.size == 0 || item.letter == b'c' {
            return 0;
        }
        let size = item.size.min(self.alignment);
        let mask = size - 1;
        size.wrapping_sub(position & mask) & mask
    }

    fn number_argument(&self, args: &MultiValue, at: usize) -> mlua::Result<f64> {
        let value = args.get(at - 1);
        match value.and_then(|value| self.lua.coerce_number(value.clone()).ok().flatten()) {
            Some(number) => Ok(number),
            // The buffer under construction is marked by a nil behind the arguments.
            None => {
                let value = value.unwrap_or(&Value::Nil);
                Err(wrong_type(self.lua, at, self.function, "number", Some(value)))
            }
        }
    }
}

fn text_argument(
    lua: &Lua,
    args: &MultiValue,
    at: usize,
    function: &str,
) -> mlua::Result<mlua::String> {
    let value = args.get(at - 1);
    let text = match value {
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Integer(_))) => {
            lua.coerce_string(value.clone())?
        }
        _ => None,
    };
    text.ok_or_else(|| wrong_type(lua, at, function, "string", value))
}

fn pack(lua: &Lua, args: &MultiValue) -> mlua::Result<mlua::String> {
    let text = text_argument(lua, args, 1, "pack")?;
    let text = text.as_bytes();
    let mut format = Format::new(lua, "pack", &text);
    let mut out: Vec<u8> = Vec::new();
    let mut at = 2;
    while let Some(item) = format.next()? {
        out.resize(out.len() + format.padding(out.len(), &item), 0);
        match item.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = format.number_argument(args, at)?;
                put_integer(&mut out, number, item.size, format.big_endian);
                at += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let number = format.number_argument(args, at)? as f32;
                put_ordered(&mut out, number.to_be_bytes(), format.big_endian);
                at += 1;
            }
            b'd' => {
                let number = format.number_argument(args, at)?;
                put_ordered(&mut out, number.to_be_bytes(), format.big_endian);
                at += 1;
            }
            b'c' | b's' => {
                let value = text_argument(lua, args, at, "pack")?;
                let value = value.as_bytes();
                at += 1;
                let size = if item.size == 0 { value.len() } else { item.size };
                match value.get(..size) {
                    Some(part) => out.extend_from_slice(part),
                    None => return Err(bad_argument(lua, at, "pack", "string too short")),
                }
                if item.letter == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
    }
    let _unlimited = Unlimited::new(lua);
    lua.create_string(out)
}

fn put_ordered<const N: usize>(out: &mut Vec<u8>, mut bytes: [u8; N], big_endian: bool) {
    if !big_endian {
        bytes.reverse();
    }
    out.extend_from_slice(&bytes);
}

fn put_integer(out: &mut Vec<u8>, number: f64, size: usize, big_endian: bool) {
    // What does not fit becomes what the conversion of x86 makes of it.
    let value = if number < 0.0 {
        (number as i64).cast_unsigned()
    } else if number < 18_446_744_073_709_551_616.0 {
        number as u64
    } else if number.is_nan() {
        1 << 63
    } else {
        0
    };
    let start = out.len();
    out.extend(value.to_le_bytes().into_iter().chain(std::iter::repeat(0)).take(size));
    if big_endian {
        out.get_mut(start..).unwrap_or_default().reverse();
    }
}

fn unpack(lua: &Lua, args: &MultiValue) -> mlua::Result<MultiValue> {
    const NAME: &str = "unpack";
    let text = text_argument(lua, args, 1, NAME)?;
    let text = text.as_bytes();
    let data = text_argument(lua, args, 2, NAME)?;
    let data = data.as_bytes();
    let position = match args.get(2) {
        None | Some(Value::Nil) => 1,
        Some(value) => match lua.coerce_number(value.clone())? {
            Some(number) => number as i64,
            None => return Err(wrong_type(lua, 3, NAME, "number", Some(value))),
        },
    };
    if position == 0 {
        return Err(bad_argument(lua, 3, NAME, "offset must be 1 or greater"));
    }
    let mut position = usize::try_from(position - 1).unwrap_or(usize::MAX / 2);
    let too_short = || bad_argument(lua, 2, NAME, "data string too short");
    let mut format = Format::new(lua, NAME, &text);
    let mut values = MultiValue::new();
    let _unlimited = Unlimited::new(lua);
    while let Some(item) = format.next()? {
        position += format.padding(position, &item);
        let rest = data.get(position..).ok_or_else(too_short)?;
        let mut field = rest.get(..item.size).ok_or_else(too_short)?;
        match item.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = item.letter.is_ascii_lowercase();
                let number = integer(field, signed, format.big_endian);
                values.push_back(Value::Number(number));
            }
            b'x' => {}
            b'f' => {
                let bits = u32::try_from(unsigned(field, format.big_endian)).unwrap_or(0);
                values.push_back(Value::Number(f64::from(f32::from_bits(bits))));
            }
            b'd' => {
                let bits = unsigned(field, format.big_endian);
                values.push_back(Value::Number(f64::from_bits(bits)));
            }
            b'c' => {
                if item.size == 0 {
                    let size = previous_size(lua, &mut values)?;
                    field = rest.get(..size).ok_or_else(too_short)?;
                }
                values.push_back(Value::String(lua.create_string(field)?));
            }
            b's' => {
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.ok_or_else(|| located(lua, "unfinished string in data"))?;
                let string = rest.get(..end).unwrap_or_default();
                values.push_back(Value::String(lua.create_string(string)?));
                position += end + 1;
            }
            other => format.control(other)?,
        }
        position += field.len();
        if values.len() > 7000 {
            return Err(located(lua, "stack overflow (too many results)"));
        }
    }
    values.push_back(Value::Number((position + 1) as f64));
    Ok(values)
}

/// The last value, which is the length of a `c0`.
fn previous_size(lua: &Lua, values: &mut MultiValue) -> mlua::Result<usize> {
    let number = values.pop_back().and_then(|value| lua.coerce_number(value).ok().flatten());
    match number {
        Some(number) if number >= 0.0 => Ok(number as usize),
        Some(_) => Ok(usize::MAX),
        None => Err(located(lua, "format 'c0' needs a previous size")),
    }
}

fn unsigned(field: &[u8], big_endian: bool) -> u64 {
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    if big_endian { field.iter().fold(0, add) } else { field.iter().rev().fold(0, add) }
}

fn integer(field: &[u8], signed: bool, big_endian: bool) -> f64 {
    let value = unsigned(field, big_endian);
    if !signed {
        return value as f64;
    }
    let bits = u32::try_from(field.len() * 8).unwrap_or(0).wrapping_sub(1);
    let mask = u64::MAX.wrapping_shl(bits);
    let extended = if value & mask != 0 { value | mask } else { value };
    extended.cast_signed() as f64
}

fn size(lua: &Lua, args: &MultiValue) -> mlua::Result<f64> {
    let text = text_argument(lua, args, 1, "size")?;
    let text = text.as_bytes();
    let mut format = Format::new(lua, "size", &text);
    let mut position = 0usize;
    while let Some(item) = format.next()? {
        position += format.padding(position, &item);
        if item.letter == b's' {
            return Err(bad_argument(lua, 1, "size", "option 's' has no fixed size"));
        }
        if item.letter == b'c' && item.size == 0 {
            return Err(bad_argument(lua, 1, "size", "option 'c0' has no fixed size"));
        }
        if !item.letter.is_ascii_alphanumeric() {
            format.control(item.letter)?;
        }
        position += item.size;
    }
    Ok(position as f64)
}
