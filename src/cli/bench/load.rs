//! One measurement: connections that send a mix and time the replies.
//!
//! Threads with a single-threaded runtime each own their share of the connections. A connection sends as many
//! commands as the pipeline is deep, reads as many replies, and begins again. Everything is connected before the
//! clock and the server's CPU time are read for the first time.
//!
//! With a rate, each connection has a timetable that does not wait for the server. A batch that could not leave in
//! time because the one before was not answered yet is timed from when it should have left: what a stalled server
//! keeps from being sent counts as waiting, as it does for its users.
//!
//! A connection that fails ends the measurement with its reason.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::task::JoinSet;

use super::replies::{Kind, Scanner};
use super::target::{Process, Stream, Target};
use super::template::{Mix, Template};
use crate::clock::{Clock as _, SystemClock};
use crate::rng::SeededRng;

/// A server that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 64 << 10;
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Commands of a setup that are sent before their replies are read.
const SETUP_AT_ONCE: u64 = 512;

/// When a measurement is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Requests(u64),
    Time(Duration),
}

/// How hard, and how long.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) pipeline: usize,
    pub(super) until: Until,
    /// Requests a second over all connections; `None`: as fast as the replies come.
    pub(super) rate: Option<f64>,
    pub(super) seed: u64,
}

/// What was seen in some stretch of time, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) times: Histogram<u64>,
    pub(super) errors: u64,
}

impl Seen {
    pub(super) fn new() -> Self {
        // Three digits, from a microsecond to a minute; it grows when something takes longer.
        let times = Histogram::new_with_bounds(1, 60_000_000, 3).map(|mut times| {
            times.auto(true);
            times
        });
        Self {
            times: times.unwrap_or_else(|error| unreachable!("fixed bounds: {error}")),
            errors: 0,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        // It grows by itself, so nothing is too large for it.
        let _ = self.times.add(&other.times);
        self.errors += other.errors;
    }
}

/// One measurement's outcome.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For each command of the mix.
    pub(super) seen: Vec<Seen>,
    pub(super) took: Duration,
    /// Seconds of the server's CPU time, if it is a process of this machine.
    pub(super) cpu: Option<f64>,
    pub(super) error: Option<String>,
}

/// What the connections of one measurement share.
struct Run {
    target: Target,
    mix: Mix,
    shape: Shape,
    clock: Arc<SystemClock>,
    /// Requests that may still be sent.
    left: AtomicI64,
    stop: AtomicBool,
    seen: Vec<Mutex<Seen>>,
    failed: Mutex<Option<String>>,
    /// The first error reply.
    error: Mutex<Option<String>>,
    /// All are connected; then: all begin.
    gate: Barrier,
    /// For each thread that has ended, when.
    ended: Mutex<Vec<Duration>>,
}

/// Sends `mix` to `target`; `watch` sees, a few times a second, what came since it last looked.
pub(super) fn measure(
    target: &Target,
    mix: &Mix,
    shape: &Shape,
    clock: &Arc<SystemClock>,
    watch: &mut dyn FnMut(Duration, &[Seen]),
) -> Result<Outcome, String> {
    let threads = shape.threads.clamp(1, shape.connections.max(1));
    let requests = match shape.until {
        Until::Requests(requests) => i64::try_from(requests).unwrap_or(i64::MAX),
        Until::Time(_) => i64::MAX,
    };
    let run = Arc::new(Run {
        target: target.clone(),
        mix: mix.clone(),
        shape: shape.clone(),
        clock: Arc::clone(clock),
        left: AtomicI64::new(requests),
        stop: AtomicBool::new(false),
        seen: mix.templates.iter().map(|_| Mutex::new(Seen::new())).collect(),
        failed: Mutex::new(None),
        error: Mutex::new(None),
        gate: Barrier::new(threads + 1),
        ended: Mutex::new(Vec::new()),
    });
    let process = blocking(async {
        let mut stream = target.connect().await?;
        Ok(target.process(&mut stream).await)
    })?;
    let mut total: Vec<Seen> = mix.templates.iter().map(|_| Seen::new()).collect();
    let (took, cpu) = std::thread::scope(|scope| {
        for number in 0..threads {
            let run = &run;
            scope.spawn(move || thread(run, number, threads));
        }
        run.gate.wait();
        let cpu = process.and_then(Process::cpu_seconds);
        let began = clock.monotonic();
        run.gate.wait();
        run.watch_until_over(threads, began, &mut total, watch);
        let ended = run.ended.lock().iter().max().copied().unwrap_or(began);
        let after = process.and_then(Process::cpu_seconds);
        (ended.saturating_sub(began), after.zip(cpu).map(|(after, before)| after - before))
    });
    if let Some(why) = run.failed.lock().take() {
        return Err(why);
    }
    let error = run.error.lock().take();
    Ok(Outcome { seen: total, took, cpu, error })
}

