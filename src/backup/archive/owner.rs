//! Whose archive a repository holds: one server's at a time, so that two histories never mix.
//!
//! A claim is an object with a number; the claim with the greatest number is in force. It is made, and renewed once a
//! minute, by storing the next number on the condition that nobody has: of two servers one succeeds, and the other
//! sees whose it is. Before it ships anything, a server looks whether the number behind its own is still
//! free. So whoever is displaced ships nothing more from then on, and says why.
//!
//! A server knows itself by a word in its data directory, which a restore does not bring along. A copy of the
//! directory has the same word: it may go on when the other one has stopped, or has not renewed its claim for some
//! minutes (seen by our own clock). For any other owner an operator has to say by its word that it is to be displaced.
//! `format-spec/backup.md`, section 6.

use crate::backup::checked_text;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::backup::BackupError;
use crate::backup::repository::Repository;
use crate::backup::store::{Put, StoreError};
use crate::backup::time::Iso;
use crate::clock::{Clock, UnixMillis};

/// Claims are below it.
pub const PREFIX: &str = "owner/";
const START: &str = "FASTNESS-OWNER 1\n";
/// A claim is renewed so often.
pub const RENEW_EVERY: Duration = Duration::from_secs(60);
/// A claim that was not renewed for so long is left by somebody who is gone; for a copy of his directory alone.
const GONE_AFTER: Duration = Duration::from_secs(200);
/// Old claims stay for so long: a list may be late.
const STAYS_FOR: Duration = Duration::from_secs(600);
/// Others may claim at the same time, but not for ever.
const TRIES: usize = 8;

/// A claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The word of the server's data directory.
    pub server: String,
    /// The word of this start of it.
    pub run: String,
    /// Where it runs.
    pub host: String,
    /// Its data directory.
    pub directory: String,
    /// When it became the owner.
    pub since: UnixMillis,
    /// When it last said so.
    pub renewed: UnixMillis,
    /// It has stopped.
    pub ended: bool,
}

impl Owner {
    /// The bytes of the claim.
    pub fn encode(&self) -> Vec<u8> {
        let value = json!({
            "server": self.server, "run": self.run, "host": self.host, "directory": self.directory,
            "since": self.since, "renewed": self.renewed, "ended": self.ended,
        });
        checked_text::encode(START, &format!("{value}\n"))
    }

