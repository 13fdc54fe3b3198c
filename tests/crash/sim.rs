//! A server without sockets and threads: whoever holds a [`Sim`] says whose turn it is.
//!
//! What the reactor, the log thread and the persistence worker do is done here by the functions that they
//! call (`execute`, `Outbox`, `LogWork`, `SaveJob::step`); only their loops are replaced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use fastness::aof::log::{Log, LogState};
use fastness::clock::Clock;
use fastness::command::Flags;
use fastness::command::table::table;
use fastness::config::{AppendFsync, Config};
use fastness::disk::sim::SimDisk;
use fastness::engine::log_work::LogWork;
use fastness::engine::persist::SaveJob;
use fastness::engine::{Engine, Executed};
use fastness::logger::Logger;
use fastness::recovery;
use fastness::resp::{OwnedArgs, Reply};
use fastness::server::outbox::{LogProgress, Outbox};
use fastness::session::{Client, ClientId, Mail, Release};
use parking_lot::Mutex;

use crate::model::{Key, Model, difference, engine_of, state_of};
use crate::plan::{Request, Step};

/// 2026-11-22 in Unix milliseconds.
const WALL_START_MS: u64 = 1_795_305_600_000;

/// A clock that goes on by itself whenever somebody looks at the monotonic one. The one on the wall may be
/// set forwards and back.
#[derive(Debug, Default)]
pub(crate) struct StepClock {
    passed_us: AtomicU64,
    set_by_us: AtomicI64,
}

impl StepClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.passed_us.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }

    /// Sets the clock on the wall.
    pub(crate) fn set_back(&self, by_ms: i64) {
        self.set_by_us.fetch_sub(by_ms * 1000, Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn wall_us(&self) -> i64 {
        let passed = (WALL_START_MS * 1000 + self.passed_us.load(Ordering::SeqCst)) as i64;
        passed + self.set_by_us.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.passed_us.fetch_add(400, Ordering::SeqCst))
    }
    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// What a client was told, and what has to be there for it to be true.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The request and the reply, for a report.
    pub(crate) story: String,
    /// All changes before this position were in it.
    pub(crate) needs: u64,
    /// The client was promised that they are synced, not only written.
    pub(crate) synced: bool,
}

/// A reply that is on its way.
struct Expected {
    told: Told,
    /// WAITAOF: what the client had written.
    waited_for: Option<u64>,
}

struct SimClient {
    id: ClientId,
    outbox: Outbox,
    expected: VecDeque<Expected>,
    /// The request that it waits with.
    waits: Option<Request>,
    inbox: VecDeque<Request>,
    /// Requests queued by MULTI.
    queued: Vec<Request>,
}

/// The server.
pub(crate) struct Sim {
    pub(crate) disk: SimDisk,
    clock: Arc<StepClock>,
    live: Mutex<Engine>,
    work: LogWork,
    clients: Vec<SimClient>,
    job: Option<SaveJob>,
    pub(crate) model: Model,
    /// Compare memory with the model after each step.
    pub(crate) compare: bool,
    pub(crate) told: Vec<Told>,
    /// Replies that said that writes are refused or their outcome unknown.
    pub(crate) refusals: Vec<String>,
}

/// The settings of all simulated servers.
pub(crate) fn config(policy: AppendFsync) -> Config {
    let mut config = Config::default();
    config.databases = 4;
    config.dir = String::new();
    config.save.clear();
    config.auto_aof_rewrite_percentage = 0;
    config.appendfsync = policy;
    config
}

/// What a start finds on a disk: an engine behind its lock, its log open.
pub(crate) fn recover(
    disk: &SimDisk,
    policy: AppendFsync,
    clock: &Arc<dyn Clock>,
    seed: u64,
) -> Result<Engine, String> {
    let engine = engine_of(&config(policy), clock, Arc::new(disk.clone()), seed);
    let live = Mutex::new(engine);
    let logger = Logger::silent(Arc::clone(clock));
    recovery::start_up(&live, &logger).map_err(|error| format!("the start is refused: {error}"))?;
    Ok(live.into_inner())
}

