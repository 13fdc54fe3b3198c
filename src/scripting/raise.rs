//! What functions written in Rust raise inside a script, and what a script sees of it.
//!
//! mlua wraps a Rust error in a userdata. The prelude's `pcall`, `xpcall` and `coroutine.resume` pass
//! what they catch through `caught` here, so that a script finds what Redis would have raised: a
//! string with its position, or a table with the field `err`. The end of a killed script goes on.

use std::fmt;

use mlua::{Error, Lua, Table, Value};

use super::commands;

/// Why a function written in Rust stops a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raise {
    /// A string, as `error("...", 0)` raises it.
    Text(String),
    /// A table with `err`; `counted` when the error is in the statistics already.
    Reply { text: Vec<u8>, counted: bool },
    /// The script is to end now, whatever it catches.
    Killed(&'static str),
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Reply { text, .. } => f.write_str(&String::from_utf8_lossy(text)),
            Self::Killed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Raise {}

impl From<Raise> for Error {
    fn from(raise: Raise) -> Self {
        Self::external(raise)
    }
}

/// A string error that begins with the place of the call, as luaL_error makes it.
pub(super) fn located(lua: &Lua, text: impl fmt::Display) -> Error {
    let place = lua.inspect_stack(1, |debug| {
        let line = debug.current_line()?;
        let source = debug.source();
        Some(format!("{}:{line}: ", source.short_src.as_deref().unwrap_or("?")))
    });
    Raise::Text(format!("{}{text}", place.flatten().unwrap_or_default())).into()
}

/// A bad argument in the words of luaL_argerror.
pub(super) fn bad_argument(lua: &Lua, at: usize, function: &str, what: &str) -> Error {
    located(lua, format!("bad argument #{at} to '{function}' ({what})"))
}

/// `TYPE expected, got OTHER` for argument `at` (from 1).
pub(super) fn wrong_type(
    lua: &Lua,
    at: usize,
    function: &str,
    expected: &str,
    got: Option<&Value>,
) -> Error {
    let got = got.map_or("no value", type_name);
    bad_argument(lua, at, function, &format!("{expected} expected, got {got}"))
}

/// The name of a value's type as Lua says it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::Error(_) | Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

/// A text of a script as an error or a status shows it: up to the first NUL, as in C.
pub(super) fn shown(text: &mlua::String) -> Vec<u8> {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default().to_vec()
}

/// What a script raised, as text; the text in a table is its field `err`, with its code.
pub(super) fn failure_text(failure: &Value) -> Vec<u8> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(shown(text)),
        Value::Integer(_) | Value::Number(_) => value.to_string().ok().map(String::into_bytes),
        _ => None,
    };
    match failure {
        Value::Table(table) => {
            let found = table.raw_get("err").ok().and_then(|value| text(&value));
            found.unwrap_or_else(|| b"ERR unknown error".to_vec())
        }
        other => {
            let text = text(other).or_else(|| other.to_string().ok().map(String::into_bytes));
            [b"ERR ", &*text.unwrap_or_default()].concat()
        }
    }
}

/// The raise behind an error of mlua.
pub(super) fn raise_of(error: &Error) -> Raise {
    match error {
        Error::CallbackError { cause, .. } => raise_of(cause),
        Error::WithContext { cause, .. } => raise_of(cause),
        Error::ExternalError(external) => match external.downcast_ref::<Raise>() {
            Some(raise) => raise.clone(),
            None => Raise::Text(external.to_string()),
        },
        Error::MemoryError(_) => Raise::Text("not enough memory".to_owned()),
        Error::RuntimeError(text) => Raise::Text(text.clone()),
        other => Raise::Text(other.to_string()),
    }
}

/// A table with `err`, and the mark that keeps a counted error from being counted twice.
pub(super) fn error_table(lua: &Lua, text: impl AsRef<[u8]>, counted: bool) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("err", lua.create_string(text)?)?;
    if counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// What `xpcall` and `coroutine.resume` hand out for what they caught.
pub(super) fn caught(lua: &Lua, failure: Value) -> mlua::Result<Value> {
    commands::check_killed()?;
    let Value::Error(error) = &failure else { return Ok(failure) };
    match raise_of(error) {
        Raise::Text(text) => Ok(Value::String(lua.create_string(text)?)),
        Raise::Reply { text, counted } => Ok(Value::Table(error_table(lua, &text, counted)?)),
        killed @ Raise::Killed(_) => Err(killed.into()),
    }
}

/// What `pcall` hands out: the text of an error reply rather than the table.
pub(super) fn caught_text(lua: &Lua, failure: Value) -> mlua::Result<Value> {
    let value = caught(lua, failure)?;
    let Value::Table(table) = &value else { return Ok(value) };
    match table.raw_get::<Value>("err")? {
        text @ Value::String(_) => Ok(text),
        _ => Ok(value),
    }
}

/// Ends a failed script: a table with `err`, `source` and `line` of where it failed.
pub(super) fn handle(lua: &Lua, failure: Value) -> mlua::Result<Table> {
    let table = match failure {
        Value::Table(table) => table,
        Value::Error(error) => match raise_of(&error) {
            Raise::Text(text) => error_table(lua, format!("ERR {text}"), false)?,
            Raise::Reply { text, counted } => error_table(lua, &text, counted)?,
            Raise::Killed(text) => error_table(lua, format!("ERR {text}"), false)?,
        },
        other => {
            let table = lua.create_table()?;
            let mut text = b"ERR ".to_vec();
            match &other {
                Value::String(found) => text.extend_from_slice(&found.as_bytes()),
                // What C prints for a null pointer: `cjson.null`.
                Value::LightUserData(data) if data.0.is_null() => {
                    text.extend_from_slice(b"userdata: (nil)");
                }
                other => text.extend_from_slice(other.to_string()?.as_bytes()),
            }
            table.raw_set("err", lua.create_string(text)?)?;
            table
        }
    };
    if let Some((source, line)) = failing_place(lua) {
        table.raw_set("source", source)?;
        table.raw_set("line", line)?;
    }
    Ok(table)
}

/// The innermost frame that is the script's own.
fn failing_place(lua: &Lua) -> Option<(String, i64)> {
    for level in 1..64 {
        let found = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let name = source.source.as_deref().unwrap_or_default().to_owned();
            let own = !matches!(source.what, "C" | "tail") && name != super::interpreter::PRELUDE;
            own.then(|| {
                let line = debug.current_line().and_then(|line| i64::try_from(line).ok());
                (name, line.unwrap_or(-1))
            })
        });
        match found {
            None => return None,
            Some(Some(place)) => return Some(place),
            Some(None) => {}
        }
    }
    None
}
