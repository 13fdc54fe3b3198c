//! BACKUP: the files of the log, from a new base to a chosen moment, hard-linked into a directory of their own.
//!
//! START has a rewrite made (or takes one that is under way). When its base is installed, base and segments
//! get second names in `backupdirname/appenddirname`, and so does every later segment before a rewrite could
//! remove it. SEAL rotates the log, so that the last segment of the backup ends there, and writes the manifest,
//! last: without one nobody takes the files for a data set. With `appendonly no` the same is done with a log that
//! exists for the backup only and that nobody's reply waits for; it lives under temporary names beside it.
//!
//! What touches files is [`work`]'s, on the persistence worker, between its jobs and without the engine's lock.

mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Engine;
use super::persist::PersistRequest;
use crate::aof::filename::{FileKind, FileNames, UNSEALED_LOG};
use crate::aof::log::{Log, LogState};
use crate::aof::manifest::Entry;
use crate::command::CommandError;
use crate::command::server::backup::{BackupFacts, BackupRequest, BackupState};
use crate::disk::durable::join;
use crate::resp::{Args, Reply};
use crate::session::wait::TimeoutReply;
use crate::session::{ClientId, Release, Wait, WaitKind};
pub use work::{BackupWork, UNSEALED};

/// The backup under way.
#[derive(Debug, Default)]
pub struct Backup {
    /// The log that exists for it only; units go there from the snapshot on.
    pub(super) tap: Option<Arc<Log>>,
    /// What is linked so far: the base, and the segments by number.
    base: Option<Entry>,
    segments: BTreeMap<u64, Entry>,
    /// What the worker is asked for, and who waits for it.
    asked: Option<(Asked, Option<ClientId>)>,
    /// The directory was looked at since the start.
    looked: bool,
}

/// What the worker is to do about a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Seal,
    /// Its files go; the state becomes idle if it is a cleanup.
    Remove {
        cleanup: bool,
    },
}

impl Engine {
    /// BACKUP START, SEAL, ABORT, CLEANUP. `Ok(true)`: say OK. `Ok(false)`: the client waits.
    pub(super) fn backup(
        &mut self,
        id: ClientId,
        request: BackupRequest,
        args: &Args,
    ) -> Result<bool, String> {
        self.look_for_backup();
        let state = self.server.backup.state;
        // A new one takes the place of one that failed, whether that is removed already or not.
        let removes = |asked: &(Asked, Option<ClientId>)| {
            matches!(asked, (Asked::Remove { cleanup: false }, None))
        };
        let starts = request == BackupRequest::Start;
        if self.backup.asked.as_ref().is_some_and(|asked| !starts || !removes(asked)) {
            return Err("ERR Another BACKUP command is being carried out".to_owned());
        }
        let asked = match request {
            BackupRequest::Start => {
                self.start_backup()?;
                return Ok(true);
            }
            BackupRequest::Seal if state != BackupState::Incrementing => {
                return Err("ERR No backup ready to seal".to_owned());
            }
            BackupRequest::Seal => Asked::Seal,
            BackupRequest::Abort if !state.is_open() => {
                return Err("ERR No backup in progress".to_owned());
            }
            BackupRequest::Abort => {
                self.give_backup_up("aborted by user");
                Asked::Remove { cleanup: false }
            }
            BackupRequest::Cleanup if state.is_open() => {
                return Err("ERR Backup in progress, use BACKUP ABORT".to_owned());
            }
            BackupRequest::Cleanup if state == BackupState::Idle => return Ok(true),
            BackupRequest::Cleanup => Asked::Remove { cleanup: true },
        };
        // Never inside EXEC, which does not wait.
        self.ask_worker(asked, Some(id));
        let wait = Wait::until(WaitKind::Time, None, TimeoutReply::Null);
        self.wait(id, wait, args);
        Ok(false)
    }

