//! What was counted, as JSON: what `--json` prints, and what the page is made of.

use serde_json::{Value, json};

use super::prefix::Node;
use super::statistics::{Count, KINDS, SIZES, Statistics, TIMES};
use crate::exchange::ndjson::write::put_text;

/// Everything, with up to `prefixes` prefixes below each.
pub(super) fn report(input: &str, counted: &Statistics, prefixes: usize) -> Value {
    let Statistics { all, .. } = counted;
    let databases = counted.databases.iter().map(|(db, of)| {
        json!({ "db": db, "keys": of.count.keys, "memory": of.count.memory, "expires": of.expires })
    });
    let types = KINDS.iter().enumerate().filter_map(|(place, kind)| {
        let of = counted.types.get(&place)?;
        let encodings = of.encodings.iter().map(|(name, count)| counts("encoding", name, *count));
        let largest = of.largest().into_iter().map(|large| {
            json!({
                "key": text(&large.key),
                "db": large.db,
                "memory": large.memory,
                "elements": large.elements,
                "encoding": large.encoding,
                "expire_at": large.expire_at,
            })
        });
        Some(json!({
            "type": kind.name(),
            "keys": of.count.keys,
            "memory": of.count.memory,
            "elements": of.elements,
            "elements_max": of.elements_max,
            "encodings": encodings.collect::<Vec<_>>(),
            "biggest": largest.collect::<Vec<_>>(),
        }))
    });
    let patterns = counted.patterns.largest(prefixes).into_iter().map(|(pattern, count)| {
        json!({ "pattern": text(pattern), "keys": count.keys, "memory": count.memory })
    });
    let expires: u64 = counted.databases.values().map(|of| of.expires).sum();
    let times = TIMES.iter().zip(counted.times);
    let sizes = SIZES.iter().zip(counted.sizes);
    json!({
        "input": input,
        "at": counted.now,
        "keys": all.keys,
        "memory": all.memory,
        "key_bytes": counted.key_bytes,
        "expires": expires,
        "fields_with_expiry": counted.fields_with_time,
        "functions": counted.functions,
        "databases": databases.collect::<Vec<_>>(),
        "types": types.collect::<Vec<_>>(),
        "ttl": times.map(|((name, _), of)| counts("up_to", name, of)).collect::<Vec<_>>(),
        "sizes": sizes.map(|((name, _), of)| counts("up_to", name, of)).collect::<Vec<_>>(),
        "patterns": patterns.collect::<Vec<_>>(),
        "prefixes": {
            "tree": tree(&counted.prefixes.root, prefixes),
            "small_ones_missing": counted.prefixes.pruned,
        },
    })
}

fn counts(label: &str, name: &str, count: Count) -> Value {
    json!({ label: name, "keys": count.keys, "memory": count.memory })
}

/// A text as NDJSON has it.
pub(super) fn text(bytes: &[u8]) -> Value {
    let mut out = Vec::new();
    put_text(&mut out, bytes);
    serde_json::from_slice(&out).unwrap_or_default()
}

/// A prefix with the largest ones below it; what the others hold is the difference to its own numbers.
fn tree(node: &Node, most: usize) -> Value {
    let mut children: Vec<_> = node.children.iter().collect();
    children.sort_by_key(|(_, child)| std::cmp::Reverse(child.memory));
    let below = children.iter().take(most).map(|(name, child)| {
        let mut value = tree(child, most);
        if let Value::Object(map) = &mut value {
            map.insert("part".to_owned(), text(name));
        }
        value
    });
    let mut value = json!({ "keys": node.keys, "memory": node.memory });
    if let (Value::Object(map), false) = (&mut value, children.is_empty()) {
        map.insert("prefixes".to_owned(), below.collect());
        map.insert("more_prefixes".to_owned(), json!(children.len().saturating_sub(most)));
    }
    value
}
