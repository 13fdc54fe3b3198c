//! The libraries on whatever bytes come, and the bounds of the sandbox.

use proptest::prelude::*;

use super::commands::LogLevel;
use super::{Commands, Scripts};
use crate::resp::{Args, Reply};

/// Nobody to ask for anything.
struct Nobody;

impl Commands for Nobody {
    fn call(&mut self, _: &Args, reply: &mut Reply) -> Result<(), String> {
        reply.ok();
        Ok(())
    }
    fn set_resp3(&mut self, _: bool) {}
    fn resp3(&self) -> bool {
        false
    }
    fn set_replication(&mut self, _: u8) {}
    fn log(&mut self, _: LogLevel, _: &str) {}
    fn permits(&mut self, _: &Args) -> Option<bool> {
        None
    }
    fn pulse(&mut self) -> Option<&'static str> {
        None
    }
    fn killed(&self) -> Option<&'static str> {
        None
    }
}

fn eval(scripts: &mut Scripts, source: &str, argument: &[u8]) -> Vec<u8> {
    let script = scripts.by_source(source.as_bytes()).unwrap();
    let mut reply = Reply::new(false);
    let arguments = std::iter::once(argument);
    if let Err(error) = script.run(std::iter::empty(), arguments, &mut Nobody, &mut reply) {
        return format!("-{}", error.text).into_bytes();
    }
    reply.buffer
}

#[test]
fn memory_is_bounded_and_comes_back() {
    let mut scripts = Scripts::default();
    let grow = "local s = ARGV[1] while true do s = s .. s end";
    let reply = eval(&mut scripts, grow, b"0123456789");
    assert!(reply.starts_with(b"-ERR not enough memory"), "{}", String::from_utf8_lossy(&reply));
    assert_eq!(eval(&mut scripts, "return #ARGV[1]", b"abc"), b":3\r\n");
}

#[test]
fn a_long_pattern_does_not_use_up_the_stack() {
    let mut scripts = Scripts::default();
    let find =
        "local at = string.find(string.rep('a', 100000), string.rep('a?', 100000)) return at";
    let reply = eval(&mut scripts, find, b"");
    assert!(reply.starts_with(b"-ERR user_script:1: pattern too complex"));
}

#[test]
fn the_least_used_script_is_forgotten() {
    let mut scripts = Scripts::default();
    for number in 0..600 {
        eval(&mut scripts, &format!("return {number}"), b"");
    }
    assert_eq!((scripts.len(), scripts.evicted), (500, 100));
    assert!(!scripts.contains(super::hex_digest(b"return 0").as_bytes()));
    assert!(scripts.contains(super::hex_digest(b"return 599").as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn libraries_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut scripts = Scripts::default();
        for source in [
            "return cmsgpack.unpack(ARGV[1])",
            "return {cmsgpack.unpack_limit(ARGV[1], 3, 1)}",
            "return cjson.decode(ARGV[1])",
            "return struct.unpack(ARGV[1], ARGV[1])",
            "return struct.pack(ARGV[1], 1, 2, ARGV[1])",
            "return loadstring(ARGV[1]) == nil",
            "return cmsgpack.unpack(cmsgpack.pack(ARGV[1])) == ARGV[1]",
        ] {
            let reply = eval(&mut scripts, source, &bytes);
            prop_assert!(!reply.is_empty());
        }
    }

    #[test]
    fn json_strings_survive(text in "[^\u{0}]{0,80}") {
        let mut scripts = Scripts::default();
        let same = "return cjson.decode(cjson.encode(ARGV[1])) == ARGV[1]";
        prop_assert_eq!(eval(&mut scripts, same, text.as_bytes()), b":1\r\n");
    }

    #[test]
    fn numbers_survive_both_formats(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let mut scripts = Scripts::default();
        let same = "local n = struct.unpack('d', ARGV[1]) return cmsgpack.unpack(cmsgpack.pack(n)) == n";
        prop_assert_eq!(eval(&mut scripts, same, &number.to_le_bytes()), b":1\r\n");
    }
}
