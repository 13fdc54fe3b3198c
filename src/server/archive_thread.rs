//! The archive's thread: once in `archive-interval` it ships what has become durable (`backup::archive`).
//!
//! It waits for the store, and nobody waits for it: the engine's lock is only taken to read settings and to
//! note how it goes. A failure is tried again with growing pauses, for ever; the server's log tells when it
//! begins and ends, and when the archive is far behind. A new base is sent by one more thread, so that the log
//! goes on being shipped meanwhile. At the end of the server it has two seconds to ship the rest.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Shared;
use crate::aof::log::{Kept, Log};
use crate::backup::archive::owner::{Owner, Ownership};
use crate::backup::archive::ship::{Archiver, Step};
use crate::backup::repository::Repository;
use crate::backup::store::patient::{Patience, Patient};
use crate::backup::{BackupError, store};
use crate::command::state::{ArchiveFacts, ArchiveState};
use crate::config::AppendFsync;
use crate::disk::os::OsDisk;
use crate::disk::{Disk, SharedDisk, durable};
use crate::engine::persist::PersistRequest;
use crate::rng::random_hex;

/// How often it looks whether it is wanted; more often while the server loads.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the end of the server waits for the store.
const END_WITHIN: Duration = Duration::from_secs(2);
/// The server's log tells when the archive is so far behind, and again at each doubling.
const ALARM_AFTER: Duration = Duration::from_secs(60);
/// A call that the store does not answer is a failure after so long; failures are tried again by the rounds here.
const PATIENCE: Patience =
    Patience { answer_within: Duration::from_secs(120), retry_for: Duration::ZERO };
/// After a base was sent in vain, the next try waits so long.
const BASE_PAUSE: Duration = Duration::from_secs(30);
/// Looks at the log that are remembered, to tell since when something is not archived.
const SAMPLES_MAX: usize = 4096;

/// Tells when the thread has ended.
#[derive(Debug)]
pub(super) struct Ending(Receiver<()>);

impl Ending {
    /// Waits for it, but not for a store that does not answer.
    pub(super) fn wait(&self) {
        // Its end is the end of the channel.
        let _ = self.0.recv_timeout(END_WITHIN);
    }
}

/// Where a server's own word is, in its data directory.
const WORD_FILE: &str = "fastness.id";
const WORD_TEMPORARY: &str = "temp-fastness.id";

/// The word by which a data directory is known, made when it is first asked for.
fn server_word(disk: &dyn Disk) -> Result<String, BackupError> {
    if let Some(found) = durable::read_small(disk, WORD_FILE, 4096)? {
        let word = String::from_utf8_lossy(&found).trim().to_owned();
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(word);
        }
    }
    let word = random_hex(16);
    durable::replace_file(disk, WORD_TEMPORARY, WORD_FILE, format!("{word}\n").as_bytes())
        .map_err(|error| BackupError::Disk(error.into_inner()))?;
    Ok(word)
}

/// Starts the thread.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Ending> {
    let (running, ending): (Sender<()>, _) = channel();
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
        run(&shared);
        drop(running);
    })?;
    Ok(Ending(ending))
}

fn run(shared: &Arc<Shared>) {
    let mut work = Work::new(Arc::clone(shared));
    while !shared.stopping.load(Ordering::Acquire) {
        let pause = work.round();
        if !pause.is_zero() {
            shared.archive_signal.wait(pause);
        }
    }
    work.finish();
}

/// What the thread knows.
struct Work {
    shared: Arc<Shared>,
    url: String,
    /// A word of this start of the server.
    run: String,
    archiver: Option<Archiver>,
    log: Option<Arc<Log>>,
    base: Option<JoinHandle<(crate::backup::archive::BaseId, Result<bool, BackupError>)>>,
    base_not_before: Duration,
    facts: ArchiveFacts,
    /// When how much had been appended.
    samples: VecDeque<(Duration, u64)>,
    failures_in_a_row: u32,
    next_alarm: Duration,
}

/// The settings that matter here.
struct Settings {
    url: String,
    interval: Duration,
    limit: u64,
    base_rate: u64,
    recipients: Vec<String>,
    takeover: String,
    disk: SharedDisk,
    address: String,
    directory: String,
    loading: bool,
}

