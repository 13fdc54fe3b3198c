//! Random commands from `forms.grammar`: mostly valid, often at a boundary, sometimes broken.
//!
//! Times of expiry are far away or in the past, never in between, and relative ones are never
//! equal: what happens must not depend on which server was a millisecond later.

mod arguments;
mod lua;

use crate::support::rng::Rng;
use arguments::argument;

/// How the replies of two servers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Exact,
    Unordered,
    Pairs,
    Shape,
    /// `Shape`, and the keys are made equal afterwards.
    CopyEffect,
    /// `Shape`, and each server has to restore what the other one dumped.
    Dump,
    /// `Dump` of all functions.
    Functions,
    /// Only whether it is an error, and which.
    Failure,
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

impl Command {
    /// Whether the next command may be sent before this one is answered.
    pub(crate) fn may_be_followed(&self) -> bool {
        !matches!(self.check, Check::CopyEffect | Check::Dump | Check::Functions)
            && !self.args[0].eq_ignore_ascii_case(b"EXEC")
    }

    /// Whether it is left out of what is sent: its reply would differ, or never come.
    pub(crate) fn is_left_out(&self) -> bool {
        is_left_out(&self.args)
    }
}

#[derive(Debug)]
enum Node {
    Word(Vec<String>),
    Key(char),
    Argument(String),
    Perhaps(Vec<Self>),
    Repeat(Vec<Self>),
    Some(Vec<Self>),
    Many(Vec<Self>),
    Counted(Vec<Self>),
    Either(Vec<Vec<Self>>),
}

pub(crate) struct Form {
    check: Check,
    breakable: bool,
    /// Whether it is about data only: no scripts, users, connections, configuration.
    pub(crate) about_data: bool,
    /// Whether requests are made up inside of it.
    nests: bool,
    nodes: Vec<Node>,
}

impl Form {
    /// Whether a script may run it.
    fn suits_scripts(&self) -> bool {
        self.about_data && self.check == Check::Exact
    }
}

/// The forms that are about data only, for tests that have no second server to ask.
pub(crate) fn data_forms() -> Vec<Form> {
    let mut forms = forms();
    forms.retain(|form| form.about_data);
    forms
}

