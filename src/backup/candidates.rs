//! Which backups a restore may be made from, the best first.
//!
//! A base is only right for an instant when it was made before it. Its time is known to the second, so a base made
//! in the same second is not used when an older one is there. A log that began empty is right from its first record
//! on: the empty log of a server that took the archive over says nothing of the time before. Of the backups that reach the
//! target, the one with the newest base is taken: it has the least log to replay. Where the log went on in several
//! ways, the one is taken that was being written at the instant.
//!
//! A backup whose manifest cannot be read may be the right one. It is never passed over in silence: what it could have
//! more of is only looked for where nothing that can be read has all that is asked for.

use super::BackupError;
use super::archive::chain::{Archived, Way};
use super::cut::Target;
use super::lineage;
use super::manifest::Manifest;
use super::repository::ListedBackup;
use super::time::{self, Iso};
use crate::aof::record::Salt;
use crate::clock::UnixMillis;

/// Times of bases are whole seconds.
const BASE_TIME_UNIT_MS: i64 = 1000;

/// What helps where no backup fits.
pub(super) const HOW_TO_LIST: &str = "fastness backup list shows what there is";

/// A backup that may be right, with what is archived behind it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) manifest: Manifest,
    /// What an operator should know of this choice.
    pub(super) notes: Vec<String>,
}

impl Candidate {
    /// A backup that was named, as it is.
    pub(super) fn alone(manifest: Manifest, target: &Target) -> Result<Self, BackupError> {
        match target {
            Target::Time(at) if has_no_times(&manifest) && !is_right_at(&manifest, *at) => {
                Err(BackupError::no_times())
            }
            _ => Ok(Self { manifest, notes: Vec::new() }),
        }
    }
}

/// What there is to look into.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The best first.
    pub(super) sound: Vec<Candidate>,
    /// Why none of these being right does not mean that there is none.
    pub(super) hidden: Option<BackupError>,
}

/// A backup whose manifest cannot be read.
struct Unread {
    /// The last instant of the second in which it was begun, as its name says it; a name that says nothing may be of any.
    begun_by: UnixMillis,
    error: BackupError,
}

impl Unread {
    fn of(id: &str, error: BackupError) -> Self {
        let begun = time::of_compact(id.split('-').next().unwrap_or_default());
        Self { begun_by: begun.map_or(UnixMillis::MAX, |begun| begun + 999), error }
    }

    /// Whether it may have more than a backup.
    fn may_go_beyond(&self, own: &Manifest) -> bool {
        self.begun_by >= reach(own)
    }

    fn into_error(self) -> BackupError {
        match self.error {
            BackupError::Damaged { object, what } => BackupError::Damaged {
                object,
                what: format!("{what}; it may be the backup that reaches what is asked for"),
            },
            other => other,
        }
    }
}

/// Up to when a backup certainly has everything.
fn reach(own: &Manifest) -> UnixMillis {
    let instant = own.instant.unwrap_or(UnixMillis::MIN);
    match own.origin.kind == "archive" && own.instant.is_some() {
        // Of a base of the archive only the pieces behind it tell.
        true => instant,
        false => instant.max(own.created_at),
    }
}

/// The backups to look into.
pub(super) fn candidates(
    found: Vec<ListedBackup>,
    archived: &Archived,
    target: &Target,
) -> Result<Candidates, BackupError> {
    let newest_is_damaged = found.last().is_some_and(|backup| backup.manifest.is_err());
    let mut sound: Vec<Choice> = Vec::new();
    let mut unread: Vec<Unread> = Vec::new();
    for backup in found.into_iter().rev() {
        match backup.manifest {
            Ok(manifest) => sound.extend(choices(archived.ways(&manifest), target)),
            // Nobody may take an older state for the newest one.
            Err(error) if newest_is_damaged && sound.is_empty() && *target == Target::Latest => {
                return Err(error);
            }
            Err(error) => unread.push(Unread::of(&backup.id, error)),
        }
    }
    if sound.is_empty() && unread.is_empty() {
        return Err(BackupError::refused("there is no backup", HOW_TO_LIST));
    }
    let fitting = fitting(sound, target);
    let sound = match fitting {
        // It may be in what cannot be read.
        Err(BackupError::Refused { .. }) if !unread.is_empty() && *target != Target::Latest => {
            Vec::new()
        }
        other => other?,
    };
    let sound = without_surpassed(sound, &unread, target);
    let hidden = unread.into_iter().find(|own| match target {
        // What it was begun before has everything of it that counts.
        Target::Before { after: Some(after), .. } => own.begun_by >= *after,
        _ => true,
    });
    Ok(Candidates {
        sound: sound.into_iter().map(|choice| choice.candidate(target)).collect(),
        hidden: hidden.map(Unread::into_error),
    })
}