/// A clock for looking at a disk afterwards.
pub(crate) fn later() -> Arc<dyn Clock> {
    let clock = StepClock::default();
    clock.advance(Duration::from_secs(1 << 20));
    Arc::new(clock)
}

impl Sim {
    /// Starts on a disk with what is there. The model knows it from `found`, a start on a copy.
    pub(crate) fn start(
        disk: &SimDisk,
        policy: AppendFsync,
        clients: usize,
        seed: u64,
        found: Option<Engine>,
    ) -> Result<Self, String> {
        let clock = Arc::new(StepClock::default());
        let shared: Arc<dyn Clock> = Arc::<StepClock>::clone(&clock);
        let mut engine = recover(disk, policy, &shared, seed)?;
        let log = engine.log.clone().ok_or("no log")?;
        log.hear();
        let twin = Arc::new(SimDisk::new());
        let found = found.unwrap_or_else(|| engine_of(&config(policy), &shared, twin, seed));
        let model = Model::new(found, log.appended().0);
        let clients = (0..clients).map(|_| {
            let client = Client::new("127.0.0.1:1".to_owned(), String::new(), 0);
            let (id, _) = engine.admit(client).unwrap();
            SimClient {
                id,
                outbox: Outbox::default(),
                expected: VecDeque::new(),
                waits: None,
                inbox: VecDeque::new(),
                queued: Vec::new(),
            }
        });
        let clients = clients.collect();
        // Little of it, so that its ends are met often.
        let work = LogWork::new(clock.monotonic()).filling(1500);
        let (told, refusals, job) = (Vec::new(), Vec::new(), None);
        let live = Mutex::new(engine);
        let (disk, compare) = (disk.clone(), false);
        Ok(Self { disk, clock, live, work, clients, job, model, compare, told, refusals })
    }

    /// The same without filler, where a test counts the disk's operations.
    pub(crate) fn without_filler(mut self) -> Self {
        self.work = self.work.filling(0);
        self
    }

    pub(crate) fn log(&self) -> Arc<Log> {
        self.live.lock().log.clone().unwrap()
    }

    /// SHUTDOWN NOSAVE, or why not.
    pub(crate) fn shut_down(&self) -> Result<(), String> {
        let mut engine = self.live.lock();
        engine.begin_batch();
        engine.shut_down(Some(false), false, &mut Reply::new(false)).map(drop)
    }

    /// Does one step. False when the power is gone.
    pub(crate) fn step(&mut self, step: &Step) -> Result<bool, String> {
        match step {
            Step::Request(client, request) => self.request(*client, request.clone())?,
            Step::TurnEnd => self.turn_end(),
            Step::LogRound => self.log_round()?,
            Step::Tick(pause) => self.tick(*pause)?,
            Step::Persist => self.persist(),
            Step::SetClock(by_ms) => {
                self.clock.set_by_us.fetch_add(by_ms * 1000, Ordering::SeqCst);
            }
            Step::Room(None) => self.disk.set_capacity(None),
            Step::Room(Some(room)) => self.disk.set_capacity(Some(self.disk.used_bytes() + room)),
        }
        self.mail()?;
        self.hear_rest()?;
        if self.disk.is_off() {
            return Ok(false);
        }
        if self.compare {
            let (live, model) = (state_of(&self.live.lock().ks), self.model.latest());
            if live != *model {
                let difference = difference(&model, &live);
                return Err(format!(
                    "memory is not what the log says after {step:?}: {difference}"
                ));
            }
        }
        Ok(true)
    }

