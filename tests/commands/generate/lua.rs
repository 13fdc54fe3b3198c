//! Small random scripts and function libraries: requests of the grammar, conversions between Lua and
//! replies, errors, and the libraries that scripts have.

use sha1::{Digest, Sha1};

use super::arguments::{content, float, integer, pick};
use super::{Form, embedded};
use crate::support::rng::Rng;

/// Scripts that EVALSHA and SCRIPT know.
const KNOWN: [&str; 4] = [
    "return 1",
    "return {KEYS, ARGV}",
    "return redis.call('GET', KEYS[1])",
    "return redis.call('x')",
];

/// The text of a script.
pub(super) fn script(forms: &[Form], rng: &mut Rng) -> Vec<u8> {
    if rng.chance(15) {
        return rng.pick(&KNOWN).as_bytes().to_vec();
    }
    let head = match rng.below(30) {
        0 => "#!lua\n",
        1 => "#!lua flags=no-writes\n",
        2 => "#!lua flags=allow-oom,allow-stale\n",
        3 => "#!lua flags=nosuch\n",
        4 => "#!x\n",
        _ => "",
    };
    format!("{head}{}", body(forms, rng, "KEYS", "ARGV[1]")).into_bytes()
}

/// The digest of a known script, or of none.
pub(super) fn sha(rng: &mut Rng) -> Vec<u8> {
    if rng.chance(15) {
        return pick(rng, &["x", "", "e0e1f9fabfc9d4800c877a703b823ac0578ff8d0"]).into_bytes();
    }
    let digest = Sha1::digest(rng.pick(&KNOWN).as_bytes());
    let mut text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if rng.chance(10) {
        text.make_ascii_uppercase();
    }
    text.into_bytes()
}

/// The text of a library, with one function.
pub(super) fn library(forms: &[Form], rng: &mut Rng) -> Vec<u8> {
    let name = rng.below(2);
    let function = format!("f{}", rng.below(3));
    let head = match rng.below(20) {
        0 => "#!lua\n".into(),
        1 => format!("#!nosuch name=lib{name}\n"),
        2 => format!("#!lua name=lib{name} x=1\n"),
        3 => String::new(),
        _ => format!("#!lua name=lib{name}\n"),
    };
    // Redis 8.0.6 ends at the next FUNCTION FLUSH when a function calls a command with nil or a table.
    let body = body(forms, rng, "keys", "(args[1] or '')");
    let callback = format!("function(keys, args) {body} end");
    let registered = match rng.below(10) {
        0..6 => format!("redis.register_function('{function}', {callback})"),
        6 => format!(
            "redis.register_function{{function_name='{function}', callback={callback}, flags={{'no-writes'}}}}"
        ),
        7 => format!(
            "redis.register_function{{function_name='{function}', callback={callback}, description='d'}}"
        ),
        8 => pick(
            rng,
            &[
                "redis.register_function('f0')",
                "redis.register_function('f-0', function() end)",
                "redis.register_function{function_name='f0'}",
                "redis.register_function{callback=function() end}",
                "redis.register_function{function_name='f0', callback=function() end, x=1}",
                "redis.register_function('f0', 1)",
                "redis.call('SET', 's0', '1')",
                "return 1",
                "x = 1",
                "error('no')",
                "redis.register_function",
            ],
        ),
        _ => format!(
            "local function g(a) return a end redis.register_function('{function}', {callback})"
        ),
    };
    format!("{head}{registered}").into_bytes()
}

