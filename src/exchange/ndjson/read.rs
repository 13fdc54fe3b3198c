//! Lines to keys.
//!
//! A line is believed as little as a byte of a file: every shape that is not the form's is an error that
//! names the line, the key if it was read, and what is wrong. Keys and members that stand twice are errors too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::write::kind_of;
use super::{FORMAT, VERSION};
use crate::keyspace::{Entry, Kind, Value};
use crate::snapshot::Attributes;
use crate::types::limits::Limits;
use crate::types::stream::{Group, Pending, Stream, StreamId};
use crate::types::{Hash, List, Set, ZSet};

/// What a line holds.
#[derive(Debug)]
pub enum Line {
    /// Nothing: it says what the file is, or is empty.
    Nothing,
    /// A function library.
    Function(Vec<u8>),
    /// A key.
    Key(u32, Entry, Attributes),
}

/// Reads one line. The error says what is wrong, and with which key.
pub fn read_line(line: &[u8], limits: &Limits) -> Result<Line, String> {
    if line.trim_ascii().is_empty() {
        return Ok(Line::Nothing);
    }
    let json: Json = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    let Json::Object(object) = json else { return Err("it is no object".to_owned()) };
    if let Some(format) = object.get("format") {
        return match (format.as_str(), object.get("version").and_then(Json::as_u64)) {
            (Some(FORMAT), Some(VERSION)) => Ok(Line::Nothing),
            _ => Err(format!("it is {format}, not {FORMAT} of version {VERSION}")),
        };
    }
    if let Some(source) = object.get("function") {
        return Ok(Line::Function(text(source)?));
    }
    let key = text(object.get("key").ok_or("it has neither key nor function")?)?;
    read_key(&key, &object, limits).map_err(|why| format!("key \"{}\": {why}", key.escape_ascii()))
}

fn read_key(key: &[u8], object: &Map<String, Json>, limits: &Limits) -> Result<Line, String> {
    for name in object.keys() {
        if !MEMBERS.contains(&name.as_str()) {
            return Err(format!("\"{}\" is nothing that is known", name.escape_default()));
        }
    }
    let optional = |name: &str| object.get(name).filter(|value| !value.is_null());
    let db = match optional("db") {
        Some(db) => db.as_u64().and_then(|db| u32::try_from(db).ok()).ok_or("db is no number")?,
        None => 0,
    };
    let kind = optional("type").and_then(Json::as_str).ok_or("type is missing")?;
    let kind = kind_of(kind).ok_or_else(|| format!("there is no type \"{kind}\""))?;
    let value = object.get("value").ok_or("value is missing")?;
    let whole = |name: &str| -> Result<Option<i64>, String> {
        let number = |value: &Json| value.as_i64().ok_or(format!("{name} is no whole number"));
        optional(name).map(number).transpose()
    };
    let expire = whole("expire_at")?;
    let negative = |name: &str| format!("{name} is out of range");
    let attributes = Attributes {
        expire_at_ms: expire,
        idle_seconds: whole("idle")?
            .map(|seconds| u64::try_from(seconds).map_err(|_| negative("idle")))
            .transpose()?,
        frequency: whole("freq")?
            .map(|count| u8::try_from(count).map_err(|_| negative("freq")))
            .transpose()?,
    };
    let times = optional("field_expire_at");
    if times.is_some() && kind != Kind::Hash {
        return Err("field_expire_at belongs to hashes".to_owned());
    }
    let value = match kind {
        Kind::String => {
            return Ok(Line::Key(db, Entry::new_string(key, &text(value)?, expire), attributes));
        }
        Kind::List => Value::List(Box::new(list(value, limits)?)),
        Kind::Set => Value::Set(Box::new(set(value, limits)?)),
        Kind::ZSet => Value::ZSet(Box::new(zset(value, limits)?)),
        Kind::Hash => Value::Hash(Box::new(hash(value, times, limits)?)),
        Kind::Stream => Value::Stream(Box::new(stream(value, limits)?)),
    };
    Ok(Line::Key(db, Entry::new(key, value, expire), attributes))
}

const MEMBERS: [&str; 8] =
    ["db", "key", "type", "expire_at", "idle", "freq", "value", "field_expire_at"];
/// The times of fields have 48 bits.
const FIELD_EXPIRY_END: u64 = 1 << 48;

