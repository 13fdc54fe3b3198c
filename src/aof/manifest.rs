//! The manifest: which files make up the data set, in which order.
//!
//! The grammar is exactly that of Redis 7, so that Redis and Valkey read what is written here and the
//! other way round; pairs that are not known are kept. Two things are added where their loaders do not look:
//! pairs (`salt` and `end` on segments, `position`, `size` and `crc` on bases) and a first comment line with a CRC of all
//! behind it: the last line stays that of the newest segment, where scripts for Redis look for it.
//! A manifest without that line (Redis wrote it) loads and is reported as unchecked; one whose line
//! does not hold is damaged and is never half believed.
//!
//! Pure functions of bytes; `log` swaps the file with `disk::durable::replace_file`.
//! Spec: `format-spec/manifest.md`.

use std::fmt;

use super::record::{Position, Salt, hex};

/// The longest line, with its newline, that Redis accepts.
const LINE_LEN_MAX: usize = 1024;
/// The largest manifest that is read: some ten thousand files.
pub const MANIFEST_LEN_MAX: usize = 4 << 20;
/// What the line with the checksum, the first one, starts with.
const CRC_START: &[u8] = b"#FASTNESS-MANIFEST 1 ";

/// What the data directory's log consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, loaded first; `None` in a log that was never rewritten.
    pub base: Option<Entry>,
    /// Files that are not needed any more and may be gone already.
    pub history: Vec<Entry>,
    /// The segments in the order in which they are loaded; their sequence numbers increase.
    pub incrs: Vec<Entry>,
}

/// One listed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A name without directory.
    pub name: String,
    /// Its sequence number, from 1.
    pub seq: u64,
    /// Pairs other than file, seq and type, as they are written.
    pub pairs: Vec<(String, String)>,
}

/// What a base holds, whatever its name: another file in its place, sound by itself, is told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the whole file.
    pub size: u64,
    /// CRC-32 of all of them.
    pub crc: u32,
}

impl Content {
    /// That of a file with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, crc: crc32fast::hash(bytes) }
    }
}

impl Entry {
    /// A file without further pairs.
    pub fn new(name: String, seq: u64) -> Self {
        Self { name, seq, pairs: Vec::new() }
    }

    /// With the salt that the file's header has.
    #[must_use]
    pub fn with_salt(mut self, salt: Salt) -> Self {
        self.pairs.push(("salt".to_owned(), salt.to_string()));
        self
    }

    /// With the place in the log whose state the file holds.
    #[must_use]
    pub fn with_position(mut self, position: Position) -> Self {
        self.pairs.push(("position".to_owned(), position.to_string()));
        self
    }

    /// With what the file holds (bases only).
    #[must_use]
    pub fn with_content(mut self, content: Option<Content>) -> Self {
        self.set_content(content);
        self
    }

    /// Notes what the file holds, or that this is not known.
    pub fn set_content(&mut self, content: Option<Content>) {
        let ours = |key: &str| key.eq_ignore_ascii_case("size") || key.eq_ignore_ascii_case("crc");
        self.pairs.retain(|(key, _)| !ours(key));
        if let Some(Content { size, crc }) = content {
            self.pairs.push(("size".to_owned(), size.to_string()));
            self.pairs.push(("crc".to_owned(), format!("{crc:08x}")));
        }
    }

    /// What the file must hold; `None` for what Redis or an older version listed.
    pub fn content(&self) -> Option<Content> {
        let size = self.pair("size")?.parse().ok()?;
        let crc = u32::try_from(hex(self.pair("crc")?.as_bytes(), 8)?).ok()?;
        Some(Content { size, crc })
    }

    /// The salt that the file's header must have; `None` for files that Redis made or listed.
    pub fn salt(&self) -> Option<Salt> {
        hex(self.pair("salt")?.as_bytes(), 16).map(Salt)
    }

