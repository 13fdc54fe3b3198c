//! With the log on: does the snapshot beside it hold what the log does not? The log is loaded all the same, as Redis does; but
//! the snapshot is told of, and kept from the next save. Changes nothing (I5).
//!
//! A log that was switched off once stays behind, and everything since is in snapshots only. Those of this server tell
//! it: their mark is then behind the end of the log (`LogMark::behind_log`). Of other files
//! the clock tells, with some seconds of grace: a server with its log on saves now and then, and when it ends.

use super::LoadError;
use super::decide::{Decision, decide};
use super::inspect::Facts;
use super::newer::{End, Head, end_of_read, head, log_end};
use crate::aof::chain::LogEnd;
use crate::aof::filename::FileNames;
use crate::aof::manifest::{Entry, Manifest};
use crate::aof::mark::LogMark;
use crate::clock::UnixMillis;
use crate::disk::Disk;
use crate::logger::civil;

/// A snapshot is not called newer than a log that was written to in the last milliseconds before it.
const GRACE_MS: i64 = 5_000;

/// What can be told of a snapshot beside a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The log has what it has, as far as can be told.
    Nothing,
    /// It was saved when the log had ended.
    BehindTheEnd,
    /// It was saved, so many milliseconds later, by a server that wrote no log or another one.
    Later(i64),
    /// Nobody knows when the log was last written to.
    NoTime,
}

/// The log that is loaded, if there is a snapshot beside it that is not: where its files are, and which.
fn passed_over(facts: &Facts) -> Option<(FileNames, Manifest)> {
    if !facts.situation.snapshot || facts.lone_base.is_some() {
        return None;
    }
    match decide(facts.situation) {
        Decision::LoadLog => Some((facts.names.clone(), facts.manifest.clone())),
        Decision::UpgradeOldLog => {
            let incrs = vec![Entry::new(facts.old_log.clone(), 1)];
            Some((FileNames::new("", &facts.old_log), Manifest { incrs, ..Manifest::default() }))
        }
        _ => None,
    }
}

/// When the files of the log were last written to, to be asked before a start makes their end durable.
pub(super) fn last_write(disk: &dyn Disk, facts: &Facts) -> Option<UnixMillis> {
    let (names, manifest) = passed_over(facts)?;
    let files = manifest.base.iter().chain(&manifest.incrs);
    files.filter_map(|entry| disk.modified(&names.path(&entry.name))).max()
}

/// What a start says of the snapshot that it does not load. `read`: how the log was found to end; `written`: see
/// [`last_write`].
pub(super) fn for_start(
    disk: &dyn Disk,
    facts: &Facts,
    read: &LogEnd,
    written: Option<UnixMillis>,
) -> Result<Option<String>, LoadError> {
    let Some((names, manifest)) = passed_over(facts) else { return Ok(None) };
    let end = end_of_read(disk, &names, &manifest, read)?;
    let saved = head(disk, &facts.snapshot)?;
    let told = holds_more(saved, listed(saved, &manifest), end, written);
    Ok(match told {
        Told::Nothing | Told::NoTime => None,
        told => Some(text(facts, saved, end.millis.max(written), told)),
    })
}

/// What `check` says of it, for which the log is read.
pub fn for_check(disk: &dyn Disk, facts: &Facts) -> Result<Option<String>, LoadError> {
    let Some((names, manifest)) = passed_over(facts) else { return Ok(None) };
    let written = last_write(disk, facts);
    let end = log_end(disk, &names, &manifest)?;
    let saved = head(disk, &facts.snapshot)?;
    let told = holds_more(saved, listed(saved, &manifest), end, written);
    if told == Told::Nothing {
        return Ok(None);
    }
    Ok(Some(format!(
        "{}. With appendonly yes the log is loaded, and not {}; to have the snapshot, start with --appendonly no, then CONFIG \
         SET appendonly yes",
        text(facts, saved, end.millis.max(written), told),
        facts.snapshot
    )))
}

/// The snapshot's mark, if it is one of the log's segments.
fn listed(saved: Head, manifest: &Manifest) -> Option<LogMark> {
    saved.mark.filter(|mark| manifest.incrs.iter().any(|entry| entry.salt() == Some(mark.salt)))
}

