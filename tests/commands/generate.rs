//! Random commands from `forms.grammar`: mostly valid, often at a boundary, sometimes broken.
//!
//! Times of expiry are far away or in the past, never in between, and relative ones are never
//! equal: what happens must not depend on which server was a millisecond later.

use crate::support::rng::Rng;

/// How the replies of two servers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Exact,
    Unordered,
    Pairs,
    Shape,
    /// `Shape`, and the keys are made equal afterwards.
    CopyEffect,
    Time,
    Page,
    PageOfPairs,
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) connection: usize,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) check: Check,
}

#[derive(Debug)]
enum Node {
    Word(Vec<String>),
    Key(char),
    Argument(String),
    Perhaps(Vec<Self>),
    Repeat(Vec<Self>),
    Counted(Vec<Self>),
    Either(Vec<Vec<Self>>),
}

pub(crate) struct Form {
    check: Check,
    breakable: bool,
    nodes: Vec<Node>,
}

/// The forms of all groups, or of those that `FORMS=strings,keys` names.
pub(crate) fn forms() -> Vec<Form> {
    let wanted = std::env::var("FORMS").ok();
    let mut group = "";
    let mut forms = Vec::new();
    for line in include_str!("forms.grammar").lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            group = heading;
        } else if !line.is_empty() && !line.starts_with('#') {
            let form = form(line);
            if wanted.as_ref().is_none_or(|names| names.split(',').any(|name| name == group)) {
                forms.push(form);
            }
        }
    }
    assert!(!forms.is_empty(), "FORMS={wanted:?} names no group of forms.grammar");
    forms
}

