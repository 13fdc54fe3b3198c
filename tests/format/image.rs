//! A data set out of an RDB file, kept to be looked at as text and to be written again.

use std::collections::BTreeMap;

use fastness::snapshot::crc64::Crc64;
use fastness::snapshot::encode::{Encoder, Header, finish};
use fastness::snapshot::stream::{StreamId, StreamImage};
use fastness::snapshot::{Attributes, LoadSink, Loaded, Refusal, ValueView};
use fastness::types::hash::Hash;
use fastness::types::list::List;
use fastness::types::listpack::{Element, ListpackRef};
use fastness::types::set::Set;
use fastness::types::stream::Stream;
use fastness::types::zset::ZSet;

use super::text::{expiry, number, quoted};

/// A value in a form that can be written again.
pub(crate) enum Kept {
    Str(Vec<u8>),
    List(List),
    Set(Set),
    ZSet(ZSet),
    Hash(Hash),
    Stream(Box<Stream>),
}

impl From<Loaded<'_>> for Kept {
    fn from(value: Loaded<'_>) -> Self {
        match value {
            Loaded::Str(text) => Self::Str(text.into_vec()),
            Loaded::List(value) => Self::List(value),
            Loaded::Set(value) => Self::Set(value),
            Loaded::ZSet(value) => Self::ZSet(value),
            Loaded::Hash(value) => Self::Hash(value),
            Loaded::Stream(value) => Self::Stream(value),
        }
    }
}

impl Kept {
    pub(crate) fn view(&self) -> ValueView<'_> {
        match self {
            Self::Str(text) => ValueView::Str(text),
            Self::List(value) => ValueView::List(value),
            Self::Set(value) => ValueView::Set(value),
            Self::ZSet(value) => ValueView::ZSet(value),
            Self::Hash(value) => ValueView::Hash(value),
            Self::Stream(value) => ValueView::Stream(value),
        }
    }
}

/// Everything that a file holds.
#[derive(Default)]
pub(crate) struct Image {
    db: u32,
    pub(crate) keys: BTreeMap<(u32, Vec<u8>), (Kept, Attributes)>,
    pub(crate) functions: Vec<Vec<u8>>,
    pub(crate) aux: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl LoadSink for Image {
    fn select_db(&mut self, db: u32) {
        self.db = db;
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) {
        self.aux.insert(name.to_vec(), value.to_vec());
    }

    fn key(
        &mut self,
        key: &[u8],
        value: Loaded<'_>,
        attributes: Attributes,
    ) -> Result<(), Refusal> {
        match self.keys.insert((self.db, key.to_vec()), (value.into(), attributes)) {
            None => Ok(()),
            Some(_) => Err(Refusal::DuplicateKey),
        }
    }

    fn function(&mut self, source: &[u8]) -> Result<(), Refusal> {
        self.functions.push(source.to_vec());
        Ok(())
    }
}

impl Image {
    /// The same as text; see `text`.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut current = None;
        for ((db, key), (kept, attributes)) in &self.keys {
            if current != Some(*db) {
                lines.push(format!("[db {db}]"));
                current = Some(*db);
            }
            let (kind, value) = value_lines(kept.view());
            let expire = expiry(attributes.expire_at_ms.unwrap_or(-1));
            lines.push(format!("{} {kind}{expire}", quoted(key)));
            lines.extend(value.into_iter().map(|line| format!("  {line}")));
        }
        for source in &self.functions {
            lines.push("[function]".to_owned());
            lines.push(quoted(source));
        }
        lines.join("\n") + "\n"
    }

    /// Whether a hash field expires.
    pub(crate) fn has_field_expiry(&self) -> bool {
        self.keys
            .values()
            .any(|(kept, _)| matches!(kept, Kept::Hash(hash) if hash.earliest_expire().is_some()))
    }

    /// The same as a file.
    pub(crate) fn file(&self, encoder: &mut Encoder) -> Vec<u8> {
        let mut out = Vec::new();
        let field_expiry = self.has_field_expiry();
        let header = Header { field_expiry, created_at: 1_700_000_000, ..Header::default() };
        encoder.header(&mut out, &header);
        for source in &self.functions {
            encoder.function(&mut out, source);
        }
        let mut current = None;
        for ((db, key), (kept, attributes)) in &self.keys {
            if current != Some(*db) {
                encoder.select_db(&mut out, *db);
                encoder.resize_db(&mut out, 1000, 1);
                current = Some(*db);
            }
            encoder.key(&mut out, key, kept.view(), *attributes);
        }
        let mut crc = Crc64::new();
        crc.update(&out);
        finish(&mut out, &mut crc, true);
        assert_eq!(encoder.field_expiry_seen(), field_expiry);
        out
    }
}

