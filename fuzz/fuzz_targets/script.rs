//! Whatever a client sends as a script, or gives a script's libraries to decode, ends with a reply.
//!
//! The first byte says what the rest is: the body of EVAL, or data for cjson, cmsgpack, struct, bit or
//! string.format. One engine without a log serves all inputs; scripts that do not end are killed as an
//! operator would do it.

#![no_main]

#[path = "../engine.rs"]
mod engine;

use std::cell::RefCell;
use std::sync::Arc;

use fastness::clock::SystemClock;
use fastness::config::Config;

use engine::Session;

/// Milliseconds after which a script is killed.
const SCRIPT_MS: i64 = 50;

/// Not string.find: Lua matches some patterns in exponential time, and nothing can end that.
const LIBRARIES: [&[u8]; 6] = [
    b"return cjson.encode(cjson.decode(ARGV[1]))",
    b"return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))",
    b"return {cmsgpack.unpack_one(ARGV[1], 0)}",
    b"return {struct.unpack(ARGV[1], ARGV[1])}",
    b"return struct.pack(ARGV[1], 1, -2.5, 'x', 4, 5, 6)",
    b"return string.format(ARGV[1], 1, 'x', 2.5, -4)",
];

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(start());
}

fn start() -> Session {
    let mut config = Config::default();
    config.appendonly = false;
    config.busy_reply_threshold = SCRIPT_MS;
    Session::start(config, Arc::new(SystemClock::new()))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    // Read only: a script that wrote is not to be killed.
    let request: Vec<&[u8]> = match LIBRARIES.get(usize::from(*kind) % 16) {
        Some(script) => vec![b"EVAL_RO", script, b"0", rest],
        None => vec![b"EVAL_RO", rest, b"1", b"key", b"argument"],
    };
    SESSION.with_borrow_mut(|session| session.send(&request));
});