/// Whether the snapshot holds what the log does not. `mark`: one of this log.
fn holds_more(saved: Head, mark: Option<LogMark>, log: End, written: Option<UnixMillis>) -> Told {
    if log.damaged {
        return Told::Nothing;
    }
    if let Some(mark) = mark {
        return if mark.position > log.position { Told::BehindTheEnd } else { Told::Nothing };
    }
    // A segment that nothing was written to is not listed for long: a snapshot of a server at rest may name one.
    if saved.mark.is_some_and(|mark| mark.position == log.position) {
        return Told::Nothing;
    }
    // What this server wrote tells its times. Others do not, and copying changes those of the files to later ones, which
    // says nothing then.
    let own = saved.millis.is_some() && !log.in_seconds;
    let logged = if own { log.millis.or(written) } else { log.millis.max(written) };
    let Some(saved_at) = saved.at() else { return Told::Nothing };
    let Some(logged) = logged else { return Told::NoTime };
    let later = saved_at.saturating_sub(logged);
    if later > GRACE_MS { Told::Later(later) } else { Told::Nothing }
}

fn text(facts: &Facts, saved: Head, logged: Option<UnixMillis>, told: Told) -> String {
    let log = match decide(facts.situation) {
        Decision::UpgradeOldLog => facts.old_log.clone(),
        _ => facts.names.path(&facts.names.manifest()),
    };
    let why = match told {
        Told::BehindTheEnd => "the snapshot was saved behind the end of the log".to_owned(),
        Told::Later(ms) => format!("the snapshot was saved {} s later than that", ms / 1000),
        Told::NoTime => {
            "if the log was switched off since, the snapshot is the newer one".to_owned()
        }
        Told::Nothing => String::new(),
    };
    let time = |at: Option<UnixMillis>| at.map_or("at an unknown time".to_owned(), date);
    format!(
        "{} (saved {}) may hold what the log {log} (last written {}) does not: {why}",
        facts.snapshot,
        time(saved.at()),
        time(logged)
    )
}

fn date(at: UnixMillis) -> String {
    let seconds = at.div_euclid(1000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hours, minutes) = (second / 3600, second / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hours:02}:{minutes:02}:{:02} UTC", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::record::{Position, Salt};

    fn mark(position: u64) -> Option<LogMark> {
        Some(LogMark { salt: Salt(1), position: Position(position) })
    }

    #[test]
    fn of_one_log_positions_count_and_not_the_clock() {
        let log = End { position: Position(50), millis: Some(10_000), ..End::default() };
        for millis in [Some(1), Some(10_000), Some(9_000_000)] {
            for (position, told) in
                [(49, Told::Nothing), (50, Told::Nothing), (51, Told::BehindTheEnd)]
            {
                let saved = Head { mark: mark(position), millis, seconds: None };
                assert_eq!(holds_more(saved, saved.mark, log, None), told);
            }
            // A start that came to nothing took the segment with it.
            let saved = Head { mark: mark(50), millis, seconds: None };
            assert_eq!(holds_more(saved, None, log, None), Told::Nothing);
        }
        // Of another history.
        let saved = Head { mark: mark(7), millis: Some(15_001), seconds: None };
        assert_eq!(holds_more(saved, None, log, None), Told::Later(5_001));
        let damaged = End { damaged: true, ..log };
        assert_eq!(holds_more(saved, None, damaged, None), Told::Nothing);
    }

    #[test]
    fn of_other_servers_the_clock_counts_with_grace() {
        let log = End { in_seconds: true, ..End::default() };
        let saved = |seconds| Head { mark: None, millis: None, seconds: Some(seconds) };
        assert_eq!(holds_more(saved(15), None, log, Some(10_000)), Told::Nothing);
        assert_eq!(holds_more(saved(16), None, log, Some(10_000)), Told::Later(6_000));
        assert_eq!(holds_more(saved(16), None, log, Some(90_000)), Told::Nothing);
        assert_eq!(holds_more(saved(16), None, log, None), Told::NoTime);
        assert_eq!(holds_more(Head::default(), None, log, Some(1)), Told::Nothing);
        assert_eq!(date(1_796_101_702_000), "2026-12-01 05:08:22 UTC");
    }
}