/// Those that may be right for the target, the best first.
fn fitting(mut sound: Vec<Choice>, target: &Target) -> Result<Vec<Choice>, BackupError> {
    match target {
        Target::Latest => Ok(vec![newest(sound)?]),
        Target::Time(at) => for_instant(sound, *at),
        Target::Position(at) => for_position(sound, *at),
        Target::Before { after, .. } => {
            if let Some(after) = after {
                sound.retain(|own| is_right_at(&own.way.manifest, *after));
            }
            Ok(sound)
        }
    }
}

/// The best ones, up to the first that a backup which cannot be read may surpass.
fn without_surpassed(sound: Vec<Choice>, unread: &[Unread], target: &Target) -> Vec<Choice> {
    let is_surpassed = |own: &Choice| {
        let own = &own.way.manifest;
        let has_all = match target {
            Target::Time(at) => reach(own) >= *at,
            // The first one behind an instant is in what has that instant, or in nothing of it.
            Target::Before { after, .. } => after.is_some(),
            Target::Latest | Target::Position(_) => true,
        };
        !has_all && unread.iter().any(|unread| unread.may_go_beyond(own))
    };
    sound.into_iter().take_while(|own| !is_surpassed(own)).collect()
}

/// A way behind a backup.
#[derive(Debug)]
struct Choice {
    way: Way,
    /// When the other ways behind it were written: the first and the last time behind the place where they part.
    others: Vec<(UnixMillis, UnixMillis)>,
}

impl Choice {
    fn candidate(self, target: &Target) -> Candidate {
        let Self { way, others } = self;
        let mut notes = Vec::new();
        if let (Some(hole), Target::Time(at)) = (&way.hole, target)
            && way.manifest.instant < Some(*at)
        {
            notes.push(hole.to_string());
        }
        notes.extend(others.into_iter().map(|(began, ended)| {
            format!(
                "the log went on in another way as well, written from {} to {}: that is not in this state",
                Iso(began),
                Iso(ended)
            )
        }));
        Candidate { manifest: way.manifest, notes }
    }
}

/// The ways behind a backup that may be right for the target; the best first.
fn choices(ways: Vec<Way>, target: &Target) -> Vec<Choice> {
    let first = match target {
        Target::Time(at) | Target::Before { after: Some(at), .. } => written_at(&ways, *at),
        // They come with the one first that was written last.
        Target::Latest | Target::Position(_) | Target::Before { after: None, .. } => 0,
    };
    let others: Vec<_> = ways.iter().map(|way| others_than(way, &ways)).collect();
    let all = ways.into_iter().zip(others).map(|(way, others)| Choice { way, others });
    let mut all: Vec<Choice> = all.collect();
    all.get_mut(..=first).unwrap_or_default().rotate_right(1);
    if matches!(target, Target::Latest | Target::Time(_)) {
        all.truncate(1);
    }
    all
}

/// When other ways were written.
fn others_than(own: &Way, ways: &[Way]) -> Vec<(UnixMillis, UnixMillis)> {
    let salts = |way: &Way| -> Vec<Option<Salt>> {
        way.manifest.segments.iter().map(|file| file.salt).collect()
    };
    let own = salts(own);
    let other = ways.iter().filter_map(|other| {
        let parted = salts(other).iter().zip(&own).position(|(other, own)| other != own)?;
        let behind = other.manifest.segments.get(parted..)?;
        let ended = behind.iter().filter_map(|file| file.last_time).max()?;
        Some((behind.first()?.first_time?, ended))
    });
    other.collect()
}

/// The number of the way that was being written at an instant: where two part, the one that began last by then.
fn written_at(ways: &[Way], at: UnixMillis) -> usize {
    let mut left: Vec<usize> = (0..ways.len()).collect();
    let longest = ways.iter().map(|way| way.manifest.segments.len()).max().unwrap_or(0);
    for number in 0..longest {
        let segment =
            |way: &usize| ways.get(*way).and_then(|way| way.manifest.segments.get(number));
        let began = |way: &usize| segment(way).and_then(|file| file.first_time);
        let rank = |way: &usize| match began(way) {
            Some(began) if began <= at => (true, began),
            // None was written by then: all are the same up to there.
            began => (false, began.map_or(i64::MIN, |began| -began)),
        };
        let salt = |way: &usize| segment(way).and_then(|file| file.salt);
        let Some(best) = left.iter().max_by_key(|way| rank(way)).map(salt) else { break };
        left.retain(|way| salt(way) == best);
        if left.len() == 1 {
            break;
        }
    }
    left.first().copied().unwrap_or(0)
}

