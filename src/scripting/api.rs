//! The library `redis`: commands, replies, the log, and what Redis keeps for older scripts.

use std::cell::RefCell;

use mlua::{Lua, MultiValue, Table, Value};
use sha1::{Digest, Sha1};

use super::commands::{self, LogLevel};
use super::interpreter::Unlimited;
use super::raise::{Raise, error_table};
use super::register::Registry;
use super::reply;
use crate::number::DoubleText;
use crate::resp::{OwnedArgs, Reply};

/// Capacity that the shared buffers keep between calls.
const KEPT_BYTES: usize = 64 * 1024;

/// Buffers of `redis.call`, used again by every call on the thread.
#[derive(Default)]
struct Buffers {
    request: OwnedArgs,
    reply: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// The table `redis`.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let call = |raises| lua.create_function(move |lua, args: MultiValue| call(lua, &args, raises));
    redis.set("call", call(true)?)?;
    redis.set("pcall", call(false)?)?;
    redis.set("error_reply", lua.create_function(|lua, args| single(lua, &args, "err"))?)?;
    redis.set("status_reply", lua.create_function(|lua, args| single(lua, &args, "ok"))?)?;
    redis.set("sha1hex", lua.create_function(|lua, args| sha1hex(lua, &args))?)?;
    redis.set("log", lua.create_function(|_, args| log(&args))?)?;
    redis.set("setresp", lua.create_function(|_, args| set_resp(&args))?)?;
    redis.set("set_repl", lua.create_function(|_, args| set_replication(&args))?)?;
    redis.set("acl_check_cmd", lua.create_function(|_, args| acl_check(&args))?)?;
    for (name, value) in [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
    ] {
        redis.set(name, value)?;
    }
    redis.set("REDIS_VERSION", crate::REDIS_VERSION)?;
    redis.set("REDIS_VERSION_NUM", version_number(crate::REDIS_VERSION))?;
    Ok(redis)
}

/// What only EVAL's scripts have.
pub(super) fn add_for_scripts(lua: &Lua, redis: &Table) -> mlua::Result<()> {
    redis.set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    redis.set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    redis.set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)
}

/// What a library has as `redis` while it is loaded: the log, the version, and the registry.
pub(super) fn loading_library(
    lua: &Lua,
    redis: &Table,
    registry: &Registry,
) -> mlua::Result<Table> {
    let loading = lua.create_table()?;
    for name in [
        "log",
        "LOG_DEBUG",
        "LOG_VERBOSE",
        "LOG_NOTICE",
        "LOG_WARNING",
        "REDIS_VERSION",
        "REDIS_VERSION_NUM",
    ] {
        loading.set(name, redis.get::<Value>(name)?)?;
    }
    loading.set("register_function", registry.function(lua)?)?;
    Ok(loading)
}

/// `8.0.6` is 0x080006.
fn version_number(version: &str) -> u32 {
    version
        .split('.')
        .filter_map(|part| part.parse::<u32>().ok())
        .fold(0, |sum, part| sum << 8 | part)
}

fn fail<T>(text: &str) -> mlua::Result<T> {
    Err(Raise::Reply { text: format!("ERR {text}").into_bytes(), counted: false }.into())
}

/// `redis.call` and `redis.pcall`.
fn call(lua: &Lua, args: &MultiValue, raises: bool) -> mlua::Result<Value> {
    let refused = |text: &str| -> mlua::Result<Value> {
        let text = format!("ERR {text}");
        let _unlimited = Unlimited::new(lua);
        if raises {
            return Err(Raise::Reply { text: text.into_bytes(), counted: true }.into());
        }
        Ok(Value::Table(error_table(lua, &text, true)?))
    };
    if args.is_empty() {
        return refused("Please specify at least one argument for this redis lib call");
    }
    let mut buffers = BUFFERS.take();
    let filled = fill(&mut buffers.request, args);
    let outcome = if let Err(text) = filled {
        refused(text)
    } else {
        let mut reply = Reply::new(false);
        reply.buffer = std::mem::take(&mut buffers.reply);
        reply.buffer.clear();
        let ran = commands::with(|commands| commands.call(&buffers.request.as_args(), &mut reply));
        let outcome = match ran {
            None => refused("redis.call/pcall can only be called inside a script invocation"),
            Some(Err(text)) if raises => {
                Err(Raise::Reply { text: text.into_bytes(), counted: true }.into())
            }
            Some(Err(text)) => {
                let _unlimited = Unlimited::new(lua);
                error_table(lua, &text, true).map(Value::Table)
            }
            Some(Ok(())) if raises && reply.buffer.first() == Some(&b'-') => {
                let text = reply.buffer.strip_suffix(b"\r\n").unwrap_or(&reply.buffer);
                let text = text.get(1..).unwrap_or_default().to_vec();
                Err(Raise::Reply { text, counted: true }.into())
            }
            Some(Ok(())) => match reply::integer(&reply.buffer) {
                // It takes no memory.
                Some(integer) => Ok(Value::Number(integer)),
                None => {
                    let _unlimited = Unlimited::new(lua);
                    reply::to_lua(lua, &reply.buffer)
                }
            },
        };
        buffers.reply = reply.buffer;
        outcome
    };
    if buffers.request.memory_bytes() + buffers.reply.capacity() <= KEPT_BYTES {
        BUFFERS.set(buffers);
    }
    outcome
}

