//! Hands pieces to the snapshot's file: on a thread that gives way, or at once.
//!
//! What gathers holds the engine's lock every so often, so it must run when it wants to; encoding large values,
//! compressing and writing must not take a core from clients for as long as the scheduler lets an equal
//! run. So they have a thread of their own, of what clients leave ([`super::aside`]), and the gatherer waits for it,
//! outside the lock, when it is some slices behind. If clients leave nothing, another thread takes its place.
//! Without threads (a simulation) all happens here. After a failure the thread ends, and the next `put` or `finish`
//! says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::sync::mpsc::{channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::aside::{STARVED, Share};
use super::file::SnapshotFile;
use super::sink::Piece;
use crate::aof::manifest::Content;

/// Slices that wait to be written.
const WAITING: usize = 8;
/// Between two looks whether one of them was taken.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// A third of an equal's share, for a thread that clients left nothing.
const RELIEF: Share = Share::Nice(5);

/// The way into a snapshot's file.
#[derive(Debug)]
pub(super) enum Feeder {
    Here(Box<SnapshotFile>),
    Thread(Line),
}

type Outcome = Result<Content, String>;

/// A thread that feeds the file, and perhaps the one that took its place.
#[derive(Debug)]
pub(super) struct Line {
    pieces: Option<SyncSender<Vec<Piece>>>,
    desk: Arc<Desk>,
    outcome: Receiver<Outcome>,
    /// For the relief; gone when there was one.
    sender: Option<Sender<Outcome>>,
    threads: Vec<JoinHandle<()>>,
    starved: Duration,
}

/// What the feeding thread works on.
#[derive(Debug)]
struct Desk {
    /// `None` when the work is done, or has failed.
    work: Mutex<Option<Work>>,
    relieved: AtomicBool,
}

#[derive(Debug)]
struct Work {
    pieces: Receiver<Vec<Piece>>,
    file: SnapshotFile,
}

impl Feeder {
    pub(super) fn new(file: SnapshotFile, threads: usize) -> Result<Self, String> {
        if threads == 0 {
            return Ok(Self::Here(Box::new(file)));
        }
        Line::new(file, STARVED).map(Self::Thread)
    }

    /// Takes the next pieces of the snapshot.
    pub(super) fn put(&mut self, pieces: Vec<Piece>) -> Result<(), String> {
        match self {
            Self::Here(file) => pieces.into_iter().try_for_each(|piece| file.put(piece)),
            Self::Thread(line) => {
                if line.send(pieces) {
                    Ok(())
                } else {
                    line.end().map(drop)
                }
            }
        }
    }

    /// Writes what is left, and makes the file durable.
    pub(super) fn finish(self) -> Outcome {
        match self {
            Self::Here(file) => file.finish(),
            Self::Thread(mut line) => {
                // An empty batch says that the snapshot is whole: an end without it is a cancelled one.
                line.send(Vec::new());
                line.end()
            }
        }
    }
}

impl Line {
    fn new(file: SnapshotFile, starved: Duration) -> Result<Self, String> {
        let mut this = Self::without_threads(file, starved);
        let (desk, sender) = (Arc::clone(&this.desk), this.sender.clone());
        let feeds = move || sender.iter().for_each(|sender| desk.feed(sender, true));
        let thread = Share::Leftover.spawn("snapshot-write", feeds);
        this.threads.push(thread.map_err(|error| error.to_string())?);
        Ok(this)
    }

    fn without_threads(file: SnapshotFile, starved: Duration) -> Self {
        let (pieces, work) = sync_channel(WAITING);
        let (sender, outcome) = channel();
        let desk = Arc::new(Desk {
            work: Mutex::new(Some(Work { pieces: work, file })),
            relieved: AtomicBool::new(false),
        });
        let (threads, pieces, sender) = (Vec::new(), Some(pieces), Some(sender));
        Self { pieces, desk, outcome, sender, threads, starved }
    }

