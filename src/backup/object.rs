//! The bytes of an object: one line that says what it is, and the content, compressed where that helps.
//!
//! Pure functions. The line has a CRC over itself and what follows, so that a flipped bit is found even where
//! it would not change what decompression makes of it; the SHA-256 of the content is checked besides.
//! `format-spec/backup.md`, section 2.

use sha2::{Digest as _, Sha256};

use super::seal::Keys;

/// The longest first line of an object.
const LINE_LEN_MAX: usize = 512;
/// What the line starts with.
const START: &str = "FASTNESS-OBJECT 1 ";
/// A content is not longer than this, whatever an object says.
pub const CONTENT_LEN_MAX: u64 = 256 << 20;
/// Fast and near to what the higher ones reach on RDB.
const LEVEL: i32 = 3;

/// SHA-256 of a content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha([u8; 32]);

impl Sha {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// 64 lower-case digits, as [`std::fmt::Display`] writes them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let canonical = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.iter().all(canonical) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Hashes a content that comes in pieces.
#[derive(Debug, Default)]
pub struct ShaOfPieces(Sha256);

impl ShaOfPieces {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all of them.
    pub fn finish(self) -> Sha {
        Sha(self.0.finalize().into())
    }
}

/// What is added to the codec of a sealed content.
const SEALED: &str = "+age";
/// A seal is longer than what it holds by at most so much.
const SEAL_LEN_MAX: u64 = 1 << 20;

/// Makes an object, sealed if the keys have recipients. `words` are further fields of its line, each one word.
pub fn encode(content: &[u8], sha: Sha, words: &[String], keys: &Keys) -> Result<Vec<u8>, String> {
    let packed = zstd::bulk::compress(content, LEVEL).ok();
    let packed = packed.filter(|packed| packed.len() < content.len());
    let (codec, stored) = match &packed {
        Some(packed) => ("zstd", packed.as_slice()),
        None => ("plain", content),
    };
    let sealed = keys.seals().then(|| keys.seal(stored)).transpose()?;
    let (stored, seal) = match &sealed {
        Some(sealed) => (sealed.as_slice(), SEALED),
        None => (stored, ""),
    };
    let mut line = format!("{START}{codec}{seal} {} {} {sha} ", content.len(), stored.len());
    for word in words {
        line.push_str(word);
        line.push(' ');
    }
    Ok(put_together(line, stored))
}

/// The first line, as far as the checksum, and what is stored.
fn put_together(mut line: String, stored: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(line.as_bytes());
    crc.update(stored);
    line.push_str(&format!("{:08x}\n", crc.finalize()));
    let mut out = line.into_bytes();
    out.extend_from_slice(stored);
    out
}

/// Makes an object whose content is stored as it is.
pub fn encode_plain(content: &[u8], sha: Sha) -> Vec<u8> {
    put_together(plain_line(content, sha), content)
}

/// The length of such an object.
pub fn plain_len(content: &[u8], sha: Sha) -> u64 {
    const CRC_AND_LF: u64 = 9;
    plain_line(content, sha).len() as u64 + CRC_AND_LF + content.len() as u64
}

fn plain_line(content: &[u8], sha: Sha) -> String {
    let len = content.len();
    format!("{START}plain {len} {len} {sha} ")
}

/// What an object holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// The content.
    pub content: Vec<u8>,
    /// Its hash, which was compared.
    pub sha: Sha,
    /// The further fields of its line.
    pub words: Vec<String>,
}

/// An object as far as it can be looked at without opening it: its checksum holds.
#[derive(Debug)]
pub struct Closed<'b> {
    codec: &'b str,
    stored: &'b [u8],
    /// Bytes of the content, as it says.
    pub len: u64,
    /// The hash that its content must have.
    pub sha: Sha,
    words: Vec<String>,
}

impl Closed<'_> {
    /// Whether an identity is needed to open it.
    pub fn is_sealed(&self) -> bool {
        self.codec.ends_with(SEALED)
    }
}

