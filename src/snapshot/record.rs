//! The records of an RDB file, one after the other: header, opcodes, and the head of each key.
//!
//! Loading and inspecting both walk with [`Records`]; it stops at each value, which the caller reads or
//! passes over. Attributes are collected and handed out with the next key, whatever stands in between: KeyDB
//! writes a field about each key behind its expiry. Every error names the record it was found in. See format-spec/snapshot.md, "Opcodes" and "Records".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::error::{Corruption, CorruptionKind, LoadError, Parsed, Place};
use super::primitives::{Reader, Text};

pub(super) const EOF: u8 = 0xff;
pub(super) const SELECTDB: u8 = 0xfe;
pub(super) const EXPIRETIME: u8 = 0xfd;
pub(super) const EXPIRETIME_MS: u8 = 0xfc;
pub(super) const RESIZEDB: u8 = 0xfb;
pub(super) const AUX: u8 = 0xfa;
pub(super) const FREQ: u8 = 0xf9;
pub(super) const IDLE: u8 = 0xf8;
pub(super) const MODULE_AUX: u8 = 0xf7;
pub(super) const FUNCTION2: u8 = 0xf5;
pub(super) const SLOT_INFO: u8 = 0xf4;

/// Bytes of the header.
pub(super) const MAGIC_BYTES: usize = 9;
/// The newest `REDIS` version that is read.
pub(super) const REDIS_VERSION_MAX: u32 = 13;
/// The versions that `VALKEY` files have.
const VALKEY_VERSIONS: std::ops::RangeInclusive<u32> = 80..=80;
/// Checksums exist from this version on.
const CHECKSUM_SINCE: u32 = 5;

/// Whose meaning the type bytes above 21 have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Header `REDIS`.
    Redis,
    /// Header `VALKEY`.
    Valkey,
}

/// The version in a file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Whose numbering it is.
    pub dialect: Dialect,
    /// The number.
    pub number: u32,
}

impl Version {
    /// Reads the header of a file.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let header: [u8; MAGIC_BYTES] = reader.array().map_err(|_| LoadError::NotRdb)?;
        let (dialect, digits) = if let Some(digits) = header.strip_prefix(b"REDIS") {
            (Dialect::Redis, digits)
        } else if let Some(digits) = header.strip_prefix(b"VALKEY") {
            (Dialect::Valkey, digits)
        } else {
            return Err(LoadError::NotRdb);
        };
        let number = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or(LoadError::NotRdb)?;
        let version = Self { dialect, number };
        if version.is_known() {
            Ok(version)
        } else {
            Err(LoadError::UnknownVersion(String::from_utf8_lossy(&header).into_owned()))
        }
    }

    /// The version that the footer of a DUMP payload names; `None` when it is not known.
    pub(super) fn of_dump(number: u16) -> Option<Self> {
        let number = u32::from(number);
        [Dialect::Redis, Dialect::Valkey]
            .into_iter()
            .map(|dialect| Self { dialect, number })
            .find(Self::is_known)
    }

    fn is_known(&self) -> bool {
        match self.dialect {
            Dialect::Redis => (1..=REDIS_VERSION_MAX).contains(&self.number),
            Dialect::Valkey => VALKEY_VERSIONS.contains(&self.number),
        }
    }

    /// Whether files of this version end with a checksum.
    pub fn has_checksum(&self) -> bool {
        self.number >= CHECKSUM_SINCE
    }
}

/// What a file says about a key besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Expiry in unix milliseconds.
    pub expire_at_ms: Option<i64>,
    /// Seconds since the last access (LRU).
    pub idle_seconds: Option<u64>,
    /// Access counter (LFU).
    pub frequency: Option<u8>,
}