impl Run {
    fn watch_until_over(
        &self,
        threads: usize,
        began: Duration,
        total: &mut [Seen],
        watch: &mut dyn FnMut(Duration, &[Seen]),
    ) {
        let mut looked = Duration::ZERO;
        loop {
            let over = self.ended.lock().len() == threads;
            let took = self.clock.monotonic().saturating_sub(began);
            if let Until::Time(limit) = self.shape.until
                && took >= limit
            {
                self.stop.store(true, Ordering::Relaxed);
            }
            if over || took.saturating_sub(looked) >= LOOK_EVERY {
                looked = took;
                let take = |seen: &Mutex<Seen>| std::mem::replace(&mut *seen.lock(), Seen::new());
                let fresh: Vec<Seen> = self.seen.iter().map(take).collect();
                for (total, fresh) in total.iter_mut().zip(&fresh) {
                    total.add(fresh);
                }
                watch(took, &fresh);
            }
            if over {
                return;
            }
            self.clock.sleep(Duration::from_millis(2));
        }
    }

    fn fail(&self, why: String) {
        self.failed.lock().get_or_insert(why);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A thread with its share of the connections, from connecting to the end.
fn thread(run: &Arc<Run>, number: usize, threads: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mine: Vec<usize> = (number..run.shape.connections.max(1)).step_by(threads).collect();
    let connected = runtime.as_ref().map_err(ToString::to_string).and_then(|runtime| {
        runtime.block_on(async {
            let mut streams = Vec::with_capacity(mine.len());
            for _ in &mine {
                streams.push(run.target.connect().await?);
            }
            Ok(streams)
        })
    });
    run.gate.wait();
    let began = run.clock.monotonic();
    run.gate.wait();
    match (runtime, connected) {
        (Ok(runtime), Ok(streams)) => runtime.block_on(async {
            let mut work = JoinSet::new();
            for (number, stream) in mine.into_iter().zip(streams) {
                work.spawn(Connection::new(run, number, stream, began).run());
            }
            while let Some(ended) = work.join_next().await {
                if let Ok(Err(why)) = ended {
                    run.fail(why);
                }
            }
        }),
        (_, Err(why)) => run.fail(why),
        (Err(error), _) => run.fail(error.to_string()),
    }
    run.ended.lock().push(run.clock.monotonic());
}

/// One connection at work.
struct Connection {
    run: Arc<Run>,
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    rng: SeededRng,
    scanner: Scanner,
    out: Vec<u8>,
    /// Which command of the mix each reply that is due belongs to.
    due: VecDeque<usize>,
    /// When the next batch should leave, and how far apart they are.
    timetable: Option<(Duration, Duration)>,
    /// When the first batch may leave.
    began: Duration,
}

impl Connection {
    fn new(run: &Arc<Run>, number: usize, stream: Stream, began: Duration) -> Self {
        let shape = &run.shape;
        let timetable = shape.rate.map(|rate| {
            let apart = (shape.pipeline * shape.connections) as f64 / rate;
            let first = apart * number as f64 / shape.connections as f64;
            (began + Duration::from_secs_f64(first), Duration::from_secs_f64(apart))
        });
        let (reader, writer) = tokio::io::split(stream);
        Self {
            run: Arc::clone(run),
            reader,
            writer,
            rng: SeededRng::new(shape.seed ^ ((number as u64 + 1) << 32)),
            scanner: Scanner::default(),
            out: Vec::new(),
            due: VecDeque::new(),
            timetable,
            began,
        }
    }

    async fn run(mut self) -> Result<(), String> {
        let pipeline = i64::try_from(self.run.shape.pipeline).unwrap_or(1).max(1);
        let mut part = vec![0; READ_BYTES];
        while !self.run.stop.load(Ordering::Relaxed) {
            let Some(sent) = self.turn().await else { break };
            let left = self.run.left.fetch_sub(pipeline, Ordering::Relaxed);
            if left <= 0 {
                break;
            }
            self.out.clear();
            for _ in 0..left.min(pipeline) {
                let which = self.run.mix.write(&mut self.out, &mut self.rng);
                self.due.push_back(which);
            }
            let batch = self.exchange(sent, &mut part);
            match tokio::time::timeout(SILENCE, batch).await {
                Ok(done) => done?,
                Err(_) => return Err(format!("no reply in {SILENCE:?}")),
            }
        }
        Ok(())
    }

    /// Waits until the next batch may leave; the time that its replies are measured from. `None`: there is none.
    async fn turn(&mut self) -> Option<Duration> {
        let now = self.run.clock.monotonic();
        let Some((next, apart)) = self.timetable else { return Some(now) };
        if let Until::Time(limit) = self.run.shape.until
            && next >= self.began + limit
        {
            return None;
        }
        self.timetable = Some((next + apart, apart));
        if next <= now {
            return Some(next);
        }
        tokio::time::sleep(next - now).await;
        // How late a timer of ours is says nothing of the server.
        Some(self.run.clock.monotonic())
    }

    /// Sends what is in `out` and takes the replies that are due.
    async fn exchange(&mut self, sent: Duration, part: &mut [u8]) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut written = 0;
        while !self.due.is_empty() {
            let rest = self.out.get(written..).unwrap_or_default();
            // A server may refuse to read more while nobody takes its replies.
            tokio::select! {
                biased;
                len = self.reader.read(part) => {
                    let len = len.map_err(failed)?;
                    if len == 0 {
                        return Err("the server closed a connection".to_owned());
                    }
                    self.take(part.get(..len).unwrap_or_default(), sent)?;
                }
                len = self.writer.write(rest), if !rest.is_empty() => {
                    written += len.map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], sent: Duration) -> Result<(), String> {
        let waited = self.run.clock.monotonic().saturating_sub(sent);
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX).max(1);
        let (due, run) = (&mut self.due, &self.run);
        self.scanner.feed(bytes, |kind| {
            // A reply that nobody asked for belongs to nothing.
            let Some(seen) = due.pop_front().and_then(|which| run.seen.get(which)) else { return };
            let mut seen = seen.lock();
            seen.times.saturating_record(micros);
            seen.errors += u64::from(kind == Kind::Error);
        })?;
        if let Some(error) = self.scanner.error.take() {
            run.error.lock().get_or_insert(error);
        }
        Ok(())
    }
}

/// Sends each command once, or once for each number of the key space in turn when it has a number in it.
pub(super) fn prepare(target: &Target, setup: &[Template], keys: u64) -> Result<(), String> {
    blocking(async {
        let mut stream = target.connect().await?;
        for template in setup {
            let count = if template.counts() { keys } else { 1 };
            let mut next = 0;
            while next < count {
                let end = count.min(next + SETUP_AT_ONCE);
                let mut out = Vec::new();
                (next..end).for_each(|number| template.write(&mut out, || number));
                stream.write_all(&out).await.map_err(|error| error.to_string())?;
                let (mut scanner, mut lacking) = (Scanner::default(), end - next);
                let mut part = vec![0; READ_BYTES];
                while lacking > 0 {
                    let len = stream.read(&mut part).await.map_err(|error| error.to_string())?;
                    if len == 0 {
                        return Err("the server closed a connection".to_owned());
                    }
                    scanner.feed(part.get(..len).unwrap_or_default(), |_| lacking -= 1)?;
                }
                if let Some(error) = scanner.error {
                    return Err(format!("{}: {}: {error}", target.name, template.name));
                }
                next = end;
            }
        }
        Ok(())
    })
}

/// Runs something short on a runtime of its own.
pub(super) fn blocking<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(work)
}
