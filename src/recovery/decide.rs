//! What to do with a data directory: one table from facts to decision.
//!
//! The facts are yes-or-no, so the test walks all their combinations: exactly one row applies to each, and
//! no combination with data on disk ends in an empty keyspace.

/// What `inspect` saw, reduced to what the decision depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a decision table has yes-or-no facts")]
pub struct Situation {
    /// `appendonly yes`.
    pub log_wanted: bool,
    /// The manifest is there, readable, and lists at least one file.
    pub manifest: bool,
    /// A manifest is there and cannot be believed.
    pub manifest_damaged: bool,
    /// Log files are there that no manifest lists.
    pub stray_log: bool,
    /// Every listed file is there.
    pub files_complete: bool,
    /// A single-file log of Redis before 7.0 is there (`dir/appendonly.aof`).
    pub old_log: bool,
    /// `dbfilename` is there.
    pub snapshot: bool,
    /// The snapshot was made after the log's last record; without a manifest: it holds what the log files do.
    pub snapshot_newer: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is there: start empty.
    StartEmpty,
    /// Load the files that the manifest lists.
    LoadLog,
    /// Load the log although it is off now, and save it as a snapshot (P8).
    LoadLogThenSave,
    /// Load the single-file log and make it the base of a new one.
    UpgradeOldLog,
    /// Load the single-file log although the log is off, and save it as a snapshot.
    LoadOldLogThenSave,
    /// Load the snapshot.
    LoadSnapshot,
    /// Load the snapshot and make it the base of a new log (P8).
    LoadSnapshotThenStartLog,
    /// The manifest is damaged.
    RefuseDamagedManifest,
    /// A file that the manifest lists is missing.
    RefuseMissingFile,
    /// Log files without a manifest.
    RefuseMissingManifest,
}

/// The table. The first row that fits counts.
pub fn decide(facts: Situation) -> Decision {
    use Decision::{
        LoadLog, LoadLogThenSave, LoadOldLogThenSave, LoadSnapshot, LoadSnapshotThenStartLog,
        RefuseDamagedManifest, RefuseMissingFile, RefuseMissingManifest, StartEmpty, UpgradeOldLog,
    };
    let Situation { log_wanted, manifest, manifest_damaged, stray_log, .. } = facts;
    let Situation { files_complete, old_log, snapshot, snapshot_newer, .. } = facts;
    match (log_wanted, manifest_damaged, manifest, files_complete) {
        // With the log off and a snapshot as new as anything, the log is not looked at.
        (false, false, false, _) if snapshot && (snapshot_newer || !stray_log) => LoadSnapshot,
        (false, false, true, _) if snapshot && snapshot_newer => LoadSnapshot,
        (_, true, ..) => RefuseDamagedManifest,
        (_, _, true, false) => RefuseMissingFile,
        (true, _, true, true) => LoadLog,
        (false, _, true, true) => LoadLogThenSave,
        // No manifest from here on.
        _ if stray_log => RefuseMissingManifest,
        (true, ..) if old_log => UpgradeOldLog,
        (false, ..) if old_log => LoadOldLogThenSave,
        (true, ..) if snapshot => LoadSnapshotThenStartLog,
        (false, ..) if snapshot => LoadSnapshot,
        _ => StartEmpty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Situation> {
        (0u32..256).map(|bits| {
            let bit = |at: u32| bits & (1 << at) != 0;
            Situation {
                log_wanted: bit(0),
                manifest: bit(1),
                manifest_damaged: bit(2),
                stray_log: bit(3),
                files_complete: bit(4),
                old_log: bit(5),
                snapshot: bit(6),
                snapshot_newer: bit(7),
            }
        })
    }

    #[test]
    fn data_is_never_taken_for_nothing() {
        for facts in all() {
            let data = facts.manifest
                || facts.manifest_damaged
                || facts.stray_log
                || facts.old_log
                || facts.snapshot;
            assert_eq!(decide(facts) == Decision::StartEmpty, !data, "{facts:?}");
        }
    }

    #[test]
    fn damage_is_refused_whenever_the_log_is_wanted() {
        for facts in all().filter(|facts| facts.log_wanted) {
            let decision = decide(facts);
            if facts.manifest_damaged {
                assert_eq!(decision, Decision::RefuseDamagedManifest, "{facts:?}");
            } else if facts.manifest {
                let expected = match facts.files_complete {
                    true => Decision::LoadLog,
                    false => Decision::RefuseMissingFile,
                };
                assert_eq!(decision, expected, "{facts:?}");
            } else if facts.stray_log {
                assert_eq!(decision, Decision::RefuseMissingManifest, "{facts:?}");
            }
        }
    }

    #[test]
    fn switching_the_log_on_or_off_converts_what_is_there() {
        let on = Situation { log_wanted: true, snapshot: true, ..Situation::default() };
        assert_eq!(decide(on), Decision::LoadSnapshotThenStartLog);
        let off = Situation { manifest: true, files_complete: true, ..Situation::default() };
        assert_eq!(decide(off), Decision::LoadLogThenSave);
        let older = Situation { snapshot: true, ..off };
        assert_eq!(decide(older), Decision::LoadLogThenSave);
        let newer = Situation { snapshot: true, snapshot_newer: true, ..off };
        assert_eq!(decide(newer), Decision::LoadSnapshot);
    }

    #[test]
    fn with_the_log_off_an_older_snapshot_never_hides_log_files() {
        for facts in all().filter(|facts| !facts.log_wanted && facts.snapshot) {
            let log = facts.manifest || facts.manifest_damaged || facts.stray_log;
            let hides = decide(facts) == Decision::LoadSnapshot && log;
            assert!(!hides || facts.snapshot_newer, "{facts:?}");
        }
        let lost = Situation { snapshot: true, stray_log: true, ..Situation::default() };
        assert_eq!(decide(lost), Decision::RefuseMissingManifest);
        let held = Situation { snapshot_newer: true, ..lost };
        assert_eq!(decide(held), Decision::LoadSnapshot);
    }
}
