//! Records whose strings are verbatim, to records with long strings compressed one by one.
//!
//! A snapshot is encoded without compression while the lock is held; what Redis' form asks for is done
//! here afterwards, without making values of the bytes: everything but the strings is copied.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::error::{Corruption, CorruptionKind, LoadError, Parsed};
use super::primitives::{Reader, StringWriter};
use super::record::{Dialect, REDIS_VERSION_MAX, Record, Records, Version, walk_value};

/// The same records with their strings compressed where that helps. Only for what an encoder wrote.
pub fn compress_strings(records: &[u8]) -> Result<Vec<u8>, LoadError> {
    let version = Version { dialect: Dialect::Redis, number: REDIS_VERSION_MAX };
    let mut walk = Records::of_section(Reader::new(records), version, u32::MAX);
    let mut copy = Copy { records, done: 0, out: Vec::new(), strings: StringWriter::new(true) };
    while walk.reader.remaining() > 0 {
        if let Record::Key { key, type_byte, .. } = walk.next()? {
            // A key is a string like another; its end is where the reader stands.
            let end = walk.reader.position();
            copy.key(&key, end).map_err(|error| walk.damaged(error))?;
            let value = walk_value(&mut walk.reader, type_byte, &mut |reader| copy.string(reader));
            value.map_err(|error| walk.damaged(error))?;
        }
    }
    copy.verbatim_to(walk.reader.position()).map_err(|error| walk.damaged(error))?;
    Ok(copy.out)
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

    /// A short key stays as it is, with what stands before it.
    fn key(&mut self, key: &[u8], end: u64) -> Parsed<()> {
        let mut plain = Vec::new();
        StringWriter::new(false).put(&mut plain, key);
        let start = end - plain.len() as u64;
        self.verbatim_to(start)?;
        self.strings.put(&mut self.out, key);
        self.done = end;
        Ok(())
    }

    fn string(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        let start = reader.position();
        let text = reader.string()?;
        // Strings as short as this, and numbers, have their last form already.
        if text.len() > 20 {
            self.verbatim_to(start)?;
            self.strings.put(&mut self.out, &text);
            self.done = reader.position();
        }
        Ok(())
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