fn quoted_element(element: Element<'_>) -> String {
    element.with_bytes(quoted)
}

fn value_lines(value: ValueView<'_>) -> (&'static str, Vec<String>) {
    match value {
        ValueView::Str(text) => ("string", vec![quoted(text)]),
        ValueView::Int(value) => ("string", vec![format!("\"{value}\"")]),
        ValueView::List(list) => ("list", list.iter().map(quoted_element).collect()),
        ValueView::Set(set) => {
            let mut members: Vec<Vec<u8>> = set.iter().map(|member| member.to_vec()).collect();
            members.sort();
            ("set", members.iter().map(|member| quoted(member)).collect())
        }
        ValueView::ZSet(set) => {
            let line = |(member, score)| format!("{} {}", quoted_element(member), number(score));
            ("zset", set.iter().map(line).collect())
        }
        ValueView::Hash(hash) => {
            let mut fields: Vec<_> = hash
                .iter_with_expire()
                .map(|(field, value, time)| (field.to_vec(), value.to_vec(), time))
                .collect();
            fields.sort();
            let line = |(field, value, time): &(Vec<u8>, Vec<u8>, Option<u64>)| {
                let at = expiry(time.map_or(-1, u64::cast_signed));
                format!("{} {}{at}", quoted(field), quoted(value))
            };
            ("hash", fields.iter().map(line).collect())
        }
        ValueView::Stream(stream) => ("stream", stream_lines(&stream.to_image())),
    }
}

fn id(id: StreamId) -> String {
    format!("{}-{}", id.ms, id.seq)
}

fn stream_lines(image: &StreamImage) -> Vec<String> {
    let mut lines = vec![format!(
        "last {} first {} deleted {} added {}",
        id(image.last_id),
        id(image.first_id),
        id(image.max_deleted_id),
        image.entries_added
    )];
    for (master, node) in &image.nodes {
        entry_lines(*master, node, &mut lines);
    }
    for group in &image.groups {
        let (name, last) = (quoted(&group.name), id(group.last_id));
        lines.push(format!("group {name} last {last} read {}", group.entries_read));
        let mut consumers: Vec<_> = group.consumers.iter().collect();
        consumers.sort_by_key(|consumer| &consumer.name);
        for consumer in consumers {
            let name = quoted(&consumer.name);
            let (seen, active) = (consumer.seen_time, consumer.active_time);
            lines.push(format!("consumer {name} seen {seen} active {active}"));
        }
        for pending in &group.pending {
            let owner = quoted(&group.consumers[pending.consumer].name);
            let (time, count) = (pending.delivery_time, pending.delivery_count);
            lines.push(format!("pending {} {owner} time {time} count {count}", id(pending.id)));
        }
    }
    lines
}

fn entry_lines(master: StreamId, node: &[u8], lines: &mut Vec<String>) {
    let items: Vec<Element<'_>> = ListpackRef::new(node).iter().collect();
    let int = |at: usize| items[at].as_int().unwrap();
    let size = |at: usize| usize::try_from(int(at)).unwrap();
    let fields = size(2);
    let mut at = 4 + fields;
    while at < items.len() {
        let (flags, ms, seq) = (int(at), int(at + 1), int(at + 2));
        at += 3;
        let mut pairs = Vec::new();
        if flags & 2 != 0 {
            for field in 0..fields {
                pairs.extend([quoted_element(items[3 + field]), quoted_element(items[at + field])]);
            }
            at += fields;
        } else {
            let count = size(at);
            pairs.extend(items[at + 1..][..2 * count].iter().map(|item| quoted_element(*item)));
            at += 1 + 2 * count;
        }
        at += 1;
        if flags & 1 == 0 {
            let ms = master.ms.wrapping_add_signed(ms);
            let seq = master.seq.wrapping_add_signed(seq);
            lines.push(format!("entry {ms}-{seq} {}", pairs.join(" ")));
        }
    }
}

/// A value of one key, for tests of DUMP payloads.
pub(crate) fn text_of(value: Loaded<'_>) -> String {
    let mut image = Image::default();
    image.key(b"a", value, Attributes::default()).unwrap();
    image.text()
}
