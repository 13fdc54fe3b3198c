//! Replaying the log: one thread reads and checks, another applies.
//!
//! Reading a file, finding its records and verifying their checksums needs nothing of the engine, so it
//! runs ahead in a thread of its own and hands over batches of commands, which point into the files'
//! bytes. The engine runs them in order. Damage that the reader meets, and a command that nobody knows,
//! end both; nobody sees the engine of a load that failed. Without threads (simulation) the same
//! batches are run one after the other.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::LoadError;
use super::content::unknown_command;
use super::forecast::Forecast;
use crate::aof::chain::{LogEnd, ReadError, SegmentFile, read_log};
use crate::aof::reader::ReadUnit;
use crate::aof::record::Position;
use crate::engine::Engine;
use crate::engine::replay::ReplayError;
use crate::keyspace::WARM_MAX;
use crate::resp::args::Span;
use crate::resp::{Args, Reply};
use crate::session::ClientId;
use crate::types::hash64::hash64;

/// Commands handed over at a time, and batches that wait.
const BATCH: usize = 1024;
const WAITING: usize = 16;
/// Bytes of a record around its arguments, about.
const HEAD_BYTES: u64 = 10;

/// Commands of a log, in order.
#[derive(Debug, Default)]
struct Batch<'a> {
    commands: Vec<Command<'a>>,
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Command<'a> {
    /// The bytes of the file that hold the arguments.
    text: &'a [u8],
    /// How many of the batch's spans are its own.
    args: usize,
    /// The hash of the first argument, which is the key of most.
    hash: u64,
    /// The name of its file.
    file: &'a str,
    /// Where its unit starts in the file.
    offset: u64,
    /// Whether it is the first of its file.
    starts_file: bool,
}

/// Makes batches of what is read.
#[derive(Debug)]
struct Packer<'s, 'a> {
    segments: &'s [SegmentFile<'a>],
    batch: Batch<'a>,
    /// Offset of the unit before, to see where a file begins.
    last: u64,
}

impl<'a> Packer<'_, 'a> {
    fn add(&mut self, unit: &ReadUnit<'_, 'a>) -> Result<(), LoadError> {
        let mut starts_file = unit.offset <= self.last;
        self.last = unit.offset;
        for args in unit.commands() {
            let (file, text, start) = self.text_of(args).ok_or_else(|| LoadError::Refused {
                why: format!("a record at offset {} is longer than 4 GiB", unit.offset),
            })?;
            for arg in args {
                let from = address(arg).saturating_sub(start);
                let span = (u32::try_from(from), u32::try_from(from + arg.len()));
                // Neither fails: the text is shorter than 4 GiB.
                self.batch.spans.push((span.0.unwrap_or(u32::MAX), span.1.unwrap_or(u32::MAX)));
            }
            let hash = args.get(1).map_or(0, |key| hash64(key));
            let (args, offset) = (args.len(), unit.offset);
            let command = Command { text, args, hash, file, offset, starts_file };
            self.batch.commands.push(command);
            starts_file = false;
        }
        Ok(())
    }

    /// The file that holds these arguments, its part with them, and the address of that.
    fn text_of(&self, args: &[&'a [u8]]) -> Option<(&'a str, &'a [u8], usize)> {
        let (first, last) = (args.first()?, args.last()?);
        let (start, end) = (address(first), address(last) + last.len());
        let inside = |file: &&SegmentFile<'a>| {
            let from = address(file.bytes);
            from <= start && end <= from + file.bytes.len()
        };
        let file = self.segments.iter().find(inside)?;
        let from = start - address(file.bytes);
        let text = file.bytes.get(from..from + (end - start))?;
        u32::try_from(text.len()).ok()?;
        Some((file.name, text, start))
    }

    fn take_full(&mut self, least: usize) -> Option<Batch<'a>> {
        let full = self.batch.commands.len() >= least && !self.batch.commands.is_empty();
        full.then(|| std::mem::take(&mut self.batch))
    }
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr() as usize
}

/// What a replay did.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Commands run.
    pub commands: u64,
    /// Commands that answered with an error, and the first of them with its offset.
    pub failed: u64,
    pub first_failure: Option<(u64, ReplayError)>,
}