    /// Gives everybody their turn until the log is well and nothing is pending; false if that does not
    /// happen.
    pub(crate) fn settle(&mut self) -> Result<bool, String> {
        for _ in 0..400 {
            for step in [Step::TurnEnd, Step::LogRound, Step::Persist, Step::Persist] {
                self.step(&step)?;
            }
            self.step(&Step::Tick(Duration::from_millis(200)))?;
            let log = self.log();
            let idle = self.job.is_none() && !self.live.lock().persist.is_busy();
            let reached = match self.policy() {
                AppendFsync::No => log.written(),
                _ => log.synced(),
            };
            if idle && log.state() == LogState::Ready && reached == log.appended() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why writes are refused now.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.live.lock().server.persistence.log_error.clone()
    }

    fn progress(&self) -> LogProgress {
        let log = self.log();
        LogProgress { written: log.written().0, synced: log.synced().0 }
    }

    fn request(&mut self, who: usize, request: Request) -> Result<(), String> {
        let who = who % self.clients.len();
        if self.clients[who].waits.is_some() {
            self.clients[who].inbox.push_back(request);
            return Ok(());
        }
        let progress = self.progress();
        let owned = OwnedArgs::from_slices(request.iter().map(Vec::as_slice));
        let client = &mut self.clients[who];
        let mut reply = Reply::new(false);
        reply.buffer = std::mem::take(&mut client.outbox.replies.buffer);
        let start = reply.buffer.len();
        let (executed, db, last_write) = {
            let mut engine = self.live.lock();
            engine.begin_batch();
            let db = engine.sessions.client(client.id).map_or(0, |client| client.db);
            let last_write = engine.sessions.client(client.id).map_or(0, |c| c.last_write);
            engine.stage_records();
            let executed = engine.execute(client.id, &owned.as_args(), &mut reply);
            engine.append_staged();
            (executed, db, last_write)
        };
        let answer = reply.buffer[start..].to_vec();
        client.outbox.replies.buffer = reply.buffer;
        client.outbox.hold(start, executed.release(), progress);
        let needs = self.needs(who, &request, db, executed, &answer)?;
        let client = &mut self.clients[who];
        let waited_for = request[0].eq_ignore_ascii_case(b"WAITAOF").then_some(last_write);
        if executed.waits {
            client.waits = Some(request);
        } else {
            let told = Told { story: show(&request), needs, synced: executed.needs_sync };
            client.expected.push_back(Expected { told, waited_for });
        }
        Ok(())
    }

    /// What the reply to a request rests on: its own change, and the last change of each key it names.
    fn needs(
        &mut self,
        who: usize,
        request: &Request,
        db: usize,
        executed: Executed,
        answer: &[u8],
    ) -> Result<u64, String> {
        // The request's own unit comes first, then those of whoever waited for it.
        let units = self.log().hear();
        let mut units = units.iter();
        let own = units.next();
        if let Some((position, unit)) = own {
            self.model.apply(*position, unit)?;
        }
        let mut needs = own.filter(|_| executed.wrote).map_or(0, |(position, _)| position.0);
        let client = &mut self.clients[who];
        let word = request[0].to_ascii_uppercase();
        // An error tells of arguments, not of keys.
        let refused = answer.starts_with(b"-");
        let queues = self
            .live
            .lock()
            .sessions
            .client(client.id)
            .is_some_and(|client| client.transaction.is_some() && word != b"MULTI");
        match word.as_slice() {
            _ if queues => client.queued.push(request.clone()),
            b"EXEC" if !refused => {
                let mut db = db;
                let queued = std::mem::take(&mut client.queued);
                for (request, answer) in queued.iter().zip(elements(answer)) {
                    let rests_on = rests_on(&self.model, request, answer, &mut db);
                    needs = needs.max(if answer.starts_with(b"-") { 0 } else { rests_on });
                }
            }
            b"EXEC" | b"DISCARD" | b"MULTI" | b"RESET" => client.queued.clear(),
            _ if refused => {}
            _ => needs = needs.max(rests_on(&self.model, request, answer, &mut { db })),
        }
        for (position, unit) in units {
            self.model.apply(*position, unit)?;
        }
        Ok(needs)
    }

    fn hear_rest(&mut self) -> Result<(), String> {
        for (position, unit) in self.log().hear() {
            self.model.apply(position, &unit)?;
        }
        Ok(())
    }

    /// Delivers what the engine left for connections.
    fn mail(&mut self) -> Result<(), String> {
        loop {
            let mail = std::mem::take(&mut self.live.lock().sessions.outgoing);
            if mail.is_empty() {
                return Ok(());
            }
            for mail in mail {
                let Some(who) = self.clients.iter().position(|client| client.id == mail.to())
                else {
                    continue;
                };
                match mail {
                    Mail::Resume { to, bytes, release } => self.resume(who, to, &bytes, release)?,
                    Mail::Send { to, bytes, mut release, .. } => {
                        release.needs_sync = self.live.lock().reply_needs_sync(to);
                        let progress = self.progress();
                        self.clients[who].outbox.message(&bytes, release, progress);
                    }
                    Mail::Close { .. } => {}
                }
            }
        }
    }

    fn resume(
        &mut self,
        who: usize,
        id: ClientId,
        bytes: &[u8],
        mut release: Release,
    ) -> Result<(), String> {
        let progress = self.progress();
        let last_write = {
            let engine = self.live.lock();
            release.needs_sync = engine.reply_needs_sync(id);
            engine.sessions.client(id).map_or(0, |client| client.last_write)
        };
        let client = &mut self.clients[who];
        client.outbox.reply(bytes, release, progress);
        let request = client.waits.take().unwrap_or_default();
        let waited = request.first().is_some_and(|word| word.eq_ignore_ascii_case(b"WAITAOF"));
        let (needs, synced) = (release.need, release.needs_sync);
        let told = Told { story: show(&request), needs, synced };
        client.expected.push_back(Expected { told, waited_for: waited.then_some(last_write) });
        while self.clients[who].waits.is_none() {
            let Some(next) = self.clients[who].inbox.pop_front() else { break };
            self.request(who, next)?;
        }
        Ok(())
    }

    /// The end of a reactor's turn.
    fn turn_end(&mut self) {
        let log = self.log();
        if self.policy() != AppendFsync::Always {
            let _ = log.try_write();
        }
        self.flush();
    }

    fn policy(&self) -> AppendFsync {
        self.live.lock().server.config.appendfsync
    }

    fn log_round(&mut self) -> Result<(), String> {
        let (log, policy) = (self.log(), self.policy());
        self.work.write(&log, policy);
        self.flush();
        self.work.sync(&log, policy, false, self.clock.monotonic());
        if self.work.state_changed(&log) || log.state() != LogState::Ready {
            let mut engine = self.live.lock();
            engine.begin_batch();
            engine.watch_log();
        }
        if self.work.moved(&log, self.clock.monotonic()) {
            self.live.lock().serve_log_waiters(log.synced().0);
        }
        self.mail()?;
        self.flush();
        Ok(())
    }

    fn tick(&mut self, pause: Duration) -> Result<(), String> {
        self.clock.advance(pause);
        let mut engine = self.live.lock();
        engine.cron();
        for _ in 0..8 {
            engine.expire_cycle();
        }
        drop(engine);
        self.mail()
    }

    fn persist(&mut self) {
        let Some(job) = &mut self.job else {
            self.job = self.live.lock().take_persist_job();
            return;
        };
        if let Some(outcome) = job.step(&self.live) {
            self.live.lock().persist_finished(job, outcome);
            self.job = None;
        }
    }

    /// Sends what may leave. Nothing leaves a machine without power.
    fn flush(&mut self) {
        if self.disk.is_off() {
            return;
        }
        let (log, progress) = (self.log(), self.progress());
        let failure = log.cause().map(|cause| cause.to_string());
        for client in &mut self.clients {
            if let Some(cause) = &failure {
                client.outbox.fail_held(progress, cause);
            }
            let mut bytes = Vec::new();
            let sent = client.outbox.send(progress, |pieces| {
                bytes.extend(pieces.iter().flat_map(|piece| piece.iter().copied()));
                Ok(bytes.len())
            });
            assert!(sent.is_none_or(|sent| sent.is_ok()));
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let len = reply_len(rest);
                let reply = String::from_utf8_lossy(&rest[..len]).into_owned();
                rest = &rest[len..];
                if let Some(message) = message_text(&reply) {
                    self.told.push(Told { story: message, needs: 0, synced: false });
                    continue;
                }
                let Some(expected) = client.expected.pop_front() else {
                    panic!("a reply that nobody asked for: {reply:?}")
                };
                let Expected { mut told, waited_for } = expected;
                if reply.starts_with("-MISCONF Errors writing") {
                    self.refusals.push(reply);
                    continue;
                }
                if let (Some(position), true) = (waited_for, reply.starts_with("*2\r\n:1\r\n")) {
                    (told.needs, told.synced) = (position, true);
                }
                told.story = format!("{} -> {reply:?}", told.story);
                self.told.push(told);
            }
        }
    }
}

