//! Looks at a data directory without changing anything (I5).

use super::LoadError;
use super::content::holds_anything;
use super::decide::Situation;
use super::lost;
use super::newer;
use crate::aof::chain::{SegmentFile, read_log};
use crate::aof::filename::{FileKind, FileNames, is_left_by_redis};
use crate::aof::manifest::{Entry, MANIFEST_LEN_MAX, Manifest};
use crate::aof::mark::LogMark;
use crate::aof::record::HEADER_LEN_MAX;
use crate::config::Config;
use crate::disk::{Disk, FileView, OpenMode, durable};

/// What is in a data directory.
#[derive(Debug)]
pub struct Facts {
    pub situation: Situation,
    pub names: FileNames,
    pub manifest: Manifest,
    /// Whether a checksum vouched for the manifest.
    pub manifest_checked: bool,
    /// CRC-32 of the manifest as it was read.
    pub manifest_crc: u32,
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
    /// While the log is off: what the snapshot says that it holds of a log.
    pub snapshot_mark: Option<LogMark>,
    /// Why it is not sure whether the snapshot or the log is newer.
    pub doubt: Option<String>,
    /// A single-file log is there that holds nothing, and does not count beside a snapshot.
    pub empty_old_log: bool,
    /// What is there and is not loaded.
    pub notes: Vec<String>,
}

/// How often a manifest may be replaced while its directory is looked at.
const TRIES: usize = 20;

/// Looks at the data directory that `config` names on `disk`. A server may be using it.
pub fn inspect(disk: &dyn Disk, config: &Config) -> Result<Facts, LoadError> {
    let mut facts = look(disk, config)?;
    for _ in 0..TRIES {
        if !facts.situation.manifest_damaged {
            break;
        }
        let path = facts.names.path(&facts.names.manifest());
        let now = durable::read_small(disk, &path, MANIFEST_LEN_MAX)?.unwrap_or_default();
        if crc32fast::hash(&now) == facts.manifest_crc {
            break;
        }
        facts = look(disk, config)?;
    }
    Ok(facts)
}

fn look(disk: &dyn Disk, config: &Config) -> Result<Facts, LoadError> {
    let names = FileNames::new(&config.appenddirname, &config.appendfilename);
    let mut facts = Facts {
        situation: Situation { log_wanted: config.appendonly, ..Situation::default() },
        manifest: Manifest::default(),
        manifest_checked: false,
        manifest_crc: 0,
        manifest_error: None,
        manifest_error_at: 0,
        missing: Vec::new(),
        stray: Vec::new(),
        lone_base: None,
        temporary: Vec::new(),
        snapshot: config.dbfilename.clone(),
        old_log: config.appendfilename.clone(),
        snapshot_mark: None,
        doubt: None,
        empty_old_log: false,
        notes: Vec::new(),
        names,
    };
    facts.situation.old_log = disk.file_len(&facts.old_log)?.is_some();
    facts.situation.snapshot = disk.file_len(&facts.snapshot)?.is_some();
    read_manifest(disk, &mut facts)?;
    look_for_strays(disk, &mut facts)?;
    judge_old_log(disk, &mut facts)?;
    facts.situation.files_complete = facts.missing.is_empty();
    newer::compare(disk, &mut facts)?;
    Ok(facts)
}

