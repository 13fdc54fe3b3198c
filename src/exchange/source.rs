//! Where a data set comes from, opened and checked, and ready to be read as often as needed.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::ndjson::read::{Line, read_line};
use super::twice::Twice;
use super::{Item, Passed, Selection, Sink, leavings, shown};
use crate::backup::BackupError;
use crate::backup::load::{self, LoadedState};
use crate::backup::source::{self, Source, SourceFile};
use crate::disk::os::OsDisk;
use crate::disk::{Disk, DiskFile, FileView, OpenMode, SharedDisk};
use crate::keyspace::Kind;
use crate::recovery::LoadError;
use crate::recovery::inspect::view;
use crate::rng::random_hex;
use crate::snapshot::container::{is_container, is_foreign_zstd};
use crate::snapshot::{Attributes, LoadOptions, LoadSink, Loaded, Refusal, load as load_snapshot};
use crate::types::limits::Limits;

/// A data set that can be read.
#[derive(Debug)]
pub struct DataSet {
    content: Content,
    /// What an operator should know.
    pub notes: Vec<String>,
    /// Goes after everything else.
    _temporary: Option<Temporary>,
}

#[derive(Debug)]
enum Content {
    /// A snapshot, read key by key.
    Snapshot(Box<Source>),
    /// A log that was replayed.
    Memory(Box<LoadedState>),
    /// Lines of text.
    Text { name: String, view: View },
}

struct View(FileView);

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A file that goes when it is not needed any more.
#[derive(Debug)]
pub struct Temporary {
    disk: SharedDisk,
    /// Where it is.
    pub path: String,
}

impl Temporary {
    /// A new file in `dir`, which nobody else may read.
    pub fn create(disk: &SharedDisk, dir: &str) -> Result<(Self, Box<dyn DiskFile>), BackupError> {
        let path = format!("{}/fastness-{}.tmp", dir.trim_end_matches('/'), random_hex(16));
        let file = leavings::file(disk, &path, OpenMode::CreatePrivate)?;
        Ok((Self { disk: Arc::clone(disk), path }, file))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        leavings::remove(self.disk.as_ref(), &self.path);
    }
}

/// How far a pass is: bytes or keys done, and of how many (0: nobody knows).
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;

impl DataSet {
    /// The data set of files that were checked.
    pub fn of_source(mut source: Source) -> Result<Self, BackupError> {
        let notes = std::mem::take(&mut source.notes);
        // Nothing has to be replayed: the snapshot is all there is.
        let content = match source.keys.is_some() && source.base.is_some() {
            true => Content::Snapshot(Box::new(source)),
            false => Content::Memory(Box::new(load::of_source(&source)?)),
        };
        Ok(Self { content, notes, _temporary: None })
    }

    /// The data set of a state in memory.
    pub fn of_memory(state: LoadedState) -> Self {
        Self { content: Content::Memory(Box::new(state)), notes: Vec::new(), _temporary: None }
    }

    /// A data directory.
    pub fn of_directory(disk: &dyn Disk) -> Result<Self, BackupError> {
        Self::of_source(source::of_directory(disk)?)
    }

