//! The arguments that `forms.grammar` names with `@`: mostly valid, often at a boundary.
//!
//! Times of expiry are far away or in the past, never in between: see `mod.rs`.

use crate::support::rng::Rng;

pub(super) fn argument(kind: &str, rng: &mut Rng) -> Vec<u8> {
    match kind {
        "value" | "field" | "member" => return content(kind, rng),
        "pattern" => pick(rng, &["*", "*", "*0", "s*", "f?", "[hz]*", "m[1-4]", "", "\\*", "1*"]),
        "int" => integer(rng),
        "float" => float(rng),
        "score" if rng.chance(60) => (rng.below(7) as i64 - 1).to_string(),
        "score" => float(rng),
        "offset" => pick(rng, &["0", "1", "3", "7", "30", "-1", "536870912", "x", ""]),
        "bit" => pick(rng, &["0", "1", "7", "8", "13", "31", "100", "#1", "-1", "x", "4294967296"]),
        "flag" => pick(rng, &["0", "1", "0", "1", "0", "1", "2", "x"]),
        "index" => match rng.below(20) {
            0 => integer(rng),
            1 => pick(rng, &["x", "", "1.5", "100", "-100"]),
            _ => (rng.below(11) as i64 - 5).to_string(),
        },
        "count" => match rng.below(12) {
            0 => pick(rng, &["x", "", "-1", "-3", "100", "-9223372036854775808"]),
            _ => rng.below(6).to_string(),
        },
        "scancount" => pick(rng, &["99999", "99999", "99999", "99999", "0", "-1", "x"]),
        "rank" => pick(rng, &["0", "1", "5", "30", "128", "300", "-1", "-2", "-20", "-129", "x"]),
        "unique" => format!("u{}", rng.below(3000)),
        "number" => rng.below(3000).to_string(),
        "limit" => pick(rng, &["0", "1", "3", "5", "16", "64", "128", "512", "-1", "x", ""]),
        "listlimit" => pick(rng, &["-1", "-2", "-3", "-5", "-6", "1", "2", "4", "16", "128", "x"]),
        "user" => format!("u{}", rng.below(2)),
        "rule" => rule(rng),
        "permission" => loop {
            let rule = rule(rng);
            if rule.starts_with(['+', '-', '~', '%', '&', 'a']) {
                break rule;
            }
        },
        "longitude" | "latitude" => place(kind, rng),
        "radius" => pick(rng, &["0", "100", "500.5", "1000000", "300", "2000", "-1", "x"]),
        "library-name" => format!("lib{}", rng.below(2)),
        "function" => format!("f{}", rng.below(3)),
        "cursor" => pick(rng, &["0", "0", "0", "0", "0", "0", "0", "0", "x", "-1", ""]),
        "database" => match rng.below(12) {
            0 => pick(rng, &["-1", "16", "x", "99999999999"]),
            1..4 => "1".into(),
            4 => "2".into(),
            _ => "0".into(),
        },
        "timeout" | "seconds" | "millis" | "unix" | "unixms" => time(kind, rng),
        "bound" => match rng.below(12) {
            0 => "-inf".into(),
            1 => "+inf".into(),
            2 => pick(rng, &["x", "", "(", "(x", "nan", "inf", "(inf", "[1"]),
            3..6 => format!("({}", rng.below(6)),
            _ => (rng.below(8) as i64 - 1).to_string(),
        },
        "id" | "newid" | "idbound" | "readid" | "groupid" | "threshold" => stream_id(kind, rng),
        "group" => format!("g{}", rng.below(3)),
        "consumer" => format!("c{}", rng.below(3)),
        // Nothing that a millisecond more or less decides.
        "idle" => pick(rng, &["0", "0", "0", "0", "100000000", "-1", "x"]),
        "lex" => match rng.below(10) {
            0 => "-".into(),
            1 => "+".into(),
            2 => pick(rng, &["x", "", "[", "(", "--", "+a"]),
            3..6 => format!("(m{}", rng.below(8)),
            _ => format!("[m{}", rng.below(8)),
        },
        _ => panic!("no such argument in forms.grammar: @{kind}"),
    }
    .into_bytes()
}

fn place(kind: &str, rng: &mut Rng) -> String {
    match (kind, rng.below(20)) {
        ("longitude", 0) => pick(rng, &["180", "-180", "180.0001", "x", "", "nan"]),
        (_, 0) => pick(rng, &["85.05112878", "-85.05112878", "86", "x", "", "inf"]),
        _ => format!("{}.{}", rng.below(21) as i64 - 10, rng.below(1000)),
    }
}

