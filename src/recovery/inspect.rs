//! Looks at a data directory without changing anything (I5).

use super::LoadError;
use super::decide::Situation;
use crate::aof::chain::{SegmentFile, read_log};
use crate::aof::filename::{FileKind, FileNames};
use crate::aof::manifest::{Entry, MANIFEST_LEN_MAX, Manifest};
use crate::aof::reader::starts_with_snapshot;
use crate::aof::record::{HEADER_LEN_MAX, HEADER_START};
use crate::clock::UnixMillis;
use crate::config::Config;
use crate::disk::{Disk, FileView, OpenMode, durable};
use crate::snapshot::Attributes;
use crate::snapshot::Loaded;
use crate::snapshot::load::{LoadOptions, LoadSink, Refusal, load};

/// What is in a data directory.
#[derive(Debug)]
pub struct Facts {
    pub situation: Situation,
    pub names: FileNames,
    pub manifest: Manifest,
    /// Whether a checksum vouched for the manifest.
    pub manifest_checked: bool,
    /// Why the manifest cannot be believed.
    pub manifest_error: Option<String>,
    /// Where the line starts that shows it.
    pub manifest_error_at: u64,
    /// Listed files that are not there.
    pub missing: Vec<String>,
    /// Log files that no manifest lists.
    pub stray: Vec<String>,
    /// Leftovers of unfinished work, to be removed once the rest is known to be good.
    pub temporary: Vec<String>,
    /// A base without a manifest that is the whole data set; `snapshot` is its path then.
    pub lone_base: Option<Entry>,
    /// Path of the snapshot.
    pub snapshot: String,
    /// Path of the single-file log of Redis before 7.0.
    pub old_log: String,
}

/// Looks at the data directory that `config` names on `disk`.
pub fn inspect(disk: &dyn Disk, config: &Config) -> Result<Facts, LoadError> {
    let names = FileNames::new(&config.appenddirname, &config.appendfilename);
    let mut facts = Facts {
        situation: Situation { log_wanted: config.appendonly, ..Situation::default() },
        manifest: Manifest::default(),
        manifest_checked: false,
        manifest_error: None,
        manifest_error_at: 0,
        missing: Vec::new(),
        stray: Vec::new(),
        lone_base: None,
        temporary: Vec::new(),
        snapshot: config.dbfilename.clone(),
        old_log: config.appendfilename.clone(),
        names,
    };
    facts.situation.old_log = disk.file_len(&facts.old_log)?.is_some();
    facts.situation.snapshot = disk.file_len(&facts.snapshot)?.is_some();
    read_manifest(disk, &mut facts)?;
    look_for_strays(disk, &mut facts)?;
    let situation = &mut facts.situation;
    situation.files_complete = facts.missing.is_empty();
    if !situation.log_wanted && situation.snapshot && situation.manifest && situation.files_complete
    {
        let saved_at = snapshot_time(disk, &facts.snapshot)?;
        let logged_at = log_time(disk, &facts)?;
        // A log without times was written by Redis, which with its log off loads the snapshot.
        facts.situation.snapshot_newer = match (saved_at, logged_at) {
            (Some(saved), Some(logged)) => saved >= logged / 1000,
            (_, None) => true,
            (None, Some(_)) => false,
        };
    }
    Ok(facts)
}

fn read_manifest(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    let path = facts.names.path(&facts.names.manifest());
    let Some(bytes) = durable::read_small(disk, &path, MANIFEST_LEN_MAX)? else { return Ok(()) };
    match Manifest::parse(&bytes) {
        Ok(parsed) => {
            facts.manifest = parsed.manifest;
            facts.manifest_checked = parsed.checked;
        }
        Err(error) => {
            facts.situation.manifest_damaged = true;
            let before = bytes.split_inclusive(|byte| *byte == b'\n');
            let before = before.take(error.line.saturating_sub(1));
            facts.manifest_error_at = before.map(|line| line.len() as u64).sum();
            facts.manifest_error = Some(error.to_string());
            return Ok(());
        }
    }
    let manifest = &facts.manifest;
    facts.situation.manifest = manifest.base.is_some() || !manifest.incrs.is_empty();
    for entry in manifest.base.iter().chain(&manifest.incrs) {
        let inside = disk.file_len(&facts.names.path(&entry.name))?.is_some();
        // A crash while the single-file log was moved leaves it listed, and still outside.
        let outside = entry.name == facts.old_log && facts.situation.old_log;
        if !inside && !outside {
            facts.missing.push(entry.name.clone());
        }
    }
    Ok(())
}

/// Log files that the manifest does not list, and temporary files.
fn look_for_strays(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    for temporary in crate::engine::persist::TEMP_SAVES {
        if disk.file_len(temporary)?.is_some() {
            facts.temporary.push(temporary.to_owned());
        }
    }
    let entries = match disk.list(&facts.names.dir) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    for name in entries {
        let listed = facts.manifest.entries().any(|entry| entry.name == name);
        match facts.names.kind(&name) {
            FileKind::Temp => facts.temporary.push(facts.names.path(&name)),
            // The segment of a start that was interrupted before the manifest could list it.
            FileKind::Incr(_) if !listed && !holds_records(disk, &facts.names.path(&name))? => {
                facts.temporary.push(facts.names.path(&name));
            }
            FileKind::Base(..) | FileKind::Incr(_) if !listed => facts.stray.push(name),
            _ => {}
        }
    }
    look_for_lost_lines(disk, facts)?;
    look_for_lone_base(facts);
    facts.situation.stray_log = !facts.stray.is_empty();
    Ok(())
}