    /// A file: a snapshot, a log, or lines of text, as its first bytes say.
    pub fn of_file(disk: &dyn Disk, path: &str) -> Result<Self, BackupError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let view = view(disk, path).map_err(|error| match error {
            LoadError::Disk(error) if error.source.kind() == std::io::ErrorKind::InvalidInput => {
                BackupError::refused(
                    format!("{path} is not a regular file"),
                    "name a file, or - and pipe it into standard input",
                )
            }
            other => other.into(),
        })?;
        match view.trim_ascii_start().first() {
            Some(b'{') => {
                let content = Content::Text { name: name.to_owned(), view: View(view) };
                Ok(Self { content, notes: Vec::new(), _temporary: None })
            }
            None => Err(BackupError::refused(format!("{path} is empty"), "name another file")),
            // A single file may be a log, or go on as one behind its snapshot.
            Some(_) => Self::of_source(source::of_file(name, view)?),
        }
    }

    /// The same, which keeps a file as long as it is needed.
    #[must_use]
    pub fn keeping(self, temporary: Temporary) -> Self {
        Self { _temporary: Some(temporary), ..self }
    }

    /// Whether a field of a hash expires; wrong only to the safe side.
    pub fn has_field_expiry(&self) -> bool {
        match &self.content {
            Content::Snapshot(source) => source.field_expiry,
            Content::Memory(state) => state.has_field_expiry(),
            Content::Text { view, .. } => {
                // Inside of a text the quotes would have backslashes before them.
                memchr::memmem::find(&view.0, b",\"field_expire_at\":").is_some()
            }
        }
    }

    /// Hands everything that is wanted to `sink`.
    pub fn each(
        &self,
        selection: &Selection,
        sink: &mut dyn Sink,
        progress: &mut Progress<'_>,
    ) -> Result<Passed, BackupError> {
        let mut pass = Pass { selection, sink, passed: Passed::default() };
        match &self.content {
            Content::Snapshot(source) => {
                let Some(base) = &source.base else { return Ok(pass.passed) };
                let total = base.bytes().len() as u64;
                let libraries = match selection.takes_functions() {
                    true => libraries_behind_keys(base)?,
                    false => Vec::new(),
                };
                for library in &libraries {
                    pass.function(library).map_err(|what| BackupError::Output { what })?;
                }
                let had_functions = !libraries.is_empty();
                let mut reading =
                    Reading { pass, db: 0, had_functions, failed: None, progress, total };
                let loaded = read(base, &mut reading);
                if let Some(what) = reading.failed.take() {
                    return Err(BackupError::Output { what });
                }
                loaded?;
                Ok(reading.pass.passed)
            }
            Content::Memory(state) => {
                pass.of_memory(state, progress).map_err(|what| BackupError::Output { what })?;
                Ok(pass.passed)
            }
            Content::Text { name, view } => {
                pass.of_text(name, &view.0, progress)?;
                Ok(pass.passed)
            }
        }
    }
}

/// One walk over a data set.
struct Pass<'p> {
    selection: &'p Selection,
    sink: &'p mut dyn Sink,
    passed: Passed,
}

impl Pass<'_> {
    fn function(&mut self, source: &[u8]) -> Result<(), String> {
        if self.selection.takes_functions() {
            self.sink.function(source)?;
            self.passed.functions += 1;
        }
        Ok(())
    }

    fn wants(&mut self, db: u32, key: &[u8], kind: Kind) -> bool {
        let wanted = self.selection.takes_kind(kind) && self.selection.takes_key(db, key);
        self.passed.left_out += u64::from(!wanted);
        wanted
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        self.passed.keys += 1;
        self.sink.key(item)
    }

    fn of_memory(
        &mut self,
        state: &LoadedState,
        progress: &mut Progress<'_>,
    ) -> Result<(), String> {
        for source in state.functions() {
            self.function(source)?;
        }
        let total = state.keys();
        for (done, (db, entry)) in state.entries().enumerate() {
            let db = u32::try_from(db).unwrap_or(u32::MAX);
            if self.wants(db, entry.key(), entry.kind()) {
                let expire_at_ms = entry.expire_at();
                let attributes = Attributes { expire_at_ms, ..Attributes::default() };
                self.key(&Item { db, entry, attributes })?;
            }
            if done % 1024 == 0 {
                progress(done as u64, total);
            }
        }
        Ok(())
    }

    fn of_text(
        &mut self,
        name: &str,
        bytes: &[u8],
        progress: &mut Progress<'_>,
    ) -> Result<(), BackupError> {
        let limits = Limits::default();
        let disk: SharedDisk = Arc::new(OsDisk::new("/"));
        let folder = std::env::temp_dir().to_string_lossy().into_owned();
        let mut twice = Twice::new(&disk, &folder);
        let mut done = 0;
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let wrong = |why: String| BackupError::Source {
                what: format!("{name}, line {}: {why}", number + 1),
            };
            let output = |what: String| BackupError::Output { what };
            match read_line(line, &limits).map_err(wrong)? {
                Line::Nothing => {}
                Line::Function(source) => self.function(&source).map_err(output)?,
                Line::Key(db, entry, attributes) => {
                    twice.note(identity(db, entry.key()), number as u64)?;
                    if self.wants(db, entry.key(), entry.kind()) {
                        self.key(&Item { db, entry: &entry, attributes }).map_err(output)?;
                    }
                }
            }
            done += line.len() as u64 + 1;
            progress(done, bytes.len() as u64);
        }
        let Some(number) = twice.first()?.and_then(|number| usize::try_from(number).ok()) else {
            return Ok(());
        };
        let line = bytes.split(|byte| *byte == b'\n').nth(number).unwrap_or_default();
        let key = match read_line(line, &limits) {
            Ok(Line::Key(db, entry, _)) => shown(db, entry.key()),
            _ => "its key".to_owned(),
        };
        let what = format!("{name}, line {}: {key} stands twice", number + 1);
        Err(BackupError::Source { what })
    }
}

