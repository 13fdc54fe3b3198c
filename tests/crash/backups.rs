//! BACKUP on a disk that loses power: at no operation, from START to the end of CLEANUP, does anything that is not
//! the state of the seal look like a data set, and once SEAL has answered that state is there.

use std::sync::Arc;
use std::time::Duration;

use fastness::clock::Clock;
use fastness::config::{AppendFsync, Config};
use fastness::disk::sim::{CrashMode, Fault, SimDisk};
use fastness::engine::Engine;
use fastness::engine::backup::BackupWork;
use fastness::logger::Logger;
use fastness::recovery;
use fastness::resp::{OwnedArgs, Reply};
use fastness::rng::SeededRng;
use fastness::session::{Client, ClientId, Mail};
use parking_lot::Mutex;

use crate::model::{State, difference, engine_of, state_of};
use crate::sim::{StepClock, config, later};

const FOLDER: &str = "backupdir/appendonlydir";

fn settings(log: bool) -> Config {
    let mut config = config(AppendFsync::Always);
    config.appendonly = log;
    config
}

/// What a start finds under these settings; an error is a refusal.
fn found(disk: &SimDisk, config: &Config) -> Result<State, String> {
    let clock = later();
    let live = Mutex::new(engine_of(config, &clock, Arc::new(disk.clone()), 1));
    let logger = Logger::silent(Arc::clone(&clock));
    recovery::start_up(&live, &logger).map_err(|error| error.to_string())?;
    Ok(state_of(&live.lock().ks))
}

/// A server without threads.
struct Story {
    live: Mutex<Engine>,
    clock: Arc<StepClock>,
    client: ClientId,
    backup: BackupWork,
}

impl Story {
    fn new(disk: &SimDisk, log: bool) -> Self {
        crate::fix_hashes();
        let clock = Arc::new(StepClock::default());
        let shared: Arc<dyn Clock> = Arc::<StepClock>::clone(&clock);
        let live = Mutex::new(engine_of(&settings(log), &shared, Arc::new(disk.clone()), 1));
        recovery::start_up(&live, &Logger::silent(shared)).unwrap();
        let client = Client::new("127.0.0.1:1".to_owned(), String::new(), 0);
        let (client, _) = live.lock().admit(client).unwrap();
        let backup = BackupWork::of(&live);
        Self { live, clock, client, backup }
    }

    /// An answer, the one that the worker gave included; an error ends the story.
    fn ask(&self, line: &str) -> Result<(), String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::from_slices(words);
        let mut reply = Reply::new(false);
        let executed = {
            let mut engine = self.live.lock();
            engine.begin_batch();
            engine.execute(self.client, &args.as_args(), &mut reply)
        };
        if executed.waits {
            self.backup.look(&self.live);
            let mail = std::mem::take(&mut self.live.lock().sessions.outgoing);
            for mail in mail {
                if let Mail::Resume { bytes, .. } = mail {
                    reply.buffer.extend_from_slice(&bytes);
                }
            }
        }
        if let Some(log) = self.live.lock().log.clone() {
            log.write().and_then(|()| log.sync()).map_err(|error| error.to_string())?;
        }
        match reply.buffer.first() {
            Some(b'-') | None => Err(String::from_utf8_lossy(&reply.buffer).into_owned()),
            Some(_) => Ok(()),
        }
    }

    /// The worker runs what is asked for, as its thread does.
    fn work(&self) -> Result<(), String> {
        let Some(mut job) = self.live.lock().take_persist_job() else { return Ok(()) };
        let outcome = loop {
            self.backup.look(&self.live);
            if job.installs_base_next() {
                BackupWork::before_new_base(&self.live);
            }
            if let Some(outcome) = job.step(&self.live) {
                break outcome;
            }
        };
        if let (Ok(()), Some(from_seq)) = (&outcome, job.base_followed_by()) {
            BackupWork::base_installed(&self.live, from_seq);
        }
        self.live.lock().persist_finished(&job, outcome.clone());
        self.backup.look(&self.live);
        outcome
    }

    fn state(&self) -> State {
        state_of(&self.live.lock().ks)
    }
}

