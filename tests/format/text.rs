//! A data set as text, one line per element, in the form of the rdb-*.txt vectors: from a server.

use super::support::client::Client;
use super::support::reply::Reply;

/// Bytes as text: printable ASCII as it is, the rest as \xNN.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.push_str(&format!("\\x{byte:02x}")),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + "\""
}

/// A score as text.
pub(crate) fn number(score: f64) -> String {
    if score.abs() < 1e16 || score.is_infinite() {
        format!("{score}")
    } else {
        format!("{score:e}").replace('e', "e+")
    }
}

pub(crate) fn expiry(at: i64) -> String {
    if at > 0 { format!(" expire {at}") } else { String::new() }
}

fn ask(server: &mut Client, words: &[&[u8]]) -> Reply {
    server.call(words).unwrap()
}

fn bytes(reply: &Reply) -> &[u8] {
    reply.bytes().unwrap_or_else(|| panic!("no text: {reply}"))
}

fn string(reply: &Reply) -> String {
    reply.text().unwrap_or_else(|| panic!("no text: {reply}"))
}

fn integer(reply: &Reply) -> i64 {
    reply.int().unwrap_or_else(|| panic!("no integer: {reply}"))
}

/// The value under a name in a flat list of names and values.
fn named<'a>(reply: &'a Reply, name: &str) -> &'a Reply {
    optional(reply, name).unwrap_or_else(|| panic!("no {name} in {reply}"))
}

fn optional<'a>(reply: &'a Reply, name: &str) -> Option<&'a Reply> {
    let found = reply.items().chunks(2).find(|pair| bytes(&pair[0]) == name.as_bytes());
    found.map(|pair| &pair[1])
}

fn sorted_by_name(reply: &Reply) -> Vec<Reply> {
    let mut items = reply.items().to_vec();
    items.sort_by_key(|item| bytes(named(item, "name")).to_vec());
    items
}

/// Everything a server holds.
pub(crate) fn of_server(server: &mut Client) -> String {
    let mut lines = Vec::new();
    for db in 0..16 {
        ask(server, &[b"SELECT", db.to_string().as_bytes()]);
        let mut keys = ask(server, &[b"KEYS", b"*"]).items().to_vec();
        keys.sort();
        if !keys.is_empty() {
            lines.push(format!("[db {db}]"));
        }
        for key in keys.iter().map(bytes) {
            let kind = string(&ask(server, &[b"TYPE", key]));
            let expire = integer(&ask(server, &[b"PEXPIRETIME", key]));
            lines.push(format!("{} {kind}{}", quoted(key), expiry(expire)));
            lines.extend(value(server, key, &kind).into_iter().map(|line| format!("  {line}")));
        }
    }
    for library in ask(server, &[b"FUNCTION", b"LIST", b"WITHCODE"]).items() {
        lines.push("[function]".to_owned());
        lines.push(quoted(bytes(named(library, "library_code"))));
    }
    lines.join("\n") + "\n"
}

fn value(server: &mut Client, key: &[u8], kind: &str) -> Vec<String> {
    let quoted_all = |items: &[Reply]| items.iter().map(|item| quoted(bytes(item))).collect();
    match kind {
        "string" => vec![quoted(bytes(&ask(server, &[b"GET", key])))],
        "list" => quoted_all(ask(server, &[b"LRANGE", key, b"0", b"-1"]).items()),
        "set" => {
            let mut items = ask(server, &[b"SMEMBERS", key]).items().to_vec();
            items.sort();
            quoted_all(&items)
        }
        "zset" => {
            let items = ask(server, &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]);
            let score = |reply: &Reply| number(string(reply).parse().unwrap());
            let line = |pair: &[Reply]| format!("{} {}", quoted(bytes(&pair[0])), score(&pair[1]));
            items.items().chunks(2).map(line).collect()
        }
        "hash" => hash(server, key),
        _ => stream(server, key),
    }
}

fn hash(server: &mut Client, key: &[u8]) -> Vec<String> {
    let items = ask(server, &[b"HGETALL", key]);
    let mut pairs: Vec<&[Reply]> = items.items().chunks(2).collect();
    pairs.sort();
    let mut line = |pair: &[Reply]| {
        let words: [&[u8]; 5] = [b"HPEXPIRETIME", key, b"FIELDS", b"1", bytes(&pair[0])];
        // An error where the server has no field expiry.
        let at = ask(server, &words).items().first().map_or(-1, integer);
        format!("{} {}{}", quoted(bytes(&pair[0])), quoted(bytes(&pair[1])), expiry(at))
    };
    pairs.into_iter().map(&mut line).collect()
}

fn stream(server: &mut Client, key: &[u8]) -> Vec<String> {
    let info = ask(server, &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
    let mut lines = vec![format!(
        "last {} first {} deleted {} added {}",
        string(named(&info, "last-generated-id")),
        string(named(&info, "recorded-first-entry-id")),
        string(named(&info, "max-deleted-entry-id")),
        integer(named(&info, "entries-added"))
    )];
    for entry in ask(server, &[b"XRANGE", key, b"-", b"+"]).items() {
        let fields: Vec<String> =
            entry.items()[1].items().iter().map(|item| quoted(bytes(item))).collect();
        lines.push(format!("entry {} {}", string(&entry.items()[0]), fields.join(" ")));
    }
    for group in sorted_by_name(named(&info, "groups")) {
        lines.push(format!(
            "group {} last {} read {}",
            quoted(bytes(named(&group, "name"))),
            string(named(&group, "last-delivered-id")),
            named(&group, "entries-read").int().unwrap_or(-1)
        ));
        for consumer in sorted_by_name(named(&group, "consumers")) {
            let seen = integer(named(&consumer, "seen-time"));
            let active = optional(&consumer, "active-time").map_or(seen, integer);
            let name = quoted(bytes(named(&consumer, "name")));
            lines.push(format!("consumer {name} seen {seen} active {active}"));
        }
        for pending in named(&group, "pending").items() {
            let [id, owner, time, count] = pending.items() else { panic!("{pending}") };
            let (owner, time, count) = (quoted(bytes(owner)), integer(time), integer(count));
            lines.push(format!("pending {} {owner} time {time} count {count}", string(id)));
        }
    }
    lines
}