    /// The place in the log whose state the file holds (bases only).
    pub fn position(&self) -> Option<Position> {
        self.pair("position")?.parse().ok().map(Position)
    }

    /// Whether it is a base that its name or the manifest calls a snapshot.
    pub fn is_snapshot(&self) -> bool {
        self.name.ends_with(".base.rdb") || self.position().is_some()
    }

    /// Where the log stood when this segment was left: what it holds reaches at least so far (segments only).
    pub fn end(&self) -> Option<Position> {
        self.pair("end")?.parse().ok().map(Position)
    }

    /// Notes where the log stood when this segment was left.
    pub fn set_end(&mut self, end: Position) {
        self.pairs.retain(|(key, _)| !key.eq_ignore_ascii_case("end"));
        self.pairs.push(("end".to_owned(), end.to_string()));
    }

    fn pair(&self, key: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(other, _)| other.eq_ignore_ascii_case(key))?;
        Some(&pair.1)
    }
}

/// What a manifest file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedManifest {
    /// The files.
    pub manifest: Manifest,
    /// Whether a checksum vouched for it.
    pub checked: bool,
}

/// Why a manifest cannot be believed: the line (from 1) and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: ManifestErrorKind,
}

/// What can be wrong with a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestErrorKind {
    /// No line at all, or none that lists a file.
    Empty,
    /// A line is too long, or the last one has no newline.
    BadLineEnd,
    /// A line is blank.
    BlankLine,
    /// Not pairs of keys and values, or quotes that do not match.
    BadPairs,
    /// A line lacks file, seq or type.
    MissingPair,
    /// The name is empty, has a `/` in it, or is not UTF-8.
    BadName,
    /// The sequence number is not a positive number.
    BadSeq,
    /// The type is not b, h or i.
    BadType,
    /// A second base.
    SecondBase,
    /// A segment's number is not above that of the one before.
    SeqOrder,
    /// A file is listed twice.
    DuplicateName,
    /// The checksum line is not the last one, or not well formed.
    BadChecksumLine,
    /// The checksum does not hold.
    BadChecksum,
    /// There is no checksum line although Fastness wrote the file.
    NoChecksum,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ManifestErrorKind as Kind;
        let text = match self.kind {
            Kind::Empty => "Found an empty AOF manifest: no file is listed",
            Kind::BadLineEnd => {
                "The AOF manifest file contains too long line, or its last one has no newline"
            }
            Kind::BlankLine => "Invalid AOF manifest file format: line is blank",
            Kind::BadPairs => {
                "Invalid AOF manifest file format: line is not a list of keys and values"
            }
            Kind::MissingPair => "Invalid AOF manifest file format: file, seq or type is missing",
            Kind::BadName => "Invalid AOF manifest file format: file is not a plain name",
            Kind::BadSeq => "Invalid AOF manifest file format: seq is not a positive number",
            Kind::BadType => "Unknown AOF file type: it is not b, h or i",
            Kind::SecondBase => "Found duplicate base file information",
            Kind::SeqOrder => "Found a non-monotonic sequence number",
            Kind::DuplicateName => "file is listed twice",
            Kind::BadChecksumLine => "checksum line is not the first line or not well formed",
            Kind::BadChecksum => "checksum does not hold",
            Kind::NoChecksum => "checksum line is missing",
        };
        write!(f, "line {}: {text}", self.line)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// The file's content, the checksum line included.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        let files = self.base.iter().map(|entry| (entry, 'b'));
        let files = files.chain(self.history.iter().map(|entry| (entry, 'h')));
        for (entry, kind) in files.chain(self.incrs.iter().map(|entry| (entry, 'i'))) {
            text.push_str("file ");
            quote(&mut text, &entry.name);
            text.push_str(&format!(" seq {} type {kind}", entry.seq));
            for word in entry.pairs.iter().flat_map(|(key, value)| [key, value]) {
                text.push(' ');
                quote(&mut text, word);
            }
            text.push('\n');
        }
        let crc = crc32fast::hash(text.as_bytes());
        let mut bytes = CRC_START.to_vec();
        bytes.extend_from_slice(format!("{crc:08x}\n{text}").as_bytes());
        bytes
    }

    /// Reads a manifest file's content.
    pub fn parse(bytes: &[u8]) -> Result<ParsedManifest, ManifestError> {
        let mut manifest = Self::default();
        let mut checked = false;
        let mut number = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            number += 1;
            let fail = |kind| ManifestError { line: number, kind };
            let body = line.strip_suffix(b"\n").filter(|_| line.len() <= LINE_LEN_MAX);
            let body = body.ok_or(fail(ManifestErrorKind::BadLineEnd))?;
            if let Some(crc) = body.strip_prefix(CRC_START) {
                let crc = hex(crc, 8).filter(|_| number == 1);
                let crc = crc.ok_or(fail(ManifestErrorKind::BadChecksumLine))?;
                let right = crc32fast::hash(bytes.get(line.len()..).unwrap_or_default());
                if crc != u64::from(right) {
                    return Err(fail(ManifestErrorKind::BadChecksum));
                }
                checked = true;
            } else if body.first() != Some(&b'#') {
                manifest.add(body).map_err(fail)?;
            }
        }
        if manifest.base.is_none() && manifest.history.is_empty() && manifest.incrs.is_empty() {
            return Err(ManifestError { line: number, kind: ManifestErrorKind::Empty });
        }
        // Redis drops pairs and comments alike; pairs without the checksum mean that it was lost.
        let ours = |entry: &Entry| {
            entry.salt().is_some()
                || entry.position().is_some()
                || entry.end().is_some()
                || entry.content().is_some()
        };
        if !checked && manifest.entries().any(ours) {
            return Err(ManifestError { line: number, kind: ManifestErrorKind::NoChecksum });
        }
        Ok(ParsedManifest { manifest, checked })
    }

    /// What one line lists, read on its own; `None` when it lists nothing.
    pub fn parse_line(line: &[u8]) -> Option<Self> {
        let mut manifest = Self::default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        (line.first() != Some(&b'#') && manifest.add(line).is_ok()).then_some(manifest)
    }

    /// All listed files, history included.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.base.iter().chain(&self.history).chain(&self.incrs)
    }

    /// Takes over what one line says.
    fn add(&mut self, line: &[u8]) -> Result<(), ManifestErrorKind> {
        use ManifestErrorKind as Kind;
        if line.trim_ascii().is_empty() {
            return Err(Kind::BlankLine);
        }
        let words = split_words(line).ok_or(Kind::BadPairs)?;
        if words.len() < 6 || !words.len().is_multiple_of(2) {
            return Err(Kind::BadPairs);
        }
        let (mut name, mut seq, mut kind, mut pairs) = (None, None, None, Vec::new());
        for pair in words.chunks_exact(2) {
            let [key, value] = pair else { return Err(Kind::BadPairs) };
            match key.to_ascii_lowercase().as_slice() {
                b"file" => name = Some(plain_name(value)?),
                b"seq" => seq = Some(positive(value)?),
                b"type" => {
                    let [letter] = value.as_slice() else { return Err(Kind::BadType) };
                    kind = Some(*letter);
                }
                _ => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    pairs.push((text(key), text(value)));
                }
            }
        }
        let (Some(name), Some(seq), Some(kind)) = (name, seq, kind) else {
            return Err(Kind::MissingPair);
        };
        if kind == b'b' && self.base.is_some() {
            return Err(Kind::SecondBase);
        }
        if kind != b'h' && self.base.iter().chain(&self.incrs).any(|entry| entry.name == name) {
            return Err(Kind::DuplicateName);
        }
        let entry = Entry { name, seq, pairs };
        match kind {
            b'b' => self.base = Some(entry),
            b'h' => self.history.push(entry),
            b'i' if self.incrs.last().is_some_and(|last| last.seq >= seq) => {
                return Err(Kind::SeqOrder);
            }
            b'i' => self.incrs.push(entry),
            _ => return Err(Kind::BadType),
        }
        Ok(())
    }
}