fn text(json: &Json) -> Result<Vec<u8>, String> {
    match json {
        Json::String(text) => Ok(text.as_bytes().to_vec()),
        Json::Object(object) if object.len() == 1 => {
            let base64 = object.get("base64").and_then(Json::as_str);
            let base64 = base64.ok_or("an object that is no base64 where a text must be")?;
            STANDARD.decode(base64).map_err(|error| format!("base64: {error}"))
        }
        _ => Err("something else where a text must be".to_owned()),
    }
}

fn items(json: &Json) -> Result<&Vec<Json>, String> {
    match json.as_array() {
        Some(items) if items.is_empty() => Err("value is empty".to_owned()),
        Some(items) => Ok(items),
        None => Err("value is no list".to_owned()),
    }
}

fn pair(json: &Json) -> Result<(&Json, &Json), String> {
    match json.as_array().map(Vec::as_slice) {
        Some([first, second]) => Ok((first, second)),
        _ => Err("something else where a pair must be".to_owned()),
    }
}

fn twice(what: &str, text: &[u8]) -> String {
    format!("{what} \"{}\" stands twice", text.escape_ascii())
}

fn list(json: &Json, limits: &Limits) -> Result<List, String> {
    let mut list = List::new();
    for item in items(json)? {
        list.push_back(text(item)?.as_slice(), limits.list_max_listpack_size.into());
    }
    Ok(list)
}

fn set(json: &Json, limits: &Limits) -> Result<Set, String> {
    let items = items(json)?;
    let mut set = Set::with_listed(items.len(), limits);
    for item in items {
        let member = text(item)?;
        if !set.insert(&member, limits) {
            return Err(twice("member", &member));
        }
    }
    Ok(set)
}

fn zset(json: &Json, limits: &Limits) -> Result<ZSet, String> {
    let mut zset = ZSet::new();
    let items = items(json)?;
    zset.expect(items.len(), limits);
    for item in items {
        let (member, score) = pair(item)?;
        let member = text(member)?;
        let score = match score {
            Json::Number(number) => number.as_f64(),
            Json::String(text) => match text.as_str() {
                "inf" => Some(f64::INFINITY),
                "-inf" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        };
        let score = score
            .ok_or_else(|| format!("the score of \"{}\" is no number", member.escape_ascii()))?;
        if zset.score(&member).is_some() {
            return Err(twice("member", &member));
        }
        zset.insert(&member, score, limits);
    }
    Ok(zset)
}

/// Fields with what belongs to them, from an object or a list of pairs.
fn fields(json: &Json) -> Result<Vec<(Vec<u8>, &Json)>, String> {
    match json {
        Json::Object(object) => {
            Ok(object.iter().map(|(field, value)| (field.clone().into_bytes(), value)).collect())
        }
        Json::Array(pairs) => pairs
            .iter()
            .map(|item| pair(item).and_then(|(field, value)| Ok((text(field)?, value))))
            .collect(),
        _ => Err("something else where fields must be".to_owned()),
    }
}

fn hash(json: &Json, times: Option<&Json>, limits: &Limits) -> Result<Hash, String> {
    let pairs = fields(json)?;
    if pairs.is_empty() {
        return Err("value is empty".to_owned());
    }
    let mut hash = Hash::with_expected(pairs.len(), limits);
    for (field, value) in pairs {
        if !hash.insert(&field, &text(value)?, limits) {
            return Err(twice("field", &field));
        }
    }
    for (field, time) in times.map(fields).transpose()?.unwrap_or_default() {
        let time = time.as_u64().filter(|time| (1..FIELD_EXPIRY_END).contains(time));
        let time = time.ok_or_else(|| {
            format!("the time of field \"{}\" is impossible", field.escape_ascii())
        })?;
        if !hash.contains(&field) {
            return Err(format!("field \"{}\" has a time and no value", field.escape_ascii()));
        }
        hash.set_field_expire(&field, Some(time));
    }
    Ok(hash)
}

fn id(json: Option<&Json>, what: &str) -> Result<StreamId, String> {
    let text = json.and_then(Json::as_str).and_then(|text| text.split_once('-'));
    let numbers = text.and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
    let (ms, seq) = numbers.ok_or_else(|| format!("{what} is no id of the form 1-2"))?;
    Ok(StreamId { ms, seq })
}

fn stream(json: &Json, limits: &Limits) -> Result<Stream, String> {
    let object = json.as_object().ok_or("the value of a stream is an object")?;
    let mut stream = Stream::new();
    for entry in list_of(object, "entries")? {
        let (at, parts) = pair(entry)?;
        let at = id(Some(at), "an entry's id")?;
        let parts = parts.as_array().ok_or("the parts of an entry are no list")?;
        let parts = parts.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if !parts.len().is_multiple_of(2) {
            return Err("an entry has a field without a value".to_owned());
        }
        stream
            .append(at, parts.iter().map(Vec::as_slice), limits)
            .map_err(|error| format!("entry {}-{}: {error:?}", at.ms, at.seq))?;
    }
    let last = match object.get("last_id") {
        Some(last) => id(Some(last), "last_id")?,
        None => stream.last_id(),
    };
    if last < stream.last_id() {
        return Err("last_id is below the last entry".to_owned());
    }
    let added = object.get("entries_added").map(|added| {
        let added = added.as_u64().filter(|added| *added >= stream.len() as u64);
        added.ok_or("entries_added is below the number of entries")
    });
    let deleted = object.get("max_deleted_id").map(|deleted| id(Some(deleted), "max_deleted_id"));
    stream.set_counters(last, added.transpose()?, deleted.transpose()?);
    for json in list_of(object, "groups")? {
        let object = json.as_object().ok_or("a group is no object")?;
        let name = text(object.get("name").ok_or("a group has no name")?)?;
        let group =
            group(object).map_err(|why| format!("group \"{}\": {why}", name.escape_ascii()))?;
        if !stream.create_group(&name, group) {
            return Err(twice("group", &name));
        }
    }
    Ok(stream)
}

fn list_of<'j>(object: &'j Map<String, Json>, name: &str) -> Result<&'j [Json], String> {
    match object.get(name) {
        None => Ok(&[]),
        Some(list) => list.as_array().map(Vec::as_slice).ok_or(format!("{name} is no list")),
    }
}