fn read_manifest(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    let path = facts.names.path(&facts.names.manifest());
    let Some(bytes) = durable::read_small(disk, &path, MANIFEST_LEN_MAX)? else { return Ok(()) };
    facts.manifest_crc = crc32fast::hash(&bytes);
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

/// A single-file log that holds nothing hides no snapshot: of the two only one can be the data set.
fn judge_old_log(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    let Situation { log_wanted, manifest, manifest_damaged, old_log, snapshot, .. } =
        facts.situation;
    // Listed, it is the base; with the log off it is not looked at beside a snapshot.
    if !old_log || !snapshot || !log_wanted || manifest || manifest_damaged {
        return Ok(());
    }
    if !holds_anything(&facts.old_log, &view(disk, &facts.old_log)?) {
        facts.situation.old_log = false;
        facts.empty_old_log = true;
        facts.notes.push(format!(
            "{} holds no record: {} is the data set. Should it be an empty one, move {} away and start again",
            facts.old_log, facts.snapshot, facts.snapshot
        ));
    }
    Ok(())
}

/// Log files that the manifest does not list, and temporary files.
fn look_for_strays(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    for temporary in crate::engine::persist::TEMP_SAVES {
        if disk.file_len(temporary)?.is_some() && !is_in_use(facts, temporary) {
            facts.temporary.push(temporary.to_owned());
        }
    }
    let entries = match disk.list(&facts.names.dir) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    for name in entries {
        let path = facts.names.path(&name);
        if is_in_use(facts, &path) {
            continue;
        }
        match facts.names.kind(&name) {
            FileKind::Temp => facts.temporary.push(path),
            FileKind::Other if is_left_by_redis(&name) => facts.temporary.push(path),
            // The segment of a start that was interrupted before the manifest could list it.
            FileKind::Incr(_) if !holds_records(disk, &path)? => facts.temporary.push(path),
            FileKind::Base(..) | FileKind::Incr(_) => facts.stray.push(name),
            FileKind::Manifest | FileKind::Other => {}
        }
    }
    lost::look_for_lost_lines(disk, facts)?;
    look_for_lone_base(facts);
    facts.situation.stray_log = !facts.stray.is_empty();
    Ok(())
}

/// Whether `path` is a file that the configuration or the manifest names, whatever else it may look like.
fn is_in_use(facts: &Facts, path: &str) -> bool {
    // With `appenddirname .` a file of the data directory has two paths.
    let plain = |path: &str| path.trim_start_matches("./").to_owned();
    let path = plain(path);
    let listed = |entry: &Entry| plain(&facts.names.path(&entry.name)) == path;
    [&facts.snapshot, &facts.old_log].into_iter().any(|used| plain(used) == path)
        || facts.manifest.entries().any(listed)
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
/// `crc32` is that of the snapshot, or `None` when nobody wants checksums looked at.
pub fn base_fault(
    base: &Entry,
    bytes: &[u8],
    records_at: usize,
    crc32: Option<u32>,
) -> Option<(u64, String)> {
    if base.is_snapshot() && records_at == 0 {
        return Some((0, "it is listed as a snapshot, and does not start as one".to_owned()));
    }
    if let Some(listed) = base.content() {
        let size = bytes.len() as u64;
        if size != listed.size {
            let why = format!("it has {size} bytes, and the one that is listed {}", listed.size);
            return Some((size.min(listed.size), format!("{why}: {ANOTHER}")));
        }
        let whole = if records_at == bytes.len() { crc32 } else { Some(crc32fast::hash(bytes)) };
        if let Some(crc) = whole.filter(|crc| *crc != listed.crc) {
            let why = format!("its CRC-32 is {crc:08x}, and of the one that is listed");
            return Some((0, format!("{why} {:08x}: {ANOTHER}", listed.crc)));
        }
    }
    // Redis lets records follow the snapshot of a base; this server puts at most comments there.
    base.position()?;
    let rest = bytes.get(records_at..).unwrap_or_default();
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n');
    let comments = lines.all(|line| line.starts_with(b"#") && line.ends_with(b"\n"));
    let why = || "it goes on behind the end of the snapshot".to_owned();
    (!comments).then(|| (records_at as u64, why()))
}

/// What a file is that is not the one that is listed, although it may be sound.
const ANOTHER: &str = "this is another file, or another state of it";

/// The content of a file, mapped.
pub fn view(disk: &dyn Disk, path: &str) -> Result<FileView, LoadError> {
    Ok(disk.open(path, OpenMode::Read)?.map()?)
}
