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
        return [b"-", &*error.text].concat();
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
fn unpack_never_gets_a_range_that_overflows() {
    let mut scripts = Scripts::default();
    for range in [
        "-2, 2147483647",
        "0, 2147483647",
        "-2147483648, -2",
        "'-2', '2147483647'",
        "1, 1e300",
        "0/0, 1",
        "1, 4294967297",
        "1, 8001",
    ] {
        let reply = eval(&mut scripts, &format!("return {{unpack({{1,2,3}}, {range})}}"), b"");
        let text = String::from_utf8_lossy(&reply);
        assert!(
            text.starts_with("-ERR user_script:1: too many results to unpack"),
            "{range}: {text}"
        );
    }
    assert_eq!(eval(&mut scripts, "return {unpack({1,2,3}, '2')}", b""), b"*2\r\n:2\r\n:3\r\n");
    assert_eq!(eval(&mut scripts, "return {unpack({1,2,3}, -1, -2)}", b""), b"*0\r\n");
    assert_eq!(eval(&mut scripts, "return select('#', unpack({}, 1, 7000))", b""), b":7000\r\n");
    let reply = eval(&mut scripts, "local x = unpack(1) return x", b"");
    let expected = "-ERR user_script:1: bad argument #1 to 'unpack' (table expected, got number)";
    assert!(reply.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&reply));
}

#[test]
fn any_number_of_values_is_returned() {
    let mut scripts = Scripts::default();
    for count in (1..70).chain([250, 1000, 7000]) {
        for (source, expected) in [
            ("return unpack(t)", ":1".to_owned()),
            ("return {unpack(t)}", format!("*{count}")),
            ("return {pcall(unpack, t)}", format!("*{}", count + 1)),
            ("return {xpcall(function() return unpack(t) end, error)}", format!("*{}", count + 1)),
            ("return {pcall(cmsgpack.unpack, string.rep('\\1', #t))}", format!("*{}", count + 1)),
            ("return {string.byte(string.rep('a', #t), 1, -1)}", format!("*{count}")),
        ] {
            let source = format!("local t = {{}} for i = 1, {count} do t[i] = i end {source}");
            let reply = eval(&mut scripts, &source, b"");
            let line = reply.split(|&byte| byte == b'\r').next().unwrap();
            assert_eq!(String::from_utf8_lossy(line), expected, "{source}");
        }
    }
}

#[test]
fn more_scripts_and_functions_than_lua_has_stack() {
    let mut scripts = Scripts::default();
    let mut libraries = super::Libraries::default();
    for number in 0..9000 {
        scripts.load(format!("return {number}").as_bytes()).unwrap();
        let name = format!("f{number}");
        let source = format!(
            "#!lua name={name}\nredis.register_function('{name}', function() return {number} end)"
        );
        libraries.load(source.as_bytes(), false).unwrap();
    }
    assert_eq!(eval(&mut scripts, "return 17", b""), b":17\r\n");
    let mut reply = Reply::new(false);
    let function = libraries.function(b"f8999").unwrap();
    let nothing = std::iter::empty;
    function.run(nothing(), nothing(), &mut Nobody, &mut reply).unwrap();
    assert_eq!(reply.buffer, b":8999\r\n");
}

#[test]
fn deprecated_functions_are_there_on_request_and_reach_nothing_of_ours() {
    let mut plain = Scripts::default();
    for name in ["getfenv", "setfenv", "newproxy"] {
        let reply = eval(&mut plain, &format!("return {name} == nil"), b"");
        let text = String::from_utf8_lossy(&reply);
        assert!(text.contains("attempted to access nonexistent global"), "{text}");
    }
    let mut scripts = Scripts::with(true);
    for (source, expected) in [
        ("local f = function() return x end setfenv(f, {x = 7}) return f()", ":7"),
        ("return getfenv() == _G and getfenv(1) == _G", ":1"),
        ("return getfenv(0) == _G and getfenv(pcall) == _G and getfenv(redis.call) == _G", ":1"),
        ("return getfenv(function() end) == _G", ":1"),
        ("setfenv(1, {r = 5, pcall = pcall}) return r", ":5"),
        ("return pcall(setfenv, pcall, {}) == false", ":1"),
        ("return pcall(setfenv, 0, {}) == false", ":1"),
        ("return pcall(setfenv, redis.call, {}) == false", ":1"),
        ("getmetatable(newproxy(true)).__gc = function() return 1 end return 3", ":3"),
    ] {
        let reply = eval(&mut scripts, source, b"");
        assert_eq!(String::from_utf8_lossy(&reply), format!("{expected}\r\n"), "{source}");
    }
}

#[test]
fn the_least_used_script_is_forgotten() {
    let mut scripts = Scripts::default();
    for number in 0..600 {
        eval(&mut scripts, &format!("return {number}"), b"");
    }
    assert_eq!((scripts.len(), scripts.evicted), (500, 100));
    assert!(!scripts.contains(&super::api::hex_digest(b"return 0")));
    assert!(scripts.contains(&super::api::hex_digest(b"return 599")));
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

#[test]
fn an_error_keeps_bytes_that_are_no_text() {
    let mut scripts = Scripts::default();
    assert_eq!(eval(&mut scripts, "return redis.error_reply('My \\255!')", b""), b"-My \xff!");
    assert_eq!(eval(&mut scripts, "return {err = 'A \\128'}", b""), b"-A \x80");
    assert_eq!(eval(&mut scripts, "return {ok = '\\254\\0x'}", b""), b"+\xfe\r\n");
    let raised = eval(&mut scripts, "error('\\255\\254', 0)", b"");
    assert!(raised.starts_with(b"-ERR \xff\xfe script: "), "{raised:?}");
    let caught = "local ok, text = pcall(error, '\\255', 0) return {err = 'C ' .. text}";
    assert_eq!(eval(&mut scripts, caught, b""), b"-C \xff");
    let nested = "return {{err = 'N \\255'}}";
    assert_eq!(eval(&mut scripts, nested, b""), b"*1\r\n-N \xff\r\n");
}

/// What all scripts share stays as it is, whatever one of them tries: another user's scripts call it.
#[test]
fn no_script_changes_what_others_call() {
    let mut scripts = Scripts::default();
    for shared in ["redis", "_G", "string", "table", "math", "bit", "cjson", "getmetatable('')"] {
        for attack in [
            "local _, t = pairs(X) t.call = 1 t.rep = 1 t.tostring = 1",
            "local _, t = pairs(X) rawset(t, 'call', 1)",
            "for k in pairs(X) do X[k] = 1 end",
            "setmetatable(X, { __index = 1 })",
            "X.call = 1",
            "table.insert(X, 'left')",
            "table.insert(X, 7, 'left')",
            "rawset(X, 'call', 1)",
        ] {
            let reply = eval(&mut scripts, &attack.replace('X', shared), b"");
            let text = String::from_utf8_lossy(&reply);
            assert!(text.starts_with("-ERR"), "{attack} on {shared}: {text}");
        }
        let look = format!("return {{{shared}[1], {shared}[7]}}");
        let left = eval(&mut scripts, &look, b"");
        assert!(!String::from_utf8_lossy(&left).contains("left"), "{shared}");
    }
    let walk =
        "local n = 0 for k, v in pairs(redis) do n = n + 1 end return n > 5 and next(redis) ~= nil";
    assert_eq!(eval(&mut scripts, walk, b""), b":1\r\n");
    let still = "return redis.call('ping') and tostring(string.rep('a', 3))";
    assert_eq!(eval(&mut scripts, still, b""), b"$3\r\naaa\r\n");
}