/// What follows the head of a script or is the body of a function. `arg` is its first argument.
fn body(forms: &[Form], rng: &mut Rng, keys: &str, arg: &str) -> String {
    let call = |rng: &mut Rng| call(forms, rng);
    match rng.below(20) {
        0..3 => format!("return {}", call(rng)),
        3 => format!("return {{{}, {}}}", call(rng), call(rng)),
        4 => format!("redis.setresp(3) return {}", call(rng)),
        5 => format!("redis.setresp(3) return {{{}, {}}}", call(rng), call(rng)),
        6 => format!(
            "local r = {} if type(r) == 'table' and r.err then return r.err end return r",
            call(rng)
        ),
        7 => format!("local r = {} return {{type(r), tostring(r) == 'nil', r}}", call(rng)),
        8 => format!("{} {} return redis.status_reply('done')", call(rng), call(rng)),
        9 => format!("local a = {} return {{a == false, a == nil, {keys}[1], {arg}}}", call(rng)),
        10 => format!(
            "return redis.call('{}', {keys}[1] or '', {arg})",
            pick(rng, &["GET", "APPEND", "SADD", "LPUSH"])
        ),
        11 => format!("return cjson.encode({})", literal(rng, 2)),
        12 => format!("return cjson.encode(cjson.decode({}))", quoted(json(rng).as_bytes())),
        13 => format!("return cjson.decode({})", quoted(json(rng).as_bytes())),
        14 => format!(
            "return {{cmsgpack.unpack(cmsgpack.pack({}, {}))}}",
            literal(rng, 2),
            literal(rng, 1)
        ),
        15 => format!("return cmsgpack.pack({})", literal(rng, 2)),
        16 => packed(rng),
        17 => bits(rng),
        18 => shaped(rng),
        19 if keys == "KEYS" && rng.chance(20) => pick(rng, &UNFIT_ARGUMENTS),
        _ => library_call(rng, arg),
    }
}

/// A call of a random command.
fn call(forms: &[Form], rng: &mut Rng) -> String {
    let request = embedded(forms, rng, Form::suits_scripts);
    let function = if rng.chance(50) { "call" } else { "pcall" };
    let words: Vec<String> = request.iter().map(|word| quoted(word)).collect();
    format!("redis.{function}({})", words.join(", "))
}