/// One record.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// A named text about the file.
    Aux { name: Text<'a>, value: Text<'a> },
    /// The following keys belong to this database.
    SelectDb(u32),
    /// About so many keys follow, and so many with expiry.
    Resize { keys: u64, expires: u64 },
    /// The source of a function library.
    Function(Text<'a>),
    /// A key; the value follows in the reader.
    Key { key: Text<'a>, type_byte: u8, attributes: Attributes },
    /// The end.
    Eof,
}

/// A walk over records.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// Stands at the next record, or at the value of the key handed out last.
    pub(super) reader: Reader<'a>,
    pub(super) version: Version,
    /// Database numbers must be below it.
    databases: u32,
    /// Offset of the record handed out last (of a key: of its first attribute), of its type or opcode, and of its key.
    pub(super) record_offset: u64,
    pub(super) own_offset: u64,
    pub(super) key_offset: u64,
    /// What is known of the next key, and the offset where that begins.
    attributes: Attributes,
    attributes_at: Option<u64>,
    pub(super) place: Place,
    /// Version text of the server that wrote the file.
    pub(super) producer: String,
    /// Bytes of the RDB that this is a section of: what a hint about keys is measured by.
    pub(super) room: u64,
    /// Whether the records end without an end mark.
    pub(super) is_section: bool,
}

impl<'a> Records<'a> {
    /// Walks a whole file from its header.
    pub(super) fn of_file(bytes: &'a [u8], databases: u32) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes);
        let version = Version::read(&mut reader)?;
        Ok(Self { is_section: false, ..Self::of_section(reader, version, databases) })
    }

    /// Walks records without a header.
    pub(super) fn of_section(reader: Reader<'a>, version: Version, databases: u32) -> Self {
        let record_offset = reader.position();
        let (place, producer, room) = (Place::default(), String::new(), reader.remaining() as u64);
        Self {
            reader,
            version,
            databases,
            record_offset,
            own_offset: record_offset,
            key_offset: record_offset,
            attributes: Attributes::default(),
            attributes_at: None,
            place,
            producer,
            room,
            is_section: true,
        }
    }

    /// The next record.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Record<'a>, LoadError> {
        self.place.key = None;
        self.place.type_byte = None;
        self.record_offset = self.reader.position();
        loop {
            let offset = self.reader.position();
            match self.reader.u8().map_err(|error| self.damaged(error))? {
                opcode @ SLOT_INFO.. => {
                    if let Some(record) = self.opcode(opcode, offset)? {
                        self.own_offset = offset;
                        return Ok(record);
                    }
                }
                type_byte if is_type(type_byte, self.version.dialect) => {
                    self.key_offset = self.reader.position();
                    let key = self.reader.string().map_err(|error| self.damaged(error))?;
                    self.place.type_byte = Some(type_byte);
                    self.own_offset = offset;
                    let attributes = std::mem::take(&mut self.attributes);
                    self.record_offset = self.attributes_at.take().unwrap_or(self.record_offset);
                    return Ok(Record::Key { key, type_byte, attributes });
                }
                byte => return Err(self.refuse_type(byte, offset)),
            }
        }
    }

    /// Whether attributes were read whose key is still to come.
    pub(super) fn awaits_key(&self) -> bool {
        self.attributes_at.is_some()
    }

    /// A section may end here: a key and its attributes are never in two.
    pub(super) fn end_of_section(&self) -> Result<(), LoadError> {
        let Some(at) = self.attributes_at else { return Ok(()) };
        Err(self.damaged(Corruption::malformed(at, "frame", "attributes without their key")))
    }

    /// A damage in the current record.
    #[cold]
    pub(super) fn damaged(&self, corruption: Corruption) -> LoadError {
        LoadError::Damaged { corruption, place: self.place.clone() }
    }

    /// Something in the current record that cannot be loaded.
    #[cold]
    pub(super) fn unsupported(&self, what: String, offset: u64) -> LoadError {
        let producer = self.producer.clone();
        LoadError::Unsupported { what, offset, place: self.place.clone(), producer }
    }

    /// Reads an opcode's payload; `None` when it only belongs to what follows.
    fn opcode(&mut self, opcode: u8, offset: u64) -> Result<Option<Record<'a>>, LoadError> {
        if opcode == SELECTDB {
            return self.select_db(offset).map(|db| Some(Record::SelectDb(db)));
        }
        if opcode == MODULE_AUX {
            let id = self.reader.length().map_err(|error| self.damaged(error))?;
            let what = format!("data of the module \"{}\"", module_name(id));
            return Err(self.unsupported(what, offset));
        }
        let is_valkey = self.version.dialect == Dialect::Valkey;
        if opcode == FUNCTION2 + 1 || (opcode == SLOT_INFO && is_valkey) {
            return Err(self.unsupported(format!("opcode {opcode}"), offset));
        }
        let record = read_opcode(&mut self.reader, opcode, &mut self.attributes, self.room);
        let record = record.map_err(|error| self.damaged(error))?;
        match &record {
            Some(Record::Aux { name, value }) => self.note_aux(name, value, offset)?,
            None if opcode != SLOT_INFO => {
                self.attributes_at.get_or_insert(offset);
            }
            _ => {}
        }
        Ok(record)
    }

    /// What a field says about the file, or about the key before it.
    fn note_aux(&mut self, name: &[u8], value: &[u8], offset: u64) -> Result<(), LoadError> {
        if [&b"redis-ver"[..], b"valkey-ver", b"fastness-ver"].contains(&name) {
            if !self.producer.is_empty() {
                self.producer.push_str(", ");
            }
            self.producer.push_str(&format!("{} {}", name.escape_ascii(), value.escape_ascii()));
        }
        // Without its time the member would be there for ever.
        if name == b"keydb-subexpire-key" || name == b"keydb-subexpire-when" {
            return Err(self.unsupported(
                format!(
                    "the expiry of a single member of the key before it ({} \"{}\", by EXPIREMEMBER of KeyDB; \
                     PERSIST KEY MEMBER there takes it away)",
                    name.escape_ascii(),
                    value.escape_ascii()
                ),
                offset,
            ));
        }
        Ok(())
    }

    fn select_db(&mut self, offset: u64) -> Result<u32, LoadError> {
        let index = self.reader.length().map_err(|error| self.damaged(error))?;
        match u32::try_from(index) {
            Ok(db) if db < self.databases => {
                self.place.db = db;
                Ok(db)
            }
            _ => {
                let kind = CorruptionKind::NoSuchDatabase(index);
                Err(self.damaged(Corruption::new(offset, kind)))
            }
        }
    }

    /// The refusal of a type byte that cannot be loaded, with the key's name where it has one.
    #[cold]
    fn refuse_type(&mut self, byte: u8, offset: u64) -> LoadError {
        self.place.type_byte = Some(byte);
        if byte < 128
            && let Ok(key) = self.reader.string()
        {
            self.place.key = Some(key.into_vec());
        }
        let what = match byte {
            6 | 7 => match self.reader.length() {
                Ok(id) => format!("a value of the module \"{}\"", module_name(id)),
                Err(_) => "a module's value".to_owned(),
            },
            _ => format!("type or opcode {byte}"),
        };
        self.unsupported(what, offset)
    }
}