fn time(kind: &str, rng: &mut Rng) -> String {
    let far = |rng: &mut Rng| 100 + rng.below(100_000_000);
    match kind {
        "timeout" => pick(rng, &["0.001", "0.001", "0.001", "-1", "x"]),
        "seconds" | "millis" if rng.chance(25) => {
            pick(rng, &["0", "-1", "x", "9223372036854775807", "-9223372036854775808", "1e3"])
        }
        "seconds" => far(rng).to_string(),
        "millis" => (far(rng) * 1009).to_string(),
        "unix" | "unixms" if rng.chance(20) => {
            pick(rng, &["0", "1", "-1", "x", "9223372036854775807"])
        }
        "unix" => (9_000_000_000 + rng.below(4)).to_string(),
        _ => (9_000_000_000_000 + rng.below(4)).to_string(),
    }
}

/// Ids mostly of one millisecond, so that new ones are mostly greater than old ones.
fn stream_id(kind: &str, rng: &mut Rng) -> String {
    let usual = format!("9-{}", rng.below(40));
    let any = match rng.below(20) {
        0 => pick(rng, &["x", "", "-", "+", "9-", "0-0", "18446744073709551615-0", "9-x"]),
        1..4 => rng.below(12).to_string(),
        4 => format!("{}-{}", rng.below(300), rng.below(3)),
        _ => usual,
    };
    match (kind, rng.below(20)) {
        ("newid", 0..13) => "9-*".into(),
        ("newid", 13..15) => format!("{}-*", rng.below(14)),
        ("idbound", 0..3) => pick(rng, &["-", "+"]),
        ("idbound", 3..6) => format!("({any}"),
        ("readid", 0..3) => pick(rng, &["$", "+", ">"]),
        ("groupid", 0..4) => "$".into(),
        ("groupid", 4..9) => "0".into(),
        ("threshold", 0..10) => rng.below(12).to_string(),
        _ => any,
    }
}

/// What ACL SETUSER takes.
fn rule(rng: &mut Rng) -> String {
    const RULES: [&str; 52] = [
        "on",
        "off",
        "nopass",
        "resetpass",
        ">p0",
        ">p1",
        "<p0",
        "<p1",
        "~*",
        "~s*",
        "%R~h*",
        "%W~l*",
        "%RW~z*",
        "resetkeys",
        "allkeys",
        "+@all",
        "-@all",
        "allcommands",
        "nocommands",
        "+get",
        "-get",
        "+set",
        "-set",
        "+@read",
        "-@read",
        "+@write",
        "-@write",
        "+@string",
        "-@dangerous",
        "+@fast",
        "-@hash",
        "+config|get",
        "-config|get",
        "-config",
        "+config",
        "+client|id",
        "-client",
        "&ch*",
        "allchannels",
        "resetchannels",
        "&*",
        "(+@all -get)",
        "(~s* +get &c)",
        "clearselectors",
        "reset",
        "+nosuch",
        "x",
        "%",
        "+@nosuch",
        "+get|x",
        "-acl|nosuch",
        "(",
    ];
    pick(rng, &RULES)
}

pub(super) fn pick(rng: &mut Rng, choices: &[&str]) -> String {
    (*rng.pick(choices)).to_owned()
}

pub(super) fn content(kind: &str, rng: &mut Rng) -> Vec<u8> {
    match rng.below(24) {
        0 => Vec::new(),
        // SORT ALPHA compares up to the first NUL only, and then in no order.
        1 => b"v\x00\xff\r\n".to_vec(),
        2 => vec![b'x'; *rng.pick(&[20, 44, 45, 63, 64, 65, 300, 300, 2500])],
        3 => integer(rng).into_bytes(),
        4 => float(rng).into_bytes(),
        5..9 => rng.below(14).to_string().into_bytes(),
        _ => format!("{}{}", kind.chars().next().unwrap_or('v'), rng.below(9)).into_bytes(),
    }
}

pub(super) fn integer(rng: &mut Rng) -> String {
    const EDGES: [&str; 18] = [
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "4294967296",
        "2147483648",
        "-2147483649",
        "32768",
        "-32769",
        "65536",
        "8191",
        "-129",
        "128",
        "x",
        "",
        "1.5",
        "+1",
        "01",
        " 1",
    ];
    if rng.chance(20) { pick(rng, &EDGES) } else { (rng.below(21) as i64 - 8).to_string() }
}

pub(super) fn float(rng: &mut Rng) -> String {
    const EDGES: [&str; 20] = [
        "0.1",
        "0.2",
        "-0.3",
        "1e3",
        "3.0",
        "-0",
        "inf",
        "-inf",
        "+inf",
        "nan",
        "x",
        "",
        "1e-5",
        "1.25",
        "-2.5",
        "1e17",
        "123456789.123",
        " 1",
        "5.",
        "1e400",
    ];
    if rng.chance(50) { pick(rng, &EDGES) } else { (rng.below(21) as i64 - 8).to_string() }
}
