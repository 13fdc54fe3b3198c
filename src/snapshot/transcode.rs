//! RDB bytes from one form to another without making values of them: everything but strings is copied.
//!
//! A snapshot is encoded without compression while the lock is held; what Redis' form asks for is done
//! here afterwards (`compress_strings`). Converting a file takes it apart into sections with verbatim
//! strings (`sections`), which can then be packed in any form.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::container::read::Container;
use super::container::write::{Section, give_way};
use super::container::{Kind, is_container};
use super::encode::put_attributes;
use super::error::{Corruption, CorruptionKind, LoadError, Parsed};
use super::primitives::{Reader, StringWriter, put_length};
use super::record::{
    Dialect, REDIS_VERSION_MAX, Record, Records, SELECTDB, Version, skip_value, walk_value,
};

/// The same records with their strings compressed where that helps. Only for what an encoder wrote.
pub fn compress_strings(records: &[u8]) -> Result<Vec<u8>, LoadError> {
    let version = Version { dialect: Dialect::Redis, number: REDIS_VERSION_MAX };
    rewrite(records, version, StringWriter::new(true))
}

/// Between two looks at who wants the core.
const LOOK_BYTES: u64 = 32 << 10;

/// The same records with each string written by `strings`.
fn rewrite(records: &[u8], version: Version, strings: StringWriter) -> Result<Vec<u8>, LoadError> {
    let mut walk = Records::of_section(Reader::new(records), version, u32::MAX);
    let mut copy = Copy { records, done: 0, out: Vec::new(), strings };
    let mut next_look = LOOK_BYTES;
    while walk.reader.remaining() > 0 {
        if walk.reader.position() >= next_look {
            next_look = walk.reader.position() + LOOK_BYTES;
            give_way();
        }
        if let Record::Key { key, type_byte, .. } = walk.next()? {
            let copied = copy.text(walk.key_offset, &key, walk.reader.position());
            copied.map_err(|error| walk.damaged(error))?;
            let value = walk_value(&mut walk.reader, type_byte, version.dialect, &mut |reader| {
                copy.string(reader)
            });
            value.map_err(|error| walk.damaged(error))?;
        }
    }
    copy.verbatim_to(walk.reader.position()).map_err(|error| walk.damaged(error))?;
    Ok(copy.out)
}

/// Takes a sound file apart: the head, then records in sections of at least `section_bytes`, their strings verbatim.
/// The dialect that the head speaks.
pub fn sections(
    bytes: &[u8],
    section_bytes: usize,
    emit: &mut dyn FnMut(Section, u64) -> Result<(), String>,
) -> Result<Dialect, String> {
    let text = |error: LoadError| error.to_string();
    if !is_container(bytes) {
        return sections_of_rdb(bytes, section_bytes, emit);
    }
    let container = Container::open(bytes, true).map_err(text)?;
    let mut dialect = Dialect::Redis;
    for group in container.groups.iter().filter(|group| group.kind != Kind::End) {
        let bytes = container.unpack(group).map_err(text)?;
        if group.kind == Kind::Head {
            dialect = Version::read(&mut Reader::new(&bytes)).map_err(text)?.dialect;
        }
        let keys = u32::try_from(group.keys).map_err(|_| "too many keys in a group".to_owned())?;
        let (kind, finished) = (group.kind, group.kind == Kind::Head);
        let bytes = bytes.into_owned();
        emit(Section { kind, bytes, keys, finished }, group.offset)?;
    }
    Ok(dialect)
}

fn sections_of_rdb(
    bytes: &[u8],
    section_bytes: usize,
    emit: &mut dyn FnMut(Section, u64) -> Result<(), String>,
) -> Result<Dialect, String> {
    let text = |error: LoadError| error.to_string();
    let mut walk = Records::of_file(bytes, u32::MAX).map_err(text)?;
    let version = walk.version;
    let magic = part(bytes, 0, walk.reader.position()).to_vec();
    let mut open = Section { kind: Kind::Head, bytes: magic, keys: 0, finished: true };
    let mut selected = 0;
    loop {
        let start = walk.reader.position();
        let record = walk.next().map_err(text)?;
        let in_head = open.kind == Kind::Head;
        let Record::Key { type_byte, attributes, .. } = record else {
            match record {
                Record::Eof => break,
                Record::Function(_) if !in_head => {
                    return Err("a function library among the keys".to_owned());
                }
                // Without attributes before it: those belong to the first key.
                _ if in_head => {
                    let own = part(bytes, walk.own_offset, walk.reader.position());
                    open.bytes.extend_from_slice(own);
                }
                // Databases are selected anew below, and hints have done their work.
                _ => {}
            }
            continue;
        };
        skip_value(&mut walk.reader, type_byte, version.dialect)
            .map_err(|error| error.to_string())?;
        if in_head {
            let next = Section { kind: Kind::Keys, bytes: Vec::new(), keys: 0, finished: false };
            emit(std::mem::replace(&mut open, next), start)?;
        }
        if open.bytes.is_empty() || selected != walk.place.db {
            selected = walk.place.db;
            open.bytes.push(SELECTDB);
            put_length(&mut open.bytes, selected.into());
        }
        // Something else may stand between a key and what is said of it.
        put_attributes(&mut open.bytes, attributes);
        let record = part(bytes, walk.own_offset, walk.reader.position());
        let verbatim = rewrite(record, version, StringWriter::new(false)).map_err(text)?;
        open.bytes.extend_from_slice(&verbatim);
        open.keys += 1;
        if open.bytes.len() >= section_bytes {
            let next = Section { kind: Kind::Keys, bytes: Vec::new(), keys: 0, finished: false };
            emit(std::mem::replace(&mut open, next), walk.reader.position())?;
        }
    }
    if !open.bytes.is_empty() {
        emit(open, walk.reader.position())?;
    }
    Ok(version.dialect)
}