/// How far a story came.
#[derive(Default)]
struct Told {
    /// The state when SEAL began.
    sealing: Option<State>,
    sealed: bool,
    /// CLEANUP was asked for.
    cleaning: bool,
    cleaned: bool,
}

fn tell(story: &Story, log: bool, told: &mut Told) -> Result<(), String> {
    for line in ["SET a 1", "RPUSH list x y z", "BACKUP START"] {
        story.ask(line)?;
    }
    story.work()?;
    story.ask("SET b 2")?;
    if log {
        story.ask("BGREWRITEAOF")?;
        story.work()?;
    }
    story.ask("LPOP list")?;
    told.sealing = Some(story.state());
    story.ask("BACKUP SEAL")?;
    told.sealed = true;
    story.ask("SET c 3")?;
    told.cleaning = true;
    story.ask("BACKUP CLEANUP")?;
    told.cleaned = true;
    Ok(())
}

fn judge(left: &SimDisk, told: &Told, what: &str) {
    let mut own = settings(true);
    own.appenddirname = FOLDER.to_owned();
    let inside = |path: &String| path.starts_with(FOLDER) && !path.contains("/temp-");
    let files: Vec<String> = left.files().into_iter().filter(inside).collect();
    match found(left, &own) {
        // Where nothing is there is nothing to be mistaken for a data set.
        Ok(state) if state.is_empty() => {
            assert!(files.is_empty(), "{what}: {files:?}");
            assert!(!told.sealed || told.cleaning, "{what}: the sealed backup is gone");
        }
        Ok(state) => {
            let wanted = told.sealing.as_ref();
            let wanted = wanted.unwrap_or_else(|| panic!("{what}: it looks whole"));
            assert_eq!(difference(wanted, &state), "", "{what}");
            assert!(!told.cleaned, "{what}: it is still there");
        }
        Err(why) => assert!(!told.sealed || told.cleaning, "{what}: {why}"),
    }
}

#[test]
fn power_loss_at_every_operation_leaves_the_sealed_state_or_none() {
    for log in [true, false] {
        let mut sealed = 0;
        for at in 0.. {
            let disk = SimDisk::new();
            let story = Story::new(&disk, log);
            disk.fail_at(disk.operation_count() + at, Fault::PowerCut);
            let mut told = Told::default();
            let outcome = tell(&story, log, &mut told);
            for mode in CrashMode::ALL {
                let what = format!("log {log}, cut at {at}, {mode:?}");
                judge(&disk.crash(mode, &mut SeededRng::new(at)), &told, &what);
                if log {
                    let left = disk.crash(mode, &mut SeededRng::new(at));
                    let own = found(&left, &settings(true));
                    assert!(own.is_ok(), "{what}: the server's own data: {own:?}");
                }
            }
            sealed += u32::from(told.sealed);
            if outcome.is_ok() {
                assert!(at > 20 && sealed > 3, "{at} operations, {sealed} behind the seal");
                break;
            }
        }
    }
}

#[test]
fn an_operation_that_fails_fails_the_backup_and_the_next_one_is_whole() {
    for log in [true, false] {
        let mut failed = 0;
        for at in 0.. {
            let disk = SimDisk::new();
            let story = Story::new(&disk, log);
            disk.fail_at(disk.operation_count() + at, Fault::Eio);
            let mut told = Told::default();
            let outcome = tell(&story, log, &mut told);
            disk.clear_faults();
            judge(
                &disk.crash(CrashMode::Everything, &mut SeededRng::new(at)),
                &told,
                &format!("{at}"),
            );
            if outcome.is_ok() && told.cleaned {
                break;
            }
            failed += 1;
            // The server heals its log by itself; then everything is as ever.
            for _ in 0..3 {
                story.clock.advance(Duration::from_secs(1));
                let mut engine = story.live.lock();
                engine.begin_batch();
                engine.cron();
                drop(engine);
                let _ = story.work();
                story.backup.look(&story.live);
            }
            let _ = story.ask("BACKUP ABORT");
            let _ = story.ask("BACKUP CLEANUP");
            let mut again = Told::default();
            let outcome = tell(&story, log, &mut again);
            assert!(outcome.is_ok(), "log {log}, EIO at {at}: {outcome:?}");
        }
        assert!(failed > 10, "{failed}");
    }
}
