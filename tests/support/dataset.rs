//! Everything a server holds, as sorted text: what is compared after a restart, a reload, a crash
//! or between two servers. Orders that mean something (lists, sorted sets, streams) are kept,
//! orders that do not (sets, hashes) are sorted away.

use std::collections::BTreeMap;
use std::io;

use super::client::Client;
use super::reply::{Reply, escape};

/// What the dump tells beside the values.
#[derive(Clone, Copy)]
pub(crate) struct Detail {
    /// Times of expiry to the millisecond, or only whether there is one; times of delivery or none.
    pub(crate) expiry_times: bool,
    /// OBJECT ENCODING and DEBUG DIGEST-VALUE of every key.
    pub(crate) internals: bool,
}

pub(crate) const VALUES: Detail = Detail { expiry_times: true, internals: false };

pub(crate) type Dataset = BTreeMap<String, String>;

/// Reads all keys of all databases, in RESP2, on a connection of its own.
pub(crate) fn dump(client: &mut Client, detail: Detail) -> io::Result<Dataset> {
    let mut data = Dataset::new();
    for database in databases(client)? {
        client.line(&format!("SELECT {database}"))?;
        let keys = all_keys(client)?;
        for chunk in keys.chunks(256) {
            dump_chunk(client, database, chunk, detail, &mut data)?;
        }
    }
    client.line("SELECT 0")?;
    Ok(data)
}

fn databases(client: &mut Client) -> io::Result<Vec<u32>> {
    let info = client.line("INFO keyspace")?.text().unwrap_or_default();
    let found = info.lines().filter_map(|line| {
        let (name, _) = line.split_once(':')?;
        name.strip_prefix("db")?.parse().ok()
    });
    Ok(found.collect())
}

fn all_keys(client: &mut Client) -> io::Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    let mut cursor = String::from("0");
    loop {
        let reply = client.line(&format!("SCAN {cursor} COUNT 1000"))?;
        let [next, page] = reply.items() else {
            return Err(io::Error::other(format!("SCAN answered {reply}")));
        };
        keys.extend(page.items().iter().filter_map(|key| key.bytes().map(<[u8]>::to_vec)));
        cursor = next.text().unwrap_or_default();
        if cursor == "0" {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

fn dump_chunk(
    client: &mut Client,
    database: u32,
    keys: &[Vec<u8>],
    detail: Detail,
    data: &mut Dataset,
) -> io::Result<()> {
    let ask = |words: &[&str], key: &[u8]| -> Vec<Vec<u8>> {
        let mut request: Vec<Vec<u8>> = Vec::new();
        for word in words {
            request.push(if *word == "@" { key.to_vec() } else { word.as_bytes().to_vec() });
        }
        request
    };
    let types = client
        .pipeline(&keys.iter().map(|key| ask(&["TYPE", "@"], key)).collect::<Vec<_>>())?
        .into_iter()
        .map(|reply| reply.text().unwrap_or_default())
        .collect::<Vec<_>>();
    let mut requests = Vec::new();
    for (key, kind) in keys.iter().zip(&types) {
        requests.push(ask(&["PEXPIRETIME", "@"], key));
        requests.push(ask(value_request(kind), key));
        requests.push(ask(extra_request(kind), key));
        if detail.internals {
            requests.push(ask(&["OBJECT", "ENCODING", "@"], key));
            requests.push(ask(&["DEBUG", "DIGEST-VALUE", "@"], key));
        }
    }
    let replies = client.pipeline(&requests)?;
    let step = if detail.internals { 5 } else { 3 };
    for ((key, kind), replies) in keys.iter().zip(&types).zip(replies.chunks(step)) {
        if kind == "none" {
            continue; // It expired between SCAN and here.
        }
        let mut text = kind.clone();
        match replies[0].int() {
            Some(time) if time > 0 && detail.expiry_times => {
                text.push_str(&format!(" expires at {time}"));
            }
            Some(time) if time > 0 => text.push_str(" expires"),
            _ => {}
        }
        text.push_str(&value_text(kind, &replies[1], &replies[2], detail));
        if kind == "hash" {
            text.push_str(&field_expiries(client, key, detail, &replies[1])?);
        }
        if detail.internals {
            text.push_str(&format!(" encoding {} digest {}", replies[3], replies[4]));
        }
        data.insert(format!("db{database} {}", escape(key)), text);
    }
    Ok(())
}

fn value_request(kind: &str) -> &'static [&'static str] {
    match kind {
        "string" => &["GET", "@"],
        "list" => &["LRANGE", "@", "0", "-1"],
        "set" => &["SMEMBERS", "@"],
        "zset" => &["ZRANGE", "@", "0", "-1", "WITHSCORES"],
        "hash" => &["HGETALL", "@"],
        "stream" => &["XRANGE", "@", "-", "+"],
        _ => &["PING"],
    }
}

fn extra_request(kind: &str) -> &'static [&'static str] {
    match kind {
        "stream" => &["XINFO", "STREAM", "@", "FULL", "COUNT", "0"],
        _ => &["PING"],
    }
}

