//! Which of two backups is the older one.
//!
//! Clocks may be wrong, and backups of one server may be made on several machines. Of two backups of one log the
//! positions tell it; only where they do not, the time counts at which a backup was begun.

use super::manifest::Manifest;
use super::repository::ListedBackup;

/// Whether the log itself says that a state is older than another: the other one has its last segment, and more.
/// Where a log went on in two ways, neither is older.
pub(super) fn is_older(one: &Manifest, other: &Manifest) -> bool {
    let Some(last) = one.segments.last().and_then(|file| file.salt) else { return false };
    let goes_on = other.segments.iter().any(|file| file.salt == Some(last));
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
