//! Nothing is under the names of the configuration: is there data under others? A wrong name must not make an existing data
//! set look like an empty one (P8). Changes nothing (I5).
//!
//! A start is refused for what a server makes: files under the default names, and the directory of a log. Of other
//! files that look like data (copies that somebody made) the log has a line.

use super::LoadError;
use super::content::holds_anything;
use super::inspect::view;
use crate::aof::filename::{FileKind, FileNames, UNSEALED_LOG, is_left_by_redis};
use crate::aof::reader::starts_with_snapshot;
use crate::backup::repository::MARKER;
use crate::config::Config;
use crate::disk::{Disk, OpenMode};

/// So many entries of a directory are looked at, at most: one with more is no data directory.
const ENTRIES_MAX: usize = 4096;

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// What it is, and the options that load it.
    data: Vec<String>,
    /// What may be data.
    other: Vec<String>,
}

/// Looks where a start would begin with nothing: an error for data under other names, else lines for the log.
pub(super) fn look(disk: &dyn Disk, config: &Config) -> Result<Vec<String>, LoadError> {
    let entries = match disk.list("") {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Found::default();
    for name in entries.iter().take(ENTRIES_MAX).filter(|name| !is_set_aside(name)) {
        match name.strip_suffix('/') {
            Some(folder) => look_into(disk, config, folder, &mut found),
            None => look_at(disk, config, name, &mut found)?,
        }
    }
    if !found.data.is_empty() {
        return Err(LoadError::Refused {
            why: format!(
                "the data directory has data under other names than the configuration's, and the start would begin with \
                 nothing: {}. Give these options, or move what it names out of the data directory to begin with nothing",
                found.data.join("; ")
            ),
        });
    }
    let note = |name: &String| {
        format!(
            "{name} looks like data of a server and is not loaded: nothing is there under the configured names ({}, {}, \
             {})",
            config.dbfilename, config.appendfilename, config.appenddirname
        )
    };
    Ok(found.other.iter().map(note).collect())
}

/// What a start or an unfinished save put aside.
fn is_set_aside(name: &str) -> bool {
    name.contains(".not-loaded-at-") || name.starts_with("temp-") || is_left_by_redis(name)
}

/// A file of the data directory.
fn look_at(
    disk: &dyn Disk,
    config: &Config,
    name: &str,
    found: &mut Found,
) -> Result<(), LoadError> {
    let default = Config::default();
    if name == config.dbfilename || name == config.appendfilename || !disk.is_lasting(name) {
        return Ok(());
    }
    if name == default.appendfilename {
        if holds_anything(name, &view(disk, name)?) {
            found.data.push(format!(
                "{name} is a log in one file (--appendonly yes --appendfilename {name})"
            ));
        }
        return Ok(());
    }
    let start = match start_of(disk, name) {
        Ok(start) => start,
        // What belongs to others is no data of this server.
        Err(_) if name != default.dbfilename => return Ok(()),
        Err(error) => return Err(error),
    };
    if name == default.dbfilename && !start.is_empty() {
        found.data.push(format!("{name} is a snapshot (--dbfilename {name})"));
        return Ok(());
    }
    let is_snapshot = starts_with_snapshot(&start) && !is_packed(&start);
    let is_manifest = || name.strip_suffix(".manifest").is_some_and(|log| has_files(disk, "", log));
    if is_snapshot || is_manifest() {
        found.other.push(name.to_owned());
    }
    Ok(())
}

/// Anything may be packed by zstd or gzip without being a snapshot.
fn is_packed(start: &[u8]) -> bool {
    start.starts_with(b"\x28\xb5\x2f\xfd") || start.starts_with(b"\x1f\x8b")
}

fn start_of(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, LoadError> {
    let mut start = vec![0; 8];
    let len = disk.open(name, OpenMode::Read)?.read_at(0, &mut start)?;
    start.truncate(len);
    Ok(start)
}

/// A directory in the data directory: a log's, unless it is a backup.
fn look_into(disk: &dyn Disk, config: &Config, folder: &str, found: &mut Found) {
    let backups = [&config.backupdirname, &Config::default().backupdirname];
    if backups.into_iter().any(|backup| backup.trim_end_matches('/') == folder) {
        return;
    }
    // What cannot be read is nobody's data set; the configured directory was looked at before.
    let Ok(inside) = disk.list(folder) else { return };
    if inside.iter().any(|name| name == MARKER) {
        return;
    }
    let manifests = inside.iter().filter_map(|name| name.strip_suffix(".manifest"));
    let own = |log: &str| folder == config.appenddirname && log == config.appendfilename;
    let mut listed = false;
    for log in manifests.filter(|log| *log != UNSEALED_LOG && !log.is_empty() && !own(log)) {
        // `temp-X.manifest` is a leftover of log X, unless there are files of a log `temp-X`.
        if has_files(disk, folder, log) {
            listed = true;
            found.data.push(format!(
                "{folder}/{log}.manifest lists a log (--appendonly yes --appenddirname {folder} --appendfilename {log})"
            ));
        }
    }
    let is_segment = |name: &String| {
        let numbered = name.strip_suffix(".incr.aof").and_then(|rest| rest.rsplit_once('.'));
        numbered.is_some_and(|(log, seq)| !log.is_empty() && seq.parse::<u64>().is_ok())
            && !name.starts_with(UNSEALED_LOG)
    };
    if !listed
        && folder != config.appenddirname
        && let Some(name) = inside.iter().find(|name| is_segment(name))
    {
        found.other.push(format!("{folder}/{name}"));
    }
}

/// Whether bases or segments of this log are in a folder.
fn has_files(disk: &dyn Disk, folder: &str, log: &str) -> bool {
    let names = FileNames::new(folder, log);
    let is_data =
        |name: &String| matches!(names.kind(name), FileKind::Base(..) | FileKind::Incr(_));
    disk.list(folder).is_ok_and(|inside| inside.iter().any(is_data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    const DUMP: &[u8] = b"REDIS0011";
    const RECORD: &[u8] = b"*1\r\n$4\r\nPING\r\n";

    fn looked(files: &[(&str, &[u8])], change: impl Fn(&mut Config)) -> Result<usize, String> {
        let disk = SimDisk::new();
        files.iter().for_each(|(name, bytes)| disk.put(name, bytes));
        let mut config = Config::default();
        change(&mut config);
        look(&disk, &config).map(|notes| notes.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn data_under_other_names_refuses_an_empty_start() {
        let refused = |files: &[(&str, &[u8])], change: fn(&mut Config), word: &str| {
            let why = looked(files, change).unwrap_err();
            assert!(why.contains(word), "{word}: {why}");
        };
        let log: &[(&str, &[u8])] = &[
            ("appendonlydir/appendonly.aof.manifest", b"x"),
            ("appendonlydir/appendonly.aof.1.incr.aof", RECORD),
        ];
        refused(log, |c| "other".clone_into(&mut c.appenddirname), "--appenddirname appendonlydir");
        refused(
            log,
            |c| "foo.aof".clone_into(&mut c.appendfilename),
            "--appendfilename appendonly.aof",
        );
        let shop: &[(&str, &[u8])] = &[("shop/s.manifest", b"x"), ("shop/s.2.base.rdb", DUMP)];
        refused(shop, |_| (), "--appenddirname shop --appendfilename s)");
        let dump: &[(&str, &[u8])] = &[("dump.rdb", DUMP)];
        refused(dump, |c| "x.rdb".clone_into(&mut c.dbfilename), "--dbfilename dump.rdb");
        let single: &[(&str, &[u8])] = &[("appendonly.aof", RECORD)];
        refused(
            single,
            |c| "x.aof".clone_into(&mut c.appendfilename),
            "--appendfilename appendonly.aof",
        );
    }

    #[test]
    fn what_is_no_data_set_refuses_nothing() {
        let passes = |files: &[(&str, &[u8])], notes: usize| {
            assert_eq!(looked(files, |_| ()), Ok(notes), "{files:?}");
        };
        passes(&[], 0);
        passes(
            &[("users.acl", b"user default on"), ("redis.conf", b""), ("fastness.lock", b"1\n")],
            0,
        );
        passes(&[("dump.rdb.bak", DUMP), ("x.gz", b"\x1f\x8b")], 1);
        passes(&[("dump.rdb.not-loaded-at-12", DUMP), ("temp-12.rdb", DUMP)], 0);
        passes(&[("backupdir/b.manifest", b"x"), ("backupdir/b.1.incr.aof", RECORD)], 0);
        passes(
            &[("store/repository", b"F"), ("store/b.manifest", b"x"), ("store/b.1.incr.aof", b"")],
            0,
        );
        passes(&[("old/s.manifest", b"x")], 0);
        passes(&[("old/s.1.incr.aof", RECORD)], 1);
        passes(&[("appendonlydir/notes.txt", b"x")], 0);
    }
}
