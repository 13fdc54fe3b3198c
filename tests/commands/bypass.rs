//! Nobody gets past the access control lists: every command of the table, with the arguments that the random
//! tests give it, is refused to a user who lacks the command, one of its keys, one kind of access, or its channels;
//! sent alone, queued in a transaction, and called from a script.
//!
//! That it can fail was tried by hand on 2026-11-29, with `Selector::check` (`src/acl/selector.rs`) changed so that it
//! does not look at the keys of one command: for each of the 208 commands with keys, one after the other, it
//! failed (`getex` gave 48 requests that were not refused, `eval` 45, `sort` 40).

use std::collections::BTreeMap;

use super::generate;
use super::support::client::Client;
use super::support::peers;
use super::support::reply::Reply;
use super::support::rng::Rng;
use super::support::server::Server;

/// Requests of each command that are tried.
const SAMPLES_MAX: usize = 4;
const REQUESTS: usize = 6_000;

/// EXEC that may not be is an end of the transaction, too.
const ABORTED: &str = "EXECABORT Transaction discarded because of: NOPERM";

type Request = Vec<Vec<u8>>;

/// A command or subcommand.
struct Row {
    /// As ACL rules name it: `get`, `config|set`.
    name: String,
    arity: i64,
    flags: Vec<String>,
    /// The table says where its keys are.
    has_keys: bool,
    /// It has subcommands, and is a command without one.
    container: bool,
}

fn rows(client: &mut Client) -> Vec<Row> {
    let mut rows = Vec::new();
    for command in client.must("COMMAND").items() {
        enter(command, &mut rows);
    }
    rows
}

fn enter(command: &Reply, rows: &mut Vec<Row>) {
    let items = command.items();
    let subcommands = items[9].items();
    for subcommand in subcommands {
        enter(subcommand, rows);
    }
    // A container alone does nothing, but for those that are commands, too.
    let row = Row {
        name: items[0].text().unwrap(),
        arity: items[1].int().unwrap(),
        flags: items[2].items().iter().map(|flag| flag.text().unwrap()).collect(),
        // Channels of shards are found as keys are, and are none.
        has_keys: items[8].items().iter().any(|spec| !spec.to_string().contains("not_key")),
        container: !subcommands.is_empty(),
    };
    if subcommands.is_empty() || row.arity.abs() == 1 {
        rows.push(row);
    }
}

impl Row {
    fn words(&self) -> Vec<&str> {
        self.name.split('|').collect()
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    /// The command with as many arguments as it needs.
    fn plainest(&self) -> Request {
        let mut request: Request =
            self.words().iter().map(|word| word.as_bytes().to_vec()).collect();
        request.resize(request.len().max(self.arity.unsigned_abs() as usize), b"1".to_vec());
        request
    }

    /// Whether another number of arguments would be refused for that.
    fn takes(&self, request: &Request) -> bool {
        let len = request.len() as i64;
        if self.container {
            // Another word would be a subcommand.
            return len == 1;
        }
        if self.arity < 0 { len >= -self.arity } else { len == self.arity }
    }
}

/// Random requests, by the name of the row they belong to.
fn samples(rows: &[Row]) -> BTreeMap<&str, Vec<Request>> {
    let mut samples: BTreeMap<&str, Vec<Request>> = BTreeMap::new();
    for row in rows {
        samples.entry(&row.name).or_default().push(row.plainest());
    }
    // The random ones have no keys of their own.
    let eval = ["EVAL", "return 1", "2", "one", "two"].map(|word| word.as_bytes().to_vec());
    samples.entry("eval").or_default().push(eval.to_vec());
    let names = rows.iter().map(|row| row.name.as_bytes());
    let by_name: BTreeMap<&[u8], usize> = names.zip(0..).collect();
    let (forms, mut rng) = (generate::forms(), Rng::new(7));
    for _ in 0..REQUESTS {
        let request = generate::command(&forms, &mut rng).args;
        let named = |len: usize| {
            let words = request.get(..len)?.join(&b'|').to_ascii_lowercase();
            let index = *by_name.get(words.as_slice())?;
            Some(&rows[index])
        };
        let Some(row) = named(2).or_else(|| named(1)).filter(|row| row.takes(&request)) else {
            continue;
        };
        let own = samples.entry(&row.name).or_default();
        if own.len() < SAMPLES_MAX && own.iter().all(|other| other.len() != request.len()) {
            own.push(request);
        }
    }
    samples
}

/// One user who never may, and the one who says what he may.
struct Bench {
    admin: Client,
    user: Client,
    tried: usize,
    wrong: Vec<String>,
}

impl Bench {
    fn rules(&mut self, rules: &[Vec<u8>]) {
        let mut request: Request = vec![b"ACL".to_vec(), b"SETUSER".to_vec(), b"eve".to_vec()];
        request.extend([&b"reset"[..], b"on", b"nopass"].map(<[u8]>::to_vec));
        request.extend(rules.iter().cloned());
        let reply = self.admin.call(&request).unwrap();
        assert!(!reply.is_error(), "{rules:?}: {reply}");
        self.user.must("AUTH eve x");
    }

