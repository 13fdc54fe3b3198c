//! The manifest of a backup: which files, which parts, what state; the one object that makes it a backup.
//!
//! Text: a first line with the version, one JSON object, a last line with the SHA-256 of all before it. It is
//! stored when every object that it names is stored, and never changed. Fields that are not known are
//! ignored. `format-spec/backup.md`, section 3.

use super::checked_text;
use serde_json::{Map, Value, json};

use super::archive::piece::{self, Range, SegmentId};
use super::object::Sha;
use crate::aof::record::Salt;
use crate::clock::UnixMillis;

const START: &str = "FASTNESS-BACKUP 1\n";

/// What a backup consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Its name: when it was made, and something random.
    pub id: String,
    /// When it was begun.
    pub created_at: UnixMillis,
    /// Who wrote the data and where it came from, without secrets.
    pub origin: Origin,
    /// The time of the state: of the last thing in it; `None` when nothing tells.
    pub instant: Option<UnixMillis>,
    /// The log's position of the state; `None` without a log.
    pub position: Option<u64>,
    /// The base or snapshot; `None` for a log that began empty.
    pub base: Option<BackedFile>,
    /// The log behind it, in order.
    pub segments: Vec<BackedFile>,
    /// DEBUG DIGEST of the state, and its keys, when it was loaded to find out.
    pub digest: Option<String>,
    /// See `digest`.
    pub keys: Option<u64>,
    /// How the repository was encrypted; `None`: an earlier version did not note it.
    pub sealing: Option<Sealing>,
}

/// How a repository is encrypted, as the manifests of its backups say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Not at all.
    Open,
    /// For recipients, perhaps by a passphrase.
    Sealed {
        /// The hash of the object `recipients`.
        recipients: Sha,
        /// That of the object `identity`.
        identity: Option<Sha>,
    },
}

impl Sealing {
    fn json(self) -> Value {
        match self {
            Self::Open => json!(false),
            Self::Sealed { recipients, identity } => json!({
                "recipients": recipients.to_string(),
                "identity": identity.map(|sha| sha.to_string()),
            }),
        }
    }

    fn of_json(value: &Value) -> Option<Self> {
        if *value == json!(false) {
            return Some(Self::Open);
        }
        let recipients = Sha::parse(value.get("recipients")?.as_str()?)?;
        let identity = match value.get("identity")? {
            Value::Null => None,
            sha => Some(Sha::parse(sha.as_str()?)?),
        };
        Some(Self::Sealed { recipients, identity })
    }
}

/// Where a backup came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `directory`, `server` (its files) or `replication`.
    pub kind: String,
    /// The directory or address.
    pub address: String,
    /// The program and version that wrote it, as far as it says.
    pub producer: String,
    /// The directory of the log's files below the data directory; empty when there is no log.
    pub log_dir: String,
    /// What the names of the log's files start with.
    pub log_name: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedFile {
    /// Its name, without directory.
    pub name: String,
    /// Its number in the log's manifest; 0 for a snapshot outside of a log.
    pub seq: u64,
    /// Bytes.
    pub size: u64,
    /// Of all its bytes; `None` for what was put together from the archive.
    pub sha: Option<Sha>,
    /// The salt that the log's manifest lists.
    pub salt: Option<Salt>,
    /// The position that a base holds, or a segment starts at.
    pub position: Option<u64>,
    /// Where a segment ends.
    pub end: Option<u64>,
    /// When the base was made (whole seconds), or the first record of a segment.
    pub first_time: Option<UnixMillis>,
    /// The time of the last record.
    pub last_time: Option<UnixMillis>,
    /// Keys of a base, units of a segment.
    pub records: u64,
    /// Its content, in order.
    pub parts: Vec<Part>,
}

/// A piece of a file, stored as one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its hash, which is the object's name.
    pub sha: Sha,
    /// Bytes of content.
    pub size: u64,
    /// Bytes of the object.
    pub stored: u64,
    /// Of a piece of the archive: what its name says besides the hash.
    pub at: Option<(SegmentId, Range)>,
}

impl Part {
    /// The name of its object.
    pub fn object(&self) -> String {
        match &self.at {
            None => object_name(self.sha),
            Some((segment, range)) => piece::name(segment, range, self.sha),
        }
    }
}