/// The newest state of all.
fn newest(mut sound: Vec<Choice>) -> Result<Choice, BackupError> {
    // What the positions of one log say counts more than clocks do.
    let is_older = |own: &Choice, sound: &[Choice]| {
        sound.iter().any(|other| lineage::is_older(&own.way.manifest, &other.way.manifest))
    };
    let older: Vec<bool> = sound.iter().map(|own| is_older(own, &sound)).collect();
    let mut older = older.into_iter();
    sound.retain(|_| !older.next().unwrap_or(false));
    // A backup is newer than the archive, unless the archive went on after it.
    let reach = |own: &Choice| own.way.manifest.instant.max(Some(own.way.manifest.created_at));
    let newest = sound.iter().map(reach).max();
    let found = sound.into_iter().find(|own| Some(reach(own)) == newest);
    let found = found.ok_or_else(|| BackupError::refused("there is no backup", HOW_TO_LIST))?;
    match &found.way.hole {
        None => Ok(found),
        Some(hole) => Err(BackupError::refused(
            hole.to_string(),
            format!("--to-position {} restores what is before that", hole.position),
        )),
    }
}

/// Whether a backup's base is no newer than an instant.
fn is_right_at(backup: &Manifest, at: UnixMillis) -> bool {
    let Some(base) = backup.base.as_ref() else {
        let first = backup.segments.iter().find(|file| file.records > 0);
        // A log without times is looked into, and refused there.
        return first.map_or(backup.created_at <= at, |file| {
            file.first_time.is_none_or(|at_first| at_first <= at)
        });
    };
    match base.state_time() {
        // Files that nobody made a backup of do not say when they were read.
        None => has_no_times(backup) && backup.created_at > 0 && backup.created_at <= at,
        // A snapshot alone is all that there is of it.
        Some(made) if backup.segments.is_empty() => made <= at,
        Some(made) => made + BASE_TIME_UNIT_MS - 1 <= at,
    }
}

/// Whether a base holds a log that does not say when it was written.
fn has_no_times(backup: &Manifest) -> bool {
    backup.base.as_ref().is_some_and(|base| base.seq > 0 && base.state_time().is_none())
}

fn for_instant(mut sound: Vec<Choice>, at: UnixMillis) -> Result<Vec<Choice>, BackupError> {
    let begin = |own: &Choice| match &own.way.manifest.base {
        Some(base) => base.state_time().map(|made| made + BASE_TIME_UNIT_MS - 1),
        None => own.way.manifest.segments.iter().find_map(|file| file.first_time),
    };
    let oldest = sound.iter().filter_map(begin).min();
    let timeless = sound.iter().any(|own| has_no_times(&own.way.manifest));
    sound.retain(|own| is_right_at(&own.way.manifest, at));
    if sound.is_empty() && timeless {
        return Err(BackupError::no_times());
    }
    if sound.is_empty() {
        let oldest = oldest
            .map_or(String::new(), |oldest| format!("; the oldest begins at {}", Iso(oldest)));
        return Err(BackupError::refused(
            format!("no backup is as old as {}{oldest}", Iso(at)),
            HOW_TO_LIST,
        ));
    }
    // Those that reach the instant first, the newest base first; then those that reach farthest. They come
    // with the newest first.
    sound.sort_by_key(|own| {
        let backup = &own.way.manifest;
        let reaches = backup.instant >= Some(at);
        let base_at = backup.base.as_ref().and_then(|base| base.state_time());
        std::cmp::Reverse((reaches, if reaches { base_at } else { backup.instant }))
    });
    Ok(sound)
}

fn for_position(mut sound: Vec<Choice>, at: u64) -> Result<Vec<Choice>, BackupError> {
    sound.retain(|own| {
        let backup = &own.way.manifest;
        let start = backup.base.as_ref().map_or(Some(0), |base| base.position);
        start.is_some_and(|start| start <= at) && backup.position >= Some(at)
    });
    if sound.is_empty() {
        return Err(BackupError::refused(
            format!("no backup's log covers position {at}"),
            "fastness backup list shows from where to where they go",
        ));
    }
    Ok(sound)
}
