//! `redis.register_function`: in its two forms, only while a library is loaded.

use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, RegistryKey, Table, Value};
use parking_lot::Mutex;

use super::flags::{NAME_RULE, ScriptFlags, is_name};
use super::raise::Raise;

/// A function that a library registered.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) name: Arc<str>,
    /// Held by the interpreter's registry: handles of mlua are few.
    pub(super) callback: RegistryKey,
    pub(super) flags: ScriptFlags,
    pub(super) description: Option<Vec<u8>>,
}

/// Where the functions of the library being loaded are collected; `None` while none is.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry(Arc<Mutex<Option<Vec<Registered>>>>);

impl Registry {
    /// Begins to collect.
    pub(super) fn open(&self) {
        *self.0.lock() = Some(Vec::new());
    }

    /// Ends it; what was collected.
    pub(super) fn close(&self) -> Vec<Registered> {
        self.0.lock().take().unwrap_or_default()
    }

    /// The Lua function that registers into this.
    pub(super) fn function(&self, lua: &Lua) -> mlua::Result<Function> {
        let registry = self.clone();
        lua.create_function(move |lua, args: MultiValue| {
            let function = parse(lua, &args)?;
            let mut open = registry.0.lock();
            let Some(functions) = open.as_mut() else {
                return fail("redis.register_function can only be called on FUNCTION LOAD command");
            };
            if functions.iter().any(|other| other.name.eq_ignore_ascii_case(&function.name)) {
                return fail("Function already exists in the library");
            }
            functions.push(function);
            Ok(())
        })
    }
}

fn fail<T>(text: &str) -> mlua::Result<T> {
    Err(Raise::Reply { text: format!("ERR {text}").into_bytes(), counted: false }.into())
}

fn parse(lua: &Lua, args: &MultiValue) -> mlua::Result<Registered> {
    let function = match (args.len(), args.front(), args.get(1)) {
        (1, Some(Value::Table(named)), _) => named_form(lua, named)?,
        (1, ..) => {
            return fail(
                "calling redis.register_function with a single argument is only applicable to \
                 Lua table (representing named arguments).",
            );
        }
        (2, Some(name), Some(callback)) => {
            let Some(name) = text(lua, name)? else {
                return fail("first argument to redis.register_function must be a string");
            };
            let Value::Function(callback) = callback else {
                return fail("second argument to redis.register_function must be a function");
            };
            let flags = ScriptFlags::default();
            let name = String::from_utf8_lossy(&name).into_owned();
            let callback = lua.create_registry_value(callback)?;
            Registered { name: name.into(), callback, flags, description: None }
        }
        _ => return fail("wrong number of arguments to redis.register_function"),
    };
    if is_name(&function.name) { Ok(function) } else { fail(NAME_RULE) }
}

/// A string or a number as text.
fn text(lua: &Lua, value: &Value) -> mlua::Result<Option<Vec<u8>>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value.clone())?;
            Ok(text.map(|text| text.as_bytes().to_vec()))
        }
        _ => Ok(None),
    }
}

/// `redis.register_function{function_name=..., callback=..., flags={...}, description=...}`
fn named_form(lua: &Lua, named: &Table) -> mlua::Result<Registered> {
    let (mut name, mut callback, mut description) = (None, None, None);
    let mut flags = ScriptFlags::default();
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = match &key {
            Value::String(key) => key.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        match key.as_slice() {
            b"function_name" => {
                let Some(text) = text(lua, &value)? else {
                    return fail(
                        "function_name argument given to redis.register_function must be a string",
                    );
                };
                name = Some(String::from_utf8_lossy(&text).into_owned());
            }
            b"description" => {
                let Some(text) = text(lua, &value)? else {
                    return fail(
                        "description argument given to redis.register_function must be a string",
                    );
                };
                description = Some(text);
            }
            b"callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => {
                    return fail(
                        "callback argument given to redis.register_function must be a function",
                    );
                }
            },
            b"flags" => match value {
                Value::Table(list) => flags = read_flags(&list)?,
                _ => {
                    return fail(
                        "flags argument to redis.register_function must be a table representing \
                         function flags",
                    );
                }
            },
            _ => return fail("unknown argument given to redis.register_function"),
        }
    }
    let Some(name) = name else {
        return fail("redis.register_function must get a function name argument");
    };
    let Some(callback) = callback else {
        return fail("redis.register_function must get a callback argument");
    };
    let callback = lua.create_registry_value(callback)?;
    Ok(Registered { name: name.into(), callback, flags, description })
}

fn read_flags(list: &Table) -> mlua::Result<ScriptFlags> {
    let mut flags = ScriptFlags::default();
    for at in 1.. {
        match list.raw_get::<Value>(at)? {
            Value::Nil => break,
            Value::String(name) => match ScriptFlags::named(&name.as_bytes()) {
                Some(flag) => flags = flags.or(flag),
                None => return fail("unknown flag given"),
            },
            _ => return fail("unknown flag given"),
        }
    }
    Ok(flags)
}