/// Takes an object apart; an error says what is wrong with it.
pub fn decode(bytes: &[u8], keys: &Keys) -> Result<Object, String> {
    let Closed { codec, stored, len, sha, words } = look(bytes)?;
    let content = match codec.strip_suffix(SEALED) {
        Some(codec) => unpack(codec, &keys.open(stored, len + SEAL_LEN_MAX)?, len)?,
        None => unpack(codec, stored, len)?,
    };
    if Sha::of(&content) != sha {
        return Err("its content has another hash".to_owned());
    }
    Ok(Object { content, sha, words })
}

/// Checks an object without opening it; an error says what is wrong with it.
pub fn look(bytes: &[u8]) -> Result<Closed<'_>, String> {
    let window = bytes.get(..bytes.len().min(LINE_LEN_MAX)).unwrap_or_default();
    let end = window.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
    let line = window.get(..end).and_then(|line| str::from_utf8(line).ok());
    let line = line.ok_or("its first line is not text")?;
    let stored = bytes.get(end + 1..).unwrap_or_default();
    let Some(rest) = line.strip_prefix(START) else {
        let other = line.starts_with("FASTNESS-OBJECT ");
        let what =
            if other { "it is of a later version" } else { "it does not start as an object" };
        return Err(what.to_owned());
    };
    let (covered, crc) = line.rsplit_once(' ').ok_or("its first line is cut short")?;
    let mut found = crc32fast::Hasher::new();
    found.update(covered.as_bytes());
    found.update(b" ");
    found.update(stored);
    if format!("{:08x}", found.finalize()) != crc {
        return Err("its checksum does not hold".to_owned());
    }
    let mut words = rest.split(' ');
    let mut word = || words.next().ok_or("its first line is cut short");
    let codec = word()?;
    let number = |word: &str| word.parse::<u64>().map_err(|_| "its first line has no number");
    let len = number(word()?)?;
    let stored_len = number(word()?)?;
    let sha = Sha::parse(word()?).ok_or("its first line has no hash")?;
    if stored_len != stored.len() as u64 || len > CONTENT_LEN_MAX {
        return Err("its length is not what it says".to_owned());
    }
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.pop();
    Ok(Closed { codec, stored, len, sha, words })
}

fn unpack(codec: &str, stored: &[u8], len: u64) -> Result<Vec<u8>, String> {
    let len = usize::try_from(len).map_err(|_| "its content is too long")?;
    let content = match codec {
        "plain" => stored.to_vec(),
        "zstd" => zstd::bulk::decompress(stored, len).map_err(|error| format!("zstd: {error}"))?,
        other => return Err(format!("it is packed by {other}, which is not known")),
    };
    if content.len() == len { Ok(content) } else { Err("its content is cut short".to_owned()) }
}

/// For the fuzzer: whatever an object's bytes are, they are refused or hold what they say.
#[doc(hidden)]
pub fn fuzz_backup_object(bytes: &[u8]) {
    if let Ok(object) = decode(bytes, &Keys::default()) {
        assert_eq!(Sha::of(&object.content), object.sha);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(content: &[u8], sha: Sha, words: &[String]) -> Vec<u8> {
        super::encode(content, sha, words, &Keys::default()).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Object, String> {
        super::decode(bytes, &Keys::default())
    }

    #[test]
    fn objects_come_back_with_their_words() {
        let words = ["7".to_owned(), "00ff".to_owned()];
        for content in [&b""[..], b"short", &[7; 10_000]] {
            let bytes = encode(content, Sha::of(content), &words);
            let object = decode(&bytes).unwrap();
            assert_eq!((object.content.as_slice(), object.words.as_slice()), (content, &words[..]));
        }
        assert!(encode(&[7; 10_000], Sha::of(&[7; 10_000]), &[]).len() < 400, "it is compressed");
    }

    #[test]
    fn no_flipped_byte_and_no_cut_goes_unseen() {
        let content: Vec<u8> = (0..4000u32).flat_map(|n| (n % 97).to_le_bytes()).collect();
        let bytes = encode(&content, Sha::of(&content), &["x".to_owned()]);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "byte {at}, bit {bit}");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
