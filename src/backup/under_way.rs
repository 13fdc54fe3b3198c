//! Notes in a repository of what is under way, so that what is being used is not swept.
//! `format-spec/backup.md`, section 3.

use super::BackupError;
use super::manifest::manifest_name;
use super::repository::Repository;
use super::time;
use crate::clock::UnixMillis;

/// Where what is under way is noted.
pub(super) const UNDER_WAY: &str = "under-way/";
/// A note that is so old was left by something that was killed.
const ABANDONED_AFTER_MS: i64 = 86_400_000;

/// What may be under way in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Objects are used and stored.
    Create,
    /// Objects that nothing names are removed.
    Prune,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Prune => "prune",
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Create => Self::Prune,
            Self::Prune => Self::Create,
        }
    }
}

/// A note in the repository that something is under way; it goes when this is dropped.
#[derive(Debug)]
pub struct UnderWay<'r> {
    repository: &'r Repository,
    name: String,
    stays: bool,
}

impl UnderWay<'_> {
    /// Leaves the note where it is: something that was sent may still arrive.
    pub fn leave(mut self) {
        self.stays = true;
    }

    /// Removes the note now; what an operator should know if that fails.
    pub fn end(mut self) -> Option<String> {
        self.stays = true;
        let error = self.repository.store.remove(&self.name).err()?;
        Some(format!(
            "{} could not be removed: {error}. It is in nobody's way, and prune would need to remove things, too",
            self.name
        ))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.stays {
            // A note that is left is ignored after a day.
            let _ = self.repository.store.remove(&self.name);
        }
    }
}

impl Repository {
    /// Says that something is under way that must not meet its opposite: a backup that uses objects, or a
    /// sweep that removes them. Refused while the other is under way. `random` makes it unique.
    pub fn begin(
        &self,
        work: Work,
        now: UnixMillis,
        random: &str,
    ) -> Result<UnderWay<'_>, BackupError> {
        let name = format!("{UNDER_WAY}{}-{}-{random}", work.name(), time::compact(now));
        if let Err(error) = self.store.put_new(&name, name.as_bytes()) {
            // It may be there in spite of that.
            let _ = self.store.remove(&name);
            return Err(error.into());
        }
        let under_way = UnderWay { repository: self, name, stays: false };
        // Both say so before they look, so never both go on.
        for listed in self.store.list(UNDER_WAY)? {
            let other = listed.name.strip_prefix(UNDER_WAY).unwrap_or_default();
            let opposite = work.opposite().name();
            let since = other.strip_prefix(opposite).and_then(|rest| rest.strip_prefix('-'));
            let Some(since) = since else { continue };
            // A backup that is there is complete, whatever became of its note.
            let is_done =
                || Ok::<_, BackupError>(self.store.size(&manifest_name(since))?.is_some());
            let oldest = time::compact(now - ABANDONED_AFTER_MS);
            if since > oldest.as_str() && !(work == Work::Prune && is_done()?) {
                return Err(BackupError::refused(
                    format!("{} is under way in this repository: {other}", opposite),
                    format!(
                        "try again when it has ended; if it was killed, remove the object {}",
                        listed.name
                    ),
                ));
            }
        }
        Ok(under_way)
    }
}
