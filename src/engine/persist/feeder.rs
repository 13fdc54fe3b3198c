//! Hands pieces to the snapshot's file: on a thread of low priority, or at once.
//!
//! What gathers holds the engine's lock every so often, so it must run when it wants to; encoding large values,
//! compressing and writing must not take a core from clients for as long as the scheduler lets an equal
//! run. So they have a thread of their own, which gives way (nice), and the gatherer waits for it,
//! outside the lock, when it is some slices behind. Without threads (a simulation) all happens here. After
//! a failure the thread ends, and the next `put` or `finish` says why.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::file::SnapshotFile;
use super::sink::Piece;
use crate::aof::manifest::Content;

/// Slices that wait to be written.
const WAITING: usize = 8;

/// Enough for a client that wakes up to get the core at once, and still a third of an equal's share.
const GIVES_WAY: i32 = 5;

/// The way into a snapshot's file.
#[derive(Debug)]
pub(super) enum Feeder {
    Here(Box<SnapshotFile>),
    Thread(Line),
}

/// A thread that feeds the file.
#[derive(Debug)]
pub(super) struct Line {
    pieces: Option<SyncSender<Vec<Piece>>>,
    thread: Option<JoinHandle<Result<Content, String>>>,
}

impl Feeder {
    pub(super) fn new(file: SnapshotFile, threads: usize) -> Result<Self, String> {
        if threads == 0 {
            return Ok(Self::Here(Box::new(file)));
        }
        let (pieces, work) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("snapshot-write".to_owned());
        let thread = thread.spawn(move || feed(file, &work)).map_err(|error| error.to_string())?;
        Ok(Self::Thread(Line { pieces: Some(pieces), thread: Some(thread) }))
    }

    /// Takes the next pieces of the snapshot.
    pub(super) fn put(&mut self, pieces: Vec<Piece>) -> Result<(), String> {
        match self {
            Self::Here(file) => pieces.into_iter().try_for_each(|piece| file.put(piece)),
            Self::Thread(line) => {
                let sent = line.pieces.as_ref().map(|sender| sender.send(pieces));
                if matches!(sent, Some(Ok(()))) { Ok(()) } else { line.end().map(drop) }
            }
        }
    }

    /// Writes what is left, and makes the file durable.
    pub(super) fn finish(self) -> Result<Content, String> {
        match self {
            Self::Here(file) => file.finish(),
            Self::Thread(mut line) => {
                // An empty batch says that the snapshot is whole: an end without it is a cancelled one.
                let _ = line.pieces.as_ref().map(|sender| sender.send(Vec::new()));
                line.end()
            }
        }
    }
}

impl Line {
    /// Lets the thread come to its end. What it says is an error unless the snapshot is whole.
    fn end(&mut self) -> Result<Content, String> {
        self.pieces = None;
        let outcome = self.thread.take().map(JoinHandle::join);
        match outcome {
            Some(Ok(outcome)) => outcome,
            _ => Err("the thread that writes the snapshot has ended".to_owned()),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The file is removed next: nobody may write to it then.
        let _ = self.end();
    }
}

fn feed(mut file: SnapshotFile, work: &Receiver<Vec<Piece>>) -> Result<Content, String> {
    // Clients come first; on a busy machine the save must come to an end all the same.
    let _ = rustix::process::nice(GIVES_WAY);
    for pieces in work {
        if pieces.is_empty() {
            return file.finish();
        }
        pieces.into_iter().try_for_each(|piece| file.put(piece))?;
    }
    Err("the snapshot was given up".to_owned())
}