fn read_opcode<'a>(
    reader: &mut Reader<'a>,
    opcode: u8,
    attributes: &mut Attributes,
    room: u64,
) -> Parsed<Option<Record<'a>>> {
    match opcode {
        EXPIRETIME => {
            let seconds = i32::from_le_bytes(reader.array()?);
            attributes.expire_at_ms = Some(i64::from(seconds) * 1000);
        }
        EXPIRETIME_MS => attributes.expire_at_ms = Some(reader.i64()?),
        FREQ => attributes.frequency = Some(reader.u8()?),
        IDLE => attributes.idle_seconds = Some(reader.length()?),
        SLOT_INFO => {
            for _ in 0..3 {
                reader.length()?;
            }
        }
        RESIZEDB => {
            // The shortest key has three bytes, so no hint needs to be believed beyond that.
            let most = room / 3;
            let keys = reader.length()?.min(most);
            return Ok(Some(Record::Resize { keys, expires: reader.length()?.min(keys) }));
        }
        AUX => return Ok(Some(Record::Aux { name: reader.string()?, value: reader.string()? })),
        FUNCTION2 => return Ok(Some(Record::Function(reader.string()?))),
        _ => return Ok(Some(Record::Eof)),
    }
    Ok(None)
}

/// Whether values of this type are read.
pub(super) fn is_type(byte: u8, dialect: Dialect) -> bool {
    match byte {
        0..=5 | 9..=21 => true,
        22 => true,
        23..=26 => dialect == Dialect::Redis,
        _ => false,
    }
}

