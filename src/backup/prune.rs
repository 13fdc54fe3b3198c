//! Thinning out: which backups stay, and the removal of the others and of what only they used.
//!
//! A backup stands on its own: its manifest names everything that it needs, so removing one never
//! breaks another. Manifests go first, then the objects that no manifest names any more; what stops in between
//! leaves objects that the next prune sweeps. While a backup is being made nothing is swept, and the other way round.
//! A manifest that cannot be read may name anything, so as long as there is one no object is removed.

use std::collections::{BTreeMap, HashSet};

use super::BackupError;
use super::archive::chain::{self, Archived};
use super::archive::piece::{self, Piece};
use super::manifest::{Manifest, manifest_name};
use super::repository::{ListedBackup, Repository};
use super::time::{CLOCKS_DIFFER_MS, Iso};
use super::under_way::Work;
use crate::clock::UnixMillis;
use crate::logger::civil;

const DAY_MS: i64 = 86_400_000;

/// What is kept. A backup that one rule keeps stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest ones.
    pub last: usize,
    /// The newest of each day (UTC) on which there is one, so many days.
    pub daily: usize,
    /// The newest of each week (from Monday).
    pub weekly: usize,
    /// The newest of each month.
    pub monthly: usize,
    /// Everything that is younger, in milliseconds.
    pub within_ms: Option<i64>,
}

impl Retention {
    fn keeps_nothing(&self) -> bool {
        let counts = self.last + self.daily + self.weekly + self.monthly;
        counts == 0 && self.within_ms.is_none()
    }
}

/// What goes and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Backups that stay, with the rules that keep them.
    pub kept: Vec<(String, Vec<&'static str>)>,
    /// Backups that go.
    pub removed: Vec<String>,
    /// Objects that go, and their bytes.
    pub objects: u64,
    /// See `objects`.
    pub bytes: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// The number of the day, week or month that an instant is in.
type PeriodOf = fn(UnixMillis) -> i64;

/// Decides for backups (name, time), oldest first, which rules keep each one.
pub fn decide(
    backups: &[(String, UnixMillis)],
    retention: &Retention,
    now: UnixMillis,
) -> Vec<Vec<&'static str>> {
    let mut rules: Vec<Vec<&'static str>> = vec![Vec::new(); backups.len()];
    let newest_first = || backups.iter().enumerate().rev();
    for (index, _) in newest_first().take(retention.last) {
        note(&mut rules, index, "last");
    }
    if let Some(within) = retention.within_ms {
        for (index, _) in newest_first().filter(|(_, (_, at))| now.saturating_sub(*at) <= within) {
            note(&mut rules, index, "within");
        }
    }
    let periods: [(&'static str, usize, PeriodOf); 3] = [
        ("daily", retention.daily, |at| at.div_euclid(DAY_MS)),
        // 1 January 1970 was a Thursday.
        ("weekly", retention.weekly, |at| (at.div_euclid(DAY_MS) + 3).div_euclid(7)),
        ("monthly", retention.monthly, |at| {
            let (year, month, _) = civil(at.div_euclid(DAY_MS));
            year * 12 + month
        }),
    ];
    for (rule, count, period) in periods {
        let mut seen = BTreeMap::new();
        for (index, (_, at)) in newest_first() {
            if seen.len() == count && !seen.contains_key(&period(*at)) {
                break;
            }
            seen.entry(period(*at)).or_insert(index);
        }
        for index in seen.into_values() {
            note(&mut rules, index, rule);
        }
    }
    rules
}

/// The same where some were made in the future, by a clock that was ahead: they stay, and the rules are for the others.
fn decide_in_time(
    backups: &[(String, UnixMillis)],
    future: &[bool],
    retention: &Retention,
    now: UnixMillis,
) -> Vec<Vec<&'static str>> {
    let all = || backups.iter().zip(future);
    let others: Vec<_> =
        all().filter(|(_, future)| !**future).map(|(own, _)| own.clone()).collect();
    let mut rules = decide(&others, retention, now).into_iter();
    all()
        .map(|(_, future)| match future {
            true => vec!["future"],
            false => rules.next().unwrap_or_default(),
        })
        .collect()
}