impl Work {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            url: String::new(),
            run: random_hex(16),
            archiver: None,
            log: None,
            base: None,
            base_not_before: Duration::ZERO,
            facts: ArchiveFacts::default(),
            samples: VecDeque::new(),
            failures_in_a_row: 0,
            next_alarm: ALARM_AFTER,
        }
    }

    fn settings(&self) -> Settings {
        let engine = self.shared.lock();
        let config = &engine.server.config;
        Settings {
            url: config.archive.clone(),
            interval: Duration::from_secs(u64::from(config.archive_interval)),
            limit: config.archive_local_limit,
            base_rate: config.archive_base_rate,
            recipients: config.archive_recipients.split_whitespace().map(str::to_owned).collect(),
            takeover: config.archive_takeover.clone(),
            disk: Arc::clone(&engine.disk),
            address: format!("redis://:{} {}", config.port, config.dir),
            directory: config.dir.clone(),
            loading: engine.server.loading.is_some(),
        }
    }

    /// One look; how long to wait for the next.
    fn round(&mut self) -> Duration {
        let settings = self.settings();
        if settings.loading {
            return LOOK_EVERY / 10;
        }
        if settings.url != self.url {
            self.url.clone_from(&settings.url);
            if let Some(archiver) = &mut self.archiver {
                // Whoever comes there next need not wait for us.
                archiver.end();
            }
            self.forget();
            self.facts = ArchiveFacts::default();
            if let Some(log) = self.shared.log().filter(|_| self.url.is_empty()) {
                // Nobody needs the old segments any more.
                log.keep(Kept::default());
            }
        }
        if settings.url.is_empty() {
            self.note(ArchiveState::Off);
            return LOOK_EVERY;
        }
        let log = self.shared.log().filter(|log| !log.is_gated());
        let Some(log) = log else {
            self.forget();
            self.note(ArchiveState::Waiting);
            return LOOK_EVERY;
        };
        if !self.log.as_ref().is_some_and(|known| Arc::ptr_eq(known, &log)) {
            // CONFIG SET appendonly begins a new one.
            self.forget();
            self.log = Some(Arc::clone(&log));
            self.samples.clear();
        }
        match self.ship(&settings, &log) {
            Ok(more) => {
                self.well();
                if more { Duration::ZERO } else { settings.interval }
            }
            Err(error) => self.ill(&error, settings.interval),
        }
    }

    /// Begins anew, with another archive or another log.
    fn forget(&mut self) {
        self.archiver = None;
        // What is on its way goes to where it was to go; the new archive has nothing of it.
        self.base = None;
        self.base_not_before = Duration::ZERO;
    }

    /// Ships once; true when there is more.
    fn ship(&mut self, settings: &Settings, log: &Arc<Log>) -> Result<bool, BackupError> {
        if self.archiver.is_none() {
            self.note(ArchiveState::Starting);
            let here = std::env::current_dir().unwrap_or_default();
            let inner = store::open(&settings.url, Arc::new(OsDisk::new(here)))?;
            let clock = Arc::clone(&self.shared.clock);
            let store = Arc::new(Patient::new(inner, clock, PATIENCE));
            let is_new = matches!(
                Repository::open(Arc::clone(&store) as Arc<dyn store::Store>),
                Err(BackupError::NoRepository { .. })
            );
            let repository = Repository::open_or_make(store, &random_hex(32))?
                .sealed_for(&settings.recipients)?;
            let what = if is_new {
                "a new repository, made just now"
            } else {
                "a repository that was there"
            };
            self.shared
                .lock()
                .logger
                .notice(format!("Archiving the log to {}: {what}", settings.url));
            let (disk, names) = (Arc::clone(&settings.disk), log.files().clone());
            let mut archiver = Archiver::new(repository, disk, names, &settings.address);
            archiver.ownership = Some(self.ownership(settings)?);
            self.archiver = Some(archiver);
        }
        if let Some(ownership) = self.archiver.as_mut().and_then(|own| own.ownership.as_mut()) {
            ownership.takeover.clone_from(&settings.takeover);
        }
        self.sample(log);
        self.take_base();
        let Some(archiver) = &mut self.archiver else { return Ok(false) };
        // The position first: what is durable now is in the files that are listed now.
        let synced = log.synced().0;
        let step = archiver.step(&log.manifest(), synced)?;
        let position = archiver.position();
        let Step { more, keep_from, base, rewrite_wanted } = step;
        log.keep(Kept { from_seq: keep_from, bytes_max: settings.limit });
        self.catch_up(position);
        if let Some(mut job) = base
            && self.base.is_none()
            && self.shared.clock.monotonic() >= self.base_not_before
        {
            job.rate = settings.base_rate;
            self.send_base(job, settings);
        }
        if rewrite_wanted {
            let mut engine = self.shared.lock();
            if !engine.persist.is_busy() {
                engine.request_persist(PersistRequest::Rewrite);
            }
            self.shared.unlock(engine);
            self.shared.persist_signal.raise();
        }
        Ok(more)
    }

    /// Who we are among those that may archive there.
    fn ownership(&mut self, settings: &Settings) -> Result<Ownership, BackupError> {
        let server = server_word(settings.disk.as_ref())?;
        self.facts.server.clone_from(&server);
        let uname = rustix::system::uname();
        let me = Owner {
            server,
            run: self.run.clone(),
            host: uname.nodename().to_string_lossy().into_owned(),
            directory: settings.directory.clone(),
            ..Owner::default()
        };
        Ok(Ownership::new(me, Arc::clone(&self.shared.clock)))
    }

    /// Notes how much has been appended by now, and has what nobody else syncs synced.
    fn sample(&mut self, log: &Log) {
        let appended = log.appended().0;
        if self.samples.back().is_none_or(|(_, last)| *last != appended) {
            self.samples.push_back((self.shared.clock.monotonic(), appended));
        } else if let Some(last) = self.samples.back_mut() {
            last.0 = self.shared.clock.monotonic();
        }
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
        if self.shared.policy() == AppendFsync::No && log.written() > log.synced() {
            self.shared.sync_wanted.store(true, Ordering::Release);
            self.shared.pace.signal.raise();
        }
    }

    fn catch_up(&mut self, position: u64) {
        while let Some((at, _)) = self.samples.front().filter(|(_, end)| *end <= position) {
            self.facts.caught_up_at = Some(*at);
            self.samples.pop_front();
        }
        self.facts.position = position;
    }

    fn send_base(&mut self, job: crate::backup::archive::BaseJob, settings: &Settings) {
        let (disk, clock) = (Arc::clone(&settings.disk), Arc::clone(&self.shared.clock));
        let send = move || {
            let sent = job.run(disk.as_ref(), clock.as_ref(), &random_hex(8));
            (job.id(), sent.map(|created| created.is_some()))
        };
        let thread = std::thread::Builder::new().name("archive-base".to_owned());
        // Without a thread it is tried again.
        self.base = thread.spawn(send).ok();
    }

    /// Takes what became of a base.
    fn take_base(&mut self) {
        let Some(thread) = self.base.take_if(|thread| thread.is_finished()) else { return };
        match (thread.join(), &mut self.archiver) {
            (Ok((id, Ok(sent))), Some(archiver)) => archiver.base_sent(id, sent),
            (Ok((_, Err(error))), _) => {
                self.base_not_before = self.shared.clock.monotonic() + BASE_PAUSE;
                self.warn(format!(
                    "The base of the log could not be sent to the archive: {error}. It is tried again; {}.",
                    error.next_step()
                ));
            }
            _ => {}
        }
    }

    fn well(&mut self) {
        if self.failures_in_a_row > 0 {
            self.shared.lock().logger.notice("The archive of the log works again.");
        }
        self.failures_in_a_row = 0;
        self.facts.error.clear();
        self.facts.other_owner.clear();
        let gaps = self.facts.gaps;
        // A new archiver counts from 0.
        self.note(ArchiveState::Ok);
        if self.facts.gaps > gaps {
            self.warn(
                "A part of the log was gone before it was archived: the archive has a gap there, and goes on behind \
                 it with a new base. Raise archive-local-limit if the store is away for long."
                    .to_owned(),
            );
        }
        self.look_at_lag();
    }

    fn ill(&mut self, error: &BackupError, interval: Duration) -> Duration {
        self.failures_in_a_row += 1;
        self.facts.failures += 1;
        self.facts.error = error.to_string();
        if self.failures_in_a_row == 1 {
            self.warn(format!(
                "The log cannot be archived: {error}. It is kept here (up to archive-local-limit) and tried again; {}.",
                error.next_step()
            ));
        }
        let state = match error {
            BackupError::Taken { owner, .. } => {
                self.facts.other_owner.clone_from(owner);
                ArchiveState::Taken
            }
            _ => ArchiveState::Failing,
        };
        self.note(state);
        self.look_at_lag();
        let doubled = interval.saturating_mul(1 << self.failures_in_a_row.min(10));
        doubled.min(PAUSE_MAX).max(interval)
    }

    fn look_at_lag(&mut self) {
        let mut engine = self.shared.lock();
        engine.begin_batch();
        let (bytes, age) = engine.archive_lag();
        self.shared.unlock(engine);
        if age >= self.next_alarm {
            self.next_alarm = age * 2;
            self.warn(format!(
                "The archive is {} s and {bytes} bytes behind: see archive_last_error in INFO.",
                age.as_secs()
            ));
        } else if age < ALARM_AFTER && self.next_alarm > ALARM_AFTER {
            self.next_alarm = ALARM_AFTER;
            self.shared.lock().logger.notice("The archive has caught up.");
        }
    }

    fn warn(&self, text: String) {
        self.shared.lock().logger.warning(text);
    }

    /// Puts the facts where INFO finds them.
    fn note(&mut self, state: ArchiveState) {
        self.facts.state = state;
        if let Some(archiver) = &self.archiver {
            let figures = archiver.figures;
            self.facts.pieces = figures.pieces;
            self.facts.bytes = figures.bytes;
            self.facts.bases = figures.bases;
            self.facts.gaps = figures.gaps;
        }
        self.shared.lock().server.persistence.archive = self.facts.clone();
    }

    /// Ships what is left; whoever waits for it has little patience.
    fn finish(&mut self) {
        let (Some(archiver), Some(log)) = (&mut self.archiver, &self.log) else { return };
        while archiver.step(&log.manifest(), log.synced().0).is_ok_and(|step| step.more) {}
        archiver.end();
    }
}