fn value_text(kind: &str, value: &Reply, extra: &Reply, detail: Detail) -> String {
    match kind {
        "set" => {
            let mut members: Vec<&Reply> = value.items().iter().collect();
            members.sort();
            members.iter().map(|member| format!(" {member}")).collect()
        }
        "hash" => {
            let mut pairs: Vec<&[Reply]> = value.items().chunks(2).collect();
            pairs.sort();
            pairs.iter().map(|pair| format!(" {}={}", pair[0], pair[pair.len() - 1])).collect()
        }
        "stream" => format!(" {value}{}", stream_text(extra, detail)),
        _ => format!(" {value}"),
    }
}

/// The lasting part of XINFO STREAM FULL: not how the server stores it, and not when a consumer
/// was last seen, which a restart may round.
fn stream_text(info: &Reply, detail: Detail) -> String {
    const LEFT_OUT: [&str; 7] = [
        "radix-tree-keys",
        "radix-tree-nodes",
        "recorded-first-entry-id",
        "entries",
        "lag",
        "seen-time",
        "active-time",
    ];
    let mut text = String::new();
    for pair in info.items().chunks(2) {
        let name = pair[0].text().unwrap_or_default();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let value = &pair[pair.len() - 1];
        let nested = value.items();
        if name == "pending" && !detail.expiry_times {
            // Two servers deliver at different times: the last but one is left out.
            for entry in nested.iter().map(Reply::items) {
                let (first, last) = (&entry[..entry.len() - 2], &entry[entry.len() - 1]);
                text.push_str(&format!(" pending {first:?} {last}"));
            }
            continue;
        }
        if !nested.is_empty() && nested.iter().all(|item| !item.items().is_empty()) {
            let inner: String = nested
                .iter()
                .map(|item| match item.items()[0] {
                    // A group or a consumer is a list of names and values; the rest are entries.
                    Reply::Bulk(ref word) if word == b"name" => stream_text(item, detail),
                    _ => item.to_string(),
                })
                .collect();
            text.push_str(&format!(" {name}:({inner})"));
        } else {
            text.push_str(&format!(" {name}:{value}"));
        }
    }
    text
}

fn field_expiries(
    client: &mut Client,
    key: &[u8],
    detail: Detail,
    fields: &Reply,
) -> io::Result<String> {
    let names: Vec<Vec<u8>> =
        fields.items().chunks(2).filter_map(|pair| pair[0].bytes().map(<[u8]>::to_vec)).collect();
    let mut request = vec![b"HPEXPIRETIME".to_vec(), key.to_vec(), b"FIELDS".to_vec()];
    request.push(names.len().to_string().into_bytes());
    request.extend(names.iter().cloned());
    let reply = client.call(&request)?; // An error where the server has no field expiry.
    let mut found: Vec<String> = names
        .iter()
        .zip(reply.items())
        .filter(|(_, time)| time.int().is_some_and(|time| time > 0))
        .map(|(name, time)| {
            let time = if detail.expiry_times { format!("{time}") } else { "set".into() };
            format!(" {}@{time}", escape(name))
        })
        .collect();
    found.sort();
    Ok(found.concat())
}

/// Where two data sets differ, one line per key, `None` where they are equal.
pub(crate) fn difference(left: &Dataset, right: &Dataset) -> Option<String> {
    let mut lines = Vec::new();
    for (key, value) in left {
        match right.get(key) {
            Some(other) if other == value => {}
            Some(other) => {
                lines.push(format!("{key}\n    left  {}\n    right {}", cut(value), cut(other)));
            }
            None => lines.push(format!("{key}\n    only left  {}", cut(value))),
        }
    }
    for (key, value) in right {
        if !left.contains_key(key) {
            lines.push(format!("{key}\n    only right {}", cut(value)));
        }
    }
    if lines.is_empty() {
        return None;
    }
    let count = lines.len();
    lines.truncate(20);
    Some(format!("{count} keys differ\n{}", lines.join("\n")))
}

fn cut(text: &str) -> &str {
    text.get(..600).unwrap_or(text)
}

/// `difference`, as an assertion.
#[track_caller]
pub(crate) fn assert_same(what: &str, left: &Dataset, right: &Dataset) {
    if let Some(text) = difference(left, right) {
        panic!("{what}: {text}");
    }
}