/// Bytes as a string of Lua.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("'");
    for &byte in bytes {
        match byte {
            b'\\' | b'\'' => text.push_str(&format!("\\{}", char::from(byte))),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('\'');
    text
}

fn number(rng: &mut Rng) -> String {
    pick(
        rng,
        &[
            "0",
            "1",
            "-1",
            "3.99",
            "-3.99",
            "0.1",
            "1e15",
            "1e16",
            "2^31",
            "2^32",
            "2^53",
            "2^63",
            "-2^63",
            "1/0",
            "255",
            "128",
            "65536",
            "-32769",
            "1e100",
            "123456789012345",
        ],
    )
}

/// A value without tables that have names: their order is chance.
fn literal(rng: &mut Rng, depth: usize) -> String {
    match rng.below(12) {
        0..3 => number(rng),
        3..6 => quoted(&content("value", rng)),
        6 => "true".into(),
        7 => "false".into(),
        8 => "nil".into(),
        9 if depth > 0 => format!("{{a={}}}", literal(rng, depth - 1)),
        _ if depth > 0 => {
            let items: Vec<String> = (0..rng.below(4)).map(|_| literal(rng, depth - 1)).collect();
            format!("{{{}}}", items.join(", "))
        }
        _ => pick(
            rng,
            &["{}", "''", "cjson.null", "cjson.empty_array", "{{}}", "{[3]=1}", "{1, nil, 3}"],
        ),
    }
}

fn json(rng: &mut Rng) -> String {
    pick(
        rng,
        &[
            "[]",
            "{}",
            "[1,2.5,-3,1e3]",
            "{\"a\":1}",
            "{\"a\":{\"b\":[null,true,false]}}",
            "\"x\\u00e9\\n\\/\"",
            "[1,",
            "{a:1}",
            "nul",
            // Not a number out of range: it leaves an errno in Redis that its next SORT takes for its own.
            "",
            "1",
            "null",
            " [ \"\" ] ",
            "[\"\\ud83d\\ude00\"]",
            "[[[[1]]]]",
            "0x10",
            "[1]x",
            "-0",
            "12345678901234567890",
        ],
    )
}

fn packed(rng: &mut Rng) -> String {
    let format = pick(
        rng,
        &[
            "i4", "I4", "h", "H", "b", "B", "l", "L", ">i2", "<I2", "d", "f", "c5", "s", "i8",
            ">I8", "!4i2i4", "x", "bi4", "c0", "i", "!8d", "z", "i33", ">!2hl",
        ],
    );
    let values = format!("{}, {}", literal(rng, 0), literal(rng, 0));
    match rng.below(3) {
        0 => format!("return struct.pack('{format}', {values})"),
        1 => format!("return struct.size('{format}')"),
        _ => format!("return {{struct.unpack('{format}', struct.pack('{format}', {values}))}}"),
    }
}

fn bits(rng: &mut Rng) -> String {
    let name = pick(
        rng,
        &[
            "band", "bor", "bxor", "bnot", "lshift", "rshift", "arshift", "rol", "ror", "bswap",
            "tohex", "tobit",
        ],
    );
    format!("return bit.{name}({}, {})", literal(rng, 0), number(rng))
}

/// Replies that are made of tables.
fn shaped(rng: &mut Rng) -> String {
    let start = if rng.chance(50) { "redis.setresp(3) " } else { "" };
    let reply = pick(
        rng,
        &[
            "redis.error_reply('My Err')",
            "redis.error_reply('-X y')",
            "redis.error_reply('')",
            "redis.error_reply()",
            "redis.status_reply('fine')",
            "redis.status_reply('a\\r\\nb')",
            "redis.status_reply(1)",
            "{err='ERR x'}",
            "{err='x\\ny'}",
            "{ok='fine'}",
            "{ok=1}",
            "{double=1.5}",
            "{double=1/0}",
            "{double='x'}",
            "{map={a=1}}",
            "{map={a={1, 2}}}",
            "{map=1}",
            "{set={a=true}}",
            "{set={}}",
            "{big_number='123456789012345678901234567890'}",
            "{big_number='1\\r\\n2'}",
            "{verbatim_string={format='txt', string='x'}}",
            "{verbatim_string={format='toolong', string='x'}}",
            "{verbatim_string={string='x'}}",
            "true",
            "false",
            "nil",
            "3.99",
            "-3.99",
            "{1, nil, 3}",
            "{1, {2, {3, 'x'}}, false, true}",
            "{a=1}",
            "{[1]='a', [3]='c'}",
            "function() end",
            "1, 2",
            "math.huge",
            "'a', 'b'",
        ],
    );
    format!("{start}return {reply}")
}

const UNFIT_ARGUMENTS: [&str; 4] = [
    "return redis.call('PING', {})",
    "return redis.call('SET', 's0', true)",
    "return redis.call('GET', nil)",
    "return redis.pcall({}, 'x')",
];

fn library_call(rng: &mut Rng, arg: &str) -> String {
    match rng.below(8) {
        0 => format!("return redis.sha1hex({})", literal(rng, 0)),
        1 => format!("return tostring({})", float(rng)),
        2 => format!("return tonumber({})", quoted(integer(rng).as_bytes())),
        3 => format!(
            "return string.format('%{}', {})",
            pick(rng, &["d", "5.2f", "g", ".17g", "s", "q", "x", "c"]),
            literal(rng, 0)
        ),
        4 => format!("return {arg}"),
        5 => format!("error({})", literal(rng, 0)),
        6 => format!(
            "return {{math.floor({}), math.max({}, 1), string.rep('x', 3)}}",
            number(rng),
            number(rng)
        ),
        _ => pick(
            rng,
            &[
                "error({err='MY Err'})",
                "error({err='MY Err', x=1})",
                "error({})",
                "return nosuch",
                "nosuch = 1",
                "return",
                "return )",
                "",
                "assert(false, 'no')",
                "assert(nil)",
                "return redis.nosuch()",
                "return redis.call()",
                "return redis.call(1)",
                "return redis.call('SET', 's0', 1.5)",
                "return redis.pcall('nosuch')",
                "return redis.pcall('SET', 's0')",
                "return {redis.REDIS_VERSION_NUM > 0, redis.LOG_WARNING}",
                "redis.log(redis.LOG_DEBUG, 'x')",
                "redis.log('x')",
                "redis.setresp(4)",
                "redis.setresp()",
                "return redis.replicate_commands()",
                "redis.set_repl(redis.REPL_ALL)",
                "redis.set_repl(99)",
                "return loadstring('return 1 + 1')()",
                "return #string.rep('x', 100)",
                "return table.concat({1, 2, 'x'}, '-')",
                "return {unpack({1, 2, 3})}",
                "return select('#', 1, nil, 2)",
                "return type(redis.breakpoint)",
                "return redis.acl_check_cmd('GET', 's0')",
                "return redis.acl_check_cmd('nosuch')",
                "return {pcall(redis.call, 'nosuch')}",
                "local a = {} a.a = a return a",
                "return redis.call('EVAL', 'return 1', '0')",
                "string.x = 1",
                "redis.call = nil",
                "return getmetatable('').__index == string",
                "return os.clock() > 0",
                "return print",
                "return tostring(nil) .. 1",
                "return {} .. 1",
                "return 1 < 'x'",
                "return ('x'):rep(3)",
            ],
        ),
    }
}