/// What stands for a key where all keys themselves would take too much room.
pub fn identity(db: u32, key: &[u8]) -> u128 {
    xxh3_128(&[&db.to_le_bytes()[..], key].concat())
}

fn read(base: &SourceFile, sink: &mut dyn LoadSink) -> Result<(), BackupError> {
    let options = LoadOptions { databases: u32::MAX, ..LoadOptions::default() };
    let loaded = load_snapshot(base.bytes(), &options, sink);
    let wrong = |error| BackupError::Source { what: format!("{}: {error}", base.name) };
    loaded.map(drop).map_err(wrong)
}

/// The function libraries of a snapshot if one of them stands behind a key. Redis loads such a file, and the outputs
/// have libraries first, so they have to be known before the first key.
fn libraries_behind_keys(base: &SourceFile) -> Result<Vec<Vec<u8>>, BackupError> {
    let bytes = base.bytes();
    // A container has them in its head. Elsewhere a library begins with "#!", which LZF leaves as it is, too; without
    // one the file need not be read once more.
    let none = || memchr::memmem::find(bytes, b"#!").is_none();
    if is_container(bytes) || (!is_foreign_zstd(bytes) && none()) {
        return Ok(Vec::new());
    }
    let mut libraries = Libraries::default();
    read(base, &mut libraries)?;
    Ok(if libraries.behind_a_key { libraries.found } else { Vec::new() })
}

/// Gathers function libraries.
#[derive(Default)]
struct Libraries {
    found: Vec<Vec<u8>>,
    after_a_key: bool,
    behind_a_key: bool,
}

impl LoadSink for Libraries {
    fn key(&mut self, _: &[u8], _: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
        self.after_a_key = true;
        Ok(())
    }

    fn function(&mut self, source: &[u8]) -> Result<(), Refusal> {
        self.behind_a_key |= self.after_a_key;
        self.found.push(source.to_vec());
        Ok(())
    }
}

/// Reads a snapshot.
struct Reading<'p, 'q> {
    pass: Pass<'p>,
    db: u32,
    /// Function libraries were handed over before.
    had_functions: bool,
    /// Why the sink took no more.
    failed: Option<String>,
    progress: &'q mut Progress<'q>,
    total: u64,
}

impl Reading<'_, '_> {
    fn note(&mut self, taken: Result<(), String>) -> Result<(), Refusal> {
        taken.map_err(|why| {
            self.failed = Some(why.clone());
            Refusal::Other(why)
        })
    }
}

fn kind_of(value: &Loaded<'_>) -> Kind {
    match value {
        Loaded::Str(_) => Kind::String,
        Loaded::List(_) => Kind::List,
        Loaded::Set(_) => Kind::Set,
        Loaded::ZSet(_) => Kind::ZSet,
        Loaded::Hash(_) => Kind::Hash,
        Loaded::Stream(_) => Kind::Stream,
    }
}

impl LoadSink for Reading<'_, '_> {
    fn select_db(&mut self, db: u32) {
        self.db = db;
    }

    fn key(
        &mut self,
        key: &[u8],
        value: Loaded<'_>,
        attributes: Attributes,
    ) -> Result<(), Refusal> {
        if !self.pass.wants(self.db, key, kind_of(&value)) {
            return Ok(());
        }
        let entry = value.into_entry(key, attributes.expire_at_ms)?;
        let taken = self.pass.key(&Item { db: self.db, entry: &entry, attributes });
        self.note(taken)
    }

    fn function(&mut self, source: &[u8]) -> Result<(), Refusal> {
        if self.had_functions {
            return Ok(());
        }
        let taken = self.pass.function(source);
        self.note(taken)
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes, self.total);
    }
}