    /// Tries a request that lacks what `what` says, in all ways.
    fn refuses(&mut self, row: &Row, request: &Request, what: &str) {
        self.tried += 1;
        let reply = self.user.call(request).unwrap();
        self.expect("NOPERM", &reply, request, what);
        // What is done at once, inside a transaction too, tells nothing of queueing.
        if !row.has("no_multi") && !["multi", "exec", "discard"].contains(&row.name.as_str()) {
            self.user.must("MULTI");
            let reply = self.user.call(request).unwrap();
            self.expect("NOPERM", &reply, request, &format!("{what}, in MULTI"));
            let reply = self.user.line("EXEC").unwrap();
            self.expect("EXECABORT", &reply, request, &format!("{what}, at EXEC"));
        }
        let script = "return redis.call(unpack(ARGV))";
        let mut call: Request = vec![b"EVAL".to_vec(), script.into(), b"0".to_vec()];
        call.extend(request.iter().cloned());
        let reply = self.user.call(&call).unwrap();
        let refusal = if row.has("noscript") { "not allowed from script" } else { "NOPERM" };
        let reply_text = reply.to_string();
        if !reply_text.contains(refusal) && !reply_text.contains("ACL failure in script") {
            self.note(request, &format!("{what}, in a script"), &reply);
        }
    }

    fn expect(&mut self, start: &str, reply: &Reply, request: &Request, what: &str) {
        let is_as_expected =
            matches!(reply, Reply::Error(text) if text.starts_with(start.as_bytes()));
        if !is_as_expected {
            self.note(request, what, reply);
        }
    }

    fn note(&mut self, request: &Request, what: &str, reply: &Reply) {
        let words: Vec<_> = request.iter().map(|arg| arg.escape_ascii().to_string()).collect();
        self.wrong.push(format!("{}: without {what}: {reply}", words.join(" ")));
    }

    /// The keys of a request and what it does to them, as the server says.
    fn keys(&mut self, request: &Request) -> Vec<(Vec<u8>, Vec<String>)> {
        let mut question: Request = vec![b"COMMAND".to_vec(), b"GETKEYSANDFLAGS".to_vec()];
        question.extend(request.iter().cloned());
        let reply = self.admin.call(&question).unwrap();
        if reply.is_error() {
            return Vec::new();
        }
        let key = |item: &Reply| {
            let flags = item.items()[1].items().iter().map(|flag| flag.text().unwrap()).collect();
            (item.items()[0].bytes().unwrap().to_vec(), flags)
        };
        reply.items().iter().map(key).collect()
    }
}

fn rule(start: &str, rest: &[u8]) -> Vec<u8> {
    [start.as_bytes(), rest].concat()
}

/// A pattern that matches this key only.
fn only(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|byte| [b'\\', *byte]).collect()
}

/// Returns how many of the request's keys were taken away.
fn check_keys(bench: &mut Bench, row: &Row, request: &Request) -> usize {
    let mut taken = 0;
    let keys = bench.keys(request);
    let all: Vec<Vec<u8>> = vec![b"+@all".to_vec(), b"&*".to_vec()];
    for (key, flags) in &keys {
        // Rules end at blanks; an empty pattern is none.
        if key.is_empty() || keys.iter().any(|(key, _)| key.contains(&b' ') || key.contains(&0)) {
            continue;
        }
        let others = keys.iter().map(|(other, _)| other).filter(|other| *other != key);
        let mut rules = all.clone();
        rules.extend(others.map(|other| rule("~", &only(other))));
        bench.rules(&rules);
        bench.refuses(row, request, &format!("key {}", key.escape_ascii()));
        taken += 1;
        let has = |wanted: &[&str]| flags.iter().any(|flag| wanted.contains(&flag.as_str()));
        for (needed, given) in
            [(has(&["access"]), "%W~*"), (has(&["insert", "update", "delete"]), "%R~*")]
        {
            if needed {
                bench.rules(&[all.clone(), vec![given.into()]].concat());
                bench.refuses(row, request, &format!("access other than {given}"));
            }
        }
    }
    taken
}

#[test]
fn no_command_gets_past_the_access_control_lists() {
    let server = Server::start(
        &peers::fastness(),
        &["enable-debug-command yes", "enable-module-command yes", "save "],
    );
    let (mut admin, mut user) = (server.client(), server.client());
    admin.must("ACL SETUSER eve on nopass +@all ~* &*");
    user.must("AUTH eve x");
    let rows = rows(&mut admin);
    assert!(rows.len() > 350, "{} commands", rows.len());
    let mut bench = Bench { admin, user, tried: 0, wrong: Vec::new() };
    // Commands with keys of which none was ever taken away: nothing was shown of them.
    let mut untried = Vec::new();
    for (name, requests) in samples(&rows) {
        let row = rows.iter().find(|row| row.name == name).unwrap();
        // What anybody may, to become somebody.
        if row.has("no_auth") {
            continue;
        }
        let everything = ["+@all", "~*", "&*"].map(|rule| rule.as_bytes().to_vec());
        let mut taken = 0;
        for request in &requests {
            bench.rules(&[&everything[..], &[rule("-", row.name.as_bytes())]].concat());
            // Those that the checks themselves are made of cannot be tried in their own absence.
            match name {
                "multi" | "exec" | "eval" => {
                    let reply = bench.user.call(request).unwrap();
                    let start = if name == "exec" { ABORTED } else { "NOPERM" };
                    bench.expect(start, &reply, request, "the command");
                }
                _ => bench.refuses(row, request, "the command"),
            }
            if !["multi", "exec"].contains(&name) {
                taken += check_keys(&mut bench, row, request);
            }
            let subscribes = ["publish", "spublish", "subscribe", "psubscribe", "ssubscribe"];
            if subscribes.contains(&name) {
                bench.rules(
                    &[&everything[..2], &[b"resetchannels".to_vec(), b"&another".to_vec()]]
                        .concat(),
                );
                bench.refuses(row, request, "the channel");
            }
        }
        if row.has_keys && taken == 0 {
            untried.push(name);
        }
    }
    let Bench { tried, wrong, .. } = bench;
    assert!(tried > 1500, "{tried} requests tried");
    assert!(untried.is_empty(), "no key of these was taken away: {untried:?}");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}