/// A manifest without a checksum is Redis', which knows no framed segments but those that it lists. One beside it that
/// is newer than all of them was in the manifest once: its end, checksum included, is lost.
fn look_for_lost_lines(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    if facts.manifest_checked || !facts.situation.manifest {
        return Ok(());
    }
    let newest = facts.manifest.incrs.iter().map(|entry| entry.seq).max().unwrap_or(0);
    for name in &facts.stray {
        let FileKind::Incr(seq) = facts.names.kind(name) else { continue };
        if seq > newest && view(disk, &facts.names.path(name))?.starts_with(HEADER_START) {
            facts.situation.manifest_damaged = true;
            let path = facts.names.path(&facts.names.manifest());
            facts.manifest_error_at = disk.file_len(&path)?.unwrap_or(0);
            facts.manifest_error = Some(format!(
                "{name} is newer than everything that is listed, and is not: lines are missing at the end"
            ));
        }
    }
    Ok(())
}

/// A base is complete as soon as it has its name. Without a manifest, and without segments that hold anything, it is
/// the data set: the conversion of a snapshot into a log was interrupted before the manifest was there.
fn look_for_lone_base(facts: &mut Facts) {
    let [name] = facts.stray.as_slice() else { return };
    let FileKind::Base(seq, _) = facts.names.kind(name) else { return };
    let Situation { log_wanted, manifest, manifest_damaged, snapshot, .. } = facts.situation;
    if manifest || manifest_damaged || (snapshot && !log_wanted) {
        return;
    }
    facts.snapshot = facts.names.path(name);
    facts.situation.snapshot = true;
    facts.lone_base = Some(Entry::new(name.clone(), seq));
    facts.stray.clear();
}

/// Whether a log file holds anything that must not be lost: not a segment that nothing was written to yet, whatever
/// a power loss has made of its header.
fn holds_records(disk: &dyn Disk, path: &str) -> Result<bool, LoadError> {
    if disk.file_len(path)?.unwrap_or(0) > HEADER_LEN_MAX as u64 {
        return Ok(true);
    }
    let bytes = view(disk, path)?;
    let segment = SegmentFile { name: path, bytes: &bytes, salt: None, end: None, records_at: 0 };
    let mut units = 0;
    // What cannot be read is no record: it is shorter than the header of a segment.
    let _ = read_log(None, &[segment], |_| {
        units += 1;
        Ok::<(), ()>(())
    });
    Ok(units > 0)
}

/// What is wrong with a listed base whose snapshot ends at `records_at` (0: there is none): the offset, and why.
pub fn base_fault(base: &Entry, bytes: &[u8], records_at: usize) -> Option<(u64, &'static str)> {
    if base.is_snapshot() && records_at == 0 {
        return Some((0, "it is listed as a snapshot, and does not start as one"));
    }
    // Redis lets records follow the snapshot of a base; this server puts at most comments there.
    base.position()?;
    let rest = bytes.get(records_at..).unwrap_or_default();
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n');
    let comments = lines.all(|line| line.starts_with(b"#") && line.ends_with(b"\n"));
    (!comments).then_some((records_at as u64, "it goes on behind the end of the snapshot"))
}

/// The content of a file, mapped.
pub fn view(disk: &dyn Disk, path: &str) -> Result<FileView, LoadError> {
    Ok(disk.open(path, OpenMode::Read)?.map()?)
}

/// When a snapshot was made, in Unix seconds, if it says so.
fn snapshot_time(disk: &dyn Disk, path: &str) -> Result<Option<i64>, LoadError> {
    struct Creation(Option<i64>);
    impl LoadSink for Creation {
        fn aux(&mut self, name: &[u8], value: &[u8]) {
            if name == b"ctime" {
                self.0 = crate::number::parse_i64(value);
            }
        }
        fn key(&mut self, _: &[u8], _: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
            Err(Refusal::Other("enough seen".to_owned()))
        }
        fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
            Ok(())
        }
    }
    let mut creation = Creation(None);
    let options = LoadOptions { verify: false, databases: u32::MAX, ..LoadOptions::default() };
    // The load ends at the first key, on purpose; whether the file is sound is asked when it is loaded.
    let _ = load(&view(disk, path)?, &options, &mut creation);
    Ok(creation.0)
}

/// When the last record of the log was written, if its files say so.
fn log_time(disk: &dyn Disk, facts: &Facts) -> Result<Option<UnixMillis>, LoadError> {
    let mut views = Vec::new();
    for entry in &facts.manifest.incrs {
        views.push((entry, view(disk, &facts.names.path(&entry.name))?));
    }
    let segments: Vec<SegmentFile<'_>> = views
        .iter()
        .map(|(entry, view)| SegmentFile {
            name: &entry.name,
            bytes: view,
            salt: entry.salt(),
            end: entry.end(),
            records_at: 0,
        })
        .filter(|segment| !starts_with_snapshot(segment.bytes))
        .collect();
    let end = read_log(None, &segments, |_| Ok::<(), ()>(()));
    Ok(end.ok().and_then(|end| end.files.iter().filter_map(|file| file.time).max()))
}