/// The forms of all groups, or of those that `FORMS=strings,keys` names.
pub(crate) fn forms() -> Vec<Form> {
    let wanted = std::env::var("FORMS").ok();
    let mut group = "";
    let mut forms = Vec::new();
    for line in include_str!("../forms.grammar").lines() {
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
    let check = match mark.trim_start_matches(['b', 'd']) {
        "=" => Check::Exact,
        "~" => Check::Unordered,
        "%" => Check::Pairs,
        "?" => Check::Shape,
        "!" => Check::CopyEffect,
        "D" => Check::Dump,
        "F" => Check::Functions,
        "e" => Check::Failure,
        "t" => Check::Time,
        "c" => Check::Page,
        "C" => Check::PageOfPairs,
        _ => panic!("no such comparison: {line}"),
    };
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let mut at = 0;
    let nodes = sequence(&words, &mut at, &[]);
    assert_eq!(at, words.len(), "unbalanced brackets: {line}");
    let made_up = |word: &&str| ["@request", "@script", "@library"].contains(word);
    Form {
        check,
        breakable: !mark.contains('b'),
        about_data: !mark.contains('d'),
        nests: words.iter().any(made_up),
        nodes,
    }
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
            "some{" => Node::Some(group("}")),
            "many{" => Node::Many(group("}")),
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

/// A command on one of two connections.
pub(crate) fn command(forms: &[Form], rng: &mut Rng) -> Command {
    let form = rng.pick(forms);
    let args = request(form, forms, rng);
    let connection = usize::from(rng.chance(15));
    let check = if shows_some_page(&args) { Check::Failure } else { form.check };
    Command { connection, args, check }
}

/// Whether it is a SCAN that goes on where none has ended, or one that may end before all is seen.
/// What comes then depends on the seed of the server's hash function.
fn shows_some_page(args: &[Vec<u8>]) -> bool {
    let at = match args[0].to_ascii_uppercase().as_slice() {
        b"SCAN" => 1,
        b"HSCAN" | b"SSCAN" | b"ZSCAN" => 2,
        _ => return false,
    };
    let mut counts = args.windows(2).filter(|pair| pair[0].eq_ignore_ascii_case(b"COUNT"));
    let shows_all = counts.next_back().is_some_and(|pair| pair[1].len() >= 4);
    !shows_all || args.get(at).is_some_and(|cursor| cursor != b"0")
}

/// Commands, with some of the same connection in a row.
pub(crate) fn commands(forms: &[Form], rng: &mut Rng, count: usize) -> Vec<Command> {
    let mut connection = 0;
    let mut in_transaction = [false; 2];
    let mut one = || {
        if rng.chance(4) {
            connection = usize::from(rng.chance(40));
        }
        let mut one = Command { connection, ..command(forms, rng) };
        match one.args[0].to_ascii_uppercase().as_slice() {
            b"MULTI" => in_transaction[connection] = true,
            b"EXEC" | b"DISCARD" | b"RESET" => in_transaction[connection] = false,
            // What is chosen can be made equal after EXEC only, and commands before that would see it.
            b"SPOP" if in_transaction[connection] => one = pops_all(one),
            _ => {}
        }
        one
    };
    (0..count).flat_map(|_| without_chance(one())).collect()
}

/// A command, behind what leaves nothing to chance: RANDOMKEY removes the dead keys that it comes across.
fn without_chance(one: Command) -> impl Iterator<Item = Command> {
    let picks = one.args[0].eq_ignore_ascii_case(b"RANDOMKEY");
    let removes_dead = picks.then(|| Command {
        connection: one.connection,
        args: ["SCAN", "0", "COUNT", "99999"].map(|word| word.as_bytes().to_vec()).into(),
        check: Check::Failure,
    });
    removes_dead.into_iter().chain([one])
}

fn pops_all(mut command: Command) -> Command {
    command.args.truncate(2);
    command.args.push(b"99999".to_vec());
    Command { check: Check::Unordered, ..command }
}

fn request(form: &Form, forms: &[Form], rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    write(&form.nodes, forms, rng, &mut args);
    if form.breakable && rng.chance(8) {
        // Which error wins when there are several?
        for _ in 0..*rng.pick(&[1, 1, 1, 2, 2, 3, 5]) {
            damage(&mut args, rng);
        }
    }
    if is_left_out(&args) {
        return vec![b"PING".to_vec()];
    }
    args
}

fn is_left_out(args: &[Vec<u8>]) -> bool {
    waits_for_ever(args) || expires_soon(args) || asks_of_newer(args) || sorts_by_nothing(args)
}

/// Whether damage makes it ask for a set's members in whatever order they are in.
fn sorts_by_nothing(args: &[Vec<u8>]) -> bool {
    let by = args.iter().skip(2).position(|arg| arg.eq_ignore_ascii_case(b"BY"));
    args[0].to_ascii_uppercase().starts_with(b"SORT")
        && by.and_then(|at| args.get(at + 3)).is_some_and(|pattern| {
            !pattern.contains(&b'*') && !pattern.eq_ignore_ascii_case(b"nosort")
        })
}

/// Whether a timeout is none, because of damage.
fn waits_for_ever(args: &[Vec<u8>]) -> bool {
    let name = args[0].to_ascii_uppercase();
    let long = |arg: Option<&Vec<u8>>, most: f64| {
        let text = arg.map(|arg| String::from_utf8_lossy(arg).trim().parse::<f64>());
        matches!(text, Some(Ok(time)) if time == 0.0 || time > most)
    };
    if name.starts_with(b"XREAD") {
        let block = args.iter().position(|arg| arg.eq_ignore_ascii_case(b"BLOCK"));
        return block.is_some_and(|at| long(args.get(at + 1), 1.0));
    }
    let blocks = name.starts_with(b"B") && !name.starts_with(b"BIT");
    blocks && (long(args.get(1), 0.001) || long(args.last(), 0.001))
}

/// Whether it is what the real server does not have yet (a range of BITCOUNT without an end; a second target of GEORADIUS that
/// counts as a key), or asks about commands that it does not have, or for all: how many there are, too.
fn asks_of_newer(args: &[Vec<u8>]) -> bool {
    let word = |at: usize| args.get(at).map(|word| word.to_ascii_uppercase());
    if args.len() == 3 && word(0).is_some_and(|name| name == b"BITCOUNT") {
        return true;
    }
    let words = || (0..args.len()).filter_map(word);
    let targets = words().filter(|word| matches!(word.as_slice(), b"STORE" | b"STOREDIST"));
    if targets.count() > 1 && words().any(|word| word.starts_with(b"GEORADIUS")) {
        return true;
    }
    word(0).is_some_and(|name| name == b"COMMAND")
        && (matches!(word(1).as_deref(), None | Some(b"INFO" | b"COUNT" | b"DOCS"))
            || (word(1).is_some_and(|name| name == b"LIST") && args.len() == 2)
            || word(2).is_some_and(|name| name == b"DIGEST"))
}

/// Whether something expires during the round, because of damage.
fn expires_soon(args: &[Vec<u8>]) -> bool {
    let soon = |at: usize| {
        let text = args.get(at).map(|arg| String::from_utf8_lossy(arg).parse::<i64>());
        matches!(text, Some(Ok(1..50_000)))
    };
    let option = |arg: &[u8]| arg.eq_ignore_ascii_case(b"EX") || arg.eq_ignore_ascii_case(b"PX");
    let name = args[0].to_ascii_uppercase();
    let by_position =
        name.ends_with(b"EXPIRE") || name == b"SETEX" || name == b"PSETEX" || name == b"RESTORE";
    (by_position && soon(2)) || (0..args.len()).any(|at| option(&args[at]) && soon(at + 1))
}

/// A request of another form, for those that contain one.
fn embedded(forms: &[Form], rng: &mut Rng, suits: impl Fn(&Form) -> bool) -> Vec<Vec<u8>> {
    for _ in 0..100 {
        let form = rng.pick(forms);
        if suits(form) && !form.nests {
            return request(form, forms, rng);
        }
    }
    vec![b"PING".to_vec()]
}

fn write(nodes: &[Node], forms: &[Form], rng: &mut Rng, args: &mut Vec<Vec<u8>>) {
    for node in nodes {
        match node {
            Node::Word(words) => args.push(rng.pick(words).clone().into_bytes()),
            Node::Key(kind) => args.push(key(*kind, rng)),
            Node::Argument(kind) if kind == "request" => {
                args.append(&mut embedded(forms, rng, |_| true));
            }
            Node::Argument(kind) if kind == "script" => args.push(lua::script(forms, rng)),
            Node::Argument(kind) if kind == "library" => args.push(lua::library(forms, rng)),
            Node::Argument(kind) if kind == "sha" => args.push(lua::sha(rng)),
            Node::Argument(kind) => args.push(argument(kind, rng)),
            Node::Perhaps(inner) => {
                if rng.chance(40) {
                    write(inner, forms, rng, args);
                }
            }
            Node::Repeat(inner) => {
                for _ in 0..repetitions(rng) {
                    write(inner, forms, rng, args);
                }
            }
            Node::Some(inner) => {
                for _ in 0..1 + rng.below(6) {
                    write(inner, forms, rng, args);
                }
            }
            Node::Many(inner) => {
                // Around the thresholds at which encodings change.
                for _ in 0..*rng.pick(&[4, 5, 6, 16, 17, 33, 64, 65, 128, 129, 200, 512, 513]) {
                    write(inner, forms, rng, args);
                }
            }
            Node::Counted(inner) => {
                let count = repetitions(rng).min(3);
                let said = if rng.chance(4) { rng.below(5) } else { count };
                args.push(said.to_string().into_bytes());
                for _ in 0..count {
                    write(inner, forms, rng, args);
                }
            }
            Node::Either(choices) => {
                let at = rng.below(choices.len());
                write(&choices[at], forms, rng, args);
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

/// Drops, doubles, replaces, swaps or adds an argument.
fn damage(args: &mut Vec<Vec<u8>>, rng: &mut Rng) {
    const GARBAGE: [&str; 14] =
        ["", "x", "-", "1.5", "abc", "(", "nan", "COUNT", "LIMIT", "-5", "0", "inf", "?", "99999"];
    let at = rng.below(args.len());
    match rng.below(7) {
        0 if args.len() > 1 => {
            args.remove(at.max(1));
        }
        1 => args.insert(at, args[at].clone()),
        2 | 3 if at > 0 => args[at] = rng.pick(&GARBAGE).as_bytes().to_vec(),
        4 if at > 0 => {
            let other = 1 + rng.below(args.len() - 1);
            args.swap(at, other);
        }
        5 => args[0] = args[0].to_ascii_lowercase(),
        _ => args.push(rng.pick(&GARBAGE).as_bytes().to_vec()),
    }
}

fn key(kind: char, rng: &mut Rng) -> Vec<u8> {
    const KINDS: [char; 7] = ['s', 'h', 'l', 't', 'z', 'k', 'x'];
    let kind = match rng.below(100) {
        _ if kind == 'k' => *rng.pick(&KINDS),
        _ if ['y', 'p', 'q'].contains(&kind) => kind,
        0..75 => kind,
        75..88 => 'k',
        _ => *rng.pick(&KINDS),
    };
    format!("{kind}{}", rng.below(4)).into_bytes()
}