/// The name of the object with this content.
pub fn object_name(sha: Sha) -> String {
    let text = sha.to_string();
    format!("objects/{}/{text}", text.get(..2).unwrap_or_default())
}

impl Manifest {
    /// The base and the segments, in the order in which they are loaded.
    pub fn files(&self) -> impl Iterator<Item = &BackedFile> {
        self.base.iter().chain(&self.segments)
    }

    /// All parts of all files; a part may come twice.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.files().flat_map(|file| &file.parts)
    }

    /// The same, to be changed.
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.base.iter_mut().chain(&mut self.segments).flat_map(|file| &mut file.parts)
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// The name of its object.
    pub fn object(&self) -> String {
        manifest_name(&self.id)
    }

    /// The bytes that are stored.
    pub fn encode(&self) -> Vec<u8> {
        checked_text::encode(START, &format!("{:#}\n", self.json()))
    }

    fn json(&self) -> Value {
        let Origin { kind, address, producer, log_dir, log_name } = &self.origin;
        let mut value = json!({
            "id": self.id,
            "created_at": self.created_at,
            "origin": {
                "kind": kind, "address": address, "producer": producer,
                "log_dir": log_dir, "log_name": log_name,
            },
            "instant": self.instant,
            "position": self.position,
            "base": self.base.as_ref().map(BackedFile::json),
            "segments": self.segments.iter().map(BackedFile::json).collect::<Vec<_>>(),
            "digest": self.digest,
            "keys": self.keys,
        });
        if let (Some(sealing), Some(map)) = (self.sealing, value.as_object_mut()) {
            map.insert("sealed".to_owned(), sealing.json());
        }
        value
    }

    /// Reads the bytes of a manifest; an error says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"FASTNESS-BACKUP ") {
            return Err("it is no backup's manifest".to_owned());
        }
        let body = checked_text::decode(bytes, START)?;
        let value: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        Self::of_json(&value).ok_or_else(|| "a field is missing or of the wrong kind".to_owned())
    }

    fn of_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let origin = value.get("origin")?;
        let word = |name: &str| origin.get(name).and_then(text);
        let origin = Origin {
            kind: word("kind")?,
            address: word("address")?,
            producer: word("producer")?,
            log_dir: plain_or_empty(&word("log_dir")?)?,
            log_name: plain_or_empty(&word("log_name")?)?,
        };
        let base = match value.get("base")? {
            Value::Null => None,
            file => Some(BackedFile::of_json(file)?),
        };
        let segments = value.get("segments")?.as_array()?;
        Some(Self {
            id: text(value.get("id")?)?,
            created_at: value.get("created_at")?.as_i64()?,
            origin,
            instant: value.get("instant")?.as_i64(),
            position: value.get("position")?.as_u64(),
            base,
            segments: segments.iter().map(BackedFile::of_json).collect::<Option<_>>()?,
            digest: value.get("digest").and_then(text),
            keys: value.get("keys").and_then(Value::as_u64),
            sealing: match value.get("sealed") {
                None => None,
                Some(sealing) => Some(Sealing::of_json(sealing)?),
            },
        })
    }
}

/// A name without `/`, or nothing: these become paths below the directory that is restored to.
fn plain_or_empty(name: &str) -> Option<String> {
    let plain = !name.contains(['/', '\0']) && name != "." && name != "..";
    plain.then(|| name.to_owned())
}

impl BackedFile {
    /// Of a base: since when its state is what it is. A snapshot is of one instant; Redis before version 7 goes on with
    /// records in the same file, whose last time counts, if they have times.
    pub fn state_time(&self) -> Option<UnixMillis> {
        if self.last_time != self.first_time {
            return self.last_time;
        }
        // Backups of old say the time of the snapshot for both.
        let may_go_on =
            self.seq > 0 && self.position.is_none() && !self.name.ends_with(".base.rdb");
        self.first_time.filter(|_| !may_go_on)
    }