    fn start_backup(&mut self) -> Result<(), String> {
        let files = Arc::clone(&self.persist.backup_files);
        // The worker may be removing what failed; once this is held, it is through or sees the number.
        let mut started = files.lock();
        match self.server.backup.state {
            BackupState::Idle => {}
            BackupState::Sealed => {
                return Err("ERR A sealed backup is there, use BACKUP CLEANUP".to_owned());
            }
            BackupState::Failed => work::remove(self.disk.as_ref(), &self.backup_names())?,
            _ => return Err("ERR Backup already in progress".to_owned()),
        }
        let (outer, inner) = (&self.server.config.backupdirname, self.backup_names().dir);
        let text = |error: crate::disk::DiskError| format!("ERR {error}");
        self.disk.create_dir(outer).map_err(text)?;
        self.disk.create_dir(&inner).map_err(text)?;
        let own = format!("{}/", self.server.config.appenddirname);
        let others = self.disk.list(outer).map_err(text)?.into_iter().filter(|name| *name != own);
        let inside = self.disk.list(&inner).map_err(text)?;
        if let Some(name) = others.chain(inside).next() {
            return Err(format!("ERR Backup directory {outer} is not empty: {name}"));
        }
        *started += 1;
        self.backup = Backup { looked: true, ..Backup::default() };
        self.server.backup = BackupFacts {
            state: BackupState::Pending,
            started_at: self.ks.now,
            ..BackupFacts::default()
        };
        self.logger.notice(format!("Backup into {outer} started"));
        if !self.persist.in_exec {
            self.backup_if_due();
        }
        Ok(())
    }

    /// The names of the backup's files.
    fn backup_names(&self) -> FileNames {
        let config = &self.server.config;
        let dir = join(&config.backupdirname, &config.appenddirname);
        FileNames::new(&dir, &config.appendfilename)
    }

    /// The names of the log that exists for a backup only.
    pub(super) fn private_log_names(&self) -> FileNames {
        FileNames::new(&self.server.config.backupdirname, UNSEALED_LOG)
    }

    /// Has the base of a backup made, or takes a rewrite that is under way for it.
    fn backup_if_due(&mut self) {
        if self.server.backup.state != BackupState::Pending || self.server.loading.is_some() {
            return;
        }
        let request = match self.log {
            Some(_) => PersistRequest::Rewrite,
            None => PersistRequest::Backup,
        };
        if !self.persist.is_busy() {
            self.request_persist(request);
            self.server.backup.state = BackupState::Snapshotting;
        } else if self.log.is_some() && self.persist.running == Some(PersistRequest::Rewrite) {
            self.server.backup.state = BackupState::Snapshotting;
        }
    }

    /// Ten times a second: a backup that could not begin, a log of its own that fails, a sealed one whose time is
    /// over.
    pub(super) fn backup_cron(&mut self) {
        self.look_for_backup();
        if self.server.backup.state == BackupState::Idle {
            return;
        }
        if self.server.backup.state == BackupState::Snapshotting && !self.persist.is_busy() {
            // Its job was called off before it began.
            self.server.backup.state = BackupState::Pending;
        }
        self.backup_if_due();
        if let Some(tap) = self.backup.tap.as_ref().filter(|tap| tap.state() != LogState::Ready) {
            let cause = tap.cause().map(|cause| cause.to_string()).unwrap_or_default();
            self.fail_backup(&cause);
        }
        let ttl_ms = i64::from(self.server.config.backup_sealed_ttl) * 1000;
        let facts = &self.server.backup;
        let over = ttl_ms > 0 && self.ks.now - facts.sealed_at >= ttl_ms;
        if facts.state == BackupState::Sealed && over && self.backup.asked.is_none() {
            self.logger.notice("The sealed backup's time is over: removing it");
            self.ask_worker(Asked::Remove { cleanup: true }, None);
        }
    }