fn group(object: &Map<String, Json>) -> Result<Group, String> {
    let number = |object: &Map<String, Json>, name: &str, missing: i64| match object.get(name) {
        None => Ok(missing),
        Some(number) => number.as_i64().ok_or(format!("{name} is no whole number")),
    };
    let entries_read = number(object, "entries_read", -1)?;
    if entries_read < -1 {
        return Err("entries_read is negative".to_owned());
    }
    let mut group = Group::new(id(object.get("last_id"), "last_id")?, entries_read);
    for json in list_of(object, "consumers")? {
        let object = json.as_object().ok_or("a consumer is no object")?;
        let name = text(object.get("name").ok_or("a consumer has no name")?)?;
        let made = group.create_consumer(&name, number(object, "seen_at", 0)?);
        let made = made.ok_or_else(|| twice("consumer", &name))?;
        if let Some(consumer) = group.consumer_mut(made) {
            consumer.active_time = number(object, "active_at", -1)?;
        }
    }
    for json in list_of(object, "pending")? {
        let object = json.as_object().ok_or("a pending entry is no object")?;
        let name = text(object.get("consumer").ok_or("a pending entry has no consumer")?)?;
        let consumer = group.find(&name).ok_or_else(|| {
            format!("a pending entry is of \"{}\", which is no consumer", name.escape_ascii())
        })?;
        let id = id(object.get("id"), "a pending entry's id")?;
        if group.pending(id).is_some() {
            return Err(format!("{}-{} is pending twice", id.ms, id.seq));
        }
        let deliveries = object.get("deliveries").map_or(Some(1), Json::as_u64);
        let deliveries = deliveries.ok_or("deliveries is no number")?;
        let delivery_time = number(object, "delivered_at", 0)?;
        group.assign(Pending { id, delivery_time, delivery_count: deliveries, consumer });
    }
    Ok(group)
}

/// For the fuzzer: a line is refused, or what it says is written and read again as the same.
#[doc(hidden)]
pub fn fuzz_line(bytes: &[u8]) {
    let limits = Limits::default();
    let Ok(Line::Key(db, entry, attributes)) = read_line(bytes, &limits) else { return };
    let mut line = Vec::new();
    let item = crate::exchange::Item { db, entry: &entry, attributes };
    super::write::put_line(&mut line, &item);
    let again = read_line(&line, &limits);
    let Ok(Line::Key(_, copy, _)) = &again else { panic!("not read again: {again:?}") };
    let digest = crate::keyspace::digest::value;
    assert_eq!(digest(&entry), digest(copy));
}
