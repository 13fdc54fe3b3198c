//! Verifying: every object of every backup is read and checked; in full, every backup is loaded as well.
//!
//! An object that several backups share is read once. What is found is told with the backups that it
//! concerns; what no backup names is read too, because the next one may take it up. Verifying changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::archive::chain::Archived;
use super::archive::piece;
use super::create::Progress;
use super::key_objects::is_key_object;
use super::manifest::{Manifest, Part};
use super::object::Sha;
use super::passphrase::IDENTITY;
use super::plan::plan;
use super::repository::Repository;
use super::seal::RECIPIENTS;
use super::{BackupError, restore};
use crate::backup::cut::Target;

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Backups that were looked at.
    pub backups: u64,
    /// Objects and bytes of objects that were read.
    pub objects: u64,
    /// See `objects`.
    pub bytes: u64,
    /// Backups that were loaded on trial.
    pub loaded: u64,
    /// What is wrong.
    pub damage: Vec<Damage>,
    /// Objects that no backup names: of interrupted or removed ones.
    pub unnamed: u64,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// The object, or the backup that cannot be loaded.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// The backups that cannot be restored whole.
    pub backups: Vec<String>,
}

impl Damage {
    /// What helps, where that is not making another backup: the object says how the repository is encrypted.
    pub fn next_step(&self) -> Option<String> {
        let is_key = matches!(self.object.as_str(), RECIPIENTS | IDENTITY);
        is_key.then(|| BackupError::damaged(&self.object, "").next_step())
    }
}