/// Runs the records of these files. `progress` is told offsets in the file that is being run.
pub fn replay_log(
    engine: &mut Engine,
    base: Option<Position>,
    segments: &[SegmentFile<'_>],
    progress: &mut dyn FnMut(u64),
) -> Result<(LogEnd, Replayed), LoadError> {
    let threaded = engine.persist.threads > 1;
    let client = engine.replay_client();
    let total = segments.iter().map(|file| file.bytes.len() as u64).sum();
    let (reply, done, forecast) = (Reply::new(false), Replayed::default(), Forecast::new(total));
    let mut runner = Runner { engine, client, reply, done, forecast };
    let packer = Packer { segments, batch: Batch::default(), last: u64::MAX };
    let end = if threaded {
        let (sender, batches) = sync_channel(WAITING);
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().name("log-reader".to_owned());
            let reader = reader.spawn_scoped(scope, move || read(base, packer, &sender));
            let reader = reader.map_err(|error| LoadError::Refused {
                why: format!("cannot start a thread to read the log: {error}"),
            })?;
            let run = receive(batches, &mut runner, progress);
            // What a panic there said is on standard error.
            let read = reader.join().unwrap_or_else(|_| {
                Err(LoadError::Refused { why: "the thread that reads the log panicked".to_owned() })
            });
            run.and(read)
        })
    } else {
        read_and_run(base, packer, &mut runner, progress)
    };
    let Runner { engine, done, forecast, .. } = runner;
    forecast.ended(&mut engine.ks);
    engine.sessions.remove(client);
    Ok((end?, done))
}

fn read<'a>(
    base: Option<Position>,
    mut packer: Packer<'_, 'a>,
    batches: &SyncSender<Batch<'a>>,
) -> Result<LogEnd, LoadError> {
    let segments = packer.segments;
    let send = |batch| batches.send(batch).map_err(|_| gone());
    let end = read_log(base, segments, |unit| {
        packer.add(unit)?;
        packer.take_full(BATCH).map_or(Ok(()), send)
    });
    let end = end.map_err(into_load_error)?;
    packer.take_full(0).map_or(Ok(()), send)?;
    Ok(end)
}

fn gone() -> LoadError {
    LoadError::Refused { why: "nobody runs the records".to_owned() }
}

/// Runs what comes, until nothing more does. After an error nobody takes what is sent, and the reader ends.
fn receive(
    batches: Receiver<Batch<'_>>,
    runner: &mut Runner<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), LoadError> {
    batches.into_iter().try_for_each(|batch| runner.run(&batch, progress))
}

fn read_and_run(
    base: Option<Position>,
    mut packer: Packer<'_, '_>,
    runner: &mut Runner<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<LogEnd, LoadError> {
    let segments = packer.segments;
    let mut run = |batch: Batch<'_>| runner.run(&batch, progress);
    let end = read_log(base, segments, |unit| {
        packer.add(unit)?;
        packer.take_full(BATCH).map_or(Ok(()), &mut run)
    });
    let end = end.map_err(into_load_error)?;
    packer.take_full(0).map_or(Ok(()), &mut run)?;
    Ok(end)
}

fn into_load_error(error: ReadError<LoadError>) -> LoadError {
    match error {
        ReadError::Corrupt(error) => LoadError::Log(error),
        ReadError::Visitor(error) => error,
    }
}

/// Runs commands on behalf of a client that nobody sees.
#[derive(Debug)]
struct Runner<'e> {
    engine: &'e mut Engine,
    client: ClientId,
    reply: Reply,
    done: Replayed,
    forecast: Forecast,
}

impl Runner<'_> {
    /// Has the memory of the next commands' keys on its way; a wrong guess of the database costs time only.
    fn warm(&self, next: &[Command<'_>]) {
        let db = self.engine.sessions.client(self.client).map_or(0, |client| client.db);
        self.engine.ks.warm_hashes(db, next.iter().take(WARM_MAX).map(|command| command.hash));
    }

    fn run(&mut self, batch: &Batch<'_>, progress: &mut dyn FnMut(u64)) -> Result<(), LoadError> {
        let mut spans = batch.spans.as_slice();
        for (index, command) in batch.commands.iter().enumerate() {
            if index.is_multiple_of(WARM_MAX) {
                self.warm(batch.commands.get(index..).unwrap_or_default());
            }
            let (own, rest) = spans.split_at_checked(command.args).unwrap_or_default();
            spans = rest;
            if command.starts_file
                && let Some(client) = self.engine.sessions.client_mut(self.client)
            {
                // Every file starts in database 0.
                client.db = 0;
            }
            let args = Args::new(command.text, own, None);
            self.done.commands += 1;
            if let Err(error) = self.engine.replay(self.client, &args, &mut self.reply) {
                if error.unknown {
                    // Leaving it out would lose what it did; whoever wrote it knows what that was.
                    let what = unknown_command(&error.command);
                    let (file, offset) = (command.file.to_owned(), command.offset);
                    return Err(LoadError::Damaged { file, offset, what });
                }
                self.done.failed += 1;
                self.done.first_failure.get_or_insert((command.offset, error));
            }
        }
        let bytes =
            batch.commands.iter().map(|command| command.text.len() as u64 + HEAD_BYTES).sum();
        self.forecast.saw(bytes, &mut self.engine.ks);
        progress(batch.commands.last().map_or(0, |command| command.offset));
        Ok(())
    }
}