fn part(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default()
}

struct Copy<'a> {
    records: &'a [u8],
    /// Everything before this offset is in `out`.
    done: u64,
    out: Vec<u8>,
    strings: StringWriter,
}

impl Copy<'_> {
    fn verbatim_to(&mut self, end: u64) -> Parsed<()> {
        let short = || Corruption::new(end, CorruptionKind::ShortRead { wanted: end, left: 0 });
        let range = usize::try_from(self.done).ok().zip(usize::try_from(end).ok());
        let bytes = range.and_then(|(from, to)| self.records.get(from..to)).ok_or_else(short)?;
        self.out.extend_from_slice(bytes);
        self.done = end;
        Ok(())
    }

    /// A string that stands from `start` to `end`, written again.
    fn text(&mut self, start: u64, text: &[u8], end: u64) -> Parsed<()> {
        self.verbatim_to(start)?;
        self.strings.put(&mut self.out, text);
        self.done = end;
        Ok(())
    }

    fn string(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        let start = reader.position();
        let text = reader.string()?;
        self.text(start, &text, reader.position())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::encode::{Encoder, Header};
    use crate::snapshot::{Attributes, ValueView};
    use crate::types::limits::Limits;
    use crate::types::{Hash, List, Set, Stream, ZSet};

    /// Every type, small and large, with texts that compress and texts that do not.
    fn records(encoder: &mut Encoder) -> Vec<u8> {
        let limits = Limits::default();
        let mut out = Vec::new();
        encoder.header(&mut out, &Header::default());
        let head = out.len();
        encoder.select_db(&mut out, 3);
        let text = |n: usize| format!("{n}-{}", "ab".repeat(n));
        let (mut set, mut hash, mut zset) = (Set::new(), Hash::new(), ZSet::new());
        let (mut list, mut stream) = (List::new(), Stream::new());
        for n in 0..700 {
            set.insert(text(n % 90).as_bytes(), &limits);
            hash.insert(text(n).as_bytes(), text(n + 1).as_bytes(), &limits);
            zset.insert(text(n).as_bytes(), n as f64 / 3.0, &limits);
            list.push_back(text(n).as_bytes(), -2);
            let id = crate::types::stream::StreamId { ms: n as u64 + 1, seq: 0 };
            let fields = [text(5), text(n)];
            let texts = fields.iter().map(|text| text.as_bytes()).collect::<Vec<_>>();
            let _ = stream.append(id, texts.iter().copied(), &limits);
        }
        let attributes =
            Attributes { expire_at_ms: Some(77), frequency: Some(3), idle_seconds: None };
        for (key, value) in [
            (text(1), ValueView::Int(-5)),
            (text(2), ValueView::Str(text(400).as_bytes())),
            (text(60), ValueView::Set(&set)),
            (text(61), ValueView::Hash(&hash)),
            (text(62), ValueView::ZSet(&zset)),
            (text(63), ValueView::List(&list)),
            (text(64), ValueView::Stream(&stream)),
        ] {
            encoder.key(&mut out, key.as_bytes(), value, attributes);
        }
        out.drain(..head);
        out
    }

    #[test]
    fn the_strings_are_those_that_the_compressing_encoder_writes() {
        let plain = records(&mut Encoder::new(false));
        let compressed = records(&mut Encoder::new(true));
        assert!(compressed.len() * 2 < plain.len());
        assert!(compress_strings(&plain).unwrap() == compressed);
        assert!(compress_strings(b"").unwrap().is_empty());
        assert!(compress_strings(&plain[..plain.len() - 1]).is_err());
    }
}
