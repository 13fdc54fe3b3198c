//! The library `cjson`: JSON in both directions, with the settings of lua-cjson 2.1.0.
//!
//! Settings belong to the table of functions: `cjson.new()` gives another one with its own. Nesting is
//! bounded by the setting and, whatever that says, by [`NESTING_MAX`].

mod decode;
mod encode;

use std::sync::Arc;

use mlua::{LightUserData, Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use super::interpreter::Unlimited;
use super::raise::{bad_argument, located, wrong_type};

/// Nesting that is refused whatever the settings are: the stack of the thread ends somewhere.
const NESTING_MAX: usize = 2000;

/// What scripts can choose.
#[derive(Clone, Debug)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth_max: i64,
    decode_depth_max: i64,
    precision: i64,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// What becomes of NaN and infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Printed,
    Null,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

type Shared = Arc<Mutex<Settings>>;

/// The value that stands for null.
fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}

/// The table `cjson`.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let settings = Shared::default();
    let own = Arc::clone(&settings);
    let encode = move |lua: &Lua, args: MultiValue| {
        only_argument(lua, &args, "encode")?;
        let settings = own.lock().clone();
        let value = args.front().unwrap_or(&Value::Nil);
        match encode::encode(value, &settings) {
            Ok(text) => {
                let _unlimited = Unlimited::new(lua);
                lua.create_string(text)
            }
            Err(text) => Err(located(lua, text)),
        }
    };
    table.set("encode", lua.create_function(encode)?)?;
    let own = Arc::clone(&settings);
    let decode = move |lua: &Lua, args: MultiValue| {
        only_argument(lua, &args, "decode")?;
        let value = args.front().unwrap_or(&Value::Nil);
        let Some(text) = text_of(lua, value)? else {
            return Err(wrong_type(lua, 1, "decode", "string", Some(value)));
        };
        let settings = own.lock().clone();
        decode::decode(lua, &text.as_bytes(), &settings)
    };
    table.set("decode", lua.create_function(decode)?)?;
    table.set("new", lua.create_function(|lua, _: MultiValue| library(lua))?)?;
    table.set("null", null())?;
    table.set("_NAME", "cjson")?;
    table.set("_VERSION", "2.1.0")?;
    add_settings(lua, &table, &settings)?;
    Ok(table)
}

fn only_argument(lua: &Lua, args: &MultiValue, name: &str) -> mlua::Result<()> {
    if args.len() == 1 { Ok(()) } else { Err(bad_argument(lua, 1, name, "expected 1 argument")) }
}

/// A string, or a number as one.
fn text_of(lua: &Lua, value: &Value) -> mlua::Result<Option<mlua::String>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => lua.coerce_string(value.clone()),
        _ => Ok(None),
    }
}

fn add_settings(lua: &Lua, table: &Table, settings: &Shared) -> mlua::Result<()> {
    let own = Arc::clone(settings);
    let sparse = move |lua: &Lua, args: MultiValue| {
        const NAME: &str = "encode_sparse_array";
        at_most(lua, &args, 3, NAME)?;
        let mut settings = own.lock();
        if let Some(choice) = choice(lua, &args, NAME, &["off", "on"])? {
            settings.sparse_convert = choice == 1;
        }
        if let Some(ratio) = integer(lua, &args, 2, NAME, 0..=MOST)? {
            settings.sparse_ratio = ratio;
        }
        if let Some(safe) = integer(lua, &args, 3, NAME, 0..=MOST)? {
            settings.sparse_safe = safe;
        }
        Ok((settings.sparse_convert, settings.sparse_ratio, settings.sparse_safe))
    };
    table.set("encode_sparse_array", lua.create_function(sparse)?)?;
    add_integer(lua, table, settings, "encode_max_depth", MOST, |s| &mut s.encode_depth_max)?;
    add_integer(lua, table, settings, "decode_max_depth", MOST, |s| &mut s.decode_depth_max)?;
    add_integer(lua, table, settings, "encode_number_precision", 14, |s| &mut s.precision)?;
    add_switch(lua, table, settings, "encode_keep_buffer", |s| &mut s.keep_buffer)?;
    add_switch(lua, table, settings, "decode_invalid_numbers", |s| &mut s.decode_invalid)?;
    let own = Arc::clone(settings);
    let invalid = move |lua: &Lua, args: MultiValue| {
        const NAME: &str = "encode_invalid_numbers";
        at_most(lua, &args, 1, NAME)?;
        let mut settings = own.lock();
        match choice(lua, &args, NAME, &["off", "on", "null"])? {
            Some(0) => settings.encode_invalid = Invalid::Refused,
            Some(1) => settings.encode_invalid = Invalid::Printed,
            Some(_) => settings.encode_invalid = Invalid::Null,
            None => {}
        }
        Ok(match settings.encode_invalid {
            Invalid::Refused => Value::Boolean(false),
            Invalid::Printed => Value::Boolean(true),
            Invalid::Null => Value::String(lua.create_string("null")?),
        })
    };
    table.set("encode_invalid_numbers", lua.create_function(invalid)?)
}

