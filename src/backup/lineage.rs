//! Which of two backups is the older one.
//!
//! Clocks may be wrong, and backups of one server may be made on several machines. Of two backups of one log the
//! positions tell it; only where they do not, the time counts at which a backup was begun.

use super::manifest::Manifest;
use super::repository::ListedBackup;

/// Whether the log itself says that a state is older than another: the other one has all of its last segment, and more.
/// Where a log went on in two ways, neither is older: one of them has less of the segment that they share.
pub(super) fn is_older(one: &Manifest, other: &Manifest) -> bool {
    let Some(last) = one.segments.last().filter(|file| file.salt.is_some()) else { return false };
    let goes_on = other.segments.iter().any(|file| file.salt == last.salt && file.end >= last.end);
    goes_on && one.position.is_some() && one.position < other.position
}

/// Puts the oldest first.
pub(super) fn sort(backups: &mut Vec<ListedBackup>) {
    // Names tell the second only.
    let second = |backup: &ListedBackup| backup.id.split('-').next().map(str::to_owned);
    let time = |backup: &ListedBackup| backup.manifest.as_ref().map_or(0, |own| own.created_at);
    backups.sort_by(|a, b| second(a).cmp(&second(b)).then_with(|| time(a).cmp(&time(b))));
    let mut sorted: Vec<ListedBackup> = Vec::with_capacity(backups.len());
    for own in backups.drain(..) {
        let is_newer = |other: &ListedBackup| match (&own.manifest, &other.manifest) {
            (Ok(own), Ok(other)) => is_older(own, other),
            _ => false,
        };
        let at = sorted.iter().position(is_newer).unwrap_or(sorted.len());
        sorted.insert(at, own);
    }
    *backups = sorted;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::record::Salt;
    use crate::backup::manifest::{BackedFile, Origin};

    fn state(segments: &[(u64, u64)]) -> Manifest {
        let segment = |&(salt, end): &(u64, u64)| BackedFile {
            name: String::new(),
            seq: 1,
            size: 1,
            sha: None,
            salt: Some(Salt(salt)),
            position: None,
            end: Some(end),
            first_time: None,
            last_time: None,
            records: 1,
            parts: Vec::new(),
        };
        Manifest {
            id: String::new(),
            created_at: 0,
            origin: Origin::default(),
            instant: None,
            position: segments.last().map(|(_, end)| *end),
            base: None,
            segments: segments.iter().map(segment).collect(),
            digest: None,
            keys: None,
            sealing: None,
        }
    }

    #[test]
    fn of_a_log_that_went_on_in_two_ways_neither_is_older() {
        let shared = state(&[(1, 50)]);
        let (here, restored_copy) = (state(&[(1, 360)]), state(&[(1, 50), (2, 4163)]));
        assert!(is_older(&shared, &here) && is_older(&shared, &restored_copy));
        assert!(!is_older(&here, &restored_copy) && !is_older(&restored_copy, &here));
    }
}
