//! Which names a data directory uses, found by looking, where no configuration tells.
//!
//! A folder with a `*.manifest` is the log's; the default snapshot, or the only `*.rdb`, is the snapshot.

use crate::config::Config;
use crate::disk::Disk;

/// The configuration under which recovery sees what is in a directory with these entries: a data
/// directory, or the log's folder inside one.
pub fn config_for(disk: &dyn Disk, names: &[String]) -> Config {
    let default = Config::default();
    let manifest_in = |names: &[String]| -> Option<String> {
        names.iter().find(|name| name.ends_with(".manifest") && !name.starts_with("temp-")).cloned()
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