    fn json(&self) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                map.insert(name.to_owned(), value);
            }
        };
        put("name", json!(self.name));
        put("seq", json!(self.seq));
        put("size", json!(self.size));
        put("sha256", json!(self.sha.map(|sha| sha.to_string())));
        put("salt", json!(self.salt.map(|salt| salt.to_string())));
        put("position", json!(self.position));
        put("end", json!(self.end));
        put("first_time", json!(self.first_time));
        put("last_time", json!(self.last_time));
        put("records", json!(self.records));
        let parts = self.parts.iter();
        let parts = parts.map(|part| json!([part.sha.to_string(), part.size, part.stored]));
        put("parts", Value::Array(parts.collect()));
        Value::Object(map)
    }

    fn of_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let time = |name: &str| value.get(name).and_then(Value::as_i64);
        let name = value.get("name")?.as_str().and_then(plain_or_empty)?;
        let parts = value.get("parts")?.as_array()?.iter().map(|part| {
            Some(Part {
                sha: Sha::parse(part.get(0)?.as_str()?)?,
                size: part.get(1)?.as_u64()?,
                stored: part.get(2)?.as_u64()?,
                at: None,
            })
        });
        let salt = match value.get("salt") {
            None => None,
            Some(salt) => Some(Salt(u64::from_str_radix(salt.as_str()?, 16).ok()?)),
        };
        let file = Self {
            name,
            seq: number("seq")?,
            size: number("size")?,
            sha: Some(Sha::parse(value.get("sha256")?.as_str()?)?),
            salt,
            position: number("position"),
            end: number("end"),
            first_time: time("first_time"),
            last_time: time("last_time"),
            records: number("records")?,
            parts: parts.collect::<Option<_>>()?,
        };
        let whole: Option<u64> =
            file.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.size));
        (!file.name.is_empty() && whole == Some(file.size)).then_some(file)
    }
}

/// The name of a manifest's object.
pub fn manifest_name(id: &str) -> String {
    format!("backups/{id}")
}

/// For the fuzzer: a manifest is refused, or says the same after it was written again.
#[doc(hidden)]
pub fn fuzz_backup_manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::backup) fn example() -> Manifest {
        let sha = Sha::of(b"content");
        let file = |name: &str, seq| BackedFile {
            name: name.to_owned(),
            seq,
            size: 7,
            sha: Some(sha),
            salt: (seq > 1).then_some(Salt(0xab)),
            position: Some(10),
            end: None,
            first_time: Some(1000),
            last_time: None,
            records: 3,
            parts: vec![Part { sha, size: 7, stored: 90, at: None }],
        };
        Manifest {
            id: "20261122T100000Z-00000001".to_owned(),
            created_at: 5,
            origin: Origin {
                kind: "directory".to_owned(),
                log_dir: "appendonlydir".to_owned(),
                ..Origin::default()
            },
            instant: Some(7),
            position: None,
            base: Some(file("b.1.base.rdb", 1)),
            segments: vec![file("b.2.incr.aof", 2), file("b.3.incr.aof", 3)],
            digest: None,
            keys: Some(3),
            sealing: Some(Sealing::Sealed { recipients: sha, identity: None }),
        }
    }

    #[test]
    fn manifests_come_back_and_no_flipped_byte_goes_unseen() {
        let bytes = example().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(example()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Manifest::decode(&bad).is_err(), "byte {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn how_it_was_encrypted_comes_back_and_earlier_versions_said_nothing_of_it() {
        let sha = Sha::of(b"x");
        let sealed = Sealing::Sealed { recipients: sha, identity: Some(sha) };
        for sealing in [None, Some(Sealing::Open), Some(sealed)] {
            let manifest = Manifest { sealing, ..example() };
            let bytes = manifest.encode();
            let said = bytes.windows(8).any(|window| window == b"\"sealed\"");
            assert_eq!((Manifest::decode(&bytes), said), (Ok(manifest), sealing.is_some()));
        }
    }

    #[test]
    fn names_never_leave_the_directory_that_is_restored_to() {
        for name in ["../../etc/passwd", "a/b", "..", ""] {
            let mut bad = example();
            bad.segments[0].name = name.to_owned();
            assert!(Manifest::decode(&bad.encode()).is_err(), "{name}");
        }
        let mut bad = example();
        bad.origin.log_dir = "..".to_owned();
        assert!(Manifest::decode(&bad.encode()).is_err());
        let mut bad = example();
        bad.segments[0].size = 8;
        assert!(Manifest::decode(&bad.encode()).is_err(), "parts that are not the file");
    }
}