    /// False when nobody takes them any more.
    fn send(&mut self, mut pieces: Vec<Piece>) -> bool {
        let mut waited = Duration::ZERO;
        loop {
            let Some(sender) = &self.pieces else { return false };
            match sender.try_send(pieces) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => pieces = back,
            }
            if waited >= self.starved {
                self.relieve();
            }
            std::thread::park_timeout(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
    }

    /// Has another thread go on that clients cannot keep from working.
    fn relieve(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        self.desk.relieved.store(true, Ordering::Release);
        let desk = Arc::clone(&self.desk);
        // Without a thread the first one goes on, however slowly.
        match RELIEF.spawn("snapshot-write", move || desk.feed(&sender, false)) {
            Ok(thread) => self.threads.push(thread),
            Err(_) => self.desk.relieved.store(false, Ordering::Release),
        }
    }

    /// Lets the threads come to their end. What they say is an error unless the snapshot is whole.
    fn end(&mut self) -> Outcome {
        self.pieces = None;
        let outcome = loop {
            match self.outcome.recv_timeout(self.starved) {
                Ok(outcome) => break outcome,
                // Before the relief this holds a sender itself: a thread that has panicked is noticed by it.
                Err(RecvTimeoutError::Timeout) => self.relieve(),
                Err(RecvTimeoutError::Disconnected) => {
                    break Err("the thread that writes the snapshot has ended".to_owned());
                }
            }
        };
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        outcome
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The file is removed next: nobody may write to it then.
        if !self.threads.is_empty() {
            let _ = self.end();
        }
    }
}

impl Desk {
    /// Feeds until the work is done, or until somebody else does it.
    fn feed(&self, outcome: &Sender<Outcome>, first: bool) {
        loop {
            // The other one waits here for as long as this one has the file.
            let mut place = self.work.lock();
            if first && self.relieved.load(Ordering::Acquire) {
                return;
            }
            // It is put back only when all went well: nobody goes on with what a panic left.
            let Some(mut work) = place.take() else { return };
            if !first {
                work.file.hurry();
            }
            match work.next() {
                Ok(true) => *place = Some(work),
                Ok(false) => {
                    let _ = outcome.send(work.file.finish());
                    return;
                }
                Err(error) => {
                    let _ = outcome.send(Err(error));
                    return;
                }
            }
        }
    }
}

impl Work {
    /// Puts what comes next into the file; false when that was all.
    fn next(&mut self) -> Result<bool, String> {
        let given_up = |_| "the snapshot was given up".to_owned();
        let pieces = self.pieces.recv().map_err(given_up)?;
        let more = !pieces.is_empty();
        pieces.into_iter().try_for_each(|piece| self.file.put(piece))?;
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::disk::{OpenMode, SharedDisk};
    use crate::engine::persist::Manner;
    use crate::snapshot::container::write::{FileForm, Table};
    use crate::snapshot::target::Target;

    const MANNER: Manner = Manner {
        form: FileForm::Zstd { level: 1 },
        checksum: true,
        threads: 2,
        beside_clients: true,
        section_bytes: 4096,
        incremental_sync: false,
        durable: true,
        target: Target::Newest,
        table: Table::None,
    };

    fn create(disk: &SharedDisk) -> SnapshotFile {
        SnapshotFile::create(disk, "a.rdb", MANNER, b"REDIS0011".to_vec()).unwrap()
    }

    fn batch(number: u8) -> Vec<Piece> {
        // Not checked here: any bytes will do.
        (0..3).map(|_| Piece::Records { bytes: vec![number; 2000], keys: 1 }).collect()
    }

    /// The file that 40 batches make, and whether it took a second thread.
    fn made(start: impl FnOnce(SnapshotFile) -> Line) -> (Vec<u8>, bool) {
        let disk: SharedDisk = Arc::new(SimDisk::new());
        let mut line = start(create(&disk));
        for number in 0..40 {
            assert!(line.send(batch(number)));
        }
        let relieved = line.sender.is_none();
        let content = Feeder::Thread(line).finish().unwrap();
        let file = disk.open("a.rdb", OpenMode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(content.size).unwrap()];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        (bytes, relieved)
    }

    #[test]
    fn a_thread_that_clients_leave_nothing_is_relieved_and_the_file_is_the_same() {
        let (alone, _) = made(|file| Line::new(file, Duration::from_secs(60)).unwrap());
        // One that never comes to run is as good as none.
        let (relief, relieved) =
            made(|file| Line::without_threads(file, Duration::from_millis(20)));
        assert!(relieved);
        assert!(alone == relief, "{} and {} bytes", alone.len(), relief.len());
        // Both at work, and the second one takes the first one's place somewhere in the middle.
        let (both, _) = made(|file| {
            let mut line = Line::new(file, Duration::from_secs(60)).unwrap();
            line.relieve();
            line
        });
        assert!(alone == both);
    }

    #[test]
    fn a_save_that_is_given_up_ends_its_threads_and_says_so() {
        let disk: SharedDisk = Arc::new(SimDisk::new());
        let mut line = Line::new(create(&disk), Duration::from_millis(20)).unwrap();
        assert!(line.send(batch(1)));
        assert_eq!(line.end(), Err("the snapshot was given up".to_owned()));
        assert!(line.threads.is_empty() && !line.send(batch(2)));
    }
}