fn form(line: &str) -> Form {
    let (mark, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no form in {line}"));
    let check = match mark.trim_start_matches('b') {
        "=" => Check::Exact,
        "~" => Check::Unordered,
        "%" => Check::Pairs,
        "?" => Check::Shape,
        "!" => Check::CopyEffect,
        "t" => Check::Time,
        "c" => Check::Page,
        "C" => Check::PageOfPairs,
        _ => panic!("no such comparison: {line}"),
    };
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let mut at = 0;
    let nodes = sequence(&words, &mut at, &[]);
    assert_eq!(at, words.len(), "unbalanced brackets: {line}");
    Form { check, breakable: !mark.starts_with('b'), nodes }
}

fn sequence(words: &[&str], at: &mut usize, ends: &[&str]) -> Vec<Node> {
    let mut nodes = Vec::new();
    while let Some(&word) = words.get(*at) {
        if ends.contains(&word) {
            return nodes;
        }
        *at += 1;
        let mut group = |end: &str| {
            let inner = sequence(words, at, &[end]);
            *at += 1;
            inner
        };
        nodes.push(match word {
            "[" => Node::Perhaps(group("]")),
            "{" => Node::Repeat(group("}")),
            "#{" => Node::Counted(group("}")),
            "(" => {
                let mut choices = Vec::new();
                loop {
                    choices.push(sequence(words, at, &["/", ")"]));
                    *at += 1;
                    if words[*at - 1] == ")" {
                        break;
                    }
                }
                Node::Either(choices)
            }
            _ => match (word.strip_prefix('$'), word.strip_prefix('@')) {
                (Some(kind), _) => Node::Key(kind.chars().next().unwrap_or('k')),
                (_, Some(kind)) => Node::Argument(kind.to_owned()),
                _ => Node::Word(word.split('|').map(ToOwned::to_owned).collect()),
            },
        });
    }
    nodes
}

pub(crate) fn command(forms: &[Form], rng: &mut Rng) -> Command {
    let form = rng.pick(forms);
    let mut args = Vec::new();
    write(&form.nodes, rng, &mut args);
    if form.breakable && rng.chance(5) {
        damage(&mut args, rng);
    }
    let connection = usize::from(rng.chance(15));
    Command { connection, args, check: form.check }
}

fn write(nodes: &[Node], rng: &mut Rng, args: &mut Vec<Vec<u8>>) {
    for node in nodes {
        match node {
            Node::Word(words) => args.push(rng.pick(words).clone().into_bytes()),
            Node::Key(kind) => args.push(key(*kind, rng)),
            Node::Argument(kind) => args.push(argument(kind, rng)),
            Node::Perhaps(inner) => {
                if rng.chance(40) {
                    write(inner, rng, args);
                }
            }
            Node::Repeat(inner) => {
                for _ in 0..repetitions(rng) {
                    write(inner, rng, args);
                }
            }
            Node::Counted(inner) => {
                let count = repetitions(rng).min(3);
                let said = if rng.chance(4) { rng.below(5) } else { count };
                args.push(said.to_string().into_bytes());
                for _ in 0..count {
                    write(inner, rng, args);
                }
            }
            Node::Either(choices) => {
                let at = rng.below(choices.len());
                write(&choices[at], rng, args);
            }
        }
    }
}

fn repetitions(rng: &mut Rng) -> usize {
    match rng.below(20) {
        0..10 => 1,
        10..16 => 2,
        16..19 => 3,
        _ => 8,
    }
}

/// Drops, doubles, replaces or adds an argument.
fn damage(args: &mut Vec<Vec<u8>>, rng: &mut Rng) {
    const GARBAGE: [&str; 7] = ["", "x", "-", "1.5", "abc", "(", "nan"];
    let at = rng.below(args.len());
    match rng.below(5) {
        0 if args.len() > 1 => {
            args.remove(at.max(1));
        }
        1 => args.insert(at, args[at].clone()),
        2 if at > 0 => args[at] = rng.pick(&GARBAGE).as_bytes().to_vec(),
        3 => args[0] = args[0].to_ascii_lowercase(),
        _ => args.push(rng.pick(&GARBAGE).as_bytes().to_vec()),
    }
}

fn key(kind: char, rng: &mut Rng) -> Vec<u8> {
    const KINDS: [char; 7] = ['s', 'h', 'l', 't', 'z', 'k', 'x'];
    let kind = match rng.below(100) {
        _ if kind == 'k' => *rng.pick(&KINDS),
        _ if kind == 'y' || kind == 'p' => kind,
        0..75 => kind,
        75..88 => 'k',
        _ => *rng.pick(&KINDS),
    };
    format!("{kind}{}", rng.below(4)).into_bytes()
}

fn argument(kind: &str, rng: &mut Rng) -> Vec<u8> {
    let far = |rng: &mut Rng| 100 + rng.below(100_000_000);
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
        "scancount" => pick(rng, &["1000", "1000", "1000", "1000", "0", "-1", "x"]),
        "cursor" => pick(rng, &["0", "0", "0", "0", "0", "0", "0", "0", "x", "-1", ""]),
        "database" => match rng.below(12) {
            0 => pick(rng, &["-1", "16", "x", "99999999999"]),
            1..4 => "1".into(),
            4 => "2".into(),
            _ => "0".into(),
        },
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
        "unixms" => (9_000_000_000_000 + rng.below(4)).to_string(),
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

fn pick(rng: &mut Rng, choices: &[&str]) -> String {
    (*rng.pick(choices)).to_owned()
}

fn content(kind: &str, rng: &mut Rng) -> Vec<u8> {
    match rng.below(24) {
        0 => Vec::new(),
        1 => b"\x00\xff\r\n".to_vec(),
        2 => vec![b'x'; *rng.pick(&[20, 44, 45, 63, 64, 65, 300])],
        3 => integer(rng).into_bytes(),
        4 => float(rng).into_bytes(),
        5..9 => rng.below(14).to_string().into_bytes(),
        _ => format!("{}{}", kind.chars().next().unwrap_or('v'), rng.below(9)).into_bytes(),
    }
}

fn integer(rng: &mut Rng) -> String {
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

fn float(rng: &mut Rng) -> String {
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