fn plain_name(value: &[u8]) -> Result<String, ManifestErrorKind> {
    let name = String::from_utf8(value.to_vec()).map_err(|_| ManifestErrorKind::BadName)?;
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    if plain { Ok(name) } else { Err(ManifestErrorKind::BadName) }
}

fn positive(value: &[u8]) -> Result<u64, ManifestErrorKind> {
    let number: Option<i64> = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    let number = number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or(ManifestErrorKind::BadSeq)
}

/// Appends a word, in double quotes where the reader would otherwise not see one word.
fn quote(out: &mut String, word: &str) {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'\'');
    if !word.is_empty() && word.bytes().all(plain) {
        out.push_str(word);
        return;
    }
    out.push('"');
    for byte in word.bytes() {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
}

/// Splits a line into words as Redis' config and manifest readers do; `None` when quotes do not match.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let Some(first) = rest.first() else { return Some(words) };
        let mut word = Vec::new();
        match first {
            b'"' => rest = double_quoted(rest.get(1..)?, &mut word)?,
            b'\'' => rest = single_quoted(rest.get(1..)?, &mut word)?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                let (plain, behind) = rest.split_at_checked(end)?;
                word.extend_from_slice(plain);
                rest = behind;
            }
        }
        // A closing quote must be followed by a space or nothing.
        if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return None;
        }
        words.push(word);
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match byte {
            b'"' => return Some(rest),
            b'\\' => {
                if let [b'x', high, low, behind @ ..] = rest
                    && let (Some(high), Some(low)) = (nibble(*high), nibble(*low))
                {
                    word.push(high << 4 | low);
                    rest = behind;
                    continue;
                }
                let (escaped, behind) = rest.split_first()?;
                rest = behind;
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
            }
            other => word.push(*other),
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'\\', b'\'', behind @ ..] => {
                word.push(b'\'');
                rest = behind;
            }
            [b'\'', behind @ ..] => return Some(behind),
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// For the fuzzer: a manifest is refused, or says the same after it was written again (where its lines do
/// not become too long by that).
#[doc(hidden)]
pub fn fuzz_manifest(bytes: &[u8]) {
    let Ok(parsed) = Manifest::parse(bytes) else { return };
    let written = parsed.manifest.encode();
    if written.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() <= LINE_LEN_MAX) {
        assert_eq!(Manifest::parse(&written).map(|again| again.manifest), Ok(parsed.manifest));
    }
}

