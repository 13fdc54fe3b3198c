//! Which names a data directory uses, found by looking, where no configuration tells.
//!
//! A folder with a `*.manifest` is the log's; the default snapshot, or the only `*.rdb`, is the snapshot. `temp-X.manifest`
//! is a leftover of log X, unless there are segments of a log `temp-X`. What BACKUP has not sealed is nobody's.

use crate::aof::filename::{FileKind, FileNames, UNSEALED_LOG};
use crate::config::Config;
use crate::disk::Disk;

/// The configuration under which recovery sees what is in a directory with these entries: a data
/// directory, or the log's folder inside one.
pub fn config_for(disk: &dyn Disk, names: &[String]) -> Config {
    let default = Config::default();
    let manifest_in = |names: &[String]| -> Option<String> {
        let made = |name: &&String| {
            let unsealed = name.strip_suffix(".manifest") == Some(UNSEALED_LOG);
            !name.starts_with("temp-") || (has_segments(name, names) && !unsealed)
        };
        names.iter().filter(|name| name.ends_with(".manifest")).find(made).cloned()
    };
    let mut folder = default.appenddirname.clone();
    let mut manifest = format!("{}.manifest", default.appendfilename);
    if let Some(name) = manifest_in(names) {
        (folder, manifest) = (String::new(), name);
    } else {
        for name in names.iter().filter_map(|name| name.strip_suffix('/')) {
            let inside = disk.list(name).unwrap_or_default();
            if let Some(found) = manifest_in(&inside) {
                (folder, manifest) = (name.to_owned(), found);
                break;
            }
        }
    }
    let snapshot = match folder.is_empty() {
        true => None,
        false => sole_snapshot(names),
    };
    config_of_names(&folder, &manifest, &snapshot.unwrap_or_else(|| default.dbfilename.clone()))
}

/// Whether segments of the log with this manifest are among `names`.
fn has_segments(manifest: &str, names: &[String]) -> bool {
    let log = FileNames::new("", manifest.strip_suffix(".manifest").unwrap_or(manifest));
    names.iter().any(|name| matches!(log.kind(name), FileKind::Incr(_)))
}

/// The snapshot among the files of a data directory: `dump.rdb`, or the first that has such a name.
pub fn sole_snapshot(names: &[String]) -> Option<String> {
    let default = Config::default().dbfilename.clone();
    let is_rdb = |name: &&String| name.ends_with(".rdb") && !name.starts_with("temp-");
    names.iter().find(|name| **name == default).or_else(|| names.iter().find(is_rdb)).cloned()
}

/// The configuration for these names: the log's folder, its manifest, the snapshot (empty: the default).
pub fn config_of_names(dir: &str, manifest: &str, snapshot: &str) -> Config {
    let mut config = Config::default();
    config.appendonly = true;
    config.appenddirname = dir.to_owned();
    if let Some(name) = manifest.strip_suffix(".manifest") {
        config.appendfilename = name.to_owned();
    }
    if !snapshot.is_empty() {
        config.dbfilename = snapshot.to_owned();
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_log_whose_name_begins_with_temp_is_found_and_a_leftover_is_not() {
        let found = |files: &[&str]| {
            let disk = SimDisk::new();
            files.iter().for_each(|file| disk.put(&format!("log/{file}"), b""));
            config_for(&disk, &["log/".to_owned()]).appendfilename.clone()
        };
        let own = ["temp-shop.aof.1.incr.aof", "temp-shop.aof.manifest"];
        assert_eq!(found(&own), "temp-shop.aof");
        let left = ["temp-shop.aof.manifest", "temp-shop.aof.2.base.rdb", "shop.aof.1.incr.aof"];
        assert_eq!(found(&left), Config::default().appendfilename);
        let unsealed = ["temp-unsealed.2.incr.aof", "temp-unsealed.manifest"];
        assert_eq!(found(&unsealed), Config::default().appendfilename);
        assert_eq!(found(&["shop.aof.manifest", "temp-shop.aof.manifest"]), "shop.aof");
    }
}