/// Reads everything; with `full`, loads every backup too. `only`: this backup alone.
pub fn verify(
    repository: &Repository,
    only: Option<&str>,
    full: bool,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Verified, BackupError> {
    if full && repository.keys.seals() && !repository.keys.opens() {
        return Err(repository.is_closed());
    }
    let mut verified = Verified::default();
    let mut sound = Vec::new();
    for backup in repository.backups()? {
        if only.is_some_and(|only| only != backup.id) {
            continue;
        }
        verified.backups += 1;
        match backup.manifest {
            Ok(manifest) => sound.push(manifest),
            Err(error) => verified.damage.push(Damage {
                object: super::manifest::manifest_name(&backup.id),
                what: error.to_string(),
                backups: vec![backup.id],
            }),
        }
    }
    if let Some(only) = only.filter(|_| verified.backups == 0) {
        return Err(BackupError::refused(
            format!("there is no backup {only}"),
            "fastness backup list shows what there is",
        ));
    }
    let whole = match only {
        None => extended(repository, &sound)?,
        Some(_) => sound.clone(),
    };
    // With what they are without them: the beginning of a segment is in pieces as well.
    let looked_at: Vec<Manifest> = whole.iter().chain(&sound).cloned().collect();
    let gone = read_parts(repository, &looked_at, threads, progress, &mut verified);
    if !gone.is_empty() {
        let named = still_named(repository)?;
        verified.damage.extend(gone.into_iter().filter(|gone| named.contains(&gone.object)));
    }
    if only.is_none() {
        look_for_holes(repository, &sound, &mut verified)?;
    }
    if only.is_none() {
        let named = looked_at.iter().flat_map(Manifest::parts).map(Part::object).collect();
        look_at_the_rest(repository, &named, &mut verified)?;
    }
    look_at_keys(repository, &sound, &mut verified)?;
    if full {
        for manifest in &sound {
            load(repository, Some(manifest), threads, &mut verified);
        }
        if only.is_none() && whole != sound {
            load(repository, None, threads, &mut verified);
        }
    }
    Ok(verified)
}

/// The backups in all ways in which the log went on behind them: its pieces count for the backups that they follow.
fn extended(repository: &Repository, sound: &[Manifest]) -> Result<Vec<Manifest>, BackupError> {
    let archived = Archived::list(repository)?;
    Ok(sound.iter().flat_map(|own| archived.ways(own)).map(|way| way.manifest).collect())
}

/// What backups name by now: some may have been pruned while they were verified.
fn still_named(repository: &Repository) -> Result<BTreeSet<String>, BackupError> {
    let found = repository.backups()?.into_iter().filter_map(|backup| backup.manifest.ok());
    let sound: Vec<Manifest> = found.collect();
    let whole = extended(repository, &sound)?;
    Ok(whole.iter().chain(&sound).flat_map(Manifest::parts).map(Part::object).collect())
}

/// Pieces of a log that nothing leads to, because one before them was lost.
fn look_for_holes(
    repository: &Repository,
    sound: &[Manifest],
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let find = || -> Result<BTreeMap<String, Damage>, BackupError> {
        let archived = Archived::list(repository)?;
        let mut found: BTreeMap<String, Damage> = BTreeMap::new();
        for own in sound {
            for hole in archived.ways(own).into_iter().filter_map(|way| way.hole) {
                if hole.inside {
                    let what = hole.to_string();
                    let object = hole.behind.clone();
                    let damage = Damage { object, what, backups: Vec::new() };
                    found.entry(hole.behind).or_insert(damage).backups.push(own.id.clone());
                }
            }
        }
        Ok(found)
    };
    let mut holes = find()?;
    if !holes.is_empty() {
        // A list may be late, or prune at work.
        let again = find()?;
        holes.retain(|name, _| again.contains_key(name));
    }
    verified.damage.extend(holes.into_values());
    Ok(())
}

/// The objects that say how it is encrypted.
fn look_at_keys(
    repository: &Repository,
    sound: &[Manifest],
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let newest_first: Vec<Manifest> = sound.iter().rev().cloned().collect();
    for error in repository.key_damage(&newest_first)? {
        let BackupError::Damaged { object, .. } = &error else { return Err(error) };
        let (object, what) = (object.clone(), error.to_string());
        verified.damage.push(Damage { object, what, backups: Vec::new() });
    }
    Ok(())
}

/// What no backup names: leftovers, which the next backup may take up, pieces of the log beside the way, notes.
fn look_at_the_rest(
    repository: &Repository,
    named: &BTreeSet<String>,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let known_damage = !verified.damage.is_empty();
    for listed in repository.store().list("")? {
        let name = listed.name.as_str();
        if named.contains(name) || name.starts_with("backups/") || is_key_object(name) {
            continue;
        }
        let is_part = name.starts_with("objects/");
        // What a damaged manifest names counts as nothing.
        verified.unnamed += u64::from(is_part && !known_damage);
        let is_note = !is_part && !name.starts_with(piece::PREFIX);
        let checked = if is_note {
            repository.check_note(name)
        } else {
            let sha = name.rsplit(['/', '-']).next().and_then(Sha::parse);
            sha.map_or_else(
                || Err(BackupError::damaged(name, "its name says no hash")),
                |sha| repository.check_object(name, sha),
            )
        };
        match checked {
            Ok(()) => {}
            // It went meanwhile.
            Err(BackupError::Store(error)) if error.is_not_found() => continue,
            Err(error) => verified.damage.push(Damage {
                object: name.to_owned(),
                what: error.to_string(),
                backups: Vec::new(),
            }),
        }
        if !is_note {
            verified.objects += 1;
            verified.bytes += listed.size;
        }
    }
    Ok(())
}

/// Reads all parts; those that are not there any more come back.
fn read_parts(
    repository: &Repository,
    sound: &[Manifest],
    threads: usize,
    progress: &Progress<'_>,
    verified: &mut Verified,
) -> Vec<Damage> {
    let mut users: BTreeMap<Sha, (Part, BTreeSet<&str>)> = BTreeMap::new();
    for manifest in sound {
        for part in manifest.parts() {
            users.entry(part.sha).or_insert((*part, BTreeSet::new())).1.insert(&manifest.id);
        }
    }
    let parts: Vec<&(Part, BTreeSet<&str>)> = users.values().collect();
    let total: u64 = parts.iter().map(|(part, _)| part.stored).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let (damage, gone): (Mutex<Vec<Damage>>, Mutex<Vec<Damage>>) = Default::default();
    let work = || {
        while let Some((part, users)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = repository.check_part(part) {
                let is_gone = matches!(&error, BackupError::Store(error) if error.is_not_found());
                let list = if is_gone { &gone } else { &damage };
                list.lock().push(Damage {
                    object: part.object(),
                    what: error.to_string(),
                    backups: users.iter().map(|id| (*id).to_owned()).collect(),
                });
            }
            let read = done.fetch_add(part.stored, Ordering::Relaxed) + part.stored;
            progress(read, total);
        }
    };
    let threads = threads.clamp(1, 64).min(parts.len().max(1));
    if threads == 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    verified.objects = parts.len() as u64;
    verified.bytes = total;
    let mut damage = damage.into_inner();
    damage.sort_by(|a, b| a.object.cmp(&b.object));
    verified.damage.extend(damage);
    gone.into_inner()
}

/// Loads a backup, or the newest state of all, as a restore would.
fn load(
    repository: &Repository,
    manifest: Option<&Manifest>,
    threads: usize,
    verified: &mut Verified,
) {
    let id = manifest.map(|manifest| manifest.id.as_str());
    let loaded = plan(repository, id, &Target::Latest)
        .and_then(|plan| restore::to_memory(repository, &plan, threads, &|_, _| {}));
    match loaded {
        Ok(_) => verified.loaded += 1,
        // It was pruned meanwhile.
        Err(_) if id.is_some_and(|id| is_gone(repository, id)) => {}
        Err(error) => verified.damage.push(Damage {
            object: manifest.map_or("archive".to_owned(), Manifest::object),
            what: format!("it cannot be loaded: {error}"),
            backups: id.map(str::to_owned).into_iter().collect(),
        }),
    }
}

fn is_gone(repository: &Repository, id: &str) -> bool {
    let found = repository.manifest(id);
    matches!(found, Err(BackupError::Store(error)) if error.is_not_found())
}