    /// Once after the start: what an earlier process left.
    fn look_for_backup(&mut self) {
        if self.backup.looked || self.server.loading.is_some() {
            return;
        }
        self.backup.looked = true;
        let names = self.backup_names();
        let there = self.disk.list(&names.dir).unwrap_or_default();
        let private = self.disk.list(&self.server.config.backupdirname).unwrap_or_default();
        let facts = &mut self.server.backup;
        if let Some(manifest) = work::manifest(self.disk.as_ref(), &names) {
            facts.state = BackupState::Sealed;
            facts.sealed_at = self.ks.now;
            let entries = manifest.base.iter().chain(&manifest.incrs).map(|entry| &entry.name);
            let listed = entries.map(|name| names.path(name));
            facts.files = listed.chain([names.path(&names.manifest())]).collect();
        } else if there.iter().any(|name| names.kind(name) != FileKind::Other)
            || private.iter().any(|name| name.contains(UNSEALED_LOG))
        {
            facts.state = BackupState::Failed;
            facts.error = "the server ended before the backup was sealed".to_owned();
        }
    }

    /// A backup cannot go on; its files are removed.
    pub(super) fn fail_backup(&mut self, cause: &str) {
        if !self.server.backup.state.is_open() {
            return;
        }
        self.logger.warning(format!("Backup failed: {cause}"));
        self.give_backup_up(cause);
        match self.backup.asked.take() {
            // Whoever wanted to seal it is told.
            Some((Asked::Seal, Some(client))) => {
                self.answer_backup(client, Err(format!("ERR {cause}")));
            }
            Some((Asked::Remove { cleanup }, client)) => {
                return self.ask_worker(Asked::Remove { cleanup }, client);
            }
            _ => {}
        }
        self.ask_worker(Asked::Remove { cleanup: false }, None);
    }

    /// A job failed that a backup may have waited for.
    pub(super) fn backup_without_base(&mut self, request: PersistRequest, cause: &str) {
        let base = matches!(request, PersistRequest::Rewrite | PersistRequest::Backup);
        if base && self.server.backup.state == BackupState::Snapshotting {
            self.fail_backup(cause);
        }
    }

    fn ask_worker(&mut self, asked: Asked, client: Option<ClientId>) {
        self.backup.asked = Some((asked, client));
        self.persist.backup_wanted.store(true, Ordering::Release);
    }

    fn give_backup_up(&mut self, cause: &str) {
        if self.persist.requested == Some(PersistRequest::Backup) {
            self.persist.requested = None;
        }
        if self.persist.running == Some(PersistRequest::Backup) {
            self.persist.cancel = true;
        }
        self.backup.tap = None;
        self.refresh_recording();
        let facts = &mut self.server.backup;
        facts.state = BackupState::Failed;
        cause.clone_into(&mut facts.error);
        facts.files.clear();
    }

    /// A unit is committed while a log of the backup's own exists.
    pub(super) fn tap_for_backup(&self) {
        if let Some(tap) = &self.backup.tap {
            tap.append(&self.ks.effects.unit);
        }
    }

    /// The snapshot of a backup without a log is taken now: units go to its log from here on.
    pub(super) fn backup_begins(&mut self, log: &Arc<Log>) {
        if self.server.backup.state == BackupState::Snapshotting {
            self.backup.tap = Some(Arc::clone(log));
            self.persist.backup_wanted.store(true, Ordering::Release);
            self.refresh_recording();
        }
    }

    fn answer_backup(&mut self, client: ClientId, outcome: Result<(), String>) {
        let resp3 = self.sessions.client(client).is_some_and(|client| client.resp3);
        let Some(waiter) = self.end_wait(client) else { return };
        self.count_wait(client, &waiter, outcome.is_err());
        let mut reply = Reply::new(resp3);
        match outcome {
            Ok(()) => reply.ok(),
            Err(text) => {
                reply.error(&text);
                self.count_error(&CommandError::owned(text));
            }
        }
        let release = Release::default();
        let mail = self.sessions.resume(client, reply.buffer, release, self.ks.now);
        self.sessions.outgoing.push(mail);
    }
}