fn note(rules: &mut [Vec<&'static str>], index: usize, rule: &'static str) {
    if let Some(rules) = rules.get_mut(index) {
        rules.push(rule);
    }
}

/// Says what would go, and removes it if `apply`.
pub fn prune(
    repository: &Repository,
    retention: &Retention,
    now: UnixMillis,
    random: &str,
    apply: bool,
) -> Result<Pruned, BackupError> {
    if retention.keeps_nothing() {
        return Err(BackupError::refused(
            "no rule says what to keep",
            "pass --keep-last N, --keep-daily N, --keep-weekly N, --keep-monthly N or --keep-within TIME",
        ));
    }
    let under_way = apply.then(|| repository.begin(Work::Prune, now, random)).transpose()?;
    let found = listed_twice(repository)?;
    let mut pruned = Pruned::default();
    let mut sound = Vec::new();
    let mut future = Vec::new();
    for ListedBackup { id, manifest } in &found {
        match manifest {
            Ok(manifest) => {
                sound.push((id.clone(), manifest.created_at));
                future.push(manifest.created_at > now + CLOCKS_DIFFER_MS);
            }
            Err(error) => {
                pruned.kept.push((id.clone(), vec!["damaged"]));
                pruned.notes.push(format!(
                    "{error}; it stays, and no object is removed while it is there, because nobody knows what it names"
                ));
            }
        }
    }
    let complete = pruned.kept.is_empty();
    let mut rules = decide_in_time(&sound, &future, retention, now);
    pruned.notes.extend(of_the_future(&sound, &future));
    let archived = Archived::list(repository)?;
    let manifests: Vec<&Manifest> =
        found.iter().filter_map(|own| own.manifest.as_ref().ok()).collect();
    keep_for_archive(&mut rules, &manifests, &archived, retention, now);
    let log_from = log_needed_from(&rules, &manifests);
    for ((id, _), rules) in sound.into_iter().zip(rules) {
        match rules.is_empty() {
            true => pruned.removed.push(id),
            false => pruned.kept.push((id, rules)),
        }
    }
    let mut named: HashSet<String> = HashSet::new();
    let mut unnamed: Vec<(String, u64)> = Vec::new();
    if complete {
        let listed = repository.listed_parts()?;
        for ListedBackup { id, manifest } in &found {
            if let Ok(manifest) = manifest
                && !pruned.removed.contains(id)
            {
                named.extend(manifest.parts().map(super::manifest::Part::object));
            }
        }
        unnamed.extend(listed.into_iter().filter(|(name, _)| !named.contains(name)));
        let pieces = repository.store().list(piece::PREFIX)?.into_iter().filter_map(|listed| {
            let piece = Piece::parse(&listed.name, listed.size)?;
            log_from.is_some_and(|from| piece.segment.seq < from).then_some(listed)
        });
        unnamed.extend(pieces.map(|listed| (listed.name, listed.size)));
    }
    pruned.objects = unnamed.len() as u64;
    pruned.bytes = unnamed.iter().map(|(_, size)| size).sum();
    if apply {
        remove(repository, &pruned.removed, unnamed)?;
    }
    drop(under_way);
    Ok(pruned)
}

/// Removes backups, and then the objects that nothing names any more.
fn remove(
    repository: &Repository,
    backups: &[String],
    mut unnamed: Vec<(String, u64)>,
) -> Result<(), BackupError> {
    for id in backups {
        repository.store().remove(&manifest_name(id))?;
    }
    // From the end: what is left of a log when this is interrupted has no gap.
    unnamed.sort();
    for (name, _) in unnamed.iter().rev() {
        repository.store().remove(name)?;
    }
    Ok(())
}

/// What an operator should know of backups that were made later than now.
fn of_the_future(
    backups: &[(String, UnixMillis)],
    future: &[bool],
) -> impl Iterator<Item = String> {
    backups.iter().zip(future).filter(|(_, future)| **future).map(|((id, at), _)| {
        format!(
            "{id} was made at {}, which is yet to come: a clock was wrong. It stays and counts for no rule, so that it \
             cannot take the place of a newer one",
            Iso(*at)
        )
    })
}

/// All backups, from two lists: a list may be late or short, and a backup that it leaves out would lose its objects.
fn listed_twice(repository: &Repository) -> Result<Vec<ListedBackup>, BackupError> {
    let first = repository.ids()?;
    let mut found = repository.backups()?;
    for id in first {
        if found.iter().all(|own| own.id != id) {
            match repository.manifest(&id) {
                Err(BackupError::Store(error)) if error.is_not_found() => {}
                Err(error @ BackupError::Store(_)) => return Err(error),
                manifest => found.push(ListedBackup { id, manifest }),
            }
        }
    }
    super::lineage::sort(&mut found);
    Ok(found)
}

/// The newest backup that the archive goes on from stays, and the one from which the log leads into the window.
fn keep_for_archive(
    rules: &mut [Vec<&'static str>],
    manifests: &[&Manifest],
    archived: &Archived,
    retention: &Retention,
    now: UnixMillis,
) {
    let goes_on = |index: &usize| {
        manifests.get(*index).is_some_and(|manifest| archived.extend(manifest).is_some())
    };
    if let Some(index) = (0..manifests.len()).rev().find(goes_on) {
        note(rules, index, "archive");
    }
    let Some(within) = retention.within_ms else { return };
    let before = |index: &usize| {
        let manifest = manifests.get(*index);
        manifest.is_some_and(|manifest| now.saturating_sub(manifest.created_at) > within)
    };
    if let Some(index) = (0..manifests.len()).rev().filter(before).find(goes_on) {
        note(rules, index, "within");
    }
}

/// The number of the first segment of which pieces are needed: by the newest backups and those within the window.
/// What only the other rules keep stands for its own instant. `None`: nothing tells, all pieces stay.
fn log_needed_from(rules: &[Vec<&'static str>], manifests: &[&Manifest]) -> Option<u64> {
    let goes_on = |rules: &&Vec<&'static str>| {
        rules.iter().any(|rule| matches!(*rule, "last" | "within" | "archive" | "future"))
    };
    let kept = rules.iter().zip(manifests).filter(|(rules, _)| goes_on(rules));
    kept.filter_map(|(_, manifest)| chain::follows_from(manifest)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three backups a day for so many days.
    fn schedule(days: i64) -> Vec<(String, UnixMillis)> {
        (0..days * 3).map(|n| (format!("{n:04}"), n * DAY_MS / 3)).collect()
    }

    fn kept(backups: &[(String, UnixMillis)], retention: Retention) -> Vec<i64> {
        let now = backups.last().unwrap().1;
        let rules = decide(backups, &retention, now);
        let thirds = backups.iter().zip(rules).filter(|(_, rules)| !rules.is_empty());
        thirds.map(|((_, at), _)| at / (DAY_MS / 3)).collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        let backups = schedule(70);
        let keep = |last, daily, weekly, monthly| {
            kept(&backups, Retention { last, daily, weekly, monthly, within_ms: None })
        };
        assert_eq!(keep(2, 0, 0, 0), [208, 209]);
        assert_eq!(keep(0, 3, 0, 0), [203, 206, 209]);
        // Days 67 and 60 are Sundays: Monday 9 March 1970 is day 67 + 0.
        assert_eq!(keep(0, 0, 2, 0), [200, 209]);
        // January has 31 days, February 28.
        assert_eq!(keep(0, 0, 0, 3), [31 * 3 - 1, 59 * 3 - 1, 209]);
        assert_eq!(keep(1, 1, 1, 1), [209]);
        let within = Retention { within_ms: Some(DAY_MS), ..Retention::default() };
        assert_eq!(kept(&backups, within), [206, 207, 208, 209]);
    }

    #[test]
    fn the_newest_backup_stays_under_every_rule() {
        for days in 1..40 {
            let backups = schedule(days);
            for rule in 0..4 {
                let mut counts = [0; 4];
                counts[rule] = 1;
                let [last, daily, weekly, monthly] = counts;
                let retention = Retention { last, daily, weekly, monthly, within_ms: None };
                assert_eq!(kept(&backups, retention), [days * 3 - 1]);
            }
        }
    }
}