/// Makes a request of a script's arguments, which must be strings or numbers; the error is what the script is told.
fn fill(request: &mut OwnedArgs, args: &MultiValue) -> Result<(), &'static str> {
    request.restart(args.len());
    for arg in args {
        match arg {
            Value::String(text) => request.push(&text.as_bytes()),
            Value::Integer(number) => request.push(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Number(number) => push_number(request, *number),
            _ => return Err("Lua redis lib command arguments must be strings or integers"),
        }
    }
    if request.is_too_long() {
        return Err("Lua redis lib command arguments are too long");
    }
    Ok(())
}

fn push_number(request: &mut OwnedArgs, number: f64) {
    if number == 0.0 {
        request.push(b"0");
    } else if number.is_nan() && number.is_sign_negative() {
        request.push(b"-nan");
    } else {
        request.push(DoubleText::new(number).as_bytes());
    }
}

/// `redis.error_reply(text)` and `redis.status_reply(text)`.
fn single(lua: &Lua, args: &MultiValue, field: &str) -> mlua::Result<Table> {
    let (Some(Value::String(text)), 1) = (args.front(), args.len()) else {
        return error_table(lua, "ERR wrong number or type of arguments", false);
    };
    let table = lua.create_table_with_capacity(0, 1)?;
    if field == "ok" {
        table.raw_set(field, text)?;
        return Ok(table);
    }
    let bytes = text.as_bytes();
    // A code is told from a text by the dash or by a second word.
    let text = match bytes.strip_prefix(b"-") {
        Some(code) if code.contains(&b' ') => code.to_vec(),
        Some(code) => [b"ERR ", code].concat(),
        None if bytes.contains(&b' ') => bytes.to_vec(),
        None => [b"ERR ", &*bytes].concat(),
    };
    table.raw_set(field, lua.create_string(text)?)?;
    Ok(table)
}

fn sha1hex(lua: &Lua, args: &MultiValue) -> mlua::Result<Value> {
    let (Some(value), 1) = (args.front(), args.len()) else {
        return fail("wrong number of arguments");
    };
    let text = lua.coerce_string(value.clone())?;
    let digest = match text {
        Some(text) => hex_digest(&text.as_bytes()),
        None => hex_digest(b""),
    };
    Ok(Value::String(lua.create_string(digest)?))
}

fn log(args: &MultiValue) -> mlua::Result<()> {
    if args.len() < 2 {
        return fail("redis.log() requires two arguments or more.");
    }
    let level = match args.front() {
        Some(Value::Integer(level)) => *level as f64,
        Some(Value::Number(level)) => *level,
        _ => return fail("First argument must be a number (log level)."),
    };
    let level = match level as i64 {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => return fail("Invalid log level."),
    };
    let words: Vec<String> = args
        .iter()
        .skip(1)
        .filter_map(|value| match value {
            Value::String(text) => Some(text.to_string_lossy()),
            Value::Integer(_) | Value::Number(_) => value.to_string().ok(),
            _ => None,
        })
        .collect();
    commands::with(|commands| commands.log(level, &words.join(" ")));
    Ok(())
}

fn set_resp(args: &MultiValue) -> mlua::Result<()> {
    let (Some(value), 1) = (args.front(), args.len()) else {
        return fail("redis.setresp() requires one argument.");
    };
    let version = match value {
        Value::Integer(version) => *version as f64,
        Value::Number(version) => *version,
        // As for Lua itself a string that is a number is one.
        Value::String(text) => text.to_string_lossy().trim().parse().unwrap_or(0.0),
        _ => 0.0,
    };
    let resp3 = match version as i64 {
        2 => false,
        3 => true,
        _ => return fail("RESP version must be 2 or 3."),
    };
    commands::with(|commands| commands.set_resp3(resp3));
    Ok(())
}

fn set_replication(args: &MultiValue) -> mlua::Result<()> {
    let (Some(value), 1) = (args.front(), args.len()) else {
        return fail("redis.set_repl() requires one argument.");
    };
    let flags = match value {
        Value::Integer(flags) => *flags,
        Value::Number(flags) => *flags as i64,
        _ => 0,
    };
    match u8::try_from(flags) {
        Ok(flags @ 0..=3) => {
            commands::with(|commands| commands.set_replication(flags));
            Ok(())
        }
        _ => fail("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
    }
}

fn acl_check(args: &MultiValue) -> mlua::Result<bool> {
    if args.is_empty() {
        return fail("Please specify at least one argument for this redis lib call");
    }
    let mut request = OwnedArgs::default();
    if fill(&mut request, args).is_err() {
        return fail("Lua redis lib command arguments must be strings or integers");
    }
    match commands::with(|commands| commands.permits(&request.as_args())).flatten() {
        Some(permitted) => Ok(permitted),
        None => fail("Invalid command passed to redis.acl_check_cmd()"),
    }
}

/// SHA-1 in hexadecimal, the name of a script.
pub(super) fn hex_digest(bytes: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 40];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(Sha1::digest(bytes)) {
        *pair = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
    }
    text
}