#[cfg(test)]
mod tests {
    use super::ManifestErrorKind as Kind;
    use super::*;

    fn example() -> Manifest {
        Manifest {
            base: Some(
                Entry::new("appendonly.aof.2.base.rdb".into(), 2)
                    .with_position(Position(77))
                    .with_content(Some(Content::of(b"123456789"))),
            ),
            history: vec![Entry::new("appendonly.aof.1.incr.aof".into(), 1)],
            incrs: vec![
                Entry::new("appendonly.aof.3.incr.aof".into(), 3).with_salt(Salt(0xfee1_600d)),
                Entry::new("appendonly.aof.4.incr.aof".into(), 4),
            ],
        }
    }

    fn error(text: &str) -> Kind {
        Manifest::parse(text.as_bytes()).unwrap_err().kind
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = example();
        let parsed = Manifest::parse(&manifest.encode()).unwrap();
        assert_eq!(parsed, ParsedManifest { manifest, checked: true });
        let manifest = parsed.manifest;
        let base = manifest.base.unwrap();
        assert_eq!(base.position(), Some(Position(77)));
        assert_eq!(base.content(), Some(Content { size: 9, crc: 0xcbf4_3926 }));
        assert_eq!(base.with_content(None).content(), None);
        assert_eq!(manifest.incrs[0].salt(), Some(Salt(0xfee1_600d)));
        assert_eq!(manifest.incrs[1].salt(), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = example().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::parse(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_redis_accepts_is_accepted() {
        let text = "# a comment\nseq 1 TYPE b File a startoffset 5\n\
                    file 'b c' seq 2 type h\nfile \"d\\x20e\" seq 3 type i\n";
        let parsed = Manifest::parse(text.as_bytes()).unwrap();
        assert!(!parsed.checked);
        let manifest = parsed.manifest;
        let base = manifest.base.as_ref().unwrap();
        assert_eq!(base.pairs, [("startoffset".to_owned(), "5".to_owned())]);
        assert_eq!(manifest.history[0].name, "b c");
        assert_eq!(manifest.incrs[0].name, "d e");
        assert_eq!(Manifest::parse(&manifest.encode()).unwrap().manifest, manifest);
    }

    #[test]
    fn what_redis_refuses_is_refused() {
        assert_eq!(error(""), Kind::Empty);
        assert_eq!(error("# only a comment\n"), Kind::Empty);
        assert_eq!(error("file a seq 1 type b"), Kind::BadLineEnd);
        assert_eq!(error("file a seq 1 type b\n\n"), Kind::BlankLine);
        assert_eq!(error("file a seq 1\n"), Kind::BadPairs);
        assert_eq!(error("file a seq 1 type b key\n"), Kind::BadPairs);
        assert_eq!(error("file \"a seq 1 type b\n"), Kind::BadPairs);
        assert_eq!(error("file \"a\"b seq 1 type b\n"), Kind::BadPairs);
        assert_eq!(error("file a seq 1 key value\n"), Kind::MissingPair);
        assert_eq!(error("file a/b seq 1 type b\n"), Kind::BadName);
        assert_eq!(error("file .. seq 1 type b\n"), Kind::BadName);
        assert_eq!(error("file a seq 0 type b\n"), Kind::BadSeq);
        assert_eq!(error("file a seq x type b\n"), Kind::BadSeq);
        assert_eq!(error("file a seq 1 type x\n"), Kind::BadType);
        assert_eq!(error("file a seq 1 type bb\n"), Kind::BadType);
        assert_eq!(error("file a seq 1 type b position 7\n"), Kind::NoChecksum);
        assert_eq!(error("file a seq 1 type b size 9 crc cbf43926\n"), Kind::NoChecksum);
        assert_eq!(error("file a seq 1 type b\nfile b seq 2 type b\n"), Kind::SecondBase);
        assert_eq!(error("file a seq 1 type b\nfile a seq 1 type b\n"), Kind::SecondBase);
        assert_eq!(error("file a seq 2 type i\nfile b seq 2 type i\n"), Kind::SeqOrder);
        assert_eq!(error("file a seq 1 type i\nfile a seq 2 type i\n"), Kind::DuplicateName);
        let long = format!("#{}\n", "x".repeat(1023));
        assert_eq!(error(&long), Kind::BadLineEnd);
    }

    #[test]
    fn the_checksum_comes_first_and_the_newest_segment_last() {
        let bytes = example().encode();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(lines[0].starts_with(CRC_START));
        assert!(lines.last().unwrap().starts_with(b"file appendonly.aof.4.incr.aof seq 4 type i"));
        let more = [bytes.as_slice(), b"# more\n"].concat();
        assert_eq!(Manifest::parse(&more).unwrap_err().kind, Kind::BadChecksum);
        for at in 1..=lines.len() {
            let mut moved = lines[1..].to_vec();
            moved.insert(at - 1, lines[0]);
            let moved = Manifest::parse(&moved.concat());
            match at {
                1 => assert!(moved.is_ok_and(|parsed| parsed.checked)),
                _ => assert_eq!(moved.unwrap_err().kind, Kind::BadChecksumLine),
            }
        }
    }
}