    /// What such bytes say; an error tells what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let json = checked_text::decode(bytes, START)?;
        let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let word = |name: &str| {
            let found = value.get(name).and_then(Value::as_str).map(str::to_owned);
            found.ok_or_else(|| format!("it has no {name}"))
        };
        let time = |name: &str| {
            value.get(name).and_then(Value::as_i64).ok_or_else(|| format!("it has no {name}"))
        };
        Ok(Self {
            server: word("server")?,
            run: word("run")?,
            host: word("host")?,
            directory: word("directory")?,
            since: time("since")?,
            renewed: time("renewed")?,
            ended: value.get("ended").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { server, host, directory, .. } = self;
        write!(f, "server {server} (host {host}, directory {directory}, ")?;
        let what = if self.ended { "stopped" } else { "last seen" };
        write!(f, "{what} at {})", Iso(self.renewed))
    }
}

fn name_of(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// The claim that is in force, and the greatest number that any has.
pub fn current(repository: &Repository) -> Result<(Option<Owner>, u64), BackupError> {
    let (owner, numbers) = claims(repository)?;
    Ok((owner, numbers.last().copied().unwrap_or(0)))
}

/// The claim that is in force, and the numbers of all, in order.
fn claims(repository: &Repository) -> Result<(Option<Owner>, Vec<u64>), BackupError> {
    let listed = repository.store().list(PREFIX)?;
    let number = |name: &str| u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok();
    let mut numbers: Vec<u64> = listed.iter().filter_map(|own| number(&own.name)).collect();
    numbers.sort_unstable();
    let mut damage = None;
    for number in numbers.iter().rev() {
        match read(repository, *number) {
            Ok(Some(owner)) => return Ok((Some(owner), numbers)),
            Ok(None) => {}
            // Cut while it was stored, by somebody who has seen that: the one before it holds.
            Err(error @ BackupError::Damaged { .. }) => damage = Some(error),
            Err(error) => return Err(error),
        }
    }
    damage.map_or(Ok((None, numbers)), Err)
}

fn read(repository: &Repository, number: u64) -> Result<Option<Owner>, BackupError> {
    let name = name_of(number);
    let take = |bytes: &[u8]| {
        Owner::decode(bytes).map(Some).map_err(|what| BackupError::damaged(&name, what))
    };
    match repository.read(&name, take) {
        Err(BackupError::Store(error)) if error.is_not_found() => Ok(None),
        other => other,
    }
}

/// A server that holds, or wants, the archive in a repository.
pub struct Ownership {
    me: Owner,
    clock: Arc<dyn Clock>,
    /// The word of the owner that an operator says is gone; empty: none.
    pub takeover: String,
    /// The number of the claim that we hold, and when it was made.
    held: Option<(u64, Duration)>,
    /// Claims below it that are to be removed, with the times at which they were made or found.
    old: VecDeque<(u64, Duration)>,
    /// The greatest number of another one's claims, and since when it has been that.
    seen: Option<(u64, Duration)>,
    /// Somebody with our word displaced us: we do not displace him by ourselves, or it would go on for ever.
    displaced: bool,
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ownership").field("me", &self.me).field("held", &self.held).finish()
    }
}

impl Ownership {
    /// For this server; of `me` the times do not matter.
    pub fn new(me: Owner, clock: Arc<dyn Clock>) -> Self {
        let (takeover, old) = (String::new(), VecDeque::new());
        Self { me, clock, takeover, held: None, old, seen: None, displaced: false }
    }

    /// Makes sure that the archive is ours and, if the claim is old, renews it. Nothing may be shipped after an error.
    pub fn hold(&mut self, repository: &Repository) -> Result<(), BackupError> {
        if let Some((number, made)) = self.held {
            // By both clocks: one of them stands still while the machine sleeps, and meanwhile others may have come.
            let asleep = self.clock.wall().abs_diff(self.me.renewed);
            let since = self.clock.monotonic().saturating_sub(made);
            if since.max(Duration::from_millis(asleep)) < RENEW_EVERY {
                return Ok(());
            }
            if self.claim(repository, number + 1)? && self.confirm(repository, number + 1)? {
                return self.clean(repository);
            }
            (self.held, self.displaced) = (None, true);
        }
        for _ in 0..TRIES {
            let (owner, greatest) = current(repository)?;
            self.may_claim(owner.as_ref(), greatest)?;
            if self.claim(repository, greatest + 1)? && self.confirm(repository, greatest + 1)? {
                return self.clean(repository);
            }
        }
        Err(StoreError::transient("put", PREFIX, "others claim the archive all the time").into())
    }

    /// Whether the claim is still ours, just before something is shipped.
    pub fn check(&mut self, repository: &Repository) -> Result<(), BackupError> {
        self.hold(repository)?;
        let Some((number, _)) = self.held else { return Ok(()) };
        match repository.store().size(&name_of(number + 1))? {
            None => Ok(()),
            Some(_) => {
                (self.held, self.displaced) = (None, true);
                self.hold(repository)
            }
        }
    }

    /// Says that this server has stopped, so that the next start need not wait.
    pub fn end(&mut self, repository: &Repository) {
        if let Some((number, _)) = self.held {
            self.me.ended = true;
            // Otherwise the next start waits, if it is elsewhere.
            let _ = self.claim(repository, number + 1);
            self.me.ended = false;
            self.held = None;
        }
    }