/// What a message says, if it is one: who listens asked for no reply.
fn message_text(reply: &str) -> Option<String> {
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let is_message = reply.starts_with("*3\r\n$7\r\nmessage\r\n");
    is_message.then(|| format!("{}: {}", lines.get(4).unwrap_or(&""), lines.get(6).unwrap_or(&"")))
}

/// The newest change that the reply to a request tells of. SELECT changes `db`.
fn rests_on(model: &Model, request: &Request, answer: &[u8], db: &mut usize) -> u64 {
    let owned = OwnedArgs::from_slices(request.iter().map(Vec::as_slice));
    let args = owned.as_args();
    let Ok(row) = table().find(&args) else { return 0 };
    if row.command.name == "WATCH" {
        // Its OK tells nothing about the keys.
        return 0;
    }
    if row.command.name == "SELECT" {
        let number = String::from_utf8_lossy(args.at(1)).parse();
        *db = number.ok().filter(|db| *db < 4).unwrap_or(*db);
    }
    if row.command.flags.has(Flags::WHOLE_KEYSPACE) {
        return model.changed_last();
    }
    let keys = row.command.keys.iter().flat_map(|spec| spec.positions(&args).unwrap_or_default());
    // With nothing at the first key, many do not look at the others (COPY, SMOVE, LMOVE).
    let nothing = matches!(answer, b":0\r\n" | b"$-1\r\n" | b"*-1\r\n");
    let keys = keys.take(if nothing { 1 } else { usize::MAX });
    keys.map(|at| model.changed_at(&(*db, args.at(at).to_vec()) as &Key)).max().unwrap_or(0)
}

pub(crate) fn show(request: &Request) -> String {
    let words: Vec<String> = request.iter().map(|word| word.escape_ascii().to_string()).collect();
    words.join(" ")
}

/// The replies inside an array of replies.
fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let header = array.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    let mut rest = &array[header..];
    std::iter::from_fn(move || {
        let (first, behind) = rest.split_at(if rest.is_empty() { 0 } else { reply_len(rest) });
        rest = behind;
        (!first.is_empty()).then_some(first)
    })
}

/// The length of the first reply (RESP2).
fn reply_len(bytes: &[u8]) -> usize {
    let (mut at, mut open) = (0, 1);
    while open > 0 {
        let line = bytes[at..].windows(2).position(|pair| pair == b"\r\n");
        let line = line.unwrap_or_else(|| panic!("half a reply: {}", bytes.escape_ascii()));
        let number = String::from_utf8_lossy(&bytes[at + 1..at + line]).parse::<i64>().unwrap_or(0);
        let kind = bytes[at];
        at += line + 2;
        open -= 1;
        match kind {
            b'$' if number >= 0 => at += number as usize + 2,
            b'*' if number > 0 => open += number,
            _ => {}
        }
    }
    at
}
