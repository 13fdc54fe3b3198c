//! What `fastness check` found, as plain data, and its form for programs.
//!
//! The JSON has one object: `path`, `verdict`, `start` (what a start would do), `files`, `damage` (the
//! first one of each file), `notes`, `next`. Sizes and offsets are bytes, times Unix milliseconds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock::UnixMillis;

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What was looked at, as it was given.
    pub path: String,
    /// What a start would do with it.
    pub start: Option<&'static str>,
    /// In the order in which they are loaded, then the others.
    pub files: Vec<FileReport>,
    /// At most one of each file, the first.
    pub damage: Vec<Damage>,
    /// What else an operator should know.
    pub notes: Vec<String>,
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every byte is vouched for, or at least well formed.
    Sound,
    /// The end of the log was not written whole; the next start cuts it off.
    Torn,
    /// Something that was there is not there any more.
    Damaged,
    /// There is no data.
    Nothing,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Manifest,
    Base,
    Segment,
    Snapshot,
    OldLog,
    Stray,
    History,
    Temporary,
}

/// What is known about a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Checksums vouch for all of it.
    Checked,
    /// It is well formed, and no checksum vouches for all of it.
    Unchecked,
    /// It has no bytes.
    Empty,
    Torn,
    Damaged,
    Missing,
    /// It was not looked into.
    NotRead,
}

/// One file.
#[derive(Debug)]
pub struct FileReport {
    /// Relative to the directory that was looked at.
    pub path: String,
    pub role: Role,
    /// `None` when it is not there.
    pub bytes: Option<u64>,
    pub state: State,
    pub manifest: Option<ManifestFacts>,
    pub snapshot: Option<SnapshotFacts>,
    pub log: Option<LogFacts>,
}

/// What a manifest lists.
#[derive(Debug, PartialEq, Eq)]
pub struct ManifestFacts {
    pub bases: usize,
    pub segments: usize,
    pub history: usize,
}

/// What an RDB file, or the one at the start of a file, holds.
#[derive(Debug, Default)]
pub struct SnapshotFacts {
    /// `redis 11`, `valkey 80`.
    pub version: String,
    /// The server that wrote it.
    pub producer: String,
    /// What its checksum says.
    pub checksum: &'static str,
    pub made_at: Option<UnixMillis>,
    pub functions: u64,
    /// Frames, when a table lists them.
    pub frames: Option<usize>,
    /// They are compressed: it is a container.
    pub packed: bool,
    pub databases: BTreeMap<u32, Keys>,
}

/// The keys of one database of a snapshot.
#[derive(Debug, Default)]
pub struct Keys {
    pub keys: u64,
    pub expires: u64,
    /// By type and form on disk.
    pub types: BTreeMap<(&'static str, &'static str), u64>,
}

/// What the records of a file are.
#[derive(Debug, Default)]
pub struct LogFacts {
    /// Whether the file has our header: positions and checksums of its own.
    pub framed: bool,
    pub frames: u64,
    pub units: u64,
    pub unchecked_units: u64,
    /// The position behind the last record, where frames tell it.
    pub position: Option<u64>,
    pub last_write_at: Option<UnixMillis>,
}

/// A place that cannot be believed.
#[derive(Debug)]
pub struct Damage {
    pub file: String,
    pub offset: Option<u64>,
    /// The position of the log there: everything before it is sound.
    pub position: Option<u64>,
    pub reason: String,
    pub key: Option<String>,
    pub db: Option<u32>,
    /// The last record before it, for orientation.
    pub behind: Option<String>,
    pub torn: bool,
    /// The command that helps next.
    pub next: String,
}

impl Report {
    /// The answer in one word.
    pub fn verdict(&self) -> Verdict {
        if self.damage.iter().any(|damage| !damage.torn) {
            return Verdict::Damaged;
        }
        if !self.damage.is_empty() {
            return Verdict::Torn;
        }
        // Of a log with segments there is a manifest.
        let holds_data = |file: &&FileReport| match file.role {
            Role::Temporary => false,
            Role::Segment => file.state != State::Empty,
            _ => true,
        };
        match self.files.iter().find(holds_data) {
            Some(_) => Verdict::Sound,
            None => Verdict::Nothing,
        }
    }

    /// Whether no checksum vouches for some of the files.
    pub fn has_unchecked(&self) -> bool {
        self.files.iter().any(|file| file.state == State::Unchecked)
    }

    /// The report on the file at `path`.
    pub fn file_mut(&mut self, path: &str) -> Option<&mut FileReport> {
        self.files.iter_mut().find(|file| file.path == path)
    }
}

impl FileReport {
    /// A file that was not looked into yet.
    pub fn new(path: impl Into<String>, role: Role, bytes: Option<u64>) -> Self {
        let state = if bytes.is_some() { State::NotRead } else { State::Missing };
        Self { path: path.into(), role, bytes, state, manifest: None, snapshot: None, log: None }
    }
}

impl Verdict {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Nothing => "nothing",
        }
    }
}

impl Role {
    /// As both forms have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Base => "base",
            Self::Segment => "segment",
            Self::Snapshot => "snapshot",
            Self::OldLog => "single-file log",
            Self::Stray => "not listed",
            Self::History => "history",
            Self::Temporary => "temporary",
        }
    }
}

impl State {
    /// As both forms have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Unchecked => "unchecked",
            Self::Empty => "empty",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::NotRead => "not read",
        }
    }
}

/// The report for programs.
pub fn json(report: &Report) -> Value {
    json!({
        "path": report.path,
        "verdict": report.verdict().name(),
        "unchecked": report.has_unchecked(),
        "start": report.start,
        "files": report.files.iter().map(file_json).collect::<Vec<_>>(),
        "damage": report.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "notes": report.notes,
        "next": report.damage.first().map(|damage| &damage.next),
    })
}

fn file_json(file: &FileReport) -> Value {
    let mut value = json!({
        "path": file.path,
        "role": file.role.name(),
        "bytes": file.bytes,
        "state": file.state.name(),
    });
    if let Some(facts) = &file.manifest {
        value["manifest"] = json!({
            "bases": facts.bases,
            "segments": facts.segments,
            "history": facts.history,
        });
    }
    if let Some(facts) = &file.snapshot {
        value["snapshot"] = snapshot_json(facts);
    }
    if let Some(facts) = &file.log {
        value["log"] = json!({
            "framed": facts.framed,
            "frames": facts.frames,
            "units": facts.units,
            "unchecked_units": facts.unchecked_units,
            "position": facts.position,
            "last_write_at": facts.last_write_at,
        });
    }
    value
}

fn snapshot_json(facts: &SnapshotFacts) -> Value {
    let databases: Vec<Value> = facts
        .databases
        .iter()
        .map(|(db, keys)| {
            let types = keys
                .types
                .iter()
                .map(|((kind, form), count)| json!({ "type": kind, "form": form, "keys": count }));
            json!({
                "db": db,
                "keys": keys.keys,
                "expires": keys.expires,
                "types": types.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "version": facts.version,
        "producer": facts.producer,
        "checksum": facts.checksum,
        "made_at": facts.made_at,
        "functions": facts.functions,
        "frames": facts.frames,
        "databases": databases,
    })
}

fn damage_json(damage: &Damage) -> Value {
    json!({
        "file": damage.file,
        "offset": damage.offset,
        "position": damage.position,
        "reason": damage.reason,
        "key": damage.key,
        "db": damage.db,
        "behind": damage.behind,
        "torn": damage.torn,
        "next": damage.next,
    })
}