/// What kind of value and in which form a type byte stands for.
pub(super) fn type_name(byte: u8, dialect: Dialect) -> (&'static str, &'static str) {
    match byte {
        0 => ("string", "plain"),
        1 => ("list", "plain"),
        2 => ("set", "plain"),
        3 => ("zset", "text scores"),
        4 => ("hash", "plain"),
        5 => ("zset", "plain"),
        9 => ("hash", "zipmap"),
        10 => ("list", "ziplist"),
        11 => ("set", "intset"),
        12 => ("zset", "ziplist"),
        13 => ("hash", "ziplist"),
        14 => ("list", "quicklist of ziplists"),
        15 => ("stream", "version 1"),
        16 => ("hash", "listpack"),
        17 => ("zset", "listpack"),
        18 => ("list", "quicklist of listpacks"),
        19 => ("stream", "version 2"),
        20 => ("set", "listpack"),
        21 => ("stream", "version 3"),
        23 | 24 if dialect == Dialect::Valkey => ("unknown", "unknown"),
        22 | 24 => ("hash", "field expiry"),
        23 | 25 => ("hash", "listpack with field expiry"),
        26 => ("stream", "version 4"),
        _ => ("unknown", "unknown"),
    }
}

/// The nine characters that a module's id stands for.
fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9)
        .filter_map(|index| LETTERS.get((id >> (58 - 6 * index) & 63) as usize))
        .map(|letter| char::from(*letter))
        .collect()
}

/// Passes over a value without looking into its strings.
pub(super) fn skip_value(reader: &mut Reader<'_>, type_byte: u8, dialect: Dialect) -> Parsed<()> {
    walk_value(reader, type_byte, dialect, &mut |reader| reader.skip_string())
}

/// Passes over a value; `string` passes over each of its strings.
pub(super) fn walk_value<'a>(
    reader: &mut Reader<'a>,
    type_byte: u8,
    dialect: Dialect,
    string: &mut impl FnMut(&mut Reader<'a>) -> Parsed<()>,
) -> Parsed<()> {
    match type_byte {
        1 | 2 | 14 => {
            for _ in 0..reader.count(1)? {
                string(reader)?;
            }
            Ok(())
        }
        4 => {
            for _ in 0..reader.count(2)? {
                string(reader)?;
                string(reader)?;
            }
            Ok(())
        }
        3 => {
            for _ in 0..reader.count(2)? {
                string(reader)?;
                reader.text_score()?;
            }
            Ok(())
        }
        5 => {
            for _ in 0..reader.count(9)? {
                string(reader)?;
                reader.take(8)?;
            }
            Ok(())
        }
        18 => {
            for _ in 0..reader.count(2)? {
                reader.length()?;
                string(reader)?;
            }
            Ok(())
        }
        15 | 19 | 21 | 26 => walk_stream(reader, type_byte, string),
        22 if dialect == Dialect::Valkey => {
            for _ in 0..reader.count(10)? {
                string(reader)?;
                string(reader)?;
                reader.take(8)?;
            }
            Ok(())
        }
        22 | 24 => {
            if type_byte == 24 {
                reader.take(8)?;
            }
            for _ in 0..reader.count(3)? {
                reader.length()?;
                string(reader)?;
                string(reader)?;
            }
            Ok(())
        }
        25 => {
            reader.take(8)?;
            string(reader)
        }
        // 0 and everything that is one blob.
        _ => string(reader),
    }
}

fn walk_stream<'a>(
    reader: &mut Reader<'a>,
    type_byte: u8,
    string: &mut impl FnMut(&mut Reader<'a>) -> Parsed<()>,
) -> Parsed<()> {
    let lengths = |reader: &mut Reader<'_>, count: u32| -> Parsed<()> {
        for _ in 0..count {
            reader.length()?;
        }
        Ok(())
    };
    for _ in 0..reader.count(2)? * 2 {
        string(reader)?;
    }
    lengths(reader, if type_byte == 15 { 3 } else { 8 })?;
    for _ in 0..reader.count(5)? {
        string(reader)?;
        lengths(reader, if type_byte == 15 { 2 } else { 3 })?;
        for _ in 0..reader.count(25)? {
            reader.take(24)?;
            reader.length()?;
        }
        for _ in 0..reader.count(10)? {
            string(reader)?;
            reader.take(if type_byte >= 21 { 16 } else { 8 })?;
            for _ in 0..reader.count(16)? {
                reader.take(16)?;
            }
        }
    }
    if type_byte == 26 {
        // Memory of idempotent producers.
        lengths(reader, 2)?;
        for _ in 0..reader.count(2)? {
            string(reader)?;
            for _ in 0..reader.count(3)? {
                string(reader)?;
                lengths(reader, 2)?;
            }
        }
        lengths(reader, 2)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