const MOST: i64 = i32::MAX as i64;

fn add_integer(
    lua: &Lua,
    table: &Table,
    settings: &Shared,
    name: &'static str,
    most: i64,
    place: fn(&mut Settings) -> &mut i64,
) -> mlua::Result<()> {
    let own = Arc::clone(settings);
    let function = move |lua: &Lua, args: MultiValue| {
        at_most(lua, &args, 1, name)?;
        let mut settings = own.lock();
        if let Some(value) = integer(lua, &args, 1, name, 1..=most)? {
            *place(&mut settings) = value;
        }
        Ok(*place(&mut settings))
    };
    table.set(name, lua.create_function(function)?)
}

fn add_switch(
    lua: &Lua,
    table: &Table,
    settings: &Shared,
    name: &'static str,
    place: fn(&mut Settings) -> &mut bool,
) -> mlua::Result<()> {
    let own = Arc::clone(settings);
    let function = move |lua: &Lua, args: MultiValue| {
        at_most(lua, &args, 1, name)?;
        let mut settings = own.lock();
        if let Some(choice) = choice(lua, &args, name, &["off", "on"])? {
            *place(&mut settings) = choice == 1;
        }
        Ok(*place(&mut settings))
    };
    table.set(name, lua.create_function(function)?)
}

fn at_most(lua: &Lua, args: &MultiValue, most: usize, name: &str) -> mlua::Result<()> {
    if args.len() <= most {
        return Ok(());
    }
    Err(bad_argument(lua, most + 1, name, "found too many arguments"))
}

/// Argument 1 as the index of a word; a boolean is one of the first two.
fn choice(lua: &Lua, args: &MultiValue, name: &str, words: &[&str]) -> mlua::Result<Option<usize>> {
    let value = match args.front() {
        None | Some(Value::Nil) => return Ok(None),
        Some(Value::Boolean(flag)) => return Ok(Some(usize::from(*flag))),
        Some(value) => value,
    };
    let Some(text) = text_of(lua, value)? else {
        return Err(wrong_type(lua, 1, name, "string", Some(value)));
    };
    let text = text.to_string_lossy();
    match words.iter().position(|word| *word == text) {
        Some(at) => Ok(Some(at)),
        None => Err(bad_argument(lua, 1, name, &format!("invalid option '{text}'"))),
    }
}

/// Argument `at` as an integer of `range`.
fn integer(
    lua: &Lua,
    args: &MultiValue,
    at: usize,
    name: &str,
    range: std::ops::RangeInclusive<i64>,
) -> mlua::Result<Option<i64>> {
    let value = match args.get(at - 1) {
        None | Some(Value::Nil) => return Ok(None),
        Some(value) => value,
    };
    let Some(number) = lua.coerce_number(value.clone())? else {
        return Err(wrong_type(lua, at, name, "number", Some(value)));
    };
    let number = number as i64;
    if range.contains(&number) {
        return Ok(Some(number));
    }
    let text = format!("expected integer between {} and {}", range.start(), range.end());
    // The original names argument 1 whichever it is.
    Err(bad_argument(lua, 1, name, &text))
}