    /// Refused unless the archive is free, ours, or its owner is to be displaced.
    fn may_claim(&mut self, owner: Option<&Owner>, greatest: u64) -> Result<(), BackupError> {
        let Some(owner) = owner else { return Ok(()) };
        let now = self.clock.monotonic();
        if self.seen.is_none_or(|(number, _)| number != greatest) {
            self.seen = Some((greatest, now));
        }
        let still_for = self.seen.map_or(Duration::ZERO, |(_, since)| now.saturating_sub(since));
        let is_copy = owner.server == self.me.server;
        if owner.run == self.me.run || (owner.server == self.takeover && !is_copy) {
            return Ok(());
        }
        let next = format!(
            "if that server is gone for good, or is to archive no more, CONFIG SET archive-takeover {} here; else give \
             this one another place with the directive archive",
            owner.server
        );
        if !is_copy {
            let why = format!("the archive belongs to {owner}");
            return Err(BackupError::Taken { owner: owner.server.clone(), why, next });
        }
        // The same directory, which one process has at a time; or a copy of it.
        let same_place = owner.host == self.me.host && owner.directory == self.me.directory;
        if owner.ended || (same_place && !self.displaced) || still_for >= GONE_AFTER {
            return Ok(());
        }
        let next = "stop one of the two; for two servers remove fastness.id from one directory, and name two places"
            .to_owned();
        let why = format!(
            "the archive belongs to a copy of this data directory that may still run: {owner}; it is taken over when \
             that one has not been heard of for {} s",
            GONE_AFTER.as_secs()
        );
        Err(BackupError::Taken { owner: owner.server.clone(), why, next })
    }

    /// Stores a claim; false: somebody has that number.
    fn claim(&mut self, repository: &Repository, number: u64) -> Result<bool, BackupError> {
        let (name, now, wall) = (name_of(number), self.clock.monotonic(), self.clock.wall());
        let since = if self.held.is_some() { self.me.since } else { wall };
        let mine = Owner { since, renewed: wall, ..self.me.clone() };
        let put = repository.store().put_new(&name, &mine.encode())?;
        match read(repository, number) {
            // A try before this one, whose answer was lost, counts as well.
            Ok(Some(found)) if found.run == mine.run => {
                self.old.extend(self.held);
                // After a short list a number of ours may come again.
                self.old.retain(|(old, _)| *old != number);
                (self.held, self.seen) = (Some((number, now)), None);
                (self.me.since, self.me.renewed) = (found.since, wall);
                Ok(true)
            }
            Ok(Some(_)) => Ok(false),
            Ok(None) => Err(BackupError::damaged(&name, "the store has lost it")),
            Err(error) => {
                if put == Put::Stored {
                    // Cut by the store; it must not stand in the way.
                    repository.store().remove(&name)?;
                }
                Err(error)
            }
        }
    }

    /// Looks once more whether the claim is the greatest: the first list may have been short.
    fn confirm(&mut self, repository: &Repository, number: u64) -> Result<bool, BackupError> {
        let found = claims(repository).map(|(_, numbers)| numbers);
        if let Ok(numbers) = &found
            && numbers.last() == Some(&number)
        {
            // Those of an earlier start, and of whoever was displaced, go as ours do.
            let now = self.clock.monotonic();
            let known = |other: &u64| self.old.iter().any(|(old, _)| old == other);
            let others = numbers.iter().filter(|other| **other != number && !known(other));
            let others: Vec<u64> = others.copied().collect();
            self.old.extend(others.into_iter().map(|other| (other, now)));
            return Ok(true);
        }
        self.held = None;
        repository.store().remove(&name_of(number))?;
        found.map(|_| false)
    }

    /// Removes claims that even a late list does not need.
    fn clean(&mut self, repository: &Repository) -> Result<(), BackupError> {
        self.displaced = false;
        let now = self.clock.monotonic();
        while let Some((number, _)) =
            self.old.front().filter(|(_, made)| now.saturating_sub(*made) > STAYS_FOR)
        {
            repository.store().remove(&name_of(*number))?;
            self.old.pop_front();
        }
        Ok(())
    }
}
